// SPDX-License-Identifier: Apache-2.0
// Every limit and deadline of the server, in one place.

package import TLS

/// The settings of a ``Server``. Limits are inclusive: the limit itself is accepted.
package struct Configuration: Sendable {
    /// Where to listen; port 0 is any free port.
    package var address: SocketAddress
    /// Certificates and what else TLS needs; nil serves plain text.
    package var tls: TLSServer?
    /// What a request head may hold.
    package var head = RequestParser.Limits()
    /// Connections served at the same time, over all loops; one more is told 503 and closed. Few are told so at the same
    /// time, and fewer of one client; others are closed without a word.
    package var connectionLimit = 16_384
    /// Of these, connections of one client address (an IPv6 client is a /64); one more is told 503 and closed. Those of
    /// ``proxies`` do not count, unless a PROXY header tells whose they are.
    package var connectionLimitPerAddress = 16_384
    /// Whose X-Forwarded-For, Forwarded and PROXY headers are believed.
    package var proxies = TrustedProxies()
    /// The hosts that requests may name, or nil for any; see ``HostNames``.
    package var hosts: HostNames?
    /// What browsers are told about pages of other origins.
    package var crossOrigin = CrossOrigin()
    /// Fields of every response that does not have a field of that name itself.
    package var standardHeaders = StandardHeaders(.none)
    /// Whether responses are compressed for clients that ask for it.
    package var compresses = true
    /// Bytes of a body that the handler did not read and that are read and dropped to keep the connection; with
    /// more of them it is closed.
    package var unreadBodyLimit = 64 * 1024
    /// Bytes of a streamed response that are gathered before they are sent.
    package var outputBufferBytes = 64 * 1024
    /// Bytes that the kernel may hold for a client without having sent them. More would only be memory: the kernel's
    /// own bound is some megabytes for each connection.
    package var unsentBytesLimit = 256 * 1024
    /// Requests that are answered in a row, because the client has sent them ahead, before the other connections have
    /// their turn. What is sent ahead of them waits in the kernel, but for one receive of 64 KiB.
    package var pipelineBatch = 64
    /// Connections the kernel queues for us between two accepts.
    package var backlog = 1024
    /// The `Server` field; nil leaves it out.
    package var serverName: String? = "tapedeck"

    /// From accepting a connection to the end of its TLS handshake.
    package var handshakeDeadline = Duration.seconds(10)
    /// How long a connection may stay without a request.
    package var idleDeadline = Duration.seconds(75)
    /// From the first byte of a head to its last (408).
    package var headDeadline = Duration.seconds(10)
    /// How long a body may be waited for (408): the longest pause, and with ``bodyBytesPerSecond`` the lowest rate; see
    /// ``Pace``.
    package var bodyDeadline = Duration.seconds(30)
    /// The rate that a body must keep up in the long run.
    package var bodyBytesPerSecond = 4 * 1024
    /// How long a client may take no byte of its response, as ``bodyDeadline`` for the other direction.
    package var writeDeadline = Duration.seconds(30)
    /// The rate at which a response must be taken in the long run.
    package var writeBytesPerSecond = 4 * 1024
    /// How long a handler may go without having sent anything; then its client is told 503. It is noticed at most
    /// ``Listener/sweepInterval`` later.
    package var handlerDeadline = Duration.seconds(300)
    /// How long a client that has closed its sending side, and has been sent nothing since, is taken for one that only
    /// has no more requests (`nc -N`); then for one that has gone.
    package var halfCloseDeadline = Duration.seconds(2)
    /// When such a client is sent an interim answer (`102 Processing`, RFC 9110 §15.2, RFC 2518 §10.1), which brings a
    /// reset from one that has gone and means nothing to one that reads; before anything else was sent.
    package var halfCloseProbe = Duration.milliseconds(25)
    /// How long a refused client may go on sending before it is cut off: closing at once would destroy the answer
    /// on its way (RFC 9112 §9.6).
    package var lingerDeadline = Duration.seconds(2)
    /// The seconds of `Retry-After` in a 503.
    package var retryAfterSeconds = 1

    package init(address: SocketAddress) { self.address = address }

    /// Traps on settings that cannot work together.
    func validate() {
        precondition(connectionLimit > 0 && unreadBodyLimit >= 0 && backlog > 0 && retryAfterSeconds >= 0)
        precondition(connectionLimitPerAddress > 0 && pipelineBatch > 0 && unsentBytesLimit >= 4096)
        precondition(bodyBytesPerSecond > 0 && writeBytesPerSecond > 0, "a rate of nothing is no rate")
        precondition(outputBufferBytes >= 1024, "outputBufferBytes is too small to be worth a system call")
        precondition(serverName?.utf8.allSatisfy { (0x20...0x7e).contains($0) } ?? true, "serverName is not ASCII")
    }
}
