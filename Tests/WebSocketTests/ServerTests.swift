// SPDX-License-Identifier: Apache-2.0

import EventLoop
import HTTP
import Synchronization
import TLS
import TestSupport
import Testing

@testable import WebSocket

/// Something has happened.
private final class Flag: Sendable {
    private let state = Atomic(false)

    var isRaised: Bool { state.load(ordering: .acquiring) }

    func raise() { state.store(true, ordering: .releasing) }
}

@Suite(.serialized) struct ServerTests {
    @Test func `Python's websockets, and bytes of all kinds, get what RFC 6455 and 7692 promise`() async throws {
        try await LiveServer.serving { live in
            let (status, output) = try peer("client.py", [live.url])
            #expect(status == 0, "\(output)")
        }
    }

    @Test func `over TLS all of it is the same`() async throws {
        let files = try TestCertificates()
        try files.leaf("local", names: ["DNS:localhost"])
        let tls = try TLSServer(
            .init(pairs: [.init(certificate: files.path("local.pem"), key: files.path("local.key"))]))
        try await LiveServer.serving(tls: tls) { live in
            let (status, output) = try peer("client.py", [live.url, files.path("ca.pem")])
            #expect(status == 0, "\(output)")
        }
    }

    @Test func `our client and our server understand each other, compressed or not`() async throws {
        try await LiveServer.serving { live in
            let url = live.url
            for path in ["echo", "plain", "context"] {
                try await onLoop { loop in
                    var settings = WebSocketSettings()
                    settings.compression?.keepsContext = path == "context"
                    let client = WebSocketClient(settings, tls: try TLSClient(), on: loop)
                    try await client.run(WebSocketURL("\(url)/\(path)"), subprotocols: ["v1"]) { connection in
                        #expect(connection.isCompressed == (path != "plain") && connection.subprotocol == "v1")
                        for size in [0, 1, 125, 126, 600, 65_536, 1_000_000] {
                            let message = (0..<size).map { UInt8(truncatingIfNeeded: $0 / 3) }
                            try await connection.send(.binary, message)
                            #expect(try await connection.receive() == .binary)
                            #expect(connection.payload == message)
                        }
                        connection.close(.normal, "done")
                        #expect(try await connection.receive() == nil)
                        #expect(connection.closeCode == .normal)
                        let error = await #expect(throws: WebSocketError.self) {
                            try await connection.send(text: "late")
                        }
                        #expect(error?.reason == .closed)
                    }
                }
            }
        }
    }

    @Test func `a shutdown of the server tells its clients 1001 and waits for them`() async throws {
        try await LiveServer.serving { live async throws in
            let (url, server) = (live.url, live.server)
            let opened = Flag()
            let code = Task {
                try await onLoop { loop in
                    let client = WebSocketClient(tls: try TLSClient(), on: loop)
                    let code = Mutex(CloseCode.none)
                    try await client.run(WebSocketURL("\(url)/echo")) { connection in
                        try await connection.send(text: "hello")
                        _ = try await connection.receive()
                        opened.raise()
                        #expect(try await connection.receive() == nil)
                        code.withLock { $0 = connection.closeCode }
                    }
                    return code.withLock { $0 }
                }
            }
            #expect(try await eventually { opened.isRaised })
            await server.shutdown(deadline: .seconds(20))
            #expect(try await code.value == .goingAway)
        }
    }

    @Test func `cancelling the task of a client ends it at once`() async throws {
        try await LiveServer.serving { live in
            let url = live.url
            let opened = Flag()
            try await onLoop { loop in
                let inner = Task(executorPreference: loop) {
                    let client = WebSocketClient(tls: try TLSClient(), on: loop)
                    try await client.run(WebSocketURL("\(url)/echo")) { connection in
                        opened.raise()
                        _ = try await connection.receive()
                    }
                }
                while !opened.isRaised { try await Task.sleep(for: .milliseconds(5)) }
                inner.cancel()
                let error = await #expect(throws: WebSocketError.self) { try await inner.value }
                #expect(error?.reason == .cancelled)
            }
        }
    }

    @Test func `a full queue drops what it must and keeps the rest in order`() async throws {
        // A pair of connections without a writer: what is offered stays in the queue.
        var settings = WebSocketSettings()
        settings.queueMessages = 3
        for (overflow, expected) in [
            (WebSocketSettings.Overflow.dropOldest, ["3", "4", "5"]), (.dropNewest, ["1", "2", "3"]),
        ] {
            settings.overflow = overflow
            let settings = settings
            let (sent, dropped) = try await onLoop { loop in
                try await Self.offer(settings, on: loop)
            }
            #expect(sent == expected && dropped == 2)
        }
    }

    /// Offers five messages to a connection whose writer has not run yet, and reads what is sent then.
    private static func offer(_ settings: WebSocketSettings, on loop: EventLoop) async throws -> ([String], Int) {
        let (ours, theirs) = try StreamSocket.pair(on: loop)
        let scratch = UnsafeMutableRawBufferPointer.allocate(byteCount: 65_536, alignment: 16)
        defer { scratch.deallocate() }
        func connection(_ role: Role, _ socket: StreamSocket) -> WebSocketConnection {
            WebSocketConnection(
                role: role, socket: socket, received: [], scratch: scratch, loop: loop, settings: settings,
                subprotocol: nil, codecs: nil)
        }
        let server = connection(.server, ours)
        let codecs = SharedCodecs()
        for number in 1...5 { server.offer(SharedMessage(.text, Array("\(number)".utf8), codecs: codecs)) }
        let client = connection(.client, theirs)
        var received: [String] = []
        try await withThrowingTaskGroup(of: Void.self) { group in
            group.addTask { try await server.run { connection in while try await connection.receive() != nil {} } }
            try await client.run { connection async throws in
                for _ in 0..<3 {
                    #expect(try await connection.receive() == .text)
                    received.append(String(decoding: connection.payload, as: UTF8.self))
                }
            }
            try await group.waitForAll()
        }
        ours.close()
        theirs.close()
        return (received, server.droppedMessages)
    }
}
