// SPDX-License-Identifier: Apache-2.0

import Glibc

/// A growing run of bytes written big-endian, as PostgreSQL's binary formats want them.
///
/// Plain memory rather than `[UInt8]`: an append is one comparison and one store, with no uniqueness check.
package struct BinaryBuffer: ~Copyable, @unchecked Sendable {
    // Rule for `@unchecked Sendable`: not copyable, so the memory has one owner wherever it is sent.

    @usableFromInline package var base: UnsafeMutableRawPointer
    @usableFromInline package var capacity: Int
    /// Bytes written.
    package private(set) var count: Int {
        @inlinable get { written }
        set { written = newValue }
    }
    @usableFromInline package var written = 0

    package init(capacity: Int = 256) {
        self.capacity = max(capacity, 16)
        base = .allocate(byteCount: self.capacity, alignment: 16)
    }

    deinit { base.deallocate() }

    /// Forgets the content and keeps the memory.
    @inlinable package mutating func removeAll() { written = 0 }

    /// Makes room for `additional` bytes.
    @inlinable @inline(__always) package mutating func reserve(_ additional: Int) {
        if capacity &- written < additional { grow(additional) }
    }

    @usableFromInline @inline(never) package mutating func grow(_ additional: Int) {
        let size = max(capacity * 2, written + additional)
        let moved = UnsafeMutableRawPointer.allocate(byteCount: size, alignment: 16)
        moved.copyMemory(from: base, byteCount: written)
        base.deallocate()
        base = moved
        capacity = size
    }

    /// Writes without a check: the caller has reserved the room.
    @inlinable @inline(__always) package mutating func store<T: FixedWidthInteger & BitwiseCopyable>(_ value: T) {
        base.storeBytes(of: value.bigEndian, toByteOffset: written, as: T.self)
        written &+= MemoryLayout<T>.size
    }

    @inlinable @inline(__always) package mutating func append<T: FixedWidthInteger & BitwiseCopyable>(
        bigEndian value: T
    ) {
        reserve(MemoryLayout<T>.size)
        store(value)
    }

    @inlinable @inline(__always) package mutating func append(byte: UInt8) {
        reserve(1)
        store(byte)
    }

    @inlinable package mutating func append(_ bytes: UnsafeRawBufferPointer) {
        guard let source = bytes.baseAddress else { return }
        reserve(bytes.count)
        (base + written).copyMemory(from: source, byteCount: bytes.count)
        written &+= bytes.count
    }

    @inlinable package mutating func append(_ bytes: [UInt8]) {
        let count = bytes.count
        reserve(count)
        let target = base + written
        bytes.withUnsafeBytes { if let source = $0.baseAddress { target.copyMemory(from: source, byteCount: count) } }
        written &+= count
    }

    @inlinable package mutating func append(utf8 text: String) {
        let utf8 = text.utf8
        let count = utf8.count
        reserve(count)
        let target = base + written
        let copied: Void? = utf8.withContiguousStorageIfAvailable { source in
            if let source = source.baseAddress { target.copyMemory(from: source, byteCount: count) }
        }
        if copied == nil {
            for (offset, byte) in utf8.enumerated() {
                target.storeBytes(of: byte, toByteOffset: offset, as: UInt8.self)
            }
        }
        written &+= count
    }

    /// A value preceded by its length in bytes, as in a row of binary COPY and in an array.
    @inlinable @inline(__always) package mutating func appendField<T: FixedWidthInteger & BitwiseCopyable>(_ value: T) {
        reserve(4 &+ MemoryLayout<T>.size)
        store(Int32(truncatingIfNeeded: MemoryLayout<T>.size))
        store(value)
    }

    @inlinable package mutating func appendField(utf8 text: String) {
        append(bigEndian: Int32(text.utf8.count))
        append(utf8: text)
    }

    @inlinable package mutating func appendField(_ bytes: UnsafeRawBufferPointer) {
        append(bigEndian: Int32(bytes.count))
        append(bytes)
    }

    /// NULL: length -1 and no bytes.
    @inlinable @inline(__always) package mutating func appendNullField() { append(bigEndian: Int32(-1)) }

    /// Overwrites four bytes at `offset`, for a length known only after what it counts.
    @inlinable package mutating func overwrite(at offset: Int, bigEndian value: Int32) {
        precondition(offset + 4 <= written)
        base.storeBytes(of: value.bigEndian, toByteOffset: offset, as: Int32.self)
    }

    /// The bytes, valid inside `body` only.
    @inlinable package func withUnsafeBytes<T, E: Error>(_ body: (UnsafeRawBufferPointer) throws(E) -> T) throws(E) -> T
    {
        try body(UnsafeRawBufferPointer(start: base, count: written))
    }

    /// A copy of the bytes.
    package var bytes: [UInt8] { [UInt8](UnsafeRawBufferPointer(start: base, count: written)) }
}

/// Microseconds from 1970-01-01 to 2000-01-01, PostgreSQL's epoch (src/include/datatype/timestamp.h).
@usableFromInline package let postgresEpochOffset: Int64 = 946_684_800_000_000

/// Microseconds since 1970 as PostgreSQL counts them, since 2000. `Int64.max` and `.min` stay: they are ±infinity.
@inlinable @inline(__always) package func postgresTimestamp(_ microsecondsSince1970: Int64) -> Int64 {
    if microsecondsSince1970 == .max { return .max }
    let (shifted, overflow) = microsecondsSince1970.subtractingReportingOverflow(postgresEpochOffset)
    return overflow ? .min : shifted
}

/// The inverse of ``postgresTimestamp(_:)``.
@inlinable @inline(__always) package func microsecondsSince1970(_ postgresTimestamp: Int64) -> Int64 {
    if postgresTimestamp == .min { return .min }
    let (shifted, overflow) = postgresTimestamp.addingReportingOverflow(postgresEpochOffset)
    return overflow ? .max : shifted
}
