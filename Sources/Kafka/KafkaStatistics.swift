// SPDX-License-Identifier: Apache-2.0

import FoundationEssentials

/// What librdkafka tells of one of its clients every five seconds: the part that operators watch. The names and units are
/// those of librdkafka's STATISTICS.md.
package struct KafkaStatistics: Decodable, Sendable, Equatable {
    /// Messages that a producer holds, waiting or on their way, and bytes of them.
    package var queuedMessages: Int
    package var queuedBytes: Int
    /// Messages and bytes of them sent and received since the client was made.
    package var sentMessages: Int
    package var sentBytes: Int
    package var receivedMessages: Int
    package var receivedBytes: Int
    /// By address; the groups' coordinators and what is only known from the settings have names of their own.
    package var brokers: [String: Broker]
    /// Of a member of a group.
    package var group: Group?

    enum CodingKeys: String, CodingKey {
        case queuedMessages = "msg_cnt", queuedBytes = "msg_size", sentMessages = "txmsgs", sentBytes = "txmsg_bytes"
        case receivedMessages = "rxmsgs", receivedBytes = "rxmsg_bytes", brokers, group = "cgrp"
    }

    package struct Broker: Decodable, Sendable, Equatable {
        /// −1 for one that is only known from the settings.
        package var nodeID: Int
        package var state: String
        package var requests: Int
        package var sendErrors: Int
        package var repetitions: Int
        package var receiveErrors: Int
        package var timeouts: Int
        package var disconnects: Int
        /// From a request to its answer.
        package var roundTrip: Window
        /// How long the broker held answers back because of its quotas; milliseconds.
        package var throttle: Window

        enum CodingKeys: String, CodingKey {
            case nodeID = "nodeid", state, requests = "tx", sendErrors = "txerrs", repetitions = "txretries"
            case receiveErrors = "rxerrs", timeouts = "req_timeouts", disconnects, roundTrip = "rtt", throttle
        }

        package var isUp: Bool { state == "UP" }
    }

    /// A rolling window of values; microseconds unless said otherwise.
    package struct Window: Decodable, Sendable, Equatable {
        package var average: Int
        package var p99: Int
        package var count: Int

        enum CodingKeys: String, CodingKey { case average = "avg", p99, count = "cnt" }
    }

    package struct Group: Decodable, Sendable, Equatable {
        package var rebalances: Int
        package var assignedPartitions: Int

        enum CodingKeys: String, CodingKey { case rebalances = "rebalance_cnt", assignedPartitions = "assignment_size" }
    }

    /// The statistics of a JSON text of librdkafka's; nil if it is none.
    init?(json: UnsafeRawBufferPointer) {
        guard let statistics = try? JSONDecoder().decode(Self.self, from: Data(json)) else { return nil }
        self = statistics
    }
}
