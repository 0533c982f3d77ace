# SPDX-License-Identifier: Apache-2.0
"""Settings: from flags, the environment and .env; refused by name when they are wrong; secrets stay secret."""
import pytest
from conftest import ENVIRONMENT, ROOT, run


@pytest.mark.parametrize("arguments, environment, expected", [
    (["--listen", "nowhere"], {}, ["TAPEDECK_LISTEN", "--listen", "'nowhere'", "HOST:PORT"]),
    ([], {"TAPEDECK_PARTITIONS": "many"}, ["TAPEDECK_PARTITIONS", "'many'", "1 to 1024"]),
    ([], {"TAPEDECK_PARTITIONS": "0"}, ["TAPEDECK_PARTITIONS", "'0'", "1 to 1024"]),
    ([], {"TAPEDECK_LISTN": "x"}, ["TAPEDECK_LISTN", "TAPEDECK_LISTEN"]),
    ([], {"TAPEDECK_LOG_LEVEL": "loud"}, ["TAPEDECK_LOG_LEVEL", "'loud'", "warning"]),
    ([], {"TAPEDECK_DATABASE_URL": "mysql://u:hunter2@h/d"}, ["TAPEDECK_DATABASE_URL", "postgresql://"]),
    (["--source", "tape:x"], {}, ["'tape:x'", "replay:FILE"]),
])
def test_what_is_wrong_is_named_with_what_is_allowed(folder, arguments, environment, expected):
    result = run("up", "--data-dir", folder, *arguments, check=False, env=ENVIRONMENT | environment)
    assert result.returncode != 0
    message = result.stderr.decode()
    for word in expected:
        assert word in message, message
    assert "hunter2" not in message


def test_a_password_is_not_shown_when_the_database_refuses_it(folder):
    result = run(
        "migrate", check=False,
        env=ENVIRONMENT | {"TAPEDECK_DATABASE_URL": "postgresql://somebody:hunter2@127.0.0.1:9/nothing"})
    assert result.returncode != 0
    assert "hunter2" not in result.stdout.decode() + result.stderr.decode()


def test_dot_env_is_read_and_flags_win(folder, tmp_path):
    (tmp_path / ".env").write_text("# comment\nexport TAPEDECK_PARTITIONS=7  # seven\nTAPEDECK_RETENTION='1d'\n")
    listed = run("topics", "--data-dir", folder, cwd=tmp_path).stdout.decode()
    assert "trades.staging  7 partitions" in listed
    other = folder.parent / "other"
    listed = run("topics", "--data-dir", other, "--partitions", "2", cwd=tmp_path).stdout.decode()
    assert "trades.staging  2 partitions" in listed


def test_the_table_of_settings_and_the_help(folder):
    table = run("settings").stdout.decode()
    for name in ["--data-dir", "TAPEDECK_LISTEN", "--event-log", "TAPEDECK_READER_URL"]:
        assert name in table
    assert "load" in run("--help").stdout.decode()
    for command in ["up", "load", "ingest", "process", "serve", "migrate", "topics", "query", "status"]:
        assert "--data-dir" in run(command, "--help").stdout.decode()


def test_the_documented_settings_are_the_real_ones():
    documented = (ROOT / "README.md").read_text().split("<!-- settings -->")[1].split("<!-- /settings -->")[0]
    assert documented.strip() == run("settings", "--markdown").stdout.decode().strip()
