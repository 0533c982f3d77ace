// SPDX-License-Identifier: Apache-2.0

import Foundation
import TestSupport
import Testing

@testable import EventLog

/// A folder that goes with the test.
final class TemporaryFolder: Sendable {
    let path: String

    init() throws {
        path = FileManager.default.temporaryDirectory.appending(path: "tapedeck-log-\(UUID())").path
        try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
    }

    deinit { try? FileManager.default.removeItem(atPath: path) }

    /// Runs a statement on the log's database, past the log.
    func execute(_ sql: String) throws {
        // SQLite is in this process already, through GRDB, but not a module that tests may import.
        typealias Open = @convention(c) (UnsafePointer<CChar>, UnsafeMutablePointer<OpaquePointer?>) -> CInt
        typealias Execute =
            @convention(c) (OpaquePointer?, UnsafePointer<CChar>, OpaquePointer?, OpaquePointer?, OpaquePointer?) ->
            CInt
        typealias Close = @convention(c) (OpaquePointer?) -> CInt
        let library = dlopen("libsqlite3.so.0", RTLD_NOW)
        let open = unsafeBitCast(try #require(dlsym(library, "sqlite3_open")), to: Open.self)
        let execute = unsafeBitCast(try #require(dlsym(library, "sqlite3_exec")), to: Execute.self)
        let close = unsafeBitCast(try #require(dlsym(library, "sqlite3_close")), to: Close.self)
        var database: OpaquePointer?
        try #require(open(path + "/log.sqlite", &database) == 0)
        defer { _ = close(database) }
        try #require(execute(database, "PRAGMA busy_timeout = 10000", nil, nil, nil) == 0)
        try #require(execute(database, sql, nil, nil, nil) == 0, "\(sql)")
    }
}

private let week = Duration.seconds(7 * 86_400)
private let p0 = TopicPartition("trades", 0)
private let p1 = TopicPartition("trades", 1)

/// A log with a topic `trades` of two partitions.
private func openLog(_ folder: TemporaryFolder, retention: Duration = week) async throws -> SQLiteEventLog {
    let log = try SQLiteEventLog(directory: folder.path)
    try await log.createTopics([TopicSettings(name: "trades", partitions: 2, retention: retention)])
    return log
}

/// Everything in a partition from `offset` on, with the offset of each record; `byteLimit` in each step.
private func readAll(
    _ log: SQLiteEventLog, _ partition: TopicPartition, from offset: Int64 = 0, byteLimit: Int = 1 << 20
) async throws -> [(offset: Int64, record: Record)] {
    let consumer = try await log.consumer(group: "readers", topics: [partition.topic])
    guard case .assigned = try await consumer.next(byteLimit: byteLimit, wait: .zero) else {
        Issue.record("the first event is no assignment")
        return []
    }
    consumer.start(partition, at: offset)
    var all: [(Int64, Record)] = []
    while case .records(let batches) = try await consumer.next(byteLimit: byteLimit, wait: .zero) {
        for batch in batches {
            #expect(batch.partition == partition)
            for (index, record) in batch.records.numbered { all.append((batch.baseOffset + Int64(index), record)) }
        }
    }
    await consumer.close()
    return all
}

struct SQLiteEventLogTests {
    // MARK: Appending

    @Test func `appends number the records of each partition from zero, without gaps`() async throws {
        let folder = try TemporaryFolder()
        let log = try await openLog(folder)
        try await log.append(append([p0: numbered(0..<3), p1: numbered(0..<1, "w")]))
        try await log.append(append([p0: numbered(3..<4)]))
        try await log.append(append([p0: numbered(4..<9), p1: numbered(1..<4, "w")]))
        try await log.append(append([p0: []]))
        #expect(try await log.endOffsets(of: "trades") == [9, 4])
        let first = try await readAll(log, p0)
        #expect(first.map(\.offset) == Array(0..<9))
        #expect(first.map(\.record) == numbered(0..<9))
        let second = try await readAll(log, p1)
        #expect(second.map(\.offset) == Array(0..<4))
        #expect(second.map(\.record) == numbered(0..<4, "w"))
        await log.close()
    }

    @Test func `an append that fails leaves nothing behind`() async throws {
        let folder = try TemporaryFolder()
        let log = try await openLog(folder)
        var bad = append([p0: numbered(0..<3), p1: numbered(0..<3), TopicPartition("none", 0): numbered(0..<1)])
        bad.consumed = ("g", [p0: 7])
        bad.sourcePosition = ("s", 7)
        await #expect(throws: EventLogError.self) { try await log.append(bad) }
        // Offsets that name an unknown topic undo the records, too.
        var worse = append([p0: numbered(0..<3)])
        worse.consumed = ("g", [TopicPartition("none", 0): 7])
        await #expect(throws: EventLogError.self) { try await log.append(worse) }
        #expect(try await log.endOffsets(of: "trades") == [0, 0])
        #expect(try await readAll(log, p0).isEmpty)
        #expect(try await log.committedOffset(group: "g", partition: p0) == 0)
        #expect(try await log.sourcePosition("s") == nil)
        await log.close()
    }

    // MARK: Reading

    @Test func `reading begins anywhere, in the middle of a batch too`() async throws {
        let folder = try TemporaryFolder()
        let log = try await openLog(folder)
        for range in [0..<4, 4..<5, 5..<15, 15..<17] { try await log.append(append([p0: numbered(range)])) }
        for offset in 0..<20 {
            for byteLimit in [1, 60, 1 << 20] {
                let read = try await readAll(log, p0, from: Int64(offset), byteLimit: byteLimit)
                let expected = Array(numbered(0..<17).dropFirst(offset))
                #expect(read.map(\.record) == expected, "from \(offset), limit \(byteLimit)")
                #expect(read.map(\.offset) == Array(Int64(min(offset, 17))..<17), "from \(offset), limit \(byteLimit)")
            }
        }
        await log.close()
    }

    @Test func `the byte limit is kept to whole batches, and shared by the partitions`() async throws {
        let folder = try TemporaryFolder()
        let log = try await openLog(folder)
        let big = [Record(key: [], value: Array(repeating: 1, count: 992))]  // 1000 bytes with its lengths
        for _ in 0..<10 { try await log.append(append([p0: big, p1: big])) }
        let consumer = try await log.consumer(group: "g", topics: ["trades"])
        _ = try await consumer.next(byteLimit: 1, wait: .zero)
        consumer.start(p0, at: 0)
        consumer.start(p1, at: 0)
        // A limit below one batch still gives one of each partition.
        for (limit, batchesOfEach) in [(1, 1), (2000, 1), (4000, 2), (4002, 3)] {
            guard case .records(let batches) = try await consumer.next(byteLimit: limit, wait: .zero) else {
                Issue.record("nothing came")
                continue
            }
            #expect(batches.count { $0.partition == p0 } == batchesOfEach, "limit \(limit)")
            #expect(batches.count { $0.partition == p1 } == batchesOfEach, "limit \(limit)")
        }
        await log.close()
    }

    @Test func `a consumer is told its partitions first, reads nothing before it starts them, and idles at the end`()
        async throws
    {
        let folder = try TemporaryFolder()
        let log = try await openLog(folder)
        try await log.createTopics([TopicSettings(name: "other", partitions: 1, retention: week)])
        try await log.append(
            append([p0: numbered(0..<2), p1: numbered(0..<2), TopicPartition("other", 0): numbered(0..<1)]))
        let consumer = try await log.consumer(group: "g", topics: ["trades", "other"])
        guard case .assigned(let partitions) = try await consumer.next(byteLimit: 1000, wait: .zero) else {
            Issue.record("no assignment")
            return
        }
        #expect(partitions == [p0, p1, TopicPartition("other", 0)])
        guard case .idle = try await consumer.next(byteLimit: 1000, wait: .zero) else {
            Issue.record("records of a partition that was not started")
            return
        }
        consumer.start(p1, at: 1)
        guard case .records(let batches) = try await consumer.next(byteLimit: 1000, wait: .zero) else {
            Issue.record("no records")
            return
        }
        #expect(batches.map(\.partition) == [p1] && batches[0].baseOffset == 1)
        #expect(batches.flatMap { $0.records.records } == numbered(1..<2))
        guard case .idle = try await consumer.next(byteLimit: 1000, wait: .milliseconds(1)) else {
            Issue.record("not idle")
            return
        }
        // Started again, it reads from there.
        consumer.start(p1, at: 0)
        guard case .records(let again) = try await consumer.next(byteLimit: 1000, wait: .zero) else {
            Issue.record("no records")
            return
        }
        #expect(again.flatMap { $0.records.records } == numbered(0..<2))
        await log.close()
    }

    @Test(.timeLimit(.minutes(1)))
    func `a consumer that waits is woken by an append of this process and finds one of another`() async throws {
        let folder = try TemporaryFolder()
        let log = try await openLog(folder)
        let other = try SQLiteEventLog(directory: folder.path)
        let consumer = try await log.consumer(group: "g", topics: ["trades"])
        _ = try await consumer.next(byteLimit: 1000, wait: .zero)
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
        await other.close()
        await log.close()
    }

    @Test(.timeLimit(.minutes(1)))
    func `a wait ends at its time, however short it is`() async {
        // The timer may fire before the waiter is there: then nobody would wake it.
        let signal = AppendSignal()
        await withTaskGroup(of: Void.self) { group in
            for _ in 0..<8 {
                group.addTask { for _ in 0..<10_000 { await signal.wait(beyond: 0, atMost: .zero) } }
            }
        }
        #expect(signal.appends == 0)
    }

    @Test(.timeLimit(.minutes(1)))
    func `a wait ends when its task is cancelled, before or after it begins`() async {
        let signal = AppendSignal()
        for round in 0..<2000 {
            let task = Task { await signal.wait(beyond: 0, atMost: .seconds(3600)) }
            if round % 2 == 0 { await Task.yield() }
            task.cancel()
            await task.value
        }
        #expect(signal.appends == 0)
    }

    @Test(.timeLimit(.minutes(1)))
    func `an append between looking and waiting is not missed`() async {
        let signal = AppendSignal()
        for _ in 0..<2000 {
            let seen = signal.appends
            async let sent: Void = signal.send()
            await signal.wait(beyond: seen, atMost: .seconds(3600))
            await sent
        }
        #expect(signal.appends == 2000)
    }

    // MARK: Durability

    @Test func `a log that is opened again holds everything`() async throws {
        let folder = try TemporaryFolder()
        var log = try await openLog(folder)
        var made = append([p0: numbered(0..<3), p1: numbered(0..<2)])
        made.consumed = ("g", [p0: 2])
        made.sourcePosition = ("s", 11)
        try await log.append(made)
        await log.close()
        for round in 1...3 {
            log = try SQLiteEventLog(directory: folder.path)
            #expect(try await log.partitionCount(of: "trades") == 2)
            #expect(try await log.committedOffset(group: "g", partition: p0) == 2)
            #expect(try await log.sourcePosition("s") == 11)
            try await log.append(append([p0: numbered(2 + round..<3 + round)]))
            #expect(try await readAll(log, p0).map(\.record) == numbered(0..<3 + round))
            #expect(try await log.endOffsets(of: "trades") == [Int64(3 + round), 2])
            await log.close()
        }
    }

    @Test(.timeLimit(.minutes(2)))
    func `writers that take turns on one folder leave no gap and see each other's records`() async throws {
        let folder = try TemporaryFolder()
        let logs = [try await openLog(folder), try SQLiteEventLog(directory: folder.path)]
        let rounds = 60
        try await withThrowingTaskGroup(of: Void.self) { group in
            for (writer, log) in logs.enumerated() {
                group.addTask {
                    for round in 0..<rounds {
                        let records = (0..<(round % 5 + 1)).map { Record("\(writer)", "\(round).\($0)") }
                        try await log.append(append([p0: records, p1: [Record("\(writer)", "\(round)")]]))
                    }
                }
            }
            try await group.waitForAll()
        }
        let total = 2 * (0..<rounds).reduce(0) { $0 + $1 % 5 + 1 }
        for log in logs {
            #expect(try await log.endOffsets(of: "trades") == [Int64(total), Int64(2 * rounds)])
            let read = try await readAll(log, p0)
            #expect(read.map(\.offset) == Array(0..<Int64(total)))
            for writer in 0..<2 {
                let own = read.map(\.record).filter { $0.key == Array("\(writer)".utf8) }
                let expected = (0..<rounds).flatMap { round in
                    (0..<(round % 5 + 1)).map { Record("\(writer)", "\(round).\($0)") }
                }
                #expect(own == expected, "writer \(writer)")
            }
        }
        for log in logs { await log.close() }
    }

    @Test(.timeLimit(.minutes(1)))
    func `several may open a new folder at once`() async throws {
        for _ in 0..<5 {
            let folder = try TemporaryFolder()
            try await withThrowingTaskGroup(of: Void.self) { group in
                for _ in 0..<4 {
                    group.addTask {
                        let log = try await openLog(folder)
                        try await log.append(append([p0: numbered(0..<1)]))
                        await log.close()
                    }
                }
                try await group.waitForAll()
            }
            let log = try SQLiteEventLog(directory: folder.path)
            #expect(try await log.endOffsets(of: "trades") == [4, 0])
            await log.close()
        }
    }

    // MARK: Damage

    static let damages: [(String, String)] = [
        ("a flipped byte", "bytes = CAST(substr(bytes, 1, 9) || x'FF' || substr(bytes, 11) AS BLOB)"),
        ("a cut", "bytes = substr(bytes, 1, length(bytes) - 1)"),
        ("a wrong checksum", "crc = crc + 1"),
        ("a wrong count", "count = count + 1"),
        ("nothing", "bytes = x''"),
    ]

    @Test(arguments: damages)
    func `damage is told with its partition and offset, and what stands before it is read`(
        name: String, assignment: String
    ) async throws {
        let folder = try TemporaryFolder()
        let log = try await openLog(folder)
        try await log.append(append([p1: numbered(0..<3)]))
        try await log.append(append([p1: numbered(3..<8)]))
        try await log.append(append([p1: numbered(8..<9)]))
        try folder.execute("UPDATE batches SET \(assignment) WHERE base_offset = 3")
        let consumer = try await log.consumer(group: "g", topics: ["trades"])
        _ = try await consumer.next(byteLimit: 1, wait: .zero)
        consumer.start(p1, at: 0)
        guard case .records(let batches) = try await consumer.next(byteLimit: 1, wait: .zero) else {
            Issue.record("nothing was read")
            return
        }
        #expect(batches.flatMap { $0.records.records } == numbered(0..<3))
        for _ in 0..<2 {
            let error = await #expect(throws: EventLogError.self) {
                _ = try await consumer.next(byteLimit: 1, wait: .zero)
            }
            #expect(error?.code == .corrupt)
            #expect(error?.isRetriable == false)
            #expect(
                error?.message == """
                    the batch at offset 3 of trades/1 is damaged (its checksum does not match); restore the log from a \
                    copy, or move the data folder away and load the tape again
                    """)
        }
        // The records after it can be read by who asks for them.
        #expect(try await readAll(log, p1, from: 8).map(\.record) == numbered(8..<9))
        await log.close()
    }

    @Test func `a file that is no database is refused with its name`() throws {
        let folder = try TemporaryFolder()
        try Data(repeating: 0x41, count: 8192).write(to: URL(filePath: folder.path + "/log.sqlite"))
        let error = #expect(throws: EventLogError.self) { _ = try SQLiteEventLog(directory: folder.path) }
        #expect(error?.code == .unavailable)
        #expect(error?.message.hasPrefix("cannot open \(folder.path)/log.sqlite: ") == true)
        let missing = #expect(throws: EventLogError.self) {
            _ = try SQLiteEventLog(directory: folder.path + "/no/such")
        }
        #expect(missing?.code == .unavailable)
    }

    // MARK: Retention

    /// Lets `group` have consumed a partition up to `offset`.
    private func commit(_ group: String, _ offsets: [TopicPartition: Int64], _ log: SQLiteEventLog) async throws {
        var append = Append()
        append.consumed = (group, offsets)
        try await log.append(append)
    }

    @Test func `what is older than its topic's retention goes, and offsets stay`() async throws {
        let folder = try TemporaryFolder()
        let log = try await openLog(folder, retention: .seconds(100))
        try await log.createTopics([TopicSettings(name: "kept", partitions: 1, retention: .seconds(10_000))])
        let kept = TopicPartition("kept", 0)
        try await log.append(append([p0: numbered(0..<3), p1: numbered(0..<2), kept: numbered(0..<2)]))
        try await log.append(append([p0: numbered(3..<5)]))
        try folder.execute("UPDATE batches SET appended_at = appended_at - 200")
        try await log.append(append([p0: numbered(5..<9)]))
        try await commit("g", [p0: 9, kept: 2], log)
        #expect(try await log.enforceRetention(stored: [p1: 2]) == 7)
        #expect(try await log.enforceRetention(stored: [p1: 2]) == 0)

        #expect(try await log.endOffsets(of: "trades") == [9, 2])
        #expect(try await readAll(log, kept).map(\.record) == numbered(0..<2))
        // An offset that retention has passed starts at the oldest record there is.
        for offset in [Int64(0), 3, 4, 5] {
            let read = try await readAll(log, p0, from: offset)
            #expect(read.map(\.offset) == [5, 6, 7, 8], "from \(offset)")
            #expect(read.map(\.record) == numbered(5..<9), "from \(offset)")
        }
        // A partition that has been emptied goes on where it was.
        #expect(try await readAll(log, p1).isEmpty)
        try await log.append(append([p1: numbered(2..<3)]))
        #expect(try await readAll(log, p1).map(\.offset) == [2])
        await log.close()
    }

    @Test func `what has not been consumed by all that read it is kept, however old`() async throws {
        let folder = try TemporaryFolder()
        let log = try await openLog(folder, retention: .seconds(100))
        for range in [0..<2, 2..<5, 5..<6] { try await log.append(append([p0: numbered(range), p1: numbered(range)])) }
        try folder.execute("UPDATE batches SET appended_at = appended_at - 200")
        // Nobody reads it: nothing goes.
        #expect(try await log.enforceRetention(stored: [:]) == 0)
        // A batch goes whole, once its last record is consumed.
        try await commit("g", [p0: 4], log)
        #expect(try await log.enforceRetention(stored: [:]) == 2)
        #expect(try await readAll(log, p0).map(\.offset) == [2, 3, 4, 5])
        // The slowest decides: another group, or the store.
        try await commit("g", [p0: 6], log)
        try await commit("h", [p0: 2], log)
        #expect(try await log.enforceRetention(stored: [:]) == 0)
        try await commit("h", [p0: 6], log)
        #expect(try await log.enforceRetention(stored: [p0: 2]) == 0)
        #expect(try await log.enforceRetention(stored: [p0: 5]) == 3)
        #expect(try await log.enforceRetention(stored: [p0: 6]) == 1)
        // The other partition was none of theirs.
        #expect(try await readAll(log, p1).map(\.record) == numbered(0..<6))
        await log.close()
    }

    @Test func `a record is kept for the whole of its retention`() async throws {
        let folder = try TemporaryFolder()
        let log = try await openLog(folder, retention: .seconds(1000))
        try await log.append(append([p0: numbered(0..<1)]))
        try folder.execute("UPDATE batches SET appended_at = unixepoch() - 900")
        #expect(try await log.enforceRetention(stored: [p0: 1]) == 0)
        // A shorter one takes effect when the topic is created again with it.
        try await log.createTopics([TopicSettings(name: "trades", partitions: 2, retention: .seconds(800))])
        #expect(try await log.enforceRetention(stored: [p0: 1]) == 1)
        await log.close()
    }

    // MARK: Groups

    /// Whether the next event is an assignment.
    private func isAssigned(_ consumer: any EventLogConsumer) async throws -> Bool {
        if case .assigned = try await consumer.next(byteLimit: 1, wait: .milliseconds(1)) { true } else { false }
    }

    @Test func `a group has one member at a time, and the next takes over when it goes`() async throws {
        let folder = try TemporaryFolder()
        let log = try await openLog(folder)
        let other = try SQLiteEventLog(directory: folder.path)
        let first = try await log.consumer(group: "g", topics: ["trades"])
        let second = try await log.consumer(group: "g", topics: ["trades"])
        let third = try await other.consumer(group: "g", topics: ["trades"])
        let stranger = try await other.consumer(group: "h", topics: ["trades"])
        #expect(try await isAssigned(first))
        #expect(try await !isAssigned(second))
        #expect(try await !isAssigned(third))
        #expect(try await isAssigned(stranger))
        await first.close()
        #expect(try await isAssigned(third))
        #expect(try await !isAssigned(second))
        await third.close()
        #expect(try await isAssigned(second))
        for log in [log, other] { await log.close() }
    }
}
