// SPDX-License-Identifier: Apache-2.0
// An open WebSocket over any stream, plain or TLS, of either role: RFC 6455 §5-7.

package import EventLoop
import HTTP

/// The limits, deadlines and habits of a WebSocket.
package struct WebSocketSettings: Sendable {
    /// What becomes of a message for all (``WebSocketConnection/offer(_:)``) for which the queue has no room.
    package enum Overflow: Sendable, Equatable {
        /// The connection is closed with 1008: its user can come back and begin anew.
        case disconnect
        /// The oldest messages for all that still wait make room.
        case dropOldest
        /// The message is not sent.
        case dropNewest
    }

    package var limits = MessageLimits()
    /// Bytes of messages that wait to be sent, those the kernel has not taken included.
    package var queueBytes = 1 << 20
    /// Messages for all that wait to be sent.
    package var queueMessages = 1024
    package var overflow = Overflow.disconnect
    /// Nil refuses, or does not offer, permessage-deflate.
    package var compression: CompressionSettings? = CompressionSettings()

    /// How long a message may be waited for once it has begun (1008): the longest pause, and with
    /// ``messageBytesPerSecond`` the lowest rate; see ``Pace``.
    package var messageDeadline = Duration.seconds(30)
    /// The rate that a message must keep up in the long run.
    package var messageBytesPerSecond = 4 * 1024
    /// How long the peer may be silent before it is sent a ping.
    package var pingInterval = Duration.seconds(30)
    /// How long it may be silent after that.
    package var pongDeadline = Duration.seconds(20)
    /// How long a close handshake may take.
    package var closeDeadline = Duration.seconds(5)

    package init() {}
}

/// An open WebSocket: messages are received by ``receive()``, whose caller also gets pings answered and silence noticed,
/// and sent by ``send(_:_:)`` or ``offer(_:)``. One task receives; whoever has it sends. Loop thread only.
package final class WebSocketConnection: @unchecked Sendable {
    // Rule for `@unchecked Sendable`: used on the thread of `loop` only, which the doors check.

    private enum State {
        case open
        /// We have sent a close frame, and wait for the peer's.
        case closing
        /// Both have, or the connection is lost.
        case closed
    }

    package let loop: EventLoop
    /// The subprotocol that was agreed on; nil for none.
    package let subprotocol: String?
    /// Whether messages may be compressed, in either direction.
    package var isCompressed: Bool { codecs != nil }
    /// The code of the peer's close frame, once ``receive()`` has returned nil.
    package private(set) var closeCode = CloseCode.abnormal
    /// The reason in the peer's close frame.
    package private(set) var closeReason = ""
    /// Messages for all that were not sent because the queue was full.
    package private(set) var droppedMessages = 0

    /// When the peer last sent a ping; nil if it never did.
    package private(set) var lastPing: MonotonicTime?

    private let role: Role
    private let settings: WebSocketSettings
    private let socket: StreamSocket
    private let scratch: UnsafeMutableRawBufferPointer
    private let codecs: ConnectionCodecs?
    private var reader: MessageReader
    private var state = State.open
    private var masks = MaskSource()

    /// Bytes received and not used yet.
    private var input: [UInt8] = []
    private var position = 0
    private var receivesSinceYield = 0

    /// How slowly the message under way may come.
    private var pace: Pace
    private var lastHeard: MonotonicTime
    /// A ping was sent, and nothing has come since.
    private var awaitsPongUntil: MonotonicTime?

    private var queue = SendQueue()
    private var writerWaiter: UnsafeContinuation<Void, Never>?
    private var roomWaiters: [UnsafeContinuation<Void, Never>] = []
    /// No more will be queued: the writer ends when the queue is empty.
    private var isFinishing = false
    private var writerHasEnded = false
    private var writerEndWaiter: UnsafeContinuation<Void, Never>?
    private var hasEnded = false
    private var failure: WebSocketError?

    init(
        role: Role, socket: StreamSocket, received: [UInt8], scratch: UnsafeMutableRawBufferPointer, loop: EventLoop,
        settings: WebSocketSettings, subprotocol: String?, codecs: ConnectionCodecs?
    ) {
        self.role = role
        self.socket = socket
        self.scratch = scratch
        self.loop = loop
        self.settings = settings
        self.subprotocol = subprotocol
        self.codecs = codecs
        reader = MessageReader(role: role, limits: settings.limits, codecs: codecs)
        pace = Pace(limit: settings.messageDeadline, bytesPerSecond: settings.messageBytesPerSecond)
        input = received
        lastHeard = .now()
    }

    /// Runs `body` with the connection, and ends it: with a close handshake, if `body` has not closed it. The task's
    /// cancellation cuts it off.
    func run(_ body: (WebSocketConnection) async throws -> Void) async throws {
        loop.preconditionOnLoop()
        let outcome = await withTaskGroup(of: Void.self, returning: Result<Void, any Error>.self) { group in
            group.addTask { await self.writeAll() }
            let cancellation = Waiter()
            // A server's connections are cut off by their listener.
            if role == .client { group.addTask { await self.cutWhenCancelled(cancellation) } }
            let outcome: Result<Void, any Error>
            do {
                try await body(self)
                outcome = .success(())
            } catch {
                outcome = .failure(error)
            }
            if case .failure(let error) = outcome, !(error is WebSocketError) {
                beginClosing(.internalError, "")
            } else {
                beginClosing(.normal, "")
            }
            await finish()
            hasEnded = true
            cancellation.resume()
            return outcome
        }
        try outcome.get()
    }

    // MARK: Receiving

    /// The next message, which is then in ``payload``; nil when the WebSocket was closed in order.
    ///
    /// - Throws: what the peer has broken (it was told), or how the connection was lost. Nothing more comes after it.
    package func receive() async throws(WebSocketError) -> MessageKind? {
        loop.preconditionOnLoop()
        while true {
            if let failure { throw failure }
            if case .closed = state { return nil }
            do throws(WebSocketError) {
                switch try reader.next(input.span, &position) {
                case .message(let kind):
                    pace.restart()
                    if case .open = state { return kind }
                case .ping:
                    lastPing = .now()
                    pong()
                case .pong: break
                case .close(let code):
                    if let failure { throw failure }
                    closeCode = code
                    closeReason = String(decoding: reader.control, as: UTF8.self)
                    beginClosing(code, "")
                    state = .closed
                    return nil
                case .needMore: try await fill()
                }
            } catch {
                fail(error)
                throw failure ?? error
            }
        }
    }

    /// The message that ``receive()`` has announced, until it is called again.
    package var payload: [UInt8] { reader.payload }

    private func fill() async throws(WebSocketError) {
        input.removeFirst(position)
        position = 0
        if input.isEmpty && input.capacity > 16 * 1024 { input = [] }
        reader.trim()
        // A peer that sends without pause must not keep the loop from its other sockets.
        receivesSinceYield += 1
        if receivesSinceYield == 16 {
            receivesSinceYield = 0
            await loop.nextTurn()
        }
        // A message that has begun and dribbles on holds memory for as long as its sender likes, whatever else it sends.
        let isUnderWay = reader.isUnderWay || !input.isEmpty
        if !isUnderWay { pace.restart() }
        while true {
            let begun = MonotonicTime.now()
            let silenceEnds = awaitsPongUntil ?? lastHeard + settings.pingInterval
            let deadline = isUnderWay ? min(silenceEnds, begun + pace.left) : silenceEnds
            let received = await socket.receive(into: scratch, until: deadline)
            if isUnderWay {
                var bytes = 0
                if case .bytes(let count) = received { bytes = count }
                pace.note(waited: .now() - begun, bytes: bytes)
            }
            switch received {
            case .bytes(let count):
                lastHeard = loop.now
                awaitsPongUntil = nil
                input.append(contentsOf: UnsafeRawBufferPointer(rebasing: scratch[..<count]))
                return
            case .end: throw .lost
            case .cancelled: throw WebSocketError(.cancelled, "the connection was cut off")
            case .timedOut where isUnderWay && pace.left == .zero:
                throw WebSocketError(.violation(.policyViolation), "a message came too slowly")
            case .timedOut: try silence()
            }
        }
    }

    /// The peer was silent for as long as it may be.
    private func silence() throws(WebSocketError) {
        if awaitsPongUntil != nil { throw WebSocketError(.timedOut, "the peer did not answer a ping in time") }
        awaitsPongUntil = .now() + settings.pongDeadline
        if case .open = state { queueControl(.ping, []) }
    }

    private func pong() {
        guard case .open = state else { return }
        // Only the last ping needs an answer (§5.5.3): one that was not sent yet is replaced, so pings do not pile up.
        queue.pong = reader.control
        wakeWriter()
    }

    // MARK: Sending

    /// Queues a message, and waits for as long as the queue is full.
    ///
    /// - Throws: ``WebSocketError/Reason/closed``, or how the connection was lost.
    package func send(_ kind: MessageKind, _ bytes: [UInt8]) async throws(WebSocketError) {
        try await waitForRoom(below: settings.queueBytes)
        let opcode: Opcode = kind == .text ? .text : .binary
        if let codecs, bytes.count >= settings.compression?.threshold ?? .max {
            let compressed = codecs.deflate(bytes.span)
            append(FrameHead(opcode, length: compressed.count, isCompressed: true), compressed.span)
        } else {
            append(FrameHead(opcode, length: bytes.count), bytes.span)
        }
        wakeWriter()
    }

    /// Waits until less than so many bytes wait to be sent, for a sender of messages for all who would rather wait than
    /// have them dropped.
    ///
    /// - Parameter bytes: ``WebSocketSettings/queueBytes`` at most.
    /// - Throws: as ``send(_:_:)``.
    package func waitForRoom(below bytes: Int) async throws(WebSocketError) {
        loop.preconditionOnLoop()
        try checkOpen()
        while queue.bytes >= bytes {
            await withUnsafeContinuation { continuation in
                // Entering a suspension may take a turn of the loop's queue, in which the room can have come.
                if queue.bytes < bytes || state != .open || failure != nil {
                    continuation.resume()
                } else {
                    roomWaiters.append(continuation)
                }
            }
            try checkOpen()
        }
    }

    /// Queues a text.
    package func send(text: String) async throws(WebSocketError) { try await send(.text, Array(text.utf8)) }

    /// Queues a message for all, as a server: the frame is shared by everybody it is queued for. Never waits; where the
    /// queue is full, ``WebSocketSettings/overflow`` says what happens.
    ///
    /// - Returns: whether the message was queued.
    @discardableResult
    package func offer(_ message: SharedMessage) -> Bool {
        loop.preconditionOnLoop()
        precondition(role == .server, "frames of clients are masked, each for itself")
        guard case .open = state, failure == nil, !writerHasEnded else { return false }
        let frame = message.frame(codecs?.agreement, threshold: settings.compression?.threshold ?? .max)
        // An empty queue takes any message.
        while !queue.isEmpty
            && (queue.bytes + frame.count > settings.queueBytes || queue.sharedCount >= settings.queueMessages)
        {
            switch settings.overflow {
            case .dropOldest where queue.dropOldestShared(): droppedMessages += 1
            case .dropOldest, .dropNewest:
                droppedMessages += 1
                return false
            case .disconnect:
                while queue.dropOldestShared() {}
                failure = WebSocketError(.tooSlow, "the client takes messages more slowly than they come")
                beginClosing(.policyViolation, "too slow")
                return false
            }
        }
        queue.appendShared(frame)
        wakeWriter()
        return true
    }

    /// Begins the close handshake; ``receive()`` returns nil when the peer has answered. Messages that were queued before
    /// are still sent.
    ///
    /// - Parameter reason: 123 bytes at most; what is more is cut off.
    package func close(_ code: CloseCode = .normal, _ reason: String = "") {
        loop.preconditionOnLoop()
        beginClosing(code, reason)
    }

    private func checkOpen() throws(WebSocketError) {
        if let failure { throw failure }
        guard case .open = state else { throw .isClosed }
    }

    private func append(_ head: FrameHead, _ payload: borrowing Span<UInt8>) {
        var head = head
        if role == .client { head.mask = masks.next() }
        queue.appendOwn(head, payload)
    }

    private func queueControl(_ opcode: Opcode, _ payload: [UInt8]) {
        append(FrameHead(opcode, length: payload.count), payload.span)
        wakeWriter()
    }

    // MARK: Closing

    private func beginClosing(_ code: CloseCode, _ reason: String) {
        guard case .open = state else { return }
        state = .closing
        loop.schedule(at: .now() + settings.closeDeadline) { [weak self] in self?.closingHasExpired() }
        var payload: [UInt8] = [UInt8(code.rawValue >> 8), UInt8(truncatingIfNeeded: code.rawValue)]
        for character in reason {
            if payload.count + character.utf8.count > FrameHead.longestControl { break }
            payload.append(contentsOf: character.utf8)
        }
        if code.mayBeSent { queueControl(.close, payload) } else { queueControl(.close, []) }
        resumeRoomWaiters()
    }

    /// Neither the peer's close frame nor the end of what was queued has come in time.
    private func closingHasExpired() {
        if hasEnded { return }
        if failure == nil { failure = WebSocketError(.timedOut, "the close handshake took too long") }
        socket.cancel()
    }

    /// The WebSocket cannot go on. The peer is told why, if there is a code for it and it may still listen (§7.1.7).
    private func fail(_ error: WebSocketError) {
        if case .violation(let code) = error.reason { beginClosing(code, error.message) }
        if failure == nil { failure = error }
        state = .closed
        // Nobody is left to write to, and the writer may be waiting.
        if error.reason == .connectionLost || error.reason == .timedOut { socket.cancel() }
        resumeRoomWaiters()
    }

    /// The end of `run`: what is queued is sent, the peer's close frame awaited, the connection ended. All of it within
    /// the close deadline, by ``closingHasExpired()``.
    private func finish() async {
        do {
            // Reads on to the peer's close frame; messages that come now are of no use to anybody.
            while case .closing = state, try await receive() != nil {}
        } catch {}
        isFinishing = true
        wakeWriter()
        if !writerHasEnded {
            await withUnsafeContinuation { continuation in
                // It may have ended since: see `send`.
                if writerHasEnded { continuation.resume() } else { writerEndWaiter = continuation }
            }
        }
        // What the peer still sends is read: closing a socket with unread bytes resets the connection, and the reset
        // overtakes our close frame.
        var left = 16 << 20
        while left > 0, case .bytes(let count) = await socket.receive(into: scratch, until: .distantFuture) {
            left -= count
        }
    }

    private func cutWhenCancelled(_ waiter: Waiter) async {
        await withTaskCancellationHandler {
            await withUnsafeContinuation { waiter.arm($0) }
        } onCancel: {
            waiter.resume()
        }
        if hasEnded { return }
        if failure == nil { failure = WebSocketError(.cancelled, "the task was cancelled") }
        socket.cancel()
    }

    // MARK: Writing

    /// The writer's task: sends what is queued, in pieces of many frames, until there will be no more.
    private func writeAll() async {
        defer {
            writerHasEnded = true
            resumeRoomWaiters()
            writerEndWaiter?.resume()
        }
        while true {
            guard let batch = queue.takeBatch(mask: { role == .client ? masks.next() : nil }) else {
                if isFinishing { break }
                await withUnsafeContinuation { continuation in
                    // What is waited for may have come since: see `send`.
                    if queue.hasNext || isFinishing { continuation.resume() } else { writerWaiter = continuation }
                }
                continue
            }
            do throws(HTTPError) {
                socket.restartPace()
                try await socket.send(batch)
                queue.sent(consume batch)
            } catch {
                fail(
                    error == .writeTimedOut
                        ? WebSocketError(.timedOut, "the peer took no bytes for too long") : .lost)
                return
            }
            if queue.bytes < settings.queueBytes { resumeRoomWaiters() }
        }
        // After the close handshake the server ends the connection, and the client waits for it (§7.1.1).
        socket.endSending()
    }

    private func wakeWriter() {
        let waiter = writerWaiter
        writerWaiter = nil
        waiter?.resume()
    }

    private func resumeRoomWaiters() {
        let waiters = roomWaiters
        roomWaiters = []
        for waiter in waiters { waiter.resume() }
    }
}
