// SPDX-License-Identifier: Apache-2.0

package import Metrics

/// librdkafka's statistics as metrics, brought up to date before each scrape. `client` is `producer`, or the group of a
/// consumer.
package enum KafkaMetrics {
    /// Has `registry` show how the log's clients do.
    package static func show(_ log: KafkaEventLog, in registry: MetricsRegistry) {
        let families = Families(registry)
        registry.beforeScrape { families.update(log.clientStatistics) }
    }

    private struct Families: Sendable {
        let queuedMessages: Family<Gauge>
        let queuedBytes: Family<Gauge>
        let messages: Family<Counter>
        let bytes: Family<Counter>
        let rebalances: Family<Counter>
        let assigned: Family<Gauge>
        let brokerIsUp: Family<Gauge>
        let requests: Family<Counter>
        let problems: Family<Counter>
        let roundTrip: Family<Gauge>
        let throttle: Family<Gauge>

        init(_ registry: MetricsRegistry) {
            queuedMessages = registry.gauges(
                "tapedeck_kafka_queue_messages", "Messages that a client holds until brokers have acknowledged them.",
                labels: ["client"])
            queuedBytes = registry.gauges(
                "tapedeck_kafka_queue_bytes", "Bytes of the messages that a client holds.", labels: ["client"])
            messages = registry.counters(
                "tapedeck_kafka_messages_total", "Messages exchanged with brokers, by direction: sent, received.",
                labels: ["client", "direction"])
            bytes = registry.counters(
                "tapedeck_kafka_message_bytes_total", "Bytes of messages exchanged with brokers, by direction.",
                labels: ["client", "direction"])
            rebalances = registry.counters(
                "tapedeck_kafka_rebalances_total", "Rebalances of a group that this member has seen.",
                labels: ["client"])
            assigned = registry.gauges(
                "tapedeck_kafka_assigned_partitions", "Partitions that are this member's.", labels: ["client"])
            brokerIsUp = registry.gauges(
                "tapedeck_kafka_broker_up", "1 while a client is connected to a broker, else 0.",
                labels: ["client", "broker"])
            requests = registry.counters(
                "tapedeck_kafka_broker_requests_total", "Requests sent to a broker.", labels: ["client", "broker"])
            problems = registry.counters(
                "tapedeck_kafka_broker_problems_total",
                "What went wrong with a broker, by kind: send, receive, timeout, retry, disconnect.",
                labels: ["client", "broker", "kind"])
            roundTrip = registry.gauges(
                "tapedeck_kafka_broker_round_trip_seconds",
                "Time from a request to its answer over the last seconds: mean and p99.",
                labels: ["client", "broker", "of"])
            throttle = registry.gauges(
                "tapedeck_kafka_broker_throttle_seconds",
                "How long a broker held answers back because of its quotas, on average over the last seconds.",
                labels: ["client", "broker"])
        }

        func update(_ clients: [(client: String, statistics: KafkaStatistics)]) {
            // Members and brokers come and go.
            for family in [queuedMessages, queuedBytes, assigned, brokerIsUp, roundTrip, throttle] {
                family.removeAll()
            }
            for (client, statistics) in clients {
                if let group = statistics.group {
                    rebalances[client].set(total: group.rebalances)
                    assigned[client].set(group.assignedPartitions)
                    messages[client, "received"].set(total: statistics.receivedMessages)
                    bytes[client, "received"].set(total: statistics.receivedBytes)
                } else {
                    queuedMessages[client].set(statistics.queuedMessages)
                    queuedBytes[client].set(statistics.queuedBytes)
                    messages[client, "sent"].set(total: statistics.sentMessages)
                    bytes[client, "sent"].set(total: statistics.sentBytes)
                }
                for broker in statistics.brokers.values where broker.nodeID >= 0 { update(client, broker) }
            }
        }

        private func update(_ client: String, _ broker: KafkaStatistics.Broker) {
            let name = "\(broker.nodeID)"
            brokerIsUp[client, name].set(broker.isUp ? 1 : 0)
            requests[client, name].set(total: broker.requests)
            for (kind, count) in [
                ("send", broker.sendErrors), ("receive", broker.receiveErrors), ("timeout", broker.timeouts),
                ("retry", broker.repetitions), ("disconnect", broker.disconnects),
            ] {
                problems[client, name, kind].set(total: count)
            }
            roundTrip[client, name, "mean"].set(Double(broker.roundTrip.average) / 1e6)
            roundTrip[client, name, "p99"].set(Double(broker.roundTrip.p99) / 1e6)
            throttle[client, name].set(Double(broker.throttle.average) / 1e3)
        }
    }
}
