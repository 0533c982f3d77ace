// SPDX-License-Identifier: Apache-2.0
// Bytes that have come and are not used yet. A pure value.

/// A queue of bytes. It holds no memory while it is empty, so idle connections cost none.
struct InputBuffer {
    private var bytes: [UInt8] = []
    private var start = 0

    var isEmpty: Bool { start == bytes.count }

    /// Adds bytes behind the others.
    mutating func append(_ more: UnsafeRawBufferPointer) {
        compact()
        bytes.append(contentsOf: more)
    }

    /// Removes and returns the first bytes, `count` at most.
    mutating func take(upTo count: Int) -> [UInt8] {
        if start == 0 && bytes.count <= count {
            let all = bytes
            bytes = []
            return all
        }
        let first = Array(bytes[start...].prefix(count))
        drop(first.count)
        return first
    }

    /// All bytes, the first at index 0.
    mutating func contents() -> [UInt8] {
        compact()
        return bytes
    }

    /// Removes the first `count` bytes.
    mutating func drop(_ count: Int) {
        start += count
        if start == bytes.count {
            start = 0
            bytes = []
        }
    }

    private mutating func compact() {
        if start == 0 { return }
        bytes.removeFirst(start)
        start = 0
    }
}
