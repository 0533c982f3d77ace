// SPDX-License-Identifier: Apache-2.0
//
// Records of one partition, in one buffer. Each record is
//
//   key length    4 bytes, little-endian
//   key           bytes
//   value length  4 bytes, little-endian
//   value         bytes
//
// A batch is written, stored, read and walked as it is: no allocation for a record.

/// A run of records of one partition, in order.
package struct RecordBatch: Sendable, Equatable {
    /// The records, encoded.
    package private(set) var bytes: [UInt8]
    /// How many records there are.
    package private(set) var count: Int

    package init() {
        bytes = []
        count = 0
    }

    /// A batch as it was stored; nil if the bytes do not hold exactly `count` records.
    init?(bytes: [UInt8], count: Int) {
        var cursor = Cursor()
        let whole = bytes.withUnsafeBytes { buffer in
            for _ in 0..<count where cursor.next(in: buffer) == nil { return false }
            return cursor.position == buffer.count
        }
        guard whole else { return nil }
        self.bytes = bytes
        self.count = count
    }

    package var isEmpty: Bool { count == 0 }

    /// Appends a record whose value `write` appends to the buffer it is given.
    @inline(__always)
    package mutating func append(key: UnsafeRawBufferPointer, value write: (inout [UInt8]) -> Void) {
        appendLength(key.count)
        bytes.append(contentsOf: key)
        let lengthAt = bytes.count
        appendLength(0)
        write(&bytes)
        let length = UInt32(bytes.count - lengthAt - 4).littleEndian
        bytes.withUnsafeMutableBytes { $0.storeBytes(of: length, toByteOffset: lengthAt, as: UInt32.self) }
        count += 1
    }

    package mutating func append(key: String, value write: (inout [UInt8]) -> Void) {
        var key = key
        key.withUTF8 { append(key: UnsafeRawBufferPointer($0), value: write) }
    }

    /// Calls `body` with the number, key and value of each record; the pointers do not outlive the call.
    @inline(__always)
    package func forEach<E>(
        _ body: (_ index: Int, _ key: UnsafeRawBufferPointer, _ value: UnsafeRawBufferPointer) throws(E) -> Void
    ) throws(E) {
        // withUnsafeBytes erases typed throws; carry the error out by hand.
        var failure: E?
        bytes.withUnsafeBytes { buffer in
            var cursor = Cursor()
            for index in 0..<count {
                guard let record = cursor.next(in: buffer) else { return }
                do throws(E) {
                    try body(index, record.key, record.value)
                } catch {
                    failure = error
                    return
                }
            }
        }
        if let failure { throw failure }
    }

    /// Empties the batch and keeps its memory.
    package mutating func removeAll() {
        bytes.removeAll(keepingCapacity: true)
        count = 0
    }

    /// The batch without its first `dropped` records.
    func dropFirst(_ dropped: Int) -> RecordBatch {
        if dropped <= 0 { return self }
        var cursor = Cursor()
        bytes.withUnsafeBytes { buffer in
            for _ in 0..<min(dropped, count) { _ = cursor.next(in: buffer) }
        }
        var rest = RecordBatch()
        rest.bytes = Array(bytes[cursor.position...])
        rest.count = count - min(dropped, count)
        return rest
    }

    private mutating func appendLength(_ length: Int) {
        withUnsafeBytes(of: UInt32(length).littleEndian) { bytes.append(contentsOf: $0) }
    }

    private struct Cursor {
        var position = 0

        @inline(__always)
        mutating func next(
            in buffer: UnsafeRawBufferPointer
        ) -> (key: UnsafeRawBufferPointer, value: UnsafeRawBufferPointer)? {
            guard let key = field(in: buffer), let value = field(in: buffer) else { return nil }
            return (key, value)
        }

        @inline(__always)
        private mutating func field(in buffer: UnsafeRawBufferPointer) -> UnsafeRawBufferPointer? {
            guard buffer.count - position >= 4 else { return nil }
            let length = Int(UInt32(littleEndian: buffer.loadUnaligned(fromByteOffset: position, as: UInt32.self)))
            guard buffer.count - position - 4 >= length else { return nil }
            let start = position + 4
            position = start + length
            return UnsafeRawBufferPointer(rebasing: buffer[start..<position])
        }
    }
}

/// Records read from a partition: `records[i]` stands at `baseOffset + i`. Without records it only says that nothing
/// stands before `baseOffset` any more: a log may use offsets for marks of its own.
package struct FetchedBatch: Sendable {
    package var partition: TopicPartition
    package var baseOffset: Int64
    package var records: RecordBatch

    package init(partition: TopicPartition, baseOffset: Int64, records: RecordBatch) {
        self.partition = partition
        self.baseOffset = baseOffset
        self.records = records
    }

    /// The offset after the last record.
    package var nextOffset: Int64 { baseOffset + Int64(records.count) }
}
