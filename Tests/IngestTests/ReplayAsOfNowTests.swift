// SPDX-License-Identifier: Apache-2.0

import EventLog
import Foundation
import Logging
import Market
import Records
import TestSupport
import Testing

@testable import Ingest

private let logger = Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }

private func wallTime() -> Timestamp { Timestamp(microseconds: Int64(Date().timeIntervalSince1970 * 1e6)) }

@discardableResult
private func play(_ settings: Replay.Settings, _ log: any EventLog) async throws -> Int64 {
    try await Replay(settings, run: 1, log: log, logger: logger, now: { wallTime() }).play()
}

/// Settings of a replay as of now.
private func settings(
    _ tape: TapeFile, speed: Double? = nil, symbol: String? = nil, rounds: Int? = 1
) -> Replay.Settings {
    .init(path: tape.path, speed: speed, symbol: symbol, isAsOfNow: true, rounds: rounds)
}

/// A tape of `count` trades of two symbols, `gap` microseconds apart.
private func tape(_ count: Int, gap: Int = 1000) throws -> TapeFile {
    try TapeFile(
        "ts,symbol,price,size,trade_id\n"
            + (0..<count).map { "\(1_300_000_000_000_000 + $0 * gap),\($0 % 2 == 0 ? "A" : "B"),\($0 + 1),1,7\n" }
            .joined())
}

/// How often each price was played.
private func rounds(_ trades: [StagedTrade]) -> [Int: Int] {
    Dictionary(trades.map { (Int($0.price ?? -1), 1) }, uniquingKeysWith: +)
}

/// How often each price is played by the first `count` trades of rounds of `length`.
private func expectedRounds(_ count: Int, of length: Int) -> [Int: Int] {
    var expected: [Int: Int] = [:]
    for index in 0..<count { expected[index % length + 1, default: 0] += 1 }
    return expected
}

private func identities(_ trades: [StagedTrade]) -> Set<String> {
    Set(trades.map { "\($0.source) \($0.symbol ?? "") \($0.ts?.microseconds ?? 0) \($0.tradeID ?? 0)" })
}

struct ReplayAsOfNowTests {
    @Test func `trades of the tape become trades of now, and keep their distances`() async throws {
        let test = try await TestLog(partitions: 1)
        let tape = try TapeFile(
            "ts,symbol,price,size\n1300000000000,A,1,1\n1300000000000,A,2,1\n1300000000200,B,3,1\nx,A,4,1\n")
        let before = wallTime()
        try await play(settings(tape, speed: 1), test.log)
        let after = wallTime()
        let trades = try await test.trades()
        #expect(trades.map(\.price) == [1, 2, 3, 4])
        let times = trades.compactMap { $0.ts?.microseconds }
        try #require(times.count == 3)
        #expect(times[0] >= before.microseconds)
        #expect(times[2] <= after.microseconds + 1000)
        #expect(times[0] == times[1])
        #expect(times[2] - times[0] == 200_000)
        #expect(trades.allSatisfy { $0.source == "replay" })
        let ids = trades.compactMap(\.tradeID)
        #expect(ids.count == 3)
        #expect(ids == ids.sorted())
        #expect(identities(trades).count == 4)
        // What cannot be read is refused as it stands.
        #expect(trades[3].problem == "ts_unreadable" && trades[3].tradeID == nil)
    }

    @Test func `a loop plays every round, and no two trades are the same`() async throws {
        let test = try await TestLog()
        let tape = try tape(500)
        let count = try await play(settings(tape, rounds: 7), test.log)
        let trades = try await test.trades()
        #expect(count == 3500 && trades.count == 3500)
        #expect(rounds(trades) == Dictionary(uniqueKeysWithValues: (1...500).map { ($0, 7) }))
        #expect(identities(trades).count == 3500)
        // Even if all of it happened in one moment.
        #expect(Set(trades.map(\.tradeID)).count == 3500)
    }

    @Test func `two tapes, or two symbols of one, are not taken for each other`() async throws {
        let test = try await TestLog()
        let first = try tape(300)
        let second = try tape(300)
        for tape in [first, second] { try await play(settings(tape), test.log) }
        try await play(settings(first, symbol: "A"), test.log)
        // Nor is the tape itself for what was made out of it.
        try await play(.init(path: first.path, speed: nil), test.log)
        let trades = try await test.trades()
        #expect(trades.count == 1050)
        // The tape's own trades have one id; all others have their own.
        let ids = Set(trades.map { trade in "\(trade.source) \(trade.tradeID ?? 0)" })
        #expect(ids.count == 751)
    }

    @Test(.timeLimit(.minutes(2)))
    func `a loop that is stopped anywhere goes on where it was`() async throws {
        var random = SeededRandom()
        let test = try await TestLog()
        let tape = try tape(50, gap: 1000)
        for _ in 1...12 {
            let task = Task { try await play(settings(tape, speed: 1, rounds: nil), test.log) }
            let before = try await test.trades().count
            while try await test.trades().count == before { try await Task.sleep(for: .milliseconds(2)) }
            try await Task.sleep(for: .milliseconds(Int.random(in: 0...150, using: &random)))
            task.cancel()
            _ = try? await task.value
            let played = try await test.trades().count
            #expect(rounds(try await test.trades()) == expectedRounds(played, of: 50), "seed \(random.seed)")
        }
        let trades = try await test.trades()
        #expect(identities(trades).count == trades.count)
        let ordered = trades.sorted { ($0.tradeID ?? 0) < ($1.tradeID ?? 0) }
        let times = ordered.compactMap { $0.ts?.microseconds }
        #expect(Set(trades.map(\.tradeID)).count == trades.count && times == times.sorted())
        // A number of rounds counts those that were played before.
        let finished = rounds(trades)[50] ?? 0
        try await play(settings(tape, rounds: finished + 2), test.log)
        let all = rounds(try await test.trades())
        #expect(all == expectedRounds(50 * (finished + 2), of: 50), "seed \(random.seed)")
        #expect(try await play(settings(tape, rounds: finished + 2), test.log) == 0)
    }

    @Test(.timeLimit(.minutes(1)))
    func `a tape with nothing to play ends, however often it is to be played`() async throws {
        let test = try await TestLog()
        for text in ["", "ts,symbol,price,size\n"] {
            let empty = try TapeFile(text)
            #expect(try await play(settings(empty, rounds: nil), test.log) == 0)
        }
        let others = try tape(10)
        #expect(try await play(settings(others, symbol: "C", rounds: nil), test.log) == 0)
    }

    @Test(.timeLimit(.minutes(1)))
    func `a file that is replaced while it is looped is played from its beginning`() async throws {
        let test = try await TestLog()
        let tape = try tape(20, gap: 1000)
        let task = Task { try await play(settings(tape, speed: 1, rounds: nil), test.log) }
        while try await test.trades().count < 30 { try await Task.sleep(for: .milliseconds(5)) }
        try "ts,symbol,price,size\n1300000000000,C,900,1\n1300000000005,C,901,1\n".write(
            toFile: tape.path + ".new", atomically: false, encoding: .utf8)
        try #require(rename(tape.path + ".new", tape.path) == 0)
        while try await test.trades().count(where: { $0.symbol == "C" }) < 4 {
            try await Task.sleep(for: .milliseconds(5))
        }
        task.cancel()
        _ = try await task.value
        let trades = try await test.trades()
        #expect(identities(trades).count == trades.count)
    }

    @Test func `what can be read only once is not looped`() async throws {
        let test = try await TestLog()
        let error = await #expect(throws: IngestError.self) {
            try await play(.init(path: "/dev/null", isAsOfNow: true, rounds: nil), test.log)
        }
        #expect(error?.message == "cannot be played in a loop, because it can be read only once")
    }
}
