// SPDX-License-Identifier: Apache-2.0

package import EventLog
package import Logging
package import Market
package import Metrics
import Records

/// A service that is listened to, or asked again and again, until the task is cancelled.
package protocol LiveSource: Sendable {
    /// Its name, as in its records, in `--source`, and in the name of its spool.
    var name: String { get }
    /// The staging topics that its records are for.
    var topics: [String] { get }

    /// Reads until the task is cancelled. What it holds then it still delivers.
    ///
    /// - Throws: ``IngestError`` where nothing but a person can help: the source ends. After anything else it is started
    ///   again, with growing pauses. Messages hold no secrets: they are written down.
    func run(into outlet: Outlet) async throws
}

/// Runs a live source: opens its spool, hands it an outlet, starts it again when it fails, and ends it in order.
package struct LiveRunner: Sendable {
    package struct Settings: Sendable {
        /// Where spools are, one for each source.
        package var spoolFolder: String
        /// Most bytes that wait in a spool.
        package var spoolBytes: Int
        /// The pause after a failure; it doubles with each that follows, up to ``longestPause``.
        package var firstPause: Duration = .seconds(1)
        package var longestPause: Duration = .seconds(60)
        /// How long the spool may take to become empty when the source has ended.
        package var closing: Duration = .seconds(1)

        package init(spoolFolder: String, spoolBytes: Int) {
            self.spoolFolder = spoolFolder
            self.spoolBytes = spoolBytes
        }
    }

    /// A source that ran for so long is well: the next failure waits the shortest pause again.
    private static let wellAfter = Duration.seconds(60)

    private let source: any LiveSource
    private let settings: Settings
    private let run: Int64
    private let log: any EventLog
    private let logger: Logger
    private let metrics: SourceMetrics?
    private let now: @Sendable () -> Timestamp
    package let progress = IngestProgress()

    /// - Parameters:
    ///   - run: the ingest run that stamps its records.
    ///   - now: the clock that stamps arrivals.
    package init(
        _ source: any LiveSource, _ settings: Settings, run: Int64, log: any EventLog, logger: Logger,
        metrics: MetricsRegistry? = nil, now: @escaping @Sendable () -> Timestamp
    ) {
        self.source = source
        self.settings = settings
        self.run = run
        self.log = log
        var logger = logger
        logger[metadataKey: "source"] = "\(source.name)"
        self.logger = logger
        self.metrics = metrics.map { SourceMetrics($0, source: source.name) }
        self.now = now
    }

    /// Runs until the task is cancelled, or something is wrong that only a person can mend.
    package func play() async throws {
        defer { progress.finish() }
        let outlet = try await open()
        await outlet.start()
        let result: Result<Void, any Error>
        do {
            try await runAgainAndAgain(outlet)
            result = .success(())
        } catch {
            result = .failure(error)
        }
        metrics?.connected.set(0)
        await outlet.close(within: settings.closing)
        try result.get()
    }

    private func open() async throws -> Outlet {
        var partitions: [String: Int] = [:]
        for topic in source.topics + [SourceJournal.topic] {
            partitions[topic] = try await log.partitionCount(of: topic)
        }
        let spool = try Spool(
            path: "\(settings.spoolFolder)/\(source.name).sqlite", byteLimit: settings.spoolBytes)
        return Outlet(
            source: source.name, run: run, log: log, spool: spool, partitions: partitions, logger: logger,
            progress: progress, metrics: metrics, now: now)
    }

    private func runAgainAndAgain(_ outlet: Outlet) async throws {
        var pause = settings.firstPause
        while !Task.isCancelled {
            let begun = ContinuousClock.now
            do {
                return try await source.run(into: outlet)
            } catch let error as IngestError {
                logger.error("\(error)")
                try await outlet.journal.note(.error, message: "\(error)")
                throw error
            } catch {
                if Task.isCancelled { return }
                if ContinuousClock.now - begun > Self.wellAfter { pause = settings.firstPause }
                logger.warning("the source failed and is started again: \(error)")
                try await outlet.journal.note(.error, message: "\(error)")
                metrics?.restarts.add()
                // Sources of many machines that failed together do not come back together.
                try? await Task.sleep(for: pause * Double.random(in: 0.5...1))
                pause = min(pause * 2, settings.longestPause)
            }
        }
    }
}
