// SPDX-License-Identifier: Apache-2.0
// A request's hold on a connection to PostgreSQL.

import EventLoop
import HTTP
import Postgres

/// Lends a connection to one request, and takes the client's hang-up to PostgreSQL.
struct Lease {
    let gate: Gate
    let lane: Admission.Lane
    let query: RunningQuery
    let request: Request
    /// When the request's statements are cancelled.
    let deadline: MonotonicTime
    /// The time from the request's beginning to ``deadline``, for messages.
    let timeout: Duration

    init(_ gate: Gate, _ lane: Admission.Lane, _ query: RunningQuery, _ request: Request, timeout: Duration) {
        self.gate = gate
        self.lane = lane
        self.query = query
        self.request = request
        self.timeout = timeout
        deadline = request.received + timeout
    }

    /// Calls `body` with a connection when it is the request's turn.
    ///
    /// - Throws: ``QueryError`` for what is refused, by us or by PostgreSQL, `HTTPError.clientGone` when nobody waits
    ///   for the answer any more, and what else `body` throws.
    func run(_ response: ResponseWriter, _ body: (PostgresConnection) async throws -> Void) async throws {
        let query = query
        request.onClientGone { query.end(.clientGone) }
        // A client that reads slowly keeps the connection no longer than the query may run.
        response.deadline = deadline
        defer { response.deadline = .distantFuture }
        do {
            try await gate.run(query, in: lane, deadline: deadline, body)
        } catch let error as PostgresError {
            throw QueryError(error, timeout: timeout.inNanoseconds / 1_000_000)
        }
    }

    /// The same for a body that is filled, which may send its last piece afterwards: what is in it counts by then.
    func run(_ body: RowBody, _ work: (PostgresConnection) async throws -> Void) async throws {
        try await run(body.response) { connection in
            try await work(connection)
            body.note()
        }
    }

    /// To be called between two statements: a cancel request reaches a running one only.
    func checkGoing() throws { try query.checkGoing() }
}
