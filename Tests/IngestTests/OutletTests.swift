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

/// A log that is away when it is told to be, and keeps what it takes.
private final class FlakyLog: EventLog {
    enum Mood { case well, refusing, hanging, broken }

    private struct State {
        var mood = Mood.well
        var appends: [Append] = []
        var attempts = 0
        var waiters: [CheckedContinuation<Void, Never>] = []
    }

    private let state = Mutex(State())
    let identity = "flaky"
    var statistics: LogStatistics { LogStatistics() }
    var attempts: Int { state.withLock { $0.attempts } }

    /// Positions of the appends, in their order; of those without records, too.
    var positions: [Int64] { state.withLock { $0.appends.compactMap { $0.sourcePosition?.position } } }

    /// Values of a topic's records, in the order in which they were appended.
    func values(_ topic: String) -> [String] {
        state.withLock { state in
            var values: [String] = []
            for append in state.appends {
                for (partition, batch) in append.batches where partition.topic == topic {
                    batch.forEach { _, _, value in values.append(String(decoding: value, as: UTF8.self)) }
                }
            }
            return values
        }
    }

    func events() -> [SourceEventFacts] {
        state.withLock { state in
            var events: [SourceEventFacts] = []
            for append in state.appends {
                for (partition, batch) in append.batches where partition.topic == SourceJournal.topic {
                    batch.forEach { _, _, value in
                        Staged<SourceEventFacts>(decoding: value).map { events.append($0.facts) }
                    }
                }
            }
            return events
        }
    }

    func become(_ mood: Mood) {
        let waiters = state.withLock { state in
            state.mood = mood
            defer { state.waiters = [] }
            return state.waiters
        }
        for waiter in waiters { waiter.resume() }
    }

    func append(_ append: Append) async throws(EventLogError) {
        state.withLock { $0.attempts += 1 }
        await withCheckedContinuation { continuation in
            let waits = state.withLock { state in
                if state.mood == .hanging { state.waiters.append(continuation) }
                return state.mood == .hanging
            }
            if !waits { continuation.resume() }
        }
        let mood = state.withLock { state in
            if state.mood == .well { state.appends.append(append) }
            return state.mood
        }
        if mood == .broken { throw EventLogError(.unknownTopic, "there is no such topic") }
        if mood != .well { throw EventLogError(.failed, "away", isRetriable: true) }
    }

    func createTopics(_ topics: [TopicSettings]) async throws(EventLogError) {}
    func partitionCount(of topic: String) async throws(EventLogError) -> Int { 1 }
    func committedOffset(group: String, partition: TopicPartition) async throws(EventLogError) -> Int64 { 0 }
    func sourcePosition(_ source: String) async throws(EventLogError) -> Int64? { positions.last }
    func endOffsets(of topic: String) async throws(EventLogError) -> [Int64] { [0] }
    func ages(of positions: [TopicPartition: Int64]) async throws(EventLogError) -> [TopicPartition: Duration] { [:] }
    func consumer(group: String, topics: [String]) async throws(EventLogError) -> any EventLogConsumer {
        throw EventLogError(.unavailable, "nobody reads here")
    }
    func enforceRetention(stored: [TopicPartition: Int64]) async throws(EventLogError) -> Int { 0 }
    func close() async {}
}

struct OutletTests {
    private static let logger = Logger(label: "test", factory: SwiftLogNoOpLogHandler.init)
    private static let topic = "quotes.staging"

    /// A folder with a log and, on it, what `body` opens; the folder goes with the test.
    private func withFolder(_ body: (String, FlakyLog) async throws -> Void) async throws {
        let folder = FileManager.default.temporaryDirectory.appending(path: "tapedeck-outlet-\(UUID())").path
        try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(atPath: folder) }
        try await body(folder, FlakyLog())
    }

    private func outlet(_ folder: String, _ log: FlakyLog, bytes: Int = 1 << 20) async throws -> Outlet {
        let spool = try Spool(path: folder + "/spool.sqlite", byteLimit: bytes)
        let outlet = Outlet(
            source: "venue", run: 1, log: log, spool: spool,
            partitions: [Self.topic: 1, SourceJournal.topic: 1, TradeTopics.staging: 1],
            patience: .init(append: .milliseconds(100), firstPause: .milliseconds(5), longestPause: .milliseconds(20)),
            logger: Self.logger, now: { Timestamp(microseconds: 1_700_000_000_000_000) })
        await outlet.start()
        return outlet
    }

    private func delivery(_ outlet: Outlet, _ value: String, position: Int64? = nil) -> Delivery {
        var delivery = outlet.delivery()
        delivery.add(topic: Self.topic, key: "A", at: outlet.now()) { $0 += Array(value.utf8) }
        delivery.position = position
        return delivery
    }

    @Test func `records go straight to a log that is there`() async throws {
        try await withFolder { folder, log in
            let outlet = try await self.outlet(folder, log)
            try await outlet.send(delivery(outlet, "1", position: 7))
            #expect(log.values(Self.topic) == ["1"] && log.positions == [7])
            #expect(try await outlet.position() == 7)
            #expect(outlet.progress.recordCount == 1)
            await outlet.close(within: .zero)
        }
    }

    @Test(arguments: [false, true])
    func `what a log does not take waits, and comes in its order when it is back`(hangs: Bool) async throws {
        try await withFolder { folder, log in
            let outlet = try await self.outlet(folder, log)
            try await outlet.send(delivery(outlet, "0", position: 0))
            log.become(hangs ? .hanging : .refusing)
            for number in 1...20 { try await outlet.send(delivery(outlet, "\(number)", position: Int64(number))) }
            // Safe, although the log has none of it.
            #expect(log.values(Self.topic) == ["0"])
            #expect(try await outlet.position() == 20)
            log.become(.well)
            // While it drains, newer ones stay behind.
            try await outlet.send(delivery(outlet, "21", position: 21))
            #expect(try await eventually { log.positions == Array(0...21) })
            // Once each: an attempt that only came late is not repeated.
            #expect(log.values(Self.topic) == (0...21).map(String.init))
            try await outlet.send(delivery(outlet, "22", position: 22))
            #expect(try await eventually { log.positions.last == 22 })
            await outlet.close(within: .seconds(5))
        }
    }

    @Test func `what one process has left in the spool is delivered by the next`() async throws {
        try await withFolder { folder, log in
            log.become(.refusing)
            let first = try await outlet(folder, log)
            for number in 1...3 { try await first.send(delivery(first, "\(number)", position: Int64(number))) }
            await first.close(within: .milliseconds(1))
            log.become(.well)
            let second = try await outlet(folder, log)
            #expect(try await second.position() == 3)
            try await second.send(delivery(second, "4", position: 4))
            #expect(try await eventually { log.values(Self.topic) == ["1", "2", "3", "4"] })
            await second.close(within: .seconds(5))
        }
    }

    @Test func `a full spool makes those wait who can, and counts what it cannot take from others`() async throws {
        try await withFolder { folder, log in
            let outlet = try await self.outlet(folder, log, bytes: 100)
            log.become(.refusing)
            let long = String(repeating: "x", count: 60)
            #expect(try await outlet.offer(delivery(outlet, long)))
            #expect(try await !outlet.offer(delivery(outlet, long)))
            #expect(try await !outlet.offer(delivery(outlet, long)))
            // An event has room of its own.
            try await outlet.journal.note(.error, message: "full")
            let waiting = Task { try await outlet.send(self.delivery(outlet, "late " + long)) }
            try await Task.sleep(for: .milliseconds(150))
            #expect(log.values(Self.topic) == [])
            log.become(.well)
            try await waiting.value
            #expect(try await eventually { log.values(Self.topic) == [long, "late " + long] })
            #expect(try await eventually { log.events().count == 2 })
            let gap = try #require(log.events().last)
            #expect(gap.kind == "gap" && gap.message?.hasPrefix("2 records were lost") == true)
            await outlet.close(within: .seconds(5))
        }
    }

    @Test func `one that waits for a full spool can be cancelled`() async throws {
        try await withFolder { folder, log in
            let outlet = try await self.outlet(folder, log, bytes: 10)
            log.become(.refusing)
            let waiting = Task { try await outlet.send(self.delivery(outlet, "more than ten bytes")) }
            try await Task.sleep(for: .milliseconds(50))
            waiting.cancel()
            await #expect(throws: CancellationError.self) { try await waiting.value }
            await outlet.close(within: .milliseconds(1))
        }
    }

    @Test func `closing does not wait for a log that hangs, and the next process has what was left`() async throws {
        try await withFolder { folder, log in
            log.become(.hanging)
            let first = try await outlet(folder, log)
            try await first.send(delivery(first, "1", position: 1))
            await first.close(within: .milliseconds(50))
            log.become(.well)
            let second = try await outlet(folder, log)
            #expect(try await eventually { log.values(Self.topic).contains("1") })
            await second.close(within: .seconds(5))
        }
    }

    @Test func `what no waiting can mend is told at once`() async throws {
        try await withFolder { folder, log in
            let outlet = try await self.outlet(folder, log)
            log.become(.broken)
            await #expect(throws: EventLogError.self) { try await outlet.send(self.delivery(outlet, "1")) }
            await outlet.close(within: .zero)
        }
    }

    // MARK: The runner

    private struct Failing: LiveSource {
        let name = "venue"
        let topics = [OutletTests.topic]
        let runs: Counter

        final class Counter: Sendable {
            private let count = Atomic(0)
            func next() -> Int { count.wrappingAdd(1, ordering: .relaxed).newValue }
        }

        func run(into outlet: Outlet) async throws {
            switch runs.next() {
            case 1: throw EventLogError(.failed, "not today")
            case 2:
                var delivery = outlet.delivery()
                delivery.add(topic: OutletTests.topic, key: "A", at: outlet.now()) { $0 += Array("1".utf8) }
                try await outlet.send(delivery)
            default: throw IngestError(source: "venue", message: "wrong key")
            }
        }
    }

    @Test func `a source that fails is started again, and one that needs a person ends`() async throws {
        try await withFolder { folder, log in
            var settings = LiveRunner.Settings(spoolFolder: folder, spoolBytes: 1 << 20)
            settings.firstPause = .milliseconds(1)
            let counter = Failing.Counter()
            let runner = LiveRunner(
                Failing(runs: counter), settings, run: 1, log: log, logger: Self.logger,
                now: { Timestamp(microseconds: 1) })
            try await runner.play()
            #expect(log.values(Self.topic) == ["1"] && runner.progress.recordCount == 1)
            #expect(log.events().map(\.message) == ["event log: not today"])
            await #expect(throws: IngestError.self) { try await runner.play() }
            #expect(log.events().map(\.kind) == ["error", "error"])
        }
    }
}
