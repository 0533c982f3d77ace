// SPDX-License-Identifier: Apache-2.0

import CLibPQ

/// What went wrong between us and PostgreSQL: what kind of thing, what the server said, and whether to try again.
///
/// ``description`` is safe to log: it holds the primary message and the SQLSTATE, never the connection string, the
/// SQL or its parameters, and not ``detail``, in which the server quotes row values.
package struct PostgresError: Error, Sendable, Equatable {
    /// Who is at fault, and so what the caller should do.
    package enum Kind: String, Sendable {
        /// No connection, or it broke: the statement may or may not have run.
        case connection
        /// The server refused the statement; ``PostgresError/sqlState`` says why. The connection is fine.
        case server
        /// Somebody asked the server to cancel the statement (``PostgresConnection/requestCancel()``, a cancelled task).
        case cancelled
        /// A deadline passed: ours, or the server's `statement_timeout`.
        case timeout
        /// The queue for a pooled connection is full: try later.
        case overloaded
        /// The caller used the API wrongly, or a value is not of the type asked for.
        case usage
    }

    package var kind: Kind
    /// The five characters of PostgreSQL 15 docs, appendix A, or nil when the server was not the one to complain.
    package var sqlState: String?
    /// The primary message: one line, no data values of ours.
    package var message: String
    /// What the server adds, often with values of the row concerned: not for logs that leave the house.
    package var detail: String?
    /// What the server, or we, suggest doing.
    package var hint: String?
    /// Where in the SQL text, in characters from 1.
    package var position: Int?
    /// The constraint that was violated, if one was.
    package var constraint: String?

    package init(
        _ kind: Kind, _ message: String, sqlState: String? = nil, detail: String? = nil, hint: String? = nil,
        position: Int? = nil, constraint: String? = nil
    ) {
        self.kind = kind
        self.message = message
        self.sqlState = sqlState
        self.detail = detail
        self.hint = hint
        self.position = position
        self.constraint = constraint
    }

    /// Whether the same transaction may succeed if run again from its start: a serialization failure or deadlock
    /// (40001, 40P01), a lost connection (08…), a server going down or coming up (57P01, 57P02, 57P03), too many
    /// connections (53300).
    ///
    /// After a lost connection a COMMIT may have taken effect: retry only what is idempotent.
    package var isRetriable: Bool {
        if kind == .connection || kind == .overloaded { return true }
        guard let sqlState else { return false }
        return sqlState.hasPrefix("08") || Self.retriableStates.contains(sqlState)
    }

    /// Whether a unique constraint refused the row (23505).
    package var isUniqueViolation: Bool { sqlState == "23505" }

    private static let retriableStates: Set = ["40001", "40P01", "57P01", "57P02", "57P03", "53300"]
}

extension PostgresError: CustomStringConvertible {
    package var description: String {
        var text = "\(kind.rawValue): \(message)"
        if let sqlState { text += " (SQLSTATE \(sqlState))" }
        if let position { text += " at character \(position)" }
        return text
    }
}

extension PostgresError {
    /// The field codes of `PG_DIAG_*` in postgres_ext.h (character macros, which Swift does not import).
    private enum Field: Character {
        /// Not translated, whatever lc_messages says.
        case severity = "V"
        case sqlState = "C"
        case message = "M"
        case detail = "D"
        case hint = "H"
        case position = "P"
        case constraint = "n"

        func read(_ result: OpaquePointer) -> String? {
            PQresultErrorField(result, CInt(rawValue.asciiValue!)).map { String(cString: $0) }
        }
    }

    /// The error in `result`, which stays the caller's.
    init(result: OpaquePointer) {
        let state = Field.sqlState.read(result)
        let message = Field.message.read(result) ?? firstLine(PQresultErrorMessage(result))
        self.init(
            Self.kind(ofState: state, message: message, isFatal: Field.severity.read(result) != "ERROR"), message,
            sqlState: state,
            detail: Field.detail.read(result), hint: Field.hint.read(result),
            position: Field.position.read(result).flatMap { Int($0) }, constraint: Field.constraint.read(result))
    }

    /// The error libpq keeps in the connection: no SQLSTATE, the connection is unusable.
    init(connection: OpaquePointer) {
        let text = firstLine(PQerrorMessage(connection))
        self.init(.connection, text.isEmpty ? "connection to the server was lost" : text)
    }

    /// Only what ends the session is a lost connection: an ERROR of class 08 was raised by a function, and the session
    /// is as good as before.
    private static func kind(ofState state: String?, message: String, isFatal: Bool) -> Kind {
        switch state {
        case "57014":
            // One SQLSTATE for a cancel request and for statement_timeout; only the text tells them apart.
            return message.contains("timeout") ? .timeout : .cancelled
        case .some(let state) where state.hasPrefix("08") && isFatal: return .connection
        case "57P01", "57P02", "57P03", "57P05", "25P03": return isFatal ? .connection : .server
        case nil: return .connection
        default: return .server
        }
    }
}

/// The first line of a message of libpq, which ends its messages with a newline and appends more lines.
func firstLine(_ text: UnsafePointer<CChar>?) -> String {
    guard let text else { return "" }
    return String(String(cString: text).prefix { $0 != "\n" })
}
