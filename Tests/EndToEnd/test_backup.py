# SPDX-License-Identifier: Apache-2.0
"""docs/operations.md, 'Backup and restore', on a real PostgreSQL: what was saved in the middle of the work, restored, and
gone on with, ends as if nothing had happened."""
import gzip
import subprocess

import pytest
from conftest import BINARY, ENVIRONMENT, ROOT, SAMPLE, run, wait_until
from postgres_server import PostgresServer
from test_up import WRONG_BARS

TRADES = 15948


class Pipeline:
    """`tapedeck process` on a PostgreSQL and a log in a folder."""

    def __init__(self, server, log):
        self.environment = ENVIRONMENT | {
            "TAPEDECK_DATABASE_URL": server.url(), "TAPEDECK_EVENT_LOG": f"sqlite:{log}", "TAPEDECK_SENTIMENT": "off"}
        self.server = server
        self.process = None

    def start(self):
        self.process = subprocess.Popen(
            [str(BINARY), "process"], env=self.environment, cwd=ROOT, stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL)

    def kill(self):
        if self.process:
            self.process.kill()
            self.process.wait(30)

    def wait_for(self, count):
        wait_until(lambda: self.server.one("select count(*) from trades") >= count, 120, f"{count} trades")


@pytest.fixture
def servers():
    made = []

    def make():
        made.append(PostgresServer())
        return made[-1]

    yield make
    for server in made:
        server.close()


@pytest.fixture
def halves(tmp_path):
    """The sample tape in two files: one for before the backup, one for after it."""
    with gzip.open(SAMPLE, "rt") as tape:
        header, *lines = tape.read().splitlines()
    paths = []
    for name, part in [("first", lines[:8000]), ("second", lines[8000:])]:
        paths.append(tmp_path / f"{name}.csv")
        paths[-1].write_text("\n".join([header, *part]) + "\n")
    return paths


def check_whole(server):
    assert server.one("select count(*) from trades") == TRADES
    assert server.one("select count(*) from (select distinct symbol, ts, source, trade_id from trades) t") == TRADES
    assert server.one(WRONG_BARS) == 0
    assert server.one("select sum(events)::bigint from ops.sources") == TRADES
    # The reader's rights and the search path came along.
    assert server.rows("select count(*) from latest", "tapedeck_reader") == server.rows("select count(*) from latest")


def offsets(server):
    return server.rows("select topic, partition, next_offset from ops.log_offsets order by 1, 2")


def begin(server, tmp_path, tape):
    """A store that has the first half and goes on working."""
    pipeline = Pipeline(server, tmp_path / "log")
    run("migrate", env=pipeline.environment)
    pipeline.start()
    ingest = subprocess.Popen(
        [str(BINARY), "ingest", f"replay:{tape}?speed=max"], env=pipeline.environment, cwd=ROOT)
    pipeline.wait_for(1000)
    return pipeline, ingest


def test_a_dump_taken_at_work_is_restored_and_gone_on_with(servers, tmp_path, halves):
    server = servers().make()
    pipeline, ingest = begin(server, tmp_path, halves[0])
    dump = server.folder / "tapedeck.dump"
    try:
        server.run(
            "pg_dump", "--create", "--format=custom", f"--file={dump}", "--dbname", server.url("postgres"))
        server.run(
            "pg_dumpall", "--roles-only", "--file", server.folder / "roles.sql", "--dbname",
            server.url("postgres", "postgres"))
        # Work goes on behind the backup's back, and then the server is lost.
        assert ingest.wait(120) == 0
        run("ingest", f"replay:{halves[1]}?speed=max", env=pipeline.environment)
        pipeline.wait_for(10_000)
    finally:
        ingest.kill()
        pipeline.kill()
    server.stop("immediate")
    other = servers()
    other.run("initdb", "-D", other.data, "-U", "postgres", "--no-sync", "--auth=trust", "--encoding=UTF8", "--locale=C.UTF-8")
    other.start()
    roles = (server.folder / "roles.sql").read_text().replace("CREATE ROLE postgres;", "")
    subprocess.run(
        ["psql", "-X", "-q", "-v", "ON_ERROR_STOP=1", other.url("postgres", "postgres")], input=roles, text=True,
        check=True, env=ENVIRONMENT, stdout=subprocess.DEVNULL)
    other.run("pg_restore", "--create", "--exit-on-error", "--dbname", other.url("postgres", "postgres"), dump)
    saved = other.one("select count(*) from trades")
    assert 0 < saved < TRADES, "saved in the middle"
    assert other.one(WRONG_BARS) == 0, "trades and bars are of one moment"
    log = tmp_path / "log"
    restored = Pipeline(other, log)
    run("migrate", env=restored.environment)
    try:
        restored.start()
        restored.wait_for(TRADES)
    finally:
        restored.kill()
    check_whole(other)


def test_a_base_backup_taken_at_work_is_started_and_gone_on_with(servers, tmp_path, halves):
    server = servers().make()
    pipeline, ingest = begin(server, tmp_path, halves[0])
    copy = servers()
    try:
        copy.copy_of(server)
        copy.run("pg_verifybackup", copy.data)
        assert ingest.wait(120) == 0
        pipeline.wait_for(8000)
        final = offsets(server)
    finally:
        ingest.kill()
        pipeline.kill()
    server.stop("immediate")
    copy.start()
    saved = copy.one("select count(*) from trades")
    assert 0 < saved <= 8000 and copy.one(WRONG_BARS) == 0
    restored = Pipeline(copy, tmp_path / "log")
    try:
        restored.start()
        restored.wait_for(8000)
        # Offsets and data agree: what the lost server had is had again, and no more.
        wait_until(lambda: offsets(copy) == final, 60, "the offsets of the lost server")
        run("ingest", f"replay:{halves[1]}?speed=max", env=restored.environment)
        restored.wait_for(TRADES)
    finally:
        restored.kill()
    check_whole(copy)
