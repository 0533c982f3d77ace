// SPDX-License-Identifier: Apache-2.0

import Market
import TestSupport
import Testing

@Suite struct LiveBatchTests {
    private func batch() -> LiveBatch {
        var batch = LiveBatch()
        batch.symbols = ["BINANCE:BTCUSDT", "A", "finnhub"]
        batch.sources = ["finnhub", "file"]
        batch.conditions = [[], ["1", "a \"b\""]]
        batch.trades = [
            .init(
                symbol: 0, source: 1, conditions: 1, ts: Timestamp(microseconds: -1), tradeID: .max, price: 0.1,
                size: 1e-300),
            .init(
                symbol: 1, source: 0, conditions: 0, ts: Timestamp(microseconds: .max), tradeID: .min, price: 65_091,
                size: 0),
        ]
        batch.totals = [
            .init(symbol: 2, count: 1 << 40, first: .epoch, last: Timestamp(microseconds: 1))
        ]
        return batch
    }

    private func decode(_ bytes: [UInt8]) -> LiveBatch? { bytes.withUnsafeBytes { LiveBatch(decoding: $0) } }

    @Test func `what was encoded is decoded again`() {
        #expect(decode(batch().encoded()) == batch())
        #expect(decode(LiveBatch().encoded()) == LiveBatch())
    }

    @Test func `bytes that end too early, or too late, are no batch`() {
        let bytes = batch().encoded()
        for count in 0..<bytes.count { #expect(decode(Array(bytes[..<count])) == nil) }
        #expect(decode(bytes + [0]) == nil)
    }

    @Test func `a later version is not read`() {
        var bytes = batch().encoded()
        bytes[0] = 2
        #expect(decode(bytes) == nil)
    }

    @Test func `no bytes make it crash, or take more memory than they are`() {
        var random = SeededRandom()
        let bytes = batch().encoded()
        for _ in 0..<20_000 {
            var mutated = bytes
            for _ in 0..<Int.random(in: 1...4, using: &random) {
                mutated[Int.random(in: 0..<mutated.count, using: &random)] = .random(in: 0...255, using: &random)
            }
            guard let decoded = decode(mutated) else { continue }
            #expect(decoded.trades.allSatisfy { $0.symbol < decoded.symbols.count })
        }
    }
}
