# SPDX-License-Identifier: Apache-2.0
"""Tapedeck beside PySpark Structured Streaming: the same trades into the same PostgreSQL.

`make bench-spark [ARGS="--rows 1000000 --runs 3"]`. Both read the same files of JSON lines. Tapedeck takes them through
its log and validation into indexed tables, with all bars of eight timeframes, latest trades and offsets; Spark does the two
queries of spark_job.py: raw rows, and windows of 15 seconds. Rates are rows over the time that each reports for its work,
without its start; memory is the largest resident set of all of its processes, PostgreSQL's not among them.
"""
import argparse
import json
import os
import pathlib
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time

import psutil
import psycopg

ROOT = pathlib.Path(__file__).resolve().parents[2]
BINARY = ROOT / ".build/release/tapedeck"
CLEAN = {key: value for key, value in os.environ.items() if not key.startswith(("TAPEDECK_", "PG"))}


class Server:
    """A PostgreSQL as it comes, on a free port."""

    def __init__(self, folder):
        self.bin = max(pathlib.Path("/usr/lib/postgresql").glob("*/bin"))
        self.data = folder / "postgres"
        self.data.mkdir()
        self.prefix = []
        if os.getuid() == 0:
            shutil.chown(self.data, "postgres", "postgres")
            self.prefix = ["setpriv", "--reuid", "postgres", "--regid", "postgres", "--clear-groups"]
        subprocess.run([*self.prefix, self.bin / "initdb", "-D", self.data, "-U", "tapedeck_writer", "-E", "UTF8",
                        "--locale", "C.UTF-8", "-A", "trust"], check=True, capture_output=True)
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port = free.getsockname()[1]
        self.process = subprocess.Popen(
            [*self.prefix, self.bin / "postgres", "-D", self.data, "-p", str(self.port), "-k", "", "-c",
             "listen_addresses=127.0.0.1"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        for _ in range(600):
            try:
                self.connect("postgres").close()
                return
            except psycopg.OperationalError:
                time.sleep(0.1)
        raise SystemExit("PostgreSQL does not start")

    def url(self, database):
        return f"postgresql://tapedeck_writer@127.0.0.1:{self.port}/{database}"

    def connect(self, database):
        return psycopg.connect(self.url(database), autocommit=True, connect_timeout=5)

    def database(self, name):
        with self.connect("postgres") as connection:
            connection.execute(f"drop database if exists {name} with (force)")
            connection.execute(f"create database {name}")
            connection.execute("checkpoint")
        return self.url(name)

    def stop(self):
        self.process.terminate()
        self.process.wait(60)


def watched(command, environment, folder):
    """The output of a command, and the most memory that it and its children had at a time, in MiB."""
    process = subprocess.Popen(list(map(str, command)), env=environment, cwd=folder, stdout=subprocess.PIPE,
                               stderr=subprocess.PIPE, text=True)
    peak = 0

    def watch():
        nonlocal peak
        while process.poll() is None:
            total = 0
            try:
                family = [psutil.Process(process.pid), *psutil.Process(process.pid).children(recursive=True)]
            except psutil.Error:
                return
            for member in family:
                try:
                    total += member.memory_info().rss
                except psutil.Error:
                    pass
            peak = max(peak, total)
            time.sleep(0.1)

    watcher = threading.Thread(target=watch)
    watcher.start()
    output, errors = process.communicate(timeout=1800)
    watcher.join()
    if process.returncode != 0:
        raise SystemExit(f"{command[:3]} ended with {process.returncode}:\n{errors[-3000:]}")
    return output, peak / (1 << 20)


def write_files(folder, rows, count):
    """Trades of 20 symbols, a hundred a second, in files of the same size."""
    folder.mkdir()
    paths = []
    for number in range(count):
        paths.append(folder / f"{number:03}.ndjson")
        with open(paths[-1], "w") as file:
            for index in range(number * rows // count, (number + 1) * rows // count):
                mixed = index * 2_654_435_761 % (1 << 32)
                file.write('{"ts_us":%d,"symbol":"BENCH:S%d","price":%s,"size":%s,"trade_id":%d}\n' % (
                    1_700_000_000_000_000 + index * 10_000, (mixed >> 8) % 20, 100 + (mixed >> 16 & 0xFFF) / 64,
                    (1 + (mixed >> 20 & 0xFF)) / 8, index))
    return paths


def tapedeck(server, base, paths, rows):
    url = server.database("tapedeck")
    data = base / "data"
    shutil.rmtree(data, ignore_errors=True)
    environment = CLEAN | {"TAPEDECK_DATABASE_URL": url, "TAPEDECK_READER_URL": url}
    subprocess.run([BINARY, "migrate"], env=environment, check=True, capture_output=True, cwd=ROOT)
    output, peak = watched([BINARY, "load", "--json", "--data-dir", data, *paths], environment, ROOT)
    summary = json.loads(output)
    assert summary["accepted"] == rows, summary
    return rows / (summary["elapsed_ms"] / 1000), peak


def spark(server, base, folder, rows, files_per_batch):
    url = server.database("spark")
    with server.connect("spark") as connection:
        connection.execute("""create table spark_trades (symbol text, ts timestamptz, price float8, size float8,
            trade_id bigint, primary key (symbol, ts, trade_id))""")
        connection.execute("""create table spark_stats (symbol text, ts timestamptz, price_volume_multiply float8,
            primary key (symbol, ts))""")
    environment = CLEAN | {"PYSPARK_PYTHON": sys.executable, "SPARK_LOCAL_IP": "127.0.0.1"}
    output, peak = watched(
        [sys.executable, ROOT / "Benchmarks/spark/spark_job.py", folder, url, files_per_batch], environment, base)
    seconds = float(output.split("seconds ")[1].split()[0])
    with server.connect("spark") as connection:
        assert connection.execute("select count(*) from spark_trades").fetchone()[0] == rows
        stats = connection.execute("select count(*) from spark_stats").fetchone()[0]
    assert stats >= rows // 1500, stats
    return rows / seconds, peak


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--files", type=int, default=10, help="files of the same size")
    parser.add_argument("--files-per-batch", type=int, default=5, help="of them, in a micro-batch of Spark")
    parser.add_argument("--runs", type=int, default=3)
    arguments = parser.parse_args()
    base = pathlib.Path(tempfile.mkdtemp(prefix="tapedeck-spark-"))
    base.chmod(0o755)
    server = None
    try:
        paths = write_files(base / "trades", arguments.rows, arguments.files)
        server = Server(base)
        print(f"{arguments.rows} trades, {arguments.files} files, {arguments.files_per_batch} in a batch of Spark\n"
              "run   Tapedeck rows/s  MiB     Spark rows/s  MiB    ratio  of memory", flush=True)
        rates, shares = [], []
        for run in range(1, arguments.runs + 1):
            ours, our_memory = tapedeck(server, base, paths, arguments.rows)
            theirs, their_memory = spark(server, base, base / "trades", arguments.rows, arguments.files_per_batch)
            rates.append(ours / theirs)
            shares.append(our_memory / their_memory)
            print(f"{run}   {ours:15,.0f} {our_memory:5.0f}  {theirs:15,.0f} {their_memory:5.0f}   "
                  f"{rates[-1]:5.1f}   1/{1 / shares[-1]:.0f}", flush=True)
        print(f"median: {statistics.median(rates):.1f} times the rows/s at 1/{1 / statistics.median(shares):.0f} of the "
              "memory")
    finally:
        if server:
            server.stop()
        shutil.rmtree(base, ignore_errors=True)


if __name__ == "__main__":
    main()
