// SPDX-License-Identifier: Apache-2.0
// The one error type of this module, and the codes of RFC 6455 §7.4.

/// Why a WebSocket was closed, as the number that a close frame carries (RFC 6455 §7.4.1 and IANA's registry).
package struct CloseCode: RawRepresentable, Sendable, Equatable, Hashable {
    package let rawValue: UInt16

    package init(rawValue: UInt16) { self.rawValue = rawValue }

    package static let normal = CloseCode(rawValue: 1000)
    /// The server is being shut down, or the page left.
    package static let goingAway = CloseCode(rawValue: 1001)
    package static let protocolError = CloseCode(rawValue: 1002)
    /// A kind of message that is not taken (text or binary).
    package static let unsupportedData = CloseCode(rawValue: 1003)
    /// A close frame without a code; never sent.
    package static let none = CloseCode(rawValue: 1005)
    /// No close frame at all; never sent.
    package static let abnormal = CloseCode(rawValue: 1006)
    /// Text that is not UTF-8, or a compressed message that cannot be inflated.
    package static let invalidData = CloseCode(rawValue: 1007)
    package static let policyViolation = CloseCode(rawValue: 1008)
    package static let messageTooBig = CloseCode(rawValue: 1009)
    package static let internalError = CloseCode(rawValue: 1011)
    package static let tryAgainLater = CloseCode(rawValue: 1013)

    /// Whether a close frame may carry it: those that are defined, less those that only stand for the lack of one, and
    /// the ranges of frameworks and applications.
    package var mayBeSent: Bool {
        switch rawValue {
        case 1000...1003, 1007...1014, 3000...4999: true
        default: false
        }
    }
}

/// Why a WebSocket could not be opened, or had to end.
package struct WebSocketError: Error, Sendable, Equatable, CustomStringConvertible {
    /// What happened.
    package enum Reason: Sendable, Equatable {
        /// The peer broke the protocol, or sent more than is taken; it was told the code.
        case violation(CloseCode)
        /// The connection ended without a close handshake.
        case connectionLost
        /// The peer was silent for too long, or took no bytes for too long.
        case timedOut
        /// It is closed, or being closed: nothing can be sent any more.
        case closed
        /// The peer takes messages more slowly than they come, and the queue is full.
        case tooSlow
        /// The URL cannot be called.
        case invalidURL
        /// The server cannot be reached: the lookup of its name, or the connection.
        case unreachable
        /// The server's certificate, or the TLS handshake.
        case insecure
        /// The server answered, but with no WebSocket: its status, or 0 where the answer was not even HTTP.
        case refused(status: Int)
        /// The task was cancelled, or the server is shutting down.
        case cancelled
    }

    package var reason: Reason
    /// Short, lower case, for people.
    package var message: String
    /// What to do about it, in a sentence.
    package var hint: String?

    package init(_ reason: Reason, _ message: String, hint: String? = nil) {
        self.reason = reason
        self.message = message
        self.hint = hint
    }

    package var description: String { hint.map { "\(message) (\($0))" } ?? message }

    static func violation(_ message: String) -> WebSocketError { .init(.violation(.protocolError), message) }

    static func tooBig(_ message: String) -> WebSocketError { .init(.violation(.messageTooBig), message) }

    static let invalidText = WebSocketError(.violation(.invalidData), "text that is not UTF-8")
    static let lost = WebSocketError(.connectionLost, "the connection ended without a close frame")
    static let isClosed = WebSocketError(.closed, "the WebSocket is closed")
}
