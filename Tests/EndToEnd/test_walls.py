# SPDX-License-Identifier: Apache-2.0
"""What a reader may not do, over HTTP and on a connection of its own; and what it leaves behind: nothing."""
import concurrent.futures
import pathlib
import shutil
import tempfile
import threading
import time

import psycopg
import pytest
import requests
from conftest import SAMPLE, Up, run, wait_until

PERMISSION, READ_ONLY, SYNTAX, NONE_SUCH = "42501", "25006", "42601", ("42883", "42P01", "42704", "42703")

# Each by the SQLSTATE of a refusal over HTTP and of one on a connection of its own; None where it is allowed and
# harmless: there the session is the caller's own.
ESCAPES = [
    # Several statements, and what hides them.
    ("select 1; select 2", SYNTAX, None),
    ("select 1; drop table market.trades", SYNTAX, PERMISSION),
    ("select 1 /* ; */; /* */ delete from market.latest", SYNTAX, PERMISSION),
    ("select $$a;b$$; delete from market.latest -- ", SYNTAX, PERMISSION),
    ("select 1; --\ncommit; delete from market.latest", SYNTAX, PERMISSION),
    # Somebody else.
    ("set role tapedeck_writer", "unsupported_statement", PERMISSION),
    ("/* select */ set role postgres", "unsupported_statement", ("42501", "22023")),
    ("set session authorization tapedeck_writer", "unsupported_statement", PERMISSION),
    ("select set_config('role', 'tapedeck_writer', false)", PERMISSION, PERMISSION),
    ("alter role tapedeck_reader superuser", READ_ONLY, PERMISSION),
    ("create role intruder login", READ_ONLY, PERMISSION),
    # Transactions.
    ("begin", "unsupported_statement", None),
    ("commit", "unsupported_statement", None),
    ("rollback; delete from market.latest", "unsupported_statement", PERMISSION),
    ("set transaction read write", "unsupported_statement", None),
    ("start transaction read write", "unsupported_statement", None),
    ("prepare transaction 'kept'", "unsupported_statement", None),
    ("begin; prepare transaction 'kept'", "unsupported_statement", "55000"),
    # Writes in every disguise.
    ("delete from market.latest", READ_ONLY, PERMISSION),
    ("insert into market.trades values (1)", (READ_ONLY, "42804"), (PERMISSION, "42804")),
    ("with gone as (delete from market.latest returning 1) select * from gone", READ_ONLY, PERMISSION),
    ("select * into stolen from market.latest", READ_ONLY, PERMISSION),
    ("create table stolen as select 1", READ_ONLY, PERMISSION),
    ("create temporary table kept (a int)", (READ_ONLY, PERMISSION), PERMISSION),
    ("create function f() returns int language sql as 'select 1'", READ_ONLY, PERMISSION),
    ("create function pg_temp.f() returns int language sql as 'select 1'", (READ_ONLY, PERMISSION), PERMISSION),
    ("create extension dblink", READ_ONLY, PERMISSION),
    ("create schema mine", READ_ONLY, PERMISSION),
    ("select * from market.latest for update", READ_ONLY, PERMISSION),
    ("truncate market.latest", READ_ONLY, PERMISSION),
    ("explain analyze delete from market.latest", READ_ONLY, PERMISSION),
    ("refresh materialized view x", READ_ONLY, NONE_SUCH),
    ("do $$ begin perform pg_sleep(0); end $$", "unsupported_statement", PERMISSION),
    ("call nothing()", "unsupported_statement", NONE_SUCH),
    ("begin; lock table market.latest in exclusive mode", "unsupported_statement", PERMISSION),
    ("vacuum full market.latest", "unsupported_statement", None),
    # COPY and files.
    ("copy (select 1) to stdout", "unsupported_statement", None),
    ("copy market.latest to '/tmp/stolen'", "unsupported_statement", PERMISSION),
    ("copy (select 1) to program 'touch /tmp/stolen'", "unsupported_statement", PERMISSION),
    ("copy market.latest from program 'id'", "unsupported_statement", PERMISSION),
    ("select pg_read_file('/etc/passwd')", PERMISSION, PERMISSION),
    ("select pg_read_binary_file('postgresql.conf')", PERMISSION, PERMISSION),
    ("select pg_ls_dir('.')", PERMISSION, PERMISSION),
    ("select pg_stat_file('postgresql.conf')", PERMISSION, PERMISSION),
    # Statements in a text.
    ("select query_to_xml('select 1', true, false, '')", PERMISSION, PERMISSION),
    ("select table_to_xml('market.latest', true, false, '')", PERMISSION, PERMISSION),
    ("select * from ts_stat('select to_tsvector(''a'')')", PERMISSION, PERMISSION),
    ("select ts_rewrite('a'::tsquery, 'select ''a''::tsquery, ''b''::tsquery')", PERMISSION, PERMISSION),
    ("select * from pg_ls_logdir()", PERMISSION, PERMISSION),
    ("select pg_logical_emit_message(false, 'x', repeat('x', 1000))", PERMISSION, PERMISSION),
    ("select pg_export_snapshot()", PERMISSION, PERMISSION),
    ("load 'dblink'", "unsupported_statement", PERMISSION),
    # Large objects.
    ("select lo_create(0)", PERMISSION, PERMISSION),
    ("select lo_from_bytea(0, 'x')", PERMISSION, PERMISSION),
    ("select lo_import('/etc/passwd')", PERMISSION, PERMISSION),
    ("select lo_export(1, '/tmp/stolen')", PERMISSION, PERMISSION),
    # Settings.
    ("set statement_timeout = 0", "unsupported_statement", None),
    ("select set_config('statement_timeout', '0', false)", PERMISSION, PERMISSION),
    ("select set_config('work_mem', '10GB', false)", PERMISSION, PERMISSION),
    ("set temp_file_limit = -1", "unsupported_statement", PERMISSION),
    ("alter system set work_mem = '1GB'", (READ_ONLY, PERMISSION, "25001"), PERMISSION),
    ("update pg_settings set setting = 'x' where name = 'TimeZone'", READ_ONLY, PERMISSION),
    ("select setseed(0.5)", PERMISSION, PERMISSION),
    # Locks, other sessions, messages.
    ("select pg_advisory_lock(1)", PERMISSION, PERMISSION),
    ("select pg_try_advisory_xact_lock(1)", PERMISSION, PERMISSION),
    ("select count(pg_advisory_lock(g)) from generate_series(1, 1000000) g", PERMISSION, PERMISSION),
    ("select pg_catalog.pg_terminate_backend(1)", PERMISSION, PERMISSION),
    ("select pg_catalog.pg_cancel_backend(1)", PERMISSION, PERMISSION),
    ("select pg_notify('live', 'lies')", PERMISSION, PERMISSION),
    ("notify live, 'lies'", "unsupported_statement", None),
    ("listen live", "unsupported_statement", None),
    ("select pg_current_xact_id()", PERMISSION, PERMISSION),
    ("select pg_reload_conf()", PERMISSION, PERMISSION),
    ("select pg_switch_wal()", PERMISSION, PERMISSION),
    ("checkpoint", "unsupported_statement", PERMISSION),
    # The network.
    ("select dblink('host=127.0.0.1', 'select 1')", NONE_SUCH, NONE_SUCH),
    ("create server s foreign data wrapper postgres_fdw", READ_ONLY, NONE_SUCH + (PERMISSION,)),
    # Sequences and leftovers.
    ("create sequence s", READ_ONLY, PERMISSION),
    ("prepare kept as select 1", "unsupported_statement", None),
    ("execute kept", "unsupported_statement", "26000"),
    ("declare kept cursor with hold for select 1", "unsupported_statement", None),
    ("fetch all from kept", "unsupported_statement", "34000"),
    ("discard all", "unsupported_statement", None),
    # Secrets.
    ("select * from pg_authid", PERMISSION, PERMISSION),
    ("select * from pg_shadow", PERMISSION, PERMISSION),
    ("select * from pg_hba_file_rules", PERMISSION, PERMISSION),
    ("select * from pg_statistic", PERMISSION, PERMISSION),
    ("select * from pg_file_settings", PERMISSION, PERMISSION),
    ("select * from pg_catalog.pg_stat_activity", PERMISSION, PERMISSION),
    ("select * from pg_prepared_statements", PERMISSION, PERMISSION),
    ("select pg_stat_get_backend_activity(1)", PERMISSION, PERMISSION),
    ("select current_setting('data_directory')", PERMISSION, PERMISSION),
    ("select * from ops.bar_state", PERMISSION, PERMISSION),
    ("select query_to_xml('delete from market.latest', true, true, '')", PERMISSION, PERMISSION),
]

# What may outlive a statement: all of the session that SQL can show, and what is the server's.
SESSION = """
    select (select md5(string_agg(name || '=' || coalesce(setting, ''), ',' order by name)) from pg_settings
            where name not in ('transaction_read_only', 'transaction_isolation', 'application_name')),
        session_user, current_user, current_schemas(true)::text, (select count(*) from pg_cursors),
        (select count(*) from pg_locks where locktype = 'advisory'), pg_my_temp_schema(),
        (select count(*) from pg_listening_channels())
"""
SERVER = """
    select (select count(*) from pg_roles), (select count(*) from pg_class where relnamespace::regnamespace::text not like
        'pg_%'), (select count(*) from pg_proc), (select count(*) from pg_largeobject_metadata),
        (select count(*) from pg_prepared_xacts), (select md5(string_agg(setconfig::text, ',' order by setrole, setdatabase))
        from pg_db_role_setting), (select count(*) from market.latest), (select count(*) from market.trades),
        (select count(*) from pg_namespace), (select count(*) from pg_locks where locktype = 'advisory')
"""


def expected(codes):
    return codes if isinstance(codes, tuple) else (codes,)


def post(up, sql, **parameters):
    return requests.post(
        up.url + "/api/v1/sql", data=sql.encode(), params=parameters, headers={"Content-Type": "application/sql"},
        timeout=60)


def session(up):
    reply = post(up, SESSION)
    assert reply.status_code == 200, reply.text
    return reply.json()["rows"]


def server(up):
    with psycopg.connect(up.writer_url) as connection:
        return connection.execute(SERVER).fetchone()


@pytest.fixture(scope="module")
def walled():
    """A server with one event loop, whose next request has the connection of the last: what stays in it would be seen."""
    base = pathlib.Path(tempfile.mkdtemp(prefix="tapedeck-e2e-"))
    up = Up(base / "data", "--loops", "1", "--source", f"replay:{SAMPLE}?speed=max")
    wait_until(lambda: up.one("select count(*) from trades") == 15948, 90, "the sample tape", up)
    yield up
    up.close()
    shutil.rmtree(base, ignore_errors=True)


def test_escapes_over_http(walled):
    before, state = session(walled), server(walled)
    for sql, code, _ in ESCAPES:
        reply = post(walled, sql)
        if code is None:
            assert reply.status_code in (200, 400), (sql, reply.text)
        else:
            assert 400 <= reply.status_code < 500, (sql, reply.status_code, reply.text)
            assert reply.json()["code"] in expected(code), (sql, reply.text)
        assert session(walled) == before, sql
    assert server(walled) == state


def test_escapes_on_a_connection_of_its_own(walled):
    state, wrong = server(walled), []
    for sql, _, code in ESCAPES:
        # Closed and not committed: a COPY is in the middle.
        connection = psycopg.connect(walled.reader_url, autocommit=True)
        # Read-only is a default, which whoever connects may change; the rights are not.
        connection.execute("set default_transaction_read_only = off")
        failure = outcome(connection, sql)
        connection.close()
        if failure not in expected(code):
            wrong.append((sql, failure))
    assert not wrong
    assert server(walled) == state


def test_a_reader_enters_no_other_database(walled):
    """Walls are a database's own: in postgres or template1 a reader could lock, write large objects and end sessions."""
    with psycopg.connect(walled.writer_url) as writer:
        others = writer.execute("select datname from pg_database where datallowconn and datname <> 'tapedeck'").fetchall()
    assert {"postgres", "template1"} <= {name for name, in others}
    for name, in others:
        with pytest.raises(psycopg.OperationalError, match="permission denied for database"):
            psycopg.connect(walled.reader_url, dbname=name)


# What each escape comes to through the door of Trino's clients, where it is not what HTTP says: the dialect has its own
# statements about sessions and transactions, which touch nothing of PostgreSQL's.
TRINO_OWN = {"set role", "begin", "commit", "rollback", "start transaction", "prepare", "execute", "deallocate", "call"}


def over_trino(up, sql):
    """The statement through /v1/statement to its end: (state, error), where error is None or Trino's."""
    headers = {"X-Trino-User": "intruder", "X-Trino-Catalog": "tapedeck", "X-Trino-Schema": "market"}
    page = requests.post(up.url + "/v1/statement", data=sql.encode(), headers=headers, timeout=60).json()
    rows = 0
    while "nextUri" in page:
        page = requests.get(page["nextUri"], headers=headers, timeout=60).json()
        rows += len(page.get("data") or [])
    return page["stats"]["state"], page.get("error"), rows


def test_escapes_through_the_door_of_trino(walled):
    before, state = session(walled), server(walled)
    passed = []
    for sql, code, _ in ESCAPES:
        outcome, error, rows = over_trino(walled, sql)
        assert outcome == ("FAILED" if error else "FINISHED"), sql
        if error is None:
            passed.append((sql, rows))
        else:
            assert error["errorName"] != "GENERIC_INTERNAL_ERROR", (sql, error)
        assert session(walled) == before, sql
    # What is answered is the dialect's own, without a row of anybody's.
    for sql, rows in passed:
        assert rows == 0 or sql.split()[0] in ("explain",), (sql, rows)
        assert any(sql.startswith(own) for own in TRINO_OWN), sql
    assert server(walled) == state


def test_statements_that_run_together_are_as_if_alone(walled):
    """A statement that was quick a few times runs in batches with others of its kind; what goes wrong there is its own
    affair, and nothing of it is left."""
    before = session(walled)

    def ask(sql, *params, **fields):
        reply = requests.post(walled.url + "/api/v1/sql", json={"query": sql, "params": params, **fields}, timeout=60)
        return reply, "batch;" in reply.headers.get("Server-Timing", "")

    def settle(sql, *params):
        """Until it runs in batches: the machine may be slow at first."""
        wait_until(lambda: ask(sql, *params)[1], 30, "a batch")

    quick = "select g, g * $1::int8 as product from generate_series(1, 3) g"
    alone = ask(quick, 7)[0].json()
    settle(quick, 7)
    together = ask(quick, 7)[0].json()
    for field in ("columns", "rows", "row_count", "truncated"):
        assert together[field] == alone[field]
    assert ask(quick, 7, limit=2)[0].json()["truncated"] is True
    assert ask(quick, 2, format="csv")[0].text == "g,product\n1,2\n2,4\n3,6\n"

    # The clock of each is its own, and so is the end of what it did.
    clock = "select clock_timestamp() - now() < interval '10 s', now() > $1::timestamptz"
    settle(clock, "2020-01-01Z")
    assert ask(clock, "2020-01-01Z")[0].json()["rows"] == [[True, True]]

    # What was quick and is so no longer goes the ordinary way, with its own end.
    for sql, good, bad, status, code in (
        ("select 1 / $1::int4", 1, 0, 400, "22012"), ("select pg_sleep($1)", 0, 60, 504, "57014"),
        ("select length(repeat('x', $1)) from generate_series(1, 3)", 1, 1_500_000_000, 400, "54000"),
    ):
        settle(sql, good)
        settle(quick, 1)
        replies = []

        def answer(sql, param):
            reply, _ = ask(sql, param, timeout_ms=2000)
            replies.append((sql, reply.status_code, reply.json()))

        threads = [threading.Thread(target=answer, args=(quick, number)) for number in range(8)]
        threads.insert(4, threading.Thread(target=answer, args=(sql, bad)))
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert sorted(body["rows"][0][1] for text, _, body in replies if text == quick) == list(range(8))
        wrong = [(got, body["code"]) for text, got, body in replies if text == sql]
        assert wrong == [(status, code)], sql
    many = "select repeat('x', 1000) from generate_series(1, $1)"
    settle(many, 1)
    assert len(ask(many, 5000)[0].json()["rows"]) == 5000
    assert session(walled) == before


def test_the_next_user_finds_nothing(walled):
    """Whatever one connection did, what the next one sees of its own session is the same."""
    with psycopg.connect(walled.reader_url, autocommit=True) as connection:
        fresh = connection.execute("show search_path").fetchone()
        connection.execute("set search_path = nowhere")
    with psycopg.connect(walled.reader_url) as connection:
        assert connection.execute("show search_path").fetchone() == fresh


def test_doctor_finds_nothing(walled):
    said = run("doctor", "--data-dir", walled.folder)
    assert "ok  reader: the reader can only read\n" in said.stdout.decode()


@pytest.mark.parametrize("bomb", [
    "select repeat('x', 1000000000) || repeat('y', 1000000000)",
    "select length(string_agg(repeat('x', 1000000), '')) from generate_series(1, 2000)",
    "select array_length(array_agg(repeat(g::text, 100000)), 1) from generate_series(1, 100000) g",
    "with recursive r(t) as (select repeat('x', 10000000) union all select t || t from r) select count(*) from r",
    "select count(*) from (select distinct g, repeat(md5(g::text), 40) from generate_series(1, 3000000) g) x",
    "with recursive r(n) as (select 1 union all select n + 1 from r) select max(n) from r",
    "select count(*) from generate_series(1, 1000000) a, generate_series(1, 1000000) b",
    "select jsonb_object_agg(g::text, repeat('x', 100000)) from generate_series(1, 100000) g",
    "select trino.sequence(1, 200000000)",
    "select array(select generate_series(1, 200000000)::bigint)",
])
def test_bombs_are_bounded(walled, bomb):
    """A query that wants everything is refused or cancelled; neither the database nor anybody's query goes down."""
    reply = post(walled, bomb, timeout_ms=4000)
    assert reply.status_code in (400, 503, 504), reply.text[:200]
    assert reply.json()["code"] in ("53200", "53400", "54000", "57014", "22023"), reply.text
    wait_until(lambda: post(walled, "select 1").status_code == 200, 30, "the server to answer")


def test_a_memory_bomb_with_settings_of_its_own_is_bounded(walled):
    with psycopg.connect(walled.reader_url, autocommit=True) as connection:
        connection.execute("set work_mem = '1TB'")
        connection.execute("set max_parallel_workers_per_gather = 0")
        with pytest.raises(psycopg.Error) as error:
            connection.execute("select count(*) from (select g, repeat(md5(g::text), 40) from "
                               "generate_series(1, 3000000) g order by 2) x")
        assert error.value.sqlstate in ("53200", "53400")
        assert connection.execute("select 1").fetchone() == (1,)


def test_sleepers_leave_room_for_lookups(walled):
    def sleep():
        requests.get(walled.url + "/api/v1/sql?query=select+pg_sleep(60)&timeout_ms=3000", timeout=60)

    sleepers = [threading.Thread(target=sleep) for _ in range(40)]
    for sleeper in sleepers:
        sleeper.start()
    started = time.monotonic()
    for _ in range(20):
        assert requests.get(walled.url + "/api/v1/latest?limit=1", timeout=30).status_code == 200
    assert time.monotonic() - started < 2
    for sleeper in sleepers:
        sleeper.join()


def test_a_reader_sees_and_ends_its_own_sessions_only(walled):
    """Superset ends a query by the pid it asked for, from another connection, in these very words."""
    with psycopg.connect(walled.reader_url, autocommit=True) as victim, \
            psycopg.connect(walled.reader_url, autocommit=True) as superset:
        pid = victim.execute("select pg_backend_pid()").fetchone()[0]
        done = []
        query = threading.Thread(target=lambda: done.append(outcome(victim, "select pg_sleep(60)")))
        query.start()
        wait_until(lambda: superset.execute(
            "select state from pg_stat_activity where pid = %s and query like '%%pg_sleep%%'", [pid]).fetchone()
            == ("active",), 30, "the query to run")
        assert superset.execute(
            f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid='{pid}'").fetchone() == (True,)
        query.join()
        assert done == ["57P01"]

        slow = threading.Thread(target=lambda: post(walled, "select pg_sleep(60), 'http'", timeout_ms=5000))
        slow.start()
        with psycopg.connect(walled.writer_url, autocommit=True) as writer:
            ours = "select pid from pg_stat_activity where state = 'active' and query like '%pg_sleep(60), ''http''%' " \
                "and pid <> pg_backend_pid()"
            wait_until(lambda: writer.execute(ours).fetchone(), 30, "the other query to run")
            pid, = writer.execute(ours).fetchone()
        assert superset.execute(
            "select usename, query, client_addr, state from pg_stat_activity where pid = %s", [pid]).fetchone() \
            == ("tapedeck_server", "<insufficient privilege>", None, None)
        for function in ("pg_terminate_backend", "pg_cancel_backend"):
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                superset.execute(f"select {function}({pid})")
        # Nor the writer's, nor anybody's over HTTP.
        with psycopg.connect(walled.writer_url) as writer:
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                superset.execute(f"select pg_terminate_backend({writer.info.backend_pid})")
        reply = post(walled, f"select pg_terminate_backend({superset.info.backend_pid})")
        assert reply.status_code == 403 and reply.json()["code"] == PERMISSION
        assert "pg_sleep" not in post(walled, "select * from pg_stat_activity where pid <> pg_backend_pid()").text
        slow.join()


def outcome(connection, sql):
    try:
        connection.execute(sql)
    except psycopg.Error as error:
        return error.sqlstate
    return None


def test_a_session_that_many_share_sees_no_text_but_its_own(walled):
    # The query server's sessions say so, and have one role and, over TCP, one address.
    shared = "-c tapedeck.shared=on"
    with psycopg.connect(walled.reader_url, options=shared, autocommit=True) as one, \
            psycopg.connect(walled.reader_url, options=shared, autocommit=True) as other:
        other.execute("select 'somebody else''s'")
        texts = dict(one.execute("select pid, query from pg_stat_activity").fetchall())
        assert "pg_stat_activity" in texts[one.info.backend_pid]
        assert texts[other.info.backend_pid] == "<insufficient privilege>"


def test_what_a_reader_changes_for_itself_locks_nobody_out_over_http(start):
    """Every role may change its own password and defaults in PostgreSQL: the query server has a role of its own, and a
    start puts the reader's back."""
    up = start("--loops", "1")
    with psycopg.connect(up.reader_url, autocommit=True) as connection:
        fresh = connection.execute("show search_path").fetchone()
        connection.execute("set default_transaction_read_only = off")
        connection.execute("alter role tapedeck_reader set search_path = nowhere")
        connection.execute("alter role tapedeck_reader set default_transaction_read_only = off")
        connection.execute("alter role tapedeck_reader password 'mine'")
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            connection.execute("alter role tapedeck_server password 'mine'")
        for attempt in range(20):
            try:
                connection.execute("drop owned by tapedeck_reader")
                break
            except psycopg.errors.InternalError_ as error:
                # The partition of a new day is being made.
                assert "concurrently updated" in str(error) and attempt < 19
                time.sleep(0.1)

    # At once, so that the server must connect anew.
    def ask(_):
        return post(up, "select count(*) from latest, pg_sleep(0.5)").status_code

    with concurrent.futures.ThreadPoolExecutor(6) as clients:
        assert list(clients.map(ask, range(6))) == [200] * 6
    assert post(up, "show search_path").json()["rows"] == [[fresh[0]]]

    # As a folder was before the query server had a role of its own.
    file = up.folder / "postgres/passwords"
    passwords = dict(line.split("=") for line in file.read_text().split())
    up.stop()
    file.write_text("".join(f"{name}={passwords[name]}\n" for name in ("admin", "writer", "reader")))
    up.start()
    assert file.stat().st_mode & 0o777 == 0o600
    renewed = dict(line.split("=") for line in file.read_text().split())
    assert renewed.pop("server") != passwords.pop("server") and renewed == passwords
    assert post(up, "select 1").status_code == 200
    with psycopg.connect(up.reader_url, autocommit=True) as connection:
        assert connection.execute("show search_path").fetchone() == fresh
        assert connection.execute("show default_transaction_read_only").fetchone() == ("on",)
        assert connection.execute("select count(*) from latest").fetchone()
