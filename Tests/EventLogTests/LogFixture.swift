// SPDX-License-Identifier: Apache-2.0

import EventLog
import Foundation
import Kafka
import Logging
import Synchronization
import TestSupport
import Testing

/// The engines that keep the contract of `EventLog`.
enum Engine: String, CaseIterable, Sendable, CustomTestStringConvertible {
    case sqlite, kafka

    var testDescription: String { rawValue }
}

let silent = Logger(label: "test", factory: SwiftLogNoOpLogHandler.init)

/// A log of an engine, with names that no other test uses.
final class LogFixture: Sendable {
    let engine: Engine
    private let folder: TemporaryFolder
    private let cluster: MockCluster?
    private let run = UUID().uuidString.prefix(8)

    /// - Parameter cluster: a cluster of the test's own, if it does the cluster harm.
    init(_ engine: Engine, cluster: MockCluster? = nil) throws {
        self.engine = engine
        folder = try TemporaryFolder()
        self.cluster = engine == .kafka ? try cluster ?? MockCluster.shared.get() : nil
    }

    /// Opens the log as a process does.
    func open(_ properties: String = "") async throws -> any EventLog {
        guard let cluster else { return try SQLiteEventLog(directory: folder.path) }
        // The mock's groups wait for a session to end, and its fetches sleep (a real broker's do neither).
        let url = """
            kafka://\(cluster.bootstraps)?session.timeout.ms=4000&heartbeat.interval.ms=300&fetch.wait.max.ms=10\
            &fetch.error.backoff.ms=50\(properties)
            """
        return try await KafkaEventLog.open(.init(KafkaLocation(url)), logger: silent)
    }

    func name(_ name: String) -> String { "\(name).\(run)" }

    /// Creates a topic; the mock makes four partitions unless it is told by its own call.
    func createTopic(_ name: String, partitions: Int, _ log: any EventLog) async throws -> String {
        let topic = self.name(name)
        try cluster?.command("topic \(topic) \(partitions)")
        try await log.createTopics([TopicSettings(name: topic, partitions: partitions, retention: .seconds(86_400))])
        return topic
    }
}

/// The events of a consumer until it has partitions.
func assignment(_ consumer: any EventLogConsumer) async throws -> [TopicPartition] {
    let deadline = ContinuousClock.now + .seconds(30)
    while ContinuousClock.now < deadline {
        if case .assigned(let partitions) = try await consumer.next(byteLimit: 1, wait: .milliseconds(50)),
            !partitions.isEmpty
        {
            return partitions
        }
    }
    Issue.record("no assignment in 30 s")
    return []
}

/// Whether a member can be closed, within half a minute.
func closes(_ consumer: any EventLogConsumer) async throws -> Bool {
    // Nothing else uses it any more.
    nonisolated(unsafe) let consumer = consumer
    let flag = Flag()
    // Not a child: it may never end.
    Task {
        await consumer.close()
        flag.isSet.store(true, ordering: .relaxed)
    }
    return try await eventually { flag.isSet.load(ordering: .relaxed) }
}

private final class Flag: Sendable {
    let isSet = Atomic(false)
}

/// Records of one partition with their offsets, until there are `count`.
func read(
    _ count: Int, of partition: TopicPartition, _ consumer: any EventLogConsumer, byteLimit: Int = 1 << 20
) async throws -> [(offset: Int64, record: Record)] {
    var all: [(Int64, Record)] = []
    let deadline = ContinuousClock.now + .seconds(30)
    while all.count < count, ContinuousClock.now < deadline {
        guard case .records(let batches) = try await consumer.next(byteLimit: byteLimit, wait: .milliseconds(100))
        else { continue }
        for batch in batches where batch.partition == partition {
            for (index, record) in batch.records.numbered { all.append((batch.baseOffset + Int64(index), record)) }
        }
    }
    return all
}

func append(_ batches: [TopicPartition: [Record]]) -> Append {
    var append = Append()
    append.batches = batches.mapValues { RecordBatch($0) }
    return append
}

func numbered(_ range: Range<Int>, _ prefix: String = "v") -> [Record] {
    range.map { Record("k\($0)", "\(prefix)\($0)") }
}
