// SPDX-License-Identifier: Apache-2.0

import EventLoop
import Postgres
import Schema
import Store
import TestSupport
import Testing

/// A store of any released version becomes what a new one is, with its data, while others use it.
@Suite(.serialized) struct MigrationTests {
    /// The last migration of each release so far.
    private static let released = [4, 13]

    /// What a catalogue holds: columns with types, defaults and comments, keys and checks, indexes, functions, rights.
    private static let catalogue = """
        SELECT 'column', c.oid::regclass::text, a.attname::text, format_type(a.atttypid, a.atttypmod),
            coalesce(pg_get_expr(d.adbin, d.adrelid), ''), coalesce(col_description(c.oid, a.attnum), ''), a.attnotnull::text
        FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace JOIN pg_attribute a ON a.attrelid = c.oid
        LEFT JOIN pg_attrdef d ON d.adrelid = c.oid AND d.adnum = a.attnum
        WHERE n.nspname IN ('market', 'ops', 'tapedeck_sql') AND a.attnum > 0 AND NOT a.attisdropped
            AND c.relkind IN ('r', 'p', 'v') AND NOT c.relispartition
        UNION ALL SELECT 'constraint', conrelid::regclass::text, conname::text, pg_get_constraintdef(oid), '', '', ''
        FROM pg_constraint WHERE connamespace IN ('market'::regnamespace, 'ops'::regnamespace)
            AND NOT conrelid IN (SELECT inhrelid FROM pg_inherits)
        UNION ALL SELECT 'index', indexrelid::regclass::text, pg_get_indexdef(indexrelid), '', '', '', ''
        FROM pg_index JOIN pg_class c ON c.oid = indrelid
        WHERE c.relnamespace IN ('market'::regnamespace, 'ops'::regnamespace) AND NOT c.relispartition
        UNION ALL SELECT 'function', p.oid::regprocedure::text, md5(coalesce(pg_get_function_sqlbody(p.oid), p.prosrc)),
            coalesce(obj_description(p.oid, 'pg_proc'), ''), p.proacl::text, '', ''
        FROM pg_proc p WHERE p.pronamespace IN ('ops'::regnamespace, 'tapedeck_sql'::regnamespace)
        UNION ALL SELECT 'relation', c.oid::regclass::text, c.relkind::text, c.relacl::text, coalesce(c.reloptions::text, ''),
            coalesce(obj_description(c.oid, 'pg_class'), ''), coalesce(md5(pg_get_viewdef(c.oid)), '')
        FROM pg_class c WHERE c.relnamespace IN ('market'::regnamespace, 'ops'::regnamespace)
            AND c.relkind IN ('r', 'p', 'v') AND NOT c.relispartition
        ORDER BY 1, 2, 3
        """

    private static let data = """
        SELECT ops.ensure_trade_partitions('{2024-01-02}');
        INSERT INTO market.trades (symbol, ts, source, trade_id, price, size) VALUES ('A', '2024-01-02 03:04:05Z', 's', 1, 10, 2);
        INSERT INTO ops.bar_state (symbol, timeframe, ts, open, high, low, close, volume, notional, trade_count, open_ts,
            open_id, open_source, close_ts, close_id, close_source)
        VALUES ('A', '1m', '2024-01-02 03:04Z', 10, 10, 10, 10, 2, 20, 1, '2024-01-02Z', 1, 's', '2024-01-02Z', 1, 's');
        INSERT INTO ops.sources (source, events, last_ingested_at) VALUES ('s', 1, '2024-01-02Z');
        """

    private func run<T: Sendable>(
        _ url: String, _ loop: EventLoop, _ body: @escaping @Sendable (PostgresConnection) async throws -> T
    ) async throws -> T {
        try await Task(executorPreference: loop) {
            let connection = try await PostgresConnection.connect(ConnectionSettings(url), on: loop)
            defer { connection.close() }
            return try await body(connection)
        }.value
    }

    private func rows(_ sql: String, _ connection: PostgresConnection) async throws -> [[String?]] {
        let result = try await connection.query(sql, deadline: .now() + .seconds(60))
        return try result.map { row in try result.columns.indices.map { try row.stringOrNil($0) } }
    }

    @Test(arguments: released) func `a store of a release becomes what a new one is, with its data in it`(
        version: Int
    ) async throws {
        let server = try await TestServer.shared.value
        let fresh = try await server.emptyDatabase("migrated_at_once_\(version)")
        let upgraded = try await server.emptyDatabase("migrated_from_\(version)")
        let loop = server.loop
        try await run(fresh, loop) { _ = try await Migrator.migrate($0) }
        let want = try await catalogue(fresh, loop)
        try await run(upgraded, loop) { connection in
            try await Migrator.migrate(connection, through: version)
            try await connection.script(Self.data)
        }
        try await run(upgraded, loop) { connection in
            let applied = try await Migrator.migrate(connection)
            #expect(applied.count == Migration.all.count { $0.version > version })
            #expect(try await Migrator.migrate(connection) == [])
            #expect(
                try await rows("SELECT symbol, close, trade_count FROM market.bars", connection) == [["A", "10", "1"]])
            #expect(try await rows("SELECT price FROM market.trades", connection) == [["10"]])
            #expect(try await rows("SELECT source, events FROM ops.sources", connection) == [["s", "1"]])
        }
        let have = try await catalogue(upgraded, loop)
        #expect(want.count > 200)
        #expect(have.symmetricDifference(want) == [])
    }

    private func catalogue(_ url: String, _ loop: EventLoop) async throws -> Set<[String?]> {
        // A session that begins after the migrations: they set what new sessions have.
        try await run(url, loop) { connection in
            try await connection.query("SET search_path = ''")
            return Set(try await rows(Self.catalogue, connection))
        }
    }

    @Test func `a migration waits for a table in use without keeping those behind it waiting`() async throws {
        let server = try await TestServer.shared.value
        let url = try await server.emptyDatabase("migrated_in_use")
        let loop = server.loop
        try await run(url, loop) { connection in
            try await Migrator.migrate(connection, through: 4)
            try await connection.script(Self.data)
        }
        let applied = try await withThrowingTaskGroup(of: [String].self) { group in
            let holder = try await run(url, loop) { _ in
                let holder = try await PostgresConnection.connect(ConnectionSettings(url), on: loop)
                try await holder.query("BEGIN")
                try await holder.query("SELECT count(*) FROM ops.sources")
                return Held(holder)
            }
            group.addTask { try await run(url, loop) { try await Migrator.migrate($0) } }
            // The migration stands in the queue for the lock, gives up, and comes again: in between, others pass.
            try await run(url, loop) { connection in
                var passed = 0
                while passed < 2 {
                    try await self.untilMigrationWaits(connection, loop)
                    _ = try await connection.query(
                        "SELECT count(*) FROM ops.sources", deadline: .now() + .seconds(30))
                    passed += 1
                }
            }
            try await run(url, loop) { _ in
                try await holder.connection.query("COMMIT"); holder.connection.close()
            }
            return try await group.next() ?? []
        }
        #expect(applied.count == Migration.all.count { $0.version > 4 })
    }

    /// A connection that a test hands from task to task of one loop.
    private final class Held: @unchecked Sendable {  // Rule: used on the loop's thread only.
        let connection: PostgresConnection
        init(_ connection: PostgresConnection) { self.connection = connection }
    }

    private func untilMigrationWaits(_ connection: PostgresConnection, _ loop: EventLoop) async throws {
        while true {
            let waiting = try await connection.query(
                """
                SELECT count(*) FROM pg_locks l JOIN pg_class c ON c.oid = l.relation
                WHERE NOT l.granted AND c.relname = 'sources' AND l.mode = 'AccessExclusiveLock'
                """)
            if try waiting[0].int(0) > 0 { return }
            try await loop.sleep(for: .milliseconds(20))
        }
    }
}
