// SPDX-License-Identifier: Apache-2.0

import Market
import Records
import TestSupport
import Testing

@testable import Processor

extension Interner {
    fileprivate mutating func id(_ bytes: [UInt8]) -> ID { bytes.withUnsafeBytes { id(of: $0) } }
    fileprivate mutating func id(_ text: String) -> ID { id(Array(text.utf8)) }
}

struct InternerTests {
    @Test func `equal strings have one number, others another, in the order of first sight`() {
        var interner = Interner()
        let names = ["AAPL", "", "A", "AA", "A\0", "\0", "\0\0", "AAPLAAPL", "AAPLAAPL1", "é"]
        for (index, name) in names.enumerated() { #expect(interner.id(name) == Interner.ID(index), "\(name)") }
        for (index, name) in names.enumerated().reversed() {
            #expect(interner.id(name) == Interner.ID(index), "\(name)")
        }
        #expect(interner.count == names.count)
        for (index, name) in names.enumerated() {
            #expect(interner.string(of: Interner.ID(index)) == name)
            #expect(interner.withBytes(of: Interner.ID(index)) { Array($0) } == Array(name.utf8))
        }
    }

    @Test func `a hundred thousand strings stay apart while the table grows`() {
        var random = SeededRandom()
        var interner = Interner()
        var known: [[UInt8]: Interner.ID] = [:]
        for _ in 0..<150_000 {
            // Short alphabets and lengths: many repeats, many neighbours, all lengths around the eight-byte steps.
            let length = Int.random(in: 0...20, using: &random)
            let bytes = (0..<length).map { _ in UInt8.random(in: 0...3, using: &random) }
            let id = interner.id(bytes)
            if let expected = known[bytes] {
                if id != expected { Issue.record("\(bytes) is \(id), was \(expected), seed \(random.seed)") }
            } else {
                if id != Interner.ID(known.count) {
                    Issue.record("\(bytes) is \(id) at first sight, seed \(random.seed)")
                }
                known[bytes] = id
            }
        }
        #expect(interner.count == known.count && known.count > 100_000, "seed \(random.seed)")
        for (bytes, id) in known where interner.withBytes(of: id, { Array($0) }) != bytes {
            Issue.record("\(id) is not \(bytes), seed \(random.seed)")
        }
    }

    @Test func `strings that differ in one bit stay apart`() {
        var interner = Interner()
        var ids: Set<Interner.ID> = []
        for length in [1, 7, 8, 9, 16, 17] {
            ids.insert(interner.id(Array(repeating: 0, count: length)))
            for bit in 0..<(8 * length) {
                var bytes = [UInt8](repeating: 0, count: length)
                bytes[bit / 8] |= 1 << (bit % 8)
                ids.insert(interner.id(bytes))
            }
        }
        #expect(ids.count == [1, 7, 8, 9, 16, 17].reduce(0) { $0 + 8 * $1 + 1 })
    }

    @Test func `at half full the table grows and forgets nothing`() {
        var interner = Interner()
        for number in 0..<1100 {
            #expect(interner.id("s\(number)") == Interner.ID(number))
            if (510...515).contains(number) || number == 1099 {
                for earlier in 0...number { #expect(interner.id("s\(earlier)") == Interner.ID(earlier)) }
            }
        }
    }

    @Test func `names keep the ordering key of each source by its number`() {
        var names = Names()
        for (id, source) in ["file", "finnhub", "file", "a-long-source-name", "finnhub"].enumerated() {
            let given = Array(source.utf8).withUnsafeBytes { names.source($0) }
            #expect(given == [0, 1, 0, 2, 1][id])
        }
        #expect(names.sourceKeys == ["file", "finnhub", "a-long-s"].map { SourceKey($0.utf8) })
        #expect(names.sources.string(of: 2) == "a-long-source-name")
    }
}
