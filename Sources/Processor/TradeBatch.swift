// SPDX-License-Identifier: Apache-2.0

import Market
import Records

/// Trades of one transaction as plain numbers: names are interned (``Names``).
struct TradeBatch {
    struct Trade {
        var ts: Timestamp
        var tradeID: Int64
        var price: Double
        var size: Double
        var ingestedAt: Timestamp
        var run: Int64
        var symbol: Interner.ID
        var source: Interner.ID
        var conditions: Interner.ID

        /// What makes it the trade it is.
        var identity: Identity { Identity(symbol: symbol, source: source, ts: ts, tradeID: tradeID) }
    }

    struct Identity: Hashable {
        var symbol: Interner.ID
        var source: Interner.ID
        var ts: Timestamp
        var tradeID: Int64
    }

    var trades: [Trade] = []

    /// Appends a trade of the log.
    @inline(__always)
    mutating func append(_ view: TradeView, _ names: inout Names) {
        trades.append(
            Trade(
                ts: view.ts, tradeID: view.tradeID, price: view.price, size: view.size,
                ingestedAt: view.ingestedAt, run: view.run, symbol: names.symbols.id(of: view.symbol),
                source: names.source(view.source), conditions: names.conditions.id(of: view.conditions)))
    }

    /// The UTC days that the trades fall on.
    var days: Set<Int64> {
        var days: Set<Int64> = []
        var last = Int64.min
        for trade in trades {
            let day = trade.ts.day
            if day != last {
                days.insert(day)
                last = day
            }
        }
        return days
    }
}

/// The names behind the numbers of a ``TradeBatch``; they live as long as the sink.
struct Names {
    var symbols = Interner()
    var sources = Interner()
    /// Encoded arrays of conditions; few distinct ones occur.
    var conditions = Interner()
    /// The ordering key of each source, by its number.
    private(set) var sourceKeys: [SourceKey] = []

    mutating func source(_ bytes: UnsafeRawBufferPointer) -> Interner.ID {
        let id = sources.id(of: bytes)
        if Int(id) == sourceKeys.count { sourceKeys.append(SourceKey(bytes)) }
        return id
    }
}
