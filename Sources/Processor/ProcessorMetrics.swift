// SPDX-License-Identifier: Apache-2.0

package import Metrics

/// What a processor counts. Counted after what it counts is durable, so a crash may lose counts but never invents any.
package struct ProcessorMetrics: Sendable {
    /// Records by the topic they were read from and what became of them.
    let records: Family<Counter>
    let rejects: Family<Counter>
    let validationBatch: Histogram
    let validationSeconds: Histogram
    let sinkBatch: Family<Histogram>
    let commitSeconds: Family<Histogram>
    let stepSeconds: Family<Histogram>
    let bars: Family<Counter>
    let retries: Family<Counter>
    let storeIsUp: Gauge
    let lag: Gauge
    let lagSeconds: Gauge
    let partitionLag: Family<Gauge>
    let sourceLastEvent: Family<Gauge>
    let sourceLastIngested: Family<Gauge>
    let sourceEvents: Family<Counter>

    /// Whether the sink's last contact with the store went well.
    package var isStoreUp: Bool { storeIsUp.value == 1 }

    private let work: RecentWork

    /// - Parameter work: told of each transaction, too.
    package init(_ registry: MetricsRegistry, _ work: RecentWork = RecentWork()) {
        self.work = work
        records = registry.counters(
            "tapedeck_records_total",
            "Records of the log processed, by topic and outcome: valid, rejected (by validation); stored, already_there, kept (by the sink).",
            labels: ["topic", "outcome"])
        rejects = registry.counters(
            "tapedeck_rejected_records_total", "Records kept as rejected, by reason code.", labels: ["reason"])
        validationBatch = registry.histogram(
            "tapedeck_validation_batch_records", "Records validated in one append.", .sizes(to: 1 << 20))
        validationSeconds = registry.histogram(
            "tapedeck_validation_batch_seconds", "Time to validate a batch and append what it became.",
            .durations(from: .microseconds(100), to: .seconds(60)))
        sinkBatch = registry.histograms(
            "tapedeck_sink_batch_records", "Records taken into the store by one transaction, by sink: trades, facts.",
            .sizes(to: 1 << 20), labels: ["sink"])
        commitSeconds = registry.histograms(
            "tapedeck_sink_transaction_seconds",
            "Time of a transaction of a sink, from decoding to COMMIT, by sink: trades, facts.",
            .durations(from: .milliseconds(1), to: .seconds(300)), labels: ["sink"])
        stepSeconds = registry.histograms(
            "tapedeck_sink_step_seconds",
            "Time of the steps of the sink's transactions: partitions, trades, bars, latest, counts, commit.",
            .durations(from: .microseconds(100), to: .seconds(300)), labels: ["step"])
        bars = registry.counters(
            "tapedeck_bars_written_total", "Bars written, by whether they were new or changed.", labels: ["kind"])
        retries = registry.counters(
            "tapedeck_retries_total",
            "Attempts repeated after a failure that may pass, by stage: validation, store, facts.",
            labels: ["stage"])
        storeIsUp = registry.gauge(
            "tapedeck_store_up", "1 while the sink's last contact with PostgreSQL went well, else 0.")
        lag = registry.gauge(
            "tapedeck_lag_records", "Records of the log that the store does not have yet, staged ones included.")
        lagSeconds = registry.gauge(
            "tapedeck_lag_seconds",
            "How long the oldest record that is not done has been in its topic; 0 where all is done that was there five seconds before."
        )
        partitionLag = registry.gauges(
            "tapedeck_partition_lag_records",
            "Records of a partition that are not done yet: not validated, for a staging topic; not in the store, for the others.",
            labels: ["topic", "partition"], limit: 20_000)
        sourceLastEvent = registry.gauges(
            "tapedeck_source_last_event_timestamp_seconds", "Newest event time stored from a source.",
            labels: ["source"])
        sourceLastIngested = registry.gauges(
            "tapedeck_source_last_ingested_timestamp_seconds",
            "When the newest event stored from a source arrived: time() minus it is the source's silence.",
            labels: ["source"])
        sourceEvents = registry.counters(
            "tapedeck_source_events_total", "Events stored from a source since the database was made.",
            labels: ["source"])
        for stage in ["validation", "store", "facts"] { _ = retries[stage] }
        for sink in ["trades", "facts"] { _ = (sinkBatch[sink], commitSeconds[sink]) }
    }

    /// A transaction of the sink of trades.
    func committed(_ outcome: SinkOutcome, _ topics: TopicRoles, records count: Int, in time: Duration) {
        stored(outcome, topics.valid)
        records[topics.rejected, "kept"].add(outcome.rejected)
        for (reason, count) in outcome.rejects { rejects[reason].add(count) }
        bars["new"].add(outcome.barsMade)
        bars["changed"].add(outcome.barsTouched - outcome.barsMade)
        finished("trades", count, in: time)
    }

    /// A transaction of the sink of facts.
    ///
    /// - Parameters:
    ///   - outcome: all kinds together.
    ///   - kinds: what is valid, by its topic.
    func committed(
        _ outcome: SinkOutcome, facts kinds: [String: SinkOutcome], records count: Int, in time: Duration
    ) {
        for (topic, outcome) in kinds { stored(outcome, topic) }
        for (reason, count) in outcome.rejects { rejects[reason].add(count) }
        finished("facts", count, in: time)
    }

    private func stored(_ outcome: SinkOutcome, _ topic: String) {
        records[topic, "stored"].add(outcome.accepted)
        records[topic, "already_there"].add(outcome.alreadyThere)
    }

    private func finished(_ sink: String, _ count: Int, in time: Duration) {
        sinkBatch[sink].observe(count)
        commitSeconds[sink].observe(time)
        work.committed(records: count, in: time)
        storeIsUp.set(1)
    }

    /// - Parameter counts: by staging topic.
    func validated(_ counts: [String: (valid: Int, rejected: Int)], in time: Duration) {
        for (topic, count) in counts {
            records[topic, "valid"].add(count.valid)
            records[topic, "rejected"].add(count.rejected)
        }
        validationBatch.observe(counts.values.reduce(0) { $0 + $1.valid + $1.rejected })
        validationSeconds.observe(time)
    }
}
