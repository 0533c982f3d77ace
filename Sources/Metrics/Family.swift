// SPDX-License-Identifier: Apache-2.0

import Synchronization

/// What a family holds for each set of label values: a counter, a gauge or a histogram.
package protocol Series: AnyObject, Sendable {
    /// Its lines.
    func write(_ name: String, _ labels: [UInt8], to text: inout Exposition)
}

/// A metric with labels: one series for each set of their values.
///
/// Looking a series up takes a lock; hot paths keep what they looked up. The number of series is bounded: beyond
/// ``limit`` everything further is counted in one series whose label values are all `other`, so that a label whose
/// values come from outside can exhaust neither this process nor the one that scrapes it.
package final class Family<S: Series>: Sendable {
    /// Series of a family, but for the one called `other`, unless it says otherwise.
    package static var limitDefault: Int { 500 }

    package let name: String
    package let limit: Int
    private let labels: [String]
    private let make: @Sendable () -> S
    private let series = Mutex<[[String]: S]>([:])

    init(name: String, labels: [String], limit: Int, make: @escaping @Sendable () -> S) {
        self.name = name
        self.labels = labels
        self.limit = limit
        self.make = make
    }

    /// The series of these values, in the order of the labels; made at its first use.
    package subscript(_ values: String...) -> S { self[values] }

    /// The series of these values, in the order of the labels; made at its first use.
    package subscript(_ values: [String]) -> S {
        precondition(values.count == labels.count, "\(name) has \(labels.count) labels")
        return series.withLock { series in
            if let known = series[values] { return known }
            let key = series.count < limit ? values : values.map { _ in "other" }
            if let other = series[key] { return other }
            let new = make()
            series[key] = new
            return new
        }
    }

    /// Forgets every series, where those that exist are told anew: partitions that may have gone to somebody else.
    package func removeAll() { series.withLock { $0.removeAll() } }

    func write(to text: inout Exposition) {
        let sorted = series.withLock { $0.sorted { $0.key.lexicographicallyPrecedes($1.key) } }
        for (values, series) in sorted { series.write(name, Exposition.labels(labels, values), to: &text) }
    }
}
