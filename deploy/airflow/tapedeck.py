# SPDX-License-Identifier: Apache-2.0
"""The day's work of a Tapedeck, as an Airflow DAG: each task is one of its commands.

    backfill >> validation_report >> forecast >> score

`backfill` loads the files of the day (parameter `files`, a shell pattern with the day in it), however often it runs: what is
in the store is not added again. `validation_report` fails if a daily bar does not fit its trades. Set the schedules of the jobs
of `tapedeck process` to `off` (TAPEDECK_REPORT_SCHEDULE, TAPEDECK_FORECAST_SCHEDULE, TAPEDECK_SCORE_SCHEDULE), or they run
twice; one lock in the store keeps them from running at the same time.

The commands find the store and the log by the settings in the environment of the Airflow workers: TAPEDECK_DATABASE_URL and
TAPEDECK_EVENT_LOG, or TAPEDECK_DATA_DIR where `tapedeck up` runs on the same machine. TAPEDECK names the program where it is not
on the PATH.
"""
import os

import pendulum
from airflow.providers.standard.operators.bash import BashOperator
from airflow.sdk import DAG, Param

TAPEDECK = os.environ.get("TAPEDECK", "tapedeck")

with DAG(
    "tapedeck",
    description="Backfill, check and forecast, once a day.",
    doc_md=__doc__,
    schedule="30 0 * * *",
    start_date=pendulum.datetime(2024, 1, 1, tz="UTC"),
    # A new DAG does not load every day since its start; `airflow backfill create` does, for the days that you name.
    catchup=False,
    # Runs share a log and a store: one after the other.
    max_active_runs=1,
    default_args={
        "retries": 3,
        "retry_delay": pendulum.duration(minutes=1),
        "retry_exponential_backoff": True,
        "execution_timeout": pendulum.duration(hours=2),
    },
    params={
        "files": Param(
            "/srv/tapes/{day}*", type="string",
            description="The files of a day, as a shell pattern; {day} is the day, as in 2026-08-09."),
    },
    tags=["tapedeck"],
) as dag:
    backfill = BashOperator(
        task_id="backfill",
        # The pattern reaches the shell as a value, where only its wildcards mean something: no part of it is run. (`{#` would
        # begin a comment of Jinja's.)
        bash_command=f"""
            shopt -s nullglob
            IFS=
            files=(${{FILES//\\{{day\\}}/$DAY}})
            if [[ -z "${{files[*]}}" ]]; then
                echo "no file is called $FILES on $DAY"
                exit 99
            fi
            {TAPEDECK} load --json "${{files[@]}}"
        """,
        env={"FILES": "{{ params.files }}", "DAY": "{{ ds }}"},
        append_env=True,
        # A day without files is no failure: the task is skipped.
        skip_on_exit_code=99,
    )
    validation_report = BashOperator(
        task_id="validation_report",
        bash_command=f"{TAPEDECK} jobs run validation-report",
        append_env=True,
        trigger_rule="none_failed",
    )
    forecast = BashOperator(
        task_id="forecast",
        bash_command=f"{TAPEDECK} jobs run forecast",
        append_env=True,
        # Forecasts may fail, and be repeated, by themselves.
        retries=1,
    )
    score = BashOperator(task_id="score", bash_command=f"{TAPEDECK} jobs run score", append_env=True)

    backfill >> validation_report >> forecast >> score
