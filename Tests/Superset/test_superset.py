# SPDX-License-Identifier: Apache-2.0
"""A real Superset on Tapedeck, as Trino, as Presto and as PostgreSQL: what its users click, through its own API."""
import json
import threading
import time
import uuid

import psycopg2
import pytest
from tape import running_tape

GRAINS = [
    "PT1S", "PT5S", "PT30S", "PT1M", "PT5M", "PT10M", "PT15M", "PT30M", "PT1H", "PT6H", "P1D", "P1W", "P1M", "P3M", "P1Y",
    "1969-12-28T00:00:00Z/P1W", "1969-12-29T00:00:00Z/P1W", "P1W/1970-01-03T00:00:00Z", "P1W/1970-01-04T00:00:00Z"]
# Those that Superset has of each engine.
GRAINS_OF = {
    "trino": [grain for grain in GRAINS if grain != "PT30M"] + ["PT0.5H"],
    "presto": [grain for grain in GRAINS if grain != "PT30M"] + ["PT0.5H"],
    "postgresql": [grain for grain in GRAINS if "/" not in grain and grain != "PT6H"],
}
RANGE = "2013-01-01T00:00:00 : 2018-01-01T00:00:00"


@pytest.fixture(scope="module")
def tape():
    """Tapedeck with the whole sample tape."""
    yield from running_tape()


class Database:
    def __init__(self, superset, kind, uri):
        self.superset = superset
        self.kind = kind
        parameters = {"database_name": f"tape as {kind}", "sqlalchemy_uri": uri}
        superset.post("database/test_connection/", parameters)
        self.id = superset.post(
            "database/", {
                **parameters, "expose_in_sqllab": True,
                "extra": json.dumps({"version": "0.330", "cost_estimate_enabled": True}),
            })["id"]

    def lab(self, sql, limit=100, client=None, expected=(200, 201)):
        return self.superset.post(
            "sqllab/execute/", {
                "database_id": self.id, "schema": "market", "sql": sql, "queryLimit": limit, "runAsync": False,
                "client_id": client or uuid.uuid4().hex[:11], "expand_data": True, "select_as_cta": False,
            }, expected=expected)

    def chart(self, dataset, query, result_type="full"):
        body = {
            "datasource": {"id": dataset, "type": "table"}, "force": True, "result_format": "json",
            "result_type": result_type, "queries": [query], "form_data": {},
        }
        return self.superset.post("chart/data", body)["result"][0]


@pytest.fixture(scope="module", params=["trino", "presto", "postgresql"])
def database(request, superset, tape):
    address = tape.url.removeprefix("http://")
    uri = {
        "trino": f"trino://superset@{address}/tapedeck/market",
        "presto": f"presto://superset@{address}/tapedeck/market",
        "postgresql": tape.reader_url.replace("postgresql://", "postgresql+psycopg2://", 1),
    }[request.param]
    return Database(superset, request.param, uri)


@pytest.fixture(scope="module")
def dataset(database):
    superset = database.superset
    catalog = {} if database.kind == "postgresql" else {"catalog": "tapedeck"}
    made = superset.post("dataset/", {"database": database.id, "schema": "market", "table_name": "trades", **catalog})["id"]
    yield made
    # The same table can be a dataset of one database at a time, with Superset's data in SQLite.
    superset.call("DELETE", f"dataset/{made}")


def test_catalogs_schemas_tables_columns(database):
    superset, base = database.superset, f"database/{database.id}/"
    if database.kind != "postgresql":
        assert set(superset.get(base + "catalogs/?q=(force:!t)")["result"]) >= {"tapedeck", "system"}
    assert "market" in superset.get(base + "schemas/?q=(force:!t)")["result"]
    tables = {table["value"] for table in superset.get(base + "tables/?q=(force:!t,schema_name:market)")["result"]}
    assert {"trades", "bars", "latest"} <= tables
    columns = superset.get(base + "table_metadata/?name=trades&schema=market")["columns"]
    assert {"symbol", "ts", "price"} <= {column["name"] for column in columns}
    superset.get(base + "table_metadata/extra/?name=trades&schema=market")
    assert "SELECT" in superset.get(base + "select_star/trades/market/")["result"]
    assert superset.get(base + "function_names/")["function_names"] is not None


def test_dataset_knows_its_columns(database, dataset):
    superset = database.superset
    superset.call("PUT", f"dataset/{dataset}/refresh")
    columns = superset.get(f"dataset/{dataset}")["result"]["columns"]
    assert {column["column_name"] for column in columns if column["is_dttm"]} >= {"ts"}
    samples = database.chart(dataset, {"columns": [], "metrics": [], "row_limit": 5}, result_type="samples")
    assert len(samples["data"]) == 5
    values = superset.get(f"datasource/table/{dataset}/column/symbol/values/")["result"]
    assert len(values) > 5


def test_every_time_grain(database, dataset, tape):
    total = tape.one("select count(*) from trades where ts >= '2013-01-01Z' and ts < '2018-01-01Z'")
    for grain in GRAINS_OF[database.kind]:
        axis = {"columnType": "BASE_AXIS", "sqlExpression": "ts", "label": "ts", "expressionType": "SQL", "timeGrain": grain}
        result = database.chart(dataset, {
            "columns": [axis], "metrics": ["count"], "row_limit": 50000, "time_range": RANGE, "granularity": "ts",
        })
        assert result["error"] is None, (grain, result["error"])
        assert sum(row["count"] for row in result["data"]) == total, grain


def test_filters_series_limit_and_metrics(database, dataset, tape):
    price = {"expressionType": "SIMPLE", "column": {"column_name": "price"}, "aggregate": "AVG", "label": "avg_price"}
    result = database.chart(dataset, {
        "columns": ["symbol"], "metrics": ["count", price], "row_limit": 100,
        "filters": [
            {"col": "price", "op": ">", "val": 0}, {"col": "symbol", "op": "LIKE", "val": "%:%"},
            {"col": "symbol", "op": "ILIKE", "val": "%btc%"}, {"col": "source", "op": "IS NOT NULL"},
            {"col": "symbol", "op": "NOT IN", "val": ["it's \"q\"", "δ"]},
        ], "extras": {"where": "(size > 0)", "having": "(COUNT(*) > 1)"}, "orderby": [["count", False]],
    })
    expected = tape.sql(
        "select symbol, count(*) from trades where price > 0 and symbol like '%:%' and symbol ilike '%btc%' and size > 0"
        " group by 1 having count(*) > 1 order by 2 desc")
    assert sorted((row["symbol"], row["count"]) for row in result["data"]) == sorted(expected)
    axis = {"columnType": "BASE_AXIS", "sqlExpression": "ts", "label": "ts", "expressionType": "SQL", "timeGrain": "P1Y"}
    series = database.chart(dataset, {
        "columns": [axis, "symbol"], "metrics": ["count"], "series_columns": ["symbol"], "series_limit": 2,
        "series_limit_metric": "count", "row_limit": 1000,
    })
    assert series["error"] is None and len({row["symbol"] for row in series["data"]}) == 2
    raw = database.chart(dataset, {"columns": ["symbol", "ts", "price", "conditions"], "metrics": [], "row_limit": 5,
                                   "row_offset": 2, "orderby": [["price", True]]})
    assert raw["error"] is None and len(raw["data"]) == 5


def test_sql_lab(database, tape):
    result = database.lab("SELECT symbol, ts, price FROM trades ORDER BY ts", limit=10)
    assert result["status"] == "success" and len(result["data"]) == 10
    assert [column["name"] for column in result["columns"]] == ["symbol", "ts", "price"]
    assert database.lab("-- hello\nSELECT count(*) AS n FROM market.trades;")["data"] == [{"n": 15948}]
    assert database.lab("WITH x AS (SELECT symbol, count(*) AS n FROM trades GROUP BY 1) SELECT max(n) AS m FROM x")["data"]
    assert database.lab("EXPLAIN SELECT * FROM trades")["status"] == "success"
    if database.kind != "postgresql":
        assert "trades" in str(database.lab("SHOW TABLES FROM market")["data"])
        assert "price" in str(database.lab("DESCRIBE trades")["data"])
        assert "CREATE TABLE" in str(database.lab("SHOW CREATE TABLE trades")["data"])
        estimate = database.superset.post(
            "sqllab/estimate/", {"database_id": database.id, "sql": "SELECT * FROM trades", "schema": "market"})
        assert estimate["result"]
    failed = database.lab("SELECT * FROM nope", expected=(400, 404, 422, 500))
    assert "nope" in json.dumps(failed)
    failed = database.lab("DELETE FROM trades", expected=(400, 403, 404, 422, 500))
    assert tape.one("select count(*) from trades") == 15948


def test_csv_export(database):
    client = uuid.uuid4().hex[:11]
    database.lab("SELECT symbol, price FROM trades ORDER BY ts, symbol, trade_id", limit=8, client=client)
    text = database.superset.call("GET", f"sqllab/export/{client}/").text
    lines = text.lstrip("\ufeff").splitlines()
    assert lines[0] == "symbol,price" and len(lines) == 9


def test_stop_reaches_postgres(database, tape):
    client = uuid.uuid4().hex[:11]
    marker = f"stopped_{database.kind}"
    sql = f"SELECT count(*) AS {marker} FROM trades a CROSS JOIN trades b CROSS JOIN trades c"

    def running():
        with psycopg2.connect(tape.writer_url) as connection, connection.cursor() as cursor:
            cursor.execute(
                "select count(*) from pg_stat_activity where state = 'active' and query like %s"
                " and backend_type = 'client backend' and pid <> pg_backend_pid()",
                [f"%AS {marker}%"])
            return cursor.fetchone()[0]

    def wait(count):
        deadline = time.monotonic() + 30
        while running() != count:
            assert time.monotonic() < deadline, f"{running()} statements run, not {count}"
            time.sleep(0.1)

    thread = threading.Thread(target=lambda: database.lab(sql, client=client, expected=range(200, 600)))
    thread.start()
    wait(1)
    # Superset knows what to stop once its cursor has told it, which may be after the statement has begun.
    for _ in range(10):
        database.superset.post("query/stop", {"client_id": client}, expected=range(200, 600))
        time.sleep(1)
        if running() == 0:
            break
    wait(0)
    thread.join(60)
    assert not thread.is_alive()
