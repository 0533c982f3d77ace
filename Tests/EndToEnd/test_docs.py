# SPDX-License-Identifier: Apache-2.0
"""Every command and query of README.md and docs/ runs, and prints what the document says it prints.

`DOCS_WRITE=1` writes what was printed into the documents instead of comparing it.
"""
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile

import pytest
import requests
from conftest import BINARY, ENVIRONMENT, ROOT, SAMPLE, Up, wait_until
from documents import RUN, SHOWN, blocks, comparable
from prometheus_client.parser import text_string_to_metric_families

# In this order, on one server: the cookbook's answers are those of the sample tape alone.
COOKBOOK = ROOT / "docs/cookbook.md"
DOCUMENTS = [COOKBOOK, ROOT / "README.md", *sorted(set((ROOT / "docs").glob("*.md")) - {COOKBOOK})]
WRITE = os.environ.get("DOCS_WRITE") == "1"
# Why a block may stay unrun; anything else has to run.
REASONS = {
    "containers cannot run on a build machine", "needs a cluster", "needs machines of your own",
    "needs a key of the source", "it is how this test was started", "needs root", "a fragment of a file",
    "a statement of another system", "asks a service on the internet",
}


def test_blocks_are_found(tmp_path):
    path = tmp_path / "a.md"
    path.write_text(
        "text\n```sh\ntrue\n```\n\n```\nout\n```\n<!-- not run: needs root -->\n```sql\nx\n```\nwords\n```\nno output\n```\n")
    found = blocks(path)
    assert [(b.line, b.language, b.text, b.mark) for b in found] == [
        (2, "sh", "true\n", ""), (10, "sql", "x\n", "not run: needs root"), (14, "", "no output\n", "")]
    assert found[0].output.text == "out\n" and found[1].output is None
    assert comparable('{"query_id":"1a","elapsed_ms":3.2} ') == ['{"query_id":"…","elapsed_ms":…}']


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.name)
def test_each_block_is_run_or_says_why_not(path):
    for block in blocks(path):
        assert block.language in RUN | SHOWN, f"{block.name}: blocks of {block.language!r} are not known"
        if block.not_run:
            assert block.mark.removeprefix("not run: ") in REASONS, f"{block.name}: {block.mark}"
        elif re.search(r"\b(docker|kubectl|terraform|helm|systemctl|apt-get)\b", block.text) and block.language == "sh":
            pytest.fail(f"{block.name}: this cannot run here; say so")


class Reader:
    """Somebody who follows a document in a checkout where `tapedeck up` runs on the default address."""

    def __init__(self, base):
        self.base = base
        for name in ["samples", "deploy", "lexicons", "openapi", "schemas", "sql", "docs", "Tests"]:
            if (ROOT / name).exists():
                (base / name).symlink_to(ROOT / name)
        (base / ".build/release").mkdir(parents=True)
        (base / ".build/release/tapedeck").symlink_to(BINARY)
        self.up = Up(
            base / "var", "--source", f"replay:{SAMPLE}?speed=max", "--audit-log", base / "audit.log")
        wait_until(lambda: self.up.one("select count(*) from trades") == 15948, 120, "the sample tape", self.up)
        self.environment = ENVIRONMENT | {
            "PATH": f"{base}/.build/release:{pathlib.Path(sys.executable).parent}:{os.environ['PATH']}", "PAGER": "cat",
            "HOME": str(base), "TZ": "UTC", "LC_ALL": "C.UTF-8"}

    def follow(self, block):
        address = self.up.environment["TAPEDECK_LISTEN"]
        text = block.text.replace("127.0.0.1:8080", address).replace(
            'port=8080', f"port={address.rsplit(':', 1)[1]}")
        if block.language == "sql":
            command = [str(BINARY), "query", text]
        elif block.language == "python":
            command = [sys.executable, "-c", text]
        else:
            command = ["bash", "-euo", "pipefail", "-c", text]
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=120, cwd=self.base, env=self.environment,
            stdin=subprocess.DEVNULL)
        assert done.returncode == block.status, f"{block.name}:\n{text}\n{done.stdout}{done.stderr}"
        return done.stdout + (done.stderr if block.status else "")

    def close(self):
        self.up.close()


@pytest.fixture(scope="module")
def reader():
    base = pathlib.Path(tempfile.mkdtemp(prefix="tapedeck-docs-"))
    reader = Reader(base)
    yield reader
    reader.close()
    shutil.rmtree(base, ignore_errors=True)


def metrics_made():
    """The names of all metrics, as the sources make them."""
    text = "".join(path.read_text() for path in (ROOT / "Sources").rglob("*.swift"))
    return set(re.findall(r'\b(?:counters?|gauges?|histograms?|family)\(\s*"((?:tapedeck|process)_\w+)"', text))


def metrics_said(url):
    """The rows of those that a running system says."""
    rows = {}
    for family in text_string_to_metric_families(requests.get(url + "/metrics", timeout=30).text):
        name = family.name + ("_total" if family.type == "counter" else "")
        rows[name] = f"| `{name}` | {family.type} | {family.documentation.replace('|', '&#124;')} |"
    return rows


def test_every_metric_is_in_the_table(reader):
    path = ROOT / "docs/metrics.md"
    before, rest = path.read_text().split("<!-- metrics -->\n")
    table, after = rest.split("<!-- /metrics -->")
    head, rows = table.splitlines()[:2], {line.split("`")[1]: line for line in table.splitlines()[2:]}
    said = metrics_said(reader.up.url)
    if WRITE:
        lines = "\n".join(head + [line for _, line in sorted((rows | said).items())])
        path.write_text(f"{before}<!-- metrics -->\n{lines}\n<!-- /metrics -->{after}")
        return
    assert rows.keys() == metrics_made(), "docs/metrics.md is to have what the sources make"
    for name, line in said.items():
        assert rows[name] == line, "DOCS_WRITE=1 pytest Tests/EndToEnd/test_docs.py -k metric writes it"


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_what_a_document_says_is_what_happens(document, reader):
    written = []
    for block in blocks(document):
        if block.language not in RUN or block.not_run:
            continue
        said = reader.follow(block)
        if block.output is None and not (WRITE and block.language == "sql" and document == COOKBOOK):
            continue
        if block.mark == "output varies":
            assert said.strip(), f"{block.name} prints nothing"
        elif WRITE:
            written.append((block, said))
        else:
            assert comparable(said) == comparable(block.output.text), f"{block.output.name} of {block.name}:\n{said}"
    lines = document.read_text().splitlines()
    for block, said in reversed(written):
        if block.output:
            if comparable(said) == comparable(block.output.text):
                continue
            start, end = block.output.line, block.output.line + block.output.text.count("\n")
            lines[start:end] = comparable(said)
        else:
            end = block.line + block.text.count("\n") + 1
            lines[end:end] = ["", "```", *comparable(said), "```"]
    if written:
        document.write_text("\n".join(lines) + "\n")
