// SPDX-License-Identifier: Apache-2.0
// JSON text appended to bytes (RFC 8259).

extension [UInt8] {
    /// The bytes of `text`, as they are.
    @inline(__always)
    mutating func appendText(_ text: StaticString) {
        append(contentsOf: UnsafeBufferPointer(start: text.utf8Start, count: text.utf8CodeUnitCount))
    }

    /// The bytes of `text`, as they are.
    mutating func appendText(_ text: String) { append(contentsOf: text.utf8) }

    /// `text` as a JSON string, or null.
    mutating func appendJSONString(_ text: String?) {
        guard var text else { return appendText("null") }
        text.withUTF8 { appendJSONString(UnsafeRawBufferPointer($0)) }
    }

    /// The beginning of `text` as a JSON string, with an ellipsis where there is more.
    mutating func appendJSONString(_ text: String, upTo bytes: Int) {
        let isLong = text.utf8.count > bytes
        appendJSONString(isLong ? String(decoding: text.utf8.prefix(bytes), as: UTF8.self) + "…" : text)
    }

    /// UTF-8 `bytes` as a JSON string.
    @inline(__always)
    mutating func appendJSONString(_ bytes: UnsafeRawBufferPointer) {
        append(UInt8(ascii: "\""))
        // Escapes are rare: the common value is one look at each byte and one copy.
        var start = 0
        for index in 0..<bytes.count where needsEscape(bytes[index]) {
            append(contentsOf: UnsafeRawBufferPointer(rebasing: bytes[start..<index]))
            appendEscape(bytes[index])
            start = index + 1
        }
        append(contentsOf: start == 0 ? bytes : UnsafeRawBufferPointer(rebasing: bytes[start...]))
        append(UInt8(ascii: "\""))
    }

    private mutating func appendEscape(_ byte: UInt8) {
        append(UInt8(ascii: "\\"))
        switch byte {
        case UInt8(ascii: "\""), UInt8(ascii: "\\"): append(byte)
        case 0x08: append(UInt8(ascii: "b"))
        case 0x09: append(UInt8(ascii: "t"))
        case 0x0A: append(UInt8(ascii: "n"))
        case 0x0C: append(UInt8(ascii: "f"))
        case 0x0D: append(UInt8(ascii: "r"))
        default:
            appendText("u00")
            append(hexDigit(byte >> 4))
            append(hexDigit(byte & 15))
        }
    }

    private func hexDigit(_ value: UInt8) -> UInt8 { value < 10 ? 0x30 + value : 0x57 + value }
}

@inline(__always)
private func needsEscape(_ byte: UInt8) -> Bool {
    byte < 0x20 || byte == UInt8(ascii: "\"") || byte == UInt8(ascii: "\\")
}
