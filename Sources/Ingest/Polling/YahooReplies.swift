// SPDX-License-Identifier: Apache-2.0

import Market
import Records

/// What Yahoo's replies say. Their shape is nowhere promised: what is not as it was is told with its path.
enum YahooReplies {
    /// Bars of `/v8/finance/chart/SYMBOL`.
    ///
    /// A last moment that is no bar's beginning is the price of now. Among bars of days it is the bar of today, so far;
    /// among narrower ones it is left out, as is a moment of which nothing is known: nobody traded.
    static func bars(_ body: [UInt8], symbol: String, interval: BarInterval) throws(ReplyProblem) -> [SourceBarFacts] {
        let chart = try reply(body)["chart"].object()
        try refusal(chart["error"])
        guard let result = try chart["result"].elements().first else { return [] }
        let meta = try result["meta"].object()
        let currency = try meta["currency"].text()
        guard let quote = try result["indicators"]["quote"].elements().first else {
            throw result["indicators"]["quote"].drift("an element")
        }
        // A day on which nothing has happened yet has neither.
        if result["timestamp"].isAbsent && quote["close"].isAbsent { return [] }
        let times = try result["timestamp"].elements()
        let (opens, highs) = (try column("open", of: quote, times.count), try column("high", of: quote, times.count))
        let (lows, closes) = (try column("low", of: quote, times.count), try column("close", of: quote, times.count))
        let volumes = try column("volume", of: quote, times.count)
        // Of today, or of the next day on which there is trading.
        let session = meta["currentTradingPeriod"]["regular"]
        let opening = try session["start"].isAbsent ? 0 : moment(session["start"])
        let closing = try session["end"].isAbsent ? nil : moment(session["end"])
        var bars: [SourceBarFacts] = []
        for index in times.indices {
            var seconds = try moment(times[index])
            if index == times.count - 1, let width = interval.timeframeWidth {
                if width >= 86_400 {
                    if opening > 0 && seconds > opening { seconds = opening }
                } else if (seconds - opening) % width != 0 || closing.map({ (seconds - $0) % 86_400 == 0 }) == true {
                    continue
                }
            }
            var bar = SourceBarFacts()
            bar.symbol = symbol
            bar.timeframe = interval.name
            bar.ts = Timestamp(microseconds: seconds * 1_000_000)
            bar.open = try opens[index].number()
            bar.high = try highs[index].number()
            bar.low = try lows[index].number()
            bar.close = try closes[index].number()
            bar.volume = try volumes[index].number()
            bar.currency = currency
            if bar.open == nil && bar.high == nil && bar.low == nil && bar.close == nil { continue }
            if bars.last?.ts == bar.ts { bars.removeLast() }
            bars.append(bar)
        }
        return bars
    }

    /// The whole of a reply; where it fails as such Yahoo answers every question alike.
    private static func reply(_ body: [UInt8]) throws(ReplyProblem) -> ReplyNode {
        let reply = try ReplyNode(body)
        try refusal(reply["finance"]["error"])
        return reply
    }

    /// Seconds since 1970.
    private static func moment(_ node: ReplyNode) throws(ReplyProblem) -> Int64 {
        let seconds = try node.requiredNumber()
        guard seconds.magnitude < 1e11 else { throw node.drift("seconds since 1970") }
        return Int64(seconds)
    }

    private static func column(_ name: String, of quote: ReplyNode, _ count: Int) throws(ReplyProblem) -> [ReplyNode] {
        let column = try quote[name].elements()
        guard column.count == count else {
            throw .drift(
                path: quote[name].path, expected: "\(count) elements, as in timestamp", found: "\(column.count)")
        }
        return column
    }

    /// Quotes of `/v7/finance/quote`, and what is wrong with those, or with parts of those, that cannot be read.
    static func quotes(_ body: [UInt8]) throws(ReplyProblem) -> (quotes: [QuoteFacts], problems: [ReplyProblem]) {
        let response = try reply(body)["quoteResponse"].object()
        try refusal(response["error"])
        var reader = ReplyReader()
        var quotes: [QuoteFacts] = []
        for element in try response["result"].elements() {
            guard var quote = reader.take(try price(element)) else { continue }
            quote.open = reader.take(try element["regularMarketOpen"].number())
            quote.high = reader.take(try element["regularMarketDayHigh"].number())
            quote.low = reader.take(try element["regularMarketDayLow"].number())
            quote.previousClose = reader.take(try element["regularMarketPreviousClose"].number())
            quote.volume = reader.take(try element["regularMarketVolume"].number())
            quote.currency = reader.take(try element["currency"].text())
            quotes.append(quote)
        }
        return (quotes, reader.problems)
    }

    /// What no quote is without.
    private static func price(_ element: ReplyNode) throws(ReplyProblem) -> QuoteFacts {
        var quote = QuoteFacts()
        guard let symbol = try element["symbol"].text() else { throw element["symbol"].drift("text") }
        quote.symbol = symbol
        quote.ts = Timestamp(microseconds: try moment(element["regularMarketTime"]) * 1_000_000)
        quote.price = try element["regularMarketPrice"].requiredNumber()
        return quote
    }

    /// The parts of a company's page that its facts are in.
    static let modules = "price,summaryDetail,defaultKeyStatistics,assetProfile,quoteType"

    /// Facts of `/v10/finance/quoteSummary/SYMBOL`, and what is wrong with those that cannot be read. What is no company
    /// lacks parts of it.
    static func facts(
        _ body: [UInt8], symbol: String, now: Timestamp
    ) throws(ReplyProblem) -> (facts: InstrumentFacts, problems: [ReplyProblem]) {
        let summary = try reply(body)["quoteSummary"].object()
        try refusal(summary["error"])
        guard let result = try summary["result"].elements().first else {
            throw summary["result"].drift("an element")
        }
        let price = try result["price"].object()
        let (detail, statistics) = (result["summaryDetail"], result["defaultKeyStatistics"])
        let profile = result["assetProfile"]
        var reader = ReplyReader()
        var facts = InstrumentFacts()
        facts.symbol = symbol
        facts.name = reader.take(try text(price["longName"], price["shortName"]))
        facts.exchange = reader.take(try text(price["exchange"], result["quoteType"]["exchange"]))
        facts.type = reader.take(try price["quoteType"].text())?.lowercased()
        facts.currency = reader.take(try text(price["currency"], detail["currency"]))
        facts.country = reader.take(try profile["country"].text())
        facts.sector = reader.take(try profile["sector"].text())
        facts.industry = reader.take(try profile["industry"].text())
        facts.marketCap = reader.take(try number(price["marketCap"], detail["marketCap"]))
        facts.forwardPe = reader.take(try number(detail["forwardPE"], statistics["forwardPE"]))
        facts.trailingPe = reader.take(try detail["trailingPE"].number())
        facts.fiftyTwoWeekHigh = reader.take(try detail["fiftyTwoWeekHigh"].number())
        facts.fiftyTwoWeekLow = reader.take(try detail["fiftyTwoWeekLow"].number())
        facts.fiftyDayAverage = reader.take(try detail["fiftyDayAverage"].number())
        facts.shortRatio = reader.take(try statistics["shortRatio"].number())
        facts.updatedAt = now
        return (facts, reader.problems)
    }

    /// The first that is there.
    private static func text(_ first: ReplyNode, _ second: ReplyNode) throws(ReplyProblem) -> String? {
        if let text = try first.text() { return text }
        return try second.text()
    }

    private static func number(_ first: ReplyNode, _ second: ReplyNode) throws(ReplyProblem) -> Double? {
        if let number = try first.number() { return number }
        return try second.number()
    }

    /// What Yahoo says where it gives nothing: `{"code":"Not Found","description":"No data found, …"}`.
    private static func refusal(_ error: ReplyNode) throws(ReplyProblem) {
        if error.isAbsent { return }
        let (code, reason) = (try error["code"].text(), try error["description"].text())
        throw .refused("\(code ?? "no code"): \(reason ?? "no reason")")
    }

    /// The crumb that `/v1/test/getcrumb` gives; nil for anything else, such as a page.
    static func crumb(_ reply: HTTPClient.Response) -> String? {
        guard reply.status == 200, (1...64).contains(reply.body.count),
            reply.body.allSatisfy({ $0 > 0x20 && $0 < 0x7F && $0 != UInt8(ascii: "<") && $0 != UInt8(ascii: "{") })
        else { return nil }
        return String(decoding: reply.body, as: UTF8.self)
    }
}

extension BarInterval {
    /// Its width in seconds; nil for weeks and months.
    fileprivate var timeframeWidth: Int64? {
        guard let unit = name.last, let count = Int64(name.dropLast()) else { return nil }
        let widths: [Character: Int64] = ["s": 1, "m": 60, "h": 3600, "d": 86_400]
        return widths[unit].map { $0 * count }
    }
}
