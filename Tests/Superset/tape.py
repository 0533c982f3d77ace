# SPDX-License-Identifier: Apache-2.0
"""Tapedeck for the tests of Superset, whose environment has no room for those of the other tests."""
import os
import pathlib
import shutil
import signal
import subprocess
import tempfile
import time

import psycopg2
import requests

ROOT = pathlib.Path(__file__).resolve().parents[2]
BINARY = pathlib.Path(os.environ.get("TAPEDECK_BINARY", ROOT / ".build/release/tapedeck")).resolve()

ENVIRONMENT = {key: value for key, value in os.environ.items() if not key.startswith(("TAPEDECK_", "PG"))}


class Tape:
    def __init__(self, folder):
        self.folder = folder
        lines = (folder / "connection.env").read_text().splitlines()
        values = dict(line.replace("'", "").split("=", 1) for line in lines)
        self.url = "http://" + values["TAPEDECK_LISTEN"]
        self.reader_url = values["TAPEDECK_READER_URL"]
        self.writer_url = values["TAPEDECK_DATABASE_URL"]

    def sql(self, query):
        with psycopg2.connect(self.reader_url) as connection, connection.cursor() as cursor:
            cursor.execute(query)
            return cursor.fetchall()

    def one(self, query):
        return self.sql(query)[0][0]


def running_tape(*arguments):
    base = pathlib.Path(tempfile.mkdtemp(prefix="tapedeck-superset-"))
    folder = base / "data"
    log = open(base / "up.log", "wb")
    process = subprocess.Popen(
        [str(BINARY), "up", "--data-dir", str(folder), "--listen", "127.0.0.1:0", "--source",
         f"replay:{ROOT}/samples/trades.csv.gz?speed=max", *arguments],
        stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=ENVIRONMENT, cwd=ROOT)
    try:
        deadline = time.monotonic() + 120
        while True:
            assert process.poll() is None, (base / "up.log").read_text()
            assert time.monotonic() < deadline, "tapedeck up is not ready\n" + (base / "up.log").read_text()
            try:
                tape = Tape(folder)
                if requests.get(tape.url + "/ready", timeout=5).ok and tape.one("select count(*) from trades") == 15948:
                    break
            except (OSError, KeyError, psycopg2.Error):
                pass
            time.sleep(0.2)
        yield tape
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(60)
        log.close()
        shutil.rmtree(base, ignore_errors=True)
