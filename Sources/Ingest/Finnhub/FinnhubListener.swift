// SPDX-License-Identifier: Apache-2.0

import EventLoop
import Logging
import Market
import Metrics
import Records
import TLS
import WebSocket

/// Listens to Finnhub over one connection after the other.
///
/// **Identity.** Finnhub gives trades no ids. Each gets the microsecond of its arrival, or the number after the last one
/// where that is taken, so that no two are alike and ids are in the order of arrival. The last id is the source's
/// position in the log: ids of the next run are above it, and its time is where a gap begins if the process ends.
///
/// Rule for `@unchecked Sendable`: used on the thread of `loop` only.
final class FinnhubListener: @unchecked Sendable {
    /// Records wait at most this long for others before they are delivered.
    private static let linger = Duration.milliseconds(20)
    /// Most records that wait for delivery; then the server has to.
    private static let mostPending = 32_768
    private static let mostPendingBytes = 16 << 20
    /// How often the position moves on while nothing but pings come.
    private static let positionInterval = Duration.seconds(5)
    /// Most remarks of the server that are noted of one connection.
    private static let mostRemarks = 50

    private let settings: FinnhubSource.Settings
    private let outlet: Outlet
    private let logger: Logger
    private let loop: EventLoop

    private var pending: Delivery
    private var roomWaiter: CheckedContinuation<Void, Never>?
    /// Wakes who delivers; one for each connection, since a stream ends with the task that reads it.
    private var arrival: AsyncStream<Void>.Continuation?

    private var lastID: Int64 = 0
    private var frames: Int64 = 0
    /// From when on something may have been missed; nil while nothing was.
    private var gapBegin: Timestamp?
    private var lastHeard: Timestamp?
    private var lastFrameAt = MonotonicTime.now()
    private var lastPositionAt = MonotonicTime.now()
    private var hasEverHeard = false
    private var remarks: Set<String> = []
    private var pause: Duration

    init(_ settings: FinnhubSource.Settings, _ outlet: Outlet, logger: Logger, loop: EventLoop) {
        self.settings = settings
        self.outlet = outlet
        self.logger = logger
        self.loop = loop
        pending = outlet.delivery()
        pause = settings.firstPause
    }

    /// The end of a connection that has to be answered with more than opening the next one.
    private struct Refusal: Error, CustomStringConvertible {
        var verdict: FinnhubFrame.Verdict
        var message: String
        var description: String { "the server says: \(message)" }
    }

    /// Listens until the task is cancelled.
    func listen() async throws {
        if settings.symbols.isEmpty {
            throw IngestError(
                source: outlet.source, message: "no symbols are given", hint: "Set TAPEDECK_FINNHUB_SYMBOLS.")
        }
        let url = try FinnhubSource.url(settings)
        var habits = WebSocketSettings()
        // A server that does not hear is not waited for: it costs trades.
        habits.closeDeadline = .seconds(1)
        let client: WebSocketClient
        do throws(TLSError) {
            client = WebSocketClient(habits, tls: try TLSClient(authorities: settings.authorities), on: loop)
        } catch {
            throw IngestError(source: outlet.source, message: error.message, hint: error.hint)
        }
        if let position = try await outlet.position() {
            lastID = position
            gapBegin = Timestamp(microseconds: position)
        }
        while !Task.isCancelled {
            let end: any Error
            do {
                try await client.run(url) { connection in try await self.follow(connection) }
                // The task was cancelled: the connection was closed in order.
                break
            } catch {
                end = error
            }
            outlet.metrics?.connected.set(0)
            if Task.isCancelled { break }
            try await note(end)
            try? await loop.sleep(for: pause(after: end))
        }
        outlet.metrics?.connected.set(0)
        try await outlet.journal.note(.disconnected)
    }

    /// Says that a connection has ended, and since when nothing is heard.
    private func note(_ end: any Error) async throws {
        let message = FinnhubSource.redact("\(end)", settings.token)
        logger.warning("the connection ended: \(message)")
        if let lastHeard {
            try await outlet.journal.note(.disconnected, message: message)
            gapBegin = gapBegin ?? lastHeard
        } else {
            try await outlet.journal.note(.error, message: message)
        }
        lastHeard = nil
        if isRefused(end) && !hasEverHeard {
            throw IngestError(
                source: outlet.source, message: message, hint: "Check FINNHUB_API_TOKEN, the API key of finnhub.io.")
        }
    }

    private func isRefused(_ end: any Error) -> Bool {
        if let refusal = end as? Refusal { return refusal.verdict == .refused }
        guard case .refused(let status)? = (end as? WebSocketError)?.reason else { return false }
        return status == 401 || status == 403
    }

    /// How long to wait before the next connection: twice as long after each failure, and a random part of it less. The
    /// first frame of a connection takes it back to the shortest: that it opens says nothing, since the server closes at
    /// once what is one too many.
    private func pause(after end: any Error) -> Duration {
        let longest = settings.firstPause * 60
        var wait = pause
        pause = min(pause * 2, longest)
        let isTooMany: Bool
        switch end {
        case let refusal as Refusal: isTooMany = refusal.verdict == .tooMany
        case let error as WebSocketError: isTooMany = error.reason == .refused(status: 429)
        default: isTooMany = false
        }
        if isTooMany { wait = max(wait, longest / 2) }
        if isRefused(end) { wait = longest }
        return wait * Double.random(in: 0.5...1)
    }

    // MARK: One connection

    /// Subscribes, and takes what comes until the connection ends.
    private func follow(_ connection: WebSocketConnection) async throws {
        for symbol in settings.symbols {
            try await connection.send(text: #"{"type":"subscribe","symbol":"\#(Self.escaped(symbol))"}"#)
        }
        lastFrameAt = .now()
        remarks = []
        try await outlet.journal.note(.connected)
        try await outlet.journal.note(.subscribed, symbols: settings.symbols)
        outlet.metrics?.connected.set(1)
        try await withThrowingTaskGroup(of: Void.self) { group in
            group.addTask(executorPreference: loop) { try await self.read(connection) }
            group.addTask(executorPreference: loop) { try await self.watch(connection) }
            let (arrivals, arrival) = AsyncStream.makeStream(of: Void.self, bufferingPolicy: .bufferingNewest(1))
            self.arrival = arrival
            group.addTask(executorPreference: loop) { try await self.deliverAll(arrivals) }
            // The first to end ends the others, the reader by closing, which it waits for; what was read is delivered
            // before the connection is left.
            let first = await group.nextResult()
            group.cancelAll()
            connection.close()
            while await group.nextResult() != nil {}
            try await deliver()
            try first?.get()
        }
    }

    /// Reads messages to the end of the connection, which is always an error unless we were told to stop.
    private func read(_ connection: WebSocketConnection) async throws {
        while try await connection.receive() != nil {
            lastFrameAt = .now()
            let arrived = outlet.now()
            if lastHeard == nil { try await hearAgain(at: arrived) }
            lastHeard = arrived
            frames += 1
            outlet.metrics?.frames.add()
            try await take(connection.payload, at: arrived)
            if isFull { await waitForRoom() }
        }
        if Task.isCancelled { return }
        let code = connection.closeCode.rawValue
        let reason = connection.closeReason
        throw WebSocketError(
            .connectionLost, "the server closed the connection: \(code)" + (reason.isEmpty ? "" : " \(reason)"))
    }

    /// The first message of a connection ends the time of which nothing is known.
    private func hearAgain(at now: Timestamp) async throws {
        hasEverHeard = true
        pause = settings.firstPause
        if let begin = gapBegin {
            // Durable before any record, with which the position moves past the gap.
            try await outlet.journal.note(.gap, from: begin, to: max(now, begin))
        }
        gapBegin = nil
    }

    private func take(_ payload: [UInt8], at arrived: Timestamp) async throws {
        let blank = StagedTrade(run: outlet.run, source: outlet.source, position: frames, ingestedAt: arrived)
        let frame = payload.withUnsafeBytes { FinnhubFrame($0, blank) }
        switch frame {
        case .trades(let trades):
            let wasEmpty = pending.isEmpty
            for parsed in trades {
                var trade = parsed.trade
                lastID = max(lastID + 1, arrived.microseconds)
                trade.tradeID = lastID
                pending.add(trade)
            }
            pending.position = lastID
            if wasEmpty { arrival?.yield() }
        case .error(let message): try await take(error: FinnhubSource.redact(message, settings.token))
        case .ping, .other: movePosition(to: arrived)
        }
    }

    /// A quiet market must not make a restart claim a gap since its last trade.
    private func movePosition(to arrived: Timestamp) {
        if .now() - lastPositionAt < Self.positionInterval { return }
        let wasEmpty = pending.isEmpty
        lastID = max(lastID + 1, arrived.microseconds)
        pending.position = lastID
        if wasEmpty { arrival?.yield() }
    }

    private func take(error message: String) async throws {
        let verdict = FinnhubFrame.judge(message)
        if verdict != .remark { throw Refusal(verdict: verdict, message: message) }
        guard remarks.count < Self.mostRemarks, remarks.insert(message).inserted else { return }
        logger.warning("the server says: \(message)")
        try await outlet.journal.note(.error, message: message)
    }

    /// Ends a connection on which nothing comes any more.
    private func watch(_ connection: WebSocketConnection) async throws {
        while true {
            let last = max(lastFrameAt, connection.lastPing ?? lastFrameAt)
            let rest = settings.silence - (.now() - last)
            if rest <= .zero {
                let seconds = settings.silence.components.seconds
                throw WebSocketError(.timedOut, "nothing has come for \(seconds) s, neither trade nor ping")
            }
            try await loop.sleep(for: rest)
        }
    }

    // MARK: Delivery

    /// Delivers what is read, gathered for a moment, until the task is cancelled.
    private func deliverAll(_ arrivals: AsyncStream<Void>) async throws {
        for await _ in arrivals {
            if pending.count < Self.mostPending / 2 { try? await loop.sleep(for: Self.linger) }
            if Task.isCancelled { return }
            try await deliver()
        }
    }

    private func deliver() async throws {
        while !pending.isEmpty {
            let delivery = pending
            pending = outlet.delivery()
            lastPositionAt = .now()
            roomWaiter?.resume()
            roomWaiter = nil
            try await outlet.offer(delivery)
        }
    }

    private var isFull: Bool { pending.count >= Self.mostPending || pending.byteCount >= Self.mostPendingBytes }

    /// Waits until what is pending is taken for delivery. The server's messages wait meanwhile, in the sockets.
    private func waitForRoom() async {
        if Task.isCancelled { return }
        await withTaskCancellationHandler {
            await withCheckedContinuation { continuation in
                // Entering a suspension may take a turn of the loop's queue, in which the room can have come.
                if isFull { roomWaiter = continuation } else { continuation.resume() }
            }
        } onCancel: {
            // On whatever thread: the loop resumes it.
            Task(executorPreference: self.loop) { self.giveRoom() }
        }
    }

    private func giveRoom() {
        roomWaiter?.resume()
        roomWaiter = nil
    }

    /// A symbol inside a JSON string.
    private static func escaped(_ symbol: String) -> String {
        symbol.replacing(#"\"#, with: #"\\"#).replacing("\"", with: #"\""#)
    }
}
