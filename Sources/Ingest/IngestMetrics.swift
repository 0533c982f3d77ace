// SPDX-License-Identifier: Apache-2.0

package import Metrics

/// What sources count.
package struct IngestMetrics: Sendable {
    let records: Counter
    let batch: Histogram
    let appendSeconds: Histogram
    let retries: Counter

    package init(_ registry: MetricsRegistry) {
        records = registry.counter("tapedeck_ingested_records_total", "Records appended to the staging topics.")
        batch = registry.histogram("tapedeck_ingest_batch_records", "Records in one append.", .sizes(to: 1 << 14))
        appendSeconds = registry.histogram(
            "tapedeck_ingest_append_seconds", "Time until an append is durable, repetitions included.",
            .durations(from: .microseconds(100), to: .seconds(60)))
        retries = registry.counter(
            "tapedeck_ingest_retries_total", "Appends repeated after a failure that may pass.")
    }
}
