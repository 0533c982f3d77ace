// SPDX-License-Identifier: Apache-2.0

import EventLog
import EventLoop
import Ingest
import Logging
import Market
import Metrics

/// Sources that run side by side.
struct Sources: Sendable {
    private struct Player: Sendable {
        let progress: IngestProgress
        let play: @Sendable () async throws -> Void
    }

    private let players: [Player]

    /// - Parameter folder: the data folder's absolute path, which live sources need.
    init(
        _ specs: [SourceSpec], _ settings: Settings, folder: String?, log: any EventLog, logger: Logger,
        metrics: MetricsRegistry
    ) throws {
        let firstRun = wallClock().microseconds
        let counted = IngestMetrics(metrics)
        players = try specs.enumerated().map { index, spec in
            let run = firstRun + Int64(index)
            switch spec {
            case .replay(let settings):
                let replay = Replay(settings, run: run, log: log, logger: logger, metrics: counted, now: wallClock)
                return Player(progress: replay.progress) { try await replay.play() }
            case .simulate(let settings):
                let source = SimulatedSource(
                    settings, run: run, log: log, logger: logger, metrics: counted, now: wallClock)
                return Player(progress: source.progress) { try await source.play() }
            case .live(let service):
                let runner = LiveRunner(
                    try Self.source(service, settings, logger: logger),
                    try SourceSettings.runner(settings, folder: folder ?? settings.string(.dataDir)), run: run,
                    log: log,
                    logger: logger, metrics: metrics, now: wallClock)
                return Player(progress: runner.progress) { try await runner.play() }
            }
        }
    }

    /// Refuses what live sources would refuse for the settings, before anything is started.
    static func check(_ specs: [SourceSpec], _ settings: Settings, logger: Logger) throws {
        for case .live(let service) in specs { _ = try source(service, settings, logger: logger) }
    }

    private static func source(
        _ service: SourceSpec.LiveService, _ settings: Settings, logger: Logger
    ) throws -> any LiveSource {
        switch service {
        case .finnhub: FinnhubSource(try SourceSettings.finnhub(settings), logger: logger)
        case .reddit: RedditSource(try RedditSettings.source(settings), logger: logger)
        case .finnhubREST: FinnhubRESTSource(try SourceSettings.finnhubREST(settings))
        case .yahoo: YahooSource(try SourceSettings.yahoo(settings))
        }
    }

    var recordCount: Int64 { players.reduce(0) { $0 + $1.progress.recordCount } }
    var isFinished: Bool { players.allSatisfy { $0.progress.isFinished } }
    /// The time of the newest trade that was read last from any of them.
    var lastEventTime: Timestamp? { players.compactMap { $0.progress.lastEventTime }.max() }

    /// Runs all of them until they end or the task is cancelled.
    func run() async throws {
        try await withThrowingTaskGroup(of: Void.self) { group in
            for (index, player) in players.enumerated() {
                // A thread each: reading a file blocks.
                let loop = try EventLoop(name: "ingest-\(index)")
                loop.start()
                group.addTask(executorPreference: loop) {
                    defer { loop.stop() }
                    try await player.play()
                }
            }
            try await group.waitForAll()
        }
    }
}
