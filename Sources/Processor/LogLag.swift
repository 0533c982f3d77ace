// SPDX-License-Identifier: Apache-2.0

package import EventLog
package import Postgres

/// How far the processing of one partition has come.
package struct PartitionLag: Sendable {
    package var partition: TopicPartition
    /// The offset after the last record of the log.
    package var end: Int64
    /// The offset before which everything is done: validated, for a staging topic; in the store, for the others.
    package var done: Int64
    /// How long the oldest record that is not done has been in the log; nil where there is none, or nobody has asked.
    package var age: Duration?

    /// Records that are not done yet.
    package var records: Int64 { max(0, end - done) }
}

extension Processor {
    /// The lag of every partition of the topics: staging ones by the validator's offsets, the others by the store's.
    package static func lags(
        of topics: [TopicRoles], log: any EventLog, store: PostgresConnection
    ) async throws -> [PartitionLag] {
        let stored = try await storedOffsets(of: log, store)
        var lags: [PartitionLag] = []
        for roles in topics {
            for topic in [roles.staging, roles.valid, roles.rejected] {
                for (number, end) in try await log.endOffsets(of: topic).enumerated() {
                    let partition = TopicPartition(topic, Int32(number))
                    let done =
                        topic == roles.staging
                        ? try await log.committedOffset(group: validatorGroup, partition: partition)
                        : stored[partition] ?? 0
                    lags.append(PartitionLag(partition: partition, end: end, done: done))
                }
            }
        }
        return lags
    }

    /// Finds out the ages of what is not done. Of partitions in which all is done that was there at an earlier look, nobody
    /// is asked: what waits there has come since.
    ///
    /// - Parameters:
    ///   - ends: of the partitions, at the earlier look.
    ///   - unread: topics that nobody reads, in which records wait on purpose.
    package static func addAges(
        to lags: inout [PartitionLag], log: any EventLog, since ends: [TopicPartition: Int64] = [:],
        unread: Set<String> = []
    ) async throws {
        var positions: [TopicPartition: Int64] = [:]
        for lag in lags where lag.records > 0 && !unread.contains(lag.partition.topic) {
            if let end = ends[lag.partition], lag.done >= end { continue }
            positions[lag.partition] = lag.done
        }
        if positions.isEmpty { return }
        let ages = try await log.ages(of: positions)
        for index in lags.indices { lags[index].age = ages[lags[index].partition] }
    }

    /// The topics that nobody reads where posts are not scored.
    package static func unread(readsPosts: Bool) -> Set<String> { readsPosts ? [] : [TopicRoles(kind: "posts").valid] }

    /// Records of the log that the store does not have yet, staged ones included.
    package static func lag(_ topics: TopicRoles, log: any EventLog, store: PostgresConnection) async throws -> Int64 {
        try await lags(of: [topics], log: log, store: store).reduce(0) { $0 + $1.records }
    }

    /// Up to which offset the store has each partition of the log.
    package static func storedOffsets(
        of log: any EventLog, _ store: PostgresConnection
    ) async throws -> [TopicPartition: Int64] {
        var stored: [TopicPartition: Int64] = [:]
        let rows = try await store.query(
            "SELECT topic, partition, next_offset FROM ops.log_offsets WHERE log_id = $1",
            [.text(log.identity, as: .text)])
        for row in rows {
            stored[TopicPartition(try row.string(0), Int32(try row.int64(1)))] = try row.int64(2)
        }
        return stored
    }
}

/// Tells when what stands in a log at some moment has reached the store: what was staged has been validated, then what
/// that became has been stored. Counts of records cannot tell, where a log may hold a record twice.
package struct LogDrain {
    private let topics: TopicRoles
    /// Ends that must be reached: of the staging topic, then of the others.
    private var staged: [Int64]?
    private var sorted: [TopicPartition: Int64]?

    package init(_ topics: TopicRoles) { self.topics = topics }

    /// Whether everything that was in the log at the first call is in the store.
    package mutating func isDone(_ log: any EventLog, _ store: PostgresConnection) async throws -> Bool {
        let staged: [Int64]
        if let known = self.staged { staged = known } else { staged = try await log.endOffsets(of: topics.staging) }
        self.staged = staged
        if sorted == nil {
            for (number, end) in staged.enumerated() where end > 0 {
                let partition = TopicPartition(topics.staging, Int32(number))
                if try await log.committedOffset(group: Processor.validatorGroup, partition: partition) < end {
                    return false
                }
            }
            var ends: [TopicPartition: Int64] = [:]
            for topic in [topics.valid, topics.rejected] {
                for (number, end) in try await log.endOffsets(of: topic).enumerated() where end > 0 {
                    ends[TopicPartition(topic, Int32(number))] = end
                }
            }
            sorted = ends
        }
        let stored = try await Processor.storedOffsets(of: log, store)
        return sorted?.allSatisfy { (stored[$0.key] ?? 0) >= $0.value } ?? false
    }
}
