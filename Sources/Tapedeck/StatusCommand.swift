// SPDX-License-Identifier: Apache-2.0

import ArgumentParser
import EventLog
import EventLoop
import Postgres
import Processor

/// `tapedeck status`: lag, sources, what was refused last.
struct StatusCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "status", abstract: "Show lag, freshness of each source, and what was rejected last.")

    @OptionGroup var flags: SettingFlags

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
        let report = Task(executorPreference: loop) { try await Self.report(url, log, loop) }
        print(try await report.value)
        await log.close()
    }

    private static func report(_ url: String, _ log: any EventLog, _ loop: EventLoop) async throws -> String {
        let store = try await PostgresConnection.connect(
            ConnectionSettings(url, applicationName: "tapedeck status"), on: loop)
        defer { store.close() }
        var lines = ["lag  \(grouped(try await Processor.lag(Runtime.topics, log: log, store: store))) records"]
        for topic in [Runtime.topics.staging, Runtime.topics.valid, Runtime.topics.rejected] {
            let ends = try await log.endOffsets(of: topic)
            lines.append("topic \(topic)  \(ends.count) partitions  \(grouped(ends.reduce(0, +))) records")
        }
        let sources = try await store.query(
            """
            SELECT source, events, coalesce(last_event_ts::text, '-'), coalesce(last_ingested_at::text, '-'),
                coalesce(last_error, '') FROM ops.sources ORDER BY source
            """)
        for row in sources {
            lines.append(
                "source \(try row.string(0))  \(grouped(try row.int64(1))) events  last trade \(try row.string(2))  "
                    + "last ingested \(try row.string(3))  \(try row.string(4))")
        }
        let rejected = try await store.query(
            """
            SELECT reason, count(*), max(rejected_at)::text FROM ops.rejected_records
            GROUP BY reason ORDER BY 2 DESC, 1 LIMIT 10
            """)
        for row in rejected {
            lines.append(
                "rejected \(try row.string(0))  \(grouped(try row.int64(1)))  last \(try row.string(2))")
        }
        return lines.joined(separator: "\n")
    }
}
