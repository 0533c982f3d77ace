// SPDX-License-Identifier: Apache-2.0

import CLibPQ
package import EventLoop

/// How a transaction sees others and what it may do (PostgreSQL 15 docs, SET TRANSACTION).
package struct TransactionMode: Sendable, Equatable {
    package enum Isolation: String, Sendable {
        case readCommitted = "READ COMMITTED"
        case repeatableRead = "REPEATABLE READ"
        case serializable = "SERIALIZABLE"
    }

    /// Nil leaves it to `default_transaction_isolation`.
    package var isolation: Isolation?
    package var readOnly: Bool

    package init(isolation: Isolation? = nil, readOnly: Bool = false) {
        self.isolation = isolation
        self.readOnly = readOnly
    }

    /// What the session's defaults say.
    package static let standard = TransactionMode()
    package static let readOnly = TransactionMode(readOnly: true)

    var beginStatement: String {
        var text = "BEGIN"
        if let isolation { text += " ISOLATION LEVEL \(isolation.rawValue)" }
        if readOnly { text += " READ ONLY" }
        return text
    }
}

extension PostgresConnection {
    /// Opens a transaction. ``transaction(_:deadline:_:)`` is the way that cannot forget to end it.
    package func begin(_ mode: TransactionMode = .standard, deadline: MonotonicTime? = nil) async throws(PostgresError)
    {
        try await script(mode.beginStatement, deadline: deadline)
    }

    /// Commits. Throws kind `.server`, 25P02, if a statement of the transaction had failed: the server then answers
    /// COMMIT by rolling back, and does not call it an error.
    package func commit(deadline: MonotonicTime? = nil) async throws(PostgresError) {
        let results = try await script("COMMIT", deadline: deadline)
        if results.last?.commandTag == "ROLLBACK" {
            throw PostgresError(
                .server, "the transaction was rolled back, since a statement in it had failed", sqlState: "25P02")
        }
    }

    /// Runs the last statement of a transaction and commits, in one exchange with the server (libpq's pipeline mode,
    /// PostgreSQL 15 docs, 34.5): between the locks that the statement takes and their end lies nothing of ours. If either
    /// fails, nothing is committed, and the transaction is to be rolled back.
    ///
    /// - Parameters:
    ///   - sql: one statement, whose rows are nobody's business.
    ///   - parameters: the values of `$1`, `$2`, ….
    ///   - deadline: when to give up, or nil for ``ConnectionSettings/operationTimeout`` from now.
    package func commit(
        after sql: String, _ parameters: [Parameter], deadline: MonotonicTime? = nil
    ) async throws(PostgresError) {
        let operation = try await start(.statement, deadline: deadline)
        try refuseZeroByte(sql)
        try encode(parameters)
        try enterPipeline()
        try await send(operation) { handle in
            guard sendExecute(handle, sql, nil), PQsendQueryParams(handle, "COMMIT", 0, nil, nil, nil, nil, 0) == 1
            else { return 0 }
            return PQpipelineSync(handle)
        }
        try finish(try await readToSync(operation))
    }

    /// Rolls back; not stopped by a cancelled task, since it is how one cleans up.
    package func rollback(deadline: MonotonicTime? = nil) async throws(PostgresError) {
        _ = try await script("ROLLBACK", deadline: deadline, heedsTaskCancellation: false)
    }

    /// Runs `body` in a transaction: commits when it returns, rolls back when it throws, and throws what it threw.
    ///
    /// If the rollback itself fails, the connection is closed, which rolls back as well.
    package func transaction<T>(
        _ mode: TransactionMode = .standard, deadline: MonotonicTime? = nil,
        _ body: (PostgresConnection) async throws -> T
    ) async throws -> T {
        try await begin(mode, deadline: deadline)
        let value: T
        do {
            value = try await body(self)
        } catch {
            await undo("ROLLBACK")
            throw error
        }
        do {
            try await commit(deadline: deadline)
        } catch {
            // A COMMIT that was cancelled in time leaves the transaction open.
            if transactionStatus != .idle { await undo("ROLLBACK") }
            throw error
        }
        return value
    }

    /// Runs `body` in a savepoint of the transaction under way: what it did is kept when it returns and undone when it
    /// throws, after which the transaction can go on.
    package func savepoint<T>(
        deadline: MonotonicTime? = nil, _ body: (PostgresConnection) async throws -> T
    ) async throws -> T {
        // Savepoints of the same name nest: the innermost is meant.
        try await script("SAVEPOINT tapedeck", deadline: deadline)
        let value: T
        do {
            value = try await body(self)
        } catch {
            await undo("ROLLBACK TO SAVEPOINT tapedeck; RELEASE SAVEPOINT tapedeck")
            throw error
        }
        try await script("RELEASE SAVEPOINT tapedeck", deadline: deadline)
        return value
    }

    /// Undoes what is left of a transaction or savepoint, whatever state the body left the connection in.
    private func undo(_ sql: String) async {
        if !isOpen { return }
        do {
            let limit = MonotonicTime.now() + settings.drainTimeout
            if activity != .idle { activity = .abandoned }
            _ = try await script(sql, deadline: limit, heedsTaskCancellation: false)
        } catch {
            close(because: PostgresError(.connection, "closed because a rollback failed: \(error.message)"))
        }
    }
}
