// SPDX-License-Identifier: Apache-2.0

import Testing

@testable import HTTP

/// What a parser makes of a stream: the refusal's status, or a description of all that can be seen of the head.
enum Parsed: Equatable, CustomStringConvertible {
    case needMore
    case refused(UInt16, String)
    case head(String, length: Int, body: BodyFraming)

    var description: String {
        switch self {
        case .needMore: "needMore"
        case .refused(let status, let message): "\(status) \(message)"
        case .head(let head, let length, let body): "\(head) length \(length) \(body)"
        }
    }

    var status: UInt16 {
        switch self {
        case .needMore: 0
        case .refused(let status, _): status
        case .head: 200
        }
    }
}

/// Parses `stream`, which grows by `step` bytes at a time.
func parse(_ stream: [UInt8], step: Int = .max, limits: RequestParser.Limits = .init()) -> Parsed {
    parse(stream, cuts: Array(stride(from: min(step, stream.count), to: stream.count, by: step)), limits: limits)
}

/// Parses `stream`, which comes in pieces that end at `cuts`.
func parse(_ stream: [UInt8], cuts: [Int], limits: RequestParser.Limits = .init()) -> Parsed {
    var parser = RequestParser(limits: limits)
    for seen in cuts + [stream.count] {
        do {
            let prefix = Array(stream[..<seen])
            if case .head(let length, let body) = try parser.parse(prefix.span) {
                let head = parser.head
                let query = head.rawQuery.map { String(decoding: $0, as: UTF8.self) } ?? "-"
                return .head(
                    "\(head.methodToken) \(head.method) \(String(decoding: head.rawPath, as: UTF8.self)) \(query) "
                        + "\(head.version) keep \(head.keepAlive) continue \(head.expectsContinue) \(head.allFields)",
                    length: length, body: body)
            }
        } catch {
            return .refused(error.status.code, error.message)
        }
    }
    return .needMore
}

func parse(_ text: String, limits: RequestParser.Limits = .init()) -> Parsed { parse(Array(text.utf8), limits: limits) }

private let host = "Host: a\r\n"

struct RequestParserTests {
    static let accepted: [(String, BodyFraming)] = [
        ("GET / HTTP/1.1\r\n\(host)\r\n", .none),
        ("\r\nGET / HTTP/1.1\r\n\(host)\r\n", .none),
        ("GET / HTTP/1.0\r\n\r\n", .none),
        ("GET / HTTP/1.1\r\nhOsT:\t a.b:80 \t\r\n\r\n", .none),
        ("GET / HTTP/1.2\r\n\(host)\r\n", .none),
        ("GET / HTTP/1.1\r\nHost: [::1]:8080\r\n\r\n", .none),
        ("GET / HTTP/1.1\r\nHost: [::ffff:192.0.2.1]\r\n\r\n", .none),
        ("GET / HTTP/1.1\r\nHost: [v1.x:y]:80\r\n\r\n", .none),
        ("GET / HTTP/1.1\r\nHost: a%20b\r\n\r\n", .none),
        ("GET / HTTP/1.1\r\nHost: a:\r\n\r\n", .none),
        ("GET / HTTP/1.1\r\nHost: a:0000080\r\n\r\n", .none),
        ("GET / HTTP/1.1\r\nHost: a:65535\r\n\r\n", .none),
        ("OPTIONS * HTTP/1.1\r\n\(host)\r\n", .none),
        ("GET http://a.b:1/c?d HTTP/1.1\r\n\(host)\r\n", .none),
        ("GET HTTP://a?d HTTP/1.1\r\n\(host)\r\n", .none),
        ("DELETE /pot?a={b|c}^\"\\ HTTP/1.1\r\n\(host)\r\n", .none),
        ("GET / HTTP/1.1\r\n\(host)Empty:\r\nX: \u{e9}\r\n\r\n", .none),
        ("POST / HTTP/1.1\r\n\(host)Content-Length: 5\r\n\r\nhello", .length(5)),
        ("POST / HTTP/1.1\r\n\(host)Content-Length: 005\r\n\r\nhello", .length(5)),
        ("POST / HTTP/1.1\r\n\(host)Content-Length: 0\r\n\r\n", .none),
        ("POST / HTTP/1.1\r\n\(host)Transfer-Encoding: chunked\r\n\r\n", .chunked),
        ("POST / HTTP/1.1\r\n\(host)transfer-encoding:CHUNKED\r\n\r\n", .chunked),
        ("GET / HTTP/1.1\r\n\(host)Expect: 100-Continue\r\n\r\n", .none),
    ]

    static let refused: [(String, UInt16)] = [
        // Framing that two implementations could read in two ways: request smuggling.
        ("POST / HTTP/1.1\r\n\(host)Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n", 400),
        ("POST / HTTP/1.1\r\n\(host)Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n", 400),
        ("POST / HTTP/1.1\r\n\(host)Content-Length: 5\r\nContent-Length: 6\r\n\r\n", 400),
        ("POST / HTTP/1.1\r\n\(host)Content-Length: 5\r\nContent-Length: 5\r\n\r\n", 400),
        ("POST / HTTP/1.1\r\n\(host)Content-Length: 5, 5\r\n\r\n", 400),
        ("POST / HTTP/1.1\r\n\(host)Content-Length: +5\r\n\r\n", 400),
        ("POST / HTTP/1.1\r\n\(host)Content-Length: -5\r\n\r\n", 400),
        ("POST / HTTP/1.1\r\n\(host)Content-Length: 0x5\r\n\r\n", 400),
        ("POST / HTTP/1.1\r\n\(host)Content-Length: 5 5\r\n\r\n", 400),
        ("POST / HTTP/1.1\r\n\(host)Content-Length: 5a\r\n\r\n", 400),
        ("POST / HTTP/1.1\r\n\(host)Content-Length:\r\n\r\n", 400),
        ("POST / HTTP/1.1\r\n\(host)Content-Length: 18446744073709551621\r\n\r\n", 400),
        ("POST / HTTP/1.1\r\n\(host)Content-Length: 9999999999999999999\r\n\r\n", 400),
        ("POST / HTTP/1.1\r\n\(host)Content-Length : 5\r\n\r\n", 400),
        ("POST / HTTP/1.1\r\n\(host) Content-Length: 5\r\n\r\n", 400),
        ("POST / HTTP/1.1\r\n\(host)X: y\r\n Transfer-Encoding: chunked\r\n\r\n", 400),
        ("POST / HTTP/1.1\r\n\(host)Transfer-Encoding : chunked\r\n\r\n", 400),
        ("POST / HTTP/1.1\r\n\(host)Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n", 400),
        ("POST / HTTP/1.1\r\n\(host)Transfer-Encoding: chunked, chunked\r\n\r\n", 400),
        ("POST / HTTP/1.1\r\n\(host)Transfer-Encoding: gzip, chunked\r\n\r\n", 501),
        ("POST / HTTP/1.1\r\n\(host)Transfer-Encoding: gzip;q=1 , x ,CHUNKED\r\n\r\n", 501),
        ("POST / HTTP/1.1\r\n\(host)Transfer-Encoding: gzip, chunked\r\nContent-Length: 5\r\n\r\n", 400),
        ("POST / HTTP/1.1\r\n\(host)Content-Length: 5\r\nTransfer-Encoding: gzip, chunked\r\n\r\n", 400),
        ("POST / HTTP/1.1\r\n\(host)Transfer-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n\r\n", 400),
        ("POST / HTTP/1.1\r\n\(host)Transfer-Encoding: chunked, gzip, chunked\r\n\r\n", 400),
        ("POST / HTTP/1.1\r\n\(host)Transfer-Encoding: gzip x, chunked\r\n\r\n", 400),
        ("POST / HTTP/1.1\r\n\(host)Transfer-Encoding: , chunked\r\n\r\n", 400),
        ("POST / HTTP/1.1\r\n\(host)Transfer-Encoding: chunked, gzip\r\n\r\n", 400),
        ("POST / HTTP/1.1\r\n\(host)Transfer-Encoding: gzip\r\n\r\n", 400),
        ("POST / HTTP/1.1\r\n\(host)Transfer-Encoding: identity\r\n\r\n", 400),
        ("POST / HTTP/1.1\r\n\(host)Transfer-Encoding: xchunked\r\n\r\n", 400),
        ("POST / HTTP/1.1\r\n\(host)Transfer-Encoding: \"chunked\"\r\n\r\n", 400),
        ("POST / HTTP/1.1\r\n\(host)Transfer-Encoding: chunked;q=1\r\n\r\n", 400),
        ("POST / HTTP/1.1\r\n\(host)Transfer-Encoding: chunked,\r\n\r\n", 400),
        ("POST / HTTP/1.1\r\n\(host)Transfer-Encoding:\r\n\r\n", 400),
        ("POST / HTTP/1.1\r\n\(host)Transfer-Encoding: \u{b}chunked\r\n\r\n", 400),
        ("POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n", 400),
        // Lines.
        ("GET / HTTP/1.1\n\(host)\r\n", 400),
        ("GET / HTTP/1.1\r\nHost: a\n\r\n", 400),
        ("GET / HTTP/1.1\r\n\(host)\n", 400),
        ("GET / HTTP/1.1\r\n\(host)X: a\rb\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\n\(host)X: a\r\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\n\(host)X: a\0b\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\n\(host)X: a\u{1}b\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\n\(host)X: a\u{7f}b\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\n\(host)X: a\r\n folded\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\n\(host)X: a\r\n\tfolded\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\n X: a\r\n\(host)\r\n", 400),
        ("GET / HTTP/1.1\r\n\(host): a\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\n\(host)X\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\n\(host)X y: a\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\n\(host)X\0: a\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\n\(host)\u{e9}: a\r\n\r\n", 400),
        ("\r\n\r\nGET / HTTP/1.1\r\n\(host)\r\n", 400),
        ("\nGET / HTTP/1.1\r\n\(host)\r\n", 400),
        ("\rGET / HTTP/1.1\r\n\(host)\r\n", 400),
        // Request line.
        ("\u{16}\u{3}\u{1}", 400),
        ("GET /\r\n", 400),
        ("GET\r\n", 400),
        ("GET  / HTTP/1.1\r\n\(host)\r\n", 400),
        ("GET /  HTTP/1.1\r\n\(host)\r\n", 400),
        ("GET / HTTP/1.1 \r\n\(host)\r\n", 400),
        (" GET / HTTP/1.1\r\n\(host)\r\n", 400),
        ("GET\t/ HTTP/1.1\r\n\(host)\r\n", 400),
        ("G\u{e9}T / HTTP/1.1\r\n\(host)\r\n", 400),
        ("G(T / HTTP/1.1\r\n\(host)\r\n", 400),
        ("GET / a HTTP/1.1\r\n\(host)\r\n", 400),
        ("GET a HTTP/1.1\r\n\(host)\r\n", 400),
        ("GET ?a HTTP/1.1\r\n\(host)\r\n", 400),
        ("GET * HTTP/1.1\r\n\(host)\r\n", 400),
        ("OPTIONS *a HTTP/1.1\r\n\(host)\r\n", 400),
        ("GET /\u{e9} HTTP/1.1\r\n\(host)\r\n", 400),
        ("GET /a#b HTTP/1.1\r\n\(host)\r\n", 400),
        ("GET /a\u{7f} HTTP/1.1\r\n\(host)\r\n", 400),
        ("GET /a\0 HTTP/1.1\r\n\(host)\r\n", 400),
        ("GET ftp://a/ HTTP/1.1\r\n\(host)\r\n", 400),
        ("GET http:///a HTTP/1.1\r\n\(host)\r\n", 400),
        ("GET http://u@a/ HTTP/1.1\r\n\(host)\r\n", 400),
        ("CONNECT a:1 HTTP/1.1\r\n\(host)\r\n", 501),
        ("BREW / HTTP/1.1\r\n\(host)\r\n", 501),
        ("get / HTTP/1.1\r\n\(host)\r\n", 501),
        ("GET / HTTP/1.2\r\n\r\n", 400),
        ("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505),
        ("GET / HTTP/2.0\r\n\(host)\r\n", 505),
        ("GET / HTTP/0.9\r\n\(host)\r\n", 505),
        ("GET / HTTP/1.10\r\n\(host)\r\n", 400),
        ("GET / http/1.1\r\n\(host)\r\n", 400),
        ("GET / HTTP/1,1\r\n\(host)\r\n", 400),
        // Host.
        ("GET / HTTP/1.1\r\n\r\n", 400),
        ("GET http://a/ HTTP/1.1\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n", 400),
        ("GET / HTTP/1.0\r\nHost: a\r\nHost: b\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost:\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost: a b\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost: a, b\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost: a/b\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost: u@a\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost: a:b\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost: a:123456\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost: [::1\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost: []\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost: [1]\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost: [:]\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost: [.]\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost: [192.0.2.1]\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost: [::1%25lo]\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost: [v.x]\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost: [v1.]\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost: [v1x]\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost: [vg.x]\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost: [v1.%41]\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost: [::1]x\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost: %\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost: a%\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost: a%2\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost: %zz\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost: localhost:65536\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost: localhost:99999\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\n\(host)Expect: coffee\r\n\r\n", 417),
    ]

    @Test(arguments: accepted)
    func `a valid head is accepted with its framing`(stream: String, body: BodyFraming) {
        let parsed = parse(stream)
        guard case .head(_, let length, let framing) = parsed else {
            Issue.record("\(parsed) for \(stream.debugDescription)")
            return
        }
        #expect(framing == body)
        let end = stream.utf8.count - (stream.hasSuffix("hello") ? 5 : 0)
        #expect(length == end)
    }

    @Test(arguments: refused)
    func `a malformed head is refused with its status`(stream: String, status: UInt16) {
        let parsed = parse(stream)
        #expect(parsed.status == status, "\(parsed)")
    }

    @Test func `the outcome does not depend on how the stream is cut`() {
        for stream in Self.accepted.map(\.0) + Self.refused.map(\.0) {
            let bytes = Array(stream.utf8)
            let whole = parse(bytes)
            #expect(parse(bytes, step: 1) == whole, "byte by byte: \(stream.debugDescription)")
            for cut in 1..<bytes.count {
                #expect(parse(bytes, cuts: [cut]) == whole, "cut at \(cut): \(stream.debugDescription)")
            }
        }
    }

    @Test func `limits hold below, at and above, however the stream is cut`() {
        var limits = RequestParser.Limits()
        limits.headBytes = 200
        limits.targetBytes = 50
        limits.fieldCount = 5
        func head(bytes: Int) -> String {
            let fixed = "GET / HTTP/1.1\r\n\(host)X: \r\n\r\n"
            return fixed.replacing("X: ", with: "X: " + String(repeating: "x", count: bytes - fixed.utf8.count))
        }
        func target(bytes: Int) -> String { "GET /\(String(repeating: "a", count: bytes - 1)) HTTP/1.1\r\n\(host)\r\n" }
        func fields(_ count: Int) -> String {
            "GET / HTTP/1.1\r\n\(host)\(String(repeating: "a:b\r\n", count: count - 1))\r\n"
        }
        let table: [(String, UInt16)] = [
            (head(bytes: 199), 200), (head(bytes: 200), 200), (head(bytes: 201), 431), (head(bytes: 500), 431),
            (target(bytes: 49), 200), (target(bytes: 50), 200), (target(bytes: 51), 414), (target(bytes: 250), 414),
            (fields(4), 200), (fields(5), 200), (fields(6), 431),
            // Without an end: the limit decides, not the deadline.
            (String(repeating: "a", count: 200), 0), (String(repeating: "a", count: 201), 414),
        ]
        for (stream, status) in table {
            for step in [1, 7, 64, .max] {
                let parsed = parse(Array(stream.utf8), step: step, limits: limits)
                #expect(parsed.status == status, "\(parsed), step \(step) of \(stream)")
            }
        }
    }

    @Test func `random mutations never crash, and cutting never changes the outcome`() {
        let seed = UInt64.random(in: 0 ... .max)
        var random = SplitMix64(state: seed)
        let interesting = Array("\r\n\r\n :,;\t\0GETHost0123/?#%HTTP/1.1\u{ff}".utf8)
        let streams = Self.accepted.map { Array($0.0.utf8) } + Self.refused.map { Array($0.0.utf8) }
        for round in 0..<5_000 {
            var bytes = streams.randomElement(using: &random)!
            for _ in 0..<Int.random(in: 1...4, using: &random) where !bytes.isEmpty {
                let at = Int.random(in: 0..<bytes.count, using: &random)
                switch Int.random(in: 0..<4, using: &random) {
                case 0: bytes[at] = interesting.randomElement(using: &random)!
                case 1: bytes.remove(at: at)
                case 2: bytes.insert(interesting.randomElement(using: &random)!, at: at)
                default: bytes.append(contentsOf: streams.randomElement(using: &random)![...])
                }
            }
            let step = Int.random(in: 1...16, using: &random)
            #expect(parse(bytes) == parse(bytes, step: step), "seed \(seed), round \(round), step \(step)")
        }
    }

    @Test func `a parser reads the next head after a reset`() throws {
        var parser = RequestParser()
        for target in ["/a?b=c", "/d"] {
            parser.reset()
            let bytes = Array("GET \(target) HTTP/1.1\r\nHost: a\r\nX: 1\r\nx: 2\r\n\r\n".utf8)
            #expect(try parser.parse(bytes.span) == .head(length: bytes.count, body: .none))
            #expect(parser.head.target == target)
            #expect(parser.head.values(of: "x") == ["1", "2"])
        }
        #expect(parser.head.rawQuery == nil)
        #expect(parser.head["x"] == "1")
        #expect(parser.head["y"] == nil)
    }

    @Test(arguments: [
        ("HTTP/1.1", "", true), ("HTTP/1.1", "Connection: close\r\n", false),
        ("HTTP/1.1", "Connection: Upgrade, CLOSE\r\n", false), ("HTTP/1.0", "", false),
        ("HTTP/1.0", "Connection: Keep-Alive\r\n", true), ("HTTP/1.0", "Connection: keep-alive, close\r\n", false),
        ("HTTP/1.1", "Connection: keep-alive\r\nConnection: close\r\n", false),
    ])
    func `persistence follows version and Connection`(version: String, field: String, keepAlive: Bool) throws {
        var parser = RequestParser()
        let bytes = Array("GET / \(version)\r\n\(host)\(field)\r\n".utf8)
        _ = try parser.parse(bytes.span)
        #expect(parser.head.keepAlive == keepAlive)
    }

    @Test func `byte sets are the sets of the grammar`() {
        let letters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
        let table: [(ByteSet, String)] = [
            (.token, "!#$%&'*+-.^_`|~0123456789" + letters),
            (.registeredName, "-._~!$&'()*+,;=%0123456789" + letters),
        ]
        for (set, characters) in table {
            for byte in UInt8.min ... .max { #expect(set.contains(byte) == characters.utf8.contains(byte)) }
        }
        for byte in UInt8.min ... .max {
            #expect(ByteSet.target.contains(byte) == (byte > 0x20 && byte < 0x7f && byte != UInt8(ascii: "#")))
        }
    }
}

/// A small seeded generator (Steele, Lea, Flood 2014).
struct SplitMix64: RandomNumberGenerator {
    var state: UInt64

    mutating func next() -> UInt64 {
        state &+= 0x9e37_79b9_7f4a_7c15
        var z = state
        z = (z ^ (z >> 30)) &* 0xbf58_476d_1ce4_e5b9
        z = (z ^ (z >> 27)) &* 0x94d0_49bb_1331_11eb
        return z ^ (z >> 31)
    }
}
