// SPDX-License-Identifier: Apache-2.0

import Market
@testable import Processor
import Testing

struct TradeBatchTests {
    private func trade(day: Int64, symbol: Interner.ID, id: Int64) -> TradeBatch.Trade {
        TradeBatch.Trade(
            ts: Timestamp(microseconds: day * Timestamp.microsecondsPerDay + id), tradeID: id, price: 1, size: 1,
            ingestedAt: .epoch, run: 1, symbol: symbol, source: 0, conditions: 0)
    }

    @Test func `trades are written by day and symbol, and within as they came`() {
        let trades = [
            trade(day: 2, symbol: 0, id: 1), trade(day: 1, symbol: 5, id: 2), trade(day: 1, symbol: 3, id: 9),
            trade(day: 1, symbol: 5, id: 1), trade(day: -3, symbol: 7, id: 4), trade(day: 1, symbol: 3, id: 8),
        ]
        #expect(TradeBatch.writingOrder(trades) == [4, 2, 5, 1, 3, 0])
        #expect(TradeBatch.writingOrder([]) == [])
    }

    @Test func `what does not fit into the sorting key is written as it came`() {
        let symbols = [trade(day: 1, symbol: 1 << 22, id: 1), trade(day: 1, symbol: 0, id: 2)]
        #expect(TradeBatch.writingOrder(symbols) == [0, 1])
        let days = [trade(day: 1 << 20, symbol: 1, id: 1), trade(day: 0, symbol: 0, id: 2)]
        #expect(TradeBatch.writingOrder(days) == [0, 1])
    }
}
