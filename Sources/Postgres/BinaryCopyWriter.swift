// SPDX-License-Identifier: Apache-2.0

/// Encodes rows for `COPY … FROM STDIN (FORMAT binary)` (PostgreSQL 15 docs, COPY, "Binary Format").
///
/// | bytes | content |
/// |---|---|
/// | 11 | `PGCOPY\n\377\r\n\0` |
/// | 4 | flags, 0 |
/// | 4 | length of the header extension, 0 |
/// | rows | 2: number of fields; each field 4: length, or -1 for NULL; then the value, big-endian |
/// | 2 | -1: trailer |
///
/// The types must be exactly the columns': binary COPY converts nothing. Write the rows, pass the writer to
/// ``CopyIn/send(_:)-(BinaryCopyWriter)``, and go on; the header is written once per writer, the trailer by
/// ``CopyIn/finish(_:)``. A row is `beginRow(fields:)` followed by exactly that many fields, which is checked.
package struct BinaryCopyWriter: ~Copyable, Sendable {
    @usableFromInline package var buffer: BinaryBuffer
    @usableFromInline package var fieldsLeft = 0
    /// Rows begun since the start.
    package private(set) var rowCount: Int {
        @inlinable get { rows }
        set { rows = newValue }
    }
    @usableFromInline package var rows = 0

    /// A writer that holds the header. `capacity` in bytes is a hint.
    package init(capacity: Int = 64 * 1024) {
        buffer = BinaryBuffer(capacity: capacity)
        start()
    }

    /// Starts a new stream in the same memory: forgets everything and writes the header.
    package mutating func start() {
        buffer.removeAll()
        rows = 0
        fieldsLeft = 0
        for byte in Self.signature { buffer.append(byte: byte) }
        buffer.append(bigEndian: Int64(0))
    }

    private static let signature: [UInt8] = [0x50, 0x47, 0x43, 0x4F, 0x50, 0x59, 0x0A, 0xFF, 0x0D, 0x0A, 0x00]

    /// Bytes waiting to be sent.
    @inlinable package var byteCount: Int { buffer.written }

    /// Starts a row of `fields` fields.
    @inlinable @inline(__always) package mutating func beginRow(fields: Int) {
        precondition(fieldsLeft == 0, "the row before has too few fields")
        fieldsLeft = fields
        rows &+= 1
        // Room for a row of 8-byte values: one check for most rows.
        buffer.reserve(2 &+ fields &* 12)
        buffer.store(Int16(fields))
    }

    @inlinable @inline(__always) package mutating func beginField() {
        precondition(fieldsLeft > 0, "the row has too many fields")
        fieldsLeft &-= 1
    }

    @inlinable @inline(__always) package mutating func null() {
        beginField()
        buffer.appendNullField()
    }

    @inlinable @inline(__always) package mutating func bool(_ value: Bool) {
        beginField()
        buffer.appendField(value ? UInt8(1) : 0)
    }

    /// `smallint`.
    @inlinable @inline(__always) package mutating func int16(_ value: Int16) {
        beginField()
        buffer.appendField(value)
    }

    /// `integer`.
    @inlinable @inline(__always) package mutating func int32(_ value: Int32) {
        beginField()
        buffer.appendField(value)
    }

    /// `bigint`.
    @inlinable @inline(__always) package mutating func int64(_ value: Int64) {
        beginField()
        buffer.appendField(value)
    }

    /// `double precision`.
    @inlinable @inline(__always) package mutating func double(_ value: Double) {
        beginField()
        buffer.appendField(value.bitPattern)
    }

    /// `timestamptz`, in microseconds since 1970-01-01 UTC; `Int64.max` and `.min` are ±infinity.
    @inlinable @inline(__always) package mutating func timestamp(_ microsecondsSince1970: Int64) {
        beginField()
        buffer.appendField(postgresTimestamp(microsecondsSince1970))
    }

    /// `date`, in days since 1970-01-01.
    @inlinable @inline(__always) package mutating func date(daysSince1970: Int32) {
        beginField()
        // 10957 days lie between 1970-01-01 and PostgreSQL's epoch, 2000-01-01.
        buffer.appendField(daysSince1970 - 10957)
    }

    /// `text`, `varchar`, `json`. A zero byte in it makes the server refuse the COPY.
    @inlinable package mutating func text(_ value: String) {
        beginField()
        buffer.appendField(utf8: value)
    }

    /// `text` from UTF-8, which the server checks.
    @inlinable package mutating func text(utf8 value: UnsafeRawBufferPointer) {
        beginField()
        buffer.appendField(value)
    }

    /// `text` from UTF-8, which the server checks.
    @inlinable package mutating func text(utf8 value: [UInt8]) { bytes(value) }

    /// `bytea`.
    @inlinable package mutating func bytes(_ value: [UInt8]) {
        beginField()
        buffer.append(bigEndian: Int32(value.count))
        buffer.append(value)
    }

    /// `jsonb` from JSON text: the binary form is a version byte, 1, and the text.
    package mutating func jsonb(_ value: String) {
        beginField()
        buffer.append(bigEndian: Int32(value.utf8.count + 1))
        buffer.append(byte: 1)
        buffer.append(utf8: value)
    }

    /// `text[]`.
    package mutating func textArray(_ values: [String]) {
        beginField()
        let lengthAt = buffer.written
        buffer.append(bigEndian: Int32(0))
        buffer.append(array: values, of: .text) { $0.appendField(utf8: $1) }
        buffer.overwrite(at: lengthAt, bigEndian: Int32(buffer.written - lengthAt - 4))
    }

    @inlinable package mutating func int64(_ value: Int64?) { if let value { int64(value) } else { null() } }
    @inlinable package mutating func double(_ value: Double?) { if let value { double(value) } else { null() } }
    @inlinable package mutating func text(_ value: String?) { if let value { text(value) } else { null() } }
    @inlinable package mutating func timestamp(_ microsecondsSince1970: Int64?) {
        if let microsecondsSince1970 { timestamp(microsecondsSince1970) } else { null() }
    }

    /// Writes the trailer, after which no row may follow. ``CopyIn/finish(_:)`` does it.
    package mutating func end() {
        precondition(fieldsLeft == 0, "the last row has too few fields")
        buffer.append(bigEndian: Int16(-1))
    }

    /// Forgets the bytes that have been sent; the next ones continue the same stream.
    package mutating func removeSent() { buffer.removeAll() }

    /// A copy of the bytes waiting.
    package var bytes: [UInt8] { buffer.bytes }
}
