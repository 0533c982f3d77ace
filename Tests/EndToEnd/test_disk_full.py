# SPDX-License-Identifier: Apache-2.0
"""Disks that are full: it is said clearly, nothing is lost, and it goes on by itself once there is room."""
import contextlib
import json
import os
import resource
import signal
import sqlite3
import subprocess
import time

import pytest
from conftest import BINARY, ENVIRONMENT, ROOT, SAMPLE, run
from faults import Postgres

MIB = 1 << 20


@contextlib.contextmanager
def small_disk(folder, size):
    """A file system of so many bytes at `folder`."""
    folder.mkdir()
    if os.getuid() != 0 or subprocess.run(
            ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", folder], capture_output=True).returncode != 0:
        pytest.skip("only root may mount a file system")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", folder], check=True)


def wait_for(condition, process, errors, what, seconds=120):
    deadline = time.monotonic() + seconds
    while not condition():
        assert process.poll() is None or condition(), f"ended with {process.poll()}:\n{errors.read_text()[-3000:]}"
        assert time.monotonic() < deadline, f"waited {seconds} s for {what}:\n{errors.read_text()[-3000:]}"
        time.sleep(0.1)


def staged(log):
    """Records of `trades.staging`, read from outside: the command's own look would write, too."""
    with contextlib.closing(sqlite3.connect(f"file:{log}/log.sqlite?mode=ro", uri=True, timeout=30)) as database:
        batches, counted = database.execute("""
            select coalesce(sum(count), 0), coalesce((select sum(next_offset) from partitions p where p.topic_id = t.id), 0)
            from topics t left join batches b on b.topic_id = t.id where t.name = 'trades.staging'""").fetchone()
    assert batches == counted
    return batches


@pytest.fixture
def errors(tmp_path):
    return tmp_path / "errors.log"


def start(errors, *arguments, environment=(), **options):
    with open(errors, "ab") as output:
        return subprocess.Popen([str(BINARY), *map(str, arguments)], env=ENVIRONMENT | dict(environment), cwd=ROOT,
                                stdin=subprocess.DEVNULL, stdout=output, stderr=output, **options)


def test_ingest_waits_while_the_disk_of_the_log_is_full(tmp_path, errors):
    with small_disk(tmp_path / "disk", 8 * MIB) as disk:
        log = disk / "log"
        log.mkdir()
        run("topics", "--event-log", f"sqlite:{log}")
        (disk / "ballast").write_bytes(b"x" * 7 * MIB)
        ingest = start(errors, "ingest", f"replay:{SAMPLE}?speed=max", "--event-log", f"sqlite:{log}")
        try:
            wait_for(lambda: "the disk is full; free some space" in errors.read_text(), ingest, errors, "the message")
            assert ingest.poll() is None
            # Readers go on, and see whole appends.
            assert staged(log) < 15948
            (disk / "ballast").unlink()
            assert ingest.wait(120) == 0, errors.read_text()
        finally:
            ingest.kill()
            ingest.wait()
        assert staged(log) == 15948


def test_a_quota_on_the_log_is_said_and_what_was_written_before_stays(tmp_path, errors):
    """A limit on the size of files stands for a quota: writing fails, although there is space."""
    log = tmp_path / "log"
    log.mkdir()

    def limit():
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (MIB // 2, MIB // 2))

    # Python's own start-up would take the signal's disposition back.
    ingest = subprocess.Popen(
        [str(BINARY), "ingest", f"replay:{SAMPLE}?speed=max", "--event-log", f"sqlite:{log}"],
        env=ENVIRONMENT, cwd=ROOT, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
        preexec_fn=limit, restore_signals=False)
    try:
        said = b""
        while b"look at the disk's quota" not in said:
            line = ingest.stderr.readline()
            assert line, said.decode()
            said += line
        assert b"nothing is lost" in said
        ingest.send_signal(signal.SIGTERM)
        ingest.wait(60)
    finally:
        ingest.kill()
        ingest.wait()
    before = staged(log)
    assert before < 15948
    # Without the limit it goes on where it stopped.
    run("ingest", f"replay:{SAMPLE}?speed=max", "--event-log", f"sqlite:{log}")
    assert staged(log) == 15948


def test_the_processor_waits_while_a_tablespace_is_full(tmp_path, errors):
    tmp_path.chmod(0o755)
    for parent in tmp_path.parents:
        if parent.owner() == "root" and "pytest" in str(parent):
            parent.chmod(0o755)
    log = tmp_path / "log"
    with small_disk(tmp_path / "disk", 16 * MIB) as disk:
        postgres = Postgres(tmp_path / "postgres")
        try:
            space = disk / "space"
            space.mkdir()
            subprocess.run(["chown", "postgres:postgres", disk, space], check=True)
            environment = {
                "TAPEDECK_DATABASE_URL": f"postgresql://tapedeck_writer@127.0.0.1:{postgres.port}/tapedeck",
                "TAPEDECK_EVENT_LOG": f"sqlite:{log}"}
            run("migrate", env=ENVIRONMENT | environment)
            run("ingest", f"replay:{SAMPLE}?speed=max", env=ENVIRONMENT | environment, cwd=ROOT)
            with postgres.connect() as connection:
                connection.execute(f"create tablespace small location '{space}'")
                connection.execute("alter table ops.bar_state set tablespace small")
            free = os.statvfs(disk)
            (disk / "ballast").write_bytes(b"x" * (free.f_bavail * free.f_frsize - MIB // 2))
            process = start(errors, "process", environment=environment)
            try:
                wait_for(lambda: "53100" in errors.read_text(), process, errors, "the message")
                assert process.poll() is None
                (disk / "ballast").unlink()

                def trades():
                    with postgres.connect() as connection:
                        return connection.execute("select count(*) from market.trades").fetchone()[0]

                wait_for(lambda: trades() == 15948, process, errors, "the trades")

                def said():
                    said = json.loads(run("status", "--json", env=ENVIRONMENT | environment).stdout)["processors"]
                    return said and said[0]["retries"] > 0 and "53100" in said[0]["last_failure"]

                wait_for(said, process, errors, "the processor's word")
                process.terminate()
                assert process.wait(60) == 0
            finally:
                process.kill()
                process.wait()
            with postgres.connect() as connection:
                counts = connection.execute(
                    "select sum(trade_count), (select sum(accepted) from ops.ingest_runs) from market.bars "
                    "where timeframe = '1d'").fetchone()
            assert counts == (15948, 15948)
        finally:
            postgres.stop()
