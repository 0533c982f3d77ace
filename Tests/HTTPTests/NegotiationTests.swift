// SPDX-License-Identifier: Apache-2.0
// What a response depends on: the host asked for, the page that asks, the codings it takes.

import CZlib
import CZstd
import EventLoop
import Testing

@testable import HTTP

/// The head of a request with these fields.
func head(_ fields: String, method: String = "GET") throws -> RequestHead {
    var parser = RequestParser()
    let bytes = Array("\(method) / HTTP/1.1\r\nHost: a\r\n\(fields)\r\n".utf8)
    _ = try parser.parse(bytes.span)
    return parser.head
}

/// Decodes as much of a gzip stream as there is; whether it has come to its end with the checksum right.
func gunzip(_ bytes: [UInt8]) -> (bytes: [UInt8], isWhole: Bool) {
    var stream = z_stream()
    #expect(tapedeck_inflate_init(&stream, 15 + 16) == Z_OK)
    defer { inflateEnd(&stream) }
    var output: [UInt8] = []
    var status = Z_OK
    var input = bytes
    input.withUnsafeMutableBufferPointer { input in
        stream.next_in = input.baseAddress
        stream.avail_in = uInt(input.count)
        var room = [UInt8](repeating: 0, count: 65_536)
        repeat {
            room.withUnsafeMutableBufferPointer { room in
                stream.next_out = room.baseAddress
                stream.avail_out = uInt(room.count)
                status = inflate(&stream, Z_SYNC_FLUSH)
            }
            output += room[..<(room.count - Int(stream.avail_out))]
        } while status == Z_OK && (stream.avail_in > 0 || stream.avail_out == 0)
    }
    return (output, status == Z_STREAM_END)
}

/// Decodes as much of a Zstandard frame as there is; whether it has come to its end.
func unzstd(_ bytes: [UInt8]) -> (bytes: [UInt8], isWhole: Bool) {
    let stream = ZSTD_createDStream()
    defer { ZSTD_freeDStream(stream) }
    var output: [UInt8] = []
    var left = 1
    var room = [UInt8](repeating: 0, count: 65_536)
    bytes.withUnsafeBytes { bytes in
        var source = ZSTD_inBuffer(src: bytes.baseAddress, size: bytes.count, pos: 0)
        var isFull = true
        while source.pos < source.size || isFull && left > 0 {
            room.withUnsafeMutableBytes { room in
                var target = ZSTD_outBuffer(dst: room.baseAddress, size: room.count, pos: 0)
                left = ZSTD_decompressStream(stream, &target, &source)
                isFull = target.pos == target.size
                output += room[..<target.pos]
            }
            if ZSTD_isError(left) != 0 { return }
        }
    }
    return (output, left == 0)
}

struct HostNameTests {
    @Test(arguments: [
        ("localhost", true), ("LocalHost:8080", true), ("localhost.", true), ("127.0.0.1:1", true), ("[::1]:80", true),
        ("[::1]", true), ("db.example", true), ("evil.example", false), ("localhost.evil.example", false),
        ("127.0.0.1.evil.example", false), ("10.0.0.1", false), ("[::2]", false), ("127.0.0.2", false),
    ])
    func `loopback and the names given are answered for`(authority: String, accepted: Bool) {
        #expect(HostNames.loopback(and: ["DB.example"]).accepts(Array(authority.utf8)[...]) == accepted)
    }
}

struct ContentCodingTests {
    @Test(
        arguments: [
            (nil, ContentCoding.identity), ("", .identity), ("gzip", .gzip), ("x-gzip", .gzip), ("GZIP", .gzip),
            ("br, gzip, deflate", .gzip), ("br", .identity), ("deflate, zstd", .zstd),
            ("gzip, deflate, br, zstd", .zstd), ("zstd;q=0.9, gzip", .gzip), ("zstd;q=0, *", .gzip),
            ("zstd;q=0", .identity),
            ("zstd;q=0.5, gzip;q=0.5, identity;q=0.5", .zstd), ("zstd;q=0.4, identity;q=0.5", .identity), ("*", .gzip),
            ("*;q=0.1", .gzip),
            ("gzip;q=0", .identity), ("gzip;q=0.000", .identity), ("gzip;q=0.001", .gzip), ("gzip ; q=1.000", .gzip),
            ("gzip;q=0.5, identity", .identity), ("gzip;q=0.5, identity;q=0.5", .gzip),
            ("gzip;q=0.4, identity;q=0.5", .identity),
            ("identity;q=0, gzip;q=0.1", .gzip), ("gzip;q=0, *", .identity), ("*;q=0, gzip", .gzip),
            ("*;q=0, identity", .identity),
            ("identity;q=0", .identity), ("*;q=0", .identity), ("gzip;q=0, identity;q=0", .identity),
            ("gzip;q=nonsense", .identity),
            ("gzip;q=1.5", .gzip), ("gzip;level=1", .identity),
        ] as [(String?, ContentCoding)])
    func `the coding is the one that the client likes best`(field: String?, coding: ContentCoding) throws {
        #expect(ContentCoding.chosen(for: try head(field.map { "Accept-Encoding: \($0)\r\n" } ?? "")) == coding)
    }

    @Test(
        arguments: [
            (["Content-Type": "text/csv; charset=utf-8"], true), (["Content-Type": "application/json"], true),
            (["content-type": "Application/X-NDJSON"], true), (["Content-Type": "application/problem+json"], true),
            (["Content-Type": "image/svg+xml"], true), (["Content-Type": "image/png"], false), ([:], false),
            (["Content-Type": "text/event-stream"], false),
            (["Content-Type": "text/css", "Content-Encoding": "br"], false),
            (["Content-Type": "text/css", "Content-Range": "bytes 0-1/2"], false),
            (["Content-Type": "text/css", "Cache-Control": "no-store, No-Transform"], false),
        ] as [(Headers, Bool)])
    func `text is compressed, and nothing that is encoded already`(headers: Headers, expected: Bool) {
        #expect(ContentCoding.isWorthwhile(headers) == expected)
    }
}

@Suite(.serialized) struct NegotiationTests {
    @Sendable private static func routes(_ request: Request, _ response: ResponseWriter) async throws {
        let size = Int(try request.head.query()["n"] ?? "0") ?? 0
        let headers: Headers = ["Content-Type": "text/csv", "ETag": "\"v1\""]
        switch try request.head.path() {
        case "/piece":
            try await response.respond(.ok, headers, [UInt8](repeating: 0x61, count: size))
        case "/stream", "/broken":
            try response.start(.ok, headers)
            for row in 0..<size {
                try await response.write("\(row),0123456789\n")
                if row == 2 { try await response.flush() }
            }
            if try request.head.path() == "/broken" { throw HTTPError(.badGateway, code: "lost", message: "lost") }
        case "/length":
            try response.start(.ok, headers, length: size)
            try await response.write([UInt8](repeating: 0x61, count: size))
        default: try await response.respond(.ok, text: "hello")
        }
    }

    private static func rows(_ count: Int) -> [UInt8] { (0..<count).flatMap { Array("\($0),0123456789\n".utf8) } }

    private static func ask(_ client: Client, _ target: String, _ fields: String = "Accept-Encoding: gzip\r\n") throws
        -> Client.Response
    {
        try client.send("GET \(target) HTTP/1.1\r\nHost: a\r\n\(fields)\r\n")
        return try #require(try client.response())
    }

    @Test(arguments: [(1023, false), (1024, true), (1025, true), (300_000, true)])
    func `a response in one piece is compressed from the size on where it pays`(size: Int, compressed: Bool)
        async throws
    {
        try await LiveServer.serving(Self.routes) { live in
            let client = try live.connect()
            let response = try Self.ask(client, "/piece?n=\(size)")
            #expect(response.head.contains("Content-Encoding: gzip\r\n") == compressed)
            #expect(response.head.contains("Vary: Accept-Encoding\r\n") == compressed)
            #expect(response.head.contains("ETag: \(compressed ? "W/" : "")\"v1\"\r\n"))
            #expect(response.head.contains("Content-Length: \(response.body.count)\r\n"))
            let body = compressed ? gunzip(response.body) : (response.body, true)
            #expect(body.0 == [UInt8](repeating: 0x61, count: size) && body.1)
            let plain = try Self.ask(client, "/piece?n=\(size)", "")
            #expect(plain.body.count == size && plain.head.contains("Vary: Accept-Encoding\r\n") == compressed)
        }
    }

    @Test func `a stream is compressed as it flows: what was flushed can be read at once`() async throws {
        try await LiveServer.serving(Self.routes) { live in
            let client = try live.connect()
            for count in [1, 10, 50_000] {
                let response = try Self.ask(client, "/stream?n=\(count)")
                #expect(response.isComplete)
                let (body, isWhole) =
                    response.head.contains("Content-Encoding: gzip") ? gunzip(response.body) : (response.body, true)
                #expect(body == Self.rows(count) && isWhole)
            }
            #expect(try client.get("/x")?.text == "hello")
        }
    }

    @Test func `who takes Zstandard gets it, in one piece, as a stream, and as far as it came`() async throws {
        let accept = "Accept-Encoding: gzip, deflate, br, zstd\r\n"
        try await LiveServer.serving(Self.routes) { live in
            let client = try live.connect()
            // More bodies than encoders are kept, with gzip between them.
            for count in [1, 300, 50_000, 10, 20_000] {
                let response = try Self.ask(client, "/stream?n=\(count)", accept)
                #expect(response.isComplete)
                #expect(response.head.contains("Content-Encoding: zstd\r\n") == (count >= 3))
                let (body, isWhole) = count >= 3 ? unzstd(response.body) : (response.body, true)
                #expect(body == Self.rows(count) && isWhole)
                #expect(try gunzip(Self.ask(client, "/stream?n=2000").body) == (Self.rows(2000), true))
            }
            let piece = try Self.ask(client, "/piece?n=300000", accept)
            #expect(unzstd(piece.body) == ([UInt8](repeating: 0x61, count: 300_000), true))
            #expect(piece.head.contains("Content-Length: \(piece.body.count)\r\n"))
            let broken = try Self.ask(client, "/broken?n=20000", accept)
            #expect(!broken.isComplete)
            let (body, isWhole) = unzstd(broken.body)
            #expect(!isWhole && body.starts(with: Self.rows(3)) && Self.rows(20_000).starts(with: body))
        }
    }

    @Test func `a compressed stream that fails is broken off, and what had come can be read`() async throws {
        try await LiveServer.serving(Self.routes) { live in
            let response = try Self.ask(try live.connect(), "/broken?n=20000")
            #expect(!response.isComplete)
            let (body, isWhole) = gunzip(response.body)
            #expect(!isWhole && body.starts(with: Self.rows(3)) && Self.rows(20_000).starts(with: body))
        }
    }

    @Test func `HTTP 1.0 gets compressed streams too, and a declared length is kept`() async throws {
        try await LiveServer.serving(Self.routes) { live in
            let old = try live.connect()
            try old.send("GET /stream?n=50000 HTTP/1.0\r\nAccept-Encoding: gzip\r\n\r\n")
            let stream = try #require(try old.response())
            #expect(gunzip(stream.body) == (Self.rows(50_000), true))
            let declared = try Self.ask(try live.connect(), "/length?n=5000")
            #expect(declared.body.count == 5000 && !declared.head.contains("Content-Encoding"))
        }
    }

    @Test func `compression can be turned off`() async throws {
        try await LiveServer.serving(configure: { $0.compresses = false }, Self.routes) { live in
            let response = try Self.ask(try live.connect(), "/piece?n=5000")
            #expect(response.body.count == 5000 && !response.head.contains("Vary"))
        }
    }

    @Test func `a host that is not ours is 421, by Host and by target`() async throws {
        try await LiveServer.serving(configure: { $0.hosts = .loopback() }, Self.routes) { live in
            #expect(try live.connect().get("/x")?.status == 421)
            for (request, status) in [
                ("GET / HTTP/1.1\r\nHost: localhost\r\n\r\n", 200),
                ("GET / HTTP/1.1\r\nHost: 127.0.0.1:80\r\n\r\n", 200),
                ("GET / HTTP/1.0\r\n\r\n", 200), ("GET http://localhost/ HTTP/1.1\r\nHost: evil\r\n\r\n", 200),
                ("GET http://evil/ HTTP/1.1\r\nHost: localhost\r\n\r\n", 421),
                ("GET / HTTP/1.1\r\nHost: evil.example\r\n\r\n", 421),
            ] {
                let client = try live.connect()
                try client.send(request)
                #expect(try client.response()?.status == status, "\(request)")
            }
        }
    }

    @Test func `standard fields are in every answer, refusals too, and give way to the handler's own`() async throws {
        let standard = StandardHeaders(["X-Kept": "standard", "X-Other": "standard"])
        for (given, wanted) in [
            ("x-kept", "X-Other: standard\r\n"), ("X-New", "X-Kept: standard\r\nX-Other: standard\r\n"),
        ] {
            var bytes: [UInt8] = []
            bytes.appendFields(standard, missingIn: [given: "mine"])
            #expect(String(decoding: bytes, as: UTF8.self) == wanted)
        }
        try await LiveServer.serving(
            configure: {
                $0.hosts = .loopback()
                $0.standardHeaders = StandardHeaders(["X-Frame-Options": "DENY"])
            }, Self.routes
        ) { live in
            for (request, status) in [
                ("GET /x HTTP/1.1\r\nHost: localhost\r\n\r\n", 200),
                ("GET /x HTTP/1.1\r\nHost: evil\r\n\r\n", 421),
                ("GET /x HTTP/1.1\r\n\r\n", 400),
            ] {
                let client = try live.connect()
                try client.send(request)
                let response = try #require(try client.response())
                #expect(response.status == status, "\(request)")
                #expect(
                    response.head.split(separator: "\r\n").filter { $0 == "X-Frame-Options: DENY" }.count == 1,
                    "\(request)")
            }
        }
    }

    @Test(
        arguments: [
            (CrossOrigin.Origins.none, "https://a", nil), (.any, "https://a", "*"),
            (.listed(["https://a"]), "https://a", "https://a"), (.listed(["https://a"]), "https://b", nil),
        ] as [(CrossOrigin.Origins, String, String?)])
    func `pages of allowed origins may read, and preflights tell so`(
        origins: CrossOrigin.Origins, origin: String, allowed: String?
    ) async throws {
        try await LiveServer.serving(configure: { $0.crossOrigin = CrossOrigin(origins) }, Self.routes) { live in
            let client = try live.connect()
            let response = try Self.ask(client, "/x", "Origin: \(origin)\r\n")
            #expect(response.head.contains("Access-Control-Allow-Origin: \(allowed ?? "")\r\n") == (allowed != nil))
            #expect(response.head.contains("Access-Control-Expose-Headers: *\r\n") == (allowed != nil))
            #expect(response.head.contains("Timing-Allow-Origin: \(allowed ?? "")\r\n") == (allowed != nil))
            if case .listed = origins { #expect(response.head.contains("Vary: Origin\r\n")) }
            try client.send(
                "OPTIONS /x HTTP/1.1\r\nHost: a\r\nOrigin: \(origin)\r\nAccess-Control-Request-Method: POST\r\n"
                    + "Access-Control-Request-Headers: content-type,x-api-key\r\n\r\n")
            let preflight = try #require(try client.response())
            // Without permission it is an OPTIONS like any other.
            #expect(preflight.status == (allowed == nil ? 200 : 204))
            #expect(preflight.head.contains("Access-Control-Allow-Methods: GET") == (allowed != nil))
            #expect(
                preflight.head.contains("Access-Control-Allow-Headers: content-type,x-api-key\r\n") == (allowed != nil))
        }
    }
}
