// SPDX-License-Identifier: Apache-2.0

import HTTP
import TestSupport
import Testing

@testable import WebSocket

struct HandshakeTests {
    @Test func `the accept value and base64 are those of the standards`() {
        #expect(Handshake.accept("dGhlIHNhbXBsZSBub25jZQ==") == "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=")
        for (text, encoded) in [
            ("", ""), ("f", "Zg=="), ("fo", "Zm8="), ("foo", "Zm9v"), ("foob", "Zm9vYg=="), ("fooba", "Zm9vYmE="),
            ("foobar", "Zm9vYmFy"),
        ] { #expect(Handshake.base64(Array(text.utf8)) == encoded) }
        #expect(Handshake.isKey("dGhlIHNhbXBsZSBub25jZQ=="))
        for bad in [
            "", "dGhlIHNhbXBsZSBub25jZQ=", "dGhlIHNhbXBsZSBub25jZQ==A", "dGhlIHNhbXBsZSBub25jZ===",
            "dGhl!HNhbXBsZSBub25jZQ==",
        ] {
            #expect(!Handshake.isKey(bad))
        }
    }

    // MARK: Server

    private static let fields = [
        "Host: example.com", "Upgrade: websocket", "Connection: keep-alive, Upgrade", "Sec-WebSocket-Version: 13",
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
    ]

    private func head(_ fields: [String], line: String = "GET /ws HTTP/1.1") throws -> RequestHead {
        var parser = RequestParser()
        let bytes = Array(([line] + fields).map { $0 + "\r\n" }.joined().utf8) + [13, 10]
        guard case .head = try parser.parse(bytes.span) else { preconditionFailure("no head") }
        return parser.head
    }

    private static func text(_ headers: Headers) -> String {
        headers.fields.map { "\($0.name): \($0.value)" }.joined(separator: ", ")
    }

    /// The status and the code of the refusal, or 101 and the answer's fields.
    private func verdict(
        _ server: WebSocketServer, _ fields: [String], line: String = "GET /ws HTTP/1.1", hasBody: Bool = false
    ) throws -> String {
        switch server.judge(try head(fields, line: line), hasBody: hasBody) {
        case .accept(let answer):
            return "101 "
                + Self.text(answer.headers).replacing("Upgrade: websocket, ", with: "").replacing(
                    "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=", with: "ok")
        case .refuse(let error, let headers): return "\(error.status.code) \(error.code) \(Self.text(headers))"
        }
    }

    @Test func `a server takes what RFC 6455 wants, and says what is wrong with the rest`() throws {
        let server = WebSocketServer()
        server.settings.compression = nil
        func without(_ name: String, adding: String...) -> [String] {
            Self.fields.filter { !$0.hasPrefix(name) } + adding
        }
        #expect(try verdict(server, Self.fields) == "101 ok")
        #expect(try verdict(server, without("Upgrade", adding: "upgrade: WebSocket")) == "101 ok")
        #expect(try verdict(server, without("Connection", adding: "connection: UPGRADE")) == "101 ok")
        #expect(try verdict(server, Self.fields + ["Sec-WebSocket-Extensions: permessage-deflate"]) == "101 ok")
        let upgrade = "426 upgrade_required Upgrade: websocket, Sec-WebSocket-Version: 13"
        #expect(try verdict(server, without("Upgrade")) == upgrade)
        #expect(try verdict(server, without("Upgrade", adding: "Upgrade: h2c")) == upgrade)
        #expect(try verdict(server, without("Connection")) == upgrade)
        #expect(try verdict(server, Self.fields, line: "POST /ws HTTP/1.1") == upgrade)
        #expect(try verdict(server, Self.fields, line: "GET /ws HTTP/1.0") == upgrade)
        let version = "426 websocket_version Upgrade: websocket, Sec-WebSocket-Version: 13"
        #expect(try verdict(server, without("Sec-WebSocket-Version")) == version)
        #expect(try verdict(server, without("Sec-WebSocket-Version", adding: "Sec-WebSocket-Version: 8")) == version)
        #expect(try verdict(server, Self.fields + ["Sec-WebSocket-Version: 13"]) == version)
        #expect(try verdict(server, without("Sec-WebSocket-Key")) == "400 websocket_key ")
        #expect(
            try verdict(server, without("Sec-WebSocket-Key", adding: "Sec-WebSocket-Key: abc")) == "400 websocket_key ")
        #expect(
            try verdict(server, Self.fields + ["Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA=="]) == "400 websocket_key ")
        #expect(try verdict(server, Self.fields, hasBody: true) == "400 websocket_body ")
    }

    @Test func `pages of other origins are kept out as configured`() throws {
        let server = WebSocketServer()
        server.settings.compression = nil
        func allows(_ origin: String?, line: String = "GET /ws HTTP/1.1") throws -> Bool {
            try verdict(server, Self.fields + (origin.map { ["Origin: \($0)"] } ?? []), line: line).hasPrefix("101")
        }
        #expect(try allows(nil) && allows("https://example.com") && allows("http://EXAMPLE.com"))
        // Of a target in absolute form, not of the Host beside it (RFC 9112 §3.2.2).
        #expect(try allows("https://other.com", line: "GET http://other.com/ws HTTP/1.1"))
        #expect(try !allows("https://example.com", line: "GET http://other.com/ws HTTP/1.1"))
        #expect(try !allows("https://example.com:81") && !allows("https://evil.com") && !allows("null"))
        server.origins = .only(["https://app.example.com"])
        #expect(try allows(nil) && allows("https://app.example.com") && !allows("https://example.com"))
        server.origins = .any
        #expect(try allows("https://evil.com") && allows("null"))
    }

    @Test func `the preferred subprotocol of those that are offered is chosen`() throws {
        let server = WebSocketServer(subprotocols: ["v2", "v1"])
        server.settings.compression = nil
        func chosen(_ offers: String...) throws -> String {
            try verdict(server, Self.fields + offers.map { "Sec-WebSocket-Protocol: \($0)" })
        }
        #expect(try chosen("v1, v2") == "101 ok, Sec-WebSocket-Protocol: v2")
        #expect(try chosen("v0", " v1 ") == "101 ok, Sec-WebSocket-Protocol: v1")
        #expect(try chosen("v0") == "101 ok")
        #expect(try chosen() == "101 ok")
    }

    // MARK: Client

    @Test func `URLs are taken apart, and refused without being repeated`() throws {
        let url = try WebSocketURL("wss://ws.finnhub.io?token=secret")
        #expect(url.isSecure && url.host == "ws.finnhub.io" && url.port == 443 && url.target == "/?token=secret")
        #expect(url.authority == "ws.finnhub.io")
        #expect(try WebSocketURL("ws://[::1]:8080/a/b?c").authority == "[::1]:8080")
        #expect(try WebSocketURL("WS://localhost:80").authority == "localhost")
        #expect(try WebSocketURL("ws://localhost").target == "/")
        for bad in [
            "http://a", "ws://", "ws://:80/", "ws://a:0/secret", "ws://a:99999/secret", "ws://a:8x/secret",
            "ws://a/#secret",
            "ws://user:secret@a/", "ws://a/b secret", "ws://[::1/secret", "ws://[::1]x/secret", "ws://a b/secret",
            "secret",
        ] {
            let error = #expect(throws: WebSocketError.self, "\(bad)") { try WebSocketURL(bad) }
            #expect(error?.reason == .invalidURL && error?.description.contains("secret") == false)
        }
    }

    private func client(subprotocols: [String] = [], compression: CompressionSettings? = nil) throws -> ClientHandshake
    {
        ClientHandshake(
            url: try WebSocketURL("ws://example.com/chat"), headers: [("Authorization", "Bearer x")],
            subprotocols: subprotocols, compression: compression, key: "dGhlIHNhbXBsZSBub25jZQ==")
    }

    @Test func `the request is that of RFC 6455`() throws {
        let request = try client(subprotocols: ["a", "b"], compression: CompressionSettings()).request
        #expect(
            String(decoding: request, as: UTF8.self)
                == "GET /chat HTTP/1.1\r\nHost: example.com\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                + "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n"
                + "Sec-WebSocket-Protocol: a, b\r\nSec-WebSocket-Extensions: permessage-deflate; "
                + "server_no_context_takeover; client_no_context_takeover; client_max_window_bits\r\n"
                + "Authorization: Bearer x\r\n\r\n")
    }

    private static let answer =
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: WebSocket\r\nConnection: upgrade\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n"

    @Test func `an answer's head is read whatever its cut, and nothing else is taken for one`() throws {
        let bytes = Array("\(Self.answer)X: \t y \r\n\r\nrest".utf8)
        for count in 0..<(bytes.count - 4) { #expect(try ClientHandshake.head(Array(bytes[..<count])) == nil) }
        let (head, length) = try #require(try ClientHandshake.head(bytes))
        #expect(head.status == 101 && head.reason == "Switching Protocols" && length == bytes.count - 4)
        #expect(head.values("x") == ["y"])
        for bad in [
            "HTTP/1.0 101 A\r\n\r\n", "SSH-2.0-x\r\n\r\n", "HTTP/1.1 1 A\r\n\r\n", "HTTP/1.1 999 A\r\n\r\n",
            "HTTP/1.1 1010 A\r\n\r\n", "HTTP/1.1 101 A\r\nno colon\r\n\r\n", "HTTP/1.1 101 A\r\n x: y\r\n\r\n",
            "HTTP/1.1 101 A\r\nx: a\u{0}b\r\n\r\n", "HTTP/1.1 101 A\nx: y\r\n\r\n",
            "HTTP/1.1 101 A\r\nx: " + String(repeating: "y", count: 20_000),
        ] {
            #expect(throws: WebSocketError.self, "\(bad.prefix(40))") { try ClientHandshake.head(Array(bad.utf8)) }
        }
    }

    @Test func `an answer counts only if it fits the request`() throws {
        func judge(_ answer: String, subprotocols: [String] = []) throws -> ClientHandshake.Agreement {
            let (head, _) = try #require(try ClientHandshake.head(Array((answer + "\r\n").utf8)))
            return try client(subprotocols: subprotocols).judge(head)
        }
        #expect(try judge(Self.answer) == .init())
        #expect(try judge(Self.answer + "Sec-WebSocket-Protocol: b\r\n", subprotocols: ["a", "b"]).subprotocol == "b")
        for bad in [
            Self.answer.replacing("s3p", with: "t3p"), Self.answer.replacing("WebSocket\r\nC", with: "h2c\r\nC"),
            Self.answer.replacing("upgrade\r\n", with: "close\r\n"), Self.answer + "Sec-WebSocket-Protocol: b\r\n",
            Self.answer + "Sec-WebSocket-Extensions: permessage-deflate\r\n", Self.answer + "Upgrade: websocket\r\n",
        ] { #expect(throws: WebSocketError.self, "\(bad)") { try judge(bad) } }
    }

    @Test func `a refusal tells the status, a piece of the body, and what to do`() throws {
        func refusal(_ text: String) throws -> WebSocketError {
            let (head, length) = try #require(try ClientHandshake.head(Array(text.utf8)))
            return ClientHandshake.refusal(head, body: Array(Array(text.utf8)[length...]))
        }
        let denied = try refusal("HTTP/1.1 401 Unauthorized\r\nContent-Length: 3\r\n\r\nkey")
        #expect(denied.reason == .refused(status: 401) && denied.message == "the server answered 401 Unauthorized: key")
        #expect(denied.hint?.contains("token") == true)
        let moved = try refusal("HTTP/1.1 302 Found\r\nLocation: wss://b/\r\n\r\n")
        #expect(moved.hint == "Redirects are not followed; use the URL it names: wss://b/.")
        let long = try refusal("HTTP/1.1 500 No\r\n\r\n" + String(repeating: "x", count: 5000))
        #expect(long.message.utf8.count < 1100)
    }
}

struct SendQueueTests {
    private func frame(_ text: String) -> [UInt8] {
        var bytes: [UInt8] = []
        bytes.appendFrame(FrameHead(.text, length: text.utf8.count), Array(text.utf8).span)
        return bytes
    }

    private func drain(_ queue: inout SendQueue) -> [UInt8] {
        var all: [UInt8] = []
        while let batch = queue.takeBatch(mask: { nil }) {
            #expect(batch.count <= SendQueue.batchBytes || batch.count > 0)
            all += batch
            queue.sent(batch)
        }
        #expect(queue.isEmpty && queue.bytes == 0 && queue.sharedCount == 0)
        return all
    }

    @Test func `frames leave in the order they came, own and shared ones mixed`() {
        var queue = SendQueue()
        var expected: [UInt8] = []
        for round in 0..<1000 {
            let text = "message \(round)"
            if round % 7 < 3 {
                queue.appendShared(frame(text))
            } else {
                queue.appendOwn(FrameHead(.text, length: text.utf8.count), Array(text.utf8).span)
            }
            expected += frame(text)
            #expect(queue.bytes == expected.count)
        }
        #expect(drain(&queue) == expected)
        // And again, with the memory of before.
        queue.appendOwn(FrameHead(.text, length: 1), [UInt8]([0x61]).span)
        queue.appendShared(frame("b"))
        #expect(drain(&queue) == frame("a") + frame("b"))
    }

    @Test func `the oldest shared frames make room, own ones stay`() {
        var queue = SendQueue()
        queue.appendShared(frame("1"))
        queue.appendOwn(FrameHead(.text, length: 1), [UInt8]([0x32]).span)
        queue.appendShared(frame("3"))
        queue.appendShared(frame("4"))
        var dropped = queue.dropOldestShared()
        #expect(dropped && queue.sharedCount == 2)
        dropped = queue.dropOldestShared()
        #expect(dropped && queue.sharedCount == 1)
        let left = drain(&queue)
        #expect(left == frame("2") + frame("4"))
        dropped = queue.dropOldestShared()
        #expect(!dropped)
    }

    @Test func `of many pings the last is answered, before all else`() {
        var queue = SendQueue()
        queue.appendShared(frame("later"))
        queue.pong = [1]
        queue.pong = [2]
        #expect(drain(&queue) == [0x8a, 1, 2] + frame("later"))
    }

    @Test func `a frame that is larger than a batch is sent by itself`() {
        var queue = SendQueue()
        let big = [UInt8](repeating: 7, count: 200_000)
        queue.appendOwn(FrameHead(.binary, length: 1), [UInt8]([1]).span)
        queue.appendShared(big)
        queue.appendOwn(FrameHead(.binary, length: 1), [UInt8]([2]).span)
        #expect(drain(&queue) == [0x82, 1, 1] + big + [0x82, 1, 2])
    }
}
