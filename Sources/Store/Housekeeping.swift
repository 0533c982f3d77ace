// SPDX-License-Identifier: Apache-2.0

import EventLoop
package import Logging
package import Postgres

/// What a store needs now and then to go on for years: tomorrow's partitions, and an end for what is old.
///
/// Any number of processes may do it; each step takes only locks that neither readers nor the sink notice, for a
/// bounded time, and leaves what it could not do for the next time.
package struct Housekeeping: Sendable {
    package struct Configuration: Sendable {
        /// Days for which partitions are made ahead.
        package var daysAhead = 2
        /// How long trades are kept; nil for ever. A day goes when all of it is older.
        package var tradeRetention: Duration?
        /// How long bars of less than a minute are kept; nil for ever. Never less than trades: their bars could not be
        /// corrected any more.
        package var fineBarRetention: Duration?
        /// How long rejected records and events of sources are kept; nil for ever.
        package var opsRetention: Duration?

        package init(
            tradeRetention: Duration? = nil, fineBarRetention: Duration? = nil, opsRetention: Duration? = nil
        ) {
            self.tradeRetention = tradeRetention
            self.fineBarRetention = fineBarRetention
            self.opsRetention = opsRetention
        }
    }

    /// What one round did.
    package struct Outcome: Sendable, Equatable {
        package var partitionsMade = 0
        package var partitionsDropped: [String] = []
        package var barsDeleted = 0
        /// Rejected records and events of sources.
        package var recordsDeleted = 0
        package var liveBatchesDeleted = 0
    }

    /// Rows deleted in one transaction.
    private static let chunk = 10_000
    /// How long what live subscribers are told is kept: who was away for longer has missed it.
    private static let liveAge = Duration.seconds(900)
    /// How long a statement may wait for a lock.
    private static let lockTimeout = "5s"

    private let configuration: Configuration
    private let logger: Logger

    package init(_ configuration: Configuration, logger: Logger) {
        self.configuration = configuration
        self.logger = logger
    }

    /// One round, on the writer's connection. The clock is the store's own.
    @discardableResult
    package func run(_ connection: PostgresConnection) async throws -> Outcome {
        try await connection.query("SELECT set_config('lock_timeout', '\(Self.lockTimeout)', false)")
        var outcome = Outcome()
        outcome.partitionsMade = try await makeAhead(connection)
        if let retention = configuration.tradeRetention {
            outcome.partitionsDropped = try await dropTrades(connection, olderThan: retention)
        }
        if let retention = configuration.fineBarRetention {
            outcome.barsDeleted = try await deleteBars(connection, olderThan: retention)
        }
        if let retention = configuration.opsRetention {
            for (table, time) in [("ops.rejected_records", "rejected_at"), ("ops.source_events", "ts")] {
                outcome.recordsDeleted += try await deleteRows(of: table, time, connection, olderThan: retention)
            }
        }
        outcome.liveBatchesDeleted = try await connection.query(
            "SELECT ops.trim_live_batches($1 * interval '1 second')", [.int64(Self.liveAge.components.seconds)],
            deadline: .now() + .seconds(60))[0].int(0)
        // Where nothing is committed, time passes all the same: what is an hour old is settled.
        try await connection.query("SELECT ops.note_change('infinity')")
        return outcome
    }

    private func makeAhead(_ connection: PostgresConnection) async throws -> Int {
        try await connection.query(
            """
            SELECT ops.ensure_trade_partitions(array(
                SELECT ((now() AT TIME ZONE 'UTC')::date + ahead) FROM generate_series(0, $1::int) AS ahead))
            """, [.int64(Int64(configuration.daysAhead))])[0].int(0)
    }

    // MARK: Trades

    /// First closes the days, so that nothing is added to them any more (a trade of theirs is refused from then on),
    /// then takes their partitions away: detached without a lock that anybody would wait for, and dropped.
    private func dropTrades(_ connection: PostgresConnection, olderThan retention: Duration) async throws -> [String] {
        let closed = try await connection.query(
            """
            INSERT INTO ops.retention AS r (dataset, dropped_before)
            VALUES ('trades', date_trunc('day', now() AT TIME ZONE 'UTC' - $1 * interval '1 second') AT TIME ZONE 'UTC')
            ON CONFLICT (dataset) DO UPDATE
                SET dropped_before = greatest(r.dropped_before, excluded.dropped_before), updated_at = now()
            RETURNING to_char(dropped_before AT TIME ZONE 'UTC', 'YYYYMMDD')
            """, [.int64(retention.components.seconds)])[0].string(0)
        try await finishDetaching(connection)
        var dropped: [String] = []
        // Those that were detached in a round that did not come to its end, too.
        let old = try await connection.query(
            """
            SELECT c.relname, c.relispartition FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
            WHERE n.nspname = 'market' AND c.relkind = 'r' AND c.relname ~ '^trades_[0-9]{8}$'
                AND substr(c.relname, 8) < $1
            ORDER BY c.relname
            """, [.text(closed, as: .text)])
        for row in old {
            let name = try row.string(0)
            if try row.bool(1) {
                try await connection.query(
                    "ALTER TABLE market.trades DETACH PARTITION market.\(name) CONCURRENTLY",
                    deadline: .now() + .seconds(60))
            }
            try await drop(name, connection)
            logger.notice("trades of a day have been dropped", metadata: ["partition": "\(name)"])
            dropped.append(name)
        }
        return dropped
    }

    /// Drops a day that has been detached. Its rows are gone since then, so only now may they count as changed: whoever
    /// was told of it before could have read them still. Dying in between leaves the table, and so this, to the next round.
    private func drop(_ name: String, _ connection: PostgresConnection) async throws {
        try await connection.transaction { connection in
            try await connection.query("DROP TABLE market.\(name)", deadline: .now() + .seconds(60))
            try await connection.query("SELECT ops.note_change('-infinity')")
        }
    }

    /// A detachment that was interrupted must be finished before another can begin.
    private func finishDetaching(_ connection: PostgresConnection) async throws {
        let pending = try await connection.query(
            """
            SELECT c.relname FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
            WHERE i.inhparent = 'market.trades'::regclass AND i.inhdetachpending
            """)
        for row in pending {
            try await connection.query(
                "ALTER TABLE market.trades DETACH PARTITION market.\(try row.string(0)) FINALIZE",
                deadline: .now() + .seconds(60))
        }
    }

    // MARK: Bars

    private func deleteBars(_ connection: PostgresConnection, olderThan retention: Duration) async throws -> Int {
        let before = try await connection.query(
            """
            INSERT INTO ops.retention AS r (dataset, dropped_before)
            VALUES ('fine_bars', date_trunc('day', now() AT TIME ZONE 'UTC' - $1 * interval '1 second') AT TIME ZONE 'UTC')
            ON CONFLICT (dataset) DO UPDATE
                SET dropped_before = greatest(r.dropped_before, excluded.dropped_before), updated_at = now()
            RETURNING dropped_before
            """, [.int64(retention.components.seconds)], resultFormat: .binary)[0].timestamp(0)
        var deleted = 0
        while !Task.isCancelled {
            let count = try await connection.query(
                "SELECT ops.delete_fine_bars($1, $2::int)", [.timestamp(before), .int64(Int64(Self.chunk))],
                deadline: .now() + .seconds(60))[0].int(0)
            deleted += count
            if count < Self.chunk { break }
        }
        return deleted
    }

    // MARK: Records for operators

    /// Deletes the rows of a table whose `time` is older, the oldest first, a chunk at a time. Rows that another process
    /// is deleting are left to it.
    private func deleteRows(
        of table: String, _ time: String, _ connection: PostgresConnection, olderThan retention: Duration
    ) async throws -> Int {
        var deleted = 0
        while !Task.isCancelled {
            let count = try await connection.query(
                """
                DELETE FROM \(table) WHERE ctid = ANY (ARRAY(
                    SELECT ctid FROM \(table) WHERE \(time) < now() - $1 * interval '1 second' ORDER BY \(time)
                    LIMIT $2 FOR UPDATE SKIP LOCKED))
                """, [.int64(retention.components.seconds), .int64(Int64(Self.chunk))],
                deadline: .now() + .seconds(60)
            ).affectedRows
            deleted += count
            if count < Self.chunk { break }
        }
        return deleted
    }
}
