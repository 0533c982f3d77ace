// SPDX-License-Identifier: Apache-2.0

import ArgumentParser
import EventLoop
import HTTP
import TLS
import WebSocket

/// Our HTTP server with a handler that answers every GET with the same bytes, and `/echo` with a WebSocket; what
/// `Benchmarks/http/run.py` and `Benchmarks/http/secure.py` load.
struct HTTPServerProgram: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "http-server", abstract: "Serve the same bytes for every request, until killed.")

    @Argument(help: "The port, on 127.0.0.1.") var port: UInt16
    @Argument(help: "The body.") var body: String
    @Option(help: "Event loops.") var loops = 1
    @Option(help: "Certificate and key in one PEM file: TLS.") var pem: String?

    func run() async throws {
        var eventLoops: [EventLoop] = []
        for index in 0..<loops { eventLoops.append(try EventLoop(name: "http-\(index)")) }
        for loop in eventLoops { loop.start() }
        let bytes = Array(body.utf8)
        var configuration = HTTP.Configuration(address: try SocketAddress(host: "127.0.0.1", port: port))
        configuration.tls = try pem.map { try TLSServer(.init(pairs: [.init(certificate: $0, key: $0)])) }
        let server = try Server(configuration, loops: eventLoops) { _ in
            SameBytes(body: bytes, sockets: WebSocketServer())
        }
        await server.run()
    }
}

/// Answers with the same bytes, as `return 200` of nginx does.
private final class SameBytes: Handler, @unchecked Sendable {
    // Rule for `@unchecked Sendable`: used on its loop's thread only.

    private let body: [UInt8]
    private let headers: Headers = ["Content-Type": "text/plain"]
    private let sockets: WebSocketServer

    init(body: [UInt8], sockets: WebSocketServer) {
        self.body = body
        self.sockets = sockets
    }

    func handle(_ request: Request, _ response: ResponseWriter) async throws {
        if request.head.pathIs("/echo") {
            return try await sockets.serve(request, response) { connection in
                while let kind = try await connection.receive() { try await connection.send(kind, connection.payload) }
            }
        }
        try await response.respond(.ok, headers, body)
    }
}
