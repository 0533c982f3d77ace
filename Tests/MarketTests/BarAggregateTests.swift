// SPDX-License-Identifier: Apache-2.0

import TestSupport
import Testing

@testable import Market

private struct Sample {
    var price: Double
    var size: Double
    var order: TradeOrder

    var aggregate: BarAggregate { BarAggregate(price: price, size: size, order: order) }
}

/// Distinct trades, many at the same time and some with the same id, from three sources.
private func samples(_ count: Int, _ random: inout SeededRandom) -> [Sample] {
    let sources = ["file", "finnhub", "simulate"].map { SourceKey($0.utf8) }
    var seen: Set<TradeOrder> = []
    var samples: [Sample] = []
    while samples.count < count {
        let order = TradeOrder(
            ts: Timestamp(microseconds: Int64.random(in: 0..<20, using: &random)),
            tradeID: Int64.random(in: -3..<40, using: &random), source: sources.randomElement(using: &random)!)
        if !seen.insert(order).inserted { continue }
        samples.append(
            Sample(
                price: Double(Int.random(in: 1...100_000, using: &random)) / 100,
                size: Double(Int.random(in: 0...100_000_000, using: &random)) / 1e4, order: order))
    }
    return samples
}

/// The bar of all of them, computed with nothing of ours: sorted by the rule as tuples of integers.
private func naive(_ samples: [Sample]) -> (open: Double, high: Double, low: Double, close: Double) {
    func key(_ sample: Sample) -> (Int64, Int64, UInt64) {
        (sample.order.ts.microseconds, sample.order.tradeID, sample.order.source.bigEndian)
    }
    let sorted = samples.sorted { key($0) < key($1) }
    let prices = samples.map(\.price).sorted()
    return (sorted[0].price, prices[prices.count - 1], prices[0], sorted[sorted.count - 1].price)
}

private func fold(_ samples: some Sequence<Sample>) -> BarAggregate {
    var iterator = samples.makeIterator()
    var bar = iterator.next()!.aggregate
    while let sample = iterator.next() { bar.add(price: sample.price, size: sample.size, order: sample.order) }
    return bar
}

struct BarAggregateTests {
    @Test func `a bar is that of the sorted trades, whatever order they come in`() {
        var random = SeededRandom()
        for round in 0..<200 {
            let samples = samples(Int.random(in: 1...200, using: &random), &random)
            let expected = naive(samples)
            let bar = fold(samples.shuffled(using: &random))
            #expect(
                bar.open == expected.open && bar.high == expected.high && bar.low == expected.low
                    && bar.close == expected.close, "round \(round), seed \(random.seed)")
            #expect(bar.tradeCount == Int64(samples.count), "seed \(random.seed)")
            var volume = ExactSum()
            var notional = ExactSum()
            for sample in samples {
                volume += sample.size
                notional += sample.price * sample.size
            }
            #expect(bar.volume == volume && bar.notional == notional, "round \(round), seed \(random.seed)")
            #expect(bar.first == samples.map(\.order).min() && bar.last == samples.map(\.order).max())
        }
    }

    @Test func `merging is commutative and associative, and equal to adding one by one`() {
        var random = SeededRandom()
        for round in 0..<200 {
            let samples = samples(Int.random(in: 3...150, using: &random), &random)
            let cut1 = Int.random(in: 1..<samples.count - 1, using: &random)
            let cut2 = Int.random(in: cut1 + 1..<samples.count, using: &random)
            let a = fold(samples[..<cut1])
            let b = fold(samples[cut1..<cut2])
            let c = fold(samples[cut2...])
            func merged(_ bars: BarAggregate...) -> BarAggregate {
                bars.dropFirst().reduce(into: bars[0]) { $0.merge($1) }
            }
            let all = fold(samples)
            #expect(merged(a, b) == merged(b, a), "round \(round), seed \(random.seed)")
            #expect(merged(merged(a, b), c) == merged(a, merged(b, c)), "round \(round), seed \(random.seed)")
            for permutation in [[a, b, c], [a, c, b], [b, a, c], [b, c, a], [c, a, b], [c, b, a]] {
                #expect(
                    merged(permutation[0], permutation[1], permutation[2]) == all, "round \(round), seed \(random.seed)"
                )
            }
        }
    }

    @Test func `a stored bar goes on as it was`() {
        var random = SeededRandom()
        let samples = samples(100, &random)
        let half = fold(samples[..<50])
        var restored = BarAggregate(
            open: half.open, high: half.high, low: half.low, close: half.close, volume: half.volume,
            notional: half.notional, tradeCount: half.tradeCount, first: half.first, last: half.last)
        #expect(restored == half)
        restored.merge(fold(samples[50...]))
        #expect(restored == fold(samples), "seed \(random.seed)")
    }

    @Test func `time decides before the id, the id before the source`() {
        func order(_ ts: Int64, _ id: Int64, _ source: String) -> TradeOrder {
            TradeOrder(ts: Timestamp(microseconds: ts), tradeID: id, source: SourceKey(source.utf8))
        }
        let ordered = [
            order(-5, 9, "z"), order(0, -1, "z"), order(0, 0, "a"), order(0, 0, "b"), order(0, 1, "a"),
            order(1, -9, "a"),
        ]
        for _ in 0..<20 { #expect(ordered.shuffled().sorted() == ordered) }
        for (a, b) in zip(ordered, ordered.dropFirst()) { #expect(a < b && !(b < a)) }
        for same in ordered { #expect(!(same < same)) }
    }
}

struct SourceKeyTests {
    static let names = [
        "", "a", "a.", "aa", "ab", "b", "binance", "file", "finnhub", "finnhub-", "simulate", "zzzzzzzz",
    ]

    @Test func `keys order as the bytes of the names do`() {
        for a in Self.names {
            for b in Self.names {
                let bytes = Array(a.utf8).lexicographicallyPrecedes(Array(b.utf8))
                #expect((SourceKey(a.utf8) < SourceKey(b.utf8)) == bytes, "\(a) \(b)")
            }
        }
    }

    @Test func `a key gives back the first eight bytes of its name`() {
        for name in Self.names { #expect(SourceKey(name.utf8).name == String(name.prefix(8))) }
        #expect(SourceKey("finnhub-rest".utf8).name == "finnhub-")
        #expect(SourceKey("simulate".utf8) == SourceKey("simulated".utf8))
        #expect(SourceKey([0xFF, 0]).bigEndian == 0xFF00_0000_0000_0000)
    }

    @Test func `the open and close of a bar do not depend on the order of two sources whose names begin alike`() {
        let ts = Timestamp(microseconds: 1)
        let a = BarAggregate(
            price: 1, size: 1, order: TradeOrder(ts: ts, tradeID: 1, source: SourceKey("simulate-a".utf8)))
        let b = BarAggregate(
            price: 2, size: 1, order: TradeOrder(ts: ts, tradeID: 1, source: SourceKey("simulate-b".utf8)))
        var ab = a
        ab.merge(b)
        var ba = b
        ba.merge(a)
        // The key holds eight bytes (``SourceKey``), so such sources tie; none of ours begin alike for so long.
        withKnownIssue("sources that agree in their first eight bytes tie") { #expect(ab == ba) }
    }
}
