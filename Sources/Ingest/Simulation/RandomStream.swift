// SPDX-License-Identifier: Apache-2.0

import Glibc

/// Random numbers that are the same for the same keys, on every machine: SplitMix64 (Steele, Lea, Flood 2014, "Fast
/// splittable pseudorandom number generators").
struct RandomStream {
    private var state: UInt64
    /// The second of two normal numbers, which come in pairs.
    private var spare: Double?

    /// The sequence of these keys.
    init(_ keys: UInt64...) {
        state = 0
        for key in keys { state = Self.finalize(state &+ Self.step) ^ key }
    }

    private static let step: UInt64 = 0x9E37_79B9_7F4A_7C15

    private static func finalize(_ word: UInt64) -> UInt64 {
        var word = word
        word = (word ^ (word >> 30)) &* 0xBF58_476D_1CE4_E5B9
        word = (word ^ (word >> 27)) &* 0x94D0_49BB_1331_11EB
        return word ^ (word >> 31)
    }

    @inline(__always)
    mutating func next() -> UInt64 {
        state &+= Self.step
        return Self.finalize(state)
    }

    /// From 0 inclusive to 1 exclusive.
    @inline(__always)
    mutating func uniform() -> Double { Double(next() >> 11) * 0x1p-53 }

    /// Of mean 1.
    @inline(__always)
    mutating func exponential() -> Double { -log(1 - uniform()) }

    /// How often something of this probability happens before it does not.
    mutating func geometric(_ probability: Double) -> Int {
        var count = 0
        while uniform() < probability { count += 1 }
        return count
    }

    /// Of mean 0 and variance 1: Marsaglia's polar method (Marsaglia, Bray 1964, SIAM Review 6).
    @inline(__always)
    mutating func normal() -> Double {
        if let second = spare {
            spare = nil
            return second
        }
        while true {
            let x = 2 * uniform() - 1
            let y = 2 * uniform() - 1
            let square = x * x + y * y
            if square >= 1 || square == 0 { continue }
            let factor = (-2 * log(square) / square).squareRoot()
            spare = y * factor
            return x * factor
        }
    }
}
