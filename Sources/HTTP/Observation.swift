// SPDX-License-Identifier: Apache-2.0
// What the server tells of its work: values, for logs and metrics elsewhere.

/// Hears of the server's work. Called on the event loops, so it must be quick and must not block.
package protocol ServerObserver: Sendable {
    /// A request was handled to its end, whatever that was.
    func exchangeFinished(_ exchange: Exchange)
    /// A request, or a connection, was refused before any handler saw it.
    func requestRefused(_ refusal: Refusal)
    /// A connection was closed without a word, because too many are being told already why they are refused. Comes as
    /// often as whoever floods us likes: worth a count and no more.
    func connectionDropped()
    /// Connections could not be accepted; they will be tried again.
    func acceptFailed(_ description: String)
}

/// A request and what became of it.
package struct Exchange: Sendable {
    /// How a response ended.
    package enum Outcome: Sendable, Equatable {
        /// The whole response was handed to the kernel.
        case completed
        /// The response was broken off after its beginning.
        case broken
        /// The connection was lost before anything was sent.
        case abandoned
    }

    package let id: UInt64
    package let trace: TraceContext
    package let method: Method
    /// As the handler set it; empty if it did not.
    package let route: String
    /// The status sent; 499 or 503 if the connection was lost before.
    package let status: UInt16
    /// Bytes of body sent, without framing.
    package let bodyBytes: Int
    /// From the head's last byte to the response's.
    package let duration: Duration
    package let peer: SocketAddress
    package let outcome: Outcome
    /// What the handler threw.
    package let error: (any Error)?
}

/// A request refused before any handler.
package struct Refusal: Sendable {
    package let peer: SocketAddress
    package let error: HTTPError
}
