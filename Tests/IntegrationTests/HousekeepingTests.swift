// SPDX-License-Identifier: Apache-2.0

import EventLog
import Ingest
import Logging
import Market
import Postgres
@testable import Processor
import Store
import Testing

/// A store that runs for years: partitions ahead, and what is old dropped without counting anything twice.
@Suite(.serialized) struct HousekeepingTests {
    private func keepHouse(
        _ pipeline: TestPipeline, _ configuration: Housekeeping.Configuration
    ) async throws -> Housekeeping.Outcome {
        let loop = pipeline.server.loop
        let url = pipeline.url
        return try await Task(executorPreference: loop) {
            let connection = try await PostgresConnection.connect(ConnectionSettings(url), on: loop)
            defer { connection.close() }
            return try await Housekeeping(configuration, logger: TestPipeline.logger).run(connection)
        }.value
    }

    private func day(_ offset: Int64) -> String {
        let today = TestPipeline.now().day
        return String(Timestamp(microseconds: (today + offset) * Timestamp.microsecondsPerDay).description.prefix(10))
    }

    private func partitions(_ pipeline: TestPipeline) async throws -> [String?] {
        try await pipeline.query(
            """
            SELECT c.relname FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
            WHERE i.inhparent = 'market.trades'::regclass ORDER BY 1
            """
        ).map { $0[0] }
    }

    private func name(_ day: String) -> String { "trades_" + day.filter { $0 != "-" } }

    private func load(_ pipeline: TestPipeline, _ days: [Int64], run: Int64) async throws {
        let path = "\(pipeline.folder)/\(run).csv"
        let lines = days.map { "\(day($0))T12:00:00Z,A,\(100 + $0),1,\($0 + 1000)" }
        try TestFile.write("ts,symbol,price,size,id\n" + lines.joined(separator: "\n") + "\n", to: path)
        _ = try await pipeline.ingest(path, run: run)
        try await pipeline.process()
    }

    @Test func `partitions of the days to come are made ahead, once`() async throws {
        let pipeline = try await TestPipeline("house_ahead")
        #expect(try await keepHouse(pipeline, .init()).partitionsMade == 3)
        #expect(try await keepHouse(pipeline, .init()).partitionsMade == 0)
        let made = try await partitions(pipeline)
        #expect(made == [0, 1, 2].map { name(day($0)) })
    }

    @Test func `days beyond the retention are dropped, their bars stay, and the same trades again are refused`()
        async throws
    {
        let pipeline = try await TestPipeline("house_drop")
        try await load(pipeline, [-40, -31, -30, -29, -1], run: 1)
        let bars = try await pipeline.query("SELECT * FROM market.bars ORDER BY 1, 2, 3")
        let outcome = try await keepHouse(pipeline, .init(tradeRetention: .seconds(30 * 86_400)))
        #expect(outcome.partitionsDropped == [name(day(-40)), name(day(-31))])
        #expect(try await pipeline.count("SELECT count(*) FROM market.trades") == 3)
        #expect(try await pipeline.query("SELECT * FROM market.bars ORDER BY 1, 2, 3") == bars)

        try await load(pipeline, [-40, -31, -30, -29, -1], run: 2)
        #expect(
            try await pipeline.query("SELECT accepted, already_there, rejected FROM ops.ingest_runs WHERE run_id = 2")
                == [["0", "3", "2"]])
        #expect(
            try await pipeline.query("SELECT reason, count(*) FROM ops.rejected_records GROUP BY 1")
                == [["ts_before_retention", "2"]])
        #expect(try await pipeline.query("SELECT * FROM market.bars ORDER BY 1, 2, 3") == bars)
        #expect(try await partitions(pipeline).contains(name(day(-40))) == false)
    }

    @Test func `a sink that knew a day before it was dropped does not write to it again`() async throws {
        let pipeline = try await TestPipeline("house_race")
        let loop = pipeline.server.loop
        let url = pipeline.url
        let old = Timestamp(microseconds: (TestPipeline.now().day - 40) * Timestamp.microsecondsPerDay)
        let outcome = try await Task(executorPreference: loop) {
            let connection = try await PostgresConnection.connect(ConnectionSettings(url), on: loop)
            defer { connection.close() }
            func sink() -> TradeSink {
                TradeSink(
                    connection: connection, topics: TestPipeline.topics, logID: "log", owner: "test", now: { .epoch })
            }
            let partition = TopicPartition(TradeTopics.valid, 0)
            let first = sink()
            _ = try await first.claim([partition])
            #expect(try await first.commit([CrashTests.trade(1, at: 0, partition, ts: old)]).accepted == 1)
            _ = try await Housekeeping(
                .init(tradeRetention: .seconds(30 * 86_400)), logger: TestPipeline.logger
            ).run(connection)
            // The day's place is gone; the processor then begins anew, as it does after any failure that may pass.
            do {
                _ = try await first.commit([CrashTests.trade(1, at: 1, partition, ts: old)])
                Issue.record("written")
            } catch let error as PostgresError {
                #expect(error.sqlState == "23514")
            }
            let second = sink()
            #expect(try await second.claim([partition]) == [partition: 1])
            return try await second.commit([CrashTests.trade(1, at: 1, partition, ts: old)])
        }.value
        #expect(outcome.accepted == 0 && outcome.rejects == ["ts_before_retention": 1])
        #expect(try await pipeline.count("SELECT trade_count FROM market.bars WHERE timeframe = '1d'") == 1)
    }

    @Test func `a detachment that was interrupted is finished in the next round`() async throws {
        let pipeline = try await TestPipeline("house_orphan")
        try await load(pipeline, [-40, -39], run: 1)
        // As after a crash between the two steps.
        _ = try await pipeline.query("ALTER TABLE market.trades DETACH PARTITION market.\(name(day(-40)))")
        let outcome = try await keepHouse(pipeline, .init(tradeRetention: .seconds(30 * 86_400)))
        #expect(outcome.partitionsDropped == [name(day(-40)), name(day(-39))])
        #expect(try await partitions(pipeline).count == 3)
    }

    @Test func `bars of less than a minute go after their time, in chunks, and the others stay`() async throws {
        let pipeline = try await TestPipeline("house_bars")
        try await load(pipeline, [-40, -1], run: 1)
        _ = try await pipeline.query(
            """
            INSERT INTO ops.bar_state SELECT 'A', '1s', b.ts - n * interval '1 s', open, high, low, close, volume, volume_c,
                notional, notional_c, trade_count, open_ts, open_id, open_source, close_ts, close_id, close_source
            FROM ops.bar_state b, generate_series(1, 25000) AS n
            WHERE timeframe = '1s' AND ts < now() - interval '20 days'
            """)
        let retention = Duration.seconds(30 * 86_400)
        let outcome = try await keepHouse(pipeline, .init(tradeRetention: retention, fineBarRetention: retention))
        #expect(outcome.barsDeleted == 25_003)
        let left = try await pipeline.query(
            "SELECT timeframe, count(*) FROM market.bars GROUP BY 1 ORDER BY min(tapedeck_sql.timeframe_width(timeframe))"
        )
        #expect(
            left == [
                ["1s", "1"], ["5s", "1"], ["15s", "1"], ["1m", "2"], ["5m", "2"], ["15m", "2"], ["1h", "2"],
                ["1d", "2"],
            ])
    }
}
