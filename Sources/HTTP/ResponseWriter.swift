// SPDX-License-Identifier: Apache-2.0
// How a handler answers: in one piece, or as a stream with back-pressure.

package import EventLoop

/// The response to one request. Loop thread only; not used after the handler has returned.
package final class ResponseWriter {
    private enum State { case idle, streaming, finished, broken }

    /// When a client that still takes its time is given up on, however steadily it reads; none by default. For bodies
    /// that hold something others wait for, such as a database connection.
    package var deadline = MonotonicTime.distantFuture

    /// The name under which the exchange is counted, set by the handler: a route's pattern, never the raw path.
    package var route = ""
    /// Set to close the connection after this response; decided when the head is made.
    package var closesConnection = false

    /// Body bytes of a stream that are not sent yet. A handler that makes its own bytes may append to it in place
    /// and then call ``flushIfFull()``, which saves the copy that ``write(_:)`` makes.
    package var buffer: [UInt8] = []

    /// The status, once ``respond(_:_:_:)`` or ``start(_:_:length:)`` was called.
    package private(set) var status: Status?
    /// Bytes of body handed to the kernel, without chunk framing; compressed ones count as such.
    package private(set) var bodyBytesSent = 0
    /// Bytes of this response handed to the kernel, with everything.
    private(set) var bytesSent = 0

    private unowned let connection: Connection
    private var state = State.idle
    /// Head bytes that are not sent yet.
    private var head: [UInt8] = []
    private var framing = ResponseFraming.bodyless
    /// The head has been made up but for its framing, which waits to see whether the whole body fits the buffer.
    private var headIsOpen = false
    private var declaredLength: Int?
    private var lengthLeft = 0
    private(set) var keepAlive = false
    /// How the body will be encoded, if it turns out to be worth it.
    private var coding = ContentCoding.identity
    /// At work since the first bytes of a compressed body.
    private var encoder: (any BodyEncoder)?
    /// Whether any byte of the response has left.
    private(set) var hasSent = false

    init(_ connection: Connection) { self.connection = connection }

    func begin() {
        deadline = .distantFuture
        route = ""
        closesConnection = false
        trailer = nil
        status = nil
        bodyBytesSent = 0
        bytesSent = 0
        state = .idle
        declaredLength = nil
        hasSent = false
        framing = .bodyless
        discard()
    }

    /// A field line, with its line end, after the last chunk (RFC 9112 §7.1.2); set before ``finish()``. A body that is not
    /// sent in chunks has no place for it.
    package var trailer: String?

    /// Whether a body of unknown length is sent in chunks, behind which there is a place for ``trailer``.
    package var sendsChunks: Bool { connection.parser.head.version != .http10 }

    /// Whether the client may see ``trailer``: there is a place for it, and it is not a script of a web page, to which
    /// browsers show none (Fetch Standard).
    package var tellsTrailer: Bool {
        let head = connection.parser.head
        return sendsChunks && head["origin"] == nil && !["cors", "same-origin"].contains(head["sec-fetch-mode"])
    }

    /// Whether the client wants a body: not for HEAD. A stream may be ended after `start` without making it.
    package var wantsBody: Bool { connection.parser.head.method != .head }

    /// Whether ``respond(_:_:_:)`` or ``start(_:_:length:)`` was called.
    package var isStarted: Bool { state != .idle }

    // MARK: In one piece

    /// Sends the whole response, with its Content-Length, in one system call if the socket takes it.
    package func respond(_ status: Status, _ headers: Headers = .none, _ body: [UInt8] = []) async throws(HTTPError) {
        try open(status, headers, compressing: body.count >= ContentCoding.minimumBytes)
        var body = body
        if coding != .identity {
            beginEncoding()
            body = encode(body, last: true)
        }
        head.endHead(status.isBodyless ? .bodyless : .length(body.count))
        let sendsBody = wantsBody && !status.isBodyless && !body.isEmpty
        // Below a few KiB, copying is cheaper than a second element for the kernel.
        if sendsBody && body.count <= 4096 {
            head.append(contentsOf: body)
            try await emit([], last: true)
        } else {
            try await emit(sendsBody ? body : [], last: true)
        }
        if sendsBody { bodyBytesSent = body.count }
        finished()
    }

    /// Sends `text` as the body.
    package func respond(_ status: Status, _ headers: Headers = .none, text: String) async throws(HTTPError) {
        try await respond(status, headers, Array(text.utf8))
    }

    // MARK: As a stream

    /// Begins a response whose body follows by ``write(_:)`` or ``buffer``, and ends with ``finish()``.
    ///
    /// Nothing is sent before the buffer is full, ``flush()`` or the end; a body that fits the buffer goes out with
    /// a Content-Length, others in chunks (HTTP/1.1) or until the connection closes (1.0).
    ///
    /// - Parameter length: the exact number of body bytes, if known; then there are no chunks.
    package func start(_ status: Status, _ headers: Headers = .none, length: Int? = nil) throws(HTTPError) {
        precondition(length ?? 0 >= 0)
        declaredLength = length
        lengthLeft = length ?? 0
        // A 1.0 client knows the end of a body of unknown length by the end of the connection alone.
        if length == nil && connection.parser.head.version == .http10 && !status.isBodyless { closesConnection = true }
        try open(status, headers, compressing: length == nil)
        headIsOpen = true
        state = .streaming
    }

    /// Adds body bytes; suspends, for as long as the client is slow, when the buffer is full.
    ///
    /// - Throws: ``HTTPError/clientGone``, ``HTTPError/writeTimedOut``, ``HTTPError/shutDown``; the handler then has
    ///   nobody to write for and should end.
    package func write(_ bytes: [UInt8]) async throws(HTTPError) {
        precondition(state == .streaming || state == .broken, "write without start")
        if bytes.count >= connection.configuration.outputBufferBytes {
            try await flush()
            try await emitBody(bytes, last: false)
        } else {
            buffer.append(contentsOf: bytes)
            try await flushIfFull()
        }
    }

    /// Adds the bytes of `text`.
    package func write(_ text: String) async throws(HTTPError) {
        precondition(state == .streaming || state == .broken, "write without start")
        buffer.append(contentsOf: text.utf8)
        try await flushIfFull()
    }

    /// Sends ``buffer`` if it has reached its size. Free otherwise, so it may be called for every row.
    @inline(__always)
    package func flushIfFull() async throws(HTTPError) {
        if buffer.count >= connection.configuration.outputBufferBytes { try await flush() }
    }

    /// Sends what there is, the head included.
    package func flush() async throws(HTTPError) {
        precondition(state == .streaming || state == .broken, "flush without start")
        guard headIsOpen || !buffer.isEmpty else { return }
        let bytes = takeBuffer()
        try await emitBody(bytes, last: false)
        giveBack(bytes)
    }

    /// Sends `bytes` at once, behind what there is and without a copy: for bytes that many responses share.
    ///
    /// - Parameter yields: whether the loop's other connections have their turn after it, as after every other write;
    ///   for a caller that waits before the next one anyway.
    package func send(_ bytes: [UInt8], yields: Bool = true) async throws(HTTPError) {
        precondition(state == .streaming || state == .broken, "send without start")
        if !buffer.isEmpty { try await flush() }
        try await emitBody(bytes, last: false, yields: yields)
    }

    /// Ends the body. A handler that returns without it has finished all the same.
    package func finish() async throws(HTTPError) {
        if state == .finished { return }
        precondition(state == .streaming || state == .broken, "finish without start")
        let bytes = takeBuffer()
        try await emitBody(bytes, last: true)
        finished()
    }

    private func finished() {
        state = .finished
        releaseEncoder()
    }

    // MARK: Another protocol

    /// Answers 101 and leaves the connection to the caller, who speaks another protocol on it from now on, until the
    /// handler returns; then it is closed.
    ///
    /// - Parameter headers: those of the answer, `Upgrade` with them.
    package func switchProtocols(_ headers: Headers) async throws(HTTPError) -> UpgradedConnection {
        precondition(state == .idle, "a second response to one request")
        precondition(connection.body.isAtEnd, "another protocol begins behind the body")
        status = .switchingProtocols
        keepAlive = false
        head.append("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\n")
        head.appendFields(headers)
        head.append("\r\n")
        try await emit([], last: false)
        state = .finished
        return connection.upgraded()
    }

    // MARK: For the connection

    /// The handler has returned.
    func end() async throws(HTTPError) {
        switch state {
        case .idle:
            throw HTTPError(.internalServerError, code: "internal", message: "the server made no response")
        case .streaming: try await finish()
        case .finished, .broken: break
        }
    }

    /// Whether the response went out to its end.
    var isComplete: Bool { state == .finished }

    /// Whether the client takes the connection's end for the body's.
    var endsWithConnection: Bool { hasSent && framing == .untilClose }

    /// Forgets a response of which no byte has left, so that another can be given.
    func restart() {
        precondition(!hasSent)
        state = .idle
        status = nil
        declaredLength = nil
        discard()
    }

    private func discard() {
        headIsOpen = false
        releaseEncoder()
        coding = .identity
        if !head.isEmpty { head.removeAll(keepingCapacity: true) }
        // A stream's buffer is not kept for the idle connection.
        if buffer.capacity > 0 { buffer = [] }
    }

    // MARK: Bytes

    private func open(_ status: Status, _ headers: Headers, compressing: Bool) throws(HTTPError) {
        precondition(state == .idle, "a second response to one request")
        let connection = connection
        self.status = status
        keepAlive = connection.mayPersist && !closesConnection
        var headers = headers
        if status == .notModified {
            describeWhole(&headers)
        } else if compressing && !status.isBodyless {
            chooseCoding(&headers)
        }
        if let trace = connection.trace, trace.isContinued { headers.add("traceresponse", trace.responseField) }
        let crossOrigin = connection.configuration.crossOrigin
        if crossOrigin.origins != .none { headers.add(crossOrigin.fields(for: connection.parser.head)) }
        connection.listener.beginHead(status, &head)
        head.continueHead(connection.parser.head.version, keepAlive: keepAlive, headers)
        head.appendFields(connection.configuration.standardHeaders, missingIn: headers)
    }

    /// Decides on compression, and says in `headers` that it depends on the request.
    private func chooseCoding(_ headers: inout Headers) {
        guard connection.configuration.compresses, ContentCoding.isWorthwhile(headers) else { return }
        headers.add("Vary", "Accept-Encoding")
        coding = ContentCoding.chosen(for: connection.parser.head)
        // The compressed bytes are others: a strong tag would promise that they are the same (RFC 9110 §8.8.3.3).
        if coding != .identity { headers.weakenETag() }
    }

    /// Makes the fields of a 304 those of the 200 in whose place it stands (RFC 9110 §15.4.5): of one that is compressed
    /// where it pays, which its tag tells, the client's copy has a weak tag. Content-Type says what it would have been, and
    /// is not sent.
    private func describeWhole(_ headers: inout Headers) {
        if connection.configuration.compresses && ContentCoding.isWorthwhile(headers) {
            headers.add("Vary", "Accept-Encoding")
            let head = connection.parser.head
            if head.holdsWeakly ?? (ContentCoding.chosen(for: head) != .identity) { headers.weakenETag() }
        }
        headers.remove("content-type")
    }

    private func beginEncoding() {
        encoder = connection.listener.encoders.take(coding)
        head.append("Content-Encoding: ")
        head.append(coding.name)
        head.append("\r\n")
    }

    private func encode(_ bytes: [UInt8], last: Bool) -> [UInt8] {
        guard let encoder else { return bytes }
        encoder.encode(bytes, last: last)
        return encoder.output
    }

    private func releaseEncoder() {
        guard let encoder else { return }
        connection.listener.encoders.giveBack(encoder, coding)
        self.encoder = nil
    }

    /// Sends the open head, if it is, and `bytes` in the body's framing.
    private func emitBody(_ bytes: [UInt8], last: Bool, yields: Bool = true) async throws(HTTPError) {
        var body = bytes
        if headIsOpen {
            headIsOpen = false
            if coding != .identity && wantsBody && !(last && bytes.count < ContentCoding.minimumBytes) {
                beginEncoding()
            }
            if encoder != nil { body = encode(bytes, last: last) }
            framing = chooseFraming(body.count, last: last)
            head.endHead(framing)
        } else if encoder != nil && (last || !bytes.isEmpty) {
            body = encode(bytes, last: last)
        }
        var tail: StaticString = ""
        if !wantsBody || framing == .bodyless {
            body = []
        } else if framing == .chunked {
            if !body.isEmpty {
                head.append(body.count, base: 16)
                head.append("\r\n")
                tail = last ? "\r\n0\r\n\r\n" : "\r\n"
            } else if last {
                tail = "0\r\n\r\n"
            }
            if last, let trailer { return try await emitEnd(body, trailer) }
        } else if declaredLength != nil {
            lengthLeft -= body.count
            // More than was declared would be read as another response; less would be waited for.
            if lengthLeft < 0 || last && lengthLeft > 0 {
                throw HTTPError(.internalServerError, code: "internal", message: "not as much body as declared")
            }
        }
        try await emit(body, tail, last: last)
        bodyBytesSent += body.count
        if !last && yields { await connection.listener.loop.nextTurn() }
    }

    /// Sends the last bytes of a chunked body, whose chunk has begun if there are any, and a field line behind them.
    private func emitEnd(_ body: [UInt8], _ trailer: String) async throws(HTTPError) {
        if !body.isEmpty { try await emit(body, "\r\n", last: false) }
        head.append("0\r\n")
        head.append(contentsOf: trailer.utf8)
        try await emit([], "\r\n", last: true)
        bodyBytesSent += body.count
    }

    private func chooseFraming(_ count: Int, last: Bool) -> ResponseFraming {
        if status?.isBodyless == true { return .bodyless }
        if let declaredLength { return .length(declaredLength) }
        if last && wantsBody { return .length(count) }
        return connection.parser.head.version == .http11 ? .chunked : .untilClose
    }

    @inline(__always)
    private func emit(_ body: [UInt8], _ tail: StaticString = "", last: Bool) async throws(HTTPError) {
        if state == .broken { throw .clientGone }
        let count = head.count + body.count + tail.utf8CodeUnitCount
        if count == 0 { return }
        hasSent = true
        let connection = connection
        if last && keepAlive && connection.gathers(count) {
            connection.socket.sendLater(head, body, tail)
        } else {
            do {
                try await connection.socket.send(head, body, tail, deadline: deadline)
            } catch {
                state = .broken
                throw error
            }
        }
        bytesSent += count
        head.removeAll(keepingCapacity: true)
    }

    private func takeBuffer() -> [UInt8] {
        let bytes = buffer
        buffer = []
        return bytes
    }

    /// Puts the memory of a buffer that was sent back to use.
    private func giveBack(_ bytes: consuming [UInt8]) {
        guard buffer.isEmpty else { return }
        bytes.removeAll(keepingCapacity: true)
        buffer = bytes
    }
}
