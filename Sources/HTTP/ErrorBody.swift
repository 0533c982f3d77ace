// SPDX-License-Identifier: Apache-2.0
// The JSON of an error: the shape that every part of the server uses.

extension HTTPError {
    /// `{"code","message","details","hint","position","query_id"}`; what is not known is null.
    package var jsonBody: [UInt8] {
        var json: [UInt8] = []
        json.append("{\"code\":")
        json.appendJSON(code)
        json.append(",\"message\":")
        json.appendJSON(message)
        json.append(",\"details\":")
        json.appendJSON(details)
        json.append(",\"hint\":")
        json.appendJSON(hint)
        json.append(",\"position\":null,\"query_id\":null}\n")
        return json
    }
}

extension [UInt8] {
    /// `text` as a JSON string (RFC 8259 §7), or null.
    fileprivate mutating func appendJSON(_ text: String?) {
        guard let text else { return append("null") }
        append(UInt8(ascii: "\""))
        for byte in text.utf8 {
            switch byte {
            case UInt8(ascii: "\""): append("\\\"")
            case UInt8(ascii: "\\"): append("\\\\")
            case 0..<0x20:
                append(byte < 0x10 ? "\\u000" : "\\u00")
                append(Int(byte), base: 16)
            default: append(byte)
            }
        }
        append(UInt8(ascii: "\""))
    }
}
