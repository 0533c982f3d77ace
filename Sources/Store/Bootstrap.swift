// SPDX-License-Identifier: Apache-2.0

import EventLoop
package import Postgres

extension PrivatePostgres {
    /// Waits until the server answers, makes the roles and the database if they are missing, and applies the
    /// migrations. A server that recovers from a crash may take its time; after `limit` this gives up. Returns the
    /// migrations that were missing.
    package func prepare(
        _ connect: (ConnectionSettings) async throws(PostgresError) -> PostgresConnection,
        within limit: Duration = .seconds(300)
    ) async throws -> [String] {
        let admin = try await connectWhenReady(connect, within: limit)
        do {
            for statement in bootstrapStatements { try await admin.query(statement) }
            let database = try await admin.query("SELECT FROM pg_database WHERE datname = 'tapedeck'")
            if database.isEmpty {
                try await admin.query(
                    "CREATE DATABASE tapedeck OWNER tapedeck_writer", deadline: .now() + .seconds(60))
            }
        } catch {
            admin.close()
            throw error
        }
        admin.close()
        let writer = try await connect(ConnectionSettings(localWriterURL, applicationName: "tapedeck migrate"))
        defer { writer.close() }
        let applied = try await Migrator.migrate(writer)
        // After the migrations, whose search path it continues.
        let inside = try await connect(ConnectionSettings(adminURL(database: "tapedeck")))
        defer { inside.close() }
        try await inside.query(Hardening.superuserScript)
        return applied
    }

    private func connectWhenReady(
        _ connect: (ConnectionSettings) async throws(PostgresError) -> PostgresConnection, within limit: Duration
    ) async throws -> PostgresConnection {
        let deadline = MonotonicTime.now() + limit
        while true {
            let settings = try ConnectionSettings(adminURL, applicationName: "tapedeck bootstrap")
            do throws(PostgresError) {
                let connection = try await connect(settings)
                noteAnswer()
                return connection
            } catch {
                // Not there yet, or starting up (57P03): anything else will not get better.
                let isStarting = error.sqlState == nil || error.sqlState == "57P03" || error.sqlState == "53300"
                guard isStarting else {
                    throw StoreError("PostgreSQL refuses us: \(error.message)", hint: "see \(directory)/postgres.log")
                }
                if MonotonicTime.now() > deadline || Task.isCancelled {
                    throw StoreError(
                        "PostgreSQL does not answer: \(error.message)", hint: "see \(directory)/postgres.log")
                }
            }
            try await Task.sleep(for: .milliseconds(20))
        }
    }
}
