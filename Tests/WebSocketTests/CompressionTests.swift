// SPDX-License-Identifier: Apache-2.0

import TestSupport
import Testing

@testable import WebSocket

struct CompressionTests {
    private func codecs(keepsContext: Bool = true, role: Role = .server, bits: Int = 15) -> ConnectionCodecs {
        ConnectionCodecs(
            CompressionAgreement(
                serverWindowBits: bits, serverKeepsContext: keepsContext, clientWindowBits: bits,
                clientKeepsContext: keepsContext),
            role: role, level: 6, shared: SharedCodecs(level: 6))
    }

    @Test func `the examples of RFC 7692 are inflated`() {
        let hello: [UInt8] = [0xf2, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00]
        #expect(Reading([frame(0xc1, hello)], codecs: codecs()).events == ["text Hello"])
        // §7.2.3.1: in two fragments. §7.2.3.2: the window is kept.
        let fragments = frame(0x41, Array(hello[..<3])) + frame(0x80, Array(hello[3...]))
        #expect(Reading([fragments], codecs: codecs()).events == ["text Hello"])
        let again = frame(0xc1, [0xf2, 0x00, 0x11, 0x00, 0x00])
        #expect(Reading([frame(0xc1, hello) + again], codecs: codecs()).events == ["text Hello", "text Hello"])
        #expect(
            Reading([frame(0xc1, hello) + again], codecs: codecs(keepsContext: false)).failure?.reason
                == .violation(.invalidData))
        // §7.2.3.3: a block that is not compressed. §7.2.3.4: BFINAL. §7.2.3.5: two blocks.
        let stored: [UInt8] = [0x00, 0x05, 0x00, 0xfa, 0xff, 0x48, 0x65, 0x6c, 0x6c, 0x6f, 0x00]
        #expect(Reading([frame(0xc1, stored)], codecs: codecs()).events == ["text Hello"])
        #expect(
            Reading([frame(0xc1, [0xf3, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00, 0x00])], codecs: codecs()).events
                == ["text Hello"])
        let blocks: [UInt8] = [0xf2, 0x48, 0x05, 0x00, 0x00, 0x00, 0xff, 0xff, 0xca, 0xc9, 0xc9, 0x07, 0x00]
        #expect(Reading([frame(0xc1, blocks)], codecs: codecs()).events == ["text Hello"])
        // §7.2.3.6: an empty message.
        #expect(Reading([frame(0xc1, [0x00])], codecs: codecs()).events == ["text "])
    }

    @Test(arguments: [9, 12, 15], [true, false])
    func `messages of every size come back as they were`(bits: Int, keepsContext: Bool) {
        var random = SeededRandom()
        let sender = codecs(keepsContext: keepsContext, role: .client, bits: bits)
        let receiver = codecs(keepsContext: keepsContext)
        for size in [0, 1, 5, 100, 0, 0, 1000, 16_383, 16_384, 16_385, 100_000, 1_000_000, 3] {
            // Half of it repeats, half is noise.
            let message = (0..<size).map {
                $0 % 2 == 0 ? UInt8(truncatingIfNeeded: $0 / 50) : UInt8.random(in: 0...15, using: &random)
            }
            let compressed = sender.deflate(message.span)
            let reading = Reading([frame(0xc2, compressed)], limits: roomy, codecs: receiver)
            #expect(reading == Reading([frame(0x82, message)], limits: roomy), "size \(size), seed \(random.seed)")
        }
    }

    private var roomy: MessageLimits {
        var limits = MessageLimits()
        limits.frameBytes = 4 << 20
        return limits
    }

    @Test func `a bomb is stopped at the limit`() {
        let bomb = codecs(role: .client).deflate([UInt8](repeating: 0, count: 50_000_000).span)
        #expect(bomb.count < 60_000)
        var limits = MessageLimits()
        limits.messageBytes = 1_000_000
        let reading = Reading([frame(0xc2, bomb)], limits: limits, codecs: codecs())
        #expect(reading.failure?.reason == .violation(.messageTooBig))
        for (size, isGood) in [(999_999, true), (1_000_000, true), (1_000_001, false)] {
            let compressed = codecs(role: .client).deflate([UInt8](repeating: 7, count: size).span)
            let reading = Reading([frame(0xc2, compressed)], limits: limits, codecs: codecs())
            #expect((reading.failure == nil) == isGood, "\(size)")
        }
    }

    @Test func `compressed text is checked as it comes, and what cannot be inflated is refused`() {
        let bad = codecs(role: .client).deflate([UInt8]([0x61, 0xed, 0xa0, 0x80]).span)
        #expect(Reading([frame(0xc1, bad)], codecs: codecs()).failure == .invalidText)
        let half = codecs(role: .client).deflate([UInt8]([0xce]).span)
        #expect(Reading([frame(0xc1, half)], codecs: codecs()).failure == .invalidText)
        #expect(
            Reading([frame(0xc1, [0xff, 0xff, 0xff])], codecs: codecs()).failure?.reason == .violation(.invalidData))
        // A stored block of no text, and then a block of no type: the first of them counts, however they are cut.
        let both = frame(0xc1, [0x00, 0x03, 0x00, 0xfc, 0xff, 0xed, 0xa0, 0x80, 0xff])
        for count in 1...both.count {
            let reading = Reading([Array(both[..<count]), Array(both[count...])], codecs: codecs())
            #expect(reading.failure == .invalidText, "cut at \(count)")
        }
        // Without the extension the bit is wrong; with it, on control frames and continuations, too.
        for bytes in [frame(0xc9), frame(0xc8), frame(0x41, [0xf2]) + frame(0xc0, [0x48])] {
            #expect(Reading([bytes], codecs: codecs()).failure?.reason == .violation(.protocolError))
        }
        // Messages may be sent as they are all the same.
        #expect(Reading([frame(0x81, "plain")], codecs: codecs()).events == ["text plain"])
    }

    @Test func `streams are shared by connections whose messages come in fragments at the same time`() throws {
        let shared = SharedCodecs()
        let agreement = CompressionAgreement(serverKeepsContext: false, clientKeepsContext: false)
        let text = String(repeating: "shared ", count: 100)
        let bytes = frame(0xc1, codecs(keepsContext: false, role: .client).deflate(Array(text.utf8).span))
        var readers = (0..<20).map { _ in
            MessageReader(
                role: .server, limits: MessageLimits(),
                codecs: ConnectionCodecs(agreement, role: .server, level: 1, shared: shared))
        }
        var texts = 0
        for position in bytes.indices {
            for index in readers.indices {
                var used = 0
                // A head in pieces stays with its caller: give the reader all of it at once.
                if position < 8 { continue }
                let piece = position == 8 ? Array(bytes[...8]) : [bytes[position]]
                if case .message = try readers[index].next(piece.span, &used) {
                    texts += readers[index].payload == Array(text.utf8) ? 1 : 0
                }
            }
        }
        #expect(texts == 20)
    }

    @Test func `offers are answered as RFC 7692 demands`() {
        var settings = CompressionSettings()
        func answer(_ offer: String...) -> String? { CompressionAgreement.accept(offer, settings)?.element }
        let both = "; server_no_context_takeover; client_no_context_takeover"
        #expect(answer("permessage-deflate") == "permessage-deflate\(both)")
        settings.keepsContext = true
        #expect(answer("permessage-deflate") == "permessage-deflate")
        #expect(answer("permessage-deflate; client_max_window_bits") == "permessage-deflate")
        #expect(answer("x-other, permessage-deflate") == "permessage-deflate")
        #expect(answer("x-other; a=1", "permessage-deflate") == "permessage-deflate")
        #expect(
            answer("permessage-deflate; server_no_context_takeover; server_max_window_bits=10")
                == "permessage-deflate; server_no_context_takeover; server_max_window_bits=10")
        #expect(
            answer("permessage-deflate; server_max_window_bits=15")
                == "permessage-deflate; server_max_window_bits=15")
        #expect(
            answer("permessage-deflate; client_no_context_takeover; client_max_window_bits=\"9\"")
                == "permessage-deflate; client_no_context_takeover")
        // The first offer that can be kept wins.
        #expect(answer("permessage-deflate; server_max_window_bits=8, permessage-deflate") == "permessage-deflate")
        for declined in [
            "permessage-bzip2", "permessage-deflate; unknown", "permessage-deflate; server_max_window_bits=8",
            "permessage-deflate; server_max_window_bits=16", "permessage-deflate; server_max_window_bits=07",
            "permessage-deflate; server_max_window_bits", "permessage-deflate; client_max_window_bits=99",
            "permessage-deflate; server_no_context_takeover=1",
            "permessage-deflate; server_no_context_takeover; server_no_context_takeover", "permessage-deflate;", ";",
            "",
        ] { #expect(answer(declined) == nil, "\(declined)") }
        #expect(CompressionAgreement.accept([], settings) == nil)
    }

    @Test func `a server's answer to our offer is taken or refused`() throws {
        let agreement = try CompressionAgreement.accepted(
            ["permessage-deflate; server_no_context_takeover; client_max_window_bits=10"], offered: true)
        #expect(
            agreement
                == CompressionAgreement(
                    serverWindowBits: 15, serverKeepsContext: false, clientWindowBits: 10, clientKeepsContext: true))
        #expect(try CompressionAgreement.accepted([], offered: true) == nil)
        for bad in [
            "x-other", "permessage-deflate, permessage-deflate", "permessage-deflate; client_max_window_bits",
            "permessage-deflate; client_max_window_bits=8", "permessage-deflate; unknown=1", "permessage-deflate; ;",
        ] {
            #expect(throws: WebSocketError.self) { try CompressionAgreement.accepted([bad], offered: true) }
        }
        #expect(throws: WebSocketError.self) {
            try CompressionAgreement.accepted(["permessage-deflate"], offered: false)
        }
    }
}
