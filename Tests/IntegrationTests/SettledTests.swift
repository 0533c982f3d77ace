// SPDX-License-Identifier: Apache-2.0

import EventLog
import EventLoop
import Ingest
import Market
import Postgres
@testable import Processor
import Records
import Store
import Testing

/// The version of what is settled: the same while the pipeline goes on, another when something old changes.
@Suite(.serialized) struct SettledTests {
    private static let partition = TopicPartition(TradeTopics.valid, 0)

    /// A moment some seconds ago, by the clock of this machine, which is the store's.
    private static func ago(_ seconds: Int64) -> Timestamp {
        Timestamp(microseconds: TestPipeline.now().microseconds - seconds * 1_000_000)
    }

    private static func onLoop<T: Sendable>(
        _ pipeline: TestPipeline, _ body: @escaping @Sendable (PostgresConnection) async throws -> T
    ) async throws -> T {
        let (loop, url) = (pipeline.server.loop, pipeline.url)
        return try await Task(executorPreference: loop) {
            let connection = try await PostgresConnection.connect(ConnectionSettings(url), on: loop)
            defer { connection.close() }
            return try await body(connection)
        }.value
    }

    private static func version(_ connection: PostgresConnection) async throws -> String {
        try await connection.query("SELECT settled_version::text FROM ops.live_head")[0].string(0)
    }

    private static func keepHouse(
        _ connection: PostgresConnection, _ configuration: Housekeeping.Configuration = .init()
    ) async throws {
        try await Housekeeping(configuration, logger: TestPipeline.logger).run(connection)
    }

    @Test func `trades of now leave what is settled as it is, late ones do not, and those that are there do`()
        async throws
    {
        let pipeline = try await TestPipeline("settled_trades")
        try await Self.onLoop(pipeline) { connection in
            let sink = TradeSink(
                connection: connection, topics: TestPipeline.topics, logID: "log", owner: "test",
                now: { TestPipeline.now() })
            _ = try await sink.claim([Self.partition])
            var offset: Int64 = 0
            func commit(_ id: Int64, _ ts: Timestamp) async throws -> (accepted: Int, version: String) {
                let outcome = try await sink.commit([CrashTests.trade(id, at: offset, Self.partition, ts: ts)])
                offset += 1
                return (outcome.accepted, try await Self.version(connection))
            }
            let late = Self.ago(7200)
            // Nobody has been told that anything is settled yet.
            let first = try await commit(1, Self.ago(5))
            #expect(try await commit(2, Self.ago(4)).version == first.version)
            let changed = try await commit(3, late)
            #expect(changed.accepted == 1 && changed.version != first.version)
            #expect(try await commit(4, Self.ago(1)).version == changed.version)
            // It changes nothing, wherever it lies.
            let repeated = try await commit(3, late)
            #expect(repeated.accepted == 0 && repeated.version == changed.version)
            // Not an hour ago, when nobody was told so.
            #expect(try await commit(5, Self.ago(3000)).version == changed.version)
            #expect(try await commit(6, late).version != changed.version)
        }
    }

    @Test func `the boundary only rises, an hour behind the clock, and what lies after it changes nothing`()
        async throws
    {
        let pipeline = try await TestPipeline("settled_boundary")
        try await Self.onLoop(pipeline) { connection in
            func behind() async throws -> Double {
                try await connection.query(
                    """
                    SELECT extract(epoch FROM clock_timestamp())::float8 - extract(epoch FROM settled_before)::float8
                    FROM ops.live_head
                    """)[0].double(0)
            }
            #expect(try await behind() == .infinity)
            try await Self.keepHouse(connection)
            #expect((3600..<3660).contains(try await behind()))
            let version = try await Self.version(connection)
            try await connection.query("UPDATE ops.live_head SET settled_before = now() - interval '3 hours'")
            try await connection.query("SELECT ops.note_change(now() - interval '2 hours')")
            #expect(try await Self.version(connection) == version)
            #expect((3600..<3660).contains(try await behind()))
            try await connection.query("SELECT ops.note_change(now() - interval '2 hours')")
            let next = try await Self.version(connection)
            #expect(next != version)
            try await connection.query("UPDATE ops.live_head SET settled_before = now() + interval '1 day'")
            try await connection.query("SELECT ops.note_change('infinity')")
            #expect(try await behind() < -80_000)
            #expect(try await Self.version(connection) == next)
        }
    }

    @Test func `the boundary does not pass a transaction that has found where it is`() async throws {
        let pipeline = try await TestPipeline("settled_race")
        try await Self.onLoop(pipeline) { connection in
            let other = try await PostgresConnection.connect(
                ConnectionSettings(pipeline.url), on: pipeline.server.loop)
            defer { other.close() }
            try await other.query("BEGIN")
            try await other.query("SELECT ops.publish_trades(1, now() - interval '2 hours', now(), '')")
            try await connection.query("SET lock_timeout = '50ms'")
            do {
                try await connection.query("SELECT ops.note_change('infinity')")
                Issue.record("passed")
            } catch let error as PostgresError {
                #expect(error.sqlState == "55P03")
            }
            try await other.query("COMMIT")
            try await connection.query("SELECT ops.note_change('infinity')")
        }
    }

    @Test func `what retention takes away changes what is settled, when it is gone`() async throws {
        let pipeline = try await TestPipeline("settled_retention")
        try await Self.onLoop(pipeline) { connection in
            let sink = TradeSink(
                connection: connection, topics: TestPipeline.topics, logID: "log", owner: "test",
                now: { TestPipeline.now() })
            _ = try await sink.claim([Self.partition])
            _ = try await sink.commit([CrashTests.trade(1, at: 0, Self.partition, ts: Self.ago(40 * 86_400))])
            try await Self.keepHouse(connection)
            let month = Duration.seconds(30 * 86_400)
            var version = try await Self.version(connection)
            for (configuration, changes) in [
                (Housekeeping.Configuration(), false), (.init(tradeRetention: .seconds(90 * 86_400)), false),
                (.init(tradeRetention: month), true), (.init(tradeRetention: month), false),
                (.init(tradeRetention: month, fineBarRetention: month), true),
                (.init(tradeRetention: month, fineBarRetention: month), false),
            ] {
                try await Self.keepHouse(connection, configuration)
                let next = try await Self.version(connection)
                #expect((next != version) == changes, "\(configuration)")
                version = next
            }
            // A day whose rows went in a round that did not come to its end.
            try await connection.query("SELECT ops.ensure_trade_partitions(array[current_date - 50])")
            let name = try await connection.query("SELECT to_char(current_date - 50, 'YYYYMMDD')")[0].string(0)
            try await connection.query("ALTER TABLE market.trades DETACH PARTITION market.trades_\(name)")
            try await Self.keepHouse(connection, .init(tradeRetention: month))
            #expect(try await Self.version(connection) != version)
        }
    }

    @Test func `quotes that come late change what is settled, others do not`() async throws {
        let pipeline = try await TestPipeline("settled_quotes")
        try await Self.onLoop(pipeline) { connection in
            let sink = FactSink(
                connection: connection, analysis: nil, logID: "log", owner: "test", now: { TestPipeline.now() })
            let partition = TopicPartition("quotes", 0)
            _ = try await sink.claim([partition])
            try await Self.keepHouse(connection)
            var offset: Int64 = 0
            var version = try await Self.version(connection)
            let (now, late) = (Self.ago(5), Self.ago(7200))
            for (times, isNew, changes) in [([now], 1, false), ([now, late], 1, true), ([late], 0, false)] {
                var batch = RecordBatch()
                for ts in times {
                    var quote = QuoteFacts()
                    (quote.symbol, quote.ts, quote.price) = ("A", ts, 1)
                    let record = Valid(run: 1, source: "yahoo", facts: quote, ingestedAt: now)
                    batch.append(key: "A") { record.encode(into: &$0) }
                }
                let outcome = try await sink.commit(
                    [FetchedBatch(partition: partition, baseOffset: offset, records: batch)])
                offset += Int64(times.count)
                let next = try await Self.version(connection)
                #expect(outcome.accepted == isNew && (next != version) == changes, "\(times)")
                version = next
            }
        }
    }

    @Test func `readers see the version, and cannot say that something has changed`() async throws {
        let pipeline = try await TestPipeline("settled_rights")
        let (loop, url) = (pipeline.server.loop, pipeline.server.readerURL("settled_rights"))
        try await Task(executorPreference: loop) {
            let connection = try await PostgresConnection.connect(ConnectionSettings(url), on: loop)
            defer { connection.close() }
            _ = try await Self.version(connection)
            do throws(PostgresError) {
                try await connection.query("SELECT ops.note_change('-infinity')")
                Issue.record("allowed")
            } catch { #expect(error.sqlState == "42501") }
        }.value
    }
}
