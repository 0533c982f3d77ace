// SPDX-License-Identifier: Apache-2.0

import EventLog
import EventLoop
import Logging
import Market
import Metrics
import Postgres
import Records

/// Writes trades and rejected records to the store. One transaction holds the data, every bar it touches, the counts
/// and the log's offsets; so what the log holds reaches the store exactly once, whatever is killed in between.
///
/// The offsets are fenced: taking over a partition raises its epoch, and a transaction moves offsets only while the
/// epoch is its own. Loop-bound; used by one task.
final class TradeSink {
    private let connection: PostgresConnection
    private let topics: TopicRoles
    private let offsets: FencedOffsets
    private let ledger: SinkLedger
    private let metrics: ProcessorMetrics?
    private let alertRules: AlertRules
    private let now: () -> Timestamp
    private let atStep: ((ProcessingStep) throws -> Void)?

    private var names = Names()
    private var book = BarBook()
    private var latest: [Interner.ID: LatestTrades] = [:]
    private var knownDays: Set<Int64> = []
    /// What lies before has been dropped by retention: a trade of then is refused, because nobody knows any more
    /// whether it was there.
    private var droppedBefore = Timestamp(microseconds: .min)
    /// Set while batches hold trades that are already there (a tape played again): then the store is asked first,
    /// rather than told and refused.
    private var expectsRepeats = false
    private var hasChangedBars = false

    /// - Parameter atStep: called at each step; throwing there is as if the process had died there.
    init(
        connection: PostgresConnection, topics: TopicRoles, logID: String, owner: String,
        metrics: ProcessorMetrics? = nil, alertRules: AlertRules = AlertRules(),
        silence: SilencePolicy = SilencePolicy(), now: @escaping () -> Timestamp,
        atStep: ((ProcessingStep) throws -> Void)? = nil
    ) {
        self.connection = connection
        self.topics = topics
        offsets = FencedOffsets(connection: connection, logID: logID, owner: owner)
        ledger = SinkLedger(connection: connection, logID: logID, silence: silence)
        self.metrics = metrics
        self.alertRules = alertRules
        self.now = now
        self.atStep = atStep
    }

    // MARK: Partitions

    /// Takes over partitions; returns where to go on in each.
    func claim(_ partitions: [TopicPartition]) async throws -> [TopicPartition: Int64] {
        let claimed = try await offsets.claim(partitions)
        // Another owner may have written bars since this one knew them.
        forgetStore()
        return claimed
    }

    /// Gives up partitions that belong to another member now.
    func release(_ partitions: [TopicPartition]) {
        offsets.release(partitions)
        forgetStore()
    }

    private func forgetStore() {
        book.forget()
        latest.removeAll()
    }

    // MARK: A transaction

    /// Commits what was read of the log. On any error nothing of it is in the store, and the sink may be asked again
    /// with the same batches if the connection is still open.
    func commit(_ batches: [FetchedBatch]) async throws -> SinkOutcome {
        let start = MonotonicTime.now()
        let outcome = try await attemptTwice(batches)
        metrics?.committed(
            outcome, topics, records: batches.reduce(0) { $0 + $1.records.count }, in: .now() - start)
        return outcome
    }

    private func attemptTwice(_ batches: [FetchedBatch]) async throws -> SinkOutcome {
        do {
            return try await attempt(batches, mayRepeat: expectsRepeats)
        } catch let error as PostgresError where error.isUniqueViolation {
            // A trade, or after trouble a bar, that is already there: look before writing.
            forgetStore()
            expectsRepeats = true
            return try await attempt(batches, mayRepeat: true)
        }
    }

    private func attempt(_ batches: [FetchedBatch], mayRepeat: Bool) async throws -> SinkOutcome {
        do {
            var content = decode(batches)
            let dropped = droppedBefore
            try await timed("partitions") { try await ensurePartitions(content.trades.days) }
            if droppedBefore != dropped { content = decode(batches) }
            try await connection.query("BEGIN")
            try atStep?(.began)
            try await offsets.advance(past: batches)
            try atStep?(.advanced)
            let transaction = try await write(content, mayRepeat: mayRepeat)
            try await timed("commit") { try await commit(telling: transaction.added) }
            remember(transaction, batches)
            try atStep?(.committed)
            return transaction.outcome
        } catch {
            forgetStore()
            // If this transaction made the temporary table, it goes with it.
            hasChangedBars = false
            if connection.isOpen { _ = try? await connection.query("ROLLBACK") }
            throw error
        }
    }

    /// What a set of batches holds.
    private struct Content {
        var trades = TradeBatch()
        var rejected: [RejectedRecord] = []
    }

    private func decode(_ batches: [FetchedBatch]) -> Content {
        var content = Content()
        content.trades.trades.reserveCapacity(batches.reduce(0) { $0 + $1.records.count })
        for batch in batches {
            let isTrades = batch.partition.topic == topics.valid
            batch.records.forEach { index, _, value in
                if isTrades, let trade = TradeView(decoding: value) {
                    take(trade, value, batch, index, into: &content)
                } else if isTrades, let upgraded = TradeView.schema.upgraded(value),
                    upgraded.withUnsafeBytes({
                        TradeView(decoding: $0).map { take($0, value, batch, index, into: &content) }
                    }) != nil
                {
                    // Of an older version of the schema.
                } else if !isTrades, let rejected = RejectedRecord(decoding: value) {
                    content.rejected.append(rejected)
                } else {
                    // Only something that is not our validator can have written it. It is kept, and stops nothing.
                    content.rejected.append(
                        RejectedRecord(
                            run: 0, source: nil, symbol: nil, reason: RejectionReason.undecodable.rawValue,
                            message: RejectionReason.undecodable.sentence, original: Array(value),
                            topic: batch.partition.topic, partition: batch.partition.partition,
                            offset: batch.baseOffset + Int64(index), rejectedAt: now()))
                }
            }
        }
        return content
    }

    /// Takes a trade of the log; one whose day retention has dropped is refused.
    @inline(__always)
    private func take(
        _ trade: TradeView, _ value: UnsafeRawBufferPointer, _ batch: FetchedBatch, _ index: Int,
        into content: inout Content
    ) {
        if trade.ts < droppedBefore {
            content.rejected.append(tooOld(trade, value, batch, index))
        } else {
            content.trades.append(trade, &names)
        }
    }

    private func tooOld(
        _ trade: TradeView, _ value: UnsafeRawBufferPointer, _ batch: FetchedBatch, _ index: Int
    ) -> RejectedRecord {
        let reason = RejectionReason.tsBeforeRetention
        return RejectedRecord(
            run: trade.run, source: String(decoding: trade.source, as: UTF8.self),
            symbol: String(decoding: trade.symbol, as: UTF8.self), reason: reason.rawValue, message: reason.sentence,
            original: Array(value), topic: batch.partition.topic, partition: batch.partition.partition,
            offset: batch.baseOffset + Int64(index), rejectedAt: now())
    }

    /// Makes the day partitions that are missing, in transactions of their own: making one inside ours would keep other
    /// sinks waiting until we commit.
    private func ensurePartitions(_ days: Set<Int64>) async throws {
        let missing = days.subtracting(knownDays).sorted()
        var start = 0
        while start < missing.count {
            let chunk = missing[start..<min(start + 300, missing.count)]
            let dates = chunk.map { day in
                String(Timestamp(microseconds: day * Timestamp.microsecondsPerDay).description.prefix(10))
            }
            let result = try await connection.query(
                SinkStatements.ensurePartitions, [.textArray(dates)], resultFormat: .binary,
                deadline: .now() + .seconds(120))
            if !result[0].isNull(0) { droppedBefore = Timestamp(microseconds: try result[0].timestamp(0)) }
            start += chunk.count
        }
        knownDays.formUnion(missing)
    }

    /// What a transaction is about to make true, to be remembered when it has committed.
    private struct Transaction {
        var outcome = SinkOutcome()
        var plan = BarBook.Plan()
        var latest: [Interner.ID: LatestTrades] = [:]
        var foundRepeats = false
        /// The trades that are new to the store.
        var added: [TradeBatch.Trade] = []
    }

    /// Commits, and has live subscribers told what was added: in one exchange with the server, because no other sink can
    /// commit from the one statement to the other.
    private func commit(telling added: [TradeBatch.Trade]) async throws {
        if added.isEmpty {
            try await connection.query("COMMIT")
        } else {
            try await connection.commit(after: SinkStatements.publish, SinkStatements.publication(of: added, names))
        }
    }

    private func write(_ content: Content, mayRepeat: Bool) async throws -> Transaction {
        var transaction = Transaction()
        var counts = RunCounts()
        var trades = content.trades.trades
        if mayRepeat && !trades.isEmpty {
            let fresh = try await withoutRepeats(trades)
            transaction.foundRepeats = fresh.count < trades.count
            counts.count(repeats: trades, minus: fresh)
            trades = fresh
        }
        counts.count(accepted: trades, names)
        transaction.added = trades
        if !trades.isEmpty {
            try await timed("trades") { try await copy(trades) }
            try atStep?(.tradesWritten)
            let deltas = BarDeltas(trades, sourceKeys: names.sourceKeys, symbolCount: names.symbols.count)
            counts.count(bars: deltas.count, of: trades)
            transaction.plan = try await timed("bars") { try await writeBars(deltas) }
            try await timed("alerts") { try await noteAlerts(transaction.plan) }
            try atStep?(.barsWritten)
            transaction.latest = try await timed("latest") { try await writeLatest(trades) }
            try atStep?(.latestWritten)
        }
        if !content.rejected.isEmpty {
            try await ledger.keep(content.rejected, &counts)
            try atStep?(.rejectedWritten)
        }
        try await timed("counts") {
            try await ledger.write(counts)
            try await ledger.note(news(of: trades))
        }
        try atStep?(.counted)
        transaction.outcome = counts.outcome
        transaction.outcome.barsMade = transaction.plan.new.count
        return transaction
    }

    /// Does a step, and notes how long it took.
    private func timed<T>(_ step: String, _ body: () async throws -> T) async throws -> T {
        guard let metrics else { return try await body() }
        let start = MonotonicTime.now()
        let value = try await body()
        metrics.stepSeconds[step].observe(.now() - start)
        return value
    }

    private func remember(_ transaction: Transaction, _ batches: [FetchedBatch]) {
        offsets.remember(batches)
        book.remember(transaction.plan)
        latest.merge(transaction.latest) { _, new in new }
        expectsRepeats = transaction.foundRepeats
    }

    // MARK: Trades

    private func copy(_ trades: [TradeBatch.Trade]) async throws {
        let copy = try await connection.copyIn(SinkStatements.copyTrades, deadline: .now() + .seconds(300))
        var writer = BinaryCopyWriter(capacity: 1 << 17)
        writer.start()
        for (index, place) in TradeBatch.writingOrder(trades).enumerated() {
            append(trades[place], to: &writer)
            // A bounded buffer, however large the batch.
            if index & 0x3FF == 0x3FF { try await copy.send(&writer) }
        }
        _ = try await copy.finish(&writer)
    }

    @inline(__always)
    private func append(_ trade: TradeBatch.Trade, to writer: inout BinaryCopyWriter) {
        writer.beginRow(fields: 8)
        names.symbols.withBytes(of: trade.symbol) { writer.text(utf8: $0) }
        writer.timestamp(trade.ts.microseconds)
        names.sources.withBytes(of: trade.source) { writer.text(utf8: $0) }
        writer.int64(trade.tradeID)
        writer.double(trade.price)
        writer.double(trade.size)
        writer.textArray(names.conditions.withBytes(of: trade.conditions) { $0.count > 1 ? decodeStrings($0) : [] })
        writer.timestamp(trade.ingestedAt.microseconds)
    }

    /// The trades that the store does not have, each identity once.
    private func withoutRepeats(_ trades: [TradeBatch.Trade]) async throws -> [TradeBatch.Trade] {
        var seen = Set<TradeBatch.Identity>(minimumCapacity: trades.count)
        let distinct = trades.filter { seen.insert($0.identity).inserted }
        var earliest = Int64.max
        var latest = Int64.min
        for trade in distinct {
            earliest = min(earliest, trade.ts.microseconds)
            latest = max(latest, trade.ts.microseconds)
        }
        let there = try await connection.query(
            SinkStatements.alreadyThere,
            [
                .textArray(distinct.map { names.symbols.string(of: $0.symbol) }),
                .timestampArray(distinct.map(\.ts.microseconds)),
                .textArray(distinct.map { names.sources.string(of: $0.source) }),
                .int64Array(distinct.map(\.tradeID)), .timestamp(earliest), .timestamp(latest),
            ], resultFormat: .binary, deadline: .now() + .seconds(300))
        var isThere = [Bool](repeating: false, count: distinct.count)
        for row in there { isThere[try row.int(0) - 1] = true }
        return zip(distinct, isThere).filter { !$0.1 }.map(\.0)
    }

    // MARK: Bars

    private func writeBars(_ deltas: BarDeltas) async throws -> BarBook.Plan {
        try await learnSymbols(deltas)
        var plan = book.plan(deltas)
        try await readBars(&plan)
        try await copyBars(plan.new, SinkStatements.copyBars)
        if !plan.updated.isEmpty {
            if !hasChangedBars {
                try await connection.query(SinkStatements.makeChangedBars)
                hasChangedBars = true
            }
            try await copyBars(plan.updated, SinkStatements.copyChangedBars)
            try await connection.query(SinkStatements.updateBars, deadline: .now() + .seconds(300))
        }
        return plan
    }

    /// Asks the store where the bars of symbols that are new to this sink end.
    private func learnSymbols(_ deltas: BarDeltas) async throws {
        var unknown: [Interner.ID] = []
        for delta in deltas.byTimeframe.last ?? [] where !book.knows(delta.symbol) && unknown.last != delta.symbol {
            unknown.append(delta.symbol)
        }
        if unknown.isEmpty { return }
        let symbols = unknown.map { names.symbols.string(of: $0) }
        let newest = try await connection.query(
            SinkStatements.newestBars, [.textArray(symbols), .textArray(Timeframe.allCases.map(\.name))])
        for symbol in unknown { book.learn(symbol) }
        for row in newest {
            guard let timeframe = Timeframe(name: try row.string(1)) else { continue }
            book.learn(
                unknown[try row.int(0) - 1], timeframe, newest: Timestamp(microseconds: try row.timestamp(2)))
        }
    }

    /// Merges the bars that had to be read with what the store says of them; those it does not have are new.
    private func readBars(_ plan: inout BarBook.Plan) async throws {
        if plan.unread.isEmpty { return }
        let rows = try await connection.query(
            SinkStatements.readBars,
            [
                .textArray(plan.unread.map { names.symbols.string(of: $0.key.symbol) }),
                .textArray(plan.unread.map(\.key.timeframe.name)),
                .timestampArray(plan.unread.map(\.key.start.microseconds)),
            ], resultFormat: .binary, deadline: .now() + .seconds(300))
        var isRead = [Bool](repeating: false, count: plan.unread.count)
        for row in rows {
            let index = try row.int(0) - 1
            isRead[index] = true
            var stored = try Self.aggregate(row)
            stored.merge(plan.unread[index].aggregate)
            plan.updated.append(BarBook.Write(key: plan.unread[index].key, aggregate: stored))
        }
        for (write, isRead) in zip(plan.unread, isRead) where !isRead { plan.new.append(write) }
        plan.unread = []
    }

    private static func aggregate(_ row: ResultSet.Row) throws(PostgresError) -> BarAggregate {
        BarAggregate(
            open: try row.double(1), high: try row.double(2), low: try row.double(3), close: try row.double(4),
            volume: ExactSum(value: try row.double(5), compensation: try row.double(6)),
            notional: ExactSum(value: try row.double(7), compensation: try row.double(8)),
            tradeCount: try row.int64(9),
            first: TradeOrder(
                ts: Timestamp(microseconds: try row.timestamp(10)), tradeID: try row.int64(11),
                source: SourceKey(try row.string(12).utf8)),
            last: TradeOrder(
                ts: Timestamp(microseconds: try row.timestamp(13)), tradeID: try row.int64(14),
                source: SourceKey(try row.string(15).utf8)))
    }

    private func copyBars(_ bars: [BarBook.Write], _ statement: String) async throws {
        if bars.isEmpty { return }
        let copy = try await connection.copyIn(statement, deadline: .now() + .seconds(300))
        var writer = BinaryCopyWriter(capacity: 1 << 17)
        writer.start()
        for (index, bar) in bars.enumerated() {
            append(bar, to: &writer)
            if index & 0x1FF == 0x1FF { try await copy.send(&writer) }
        }
        _ = try await copy.finish(&writer)
    }

    private func append(_ bar: BarBook.Write, to writer: inout BinaryCopyWriter) {
        let aggregate = bar.aggregate
        writer.beginRow(fields: 18)
        names.symbols.withBytes(of: bar.key.symbol) { writer.text(utf8: $0) }
        writer.text(bar.key.timeframe.name)
        writer.timestamp(bar.key.start.microseconds)
        for price in [aggregate.open, aggregate.high, aggregate.low, aggregate.close] { writer.double(price) }
        for sum in [aggregate.volume, aggregate.notional] {
            writer.double(sum.value)
            writer.double(sum.compensation)
        }
        writer.int64(aggregate.tradeCount)
        for order in [aggregate.first, aggregate.last] {
            writer.timestamp(order.ts.microseconds)
            writer.int64(order.tradeID)
            writer.text(order.source.name)
        }
    }

    // MARK: Alerts

    /// Writes the alerts of the bars that have changed, and takes back those that a late trade has made untrue.
    private func noteAlerts(_ plan: BarBook.Plan) async throws {
        guard let timeframe = alertRules.timeframe else { return }
        let corrected = plan.updated.filter { $0.key.timeframe == timeframe }
        var alerts: [(key: BarKey, alert: AlertRules.Alert)] = []
        for write in plan.new.filter({ $0.key.timeframe == timeframe }) + corrected {
            for alert in alertRules.alerts(of: write.aggregate) { alerts.append((write.key, alert)) }
        }
        if corrected.isEmpty && alerts.isEmpty { return }
        try await connection.query(
            SinkStatements.noteAlerts,
            [
                .text(timeframe.name, as: .text), .textArray(corrected.map { names.symbols.string(of: $0.key.symbol) }),
                .timestampArray(corrected.map(\.key.start.microseconds)),
                .textArray(alerts.map { names.symbols.string(of: $0.key.symbol) }),
                .timestampArray(alerts.map(\.key.start.microseconds)), .textArray(alerts.map(\.alert.kind.rawValue)),
                .doubleArray(alerts.map(\.alert.value)), .doubleArray(alerts.map(\.alert.threshold)),
                .int64(alertRules.coolDown.inNanoseconds / 1000),
            ], deadline: .now() + .seconds(120))
    }

    // MARK: Latest trades

    private func writeLatest(_ trades: [TradeBatch.Trade]) async throws -> [Interner.ID: LatestTrades] {
        let unknown = Set(trades.lazy.map(\.symbol)).filter { latest[$0] == nil }
        var known = try await readLatest(Array(unknown))
        var changed: Set<Interner.ID> = []
        for trade in trades {
            let entry = LatestTrades.Entry(
                order: TradeOrder(ts: trade.ts, tradeID: trade.tradeID, source: names.sourceKeys[Int(trade.source)]),
                source: trade.source, price: trade.price, size: trade.size)
            if var of = known[trade.symbol] ?? latest[trade.symbol] {
                if of.take(entry) {
                    known[trade.symbol] = of
                    changed.insert(trade.symbol)
                }
            } else {
                known[trade.symbol] = LatestTrades(last: entry)
                changed.insert(trade.symbol)
            }
        }
        try await write(latest: changed.sorted().map { ($0, known[$0]!) })
        return known
    }

    private func readLatest(_ symbols: [Interner.ID]) async throws -> [Interner.ID: LatestTrades] {
        if symbols.isEmpty { return [:] }
        let rows = try await connection.query(
            SinkStatements.latestTrades, [.textArray(symbols.map { names.symbols.string(of: $0) })],
            resultFormat: .binary)
        var read: [Interner.ID: LatestTrades] = [:]
        for row in rows {
            let last = try entry(row, ts: 1, source: 2, id: 3, price: 4, size: try row.double(5))
            let previous = row.isNull(6) ? nil : try entry(row, ts: 6, source: 7, id: 8, price: 9, size: 0)
            read[symbols[try row.int(0) - 1]] = LatestTrades(last: last, previous: previous)
        }
        return read
    }

    private func entry(
        _ row: ResultSet.Row, ts: Int, source: Int, id: Int, price: Int, size: Double
    ) throws -> LatestTrades.Entry {
        let name = try row.bytes(source)
        let source = name.withUnsafeBytes { names.source($0) }
        return LatestTrades.Entry(
            order: TradeOrder(
                ts: Timestamp(microseconds: try row.timestamp(ts)), tradeID: try row.int64(id),
                source: names.sourceKeys[Int(source)]),
            source: source, price: try row.double(price), size: size)
    }

    private func write(latest rows: [(symbol: Interner.ID, trades: LatestTrades)]) async throws {
        if rows.isEmpty { return }
        let previous = rows.map(\.trades.previous)
        try await connection.query(
            SinkStatements.writeLatest,
            [
                .textArray(rows.map { names.symbols.string(of: $0.symbol) }),
                .timestampArray(rows.map(\.trades.last.order.ts.microseconds)),
                .textArray(rows.map { names.sources.string(of: $0.trades.last.source) }),
                .int64Array(rows.map(\.trades.last.order.tradeID)), .doubleArray(rows.map(\.trades.last.price)),
                .doubleArray(rows.map(\.trades.last.size)),
                .optionalInt64Array(previous.map { $0?.order.ts.microseconds }),
                .optionalTextArray(previous.map { entry in entry.map { names.sources.string(of: $0.source) } }),
                .optionalInt64Array(previous.map { $0?.order.tradeID }),
                .optionalDoubleArray(previous.map { $0?.price }),
            ])
    }

    // MARK: Sources

    private func news(of trades: [TradeBatch.Trade]) -> [String: SourceNews] {
        var news: [Interner.ID: SourceNews] = [:]
        for trade in trades {
            news[trade.source, default: SourceNews()].note(event: trade.ts, ingested: trade.ingestedAt)
        }
        return Dictionary(uniqueKeysWithValues: news.map { (names.sources.string(of: $0.key), $0.value) })
    }
}
