// SPDX-License-Identifier: Apache-2.0
// The tables that panels show, each said once: its columns, its statement, its choices.

import Market

/// A statement and what its columns are called.
///
/// The statement has these places: `{from}` and `{to}` of the range, `{limit}`, `{symbols}`, an array, and `{choice}`; and
/// `{of COLUMN}`, the condition that a column is among the symbols, or `true` where all are wanted. What is to be exact at
/// the ends of the range has the stored bars that cover it, `{timeframes}`, `{firsts}` and `{lasts}`, no wider than `{width}`
/// microseconds, and around them less than a second of trades, `{edge firsts}` and `{edge lasts}`.
struct GrafanaTable: Sendable {
    /// What a column holds.
    enum Form: Sendable { case time, number, text, flag }

    var name: String
    var summary: String
    var columns: [(name: String, form: Form)]
    var sql: String
    /// Whether it is of symbols that have to be named.
    var needsSymbol = false
    /// A parameter of its own, with what it may be; the first is meant where it is not given. Nil for none.
    var choice: (parameter: String, values: [String])?

    /// The parameters it knows. The range is known to those too that say how things are now: panels have one always.
    var parameters: [String] {
        ["from", "to", "limit"] + (isOfSymbols ? ["symbol", "symbols"] : [])
            + (choice.map { [$0.parameter] } ?? []) + (sql.contains("{search}") ? ["search"] : [])
    }

    static let piecePlaces = ["timeframes", "firsts", "lasts", "edge firsts", "edge lasts"]

    /// Whether the range is covered by pieces.
    var isOfPieces: Bool { sql.contains("{timeframes}") }

    var isOfSymbols: Bool { sql.contains("{symbols}") || sql.contains("{of ") }
}

extension GrafanaTable {
    /// `GET /grafana/last`.
    static let last = GrafanaTable(
        name: "last", summary: "The latest trade of each symbol, its day and its 52 weeks",
        columns: [
            ("time", .time), ("symbol", .text), ("price", .number), ("size", .number), ("change", .number),
            ("change_pct", .number), ("day_open", .number), ("day_high", .number), ("day_low", .number),
            ("day_volume", .number), ("previous_close", .number), ("day_change", .number),
            ("day_change_pct", .number), ("high_52w", .number), ("low_52w", .number), ("age_seconds", .number),
        ],
        sql: """
            select l.ts, l.symbol, l.price, l.size, l.price - l.previous_price, \
            (l.price - l.previous_price) / nullif(l.previous_price, 0) * 100, \
            d.open, d.high, d.low, d.volume, p.close, l.price - p.close, (l.price - p.close) / nullif(p.close, 0) * 100, \
            y.high, y.low, extract(epoch from now() - l.ts)::float8 \
            from market.latest l \
            left join market.bars d on d.symbol = l.symbol and d.timeframe = '1d' \
            and d.ts = date_trunc('day', l.ts, 'UTC') \
            left join lateral (select b.close from market.bars b where b.symbol = l.symbol and b.timeframe = '1d' \
            and b.ts < date_trunc('day', l.ts, 'UTC') order by b.ts desc limit 1) as p on true \
            left join lateral (select max(b.high) as high, min(b.low) as low from market.bars b \
            where b.symbol = l.symbol and b.timeframe = '1d' and b.ts > l.ts - interval '364 days') as y on true \
            where {of l.symbol} order by l.symbol limit {limit}
            """)

    /// `GET /grafana/symbols`.
    static let symbols = GrafanaTable(
        name: "symbols", summary: "Symbols as the values of a variable",
        columns: [("__text", .text), ("__value", .text)],
        sql: """
            select case when name is null or name = symbol then symbol else symbol || ' · ' || name end, symbol \
            from market.symbols where ({choice} = 'known' or last_ts is not null) \
            and ({search}::text is null or symbol ilike {search} or name ilike {search}) order by symbol limit {limit}
            """,
        choice: ("of", ["traded", "known"]))

    /// `GET /grafana/annotations`.
    static let annotations = GrafanaTable(
        name: "annotations", summary: "What happened, to be marked in charts",
        columns: [("time", .time), ("timeEnd", .time), ("title", .text), ("text", .text), ("tags", .text)],
        sql: """
            select ts, ends, title, body, tags from (\
            (select a.ts, null::timestamptz as ends, a.symbol || ' ' || a.kind as title, \
            a.kind || ' of a bar of ' || a.timeframe || ': ' || a.value || ', beyond ' || a.threshold as body, \
            'alert,' || a.kind || ',' || a.symbol as tags from ops.alerts a \
            where {choice} in ('all', 'alerts') and a.retracted_at is null and a.ts >= {from} and a.ts < {to} \
            and {of a.symbol} order by a.ts desc limit {limit}) \
            union all \
            (select g.from_ts, g.to_ts, g.source || ' gap', coalesce(g.message, 'something is missing') || \
            case when g.filled_at is null then '' else ', filled since' end, 'gap,' || g.source from ops.source_gaps g \
            where {choice} in ('all', 'gaps') and g.from_ts < {to} and coalesce(g.to_ts, now()) >= {from} \
            and ({symbols} = '{}' or g.symbols = '{}' or g.symbols && {symbols}) order by g.from_ts desc limit {limit}) \
            union all \
            (select f.made_at, null, f.symbol || ' forecast', 'forecast ' || f.forecast_id || ': ' || f.steps || \
            ' steps from ' || f.spot, 'forecast,' || f.symbol from market.forecasts f \
            where {choice} in ('all', 'forecasts') and f.made_at >= {from} and f.made_at < {to} \
            and {of f.symbol} order by f.made_at desc limit {limit}) \
            order by ts desc limit {limit}) as newest order by ts
            """,
        choice: ("kind", ["all", "alerts", "gaps", "forecasts"]))

    /// `GET /grafana/logs`.
    static let logs = GrafanaTable(
        name: "logs", summary: "Lines for the logs panel: events of sources, rejected records, posts",
        // Grafana reads the first name of lines that a data source marks as such, else the second.
        columns: [("timestamp", .time), ("severity", .text), ("level", .text), ("body", .text), ("id", .text)],
        sql: """
            select ts, level, level, body, id from (\
            (select e.ts, case when e.kind = 'error' then 'error' \
            when e.kind in ('gap', 'disconnected') then 'warning' else 'info' end as level, \
            e.source || ' ' || e.kind || coalesce(': ' || e.message, '') as body, \
            e.source || '/' || e.run_id || '/' || e.sequence as id from ops.source_events e \
            where {choice} in ('all', 'events') and e.ts >= {from} and e.ts < {to} order by e.ts desc limit {limit}) \
            union all \
            (select r.rejected_at, 'warning', r.topic || ' ' || r.reason || ': ' || r.message, \
            r.topic || '/' || r.partition || '/' || r."offset" from ops.rejected_records r \
            where {choice} in ('all', 'rejected') and r.rejected_at >= {from} and r.rejected_at < {to} \
            order by r.rejected_at desc limit {limit}) \
            union all \
            (select p.created_at, 'info', concat_ws(' ', 'r/' || p.subreddit, p.title, p.body), p.id from market.posts p \
            where {choice} = 'posts' and p.created_at >= {from} and p.created_at < {to} \
            order by p.created_at desc limit {limit}) \
            order by ts desc limit {limit}) as newest order by ts desc
            """,
        choice: ("kind", ["all", "events", "rejected", "posts"]))

    /// `GET /grafana/table?name=`.
    static let tables: [GrafanaTable] = market + opinion + pipeline

    private static let market: [GrafanaTable] = [
        GrafanaTable(
            name: "trades", summary: "The newest trades of symbols",
            columns: [("time", .time), ("symbol", .text), ("price", .number), ("size", .number), ("source", .text)],
            sql: """
                select t.ts, t.symbol, t.price, t.size, t.source from unnest({symbols}::text[]) as s (symbol), \
                lateral (select * from market.trades n where n.symbol = s.symbol and n.ts >= {from} and n.ts < {to} \
                order by n.ts desc, n.trade_id desc, n.source desc limit {limit}) as t \
                order by t.ts desc, t.symbol, t.trade_id desc, t.source desc limit {limit}
                """,
            needsSymbol: true),
        GrafanaTable(
            name: "trade_stats_15s", summary: "Averages of trades over windows of 15 s, newest first",
            columns: [
                ("time", .time), ("symbol", .text), ("price_volume_multiply", .number), ("vwap", .number),
                ("trade_count", .number),
            ],
            sql: """
                select t.ts, t.symbol, t.price_volume_multiply, t.vwap, t.trade_count \
                from unnest({symbols}::text[]) as s (symbol), \
                lateral (select * from market.trade_stats_15s n where n.symbol = s.symbol and n.ts >= {from} \
                and n.ts < {to} order by n.ts desc limit {limit}) as t order by t.ts desc, t.symbol limit {limit}
                """,
            needsSymbol: true),
        GrafanaTable(
            name: "comparison", summary: "Symbols side by side over the range: mean, change, extremes, volume",
            columns: [
                ("symbol", .text), ("mean_close", .number), ("open", .number), ("close", .number),
                ("change_pct", .number), ("high", .number), ("low", .number), ("volume", .number),
                ("average_value", .number),
            ],
            sql: """
                with piece as (select l.symbol, b.ts, b.open, b.high, b.low, b.close, b.volume, b.notional, b.trade_count \
                from market.latest l cross join unnest({timeframes}::text[], {firsts}::timestamptz[], {lasts}::timestamptz[]) \
                as p (timeframe, first, last) cross join lateral (select * from market.bars where symbol = l.symbol \
                and timeframe = p.timeframe and ts >= p.first and ts < p.last offset 0) as b where {of l.symbol} \
                union all select l.symbol, t.* from market.latest l \
                cross join unnest({edge firsts}::timestamptz[], {edge lasts}::timestamptz[]) as e (first, last) \
                cross join lateral (select min(ts), (array_agg(price order by ts, trade_id, source))[1], max(price), min(price), \
                (array_agg(price order by ts desc, trade_id desc, source desc))[1], sum(size), sum(price * size), count(*) \
                from market.trades where symbol = l.symbol and ts >= e.first and ts < e.last having count(*) > 0) as t \
                where {of l.symbol}), \
                step as (select symbol, min(ts) as ts, tapedeck_sql.first(open, ts) as open, max(high) as high, \
                min(low) as low, tapedeck_sql.last(close, ts) as close, sum(volume) as volume, sum(notional) as notional, \
                sum(trade_count) as trade_count from piece \
                group by symbol, date_bin({width}::bigint * interval '1 us', ts, timestamptz 'epoch')) \
                select symbol, avg(close), tapedeck_sql.first(open, ts), tapedeck_sql.last(close, ts), \
                (tapedeck_sql.last(close, ts) / nullif(tapedeck_sql.first(open, ts), 0) - 1) * 100, max(high), min(low), \
                sum(volume), sum(notional) / sum(trade_count) from step group by symbol order by symbol limit {limit}
                """,
            choice: ("timeframe", ["auto", "1d", "1m", "15m", "1h"])),
        GrafanaTable(
            name: "daily_means",
            summary: "Mean close of each day, by UTC, that the range touches: of all of the day's minutes with trades",
            columns: [
                ("time", .time), ("day", .text), ("symbol", .text), ("mean_close", .number), ("minutes", .number),
            ],
            // The levels are a line through each day, as far as the range has it.
            sql: """
                with minute as (select symbol, date_trunc('day', ts, 'UTC') as day, close from market.bars \
                where timeframe = '1m' and ts >= date_trunc('day', {from}::timestamptz, 'UTC') \
                and ts < date_trunc('day', {to}::timestamptz - interval '1 us', 'UTC') + interval '1 day' and {of symbol}), \
                mean as (select symbol, day, avg(close) as close, count(*) as minutes, \
                row_number() over (partition by symbol order by day desc) as place from minute group by symbol, day) \
                select * from (select e.ts, to_char(day at time zone 'UTC', 'YYYY-MM-DD'), symbol, close, minutes \
                from mean, lateral (select case when {choice} = 'levels' then greatest(day, {from}) else day end as ts \
                union all select least(day + interval '1 day', {to}) - interval '1 ms' where {choice} = 'levels') as e \
                where {choice} <> 'newest' or place = 1 order by 1 desc, symbol limit {limit}) as newest order by 1, symbol
                """,
            choice: ("show", ["days", "newest", "levels"])),
        GrafanaTable(
            name: "quotes", summary: "Snapshots of the trading day, newest first",
            columns: [
                ("time", .time), ("symbol", .text), ("source", .text), ("open", .number), ("high", .number),
                ("low", .number), ("price", .number), ("previous_close", .number), ("volume", .number),
                ("currency", .text),
            ],
            sql: """
                select ts, symbol, source, open, high, low, price, previous_close, volume, currency from market.quotes \
                where ts >= {from} and ts < {to} and {of symbol} order by ts desc, symbol, source limit {limit}
                """),
        GrafanaTable(
            name: "instruments", summary: "What is known of instruments",
            columns: [
                ("symbol", .text), ("name", .text), ("exchange", .text), ("type", .text), ("currency", .text),
                ("country", .text), ("sector", .text), ("industry", .text), ("market_cap", .number),
                ("forward_pe", .number), ("trailing_pe", .number), ("fifty_two_week_high", .number),
                ("fifty_two_week_low", .number), ("fifty_day_average", .number), ("short_ratio", .number),
                ("updated", .time),
            ],
            sql: """
                select symbol, name, exchange, type, currency, country, sector, industry, market_cap, forward_pe, \
                trailing_pe, fifty_two_week_high, fifty_two_week_low, fifty_day_average, short_ratio, updated_at \
                from market.instruments where {of symbol} \
                and ({search}::text is null or symbol ilike {search} or name ilike {search}) order by symbol limit {limit}
                """),
        GrafanaTable(
            name: "forecast", summary: "The fan of a symbol's newest forecast in the range, and the prices that came",
            columns: [
                ("time", .time), ("mean", .number), ("p05", .number), ("p25", .number), ("p50", .number),
                ("p75", .number), ("p95", .number), ("actual", .number),
            ],
            sql: """
                select ts, mean, p05, p25, p50, p75, p95, actual from market.forecast_steps where forecast_id = \
                (select f.forecast_id from market.forecasts f where {of f.symbol} and f.made_at >= {from} \
                and f.made_at < {to} order by f.made_at desc, f.forecast_id desc limit 1) order by step limit {limit}
                """,
            needsSymbol: true),
        GrafanaTable(
            name: "forecast_outcomes", summary: "The prices at the end of a symbol's newest forecast in the range",
            columns: [("price_low", .number), ("price_high", .number), ("paths", .number), ("density", .number)],
            sql: """
                select price_low, price_high, count, density from market.forecast_outcomes where forecast_id = \
                (select f.forecast_id from market.forecasts f where {of f.symbol} and f.made_at >= {from} \
                and f.made_at < {to} order by f.made_at desc, f.forecast_id desc limit 1) order by bin limit {limit}
                """,
            needsSymbol: true),
    ]

    private static let opinion: [GrafanaTable] = [
        GrafanaTable(
            name: "sentiment_now",
            summary: "Mean sentiment at the end of the range: of the newest post, of 30 minutes, 1, 2 and 4 hours",
            columns: [
                ("time", .time), ("now", .number), ("last_30m", .number), ("last_1h", .number), ("last_2h", .number),
                ("last_4h", .number), ("posts_4h", .number),
            ],
            sql: """
                with post as (select p.created_at as ts, p.id, p.sentiment from market.posts p \
                where p.created_at < least({to}, now()) and p.sentiment is not null and not p.is_deleted \
                and ({choice} = 'all' or p.kind = {choice}) and ({symbols} = '{}' or exists (select from market.mentions m \
                where m.post_id = p.id and m.symbol = any({symbols})))), \
                newest as (select ts, sentiment from post order by ts desc, id desc limit 1), \
                recent as (select ts, sentiment, least({to}, now()) as until from post \
                where ts >= least({to}, now()) - interval '240 minutes') \
                select max(n.ts), max(n.sentiment), avg(r.sentiment) filter (where r.ts >= r.until - interval '30 minutes'), \
                avg(r.sentiment) filter (where r.ts >= r.until - interval '1 hour'), \
                avg(r.sentiment) filter (where r.ts >= r.until - interval '2 hours'), avg(r.sentiment), count(r.ts) \
                from newest n left join recent r on true having count(*) > 0 limit {limit}
                """,
            choice: ("kind", ["all", "comment", "submission"])),
        GrafanaTable(
            name: "sentiment", summary: "Sentiment of symbols over time with its mood: bull, bear or neutral",
            columns: [
                ("time", .time), ("symbol", .text), ("sentiment", .number), ("mood", .text), ("post_count", .number),
            ],
            sql: """
                select * from (select ts, symbol, mean_sentiment, case when mean_sentiment >= 0.05 then 'bull' \
                when mean_sentiment <= -0.05 then 'bear' else 'neutral' end, post_count from market.sentiment_bars \
                where timeframe = {choice} and ts >= {from} and ts < {to} and {of symbol} \
                order by ts desc, symbol desc limit {limit}) as newest order by 1, 2
                """,
            choice: ("timeframe", ["1h", "1m", "5m", "15m", "1d"])),
        GrafanaTable(
            name: "sentiment_by_subreddit", summary: "Mean sentiment of each subreddit over the range",
            columns: [
                ("subreddit", .text), ("sentiment", .number), ("post_count", .number), ("positive_count", .number),
                ("negative_count", .number),
            ],
            sql: """
                select p.subreddit, avg(p.sentiment), count(*), count(*) filter (where p.sentiment >= 0.05), \
                count(*) filter (where p.sentiment <= -0.05) from market.posts p \
                where p.created_at >= {from} and p.created_at < {to} and p.sentiment is not null and not p.is_deleted \
                and p.subreddit is not null and ({symbols} = '{}' or exists (select from market.mentions m \
                where m.post_id = p.id and m.symbol = any({symbols}))) \
                group by p.subreddit order by count(*) desc, p.subreddit limit {limit}
                """),
        GrafanaTable(
            name: "mentions", summary: "How often each symbol is mentioned in the range, and in which mood",
            columns: [("symbol", .text), ("mention_count", .number), ("sentiment", .number)],
            sql: """
                select symbol, count(*), avg(sentiment) from market.mentions \
                where ts >= {from} and ts < {to} and {of symbol} group by symbol order by count(*) desc, symbol limit {limit}
                """),
        GrafanaTable(
            name: "posts", summary: "Posts of the range, newest first",
            columns: [
                ("time", .time), ("subreddit", .text), ("kind", .text), ("author", .text), ("title", .text),
                ("body", .text), ("sentiment", .number), ("score", .number), ("url", .text),
            ],
            sql: """
                select p.created_at, p.subreddit, p.kind, p.author, p.title, p.body, p.sentiment, p.score, p.url \
                from market.posts p where p.created_at >= {from} and p.created_at < {to} \
                and ({choice} = 'all' or p.kind = {choice}) and ({symbols} = '{}' or exists (select from market.mentions m \
                where m.post_id = p.id and m.symbol = any({symbols}))) order by p.created_at desc, p.id limit {limit}
                """,
            choice: ("kind", ["all", "comment", "submission"])),
    ]

    private static let pipeline: [GrafanaTable] = [
        GrafanaTable(
            name: "sources",
            summary: "How each source is now: since when it is silent, how fast it is, what went wrong",
            columns: [
                ("source", .text), ("last_trade", .time), ("last_ingested", .time), ("silent_seconds", .number),
                ("is_silent", .flag), ("trades_per_second", .number), ("trades", .number), ("last_error", .text),
                ("last_error_time", .time),
            ],
            sql: """
                select source, last_event_ts, last_ingested_at, extract(epoch from silent_for)::float8, is_silent, rate, \
                events, last_error, last_error_at from ops.source_freshness order by source limit {limit}
                """),
        GrafanaTable(
            name: "freshness", summary: "How long ago each symbol last traded, the longest first",
            columns: [("symbol", .text), ("last_trade", .time), ("silent_seconds", .number), ("source", .text)],
            sql: """
                select symbol, last_event_ts, extract(epoch from silent_for)::float8, source from ops.symbol_freshness \
                where {of symbol} order by last_event_ts, symbol limit {limit}
                """),
        GrafanaTable(
            name: "throughput",
            summary:
                "Trades committed each second of the last quarter of an hour, and how late: seconds from a trade's time",
            columns: [("time", .time), ("trades", .number), ("transactions", .number), ("lag_seconds", .number)],
            sql: """
                select * from (select date_trunc('second', committed_at) as ts, sum(trade_count)::bigint, count(*), \
                max(extract(epoch from committed_at - last_ts))::float8 from ops.live_batches \
                where committed_at >= {from} and committed_at < {to} group by 1 order by 1 desc limit {limit}) as newest \
                order by 1
                """),
        GrafanaTable(
            name: "lag",
            summary: "How far the store is behind the log, and whether anybody brings it in: one row",
            columns: [
                ("time", .time), ("records_behind", .number), ("oldest_seconds", .number), ("counted_seconds", .number),
                ("processors", .number), ("silent_seconds", .number),
            ],
            // A processor that ended in order has taken its row away; what it moved stays. One that was killed has left
            // its last count, which is as old as it says.
            sql: """
                select now(), counted.lag_records, counted.lag_seconds, extract(epoch from now() - counted.updated_at)::float8, \
                heard.alive, extract(epoch from now() - greatest(heard.last, moved.last))::float8 \
                from (select max(updated_at) as last, count(*) filter (where updated_at > now() - interval '30 s') as alive \
                from ops.processors) as heard \
                cross join (select max(updated_at) as last from ops.log_offsets) as moved \
                left join (select lag_records, lag_seconds, updated_at from ops.processors where lag_records is not null \
                order by updated_at desc limit 1) as counted on true limit {limit}
                """),
        GrafanaTable(
            name: "log_positions", summary: "How far each partition of the log is in the store, and since when",
            columns: [
                ("topic", .text), ("partition", .number), ("next_offset", .number), ("owner", .text), ("moved", .time),
                ("seconds_since", .number),
            ],
            sql: """
                select topic, partition, next_offset, owner, updated_at, extract(epoch from now() - updated_at)::float8 \
                from ops.log_offsets order by topic, partition limit {limit}
                """),
        GrafanaTable(
            name: "runs", summary: "What became of each run's records, newest first",
            columns: [
                ("time", .time), ("source", .text), ("accepted", .number), ("already_there", .number),
                ("rejected", .number), ("updated", .time),
            ],
            sql: """
                select started_at, source, accepted, already_there, rejected, updated_at from ops.ingest_runs \
                where updated_at >= {from} and started_at < {to} order by started_at desc, run_id limit {limit}
                """),
        GrafanaTable(
            name: "rejected", summary: "Records that were rejected in the range, newest first",
            columns: [
                ("time", .time), ("topic", .text), ("reason", .text), ("message", .text), ("symbol", .text),
                ("source", .text),
            ],
            sql: """
                select rejected_at, topic, reason, message, symbol, source from ops.rejected_records \
                where rejected_at >= {from} and rejected_at < {to} and {of symbol} \
                order by rejected_at desc, log_id, topic, partition, "offset" limit {limit}
                """),
        GrafanaTable(
            name: "rejected_by_reason", summary: "How many records were rejected in the range, by reason",
            columns: [("reason", .text), ("topic", .text), ("records", .number), ("last_time", .time)],
            sql: """
                select reason, topic, count(*), max(rejected_at) from ops.rejected_records \
                where rejected_at >= {from} and rejected_at < {to} and {of symbol} group by reason, topic \
                order by count(*) desc, reason, topic limit {limit}
                """),
        GrafanaTable(
            name: "rejected_total", summary: "How many records were rejected in the range: one row, of 0 too",
            columns: [("records", .number), ("last_time", .time)],
            sql: """
                select count(*), max(rejected_at) from ops.rejected_records \
                where rejected_at >= {from} and rejected_at < {to} and {of symbol} limit {limit}
                """),
        GrafanaTable(
            name: "rejected_over_time", summary: "Rejected records of each minute, by reason",
            columns: [("time", .time), ("reason", .text), ("records", .number)],
            sql: """
                select * from (select date_trunc('minute', rejected_at) as ts, reason, count(*) from ops.rejected_records \
                where rejected_at >= {from} and rejected_at < {to} and {of symbol} group by 1, 2 \
                order by 1 desc, 2 limit {limit}) as newest order by 1, 2
                """),
        GrafanaTable(
            name: "alerts", summary: "Bars of the range that went beyond a threshold, newest first",
            columns: [
                ("time", .time), ("symbol", .text), ("timeframe", .text), ("kind", .text), ("value", .number),
                ("threshold", .number), ("raised", .time), ("retracted", .time),
            ],
            sql: """
                select ts, symbol, timeframe, kind, value, threshold, raised_at, retracted_at from ops.alerts \
                where ts >= {from} and ts < {to} and {of symbol} order by ts desc, symbol, timeframe, kind limit {limit}
                """),
        GrafanaTable(
            name: "gaps", summary: "Times of which something of a source is missing, newest first",
            columns: [
                ("time", .time), ("time_end", .time), ("source", .text), ("symbols", .text), ("message", .text),
                ("filled", .time),
            ],
            sql: """
                select from_ts, to_ts, source, array_to_string(symbols, ','), message, filled_at from ops.source_gaps \
                where from_ts < {to} and coalesce(to_ts, now()) >= {from} \
                and ({symbols} = '{}' or symbols = '{}' or symbols && {symbols}) order by from_ts desc, source limit {limit}
                """),
        GrafanaTable(
            name: "jobs", summary: "What runs by the clock: how it went last, when it is due",
            columns: [
                ("job", .text), ("schedule", .text), ("last_run", .time), ("last_result", .text),
                ("last_message", .text), ("next_run", .time),
            ],
            sql: """
                select job, schedule, last_run_at, last_result, last_message, next_run_at from ops.jobs \
                order by job limit {limit}
                """),
    ]
}
