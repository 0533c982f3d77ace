// SPDX-License-Identifier: Apache-2.0

import Market
import Records
import Testing
import WebSocket

@testable import Ingest

struct FinnhubTests {
    private func frame(_ text: String) -> FinnhubFrame {
        let blank = StagedTrade(run: 1, source: "finnhub", position: 2, ingestedAt: .epoch)
        return Array(text.utf8).withUnsafeBytes { FinnhubFrame($0, blank) }
    }

    private func staged(_ text: String) -> [StagedTrade]? {
        if case .trades(let trades) = frame(text) { trades.map(\.trade) } else { nil }
    }

    @Test func `a frame's trades come in its order, also those that are alike`() throws {
        let trades = try #require(
            staged(
                #"{"data":[{"c":["1","12"],"p":164.06,"s":"AAPL","t":1680286538064,"v":4},"#
                    + #"{"c":["1","12"],"p":164.06,"s":"AAPL","t":1680286538064,"v":4},"#
                    + #"{"p":71030,"s":"BINANCE:BTCUSDT","t":1680286537000,"v":0.0004},"#
                    + #"{"c":null,"p":1.08,"s":"IC MARKETS:1","t":1680286538064,"v":0}],"type":"trade"}"#))
        #expect(trades.map(\.symbol) == ["AAPL", "AAPL", "BINANCE:BTCUSDT", "IC MARKETS:1"])
        #expect(trades.map(\.price) == [164.06, 164.06, 71030, 1.08] && trades.map(\.size) == [4, 4, 0.0004, 0])
        #expect(trades.map(\.conditions) == [["1", "12"], ["1", "12"], [], []])
        #expect(trades[2].ts == Timestamp(microseconds: 1_680_286_537_000_000))
        #expect(trades.allSatisfy { $0.problem == nil && $0.source == "finnhub" && $0.position == 2 })
    }

    @Test func `what is not a trade is known, and what is not known is refused with its bytes`() {
        if case .ping = frame(#"{"type":"ping"}"#) {} else { Issue.record("a ping") }
        if case .other = frame(#"{"type":"news","data":[{"headline":"x"}]}"#) {} else { Issue.record("news") }
        if case .error(let text) = frame(#"{"msg":"Too many","type":"error"}"#) {
            #expect(text == "Too many")
        } else {
            Issue.record("an error")
        }
        for text in ["no JSON", #"{"type":"trade","data":[{"s":"A""#, #"{"type":"surprise"}"#, ""] {
            #expect(staged(text)?.map(\.problem) == ["malformed_line"], "\(text)")
        }
    }

    @Test func `errors are judged by what they mean for the connection`() {
        #expect(FinnhubFrame.judge("Invalid API key") == .refused)
        #expect(FinnhubFrame.judge("Too many connections") == .tooMany)
        #expect(FinnhubFrame.judge("API limit reached. Please try again later.") == .tooMany)
        #expect(FinnhubFrame.judge("Subscribing to too many symbols") == .remark)
        #expect(FinnhubFrame.judge("Invalid symbol") == .remark)
    }

    private func url(_ base: String, token: String = "t") throws -> String {
        let url = try FinnhubSource.url(.init(token: token, symbols: [], url: base))
        return "\(url.isSecure) \(url.host):\(url.port)\(url.target)"
    }

    @Test func `the key is encoded, and goes nowhere in the clear`() throws {
        #expect(try url("wss://ws.finnhub.io", token: "a+b/c") == "true ws.finnhub.io:443/?token=a%2Bb%2Fc")
        #expect(try url("wss://host:1/x?y=1") == "true host:1/x?y=1&token=t")
        #expect(try url("ws://127.0.0.1:9") == "false 127.0.0.1:9/?token=t")
        for base in ["ws://ws.finnhub.io", "https://finnhub.io", "wss://", ""] {
            let error = #expect(throws: IngestError.self) { try url(base, token: "hidden") }
            #expect(error.map { !"\($0)".contains("hidden") } == true)
        }
        #expect(FinnhubSource.redact("denied: hidden!", "hidden") == "denied: …!")
    }

    @Test func `a file of tickers is read by its header`() throws {
        #expect(
            try TickerFile.symbols("\u{FEFF}name,ticker\r\nApple,AAPL\r\n\"A \"\"B\"\", C\", MSFT \r\n\r\n", name: "f")
                == ["AAPL", "MSFT"])
        #expect(try TickerFile.symbols("Symbol\nIC MARKETS:1", name: "f") == ["IC MARKETS:1"])
        #expect(try TickerFile.symbols("", name: "f") == [])
        let wrong = [
            (
                "name\nApple",
                "f:1: no column is called ticker or symbol (The first line names the columns: name,ticker.)"
            ),
            ("name,ticker\nApple", "f:2: 1 columns where the header has 2"),
            ("ticker\nA  B", "f:2: 'A  B' is no symbol"),
            ("ticker\n\"A", "f:2: a quote is open"),
        ]
        for (text, message) in wrong {
            let error = #expect(throws: IngestError.self) { try TickerFile.symbols(text, name: "f") }
            #expect(error.map { "\($0)" } == message)
        }
    }
}
