# SPDX-License-Identifier: Apache-2.0
"""What is counted, as Prometheus' own parser reads it."""
import socket
import subprocess

import requests
from conftest import BINARY, ENVIRONMENT, ROOT, SAMPLE, run, wait_until
from prometheus_client.parser import text_string_to_metric_families


def scrape(url):
    """Samples by (name, labels), after what every scrape must keep is checked."""
    reply = requests.get(url + "/metrics", timeout=30)
    assert reply.status_code == 200
    assert reply.headers["Content-Type"] == "text/plain; version=0.0.4; charset=utf-8"
    samples = {}
    for family in text_string_to_metric_families(reply.text):
        assert family.documentation and family.type in ("counter", "gauge", "histogram"), family.name
        for sample in family.samples:
            key = (sample.name, frozenset(sample.labels.items()))
            assert key not in samples, f"{key} twice"
            samples[key] = sample.value
        if family.type == "histogram":
            check_histogram(family)
    return samples


def check_histogram(family):
    series = {}
    for sample in family.samples:
        labels = frozenset((name, value) for name, value in sample.labels.items() if name != "le")
        series.setdefault(labels, []).append(sample)
    for samples in series.values():
        buckets = [(float(s.labels["le"]), s.value) for s in samples if s.name.endswith("_bucket")]
        assert buckets == sorted(buckets) and [count for _, count in buckets] == sorted(count for _, count in buckets)
        count, = [s.value for s in samples if s.name.endswith("_count")]
        assert buckets[-1] == (float("inf"), count)
        assert len([s for s in samples if s.name.endswith("_sum")]) == 1


def value(samples, name, **labels):
    return samples.get((name, frozenset(labels.items())))


def test_up_counts_requests_and_records(start, tmp_path):
    tape = tmp_path / "poison.csv"
    tape.write_text("ts,symbol,price,size\n1,A,0,1\n2,A,1,-1\n3,A,x,1\n")
    up = start("--source", f"replay:{SAMPLE}?speed=max", "--source", f"replay:{tape}?speed=max")
    wait_until(lambda: up.one("select count(*) from trades") == 15948, 90, "the sample tape", up)
    wait_until(lambda: up.one("select count(*) from ops.rejected_records") == 3, 90, "the rejected", up)
    before = scrape(up.url)
    for _ in range(3):
        assert requests.get(up.url + "/api/v1/latest?symbol=COINBASE:BTC-USD", timeout=30).ok
    requests.get(up.url + '/no"such\\path', timeout=30)
    requests.get(up.url + "/api/v1/bars?symbol=A&nonsense=1", timeout=30)
    after = scrape(up.url)

    def grown(name, **labels):
        return value(after, name, **labels) - (value(before, name, **labels) or 0)

    latest = {"route": "/api/v1/latest"}
    assert grown("tapedeck_http_requests_total", **latest, method="get", status="200", outcome="completed") == 3
    assert grown("tapedeck_http_request_duration_seconds_count", **latest) == 3
    assert grown("tapedeck_http_response_bytes_total", **latest) > 300
    assert grown("tapedeck_http_requests_total", route="other", method="get", status="404", outcome="completed") == 1
    assert grown(
        "tapedeck_http_requests_total", route="/api/v1/bars", method="get", status="400", outcome="completed") == 1
    # Each alone in its batch, as one came after the other; with any of them the store's state may be asked for.
    assert 3 <= grown("tapedeck_pool_events_total", pool="rest", event="checkout") <= 6
    assert 3 <= grown("tapedeck_admissions_total", lane="lookups", outcome="batched") <= 6
    assert value(after, "tapedeck_http_connections") >= 1

    def settled():
        samples = scrape(up.url)
        counts = [
            value(samples, "tapedeck_records_total", topic="trades.staging", outcome="valid"),
            value(samples, "tapedeck_records_total", topic="trades.staging", outcome="rejected"),
            value(samples, "tapedeck_records_total", topic="trades", outcome="stored"),
            value(samples, "tapedeck_records_total", topic="trades.rejected", outcome="kept"),
            value(samples, "tapedeck_rejected_records_total", reason="price_not_positive"),
            value(samples, "tapedeck_ingested_records_total"), value(samples, "tapedeck_lag_records"),
            value(samples, "tapedeck_store_up"), value(samples, "tapedeck_source_events_total", source="file"),
        ]
        return counts == [15948, 3, 15948, 3, 1, 15951, 0, 1, 15948]

    wait_until(settled, 60, "the counts", up)
    samples = scrape(up.url)
    assert value(samples, "tapedeck_lag_seconds") == 0
    assert value(samples, "tapedeck_sink_transaction_seconds_count", sink="trades") >= 1
    assert value(samples, "tapedeck_sink_step_seconds_count", step="trades") >= 1
    assert value(samples, "tapedeck_partition_lag_records", topic="trades.staging", partition="0") == 0
    assert value(samples, "tapedeck_partition_lag_records", topic="posts", partition="3") == 0
    # Staged, validated.
    assert value(samples, "tapedeck_log_appended_records_total") == 2 * 15951
    assert value(samples, "tapedeck_log_appends_total") > 1 and value(samples, "tapedeck_log_append_failures_total") == 0
    assert value(samples, "process_resident_memory_bytes") > 1e6
    last, = up.sql("select extract(epoch from max(ts))::float8 from trades")[0]
    assert value(samples, "tapedeck_source_last_event_timestamp_seconds", source="file") == last


def test_process_and_ingest_serve_metrics_of_their_own(start, tmp_path):
    """`serve`, `process` and `ingest` each on their own, as on three machines."""
    up = start("--source", f"replay:{SAMPLE}?speed=max")
    log = tmp_path / "log"
    ports = []
    for _ in range(2):
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            ports.append(free.getsockname()[1])
    environment = ENVIRONMENT | {
        "TAPEDECK_DATABASE_URL": up.writer_url, "TAPEDECK_EVENT_LOG": f"sqlite:{log}", "TAPEDECK_LOG_FORMAT": "json"}
    errors = open(tmp_path / "errors", "wb")
    roles = [
        subprocess.Popen(
            [str(BINARY), *role, "--metrics-listen", f"127.0.0.1:{port}"], env=environment, cwd=ROOT, stderr=errors)
        for role, port in [(["process"], ports[0]), (["ingest", f"replay:{SAMPLE}?speed=60"], ports[1])]]
    try:
        urls = [f"http://127.0.0.1:{port}" for port in ports]

        def answers(url):
            try:
                return requests.get(url + "/ready", timeout=5).status_code == 200
            except requests.ConnectionError:
                return False

        for url in urls:
            wait_until(lambda: answers(url), 60, f"{url}/ready", up)
            assert requests.get(url + "/live", timeout=5).json() == {"status": "ok"}
            assert requests.get(url + "/nowhere", timeout=5).status_code == 404
            assert requests.post(url + "/metrics", timeout=5).status_code == 405
        wait_until(lambda: (value(scrape(urls[1]), "tapedeck_ingested_records_total") or 0) > 0, 60, "records", up)
        wait_until(
            lambda: (value(scrape(urls[0]), "tapedeck_records_total", topic="trades", outcome="already_there") or 0)
            + (value(scrape(urls[0]), "tapedeck_records_total", topic="trades", outcome="stored") or 0) > 0,
            60, "the processor's counts", up)
    finally:
        for role in roles:
            role.terminate()
        assert [role.wait(30) for role in roles] == [0, 0]
        errors.close()
    # Every line that the roles wrote is an object that names its level and its time.
    import json
    lines = (tmp_path / "errors").read_text().splitlines()
    assert lines
    for line in lines:
        entry = json.loads(line)
        assert {"ts", "level", "logger", "message"} <= set(entry), line


def test_a_metrics_address_that_is_taken_is_an_error(folder):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        result = run(
            "ingest", f"replay:{SAMPLE}", "--data-dir", folder, "--metrics-listen", f"127.0.0.1:{port}", check=False)
    assert result.returncode != 0 and str(port) in result.stderr.decode()
