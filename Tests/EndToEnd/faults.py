# SPDX-License-Identifier: Apache-2.0
"""Faults on whole processes: whatever dies, hangs or is cut, the tables end as they do without.

`python Tests/EndToEnd/faults.py --seeds 20 [--first 1] [--engine sqlite|kafka]` runs seeds one after the other; a failure
names its seed, which runs again the same plan of faults (though not at the same instants), and tells the state of every
process. With TAPEDECK_FAULTS_DEBUG in the environment, librdkafka tells of its groups, and gdb of every thread. The tests
of test_faults.py run a few.

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

DEBUG = "TAPEDECK_FAULTS_DEBUG" in os.environ
MOCK_KAFKA = pathlib.Path(os.environ.get("TAPEDECK_MOCK_KAFKA", ROOT / ".build/debug/mock-kafka"))
# A session ends after four seconds, an append after two: a stopped member and a lost acknowledgement are noticed soon.
# Other requests must outlast a rebalance: the mock answers nothing on a connection whose member waits to join, and when
# a request that waits behind it runs out of time, the client asks to join again, which the mock does not stand (MockDied).
KAFKA_PROPERTIES = ("session.timeout.ms=4000&heartbeat.interval.ms=300&fetch.wait.max.ms=10&message.timeout.ms=2000"
                    "&socket.timeout.ms=20000&fetch.error.backoff.ms=50&reconnect.backoff.max.ms=500"
                    + ("&debug=cgrp" if DEBUG else ""))
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
        self.process = None
        self.bin = max(pathlib.Path("/usr/lib/postgresql").glob("*/bin"))
        folder.mkdir()
        if os.getuid() == 0:
            shutil.chown(folder, "postgres", "postgres")
        subprocess.run(as_server_user([self.bin / "initdb", "-D", folder / "data", "-U", "tapedeck_writer", "-E", "UTF8",
                                       "--locale", "C.UTF-8", "-A", "trust"]), check=True, capture_output=True)
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port = free.getsockname()[1]
        try:
            self.start()
            with self.connect("postgres") as connection:
                connection.execute("create database tapedeck")
        except BaseException:
            self.stop()
            raise

    def start(self):
        end = time.monotonic() + 60
        while True:
            if self.process is None or self.process.poll() is not None:
                # The first time; or children of the one that was killed still held its shared memory.
                with open(self.folder.parent / "postgres.log", "ab") as output:
                    self.process = subprocess.Popen(
                        as_server_user([self.bin / "postgres", "-D", self.folder / "data", "-p", str(self.port), "-k", "",
                                        "-c", "listen_addresses=127.0.0.1", "-c", "logging_collector=off"]),
                        stdout=output, stderr=output)
            try:
                self.connect("postgres").close()
                return
            except psycopg.OperationalError as failure:
                assert time.monotonic() < end, f"PostgreSQL does not start in a minute: {failure}"
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
        if self.process:
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


class Deadline(BaseException):
    """A seed has taken too long, wherever it is. No Exception, so that nobody takes it for one of his own."""


@contextlib.contextmanager
def deadline(seconds, what):
    """Breaks off what takes longer, a call that waits included."""
    def ring(_, __):
        raise Deadline(f"{what}: not over after {seconds} s")
    before = signal.signal(signal.SIGALRM, ring)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


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

    def __init__(self, tape):
        self.base = pathlib.Path(tempfile.mkdtemp(prefix="tapedeck-faults-"))
        self.base.chmod(0o755)
        self.tape = tape
        self.postgres = self.proxy = self.kafka = self.ingest = None
        self.processors = []
        # Every process that has been started: its name, itself, and where it writes.
        self.started = []

    def begin(self, engine, processors):
        self.postgres = Postgres(self.base / "postgres")
        self.proxy = Proxy(self.postgres.port)
        self.kafka = MockKafka() if engine == "kafka" else None
        log = f"kafka://{self.kafka.bootstraps}?{KAFKA_PROPERTIES}" if self.kafka else f"sqlite:{self.base}/log"
        self.environment = ENVIRONMENT | {
            "TAPEDECK_EVENT_LOG": log,
            "TAPEDECK_DATABASE_URL": f"postgresql://tapedeck_writer@127.0.0.1:{self.proxy.port}/tapedeck",
        }
        if DEBUG:
            self.environment["TAPEDECK_LOG_LEVEL"] = "debug"
        self.command("migrate")
        # So that the leaders of their partitions can be moved from the first moment on.
        self.command("topics")
        self.ingest = self.start_ingest()
        self.processors = [self.start_processor() for _ in range(processors)]

    def command(self, *arguments):
        """Runs a command that is none of those under test: to PostgreSQL without the proxy, which may be refusing."""
        environment = self.environment | {
            "TAPEDECK_DATABASE_URL": f"postgresql://tapedeck_writer@127.0.0.1:{self.postgres.port}/tapedeck"}
        result = subprocess.run([BINARY, *arguments], env=environment, capture_output=True, timeout=60)
        assert result.returncode == 0, result.stderr.decode()
        return result.stdout.decode()

    def start(self, *arguments):
        name = f"{len(self.started) + 1}-{arguments[0]}"
        path = self.base / f"{name}.log"
        with open(path, "ab") as output:
            process = subprocess.Popen([BINARY, *arguments], env=self.environment, stdin=subprocess.DEVNULL,
                                       stdout=output, stderr=output, cwd=self.base)
        self.started.append((name, process, path))
        return process

    def start_ingest(self):
        # A millisecond between trades of different times: long enough for faults to come in between.
        return self.start("ingest", f"replay:{self.tape}?max_pause=1ms")

    def start_processor(self):
        return self.start("process")

    def state(self):
        """What every process does and said last, and what the store and the log say, for one who asks why."""
        parts = []
        for name, process, path in self.started:
            ended = process.poll()
            lines = path.read_text(errors="replace").splitlines()
            how = f"ended with {ended}" if ended is not None else f"runs: {waiting(process.pid)}"
            parts.append("\n    ".join([f"{name} (pid {process.pid}) {how}", *lines[-(4 if ended is not None else 12):]]))
        for what, ask in [
            ("sessions", lambda: self.rows(
                "select pid, application_name, state, wait_event_type, wait_event, now() - state_change, left(query, 100) "
                "from pg_stat_activity where backend_type = 'client backend' and pid <> pg_backend_pid()")),
            ("trades in the store", lambda: self.rows("select count(*) from market.trades")),
            ("behind", self.behind),
        ]:
            try:
                answer = ask()
                rows = answer if isinstance(answer, list) else [answer]
                parts.append("\n    ".join([f"{what}:", *map(str, rows)]))
            except Exception as failure:  # The state is told as far as it can be had.
                parts.append(f"{what}: cannot be had: {failure}")
        return "\n".join(parts)

    def lag(self):
        return json.loads(self.command("status", "--json"))["lag"]

    def behind(self):
        """The partitions that are not done, and who has claimed them in the store."""
        status = json.loads(self.command("status", "--json"))
        owners = {(row["topic"], row["partition"]): (row["owner"], row["updated_at"]) for row in status["offsets"]}
        return [(lag, owners.get((lag["topic"], lag["partition"]))) for lag in status["partitions"] if lag["lag"] > 0]

    def rows(self, query):
        with self.postgres.connect() as connection:
            connection.execute("set statement_timeout = '30s'")
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

    def wait(self, trades, seconds=180):
        """Until the tape is in the log, and the log in the store."""
        deadline = time.monotonic() + seconds
        while True:
            self.revive()
            if self.ingest.poll() == 0 and self.rows("select count(*) from market.trades")[0][0] >= trades \
                    and self.lag() == 0:
                return
            assert time.monotonic() < deadline, f"not done {seconds} s after the last fault"
            time.sleep(0.2)

    def revive(self):
        """Starts again what has been killed; what ended by itself, but for an ingest that is done, is a failure."""
        if self.ingest.poll() not in (None, 0):
            assert self.ingest.returncode == -signal.SIGKILL, f"ingest ended: {self.ingest.returncode}"
            self.ingest = self.start_ingest()
        for place, processor in enumerate(self.processors):
            if processor.poll() is not None:
                # One that is asked to end before it has begun ends by the signal itself.
                assert processor.returncode in (-signal.SIGKILL, -signal.SIGTERM, 0), (
                    f"a processor (pid {processor.pid}) ended: {processor.returncode}")
                self.processors[place] = self.start_processor()

    def close(self):
        for _, process, _ in self.started:
            if process.poll() is None:
                process.kill()
            process.wait()
        for end in [self.proxy and self.proxy.close, self.kafka and self.kafka.stop, self.postgres and self.postgres.stop]:
            if end:
                end()
        shutil.rmtree(self.base, ignore_errors=True)


def waiting(pid):
    """The threads of a process and what each waits for in the kernel; where it is wanted, with gdb's view of each."""
    try:
        tasks = sorted(pathlib.Path(f"/proc/{pid}/task").iterdir(), key=lambda task: int(task.name))
        threads = [f"{(task / 'comm').read_text().strip()} in {(task / 'wchan').read_text() or '?'}" for task in tasks]
    except OSError as failure:
        return f"threads unknown, {failure}"
    text = ", ".join(threads)
    if DEBUG:
        stacks = subprocess.run(["gdb", "-p", str(pid), "-batch", "-ex", "thread apply all bt 16"], capture_output=True,
                                timeout=60, text=True, errors="replace").stdout
        text += "\n    " + "\n    ".join(line for line in stacks.splitlines() if line.startswith(("#", "Thread")))
    return text


class Faults:
    """What may happen, chosen by a seeded random."""

    def __init__(self, run, seed, done):
        self.run = run
        self.random = random.Random(seed)
        self.done = done
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
            raise AssertionError(f"a processor (pid {processor.pid}) does not end on SIGTERM") from None

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
    with running(tape, "without faults", []) as run:
        run.begin("sqlite", 1)
        run.wait(1)
        return run.tables()


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
    for _ in range(3):
        try:
            return attempt_at(engine, seed, tape, wanted)
        except MockDied as death:
            print(f"seed {seed}: {death}; once more", file=sys.stderr)
    raise MockDied(f"seed {seed}: three times")


def attempt_at(engine, seed, tape, wanted):
    """Returns the faults that were injected; raises where the tables differ, or nothing goes on, with the state of all."""
    processors = 2 if engine == "sqlite" else random.Random(seed).choice([2, 3])
    done = []
    with running(tape, f"{engine}-{seed}", done) as run:
        run.begin(engine, processors)
        go(run, Faults(run, seed, done), wanted)
    return done


@contextlib.contextmanager
def running(tape, name, done):
    """A run that ends in any case, and within seven minutes; a failure of it tells the state of all its processes."""
    run = Run(tape)
    try:
        with deadline(420, name):
            yield run
    except (Exception, Deadline) as failure:
        if run.kafka and run.kafka.process.poll() is not None:
            raise MockDied(f"mock-kafka ended with {run.kafka.process.poll()}") from None
        with deadline(240, "asking for the state"):
            state = run.state()
        folder = pathlib.Path(tempfile.gettempdir()) / f"tapedeck-faults-{name.replace(' ', '-')}"
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        for path in run.base.glob("*.log"):
            shutil.copy(path, folder)
        raise AssertionError(f"{name} failed after: {' '.join(done)}\n{failure}\n{state}\n"
                             f"everything that the processes wrote: {folder}") from failure
    finally:
        with deadline(120, f"{name}: ending"):
            run.close()


def go(run, faults, wanted):
    end = time.monotonic() + 60
    while run.ingest.poll() != 0 and time.monotonic() < end:
        time.sleep(faults.random.uniform(0.1, 0.8))
        faults.inject()
        run.revive()
    # Some more while the processors catch up.
    for _ in range(3):
        faults.inject()
        run.revive()
        time.sleep(faults.random.uniform(0, 0.5))
    run.wait(len(wanted["trades"]))
    found = differences(run.tables(), wanted)
    assert not found, "\n".join(found)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--first", type=int, default=1)
    parser.add_argument("--engine", choices=["sqlite", "kafka"])
    arguments = parser.parse_args()
    folder = pathlib.Path(tempfile.mkdtemp(prefix="tapedeck-tape-"))
    failed = []
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
            except AssertionError as failure:
                print(f"seed {seed} {engine}: FAILED after {time.monotonic() - begun:.0f} s\n{failure}", flush=True)
                failed.append(seed)
                continue
            print(f"seed {seed} {engine}: equal after {len(done)} faults in {time.monotonic() - begun:.0f} s: "
                  f"{' '.join(done)}", flush=True)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    if failed or silent:
        sys.exit(f"these seeds failed: {failed}; these say nothing: {silent}")


if __name__ == "__main__":
    main()
