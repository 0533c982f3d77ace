// SPDX-License-Identifier: Apache-2.0

import ArgumentParser
import Glibc

/// The values of all settings: flags before environment before `.env` before defaults. Read once, at the start.
struct Settings: Sendable {
    private var values: [String: String] = [:]
    /// The key that `tapedeck query` shows to the server. It has no flag: everybody could see it in the list of processes.
    let apiKey: String?
    /// Values of the environment and of `.env` that are no settings of ours: where keys of services are looked up.
    private let others: [String: String]

    /// The environment's name for ``apiKey``.
    static let apiKeyName = "TAPEDECK_API_KEY"

    /// Gathers the values and checks each; throws a message that names the setting, the value and what is allowed.
    init(
        flags: [(Setting, String?)], environment: [String: String], dotEnv: String? = nil
    ) throws(SettingsError) {
        let file = try dotEnv.map { text throws(SettingsError) in try Self.parseDotEnv(text) } ?? [:]
        try Self.refuseUnknown(file, in: ".env")
        try Self.refuseUnknown(environment, in: "the environment")
        for setting in Setting.all {
            let flag = flags.first { $0.0.name == setting.name }?.1
            let names = [setting.environment] + setting.aliases
            let given = flag ?? names.firstValue(in: environment) ?? names.firstValue(in: file)
            guard let value = given ?? setting.default else { continue }
            if let complaint = setting.complaint(about: value) { throw SettingsError(message: complaint) }
            values[setting.name] = value
        }
        apiKey = environment[Self.apiKeyName] ?? file[Self.apiKeyName]
        others = file.merging(environment) { $1 }
        if values[Setting.eventLog.name] == nil, let broker = environment["KAFKA_SERVER"] ?? file["KAFKA_SERVER"] {
            let port = environment["KAFKA_PORT"] ?? file["KAFKA_PORT"] ?? "9092"
            let url = broker.contains(":") ? "kafka://\(broker)" : "kafka://\(broker):\(port)"
            if let complaint = Setting.eventLog.complaint(about: url) {
                throw SettingsError(message: "KAFKA_SERVER, KAFKA_PORT: \(complaint)")
            }
            values[Setting.eventLog.name] = url
        }
    }

    // MARK: Typed values

    func text(_ setting: Setting) -> String? { values[setting.name] }

    /// The value of a setting that has a default.
    func string(_ setting: Setting) -> String { values[setting.name] ?? "" }

    /// A threshold that has a default.
    func number(_ setting: Setting) -> Double { values[setting.name].flatMap { Double($0) } ?? 0 }

    func integer(_ setting: Setting) -> Int? { values[setting.name].flatMap { Int($0) } }

    func duration(_ setting: Setting) -> Duration {
        values[setting.name].flatMap { Setting.duration($0) } ?? .zero
    }

    func list(_ setting: Setting) -> [String] {
        values[setting.name].map { Setting.elements($0).map { String($0) } } ?? []
    }

    /// The key of a service: from the environment or `.env` under `name`, else from the file of credentials. It has no flag:
    /// everybody could see it in the list of processes. Nil where there is none, or an empty one.
    ///
    /// - Parameter entry: section and key in the file of credentials.
    func secret(_ name: String, entry: (section: String, key: String)) throws -> String? {
        if let value = others[name], !value.isEmpty { return value }
        guard let file = try Credentials.read(self), let value = file[entry.section, entry.key] else { return nil }
        return value.isEmpty ? nil : value
    }

    func address(_ setting: Setting) throws(SettingsError) -> Address {
        guard let address = Address(string(setting)) else {
            throw SettingsError(message: "\(setting.environment) has no value")
        }
        return address
    }

    // MARK: Sources

    private static func refuseUnknown(_ names: [String: String], in place: String) throws(SettingsError) {
        let known = Set(Setting.all.map(\.environment)).union(["TAPEDECK_POSTGRES_BIN", Self.apiKeyName])
        for name in names.keys.sorted() where name.hasPrefix("TAPEDECK_") && !known.contains(name) {
            let nearest = known.min { distance($0, name) < distance($1, name) }
            throw SettingsError(
                message: "\(place) has an unknown setting \(name)" + (nearest.map { "; perhaps you meant \($0)" } ?? "")
            )
        }
    }

    /// `KEY=VALUE` lines, with `export`, quotes and `#` comments, as shells and docker read them.
    static func parseDotEnv(_ text: String) throws(SettingsError) -> [String: String] {
        var values: [String: String] = [:]
        // By scalars: CR LF is one Character. A byte order mark would hide the first name.
        let scalars = text.unicodeScalars.drop { $0 == "\u{FEFF}" }
        let lines = scalars.split(separator: "\n", omittingEmptySubsequences: false).map { Substring($0) }
        for (number, line) in lines.enumerated() {
            var line = trim(line)
            if line.isEmpty || line.hasPrefix("#") { continue }
            if line.hasPrefix("export ") { line = trim(line.dropFirst(7)) }
            guard let equals = line.firstIndex(of: "="), equals != line.startIndex else {
                throw SettingsError(message: ".env:\(number + 1): not of the form NAME=VALUE")
            }
            let name = String(trim(line[..<equals]))
            var value = trim(line[line.index(after: equals)...])
            if let quote = value.first, quote == "\"" || quote == "'" {
                guard value.count >= 2, let end = value.dropFirst().firstIndex(of: quote) else {
                    throw SettingsError(message: ".env:\(number + 1): the value of \(name) has an open quote")
                }
                value = value[value.index(after: value.startIndex)..<end]
            } else if let comment = value.range(ofComment: " #") {
                value = trim(value[..<comment])
            }
            values[name] = String(value)
        }
        return values
    }

    private static func trim(_ text: Substring) -> Substring {
        var text = text
        while let first = text.first, first.isWhitespace { text.removeFirst() }
        while let last = text.last, last.isWhitespace { text.removeLast() }
        return text
    }

    /// The number of edits between two names (Levenshtein).
    static func distance(_ a: String, _ b: String) -> Int {
        let b = Array(b.utf8)
        var row = Array(0...b.count)
        for (i, x) in a.utf8.enumerated() {
            var diagonal = row[0]
            row[0] = i + 1
            for j in 0..<b.count {
                let next = min(row[j] + 1, row[j + 1] + 1, diagonal + (x == b[j] ? 0 : 1))
                diagonal = row[j + 1]
                row[j + 1] = next
            }
        }
        return row[b.count]
    }

    /// The environment of this process.
    static var processEnvironment: [String: String] {
        var values: [String: String] = [:]
        var pointer = environ
        while let entry = pointer.pointee {
            let text = String(cString: entry)
            if let equals = text.firstIndex(of: "=") {
                values[String(text[..<equals])] = String(text[text.index(after: equals)...])
            }
            pointer += 1
        }
        return values
    }
}

/// A setting is unknown or malformed. The message names it and never shows a secret.
struct SettingsError: Error, CustomStringConvertible {
    var message: String
    var description: String { message }
}

extension [String] {
    /// The value of the first of these names that has one.
    fileprivate func firstValue(in values: [String: String]) -> String? {
        for name in self { if let value = values[name] { return value } }
        return nil
    }
}

extension Substring {
    /// Where a comment begins inside an unquoted value.
    fileprivate func range(ofComment mark: String) -> Index? {
        var index = startIndex
        while index < endIndex {
            if self[index...].hasPrefix(mark) { return index }
            index = self.index(after: index)
        }
        return nil
    }
}

/// The flags of all settings, for every command that reads them.
struct SettingFlags: ParsableArguments {
    @Option(name: .customLong(Setting.dataDir.name), help: Setting.dataDir.help) var dataDir: String?
    @Option(name: .customLong(Setting.listen.name), help: Setting.listen.help) var listen: String?
    @Option(name: .customLong(Setting.databaseURL.name), help: Setting.databaseURL.help) var databaseURL: String?
    @Option(name: .customLong(Setting.readerURL.name), help: Setting.readerURL.help) var readerURL: String?
    @Option(name: .customLong(Setting.eventLog.name), help: Setting.eventLog.help) var eventLog: String?
    @Option(name: .customLong(Setting.kafkaConfig.name), help: Setting.kafkaConfig.help) var kafkaConfig: String?
    @Option(name: .customLong(Setting.replication.name), help: Setting.replication.help) var replication: String?
    @Option(name: .customLong(Setting.postgresPort.name), help: Setting.postgresPort.help) var postgresPort: String?
    @Option(name: .customLong(Setting.partitions.name), help: Setting.partitions.help) var partitions: String?
    @Option(name: .customLong(Setting.retention.name), help: Setting.retention.help) var retention: String?
    @Option(name: .customLong(Setting.rejectedRetention.name), help: Setting.rejectedRetention.help)
    var rejectedRetention: String?
    @Option(name: .customLong(Setting.longestLead.name), help: Setting.longestLead.help) var longestLead: String?
    @Option(name: .customLong(Setting.silentAfter.name), help: Setting.silentAfter.help) var silentAfter: String?
    @Option(name: .customLong(Setting.opsRetention.name), help: Setting.opsRetention.help) var opsRetention: String?
    @Option(name: .customLong(Setting.loops.name), help: Setting.loops.help) var loops: String?
    @Option(name: .customLong(Setting.poolSize.name), help: Setting.poolSize.help) var poolSize: String?
    @Option(name: .customLong(Setting.queryTimeout.name), help: Setting.queryTimeout.help) var queryTimeout: String?
    @Option(name: .customLong(Setting.logLevel.name), help: Setting.logLevel.help) var logLevel: String?
    @Option(name: .customLong(Setting.logFormat.name), help: Setting.logFormat.help) var logFormat: String?
    @Option(name: .customLong(Setting.metricsListen.name), help: Setting.metricsListen.help) var metricsListen: String?
    @Option(name: .customLong(Setting.tradeRetention.name), help: Setting.tradeRetention.help) var tradeRetention:
        String?
    @Option(name: .customLong(Setting.fineBarRetention.name), help: Setting.fineBarRetention.help) var fineBarRetention:
        String?
    @Option(name: .customLong(Setting.alertTimeframe.name), help: Setting.alertTimeframe.help) var alertTimeframe:
        String?
    @Option(name: .customLong(Setting.alertMove.name), help: Setting.alertMove.help) var alertMove: String?
    @Option(name: .customLong(Setting.alertVolume.name), help: Setting.alertVolume.help) var alertVolume: String?
    @Option(name: .customLong(Setting.alertRange.name), help: Setting.alertRange.help) var alertRange: String?
    @Option(name: .customLong(Setting.alertCoolDown.name), help: Setting.alertCoolDown.help) var alertCoolDown: String?
    @OptionGroup var server: ServerSettingFlags
    @OptionGroup var tls: TLSSettingFlags
    @OptionGroup var analytics: AnalyticsFlags
    @OptionGroup var sources: SourceSettingFlags
    @OptionGroup var reddit: RedditSettingFlags
    @OptionGroup var polling: PollingSettingFlags

    /// The values given, by setting; a test holds this against ``Setting/all``.
    var given: [(Setting, String?)] {
        [
            (.dataDir, dataDir), (.listen, listen), (.databaseURL, databaseURL), (.readerURL, readerURL),
            (.eventLog, eventLog), (.kafkaConfig, kafkaConfig), (.replication, replication),
            (.postgresPort, postgresPort), (.partitions, partitions), (.retention, retention),
            (.rejectedRetention, rejectedRetention), (.opsRetention, opsRetention), (.longestLead, longestLead),
            (.silentAfter, silentAfter), (.loops, loops),
            (.poolSize, poolSize), (.queryTimeout, queryTimeout), (.logLevel, logLevel),
            (.logFormat, logFormat), (.metricsListen, metricsListen), (.tradeRetention, tradeRetention),
            (.fineBarRetention, fineBarRetention), (.alertTimeframe, alertTimeframe), (.alertMove, alertMove),
            (.alertVolume, alertVolume), (.alertRange, alertRange), (.alertCoolDown, alertCoolDown),
        ] + server.given + tls.given + analytics.given + sources.given + reddit.given + polling.given
    }

    /// The settings with everything that can give them, checked.
    func resolve() throws -> Settings {
        let dotEnv = access(".env", R_OK) == 0 ? try TextFile.read(".env") : nil
        do throws(SettingsError) {
            return try Settings(flags: given, environment: Settings.processEnvironment, dotEnv: dotEnv)
        } catch {
            throw ValidationError(error.message)
        }
    }
}
