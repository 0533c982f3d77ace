# SPDX-License-Identifier: Apache-2.0
"""Finnhub's trades, live: the built command, and a double of the service over TLS that has bad days."""
import io
import json
import pathlib
import shutil
import sqlite3
import ssl
import subprocess
import sys
import tempfile
import time

import confluent_kafka
import fastavro
import finnhub as finnhub_python
import pytest
import requests
import websockets.exceptions
import websockets.sync.client
from conftest import BINARY, ENVIRONMENT, ROOT, Up, run, wait_until
from doubles.finnhub import Finnhub, frame, trade
from faults import KAFKA_PROPERTIES, MockKafka
from test_tls import Certificates

TOKEN = "c0ffee/secret+token"
NOW = int(time.time() * 1000) - 60_000
SYMBOLS = ["AAPL", "BINANCE:BTCUSDT", "IC MARKETS:1"]


@pytest.fixture(scope="module")
def certificates():
    folder = tempfile.mkdtemp(prefix="tapedeck-finnhub-")
    made = Certificates(folder)
    made.leaf("local", "DNS:localhost", "IP:127.0.0.1")
    made.leaf("other", "DNS:other.test")
    yield made
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def service(certificates):
    double = Finnhub(certificates.path("local.pem"), certificates.path("local.key"), TOKEN)
    yield double
    double.stop()


def settings(service, certificates):
    return ENVIRONMENT | {
        "FINNHUB_API_TOKEN": TOKEN, "FINNHUB_STOCKS_TICKERS": json.dumps(SYMBOLS),
        "FINNHUB_WS_URL": service.url, "TAPEDECK_SOURCE_AUTHORITIES": certificates.path("ca.pem"),
        "TAPEDECK_SOURCE_RETRY_PAUSE": "20ms", "TAPEDECK_FINNHUB_SILENCE": "120s",
    }


class Feed(Up):
    """`tapedeck up --source finnhub`, with secrets in its environment alone."""

    def __init__(self, folder, environment, *arguments):
        self.given = environment
        super().__init__(folder, "--source", "finnhub", *arguments)

    def start(self):
        self.log = open(self.folder.parent / "up.log", "ab")
        self.process = subprocess.Popen(
            [str(BINARY), "up", "--data-dir", str(self.folder), "--listen", "127.0.0.1:0", *self.arguments],
            stdin=subprocess.DEVNULL, stdout=self.log, stderr=self.log, env=self.given, cwd=ROOT)
        wait_until(self.is_ready, 90, "tapedeck up to be ready", self)
        self.environment = dict(
            line.rstrip("\n").replace("'", "").split("=", 1) for line in open(self.folder / "connection.env"))
        self.url = "http://" + self.environment["TAPEDECK_LISTEN"]
        self.reader_url = self.environment["TAPEDECK_READER_URL"]

    def trades(self):
        return self.sql("select symbol, (extract(epoch from ts) * 1000)::bigint, price, size, conditions from trades "
                        "where source = 'finnhub' order by trade_id")

    def events(self, kind):
        return self.sql("select message, from_ts, to_ts from ops.source_events where source = 'finnhub' and kind = %s "
                        "order by run_id, sequence", kind)


# Frames with what recorded ones have, and the trades they hold, in their order.
FRAMES = [
    frame(trade("AAPL", 164.0601, NOW, 5, "1", "12"), trade("AAPL", 164, NOW - 3, 100)),
    # Alike in everything: three trades all the same.
    frame(*[trade("AAPL", 164.06, NOW + 1, 4, "1", "8", "12")] * 3),
    frame(trade("BINANCE:BTCUSDT", 71030, NOW + 2, 0.00042, c=None), trade("IC MARKETS:1", 1.08512, NOW + 2, 0)),
]
TRADES = [
    ("AAPL", NOW, 164.0601, 5.0, ["1", "12"]), ("AAPL", NOW - 3, 164.0, 100.0, []),
    *[("AAPL", NOW + 1, 164.06, 4.0, ["1", "8", "12"])] * 3,
    ("BINANCE:BTCUSDT", NOW + 2, 71030.0, 0.00042, []), ("IC MARKETS:1", NOW + 2, 1.08512, 0.0, []),
]


def wait_subscribed(service, up=None):
    wait_until(lambda: service.connection and sorted(service.subscribed) == sorted(SYMBOLS), 60, "the subscriptions", up)


def is_secret_kept(up):
    """Whether the key, in any spelling, is neither in what was printed, nor in the process's title, nor in the store."""
    spellings = [TOKEN, TOKEN.replace("/", "%2F").replace("+", "%2B"), "c0ffee"]
    title = pathlib.Path(f"/proc/{up.process.pid}/cmdline").read_bytes().decode()
    stored = json.dumps(up.sql("select coalesce(string_agg(message, ' '), '') from ops.source_events"))
    texts = [up.output(), title, stored, requests.get(up.url + "/metrics", timeout=10).text,
             requests.get(up.url + "/api/v1/sources", timeout=10).text]
    return not any(spelling in text for spelling in spellings for text in texts)


def test_the_double_is_what_independent_clients_take_for_finnhub(service, certificates, monkeypatch):
    context = ssl.create_default_context(cafile=certificates.path("ca.pem"))
    # The client reads and writes in two threads of one TLS object, which Python may not do while TLS 1.3 sends tickets.
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    quoted = requests.utils.quote(TOKEN, safe="")
    with websockets.sync.client.connect(f"{service.url}/?token={quoted}", ssl=context) as client:
        client.send('{"type":"subscribe","symbol":"AAPL"}')
        wait_until(lambda: service.subscribed == ["AAPL"], 10, "the subscription")
        service.send(FRAMES[0], FRAMES[2])
        assert [len(json.loads(client.recv(10))["data"]) for _ in range(2)] == [2, 0]
        # One connection for each key.
        with websockets.sync.client.connect(f"{service.url}/?token={quoted}", ssl=context) as second:
            with pytest.raises(websockets.exceptions.ConnectionClosed):
                second.recv(10)
        service.ping()
        assert json.loads(client.recv(10)) == {"type": "ping"}
    with pytest.raises(websockets.exceptions.InvalidStatus) as refused:
        websockets.sync.client.connect(f"{service.url}/?token=wrong", ssl=context)
    assert refused.value.response.status_code == 401

    monkeypatch.setenv("REQUESTS_CA_BUNDLE", certificates.path("ca.pem"))
    monkeypatch.setattr(finnhub_python.Client, "API_URL", service.rest_url)
    found = finnhub_python.Client(api_key=TOKEN).symbol_lookup("apple")
    assert [one["symbol"] for one in found["result"]] == ["AAPL", "APLE"]
    with pytest.raises(finnhub_python.FinnhubAPIException):
        finnhub_python.Client(api_key="wrong").symbol_lookup("apple")


def test_trades_come_whatever_the_service_does(folder, service, certificates):
    # Before it lets anybody in: busy, broken, somewhere else.
    service.refusals = [(503, {}, "down"), (302, {"Location": "wss://elsewhere.test/"}, ""), (429, {}, TOKEN)]
    up = Feed(folder, settings(service, certificates))
    try:
        wait_subscribed(service, up)
        service.send(*FRAMES)
        service.ping()
        service.send('{"type":"news","data":[{"headline":"x"}]}')
        wait_until(lambda: len(up.trades()) == len(TRADES), 60, "the trades", up)
        assert up.trades() == TRADES
        refused = [message for message, _, _ in up.events("error")]
        assert len(refused) == 3 and "503" in refused[0] and "302" in refused[1] and "429" in refused[2]
        assert up.events("gap") == []

        # Cut off: what was missed is a gap from the last frame to the next.
        service.closes = 2
        cut = service.connection
        service.cut()
        wait_until(lambda: service.closes == 0, 60, "two connections too many", up)
        wait_until(lambda: service.connection not in (cut, None), 60, "the connection after them", up)
        wait_subscribed(service, up)
        service.send_slowly(frame(trade("AAPL", 165, NOW + 10, 1)))
        wait_until(lambda: len(up.trades()) == len(TRADES) + 1, 60, "the trade after the cut", up)
        (_, begin, end), = up.events("gap")
        assert begin < end
        assert up.sql("select count(*) from ops.source_gaps where source = 'finnhub'") == [(1,)]

        # A remark about a symbol leaves the connection; one about too many connections does not.
        service.send('{"type":"error","msg":"Subscribing to too many symbols"}')
        before = service.handshakes
        service.send(json.dumps({"type": "error", "msg": f"Too many connections with {TOKEN}"}))
        wait_until(lambda: service.handshakes > before, 60, "another connection", up)
        wait_subscribed(service, up)

        # What cannot be read is kept with its reason, and what comes behind it is read.
        service.send("this is no JSON", '{"type":"trade","data":[{"s":"AAPL","p":1', frame(trade(None, 1, NOW, 1)))
        service.send(frame(trade("AAPL", 166, NOW + 20, 1)))
        wait_until(lambda: len(up.trades()) == len(TRADES) + 2, 60, "the trade after the garbage", up)
        wait_until(lambda: up.one("select count(*) from ops.rejected_records") == 3, 60, "three rejected records", up)
        assert up.sql("select reason, count(*) from ops.rejected_records group by 1 order by 1") == [
            ("malformed_line", 2), ("symbol_missing", 1)]
        before = service.handshakes
        service.close()
        wait_until(lambda: service.handshakes > before, 60, "another connection", up)
        wait_subscribed(service, up)
        service.ping()
        wait_until(lambda: len(up.events("gap")) == 3, 60, "a gap for each time that it was cut off", up)
        assert is_secret_kept(up)
        status, _ = up.stop()
        assert status == 0

        # A restart: the gap begins where the source had come to.
        up.start()
        wait_subscribed(service, up)
        service.send(frame(trade("AAPL", 167, NOW + 30, 1)))
        wait_until(lambda: len(up.trades()) == len(TRADES) + 3, 60, "the trade after the restart", up)
        assert len(up.events("gap")) == 4
    finally:
        up.close()


def test_a_connection_that_says_nothing_is_opened_again(folder, service, certificates):
    up = Feed(folder, settings(service, certificates) | {"TAPEDECK_FINNHUB_SILENCE": "3s"})
    try:
        wait_subscribed(service, up)
        service.send(FRAMES[0])
        before = service.handshakes
        wait_until(lambda: service.handshakes > before, 60, "another connection", up)
        wait_until(lambda: any("nothing has come for 3 s" in (message or "") for message, _, _ in
                               up.events("disconnected")), 60, "the reason", up)
    finally:
        up.close()


def ingest(folder, environment, *arguments):
    output = open(folder / "ingest.log", "ab")
    return subprocess.Popen(
        [str(BINARY), "ingest", "finnhub", "--data-dir", str(folder / "data"), *arguments],
        stdin=subprocess.DEVNULL, stdout=output, stderr=output, env=environment, cwd=folder)


def staged(kafka):
    """Times and prices of the trades in the log, by symbol in their order."""
    schema = fastavro.schema.load_schema(ROOT / "schemas/trades.staging.avsc")
    trades = {}
    for message in consume(kafka, "trades.staging"):
        record = fastavro.schemaless_reader(io.BytesIO(message[10:]), schema)
        trades.setdefault(record["symbol"], []).append((record["ts"], record["price"], record["trade_id"]))
    return trades


def consume(kafka, topic):
    consumer = confluent_kafka.Consumer({
        "bootstrap.servers": kafka.bootstraps, "group.id": "outside", "auto.offset.reset": "earliest",
        "fetch.wait.max.ms": 10})
    partitions = consumer.list_topics(topic, timeout=20).topics[topic].partitions
    consumer.assign([confluent_kafka.TopicPartition(topic, number, 0) for number in partitions])
    values = []
    quiet = 0
    while quiet < 10:
        messages = [message for message in consumer.consume(1000, 0.3) if not message.error()]
        values += [message.value() for message in messages]
        quiet = 0 if messages else quiet + 1
    consumer.close()
    return values


def spooled(folder):
    """Records that wait in the spool."""
    try:
        with sqlite3.connect(f"file:{folder}/data/spool/finnhub.sqlite?mode=ro", uri=True) as spool:
            return spool.execute("select coalesce(sum(records), 0) from appends").fetchone()[0]
    except sqlite3.OperationalError:
        return 0


def test_what_comes_while_the_log_is_away_reaches_it_in_order_over_sigkill(tmp_path, service, certificates):
    kafka = MockKafka(1)
    log = f"kafka://{kafka.bootstraps}?{KAFKA_PROPERTIES}&message.timeout.ms=2000"
    environment = settings(service, certificates) | {"TAPEDECK_EVENT_LOG": log}
    process = ingest(tmp_path, environment)
    try:
        wait_subscribed(service)
        service.send(frame(trade("AAPL", 1, NOW, 1)))
        wait_until(lambda: len(staged(kafka).get("AAPL", [])) == 1, 60, "the first trade in the log")
        kafka.command("down", "all")
        for number in range(2, 42):
            service.send(frame(trade("AAPL", number, NOW + number, 1), trade("IC MARKETS:1", number, NOW + number, 1)))
            time.sleep(0.02)
        wait_until(lambda: spooled(tmp_path) == 80, 60, "what is in the spool")
        process.kill()
        process.wait(30)
        kafka.command("up", "all")
        process = ingest(tmp_path, environment)
        wait_subscribed(service)
        service.send(frame(trade("AAPL", 42, NOW + 42, 1)))
        wait_until(lambda: spooled(tmp_path) == 0 and len(staged(kafka)["AAPL"]) >= 42, 90, "all trades in the log")
        trades = staged(kafka)
        # In a log without transactions a record may stand twice, and is one trade then: all of it is the same.
        for symbol, first in [("AAPL", 1), ("IC MARKETS:1", 2)]:
            once = list(dict.fromkeys(trades[symbol]))
            assert [price for _, price, _ in once] == [float(number) for number in range(first, first + len(once))]
            assert [identity for _, _, identity in once] == sorted({identity for _, _, identity in once})
        assert len(set(trades["AAPL"])) == 42 and len(set(trades["IC MARKETS:1"])) == 40
    finally:
        process.terminate()
        process.wait(30)
        kafka.stop()


def test_a_burst_waits_in_the_sockets_and_then_goes_on(tmp_path):
    """More at once than the source gathers before it is delivered, from a server that is never the slower one."""
    count = 300_000
    feed = subprocess.Popen(
        [sys.executable, ROOT / "Benchmarks/finnhub_feed.py", "--trades", str(count)], stdout=subprocess.PIPE)
    process = None
    try:
        url = f"ws://127.0.0.1:{int(feed.stdout.readline())}"
        process = ingest(tmp_path, ENVIRONMENT | {
            "FINNHUB_API_TOKEN": TOKEN, "FINNHUB_STOCKS_TICKERS": json.dumps(SYMBOLS), "FINNHUB_WS_URL": url})
        wait_until(lambda: staged_count(tmp_path) == count, 120, "the burst in the log")
    finally:
        if process:
            process.terminate()
            assert process.wait(30) == 0
        feed.kill()
        feed.wait(30)


def staged_count(folder):
    """Trades in the SQLite log."""
    try:
        with sqlite3.connect(f"file:{folder}/data/log/log.sqlite?mode=ro", uri=True) as log:
            return log.execute("select coalesce(sum(next_offset), 0) from partitions join topics on topics.id = topic_id "
                               "where topics.name = 'trades.staging'").fetchone()[0]
    except sqlite3.OperationalError:
        return 0


def test_nobody_else_is_taken_for_finnhub(tmp_path, certificates):
    impostor = Finnhub(certificates.path("other.pem"), certificates.path("other.key"), TOKEN)
    process = None
    try:
        process = ingest(tmp_path, settings(impostor, certificates))
        wait_until(lambda: "certificate" in (tmp_path / "ingest.log").read_text(), 60, "the refusal")
        assert impostor.handshakes == 0
    finally:
        if process:
            process.terminate()
            assert process.wait(30) == 0
        impostor.stop()


def test_what_only_a_person_can_mend_ends_it(tmp_path, service, certificates):
    environment = settings(service, certificates)
    wrong = environment | {"FINNHUB_API_TOKEN": "wrong-c0ffee"}
    result = run("ingest", "finnhub", "--data-dir", tmp_path, env=wrong, check=False, cwd=tmp_path)
    assert result.returncode == 1 and b"Check FINNHUB_API_TOKEN" in result.stderr
    assert b"wrong-c0ffee" not in result.stderr
    del environment["FINNHUB_API_TOKEN"]
    result = run("ingest", "finnhub", "--data-dir", tmp_path, env=environment, check=False, cwd=tmp_path)
    assert result.returncode != 0 and b"needs FINNHUB_API_TOKEN" in result.stderr
    (tmp_path / "credentials.ini").write_text(f"[FINNHUB]\nFINNHUB_TOKEN = {TOKEN}\n")
    (tmp_path / "tickers.csv").write_bytes(b"\xef\xbb\xbfname,ticker\r\nApple,AAPL\r\n\"Bitcoin, in dollars\",BINANCE:BTCUSDT\r\n")
    del environment["FINNHUB_STOCKS_TICKERS"]
    process = ingest(tmp_path, environment, "--finnhub-symbols-file", "tickers.csv")
    try:
        wait_until(lambda: service.subscribed == ["AAPL", "BINANCE:BTCUSDT"], 60, "the subscriptions of the file")
        # One process at a time, because a key has one connection.
        second = run("ingest", "finnhub", "--finnhub-symbols-file", "tickers.csv", "--data-dir", tmp_path / "data",
                     env=environment, check=False, cwd=tmp_path)
        assert second.returncode == 1 and b"another process uses the spool" in second.stderr
    finally:
        process.terminate()
        assert process.wait(30) == 0


def test_symbols_are_looked_up_before_they_are_asked_for(tmp_path, service, certificates):
    symbols = ["AAPL", "AAP", "BINANCE:BTCUSDT", "NOSUCH"]
    environment = settings(service, certificates) | {
        "FINNHUB_STOCKS_TICKERS": json.dumps(symbols), "FINNHUB_VALIDATE_TICKERS": "1",
        "TAPEDECK_FINNHUB_URL": service.rest_url}
    service.rest_refusals = [(503, {}, "down"), (200, {}, "<html>")]
    process = ingest(tmp_path, environment)
    try:
        wait_until(lambda: service.subscribed == ["AAPL", "BINANCE:BTCUSDT"], 60, "the subscriptions of what is known")
        assert service.searches == symbols
        log = (tmp_path / "ingest.log").read_text()
        assert "knows no symbol 'AAP', which is left out; it knows AAPL" in log and "no symbol 'NOSUCH'" in log
    finally:
        process.terminate()
        assert process.wait(30) == 0
    log = sqlite3.connect(f"file:{tmp_path}/data/log/log.sqlite?mode=ro", uri=True)
    try:
        assert b"knows no symbol 'NOSUCH'" in b"".join(row[0] for row in log.execute("select bytes from batches"))
    finally:
        log.close()

    # A search that does not work costs no trades.
    service.rest_refusals = [(403, {}, '{"error":"You don\'t have access to this resource."}')] * 3
    process = ingest(tmp_path, environment)
    try:
        wait_until(lambda: service.subscribed == symbols, 60, "all subscriptions")
        assert "subscribed to as they are: Finnhub's search: refused: You don't have access" in (
            tmp_path / "ingest.log").read_text()
    finally:
        process.terminate()
        assert process.wait(30) == 0

    # Nothing left is no source.
    nothing = run("ingest", "finnhub", "--data-dir", tmp_path / "data", check=False, cwd=tmp_path,
                  env=environment | {"FINNHUB_STOCKS_TICKERS": "NOSUCH"})
    assert nothing.returncode == 1 and b"knows none of the symbols" in nothing.stderr
    assert TOKEN not in (tmp_path / "ingest.log").read_text() + nothing.stderr.decode()


def test_symbols_are_found_by_a_phrase(tmp_path, service, certificates):
    environment = settings(service, certificates) | {"TAPEDECK_FINNHUB_URL": service.rest_url}
    found = run("symbols", "search", "apple", env=environment, cwd=tmp_path).stdout.decode()
    assert found == "AAPL  Common Stock  APPLE INC\nAPLE  REIT          APPLE HOSPITALITY REIT INC\n"
    found = run("symbols", "search", "--json", "apple", "hospitality", env=environment, cwd=tmp_path)
    assert json.loads(found.stdout) == [
        {"symbol": "APLE", "type": "REIT", "description": "APPLE HOSPITALITY REIT INC"}]
    assert service.searches == ["apple", "apple hospitality"]
    nothing = run("symbols", "search", "nosuch", env=environment, check=False, cwd=tmp_path)
    assert nothing.returncode == 1 and nothing.stdout == b""
    wrong = run("symbols", "search", "apple", env=environment | {"FINNHUB_API_TOKEN": "wrong-c0ffee"}, check=False,
                cwd=tmp_path)
    assert wrong.returncode == 1 and b"does not take the token" in wrong.stderr and b"c0ffee" not in wrong.stderr
    none = run("symbols", "search", "apple", env=ENVIRONMENT, check=False, cwd=tmp_path)
    assert none.returncode != 0 and b"the search needs FINNHUB_API_TOKEN" in none.stderr
