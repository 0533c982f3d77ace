// SPDX-License-Identifier: Apache-2.0

import HTTP
import Market
import Testing

@testable import QueryServer

/// Trades of one symbol each, in order.
func liveBatch(_ symbols: [String], price: Double = 1) -> LiveBatch {
    var batch = LiveBatch()
    batch.sources = ["test"]
    batch.conditions = [[], ["1"]]
    for (index, symbol) in symbols.enumerated() {
        let known = batch.symbols.firstIndex(of: symbol)
        if known == nil { batch.symbols.append(symbol) }
        batch.trades.append(
            .init(
                symbol: UInt32(known ?? batch.symbols.count - 1), source: 0, conditions: index == 0 ? 1 : 0,
                ts: Timestamp(microseconds: 1_700_000_000_123_456 + Int64(index)), tradeID: Int64(index) + 1,
                price: price, size: 0.5))
    }
    return batch
}

@Suite struct LiveTapeTests {
    /// Appends a transaction of so many trades.
    private func append(_ tape: LiveTape, _ symbols: [String]) {
        tape.append(LiveEntry.entries(liveBatch(symbols), after: tape.position))
    }

    @Test func `a transaction of more trades than an entry holds becomes several`() {
        for (count, entries) in [(1, 1), (1023, 1), (1024, 1), (1025, 2), (2049, 3)] {
            let made = LiveEntry.entries(liveBatch(Array(repeating: "A", count: count)), after: 7)
            #expect(made.count == entries)
            #expect(made.first?.after == 7 && made.last?.position == 7 + Int64(count))
            #expect(zip(made, made.dropFirst()).allSatisfy { $0.position == $1.after && $1.isContinuation })
            #expect(made.first?.isContinuation == false)
        }
    }

    @Test func `a place is the entry that holds what follows it, as long as that is kept`() {
        let tape = LiveTape(memoryLimit: 1 << 20)
        tape.restart("t", at: 100)
        #expect(tape.place(after: 100) == 0)
        #expect(tape.place(after: 99) == nil)
        append(tape, ["A", "B", "A"])
        append(tape, ["B"])
        for (position, number) in [(Int64(100), 0), (101, 0), (102, 0), (103, 1), (104, 2)] {
            #expect(tape.place(after: position) == number, "\(position)")
        }
        #expect(tape.place(after: 99) == nil)
    }

    @Test func `no more is kept than there is memory for, but always the newest`() {
        let one = LiveEntry.entries(liveBatch(["A"]), after: 0)[0].memory
        let tape = LiveTape(memoryLimit: 3 * one)
        tape.restart("t", at: 0)
        for _ in 0..<3 { append(tape, ["A"]) }
        #expect(tape.range == 0..<3)
        append(tape, ["A"])
        #expect(tape.range == 1..<4)
        #expect(tape.entry(0) == nil && tape.entry(1)?.after == 1)
        append(tape, Array(repeating: "A", count: 1000))
        #expect(tape.range == 4..<5)
        for _ in 0..<3000 { append(tape, ["A"]) }
        #expect(tape.range == 3002..<3005 && tape.position == 4004 && tape.place(after: 4001) == 3002)
    }

    @Test func `subscribers are counted up to the limits`() throws {
        let tape = LiveTape(memoryLimit: 1)
        var limits = LiveLimits()
        limits.subscribers = 3
        limits.subscribersPerClient = 2
        try tape.enter("a", limits)
        try tape.enter("a", limits)
        #expect(throws: QueryError.self) { try tape.enter("a", limits) }
        try tape.enter("b", limits)
        #expect { try tape.enter("c", limits) } throws: { ($0 as? QueryError)?.status == 503 }
        tape.leave("a")
        try tape.enter("c", limits)
        #expect { try tape.enter("b", limits) } throws: { ($0 as? QueryError)?.status == 503 }
        #expect(tape.subscriberCount == 3)
    }

    @Test func `the trades of symbols are found in order, behind a position`() {
        let entry = LiveEntry.entries(liveBatch(["A", "B", "A", "C", "B"]), after: 10)[0]
        #expect(entry.indices(of: nil, after: 10) == [0, 1, 2, 3, 4])
        #expect(entry.indices(of: nil, after: 13) == [3, 4])
        #expect(entry.indices(of: ["B", "A"], after: 10) == [0, 1, 2, 4])
        #expect(entry.indices(of: ["B", "X", "Y", "Z"], after: 12) == [4])
        #expect(entry.indices(of: ["X"], after: 0) == [])
        #expect(entry.indices(of: nil, after: 15) == [])
    }

    @Test func `a bar is over when a later trade has come, or would have by now`() {
        let clock = SymbolClock(latest: Timestamp(microseconds: 10_000_000), lag: 500_000)
        #expect(clock.isOver(Timestamp(microseconds: 10_000_000), now: .epoch))
        #expect(!clock.isOver(Timestamp(microseconds: 10_000_001), now: .epoch))
        #expect(!clock.isOver(Timestamp(microseconds: 12_000_000), now: Timestamp(microseconds: 13_499_999)))
        #expect(clock.isOver(Timestamp(microseconds: 12_000_000), now: Timestamp(microseconds: 13_500_000)))
    }

    @Test func `interest in bars is counted`() {
        var interest = BarInterest()
        let one = LiveFilter(symbols: ["A"], timeframes: [.minute1, .hour1])
        interest.add(one, 1)
        interest.add(one, 1)
        interest.add(LiveFilter(symbols: nil, timeframes: [.day1]), 1)
        #expect(interest.timeframes(of: "A") == [.minute1, .hour1, .day1])
        #expect(interest.timeframes(of: "B") == [.day1])
        interest.add(LiveFilter(symbols: nil, timeframes: [.day1]), -1)
        interest.add(one, -1)
        #expect(interest.timeframes(of: "A") == [.minute1, .hour1] && !interest.isNone)
        interest.add(one, -1)
        #expect(interest.isNone)
    }
}

@Suite struct LiveTextTests {
    @Test func `a trade's event has the members of REST's trades, and its place`() {
        let events = TradeEvents(liveBatch(["A\"", "B"], price: 65_091), after: 41, tapeID: "t", inMilliseconds: false)
        #expect(
            String(decoding: events.bytes[events.range(of: 0)], as: UTF8.self)
                == """
                event: trade
                id: t-42
                data: {"symbol":"A\\"","ts":"2023-11-14T22:13:20.123456Z","source":"test","trade_id":"1","price":65091,"size":0.5,"conditions":["1"]}


                """)
        #expect(
            String(decoding: events.bytes[events.range(of: 1)], as: UTF8.self).hasPrefix("event: trade\nid: t-43\n"))
        let milliseconds = TradeEvents(liveBatch(["A"]), after: 0, tapeID: "t", inMilliseconds: true)
        #expect(String(decoding: milliseconds.bytes, as: UTF8.self).contains(#""ts":1700000000123,"#))
    }

    @Test func `Finnhub's frame has its members, and null for no conditions`() {
        let batch = liveBatch(["A", "B"])
        var bytes: [UInt8] = []
        bytes.appendFinnhubFrame(batch, [0, 1], BatchNames(batch))
        #expect(
            String(decoding: bytes, as: UTF8.self)
                == #"{"data":[{"c":["1"],"p":1,"s":"A","t":1700000000123,"v":0.5},{"c":null,"p":1,"s":"B","t":1700000000123,"v":0.5}],"type":"trade"}"#
        )
    }

    @Test func `numbers are as PostgreSQL writes them, of the sizes that prices have`() {
        for (value, text) in [
            (0.0, "0"), (100, "100"), (0.1, "0.1"), (1e-7, "1e-07"), (1e21, "1e+21"), (-2.5, "-2.5"),
        ] {
            var bytes: [UInt8] = []
            bytes.appendNumber(value)
            #expect(String(decoding: bytes, as: UTF8.self) == text)
        }
    }

    @Test func `a place is read as it was written, and nothing else is`() {
        #expect(LivePlace("ab12-7") == LivePlace(tapeID: "ab12", position: 7))
        #expect(LivePlace("ab12-7")?.text == "ab12-7")
        for text in ["", "-", "ab12", "ab12-", "-7", "ab12--7", "AB-1", "a-1-2", "a-99999999999999999999", "a-x"] {
            #expect(LivePlace(text) == nil, "\(text)")
        }
    }
}

@Suite struct LiveRequestTests {
    private func request(_ query: String, lastEventID: String? = nil) throws -> LiveRequest {
        try LiveRequest(try QueryParameters(Array(query.utf8)[...]), lastEventID: lastEventID, testConfiguration)
    }

    @Test func `everything has a default`() throws {
        let plain = try request("")
        #expect(plain.filter == LiveFilter(symbols: nil, wantsTrades: true, timeframes: [.minute1]))
        #expect(plain.place == nil && !plain.timeInMilliseconds)
    }

    @Test func `what is asked for is what is meant`() throws {
        let asked = try request(
            "symbols=A,B&symbol=C&channels=bars&timeframe=1s,1h&bars=closed&time=ms&last_event_id=t-5")
        #expect(asked.filter.symbols == ["A", "B", "C"] && !asked.filter.wantsTrades)
        #expect(asked.filter.timeframes == [.second1, .hour1] && asked.filter.wantsClosedOnly)
        #expect(asked.timeInMilliseconds && asked.place?.position == 5)
        #expect(try request("channel=trades").filter.timeframes == [])
        #expect(try request("last_event_id=t-5", lastEventID: "t-9").place?.position == 9)
    }

    @Test func `what is not understood is refused`() {
        for query in [
            "symbol=a%09b", "symbols=", "channels=quotes", "timeframe=2m", "bars=some", "last_event_id=1",
            "chanels=bars",
        ] {
            #expect(throws: QueryError.self, "\(query)") { try request(query) }
        }
    }
}
