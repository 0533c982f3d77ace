// SPDX-License-Identifier: Apache-2.0

import EventLog
import Market
import Postgres
import Records

/// What every sink writes beside its data, inside the same transaction: rejected records, what became of the records of
/// each ingest run, and how each source is. Loop-bound; used by one task.
struct SinkLedger {
    let connection: PostgresConnection
    /// The log that rejected records stand in.
    let logID: String
    /// After how long without an event a source counts as silent.
    var silence = SilencePolicy()

    /// Keeps what was refused; what is there already is kept and counted once.
    func keep(_ rejected: [RejectedRecord], _ counts: inout RunCounts) async throws {
        if rejected.isEmpty { return }
        let kept = try await connection.query(
            SinkStatements.keepRejected,
            [
                .textArray(rejected.map(\.topic)), .int64Array(rejected.map { Int64($0.partition) }),
                .int64Array(rejected.map(\.offset)), .textArray(rejected.map(\.reason)),
                .textArray(rejected.map(\.message)), .textArray(rejected.map { Self.hex($0.original) }),
                .optionalTextArray(rejected.map { Self.storable($0.symbol) }),
                .optionalTextArray(rejected.map { Self.storable($0.source) }), .int64Array(rejected.map(\.run)),
                .timestampArray(rejected.map(\.rejectedAt.microseconds)), .text(logID, as: .text),
            ])
        for row in kept { counts.count(rejected: try row.int64(0), try row.string(1)) }
    }

    /// Adds to the counters of runs.
    func write(_ counts: RunCounts) async throws {
        let runs = counts.runs.sorted { $0.key < $1.key }
        if runs.isEmpty { return }
        try await connection.query(
            SinkStatements.countRuns,
            [
                .int64Array(runs.map(\.key)), .optionalTextArray(runs.map(\.value.source)),
                .int64Array(runs.map { Int64($0.value.accepted) }),
                .int64Array(runs.map { Int64($0.value.alreadyThere) }),
                .int64Array(runs.map { Int64($0.value.rejected.values.reduce(0, +)) }),
                .int64Array(runs.map { Int64($0.value.bars) }),
            ])
        let reasons = runs.flatMap { run in
            run.value.rejected.sorted { $0.key < $1.key }.map { (run: run.key, reason: $0.key, count: $0.value) }
        }
        if reasons.isEmpty { return }
        try await connection.query(
            SinkStatements.countRejects,
            [
                .int64Array(reasons.map(\.run)), .textArray(reasons.map(\.reason)),
                .int64Array(reasons.map { Int64($0.count) }),
            ])
    }

    /// Brings `ops.sources` up to date. Last in a transaction, and every source in one statement: all sinks lock these
    /// rows, in one order.
    func note(_ sources: [String: SourceNews]) async throws {
        if sources.isEmpty { return }
        let sorted = sources.sorted { $0.key < $1.key }
        let news = sorted.map(\.value)
        try await connection.query(
            SinkStatements.noteSources,
            [
                .textArray(sorted.map(\.key)), .optionalInt64Array(news.map { $0.lastEvent?.microseconds }),
                .optionalInt64Array(news.map { $0.lastIngested?.microseconds }), .int64Array(news.map(\.events)),
                .optionalTextArray(news.map { $0.state?.name }),
                .optionalInt64Array(news.map { $0.state?.ts.microseconds }),
                .optionalTextArray(news.map { $0.error?.message }),
                .optionalInt64Array(news.map { $0.error?.ts.microseconds }),
                .int64Array(sorted.map { silence.limit(of: $0.key).inMicroseconds }),
            ])
    }

    /// PostgreSQL has no zero byte in text.
    static func storable(_ text: String?) -> String? {
        text.map { $0.utf8.contains(0) ? String($0.map { $0 == "\0" ? "\u{FFFD}" : $0 }) : $0 }
    }

    static func hex(_ bytes: [UInt8]) -> String {
        let digits = Array("0123456789abcdef".utf8)
        return String(unsafeUninitializedCapacity: 2 * bytes.count) { text in
            for (index, byte) in bytes.enumerated() {
                text[2 * index] = digits[Int(byte >> 4)]
                text[2 * index + 1] = digits[Int(byte & 15)]
            }
            return 2 * bytes.count
        }
    }
}

/// What a transaction learned of a source.
struct SourceNews {
    /// Newest event time, and when the newest event arrived; nil without an event.
    var lastEvent: Timestamp?
    var lastIngested: Timestamp?
    var events: Int64 = 0
    /// Its connection: `connected` or `disconnected`, and since when.
    var state: (name: String, ts: Timestamp)?
    var error: (message: String, ts: Timestamp)?

    /// Takes note of an event that the store did not have; one without a time says nothing of how fresh the source's events
    /// are.
    @inline(__always)
    mutating func note(event: Timestamp?, ingested: Timestamp) {
        if let event { lastEvent = max(lastEvent ?? event, event) }
        lastIngested = max(lastIngested ?? ingested, ingested)
        events += 1
    }
}

/// After how long without an event a source counts as silent: one time for all, and others for some.
package struct SilencePolicy: Sendable, Equatable {
    package var limit: Duration
    package var exceptions: [String: Duration]

    package init(limit: Duration = .seconds(60), exceptions: [String: Duration] = [:]) {
        self.limit = limit
        self.exceptions = exceptions
    }

    /// The time of one source.
    package func limit(of source: String) -> Duration { exceptions[source] ?? limit }
}
