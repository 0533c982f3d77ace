// SPDX-License-Identifier: Apache-2.0
// Where the next page begins, as an opaque text.

import HTTP
import Market

/// The key of the last row of a page. The next page is what follows it in the order of the key, so rows that arrive in
/// the meantime neither repeat nor hide others.
struct PageToken: Equatable {
    /// What the token is good for: the resource, and what changes the meaning of its order.
    var scope: String
    var symbol: String
    var ts = Timestamp.epoch
    var source = ""
    var tradeID: Int64 = 0

    init(scope: String, symbol: String, ts: Timestamp = .epoch, source: String = "", tradeID: Int64 = 0) {
        self.scope = scope
        self.symbol = symbol
        self.ts = ts
        self.source = source
        self.tradeID = tradeID
    }

    /// The fields between unit separators, which no symbol or source holds, in base64url (RFC 4648 §5).
    var text: String {
        var bytes: [UInt8] = []
        bytes.reserveCapacity(64 + scope.utf8.count + symbol.utf8.count + source.utf8.count)
        bytes.append(UInt8(ascii: "1"))
        func append(_ field: String) {
            bytes.append(Self.separator)
            bytes.appendText(field)
        }
        append(scope)
        append(symbol)
        bytes.append(Self.separator)
        bytes.appendInteger(ts.microseconds)
        append(source)
        bytes.append(Self.separator)
        bytes.appendInteger(tradeID)
        return Base64URL.encode(bytes)
    }

    /// Nil if `text` is not such a text.
    init?(_ text: String) {
        guard let bytes = Base64URL.decode(text), let joined = String(validating: bytes, as: UTF8.self) else {
            return nil
        }
        let fields = joined.unicodeScalars.split(separator: "\u{1F}", omittingEmptySubsequences: false).map(String.init)
        guard fields.count == 6, fields[0] == "1", let ts = Int64(fields[3]), TimeRange.isStorable.contains(ts),
            !joined.utf8.contains(0), let tradeID = Int64(fields[5])
        else { return nil }
        self.init(
            scope: fields[1], symbol: fields[2], ts: Timestamp(microseconds: ts), source: fields[4], tradeID: tradeID)
    }

    /// The token of the parameter `page_token`, which must be of the same request: of another symbol's page the next would
    /// be empty, or begin at once.
    static func read(
        _ reader: ParameterReader, scope: String, symbols: [String]?
    ) throws(QueryError) -> PageToken? {
        guard let text = reader.text("page_token") else { return nil }
        guard let token = PageToken(text) else {
            throw ParameterReader.invalid("page_token", text, allowed: "the next_page_token of an earlier reply")
        }
        guard token.scope == scope, token.symbol.isEmpty || symbols?.contains(token.symbol) != false else {
            throw ParameterReader.invalid(
                "page_token", text, allowed: "the next_page_token of a reply to the same request",
                hint: "Keep the other parameters as they were: symbols, order and timeframe among them.")
        }
        return token
    }

    private static let separator: UInt8 = 0x1F
}

/// The key of the last row of a page of a list whose key may be any columns: their texts, nil for NULL.
struct KeyToken: Equatable {
    /// What the token is good for.
    var scope: String
    var values: [String?]

    init(scope: String, values: [String?]) {
        self.scope = scope
        self.values = values
    }

    /// A JSON array of strings and nulls in base64url.
    var text: String {
        var bytes: [UInt8] = []
        bytes.appendText("[")
        bytes.appendJSONString(scope)
        for value in values {
            bytes.appendText(",")
            bytes.appendJSONString(value)
        }
        bytes.appendText("]")
        return Base64URL.encode(bytes)
    }

    /// Nil if `text` is not such a text.
    init?(_ text: String) {
        guard let bytes = Base64URL.decode(text), case .array(let elements)? = try? JSONReader.read(bytes) else {
            return nil
        }
        var values: [String?] = []
        for element in elements.dropFirst() {
            switch element {
            case .null: values.append(nil)
            case .string(let string) where !string.utf8.contains(0): values.append(string)
            default: return nil
            }
        }
        guard case .string(let scope)? = elements.first else { return nil }
        self.init(scope: scope, values: values)
    }

    /// Whether it is a place for a token that Infinity has not put one into: it sends the first of its pages as written.
    static func isUnwritten(_ pair: QueryParameters.Pair) -> Bool {
        pair.name == "page_token" && pair.value.hasPrefix("${__pagination.")
    }

    /// The token of the parameter `page_token`, which must be of the same request.
    static func read(_ reader: ParameterReader, scope: String, count: Int) throws(QueryError) -> KeyToken? {
        guard let text = reader.text("page_token") else { return nil }
        guard let token = KeyToken(text) else {
            throw ParameterReader.invalid("page_token", text, allowed: "the next_page_token of an earlier reply")
        }
        guard token.scope == scope, token.values.count == count else {
            throw ParameterReader.invalid(
                "page_token", text, allowed: "the next_page_token of a reply to the same request",
                hint: "Keep the other parameters as they were, the order among them.")
        }
        return token
    }
}

/// Base 64 with the alphabet for URLs and without padding (RFC 4648 §5).
enum Base64URL {
    private static let alphabet = Array("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_".utf8)

    static func encode(_ bytes: [UInt8]) -> String {
        var text: [UInt8] = []
        text.reserveCapacity((bytes.count * 4 + 2) / 3)
        let alphabet = alphabet
        var buffer = 0
        var bits = 0
        for byte in bytes {
            buffer = (buffer << 8 | Int(byte)) & 0xFFFF
            bits += 8
            while bits >= 6 {
                bits -= 6
                text.append(alphabet[buffer >> bits & 63])
            }
        }
        if bits > 0 { text.append(alphabet[buffer << (6 - bits) & 63]) }
        return String(decoding: text, as: UTF8.self)
    }

    /// The same in the ordinary alphabet, with padding (RFC 4648 §4).
    static func padded(_ bytes: [UInt8]) -> String {
        var text = encode(bytes).map { $0 == "-" ? "+" : $0 == "_" ? "/" : $0 }
        while text.count % 4 != 0 { text.append("=") }
        return String(text)
    }

    /// Nil for other characters, and for bits left over that are not zero.
    static func decode(_ text: String) -> [UInt8]? {
        var bytes: [UInt8] = []
        var buffer = 0
        var bits = 0
        for character in text.utf8 {
            guard let value = alphabet.firstIndex(of: character) else { return nil }
            buffer = (buffer << 6 | value) & 0xFFFF
            bits += 6
            if bits >= 8 {
                bits -= 8
                bytes.append(UInt8(buffer >> bits & 255))
            }
        }
        return bits < 6 && buffer & (1 << bits - 1) == 0 ? bytes : nil
    }
}
