// SPDX-License-Identifier: Apache-2.0
// Peers that are slow, silent, half gone or too many.

import EventLoop
import Synchronization
import TLS
import TestSupport
import Testing

@testable import HTTP

struct PaceTests {
    @Test func `waiting uses patience up and bytes earn it back, up to the limit`() {
        var pace = Pace(limit: .seconds(30), bytesPerSecond: 1000)
        #expect(pace.left == .seconds(30))
        pace.note(waited: .seconds(20), bytes: 5000)
        #expect(pace.left == .seconds(15))
        pace.note(waited: .seconds(1), bytes: 1_000_000)
        #expect(pace.left == .seconds(30))
        pace.note(waited: .seconds(40), bytes: 1000)
        #expect(pace.left == .zero)
        pace.note(waited: .zero, bytes: .max)
        #expect(pace.left == .seconds(30))
    }

    @Test(arguments: [(1000, true), (999, false)])
    func `below the rate a transfer ends, at the rate it goes on for ever`(rate: Int, goesOn: Bool) {
        var pace = Pace(limit: .seconds(10), bytesPerSecond: 1000)
        for _ in 0..<20_000 { pace.note(waited: .seconds(1), bytes: rate) }
        #expect((pace.left > .seconds(1)) == goesOn)
    }
}

@Suite(.serialized) struct RobustnessTests {
    @Test(arguments: [(20, 200), (1, 408)])
    func `a body below its rate is 408, however steadily it comes`(bytesAtOnce: Int, status: Int) async throws {
        try await LiveServer.serving(
            configure: {
                $0.bodyDeadline = .seconds(2)
                $0.bodyBytesPerSecond = 500
            }
        ) { request, response in
            _ = try await request.body.collect(upTo: 1000)
            try await response.respond(.ok)
        } test: { live in
            let client = try live.connect()
            try client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 400\r\n\r\n")
            // A byte each 10 ms is 100 bytes a second and lasts four seconds; 20 of them are 2000.
            for _ in 0..<(400 / bytesAtOnce) {
                try? client.send([UInt8](repeating: 0x61, count: bytesAtOnce))
                try await Task.sleep(for: .milliseconds(10))
            }
            #expect(try client.response()?.status == status)
        }
    }

    @Test func `a response that is taken below its rate is broken off, however steadily it is read`() async throws {
        try await LiveServer.serving(
            configure: {
                $0.writeDeadline = .milliseconds(500)
                $0.writeBytesPerSecond = 1 << 30
                $0.unsentBytesLimit = 16 * 1024
            }
        ) { _, response in
            try response.start(.ok)
            for _ in 0..<4000 { try await response.write([UInt8](repeating: 0x61, count: 10_000)) }
        } test: { live in
            let client = try live.connect(receiveBuffer: 16 * 1024)
            try client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n")
            let ended = try await eventually {
                _ = try client.take(2000)
                return live.recorder.exchanges.withLock { $0.count } == 1
            }
            #expect(ended)
            #expect(live.recorder.exchanges.withLock { $0.first?.error as? HTTPError } == .writeTimedOut)
        }
    }

    @Test func `what waits for a client that does not read is bounded by its limit`() async throws {
        let written = Atomic<Int>(0)
        try await LiveServer.serving(configure: { $0.unsentBytesLimit = 64 * 1024 }) { _, response in
            try response.start(.ok)
            for _ in 0..<400 {
                try await response.write([UInt8](repeating: 0x61, count: 10_000))
                written.add(10_000, ordering: .relaxed)
            }
        } test: { live in
            let client = try live.connect(receiveBuffer: 8192)
            try client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n")
            var before = -1
            // Until the writer stands still.
            _ = try await eventually {
                let now = written.load(ordering: .relaxed)
                defer { before = now }
                if now == before { return true }
                try await Task.sleep(for: .milliseconds(100))
                return false
            }
            // The limit, one buffer of 64 KiB on its way, and what the client's kernel holds.
            #expect(written.load(ordering: .relaxed) < 400_000)
            #expect(try client.response()?.body.count == 4_000_000)
        }
    }

    @Test func `a client that stops sending gets its answer, also when it takes a while`() async throws {
        try await LiveServer.serving(configure: { $0.halfCloseDeadline = .seconds(20) }) { request, response in
            request.onClientGone { Issue.record("told gone") }
            try await request.loop.sleep(for: .milliseconds(200))
            try await response.respond(.ok, text: "here")
        } test: { live in
            let client = try live.connect()
            try client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n")
            client.endSending()
            // By an interim answer the server finds out that somebody is there.
            var answer = try client.response()
            if answer?.status == 102 { answer = try client.response() }
            #expect(answer?.text == "here")
            #expect(try client.isAtEnd)
        }
    }

    @Test func `a client that reads on after it stopped sending is not taken for gone`() async throws {
        try await LiveServer.serving(configure: { $0.halfCloseDeadline = .milliseconds(150) }) { request, response in
            request.onClientGone { Issue.record("told gone") }
            try response.start(.ok)
            for _ in 0..<10 {
                try await request.loop.sleep(for: .milliseconds(50))
                try await response.write("row\n")
                try await response.flush()
            }
        } test: { live in
            let client = try live.connect()
            try client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n")
            client.endSending()
            #expect(try client.response()?.text == String(repeating: "row\n", count: 10))
        }
    }

    /// Who went without a word is found out by an interim answer, where there may be one.
    @Test(arguments: [(true, "1.1"), (false, "1.1"), (false, "1.0")])
    func `a client that is reset or gone is told at once, one that may have stopped sending after a while`(
        _ resets: Bool, _ version: String
    ) async throws {
        do {
            let deadline = version == "1.1" ? Duration.seconds(600) : .milliseconds(100)
            try await LiveServer.serving(configure: { $0.halfCloseDeadline = deadline }) { request, response in
                await withCheckedContinuation { continuation in request.onClientGone { continuation.resume() } }
                throw HTTPError.clientGone
            } test: { live in
                do {
                    let client = try live.connect()
                    try client.send("GET / HTTP/\(version)\r\nHost: a\r\n\r\n")
                    try await Task.sleep(for: .milliseconds(50))
                    if resets { client.resetOnClose() }
                }
                #expect(try await eventually { live.recorder.exchanges.withLock { $0.first?.status } == 499 })
            }
        }
    }

    /// With a word of TLS or without one.
    @Test(arguments: [true, false]) func `over TLS a client that is gone is told at once, too`(_ isPolite: Bool)
        async throws
    {
        let files = try TestCertificates()
        try files.leaf("local", names: ["DNS:localhost"])
        let tls = try TLSServer(
            .init(pairs: [.init(certificate: files.path("local.pem"), key: files.path("local.key"))]))
        try await LiveServer.serving(configure: {
            $0.tls = tls
            $0.halfCloseDeadline = .seconds(600)
        }) { request, response in
            await withCheckedContinuation { continuation in request.onClientGone { continuation.resume() } }
            throw HTTPError.clientGone
        } test: { live in
            do {
                let client = try live.connect()
                let session = try TLSClient(authorities: files.path("ca.pem"))
                    .session(on: client.descriptor, host: "localhost")
                // The socket blocks, so each step is done when it returns.
                let request = Array("GET / HTTP/1.1\r\nHost: localhost\r\n\r\n".utf8)
                guard case .done = session.handshake(),
                    case .done(request.count) = request.withUnsafeBytes({ session.write($0) })
                else {
                    Issue.record("the request was not sent")
                    return
                }
                try await Task.sleep(for: .milliseconds(50))
                if isPolite { session.endSending() }
            }
            #expect(try await eventually { live.recorder.exchanges.withLock { $0.first?.status } == 499 })
        }
    }

    @Test func `a handler that takes too long is told, and its client gets 503`() async throws {
        try await LiveServer.serving(configure: { $0.handlerDeadline = .milliseconds(100) }) { request, response in
            if request.head.pathIs("/stream") {
                try response.start(.ok)
                try await response.flush()
                try await request.loop.sleep(for: .milliseconds(500))
                return try await response.write("late")
            }
            if request.head.pathIs("/deaf") { return try await request.loop.sleep(for: .seconds(1)) }
            await withCheckedContinuation { continuation in request.onClientGone { continuation.resume() } }
            throw HTTPError.clientGone
        } test: { live in
            let response = try #require(try live.connect().get("/"))
            #expect(response.status == 503)
            #expect(response.text.hasPrefix("{\"code\":\"handler_timeout\""))
            #expect(response.head.contains("Retry-After: 1\r\n") && response.head.contains("Connection: close\r\n"))
            // What has begun is bounded by its own pace; who does not listen loses its connection.
            #expect(try live.connect().get("/stream")?.text == "late")
            #expect(try live.connect().get("/deaf") == nil)
        }
    }
}
