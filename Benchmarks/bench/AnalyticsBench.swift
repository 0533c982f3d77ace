// SPDX-License-Identifier: Apache-2.0

import ArgumentParser
import Forecast
import Foundation
import Sentiment

/// Sentiment beside vaderSentiment, and a forecast beside NumPy: processor time of one thread each, in turn.
struct AnalyticsBench: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "analytics", abstract: "Measure sentiment beside vaderSentiment, and forecasts beside NumPy.")

    @Option(help: "A Python that has vaderSentiment and numpy.") var python = ".build-venv/bin/python"
    @Option(help: "Texts, one a line; else those of the tests.") var texts: String?
    @Option(help: "How often each is measured; the best counts.") var rounds = 3

    func run() async throws {
        try sentiment()
        try forecast()
    }

    private func sentiment() throws {
        let path = try texts ?? Self.testTexts()
        let lines = String(decoding: try Data(contentsOf: URL(filePath: path)), as: UTF8.self)
            .split(separator: "\n", omittingEmptySubsequences: false).dropLast().map { Array($0.utf8) }
        let folder = "lexicons/vader/"
        let lexicon = try VaderLexicon(
            lexicon: Array(try Data(contentsOf: URL(filePath: folder + "vader_lexicon.txt"))),
            emoji: Array(try Data(contentsOf: URL(filePath: folder + "emoji_utf8_lexicon.txt"))))
        var analyzer = SentimentAnalyzer(lexicon)
        var (theirs, ours) = (Double.infinity, Double.infinity)
        var sum = 0.0
        for _ in 0..<rounds {
            theirs = min(theirs, try pythonTime(["sentiment", path, "2"]) / 2)
            let begun = Self.processorTime()
            for _ in 0..<50 { for line in lines { sum += line.withUnsafeBytes { analyzer.score($0).compound } } }
            ours = min(ours, (Self.processorTime() - begun) / 50)
        }
        let count = Double(lines.count)
        print("sentiment of \(lines.count) texts, mean compound \(sum / Double(rounds * 50) / count)")
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
            theirs = min(theirs, try pythonTime(["forecast", "100000", "252"]))
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

    private func pythonTime(_ arguments: [String]) throws -> Double {
        let process = Process()
        process.executableURL = URL(filePath: python)
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
        else { throw ValidationError("\(python) gave no time; run 'make deps-test' first") }
        return seconds
    }

    private static func processorTime() -> Double {
        var time = timespec()
        clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time)
        return Double(time.tv_sec) + Double(time.tv_nsec) / 1e9
    }
}
