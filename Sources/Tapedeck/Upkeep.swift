// SPDX-License-Identifier: Apache-2.0

import ArgumentParser
import EventLog
import EventLoop
import Logging
import Postgres
import Processor
import Store

/// What is done now and then beside processing: partitions ahead, retention of the store and of the log.
struct Upkeep: Sendable {
    private static let interval = Duration.seconds(600)

    private let runtime: Runtime

    init(_ runtime: Runtime) { self.runtime = runtime }

    /// What the settings ask for; throws where they contradict each other.
    static func configuration(_ settings: Settings) throws -> Housekeeping.Configuration {
        let trades = settings.text(.tradeRetention).map { _ in settings.duration(.tradeRetention) }
        let bars = settings.text(.fineBarRetention).map { _ in settings.duration(.fineBarRetention) }
        if let bars, trades.map({ $0 > bars }) ?? true {
            throw ValidationError(
                "\(Setting.fineBarRetention.environment) needs \(Setting.tradeRetention.environment), and as long a time at least: "
                    + "bars that are gone could not be corrected by trades that may still come")
        }
        return Housekeeping.Configuration(
            tradeRetention: trades, fineBarRetention: bars, opsRetention: settings.duration(.opsRetention))
    }

    /// A round at once and then every ten minutes, until the task is cancelled. What fails is tried again at the next.
    func run() async {
        guard let configuration = try? Self.configuration(runtime.settings) else { return }
        let housekeeping = Housekeeping(configuration, logger: runtime.logger)
        while !Task.isCancelled {
            do {
                let store = try await PostgresConnection.connect(
                    ConnectionSettings(runtime.writerURL, applicationName: "tapedeck upkeep"), on: runtime.loop)
                defer { store.close() }
                try await housekeeping.run(store)
                let count = try await runtime.log.enforceRetention(
                    stored: try await Processor.storedOffsets(of: runtime.log, store))
                if count > 0 { runtime.logger.info("retention removed \(count) records from the log") }
            } catch {
                if Task.isCancelled { return }
                runtime.logger.warning("upkeep failed, trying again", metadata: ["error": "\(error)"])
            }
            try? await runtime.loop.sleep(for: Self.interval)
        }
    }
}
