// SPDX-License-Identifier: Apache-2.0
// The life of one connection: head, handler, response, and again.

import EventLoop
import Glibc
import TLS

/// One client's connection, from accept to close: one task on the listener's loop, one request at a time, so that
/// pipelined requests are answered in order and a client that sends ahead is stopped by TCP.
final class Connection {
    let listener: Listener
    let socket: StreamSocket
    /// Who is at the other end of the socket, or whom a trusted proxy's PROXY header names.
    private(set) var peer: SocketAddress
    /// What it takes up among the open connections.
    private(set) var place: OpenConnections.Place
    var configuration: Configuration { listener.configuration }
    private(set) var parser: RequestParser
    private(set) var body: RequestBody!
    private(set) var response: ResponseWriter!

    /// Bytes received and not used yet: the rest of a head, a body, a request sent ahead. Empty while the connection
    /// is idle, so that idle connections hold no buffers; the loop's shared one receives.
    private var input = InputBuffer()

    private var isIdle = false
    private var isCut = false
    private var needsLinger = false
    private var clientGoneAction: (() -> Void)?
    private var drainAction: (() -> Void)?
    /// When the handler that runs was called; distant while none runs.
    private var handlerStart = MonotonicTime.distantFuture
    /// The handler has had its time, and has been told so.
    private var isExpired = false
    /// The trace of the request under way.
    private(set) var trace: TraceContext!
    /// Requests so far; tells a timer whether it still means the same one.
    private var exchangeNumber = 0

    init(
        listener: Listener, descriptor: CInt, peer: SocketAddress, place: OpenConnections.Place
    ) throws(SystemError) {
        self.listener = listener
        self.peer = peer
        self.place = place
        parser = RequestParser(limits: listener.configuration.head)
        socket = try StreamSocket(
            descriptor: descriptor, loop: listener.loop,
            pace: Pace(
                limit: listener.configuration.writeDeadline,
                bytesPerSecond: listener.configuration.writeBytesPerSecond))
        body = RequestBody(self)
        response = ResponseWriter(self)
        socket.onPeerClosed = { [unowned self] in peerHasClosed() }
    }

    /// Serves requests until the connection ends, and closes it.
    func run() async {
        defer { socket.close() }
        if proxyHeaderComesFirst {
            guard let header = await receiveProxyHeader(until: .now() + configuration.headDeadline) else { return }
            if let client = header.client {
                peer = client
                switch listener.openConnections.admit(client, insteadOf: &place) {
                case .admitted: break
                case .refused(_, let why): return await tellRefusal(why, within: .now() + configuration.lingerDeadline)
                case .full:
                    listener.observer?.connectionDropped()
                    return
                }
            }
        }
        await serveAll()
    }

    /// Answers 503 without looking at the request, and closes.
    func refuse(_ why: String) async {
        defer { socket.close() }
        let deadline = MonotonicTime.now() + configuration.lingerDeadline
        if proxyHeaderComesFirst {
            guard await receiveProxyHeader(until: deadline) != nil else { return }
        }
        await tellRefusal(why, within: deadline)
    }

    private var proxyHeaderComesFirst: Bool {
        configuration.proxies.sendsProxyHeader && configuration.proxies.contains(peer)
    }

    private func serveAll() async {
        isIdle = true
        let mayServe = await secure(until: .now() + configuration.handshakeDeadline)
        isIdle = false
        while mayServe, let framing = await receiveHead(), await serve(framing) {
            exchangeNumber += 1
            // Requests sent ahead are served without waiting: leave room for the other connections.
            if exchangeNumber % configuration.pipelineBatch == 0 { await listener.loop.nextTurn() }
        }
        if isCut { return }
        try? await socket.flush()
        if needsLinger { await linger() }
    }

    /// Whoever is refused has little time to hear it: until `deadline` for the handshake and the request, and then
    /// what ``linger()`` gives.
    private func tellRefusal(_ why: String, within deadline: MonotonicTime) async {
        guard await secure(until: deadline) else { return }
        // Wait for the request: an answer before it could be taken for one to nothing.
        _ = await socket.receive(into: listener.scratch, until: deadline)
        await answerRefusal(
            HTTPError(.serviceUnavailable, code: "too_many_connections", message: why),
            ["Retry-After": "\(configuration.retryAfterSeconds)"])
        await linger()
    }

    /// The PROXY header, looked at in the kernel's buffer and then taken out of it to its last byte: what follows may be
    /// the beginning of another protocol (TLS). Nil if there is none, which ends the connection without a word: the
    /// header's sender speaks no HTTP.
    private func receiveProxyHeader(
        until deadline: MonotonicTime
    ) async -> (length: Int, client: SocketAddress?)? {
        let buffer = UnsafeMutableRawBufferPointer(rebasing: listener.scratch[..<ProxyHeader.lengthLimit])
        var seen = 0
        while case .bytes(let count) = await socket.peek(into: buffer, beyond: seen, until: deadline) {
            switch ProxyHeader.parse(Array(buffer[..<count])[...]) {
            case .header(let length, let client):
                socket.skip(length, with: listener.scratch)
                return (length, client)
            case .needMore where count < buffer.count: seen = count
            case .needMore, .malformed:
                listener.observer?.requestRefused(
                    Refusal(
                        peer: peer,
                        error: HTTPError(.badRequest, code: "invalid_proxy_header", message: "not a PROXY header")))
                return nil
            }
        }
        return nil
    }

    // MARK: TLS

    /// Brings the TLS handshake to its end, if TLS is configured. Returns whether requests may follow. Who speaks plain
    /// HTTP is told so, in plain HTTP.
    private func secure(until deadline: MonotonicTime) async -> Bool {
        guard let server = configuration.tls else { return true }
        do throws(TLSError) {
            try await socket.secure(with: server, until: deadline)
            return true
        } catch {
            let refusal = HTTPError(
                .badRequest, code: error.code.rawValue, message: error.message, hint: error.hint)
            if error.code == .plainHTTP && !isCut {
                await answerRefusal(refusal)
            } else {
                listener.observer?.requestRefused(Refusal(peer: peer, error: refusal))
            }
            return false
        }
    }

    // MARK: For shutdown

    /// Ends the connection if no request is under way.
    func closeIfIdle() {
        if isIdle { return cut() }
        let action = drainAction
        drainAction = nil
        action?()
    }

    /// Has `action` called when the server begins to shut down; at once if it has begun.
    func whenDraining(_ action: @escaping () -> Void) {
        if listener.isDraining { return action() }
        drainAction = action
    }

    /// What another protocol goes on with.
    func upgraded() -> UpgradedConnection {
        UpgradedConnection(
            socket: socket, received: input.take(upTo: .max), loop: listener.loop, scratch: listener.scratch)
    }

    /// Ends the connection, whatever is under way.
    func cut() {
        isCut = true
        socket.cancel()
        reportClientGone()
    }

    /// Whether the response under way may leave the connection open.
    var mayPersist: Bool {
        parser.head.keepAlive && !listener.isDraining && body.isDrainable(within: configuration.unreadBodyLimit)
    }

    /// Has the handler's time ended by now? Then its client is as good as gone for it: it is told, and when it returns,
    /// 503 is the answer. A handler that does not listen loses its connection a little later.
    func expireHandler(at now: MonotonicTime) {
        guard handlerStart != .distantFuture, !response.hasSent else { return }
        let deadline = handlerStart + configuration.handlerDeadline
        if now < deadline { return }
        if isExpired {
            if now >= deadline + configuration.lingerDeadline { cut() }
            return
        }
        isExpired = true
        reportClientGone()
    }

    // MARK: Head

    /// The framing of the next request, whose head is then in ``parser``; nil when there will be none.
    private func receiveHead() async -> BodyFraming? {
        parser.reset()
        do throws(HTTPError) {
            if hasInput, let framing = try parseInput() { return framing }
            var deadline = MonotonicTime.distantFuture
            while true {
                if hasInput {
                    if deadline == .distantFuture { deadline = .now() + configuration.headDeadline }
                } else {
                    if socket.gatheredCount > 0, (try? await socket.flush()) == nil { return nil }
                    if listener.isDraining { return nil }
                    isIdle = true
                }
                let received = await socket.receive(
                    into: listener.scratch, until: isIdle ? listener.idleDeadline : deadline)
                isIdle = false
                switch received {
                case .bytes(let count):
                    if let framing = try parseReceived(count) { return framing }
                case .timedOut where hasInput:
                    throw HTTPError(.requestTimeout, code: "request_timeout", message: "the request came too slowly")
                case .end, .timedOut, .cancelled: return nil
                }
            }
        } catch {
            await answerRefusal(error)
            return nil
        }
    }

    /// Parses what has just come, in the loop's buffer if there is nothing older.
    private func parseReceived(_ count: Int) throws(HTTPError) -> BodyFraming? {
        let received = UnsafeRawBufferPointer(rebasing: listener.scratch[..<count])
        if hasInput {
            input.append(received)
            return try parseInput()
        }
        let bytes = received.bindMemory(to: UInt8.self)
        switch try parser.parse(bytes.span) {
        case .needMore:
            input.append(received)
            return nil
        case .head(let length, let framing):
            if length < count { input.append(UnsafeRawBufferPointer(rebasing: received[length...])) }
            return framing
        }
    }

    private func parseInput() throws(HTTPError) -> BodyFraming? {
        // The parser counts from the head's first byte.
        let bytes = input.contents()
        switch try parser.parse(bytes.span) {
        case .needMore: return nil
        case .head(let length, let framing):
            input.drop(length)
            return framing
        }
    }

    // MARK: One exchange

    /// Has the handler answer the request in ``parser``. Returns whether the connection can be used again.
    private func serve(_ framing: BodyFraming) async -> Bool {
        let start = MonotonicTime.now()
        let head = parser.head
        body.begin(framing, expectsContinue: head.expectsContinue)
        socket.pace.restart()
        response.begin()
        if let hosts = configuration.hosts, let authority = head.authority, !hosts.accepts(authority) {
            await answerRefusal(HostNames.misdirected)
            return false
        }
        let id = listener.nextRequestID()
        trace = TraceContext(head, number: id)
        let request = Request(self, head, id: id, received: start)
        var failure: (any Error)?
        handlerStart = start
        do {
            if head.method == .options, let preflight = configuration.crossOrigin.preflight(head) {
                try await response.respond(.noContent, preflight)
            } else {
                try await listener.handler.handle(request, response)
                if !response.isComplete { try await response.end() }
            }
        } catch {
            failure = error
            // The server has been cancelled, which cuts everything off; the handler may hear of it first.
            if Task.isCancelled { cut() }
            await answerFailure(error)
        }
        handlerStart = .distantFuture
        clientGoneAction = nil
        drainAction = nil
        observe(request, failure)
        guard response.isComplete else {
            // The end of the connection is the end of a 1.0 body: only a reset tells that it is not the real one.
            if response.endsWithConnection { socket.resetOnClose() }
            return false
        }
        if isCut { return false }
        if response.keepAlive {
            if body.isAtEnd && body.failure == nil { return true }
            if await body.drain(upTo: configuration.unreadBodyLimit) { return true }
        }
        needsLinger = !body.isAtEnd || body.failure != nil || hasInput
        return false
    }

    /// The handler has thrown: answers, if that is still possible. Otherwise the connection is closed in the middle
    /// of the body, so that the client sees a failure and not an end.
    private func answerFailure(_ error: any Error) async {
        let known = error as? HTTPError
        if isCut || known?.isConnectionLost == true && !isExpired || response.hasSent || response.isComplete { return }
        let answer =
            isExpired
            ? Self.handlerTimeout
            : known ?? HTTPError(.internalServerError, code: "internal", message: "internal error")
        response.restart()
        if isExpired { response.closesConnection = true }
        var headers = Self.errorHeaders
        if answer.status.code == 503 { headers.add("Retry-After", "\(configuration.retryAfterSeconds)") }
        try? await response.respond(answer.status.because(answer.message), headers, answer.jsonBody)
    }

    private static let handlerTimeout = HTTPError(
        .serviceUnavailable, code: "handler_timeout", message: "the server took too long",
        hint: "Try again later, or ask for less.")

    private func observe(_ request: Request, _ error: (any Error)?) {
        guard let observer = listener.observer else { return }
        let outcome: Exchange.Outcome =
            response.isComplete ? .completed : response.hasSent ? .broken : .abandoned
        let lost = isCut ? Status.serviceUnavailable : .clientGone
        observer.exchangeFinished(
            Exchange(
                id: request.id, trace: request.trace, method: request.head.method, route: response.route,
                status: (outcome == .abandoned ? lost : response.status ?? lost).code,
                bodyBytes: response.bodyBytesSent, duration: .now() - request.received, peer: request.peer,
                outcome: outcome, error: error))
    }

    // MARK: Refusals

    private static let errorHeaders: Headers = ["Content-Type": "application/json"]

    /// Answers a request that no handler has seen; the connection is of no use after it.
    private func answerRefusal(_ error: HTTPError, _ headers: Headers = .none) async {
        listener.observer?.requestRefused(Refusal(peer: peer, error: error))
        needsLinger = true
        var headers = headers
        headers.add("Content-Type", "application/json")
        let body = error.jsonBody
        var bytes: [UInt8] = []
        listener.beginHead(error.status, &bytes)
        bytes.continueHead(.http11, keepAlive: false, headers)
        bytes.appendFields(
            socket.tls == nil ? configuration.standardHeaders.overPlainHTTP : configuration.standardHeaders,
            missingIn: headers)
        bytes.endHead(.length(body.count))
        bytes.append(contentsOf: body)
        try? await socket.send(bytes, deadline: .now() + configuration.lingerDeadline)
    }

    /// Reads on for a while what the client still sends: closing a socket with unread bytes resets the connection,
    /// and the reset overtakes our answer (RFC 9112 §9.6).
    private func linger() async {
        socket.endSending()
        let deadline = MonotonicTime.now() + configuration.lingerDeadline
        var left = 4 * 1024 * 1024
        while left > 0, case .bytes(let count) = await socket.receive(into: listener.scratch, until: deadline) {
            if MonotonicTime.now() > deadline { return }
            left -= count
        }
    }

    // MARK: The client's hang-up

    func whenClientGone(_ action: @escaping () -> Void) {
        clientGoneAction = action
        if isCut || isExpired { reportClientGone() } else if socket.peerClosed { peerHasClosed() }
    }

    /// The client has closed its sending side, or the connection is broken.
    ///
    /// Whether the client still reads cannot be told before something is sent to it: to a client that has gone, the
    /// first bytes bring a reset, which breaks the connection. So a client to whom nothing is sent for a while counts as
    /// gone, and one who has been sent something since, without a reset, does not.
    private func peerHasClosed() {
        if socket.isBroken { return reportClientGone() }
        guard clientGoneAction != nil else { return }
        let (exchange, sent) = (exchangeNumber, response.bytesSent)
        listener.loop.schedule(at: .now() + configuration.halfCloseProbe) { [weak self] in
            guard let self, exchange == exchangeNumber, clientGoneAction != nil else { return }
            probeClient()
        }
        listener.loop.schedule(at: .now() + configuration.halfCloseDeadline) { [weak self] in
            guard let self, exchange == exchangeNumber, sent == response.bytesSent else { return }
            reportClientGone()
        }
    }

    /// Sends what tells a client that has gone from one that only has no more requests: an interim answer, where one may
    /// come.
    private func probeClient() {
        if response.hasSent || response.isStarted || parser.head.version == .http10 { return }
        socket.sendAtOnce("HTTP/1.1 102 Processing\r\n\r\n")
    }

    private func reportClientGone() {
        let action = clientGoneAction
        clientGoneAction = nil
        action?()
    }

    // MARK: Input

    var hasInput: Bool { !input.isEmpty }

    /// Whether an answer's last `count` bytes are better sent together with those of the next request, which is here.
    func gathers(_ count: Int) -> Bool {
        (hasInput || socket.gatheredCount > 0) && socket.gatheredCount + count <= Self.gatheredLimit
    }

    private static let gatheredLimit = 16 * 1024

    /// Receives more bytes behind those that are there.
    func receiveInput(until deadline: MonotonicTime) async -> StreamSocket.Received {
        let received = await socket.receive(into: listener.scratch, until: deadline)
        if case .bytes(let count) = received {
            input.append(UnsafeRawBufferPointer(rebasing: listener.scratch[..<count]))
        }
        return received
    }

    /// Removes and returns up to `count` bytes.
    func takeInput(upTo count: Int) -> [UInt8] { input.take(upTo: count) }

    /// Shows what there is, and leaves it.
    func lookAtInput(_ look: (borrowing Span<UInt8>) throws(HTTPError) -> Void) throws(HTTPError) {
        try look(input.contents().span)
    }

    /// Removes as many bytes as `use` says that it used.
    func consumeInput(_ use: (borrowing Span<UInt8>) throws(HTTPError) -> Int) throws(HTTPError) {
        let bytes = input.contents()
        input.drop(try use(bytes.span))
    }

    /// `100 Continue`, unless the response has begun: then the client knows already (RFC 9110 §10.1.1).
    func sendContinue() async throws(HTTPError) {
        if response.hasSent { return }
        try await socket.send(Self.continueLine)
    }

    private static let continueLine = Array("HTTP/1.1 100 Continue\r\n\r\n".utf8)
}
