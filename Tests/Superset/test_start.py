# SPDX-License-Identifier: Apache-2.0
"""deploy/superset/start, as the image of deploy/compose runs it: a Superset that shows its key to a Tapedeck that asks for one."""
import os
import pathlib
import shutil
import socket
import subprocess
import sys
import tempfile
import time

import pytest
import requests
from sqlalchemy.engine import make_url
from tape import BINARY, ENVIRONMENT, ROOT, running_tape

PASSWORD = "a password of the test's"


@pytest.fixture(scope="module")
def tape():
    yield from running_tape("--require-keys", "on")


class Superset:
    """A Superset that was started by the script, and a client that is signed in."""

    def __init__(self, home, tape, key):
        reader = make_url(tape.reader_url)
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        self.url = f"http://127.0.0.1:{port}"
        self.log = home / "start.log"
        environment = {name: value for name, value in ENVIRONMENT.items() if not name.startswith(("SUPERSET", "FLASK"))} | {
            "PATH": f"{pathlib.Path(sys.executable).parent}:{os.environ['PATH']}", "SUPERSET_HOME": str(home),
            "SUPERSET_SECRET_KEY": "a secret of the test's", "SUPERSET_PASSWORD": PASSWORD, "SUPERSET_LISTEN": f"127.0.0.1:{port}",
            "TAPEDECK_TRINO": f"trino://superset@{tape.url.removeprefix('http://')}/tapedeck/market", "TAPEDECK_KEY": key,
            "TAPEDECK_POSTGRESQL": f"postgresql+psycopg2://{reader.username}@{reader.host}:{reader.port}/{reader.database}",
            "READER_PASSWORD": reader.password}
        with open(self.log, "ab") as log:
            self.process = subprocess.Popen(
                [str(ROOT / "deploy/superset/start")], env=environment, cwd=home, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        try:
            self.sign_in()
        except BaseException:
            self.stop()
            raise

    def sign_in(self):
        deadline = time.monotonic() + 500
        while True:
            assert self.process.poll() is None, self.log.read_text()[-5000:]
            assert time.monotonic() < deadline, self.log.read_text()[-5000:]
            try:
                if requests.get(self.url + "/health", timeout=10).ok:
                    break
            except (requests.ConnectionError, requests.Timeout):
                # Its first answer waits until a worker has read all of Superset.
                time.sleep(0.5)
        reply = requests.post(
            self.url + "/api/v1/security/login", timeout=60,
            json={"username": "admin", "password": PASSWORD, "provider": "db", "refresh": True})
        assert reply.ok, reply.text
        self.headers = {"Authorization": "Bearer " + reply.json()["access_token"]}

    def get(self, path):
        reply = requests.get(f"{self.url}/api/v1/{path}", headers=self.headers, timeout=120)
        assert reply.ok, f"{path}: {reply.status_code} {reply.text[:2000]}"
        return reply.json()

    def stop(self):
        self.process.terminate()
        self.process.wait(60)


def test_it_starts_with_databases_that_answer_and_dashboards_and_starts_again(tape):
    home = pathlib.Path(tempfile.mkdtemp(prefix="tapedeck-superset-start-"))
    made = subprocess.run(
        [str(BINARY), "keys", "create", "--data-dir", str(tape.folder), "--name", "superset", "--scope", "sql"],
        capture_output=True, text=True, env=ENVIRONMENT, check=True)
    key = made.stdout.splitlines()[0]
    uuids = []
    # The second time everything is there, and stays what it is.
    for _ in range(2):
        superset = Superset(home, tape, key)
        try:
            found = {one["database_name"]: one for one in superset.get("database/?q=(page_size:100)")["result"]}
            assert sorted(found) == ["Tapedeck (PostgreSQL)", "Tapedeck (Trino)"]
            for name, one in found.items():
                assert "market" in superset.get(f"database/{one['id']}/schemas/?q=(force:!t)")["result"], name
                assert key not in str(superset.get(f"database/{one['id']}/connection")), name
            for slug in ("tapedeck-trades", "tapedeck-market"):
                assert len(superset.get(f"dashboard/{slug}/charts")["result"]) == 6
            charts = superset.get("chart/?q=(page_size:100,columns:!(id,uuid,slice_name,datasource_name_text))")["result"]
            uuids.append(sorted(one["uuid"] for one in charts))
            drawn = {one["slice_name"]: superset.get(f"chart/{one['id']}/data/")["result"][0] for one in charts}
            assert len(drawn) == 12 and all(result.get("error") is None for result in drawn.values())
            assert sum(result["rowcount"] > 0 for result in drawn.values()) >= 4
        finally:
            superset.stop()
    assert uuids[0] == uuids[1]
    # Neither secret is in the log, nor is the key in what Superset keeps.
    log = superset.log.read_text()
    assert PASSWORD not in log and key not in log
    assert key.encode() not in (home / "superset.db").read_bytes()
    shutil.rmtree(home)
