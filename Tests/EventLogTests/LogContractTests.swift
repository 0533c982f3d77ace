// SPDX-License-Identifier: Apache-2.0

import EventLog
import Foundation
import TestSupport
import Testing

/// What every engine of the log promises.
@Suite struct LogContractTests {
    // MARK: Topics

    @Test(arguments: Engine.allCases)
    func `topics are created once and keep their partitions`(engine: Engine) async throws {
        let fixture = try LogFixture(engine)
        let log = try await fixture.open()
        let topic = try await fixture.createTopic("trades", partitions: 2, log)
        #expect(try await log.partitionCount(of: topic) == 2)
        try await log.append(append([TopicPartition(topic, 1): numbered(0..<3)]))
        try await log.createTopics([TopicSettings(name: topic, partitions: 9, retention: .seconds(86_400))])
        #expect(try await log.partitionCount(of: topic) == 2)
        #expect(try await log.endOffsets(of: topic) == [0, 3])
        await log.close()
    }

    @Test(arguments: Engine.allCases)
    func `a topic that does not exist is named in the error, whatever is asked of it`(engine: Engine) async throws {
        let fixture = try LogFixture(engine)
        let log = try await fixture.open()
        let topic = try await fixture.createTopic("trades", partitions: 2, log)
        let missing = TopicPartition("quotes", 0)
        let calls: [(String, () async throws -> Void)] = [
            ("count", { _ = try await log.partitionCount(of: "quotes") }),
            ("append", { try await log.append(append([missing: numbered(0..<1)])) }),
            ("committed", { _ = try await log.committedOffset(group: "g", partition: missing) }),
            ("ends", { _ = try await log.endOffsets(of: "quotes") }),
            ("consumer", { _ = try await log.consumer(group: "g", topics: [topic, "quotes"]) }),
        ]
        for (name, call) in calls {
            let error = await #expect(throws: EventLogError.self, "\(name)") { try await call() }
            #expect(error?.code == .unknownTopic, "\(name)")
            #expect(error?.isRetriable == false, "\(name)")
            #expect(error?.description == "event log: there is no topic quotes: create it first", "\(name)")
        }
        for number in [Int32(-1), 2, .max] {
            let error = await #expect(throws: EventLogError.self) {
                try await log.append(append([TopicPartition(topic, number): numbered(0..<1)]))
            }
            #expect(error?.code == .unknownTopic)
            #expect(error?.message == "topic \(topic) has no partition \(number)")
        }
        await log.close()
    }

    @Test(arguments: Engine.allCases)
    func `what waits is as old as the first record that is left, and nothing is where none is`(engine: Engine)
        async throws
    {
        let fixture = try LogFixture(engine)
        let log = try await fixture.open()
        let topic = try await fixture.createTopic("trades", partitions: 3, log)
        let (first, second) = (TopicPartition(topic, 0), TopicPartition(topic, 1))
        let begun = ContinuousClock.now
        try await log.append(append([first: numbered(0..<3), second: numbered(0..<2)]))
        try await Task.sleep(for: .milliseconds(2100))
        try await log.append(append([first: numbered(3..<5)]))
        let newer = try await log.ages(of: [first: 3, second: 1])
        let ages = try await log.ages(of: [first: 2, second: 2, TopicPartition(topic, 2): 0])
        // To the second, by another clock than this one.
        let longest = ContinuousClock.now - begun + .seconds(1)
        #expect(ages.keys.map(\.partition) == [0])
        #expect(ages[first].map { (.seconds(2)...longest).contains($0) } == true, "\(ages)")
        #expect(newer.count == 2 && newer[first, default: longest] < ages[first, default: .zero], "\(newer), \(ages)")
        #expect(try await log.ages(of: [:]) == [:])
        await log.close()
    }

    // MARK: Records

    @Test(arguments: Engine.allCases)
    func `records of any bytes come back as they were, numbered from zero without gaps`(engine: Engine) async throws {
        let fixture = try LogFixture(engine)
        let log = try await fixture.open()
        let topic = try await fixture.createTopic("trades", partitions: 2, log)
        let partition = TopicPartition(topic, 0)
        var random = SeededRandom()
        func bytes(_ range: ClosedRange<Int>) -> [UInt8] {
            (0..<Int.random(in: range, using: &random)).map { _ in UInt8.random(in: 0...255, using: &random) }
        }
        var expected: [Record] = []
        for round in 0..<20 {
            let records = (0..<Int.random(in: 1...30, using: &random)).map { _ in
                Record(key: bytes(0...12), value: bytes(0...300))
            }
            expected += records
            try await log.append(append([partition: records, TopicPartition(topic, 1): numbered(round..<round + 1)]))
        }
        #expect(try await log.endOffsets(of: topic) == [Int64(expected.count), 20])
        let consumer = try await log.consumer(group: fixture.name("g"), topics: [topic])
        _ = try await assignment(consumer)
        consumer.start(partition, at: 0)
        let all = try await read(expected.count, of: partition, consumer)
        #expect(all.map(\.offset) == Array(0..<Int64(expected.count)), "seed \(random.seed)")
        #expect(all.map(\.record) == expected, "seed \(random.seed)")
        await consumer.close()
        await log.close()
    }

    @Test(arguments: Engine.allCases)
    func `an append that returned is there when the log is opened again`(engine: Engine) async throws {
        let fixture = try LogFixture(engine)
        var log = try await fixture.open()
        let topic = try await fixture.createTopic("trades", partitions: 1, log)
        var made = append([TopicPartition(topic, 0): numbered(0..<5)])
        made.consumed = (fixture.name("g"), [TopicPartition(topic, 0): 3])
        made.sourcePosition = (fixture.name("tape"), 5)
        try await log.append(made)
        let identity = log.identity
        await log.close()
        log = try await fixture.open()
        #expect(log.identity == identity && !identity.isEmpty)
        #expect(try await log.endOffsets(of: topic) == [5])
        #expect(
            try await log.committedOffset(group: fixture.name("g"), partition: TopicPartition(topic, 0)) == 3)
        #expect(try await log.sourcePosition(fixture.name("tape")) == 5)
        await log.close()
    }

    @Test(arguments: Engine.allCases)
    func `an append of a cancelled task reaches the log`(engine: Engine) async throws {
        let fixture = try LogFixture(engine)
        let log = try await fixture.open()
        let topic = try await fixture.createTopic("trades", partitions: 1, log)
        let task = Task {
            withUnsafeCurrentTask { $0?.cancel() }
            #expect(Task.isCancelled)
            try await log.append(append([TopicPartition(topic, 0): numbered(0..<3)]))
        }
        try await task.value
        #expect(try await log.endOffsets(of: topic) == [3])
        await log.close()
    }

    @Test(arguments: Engine.allCases)
    func `what is appended is counted`(engine: Engine) async throws {
        let fixture = try LogFixture(engine)
        let log = try await fixture.open()
        let topic = try await fixture.createTopic("trades", partitions: 2, log)
        let batches = [TopicPartition(topic, 0): numbered(0..<3), TopicPartition(topic, 1): numbered(0..<2)]
        try await log.append(append(batches))
        _ = try? await log.append(append([TopicPartition(topic, 7): numbered(0..<1)]))
        let statistics = log.statistics
        #expect(statistics.appends == 1 && statistics.records == 5)
        #expect(statistics.bytes == append(batches).batches.values.reduce(0) { $0 + Int64($1.bytes.count) })
        #expect(statistics.appendTime > .zero)
        await log.close()
    }

    // MARK: Offsets and positions

    @Test(arguments: Engine.allCases)
    func `a group's offsets move with the append that was made from what it consumed`(engine: Engine) async throws {
        let fixture = try LogFixture(engine)
        let log = try await fixture.open()
        let topic = try await fixture.createTopic("trades", partitions: 2, log)
        let (p0, p1) = (TopicPartition(topic, 0), TopicPartition(topic, 1))
        let group = fixture.name("g")
        #expect(try await log.committedOffset(group: group, partition: p0) == 0)
        var made = append([p1: numbered(0..<2)])
        made.consumed = (group, [p0: 5, p1: 1])
        try await log.append(made)
        #expect(try await log.committedOffset(group: group, partition: p0) == 5)
        #expect(try await log.committedOffset(group: group, partition: p1) == 1)
        #expect(try await log.committedOffset(group: fixture.name("h"), partition: p0) == 0)
        // Without records, too; and back, as a reader that starts over asks.
        var only = Append()
        only.consumed = (group, [p0: 3])
        try await log.append(only)
        #expect(try await log.committedOffset(group: group, partition: p0) == 3)
        #expect(try await log.committedOffset(group: group, partition: p1) == 1)
        await log.close()
    }

    @Test(arguments: Engine.allCases)
    func `a source's position is the last one appended`(engine: Engine) async throws {
        let fixture = try LogFixture(engine)
        let log = try await fixture.open()
        let topic = try await fixture.createTopic("trades", partitions: 1, log)
        let source = fixture.name("replay:a.csv")
        #expect(try await log.sourcePosition(source) == nil)
        for position in [Int64(3), 9, 4, 0] {
            var played = append([TopicPartition(topic, 0): numbered(0..<1)])
            played.sourcePosition = (source, position)
            try await log.append(played)
            #expect(try await log.sourcePosition(source) == position)
        }
        #expect(try await log.sourcePosition(fixture.name("replay:b.csv")) == nil)
        await log.close()
    }

    // MARK: Consumers

    @Test(arguments: Engine.allCases)
    func `a consumer is told its partitions, reads from where it is told, and nothing of the others`(
        engine: Engine
    ) async throws {
        let fixture = try LogFixture(engine)
        let log = try await fixture.open()
        let topic = try await fixture.createTopic("trades", partitions: 2, log)
        let other = try await fixture.createTopic("other", partitions: 1, log)
        let (p0, p1) = (TopicPartition(topic, 0), TopicPartition(topic, 1))
        for range in [0..<4, 4..<5, 5..<15, 15..<17] {
            try await log.append(append([p0: numbered(range), p1: numbered(range, "w")]))
        }
        let consumer = try await log.consumer(group: fixture.name("g"), topics: [topic, other])
        #expect(Set(try await assignment(consumer)) == [p0, p1, TopicPartition(other, 0)])
        for _ in 0..<3 {
            guard case .idle = try await consumer.next(byteLimit: 1000, wait: .milliseconds(100)) else {
                Issue.record("records of a partition that was not started")
                return
            }
        }
        // Forwards and backwards, into the middle of a batch, past the end.
        for offset in [Int64(16), 0, 5, 7, 0] {
            consumer.start(p1, at: offset)
            let expected = Array(numbered(0..<17, "w").dropFirst(Int(offset)))
            let all = try await read(expected.count, of: p1, consumer)
            #expect(all.map(\.offset) == Array(offset..<17), "from \(offset)")
            #expect(all.map(\.record) == expected, "from \(offset)")
        }
        guard case .idle = try await consumer.next(byteLimit: 1000, wait: .milliseconds(1)) else {
            Issue.record("not idle")
            return
        }
        consumer.start(p0, at: 2)
        #expect(try await read(15, of: p0, consumer, byteLimit: 1).map(\.record) == Array(numbered(2..<17)))
        await consumer.close()
        await log.close()
    }

    @Test(.timeLimit(.minutes(1)), arguments: Engine.allCases)
    func `a consumer that waits finds what this process and another append`(engine: Engine) async throws {
        let fixture = try LogFixture(engine)
        let log = try await fixture.open()
        let topic = try await fixture.createTopic("trades", partitions: 1, log)
        let p0 = TopicPartition(topic, 0)
        let other = try await fixture.open()
        let consumer = try await log.consumer(group: fixture.name("g"), topics: [topic])
        _ = try await assignment(consumer)
        consumer.start(p0, at: 0)
        for (number, writer) in [log, other].enumerated() {
            let records = numbered(number..<number + 1)
            async let appended: Void = writer.append(append([p0: records]))
            guard case .records(let batches) = try await consumer.next(byteLimit: 1000, wait: .seconds(50)) else {
                Issue.record("writer \(number): nothing came")
                return
            }
            #expect(batches.flatMap { $0.records.records } == records)
            try await appended
        }
        await consumer.close()
        for log in [log, other] { await log.close() }
    }

    @Test(.timeLimit(.minutes(2)), arguments: Engine.allCases)
    func `when a member of a group goes, another goes on where it committed`(engine: Engine) async throws {
        let fixture = try LogFixture(engine)
        let log = try await fixture.open()
        let topic = try await fixture.createTopic("trades", partitions: 1, log)
        let p0 = TopicPartition(topic, 0)
        let other = try await fixture.open()
        let group = fixture.name("g")
        try await log.append(append([p0: numbered(0..<10)]))
        let first = try await log.consumer(group: group, topics: [topic])
        #expect(try await assignment(first) == [p0])
        first.start(p0, at: try await log.committedOffset(group: group, partition: p0))
        #expect(try await read(10, of: p0, first).count == 10)
        var done = Append()
        done.consumed = (group, [p0: 6])
        try await log.append(done)
        await first.close()
        let second = try await other.consumer(group: group, topics: [topic])
        #expect(try await assignment(second) == [p0])
        let offset = try await other.committedOffset(group: group, partition: p0)
        #expect(offset == 6)
        second.start(p0, at: offset)
        #expect(try await read(4, of: p0, second).map(\.record) == numbered(6..<10))
        await second.close()
        for log in [log, other] { await log.close() }
    }

    @Test(arguments: Engine.allCases)
    func `a closed log says so`(engine: Engine) async throws {
        let fixture = try LogFixture(engine)
        let log = try await fixture.open()
        let topic = try await fixture.createTopic("trades", partitions: 1, log)
        await log.close()
        let write = await #expect(throws: EventLogError.self) {
            try await log.append(append([TopicPartition(topic, 0): numbered(0..<1)]))
        }
        #expect(write?.code == .closed)
        let ends = await #expect(throws: EventLogError.self) { _ = try await log.endOffsets(of: topic) }
        #expect(ends?.code == .closed)
        #expect(ends?.isRetriable == false)
    }
}
