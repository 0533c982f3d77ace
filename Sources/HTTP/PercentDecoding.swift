// SPDX-License-Identifier: Apache-2.0
// Percent-encoding (RFC 3986 §2.1) to text.

/// The text that `bytes` encode.
///
/// - Parameter plusIsSpace: as in `application/x-www-form-urlencoded`, that is in queries and not in paths.
/// - Throws: 400 if a `%` is not followed by two hexadecimal digits, or the decoded bytes are not UTF-8.
func percentDecoded(_ bytes: ArraySlice<UInt8>, plusIsSpace: Bool) throws(HTTPError) -> String {
    let plus = UInt8(ascii: "+")
    let percent = UInt8(ascii: "%")
    if !bytes.contains(where: { $0 == percent || $0 == plus || $0 >= 0x80 }) {
        return String(decoding: bytes, as: UTF8.self)
    }
    var isBroken = false
    var isASCII = true
    let decoded = [UInt8](unsafeUninitializedCapacity: bytes.count) { decoded, count in
        var index = bytes.startIndex
        while index < bytes.endIndex {
            var byte = bytes[index]
            index += 1
            if byte == percent {
                guard index + 1 < bytes.endIndex,
                    let high = Byte.hexValue(bytes[index]), let low = Byte.hexValue(bytes[index + 1])
                else {
                    isBroken = true
                    return
                }
                byte = high << 4 | low
                index += 2
            } else if plusIsSpace && byte == plus {
                byte = Byte.space
            }
            if byte >= 0x80 { isASCII = false }
            decoded[count] = byte
            count += 1
        }
    }
    if isBroken {
        throw HTTPError(
            .badRequest, code: "invalid_encoding", message: "invalid percent-encoding in the URL",
            hint: "Write a literal percent sign as %25.")
    }
    if isASCII { return String(decoding: decoded, as: UTF8.self) }
    guard let text = String(validating: decoded, as: UTF8.self) else {
        throw HTTPError(.badRequest, code: "invalid_encoding", message: "the URL is not UTF-8 when decoded")
    }
    return text
}
