# SPDX-License-Identifier: Apache-2.0
"""Tags of ranges that ended long ago: the same all day long, another when something old changes."""
import time

import requests
from conftest import run

SETTLED = [
    "/api/v1/trades?symbol=A&from=2023-11-14&to=2023-11-15", "/api/v1/bars?symbol=A&timeframe=1h&to=2023-11-15",
    "/api/v1/bars?timeframe=1w&to=2023-11-20&format=csv", "/api/v1/indicators?symbol=A&timeframe=1m&to=2023-11-15",
    "/api/v1/quotes?to=2023-11-15",
]
OPEN = ["/api/v1/trades?symbol=A", "/api/v1/bars?symbol=A&timeframe=1d", "/api/v1/latest"]
OLD = 1_700_000_000


def load(up, name, *trades):
    """Plays trades, (seconds, price), to the store."""
    path = up.folder.parent / f"{name}.csv"
    path.write_text("ts,symbol,price,size\n" + "".join(f"{round(ts * 1e6)},A,{price},1\n" for ts, price in trades))
    run("load", path, "--data-dir", up.folder)


def fetched(up, paths):
    """Replies as they are now: nothing that a server still has in mind is older than this question."""
    def get(path, **headers):
        reply = requests.get(up.url + path, headers=headers, timeout=30)
        assert reply.status_code == 200, reply.text
        return reply

    # A state is good for 100 ms; each event loop has its own.
    time.sleep(0.2)
    return {path: get(path) for path in paths}


def changed(up, known):
    """Which of some replies a client that has a copy is sent anew."""
    time.sleep(0.2)
    sent = set()
    for path, copy in known.items():
        reply = requests.get(up.url + path, headers={"If-None-Match": copy.headers["ETag"]}, timeout=30)
        assert reply.status_code in (200, 304), reply.text
        if reply.status_code == 200:
            assert reply.headers["ETag"] != copy.headers["ETag"]
            sent.add(path)
        else:
            assert reply.headers["ETag"] == copy.headers["ETag"]
    return sent


def test_the_tag_of_a_settled_range_stays_until_something_old_changes(start):
    up = start("--source", "replay:/dev/null")
    load(up, "old", (OLD, 7), (OLD + 1, 8))
    settled, moving = fetched(up, SETTLED), fetched(up, OPEN)
    for path, reply in settled.items():
        assert reply.headers["Cache-Control"] == "private, max-age=60, immutable", path
    assert settled[SETTLED[0]].json()["trades"][-1]["price"] == 8

    # The day goes on.
    for second in range(3):
        load(up, f"now{second}", (time.time() - 10 + second, 100 + second))
    assert changed(up, settled) == set() and changed(up, moving) == set(OPEN)

    # What was there already changes nothing, what was not does.
    load(up, "old", (OLD, 7), (OLD + 1, 8))
    assert changed(up, settled) == set()
    load(up, "late", (OLD + 2, 9))
    assert changed(up, settled) == set(SETTLED)
    settled = fetched(up, SETTLED)
    assert settled[SETTLED[0]].json()["trades"][-1]["price"] == 9

    # A restart does not, nor does a retention that keeps all there is; one that does not, does.
    up.stop()
    up.start()
    assert changed(up, settled) == set()
    up.stop()
    up.arguments += ["--trade-retention", "365d"]
    up.start()
    wait = time.monotonic() + 60
    while requests.get(up.url + SETTLED[0], timeout=30).json()["trades"] and time.monotonic() < wait:
        time.sleep(0.05)
    assert changed(up, settled) == set(SETTLED)
    assert fetched(up, SETTLED)[SETTLED[0]].json()["trades"] == []
