// SPDX-License-Identifier: Apache-2.0

import Analytics
import ArgumentParser
import EventLog
import EventLoop
import Glibc
import Ingest
import Logging
import Market
import Metrics
import Postgres
import Processor
import QueryServer
import Store

/// `tapedeck ingest SPEC…`: sources into the log, nothing else.
struct IngestCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(commandName: "ingest", abstract: "Read sources into the log.")

    @OptionGroup var flags: SettingFlags
    @Argument(help: ArgumentHelp("What to read: \(SourceSpec.forms).", valueName: "spec"))
    var specs: [String]

    func run() async throws {
        let settings = try flags.resolve()
        let sources = try specs.map { try SourceSpec($0) }
        let logger = Runtime.logger(settings)
        let needsFolder =
            settings.text(.eventLog) == nil || sources.contains { if case .live = $0 { true } else { false } }
        let folder = needsFolder ? try DataFolder(settings.string(.dataDir)).path : nil
        let (log, _) = try await Runtime.openLog(settings, folder: folder, logger: logger)
        try await log.createTopics(Runtime.topicSettings(settings))
        let metrics = MetricsRegistry()
        LogMetrics.show(log, in: metrics)
        let players = try Sources(sources, settings, folder: folder, log: log, logger: logger, metrics: metrics)
        let listener = try MetricsListener.start(settings, metrics, logger: logger) { true }
        try await untilStopped { try await players.run() }
        await listener?.stop()
        await log.close()
    }
}

/// `tapedeck process`: the log into the store.
struct ProcessCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "process", abstract: "Validate what the log holds and write it to PostgreSQL.")

    @OptionGroup var flags: SettingFlags

    func run() async throws {
        let settings = try flags.resolve().requiring(.databaseURL)
        _ = try Upkeep.configuration(settings)
        let folder = settings.text(.eventLog) == nil ? try DataFolder(settings.string(.dataDir)).path : nil
        let runtime = try await Runtime.open(settings, logger: Runtime.logger(settings), folder: folder)
        let processor = try runtime.processor()
        let jobs = try runtime.jobs()
        let listener = try MetricsListener.start(settings, runtime.metrics, logger: runtime.logger) {
            processor.metrics.isStoreUp
        }
        try await untilStopped {
            try await withThrowingTaskGroup(of: Void.self) { group in
                group.addTask(executorPreference: runtime.loop) { try await processor.run() }
                group.addTask(executorPreference: runtime.loop) { await Upkeep(runtime).run() }
                group.addTask(executorPreference: runtime.loop) { await jobs.run() }
                // The processor ends by a failure; the upkeep only with the task.
                defer { group.cancelAll() }
                try await group.next()
            }
        }
        await listener?.stop()
        await runtime.close()
    }
}

/// `tapedeck serve`: queries over HTTP.
struct ServeCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(commandName: "serve", abstract: "Answer queries over HTTP.")

    @OptionGroup var flags: SettingFlags
    @Flag(help: "Listen on an address that other machines can reach, although requests need no key.")
    var insecure = false

    func run() async throws {
        let settings = try flags.resolve()
        try QueryService.checkReach(settings, insecure: insecure)
        let logger = Runtime.logger(settings)
        let reader = try settings.requiring(.readerURL).string(.readerURL)
        let stop = StopSignal()
        let service = try await QueryService.start(
            settings, readerURL: reader, writerURL: settings.text(.databaseURL), logger: logger)
        stop.onHangUp(service.onHangUp)
        print("listening on \(service.scheme)://\(service.address)")
        fflush(nil)
        await stop.wait()
        await service.stop()
    }
}

/// `tapedeck migrate`: creates or upgrades the schema.
struct MigrateCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "migrate",
        abstract: "Create or upgrade the schema of TAPEDECK_DATABASE_URL, else of the data folder's PostgreSQL.")

    @OptionGroup var flags: SettingFlags

    func run() async throws {
        let settings = try flags.resolve()
        let loop = try EventLoop(name: "migrate")
        loop.start()
        if let url = settings.text(.databaseURL) { return report(try await Runtime.migrate(url, on: loop)) }
        let home = try DataFolder(settings.string(.dataDir))
        if try !home.acquire() {
            // Who runs on it has migrated it, unless it is an older program.
            guard let url = home.readConnections()?["TAPEDECK_DATABASE_URL"] else {
                throw ValidationError("another tapedeck begins or ends on \(home.path); try again in a moment")
            }
            return report(try await Runtime.migrate(url, on: loop))
        }
        let (server, applied) = try await Runtime.startPostgres(
            settings, folder: home.path, on: loop, logger: Runtime.logger(settings))
        server.stop()
        report(applied)
    }

    private func report(_ applied: [String]) {
        print(applied.isEmpty ? "the schema is up to date" : "applied \(applied.joined(separator: ", "))")
    }
}

/// `tapedeck topics`: creates the topics.
struct TopicsCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "topics", abstract: "Create the topics that are missing, and list them.")

    @OptionGroup var flags: SettingFlags

    func run() async throws {
        let settings = try flags.resolve()
        let folder = settings.text(.eventLog) == nil ? try DataFolder(settings.string(.dataDir)).path : nil
        let (log, _) = try await Runtime.openLog(settings, folder: folder, logger: Runtime.logger(settings))
        let topics = Runtime.topicSettings(settings)
        try await log.createTopics(topics)
        for topic in topics {
            let ends = try await log.endOffsets(of: topic.name)
            print("\(topic.name)  \(ends.count) partitions  \(grouped(ends.reduce(0, +))) records")
        }
        await log.close()
    }
}

/// `tapedeck settings`: the table of settings.
struct SettingsCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "settings", abstract: "List every setting: flag, environment, default, what is allowed.")

    @Flag(help: "As a Markdown table.") var markdown = false

    func run() {
        if markdown {
            print("| flag | environment | default | allowed | meaning |\n|---|---|---|---|---|")
        }
        for setting in Setting.all {
            let fallback = setting.default ?? "–"
            if markdown {
                print(
                    "| `--\(setting.name)` | `\(setting.environment)` | \(fallback) | \(setting.kind.description.replacing("|", with: "\\|")) | \(setting.summary) |"
                )
            } else {
                print(
                    "--\(setting.name)\n    \(setting.environment), default \(fallback), allowed: \(setting.kind.description)\n    \(setting.summary)"
                )
            }
        }
    }
}

extension Settings {
    /// The settings, if `setting` has a value.
    func requiring(_ setting: Setting) throws -> Settings {
        if text(setting) == nil { throw ValidationError("\(setting.environment) (--\(setting.name)) is not set") }
        return self
    }
}

/// Runs `body` until it ends or a signal asks to stop; then it is cancelled and awaited.
func untilStopped(_ body: @escaping @Sendable () async throws -> Void) async throws {
    let stop = StopSignal()
    let work = Task { try await body() }
    let signal = Task {
        await stop.wait()
        work.cancel()
    }
    let result = await work.result
    signal.cancel()
    try result.get()
}
