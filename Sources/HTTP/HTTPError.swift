// SPDX-License-Identifier: Apache-2.0
// The one error type of this module: a refusal that can be answered, or a connection that is no more.

/// Why a request was refused or its connection given up.
///
/// Handlers may throw one to answer with its ``status`` and the common JSON error body.
package struct HTTPError: Error, Sendable, Equatable, CustomStringConvertible {
    /// What the client is told, or, for ``clientGone`` and ``shutDown``, what is observed.
    package var status: Status
    /// Stable, for programs: lower case with underscores; never used for anything else once published.
    package var code: String
    /// Short, lower case, for people; it goes to the client, so it holds no secrets.
    package var message: String
    /// A sentence more about this very case.
    package var details: String?
    /// What the client could do about it.
    package var hint: String?
    /// Whether nobody is left to answer.
    package internal(set) var isConnectionLost = false

    package init(_ status: Status, code: String, message: String, details: String? = nil, hint: String? = nil) {
        self.status = status
        self.code = code
        self.message = message
        self.details = details
        self.hint = hint
    }

    package var description: String { "\(status.code) \(code): \(message)" }

    /// The client closed or broke the connection.
    package static let clientGone = HTTPError(lost: .clientGone, "client_gone", "the client closed the connection")
    /// The client took no bytes for the whole write deadline.
    package static let writeTimedOut = HTTPError(
        lost: .clientGone, "write_timeout", "the client did not take the response in time")
    /// The server's shutdown deadline passed.
    package static let shutDown = HTTPError(
        lost: .serviceUnavailable, "shutting_down", "the server is shutting down")

    private init(lost status: Status, _ code: String, _ message: String) {
        self.init(status, code: code, message: message)
        isConnectionLost = true
    }

    /// 400: the bytes are not HTTP/1.1.
    static func malformed(_ message: String) -> HTTPError {
        HTTPError(.badRequest, code: "malformed_request", message: message)
    }
}
