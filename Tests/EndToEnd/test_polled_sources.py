# SPDX-License-Identifier: Apache-2.0
"""Sources that ask: Yahoo and Finnhub's REST interface, each against a double that serves over TLS and misbehaves."""
import datetime
import pathlib
import subprocess

import pytest
import requests
from conftest import BINARY, ENVIRONMENT, ROOT, wait_until
from doubles.finnhub_rest import FinnhubREST
from doubles.http_service import certificates
from doubles.yahoo import Yahoo

TOKEN = "secret-finnhub-token"


def stamp(seconds):
    return datetime.datetime.fromtimestamp(seconds, datetime.timezone.utc)


@pytest.fixture(scope="module")
def keys(tmp_path_factory):
    return certificates(tmp_path_factory.mktemp("certificates"))


@pytest.fixture
def yahoo(keys):
    double = Yahoo(*keys[1:])
    yield double
    double.close()


@pytest.fixture
def finnhub(keys):
    double = FinnhubREST(TOKEN, *keys[1:])
    yield double
    double.close()


def yahoo_arguments(double, keys, symbols="AAPL,BTC-USD,NOPE"):
    return ["--yahoo-symbols", symbols, "--yahoo-url", double.url, "--yahoo-cookie-url", double.url + "/cookie",
            "--yahoo-interval", "100ms", "--yahoo-rate", "6000", "--source-busy-pause", "100ms", "--source-timeout", "1s",
            "--source-authorities", str(keys[0])]


def bars(up, symbol):
    rows = up.sql("select extract(epoch from ts)::bigint, open, high, low, close, volume from market.source_bars "
                  "where symbol = %s and source = 'yahoo' and timeframe = '2m' order by ts", symbol)
    return {row[0]: row[1:] for row in rows}


def events(up, source, kind):
    return [row[0] or "" for row in up.sql(
        "select message from ops.source_events where source = %s and kind = %s order by run_id, sequence",
        source, kind)]


def no_secrets(up, *secrets):
    written = up.output()
    written += (pathlib.Path("/proc") / str(up.process.pid) / "cmdline").read_text()
    written += str(up.sql("select message from ops.source_events"))
    for secret in secrets:
        assert secret not in written


def test_yahoo(start, yahoo, keys):
    up = start("--source", "yahoo", *yahoo_arguments(yahoo, keys))
    # The back-fill: every bar and no moment that is none, the one that is not over as it stands.
    for symbol in ("AAPL", "BTC-USD"):
        wait_until(lambda: bars(up, symbol) == yahoo.bars(symbol), 60, f"the bars of {symbol}", up)
    wait_until(lambda: up.one("select count(*) from market.instruments") == 2, 60,
               "the facts", up)
    facts = up.sql("select name, exchange, type, currency, country, sector, industry, market_cap, forward_pe, "
                   "trailing_pe, fifty_two_week_high, fifty_two_week_low, fifty_day_average, short_ratio "
                   "from market.instruments where symbol = 'AAPL'")
    assert facts == [("Apple Inc.", "NMS", "equity", "USD", "United States", "Technology", "Consumer Electronics",
                      3688676720640, 29.548735, 38.91442, 260.1, 164.08, 240.6902, 2.12)]
    assert up.one("select count(*) from market.instrument_history") == 2
    quote = yahoo.quote("BTC-USD")
    wait_until(lambda: up.sql(
        "select price, open, high, low, previous_close, volume, currency from market.quotes "
        "where source = 'yahoo' and symbol = 'BTC-USD' and ts = %s", stamp(yahoo.now))
        == [(quote["regularMarketPrice"], quote["regularMarketOpen"], quote["regularMarketDayHigh"],
             quote["regularMarketDayLow"], quote["regularMarketPreviousClose"], quote["regularMarketVolume"], "USD")],
        60, "the quote", up)
    # Bars of trades are no others': there are none.
    assert up.one("select count(*) from market.bars") == 0
    assert requests.get(up.url + "/api/v1/bars?symbol=BTC-USD&timeframe=1m", timeout=30).json()["bars"] == []
    first = min(yahoo.bars("BTC-USD"))
    rows = requests.get(up.url + "/api/v1/tables/source_bars?symbol=eq.BTC-USD&timeframe=eq.2m&order=ts&limit=1"
                        "&select=open,high,low,close,volume,source,currency", timeout=30).json()
    names = ("open", "high", "low", "close", "volume")
    assert rows == [dict(zip(names, yahoo.bars("BTC-USD")[first])) | {"source": "yahoo", "currency": "USD"}]
    # What Yahoo does not know is said, of its symbol.
    wait_until(lambda: any("NOPE" in message for message in events(up, "yahoo", "error")), 60, "the unknown symbol", up)
    # A market that is closed or open is a fact.
    assert up.one("select count(*) from ops.source_events where kind in ('market_opened', 'market_closed') "
                  "and symbols @> array['AAPL']") >= 1
    assert "open" in events(up, "yahoo", "market_opened")

    # Time goes on: the bar that was not over is corrected, new ones come.
    yahoo.advance(250)
    wait_until(lambda: bars(up, "BTC-USD") == yahoo.bars("BTC-USD"), 60, "the next bars", up)

    # Misbehaviour of every kind: when it is over, all bars are there, and what was missed is a gap that was filled.
    for deed in ("503", "429", "429:1", "garbage", "truncated", "drop", "slow", "401"):
        for path in ("/v8", "/v7"):
            yahoo.misbehave(deed, path)
        wait_until(yahoo.done, 60, deed, up)
        yahoo.advance(130)
        wait_until(lambda: bars(up, "BTC-USD") == yahoo.bars("BTC-USD"), 90, f"the bars after {deed}", up)
    assert len(events(up, "yahoo", "gap")) > 1
    wait_until(lambda: up.one("select count(*) from ops.source_gaps where filled_at is null") == 0, 60,
               "the gaps to be filled", up)
    failures = " ".join(events(up, "yahoo", "disconnected") + events(up, "yahoo", "error"))
    for words in ("(503)", "(429)", "is no JSON, or was cut off"):
        assert words in failures

    # Cookies and crumbs end.
    yahoo.expire()
    yahoo.advance(130)
    wait_until(lambda: up.one(f"select count(*) from market.quotes where ts = to_timestamp({yahoo.now})") > 0, 60,
               "a quote with a new crumb", up)

    # Sent elsewhere: it does not go.
    other = Yahoo()
    yahoo.misbehave("redirect:" + other.url + "/v8", "/v8")
    wait_until(lambda: "may not go" in " ".join(
        events(up, "yahoo", "disconnected") + events(up, "yahoo", "error")), 60, "the redirect to be refused", up)
    assert not other.requests
    other.close()

    # The schema changes: which path it was is said, and the rest goes on.
    yahoo.renamed = {"regularMarketPrice": "regular_price", "close": "last"}
    yahoo.advance(130)
    for path in ("quoteResponse.result[0].regularMarketPrice", "chart.result[0].indicators.quote[0].close"):
        wait_until(lambda: any(path in message for message in events(up, "yahoo", "error")), 60, path, up)
    yahoo.renamed = {}
    wait_until(lambda: bars(up, "BTC-USD") == yahoo.bars("BTC-USD"), 60, "the bars after the change", up)

    # Killed: the bars of the time between are fetched, and nothing is there twice.
    gaps = len(events(up, "yahoo", "gap"))
    up.kill_everything()
    yahoo.advance(600)
    up.start()
    wait_until(lambda: bars(up, "BTC-USD") == yahoo.bars("BTC-USD"), 60, "the bars of the time between", up)
    wait_until(lambda: len(events(up, "yahoo", "gap")) > gaps, 60, "the gap", up)
    wait_until(lambda: up.one("select count(*) from ops.source_gaps where filled_at is null") == 0, 60,
               "the gap to be filled", up)

    no_secrets(up, "secret-cookie", "secret.Crumb")
    assert up.one("select count(*) from ops.rejected_records") == 0
    status, _ = up.stop()
    assert status == 0


def ingest(folder, spec, *arguments, environment=None, until, what):
    """Runs `tapedeck ingest` until `until(output)`; returns what it has written."""
    log = folder.parent / "ingest.log"
    with open(log, "wb") as output:
        process = subprocess.Popen(
            [str(BINARY), "ingest", spec, "--data-dir", str(folder), *arguments], stdout=output, stderr=output,
            stdin=subprocess.DEVNULL, env=ENVIRONMENT | (environment or {}), cwd=ROOT)
    try:
        wait_until(lambda: until(log.read_text(), process), 60, what)
    finally:
        if process.poll() is None:
            process.terminate()
            process.wait(30)
    return log.read_text(), process.returncode


def test_wrong_certificate(folder, yahoo, finnhub, keys, tmp_path):
    stranger, _, _ = certificates(tmp_path / "stranger")
    for spec, double, arguments in (
            ("yahoo", yahoo, ["--yahoo-symbols", "AAPL", "--yahoo-url", yahoo.url, "--yahoo-cookie-url", yahoo.url]),
            ("finnhub-rest", finnhub, ["--finnhub-symbols", "AAPL", "--finnhub-url", finnhub.url])):
        output, status = ingest(
            folder, spec, *arguments, "--source-authorities", str(stranger), environment={"FINNHUB_API_TOKEN": TOKEN},
            what="the certificate to be refused", until=lambda text, _: "certificate" in text)
        assert not double.requests and status == 0, output
        assert TOKEN not in output


def test_finnhub_rest(start, finnhub, keys, tmp_path):
    credentials = tmp_path / "credentials.ini"
    credentials.write_text(f"[FINNHUB]\nFINNHUB_TOKEN = {TOKEN}\n")
    finnhub.limit = 100000
    up = start("--source", "finnhub-rest", "--finnhub-symbols", "AAPL,BINANCE:BTCUSDT,PREMIUM,NONE",
               "--finnhub-url", finnhub.url, "--finnhub-interval", "100ms", "--finnhub-rate", "6000", "--source-busy-pause", "100ms",
               "--source-timeout", "1s", "--source-authorities", str(keys[0]), "--credentials", str(credentials))

    def has_quote(symbol):
        quote = finnhub.quote(symbol)
        return up.sql("select price, open, high, low, previous_close from market.quotes "
                      "where source = 'finnhub-rest' and symbol = %s and ts = %s", symbol, stamp(finnhub.now)) \
            == [(quote["c"], quote["o"], quote["h"], quote["l"], quote["pc"])]

    for symbol in ("AAPL", "BINANCE:BTCUSDT"):
        wait_until(lambda: has_quote(symbol), 60, f"the quote of {symbol}", up)
    wait_until(lambda: up.sql("select name, exchange, currency, country, industry, market_cap from market.instruments "
                              "where symbol = 'AAPL'")
               == [("Apple Inc", "NASDAQ NMS - GLOBAL MARKET", "USD", "US", "Technology", 2693850e6)], 60,
               "the profile", up)
    for words in ("quote of PREMIUM: refused: You don't have access", "quote of NONE: Finnhub has none"):
        wait_until(lambda: any(words in message for message in events(up, "finnhub-rest", "error")), 60, words, up)
    for deed in ("503", "429:1", "garbage", "truncated", "drop", "slow"):
        finnhub.misbehave(deed, "/quote")
        wait_until(finnhub.done, 60, deed, up)
        finnhub.advance(7)
        wait_until(lambda: has_quote("BINANCE:BTCUSDT"), 90, f"the quote after {deed}", up)
    assert len(events(up, "finnhub-rest", "gap")) >= 1
    # What the heads say of the limit is kept to, so that it is never met: two requests a second, where ten are due.
    finnhub.period, finnhub.limit = 1, 2
    asked, refused = len(finnhub.asked("/quote")), finnhub.refused
    wait_until(lambda: len(finnhub.asked("/quote")) >= asked + 10, 60, "requests within the limit", up)
    # One may be: whoever did not hear a reply in time does not know what it said.
    assert finnhub.refused - refused <= 1
    finnhub.period, finnhub.limit = 60, 100000
    # The token goes in the head, never in an address.
    assert all(TOKEN not in str(request.query) for request in finnhub.requests)
    no_secrets(up, TOKEN)
    status, _ = up.stop()
    assert status == 0


def test_finnhub_refuses_the_token(folder, finnhub, keys):
    output, status = ingest(
        folder, "finnhub-rest", "--finnhub-symbols", "AAPL", "--finnhub-url", finnhub.url, "--source-authorities",
        str(keys[0]), environment={"FINNHUB_API_TOKEN": "another"}, what="the token to be refused",
        until=lambda text, process: process.poll() is not None)
    assert status != 0 and "does not take the token (401)" in output and "another" not in output
