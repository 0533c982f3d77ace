# SPDX-License-Identifier: Apache-2.0
"""The built binary, driven from outside: whole processes, real clients, folders that are thrown away."""
import json
import os
import pathlib
import re
import shutil
import signal
import subprocess
import tempfile
import time

import psycopg
import pytest
import requests

ROOT = pathlib.Path(__file__).resolve().parents[2]
BINARY = pathlib.Path(os.environ.get("TAPEDECK_BINARY", ROOT / ".build/release/tapedeck")).resolve()
SAMPLE = ROOT / "samples/trades.csv.gz"


def pytest_make_parametrize_id(config, val, argname):
    """Bytes are no part of a test's name: gzip writes the second into them, and the workers, which start at different ones,
    have to find the same names."""
    return argname if isinstance(val, bytes) else None


def scratch():
    """Where the tests' data folders are: in memory, where there is plenty of it. A server syncs at every step, and has a file for
    each day of the tape: what waits for the disk of a busy machine most of the time. No test cuts its power."""
    memory = pathlib.Path("/dev/shm")
    plenty = 8 << 30
    available = re.search(r"MemAvailable: +(\d+) kB", pathlib.Path("/proc/meminfo").read_text())
    if not available or int(available[1]) << 10 < plenty or not os.access(memory, os.W_OK | os.X_OK):
        return None
    return str(memory) if shutil.disk_usage(memory).free >= plenty else None


DISK = tempfile.gettempdir()
if "TMPDIR" not in os.environ and scratch():
    # What pytest keeps of its last runs stays on disk.
    os.environ.setdefault("PYTEST_DEBUG_TEMPROOT", DISK)
    tempfile.tempdir = scratch()

# Nothing of the caller's settings reaches the processes under test.
ENVIRONMENT = {key: value for key, value in os.environ.items() if not key.startswith(("TAPEDECK_", "PG"))}


def run(*arguments, check=True, stdin=None, timeout=120, **options):
    """Runs the command to its end."""
    result = subprocess.run(
        [str(BINARY), *map(str, arguments)], input=stdin, capture_output=True, timeout=timeout,
        env=options.pop("env", ENVIRONMENT), **options)
    if check:
        assert result.returncode == 0, result.stderr.decode()
    return result


class Up:
    """A running `tapedeck up`."""

    def __init__(self, folder, *arguments):
        self.folder = pathlib.Path(folder)
        self.arguments = [str(argument) for argument in arguments]
        self.process = None
        self.start()

    def start(self):
        self.log = open(self.folder.parent / "up.log", "ab")
        self.process = subprocess.Popen(
            [str(BINARY), "up", "--data-dir", str(self.folder), "--listen", "127.0.0.1:0", *self.arguments],
            stdin=subprocess.DEVNULL, stdout=self.log, stderr=self.log, env=ENVIRONMENT, cwd=ROOT)
        wait_until(lambda: self.is_ready(), 90, "tapedeck up to be ready", self)
        self.environment = dict(
            line.rstrip("\n").replace("'", "").split("=", 1) for line in open(self.folder / "connection.env"))
        self.url = "http://" + self.environment["TAPEDECK_LISTEN"]
        self.reader_url = self.environment["TAPEDECK_READER_URL"]
        self.writer_url = self.environment["TAPEDECK_DATABASE_URL"]

    def is_ready(self):
        assert self.process.poll() is None, "tapedeck up ended:\n" + self.output()
        try:
            text = (self.folder / "connection.env").read_text()
        except FileNotFoundError:
            return False
        listen = [line for line in text.splitlines() if line.startswith("TAPEDECK_LISTEN")]
        try:
            address = listen[0].split("=", 1)[1].strip("'")
            return requests.get(f"http://{address}/ready", timeout=5).status_code == 200
        except (requests.ConnectionError, IndexError):
            return False

    def output(self):
        return (self.folder.parent / "up.log").read_text()

    def sql(self, query, *parameters):
        """Rows of a query as the reader, straight from PostgreSQL.

        In one snapshot that is older than the plan: a plan made while the partition of a new day is being attached
        would lack the partition, and the statement's own, later snapshot would have the bars of its trades.
        """
        with psycopg.connect(self.reader_url) as connection:
            connection.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
            connection.execute("select 1")
            return connection.execute(query, parameters).fetchall()

    def one(self, query):
        return self.sql(query)[0][0]

    def stop(self):
        """SIGTERM, and wait for the end; returns the exit status and the seconds it took."""
        begun = time.monotonic()
        self.process.send_signal(signal.SIGTERM)
        status = self.process.wait(60)
        self.log.close()
        return status, time.monotonic() - begun

    def kill_everything(self):
        """SIGKILL for the process and for every process of its PostgreSQL."""
        servers = postgres_pids(self.folder)
        self.process.kill()
        for pid in servers:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
        self.process.wait(30)
        self.log.close()

    def close(self):
        if self.process.poll() is None:
            self.stop()


def postgres_pids(folder):
    """The postmaster on the folder and its children."""
    try:
        postmaster = int((folder / "postgres/data/postmaster.pid").read_text().split()[0])
    except (FileNotFoundError, ValueError, IndexError):
        return []
    pids = [postmaster]
    for entry in pathlib.Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                if int((entry / "stat").read_text().rsplit(")", 1)[1].split()[1]) == postmaster:
                    pids.append(int(entry.name))
            except (FileNotFoundError, ProcessLookupError, IndexError):
                pass
    return pids


def wait_until(condition, seconds, what, up=None):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"waited {seconds} s for {what}" + (f"\n{up.output()}" if up else "")
        time.sleep(0.05)


@pytest.fixture
def folder():
    """A data folder in a temporary folder that only its owner may enter."""
    base = pathlib.Path(tempfile.mkdtemp(prefix="tapedeck-e2e-"))
    yield base / "data"
    shutil.rmtree(base, ignore_errors=True)


@pytest.fixture(scope="module")
def played():
    """A server that has played the whole sample tape and a few trades of its own; shared by the tests of a module."""
    base = pathlib.Path(tempfile.mkdtemp(prefix="tapedeck-e2e-"))
    up = Up(base / "data", "--source", f"replay:{SAMPLE}?speed=max")
    wait_until(lambda: up.one("select count(*) from trades") == 15948, 90, "the sample tape", up)
    yield up
    up.close()
    shutil.rmtree(base, ignore_errors=True)


@pytest.fixture(scope="session")
def yfinance_cache():
    """Where the client of Yahoo keeps what it knows on disk: chosen once, for it does not let go of its files."""
    import yfinance

    with tempfile.TemporaryDirectory(prefix="tapedeck-yfinance-") as path:
        yfinance.set_tz_cache_location(path)
        yield yfinance.cache.get_cookie_cache()


@pytest.fixture
def yfinance(yfinance_cache, monkeypatch):
    """The client of Yahoo as it is at first: it keeps a cookie and a crumb, and would bring those of one server to the
    next."""
    import yfinance

    yfinance_cache.store("curlCffi", None)
    monkeypatch.setattr(yfinance.data.YfData, "_instances", {})
    return yfinance


@pytest.fixture
def start(folder):
    """Starts `tapedeck up` on the test's data folder; stopped with the test."""
    started = []

    def start(*arguments):
        started.append(Up(folder, *arguments))
        return started[-1]

    yield start
    for up in started:
        up.close()


def summary(result):
    return json.loads(result.stdout)
