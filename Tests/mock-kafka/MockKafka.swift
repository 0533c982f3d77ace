// SPDX-License-Identifier: Apache-2.0
//
// librdkafka's mock cluster as a program, for tests in any language: prints the bootstrap servers, then takes commands
// on standard input, one a line, each answered with "ok" or "error: …". It ends with its input, so that no cluster
// outlives a test.
//
//   topic NAME PARTITIONS [REPLICAS]      creates a topic (the mock has no CreateTopics)
//   down BROKER|all · up BROKER|all       takes brokers off the network and puts them back
//   rtt BROKER|all MILLISECONDS           makes brokers slow
//   leader TOPIC PARTITION BROKER         moves a partition (the mock never does by itself)
//   coordinator group|transaction NAME BROKER
//   errors API CODE…                      the next requests of that kind get these errors, at whichever broker
//   delay BROKER API MILLISECONDS [CODE]  the next request of that kind at a broker is answered late, with an error
//
// API is the number of the Kafka protocol: 0 Produce, 1 Fetch, 2 ListOffsets, 3 Metadata, 8 OffsetCommit, 11 JoinGroup,
// 12 Heartbeat. CODE is a number of librdkafka's: 6 not leader, 7 timed out, -195 connection cut.

import CKafka
import Glibc

@main
struct MockKafka {
    static func main() {
        var brokers = 3
        if CommandLine.arguments.count > 1, let count = Int(CommandLine.arguments[1]), (1...10).contains(count) {
            brokers = count
        }
        var message = [CChar](repeating: 0, count: 512)
        guard let handle = rd_kafka_new(RD_KAFKA_PRODUCER, rd_kafka_conf_new(), &message, message.count),
            let cluster = rd_kafka_mock_cluster_new(handle, Int32(brokers)),
            let bootstraps = rd_kafka_mock_cluster_bootstraps(cluster)
        else {
            say("error: the cluster does not start")
            exit(1)
        }
        say(String(cString: bootstraps))
        while let line = readLine() {
            if let failure = run(line.split(separator: " ").map { String($0) }, cluster) {
                say("error: \(failure)")
            } else {
                say("ok")
            }
        }
        rd_kafka_mock_cluster_destroy(cluster)
        rd_kafka_destroy(handle)
    }

    private static func say(_ text: String) {
        print(text)
        fflush(nil)
    }

    /// Runs a command; returns what is wrong with it.
    private static func run(_ words: [String], _ cluster: OpaquePointer) -> String? {
        func number(_ index: Int) -> Int32? {
            guard index < words.count else { return nil }
            return words[index] == "all" ? -1 : Int32(words[index])
        }
        let error: rd_kafka_resp_err_t
        switch words.first {
        case "topic" where words.count >= 3:
            guard let partitions = number(2) else { return "how many partitions?" }
            error = rd_kafka_mock_topic_create(cluster, words[1], partitions, number(3) ?? 1)
        case "down" where words.count == 2:
            guard let broker = number(1) else { return "which broker?" }
            error = rd_kafka_mock_broker_set_down(cluster, broker)
        case "up" where words.count == 2:
            guard let broker = number(1) else { return "which broker?" }
            error = rd_kafka_mock_broker_set_up(cluster, broker)
        case "rtt" where words.count == 3:
            guard let broker = number(1), let milliseconds = number(2) else { return "which broker, how long?" }
            error = rd_kafka_mock_broker_set_rtt(cluster, broker, milliseconds)
        case "leader" where words.count == 4:
            guard let partition = number(2), let broker = number(3) else { return "which partition and broker?" }
            error = rd_kafka_mock_partition_set_leader(cluster, words[1], partition, broker)
        case "coordinator" where words.count == 4:
            guard let broker = number(3) else { return "which broker?" }
            error = rd_kafka_mock_coordinator_set(cluster, words[1], words[2], broker)
        case "errors" where words.count >= 3:
            let codes = words.dropFirst(2).compactMap { Int32($0) }
            guard let api = Int16(words[1]), codes.count == words.count - 2 else { return "which errors?" }
            let errors = codes.map { rd_kafka_resp_err_t(rawValue: $0) }
            rd_kafka_mock_push_request_errors_array(cluster, api, errors.count, errors)
            error = RD_KAFKA_RESP_ERR_NO_ERROR
        case "delay" where words.count >= 4:
            guard let broker = number(1), let api = Int16(words[2]), let milliseconds = number(3) else {
                return "which broker and request, how long?"
            }
            error = tapedeck_mock_push_error_rtt(
                cluster, broker, api, rd_kafka_resp_err_t(rawValue: number(4) ?? 0), milliseconds)
        default: return "no such command"
        }
        return error == RD_KAFKA_RESP_ERR_NO_ERROR ? nil : String(cString: rd_kafka_err2str(error))
    }
}
