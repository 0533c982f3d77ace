# SPDX-License-Identifier: Apache-2.0
"""`tapedeck doctor`: what is well, what is not, and what to do."""
import json

import psycopg
from conftest import ENVIRONMENT, SAMPLE, run, wait_until


def diagnose(*arguments, environment={}, **options):
    done = run("doctor", "--json", *arguments, check=False, env=ENVIRONMENT | environment, **options)
    found = json.loads(done.stdout)
    assert done.returncode == (1 if any(one["verdict"] == "failure" for one in found) else 0)
    for one in found:
        assert (one["remedy"] is None) == (one["verdict"] == "ok"), one
    return found


def failures(found):
    return {one["subject"] for one in found if one["verdict"] == "failure"}


def test_a_running_system_is_well_until_it_is_not(start, folder):
    up = start("--source", f"replay:{SAMPLE}?speed=max&symbol=COINBASE:BTC-USD")
    found = diagnose("--data-dir", folder)
    assert failures(found) == set(), found
    said = {one["subject"]: one["finding"] for one in found}
    assert {"settings", "machine", "listen", "lexicon", "data folder", "store", "schema", "reader", "log"} <= said.keys()
    assert said["reader"] == "the reader can only read" and "PostgreSQL" in said["store"]
    with psycopg.connect(up.writer_url, autocommit=True) as store:
        store.execute("insert into ops.schema_migrations (version, name, checksum) values (9999, 'later', '')")
        found = diagnose("--data-dir", folder)
        assert failures(found) == {"schema"}
        assert any("9999" in one["finding"] and "Install" in one["remedy"] for one in found if one["subject"] == "schema")
        store.execute("delete from ops.schema_migrations where version = 9999")
        store.execute("delete from ops.schema_migrations where version = (select max(version) from ops.schema_migrations)")
        [schema] = [one for one in diagnose("--data-dir", folder) if one["subject"] == "schema"]
        assert schema["verdict"] == "failure" and "tapedeck migrate" in schema["remedy"]


def test_whatever_is_wrong_is_named_in_one_go(tmp_path):
    found = diagnose(cwd=tmp_path, environment={
        "TAPEDECK_DATABASE_URL": "postgresql://somebody:hunter2@127.0.0.1:9/nothing", "TAPEDECK_LISTEN": "0.0.0.0:8080",
        "TAPEDECK_READER_URL": "postgresql://somebody:hunter2@127.0.0.1:9/nothing",
        "TAPEDECK_LEXICON": str(tmp_path), "TAPEDECK_AUDIT_LOG": str(tmp_path / "no/audit.log"),
        "TAPEDECK_TLS_CERT": str(tmp_path / "no.pem"), "TAPEDECK_EVENT_LOG": f"sqlite:{tmp_path}/log"})
    assert failures(found) == {"store", "reader", "listen", "lexicon", "audit log", "tls"}, found
    assert "hunter2" not in json.dumps(found)


def test_before_the_first_start_nothing_is_wrong_and_nothing_is_made(tmp_path):
    found = diagnose(cwd=tmp_path)
    assert failures(found) == set(), found
    assert any("first start" in one["finding"] for one in found)
    assert list(tmp_path.iterdir()) == []
