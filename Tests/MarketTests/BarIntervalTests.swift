// SPDX-License-Identifier: Apache-2.0

import Testing

@testable import Market

private func time(_ text: String) -> Timestamp {
    guard let time = Timestamp(parsing: text) else { fatalError(text) }
    return time
}

@Suite struct BarIntervalTests {
    @Test(arguments: [
        ("1m", "1m", Timeframe.minute1), ("1", "1m", .minute1), ("60", "1h", .hour1), ("D", "1d", .day1),
        ("W", "1w", .day1), ("M", "1M", .day1), ("1Min", "1m", .minute1), ("5Min", "5m", .minute5),
        ("1Hour", "1h", .hour1), ("1Day", "1d", .day1), ("1Week", "1w", .day1), ("1Month", "1M", .day1),
        ("1T", "1m", .minute1), ("5T", "5m", .minute5), ("59T", "59m", .minute1), ("59Min", "59m", .minute1),
        ("1H", "1h", .hour1), ("23H", "23h", .hour1), ("23Hour", "23h", .hour1), ("1W", "1w", .day1),
        ("12Month", "12M", .day1), ("3M", "3M", .day1), ("1wk", "1w", .day1), ("3mo", "3M", .day1), ("1M", "1M", .day1),
        ("1y", "12M", .day1),
        ("30m", "30m", .minute15),
        ("90m", "90m", .minute15), ("240", "4h", .hour1), ("4h", "4h", .hour1), ("10s", "10s", .second5),
        ("7s", "7s", .second1), ("2m", "2m", .minute1), ("24h", "1d", .day1), ("3d", "3d", .day1),
    ])
    func `an interval is read in every spelling`(_ text: String, _ name: String, _ base: Timeframe) {
        let interval = BarInterval(text)
        #expect(interval?.name == name)
        #expect(interval?.base == base)
        #expect(interval.flatMap { BarInterval($0.name) } == interval)
    }

    @Test(arguments: [
        "", "0", "0m", "m", "d", "s", "1x", "-1m", "1.5h", "1 m", "9999999", "4000d", "11y", "1µs", "1MIN!",
    ])
    func `what is no interval is none`(_ text: String) { #expect(BarInterval(text) == nil) }

    @Test func `stored timeframes are themselves`() {
        for timeframe in Timeframe.allCases {
            #expect(BarInterval(timeframe.name) == BarInterval(timeframe))
            #expect(BarInterval(timeframe).timeframe == timeframe && BarInterval(timeframe).barsEach == 1)
        }
        #expect(BarInterval("4h")?.timeframe == nil && BarInterval("4h")?.barsEach == 4)
    }

    @Test(arguments: [
        ("1w", "2024-01-01T00:00:00Z", "2024-01-01T00:00:00Z"), ("1w", "2024-01-07T23:59:59Z", "2024-01-01T00:00:00Z"),
        ("1w", "1969-12-31T00:00:00Z", "1969-12-29T00:00:00Z"), ("1M", "2024-02-29T12:00:00Z", "2024-02-01T00:00:00Z"),
        ("3M", "2024-06-30T00:00:00Z", "2024-04-01T00:00:00Z"), ("1y", "1969-06-01T00:00:00Z", "1969-01-01T00:00:00Z"),
        ("7d", "2024-02-29T12:00:00Z", "2024-02-26T00:00:00Z"), ("84h", "2024-02-29T12:00:00Z", "2024-02-29T12:00:00Z"),
        ("7h", "2024-02-26T06:59:59Z", "2024-02-26T00:00:00Z"), ("7d", "1969-12-31T00:00:00Z", "1969-12-29T00:00:00Z"),
        ("14d", "2024-03-13T00:00:00Z", "2024-02-29T00:00:00Z"), ("9h", "1970-01-01T10:00:00Z", "1970-01-01T09:00:00Z"),
        ("4h", "2024-01-01T07:59:00Z", "2024-01-01T04:00:00Z"), ("30m", "1969-12-31T23:40:00Z", "1969-12-31T23:30:00Z"),
    ])
    func `a bar starts where its calendar says`(_ name: String, _ moment: String, _ start: String) {
        #expect(BarInterval(name)?.start(of: time(moment)) == time(start))
    }

    @Test func `each bar follows the one before it`() {
        var generator = SystemRandomNumberGenerator()
        for name in ["1s", "7m", "4h", "7h", "1d", "7d", "2w", "1M", "3M", "12M"] {
            guard let interval = BarInterval(name) else { continue }
            for _ in 0..<500 {
                let moment = Timestamp(
                    microseconds: .random(in: -3_000_000_000_000_000...5_000_000_000_000_000, using: &generator))
                let start = interval.start(of: moment)
                let next = interval.start(after: start)
                #expect(start <= moment && moment < next, "\(name) \(moment)")
                #expect(interval.start(of: start) == start && interval.start(of: next) == next)
                #expect(interval.start(after: next, by: -1) == start)
            }
        }
    }
}
