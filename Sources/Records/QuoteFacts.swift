// SPDX-License-Identifier: Apache-2.0

package import Market

/// A snapshot of the trading day of a symbol, as a source gave it. Topics `quotes.staging` and `quotes`
/// (`schemas/quotes.staging.avsc`, `schemas/quotes.avsc`).
package struct QuoteFacts: RecordFacts {
    package var symbol: String?
    /// Moment it holds for.
    package var ts: Timestamp?
    /// First price of the trading day.
    package var open: Double?
    /// Highest price so far.
    package var high: Double?
    /// Lowest price so far.
    package var low: Double?
    /// Current price.
    package var price: Double?
    /// Closing price of the day before.
    package var previousClose: Double?
    /// Units traded so far.
    package var volume: Double?
    /// Currency of the prices.
    package var currency: String?

    package init() {}

    package var symbolName: String? { symbol }
    package var key: String? { symbol }

    package static let schemas = RecordSchemas(
        "Quote",
        [
            .init("symbol", "string", isRequired: true),
            .init("ts", "long", isRequired: true),
            .init("open", "double"),
            .init("high", "double"),
            .init("low", "double"),
            .init("price", "double", isRequired: true),
            .init("previous_close", "double"),
            .init("volume", "double"),
            .init("currency", "string"),
        ])

    package func encode(_ writer: inout AvroWriter, isValid: Bool) {
        writer.required(symbol, isValid: isValid) { $0.string($1) }
        writer.required(ts, isValid: isValid) { $0.long($1.microseconds) }
        writer.optional(open) { $0.double($1) }
        writer.optional(high) { $0.double($1) }
        writer.optional(low) { $0.double($1) }
        writer.required(price, isValid: isValid) { $0.double($1) }
        writer.optional(previousClose) { $0.double($1) }
        writer.optional(volume) { $0.double($1) }
        writer.optional(currency) { $0.string($1) }
    }

    package mutating func decode(_ reader: inout AvroReader, isValid: Bool) -> Bool {
        guard let symbol = reader.required(isValid: isValid, { $0.string() }),
            let ts = reader.required(isValid: isValid, { $0.long() }),
            let open = reader.optionalDouble(),
            let high = reader.optionalDouble(),
            let low = reader.optionalDouble(),
            let price = reader.required(isValid: isValid, { $0.double() }),
            let previousClose = reader.optionalDouble(),
            let volume = reader.optionalDouble(),
            let currency = reader.optionalText()
        else { return false }
        self.symbol = symbol.map { String(decoding: $0, as: UTF8.self) }
        self.ts = ts.map { Timestamp(microseconds: $0) }
        self.open = open
        self.high = high
        self.low = low
        self.price = price
        self.previousClose = previousClose
        self.volume = volume
        self.currency = currency
        return true
    }
}
