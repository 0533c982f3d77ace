# SPDX-License-Identifier: Apache-2.0
"""The console, used in a browser: what its pages show is what the interface says, and nothing goes wrong on the way."""
import shutil
import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

import pytest
import requests
from playwright.sync_api import expect, sync_playwright

from conftest import run
from test_http import Serve

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


def test_the_page_of_the_contract_keeps_its_policy(played, page):
    page.goto(played.url + "/docs")
    expect(page.locator(".opblock").first).to_be_visible()
    page.locator("#operations-market-getLatest").get_by_role("button").first.click()
    page.get_by_role("button", name="Execute").click()
    expect(page.locator(".responses-table .response-col_status", has_text="200").first).to_be_visible()


def test_a_page_of_another_origin_reads_on(played, browser, tmp_path):
    """What tells of the next page is not hidden from scripts, and does not come where browsers do not look."""
    (tmp_path / "index.html").write_text("<!doctype html><title>elsewhere</title>")
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(SimpleHTTPRequestHandler, directory=tmp_path)) as elsewhere:
        origin = f"http://127.0.0.1:{elsewhere.server_port}"
        threading.Thread(target=elsewhere.serve_forever, daemon=True).start()
        with Serve(played, "--cors-origins", origin) as server:
            context, page, _ = opened(browser)
            page.goto(origin)
            told = page.evaluate(
                """async url => {
                  const reply = await fetch(url + "trades?format=csv&limit=5000"), text = await reply.text();
                  const sql = await fetch(url + "sql?query=select+1");
                  return [text.length, reply.headers.get("X-Next-Page-Token"), sql.headers.get("Server-Timing")];
                }""", server.url + "/api/v1/")
            context.close()
        elsewhere.shutdown()
    assert told[0] > 100_000 and told[1] and "dur=" in told[2]


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


def write(page, text):
    """Puts a text into the editor, as pasting does: nothing is completed."""
    expect(page.locator(".editor.ace_editor")).to_be_visible()
    page.evaluate("""text => {
        const editor = ace.edit(document.querySelector('.editor'));
        editor.setValue(text, 1);
        editor.focus();
    }""", text)


def statement(page, text):
    """Runs a statement, and waits for its end."""
    write(page, text)
    page.keyboard.press("Control+Enter")
    expect(page.locator(".grid")).not_to_have_attribute("data-state", "running")


def shown(page):
    return [[cell.inner_text() for cell in row.locator("[role=gridcell]").all()] for row in page.locator(".grid-row").all()]


def test_sql_runs_completes_underlines_and_keeps(played, page):
    page.goto(played.url + "/#/sql")
    query = "select symbol, count(*) as n, null as nothing from trades group by symbol order by n desc, symbol limit 5"
    statement(page, query)
    expect(page.locator(".said")).to_contain_text("5 rows")
    assert shown(page) == [[symbol, str(n), "NULL"] for symbol, n, _ in played.sql(query)]
    assert [cell.inner_text() for cell in page.locator(".grid-head strong").all()] == ["symbol", "n", "nothing"]

    # The statement at the cursor, and a selection.
    write(page, "select 1 as one;\nselect ';' as two;\nselect 3 as three")
    page.keyboard.press("Control+Home")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Control+Enter")
    expect(page.locator(".grid-head strong")).to_have_text(["two"])
    assert shown(page) == [[";"]]
    page.keyboard.press("Home")
    page.keyboard.press("ArrowDown")
    for _ in "select 3":
        page.keyboard.press("Shift+ArrowRight")
    page.get_by_role("button", name="Run", exact=True).click()
    expect(page.locator(".grid-head strong")).to_have_text(["?column?"])
    assert shown(page) == [["3"]]

    # Completion: the columns of the alias, then the table.
    write(page, "select * from bars b where ")
    page.keyboard.type("b.clo")
    page.keyboard.press("Control+Space")
    expect(page.locator(".ace_autocomplete .ace_line:visible").first).to_contain_text("close")
    page.keyboard.press("Enter")
    page.keyboard.type(" is null")
    assert page.evaluate("ace.edit(document.querySelector('.editor')).getValue()") == "select * from bars b where b.close is null"

    # An error is underlined where it is; characters beyond the first plane count as one there.
    page.watch.allowed = ("400",)
    write(page, "select '📼', 1;\nselect '📼', prize from trades")
    page.keyboard.press("Control+Enter")
    expect(page.locator(".problem")).to_contain_text('column "prize" does not exist')
    expect(page.locator(".problem")).to_contain_text("trades.price")
    fault = page.locator(".sql-fault").bounding_box()
    marked = page.evaluate("""box => {
        const editor = ace.edit(document.querySelector('.editor'));
        const at = editor.renderer.screenToTextCoordinates(box.x + 2, box.y + box.height / 2);
        return editor.session.getTextRange(editor.session.getWordRange(at.row, at.column));
    }""", fault)
    assert marked == "prize"
    page.watch.allowed = ()

    # Kept in this browser: history, and what was saved by a name.
    page.get_by_role("tab", name="History").click()
    expect(page.locator(".kept:visible li")).to_have_count(4)
    write(page, "select 42 as answer")
    page.get_by_label("Name of the statement").fill("The answer")
    page.get_by_role("button", name="Save").click()
    page.reload()
    page.get_by_role("tab", name="Saved").click()
    write(page, "")
    page.get_by_role("button", name="The answer").first.click()
    page.keyboard.press("Control+Enter")
    expect(page.locator(".grid-head strong")).to_have_text(["answer"])


def test_sql_streams_a_million_rows_into_a_grid(played, page):
    page.goto(played.url + "/#/sql")
    page.evaluate("""() => { window.longest = 0; new PerformanceObserver(list => {
        for (const task of list.getEntries()) window.longest = Math.max(window.longest, task.duration);
    }).observe({entryTypes: ['longtask']}); }""")
    write(page, "select i, 'row \"],[' || i as name, i % 7 as wave from generate_series(1, 1000000) i")
    page.keyboard.press("Control+Enter")
    # Rows are there, and can be walked, before the last has come.
    expect(page.locator(".grid-row").nth(3)).to_be_visible()
    expect(page.locator(".said")).to_contain_text("1,000,000 rows, ", timeout=200_000)
    assert page.locator(".grid-row").count() < 200
    page.locator(".grid-body").focus()
    page.keyboard.press("End")
    expect(page.locator(".grid-row").last).to_contain_text('row "],[1000000')
    assert shown(page)[-1] == ["1000000", 'row "],[1000000', "1"]
    page.keyboard.press("Home")
    page.keyboard.press("ArrowDown")
    expect(page.locator(".grid-row").first).to_contain_text('row "],[2')
    # Tens of milliseconds on a machine that has nothing else to do; the whole takes many seconds.
    assert page.evaluate("window.longest") < 5000, "the page froze"

    # A chart of it.
    page.get_by_role("tab", name="Chart").click()
    expect(page.locator(".chart-of-result")).to_have_attribute("data-points", "100000")
    page.get_by_role("tab", name="Rows").click()

    # A result that is cut off says so; a statement that takes too long ends.
    page.get_by_label("Most rows").fill("10")
    statement(page, "select * from trades")
    expect(page.locator(".said")).to_contain_text("10 rows (there are more)")
    page.get_by_label("Most rows").fill("")
    page.get_by_label("Time-out").fill("0.3")
    page.watch.allowed = ("504", "ERR_INCOMPLETE", "409")
    statement(page, "select pg_sleep(60)")
    expect(page.locator(".problem")).to_contain_text("longer than 300 ms")
    page.get_by_label("Time-out").fill("")

    # What runs is listed, and ended.
    write(page, "select pg_sleep(61)")
    page.keyboard.press("Control+Enter")
    page.get_by_role("tab", name="Running").click()
    running = page.locator("tr[data-query]", has_text="pg_sleep(61)")
    expect(running).to_be_visible()
    listed = api(played, "/api/v1/queries")["queries"]
    assert running.get_attribute("data-query") in [query["query_id"] for query in listed]
    running.get_by_role("button").click()
    expect(page.locator(".problem")).to_contain_text("cancel")
    expect(running).to_have_count(0)

    # Escape hangs up, and the server ends the statement.
    write(page, "select pg_sleep(62)")
    page.keyboard.press("Control+Enter")
    expect(page.get_by_role("button", name="Cancel")).to_be_enabled()
    page.keyboard.press("Escape")
    expect(page.locator(".said")).to_contain_text("cancelled")


def test_sql_downloads_what_was_run(played, page, tmp_path):
    page.goto(played.url + "/#/sql")
    query = "select symbol, ts, price from trades where symbol = 'COINBASE:ETH-USD' order by ts, trade_id"
    statement(page, query)
    for name in ("CSV", "NDJSON"):
        with page.expect_download() as download:
            page.get_by_role("button", name=name, exact=True).click()
        kept = tmp_path / download.value.suggested_filename
        download.value.save_as(kept)
        expected = requests.get(played.url + "/api/v1/sql", {"query": query, "format": name.lower()}, timeout=60).text
        assert kept.read_text() == expected and kept.name == "tapedeck." + name.lower()


def test_forecast_is_what_the_interface_makes_for_the_same_parameters(played, page):
    page.goto(played.url + "/#/forecast?symbol=BITSTAMP:BTCUSD&timeframe=1h&lookback=3650d&steps=24&paths=3&seed=7")
    fan = page.locator("[data-p50]")
    expect(fan).to_have_attribute("data-steps", "24")

    def made(**more):
        body = {"symbol": "BITSTAMP:BTCUSD", "timeframe": "1h", "lookback": "3650d", "steps": 24, "paths": 1000, "seed": 7, "store": False, **more}
        reply = requests.post(played.url + "/api/v1/forecasts", json=body, timeout=60)
        assert reply.status_code in (200, 201), reply.text
        return reply.json()["forecasts"][0]

    def compare(forecast):
        for name in ("p05", "p50", "p95"):
            # As JavaScript writes the number.
            expect(fan).to_have_attribute("data-" + name, page.evaluate("value => String(value)", forecast["fan"][-1][name]))
        expect(page.locator("[data-bins]")).to_have_attribute("data-count", str(forecast["paths"]))
        expect(page.locator("[data-bins]")).to_have_attribute("data-bins", str(len(forecast["outcomes"])))
        facts = page.locator(".facts dd").all_inner_texts()
        assert number(facts[0]) == pytest.approx(forecast["spot"], abs=0.005)
        assert f"{forecast['volatility'] * 100:.1f} %" in facts

    compare(made())
    page.get_by_label("Volatility a year").fill("0.25")
    compare(made(volatility=0.25))
    page.get_by_label("Steps").fill("12")
    compare(made(volatility=0.25, steps=12))
    assert "volatility=0.25" in page.url and "steps=12" in page.url
    page.get_by_label("Volatility a year").fill("")

    # As if the last steps were not known: what came is beside what was predicted, and is scored.
    page.get_by_role("button", name="Test on the past").click()
    expect(fan).not_to_have_attribute("data-actual", "0")
    until = page.get_by_label("Known until").input_value()
    compare(made(steps=12, until=until + "Z"))
    count = len(api(played, "/api/v1/forecasts", symbol="BITSTAMP:BTCUSD")["forecasts"])
    page.get_by_role("button", name="Make and keep").click()
    kept = page.get_by_role("region", name="Forecasts that are kept").locator("tbody tr")
    expect(kept).to_have_count(count + 1)
    run("jobs", "run", "score", "--data-dir", played.folder)
    newest = api(played, "/api/v1/forecasts", symbol="BITSTAMP:BTCUSD")["forecasts"][0]["forecast_id"]
    page.locator(f"tr[data-row='{newest}']").click()
    expect(fan).to_have_attribute("data-id", str(newest))
    scored = api(played, "/api/v1/tables/forecast_calibration", symbol="eq.BITSTAMP:BTCUSD", step_seconds="eq.3600")
    assert scored
    expect(page.locator("[data-steps]").last).to_have_attribute("data-steps", str(len(scored)))

    # What cannot be made says why.
    page.watch.allowed = ("400", "404")
    page.get_by_label("Symbol").fill("NOBODY:KNOWS")
    page.get_by_label("Steps").fill("13")
    expect(page.locator(".problem")).to_be_visible()
    expect(page.locator(".problem")).to_contain_text("NOBODY:KNOWS")


POSTS = """{"name":"t3_a1","id":"a1","subreddit":"stocks","title":"$AAPL to the moon, great quarter","selftext":"","author":"one","created_utc":1706000000,"score":12,"url":"https://example.com/a1"}
{"name":"t1_a2","id":"a2","link_id":"t3_x","body":"I love $AAPL, wonderful","subreddit":"stocks","author":"two","created_utc":1706003600,"score":3}
{"name":"t1_a3","id":"a3","link_id":"t3_x","body":"$AAPL is a terrible fraud, awful <img src=x onerror=alert(1)>","subreddit":"investing","author":"three","created_utc":1706007200,"score":-4}
{"name":"t1_a4","id":"a4","link_id":"t3_x","body":"$MSFT reports on Tuesday","subreddit":"investing","author":"four","created_utc":1706010800,"score":1}
"""


def test_sentiment_leads_from_a_number_to_its_posts(played, page, tmp_path):
    instruments = tmp_path / "instruments.csv"
    instruments.write_text('symbol,name\nAAPL,Apple Inc.\nMSFT,Microsoft Corporation\n')
    posts = tmp_path / "posts.ndjson"
    posts.write_text(POSTS)
    run("load", instruments, "--data-dir", played.folder)
    run("load", posts, "--data-dir", played.folder)
    page.goto(played.url + "/#/sentiment?window=7d")

    means = dict(played.sql("select symbol, avg(sentiment) from mentions group by symbol"))
    assert set(means) == {"AAPL", "MSFT"}
    gauges = page.locator(".gauge")
    expect(gauges).to_have_count(2)
    for symbol, mean in means.items():
        gauge = page.locator(f".gauge[data-symbol={symbol}]")
        assert float(gauge.get_attribute("data-mean")) == pytest.approx(mean)
        assert number(gauge.locator("strong").inner_text()) == pytest.approx(mean, abs=0.005)
    # The symbol that is spoken of most is chosen; each of its posts stands there, newest first.
    expect(page.locator(".gauge[aria-pressed=true]")).to_have_attribute("data-symbol", "AAPL")
    listed = page.locator(".post")
    expect(listed).to_have_count(3)
    assert [post.get_attribute("data-post") for post in listed.all()] == [
        post["id"] for post in api(played, "/api/v1/posts", symbol="AAPL")["posts"]]
    # A post is text, whatever it says.
    expect(listed.first).to_contain_text("<img src=x onerror=alert(1)>")
    row = page.get_by_role("region", name="Symbols").locator("tr[data-row=AAPL]")
    assert [cell.inner_text() for cell in row.locator("td").all()][3:] == ["3", "2", "1"]
    bars = api(played, "/api/v1/sentiment", symbol="AAPL", timeframe="1h")["sentiment"]
    expect(page.locator(".over-time")).to_have_attribute("data-bins", str(len(bars)))
    expect(page.locator(".over-time")).to_have_attribute("data-posts", "3")

    # By subreddit.
    page.get_by_role("region", name="Subreddits").get_by_role("button", name="r/stocks").click()
    expect(listed).to_have_count(2)
    expect(page.locator(".over-time")).to_have_attribute("data-posts", "2")
    assert number(page.locator("tr[data-row=stocks] td.number").first.inner_text()) == pytest.approx(
        played.one("select avg(sentiment) from mentions where subreddit = 'stocks' and symbol = 'AAPL'"), abs=0.005)
    page.locator(".gauge[data-symbol=MSFT]").click()
    expect(listed).to_have_count(1)
    expect(listed).to_contain_text("Tuesday")
    assert "symbol=MSFT" in page.url

    # The market page shows it under the price.
    day = tmp_path / "day.csv"
    day.write_text("ts,symbol,price,size\n" + "".join(f"{1706000000 + 3600 * n},AAPL,{190 + n},1\n" for n in range(4)))
    run("load", day, "--data-dir", played.folder)
    page.goto(played.url + "/#/market?symbol=AAPL&timeframe=1h")
    expect(page.locator(".feeling")).to_contain_text("3 posts")
    assert number(page.locator(".feeling").inner_text()) == pytest.approx(means["AAPL"], abs=0.005)


def test_pipeline_shows_what_flows_and_what_was_refused(played, page, tmp_path):
    tape = tmp_path / "bad.csv"
    tape.write_text("ts,symbol,price,size\n2024-01-01,PIPE,-1,1\n2024-01-01,PIPE,2,3\n2024-01-01,PIPE,many,1\n")
    run("load", tape, "--data-dir", played.folder)
    page.goto(played.url + "/#/pipeline")
    stored, refused = played.sql("""select sum(next_offset) filter (where right(topic, 9) <> '.rejected'),
        sum(next_offset) filter (where right(topic, 9) = '.rejected') from ops.log_offsets""")[0]
    flow = page.locator(".flow")
    expect(flow).to_have_attribute("data-stored", str(stored))
    expect(flow).to_have_attribute("data-rejected", str(refused))
    expect(flow.locator(".node", has_text="Sources")).to_contain_text("file")
    expect(flow.locator("[data-figure=lag]")).to_have_text("0")

    # Each reason with its count, each record with what the source sent.
    for reason, count in played.sql("select reason, count(*) from ops.rejected_records group by reason"):
        expect(page.locator(f".reasons [data-reason={reason}]")).to_have_text(f"{reason} {count}")
    page.locator(".reasons [data-reason=price_unreadable]").click()
    listed = api(played, "/api/v1/rejected", reason="price_unreadable")["rejected"]
    expect(page.locator(".rejects li")).to_have_count(len(listed))
    expect(page.locator(".rejects strong").first).to_have_text("price_unreadable")
    page.locator(".rejects summary").first.click()
    expect(page.locator(".rejects pre").first).to_have_text(listed[0]["payload_text"])

    # What flows while somebody looks.
    tape.write_text("ts,symbol,price,size\n" + "".join(f"2024-01-02T00:00:{n:02}Z,PIPE,{n + 1},1\n" for n in range(50)))
    run("load", tape, "--data-dir", played.folder)
    expect(flow).to_have_attribute("data-stored", str(stored + 50))

    def table(name):
        return page.get_by_role("region", name=name).locator("tbody tr")

    for job, schedule in played.sql("select job, schedule from ops.jobs"):
        expect(table("Jobs").filter(has_text=job).first).to_contain_text(schedule)
    owner = played.one("select owner from ops.processors")
    expect(table("Processors").filter(has_text=owner)).to_have_count(1)
    symbols = played.one("select least(200, count(*)) from ops.symbol_freshness")
    expect(table("Freshness")).to_have_count(symbols)
    alerts = api(played, "/api/v1/alerts", order="desc", limit=100)["alerts"]
    assert alerts
    expect(table("Alerts")).to_have_count(len(alerts))
    expect(table("Alerts").first).to_contain_text(alerts[0]["symbol"])
    expect(page.get_by_role("region", name="Cut-offs and gaps").locator(".nothing")).to_be_visible()


def test_pipeline_tells_the_lag_of_a_processor_elsewhere(played, page):
    """A `serve` of its own knows no more than the store, in which the processor of `played` says how far it is."""
    with Serve(played) as server:
        assert "tapedeck_lag_records" not in requests.get(server.url + "/metrics", timeout=30).text
        page.goto(server.url + "/#/pipeline")
        expect(page.locator(".flow [data-figure=lag]")).to_have_text("0")
        page.goto("about:blank")


def test_it_fits_a_phone_and_both_colours(played, browser):
    for scheme, ground in [("dark", "rgb(10, 13, 19)"), ("light", "rgb(244, 245, 247)")]:
        context, page, watch = opened(
            browser, viewport={"width": 390, "height": 844}, color_scheme=scheme, has_touch=True, is_mobile=True)
        # The symbol that comes up may have too few bars for a forecast.
        watch.allowed = ("422",)
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


def test_the_keyboard_leads_everywhere(played, page):
    page.goto(played.url)
    page.watch.allowed = ("422",)
    for number, name in enumerate(["market", "forecast", "sentiment", "sql", "pipeline"], 1):
        page.evaluate("document.activeElement.blur()")
        page.keyboard.press(str(number))
        expect(page.locator("#tabs a[aria-current=page]")).to_have_attribute("data-page", name)
        expect(page.locator("#page .panel").first).to_be_visible()
        if name == "sql":
            # The editor takes the focus when all is there, and with it what is typed.
            expect(page.locator(".editor textarea")).to_be_focused()
    page.keyboard.press("?")
    expect(page.get_by_role("dialog", name="Help")).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.locator("dialog[open]")).to_have_count(0)
    # The focus leaves what is no longer shown with the next picture.
    expect(page.locator("dialog :focus")).to_have_count(0)
    before = page.locator("html").get_attribute("data-theme")
    page.keyboard.press("t")
    expect(page.locator("html")).not_to_have_attribute("data-theme", before or "")
    # The links to the pages are among the first stops, and what has the focus can be seen.
    page.reload()
    expect(page.locator("#page .panel").first).to_be_visible()
    stops = []
    for _ in range(4):
        page.keyboard.press("Tab")
        stops.append(page.evaluate("document.activeElement.dataset.page ?? ''"))
        if stops[-1] == "forecast":
            break
    assert stops[-2:] == ["market", "forecast"]
    assert page.evaluate("getComputedStyle(document.activeElement).outlineStyle") != "none"
    page.keyboard.press("Enter")
    expect(page.locator("#tabs a[aria-current=page]")).to_have_attribute("data-page", "forecast")


def test_a_page_that_is_left_while_it_loads_does_not_come_back(played, page):
    held = []
    page.watch.allowed = ("422",)
    page.route("**/api/v1/latest*", lambda route: route.continue_() if held else held.append(route))
    page.goto(played.url)
    expect(page.locator("#page.market .panel").first).to_be_visible()
    while not held:
        page.wait_for_timeout(20)
    page.keyboard.press("2")
    expect(page.locator("#tabs a[aria-current=page]")).to_have_attribute("data-page", "forecast")
    expect(page.locator("#page.forecast .panel").first).to_be_visible()
    # The page that was left goes on with what it had begun.
    with page.expect_response("**/api/v1/indicators*"):
        held[0].continue_()
    assert page.evaluate("location.hash").startswith("#/forecast")
    expect(page.locator("#tabs a[aria-current=page]")).to_have_attribute("data-page", "forecast")


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
