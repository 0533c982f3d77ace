// SPDX-License-Identifier: Apache-2.0

import EventLog
import EventLoop
import Market
import Postgres
@testable import Processor
import Records
import Testing

/// What PostgreSQL refuses, breaks off or holds up: each failure a real one of a real server.
@Suite(.serialized) struct RetryTests {
    /// A processor with something to do, and a second session that is in its way.
    ///
    /// Rule of `@unchecked Sendable`: the session is used on the loop alone.
    private struct Scene: @unchecked Sendable {
        let pipeline: TestPipeline
        let processor: Processor
        let other: PostgresConnection

        init(_ name: String, patience: Duration = .seconds(60)) async throws {
            pipeline = try await TestPipeline(name)
            var configuration = Processor.Configuration(topics: TestPipeline.topics, owner: "test")
            configuration.patience = patience
            processor = Processor(
                configuration, log: pipeline.log,
                store: try ConnectionSettings(
                    pipeline.url, applicationName: "under test", sessionParameters: Processor.sessionParameters),
                loop: pipeline.server.loop, logger: TestPipeline.logger, now: { TestPipeline.now() })
            other = try await PostgresConnection.connect(ConnectionSettings(pipeline.url), on: pipeline.server.loop)
        }

        /// One trade of symbol S into the log.
        func ingest(_ id: Int) async throws {
            let path = "\(pipeline.folder)/\(id).csv"
            try TestFile.write("ts,symbol,price,size,trade_id\n\(1_700_000_000 + id),S,10,1,\(id)\n", to: path)
            _ = try await pipeline.ingest(path, run: Int64(id))
        }

        /// Takes a lock that the sink needs in the middle of its transaction.
        func hold() async throws {
            try await other.query("BEGIN")
            try await other.query("LOCK TABLE ops.bar_state IN EXCLUSIVE MODE")
        }

        /// Until the sink waits for a lock of the other session.
        func untilSinkWaits() async throws {
            try await until(
                "SELECT count(DISTINCT pid) FROM pg_locks WHERE NOT granted AND pid <> pg_backend_pid()", is: 1)
        }

        func untilStored(_ count: Int) async throws { try await until("SELECT count(*) FROM market.trades", is: count) }

        private func until(_ question: String, is count: Int) async throws {
            let deadline = ContinuousClock.now + .seconds(60)
            while try await other.query(question)[0].int(0) != count {
                guard ContinuousClock.now < deadline else {
                    Issue.record("60 s and still not \(count): \(question)")
                    return
                }
                try await pipeline.server.loop.sleep(for: .milliseconds(20))
            }
        }

        /// Runs `body` beside the processor, on the loop of both, and stops the processor afterwards.
        func beside(_ body: @escaping @Sendable (Scene) async throws -> Void) async throws {
            try await withThrowingTaskGroup(of: Void.self) { group in
                group.addTask(executorPreference: pipeline.server.loop) { try await processor.run() }
                group.addTask(executorPreference: pipeline.server.loop) { try await body(self) }
                try await group.next()
                group.cancelAll()
            }
        }
    }

    /// Makes a scene on the loop of its connections, and lets it go there.
    private func play(
        _ name: String, patience: Duration = .seconds(60), _ body: @escaping @Sendable (Scene) async throws -> Void
    ) async throws {
        let loop = try await TestServer.shared.value.loop
        try await Task(executorPreference: loop) {
            let scene = try await Scene(name, patience: patience)
            defer { scene.other.close() }
            try await body(scene)
            #expect(try await scene.pipeline.wrongBars() == [])
            #expect(try await scene.pipeline.wrongLatest() == [])
        }.value
    }

    @Test func `a deadlock is tried again`() async throws {
        try await play("deadlock") { scene in
            try await scene.hold()
            try await scene.ingest(1)
            try await scene.beside { scene in
                var ingested = 1
                for _ in 0..<10 {
                    try await scene.untilSinkWaits()
                    do {
                        try await scene.other.query("UPDATE ops.log_offsets SET updated_at = now()")
                        try await scene.other.query("COMMIT")
                        break
                    } catch let error as PostgresError where error.sqlState == "40P01" {
                        // Whoever has waited for a second looks for deadlocks and gives way: on a slow machine that may
                        // be this session. The sink goes on, and waits again with another trade.
                        try await scene.other.query("ROLLBACK")
                        try await scene.untilStored(ingested)
                        try await scene.hold()
                        ingested += 1
                        try await scene.ingest(ingested)
                    }
                }
                try await scene.untilStored(ingested)
            }
            #expect(scene.processor.work.summary.retries >= 1)
            #expect(scene.processor.work.summary.lastFailure?.contains("40P01") == true)
        }
    }

    @Test func `a serialization failure is tried again`() async throws {
        try await play("serialization") { scene in
            try await scene.other.query(
                "ALTER DATABASE serialization SET default_transaction_isolation = 'repeatable read'")
            try await scene.ingest(1)
            try await scene.pipeline.process()
            try await scene.ingest(2)
            // What has been changed since the sink's snapshot cannot be changed by it.
            try await scene.other.query("BEGIN ISOLATION LEVEL READ COMMITTED")
            try await scene.other.query("UPDATE market.latest SET price = price")
            try await scene.beside { scene in
                try await scene.untilSinkWaits()
                try await scene.other.query("COMMIT")
                try await scene.untilStored(2)
            }
            #expect(scene.processor.work.summary.retries == 1)
            #expect(scene.processor.work.summary.lastFailure?.contains("40001") == true)
        }
    }

    @Test func `a connection that is lost within a transaction is made again`() async throws {
        try await play("lost") { scene in
            try await scene.ingest(1)
            try await scene.hold()
            try await scene.beside { scene in
                try await scene.untilSinkWaits()
                try await scene.other.query(
                    """
                    SELECT pg_terminate_backend(pid) FROM pg_locks WHERE NOT granted AND pid <> pg_backend_pid()
                    """)
                try await scene.other.query("COMMIT")
                try await scene.untilStored(1)
            }
            #expect(scene.processor.work.summary.retries >= 1)
        }
    }

    /// What an operator has done to the store, and what the processor says of it.
    struct Breakage: Sendable, CustomTestStringConvertible {
        /// A name for the database.
        let name: String
        let breaking: String
        let mending: String
        let state: String
        let advice: String

        var testDescription: String { name }

        static let all = [
            Breakage(
                name: "revoked", breaking: "REVOKE INSERT ON market.trades FROM tapedeck_writer",
                mending: "GRANT INSERT ON market.trades TO tapedeck_writer", state: "SQLSTATE 42501",
                advice: "own what tapedeck_writer owns"),
            Breakage(
                name: "renamed", breaking: "ALTER TABLE market.trades RENAME COLUMN size TO quantity",
                mending: "ALTER TABLE market.trades RENAME COLUMN quantity TO size", state: "SQLSTATE 42703",
                advice: "run 'tapedeck migrate'"),
            Breakage(
                name: "constrained", breaking: "ALTER TABLE market.trades ADD CONSTRAINT cheap CHECK (price < 5)",
                mending: "ALTER TABLE market.trades DROP CONSTRAINT cheap", state: "SQLSTATE 23514",
                advice: "of constraint cheap"),
        ]
    }

    @Test(arguments: Breakage.all)
    func `what no repetition can mend stops the processor with advice, and goes on once it is mended`(
        breakage: Breakage
    ) async throws {
        try await play(breakage.name) { scene in
            try await scene.ingest(1)
            try await scene.other.query(breakage.breaking)
            let failure = await #expect(throws: PermanentFailure.self) { try await scene.pipeline.process() }
            let text = failure?.description ?? ""
            #expect(
                text.contains(breakage.state) && text.contains(breakage.advice) && text.contains("stays in the log"),
                "\(text)")
            try await scene.other.query(breakage.mending)
            try await scene.pipeline.process()
            #expect(try await scene.pipeline.count("SELECT count(*) FROM market.trades") == 1)
        }
    }

    // MARK: The end

    @Test func `a processor that is asked to stop finishes its transaction`() async throws {
        try await play("drain") { scene in
            try await scene.ingest(1)
            try await scene.hold()
            let processing = Task(executorPreference: scene.pipeline.server.loop) { try await scene.processor.run() }
            try await scene.untilSinkWaits()
            processing.cancel()
            try await scene.pipeline.server.loop.sleep(for: .milliseconds(300))
            #expect(scene.processor.work.summary.transactions == 0)
            try await scene.other.query("COMMIT")
            _ = await processing.result
            #expect(scene.processor.work.summary.transactions == 1)
            #expect(try await scene.pipeline.count("SELECT count(*) FROM market.trades") == 1)
            #expect(try await scene.pipeline.count("SELECT count(*) FROM ops.processors") == 0)
        }
    }

    @Test func `a transaction that does not end is broken off when the patience has run out`() async throws {
        try await play("impatient", patience: .milliseconds(200)) { scene in
            try await scene.ingest(1)
            try await scene.hold()
            let processing = Task(executorPreference: scene.pipeline.server.loop) { try await scene.processor.run() }
            try await scene.untilSinkWaits()
            processing.cancel()
            _ = await processing.result
            try await scene.other.query("COMMIT")
            #expect(try await scene.pipeline.count("SELECT count(*) FROM market.trades") == 0)
            try await scene.pipeline.process()
            #expect(try await scene.pipeline.count("SELECT count(*) FROM market.trades") == 1)
        }
    }
}
