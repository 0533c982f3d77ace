// SPDX-License-Identifier: Apache-2.0

import CKafka
import Dispatch
import EventLog
import Synchronization

/// An idempotent producer: records in, acknowledgements out.
///
/// Delivery reports come to a thread of their own, which does nothing but wait for them. What is in flight is bounded:
/// an append waits until there is room for all of it, so a source is held back by the brokers.
final class KafkaProducer: Sendable {
    let handle: KafkaHandle
    private let observer: KafkaObserver
    private let reports = DispatchQueue(label: "kafka-deliveries")
    private let room: Room
    private let statistics: LogCounters
    private let topics = Mutex<[String: Pointer]>([:])
    private let isEnding = Atomic(false)

    init(
        _ role: KafkaHandle.Role = .producer, _ location: KafkaLocation, _ observer: KafkaObserver, inFlight: Int,
        _ statistics: LogCounters
    ) throws(EventLogError) {
        handle = try KafkaHandle(role, location, observer, properties: KafkaHandle.reporting) { configuration in
            rd_kafka_conf_set_dr_msg_cb(configuration, Delivery.callback)
        }
        self.observer = observer
        self.statistics = statistics
        room = Room(limit: inFlight)
        reports.async { [self] in
            while !isEnding.load(ordering: .relaxed) { rd_kafka_poll(handle.pointer, 100) }
        }
    }

    /// Whether the producer has failed for good and must be replaced.
    var isBroken: Bool { rd_kafka_fatal_error(handle.pointer, nil, 0) != RD_KAFKA_RESP_ERR_NO_ERROR }

    /// Sends batches; returns when all of their records are acknowledged, throws when one was not.
    func send(_ batches: [TopicPartition: RecordBatch]) async throws(EventLogError) {
        let count = batches.values.reduce(0) { $0 + $1.count }
        if count == 0 { return }
        let bytes = batches.values.reduce(0) { $0 + $1.bytes.count }
        await room.enter(bytes)
        let start = ContinuousClock.now
        let delivery = Delivery(count: count)
        for (partition, batch) in batches where !batch.isEmpty {
            enqueue(batch, partition, delivery)
        }
        let failure = await delivery.settled()
        room.leave(bytes)
        if failure == RD_KAFKA_RESP_ERR_NO_ERROR {
            statistics.delivered(records: count, bytes: bytes, in: ContinuousClock.now - start)
            return
        }
        statistics.failed()
        if isBroken {
            throw EventLogError(
                .failed, "the Kafka producer has failed and is started again: \(Self.fatalError(handle))",
                isRetriable: true)
        }
        throw KafkaFailure.error(failure, "\(count) records were not all acknowledged", trouble: observer.trouble)
    }

    /// Hands records to librdkafka, which copies them; what it refuses is settled at once.
    private func enqueue(_ batch: RecordBatch, _ partition: TopicPartition, _ delivery: Delivery) {
        let topic = self.topic(partition.topic)
        var messages: [rd_kafka_message_t] = []
        messages.reserveCapacity(min(batch.count, Self.chunk))
        batch.forEach { index, key, value in
            var message = rd_kafka_message_t()
            message.payload = UnsafeMutableRawPointer(mutating: value.baseAddress)
            message.len = value.count
            message.key = UnsafeMutableRawPointer(mutating: key.baseAddress)
            message.key_len = key.count
            message._private = delivery.token
            messages.append(message)
            if messages.count == Self.chunk || index == batch.count - 1 {
                let sent = rd_kafka_produce_batch(
                    topic.value, partition.partition, RD_KAFKA_MSG_F_COPY, &messages, CInt(messages.count))
                if Int(sent) < messages.count {
                    for message in messages where message.err != RD_KAFKA_RESP_ERR_NO_ERROR {
                        delivery.settle(message.err)
                    }
                }
                messages.removeAll(keepingCapacity: true)
            }
        }
    }

    /// Messages handed over in one call.
    private static let chunk = 4096

    private func topic(_ name: String) -> Pointer {
        topics.withLock { topics in
            if let topic = topics[name] { return topic }
            let topic = Pointer(rd_kafka_topic_new(handle.pointer, name, nil))
            topics[name] = topic
            return topic
        }
    }

    private static func fatalError(_ handle: KafkaHandle) -> String {
        var text = [CChar](repeating: 0, count: 256)
        _ = rd_kafka_fatal_error(handle.pointer, &text, text.count)
        return KafkaHandle.text(text)
    }

    /// Waits for what is in flight, at most `patience`, and ends the producer. What was not acknowledged by then fails.
    func close(patience: CInt = 3000) async {
        await KafkaEventLog.blocking {
            let handle = self.handle.pointer
            rd_kafka_flush(handle, patience)
            rd_kafka_purge(handle, RD_KAFKA_PURGE_F_QUEUE | RD_KAFKA_PURGE_F_INFLIGHT)
            rd_kafka_flush(handle, 1000)
            self.isEnding.store(true, ordering: .relaxed)
            self.reports.sync {}
            self.topics.withLock { topics in
                for topic in topics.values { rd_kafka_topic_destroy(topic.value) }
                topics = [:]
            }
            self.handle.destroy()
        }
    }
}

/// The reports that one append waits for. librdkafka holds a reference to it until the last has come.
private final class Delivery: Sendable {
    private struct State {
        var left: Int
        var failure = RD_KAFKA_RESP_ERR_NO_ERROR
        var waiter: UnsafeContinuation<rd_kafka_resp_err_t, Never>?
    }

    private let state: Mutex<State>

    init(count: Int) {
        state = Mutex(State(left: count))
        // Given back with the last report.
        _ = Unmanaged.passRetained(self)
    }

    /// What librdkafka keeps with each message.
    var token: UnsafeMutableRawPointer { Unmanaged.passUnretained(self).toOpaque() }

    func settle(_ error: rd_kafka_resp_err_t) {
        let (isLast, waiter, failure) = state.withLock { state in
            state.left -= 1
            if error != RD_KAFKA_RESP_ERR_NO_ERROR && state.failure == RD_KAFKA_RESP_ERR_NO_ERROR {
                state.failure = error
            }
            return (state.left == 0, state.waiter, state.failure)
        }
        guard isLast else { return }
        waiter?.resume(returning: failure)
        Unmanaged.passUnretained(self).release()
    }

    /// The first failure, when all reports have come.
    func settled() async -> rd_kafka_resp_err_t {
        await withUnsafeContinuation { continuation in
            let done: rd_kafka_resp_err_t? = state.withLock { state in
                if state.left == 0 { return state.failure }
                state.waiter = continuation
                return nil
            }
            if let done { continuation.resume(returning: done) }
        }
    }

    /// On the thread that polls the producer.
    static let callback:
        @convention(c) (OpaquePointer?, UnsafePointer<rd_kafka_message_t>?, UnsafeMutableRawPointer?) -> Void = {
            _, message, _ in
            guard let message, let token = message.pointee._private else { return }
            Unmanaged<Delivery>.fromOpaque(token).takeUnretainedValue().settle(message.pointee.err)
        }
}

/// How many bytes are in flight. Whoever wants in waits for room; one append may always be inside, however large.
private final class Room: Sendable {
    private struct State {
        var used = 0
        var waiters: [(bytes: Int, continuation: UnsafeContinuation<Void, Never>)] = []
    }

    private let limit: Int
    private let state = Mutex(State())

    init(limit: Int) { self.limit = limit }

    func enter(_ bytes: Int) async {
        await withUnsafeContinuation { continuation in
            let fits = state.withLock { state in
                // In turn: a small append does not overtake a large one.
                if state.waiters.isEmpty && (state.used == 0 || state.used + bytes <= limit) {
                    state.used += bytes
                    return true
                }
                state.waiters.append((bytes, continuation))
                return false
            }
            if fits { continuation.resume() }
        }
    }

    func leave(_ bytes: Int) {
        let admitted = state.withLock { state in
            state.used -= bytes
            var admitted: [UnsafeContinuation<Void, Never>] = []
            while let next = state.waiters.first, state.used == 0 || state.used + next.bytes <= limit {
                state.used += next.bytes
                admitted.append(next.continuation)
                state.waiters.removeFirst()
            }
            return admitted
        }
        for continuation in admitted { continuation.resume() }
    }
}
