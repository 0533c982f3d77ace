// SPDX-License-Identifier: Apache-2.0

import CLinux
import EventLoop
import Glibc
import Synchronization
import TestSupport
import Testing

@testable import HTTP

private struct Secret: Error {}

/// A handler with a route for each behaviour the tests need.
@Sendable private func routes(_ request: Request, _ response: ResponseWriter) async throws {
    response.route = request.head.target
    switch try request.head.pathSegments().first {
    case "echo":
        let body = try await request.body.collect(upTo: 100_000)
        try await response.respond(.ok, ["Content-Type": "text/plain"], body)
    case "ignore": try await response.respond(.ok, text: "ignored")
    case "slow":
        try await request.loop.sleep(for: .milliseconds(100))
        try await response.respond(.ok, text: "slow")
    case "empty": try await response.respond(.noContent)
    case "fail": throw Secret()
    case "refuse": throw HTTPError(.notFound, code: "not_found", message: "nothing here")
    case "nothing": break
    case "stream", "break":
        let count = try Int(request.head.query()["n"] ?? "10") ?? 10
        try response.start(.ok, ["Content-Type": "text/csv"])
        for row in 0..<count { try await response.write("\(row),0123456789\n") }
        if try request.head.pathSegments().first == "break" { throw Secret() }
    case "early":
        try response.start(.ok)
        try await response.flush()
        try await request.loop.sleep(for: .milliseconds(50))
        try await response.write("late")
    case "short":
        try response.start(.ok, length: 10)
        try await response.write("123")
    default: try await response.respond(.ok, text: "hello \(request.head.target)")
    }
}

private func rows(_ count: Int) -> String { (0..<count).map { "\($0),0123456789\n" }.joined() }

// One after another: the clients block the threads that the tests themselves run on.
@Suite(.serialized) struct ServerTests {
    @Test func `requests share a connection, and a request to close ends it`() async throws {
        try await LiveServer.serving(routes) { live in
            let client = try live.connect()
            for target in ["/a", "/b", "/c"] {
                let response = try #require(try client.get(target))
                #expect(response.status == 200)
                #expect(response.text == "hello \(target)")
                #expect(response.head.contains("Date: "))
                #expect(!response.head.contains("Connection:"))
            }
            try client.send("GET /d HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
            #expect(try client.response()?.head.contains("Connection: close\r\n") == true)
            #expect(try client.isAtEnd)
            let exchanges = live.recorder.exchanges.withLock { $0 }
            #expect(exchanges.map(\.route) == ["/a", "/b", "/c", "/d"])
            #expect(exchanges.allSatisfy { $0.status == 200 && $0.bodyBytes == 8 && $0.outcome == .completed })
            #expect(Set(exchanges.map(\.id)).count == 4)
        }
    }

    @Test func `pipelined requests are answered in order, also when the client then stops sending`() async throws {
        try await LiveServer.serving(routes) { live in
            let client = try live.connect()
            let targets = (0..<300).map { $0 % 50 == 0 ? "/slow?\($0)" : "/\($0)" }
            try client.send(targets.map { "GET \($0) HTTP/1.1\r\nHost: a\r\n\r\n" }.joined())
            client.endSending()
            for target in targets {
                #expect(try client.response()?.text == (target.hasPrefix("/slow") ? "slow" : "hello \(target)"))
            }
            #expect(try client.isAtEnd)
        }
    }

    @Test func `answers to requests that came together leave together`() async throws {
        try await LiveServer.serving(routes) { live in
            let client = try live.connect()
            try client.send((0..<20).map { "GET /\($0) HTTP/1.1\r\nHost: a\r\n\r\n" }.joined())
            _ = try client.fill()
            #expect(client.received.hasSuffix("hello /19"))
            for index in 0..<20 { #expect(try client.response()?.text == "hello /\(index)") }
        }
    }

    @Test func `an answer does not wait for the request behind it`() async throws {
        let mayGoOn = Atomic<Bool>(false)
        try await LiveServer.serving { request, response in
            if request.head.pathIs("/hangs") {
                while !mayGoOn.load(ordering: .relaxed) { try await request.loop.sleep(for: .milliseconds(1)) }
            }
            try await response.respond(.ok, text: request.head.target)
        } test: { live in
            let client = try live.connect()
            try client.send(["/a", "/b", "/hangs"].map { "GET \($0) HTTP/1.1\r\nHost: a\r\n\r\n" }.joined())
            #expect(try client.response()?.text == "/a")
            #expect(try client.response()?.text == "/b")
            mayGoOn.store(true, ordering: .relaxed)
            #expect(try client.response()?.text == "/hangs")
        }
    }

    @Test func `requests sent ahead leave the other connections their turn`() async throws {
        let order = Mutex<[String]>([])
        let begun = Atomic<Bool>(false)
        let mayGoOn = Atomic<Bool>(false)
        try await LiveServer.serving(configure: { $0.pipelineBatch = 4 }) { request, response in
            // Nobody else has a turn before both clients have sent everything.
            if !begun.exchange(true, ordering: .relaxed) {
                while !mayGoOn.load(ordering: .acquiring) { usleep(1000) }
            }
            order.withLock { $0.append(request.head.target) }
            try await response.respond(.ok, text: "done")
        } test: { live in
            let greedy = try live.connect()
            try greedy.send(String(repeating: "GET /greedy HTTP/1.1\r\nHost: a\r\n\r\n", count: 1000))
            #expect(try await eventually { begun.load(ordering: .relaxed) })
            let modest = try live.connect()
            try modest.send("GET /modest HTTP/1.1\r\nHost: a\r\n\r\n")
            mayGoOn.store(true, ordering: .releasing)
            #expect(try modest.response()?.status == 200)
            for _ in 0..<1000 { #expect(try greedy.response()?.status == 200) }
            // A turn to accept it, one to read: a batch each.
            let place = try #require(order.withLock { $0.firstIndex(of: "/modest") })
            #expect(place < 40, "it came after \(place) others")
        }
    }

    @Test func `an answer that waits for others is sent before a refusal and before a close`() async throws {
        try await LiveServer.serving(routes) { live in
            let refused = try live.connect()
            try refused.send("GET /a HTTP/1.1\r\nHost: a\r\n\r\nGET / HTTP/3.0\r\n\r\n")
            #expect(try refused.response()?.text == "hello /a")
            #expect(try refused.response()?.status == 505)
            #expect(try refused.isAtEnd)
            let closed = try live.connect()
            try closed.send(
                "GET /a HTTP/1.1\r\nHost: a\r\n\r\nGET /b HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
            #expect(try closed.response()?.text == "hello /a")
            #expect(try closed.response()?.text == "hello /b")
            #expect(try closed.isAtEnd)
            let stopped = try live.connect()
            try stopped.send("GET /a HTTP/1.1\r\nHost: a\r\n\r\nGET /b HT")
            stopped.endSending()
            #expect(try stopped.response()?.text == "hello /a")
            #expect(try stopped.isAtEnd)
        }
    }

    @Test(arguments: [false, true])
    func `what the kernel does not take at the turn's end goes when it takes more`(_ isClosed: Bool) async throws {
        let loop = try EventLoop(name: "test")
        loop.start()
        defer { loop.stop() }
        var pair: [CInt] = [0, 0]
        #expect(socketpair(AF_UNIX, CInt(SOCK_STREAM.rawValue | SOCK_NONBLOCK.rawValue), 0, &pair) == 0)
        let (ours, peer) = (pair[0], pair[1])
        let bytes = (0..<2_000_000).map { UInt8(truncatingIfNeeded: $0 &* 31 &+ $0 >> 8) }
        let torn = try await Task(executorPreference: loop) {
            let socket = try StreamSocket(
                descriptor: ours, loop: loop, pace: Pace(limit: .seconds(20), bytesPerSecond: 1))
            defer { socket.close() }
            socket.sendLater(Array(bytes[..<1_000_000]), Array(bytes[1_000_000...]), "!")
            if isClosed { _ = Glibc.close(peer) }
            var received: [UInt8] = []
            var chunk = [UInt8](repeating: 0, count: 65_536)
            while !isClosed && received.count <= bytes.count {
                let count = read(peer, &chunk, chunk.count)
                if count > 0 { received += chunk[..<count] } else { try await loop.sleep(for: .milliseconds(1)) }
            }
            if !isClosed {
                #expect(received == bytes + Array("!".utf8))
                _ = Glibc.close(peer)
            }
            try await loop.sleep(for: .milliseconds(1))
            #expect(socket.gatheredCount == 0)
            do { try await socket.send([1]) } catch { return true }
            return false
        }.value
        #expect(torn)
    }

    @Test func `a request may come byte by byte`() async throws {
        try await LiveServer.serving(routes) { live in
            let client = try live.connect()
            for byte in Array("POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello".utf8) {
                try client.send([byte])
                try await Task.sleep(for: .microseconds(100))
            }
            #expect(try client.response()?.text == "hello")
        }
    }

    @Test func `HEAD has the head of GET and no body`() async throws {
        try await LiveServer.serving(routes) { live in
            let client = try live.connect()
            try client.send(
                "HEAD /ab HTTP/1.1\r\nHost: a\r\n\r\nHEAD /stream HTTP/1.1\r\nHost: a\r\n\r\n"
                    + "GET /x HTTP/1.1\r\nHost: a\r\n\r\n"
            )
            #expect(try client.response(head: true)?.head.contains("Content-Length: 9\r\n") == true)
            #expect(try client.response(head: true)?.head.contains("Transfer-Encoding: chunked\r\n") == true)
            #expect(try client.response()?.text == "hello /x")
        }
    }

    @Test func `204 has no body and no length`() async throws {
        try await LiveServer.serving(routes) { live in
            let client = try live.connect()
            let empty = try #require(try client.get("/empty"))
            #expect(empty.status == 204)
            #expect(!empty.head.contains("Content-Length"))
            #expect(try client.get("/x")?.status == 200)
        }
    }

    @Test func `a stream that fits the buffer has a length, a longer one has chunks`() async throws {
        try await LiveServer.serving(routes) { live in
            let client = try live.connect()
            let short = try #require(try client.get("/stream?n=10"))
            #expect(short.head.contains("Content-Length: "))
            #expect(short.text == rows(10))
            let long = try #require(try client.get("/stream?n=50000"))
            #expect(long.head.contains("Transfer-Encoding: chunked\r\n"))
            #expect(long.text == rows(50_000))
            #expect(long.isComplete)
            let early = try #require(try client.get("/early"))
            #expect(early.head.contains("Transfer-Encoding: chunked\r\n"))
            #expect(early.text == "late")
            #expect(try client.get("/x")?.status == 200)
        }
    }

    @Test func `HTTP 1.0 gets a stream that ends with the connection, and keep-alive on request`() async throws {
        try await LiveServer.serving(routes) { live in
            let client = try live.connect()
            try client.send("GET /x HTTP/1.0\r\nConnection: keep-alive\r\n\r\n")
            #expect(try client.response()?.head.contains("Connection: keep-alive\r\n") == true)
            try client.send("GET /stream?n=50000 HTTP/1.0\r\nConnection: keep-alive\r\n\r\n")
            let stream = try #require(try client.response())
            #expect(!stream.head.contains("Transfer-Encoding"))
            #expect(stream.text == rows(50_000))
            #expect(stream.isComplete)
        }
    }

    @Test(arguments: ["1.1", "1.0"])
    func `a stream that fails after its start is broken, never ended`(version: String) async throws {
        try await LiveServer.serving(routes) { live in
            let client = try live.connect()
            try client.send("GET /break?n=50000 HTTP/\(version)\r\nHost: a\r\n\r\n")
            let response = try client.response()
            #expect(response?.isComplete != true)
            let lost = try live.connect()
            try lost.send("GET /short HTTP/\(version)\r\nHost: a\r\n\r\n")
            #expect(try lost.response()?.status == 500)
        }
    }

    @Test func `an error before any byte has left becomes an error response that tells nothing`() async throws {
        try await LiveServer.serving(routes) { live in
            let client = try live.connect()
            for (target, status, code) in [
                ("/fail", 500, "internal"), ("/refuse", 404, "not_found"), ("/nothing", 500, "internal"),
                ("/break?n=3", 500, "internal"),
            ] {
                let response = try #require(try client.get(target))
                #expect(response.status == status)
                #expect(response.head.contains("Content-Type: application/json\r\n"))
                #expect(response.text.hasPrefix("{\"code\":\"\(code)\",\"message\":"))
                #expect(!response.text.contains("Secret"))
            }
            #expect(live.recorder.exchanges.withLock { $0.first?.error is Secret })
            #expect(try client.get("/x")?.status == 200)
        }
    }

    @Test func `bodies are read by length and in chunks, and the connection goes on`() async throws {
        try await LiveServer.serving(routes) { live in
            let client = try live.connect()
            let big = String(repeating: "0123456789", count: 10_000)
            try client.send("POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 100000\r\n\r\n\(big)")
            #expect(try client.response()?.text == big)
            try client.send(
                "POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
                    + "5\r\nhello\r\n1;x\r\n!\r\n0\r\nT: t\r\n\r\nGET /next HTTP/1.1\r\nHost: a\r\n\r\n"
            )
            #expect(try client.response()?.text == "hello!")
            #expect(try client.response()?.text == "hello /next")
            try client.send("POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello!\r\n")
            let broken = try #require(try client.response())
            #expect(broken.status == 400)
            #expect(broken.head.contains("Connection: close\r\n"))
            #expect(try client.isAtEnd)
        }
    }

    @Test(arguments: [
        ("Content-Length: 100000", 100_000, 200), ("Content-Length: 100001", 100_001, 413),
        ("Transfer-Encoding: chunked", 100_000, 200), ("Transfer-Encoding: chunked", 100_001, 413),
    ])
    func `a body over the handler's limit is 413`(field: String, size: Int, status: Int) async throws {
        try await LiveServer.serving(routes) { live in
            let client = try live.connect()
            var body = String(repeating: "x", count: size)
            if field.hasSuffix("chunked") { body = "\(String(size, radix: 16))\r\n\(body)\r\n0\r\n\r\n" }
            try client.send("POST /echo HTTP/1.1\r\nHost: a\r\n\(field)\r\n\r\n\(body)")
            #expect(try client.response()?.status == status)
        }
    }

    @Test func `100 Continue is sent when the handler wants the body, and only then`() async throws {
        try await LiveServer.serving(routes) { live in
            let head = "HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n"
            let client = try live.connect()
            try client.send("POST /echo \(head)")
            #expect(try client.response()?.status == 100)
            try client.send("hello")
            #expect(try client.response()?.text == "hello")
            // One that does not wait gets no 100 for what has come already.
            try client.send("POST /echo \(head)hello")
            #expect(try client.response()?.text == "hello")
            try client.send("POST /ignore \(head)")
            let ignored = try #require(try client.response())
            #expect(ignored.status == 200)
            #expect(ignored.head.contains("Connection: close\r\n"))
            #expect(try client.isAtEnd)
        }
    }

    @Test(arguments: [
        ("5\r\nhello\r\n0\r\n\r\n", true), ("0\r\nA: b\r\n\r\n", true), ("5\r\nhello!\r\n0\r\n\r\n", false),
        ("x\r\n", false), ("5\r\nhel", false), ("", false),
        ("64\r\n" + String(repeating: "x", count: 100) + "\r\n0\r\n\r\n", true),
        ("65\r\n" + String(repeating: "x", count: 101) + "\r\n0\r\n\r\n", false),
    ])
    func `behind unread chunks the connection ends, and is said to end, unless their end is plain`(
        chunks: String, goesOn: Bool
    ) async throws {
        try await LiveServer.serving(configure: { $0.unreadBodyLimit = 100 }, routes) { live in
            let client = try live.connect()
            let next = goesOn ? "GET /x HTTP/1.1\r\nHost: a\r\n\r\n" : ""
            try client.send(
                "POST /ignore HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n\(chunks)\(next)")
            let response = try #require(try client.response())
            #expect(response.text == "ignored")
            #expect(response.head.contains("Connection: close\r\n") == !goesOn)
            if goesOn {
                #expect(try client.response()?.text == "hello /x")
            } else {
                #expect(try client.isAtEnd)
            }
        }
    }

    @Test(arguments: [(99, true), (100, true), (101, false)])
    func `an unread body is dropped up to a bound, else the connection ends`(size: Int, goesOn: Bool) async throws {
        try await LiveServer.serving(configure: { $0.unreadBodyLimit = 100 }, routes) { live in
            let client = try live.connect()
            try client.send(
                "POST /ignore HTTP/1.1\r\nHost: a\r\nContent-Length: \(size)\r\n\r\n"
                    + String(repeating: "x", count: size)
            )
            let response = try #require(try client.response())
            #expect(response.text == "ignored")
            #expect(response.head.contains("Connection: close\r\n") == !goesOn)
            if goesOn {
                #expect(try client.get("/x")?.status == 200)
            } else {
                #expect(try client.isAtEnd)
            }
        }
    }

    @Test(arguments: [("GET / HTTP/1.1\r\n\r\n", 400), ("GET / HTTP/3.0\r\n\r\n", 505), ("\u{16}\u{3}", 400)])
    func `a malformed request is answered and the connection closed`(text: String, status: UInt16) async throws {
        try await LiveServer.serving(routes) { live in
            let client = try live.connect()
            try client.send(text + String(repeating: "GET / HTTP/1.1\r\nHost: a\r\n\r\n", count: 1000))
            let response = try #require(try client.response())
            #expect(response.status == Int(status))
            #expect(response.head.contains("Connection: close\r\n"))
            client.endSending()
            #expect(try client.isAtEnd)
            #expect(live.recorder.refusals.withLock { $0 } == [status])
        }
    }

    @Test func `a slow client suspends the handler, whose memory stays bounded`() async throws {
        let written = Atomic<Int>(0)
        try await LiveServer.serving { _, response in
            try response.start(.ok)
            let piece = [UInt8](repeating: 0x61, count: 10_000)
            for _ in 0..<800 {
                try await response.write(piece)
                written.add(piece.count, ordering: .relaxed)
            }
        } test: { live in
            let client = try live.connect(receiveBuffer: 8192)
            try client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n")
            try await Task.sleep(for: .milliseconds(300))
            let ahead = written.load(ordering: .relaxed)
            // What the kernel takes is bounded by `unsentBytesLimit`, and by what is under way to the client.
            #expect(ahead < 2_000_000)
            let response = try #require(try client.response())
            #expect(response.isComplete)
            #expect(response.body.count == 8_000_000)
        }
    }

    @Test func `a client that takes nothing is given up after the write deadline`() async throws {
        try await LiveServer.serving(configure: { $0.writeDeadline = .milliseconds(200) }) { _, response in
            try response.start(.ok)
            let piece = [UInt8](repeating: 0x61, count: 100_000)
            for _ in 0..<1000 { try await response.write(piece) }
        } test: { live in
            let client = try live.connect(receiveBuffer: 8192)
            try client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n")
            #expect(try await eventually { live.recorder.exchanges.withLock { $0.count } == 1 })
            let exchange = live.recorder.exchanges.withLock { $0[0] }
            #expect(exchange.outcome == .broken)
            #expect(exchange.error as? HTTPError == .writeTimedOut)
            withExtendedLifetime(client) {}
        }
    }

    @Test func `a hang-up is told once to the handler that waits`() async throws {
        let calls = Atomic<Int>(0)
        try await LiveServer.serving { request, response in
            await withCheckedContinuation { continuation in
                request.onClientGone {
                    calls.add(1, ordering: .relaxed)
                    continuation.resume()
                }
            }
            throw HTTPError.clientGone
        } test: { live in
            do {
                let client = try live.connect()
                try client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n")
                try await Task.sleep(for: .milliseconds(50))
            }
            #expect(try await eventually { live.recorder.exchanges.withLock { $0.count } == 1 })
            let exchange = live.recorder.exchanges.withLock { $0[0] }
            #expect(exchange.outcome == .abandoned)
            #expect(exchange.status == 499)
            #expect(calls.load(ordering: .relaxed) == 1)
        }
    }

    @Test func `slow heads and slow bodies are 408, idle connections are closed without a word`() async throws {
        try await LiveServer.serving(
            configure: {
                $0.headDeadline = .milliseconds(100)
                $0.bodyDeadline = .milliseconds(100)
                $0.idleDeadline = .milliseconds(300)
            }, routes
        ) { live in
            let head = try live.connect()
            try head.send("GET / HT")
            #expect(try head.response()?.status == 408)
            let body = try live.connect()
            try body.send("POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhel")
            #expect(try body.response()?.status == 408)
            let idle = try live.connect()
            #expect(try idle.isAtEnd)
        }
    }

    @Test func `a connection over the limit is told 503 and when to come back`() async throws {
        try await LiveServer.serving(configure: { $0.connectionLimit = 2 }, routes) { live in
            let first = try live.connect()
            let second = try live.connect()
            #expect(try first.get("/x")?.status == 200)
            #expect(try second.get("/x")?.status == 200)
            let third = try live.connect()
            let refused = try #require(try third.get("/x"))
            #expect(refused.status == 503)
            #expect(refused.head.contains("Retry-After: 1\r\n"))
            #expect(try first.get("/x")?.status == 200)
        }
    }

    @Test func `several loops serve one address, IPv6 too`() async throws {
        try await LiveServer.serving(loops: 3, address: "[::1]:0", routes) { live in
            #expect(live.server.boundAddress.port != 0)
            for _ in 0..<30 {
                let client = try live.connect()
                #expect(try client.get("/x")?.status == 200)
            }
            // The port is taken, although the loops share it among themselves.
            let loop = try EventLoop(name: "second")
            #expect(throws: SystemError.self) {
                try Server(Configuration(address: live.server.boundAddress), loops: [loop, loop]) { _ in
                    ClosureHandler(body: routes)
                }
            }
        }
    }

    @Test func `shutdown closes idle connections at once and lets requests under way finish`() async throws {
        let started = Atomic<Bool>(false)
        try await LiveServer.serving { request, response in
            if request.head.pathIs("/slow") {
                started.store(true, ordering: .relaxed)
                try await request.loop.sleep(for: .milliseconds(500))
            }
            try await response.respond(.ok, text: "slow")
        } test: { live in
            let idle = try live.connect()
            #expect(try idle.get("/x")?.status == 200)
            let busy = try live.connect()
            try busy.send("GET /slow HTTP/1.1\r\nHost: a\r\n\r\n")
            #expect(try await eventually { started.load(ordering: .relaxed) })
            await live.server.shutdown(deadline: .seconds(20))
            #expect(try idle.isAtEnd)
            let response = try #require(try busy.response())
            #expect(response.text == "slow")
            #expect(response.head.contains("Connection: close\r\n"))
            #expect(throws: (any Error).self) { try live.connect() }
            await live.running.value
        }
    }

    @Test func `shutdown cuts off at its deadline what does not end`() async throws {
        let told = Atomic<Int>(0)
        let started = Atomic<Bool>(false)
        try await LiveServer.serving { request, _ in
            request.onClientGone { told.add(1, ordering: .relaxed) }
            started.store(true, ordering: .relaxed)
            try await request.loop.sleep(for: .seconds(600))
        } test: { live in
            let busy = try live.connect()
            try busy.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n")
            #expect(try await eventually { started.load(ordering: .relaxed) })
            await live.server.shutdown(deadline: .milliseconds(100))
            #expect(try busy.isAtEnd)
            #expect(told.load(ordering: .relaxed) == 1)
            #expect(live.recorder.exchanges.withLock { $0.map(\.status) } == [503])
        }
    }

    @Test func `cancelling the task that runs the server cuts everything off`() async throws {
        let isBlocked = Atomic<Bool>(false)
        let isCancelled = Atomic<Bool>(false)
        try await LiveServer.serving { request, _ in
            // The handler hears of the cancellation in the same turn as the server, which must not make it answer.
            request.loop.schedule(at: request.loop.now) {
                isBlocked.store(true, ordering: .releasing)
                while !isCancelled.load(ordering: .acquiring) { usleep(1000) }
            }
            try await request.loop.sleep(for: .seconds(600))
        } test: { live in
            let busy = try live.connect()
            try busy.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n")
            #expect(try await eventually { isBlocked.load(ordering: .acquiring) })
            live.running.cancel()
            isCancelled.store(true, ordering: .releasing)
            await live.running.value
            #expect(try busy.isAtEnd)
        }
    }
}
