// SPDX-License-Identifier: Apache-2.0

import EventLog
import Foundation
import Logging
import Market
import Records
import Synchronization
import Testing

@testable import Ingest

struct SourceJournalTests {
    private static let logger = Logger(label: "test", factory: SwiftLogNoOpLogHandler.init)
    private static let noon = Timestamp(microseconds: 1_700_000_000_000_000)

    private func withLog<T>(_ body: (SQLiteEventLog) async throws -> T) async throws -> T {
        let folder = FileManager.default.temporaryDirectory.appending(path: "tapedeck-journal-\(UUID())").path
        try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(atPath: folder) }
        let log = try SQLiteEventLog(directory: folder)
        try await log.createTopics(
            [TopicSettings(name: SourceJournal.topic, partitions: 4, retention: .seconds(86_400))])
        let value = try await body(log)
        await log.close()
        return value
    }

    private func events(_ log: SQLiteEventLog) async throws -> [Staged<SourceEventFacts>] {
        let consumer = try await log.consumer(group: "test", topics: [SourceJournal.topic])
        var events: [Staged<SourceEventFacts>] = []
        reading: while true {
            switch try await consumer.next(byteLimit: 1 << 20, wait: .milliseconds(1)) {
            case .assigned(let partitions): for partition in partitions { consumer.start(partition, at: 0) }
            case .records(let batches):
                for batch in batches {
                    batch.records.forEach { _, key, value in
                        #expect(String(decoding: key, as: UTF8.self) == "venue")
                        Staged<SourceEventFacts>(decoding: value).map { events.append($0) }
                    }
                }
            case .revoked, .idle: break reading
            }
        }
        await consumer.close()
        return events
    }

    @Test func `events are numbered, stamped, in one partition, and durable when noted`() async throws {
        try await withLog { log in
            let journal = try await SourceJournal(
                source: "venue", run: 7, log: log, logger: Self.logger, now: { Self.noon })
            try await journal.note(.connected)
            try await journal.note(.subscribed, symbols: ["A", "B"])
            let start = Timestamp(microseconds: 1)
            try await journal.note(.gap, symbols: ["A"], from: start, to: Self.noon, message: "cut", at: start)
            let events = try await self.events(log)
            #expect(events.map(\.facts.kind) == ["connected", "subscribed", "gap"])
            #expect(events.map(\.facts.sequence) == [1, 2, 3] && events.allSatisfy { $0.run == 7 })
            #expect(events.map(\.facts.ts) == [Self.noon, Self.noon, start])
            #expect(events.map(\.facts.symbols) == [[], ["A", "B"], ["A"]])
            #expect(
                events[2].facts.from == start && events[2].facts.to == Self.noon && events[2].facts.message == "cut")
            #expect(events.allSatisfy { $0.staging.ingestedAt == Self.noon && $0.staging.source == "venue" })
        }
    }

    @Test func `tasks of a source may note at once, and no two events have one number`() async throws {
        try await withLog { log in
            let journal = try await SourceJournal(
                source: "venue", run: 7, log: log, logger: Self.logger, now: { Self.noon })
            try await withThrowingTaskGroup(of: Void.self) { group in
                for _ in 0..<20 { group.addTask { try await journal.note(.error, message: "x") } }
                try await group.waitForAll()
            }
            #expect(Set(try await events(log).map(\.facts.sequence)) == Set((1...20).map { Int64($0) }))
        }
    }

    @Test func `a message is cut at its limit, not in a character, and has no zero byte`() async throws {
        try await withLog { log in
            let journal = try await SourceJournal(
                source: "venue", run: 7, log: log, logger: Self.logger, now: { Self.noon })
            let limit = SourceJournal.messageLimit
            let texts = [
                String(repeating: "x", count: limit), String(repeating: "x", count: limit + 1),
                "x" + String(repeating: "é", count: limit), "a\0b", "",
            ]
            for text in texts { try await journal.note(.error, message: text) }
            let kept = try await events(log).map(\.facts.message)
            #expect(kept == [texts[0], texts[0], "x" + String(repeating: "é", count: limit / 2 - 1), "a\u{FFFD}b", ""])
        }
    }

    @Test func `what the log refuses for a while is noted all the same`() async throws {
        try await withLog { log in
            let failing = FailingLog(log, failures: 2)
            let journal = try await SourceJournal(
                source: "venue", run: 7, log: failing, logger: Self.logger, now: { Self.noon })
            try await journal.note(.connected)
            #expect(failing.left.withLock { $0 } == 0)
            #expect(try await events(log).count == 1)
        }
    }
}

/// A log whose first appends fail for a reason that may pass.
private final class FailingLog: EventLog {
    private let log: SQLiteEventLog
    let left: Mutex<Int>

    init(_ log: SQLiteEventLog, failures: Int) {
        self.log = log
        left = Mutex(failures)
    }

    var identity: String { log.identity }
    var statistics: LogStatistics { log.statistics }

    func append(_ append: Append) async throws(EventLogError) {
        let fails = left.withLock { left in
            defer { left = max(0, left - 1) }
            return left > 0
        }
        if fails { throw EventLogError(.failed, "disk full", isRetriable: true) }
        try await log.append(append)
    }

    func createTopics(_ topics: [TopicSettings]) async throws(EventLogError) { try await log.createTopics(topics) }
    func partitionCount(of topic: String) async throws(EventLogError) -> Int { try await log.partitionCount(of: topic) }
    func committedOffset(group: String, partition: TopicPartition) async throws(EventLogError) -> Int64 {
        try await log.committedOffset(group: group, partition: partition)
    }
    func sourcePosition(_ source: String) async throws(EventLogError) -> Int64? {
        try await log.sourcePosition(source)
    }
    func endOffsets(of topic: String) async throws(EventLogError) -> [Int64] { try await log.endOffsets(of: topic) }
    func ages(of positions: [TopicPartition: Int64]) async throws(EventLogError) -> [TopicPartition: Duration] { [:] }
    func consumer(group: String, topics: [String]) async throws(EventLogError) -> any EventLogConsumer {
        try await log.consumer(group: group, topics: topics)
    }
    func enforceRetention(stored: [TopicPartition: Int64]) async throws(EventLogError) -> Int {
        try await log.enforceRetention(stored: stored)
    }
    func close() async { await log.close() }
}
