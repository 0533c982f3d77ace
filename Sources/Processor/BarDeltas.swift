// SPDX-License-Identifier: Apache-2.0

import Market

/// Which bar.
struct BarKey: Hashable {
    var symbol: Interner.ID
    var timeframe: Timeframe
    var start: Timestamp
}

/// What a batch of trades adds to one bar.
struct BarDelta {
    var symbol: Interner.ID
    var start: Timestamp
    var aggregate: BarAggregate
}

/// What a batch of trades adds to every bar it touches: one delta for each bar, whatever the order of the trades.
struct BarDeltas {
    /// The deltas of each timeframe, in the order of `Timeframe.allCases`, each list sorted by symbol and start.
    private(set) var byTimeframe: [[BarDelta]] = []

    /// The number of bars touched.
    var count: Int { byTimeframe.reduce(0) { $0 + $1.count } }

    init(_ trades: [TradeBatch.Trade], sourceKeys: [SourceKey], symbolCount: Int) {
        var finest = Self.finest(trades, sourceKeys, symbolCount)
        Self.sortAndMerge(&finest)
        byTimeframe = [finest]
        // Each width divides the next, so a coarser bar is the merge of the finer ones inside it.
        for timeframe in Timeframe.allCases.dropFirst() {
            byTimeframe.append(Self.fold(byTimeframe[byTimeframe.count - 1], to: timeframe))
        }
    }

    /// Deltas of the finest timeframe. Trades mostly come in order, so the bar of a symbol's last trade is looked at
    /// first; a bar that is met again later gets a second delta, merged afterwards.
    private static func finest(
        _ trades: [TradeBatch.Trade], _ sourceKeys: [SourceKey], _ symbolCount: Int
    ) -> [BarDelta] {
        var deltas: [BarDelta] = []
        var current = [Int32](repeating: -1, count: symbolCount)
        for trade in trades {
            let start = Timeframe.second1.start(of: trade.ts)
            let order = TradeOrder(ts: trade.ts, tradeID: trade.tradeID, source: sourceKeys[Int(trade.source)])
            let index = Int(current[Int(trade.symbol)])
            if index >= 0 && deltas[index].start == start {
                deltas[index].aggregate.add(price: trade.price, size: trade.size, order: order)
            } else {
                current[Int(trade.symbol)] = Int32(deltas.count)
                deltas.append(
                    BarDelta(
                        symbol: trade.symbol, start: start,
                        aggregate: BarAggregate(price: trade.price, size: trade.size, order: order)))
            }
        }
        return deltas
    }

    private static func sortAndMerge(_ deltas: inout [BarDelta]) {
        func precedes(_ a: BarDelta, _ b: BarDelta) -> Bool {
            a.symbol != b.symbol ? a.symbol < b.symbol : a.start < b.start
        }
        let isSorted = zip(deltas, deltas.dropFirst()).allSatisfy { precedes($0, $1) }
        if isSorted { return }
        deltas.sort(by: precedes)
        deltas = fold(deltas, to: .second1)
    }

    /// Merges neighbours that fall into the same bar of `timeframe`.
    private static func fold(_ finer: [BarDelta], to timeframe: Timeframe) -> [BarDelta] {
        var coarser: [BarDelta] = []
        coarser.reserveCapacity(finer.count / 2)
        for delta in finer {
            let start = timeframe.start(of: delta.start)
            if let last = coarser.last, last.symbol == delta.symbol, last.start == start {
                coarser[coarser.count - 1].aggregate.merge(delta.aggregate)
            } else {
                coarser.append(BarDelta(symbol: delta.symbol, start: start, aggregate: delta.aggregate))
            }
        }
        return coarser
    }
}
