# SPDX-License-Identifier: Apache-2.0
"""Indicators equal what pandas makes of the closes, however late the trades came."""
import math
import random

import numpy as np
import pandas as pd
import requests
from conftest import run, summary

COLUMNS = ["sma_20", "sma_50", "ema_12", "ema_26", "macd", "macd_signal", "rsi_14", "bollinger_upper",
           "bollinger_lower", "volatility_20"]


def wilder(values):
    """Wilder's average: the mean of the first 14, then one 14th of each new one. By hand: pandas has none."""
    averages = [math.nan] * len(values)
    for place in range(14, len(values)):
        averages[place] = np.mean(values[1:15]) if place == 14 else averages[place - 1] * 13 / 14 + values[place] / 14
    return np.array(averages)


def expected(closes):
    """The indicators from the first close on, with pandas and NumPy."""
    close = pd.Series(closes)

    def from_place(place, series):
        return series.where(np.arange(len(series)) >= place - 1)

    fast, slow = close.ewm(span=12, adjust=False).mean(), close.ewm(span=26, adjust=False).mean()
    change = close.diff().to_numpy()
    gain, loss = wilder(np.clip(change, 0, None)), wilder(np.clip(-change, 0, None))
    with np.errstate(divide="ignore", invalid="ignore"):
        rsi = 100 - 100 / (1 + gain / loss)
    mean, deviation = close.rolling(20).mean(), close.rolling(20).std(ddof=0)
    return pd.DataFrame({
        "sma_20": mean, "sma_50": close.rolling(50).mean(),
        "ema_12": from_place(12, fast), "ema_26": from_place(26, slow), "macd": from_place(26, fast - slow),
        "macd_signal": from_place(34, (fast - slow).ewm(span=9, adjust=False).mean()), "rsi_14": rsi,
        "bollinger_upper": mean + 2 * deviation, "bollinger_lower": mean - 2 * deviation,
        "volatility_20": np.log(close / close.shift()).rolling(20).std(),
    })


def assert_equal(rows, closes):
    want = expected(closes)
    got = pd.DataFrame(rows, columns=COLUMNS, dtype=float)
    assert len(got) == len(want) > 0
    for column in COLUMNS:
        # pandas' rolling deviation has an error of its own of about 1e-8 of the price where prices hardly differ, and
        # macd is a difference of two prices: so each is held against the size of what it is made of.
        scale = want[column].abs().to_numpy()
        if column.startswith("macd") or column == "volatility_20":
            scale = np.maximum(scale, np.asarray(closes) if column != "volatility_20" else 1e-3)
        missing = np.isnan(want[column].to_numpy())
        assert (np.isnan(got[column].to_numpy()) == missing).all(), column
        error = np.abs(got[column] - want[column]).to_numpy()
        assert (error[~missing] <= 1e-9 * scale[~missing]).all(), (column, np.nanmax(error / scale))


def tape(path, trades):
    path.write_text("ts,symbol,price,size,trade_id\n" + "".join(
        f"{1_700_000_000 + minute * 60 + second},{symbol},{price},1,{number}\n"
        for minute, second, symbol, price, number in trades))


def make(count, seed):
    """Trades of two symbols: a random walk with gaps and stretches that stand still, and one that hardly ever moves."""
    generator = random.Random(seed)
    trades, price, quiet = [], 100.0, 0
    for minute in range(count):
        if generator.random() < 0.2:
            continue
        quiet = max(0, quiet - 1)
        if generator.random() < 0.01:
            quiet = 30
        if quiet == 0:
            price = round(price * math.exp(generator.gauss(0, 0.002)), 4)
        trades.append((minute, 1, "WALK", price, 2 * minute))
        trades.append((minute, 2, "STILL", 1.0 if minute < 100 or minute % 700 else 1.0 + minute % 3 / 100, 2 * minute + 1))
    return trades


def closes(up, symbol, timeframe):
    return [row[0] for row in up.sql(
        "select close from bars where symbol = %s and timeframe = %s order by ts", symbol, timeframe)]


def test_indicators_equal_pandas_also_after_late_trades(start, tmp_path):
    seed = 20240311
    print("seed", seed)
    empty = tmp_path / "empty.csv"
    empty.write_text("ts,symbol,price,size\n")
    up = start("--source", f"replay:{empty}?speed=max")
    trades = make(1500, seed)
    generator = random.Random(seed + 1)
    late = [trade for trade in trades if generator.random() < 0.05]
    columns = ", ".join(COLUMNS)
    for number, part in enumerate([[trade for trade in trades if trade not in late], late]):
        path = tmp_path / f"{number}.csv"
        generator.shuffle(part)
        tape(path, part)
        assert summary(run("load", "--json", "--data-dir", up.folder, path))["accepted"] == len(part)
        for symbol in ["WALK", "STILL"]:
            for timeframe in ["1m", "5m", "1h"]:
                rows = up.sql(
                    f"select {columns} from indicators where symbol = %s and timeframe = %s order by ts",
                    symbol, timeframe)
                assert_equal(rows, closes(up, symbol, timeframe))
    # The function, over a range in the middle, and REST, page by page both ways, say the same.
    everything = up.sql(
        f"select ts, {columns} from indicators where symbol = 'WALK' and timeframe = '1m' order by ts")
    middle = everything[600:900]
    assert_close(up.sql(f"select ts, {columns} from indicators('WALK', '1m', %s, %s)", middle[0][0], everything[900][0]),
                 middle)
    assert_close(pages(up, "WALK", order="asc"), everything)
    assert_close(pages(up, "WALK", order="desc"), everything[::-1])


def assert_close(got, want):
    assert [row[0] for row in got] == [row[0] for row in want]
    for a, b in zip(got, want):
        for x, y in zip(a[1:], b[1:]):
            assert x == y or abs(x - y) <= 1e-12 * 100, (a[0], x, y)


def pages(up, symbol, **parameters):
    rows, token = [], None
    while True:
        reply = requests.get(
            up.url + "/api/v1/indicators", timeout=30,
            params={"symbol": symbol, "timeframe": "1m", "limit": 333, "page_token": token, **parameters}).json()
        assert all(list(row) == ["symbol", "ts", *COLUMNS] and row["symbol"] == symbol for row in reply["indicators"])
        rows += [[pd.Timestamp(row["ts"]).to_pydatetime(), *(row[name] for name in COLUMNS)]
                 for row in reply["indicators"]]
        token = reply["next_page_token"]
        if token is None:
            return rows


def test_the_seeds_mean_of_price_times_size_over_true_windows(played):
    rows = played.sql("select symbol, ts, price_volume_multiply, vwap, trade_count from trade_stats_15s order by 1, 2")
    trades = pd.DataFrame(
        played.sql("select symbol, ts, price, size from trades"), columns=["symbol", "ts", "price", "size"])
    trades["notional"] = trades["price"] * trades["size"]
    windows = trades.groupby(["symbol", trades["ts"].dt.floor("15s")])
    want = pd.DataFrame({
        "mean": windows["notional"].mean(), "sum": windows["notional"].sum(), "size": windows["size"].sum(),
        "count": windows.size()}).reset_index()
    assert len(rows) == len(want) > 1000
    want = want.sort_values(["symbol", "ts"], key=lambda column: column)
    for row, (symbol, ts, mean, total, size, count) in zip(rows, want.itertuples(index=False)):
        assert (row[0], row[1], row[4]) == (symbol, ts, count)
        assert abs(row[2] - mean) <= 1e-9 * mean
        assert (row[3] is None) if size == 0 else abs(row[3] - total / size) <= 1e-9 * row[3]
