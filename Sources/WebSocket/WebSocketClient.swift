// SPDX-License-Identifier: Apache-2.0
// The client's side: connect, shake hands, run.

package import EventLoop
import HTTP
package import TLS

/// Opens WebSockets to servers. One for each event loop.
package final class WebSocketClient {
    package var settings: WebSocketSettings
    /// For all from the lookup of the name to the end of the handshake.
    package var openDeadline = Duration.seconds(10)
    private let loop: EventLoop
    private let tls: TLSClient
    private let codecs: SharedCodecs

    /// - Parameter tls: who is trusted; see ``TLSClient``.
    package init(_ settings: WebSocketSettings = WebSocketSettings(), tls: TLSClient, on loop: EventLoop) {
        self.settings = settings
        self.tls = tls
        self.loop = loop
        codecs = SharedCodecs(level: settings.compression?.level ?? 1)
    }

    /// Opens a WebSocket, runs `body` on it until that returns, and closes it.
    ///
    /// - Parameters:
    ///   - headers: added to the request, such as `Authorization`; name and value are sent as they are.
    ///   - subprotocols: offered to the server, the preferred one first.
    /// - Throws: ``WebSocketError`` where it cannot be opened: why, with the server's status and a piece of its answer;
    ///   what `body` throws.
    package func run(
        _ url: WebSocketURL, headers: [(name: String, value: String)] = [], subprotocols: [String] = [],
        _ body: (WebSocketConnection) async throws -> Void
    ) async throws {
        loop.preconditionOnLoop()
        let deadline = MonotonicTime.now() + openDeadline
        let socket = try await connect(url, until: deadline)
        defer { socket.close() }
        let scratch = UnsafeMutableRawBufferPointer.allocate(byteCount: 64 * 1024, alignment: 16)
        defer { scratch.deallocate() }
        var random = SystemRandomNumberGenerator()
        let key = (0..<16).map { _ in UInt8.random(in: 0...255, using: &random) }
        let handshake = ClientHandshake(
            url: url, headers: headers, subprotocols: subprotocols, compression: settings.compression,
            key: Handshake.base64(key))
        let (agreement, received) = try await shakeHands(handshake, socket, scratch, until: deadline)
        let connection = WebSocketConnection(
            role: .client, socket: socket, received: received, scratch: scratch, loop: loop, settings: settings,
            subprotocol: agreement.subprotocol,
            codecs: agreement.compression.map {
                ConnectionCodecs($0, role: .client, level: settings.compression?.level ?? 1, shared: codecs)
            })
        try await connection.run(body)
    }

    private func connect(_ url: WebSocketURL, until deadline: MonotonicTime) async throws(WebSocketError)
        -> StreamSocket
    {
        do throws(ConnectError) {
            return try await .connect(
                to: url.host, port: url.port, tls: url.isSecure ? tls : nil, on: loop, until: deadline)
        } catch {
            let reason: WebSocketError.Reason =
                switch error.stage {
                case .lookup, .connect: .unreachable
                case .tls: .insecure
                case .cancelled: .cancelled
                }
            throw WebSocketError(reason, error.message, hint: error.hint)
        }
    }

    /// Sends the request and reads the answer; returns also what came behind its head.
    private func shakeHands(
        _ handshake: ClientHandshake, _ socket: StreamSocket, _ scratch: UnsafeMutableRawBufferPointer,
        until deadline: MonotonicTime
    ) async throws(WebSocketError) -> (ClientHandshake.Agreement, [UInt8]) {
        do throws(HTTPError) {
            try await socket.send(handshake.request, deadline: deadline)
        } catch {
            throw .lost
        }
        var bytes: [UInt8] = []
        while true {
            if let (head, length) = try ClientHandshake.head(bytes) {
                bytes.removeFirst(length)
                // An interim answer may come before the one that counts (RFC 9110 §15.2).
                if (100...199).contains(head.status) && head.status != 101 { continue }
                if head.status == 101 { return (try handshake.judge(head), bytes) }
                throw await refusal(head, bytes, socket, scratch, until: deadline)
            }
            switch await socket.receive(into: scratch, until: deadline) {
            case .bytes(let count): bytes.append(contentsOf: UnsafeRawBufferPointer(rebasing: scratch[..<count]))
            case .end: throw WebSocketError(.connectionLost, "the server closed the connection without an answer")
            case .timedOut: throw WebSocketError(.timedOut, "the server did not answer in time")
            case .cancelled: throw WebSocketError(.cancelled, "opening was cancelled")
            }
        }
    }

    /// Reads a piece of the body, which often says more than the status.
    private func refusal(
        _ head: ClientHandshake.Head, _ first: [UInt8], _ socket: StreamSocket,
        _ scratch: UnsafeMutableRawBufferPointer,
        until deadline: MonotonicTime
    ) async -> WebSocketError {
        var body = first
        let wanted = min(head.values("content-length").first.flatMap { Int($0) } ?? .max, ClientHandshake.bodyLimit)
        // One that sends neither a length nor the body's end must not cost the whole deadline.
        let soon = min(deadline, .now() + .seconds(2))
        while body.count < wanted, case .bytes(let count) = await socket.receive(into: scratch, until: soon) {
            body.append(contentsOf: UnsafeRawBufferPointer(rebasing: scratch[..<count]))
        }
        return ClientHandshake.refusal(head, body: body)
    }
}
