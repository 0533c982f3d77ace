# SPDX-License-Identifier: Apache-2.0
"""docs/beyond-one-machine.md, with its own settings: three `process` and two `serve` on one Kafka and one PostgreSQL with a
replica. One after the other dies: a processor, the replica, the primary. What the file says is in the store, once."""
import collections
import csv
import gzip
import json
import re
import subprocess
import threading

import pytest
import requests
import sseclient
from conftest import BINARY, ENVIRONMENT, ROOT, SAMPLE, run, wait_until
from faults import KAFKA_PROPERTIES, MockKafka
from postgres_server import PostgresServer
from test_up import WRONG_BARS


def settings(kafka, db1, db2):
    """The page's settings, with the addresses of the test's own servers."""
    page = (ROOT / "docs/beyond-one-machine.md").read_text()
    lines = re.search(r"```ini\n(.*?)```", page, re.DOTALL)[1]
    said = dict(line.split("=", 1) for line in lines.splitlines())
    assert "db2,db1" in said["TAPEDECK_READER_URL"] and "db1,db2" in said["TAPEDECK_DATABASE_URL"]
    for name in ("TAPEDECK_READER_URL", "TAPEDECK_DATABASE_URL"):
        said[name] = said[name].replace("db1", f"127.0.0.1:{db1.port}").replace("db2", f"127.0.0.1:{db2.port}")
    said["TAPEDECK_EVENT_LOG"] = f"kafka://{kafka.bootstraps}?{KAFKA_PROPERTIES}"
    said |= {"TAPEDECK_LISTEN": "127.0.0.1:0", "TAPEDECK_REQUIRE_KEYS": "off", "TAPEDECK_SENTIMENT": "off"}
    return ENVIRONMENT | said


class Machine:
    """One role, as on a machine of its own."""

    def __init__(self, environment, folder, number, *arguments):
        self.log = folder / f"{arguments[0]}-{number}.log"
        with open(self.log, "wb") as log:
            self.process = subprocess.Popen(
                [str(BINARY), *arguments], env=environment, cwd=folder, stdin=subprocess.DEVNULL, stdout=log, stderr=log)

    def output(self):
        return f"{self.log}:\n{self.log.read_text()}"

    def kill(self):
        self.process.kill()
        self.process.wait(30)


class Server(Machine):
    """A `serve`, and a subscriber of it who keeps each trade that he is told."""

    def __init__(self, *arguments):
        super().__init__(*arguments)
        wait_until(lambda: "listening on" in self.log.read_text(), 60, "a server", self)
        self.url = self.log.read_text().split("listening on ")[1].split()[0]
        # Lists of trades: a new one begins where the history of another server of the store leaves what was told.
        self.told, self.ready = [[]], threading.Event()
        threading.Thread(target=self.listen, daemon=True).start()
        assert self.ready.wait(60), self.output()

    def listen(self):
        reply = requests.get(self.url + "/api/v1/stream?channels=trades", stream=True, timeout=120)
        self.ready.set()
        try:
            for event in sseclient.SSEClient(reply).events():
                said = json.loads(event.data)
                if event.event == "trade":
                    self.told[-1].append((said["symbol"], said["ts"], said["trade_id"]))
                elif event.event == "missed":
                    assert said["reason"] == "other_tape", said
                    self.told.append([])
        except (requests.ConnectionError, requests.exceptions.ChunkedEncodingError, AttributeError):
            pass

    def ask(self, statement):
        """The rows of a statement; none while there is nobody to answer it."""
        reply = requests.post(self.url + "/api/v1/sql?format=json", data=statement, timeout=60)
        if reply.status_code == 503:
            return []
        assert reply.status_code == 200, reply.text
        return reply.json()["rows"]

    def wait_for(self, statement, rows):
        wait_until(lambda: self.ask(statement) == rows, 120, f"{rows} of {statement}", self)


@pytest.fixture
def databases():
    """The primary, and where its replica will be."""
    made = [PostgresServer().make(), PostgresServer()]
    yield made
    for server in made:
        server.close()


@pytest.fixture
def machines(databases, tmp_path):
    """Starts roles; they end with the test."""
    kafka = MockKafka()
    environment = settings(kafka, *databases)
    # The mock knows no request to create a topic; unasked it would give each four partitions.
    for schema in (ROOT / "schemas").glob("*.staging.avsc"):
        for topic in (schema.stem, schema.stem.removesuffix(".staging"), schema.stem.replace(".staging", ".rejected")):
            kafka.command("topic", topic, environment["TAPEDECK_PARTITIONS"], 3)
    started = []

    def start(*arguments):
        kind = Server if arguments == ("serve",) else Machine
        started.append(kind(environment, tmp_path, len(started), *arguments))
        return started[-1]

    start.environment = environment
    yield start
    for machine in started:
        machine.kill()
    # It would wait for connections that nobody closed.
    kafka.process.kill()
    kafka.stop()


@pytest.fixture
def thirds(tmp_path):
    """The sample tape in three files, and how many trades and what volume each symbol has."""
    with gzip.open(SAMPLE, "rt") as tape:
        header, *lines = tape.read().splitlines()
    truth = collections.defaultdict(lambda: [0, 0.0])
    for row in csv.DictReader([header, *lines]):
        truth[row["symbol"]][0] += 1
        truth[row["symbol"]][1] += float(row["size"])
    parts = []
    for number, rows in enumerate([lines[:13000], lines[13000:14500], lines[14500:]]):
        parts.append((tmp_path / f"part-{number}.csv", len(rows)))
        parts[-1][0].write_text("\n".join([header, *rows]) + "\n")
    return parts, truth


COUNT = "select count(*) from trades"


def test_a_tape_survives_the_loss_of_a_processor_of_the_replica_and_of_the_primary(databases, machines, thirds):
    primary, replica = databases
    (first, second, third), truth = thirds
    run("migrate", env=machines.environment)
    run("topics", env=machines.environment)
    replica.copy_of(primary, "--write-recovery-conf").start()
    servers = [machines("serve"), machines("serve")]
    for server in servers:
        server.wait_for("select pg_is_in_recovery()", [[True]])

    def shares(store):
        """How many partitions each processor has."""
        return dict(store.rows("select owner, count(*) from ops.log_offsets where topic = 'trades' group by owner"))

    processors = [machines("process") for _ in range(3)]
    wait_until(lambda: sorted(shares(primary).values()) == [2, 2, 2], 120, "two partitions for each", processors[0])
    run("ingest", f"replay:{first[0]}?speed=max", env=machines.environment)
    for server in servers:
        server.wait_for(COUNT, [[first[1]]])

    def status():
        return json.loads(run("status", "--json", env=machines.environment).stdout)

    # What is forwarded is committed a moment after it is in the store.
    wait_until(lambda: status()["lag"] == 0, 60, "nothing to be left", processors[0])
    assert len(status()["processors"]) == 3

    # A processor dies in the middle of its work: the others take its partitions, and go on where it was.
    ingest = machines("ingest", f"replay:{second[0]}?max_pause=1ms")
    wait_until(lambda: primary.one(COUNT) > first[1] + 100, 60, "the second part to begin", ingest)
    lost = processors.pop(0)
    lost.kill()
    wait_until(lambda: sorted(shares(primary).values()) == [3, 3], 120, "three partitions for each", processors[0])
    assert not any(owner.endswith(f":{lost.process.pid}") for owner in shares(primary))
    stored = first[1] + second[1]
    for server in servers:
        server.wait_for(COUNT, [[stored]])
    assert ingest.process.wait(60) == 0, ingest.output()

    # The replica dies: both servers answer from the primary. It comes back, and follows.
    replica.stop("immediate")
    for server in servers:
        server.wait_for("select pg_is_in_recovery(), count(*) from trades", [[False, stored]])
    replica.start()

    # The primary dies in the middle of the work, and the replica is promoted: what it had not received yet, the log has.
    ingest = machines("ingest", f"replay:{third[0]}?max_pause=1ms")
    wait_until(lambda: replica.one(COUNT) > stored + 100, 60, "the third part to begin", ingest)
    primary.stop("immediate")
    replica.run("pg_ctl", "promote", "-D", replica.data, "-w")
    stored += third[1]
    for server in servers:
        server.wait_for(COUNT, [[stored]])
    assert ingest.process.wait(60) == 0, ingest.output()
    for processor in processors:
        assert processor.process.poll() is None, processor.output()

    # Everything is there, once, and on both servers.
    assert replica.one(WRONG_BARS) == 0
    expected = [[symbol, count, pytest.approx(volume)] for symbol, (count, volume) in sorted(truth.items())]
    for server in servers:
        assert server.ask("""
            select symbol, sum(trade_count)::int, sum(volume) from bars where timeframe = '1d' group by symbol
            order by symbol collate "C" """) == expected
        # A subscriber has been told of each trade, whichever of the databases his server read from, and of none twice but
        # for what the replica lacked when it was promoted: that was made anew, and the subscriber was told so.
        wait_until(lambda: len(set().union(*server.told)) == stored, 60, f"{stored} trades to be told", server)
        assert len(server.told) <= 2, "one loss of what had been told"
        assert all(len(part) == len(set(part)) for part in server.told)
