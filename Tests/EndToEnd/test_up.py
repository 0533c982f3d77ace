# SPDX-License-Identifier: Apache-2.0
"""`tapedeck up`: starts, serves, stops, goes on, recovers."""
import os
import pathlib
import random
import re
import signal
import stat
import time

import psycopg
import pytest
import requests
from conftest import SAMPLE, postgres_pids, run, wait_until

# Bars that are not what SQL makes of the trades from scratch, in either direction.
WRONG_BARS = """
    with frames (timeframe, width) as (values
        ('1s', interval '1 second'), ('5s', '5 seconds'), ('15s', '15 seconds'), ('1m', '1 minute'),
        ('5m', '5 minutes'), ('15m', '15 minutes'), ('1h', '1 hour'), ('1d', '1 day')),
    scratch as (
        select symbol, timeframe, date_bin(width, ts, timestamptz 'epoch') as ts,
            (array_agg(price order by trades.ts, trade_id))[1] as open, max(price) as high, min(price) as low,
            (array_agg(price order by trades.ts desc, trade_id desc))[1] as close,
            sum(size) as volume, sum(price * size) as notional, count(*) as trade_count
        from trades, frames group by 1, 2, 3)
    select count(*) from scratch s full join bars b using (symbol, timeframe, ts)
    where (s.open, s.high, s.low, s.close, s.trade_count) is distinct from (b.open, b.high, b.low, b.close, b.trade_count)
        or abs(s.volume - b.volume) > 1e-9 * s.volume or abs(s.notional - b.notional) > 1e-9 * s.notional
"""


def test_the_sample_tape_plays_at_its_own_pace_when_no_source_is_named(start):
    up = start()
    wait_until(lambda: up.one("select count(*) from trades") >= 20, 60, "the first trades", up)
    assert "127.0.0.1" in up.output() and "curl" in up.output()
    assert 20 <= up.one("select count(*) from trades") < 15948, "played, not loaded"
    status, _ = up.stop()
    assert status == 0, up.output()


def test_it_stops_soon_loses_nothing_and_goes_on_where_it_was(start):
    up = start("--source", f"replay:{SAMPLE}?speed=max")
    wait_until(lambda: up.one("select count(*) from trades") > 0, 60, "the first trades", up)
    status, seconds = up.stop()
    assert status == 0, up.output()
    # The limit is 5 s; what is above it here is room for a busy machine.
    assert seconds < 10
    assert not (up.folder / "connection.env").exists()
    up.start()
    wait_until(lambda: up.one("select count(*) from trades") == 15948, 60, "the rest of the tape", up)
    # Nothing was played twice: every record was new when it came.
    assert up.one("select sum(accepted) from ops.ingest_runs") == 15948
    assert up.one("select sum(already_there) from ops.ingest_runs") == 0
    assert up.one(WRONG_BARS) == 0


@pytest.mark.parametrize("sign", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_stops_postgresql_too(start, sign):
    up = start("--source", f"replay:{SAMPLE}?max_pause=10ms")
    servers = postgres_pids(up.folder)
    assert servers
    up.process.send_signal(sign)
    assert up.process.wait(30) == 0
    wait_until(lambda: not postgres_pids(up.folder), 10, "PostgreSQL to be gone")
    for pid in servers:
        assert not (pathlib.Path("/proc") / str(pid)).exists()


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_killing_everything_at_any_moment_loses_and_doubles_nothing(start, seed):
    print("seed", seed)
    moment = random.Random(seed)
    up = start("--source", f"replay:{SAMPLE}?speed=max")
    for _ in range(3):
        time.sleep(moment.uniform(0, 0.7))
        up.kill_everything()
        up.start()
    wait_until(lambda: up.one("select count(*) from trades") == 15948, 90, "the whole tape", up)
    assert up.one("select sum(accepted) from ops.ingest_runs") == 15948
    assert up.one(WRONG_BARS) == 0


def test_killing_the_process_alone_takes_postgresql_with_it(start):
    up = start()
    servers = postgres_pids(up.folder)
    up.process.kill()
    up.process.wait(30)
    wait_until(
        lambda: not any((pathlib.Path("/proc") / str(pid)).exists() for pid in servers), 30, "PostgreSQL to end")
    up.start()
    assert requests.get(up.url + "/live", timeout=10).status_code == 200


def test_a_postgresql_that_is_killed_is_started_again(start):
    up = start("--source", f"replay:{SAMPLE}?max_pause=5ms")
    wait_until(lambda: up.one("select count(*) from trades") > 50, 60, "trades", up)
    os.kill(postgres_pids(up.folder)[0], signal.SIGKILL)

    def goes_on():
        try:
            before = up.one("select count(*) from trades")
            time.sleep(0.5)
            return up.one("select count(*) from trades") > before
        except psycopg.OperationalError:
            return False

    wait_until(goes_on, 60, "trades to come again", up)
    assert requests.get(up.url + "/ready", timeout=30).status_code == 200
    assert up.one(WRONG_BARS) == 0


def test_two_cannot_run_on_one_folder(start):
    up = start()
    second = run("up", "--data-dir", up.folder, "--listen", "127.0.0.1:0", check=False)
    assert second.returncode != 0
    assert f"pid {up.process.pid}" in second.stderr.decode()


def test_passwords_are_in_the_folder_for_its_owner_and_nowhere_else(start):
    up = start("--log-level", "trace")
    path = up.folder / "connection.env"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    passwords = set(re.findall(r"[0-9a-f]{64}", path.read_text()))
    assert len(passwords) == 2
    run("status", "--data-dir", up.folder)
    run("query", "--data-dir", up.folder, "select 1")
    pids = [up.process.pid, *postgres_pids(up.folder)]
    titles = "".join((pathlib.Path("/proc") / str(pid) / "cmdline").read_text() for pid in pids)
    logged = up.output() + (up.folder / "postgres/postgres.log").read_text()
    for password in passwords:
        assert password not in titles and password not in logged
    for private in ["passwords", "../connection.env"]:
        assert stat.S_IMODE((up.folder / "postgres" / private).stat().st_mode) & 0o077 == 0


def test_an_address_that_others_can_reach_is_refused(folder):
    result = run("up", "--data-dir", folder, "--listen", "0.0.0.0:0", check=False)
    assert result.returncode != 0
    assert "TAPEDECK_LISTEN" in result.stderr.decode() and "--insecure" in result.stderr.decode()


def test_the_reader_can_only_read(start):
    up = start()
    with psycopg.connect(up.reader_url, autocommit=True) as connection:
        for statement in [
            "delete from trades", "create table market.t (a int)", "create temporary table t (a int)",
            "select ops.ensure_trade_partitions(array[current_date])", "select lo_from_bytea(0, 'x')",
            "select pg_cancel_backend(0)",
            "select pg_advisory_lock(1)", "select pg_read_file('/etc/passwd')",
        ]:
            with pytest.raises(psycopg.Error):
                connection.execute(statement)
        connection.execute("set default_transaction_read_only = off")
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            connection.execute("delete from trades")


def test_migrate_knows_the_embedded_server(folder, start):
    assert b"applied " in run("migrate", "--data-dir", folder).stdout
    assert b"the schema is up to date" in run("migrate", "--data-dir", folder).stdout
    assert (folder / "postgres").is_dir() and postgres_pids(folder) == []
    up = start()
    assert b"the schema is up to date" in run("migrate", "--data-dir", up.folder).stdout
    assert up.one("select count(*) from ops.schema_migrations") > 20
