// SPDX-License-Identifier: Apache-2.0

import EventLog
import Kafka
import Metrics

/// What a log has been given by this process, as metrics.
enum LogMetrics {
    static func show(_ log: any EventLog, in registry: MetricsRegistry) {
        let appends = registry.counter("tapedeck_log_appends_total", "Appends to the log that are durable.")
        let failures = registry.counter(
            "tapedeck_log_append_failures_total", "Appends to the log that failed; their callers try again.")
        let records = registry.counter("tapedeck_log_appended_records_total", "Records of the durable appends.")
        let bytes = registry.counter("tapedeck_log_appended_bytes_total", "Bytes of the durable appends.")
        registry.beforeScrape {
            let statistics = log.statistics
            appends.set(total: Int(statistics.appends))
            failures.set(total: Int(statistics.failures))
            records.set(total: Int(statistics.records))
            bytes.set(total: Int(statistics.bytes))
        }
        if let kafka = log as? KafkaEventLog { KafkaMetrics.show(kafka, in: registry) }
    }
}
