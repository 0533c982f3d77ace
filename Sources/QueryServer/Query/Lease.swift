// SPDX-License-Identifier: Apache-2.0
// A request's hold on a connection to PostgreSQL.

import EventLoop
import HTTP
import Postgres

/// Lends a connection to one request, and takes the client's hang-up to PostgreSQL.
struct Lease {
    let pool: ConnectionPool
    let request: Request
    /// When the request's statements are cancelled.
    let deadline: MonotonicTime
    /// The time from the request's beginning to ``deadline``, for messages.
    let timeout: Duration

    /// Whether the client has hung up.
    private final class Presence { var isGone = false }

    private let presence = Presence()

    init(_ pool: ConnectionPool, _ request: Request, timeout: Duration) {
        self.pool = pool
        self.request = request
        self.timeout = timeout
        deadline = request.received + timeout
    }

    /// Calls `body` with a connection of the pool.
    ///
    /// - Throws: ``QueryError`` for what PostgreSQL refuses, `HTTPError.clientGone` when nobody waits for the answer
    ///   any more, and what else `body` throws.
    func run(_ response: ResponseWriter, _ body: (PostgresConnection) async throws -> Void) async throws {
        let presence = presence
        request.onClientGone { presence.isGone = true }
        let connection = try await checkout()
        // A client that reads slowly keeps the connection no longer than the query may run.
        response.deadline = deadline
        let cancel = connection.cancelHandle
        request.onClientGone {
            presence.isGone = true
            cancel.cancel()
        }
        do {
            try checkPresence()
            try await body(connection)
        } catch {
            response.deadline = .distantFuture
            await pool.giveBack(connection)
            if presence.isGone { throw HTTPError.clientGone }
            if let error = error as? PostgresError {
                throw QueryError(error, timeout: timeout.inNanoseconds / 1_000_000)
            }
            throw error
        }
        response.deadline = .distantFuture
        await pool.giveBack(connection)
    }

    /// To be called between two statements: a cancel request reaches a running one only.
    func checkPresence() throws(HTTPError) {
        if presence.isGone { throw .clientGone }
    }

    private func checkout() async throws(QueryError) -> PostgresConnection {
        do throws(PostgresError) {
            return try await pool.checkout(deadline: min(deadline, .now() + pool.settings.checkoutTimeout))
        } catch {
            throw QueryError(unavailable: error)
        }
    }
}
