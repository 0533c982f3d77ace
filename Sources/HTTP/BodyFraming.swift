// SPDX-License-Identifier: Apache-2.0
// Where a request's body ends: the rules of RFC 9112 §6, and the other fields that the server itself obeys.

/// How the end of a request's body is found.
package enum BodyFraming: Sendable, Equatable {
    case none
    /// So many bytes, more than zero.
    case length(Int)
    /// `Transfer-Encoding: chunked`.
    case chunked
}

/// What the fields that the server obeys have said so far: gathered line by line, judged at the end of the head.
///
/// Whatever two implementations could read in two ways is refused, because the one in front of us may have read it
/// the other way (request smuggling).
struct ControlFields {
    private var host: Range<Int>?
    private var contentLength: Int?
    /// Transfer-Encoding: a list whose last element, and no other, is `chunked`.
    private var chunked = false
    /// Another coding stands before it.
    private var isCodedOtherwise = false
    private var closes = false
    private var persists = false
    private var continues = false

    /// Takes note of a field if it is one of ours.
    @inline(__always)
    mutating func note(_ input: borrowing Span<UInt8>, name: Range<Int>, value: Range<Int>) throws(HTTPError) {
        switch name.count {
        case 4: if input.equalIgnoringCase(name, "host") { try noteHost(input, value) }
        case 6: if input.equalIgnoringCase(name, "expect") { try noteExpect(input, value) }
        case 10: if input.equalIgnoringCase(name, "connection") { noteConnection(input, value) }
        case 14: if input.equalIgnoringCase(name, "content-length") { try noteContentLength(input, value) }
        case 17: if input.equalIgnoringCase(name, "transfer-encoding") { try noteTransferEncoding(input, value) }
        default: break
        }
    }

    /// Judges the head as a whole and writes what it means into `head`.
    func conclude(_ head: inout RequestHead) throws(HTTPError) -> BodyFraming {
        // RFC 9112 §3.2: a 1.1 request without Host is refused.
        if host == nil && head.version == .http11 { throw .malformed("a Host header is required") }
        head.authorityRange = head.authorityRange ?? host
        head.declaresBody = chunked || contentLength != nil
        // RFC 9112 §9.3: "close" wins; 1.1 persists by default, 1.0 only when asked to.
        head.keepAlive = !closes && (head.version == .http11 || persists)
        // RFC 9110 §10.1.1: an expectation in a 1.0 request is ignored.
        head.expectsContinue = continues && head.version == .http11
        if chunked {
            // RFC 9112 §6.1: in a 1.0 message the framing is faulty; with Content-Length it is an attack.
            if head.version == .http10 { throw .malformed("Transfer-Encoding in an HTTP/1.0 request") }
            if contentLength != nil { throw .malformed("both Transfer-Encoding and Content-Length") }
            // RFC 9112 §6.1: where the body ends is clear, what it is is not.
            if isCodedOtherwise {
                throw HTTPError(.notImplemented, code: "unknown_transfer_coding", message: "unknown transfer coding")
            }
            return .chunked
        }
        guard let contentLength, contentLength > 0 else { return .none }
        return .length(contentLength)
    }

    private mutating func noteHost(_ input: borrowing Span<UInt8>, _ value: Range<Int>) throws(HTTPError) {
        // RFC 9112 §3.2: more than one Host line, or an invalid one, is 400.
        if host != nil { throw .malformed("more than one Host header") }
        guard input.isAuthority(value) else { throw .malformed("invalid Host header") }
        host = value
    }

    private mutating func noteExpect(_ input: borrowing Span<UInt8>, _ value: Range<Int>) throws(HTTPError) {
        guard input.equalIgnoringCase(value, "100-continue") else {
            throw HTTPError(.expectationFailed, code: "unknown_expectation", message: "unknown expectation")
        }
        continues = true
    }

    private mutating func noteConnection(_ input: borrowing Span<UInt8>, _ value: Range<Int>) {
        var (closes, persists) = (self.closes, self.persists)
        input.forEachElement(of: value) { element in
            if input.equalIgnoringCase(element, "close") { closes = true }
            if input.equalIgnoringCase(element, "keep-alive") { persists = true }
        }
        (self.closes, self.persists) = (closes, persists)
    }

    private mutating func noteContentLength(_ input: borrowing Span<UInt8>, _ value: Range<Int>) throws(HTTPError) {
        // RFC 9110 §8.6 lets a recipient accept repeated equal values; nobody needs them, so nobody gets them.
        if contentLength != nil { throw .malformed("more than one Content-Length") }
        // 18 digits cannot overflow, and nobody sends an exabyte.
        guard (1...18).contains(value.count) else { throw .malformed("invalid Content-Length") }
        var length = 0
        for index in value {
            guard Byte.isDigit(input[index]) else { throw .malformed("invalid Content-Length") }
            length = length * 10 + Int(input[index] - 0x30)
        }
        contentLength = length
    }

    private mutating func noteTransferEncoding(
        _ input: borrowing Span<UInt8>, _ value: Range<Int>
    ) throws(HTTPError) {
        if chunked { throw .malformed("more than one Transfer-Encoding") }
        // RFC 9112 §6.3: without "chunked" as the last coding nobody knows where a request ends, with it elsewhere, or
        // in what is no list of codings, two may know it differently.
        var (isLast, isCodedOtherwise) = (false, false)
        try input.forEachElement(of: value) { (element) throws(HTTPError) in
            if isLast { throw Self.invalidTransferEncoding }
            if input.equalIgnoringCase(element, "chunked") {
                isLast = true
                return
            }
            var end = element.lowerBound
            while end < element.upperBound && ByteSet.token.contains(input[end]) { end += 1 }
            let name = element.lowerBound..<end
            // What follows the name can only be parameters (§7), and "chunked" has none.
            let rest = input.trimmed(end..<element.upperBound)
            guard !name.isEmpty, rest.isEmpty || input[rest.lowerBound] == UInt8(ascii: ";"),
                !input.equalIgnoringCase(name, "chunked")
            else { throw Self.invalidTransferEncoding }
            isCodedOtherwise = true
        }
        if !isLast { throw Self.invalidTransferEncoding }
        chunked = true
        self.isCodedOtherwise = isCodedOtherwise
    }

    private static let invalidTransferEncoding = HTTPError.malformed("invalid Transfer-Encoding")
}

extension Span where Element == UInt8 {
    /// Whether `range` is `uri-host [ ":" port ]` (RFC 9110 §7.2) with a host that is not empty (§4.2.1).
    func isAuthority(_ range: Range<Int>) -> Bool {
        var index = range.lowerBound
        if index < range.upperBound && self[index] == UInt8(ascii: "[") {
            index += 1
            let start = index
            while index < range.upperBound && self[index] != UInt8(ascii: "]") { index += 1 }
            guard index < range.upperBound, isAddressLiteral(start..<index) else { return false }
            index += 1
        } else {
            while index < range.upperBound && ByteSet.registeredName.contains(self[index]) {
                if self[index] == UInt8(ascii: "%") {
                    guard index + 2 < range.upperBound, Byte.hexValue(self[index + 1]) != nil,
                        Byte.hexValue(self[index + 2]) != nil
                    else { return false }
                }
                index += 1
            }
            if index == range.lowerBound { return false }
        }
        if index == range.upperBound { return true }
        guard self[index] == Byte.colon else { return false }
        var port = 0
        for digit in index + 1..<range.upperBound {
            guard Byte.isDigit(self[digit]) else { return false }
            port = port * 10 + Int(self[digit] - 0x30)
            if port > 65_535 { return false }
        }
        return true
    }

    /// Whether `range` is what stands in the brackets of an `IP-literal` (RFC 3986 §3.2.2): an IPv6 address, or one of
    /// a version to come.
    private func isAddressLiteral(_ range: Range<Int>) -> Bool {
        guard let first = range.first else { return false }
        let literal = range.map { self[$0] }
        guard Byte.lowercased(self[first]) == UInt8(ascii: "v") else {
            return literal.contains(Byte.colon) && SocketAddress(numeric: literal) != nil
        }
        let version = literal.dropFirst().prefix { Byte.hexValue($0) != nil }
        let rest = literal.dropFirst(1 + version.count)
        return !version.isEmpty && rest.first == UInt8(ascii: ".") && rest.count > 1
            && rest.allSatisfy {
                $0 == Byte.colon || ByteSet.registeredName.contains($0) && $0 != UInt8(ascii: "%")
            }
    }
}
