// SPDX-License-Identifier: Apache-2.0

import Market

/// The last trade of a symbol and the one before it, in the order that decides a bar's close.
struct LatestTrades: Equatable {
    struct Entry: Equatable {
        var order: TradeOrder
        /// The source's full name, for the store.
        var source: Interner.ID
        var price: Double
        var size: Double
    }

    private(set) var last: Entry
    private(set) var previous: Entry?

    init(last: Entry, previous: Entry? = nil) {
        self.last = last
        self.previous = previous
    }

    /// Takes in one more trade; true if it is one of the last two.
    @inline(__always)
    mutating func take(_ entry: Entry) -> Bool {
        if last.order < entry.order {
            previous = last
            last = entry
            return true
        }
        if entry.order != last.order, previous.map({ $0.order < entry.order }) ?? true {
            previous = entry
            return true
        }
        return false
    }
}
