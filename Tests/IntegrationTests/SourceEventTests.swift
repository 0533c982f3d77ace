// SPDX-License-Identifier: Apache-2.0

import EventLog
import EventLoop
import Ingest
import Logging
import Market
import Postgres
@testable import Processor
import Records
import Store
import Synchronization
import Testing

/// What sources say of themselves, from the log to `ops.sources` and `ops.source_gaps`.
@Suite(.serialized) struct SourceEventTests {
    private static let kinds: [any RecordKind] = [
        QuoteKind(longestLead: .seconds(60)), SourceEventKind(longestLead: .seconds(60)),
    ]
    private static let noon = Timestamp(microseconds: 1_700_000_000_000_000)

    private static func at(_ seconds: Int64) -> Timestamp {
        Timestamp(microseconds: noon.microseconds + seconds * 1_000_000)
    }

    private func pipeline(_ name: String) async throws -> TestPipeline {
        let pipeline = try await TestPipeline(name)
        try await pipeline.log.createTopics(
            Self.kinds.flatMap { [$0.topics.staging, $0.topics.valid, $0.topics.rejected] }.map {
                TopicSettings(name: $0, partitions: 3, retention: .seconds(86_400))
            })
        return pipeline
    }

    private func process(
        _ pipeline: TestPipeline, silence: SilencePolicy = SilencePolicy(),
        atStep: (@Sendable (ProcessingStep) throws -> Void)? = nil
    ) async throws {
        var configuration = Processor.Configuration(topics: TestPipeline.topics, owner: "test")
        configuration.kinds = Self.kinds
        configuration.silence = silence
        var processor = Processor(
            configuration, log: pipeline.log,
            store: try ConnectionSettings(pipeline.url, sessionParameters: Processor.sessionParameters),
            loop: pipeline.server.loop, logger: TestPipeline.logger, now: { TestPipeline.now() })
        processor.atStep = atStep
        let ready = processor
        let topics = [TestPipeline.topics] + Self.kinds.map(\.topics)
        try await withThrowingTaskGroup(of: Bool.self) { group in
            group.addTask(executorPreference: pipeline.server.loop) {
                try await ready.run()
                return false
            }
            group.addTask(executorPreference: pipeline.server.loop) {
                let connection = try await PostgresConnection.connect(
                    ConnectionSettings(pipeline.url), on: pipeline.server.loop)
                defer { connection.close() }
                while try await Processor.lags(of: topics, log: pipeline.log, store: connection)
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

    private func journal(_ pipeline: TestPipeline, _ source: String, run: Int64) async throws -> SourceJournal {
        try await SourceJournal(
            source: source, run: run, log: pipeline.log, logger: TestPipeline.logger, now: { Self.at(1000) })
    }

    /// A source that is connected, is cut off, comes back, and fetches half of what it missed.
    private func story(_ pipeline: TestPipeline) async throws {
        let venue = try await journal(pipeline, "venue", run: 1)
        try await venue.note(.connected, at: Self.at(0))
        try await venue.note(.subscribed, symbols: ["A", "B"], at: Self.at(1))
        try await venue.note(.disconnected, message: "connection reset", at: Self.at(10))
        try await venue.note(.connected, at: Self.at(20))
        try await venue.note(.gap, symbols: ["A"], from: Self.at(9), to: Self.at(21), message: "cut", at: Self.at(21))
        try await venue.note(.gap, symbols: ["B"], from: Self.at(9), to: Self.at(21), at: Self.at(21))
        try await venue.note(.gapFilled, symbols: ["A", "C"], from: Self.at(9), to: Self.at(21), at: Self.at(30))
        let other = try await journal(pipeline, "other", run: 2)
        try await other.note(.connected, at: Self.at(0))
        try await other.note(.error, message: "429 Too Many Requests", at: Self.at(5))
        try await other.note(.disconnected, at: Self.at(6))
    }

    private func check(_ pipeline: TestPipeline) async throws {
        let epoch = "extract(epoch FROM %)::bigint - 1700000000"
        func since(_ column: String) -> String { epoch.replacing("%", with: column) }
        let sources = try await pipeline.query(
            """
            SELECT source, state, \(since("state_at")), last_error, \(since("last_error_at")), events, is_silent
            FROM ops.source_freshness ORDER BY 1
            """)
        #expect(
            sources == [
                ["other", "disconnected", "6", "429 Too Many Requests", "5", "0", "t"],
                ["venue", "connected", "20", "connection reset", "10", "0", "t"],
            ])
        let gaps = try await pipeline.query(
            """
            SELECT source, \(since("from_ts")), \(since("to_ts")), symbols, message, \(since("filled_at"))
            FROM ops.source_gaps ORDER BY 1, symbols
            """)
        #expect(
            gaps == [
                ["other", "6", nil, "{}", "429 Too Many Requests", nil], ["venue", "9", "21", "{A}", "cut", "30"],
                ["venue", "9", "21", "{B}", nil, nil],
            ])
        #expect(
            try await pipeline.query("SELECT source, count(*) FROM ops.source_events GROUP BY 1 ORDER BY 1")
                == [["other", "3"], ["venue", "7"]])
        #expect(
            try await pipeline.query("SELECT run_id, source, accepted, rejected FROM ops.ingest_runs ORDER BY 1")
                == [["1", "venue", "7", "0"], ["2", "other", "3", "0"]])
    }

    @Test func `connections, errors and gaps of sources reach the store`() async throws {
        let pipeline = try await pipeline("source_events")
        try await story(pipeline)
        try await process(pipeline)
        try await check(pipeline)
    }

    @Test func `events that the log holds twice, or whose transaction died, are there once`() async throws {
        let pipeline = try await pipeline("source_events_twice")
        // The same runs and numbers again: what a producer repeats whose acknowledgement was lost.
        try await story(pipeline)
        try await story(pipeline)
        let deaths = Mutex(0)
        try? await process(pipeline) { step in
            guard step == .counted || step == .forwarded else { return }
            try deaths.withLock { deaths in
                deaths += 1
                throw CrashTests.Died()
            }
        }
        #expect(deaths.withLock { $0 } > 0)
        try await process(pipeline)
        #expect(
            try await pipeline.query("SELECT run_id, accepted, already_there FROM ops.ingest_runs ORDER BY 1")
                == [["1", "7", "7"], ["2", "3", "3"]])
        _ = try await pipeline.query("UPDATE ops.ingest_runs SET already_there = 0")
        try await check(pipeline)
    }

    @Test func `an older word does not take the place of a newer one`() async throws {
        let pipeline = try await pipeline("source_events_late")
        let venue = try await journal(pipeline, "venue", run: 1)
        try await venue.note(.connected, at: Self.at(20))
        try await venue.note(.error, message: "new", at: Self.at(20))
        try await process(pipeline)
        try await venue.note(.disconnected, message: "old", at: Self.at(10))
        try await process(pipeline)
        #expect(
            try await pipeline.query("SELECT state, last_error FROM ops.sources") == [["connected", "new"]])
    }

    @Test func `what cannot be an event is kept as rejected, by the sink that reads it alone`() async throws {
        let pipeline = try await pipeline("source_events_bad")
        let venue = try await journal(pipeline, "venue", run: 1)
        try await venue.note(.gap, message: "without bounds", at: Self.at(0))
        try await venue.note(.connected, symbols: ["A,B"], at: Self.at(0))
        try await process(pipeline)
        #expect(
            try await pipeline.query("SELECT reason, topic, source FROM ops.rejected_records ORDER BY 1")
                == [
                    ["event_period", "source_events.staging", "venue"],
                    ["symbol_syntax", "source_events.staging", "venue"],
                ])
        #expect(
            try await pipeline.query(
                "SELECT DISTINCT epoch FROM ops.log_offsets WHERE topic = 'source_events.rejected'")
                == [["1"]])
    }

    @Test func `each source is silent after its own time`() async throws {
        let pipeline = try await pipeline("source_events_silence")
        for (run, source) in ["venue", "other"].enumerated() {
            try await journal(pipeline, source, run: Int64(run + 1)).note(.connected)
        }
        let policy = SilencePolicy(limit: .seconds(90), exceptions: ["other": .seconds(86_400)])
        try await process(pipeline, silence: policy)
        #expect(
            try await pipeline.query("SELECT source, silent_after FROM ops.sources ORDER BY 1")
                == [["other", "24:00:00"], ["venue", "00:01:30"]])
    }

    @Test func `rejected records and events are kept for as long as is said`() async throws {
        let pipeline = try await pipeline("source_events_retention")
        _ = try await pipeline.query(
            """
            INSERT INTO ops.source_events (source, run_id, sequence, ts, kind, ingested_at)
            SELECT 's', 1, n, now() - n * interval '1 day', 'connected', now() FROM generate_series(1, 60) AS n
            """)
        _ = try await pipeline.query(
            """
            INSERT INTO ops.rejected_records (log_id, topic, partition, "offset", reason, message, original, rejected_at)
            SELECT 'l', 't', 0, n, 'r', 'm', '', now() - CASE WHEN n <= 7 THEN interval '29 days' ELSE interval '31 days' END
            FROM generate_series(1, 12007) AS n
            """)
        let loop = pipeline.server.loop
        let url = pipeline.url
        let outcome = try await Task(executorPreference: loop) {
            let connection = try await PostgresConnection.connect(ConnectionSettings(url), on: loop)
            defer { connection.close() }
            return try await Housekeeping(.init(opsRetention: .seconds(30 * 86_400)), logger: TestPipeline.logger)
                .run(connection)
        }.value
        #expect(outcome.recordsDeleted == 12_000 + 31)
        #expect(try await pipeline.count("SELECT count(*) FROM ops.rejected_records") == 7)
        #expect(try await pipeline.count("SELECT count(*) FROM ops.source_events") == 29)
    }
}
