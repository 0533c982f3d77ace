# SPDX-License-Identifier: Apache-2.0
"""What bars that are updated in place make of their table: its size, HOT updates and dead rows, as time goes on.

`make bench-bloat [ARGS="--seconds 120 --speed 20"]`. A tape of 100 trades a second over 50 symbols is played at `--speed` times
its pace into a `tapedeck up` of its own; every tenth of the time the statistics are read, and at the end the table is
compared with a copy of it that has never been updated.
"""
import argparse
import os
import pathlib
import sys
import tempfile
import time

import psycopg

ROOT = pathlib.Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "Tests/EndToEnd"))
from conftest import Up  # noqa: E402

QUESTION = """
    select (select sum(accepted) from ops.ingest_runs), count(*), pg_table_size('ops.bar_state'), pg_indexes_size('ops.bar_state'),
        s.n_tup_ins, s.n_tup_upd, s.n_tup_hot_upd, s.n_dead_tup, s.autovacuum_count
    from ops.bar_state, pg_stat_user_tables s where s.relid = 'ops.bar_state'::regclass
    group by s.n_tup_ins, s.n_tup_upd, s.n_tup_hot_upd, s.n_dead_tup, s.autovacuum_count"""


def write_tape(path, rows):
    with open(path, "w") as file:
        file.write("ts,symbol,price,size,trade_id\n")
        for index in range(rows):
            mixed = index * 2_654_435_761 % (1 << 32)
            file.write(f"{1_700_000_000_000_000 + index * 10_000},BENCH:S{(mixed >> 8) % 50},"
                       f"{100 + (mixed >> 16 & 0xFFF) / 64},{(1 + (mixed >> 20 & 0xFF)) / 8},{index}\n")


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=int, default=120)
    parser.add_argument("--speed", type=int, default=20)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="tapedeck-bloat-") as base:
        os.chmod(base, 0o755)
        base = pathlib.Path(base)
        tape = base / "tape.csv"
        write_tape(tape, arguments.seconds * arguments.speed * 100)
        up = Up(base / "data", "--source", f"replay:{tape}?speed={arguments.speed}")
        try:
            print("  seconds     trades      bars  updates  of them HOT   dead rows  vacuums  table  indexes (MiB)", flush=True)
            with psycopg.connect(up.writer_url, autocommit=True) as store:
                begun = time.monotonic()
                for step in range(1, 11):
                    time.sleep(max(0, begun + step * arguments.seconds / 10 - time.monotonic()))
                    rows = store.execute(QUESTION).fetchone()
                    trades, bars, table, indexes, _, updates, hot, dead, vacuums = rows
                    print(f"{time.monotonic() - begun:9.0f} {trades or 0:10,} {bars:9,} {updates:8,} {hot / max(1, updates):12.1%} "
                          f"{dead:11,} {vacuums:8}  {table / 2**20:5.1f}  {indexes / 2**20:7.1f}", flush=True)
                store.execute("create table ops.fresh (like ops.bar_state including all)")
                options, = store.execute("select array_to_string(reloptions, ', ') from pg_class where oid = 'ops.bar_state'::regclass").fetchone()
                store.execute(f"alter table ops.fresh set ({options})")
                store.execute("insert into ops.fresh select * from ops.bar_state order by symbol, timeframe, ts")
                now, fresh, now_index, fresh_index = store.execute(
                    "select pg_table_size('ops.bar_state'), pg_table_size('ops.fresh'), pg_indexes_size('ops.bar_state'), "
                    "pg_indexes_size('ops.fresh')").fetchone()
                print(f"beside a copy that was never updated: table {now / fresh:.2f} times, indexes {now_index / fresh_index:.2f} times")
        finally:
            up.close()


if __name__ == "__main__":
    main()
