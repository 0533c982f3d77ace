// SPDX-License-Identifier: Apache-2.0

import ArgumentParser
import EventLoop
import HTTP
import TLS
import WebSocket

/// Loads a WebSocket that echoes: what `Benchmarks/http/secure.py` runs against our server and others.
struct WebSocketLoadProgram: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "websocket-load",
        abstract: "Send messages to a WebSocket that echoes, and print how many came back.")

    @Argument(help: "ws:// or wss://.") var url: String
    @Option(help: "WebSockets at the same time.") var connections = 16
    @Option(help: "Messages that each has under way.") var window = 16
    @Option(help: "Bytes of a message.") var size = 100
    @Option(help: "Seconds.") var seconds = 3
    @Option(help: "Authorities for wss (PEM).") var authorities: String?

    func run() async throws {
        let loop = try EventLoop(name: "load")
        loop.start()
        let work = Task(executorPreference: loop) {
            let tls = try TLSClient(authorities: authorities)
            let until = MonotonicTime.now() + .seconds(seconds)
            return try await withThrowingTaskGroup(of: Int.self) { group in
                for _ in 0..<connections {
                    group.addTask { try await echo(WebSocketClient(plain, tls: tls, on: loop), until) }
                }
                return try await group.reduce(0, +)
            }
        }
        print(try await work.value / seconds)
    }

    private var plain: WebSocketSettings {
        var settings = WebSocketSettings()
        settings.compression = nil
        return settings
    }

    /// Keeps `window` messages under way; returns how many have come back by `until`.
    private func echo(_ client: WebSocketClient, _ until: MonotonicTime) async throws -> Int {
        let message = [UInt8](repeating: 0x61, count: size)
        var count = 0
        try await client.run(WebSocketURL(url)) { connection in
            for _ in 0..<window { try await connection.send(.text, message) }
            while try await connection.receive() != nil {
                guard connection.payload.count == size else { throw ValidationError("not an echo") }
                count += 1
                if connection.loop.now >= until { return }
                try await connection.send(.text, message)
            }
        }
        return count
    }
}
