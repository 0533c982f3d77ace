// SPDX-License-Identifier: Apache-2.0

import EventLog
import EventLoop
import Market
import Postgres
import Processor
import Records
import Testing

/// Bars that sources made, from the log to `market.source_bars`.
@Suite(.serialized) struct SourceBarTests {
    private static let kind = SourceBarKind(longestLead: .seconds(60))
    private static let noon = Timestamp(microseconds: 1_700_000_040_000_000)

    private func stage(_ pipeline: TestPipeline, _ closes: [(symbol: String, close: Double, seen: Int64)]) async throws
    {
        var append = Append()
        for (symbol, close, seen) in closes {
            var bar = SourceBarFacts()
            bar.symbol = symbol
            bar.timeframe = "2m"
            bar.ts = Self.noon
            (bar.open, bar.high, bar.low, bar.close) = (2, 9, 1, close)
            let record = Staged(
                Staging(
                    run: 7, source: "yahoo", position: 1,
                    ingestedAt: Timestamp(microseconds: Self.noon.microseconds + seen), problem: nil, original: nil),
                bar)
            append.batches[TopicPartition(Self.kind.topics.staging, 0), default: RecordBatch()].append(key: symbol) {
                record.encode(into: &$0)
            }
        }
        try await pipeline.log.append(append)
    }

    private func process(_ pipeline: TestPipeline) async throws {
        var configuration = Processor.Configuration(topics: TestPipeline.topics, owner: "test")
        configuration.kinds = [Self.kind]
        let processor = Processor(
            configuration, log: pipeline.log,
            store: try ConnectionSettings(pipeline.url, sessionParameters: Processor.sessionParameters),
            loop: pipeline.server.loop, logger: TestPipeline.logger, now: { TestPipeline.now() })
        try await withThrowingTaskGroup(of: Bool.self) { group in
            group.addTask(executorPreference: pipeline.server.loop) {
                try await processor.run()
                return false
            }
            group.addTask(executorPreference: pipeline.server.loop) {
                let connection = try await PostgresConnection.connect(
                    ConnectionSettings(pipeline.url), on: pipeline.server.loop)
                defer { connection.close() }
                while try await Processor.lags(of: [Self.kind.topics], log: pipeline.log, store: connection)
                    .contains(where: { $0.records > 0 })
                {
                    try await pipeline.server.loop.sleep(for: .milliseconds(10))
                }
                return true
            }
            defer { group.cancelAll() }
            while let done = try await group.next() { if done { return } }
        }
    }

    @Test func `of a bar the version that was seen last counts, and none of trades is touched`() async throws {
        let pipeline = try await TestPipeline("source_bars")
        try await pipeline.log.createTopics(
            [Self.kind.topics.staging, Self.kind.topics.valid, Self.kind.topics.rejected].map {
                TopicSettings(name: $0, partitions: 1, retention: .seconds(86_400))
            })
        let bars = "SELECT symbol, timeframe, source, close FROM market.source_bars ORDER BY 1"
        // In one transaction two versions, the older one last, and one that is no bar.
        try await stage(pipeline, [("AAPL", 4, 20), ("AAPL", 3, 10), ("MSFT", 5, 10), ("MSFT", -5, 30)])
        try await process(pipeline)
        #expect(try await pipeline.query(bars) == [["AAPL", "2m", "yahoo", "4"], ["MSFT", "2m", "yahoo", "5"]])
        // A newer one, an older one, and one that says the same.
        try await stage(pipeline, [("AAPL", 6, 40), ("MSFT", 7, 5), ("AAPL", 6, 50)])
        try await process(pipeline)
        #expect(try await pipeline.query(bars) == [["AAPL", "2m", "yahoo", "6"], ["MSFT", "2m", "yahoo", "5"]])
        #expect(try await pipeline.count("SELECT count(*) FROM market.bars") == 0)
        #expect(
            try await pipeline.query("SELECT reason, topic FROM ops.rejected_records")
                == [["price_not_positive", "source_bars.staging"]])
        #expect(
            try await pipeline.query("SELECT accepted, already_there, rejected FROM ops.ingest_runs")
                == [["3", "3", "1"]])
    }
}
