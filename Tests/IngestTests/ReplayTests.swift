// SPDX-License-Identifier: Apache-2.0

import EventLog
import Foundation
import Logging
import Market
import Records
import Synchronization
import TestSupport
import Testing

@testable import Ingest

/// A log with the staging topic, in a folder that goes with the test.
final class TestLog: Sendable {
    let folder: String
    let log: SQLiteEventLog

    init(partitions: Int = 4) async throws {
        folder = FileManager.default.temporaryDirectory.appending(path: "tapedeck-replay-\(UUID())").path
        try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
        log = try SQLiteEventLog(directory: folder)
        try await log.createTopics([
            TopicSettings(name: TradeTopics.staging, partitions: partitions, retention: .seconds(1_000_000))
        ])
    }

    deinit { try? FileManager.default.removeItem(atPath: folder) }

    /// Every staged trade, by partition and offset.
    func trades() async throws -> [StagedTrade] {
        let consumer = try await log.consumer(group: "test", topics: [TradeTopics.staging])
        guard case .assigned(let partitions) = try await consumer.next(byteLimit: 1, wait: .zero) else { return [] }
        for partition in partitions { consumer.start(partition, at: 0) }
        var trades: [StagedTrade] = []
        while case .records(let batches) = try await consumer.next(byteLimit: 1 << 24, wait: .zero) {
            for batch in batches {
                batch.records.forEach { _, key, value in
                    guard let view = StagedTradeView(decoding: value) else {
                        Issue.record("a staged record cannot be decoded")
                        return
                    }
                    var trade = StagedTrade(
                        run: view.run, source: String(decoding: view.source, as: UTF8.self), position: view.position,
                        ingestedAt: view.ingestedAt)
                    trade.symbol = view.symbol.map { String(decoding: $0, as: UTF8.self) }
                    trade.ts = view.ts
                    trade.price = view.price
                    trade.size = view.size
                    trade.tradeID = view.tradeID
                    trade.problem = view.problem.map { String(decoding: $0, as: UTF8.self) }
                    trades.append(trade)
                    if Array(key) != Array((trade.symbol ?? "").utf8) { Issue.record("the key is not the symbol") }
                    if batch.partition.partition != partitionNumber(of: key, count: partitions.count) {
                        Issue.record("\(trade.symbol ?? "-") is in \(batch.partition)")
                    }
                }
            }
        }
        return trades
    }

    /// What identifies the staged trades, sorted.
    func lines() async throws -> [Int64] { try await trades().map(\.position).sorted() }
}

private let logger = Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }

private func play(_ settings: Replay.Settings, _ log: any EventLog, run: Int64 = 1) async throws -> Int64 {
    try await Replay(settings, run: run, log: log, logger: logger, now: { Timestamp(microseconds: 42) }).play()
}

/// A tape of `count` trades of three symbols, `gap` microseconds apart, some alike in every field.
private func tape(_ count: Int, gap: Int = 1000) throws -> TapeFile {
    var text = "ts,symbol,price,size,trade_id\n"
    for number in 0..<count {
        let ts = 1_700_000_000_000_000 + number / 3 * gap
        text += "\(ts),\(["A", "B", "C"][number % 5 % 3]),\(number % 2 + 1),1,\(number % 7 == 0 ? "5" : "")\n"
    }
    return try TapeFile(text)
}

/// The lines on which the first `count` trades of a tape stand.
private func lines(_ count: Int) -> [Int64] { (0..<count).map { Int64($0 + 2) } }

struct ReplayTests {
    @Test func `a tape is played whole, each record keyed and stamped`() async throws {
        let test = try await TestLog()
        let tape = try tape(20_000)
        let progress = IngestProgress()
        let replay = Replay(
            .init(path: tape.path, speed: nil), run: 9, log: test.log, logger: logger, progress: progress,
            now: { Timestamp(microseconds: 42) })
        #expect(try await replay.play() == 20_000)
        let trades = try await test.trades()
        #expect(trades.map(\.position).sorted() == lines(20_000))
        #expect(trades.allSatisfy { $0.run == 9 && $0.ingestedAt.microseconds == 42 && $0.source == "file" })
        #expect(progress.recordCount == 20_000 && progress.isFinished && progress.fraction == 1)
        let last: Int64 = 1_700_000_000_000_000 + 19_999 / 3 * 1000
        #expect(progress.lastEventTime == Timestamp(microseconds: last))
        // Each symbol in the order of the tape.
        for symbol in ["A", "B", "C"] {
            let own = trades.filter { $0.symbol == symbol }.map(\.position)
            #expect(own == own.sorted() && !own.isEmpty)
        }
        // Played to its end, it has nothing more to give.
        #expect(try await play(.init(path: tape.path, speed: nil), test.log) == 0)
    }

    @Test func `only the trades of a symbol are played when one is asked for`() async throws {
        let test = try await TestLog()
        let tape = try tape(500)
        let count = try await play(.init(path: tape.path, speed: nil, symbol: "B"), test.log)
        let trades = try await test.trades()
        #expect(trades.allSatisfy { $0.symbol == "B" } && trades.count == Int(count) && count == 200)
        // Ids are those of the whole tape: they do not depend on the filter.
        let whole = try await TestLog()
        _ = try await play(.init(path: tape.path, speed: nil), whole.log)
        let expected = try await whole.trades().filter { $0.symbol == "B" }.map(\.tradeID)
        #expect(trades.map(\.tradeID) == expected)
    }

    @Test func `a replay of one symbol is not taken for a replay of another`() async throws {
        let test = try await TestLog()
        let tape = try tape(500)
        let first = try await play(.init(path: tape.path, speed: nil, symbol: "A"), test.log)
        let second = try await play(.init(path: tape.path, speed: nil, symbol: "B"), test.log)
        #expect(first == 200 && second == 200)
        #expect(try await test.trades().count { $0.symbol == "B" } == 200)
    }

    @Test(.timeLimit(.minutes(1)))
    func `a replay that goes on skips what was played, and the ids are those of one playing`() async throws {
        let test = try await TestLog()
        // Slow enough to be stopped in the middle, whichever machine it runs on.
        let tape = try tape(1000, gap: 60_000_000)
        let task = Task { try await play(.init(path: tape.path, speed: 60, longestPause: .milliseconds(3)), test.log) }
        while try await test.lines().count < 100 { try await Task.sleep(for: .milliseconds(5)) }
        task.cancel()
        let first = try await task.value
        #expect((100..<1000).contains(first))
        #expect(try await play(.init(path: tape.path, speed: nil), test.log) == 1000 - first)
        #expect(try await play(.init(path: tape.path, speed: nil), test.log) == 0)
        let once = try await TestLog()
        _ = try await play(.init(path: tape.path, speed: nil), once.log)
        func ids(_ trades: [StagedTrade]) -> [[Int64]] {
            trades.map { [$0.position, $0.tradeID ?? -1] }.sorted { $0[0] < $1[0] }
        }
        let parts = ids(try await test.trades())
        let whole = ids(try await once.trades())
        #expect(parts == whole)
        #expect(whole.map { $0[0] } == lines(1000))
    }

    @Test func `a file that has changed is another tape, and gives what it had in common with the same ids`()
        async throws
    {
        let test = try await TestLog()
        let tape = try tape(1000)
        let all = try String(contentsOfFile: tape.path, encoding: .utf8)
        let cut = all.split(separator: "\n").prefix(401).joined(separator: "\n") + "\n"
        try cut.write(toFile: tape.path, atomically: false, encoding: .utf8)
        #expect(try await play(.init(path: tape.path, speed: nil), test.log, run: 1) == 400)
        try all.write(toFile: tape.path, atomically: false, encoding: .utf8)
        #expect(try await play(.init(path: tape.path, speed: nil), test.log, run: 2) == 1000)
        let trades = try await test.trades()
        let runs = [1, 2].map { run in
            trades.filter { $0.run == run }.map { [$0.position, $0.tradeID ?? -1] }.sorted { $0[0] < $1[0] }
        }
        #expect(runs[0] == Array(runs[1].prefix(400)))
        #expect(runs[1].map { $0[0] } == lines(1000))
    }

    @Test func `a replay that does not go on plays all of it again, with the same ids`() async throws {
        let test = try await TestLog()
        let tape = try tape(300)
        _ = try await play(.init(path: tape.path, speed: nil, resumes: false), test.log, run: 1)
        _ = try await play(.init(path: tape.path, speed: nil, resumes: false), test.log, run: 2)
        let trades = try await test.trades()
        let runs = [1, 2].map { run in
            trades.filter { $0.run == run }.map { [$0.position, $0.tradeID ?? -1] }.sorted { $0[0] < $1[0] }
        }
        #expect(runs[0].count == 300 && runs[0] == runs[1])
    }

    @Test(.timeLimit(.minutes(2)))
    func `a paced replay that is stopped anywhere and goes on plays every trade exactly once`() async throws {
        var random = SeededRandom()
        let test = try await TestLog()
        let count = 300
        // 100 steps of 100 ms: ten seconds when nobody stops it.
        let tape = try tape(count, gap: 100_000)
        var middles = 0
        var before = 0
        for stop in 1...20 {
            let task = Task { try await play(.init(path: tape.path, speed: 1), test.log) }
            let pause = Duration.milliseconds(Int.random(in: 0...60, using: &random))
            // Every other time as soon as the log has more than before, however long this machine takes for it.
            while stop % 2 == 0, before < count, try await test.lines().count == before {
                try await Task.sleep(for: .milliseconds(1))
            }
            try await Task.sleep(for: pause)
            task.cancel()
            do {
                _ = try await task.value
            } catch let error as EventLogError where error.message == "cancelled" {
                // Stopped before it had asked the log where to go on.
            }
            // So far it has played a part from the tape's beginning, nothing twice and nothing left out: how far the log
            // says it came is neither ahead of the records nor behind them.
            let played = try await test.lines()
            #expect(played == lines(played.count), "stop \(stop) after \(pause), seed \(random.seed)")
            if !played.isEmpty && played.count < count { middles += 1 }
            before = played.count
        }
        _ = try await play(.init(path: tape.path, speed: nil), test.log)
        #expect(try await test.lines() == lines(count), "seed \(random.seed)")
        #expect(middles > 0, "it was never stopped in the middle, seed \(random.seed)")
    }

    @Test(.timeLimit(.minutes(1)))
    func `a pause of the tape is cut to the longest one, and what was read does not wait for it`() async throws {
        let test = try await TestLog()
        let tape = try TapeFile("ts,symbol,price,size\n0,A,1,1\n80000000,A,1,1\n90000000,A,1,1\n")
        let task = Task { try await play(.init(path: tape.path, speed: 1, longestPause: .seconds(3600)), test.log) }
        // The first is in the log while the second waits an hour.
        while try await test.lines() != [2] { try await Task.sleep(for: .milliseconds(5)) }
        task.cancel()
        #expect(try await task.value == 1)
        #expect(try await test.lines() == [2])
        // With a short longest pause the rest follows at once.
        #expect(try await play(.init(path: tape.path, speed: 1, longestPause: .milliseconds(2)), test.log) == 2)
        #expect(try await test.lines() == [2, 3, 4])
    }

    @Test(.timeLimit(.minutes(1)))
    func `a tape whose times run backwards or are missing is played`() async throws {
        let test = try await TestLog()
        let tape = try TapeFile("ts,symbol,price,size\n90000000,A,1,1\n5,A,1,1\n,A,1,1\nx,A,1,1\n4,A,1,1\n")
        #expect(try await play(.init(path: tape.path, speed: 1, longestPause: .milliseconds(1)), test.log) == 5)
        #expect(try await test.trades().map(\.problem) == [nil, nil, nil, "ts_unreadable", nil])
    }

    @Test func `a speed however small only makes pauses the longest`() async {
        await #expect(processExitsWith: .success) {
            let test = try await TestLog()
            let tape = try TapeFile("ts,symbol,price,size\n1,A,1,1\n80000000,A,1,1\n")
            let count = try await play(.init(path: tape.path, speed: 1e-300, longestPause: .milliseconds(2)), test.log)
            exit(count == 2 ? 0 : 1)
        }
    }

    @Test func `what was read before an error is in the log, with its position`() async throws {
        let test = try await TestLog()
        let tape = try tape(40_000)
        let whole = try gzip(Array(Data(contentsOf: URL(filePath: tape.path))))
        let cut = try TapeFile(Array(whole[..<(whole.count / 2)]), name: "cut.csv.gz")
        let error = await #expect(throws: IngestError.self) {
            try await play(.init(path: cut.path, speed: nil), test.log)
        }
        #expect(error?.message == "the gzip file is cut off")
        let played = try await test.lines()
        #expect(!played.isEmpty && played == lines(played.count))
        // Asked again it tells the same, and adds nothing.
        await #expect(throws: IngestError.self) { try await play(.init(path: cut.path, speed: nil), test.log) }
        #expect(try await test.lines() == played)
    }

    @Test func `a file that is not there, and a log without the topic, are told`() async throws {
        let test = try await TestLog()
        await #expect(throws: IngestError.self) { try await play(.init(path: "/no/such", speed: nil), test.log) }
        let folder = FileManager.default.temporaryDirectory.appending(path: "tapedeck-replay-\(UUID())").path
        try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(atPath: folder) }
        let empty = try SQLiteEventLog(directory: folder)
        let tape = try tape(3)
        let error = await #expect(throws: EventLogError.self) { try await play(.init(path: tape.path), empty) }
        #expect(error?.code == .unknownTopic)
        await empty.close()
    }
}

struct StandardInputTests {
    /// Plays `text` from standard input into `log`, in a process whose standard input is its own.
    private static func playFromInput(_ text: String, _ log: any EventLog) async throws -> Int64 {
        let file = try TapeFile(text)
        let descriptor = open(file.path, O_RDONLY)
        dup2(descriptor, 0)
        close(descriptor)
        return try await play(.init(path: "-", speed: nil), log)
    }

    @Test func `what comes by standard input is never taken for what came before`() async {
        await #expect(processExitsWith: .success) {
            let test = try await TestLog()
            let first = try await Self.playFromInput("ts,symbol,price,size\n1,A,1,1\n2,A,1,1\n", test.log)
            let second = try await Self.playFromInput("ts,symbol,price,size\n3,B,1,1\n4,B,1,1\n5,B,1,1\n", test.log)
            let symbols = try await test.trades().map(\.symbol)
            exit(first == 2 && second == 3 && symbols.count { $0 == "B" } == 3 ? 0 : 1)
        }
    }
}

/// A log whose appends fail as often as they are told to, and are counted.
private final class FailingLog: EventLog {
    let identity = "failing"
    let statistics = LogStatistics()
    let failures: Mutex<[EventLogError]>
    let appended = Mutex<[Append]>([])

    init(_ failures: [EventLogError]) { self.failures = Mutex(failures) }

    func append(_ append: Append) async throws(EventLogError) {
        if let error = failures.withLock({ $0.isEmpty ? nil : $0.removeFirst() }) { throw error }
        appended.withLock { $0.append(append) }
    }
    func createTopics(_ topics: [TopicSettings]) async throws(EventLogError) {}
    func partitionCount(of topic: String) async throws(EventLogError) -> Int { 2 }
    func committedOffset(group: String, partition: TopicPartition) async throws(EventLogError) -> Int64 { 0 }
    func sourcePosition(_ source: String) async throws(EventLogError) -> Int64? { nil }
    func endOffsets(of topic: String) async throws(EventLogError) -> [Int64] { [0, 0] }
    func ages(of positions: [TopicPartition: Int64]) async throws(EventLogError) -> [TopicPartition: Duration] { [:] }
    func consumer(group: String, topics: [String]) async throws(EventLogError) -> any EventLogConsumer {
        throw EventLogError(.failed, "not for reading")
    }
    func enforceRetention(stored: [TopicPartition: Int64]) async throws(EventLogError) -> Int { 0 }
    func close() async {}
}

struct StagerTests {
    private func stage(_ count: Int, on stager: Stager) {
        for number in 0..<count {
            var trade = StagedTrade(run: 1, source: "file", position: Int64(number), ingestedAt: .epoch)
            trade.symbol = "S\(number % 10)"
            stager.stage(trade, at: Timestamp(microseconds: 5))
        }
    }

    @Test func `an append that may succeed later is repeated until it does, once`() async throws {
        let log = FailingLog(Array(repeating: EventLogError(.failed, "the disk is full", isRetriable: true), count: 2))
        let stager = try await Stager(log: log, logger: logger)
        stage(30, on: stager)
        #expect(stager.count == 30 && !stager.isFull)
        try await stager.flush(position: ("s", 30))
        #expect(stager.count == 0)
        let appended = log.appended.withLock { $0 }
        #expect(appended.count == 1)
        #expect(appended[0].batches.values.reduce(0) { $0 + $1.count } == 30)
        #expect(appended[0].sourcePosition?.position == 30)
        // Nothing gathered, nothing appended.
        try await stager.flush(position: ("s", 31))
        #expect(log.appended.withLock { $0.count } == 1)
    }

    @Test func `an append that can not succeed is told, and what was gathered is kept`() async throws {
        let log = FailingLog([EventLogError(.corrupt, "damaged")])
        let stager = try await Stager(log: log, logger: logger)
        stage(5, on: stager)
        let error = await #expect(throws: EventLogError.self) { try await stager.flush() }
        #expect(error?.code == .corrupt)
        #expect(stager.count == 5)
        try await stager.flush()
        #expect(log.appended.withLock { $0.first?.batches.values.reduce(0) { $0 + $1.count } } == 5)
    }

    @Test func `a stopped source does not repeat for ever`() async throws {
        let log = FailingLog(Array(repeating: EventLogError(.failed, "locked", isRetriable: true), count: 1000))
        let task = Task {
            let stager = try await Stager(log: log, logger: logger)
            stage(5, on: stager)
            withUnsafeCurrentTask { $0?.cancel() }
            try await stager.flush()
        }
        await #expect(throws: EventLogError.self) { try await task.value }
    }

    @Test func `a batch is full at its limit`() async throws {
        let stager = try await Stager(log: FailingLog([]), logger: logger)
        stage(Stager.batchLimit - 1, on: stager)
        #expect(!stager.isFull)
        stage(1, on: stager)
        #expect(stager.isFull)
    }
}
