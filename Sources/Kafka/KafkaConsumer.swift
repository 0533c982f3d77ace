// SPDX-License-Identifier: Apache-2.0

import CKafka
import Dispatch
import EventLog
import Logging
import Synchronization

/// A member of a Kafka consumer group.
///
/// Every call of librdkafka is made on `queue`, so that nothing blocks the caller's thread. An assignment is taken up
/// in two steps: the callback notes the partitions and ``next(byteLimit:wait:)`` reports them; the next call of it hands
/// them to librdkafka with the offsets that ``start(_:at:)`` was told, which come from the store.
///
/// Rule of `@unchecked Sendable`: the state is used on `queue`, but for `starts`, which has a lock.
final class KafkaConsumer: EventLogConsumer, @unchecked Sendable {
    let handle: KafkaHandle
    let group: String
    private let observer: KafkaObserver
    private let queue: DispatchQueue
    private let members: KafkaMembers
    private let starts = Mutex<[TopicPartition: Int64]>([:])
    /// Offsets whose commit fell into a rebalance: committed again once it is over, while the partition is still ours.
    /// Nobody else would: who keeps a partition reads nothing of it again.
    private let owed = Mutex<[TopicPartition: Int64]>([:])

    /// Events that the callback noted, oldest first.
    private var events: [ConsumerEvent] = []
    /// Partitions that the group has given us and that have not been handed to librdkafka yet; nil when there is no such
    /// gift. None at all is one, too: each rebalance that leaves a member what it has gives it nothing more, and until it
    /// has taken that, librdkafka takes part in no other.
    private var given: [TopicPartition]?
    /// The next offset to read of each partition that has been started.
    private var next: [TopicPartition: Int64] = [:]
    private var isClosed = false
    /// Whether the group has told it at least once what is its own.
    private var hasBeenAssigned = false

    init(
        group: String, topics: [String], _ location: KafkaLocation, _ logger: Logger, _ members: KafkaMembers
    ) throws(EventLogError) {
        self.group = group
        self.members = members
        let observer = KafkaObserver(logger)
        queue = DispatchQueue(label: "kafka-\(group)")
        self.observer = observer
        handle = try KafkaHandle(
            .consumer(group: group), location, observer, properties: KafkaHandle.reporting
        ) { configuration in
            rd_kafka_conf_set_rebalance_cb(configuration, Self.rebalanceCallback)
        }
        rd_kafka_poll_set_consumer(handle.pointer)
        observer.observe(self)
        members.join(self)
        let list = KafkaPartitions(topics.map { TopicPartition($0, RD_KAFKA_PARTITION_UA) })
        let error = list.withPointer { rd_kafka_subscribe(handle.pointer, $0) }
        if error != RD_KAFKA_RESP_ERR_NO_ERROR {
            members.leave(self)
            throw KafkaFailure.error(error, "cannot join group \(group)")
        }
    }

    deinit {
        // Left without a word: the group learns of it as soon as the client has ended.
        if !isClosed {
            let handle = self.handle
            let hasBeenAssigned = self.hasBeenAssigned
            let given = self.given
            queue.async {
                Self.answer(given, handle)
                Self.end(handle, hasBeenAssigned: hasBeenAssigned)
            }
        }
    }

    /// How its client does; nil in its first seconds.
    var statistics: KafkaStatistics? { observer.statistics }

    func start(_ partition: TopicPartition, at offset: Int64) { starts.withLock { $0[partition] = offset } }

    /// Notes offsets that could not be committed because the group is being rebalanced.
    func owe(_ offsets: [TopicPartition: Int64]) { owed.withLock { $0.merge(offsets) { max($0, $1) } } }

    /// Notes offsets that have been committed.
    func committed(_ offsets: [TopicPartition: Int64]) {
        owed.withLock { owed in
            for (partition, offset) in offsets where owed[partition, default: .max] <= offset { owed[partition] = nil }
        }
    }

    func next(byteLimit: Int, wait: Duration) async throws(EventLogError) -> ConsumerEvent {
        let milliseconds = CInt(
            clamping: wait.components.seconds * 1000 + wait.components.attoseconds / 1_000_000_000_000_000)
        return try await withUnsafeContinuation { continuation in
            queue.async { [self] in continuation.resume(returning: poll(byteLimit, milliseconds)) }
        }.get()
    }

    func close() async {
        await withUnsafeContinuation { continuation in
            queue.async { [self] in
                if !isClosed {
                    isClosed = true
                    members.leave(self)
                    Self.answer(given, handle)
                    given = nil
                    Self.end(handle, hasBeenAssigned: hasBeenAssigned)
                }
                continuation.resume()
            }
        }
    }

    // MARK: On the queue

    /// Takes what has been given and not been taken up: until it is, librdkafka does not end the membership, but goes on
    /// with it, and closing waits for ever. It is given back while closing.
    private static func answer(_ given: [TopicPartition]?, _ handle: KafkaHandle) {
        guard let given else { return }
        let list = KafkaPartitions(given) { _ in Int64(RD_KAFKA_OFFSET_BEGINNING) }
        if assign(list, handle) != nil { _ = assign(KafkaPartitions([]), handle) }
    }

    /// Leaves the group and ends the client.
    ///
    /// Before 2.3.0 librdkafka aborts the process when it destroys a member that its group has never given anything, not
    /// even no partitions (github.com/confluentinc/librdkafka, pull request 4381). Such a client has left its group like
    /// any other, and stays until the process ends.
    private static func end(_ handle: KafkaHandle, hasBeenAssigned: Bool) {
        rd_kafka_consumer_close(handle.pointer)
        if hasBeenAssigned || rd_kafka_version() >= 0x0203_00FF { handle.destroy() } else { handle.abandon() }
    }

    private func poll(_ byteLimit: Int, _ milliseconds: CInt) -> Result<ConsumerEvent, EventLogError> {
        if isClosed { return .failure(EventLogError(.closed, "the consumer is closed")) }
        if !events.isEmpty { return .success(events.removeFirst()) }
        if let failure = takeUp() { return .failure(failure) }
        commitOwed()
        var gathered = Gathering()
        // What is left when the first record has come is only what has been fetched already.
        var patience = milliseconds
        while gathered.bytes < byteLimit, events.isEmpty {
            guard let message = rd_kafka_consumer_poll(handle.pointer, patience) else { break }
            defer { rd_kafka_message_destroy(message) }
            if message.pointee.err == RD_KAFKA_RESP_ERR_NO_ERROR {
                take(message.pointee, &gathered)
            } else if let failure = take(problem: message.pointee, &gathered) {
                // What has come before it is read again.
                return .failure(failure)
            }
            if !gathered.isEmpty { patience = 0 }
        }
        let batches = gathered.batches.filter { next[$0.partition] != nil }
        if !batches.isEmpty { return .success(.records(batches)) }
        return .success(events.isEmpty ? .idle : events.removeFirst())
    }

    /// Commits what is owed of partitions that are still ours; what fails is tried again at the next poll.
    private func commitOwed() {
        let offsets = owed.withLock { owed in
            owed = owed.filter { next[$0.key] != nil }
            return owed
        }
        if offsets.isEmpty { return }
        let list = KafkaPartitions(offsets.keys) { offsets[$0] ?? 0 }
        let error = list.withPointer { rd_kafka_commit(handle.pointer, $0, 0) }
        if error == RD_KAFKA_RESP_ERR_NO_ERROR { committed(offsets) }
    }

    /// Hands over what the callback noted, now that it is known where to start, and moves to where else we are told.
    private func takeUp() -> EventLogError? {
        let wanted = starts.withLock { starts in
            defer { starts = [:] }
            return starts
        }
        var moved = wanted
        if let partitions = given {
            let list = KafkaPartitions(partitions) { wanted[$0] ?? Int64(RD_KAFKA_OFFSET_BEGINNING) }
            if let problem = Self.assign(list, handle) {
                return KafkaFailure.error(problem, "cannot take partitions of group \(group)")
            }
            given = nil
            for partition in partitions { moved[partition] = nil }
            for partition in partitions { next[partition] = wanted[partition] }
            let waiting = partitions.filter { wanted[$0] == nil }
            if !waiting.isEmpty {
                KafkaPartitions(waiting).withPointer { _ = rd_kafka_pause_partitions(handle.pointer, $0) }
            }
        }
        if moved.isEmpty { return nil }
        let list = KafkaPartitions(Array(moved.keys)) { moved[$0] ?? 0 }
        if let failure = KafkaFailure.take(
            list.withPointer { rd_kafka_seek_partitions(handle.pointer, $0, 5000) },
            "cannot move in group \(group)")
        {
            return failure
        }
        for (partition, offset) in moved { next[partition] = offset }
        list.withPointer { _ = rd_kafka_resume_partitions(handle.pointer, $0) }
        return nil
    }

    /// Takes partitions; returns why that cannot be.
    private static func assign(_ list: KafkaPartitions, _ handle: KafkaHandle) -> rd_kafka_resp_err_t? {
        let error: rd_kafka_resp_err_t
        if isCooperative(handle.pointer) {
            let problem = list.withPointer { rd_kafka_incremental_assign(handle.pointer, $0) }
            defer { if let problem { rd_kafka_error_destroy(problem) } }
            error = problem.map { rd_kafka_error_code($0) } ?? RD_KAFKA_RESP_ERR_NO_ERROR
        } else {
            error = list.withPointer { rd_kafka_assign(handle.pointer, $0) }
        }
        return error == RD_KAFKA_RESP_ERR_NO_ERROR ? nil : error
    }

    private static func isCooperative(_ handle: OpaquePointer) -> Bool {
        rd_kafka_rebalance_protocol(handle).map { String(cString: $0) } == "COOPERATIVE"
    }

    /// Records on their way into batches: one for each run of offsets without a gap.
    private struct Gathering {
        var batches: [FetchedBatch] = []
        var bytes = 0
        /// The place of each partition's last batch.
        var last: [TopicPartition: Int] = [:]

        var isEmpty: Bool { batches.isEmpty }
    }

    private func take(_ message: rd_kafka_message_t, _ gathered: inout Gathering) {
        let partition = partition(of: message)
        // Not ours any more, not started yet, or read before.
        guard let expected = next[partition], message.offset >= expected else { return }
        let index: Int
        if let last = gathered.last[partition], gathered.batches[last].nextOffset == message.offset {
            index = last
        } else {
            index = gathered.batches.count
            gathered.batches.append(
                FetchedBatch(partition: partition, baseOffset: message.offset, records: RecordBatch()))
            gathered.last[partition] = index
        }
        let key = UnsafeRawBufferPointer(start: message.key, count: message.key_len)
        let value = UnsafeRawBufferPointer(start: message.payload, count: message.len)
        gathered.batches[index].records.append(key: key) { $0.append(contentsOf: value) }
        gathered.bytes += key.count + value.count + 8
        next[partition] = message.offset + 1
    }

    /// What came instead of a record; nil if it is none of the caller's business.
    private func take(problem message: rd_kafka_message_t, _ gathered: inout Gathering) -> EventLogError? {
        switch message.err {
        case RD_KAFKA_RESP_ERR__PARTITION_EOF:
            let partition = partition(of: message)
            // What lies between the last record and the end holds none: the marks of transactions, aborted records.
            if let expected = next[partition], message.offset > expected {
                gathered.batches.append(
                    FetchedBatch(partition: partition, baseOffset: message.offset, records: RecordBatch()))
                gathered.last[partition] = gathered.batches.count - 1
                next[partition] = message.offset
            }
            return nil
        case RD_KAFKA_RESP_ERR__MAX_POLL_EXCEEDED, RD_KAFKA_RESP_ERR__TRANSPORT,
            RD_KAFKA_RESP_ERR__ALL_BROKERS_DOWN, RD_KAFKA_RESP_ERR__RESOLVE, RD_KAFKA_RESP_ERR__TIMED_OUT,
            RD_KAFKA_RESP_ERR_OFFSET_OUT_OF_RANGE, RD_KAFKA_RESP_ERR__AUTO_OFFSET_RESET:
            // The library mends it by itself.
            return nil
        default:
            return KafkaFailure.error(message.err, "reading in group \(group) failed")
        }
    }

    /// Names of topics, by their handles, which stay.
    private var names: [OpaquePointer: String] = [:]
    private var lastPartition: (topic: OpaquePointer?, partition: TopicPartition) = (nil, TopicPartition("", -1))

    private func partition(of message: rd_kafka_message_t) -> TopicPartition {
        guard let topic = message.rkt else { return TopicPartition("", -1) }
        if lastPartition.topic == topic && lastPartition.partition.partition == message.partition {
            return lastPartition.partition
        }
        let name = names[topic] ?? rd_kafka_topic_name(topic).map { String(cString: $0) } ?? ""
        names[topic] = name
        lastPartition = (topic, TopicPartition(name, message.partition))
        return lastPartition.partition
    }

    // MARK: Rebalances

    /// On `queue`, inside poll or close.
    private static let rebalanceCallback:
        @convention(c) (
            OpaquePointer?, rd_kafka_resp_err_t, UnsafeMutablePointer<rd_kafka_topic_partition_list_t>?,
            UnsafeMutableRawPointer?
        ) -> Void = { handle, error, list, opaque in
            guard let handle, let list, let opaque else { return }
            let observer = Unmanaged<KafkaObserver>.fromOpaque(opaque).takeUnretainedValue()
            if let consumer = observer.consumer {
                consumer.rebalance(error, list)
            } else {
                giveUp(list, handle)
            }
        }

    private static func giveUp(
        _ list: UnsafeMutablePointer<rd_kafka_topic_partition_list_t>, _ handle: OpaquePointer
    ) {
        if isCooperative(handle) {
            if let problem = rd_kafka_incremental_unassign(handle, list) { rd_kafka_error_destroy(problem) }
        } else {
            rd_kafka_assign(handle, nil)
        }
    }

    private func rebalance(
        _ error: rd_kafka_resp_err_t, _ list: UnsafeMutablePointer<rd_kafka_topic_partition_list_t>
    ) {
        let partitions = KafkaPartitions.read(list).map(\.partition)
        if error == RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS { hasBeenAssigned = true }
        if error == RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS && !isClosed {
            given = partitions
            // Sent without partitions, too: a member that stands by has been told so.
            events.append(.assigned(partitions))
            return
        }
        for partition in partitions { next[partition] = nil }
        let gone = Set(partitions)
        given?.removeAll { gone.contains($0) }
        Self.giveUp(list, handle.pointer)
        if !isClosed { events.append(.revoked(partitions)) }
    }
}

/// The members of groups that live in this process: whoever commits for a group must do it as its member.
final class KafkaMembers: Sendable {
    private struct Member {
        weak var consumer: KafkaConsumer?
        let group: String
    }

    private let members = Mutex<[Member]>([])

    func join(_ consumer: KafkaConsumer) {
        members.withLock { $0.append(Member(consumer: consumer, group: consumer.group)) }
    }

    func leave(_ consumer: KafkaConsumer) {
        members.withLock { $0.removeAll { $0.consumer == nil || $0.consumer === consumer } }
    }

    /// All of them.
    var all: [KafkaConsumer] { members.withLock { $0.compactMap(\.consumer) } }

    /// A member of `group`, to commit as.
    func member(of group: String) -> KafkaConsumer? {
        members.withLock { members in members.lazy.filter { $0.group == group }.compactMap(\.consumer).first }
    }
}
