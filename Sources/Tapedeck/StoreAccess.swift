// SPDX-License-Identifier: Apache-2.0

import ArgumentParser
import EventLoop
import Glibc
import Logging
import Postgres

/// The writer's database as a one-shot command reaches it: the one that the settings name, else that of the `up` that runs
/// on the data folder.
struct StoreAccess: Sendable {
    let settings: Settings
    let connection: ConnectionSettings
    let loop: EventLoop
    let logger: Logger

    init(_ flags: SettingFlags, application: String) throws {
        var settings = try flags.resolve()
        if settings.text(.databaseURL) == nil {
            let home = try DataFolder(settings.string(.dataDir))
            guard let connections = home.readConnections() else {
                throw ValidationError(
                    "nothing runs on \(home.path); start it with 'tapedeck up', or set TAPEDECK_DATABASE_URL")
            }
            settings = try Settings(
                flags: flags.given, environment: Settings.processEnvironment.merging(connections) { _, new in new })
        }
        self.settings = settings
        connection = try ConnectionSettings(settings.string(.databaseURL), applicationName: application)
        logger = Runtime.logger(settings)
        loop = try EventLoop(name: "store")
        loop.start()
    }

    /// Runs `body` with a connection, on its loop.
    func run<T: Sendable>(_ body: @escaping @Sendable (PostgresConnection) async throws -> T) async throws -> T {
        let (settings, loop) = (connection, loop)
        return try await Task(executorPreference: loop) {
            let connection = try await PostgresConnection.connect(settings, on: loop)
            defer { connection.close() }
            return try await body(connection)
        }.value
    }
}
