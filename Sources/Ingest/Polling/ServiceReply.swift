// SPDX-License-Identifier: Apache-2.0

/// What a service's JSON says that it should not.
package enum ReplyProblem: Error, Equatable, CustomStringConvertible {
    /// It is no JSON, or cut off.
    case notJSON(bytes: Int)
    /// The reply's schema has changed: at `path` there is something else than was agreed on.
    case drift(path: String, expected: String, found: String)
    /// The service says in words that it will not.
    case refused(String)

    package var description: String {
        switch self {
        case .notJSON(let bytes): "the reply (\(bytes) bytes) is no JSON, or was cut off"
        case .drift(let path, let expected, let found):
            "the reply's schema has changed: \(path): expected \(expected), found \(found)"
        case .refused(let words): "refused: \(words)"
        }
    }
}

/// A value of JSON (RFC 8259).
enum JSONValue: Equatable {
    case null
    case bool(Bool)
    case number(Double)
    case string(String)
    case array([JSONValue])
    case object([String: JSONValue])

    /// The value of a whole text; nil if it is no JSON, or nested deeper than ``JSONScanner/maximumDepth``.
    init?(_ bytes: [UInt8]) {
        let value: JSONValue? = bytes.withUnsafeBytes { bytes in
            var scanner = JSONScanner(bytes)
            guard let value = Self.read(&scanner, depth: 0), scanner.isAtEnd() else { return nil }
            return value
        }
        guard let value else { return nil }
        self = value
    }

    private static func read(_ scanner: inout JSONScanner, depth: Int) -> JSONValue? {
        guard depth < JSONScanner.maximumDepth else { return nil }
        switch scanner.kind() {
        case .object:
            var members: [String: JSONValue] = [:]
            let isWhole = scanner.object { scanner, key in
                guard let value = read(&scanner, depth: depth + 1) else { return false }
                members[String(decoding: key, as: UTF8.self)] = value
                return true
            }
            return isWhole ? .object(members) : nil
        case .array:
            var elements: [JSONValue] = []
            let isWhole = scanner.array { scanner in
                guard let value = read(&scanner, depth: depth + 1) else { return false }
                elements.append(value)
                return true
            }
            return isWhole ? .array(elements) : nil
        case .string: return scanner.string().map { .string($0) }
        case .number:
            guard let text = scanner.number(), let number = Double(String(decoding: text, as: UTF8.self)) else {
                return nil
            }
            return .number(number)
        case .literal:
            if scanner.null() { return .null }
            return scanner.boolean().map { .bool($0) }
        case .end: return nil
        }
    }

    fileprivate var name: String {
        switch self {
        case .null: "null"
        case .bool: "a boolean"
        case .number: "a number"
        case .string: "text"
        case .array: "an array"
        case .object: "an object"
        }
    }
}

/// A place in a service's reply: its path, as in `chart.result[0].timestamp`, and what is there.
struct ReplyNode {
    let path: String
    /// Nil where there is nothing.
    let value: JSONValue?

    init(path: String, value: JSONValue?) {
        self.path = path
        self.value = value
    }

    /// The whole of a reply.
    init(_ body: [UInt8]) throws(ReplyProblem) {
        guard let value = JSONValue(body) else { throw .notJSON(bytes: body.count) }
        self.init(path: "", value: value)
    }

    /// Whether there is nothing, or null.
    var isAbsent: Bool { value == nil || value == .null }

    /// A member of an object.
    subscript(name: String) -> ReplyNode {
        let path = path.isEmpty ? name : "\(path).\(name)"
        guard case .object(let members) = value else { return ReplyNode(path: path, value: nil) }
        return ReplyNode(path: path, value: members[name])
    }

    /// A number; nil where there is none. Yahoo's `{"raw":1.5,"fmt":"1.50"}` is one; its `"Infinity"`, of a price without
    /// earnings, is none.
    func number() throws(ReplyProblem) -> Double? {
        if case .number(let number) = value { return number }
        if case .string(let text) = value, ["Infinity", "-Infinity", "NaN"].contains(text) { return nil }
        if case .object(let members) = value {
            if members.isEmpty { return nil }
            if case .number(let number) = members["raw"] { return number }
        }
        if isAbsent { return nil }
        throw drift("a number")
    }

    /// A text that is not empty; nil where there is none.
    func text() throws(ReplyProblem) -> String? {
        if case .string(let text) = value { return text.isEmpty ? nil : text }
        if isAbsent { return nil }
        throw drift("text")
    }

    /// The elements of an array, which must be there.
    func elements() throws(ReplyProblem) -> [ReplyNode] {
        guard case .array(let elements) = value else { throw drift("an array") }
        return elements.enumerated().map { ReplyNode(path: "\(path)[\($0)]", value: $1) }
    }

    /// The node itself, which must be an object.
    func object() throws(ReplyProblem) -> ReplyNode {
        guard case .object = value else { throw drift("an object") }
        return self
    }

    /// A number that must be there.
    func requiredNumber() throws(ReplyProblem) -> Double {
        guard let number = try number() else { throw drift("a number") }
        return number
    }

    func drift(_ expected: String) -> ReplyProblem {
        .drift(path: path.isEmpty ? "the reply" : path, expected: expected, found: value?.name ?? "nothing")
    }
}

/// What is read of a reply piece by piece: a piece that cannot be read spoils no other, and is told.
struct ReplyReader {
    private(set) var problems: [ReplyProblem] = []

    /// The value, or nil where there is none or `read` fails.
    mutating func take<Value>(_ read: @autoclosure () throws(ReplyProblem) -> Value?) -> Value? {
        do throws(ReplyProblem) { return try read() } catch {
            problems.append(error)
            return nil
        }
    }
}

/// A text as a piece of a URL's path or query (RFC 3986 §2.3).
func percentEncoded(_ text: String) -> String {
    var encoded = ""
    for byte in text.utf8 {
        switch byte {
        case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
            UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "-"), UInt8(ascii: "."), UInt8(ascii: "_"),
            UInt8(ascii: "~"):
            encoded.unicodeScalars.append(Unicode.Scalar(byte))
        default:
            encoded += "%"
            for digit in [byte >> 4, byte & 15] { encoded += String(digit, radix: 16, uppercase: true) }
        }
    }
    return encoded
}
