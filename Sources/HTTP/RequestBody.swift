// SPDX-License-Identifier: Apache-2.0
// A request's body, read when the handler asks for it.

import EventLoop

/// The body of one request. Nothing is read before it is asked for: a client that sends to a handler that does not
/// read is stopped by TCP.
package final class RequestBody {
    private unowned let connection: Connection
    private var framing = BodyFraming.none
    private var remaining = 0
    private var decoder = ChunkedDecoder()
    /// `100 Continue` is still owed.
    private(set) var owesContinue = false
    /// Nothing more can be read: the framing was broken, or the time was up.
    private(set) var failure: HTTPError?
    private var pace: Pace

    init(_ connection: Connection) {
        self.connection = connection
        pace = Pace(
            limit: connection.configuration.bodyDeadline, bytesPerSecond: connection.configuration.bodyBytesPerSecond)
    }

    func begin(_ framing: BodyFraming, expectsContinue: Bool) {
        self.framing = framing
        failure = nil
        switch framing {
        case .none: owesContinue = false
        case .length(let length):
            remaining = length
            owesContinue = expectsContinue
        case .chunked:
            decoder = ChunkedDecoder()
            owesContinue = expectsContinue
        }
        pace.restart()
    }

    /// The length the client has declared, in bytes; nil if the body is chunked.
    package var declaredLength: Int? {
        switch framing {
        case .none: 0
        case .length(let length): length
        case .chunked: nil
        }
    }

    /// Whether the whole body has been read.
    package var isAtEnd: Bool {
        switch framing {
        case .none: true
        case .length: remaining == 0
        case .chunked: decoder.isDone
        }
    }

    /// Whether the end of the body can be reached for sure by reading no more than `limit` bytes.
    func isDrainable(within limit: Int) -> Bool {
        if failure != nil || owesContinue { return false }
        switch framing {
        case .none: return true
        case .length: return remaining <= limit
        case .chunked: return decoder.isDone || chunksEndHere(within: limit)
        }
    }

    /// Whether the rest of the chunks has come, and is in order. Where it has not, a broken one may follow, after which
    /// nothing can be told about where the next request begins.
    private func chunksEndHere(within limit: Int) -> Bool {
        guard connection.hasInput else { return false }
        var rest = decoder
        var bytes: [UInt8] = []
        let isInOrder: Void? = try? connection.lookAtInput { (input) throws(HTTPError) in
            _ = try rest.decode(input, into: &bytes, limit: limit)
        }
        return isInOrder != nil && rest.isDone
    }

    /// The next bytes, as many as have come, at least one; nil at the end.
    ///
    /// - Throws: 400 for broken chunks, 408 if the client is too slow, ``HTTPError/clientGone``,
    ///   ``HTTPError/shutDown``.
    package func read() async throws(HTTPError) -> [UInt8]? {
        if let failure { throw failure }
        do {
            while !isAtEnd {
                if connection.hasInput {
                    // The client did not wait (RFC 9110 §10.1.1 lets us leave the 100 out then).
                    owesContinue = false
                    let bytes = try take()
                    if !bytes.isEmpty { return bytes }
                } else {
                    try await fill()
                }
            }
            return nil
        } catch {
            failure = error
            throw error
        }
    }

    /// The whole body.
    ///
    /// - Throws: 413 if it has more than `limit` bytes, at once if the client declares so; 415 if it is compressed; and
    ///   as ``read()``.
    package func collect(upTo limit: Int) async throws(HTTPError) -> [UInt8] {
        if let coding = connection.parser.head["content-encoding"], coding.lowercased() != "identity" {
            throw HTTPError(
                .unsupportedMediaType, code: "unsupported_content_encoding",
                message: "compressed request bodies are not supported", hint: "Leave Content-Encoding out.")
        }
        if let declaredLength, declaredLength > limit { throw Self.tooLarge(limit) }
        var body: [UInt8] = []
        while let bytes = try await read() {
            if body.count + bytes.count > limit { throw Self.tooLarge(limit) }
            if body.isEmpty { body = bytes } else { body.append(contentsOf: bytes) }
            if let declaredLength { body.reserveCapacity(declaredLength) }
        }
        return body
    }

    /// Reads and drops what is left, up to `limit` bytes. Returns whether the end was reached.
    func drain(upTo limit: Int) async -> Bool {
        if isAtEnd { return failure == nil }
        guard isDrainable(within: limit) else { return false }
        var dropped = 0
        do {
            while let bytes = try await read() {
                dropped += bytes.count
                if dropped > limit { return false }
            }
            return true
        } catch {
            return false
        }
    }

    private func take() throws(HTTPError) -> [UInt8] {
        switch framing {
        case .none: return []
        case .length:
            let bytes = connection.takeInput(upTo: remaining)
            remaining -= bytes.count
            return bytes
        case .chunked:
            var bytes: [UInt8] = []
            try connection.consumeInput { (input) throws(HTTPError) in
                try decoder.decode(input, into: &bytes)
            }
            return bytes
        }
    }

    private func fill() async throws(HTTPError) {
        if owesContinue {
            owesContinue = false
            try await connection.sendContinue()
        }
        let start = MonotonicTime.now()
        let received = await connection.receiveInput(until: start + pace.left)
        switch received {
        case .bytes(let count): pace.note(waited: .now() - start, bytes: count)
        case .end: throw .clientGone
        case .timedOut:
            throw HTTPError(.requestTimeout, code: "request_timeout", message: "the request body came too slowly")
        case .cancelled: throw .shutDown
        }
    }

    private static func tooLarge(_ limit: Int) -> HTTPError {
        HTTPError(
            .contentTooLarge, code: "body_too_large", message: "the request body has more than \(limit) bytes")
    }
}
