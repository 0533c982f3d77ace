// SPDX-License-Identifier: Apache-2.0

import Market
import Postgres
import Records

/// Every statement that the sink sends, in the order in which a transaction uses them.
enum SinkStatements {
    /// Takes over a partition: whoever held it can no longer commit. Waits for a transaction of the former owner. An
    /// offset in another log means nothing in this one: it is read from its start, and what is there is not added again.
    static let claim = Statement(
        name: "claim",
        sql: """
            INSERT INTO ops.log_offsets (log_id, topic, partition, next_offset, epoch, owner)
            SELECT $4, topic, partition, 0, 1, $3 FROM unnest($1::text[], $2::bigint[]) AS claimed (topic, partition)
            ON CONFLICT (topic, partition) DO UPDATE
                SET epoch = log_offsets.epoch + 1, owner = excluded.owner, updated_at = now(),
                    next_offset = CASE WHEN log_offsets.log_id = excluded.log_id THEN log_offsets.next_offset ELSE 0 END,
                    log_id = excluded.log_id
            RETURNING topic, partition, next_offset, epoch
            """)

    /// Moves offsets, if they are still where this owner left them and the partition is still its own. Fewer rows than
    /// asked for means that another owner has taken over.
    static let advance = Statement(
        name: "advance",
        sql: """
            UPDATE ops.log_offsets o SET next_offset = moved.next_offset, updated_at = now()
            FROM unnest($1::text[], $2::bigint[], $3::bigint[], $4::bigint[], $5::bigint[])
                AS moved (topic, partition, expected, next_offset, epoch)
            WHERE o.topic = moved.topic AND o.partition = moved.partition AND o.next_offset = moved.expected
                AND o.epoch = moved.epoch
            """)

    static let ensurePartitions = Statement(
        name: "ensure_partitions", sql: "SELECT ops.ensure_open_trade_partitions($1::text[]::date[])")

    static let copyTrades = """
        COPY market.trades (symbol, ts, source, trade_id, price, size, conditions, ingested_at)
        FROM STDIN (FORMAT binary)
        """

    /// Which of some trades are already there, by their place in the arrays. The bounds on ts let the planner look at
    /// the days of the batch alone; LATERAL with LIMIT makes it probe the one day of each trade (as EXISTS it becomes a
    /// join of everything with everything: 9 s instead of 54 ms for 8192 trades on 200 days).
    static let alreadyThere = Statement(
        name: "already_there",
        sql: """
            SELECT asked.n FROM unnest($1::text[], $2::timestamptz[], $3::text[], $4::bigint[])
                WITH ORDINALITY AS asked (symbol, ts, source, trade_id, n),
                LATERAL (SELECT FROM market.trades t
                         WHERE t.symbol = asked.symbol AND t.ts = asked.ts AND t.source = asked.source
                             AND t.trade_id = asked.trade_id AND t.ts >= $5 AND t.ts <= $6
                         LIMIT 1) AS there
            """)

    /// The start of the newest bar of each timeframe for some symbols, one index probe each.
    static let newestBars = Statement(
        name: "newest_bars",
        sql: """
            SELECT asked.n, frame.name, newest.ts
            FROM unnest($1::text[]) WITH ORDINALITY AS asked (symbol, n), unnest($2::text[]) AS frame (name),
                LATERAL (SELECT max(b.ts) AS ts FROM ops.bar_state b
                         WHERE b.symbol = asked.symbol AND b.timeframe = frame.name) AS newest
            WHERE newest.ts IS NOT NULL
            """)

    /// The latest trades of some symbols.
    static let latestTrades = Statement(
        name: "latest_trades",
        sql: """
            SELECT asked.n, l.ts, l.source, l.trade_id, l.price, l.size,
                l.previous_ts, l.previous_source, l.previous_trade_id, l.previous_price
            FROM unnest($1::text[]) WITH ORDINALITY AS asked (symbol, n)
            JOIN market.latest l ON l.symbol = asked.symbol
            """)

    /// The state of some bars, by their place in the arrays.
    static let readBars = Statement(
        name: "read_bars",
        sql: """
            SELECT asked.n, b.open, b.high, b.low, b.close, b.volume, b.volume_c, b.notional, b.notional_c,
                b.trade_count, b.open_ts, b.open_id, b.open_source, b.close_ts, b.close_id, b.close_source
            FROM unnest($1::text[], $2::text[], $3::timestamptz[])
                WITH ORDINALITY AS asked (symbol, timeframe, ts, n),
                LATERAL (SELECT * FROM ops.bar_state b
                         WHERE b.symbol = asked.symbol AND b.timeframe = asked.timeframe AND b.ts = asked.ts
                         LIMIT 1) AS b
            """)

    private static let barColumns = """
        symbol, timeframe, ts, open, high, low, close, volume, volume_c, notional, notional_c, trade_count,
        open_ts, open_id, open_source, close_ts, close_id, close_source
        """

    static let copyBars = "COPY ops.bar_state (\(barColumns)) FROM STDIN (FORMAT binary)"

    /// Where states of existing bars are copied to before one statement moves them into place: an upsert, which probes
    /// the key of each row, where the plan of an UPDATE with a join would depend on guesses about a temporary table.
    static let makeChangedBars = """
        CREATE TEMPORARY TABLE IF NOT EXISTS changed_bars (LIKE ops.bar_state) ON COMMIT DELETE ROWS
        """
    static let copyChangedBars = "COPY pg_temp.changed_bars (\(barColumns)) FROM STDIN (FORMAT binary)"
    static let updateBars = Statement(
        name: "update_bars",
        sql: """
            INSERT INTO ops.bar_state (\(barColumns)) SELECT \(barColumns) FROM pg_temp.changed_bars
            ON CONFLICT (symbol, timeframe, ts) DO UPDATE SET
                open = excluded.open, high = excluded.high, low = excluded.low, close = excluded.close,
                volume = excluded.volume, volume_c = excluded.volume_c, notional = excluded.notional,
                notional_c = excluded.notional_c, trade_count = excluded.trade_count, open_ts = excluded.open_ts,
                open_id = excluded.open_id, open_source = excluded.open_source, close_ts = excluded.close_ts,
                close_id = excluded.close_id, close_source = excluded.close_source
            """)

    /// Writes the alerts of bars that a transaction has made or changed, and takes back those that no longer hold.
    static let noteAlerts = Statement(
        name: "note_alerts",
        sql: """
            SELECT ops.note_alerts($1, $2::text[], $3::timestamptz[], $4::text[], $5::timestamptz[], $6::text[],
                $7::float8[], $8::float8[], $9 * interval '1 microsecond')
            """)

    static let writeLatest = Statement(
        name: "write_latest",
        sql: """
            INSERT INTO market.latest (symbol, ts, source, trade_id, price, size,
                previous_ts, previous_source, previous_trade_id, previous_price)
            SELECT symbol, ts, source, trade_id, price, size,
                timestamptz 'epoch' + previous_us * interval '1 microsecond', previous_source, previous_id,
                previous_price
            FROM unnest($1::text[], $2::timestamptz[], $3::text[], $4::bigint[], $5::float8[], $6::float8[],
                $7::bigint[], $8::text[], $9::bigint[], $10::float8[])
                AS l (symbol, ts, source, trade_id, price, size, previous_us, previous_source, previous_id, previous_price)
            ON CONFLICT (symbol) DO UPDATE SET
                ts = excluded.ts, source = excluded.source, trade_id = excluded.trade_id, price = excluded.price,
                size = excluded.size, previous_ts = excluded.previous_ts,
                previous_source = excluded.previous_source, previous_trade_id = excluded.previous_trade_id,
                previous_price = excluded.previous_price
            """)

    /// Keeps rejected records; a record that the log holds twice is kept and counted once.
    static let keepRejected = Statement(
        name: "keep_rejected",
        sql: """
            INSERT INTO ops.rejected_records (log_id, topic, partition, "offset", reason, message, original, symbol, source,
                run_id, rejected_at)
            SELECT $11, topic, partition, at, reason, message, decode(original, 'hex'), symbol, source, run, rejected_at
            FROM unnest($1::text[], $2::bigint[], $3::bigint[], $4::text[], $5::text[], $6::text[], $7::text[],
                $8::text[], $9::bigint[], $10::timestamptz[])
                AS r (topic, partition, at, reason, message, original, symbol, source, run, rejected_at)
            ON CONFLICT DO NOTHING
            RETURNING run_id, reason
            """)

    static let countRuns = Statement(
        name: "count_runs",
        sql: """
            INSERT INTO ops.ingest_runs AS r (run_id, source, accepted, already_there, rejected, bars_touched)
            SELECT * FROM unnest($1::bigint[], $2::text[], $3::bigint[], $4::bigint[], $5::bigint[], $6::bigint[])
            ON CONFLICT (run_id) DO UPDATE SET
                source = coalesce(r.source, excluded.source), accepted = r.accepted + excluded.accepted,
                already_there = r.already_there + excluded.already_there, rejected = r.rejected + excluded.rejected,
                bars_touched = r.bars_touched + excluded.bars_touched, updated_at = now()
            """)

    static let countRejects = Statement(
        name: "count_rejects",
        sql: """
            INSERT INTO ops.ingest_run_rejects AS r (run_id, reason, count)
            SELECT * FROM unnest($1::bigint[], $2::text[], $3::bigint[])
            ON CONFLICT (run_id, reason) DO UPDATE SET count = r.count + excluded.count
            """)

    /// Adds to what is known of sources. A state or an error that is older than the one there is left out.
    static let noteSources = Statement(
        name: "note_sources",
        sql: """
            INSERT INTO ops.sources AS s (source, last_event_ts, last_ingested_at, events, rate, state, state_at, last_error,
                last_error_at, silent_after)
            SELECT source, timestamptz 'epoch' + event_us * interval '1 microsecond',
                timestamptz 'epoch' + ingested_us * interval '1 microsecond', events, events / 60.0, state,
                timestamptz 'epoch' + state_us * interval '1 microsecond', error,
                timestamptz 'epoch' + error_us * interval '1 microsecond', silent_us * interval '1 microsecond'
            FROM unnest($1::text[], $2::bigint[], $3::bigint[], $4::bigint[], $5::text[], $6::bigint[], $7::text[],
                $8::bigint[], $9::bigint[])
                AS noted (source, event_us, ingested_us, events, state, state_us, error, error_us, silent_us)
            ON CONFLICT (source) DO UPDATE SET
                last_event_ts = greatest(s.last_event_ts, excluded.last_event_ts),
                last_ingested_at = greatest(s.last_ingested_at, excluded.last_ingested_at),
                events = s.events + excluded.events, updated_at = now(),
                -- What was counted before weighs e times less after a minute.
                rate = s.rate * exp(greatest(-700, -extract(epoch FROM now() - s.updated_at) / 60)) + excluded.events / 60.0,
                state = CASE WHEN excluded.state_at >= coalesce(s.state_at, '-infinity') THEN excluded.state ELSE s.state END,
                state_at = greatest(s.state_at, excluded.state_at),
                last_error = CASE WHEN excluded.last_error_at >= coalesce(s.last_error_at, '-infinity')
                    THEN excluded.last_error ELSE s.last_error END,
                last_error_at = greatest(s.last_error_at, excluded.last_error_at), silent_after = excluded.silent_after
            """)

    /// Says how a processor does, in place of what it said before.
    static let sayProcessor = Statement(
        name: "say_processor",
        sql: """
            WITH gone AS (DELETE FROM ops.processors WHERE updated_at < now() - interval '1 day' AND owner <> $1)
            INSERT INTO ops.processors (owner, started_at, transactions, records, rate, batch_records_median,
                batch_records_largest, commit_ms_median, commit_ms_p99, commit_ms_longest, retries, last_failure,
                last_failure_at)
            VALUES ($1, ($2::timestamptz[])[1], $3, $4, ($5::float8[])[1], ($6::bigint[])[1], ($7::bigint[])[1],
                ($8::float8[])[1], ($9::float8[])[1], ($10::float8[])[1], $11, ($12::text[])[1],
                timestamptz 'epoch' + ($13::bigint[])[1] * interval '1 microsecond')
            ON CONFLICT (owner) DO UPDATE SET
                started_at = excluded.started_at, updated_at = now(), transactions = excluded.transactions,
                records = excluded.records, rate = excluded.rate,
                batch_records_median = excluded.batch_records_median,
                batch_records_largest = excluded.batch_records_largest, commit_ms_median = excluded.commit_ms_median,
                commit_ms_p99 = excluded.commit_ms_p99, commit_ms_longest = excluded.commit_ms_longest,
                retries = excluded.retries, last_failure = excluded.last_failure,
                last_failure_at = excluded.last_failure_at, lag_records = NULL,
                lag_seconds = NULL
            """)

    /// Says how far the store is behind the log; until then, what was said before is not repeated.
    static let sayLag = Statement(
        name: "say_lag", sql: "UPDATE ops.processors SET lag_records = $2, lag_seconds = $3 WHERE owner = $1")

    /// Tells live subscribers of trades when the transaction commits.
    static let publish = "SELECT ops.publish_trades($1::integer, $2, $3, $4)"

    /// Says from when on something has changed, when the transaction commits.
    static let noteChange = "SELECT ops.note_change($1)"

    /// The parameters of ``publish``.
    static func publication(of trades: [TradeBatch.Trade], _ names: Names) -> [Parameter] {
        var first = trades[0].ts
        var last = trades[0].ts
        for trade in trades {
            first = min(first, trade.ts)
            last = max(last, trade.ts)
        }
        return [
            .int64(Int64(trades.count)), .timestamp(first.microseconds), .timestamp(last.microseconds),
            .bytes(LiveBatch(trades, names).encoded()),
        ]
    }
}

extension LiveBatch {
    /// Trades one by one, or where they are more than ``tradeLimit``, how many of each symbol.
    init(_ trades: [TradeBatch.Trade], _ names: Names) {
        self.init()
        var symbols = Renumbering(of: names.symbols)
        if trades.count > Self.tradeLimit {
            for trade in trades {
                let symbol = symbols[trade.symbol]
                if Int(symbol) == totals.count {
                    totals.append(Total(symbol: symbol, count: 0, first: trade.ts, last: trade.ts))
                }
                totals[Int(symbol)].count += 1
                totals[Int(symbol)].first = min(totals[Int(symbol)].first, trade.ts)
                totals[Int(symbol)].last = max(totals[Int(symbol)].last, trade.ts)
            }
        } else {
            var sources = Renumbering(of: names.sources)
            var conditions = Renumbering(of: names.conditions)
            self.trades = trades.map { trade in
                Trade(
                    symbol: symbols[trade.symbol], source: sources[trade.source],
                    conditions: conditions[trade.conditions], ts: trade.ts, tradeID: trade.tradeID, price: trade.price,
                    size: trade.size)
            }
            self.sources = sources.known.map { names.sources.string(of: $0) }
            self.conditions = conditions.known.map { id in
                names.conditions.withBytes(of: id) { $0.count > 1 ? decodeStrings($0) : [] }
            }
        }
        self.symbols = symbols.known.map { names.symbols.string(of: $0) }
    }
}

/// Numbers from 0 for the few names that a batch has, in the order of first sight.
private struct Renumbering {
    private(set) var known: [Interner.ID] = []
    /// By id; `max` for one that has not been seen.
    private var numbers: [UInt32]

    init(of names: Interner) { numbers = Array(repeating: .max, count: names.count) }

    subscript(id: Interner.ID) -> UInt32 {
        mutating get {
            if numbers[Int(id)] != .max { return numbers[Int(id)] }
            let number = UInt32(known.count)
            numbers[Int(id)] = number
            known.append(id)
            return number
        }
    }
}
