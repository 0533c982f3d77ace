// SPDX-License-Identifier: Apache-2.0
// The two doors to the live tape on one event loop: server-sent events, and Finnhub's WebSocket.

import EventLoop
import HTTP
import Market
import Metrics
import Postgres
import WebSocket

/// Answers `/api/v1/stream` and `/api/v1/ws`.
final class LiveService: @unchecked Sendable {
    // Rule for `@unchecked Sendable`: used on the loop's thread only; what it shares has locks of its own.

    let desk: LiveDesk
    private let configuration: QueryServer.Configuration
    private let gate: Gate
    private let sockets: WebSocketServer
    private var tape: LiveTape { desk.tape }

    init(_ configuration: QueryServer.Configuration, _ tape: LiveTape, _ gate: Gate, _ metrics: LiveMetrics) {
        self.configuration = configuration
        self.gate = gate
        var settings = WebSocketSettings()
        // Whoever is told something waits for room, so nothing is dropped here.
        settings.queueMessages = .max
        settings.queueBytes = max(settings.queueBytes, 4 * configuration.live.socketBytes)
        // All that a client has to say is the name of a symbol.
        settings.limits.frameBytes = 16 * 1024
        settings.limits.messageBytes = 16 * 1024
        settings.limits.fragments = 16
        settings.messageDeadline = configuration.http.bodyDeadline
        settings.messageBytesPerSecond = configuration.http.bodyBytesPerSecond
        let origins: WebSocketServer.Origins =
            switch configuration.http.crossOrigin.origins {
            case .none: .sameHost
            case .any: .any
            case .listed(let origins): .only(origins)
            }
        sockets = WebSocketServer(settings, origins: origins)
        desk = LiveDesk(
            tape, heartbeat: configuration.live.heartbeat, metrics: metrics, codecs: sockets.codecs, on: gate.loop)
    }

    /// Runs `body` as one of the subscribers there is room for, once the tape is followed.
    private func asSubscriber(
        _ request: Request, _ kind: String, _ body: () async throws -> Void
    ) async throws {
        let client = Caller(request).address
        try tape.enter(client, configuration.live)
        desk.metrics.subscribers[kind].add(1)
        defer {
            tape.leave(client)
            desk.metrics.subscribers[kind].add(-1)
        }
        guard await tape.waitUntilFollowed(on: desk.loop, until: .now() + configuration.live.patience) else {
            throw QueryError(
                503, "not_ready", "the live tape is not available", hint: "Try again in a moment.",
                retryAfterSeconds: 1)
        }
        try await body()
    }

    // MARK: Server-sent events

    private static let headers: Headers = [
        "Content-Type": "text/event-stream; charset=utf-8", "Cache-Control": "no-store",
        // nginx would gather events into pages.
        "X-Accel-Buffering": "no",
    ]

    /// `GET /api/v1/stream` (HTML Living Standard, 9.2): never ends by itself.
    ///
    /// - Parameter isWelcome: whether the client may still be served; asked every ``LiveLimits/heartbeat``.
    func answerStream(
        _ request: Request, _ response: ResponseWriter, isWelcome: () async -> Bool
    ) async throws {
        let wanted = try LiveRequest(
            try request.head.query(), lastEventID: request.head["last-event-id"], configuration)
        if !response.wantsBody {
            // Not `respond`: the length of a stream is none, and not nothing (RFC 9110 §8.6).
            try response.start(.ok, Self.headers)
            return try await response.finish()
        }
        try await asSubscriber(request, "stream") {
            try await waitForPlace(wanted.place)
            let (subscriber, gap) = desk.subscribe(wanted.filter, after: wanted.place)
            defer { desk.unsubscribe(subscriber) }
            request.onDrain { subscriber.end() }
            request.onClientGone { subscriber.end() }
            try response.start(.ok, Self.headers)
            try await response.send(try await opening(wanted, subscriber, gap))
            var nextCheck = MonotonicTime.now() + configuration.live.heartbeat
            while true {
                if nextCheck <= desk.loop.now {
                    guard await isWelcome() else { return try await response.finish() }
                    nextCheck = desk.loop.now + configuration.live.heartbeat
                }
                var bytes: [UInt8]
                switch await subscriber.wait() {
                case .ended: return try await response.finish()
                case .heartbeat:
                    bytes = []
                    bytes.appendHeartbeat(
                        desk.place(of: subscriber), isConnected: tape.isConnected, now: QueryHandler.now(),
                        inMilliseconds: wanted.timeInMilliseconds)
                case .news: bytes = piece(for: subscriber, inMilliseconds: wanted.timeInMilliseconds)
                }
                // One who keeps up waits next, and the others have their turn then.
                if !bytes.isEmpty { try await response.send(bytes, yields: subscriber.hasNews) }
            }
        }
    }

    /// A place that another server has told may be a moment ahead of us.
    private func waitForPlace(_ place: LivePlace?) async throws {
        guard let place else { return }
        let deadline = MonotonicTime.now() + .seconds(2)
        while place.tapeID == tape.tapeID && place.position > tape.position && .now() < deadline {
            try await desk.loop.sleep(for: .milliseconds(20))
        }
    }

    /// The first event; what cannot be told any more; and the bars that have changed or ended since the subscriber's place,
    /// as they stand now.
    private func opening(
        _ wanted: LiveRequest, _ subscriber: LiveSubscriber, _ gap: LiveGap?
    ) async throws -> [UInt8] {
        let inMilliseconds = wanted.timeInMilliseconds
        let place = LivePlace(tapeID: tape.tapeID, position: subscriber.position)
        var bytes: [UInt8] = []
        bytes.appendReady(place, now: QueryHandler.now(), inMilliseconds: inMilliseconds)
        if let gap {
            desk.metrics.told(gap.reason)
            bytes.appendMissedEvent(
                gap, from: gap.reason == .otherTape ? nil : wanted.place, to: place, inMilliseconds: inMilliseconds)
        }
        guard wanted.place != nil else { return bytes }
        let changed = Set(desk.changedBars(wanted.filter, since: subscriber.position))
        let ended = desk.endedBars(
            wanted.filter, since: subscriber.position, limit: LiveFeed.barLimit - changed.count, now: QueryHandler.now()
        )
        .filter { !changed.contains($0) }
        let keys = (changed + ended).sorted(by: LiveBars.precedes)
        if keys.isEmpty { return bytes }
        let deadline = MonotonicTime.now() + configuration.live.patience
        let bars = try await gate.beside(deadline: deadline) { connection in
            try await LiveBars.read(keys, connection, tape, deadline: deadline)
        }
        for bar in bars where bar.isClosed || !wanted.filter.wantsClosedOnly {
            bytes.appendBarEvent(bar, place, inMilliseconds)
        }
        return bytes
    }

    /// What is new for a subscriber, as events: the bytes that all share where it wants all trades and keeps up, else
    /// about ``LiveDesk/pieceBytes`` of its own.
    private func piece(for subscriber: LiveSubscriber, inMilliseconds: Bool) -> [UInt8] {
        var bytes: [UInt8] = []
        while bytes.count < LiveDesk.pieceBytes, let news = desk.next(subscriber, limit: 256) {
            switch news {
            case .whole(let entry, let number):
                let events = desk.events(entry, number, inMilliseconds: inMilliseconds)
                if bytes.isEmpty && !subscriber.hasNews { return events.bytes }
                bytes += events.bytes
            case .trades(let entry, let number, let indices):
                let events = desk.events(entry, number, inMilliseconds: inMilliseconds)
                for index in indices { bytes += events.bytes[events.range(of: index)] }
            case .bars(let entry, let bars):
                let place = LivePlace(tapeID: tape.tapeID, position: entry.position)
                for bar in bars { bytes.appendBarEvent(bar, place, inMilliseconds) }
            case .missed(let gap, let from, let to):
                let tapeID = tape.tapeID
                bytes.appendMissedEvent(
                    gap, from: gap.reason == .otherTape ? nil : LivePlace(tapeID: tapeID, position: from),
                    to: LivePlace(tapeID: tapeID, position: to), inMilliseconds: inMilliseconds)
            }
        }
        return bytes
    }

    // MARK: WebSocket

    /// `GET /api/v1/ws`: the protocol of wss://ws.finnhub.io. `token` is the API key, where one is needed.
    ///
    /// - Parameter isWelcome: as in ``answerStream(_:_:isWelcome:)``.
    func answerSocket(
        _ request: Request, _ response: ResponseWriter, isWelcome: () async -> Bool
    ) async throws {
        _ = try ParameterReader(try request.head.query(), known: ["token"])
        guard request.head.lists("upgrade", "websocket") else {
            return try await sockets.serve(request, response) { _ in }
        }
        try await asSubscriber(request, "ws") {
            try await sockets.serve(request, response) { socket in
                try await LiveSocket(socket, desk, configuration).run(isWelcome: isWelcome)
            }
        }
    }
}
