// SPDX-License-Identifier: Apache-2.0

import CPowerLoss
import EventLog
import Foundation
import TestSupport
import Testing

/// What a power cut leaves of the SQLite log: every append that has returned, and of the one under way all or nothing.
@Suite(.serialized) struct PowerLossTests {
    private static let topic = "trades"
    private static let group = "readers"

    /// The `number`-th append, from 1: records in two partitions, a group's offset and a source's position.
    private static func make(_ number: Int) -> Append {
        // Some fill several pages of the file.
        let size = number % 4 == 0 ? 9000 : 40
        let record = Record(key: Array("k\(number)".utf8), value: [UInt8](repeating: UInt8(number), count: size))
        var whole = append([TopicPartition(topic, 0): [record], TopicPartition(topic, 1): [record, record]])
        whole.consumed = (group, [TopicPartition(topic, 0): Int64(number)])
        whole.sourcePosition = ("source", Int64(number))
        return whole
    }

    private static func open(_ folder: TemporaryFolder) async throws -> SQLiteEventLog {
        let log = try SQLiteEventLog(directory: folder.path)
        try await log.createTopics([TopicSettings(name: topic, partitions: 2, retention: .seconds(86_400))])
        return log
    }

    /// How many appends a log holds, after checking that it holds each of them whole, in every part and every byte.
    private static func wholeAppends(_ folder: TemporaryFolder, _ what: String) async throws -> Int {
        let log = try await open(folder)
        let ends = try await log.endOffsets(of: topic)
        let count = Int(ends[0])
        #expect(ends == [Int64(count), 2 * Int64(count)], "\(what)")
        let offset = try await log.committedOffset(group: group, partition: TopicPartition(topic, 0))
        #expect(offset == Int64(count), "\(what)")
        #expect(try await log.sourcePosition("source") ?? 0 == Int64(count), "\(what)")
        let consumer = try await log.consumer(group: "check", topics: [topic])
        _ = try await assignment(consumer)
        for number in [Int32(0), 1] { consumer.start(TopicPartition(topic, number), at: 0) }
        var seen = [0, 0]
        while case .records(let batches) = try await consumer.next(byteLimit: 1 << 20, wait: .zero) {
            for batch in batches {
                let partition = Int(batch.partition.partition)
                for (_, record) in batch.records.numbered {
                    seen[partition] += 1
                    let number = (seen[partition] + partition) / (partition + 1)
                    #expect(record.key == Array("k\(number)".utf8), "\(what)")
                    #expect(Set(record.value) == [UInt8(number)], "\(what)")
                }
            }
        }
        #expect(seen == [count, 2 * count], "\(what)")
        // It goes on from there.
        try await log.append(make(count + 1))
        #expect(try await log.endOffsets(of: topic)[0] == Int64(count) + 1, "\(what)")
        await consumer.close()
        await log.close()
        return count
    }

    /// SQLite documentation, file format, section 4.1: a header of 32 bytes, then frames of 24 bytes and a page.
    private static func frames(of wal: Data) -> [Int] {
        let page = wal[8..<12].reduce(0) { $0 << 8 | Int($1) }
        return Array(stride(from: 32, through: wal.count, by: 24 + page))
    }

    @Test func `a WAL that is cut or torn anywhere keeps what was committed before, and no half append`() async throws {
        let folder = try TemporaryFolder()
        let log = try await Self.open(folder)
        let walPath = folder.path + "/log.sqlite-wal"
        /// Bytes of the WAL when each append had returned.
        var lengths: [Int] = []
        for number in 1...8 {
            try await log.append(Self.make(number))
            lengths.append(try Data(contentsOf: URL(filePath: walPath)).count)
        }
        let database = try Data(contentsOf: URL(filePath: folder.path + "/log.sqlite"))
        let wal = try Data(contentsOf: URL(filePath: walPath))
        await log.close()

        var random = SeededRandom()
        var cuts: [(length: Int, tail: Data)] = []
        for boundary in Self.frames(of: wal) {
            cuts.append((boundary, Data()))
            let rest = wal.count - boundary
            if rest == 0 { continue }
            // In between: within the header of a frame, within its page; cut off, or followed by what is not it.
            cuts.append((boundary + Int.random(in: 1..<24, using: &random), Data()))
            let torn = boundary + Int.random(in: 24..<rest, using: &random)
            cuts.append((torn, Data(count: wal.count - torn)))
            cuts.append((boundary, Data((0..<rest).map { _ in UInt8.random(in: 0...255, using: &random) })))
        }
        #expect(cuts.count > 100)
        for (length, tail) in cuts {
            let copy = try TemporaryFolder()
            try database.write(to: URL(filePath: copy.path + "/log.sqlite"))
            try (wal[..<length] + tail).write(to: URL(filePath: copy.path + "/log.sqlite-wal"))
            let what = "the first \(length) bytes of \(wal.count), then \(tail.count) others; seed \(random.seed)"
            // The tables may not be there yet: then nothing is.
            let count = try await Self.wholeAppends(copy, what)
            #expect(count == lengths.count { $0 <= length }, "\(what)")
        }
    }

    @Test func `what was not synced may be lost or arrive in part, and no append that returned is`() async throws {
        var random = SeededRandom()
        let total = try await Self.play(cutAt: 0, &random)
        #expect(total > 60)
        var moments = Set<Int>()
        while moments.count < 60 { moments.insert(Int.random(in: 1...total, using: &random)) }
        for moment in moments.sorted() { _ = try await Self.play(cutAt: moment, &random) }
    }

    /// Appends, with a checkpoint between them, on a disk whose power is cut at the `moment`-th write or sync; then opens
    /// what is left. Returns how many writes and syncs there were.
    private static func play(cutAt moment: Int, _ random: inout SeededRandom) async throws -> Int {
        let folder = try TemporaryFolder()
        let path = folder.path + "/log.sqlite"
        try #require(power_loss_install(folder.path) == 0)
        power_loss_cut_at(moment)
        var returned = 0
        let log: SQLiteEventLog
        do {
            defer { power_loss_remove() }
            log = try await open(folder)
            for number in 1...12 {
                try await log.append(make(number))
                if moment == 0 || power_loss_events() < moment { returned = number }
                // The WAL goes into the database and begins afresh.
                if number % 5 == 0 { try folder.execute("PRAGMA wal_checkpoint(RESTART)") }
            }
        }
        let events = power_loss_events()
        let left = try TemporaryFolder()
        for suffix in ["", "-wal"] {
            try disk(path + suffix, &random)?.write(to: URL(filePath: left.path + "/log.sqlite" + suffix))
        }
        await log.close()
        let what = "power cut at \(moment) of \(events), seed \(random.seed)"
        let count = try await wholeAppends(left, what)
        #expect(count == returned || count == returned + 1, "\(what): \(count) appends, \(returned) had returned")
        return events
    }

    /// What a disk may hold of a file after a power cut: what was synced, and of each write since then each sector or not.
    private static func disk(_ path: String, _ random: inout SeededRandom) throws -> Data? {
        let synced = FileManager.default.contents(atPath: path + ".synced")
        let pending = FileManager.default.contents(atPath: path + ".pending") ?? Data()
        if synced == nil && pending.isEmpty { return nil }
        var content = [UInt8](synced ?? Data())
        var place = 0
        func number() -> Int {
            defer { place += 8 }
            return Int(pending[place..<place + 8].reversed().reduce(Int64(0)) { $0 << 8 | Int64($1) })
        }
        // Nothing of it, all of it, or any sectors.
        let share = [0, 100, 50].randomElement(using: &random)!
        while place < pending.count {
            let offset = number()
            let length = number()
            if length < 0 {
                if Int.random(in: 0..<100, using: &random) < share { content = Array(content.prefix(offset)) }
                continue
            }
            for start in stride(from: 0, to: length, by: 512) where Int.random(in: 0..<100, using: &random) < share {
                let end = min(start + 512, length)
                if content.count < offset + end {
                    content += [UInt8](repeating: 0, count: offset + end - content.count)
                }
                content.replaceSubrange(
                    offset + start..<offset + end, with: pending[place + start..<place + end])
            }
            place += length
        }
        return Data(content)
    }
}
