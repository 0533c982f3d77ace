// SPDX-License-Identifier: Apache-2.0

import CKafka
import EventLog

/// librdkafka's list of partitions with offsets, and its memory.
final class KafkaPartitions {
    private let pointer: UnsafeMutablePointer<rd_kafka_topic_partition_list_t>

    init(
        _ partitions: some Collection<TopicPartition>,
        offset: (TopicPartition) -> Int64 = { _ in Int64(RD_KAFKA_OFFSET_INVALID) }
    ) {
        pointer = rd_kafka_topic_partition_list_new(CInt(partitions.count))
        for partition in partitions {
            rd_kafka_topic_partition_list_add(pointer, partition.topic, partition.partition).pointee.offset =
                offset(partition)
        }
    }

    /// Calls `body` with the list; the pointer does not outlive the call.
    func withPointer<T>(_ body: (UnsafeMutablePointer<rd_kafka_topic_partition_list_t>) -> T) -> T {
        withExtendedLifetime(self) { body(pointer) }
    }

    deinit { rd_kafka_topic_partition_list_destroy(pointer) }

    struct Element {
        var partition: TopicPartition
        var offset: Int64
        var error: rd_kafka_resp_err_t
    }

    var elements: [Element] { withPointer { Self.read($0) } }

    static func read(_ list: UnsafeMutablePointer<rd_kafka_topic_partition_list_t>) -> [Element] {
        (0..<Int(list.pointee.cnt)).map { index in
            let element = list.pointee.elems[index]
            return Element(
                partition: TopicPartition(String(cString: element.topic), element.partition), offset: element.offset,
                error: element.err)
        }
    }
}
