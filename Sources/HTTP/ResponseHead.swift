// SPDX-License-Identifier: Apache-2.0
// The head of a response as bytes (RFC 9112 §4-6). Pure: the date is an argument.

/// What says where a response's body ends.
enum ResponseFraming: Equatable {
    /// 204, 304: no body and nothing said about one.
    case bodyless
    case length(Int)
    case chunked
    /// HTTP/1.0 without a length: the body ends with the connection.
    case untilClose
}

extension [UInt8] {
    /// The bytes of the text.
    @inline(__always)
    mutating func append(_ text: StaticString) {
        append(contentsOf: UnsafeBufferPointer(start: text.utf8Start, count: text.utf8CodeUnitCount))
    }

    /// `value`, which is not negative, in the given base (10 or 16, lower case).
    mutating func append(_ value: Int, base: Int = 10) {
        var digits: (UInt64, UInt64, UInt64) = (0, 0, 0)
        Swift.withUnsafeMutableBytes(of: &digits) { digits in
            var rest = value
            var start = digits.count
            repeat {
                start -= 1
                let digit = UInt8(truncatingIfNeeded: rest % base)
                digits[start] = digit < 10 ? 0x30 + digit : 0x57 + digit
                rest /= base
            } while rest > 0
            append(contentsOf: UnsafeRawBufferPointer(rebasing: digits[start...]))
        }
    }

    /// The first lines of a response, `date` among them; the others follow with ``continueHead(_:keepAlive:_:)``.
    mutating func beginHead(_ status: Status, serverName: String?, date: [UInt8]) {
        // RFC 9112 §2.6 (9110 §2.5): we answer with our own version; a 1.0 client takes it.
        append("HTTP/1.1 ")
        append(Int(status.code))
        append(UInt8(ascii: " "))
        if let reason = status.reason {
            append(contentsOf: reason.utf8)
        } else {
            append(Status.standardReason(status.code))
        }
        append("\r\n")
        if let serverName {
            append("Server: ")
            append(contentsOf: serverName.utf8)
            append("\r\n")
        }
        append(contentsOf: date)
    }

    /// The fields of a response behind its first lines, without the field that frames the body and without the empty
    /// line: those follow with ``endHead(_:)``.
    mutating func continueHead(_ version: Version, keepAlive: Bool, _ headers: Headers) {
        // RFC 9110 §7.8: whoever sends Upgrade names it in Connection.
        let upgrades = headers.fields.contains { $0.name.equalsIgnoringCase("upgrade") }
        switch (keepAlive, version, upgrades) {
        case (true, .http11, false): break
        case (true, .http11, true): append("Connection: Upgrade\r\n")
        case (true, .http10, false): append("Connection: keep-alive\r\n")
        case (true, .http10, true): append("Connection: keep-alive, Upgrade\r\n")
        case (false, _, false): append("Connection: close\r\n")
        case (false, _, true): append("Connection: close, Upgrade\r\n")
        }
        appendFields(headers)
    }

    /// The lines of those fields that are not the server's own business.
    mutating func appendFields(_ headers: Headers) {
        for (name, value) in headers.fields where !Self.belongsToServer(name) {
            let start = count
            append(contentsOf: name.utf8)
            precondition(isToken(start..<count), "not a header name: \(name)")
            append(": ")
            appendFieldValue(value)
            append("\r\n")
        }
    }

    /// The field that frames the body, and the end of the head.
    mutating func endHead(_ framing: ResponseFraming) {
        switch framing {
        case .bodyless, .untilClose: break
        case .length(let length):
            append("Content-Length: ")
            append(length)
            return append("\r\n\r\n")
        case .chunked: append("Transfer-Encoding: chunked\r\n")
        }
        append("\r\n")
    }

    /// `value` with a space for each byte that could end the line and begin another one (response splitting).
    private mutating func appendFieldValue(_ value: String) {
        let start = count
        append(contentsOf: value.utf8)
        withUnsafeMutableBufferPointer { bytes in
            for index in start..<bytes.count where !Byte.isFieldContent(bytes[index]) { bytes[index] = Byte.space }
        }
    }

    private func isToken(_ range: Range<Int>) -> Bool {
        withUnsafeBufferPointer { bytes in
            for index in range where !ByteSet.token.contains(bytes[index]) { return false }
            return !range.isEmpty
        }
    }

    private static func belongsToServer(_ name: String) -> Bool {
        switch name.utf8.count {
        case 4: name.equalsIgnoringCase("date")
        case 6: name.equalsIgnoringCase("server")
        case 10: name.equalsIgnoringCase("connection")
        case 14: name.equalsIgnoringCase("content-length")
        case 17: name.equalsIgnoringCase("transfer-encoding")
        default: false
        }
    }
}
