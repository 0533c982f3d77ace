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

    private static func moment(
        _ reader: ParameterReader, _ name: String, _ now: Timestamp
    ) throws(QueryError) -> Timestamp? {
        guard let text = reader.text(name) else { return nil }
        guard let time = Timestamp(text, now: now), TimeRange.isStorable.contains(time.microseconds) else {
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
        let range = TimeRange(from: try moment(reader, "from", now), to: try moment(reader, "to", now)?.next)
        var request = DropInRequest(.finnhub, [symbol], interval, range, limit: configuration.pageSizeLimit)
        request.takesNewest = true
        request.isCSV = try reader.choice("format", ["json", "csv"]) == "csv"
        return request
    }

    // MARK: Binance

    /// `GET /api/v3/klines?symbol&interval&startTime&endTime&timeZone&limit`: both ends inclusive, in milliseconds.
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
        let from = try moment(reader, "startTime", now)
        let range = TimeRange(from: from, to: try moment(reader, "endTime", now)?.next)
        // More than there may be are as many as there may be.
        let limit = min(try reader.integer("limit", in: 1...Int.max) ?? 500, 1000)
        var request = DropInRequest(.binance, [symbol], interval, range, limit: limit)
        request.takesNewest = from == nil
        request.timeInMicroseconds = head["x-mbx-time-unit"]?.uppercased() == "MICROSECOND"
        return request
    }

    // MARK: Yahoo

    /// The ranges of Yahoo's charts, in days; `ytd` and `max` are no fixed number.
    static let yahooRanges: [(name: String, days: Int64)] = [
        ("1d", 1), ("5d", 5), ("1mo", 31), ("3mo", 92), ("6mo", 183), ("1y", 366), ("2y", 731), ("5y", 1827),
        ("10y", 3653),
    ]
    static let yahooRangeNames = yahooRanges.map(\.name) + ["ytd", "max"]

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
            from: try moment(reader, "period1", now), to: try moment(reader, "period2", now))
        var name = ""
        if range.from == nil {
            name = try reader.choice("range", yahooRangeNames) ?? "1d"
            let end = range.to ?? now
            if let days = yahooRanges.first(where: { $0.name == name })?.days {
                range.from = Timestamp(microseconds: end.microseconds - days * Timestamp.microsecondsPerDay)
            } else if name == "ytd" {
                range.from = BarInterval("1y")?.start(of: end)
            }
        }
        if let from = range.from, let to = range.to, from > to {
            throw QueryError(400, "invalid_parameter", "\"period1\" is after \"period2\"")
        }
        let standard = name == "1d" ? "1m" : name == "5d" ? "5m" : "1d"
        let interval = try MarketRequest.interval(reader.text("interval") ?? standard, "interval")
        var request = DropInRequest(.yahoo, [symbol], interval, range, limit: configuration.pageSizeLimit)
        request.takesNewest = true
        request.rangeName = name
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
        let symbols = try MarketRequest.symbols(reader, limit: configuration.symbolLimit)
        guard let symbols else { throw ParameterReader.missing("symbols", allowed: "symbols between commas") }
        let interval = try MarketRequest.interval(try required(reader, "timeframe"), "timeframe")
        let start = try moment(reader, "start", now)
        // Alpaca's own: from the beginning of the day.
        let today = Timeframe.day1.start(of: now)
        let range = TimeRange(from: start ?? today, to: try moment(reader, "end", now)?.next)
        var request = DropInRequest(
            .alpaca, symbols, interval, range, limit: try reader.integer("limit", in: 1...10_000) ?? 1000)
        request.isDescending = try reader.choice("sort", ["asc", "desc"]) == "desc"
        request.page = try PageToken.read(reader, scope: request.scope)
        return request
    }
}
