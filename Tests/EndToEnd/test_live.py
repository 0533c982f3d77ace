# SPDX-License-Identifier: Apache-2.0
"""The live tape with real clients: server-sent events, and Finnhub's own frames."""
import json
import os
import signal
import threading

import psycopg
import pytest
import requests
import sseclient
import websocket
from conftest import postgres_pids, run, wait_until


def tape(folder, name, rows):
    """A file of trades: (symbol, seconds, price, size), each at its own moment."""
    path = folder.parent / f"{name}.csv"
    path.write_text("ts,symbol,price,size\n" + "".join(
        f"{1_700_000_000_000_000 + round(seconds * 1e6)},{symbol},{price},{size}\n"
        for symbol, seconds, price, size in rows))
    return path


def load(up, path):
    run("load", path, "--data-dir", up.folder)


class Stream(threading.Thread):
    """A subscriber that keeps what it is told."""

    def __init__(self, up, query, last_event_id=None):
        super().__init__(daemon=True)
        headers = {"Last-Event-ID": last_event_id} if last_event_id else {}
        self.reply = requests.get(f"{up.url}/api/v1/stream?{query}", headers=headers, stream=True, timeout=60)
        assert self.reply.status_code == 200, self.reply.text
        self.events = []
        self.start()
        wait_until(lambda: self.events, 30, "the first event", up)
        assert self.events[0].event == "ready"

    def run(self):
        try:
            for event in sseclient.SSEClient(self.reply).events():
                self.events.append(event)
        except (requests.ConnectionError, requests.exceptions.ChunkedEncodingError, AttributeError):
            # Cut off; urllib3 reads on from a closed connection by an AttributeError.
            pass

    def named(self, name):
        return [event for event in list(self.events) if event.event == name]

    def trades(self):
        return [json.loads(event.data) for event in self.named("trade")]

    def wait(self, name, count, up):
        wait_until(lambda: len(self.named(name)) >= count, 60, f"{count} events {name}", up)


def position(event):
    return int(event.id.split("-")[1])


def test_a_client_of_finnhub_works_when_its_url_is_changed(start):
    up = start("--source", "replay:/dev/null")
    messages, opened = [], threading.Event()

    # The program of https://finnhub.io/docs/api/websocket-trades, but for its URL.
    def on_message(ws, message):
        messages.append(json.loads(message))

    def on_error(ws, error):
        messages.append({"failure": str(error)})

    def on_open(ws):
        ws.send('{"type":"subscribe","symbol":"AAPL"}')
        ws.send('{"type":"subscribe","symbol":"BINANCE:BTCUSDT"}')
        # Some libraries send bytes.
        ws.send(b'{"type":"subscribe","symbol":"IC MARKETS:1"}', websocket.ABNF.OPCODE_BINARY)
        ws.send('{"type":"subscribe","symbol":"MSFT"}')
        ws.send('{"type":"unsubscribe","symbol":"MSFT"}')
        ws.send('{"type":"nonsense"}')
        opened.set()

    ws = websocket.WebSocketApp(
        up.url.replace("http://", "ws://") + "/api/v1/ws?token=c0ffee", on_message=on_message, on_error=on_error,
        on_open=on_open)
    thread = threading.Thread(target=ws.run_forever, daemon=True)
    thread.start()
    assert opened.wait(30)
    # The answer to the last message tells that those before it have been obeyed.
    wait_until(lambda: messages, 30, "the answer to nonsense", up)
    assert messages.pop()["type"] == "error"
    rows = [("AAPL", 0, 185.64, 100), ("AAPL", 0, 185.64, 100), ("MSFT", 0.001, 370, 1),
            ("BINANCE:BTCUSDT", 0.002, 43000.5, 0.0012), ("IC MARKETS:1", 0.003, 1.1, 0)]
    load(up, tape(up.folder, "trades", rows))

    def told():
        return [trade for message in list(messages) if message.get("type") == "trade" for trade in message["data"]]

    wait_until(lambda: len(told()) >= 4, 60, "the trades", up)
    expected = [{"s": symbol, "p": price, "v": size, "t": 1_700_000_000_000 + round(seconds * 1000), "c": None}
                for symbol, seconds, price, size in rows if symbol != "MSFT"]
    key = lambda trade: (trade["s"], trade["t"], trade["p"])
    assert sorted(told(), key=key) == sorted(expected, key=key)
    assert [message for message in messages if message.get("type") != "trade"] == []
    ws.close()
    thread.join(30)
    assert not thread.is_alive()
    status, _ = up.stop()
    assert status == 0, up.output()


def test_a_stream_tells_what_is_committed_once_and_bars_when_they_are_over(start):
    up = start("--source", "replay:/dev/null")
    some = Stream(up, "symbols=A,C&timeframe=1s&bars=closed")
    everything = Stream(up, "channels=trades")
    rows = [(symbol, second + index / 10, 100 + second, 1)
            for second in range(5) for index, symbol in enumerate("ABCD")]
    load(up, tape(up.folder, "first", rows))
    everything.wait("trade", 20, up)
    some.wait("trade", 10, up)
    # The last bars end in silence: nothing comes after them.
    some.wait("bar", 10, up)
    stored = up.sql("select symbol, price, size, trade_id::text from trades order by symbol, ts")
    told = sorted(everything.trades(), key=lambda trade: (trade["symbol"], trade["ts"]))
    assert [(t["symbol"], t["price"], t["size"], t["trade_id"]) for t in told] == stored
    positions = [position(event) for event in everything.named("trade")]
    assert positions == list(range(positions[0], positions[0] + 20))
    assert {trade["symbol"] for trade in some.trades()} == {"A", "C"}
    bars = [json.loads(event.data) for event in some.named("bar")]
    assert all(bar["closed"] and bar["timeframe"] == "1s" and bar["trade_count"] == 1 for bar in bars)
    assert sorted((bar["symbol"], bar["close"]) for bar in bars) == [
        (symbol, price) for symbol in "AC" for price in range(100, 105)]
    # The same tape again adds nothing, and tells nothing.
    load(up, tape(up.folder, "first", rows))
    load(up, tape(up.folder, "second", [("A", 60, 1, 1)]))
    some.wait("trade", 11, up)
    assert len(everything.named("trade")) in (20, 21)
    status, seconds = up.stop()
    assert status == 0 and seconds < 10, up.output()
    some.join(30)
    assert not some.is_alive(), "a server that stops ends its streams"


def test_bars_that_ended_meanwhile_are_told_to_who_comes_back_and_to_who_comes_late(start):
    up = start("--source", "replay:/dev/null")

    def closed(stream):
        bars = [json.loads(event.data) for event in stream.named("bar")]
        assert all(bar["closed"] for bar in bars)
        return sorted((bar["symbol"], bar["close"]) for bar in bars)

    first = Stream(up, "symbols=A,B&timeframe=5s&bars=closed")
    load(up, tape(up.folder, "first", [("A", 0, 1, 1)]))
    load(up, tape(up.folder, "second", [("B", 0.5, 2, 1)]))
    first.wait("trade", 2, up)
    place = first.named("trade")[-1].id
    told = closed(first)
    first.reply.close()
    # Nobody has wanted bars of C when its only trade comes.
    load(up, tape(up.folder, "third", [("C", 0, 3, 1)]))
    late = Stream(up, "symbols=C&channels=bars&timeframe=5s&bars=closed")
    late.wait("bar", 1, up)
    assert closed(late) == [("C", 3)]
    again = Stream(up, "symbols=A,B&timeframe=5s&bars=closed", last_event_id=place)
    again.wait("bar", 2 - len(told), up)
    assert set(closed(again)) | set(told) == {("A", 1), ("B", 2)}
    assert not again.trades() and not again.named("missed")


def test_nothing_is_lost_when_the_server_restarts_between(start):
    up = start("--source", "replay:/dev/null")
    before = Stream(up, "symbols=A&channels=trades")
    load(up, tape(up.folder, "first", [("A", second, second + 1, 1) for second in range(10)]))
    before.wait("trade", 10, up)
    place = before.named("trade")[6].id
    up.stop()
    up.start()
    # Committed while nobody of this server's was watching.
    load(up, tape(up.folder, "second", [("A", 100 + second, second + 1, 1) for second in range(10)]))
    after = Stream(up, "symbols=A&channels=trades", last_event_id=place)
    after.wait("trade", 13, up)
    assert [trade["price"] for trade in after.trades()] == [8, 9, 10] + list(range(1, 11))
    assert not after.named("missed")


def test_subscribers_survive_the_death_of_postgresql(start):
    up = start("--source", "replay:/dev/null")
    stream = Stream(up, "channels=trades")
    load(up, tape(up.folder, "first", [("A", second, second + 1, 1) for second in range(10)]))
    stream.wait("trade", 10, up)
    for round in range(2):
        postmaster = postgres_pids(up.folder)[0]
        for pid in postgres_pids(up.folder):
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
        wait_until(lambda: postgres_pids(up.folder) and postgres_pids(up.folder)[0] != postmaster, 60,
                   "PostgreSQL to start again", up)
        load(up, tape(up.folder, f"round{round}",
                      [("A", 1000 * (round + 1) + second, second + 1, 1) for second in range(10)]))
    stream.wait("trade", 30, up)
    positions = [position(event) for event in stream.named("trade")]
    assert positions == list(range(positions[0], positions[0] + 30))
    assert not stream.named("missed")

    # As after the promotion of a replica that lacks the last transaction: its positions are given to other trades.
    with psycopg.connect(up.writer_url) as store:
        store.execute("delete from ops.live_batches where position > %s", [positions[-1] - 10])
        store.execute("update ops.live_head set position = %s", [positions[-1] - 10])
        [feed] = store.execute("select pid from pg_stat_activity where application_name = 'tapedeck live'").fetchone()
    os.kill(feed, signal.SIGTERM)
    load(up, tape(up.folder, "anew", [("A", 9000 + second, 77, 1) for second in range(12)]))
    stream.wait("trade", 42, up)
    [missed] = stream.named("missed")
    assert json.loads(missed.data)["reason"] == "other_tape"
    anew = stream.named("trade")[30:]
    assert [position(event) for event in anew] == [positions[-1] - 9 + number for number in range(12)]
    assert {json.loads(event.data)["price"] for event in anew} == {77}


def test_metrics_tell_of_the_live_tape(start):
    up = start("--source", "replay:/dev/null")
    stream = Stream(up, "channels=trades")
    load(up, tape(up.folder, "first", [("A", second, 1, 1) for second in range(5)]))
    stream.wait("trade", 5, up)
    text = requests.get(up.url + "/metrics", timeout=30).text
    assert 'tapedeck_live_subscribers{kind="stream"} 1' in text
    assert "tapedeck_live_connected 1" in text and "tapedeck_live_trades_total 5" in text
    stream.reply.close()
    wait_until(lambda: 'tapedeck_live_subscribers{kind="stream"} 0'
               in requests.get(up.url + "/metrics", timeout=30).text, 60, "the subscriber to be gone", up)


@pytest.mark.parametrize("query", ["symbol=", "channels=quotes", "timeframe=7m", "last_event_id=nonsense", "chanel=bars"])
def test_what_cannot_be_asked_for_is_refused_with_a_reason(played, query):
    reply = requests.get(f"{played.url}/api/v1/stream?{query}", timeout=30)
    assert reply.status_code == 400 and reply.json()["message"] and reply.reason == reply.json()["message"]


def test_a_subscriber_may_say_little_at_once(played):
    def answer(*frames):
        ws = websocket.create_connection(played.url.replace("http://", "ws://") + "/api/v1/ws", timeout=30)
        try:
            for opcode, data, final in frames:
                ws.send_frame(websocket.ABNF.create_frame(data, opcode, int(final)))
            kind, data = ws.recv_data()
            return int.from_bytes(data[:2], "big") if kind == websocket.ABNF.OPCODE_CLOSE else json.loads(data)["type"]
        finally:
            ws.shutdown()

    text, more = websocket.ABNF.OPCODE_TEXT, websocket.ABNF.OPCODE_CONT

    def fragments(count):
        return [(more if index else text, "x", index == count - 1) for index in range(count)]

    for size, said in [(16_383, "error"), (16_384, "error"), (16_385, 1009)]:
        assert answer((text, "x" * size, True)) == said, size
    assert answer((text, "x" * 16_000, False), (more, "x" * 385, True)) == 1009
    for count, said in [(15, "error"), (16, "error"), (17, 1008)]:
        assert answer(*fragments(count)) == said, count
