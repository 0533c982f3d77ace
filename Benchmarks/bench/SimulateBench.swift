// SPDX-License-Identifier: Apache-2.0

import ArgumentParser
import EventLog
import EventLoop
import Foundation
import Ingest
import Logging
import Market

/// A simulated market into the SQLite log, at the rate that is asked for, beside the market alone: what its numbers cost.
struct SimulateBench: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "simulate", abstract: "Simulated trades into the log, beside making them alone.")

    @Option(help: "Trades a second to ask for.") var rate = 500_000
    @Option(help: "Symbols.") var symbols = 100
    @Option(help: "Seconds of the market.") var seconds = 10
    @Option(help: "Runs of each.") var runs = 3

    func run() async throws {
        var settings = SimulatedMarket.Settings()
        settings.rate = rate
        settings.symbols = symbols
        settings.duration = .seconds(seconds)
        print(
            "\(symbols) symbols, \(rate) trades/s asked for, \(seconds) s of the market; trades/s, seconds of processors"
        )
        print("run      trades       alone   into the log   share of asked   processors a second")
        for run in 1...runs {
            let start = MonotonicTime.now()
            var market = SimulatedMarket(settings)
            var count: Int64 = 0
            while market.next() != nil { count += 1 }
            let alone = Double(count) / (MonotonicTime.now() - start).inSeconds
            let (played, time, processors) = try await Self.play(settings)
            guard played == count else { throw CleanExit.message("\(count) trades were made, \(played) appended") }
            print(
                "\(run)  \(column(Double(count), 10))  \(column(alone, 10))     \(column(Double(played) / time, 10))             \(twoDigits(Double(seconds) / time))                  \(twoDigits(processors / time))"
            )
        }
        print("peak memory of this process \(peakMemory()) MiB")
    }

    private static func play(
        _ settings: SimulatedMarket.Settings
    ) async throws -> (played: Int64, seconds: Double, processors: Double) {
        let folder = FileManager.default.temporaryDirectory.appending(path: "tapedeck-simulate-\(UUID())").path
        try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(atPath: folder) }
        let log = try SQLiteEventLog(directory: folder)
        try await log.createTopics([
            TopicSettings(name: TradeTopics.staging, partitions: 4, retention: .seconds(86_400))
        ])
        let loop = try EventLoop(name: "simulate")
        loop.start()
        defer { loop.stop() }
        let source = SimulatedSource(
            settings, run: 1, log: log, logger: Logger(label: "bench", factory: SwiftLogNoOpLogHandler.init),
            now: { Timestamp(microseconds: Int64(Date().timeIntervalSince1970 * 1e6)) })
        let used = clock()
        let start = MonotonicTime.now()
        let played = try await Task(executorPreference: loop) { try await source.play() }.value
        let seconds = (MonotonicTime.now() - start).inSeconds
        let processors = Double(clock() - used) / Double(CLOCKS_PER_SEC)
        await log.close()
        return (played, seconds, processors)
    }
}
