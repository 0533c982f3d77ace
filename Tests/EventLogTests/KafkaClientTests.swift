// SPDX-License-Identifier: Apache-2.0

import EventLog
import Kafka
import Metrics
import TestSupport
import Testing

struct KafkaClientTests {
    @Test func `a member that is closed while it waits for its first assignment takes nothing with it`() async throws {
        let cluster = try MockCluster()
        defer { cluster.stop() }
        let fixture = try LogFixture(.kafka, cluster: cluster)
        let log = try await fixture.open()
        let topic = try await fixture.createTopic("trades", partitions: 2, log)
        // The mock's first join takes three seconds; what the member is given then (SyncGroup, 14) comes too late.
        for broker in 1...3 { try cluster.command("delay \(broker) 14 15000") }
        let consumer = try await log.consumer(group: fixture.name("g"), topics: [topic])
        let deadline = ContinuousClock.now + .seconds(6)
        while ContinuousClock.now < deadline {
            guard case .idle = try await consumer.next(byteLimit: 1, wait: .milliseconds(200)) else {
                Issue.record("it was given something: the test shows nothing")
                break
            }
        }
        await consumer.close()
        await log.close()
    }

    @Test(.timeLimit(.minutes(2)))
    func `a member that is closed before it takes up its partitions leaves them to others`() async throws {
        let cluster = try MockCluster()
        defer { cluster.stop() }
        let fixture = try LogFixture(.kafka, cluster: cluster)
        let log = try await fixture.open()
        let topic = try await fixture.createTopic("trades", partitions: 2, log)
        let group = fixture.name("g")
        let first = try await log.consumer(group: group, topics: [topic])
        // It is told of them, and closed before it is asked for records, as when the store fails in between.
        #expect(try await assignment(first).count == 2)
        await first.close()
        let second = try await log.consumer(group: group, topics: [topic])
        #expect(try await assignment(second).count == 2)
        await second.close()
        await log.close()
    }

    @Test func `members that a rebalance gives nothing take part in the next one, and can be closed`() async throws {
        let fixture = try LogFixture(.kafka)
        let log = try await fixture.open()
        let topic = try await fixture.createTopic("trades", partitions: 1, log)
        let group = fixture.name("g")
        let first = try await log.consumer(group: group, topics: [topic])
        #expect(try await assignment(first).count == 1)
        let second = try await log.consumer(group: group, topics: [topic])
        // The first keeps its partition, the second stands by: neither is given anything.
        var toldOfNothing: Set<Int> = []
        let deadline = ContinuousClock.now + .seconds(60)
        while toldOfNothing.count < 2, ContinuousClock.now < deadline {
            for (number, member) in [first, second].enumerated() {
                if case .assigned([]) = try await member.next(byteLimit: 1, wait: .milliseconds(50)) {
                    toldOfNothing.insert(number)
                }
            }
        }
        #expect(toldOfNothing.count == 2, "the test shows nothing")
        for member in [first, second] { _ = try await member.next(byteLimit: 1, wait: .milliseconds(50)) }
        #expect(try await closes(first))
        #expect(try await assignment(second).count == 1)
        #expect(try await closes(second))
        await log.close()
    }

    @Test func `offsets whose commit falls into a rebalance are committed when it is over`() async throws {
        let cluster = try MockCluster()
        defer { cluster.stop() }
        let fixture = try LogFixture(.kafka, cluster: cluster)
        let log = try await fixture.open()
        let topic = try await fixture.createTopic("trades", partitions: 1, log)
        let partition = TopicPartition(topic, 0)
        let group = fixture.name("g")
        let consumer = try await log.consumer(group: group, topics: [topic])
        _ = try await assignment(consumer)
        consumer.start(partition, at: 0)
        try await log.append(append([partition: numbered(0..<5)]))
        #expect(try await read(5, of: partition, consumer).count == 5)
        // OffsetCommit (8) is answered with REBALANCE_IN_PROGRESS (27), once.
        try cluster.command("errors 8 27")
        var consumed = Append()
        consumed.consumed = (group, [partition: 5])
        try await log.append(consumed)
        #expect(try await log.committedOffset(group: group, partition: partition) == 0, "the test shows nothing")
        let deadline = ContinuousClock.now + .seconds(30)
        while try await log.committedOffset(group: group, partition: partition) != 5, ContinuousClock.now < deadline {
            _ = try await consumer.next(byteLimit: 1 << 20, wait: .milliseconds(100))
        }
        #expect(try await log.committedOffset(group: group, partition: partition) == 5)
        await consumer.close()
        await log.close()
    }

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
