// SPDX-License-Identifier: Apache-2.0

import Analytics
import EventLog
import EventLoop
import Glibc
import Ingest
import Kafka
import Logging
import Market
import Metrics
import Postgres
import Processor
import QueryServer
import Sentiment
import Store

/// What a command runs on: the store and the log that the settings name, or the embedded ones in the data folder.
final class Runtime: Sendable {
    let settings: Settings
    let logger: Logger
    let log: any EventLog
    /// The writer's URI as this process uses it; secret.
    let writerURL: String
    /// The URI for queries, as a role that may only select; empty for commands that answer none and were given none.
    let readerURL: String
    /// The log as a setting would name it.
    let logURL: String
    /// The URIs that other programs are told.
    let advertised: (writer: String, reader: String)
    let postgres: PrivatePostgres?
    /// What this process counts.
    let metrics = MetricsRegistry()
    /// The loop of connections and processing; made first, stopped last.
    let loop: EventLoop

    private init(
        _ settings: Settings, logger: Logger, log: any EventLog, logURL: String, writerURL: String,
        readerURL: String, advertised: (String, String), postgres: PrivatePostgres?, loop: EventLoop
    ) {
        self.settings = settings
        self.logger = logger
        self.log = log
        self.logURL = logURL
        self.writerURL = writerURL
        self.readerURL = readerURL
        self.advertised = advertised
        self.postgres = postgres
        self.loop = loop
        LogMetrics.show(log, in: metrics)
    }

    static let topics = TopicRoles(
        staging: TradeTopics.staging, valid: TradeTopics.valid, rejected: TradeTopics.rejected)

    /// A logger to standard error at the level of the settings.
    static func logger(_ settings: Settings) -> Logger {
        if settings.string(.logFormat) == "json" {
            LoggingSystem.bootstrap { JSONLogHandler(label: $0) }
        } else {
            LoggingSystem.bootstrap { StreamLogHandler.standardError(label: $0) }
        }
        var logger = Logger(label: "tapedeck")
        logger.logLevel = Logger.Level(rawValue: settings.string(.logLevel)) ?? .notice
        return logger
    }

    /// A logger that says nothing: for commands whose output says it all.
    static var quietLogger: Logger { Logger(label: "tapedeck") { _ in SwiftLogNoOpLogHandler() } }

    /// Opens what the settings name. What they leave open is embedded in `folder`, which this process must own.
    static func open(_ settings: Settings, logger: Logger, folder: String?) async throws -> Runtime {
        let loop = try EventLoop(name: "processor")
        loop.start()
        var postgres: PrivatePostgres?
        do {
            let writer: String
            if let url = settings.text(.databaseURL) {
                writer = url
            } else if let folder {
                let server = try await startPostgres(settings, folder: folder, on: loop, logger: logger).server
                postgres = server
                writer = server.localWriterURL
            } else {
                throw SettingsError(message: "TAPEDECK_DATABASE_URL (--database-url) is not set")
            }
            if postgres == nil { try await migrate(writer, on: loop) }
            let (log, logURL) = try await openLog(settings, folder: folder, logger: logger)
            try await log.createTopics(topicSettings(settings))
            let advertised = postgres.map { ($0.writerURL, $0.readerURL) }
            let reader = settings.text(.readerURL) ?? postgres?.localServerURL ?? ""
            return Runtime(
                settings, logger: logger, log: log, logURL: logURL, writerURL: writer, readerURL: reader,
                advertised: (advertised?.0 ?? writer, settings.text(.readerURL) ?? advertised?.1 ?? ""),
                postgres: postgres, loop: loop)
        } catch {
            postgres?.stop()
            throw error
        }
    }

    /// Starts the private PostgreSQL of a folder that this process owns; tells which migrations it lacked.
    static func startPostgres(
        _ settings: Settings, folder: String, on loop: EventLoop, logger: Logger
    ) async throws -> (server: PrivatePostgres, applied: [String]) {
        let server = try await PrivatePostgres.start(
            directory: folder + "/postgres", port: settings.integer(.postgresPort) ?? 0, logger: logger)
        let prepare = Task(executorPreference: loop) {
            try await server.prepare { settings throws(PostgresError) in
                try await PostgresConnection.connect(settings, on: loop)
            }
        }
        do {
            let applied = try await withTaskCancellationHandler {
                try await prepare.value
            } onCancel: {
                prepare.cancel()
            }
            return (server, applied)
        } catch {
            server.stop()
            throw error
        }
    }

    /// Applies the migrations that the database lacks; waits half a minute for a database that starts or fails over.
    @discardableResult
    static func migrate(_ url: String, on loop: EventLoop) async throws -> [String] {
        let task = Task(executorPreference: loop) {
            let deadline = MonotonicTime.now() + .seconds(30)
            while true {
                do {
                    let connection = try await PostgresConnection.connect(
                        ConnectionSettings(url, applicationName: "tapedeck migrate"), on: loop)
                    defer { connection.close() }
                    return try await Migrator.migrate(connection)
                } catch let error as PostgresError
                    where (error.isRetriable || [.connection, .timeout].contains(error.kind))
                    && MonotonicTime.now() < deadline
                {
                    try await loop.sleep(for: .milliseconds(250))
                }
            }
        }
        return try await task.value
    }

    /// Opens the log; waits up to half a minute for a Kafka to answer.
    static func openLog(
        _ settings: Settings, folder: String?, logger: Logger
    ) async throws -> (any EventLog, String) {
        let url = settings.text(.eventLog) ?? folder.map { "sqlite:\($0)/log" }
        guard let url else { throw SettingsError(message: "TAPEDECK_EVENT_LOG (--event-log) is not set") }
        if url.hasPrefix("kafka://") {
            let file = try settings.text(.kafkaConfig).map { try TextFile.read($0) }
            let location = try KafkaLocation(url, file: file)
            let configuration = KafkaEventLog.Configuration(location, replication: settings.integer(.replication))
            return (try await KafkaEventLog.open(configuration, logger: logger), url)
        }
        let directory = try DataFolder(String(url.dropFirst(7)))
        return (try SQLiteEventLog(directory: directory.path), "sqlite:\(directory.path)")
    }

    /// The kinds of records that have topics beside trades.
    static func kinds(_ settings: Settings) -> [any RecordKind] {
        let lead = settings.duration(.longestLead)
        return [
            QuoteKind(longestLead: lead), InstrumentKind(longestLead: lead), PostKind(longestLead: lead),
            SourceEventKind(longestLead: lead), SourceBarKind(longestLead: lead),
        ]
    }

    /// Every topic, as it is created.
    static func topicSettings(_ settings: Settings) -> [TopicSettings] {
        let partitions = settings.integer(.partitions) ?? 4
        let retention = settings.duration(.retention)
        let rejected = settings.duration(.rejectedRetention)
        return ([topics] + kinds(settings).map(\.topics)).flatMap { topics in
            [
                TopicSettings(name: topics.staging, partitions: partitions, retention: retention),
                TopicSettings(name: topics.valid, partitions: partitions, retention: retention),
                TopicSettings(name: topics.rejected, partitions: partitions, retention: rejected),
            ]
        }
    }

    /// After how long a source is silent, as the settings say.
    static func silence(_ settings: Settings) -> SilencePolicy {
        var policy = SilencePolicy()
        for element in Setting.elements(settings.string(.silentAfter)) {
            let (source, limit) = Setting.silence(element) ?? (nil, policy.limit)
            if let source { policy.exceptions[source] = limit } else { policy.limit = limit }
        }
        return policy
    }

    /// A processor on this store and log.
    func processor() throws -> Processor {
        var configuration = Processor.Configuration(topics: Self.topics, owner: "\(Self.hostName):\(getpid())")
        configuration.rules = TradeRules(longestLead: settings.duration(.longestLead))
        configuration.kinds = Self.kinds(settings)
        configuration.alertRules = AlertRules(
            timeframe: Timeframe(name: settings.string(.alertTimeframe)), move: settings.number(.alertMove),
            volume: settings.number(.alertVolume), range: settings.number(.alertRange),
            coolDown: settings.duration(.alertCoolDown))
        configuration.silence = Self.silence(settings)
        if settings.string(.sentiment) != "off" {
            configuration.posts = PostAnalysis(
                lexicon: try Lexicon.load(settings, additions: []),
                finance: settings.string(.sentiment) == "finance"
                    ? try Lexicon.load(settings, additions: LexiconAddition.finance) : nil,
                tickers: .init(matchesSubreddits: settings.string(.subredditMentions) == "on"))
        }
        let store = try ConnectionSettings(
            writerURL, applicationName: "tapedeck process", operationTimeout: .seconds(120),
            sessionParameters: Processor.sessionParameters)
        return Processor(
            configuration, log: log, store: store, loop: loop, logger: logger, metrics: metrics, now: wallClock)
    }

    /// The jobs on this store.
    func jobs() throws -> JobScheduler {
        try Jobs.scheduler(
            settings, store: ConnectionSettings(writerURL, applicationName: "tapedeck jobs"), loop: loop, logger: logger
        )
    }

    /// Closes the log and stops the private PostgreSQL.
    ///
    /// - Parameter limit: how long PostgreSQL may take for its last checkpoint; without it the next start recovers.
    func close(within limit: Duration = .milliseconds(3500)) async {
        await log.close()
        postgres?.stop(within: limit)
    }

    static var hostName: String {
        var name = [CChar](repeating: 0, count: 256)
        gethostname(&name, name.count - 1)
        return name.withUnsafeBufferPointer { String(cString: $0.baseAddress!) }
    }
}
