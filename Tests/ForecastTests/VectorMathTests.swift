// SPDX-License-Identifier: Apache-2.0

import CForecast
@testable import Forecast
import Glibc
import Testing
import TestSupport

/// The parts of the inner loops, for each set of instructions that there is here.
struct VectorMathTests {
    /// The error of `value` in units in the last place of `exact`.
    private static func ulps(_ value: Double, _ exact: Double) -> Double { (value - exact).magnitude / exact.ulp }

    private typealias Function = (TapedeckVectors, UnsafePointer<Double>?, UnsafeMutablePointer<Double>?, Int) -> Void

    /// What `function` makes of `x`, which is the same for each set.
    private static func apply(_ function: Function, _ x: [Double], _ place: SourceLocation = #_sourceLocation)
        -> [Double]
    {
        let padded = x + [Double](repeating: 0.5, count: (8 - x.count % 8) % 8)
        let results = InstructionSet.available.map { instructions in
            var result = padded
            function(instructions.vectors, padded, &result, padded.count)
            return result
        }
        #expect(Set(results.map { $0.map(\.bitPattern) }).count == 1, sourceLocation: place)
        return Array(results[0].prefix(x.count))
    }

    private static func sineAndCosine(_ turns: [Double]) -> (sine: [Double], cosine: [Double]) {
        var other: [Double] = []
        let sine = apply(
            { vectors, x, sine, count in
                other = [Double](repeating: 0, count: count)
                tapedeck_sine_and_cosine(vectors, x, sine, &other, count)
            }, turns)
        return (sine, other)
    }

    @Test func `the logarithm is within two units in the last place`() {
        var random = SeededRandom()
        let numbers = (0..<20_000).flatMap { _ in
            let uniform = Double.random(in: 0..<1, using: &random)
            return [uniform + 0x1p-53, 1 - uniform * 1e-6, uniform * 1e-12 + 1e-16, 1 + uniform, uniform * 1e6 + 0.5]
        }
        var worst = 0.0
        for (x, value) in zip(numbers, Self.apply(tapedeck_log, numbers)) {
            let exact = Glibc.log(x)
            // Near 1 the logarithm itself is near 0: there the absolute bound holds.
            worst = max(worst, min(Self.ulps(value, exact), (value - exact).magnitude / 3e-16 * 2))
        }
        #expect(worst <= 2, "seed \(random.seed)")
        #expect(Self.apply(tapedeck_log, [1]) == [0])
    }

    @Test func `the exponential is within three units in the last place`() {
        var random = SeededRandom()
        let numbers = (0..<50_000).map { _ in
            Double.random(in: -700...700, using: &random) * (Bool.random(using: &random) ? 1 : 0.01)
        }
        var worst = 0.0
        for (x, value) in zip(numbers, Self.apply(tapedeck_exp, numbers)) {
            worst = max(worst, Self.ulps(value, Glibc.exp(x)))
        }
        #expect(worst <= 3, "seed \(random.seed)")
        let bounds = Self.apply(tapedeck_exp, [0, 1e9, 700, -1e9, -700])
        #expect(bounds[0] == 1 && bounds[1] == bounds[2] && bounds[3] == bounds[4])
    }

    @Test func `sine and cosine are within three hundred-millionths of a billionth`() {
        var random = SeededRandom()
        let numbers = (0..<50_000).map { _ in Double.random(in: 0...1, using: &random) }
        let (sines, cosines) = Self.sineAndCosine(numbers)
        var worst = 0.0
        for (index, turns) in numbers.enumerated() {
            // The C library's argument 2π · turns is rounded: its own error is up to 4·10⁻¹⁶ here.
            let angle = (turns < 0.5 ? turns : turns - 1) * 2 * Double.pi
            worst = max(worst, (sines[index] - sin(angle)).magnitude, (cosines[index] - cos(angle)).magnitude)
        }
        #expect(worst <= 3e-16 + 4.5e-16, "seed \(random.seed)")
        let quarters = Self.sineAndCosine([0, 0.25, 0.5, 0.75, 1])
        #expect(quarters.sine == [0, 1, 0, -1, 0] && quarters.cosine.prefix(5) == [1, 0, -1, 0, 1])
    }

    @Test func `uniform numbers lie strictly between 0 and 1`() {
        for instructions in InstructionSet.available {
            var result = [Double](repeating: 0, count: 8)
            tapedeck_uniform(instructions.vectors, [0, .max, 0, .max, 0, .max, 0, .max], &result, 8)
            #expect(result.prefix(2) == [0x1p-53, 1 - 0x1p-53], "\(instructions)")
        }
    }

    @Test func `normal numbers have the moments and the tails of the normal distribution`() {
        let count = 2_000_000
        let vectors = InstructionSet.best.vectors
        var low = [UInt64](repeating: 0, count: count / 2)
        var high = low
        low.withUnsafeMutableBufferPointer { low in
            high.withUnsafeMutableBufferPointer { high in
                for index in stride(from: 0, to: count / 2, by: 8) {
                    tapedeck_philox(
                        vectors, UInt64(index), 7, 1, low.baseAddress.map { $0 + index },
                        high.baseAddress.map { $0 + index })
                }
            }
        }
        var (first, second) = ([Double](repeating: 0, count: count / 2), [Double](repeating: 0, count: count / 2))
        tapedeck_uniform(vectors, low, &first, count / 2)
        tapedeck_uniform(vectors, high, &second, count / 2)
        var (a, b) = (first, second)
        tapedeck_normals(vectors, first, second, &a, &b, count / 2)

        var sums = [0.0, 0, 0, 0]
        var beyond = [0, 0, 0]
        var products = 0.0
        for (x, y) in zip(a, b) {
            products += x * y
            for z in [x, y] {
                var power = 1.0
                for order in 0..<4 {
                    power *= z
                    sums[order] += power
                }
                for (level, bound) in [1.0, 2, 3].enumerated() where z.magnitude > bound { beyond[level] += 1 }
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
