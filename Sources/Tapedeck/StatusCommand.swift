// SPDX-License-Identifier: Apache-2.0

import ArgumentParser
import EventLog
import EventLoop
import Postgres
import Processor

/// `tapedeck status`: lag, processors, sources, what was refused and what was alerted last; for people, or as one JSON object.
struct StatusCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "status",
        abstract:
            "Show lag by partition, how each processor does, freshness and rate of each source, what was rejected last, and the newest alerts."
    )

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
        let topics = [Runtime.topics] + Runtime.kinds(settings).map(\.topics)
        let readsPosts = settings.string(.sentiment) != "off"
        let report = Task(executorPreference: loop) {
            let store = try await PostgresConnection.connect(
                ConnectionSettings(url, applicationName: "tapedeck status"), on: loop)
            defer { store.close() }
            let progress = try await LogProgress(log, topics, store, readsPosts: readsPosts)
            return asJSON ? try await Self.json(progress, store) : try await Self.text(progress, store)
        }
        print(try await report.value)
        await log.close()
    }

    /// How far the store is behind the log.
    private struct LogProgress: Sendable {
        /// In the order of the topics.
        var lags: [PartitionLag]

        init(
            _ log: any EventLog, _ topics: [TopicRoles], _ store: PostgresConnection, readsPosts: Bool
        ) async throws {
            lags = try await Processor.lags(of: topics, log: log, store: store)
            try await Processor.addAges(to: &lags, log: log, unread: Processor.unread(readsPosts: readsPosts))
        }

        var lag: Int64 { lags.reduce(0) { $0 + $1.records } }
        /// How long the oldest record that is not done has been in the log.
        var age: Duration? { lags.compactMap(\.age).max() }

        /// The topics in order, with the partitions of each.
        var topics: [(name: String, partitions: [PartitionLag])] {
            var topics: [(name: String, partitions: [PartitionLag])] = []
            for lag in lags {
                if topics.last?.name != lag.partition.topic { topics.append((lag.partition.topic, [])) }
                topics[topics.count - 1].partitions.append(lag)
            }
            return topics
        }
    }

    // MARK: For people

    private static func text(_ progress: LogProgress, _ store: PostgresConnection) async throws -> String {
        let age = progress.age.map { ", the oldest of them for \(grouped($0.components.seconds)) s" } ?? ""
        var lines = ["lag  \(grouped(progress.lag)) records\(age)"]
        for topic in progress.topics {
            let records = topic.partitions.reduce(0) { $0 + $1.end }
            // Of another kind's topic that nobody has used there is nothing to say.
            if records == 0 && !topic.name.hasPrefix(Runtime.topics.valid) { continue }
            lines.append("topic \(topic.name)  \(topic.partitions.count) partitions  \(grouped(records)) records")
            for lag in topic.partitions where lag.records > 0 {
                lines.append(
                    "  partition \(lag.partition.partition)  at \(grouped(lag.done)) of \(grouped(lag.end))  "
                        + "lag \(grouped(lag.records))"
                        + (lag.age.map { ", for \(grouped($0.components.seconds)) s" } ?? ""))
            }
        }
        lines += try await processorLines(store)
        lines += try await sourceLines(store)
        lines += try await rejectLines(store)
        lines += try await alertLines(store)
        return lines.joined(separator: "\n")
    }

    private static func processorLines(_ store: PostgresConnection) async throws -> [String] {
        try await store.query(
            """
            SELECT owner, rate, coalesce(batch_records_median, 0), coalesce(batch_records_largest, 0),
                coalesce(round(commit_ms_median::numeric, 1), 0)::text, coalesce(round(commit_ms_p99::numeric, 1), 0)::text,
                retries, started_at::timestamptz(0)::text, extract(epoch FROM now() - updated_at)::bigint,
                coalesce('  last failure ' || last_failure_at::timestamptz(0) || ' ' || last_failure, '')
            FROM ops.processors ORDER BY owner
            """
        ).map { row in
            // It speaks every five seconds.
            let silence = try row.int64(8)
            let rate =
                silence > 15
                ? "not heard of for \(grouped(silence)) s" : "\(grouped(Int64(try row.double(1).rounded())))/s"
            return "processor \(try row.string(0))  \(rate)  batch \(grouped(try row.int64(2))), largest "
                + "\(grouped(try row.int64(3))) records  commit \(try row.string(4)) ms, p99 \(try row.string(5)) ms  "
                + "retries \(grouped(try row.int64(6)))  since \(try row.string(7))\(try row.string(9))"
        }
    }

    private static func sourceLines(_ store: PostgresConnection) async throws -> [String] {
        let sources = try await store.query(
            """
            SELECT source, events, coalesce(last_event_ts::text, '-'), coalesce(last_ingested_at::text, '-'), rate,
                is_silent, coalesce(last_error, ''), coalesce(state || '  ', '') FROM ops.source_freshness ORDER BY source
            """)
        let gaps = try await store.query(gaps)
        return try sources.map { row in
            let rate = try row.bool(5) ? "silent" : "\(grouped(Int64(try row.double(4).rounded())))/s"
            return
                "source \(try row.string(0))  \(try row.string(7))\(grouped(try row.int64(1))) events  \(rate)  last "
                + "trade \(try row.string(2))  last ingested \(try row.string(3))  \(try row.string(6))"
        }
            + gaps.map { row in
                let symbols = try row.string(3).isEmpty ? "" : "  \(try row.string(3))"
                return "gap \(try row.string(0))  from \(try row.string(1))  to \(try row.stringOrNil(2) ?? "now")"
                    + "\(symbols)  \(try row.stringOrNil(4) ?? "")"
            }
    }

    /// The newest that have not been filled.
    private static let gaps = """
        SELECT source, from_ts::text AS "from", to_ts::text AS "to", array_to_string(symbols, ',') AS symbols, message
        FROM ops.source_gaps WHERE filled_at IS NULL ORDER BY source_gaps.from_ts DESC, source, symbols LIMIT 5
        """

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

    /// Nothing that waits has waited for no time.
    private static func jsonSeconds(_ age: Duration?) -> String { "\(age?.inSeconds ?? 0)" }

    /// What the store knows is made JSON by the store.
    private static func json(_ progress: LogProgress, _ store: PostgresConnection) async throws -> String {
        let known = try await store.query(
            """
            SELECT coalesce((SELECT json_agg(json_build_object('source', source, 'events', events, 'rate', rate,
                    'last_event_ts', last_event_ts, 'last_ingested_at', last_ingested_at,
                    'silent_seconds', extract(epoch FROM silent_for), 'is_silent', is_silent, 'last_error', last_error,
                    'last_error_at', last_error_at, 'state', state, 'state_at', state_at) ORDER BY source) FROM ops.source_freshness), '[]')::text,
                coalesce((SELECT json_agg(r) FROM (\(rejects)) AS r), '[]')::text,
                coalesce((SELECT json_agg(a) FROM (\(alerts)) AS a), '[]')::text,
                coalesce((SELECT json_agg(g) FROM (\(gaps)) AS g), '[]')::text,
                coalesce((SELECT json_agg(json_build_object('topic', topic, 'partition', partition, 'next_offset', next_offset,
                    'owner', owner, 'updated_at', updated_at) ORDER BY topic, partition) FROM ops.log_offsets), '[]')::text,
                coalesce((SELECT json_agg(p ORDER BY owner) FROM ops.processors AS p), '[]')::text
            """)[0]
        let topics = progress.topics.map { topic in
            "{\"topic\":\(jsonText(topic.name)),\"partitions\":\(topic.partitions.count),\"records\":\(topic.partitions.reduce(0) { $0 + $1.end })}"
        }
        let partitions = progress.lags.map { lag in
            """
            {"topic":\(jsonText(lag.partition.topic)),"partition":\(lag.partition.partition),"end_offset":\(lag.end),\
            "done_offset":\(lag.done),"lag":\(lag.records),"lag_seconds":\(jsonSeconds(lag.age))}
            """
        }
        return """
            {"lag":\(progress.lag),"lag_seconds":\(jsonSeconds(progress.age)),"topics":[\(topics.joined(separator: ","))],\
            "partitions":[\(partitions.joined(separator: ","))],"offsets":\(try known.string(4)),\
            "processors":\(try known.string(5)),\
            "gaps":\(try known.string(3)),"sources":\(try known.string(0)),"rejected":\(try known.string(1)),"alerts":\(try known.string(2))}
            """
    }
}
