// SPDX-License-Identifier: Apache-2.0

/// Philox4x32-10: random numbers as a function of a key and a counter, without a state that would have to be passed on.
/// So any number of threads compute any part of a sequence, and always the same one.
///
/// Source: Salmon, Moraes, Dror, Shaw 2011, "Parallel random numbers: as easy as 1, 2, 3", SC '11, section 3.3; checked
/// against the known answers of the authors' Random123.
package enum Philox {
    private static let multipliers: (UInt32, UInt32) = (0xD251_1F53, 0xCD9E_8D57)
    /// The golden ratio and √3 - 1, as 32-bit fractions: what is added to the key after each round.
    private static let weyl: (UInt32, UInt32) = (0x9E37_79B9, 0xBB67_AE85)
    private static let rounds = 10

    /// The four words of one counter.
    package static func block(counter: SIMD4<UInt32>, key: SIMD2<UInt32>) -> SIMD4<UInt32> {
        var counter = counter
        var key = key
        for _ in 0..<rounds {
            let (high0, low0) = multipliers.0.multipliedFullWidth(by: counter[0])
            let (high1, low1) = multipliers.1.multipliedFullWidth(by: counter[2])
            counter = [high1 ^ counter[1] ^ key[0], low1, high0 ^ counter[3] ^ key[1], low0]
            key &+= [weyl.0, weyl.1]
        }
        return counter
    }

    /// Eight blocks, of the counters (`first` + lane, `second`): two 64-bit words each. Each lane holds 32 bits in 64, so
    /// that the product of two lanes is one instruction.
    @inline(__always)
    static func eightBlocks(first: UInt64, second: UInt64, key: UInt64) -> (SIMD8<UInt64>, SIMD8<UInt64>) {
        let mask = SIMD8<UInt64>(repeating: 0xFFFF_FFFF)
        let index = SIMD8<UInt64>(repeating: first) &+ SIMD8<UInt64>(0, 1, 2, 3, 4, 5, 6, 7)
        var word0 = index & mask
        var word1 = index &>> 32
        var word2 = SIMD8<UInt64>(repeating: second & 0xFFFF_FFFF)
        var word3 = SIMD8<UInt64>(repeating: second >> 32)
        var key0 = UInt32(truncatingIfNeeded: key)
        var key1 = UInt32(truncatingIfNeeded: key >> 32)
        let multiplier0 = SIMD8<UInt64>(repeating: UInt64(multipliers.0))
        let multiplier1 = SIMD8<UInt64>(repeating: UInt64(multipliers.1))
        for _ in 0..<rounds {
            let product0 = word0 &* multiplier0
            let product1 = word2 &* multiplier1
            word0 = (product1 &>> 32) ^ word1 ^ SIMD8(repeating: UInt64(key0))
            word1 = product1 & mask
            word2 = (product0 &>> 32) ^ word3 ^ SIMD8(repeating: UInt64(key1))
            word3 = product0 & mask
            key0 &+= weyl.0
            key1 &+= weyl.1
        }
        return (word0 | word1 &<< 32, word2 | word3 &<< 32)
    }
}
