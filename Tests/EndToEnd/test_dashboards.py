# SPDX-License-Identifier: Apache-2.0
"""The dashboards of deploy/grafana: each query of each panel, sent and read by the rules of the plug-in, beside SQL."""
import datetime
import json
import re
import subprocess

import psycopg
import pytest
import requests
import yaml

import infinity
from conftest import BINARY, ENVIRONMENT, ROOT, run, wait_until
from postgres_server import PostgresServer
from test_grafana import BEGIN, END, SYMBOLS, market, milliseconds  # noqa: F401, the fixture

GRAFANA = ROOT / "deploy/grafana"
DASHBOARDS = {path.stem: json.loads(path.read_text()) for path in sorted((GRAFANA / "dashboards").glob("*.json"))}
VARIABLES = {"symbol": "GME", "symbols": SYMBOLS}
SINCE, UNTIL = BEGIN * 1000, END * 1000
# The first trade of the sample tape, 2011-09-13.
SAMPLE_BEGINS = 1315922016
WITHIN = f"ts >= to_timestamp({BEGIN}) and ts < to_timestamp({END})"
POSTED = f"created_at >= to_timestamp({BEGIN}) and created_at < to_timestamp({END})"
MENTIONING = "exists (select from mentions m where m.post_id = p.id and m.symbol = 'GME')"


def epoch(column):
    return f"floor(extract(epoch from {column}) * 1000)::bigint"


def bars(columns, timeframe, symbol="GME"):
    return f"select {epoch('ts')}, {columns} from bars where symbol = '{symbol}' and timeframe = '{timeframe}' and {WITHIN} order by ts"


def day_of(seconds):
    return datetime.datetime.fromtimestamp(seconds, datetime.timezone.utc).strftime("%Y-%m-%d 00:00:00+00")


# Each minute of a day counts as much as another, and the whole day does, whatever the range.
DAILY = ("select symbol, date_trunc('day', ts, 'UTC') at time zone 'UTC' as day, avg(close) as mean from bars where timeframe = '1m' and {} "
         "group by 1, 2")
LAST = "select {} from latest where symbol = 'GME'"
DAY = "(select {} from bars where symbol = 'GME' and timeframe = '1d' order by ts desc limit 1)"
BEFORE = "(select close from bars where symbol = 'GME' and timeframe = '1d' order by ts desc offset 1 limit 1)"
# By dashboard, title and the query's letter: the columns that are compared, and what they are in SQL. A query whose points
# are chosen among many has all of them here, and is compared as a part of them.
EXPECTED = {
    ("market", "Latest price", "A"): ("price time", LAST.format("price, " + epoch("ts"))),
    ("market", "Change", "A"): ("change change_pct", LAST.format(
        "price - previous_price, (price - previous_price) / previous_price * 100")),
    ("market", "Change of the day", "A"): ("day_change day_change_pct", LAST.format(
        f"price - {BEFORE}, (price - {BEFORE}) / {BEFORE} * 100")),
    ("market", "52-week high", "A"): ("high_52w", "select max(price) from trades where symbol = 'GME'"),
    ("market", "52-week low", "A"): ("low_52w", "select min(price) from trades where symbol = 'GME'"),
    ("market", "Volume of the day", "A"): ("day_volume", f"select {DAY.format('volume')}"),
    ("market", "Candles", "A"): ("time open high low close volume", bars("open, high, low, close, volume", "1m")),
    ("market", "Average price × volume of 15 seconds", "A"): (
        "time price_volume_multiply vwap trade_count",
        f"select {epoch('ts')}, price_volume_multiply, vwap, trade_count from trade_stats_15s "
        f"where symbol = 'GME' and {WITHIN} order by ts desc limit 100"),
    ("market", "Price", "A"): ("price", f"select min(price) from trades where symbol = 'GME' and {WITHIN} group by time_bucket('30 seconds', ts) "
                               f"union select max(price) from trades where symbol = 'GME' and {WITHIN} group by time_bucket('30 seconds', ts) "
                               f"union select last(price, ts) from trades where symbol = 'GME' and {WITHIN}"),
    ("market", "Volume", "A"): ("volume", f"select sum(size) from trades where symbol = 'GME' and {WITHIN} group by time_bucket('2 minutes', ts) "
                                "order by time_bucket('2 minutes', ts)"),
    ("market", "Means of 30 minutes and of days", "A"): (
        "30 minutes", f"select avg(close) from bars where symbol = 'GME' and timeframe = '1m' and {WITHIN} "
        "group by time_bucket('30 minutes', ts) order by time_bucket('30 minutes', ts)"),
    # A level through each day of the range.
    ("market", "Means of 30 minutes and of days", "B"): (
        "time day", "select unnest(array[greatest({0}, {1}), least({0} + 86400000, {2}) - 1]), mean from ({3}) as days order by 1".format(
            epoch("day"), SINCE, UNTIL, DAILY.format(f"'GME' = symbol and ts >= '{day_of(BEGIN)}' and ts < '{day_of(END - 1)}'::timestamptz + interval '1 day'"))),
    ("market", "Moving averages", "A"): (
        "time sma_20 sma_50 ema_12 ema_26", f"select {epoch('ts')}, sma_20, sma_50, ema_12, ema_26 from indicators "
        f"where symbol = 'GME' and timeframe = '1m' and {WITHIN} order by ts"),
    ("market", "Relative strength index", "A"): (
        "time rsi_14", f"select {epoch('ts')}, rsi_14 from indicators where symbol = 'GME' and timeframe = '1m' and {WITHIN} order by ts"),
    ("market", "Prices", "A"): ("time close", bars("close", "1s")),
    ("market", "When it trades", "A"): ("time trade_count", bars("trade_count", "1m")),
    ("market", "Sentiment now and before", "A"): (
        "now last_30m last_1h last_2h last_4h",
        "select " + "(select sentiment from posts p where {0} and {1} order by created_at desc, id desc limit 1), ".format(POSTED, MENTIONING)
        + ", ".join(
            f"(select avg(sentiment) from posts p where {POSTED} and {MENTIONING} "
            f"and created_at >= to_timestamp({END}) - interval '{minutes} minutes')" for minutes in (30, 60, 120, 240))),
    ("market", "Sentiment by subreddit", "A"): (
        "subreddit sentiment",
        f"select subreddit, avg(sentiment) from posts p where {POSTED} and {MENTIONING} group by 1 order by count(*) desc, 1"),
    ("market", "Mentions of all symbols", "A"): (
        "symbol mention_count", f"select symbol, count(*) from mentions where {WITHIN} group by 1 order by 2 desc, 1"),
    ("market", "Sentiment over time", "A"): (
        "time mean_sentiment", f"select {epoch('ts')}, mean_sentiment from sentiment_bars where symbol = 'GME' "
        f"and timeframe = '15m' and {WITHIN} order by ts"),
    ("market", "Mood", "A"): (
        "time mood", f"select {epoch('ts')}, case when mean_sentiment >= 0.05 then 'bull' when mean_sentiment <= -0.05 "
        f"then 'bear' else 'neutral' end from sentiment_bars where symbol = 'GME' and timeframe = '15m' and {WITHIN} order by ts"),
    ("market", "Posts", "A"): (
        "time body sentiment", f"select {epoch('created_at')}, body, sentiment from posts p where {POSTED} and {MENTIONING} "
        "order by created_at desc, id limit 50"),
    ("market", "Daily mean close", "A"): (
        "symbol day mean_close",
        "select distinct on (symbol) symbol, to_char(day, 'YYYY-MM-DD'), mean from ({}) as days order by symbol, day desc".format(
            DAILY.format(f"ts < '{day_of(END - 1)}'::timestamptz + interval '1 day'"))),
    ("market", "Closes", "A"): (
        "close", f"select close from bars where symbol = 'AAPL' and timeframe = '5s' and {WITHIN} order by ts"),
    ("market", "Comparison", "A"): (
        "symbol close change_pct high low volume average_value",
        "select symbol, last(close, ts), (last(close, ts) / first(open, ts) - 1) * 100, max(high), min(low), sum(volume), "
        f"sum(notional) / sum(trade_count) from bars where timeframe = '1m' and {WITHIN} group by 1 order by 1"),
    ("market", "Forecast", "A"): (
        "time mean p05 p25 p50 p75 p95 actual",
        f"select {epoch('ts')}, mean, p05, p25, p50, p75, p95, actual from forecast_steps where forecast_id = "
        "(select max(forecast_id) from forecasts where symbol = 'GME') order by step"),
    ("market", "Outcomes", "A"): (
        "price_low density", "select price_low, density from forecast_outcomes where forecast_id = "
        "(select max(forecast_id) from forecasts where symbol = 'GME') order by bin"),
    ("market", "Trades", "A"): (
        "time price size source", f"select {epoch('ts')}, price, size, source from trades where symbol = 'GME' and {WITHIN} "
        "order by ts desc limit 50"),
    ("market", "Company", "A"): ("symbol name", "select symbol, name from instruments where symbol = 'GME'"),
    ("pipeline", "Trades a second", "A"): ("trades_per_second", "select rate from ops.source_freshness order by source"),
    ("pipeline", "Silent sources", "A"): ("source is_silent", "select source, is_silent from ops.source_freshness order by source"),
    ("pipeline", "Lag", "A"): (
        "lag_seconds", "select max(extract(epoch from committed_at - last_ts))::float8 from ops.live_batches "
        "group by date_trunc('second', committed_at) order by date_trunc('second', committed_at)"),
    ("pipeline", "Records behind", "A"): ("records_behind counted_seconds", "select 0, 0"),
    ("pipeline", "Oldest waiting", "A"): ("oldest_seconds counted_seconds", "select 0, 0"),
    ("pipeline", "Processors", "A"): ("processors silent_seconds", "select 1, 0"),
    ("pipeline", "Rejected in the range", "A"): ("records", "select count(*) from ops.rejected_records"),
    ("pipeline", "Trades committed", "A"): (
        "time trades", "select " + epoch("date_trunc('second', committed_at)") + ", sum(trade_count)::bigint "
        "from ops.live_batches group by 1 order by 1"),
    ("pipeline", "Lag over time", "A"): (
        "lag_seconds", "select max(extract(epoch from committed_at - last_ts))::float8 from ops.live_batches "
        "group by date_trunc('second', committed_at) order by date_trunc('second', committed_at)"),
    ("pipeline", "Sources", "A"): ("source trades", "select source, events from ops.sources order by source"),
    ("pipeline", "Freshness", "A"): (
        "symbol last_trade", f"select symbol, {epoch('ts')} from latest order by ts, symbol"),
    ("pipeline", "Gaps", "A"): (
        "time time_end source message", f"select {epoch('from_ts')}, {epoch('to_ts')}, source, message from ops.source_gaps order by from_ts desc"),
    ("pipeline", "Runs", "A"): (
        "source accepted already_there rejected",
        "select source, accepted, already_there, rejected from ops.ingest_runs order by started_at desc, run_id"),
    ("pipeline", "Rejected by reason", "A"): (
        "reason records", "select reason, count(*) from ops.rejected_records group by reason order by 2 desc, reason"),
    ("pipeline", "Rejected over time", "A"): (
        "records", "select count(*) from ops.rejected_records group by date_trunc('minute', rejected_at), reason "
        "order by date_trunc('minute', rejected_at), reason"),
    ("pipeline", "Rejected records", "A"): (
        "reason message", "select reason, message from ops.rejected_records order by rejected_at desc, log_id, topic, partition, \"offset\""),
    ("pipeline", "Events and rejections", "A"): (
        "id severity", "select topic || '/' || partition || '/' || \"offset\", 'warning' from ops.rejected_records union all "
        "select source || '/' || run_id || '/' || sequence, case when kind = 'error' then 'error' "
        "when kind in ('gap', 'disconnected') then 'warning' else 'info' end from ops.source_events"),
    ("pipeline", "Alerts", "A"): (
        "time symbol timeframe kind value threshold",
        f"select {epoch('ts')}, symbol, timeframe, kind, value, threshold from ops.alerts order by ts desc, symbol, timeframe, kind limit 100"),
    ("pipeline", "Positions in the log", "A"): (
        "topic partition next_offset", "select topic, partition, next_offset from ops.log_offsets order by topic, partition"),
    ("pipeline", "Jobs", "A"): ("job schedule", "select job, schedule from ops.jobs order by job"),
}
# Points are chosen among those of SQL; order by the clock, or by nothing, is not compared.
PART = {"Price", "Prices", "Closes", "Trades"}
UNORDERED = {"Events and rejections", "Rejected records"}
# What goes on while it is looked at, and comes from now rather than from the range of the tape.
MOVING = {"Trades a second", "Records behind", "Oldest waiting", "Processors"}


def panels():
    for name, dashboard in DASHBOARDS.items():
        for panel in dashboard["panels"]:
            if panel["type"] != "row":
                yield name, panel


QUERIES = [(name, panel, target) for name, panel in panels() for target in panel["targets"]]


def range_of(name):
    # The pipeline's own events happen now.
    return (SINCE, UNTIL) if name == "market" else (SINCE, UNTIL + 7 * 86_400_000)


def same(ours, theirs):
    if isinstance(ours, float) or isinstance(theirs, float):
        return ours == theirs or ours is not None and theirs is not None and ours == pytest.approx(float(theirs), rel=1e-9)
    return ours == theirs


@pytest.mark.parametrize("name, panel, target", QUERIES, ids=[f"{n}-{p['title']}-{t['refId']}" for n, p, t in QUERIES])
def test_every_panel_shows_what_sql_says(market, name, panel, target):
    since, until = range_of(name)
    frame = infinity.answered(market.url, target, VARIABLES, since, until)
    assert infinity.complaints(panel["type"], target["format"], frame) == []
    bounds = panel["fieldConfig"]["defaults"]
    if panel["type"] == "barchart":
        # Every number is a bar, on the one axis.
        for field in frame.of("number"):
            assert all(bounds.get("min", value) <= value <= bounds.get("max", value) for value in field.values), field
    columns, sql = EXPECTED[name, panel["title"], target["refId"]]
    ours, theirs = frame.rows(*columns.split()) if columns != "30 minutes" else frame.rows(columns), market.sql(sql)
    if panel["title"] in MOVING:
        assert len(ours) == len(theirs)
        return
    if panel["title"] in UNORDERED:
        ours, theirs = sorted(ours), sorted(theirs)
    if panel["title"] == "Rejected over time":
        # A series for each reason.
        ours = [(value,) for field in frame.of("number") for value in field.values if value is not None]
    if panel["title"] in PART:
        # Series of several symbols have their times in common.
        ours = [row for row in ours if None not in row or panel["title"] != "Closes"]
        assert ours and set(ours) <= {tuple(float(v) if isinstance(v, float) else v for v in row) for row in theirs}
        return
    assert len(ours) == len(theirs) > 0, (ours[:3], theirs[:3])
    for a, b in zip(ours, theirs):
        assert all(map(same, a, b)), (a, b)


# What the sample tape, which ends years ago, has something for.
OF_THE_TAPE = {
    "Latest price", "Change", "52-week high", "52-week low", "Volume of the day", "Candles", "Average price × volume of 15 seconds",
    "Price", "Volume", "Means of 30 minutes and of days", "Moving averages", "Relative strength index", "Prices", "When it trades",
    "Daily mean close", "Closes", "Comparison", "Trades",
}


@pytest.mark.parametrize("days", [1, 60])
def test_every_panel_works_over_years_ago(played, days):
    """The sample tape's first days, and far more than them: no panel may take it for granted that its range ends now."""
    since = SAMPLE_BEGINS * 1000
    variables = {"symbol": "BITSTAMP:BTCUSD", "symbols": ["BITSTAMP:BTCUSD", "MTGOX:BTCUSD"]}
    for name, panel, target in QUERIES:
        frame = infinity.answered(played.url, target, variables, since, since + days * 86_400_000)
        if name == "market" and panel["title"] in OF_THE_TAPE:
            assert infinity.complaints(panel["type"], target["format"], frame) == [], panel["title"]
    daily = next(t for _, p, t in QUERIES if p["title"] == "Daily mean close")
    rows = infinity.answered(played.url, daily, variables, since, since + days * 86_400_000).rows("day", "symbol", "mean_close")
    assert [(day, symbol, pytest.approx(mean, rel=1e-12)) for day, symbol, mean in rows] == played.sql(
        "select to_char(day, 'YYYY-MM-DD'), symbol, mean from (select distinct on (symbol) * from "
        f"({DAILY.format('ts < %s and symbol = any(%s)')}) as days order by symbol, day desc) as newest order by day, symbol",
        datetime.datetime.fromtimestamp(SAMPLE_BEGINS // 86400 * 86400 + (days + 1) * 86400, datetime.timezone.utc), variables["symbols"])


def test_no_row_is_left_out_of_bars_and_stats():
    """Panels that show a bar or a figure for each row stop after 25 unless they are told otherwise."""
    for name, panel, target in QUERIES:
        reduce = panel.get("options", {}).get("reduceOptions", {})
        if reduce.get("values"):
            assert reduce.get("limit", 25) >= 100, panel["title"]
    mentions = next(t for _, p, t in QUERIES if p["title"] == "Mentions of all symbols")
    assert {"key": "limit", "value": "50000"} in mentions["url_options"]["params"]


def test_a_pattern_of_fields_finds_what_they_are_called(market):
    found = 0
    for _, panel, target in QUERIES:
        pattern = panel.get("options", {}).get("reduceOptions", {}).get("fields", "")
        if pattern.startswith("/"):
            found += 1
            frame = infinity.answered(market.url, target, VARIABLES, SINCE, UNTIL)
            names = infinity.display_names(panel, frame)
            # Texts are the names of what is shown.
            shown = [names[field.name] for field in frame.fields if field.kind != "string"]
            assert shown and all(re.search(pattern.strip("/"), name) for name in shown), (panel["title"], names)
    assert found


def test_where_nothing_was_rejected_none_is_a_number(market):
    target = next(t for _, p, t in QUERIES if p["title"] == "Rejected in the range")
    assert infinity.answered(market.url, target, {}, SINCE, UNTIL).rows("records") == [(0,)]


def test_each_query_is_expected_and_none_else():
    assert {(name, panel["title"], target["refId"]) for name, panel, target in QUERIES} == set(EXPECTED)


def test_variables_have_values_and_marks_have_times(market):
    for variable in DASHBOARDS["market"]["templating"]["list"]:
        query = variable["query"]["infinityQuery"]
        frame = infinity.answered(market.url, query, {}, SINCE, UNTIL)
        assert infinity.values_of(frame) == SYMBOLS and all(frame["__text"].values)
    found = {}
    for mark in DASHBOARDS["market"]["annotations"]["list"]:
        frame = infinity.answered(market.url, mark["target"], VARIABLES, SINCE, UNTIL + 7 * 86_400_000)
        assert len(frame) and None not in frame["time"].values and all(frame["text"].values)
        found[mark["name"]] = len(frame)
    assert found["Gaps"] == 1 and found["Forecasts"] == market.one("select count(*) from forecasts where symbol = 'GME'")
    # Every value of a variable with several, and all of them by its own word for it.
    closes = next(t for n, p, t in QUERIES if p["title"] == "Closes")
    frames = [infinity.answered(market.url, closes, {"symbols": value}, SINCE, UNTIL) for value in (SYMBOLS, ".*")]
    assert [[field.labels["symbol"] for field in frame.of("number")] for frame in frames] == [SYMBOLS] * 2


@pytest.mark.parametrize("form", infinity.FORMATS)
def test_several_values_are_read_however_they_are_written(market, form):
    for path in ("last?symbols", "series?field=close&interval=1h&symbols", "table?name=comparison&timeframe=1m&symbols"):
        query = bare("/grafana/%s=${symbols:%s}" % (path, form))
        for values in (["AAPL", "TSLA"], ["GME"]):
            frame = infinity.answered(market.url, query, {"symbols": values}, SINCE, UNTIL)
            assert sorted(set(frame["symbol"].values)) == values, path


def test_a_row_of_parameters_that_is_not_filled_in_is_none(market):
    """The editor's `Add query param` makes one, and the plug-in sends it."""
    for url in ("/grafana/last?symbol=GME", "/grafana/symbols", "/api/v1/tables/latest?symbol=eq.GME", "/api/v1/trades?symbol=GME&limit=5"):
        query = bare(url, **({"root_selector": "trades"} if "trades" in url else {}))
        row = query | {"url_options": query["url_options"] | {"params": [{"key": "", "value": ""}]}}
        assert infinity.ask(market.url, row, {}, SINCE, UNTIL).request.path_url.startswith(url.split("?")[0] + "?=")
        assert len(infinity.answered(market.url, row, {}, SINCE, UNTIL)) == len(infinity.answered(market.url, query, {}, SINCE, UNTIL)) > 0
    for path in ("/health", "/version", "/api/v1/quote?symbol=GME", "/api/v3/time", "/api/v1/queries", "/simpod"):
        assert requests.get(f"{market.url}{path}{'&' if '?' in path else '?'}=", timeout=30).status_code == 200, path
    assert requests.get(market.url + "/grafana/last?=GME", timeout=30).reason == 'unknown parameter ""'


def test_milliseconds_of_an_interval_are_no_minutes(market):
    """What becomes of `${__interval_ms}`, which Grafana replaces in panels."""
    for sent, meant in [("15000", "15s"), ("200", "1s"), ("300000", "5m"), ("3600000", "1h"), ("60", "1h"), ("240", "4h"), ("1440", "1d")]:
        candles = [infinity.answered(market.url, bare(f"/grafana/candles?symbol=GME&maxDataPoints=50000&interval={text}&{OVER}"), {}, SINCE, UNTIL)
                   for text in (sent, meant)]
        assert candles[0].rows("time", "close") == candles[1].rows("time", "close"), sent


def test_a_panel_shows_what_went_wrong(market):
    target = next(t for n, p, t in QUERIES if p["title"] == "Price")
    with pytest.raises(infinity.PanelError, match='400 variable \\${symbol} of "symbols" has no value here'):
        infinity.answered(market.url, target, {}, SINCE, UNTIL)


def test_alerts_work_on_what_they_are_sent(market):
    """Rules of alerts send macros that only pages replace as they are written, and take the backend's frames alone."""
    rule = dict(next(t for n, p, t in QUERIES if p["title"] == "Closes"))
    rule["url_options"] = {"method": "GET", "params": [
        {"key": "symbols", "value": "GME"}, {"key": "interval", "value": "$__interval"},
        {"key": "maxDataPoints", "value": "${__maxDataPoints}"}, {"key": "from", "value": "${__from}"}, {"key": "to", "value": "${__to}"}]}
    frame = infinity.answered(market.url, rule, {}, SINCE, UNTIL)
    assert len(frame) > 100 and len(frame.of("time")) == len(frame.of("number")) == 1


def test_a_processor_that_is_gone_does_not_look_healthy(tmp_path):
    """Each role a process of its own: what a query server can tell of a processor is what that left in the store."""
    target = {title: next(t for n, p, t in QUERIES if p["title"] == title)
              for title in ("Records behind", "Oldest waiting", "Processors")}
    database = PostgresServer().make()
    settings = {"TAPEDECK_DATABASE_URL": database.url(), "TAPEDECK_READER_URL": database.url("tapedeck_reader"),
                "TAPEDECK_EVENT_LOG": f"sqlite:{tmp_path}/log", "TAPEDECK_LISTEN": "127.0.0.1:0", "TAPEDECK_SENTIMENT": "off"}
    roles = {}

    def start(role):
        with open(tmp_path / f"{role}.log", "wb") as log:
            roles[role] = subprocess.Popen([str(BINARY), role], env=ENVIRONMENT | settings, cwd=tmp_path, stdout=log, stderr=log)

    def shown(title, *columns):
        row, = infinity.answered(url, target[title], {}, 0, 0).rows(*columns)
        return row if len(columns) > 1 else row[0]

    try:
        run("migrate", env=ENVIRONMENT | settings)
        start("serve")
        wait_until(lambda: "listening on" in (tmp_path / "serve.log").read_text(), 60, "a server")
        url = (tmp_path / "serve.log").read_text().split("listening on ")[1].split()[0]
        # Nothing has traded yet: no variable fails, and no panel by what it is then.
        for variable in DASHBOARDS["market"]["templating"]["list"]:
            value, = infinity.values_of(infinity.answered(url, variable["query"]["infinityQuery"], {}, 0, 0))
        for name, panel, query in QUERIES:
            infinity.answered(url, query, {"symbol": value, "symbols": [value]}, SINCE, UNTIL)
        assert shown("Processors", "processors", "silent_seconds") == (0, None)
        assert shown("Records behind", "records_behind", "counted_seconds") == (None, None)
        start("process")
        wait_until(lambda: shown("Records behind", "records_behind") == 0 and shown("Processors", "processors") == 1, 60, "a processor")
        assert shown("Processors", "silent_seconds") < 30
        # It cannot write, but tells how much waits.
        with psycopg.connect(database.url()) as writer:
            writer.execute("lock table market.trades in access exclusive mode")
            tape = tmp_path / "tape.csv"
            tape.write_text("ts,symbol,price,size\n" + "".join(f"{1_700_000_000_000 + n},AAPL,{100 + n},1\n" for n in range(500)))
            run("ingest", f"replay:{tape}?speed=max", env=ENVIRONMENT | settings, cwd=tmp_path)
            wait_until(lambda: (shown("Records behind", "records_behind") or 0) >= 500, 60, "what waits to be counted")
            # Of what was there at one look and is there at the next, it tells for how long.
            wait_until(lambda: (shown("Oldest waiting", "oldest_seconds") or 0) > 0, 60, "what waits to have waited")
            status = json.loads(run("status", "--json", env=ENVIRONMENT | settings, cwd=tmp_path).stdout)
            assert status["lag"] >= 500 and status["lag_seconds"] > 0
            assert {p["lag_seconds"] > 0 for p in status["partitions"] if p["lag"]} == {True}
            assert b"records, the oldest of them for " in run("status", env=ENVIRONMENT | settings, cwd=tmp_path).stdout
            roles["process"].kill()
            roles["process"].wait(30)
        # A quarter of an hour later.
        with psycopg.connect(database.url()) as writer:
            writer.execute("update ops.processors set updated_at = updated_at - interval '15 min'")
            writer.execute("update ops.log_offsets set updated_at = updated_at - interval '15 min'")
        records, counted = shown("Records behind", "records_behind", "counted_seconds")
        assert records >= 500 and counted >= 900
        alive, silent = shown("Processors", "processors", "silent_seconds")
        assert alive == 0 and silent >= 900
        # The panel's colours tell it, too.
        panel = next(p for n, p, t in QUERIES if p["title"] == "Processors")
        assert panel["fieldConfig"]["defaults"]["thresholds"]["steps"][0] == {"color": "red", "value": None}
        start("process")
        wait_until(lambda: shown("Records behind", "records_behind") == 0 and shown("Processors", "processors") == 1, 60, "it to catch up")
        assert shown("Processors", "silent_seconds") < 30 and database.one("select count(*) from market.trades") == 500
        assert shown("Oldest waiting", "oldest_seconds") == 0
    finally:
        for process in roles.values():
            process.kill()
            process.wait(30)
        database.close()


def bare(url, *columns, **more):
    """A query as a beginner has it: a URL, and little or nothing declared; columns as `name:type`."""
    method = "POST" if "data" in more or "body_graphql_query" in more else "GET"
    options = {name: more.pop(name) for name in ("data", "body_type", "body_graphql_query", "body_form") if name in more}
    return {"type": "json", "source": "url", "parser": "backend", "format": "table", "root_selector": "", "url": url,
            "columns": [dict(zip(("selector", "type"), column.split(":"))) | {"text": column.split(":")[0]} for column in columns],
            "url_options": {"method": method, "params": []} | options} | more


OVER = "from=${__from}&to=${__to}"
CLOSES = ("select {0}, a.close, g.close from bars a join bars g using (ts, timeframe) "
          "where a.symbol = 'AAPL' and g.symbol = 'GME' and timeframe = '1m' and {1} order by ts").format(epoch("ts"), WITHIN)
# Every kind of panel by the least that it takes: its type, a query, the columns that are compared, and SQL.
KINDS_OF_PANELS = {
    "lines of several symbols": (
        "timeseries", bare(f"/grafana/series?symbols=AAPL,GME&interval=1m&maxDataPoints=1000&{OVER}", "time:timestamp_epoch", "symbol:string",
                           "close:number", format="timeseries"), None, CLOSES),
    "lines, wide": (
        "timeseries", bare(f"/grafana/series?symbols=AAPL,GME&interval=1m&maxDataPoints=1000&shape=wide&{OVER}", "time:timestamp_epoch",
                           "AAPL:number", "GME:number"), "time AAPL GME", CLOSES),
    "candlestick": (
        "candlestick", bare(f"/grafana/candles?symbol=GME&interval=5m&{OVER}", "time:timestamp_epoch", "open:number", "high:number",
                            "low:number", "close:number", "volume:number"),
        "time open high low close volume", bars("open, high, low, close, volume", "5m")),
    "stat": ("stat", bare("/grafana/last?symbol=GME", "price:number", "change:number"), "price change", LAST.format(
        "price, price - previous_price")),
    "stat without a word": ("stat", bare("/grafana/last?symbol=GME"), "price symbol", LAST.format("price, symbol")),
    "table of a list": (
        "table", bare(f"/api/v1/bars?symbols=GME&timeframe=15m&{OVER}", root_selector="bars"), "symbol close trade_count",
        "select symbol, close, trade_count from bars where symbol = 'GME' and timeframe = '15m' and {} order by ts".format(WITHIN)),
    "table by PostgREST's grammar": (
        "table", bare("/api/v1/tables/latest?select=symbol,price&order=symbol"), "symbol price", "select symbol, price from latest order by symbol"),
    "heatmap": (
        "heatmap", bare(f"/grafana/series?symbol=GME&field=trade_count&interval=1m&maxDataPoints=1000&{OVER}", "time:timestamp_epoch",
                        "symbol:string", "trade_count:number", format="timeseries"), "time trade_count", bars("trade_count", "1m")),
    "state timeline": (
        "state-timeline", bare(f"/grafana/table?name=sentiment&symbol=GME&timeframe=15m&{OVER}", "time:timestamp_epoch", "mood:string"),
        "time mood", EXPECTED["market", "Mood", "A"][1]),
    "logs": (
        "logs", bare(f"/grafana/logs?kind=posts&{OVER}", "timestamp:timestamp_epoch", "body:string", "severity:string", "id:string", format="logs"),
        "timestamp id", f"select {epoch('created_at')}, id from posts where {POSTED} order by created_at desc, id"),
    "annotations": (
        "table", bare(f"/grafana/annotations?kind=gaps&{OVER}", "time:timestamp_epoch", "timeEnd:timestamp_epoch", "title:string", "text:string",
                      "tags:string", format="dataframe"),
        "time timeEnd", f"select {epoch('from_ts')}, {epoch('to_ts')} from ops.source_gaps"),
    "variable": ("table", bare("/grafana/symbols"), "__value", "select symbol from latest order by symbol"),
    "SQL as text": (
        "table", bare("/api/v1/sql?format=objects", data="select symbol, max(price) as highest from trades group by symbol order by symbol"),
        "symbol highest", "select symbol, max(price) from trades group by symbol order by symbol"),
    "SQL of rows": (
        "table", bare("/api/v1/sql", "0:string", "1:number", root_selector="rows", data="select symbol, price from latest order by symbol"),
        "0 1", "select symbol, price from latest order by symbol"),
    "SQL as GraphQL": (
        "table", bare("/api/v1/sql?format=objects", type="graphql", body_type="graphql", body_graphql_query="select symbol from latest order by symbol"),
        "symbol", "select symbol from latest order by symbol"),
    "SQL of a form": (
        "table", bare("/api/v1/sql?format=objects", data="", body_type="x-www-form-urlencoded",
                      body_form=[{"key": "query", "value": "select symbol from latest order by symbol"}]),
        "symbol", "select symbol from latest order by symbol"),
    "SQL over the range": (
        "timeseries", bare("/api/v1/sql?format=objects", "ts:timestamp", "close:number", data=(
            "select ts, close from bars where symbol = 'GME' and timeframe = '1m' and ts >= to_timestamp(${__from:date:seconds}) "
            "and ts < to_timestamp(${__to:date:seconds}) order by ts")), "ts close", bars("close", "1m")),
    "CSV": (
        "timeseries", bare(f"/api/v1/bars?symbol=GME&timeframe=1m&{OVER}", "ts:timestamp", "close:number", type="csv"), "ts close",
        bars("close", "1m")),
    "CSV of a panel": (
        "timeseries", bare(f"/grafana/series?symbol=GME&interval=1m&maxDataPoints=1000&{OVER}", "time:timestamp_epoch", "symbol:string",
                           "close:number", type="csv", format="timeseries"), "time close", bars("close", "1m")),
    "CSV of a table": ("table", bare("/api/v1/tables/latest?order=symbol", type="csv"), "symbol", "select symbol from latest order by symbol"),
    "rows by a program of jq": (
        "table", bare("/api/v1/latest", parser="jq-backend", root_selector=".latest | map({symbol, twice: (.price * 2)})"), "symbol twice",
        "select symbol, price * 2 from latest order by symbol"),
}


@pytest.mark.parametrize("kind", KINDS_OF_PANELS)
def test_every_kind_of_panel_works_by_little_or_nothing(market, kind):
    panel, query, columns, sql = KINDS_OF_PANELS[kind]
    frame = infinity.answered(market.url, query, {}, SINCE, UNTIL)
    assert infinity.complaints(panel, query["format"], frame) == []
    if columns is None:
        assert [(field.name, field.labels) for field in frame.of("number")] == [("close", {"symbol": s}) for s in ("AAPL", "GME")]
        ours = list(zip(*(field.values for field in frame.fields)))
    else:
        ours = frame.rows(*columns.split())
    theirs = market.sql(sql)
    assert len(ours) == len(theirs) > 0
    for a, b in zip(ours, theirs):
        assert all(map(same, a, b)), (a, b)


def test_frames_need_no_columns_at_all(market):
    """The parser `simple` with `as-is`: what the server sends is what the page draws, types, labels and all."""
    query = bare(f"/grafana/series?symbols=AAPL,GME&interval=1m&maxDataPoints=1000&shape=frame&{OVER}", parser="simple", format="as-is")
    frames = infinity.as_frames(infinity.ask(market.url, query, {}, SINCE, UNTIL), query)
    assert [[(field.name, field.kind, field.labels) for field in frame.fields] for frame in frames] == [
        [("time", "time", {}), ("close", "number", {"symbol": symbol})] for symbol in ("AAPL", "GME")]
    for symbol, frame in zip(("AAPL", "GME"), frames):
        assert infinity.complaints("timeseries", "as-is", frame) == []
        assert frame.rows("time", "close") == market.sql(bars("close", "1m", symbol))
    candles = bare(f"/grafana/candles?symbol=GME&interval=5m&shape=frame&{OVER}", parser="simple", format="as-is")
    frame, = infinity.as_frames(infinity.ask(market.url, candles, {}, SINCE, UNTIL), candles)
    assert infinity.complaints("candlestick", "as-is", frame) == []
    assert frame.rows("time", "open", "close") == market.sql(bars("open, close", "5m"))


def test_pages_end_up_in_one_frame(market):
    within = f"symbol=GME&{OVER}"
    count = market.one(f"select count(*) from trades where symbol = 'GME' and {WITHIN}")
    cursor = {"root_selector": "trades", "pagination_mode": "cursor", "pagination_param_cursor_field_name": "page_token",
              "pagination_param_cursor_extraction_path": "next_page_token", "pagination_max_pages": 5}
    columns = ("ts:timestamp", "price:number", "trade_id:string")
    trades = f"select {epoch('ts')}, price, trade_id::text from trades where symbol = 'GME' and {WITHIN} order by ts, source, trade_id"
    # The last page says null, and is the last: with and without columns declared.
    for size, declared in [((count + 2) // 3, columns), ((count + 5) // 6, columns), ((count + 2) // 3, ())]:
        frame = infinity.answered(market.url, bare(f"/api/v1/trades?{within}&limit={size}", *declared, **cursor), {}, SINCE, UNTIL)
        assert frame.rows("price", "trade_id") == [row[1:] for row in market.sql(trades)], size
    # Of tables the first page is asked for by an empty token, which the others then follow, or by the place for one.
    everything = market.sql("select price, trade_id::text from trades where symbol = 'GME' order by 2")
    for size in (len(everything) + 2) // 3, (len(everything) + 5) // 6:
        table = f"/api/v1/tables/trades?symbol=eq.GME&select=price,trade_id::text,ts,source,symbol&limit={size}"
        declared = ("price:number", "trade_id:string")
        row = bare(table, *declared, **cursor)
        row["url_options"]["params"] = [{"key": "page_token", "value": ""}]
        for query in (bare(table + "&page_token=", *declared, **cursor), row,
                      bare(table + "&page_token=${__pagination.page_token}", *declared, **cursor) | {"pagination_param_cursor_field_type": "replace"}):
            assert sorted(infinity.answered(market.url, query, {}, SINCE, UNTIL).rows("price", "trade_id"), key=lambda row: row[1]) == everything
    for wrong, words in [("page_token=x&page_token=", "given twice"), ("page_token=&page_token=x", "invalid value"),
                         ("page_token=&page_token=&limit=1&limit=2", "given twice")]:
        for path in ("tables/trades?", "trades?symbol=GME&"):
            reply = requests.get(f"{market.url}/api/v1/{path}{wrong}", timeout=30)
            assert reply.status_code == 400 and words in reply.json()["message"], reply.text
    # By offset all pages are asked for that are allowed, however few there are: exactly as many as there are is right.
    offset = {"pagination_mode": "offset", "pagination_param_size_value": 2, "pagination_max_pages": 2}
    symbols = bare("/api/v1/tables/latest?select=symbol,price&order=symbol", **offset)
    assert infinity.answered(market.url, symbols, {}, SINCE, UNTIL).rows("symbol") == [(symbol,) for symbol in SYMBOLS]
    with pytest.raises(infinity.PanelError, match="different fields"):
        infinity.answered(market.url, symbols | {"pagination_max_pages": 3}, {}, SINCE, UNTIL)
    # What jq gives as a cursor is never nothing: the backend's own parser is what pages by cursor need.
    with pytest.raises(infinity.PanelError, match='400 .*"page_token"'):
        query = bare(f"/api/v1/trades?{within}&limit={count}", *columns, **cursor) | {
            "parser": "jq-backend", "root_selector": ".trades", "pagination_param_cursor_extraction_path": ".next_page_token"}
        infinity.answered(market.url, query, {}, SINCE, UNTIL)


def test_nothing_is_no_error(market):
    """An empty body is an error to the plug-in."""
    for url in ["/grafana/series?symbol=NOBODY", "/grafana/candles?symbol=NOBODY", "/grafana/table?name=mentions&symbol=NOBODY",
                "/grafana/annotations?symbol=NOBODY&kind=alerts", "/grafana/logs?to=1970-01-02", "/api/v1/sql?format=objects&query=select+1+where+false",
                "/api/v1/tables/trades?symbol=eq.NOBODY"]:
        assert len(infinity.answered(market.url, bare(url), {}, SINCE, UNTIL)) == 0, url
    for url in ["/api/v1/bars?symbol=NOBODY", "/api/v1/tables/trades?symbol=eq.NOBODY", "/api/v1/sql?query=select+1+as+a+where+false",
                "/grafana/series?symbol=NOBODY", "/grafana/candles?symbol=NOBODY", "/grafana/table?name=posts&symbol=NOBODY"]:
        assert len(infinity.answered(market.url, bare(url, type="csv"), {}, SINCE, UNTIL)) == 0, url
    for query in [bare("/api/v1/trades?symbol=NOBODY", root_selector="trades"), bare("/api/v1/latest?symbol=NOBODY", root_selector="latest")]:
        assert len(infinity.answered(market.url, query, {}, SINCE, UNTIL)) == 0


def test_provisioning(market):
    source, = yaml.safe_load((GRAFANA / "provisioning/datasources/tapedeck.yaml").read_text())["datasources"]
    provider, = yaml.safe_load((GRAFANA / "provisioning/dashboards/tapedeck.yaml").read_text())["providers"]
    compose = yaml.safe_load((ROOT / "deploy/compose/compose.yaml").read_text())["services"]["grafana"]
    assert source["type"] == "yesoreyeram-infinity-datasource" and source["url"] == "$TAPEDECK_URL"
    assert source["jsonData"]["allowedHosts"] == ["$TAPEDECK_URL"]
    # "Save & test" wants 200 and a body.
    health = requests.get(source["jsonData"]["customHealthCheckUrl"].replace("$TAPEDECK_URL", market.url), timeout=30)
    assert health.status_code == 200 and health.content
    mounted = {volume.split(":")[1]: volume.split(":")[0] for volume in compose["volumes"]}
    assert mounted["/etc/grafana/provisioning"] == "../grafana/provisioning"
    assert mounted[provider["options"]["path"]] == "../grafana/dashboards"
    assert compose["environment"]["TAPEDECK_URL"] == "http://serve:8080" and "TAPEDECK_KEY=" in compose["entrypoint"][2]
    assert compose["environment"]["GF_DASHBOARDS_MIN_REFRESH_INTERVAL"] == "500ms"
    assert compose["environment"]["GF_INSTALL_PLUGINS"].split()[0] == source["type"]
    # A key that nobody needs does no harm.
    assert requests.get(market.url + "/grafana/symbols", headers={"Authorization": "Bearer none"}, timeout=30).status_code == 200
    uids = set()
    for name, dashboard in DASHBOARDS.items():
        assert dashboard["uid"] not in uids and "id" not in dashboard and "500ms" in dashboard["timepicker"]["refresh_intervals"]
        uids.add(dashboard["uid"])
        ids = [panel["id"] for panel in dashboard["panels"]]
        assert len(ids) == len(set(ids))
        taken = set()
        for panel in dashboard["panels"]:
            place = panel["gridPos"]
            cells = {(x, y) for x in range(place["x"], place["x"] + place["w"]) for y in range(place["y"], place["y"] + place["h"])}
            assert place["x"] + place["w"] <= 24 and not cells & taken, panel["title"]
            taken |= cells
    for _, panel, target in QUERIES:
        assert target["datasource"] == {"type": source["type"], "uid": source["uid"]} == panel["datasource"], panel["title"]


def test_the_stand_in_reads_as_the_plug_in_does():
    """The rules of the plug-in, by example."""
    assert infinity.interpolated("${__from}-${__to:date:seconds}", {}, 1_594_671_549_254, 2000) == "1594671549254-2"
    assert infinity.interpolated("${__from:date:iso} $__interval ${__interval_ms}", {}, 1_594_671_549_250, 0) == (
        "2020-07-13T20:19:09.25Z $__interval ${__interval_ms}")
    assert infinity.interpolated("${s:csv} ${s} ${s:regex} ${s:pipe} ${s:singlequote} ${s:doublequote} ${s:json}", {"s": ["A", "B.C"]}, 0, 0) == (
        "A,B.C {A,B.C} (A|B\\.C) A|B.C 'A','B.C' \"A\",\"B.C\" [\"A\",\"B.C\"]")
    assert infinity.cell(1.0, "timestamp") is None and infinity.cell("2020-01-02 03:04:05+00", "timestamp") is None
    assert infinity.cell("2020-01-02T03:04:05.123456Z", "timestamp") == 1577934245123
    assert infinity.cell("1.5", "number") == 1.5 and infinity.cell("x", "number") is None
    time, symbol, value = (infinity.Field("time", "time", [1, 1, 2]), infinity.Field("s", "string", ["A", "B", "A"]),
                           infinity.Field("v", "number", [1.0, 2.0, 3.0]))
    frame = infinity.wide(infinity.Frame([time, symbol, value]))
    assert [(field.labels, field.values) for field in frame.of("number")] == [({"s": "A"}, [1.0, 3.0]), ({"s": "B"}, [2.0, None])]
    time.values = [1, 3, 2]
    assert infinity.wide(infinity.Frame([time, symbol, value])).of("string")


class Answers:
    """In place of a server: what it answers, one after the other, and what it was asked."""

    def __init__(self, *bodies):
        self.bodies, self.asked = list(bodies), []

    def request(self, method, url, data=None, headers=None, timeout=None):
        self.asked.append((method, url.removeprefix("http://x"), data, headers))
        reply = requests.Response()
        reply.status_code, reply._content = 200, self.bodies.pop(0).encode()
        return reply


def shown(body, *columns, **more):
    return infinity.answered("http://x", bare("/y", *columns, **more), {}, 0, 0, session=Answers(body))


def test_the_stand_in_reads_csv_as_the_plug_in_does():
    frame = shown("b,a\n1,x\n2,\n", type="csv")
    assert [(field.name, field.kind, field.values) for field in frame.fields] == [("a", "string", ["x", ""]), ("b", "string", ["1", "2"])]
    assert shown("b,a\n1,x\n,y\n", "b:number", type="csv")["b"].values == [1.0, None]
    assert shown("t\ta\n1700000000000\tx", "t:timestamp_epoch", type="tsv").rows("t") == [(1_700_000_000_000,)]
    assert shown('a,b\n"1,5","x\ny"\n', type="csv").rows("a", "b") == [("1,5", "x\ny")]
    assert len(shown("a,b\n", type="csv")) == 0
    assert len(shown("a,b\n\n1,2\n\n", type="csv")) == 1
    for wrong in ["a,b\n1,2\n  ", "a,b\n1\n"]:
        with pytest.raises(infinity.PanelError, match="number of fields"):
            shown(wrong, type="csv")
    with pytest.raises(infinity.PanelError, match="empty response"):
        shown("", type="csv")


def test_the_stand_in_sends_bodies_as_the_plug_in_does():
    server = Answers("[]", "[]", "[]", "[]")
    for query in [bare("/y?b=2&a=x y", data="select ${__from}"),
                  bare("/y", type="graphql", body_type="graphql", body_graphql_query="select ${__to}"),
                  bare("/y", data="", body_type="x-www-form-urlencoded", body_form=[{"key": "query", "value": "${__from} a"}]), bare("/y")]:
        infinity.answered("http://x", query, {}, 1000, 2000, session=server)
    assert [(method, url, data, headers["Content-Type"]) for method, url, data, headers in server.asked] == [
        ("POST", "/y?a=x+y&b=2", "select 1000", "text/plain"), ("POST", "/y", '{"query": "select 2000"}', "application/json"),
        ("POST", "/y", "query=%24%7B__from%7D+a", "application/x-www-form-urlencoded"), ("GET", "/y", None, None)]
    # Of the types in Accept the one that is wanted has the lower quality.
    assert {headers["Accept"] for *_, headers in server.asked} == {"application/json;q=0.9,text/plain"}


def test_the_stand_in_reads_and_merges_pages_as_the_plug_in_does():
    def pages(*bodies, **more):
        server = Answers(*bodies)
        query = bare("/y") | {"root_selector": "r", "pagination_param_cursor_extraction_path": "n"} | more
        return infinity.answered("http://x", query, {}, 0, 0, session=server), [url for _, url, *_ in server.asked]

    two = '{"r":[{"a":1}],"n":"u"}', '{"r":[{"a":2}],"n":null}'
    frame, asked = pages(*two, pagination_mode="cursor", pagination_max_pages=9)
    assert frame.rows("a") == [(1.0,), (2.0,)] and asked == ["/y", "/y?cursor=u"]
    # One page more than are allowed, which is one unless something else is said, and never more than five.
    assert pages(*[two[0]] * 2, pagination_mode="cursor")[1] == ["/y", "/y?cursor=u"]
    assert len(pages(*[two[0]] * 9, pagination_mode="cursor", pagination_max_pages=9)[1]) == 6
    # What is replaced in the rows of parameters is gone for the pages that follow.
    here = {"pagination_mode": "cursor", "pagination_max_pages": 2, "pagination_param_cursor_field_type": "replace"}
    bodies = [two[0], '{"r":[{"a":2}],"n":"v"}', two[1]]
    assert pages(*bodies, url="http://x/y?b=${__pagination.cursor}", **here)[1] == [
        "/y?b=%24%7B__pagination.cursor%7D", "/y?b=u", "/y?b=v"]
    place = {"method": "GET", "params": [{"key": "b", "value": "${__pagination.cursor}"}]}
    assert pages(*bodies, url_options=place, **here)[1] == ["/y?b=%24%7B__pagination.cursor%7D", "/y?b=u", "/y?b=u"]
    assert pages(*[two[0]] * 2, pagination_mode="offset", pagination_max_pages=2)[1] == ["/y?limit=1000&offset=0", "/y?limit=1000&offset=1000"]
    assert pages(*[two[0]] * 2, pagination_mode="page", pagination_max_pages=2, pagination_param_size_value=7)[1] == [
        "/y?limit=7&page=1", "/y?limit=7&page=2"]
    for other, why in [('{"r":[]}', "different fields"), ('{"r":[{"b":1}]}', "different fields"), ('{"r":[{"a":null}]}', "field types")]:
        with pytest.raises(infinity.PanelError, match=why):
            pages(two[0], other, pagination_mode="offset", pagination_max_pages=2)
    frame, asked = pages(*two, two[1], two[1], parser="jq-backend", root_selector=".r", pagination_mode="cursor", pagination_max_pages=3,
                         pagination_param_cursor_field_name="cursor", pagination_param_cursor_extraction_path=".n")
    assert len(frame) == 4 and asked[2] == "/y?cursor=%5Bnull%5D"


def test_the_stand_in_reads_other_shapes_as_the_plug_in_does():
    assert shown('[{"a":1},{"a":null}]')["a"].values == [1.0, None] and shown('[{"a":null}]')["a"].kind == "string"
    with pytest.raises(infinity.PanelError, match="a is number and string"):
        shown('[{"a":1},{"a":"9007199254740993"}]')
    assert shown('{"r":[{"a":1},{"a":2}]}', parser="jq-backend", root_selector=".r[] | select(.a > 1)").rows("a") == [(2.0,)]
    plain = bare("/y", parser="simple", format="as-is")

    def frames(body):
        return infinity.as_frames(infinity.ask("http://x", plain, {}, 0, 0, session=Answers(body)), plain)

    frame, series, table = frames('[{"fields":[{"name":"t","type":"time","values":[1]}]},{"target":"A","datapoints":[[5,1],[6,2]]},'
                                  '{"type":"table","columns":[{"text":"c","type":"number"}],"rows":[[7]]}]')
    assert frame.rows("t") == [(1,)] and series.rows("Time", "A") == [(1, 5), (2, 6)] and table["c"].values == [7]
    with pytest.raises(infinity.PanelError, match="Unsupported data format"):
        frames('[{"time":1,"close":2}]')
