// SPDX-License-Identifier: Apache-2.0
//
// Functions of eight numbers at once. Plain sums and products in a fixed order, without fused operations, so that every
// machine gives the same bits. A test holds each against the C library's.

/// Eight lanes of float64.
package typealias Lanes = SIMD8<Double>

enum VectorMath {
    /// Uniform numbers in (0, 1) from the upper 52 bits of each lane: (k + ½) · 2⁻⁵², so neither 0 nor 1 occurs.
    @inline(__always)
    static func uniform(_ bits: SIMD8<UInt64>) -> Lanes {
        let oneToTwo = (bits &>> 12) | SIMD8(repeating: 0x3FF0_0000_0000_0000)
        return unsafeBitCast(oneToTwo, to: Lanes.self) - (1 - 0x1p-53)
    }

    /// Two independent standard normal numbers of two uniform ones. Source: Box, Muller 1958, "A note on the generation
    /// of random normal deviates", Annals of Mathematical Statistics 29. The largest magnitude is √(106 ln 2) = 8.57.
    @inline(__always)
    static func normals(_ first: Lanes, _ second: Lanes) -> (Lanes, Lanes) {
        let radius = (log(first) * -2).squareRoot()
        let (sine, cosine) = sineAndCosine(turns: second)
        return (radius * cosine, radius * sine)
    }

    /// The natural logarithm of positive normal numbers, within 2 units in the last place and 3·10⁻¹⁶ absolutely.
    ///
    /// x = m · 2ᵉ with m in [√½, √2); ln m = 2 artanh((m - 1) / (m + 1)) by its series to the 21st power.
    @inline(__always)
    static func log(_ x: Lanes) -> Lanes {
        let bits = unsafeBitCast(x, to: SIMD8<UInt64>.self)
        // Adding the distance of √½ to 1 moves the border of the exponent from 1 to √2.
        let shifted = bits &+ SIMD8(repeating: 0x3FF0_0000_0000_0000 - 0x3FE6_A09E_667F_3BCD)
        let mantissa = unsafeBitCast(
            (shifted & SIMD8(repeating: 0x000F_FFFF_FFFF_FFFF)) &+ SIMD8(repeating: 0x3FE6_A09E_667F_3BCD),
            to: Lanes.self)
        // The exponent as a number, by writing it into the last bits of 2⁵².
        let exponent =
            unsafeBitCast((shifted &>> 52) | SIMD8(repeating: 0x4330_0000_0000_0000), to: Lanes.self)
            - (0x1p52 + 1023)
        let s = (mantissa - 1) / (mantissa + 1)
        let square = s * s
        var series = Lanes(repeating: 2.0 / 21)
        series = series * square + 2.0 / 19
        series = series * square + 2.0 / 17
        series = series * square + 2.0 / 15
        series = series * square + 2.0 / 13
        series = series * square + 2.0 / 11
        series = series * square + 2.0 / 9
        series = series * square + 2.0 / 7
        series = series * square + 2.0 / 5
        series = series * square + 2.0 / 3
        let low = exponent * 1.90821492927058770002e-10 + s * square * series
        return exponent * 6.93147180369123816490e-01 + (low + s * 2)
    }

    /// Sine and cosine of `turns` whole turns, for 0 ≤ turns ≤ 1, within 3·10⁻¹⁶ absolutely.
    ///
    /// The nearest quarter turn is taken off; the series of the rest, |r| ≤ π/4, to the 15th and 16th power.
    @inline(__always)
    static func sineAndCosine(turns: Lanes) -> (sine: Lanes, cosine: Lanes) {
        let quarters = turns * 4
        // Adding 1.5 · 2⁵² rounds to a whole number, which then stands in the last bits.
        let marked = quarters + 0x1.8p52
        let nearest = marked - 0x1.8p52
        let quadrant = unsafeBitCast(marked, to: SIMD8<UInt64>.self)
        let r = (quarters - nearest) * 1.5707963267948966
        let square = r * r
        var sine = Lanes(repeating: -1.0 / 1_307_674_368_000)
        sine = sine * square + 1.0 / 6_227_020_800
        sine = sine * square + -1.0 / 39_916_800
        sine = sine * square + 1.0 / 362_880
        sine = sine * square + -1.0 / 5040
        sine = sine * square + 1.0 / 120
        sine = sine * square + -1.0 / 6
        sine = r + r * square * sine
        var cosine = Lanes(repeating: 1.0 / 20_922_789_888_000)
        cosine = cosine * square + -1.0 / 87_178_291_200
        cosine = cosine * square + 1.0 / 479_001_600
        cosine = cosine * square + -1.0 / 3_628_800
        cosine = cosine * square + 1.0 / 40_320
        cosine = cosine * square + -1.0 / 720
        cosine = cosine * square + 1.0 / 24
        cosine = cosine * square + -0.5
        cosine = cosine * square + 1
        // In odd quadrants the two change places; the sign bits follow the quadrant.
        let swaps = SIMD8<UInt64>(repeating: 0) &- (quadrant & SIMD8(repeating: 1))
        let sineBits = unsafeBitCast(sine, to: SIMD8<UInt64>.self)
        let cosineBits = unsafeBitCast(cosine, to: SIMD8<UInt64>.self)
        let difference = (sineBits ^ cosineBits) & swaps
        let sineSign = (quadrant & SIMD8(repeating: 2)) &<< 62
        let cosineSign = ((quadrant &+ SIMD8(repeating: 1)) & SIMD8(repeating: 2)) &<< 62
        return (
            unsafeBitCast(sineBits ^ difference ^ sineSign, to: Lanes.self),
            unsafeBitCast(cosineBits ^ difference ^ cosineSign, to: Lanes.self)
        )
    }

    /// The exponential of numbers from -700 to 700, within 3 units in the last place; beyond, of the nearer bound.
    ///
    /// x = n ln 2 + r with |r| ≤ ½ ln 2; the series of eʳ to the 13th power, times 2ⁿ.
    @inline(__always)
    static func exp(_ x: Lanes) -> Lanes {
        let bounded = pointwiseMax(pointwiseMin(x, Lanes(repeating: 700)), Lanes(repeating: -700))
        let marked = bounded * 1.4426950408889634 + 0x1.8p52
        let n = marked - 0x1.8p52
        let r = (bounded - n * 6.93147180369123816490e-01) - n * 1.90821492927058770002e-10
        var series = Lanes(repeating: 1.0 / 6_227_020_800)
        series = series * r + 1.0 / 479_001_600
        series = series * r + 1.0 / 39_916_800
        series = series * r + 1.0 / 3_628_800
        series = series * r + 1.0 / 362_880
        series = series * r + 1.0 / 40_320
        series = series * r + 1.0 / 5040
        series = series * r + 1.0 / 720
        series = series * r + 1.0 / 120
        series = series * r + 1.0 / 24
        series = series * r + 1.0 / 6
        series = series * r + 0.5
        series = series * (r * r) + r + 1
        let power = (unsafeBitCast(marked, to: SIMD8<UInt64>.self) &+ SIMD8(repeating: 1023)) &<< 52
        return series * unsafeBitCast(power, to: Lanes.self)
    }
}
