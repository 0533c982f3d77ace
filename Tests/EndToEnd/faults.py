# SPDX-License-Identifier: Apache-2.0
"""Faults on whole processes: whatever dies, hangs or is cut, the tables end as they do without.

`python Tests/EndToEnd/faults.py --seeds 20 [--first 1] [--engine sqlite|kafka]` runs seeds one after the other; a failure
names its seed, which runs again the same plan of faults (though not at the same instants). The tests of test_faults.py
run a few.

On Kafka: brokers lost and back, errors of Produce, Fetch and OffsetCommit, acknowledgements that come too late, leaders moved,
slow brokers, and rebalances between two or three processors that are killed, ended and started. librdkafka's mock cluster
stands for it; what that cannot do is left out: the loss of the broker that keeps the groups, members that are stopped and
come back (it asserts, see MockDied), leaders that move by themselves, brokers that lose what they had.
"""
import argparse
import contextlib
import gzip
import json
import os
import pathlib
import random
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time

import psycopg

from conftest import BINARY, ENVIRONMENT, ROOT, SAMPLE

MOCK_KAFKA = pathlib.Path(os.environ.get("TAPEDECK_MOCK_KAFKA", ROOT / ".build/debug/mock-kafka"))
# A session ends after four seconds, an append after two: a stopped member and a lost acknowledgement are noticed soon.
# Other requests must outlast a rebalance: the mock answers nothing on a connection whose member waits to join, and when
# a request that waits behind it runs out of time, the client asks to join again, which the mock does not stand (MockDied).
KAFKA_PROPERTIES = ("session.timeout.ms=4000&heartbeat.interval.ms=300&fetch.wait.max.ms=10&message.timeout.ms=2000"
                    "&socket.timeout.ms=20000&fetch.error.backoff.ms=50&reconnect.backoff.max.ms=500")
BAD_LINES = ["1700000000000001,BAD:A,-1,1,1", "1700000000000002,BAD:A,x,1,2", "1700000000000003,BÄD,1,1,3", "what,is,this",
             "1700000000000004,BAD:A,1,-1,4"]


def write_tape(path, rows=4000):
    """Rows of the sample tape, of few days and many symbols, with lines that are no trades between them."""
    with gzip.open(SAMPLE, "rt") as source:
        header, *lines = source.read().splitlines()
    lines = lines[-rows:]
    for place, line in enumerate(BAD_LINES):
        lines.insert((place + 1) * rows // 7, line)
    path.write_text("\n".join([header, *lines]) + "\n")
    return len(lines)


def as_server_user(command):
    """PostgreSQL refuses to run as root."""
    if os.getuid() != 0:
        return command
    return ["setpriv", "--reuid", "postgres", "--regid", "postgres", "--clear-groups", *command]


class Postgres:
    """A server of its own, that can be killed and started again on the same port."""

    def __init__(self, folder):
        self.folder = folder
        self.bin = max(pathlib.Path("/usr/lib/postgresql").glob("*/bin"))
        folder.mkdir()
        if os.getuid() == 0:
            shutil.chown(folder, "postgres", "postgres")
        subprocess.run(as_server_user([self.bin / "initdb", "-D", folder / "data", "-U", "tapedeck_writer", "-E", "UTF8",
                                       "--locale", "C.UTF-8", "-A", "trust"]), check=True, capture_output=True)
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port = free.getsockname()[1]
        self.start()
        with self.connect("postgres") as connection:
            connection.execute("create database tapedeck")

    def start(self):
        self.process = subprocess.Popen(
            as_server_user([self.bin / "postgres", "-D", self.folder / "data", "-p", str(self.port), "-k", "",
                            "-c", "listen_addresses=127.0.0.1", "-c", "logging_collector=off"]),
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        deadline = time.monotonic() + 60
        while True:
            try:
                self.connect("postgres").close()
                return
            except psycopg.OperationalError:
                if self.process.poll() is not None:
                    # Children of the one that was killed still hold its shared memory.
                    return self.start()
                assert time.monotonic() < deadline, "PostgreSQL does not start"
                time.sleep(0.05)

    def connect(self, database="tapedeck"):
        return psycopg.connect(f"postgresql://tapedeck_writer@127.0.0.1:{self.port}/{database}", autocommit=True,
                               connect_timeout=5)

    def kill(self):
        self.process.kill()
        self.process.wait()
        time.sleep(0.05)
        self.start()

    def stop(self):
        self.process.send_signal(signal.SIGQUIT)
        self.process.wait(30)


class Proxy:
    """A TCP proxy in front of PostgreSQL, which can cut every connection and refuse new ones for a while."""

    def __init__(self, port):
        self.target = port
        self.is_closed = False
        self.refuses_until = 0
        self.pairs = []
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while not self.is_closed:
            try:
                client, _ = self.listener.accept()
            except OSError:
                return
            if time.monotonic() < self.refuses_until:
                client.close()
                continue
            try:
                server = socket.create_connection(("127.0.0.1", self.target), 5)
            except OSError:
                client.close()
                continue
            server.settimeout(None)
            self.pairs.append((client, server))
            for ends in [(client, server), (server, client)]:
                threading.Thread(target=self.pump, args=ends, daemon=True).start()

    @staticmethod
    def pump(source, target):
        with contextlib.suppress(OSError):
            while data := source.recv(1 << 16):
                target.sendall(data)
        for end in (source, target):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)

    def cut(self, seconds):
        self.refuses_until = time.monotonic() + seconds
        pairs, self.pairs = self.pairs, []
        for ends in pairs:
            for end in ends:
                with contextlib.suppress(OSError):
                    end.shutdown(socket.SHUT_RDWR)
                    end.close()

    def close(self):
        self.is_closed = True
        self.listener.close()
        self.cut(0)


class MockDied(Exception):
    """The mock cluster itself has ended: it asserts that a member never asks twice to join (`!member->resp` in
    rdkafka_mock_cgrp.c), which one does whose connection was lost while it waited. No fault here makes it, so that a run
    in which it happens has shown nothing, and fails."""


class MockKafka:
    """The cluster of Tests/mock-kafka; ends with this process. The broker that keeps the groups stays up (see MockDied):
    the last one."""

    def __init__(self, brokers=3):
        self.brokers = brokers
        self.process = subprocess.Popen([MOCK_KAFKA, str(brokers)], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                        text=True)
        self.bootstraps = self.process.stdout.readline().strip()
        self.lock = threading.Lock()
        for group in ["tapedeck.validate", "tapedeck.sink"]:
            self.command("coordinator", "group", group, brokers)

    def command(self, *words):
        with self.lock:
            try:
                print(*words, file=self.process.stdin, flush=True)
                answer = self.process.stdout.readline().strip()
            except BrokenPipeError:
                answer = ""
        if not answer:
            raise MockDied(f"mock-kafka ended with {self.process.wait(5)} at {words}")
        assert answer == "ok", f"{words}: {answer}"

    def stop(self):
        with contextlib.suppress(BrokenPipeError):
            self.process.stdin.close()
        self.process.wait(30)


class Run:
    """One run: a tape through ingest and processors of its own."""

    def __init__(self, engine, tape, processors):
        self.base = pathlib.Path(tempfile.mkdtemp(prefix="tapedeck-faults-"))
        self.base.chmod(0o755)
        self.tape = tape
        self.postgres = Postgres(self.base / "postgres")
        self.proxy = Proxy(self.postgres.port)
        self.kafka = MockKafka() if engine == "kafka" else None
        log = f"kafka://{self.kafka.bootstraps}?{KAFKA_PROPERTIES}" if self.kafka else f"sqlite:{self.base}/log"
        self.environment = ENVIRONMENT | {
            "TAPEDECK_EVENT_LOG": log,
            "TAPEDECK_DATABASE_URL": f"postgresql://tapedeck_writer@127.0.0.1:{self.proxy.port}/tapedeck",
        }
        self.output = open(self.base / "output.log", "ab")
        self.command("migrate")
        # So that the leaders of their partitions can be moved from the first moment on.
        self.command("topics")
        self.ingest = self.start_ingest()
        self.processors = [self.start_processor() for _ in range(processors)]

    def command(self, *arguments):
        result = subprocess.run([BINARY, *arguments], env=self.environment, capture_output=True, timeout=120)
        assert result.returncode == 0, result.stderr.decode()
        return result.stdout.decode()

    def start(self, *arguments):
        return subprocess.Popen([BINARY, *arguments], env=self.environment, stdin=subprocess.DEVNULL,
                                stdout=self.output, stderr=self.output, cwd=self.base)

    def start_ingest(self):
        # A millisecond between trades of different times: long enough for faults to come in between.
        return self.start("ingest", f"replay:{self.tape}?max_pause=1ms")

    def start_processor(self):
        return self.start("process")

    def lag(self):
        return json.loads(self.command("status", "--json"))["lag"]

    def behind(self):
        """The partitions that are not done, and who has claimed them in the store."""
        status = json.loads(self.command("status", "--json"))
        owners = {(row["topic"], row["partition"]): (row["owner"], row["updated_at"]) for row in status["offsets"]}
        alive = [process.pid for process in self.processors if process.poll() is None]
        return f"of the processors {alive}", [(lag, owners.get((lag["topic"], lag["partition"])))
                                              for lag in status["partitions"] if lag["lag"] > 0]

    def rows(self, query):
        with self.postgres.connect() as connection:
            return connection.execute(query).fetchall()

    def tables(self):
        """Everything that must not depend on what happened on the way."""
        return {
            "trades": self.rows("select symbol, ts, source, trade_id, price, size, conditions from market.trades "
                                "order by 1, 2, 3, 4"),
            "bars": self.rows("select * from market.bars order by symbol, timeframe, ts"),
            "latest": self.rows("select symbol, ts, source, trade_id, price, size, previous_ts, previous_trade_id, "
                                "previous_price from market.latest order by 1"),
            "accepted": self.rows("select sum(accepted) from ops.ingest_runs"),
            # A line that Kafka holds twice, because its acknowledgement was lost, is refused twice; the original of a
            # line that could be read says when it was.
            "rejected": self.rows("select distinct reason, message, symbol, source from ops.rejected_records "
                                  "order by 1, 3"),
        }

    def wait(self, trades, seconds=120):
        """Until the tape is in the log, and the log in the store."""
        deadline = time.monotonic() + seconds
        while True:
            self.revive()
            if self.ingest.poll() == 0 and self.rows("select count(*) from market.trades")[0][0] >= trades \
                    and self.lag() == 0:
                return
            assert time.monotonic() < deadline, (
                f"not done after {seconds} s: {self.rows('select count(*) from market.trades')} of {trades} trades, "
                f"ingest {self.ingest.poll()}, behind {self.behind()}\n" + self.tail())
            time.sleep(0.2)

    def revive(self):
        """Starts again what has been killed; what ended by itself, but for an ingest that is done, is a failure."""
        if self.ingest.poll() not in (None, 0):
            assert self.ingest.returncode == -signal.SIGKILL, f"ingest ended: {self.ingest.returncode}\n" + self.tail()
            self.ingest = self.start_ingest()
        for place, processor in enumerate(self.processors):
            if processor.poll() is not None:
                # One that is asked to end before it has begun ends by the signal itself.
                assert processor.returncode in (-signal.SIGKILL, -signal.SIGTERM, 0), (
                    f"a processor ended: {processor.returncode}\n" + self.tail())
                self.processors[place] = self.start_processor()

    def tail(self):
        self.output.flush()
        return (self.base / "output.log").read_text(errors="replace")[-6000:]

    def close(self):
        for process in [self.ingest, *self.processors]:
            if process.poll() is None:
                with contextlib.suppress(ProcessLookupError):
                    process.send_signal(signal.SIGCONT)
                    process.kill()
                process.wait()
        self.proxy.close()
        self.postgres.stop()
        if self.kafka:
            self.kafka.stop()
        self.output.close()
        shutil.rmtree(self.base, ignore_errors=True)


class Faults:
    """What may happen, chosen by a seeded random."""

    def __init__(self, run, seed):
        self.run = run
        self.random = random.Random(seed)
        self.done = []
        names = ["kill_ingest", "kill_processor", "end_processor", "kill_postgres", "cut_connections", "refuse_copy",
                 "lock_offsets", "terminate_backends"]
        if run.kafka:
            names += ["stop_broker", "kafka_errors", "lose_acknowledgements", "move_leader", "slow_brokers"]
        self.names = names

    def inject(self):
        name = self.random.choice(self.names)
        self.done.append(name)
        getattr(self, name)()

    def kill_ingest(self):
        if self.run.ingest.poll() is None:
            self.run.ingest.kill()
            self.run.ingest.wait()

    def kill_processor(self):
        processor = self.random.choice(self.run.processors)
        processor.kill()
        processor.wait()

    def end_processor(self):
        """In order, as an upgrade does: its partitions go to the others at once."""
        processor = self.random.choice(self.run.processors)
        processor.terminate()
        try:
            processor.wait(20)
        except subprocess.TimeoutExpired:
            raise AssertionError("a processor does not end on SIGTERM\n" + self.run.tail()) from None

    def kill_postgres(self):
        self.run.postgres.kill()

    def cut_connections(self):
        self.run.proxy.cut(self.random.uniform(0, 0.5))

    def refuse_copy(self):
        """COPY of bars fails for a while: disk full, serialization failure, deadlock."""
        state = self.random.choice(["53100", "40001", "40P01"])
        with self.run.postgres.connect() as connection:
            connection.execute(f"""
                create or replace function public.refuse() returns trigger language plpgsql as
                $$begin raise exception 'refused for a test' using errcode = '{state}'; end$$""")
            connection.execute("create trigger refuse before insert on ops.bar_state for each statement "
                               "execute function public.refuse()")
            time.sleep(self.random.uniform(0.1, 0.6))
            connection.execute("drop trigger refuse on ops.bar_state")

    def lock_offsets(self):
        with self.run.postgres.connect() as connection, connection.transaction():
            connection.execute("lock table ops.log_offsets in access exclusive mode")
            time.sleep(self.random.uniform(0.1, 0.8))

    def terminate_backends(self):
        with self.run.postgres.connect() as connection:
            connection.execute("select pg_terminate_backend(pid) from pg_stat_activity "
                               "where application_name = 'tapedeck process'")

    def stop_broker(self):
        broker = self.random.choice([1, 2])
        self.run.kafka.command("down", broker)
        time.sleep(self.random.uniform(0.1, 1.5))
        self.run.kafka.command("up", broker)

    def kafka_errors(self):
        """Produce, Fetch and OffsetCommit fail: not leader, timed out, too few replicas, cut."""
        api, codes = self.random.choice([(0, [6, 7, 19, -195]), (1, [6, -195]), (8, [7])])
        self.run.kafka.command("errors", api, *[self.random.choice(codes) for _ in range(self.random.randint(1, 4))])

    def lose_acknowledgements(self):
        """The broker stores what it is sent and answers too late: the mock stores the repetition again."""
        for broker in range(1, 4):
            self.run.kafka.command("delay", broker, 0, 3000)

    def move_leader(self):
        topic = self.random.choice(["trades.staging", "trades"])
        self.run.kafka.command("leader", topic, self.random.randrange(4), self.random.randint(1, 3))

    def slow_brokers(self):
        self.run.kafka.command("rtt", "all", self.random.choice([50, 200]))
        time.sleep(self.random.uniform(0.5, 1.5))
        self.run.kafka.command("rtt", "all", 0)


def expected(tape):
    """The tables without faults."""
    run = Run("sqlite", tape, 1)
    try:
        run.wait(1)
        return run.tables()
    finally:
        run.close()


def differences(found, wanted):
    texts = []
    for name, rows in wanted.items():
        if found[name] != rows:
            missing = [row for row in rows if row not in set(map(repr, found[name])) and row not in found[name]][:3]
            extra = [row for row in found[name] if row not in rows][:3]
            texts.append(f"{name}: {len(found[name])} rows instead of {len(rows)}; missing {missing}; extra {extra}")
    return texts


def check(engine, seed, tape, wanted):
    """One seed; tried again if the mock cluster could not stand it, three times at most."""
    for attempt in range(3):
        try:
            return attempt_at(engine, seed, tape, wanted)
        except MockDied as death:
            print(f"seed {seed}: {death}; once more", file=sys.stderr)
    raise MockDied(f"seed {seed}: three times")


def attempt_at(engine, seed, tape, wanted):
    """Returns the faults that were injected, raises where the tables differ."""
    processors = 2 if engine == "sqlite" else random.Random(seed).choice([2, 3])
    run = Run(engine, tape, processors)
    faults = Faults(run, seed)
    try:
        trades = len(wanted["trades"])
        deadline = time.monotonic() + 60
        while run.ingest.poll() != 0 and time.monotonic() < deadline:
            time.sleep(faults.random.uniform(0.1, 0.8))
            faults.inject()
            run.revive()
        # Some more while the processors catch up.
        for _ in range(3):
            faults.inject()
            run.revive()
            time.sleep(faults.random.uniform(0, 0.5))
        run.wait(trades)
        found = differences(run.tables(), wanted)
        assert not found, "\n".join(found)
        return faults.done
    except MockDied:
        raise
    except Exception:
        if run.kafka and run.kafka.process.poll() is not None:
            raise MockDied(f"mock-kafka ended with {run.kafka.process.poll()}") from None
        output = pathlib.Path(tempfile.gettempdir()) / f"tapedeck-faults-{engine}-{seed}.log"
        shutil.copy(run.base / "output.log", output)
        print(f"seed {seed} on {engine} failed after: {' '.join(faults.done)}\n{run.tail()}\n"
              f"everything that the processes wrote: {output}", file=sys.stderr)
        raise
    finally:
        run.close()


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--first", type=int, default=1)
    parser.add_argument("--engine", choices=["sqlite", "kafka"])
    arguments = parser.parse_args()
    folder = pathlib.Path(tempfile.mkdtemp(prefix="tapedeck-tape-"))
    silent = []
    try:
        tape = folder / "tape.csv"
        write_tape(tape)
        wanted = expected(tape)
        for seed in range(arguments.first, arguments.first + arguments.seeds):
            # Both engines in turn, unless told otherwise.
            engine = arguments.engine or ["sqlite", "kafka"][seed % 2]
            begun = time.monotonic()
            try:
                done = check(engine, seed, tape, wanted)
            except MockDied as death:
                print(f"seed {seed} {engine}: says nothing, {death}", flush=True)
                silent.append(seed)
                continue
            print(f"seed {seed} {engine}: equal after {len(done)} faults in {time.monotonic() - begun:.0f} s: "
                  f"{' '.join(done)}", flush=True)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    if silent:
        sys.exit(f"these seeds say nothing: {silent}")


if __name__ == "__main__":
    main()
