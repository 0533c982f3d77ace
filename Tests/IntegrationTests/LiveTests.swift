// SPDX-License-Identifier: Apache-2.0

import EventLoop
import Logging
import Market
import Postgres
@testable import Processor
import Store
import TestSupport
import Testing

/// What the sink leaves for live subscribers.
@Suite(.serialized) struct LiveTests {
    /// The batches of a store, in order.
    private func batches(_ pipeline: TestPipeline) async throws -> [(position: Int64, count: Int, batch: LiveBatch)] {
        let rows = try await pipeline.query(
            "SELECT position, trade_count, encode(content, 'hex') FROM ops.live_batches ORDER BY position")
        return try rows.map { row in
            var bytes: [UInt8] = []
            var digits = Substring(row[2] ?? "")
            while let byte = UInt8(digits.prefix(2), radix: 16) {
                bytes.append(byte)
                digits = digits.dropFirst(2)
            }
            let batch = try #require(bytes.withUnsafeBytes { LiveBatch(decoding: $0) })
            return (try #require(row[0].flatMap { Int64($0) }), try #require(row[1].flatMap { Int($0) }), batch)
        }
    }

    @Test func `every trade that is added is published once, with its transaction, and repeats are not`() async throws {
        let pipeline = try await TestPipeline("live_published")
        for run in 1...2 {
            _ = try await pipeline.ingest(samplePath(), run: Int64(run))
            try await pipeline.process(batchBytes: 100_000)
        }
        let batches = try await batches(pipeline)
        #expect(batches.count > 1)
        var position: Int64 = 0
        var published: [String] = []
        for batch in batches {
            position += Int64(batch.count)
            #expect(batch.position == position && batch.batch.trades.count == batch.count)
            for trade in batch.batch.trades {
                published.append(
                    "\(batch.batch.symbols[Int(trade.symbol)])|\(batch.batch.sources[Int(trade.source)])|\(trade.ts.microseconds)|\(trade.tradeID)"
                        + "|\(trade.price)|\(trade.size)|\(batch.batch.conditions[Int(trade.conditions)].joined(separator: ","))"
                )
            }
        }
        let stored = try await pipeline.query(
            """
            SELECT symbol, source, (extract(epoch FROM ts) * 1000000)::bigint, trade_id, price, size,
                array_to_string(conditions, ',') FROM market.trades
            """)
        let expected = stored.map { row in
            let price = Double(row[4] ?? "") ?? .nan
            let size = Double(row[5] ?? "") ?? .nan
            return "\(row[0] ?? "")|\(row[1] ?? "")|\(row[2] ?? "")|\(row[3] ?? "")|\(price)|\(size)|\(row[6] ?? "")"
        }
        #expect(published.sorted() == expected.sorted())
        #expect(try await pipeline.count("SELECT position FROM ops.live_head") == Int(position))
    }

    @Test func `of a transaction that is too large, numbers are published`() async throws {
        let trade = TradeBatch.Trade(
            ts: .epoch, tradeID: 1, price: 1, size: 1, ingestedAt: .epoch, run: 1, symbol: 0, source: 0, conditions: 0)
        var names = Names()
        for symbol in ["A", "B"] {
            _ = Array(symbol.utf8).withUnsafeBytes { names.symbols.id(of: $0) }
        }
        _ = Array("test".utf8).withUnsafeBytes { names.source($0) }
        _ = [UInt8(0)].withUnsafeBytes { names.conditions.id(of: $0) }
        var trades = Array(repeating: trade, count: LiveBatch.tradeLimit)
        #expect(LiveBatch(trades, names).trades.count == LiveBatch.tradeLimit)
        trades.append(trade)
        trades[7].symbol = 1
        trades[7].ts = Timestamp(microseconds: 5)
        let bulk = LiveBatch(trades, names)
        #expect(bulk.trades.isEmpty && bulk.symbols == ["A", "B"])
        #expect(bulk.totals.map(\.count) == [Int64(LiveBatch.tradeLimit), 1])
        #expect(bulk.totals[1].first == Timestamp(microseconds: 5))
    }

    @Test func `positions appear in their order, without holes, however many write`() async throws {
        let pipeline = try await TestPipeline("live_order")
        let writers = 4
        let rounds = 25
        let url = pipeline.url
        let loop = pipeline.server.loop
        try await withThrowingTaskGroup(of: Void.self) { group in
            for writer in 0..<writers {
                group.addTask(executorPreference: loop) {
                    let connection = try await PostgresConnection.connect(ConnectionSettings(url), on: loop)
                    defer { connection.close() }
                    for round in 0..<rounds {
                        try await connection.query("BEGIN")
                        try await connection.query(
                            "SELECT pg_sleep($1)", [.double(Double((writer + round) % 3) / 1000)])
                        let end = round % 7 == 3 ? "ROLLBACK" : "COMMIT"
                        let count = 1 + (writer + round) % 5
                        try await connection.script("SELECT ops.publish_trades(\(count), 'epoch', 'epoch', ''); \(end)")
                    }
                }
            }
            group.addTask(executorPreference: loop) {
                // Reads as a server does, and must never see a hole: what it has passed is all there is.
                let connection = try await PostgresConnection.connect(ConnectionSettings(url), on: loop)
                defer { connection.close() }
                try await connection.query("LISTEN tapedeck_live")
                let committed = (0..<rounds).count { $0 % 7 != 3 } * writers
                var position: Int64 = 0
                var seen = 0
                while seen < committed {
                    let rows = try await connection.query(
                        "SELECT position, trade_count FROM ops.live_batches WHERE position > $1 ORDER BY position",
                        [.int64(position)])
                    for row in rows {
                        position += try row.int64(1)
                        #expect(try row.int64(0) == position)
                        seen += 1
                    }
                    if seen < committed { _ = try await connection.waitForNotification(until: .now() + .seconds(20)) }
                }
            }
            try await group.waitForAll()
        }
    }

    @Test func `what live subscribers were told long ago is deleted`() async throws {
        let pipeline = try await TestPipeline("live_trimmed")
        let loop = pipeline.server.loop
        let url = pipeline.url
        let outcome = try await Task(executorPreference: loop) {
            let connection = try await PostgresConnection.connect(ConnectionSettings(url), on: loop)
            defer { connection.close() }
            for age in ["16 minutes", "14 minutes"] {
                try await connection.query("SELECT ops.publish_trades(1, 'epoch', 'epoch', '')")
                try await connection.query(
                    "UPDATE ops.live_batches SET committed_at = now() - interval '\(age)' WHERE position = (SELECT max(position) FROM ops.live_batches)"
                )
            }
            return try await Housekeeping(.init(), logger: TestPipeline.logger).run(connection)
        }.value
        #expect(outcome.liveBatchesDeleted == 1)
        #expect(try await pipeline.count("SELECT position FROM ops.live_batches") == 2)
        #expect(try await pipeline.count("SELECT position FROM ops.live_head") == 2)
    }

    @Test func `readers see what is published, and cannot publish`() async throws {
        let pipeline = try await TestPipeline("live_rights")
        let loop = pipeline.server.loop
        let url = pipeline.server.readerURL("live_rights")
        try await Task(executorPreference: loop) {
            let connection = try await PostgresConnection.connect(ConnectionSettings(url), on: loop)
            defer { connection.close() }
            try await connection.query("LISTEN tapedeck_live")
            #expect(try await connection.query("SELECT position FROM ops.live_head").count == 1)
            _ = try await connection.query("SELECT content FROM ops.live_batches")
            for statement in [
                "SELECT ops.publish_trades(1, 'epoch', 'epoch', '')", "SELECT ops.trim_live_batches('0')",
                "UPDATE ops.live_head SET position = 0", "DELETE FROM ops.live_batches",
            ] {
                do throws(PostgresError) {
                    try await connection.query(statement)
                    Issue.record("allowed: \(statement)")
                } catch { #expect(["42501", "25006"].contains(error.sqlState ?? ""), "\(statement): \(error)") }
            }
        }.value
    }
}
