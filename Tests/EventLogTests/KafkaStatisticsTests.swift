// SPDX-License-Identifier: Apache-2.0

import EventLog
import Kafka
import Metrics
import Testing

struct KafkaStatisticsTests {
    @Test func `producer and members tell how they do, as metrics`() async throws {
        let fixture = try LogFixture(.kafka)
        let log = try #require(try await fixture.open() as? KafkaEventLog)
        let registry = MetricsRegistry()
        KafkaMetrics.show(log, in: registry)
        let topic = try await fixture.createTopic("trades", partitions: 2, log)
        try await log.append(append([TopicPartition(topic, 0): numbered(0..<7)]))
        let group = fixture.name("g")
        let consumer = try await log.consumer(group: group, topics: [topic])
        for partition in try await assignment(consumer) { consumer.start(partition, at: 0) }
        var text = ""
        let deadline = ContinuousClock.now + .seconds(60)
        while ContinuousClock.now < deadline {
            // Members tell it while they are asked for records.
            _ = try await consumer.next(byteLimit: 1 << 20, wait: .milliseconds(100))
            text = String(decoding: await registry.scrape(), as: UTF8.self)
            if text.contains("tapedeck_kafka_messages_total{client=\"producer\",direction=\"sent\"} 7")
                && text.contains("tapedeck_kafka_messages_total{client=\"\(group)\",direction=\"received\"} 7")
            {
                break
            }
        }
        for sample in [
            "tapedeck_kafka_messages_total{client=\"producer\",direction=\"sent\"} 7",
            "tapedeck_kafka_messages_total{client=\"\(group)\",direction=\"received\"} 7",
            "tapedeck_kafka_assigned_partitions{client=\"\(group)\"} 2.0",
            "tapedeck_kafka_queue_messages{client=\"producer\"} 0.0",
        ] {
            #expect(text.contains(sample), "\(sample)")
        }
        #expect(text.contains(/tapedeck_kafka_broker_up\{client="producer",broker="\d"\} 1.0/))
        #expect(text.contains(/tapedeck_kafka_rebalances_total\{client="g\.[^"]*"\} [1-9]/))
        await consumer.close()
        await log.close()
    }
}
