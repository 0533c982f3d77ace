// SPDX-License-Identifier: Apache-2.0

import ArgumentParser
import EventLoop
import HTTP

/// Our HTTP server with a handler that answers every GET with the same bytes; what `Benchmarks/http/run.py` loads.
struct HTTPServerProgram: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "http-server", abstract: "Serve the same bytes for every request, until killed.")

    @Argument(help: "The port, on 127.0.0.1.") var port: UInt16
    @Argument(help: "The body.") var body: String
    @Option(help: "Event loops.") var loops = 1

    func run() async throws {
        var eventLoops: [EventLoop] = []
        for index in 0..<loops { eventLoops.append(try EventLoop(name: "http-\(index)")) }
        for loop in eventLoops { loop.start() }
        let bytes = Array(body.utf8)
        let configuration = HTTP.Configuration(address: try SocketAddress(host: "127.0.0.1", port: port))
        let server = try Server(configuration, loops: eventLoops) { _ in SameBytes(body: bytes) }
        await server.run()
    }
}

/// Answers with the same bytes, as `return 200` of nginx does.
private struct SameBytes: Handler {
    let body: [UInt8]

    func handle(_ request: Request, _ response: ResponseWriter) async throws {
        try await response.respond(.ok, ["Content-Type": "text/plain"], body)
    }
}
