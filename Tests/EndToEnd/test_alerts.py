# SPDX-License-Identifier: Apache-2.0
"""The alert rules of deploy/prometheus: valid, fired by what they are for, and explained in the runbook."""
import re
import shutil
import subprocess

import pytest
import yaml
from conftest import ROOT

FOLDER = ROOT / "deploy/prometheus"
PROMTOOL = shutil.which("promtool") or ROOT / ".build-promtool/usr/bin/promtool"
RULES = [rule for group in yaml.safe_load((FOLDER / "alerts.yml").read_text())["groups"] for rule in group["rules"]]


def promtool(*arguments):
    done = subprocess.run([PROMTOOL, *arguments], capture_output=True, text=True, timeout=120, cwd=FOLDER)
    assert done.returncode == 0, done.stdout + done.stderr


def test_prometheus_takes_them():
    promtool("check", "config", "prometheus.yml")
    promtool("check", "rules", "alerts.yml")


def test_each_fires_when_it_should():
    promtool("test", "rules", "alerts_test.yml")
    tests = yaml.safe_load((FOLDER / "alerts_test.yml").read_text())["tests"]
    fired = {case["alertname"] for test in tests for case in test["alert_rule_test"] if case.get("exp_alerts")}
    assert fired == {rule["alert"] for rule in RULES}


def anchors(path):
    """GitHub's: lower case, without punctuation, blanks become hyphens."""
    titles = re.findall(r"^#+ (.+)$", path.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule["alert"])
def test_the_runbook_explains_it(rule):
    path, anchor = rule["annotations"]["runbook"].split("#")
    runbook = ROOT / path
    assert anchor in anchors(runbook), rule["alert"]
    assert f"`{rule['alert']}`" in runbook.read_text()
    # Their metrics are those of the table.
    documented = set(re.findall(r"`(tapedeck_\w+|process_\w+)`", (ROOT / "docs/metrics.md").read_text()))
    for metric in re.findall(r"\b((?:tapedeck|process)_\w+)", rule["expr"]):
        assert re.sub(r"_(bucket|sum|count)$", "", metric) in documented, metric
