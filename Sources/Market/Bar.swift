// SPDX-License-Identifier: Apache-2.0

/// Where a trade stands in the order that decides a bar's open and close: by time, then trade id, then source.
package struct TradeOrder: Comparable, Hashable, Sendable {
    package var ts: Timestamp
    package var tradeID: Int64
    package var source: SourceKey

    package init(ts: Timestamp, tradeID: Int64, source: SourceKey) {
        self.ts = ts
        self.tradeID = tradeID
        self.source = source
    }

    @inline(__always)
    package static func < (a: TradeOrder, b: TradeOrder) -> Bool {
        if a.ts != b.ts { return a.ts < b.ts }
        if a.tradeID != b.tradeID { return a.tradeID < b.tradeID }
        return a.source < b.source
    }
}

/// The first eight bytes of a source's name as one number, which orders as the bytes do: breaks ties between trades of
/// two sources without a string in every comparison.
package struct SourceKey: Comparable, Hashable, Sendable {
    package var bigEndian: UInt64

    package init(_ name: some Sequence<UInt8>) {
        bigEndian = 0
        var shift: UInt64 = 56
        for byte in name.prefix(8) {
            bigEndian |= UInt64(byte) << shift
            shift &-= 8
        }
    }

    /// The bytes of the name that the key holds, without padding.
    package var name: String {
        let bytes = (0..<8).map { UInt8(truncatingIfNeeded: bigEndian >> (56 - 8 * UInt64($0))) }
        return String(decoding: bytes.prefix { $0 != 0 }, as: UTF8.self)
    }

    package static func < (a: SourceKey, b: SourceKey) -> Bool { a.bigEndian < b.bigEndian }
}

/// The aggregate of a set of trades: a bar without its name. Merging is associative and commutative, so a bar is the
/// same however its trades were cut into batches and whenever they arrived.
package struct BarAggregate: Equatable, Sendable {
    package var open: Double
    package var high: Double
    package var low: Double
    package var close: Double
    package var volume = ExactSum()
    /// Sum of price × size, each product rounded to a double, as SQL's `sum(price * size)`.
    package var notional = ExactSum()
    package var tradeCount: Int64
    package var first: TradeOrder
    package var last: TradeOrder

    /// The aggregate of one trade.
    @inline(__always)
    package init(price: Double, size: Double, order: TradeOrder) {
        open = price
        high = price
        low = price
        close = price
        volume += size
        notional += price * size
        tradeCount = 1
        first = order
        last = order
    }

    /// An aggregate as it was stored.
    package init(
        open: Double, high: Double, low: Double, close: Double, volume: ExactSum, notional: ExactSum,
        tradeCount: Int64, first: TradeOrder, last: TradeOrder
    ) {
        self.open = open
        self.high = high
        self.low = low
        self.close = close
        self.volume = volume
        self.notional = notional
        self.tradeCount = tradeCount
        self.first = first
        self.last = last
    }

    /// Adds one trade.
    @inline(__always)
    package mutating func add(price: Double, size: Double, order: TradeOrder) {
        if price > high { high = price }
        if price < low { low = price }
        volume += size
        notional += price * size
        tradeCount += 1
        if order < first {
            first = order
            open = price
        }
        if last < order {
            last = order
            close = price
        }
    }

    /// Adds the trades of `other`, which must not share any with this one.
    package mutating func merge(_ other: BarAggregate) {
        if other.high > high { high = other.high }
        if other.low < low { low = other.low }
        volume += other.volume
        notional += other.notional
        tradeCount += other.tradeCount
        if other.first < first {
            first = other.first
            open = other.open
        }
        if last < other.last {
            last = other.last
            close = other.close
        }
    }
}
