// SPDX-License-Identifier: Apache-2.0

/// A running sum of floating-point numbers that does not depend on the order of its terms.
///
/// Volumes and notionals of a bar are summed in whatever pieces trades arrive, and must come out as one sum over all
/// of them. Plain addition rounds at every step, so the last digits would depend on batch sizes, late trades and
/// restarts. This keeps the rounding error of every addition in a second number: an unevaluated sum of two doubles,
/// 106 bits. Source: Dekker, "A floating-point technique for extending the available precision" (1971), add2; the
/// error-free addition is Knuth's TwoSum (TAOCP vol. 2, 4.2.2).
package struct ExactSum: Equatable, Sendable {
    /// The sum, rounded to a double.
    package private(set) var value: Double
    /// What rounding left out: the sum is `value + compensation`.
    package private(set) var compensation: Double

    package init() {
        value = 0
        compensation = 0
    }

    /// A sum as it was stored.
    package init(value: Double, compensation: Double) {
        self.value = value
        self.compensation = compensation
    }

    package static func += (sum: inout ExactSum, term: Double) {
        let (high, low) = twoSum(sum.value, term)
        if !high.isFinite {
            // Beyond the range of a double: the error terms would be NaN.
            sum = ExactSum(value: high, compensation: 0)
            return
        }
        (sum.value, sum.compensation) = fastTwoSum(high, low + sum.compensation)
    }

    package static func += (sum: inout ExactSum, other: ExactSum) {
        let (high, low) = twoSum(sum.value, other.value)
        if !high.isFinite {
            sum = ExactSum(value: high, compensation: 0)
            return
        }
        let (highLow, lowLow) = twoSum(sum.compensation, other.compensation)
        let (high2, low2) = fastTwoSum(high, low + highLow)
        (sum.value, sum.compensation) = fastTwoSum(high2, low2 + lowLow)
    }

    @inline(__always)
    private static func twoSum(_ a: Double, _ b: Double) -> (Double, Double) {
        let sum = a + b
        let virtual = sum - a
        return (sum, (a - (sum - virtual)) + (b - virtual))
    }

    /// Exact for |a| ≥ |b|.
    @inline(__always)
    private static func fastTwoSum(_ a: Double, _ b: Double) -> (Double, Double) {
        let sum = a + b
        return (sum, b - (sum - a))
    }
}
