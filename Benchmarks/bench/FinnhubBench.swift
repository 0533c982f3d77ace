// SPDX-License-Identifier: Apache-2.0

import ArgumentParser
import EventLog
import EventLoop
import Foundation
import Ingest
import Logging
import Market
import TLS
import WebSocket

/// Finnhub's frames from a WebSocket on loopback into the SQLite log, beside reading the frames alone.
struct FinnhubBench: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "finnhub", abstract: "Finnhub's frames into the log, beside reading them alone.",
        discussion: """
            "a core" is what one processor takes in a second: trades by the processor time of this process. The feed is a \
            process of its own.
            """)

    @Option(help: "Trades, in thousands of frames.") var trades = 2_000_000
    @Option(help: "Trades in a frame.") var perFrame = 10
    @Option(help: "Runs of each.") var runs = 3

    func run() async throws {
        let feed = try Feed(trades: trades, perFrame: perFrame)
        defer { feed.stop() }
        print("\(feed.trades) trades, \(perFrame) in a frame; trades/s")
        print("run   frames alone     a core   into the log     a core   share of alone   memory then, MiB")
        for run in 1...runs {
            let alone = try await Self.measure { try await self.readAlone(feed) }
            let taken = try await Self.measure { try await self.take(feed) }
            let count = Double(feed.trades)
            print(
                "\(run)    \(column(count / alone.seconds, 12)) \(column(count / alone.processors, 10))   \(column(count / taken.seconds, 12)) \(column(count / taken.processors, 10))             \(twoDigits(alone.processors / taken.processors))             \(column(Double(residentMemory()), 6))"
            )
        }
        print("peak memory of this process \(peakMemory()) MiB")
    }

    private static func measure(
        _ body: () async throws -> Void
    ) async throws -> (seconds: Double, processors: Double) {
        let used = clock()
        let start = MonotonicTime.now()
        try await body()
        return ((MonotonicTime.now() - start).inSeconds, Double(clock() - used) / Double(CLOCKS_PER_SEC))
    }

    /// Reads every frame, and does nothing with it.
    private func readAlone(_ feed: Feed) async throws {
        let loop = try EventLoop(name: "read")
        loop.start()
        defer { loop.stop() }
        let frames = feed.trades / perFrame
        let url = feed.url
        let read = try await Task(executorPreference: loop) {
            var count = 0
            try await WebSocketClient(tls: TLSClient(), on: loop).run(WebSocketURL(url)) { connection in
                try await connection.send(text: "{}")
                while count < frames, try await connection.receive() != nil { count += 1 }
            }
            return count
        }.value
        guard read == frames else { throw ValidationError("\(read) frames came of \(frames)") }
    }

    /// Takes every trade into a log.
    private func take(_ feed: Feed) async throws {
        let folder = FileManager.default.temporaryDirectory.appending(path: "tapedeck-finnhub-\(UUID())").path
        try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(atPath: folder) }
        let logger = Logger(label: "bench", factory: SwiftLogNoOpLogHandler.init)
        let source = FinnhubSource(.init(token: "none", symbols: ["AAPL"], url: feed.url), logger: logger)
        let log = try SQLiteEventLog(directory: folder)
        try await log.createTopics(
            (source.topics + [SourceJournal.topic]).map {
                TopicSettings(name: $0, partitions: 4, retention: .seconds(86_400))
            })
        let runner = LiveRunner(
            source, .init(spoolFolder: folder, spoolBytes: 1 << 30), run: 1, log: log, logger: logger,
            now: { Timestamp(microseconds: Int64(Date().timeIntervalSince1970 * 1e6)) })
        let playing = Task { try await runner.play() }
        while runner.progress.recordCount < Int64(feed.trades) { try await Task.sleep(for: .milliseconds(5)) }
        playing.cancel()
        try await playing.value
        guard runner.progress.recordCount == Int64(feed.trades) else {
            throw ValidationError("\(runner.progress.recordCount) trades came of \(feed.trades)")
        }
        await log.close()
    }
}

/// `Benchmarks/finnhub_feed.py`, running.
private final class Feed {
    let url: String
    let trades: Int
    private let process = Process()

    init(trades: Int, perFrame: Int) throws {
        let block = 1000 * perFrame
        self.trades = max(1, trades / block) * block
        let output = Pipe()
        process.executableURL = URL(fileURLWithPath: "/usr/bin/env")
        process.arguments = [
            "python3", "Benchmarks/finnhub_feed.py", "--trades", "\(self.trades)", "--per-frame", "\(perFrame)",
        ]
        process.standardOutput = output
        try process.run()
        let line = String(decoding: output.fileHandleForReading.availableData, as: UTF8.self)
        guard let port = line.split(separator: "\n").first.flatMap({ UInt16($0) }) else {
            throw ValidationError("Benchmarks/finnhub_feed.py does not start; run it in the checkout")
        }
        url = "ws://127.0.0.1:\(port)"
    }

    func stop() {
        process.terminate()
        process.waitUntilExit()
    }
}

/// What this process has in memory now, in MiB.
private func residentMemory() -> Int {
    let pages = (try? String(contentsOfFile: "/proc/self/statm", encoding: .utf8))?.split(separator: " ")
    return (pages.flatMap { $0.count > 1 ? Int($0[1]) : nil } ?? 0) * Int(getpagesize()) / (1 << 20)
}
