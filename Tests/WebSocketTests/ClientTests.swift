// SPDX-License-Identifier: Apache-2.0

import EventLoop
import HTTP
import Synchronization
import TLS
import TestSupport
import Testing

@testable import WebSocket

/// `Peers/server.py`, running.
final class PythonServer {
    private let program: RunningProgram
    /// Of `websockets`, of one with small windows of compression, and of the one that says anything.
    let ports: [String]

    init(_ arguments: [String] = []) throws {
        program = try RunningProgram(
            ChildProgram.python, ["\(ChildProgram.root)/Tests/WebSocketTests/Peers/server.py"] + arguments)
        ports = (program.line() ?? "").split(separator: " ").map(String.init)
        try #require(ports.count == 3, "server.py did not start; make deps-test")
    }

    func line() -> String? { program.line() }
}

@Suite(.serialized) struct ClientTests {
    /// Opens `url` and runs `body` on the connection; returns the failure.
    private static func open(
        _ url: String, authorities: String? = nil, headers: [(String, String)] = [], subprotocols: [String] = [],
        _ change: @escaping @Sendable (WebSocketClient) -> Void = { _ in },
        _ body: @escaping @Sendable (WebSocketConnection) async throws -> Void
    ) async throws -> WebSocketError? {
        try await onLoop { loop in
            let client = WebSocketClient(tls: try TLSClient(authorities: authorities), on: loop)
            client.settings.closeDeadline = .seconds(3)
            change(client)
            do {
                try await client.run(
                    WebSocketURL(url), headers: headers.map { (name: $0.0, value: $0.1) }, subprotocols: subprotocols,
                    body)
                return nil
            } catch let error as WebSocketError {
                return error
            }
        }
    }

    /// Reads to the end.
    private static func drain(_ connection: WebSocketConnection) async throws {
        while try await connection.receive() != nil {}
    }

    private static func checkExchange(_ base: String, authorities: String? = nil) async throws {
        for path in ["/", "/echo?x=1"] {
            let failure = try await open(base + path, authorities: authorities, subprotocols: ["v1"]) { connection in
                #expect(connection.isCompressed)
                for size in [0, 1, 125, 126, 511, 512, 65_535, 65_536, 300_000] {
                    let text = String(repeating: "κ", count: size)
                    try await connection.send(text: text)
                    #expect(try await connection.receive() == .text)
                    #expect(connection.payload == Array(text.utf8))
                }
                connection.close(CloseCode(rawValue: 3999), "done")
                #expect(try await connection.receive() == nil)
                #expect(connection.closeCode.rawValue == 3999)
            }
            #expect(failure == nil)
        }
        let fragments = try await open(base + "/fragments", authorities: authorities) { connection async throws in
            #expect(try await connection.receive() == .text)
            #expect(String(decoding: connection.payload, as: UTF8.self) == "one, two, three")
            #expect(try await connection.receive() == .binary)
            #expect(try await connection.receive() == nil)
            #expect(connection.closeCode.rawValue == 4001 && connection.closeReason == "enough")
        }
        #expect(fragments == nil)
        let ping = try await open(base + "/ping", authorities: authorities) { connection async throws in
            #expect(try await connection.receive() == .text)
        }
        #expect(ping == nil)
        let headers = try await open(base + "/headers", authorities: authorities, headers: [("X-Token", "t")]) {
            connection async throws in
            #expect(try await connection.receive() == .text)
            #expect(String(decoding: connection.payload, as: UTF8.self).hasPrefix("t "))
        }
        #expect(headers == nil)
    }

    @Test func `our client speaks with Python's websockets, over plain text and TLS, in windows of any size`()
        async throws
    {
        let plain = try PythonServer()
        try await Self.checkExchange("ws://127.0.0.1:\(plain.ports[0])")
        try await Self.checkExchange("ws://127.0.0.1:\(plain.ports[1])")
        let files = try TestCertificates()
        try files.leaf("local", names: ["DNS:localhost", "IP:127.0.0.1"])
        let secure = try PythonServer([files.path("local.pem"), files.path("local.key")])
        try await Self.checkExchange("wss://localhost:\(secure.ports[0])", authorities: files.path("ca.pem"))
        try await Self.checkExchange("wss://127.0.0.1:\(secure.ports[1])", authorities: files.path("ca.pem"))
    }

    @Test func `thousands of small messages come whole and in order`() async throws {
        let server = try PythonServer()
        let failure = try await Self.open("ws://127.0.0.1:\(server.ports[0])/flood") { connection in
            var count = 0
            while let kind = try await connection.receive() {
                let expected =
                    "{\"type\":\"trade\",\"data\":[{\"s\":\"AAPL\",\"p\":\(count).25,\"t\":1618677709984,\"v\":100}]}"
                guard kind == .text, connection.payload.elementsEqual(expected.utf8) else {
                    Issue.record("message \(count)")
                    return
                }
                count += 1
            }
            #expect(count == 50_000 && connection.closeCode == .normal)
        }
        #expect(failure == nil)
    }

    @Test func `a certificate that is not good ends it before anything is sent`() async throws {
        let files = try TestCertificates()
        try files.leaf("good", names: ["DNS:localhost"])
        try files.leaf("old", names: ["DNS:localhost"], days: -1)
        try files.leaf("self", names: ["DNS:localhost"], authority: nil)
        try files.authority("other")
        try files.leaf("foreign", names: ["DNS:localhost"], authority: "other")
        for (name, host, words) in [
            ("good", "127.0.0.1", "for another name"), ("old", "localhost", "has expired"),
            ("self", "localhost", "self-signed"), ("foreign", "localhost", "authority that is not known"),
        ] {
            let server = try PythonServer([files.path("\(name).pem"), files.path("\(name).key")])
            let url = "wss://\(host):\(server.ports[0])"
            let failure = try await Self.open(url, authorities: files.path("ca.pem")) { _ in Issue.record("opened") }
            #expect(
                failure?.reason == .insecure && failure?.message.contains(words) == true,
                "\(String(describing: failure))")
            #expect(failure?.hint != nil)
        }
        // TLS to a server that speaks none, and the other way round.
        let plain = try PythonServer()
        let secure = try await Self.open("wss://localhost:\(plain.ports[0])") { _ in Issue.record("opened") }
        #expect(secure?.reason == .insecure)
        let good = try PythonServer([files.path("good.pem"), files.path("good.key")])
        let refused = try await Self.open("ws://localhost:\(good.ports[0])") { _ in Issue.record("opened") }
        #expect(refused?.reason == .refused(status: 0) || refused?.reason == .connectionLost)
    }

    @Test func `who does not answer with a WebSocket is told apart, with status and words`() async throws {
        let server = try PythonServer()
        let base = "ws://127.0.0.1:\(server.ports[0])"
        for (path, status) in [("/denied", 401), ("/moved", 302), ("/broken", 500)] {
            let failure = try await Self.open(base + path) { _ in Issue.record("opened") }
            #expect(failure?.reason == .refused(status: status))
            #expect(failure?.message.contains("no entry") == true && (failure?.message.utf8.count ?? 0) < 1200)
            #expect(failure?.hint != nil)
        }
        let nobody = try await Self.open("ws://127.0.0.1:1/") { _ in Issue.record("opened") }
        #expect(nobody?.reason == .unreachable && nobody?.message.contains("Connection refused") == true)
        let unknown = try await Self.open("ws://no-such-host.invalid/") { _ in Issue.record("opened") }
        #expect(unknown?.reason == .unreachable && unknown?.message.contains("no-such-host.invalid") == true)
        let raw = "ws://127.0.0.1:\(server.ports[2])"
        for query in [
            "wrong=1", "header=Sec-WebSocket-Protocol:%20v9", "header=Sec-WebSocket-Extensions:%20x-other",
            "answer=SSH-2.0-x%0d%0a%0d%0a", "answer=HTTP/1.1%20101%20A%0d%0a%0d%0a",
        ] {
            let failure = try await Self.open("\(raw)/?\(query)") { _ in Issue.record("opened") }
            if case .refused = failure?.reason { continue }
            Issue.record("\(query): \(String(describing: failure))")
        }
        let silent = try await Self.open("\(raw)/?silent=1") {
            $0.openDeadline = .milliseconds(300)
        } _: { _ in
            Issue.record("opened")
        }
        #expect(silent?.reason == .timedOut)
    }

    @Test func `what a server does wrong is answered with the right code`() async throws {
        let server = try PythonServer()
        for (name, bytes, code) in [
            ("a masked frame", "8181000000006a", 1002), ("a reserved bit", "9100", 1002),
            ("a reserved opcode", "8300", 1002),
            ("a fragmented ping", "0900", 1002), ("a continuation of nothing", "8000", 1002),
            ("a text inside a text", "01008100", 1002), ("invalid UTF-8", "8103eda080", 1007),
            ("a close frame of one byte", "880103", 1002), ("a code that may not be sent", "880203ee", 1002),
            ("a frame over the limit", "827f0000000010000000", 1009),
            ("compression that was not agreed on", "c10100", 1002),
            ("a length of 64 bits", "827fffffffffffffffff", 1002),
        ] {
            let failure = try await Self.open("ws://127.0.0.1:\(server.ports[2])/?hex=\(bytes)") {
                try await Self.drain($0)
            }
            #expect(failure?.reason == .violation(CloseCode(rawValue: UInt16(code))), "\(name)")
            #expect(server.line() == "closed \(code)", "\(name)")
        }
        let lost = try await Self.open("ws://127.0.0.1:\(server.ports[2])/?hangup=1&hex=8103") {
            try await Self.drain($0)
        }
        #expect(lost?.reason == .connectionLost)
    }
}
