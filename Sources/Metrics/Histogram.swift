// SPDX-License-Identifier: Apache-2.0

import Synchronization

/// How values are distributed: how many lie at or below each of some bounds, and their sum. An observation is a search
/// among a dozen bounds and two atomic additions: no lock, from any thread.
package final class Histogram: Series, @unchecked Sendable {
    // Rule for `@unchecked Sendable`: `counts` is allocated once, and what it points at are atomics.

    /// What is observed, in which unit, and where the buckets end.
    package struct Buckets: Sendable {
        /// Upper bounds, inclusive, in whole `unit`s; ascending. A last bucket without a bound follows.
        let bounds: [Int64]
        /// How much one of them is in the unit of the exposition.
        let unit: Double

        /// Durations from `shortest` to `longest`, shown in seconds: 1, 2.5, 5, 10, … of the decade `shortest` is in.
        package static func durations(from shortest: Duration, to longest: Duration) -> Buckets {
            let end = nanoseconds(longest)
            var bounds: [Int64] = []
            var decade = nanoseconds(shortest)
            precondition(decade > 0, "a bucket ends above 0")
            while decade <= end {
                bounds += [decade, decade * 5 / 2, decade * 5].filter { $0 <= end }
                decade *= 10
            }
            return Buckets(bounds: bounds, unit: 1e-9)
        }

        /// Counts from 1 to `largest`, in powers of four.
        package static func sizes(to largest: Int) -> Buckets {
            var bounds: [Int64] = [1]
            while let last = bounds.last, last * 4 <= Int64(largest) { bounds.append(last * 4) }
            return Buckets(bounds: bounds, unit: 1)
        }
    }

    private let buckets: Buckets
    private let counts: UnsafeMutablePointer<Atomic<Int>>
    private let sum = Atomic<Int64>(0)

    package init(_ buckets: Buckets) {
        self.buckets = buckets
        counts = .allocate(capacity: buckets.bounds.count + 1)
        for index in 0...buckets.bounds.count { (counts + index).initialize(to: Atomic(0)) }
    }

    deinit {
        counts.deinitialize(count: buckets.bounds.count + 1)
        counts.deallocate()
    }

    /// Observes a duration; for buckets made by ``Buckets/durations(from:to:)``.
    package func observe(_ duration: Duration) { record(nanoseconds(duration)) }

    /// Observes a size; for buckets made by ``Buckets/sizes(to:)``.
    package func observe(_ size: Int) { record(Int64(size)) }

    private func record(_ value: Int64) {
        var low = 0
        var high = buckets.bounds.count
        while low < high {
            let middle = (low + high) / 2
            if buckets.bounds[middle] < value { low = middle + 1 } else { high = middle }
        }
        counts[low].add(1, ordering: .relaxed)
        // Wraps only after 292 years of durations.
        sum.wrappingAdd(value, ordering: .relaxed)
    }

    /// How many values were observed.
    package var count: Int { (0...buckets.bounds.count).reduce(0) { $0 + counts[$1].load(ordering: .relaxed) } }

    package func write(_ name: String, _ labels: [UInt8], to text: inout Exposition) {
        // Each bucket is read once and the count is their sum, so `_count` is always what `le="+Inf"` says.
        var total = 0
        for (index, bound) in buckets.bounds.enumerated() {
            total += counts[index].load(ordering: .relaxed)
            text.bucket(name, labels, Exposition.number(Double(bound) * buckets.unit), total)
        }
        total += counts[buckets.bounds.count].load(ordering: .relaxed)
        text.bucket(name, labels, "+Inf", total)
        text.sample(name + "_sum", labels, Exposition.number(Double(sum.load(ordering: .relaxed)) * buckets.unit))
        text.sample(name + "_count", labels, "\(total)")
    }
}

private func nanoseconds(_ duration: Duration) -> Int64 {
    let (seconds, attoseconds) = duration.components
    let (scaled, overflow) = seconds.multipliedReportingOverflow(by: 1_000_000_000)
    return overflow ? .max : scaled &+ attoseconds / 1_000_000_000
}
