// SPDX-License-Identifier: Apache-2.0

import Foundation
import Testing

@testable import Market

struct TradingCalendarTests {
    private func time(_ text: String) throws -> Timestamp { try #require(Timestamp(parsing: text)) }

    /// Sessions of XNYS as the package exchange_calendars has them: `Fixtures/xnys.csv`.
    @Test func `sessions of New York are those of another calendar, from 2007 to 2045`() throws {
        let file = URL(filePath: #filePath).deletingLastPathComponent().appending(path: "Fixtures/xnys.csv")
        let lines = try String(contentsOf: file, encoding: .utf8).split(separator: "\n").filter { !$0.hasPrefix("#") }
        var closed: Set<String> = []
        var half: Set<String> = []
        var openings: [String: String] = [:]
        for line in lines.dropFirst() {
            let fields = line.split(separator: ",").map { String($0) }
            switch fields[1] {
            case "closed": closed.insert(fields[0])
            case "half": half.insert(fields[0])
            default: openings[fields[0]] = fields[2]
            }
        }
        try #require(closed.count > 300 && half.count > 60 && openings.count == 78)
        var opening = "14:30:00"
        var date = CivilDate(year: 2007, month: 1, day: 1)
        while date.year <= 2045 {
            let name = String(
                Timestamp(microseconds: date.daysSinceEpoch * Timestamp.microsecondsPerDay).description.prefix(10))
            let session = TradingCalendar.newYork.session(on: date)
            let isWeekend = [.saturday, .sunday].contains(date.weekday)
            #expect((session == nil) == (isWeekend || closed.contains(name)), "\(name)")
            if let session {
                opening = openings[name] ?? opening
                #expect(session.isHalfDay == half.contains(name), "\(name)")
                #expect(session.open.description == "\(name)T\(opening)Z")
                let minutes: Int64 = session.isHalfDay ? 210 : 390
                #expect(session.close.microseconds - session.open.microseconds == minutes * 60_000_000)
            }
            date = date.adding(days: 1)
        }
    }

    @Test(arguments: [
        (
            "2026-11-27T14:29:59.999999Z",
            TradingCalendar.State.closed(until: Timestamp(parsing: "2026-11-27T14:30:00Z")!)
        ),
        // The day after Thanksgiving.
        ("2026-11-27T14:30:00Z", .open(until: Timestamp(parsing: "2026-11-27T18:00:00Z")!)),
        ("2026-11-27T18:00:00Z", .closed(until: Timestamp(parsing: "2026-11-30T14:30:00Z")!)),
        // Clocks changed in between.
        ("2026-03-06T21:00:00Z", .closed(until: Timestamp(parsing: "2026-03-09T13:30:00Z")!)),
        ("2026-12-24T23:00:00Z", .closed(until: Timestamp(parsing: "2026-12-28T14:30:00Z")!)),
        // Still the day before in New York.
        ("2026-07-07T02:00:00Z", .closed(until: Timestamp(parsing: "2026-07-07T13:30:00Z")!)),
    ])
    func `a moment is in a session, or before the next`(text: String, state: TradingCalendar.State) throws {
        #expect(TradingCalendar.newYork.state(at: try time(text)) == state)
    }

    @Test func `currencies trade from Sunday to Friday, five in the afternoon in New York`() throws {
        let forex = TradingCalendar.foreignExchange
        #expect(
            forex.state(at: try time("2026-07-05T20:59:59Z")) == .closed(until: try time("2026-07-05T21:00:00Z")))
        #expect(forex.state(at: try time("2026-07-05T21:00:00Z")) == .open(until: try time("2026-07-10T21:00:00Z")))
        #expect(forex.state(at: try time("2026-07-08T04:00:00Z")) == .open(until: try time("2026-07-10T21:00:00Z")))
        // In winter an hour later, and over the change of clocks.
        #expect(
            forex.state(at: try time("2026-10-30T21:00:00Z")) == .closed(until: try time("2026-11-01T22:00:00Z")))
        #expect(try forex.lastClose(before: time("2026-07-12T00:00:00Z")) == time("2026-07-10T21:00:00Z"))
    }

    @Test func `crypto-currencies never close`() throws {
        #expect(TradingCalendar.aroundTheClock.state(at: try time("2026-12-25T12:00:00Z")) == .open(until: nil))
    }

    @Test func `the last close is that of a half day too`() throws {
        let market = TradingCalendar.newYork
        #expect(try market.lastClose(before: time("2026-11-29T12:00:00Z")) == time("2026-11-27T18:00:00Z"))
        #expect(try market.lastClose(before: time("2026-11-27T18:00:00Z")) == time("2026-11-27T18:00:00Z"))
        #expect(try market.lastClose(before: time("2026-11-27T17:59:59Z")) == time("2026-11-25T21:00:00Z"))
    }

    @Test(
        arguments: [
            ("AAPL", TradingCalendar.newYork), ("BRK.B", .newYork), ("BRK-B", .newYork),
            ("BINANCE:BTCUSDT", .aroundTheClock),
            ("BTC-USD", .aroundTheClock), ("OANDA:EUR_USD", .foreignExchange), ("IC MARKETS:1", .foreignExchange),
            ("EURUSD=X", .foreignExchange), ("VOD.L", nil), ("SAP.DE", nil), ("ES=F", nil), ("^GSPC", .newYork),
        ] as [(String, TradingCalendar?)])
    func `a symbol tells its market`(symbol: String, market: TradingCalendar?) {
        #expect(TradingCalendar.of(symbol) == market)
    }
}
