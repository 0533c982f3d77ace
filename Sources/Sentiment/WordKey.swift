// SPDX-License-Identifier: Apache-2.0

/// A word in lower case as three machine words, bytes in order from the lowest, 0 behind the end: two words are compared
/// and hashed without a loop.
struct WordKey: Equatable {
    /// Longest word in bytes; no word of the lexicon is longer.
    static let capacity = 24

    private var first: UInt64 = 0
    private var second: UInt64 = 0
    private var third: UInt64 = 0

    init() {}

    /// The key of bytes that are in lower case; at most ``capacity`` of them.
    init(_ bytes: UnsafeRawBufferPointer) {
        precondition(bytes.count <= Self.capacity)
        first = Self.load(bytes, 0)
        second = Self.load(bytes, 8)
        third = Self.load(bytes, 16)
    }

    /// The key of the ASCII bytes `token` in lower case, at most ``capacity`` of them.
    @inline(__always)
    init(lowercasing token: UnsafeRawBufferPointer) {
        first = Self.lowercase(Self.load(token, 0))
        if token.count <= 8 { return }
        second = Self.lowercase(Self.load(token, 8))
        if token.count <= 16 { return }
        third = Self.lowercase(Self.load(token, 16))
    }

    /// Mixed by multiplication (the finaliser of MurmurHash3).
    @inline(__always)
    var hash: UInt64 {
        var hash = first &* 0xFF51_AFD7_ED55_8CCD ^ second &* 0xC4CE_B9FE_1A85_EC53 ^ third &* 0x9E37_79B9_7F4A_7C15
        hash = (hash ^ (hash >> 33)) &* 0xFF51_AFD7_ED55_8CCD
        return hash ^ (hash >> 29)
    }

    /// Up to eight bytes from `offset` on.
    @inline(__always)
    private static func load(_ bytes: UnsafeRawBufferPointer, _ offset: Int) -> UInt64 {
        let count = bytes.count - offset
        if count >= 8 {
            return UInt64(littleEndian: bytes.loadUnaligned(fromByteOffset: offset, as: UInt64.self))
        }
        if count <= 0 { return 0 }
        // Overlapping loads instead of a loop.
        if count >= 4 {
            let low = UInt32(littleEndian: bytes.loadUnaligned(fromByteOffset: offset, as: UInt32.self))
            let high = UInt32(littleEndian: bytes.loadUnaligned(fromByteOffset: offset + count - 4, as: UInt32.self))
            return UInt64(low) | UInt64(high) << UInt64(8 * (count - 4))
        }
        let low = UInt64(bytes[offset])
        let middle = UInt64(bytes[offset + count / 2]) << UInt64(8 * (count / 2))
        return low | middle | UInt64(bytes[offset + count - 1]) << UInt64(8 * (count - 1))
    }

    /// Eight ASCII bytes in lower case at once: the top bit of a byte tells whether adding reached past a bound.
    @inline(__always)
    private static func lowercase(_ word: UInt64) -> UInt64 {
        word | upperMask(word) >> 2
    }

    /// The top bit of each byte that is A to Z.
    @inline(__always)
    static func upperMask(_ word: UInt64) -> UInt64 {
        (word &+ 0x3F3F_3F3F_3F3F_3F3F) & ~(word &+ 0x2525_2525_2525_2525) & 0x8080_8080_8080_8080
    }
}
