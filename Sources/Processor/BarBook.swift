// SPDX-License-Identifier: Apache-2.0

import Market

/// What the sink knows of the bars in the store: the recent ones, and for each symbol where its bars end, so that most
/// bars of a live tape need not be read back before they are written.
///
/// Only the owner of a symbol's partition writes its bars, so what was committed stays true until the partition is lost
/// or a transaction fails; then ``forget()``.
struct BarBook {
    /// Most bars kept, about 200 bytes each; beyond it the book starts afresh and reads bars back as they are touched.
    static let capacity = 200_000

    /// The state that a bar has after a batch.
    struct Write {
        var key: BarKey
        var aggregate: BarAggregate
    }

    private var bars: [BarKey: BarAggregate] = [:]
    /// By symbol, the start of the newest bar of each timeframe in the store: a later one cannot be there.
    private var newest: [[Timestamp]?] = []

    private static let none = Timestamp(microseconds: .min)

    /// Forgets everything.
    mutating func forget() {
        bars.removeAll()
        newest.removeAll()
    }

    /// Whether the newest bars of a symbol are known.
    func knows(_ symbol: Interner.ID) -> Bool { Int(symbol) < newest.count && newest[Int(symbol)] != nil }

    /// Notes that the store has no bars of the symbol but those told of by ``learn(_:_:newest:)``.
    mutating func learn(_ symbol: Interner.ID) {
        while newest.count <= Int(symbol) { newest.append(nil) }
        newest[Int(symbol)] = Array(repeating: Self.none, count: Timeframe.allCases.count)
    }

    /// Notes the start of the symbol's newest bar of a timeframe.
    mutating func learn(_ symbol: Interner.ID, _ timeframe: Timeframe, newest start: Timestamp) {
        newest[Int(symbol)]?[Int(timeframe.rawValue)] = start
    }

    /// The bars that a batch touches, sorted out by what must be done to write them.
    struct Plan {
        /// Bars that the store does not have.
        var new: [Write] = []
        /// Bars that the store has, in their state after the batch.
        var updated: [Write] = []
        /// What the batch adds to bars whose state must be read first.
        var unread: [Write] = []
    }

    /// Merges deltas into the bars that are known.
    func plan(_ deltas: BarDeltas) -> Plan {
        var plan = Plan()
        for (timeframe, list) in zip(Timeframe.allCases, deltas.byTimeframe) {
            for delta in list {
                let key = BarKey(symbol: delta.symbol, timeframe: timeframe, start: delta.start)
                if delta.start > (newest[Int(delta.symbol)]?[Int(timeframe.rawValue)] ?? Self.none) {
                    plan.new.append(Write(key: key, aggregate: delta.aggregate))
                } else if var known = bars[key] {
                    known.merge(delta.aggregate)
                    plan.updated.append(Write(key: key, aggregate: known))
                } else {
                    plan.unread.append(Write(key: key, aggregate: delta.aggregate))
                }
            }
        }
        return plan
    }

    /// Notes what has been committed.
    mutating func remember(_ plan: Plan) {
        if bars.count + plan.new.count + plan.updated.count > Self.capacity { bars.removeAll(keepingCapacity: true) }
        for write in plan.new {
            bars[write.key] = write.aggregate
            let timeframe = Int(write.key.timeframe.rawValue)
            let known = newest[Int(write.key.symbol)]?[timeframe] ?? Self.none
            newest[Int(write.key.symbol)]?[timeframe] = max(known, write.key.start)
        }
        for write in plan.updated { bars[write.key] = write.aggregate }
    }
}
