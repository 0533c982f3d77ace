// SPDX-License-Identifier: Apache-2.0
// Bytes to request heads: RFC 9112 §2-6, strictly. A pure value: no I/O, no clock, no String.

/// Reads one request head from bytes that come in any pieces.
///
/// The outcome for a stream of bytes does not depend on how it is cut: lines are judged one by one, in order, when
/// their line feed is there, and the limits count bytes, not reads.
package struct RequestParser: Sendable {
    /// How much a head may hold. Each bound is inclusive: the limit itself is accepted.
    package struct Limits: Sendable {
        /// Bytes of request line and fields with all line ends (431; 414 inside the request line).
        package var headBytes = 16 * 1024
        /// Header fields (431).
        package var fieldCount = 100
        /// Bytes of the request target (414).
        package var targetBytes = 8 * 1024

        package init() {}
    }

    /// What the bytes so far amount to.
    package enum Outcome: Sendable, Equatable {
        case needMore
        /// The first `length` bytes are a head, now in ``RequestParser/head``; the body, framed so, follows.
        case head(length: Int, body: BodyFraming)
    }

    private enum Phase { case beginning, requestLine, fields }

    /// The head, once ``parse(_:)`` has reported it.
    package private(set) var head = RequestHead()
    private let limits: Limits
    private var phase = Phase.beginning
    private var lineStart = 0
    /// No line feed lies before this offset and at or after `lineStart`.
    private var searched = 0
    private var control = ControlFields()

    package init(limits: Limits = Limits()) {
        precondition(limits.headBytes <= 1 << 24 && limits.targetBytes < limits.headBytes && limits.fieldCount > 0)
        self.limits = limits
    }

    /// Makes ready for the next head; the memory of the last one is used again if nobody kept a copy.
    package mutating func reset() {
        head.reset()
        phase = .beginning
        lineStart = 0
        searched = 0
        control = ControlFields()
    }

    /// Goes on with `input`: all bytes since the head's first one, those of earlier calls included.
    ///
    /// - Throws: the refusal, with its status. The connection cannot be used after it.
    package mutating func parse(_ input: borrowing Span<UInt8>) throws(HTTPError) -> Outcome {
        if phase == .beginning {
            guard try begin(input) else { return .needMore }
        }
        while let end = input.firstIndex(of: Byte.lineFeed, from: searched), end < limits.headBytes {
            // RFC 9112 §2.2 lets a recipient take a bare LF as a line end; two readings of one request, so no.
            guard end > lineStart, input[end - 1] == Byte.carriageReturn else {
                throw .malformed("a line does not end with CR LF")
            }
            let line = lineStart..<(end - 1)
            lineStart = end + 1
            searched = lineStart
            if phase == .requestLine {
                try parseRequestLine(input, line)
                phase = .fields
            } else if !line.isEmpty {
                try parseField(input, line)
            } else {
                let framing = try control.conclude(&head)
                input.withUnsafeBufferPointer { head.bytes.append(contentsOf: $0[..<lineStart]) }
                return .head(length: lineStart, body: framing)
            }
        }
        if input.count > limits.headBytes {
            throw phase == .requestLine ? targetTooLong : headTooLarge("more than \(limits.headBytes) bytes")
        }
        searched = input.count
        return .needMore
    }

    /// Skips one empty line before the request line (RFC 9112 §2.2: some clients end a body with one), and refuses
    /// at once what cannot be a method: a TLS handshake should not have to wait for the deadline.
    private mutating func begin(_ input: borrowing Span<UInt8>) throws(HTTPError) -> Bool {
        var start = 0
        if input.count > 0 && input[0] == Byte.carriageReturn {
            if input.count == 1 { return false }
            guard input[1] == Byte.lineFeed else { throw .malformed("a carriage return outside a line end") }
            start = 2
        }
        if input.count == start { return false }
        guard ByteSet.token.contains(input[start]) else { throw .malformed("not an HTTP request") }
        lineStart = start
        searched = start
        phase = .requestLine
        return true
    }

    // MARK: Request line

    /// `method SP request-target SP HTTP-version` (RFC 9112 §3), single spaces and nothing else.
    private mutating func parseRequestLine(
        _ input: borrowing Span<UInt8>, _ line: Range<Int>
    ) throws(HTTPError) {
        var index = line.lowerBound
        while index < line.upperBound && ByteSet.token.contains(input[index]) { index += 1 }
        guard index < line.upperBound, input[index] == Byte.space else { throw .malformed("invalid method") }
        head.methodRange = line.lowerBound..<index
        head.method = Method(input, head.methodRange)

        let targetStart = index + 1
        // " HTTP/1.1" is nine bytes; HTTP/0.9 has no version and is not spoken.
        let versionStart = line.upperBound - 8
        guard versionStart > targetStart, input[versionStart - 1] == Byte.space else {
            throw .malformed("invalid request line")
        }
        head.version = try Self.version(input, versionStart..<line.upperBound)
        head.targetRange = targetStart..<(versionStart - 1)
        guard !head.targetRange.isEmpty else { throw .malformed("no request target") }
        if head.targetRange.count > limits.targetBytes { throw targetTooLong }
        for index in head.targetRange where !ByteSet.target.contains(input[index]) {
            throw .malformed("invalid byte in the request target")
        }
        try parseTarget(input)
    }

    private static func version(_ input: borrowing Span<UInt8>, _ range: Range<Int>) throws(HTTPError) -> Version {
        if input.equal(range, "HTTP/1.1") { return .http11 }
        if input.equal(range, "HTTP/1.0") { return .http10 }
        let start = range.lowerBound
        guard input.equal(start..<start + 5, "HTTP/"), Byte.isDigit(input[start + 5]),
            input[start + 6] == UInt8(ascii: "."), Byte.isDigit(input[start + 7])
        else { throw .malformed("invalid protocol version") }
        // RFC 9110 §2.5: a higher minor version is taken for the highest that we know.
        if input[start + 5] == UInt8(ascii: "1") { return .http11 }
        // The HTTP/2 preface, `PRI * HTTP/2.0`, ends here too.
        throw HTTPError(.versionNotSupported, code: "version_not_supported", message: "only HTTP/1.1 and HTTP/1.0")
    }

    /// The four forms of RFC 9112 §3.2.
    private mutating func parseTarget(_ input: borrowing Span<UInt8>) throws(HTTPError) {
        // RFC 9110 §9.1: 501 for a method that the server does not know, 405 (the handler's) for one it does.
        if head.method == .other {
            throw HTTPError(
                .notImplemented, code: "unknown_method", message: "unknown method",
                details: "Methods are in upper case.")
        }
        if head.method == .connect {
            throw HTTPError(.notImplemented, code: "not_a_proxy", message: "CONNECT is not implemented")
        }
        var path = head.targetRange
        let first = input[path.lowerBound]
        if first == UInt8(ascii: "*") {
            guard path.count == 1, head.method == .options else { throw .malformed("invalid request target") }
        } else if first != UInt8(ascii: "/") {
            path = try absoluteForm(input)
        }
        let query = input.index(of: UInt8(ascii: "?"), in: path)
        head.pathRange = path.lowerBound..<(query ?? path.upperBound)
        head.queryRange = query.map { ($0 + 1)..<path.upperBound }
    }

    /// Path and query of `http://host:port/path?query`. The Host field must be there all the same.
    private mutating func absoluteForm(_ input: borrowing Span<UInt8>) throws(HTTPError) -> Range<Int> {
        let target = head.targetRange
        var start = target.lowerBound
        for scheme in ["http://", "https://"] as [StaticString] {
            let end = start + scheme.utf8CodeUnitCount
            if end <= target.upperBound && input.equalIgnoringCase(start..<end, scheme) {
                start = end
                break
            }
        }
        guard start > target.lowerBound else { throw .malformed("invalid request target") }
        // Without a path (`http://host`, `http://host?query`) the range is empty, which ``RequestHead`` reads as `/`
        // (RFC 9110 §4.2.3).
        var end = start
        while end < target.upperBound && input[end] != UInt8(ascii: "/") && input[end] != UInt8(ascii: "?") { end += 1 }
        guard input.isAuthority(start..<end) else { throw .malformed("invalid host in the request target") }
        head.authorityRange = start..<end
        return end..<target.upperBound
    }

    // MARK: Fields

    /// `field-name ":" OWS field-value OWS` (RFC 9112 §5). A blank before the colon or at the start of the line
    /// (obs-fold, §5.2) is no token, and refused with it.
    private mutating func parseField(_ input: borrowing Span<UInt8>, _ line: Range<Int>) throws(HTTPError) {
        if head.fields.count == limits.fieldCount { throw headTooLarge("more than \(limits.fieldCount) fields") }
        var colon = line.lowerBound
        while colon < line.upperBound && ByteSet.token.contains(input[colon]) { colon += 1 }
        guard colon > line.lowerBound, colon < line.upperBound, input[colon] == Byte.colon else {
            throw .malformed("invalid header name")
        }
        for index in colon + 1..<line.upperBound where !Byte.isFieldContent(input[index]) {
            throw .malformed("control byte in a header value")
        }
        let name = line.lowerBound..<colon
        let value = input.trimmed(colon + 1..<line.upperBound)
        head.fields.append(.init(name: Range(name), value: Range(value)))
        try control.note(input, name: name, value: value)
    }

    private var targetTooLong: HTTPError {
        HTTPError(
            .uriTooLong, code: "uri_too_long", message: "the URL is longer than \(limits.targetBytes) bytes",
            hint: "Ask for less at a time; where POST is allowed, the body may be longer.")
    }

    private func headTooLarge(_ what: String) -> HTTPError {
        HTTPError(.headTooLarge, code: "head_too_large", message: "the request head has \(what)")
    }
}

extension Span where Element == UInt8 {
    @inline(__always)
    func index(of byte: UInt8, in range: Range<Int>) -> Int? {
        for index in range where self[index] == byte { return index }
        return nil
    }
}
