# SPDX-License-Identifier: Apache-2.0
"""What was played can be read at once: SQL over HTTP, REST, Grafana, the query command."""
import csv
import io
import json
import socket

import psycopg
import pytest
import requests
from conftest import run, wait_until


def get(up, path, **parameters):
    return requests.get(up.url + path, params=parameters, timeout=30)


def test_operators(played):
    for path in ["/live", "/ready", "/health", "/version"]:
        reply = get(played, path)
        assert reply.status_code == 200 and reply.json()


def test_sql_in_every_format(played):
    query = "select symbol, count(*) as trades, max(price) as top from trades group by symbol order by symbol"
    expected = [list(row) for row in played.sql(query)]
    for reply in [
        get(played, "/api/v1/sql", query=query),
        requests.post(played.url + "/api/v1/sql", data=query, headers={"Content-Type": "application/sql"}, timeout=30),
        requests.post(played.url + "/api/v1/sql", data=query, headers={"Content-Type": "text/plain"}, timeout=30),
        requests.post(played.url + "/api/v1/sql", json={"query": query, "format": "json"}, timeout=30),
    ]:
        assert reply.status_code == 200, reply.text
        body = reply.json()
        assert [column["name"] for column in body["columns"]] == ["symbol", "trades", "top"]
        assert body["rows"] == expected
        assert body["row_count"] == len(expected) and body["truncated"] is False
        assert body["query_id"] and body["elapsed_ms"] >= 0
    objects = get(played, "/api/v1/sql", query=query, format="objects").json()
    assert [list(row.values()) for row in objects] == expected
    lines = get(played, "/api/v1/sql", query=query, format="ndjson").text.splitlines()
    assert [list(json.loads(line).values()) for line in lines] == expected
    table = list(csv.reader(io.StringIO(get(played, "/api/v1/sql", query=query, format="csv").text)))
    assert table[0] == ["symbol", "trades", "top"]
    assert [[row[0], int(row[1]), float(row[2])] for row in table[1:]] == expected


def test_sql_with_parameters_and_a_limit(played):
    reply = requests.post(
        played.url + "/api/v1/sql", timeout=30,
        json={"query": "select price from trades where symbol = $1 and size > $2 order by ts", "limit": 3,
              "params": ["COINBASE:BTC-USD", 0.01]}).json()
    assert len(reply["rows"]) == 3 and reply["truncated"] is True


@pytest.mark.parametrize("query, status, code", [
    ("selec 1", 400, "42601"), ("select nope from trades", 400, "42703"), ("select * from nowhere", None, "42P01"),
    ("delete from trades", None, None), ("select 1; select 2", 400, "42601"), ("", 400, None),
    ("create temporary table t (a int)", None, None),
])
def test_errors_say_what_and_where(played, query, status, code):
    reply = requests.post(
        played.url + "/api/v1/sql", data=query, headers={"Content-Type": "application/sql"}, timeout=30)
    assert 400 <= reply.status_code < 500
    if status:
        assert reply.status_code == status
    body = reply.json()
    assert set(body) == {"code", "message", "details", "hint", "position", "query_id"}
    assert body["message"]
    if code:
        assert body["code"] == code
    if query == "select nope from trades":
        assert body["position"] == 8
        assert "nope" in reply.reason


def test_curl_with_its_own_content_type(played):
    """`curl URL --data 'select …'` labels the statement as a form."""
    reply = requests.post(
        played.url + "/api/v1/sql?format=objects", data="select 1 as a",
        headers={"Content-Type": "application/x-www-form-urlencoded"}, timeout=30)
    assert reply.status_code == 200, reply.text
    assert reply.json() == [{"a": 1}]


def test_bars(played):
    symbol = "COINBASE:BTC-USD"
    bars = get(played, "/api/v1/bars", symbol=symbol, timeframe="1d").json()
    expected = played.sql(
        "select symbol, open, high, low, close, volume, vwap, trade_count from bars "
        "where symbol = %s and timeframe = '1d' order by ts", symbol)
    assert [tuple(bar[name] for name in ["symbol", "open", "high", "low", "close", "volume", "vwap", "trade_count"])
            for bar in bars["bars"]] == expected
    assert bars["next_page_token"] is None
    assert list(bars["bars"][0]) == ["symbol", "ts", "open", "high", "low", "close", "volume", "vwap", "trade_count"]


def test_pages_of_trades_hold_every_trade_once(played):
    seen, token = [], None
    while True:
        parameters = {"symbol": "BITSTAMP:BTCUSD", "limit": 997} | ({"page_token": token} if token else {})
        page = get(played, "/api/v1/trades", **parameters).json()
        seen += [(trade["ts"], trade["source"], trade["trade_id"]) for trade in page["trades"]]
        token = page["next_page_token"]
        if token is None:
            break
    assert len(seen) == len(set(seen)) == played.one("select count(*) from trades where symbol = 'BITSTAMP:BTCUSD'")


def test_the_nanosecond_after_a_trade_is_beyond_it(played):
    def times(path, **parameters):
        reply = requests.get(played.url + path, {"symbol": "BITSTAMP:BTCUSD"} | parameters, timeout=30).json()
        return [trade["ts"] for trade in reply["trades"]]

    first, second = times("/api/v1/trades", limit=2, time="ms")
    assert first < second
    later = f"{first}000001"
    assert times("/api/v1/trades", limit=1, time="ms", **{"from": later}) == [second]
    assert times("/api/v1/trades", limit=9, time="ms", to=later) == [first]
    table = lambda op: [trade["ts"] for trade in requests.get(
        f"{played.url}/api/v1/tables/trades?symbol=eq.BITSTAMP:BTCUSD&order=ts&limit=1&ts={op}.{later}", timeout=30).json()]
    assert table("gte") == table("gt") != table("lte") == table("lt")


@pytest.mark.parametrize("path", ["/api/v1/trades?limit=2", "/api/v1/bars?limit=2&timeframe=1m", "/v2/stocks/bars?limit=2&timeframe=1Min&start=2009-01-01"])
def test_a_page_token_is_of_its_symbol(played, path):
    ask = lambda **parameters: requests.get(played.url + path, parameters, timeout=30)
    token = ask(symbols="BITSTAMP:BTCUSD").json()["next_page_token"]
    assert ask(symbols="BITSTAMP:BTCUSD,AAPL", page_token=token).status_code == 200
    refused = ask(symbols="AAPL", page_token=token)
    assert refused.status_code in (400, 422) and "page_token" in refused.json()["message"], refused.text


def test_latest_and_symbols(played):
    latest = get(played, "/api/v1/latest", symbols="COINBASE:BTC-USD,GEMINI:ETHUSD").json()["latest"]
    assert sorted(row["symbol"] for row in latest) == ["COINBASE:BTC-USD", "GEMINI:ETHUSD"]
    for row in latest:
        price, = played.sql(
            "select price from trades where symbol = %s order by ts desc, trade_id desc limit 1", row["symbol"])[0]
        assert row["price"] == price
    symbols = get(played, "/api/v1/symbols").json()["symbols"]
    assert len(symbols) == played.one("select count(distinct symbol) from trades")


def test_grafana_candles(played):
    candles = get(played, "/grafana/candles", symbol="BITSTAMP:BTCUSD", interval="1d",
                  **{"from": "1315872000000", "to": "1325376000000"}).json()
    assert len(candles) > 50
    assert list(candles[0]) == ["time", "open", "high", "low", "close", "volume"]
    assert [candle["time"] for candle in candles] == sorted(candle["time"] for candle in candles)
    assert all(isinstance(candle["time"], int) for candle in candles)
    assert get(played, "/grafana/candles", symbol="NOBODY", interval="1d").json() == []


def test_unknown_parameters_are_errors_with_a_suggestion(played):
    reply = get(played, "/api/v1/bars", symbol="X", timefame="1m")
    assert reply.status_code == 400
    assert "timeframe" in reply.text


def test_the_query_command(played):
    count = "select count(*) as n from trades"
    assert "15948" in run("query", "--data-dir", played.folder, count).stdout.decode()
    assert run("query", "--server", played.url, "--format", "csv", count).stdout == b"n\n15948\n"
    assert json.loads(run("query", "--server", played.url, "--format", "ndjson", count).stdout) == {"n": 15948}
    assert json.loads(run("query", "--server", played.url, "--format", "json", count).stdout)["rows"] == [[15948]]
    failed = run("query", "--server", played.url, "select nope", check=False)
    assert failed.returncode != 0 and "nope" in failed.stderr.decode() and "8" in failed.stderr.decode()
    nobody = run("query", "--server", "http://127.0.0.1:9", "select 1", check=False)
    assert nobody.returncode != 0 and nobody.stderr


def test_status(played):
    text = run("status", "--data-dir", played.folder).stdout.decode()
    assert "lag  0 records" in text and "source file  15,948 events" in text
    report = json.loads(run("status", "--json", "--data-dir", played.folder).stdout)
    assert report["lag"] == 0 and report["sources"][0]["events"] == 15948 and report["sources"][0]["rate"] >= 0
    assert {topic["topic"]: topic["records"] for topic in report["topics"]}["trades"] == 15948
    assert sum(entry["next_offset"] for entry in report["offsets"] if entry["topic"] == "trades") == 15948
    newest = played.sql("select symbol, kind from ops.alerts where retracted_at is null order by ts desc, symbol desc limit 1")
    assert [(report["alerts"][0]["symbol"], report["alerts"][0]["kind"])] == newest


def test_alerts_come_newest_first_in_pages_that_hold_each_once(played):
    want = played.sql("select symbol, timeframe, kind, value, threshold from ops.alerts "
                      "order by ts desc, symbol desc, timeframe desc, kind desc")
    seen, token = [], None
    while True:
        page = get(played, "/api/v1/alerts", order="desc", limit=7, **({"page_token": token} if token else {})).json()
        seen += [(row["symbol"], row["timeframe"], row["kind"], row["value"], row["threshold"]) for row in page["alerts"]]
        token = page["next_page_token"]
        if token is None:
            break
    assert seen == want and len(want) > 10
    one = want[0][0]
    rows = get(played, "/api/v1/alerts", symbol=one).json()["alerts"]
    assert rows and {row["symbol"] for row in rows} == {one}


@pytest.mark.parametrize("path, headers", [
    ("/api/v1/bars", {"Accept": ";"}), ("/api/v1/sql?query=select+1", {"Accept": "text/csv, ;"}),
    ("/api/v1/bars?symbol=A&from=now-100000000w", {}), ("/api/v1/bars?symbol=A&from=now%2B15249000w", {}),
    ("/grafana/candles?symbol=A&from=now-1d&interval=1000000y", {}),
    ("/api/v1/trades?symbol=A&order=desc&page_token=MR90cmFkZXMgZGVzYx9BHzkyMjMzNzIwMzY4NTQ3NzU4MDcfeB8x", {}),
])
def test_no_request_ends_the_process(played, path, headers):
    assert requests.get(played.url + path, headers=headers, timeout=30).status_code in (200, 400, 406)
    assert get(played, "/live").status_code == 200


def test_a_query_cannot_change_what_the_server_relies_on(played):
    for query in [
        "select set_config('client_encoding', 'LATIN1', false)", "do $$ begin perform 1; end $$",
        "select pg_terminate_backend(pg_backend_pid())",
    ]:
        assert get(played, "/api/v1/sql", query=query).status_code in (400, 403), query


def test_an_impatient_client_costs_the_others_nothing(played):
    for _ in range(200):
        get(played, "/api/v1/sql", query="select 1", timeout_ms=1)
    for _ in range(20):
        assert get(played, "/api/v1/sql", query="select 1").status_code == 200


def test_a_client_that_reads_slowly_is_given_up_on_at_the_deadline(played):
    address = played.url.removeprefix("http://").split(":")
    connection = socket.create_connection((address[0], int(address[1])), timeout=30)
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    query = "select+generate_series(1,1000000000000),repeat('x',100)"
    connection.sendall(
        f"GET /api/v1/sql?format=csv&timeout_ms=1000&query={query} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())

    def running():
        connection.recv(512)
        # As the writer: a reader does not see what others ask.
        with psycopg.connect(played.writer_url) as watcher:
            return watcher.execute(
                "select count(*) from pg_stat_activity where query like 'select generate_series(1,1000000000000)%' "
                "and state = 'active'").fetchone()[0] > 0

    wait_until(running, 30, "the query to begin", played)
    # It is gone from PostgreSQL soon, although its client reads on.
    wait_until(lambda: not running(), 30, "the query to end", played)
    connection.close()
