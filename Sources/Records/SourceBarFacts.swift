// SPDX-License-Identifier: Apache-2.0

package import Market

/// A price bar that a source made itself, of trades that were never here. Topics `source_bars.staging` and `source_bars`
/// (`schemas/source_bars.staging.avsc`, `schemas/source_bars.avsc`).
///
/// It is (symbol, timeframe, ts, source); a bar that is still being made comes again and again, and the last one counts.
package struct SourceBarFacts: RecordFacts {
    package var symbol: String?
    /// Its width, as ``BarInterval`` reads it: `2m`.
    package var timeframe: String?
    /// Start of the bar, inclusive.
    package var ts: Timestamp?
    package var open: Double?
    package var high: Double?
    package var low: Double?
    package var close: Double?
    /// Units traded, where the source knows it.
    package var volume: Double?
    /// Currency of the prices.
    package var currency: String?

    package init() {}

    package var symbolName: String? { symbol }
    package var key: String? { symbol }

    package static let schemas = RecordSchemas(
        "SourceBar",
        [
            .init("symbol", "string", isRequired: true),
            .init("timeframe", "string", isRequired: true),
            .init("ts", "long", isRequired: true),
            .init("open", "double", isRequired: true),
            .init("high", "double", isRequired: true),
            .init("low", "double", isRequired: true),
            .init("close", "double", isRequired: true),
            .init("volume", "double"),
            .init("currency", "string"),
        ])

    package func encode(_ writer: inout AvroWriter, isValid: Bool) {
        writer.required(symbol, isValid: isValid) { $0.string($1) }
        writer.required(timeframe, isValid: isValid) { $0.string($1) }
        writer.required(ts, isValid: isValid) { $0.long($1.microseconds) }
        writer.required(open, isValid: isValid) { $0.double($1) }
        writer.required(high, isValid: isValid) { $0.double($1) }
        writer.required(low, isValid: isValid) { $0.double($1) }
        writer.required(close, isValid: isValid) { $0.double($1) }
        writer.optional(volume) { $0.double($1) }
        writer.optional(currency) { $0.string($1) }
    }

    package mutating func decode(_ reader: inout AvroReader, isValid: Bool) -> Bool {
        guard let symbol = reader.required(isValid: isValid, { $0.string() }),
            let timeframe = reader.required(isValid: isValid, { $0.string() }),
            let ts = reader.required(isValid: isValid, { $0.long() }),
            let open = reader.required(isValid: isValid, { $0.double() }),
            let high = reader.required(isValid: isValid, { $0.double() }),
            let low = reader.required(isValid: isValid, { $0.double() }),
            let close = reader.required(isValid: isValid, { $0.double() }),
            let volume = reader.optionalDouble(),
            let currency = reader.optionalText()
        else { return false }
        self.symbol = symbol.map { String(decoding: $0, as: UTF8.self) }
        self.timeframe = timeframe.map { String(decoding: $0, as: UTF8.self) }
        self.ts = ts.map { Timestamp(microseconds: $0) }
        self.open = open
        self.high = high
        self.low = low
        self.close = close
        self.volume = volume
        self.currency = currency
        return true
    }
}
