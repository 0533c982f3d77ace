// SPDX-License-Identifier: Apache-2.0

package import Market
package import Records

/// What makes a staged trade valid. A pure value: the clock is an argument.
package struct TradeRules: Sendable {
    /// How far ahead of the clock a trade's time may lie: venues' clocks and ours differ.
    package var longestLead: Duration

    /// What prices, and sizes that are not 0, lie in. No market comes near its ends; a double holds the products, the
    /// squares and the ratios of all that is within, and the sum of any number of them, so that no bar, and none of
    /// our own queries, fails for one wrong tick.
    package static let range = 1e-100...1e100

    package init(longestLead: Duration = .seconds(60)) { self.longestLead = longestLead }

    /// Why `trade` is refused, or nil if it is valid. What ingest could not read comes first, because the rest follows
    /// from it.
    package func reason(toReject trade: StagedTradeView, now: Timestamp) -> RejectionReason? {
        if let problem = trade.problem {
            return RejectionReason(rawValue: String(decoding: problem, as: UTF8.self)) ?? .malformedLine
        }
        guard let symbol = trade.symbol, !symbol.isEmpty else { return .symbolMissing }
        guard SymbolSyntax.isValid(symbol) else { return .symbolSyntax }
        guard let ts = trade.ts else { return .tsMissing }
        if ts < .epoch { return .tsBeforeEpoch }
        if ts.microseconds > now.microseconds + longestLead.inMicroseconds { return .tsInFuture }
        guard let price = trade.price else { return .priceMissing }
        if !price.isFinite { return .priceNotFinite }
        if price <= 0 { return .priceNotPositive }
        if !Self.range.contains(price) { return .priceOutOfRange }
        guard let size = trade.size else { return .sizeMissing }
        if !size.isFinite { return .sizeNotFinite }
        if size < 0 { return .sizeNegative }
        if size > 0 && !Self.range.contains(size) { return .sizeOutOfRange }
        if trade.tradeID == nil { return .tradeIDMissing }
        if !SymbolSyntax.isValid(trade.source) { return .sourceSyntax }
        // One zero byte ends the array; a longer encoding holds strings, which the store must be able to keep.
        if trade.conditions.count > 1 && !Self.areStorable(trade.conditions) { return .conditionSyntax }
        return nil
    }

    private static func areStorable(_ conditions: UnsafeRawBufferPointer) -> Bool {
        var reader = AvroReader(conditions)
        while let count = reader.long(), count != 0 {
            if count < 0 { _ = reader.long() }
            for _ in 0..<count.magnitude {
                guard let text = reader.string(), !text.contains(0), String(validating: text, as: UTF8.self) != nil
                else { return false }
            }
        }
        return true
    }
}
