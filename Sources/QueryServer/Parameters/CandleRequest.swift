// SPDX-License-Identifier: Apache-2.0
// What Grafana's candlestick panel asks for.

import HTTP
import Market

/// A request for the bars of one symbol.
struct CandleRequest: Equatable {
    static let names = ["symbol", "interval", "from", "to", "maxDataPoints", "limit"]

    var symbol: String
    var timeframe: Timeframe
    var range: TimeRange
    /// Candles at most: the newest ones of the range.
    var limit: Int

    init(_ query: QueryParameters, now: Timestamp, _ configuration: QueryServer.Configuration) throws(QueryError) {
        let reader = try ParameterReader(query, known: Self.names)
        guard let symbol = reader.text("symbol") else {
            throw ParameterReader.missing("symbol", allowed: "one symbol")
        }
        try MarketRequest.check(symbol, "symbol")
        self.symbol = symbol
        range = try TimeRange(reader, now: now)
        let points = try reader.integer("maxDataPoints", in: 1...1_000_000) ?? configuration.pageSizeDefault
        limit =
            try reader.integer("limit", in: 1...configuration.pageSizeLimit)
            ?? (range.from == nil ? min(points, configuration.pageSizeLimit) : configuration.pageSizeLimit)
        timeframe = try Self.timeframe(reader.text("interval"), range, points: points, now: now)
    }

    /// The timeframe for Grafana's interval: the narrowest that is not narrower. `$__interval`, which arrives as it is
    /// in alerts, and `auto` mean as many candles as points fit the panel.
    private static func timeframe(
        _ interval: String?, _ range: TimeRange, points: Int, now: Timestamp
    ) throws(QueryError) -> Timeframe {
        guard let interval, interval != "auto", !interval.hasPrefix("$") else {
            guard let from = range.from else { return .minute1 }
            let width = (range.to ?? now).microseconds - from.microseconds
            return narrowest(atLeast: width / Int64(points))
        }
        if let exact = Timeframe(name: interval) { return exact }
        guard let width = microseconds(interval) else {
            throw ParameterReader.invalid(
                "interval", interval, allowed: "a number with ms, s, m, h, d or w, as in 1m; auto; $__interval")
        }
        return narrowest(atLeast: width)
    }

    private static func narrowest(atLeast width: Int64) -> Timeframe {
        Timeframe.allCases.first { $0.microseconds >= width } ?? .day1
    }

    /// Grafana's durations: `500ms`, `30s`, `1m`, `2h`, `1d`, `1w`, `1M`, `1y`.
    private static func microseconds(_ text: String) -> Int64? {
        let digits = text.prefix { $0.isASCII && $0.isNumber }
        guard let count = Int64(digits), (1...1_000_000).contains(count) else { return nil }
        let unit: Int64? =
            switch text.dropFirst(digits.count) {
            case "ms": 1000
            case "s": 1_000_000
            case "m": 60_000_000
            case "h": 3_600_000_000
            case "d": Timestamp.microsecondsPerDay
            case "w": 7 * Timestamp.microsecondsPerDay
            case "M": 30 * Timestamp.microsecondsPerDay
            case "y": 365 * Timestamp.microsecondsPerDay
            default: nil
            }
        return unit.map { unit in
            let (width, overflows) = unit.multipliedReportingOverflow(by: count)
            return overflows ? .max : width
        }
    }
}
