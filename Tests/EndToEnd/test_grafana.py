# SPDX-License-Identifier: Apache-2.0
"""What Grafana's panels are served, beside SQL and beside other people's programs."""
import csv
import datetime
import json
import random
import shutil
import tempfile
import pathlib

import numpy
import psycopg
import pytest
import requests
import tsdownsample

from conftest import ROOT, Up, run, wait_until

SYMBOLS = ["AAPL", "GME", "TSLA"]
# A whole hour some six hours ago, so that everything lies in the last six hours.
BEGIN = int(datetime.datetime.now(datetime.timezone.utc).timestamp()) // 3600 * 3600 - 5 * 3600
END = BEGIN + 4 * 3600


def milliseconds(time):
    return int(time.timestamp() * 1000)


@pytest.fixture(scope="module")
def market():
    """A server with what a market has: trades with a spike, posts, instruments, rejected records, an alert, a gap, a
    forecast."""
    base = pathlib.Path(tempfile.mkdtemp(prefix="tapedeck-e2e-"))
    rnd = random.Random(4)
    tape, posts = base / "tape.csv", base / "posts.jsonl"
    with open(tape, "w") as file:
        file.write("ts,symbol,price,size\n")
        for number, symbol in enumerate(SYMBOLS):
            price = 100.0 * (number + 1)
            # The day before, so that a change of the day can be told.
            file.write(f"{(BEGIN - 26 * 3600) * 1000},{symbol},{price * 0.97:.4f},50\n")
            for step in range(4800):
                price *= 1 + rnd.gauss(0, 0.0004)
                shown = price * 1.2 if symbol == "GME" and step == 2345 else price
                file.write(f"{(BEGIN + 3 * step) * 1000 + rnd.randrange(3000)},{symbol},{shown:.4f},{rnd.randrange(1, 900)}\n")
        file.write(f"{BEGIN * 1000},AAPL,-1,5\n{BEGIN * 1000},AAPL,soon,5\n")
    texts = ["GME is wonderful", "I hate GME", "AAPL is great", "TSLA is a terrible disaster", "GME and AAPL", "$TSLA up"]
    with open(posts, "w") as file:
        for number in range(240):
            body = texts[number % len(texts)]
            file.write(json.dumps({
                "id": f"c{number}", "link_id": "t3_s", "body": body, "author": "someone",
                "subreddit": ["stocks", "wallstreetbets"][number % 2], "created_utc": BEGIN + 60 * number,
                "edited": False}) + "\n")
    up = Up(base / "data", "--source", f"replay:{tape}?speed=max")
    try:
        wait_until(lambda: up.one("select count(*) from trades") == 4801 * len(SYMBOLS), 90, "the tape", up)
        wait_until(lambda: up.one("select count(*) from ops.rejected_records") == 2, 60, "what is rejected", up)
        for file in (ROOT / "samples/instruments_us.csv", ROOT / "samples/instruments_more.csv", posts):
            run("load", file, "--data-dir", up.folder)
        run("forecast", "--symbol", "GME", "--steps", "12", "--paths", "500", "--lookback", "7d", "--timeframe", "1m",
            "--data-dir", up.folder)
        with psycopg.connect(up.writer_url) as writer:
            writer.execute(
                "insert into ops.source_events (source, run_id, sequence, ts, kind, from_ts, to_ts, message, ingested_at) "
                "values ('finnhub', 1, 1, %(t)s, 'gap', %(t)s, %(t)s + interval '5 min', 'cut off', now()), "
                "('finnhub', 1, 2, %(t)s, 'connected', null, null, null, now())",
                {"t": datetime.datetime.fromtimestamp(BEGIN + 600, datetime.timezone.utc)})
        yield up
    finally:
        up.close()
        shutil.rmtree(base, ignore_errors=True)


def ask(up, path, **parameters):
    reply = requests.get(f"{up.url}/grafana/{path}", timeout=60, params=parameters)
    assert reply.status_code == 200, f"{reply.url} {reply.status_code} {reply.text}"
    assert reply.text.startswith("[")
    return reply.json()


RANGE = {"from": BEGIN * 1000, "to": END * 1000}


def bars(up, field, symbol, timeframe):
    rows = up.sql(
        f"select ts, {field} from bars where symbol = %s and timeframe = %s and ts >= to_timestamp(%s) and "
        "ts < to_timestamp(%s) order by ts", symbol, timeframe, BEGIN, END)
    return numpy.array([milliseconds(ts) for ts, _ in rows], dtype=numpy.int64), numpy.array([value for _, value in rows])


def largest_triangles(x, y, count):
    """Steinarsson's algorithm (2013, section 4.2), vectorised: another way to the same points."""
    x = (x - x[0]).astype(float)
    edges = numpy.append(numpy.floor(numpy.arange(count - 1) * ((len(x) - 2) / (count - 2))).astype(int) + 1, len(x))
    chosen = [0]
    for first, last, end in zip(edges, edges[1:], edges[2:]):
        mean_x, mean_y = x[last:end].mean(), y[last:end].mean()
        a = chosen[-1]
        areas = numpy.abs((x[a] - mean_x) * (y[first:last] - y[a]) - (x[a] - x[first:last]) * (mean_y - y[a]))
        chosen.append(first + int(areas.argmax()))
    return chosen + [len(x) - 1]


@pytest.mark.parametrize("symbol, field, points", [
    ("AAPL", "close", 100), ("GME", "high", 33), ("TSLA", "vwap", 57), ("GME", "low", 4), ("TSLA", "open", 200)])
def test_lttb_is_what_others_compute(market, symbol, field, points):
    # Bars without gaps: tsdownsample takes the middle of a bucket for the mean of its times.
    times, values = bars(market, field, symbol, "1m")
    assert len(times) == 240 and set(numpy.diff(times)) == {60_000}
    chosen = tsdownsample.LTTBDownsampler().downsample(times, values, n_out=points)
    ours = ask(market, "series", symbol=symbol, field=field, interval="1m", maxDataPoints=points, **RANGE)
    assert [(row["time"], row[field]) for row in ours] == [(times[place], values[place]) for place in chosen]
    # And with gaps.
    times, values = bars(market, field, symbol, "1s")
    assert len(set(numpy.diff(times))) > 1
    chosen = largest_triangles(times, values, points)
    ours = ask(market, "series", symbol=symbol, field=field, interval="1s", maxDataPoints=points, **RANGE)
    assert [(row["time"], row[field]) for row in ours] == [(times[place], values[place]) for place in chosen]


@pytest.mark.parametrize("points", [3, 10, 200, 1001])
def test_the_lowest_and_highest_of_each_span_stay(market, points):
    times, values = bars(market, "close", "GME", "5s")
    times *= 1000
    buckets = points // 2
    spans = (times - times[0]) // ((times[-1] - times[0]) // buckets + 1)
    expected = set()
    for span in numpy.unique(spans):
        places = numpy.flatnonzero(spans == span)
        expected |= {places[values[places].argmin()], places[values[places].argmax()]}
    ours = ask(market, "series", symbol="GME", field="close", interval="5s", downsample="minmax", maxDataPoints=points, **RANGE)
    assert [(row["time"] * 1000, row["close"]) for row in ours] == [(times[p], values[p]) for p in sorted(expected)]
    assert len(ours) <= points and max(row["close"] for row in ours) == values.max()


def test_no_spike_of_a_single_trade_is_lost(market):
    highest, lowest = market.sql(
        "select max(price), min(price) from trades where symbol = 'GME' and ts >= to_timestamp(%s)", BEGIN)[0]
    for points in (10, 100, 1000):
        prices = [row["price"] for row in ask(market, "series", symbol="GME", field="price", maxDataPoints=points, **RANGE)]
        assert (max(prices), min(prices)) == (highest, lowest) and len(prices) <= points + 1
    # Where all of them fit, all are there.
    few = ask(market, "series", symbol="GME", field="price", maxDataPoints=5000, **RANGE)
    assert [(row["time"], row["price"]) for row in few] == [
        (milliseconds(ts), price) for ts, price in market.sql(
            "select date_trunc('milliseconds', ts), price from trades where symbol = 'GME' and ts >= to_timestamp(%s) "
            "order by ts, source, trade_id", BEGIN)]


def test_each_step_has_its_lowest_and_highest_price(market):
    ours = ask(market, "series", symbol="AAPL", field="price", maxDataPoints=120, **RANGE)
    steps = market.sql(
        "select low, high, close >= open, close from candles('AAPL', '5m', to_timestamp(%s), to_timestamp(%s)) order by ts",
        BEGIN, END)
    expected = [price for low, high, rose, _ in steps for price in ((low, high) if rose else (high, low))]
    assert [row["price"] for row in ours] == expected + [steps[-1][3]]
    assert [row["time"] for row in ours] == sorted(row["time"] for row in ours)


def test_sums_keep_all_of_it(market):
    for field, column in [("volume", "size::numeric"), ("trade_count", "1")]:
        rows = ask(market, "series", symbol="TSLA", field=field, maxDataPoints=50, **RANGE)
        assert len(rows) <= 50
        assert sum(row[field] for row in rows) == float(market.one(f"select sum({column}) from trades where symbol = 'TSLA' and ts >= to_timestamp({BEGIN})"))


# Ranges as a clock makes them, in milliseconds: within seconds, minutes and hours; a long one; within one step; within a second.
ANYWHERE = [(BEGIN * 1000 + 1_234_567, END * 1000 - 2_345_678), (BEGIN * 1000 - 90_000_001, END * 1000 - 3_600_001),
            (BEGIN * 1000 + 61_500, BEGIN * 1000 + 3_300_250), (BEGIN * 1000 + 3_600_000, BEGIN * 1000 + 7_000_333),
            (BEGIN * 1000 + 7_030_100, BEGIN * 1000 + 7_040_900), (BEGIN * 1000 + 7_035_000, BEGIN * 1000 + 7_035_999)]


@pytest.mark.parametrize("begin, end", ANYWHERE)
@pytest.mark.parametrize("points", [1, 4, 50, 400])
def test_the_ends_of_a_range_are_where_they_are(market, begin, end, points):
    asked = {"symbol": "GME", "maxDataPoints": points, "from": begin, "to": end}
    within = f"symbol = 'GME' and ts >= to_timestamp({begin} / 1000.0) and ts < to_timestamp({end} / 1000.0)"
    low, high, opened, closed, volume, notional, count = market.sql(
        "select min(price), max(price), first(price, ts), last(price, ts), sum(size::numeric), sum(price::numeric * size::numeric), "
        f"count(*) from trades where {within}")[0]
    prices = ask(market, "series", field="price", **asked)
    assert (min(row["price"] for row in prices), max(row["price"] for row in prices), prices[-1]["price"]) == (low, high, closed)
    assert all(begin <= row["time"] < end for row in prices) and prices == sorted(prices, key=lambda row: row["time"])
    sums = ask(market, "series", fields="volume,notional,trade_count", **asked)
    assert (sum(row["volume"] for row in sums), sum(row["trade_count"] for row in sums)) == (float(volume), count)
    assert sum(row["notional"] for row in sums) == pytest.approx(float(notional), rel=1e-12)
    # Grafana draws bars as wide as the least distance between two: all begin where bars do.
    for candles in (ask(market, "candles", **asked), ask(market, "candles", **asked | {"interval": "1h"})):
        assert (candles[0]["open"], candles[-1]["close"]) == (opened, closed)
        assert (min(row["low"] for row in candles), max(row["high"] for row in candles)) == (low, high)
        assert sum(row["volume"] for row in candles) == float(volume)
        assert all(row["time"] % 1000 == 0 for row in candles)
    assert len(sums) <= max(2, points) and len(prices) <= max(5, points)


def test_the_newest_bars_end_where_the_range_does(market):
    end = BEGIN * 1000 + 7_035_500
    expected = market.sql(
        "select ts, first(price, t), max(price), min(price), last(price, t), sum(size) from (select time_bucket('1 minute', ts) as ts, "
        "ts as t, price, size from trades where symbol = 'GME' and ts < to_timestamp(%s / 1000.0)) as x group by 1 order by 1 desc limit 5", end)
    candles = ask(market, "candles", symbol="GME", interval="1m", maxDataPoints=5, to=end)
    assert [tuple(candle.values()) for candle in candles] == [(milliseconds(row[0]), *row[1:]) for row in reversed(expected)]


def test_a_range_without_a_beginning_is_all_that_there_is(market):
    end = BEGIN * 1000 + 8_035_500
    low, high, volume, count = market.sql(
        "select min(price), max(price), sum(size), count(*) from trades where symbol = 'GME' and ts < to_timestamp(%s / 1000.0)", end)[0]
    for more in ({"to": end}, {"to": end, "interval": "1s"}):
        prices = [row["price"] for row in ask(market, "series", symbol="GME", field="price", maxDataPoints=50, **more)]
        assert (min(prices), max(prices)) == (low, high) and len(prices) <= 50
        sums = ask(market, "series", symbol="GME", fields="volume,trade_count", maxDataPoints=50, **more)
        assert sum(row["volume"] for row in sums) == volume and sum(row["trade_count"] for row in sums) == count
        assert len(sums) <= 50
    # Prices lie where trades do, to the minute.
    first, last = market.sql("select min(ts), max(ts) from trades where symbol = 'GME'")[0]
    times = [row["time"] for row in ask(market, "series", symbol="GME", field="price", maxDataPoints=50)]
    assert milliseconds(first) - 60_000 < times[0] and times[-1] < milliseconds(last) + 60_000
    # Lines too: to the first bar, which is of the day before.
    for field in ("close", "ema_12", "mean_close"):
        rows = ask(market, "series", symbol="GME", field=field, interval="1m", maxDataPoints=30)
        assert len(rows) <= 30 and rows[-1]["time"] >= (END - 3600) * 1000, field
        assert field == "ema_12" or rows[0]["time"] == (BEGIN - 26 * 3600) * 1000 // 60_000 * 60_000, field
    assert ask(market, "series", symbols="NOBODY", field="price", to=end) == []


def test_sums_of_many_lines_keep_all_of_it(market):
    # Half a million values in all: the steps of each line are as wide as its part of them asks.
    asked = {"symbols": ",".join(["TSLA"] + [f"N{number}" for number in range(99)]), "maxDataPoints": 50_000, "from": BEGIN, "to": END}
    rows = ask(market, "series", fields="trade_count,volume", **asked)
    assert sum(row["trade_count"] for row in rows) == 4800 and len(rows) <= 2500


def test_bars_stand_for_trades_that_are_kept_no_more(market):
    at = BEGIN + 7020
    asked = {"symbol": "GME", "field": "price", "maxDataPoints": 5000, "from": at * 1000 + 20_400, "to": at * 1000 + 90_600}
    exact = ask(market, "series", **asked)
    with psycopg.connect(market.writer_url, autocommit=True) as writer:
        try:
            for dataset, width in [("trades", 1), ("fine_bars", 60)]:
                writer.execute("insert into ops.retention (dataset, dropped_before) values (%s, to_timestamp(%s))", (dataset, END))
                begin, end = (at * 1000 + 20_400) // (1000 * width) * width, -(-(at * 1000 + 90_600) // (1000 * width)) * width
                low, high, volume = market.sql(
                    "select min(low), max(high), sum(volume) from bars where symbol = 'GME' and timeframe = '1s' "
                    "and ts >= to_timestamp(%s) and ts < to_timestamp(%s)", begin, end)[0]
                rows = ask(market, "series", **asked | {"maxDataPoints": 8})
                assert (min(row["price"] for row in rows), max(row["price"] for row in rows)) == (low, high)
                # What is left of the trades is not taken for all of them.
                assert ask(market, "series", **asked) != exact
                rows = ask(market, "series", **asked | {"field": "volume", "maxDataPoints": 8})
                assert sum(row["volume"] for row in rows) == volume
        finally:
            writer.execute("delete from ops.retention")
    assert ask(market, "series", **asked) == exact


def test_series_have_the_shapes_that_panels_take(market):
    asked = dict(symbols="{GME,AAPL}", field="close", interval="1h", **RANGE)
    bars = market.sql(
        "select ts, symbol, close from bars where timeframe = '1h' and symbol in ('GME', 'AAPL') and ts >= to_timestamp(%s) "
        "and ts < to_timestamp(%s) order by ts, symbol desc", BEGIN, END)
    long = ask(market, "series", **asked)
    assert [(row["time"], row["symbol"], row["close"]) for row in long] == [(milliseconds(ts), s, c) for ts, s, c in bars]
    wide = ask(market, "series", shape="wide", **asked)
    assert [list(row) for row in wide] == [["time", "GME", "AAPL"]] * (len(bars) // 2)
    frames = ask(market, "series", shape="frame", **asked)
    assert [frame["name"] for frame in frames] == ["GME", "AAPL"]
    time, close = frames[0]["fields"]
    assert time["type"] == "time" and close["labels"] == {"symbol": "GME"} and len(time["values"]) == frames[0]["length"]
    assert close["values"] == [row["GME"] for row in wide]
    assert ask(market, "series", symbols="NOBODY", **RANGE) == []


def test_indicators_and_sentiment_are_series_too(market):
    rows = ask(market, "series", symbol="AAPL", fields="rsi_14,sma_20", interval="1m", **RANGE)
    expected = market.sql(
        "select ts, rsi_14, sma_20 from indicators where symbol = 'AAPL' and timeframe = '1m' and ts >= to_timestamp(%s) "
        "and ts < to_timestamp(%s) order by ts", BEGIN, END)
    assert len(rows) == len(expected) > 200
    for row, (ts, rsi, sma) in zip(rows, expected):
        assert row["time"] == milliseconds(ts) and row["rsi_14"] == pytest.approx(rsi) and row["sma_20"] == pytest.approx(sma)
    # Every width that Grafana computes: the next wider one that is stored.
    for asked, stored in [({"intervalMs": 30_000}, "1m"), ({"interval": "30m"}, "1h"), ({"interval": "2h"}, "1d")]:
        for field in ("rsi_14", "mean_sentiment"):
            assert ask(market, "series", symbol="AAPL", field=field, **asked, **RANGE) == ask(
                market, "series", symbol="AAPL", field=field, interval=stored, **RANGE)
    # Of sma_20 the first bars have none; those of ema_12 stay.
    thinned = ask(market, "series", symbol="AAPL", fields="sma_50,sma_20", interval="1m", maxDataPoints=20, **RANGE)
    assert len(thinned) <= 20 and any(row["sma_50"] is None and row["sma_20"] is not None for row in thinned)
    moods = ask(market, "series", symbol="GME", field="mean_sentiment", interval="15m", **RANGE)
    assert [(row["time"], row["mean_sentiment"]) for row in moods] == [
        (milliseconds(ts), mean) for ts, mean in market.sql(
            "select ts, mean_sentiment from sentiment_bars where symbol = 'GME' and timeframe = '15m' order by ts")]


@pytest.mark.parametrize("begin, end", [(BEGIN * 1000 + 1_234_567, END * 1000 - 2_345_678), (BEGIN * 1000 + 239_500, BEGIN * 1000 + 430_250)])
@pytest.mark.parametrize("asked", [{"interval": "1h"}, {"interval": "1m", "maxDataPoints": 7}, {"maxDataPoints": 20}])
def test_sentiment_is_of_the_range(market, begin, end, asked):
    within = f"symbol = 'GME' and ts >= to_timestamp({begin} / 1000.0) and ts < to_timestamp({end} / 1000.0)"
    rows = ask(market, "series", symbol="GME", fields="post_count,positive_count,negative_count,mean_sentiment", **{"from": begin, "to": end} | asked)
    sums = tuple(sum(row[name] for row in rows) for name in ("post_count", "positive_count", "negative_count"))
    assert sums == market.sql(
        "select count(*), count(*) filter (where sentiment >= 0.05), count(*) filter (where sentiment <= -0.05) "
        f"from mentions where {within}")[0]
    assert sum(row["post_count"] * row["mean_sentiment"] for row in rows) == pytest.approx(
        market.one(f"select sum(sentiment) from mentions where {within}"))
    assert len(rows) <= asked.get("maxDataPoints", 1000) and [row["time"] for row in rows] == sorted(row["time"] for row in rows)
    # All of a range without a beginning.
    whole = ask(market, "series", symbol="GME", field="post_count", interval="1h", maxDataPoints=2, to=end)
    assert sum(row["post_count"] for row in whole) == market.one(
        f"select count(*) from mentions where symbol = 'GME' and ts < to_timestamp({end} / 1000.0)")


@pytest.mark.parametrize("interval, trunc", [("30m", "time_bucket('30 minutes', ts)"), ("1d", "date_trunc('day', ts, 'UTC')"),
                                             ("1w", "date_trunc('week', ts, 'UTC')")])
def test_means_of_closes_are_those_of_minutes(market, interval, trunc):
    expected = [(milliseconds(ts), pytest.approx(mean, rel=1e-12)) for ts, mean in market.sql(
        f"select {trunc}, avg(close) from bars where symbol = 'GME' and timeframe = '1m' group by 1 order by 1")]
    asked = dict(symbol="GME", field="mean_close", interval=interval)
    ours = [(row["time"], row["mean_close"]) for row in ask(market, "series", **asked)]
    assert ours == expected
    # Those that begin in a range with a beginning.
    rows = ask(market, "series", **{"from": "to-1d", "to": END}, **asked)
    assert [row["time"] for row in rows] == [time for time, _ in expected if END * 1000 - 86_400_000 <= time < END * 1000]


def test_daily_means_are_of_whole_days(market):
    days = market.sql(
        "select date_trunc('day', ts, 'UTC'), symbol, avg(close), count(*) from bars where timeframe = '1m' group by 1, 2 order by 1, 2")
    assert len({day for day, *_ in days}) > 1
    expected = [(milliseconds(day), day.strftime("%Y-%m-%d"), symbol, pytest.approx(mean, rel=1e-12), minutes)
                for day, symbol, mean, minutes in days]
    rows = [tuple(row.values()) for row in ask(market, "table", name="daily_means")]
    assert rows == expected
    # A moment of a day is enough, and its end is not of it.
    last = max(day for day, *_ in days)
    within = ask(market, "table", name="daily_means", **{"from": milliseconds(last) + 1, "to": milliseconds(last) + 2})
    assert [tuple(row.values()) for row in within] == [row for row in expected if row[0] == milliseconds(last)]
    before = ask(market, "table", name="daily_means", to=milliseconds(last))
    assert [tuple(row.values()) for row in before] == [row for row in expected if row[0] < milliseconds(last)]
    newest = ask(market, "table", name="daily_means", show="newest", symbols="GME,TSLA")
    assert [(row["symbol"], row["time"]) for row in newest] == [("GME", milliseconds(last)), ("TSLA", milliseconds(last))]
    levels = ask(market, "table", name="daily_means", show="levels", symbol="GME", **{"from": milliseconds(last) + 1000})
    assert [row["time"] for row in levels] == [milliseconds(last) + 1000, milliseconds(last) + 86_399_999]


def test_candles_are_merged_where_too_many_would_come(market):
    candles = ask(market, "candles", symbol="GME", interval="5s", maxDataPoints=50, **RANGE)
    expected = market.sql(
        "select ts, open, high, low, close, volume from candles('GME', '5m', to_timestamp(%s), to_timestamp(%s)) order by ts",
        BEGIN, END)
    assert [tuple(candle.values()) for candle in candles] == [(milliseconds(row[0]), *row[1:]) for row in expected]


def test_last_has_the_day_and_the_year(market):
    row, = ask(market, "last", symbol="GME")
    day = datetime.datetime.fromtimestamp(row["time"] / 1000, datetime.timezone.utc).date()
    price, previous = market.sql("select price, previous_price from latest where symbol = 'GME'")[0]
    assert (row["price"], row["change"]) == (price, price - previous)
    assert row["change_pct"] == pytest.approx((price / previous - 1) * 100)
    assert (row["day_high"], row["day_low"]) == market.sql(
        "select max(price), min(price) from trades where symbol = 'GME' and ts >= %s", day)[0]
    assert (row["high_52w"], row["low_52w"]) == market.sql("select max(price), min(price) from trades where symbol = 'GME'")[0]
    assert [row["symbol"] for row in ask(market, "last", symbols="(TSLA|AAPL)")] == ["AAPL", "TSLA"]


@pytest.mark.parametrize("name", [
    "trades", "trade_stats_15s", "comparison", "daily_means", "instruments", "sentiment_now", "sentiment", "sentiment_by_subreddit",
    "mentions", "posts", "sources", "freshness", "throughput", "lag", "log_positions", "runs", "rejected", "rejected_by_reason", "rejected_total",
    "rejected_over_time", "gaps", "jobs", "alerts", "forecast", "forecast_outcomes",
])
def test_every_table_has_rows(market, name):
    rows = ask(market, "table", name=name, **({"symbols": "GME"} if name in (
        "trades", "trade_stats_15s", "forecast", "forecast_outcomes") else {}))
    assert rows
    for row in rows:
        for column, value in row.items():
            if column == "time" or column.startswith("last_t"):
                assert value is None or isinstance(value, int) and value > 1e12, (column, value)


def test_tables_say_what_sql_says(market):
    mentions = market.sql("select symbol, count(*), avg(sentiment) from mentions group by 1 order by 2 desc, 1")
    assert [(row["symbol"], row["mention_count"], row["sentiment"]) for row in ask(market, "table", name="mentions")] == [
        (symbol, count, pytest.approx(mean)) for symbol, count, mean in mentions]
    compared = ask(market, "table", name="comparison", timeframe="1m", symbols="AAPL,TSLA")
    for row, (symbol, mean, high, low) in zip(compared, market.sql(
            "select symbol, avg(close), max(high), min(low) from bars where timeframe = '1m' and symbol in ('AAPL', 'TSLA') "
            "group by 1 order by 1"), strict=True):
        assert (row["symbol"], row["high"], row["low"]) == (symbol, high, low)
        assert row["mean_close"] == pytest.approx(mean)
    # A comparison is of the trades within the range, wherever it begins and ends.
    for begin, end, more in [(BEGIN * 1000 + 1_234_567, BEGIN * 1000 + 9_876_543, {}), (BEGIN * 1000 + 1_234_567, BEGIN * 1000 + 1_294_001, {}),
                             (BEGIN * 1000 + 1_234_567, BEGIN * 1000 + 9_876_543, {"timeframe": "1d"}), (BEGIN * 1000, END * 1000, {"timeframe": "1h"}),
                             ((BEGIN - 86_400) * 1000, END * 1000, {})]:
        expected = market.sql(
            "select symbol, (array_agg(price order by ts, trade_id))[1], (array_agg(price order by ts desc, trade_id desc))[1], "
            "max(price), min(price), sum(size), avg(price * size) from trades where ts >= to_timestamp(%s / 1000.0) "
            "and ts < to_timestamp(%s / 1000.0) group by 1 order by 1", begin, end)
        ours = ask(market, "table", name="comparison", **{"from": begin, "to": end}, **more)
        assert [(row["symbol"], row["open"], row["close"], row["high"], row["low"], row["volume"], row["average_value"]) for row in ours] == [
            (*row[:6], pytest.approx(row[6])) for row in expected]
        if more.get("timeframe") == "1d" and begin // 86_400_000 == (end - 1) // 86_400_000:
            assert all(row["mean_close"] == row["close"] for row in ours)
    hours = dict(market.sql("select symbol, avg(close) from bars where timeframe = '1h' and ts >= to_timestamp(%s) group by 1", BEGIN))
    ours = ask(market, "table", name="comparison", timeframe="1h", **RANGE)
    assert {row["symbol"]: row["mean_close"] for row in ours} == pytest.approx(hours)
    # At a moment in the middle of the posts.
    until = BEGIN + 3 * 3600
    gauge, = ask(market, "table", name="sentiment_now", symbol="GME", to=until)
    for column, minutes in [("last_30m", 30), ("last_1h", 60), ("last_2h", 120), ("last_4h", 240)]:
        assert gauge[column] == pytest.approx(market.one(
            f"select avg(sentiment) from mentions where symbol = 'GME' and ts < to_timestamp({until}) "
            f"and ts >= to_timestamp({until - 60 * minutes})")), column
    assert gauge["now"] == market.one(
        f"select sentiment from mentions where symbol = 'GME' and ts < to_timestamp({until}) order by ts desc limit 1")
    moods = ask(market, "table", name="sentiment", symbol="TSLA", timeframe="1m")
    assert {row["mood"] for row in moods} >= {"bear", "neutral"} and [row["time"] for row in moods] == sorted(
        row["time"] for row in moods)
    by_reason = {row["reason"]: row["records"] for row in ask(market, "table", name="rejected_by_reason")}
    assert by_reason == {"price_not_positive": 1, "price_unreadable": 1}
    assert [row["records"] for row in ask(market, "table", name="rejected_total")] == [2]


def test_annotations_logs_and_variables(market):
    marks = ask(market, "annotations", **RANGE)
    assert all(list(mark) == ["time", "timeEnd", "title", "text", "tags"] for mark in marks)
    assert {mark["tags"].split(",")[0] for mark in ask(market, "annotations", symbol="GME")} == {"alert", "gap", "forecast"}
    gap, = ask(market, "annotations", kind="gaps", **RANGE)
    assert (gap["time"], gap["timeEnd"]) == ((BEGIN + 600) * 1000, (BEGIN + 900) * 1000)
    lines = ask(market, "logs")
    assert {"timestamp", "severity", "level", "body", "id"} == set(lines[0]) and len(lines) == 4
    assert all(line["severity"] == line["level"] for line in lines) and {line["level"] for line in lines} == {"warning", "info"}
    assert len(ask(market, "logs", kind="posts")) == 240
    values = ask(market, "symbols")
    assert [value["__value"] for value in values] == SYMBOLS
    assert ask(market, "symbols", search="gamest")[0]["__value"] == "GME"
    assert len(ask(market, "symbols", of="known", limit=50)) == 50


@pytest.mark.parametrize("path, words", [
    ("series?symbol=${symbol}", "variable ${symbol} of \"symbol\" has no value here"),
    ("series?symbol=GME&field=clos", "invalid value for parameter \"field\": \"clos\""),
    ("table?name=mention", "invalid value for parameter \"name\": \"mention\""),
    ("candles?symbol=GME&intervall=1m", "unknown parameter \"intervall\""),
    ("series?symbol=GME&downsample=none&interval=1s&from=0&field=close&fields=rsi_14", "\"close\" and \"rsi_14\" are not of one table"),
])
def test_an_errors_first_words_are_in_the_status_line(market, path, words):
    reply = requests.get(f"{market.url}/grafana/{path}", timeout=30)
    assert (reply.status_code, reply.reason) == (400, words)
    assert reply.json()["message"] == words


def test_who_accepts_csv_is_given_csv(market):
    def lines(path, accept="text/csv; charset=utf-8"):
        reply = requests.get(f"{market.url}/grafana/{path}", headers={"Accept": accept}, timeout=30)
        assert reply.headers["Content-Type"].startswith("text/csv") and "Accept" in reply.headers["Vary"]
        return list(csv.DictReader(reply.text.splitlines()))

    for path, parameters in [("series", dict(symbols="GME,AAPL", interval="1h", fields="close,volume")), ("candles", dict(symbol="GME", interval="1h")),
                             ("last", dict(symbol="GME")), ("table", dict(name="sources")), ("series", dict(symbols="GME,AAPL", shape="wide"))]:
        query = "&".join(f"{name}={value}" for name, value in (parameters | RANGE).items())
        rows = ask(market, path, **parameters | RANGE)
        given = lines(f"{path}?{query}")
        assert len(given) == len(rows) > 0
        for ours, theirs in zip(given, rows):
            assert list(ours) == list(theirs)
            for name, value in theirs.items():
                if name in ("age_seconds", "silent_seconds", "trades_per_second"):
                    continue
                if isinstance(value, bool) or value is None or isinstance(value, str):
                    assert ours[name] == {True: "true", False: "false", None: ""}.get(value, value), name
                else:
                    assert float(ours[name]) == value, name
    reply = requests.get(market.url + "/grafana/last?symbol=GME", headers={"Accept": "text/xml;q=0.9,text/plain"}, timeout=30)
    assert reply.status_code == 406 and "application/json and text/csv" in reply.json()["details"]
    for accept in ("application/json;q=0.9,text/plain", "*/*", "application/x-ndjson, application/json"):
        reply = requests.get(market.url + "/grafana/last?symbol=GME", headers={"Accept": accept}, timeout=30)
        assert reply.headers["Content-Type"] == "application/json", accept


def test_all_of_a_list_is_all(market):
    assert len(ask(market, "last", symbols="$__all,GME")) == len(SYMBOLS)
    assert {row["symbol"] for row in ask(market, "series", symbols="$__all,GME", interval="1h", **RANGE)} == set(SYMBOLS)
    reply = requests.get(market.url + "/api/v1/stream?symbols=", timeout=30)
    assert (reply.status_code, reply.json()["message"]) == (400, 'parameter "symbols" is empty')


def test_macros_that_arrive_literally_are_understood(market):
    asked = "series?symbol=GME&interval=$__interval&intervalMs=${__interval_ms}&from=${__from}&to=${__to}&maxDataPoints=20"
    reply = requests.get(f"{market.url}/grafana/{asked}", timeout=30)
    assert reply.json() == ask(market, "series", symbol="GME", maxDataPoints=20) and 10 < len(reply.json()) <= 20


def test_of_more_symbols_than_fit_those_come_that_trade_most(market, tmp_path):
    # The last test of the file: it adds symbols. The more trades of one the smaller its number; of the last ones none in the range.
    names = [f"M{number:03d}" for number in range(130)]
    with open(tmp_path / "many.csv", "w") as file:
        file.write("ts,symbol,price,size\n")
        for number, name in enumerate(names):
            at = BEGIN + 60 if number < 120 else BEGIN - 90_000
            for trade in range(140 - number):
                file.write(f"{at * 1000 + 10 * trade + number},{name},10,1\n")
    run("load", tmp_path / "many.csv", "--data-dir", market.folder)

    def shown(**more):
        return {row["symbol"] for row in ask(market, "series", symbols=".*", field="close", interval="1h", **more)}

    # What the dashboard asks by itself.
    assert shown(maxDataPoints=500, **RANGE) == set(SYMBOLS) | set(names[:97])
    assert len(shown(maxDataPoints=500, **{"from": BEGIN - 90_100, "to": BEGIN - 89_900})) == 10
    # Of a range without a beginning, those that traded last: the later the larger the number, beside the first ones.
    latest = {symbol for symbol, in market.sql("select symbol from latest order by ts desc, symbol limit 100")}
    assert shown(maxDataPoints=5) == latest
    assert ask(market, "series", symbols="$__all", field="rsi_14", interval="1m", **RANGE)
    # The newest trade is the latest one, of those of one moment too.
    with open(tmp_path / "moment.csv", "w") as file:
        file.write("ts,symbol,price,size,id\n" + "".join(f"{END * 1000},MOMENT,{number},1,{number}\n" for number in (3, 9, 1, 7)))
    run("load", tmp_path / "moment.csv", "--data-dir", market.folder)
    newest, = ask(market, "table", name="trades", symbols="MOMENT", limit=1)
    assert newest["price"] == market.one("select price from latest where symbol = 'MOMENT'")
    # In the range itself, to the millisecond: of the hour before, these have fewer trades than any other.
    with open(tmp_path / "late.csv", "w") as file:
        file.write("ts,symbol,price,size\n")
        for number in range(110):
            file.write("".join(f"{(BEGIN + 1800) * 1000 + 500 + trade},L{number:03d},10,1\n" for trade in range(2 if number < 98 else 1)))
    run("load", tmp_path / "late.csv", "--data-dir", market.folder)
    at = (BEGIN + 1800) * 1000
    begin, end = at + 499, at + 502
    expected = market.sql(
        "select symbol from trades where ts >= to_timestamp(%s / 1000.0) and ts < to_timestamp(%s / 1000.0) group by 1 "
        "order by count(*) desc, 1 limit 100", begin, end)
    found = shown(**{"from": begin, "to": end})
    assert found == {symbol for symbol, in expected} and len(found) == 100
    # Opinions are of those who are spoken of, though none has traded.
    with open(tmp_path / "posts.jsonl", "w") as file:
        file.write(json.dumps({"id": "z1", "name": "t3_z1", "title": "$NOTRADE is great, $AAPL too", "selftext": "", "author": "a",
                               "subreddit": "stocks", "created_utc": BEGIN + 90, "edited": False}) + "\n")
    with open(tmp_path / "known.csv", "w") as file:
        file.write("symbol,name\nNOTRADE,Notrade Inc\n")
    for name in ("known.csv", "posts.jsonl"):
        run("load", tmp_path / name, "--data-dir", market.folder)
    rows = ask(market, "series", symbols="$__all", field="post_count", interval="1h", **RANGE)
    within = "ts >= to_timestamp(%s) and ts < to_timestamp(%s)"
    mentioned = {symbol for symbol, in market.sql(f"select distinct symbol from mentions where {within}", BEGIN, END)}
    assert {row["symbol"] for row in rows} == mentioned and "NOTRADE" in mentioned
    assert sum(row["post_count"] for row in rows) == market.sql(
        f"select count(*) from mentions where {within}", BEGIN, END)[0][0]
