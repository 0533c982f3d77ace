// SPDX-License-Identifier: Apache-2.0

import EventLog
import Postgres

/// A sink's hold on its partitions: how far each has been taken into the store, and the epoch that fences it.
///
/// Taking over a partition raises its epoch; a transaction moves an offset only while the epoch is its own. So whoever
/// lost a partition, and does not know it yet, cannot commit. Loop-bound; used by one task.
final class FencedOffsets {
    /// Another owner has taken over a partition.
    struct Fenced: Error, CustomStringConvertible {
        var description: String { "another processor has taken over a partition" }
    }

    private struct Hold {
        var next: Int64
        var epoch: Int64
    }

    private let connection: PostgresConnection
    private let logID: String
    private let owner: String
    private var holds: [TopicPartition: Hold] = [:]

    /// - Parameters:
    ///   - logID: the log that offsets count in.
    ///   - owner: the name under which partitions are claimed, for people to read.
    init(connection: PostgresConnection, logID: String, owner: String) {
        self.connection = connection
        self.logID = logID
        self.owner = owner
    }

    /// Takes over partitions; returns where to go on in each. Waits for a transaction of the former owner.
    func claim(_ partitions: [TopicPartition]) async throws -> [TopicPartition: Int64] {
        // Sorted, so that two claimants lock rows in the same order.
        let sorted = Self.sorted(partitions)
        let rows = try await connection.query(
            SinkStatements.claim,
            [
                .textArray(sorted.map(\.topic)), .int64Array(sorted.map { Int64($0.partition) }),
                .text(owner, as: .text), .text(logID, as: .text),
            ])
        var claimed: [TopicPartition: Int64] = [:]
        for row in rows {
            let partition = TopicPartition(try row.string(0), Int32(try row.int64(1)))
            holds[partition] = Hold(next: try row.int64(2), epoch: try row.int64(3))
            claimed[partition] = try row.int64(2)
        }
        return claimed
    }

    /// Gives up partitions that belong to another member now.
    func release(_ partitions: [TopicPartition]) {
        for partition in partitions { holds[partition] = nil }
    }

    /// Moves the offsets past `batches`, inside the transaction that is under way. Done first: the rows stay locked until
    /// the end, so whoever takes over waits for us, and we learn at once if somebody has.
    ///
    /// - Throws: ``Fenced``.
    func advance(past batches: [FetchedBatch]) async throws {
        var next: [TopicPartition: Int64] = [:]
        for batch in batches { next[batch.partition] = max(next[batch.partition] ?? 0, batch.nextOffset) }
        let partitions = Self.sorted(next.keys)
        let held = partitions.compactMap { holds[$0] }
        guard held.count == partitions.count else { throw Fenced() }
        let result = try await connection.query(
            SinkStatements.advance,
            [
                .textArray(partitions.map(\.topic)), .int64Array(partitions.map { Int64($0.partition) }),
                .int64Array(held.map(\.next)), .int64Array(partitions.map { next[$0] ?? 0 }),
                .int64Array(held.map(\.epoch)),
            ])
        if result.affectedRows != partitions.count { throw Fenced() }
    }

    /// Believes what ``advance(past:)`` wrote, once it has been committed.
    func remember(_ batches: [FetchedBatch]) {
        for batch in batches {
            guard let hold = holds[batch.partition] else { continue }
            holds[batch.partition]?.next = max(hold.next, batch.nextOffset)
        }
    }

    private static func sorted(_ partitions: some Collection<TopicPartition>) -> [TopicPartition] {
        partitions.sorted { ($0.topic, $0.partition) < ($1.topic, $1.partition) }
    }
}
