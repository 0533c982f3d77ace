// SPDX-License-Identifier: Apache-2.0

import TestSupport
import Testing

@testable import Records

/// What `read` makes of `bytes`, and whether all of them were used.
private func reading<T>(_ bytes: [UInt8], _ read: (inout AvroReader) -> T?) -> (value: T?, isAtEnd: Bool) {
    bytes.withUnsafeBytes {
        var reader = AvroReader($0)
        let value = read(&reader)
        return (value, reader.isAtEnd)
    }
}

private func writing(_ write: (inout AvroWriter) -> Void) -> [UInt8] {
    var writer = AvroWriter()
    write(&writer)
    return writer.bytes
}

struct AvroCodingTests {
    /// The specification's own examples, and the ends of the range.
    static let longs: [(Int64, [UInt8])] = [
        (0, [0x00]), (-1, [0x01]), (1, [0x02]), (-2, [0x03]), (2, [0x04]), (-64, [0x7F]), (64, [0x80, 0x01]),
        (8192, [0x80, 0x80, 0x01]), (-8193, [0x81, 0x80, 0x01]),
        (.max, [0xFE, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0x01]),
        (.min, [0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0x01]),
    ]

    @Test(arguments: longs)
    func `a long is the zig-zag varint of the specification`(value: Int64, encoded: [UInt8]) {
        #expect(writing { $0.long(value) } == encoded)
        let read = reading(encoded) { $0.long() }
        #expect(read.value == value && read.isAtEnd)
    }

    @Test func `any long is read back`() {
        var random = SeededRandom()
        for _ in 0..<20_000 {
            let value = Int64.random(in: .min ... .max, using: &random) >> Int64.random(in: 0...63, using: &random)
            let read = reading(writing { $0.long(value) }) { $0.long() }
            #expect(read.value == value && read.isAtEnd, "\(value), seed \(random.seed)")
        }
    }

    @Test func `a varint that does not end within ten bytes is refused`() {
        #expect(reading(Array(repeating: 0x80, count: 10)) { $0.long() }.value == nil)
        #expect(reading(Array(repeating: 0xFF, count: 64)) { $0.long() }.value == nil)
        #expect(reading([]) { $0.long() }.value == nil)
        #expect(reading([0x80]) { $0.long() }.value == nil)
    }

    @Test func `a double keeps every bit`() {
        let values: [Double] = [
            0, -0.0, 1, -1.5, .pi, .leastNonzeroMagnitude, .leastNormalMagnitude, .greatestFiniteMagnitude, .infinity,
            -.infinity, .nan, Double(bitPattern: 0x7FF8_0000_DEAD_BEEF), Double(bitPattern: 0x0123_4567_89AB_CDEF),
        ]
        for value in values {
            let bytes = writing { $0.double(value) }
            #expect(bytes == (0..<8).map { UInt8(truncatingIfNeeded: value.bitPattern >> (8 * $0)) })
            #expect(reading(bytes) { $0.double() }.value?.bitPattern == value.bitPattern)
        }
        #expect(reading([0, 0, 0, 0, 0, 0, 0]) { $0.double() }.value == nil)
    }

    @Test(arguments: ["", "a", "AAPL", "é", "日本", "😀", "a\0b", String(repeating: "x", count: 10_000)])
    func `a string is its length and its bytes`(text: String) {
        let bytes = writing { $0.string(text) }
        let utf8 = Array(text.utf8)
        #expect(bytes == writing { $0.long(Int64(utf8.count)) } + utf8)
        #expect(reading(bytes) { $0.string().map { Array($0) } }.value == utf8)
        if !utf8.isEmpty { #expect(reading(Array(bytes.dropLast())) { $0.string().map { Array($0) } }.value == nil) }
    }

    @Test func `a string's length is believed only within the buffer`() {
        for length in [Int64(2), 1000, .max, -1, .min] {
            let bytes = writing { $0.long(length) } + [65]
            #expect(reading(bytes) { $0.string().map { Array($0) } }.value == nil, "\(length)")
        }
    }

    @Test func `an array is one block, or none when empty`() {
        #expect(writing { $0.strings([]) } == [0])
        #expect(writing { $0.strings(["foo", ""]) } == [4, 6, 102, 111, 111, 0, 0])
        for values in [[], [""], ["a"], ["1", "24", "é"], Array(repeating: "x", count: 100)] {
            let bytes = writing { $0.strings(values) }
            let read = reading(bytes + [7]) { $0.encodedStrings().map { Array($0) } }
            #expect(read.value == bytes)
            #expect(bytes.withUnsafeBytes { decodeStrings($0) } == values)
        }
    }

    @Test func `arrays of several blocks and of blocks with sizes are read, as other writers make them`() {
        // [a, b] in one block of a negative count with its size in bytes; then [c] in another.
        let bytes: [UInt8] = [3, 8, 2, 97, 2, 98, 2, 2, 99, 0]
        #expect(reading(bytes) { $0.encodedStrings().map { Array($0) } }.value == bytes)
        #expect(bytes.withUnsafeBytes { decodeStrings($0) } == ["a", "b", "c"])
    }

    @Test func `an array whose count is absurd is refused at once`() {
        for count in [Int64(2), 1_000_000_000_000, .max, .min, -1_000_000_000_000] {
            let bytes =
                writing {
                    $0.long(count)
                    if count < 0 { $0.long(2) }
                } + [0]
            #expect(reading(bytes) { $0.encodedStrings().map { Array($0) } }.value == nil, "\(count)")
        }
    }

    @Test func `a union is null or a value, and no third thing`() {
        #expect(writing { $0.optional(nil as Int64?) { $0.long($1) } } == [0])
        #expect(writing { $0.optional(Int64(-1)) { $0.long($1) } } == [2, 1])
        #expect(reading([0]) { $0.optional { $0.long() } }.value == .some(.some(nil)))
        #expect(reading([2, 1]) { $0.optional { $0.long() } }.value == .some(.some(-1)))
        for bytes: [UInt8] in [[], [2], [4, 1], [1, 1], [0x80]] {
            let read: Int64?? = reading(bytes) { $0.optional { $0.long() } }.value
            #expect(read == nil as Int64??, "\(bytes)")
        }
    }

    @Test func `after a failure nothing more is read`() {
        let bytes: [UInt8] = [200, 1, 2, 3, 4, 5, 6, 7, 8, 9]
        bytes.withUnsafeBytes {
            var reader = AvroReader($0)
            #expect(reader.string() == nil)
            #expect(reader.long() == nil)
            #expect(reader.double() == nil)
            #expect(reader.isAtEnd)
        }
    }
}
