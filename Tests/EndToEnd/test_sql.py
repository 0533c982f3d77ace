# SPDX-License-Identifier: Apache-2.0
"""The SQL endpoint over a real socket: limits, renderings, timings, streaming, and the end of a query."""
import re
import socket
import time

import psycopg
import pytest
import requests
from conftest import wait_until


def post(up, sql, headers=None, **parameters):
    return requests.post(
        up.url + "/api/v1/sql", data=sql.encode(), params=parameters, timeout=60,
        headers={"Content-Type": "application/sql", **(headers or {})})


RENDERINGS = [
    # what, JSON, CSV
    ("9007199254740993::int8", 9007199254740993, "9007199254740993"),
    ("'NaN'::float8", None, "NaN"), ("'-Infinity'::float8", None, "-Infinity"), ("1e-7::float8", 1e-07, "1e-07"),
    ("12345678901234567890.5::numeric", 12345678901234567890.5, "12345678901234567890.5"),
    ("'NaN'::numeric", None, "NaN"), ("true", True, "true"), ("null::int", None, ""), ("''", "", '""'),
    ("timestamptz '2024-02-29 23:59:59.999999+02'", "2024-02-29T21:59:59.999999Z", "2024-02-29T21:59:59.999999Z"),
    ("timestamp '2024-02-29 12:00'", "2024-02-29T12:00:00", "2024-02-29T12:00:00"),
    ("date '2024-02-29'", "2024-02-29", "2024-02-29"), ("time '12:34:56.5'", "12:34:56.5", "12:34:56.5"),
    ("interval '1 day 02:03:04.5'", "1 day 02:03:04.5", "1 day 02:03:04.5"),
    ("'\\xdeadbeef'::bytea", "\\xdeadbeef", "\\xdeadbeef"),
    ("'A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11'::uuid", "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11",
     "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11"),
    ("'{\"a\":\n [1,null]}'::json", {"a": [1, None]}, None), ("'{\"b\":1}'::jsonb", {"b": 1}, '"{""b"": 1}"'),
    ("array[1,null,3]", [1, None, 3], '"{1,NULL,3}"'), ("array[['a','b,c'],['NULL',null]]",
                                                        [["a", "b,c"], ["NULL", None]], None),
    ("array[timestamptz '2024-01-01Z']", ["2024-01-01T00:00:00Z"], None),
    ("int4range(1, 5)", "[1,5)", '"[1,5)"'), ("row(1, 'a')", "(1,a)", '"(1,a)"'),
    ("'10.0.0.1'::inet", "10.0.0.1", "10.0.0.1"), ("1::information_schema.cardinal_number", 1, "1"),
]


@pytest.mark.parametrize("expression, as_json, as_csv", RENDERINGS)
def test_renderings(played, expression, as_json, as_csv):
    assert post(played, f"select {expression} as v").json()["rows"] == [[as_json]]
    assert post(played, f"select {expression} as v", format="ndjson").json() == {"v": as_json}
    if as_csv is not None:
        assert post(played, f"select {expression} as v", format="csv").text == f"v\n{as_csv}\n"


def test_rows_leave_while_the_next_ones_are_waited_for(played):
    """Ten rows are there at once, and then nothing for long: they must not wait for it."""
    sql = "select g, repeat('x', 4000), case when g > 10 then pg_sleep(20) end from generate_series(1, 12) g"
    begun = time.monotonic()
    with requests.get(played.url + "/api/v1/sql", params={"query": sql, "format": "ndjson"}, stream=True, timeout=60) as reply:
        lines = reply.iter_lines(chunk_size=1024)
        assert [next(lines)[:6] for _ in range(4)] == [b'{"g":1', b'{"g":2', b'{"g":3', b'{"g":4']
        assert time.monotonic() - begun < 15
    # Who hangs up is noticed while nothing comes.
    with psycopg.connect(played.writer_url, autocommit=True) as writer:
        wait_until(lambda: writer.execute(
            "select count(*) from pg_stat_activity where query like '%pg_sleep(20)%' and pid <> pg_backend_pid() "
            "and state = 'active'").fetchone() == (0,), 10, "the query to end")


def test_a_client_that_closes_its_connection_ends_its_query_at_once(played):
    """What a closed socket sends looks like the end of a client's requests; the server finds out without waiting."""
    host, port = played.environment["TAPEDECK_LISTEN"].split(":")
    for sql in ("select+pg_sleep(60),'closed'", "select+count(*),'closed'+from+generate_series(1,1000000000)+a"):
        client = socket.create_connection((host, int(port)))
        client.sendall(f"GET /api/v1/sql?query={sql} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n".encode())
        wait_until(lambda: active(played, "'closed'") is not None, 30, "the query to run")
        client.close()
        left = time.monotonic()
        wait_until(lambda: active(played, "'closed'") is None, 30, "the query to end")
        print(f"cancelled within {(time.monotonic() - left) * 1000:.0f} ms of the client's leaving")


def test_types_of_the_database_have_their_names_and_their_arrays_are_arrays(played):
    with psycopg.connect(played.writer_url, autocommit=True) as writer:
        writer.execute("""
            create type market.side as enum ('buy', 'sell');
            create type market.leg as (side market.side, size float8);
            create domain market.lot as int8 check (value > 0);
            create domain market.odd_lot as market.lot check (value < 100)""")
        try:
            query = """
                select 'buy'::side as a, array['buy', null, 'sell']::side[] as b, row('sell', 1.5)::leg as c,
                    array[row('buy', 2)::leg] as d, 7::lot as e, array[7, null]::lot[] as f, array[[1, 2], [3, 4]]::odd_lot[] as g,
                    array[9007199254740993]::information_schema.cardinal_number[] is null as h"""
            query = query.replace("9007199254740993", "5")
            for _ in range(5):
                reply = post(played, query).json()
                assert [column["type"] for column in reply["columns"]] == [
                    "side", "side[]", "leg", "leg[]", "bigint", "lot[]", "odd_lot[]", "boolean"]
                assert reply["rows"] == [[
                    "buy", ["buy", None, "sell"], "(sell,1.5)", ["(buy,2)"], 7, [7, None], [[1, 2], [3, 4]], False]]
            assert post(played, query, bigint="string").json()["rows"][0][5:7] == [["7", None], [["1", "2"], ["3", "4"]]]
            assert post(played, "select array['sell']::side[] as s", format="ndjson").json() == {"s": ["sell"]}
            assert post(played, "select array['sell']::side[] as s", format="csv").text == "s\n{sell}\n"
        finally:
            writer.execute("drop domain market.odd_lot, market.lot; drop type market.leg; drop type market.side")


def test_rows_without_columns_are_counted(played):
    for sql, count in (("select from generate_series(1, 5)", 5), ("select", 1), ("select where false", 0)):
        reply = post(played, sql).json()
        assert (reply["row_count"], reply["rows"]) == (count, [[]] * count)
    assert post(played, "-- nothing").json()["code"] == "empty_query"


def test_columns_of_one_name_are_no_objects(played):
    sql = "select 1 as a, 2 as b, 3 as a"
    for format in ("objects", "ndjson"):
        for query in (sql, "select t.symbol, l.* from trades t join latest l using (symbol) limit 1"):
            for _ in range(3):  # What has been quick before may run another way.
                reply = post(played, query, format=format)
                assert (reply.status_code, reply.json()["code"]) == (400, "duplicate_column"), reply.text
                assert '"a"' in reply.json()["message"] or '"symbol"' in reply.json()["message"]
        assert requests.head(played.url + "/api/v1/sql", params={"query": sql, "format": format}, timeout=30).status_code == 400
        assert post(played, "select 1 as a, 2 as \"A\"", format=format).status_code == 200
    assert post(played, sql).json()["rows"] == [[1, 2, 3]]
    assert post(played, sql, format="csv").text == "a,b,a\n1,2,3\n"


def test_bigints_as_strings(played):
    query = "select 9007199254740993::int8 as a, array[9007199254740993] as b, 1::int4 as c"
    expected = [["9007199254740993", ["9007199254740993"], 1]]
    assert post(played, query, bigint="string").json()["rows"] == expected
    assert post(played, query, {"X-Tapedeck-Bigint": "string"}).json()["rows"] == expected
    sums = "select sum(v), sum(v) + 0.5, array_agg(v::numeric) from (values (9007199254740992), (3::int8)) as t (v)"
    assert post(played, sums + " where v < 9", bigint="string").json()["rows"] == [[3, 3.5, [3]]]
    assert post(played, sums, bigint="string").json()["rows"] == [["9007199254740995", "9007199254740995.5", [9007199254740992, 3]]]


@pytest.mark.parametrize("encoding", ["identity", "gzip"])
def test_a_long_reply_says_at_its_end_that_rows_were_left_out(played, encoding):
    """Its head has left before that is known. What the next reply on the connection says is its own."""
    host, port = played.url.removeprefix("http://").split(":")
    query = "select+g+from+generate_series(1,+40000)+g"

    def request(limit, connection):
        return f"GET /api/v1/sql?query={query}&format=csv&limit={limit} HTTP/1.1\r\nHost: {host}:{port}\r\n" \
            f"Accept-Encoding: {encoding}\r\nConnection: {connection}\r\n\r\n"

    with socket.create_connection((host, int(port)), timeout=60) as connection:
        connection.sendall((request(30000, "keep-alive") + request(40000, "close")).encode())
        answer = b"".join(iter(lambda: connection.recv(65536), b""))
    _, cut, whole = answer.split(b"HTTP/1.1 200")
    for reply in (cut, whole):
        assert b"\r\nTrailer: X-Tapedeck-Truncated" in reply.partition(b"\r\n\r\n")[0]
    assert cut.endswith(b"\r\n0\r\nX-Tapedeck-Truncated: true\r\n\r\n")
    assert whole.endswith(b"\r\n0\r\n\r\n")


def test_limits_by_parameter_and_header(played):
    query = "select g from generate_series(1, 1000) g"
    for headers, parameters in [({"X-Tapedeck-Limit": "2"}, {}), ({"X-Tapedeck-Limit": "9"}, {"limit": 2})]:
        body = post(played, query, headers, **parameters).json()
        assert body["row_count"] == 2 and body["truncated"] is True
    whole = post(played, query, format="csv").text
    for size in (len(whole), len(whole) - 1):
        cut = post(played, query, format="csv", max_bytes=size).text
        assert whole.startswith(cut) and len(cut) <= size and cut.endswith("\n")
        assert (cut == whole) == (size == len(whole))
    assert post(played, query, {"X-Tapedeck-Max-Bytes": "300"}).json()["truncated"] is True
    for form in ("json", "objects", "ndjson", "csv"):
        assert post(played, query, format=form, limit=9).headers["X-Tapedeck-Truncated"] == "true"
        assert "X-Tapedeck-Truncated" not in post(played, query, format=form, limit=1000).headers
    slow = post(played, "select pg_sleep(20)", {"X-Tapedeck-Timeout-Ms": "100"})
    assert slow.status_code == 504 and slow.json()["code"] == "57014"
    for name, value in [("X-Tapedeck-Limit", "x"), ("X-Tapedeck-Timeout-Ms", "0"), ("X-Tapedeck-Max-Bytes", "-1")]:
        refused = post(played, query, {name: value})
        assert refused.status_code == 400 and refused.json()["code"] == "invalid_parameter"


def test_what_is_said_is_said_once(played):
    url = played.url + "/api/v1/sql"
    both = requests.post(url + "?query=select+2", json={"query": "select 1"}, timeout=30)
    assert (both.status_code, both.json()["code"]) == (400, "repeated_parameter"), both.text
    assert requests.post(url + "?query=select+2", data="select 1", timeout=30).status_code == 400
    assert requests.post(url + "?format=csv", json={"query": "select 1 as a", "format": None}, timeout=30).text == "a\n1\n"
    more = requests.post(url, json={"query": "select $1", "params": [1, 2]}, timeout=30)
    assert more.status_code == 400 and "takes 1" in more.json()["message"], more.text


def test_timings_and_compression(played):
    reply = post(played, "select g, repeat('x', 100) from generate_series(1, 10000) g", format="csv")
    assert reply.headers["Content-Encoding"] == "gzip"
    assert len(reply.text.splitlines()) == 10001
    stages = re.findall(r"([\w-]+);dur=([\d.e-]+)", reply.headers["Server-Timing"])
    assert [name for name, _ in stages] == ["queue", "connection", "first-row"]


def test_a_row_of_any_size_is_not_taken(played):
    fits = post(played, "select repeat('x', 15000000) as v", format="csv")
    assert fits.status_code == 200 and len(fits.content) > 15000000
    refused = post(played, "select repeat('x', 100000000) as v", format="csv")
    assert refused.status_code == 400 and refused.json()["code"] == "54000", refused.text[:200]
    # A limit of the row, not of the result.
    assert post(played, "select repeat('x', 1000000) from generate_series(1, 20)", format="csv").status_code == 200


def test_explain(played):
    assert "Scan" in post(played, "explain select * from trades where symbol = 'x'", format="csv").text
    plan = post(played, "explain (format json) select 1").json()["rows"][0][0]
    assert plan[0]["Plan"]["Node Type"] == "Result"


def active(up, word):
    """Wait event of the query that holds the word, or None when it has ended."""
    with psycopg.connect(up.writer_url) as connection:
        row = connection.execute(
            "select coalesce(wait_event, 'none') from pg_stat_activity where state = 'active' and query like %s "
            "and usename = 'tapedeck_server'", [f"%{word}%"]).fetchone()
    return row[0] if row else None


def test_a_client_that_stops_reading_stops_postgresql_and_one_that_leaves_ends_it(played):
    host, port = played.environment["TAPEDECK_LISTEN"].split(":")
    client = socket.create_connection((host, int(port)))
    # In the select list it is not gathered before the first row leaves.
    query = "select+generate_series(1,1000000000),repeat('x',100),'stopped'"
    client.sendall(f"GET /api/v1/sql?format=csv&query={query} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n".encode())
    wait_until(lambda: active(played, "stopped") == "ClientWrite", 30, "PostgreSQL to wait for the client")
    client.close()
    left = time.monotonic()
    wait_until(lambda: active(played, "stopped") is None, 10, "the query to end")
    print(f"cancelled within {(time.monotonic() - left) * 1000:.0f} ms of the client's leaving")
    assert time.monotonic() - left < 5


def test_texts_that_only_look_the_same_are_others(played):
    """"\u00f1" and "n\u0303" are one text to Unicode's equivalence, and two to PostgreSQL."""
    def ask(text):
        reply = requests.post(
            played.url + "/api/v1/sql", json={"query": "select octet_length($1), octet_length('%s')" % text, "params": [text]})
        return reply.json()["rows"]

    for _ in range(8):
        assert ask("\u00f1") == [[2, 2]]
    for _ in range(8):
        assert ask("n\u0303") == [[3, 3]]


def test_missing_params_are_told_as_such(played):
    reply = requests.post(played.url + "/api/v1/sql", json={"query": "select $1::int, $2::int", "params": [1]})
    error = reply.json()
    assert reply.status_code == 400 and error["code"] == "08P01"
    assert error["message"] == "the statement takes 2 params, and has 1" and "params" in error["hint"]
