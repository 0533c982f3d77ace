# SPDX-License-Identifier: Apache-2.0
"""How well geometric Brownian motion forecasts daily closes: coverage of its bands, and its CRPS, in percent of the price, beside naive forecasts.

    python3 Benchmarks/calibration.py daily_ohlcv.csv[.gz]

The file has the columns Ticker, Date and "Adj Close" (that of bokeh_sampledata). Every 5 days the closed form of the model, fitted to the 250 days
before as Tapedeck fits it, is held against the close 1, 5 and 20 days on; beside it the same without drift, and "the price
stays".
"""
import csv
import gzip
import sys

import numpy as np
from math import erf, sqrt

PHI = np.vectorize(lambda x: (1 + erf(x / sqrt(2))) / 2)


def crps(mean, deviation, actual):
    """Of a log-normal distribution (Baran and Lerch 2015, equation 6)."""
    omega = (np.log(actual) - mean) / deviation
    return actual * (2 * PHI(omega) - 1) - 2 * np.exp(mean + deviation**2 / 2) * (
        PHI(omega - deviation) + PHI(deviation / sqrt(2)) - 1)


def closes(path):
    series = {}
    with (gzip.open if path.endswith(".gz") else open)(path, "rt") as file:
        for row in csv.DictReader(file):
            series.setdefault(row["Ticker"], []).append((row["Date"], float(row["Adj Close"])))
    return {symbol: np.array([close for _, close in sorted(rows)]) for symbol, rows in series.items()}


def main():
    lookback, horizons = 250, (1, 5, 20)
    print("| days ahead | forecasts | in the 50 % band | in the 90 % band | CRPS | without drift | the price stays |")
    print("|---|---|---|---|---|---|---|")
    for horizon in horizons:
        rows = []
        for close in closes(sys.argv[1]).values():
            logs = np.log(close)
            for now in range(lookback, len(close) - horizon, 5):
                window = np.diff(logs[now - lookback : now + 1])
                # A split is no return: a day of ±40 % in what was not adjusted.
                if np.abs(np.diff(logs[now - lookback : now + horizon + 1])).max() > 0.4:
                    continue
                m, s = window.mean(), window.std(ddof=1)
                actual = close[now + horizon]
                deviation = s * sqrt(horizon)
                z = (np.log(actual) - logs[now] - m * horizon) / deviation
                rows.append((abs(z) < 0.67449, abs(z) < 1.64485, 100 * crps(logs[now] + m * horizon, deviation, actual) / close[now],
                             100 * crps(logs[now], deviation, actual) / close[now],
                             100 * abs(actual / close[now] - 1)))
        means = np.array(rows, dtype=float).mean(axis=0)
        print(f"| {horizon} | {len(rows):,} | {means[0]:.1%} | {means[1]:.1%} | {means[2]:.2f} % | {means[3]:.2f} % | {means[4]:.2f} % |")


main()
