// SPDX-License-Identifier: Apache-2.0

import Market
import Testing

@testable import Processor

struct AlertRulesTests {
    private static func bar(
        _ open: Double, _ high: Double, _ low: Double, _ close: Double, volume: Double = 1
    ) -> BarAggregate {
        let order = TradeOrder(ts: .epoch, tradeID: 1, source: SourceKey("s".utf8))
        return BarAggregate(
            open: open, high: high, low: low, close: close, volume: ExactSum(value: volume, compensation: 0),
            notional: ExactSum(), tradeCount: 1, first: order, last: order)
    }

    /// The bar, and what the default rules say of it.
    private static let cases: [(BarAggregate, [AlertRules.Kind])] = [
        (bar(100, 100, 100, 100), []), (bar(100, 101, 99, 100), []),
        // At, just below and beyond five percent either way; a fall of five percent is also a wide range.
        (bar(100, 100, 95, 95), [.drop, .range]), (bar(100, 100, 95.001, 95.001), [.range]),
        (bar(100, 105, 100, 105), [.spike, .range]), (bar(100, 104.999, 100, 104.999), [.range]),
        (bar(100, 103, 100, 100), [.range]), (bar(100, 102.999, 100, 100), []),
        (bar(1, 1, 1, 1, volume: 1_000_000), [.volume]), (bar(1, 1, 1, 1, volume: 999_999.999), []),
        (bar(100, 110, 90, 90, volume: 2e6), [.drop, .volume, .range]),
    ]

    @Test(arguments: cases.indices) func `a bar at a threshold is beyond it, and one below is not`(index: Int) {
        let (bar, kinds) = Self.cases[index]
        #expect(AlertRules().alerts(of: bar).map(\.kind) == kinds)
    }

    @Test func `an alert tells what the bar has and what it went beyond`() {
        let alerts = AlertRules(move: 10, volume: 5, range: 20).alerts(of: Self.bar(200, 200, 160, 170, volume: 7))
        #expect(
            alerts == [
                .init(kind: .drop, value: -15, threshold: -10), .init(kind: .volume, value: 7, threshold: 5),
                .init(kind: .range, value: 25, threshold: 20),
            ])
    }

    @Test func `a threshold of 0 is none`() {
        let none = AlertRules(move: 0, volume: 0, range: 0)
        #expect(none.alerts(of: Self.bar(100, 300, 1, 2, volume: 1e12)) == [])
    }
}
