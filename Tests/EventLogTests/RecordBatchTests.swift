// SPDX-License-Identifier: Apache-2.0

import TestSupport
import Testing

@testable import EventLog

/// A record as values.
struct Record: Equatable, Sendable {
    var key: [UInt8]
    var value: [UInt8]

    init(_ key: String, _ value: String) {
        self.key = Array(key.utf8)
        self.value = Array(value.utf8)
    }

    init(key: [UInt8], value: [UInt8]) {
        self.key = key
        self.value = value
    }
}

extension RecordBatch {
    init(_ records: some Sequence<Record>) {
        self.init()
        for record in records {
            record.key.withUnsafeBytes { append(key: $0) { $0 += record.value } }
        }
    }

    /// The records, and the numbers that `forEach` gave them.
    var numbered: [(index: Int, record: Record)] {
        var records: [(Int, Record)] = []
        forEach { index, key, value in records.append((index, Record(key: Array(key), value: Array(value)))) }
        return records
    }

    var records: [Record] { numbered.map(\.record) }
}

private func randomRecords(_ count: Int, _ random: inout SeededRandom) -> [Record] {
    func bytes(_ random: inout SeededRandom) -> [UInt8] {
        (0..<Int.random(in: 0...20, using: &random)).map { _ in UInt8.random(in: 0...255, using: &random) }
    }
    return (0..<count).map { _ in Record(key: bytes(&random), value: bytes(&random)) }
}

struct RecordBatchTests {
    @Test func `records are walked in order, as they were appended`() {
        var random = SeededRandom()
        for count in [0, 1, 2, 100] {
            let records = randomRecords(count, &random)
            let batch = RecordBatch(records)
            #expect(batch.count == count && batch.isEmpty == (count == 0))
            #expect(batch.records == records, "seed \(random.seed)")
            #expect(batch.numbered.map(\.index) == Array(0..<count))
            #expect(RecordBatch(bytes: batch.bytes, count: count) == batch)
        }
    }

    @Test func `the layout is the one at the top of the file`() {
        var batch = RecordBatch()
        batch.append(key: "ab") { $0 += [7, 8, 9] }
        batch.append(key: "") { _ in }
        #expect(batch.bytes == [2, 0, 0, 0, 97, 98, 3, 0, 0, 0, 7, 8, 9, 0, 0, 0, 0, 0, 0, 0, 0])
    }

    @Test func `bytes that are not exactly so many records are no batch`() {
        var random = SeededRandom()
        let batch = RecordBatch(randomRecords(5, &random))
        for count in [0, 1, 4, 6, 1000] { #expect(RecordBatch(bytes: batch.bytes, count: count) == nil, "\(count)") }
        for length in 0..<batch.bytes.count {
            #expect(
                RecordBatch(bytes: Array(batch.bytes[..<length]), count: 5) == nil, "\(length), seed \(random.seed)")
        }
        #expect(RecordBatch(bytes: batch.bytes + [0], count: 5) == nil)
        #expect(RecordBatch(bytes: [255, 255, 255, 255, 0, 0, 0, 0], count: 1) == nil)
        #expect(RecordBatch(bytes: [], count: 0)?.isEmpty == true)
    }

    @Test func `without its first records a batch holds the rest`() {
        var random = SeededRandom()
        let records = randomRecords(20, &random)
        let batch = RecordBatch(records)
        for dropped in [-1, 0, 1, 7, 19, 20, 25] {
            let rest = batch.dropFirst(dropped)
            #expect(rest.records == Array(records.dropFirst(max(0, dropped))), "\(dropped), seed \(random.seed)")
            #expect(rest.count == max(0, 20 - max(0, dropped)))
            #expect(RecordBatch(bytes: rest.bytes, count: rest.count) == rest)
        }
    }

    @Test func `an emptied batch is used again`() {
        var batch = RecordBatch([Record("a", "1"), Record("b", "2")])
        batch.removeAll()
        #expect(batch.isEmpty && batch.bytes.isEmpty && batch.records.isEmpty)
        batch.append(key: "c") { $0 += [1] }
        #expect(batch.records == [Record(key: [99], value: [1])])
    }

    @Test func `an error ends the walk and comes out`() {
        struct Stop: Error, Equatable { var at: Int }
        let batch = RecordBatch((0..<5).map { Record("k", "\($0)") })
        var seen = 0
        #expect(throws: Stop(at: 2)) {
            try batch.forEach { (index, _, _) throws(Stop) in
                seen += 1
                if index == 2 { throw Stop(at: index) }
            }
        }
        #expect(seen == 3)
    }

    @Test func `a fetched batch ends where the next begins`() {
        let batch = RecordBatch([Record("a", "1"), Record("b", "2")])
        #expect(FetchedBatch(partition: TopicPartition("t", 0), baseOffset: 40, records: batch).nextOffset == 42)
        #expect(TopicPartition("trades", 3).description == "trades/3")
    }
}

struct PartitionTests {
    /// The vectors of Kafka's own UtilsTest.testMurmur2, and two made with it.
    static let vectors: [(String, Int32)] = [
        ("21", -973_932_308), ("foobar", -790_332_482), ("a-little-bit-long-string", -985_981_536),
        ("a-little-bit-longer-string", -1_486_304_829),
        ("lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8", -58_897_971), ("abc", 479_470_107),
    ]

    @Test(arguments: vectors)
    func `the hash is that of Kafka's Java client`(key: String, hash: Int32) {
        var key = key
        #expect(key.withUTF8 { Int32(bitPattern: murmur2(UnsafeRawBufferPointer($0))) } == hash)
    }

    @Test(arguments: vectors)
    func `the partition is the positive hash modulo the count`(key: String, hash: Int32) {
        for count in [1, 2, 3, 4, 7, 1024] {
            var key = key
            let partition = key.withUTF8 { partitionNumber(of: UnsafeRawBufferPointer($0), count: count) }
            #expect(partition == (hash & 0x7FFF_FFFF) % Int32(count))
        }
    }

    @Test func `every key has a partition, and many keys use all of them`() {
        for count in [1, 4, 16] {
            var used: Set<Int32> = []
            for number in 0..<1000 {
                var key = "symbol-\(number)"
                used.insert(key.withUTF8 { partitionNumber(of: UnsafeRawBufferPointer($0), count: count) })
            }
            #expect(used == Set(0..<Int32(count)))
        }
        #expect(
            partitionNumber(of: UnsafeRawBufferPointer(start: nil, count: 0), count: 4) == (0x106E_08D9 & 0x7FFF_FFFF)
                % 4)
    }
}
