// SPDX-License-Identifier: Apache-2.0

import ArgumentParser
import Forecast
import Foundation
import Sentiment

/// Sentiment beside vaderSentiment, and a forecast beside NumPy: processor time of one thread each, in turn.
struct AnalyticsBench: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "analytics", abstract: "Measure sentiment beside vaderSentiment, and forecasts beside NumPy.")

    @Option(name: .customLong("python"), help: "A Python that has vaderSentiment and numpy.") var interpreter =
        ".build-venv/bin/python"
    @Option(help: "Texts, one a line; else those of the tests.") var texts: String?
    @Option(help: "How often each is measured; the best counts.") var rounds = 3

    func run() async throws {
        try sentiment()
        try forecast()
    }

    private func sentiment() throws {
        let folder = "lexicons/vader/"
        let lexicon = try VaderLexicon(
            lexicon: Array(try Data(contentsOf: URL(filePath: folder + "vader_lexicon.txt"))),
            emoji: Array(try Data(contentsOf: URL(filePath: folder + "emoji_utf8_lexicon.txt"))))
        let analyzer = SentimentAnalyzer(lexicon)
        for path in try texts.map({ [$0] }) ?? [Self.testTexts()] + recordedTexts() {
            try sentiment(path, analyzer)
        }
    }

    /// Scores the lines of a file, as many rounds as take about half a second.
    private func sentiment(_ path: String, _ analyzer: SentimentAnalyzer) throws {
        let bytes = Array(try Data(contentsOf: URL(filePath: path)))
        let lines = bytes.split(separator: 0x0A, omittingEmptySubsequences: false).dropLast().map(\.indices)
        let repeats = max(1, 60_000_000 / bytes.count)
        var (theirs, ours) = (Double.infinity, Double.infinity)
        var sum = 0.0
        for _ in 0..<rounds {
            theirs = min(theirs, try python(["sentiment", path, "2"]) / 2)
            let begun = Self.processorTime()
            bytes.withUnsafeBytes { bytes in
                for _ in 0..<repeats {
                    for line in lines { sum += analyzer.score(UnsafeRawBufferPointer(rebasing: bytes[line])).compound }
                }
            }
            ours = min(ours, (Self.processorTime() - begun) / Double(repeats))
        }
        let count = Double(lines.count)
        print(
            "sentiment of \(lines.count) texts of \(bytes.count / lines.count) bytes,",
            "mean compound \(sum / Double(rounds * repeats) / count)")
        print("  vaderSentiment  \(Int(count / theirs)) texts/s")
        print("  tapedeck        \(Int(count / ours)) texts/s")
        print("  ratio           \((theirs / ours * 10).rounded() / 10) x (goal 50)")
    }

    private func forecast() throws {
        var parameters = SimulationParameters(
            spot: 100, drift: 0.1, volatility: 0.3, stepYears: 1.0 / 252, steps: 252, paths: 100_000, seed: 42)
        parameters.keptPaths = 20
        var (theirs, ours) = (Double.infinity, Double.infinity)
        var mean = 0.0
        for _ in 0..<rounds {
            theirs = min(theirs, try python(["forecast", "100000", "252"]))
            let begun = Self.processorTime()
            mean = try Simulation(parameters, threads: 1).run().fan[251].mean
            ours = min(ours, Self.processorTime() - begun)
        }
        print("forecast of 100,000 paths and 252 steps with its fan, mean at the end \(mean) (110.517 expected)")
        print("  NumPy           \((theirs * 1000).rounded() / 1000) s")
        print("  tapedeck        \((ours * 1000).rounded() / 1000) s")
        print("  ratio           \((theirs / ours * 100).rounded() / 100) x (goal 3)")
    }

    /// The texts of the tests, without their escapes, so that both read the same lines.
    private static func testTexts() throws -> String {
        let fixture = try Data(contentsOf: URL(filePath: "Tests/SentimentTests/Fixtures/vader_scores.tsv"))
        let texts = String(decoding: fixture, as: UTF8.self).split(separator: "\n").filter { !$0.hasPrefix("#") }
            .map { $0.split(separator: "\t", maxSplits: 4, omittingEmptySubsequences: false)[4] }
            .filter { $0.utf8.count < 1000 && !$0.contains("\\") && !$0.contains("\u{1C}") && !$0.contains("\u{85}") }
        let path = NSTemporaryDirectory() + "tapedeck-bench-texts.txt"
        try (texts.joined(separator: "\n") + "\n").write(toFile: path, atomically: true, encoding: .utf8)
        return path
    }

    /// The recorded comments beside the checkout, one a line; none where they are not there.
    private func recordedTexts() throws -> [String] {
        let name = "../shared/data/test-only/reddit/comments_general.jsonl.gz"
        guard FileManager.default.fileExists(atPath: name) else { return [] }
        let path = NSTemporaryDirectory() + "tapedeck-bench-recorded.txt"
        _ = try python(["texts", name, path])
        return [path]
    }

    /// The number that a part of `Benchmarks/analytics.py` prints.
    private func python(_ arguments: [String]) throws -> Double {
        let process = Process()
        process.executableURL = URL(filePath: interpreter)
        process.arguments = ["Benchmarks/analytics.py"] + arguments
        // Some machines name an old kernel for old OpenBLAS; a current NumPy chooses better by itself.
        process.environment = ProcessInfo.processInfo.environment.filter { !$0.key.hasPrefix("OPENBLAS_") }
            .merging(["OMP_NUM_THREADS": "1"]) { $1 }
        let pipe = Pipe()
        process.standardOutput = pipe
        try process.run()
        let output = pipe.fileHandleForReading.readDataToEndOfFile()
        process.waitUntilExit()
        guard
            let seconds = Double(
                String(decoding: output, as: UTF8.self).trimmingCharacters(in: .whitespacesAndNewlines))
        else { throw ValidationError("\(interpreter) gave no number; run 'make deps-test' first") }
        return seconds
    }

    private static func processorTime() -> Double {
        var time = timespec()
        clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time)
        return Double(time.tv_sec) + Double(time.tv_nsec) / 1e9
    }
}
