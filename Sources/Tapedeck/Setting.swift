// SPDX-License-Identifier: Apache-2.0

import Analytics
import ArgumentParser
import Market
import Kafka

/// One setting of the program: a row of the table that flags, environment, help and documentation are made from.
struct Setting: Sendable {
    /// What values are allowed.
    enum Kind: Sendable {
        case text
        case folder
        /// HOST:PORT, with a port of 0 for any free one.
        case address
        case integer(ClosedRange<Int>)
        /// A number of 0 or more, with a fraction or not; 0 is none.
        case threshold
        /// A number with a unit: ms, s, m, h, d.
        case duration(ClosedRange<Duration>)
        case choice([String])
        case file
        /// Values between commas, what one is called, and whether it is one.
        case list(of: String, @Sendable (Substring) -> Bool)
        /// A libpq URI; secret, because it may hold a password.
        case databaseURL
        /// `sqlite:FOLDER` or `kafka://HOST:PORT,…`.
        case eventLog
        /// Five fields as in crontab, or off.
        case schedule

        var description: String {
            switch self {
            case .text: "text"
            case .folder: "folder"
            case .address: "HOST:PORT"
            case .integer(let range): "\(range.lowerBound) to \(range.upperBound)"
            case .threshold: "a number, 0 for none"
            case .duration(let range):
                "\(Setting.text(of: range.lowerBound)) to \(Setting.text(of: range.upperBound))"
            case .choice(let values): values.joined(separator: ", ")
            case .file: "file"
            case .list(let what, _): "\(what)[,\(what)…]"
            case .databaseURL: "postgresql://USER:PASSWORD@HOST[:PORT][,HOST…]/DATABASE"
            case .schedule: "five fields as in crontab(5), or off"
            case .eventLog: "sqlite:FOLDER, or kafka://HOST:PORT[,HOST:PORT…][?PROPERTY=VALUE&…]"
            }
        }
    }

    /// The flag, without its dashes.
    let name: String
    let environment: String
    let kind: Kind
    /// The value when nobody gives one; nil where it follows from other settings.
    let `default`: String?
    /// What it means, in a sentence; with the reason for its bounds where they are not plain.
    let summary: String
    /// What other programs call the variable; ours comes first.
    var aliases: [String] = []

    var isSecret: Bool { if case .databaseURL = kind { true } else { false } }

    var help: ArgumentHelp {
        ArgumentHelp(
            "\(summary) [\(environment)\(self.default.map { ", default \($0)" } ?? "")]",
            valueName: String(name.split(separator: "-").last ?? ""))
    }

    // MARK: The table

    static let dataDir = Setting(
        name: "data-dir", environment: "TAPEDECK_DATA_DIR", kind: .folder, default: "./var",
        summary: "The home of the private PostgreSQL and the SQLite log.")
    static let listen = Setting(
        name: "listen", environment: "TAPEDECK_LISTEN", kind: .address, default: "127.0.0.1:8080",
        summary: "Where the query server listens; port 0 is any free one.")
    static let databaseURL = Setting(
        name: "database-url", environment: "TAPEDECK_DATABASE_URL", kind: .databaseURL, default: nil,
        summary: "The writer's database; without it a private PostgreSQL in the data folder.")
    static let readerURL = Setting(
        name: "reader-url", environment: "TAPEDECK_READER_URL", kind: .databaseURL, default: nil,
        summary: "The database that queries go to, as role tapedeck_reader; a replica, for instance.")
    static let eventLog = Setting(
        name: "event-log", environment: "TAPEDECK_EVENT_LOG", kind: .eventLog, default: nil,
        summary:
            "The log; without it SQLite in the data folder. Properties are librdkafka's, as in compression.type=zstd.")
    static let kafkaConfig = Setting(
        name: "kafka-config", environment: "TAPEDECK_KAFKA_CONFIG", kind: .text, default: nil,
        summary: "A file of NAME=VALUE lines with more of librdkafka's properties; passwords and keys belong here.")
    static let replication = Setting(
        name: "replication", environment: "TAPEDECK_REPLICATION", kind: .integer(1...100), default: nil,
        summary: "Replicas of a Kafka topic when it is created; unless given, what the brokers are set to.")
    static let postgresPort = Setting(
        name: "postgres-port", environment: "TAPEDECK_POSTGRES_PORT", kind: .integer(0...65535), default: "0",
        summary: "The loopback port of the private PostgreSQL; 0 is the one it had last time, 15432, or a free one.")
    static let partitions = Setting(
        name: "partitions", environment: "TAPEDECK_PARTITIONS", kind: .integer(1...1024), default: "4",
        summary: "Partitions of a topic when it is created.")
    static let retention = Setting(
        name: "retention", environment: "TAPEDECK_RETENTION", kind: .duration(.seconds(60)...(.seconds(86_400 * 3650))),
        default: "3d", summary: "How long the log keeps staged and valid records.")
    static let rejectedRetention = Setting(
        name: "rejected-retention", environment: "TAPEDECK_REJECTED_RETENTION",
        kind: .duration(.seconds(60)...(.seconds(86_400 * 3650))), default: "30d",
        summary: "How long the log keeps rejected records.")
    static let opsRetention = Setting(
        name: "ops-retention", environment: "TAPEDECK_OPS_RETENTION",
        kind: .duration(.seconds(86_400)...(.seconds(86_400 * 3650))), default: "30d",
        summary: "How long PostgreSQL keeps rejected records and events of sources.")
    static let tradeRetention = Setting(
        name: "trade-retention", environment: "TAPEDECK_TRADE_RETENTION",
        kind: .duration(.seconds(86_400)...(.seconds(86_400 * 36_500))), default: nil,
        summary: "How long PostgreSQL keeps trades; for ever unless given. Days are dropped whole; bars stay.")
    static let fineBarRetention = Setting(
        name: "fine-bar-retention", environment: "TAPEDECK_FINE_BAR_RETENTION",
        kind: .duration(.seconds(86_400)...(.seconds(86_400 * 36_500))), default: nil,
        summary:
            "How long PostgreSQL keeps bars of less than a minute; for ever unless given. Not less than trades, which must be given too."
    )
    static let alertTimeframe = Setting(
        name: "alert-timeframe", environment: "TAPEDECK_ALERT_TIMEFRAME",
        kind: .choice(Timeframe.allCases.map(\.name) + ["none"]), default: "1m",
        summary: "Whose bars are held against the thresholds of alerts.")
    static let alertMove = Setting(
        name: "alert-move", environment: "TAPEDECK_ALERT_MOVE", kind: .threshold, default: "5",
        summary: "Percent between a bar's open and close that raise an alert: drop or spike.")
    static let alertVolume = Setting(
        name: "alert-volume", environment: "TAPEDECK_ALERT_VOLUME", kind: .threshold, default: "1000000",
        summary: "Units traded in a bar that raise an alert: volume.")
    static let alertRange = Setting(
        name: "alert-range", environment: "TAPEDECK_ALERT_RANGE", kind: .threshold, default: "3",
        summary: "Percent between a bar's low and high that raise an alert: range.")
    static let alertCoolDown = Setting(
        name: "alert-cool-down", environment: "TAPEDECK_ALERT_COOL_DOWN",
        kind: .duration(.zero...(.seconds(86_400 * 365))), default: "5m",
        summary: "Time of the market around an alert in which no other of its symbol and kind is raised.")
    static let longestLead = Setting(
        name: "longest-lead", environment: "TAPEDECK_LONGEST_LEAD", kind: .duration(.zero...(.seconds(86_400 * 365))),
        default: "60s", summary: "How far ahead of the clock a trade's time may lie before it is refused.")
    static let silentAfter = Setting(
        name: "silent-after", environment: "TAPEDECK_SILENT_AFTER",
        kind: .list(of: "[SOURCE=]TIME") { Setting.silence($0) != nil }, default: "60s",
        summary: "After how long without a record a source counts as silent: for all, and for some, as in 60s,yahoo=1d."
    )
    static let loops = Setting(
        name: "loops", environment: "TAPEDECK_LOOPS", kind: .integer(1...32), default: nil,
        summary: "Event loops of the query server; unless given, one for each processor of the machine, at most 8.")
    static let poolSize = Setting(
        name: "pool-size", environment: "TAPEDECK_POOL_SIZE", kind: .integer(1...100), default: "8",
        summary:
            "Most connections of an event loop to PostgreSQL for SQL, and as many for REST; fewer if 64 in all do not suffice."
    )
    static let queryTimeout = Setting(
        name: "query-timeout", environment: "TAPEDECK_QUERY_TIMEOUT",
        kind: .duration(.milliseconds(10)...(.seconds(86_400))),
        default: "60s", summary: "Longest time a query may run; a request may ask for less, never for more.")
    static let logLevel = Setting(
        name: "log-level", environment: "TAPEDECK_LOG_LEVEL",
        kind: .choice(["trace", "debug", "info", "notice", "warning", "error", "critical"]), default: "notice",
        summary: "The least severe messages that are written to standard error.")

    static let logFormat = Setting(
        name: "log-format", environment: "TAPEDECK_LOG_FORMAT", kind: .choice(["text", "json"]), default: "text",
        summary: "How messages are written: lines for people, or one JSON object a line for a collector.")
    static let metricsListen = Setting(
        name: "metrics-listen", environment: "TAPEDECK_METRICS_LISTEN", kind: .address, default: nil,
        summary:
            "Where ingest and process serve /metrics, /live and /ready; not at all unless given. The query server always does."
    )

    /// Every setting.
    static let all = common + server + tls + analytics + sources + reddit + polling

    private static let common = [
        dataDir, listen, databaseURL, readerURL, eventLog, kafkaConfig, replication, postgresPort, partitions,
        retention, rejectedRetention,
        opsRetention, longestLead, silentAfter, loops, poolSize, queryTimeout, logLevel,
        logFormat, metricsListen,
        tradeRetention, fineBarRetention, alertTimeframe, alertMove, alertVolume, alertRange, alertCoolDown,
    ]

    // MARK: Values

    /// Why `value` is not allowed, or nil. Secrets are not repeated in the reason.
    func complaint(about value: String) -> String? {
        let shown = isSecret ? "the value" : "'\(value)'"
        func refuse(_ why: String) -> String {
            "\(environment) (--\(name)): \(shown) \(why); allowed: \(kind.description)"
        }
        switch kind {
        case .text, .folder, .file: return value.isEmpty ? refuse("is empty") : nil
        case .address: return Address(value) == nil ? refuse("is not an address") : nil
        case .integer(let range):
            guard let number = Int(value) else { return refuse("is not a whole number") }
            return range.contains(number) ? nil : refuse("is out of range")
        case .threshold:
            guard let number = Double(value), number >= 0, number.isFinite else { return refuse("is not a number") }
            return nil
        case .duration(let range):
            guard let duration = Self.duration(value) else { return refuse("is not a time such as 500ms, 60s, 3d") }
            return range.contains(duration) ? nil : refuse("is out of range")
        case .choice(let values): return values.contains(value) ? nil : refuse("is not known")
        case .list(_, let isValid):
            for element in Self.elements(value) where !isValid(element) {
                return refuse(element.isEmpty ? "has an empty element" : "has the element '\(element)', which is none")
            }
            return nil
        case .databaseURL:
            let isURI = value.hasPrefix("postgresql://") || value.hasPrefix("postgres://")
            return isURI ? nil : refuse("is not a PostgreSQL URI")
        case .schedule:
            return value == "off" || CronSchedule(value) != nil ? nil : refuse("is not a schedule such as '7 * * * *'")
        case .eventLog:
            if value.hasPrefix("kafka://") {
                do throws(KafkaLocation.Refusal) {
                    _ = try KafkaLocation(value)
                    return nil
                } catch {
                    // It may hold what should not be shown: said without the value.
                    return "\(environment) (--\(name)): \(error.description)"
                }
            }
            return value.hasPrefix("sqlite:") && value.utf8.count > 7 ? nil : refuse("is not a log")
        }
    }

    /// The elements of a list, without the blanks around them.
    static func elements(_ text: String) -> [Substring] {
        text.split(separator: ",", omittingEmptySubsequences: false).map { element in
            var element = element
            while element.first == " " { element.removeFirst() }
            while element.last == " " { element.removeLast() }
            return element
        }
    }

    /// A time such as `500ms`, `60s`, `5m`, `2h`, `3d`.
    static func duration(_ text: String) -> Duration? {
        let digits = text.prefix { $0.isASCII && $0.isNumber }
        guard let count = Int64(digits), count < 1_000_000_000 else { return nil }
        switch text.dropFirst(digits.count) {
        case "ms": return .milliseconds(count)
        case "s": return .seconds(count)
        case "m": return .seconds(60 * count)
        case "h": return .seconds(3600 * count)
        case "d": return .seconds(86_400 * count)
        default: return nil
        }
    }

    /// A time, or SOURCE=TIME; the time at least a second.
    static func silence(_ element: Substring) -> (source: String?, limit: Duration)? {
        let parts = element.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
        guard let limit = duration(String(parts.last ?? "")), limit >= .seconds(1), parts.first != "" else {
            return nil
        }
        return (parts.count == 2 ? String(parts[0]) : nil, limit)
    }

    static func text(of duration: Duration) -> String {
        let (seconds, attoseconds) = duration.components
        if attoseconds != 0 { return "\(seconds * 1000 + attoseconds / 1_000_000_000_000_000)ms" }
        if seconds != 0 && seconds % 86_400 == 0 { return "\(seconds / 86_400)d" }
        return "\(seconds)s"
    }
}

/// HOST:PORT, where HOST may be an IPv6 address in brackets.
struct Address: Sendable, Equatable, CustomStringConvertible {
    var host: String
    var port: Int

    init?(_ text: String) {
        guard let colon = text.lastIndex(of: ":"), let port = Int(text[text.index(after: colon)...]),
            (0...65535).contains(port)
        else { return nil }
        var host = text[..<colon]
        let isBracketed = host.hasPrefix("[") && host.hasSuffix("]")
        if isBracketed { host = host.dropFirst().dropLast() }
        // Without brackets, the last part of an IPv6 address would be taken for the port.
        if host.isEmpty || host.contains(where: { "[]".contains($0) }) || host.contains(":") != isBracketed {
            return nil
        }
        self.host = String(host)
        self.port = port
    }

    var description: String { host.contains(":") ? "[\(host)]:\(port)" : "\(host):\(port)" }

    /// Whether only this machine can reach it.
    var isLoopback: Bool {
        if host == "localhost" || host == "::1" { return true }
        // 127.0.0.0/8, and not a name that begins alike.
        let parts = host.split(separator: ".", omittingEmptySubsequences: false)
        return parts.count == 4 && parts[0] == "127" && parts.allSatisfy { UInt8($0) != nil }
    }
}
