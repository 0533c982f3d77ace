// SPDX-License-Identifier: Apache-2.0

/// Gives equal byte strings the same small number: a symbol is compared, hashed and stored as four bytes for each of
/// its trades, and its name is kept once.
struct Interner {
    /// The number of a string: its index in the order of first sight.
    typealias ID = UInt32

    private var pool: [UInt8] = []
    private var ends: [Int] = []
    private var hashes: [UInt64] = []
    /// Open addressing, linear probing: id + 1, or 0 for a free slot; a power of two in size, at most half full.
    private var slots: [UInt32] = Array(repeating: 0, count: 1024)

    /// How many strings there are.
    var count: Int { ends.count }

    /// The number of `bytes`, given now if they are new.
    @inline(__always)
    mutating func id(of bytes: UnsafeRawBufferPointer) -> ID {
        let hash = Self.hash(bytes)
        var slot = Int(truncatingIfNeeded: hash) & (slots.count - 1)
        while slots[slot] != 0 {
            let id = Int(slots[slot] - 1)
            if hashes[id] == hash && matches(id, bytes) { return ID(id) }
            slot = (slot + 1) & (slots.count - 1)
        }
        return insert(bytes, hash, slot)
    }

    /// The bytes of a string.
    func withBytes<R>(of id: ID, _ body: (UnsafeRawBufferPointer) -> R) -> R {
        pool.withUnsafeBytes { body(UnsafeRawBufferPointer(rebasing: $0[range(Int(id))])) }
    }

    /// The string as text.
    func string(of id: ID) -> String { withBytes(of: id) { String(decoding: $0, as: UTF8.self) } }

    private func range(_ id: Int) -> Range<Int> { (id == 0 ? 0 : ends[id - 1])..<ends[id] }

    private func matches(_ id: Int, _ bytes: UnsafeRawBufferPointer) -> Bool {
        let range = range(id)
        guard range.count == bytes.count else { return false }
        return pool.withUnsafeBytes { UnsafeRawBufferPointer(rebasing: $0[range]).elementsEqual(bytes) }
    }

    private mutating func insert(_ bytes: UnsafeRawBufferPointer, _ hash: UInt64, _ slot: Int) -> ID {
        let id = ends.count
        pool.append(contentsOf: bytes)
        ends.append(pool.count)
        hashes.append(hash)
        slots[slot] = UInt32(id + 1)
        if 2 * ends.count > slots.count { grow() }
        return ID(id)
    }

    private mutating func grow() {
        slots = Array(repeating: 0, count: 2 * slots.count)
        for (id, hash) in hashes.enumerated() {
            var slot = Int(truncatingIfNeeded: hash) & (slots.count - 1)
            while slots[slot] != 0 { slot = (slot + 1) & (slots.count - 1) }
            slots[slot] = UInt32(id + 1)
        }
    }

    /// Eight bytes at a time, each step mixed as in SplitMix64; strings come from the log, not from an adversary who
    /// could gain by collisions more than by sending more symbols.
    @inline(__always)
    private static func hash(_ bytes: UnsafeRawBufferPointer) -> UInt64 {
        var hash = UInt64(truncatingIfNeeded: bytes.count) &* 0x9E37_79B9_7F4A_7C15
        var index = 0
        while index + 8 <= bytes.count {
            hash = step(hash ^ bytes.loadUnaligned(fromByteOffset: index, as: UInt64.self))
            index += 8
        }
        var rest: UInt64 = 0
        while index < bytes.count {
            rest = rest << 8 | UInt64(bytes[index])
            index += 1
        }
        return step(hash ^ rest)
    }

    @inline(__always)
    private static func step(_ value: UInt64) -> UInt64 {
        let mixed = (value ^ (value >> 32)) &* 0xD6E8_FEB8_6659_FD93
        return mixed ^ (mixed >> 29)
    }
}
