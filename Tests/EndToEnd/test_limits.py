# SPDX-License-Identifier: Apache-2.0
"""What the operator lets a statement take, by rows, bytes and cost: at, below and above, through both doors."""
import pathlib
import shutil
import tempfile

import pytest
import requests
import trino
from conftest import Up

ROWS, BYTES, COST = 20, 4000, 5000


@pytest.fixture(scope="module")
def limited():
    base = pathlib.Path(tempfile.mkdtemp(prefix="tapedeck-e2e-"))
    up = Up(base / "data", "--max-result-rows", ROWS, "--max-result-bytes", BYTES,
            "--max-query-cost", COST)
    yield up
    up.close()
    shutil.rmtree(base, ignore_errors=True)


def ask(up, sql, **parameters):
    return requests.post(
        up.url + "/api/v1/sql", data=sql, params={"format": "ndjson"} | parameters,
        headers={"Content-Type": "application/sql"}, timeout=60)


def trino_rows(up, sql):
    connection = trino.dbapi.connect(host="127.0.0.1", port=int(up.url.rsplit(":", 1)[1]), user="u", catalog="tapedeck")
    cursor = connection.cursor()
    try:
        cursor.execute(sql)
        return len(cursor.fetchall())
    except trino.exceptions.TrinoQueryError as error:
        return error.error_name, error.message


@pytest.mark.parametrize("rows", [ROWS - 1, ROWS, ROWS + 1])
def test_rows(limited, rows):
    sql = f"select g from generate_series(1, {rows}) g"
    reply = ask(limited, sql)
    over_trino = trino_rows(limited, f"SELECT x FROM UNNEST(sequence(1, {rows})) AS t(x)")
    if rows <= ROWS:
        assert len(reply.text.splitlines()) == rows and over_trino == rows
    else:
        assert (reply.status_code, reply.json()["code"]) == (400, "row_limit_exceeded")
        assert over_trino[0] == "GENERIC_INSUFFICIENT_RESOURCES" and str(ROWS) in over_trino[1]
        # JSON has a place to say that rows are missing.
        told = ask(limited, sql, format="json").json()
        assert told["row_count"] == ROWS and told["truncated"] is True


def test_a_request_may_name_a_smaller_limit_and_no_larger_one(limited):
    assert len(ask(limited, "select generate_series(1, 9)", limit=3).text.splitlines()) == 3
    for name, most in (("limit", ROWS), ("max_bytes", BYTES)):
        assert ask(limited, "select 1", **{name: most}).status_code == 200
        refused = ask(limited, "select 1", **{name: most + 1})
        assert (refused.status_code, refused.json()["code"]) == (400, "invalid_parameter")


@pytest.mark.parametrize("size", [BYTES - 1, BYTES, BYTES + 1])
def test_bytes(limited, size):
    # {"v":"…"} and the end of the line.
    reply = ask(limited, f"select repeat('x', {size - 9}) as v")
    if size <= BYTES:
        assert len(reply.content) == size
    else:
        assert (reply.status_code, reply.json()["code"]) == (400, "byte_limit_exceeded")
    # ["…"]
    over_trino = trino_rows(limited, f"SELECT rpad('', {size - 4}, 'x')")
    assert over_trino == 1 if size <= BYTES else over_trino[0] == "GENERIC_INSUFFICIENT_RESOURCES"


def cost(up, sql):
    return ask(up, "explain (format json) " + sql, format="json").json()["rows"][0][0][0]["Plan"]["Total Cost"]


def test_cost(limited):
    # A function of one row costs what its number of rows is declared to be.
    sql = "select count(*) from generate_series(1, {}) g"
    assert cost(limited, sql.format(100)) < COST < cost(limited, sql.format(10_000_000))
    assert ask(limited, sql.format(100)).json() == {"count": 100}
    refused = ask(limited, sql.format(10_000_000))
    assert (refused.status_code, refused.json()["code"]) == (403, "query_too_expensive")
    assert str(COST) in refused.json()["details"] and "EXPLAIN" in refused.json()["hint"]
    name, message = trino_rows(limited, sql.format(10_000_000))
    assert name == "GENERIC_INSUFFICIENT_RESOURCES" and "too expensive" in message and ".." not in message
    # The plan runs nothing, and what is wrong with a statement is said of the statement.
    wrong = ask(limited, "select nothing")
    assert (wrong.json()["code"], wrong.json()["position"]) == ("42703", 8)
    assert ask(limited, "show timezone").status_code == 200
    # What EXPLAIN ANALYZE explains it runs.
    for prefix in ("explain analyze ", "/* a */ EXPLAIN (costs off, analyze) ", "explain analyse verbose "):
        assert ask(limited, prefix + sql.format(100)).status_code == 200
        assert ask(limited, prefix + sql.format(10_000_000)).json()["code"] == "query_too_expensive", prefix
    assert trino_rows(limited, "EXPLAIN ANALYZE " + sql.format(10_000_000))[0] == "GENERIC_INSUFFICIENT_RESOURCES"
    assert trino_rows(limited, "EXPLAIN ANALYZE " + sql.format(100)) == 1
    assert trino_rows(limited, "EXPLAIN ANALYZE SELECT nothing")[0] == "COLUMN_NOT_FOUND"
    assert ask(limited, "explain " + sql.format(10_000_000)).status_code == 200
    assert trino_rows(limited, "SELECT nothing")[0] == "COLUMN_NOT_FOUND"


def test_the_cost_is_allowed_at_the_limit(limited, folder):
    sql = "select count(*) from generate_series(1, 1000) g"
    exact = cost(limited, sql)
    for limit, status in ((exact, 200), (exact - 0.01, 403)):
        up = Up(folder, "--max-query-cost", limit)
        try:
            assert ask(up, sql).status_code == status
        finally:
            up.close()
