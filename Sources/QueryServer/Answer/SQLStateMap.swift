// SPDX-License-Identifier: Apache-2.0
// From what PostgreSQL says to an HTTP status.

import Postgres

/// The status for an SQLSTATE (PostgreSQL 15 docs, appendix A).
///
/// A timeout is 504 and not 408: 408 says that the client was slow, and some clients repeat the request by themselves.
func httpStatus(sqlState: String) -> UInt16 {
    switch sqlState {
    case "42501", "25006": return 403  // no privilege; a write in a read-only transaction
    case "57014": return 504  // cancelled: at the deadline, or by an operator
    case "55P03": return 503  // a lock was not to be had
    case "23505", "23P01": return 409
    default: break
    }
    switch sqlState.prefix(2) {
    case "28", "40", "53", "57": return 503  // credentials, conflicts with recovery, resources
    case "58", "XX", "F0", "HV": return 500
    default: return 400  // what the statement did, or made a function raise
    }
}

extension PostgresError {
    /// The SQLSTATE, but for a value larger than PostgreSQL can hold: it calls that an internal error (XX000) where it is
    /// a limit of its own that the statement has passed (54000).
    var effectiveSQLState: String? {
        sqlState == "XX000" && message.hasPrefix("invalid memory alloc request size") ? "54000" : sqlState
    }
}

extension QueryError {
    /// The failure of a statement.
    ///
    /// - Parameter timeout: the deadline of the statement in milliseconds, for the message.
    init(_ error: PostgresError, timeout: Int64) {
        switch error.kind {
        case .timeout:
            self.init(
                504, "57014", "the query ran longer than \(timeout) ms",
                hint: "Ask for less (a range of ts, a limit), or raise timeout_ms.")
        case .connection, .overloaded:
            self.init(unavailable: error)
        case .usage:
            // COPY, or a value that cannot be sent (a zero byte).
            let isCopy = error.message.hasPrefix("COPY")
            self.init(
                400, "unsupported_statement", isCopy ? "COPY is not supported" : error.message,
                hint: isCopy ? "Send the SELECT alone; format=csv gives CSV." : error.hint)
        case .cancelled, .server:
            let state = error.effectiveSQLState ?? "57014"
            self.init(
                httpStatus(sqlState: state), state, error.message, details: error.detail, hint: error.hint,
                position: error.position)
            if status == 503 { retryAfterSeconds = 1 }
            if state == "42601" && message.hasPrefix("cannot insert multiple commands") {
                message = "more than one statement in a query"
                hint = "Send one statement in each request."
            }
            // "bind message supplies 1 parameters, but prepared statement "q/7" requires 2": of our own making.
            if state == "08P01" && message.hasPrefix("bind message supplies") {
                let numbers = message.split { !$0.isNumber }
                message = "the statement takes \(numbers.last ?? "more") params, and has \(numbers.first ?? "fewer")"
                hint = "Bind values with params: {\"query\": \"… $1\", \"params\": [1]}."
            }
        }
    }

    /// No connection: says nothing of addresses and roles, which the reason might. Whoever waits for one has a place, so that
    /// it is only being made; when that takes too long, the database does not answer.
    init(unavailable error: PostgresError) {
        let isBusy = error.kind == .overloaded
        self.init(
            503, isBusy ? "overloaded" : error.sqlState ?? "08006",
            isBusy ? "too many queries at once" : "the database is not available",
            hint: "Try again in a moment.", retryAfterSeconds: 1)
    }
}
