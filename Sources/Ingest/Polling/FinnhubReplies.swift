// SPDX-License-Identifier: Apache-2.0

import Market
import Records

/// What the replies of Finnhub's REST interface say (https://finnhub.io/docs/api).
enum FinnhubReplies {
    /// `/quote`: current price `c`, high, low and open of the day, previous close `pc`, time `t` in seconds. A symbol that
    /// Finnhub does not know has zeros; nil.
    static func quote(_ body: [UInt8], symbol: String) throws(ReplyProblem) -> QuoteFacts? {
        let reply = try object(body)
        let seconds = try reply["t"].requiredNumber()
        guard seconds.magnitude < 1e11 else { throw reply["t"].drift("seconds since 1970") }
        let price = try reply["c"].requiredNumber()
        if seconds == 0 && price == 0 { return nil }
        var quote = QuoteFacts()
        quote.symbol = symbol
        quote.ts = Timestamp(microseconds: Int64(seconds) * 1_000_000)
        quote.price = price
        quote.open = try reply["o"].number()
        quote.high = try reply["h"].number()
        quote.low = try reply["l"].number()
        quote.previousClose = try reply["pc"].number()
        return quote
    }

    /// `/stock/profile2`; nil for the empty object that says that the symbol is no company Finnhub knows.
    static func profile(_ body: [UInt8], symbol: String, now: Timestamp) throws(ReplyProblem) -> InstrumentFacts? {
        let reply = try object(body)
        if reply.value == .object([:]) { return nil }
        var facts = InstrumentFacts()
        facts.symbol = symbol
        facts.name = try reply["name"].text()
        facts.exchange = try reply["exchange"].text()
        facts.currency = try reply["currency"].text()
        facts.country = try reply["country"].text()
        facts.industry = try reply["finnhubIndustry"].text()
        // In millions.
        facts.marketCap = try reply["marketCapitalization"].number().map { $0 * 1e6 }
        facts.updatedAt = now
        return facts
    }

    /// `/search`: what Finnhub knows by names and symbols like a phrase, best first.
    static func search(_ body: [UInt8]) throws(ReplyProblem) -> [FinnhubSearch.Match] {
        var matches: [FinnhubSearch.Match] = []
        for element in try object(body)["result"].elements() {
            guard let symbol = try element["symbol"].text() else { throw element["symbol"].drift("text") }
            matches.append(
                FinnhubSearch.Match(
                    symbol: symbol, type: try element["type"].text() ?? "",
                    description: try element["description"].text() ?? ""))
        }
        return matches
    }

    private static func object(_ body: [UInt8]) throws(ReplyProblem) -> ReplyNode {
        let reply = try ReplyNode(body).object()
        if let words = try reply["error"].text() { throw .refused(words) }
        return reply
    }
}
