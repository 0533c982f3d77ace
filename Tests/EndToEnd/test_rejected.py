# SPDX-License-Identifier: Apache-2.0
"""What validation refused, as its readers find it: REST, status, the freshness of sources."""
import base64
import json

import psycopg
import requests
from conftest import run, wait_until

HEADER = "ts,symbol,price,size,trade_id\n"


def test_rejected_records_are_paged_filtered_and_carry_their_bytes(start, tmp_path):
    path = tmp_path / "bad.csv"
    path.write_bytes((HEADER + "1,A,10,1,1\n2,A,zero,1,2\n3,B,0,1,3\nlater,A,1,1,5\n6,A,1\n").encode() + b"7,A,\xff,1,1\n")
    up = start("--source", f"replay:{path}?speed=max")
    run("load", "--data-dir", up.folder, path)

    def rejected(**parameters):
        reply = requests.get(up.url + "/api/v1/rejected", params=parameters, timeout=30)
        assert reply.status_code == 200, reply.text
        return reply.json()

    everything = rejected()["rejected"]
    assert len(everything) == up.one("select count(*) from ops.rejected_records") >= 5
    pages, token = [], None
    while True:
        page = rejected(limit=2, **({"page_token": token} if token else {}))
        pages += page["rejected"]
        token = page["next_page_token"]
        if not token:
            break
        assert len(page["rejected"]) == 2
    assert pages == everything
    assert rejected(order="asc")["rejected"] == everything[::-1]
    assert {row["reason"] for row in rejected(reason="price_unreadable")["rejected"]} == {"price_unreadable"}
    assert all(row["topic"] == "trades.staging" for row in everything)
    assert rejected(topic="quotes.staging")["rejected"] == []
    assert rejected(**{"from": "now+1d"})["rejected"] == [] and len(rejected(**{"from": "now-1h"})["rejected"]) >= 5
    texts = [row["payload_text"] for row in everything if row["payload_text"]]
    assert "2,A,zero,1,2" in [text.strip() for text in texts]
    payloads = [base64.b64decode(row["payload_base64"]) for row in everything]
    binary = [row for row, payload in zip(everything, payloads) if b"\xff" in payload and b"7,A" in payload]
    assert binary and all(row["payload_text"] is None for row in binary)
    wrong = requests.get(up.url + "/api/v1/rejected", params={"reason": "bad luck"}, timeout=30)
    assert wrong.status_code == 400 and "price_not_positive" in wrong.text

    sources = requests.get(up.url + "/api/v1/sources", timeout=30).json()["sources"]
    assert [source["source"] for source in sources] == ["file"]
    assert sources[0]["events"] == 1 and sources[0]["silent_seconds"] >= 0
    assert (sources[0]["state"], sources[0]["gaps"], sources[0]["is_silent"]) == (None, [], False)
    with psycopg.connect(up.writer_url) as connection:
        connection.execute("""
            insert into ops.source_events (source, run_id, sequence, ts, kind, symbols, from_ts, to_ts, message, ingested_at)
            select 'file', 1, n, now(), kind, symbols, from_ts, to_ts, 'down', now() from (values
                (1, 'gap', array['A'], timestamptz '2024-01-02 10:00Z', timestamptz '2024-01-02 11:00Z'),
                (2, 'gap', array['B'], '2024-01-02 12:00Z', '2024-01-02 13:00Z'),
                (3, 'gap_filled', array['A'], '2024-01-02 10:00Z', '2024-01-02 11:00Z')) as e (n, kind, symbols, from_ts, to_ts)
            """)
        connection.execute("update ops.sources set state = 'disconnected', state_at = '2024-01-02 14:00Z', last_error = 'cut'")
    source, = requests.get(up.url + "/api/v1/sources", timeout=30).json()["sources"]
    assert (source["state"], source["state_at"], source["last_error"]) == ("disconnected", "2024-01-02T14:00:00Z", "cut")
    assert source["gaps"] == [
        {"from": "2024-01-02T14:00:00+00:00", "to": None, "symbols": [], "message": "cut"},
        {"from": "2024-01-02T12:00:00+00:00", "to": "2024-01-02T13:00:00+00:00", "symbols": ["B"], "message": "down"}]

    status = json.loads(run("status", "--data-dir", up.folder, "--json").stdout)
    assert status["lag"] == 0
    assert {(p["topic"], p["partition"]) for p in status["partitions"]} >= {("trades.staging", 0), ("posts.rejected", 3)}
    assert all(p["lag"] == 0 and p["end_offset"] == p["done_offset"] for p in status["partitions"])
    # It says so every five seconds.
    def said():
        processors = json.loads(run("status", "--data-dir", up.folder, "--json").stdout)["processors"]
        return processors and processors[0]["records"] >= 6 and processors[0]

    wait_until(said, 60, "the processor's word", up)
    processor = said()
    assert processor["transactions"] >= 1 and processor["records"] >= 6 and processor["retries"] == 0
    assert 1 <= processor["batch_records_median"] <= processor["batch_records_largest"]
    assert 0 < processor["commit_ms_median"] <= processor["commit_ms_p99"] <= processor["commit_ms_longest"]
    assert "commit" in run("status", "--data-dir", up.folder).stdout.decode()
    counts = {reject["reason"]: reject["count"] for reject in status["rejected"]}
    assert counts["price_not_positive"] == sum(row["reason"] == "price_not_positive" for row in everything)
