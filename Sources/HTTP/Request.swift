// SPDX-License-Identifier: Apache-2.0
// What a handler is, and what it is given.

package import EventLoop
package import TLS

/// Answers requests.
package protocol Handler: Sendable {
    /// Answers `request` through `response`; called on the event loop of the connection, one request at a time for
    /// each connection, and neither argument is used after it returns.
    ///
    /// What it throws before any byte of the response has left becomes an error response (an ``HTTPError`` its own,
    /// anything else a 500 that tells nothing); later, it breaks the response off, so that the client cannot take
    /// what it got for the whole.
    func handle(_ request: Request, _ response: ResponseWriter) async throws
}

/// A request, for as long as its handler runs.
package struct Request {
    package var head: RequestHead
    package let body: RequestBody
    /// The client's address: the peer's, or what trusted proxies say of it.
    package let peer: SocketAddress
    /// Unique in this process, and with time in its upper bits, so that it does not repeat after a restart.
    package let id: UInt64
    /// The trace that it belongs to, and its part in it.
    package let trace: TraceContext
    /// When the head was complete.
    package let received: MonotonicTime
    /// The loop that the handler runs on.
    package let loop: EventLoop
    /// Who the client has shown to be, where the handler has found out and its parts want to know.
    package var identity: (any AnyObject & Sendable)?
    private let connection: Connection

    init(_ connection: Connection, _ head: RequestHead, id: UInt64, received: MonotonicTime) {
        self.head = head
        body = connection.body
        peer = connection.configuration.proxies.client(of: head, from: connection.peer)
        loop = connection.listener.loop
        self.id = id
        trace = connection.trace
        self.received = received
        self.connection = connection
    }

    /// Whether the request came through TLS.
    package var isSecure: Bool { connection.socket.tls != nil }

    /// The certificate that the client has shown, and that one of the configured authorities has signed; nil if there is
    /// none.
    package var clientCertificate: Certificate? { connection.socket.tls?.peerCertificate }

    /// Has `action` called on the loop, at most once, when the server begins to shut down while the handler runs: for
    /// answers that would never end by themselves. A later call replaces the action of an earlier one.
    package func onDrain(_ action: @escaping () -> Void) { connection.whenDraining(action) }

    /// Has `action` called on the loop, at most once, if the client goes away, the handler's time is up, or the server
    /// is cut off by its shutdown deadline, while the handler runs; at once if that has happened. A later call
    /// replaces the action of an earlier one.
    ///
    /// A client that closes only its sending side counts as gone after ``Configuration/halfCloseDeadline``, unless it
    /// has been sent something since: the two cannot be told apart before.
    package func onClientGone(_ action: @escaping () -> Void) { connection.whenClientGone(action) }
}
