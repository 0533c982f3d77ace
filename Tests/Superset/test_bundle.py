# SPDX-License-Identifier: Apache-2.0
"""The bundle of deploy/superset, imported for real: every chart draws, every section of the dashboards is there."""
import io
import json
import subprocess
import sys
import zipfile

import pytest
import yaml
from sqlalchemy.engine import make_url
from tape import BINARY, ENVIRONMENT, ROOT, running_tape

# What the seeds' dashboards watched; the sample tape has none of them.
SYMBOLS = ["MSFT", "AAPL", "AMZN", "BINANCE:BTCUSDT", "BINANCE:ETHUSDT", "BINANCE:XRPUSDT", "BINANCE:DOGEUSDT"]


@pytest.fixture(scope="module")
def tape():
    """Tapedeck with the whole sample tape."""
    yield from running_tape()


@pytest.fixture(scope="module")
def imported(superset, tape, tmp_path_factory):
    folder = tmp_path_factory.mktemp("bundle")
    lines = ["ts,symbol,price,size"]
    for minute in range(120):
        for number, symbol in enumerate(SYMBOLS):
            lines.append(f"2026-03-02T{14 + minute // 60}:{minute % 60:02}:0{number}Z,{symbol},{100 + number + minute / 10},{1 + number}")
    (folder / "seeds.csv").write_text("\n".join(lines) + "\n")
    (folder / "posts.ndjson").write_text(json.dumps({
        "kind": "t3", "id": "a1", "name": "t3_a1", "subreddit": "stocks", "author": "me", "title": "I love $AAPL, great company",
        "selftext": "", "created_utc": 1772460000, "score": 1, "num_comments": 0, "upvote_ratio": 0.9, "url": "https://example.com"}) + "\n")
    for file in [str(ROOT / "samples/instruments_us.csv"), str(folder / "seeds.csv"), str(folder / "posts.ndjson")]:
        done = subprocess.run(
            [str(BINARY), "load", "--data-dir", str(tape.folder), file], capture_output=True, text=True, cwd=folder, timeout=120,
            env=ENVIRONMENT)
        assert done.returncode == 0, done.stdout + done.stderr
    made = subprocess.run(
        [str(BINARY), "forecast", "--data-dir", str(tape.folder), "--symbol", "AAPL", "--timeframe", "1m", "--steps", "5",
         "--paths", "100", "--seed", "1"], capture_output=True, text=True, cwd=folder, timeout=120, env=ENVIRONMENT)
    assert made.returncode == 0, made.stdout + made.stderr
    reader = make_url(tape.reader_url)
    bundle = folder / "tapedeck.zip"
    subprocess.run(
        [sys.executable, str(ROOT / "deploy/superset/make-bundle"),
         "--trino", f"trino://superset@{tape.url.removeprefix('http://')}/tapedeck/market",
         "--postgresql", f"postgresql+psycopg2://{reader.username}@{reader.host}:{reader.port}/{reader.database}", str(bundle)],
        check=True)
    superset.call(
        "POST", "assets/import/", data={
            "bundle": (io.BytesIO(bundle.read_bytes()), "tapedeck.zip"),
            "passwords": json.dumps({"databases/tapedeck_postgresql.yaml": reader.password}),
        }, content_type="multipart/form-data")
    return bundle


def test_a_bundle_holds_no_password(tmp_path):
    refused = subprocess.run(
        [sys.executable, str(ROOT / "deploy/superset/make-bundle"), "--postgresql", "postgresql://u:secret@h/d",
         str(tmp_path / "a.zip")], capture_output=True, text=True)
    assert refused.returncode != 0 and "secret" not in refused.stderr and not (tmp_path / "a.zip").exists()


def test_both_databases_are_there_and_answer(superset, imported):
    found = {one["database_name"]: one for one in superset.get("database/?q=(page_size:100)")["result"]}
    for name in ["Tapedeck (Trino)", "Tapedeck (PostgreSQL)"]:
        schemas = superset.get(f"database/{found[name]['id']}/schemas/?q=(force:!t)")["result"]
        assert "market" in schemas, name


def charts(bundle):
    with zipfile.ZipFile(bundle) as archive:
        return [
            yaml.safe_load(archive.read(name))["slice_name"] for name in archive.namelist() if "/charts/" in name]


def test_every_chart_draws(superset, imported):
    listed = {one["slice_name"]: one["id"] for one in superset.get("chart/?q=(page_size:100)")["result"]}
    names = charts(imported)
    assert len(names) == 12 and set(names) <= set(listed)
    for name in names:
        result = superset.get(f"chart/{listed[name]}/data/")["result"][0]
        assert result.get("error") is None, (name, result.get("error"))
        assert result["rowcount"] > 0, name


@pytest.mark.parametrize("slug, sections", [
    ("tapedeck-trades", ["FAANG", "Cryptocurrency Trades"]),
    ("tapedeck-market", ["Market", "Sentiment and forecasts"])])
def test_the_dashboards_have_their_sections_charts_and_filters(superset, imported, slug, sections):
    dashboard = superset.get(f"dashboard/{slug}")["result"]
    position = json.loads(dashboard["position_json"])
    headers = [part["meta"]["text"] for part in position.values() if isinstance(part, dict) and part.get("type") == "HEADER"
               and part["id"] != "HEADER_ID"]
    assert headers == sections
    ids = {chart["id"] for chart in superset.get(f"dashboard/{slug}/charts")["result"]}
    assert ids == {part["meta"]["chartId"] for part in position.values() if isinstance(part, dict) and part.get("type") == "CHART"}
    assert len(ids) == 6
    filters = json.loads(dashboard["json_metadata"])["native_filter_configuration"]
    assert [one["filterType"] for one in filters] == ["filter_time", "filter_select"]
    assert filters[1]["targets"][0]["datasetId"] in {
        dataset["id"] for dataset in superset.get(f"dashboard/{slug}/datasets")["result"]}


def test_importing_it_again_changes_nothing(superset, imported, tape):
    before = {one["uuid"] for one in superset.get("chart/?q=(page_size:100,columns:!(uuid,slice_name))")["result"]}
    superset.call(
        "POST", "assets/import/", data={
            "bundle": (io.BytesIO(imported.read_bytes()), "tapedeck.zip"),
            "passwords": json.dumps({"databases/tapedeck_postgresql.yaml": make_url(tape.reader_url).password}),
        }, content_type="multipart/form-data")
    after = {one["uuid"] for one in superset.get("chart/?q=(page_size:100,columns:!(uuid,slice_name))")["result"]}
    assert before == after
