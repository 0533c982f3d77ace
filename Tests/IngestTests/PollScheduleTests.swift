// SPDX-License-Identifier: Apache-2.0

import Market
import Testing

@testable import Ingest

struct PollScheduleTests {
    private static func time(_ text: String) -> Timestamp { Timestamp(parsing: text) ?? .epoch }
    /// A Tuesday in November.
    private let noon = time("2026-11-24T17:00:00Z")

    @Test func `all are asked for at the start, then at intervals`() {
        var schedule = PollSchedule(["AAPL", "BTC-USD"], interval: 60_000_000)
        #expect(schedule.symbols(dueAt: noon) == ["AAPL", "BTC-USD"])
        schedule.asked("AAPL", at: noon)
        #expect(schedule.symbols(dueAt: noon) == ["BTC-USD"])
        schedule.asked("BTC-USD", at: noon)
        #expect(schedule.next == Self.time("2026-11-24T17:01:00Z"))
        #expect(schedule.symbols(dueAt: Self.time("2026-11-24T17:00:59Z")).isEmpty)
        #expect(schedule.symbols(dueAt: Self.time("2026-11-24T17:01:00Z")) == ["AAPL", "BTC-USD"])
        schedule.asked("AAPL", at: noon)
        schedule.hurry()
        #expect(schedule.symbols(dueAt: noon).count == 2)
        schedule.postpone("AAPL", until: Self.time("2026-11-25T00:00:00Z"))
        #expect(schedule.symbols(dueAt: noon) == ["BTC-USD"])
    }

    @Test func `a closed market is asked a last time, and then not before it opens`() {
        var schedule = PollSchedule(["AAPL"], interval: 300_000_000)
        schedule.asked("AAPL", at: Self.time("2026-11-25T20:58:00Z"))
        #expect(schedule.next == Self.time("2026-11-25T21:01:00Z"))
        schedule.asked("AAPL", at: Self.time("2026-11-25T21:01:00Z"))
        // Thursday is Thanksgiving.
        #expect(schedule.next == Self.time("2026-11-27T14:30:00Z"))
    }

    @Test func `a market whose hours are unknown is asked always`() {
        var schedule = PollSchedule(["VOD.L"], interval: 60_000_000)
        let night = Self.time("2026-11-28T03:00:00Z")
        schedule.asked("VOD.L", at: night)
        #expect(schedule.next == Self.time("2026-11-28T03:01:00Z"))
    }

    @Test func `facts are due at the start, and once after each close`() {
        var facts = FactSchedule(["AAPL", "BTC-USD"], pause: 60_000_000)
        #expect(facts.symbols(dueAt: noon) == ["AAPL", "BTC-USD"])
        for symbol in ["AAPL", "BTC-USD"] { facts.fetched(symbol, at: noon) }
        #expect(facts.symbols(dueAt: Self.time("2026-11-24T21:29:59Z")).isEmpty)
        #expect(facts.symbols(dueAt: Self.time("2026-11-24T21:30:00Z")) == ["AAPL"])
        facts.fetched("AAPL", at: Self.time("2026-11-24T21:30:00Z"))
        #expect(facts.symbols(dueAt: Self.time("2026-11-24T23:59:59Z")).isEmpty)
        #expect(facts.symbols(dueAt: Self.time("2026-11-25T00:00:00Z")) == ["BTC-USD"])
        // Over a holiday and the weekend: a half day on Friday.
        facts.fetched("AAPL", at: Self.time("2026-11-25T21:30:00Z"))
        #expect(!facts.symbols(dueAt: Self.time("2026-11-27T18:29:00Z")).contains("AAPL"))
        #expect(facts.symbols(dueAt: Self.time("2026-11-27T18:30:00Z")).contains("AAPL"))
    }

    @Test func `facts of which there were none wait for what else is asked for`() {
        var facts = FactSchedule(["AAPL", "BTC-USD"], pause: 60_000_000)
        facts.failed(at: noon)
        #expect(facts.symbols(dueAt: Self.time("2026-11-24T17:00:59Z")).isEmpty)
        #expect(facts.symbols(dueAt: Self.time("2026-11-24T17:01:00Z")) == ["AAPL", "BTC-USD"])
    }

    @Test func `a market's opening and closing is told once`() {
        var watch = MarketWatch(["AAPL", "BTC-USD", "VOD.L", "MSFT"])
        let first = watch.changes(at: noon)
        #expect(
            first == [
                MarketWatch.Change(
                    symbols: ["AAPL", "MSFT"], until: Self.time("2026-11-24T21:00:00Z"), isOpen: true),
                MarketWatch.Change(symbols: ["BTC-USD"], until: nil, isOpen: true),
            ])
        #expect(watch.changes(at: noon).isEmpty)
        let closed = watch.changes(at: Self.time("2026-11-24T21:00:00Z"))
        #expect(
            closed == [
                MarketWatch.Change(
                    symbols: ["AAPL", "MSFT"], until: Self.time("2026-11-25T14:30:00Z"), isOpen: false)
            ])
    }

    @Test func `while markets are closed nothing is missed`() {
        let watch = MarketWatch(["AAPL", "EURUSD=X"])
        // Thanksgiving is in Tuesday's week; currencies trade on it.
        #expect(watch.firstTrading(from: noon) == noon)
        let night = Self.time("2026-11-26T23:00:00Z")
        #expect(watch.firstTrading(from: night) == night)
        #expect(MarketWatch(["AAPL"]).firstTrading(from: night) == Self.time("2026-11-27T14:30:00Z"))
        #expect(watch.firstTrading(from: Self.time("2026-11-28T12:00:00Z")) == Self.time("2026-11-29T22:00:00Z"))
        // Just after the close last prices are still being set.
        let close = Self.time("2026-11-24T21:00:30Z")
        #expect(MarketWatch(["AAPL"]).firstTrading(from: close) == close)
        #expect(MarketWatch(["AAPL", "VOD.L"]).firstTrading(from: night) == night)
    }
}
