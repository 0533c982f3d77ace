// SPDX-License-Identifier: Apache-2.0

package import Market

/// What is known of an instrument, as a source gave it. Topics `instruments.staging` and `instruments`
/// (`schemas/instruments.staging.avsc`, `schemas/instruments.avsc`).
package struct InstrumentFacts: RecordFacts {
    package var symbol: String?
    package var name: String?
    package var exchange: String?
    package var type: String?
    /// Currency of the prices.
    package var currency: String?
    package var country: String?
    package var sector: String?
    package var industry: String?
    package var marketCap: Double?
    package var forwardPe: Double?
    package var trailingPe: Double?
    package var fiftyTwoWeekHigh: Double?
    package var fiftyTwoWeekLow: Double?
    package var fiftyDayAverage: Double?
    package var shortRatio: Double?
    /// When the facts were fetched.
    package var updatedAt: Timestamp?

    package init() {}

    package var symbolName: String? { symbol }
    package var key: String? { symbol }

    package static let schemas = RecordSchemas(
        "Instrument",
        [
            .init("symbol", "string", isRequired: true),
            .init("name", "string"),
            .init("exchange", "string"),
            .init("type", "string"),
            .init("currency", "string"),
            .init("country", "string"),
            .init("sector", "string"),
            .init("industry", "string"),
            .init("market_cap", "double"),
            .init("forward_pe", "double"),
            .init("trailing_pe", "double"),
            .init("fifty_two_week_high", "double"),
            .init("fifty_two_week_low", "double"),
            .init("fifty_day_average", "double"),
            .init("short_ratio", "double"),
            .init("updated_at", "long", isRequired: true),
        ])

    package func encode(_ writer: inout AvroWriter, isValid: Bool) {
        writer.required(symbol, isValid: isValid) { $0.string($1) }
        writer.optional(name) { $0.string($1) }
        writer.optional(exchange) { $0.string($1) }
        writer.optional(type) { $0.string($1) }
        writer.optional(currency) { $0.string($1) }
        writer.optional(country) { $0.string($1) }
        writer.optional(sector) { $0.string($1) }
        writer.optional(industry) { $0.string($1) }
        writer.optional(marketCap) { $0.double($1) }
        writer.optional(forwardPe) { $0.double($1) }
        writer.optional(trailingPe) { $0.double($1) }
        writer.optional(fiftyTwoWeekHigh) { $0.double($1) }
        writer.optional(fiftyTwoWeekLow) { $0.double($1) }
        writer.optional(fiftyDayAverage) { $0.double($1) }
        writer.optional(shortRatio) { $0.double($1) }
        writer.required(updatedAt, isValid: isValid) { $0.long($1.microseconds) }
    }

    package mutating func decode(_ reader: inout AvroReader, isValid: Bool) -> Bool {
        guard let symbol = reader.required(isValid: isValid, { $0.string() }),
            let name = reader.optionalText(),
            let exchange = reader.optionalText(),
            let type = reader.optionalText(),
            let currency = reader.optionalText(),
            let country = reader.optionalText(),
            let sector = reader.optionalText(),
            let industry = reader.optionalText(),
            let marketCap = reader.optionalDouble(),
            let forwardPe = reader.optionalDouble(),
            let trailingPe = reader.optionalDouble(),
            let fiftyTwoWeekHigh = reader.optionalDouble(),
            let fiftyTwoWeekLow = reader.optionalDouble(),
            let fiftyDayAverage = reader.optionalDouble(),
            let shortRatio = reader.optionalDouble(),
            let updatedAt = reader.required(isValid: isValid, { $0.long() })
        else { return false }
        self.symbol = symbol.map { String(decoding: $0, as: UTF8.self) }
        self.name = name
        self.exchange = exchange
        self.type = type
        self.currency = currency
        self.country = country
        self.sector = sector
        self.industry = industry
        self.marketCap = marketCap
        self.forwardPe = forwardPe
        self.trailingPe = trailingPe
        self.fiftyTwoWeekHigh = fiftyTwoWeekHigh
        self.fiftyTwoWeekLow = fiftyTwoWeekLow
        self.fiftyDayAverage = fiftyDayAverage
        self.shortRatio = shortRatio
        self.updatedAt = updatedAt.map { Timestamp(microseconds: $0) }
        return true
    }
}
