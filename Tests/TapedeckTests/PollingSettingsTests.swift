// SPDX-License-Identifier: Apache-2.0

import Ingest
import Testing

@testable import Tapedeck

struct PollingSettingsTests {
    private static let finnhub = [
        "FINNHUB_API_TOKEN": "secret", "FINNHUB_STOCKS_TICKERS": #"["AAPL", "AAPL", "IC MARKETS:1"]"#,
    ]

    private static func settings(_ flags: [(Setting, String?)], _ environment: [String: String] = finnhub) throws
        -> Settings
    {
        try Settings(flags: flags, environment: environment)
    }

    @Test func `symbols are looked up where the variable of older programs says so`() throws {
        #expect(try SourceSettings.finnhub(Self.settings([])).search == nil)
        for value in ["1", "on"] {
            let environment = Self.finnhub.merging(["FINNHUB_VALIDATE_TICKERS": value]) { $1 }
            let source = try SourceSettings.finnhub(Self.settings([], environment))
            #expect(source.search?.token == "secret" && source.search?.url == "https://finnhub.io/api/v1")
            #expect(source.symbols == ["AAPL", "IC MARKETS:1"])
        }
        let off = Self.finnhub.merging(["FINNHUB_VALIDATE_TICKERS": "0"]) { $1 }
        #expect(try SourceSettings.finnhub(Self.settings([], off)).search == nil)
    }

    @Test func `what is asked goes over TLS, but on this machine`() throws {
        let here = try Self.settings([(.finnhubURL, "http://127.0.0.1:8000/"), (.yahooURL, "http://localhost")])
        #expect(try SourceSettings.finnhubREST(here).url == "http://127.0.0.1:8000")
        #expect(try SourceSettings.yahoo(here).url == "http://localhost")
        for url in ["http://finnhub.io/api/v1", "http://localhost.example.org", "finnhub.io"] {
            #expect(throws: (any Error).self) {
                try SourceSettings.finnhubREST(Self.settings([(.finnhubURL, url)]))
            }
            #expect(throws: (any Error).self) { try SourceSettings.yahoo(Self.settings([(.yahooURL, url)])) }
        }
    }

    @Test func `what nobody sets is Yahoo itself, and four stocks`() throws {
        let yahoo = try SourceSettings.yahoo(Self.settings([], [:]))
        #expect(
            yahoo.symbols == ["AMZN", "AAPL", "MSFT", "GOOGL"] && yahoo.timeframe == "2m" && yahoo.lookBack == "1mo")
        #expect(yahoo.interval == .seconds(60) && yahoo.rate == 60 && yahoo.busyPause == .seconds(60))
        #expect(try SourceSettings.yahoo(Self.settings([], ["STOCKS": "TSLA,TSLA"])).symbols == ["TSLA"])
    }

    @Test(arguments: [
        ("1m", "5d", "1mo"), ("2m", "1mo", "3mo"), ("90m", "1mo", "1y"), ("60m", "2y", "5y"), ("1d", "max", nil),
    ])
    func `bars are asked for as far back as Yahoo has them`(timeframe: String, good: String, bad: String?) throws {
        func lookBack(_ text: String) throws -> String {
            try SourceSettings.yahoo(
                Self.settings([(.yahooTimeframe, timeframe), (.yahooLookBack, text)])
            ).lookBack
        }
        #expect(try lookBack("1d") == "1d" && lookBack(good) == good)
        if let bad { #expect(throws: (any Error).self) { try lookBack(bad) } }
    }
}
