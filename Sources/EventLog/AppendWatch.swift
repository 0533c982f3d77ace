// SPDX-License-Identifier: Apache-2.0

import GRDB

/// Looks for what other processes write, and tells the consumers that wait: one question for all of them, which reads no
/// table.
final class AppendWatch: Sendable {
    /// How often it looks.
    static let interval = Duration.milliseconds(20)

    private let task: Task<Void, Never>

    /// Begins to watch the database at `path`, on a connection of its own, until the object goes.
    init(_ path: String, telling signal: AppendSignal) throws {
        var configuration = Configuration()
        configuration.label = "event-log-watch"
        configuration.readonly = true
        let database = try DatabaseQueue(path: path, configuration: configuration)
        let first = try database.unsafeRead(Self.version)
        task = Task.detached {
            var seen: Int64? = first
            while true {
                do { try await Task.sleep(for: Self.interval) } catch { return }
                // Where it cannot be asked, they look for themselves, and say what is wrong.
                let version = try? await database.unsafeRead(Self.version)
                if version == nil || version != seen { signal.send() }
                seen = version
            }
        }
    }

    deinit { task.cancel() }

    /// What changes whenever another connection has committed. Source: https://sqlite.org/pragma.html#pragma_data_version
    @Sendable private static func version(_ database: Database) throws -> Int64? {
        try Int64.fetchOne(database.cachedStatement(sql: "PRAGMA data_version"))
    }
}
