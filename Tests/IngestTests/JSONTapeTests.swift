// SPDX-License-Identifier: Apache-2.0

import Market
import Records
import Testing

@testable import Ingest

struct JSONTapeTests {
    private func trades(_ text: String, symbol: String? = nil) throws -> (trades: [StagedTrade], other: Int) {
        let file = try TapeFile(text)
        let result = read(file.path, symbol: symbol)
        #expect(result.error == nil)
        return (result.trades, result.otherFrames)
    }

    // MARK: Objects

    static let objects: [(String, Facts)] = [
        (#"{"ts":1700000000,"symbol":"A","price":1.5,"size":2}"#, Facts(1_700_000_000_000_000, "A", 1.5, 2)),
        (
            #"{ "size" : 2 , "price" : 1.5 , "symbol" : "A" , "time" : 1700000000 } "#,
            Facts(1_700_000_000_000_000, "A", 1.5, 2)
        ),
        (
            #"{"timestamp":"2024-01-01T00:00:00Z","SYMBOL":"A","price":"1.5","qty":"2"}"#,
            Facts(1_704_067_200_000_000, "A", 1.5, 2)
        ),
        (#"{"ts":1700000000.25,"symbol":"A","price":15e-1,"volume":2E0}"#, Facts(1_700_000_000_250_000, "A", 1.5, 2)),
        (#"{"ts":1,"symbol":"A\u00e9\ud83d\ude00","price":1,"size":2}"#, Facts(1_000_000, "Aé😀", 1, 2)),
        (
            #"{"ts":1,"symbol":"A","price":1,"size":2,"extra":{"price":9,"x":[1,{}]},"other":null}"#,
            Facts(1_000_000, "A", 1, 2)
        ),
        (#"{"ts":1,"symbol":"A","price":1,"size":2,"type":null}"#, Facts(1_000_000, "A", 1, 2)),
        (#"{"ts":1,"symbol":"A","price":1,"size":2,"data":null}"#, Facts(1_000_000, "A", 1, 2)),
        (#"{"ts":null,"symbol":null,"price":null,"size":null}"#, Facts(nil, nil, nil, nil)),
        ("{}", Facts(nil, nil, nil, nil)),
        (#"{"ts":"","symbol":"","price":"","size":""}"#, Facts(nil, nil, nil, nil)),
        (#"{"ts":1,"symbol":5,"price":1,"size":2}"#, Facts(1_000_000, nil, 1, 2, problem: "symbol_syntax")),
        (#"{"ts":1,"symbol":["A"],"price":1,"size":2}"#, Facts(1_000_000, nil, 1, 2, problem: "symbol_syntax")),
        (#"{"ts":true,"symbol":"A","price":1,"size":2}"#, Facts(nil, "A", 1, 2, problem: "ts_unreadable")),
        (#"{"ts":1,"symbol":"A","price":{},"size":2}"#, Facts(1_000_000, "A", nil, 2, problem: "price_unreadable")),
        (#"{"ts":1,"symbol":"A","price":"much","size":2}"#, Facts(1_000_000, "A", nil, 2, problem: "price_unreadable")),
        (#"{"ts":1,"symbol":"A","price":1-2,"size":2}"#, Facts(1_000_000, "A", nil, 2, problem: "price_unreadable")),
        (#"{"ts":1,"symbol":"A","price":1,"size":false}"#, Facts(1_000_000, "A", 1, nil, problem: "size_unreadable")),
    ]

    @Test(arguments: objects)
    func `an object with a header's names is a trade`(line: String, expected: Facts) throws {
        let read = try trades(line + "\n")
        #expect(read.trades.map { Facts($0) } == [expected])
        #expect(read.other == 0)
        let trade = try #require(read.trades.first)
        #expect(trade.source == "file" && trade.position == 1)
        #expect((trade.original == nil) == (expected.problem == nil))
    }

    @Test func `blanks before the first object do not make it a header`() throws {
        let read = try trades(#" {"ts":1,"symbol":"A","price":1,"size":2}"# + "\n")
        #expect(read.trades.map { Facts($0) } == [Facts(1_000_000, "A", 1, 2)])
    }

    @Test(arguments: ["buy", "limit", "trade"])
    func `a trade with a member called type is a trade all the same`(type: String) throws {
        let read = try trades(#"{"ts":1,"symbol":"A","price":1,"size":2,"type":"\#(type)"}"# + "\n")
        #expect(read.trades.map { Facts($0) } == [Facts(1_000_000, "A", 1, 2)])
    }

    @Test func `ids are numbers, or any text`() throws {
        let read = try trades(
            """
            {"ts":1,"symbol":"A","price":1,"size":2,"trade_id":77}
            {"ts":1,"symbol":"A","price":1,"size":2,"id":"78"}
            {"ts":1,"symbol":"A","price":1,"size":2,"id":"x-1"}
            {"ts":1,"symbol":"A","price":1,"size":2,"id":null}
            """)
        try #require(read.trades.count == 4)
        #expect(read.trades.prefix(2).map(\.tradeID) == [77, 78])
        #expect(read.trades[2].tradeID == Int64(TradeIdentity.hash("x-1".utf8) & ((1 << 52) - 1)))
        #expect(read.trades[3].tradeID.map { $0 >> 32 } == 0)
    }

    @Test func `a symbol that is given serves objects without one`() throws {
        let read = try trades(#"{"ts":1,"price":1,"size":2}"# + "\n", symbol: "XYZ")
        #expect(read.trades.map { Facts($0) } == [Facts(1_000_000, "XYZ", 1, 2)])
    }

    @Test(arguments: [
        "{", "}", #"{"ts":1"#, #"{"ts":}"#, #"{"ts":1,}"#, #"{"ts":1}{"ts":2}"#, #"{"ts":1} x"#, "[]", "[1,2]", "null",
        "5",
        #"{ts:1}"#, #"{"symbol":"\ud83d"}"#, #"{"symbol":"\x"}"#, #"{"type":"trade","data":[1]}"#,
        #"{"type":"trade","data":[{"s":"A"]}"#, "1,A,2,3",
    ])
    func `a line that is not JSON of a kind we know is kept and refused`(line: String) throws {
        let read = try trades(
            #"{"ts":1,"symbol":"A","price":1,"size":2}"# + "\n\(line)\n" + #"{"ts":2,"symbol":"B","price":1,"size":2}"#)
        #expect(read.trades.map(\.problem) == [nil, "malformed_line", nil])
        let refused = try #require(read.trades.dropFirst().first)
        #expect(refused.original == Array(line.utf8))
        #expect(refused.position == 2)
        #expect(read.other == 0)
    }

    @Test func `a line that is not UTF-8 is refused, not guessed at`() throws {
        let file = try TapeFile(Array(#"{"ts":1,"symbol":"A"#.utf8) + [0xFF] + Array(#"","price":1,"size":2}"#.utf8))
        let result = read(file.path)
        #expect(result.trades.map(\.problem) == ["malformed_line"])
    }

    // MARK: Finnhub frames

    @Test func `a frame gives all its trades, those of one millisecond too`() throws {
        // A published frame: five TSLA trades of one millisecond, three of them at one price.
        let read = try trades(
            #"{"type":"trade","data":[{"s":"TSLA","p":122.1,"t":1672348887196,"v":1,"c":["1","8","24","12"]},"#
                + #"{"s":"TSLA","p":122.1,"t":1672348887196,"v":2,"c":["1","8","24","12"]},"#
                + #"{"s":"TSLA","p":122.1,"t":1672348887196,"v":10,"c":null},"#
                + #"{"s":"TSLA","p":122.0825,"t":1672348887196,"v":100},"#
                + #"{"c":[],"p":122,"s":"TSLA","t":1672348887196,"v":1}]}"# + "\n")
        let ts: Int64 = 1_672_348_887_196_000
        #expect(
            read.trades.map { Facts($0) } == [
                Facts(ts, "TSLA", 122.1, 1), Facts(ts, "TSLA", 122.1, 2), Facts(ts, "TSLA", 122.1, 10),
                Facts(ts, "TSLA", 122.0825, 100), Facts(ts, "TSLA", 122, 1),
            ])
        #expect(read.trades.map(\.conditions) == [["1", "8", "24", "12"], ["1", "8", "24", "12"], [], [], []])
        #expect(read.trades.allSatisfy { $0.source == "finnhub" && $0.position == 1 })
        #expect(Set(read.trades.map(\.tradeID)).count == 5)
        // In the order of the frame.
        #expect(read.trades.compactMap(\.tradeID) == read.trades.compactMap(\.tradeID).sorted())
    }

    @Test func `prices and volumes may be whole numbers, and a volume 0`() throws {
        let read = try trades(#"{"data":[{"p":7296,"s":"BINANCE:BTCUSDT","t":1575526691134,"v":0}],"type":"trade"}"#)
        #expect(read.trades.map { Facts($0) } == [Facts(1_575_526_691_134_000, "BINANCE:BTCUSDT", 7296, 0)])
    }

    @Test(arguments: [
        #"{"type":"ping"}"#, #"{"type":"error","msg":"Subscribing to too many symbols"}"#,
        #"{"type":"news","data":[{"category":"company","datetime":1679915473,"headline":"x","id":119467185,"related":"TSLA"}]}"#,
        #"{"type":"pr","data":[]}"#,
    ])
    func `other frames are counted and no trades`(frame: String) throws {
        let read = try trades(frame + "\n" + frame + "\n")
        #expect(read.trades.isEmpty)
        #expect(read.other == 2)
    }

    @Test func `a frame of no trades has none`() throws {
        let read = try trades(#"{"type":"trade","data":[]}"# + "\n")
        #expect(read.trades.isEmpty)
    }

    @Test func `a trade of a frame that lacks something is told by itself`() throws {
        let read = try trades(
            #"{"type":"trade","data":[{"s":"A","p":1,"t":1672348887196,"v":1},{"p":"x","s":"B","t":1672348887196,"v":1},"#
                + #"{"s":"C","t":1672348887196,"v":1},{"s":"D","p":1,"v":1,"zz":1}]}"#)
        let ts: Int64 = 1_672_348_887_196_000
        #expect(
            read.trades.map { Facts($0) } == [
                Facts(ts, "A", 1, 1), Facts(ts, "B", nil, 1, problem: "price_unreadable"), Facts(ts, "C", nil, 1),
                Facts(nil, "D", 1, 1),
            ])
    }

    @Test func `a condition may be a number, and one that is neither that nor text is left out`() throws {
        let read = try trades(
            #"{"type":"trade","data":[{"s":"A","p":1,"t":1672348887196,"v":1,"c":["x",null,24,{},true]}]}"#)
        #expect(read.trades.map(\.conditions) == [["x", "24"]])
        #expect(read.trades.map(\.problem) == [nil])
    }

    @Test func `an element of a frame that is no object is refused by itself`() throws {
        let line = #"{"type":"trade","data":[1,{"s":"A","p":1,"t":1672348887196,"v":1},"x"]}"#
        let read = try trades(line)
        #expect(read.trades.map(\.problem) == ["malformed_line", nil, "malformed_line"])
        #expect(read.trades.map(\.symbol) == [nil, "A", nil])
        #expect(read.trades.first?.original == Array(line.utf8))
    }

    @Test func `frames and objects may be mixed, and blank lines skipped`() throws {
        let read = try trades(
            """
            {"type":"ping"}

            {"type":"trade","data":[{"s":"A","p":1,"t":1672348887196,"v":1}]}
            {"ts":1,"symbol":"B","price":1,"size":2}
            """)
        #expect(read.trades.map(\.symbol) == ["A", "B"])
        #expect(read.trades.map(\.source) == ["finnhub", "file"])
        #expect(read.trades.map(\.position) == [3, 4])
        #expect(read.other == 1)
    }
}
