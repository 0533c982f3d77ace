// SPDX-License-Identifier: Apache-2.0
// One value of a row as a CSV field (RFC 4180).

extension [UInt8] {
    /// A value's PostgreSQL text as a CSV field: NULL is nothing, the empty string is `""`, times are RFC 3339,
    /// booleans `true` and `false`; the rest stays PostgreSQL's text.
    @inline(__always)
    mutating func appendCSV(_ bytes: UnsafeRawBufferPointer?, as form: ValueForm) {
        guard let bytes else { return }
        switch form {
        case .scalar(.integer), .scalar(.safeInteger), .scalar(.number), .scalar(.safeNumber): append(contentsOf: bytes)
        case .scalar(.time): appendTime(bytes)
        case .scalar(.milliseconds): appendMilliseconds(bytes)
        case .scalar(.bool): if bytes.first == UInt8(ascii: "t") { appendText("true") } else { appendText("false") }
        case .scalar(.base64): appendText(Base64URL.padded(Self.bytea(bytes)))
        case .scalar(.utf8OrNull):
            let content = Self.bytea(bytes)
            if String(validating: content, as: UTF8.self) != nil { content.withUnsafeBytes { appendCSVField($0) } }
        case .scalar(.text), .scalar(.json), .array: appendCSVField(bytes)
        }
    }

    /// Quoted if it must be.
    @inline(__always)
    mutating func appendCSVField(_ bytes: UnsafeRawBufferPointer) {
        var mustQuote = bytes.isEmpty
        for byte in bytes where Self.mustBeQuoted(byte) {
            mustQuote = true
            break
        }
        if !mustQuote { return append(contentsOf: bytes) }
        append(UInt8(ascii: "\""))
        for byte in bytes {
            if byte == UInt8(ascii: "\"") { append(byte) }
            append(byte)
        }
        append(UInt8(ascii: "\""))
    }

    @inline(__always)
    private static func mustBeQuoted(_ byte: UInt8) -> Bool {
        byte == UInt8(ascii: ",") || byte == UInt8(ascii: "\"") || byte == 0x0A || byte == 0x0D
    }
}
