// SPDX-License-Identifier: Apache-2.0

import CKafka
import EventLog
import Glibc

/// Questions to the brokers and what creates topics. All of it blocks.
enum KafkaAdmin {
    /// The partition count of every topic.
    static func describe(
        _ handle: KafkaHandle, _ timeout: CInt, _ observer: KafkaObserver
    ) -> Result<[String: Int], EventLogError> {
        var metadata: UnsafePointer<rd_kafka_metadata>?
        // All topics: asking for one by name would create it.
        let error = rd_kafka_metadata(handle.pointer, 1, nil, &metadata, timeout)
        guard error == RD_KAFKA_RESP_ERR_NO_ERROR, let metadata else {
            return .failure(KafkaFailure.error(error, "cannot list the topics", trouble: observer.trouble))
        }
        defer { rd_kafka_metadata_destroy(metadata) }
        var counts: [String: Int] = [:]
        for index in 0..<Int(metadata.pointee.topic_cnt) {
            let topic = metadata.pointee.topics[index]
            if topic.partition_cnt > 0 { counts[String(cString: topic.topic)] = Int(topic.partition_cnt) }
        }
        return .success(counts)
    }

    /// Makes a broker that creates topics when they are asked about create one.
    static func touch(_ topic: String, _ handle: KafkaHandle) {
        guard let pointer = rd_kafka_topic_new(handle.pointer, topic, nil) else { return }
        defer { rd_kafka_topic_destroy(pointer) }
        var metadata: UnsafePointer<rd_kafka_metadata>?
        if rd_kafka_metadata(handle.pointer, 0, pointer, &metadata, 5000) == RD_KAFKA_RESP_ERR_NO_ERROR {
            rd_kafka_metadata_destroy(metadata)
        }
    }

    /// Creates topics; returns the names of those that the broker cannot create in this way.
    static func create(
        _ topics: [TopicSettings], replication: Int?, _ handle: KafkaHandle
    ) -> Result<[String], EventLogError> {
        if !hasController(handle) { return .success(topics.map(\.name)) }
        var requests: [OpaquePointer?] = topics.map { topic in
            let request = rd_kafka_NewTopic_new(
                topic.name, CInt(topic.partitions), CInt(replication ?? -1), nil, 0)
            if topic.retention == .zero {
                rd_kafka_NewTopic_set_config(request, "cleanup.policy", "compact")
            } else {
                let milliseconds = topic.retention.components.seconds * 1000
                rd_kafka_NewTopic_set_config(request, "retention.ms", String(milliseconds))
            }
            return request
        }
        defer { rd_kafka_NewTopic_destroy_array(&requests, requests.count) }
        let options = rd_kafka_AdminOptions_new(handle.pointer, RD_KAFKA_ADMIN_OP_CREATETOPICS)
        defer { rd_kafka_AdminOptions_destroy(options) }
        rd_kafka_AdminOptions_set_request_timeout(options, 15_000, nil, 0)
        let queue = rd_kafka_queue_new(handle.pointer)
        defer { rd_kafka_queue_destroy(queue) }
        rd_kafka_CreateTopics(handle.pointer, &requests, requests.count, options, queue)
        guard let event = rd_kafka_queue_poll(queue, 20_000) else {
            return .failure(EventLogError(.failed, "creating topics took too long", isRetriable: true))
        }
        defer { rd_kafka_event_destroy(event) }
        let error = rd_kafka_event_error(event)
        if error == RD_KAFKA_RESP_ERR__UNSUPPORTED_FEATURE || error == RD_KAFKA_RESP_ERR_UNSUPPORTED_VERSION {
            return .success(topics.map(\.name))
        }
        if error != RD_KAFKA_RESP_ERR_NO_ERROR {
            return .failure(KafkaFailure.error(error, "cannot create topics"))
        }
        var count = 0
        let results = rd_kafka_CreateTopics_result_topics(rd_kafka_event_CreateTopics_result(event), &count)
        for index in 0..<count {
            guard let result = results?[index] else { continue }
            let error = rd_kafka_topic_result_error(result)
            // Another process was faster.
            if error == RD_KAFKA_RESP_ERR_NO_ERROR || error == RD_KAFKA_RESP_ERR_TOPIC_ALREADY_EXISTS { continue }
            let name = rd_kafka_topic_result_name(result).map { String(cString: $0) } ?? "?"
            return .failure(KafkaFailure.error(error, "cannot create topic \(name)"))
        }
        return .success([])
    }

    /// Whether one of the brokers is the controller, which creates topics. librdkafka's mock cluster has none.
    private static func hasController(_ handle: KafkaHandle) -> Bool {
        let controller = rd_kafka_controllerid(handle.pointer, 5000)
        var metadata: UnsafePointer<rd_kafka_metadata>?
        guard rd_kafka_metadata(handle.pointer, 1, nil, &metadata, 5000) == RD_KAFKA_RESP_ERR_NO_ERROR, let metadata
        else { return true }
        defer { rd_kafka_metadata_destroy(metadata) }
        return (0..<Int(metadata.pointee.broker_cnt)).contains { metadata.pointee.brokers[$0].id == controller }
    }

    /// The end of each partition of a topic.
    static func ends(
        of topic: String, _ count: Int, _ handle: KafkaHandle, _ timeout: CInt, _ observer: KafkaObserver
    ) -> Result<[Int64], EventLogError> {
        var ends: [Int64] = []
        for partition in 0..<count {
            var low: Int64 = 0
            var high: Int64 = 0
            let error = rd_kafka_query_watermark_offsets(handle.pointer, topic, Int32(partition), &low, &high, timeout)
            if error != RD_KAFKA_RESP_ERR_NO_ERROR {
                return .failure(
                    KafkaFailure.error(
                        error, "cannot ask for the end of \(topic)/\(partition)", trouble: observer.trouble))
            }
            ends.append(high)
        }
        return .success(ends)
    }

    /// How long ago the first record from an offset on was appended, in each of some partitions.
    static func ages(
        of positions: [TopicPartition: Int64], _ handle: KafkaHandle, _ timeout: Duration, _ observer: KafkaObserver
    ) -> Result<[TopicPartition: Duration], EventLogError> {
        rd_kafka_poll_set_consumer(handle.pointer)
        let list = KafkaPartitions(positions.keys) { positions[$0] ?? 0 }
        list.withPointer { _ = rd_kafka_assign(handle.pointer, $0) }
        defer { rd_kafka_consumer_close(handle.pointer) }
        var ages: [TopicPartition: Duration] = [:]
        var waiting = Set(positions.keys)
        let deadline = ContinuousClock.now + timeout
        while !waiting.isEmpty && ContinuousClock.now < deadline {
            guard let message = rd_kafka_consumer_poll(handle.pointer, 200) else { continue }
            defer { rd_kafka_message_destroy(message) }
            guard let topic = message.pointee.rkt.flatMap({ rd_kafka_topic_name($0) }) else { continue }
            let partition = TopicPartition(String(cString: topic), message.pointee.partition)
            switch message.pointee.err {
            case RD_KAFKA_RESP_ERR__PARTITION_EOF: waiting.remove(partition)
            case RD_KAFKA_RESP_ERR_NO_ERROR where waiting.remove(partition) != nil:
                var type = RD_KAFKA_TIMESTAMP_NOT_AVAILABLE
                let appended = rd_kafka_message_timestamp(message, &type)
                if appended >= 0 { ages[partition] = .milliseconds(max(0, milliseconds() - appended)) }
            default: break
            }
        }
        if waiting.isEmpty { return .success(ages) }
        return .failure(
            KafkaFailure.error(
                RD_KAFKA_RESP_ERR__TIMED_OUT, "cannot read what waits in the log", trouble: observer.trouble))
    }

    /// The time by this machine's clock, since 1970.
    private static func milliseconds() -> Int64 {
        var time = timespec()
        clock_gettime(CLOCK_REALTIME, &time)
        return Int64(time.tv_sec) * 1000 + Int64(time.tv_nsec) / 1_000_000
    }

    /// The value of the last record of `source` in a partition, which is read from its beginning to its end.
    static func position(
        of source: String, _ partition: TopicPartition, _ handle: KafkaHandle, _ timeout: Duration,
        _ observer: KafkaObserver
    ) -> Result<Int64?, EventLogError> {
        rd_kafka_poll_set_consumer(handle.pointer)
        let list = KafkaPartitions([partition]) { _ in Int64(RD_KAFKA_OFFSET_BEGINNING) }
        list.withPointer { _ = rd_kafka_assign(handle.pointer, $0) }
        defer { rd_kafka_consumer_close(handle.pointer) }
        var position: Int64?
        let deadline = ContinuousClock.now + timeout
        while ContinuousClock.now < deadline {
            guard let message = rd_kafka_consumer_poll(handle.pointer, 200) else { continue }
            defer { rd_kafka_message_destroy(message) }
            if message.pointee.err == RD_KAFKA_RESP_ERR__PARTITION_EOF { return .success(position) }
            if message.pointee.err != RD_KAFKA_RESP_ERR_NO_ERROR { continue }
            let key = UnsafeRawBufferPointer(start: message.pointee.key, count: message.pointee.key_len)
            let value = UnsafeRawBufferPointer(start: message.pointee.payload, count: message.pointee.len)
            if key.elementsEqual(source.utf8) { position = Int64(String(decoding: value, as: UTF8.self)) }
        }
        return .failure(
            KafkaFailure.error(
                RD_KAFKA_RESP_ERR__TIMED_OUT, "cannot read \(partition.topic)", trouble: observer.trouble))
    }
}
