// SPDX-License-Identifier: Apache-2.0

package import Market
package import Records

/// A kind whose staged and valid records say the same facts.
package protocol FactKind: RecordKind where Staged == Records.Staged<Facts> {
    associatedtype Facts: RecordFacts

    /// How far ahead of the clock a time may lie.
    var longestLead: Duration { get }

    /// Why the facts are refused, or nil if they are valid.
    func reason(toReject facts: Facts, now: Timestamp) -> RejectionReason?
}

extension FactKind {
    package func reason(toReject record: Records.Staged<Facts>, now: Timestamp) -> RejectionReason? {
        if let problem = record.staging.problem { return RejectionReason(rawValue: problem) ?? .malformedLine }
        if let reason = reason(toReject: record.facts, now: now) { return reason }
        return record.staging.source.hasSymbolSyntax ? nil : .sourceSyntax
    }

    package func withKey(of record: Records.Staged<Facts>, _ body: (UnsafeRawBufferPointer) -> Void) {
        var key = record.facts.key ?? ""
        key.withUTF8 { body(UnsafeRawBufferPointer($0)) }
    }

    package func encode(_ record: Records.Staged<Facts>, into bytes: inout [UInt8]) {
        Valid(
            run: record.staging.run, source: record.staging.source, facts: record.facts,
            ingestedAt: record.staging.ingestedAt
        ).encode(into: &bytes)
    }

    func reason(toReject symbol: String?) -> RejectionReason? {
        guard let symbol, !symbol.isEmpty else { return .symbolMissing }
        return symbol.hasSymbolSyntax ? nil : .symbolSyntax
    }

    func reason(toReject ts: Timestamp?, now: Timestamp) -> RejectionReason? {
        guard let ts else { return .tsMissing }
        if ts < .epoch { return .tsBeforeEpoch }
        return ts.microseconds > now.microseconds + longestLead.inMicroseconds ? .tsInFuture : nil
    }
}

/// Snapshots of trading days.
package struct QuoteKind: FactKind {
    package let topics = TopicRoles(kind: "quotes")
    package var longestLead: Duration

    package init(longestLead: Duration) { self.longestLead = longestLead }

    package func reason(toReject quote: QuoteFacts, now: Timestamp) -> RejectionReason? {
        if let reason = reason(toReject: quote.symbol) ?? reason(toReject: quote.ts, now: now) { return reason }
        guard let price = quote.price else { return .priceMissing }
        if !price.isFinite { return .priceNotFinite }
        if price <= 0 { return .priceNotPositive }
        if !TradeRules.range.contains(price) { return .priceOutOfRange }
        let others = [quote.open, quote.high, quote.low, quote.previousClose, quote.volume].compactMap { $0 }
        if !others.allSatisfy(\.isFinite) { return .factNotFinite }
        if others.contains(where: { $0 < 0 }) { return .factNegative }
        return quote.currency.isStorable ? nil : .textSyntax
    }
}

/// Bars that sources made.
package struct SourceBarKind: FactKind {
    package let topics = TopicRoles(kind: "source_bars")
    package var longestLead: Duration

    package init(longestLead: Duration) { self.longestLead = longestLead }

    package func reason(toReject bar: SourceBarFacts, now: Timestamp) -> RejectionReason? {
        if let reason = reason(toReject: bar.symbol) ?? reason(toReject: bar.ts, now: now) { return reason }
        guard let timeframe = bar.timeframe, BarInterval(timeframe) != nil else { return .timeframeSyntax }
        guard let open = bar.open, let high = bar.high, let low = bar.low, let close = bar.close else {
            return .priceMissing
        }
        let prices = [open, high, low, close]
        if !prices.allSatisfy(\.isFinite) { return .priceNotFinite }
        if !prices.allSatisfy({ $0 > 0 }) { return .priceNotPositive }
        if !prices.allSatisfy(TradeRules.range.contains) { return .priceOutOfRange }
        if high < low { return .barRange }
        if let volume = bar.volume, !volume.isFinite { return .factNotFinite }
        if let volume = bar.volume, volume < 0 { return .factNegative }
        return bar.currency.isStorable ? nil : .textSyntax
    }
}

/// Facts of instruments.
package struct InstrumentKind: FactKind {
    package let topics = TopicRoles(kind: "instruments")
    package var longestLead: Duration

    package init(longestLead: Duration) { self.longestLead = longestLead }

    package func reason(toReject instrument: InstrumentFacts, now: Timestamp) -> RejectionReason? {
        if let reason = reason(toReject: instrument.symbol) ?? reason(toReject: instrument.updatedAt, now: now) {
            return reason
        }
        let texts = [
            instrument.name, instrument.exchange, instrument.type, instrument.currency, instrument.country,
            instrument.sector, instrument.industry,
        ]
        let numbers = [
            instrument.marketCap, instrument.forwardPe, instrument.trailingPe, instrument.fiftyTwoWeekHigh,
            instrument.fiftyTwoWeekLow, instrument.fiftyDayAverage, instrument.shortRatio,
        ]
        if texts.allSatisfy({ $0 == nil }) && numbers.allSatisfy({ $0 == nil }) { return .factsMissing }
        if !numbers.compactMap({ $0 }).allSatisfy(\.isFinite) { return .factNotFinite }
        return texts.allSatisfy(\.isStorable) ? nil : .textSyntax
    }
}

/// Posts of forums.
package struct PostKind: FactKind {
    package let topics = TopicRoles(kind: "posts")
    package var longestLead: Duration

    package init(longestLead: Duration) { self.longestLead = longestLead }

    package func reason(toReject post: PostFacts, now: Timestamp) -> RejectionReason? {
        guard let id = post.id, !id.isEmpty else { return .postIDMissing }
        if !id.hasSymbolSyntax { return .postIDSyntax }
        guard post.kind == "comment" || post.kind == "submission" else { return .postKindUnknown }
        if let reason = reason(toReject: post.createdAt, now: now) { return reason }
        if let ratio = post.upvoteRatio, !ratio.isFinite { return .factNotFinite }
        let texts = [post.subreddit, post.author, post.title, post.body, post.url, post.submissionId]
        return texts.allSatisfy(\.isStorable) ? nil : .textSyntax
    }
}

/// What sources say of themselves: see ``SourceEventFacts``.
package struct SourceEventKind: FactKind {
    package let topics = TopicRoles(kind: "source_events")
    package var longestLead: Duration

    package init(longestLead: Duration) { self.longestLead = longestLead }

    package func reason(toReject event: SourceEventFacts, now: Timestamp) -> RejectionReason? {
        guard event.sequence != nil else { return .eventSequenceMissing }
        guard let kind = event.kind.flatMap({ SourceEventFacts.Kind(rawValue: $0) }) else { return .eventKindUnknown }
        if let reason = reason(toReject: event.ts, now: now) { return reason }
        if !(event.symbols ?? []).allSatisfy(\.hasSymbolSyntax) { return .symbolSyntax }
        let bounds = [event.from, event.to].compactMap { $0 }
        if let reason = bounds.lazy.compactMap({ reason(toReject: $0, now: now) }).first { return reason }
        if bounds.count == 2 && bounds[0] > bounds[1] || kind.isPeriod && bounds.count < 2 { return .eventPeriod }
        return event.message.isStorable ? nil : .textSyntax
    }

    /// One source's events stay in order.
    package func withKey(of record: Staged<SourceEventFacts>, _ body: (UnsafeRawBufferPointer) -> Void) {
        var key = record.staging.source
        key.withUTF8 { body(UnsafeRawBufferPointer($0)) }
    }
}

extension String {
    fileprivate var hasSymbolSyntax: Bool {
        var text = self
        return text.withUTF8 { SymbolSyntax.isValid(UnsafeRawBufferPointer($0)) }
    }
}

extension String? {
    /// Whether PostgreSQL can keep it: it has no zero byte in text.
    fileprivate var isStorable: Bool { self?.utf8.contains(0) != true }
}

extension Duration {
    /// Whole microseconds.
    var inMicroseconds: Int64 { components.seconds * 1_000_000 + components.attoseconds / 1_000_000_000_000 }
}
