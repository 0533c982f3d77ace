# SPDX-License-Identifier: Apache-2.0
"""The console, used in a browser: what its pages show is what the interface says, and nothing goes wrong on the way."""
import shutil

import pytest
import requests
from playwright.sync_api import expect, sync_playwright

from conftest import run

expect.set_options(timeout=30_000)


@pytest.fixture(scope="module")
def browser():
    with sync_playwright() as playwright:
        # Debian's; as root it cannot make a sandbox of its own.
        chromium = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        yield chromium
        chromium.close()


class Watch:
    """What a page complains of: messages of errors, breaches of its policy among them, and requests that failed."""

    def __init__(self, page):
        self.complaints, self.allowed = [], ()
        page.on("console", lambda message: message.type in ("error", "warning") and self.note(message.text))
        page.on("pageerror", lambda error: self.note(f"{error}"))
        page.on("requestfailed", lambda request: self.note(f"{request.url}: {request.failure}"))
        page.on("response", lambda reply: reply.status >= 400 and self.note(f"{reply.status} {reply.url}"))

    def note(self, text):
        # What a page no longer wants, it cancels.
        if "net::ERR_ABORTED" not in text and not any(word in text for word in self.allowed):
            self.complaints.append(text)


def opened(browser, **options):
    context = browser.new_context(**options)
    context.set_default_timeout(30_000)
    page = context.new_page()
    return context, page, Watch(page)


@pytest.fixture
def page(browser):
    context, page, watch = opened(browser, viewport={"width": 1440, "height": 900}, color_scheme="dark")
    page.watch = watch
    yield page
    assert watch.complaints == []
    context.close()


def api(up, path, **parameters):
    reply = requests.get(up.url + path, parameters, timeout=30)
    assert reply.status_code == 200, reply.text
    return reply.json()


def number(text):
    return float(text.replace(",", "").replace("−", "-").replace("+", "").split()[0])


def test_answers_tell_browsers_what_to_refuse(played):
    browser = {"Accept": "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"}
    pages = ["/", "/docs"]
    for path in pages + ["/api/v1/latest", "/nothing", "/v1/info", "/metrics", "/openapi.json", "/console/app.js", "/docs/start.js"]:
        headers = requests.get(played.url + path, headers=browser, timeout=30).headers
        policy = dict(part.strip().split(" ", 1) for part in headers["Content-Security-Policy"].split(";"))
        assert policy["default-src"] == "'none'" and policy["frame-ancestors"] == "'none'", path
        assert policy.get("script-src", "'self'") == "'self'", path
        assert headers["X-Content-Type-Options"] == "nosniff" and headers["X-Frame-Options"] == "DENY", path
        assert headers["Referrer-Policy"] == "no-referrer", path
    for path in pages:
        text = requests.get(played.url + path, headers=browser, timeout=30).text
        assert "<script>" not in text and " on" not in text.split("<body>")[1].split("</body>")[0].split("console")[0]
    # A request that no handler sees is refused with them, too.
    refused = requests.get(played.url, headers={"Host": "example.com"}, timeout=30)
    assert refused.status_code == 421 and refused.headers["X-Content-Type-Options"] == "nosniff"


def test_programs_get_the_list_and_browsers_the_console(played):
    for accept in (None, "*/*", "application/json"):
        reply = requests.get(played.url, headers={"Accept": accept}, timeout=30)
        assert reply.headers["Content-Type"] == "application/json" and "endpoints" in reply.json()
        assert "Accept" in reply.headers["Vary"]
    page = requests.get(played.url, headers={"Accept": "text/html"}, timeout=30)
    assert "text/html" in page.headers["Content-Type"] and "Accept" in page.headers["Vary"]
    assert requests.get(played.url + "/console/", timeout=30).text == page.text
    again = requests.get(played.url + "/console/app.js", timeout=30)
    tag = {"If-None-Match": again.headers["ETag"]}
    assert requests.get(played.url + "/console/app.js", headers=tag, timeout=30).status_code == 304
    for missing in ("nothing.js", "lib/nothing.js", "lib/..%2findex.html", "%2e%2e/Makefile"):
        assert requests.get(f"{played.url}/console/{missing}", timeout=30).status_code == 404


def test_market_shows_the_bars_and_trades_of_a_symbol(played, page, tmp_path):
    page.goto(played.url + "/#/market?symbol=COINBASE:BTC-USD&timeframe=1d")
    expect(page.locator(".candles")).to_have_attribute("data-indicators", "drawn")
    bars = api(played, "/api/v1/bars", symbol="COINBASE:BTC-USD", timeframe="1d", order="desc", time="ms")["bars"]
    expect(page.locator(".candles")).to_have_attribute("data-bars", str(len(bars)))

    def legend():
        cells = page.locator(".legend div").all()
        return {cell.locator("dt").inner_text(): cell.locator("dd").inner_text() for cell in cells}

    shown = legend()
    for name, column in [("O", "open"), ("H", "high"), ("L", "low"), ("C", "close"), ("Trades", "trade_count")]:
        assert number(shown[name]) == pytest.approx(bars[0][column], abs=0.005), name
    trades = api(played, "/api/v1/trades", symbol="COINBASE:BTC-USD", order="desc", limit=60)["trades"]
    rows = page.locator(".trades tbody tr")
    expect(rows).to_have_count(len(trades))
    assert [row.get_attribute("data-trade") for row in rows.all()] == [trade["trade_id"] for trade in trades]
    assert float(page.locator(".now").get_attribute("data-price")) == trades[0]["price"]

    # Another timeframe, by mouse and by keyboard.
    page.get_by_role("button", name="1h", exact=True).click()
    hours = api(played, "/api/v1/bars", symbol="COINBASE:BTC-USD", timeframe="1h", order="desc", limit=500)["bars"]
    expect(page.locator(".candles")).to_have_attribute("data-bars", str(len(hours)))
    page.keyboard.press("[")
    expect(page.get_by_role("button", name="15m", exact=True)).to_have_attribute("aria-pressed", "true")
    assert "timeframe=15m" in page.url
    page.get_by_role("button", name="MACD").click()
    expect(page.get_by_role("button", name="MACD")).to_have_attribute("aria-pressed", "true")

    # Another symbol, by search.
    page.keyboard.press("/")
    page.keyboard.type("gemini:eth")
    found = api(played, "/api/v1/symbols", search="gemini:eth")["symbols"]
    expect(page.get_by_role("option")).to_have_count(len(found))
    page.keyboard.press("ArrowDown")
    expect(page.locator("h1")).to_have_text(min(each["symbol"] for each in found))

    # What is committed while somebody looks.
    page.goto(played.url + "/#/market?symbol=CONSOLE:ONE&timeframe=1m")
    expect(page.locator(".canvas .nothing")).to_be_visible()
    expect(page.locator(".state")).to_have_text("live")
    tape = tmp_path / "one.csv"
    tape.write_text("ts,symbol,price,size,trade_id\n" + "".join(
        f"2024-05-06T07:0{minute}:00Z,CONSOLE:ONE,{100 + minute}.25,{minute + 1},{minute}\n" for minute in range(5)))
    run("load", tape, "--data-dir", played.folder)
    expect(page.locator(".candles")).to_have_attribute("data-bars", "5")
    expect(rows).to_have_count(5)
    expect(page.locator(".now")).to_have_attribute("data-price", "104.25")
    expect(page.locator(".legend div", has_text="C").last).to_be_visible()
    assert number(legend()["V"]) == 5


def test_it_fits_a_phone_and_both_colours(played, browser):
    for scheme, ground in [("dark", "rgb(10, 13, 19)"), ("light", "rgb(244, 245, 247)")]:
        context, page, watch = opened(
            browser, viewport={"width": 390, "height": 844}, color_scheme=scheme, has_touch=True, is_mobile=True)
        page.goto(played.url)
        for tab in page.locator("#tabs a").all():
            tab.click()
            expect(page.locator("#page .panel").first).to_be_visible()
            # Nothing is wider than the screen.
            assert page.evaluate("document.scrollingElement.scrollWidth") <= 390, tab.inner_text()
            assert page.evaluate("document.getElementById('page').scrollWidth") <= 390, tab.inner_text()
        assert page.evaluate("getComputedStyle(document.body).backgroundColor") == ground
        # The reader's word goes before the system's.
        for theme in ("dark", "light"):
            page.get_by_role("button", name="Colours").click()
            expect(page.locator("html")).to_have_attribute("data-theme", theme)
        assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(244, 245, 247)"
        assert watch.complaints == []
        context.close()


def test_it_asks_for_a_key_and_keeps_it_for_the_tab(start, browser):
    up = start("--require-keys", "on")
    secret = run("keys", "create", "--name", "console", "--scope", "rest", "--data-dir", up.folder).stdout.decode()
    secret = next(word for word in secret.split() if word.startswith("tdk_"))
    context, page, watch = opened(browser)
    watch.allowed = ("401",)
    page.goto(up.url)
    dialog = page.get_by_role("dialog", name="API key")
    expect(dialog).to_be_visible()
    dialog.get_by_label("API key").fill(secret)
    dialog.get_by_role("button", name="Use this key").click()
    expect(page.locator("#page .panel").first).to_be_visible()
    expect(page.get_by_role("button", name="API key")).to_have_class("tool set")
    assert secret not in page.evaluate("JSON.stringify(localStorage)") + page.url + page.content()
    page.reload()
    expect(page.locator("#page .panel").first).to_be_visible()
    assert not dialog.is_visible()
    page.keyboard.press("k")
    dialog.get_by_role("button", name="Forget it").click()
    expect(dialog.get_by_text("needs an API key").or_(dialog.locator(".reason"))).to_be_visible()
    assert page.evaluate("sessionStorage.length") == 0
    assert watch.complaints == []
    context.close()
