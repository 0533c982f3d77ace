// SPDX-License-Identifier: Apache-2.0
// Every limit and deadline of the server, in one place.

/// The settings of a ``Server``. Limits are inclusive: the limit itself is accepted.
package struct Configuration: Sendable {
    /// Where to listen; port 0 is any free port.
    package var address: SocketAddress
    /// What a request head may hold.
    package var head = RequestParser.Limits()
    /// Connections open at the same time, over all loops; one more is told 503 and closed.
    package var connectionLimit = 4096
    /// Bytes of a body that the handler did not read and that are read and dropped to keep the connection; with
    /// more of them it is closed.
    package var unreadBodyLimit = 64 * 1024
    /// Bytes of a streamed response that are gathered before they are sent.
    package var outputBufferBytes = 64 * 1024
    /// Connections the kernel queues for us between two accepts.
    package var backlog = 1024
    /// The `Server` field; nil leaves it out.
    package var serverName: String? = "tapedeck"

    /// How long a connection may stay without a request.
    package var idleDeadline = Duration.seconds(75)
    /// From the first byte of a head to its last (408).
    package var headDeadline = Duration.seconds(10)
    /// How long a body may be waited for, in sum; every 16 KiB that come add a second, up to the deadline again
    /// (408). A sender of one byte every few seconds is cut off, a large upload over a slow line is not.
    package var bodyDeadline = Duration.seconds(30)
    /// How long a client may take no byte of its response.
    package var writeDeadline = Duration.seconds(30)
    /// How long a refused client may go on sending before it is cut off: closing at once would destroy the answer
    /// on its way (RFC 9112 §9.6).
    package var lingerDeadline = Duration.seconds(2)
    /// The seconds of `Retry-After` in a 503.
    package var retryAfterSeconds = 1

    package init(address: SocketAddress) { self.address = address }

    /// Traps on settings that cannot work together.
    func validate() {
        precondition(connectionLimit > 0 && unreadBodyLimit >= 0 && backlog > 0 && retryAfterSeconds >= 0)
        precondition(outputBufferBytes >= 1024, "outputBufferBytes is too small to be worth a system call")
        precondition(serverName?.utf8.allSatisfy { (0x20...0x7e).contains($0) } ?? true, "serverName is not ASCII")
    }
}
