// SPDX-License-Identifier: Apache-2.0

import Market
import TestSupport
import Testing

@testable import Records

private func encoded(_ trade: StagedTrade) -> [UInt8] {
    var bytes: [UInt8] = []
    trade.encode(into: &bytes)
    return bytes
}

private func encoded(_ record: RejectedRecord) -> [UInt8] {
    var bytes: [UInt8] = []
    record.encode(into: &bytes, schema: RejectedRecord.tradeSchema)
    return bytes
}

/// The staged trade as values, or nil.
private func decodedStaged(_ bytes: [UInt8]) -> StagedTrade? {
    bytes.withUnsafeBytes { buffer in
        guard let view = StagedTradeView(decoding: buffer) else { return nil }
        var trade = StagedTrade(
            run: view.run, source: String(decoding: view.source, as: UTF8.self), position: view.position,
            ingestedAt: view.ingestedAt)
        trade.symbol = view.symbol.map { String(decoding: $0, as: UTF8.self) }
        trade.ts = view.ts
        trade.price = view.price
        trade.size = view.size
        trade.tradeID = view.tradeID
        trade.conditions = decodeStrings(view.conditions)
        trade.problem = view.problem.map { String(decoding: $0, as: UTF8.self) }
        trade.original = view.original.map { Array($0) }
        return trade
    }
}

/// A valid trade as values, to compare.
private struct Trade: Equatable {
    var run: Int64
    var source: String
    var symbol: String
    var ts: Timestamp
    var tradeID: Int64
    var price: UInt64
    var size: UInt64
    var conditions: [String]
    var ingestedAt: Timestamp

    init(_ view: TradeView) {
        run = view.run
        source = String(decoding: view.source, as: UTF8.self)
        symbol = String(decoding: view.symbol, as: UTF8.self)
        ts = view.ts
        tradeID = view.tradeID
        price = view.price.bitPattern
        size = view.size.bitPattern
        conditions = decodeStrings(view.conditions)
        ingestedAt = view.ingestedAt
    }
}

private func encodedTrade(
    run: Int64 = 7, source: String = "file", symbol: String = "AAPL", ts: Int64 = 1, tradeID: Int64 = 2,
    price: Double = 3, size: Double = 4, conditions: [String] = ["1", "24"], ingestedAt: Int64 = 5
) -> (bytes: [UInt8], trade: Trade) {
    var writer = AvroWriter()
    writer.strings(conditions)
    let source = Array(source.utf8)
    let symbol = Array(symbol.utf8)
    return source.withUnsafeBytes { source in
        symbol.withUnsafeBytes { symbol in
            writer.bytes.withUnsafeBytes { conditions in
                let view = TradeView(
                    run: run, source: source, symbol: symbol, ts: Timestamp(microseconds: ts), tradeID: tradeID,
                    price: price, size: size, conditions: conditions, ingestedAt: Timestamp(microseconds: ingestedAt))
                var bytes: [UInt8] = []
                view.encode(into: &bytes)
                return (bytes, Trade(view))
            }
        }
    }
}

private func decodedTrade(_ bytes: [UInt8]) -> Trade? {
    bytes.withUnsafeBytes { TradeView(decoding: $0).map { Trade($0) } }
}

private func decodedRejected(_ bytes: [UInt8]) -> RejectedRecord? {
    bytes.withUnsafeBytes { RejectedRecord(decoding: $0) }
}

private let extremes: [Int64] = [.min, -1, 0, 1, .max]

struct RecordTests {
    static let full: StagedTrade = {
        var trade = StagedTrade(run: 42, source: "finnhub", position: 17, ingestedAt: Timestamp(microseconds: 99))
        trade.symbol = "BINANCE:BTCUSDT"
        trade.ts = Timestamp(microseconds: 1_672_348_887_196_000)
        trade.price = 122.1
        trade.size = 0
        trade.tradeID = -5
        trade.conditions = ["1", "", "é"]
        trade.problem = "price_unreadable"
        trade.original = Array("{\"p\":\"x\"}".utf8)
        return trade
    }()

    static let staged: [StagedTrade] = {
        var trades = [full, StagedTrade(run: 0, source: "", position: 0, ingestedAt: .epoch)]
        for extreme in extremes {
            var trade = StagedTrade(
                run: extreme, source: "s", position: extreme, ingestedAt: Timestamp(microseconds: extreme))
            trade.ts = Timestamp(microseconds: extreme)
            trade.tradeID = extreme
            trade.price = Double(extreme)
            trade.size = extreme == 0 ? .infinity : .leastNonzeroMagnitude
            trade.symbol = ""
            trade.original = []
            trades.append(trade)
        }
        return trades
    }()

    static let rejected: [RejectedRecord] = [
        RejectedRecord(
            run: 3, source: "file", symbol: "A", reason: "ts_missing", message: "The trade has no time.",
            original: [0, 255, 10], topic: "trades.staging", partition: 3, offset: 12, rejectedAt: .epoch),
        RejectedRecord(
            run: .min, source: nil, symbol: nil, reason: "", message: "", original: [], topic: "",
            partition: .max, offset: .max, rejectedAt: Timestamp(microseconds: .min)),
        RejectedRecord(
            run: .max, source: "", symbol: "", reason: "é", message: "\0", original: Array(repeating: 7, count: 5000),
            topic: "t", partition: .min, offset: .min, rejectedAt: Timestamp(microseconds: .max)),
    ]

    @Test(arguments: staged.indices)
    func `a staged trade is read back as it was written`(index: Int) {
        let isSame = decodedStaged(encoded(Self.staged[index])) == Self.staged[index]
        #expect(isSame)
    }

    @Test func `a price that is not a number is kept as it is`() {
        var trade = Self.full
        trade.price = .nan
        #expect(decodedStaged(encoded(trade))?.price?.isNaN == true)
    }

    @Test(arguments: rejected.indices)
    func `a rejected trade is read back as it was written`(index: Int) {
        let isSame = decodedRejected(encoded(Self.rejected[index])) == Self.rejected[index]
        #expect(isSame)
    }

    @Test func `a trade is read back as it was written`() {
        for extreme in extremes {
            for number in [0.0, -0.0, .pi, .greatestFiniteMagnitude, .leastNonzeroMagnitude] {
                let (bytes, trade) = encodedTrade(
                    run: extreme, ts: extreme, tradeID: extreme, price: number, size: number, ingestedAt: extreme)
                let isSame = decodedTrade(bytes) == trade
                #expect(isSame, "\(extreme) \(number)")
            }
        }
        for conditions in [[], ["x"], Array(repeating: "12", count: 70)] {
            let (bytes, trade) = encodedTrade(conditions: conditions)
            #expect(decodedTrade(bytes) == trade && trade.conditions == conditions)
        }
    }

    @Test func `encoding appends and leaves what is there`() {
        var bytes: [UInt8] = [1, 2, 3]
        Self.full.encode(into: &bytes)
        #expect(bytes.prefix(3) == [1, 2, 3])
        #expect(Array(bytes.dropFirst(3)) == encoded(Self.full))
        var twice = encoded(Self.rejected[0])
        Self.rejected[0].encode(into: &twice, schema: RejectedRecord.tradeSchema)
        #expect(twice == encoded(Self.rejected[0]) + encoded(Self.rejected[0]))
    }

    // MARK: Damage

    static let values: [[UInt8]] = staged.map { encoded($0) } + rejected.map { encoded($0) } + [encodedTrade().bytes]

    @Test func `a value that is cut off anywhere is refused`() {
        for value in Self.values {
            for length in 0..<value.count {
                let cut = Array(value[..<length])
                let read =
                    decodedStaged(cut) != nil || decodedRejected(cut) != nil || decodedTrade(cut) != nil
                if read { Issue.record("\(value.count) bytes cut to \(length) were read") }
            }
        }
    }

    @Test func `a value with bytes after it is refused`() {
        for value in Self.values {
            let longer = value + [0]
            #expect(decodedStaged(longer) == nil && decodedRejected(longer) == nil && decodedTrade(longer) == nil)
        }
    }

    @Test func `a value of another schema is refused`() {
        for value in Self.values {
            let readers = [decodedStaged(value) != nil, decodedRejected(value) != nil, decodedTrade(value) != nil]
            #expect(readers.count { $0 } == 1)
            for index in 0..<10 {
                var other = value
                other[index] ^= 1
                #expect(decodedStaged(other) == nil && decodedRejected(other) == nil && decodedTrade(other) == nil)
            }
        }
    }

    @Test func `a damaged value is refused or read, and never crashes`() {
        var random = SeededRandom()
        var survivors = 0
        for _ in 0..<60_000 {
            var value = Self.values.randomElement(using: &random)!
            for _ in 0..<Int.random(in: 1...4, using: &random) {
                let at = Int.random(in: 10..<value.count, using: &random)
                switch Int.random(in: 0..<4, using: &random) {
                case 0: value[at] = UInt8.random(in: 0...255, using: &random)
                case 1: value[at] = [0, 1, 2, 0x7F, 0x80, 0xFF].randomElement(using: &random)!
                case 2: value.insert(UInt8.random(in: 0...255, using: &random), at: at)
                default: if value.count > 11 { value.remove(at: at) }
                }
            }
            // What is read of it is used in full, so that a pointer outside the bytes would show.
            if let staged = decodedStaged(value) {
                survivors += 1
                if encoded(staged).count > 20 * value.count + 100 {
                    Issue.record("\(value.count) bytes became \(encoded(staged).count), seed \(random.seed)")
                }
            }
            if decodedRejected(value) != nil || decodedTrade(value) != nil { survivors += 1 }
        }
        #expect(survivors > 0, "the mutations are too strong to test anything, seed \(random.seed)")
    }

    @Test func `a partition beyond 32 bits is refused`() {
        var bytes = RejectedRecord.tradeSchema.header
        var writer = AvroWriter()
        writer.long(0)
        writer.bytes += [0, 0]
        for text in ["r", "m", "o", "t"] { writer.string(text) }
        writer.long(Int64(Int32.max) + 1)
        writer.long(0)
        writer.long(0)
        bytes += writer.bytes
        #expect(decodedRejected(bytes) == nil)
    }
}
