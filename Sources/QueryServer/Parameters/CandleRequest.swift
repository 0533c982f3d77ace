// SPDX-License-Identifier: Apache-2.0
// What Grafana's candlestick panel asks for.

import HTTP
import Market

/// A request for the bars of one symbol.
struct CandleRequest: Equatable {
    static let names = ["symbol", "symbols", "interval", "intervalMs", "from", "to", "maxDataPoints", "limit", "shape"]

    var symbol: String
    var interval: BarInterval
    var range: TimeRange
    /// Candles at most: the newest ones of the range.
    var limit: Int
    /// Whether data frames are wanted instead of rows.
    var isFrame: Bool

    /// - Parameter most: the candles that the client may have; nil for any.
    init(
        _ query: some Sequence<QueryParameters.Pair>, now: Timestamp, _ configuration: QueryServer.Configuration,
        most: Int? = nil
    ) throws(QueryError) {
        let reader = try ParameterReader(try GrafanaParameters.pairs(query), known: Self.names)
        guard let symbols = try GrafanaParameters.symbols(reader) else {
            throw GrafanaParameters.needsSymbol(reader, allowed: "one symbol: the panel draws no more")
        }
        if symbols.count > 1 {
            throw ParameterReader.invalid(
                "symbol", symbols.joined(separator: ","), allowed: "one symbol: the panel draws no more")
        }
        symbol = symbols[0]
        range = try TimeRange(reader, now: now)
        let isBounded = reader.text("maxDataPoints") != nil
        let points = try GrafanaParameters.points(reader, standard: configuration.pageSizeDefault)
        limit =
            try reader.integer("limit", in: 1...configuration.pageSizeLimit)
            ?? (range.from == nil ? min(points, configuration.pageSizeLimit) : configuration.pageSizeLimit)
        isFrame = try reader.choice("shape", ["long", "frame"]) == "frame"
        let fitting = GrafanaParameters.narrowest(range, now: now, count: min(points, most ?? points))
        guard let asked = try GrafanaParameters.interval(reader) else {
            interval = fitting
            return
        }
        // What would not fit the panel is merged, so that no high or low is lost.
        let isTooNarrow =
            isBounded && GrafanaParameters.atLeast(asked, range, now: now, count: points).name != asked.name
        interval = isTooNarrow ? fitting : asked
    }
}
