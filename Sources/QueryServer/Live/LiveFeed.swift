// SPDX-License-Identifier: Apache-2.0
// From the store to memory: one connection, woken by NOTIFY, one query for what was committed since.

import EventLoop
import Logging
import Market
import Metrics
import Postgres

/// Follows `ops.live_batches` while somebody subscribes, and for a while after.
///
/// A notification only wakes it, for every role may send one; what is told comes from the table. Where the reader's
/// server is a standby, on which nobody can listen, the table is looked at every few milliseconds instead.
final class LiveFeed: @unchecked Sendable {
    // Rule for `@unchecked Sendable`: what changes is touched on the thread of `loop` only.

    /// How long the tape is followed when the last subscriber has left: who comes back finds it in memory.
    static let linger = Duration.seconds(60)
    /// How long a notification is waited for before the table is looked at all the same.
    private static let patience = Duration.seconds(1)
    /// How often the table of a standby is looked at.
    private static let pollInterval = Duration.milliseconds(20)
    /// How often bars are looked for that have ended in silence.
    private static let closingInterval = Duration.milliseconds(250)
    /// Transactions read at once.
    private static let pageSize = 16
    /// Bars read at once.
    static let barLimit = 2000
    private static let statementTimeout = Duration.seconds(10)
    /// How often a standby that is behind what has been told is asked whether it has caught up.
    private static let behindInterval = Duration.milliseconds(100)
    /// Transactions remembered, to find where another server's history leaves ours.
    private static let historyLimit = 1024

    let loop: EventLoop
    private let tape: LiveTape
    private let settings: ConnectionSettings
    private let metrics: LiveMetrics
    private let logger: Logger

    private var connection: PostgresConnection?
    private var isStopping = false
    private var knowsTape = false
    /// The transactions told last: their positions, and when they were committed, which tells them from others that got the
    /// same positions on a server that had been promoted without them.
    private var history: [(position: Int64, committedAt: Int64)] = []
    /// The server is a standby that has not yet received all that has been told.
    private var isBehind = false
    /// Bars told as not closed, the newest of each symbol and timeframe.
    private var open: [Series: Timestamp] = [:]

    private struct Series: Hashable {
        var symbol: String
        var timeframe: Timeframe
    }

    init(_ tape: LiveTape, reader: ConnectionSettings, metrics: LiveMetrics, on loop: EventLoop, logger: Logger) {
        var reader = reader
        reader.applicationName = "tapedeck live"
        reader.sessionParameters["default_transaction_read_only"] = "on"
        reader.sessionParameters["tapedeck.shared"] = "on"
        self.tape = tape
        settings = reader
        self.metrics = metrics
        self.loop = loop
        self.logger = logger
    }

    /// Follows the tape whenever it is asked for, until ``stop()``.
    func run() async {
        var pause = Duration.milliseconds(50)
        while !isStopping {
            let waiter = Waiter()
            tape.waitForDemand(waiter)
            await withUnsafeContinuation { waiter.arm($0) }
            if isStopping { return }
            let start = MonotonicTime.now()
            do {
                try await follow()
                tape.setFollowed(false)
                pause = .milliseconds(50)
            } catch {
                if isStopping { return }
                if MonotonicTime.now() - start > .seconds(10) { pause = .milliseconds(50) }
                logger.warning("the live tape is interrupted", metadata: ["error": "\(error)", "pause": "\(pause)"])
                try? await loop.sleep(for: pause)
                pause = min(pause * 2, .seconds(2))
            }
            disconnect()
        }
    }

    /// Ends ``run()``; on the loop, after ``LiveTape/close()``.
    func stop() {
        isStopping = true
        disconnect()
    }

    private func disconnect() {
        tape.setConnected(false)
        metrics.isConnected.set(0)
        connection?.close()
        connection = nil
    }

    // MARK: Following

    private func follow() async throws {
        let connection = try await PostgresConnection.connect(settings, on: loop)
        self.connection = connection
        // Before the first look: what is committed in between is notified.
        let isListening = try await listen(connection)
        try await findPlace(connection)
        tape.setConnected(true)
        metrics.isConnected.set(1)
        var position = try await catchUp(connection)
        tape.setFollowed(true)
        var lastDemand = MonotonicTime.now()
        var nextLook = lastDemand + Self.patience
        while !isStopping {
            let now = MonotonicTime.now()
            if tape.subscriberCount > 0 { lastDemand = now } else if now - lastDemand > Self.linger { return }
            if isBehind {
                try await loop.sleep(for: Self.behindInterval)
                try await findPlace(connection)
                continue
            }
            var deadline = isListening ? nextLook : now + Self.pollInterval
            if !open.isEmpty { deadline = min(deadline, now + Self.closingInterval) }
            if let notification = try await connection.waitForNotification(until: deadline) {
                // Of several that came while we were reading, the first read found all.
                if let told = Int64(notification.payload), told <= position { continue }
                position = try await catchUp(connection)
            } else if !isListening || nextLook <= .now() {
                position = try await catchUp(connection)
            }
            nextLook = .now() + Self.patience
            findOpenBars()
            try await closeBars(connection)
        }
    }

    /// Whether notifications will come.
    private func listen(_ connection: PostgresConnection) async throws -> Bool {
        do {
            try await connection.query("LISTEN tapedeck_live")
            return true
        } catch {
            guard error.sqlState == "25006" else { throw error }
            logger.info("the reader's server is a standby: the live tape is looked at every \(Self.pollInterval)")
            return false
        }
    }

    /// Finds where to go on: where we were, if this server has it and what lies between fits in memory.
    ///
    /// Of several servers that the reader's URL names, this one may be behind the one before. A standby will catch up, and
    /// nothing is told twice. One that was promoted never will: what it lacks of what has been told is made anew, in other
    /// transactions, so everything is told again from where its history leaves ours.
    private func findPlace(_ connection: PostgresConnection) async throws {
        let found = try await connection.query(
            LiveStatements.place,
            [
                .int64(Int64(tape.memoryLimit)), .int64Array(history.map(\.position)),
                .timestampArray(history.map(\.committedAt)),
            ], resultFormat: .binary, deadline: .now() + Self.statementTimeout)[0]
        let (tapeID, start, end) = (try found.string(0), try found.int64(1), try found.int64(2))
        let (common, isStandby) = (try found.int64(3), try found.bool(4))
        isBehind = false
        let isOther = knowsTape
        var place = start
        if knowsTape && tapeID == tape.tapeID {
            if isStandby && tape.position > end {
                isBehind = true
                return
            }
            if tape.position < start {
                let gap = LiveGap(reason: .expired, trades: start - tape.position)
                history = []
                return tape.append([LiveEntry(after: tape.position, position: start, .gap(gap))])
            }
            // Where the store keeps nothing from before our place, there is nothing to compare, nor to tell again.
            let isOurs = common == tape.position || history.isEmpty && tape.position <= end
            if isOurs || tape.position == start { return }
            place = max(start, common)
        }
        knowsTape = true
        open = [:]
        history.removeAll { $0.position > place }
        tape.restart(tapeID, at: place)
        if isOther { tape.append([LiveEntry(after: place, position: place, .gap(LiveGap(reason: .otherTape)))]) }
    }

    /// Reads what was committed since, tells it, and then the bars that it changed. Returns the position reached.
    private func catchUp(_ connection: PostgresConnection) async throws -> Int64 {
        // While the clocks stand where they did: what comes may begin the bars behind those that are open.
        findOpenBars()
        var position = tape.position
        while !isStopping {
            let rows = try await connection.query(
                LiveStatements.batches, [.int64(position), .int64(Int64(Self.pageSize))], resultFormat: .binary,
                deadline: .now() + Self.statementTimeout)
            var entries: [LiveEntry] = []
            var changed: Set<LiveBarKey> = []
            let interest = tape.interest
            for row in rows {
                let (last, count) = (try row.int64(0), try row.int64(1))
                if last - count > position {
                    let gap = LiveGap(reason: .expired, trades: last - count - position)
                    entries.append(LiveEntry(after: position, position: last - count, .gap(gap)))
                }
                entries += try self.entries(row, after: last - count, position: last, interest, &changed)
                position = last
                history.append((last, try row.timestamp(4)))
                metrics.read(trades: Int(count), committedAt: try row.timestamp(4))
            }
            if history.count > 2 * Self.historyLimit { history.removeFirst(history.count - Self.historyLimit) }
            tape.append(entries)
            if !changed.isEmpty { try await tellBars(changed, connection, position) }
            if rows.count < Self.pageSize { break }
        }
        return position
    }

    private func entries(
        _ row: ResultSet.Row, after: Int64, position: Int64, _ interest: BarInterest,
        _ changed: inout Set<LiveBarKey>
    ) throws -> [LiveEntry] {
        let batch = row.withBytes(5) { bytes in bytes.flatMap { LiveBatch(decoding: $0) } }
        guard let batch, batch.totals.isEmpty, batch.trades.count == position - after else {
            // Too large to be followed, or written by a later version of this program.
            var gap = LiveGap(
                reason: .bulk, trades: position - after, since: Timestamp(microseconds: try row.timestamp(2)),
                until: Timestamp(microseconds: try row.timestamp(3)))
            for total in batch?.totals ?? [] { gap.totals[batch?.symbols[Int(total.symbol)] ?? ""] = total }
            return [
                LiveEntry(
                    after: after, position: position, .gap(gap),
                    committedAt: Timestamp(microseconds: try row.timestamp(4)))
            ]
        }
        tape.noteClocks(batch, committedAt: Timestamp(microseconds: try row.timestamp(4)))
        if !interest.isNone {
            let timeframes = batch.symbols.map { interest.timeframes(of: $0) }
            for trade in batch.trades {
                for timeframe in timeframes[Int(trade.symbol)] {
                    changed.insert(
                        LiveBarKey(
                            symbol: batch.symbols[Int(trade.symbol)], timeframe: timeframe,
                            start: timeframe.start(of: trade.ts)))
                }
            }
        }
        return LiveEntry.entries(
            batch, after: after, committedAt: Timestamp(microseconds: try row.timestamp(4)))
    }

    // MARK: Bars

    /// Tells the bars that were changed, and those before them that thereby ended.
    private func tellBars(
        _ changed: Set<LiveBarKey>, _ connection: PostgresConnection, _ position: Int64
    ) async throws {
        var keys = changed
        for key in changed {
            if let start = open[Series(symbol: key.symbol, timeframe: key.timeframe)], start < key.start {
                keys.insert(LiveBarKey(symbol: key.symbol, timeframe: key.timeframe, start: start))
            }
        }
        try await tell(keys.sorted(by: LiveBars.precedes), connection, position)
    }

    /// Whoever has come lately wants to hear the end of bars, too, whose last trade was before.
    private func findOpenBars() {
        guard let since = tape.takeNewInterest() else { return }
        let interest = tape.interest
        for (symbol, clock) in tape.clocks {
            for timeframe in interest.timeframes(of: symbol) {
                let series = Series(symbol: symbol, timeframe: timeframe)
                let start = timeframe.start(of: clock.latest)
                let key = LiveBarKey(symbol: symbol, timeframe: timeframe, start: start)
                // One that has ended in between is told at once.
                if open[series] == nil && !clock.isOver(key.end, now: since) { open[series] = start }
            }
        }
    }

    /// Tells the bars that have ended although no later trade has come.
    private func closeBars(_ connection: PostgresConnection) async throws {
        if open.isEmpty { return }
        let now = QueryHandler.now()
        var ended: [LiveBarKey] = []
        for (series, start) in open {
            let key = LiveBarKey(symbol: series.symbol, timeframe: series.timeframe, start: start)
            if tape.clock(of: series.symbol)?.isOver(key.end, now: now) ?? true { ended.append(key) }
        }
        if !ended.isEmpty { try await tell(ended.sorted(by: LiveBars.precedes), connection, tape.position) }
    }

    private func tell(_ keys: [LiveBarKey], _ connection: PostgresConnection, _ position: Int64) async throws {
        var start = 0
        while start < keys.count {
            let piece = Array(keys[start..<min(start + Self.barLimit, keys.count)])
            start += piece.count
            let bars = try await LiveBars.read(
                piece, connection, tape, deadline: .now() + Self.statementTimeout)
            for key in piece {
                let series = Series(symbol: key.symbol, timeframe: key.timeframe)
                if let known = open[series], known <= key.start { open[series] = nil }
            }
            for bar in bars where !bar.isClosed {
                open[Series(symbol: bar.key.symbol, timeframe: bar.key.timeframe)] = bar.key.start
            }
            tape.append([LiveEntry(after: position, position: position, .bars(bars))])
        }
    }
}

/// Reading bars as they stand now.
enum LiveBars {
    /// In the order of time, then of width: a bar that ends stands before the one that begins.
    static func precedes(_ a: LiveBarKey, _ b: LiveBarKey) -> Bool {
        if a.start != b.start { return a.start < b.start }
        return a.timeframe != b.timeframe ? a.timeframe < b.timeframe : a.symbol < b.symbol
    }

    /// The bars of `keys` that are there, in their order.
    static func read(
        _ keys: [LiveBarKey], _ connection: PostgresConnection, _ tape: LiveTape, deadline: MonotonicTime
    ) async throws -> [LiveBar] {
        let rows = try await connection.query(
            LiveStatements.bars,
            [
                .textArray(keys.map(\.symbol)), .textArray(keys.map(\.timeframe.name)),
                .timestampArray(keys.map(\.start.microseconds)),
            ], deadline: deadline)
        let now = QueryHandler.now()
        var bars: [LiveBar] = []
        for row in rows {
            let key = keys[try row.int(0) - 1]
            var values: [UInt8] = []
            for (index, name) in Self.columns.enumerated() {
                values.appendText(index == 0 ? "\"" : ",\"")
                values.appendText(name)
                values.appendText("\":")
                row.withBytes(1 + index) { values.appendJSON($0, as: .scalar(.number)) }
            }
            let isClosed = tape.clock(of: key.symbol)?.isOver(key.end, now: now) ?? false
            bars.append(LiveBar(key: key, isClosed: isClosed, values: values))
        }
        return bars
    }

    private static let columns: [StaticString] = [
        "open", "high", "low", "close", "volume", "vwap", "trade_count",
    ]
}

/// The statements of the live tape.
enum LiveStatements {
    /// Which tape it is, from where on it fits into so many bytes of memory, where it ends; the last of some transactions
    /// (their positions, when they were committed) that it has, 0 for none; and whether the server is a standby.
    static let place = Statement(
        name: "live_place",
        sql: """
            select h.tape_id, coalesce((select min(kept.position - kept.trade_count) from (
                select position, trade_count, sum(512 + 64 * least(trade_count, \(LiveBatch.tradeLimit)))
                    over (order by position desc) as memory from ops.live_batches) kept
                where kept.memory <= $1), h.position), h.position,
                coalesce((select max(b.position) from unnest($2::bigint[], $3::timestamptz[]) as told (position, at),
                    ops.live_batches b where b.position = told.position and b.committed_at = told.at), 0),
                pg_is_in_recovery()
            from ops.live_head h
            """)

    /// What was committed after a position, in order.
    static let batches = Statement(
        name: "live_batches",
        sql: """
            select position, trade_count, first_ts, last_ts, committed_at, content from ops.live_batches
            where position > $1 order by position limit $2
            """)

    /// Some bars, by their place in the arrays.
    static let bars = Statement(
        name: "live_bars",
        sql: """
            select asked.n, b.open, b.high, b.low, b.close, b.volume, b.vwap, b.trade_count
            from unnest($1::text[], $2::text[], $3::timestamptz[]) with ordinality as asked (symbol, timeframe, ts, n),
                lateral (select * from market.bars b where b.symbol = asked.symbol
                    and b.timeframe = asked.timeframe and b.ts = asked.ts limit 1) as b
            order by asked.n
            """)
}
