# SPDX-License-Identifier: Apache-2.0
"""Clients of other services work by another base URL: their own packages, as published."""
import datetime
import http.client
import json
import time

import curl_cffi.requests
import finnhub
import pytest
import requests
from alpaca.data.historical import StockHistoricalDataClient
from alpaca.data.requests import StockBarsRequest
from alpaca.data.timeframe import TimeFrame, TimeFrameUnit
from binance.error import ClientError
from binance.spot import Spot

from conftest import run

SYMBOL = "BITSTAMP:BTCUSD"
FIRST, LAST = 1293840000, 1893456000  # 2011 and 2030
BARS = ("select extract(epoch from ts)::bigint, open, high, low, close, volume, trade_count, vwap from bars "
        "where symbol = %s and timeframe = '1d' order by ts")


@pytest.fixture
def daily(played):
    rows = played.sql(BARS, SYMBOL)
    assert len(rows) > 5
    return rows


def test_finnhub(played, daily):
    client = finnhub.Client(api_key="any")
    client.API_URL = played.url + "/api/v1"
    candles = client.stock_candles(SYMBOL, "D", FIRST, LAST)
    assert candles["s"] == "ok"
    assert list(zip(candles["t"], candles["o"], candles["h"], candles["l"], candles["c"], candles["v"])) == [
        row[:6] for row in daily]
    assert client.stock_candles("NOBODY", "D", FIRST, LAST) == {"s": "no_data"}
    quote = client.quote(SYMBOL)
    price, = played.sql("select price from latest where symbol = %s", SYMBOL)[0]
    assert quote["c"] == price and quote["h"] == daily[-1][2] and quote["pc"] == daily[-2][4]
    assert quote["d"] == pytest.approx(price - daily[-2][4])
    with pytest.raises(finnhub.FinnhubAPIException, match="resolution"):
        client.stock_candles(SYMBOL, "7x", FIRST, LAST)
    # What it has and we have not is told in its words too, to clients that put one slash or two.
    with pytest.raises(finnhub.FinnhubAPIException, match="no such resource"):
        client.crypto_candles(SYMBOL, "D", FIRST, LAST)
    for path in ("stock/profile2?symbol=AAPL", "search?q=apple", "/company-news?symbol=AAPL"):
        missing = requests.get(f"{client.API_URL}/{path}", timeout=30)
        assert missing.status_code == 404 and list(missing.json()) == ["error"], path
    assert requests.get(f"{client.API_URL}/trade", timeout=30).json()["hint"] == "Perhaps you meant /api/v1/trades."
    # A key of Finnhub's in the URL, as its examples have it, is of no interest here.
    for path in [f"quote?symbol={SYMBOL}", f"stock/candle?symbol={SYMBOL}&resolution=D&from={FIRST}&to={LAST}"]:
        plain, keyed = (requests.get(f"{client.API_URL}/{path}{more}", timeout=30) for more in ("", "&token=c0ffee"))
        assert keyed.status_code == 200 and keyed.text == plain.text and keyed.headers["ETag"] == plain.headers["ETag"]


def test_finnhub_weeks_begin_on_monday(played):
    client = finnhub.Client(api_key="any")
    client.API_URL = played.url + "/api/v1"
    weeks = client.stock_candles(SYMBOL, "W", FIRST, LAST)
    expected = played.sql(
        "select extract(epoch from date_trunc('week', ts))::bigint, first(open, ts), max(high), min(low), last(close, ts) "
        "from bars where symbol = %s and timeframe = '1d' group by 1 order by 1", SYMBOL)
    assert list(zip(weeks["t"], weeks["o"], weeks["h"], weeks["l"], weeks["c"])) == expected
    months = client.stock_candles(SYMBOL, "M", FIRST, LAST)
    assert months["t"] == [row[0] for row in played.sql(
        "select distinct extract(epoch from date_trunc('month', ts))::bigint from bars "
        "where symbol = %s and timeframe = '1d' order by 1", SYMBOL)]


def test_binance(played, daily):
    client = Spot(base_url=played.url)
    lines = client.klines(SYMBOL, "1d", startTime=FIRST * 1000, limit=3)
    assert [(line[0] // 1000, *map(float, line[1:6]), line[8]) for line in lines] == [row[:7] for row in daily[:3]]
    assert all(line[6] == line[0] + 86_400_000 - 1 and isinstance(line[1], str) for line in lines)
    newest = client.klines(SYMBOL, "1d", limit=2)
    assert [line[0] // 1000 for line in newest] == [row[0] for row in daily[-2:]]
    with pytest.raises(ClientError) as failure:
        client.klines("NOBODY", "1d")
    assert (failure.value.status_code, failure.value.error_code) == (400, -1121)
    # What it has and we have not is told in its words too.
    with pytest.raises(ClientError) as failure:
        client.ticker_price(SYMBOL)
    assert failure.value.status_code == 404 and "no such resource" in failure.value.error_message
    chart = requests.get(played.url + "/v8/finance/chart/KRAKEN:XMR/USD", timeout=30)
    assert chart.status_code == 404 and chart.json()["chart"]["error"]["code"] == "Not Found"


def test_binance_exchange(played):
    client = Spot(base_url=played.url)
    assert client.ping() == {}
    now = time.time() * 1000
    assert abs(client.time()["serverTime"] - now) < 60_000
    fine = requests.get(played.url + "/api/v3/time", headers={"X-MBX-TIME-UNIT": "MICROSECOND"}, timeout=30)
    assert abs(fine.json()["serverTime"] - now * 1000) < 60_000_000
    everything = client.exchange_info()
    assert everything["timezone"] == "UTC" and abs(everything["serverTime"] - now) < 60_000
    symbols = {entry["symbol"]: entry for entry in everything["symbols"]}
    assert len(symbols) == len(everything["symbols"]) == played.one("select count(*) from symbols")
    bitcoin = symbols[SYMBOL]
    assert (bitcoin["baseAsset"], bitcoin["quoteAsset"], bitcoin["status"]) == ("BTC", "USD", "TRADING")
    assert bitcoin["permissionSets"] == [["SPOT"]] and bitcoin["filters"] == []
    assert client.exchange_info(symbol=SYMBOL)["symbols"] == [bitcoin]
    both = sorted(symbols)[:2]
    assert [entry["symbol"] for entry in client.exchange_info(symbols=both)["symbols"]] == both
    assert client.exchange_info(permissions=["MARGIN"])["symbols"] == []
    # All that is listed has bars under the name that it is listed by.
    for symbol in symbols:
        assert client.klines(symbol, "1d", limit=1), symbol
    for options in ({"symbol": "NOBODY"}, {"symbols": [SYMBOL, "NOBODY"]}):
        with pytest.raises(ClientError) as failure:
            client.exchange_info(**options)
        assert (failure.value.status_code, failure.value.error_code) == (400, -1121)
    for query in ("symbols=AAPL", "symbols=[]", f"symbol={SYMBOL}&symbols=[%22{SYMBOL}%22]", "symbolStatus=OPEN"):
        refused = requests.get(f"{played.url}/api/v3/exchangeInfo?{query}", timeout=30)
        assert (refused.status_code, refused.json()["code"]) == (400, -1130), query


def test_alpaca_in_pages(played, daily):
    client = StockHistoricalDataClient("key", "secret", url_override=played.url)
    # The client itself asks for page after page.
    bars = client.get_stock_bars(StockBarsRequest(
        symbol_or_symbols=[SYMBOL, "NOBODY"], timeframe=TimeFrame(1, TimeFrameUnit.Day),
        start=datetime.datetime.fromtimestamp(FIRST, datetime.timezone.utc),
        end=datetime.datetime.fromtimestamp(LAST, datetime.timezone.utc))).data
    assert list(bars) == [SYMBOL]
    assert [(int(bar.timestamp.timestamp()), bar.open, bar.high, bar.low, bar.close, bar.volume, bar.trade_count)
            for bar in bars[SYMBOL]] == [row[:7] for row in daily]
    seen, token = [], None
    while True:
        page = requests.get(played.url + "/v2/stocks/bars", timeout=30, params={
            "symbols": SYMBOL, "timeframe": "1Day", "start": "2011-01-01T00:00:00Z", "limit": 3, "page_token": token}).json()
        seen += page["bars"].get(SYMBOL, [])
        token = page["next_page_token"]
        if token is None:
            break
    assert len(seen) == len(daily)
    for query in ("symbols=&timeframe=1Day", "timeframe=1Day"):
        refused = requests.get(f"{played.url}/v2/stocks/bars?{query}", timeout=30)
        assert refused.status_code == 400
        assert refused.json()["message"].startswith('parameter "symbols" is missing. Allowed: symbols between commas.')


def test_yahoo(played, daily):
    reply = requests.get(
        played.url + "/v8/finance/chart/" + SYMBOL, timeout=30,
        params={"period1": FIRST, "period2": LAST, "interval": "1d", "includePrePost": "false", "events": "div,splits"})
    result, = reply.json()["chart"]["result"]
    quote, = result["indicators"]["quote"]
    assert list(zip(result["timestamp"], quote["open"], quote["high"], quote["low"], quote["close"], quote["volume"])) == [
        row[:6] for row in daily]
    assert result["meta"]["dataGranularity"] == "1d" and "max" in result["meta"]["validRanges"]
    later = requests.get(
        played.url + "/v8/finance/chart/" + SYMBOL, timeout=30, params={"period1": LAST, "period2": LAST + 86400, "interval": "1d"})
    meta = later.json()["chart"]["result"][0]["meta"]
    assert meta["chartPreviousClose"] == daily[-1][4], "the close before a range without bars"
    # A range within a day, at night: the day's own close comes after it.
    at_night = requests.get(
        played.url + "/v8/finance/chart/" + SYMBOL, timeout=30,
        params={"period1": daily[-1][0] + 1, "period2": daily[-1][0] + 2, "interval": "1d"})
    meta = at_night.json()["chart"]["result"][0]["meta"]
    assert meta["chartPreviousClose"] == daily[-2][4], "the close of the day before"
    missing = requests.get(played.url + "/v8/finance/chart/NOBODY", timeout=30)
    assert missing.status_code == 404 and missing.json()["chart"]["error"]["code"] == "Not Found"


@pytest.fixture(scope="module")
def recent(played):
    """A symbol that has traded until an hour ago, for clients that ask for the days up to now."""
    now = int(time.time())
    tape = played.folder.parent / "recent.csv"
    with open(tape, "w") as file:
        file.write("ts,symbol,price,size\n")
        for number, ts in enumerate(range(now - 30 * 3600, now - 3600, 40)):
            if ts // 1200 % 5:
                file.write(f"{ts},RECENT:AAA,{100 + number % 97 / 8},{1 + number % 7}\n")
    run("load", tape, "--data-dir", played.folder)
    return "RECENT:AAA"


@pytest.mark.parametrize("interval, options", [
    ("1m", {"period": "1d"}), ("5m", {"period": "7d"}), ("90m", {"period": "5d"}), ("1h", {"period": "1mo"}),
    ("1m", {"period": "1d", "prepost": True}), ("1d", {"period": "1mo"}), ("1h", {"start": -2, "end": 0}), ("1wk", {"period": "3mo"})])
def test_yahoo_by_yfinance(played, recent, interval, options, yfinance, monkeypatch):
    ask = curl_cffi.requests.Session.request

    def ask_us(session, method, url, *arguments, **others):
        for host in ("fc", "query1.finance", "query2.finance"):
            url = url.replace(f"https://{host}.yahoo.com", played.url)
        assert url.startswith(played.url), url
        return ask(session, method, url, *arguments, **others)

    monkeypatch.setattr(curl_cffi.requests.Session, "request", ask_us)
    today = datetime.datetime.now(datetime.timezone.utc).replace(hour=0, minute=0, second=0, microsecond=0)
    days = {name: today + datetime.timedelta(days=options[name]) for name in ("start", "end") if name in options}
    history = yfinance.Ticker(recent).history(interval=interval, **(options | days))
    seen = {int(row.Index.timestamp()): (row.Open, row.High, row.Low, row.Close, row.Volume) for row in history.itertuples()}
    bars = requests.get(played.url + "/api/v1/bars", timeout=30, params={
        "symbol": recent, "timeframe": interval, "from": "now-1d" if options.get("period") == "1d" else "now-30d",
        **{name: day.isoformat() for name, day in zip(("from", "to"), days.values())}, "limit": 10000}).json()["bars"]
    expected = {
        int(datetime.datetime.fromisoformat(bar["ts"]).timestamp()):
            tuple(bar[name] for name in ("open", "high", "low", "close", "volume")) for bar in bars}
    assert expected and {start: seen.get(start) for start in expected} == expected
    # The clock went on between the two.
    assert len(seen) - len(expected) in ((0, 1, 2) if "period" in options else (0,))


def test_volumes_of_wider_bars_are_those_of_the_trades(played):
    bars = requests.get(
        played.url + "/api/v1/bars", timeout=30, params={"symbol": SYMBOL, "timeframe": "1M", "limit": 1000}).json()["bars"]
    expected = played.sql(
        "select count(*), sum(size::numeric), min(price), max(price) from trades where symbol = %s "
        "group by date_trunc('month', ts) order by date_trunc('month', ts)", SYMBOL)
    assert [(bar["trade_count"], bar["low"], bar["high"]) for bar in bars] == [(n, low, high) for n, _, low, high in expected]
    for bar, (_, volume, _, _) in zip(bars, expected):
        assert bar["volume"] == pytest.approx(float(volume), rel=1e-14)


def test_a_table_by_postgrest_grammar(played):
    def table(query, **headers):
        return requests.get(f"{played.url}/api/v1/tables/{query}", headers=headers, timeout=30)

    reply = table(f"trades?symbol=eq.{SYMBOL}&price=gt.100&select=ts,price,amount:size&order=price.desc,ts&limit=5")
    assert [(row["price"], row["amount"]) for row in reply.json()] == played.sql(
        "select price, size from trades where symbol = %s and price > 100 order by price desc, ts limit 5", SYMBOL)
    groups = table("trades?select=symbol,n:count(),price.avg()&order=n.desc&having=(n.gt.100)").json()
    assert [(row["symbol"], row["n"]) for row in groups] == played.sql(
        "select symbol, count(*) from trades group by 1 having count(*) > 100 order by 2 desc")
    counted = table("trades?limit=1", Prefer="count=exact")
    rows = played.one("select count(*) from trades")
    assert counted.status_code == 206 and counted.headers["Content-Range"] == f"0-0/{rows}"
    for query in ("select=count()", "select=count()&limit=5", "symbol=eq.NONE&select=price.avg(),n:count()"):
        whole = table(f"trades?{query}", Prefer="count=exact")
        assert (whole.status_code, whole.headers["Content-Range"], len(whole.json())) == (200, "0-0/1", 1), query
    assert table("trades?select=symbol,count()&limit=1", Prefer="count=exact").headers["Content-Range"] == (
        f"0-0/{played.one('select count(distinct symbol) from trades')}")
    seen, token = 0, ""
    while token is not None:
        page = table(f"trades?select=trade_id&limit=5000&page_token={token}").json()
        seen, token = seen + len(page["trades"]), page["next_page_token"]
    assert seen == rows
    lines = table("trades?format=ndjson").text.splitlines()
    assert len(lines) == rows and json.loads(lines[0])["symbol"]


def test_an_order_by_a_column_is_by_its_values(played):
    def table(query):
        return requests.get(f"{played.url}/api/v1/tables/{query}", timeout=30).json()

    largest = [f"{size:g}" for size, in played.sql(
        "select size from trades where symbol = %s order by size desc limit 3", SYMBOL)]
    rows = table(f"trades?symbol=eq.{SYMBOL}&select=size::text&order=size.desc&limit=3")
    assert [f"{float(row['size']):g}" for row in rows] == largest
    swapped = table(f"trades?symbol=eq.{SYMBOL}&select=size:price,real:size&order=size.desc&limit=3")
    assert [f"{row['real']:g}" for row in swapped] == largest
    page = table("trades?select=trade_id,ts::date&page_token=&limit=2")
    assert [set(row) for row in page["trades"]] == [{"trade_id", "ts"}] * 2
    days = table(f"trades?symbol=eq.{SYMBOL}&select=d:ts::date,n:count(),last:ts.max()&order=d&having=(d.lt.now-1d,last.lt.now-1h)")
    assert [(row["d"], row["n"]) for row in days] == played.sql(
        "select ts::date::text, count(*) from trades where symbol = %s group by 1 order by 1", SYMBOL)


@pytest.mark.parametrize("count", ["exact", "planned", "estimated"])
def test_what_was_counted_is_told(played, count):
    def ask(query, method="GET", accept="application/json", **headers):
        return requests.request(
            method, f"{played.url}/api/v1/tables/{query}", timeout=30, headers={
                "Prefer": f"count={count}", "Accept": accept, **headers})

    # Whether the head leaves before the last row, or has none.
    wrong = f"trades?symbol=eq.{SYMBOL}&price=gt.2&trade_id=gt.1&select=ts,price&limit=1000"
    for query in ("trades?limit=5000", "trades?limit=25", wrong, "trades", "instruments?symbol=eq.NOBODY"):
        for method in ("GET", "HEAD"):
            reply = ask(query, method)
            assert reply.headers["Preference-Applied"] == f"count={count}", (query, method)
            place, total = reply.headers["Content-Range"].split("/")
            assert int(total) >= 0
            # The place of the last row is told only where it is known, however wrong the estimate is.
            rows = len(ask(query).json())
            known = f"0-{rows - 1}" if rows else "*"
            assert place in (known, "*"), (query, method)
            if count == "exact" or "limit=25" in query or method == "HEAD" and "limit" in query:
                assert place == known, (query, method)
            assert reply.status_code == (206 if place != "*" and rows < int(total) else 200), (query, method)
    one = ask("trades?limit=1", accept="application/vnd.pgrst.object+json")
    assert one.headers["Content-Range"].startswith("0-0/") and one.headers["Preference-Applied"] == f"count={count}"
    # Where a page by key is among all, nobody knows.
    assert "Preference-Applied" not in ask("trades?page_token=&limit=2").headers
    assert ask("trades?page_token=&limit=2", Prefer=f"count={count}, handling=strict").status_code == 400


def test_head_of_a_table_is_what_get_is(played):
    def ask(query, method, **headers):
        return requests.request(method, f"{played.url}/api/v1/tables/{query}", headers=headers, timeout=30)

    one = {"Accept": "application/vnd.pgrst.object+json"}
    for query, status in (("trades?limit=1", 200), ("trades?limit=2", 406), ("trades?symbol=eq.NOBODY", 406)):
        assert [ask(query, method, **one).status_code for method in ("GET", "HEAD")] == [status] * 2, query
    # Ranges are of GET only.
    assert ask("trades?limit=5", "GET", Range="9-5").status_code == 416
    for range in ("9-5", "0-1"):
        reply = ask("trades?limit=5", "HEAD", Range=range, Prefer="count=exact")
        assert reply.status_code == 206 and reply.headers["Content-Range"].startswith("0-4/"), range


def test_names_are_of_one_column_each(played):
    for path in ("tables/trades?select=size.sum(),price.sum()", "tables/trades?select=*,price",
                 "bars?shape=wide&symbols=ts,AAPL"):
        reply = requests.get(f"{played.url}/api/v1/{path}", timeout=30)
        assert (reply.status_code, reply.json()["code"]) == (400, "duplicate_column"), path
        by_place = requests.get(f"{played.url}/api/v1/{path}&format=csv", timeout=30)
        assert by_place.status_code == 200, path
    counts = requests.get(f"{played.url}/api/v1/tables/trades?select=count&%22symbol%22=eq.{SYMBOL}", timeout=30).json()
    assert counts == [{"count": played.sql("select count(*) from trades where symbol = %s", SYMBOL)[0][0]}]


def test_elements_of_arrays(played):
    expected = played.sql(
        "select conditions[1], count(*) from trades group by 1 order by 1 nulls last")
    groups = requests.get(
        f"{played.url}/api/v1/tables/trades?select=c:conditions->>0,n:count()&order=c", timeout=30).json()
    assert [(row["c"], row["n"]) for row in groups] == expected
    some = requests.get(f"{played.url}/api/v1/tables/trades?conditions->>0=is.null&select=conditions->0&limit=1", timeout=30)
    assert some.status_code == 200 and all(row == {"conditions": None} for row in some.json()), some.text


def test_what_moves_with_the_clock_has_no_tag(played):
    def fields(query):
        reply = requests.get(f"{played.url}/api/v1/tables/{query}", timeout=30)
        assert reply.status_code == 200, reply.text
        return reply.headers

    for query in ("sentiment_windows", "trades?ts=gte.today", "trades?or=(ts.lt.yesterday,price.gt.1)&limit=1"):
        assert "ETag" not in fields(query) and fields(query)["Cache-Control"] == "no-store", query
    for query in ("trades?limit=1", "bars?timeframe=eq.1d&limit=1", "mention_counts", "trades?ts=gte.now-1h"):
        assert "ETag" in fields(query), query


@pytest.mark.parametrize("path", [f"/api/v1/trades?symbol={SYMBOL}&limit=2000&format=", "/api/v1/tables/trades?limit=2000&page_token=&format="])
@pytest.mark.parametrize("format", ["csv", "ndjson"])
def test_pages_lead_on_over_http_1_0(played, path, format):
    def page(token):
        # As proxies ask that have not been told otherwise.
        connection = http.client.HTTPConnection(*played.url.removeprefix("http://").split(":"), timeout=30)
        connection._http_vsn, connection._http_vsn_str = 10, "HTTP/1.0"
        connection.request("GET", path.replace("page_token=", "") + format + (f"&page_token={token}" if token or "tables" in path else ""))
        reply = connection.getresponse()
        assert reply.status == 200 and reply.getheader("Trailer") is None
        rows = reply.read().decode().splitlines()[1 if format == "csv" else 0:]
        return rows, reply.getheader("X-Next-Page-Token")

    rows, token = page("")
    assert len(rows) == 2000 and token
    more, _ = page(token)
    assert more and not set(rows) & set(more)


def test_what_has_not_changed_is_not_sent_again(played):
    url = f"{played.url}/api/v1/bars?symbol={SYMBOL}&timeframe=1d"

    def is_unchanged():
        tag = requests.get(url, timeout=30).headers["ETag"]
        return requests.get(url, headers={"If-None-Match": tag}, timeout=30).status_code == 304

    # The server's own work (alerts, statistics) may fall between the two.
    assert any(is_unchanged() for _ in range(20))
