// SPDX-License-Identifier: Apache-2.0

import EventLog
import Market
import Records
import TestSupport
import Testing

@testable import Processor

private let validator = RecordValidator(TradeKind(rules: TradeRules()), validPartitions: 4, rejectedPartitions: 3)

private func partition(_ key: String, _ count: Int) -> Int32 {
    var key = key
    return key.withUTF8 { partitionNumber(of: UnsafeRawBufferPointer($0), count: count) }
}

/// One record of an append: where it goes, its key and its value.
private struct Sorted {
    var partition: TopicPartition
    var key: [UInt8]
    var value: [UInt8]
}

private func sort(
    _ values: [(key: String, value: [UInt8])], baseOffset: Int64 = 100
) -> (records: [Sorted], valid: Int, rejected: Int) {
    var batch = RecordBatch()
    for (key, value) in values { batch.append(key: key) { $0 += value } }
    let fetched = FetchedBatch(partition: TopicPartition("trades.staging", 2), baseOffset: baseOffset, records: batch)
    var append = Append()
    let counts = validator.sort(fetched, into: &append, now: noon)
    var records: [Sorted] = []
    for (partition, batch) in append.batches.sorted(by: { "\($0.key)" < "\($1.key)" }) {
        batch.forEach { _, key, value in
            records.append(Sorted(partition: partition, key: Array(key), value: Array(value)))
        }
    }
    return (records, counts.valid, counts.rejected)
}

struct RecordValidatorTests {
    @Test func `a valid record becomes a trade with every fact of it`() throws {
        let result = sort([("BINANCE:BTCUSDT", StagedTrade.good.encoded)])
        #expect(result.valid == 1 && result.rejected == 0)
        let record = try #require(result.records.first)
        #expect(record.partition == TopicPartition("trades", partition("BINANCE:BTCUSDT", 4)))
        #expect(record.key == Array("BINANCE:BTCUSDT".utf8))
        try record.value.withUnsafeBytes {
            let trade = try #require(TradeView(decoding: $0))
            #expect(trade.run == 5 && trade.tradeID == 9 && trade.price == 100.5 && trade.size == 2)
            #expect(trade.ts == noon && trade.ingestedAt.microseconds == 77)
            #expect(String(decoding: trade.source, as: UTF8.self) == "file")
            #expect(String(decoding: trade.symbol, as: UTF8.self) == "BINANCE:BTCUSDT")
            #expect(decodeStrings(trade.conditions) == ["1", "24"])
        }
    }

    @Test func `a refused record keeps what the source sent, the reason and its place in the log`() throws {
        let bad = StagedTrade.good.with {
            $0.problem = "price_unreadable"
            $0.price = nil
            $0.original = Array("1,A,much,2".utf8)
        }
        let result = sort([("k", StagedTrade.good.encoded), ("BINANCE:BTCUSDT", bad.encoded)])
        #expect(result.valid == 1 && result.rejected == 1)
        let record = try #require(result.records.first { $0.partition.topic == "trades.rejected" })
        #expect(record.partition == TopicPartition("trades.rejected", partition("BINANCE:BTCUSDT", 3)))
        let rejected = try #require(record.value.withUnsafeBytes { RejectedRecord(decoding: $0) })
        #expect(
            rejected
                == RejectedRecord(
                    run: 5, source: "file", symbol: "BINANCE:BTCUSDT", reason: "price_unreadable",
                    message: RejectionReason.priceUnreadable.sentence, original: Array("1,A,much,2".utf8),
                    topic: "trades.staging", partition: 2, offset: 101, rejectedAt: noon))
    }

    @Test func `a refused record that kept no original keeps its staged bytes`() throws {
        let bad = StagedTrade.good.with { $0.price = -1 }
        let record = try #require(sort([("k", bad.encoded)]).records.first)
        let rejected = try #require(record.value.withUnsafeBytes { RejectedRecord(decoding: $0) })
        #expect(rejected.original == bad.encoded && rejected.reason == "price_not_positive" && rejected.offset == 100)
    }

    @Test(
        arguments: [
            [], [1, 2, 3], Array(StagedTrade.good.encoded.dropLast()), [0xC3, 1] + Array(repeating: 0, count: 40),
        ] as [[UInt8]])
    func `bytes that are no staged trade are kept whole`(bytes: [UInt8]) throws {
        let result = sort([("key", bytes)], baseOffset: 7)
        #expect(result.valid == 0 && result.rejected == 1)
        let record = try #require(result.records.first)
        #expect(
            record.partition == TopicPartition("trades.rejected", partition("key", 3))
                && record.key == Array("key".utf8))
        let rejected = try #require(record.value.withUnsafeBytes { RejectedRecord(decoding: $0) })
        let reason = bytes.withUnsafeBytes { StagedTrade.schema.isOfAnother($0) } ? "unknown_schema" : "undecodable"
        #expect(rejected.reason == reason && rejected.original == bytes && rejected.offset == 7)
        #expect(rejected.run == 0 && rejected.source == nil && rejected.symbol == nil)
    }

    @Test func `every record becomes exactly one, in the order of its key`() throws {
        var random = SeededRandom()
        var values: [(key: String, value: [UInt8])] = []
        var expected: [String: [Int64]] = [:]
        var refused = 0
        for number in 0..<2000 {
            let symbol = "S\(Int.random(in: 0..<20, using: &random))"
            var trade = StagedTrade.good.with {
                $0.symbol = symbol
                $0.tradeID = Int64(number)
            }
            let isGood = Int.random(in: 0..<4, using: &random) > 0
            if isGood {
                expected[symbol, default: []].append(Int64(number))
            } else {
                refused += 1
                trade.price = 0
            }
            values.append((symbol, trade.encoded))
        }
        let result = sort(values)
        #expect(result.valid == 2000 - refused && result.rejected == refused, "seed \(random.seed)")
        #expect(result.records.count == 2000)
        var seen: [String: [Int64]] = [:]
        var offsets: [Int64] = []
        for record in result.records {
            record.value.withUnsafeBytes { value in
                if let trade = TradeView(decoding: value) {
                    let symbol = String(decoding: trade.symbol, as: UTF8.self)
                    seen[symbol, default: []].append(trade.tradeID)
                    if record.partition != TopicPartition("trades", partition(symbol, 4)) {
                        Issue.record("\(symbol) is in \(record.partition)")
                    }
                } else if let rejected = RejectedRecord(decoding: value) {
                    offsets.append(rejected.offset)
                } else {
                    Issue.record("a record that is neither")
                }
            }
        }
        #expect(seen == expected, "seed \(random.seed)")
        // Each refusal points at its own record.
        #expect(Set(offsets).count == refused)
        for offset in offsets {
            let staged = values[Int(offset) - 100].value
            let price = staged.withUnsafeBytes { StagedTradeView(decoding: $0)?.price }
            #expect(price == 0, "offset \(offset), seed \(random.seed)")
        }
    }
}
