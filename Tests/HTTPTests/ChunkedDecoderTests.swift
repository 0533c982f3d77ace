// SPDX-License-Identifier: Apache-2.0

import Testing

@testable import HTTP

struct ChunkedDecoderTests {
    enum Decoded: Equatable {
        case body(String, used: Int, done: Bool)
        case refused(UInt16)
    }

    static func decode(_ stream: [UInt8], step: Int = .max, limit: Int = .max) -> Decoded {
        var decoder = ChunkedDecoder()
        var output: [UInt8] = []
        var used = 0
        do {
            while used < stream.count && !decoder.isDone {
                let piece = Array(stream[used...].prefix(step))
                let count = try decoder.decode(piece.span, into: &output, limit: limit)
                used += count
                if count == 0 { break }
            }
        } catch {
            return .refused(error.status.code)
        }
        return .body(String(decoding: output, as: UTF8.self), used: used, done: decoder.isDone)
    }

    static let table: [(String, Decoded)] = [
        ("0\r\n\r\n", .body("", used: 5, done: true)),
        ("5\r\nhello\r\n0\r\n\r\nGET", .body("hello", used: 15, done: true)),
        ("5\r\nhel", .body("hel", used: 6, done: false)),
        (
            "00A\r\n0123456789\r\n1;a=b\r\nx\r\n0;last\r\nX: y\r\nZ: w\r\n\r\n",
            .body("0123456789x", used: 49, done: true)
        ),
        ("5 ;a=\"b\"\r\nhello\r\n0\r\n\r\n", .body("hello", used: 22, done: true)),
        ("a\r\n0\r\n\r\n12345\r\n0\r\n\r\n", .body("0\r\n\r\n12345", used: 20, done: true)),
        ("\r\n", .refused(400)), ("g\r\n", .refused(400)), ("-1\r\n", .refused(400)), ("+1\r\n", .refused(400)),
        ("0x1\r\n", .refused(400)), (" 1\r\n", .refused(400)), ("1 \r\n", .refused(400)), ("1\nx\r\n", .refused(400)),
        ("1\r\nx\n", .refused(400)), ("1\r\nxy\r\n", .refused(400)), ("1\rx", .refused(400)),
        ("1;\nx\r\n", .refused(400)), ("1;a\0\r\n", .refused(400)), ("1;a\r\r\n", .refused(400)),
        (";a\r\n", .refused(400)), ("1,1\r\n", .refused(400)),
        ("fffffffffffffffff\r\n", .refused(400)), ("0000000000000001\r\n", .refused(400)),
        ("0\r\n X: y\r\n\r\n", .refused(400)), ("0\r\nX: y\n\r\n", .refused(400)), ("0\r\n\rx", .refused(400)),
        ("0\r\nX: \0\r\n\r\n", .refused(400)), ("0\r\n: y\r\n\r\n", .refused(400)),
        ("0\r\nX\r\n\r\n", .refused(400)), ("0\r\nX : y\r\n\r\n", .refused(400)),
        ("0\r\nX: y\r\n z\r\n\r\n", .refused(400)), ("0\r\nX: y\rZ: w\r\n\r\n", .refused(400)),
        ("0\r\nX:\r\n\r\n", .body("", used: 9, done: true)),
        ("0;a;b=c ; d = \"e\\\"f;\" ;g\r\n\r\n", .body("", used: 28, done: true)),
        ("1;\r\nx\r\n", .refused(400)), ("1;;a\r\nx\r\n", .refused(400)), ("1;a=\r\nx\r\n", .refused(400)),
        ("1;=b\r\nx\r\n", .refused(400)), ("1;a b\r\nx\r\n", .refused(400)), ("1;a=\"b\r\nx\r\n", .refused(400)),
        ("1;a=\"b\\\r\nx\r\n", .refused(400)), ("1;a=\"b\"c\r\nx\r\n", .refused(400)),
        ("1;a=b=c\r\nx\r\n", .refused(400)), ("1;a=b \r\nx\r\n", .refused(400)), ("1;(\r\nx\r\n", .refused(400)),
        ("1;a=\"\n\"\r\nx\r\n", .refused(400)), ("00000000000000000\r\n", .refused(400)),
        ("1h\r\nx\r\n", .refused(400)),
        ("1_0\r\nx\r\n", .refused(400)), ("1.0\r\nx\r\n", .refused(400)), ("\u{b}1\r\nx\r\n", .refused(400)),
    ]

    @Test(arguments: table)
    func `a body is decoded or refused, however it is cut`(stream: String, expected: Decoded) {
        let bytes = Array(stream.utf8)
        for step in 1...bytes.count { #expect(Self.decode(bytes, step: step) == expected, "step \(step)") }
    }

    @Test func `output stops at its limit and goes on later`() throws {
        var decoder = ChunkedDecoder()
        let bytes = Array("5\r\nhello\r\n0\r\n\r\n".utf8)
        var output: [UInt8] = []
        #expect(try decoder.decode(bytes.span, into: &output, limit: 2) == 5)
        let rest = Array(bytes[5...])
        #expect(try decoder.decode(rest.span, into: &output) == 10)
        #expect(output == Array("hello".utf8))
        #expect(decoder.isDone)
    }

    @Test func `extensions and trailers are bounded at their limits`() {
        func stream(extensions: Int, trailers: Int) -> [UInt8] {
            let filler = { (count: Int) in String(repeating: "x", count: count) }
            let half = extensions / 2
            // The size and the semicolon are not counted, the bytes after it are.
            return Array(
                "1;\(filler(half))\r\na\r\n0;\(filler(extensions - half))\r\nx:\(filler(trailers - 2))\r\n\r\n".utf8)
        }
        let (extensions, trailers) = (ChunkedDecoder.extensionBytesLimit, ChunkedDecoder.trailerBytesLimit)
        for (delta, fits) in [(-1, true), (0, true), (1, false)] {
            let long = Self.decode(stream(extensions: extensions + delta, trailers: 2))
            #expect((long == .refused(400)) == !fits)
            let trailing = Self.decode(stream(extensions: 2, trailers: trailers + delta))
            #expect((trailing == .refused(431)) == !fits)
        }
    }

    @Test func `random mutations never crash`() {
        let seed = UInt64.random(in: 0 ... .max)
        var random = SplitMix64(state: seed)
        for round in 0..<5_000 {
            var bytes = Array(Self.table.randomElement(using: &random)!.0.utf8)
            for _ in 0..<3 {
                bytes[Int.random(in: 0..<bytes.count, using: &random)] = UInt8.random(in: 0...127, using: &random)
            }
            let step = Int.random(in: 1...8, using: &random)
            #expect(Self.decode(bytes) == Self.decode(bytes, step: step), "seed \(seed), round \(round)")
        }
    }
}
