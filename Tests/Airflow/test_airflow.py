# SPDX-License-Identifier: Apache-2.0
"""The DAG of deploy/airflow, run for real by Airflow itself on a Tapedeck."""
import gzip
import json
import os
import pathlib
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
BINARY = pathlib.Path(os.environ.get("TAPEDECK_BINARY", ROOT / ".build/release/tapedeck")).resolve()
DAY = "2026-08-09"


@pytest.fixture(scope="module")
def home():
    base = pathlib.Path(tempfile.mkdtemp(prefix="tapedeck-airflow-"))
    yield base
    shutil.rmtree(base, ignore_errors=True)


@pytest.fixture(scope="module")
def tape(home):
    """`tapedeck up` with one old trade, and files of two days."""
    (home / "old.csv").write_text("ts,symbol,price,size\n2024-01-02T09:30:00Z,AAPL,185.64,100\n")
    with gzip.open(ROOT / "samples/trades.csv.gz", "rt") as sample:
        header, *lines = sample.read().splitlines()
    (home / "tapes").mkdir()
    with gzip.open(home / "tapes" / f"{DAY} crypto.csv.gz", "wt") as day:
        day.write("\n".join([header, *[line for line in lines if line.startswith("178")]]) + "\n")
    environment = {key: value for key, value in os.environ.items() if not key.startswith(("TAPEDECK_", "PG"))}
    environment |= {name: "off" for name in [
        "TAPEDECK_FORECAST_SCHEDULE", "TAPEDECK_REPORT_SCHEDULE", "TAPEDECK_SCORE_SCHEDULE"]}
    with open(home / "up.log", "wb") as log:
        process = subprocess.Popen(
            [str(BINARY), "up", "--data-dir", str(home / "data"), "--listen", "127.0.0.1:0", "--source",
             f"replay:{home}/old.csv?speed=max"],
            stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=environment, cwd=ROOT)
    try:
        deadline = time.monotonic() + 120
        while not (home / "data/connection.env").exists():
            assert process.poll() is None and time.monotonic() < deadline, (home / "up.log").read_text()
            time.sleep(0.2)
        yield environment
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(60)


@pytest.fixture(scope="module")
def airflow(home, tape):
    environment = tape | {
        "AIRFLOW_HOME": str(home / "airflow"), "AIRFLOW__CORE__DAGS_FOLDER": str(ROOT / "deploy/airflow"),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False", "AIRFLOW__CORE__UNIT_TEST_MODE": "False",
        "TAPEDECK": str(BINARY), "TAPEDECK_DATA_DIR": str(home / "data"), "PYTHONDONTWRITEBYTECODE": "1",
        "PATH": f"{pathlib.Path(sys.executable).parent}:{os.environ['PATH']}"}

    def call(*arguments, check=True):
        done = subprocess.run(
            ["airflow", *arguments], env=environment, capture_output=True, text=True, timeout=600, cwd=home)
        assert not check or done.returncode == 0, done.stdout[-6000:] + done.stderr[-6000:]
        return done

    call("db", "migrate")
    return call


def query(home, tape, sql):
    done = subprocess.run(
        [str(BINARY), "query", "--data-dir", str(home / "data"), "--format", "json", sql], env=tape, cwd=home,
        capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def states(home):
    """How the tasks of the last run ended, as Airflow has it."""
    with sqlite3.connect(home / "airflow/airflow.db") as database:
        return dict(database.execute(
            "select task_id, state from task_instance where run_id ="
            " (select run_id from dag_run order by id desc limit 1)").fetchall())


def rows(answer):
    return answer["rows"] if isinstance(answer, dict) else [list(row.values()) for row in answer]


def test_a_day_is_loaded_checked_and_forecast(home, tape, airflow):
    parameters = json.dumps({"files": f"{home}/tapes/{{day}}*"})
    airflow("dags", "test", "tapedeck", DAY, "--conf", parameters)
    assert states(home) == {task: "success" for task in ["backfill", "validation_report", "forecast", "score"]}
    loaded = rows(query(home, tape, f"select count(*) from trades where ts >= '{DAY}'"))[0][0]
    assert loaded > 1000
    ended = rows(query(home, tape, "select job, result from ops.job_runs order by started_at"))
    assert ended == [["validation-report", "ok"], ["forecast", "ok"], ["score", "ok"]]
    # The same day again adds nothing.
    airflow("dags", "test", "tapedeck", DAY, "--conf", parameters)
    assert rows(query(home, tape, f"select count(*) from trades where ts >= '{DAY}'"))[0][0] == loaded


def test_a_day_without_files_is_skipped_and_the_rest_goes_on(home, tape, airflow):
    airflow("dags", "test", "tapedeck", "2026-08-10", "--conf", json.dumps({"files": f"{home}/tapes/{{day}}*"}))
    assert states(home) == {
        "backfill": "skipped", "validation_report": "success", "forecast": "success", "score": "success"}
    # A pattern is a pattern, whatever is in it.
    airflow("dags", "test", "tapedeck", DAY, "--conf", json.dumps({"files": f"$(touch {home}/run);touch {home}/run;*"}))
    assert states(home)["backfill"] == "skipped" and not (home / "run").exists()
