// SPDX-License-Identifier: Apache-2.0

import CKafka
import Dispatch
package import EventLog
package import Logging
import Synchronization

/// The log of many machines: Kafka, through librdkafka.
///
/// An append returns when all replicas in sync have acknowledged its records. There is no transaction over an append:
/// records first, then the group's offsets and the source's position, so a crash in between repeats records and loses
/// none. A record that is repeated has the same identity, and counts once in the store.
///
/// Whatever blocks in librdkafka runs on threads of its own, never on the caller's.
package final class KafkaEventLog: EventLog {
    package struct Configuration: Sendable {
        package var location: KafkaLocation
        /// Replicas of a topic when it is created; nil is the broker's own setting.
        package var replication: Int?
        /// Most bytes of records that are sent and not acknowledged; a single append may be larger.
        package var inFlight = 32 << 20
        /// How long a question to the brokers may take.
        package var timeout = Duration.seconds(10)

        package init(_ location: KafkaLocation, replication: Int? = nil) {
            self.location = location
            self.replication = replication
        }
    }

    /// The topic that remembers how far sources have been read: compacted, the last record of a source counts.
    static let positionsTopic = "tapedeck.positions"

    package let identity: String
    private let configuration: Configuration
    private let logger: Logger
    private let observer: KafkaObserver
    private let members = KafkaMembers()
    private let counters: LogCounters
    private let state: Mutex<State>

    private struct State {
        var producer: KafkaProducer
        var isClosed = false
        /// Partition counts of the topics that have been asked about.
        var topics: [String: Int] = [:]
        /// Clients that ask for a group's offsets, by group.
        var groups: [String: KafkaHandle] = [:]
    }

    /// Where blocking calls are made. Each of our callers makes one at a time, which bounds the threads.
    static let calls = DispatchQueue(label: "kafka-calls", attributes: .concurrent)

    static func blocking<T: Sendable>(_ body: @escaping @Sendable () -> T) async -> T {
        await withUnsafeContinuation { continuation in calls.async { continuation.resume(returning: body()) } }
    }

    /// Connects to the brokers, within 30 seconds.
    package static func open(
        _ configuration: Configuration, logger: Logger
    ) async throws(EventLogError) -> KafkaEventLog {
        let observer = KafkaObserver(logger)
        let counters = LogCounters()
        let producer = try KafkaProducer(
            .producer, configuration.location, observer, inFlight: configuration.inFlight, counters)
        let id: String? = await blocking {
            // Looked at in steps, so that a wrong password is said at once.
            for _ in 0..<15 {
                if let id = rd_kafka_clusterid(producer.handle.pointer, 2000) {
                    defer { rd_kafka_mem_free(producer.handle.pointer, id) }
                    return String(cString: id)
                }
                if let trouble = observer.trouble, !KafkaFailure.error(trouble, "").isRetriable { break }
            }
            return nil
        }
        guard let id else {
            let trouble = observer.trouble ?? RD_KAFKA_RESP_ERR__TRANSPORT
            await producer.close(patience: 0)
            var failure = KafkaFailure.error(
                trouble, "no broker of kafka://\(configuration.location.brokers) answers", trouble: trouble)
            failure.code = .unavailable
            throw failure
        }
        return KafkaEventLog(configuration, logger, observer, producer, counters, clusterID: id)
    }

    private init(
        _ configuration: Configuration, _ logger: Logger, _ observer: KafkaObserver, _ producer: KafkaProducer,
        _ counters: LogCounters, clusterID: String
    ) {
        self.configuration = configuration
        self.logger = logger
        self.observer = observer
        self.counters = counters
        identity = "kafka:\(clusterID)"
        state = Mutex(State(producer: producer))
    }

    package var statistics: LogStatistics { counters.snapshot }

    /// How the clients of librdkafka do: the producer, and each member of a group by its name. None in the first seconds.
    package var clientStatistics: [(client: String, statistics: KafkaStatistics)] {
        let clients = [("producer", observer.statistics)] + members.all.map { ($0.group, $0.statistics) }
        return clients.compactMap { name, statistics in statistics.map { (name, $0) } }
    }

    private var timeout: CInt { CInt(configuration.timeout.components.seconds * 1000) }

    // MARK: Topics

    package func createTopics(_ topics: [TopicSettings]) async throws(EventLogError) {
        let positions = TopicSettings(name: Self.positionsTopic, partitions: 1, retention: .zero)
        var present = try await describe()
        let missing = (topics + [positions]).filter { present[$0.name] == nil }
        if !missing.isEmpty {
            try await create(missing)
            // A broker says yes before all of them know.
            for _ in 0..<50 {
                present = try await describe()
                if missing.allSatisfy({ present[$0.name] != nil }) { break }
                try? await Task.sleep(for: .milliseconds(100))
            }
        }
        state.withLock { $0.topics = present }
    }

    private func create(_ topics: [TopicSettings]) async throws(EventLogError) {
        let handle = try producer().handle
        let replication = configuration.replication
        let outcome: Result<[String], EventLogError> = await Self.blocking {
            KafkaAdmin.create(topics, replication: replication, handle)
        }
        let untold = try outcome.get()
        if untold.isEmpty { return }
        // It makes a topic when it is asked about one, with its own settings.
        logger.notice(
            "the brokers cannot be told how to create topics and make them their own way",
            metadata: ["topics": "\(untold.joined(separator: ","))"])
        for name in untold { await Self.blocking { KafkaAdmin.touch(name, handle) } }
    }

    /// The partition count of every topic, without creating any.
    private func describe() async throws(EventLogError) -> [String: Int] {
        let handle = try producer().handle
        let timeout = self.timeout
        let observer = self.observer
        return try await Self.blocking { KafkaAdmin.describe(handle, timeout, observer) }.get()
    }

    package func partitionCount(of topic: String) async throws(EventLogError) -> Int {
        if let count = state.withLock({ $0.topics[topic] }) { return count }
        let present = try await describe()
        state.withLock { $0.topics = present }
        guard let count = present[topic] else {
            throw EventLogError(.unknownTopic, "there is no topic \(topic): create it first")
        }
        return count
    }

    private func check(_ partitions: some Sequence<TopicPartition>) async throws(EventLogError) {
        for partition in partitions {
            let count = try await partitionCount(of: partition.topic)
            guard (0..<count).contains(Int(partition.partition)) else {
                throw EventLogError(
                    .unknownTopic, "topic \(partition.topic) has no partition \(partition.partition)")
            }
        }
    }

    // MARK: Writing

    private func producer() throws(EventLogError) -> KafkaProducer {
        let (producer, isClosed) = state.withLock { ($0.producer, $0.isClosed) }
        if isClosed { throw EventLogError(.closed, "the log is closed") }
        return producer
    }

    package func append(_ append: Append) async throws(EventLogError) {
        try await check(append.batches.keys)
        if let consumed = append.consumed { try await check(consumed.offsets.keys) }
        try await send(append.batches)
        if let (source, position) = append.sourcePosition {
            var batch = RecordBatch()
            batch.append(key: source) { $0 += Array(String(position).utf8) }
            try await send([TopicPartition(Self.positionsTopic, 0): batch])
        }
        if let (group, offsets) = append.consumed { try await commit(group, offsets) }
    }

    private func send(_ batches: [TopicPartition: RecordBatch]) async throws(EventLogError) {
        let producer = try self.producer()
        do throws(EventLogError) {
            try await producer.send(batches)
        } catch {
            if producer.isBroken { try await replace(producer) }
            throw error
        }
    }

    /// A producer that failed for good is replaced, by whoever notices first.
    private func replace(_ broken: KafkaProducer) async throws(EventLogError) {
        let fresh = try KafkaProducer(
            .producer, configuration.location, observer, inFlight: configuration.inFlight, counters)
        let unused = state.withLock { state in
            if state.producer !== broken || state.isClosed { return fresh }
            state.producer = fresh
            return broken
        }
        await unused.close(patience: 0)
    }

    /// Commits as the member of this process, whose membership the broker checks: one that has lost its partitions
    /// cannot move their offsets. What it sent is sent again by the new owner.
    private func commit(_ group: String, _ offsets: [TopicPartition: Int64]) async throws(EventLogError) {
        if offsets.isEmpty { return }
        let member = members.member(of: group)
        let handle: KafkaHandle
        if let member { handle = member.handle } else { handle = try asking(group) }
        let error = await Self.blocking {
            withExtendedLifetime((member, handle)) {
                KafkaPartitions(offsets.keys) { offsets[$0] ?? 0 }.withPointer {
                    rd_kafka_commit(handle.pointer, $0, 0)
                }
            }
        }
        switch error {
        case RD_KAFKA_RESP_ERR_NO_ERROR: member?.committed(offsets)
        case RD_KAFKA_RESP_ERR_ILLEGAL_GENERATION, RD_KAFKA_RESP_ERR_UNKNOWN_MEMBER_ID,
            RD_KAFKA_RESP_ERR_REBALANCE_IN_PROGRESS:
            logger.info(
                "partitions are being handed over; what was sent twice counts once", metadata: ["group": "\(group)"])
            member?.owe(offsets)
        default:
            throw KafkaFailure.error(error, "cannot commit offsets of group \(group)", trouble: observer.trouble)
        }
    }

    // MARK: Reading

    /// A client that belongs to no group and asks for the offsets of one.
    private func asking(_ group: String) throws(EventLogError) -> KafkaHandle {
        if let handle = state.withLock({ $0.groups[group] }) { return handle }
        let handle = try KafkaHandle(.consumer(group: group), configuration.location, observer)
        return state.withLock { state in
            if let other = state.groups[group] { return other }
            state.groups[group] = handle
            return handle
        }
    }

    package func committedOffset(group: String, partition: TopicPartition) async throws(EventLogError) -> Int64 {
        try await check([partition])
        let handle = try asking(group)
        let timeout = self.timeout
        let observer = self.observer
        let outcome: Result<Int64, EventLogError> = await Self.blocking {
            let list = KafkaPartitions([partition])
            let error = list.withPointer { rd_kafka_committed(handle.pointer, $0, timeout) }
            let element = list.elements[0]
            let failure = error != RD_KAFKA_RESP_ERR_NO_ERROR ? error : element.error
            if failure != RD_KAFKA_RESP_ERR_NO_ERROR {
                return .failure(
                    KafkaFailure.error(failure, "cannot ask for offsets of group \(group)", trouble: observer.trouble))
            }
            return .success(max(0, element.offset))
        }
        return try outcome.get()
    }

    package func endOffsets(of topic: String) async throws(EventLogError) -> [Int64] {
        let count = try await partitionCount(of: topic)
        let handle = try producer().handle
        let timeout = self.timeout
        let observer = self.observer
        let outcome: Result<[Int64], EventLogError> = await Self.blocking {
            KafkaAdmin.ends(of: topic, count, handle, timeout, observer)
        }
        return try outcome.get()
    }

    /// By the timestamps of the records: of their producer, unless the topic says that the broker's count.
    package func ages(
        of positions: [TopicPartition: Int64]
    ) async throws(EventLogError) -> [TopicPartition: Duration] {
        if positions.isEmpty { return [:] }
        try await check(positions.keys)
        let handle = try KafkaHandle(
            .consumer(group: Self.positionsTopic), configuration.location, observer,
            // One record of each partition is wanted, not what would fill the memory of a consumer.
            properties: [("fetch.message.max.bytes", "1024"), ("queued.min.messages", "1")])
        let timeout = configuration.timeout
        let observer = self.observer
        let outcome: Result<[TopicPartition: Duration], EventLogError> = await Self.blocking {
            defer { handle.destroy() }
            return KafkaAdmin.ages(of: positions, handle, timeout, observer)
        }
        return try outcome.get()
    }

    package func sourcePosition(_ source: String) async throws(EventLogError) -> Int64? {
        _ = try await partitionCount(of: Self.positionsTopic)
        let handle = try KafkaHandle(.consumer(group: Self.positionsTopic), configuration.location, observer)
        let timeout = configuration.timeout
        let observer = self.observer
        let outcome: Result<Int64?, EventLogError> = await Self.blocking {
            defer { handle.destroy() }
            return KafkaAdmin.position(of: source, TopicPartition(Self.positionsTopic, 0), handle, timeout, observer)
        }
        return try outcome.get()
    }

    package func consumer(group: String, topics: [String]) async throws(EventLogError) -> any EventLogConsumer {
        for topic in topics { _ = try await partitionCount(of: topic) }
        _ = try producer()
        return try KafkaConsumer(group: group, topics: topics, configuration.location, logger, members)
    }

    /// Nothing to do: brokers delete what is older than a topic's `retention.ms` themselves.
    @discardableResult
    package func enforceRetention(stored: [TopicPartition: Int64]) async throws(EventLogError) -> Int { 0 }

    package func close() async {
        let (producer, groups) = state.withLock { state in
            defer { state.groups = [:] }
            let producer = state.isClosed ? nil : state.producer
            state.isClosed = true
            return (producer, Array(state.groups.values))
        }
        await producer?.close()
        await Self.blocking { for handle in groups { handle.destroy() } }
    }
}
