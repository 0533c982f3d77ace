// SPDX-License-Identifier: Apache-2.0

import TestSupport
import Testing

@testable import WebSocket

/// A frame of a client's or a server's as bytes, whatever the rules say.
func frame(
    _ first: UInt8, _ payload: [UInt8] = [], mask: UInt32? = 0x3d21_fa37, length: [UInt8]? = nil
) -> [UInt8] {
    var bytes: [UInt8] = [first]
    let bit: UInt8 = mask == nil ? 0 : 0x80
    if let length {
        bytes += [bit | length[0]] + length.dropFirst()
    } else if payload.count < 126 {
        bytes.append(bit | UInt8(payload.count))
    } else if payload.count < 65_536 {
        bytes += [bit | 126, UInt8(payload.count >> 8), UInt8(payload.count & 0xff)]
    } else {
        bytes.append(bit | 127)
        bytes += (0..<8).map { UInt8(truncatingIfNeeded: payload.count >> (56 - 8 * $0)) }
    }
    guard let mask else { return bytes + payload }
    let key = (0..<4).map { UInt8(truncatingIfNeeded: mask >> UInt32(8 * $0)) }
    return bytes + key + payload.enumerated().map { $1 ^ key[$0 & 3] }
}

func frame(_ first: UInt8, _ text: String, mask: UInt32? = 0x3d21_fa37) -> [UInt8] {
    frame(first, Array(text.utf8), mask: mask)
}

/// What a stream of bytes comes to.
struct Reading: Equatable, CustomStringConvertible {
    var events: [String] = []
    var failure: WebSocketError?

    var description: String { "\(events) \(failure.map { "\($0.reason) \($0)" } ?? "")" }

    /// Reads `pieces` one after the other, as a connection does: what is not used stays in front of the next.
    init(
        _ pieces: [[UInt8]], role: Role = .server, limits: MessageLimits = MessageLimits(),
        codecs: ConnectionCodecs? = nil
    ) {
        var reader = MessageReader(role: role, limits: limits, codecs: codecs)
        var input: [UInt8] = []
        for piece in pieces {
            input += piece
            var position = 0
            do throws(WebSocketError) {
                reading: while true {
                    switch try reader.next(input.span, &position) {
                    case .needMore: break reading
                    case .message(let kind): events.append("\(kind) \(Self.text(reader.payload))")
                    case .ping: events.append("ping \(Self.text(reader.control))")
                    case .pong: events.append("pong \(Self.text(reader.control))")
                    case .close(let code): events.append("close \(code.rawValue) \(Self.text(reader.control))")
                    }
                }
            } catch {
                failure = error
                return
            }
            input.removeFirst(position)
        }
    }

    private static func text(_ bytes: [UInt8]) -> String {
        bytes.count > 40
            ? "\(bytes.count) bytes, sum \(bytes.reduce(0) { $0 &* 31 &+ Int($1) })"
            : String(decoding: bytes, as: UTF8.self)
    }
}

struct FrameTests {
    @Test func `the examples of RFC 6455 are read and written`() {
        let hello = Array("Hello".utf8)
        let unmasked: [UInt8] = [0x81, 0x05, 0x48, 0x65, 0x6c, 0x6c, 0x6f]
        let masked: [UInt8] = [0x81, 0x85, 0x37, 0xfa, 0x21, 0x3d, 0x7f, 0x9f, 0x4d, 0x51, 0x58]
        #expect(Reading([unmasked], role: .client).events == ["text Hello"])
        #expect(Reading([masked]).events == ["text Hello"])
        #expect(
            Reading([[0x01, 0x03, 0x48, 0x65, 0x6c, 0x80, 0x02, 0x6c, 0x6f]], role: .client).events == ["text Hello"])
        #expect(Reading([[0x89, 0x05] + hello], role: .client).events == ["ping Hello"])
        var written: [UInt8] = []
        written.appendFrame(FrameHead(.text, length: 5), hello.span)
        #expect(written == unmasked)
        written = []
        written.appendFrame(FrameHead(.text, length: 5, mask: 0x3d21_fa37), hello.span)
        #expect(written == masked)
    }

    @Test(arguments: [0, 1, 125, 126, 127, 128, 65_535, 65_536, 70_000])
    func `frames of every length are written as they are read`(length: Int) {
        let payload = (0..<length).map { UInt8(truncatingIfNeeded: $0 &* 7) }
        for role in [Role.client, .server] {
            let mask: UInt32? = role == .server ? 0x0102_0304 : nil
            var written: [UInt8] = []
            written.appendFrame(FrameHead(.binary, length: length, mask: mask), payload.span)
            #expect(written == frame(0x82, payload, mask: mask))
            #expect(Reading([written], role: role) == Reading([frame(0x82, payload, mask: mask)], role: role))
            #expect(Reading([written], role: role).events.count == 1)
        }
    }

    @Test func `masking is the same eight bytes at a time as one by one`() {
        var random = SeededRandom()
        for length in 0..<80 {
            for phase in 0..<5 {
                let bytes = (0..<(length + 3)).map { _ in UInt8.random(in: 0...255, using: &random) }
                let mask = UInt32.random(in: 0...(.max), using: &random)
                var masked = bytes
                masked.applyMask(mask, from: 3, phase: phase)
                let expected = bytes.enumerated().map { index, byte in
                    index < 3 ? byte : byte ^ UInt8(truncatingIfNeeded: mask >> UInt32(8 * ((index - 3 + phase) & 3)))
                }
                #expect(masked == expected, "length \(length), phase \(phase), seed \(random.seed)")
            }
        }
    }

    @Test func `masking keys are not repeated`() {
        var source = MaskSource()
        let keys = (0..<1000).map { _ in source.next() }
        #expect(Set(keys).count > 990)
    }

    // The classes of invalid frames are those of the Autobahn suite; the numbers of its cases stand beside them.
    static let violations: [(name: String, bytes: [UInt8], code: UInt16)] = [
        // 2.5: a ping of 126 bytes
        ("a ping that is too long", frame(0x89, [UInt8](repeating: 1, count: 126)), 1002),
        // 3.1-3.7: reserved bits
        ("RSV1", frame(0xc1, "a"), 1002), ("RSV2", frame(0xa1, "a"), 1002), ("RSV3", frame(0x91, "a"), 1002),
        ("RSV2 and RSV3", frame(0xb2, "a"), 1002), ("RSV1 of a ping", frame(0xc9, "a"), 1002),
        ("RSV3 of a close", frame(0x98), 1002), ("RSV1 of a continuation", frame(0x01, "a") + frame(0xc0, "a"), 1002),
        // 4.1, 4.2: reserved opcodes
        ("opcode 3", frame(0x83), 1002), ("opcode 4", frame(0x84, "a"), 1002), ("opcode 5", frame(0x85), 1002),
        ("opcode 6", frame(0x86, "a"), 1002), ("opcode 7", frame(0x87), 1002), ("opcode 11", frame(0x8b), 1002),
        ("opcode 12", frame(0x8c, "a"), 1002), ("opcode 13", frame(0x8d), 1002), ("opcode 14", frame(0x8e, "a"), 1002),
        ("opcode 15", frame(0x8f), 1002),
        // 5.1, 5.2: fragmented control frames
        ("a fragmented ping", frame(0x09, "a") + frame(0x80, "b"), 1002),
        ("a fragmented pong", frame(0x0a, "a") + frame(0x80, "b"), 1002), ("a fragmented close", frame(0x08), 1002),
        // 5.9-5.14: continuations of nothing
        ("a continuation of nothing, the last", frame(0x80, "a"), 1002),
        ("a continuation of nothing, not the last", frame(0x00, "a") + frame(0x81, "b"), 1002),
        ("a continuation after a whole message", frame(0x81, "a") + frame(0x80, "b"), 1002),
        // 5.15, 5.18: a new message inside another
        ("a text inside a text", frame(0x01, "a") + frame(0x81, "b"), 1002),
        ("a binary inside a text", frame(0x01, "a") + frame(0x02, "b"), 1002),
        // 6.3, 6.4: text that is not UTF-8; 6.6-6.23 are the table of UTF8Tests
        ("invalid UTF-8", frame(0x81, [0xce, 0xba, 0xed, 0xa0, 0x80]), 1007),
        ("a text that ends within a character", frame(0x81, [0xce, 0xba, 0xe1, 0xbd]), 1007),
        ("a fragmented text that ends within a character", frame(0x01, [0xce]) + frame(0x80, [0xba, 0xe1]), 1007),
        ("a second fragment that is invalid", frame(0x01, [0xf4]) + frame(0x00, [0x90]), 1007),
        // 7.3: close frames
        ("a close frame of one byte", frame(0x88, [3]), 1002),
        ("a close frame of 126 bytes", frame(0x88, [3, 0xe8] + [UInt8](repeating: 0x61, count: 124)), 1002),
        // 7.5: a reason that is not UTF-8
        ("a close reason that is not UTF-8", frame(0x88, [3, 0xe8, 0xce, 0xba, 0xed, 0xa0, 0x80]), 1007),
        ("a close reason that ends within a character", frame(0x88, [3, 0xe8, 0xce]), 1007),
        // Masking and lengths, which the suite does not try
        ("a frame that is not masked", frame(0x81, "a", mask: nil), 1002),
        (
            "16 bits of length where 7 do", frame(0x81, [UInt8](repeating: 0x61, count: 125), length: [126, 0, 125]),
            1002
        ),
        ("64 bits of length where 16 do", frame(0x82, [], length: [127, 0, 0, 0, 0, 0, 0, 0xff, 0xff]), 1002),
        ("a length of 64 bits", frame(0x82, [], length: [127, 0x80, 0, 0, 0, 0, 0, 0, 0]), 1002),
        // 9: limits
        ("a frame over the limit", frame(0x82, [], length: [127, 0, 0, 0, 0, 0, 0x10, 0, 1]), 1009),
        (
            "the longest length there is", frame(0x82, [], length: [127, 0x7f] + [UInt8](repeating: 0xff, count: 7)),
            1009
        ),
    ]

    @Test(arguments: violations.indices)
    func `what breaks the protocol is refused with the right code, however it is cut`(index: Int) {
        let (name, bytes, code) = Self.violations[index]
        let whole = Reading([bytes])
        #expect(whole.failure?.reason == .violation(CloseCode(rawValue: code)), "\(name): \(whole)")
        for cut in 0...bytes.count {
            #expect(Reading([Array(bytes[..<cut]), Array(bytes[cut...])]) == whole, "\(name), cut at \(cut)")
        }
        #expect(Reading(bytes.map { [$0] }) == whole, "\(name), byte by byte")
        // Fails fast: nothing behind it is looked at, and what came before is given out first.
        #expect(Reading([frame(0x81, "first") + bytes + frame(0x81, "after")]).events.first == "text first")
    }

    // 7.7 and 7.9
    @Test func `close codes are taken where they may be sent`() {
        for code in UInt16(0)...5100 {
            let reading = Reading([frame(0x88, [UInt8(code >> 8), UInt8(code & 0xff)] + Array("why".utf8))])
            let valid = (1000...1003).contains(code) || (1007...1014).contains(code) || (3000...4999).contains(code)
            #expect(reading.events == (valid ? ["close \(code) why"] : []))
            #expect(reading.failure?.reason == (valid ? nil : .violation(.protocolError)))
        }
        #expect(Reading([frame(0x88)]).events == ["close 1005 "])
    }

    /// Everything that is allowed, in one stream: 1, 2, 5.3-5.8, 5.19, 6.1, 6.2.
    static let everything: [UInt8] = [
        frame(0x81, ""), frame(0x82, "binary"), frame(0x89, "ping"), frame(0x8a), frame(0x8a, "unasked"),
        frame(0x01, "one, "), frame(0x89, "in between"), frame(0x00, ""), frame(0x00, "two, "), frame(0x8a, "again"),
        frame(0x80, "three"), frame(0x01, ""), frame(0x80, ""), frame(0x81, [UInt8](repeating: 0x61, count: 300)),
        frame(0x81, "κόσμε 🎞️"), frame(0x01, [0xf0, 0x9f]), frame(0x89, "within a character"),
        frame(0x80, [0x8e, 0x9e]),
        frame(0x82, [UInt8](repeating: 0xff, count: 66_000)), frame(0x88, [3, 0xe8] + Array("bye".utf8)),
    ].flatMap { $0 }

    @Test func `every cut of a stream gives the same`() {
        let whole = Reading([Self.everything])
        #expect(whole.failure == nil)
        #expect(
            whole.events.prefix(10) == [
                "text ", "binary binary", "ping ping", "pong ", "pong unasked", "ping in between", "pong again",
                "text one, two, three", "text ", whole.events[9],
            ])
        #expect(whole.events.last == "close 1000 bye" && whole.events.contains("text 🎞"))
        for cut in Array(0...900) + [10_000, Self.everything.count - 5] {
            #expect(
                Reading([Array(Self.everything[..<cut]), Array(Self.everything[cut...])]) == whole, "cut at \(cut)")
        }
        #expect(Reading(Self.everything.map { [$0] }) == whole)
    }

    @Test func `bytes that were changed at random give the same however they are cut, and never more than is allowed`()
    {
        var random = SeededRandom()
        for round in 0..<2000 {
            var bytes = Array(Self.everything[..<700])
            for _ in 0..<Int.random(in: 1...4, using: &random) {
                let index = Int.random(in: 0..<bytes.count, using: &random)
                switch Int.random(in: 0..<3, using: &random) {
                case 0: bytes[index] ^= 1 << UInt8.random(in: 0..<8, using: &random)
                case 1: bytes.remove(at: index)
                default: bytes.insert(UInt8.random(in: 0...255, using: &random), at: index)
                }
            }
            let whole = Reading([bytes])
            var pieces: [[UInt8]] = []
            var rest = bytes[...]
            while !rest.isEmpty {
                let count = Int.random(in: 1...min(40, rest.count), using: &random)
                pieces.append(Array(rest.prefix(count)))
                rest = rest.dropFirst(count)
            }
            #expect(Reading(pieces) == whole, "seed \(random.seed), round \(round)")
        }
    }

    @Test(arguments: [(99, true), (100, true), (101, false)])
    func `limits hold for a frame, for a message and for its fragments`(count: Int, isGood: Bool) {
        let payload = [UInt8](repeating: 0x61, count: count)
        var limits = MessageLimits()
        limits.frameBytes = 100
        #expect((Reading([frame(0x82, payload)], limits: limits).failure == nil) == isGood)
        limits = MessageLimits()
        limits.messageBytes = 100
        #expect((Reading([frame(0x82, payload)], limits: limits).failure == nil) == isGood)
        let halves = frame(0x02, Array(payload[..<50])) + frame(0x80, Array(payload[50...]))
        let reading = Reading([halves], limits: limits)
        #expect(reading.failure?.reason == (isGood ? nil : .violation(.messageTooBig)))
        limits = MessageLimits()
        limits.fragments = 100
        var fragments = frame(0x02, "a")
        for _ in 1..<(count - 1) { fragments += frame(0x00) }
        fragments += frame(0x80)
        #expect(
            Reading([fragments], limits: limits).failure?.reason == (isGood ? nil : .violation(.policyViolation)))
    }
}

struct UTF8Tests {
    private func check(_ bytes: [UInt8]) -> Bool {
        var check = UTF8Check()
        return bytes.withUnsafeBytes { check.take($0) } && check.isAtBoundary
    }

    private func reference(_ bytes: [UInt8]) -> Bool { String(validating: bytes, as: UTF8.self) != nil }

    @Test
    func `all sequences of up to two bytes, and the borders of longer ones, are judged as by the standard library`() {
        for a in UInt8(0)...255 {
            #expect(check([a]) == reference([a]))
            for b in UInt8(0)...255 where check([a, b]) != reference([a, b]) { Issue.record("\(a) \(b)") }
        }
        let borders: [UInt8] = [0x00, 0x7f, 0x80, 0x8f, 0x90, 0x9f, 0xa0, 0xbf, 0xc0, 0xff]
        for a in UInt8(0xe0)...0xff {
            for b in borders {
                for c in borders {
                    #expect(check([a, b, c]) == reference([a, b, c]))
                    for d in borders where check([a, b, c, d]) != reference([a, b, c, d]) {
                        Issue.record("\(a) \(b) \(c) \(d)")
                    }
                }
            }
        }
    }

    @Test func `pieces are judged as the whole, at the first byte that cannot be right`() {
        var random = SeededRandom()
        let alphabet = Array("aé€🎞\u{7ff}\u{800}\u{ffff}\u{10ffff} long ascii text that is skipped".utf8)
        for _ in 0..<3000 {
            var bytes = (0..<Int.random(in: 0..<40, using: &random)).flatMap { _ in
                let start = Int.random(in: 0..<alphabet.count, using: &random)
                return Array(alphabet[start...].prefix(Int.random(in: 1...9, using: &random)))
            }
            if Bool.random(using: &random) { bytes = Array(String(decoding: bytes, as: UTF8.self).utf8) }
            let cut = Int.random(in: 0...bytes.count, using: &random)
            var check = UTF8Check()
            let first = bytes[..<cut].withUnsafeBytes { check.take($0) }
            let second = first && bytes[cut...].withUnsafeBytes { check.take($0) }
            #expect((second && check.isAtBoundary) == reference(bytes), "\(bytes), seed \(random.seed)")
        }
        // Fails fast: the second byte of a surrogate is enough.
        var fast = UTF8Check()
        let good = [UInt8](arrayLiteral: 0xce, 0xba, 0xed).withUnsafeBytes { fast.take($0) }
        let bad = [UInt8(0xa0)].withUnsafeBytes { fast.take($0) }
        #expect(good && !bad)
    }
}
