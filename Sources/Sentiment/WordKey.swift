// SPDX-License-Identifier: Apache-2.0

/// A word in lower case as three machine words, bytes in order from the lowest, 0 behind the end: two words are compared
/// and hashed without a loop.
struct WordKey: Equatable {
    /// Longest word in bytes; no word of the lexicon is longer.
    static let capacity = 24

    private(set) var first: UInt64 = 0
    private(set) var second: UInt64 = 0
    private(set) var third: UInt64 = 0

    init() {}

    /// The key of bytes that are in lower case; at most ``capacity`` of them.
    init(_ bytes: UnsafeRawBufferPointer) {
        precondition(bytes.count <= Self.capacity)
        for (index, byte) in bytes.enumerated() {
            let part = UInt64(byte) << UInt64(8 * (index % 8))
            if index < 8 { first |= part } else if index < 16 { second |= part } else { third |= part }
        }
    }

    /// The key of the `count` bytes in lower case at `start`; the empty key if they are more than ``capacity``. Reads
    /// ``capacity`` bytes, whatever the count.
    @inline(__always)
    init(at start: UnsafeRawPointer, count: Int, masks: UnsafeRawPointer) {
        let mask = masks + (Self.capacity &- (count <= Self.capacity ? count : 0))
        func part(_ offset: Int) -> UInt64 {
            UInt64(littleEndian: start.loadUnaligned(fromByteOffset: offset, as: UInt64.self))
                & UInt64(littleEndian: mask.loadUnaligned(fromByteOffset: offset, as: UInt64.self))
        }
        first = part(0)
        second = part(8)
        third = part(16)
    }

    /// What ``init(at:count:masks:)`` slides over: ``capacity`` bytes of ones, then as many of zeros.
    static let masks = [UInt8](repeating: 0xFF, count: capacity) + [UInt8](repeating: 0, count: capacity)

    /// Mixed by multiplication with odd constants (those of MurmurHash3 and the golden ratio).
    @inline(__always)
    var hash: UInt64 {
        let sum = first &* 0xFF51_AFD7_ED55_8CCD ^ second &* 0xC4CE_B9FE_1A85_EC53 ^ third &* 0x9E37_79B9_7F4A_7C15
        return (sum ^ (sum >> 32)) &* 0xFF51_AFD7_ED55_8CCD
    }
}
