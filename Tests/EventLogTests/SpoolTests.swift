// SPDX-License-Identifier: Apache-2.0

import Foundation
import GRDB
import Testing

@testable import EventLog

struct SpoolTests {
    private func withFolder(_ body: (String) async throws -> Void) async throws {
        let folder = FileManager.default.temporaryDirectory.appending(path: "tapedeck-spool-\(UUID())").path
        try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(atPath: folder) }
        try await body(folder + "/spool.sqlite")
    }

    /// An append of `count` records of ten bytes, keys and lengths included, in two partitions.
    private func append(_ count: Int, position: Int64? = nil) -> Append {
        var append = Append()
        for number in 0..<count {
            let partition = TopicPartition("t", Int32(number % 2))
            append.batches[partition, default: RecordBatch()].append(key: "k") { $0.append(UInt8(number)) }
        }
        append.sourcePosition = position.map { ("venue", $0) }
        return append
    }

    @Test func `appends come out as they went in, oldest first, also after it was opened again`() async throws {
        try await withFolder { path in
            var spool: Spool? = try Spool(path: path, byteLimit: 1000)
            let first = try await spool!.put(append(3, position: 5))
            let second = try await spool!.put(append(2))
            #expect(try await spool!.put(append(0, position: 9)) != nil)
            #expect(spool!.content == .init(appends: 3, records: 5, bytes: 50))
            await spool!.close()
            spool = nil
            let again = try Spool(path: path, byteLimit: 1000)
            #expect(again.content == .init(appends: 3, records: 5, bytes: 50))
            #expect(try await again.position(of: "venue") == 9)
            #expect(try await again.position(of: "other") == nil)
            let oldest = try #require(try await again.first())
            #expect(oldest.id == first && oldest.append.batches == append(3).batches)
            #expect(oldest.append.sourcePosition?.source == "venue" && oldest.append.sourcePosition?.position == 5)
            #expect(try await again.remove(oldest.id) == 3)
            #expect(try await again.first()?.id == second)
            #expect(again.content == .init(appends: 2, records: 2, bytes: 20))
            // Nothing is counted twice.
            #expect(try await again.remove(oldest.id) == 0)
            #expect(again.content == .init(appends: 2, records: 2, bytes: 20))
        }
    }

    @Test func `it takes what fits and not a byte more, and events have a reserve`() async throws {
        try await withFolder { path in
            let spool = try Spool(path: path, byteLimit: 50)
            #expect(try await spool.put(append(4)) != nil)
            #expect(try await spool.put(append(2)) == nil)
            #expect(try await spool.put(append(1)) != nil)
            #expect(try await spool.put(append(1)) == nil)
            let number = try await spool.put(append(1), urgent: true)
            #expect(number != nil && spool.content.bytes == 60)
            let oldest = try #require(try await spool.first())
            try await spool.remove(oldest.id)
            #expect(try await spool.put(append(1)) != nil)
        }
    }

    @Test func `one at a time may have it`() async throws {
        try await withFolder { path in
            let spool = try Spool(path: path, byteLimit: 50)
            #expect(throws: EventLogError.self) { try Spool(path: path, byteLimit: 50) }
            await spool.close()
        }
        #expect(throws: EventLogError.self) { try Spool(path: "/nonexistent/spool.sqlite", byteLimit: 50) }
    }

    @Test func `what the disk has damaged is found out and can be taken out of the way`() async throws {
        try await withFolder { path in
            let spool = try Spool(path: path, byteLimit: 1000)
            _ = try await spool.put(append(2))
            _ = try await spool.put(append(1))
            let other = try DatabaseQueue(path: path)
            try await other.write { try $0.execute(sql: "UPDATE batches SET bytes = zeroblob(10) WHERE append_id = 1") }
            let error = await #expect(throws: EventLogError.self) { try await spool.first() }
            #expect(error?.code == .corrupt)
            let number = try #require(try await spool.firstNumber())
            #expect(try await spool.remove(number) == 2)
            #expect(try await spool.first()?.append.batches == append(1).batches)
        }
    }

    @Test func `the file is cut when what it held is gone`() async throws {
        try await withFolder { path in
            let spool = try Spool(path: path, byteLimit: 64 << 20)
            var large = Append()
            var batch = RecordBatch()
            batch.append(key: "k") { $0 += [UInt8](repeating: 1, count: 20 << 20) }
            large.batches[TopicPartition("t", 0)] = batch
            let number = try #require(try await spool.put(large))
            try await spool.remove(number)
            await spool.close()
            let size = try FileManager.default.attributesOfItem(atPath: path)[.size] as? Int ?? .max
            #expect(size < 1 << 20)
        }
    }
}
