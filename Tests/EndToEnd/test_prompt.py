# SPDX-License-Identifier: Apache-2.0
"""`tapedeck query` without a statement: a prompt on a terminal, a script from a pipe."""
import os
import stat
import subprocess

import pexpect
import pytest
from conftest import BINARY, ENVIRONMENT, ROOT

READY = "tapedeck> "


@pytest.fixture
def prompt(played, tmp_path):
    child = pexpect.spawn(
        str(BINARY), ["query", "--server", played.url], env={
            **ENVIRONMENT, "TERM": "xterm", "HOME": str(tmp_path), "PAGER": "sed s/^/paged:/"},
        encoding="utf-8", timeout=30, dimensions=(24, 100), cwd=ROOT)
    child.expect_exact(READY)
    yield child
    child.close(force=True)


def ask(child, line):
    """What is shown between a line and the next prompt."""
    child.sendline(line)
    child.expect_exact(READY)
    return child.before


def test_statements_of_several_lines(prompt):
    prompt.sendline("select 6")
    prompt.expect_exact("tapedeck- ")
    prompt.sendline("  * 7 as answer, ';' as mark; select 'next' as other;")
    prompt.expect_exact(READY)
    assert "answer" in prompt.before and "42" in prompt.before and "next" in prompt.before
    assert prompt.before.count("(1 row)") == 2
    prompt.sendline("select 'open")
    prompt.expect_exact("tapedeck' ")
    prompt.sendline("quote';")
    prompt.expect_exact(READY)


def test_an_error_points_at_its_place(prompt):
    said = ask(prompt, "select symbol, nope from trades;")
    assert 'ERROR: column "nope" does not exist' in said
    line, caret = [text for text in said.splitlines() if "LINE 1: " in text or text.strip() == "^"]
    assert line.index("nope") == caret.index("^")


def test_commands(prompt):
    assert "market" in ask(prompt, "\\dt") and "bars" in prompt.before
    assert "double precision" in ask(prompt, "\\d trades") and "trade_id" in prompt.before
    assert "\\format" in ask(prompt, "\\?")
    assert "unknown command" in ask(prompt, "\\nothing")
    ask(prompt, "\\timing")
    assert "time: " in ask(prompt, "select 1;")
    ask(prompt, "\\x")
    assert "-[ 1 ]" in ask(prompt, "select 1 as one;") and "one | 1" in prompt.before
    ask(prompt, "\\x")
    ask(prompt, "\\format json")
    assert '"row_count":1' in ask(prompt, "select 1;")


def test_files_in_and_out(prompt, tmp_path):
    (tmp_path / "in.sql").write_text("select 1 as first;\n-- ; no end\nselect 2 as second")
    ask(prompt, f"\\o {tmp_path}/out.csv")
    ask(prompt, "\\format csv")
    ask(prompt, f"\\i {tmp_path}/in.sql")
    ask(prompt, "\\o")
    assert (tmp_path / "out.csv").read_text() == "first\n1\nsecond\n2\n"
    assert "No such file" in ask(prompt, f"\\i {tmp_path}/none.sql")


def test_long_results_are_paged(prompt):
    assert "paged:" in ask(prompt, "select * from generate_series(1, 100);")
    assert "paged:" not in ask(prompt, "select * from generate_series(1, 3);")


def test_tab_completes_tables_columns_and_keywords(prompt):
    prompt.send("select trade_c\t")
    # The terminal is sent what is new.
    prompt.expect_exact("ount ")
    prompt.send("from indic\t")
    prompt.expect_exact("ators ")
    prompt.sendcontrol("c")
    prompt.expect_exact(READY)
    prompt.send("sele\t1 as x;\r")
    prompt.expect_exact("(1 row)")


def test_a_long_query_shows_how_far_it_is(prompt):
    # Wide rows, so that PostgreSQL does not keep them back.
    prompt.sendline("select g, repeat('x', 4000) as pad, pg_sleep(0.02) from generate_series(1, 150) g;")
    prompt.expect(r"\r\x1b\[K(\d+) rows, (\d+) s; Ctrl-C cancels")
    first, seconds = int(prompt.match[1]), int(prompt.match[2])
    assert seconds >= 1
    prompt.expect(r"\r\x1b\[K(\d+) rows, \d+ s; Ctrl-C cancels")
    while int(prompt.match[1]) == first:
        prompt.expect(r"\r\x1b\[K(\d+) rows, \d+ s; Ctrl-C cancels")
    assert first < int(prompt.match[1]) < 150
    prompt.expect_exact(READY)
    # The line is wiped before the rows come, and none is shown for what is quick.
    assert "\r\x1b[K" in prompt.before.partition("paged:")[0].rpartition("Ctrl-C cancels")[2]
    assert "(150 rows)" in prompt.before
    assert "Ctrl-C cancels" not in ask(prompt, "select 1;") and "(1 row)" in prompt.before


def test_ctrl_c_cancels_the_query_and_not_the_prompt(prompt, played):
    prompt.sendline("select pg_sleep(60);")
    prompt.expect_exact("Ctrl-C cancels")
    prompt.sendintr()
    prompt.expect_exact("cancelled")
    prompt.expect_exact(READY)
    assert "(1 row)" in ask(prompt, "select 1;")
    prompt.send("select forgotten")
    prompt.sendintr()
    prompt.expect_exact(READY)
    assert "(1 row)" in ask(prompt, "select 2;")


def test_history_is_kept_for_its_owner(prompt, tmp_path, played):
    ask(prompt, "select 'remember me';")
    prompt.sendcontrol("d")
    prompt.expect(pexpect.EOF)
    file = tmp_path / ".tapedeck_history"
    assert stat.S_IMODE(os.stat(file).st_mode) == 0o600
    again = pexpect.spawn(
        str(BINARY), ["query", "--server", played.url], env={**ENVIRONMENT, "TERM": "xterm", "HOME": str(tmp_path)},
        encoding="utf-8", timeout=30, cwd=ROOT)
    again.expect_exact(READY)
    again.send("\x1b[A")
    again.expect_exact("select 'remember me';")
    again.sendcontrol("c")
    again.expect_exact(READY)
    again.sendline("\\q")
    again.expect(pexpect.EOF)


def test_what_presto_cli_knows(prompt):
    assert "\\format" in ask(prompt, "help")
    assert 'ERROR: relation "nope" does not exist' in ask(prompt, "\\d nope") and "pg_attribute" not in prompt.before
    assert "on or off" in ask(prompt, "\\x nope") and "on or off" in ask(prompt, "\\timing nope")
    prompt.sendline("quit;")
    prompt.expect(pexpect.EOF)


def query(played, *arguments, server=None, **options):
    return subprocess.run(
        [str(BINARY), "query", "--server", server or played.url, *arguments], env=ENVIRONMENT, timeout=60,
        **{"capture_output": True, **options})


def test_texts_of_strangers_do_not_reach_the_terminal(played):
    done = query(played, "select e'\\x1b]0;owned\\x07' as a, e'two\\nlines\\tand é' as b, u&'\\0085' as c")
    assert done.stdout.decode().splitlines()[2:] == [
        "\\x1B]0;owned\\x07 | two\\nlines\\tand é | \\x85", "(1 row)"]


def test_what_goes_wrong_is_told(played):
    assert query(played, "select 1 as one", server=played.url + "/").returncode == 0
    for format in ("table", "csv"):
        with open("/dev/full", "wb") as full:
            done = query(
                played, "--format", format, "select 1 as one", capture_output=False, stdout=full,
                stderr=subprocess.PIPE)
        assert done.returncode == 1 and done.stderr, format
    done = query(played, "select g, 1 / (g - 90000) from generate_series(1, 100000) g")
    assert done.returncode == 1 and b"broke the result off" in done.stderr


def test_a_script_from_a_pipe(played):
    done = subprocess.run(
        [str(BINARY), "query", "--server", played.url, "--format", "csv"], input=b"select 1 as a;\nselect 2 as b",
        capture_output=True, env=ENVIRONMENT, timeout=60)
    assert (done.returncode, done.stdout) == (0, b"a\n1\nb\n2\n"), done.stderr
    for script in (b"select nope;", b"\\i /nope\nselect 2 as two;", b"\\nope\nselect 2 as two;"):
        failed = subprocess.run(
            [str(BINARY), "query", "--server", played.url], input=script, capture_output=True, env=ENVIRONMENT, timeout=60)
        assert failed.returncode == 1 and b"nope" in failed.stderr, script
        assert (b"two" in failed.stdout) == (b"two" in script)


def test_a_script_that_another_runs_fails_both(played, tmp_path):
    inner = tmp_path / "inner.sql"
    inner.write_text("select nope;")
    done = subprocess.run(
        [str(BINARY), "query", "--server", played.url], input=f"\\i {inner}\nselect 2 as two;".encode(),
        capture_output=True, env=ENVIRONMENT, timeout=60)
    assert done.returncode == 1 and b"two" in done.stdout


@pytest.mark.parametrize("comment", ["-- top\n", "--top\n", "--\n", "-- a=b\n"])
def test_a_statement_may_begin_with_a_comment(played, comment):
    done = query(played, "--format=csv", comment + "select 1 as a")
    assert (done.returncode, done.stdout) == (0, b"a\n1\n"), done.stderr
