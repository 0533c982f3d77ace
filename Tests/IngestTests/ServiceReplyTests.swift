// SPDX-License-Identifier: Apache-2.0

import Market
import Records
import Testing

@testable import Ingest

struct ServiceReplyTests {
    @Test func `a place in a reply has its path, and what is there`() throws {
        let reply = try ReplyNode(
            Array(#"{"a":[{"b":1.5,"c":"x","d":null,"e":true,"f":{"raw":2,"fmt":"2"},"g":{}}]}"#.utf8))
        let element = try #require(try reply["a"].elements().first)
        #expect(element.path == "a[0]" && element["b"].path == "a[0].b")
        #expect(try element["b"].number() == 1.5 && element["c"].text() == "x")
        #expect(try element["d"].number() == nil && element["missing"].text() == nil)
        #expect(try element["f"].number() == 2 && element["g"].number() == nil)
        #expect(throws: ReplyProblem.drift(path: "a[0].c", expected: "a number", found: "text")) {
            try element["c"].number()
        }
        #expect(throws: ReplyProblem.drift(path: "a[0].e", expected: "text", found: "a boolean")) {
            try element["e"].text()
        }
        #expect(throws: ReplyProblem.drift(path: "a[0].d", expected: "an array", found: "null")) {
            try element["d"].elements()
        }
        #expect(throws: ReplyProblem.drift(path: "b.c", expected: "an object", found: "nothing")) {
            try reply["b"]["c"].object()
        }
    }

    @Test(arguments: [
        "", "{", #"{"a":1"#, #"{"a":tru}"#, "<html>", #"{"a":1} x"#, #"{"a":--1}"#,
        String(repeating: "[", count: 33) + String(repeating: "]", count: 33),
    ])
    func `what is no JSON, or cut off, is said to be`(text: String) {
        #expect(throws: ReplyProblem.notJSON(bytes: text.utf8.count)) { try ReplyNode(Array(text.utf8)) }
    }

    @Test func `text is encoded for a URL`() {
        #expect(percentEncoded("^GSPC") == "%5EGSPC")
        #expect(percentEncoded("EURUSD=X") == "EURUSD%3DX" && percentEncoded("é/") == "%C3%A9%2F")
        #expect(percentEncoded("BRK-B.a_~") == "BRK-B.a_~")
    }
}

struct YahooRepliesTests {
    private static func chart(
        _ quote: String, times: String = "[1732631400,1732631520,1732631640]",
        meta: String = #"{"currency":"USD","currentTradingPeriod":{"regular":{"start":1732631400}}}"#
    ) -> [UInt8] {
        Array(
            #"{"chart":{"result":[{"meta":\#(meta),"timestamp":\#(times),"indicators":{"quote":[\#(quote)]}}],"error":null}}"#
                .utf8)
    }

    private static func bars(_ body: [UInt8], _ interval: String = "2m") throws -> [SourceBarFacts] {
        try YahooReplies.bars(body, symbol: "AAPL", interval: try #require(BarInterval(interval)))
    }

    private static let whole = """
        {"open":[1,null,3],"high":[2,null,4],"low":[0.5,null,2.5],"close":[1.5,null,3.5],"volume":[10,null,0]}
        """

    @Test func `a chart's columns become bars, and a moment without trades none`() throws {
        let bars = try Self.bars(Self.chart(Self.whole))
        #expect(bars.map { $0.ts?.microseconds } == [1_732_631_400_000_000, 1_732_631_640_000_000])
        let first = try #require(bars.first)
        #expect(first.symbol == "AAPL" && first.timeframe == "2m" && first.currency == "USD")
        #expect(first.open == 1 && first.high == 2 && first.low == 0.5 && first.close == 1.5 && first.volume == 10)
        #expect(bars[1].volume == 0)
    }

    @Test func `the price of now among narrow bars is none`() throws {
        let body = Self.chart(Self.whole, times: "[1732631400,1732631520,1732631645]")
        #expect(try Self.bars(body).count == 1)
        // At the close nothing begins, even where the clock is right for it.
        let closed = #"{"currentTradingPeriod":{"regular":{"start":1732631400,"end":1732631640}}}"#
        #expect(try Self.bars(Self.chart(Self.whole, meta: closed)).count == 1)
        let yesterday = #"{"currentTradingPeriod":{"regular":{"start":1732717800,"end":1732718040}}}"#
        #expect(try Self.bars(Self.chart(Self.whole, meta: yesterday)).count == 1)
    }

    @Test func `bars before the clocks were changed begin at other moments, and are bars`() throws {
        // 90 minutes from 09:30 in New York, before and after an hour was put in.
        let body = Self.chart(
            Self.whole, times: "[1761917400,1761922800,1762180200]",
            meta: #"{"currency":"USD","currentTradingPeriod":{"regular":{"start":1762180200,"end":1762203600}}}"#)
        #expect(try Self.bars(body, "90m").count == 2)
    }

    @Test func `the price of now among days is the bar of today, once`() throws {
        let meta = #"{"currency":"USD","currentTradingPeriod":{"regular":{"start":1732631400,"end":1732654800}}}"#
        let times = "[1732545000,1732631400,1732640000]"
        let quote = #"{"open":[1,2,3],"high":[1,2,3],"low":[1,2,3],"close":[1,2,3],"volume":[1,2,3]}"#
        let bars = try Self.bars(Self.chart(quote, times: times, meta: meta), "1d")
        #expect(bars.map { $0.ts?.microseconds } == [1_732_545_000_000_000, 1_732_631_400_000_000])
        #expect(bars.last?.close == 3)
    }

    @Test func `a bar of which something is missing goes on to validation`() throws {
        let body = Self.chart(#"{"open":[1],"high":[null],"low":[1],"close":[1],"volume":[1]}"#, times: "[1732631400]")
        let bar = try #require(try Self.bars(body).first)
        #expect(bar.high == nil && bar.open == 1)
    }

    @Test func `a day on which nothing has happened has no bars`() throws {
        let body = #"{"chart":{"result":[{"meta":{"currency":"USD"},"indicators":{"quote":[{}]}}],"error":null}}"#
        #expect(try Self.bars(Array(body.utf8)).isEmpty)
    }

    @Test(arguments: [
        (#"{"high":[],"low":[],"close":[],"volume":[]}"#, "[]", "chart.result[0].indicators.quote[0].open"),
        (#"{"open":"1","high":[],"low":[],"close":[],"volume":[]}"#, "[]", "chart.result[0].indicators.quote[0].open"),
        (
            #"{"open":[1,2],"high":[1],"low":[1],"close":[1],"volume":[1]}"#, "[1732631400]",
            "chart.result[0].indicators.quote[0].open"
        ),
        (
            #"{"open":[1],"high":["x"],"low":[1],"close":[1],"volume":[1]}"#, "[1732631400]",
            "chart.result[0].indicators.quote[0].high[0]"
        ),
        (#"{"open":[1],"high":[1],"low":[1],"close":[1],"volume":[1]}"#, "null", "chart.result[0].timestamp"),
        (
            #"{"open":[1],"high":[1],"low":[1],"close":[1],"volume":[1]}"#, #"["x"]"#,
            "chart.result[0].timestamp[0]"
        ),
    ])
    func `a changed schema is told with the path`(quote: String, times: String, path: String) {
        do throws(ReplyProblem) {
            guard let interval = BarInterval("2m") else { return }
            _ = try YahooReplies.bars(Self.chart(quote, times: times), symbol: "A", interval: interval)
            Issue.record("it was read")
        } catch {
            guard case .drift(let found, _, _) = error else {
                Issue.record("\(error)")
                return
            }
            #expect(found == path)
        }
    }

    @Test func `a refusal is told in Yahoo's words`() {
        let body = #"{"chart":{"result":null,"error":{"code":"Not Found","description":"No data found"}}}"#
        #expect(throws: ReplyProblem.refused("Not Found: No data found")) { try Self.bars(Array(body.utf8)) }
    }

    @Test func `a refusal of whatever was asked is told in Yahoo's words`() {
        let body = #"{"finance":{"result":null,"error":{"code":"Unauthorized","description":"Invalid Crumb"}}}"#
        #expect(throws: ReplyProblem.refused("Unauthorized: Invalid Crumb")) {
            try YahooReplies.quotes(Array(body.utf8))
        }
    }

    @Test func `quotes are read one by one: a bad one spoils no other`() throws {
        let body = """
            {"quoteResponse":{"result":[{"symbol":"AAPL","regularMarketPrice":244.6,"regularMarketTime":1739566800,
            "regularMarketOpen":241.07,"regularMarketDayHigh":245.41,"regularMarketDayLow":241,"currency":"USD",
            "regularMarketPreviousClose":241.53,"regularMarketVolume":40896227},{"symbol":"B","regularMarketTime":1}],
            "error":null}}
            """
        let (quotes, problems) = try YahooReplies.quotes(Array(body.utf8))
        let quote = try #require(quotes.first)
        #expect(quotes.count == 1 && quote.symbol == "AAPL" && quote.ts?.microseconds == 1_739_566_800_000_000)
        #expect(quote.price == 244.6 && quote.open == 241.07 && quote.high == 245.41 && quote.low == 241)
        #expect(quote.previousClose == 241.53 && quote.volume == 40_896_227 && quote.currency == "USD")
        #expect(
            problems == [
                .drift(path: "quoteResponse.result[1].regularMarketPrice", expected: "a number", found: "nothing")
            ])
    }

    @Test func `a company's facts come from the parts of its page`() throws {
        let body = """
            {"quoteSummary":{"result":[{"price":{"longName":"Apple Inc.","exchange":"NMS","quoteType":"EQUITY",
            "currency":"USD","marketCap":3688676720640},"summaryDetail":{"forwardPE":29.5,"trailingPE":38.9,
            "fiftyTwoWeekHigh":260.1,"fiftyTwoWeekLow":164.08,"fiftyDayAverage":240.69},
            "defaultKeyStatistics":{"shortRatio":{"raw":2.12,"fmt":"2.12"}},
            "assetProfile":{"country":"United States","sector":"Technology","industry":"Consumer Electronics"}}],
            "error":null}}
            """
        let now = Timestamp(microseconds: 7)
        let (facts, problems) = try YahooReplies.facts(Array(body.utf8), symbol: "AAPL", now: now)
        var expected = InstrumentFacts()
        expected.symbol = "AAPL"
        expected.name = "Apple Inc."
        expected.exchange = "NMS"
        expected.type = "equity"
        expected.currency = "USD"
        expected.country = "United States"
        expected.sector = "Technology"
        expected.industry = "Consumer Electronics"
        expected.marketCap = 3_688_676_720_640
        expected.forwardPe = 29.5
        expected.trailingPe = 38.9
        expected.fiftyTwoWeekHigh = 260.1
        expected.fiftyTwoWeekLow = 164.08
        expected.fiftyDayAverage = 240.69
        expected.shortRatio = 2.12
        expected.updatedAt = now
        #expect(facts == expected && problems.isEmpty)
    }

    @Test func `of facts and quotes one part that has changed spoils no other`() throws {
        let page = """
            {"quoteSummary":{"result":[{"price":{"longName":"Apple Inc."},"summaryDetail":{"forwardPE":"29.5",
            "trailingPE":"Infinity","fiftyTwoWeekHigh":260.1}}]}}
            """
        let (facts, problems) = try YahooReplies.facts(Array(page.utf8), symbol: "AAPL", now: .epoch)
        #expect(facts.name == "Apple Inc." && facts.fiftyTwoWeekHigh == 260.1 && facts.forwardPe == nil)
        #expect(facts.trailingPe == nil)
        #expect(
            problems == [
                .drift(path: "quoteSummary.result[0].summaryDetail.forwardPE", expected: "a number", found: "text")
            ])
        let list = """
            {"quoteResponse":{"result":[{"symbol":"AAPL","regularMarketPrice":244.6,"regularMarketTime":1739566800,
            "regularMarketVolume":true}]}}
            """
        let read = try YahooReplies.quotes(Array(list.utf8))
        #expect(read.quotes.first?.price == 244.6 && read.quotes.first?.volume == nil)
        #expect(read.problems.count == 1)
    }

    @Test func `what is no company lacks parts, but not the price`() throws {
        let pair = #"{"quoteSummary":{"result":[{"price":{"shortName":"Bitcoin USD","quoteType":"CRYPTOCURRENCY"}}]}}"#
        let facts = try YahooReplies.facts(Array(pair.utf8), symbol: "BTC-USD", now: .epoch).facts
        #expect(facts.name == "Bitcoin USD" && facts.type == "cryptocurrency" && facts.sector == nil)
        #expect(
            throws: ReplyProblem.drift(path: "quoteSummary.result[0].price", expected: "an object", found: "nothing")
        ) { try YahooReplies.facts(Array(#"{"quoteSummary":{"result":[{}]}}"#.utf8), symbol: "A", now: .epoch) }
    }

    @Test(
        arguments: [
            (200, "aB3.x/Yz1", "aB3.x/Yz1"), (200, "", nil), (200, "<html></html>", nil),
            (200, "Too Many Requests", nil),
            (200, #"{"finance":{}}"#, nil), (401, "aB3", nil), (200, String(repeating: "x", count: 65), nil),
        ] as [(Int, String, String?)])
    func `a crumb is a short word`(status: Int, body: String, crumb: String?) {
        #expect(YahooReplies.crumb(HTTPClient.Response(status: status, body: Array(body.utf8))) == crumb)
    }
}

struct FinnhubRepliesTests {
    @Test func `a quote is read, with whole numbers too`() throws {
        let body = #"{"c":935.74,"d":14.58,"dp":1.5828,"h":942.24,"l":921.75,"o":930,"pc":921.16,"t":1647961161}"#
        let quote = try #require(try FinnhubReplies.quote(Array(body.utf8), symbol: "TSLA"))
        #expect(quote.symbol == "TSLA" && quote.price == 935.74 && quote.open == 930 && quote.high == 942.24)
        #expect(quote.low == 921.75 && quote.previousClose == 921.16 && quote.volume == nil)
        #expect(quote.ts?.microseconds == 1_647_961_161_000_000)
    }

    @Test func `zeros are a symbol that Finnhub does not know`() throws {
        let body = #"{"c":0,"d":null,"dp":null,"h":0,"l":0,"o":0,"pc":0,"t":0}"#
        #expect(try FinnhubReplies.quote(Array(body.utf8), symbol: "NONE") == nil)
        #expect(try FinnhubReplies.profile(Array("{}".utf8), symbol: "NONE", now: .epoch) == nil)
    }

    @Test func `a profile's capitalisation is in millions`() throws {
        let body = """
            {"country":"US","currency":"USD","exchange":"NASDAQ NMS - GLOBAL MARKET","finnhubIndustry":"Technology",
            "marketCapitalization":2693850,"name":"Apple Inc","ticker":"AAPL"}
            """
        let facts = try #require(
            try FinnhubReplies.profile(Array(body.utf8), symbol: "AAPL", now: Timestamp(microseconds: 7)))
        #expect(facts.marketCap == 2.69385e12 && facts.name == "Apple Inc" && facts.country == "US")
        #expect(facts.industry == "Technology" && facts.exchange == "NASDAQ NMS - GLOBAL MARKET")
        #expect(facts.updatedAt?.microseconds == 7)
    }

    @Test func `a search's matches come in its order`() throws {
        let body = """
            {"count":2,"result":[{"description":"APPLE INC","displaySymbol":"AAPL","symbol":"AAPL","type":"Common Stock"},
            {"description":"EUR/USD","displaySymbol":"EUR/USD","symbol":"IC MARKETS:1","type":""}]}
            """
        #expect(
            try FinnhubReplies.search(Array(body.utf8)) == [
                FinnhubSearch.Match(symbol: "AAPL", type: "Common Stock", description: "APPLE INC"),
                FinnhubSearch.Match(symbol: "IC MARKETS:1", type: "", description: "EUR/USD"),
            ])
        #expect(throws: ReplyProblem.drift(path: "result[0].symbol", expected: "text", found: "nothing")) {
            try FinnhubReplies.search(Array(#"{"result":[{"ticker":"AAPL"}]}"#.utf8))
        }
    }

    @Test func `a refusal and a changed schema are told apart`() {
        #expect(throws: ReplyProblem.refused("You don't have access to this resource.")) {
            try FinnhubReplies.quote(
                Array(#"{"error":"You don't have access to this resource."}"#.utf8), symbol: "A")
        }
        #expect(throws: ReplyProblem.drift(path: "c", expected: "a number", found: "text")) {
            try FinnhubReplies.quote(Array(#"{"c":"1","t":1}"#.utf8), symbol: "A")
        }
    }
}

struct HostileReplyTests {
    private static let replies = [
        #"{"chart":{"result":[{"meta":{"currency":"USD","currentTradingPeriod":{"regular":{"start":1732631400,"end":1732654800}}},"timestamp":[1732631400,1732631520],"indicators":{"quote":[{"open":[1,2],"high":[2,3],"low":[0.5,1],"close":[1.5,2],"volume":[10,null]}]}}],"error":null}}"#,
        #"{"quoteResponse":{"result":[{"symbol":"AAPL","regularMarketPrice":244.6,"regularMarketTime":1739566800,"regularMarketVolume":1}],"error":null}}"#,
        #"{"quoteSummary":{"result":[{"price":{"longName":"Apple","marketCap":{"raw":1}},"summaryDetail":{"forwardPE":29.5},"quoteType":{"exchange":"NMS"}}],"error":null}}"#,
        #"{"finance":{"result":null,"error":{"code":"Unauthorized","description":"Invalid Crumb"}}}"#,
        #"{"c":935.74,"h":942.24,"l":921.75,"o":930,"pc":921.16,"t":1647961161}"#,
        #"{"country":"US","marketCapitalization":2693850,"name":"Apple Inc"}"#,
        #"{"count":1,"result":[{"description":"APPLE INC","symbol":"AAPL","type":"Common Stock"}]}"#,
    ]

    private static let values = [
        "null", "true", "{}", "[]", "[null]", #"{"raw":1e308}"#, "0", "-1", "1e308", "-1e308", "1e999",
        "9223372036854775807",
        "99999999999", #""""#, #""x""#, #""Infinity""#,
    ]

    /// Each number, text and literal of a reply in the place of others: what is read, or refused, is no matter; that it
    /// ends is.
    @Test(arguments: replies)
    func `whatever stands in a reply, reading it ends`(reply: String) throws {
        let intervals = try ["1m", "2m", "90m", "1d", "1wk"].map { try #require(BarInterval($0)) }
        for range in reply.ranges(of: /"[^"]*"|[-0-9.]+|null/) {
            for value in Self.values {
                let body = Array(reply.replacingCharacters(in: range, with: value).utf8)
                for interval in intervals {
                    for bar in (try? YahooReplies.bars(body, symbol: "A", interval: interval)) ?? [] {
                        #expect(bar.ts != nil)
                    }
                }
                _ = try? YahooReplies.quotes(body)
                _ = try? YahooReplies.facts(body, symbol: "A", now: .epoch)
                _ = try? FinnhubReplies.quote(body, symbol: "A")
                _ = try? FinnhubReplies.profile(body, symbol: "A", now: .epoch)
                _ = try? FinnhubReplies.search(body)
            }
        }
    }
}

extension String {
    /// The text with another in the place of a part of it.
    fileprivate func replacingCharacters(in range: Range<Index>, with text: String) -> String {
        self[..<range.lowerBound] + text + self[range.upperBound...]
    }
}
