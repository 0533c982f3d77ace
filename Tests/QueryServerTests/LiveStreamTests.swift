// SPDX-License-Identifier: Apache-2.0

import EventLoop
import Glibc
import HTTP
import Market
import TestSupport
import Testing

@testable import QueryServer

/// One event as it came.
private struct Event: Equatable {
    var name = "message"
    var id = ""
    var data = ""

    /// A member of the data.
    subscript(member: String) -> JSONValue? {
        guard case .object(let members)? = try? JSONReader.read(Array(data.utf8)) else { return nil }
        return members.first { $0.name == member }?.value
    }

    var position: Int64 { LivePlace(id)?.position ?? -1 }
}

/// A blocking client of server-sent events.
private final class EventSource {
    private let descriptor: CInt
    private var raw: [UInt8] = []
    private var body: [UInt8] = []
    private(set) var head = ""
    /// The body came to its proper end.
    private(set) var hasEnded = false
    private var isClosed = false

    init(
        _ address: SocketAddress, _ query: String, lastEventID: String? = nil, key: String? = nil,
        receiveBuffer: CInt? = nil
    ) throws {
        descriptor = try connectedSocket(address, receiveBuffer: receiveBuffer)
        var lines = ["GET /api/v1/stream?\(query) HTTP/1.1", "Host: test"]
        if let lastEventID { lines.append("Last-Event-ID: \(lastEventID)") }
        if let key { lines.append("X-API-Key: \(key)") }
        let bytes = Array((lines.joined(separator: "\r\n") + "\r\n\r\n").utf8)
        if send(descriptor, bytes, bytes.count, CInt(MSG_NOSIGNAL)) != bytes.count { throw SystemError(call: "send") }
    }

    deinit { close(descriptor) }

    /// The next event; nil when the stream has ended.
    func next() throws -> Event? {
        while true {
            if let end = endOfEvent() {
                let text = String(decoding: body[..<end], as: UTF8.self)
                body.removeFirst(end + 2)
                var event = Event()
                for line in text.split(separator: "\n") {
                    if line.hasPrefix("event: ") { event.name = String(line.dropFirst(7)) }
                    if line.hasPrefix("id: ") { event.id = String(line.dropFirst(4)) }
                    if line.hasPrefix("data: ") { event.data += line.dropFirst(6) }
                }
                return event
            }
            if isClosed || hasEnded { return nil }
            var chunk = [UInt8](repeating: 0, count: 65_536)
            let count = recv(descriptor, &chunk, chunk.count, 0)
            if count < 0 { throw SystemError(call: "recv") }
            if count == 0 { isClosed = true }
            raw += chunk[..<count]
            takeChunks()
        }
    }

    /// The next `count` events of one of the names.
    func take(_ count: Int, _ names: Set<String> = ["trade"]) throws -> [Event] {
        var events: [Event] = []
        while events.count < count, let event = try next() { if names.contains(event.name) { events.append(event) } }
        return events
    }

    private func endOfEvent() -> Int? {
        var index = 0
        while let at = body[index...].firstIndex(of: 10) {
            if at + 1 < body.count && body[at + 1] == 10 { return at }
            index = at + 1
        }
        return nil
    }

    private func takeChunks() {
        if head.isEmpty {
            guard let end = Array(raw).firstRange(of: Array("\r\n\r\n".utf8)) else { return }
            head = String(decoding: raw[..<end.lowerBound], as: UTF8.self)
            raw.removeFirst(end.upperBound)
        }
        while let line = raw.firstIndex(of: 10) {
            guard let size = Int(String(decoding: raw[..<(line - 1)], as: UTF8.self), radix: 16) else { return }
            if size == 0 { hasEnded = true }
            guard raw.count >= line + 1 + size + 2 else { return }
            body += raw[(line + 1)..<(line + 1 + size)]
            raw.removeFirst(line + 1 + size + 2)
        }
    }
}

/// A server of the test's own, with what it publishes.
private struct LiveFixture {
    let store: TestServer
    let server: QueryServer
    let address: SocketAddress

    init(_ configure: (inout QueryServer.Configuration) -> Void = { _ in }) async throws {
        store = try await TestServer.shared.value
        (server, address) = try await TestServer.serve(store.readerURL, configure: configure)
    }

    /// Has a transaction add these trades.
    func publish(_ batch: LiveBatch) throws {
        let digits = Array("0123456789abcdef")
        let hex = String(batch.encoded().flatMap { [digits[Int($0 >> 4)], digits[Int($0 & 15)]] })
        let count = batch.totals.reduce(batch.trades.count) { $0 + Int($1.count) }
        let first = batch.trades.map(\.ts).min() ?? .epoch
        let last = batch.trades.map(\.ts).max() ?? .epoch
        try store.write("select ops.publish_trades(\(count), '\(first)', '\(last)', '\\x\(hex)')")
    }

    func stop() async { await server.shutdown(deadline: .seconds(5)) }
}

/// What subscribers are told, over a socket. Each test uses symbols of its own: they share the store's tape.
@Suite(.serialized) struct LiveStreamTests {
    @Test func `trades come as they are committed, each with its place, those of the symbols asked for`() async throws {
        let live = try await LiveFixture()
        let all = try EventSource(live.address, "channels=trades")
        let some = try EventSource(live.address, "symbols=S1,S3&channels=trades&time=ms")
        let ready = try #require(try all.next())
        #expect(all.head.contains("200 OK") && all.head.contains("Content-Type: text/event-stream"))
        #expect(ready.name == "ready" && ready.position >= 0)
        #expect(try some.next()?.name == "ready")
        try live.publish(liveBatch(["S1", "S2", "S3", "S1"]))
        let trades = try all.take(4)
        #expect(trades.map { $0["symbol"] } == ["S1", "S2", "S3", "S1"].map(JSONValue.string))
        #expect(trades.map(\.position) == [1, 2, 3, 4].map { ready.position + $0 })
        let mine = try some.take(3)
        #expect(mine.map { $0["symbol"] } == ["S1", "S3", "S1"].map(JSONValue.string))
        #expect(mine.map(\.position) == [1, 3, 4].map { ready.position + $0 })
        #expect(mine[0]["ts"] == .number("1700000000123"))
        await live.stop()
        #expect(try all.next() == nil && all.hasEnded, "a server that stops ends its streams in order")
    }

    @Test func `whoever comes back is told everything since, in order and once`() async throws {
        let live = try await LiveFixture()
        let first = try EventSource(live.address, "channels=trades&symbols=R1,R2")
        let ready = try #require(try first.next())
        try live.publish(liveBatch(["R1", "R2", "R1"]))
        let told = try first.take(2)
        for _ in 0..<3 { try live.publish(liveBatch(["R2", "other", "R1"])) }
        // From the middle of a transaction.
        let again = try EventSource(
            live.address, "channels=trades&symbols=R1,R2", lastEventID: told[1].id)
        let rest = try again.take(7)
        #expect(rest.map(\.position) == [3, 4, 6, 7, 9, 10, 12].map { ready.position + $0 })
        // Another server, which was not there: it reads back what the store keeps.
        let second = try await LiveFixture()
        let elsewhere = try EventSource(
            second.address, "channels=trades&symbols=R1,R2&last_event_id=\(told[1].id)")
        #expect(try elsewhere.take(7).map(\.position) == rest.map(\.position))
        await live.stop()
        await second.stop()
    }

    @Test func `whoever cannot be told everything is told that`() async throws {
        let live = try await LiveFixture { $0.live.memory = 1 }
        let first = try EventSource(live.address, "channels=trades")
        let ready = try #require(try first.next())
        for _ in 0..<3 { try live.publish(liveBatch(["M1", "M1"])) }
        _ = try first.take(6)
        let late = try EventSource(live.address, "channels=trades", lastEventID: ready.id)
        let missed = try #require(try late.take(1, ["missed"]).first)
        #expect(missed["reason"] == .string("expired") && missed["trades"] == .number("4"))
        #expect(missed["from"] == .string(ready.id) && missed["to"] == .string(missed.id))
        #expect(try late.take(2).map(\.position) == [5, 6].map { ready.position + $0 })
        let foreign = try EventSource(live.address, "channels=trades", lastEventID: "zzz-1")
        #expect(try foreign.take(1, ["missed"]).first?["reason"] == .string("other_tape"))
        let wrong = try live.address.request("/api/v1/stream", headers: ["Last-Event-ID: 5"])
        #expect(wrong.status == 400 && wrong.reason.contains("last_event_id"))
        await live.stop()
    }

    @Test func `a transaction too large to follow is told by its numbers, to whom it concerns`() async throws {
        let live = try await LiveFixture()
        let one = try EventSource(live.address, "channels=trades&symbols=B1")
        let all = try EventSource(live.address, "channels=trades")
        let other = try EventSource(live.address, "channels=trades&symbols=B3")
        for source in [one, all, other] { #expect(try source.next()?.name == "ready") }
        var bulk = LiveBatch()
        bulk.symbols = ["B1", "B2"]
        bulk.totals = [
            .init(symbol: 0, count: 30_000, first: .epoch, last: Timestamp(microseconds: 1_000_000)),
            .init(symbol: 1, count: 5, first: .epoch, last: .epoch),
        ]
        try live.publish(bulk)
        try live.publish(liveBatch(["B3"]))
        let mine = try #require(try one.take(1, ["missed"]).first)
        #expect(mine["trades"] == .number("30000") && mine["until"] == .string("1970-01-01T00:00:01Z"))
        #expect(mine["reason"] == .string("bulk") && mine["symbols"] == .object([("B1", .number("30000"))]))
        #expect(try all.take(1, ["missed"]).first?["trades"] == .number("30005"))
        #expect(try other.next()?.name == "trade")
        await live.stop()
    }

    @Test func `a subscriber that reads too slowly is told how much it missed, and holds no memory`() async throws {
        let live = try await LiveFixture {
            $0.live.memory = 256 * 1024
            $0.http.writeDeadline = .seconds(25)
        }
        let slow = try EventSource(live.address, "channels=trades&symbols=L1", receiveBuffer: 4096)
        let quick = try EventSource(live.address, "channels=trades&symbols=L2")
        for source in [slow, quick] { #expect(try source.next()?.name == "ready") }
        let batches = 24
        for number in 0..<batches {
            try live.publish(liveBatch(Array(repeating: "L1", count: 1000) + ["L2"], price: Double(number)))
            #expect(try quick.take(1).first?["price"] == .number("\(number)"))
        }
        try live.publish(liveBatch(["L1"], price: -1))
        var told: [Event] = []
        var missed: [Event] = []
        while told.last?["price"] != .number("-1"), let event = try slow.next() {
            if event.name == "trade" { told.append(event) }
            if event.name == "missed" { missed.append(event) }
        }
        #expect(!missed.isEmpty && missed.allSatisfy { $0["reason"] == .string("slow") })
        #expect(zip(told, told.dropFirst()).allSatisfy { $0.position < $1.position })
        // What it was not told lies within the gaps it was told of.
        let gaps = missed.map { gap in
            let from = gap["from"].flatMap { if case .string(let text) = $0 { LivePlace(text)?.position } else { nil } }
            return (from ?? 0)...gap.position
        }
        var previous = told[0].position
        for event in told.dropFirst() {
            // One trade of another symbol stands between two transactions.
            let skipped = event.position - previous - 1
            if skipped > 1 { #expect(gaps.contains { $0.lowerBound >= previous && $0.upperBound < event.position }) }
            previous = event.position
        }
        await live.stop()
    }

    @Test func `bars come with each change, and once more when they are over`() async throws {
        let live = try await LiveFixture()
        let bars = try EventSource(live.address, "channels=bars&symbols=C1&timeframe=1s,1d")
        let closed = try EventSource(live.address, "channels=bars&bars=closed&symbols=C1&timeframe=1s")
        for source in [bars, closed] { #expect(try source.next()?.name == "ready") }
        func trade(at seconds: Int64, _ price: Double) throws {
            let ts = Timestamp(microseconds: (1_700_000_000 + seconds) * 1_000_000)
            for (timeframe, start) in [("1s", ts), ("1d", Timeframe.day1.start(of: ts))] {
                try live.store.write(
                    """
                    insert into ops.bar_state (symbol, timeframe, ts, open, high, low, close, volume, notional,
                        trade_count, open_ts, open_id, open_source, close_ts, close_id, close_source)
                    values ('C1', '\(timeframe)', '\(start)', \(price), \(price), \(price), \(price), 0.5, 1, 1,
                        '\(ts)', 1, 't', '\(ts)', 1, 't')
                    on conflict (symbol, timeframe, ts) do update set close = excluded.close,
                        trade_count = bar_state.trade_count + 1
                    """)
            }
            var batch = liveBatch(["C1"], price: price)
            batch.trades[0].ts = ts
            try live.publish(batch)
        }
        try trade(at: 0, 10)
        let first = try bars.take(2, ["bar"])
        #expect(first.map { $0["timeframe"] } == [.string("1d"), .string("1s")])
        #expect(first.allSatisfy { $0["closed"] == .bool(false) && $0["close"] == .number("10") })
        #expect(first[1]["ts"] == .string("2023-11-14T22:13:20Z") && first[1]["trade_count"] == .number("1"))
        // The next second closes the one before.
        try trade(at: 1, 11)
        let next = try bars.take(3, ["bar"])
        #expect(next.map { $0["timeframe"] } == [.string("1d"), .string("1s"), .string("1s")])
        #expect(next.map { $0["closed"] } == [false, true, false].map(JSONValue.bool))
        let over = try #require(try closed.take(1, ["bar"]).first)
        #expect(over["closed"] == .bool(true) && over["close"] == .number("10"))
        // Silence closes the last: no later trade comes, but the symbol's clock runs on.
        let last = try #require(try closed.take(1, ["bar"]).first)
        #expect(last["close"] == .number("11") && last["closed"] == .bool(true))
        // A late trade changes a bar that was over: it is told again.
        try trade(at: 0, 12)
        #expect(try closed.take(1, ["bar"]).first?["close"] == .number("12"))
        // Whoever comes back with the place before is told the bars as they are now.
        let again = try EventSource(
            live.address, "channels=bars&symbols=C1&timeframe=1s", lastEventID: over.id)
        #expect(try again.take(2, ["bar"]).map { $0["close"] } == [.number("12"), .number("11")])
        await live.stop()
    }

    @Test func `a lost connection to the store loses nothing`() async throws {
        let live = try await LiveFixture { $0.live.heartbeat = .seconds(1) }
        let source = try EventSource(live.address, "channels=trades&symbols=K1")
        let ready = try #require(try source.next())
        for round in 0..<3 {
            _ = try live.store.count(
                "select count(pg_terminate_backend(pid)) from pg_stat_activity where application_name = 'tapedeck live'"
            )
            for _ in 0..<3 { try live.publish(liveBatch(["K1"], price: Double(round))) }
        }
        let told = try source.take(9)
        #expect(told.map(\.position) == (1...9).map { ready.position + $0 })
        let heartbeat = try #require(try source.take(1, ["heartbeat"]).first)
        #expect(heartbeat.position >= told[8].position && heartbeat["live"] == .bool(true))
        await live.stop()
    }

    @Test func `more subscribers than allowed are refused`() async throws {
        let live = try await LiveFixture { $0.live.subscribersPerClient = 2 }
        let open = try (0..<2).map { _ in try EventSource(live.address, "channels=trades") }
        for source in open { #expect(try source.next()?.name == "ready") }
        let refused = try live.address.request("/api/v1/stream")
        #expect(refused.status == 429 && refused.fields["retry-after"] != nil)
        let head = try live.address.request("/api/v1/stream", method: "HEAD")
        #expect(head.status == 200 && head.fields["content-type"] == "text/event-stream; charset=utf-8")
        let plain = try live.address.request("/api/v1/ws")
        #expect(plain.status == 426)
        await live.stop()
    }

    @Test func `a stream ends when its key is revoked, and a socket takes its key from the URL`() async throws {
        let live = try await LiveFixture {
            $0.requiresKeys = true
            $0.live.heartbeat = .seconds(1)
        }
        let key = APIKey()
        let hex = key.hash.map { ($0 < 16 ? "0" : "") + String($0, radix: 16) }.joined()
        try live.store.write(
            "insert into ops.api_keys (key_id, name, secret_hash, scopes) values ('\(key.id)', 'live \(key.id)', '\\x\(hex)', '{rest}')"
        )
        #expect(try live.address.request("/api/v1/stream").status == 401)
        #expect(try live.address.request("/api/v1/ws").status == 401)
        #expect(try live.address.request("/api/v1/ws?token=wrong").status == 401)
        #expect(try live.address.request("/api/v1/ws?token=\(key.text)").status == 426)
        let stream = try EventSource(live.address, "channels=trades", key: key.text)
        #expect(try stream.next()?.name == "ready")
        try live.store.write("update ops.api_keys set revoked_at = now() where key_id = '\(key.id)'")
        while let event = try stream.next() { #expect(event.name != "missed") }
        #expect(stream.hasEnded)
        await live.stop()
    }
}
