// SPDX-License-Identifier: Apache-2.0
//
// Avro's binary encoding (Apache Avro 1.11 specification, "Binary encoding"): long as a zig-zag varint, double as eight
// little-endian bytes, string and bytes as a length and the bytes, union as the branch's number and the value, array as
// blocks of a count and items that end with a zero count.

/// Appends Avro values to a byte buffer.
package struct AvroWriter {
    /// What has been written.
    package var bytes: [UInt8]

    package init(_ bytes: consuming [UInt8] = []) { self.bytes = bytes }

    @inline(__always)
    package mutating func long(_ value: Int64) {
        var rest = UInt64(bitPattern: (value << 1) ^ (value >> 63))
        while rest >= 0x80 {
            bytes.append(UInt8(truncatingIfNeeded: rest) | 0x80)
            rest >>= 7
        }
        bytes.append(UInt8(truncatingIfNeeded: rest))
    }

    @inline(__always)
    package mutating func double(_ value: Double) {
        withUnsafeBytes(of: value.bitPattern.littleEndian) { bytes.append(contentsOf: $0) }
    }

    package mutating func float(_ value: Float) {
        withUnsafeBytes(of: value.bitPattern.littleEndian) { bytes.append(contentsOf: $0) }
    }

    /// A string or bytes.
    @inline(__always)
    package mutating func string(_ value: UnsafeRawBufferPointer) {
        long(Int64(value.count))
        bytes.append(contentsOf: value)
    }

    package mutating func string(_ value: String) {
        var value = value
        value.withUTF8 { string(UnsafeRawBufferPointer($0)) }
    }

    /// An array of strings: one block, or none when empty.
    package mutating func strings(_ values: [String]) {
        if !values.isEmpty {
            long(Int64(values.count))
            for value in values { string(value) }
        }
        bytes.append(0)
    }

    /// A union of null and one other type: null, or `write` after the branch number 1.
    @inline(__always)
    package mutating func optional<T>(_ value: T?, _ write: (inout AvroWriter, T) -> Void) {
        guard let value else {
            bytes.append(0)
            return
        }
        bytes.append(2)
        write(&self, value)
    }
}

/// Reads Avro values from a buffer, which must outlive it. A read past the end or of nonsense returns nil, and so does
/// every read after it.
package struct AvroReader {
    private var rest: UnsafeRawBufferPointer

    package init(_ bytes: UnsafeRawBufferPointer) { rest = bytes }

    /// Whether everything has been read.
    package var isAtEnd: Bool { rest.isEmpty }

    @inline(__always)
    package mutating func long() -> Int64? {
        var value: UInt64 = 0
        var shift: UInt64 = 0
        var index = 0
        while index < rest.count && index < 10 {
            let byte = rest[index]
            value |= UInt64(byte & 0x7F) << shift
            index += 1
            if byte & 0x80 == 0 {
                advance(index)
                return Int64(bitPattern: (value >> 1) ^ (0 &- (value & 1)))
            }
            shift += 7
        }
        return fail()
    }

    @inline(__always)
    package mutating func double() -> Double? {
        guard rest.count >= 8 else { return fail() }
        let pattern = UInt64(littleEndian: rest.loadUnaligned(as: UInt64.self))
        advance(8)
        return Double(bitPattern: pattern)
    }

    package mutating func float() -> Float? {
        guard rest.count >= 4 else { return fail() }
        let pattern = UInt32(littleEndian: rest.loadUnaligned(as: UInt32.self))
        advance(4)
        return Float(bitPattern: pattern)
    }

    /// A single byte: a boolean.
    package mutating func byte() -> UInt8? {
        guard let byte = rest.first else { return fail() }
        advance(1)
        return byte
    }

    /// A nullable string as text; outside of ASCII, what is not UTF-8 becomes U+FFFD.
    package mutating func optionalText() -> String?? {
        guard let value = optional({ $0.string() }) else { return nil }
        return .some(value.map { String(decoding: $0, as: UTF8.self) })
    }

    /// A nullable double.
    package mutating func optionalDouble() -> Double?? { optional { $0.double() } }

    /// A string's or bytes value's bytes, inside the buffer.
    @inline(__always)
    package mutating func string() -> UnsafeRawBufferPointer? {
        guard let length = long() else { return nil }
        guard length >= 0, length <= Int64(rest.count) else { return fail() }
        let value = UnsafeRawBufferPointer(rebasing: rest[..<Int(length)])
        advance(Int(length))
        return value
    }

    /// The whole encoding of an array of strings, checked but not decoded.
    package mutating func encodedStrings() -> UnsafeRawBufferPointer? {
        let start = rest
        while true {
            guard var count = long() else { return nil }
            if count == 0 { break }
            if count < 0 {
                // A negative count is followed by the block's size in bytes.
                guard count != .min, long() != nil else { return fail() }
                count = -count
            }
            // Each string takes a byte at least, which bounds the loop by the buffer.
            guard count <= Int64(rest.count) else { return fail() }
            for _ in 0..<count where string() == nil { return nil }
        }
        return UnsafeRawBufferPointer(rebasing: start[..<(start.count - rest.count)])
    }

    /// A union of null and one other type: `.some(nil)` is null, nil a failure.
    @inline(__always)
    package mutating func optional<T>(_ read: (inout AvroReader) -> T?) -> T?? {
        guard let branch = long() else { return nil }
        switch branch {
        case 0: return .some(nil)
        case 1:
            guard let value = read(&self) else { return nil }
            return .some(value)
        default: return fail()
        }
    }

    @inline(__always)
    private mutating func advance(_ count: Int) {
        rest = UnsafeRawBufferPointer(rebasing: rest[count...])
    }

    private mutating func fail<T>() -> T? {
        rest = UnsafeRawBufferPointer(start: nil, count: 0)
        return nil
    }
}

/// The strings of an encoded array that ``AvroReader/encodedStrings()`` has checked.
package func decodeStrings(_ encoded: UnsafeRawBufferPointer) -> [String] {
    var reader = AvroReader(encoded)
    var strings: [String] = []
    while let count = reader.long(), count != 0 {
        if count < 0 { _ = reader.long() }
        for _ in 0..<count.magnitude {
            guard let bytes = reader.string() else { return strings }
            strings.append(String(decoding: bytes, as: UTF8.self))
        }
    }
    return strings
}
