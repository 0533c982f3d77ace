# SPDX-License-Identifier: Apache-2.0
"""The clients of Presto, Trino and PostgreSQL as their users install them: what they ask, answered as they read it."""
import datetime
import decimal
import threading
import uuid
import warnings

import prestodb
import psycopg
import pytest
import requests
import sqlalchemy as sa
import trino
from conftest import wait_until
from pyhive import presto

UTC = datetime.timezone.utc


def port(up):
    return int(up.url.rsplit(":", 1)[1])


def trino_connection(up, **options):
    return trino.dbapi.connect(
        host="127.0.0.1", port=port(up), user="alice", catalog="tapedeck", schema="market", **options)


def presto_connection(up, **options):
    return prestodb.dbapi.connect(
        host="127.0.0.1", port=port(up), user="bob", catalog="tapedeck", schema="market", **options)


def hive_connection(up):
    return presto.connect("127.0.0.1", port=port(up), username="carol", catalog="tapedeck", schema="market")


CONNECTIONS = [trino_connection, presto_connection, hive_connection]


def rows(connection, sql, *parameters):
    cursor = connection.cursor()
    cursor.execute(sql, *parameters)
    return [tuple(row) for row in cursor.fetchall()]


@pytest.mark.parametrize("connect", CONNECTIONS)
def test_rows_are_postgres_rows(played, connect):
    query = "SELECT symbol, count(*) AS n, max(price) AS top FROM trades GROUP BY symbol ORDER BY symbol"
    cursor = connect(played).cursor()
    cursor.execute(query)
    assert [tuple(row) for row in cursor.fetchall()] == played.sql(query)
    assert [column[:2] for column in cursor.description] == [("symbol", "varchar"), ("n", "bigint"), ("top", "double")]
    cursor.execute("SELECT symbol FROM trades WHERE false")
    assert cursor.fetchall() == [] and cursor.description[0][0] == "symbol"


@pytest.mark.parametrize("connect", CONNECTIONS)
def test_every_row_of_many_pages(played, connect):
    assert rows(connect(played), "SELECT trade_id, ts, price FROM trades ORDER BY symbol, ts, source, trade_id") != []
    count = 200_000 if connect is trino_connection else 20_000
    numbers = [row[0] for row in rows(connect(played), f"SELECT g FROM generate_series(1, {count}) AS t(g)")]
    assert numbers == list(range(1, count + 1))


def test_types_of_trino(played):
    result = rows(trino_connection(played), """
        SELECT true, CAST(1 AS SMALLINT), 9007199254740993, CAST(1.5 AS DOUBLE), nan(), infinity(),
          CAST('1.20' AS DECIMAL(12,2)), 'é😀', X'00ff', DATE '2024-02-29', TIME '23:59:59.5',
          TIMESTAMP '2024-02-29 23:59:59.123456', TIMESTAMP '2024-02-29 23:59:59.5 UTC', ARRAY[1,2],
          UUID '12151fd2-7586-11e9-8f9e-2a86e4085a59', NULL""")[0]
    assert result[:4] == (True, 1, 9007199254740993, 1.5) and result[4] != result[4] and result[5] == float("inf")
    assert result[6:] == (
        decimal.Decimal("1.20"), "é😀", b"\x00\xff", datetime.date(2024, 2, 29), datetime.time(23, 59, 59, 500000),
        datetime.datetime(2024, 2, 29, 23, 59, 59, 123456),
        datetime.datetime(2024, 2, 29, 23, 59, 59, 500000, UTC), [1, 2],
        uuid.UUID("12151fd2-7586-11e9-8f9e-2a86e4085a59"), None)


def test_types_that_the_dialect_decides(played):
    cursor = trino_connection(played).cursor()
    cursor.execute("""
        SELECT INTERVAL '3' YEAR, current_timestamp, DATE '2024-01-31' + INTERVAL '1' DAY,
          TIMESTAMP '2024-01-02 12:00:00 UTC' AT TIME ZONE 'Asia/Tokyo', sum(1) OVER w WINDOW w AS ()""")
    result = cursor.fetchall()[0]
    assert [column[1] for column in cursor.description] == [
        "interval year to month", "timestamp(3) with time zone", "date", "timestamp(6) with time zone", "bigint"]
    assert cursor.description[4][0] == "_col4" and str(result[0]) in ("3-0", "relativedelta(years=+3)")
    assert result[2:4] == [
        datetime.date(2024, 2, 1), datetime.datetime(2024, 1, 2, 12, tzinfo=datetime.timezone.utc)]


def test_rows_and_computed_decimals_of_trino(played):
    cursor = trino_connection(played).cursor()
    cursor.execute("""
        SELECT CAST(ROW(1, 'a') AS ROW(x BIGINT, y VARCHAR)) AS r, sum(d), sum(d) / 3
        FROM (VALUES CAST(1.25 AS DECIMAL(6, 2)), CAST(2.50 AS DECIMAL(6, 2))) AS t (d)""")
    row, total, third = cursor.fetchall()[0]
    assert (row.x, row.y) == (1, "a") and (str(total), str(third)) == ("3.75", "1.25")
    assert [column[1] for column in cursor.description] == [
        "row(x bigint, y varchar)", "decimal(38,2)", "decimal(38,2)"]


def test_arrays_of_arrays_of_trino(played):
    cursor = trino_connection(played).cursor()
    cursor.execute("SELECT ARRAY[ARRAY[1], ARRAY[2]], ngrams(ARRAY['a', 'b', 'c'], 2), ARRAY[1], ARRAY[ARRAY[ARRAY[1.5e0]]]")
    assert cursor.fetchall() == [[[[1], [2]], [["a", "b"], ["b", "c"]], [1], [[[1.5]]]]]
    assert [column[1] for column in cursor.description] == [
        "array(array(integer))", "array(array(varchar))", "array(integer)", "array(array(array(double)))"]
    cursor.execute("SELECT x FROM (VALUES ARRAY[1], CAST(ARRAY[] AS ARRAY(INTEGER))) AS t (x)")
    assert cursor.fetchall() == [[[1]], [[]]]
    with pytest.raises(trino.exceptions.TrinoUserError, match="of 1 and of 2 dimensions"):
        rows(trino_connection(played), "SELECT ARRAY[1] AS x UNION ALL SELECT ARRAY[ARRAY[1]]")


@pytest.mark.parametrize("sql", [
    "SELECT * FROM (SELECT symbol, count(*), max(price) AS top FROM trades GROUP BY symbol)",
    "SELECT * FROM (SELECT symbol, count(*), max(price) AS top FROM trades GROUP BY symbol) AS virtual_table",
    "WITH v AS (SELECT symbol, count(*), max(price) AS top FROM trades GROUP BY symbol) SELECT * FROM v",
    "SELECT symbol, _col1, top FROM (SELECT symbol, count(*), max(price) AS top FROM trades GROUP BY symbol) v"])
def test_columns_without_names_in_subqueries(played, sql):
    cursor = trino_connection(played).cursor()
    cursor.execute(sql)
    assert cursor.fetchall()
    assert [column[0] for column in cursor.description] == ["symbol", "_col1", "top"]


def test_names_behind_an_ordered_set(played):
    cursor = trino_connection(played).cursor()
    cursor.execute("""
        SELECT listagg(x, ',') WITHIN GROUP (ORDER BY x) AS names, count(*), 1.0 / 3 AS third,
          listagg(x, ',') WITHIN GROUP (ORDER BY x), DECIMAL '1.20'
        FROM (VALUES 'b', 'a') AS t (x)""")
    assert cursor.fetchall() == [["a,b", 2, decimal.Decimal("0.3"), "a,b", decimal.Decimal("1.20")]]
    assert [column[:2] for column in cursor.description] == [
        ("names", "varchar"), ("_col1", "bigint"), ("third", "decimal(2,1)"), ("_col3", "varchar"),
        ("_col4", "decimal(3,2)")]


def test_the_schema_of_a_session_may_be_the_metadata(played):
    connection = trino.dbapi.connect(
        host="127.0.0.1", port=port(played), user="alice", catalog="tapedeck", schema="information_schema")
    there = rows(connection, "SELECT column_name, data_type FROM columns WHERE table_name = 'trades' ORDER BY 1")
    assert there == rows(trino_connection(played), """
        SELECT column_name, data_type FROM information_schema.columns WHERE table_name = 'trades' ORDER BY 1""")
    assert ("price", "double") in there


def test_the_zone_of_a_session_may_be_an_offset(played):
    reply = requests.post(
        f"{played.url}/v1/statement", "SELECT current_timezone()",
        headers={"X-Trino-User": "ann", "X-Trino-Time-Zone": "+05:30"}, timeout=30).json()
    found = reply.get("data", [])
    while "nextUri" in reply:
        reply = requests.get(reply["nextUri"], timeout=30).json()
        found += reply.get("data", [])
    assert found == [["+05:30"]]


def test_statistics_that_are_not_known_are_not_told(played):
    # Nobody has analysed a table that has always been empty.
    shown = rows(trino_connection(played), "SHOW STATS FOR (SELECT symbol, price FROM quotes)")
    assert [(row[0], row[2]) for row in shown] == [("symbol", None), ("price", None), (None, None)]


def test_statistics_of_a_query_are_those_of_its_tables_columns(played):
    with psycopg.connect(played.writer_url, autocommit=True) as connection:
        connection.execute("ANALYZE market.trades")
        connection.execute("ANALYZE market.bars")
    connection = trino_connection(played)
    of_trades = {row[0]: row for row in rows(connection, "SHOW STATS FOR trades")}
    of_bars = {row[0]: row for row in rows(connection, "SHOW STATS FOR bars")}
    trades = float(of_trades[None][4])
    assert trades > 10_000 and of_trades["price"][2] > 1
    shown = rows(connection, "SHOW STATS FOR (SELECT size, t.symbol || 'x' AS s, price FROM trades t)")
    assert [row[0] for row in shown] == ["size", "s", "price", None]
    assert shown[1][1:] == (None,) * 6
    for row in (shown[0], shown[2]):
        assert row[2:4] == of_trades[row[0]][2:4]
        assert row[1] / shown[3][4] == pytest.approx(of_trades[row[0]][1] / trades)
    shown = rows(connection, "SHOW STATS FOR (SELECT b.close, t.price, b.close AS again FROM bars b, trades t)")
    assert [row[2:4] for row in shown[:3]] == [of[name][2:4] for of, name in
                                               [(of_bars, "close"), (of_trades, "price"), (of_bars, "close")]]


def test_a_zone_that_there_is_not_is_refused(played):
    connection = trino_connection(played)
    with pytest.raises(trino.exceptions.TrinoUserError) as caught:
        rows(connection, "SET TIME ZONE 'Nope/Zone'")
    assert caught.value.error_name == "INVALID_SESSION_PROPERTY"
    rows(connection, "SET TIME ZONE INTERVAL '9' HOUR")
    assert rows(connection, "SELECT hour(TIMESTAMP '2024-01-02 12:00:00 UTC')") == [(21,)]


def test_parameters_of_trino(played):
    values = (7, "it's", decimal.Decimal("1.20"), datetime.date(2024, 1, 2), None, True, b"\x01\xff")
    for legacy in [False, True]:
        connection = trino_connection(played, legacy_prepared_statements=legacy)
        assert rows(connection, "SELECT ?, ?, ?, ?, ?, ?, ?", values) == [values]
    described = trino_connection(played).cursor().describe("SELECT symbol, price FROM trades")
    assert [(column.name, column.type) for column in described] == [("symbol", "varchar"), ("price", "double")]


def test_session_and_transactions(played):
    connection = trino_connection(played, timezone="Europe/Paris")
    assert rows(connection, "SELECT TIMESTAMP '2024-07-01 12:00:00 UTC'")[0][0] == datetime.datetime(
        2024, 7, 1, 12, tzinfo=UTC)
    rows(connection, "SET SESSION query_max_run_time = '5s'")
    assert ("query_max_run_time", "5s") in [row[:2] for row in rows(connection, "SHOW SESSION")]
    with trino_connection(
            played, isolation_level=trino.transaction.IsolationLevel.READ_COMMITTED) as transaction:
        assert rows(transaction, "SELECT 1") == [(1,)]
    for connect, levels in [
            (trino_connection, trino.transaction.IsolationLevel), (presto_connection, prestodb.transaction.IsolationLevel)]:
        # Whatever level is asked for, these clients say START TRANSACTION alone.
        for level in [levels.READ_UNCOMMITTED, levels.READ_COMMITTED, levels.REPEATABLE_READ, levels.SERIALIZABLE]:
            with connect(played, isolation_level=level) as transaction:
                assert [list(row) for row in rows(transaction, "SELECT 1")] == [[1]]
    for level in ["READ UNCOMMITTED, READ WRITE", "READ COMMITTED, READ ONLY"]:
        rows(trino_connection(played), f"START TRANSACTION ISOLATION LEVEL {level}")
    for level in ["REPEATABLE READ", "SERIALIZABLE"]:
        with pytest.raises(trino.exceptions.TrinoUserError) as caught:
            rows(trino_connection(played), f"START TRANSACTION ISOLATION LEVEL {level}")
        assert (caught.value.error_name, caught.value.error_code) == ("UNSUPPORTED_ISOLATION_LEVEL", 26)
    cursor = presto_connection(played).cursor()
    cursor.execute("SELECT 1")
    assert cursor.fetchone() == [1]


def test_errors(played):
    with pytest.raises(trino.exceptions.TrinoUserError) as caught:
        rows(trino_connection(played), "SELECT * FROM nope")
    assert caught.value.error_name == "TABLE_NOT_FOUND"
    assert caught.value.message == "line 1:15: Table 'tapedeck.market.nope' does not exist"
    with pytest.raises(prestodb.exceptions.PrestoUserError, match="Column 'nope' cannot be resolved"):
        rows(presto_connection(played), "SELECT nope FROM trades")
    with pytest.raises(presto.DatabaseError, match="does not exist"):
        rows(hive_connection(played), "SELECT * FROM nope")
    with pytest.raises(trino.exceptions.TrinoUserError):
        rows(trino_connection(played), "DELETE FROM trades")


ENDLESS = "SELECT count(*) AS {} FROM trades a CROSS JOIN trades b CROSS JOIN trades c"


def running(up, marker):
    with psycopg.connect(up.writer_url, autocommit=True) as connection:
        return connection.execute(
            "select count(*) from pg_stat_activity where state = 'active' and query like %s"
            " and backend_type = 'client backend' and pid <> pg_backend_pid()",
            [f"%AS {marker}%"]).fetchone()[0]


@pytest.mark.parametrize("connect", CONNECTIONS)
def test_cancel_reaches_postgres(played, connect):
    marker = "stopped_by_" + connect.__name__.split("_")[0]
    connection = connect(played)
    cursor = connection.cursor()

    def query():
        try:
            cursor.execute(ENDLESS.format(marker))
            cursor.fetchall()
        except Exception:
            pass  # Each client says in its own way that it was stopped.

    thread = threading.Thread(target=query)
    thread.start()
    wait_until(lambda: running(played, marker) == 1, 30, "the query to run", played)
    if connect is trino_connection:
        listed = requests.get(played.url + "/v1/query?state=RUNNING", timeout=10).json()
        found = [entry["queryId"] for entry in listed if marker in entry["query"]]
        rows(trino_connection(played), f"CALL system.runtime.kill_query(query_id => '{found[0]}', message => 'enough')")
    else:
        cursor.cancel()
    wait_until(lambda: running(played, marker) == 0, 30, "the query to end", played)
    thread.join(30)
    assert not thread.is_alive()


def engines(up):
    return {
        "trino": f"trino://alice@127.0.0.1:{port(up)}/tapedeck/market",
        "presto": f"presto://alice@127.0.0.1:{port(up)}/tapedeck/market",
        "postgresql": up.reader_url.replace("postgresql://", "postgresql+psycopg://", 1),
    }


@pytest.mark.parametrize("dialect", ["trino", "presto", "postgresql"])
def test_sqlalchemy_reflects_and_queries(played, dialect):
    engine = sa.create_engine(engines(played)[dialect])
    inspector = sa.inspect(engine)
    assert "market" in inspector.get_schema_names()
    assert "trades" in inspector.get_table_names(schema="market")
    assert inspector.has_table("trades", schema="market") and not inspector.has_table("nope", schema="market")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # PyHive knows no types of time with a zone.
        trades = sa.Table("trades", sa.MetaData(schema="market"), autoload_with=engine)
    assert {"symbol", "ts", "price", "size"} <= set(trades.columns.keys())
    query = (
        sa.select(trades.c.symbol, sa.func.count().label("n")).where(trades.c.price > 0)
        .group_by(trades.c.symbol).order_by(sa.desc("n"), trades.c.symbol).limit(3))
    with engine.connect() as connection:
        found = [tuple(row) for row in connection.execute(query)]
    assert found == played.sql(
        "select symbol, count(*) as n from trades group by symbol order by n desc, symbol limit 3")


def test_a_client_that_chooses_a_schema_has_the_functions(played):
    engine = sa.create_engine(engines(played)["postgresql"])
    assert sa.inspect(engine).default_schema_name == "market"
    asked = """
        select time_bucket('1 day', ts) as day, first(price, ts), last(price, ts), vwap(price, size),
            (select count(*) from candles(symbol, '1m', '-infinity', 'infinity')),
            (select count(*) from indicators(symbol, '1m', '-infinity', 'infinity'))
        from trades where symbol = (select min(symbol) from trades) group by day, symbol order by day"""
    with engine.connect() as connection:
        expected = connection.execute(sa.text(asked)).fetchall()
        assert len(expected) > 0 and None not in expected[0]
        # As Superset's SQL Lab does.
        connection.execute(sa.text('set search_path = "market"'))
        assert connection.execute(sa.text(asked)).fetchall() == expected
        offset = "select time_bucket('1 day', ts, interval '9 hours') from trades limit 1"
        assert connection.execute(sa.text(offset)).scalar().hour == 9
        names = "('time_bucket', 'first', 'last', 'vwap', 'candles', 'indicators')"
        unlike = connection.execute(sa.text(f"""
            select coalesce(m.proname, s.proname)
            from (select * from pg_proc where pronamespace = 'market'::regnamespace) m
            full join (select * from pg_proc where pronamespace = 'tapedeck_sql'::regnamespace and proname in {names}) s
                on s.proname = m.proname and s.proargtypes = m.proargtypes
            where s.oid is null or m.oid is null or s.proallargtypes is distinct from m.proallargtypes
                or s.proargnames is distinct from m.proargnames
                or obj_description(s.oid, 'pg_proc') is distinct from obj_description(m.oid, 'pg_proc')"""))
        assert unlike.fetchall() == []
    assert played.sql("select current_schema()") == [("market",)]
