// SPDX-License-Identifier: Apache-2.0

import Market

/// Gives every trade of one tape an id that no other trade of the same symbol and time has, and the same ids whenever
/// the same tape is read again.
///
/// - A venue's id that is a number is kept; one that is text becomes 52 bits of its hash.
/// - The fills of one match share the venue's id. The first keeps it; the n-th after it gets an id above it that holds
///   n, so that fills stay in order and each is a trade of its own (``fill(_:_:)``).
/// - Without a venue's id, trades of the same symbol and time are numbered as they come: the number stands in the high
///   half of the id, a hash of price and size in the low half, so that different trades of another tape with the same
///   symbol and time are not taken for these.
///
/// The memory is bounded: after ``capacity`` distinct (symbol, time, id) the older half is forgotten. Only a trade that
/// repeats one so far back would then be taken for it.
struct TradeIdentity {
    /// Distinct (symbol, time, id) remembered: about 24 bytes each.
    static let capacity = 8_000_000

    private var recent: [UInt64: UInt32] = [:]
    private var older: [UInt64: UInt32] = [:]
    private let halfCapacity: Int

    init(capacity: Int = TradeIdentity.capacity) { halfCapacity = max(1, capacity / 2) }

    /// A venue's id as it stood in the tape.
    enum VenueID {
        case number(Int64)
        /// The bytes' hash (``hash(_:)``).
        case text(UInt64)
        case none
    }

    mutating func assign(symbol: String, ts: Timestamp, id: VenueID, price: Double, size: Double) -> Int64 {
        var key = Self.hash(symbol.utf8)
        key = Self.mix(key, UInt64(bitPattern: ts.microseconds))
        switch id {
        case .number(let number):
            let occurrence = next(Self.mix(key, UInt64(bitPattern: number) ^ 0x6E75_6D62_6572))
            return occurrence == 0 ? number : Self.fill(number, occurrence)
        case .text(let hash):
            let number = Int64(hash & Self.low52)
            let occurrence = next(Self.mix(key, hash ^ 0x74_6578_74))
            return occurrence == 0 ? number : Self.fill(number, occurrence)
        case .none:
            let occurrence = next(key)
            let content = Self.mix(price.bitPattern, size.bitPattern)
            return Int64(occurrence & 0x7FFF_FFFF) << 32 | Int64(content >> 32)
        }
    }

    /// FNV-1a, 64 bits: the same on every machine and in every run, unlike `Hasher`.
    static func hash(_ bytes: some Sequence<UInt8>) -> UInt64 {
        var hash: UInt64 = 0xCBF2_9CE4_8422_2325
        for byte in bytes { hash = (hash ^ UInt64(byte)) &* 0x100_0000_01B3 }
        return mix(hash, 0)
    }

    private static let low52: UInt64 = (1 << 52) - 1

    /// The id of the n-th trade after the first with a venue's id.
    ///
    ///     bits 62      61…52     51…0
    ///          0       n         the id                       for ids below 2⁵² and n below 1024
    ///     bits 62      61…32     31…0
    ///          1       n         a hash of the id             for the others
    ///
    /// Both lie above the ids they are made from, as long as those are below 2⁶².
    private static func fill(_ number: Int64, _ occurrence: UInt32) -> Int64 {
        if (0...Int64(low52)).contains(number) && occurrence < 1024 {
            return number | Int64(occurrence) << 52
        }
        let hash = mix(UInt64(bitPattern: number), 0) >> 32
        return 1 << 62 | Int64(occurrence & 0x3FFF_FFFF) << 32 | Int64(hash)
    }

    /// The finaliser of SplitMix64 (Steele, Lea, Flood 2014) over a combination of both words.
    private static func mix(_ a: UInt64, _ b: UInt64) -> UInt64 {
        var value = a &+ 0x9E37_79B9_7F4A_7C15 &+ (b &* 0xD6E8_FEB8_6659_FD93)
        value = (value ^ (value >> 30)) &* 0xBF58_476D_1CE4_E5B9
        value = (value ^ (value >> 27)) &* 0x94D0_49BB_1331_11EB
        return value ^ (value >> 31)
    }

    /// How often `key` has been seen before.
    private mutating func next(_ key: UInt64) -> UInt32 {
        if let count = recent[key] ?? older[key] {
            recent[key] = count + 1
            return count
        }
        if recent.count >= halfCapacity {
            older = recent
            recent = [:]
        }
        recent[key] = 1
        return 0
    }
}
