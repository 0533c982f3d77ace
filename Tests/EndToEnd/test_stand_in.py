# SPDX-License-Identifier: Apache-2.0
"""Sources that need no service: tapes as of now, and simulated markets."""
import json
import re
import threading
import time

import websocket
from conftest import run, wait_until
from test_up import WRONG_BARS


class FinnhubClient(threading.Thread):
    """The program of https://finnhub.io/docs/api/websocket-trades, but for its URL and symbols; keeps what it is told."""

    def __init__(self, up, symbols):
        super().__init__(daemon=True)
        self.trades, self.failures = [], []

        def on_message(ws, message):
            frame = json.loads(message)
            if frame["type"] == "trade":
                self.trades.extend(frame["data"])
            elif frame["type"] != "ping":
                self.failures.append(frame)

        def on_open(ws):
            for symbol in symbols:
                ws.send(json.dumps({"type": "subscribe", "symbol": symbol}))

        self.socket = websocket.WebSocketApp(
            up.url.replace("http://", "ws://") + "/api/v1/ws?token=c0ffee", on_message=on_message, on_open=on_open,
            on_error=lambda ws, error: self.failures.append(str(error)))
        self.start()

    def run(self):
        self.socket.run_forever()

    def close(self):
        self.socket.close()
        self.join(30)
        assert not self.is_alive()


def test_a_tape_in_a_loop_is_a_finnhub_for_its_clients(start, folder):
    tape = folder.parent / "tape.csv"
    # Ten trades of 2011, 30 ms apart, of two symbols.
    tape.write_text("ts,symbol,price,size\n" + "".join(
        f"{1_300_000_000_000 + index * 30},{'AAPL' if index % 2 == 0 else 'BINANCE:BTCUSDT'},{100 + index},{index + 1}\n"
        for index in range(10)))
    begun = time.time()
    up = start("--source", f"replay:{tape}?shift=now&loop=forever")
    client = FinnhubClient(up, ["AAPL"])
    # Several rounds, as they happen.
    wait_until(lambda: len(client.trades) >= 20, 90, "four rounds of AAPL's trades", up)
    told = list(client.trades)
    assert {trade["s"] for trade in told} == {"AAPL"} and not client.failures
    prices = [trade["p"] for trade in told]
    first = prices.index(100)
    assert prices[first:first + 10] == [100, 102, 104, 106, 108] * 2, "round after round, in the order of the tape"
    times = [trade["t"] / 1000 for trade in told]
    assert times == sorted(times) and begun - 1 <= times[0] and times[-1] <= time.time() + 1
    assert [trade["v"] for trade in told[first:first + 5]] == [1, 3, 5, 7, 9]

    # Stopped in one round and killed in another, it goes on where it was.
    client.close()
    up.stop()
    up.start()
    count = up.one("select count(*) from trades")
    wait_until(lambda: up.one("select count(*) from trades") > count + 10, 90, "more rounds", up)
    up.kill_everything()
    up.start()
    count = up.one("select count(*) from trades")
    wait_until(lambda: up.one("select count(*) from trades") > count + 10, 90, "more rounds", up)
    up.stop()
    up.arguments = ["--source", "replay:/dev/null"]
    up.start()
    wait_until(lambda: lag(up) == 0, 60, "the rest of the log", up)
    played = up.sql("select price, count(*), count(distinct trade_id) from trades group by price order by price")
    rounds = played[0][1]
    assert rounds > 6 and all(count == ids and rounds - 1 <= count <= rounds for _, count, ids in played)
    counts = [count for _, count, _ in played]
    assert counts == sorted(counts, reverse=True), "whole rounds, and the beginning of one"
    assert up.sql("select distinct source from trades") == [("replay",)]
    assert up.one(WRONG_BARS) == 0
    assert up.one("select sum(already_there) from ops.ingest_runs") == 0


def lag(up):
    """Records of the log that the store does not have yet."""
    return json.loads(run("status", "--json", "--data-dir", up.folder).stdout)["lag"]


def test_a_simulated_market_ends_in_right_tables_and_is_the_same_every_time(start, folder):
    spec = "simulate?rate=3000&symbols=12&seed=42&duration=3s"
    # Once into a log alone: how many trades it has.
    run("ingest", spec, "--data-dir", folder.parent / "alone")
    topics = run("topics", "--data-dir", folder.parent / "alone").stdout.decode()
    count = int(re.search(r"trades.staging +4 partitions +([0-9,]+) records", topics)[1].replace(",", ""))
    assert 4000 < count < 18000
    up = start("--source", spec)
    wait_until(lambda: up.one("select count(*) from trades") == count, 90, "the whole market", up)
    facts = "select symbol, price, size from trades order by trade_id"
    market = up.sql(facts)
    assert {symbol for symbol, _, _ in market} == {f"SIM:AA{letter}" for letter in "ABCDEFGHIJKL"}
    assert up.one(WRONG_BARS) == 0
    assert up.one("select count(*) from ops.rejected_records") == 0
    assert up.sql("select source, count(*) from trades group by 1") == [("simulate", count)]
    # A longer one goes on with the same market.
    up.stop()
    up.arguments = ["--source", spec.replace("3s", "4s")]
    up.start()
    wait_until(lambda: up.one("select count(*) from trades") > count, 60, "the fourth second", up)
    assert up.sql(facts)[:count] == market
