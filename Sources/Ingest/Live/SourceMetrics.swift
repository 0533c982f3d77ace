// SPDX-License-Identifier: Apache-2.0

import EventLog
package import Metrics

/// What a live source counts, under its name.
package struct SourceMetrics: Sendable {
    /// Records lost because neither the log nor the spool took them.
    package let lost: Counter
    /// Times that the source was started again after a failure.
    package let restarts: Counter
    /// 1 while the source can be heard.
    package let connected: Gauge
    /// Messages and replies that came.
    package let frames: Counter
    private let ingested: Counter
    private let spooled: Counter
    private let spoolRecords: Gauge
    private let spoolBytes: Gauge

    package init(_ registry: MetricsRegistry, source: String) {
        ingested = IngestMetrics(registry).records
        frames =
            registry.counters(
                "tapedeck_source_frames_total", "Messages and replies of a live source.", labels: ["source"])[source]
        lost =
            registry.counters(
                "tapedeck_source_lost_records_total", "Records lost because neither the log nor the spool took them.",
                labels: ["source"])[source]
        restarts =
            registry.counters(
                "tapedeck_source_restarts_total", "Times that a live source was started again after a failure.",
                labels: ["source"])[source]
        connected =
            registry.gauges(
                "tapedeck_source_connected", "1 while a live source can be heard.", labels: ["source"])[source]
        spooled =
            registry.counters(
                "tapedeck_spooled_records_total", "Records put into the spool because the log did not take them.",
                labels: ["source"])[source]
        spoolRecords =
            registry.gauges(
                "tapedeck_spool_records", "Records that wait in the spool.", labels: ["source"])[source]
        spoolBytes =
            registry.gauges(
                "tapedeck_spool_bytes", "Bytes of records that wait in the spool.", labels: ["source"])[source]
    }

    func delivered(_ append: Append) { ingested.add(append.batches.values.reduce(0) { $0 + $1.count }) }

    func spooled(_ append: Append, _ content: Spool.Content) {
        spooled.add(append.batches.values.reduce(0) { $0 + $1.count })
        show(content)
    }

    func show(_ content: Spool.Content) {
        spoolRecords.set(Double(content.records))
        spoolBytes.set(Double(content.bytes))
    }
}
