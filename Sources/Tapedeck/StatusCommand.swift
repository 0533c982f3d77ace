// SPDX-License-Identifier: Apache-2.0

import ArgumentParser
import EventLog
import EventLoop
import Postgres
import Processor

/// `tapedeck status`: lag, sources, what was refused and what was alerted last; for people, or as one JSON object.
struct StatusCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "status",
        abstract: "Show lag, freshness and rate of each source, what was rejected last, and the newest alerts.")

    @OptionGroup var flags: SettingFlags
    @Flag(help: "One JSON object, for programs.") var json = false

    func run() async throws {
        var settings = try flags.resolve()
        var folder: DataFolder?
        if settings.text(.databaseURL) == nil {
            let home = try DataFolder(settings.string(.dataDir))
            // After a crash the file is still there, but nobody holds the lock.
            guard let connections = home.readConnections(), try !home.acquire() else {
                throw ValidationError("nothing runs on \(home.path); start it with 'tapedeck up'")
            }
            settings = try Settings(
                flags: flags.given, environment: Settings.processEnvironment.merging(connections) { _, new in new })
            folder = home
        }
        let (log, _) = try await Runtime.openLog(settings, folder: folder?.path, logger: Runtime.logger(settings))
        let url = settings.string(.databaseURL)
        let loop = try EventLoop(name: "status")
        loop.start()
        let asJSON = json
        let report = Task(executorPreference: loop) {
            let store = try await PostgresConnection.connect(
                ConnectionSettings(url, applicationName: "tapedeck status"), on: loop)
            defer { store.close() }
            let progress = try await LogProgress(log, store)
            return asJSON ? try await Self.json(progress, store) : try await Self.text(progress, store)
        }
        print(try await report.value)
        await log.close()
    }

    /// How far the store is behind the log.
    private struct LogProgress: Sendable {
        var lag: Int64
        var topics: [(name: String, partitions: Int, records: Int64)] = []

        init(_ log: any EventLog, _ store: PostgresConnection) async throws {
            lag = try await Processor.lag(Runtime.topics, log: log, store: store)
            for topic in [Runtime.topics.staging, Runtime.topics.valid, Runtime.topics.rejected] {
                let ends = try await log.endOffsets(of: topic)
                topics.append((topic, ends.count, ends.reduce(0, +)))
            }
        }
    }

    // MARK: For people

    private static func text(_ progress: LogProgress, _ store: PostgresConnection) async throws -> String {
        var lines = ["lag  \(grouped(progress.lag)) records"]
        for topic in progress.topics {
            lines.append("topic \(topic.name)  \(topic.partitions) partitions  \(grouped(topic.records)) records")
        }
        lines += try await sourceLines(store)
        lines += try await rejectLines(store)
        lines += try await alertLines(store)
        return lines.joined(separator: "\n")
    }

    private static func sourceLines(_ store: PostgresConnection) async throws -> [String] {
        let sources = try await store.query(
            """
            SELECT source, events, coalesce(last_event_ts::text, '-'), coalesce(last_ingested_at::text, '-'), rate,
                is_silent, coalesce(last_error, '') FROM ops.source_freshness ORDER BY source
            """)
        return try sources.map { row in
            let state = try row.bool(5) ? "silent" : "\(grouped(Int64(try row.double(4).rounded())))/s"
            return "source \(try row.string(0))  \(grouped(try row.int64(1))) events  \(state)  last trade "
                + "\(try row.string(2))  last ingested \(try row.string(3))  \(try row.string(6))"
        }
    }

    private static func rejectLines(_ store: PostgresConnection) async throws -> [String] {
        try await store.query(rejects).map { row in
            "rejected \(try row.string(0))  \(grouped(try row.int64(1)))  last \(try row.string(2))"
        }
    }

    private static let rejects = """
        SELECT reason, count(*), max(rejected_at)::text AS last FROM ops.rejected_records
        GROUP BY reason ORDER BY 2 DESC, 1 LIMIT 10
        """

    private static func alertLines(_ store: PostgresConnection) async throws -> [String] {
        try await store.query(alerts).map { row in
            "alert \(try row.string(0))  \(try row.string(1))  \(try row.string(2)) \(try row.string(3))  "
                + "\(try row.double(4)) beyond \(try row.double(5))"
        }
    }

    /// The newest that hold.
    private static let alerts = """
        SELECT symbol, kind, timeframe, ts::text AS ts, value, threshold FROM ops.alerts WHERE retracted_at IS NULL
        ORDER BY alerts.ts DESC, symbol DESC LIMIT 5
        """

    // MARK: For programs

    /// What the store knows is made JSON by the store.
    private static func json(_ progress: LogProgress, _ store: PostgresConnection) async throws -> String {
        let known = try await store.query(
            """
            SELECT coalesce((SELECT json_agg(json_build_object('source', source, 'events', events, 'rate', rate,
                    'last_event_ts', last_event_ts, 'last_ingested_at', last_ingested_at,
                    'silent_seconds', extract(epoch FROM silent_for), 'is_silent', is_silent, 'last_error', last_error,
                    'last_error_at', last_error_at) ORDER BY source) FROM ops.source_freshness), '[]')::text,
                coalesce((SELECT json_agg(r) FROM (\(rejects)) AS r), '[]')::text,
                coalesce((SELECT json_agg(a) FROM (\(alerts)) AS a), '[]')::text,
                coalesce((SELECT json_agg(json_build_object('topic', topic, 'partition', partition, 'next_offset', next_offset,
                    'owner', owner, 'updated_at', updated_at) ORDER BY topic, partition) FROM ops.log_offsets), '[]')::text
            """)[0]
        let topics = progress.topics.map {
            "{\"topic\":\(jsonText($0.name)),\"partitions\":\($0.partitions),\"records\":\($0.records)}"
        }
        return """
            {"lag":\(progress.lag),"topics":[\(topics.joined(separator: ","))],"offsets":\(try known.string(3)),\
            "sources":\(try known.string(0)),"rejected":\(try known.string(1)),"alerts":\(try known.string(2))}
            """
    }
}
