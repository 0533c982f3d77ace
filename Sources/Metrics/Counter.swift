// SPDX-License-Identifier: Apache-2.0

import Synchronization

/// A count that only grows. Adding is one atomic addition: no lock, from any thread.
package final class Counter: Series {
    private let count = Atomic<Int>(0)

    package init() {}

    /// What has been counted since the start.
    package var value: Int { count.load(ordering: .relaxed) }

    /// Counts `number` more; never negative.
    @inline(__always)
    package func add(_ number: Int = 1) {
        assert(number >= 0, "a counter only grows")
        count.add(number, ordering: .relaxed)
    }

    /// Takes over what somebody else has counted, who is asked before each scrape.
    package func set(total: Int) { count.store(total, ordering: .relaxed) }

    package func write(_ name: String, _ labels: [UInt8], to text: inout Exposition) {
        text.sample(name, labels, "\(value)")
    }
}

/// A value that goes up and down; a double. Setting is one atomic store.
package final class Gauge: Series {
    private let bits = Atomic<UInt64>(0)

    package init() {}

    package var value: Double { Double(bitPattern: bits.load(ordering: .relaxed)) }

    package func set(_ value: Double) { bits.store(value.bitPattern, ordering: .relaxed) }

    package func set(_ value: some BinaryInteger) { set(Double(value)) }

    /// Adds to the value, which may be negative; for what several threads count up and down.
    package func add(_ change: Double) {
        var known = bits.load(ordering: .relaxed)
        while true {
            let new = (Double(bitPattern: known) + change).bitPattern
            let (isDone, found) = bits.weakCompareExchange(expected: known, desired: new, ordering: .relaxed)
            if isDone { return }
            known = found
        }
    }

    package func write(_ name: String, _ labels: [UInt8], to text: inout Exposition) {
        text.sample(name, labels, Exposition.number(value))
    }
}
