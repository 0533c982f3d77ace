// SPDX-License-Identifier: Apache-2.0

import Synchronization

/// The metrics of a process: made once by whoever counts, written as text for whoever scrapes.
///
/// A small thing of our own and not swift-metrics: none of the libraries used here reports through that façade, and
/// its handles are existentials behind a factory where these are an atomic addition.
package final class MetricsRegistry: Sendable {
    enum Kind: String { case counter, gauge, histogram }

    private struct Entry {
        var name: String
        var help: String
        var kind: Kind
        var labels: [String]
        var family: any Sendable
        var write: @Sendable (inout Exposition) -> Void
    }

    private struct State {
        var entries: [Entry] = []
        var collectors: [@Sendable () async -> Void] = []
    }

    private let state = Mutex(State())

    package init() {}

    // MARK: Making

    /// A counter without labels. The same name again is the same counter.
    package func counter(_ name: String, _ help: String) -> Counter { counters(name, help, labels: [])[[]] }

    /// A gauge without labels. The same name again is the same gauge.
    package func gauge(_ name: String, _ help: String) -> Gauge { gauges(name, help, labels: [])[[]] }

    /// A histogram without labels. The same name again is the same histogram.
    package func histogram(_ name: String, _ help: String, _ buckets: Histogram.Buckets) -> Histogram {
        histograms(name, help, buckets, labels: [])[[]]
    }

    /// Counters, one for each set of label values. By convention the name ends in `_total`.
    package func counters(
        _ name: String, _ help: String, labels: [String], limit: Int = Family<Counter>.limitDefault
    ) -> Family<Counter> {
        family(name, help, .counter, labels, limit) { Counter() }
    }

    /// Gauges, one for each set of label values. By convention the name ends in its unit.
    package func gauges(
        _ name: String, _ help: String, labels: [String], limit: Int = Family<Gauge>.limitDefault
    ) -> Family<Gauge> {
        family(name, help, .gauge, labels, limit) { Gauge() }
    }

    /// Histograms, one for each set of label values. By convention the name ends in its unit.
    package func histograms(
        _ name: String, _ help: String, _ buckets: Histogram.Buckets, labels: [String],
        limit: Int = Family<Histogram>.limitDefault
    ) -> Family<Histogram> {
        family(name, help, .histogram, labels, limit) { Histogram(buckets) }
    }

    /// The family of that name, made at its first mention.
    func family<S: Series>(
        _ name: String, _ help: String, _ kind: Kind, _ labels: [String], _ limit: Int,
        make: @escaping @Sendable () -> S
    ) -> Family<S> {
        precondition(Exposition.isName(name), "\(name) cannot name a metric")
        precondition(
            labels.allSatisfy { Exposition.isName($0) && !$0.hasPrefix("__") && $0 != "le" }, "a label of \(name)")
        return state.withLock { state in
            if let known = state.entries.first(where: { $0.name == name }) {
                guard known.kind == kind, known.labels == labels, let family = known.family as? Family<S> else {
                    preconditionFailure("\(name) is already a metric of another kind")
                }
                return family
            }
            let family = Family(name: name, labels: labels, limit: limit, make: make)
            state.entries.append(
                Entry(name: name, help: help, kind: kind, labels: labels, family: family) { family.write(to: &$0) })
            return family
        }
    }

    // MARK: Scraping

    /// Has `collector` run before each scrape, to bring up to date what is not counted as it happens. It must come back
    /// soon, whatever is out of reach.
    package func beforeScrape(_ collector: @escaping @Sendable () async -> Void) {
        state.withLock { $0.collectors.append(collector) }
    }

    /// All metrics as text (``Exposition``), those of a family together, families by name.
    package func scrape() async -> [UInt8] {
        let collectors = state.withLock { $0.collectors }
        for collector in collectors { await collector() }
        var text = Exposition()
        for entry in state.withLock({ $0.entries }).sorted(by: { $0.name < $1.name }) {
            text.head(entry.name, entry.help, entry.kind.rawValue)
            entry.write(&text)
        }
        return text.bytes
    }
}
