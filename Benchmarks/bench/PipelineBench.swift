// SPDX-License-Identifier: Apache-2.0

import ArgumentParser
import EventLog
import EventLoop
import Ingest
import Logging
import Market
import Metrics
import Postgres
import Processor
import Records

/// Log → PostgreSQL with validation, every bar and the offsets, beside one COPY of the same rows into the same indexed
/// table: what the trades cost by themselves.
struct PipelineBench: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "pipeline", abstract: "Log to PostgreSQL, beside one COPY of the same rows.")

    @Option(help: "Trades.") var rows = 1_000_000
    @Option(help: "Symbols.") var symbols = 20
    @Option(help: "Trades a second of the tape.") var rate = 100
    @Option(help: "Runs of each.") var runs = 3
    @Option(help: "Partitions of a topic.") var partitions = 4
    @Option(help: "MiB of records that a transaction takes at most.") var batch = 8

    func run() async throws {
        let store = try await BenchStore()
        defer { store.close() }
        let trades = (0..<rows).map { BenchTrade($0, symbols: symbols, rate: rate) }
        let log = try SQLiteEventLog(directory: store.folder)
        try await Self.fill(log, trades, partitions)
        print("\(rows) trades, \(symbols) symbols, \(rate) a second of the tape; rows/s")
        print("run        COPY   log → store   ratio      bars")
        var ratios: [Double] = []
        for run in 1...runs {
            let copy = try await Self.copy(trades, store)
            // Each run takes the log from its start: the offsets live in the database, which is new, but for those of
            // validation, which live in the log.
            let metrics = MetricsRegistry()
            let (processed, bars) = try await process(log, store, metrics)
            ratios.append(processed / copy)
            print(
                "\(run)  \(column(copy, 12))  \(column(processed, 12))   \(twoDigits(processed / copy))  \(column(Double(bars), 8))"
            )
            print("   of \(twoDigits(Double(rows) / processed)) s: \(await Self.steps(metrics))")
        }
        print("median ratio \(twoDigits(median(ratios))), peak memory of this process \(peakMemory()) MiB")
        await log.close()
    }

    /// The seconds of the sink's steps.
    private static func steps(_ metrics: MetricsRegistry) async -> String {
        String(decoding: await metrics.scrape(), as: UTF8.self).split(separator: "\n").compactMap { line in
            line.firstMatch(of: /^tapedeck_sink_step_seconds_sum\{step="(\w+)"\} (.+)/).map {
                "\($0.1) \(twoDigits(Double($0.2) ?? 0))"
            }
        }.joined(separator: ", ")
    }

    /// Appends the trades to `trades.staging`, as a source does.
    private static func fill(_ log: SQLiteEventLog, _ trades: [BenchTrade], _ partitions: Int) async throws {
        try await log.createTopics(
            [TradeTopics.staging, TradeTopics.valid, TradeTopics.rejected].map {
                TopicSettings(name: $0, partitions: partitions, retention: .seconds(86_400))
            })
        let stager = try await Stager(log: log, logger: Logger(label: "bench", factory: SwiftLogNoOpLogHandler.init))
        for trade in trades {
            stager.stage(trade.staged, at: .epoch)
            if stager.isFull { try await stager.flush() }
        }
        try await stager.flush()
    }

    /// Rows a second of one COPY in one transaction.
    private static func copy(_ trades: [BenchTrade], _ store: BenchStore) async throws -> Double {
        let url = try await store.database("bench_copy")
        let loop = store.loop
        let work = Task(executorPreference: loop) {
            let connection = try await PostgresConnection.connect(ConnectionSettings(url), on: loop)
            defer { connection.close() }
            let days = Set(trades.map(\.ts.day)).map { day in
                String(Timestamp(microseconds: day * Timestamp.microsecondsPerDay).description.prefix(10))
            }
            try await connection.query("SELECT ops.ensure_trade_partitions($1::text[]::date[])", [.textArray(days)])
            let start = MonotonicTime.now()
            let copy = try await connection.copyIn(
                """
                COPY market.trades (symbol, ts, source, trade_id, price, size, conditions, ingested_at)
                FROM STDIN (FORMAT binary)
                """, deadline: .now() + .seconds(600))
            var writer = BinaryCopyWriter(capacity: 1 << 17)
            writer.start()
            for (index, trade) in trades.enumerated() {
                trade.append(to: &writer)
                if index & 0x3FF == 0x3FF { try await copy.send(&writer) }
            }
            _ = try await copy.finish(&writer)
            return Double(trades.count) / (MonotonicTime.now() - start).inSeconds
        }
        return try await work.value
    }

    /// Rows a second from the log into the store, and how many bars that made.
    private func process(
        _ log: SQLiteEventLog, _ store: BenchStore, _ metrics: MetricsRegistry
    ) async throws -> (rate: Double, bars: Int64) {
        let url = try await store.database("bench_pipeline")
        // Validation begins at the start of staging again, and what it forwards comes after what it forwarded before.
        var rewind = Append()
        rewind.consumed = ("tapedeck.validate", [:])
        for partition in 0..<partitions {
            rewind.consumed?.offsets[TopicPartition(TradeTopics.staging, Int32(partition))] = 0
        }
        try await log.append(rewind)
        let forwarded = try await log.endOffsets(of: TradeTopics.valid)
        let loop = store.loop
        let topics = TopicRoles(
            staging: TradeTopics.staging, valid: TradeTopics.valid, rejected: TradeTopics.rejected)
        let settings = try ConnectionSettings(url, sessionParameters: Processor.sessionParameters)
        var logger = Logger(label: "bench", factory: { StreamLogHandler.standardError(label: $0) })
        logger.logLevel = .warning
        var configuration = Processor.Configuration(topics: topics, owner: "bench")
        configuration.batchBytes = batch << 20
        let rows = rows
        let processor = Processor(
            configuration, log: log, store: settings, loop: loop, logger: logger, metrics: metrics,
            now: { Timestamp(microseconds: 4_000_000_000_000_000) })
        let work = Task(executorPreference: loop) {
            let connection = try await PostgresConnection.connect(ConnectionSettings(url), on: loop)
            defer { connection.close() }
            for (partition, offset) in forwarded.enumerated() {
                try await connection.query(
                    "INSERT INTO ops.log_offsets (log_id, topic, partition, next_offset) VALUES ($4, $1, $2, $3)",
                    [.text(TradeTopics.valid), .int64(Int64(partition)), .int64(offset), .text(log.identity)])
            }
            let start = MonotonicTime.now()
            let seconds = try await withThrowingTaskGroup(of: Double.self) { group in
                group.addTask {
                    try await processor.run()
                    return 0
                }
                group.addTask {
                    while processor.progress.settled < rows { try await loop.sleep(for: .milliseconds(2)) }
                    return (MonotonicTime.now() - start).inSeconds
                }
                defer { group.cancelAll() }
                return try await group.next() ?? 0
            }
            let bars = try await connection.query("SELECT count(*) FROM market.bars")[0].int64(0)
            return (Double(rows) / seconds, bars)
        }
        return try await work.value
    }
}

/// A trade made by rule, the same in every run.
private struct BenchTrade: Sendable {
    static let symbolNames = (0..<10_000).map { "BENCH:S\($0)" }

    var ts: Timestamp
    var symbol: Int
    var id: Int64
    var price: Double
    var size: Double

    init(_ index: Int, symbols: Int, rate: Int) {
        // Knuth's multiplicative hash: which symbol trades next has no pattern.
        let mixed = UInt32(truncatingIfNeeded: index) &* 2_654_435_761
        ts = Timestamp(microseconds: 1_700_000_000_000_000 + Int64(index) * 1_000_000 / Int64(rate))
        symbol = Int(mixed >> 8) % symbols
        id = Int64(index)
        price = 100 + Double(mixed >> 16 & 0xFFF) / 64
        size = Double(1 + mixed >> 20 & 0xFF) / 8
    }

    var staged: StagedTrade {
        var trade = StagedTrade(run: 1, source: "bench", position: id, ingestedAt: .epoch)
        trade.symbol = Self.symbolNames[symbol]
        trade.ts = ts
        trade.price = price
        trade.size = size
        trade.tradeID = id
        return trade
    }

    func append(to writer: inout BinaryCopyWriter) {
        writer.beginRow(fields: 8)
        writer.text(Self.symbolNames[symbol])
        writer.timestamp(ts.microseconds)
        writer.text("bench")
        writer.int64(id)
        writer.double(price)
        writer.double(size)
        writer.textArray([])
        writer.timestamp(0)
    }
}
