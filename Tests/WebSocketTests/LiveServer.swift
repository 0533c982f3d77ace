// SPDX-License-Identifier: Apache-2.0
// A server of ours with a path for each behaviour that the tests need.

import EventLoop
import HTTP
import Synchronization
import TLS
import TestSupport
import Testing

@testable import WebSocket

/// Serves `/echo`, and the rest of what `Peers/client.py` asks for.
final class EchoHandler: Handler, @unchecked Sendable {
    // Rule for `@unchecked Sendable`: used on its loop's thread only.

    private let servers: [String: WebSocketServer]
    /// Whoever listens to messages for all.
    private var listeners: [ObjectIdentifier: WebSocketConnection] = [:]
    let failures = Mutex<[WebSocketError]>([])

    init() {
        func server(_ change: (inout WebSocketSettings) -> Void = { _ in }) -> WebSocketServer {
            var settings = WebSocketSettings()
            settings.closeDeadline = .seconds(3)
            change(&settings)
            return WebSocketServer(settings, subprotocols: ["v2", "v1"])
        }
        servers = [
            "echo": server(), "goodbye": server(), "plain": server { $0.compression = nil },
            "live": server { $0.queueBytes = 8 << 20 },
            "context": server { $0.compression?.keepsContext = true },
            "small": server {
                $0.limits.frameBytes = 1000
                $0.limits.messageBytes = 2000
                $0.limits.fragments = 10
                $0.compression = nil
            },
            "slow": server { $0.messageDeadline = .milliseconds(500) },
            "silent": server {
                $0.pingInterval = .milliseconds(500)
                $0.pongDeadline = .milliseconds(500)
            },
            "flood": server {
                $0.compression = nil
                $0.closeDeadline = .seconds(20)
            },
        ]
    }

    func handle(_ request: Request, _ response: ResponseWriter) async throws {
        let path = try request.head.pathSegments().first ?? ""
        guard let server = servers[path] else {
            throw HTTPError(.notFound, code: "not_found", message: "no such WebSocket")
        }
        do {
            try await server.serve(request, response) { connection in
                switch path {
                case "goodbye":
                    connection.close(CloseCode(rawValue: 4000), "that is all")
                    try await Self.echo(connection)
                case "live":
                    listeners[ObjectIdentifier(connection)] = connection
                    defer { listeners[ObjectIdentifier(connection)] = nil }
                    if listeners.count == 1 {
                        try await publish(server, request.loop)
                    } else {
                        try await Self.echo(connection)
                    }
                case "flood":
                    let message = SharedMessage(.binary, [UInt8](repeating: 1, count: 100_000), codecs: server.codecs)
                    while connection.offer(message) { try await request.loop.sleep(for: .milliseconds(1)) }
                    try await Self.echo(connection)
                default: try await Self.echo(connection)
                }
            }
        } catch let error as WebSocketError {
            failures.withLock { $0.append(error) }
        }
    }

    private static func echo(_ connection: WebSocketConnection) async throws {
        while let kind = try await connection.receive() { try await connection.send(kind, connection.payload) }
    }

    /// Sends numbered messages to all who listen, for as long as somebody does. Runs on the connection of the first.
    private func publish(_ server: WebSocketServer, _ loop: EventLoop) async throws {
        for number in 0..<20_000 {
            let text = "\(number)," + String(repeating: "x", count: 600)
            let message = SharedMessage(.text, Array(text.utf8), codecs: server.codecs)
            for listener in listeners.values { listener.offer(message) }
            try await loop.sleep(for: .milliseconds(2))
            if number > 100 && listeners.count == 1 { return }
        }
    }
}

struct LiveServer {
    let server: Server
    let loop: EventLoop
    let handler: EchoHandler
    let url: String

    /// Runs `test` beside a server.
    static func serving(tls: TLSServer? = nil, _ test: (LiveServer) async throws -> Void) async throws {
        let loop = try EventLoop(name: "websocket")
        loop.start()
        defer { loop.stop() }
        var configuration = Configuration(address: try SocketAddress("127.0.0.1:0"))
        configuration.tls = tls
        let handler = EchoHandler()
        let server = try Server(configuration, loops: [loop]) { _ in handler }
        let running = Task(executorPreference: loop) { await server.run() }
        let scheme = tls == nil ? "ws" : "wss"
        let live = LiveServer(
            server: server, loop: loop, handler: handler,
            url: "\(scheme)://\(tls == nil ? "127.0.0.1" : "localhost"):\(server.boundAddress.port)")
        do {
            try await test(live)
        } catch {
            Issue.record(error)
        }
        await server.shutdown(deadline: .seconds(5))
        await running.value
        #expect(server.connectionCount == 0)
    }
}

/// Runs `body` on a loop of its own.
func onLoop<T: Sendable>(_ body: @escaping @Sendable (EventLoop) async throws -> T) async throws -> T {
    let loop = try EventLoop(name: "client")
    loop.start()
    defer { loop.stop() }
    return try await Task(executorPreference: loop) { try await body(loop) }.value
}

/// The program `Peers/NAME` in the tests' Python.
func peer(_ name: String, _ arguments: [String]) throws -> (status: Int32, output: String) {
    try ChildProgram.run(ChildProgram.python, ["\(ChildProgram.root)/Tests/WebSocketTests/Peers/\(name)"] + arguments)
}
