# SPDX-License-Identifier: Apache-2.0
"""How the pipeline grows: with symbols, with the size of its transactions, with partitions, and with processors.

`make bench-scaling [ARGS="--rows 300000 --only symbols"]`. The first three run `bench pipeline` on the SQLite log. Processors
share the partitions of a log on librdkafka's mock cluster, whose speed says nothing of a Kafka's; what they write is counted
from their first commit to their last.
"""
import argparse
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parents[1]
os.environ.setdefault("TAPEDECK_MOCK_KAFKA", str(ROOT / ".build/release/mock-kafka"))
sys.path.insert(0, str(ROOT / "Tests/EndToEnd"))
import faults  # noqa: E402  (its mock cluster and its PostgreSQL)

BENCH = ROOT / ".build/release/bench"


def pipeline(rows, **options):
    """Rows a second of a COPY and of the pipeline, medians of three runs."""
    arguments = [f"--{name}={value}" for name, value in ({"rows": rows} | options).items()]
    output = subprocess.run([BENCH, "pipeline", *arguments], check=True, capture_output=True, text=True).stdout
    runs = [line.split() for line in output.splitlines() if line[:1].isdigit() and line.split()[0] in "123"]
    copies, ours = ([sorted(int(run[column].replace(",", "")) for run in runs) for column in (1, 2)])
    return copies[len(copies) // 2], ours[len(ours) // 2]


def write_tape(path, rows, symbols=100):
    with open(path, "w") as file:
        file.write("ts,symbol,price,size,trade_id\n")
        for index in range(rows):
            mixed = index * 2_654_435_761 % (1 << 32)
            file.write(f"{1_700_000_000_000_000 + index * 10_000},BENCH:S{(mixed >> 8) % symbols},"
                       f"{100 + (mixed >> 16 & 0xFFF) / 64},{(1 + (mixed >> 20 & 0xFF)) / 8},{index}\n")


def processors(tape, count):
    """Rows a second that so many processes write, beside each other."""
    base = pathlib.Path(tempfile.mkdtemp(prefix="tapedeck-scaling-"))
    base.chmod(0o755)
    postgres = faults.Postgres(base / "postgres")
    kafka = faults.MockKafka()
    running = []
    try:
        environment = faults.ENVIRONMENT | {
            "TAPEDECK_EVENT_LOG": f"kafka://{kafka.bootstraps}?session.timeout.ms=6000&fetch.wait.max.ms=10",
            "TAPEDECK_DATABASE_URL": f"postgresql://tapedeck_writer@127.0.0.1:{postgres.port}/tapedeck"}
        for topic in ["trades.staging", "trades", "trades.rejected"]:
            kafka.command("topic", topic, 16)

        def run(*arguments, start=subprocess.run, **options):
            return start([faults.BINARY, *arguments], env=environment, cwd=ROOT, stdin=subprocess.DEVNULL,
                         stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, **options)

        run("migrate", check=True)
        run("ingest", f"replay:{tape}?speed=max", check=True)
        running += [run("process", start=subprocess.Popen) for _ in range(count)]
        question = """select count(*), coalesce(sum(trade_count), 0), extract(epoch from max(committed_at) - min(committed_at)),
            (select trade_count from ops.live_batches order by committed_at limit 1) from ops.live_batches"""
        rows = sum(1 for _ in open(tape)) - 1
        deadline = time.monotonic() + 300
        while True:
            with postgres.connect() as connection:
                _, stored, seconds, first = connection.execute(question).fetchone()
            if stored >= rows:
                return (rows - first) / float(seconds)
            assert time.monotonic() < deadline, f"{stored} of {rows} after 300 s"
            time.sleep(0.2)
    finally:
        for process in running:
            process.terminate()
        for process in running:
            process.wait(60)
        kafka.stop()
        postgres.stop()
        shutil.rmtree(base, ignore_errors=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=300_000)
    parser.add_argument("--only", choices=["symbols", "batch", "partitions", "processors"])
    arguments = parser.parse_args()

    def is_wanted(name):
        return arguments.only in (None, name)

    for name, values in [("symbols", [10, 100, 1000, 10_000]), ("batch", [1, 2, 4, 8, 16, 32]), ("partitions", [1, 4, 16])]:
        if is_wanted(name):
            print(f"{name:>10}         COPY  log → store  ratio   ({arguments.rows} trades)", flush=True)
            for value in values:
                copy, ours = pipeline(arguments.rows, **{name: value})
                print(f"{value:10,}  {copy:11,}  {ours:11,}   {ours / copy:.2f}", flush=True)
    if is_wanted("processors"):
        with tempfile.TemporaryDirectory(prefix="tapedeck-tape-") as folder:
            tape = pathlib.Path(folder) / "tape.csv"
            write_tape(tape, arguments.rows)
            print("processors   log → store   (16 partitions, mock cluster)", flush=True)
            for count in [1, 2, 3, 4]:
                print(f"{count:10}  {processors(tape, count):12,.0f}", flush=True)


if __name__ == "__main__":
    main()
