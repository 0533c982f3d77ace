// SPDX-License-Identifier: Apache-2.0

@testable import Forecast
import Glibc
import Testing
import TestSupport

struct VectorMathTests {
    /// The error of `value` in units in the last place of `exact`.
    private static func ulps(_ value: Double, _ exact: Double) -> Double { (value - exact).magnitude / exact.ulp }

    @Test func `the logarithm is within two units in the last place`() {
        var random = SeededRandom()
        var worst = 0.0
        for _ in 0..<20_000 {
            let uniform = Double.random(in: 0..<1, using: &random)
            for x in [uniform + 0x1p-53, 1 - uniform * 1e-6, uniform * 1e-12 + 1e-16, 1 + uniform, uniform * 1e6 + 0.5]
            {
                let exact = Glibc.log(x)
                let value = VectorMath.log(Lanes(repeating: x))[3]
                // Near 1 the logarithm itself is near 0: there the absolute bound holds.
                worst = max(worst, min(Self.ulps(value, exact), (value - exact).magnitude / 3e-16 * 2))
            }
        }
        #expect(worst <= 2, "seed \(random.seed)")
        #expect(VectorMath.log(Lanes(repeating: 1))[0] == 0)
    }

    @Test func `the exponential is within three units in the last place`() {
        var random = SeededRandom()
        var worst = 0.0
        for _ in 0..<50_000 {
            let x = Double.random(in: -700...700, using: &random) * (Bool.random(using: &random) ? 1 : 0.01)
            worst = max(worst, Self.ulps(VectorMath.exp(Lanes(repeating: x))[5], Glibc.exp(x)))
        }
        #expect(worst <= 3, "seed \(random.seed)")
        #expect(VectorMath.exp(Lanes(repeating: 0))[0] == 1)
        #expect(VectorMath.exp(Lanes(repeating: 1e9))[0] == VectorMath.exp(Lanes(repeating: 700))[0])
    }

    @Test func `sine and cosine are within three hundred-millionths of a billionth`() {
        var random = SeededRandom()
        var worst = 0.0
        for _ in 0..<50_000 {
            let turns = Double.random(in: 0...1, using: &random)
            let (sine, cosine) = VectorMath.sineAndCosine(turns: Lanes(repeating: turns))
            // The C library's argument 2π · turns is rounded: its own error is up to 4·10⁻¹⁶ here.
            let angle = (turns < 0.5 ? turns : turns - 1) * 2 * Double.pi
            worst = max(worst, (sine[2] - sin(angle)).magnitude, (cosine[2] - cos(angle)).magnitude)
        }
        #expect(worst <= 3e-16 + 4.5e-16, "seed \(random.seed)")
        for (turns, sine, cosine) in [(0.0, 0.0, 1.0), (0.25, 1, 0), (0.5, 0, -1), (0.75, -1, 0), (1, 0, 1)] {
            let result = VectorMath.sineAndCosine(turns: Lanes(repeating: turns))
            #expect(result.sine[0] == sine && result.cosine[0] == cosine)
        }
    }

    @Test func `uniform numbers lie strictly between 0 and 1`() {
        #expect(VectorMath.uniform(SIMD8(repeating: 0))[0] == 0x1p-53)
        #expect(VectorMath.uniform(SIMD8(repeating: .max))[0] == 1 - 0x1p-53)
    }

    @Test func `normal numbers have the moments and the tails of the normal distribution`() {
        let count = 2_000_000
        var sums = [0.0, 0, 0, 0]
        var beyond = [0, 0, 0]
        var products = 0.0
        for index in stride(from: 0, to: count / 2, by: 8) {
            let (first, second) = Philox.eightBlocks(first: UInt64(index), second: 7, key: 1)
            let (a, b) = VectorMath.normals(VectorMath.uniform(first), VectorMath.uniform(second))
            products += (a * b).sum()
            for z in [a, b] {
                for lane in 0..<8 {
                    var power = 1.0
                    for order in 0..<4 {
                        power *= z[lane]
                        sums[order] += power
                    }
                    for (level, bound) in [1.0, 2, 3].enumerated() where z[lane].magnitude > bound {
                        beyond[level] += 1
                    }
                }
            }
        }
        // Five standard errors each: the moments' variances are 1, 2, 15, 96.
        let n = Double(count)
        for (order, (moment, variance)) in [(0.0, 1.0), (1, 2), (0, 15), (3, 96)].enumerated() {
            #expect((sums[order] / n - moment).magnitude < 5 * (variance / n).squareRoot(), "moment \(order + 1)")
        }
        for (level, bound) in [1.0, 2, 3].enumerated() {
            let share = 2 * Calibration.normalCDF(-bound)
            #expect((Double(beyond[level]) / n - share).magnitude < 5 * (share * (1 - share) / n).squareRoot())
        }
        #expect((products / (n / 2)).magnitude < 5 / (n / 2).squareRoot())
    }
}
