// SPDX-License-Identifier: Apache-2.0

import ArgumentParser
import EventLog
import EventLoop
import Ingest
import Logging
import Market
import Postgres
import Processor
import Records

/// From the append of a trade to the log until a query sees it, at a steady rate: what a reader waits for.
struct LatencyBench: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "latency", abstract: "Time from append to visible in SQL, at a steady rate.")

    @Option(help: "Trades a second.") var rate = 10_000
    @Option(help: "Seconds.") var seconds = 20
    @Option(help: "Symbols.") var symbols = 100

    /// An append every so often, as sources make them.
    private static let tick = Duration.milliseconds(10)

    func run() async throws {
        let store = try await BenchStore()
        defer { store.close() }
        let url = try await store.database("bench_latency")
        let log = try SQLiteEventLog(directory: store.folder)
        let names = [TradeTopics.staging, TradeTopics.valid, TradeTopics.rejected]
        try await log.createTopics(names.map { TopicSettings(name: $0, partitions: 4, retention: .seconds(86_400)) })
        let processor = Processor(
            .init(topics: TopicRoles(staging: names[0], valid: names[1], rejected: names[2]), owner: "bench"), log: log,
            store: try ConnectionSettings(url, sessionParameters: Processor.sessionParameters), loop: store.loop,
            logger: Logger(label: "bench", factory: SwiftLogNoOpLogHandler.init),
            now: { Timestamp(microseconds: 4_000_000_000_000_000) })
        let loops = (source: try EventLoop(name: "source"), reader: try EventLoop(name: "reader"))
        loops.source.start()
        loops.reader.start()
        let processing = Task(executorPreference: store.loop) { try await processor.run() }
        let watching = Task(executorPreference: loops.reader) { try await watch(url, loops.reader) }
        let appended = try await Task(executorPreference: loops.source) { try await append(to: log, loops.source) }
            .value
        let seen = try await watching.value
        processing.cancel()
        _ = await processing.result
        report(appended, seen)
        await log.close()
    }

    /// Appends at the rate; returns when each tick's append returned.
    private func append(to log: SQLiteEventLog, _ loop: EventLoop) async throws -> [MonotonicTime] {
        let stager = try await Stager(log: log, logger: Logger(label: "bench", factory: SwiftLogNoOpLogHandler.init))
        var appended: [MonotonicTime] = []
        var due = MonotonicTime.now()
        let perTick = rate / 100
        for tick in 0..<(seconds * 100) {
            for index in 0..<perTick {
                let id = Int64(tick * perTick + index)
                var trade = StagedTrade(run: 1, source: "bench", position: id, ingestedAt: .epoch)
                // The last of a tick is of the symbol that the reader watches.
                trade.symbol = index == perTick - 1 ? "WATCHED" : "S\(id % Int64(symbols))"
                trade.ts = Timestamp(microseconds: 1_700_000_000_000_000 + id * 1_000_000 / Int64(rate))
                trade.price = 100 + Double(id % 100) / 100
                trade.size = 1
                trade.tradeID = index == perTick - 1 ? Int64(tick) : id
                stager.stage(trade, at: .epoch)
            }
            try await stager.flush()
            appended.append(.now())
            due = due + Self.tick
            if MonotonicTime.now() < due { try await loop.sleep(for: due - .now()) }
        }
        return appended
    }

    /// Asks again and again for the latest trade of the watched symbol; returns when each tick was seen first.
    private func watch(_ url: String, _ loop: EventLoop) async throws -> [MonotonicTime] {
        let connection = try await PostgresConnection.connect(ConnectionSettings(url), on: loop)
        defer { connection.close() }
        let statement = Statement(
            name: "watched", sql: "SELECT trade_id FROM market.latest WHERE symbol = 'WATCHED'")
        var seen: [MonotonicTime] = []
        while seen.count < seconds * 100 {
            let rows = try await connection.query(statement, [])
            let now = MonotonicTime.now()
            if let row = rows.first { while seen.count <= Int(try row.int64(0)) { seen.append(now) } }
            try await loop.sleep(for: .microseconds(500))
        }
        return seen
    }

    private func report(_ appended: [MonotonicTime], _ seen: [MonotonicTime]) {
        // The first second makes partitions and plans.
        let waits = zip(appended, seen).dropFirst(100).map { max(0, ($1 - $0).inSeconds * 1000) }.sorted()
        func quantile(_ part: Double) -> String {
            let tenths = Int((waits[min(waits.count - 1, Int(part * Double(waits.count)))] * 10).rounded())
            return "\(tenths / 10).\(tenths % 10) ms"
        }
        print("\(rate) trades/s, \(symbols) symbols, \(seconds) s: append to visible in SQL")
        print("p50 \(quantile(0.5))  p90 \(quantile(0.9))  p99 \(quantile(0.99))  most \(quantile(1))")
    }
}
