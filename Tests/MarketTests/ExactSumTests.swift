// SPDX-License-Identifier: Apache-2.0

import TestSupport
import Testing

@testable import Market

/// The sum of doubles with no rounding but the last: integers of 2⁻⁹⁰.
private struct IntegerSum {
    private var scaled: Int128 = 0

    static let unit = Double(sign: .plus, exponent: -90, significand: 1)

    /// `term` must be a multiple of 2⁻⁹⁰, and the sum stay below 2³⁶.
    mutating func add(_ term: Double) { scaled += Int128(exactly: term / Self.unit)! }

    var value: Double { Double(scaled) * Self.unit }
}

/// Terms as trades have them: sizes and notionals of very different magnitude.
private func terms(_ count: Int, _ random: inout SeededRandom) -> [Double] {
    (0..<count).map { _ in
        switch Int.random(in: 0..<4, using: &random) {
        case 0: Double(Int.random(in: 1...99_999_999, using: &random)) / 100_000_000
        case 1: Double(Int.random(in: 1...10_000_000, using: &random)) / 100
        case 2: Double.random(in: 0..<1, using: &random)
        default: Double.random(in: 0..<100_000, using: &random)
        }
    }
}

struct ExactSumTests {
    private func sum(_ terms: some Sequence<Double>) -> ExactSum {
        terms.reduce(into: ExactSum()) { $0 += $1 }
    }

    @Test func `the sum is that of exact arithmetic, rounded once`() {
        var random = SeededRandom()
        for _ in 0..<200 {
            let terms = terms(Int.random(in: 1...2000, using: &random), &random)
            var exact = IntegerSum()
            for term in terms { exact.add(term) }
            #expect(sum(terms).value == exact.value, "\(terms.count) terms, seed \(random.seed)")
        }
    }

    @Test func `plain addition would not give that`() {
        // What the type is for: if this stops failing for plain sums, the tests above prove nothing.
        var random = SeededRandom(seed: 1)
        let terms = terms(2000, &random)
        var exact = IntegerSum()
        for term in terms { exact.add(term) }
        #expect(terms.reduce(0, +) != exact.value)
        #expect(terms.sorted().reduce(0, +) != terms.sorted().reversed().reduce(0, +))
    }

    @Test func `the order of terms does not matter`() {
        var random = SeededRandom()
        for _ in 0..<50 {
            let terms = terms(500, &random)
            let expected = sum(terms)
            for _ in 0..<10 {
                #expect(sum(terms.shuffled(using: &random)) == expected, "seed \(random.seed)")
            }
            #expect(sum(terms.sorted()) == expected, "seed \(random.seed)")
            #expect(sum(terms.sorted(by: >)) == expected, "seed \(random.seed)")
        }
    }

    @Test func `merging the sums of any pieces is the sum of all`() {
        var random = SeededRandom()
        for _ in 0..<200 {
            let terms = terms(Int.random(in: 2...400, using: &random), &random)
            let expected = sum(terms)
            var rest = terms[...]
            var pieces: [ExactSum] = []
            while !rest.isEmpty {
                let count = Int.random(in: 1...rest.count, using: &random)
                pieces.append(sum(rest.prefix(count)))
                rest = rest.dropFirst(count)
            }
            var merged = ExactSum()
            for piece in pieces.shuffled(using: &random) { merged += piece }
            #expect(merged == expected, "\(pieces.count) pieces, seed \(random.seed)")
            // As a tree, as coarser bars are made from finer ones.
            while pieces.count > 1 {
                pieces = stride(from: 0, to: pieces.count, by: 2).map { index in
                    var pair = pieces[index]
                    if index + 1 < pieces.count { pair += pieces[index + 1] }
                    return pair
                }
            }
            #expect(pieces[0] == expected, "seed \(random.seed)")
        }
    }

    @Test func `a sum goes on from where it was stored`() {
        var random = SeededRandom()
        let terms = terms(1000, &random)
        let half = sum(terms.prefix(500))
        var restored = ExactSum(value: half.value, compensation: half.compensation)
        for term in terms.dropFirst(500) { restored += term }
        #expect(restored == sum(terms), "seed \(random.seed)")
    }

    @Test func `small terms beside large ones are not lost`() {
        var total = ExactSum()
        total += 1e16
        for _ in 0..<1000 { total += 0.001 }
        total += -1e16
        #expect(abs(total.value - 1) < 1e-12)
        var tenths = ExactSum()
        for _ in 0..<10 { tenths += 0.1 }
        #expect(tenths.value == 1)
        #expect(ExactSum().value == 0)
    }

    @Test func `a sum beyond the range of doubles is infinite and stays so`() {
        var total = ExactSum()
        total += Double.greatestFiniteMagnitude
        total += Double.greatestFiniteMagnitude
        #expect(total.value == .infinity)
        total += 1
        #expect(total.value == .infinity)
        var merged = ExactSum()
        merged += total
        #expect(merged.value == .infinity)
    }
}
