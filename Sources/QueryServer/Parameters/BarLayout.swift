// SPDX-License-Identifier: Apache-2.0
// In which shape bars are wanted, and what stands where there are none.

import Market

/// The shape of a reply of bars.
struct BarLayout: Equatable {
    /// What stands for a period without trades between two bars of a symbol.
    enum Fill: String, CaseIterable {
        /// Nothing: there is no bar.
        case none
        /// A bar without prices.
        case null
        /// A bar at the close of the bar before.
        case prev
        /// A bar on the straight line between the closes around it.
        case linear
    }

    enum Shape: String, CaseIterable {
        /// A row for each bar.
        case rows
        /// A row for each time, with a column for each symbol.
        case wide
        /// Arrays of one symbol: `{s,t,o,h,l,c,v}`, as Finnhub and TradingView's UDF have them.
        case columns
    }

    /// What stands in the columns of `wide`.
    enum Value: String, CaseIterable { case open, high, low, close, volume, vwap }

    var fill = Fill.none
    var shape = Shape.rows
    var value = Value.close

    /// Symbols side by side in one reply.
    static let wideSymbolLimit = 100

    init() {}

    init(_ reader: ParameterReader) throws(QueryError) {
        if let text = try reader.choice("fill", Fill.allCases.map(\.rawValue)) { fill = Fill(rawValue: text) ?? .none }
        if let text = try reader.choice("shape", Shape.allCases.map(\.rawValue)) {
            shape = Shape(rawValue: text) ?? .rows
        }
        if let text = try reader.choice("value", Value.allCases.map(\.rawValue)) {
            value = Value(rawValue: text) ?? .close
            if shape != .wide {
                throw QueryError(
                    400, "invalid_parameter", "\"value\" goes with shape=wide only",
                    hint: "The other shapes have all values.")
            }
        }
    }

    /// What a page token must agree in, beyond timeframe and order.
    var scope: String {
        (fill == .none ? "" : " \(fill.rawValue)") + (shape == .rows ? "" : " \(shape.rawValue)")
            + (value == .close ? "" : " \(value.rawValue)")
    }

    /// Refuses what does not go together.
    func check(_ request: MarketRequest) throws(QueryError) {
        switch shape {
        case .rows: return
        case .wide:
            let allowed = "for shape=wide 1 to \(Self.wideSymbolLimit) symbols between commas"
            guard let symbols = request.symbols else { throw ParameterReader.missing("symbols", allowed: allowed) }
            if symbols.count > Self.wideSymbolLimit {
                throw ParameterReader.invalid("symbols", symbols.joined(separator: ","), allowed: allowed)
            }
            // CSV has its columns by place.
            if request.format != .csv && symbols.contains("ts") {
                throw QueryError(
                    400, "duplicate_column", "the column of a symbol \"ts\" would be named as that of the times",
                    hint: "Ask for shape=rows, or for format=csv, where they stand by place.")
            }
            // All of it is in memory before the first row leaves.
            let most = 500_000 / symbols.count
            if request.limit > most {
                throw ParameterReader.invalid(
                    "limit", "\(request.limit)", allowed: "for so many symbols side by side at most \(most)")
            }
        case .columns:
            let allowed = "for shape=columns one symbol"
            guard let symbols = request.symbols else { throw ParameterReader.missing("symbol", allowed: allowed) }
            if symbols.count != 1 {
                throw ParameterReader.invalid("symbols", symbols.joined(separator: ","), allowed: allowed)
            }
            if request.format != .json {
                throw ParameterReader.invalid(
                    "format", request.format.rawValue, allowed: "json, for shape=columns",
                    hint: "shape=rows comes in every format.")
            }
        }
    }
}
