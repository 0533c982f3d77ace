#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Makes samples/trades.csv.gz from the collected trades: make_sample.py SOURCE.csv.gz TARGET.csv.gz

Rows whose first vendor is not named (venue cme) are left out; the venue goes in front of the symbol, as Finnhub
spells it; rows are ordered by time and, within a time, as the source has them. Nothing else is changed: missing trade
ids stay missing, repeated ones stay repeated.
"""
import csv
import gzip
import io
import sys


def number(text):
    """The shortest spelling of the same decimal number."""
    return text.rstrip("0").rstrip(".") if "." in text else text


def main(source, target):
    with gzip.open(source, "rt", newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["venue"] != "cme"]
    rows.sort(key=lambda row: int(row["ts_us"]))
    text = io.StringIO()
    out = csv.writer(text, lineterminator="\n")
    out.writerow(["ts", "symbol", "price", "size", "trade_id"])
    for row in rows:
        symbol = f"{row['venue'].upper()}:{row['symbol']}"
        out.writerow([row["ts_us"], symbol, number(row["price"]), number(row["size"]), row["trade_id"]])
    # No name and no time in the header, so that the same rows give the same bytes.
    with open(target, "wb") as file, gzip.GzipFile("", "wb", 9, file, 0) as packed:
        packed.write(text.getvalue().encode())
    print(f"{len(rows)} trades")


if __name__ == "__main__":
    main(*sys.argv[1:])
