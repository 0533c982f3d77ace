// SPDX-License-Identifier: Apache-2.0
// What a request for one of the REST resources asks for.

import EventLoop
import HTTP
import Market

/// The resources that are lists of rows.
enum MarketResource: String, Sendable, CaseIterable {
    case bars, indicators, trades, latest, symbols, alerts

    /// The parameters it knows.
    var names: [String] {
        switch self {
        case .bars: Self.barNames
        case .indicators: Self.indicatorNames
        case .trades, .alerts: Self.rangeNames
        case .latest: Self.pageNames
        case .symbols: Self.searchNames
        }
    }

    // In the order in which errors name them: what is asked for first, how it is to come last.
    private static let symbolNames = ["symbol", "symbols"]
    private static let formNames = ["limit", "order", "page_token", "format", "time"]
    private static let pageNames = symbolNames + formNames
    private static let rangeNames = symbolNames + ["from", "to"] + formNames
    private static let indicatorNames = symbolNames + ["timeframe", "from", "to"] + formNames
    private static let barNames = indicatorNames + ["fill", "shape", "value"]
    private static let searchNames = ["search"] + pageNames
}

/// A page of a REST resource, checked as far as can be without PostgreSQL.
struct MarketRequest {
    var resource: MarketResource
    /// In bytewise order, without repeats; nil for all.
    var symbols: [String]?
    /// Of bars; stored ones only for indicators.
    var interval = BarInterval(.minute1)
    var layout = BarLayout()
    var range = TimeRange()
    /// Part of a symbol or a name.
    var search: String?
    var limit: Int
    var isDescending = false
    var page: PageToken?
    var format: ReplyFormat
    /// Times as epoch milliseconds instead of RFC 3339.
    var timeInMilliseconds = false

    /// What a page token must agree in.
    var scope: String { Self.scope(resource, interval, layout, isDescending) }

    /// The stored bars that are read.
    var timeframe: Timeframe { interval.base }

    /// - Parameter now: what `now` means.
    init(
        _ resource: MarketResource, _ query: QueryParameters, accept: [String], now: Timestamp,
        _ configuration: QueryServer.Configuration
    ) throws(QueryError) {
        let reader = try ParameterReader(query, known: resource.names, repeatable: ["symbol", "symbols"])
        self.resource = resource
        symbols = try Self.symbols(reader, limit: configuration.symbolLimit)
        if let name = reader.text("timeframe") {
            interval = try Self.interval(name, "timeframe", onlyStored: resource == .indicators)
        }
        if resource == .bars { layout = try BarLayout(reader) }
        range = try TimeRange(reader, now: now)
        search = reader.text("search")
        limit = try reader.integer("limit", in: 1...configuration.pageSizeLimit) ?? configuration.pageSizeDefault
        if reader.has("order") { isDescending = try reader.choice("order", ["asc", "desc"]) == "desc" }
        if reader.has("time") { timeInMilliseconds = try reader.choice("time", ["iso", "ms"]) == "ms" }
        if reader.has("format"), let name = try reader.choice("format", ReplyFormat.rest.map(\.rawValue)),
            let format = ReplyFormat(rawValue: name)
        {
            self.format = format
        } else {
            format = try ReplyFormat(accept: accept)
        }
        page = try PageToken.read(
            reader, scope: Self.scope(resource, interval, layout, isDescending), symbols: symbols)
        try layout.check(self)
    }

    private static func scope(
        _ resource: MarketResource, _ interval: BarInterval, _ layout: BarLayout, _ isDescending: Bool
    ) -> String {
        let order = isDescending ? "desc" : "asc"
        switch resource {
        case .bars, .indicators: return "\(resource.rawValue) \(interval.name) \(order)\(layout.scope)"
        default: return "\(resource.rawValue) \(order)"
        }
    }

    /// Whether the rows are those of the store, as they are.
    var isOfStoredRows: Bool { interval.timeframe != nil && layout.fill == .none && layout.shape == .rows }

    /// The rows of the store that a page may have to read.
    var rowsToRead: Int { limit * interval.barsEach * (layout.shape == .wide ? symbols?.count ?? 1 : 1) }

    /// The moment by which all trades have happened that the rows are made of: the end of the last bar, which may be
    /// after that of the range. Nil where there is none, or another each time.
    var closing: Timestamp? {
        guard let to = range.to, !range.isRelative else { return nil }
        switch resource {
        case .trades: return to
        case .bars, .indicators:
            return interval.start(after: interval.start(of: Timestamp(microseconds: to.microseconds - 1)))
        case .latest, .symbols, .alerts: return nil
        }
    }

    /// The interval that a parameter names.
    static func interval(
        _ text: String, _ name: String, onlyStored: Bool = false
    ) throws(QueryError) -> BarInterval {
        if let interval = BarInterval(text), !onlyStored || interval.timeframe != nil { return interval }
        let stored = Timeframe.allCases.map(\.name).joined(separator: ", ")
        throw ParameterReader.invalid(
            name, text,
            allowed: onlyStored
                ? "one of \(stored), or another name of these, such as 60 or 1Hour"
                : "\(stored); a multiple, such as 30m, 4h, 1w, 1M, up to \(BarInterval.longestDays) days; or "
                    + "another name, such as 60, D, 1Min, 1Hour, 1wk, 1mo")
    }

    /// Of `symbol` and `symbols`, which mean the same: one, or several between commas.
    static func symbols(_ reader: ParameterReader, limit: Int) throws(QueryError) -> [String]? {
        guard reader.has("symbol") || reader.has("symbols") else { return nil }
        var listed: [String] = []
        for name in ["symbol", "symbols"] {
            for symbol in reader.list(name) {
                try check(symbol, name)
                listed.append(symbol)
            }
        }
        if listed.count == 1 { return listed }
        let found = Set(listed)
        if found.isEmpty {
            let name = reader.has("symbol") ? "symbol" : "symbols"
            throw QueryError(
                400, "missing_parameter", "parameter \"\(name)\" is empty",
                details: "Allowed: a symbol, or several between commas.", hint: "Leave it out for all.")
        }
        if found.count > limit {
            throw QueryError(400, "too_many_symbols", "more than \(limit) symbols")
        }
        return found.sorted { $0.utf8.lexicographicallyPrecedes($1.utf8) }
    }

    static func check(_ symbol: String, _ name: String) throws(QueryError) {
        var symbol = symbol
        let isValid = symbol.withUTF8 { SymbolSyntax.isValid(UnsafeRawBufferPointer($0)) }
        if isValid { return }
        throw ParameterReader.invalid(
            name, symbol,
            allowed: "1 to \(SymbolSyntax.maximumLength) ASCII letters, digits and . - _ : / ^ = & + @ # $ ! * ~ |",
            hint: "In a URL, write & as %26, + as %2B and # as %23.")
    }
}
