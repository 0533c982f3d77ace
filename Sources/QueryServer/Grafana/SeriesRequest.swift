// SPDX-License-Identifier: Apache-2.0
// What a panel of lines asks for.

import HTTP
import Market

/// A request for values over time, of one or several symbols.
struct SeriesRequest {
    /// Where values come from.
    enum Source: Equatable {
        /// Every trade where they fit; else the lowest and highest price of each step.
        case prices
        case bars
        /// The closes of the minutes of each step, on the average.
        case means
        case indicators
        case sentiment
    }

    enum Shape: String, CaseIterable {
        /// A row for each time and symbol.
        case long
        /// A row for each time, with a column for each symbol.
        case wide
        /// Data frames, which pages take without columns being declared.
        case frame
    }

    static let names = [
        "symbol", "symbols", "field", "fields", "interval", "intervalMs", "from", "to", "maxDataPoints", "downsample",
        "shape",
    ]

    static let barFields = [
        "open", "high", "low", "close", "volume", "notional", "vwap", "trade_count", "price_volume_multiply",
    ]
    static let sentimentFields = [
        "mean_sentiment", "post_count", "positive_count", "negative_count", "mean_finance_sentiment",
    ]
    static let meanField = "mean_close"
    static let fieldNames = ["price"] + barFields + [meanField] + MarketPlan.indicatorNames + sentimentFields
    /// Those that add up: where there are too many of them, steps become wider instead of points fewer.
    private static let sums: Set<String> = [
        "volume", "notional", "trade_count", "post_count", "positive_count", "negative_count",
    ]

    /// The points read of one symbol, of which `maxDataPoints` are left.
    static let readLimit = 100_000
    /// Points read for each that is shown: what there is to choose from.
    private static let choice = 8

    /// Nil for all that have traded.
    var symbols: [String]?
    /// All of one source.
    var fields: [String]
    var source: Source
    var interval: BarInterval
    /// The step that was asked for, if any was.
    private var asked: BarInterval?
    /// Points that steps are chosen for.
    private var fitting: Int
    var range: TimeRange
    /// Of one symbol.
    var points: Int
    /// About the rows that are read of one symbol.
    var rows: Int {
        // All that there is, where the range has no beginning.
        if range.from == nil { return Self.readLimit }
        return source == .means
            ? points * Int(max(1, interval.narrowestWidth / Timeframe.minute1.microseconds)) : points
    }
    var downsampling: Downsampling
    var shape: Shape
    /// Whether no point may be left out: one may be the highest of the range, or a part of its sum.
    var keepsAll: Bool { source == .prices || adds }
    private var adds: Bool { fields.contains { Self.sums.contains($0) } }

    init(
        _ query: some Sequence<QueryParameters.Pair>, now: Timestamp, _ configuration: QueryServer.Configuration
    ) throws(QueryError) {
        let reader = try ParameterReader(try GrafanaParameters.pairs(query), known: Self.names)
        symbols = try GrafanaParameters.symbols(reader)
        if symbols == nil && !reader.has("symbol") && !reader.has("symbols") {
            throw ParameterReader.missing("symbols", allowed: "symbols between commas; $__all for all")
        }
        (fields, source) = try Self.fields(reader)
        range = try TimeRange(reader, now: now)
        points = try GrafanaParameters.points(reader, standard: configuration.pageSizeDefault)
        downsampling = .lttb
        if let name = try reader.choice("downsample", Downsampling.allCases.map(\.rawValue)),
            let method = Downsampling(rawValue: name)
        {
            downsampling = method
        }
        shape = .long
        if let name = try reader.choice("shape", Shape.allCases.map(\.rawValue)), let asked = Shape(rawValue: name) {
            shape = asked
        }
        asked = try GrafanaParameters.interval(reader)
        let most = GrafanaParameters.valueLimit / max(1, (symbols?.count ?? 1) * fields.count)
        points = min(points, most)
        fitting = points
        interval = .init(.minute1)
        interval = step(range, now)
        if downsampling == .none { points = min(Self.readLimit, most) }
    }

    /// The request over all that there is, which begins and ends at these moments: in the steps that fit it.
    func beginning(_ first: Timestamp, end: Timestamp) -> SeriesRequest {
        var request = self
        request.interval = step(TimeRange(from: first, to: end), end)
        if source == .prices {
            // Its points lie within the range.
            request.range = TimeRange(from: first, to: end)
        } else {
            // A step counts that begins in the range.
            request.range.from = request.interval.start(of: first)
        }
        return request
    }

    private static func fields(_ reader: ParameterReader) throws(QueryError) -> ([String], Source) {
        var fields: [String] = []
        for name in ["field", "fields"] {
            for field in reader.list(name) {
                guard fieldNames.contains(field) else {
                    throw ParameterReader.invalid(
                        name, field, allowed: fieldNames.joined(separator: ", "),
                        hint: ParameterReader.closest(to: field, fieldNames).map { "Perhaps you meant \"\($0)\"." })
                }
                if !fields.contains(field) { fields.append(field) }
            }
        }
        if fields.isEmpty { fields = ["close"] }
        let source = source(fields[0])
        if let other = fields.first(where: { Self.source($0) != source }) {
            throw QueryError(
                400, "invalid_parameter", "\"\(fields[0])\" and \"\(other)\" are not of one table",
                hint: "Ask for them in two queries of the panel.")
        }
        return (fields, source)
    }

    private static func source(_ field: String) -> Source {
        if field == "price" { return .prices }
        if barFields.contains(field) { return .bars }
        if field == meanField { return .means }
        return sentimentFields.contains(field) ? .sentiment : .indicators
    }

    /// The step that values are read in: the one asked for, else the narrowest that gives no more points than can be
    /// chosen from; wider where more would have to be read than may be. Of what is stored in a few widths only, the
    /// narrowest of these that is no narrower.
    private func step(_ range: TimeRange, _ now: Timestamp) -> BarInterval {
        let wanted: Int
        switch source {
        // Each step is a low and a high, the last one has a close as well.
        case .prices: wanted = max(1, (fitting - 1) / 2)
        case .bars, .means, .sentiment: wanted = adds ? fitting : fitting * Self.choice
        case .indicators: wanted = fitting
        }
        let narrowest = GrafanaParameters.narrowest(range, now: now, count: min(wanted, Self.readLimit))
        let most = adds && downsampling != .none ? fitting : Self.readLimit
        let wide = asked.map { GrafanaParameters.atLeast($0, range, now: now, count: most) } ?? narrowest
        switch source {
        case .prices: return narrowest
        case .bars: return wide
        case .means:
            // Of whole minutes: what is made of them begins with one.
            let minute = Timeframe.minute1
            return wide.base >= minute
                ? wide : GrafanaParameters.narrowest(atLeast: max(wide.narrowestWidth, minute.microseconds))
        case .indicators, .sentiment:
            let stored = Timeframe.allCases.filter { source == .indicators || $0 >= .minute1 }
            // What is drawn as it is, is of the width asked for; what is added up comes in no more steps than fit.
            let least = adds && downsampling != .none ? wide : asked ?? wide
            return BarInterval(stored.first { $0.microseconds >= least.narrowestWidth } ?? .day1)
        }
    }
}
