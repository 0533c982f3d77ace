// SPDX-License-Identifier: Apache-2.0

import Market
import Records
import Testing

@testable import Ingest

struct CSVTapeTests {
    private func facts(_ text: String, symbol: String? = nil) throws -> [Facts] {
        let file = try TapeFile(text)
        let result = read(file.path, symbol: symbol)
        #expect(result.error == nil)
        return result.trades.map { Facts($0) }
    }

    static let headers = [
        "ts,symbol,price,size", "TS,Symbol,PRICE,Size", "time,symbol,price,volume", "timestamp,symbol,price,qty",
        "ts_us,symbol,price,quantity", "ts_ms,symbol,price,size", "ts_ns,symbol,price,size",
        "datetime,symbol,price,size",
        "date_time,symbol,price,size", "\"ts\",\"symbol\",\"price\",\"size\"", " ts , symbol ,\tprice,size\t",
    ]

    @Test(arguments: headers)
    func `a header may use any of the accepted names`(header: String) throws {
        #expect(try facts("\(header)\n1700000000,A,1.5,2\n") == [Facts(1_700_000_000_000_000, "A", 1.5, 2)])
    }

    @Test func `columns stand in any order, and others are ignored`() throws {
        let text = """
            note,size,id,price,side,symbol,ts
            x,2,77,1.5,buy,A,1700000000
            "a,b",3,78,1.6,sell,B,1700000001
            """
        #expect(
            try facts(text) == [Facts(1_700_000_000_000_000, "A", 1.5, 2), Facts(1_700_000_001_000_000, "B", 1.6, 3)])
        let file = try TapeFile(text)
        #expect(read(file.path).trades.map(\.tradeID) == [77, 78])
    }

    @Test func `of two columns with one meaning the first counts`() throws {
        #expect(try facts("ts,symbol,price,size,volume,price\n1,A,2,3,4,5\n") == [Facts(1_000_000, "A", 2, 3)])
    }

    static let wrongHeaders: [(String, Bool, String)] = [
        (
            "ts,price,size", false,
            "the header lacks symbol; it has ts, price, size (give the symbol of all its trades with --symbol)"
        ),
        (
            "a,b", false,
            """
            the header lacks ts|time|timestamp|ts_us, symbol, price, size|volume|qty|quantity; it has a, b \
            (a CSV tape begins with a header line such as ts,symbol,price,size,trade_id)
            """
        ),
        (
            "ts,symbol,size", false,
            "the header lacks price; it has ts, symbol, size (a CSV tape begins with a header line such as ts,symbol,price,size,trade_id)"
        ),
        (
            "1700000000,A,1.5,2", false,
            """
            the header lacks ts|time|timestamp|ts_us, symbol, price, size|volume|qty|quantity; it has 1700000000, A, 1.5, 2 \
            (a CSV tape begins with a header line such as ts,symbol,price,size,trade_id)
            """
        ),
        (
            "ts,symbol,price,\"size", false,
            "the header has an open quote (a CSV tape begins with a header line such as ts,symbol,price,size,trade_id)"
        ),
        (
            "price,size", true,
            """
            the header lacks ts|time|timestamp|ts_us; it has price, size \
            (a CSV tape begins with a header line such as ts,symbol,price,size,trade_id)
            """
        ),
    ]

    @Test(arguments: wrongHeaders)
    func `a wrong header says what is missing, what was found and what to do`(
        header: String, symbolGiven: Bool, message: String
    ) throws {
        let file = try TapeFile("\n\(header)\n1,A,2,3\n")
        let result = read(file.path, symbol: symbolGiven ? "A" : nil)
        #expect(result.trades.isEmpty)
        #expect(result.error?.description == "\(file.path):2: \(message)")
    }

    static let lines: [(String, Facts)] = [
        ("1700000000,A,1.5,2", Facts(1_700_000_000_000_000, "A", 1.5, 2)),
        ("2024-01-01T00:00:00.5Z,A,1,0", Facts(1_704_067_200_500_000, "A", 1, 0)),
        ("\"2024-01-01 00:00:00\",\"A\",\"1\",\"2\"", Facts(1_704_067_200_000_000, "A", 1, 2)),
        ("1 , A ,\t1.5, 2 ", Facts(1_000_000, "A", 1.5, 2)),
        ("1,\"A \"\"x\"\", B\",1,2", Facts(1_000_000, "A \"x\", B", 1, 2)),
        ("1,\"\"\"\",1,2", Facts(1_000_000, "\"", 1, 2)),
        (",,,", Facts(nil, nil, nil, nil)),
        ("\"\",\"\",\"\",\"\"", Facts(nil, nil, nil, nil)),
        ("1,A,nan,inf", Facts(1_000_000, "A", .nan, .infinity)),
        ("1,A,-5,-1", Facts(1_000_000, "A", -5, -1)),
        ("noon,A,1,2", Facts(nil, "A", 1, 2, problem: "ts_unreadable")),
        ("1,A,1_000,2", Facts(1_000_000, "A", nil, 2, problem: "price_unreadable")),
        ("1,A,$1,2", Facts(1_000_000, "A", nil, 2, problem: "price_unreadable")),
        ("1,A,1,many", Facts(1_000_000, "A", 1, nil, problem: "size_unreadable")),
        // The first problem is the one that is told.
        ("noon,A,much,many", Facts(nil, "A", nil, nil, problem: "ts_unreadable")),
    ]

    @Test(arguments: lines)
    func `a line is read field by field`(line: String, expected: Facts) throws {
        let read = try facts("ts,symbol,price,size\n\(line)\n")
        // Compared as text, in which NaN equals itself.
        #expect(read.map(\.description) == [expected.description])
    }

    @Test(arguments: [
        "1,A,1", "1,A,1,2,3", "1", "1,A,1,2,", "1,\"A,1,2", "1,\"A\"x,1,2", "\"1,A,1,2", "1,A,1,\"", "1,A,\"1\"\"",
    ])
    func `a line whose columns do not match the header is kept and refused as a whole`(line: String) throws {
        let file = try TapeFile("ts,symbol,price,size\n\(line)\n2,B,1,2\n")
        let result = read(file.path)
        #expect(result.error == nil)
        try #require(result.trades.count == 2)
        #expect(result.trades[0].problem == "malformed_line")
        #expect(result.trades[0].original == Array(line.utf8))
        #expect(Facts(result.trades[1]) == Facts(2_000_000, "B", 1, 2))
    }

    @Test func `a malformed line says so even when a field of it could not be read either`() throws {
        let file = try TapeFile("ts,symbol,price,size\nnoon,A,1\n")
        #expect(read(file.path).trades.map(\.problem) == ["malformed_line"])
    }

    @Test func `what is kept of a line is bounded`() throws {
        let file = try TapeFile("ts,symbol,price,size\n1,A,\(String(repeating: "x", count: 10_000)),2\n")
        let trade = try #require(read(file.path).trades.first)
        #expect(trade.problem == "price_unreadable" && trade.original?.count == 4096)
    }

    @Test func `a line that could be read keeps no copy of itself`() throws {
        let file = try TapeFile("ts,symbol,price,size\n1,A,1,2\n")
        let trade = try #require(read(file.path).trades.first)
        #expect(trade.original == nil && trade.problem == nil)
        #expect(trade.source == "file" && trade.run == 7 && trade.position == 2)
    }

    @Test(arguments: ["\n", "\r\n"])
    func `line ends may be of either kind, and the last may be missing`(end: String) throws {
        let lines = ["ts,symbol,price,size", "1,A,1,2", "", " \t", "2,B,3,4"]
        for tail in [end, ""] {
            let text = lines.joined(separator: end) + tail
            #expect(try facts(text) == [Facts(1_000_000, "A", 1, 2), Facts(2_000_000, "B", 3, 4)])
        }
    }

    @Test func `positions are line numbers, blank lines counted`() throws {
        let file = try TapeFile("\n\nts,symbol,price,size\n1,A,1,2\n\n2,B,3,4")
        #expect(read(file.path).trades.map(\.position) == [4, 6])
    }

    @Test func `a byte order mark is no part of the header`() throws {
        #expect(try facts("\u{FEFF}ts,symbol,price,size\n1,A,1,2\n") == [Facts(1_000_000, "A", 1, 2)])
        let file = try TapeFile(try gzip("\u{FEFF}ts,symbol,price,size\n1,A,1,2\n"))
        let result = read(file.path)
        #expect(result.error == nil, "compressed")
        #expect(result.trades.map { Facts($0) } == [Facts(1_000_000, "A", 1, 2)], "compressed")
    }

    @Test(arguments: ["", "\n\n", "\u{FEFF}", "ts,symbol,price,size", "ts,symbol,price,size\n"])
    func `a tape without trades has none`(text: String) throws {
        #expect(try facts(text) == [])
    }

    @Test func `a symbol is given to a tape that has no such column`() throws {
        #expect(
            try facts("ts,price,size\n1,2,3\n2,3,4\n", symbol: "XYZ")
                == [Facts(1_000_000, "XYZ", 2, 3), Facts(2_000_000, "XYZ", 3, 4)])
    }

    @Test func `a symbol that is given does not stand in for one that a line leaves out`() throws {
        #expect(
            try facts("ts,symbol,price,size\n1,A,2,3\n2,,3,4\n", symbol: "A")
                == [Facts(1_000_000, "A", 2, 3), Facts(2_000_000, nil, 3, 4)])
    }

    @Test func `ids are the venue's where it gave them, and assigned where not`() throws {
        let file = try TapeFile(
            """
            ts,symbol,price,size,trade_id
            1,A,2,3,5
            1,A,2,3,5
            1,A,2,3,
            1,A,2,3,
            1,A,2,3,9f0c-uuid
            ,A,2,3,6
            1,,2,3,6
            bad,A,2,3,6
            """)
        let ids = read(file.path).trades.map(\.tradeID)
        try #require(ids.count == 8)
        #expect(ids[0] == 5 && ids[1] == 5 | 1 << 52)
        #expect(ids[3].map { $0 >> 32 } == 1 && ids[2].map { $0 >> 32 } == 0)
        #expect(ids[4] == Int64(TradeIdentity.hash("9f0c-uuid".utf8) & ((1 << 52) - 1)))
        // What cannot be placed is refused anyway, and has none.
        #expect(ids[5...] == [nil, nil, nil])
        #expect(Set(ids.prefix(5)).count == 5)
    }

    @Test func `the sample tape is read whole, each trade with an id of its own, twice the same`() throws {
        let path = String(#filePath.dropLast("Tests/IngestTests/CSVTapeTests.swift".count)) + "samples/trades.csv.gz"
        let first = read(path)
        #expect(first.error == nil)
        #expect(first.trades.count == 15_948)
        #expect(first.trades.allSatisfy { $0.problem == nil && $0.tradeID != nil })
        struct Identity: Hashable {
            var symbol: String?
            var ts: Timestamp?
            var id: Int64?
        }
        let identities = first.trades.map { Identity(symbol: $0.symbol, ts: $0.ts, id: $0.tradeID) }
        #expect(Set(identities).count == identities.count)
        #expect(read(path).trades == first.trades)
    }
}
