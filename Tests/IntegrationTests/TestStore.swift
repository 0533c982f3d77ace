// SPDX-License-Identifier: Apache-2.0

import EventLog
import EventLoop
import Glibc
import Ingest
import Logging
import Market
import Postgres
@testable import Processor
import Store

/// A PostgreSQL of the test run's own, with a fresh database for each test.
final class TestServer: Sendable {
    static let shared = Task { try await TestServer() }

    let loop: EventLoop
    private let postgres: PrivatePostgres

    private init() async throws {
        loop = try EventLoop(name: "test")
        loop.start()
        let folder = try Self.temporaryFolder()
        let server = try await PrivatePostgres.start(
            directory: folder + "/postgres", port: 0,
            logger: Logger(label: "test", factory: SwiftLogNoOpLogHandler.init))
        postgres = server
        TestCleanup.atExit { server.stop() }
        let loop = self.loop
        let prepare = Task(executorPreference: loop) {
            try await server.prepare { settings throws(PostgresError) in
                try await PostgresConnection.connect(settings, on: loop)
            }
        }
        _ = try await prepare.value
    }

    /// A folder that is gone when the process has ended.
    static func temporaryFolder() throws -> String {
        var template = Array("/tmp/tapedeck-test-XXXXXX".utf8CString)
        guard template.withUnsafeMutableBufferPointer({ mkdtemp($0.baseAddress!) }) != nil else {
            throw SystemError(call: "mkdtemp")
        }
        let folder = template.withUnsafeBufferPointer { String(cString: $0.baseAddress!) }
        TestCleanup.atExit { TestCleanup.remove(folder) }
        return folder
    }

    /// An empty database of the writer's, for one test.
    func emptyDatabase(_ name: String) async throws -> String {
        let admin = postgres.adminURL
        let loop = self.loop
        let make = Task(executorPreference: loop) {
            let connection = try await PostgresConnection.connect(ConnectionSettings(admin), on: loop)
            defer { connection.close() }
            try await connection.query("CREATE DATABASE \(name) OWNER tapedeck_writer", deadline: .now() + .seconds(60))
        }
        try await make.value
        return String(postgres.localWriterURL.dropLast("tapedeck".count)) + name
    }

    /// A copy of the migrated database, for one test.
    func database(_ name: String) async throws -> String {
        let admin = postgres.adminURL
        let loop = self.loop
        let copy = Task(executorPreference: loop) { try await Self.copyTemplate(to: name, admin, loop) }
        try await copy.value
        return String(postgres.localWriterURL.dropLast("tapedeck".count)) + name
    }
}

extension TestServer {
    /// Where readers find a database of ``database(_:)``.
    func readerURL(_ name: String) -> String { String(postgres.readerURL.dropLast("tapedeck".count)) + name }

    private static func copyTemplate(to name: String, _ admin: String, _ loop: EventLoop) async throws {
        let connection = try await PostgresConnection.connect(ConnectionSettings(admin), on: loop)
        defer { connection.close() }
        try await connection.query("DROP DATABASE IF EXISTS \(name)")
        // Connections to the template may linger for a moment after they were closed.
        for _ in 0..<100 {
            if try await tryToCopy(to: name, connection) { return }
            try await loop.sleep(for: .milliseconds(50))
        }
    }

    private static func tryToCopy(to name: String, _ connection: PostgresConnection) async throws -> Bool {
        do {
            try await connection.query(
                "CREATE DATABASE \(name) TEMPLATE tapedeck OWNER tapedeck_writer", deadline: .now() + .seconds(60))
            return true
        } catch {
            if (error as any Error as? PostgresError)?.sqlState == "55006" { return false }
            throw error
        }
    }
}

/// What must be undone when the test process ends, the last first.
enum TestCleanup {
    nonisolated(unsafe) private static var actions: [() -> Void] = []  // Rule: appended by one test at a time.

    static func atExit(_ action: @escaping () -> Void) {
        if actions.isEmpty { atexit { for action in TestCleanup.actions.reversed() { action() } } }
        actions.append(action)
    }

    static func remove(_ folder: String) {
        var pid = pid_t()
        var arguments: [UnsafeMutablePointer<CChar>?] = []
        for argument in ["rm", "-rf", folder] { arguments.append(strdup(argument)) }
        arguments.append(nil)
        if posix_spawnp(&pid, "rm", nil, nil, &arguments, environ) == 0 {
            var status: CInt = 0
            waitpid(pid, &status, 0)
        }
    }
}

/// The pipeline of one test: a log in a temporary folder, or another one, and a database of its own.
struct TestPipeline: Sendable {
    let server: TestServer
    let url: String
    let folder: String
    let log: any EventLog

    static let topics = TopicRoles(
        staging: TradeTopics.staging, valid: TradeTopics.valid, rejected: TradeTopics.rejected)
    static let logger = Logger(label: "test", factory: SwiftLogNoOpLogHandler.init)

    static func now() -> Timestamp {
        var time = timespec()
        clock_gettime(CLOCK_REALTIME, &time)
        return Timestamp(microseconds: Int64(time.tv_sec) * 1_000_000)
    }

    init(_ name: String, partitions: Int = 3, log: (any EventLog)? = nil) async throws {
        server = try await TestServer.shared.value
        url = try await server.database(name)
        folder = try TestServer.temporaryFolder()
        self.log = try log ?? SQLiteEventLog(directory: folder)
        try await self.log.createTopics(
            [Self.topics.staging, Self.topics.valid, Self.topics.rejected].map {
                TopicSettings(name: $0, partitions: partitions, retention: .seconds(86_400))
            })
    }

    /// Reads a file into the log.
    func ingest(_ path: String, run: Int64, symbol: String? = nil) async throws -> Int64 {
        try await Replay(
            .init(path: path, speed: nil, symbol: symbol, resumes: false), run: run, log: log, logger: Self.logger,
            now: { Self.now() }
        ).play()
    }

    /// Processes until the store has everything, or a step fails.
    func process(
        batchBytes: Int = 1 << 20, atStep: (@Sendable (ProcessingStep) throws -> Void)? = nil
    ) async throws {
        var configuration = Processor.Configuration(topics: Self.topics, owner: "test")
        configuration.batchBytes = batchBytes
        let settings = try ConnectionSettings(url, sessionParameters: Processor.sessionParameters)
        var processor = Processor(
            configuration, log: log, store: settings, loop: server.loop, logger: Self.logger, now: { Self.now() })
        processor.atStep = atStep
        let ready = processor
        try await withThrowingTaskGroup(of: Bool.self) { group in
            group.addTask(executorPreference: server.loop) {
                try await ready.run()
                return false
            }
            group.addTask(executorPreference: server.loop) {
                let connection = try await PostgresConnection.connect(ConnectionSettings(url), on: server.loop)
                defer { connection.close() }
                while try await Processor.lag(Self.topics, log: log, store: connection) > 0 {
                    try await server.loop.sleep(for: .milliseconds(10))
                }
                return true
            }
            defer { group.cancelAll() }
            while let done = try await group.next() { if done { return } }
        }
    }

    /// The rows of a query, as text.
    func query(_ sql: String) async throws -> [[String?]] {
        let url = self.url
        let loop = server.loop
        return try await Task(executorPreference: loop) {
            let connection = try await PostgresConnection.connect(ConnectionSettings(url), on: loop)
            defer { connection.close() }
            let rows = try await connection.query(sql, deadline: .now() + .seconds(120))
            var texts: [[String?]] = []
            for row in rows { texts.append(try rows.columns.indices.map { try row.stringOrNil($0) }) }
            return texts
        }.value
    }

    func count(_ sql: String) async throws -> Int {
        Int(try await query(sql).first?.first.flatMap { $0 } ?? "") ?? -1
    }

    /// Bars that differ from what SQL makes of the trades from scratch, in either direction: must be none. Sums are
    /// compared to within the rounding of SQL's own, which depends on the order it adds in.
    func wrongBars() async throws -> [[String?]] {
        try await query(
            """
            WITH frames (timeframe, width) AS (VALUES
                ('1s', interval '1 second'), ('5s', '5 seconds'), ('15s', '15 seconds'), ('1m', '1 minute'),
                ('5m', '5 minutes'), ('15m', '15 minutes'), ('1h', '1 hour'), ('1d', '1 day')),
            scratch AS (
                SELECT symbol, timeframe, date_bin(width, ts, timestamptz '1970-01-01 00:00:00+00') AS ts,
                    (array_agg(price ORDER BY trades.ts, trade_id, source))[1] AS open, max(price) AS high,
                    min(price) AS low,
                    (array_agg(price ORDER BY trades.ts DESC, trade_id DESC, source DESC))[1] AS close,
                    sum(size) AS volume, sum(price * size) AS notional, count(*) AS trade_count
                FROM market.trades, frames GROUP BY symbol, timeframe, date_bin(width, ts, timestamptz '1970-01-01 00:00:00+00'))
            SELECT s.*, b.* FROM scratch s FULL JOIN market.bars b USING (symbol, timeframe, ts)
            WHERE (s.open, s.high, s.low, s.close, s.trade_count)
                    IS DISTINCT FROM (b.open, b.high, b.low, b.close, b.trade_count)
                OR abs(s.volume - b.volume) > 1e-9 * s.volume OR abs(s.notional - b.notional) > 1e-9 * s.notional
                OR (b.volume > 0 AND abs(b.vwap - s.notional / s.volume) > 1e-9 * b.vwap)
                OR (b.volume = 0 AND b.vwap IS NOT NULL)
            LIMIT 5
            """)
    }

    /// Rows of market.latest that are not the last two trades of their symbol: must be none.
    func wrongLatest() async throws -> [[String?]] {
        try await query(
            """
            WITH ranked AS (
                SELECT *, row_number() OVER (PARTITION BY symbol ORDER BY ts DESC, trade_id DESC, source DESC) AS n
                FROM market.trades)
            SELECT * FROM (SELECT * FROM ranked WHERE n = 1) a
            LEFT JOIN (SELECT * FROM ranked WHERE n = 2) p USING (symbol)
            FULL JOIN market.latest l USING (symbol)
            WHERE (a.ts, a.trade_id, a.price, a.size, p.ts, p.trade_id, p.price)
                IS DISTINCT FROM (l.ts, l.trade_id, l.price, l.size, l.previous_ts, l.previous_trade_id, l.previous_price)
            LIMIT 5
            """)
    }
}

/// The sample tape of the checkout.
func samplePath() -> String {
    let file = #filePath.split(separator: "/").dropLast(3).joined(separator: "/")
    return "/\(file)/samples/trades.csv.gz"
}
