// SPDX-License-Identifier: Apache-2.0

import EventLoop
import HTTP
import Market
import Postgres
import Testing

@testable import QueryServer

let testConfiguration: QueryServer.Configuration = {
    do {
        return .init(
            listen: try SocketAddress("127.0.0.1:0"),
            reader: try ConnectionSettings("postgresql://nobody@localhost/none"),
            version: "test")
    } catch {
        fatalError("\(error)")
    }
}()

private let noon = Timestamp(microseconds: 1_704_110_400_000_000)

private func market(
    _ resource: MarketResource, _ query: String, accept: [String] = []
) throws -> MarketRequest {
    try MarketRequest(
        resource, try QueryParameters(Array(query.utf8)[...]), accept: accept, now: noon, testConfiguration)
}

private func candles(_ query: String, most: Int? = nil) throws -> CandleRequest {
    try CandleRequest(try QueryParameters(Array(query.utf8)[...]), now: noon, testConfiguration, most: most)
}

private func refusal<T>(_ body: () throws -> T) -> QueryError? {
    do {
        _ = try body()
        return nil
    } catch {
        return error as? QueryError
    }
}

@Suite struct ParameterTests {
    @Test func `a request has its defaults`() throws {
        let request = try market(.bars, "symbol=BTC")
        #expect(request.symbols == ["BTC"])
        #expect(request.timeframe == .minute1)
        #expect(request.range == TimeRange())
        #expect(request.limit == 1000)
        #expect(!request.isDescending && !request.timeInMilliseconds && request.format == .json && request.page == nil)
        #expect(try market(.trades, "").symbols == nil)
    }

    @Test func `symbols come from both names, sorted and once`() throws {
        #expect(
            try market(.trades, "symbols=ETH,BTC&symbol=BTC&symbols=BINANCE:BTCUSDT").symbols == [
                "BINANCE:BTCUSDT", "BTC", "ETH",
            ])
        #expect(refusal { try market(.trades, "symbol=") }?.code == "missing_parameter")
        #expect(refusal { try market(.trades, "symbol=a%00b") }?.message.contains("symbol") == true)
    }

    @Test(arguments: [
        ("2024-01-01", 1_704_067_200_000_000), ("2024-01-01T12:00:00Z", 1_704_110_400_000_000),
        ("1704067200", 1_704_067_200_000_000),
        ("1704067200123", 1_704_067_200_123_000), ("1704067200123456", 1_704_067_200_123_456),
        ("1704067200123456789", 1_704_067_200_123_457), ("now", 1_704_110_400_000_000),
        ("now-6h", 1_704_088_800_000_000),
        ("now%2B1d", 1_704_196_800_000_000), ("now+30s", 1_704_110_430_000_000),
    ])
    func `moments are read in every spelling`(_ text: String, _ expected: Int64) throws {
        #expect(try market(.trades, "from=\(text)").range.from?.microseconds == expected)
    }

    @Test func `a range may begin so long before its end`() throws {
        let range = try market(.trades, "from=to-90d&to=2011-10-01").range
        #expect(range == TimeRange(from: Timestamp(parsing: "2011-07-03"), to: Timestamp(parsing: "2011-10-01")))
        let open = try market(.trades, "from=to-6h").range
        #expect(open.from?.microseconds == 1_704_088_800_000_000 && open.to == nil && open.isRelative)
        #expect(try market(.trades, "from=to-6h&to=now").range.isRelative)
        for text in ["to", "to%2B6h", "to-", "to-6", "to-6y", "tomorrow", "to-99999999w"] {
            #expect(refusal { try market(.trades, "from=\(text)") }?.code == "invalid_parameter", "\(text)")
        }
        #expect(refusal { try market(.trades, "to=to-6h") }?.code == "invalid_parameter")
    }

    @Test(arguments: ["now-+6h", "now++6h", "now+-6h", "now--6h", "now-h"])
    func `a number of hours has no sign of its own`(_ text: String) {
        #expect(Timestamp(text, now: .epoch) == nil)
    }

    @Test(arguments: [
        "yesterday", "now-", "now-6", "now- 6h", "now--6h", "now-6y", "nowish", "2024-13-01",
        "now-99999999999d",
    ])
    func `what is no moment is refused by name and value`(_ text: String) {
        let error = refusal { try market(.trades, "to=\(text)") }
        #expect(error?.status == 400)
        #expect(error?.message == "invalid value for parameter \"to\": \"\(text)\"")
        #expect(error?.details?.contains("RFC 3339") == true)
    }

    @Test func `a range must not run backwards`() throws {
        #expect(refusal { try market(.bars, "from=2024-01-02&to=2024-01-01") }?.status == 400)
        #expect(throws: Never.self) { try market(.bars, "from=2024-01-01&to=2024-01-01") }
    }

    @Test func `limits are accepted up to the largest`() throws {
        #expect(try market(.bars, "limit=50000").limit == 50_000)
        #expect(try market(.bars, "limit=1").limit == 1)
        for text in ["50001", "0", "-1", "1e3", "ten", "+5"] {
            let error = refusal { try market(.bars, "limit=\(text)") }
            #expect(error?.details == "Allowed: an integer from 1 to 50000.", "\(text)")
        }
    }

    @Test func `an unknown name comes with a suggestion`() {
        let error = refusal { try market(.bars, "tmeframe=1m") }
        #expect(error?.message == "unknown parameter \"tmeframe\"")
        #expect(error?.hint == "Perhaps you meant \"timeframe\".")
        // What other services call it.
        for (name, meant) in [
            ("resolution", "timeframe"), ("interval", "timeframe"), ("startTime", "from"), ("end", "to"),
            ("ticker", "symbol"),
        ] {
            #expect(refusal { try market(.bars, "\(name)=1") }?.hint == "Perhaps you meant \"\(meant)\".")
        }
        #expect(refusal { try market(.symbols, "q=apple") }?.hint == "Perhaps you meant \"search\".")
        #expect(refusal { try market(.latest, "from=now") }?.code == "unknown_parameter")
        #expect(refusal { try market(.latest, "xyzzyplugh=1") }?.hint == nil)
        #expect(refusal { try market(.bars, "order=asc&order=desc") }?.code == "repeated_parameter")
        #expect(
            refusal { try market(.indicators, "timeframe=2m") }?.details
                == "Allowed: one of 1s, 5s, 15s, 1m, 5m, 15m, 1h, 1d, or another name of these, such as 60 or 1Hour.")
        #expect(refusal { try market(.bars, "timeframe=1x") }?.details?.contains("30m, 4h, 1w, 1M") == true)
    }

    @Test(arguments: [
        ([], ReplyFormat.json), (["*/*"], .json), (["application/json;q=0.9,text/plain"], .json),
        (["text/csv, application/json;q=0.1"], .csv), (["text/csv"], .csv), (["application/x-ndjson"], .ndjson),
        (["text/csv, application/json"], .csv), (["text/csv", "*/*;q=0.1"], .csv), (["text/csv, */*"], .csv),
        (["application/json, text/csv"], .json), (["text/csv;q=0.9, application/json;q=0.1"], .csv),
        (["application/json;q=0.1, application/x-ndjson"], .ndjson), (["application/json;q=0, */*"], .ndjson),
        (["text/csv;q=0.2, */*;q=0.8"], .json), ([" , "], .json),
        (["application/*;q=0.3, application/json;q=0, text/csv;q=0.2"], .ndjson),
        (["text/csv;q=nan"], .csv), (["text/csv;q=-nan, */*;q=inf"], .csv),
        (["*/*, application/x-ndjson"], .ndjson), (["application/json, text/plain, */*"], .json), (["text/*"], .csv),
        (["text/csv;header=present; q=0.2, application/x-ndjson;Q=0.3"], .ndjson), (["application/*;q=0.5"], .json),
        (["text/csv", "application/json;q=0"], .csv), (["application/vnd.api+json"], .json),
        (["text/html,application/xhtml+xml,*/*;q=0.8"], .json),
    ])
    func `the format is what Accept asks for`(_ accept: [String], _ expected: ReplyFormat) throws {
        #expect(try ReplyFormat(accept: accept) == expected)
    }

    @Test func `what is not offered is 406`() {
        #expect(refusal { try ReplyFormat(accept: ["image/png"]) }?.status == 406)
        #expect(refusal { try ReplyFormat(accept: ["application/json;q=0, text/csv;q=0.0"]) }?.status == 406)
    }

    @Test func `candles take the timeframe that fits`() throws {
        #expect(try candles("symbol=BTC&interval=1m").interval.name == "1m")
        #expect(try candles("symbol=BTC&interval=30s").interval.name == "30s")
        #expect(try candles("symbol=BTC&interval=500ms").interval.name == "1s")
        #expect(try candles("symbol=BTC&intervalMs=30000").interval.name == "30s")
        #expect(try candles("symbol=BTC&interval=1w").interval.name == "1w")
        #expect(try candles("symbol=BTC").interval.name == "1m")
        #expect(
            try candles("symbol=BTC&interval=$__interval&from=now-6h&to=now&maxDataPoints=100").interval.name == "5m")
        // More candles than fit are merged.
        #expect(try candles("symbol=BTC&interval=1s&from=now-6h&to=now&maxDataPoints=100").interval.name == "5m")
        // As many as the client may have, unless it says how wide they are.
        let day = "symbol=BTC&from=now-1d&to=now"
        #expect(try candles(day, most: 5).interval.name == "6h")
        #expect(try candles(day + "&maxDataPoints=100", most: 5).interval.name == "6h")
        #expect(try candles(day + "&interval=1h", most: 5).interval.name == "1h")
        #expect(try candles(day + "&interval=1h&maxDataPoints=100", most: 5).interval.name == "1h")
        #expect(try candles(day + "&interval=1m&maxDataPoints=100", most: 5).interval.name == "6h")
        #expect(try candles("symbol=BTC&interval=1s&from=now-6h&to=now").interval.name == "1s")
        #expect(try candles("symbol=BTC&interval=auto&from=now-10m").interval.name == "1s")
        #expect(try candles("symbol=BTC&from=now-9000d").interval.name == "1M")
        #expect(refusal { try candles("symbol=BTC&interval=soon") }?.code == "invalid_parameter")
        #expect(refusal { try candles("interval=1m") }?.code == "missing_parameter")
        #expect(refusal { try candles("symbol=BTC,ETH") }?.code == "invalid_parameter")
        #expect(refusal { try candles("symbol=$symbol") }?.code == "unreplaced_variable")
    }

    @Test func `page tokens survive the way there and back`() throws {
        for token in [
            PageToken(
                scope: "trades asc", symbol: "BINANCE:BTC|USDT", ts: Timestamp(microseconds: -5), source: "f",
                tradeID: .min),
            PageToken(scope: "latest desc", symbol: "A"),
            PageToken(scope: "bars 1m asc", symbol: "IC MARKETS:1", ts: noon, source: "", tradeID: .max),
        ] {
            #expect(PageToken(token.text) == token)
            #expect(
                token.text.utf8.allSatisfy {
                    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_".utf8.contains($0)
                })
        }
    }

    @Test func `page tokens of other requests and other texts are refused`() throws {
        let token = PageToken(scope: "bars 1m asc", symbol: "BTC", ts: noon).text
        #expect(try market(.bars, "page_token=\(token)").page?.symbol == "BTC")
        #expect(refusal { try market(.bars, "order=desc&page_token=\(token)") }?.code == "invalid_parameter")
        #expect(refusal { try market(.bars, "timeframe=1h&page_token=\(token)") }?.code == "invalid_parameter")
        #expect(refusal { try market(.trades, "page_token=\(token)") }?.code == "invalid_parameter")
        for text in ["x", "!!", String(token.dropLast()), token + "A", "MR8"] {
            #expect(refusal { try market(.bars, "page_token=\(text)") }?.code == "invalid_parameter", "\(text)")
        }
    }

    @Test func `base64url agrees with RFC 4648 and refuses loose bits`() {
        #expect(Base64URL.encode(Array("foobar".utf8)) == "Zm9vYmFy")
        #expect(Base64URL.encode(Array("foob".utf8)) == "Zm9vYg")
        #expect(Base64URL.encode([0xFB, 0xFF]) == "-_8")
        #expect(Base64URL.decode("-_8") == [0xFB, 0xFF])
        #expect(Base64URL.decode("Zm9vYh") == nil)
        #expect(Base64URL.decode("A") == nil)
    }
}

@Suite struct BarLayoutTests {
    @Test func `timeframes have the names of every service`() throws {
        for (text, name) in [("60", "1h"), ("D", "1d"), ("1Min", "1m"), ("1wk", "1w"), ("1M", "1M"), ("4h", "4h")] {
            #expect(try market(.bars, "timeframe=\(text)").interval.name == name)
        }
        #expect(try market(.indicators, "timeframe=60").timeframe == .hour1)
        #expect(refusal { try market(.indicators, "timeframe=4h") }?.code == "invalid_parameter")
    }

    @Test func `what does not go together is refused`() throws {
        #expect(refusal { try market(.bars, "shape=wide") }?.code == "missing_parameter")
        #expect(refusal { try market(.bars, "shape=columns") }?.code == "missing_parameter")
        #expect(refusal { try market(.bars, "shape=columns&symbols=A,B") }?.code == "invalid_parameter")
        #expect(refusal { try market(.bars, "shape=columns&symbol=A&format=csv") }?.code == "invalid_parameter")
        #expect(refusal { try market(.bars, "value=open&symbol=A") }?.code == "invalid_parameter")
        #expect(refusal { try market(.bars, "fill=zero") }?.details == "Allowed: one of none, null, prev, linear.")
        #expect(refusal { try market(.trades, "fill=prev") }?.code == "unknown_parameter")
        let many = (0..<101).map { "S\($0)" }.joined(separator: ",")
        #expect(refusal { try market(.bars, "shape=wide&symbols=\(many)") }?.code == "invalid_parameter")
        #expect(throws: Never.self) { try market(.bars, "shape=wide&symbols=\(many.dropLast(5))") }
        #expect(refusal { try market(.bars, "shape=wide&symbols=\(many.dropLast(5))&limit=5001") } != nil)
        #expect(throws: Never.self) { try market(.bars, "shape=wide&symbols=\(many.dropLast(5))&limit=5000") }
    }

    @Test func `a range is closed an hour after its last bar has ended`() throws {
        func closed(_ query: String) throws -> Bool { Caching.isClosed(try market(.bars, query).closing, now: noon) }
        #expect(try closed("to=2024-01-01T11:00:00Z"))
        #expect(try !closed("to=2024-01-01T11:00:01Z"))
        #expect(try !closed("to=now-3h") && !closed(""))
        #expect(try !closed("timeframe=1M&to=2024-01-01T00:00:01Z"))
        #expect(try closed("timeframe=1M&to=2024-01-01T00:00:00Z"))
    }
}

@Suite struct StateTests {
    private func state(_ transactions: String, _ version: String, before: Int64?) -> StoreVersion.State {
        StoreVersion.State(
            transactions, settled: before.map { (version, Timestamp(microseconds: $0 * 3_600_000_000)) }, seen: .now())
    }

    private func tag(_ state: StoreVersion.State, closing hour: Int64?) -> String {
        Caching(
            state, [1], closing: hour.map { Timestamp(microseconds: $0 * 3_600_000_000) },
            now: Timestamp(microseconds: 10 * 3_600_000_000)
        ).entityTag
    }

    @Test func `a tag is of what is settled as far as that reaches, and of everything else beyond`() {
        let (first, next) = (state("1:1:", "a", before: 8), state("1:2:", "a", before: 8))
        #expect(tag(first, closing: 8) == tag(next, closing: 8))
        #expect(tag(first, closing: 8) != tag(state("1:1:", "b", before: 8), closing: 8))
        // Later than is settled, or than a copy may be kept for a minute, whatever the store says.
        for hour: Int64? in [9, nil] { #expect(tag(first, closing: hour) != tag(next, closing: hour)) }
        let ahead = (state("1:1:", "a", before: 12), state("1:2:", "a", before: 12))
        #expect(tag(ahead.0, closing: 10) != tag(ahead.1, closing: 10))
        // Nothing is known to be.
        #expect(tag(state("1:1:", "a", before: nil), closing: 1) != tag(state("1:2:", "a", before: nil), closing: 1))
    }

    @Test(arguments: [
        ("host=a", false), ("host=a,b", true), ("host=a,b target_session_attrs=prefer-standby", true),
        ("host=a,b target_session_attrs=read-write", false), ("host=a,b target_session_attrs=primary", false),
        ("postgresql://a:1,b:2/x", true), ("postgresql://a:1,b:2/x?target_session_attrs=any", true),
    ])
    func `where several servers may answer, none is believed what is settled`(_ url: String, _ several: Bool) throws {
        #expect(try ConnectionSettings(url).namesSeveralServers == several)
    }
}

@Suite struct BarMergerTests {
    private func bar(_ minute: Int64, _ price: Double, volume: Double = 1) -> PriceBar {
        PriceBar(
            ts: Timestamp(microseconds: minute * 60_000_000), open: price, high: price + 1, low: price - 1,
            close: price + 0.5, volume: volume, notional: volume * price, tradeCount: 2)
    }

    @Test func `bars merge the same from either end`() throws {
        var generator = SystemRandomNumberGenerator()
        let bars = (0..<200).filter { _ in Bool.random(using: &generator) }
            .map { bar($0, .random(in: 1...9), volume: .random(in: 0...1e9)) }
        let interval = try #require(BarInterval("7m"))
        var up = BarMerger(interval, isDescending: false)
        var down = BarMerger(interval, isDescending: true)
        for bar in bars { up.add(bar) }
        for bar in bars.reversed() { down.add(bar) }
        up.close()
        down.close()
        #expect(up.merged == down.merged.reversed())
        for merged in up.merged {
            let parts = bars.filter { interval.start(of: $0.ts) == merged.ts }
            #expect(merged.open == parts.first?.open && merged.close == parts.last?.close)
            #expect(merged.high == parts.compactMap(\.high).max() && merged.low == parts.compactMap(\.low).min())
            #expect(merged.tradeCount == Int64(parts.count * 2))
        }
    }

    @Test func `a sum does not lose what is small`() {
        var merger = BarMerger(BarInterval(.hour1), isDescending: false)
        for (minute, volume) in [(0, 1e16), (1, 1), (2, 1), (3, -1e16)] as [(Int64, Double)] {
            merger.add(bar(minute, 1, volume: volume))
        }
        merger.close()
        #expect(merger.merged.map(\.volume) == [2])
    }

    @Test(arguments: [false, true])
    func `gaps are filled the same from either end`(_ isDescending: Bool) {
        let interval = BarInterval(.minute1)
        let bars = [bar(0, 10), bar(3, 40)]
        func closes(_ fill: BarLayout.Fill) -> [Double?] {
            let filled = (isDescending ? bars.reversed() : bars).filled(
                fill, interval, isDescending: isDescending, seed: nil, after: nil, limit: 100)
            return (isDescending ? filled.reversed() : filled).map(\.close)
        }
        #expect(closes(.none) == [10.5, 40.5])
        #expect(closes(.null) == [10.5, nil, nil, 40.5])
        #expect(closes(.prev) == [10.5, 10.5, 10.5, 40.5])
        #expect(closes(.linear) == [10.5, 20.5, 30.5, 40.5])
    }

    @Test func `a page in the middle of a gap goes on where the last one ended`() {
        let interval = BarInterval(.minute1)
        let (first, last) = (bar(0, 10), bar(9, 40))
        let all = [first, last].filled(.prev, interval, isDescending: false, seed: nil, after: nil, limit: 100)
        #expect(all.count == 10)
        for cut in 1..<9 {
            let rest = [last].filled(
                .prev, interval, isDescending: false, seed: first, after: all[cut].ts, limit: 100)
            #expect(rest == Array(all[(cut + 1)...]), "cut \(cut)")
        }
        #expect([first, last].filled(.null, interval, isDescending: false, seed: nil, after: nil, limit: 4).count == 4)
    }

    @Test(arguments: [
        ("1.5e-07", "0.00000015"), ("1e+16", "10000000000000000.0"), ("-2.5e-05", "-0.000025"), ("1.25", "1.25"),
    ])
    func `decimals have no exponent`(_ text: String, _ plain: String) {
        #expect(DropInQuery.plainDecimal(text) == plain)
    }

    @Test(
        arguments: [
            (nil, "0.0"), (0.5, "0.5"), (1e-7, "0.0000001"), (1.7e308 * 10, "Infinity"), (-.infinity, "-Infinity"),
        ] as [(Double?, String)])
    func `a sum beyond a double is not nothing to clients of Binance`(_ value: Double?, _ text: String) {
        #expect(DropInQuery.decimal(value) == text)
    }
}

@Suite struct PlanTests {
    @Test func `a page of trades starts behind its token`() throws {
        let token = PageToken(scope: "trades asc", symbol: "BTC", ts: noon, source: "s", tradeID: 7)
        let plan = MarketPlan(request: try market(.trades, "symbols=AAPL,BTC,ETH&page_token=\(token.text)"))
        #expect(plan.namedSymbols == ["BTC", "ETH"])
        let step = plan.step(symbol: "BTC", limit: 5)
        #expect(step.statement.sql.contains("(ts, source, trade_id) > ($5, $6, $7)"))
        #expect(step.parameters[1] == .timestamp(noon.microseconds))
        #expect(!plan.step(symbol: "ETH", limit: 5).statement.sql.contains("$5"))
    }

    @Test func `a name stands for one statement`() throws {
        var statements: [String: String] = [:]
        for query in ["", "order=desc", "symbol=A", "symbols=A,B", "limit=5"] {
            for resource in [MarketResource.bars, .trades] {
                let step = MarketPlan(request: try market(resource, query)).step(symbol: "A", limit: 3)
                if let known = statements[step.statement.name] { #expect(known == step.statement.sql) }
                statements[step.statement.name] = step.statement.sql
            }
        }
        #expect(statements.count == 4)
    }

    @Test(arguments: ["&limit=10", "&limit=10&order=desc", "&limit=7&to=2024-01-01", "latest"])
    func `a lookup of one symbol is asked of many by the same statement`(_ query: String) throws {
        let page = try query == "latest" ? market(.latest, "symbol=A") : market(.bars, "symbol=A" + query)
        let lookup = try #require(MarketPlan(request: page).lookup)
        let many = try #require(lookup.many)
        #expect(lookup.parameters[0] == .text("A", as: .text))
        var sql = many.sql
        sql.replace("select found.* from unnest($1) as asked (symbol), lateral (", with: "")
        sql.replace(" offset 0) as found", with: "")
        sql.replace(") as found", with: "")
        #expect(sql.replacing("asked.symbol", with: "$1") == lookup.statement.sql)
        let several = try #require(MarketPlan(request: try market(.latest, "symbols=A,B")).lookup)
        #expect(several.many == nil)
    }
}

@Suite struct ExchangeTests {
    @Test(arguments: [
        ("COINBASE:BTC-USD", nil, nil, "BTC", "USD"), ("OANDA:EUR_USD", nil, "USD", "EUR", "USD"),
        ("KRAKEN:XMR/USD", nil, nil, "XMR", "USD"), ("BITSTAMP:btcusd", nil, nil, "BTC", "USD"),
        ("BINANCE:BTCUSDT", "crypto", nil, "BTC", "USDT"), ("BINANCE:BTCFDUSD", nil, nil, "BTC", "FDUSD"),
        ("BINANCE:USDTTRY", nil, nil, "USDT", "TRY"), ("BITSTAMP:DOTUSD", nil, nil, "DOT", "USD"),
        ("BTC-USD", nil, nil, "BTC", "USD"), ("AAPL", "equity", "USD", "AAPL", "USD"), ("AAPL", nil, nil, "AAPL", ""),
        ("BRK-B", "equity", "USD", "BRK-B", "USD"), ("NYSE:ABC-USD", "etf", "EUR", "ABC-USD", "EUR"),
        ("BITMEX:TRXU21", nil, nil, "TRXU21", ""), ("X:USD", nil, nil, "USD", ""), ("X:-USD", nil, nil, "-USD", ""),
    ])
    func `the assets of a pair are told apart`(
        _ symbol: String, _ type: String?, _ currency: String?, _ base: String, _ quote: String
    ) {
        #expect(ExchangeQuery.assets(symbol, type: type, currency: currency) == (base, quote))
    }

    @Test func `Binance's symbols have no venue, unless that is another one`() {
        let found: Set = ["BINANCE:BTCUSDT", "BINANCE:ETHUSDT", "ETHUSDT", "COINBASE:BTC-USD"]
        #expect(ExchangeQuery.name("BINANCE:BTCUSDT", found, nil) == "BTCUSDT")
        #expect(ExchangeQuery.name("BINANCE:BTCUSDT", found, ["BTCUSDT"]) == "BTCUSDT")
        #expect(ExchangeQuery.name("BINANCE:BTCUSDT", found, ["BINANCE:BTCUSDT"]) == "BINANCE:BTCUSDT")
        #expect(ExchangeQuery.name("BINANCE:ETHUSDT", found, nil) == "BINANCE:ETHUSDT")
        #expect(ExchangeQuery.name("COINBASE:BTC-USD", found, nil) == "COINBASE:BTC-USD")
    }
}
