// SPDX-License-Identifier: Apache-2.0
// One value of a row as JSON.

extension [UInt8] {
    /// A value's PostgreSQL text (nil for NULL) as a JSON value.
    @inline(__always)
    mutating func appendJSON(_ bytes: UnsafeRawBufferPointer?, as form: ValueForm) {
        guard let bytes else { return appendText("null") }
        switch form {
        case .scalar(let scalar): appendJSON(bytes, as: scalar)
        case .array(let element): appendJSONArray(bytes, of: element)
        }
    }

    @inline(__always)
    mutating func appendJSON(_ bytes: UnsafeRawBufferPointer, as form: ScalarForm) {
        switch form {
        case .integer: append(contentsOf: bytes)
        case .safeInteger: isBeyondDoubles(bytes) ? appendJSONString(bytes) : append(contentsOf: bytes)
        case .number: appendJSONNumber(bytes)
        case .safeNumber: isBeyondDoubles(bytes) ? appendJSONString(bytes) : appendJSONNumber(bytes)
        case .text: appendJSONString(bytes)
        case .bool: if bytes.first == UInt8(ascii: "t") { appendText("true") } else { appendText("false") }
        case .time:
            append(UInt8(ascii: "\""))
            appendTime(bytes)
            append(UInt8(ascii: "\""))
        case .milliseconds: appendMilliseconds(bytes)
        case .json: appendOnOneLine(bytes)
        case .base64: appendJSONString(Base64URL.padded(Self.bytea(bytes)))
        case .utf8OrNull: appendJSONString(String(validating: Self.bytea(bytes), as: UTF8.self))
        }
    }

    /// Whether the whole part of a number is beyond 2^53, up to which every integer is a double.
    private func isBeyondDoubles(_ bytes: UnsafeRawBufferPointer) -> Bool {
        if bytes.count < 16 { return false }
        let whole = bytes.prefix { $0 != UInt8(ascii: ".") }
        // `NaN` and `-Infinity` are shorter.
        return whole.count >= 16 && (Int64(String(decoding: whole, as: UTF8.self))?.magnitude ?? .max) > 1 << 53
    }

    /// The bytes of a `bytea` in PostgreSQL's hexadecimal form (docs 8.4.1): `\\xdeadbeef`.
    static func bytea(_ text: UnsafeRawBufferPointer) -> [UInt8] {
        func digit(_ byte: UInt8) -> UInt8 { byte < 0x3A ? byte &- 0x30 : (byte | 0x20) &- 0x57 }
        return stride(from: 2, to: text.count - 1, by: 2).map { digit(text[$0]) << 4 | digit(text[$0 + 1]) & 15 }
    }

    /// PostgreSQL writes finite numbers as JSON does (`-0`, `1e-07`, `0.5`); NaN, Infinity and -Infinity are null.
    @inline(__always)
    private mutating func appendJSONNumber(_ bytes: UnsafeRawBufferPointer) {
        if let last = bytes.last, last &- 0x30 < 10 { append(contentsOf: bytes) } else { appendText("null") }
    }

    /// `json` keeps the line breaks it was given, which NDJSON cannot have; outside of strings they mean nothing, and
    /// inside there are none.
    private mutating func appendOnOneLine(_ bytes: UnsafeRawBufferPointer) {
        let start = count
        append(contentsOf: bytes)
        for index in start..<count where self[index] == 0x0A || self[index] == 0x0D { self[index] = 0x20 }
    }

    /// An array's text (PostgreSQL 15 docs, 8.15.6) as a JSON array: `{1,NULL,"a b"}`, `{{1},{2}}`, `[0:1]={1,2}`.
    mutating func appendJSONArray(_ bytes: UnsafeRawBufferPointer, of element: ScalarForm) {
        var index = 0
        if bytes.first == UInt8(ascii: "["), let equals = bytes.firstIndex(of: UInt8(ascii: "=")) { index = equals + 1 }
        var unescaped: [UInt8] = []
        while index < bytes.count {
            let byte = bytes[index]
            index += 1
            switch byte {
            case UInt8(ascii: "{"): append(UInt8(ascii: "["))
            case UInt8(ascii: "}"): append(UInt8(ascii: "]"))
            case UInt8(ascii: ","): append(byte)
            case UInt8(ascii: "\""):
                unescaped.removeAll(keepingCapacity: true)
                while index < bytes.count, bytes[index] != UInt8(ascii: "\"") {
                    if bytes[index] == UInt8(ascii: "\\") && index + 1 < bytes.count { index += 1 }
                    unescaped.append(bytes[index])
                    index += 1
                }
                index += 1
                unescaped.withUnsafeBytes { appendJSON($0, as: element) }
            default:
                let start = index - 1
                while index < bytes.count, bytes[index] != UInt8(ascii: ","), bytes[index] != UInt8(ascii: "}") {
                    index += 1
                }
                let token = UnsafeRawBufferPointer(rebasing: bytes[start..<index])
                // The string NULL is quoted.
                if token.elementsEqual("NULL".utf8) { appendText("null") } else { appendJSON(token, as: element) }
            }
        }
    }
}
