// SPDX-License-Identifier: Apache-2.0

import EventLoop
import Synchronization
import TestSupport
import Testing

@testable import HTTP

struct AddressRangeTests {
    @Test(arguments: [
        ("10.0.0.0/8", "10.255.0.1", true), ("10.0.0.0/8", "11.0.0.1", false), ("10.1.2.3", "10.1.2.3", true),
        ("10.1.2.3", "10.1.2.4", false), ("0.0.0.0/0", "1.2.3.4", true), ("0.0.0.0/0", "::1", false),
        ("192.0.2.128/25", "192.0.2.128", true), ("192.0.2.128/25", "192.0.2.127", false),
        ("fd00::/8", "fdff::1", true), ("fd00::/8", "fe00::1", false), ("::1", "::1", true), ("::1/127", "::", true),
        ("::1/128", "::2", false), ("10.0.0.0/8", "::ffff:10.1.1.1", true), ("::/0", "::ffff:10.1.1.1", false),
    ])
    func `a block contains the addresses of its prefix`(block: String, address: String, isIn: Bool) throws {
        let range = try #require(AddressRange(block))
        #expect(range.contains(try #require(SocketAddress(numeric: Array(address.utf8)))) == isIn)
    }

    @Test(arguments: [
        "", "/8", "10.0.0.0/33", "10.0.0.0/", "10.0.0.0/-1", "10.0.0/8", "a", "::1/129", "[::1]", "1.2.3.4/8/9",
    ])
    func `what is no block is refused`(text: String) { #expect(AddressRange(text) == nil) }

    @Test func `an IPv6 client is a network, an IPv4 client an address`() throws {
        func client(_ text: String) throws -> SocketAddress {
            try #require(SocketAddress(numeric: Array(text.utf8))).client
        }
        #expect(try client("2001:db8:0:1::1") == client("2001:db8:0:1:ffff::2"))
        #expect(try client("2001:db8:0:1::1") != client("2001:db8:0:2::1"))
        #expect(try client("192.0.2.1") != client("192.0.2.2"))
        #expect(try client("::ffff:192.0.2.1") == client("192.0.2.1"))
    }
}

struct ProxyHeaderTests {
    static let binary: [UInt8] = [0x0d, 0x0a, 0x0d, 0x0a, 0, 0x0d, 0x0a, 0x51, 0x55, 0x49, 0x54, 0x0a]
    static let v4: [UInt8] = [192, 0, 2, 1, 10, 0, 0, 1, 0xc0, 0x01, 0x00, 0x50]
    static let v6: [UInt8] =
        [0x20, 0x01, 0x0d, 0xb8] + [UInt8](repeating: 0, count: 11) + [1] + [UInt8](repeating: 0, count: 16)
        + [0x00, 0x50, 0x01, 0xbb]

    static let accepted: [([UInt8], String?)] = [
        (Array("PROXY TCP4 192.0.2.1 10.0.0.1 49153 80\r\n".utf8), "192.0.2.1:49153"),
        (Array("PROXY TCP4 0.0.0.0 255.255.255.255 0 65535\r\n".utf8), "0.0.0.0:0"),
        (Array("PROXY TCP6 2001:db8::1 ::1 80 443\r\n".utf8), "[2001:db8::1]:80"),
        (Array("PROXY UNKNOWN\r\n".utf8), nil),
        (Array("PROXY UNKNOWN whatever stands here\r\n".utf8), nil),
        (binary + [0x21, 0x11, 0, 12] + v4, "192.0.2.1:49153"),
        (binary + [0x21, 0x11, 0, 15] + v4 + [4, 0, 0], "192.0.2.1:49153"),
        (binary + [0x21, 0x21, 0, 36] + v6, "[2001:db8::1]:80"),
        (binary + [0x20, 0x11, 0, 12] + v4, nil),
        (binary + [0x20, 0x00, 0, 0], nil),
        (binary + [0x21, 0x00, 0, 0], nil),
        (binary + [0x21, 0x31, 0, 216] + [UInt8](repeating: 0, count: 216), nil),
    ]

    static let malformed: [[UInt8]] =
        [
            "GET / HTTP/1.1\r\n", "PROXY\r\n", "PROXY  TCP4 1.2.3.4 1.2.3.4 1 1\r\n",
            "PROXY TCP5 1.2.3.4 1.2.3.4 1 1\r\n",
            "PROXY TCP4 1.2.3.4 1.2.3.4 1\r\n", "PROXY TCP4 1.2.3.4 1.2.3.4 1 1 1\r\n", "PROXY TCP4 ::1 ::1 1 1\r\n",
            "PROXY TCP6 1.2.3.4 1.2.3.4 1 1\r\n", "PROXY TCP4 1.2.3 1.2.3.4 1 1\r\n", "PROXY TCP4 1.2.3.4 a 1 1\r\n",
            "PROXY TCP4 1.2.3.4 1.2.3.4 65536 1\r\n", "PROXY TCP4 1.2.3.4 1.2.3.4 01 1\r\n",
            "PROXY TCP4 1.2.3.4 1.2.3.4 +1 1\r\n", "PROXY TCP4 1.2.3.4 1.2.3.4 1 1\n",
            "proxy TCP4 1.2.3.4 1.2.3.4 1 1\r\n",
            "PROXY UNKNOWN\n", "PROXY UNKNOWN " + String(repeating: "x", count: 100) + "\r\n", "\r\n\r\n\0\r\nQUIX",
        ].map { Array($0.utf8) } + [
            binary + [0x11, 0x11, 0, 12] + v4, binary + [0x22, 0x11, 0, 12] + v4, binary + [0x21, 0x41, 0, 12] + v4,
            binary + [0x21, 0x13, 0, 12] + v4, binary + [0x21, 0x11, 0, 11] + v4, binary + [0x21, 0x21, 0, 12] + v4,
            binary + [0x21, 0x11, 0x03, 0xf1] + v4,
        ]

    @Test func `a header is read, however it is cut`() {
        for (bytes, client) in Self.accepted {
            for count in 0..<bytes.count {
                #expect(ProxyHeader.parse(bytes[..<count]) == .needMore, "\(count) bytes of \(bytes)")
            }
            for tail in [[], Array("GET".utf8)] {
                guard case .header(let length, let found) = ProxyHeader.parse((bytes + tail)[...]) else {
                    Issue.record("refused: \(bytes)")
                    continue
                }
                #expect(length == bytes.count && found?.description == client)
            }
        }
    }

    @Test func `what is no header is refused, as soon as that is plain`() {
        for bytes in Self.malformed {
            #expect(ProxyHeader.parse(bytes[...]) == .malformed, "\(String(decoding: bytes, as: UTF8.self)) \(bytes)")
        }
        #expect(ProxyHeader.parse([UInt8](repeating: 0x50, count: 2)[...]) == .malformed)
    }

    @Test func `the length limit holds below, at and above`() {
        for (delta, fits) in [(-1, true), (0, true), (1, false)] {
            let rest = ProxyHeader.lengthLimit - 16 + delta
            let bytes = Self.binary + [0x21, 0x11, UInt8(rest >> 8), UInt8(rest & 255)] + Self.v4
            let whole = bytes + [UInt8](repeating: 0, count: rest - 12)
            #expect((ProxyHeader.parse(whole[...]) != .malformed) == fits)
        }
    }

    @Test func `random mutations never crash`() {
        var random = SeededRandom()
        for round in 0..<20_000 {
            var bytes = Self.accepted.randomElement(using: &random)!.0
            for _ in 0..<Int.random(in: 1...3, using: &random) {
                bytes[Int.random(in: 0..<bytes.count, using: &random)] = UInt8.random(in: 0...255, using: &random)
            }
            if case .header(let length, _) = ProxyHeader.parse(bytes[...]) {
                #expect(length <= bytes.count, "seed \(random.seed), round \(round)")
            }
        }
    }
}

struct ClientAddressTests {
    static let proxies = TrustedProxies([AddressRange("10.0.0.0/8")!, AddressRange("fd00::/8")!])

    static func client(_ fields: String, from peer: String = "10.0.0.1", _ proxies: TrustedProxies = proxies) throws
        -> String
    {
        var parser = RequestParser()
        let bytes = Array("GET / HTTP/1.1\r\nHost: a\r\n\(fields)\r\n".utf8)
        _ = try parser.parse(bytes.span)
        let peer = try #require(SocketAddress(numeric: Array(peer.utf8)))
        return proxies.client(of: parser.head, from: peer).description
    }

    @Test(arguments: [
        ("", "10.0.0.1:0"),
        ("X-Forwarded-For: 192.0.2.1\r\n", "192.0.2.1:0"),
        ("X-Forwarded-For: 192.0.2.1:99\r\n", "192.0.2.1:99"),
        ("X-Forwarded-For: 6.6.6.6, 192.0.2.1\r\n", "192.0.2.1:0"),
        ("X-Forwarded-For: 6.6.6.6\r\nX-Forwarded-For: 192.0.2.1\r\n", "192.0.2.1:0"),
        ("X-Forwarded-For: 6.6.6.6, 192.0.2.1, 10.9.9.9\r\n", "192.0.2.1:0"),
        ("X-Forwarded-For: 10.3.3.3, 10.9.9.9\r\n", "10.3.3.3:0"),
        ("X-Forwarded-For: unknown\r\n", "10.0.0.1:0"),
        ("X-Forwarded-For: 6.6.6.6, nonsense, 10.9.9.9\r\n", "10.9.9.9:0"),
        ("X-Forwarded-For: 2001:db8::1\r\n", "[2001:db8::1]:0"),
        ("Forwarded: for=192.0.2.1;proto=https\r\n", "192.0.2.1:0"),
        ("Forwarded: by=10.0.0.1; For=\"[2001:db8::1]:47\"\r\n", "[2001:db8::1]:47"),
        ("Forwarded: for=6.6.6.6, for=192.0.2.1:8\r\n", "192.0.2.1:8"),
        ("Forwarded: for=192.0.2.1\r\nX-Forwarded-For: 6.6.6.6\r\n", "192.0.2.1:0"),
        ("Forwarded: for=_hidden\r\n", "10.0.0.1:0"), ("Forwarded: proto=https\r\n", "10.0.0.1:0"),
        ("Forwarded: for=\"[::1\"\r\n", "10.0.0.1:0"), ("Forwarded: for=[192.0.2.1]\r\n", "10.0.0.1:0"),
    ])
    func `the last one that a trusted proxy names is the client`(fields: String, client: String) throws {
        #expect(try Self.client(fields) == client)
    }

    @Test func `nobody else's word is taken`() throws {
        let fields = "X-Forwarded-For: 6.6.6.6\r\nForwarded: for=6.6.6.6\r\n"
        #expect(try Self.client(fields, from: "11.0.0.1") == "11.0.0.1:0")
        #expect(try Self.client(fields, TrustedProxies()) == "10.0.0.1:0")
    }
}

@Suite(.serialized) struct ProxyServerTests {
    @Sendable static func peer(_ request: Request, _ response: ResponseWriter) async throws {
        try await response.respond(.ok, text: request.peer.hostDescription)
    }

    static let local = TrustedProxies([AddressRange("127.0.0.0/8")!], sendsProxyHeader: true)

    @Test func `a trusted proxy's header names the client, byte by byte too, and the request follows it`() async throws
    {
        try await LiveServer.serving(configure: { $0.proxies = Self.local }, Self.peer) { live in
            for (header, client) in ProxyHeaderTests.accepted {
                let connection = try live.connect()
                try connection.send(header + Array("GET / HTTP/1.1\r\nHost: a\r\n\r\n".utf8))
                let expected = client.map { try! SocketAddress($0).hostDescription } ?? "127.0.0.1"
                #expect(try connection.response()?.text == expected)
            }
            let slow = try live.connect()
            for byte in Array("PROXY TCP4 192.0.2.1 10.0.0.1 49153 80\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n".utf8) {
                try slow.send([byte])
                try await Task.sleep(for: .microseconds(100))
            }
            #expect(try slow.response()?.text == "192.0.2.1")
            #expect(
                try await eventually {
                    live.recorder.exchanges.withLock { $0.last?.peer.description } == "192.0.2.1:49153"
                })
        }
    }

    @Test func `without its header, or with a malformed one, a proxy's connection is closed`() async throws {
        try await LiveServer.serving(
            configure: {
                $0.proxies = Self.local
                $0.headDeadline = .milliseconds(200)
            }, Self.peer
        ) { live in
            for bytes in ProxyHeaderTests.malformed {
                let connection = try live.connect()
                try connection.send(bytes + Array("\r\n\r\n".utf8))
                #expect(try connection.isAtEnd)
            }
            let silent = try live.connect()
            try silent.send("PROXY TC")
            #expect(try silent.isAtEnd)
            let ended = try live.connect()
            try ended.send("PROXY TC")
            ended.endSending()
            #expect(try ended.isAtEnd)
        }
    }

    @Test func `a PROXY header from anybody else is a malformed request`() async throws {
        let elsewhere = TrustedProxies([AddressRange("10.0.0.0/8")!], sendsProxyHeader: true)
        try await LiveServer.serving(configure: { $0.proxies = elsewhere }, Self.peer) { live in
            for (header, _) in ProxyHeaderTests.accepted {
                let connection = try live.connect()
                try connection.send(header + Array("GET / HTTP/1.1\r\nHost: a\r\n\r\n".utf8))
                #expect(try connection.response()?.status == 400)
            }
            let forwarded = try live.connect()
            try forwarded.send("GET / HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: 6.6.6.6\r\n\r\n")
            #expect(try forwarded.response()?.text == "127.0.0.1")
        }
    }

    @Test func `a client's connections are limited, whether it comes directly or through a proxy`() async throws {
        for proxied in [false, true] {
            try await LiveServer.serving(
                configure: {
                    $0.connectionLimitPerAddress = 2
                    if proxied { $0.proxies = Self.local }
                }, Self.peer
            ) { live in
                func connect(_ client: String) throws -> Client {
                    let connection = try live.connect()
                    if proxied { try connection.send("PROXY TCP4 \(client) 10.0.0.1 1 80\r\n") }
                    return connection
                }
                var first: Client? = try connect("192.0.2.1")
                let second = try connect("192.0.2.1")
                #expect(try first?.get("/")?.status == 200)
                #expect(try second.get("/")?.status == 200)
                let third = try #require(try connect("192.0.2.1").get("/"))
                #expect(third.status == 503 && third.head.contains("Retry-After: 1\r\n"))
                if proxied { #expect(try connect("192.0.2.2").get("/")?.status == 200) }
                first = nil
                #expect(try await eventually { try connect("192.0.2.1").get("/")?.status == 200 })
            }
        }
    }

    @Test func `a client that is refused, as often as it likes, takes no place away from others`() async throws {
        for proxied in [false, true] {
            try await LiveServer.serving(
                configure: {
                    $0.connectionLimit = 20
                    $0.connectionLimitPerAddress = 5
                    // Whoever is being refused stays so for longer than the test takes.
                    $0.lingerDeadline = .seconds(60)
                    if proxied { $0.proxies = Self.local }
                }, Self.peer
            ) { live in
                func connect(_ client: String) throws -> Client {
                    if !proxied { return try live.connect(from: client) }
                    let connection = try live.connect()
                    // It may be closed already: the kernel brings many at once, whose headers are still to be read.
                    try? connection.send("PROXY TCP4 \(client) 10.0.0.1 1 80\r\n")
                    return connection
                }
                let flood = try (0..<100).map { _ in try connect("127.0.0.1") }
                #expect(try await eventually { (try? connect("127.0.0.2").get("/"))??.text == "127.0.0.2" })
                for _ in 0..<3 { #expect(try connect("127.0.0.2").get("/")?.text == "127.0.0.2") }
                withExtendedLifetime(flood) {}
            }
        }
    }

    @Test func `connections of a proxy that names its clients in fields only are not limited`() async throws {
        try await LiveServer.serving(
            configure: {
                $0.connectionLimitPerAddress = 1
                $0.proxies = TrustedProxies([AddressRange("127.0.0.1")!])
            }, Self.peer
        ) { live in
            let connections = try (0..<5).map { _ in try live.connect() }
            for connection in connections {
                try connection.send("GET / HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: 192.0.2.7\r\n\r\n")
                #expect(try connection.response()?.text == "192.0.2.7")
            }
        }
    }
}
