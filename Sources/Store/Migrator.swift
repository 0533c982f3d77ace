// SPDX-License-Identifier: Apache-2.0

import EventLoop
package import Postgres
import Schema

/// Brings a database to the schema that this program knows, from whatever version it is at.
///
/// Each migration runs in one transaction with its entry in `ops.schema_migrations`; programs that start at once take
/// turns. A migration that was applied in another form, or a store from a newer program, is refused.
package enum Migrator {
    /// The version of the schema this program knows.
    package static var latestVersion: Int { Migration.all.last?.version ?? 0 }

    /// Applies what is missing; returns the names of what was applied.
    ///
    /// - Parameter version: the last migration to apply; for tests, which begin at what was released before.
    @discardableResult
    package static func migrate(
        _ connection: PostgresConnection, through version: Int = latestVersion
    ) async throws -> [String] {
        try await connection.query("SELECT pg_advisory_lock(\(lock))", deadline: .now() + .seconds(300))
        do {
            let applied = try await applyMissing(connection, through: version)
            try await connection.query(Hardening.ownerScript)
            try await connection.query("SELECT pg_advisory_unlock(\(lock))")
            return applied
        } catch {
            // Closing the session frees the lock, whatever state it is in.
            connection.close()
            throw error
        }
    }

    /// "tapedeck" in ASCII: the advisory lock of whoever migrates.
    private static let lock: Int64 = 0x7461_7065_6465_636B

    private static func applyMissing(
        _ connection: PostgresConnection, through version: Int
    ) async throws -> [String] {
        try await connection.script(
            """
            CREATE SCHEMA IF NOT EXISTS ops;
            CREATE TABLE IF NOT EXISTS ops.schema_migrations (
                version integer PRIMARY KEY, name text NOT NULL, checksum text NOT NULL,
                applied_at timestamptz NOT NULL DEFAULT now());
            """)
        let known = try await connection.query("SELECT version, checksum FROM ops.schema_migrations ORDER BY version")
        var checksums: [Int: String] = [:]
        for row in known { checksums[try row.int(0)] = try row.string(1) }
        if let newest = checksums.keys.max(), newest > latestVersion {
            throw StoreError(
                "the database is at schema version \(newest), this program knows \(latestVersion)",
                hint: "install a tapedeck at least as new as the one that migrated it")
        }
        var applied: [String] = []
        for migration in Migration.all where migration.version <= version {
            let checksum = try await checksum(of: migration, connection)
            if let known = checksums[migration.version] {
                if known != checksum {
                    throw StoreError(
                        "migration \(migration.version) (\(migration.name)) was applied to this database in another form",
                        hint: "use the tapedeck release that made it, or a fresh data folder")
                }
                continue
            }
            try await apply(migration, checksum, connection)
            applied.append(migration.name)
        }
        return applied
    }

    private static func checksum(of migration: Migration, _ connection: PostgresConnection) async throws -> String {
        try await connection.query(
            "SELECT encode(sha256(convert_to($1, 'UTF8')), 'hex')", [.text(migration.sql, as: .text)])[0].string(0)
    }

    /// Applies a migration when its locks are to be had. It waits for each a few seconds only, since everybody who
    /// comes after it in the queue for a lock waits as long; then it lets the others pass and tries again.
    private static func apply(
        _ migration: Migration, _ checksum: String, _ connection: PostgresConnection
    ) async throws {
        let patience = MonotonicTime.now() + .seconds(300)
        while true {
            do {
                return try await attempt(migration, checksum, connection)
            } catch let error as PostgresError where error.sqlState == "55P03" && MonotonicTime.now() < patience {
                try await connection.query("ROLLBACK")
                try await Task.sleep(for: .seconds(1))
            } catch {
                throw StoreError(
                    "migration \(migration.version) (\(migration.name)) failed: \(error)",
                    hint: (error as? PostgresError)?.hint)
            }
        }
    }

    /// How long a migration waits for one lock.
    private static let lockTimeout = "3s"

    private static func attempt(
        _ migration: Migration, _ checksum: String, _ connection: PostgresConnection
    ) async throws {
        try await connection.query("BEGIN")
        try await connection.query("SET LOCAL lock_timeout = '\(lockTimeout)'")
        try await connection.script(migration.sql, deadline: .now() + .seconds(600))
        try await connection.query(
            "INSERT INTO ops.schema_migrations (version, name, checksum) VALUES ($1, $2, $3)",
            [.int64(Int64(migration.version)), .text(migration.name), .text(checksum)])
        try await connection.query("COMMIT")
    }
}
