// SPDX-License-Identifier: Apache-2.0
// What the clients of other services ask for, in the services' own words.

import HTTP
import Market

/// A request for bars as one of the services spells it, in the terms of ours.
struct DropInRequest: Equatable {
    /// The services whose requests and replies are understood.
    enum Service { case finnhub, binance, yahoo, alpaca }

    var service: Service
    /// One; several for Alpaca, in bytewise order.
    var symbols: [String]
    var interval: BarInterval
    /// Half-open, whatever the service's own is.
    var range: TimeRange
    var limit: Int
    /// Whether the bars nearest to the end of the range are meant where there are too many.
    var takesNewest = false
    var isDescending = false
    var page: PageToken?
    /// Binance: times in microseconds.
    var timeInMicroseconds = false
    /// Finnhub: CSV.
    var isCSV = false
    /// Yahoo: the range as the client has it, for the reply.
    var rangeName = ""
    /// Yahoo: whether the times before and after the market's own are asked for.
    var includesExtendedHours = false

    /// What a page token of Alpaca must agree in.
    var scope: String { "alpaca \(interval.name) \(isDescending ? "desc" : "asc")" }

    private init(_ service: Service, _ symbols: [String], _ interval: BarInterval, _ range: TimeRange, limit: Int) {
        self.service = service
        self.symbols = symbols
        self.interval = interval
        self.range = range
        // Some ends follow from the time of the request.
        self.range.isRelative = true
        self.limit = limit
    }

    /// Names under which clients of these services look for a symbol: as it is, and with the venue in front that they
    /// leave out.
    static func candidates(_ symbol: String, _ service: Service) -> [String] {
        service == .binance && !symbol.contains(":") ? [symbol, "BINANCE:\(symbol)"] : [symbol]
    }

    private static func required(_ reader: ParameterReader, _ name: String) throws(QueryError) -> String {
        guard let text = reader.text(name) else { throw ParameterReader.missing(name, allowed: "a value") }
        return text
    }

    /// - Parameter begins: whether it is where a range begins, which nanoseconds take beyond the microsecond.
    private static func moment(
        _ reader: ParameterReader, _ name: String, _ now: Timestamp, begins: Bool = false
    ) throws(QueryError) -> Timestamp? {
        guard let text = reader.text(name) else { return nil }
        guard let time = Timestamp(text, now: now, roundsUp: begins), TimeRange.isStorable.contains(time.microseconds)
        else {
            throw ParameterReader.invalid(name, text, allowed: TimeRange.allowed)
        }
        return time
    }

    // MARK: Finnhub

    /// `GET /api/v1/stock/candle?symbol&resolution&from&to`: both ends inclusive, in seconds.
    static func finnhub(
        _ query: QueryParameters, now: Timestamp, _ configuration: QueryServer.Configuration
    ) throws(QueryError) -> DropInRequest {
        let reader = try ParameterReader(
            query, known: ["symbol", "resolution", "from", "to", "format", "adjusted", "token"])
        let symbol = try required(reader, "symbol")
        try MarketRequest.check(symbol, "symbol")
        let interval = try MarketRequest.interval(try required(reader, "resolution"), "resolution")
        _ = try required(reader, "from")
        _ = try required(reader, "to")
        let range = TimeRange(
            from: try moment(reader, "from", now, begins: true), to: try moment(reader, "to", now)?.next)
        var request = DropInRequest(.finnhub, [symbol], interval, range, limit: configuration.pageSizeLimit)
        request.isCSV = try reader.choice("format", ["json", "csv"]) == "csv"
        return request
    }

    // MARK: Binance

    /// `GET /api/v3/klines?symbol&interval&startTime&endTime&timeZone&limit`: both ends inclusive; the reply's times are in
    /// milliseconds, or the unit of `X-MBX-TIME-UNIT`.
    static func binance(_ query: QueryParameters, _ head: RequestHead, now: Timestamp) throws(QueryError)
        -> DropInRequest
    {
        let reader = try ParameterReader(
            query, known: ["symbol", "interval", "startTime", "endTime", "timeZone", "limit"])
        let symbol = try required(reader, "symbol")
        try MarketRequest.check(symbol, "symbol")
        let interval = try MarketRequest.interval(try required(reader, "interval"), "interval")
        if let zone = reader.text("timeZone"), !["0", "0:00", "00:00", "+00:00", " 00:00", "UTC"].contains(zone) {
            throw ParameterReader.invalid("timeZone", zone, allowed: "0: bars begin by UTC")
        }
        let from = try moment(reader, "startTime", now, begins: true)
        let range = TimeRange(from: from, to: try moment(reader, "endTime", now)?.next)
        // More than there may be are as many as there may be.
        let limit = min(try reader.integer("limit", in: 1...Int.max) ?? 500, 1000)
        var request = DropInRequest(.binance, [symbol], interval, range, limit: limit)
        request.takesNewest = from == nil
        request.timeInMicroseconds = try timeInMicroseconds(head)
        return request
    }

    /// Whether a client of Binance's wants times in microseconds instead of milliseconds.
    static func timeInMicroseconds(_ head: RequestHead) throws(QueryError) -> Bool {
        // In the wrong unit times are off by a thousand: what is not understood is not taken for the usual.
        switch head["x-mbx-time-unit"] {
        case nil, "MILLISECOND", "millisecond": return false
        case "MICROSECOND", "microsecond": return true
        case let unit?: throw ParameterReader.invalid(timeUnitName, unit, allowed: "MICROSECOND or MILLISECOND")
        }
    }

    /// The field of the head that says in which unit times are to be.
    static let timeUnitName = "X-MBX-TIME-UNIT"

    // MARK: Yahoo

    /// The ranges that Yahoo's charts offer.
    static let yahooRangeNames = ["1d", "5d", "1mo", "3mo", "6mo", "1y", "2y", "5y", "10y", "ytd", "max"]

    /// The longest range of Yahoo's, in days.
    private static let yahooDaysLimit: Int64 = 366_000

    /// The days of a range as its clients write it: `7d`, `2wk`, `3mo`, `1y`; of months and years never too few. Nil
    /// for other texts.
    static func yahooDays(_ range: String) -> Int64? {
        let digits = range.utf8.prefix { $0 &- 0x30 < 10 }
        guard digits.count <= 6, let count = Int64(String(decoding: digits, as: UTF8.self)), count > 0 else {
            return nil
        }
        let days: Int64
        switch range.dropFirst(digits.count) {
        case "d": days = count
        case "wk": days = count * 7
        // Half a day more than 30, and a quarter more than 365.
        case "mo": days = (count * 61 + 1) / 2
        case "y": days = (count * 1461 + 3) / 4
        default: return nil
        }
        return days <= yahooDaysLimit ? days : nil
    }

    /// `GET /v8/finance/chart/{symbol}?interval&range|period1&period2`, in seconds.
    static func yahoo(
        _ symbol: String, _ query: QueryParameters, now: Timestamp, _ configuration: QueryServer.Configuration
    ) throws(QueryError) -> DropInRequest {
        let reader = try ParameterReader(
            query,
            known: [
                "interval", "range", "period1", "period2", "events", "includePrePost", "includeAdjustedClose",
                "useYfid",
                "crumb", "lang", "region", "corsDomain", "formatted", ".tsrc", "close", "numberOfPoints", "symbol",
            ])
        try MarketRequest.check(symbol, "symbol")
        var range = TimeRange(
            from: try moment(reader, "period1", now, begins: true), to: try moment(reader, "period2", now))
        var name = ""
        var standard = "1d"
        if range.from == nil {
            name = reader.text("range") ?? "1d"
            let end = range.to ?? now
            if let days = yahooDays(name) {
                range.from = Timestamp(
                    microseconds: max(
                        end.microseconds - days * Timestamp.microsecondsPerDay, TimeRange.isStorable.lowerBound))
                standard = days <= 1 ? "1m" : days <= 5 ? "5m" : "1d"
            } else if name == "ytd" {
                range.from = BarInterval("1y")?.start(of: end)
            } else if name != "max" {
                throw ParameterReader.invalid(
                    "range", name,
                    allowed: "one of \(yahooRangeNames.joined(separator: ", ")), or another number of d, wk, mo or y")
            }
        }
        if let from = range.from, let to = range.to, from > to {
            throw QueryError(400, "invalid_parameter", "\"period1\" is after \"period2\"")
        }
        let interval = try MarketRequest.interval(reader.text("interval") ?? standard, "interval")
        var request = DropInRequest(.yahoo, [symbol], interval, range, limit: configuration.pageSizeLimit)
        request.rangeName = name
        request.includesExtendedHours = ["true", "1"].contains(reader.text("includePrePost")?.lowercased())
        return request
    }

    // MARK: Alpaca

    /// `GET /v2/stocks/bars?symbols&timeframe&start&end&limit&page_token&sort`: both ends inclusive, RFC 3339.
    static func alpaca(
        _ query: QueryParameters, now: Timestamp, _ configuration: QueryServer.Configuration
    ) throws(QueryError) -> DropInRequest {
        let reader = try ParameterReader(
            query,
            known: [
                "symbols", "timeframe", "start", "end", "limit", "page_token", "sort", "feed", "asof", "adjustment",
                "currency",
            ], repeatable: ["symbols"])
        guard !reader.list("symbols").isEmpty,
            let symbols = try MarketRequest.symbols(reader, limit: configuration.symbolLimit)
        else { throw ParameterReader.missing("symbols", allowed: "symbols between commas") }
        let interval = try MarketRequest.interval(try required(reader, "timeframe"), "timeframe")
        let start = try moment(reader, "start", now, begins: true)
        // Alpaca's own: from the beginning of the day.
        let today = Timeframe.day1.start(of: now)
        let range = TimeRange(from: start ?? today, to: try moment(reader, "end", now)?.next)
        var request = DropInRequest(
            .alpaca, symbols, interval, range,
            limit: min(try reader.integer("limit", in: 1...10_000) ?? 1000, configuration.pageSizeLimit))
        request.isDescending = try reader.choice("sort", ["asc", "desc"]) == "desc"
        request.page = try PageToken.read(reader, scope: request.scope, symbols: symbols)
        return request
    }
}
