# SPDX-License-Identifier: Apache-2.0
"""Keys: made by the command, asked for by the server, in the places where clients put them."""
import base64
import json
import os
import re
import signal
import socket
import subprocess
import threading
import time

import psycopg
import pytest
import requests
import trino
from conftest import BINARY, ENVIRONMENT, run, wait_until
from test_http import Serve

KEY = re.compile(r"^tdk_[0-9a-f]{12}_[A-Za-z0-9_-]{43}$")


def make(up, name, *arguments):
    done = run("keys", "create", "--data-dir", up.folder, "--name", name, "--json", *arguments)
    return json.loads(done.stdout)


def get(up, path, key=None, **options):
    headers = {"Authorization": f"Bearer {key}"} if key else {}
    return requests.get(up.url + path, headers=headers, timeout=30, **options)


@pytest.fixture
def locked(start, tmp_path):
    sample = tmp_path / "tape.csv"
    sample.write_text("ts,symbol,price,size\n2024-01-02T09:30:00Z,AAPL,185.64,100\n")
    up = start("--require-keys", "on", "--audit-log", tmp_path / "audit.log", "--source", f"replay:{sample}?speed=max")
    up.audit = tmp_path / "audit.log"
    return up


def test_a_key_opens_what_its_scopes_say(locked):
    both, sql, admin = make(locked, "both"), make(locked, "sql", "--scope", "sql"), make(locked, "root", "--scope", "admin")
    assert KEY.match(both["key"]) and both["scopes"] == ["rest", "sql"] and both["expires_at"] is None
    for path in ["/live", "/ready", "/health", "/version", "/v1/info"]:
        assert get(locked, path).status_code == 200, path
    for path in ["/api/v1/sql?query=select+1", "/api/v1/latest", "/metrics", "/v1/query", "/grafana/candles"]:
        refused = get(locked, path)
        assert refused.status_code == 401, path
        assert "Bearer" in refused.headers["WWW-Authenticate"] and "Basic" in refused.headers["WWW-Authenticate"]
    assert refused.json()["code"] == "key_required"
    assert get(locked, "/api/v1/sql?query=select+1", both["key"]).status_code == 200
    assert get(locked, "/api/v1/latest", both["key"]).status_code == 200
    assert get(locked, "/api/v1/sql?query=select+1", sql["key"]).status_code == 200
    assert get(locked, "/api/v1/queries", make(locked, "rest", "--scope", "rest")["key"]).json()["queries"] == []
    refused = get(locked, "/api/v1/latest", sql["key"])
    assert refused.status_code == 403 and refused.json()["code"] == "scope_missing"
    for path in ["/api/v1/sql?query=select+1", "/api/v1/latest", "/metrics", "/v1/query"]:
        assert get(locked, path, admin["key"]).status_code == 200, path
    # Whatever a preflight asks for, it sends no key.
    assert requests.options(locked.url + "/api/v1/latest", timeout=30).status_code == 204


def test_a_key_is_taken_wherever_clients_put_it(locked):
    key = make(locked, "places")["key"]
    basic = "Basic " + base64.b64encode(f"somebody:{key}".encode()).decode()
    for headers in [{"Authorization": f"Bearer {key}"}, {"authorization": f"bearer {key}"}, {"X-API-Key": key},
                    {"Authorization": basic}, {"X-Finnhub-Token": key}, {"APCA-API-SECRET-KEY": key},
                    {"X-MBX-APIKEY": key}]:
        assert requests.get(locked.url + "/api/v1/latest", headers=headers, timeout=30).status_code == 200, headers
    # The command takes it from the environment, where no list of processes shows it.
    asked = run("query", "--server", locked.url, "--format", "csv", "select 1 as a", env=ENVIRONMENT | {"TAPEDECK_API_KEY": key})
    assert asked.stdout == b"a\n1\n"
    refused = run("query", "--server", locked.url, "select 1", check=False)
    assert refused.returncode != 0 and b"an API key is required" in refused.stderr
    assert b"hint: Set TAPEDECK_API_KEY" in refused.stderr
    # A client of Trino's sends its bearer token with each request, for pages too.
    assert cursor(locked, key).execute("SELECT symbol FROM trades").fetchall() == [["AAPL"]]


def cursor(up, key):
    host, port = up.url[7:].split(":")
    session = requests.Session()
    session.headers["Authorization"] = f"Bearer {key}"
    return trino.dbapi.connect(
        host=host, port=int(port), user="me", catalog="tapedeck", schema="market", http_session=session).cursor()


def test_a_revoked_key_is_refused_and_lists_show_no_secret(locked):
    kept, gone = make(locked, "kept"), make(locked, "gone", "--rate", "100", "--max-rows", "2", "--expires", "90d")
    assert get(locked, "/api/v1/latest", gone["key"]).status_code == 200
    twice = run("keys", "create", "--data-dir", locked.folder, "--name", "gone", check=False)
    assert twice.returncode != 0 and b"there is a key 'gone' already" in twice.stderr
    with Serve(locked, "--require-keys", "on") as other:
        assert get(other, "/api/v1/latest", gone["key"]).status_code == 200
        assert b"is revoked" in run("keys", "revoke", "--data-dir", locked.folder, "gone").stdout
        revoked = time.monotonic()
        for server in (locked, other):
            while True:
                sent = time.monotonic()
                status = get(server, "/api/v1/latest", gone["key"]).status_code
                if status == 401:
                    break
                # Asked so late, no server may still believe what the store said before.
                assert status == 200 and sent < revoked + 5
                time.sleep(0.05)
            assert get(server, "/api/v1/latest", kept["key"]).status_code == 200
    listed = run("keys", "--data-dir", locked.folder).stdout.decode()
    assert "gone" in listed and "revoked" in listed and "2 rows" in listed and "tdk_" not in listed
    keys = json.loads(run("keys", "list", "--data-dir", locked.folder, "--json").stdout)
    assert [(key["name"], key["good"]) for key in keys] == [("gone", False), ("kept", True)]
    missing = run("keys", "revoke", "--data-dir", locked.folder, "gone", check=False)
    assert missing.returncode != 0 and b"no key 'gone'" in missing.stderr
    # Its name is free again.
    assert KEY.match(make(locked, "gone")["key"])
    # Neither in the log nor in the store is there anything to log in with; readers see not even the hashes.
    assert kept["key"] not in locked.output() and kept["key"] not in locked.audit.read_text()
    with psycopg.connect(locked.writer_url) as store:
        rows = str(store.execute("select * from ops.api_keys").fetchall())
        assert kept["key"] not in rows and kept["key"].split("_", 2)[2] not in rows
    with psycopg.connect(locked.reader_url) as reader:
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            reader.execute("select secret_hash from ops.api_keys")


def test_a_key_has_limits_of_its_own(locked):
    few = make(locked, "few", "--max-rows", "2", "--max-time", "200ms", "--rate", "0.01")["key"]
    answer = get(locked, "/api/v1/sql?query=select+generate_series(1,5)", few)
    assert answer.status_code == 200 and answer.json()["row_count"] == 2 and answer.json()["truncated"]
    fast = get(locked, "/api/v1/sql?query=select+1", few)
    assert fast.status_code == 429 and fast.json()["code"] == "rate_limited" and int(fast.headers["Retry-After"]) > 1
    # Trino's protocol cannot say that rows are missing: what is more than the key may have fails.
    trickle = make(locked, "trickle", "--max-rows", "2")["key"]
    assert cursor(locked, trickle).execute("SELECT * FROM UNNEST(sequence(1, 2))").fetchall() == [[1], [2]]
    with pytest.raises(trino.exceptions.TrinoQueryError, match="more than the 2 rows"):
        cursor(locked, trickle).execute("SELECT * FROM UNNEST(sequence(1, 3))").fetchall()
    slow = make(locked, "slow", "--max-time", "200ms")["key"]
    late = get(locked, "/api/v1/sql?query=select+count(*)+from+generate_series(1,1000000000)", slow)
    assert late.status_code == 504
    assert get(locked, "/api/v1/sql?query=select+1&timeout_ms=201", slow).status_code == 400


def test_guessing_is_slowed_down(locked):
    good = make(locked, "good")["key"]
    assert get(locked, "/api/v1/latest", good).status_code == 200
    statuses = [get(locked, "/api/v1/latest", f"tdk_{number:012x}_{'A' * 43}").status_code for number in range(12)]
    assert statuses[:10] == [401] * 10 and 429 in statuses[10:], statuses


def test_it_is_written_down_who_ran_what_and_each_sees_his_own(locked):
    mine, other, admin = make(locked, "mine"), make(locked, "other"), make(locked, "root", "--scope", "admin")
    seconds = "select count(*) from generate_series(1, 100000000000) as mine"

    def ask():
        answers.append(get(locked, "/api/v1/sql", mine["key"], params={"query": seconds}))

    answers = []
    asking = threading.Thread(target=ask)
    asking.start()
    running = lambda key: [query for query in get(locked, "/api/v1/queries", key).json()["queries"] if query["query"] == seconds]
    wait_until(lambda: running(mine["key"]), 30, "the query to run")
    query = running(admin["key"])[0]
    assert query["key"] == "mine" and running(other["key"]) == []
    delete = lambda key: requests.delete(
        f"{locked.url}/api/v1/queries/{query['query_id']}", headers={"X-API-Key": key}, timeout=30).status_code
    assert delete(other["key"]) == 404
    assert delete(admin["key"]) == 200
    asking.join(30)
    assert answers[0].status_code == 409
    assert get(locked, "/api/v1/sql?query=select+1/0", other["key"]).status_code == 400
    lines = [json.loads(line) for line in locked.audit.read_text().splitlines()]
    assert {line["event"] for line in lines} == {"statement", "cancel"}
    [cancel] = [line for line in lines if line["event"] == "cancel"]
    assert (cancel["key"], cancel["of_key"], cancel["query_id"]) == ("root", "mine", query["query_id"])
    found = {line["query"]: line for line in lines if line["event"] == "statement"}
    assert found[seconds]["key"] == "mine" and found[seconds]["key_id"] == mine["key_id"]
    assert found[seconds]["outcome"] == "57014" and found[seconds]["elapsed_ms"] > 0
    assert found["select 1/0"]["key"] == "other" and found["select 1/0"]["outcome"] == "22012"
    assert (os.stat(locked.audit).st_mode & 0o777) == 0o600
    # Moved away, and opened again by its name.
    moved = locked.audit.with_suffix(".1")
    locked.audit.rename(moved)
    locked.process.send_signal(signal.SIGHUP)
    wait_until(locked.audit.exists, 30, "a new audit log")
    assert get(locked, "/api/v1/sql?query=select+2", other["key"]).status_code == 200
    last = json.loads(locked.audit.read_text().splitlines()[-1])
    assert last["query"] == "select 2" and last["rows"] == 1 and last["bytes"] > 10


def test_parameters_prepared_statements_and_refused_keys_are_written_down(locked):
    key = make(locked, "p", "--scope", "sql")
    trace = "4bf92f3577b34da6a3ce929d0e0e4736"
    answer = requests.post(
        locked.url + "/api/v1/sql", json={"query": "select $1::text, $2::int", "params": ["it's", 7]}, timeout=30,
        headers={"X-API-Key": key["key"], "traceparent": f"00-{trace}-00f067aa0ba902b7-01"})
    assert answer.json()["rows"] == [["it's", 7]]
    assert re.fullmatch(f"00-{trace}-[0-9a-f]{{16}}-01", answer.headers["traceresponse"])
    page = requests.post(
        locked.url + "/v1/statement", data="EXECUTE above USING 1", timeout=30, headers={
            "X-API-Key": key["key"], "X-Trino-User": "me", "X-Trino-Catalog": "tapedeck", "X-Trino-Schema": "market",
            "X-Trino-Prepared-Statement": "above=SELECT+count%28*%29+FROM+trades+WHERE+price+%3E+%3F"}).json()
    rows = []
    while "nextUri" in page:
        page = requests.get(page["nextUri"], headers={"X-API-Key": key["key"]}, timeout=30).json()
        rows += page.get("data", [])
    # The one trade of the tape, which may still be on its way.
    assert rows in ([[0]], [[1]]), page
    unknown = "tdk_0123456789ab_" + "A" * 43
    assert get(locked, "/api/v1/latest", unknown).status_code == 401
    assert get(locked, "/api/v1/latest", key["key"]).status_code == 403
    assert get(locked, "/api/v1/latest", "hunter2").status_code == 401
    # A line is written when its answer has gone out.
    wait_until(lambda: (text := locked.audit.read_text()).count('"key_refused"') >= 3 and "EXECUTE above" in text, 30,
               "the last lines of the log", locked)
    text = locked.audit.read_text()
    assert key["key"] not in text and unknown not in text and "hunter2" not in text
    lines = [json.loads(line) for line in text.splitlines()]
    statements = {line["query"]: line for line in lines if line["event"] == "statement"}
    asked = statements["select $1::text, $2::int"]
    assert json.loads(asked["parameters"]) == ["it's", 7] and asked["trace_id"] == trace
    assert statements["EXECUTE above USING 1"]["prepared"] == "SELECT count(*) FROM trades WHERE price > ?"
    refused = [(line["shown_key_id"], line["outcome"]) for line in lines if line["event"] == "key_refused"]
    assert refused == [("0123456789ab", "key_invalid"), (key["key_id"], "scope_missing"), (None, "key_invalid")]


def test_a_hang_up_stops_nothing(start):
    up = start("--log-level", "info")
    up.process.send_signal(signal.SIGHUP)
    # Signals are taken in order: had the first asked to stop, the next would end the process at once.
    up.process.send_signal(signal.SIGHUP)
    for _ in range(20):
        assert requests.get(up.url + "/live", timeout=30).status_code == 200
    assert up.stop()[0] == 0


def test_a_wrong_key_option_is_named(folder):
    for arguments, words in [
        (["--name", ""], b"--name"), (["--name", "a", "--scope", "sgl"], b"'sgl'"), (["--name", "a", "--rate", "0"], b"--rate"),
        (["--name", "a", "--expires", "tomorrow"], b"'tomorrow'"), (["--name", "a", "--expires", "2001-01-01"], b"past"),
        (["--name", "a", "--concurrency", "0"], b"--concurrency"), (["--name", "a", "--max-time", "1"], b"--max-time"),
    ]:
        refused = run("keys", "create", "--data-dir", folder, *arguments, check=False)
        assert refused.returncode != 0 and words in refused.stderr, refused.stderr


def test_other_machines_are_let_in_with_keys_only(folder, start):
    refused = run("up", "--data-dir", folder, "--listen", "0.0.0.0:0", check=False)
    assert refused.returncode != 0
    assert b"TAPEDECK_REQUIRE_KEYS=on" in refused.stderr and b"--insecure" in refused.stderr
    environment = ENVIRONMENT | {"TAPEDECK_REQUIRE_KEYS": "on"}
    process = subprocess.Popen(
        [str(BINARY), "up", "--data-dir", str(folder), "--listen", "0.0.0.0:0"], env=environment,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    try:
        wait_until((folder / "connection.env").exists, 90, "the server")
        text = (folder / "connection.env").read_text()
        port = re.search(r"TAPEDECK_LISTEN='?0\.0\.0\.0:(\d+)", text).group(1)
        with socket.create_connection(("127.0.0.1", int(port)), 30):
            pass
        assert requests.get(f"http://127.0.0.1:{port}/api/v1/latest", timeout=30).status_code == 401
    finally:
        process.terminate()
        output = process.communicate(timeout=60)[0].decode()
    assert "keys are sent in the clear" in output


def test_limits_of_a_key_hold_for_rest_too(start, tmp_path):
    sample = tmp_path / "tape.csv"
    sample.write_text("ts,symbol,price,size\n" + "".join(f"{1704187800 + n},AAPL,{n + 1},1\n" for n in range(200)))
    up = start("--require-keys", "on", "--source", f"replay:{sample}?speed=max")
    wait_until(lambda: up.one("select count(*) from trades") == 200, 60, "the tape", up)
    few, small = make(up, "few", "--max-rows", "10")["key"], make(up, "small", "--max-bytes", "500")["key"]
    for path, name in [("/api/v1/trades", "trades"), ("/api/v1/bars?timeframe=1s", "bars"), ("/api/v1/tables/trades?page_token=", "trades")]:
        page = get(up, path, few)
        assert len(page.json()[name]) == 10 and page.json()["next_page_token"], path
    # Alpaca's pages may be shorter than was asked for; Binance's client takes a shorter one for the last.
    page = get(up, "/v2/stocks/bars?symbols=AAPL&timeframe=1s&start=2024-01-01", few).json()
    assert len(page["bars"]["AAPL"]) == 10 and page["next_page_token"]
    assert get(up, "/api/v3/klines?symbol=AAPL&interval=1s&limit=500", few).status_code == 400
    assert len(get(up, "/api/v3/klines?symbol=AAPL&interval=1s&limit=10", few).json()) == 10
    yahoo = get(up, "/v8/finance/chart/AAPL?interval=1m&period1=1704187800&period2=1704191400", small)
    assert yahoo.status_code == 400 and "from and to" not in yahoo.text and "shorter range" in yahoo.text
    refused = get(up, "/api/v1/trades?limit=11", few)
    assert refused.status_code == 400 and "from 1 to 10" in refused.json()["details"]
    for path in ["/api/v1/tables/trades", "/api/v1/tables/trades?limit=11", "/grafana/series?symbol=AAPL&field=price&maxDataPoints=100",
                 "/api/v1/stock/candle?symbol=AAPL&resolution=1s&from=0&to=4000000000",
                 "/grafana/candles?symbol=AAPL&interval=1s&from=1704187800&to=1704188000", "/grafana/candles?symbol=AAPL&interval=1s",
                 "/grafana/table?name=trades&symbol=AAPL", "/grafana/table?name=trades&symbol=AAPL&limit=11"]:
        reply = get(up, path, few)
        assert reply.status_code == 400 and "more than the 10 rows that this key may have" in reply.text, path
    for path in ["/api/v1/tables/trades?limit=10", "/grafana/table?name=trades&symbol=AAPL&limit=10",
                 "/grafana/candles?symbol=AAPL&interval=1s&limit=10"]:
        assert len(get(up, path, few).json()) == 10, path
    # Where steps are chosen, they are as wide as it takes.
    for path in ["/grafana/candles?symbol=AAPL&from=1704187800&to=1704188000",
                 "/grafana/candles?symbol=AAPL&from=1704187800&to=1704188000&maxDataPoints=1000"]:
        candles = get(up, path, few).json()
        assert 1 < len(candles) <= 10 and sum(candle["volume"] for candle in candles) == 200, path
    # What fits is whole.
    for path in ["/grafana/symbols", "/grafana/last", "/grafana/annotations?from=1704187800&to=1704188000"]:
        assert get(up, path, few).status_code == 200, path
    body = {"range": {"from": "2024-01-02T09:00:00Z", "to": "2024-01-02T10:00:00Z"},
            "targets": [{"target": "trades", "payload": {"symbols": "AAPL"}}]}
    told = requests.post(up.url + "/simpod/query", json=body, headers={"X-API-Key": few}, timeout=30)
    assert told.status_code == 400 and told.json()["code"] == "too_many_rows", told.text
    for path in ["/api/v1/trades", "/api/v1/tables/trades", "/grafana/series?symbol=AAPL&field=price"]:
        reply = get(up, path, small)
        assert (reply.status_code, reply.json()["code"]) == (400, "too_many_bytes"), path
    for path in ["/api/v1/latest?symbol=AAPL", "/api/v1/trades?limit=1", "/api/v1/symbols"]:
        assert get(up, path, small).status_code == 200, path
    # What another key was sent is no copy of what this one may have.
    whole = make(up, "whole")["key"]
    for _ in range(100):
        first, other, again = (get(up, "/api/v1/trades", key).headers["ETag"] for key in (few, whole, few))
        if first == again:  # Nothing has changed meanwhile.
            break
    assert first == again and other != first


def test_clients_of_others_are_refused_in_their_own_words(locked):
    key = make(locked, "sql only", "--scope", "sql")["key"]
    finnhub = get(locked, "/api/v1/quote?symbol=AAPL")
    assert finnhub.status_code == 401 and "X-Finnhub-Token" in finnhub.json()["error"]
    for headers, code in [({}, -2014), ({"X-MBX-APIKEY": "tdk_wrong"}, -2015), ({"X-MBX-APIKEY": key}, -2015)]:
        refused = requests.get(locked.url + "/api/v3/klines?symbol=AAPL&interval=1m", headers=headers, timeout=30)
        assert refused.status_code in (401, 403) and refused.json()["code"] == code, refused.text
    yahoo = get(locked, "/v8/finance/chart/AAPL")
    assert yahoo.status_code == 401 and yahoo.json()["chart"]["error"]["code"] == "Unauthorized"
    assert "APCA-API-SECRET-KEY" in get(locked, "/v2/stocks/bars?symbols=AAPL&timeframe=1Day").json()["message"]


def test_a_plan_is_for_those_who_may_ask_explain(locked):
    plan = "application/vnd.pgrst.plan+json"
    for scopes, status in [(["rest"], 403), (["rest", "sql"], 200), (["admin"], 200)]:
        key = make(locked, "of " + "".join(scopes), *(word for scope in scopes for word in ("--scope", scope)))["key"]
        headers = {"Authorization": f"Bearer {key}", "Accept": plan}
        reply = requests.get(locked.url + "/api/v1/tables/trades?limit=1", headers=headers, timeout=30)
        assert reply.status_code == status, reply.text
        assert reply.json()["code"] == "scope_missing" if status == 403 else "Plan" in reply.json()[0]
    # Rows are for all of them.
    assert get(locked, "/api/v1/tables/trades?limit=1", key).status_code == 200


def test_finnhubs_paths_take_their_key_from_the_url(locked):
    key = make(locked, "bot", "--scope", "rest")["key"]
    other = make(locked, "sql bot", "--scope", "sql")["key"]
    paths = ["/api/v1/quote?symbol=AAPL", "/api/v1/stock/candle?symbol=AAPL&resolution=D&from=1356998400&to=1893456000"]
    for path in paths:
        for token, status in [(key, 200), (other, 403), ("tdk_wrong", 401), ("", 401), ("%ff", 400)]:
            reply = requests.get(f"{locked.url}{path}&token={token}", timeout=30)
            assert reply.status_code == status and (status == 200 or "error" in reply.json()), (path, token, reply.text)
            assert not token or token not in reply.text
        assert requests.get(f"{locked.url}{path.replace('?', f'?token={key}&')}", timeout=30).status_code == 200
        # What comes in a field goes before it.
        assert get(locked, f"{path}&token=tdk_wrong", key).status_code == 200
        # A tag is of what is asked, and not of who asks how.
        for _ in range(100):
            ways = [(path, key), (f"{path}&token={key}", None), (path, key)]
            tags = [get(locked, *way).headers["ETag"] for way in ways]
            if tags[0] == tags[2]:  # Nothing has changed meanwhile.
                break
        assert len(set(tags)) == 1
    for secret in (key, other):
        assert secret not in locked.output() and secret.split("_", 2)[2] not in locked.audit.read_text()


def test_an_event_stream_takes_its_key_from_the_url(locked):
    key = make(locked, "browser", "--scope", "rest")["key"]
    for path in ["/api/v1/stream", "/api/v1/stream?token=", "/api/v1/stream?token=tdk_wrong"]:
        assert requests.get(locked.url + path, timeout=30).status_code == 401, path
    # Nowhere else: links with keys are passed on.
    assert requests.get(f"{locked.url}/api/v1/latest?token={key}", timeout=30).status_code == 401
    with requests.get(f"{locked.url}/api/v1/stream?token={key}", stream=True, timeout=30) as reply:
        assert reply.status_code == 200 and next(reply.iter_lines()).startswith((b"event: ready", b"id:", b"retry:", b":"))
    assert key not in locked.output() and key.split("_", 2)[2] not in locked.audit.read_text()
