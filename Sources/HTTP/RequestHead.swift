// SPDX-License-Identifier: Apache-2.0
// The head of a request: its bytes, and where in them each part lies.

/// The request line and the header fields, as one buffer of bytes and ranges into it.
///
/// Fields stay in the order they came, duplicates included; nothing is decoded or copied before it is asked for.
package struct RequestHead: Sendable {
    /// A header field: where its name and its value (without blanks around it) lie.
    struct Field: Sendable, Equatable {
        var name: Range<UInt32>
        var value: Range<UInt32>
    }

    var bytes: [UInt8] = []
    var fields: [Field] = []
    var methodRange = 0..<0
    var targetRange = 0..<0
    var pathRange = 0..<0
    var queryRange: Range<Int>?
    /// Of an absolute-form target, else of Host (RFC 9112 §3.2.2: the target goes before the field).
    var authorityRange: Range<Int>?

    package internal(set) var method = Method.get
    package internal(set) var version = Version.http11
    /// Whether the client wants to use the connection again (RFC 9112 §9.3).
    package internal(set) var keepAlive = true
    /// Whether the client waits for `100 Continue` before it sends the body (RFC 9110 §10.1.1).
    package internal(set) var expectsContinue = false
    /// Whether Content-Length or Transfer-Encoding says that a body, maybe an empty one, follows.
    package internal(set) var declaresBody = false

    /// The method as it came, for ``Method/other``.
    package var methodToken: String { String(decoding: bytes[methodRange], as: UTF8.self) }

    /// The request target as it came.
    package var target: String { String(decoding: bytes[targetRange], as: UTF8.self) }

    /// `host [ ":" port ]` that the request is meant for; nil in an HTTP/1.0 request that does not tell.
    package var authority: ArraySlice<UInt8>? { authorityRange.map { bytes[$0] } }

    // MARK: Path and query

    /// The path as it came, still percent-encoded; begins with `/`, or is `*` (OPTIONS).
    package var rawPath: ArraySlice<UInt8> { pathRange.isEmpty ? [UInt8(ascii: "/")] : bytes[pathRange] }

    /// The query as it came, without the `?`; nil if there is none.
    package var rawQuery: ArraySlice<UInt8>? { queryRange.map { bytes[$0] } }

    /// The path, percent-decoded as a whole: `/a%2Fb` and `/a/b` are the same here. Throws 400.
    package func path() throws(HTTPError) -> String { try percentDecoded(rawPath, plusIsSpace: false) }

    /// The pieces between the slashes, each percent-decoded on its own, so that `%2F` does not divide. `/` is no
    /// piece, `/a/` is `a` and an empty one. Throws 400.
    package func pathSegments() throws(HTTPError) -> [String] {
        var segments: [String] = []
        let path = rawPath.dropFirst()
        if path.isEmpty { return segments }
        var start = path.startIndex
        while true {
            let end = path[start...].firstIndex(of: UInt8(ascii: "/")) ?? path.endIndex
            segments.append(try percentDecoded(path[start..<end], plusIsSpace: false))
            if end == path.endIndex { return segments }
            start = end + 1
        }
    }

    /// Whether the path is exactly `text`, compared as bytes: for fixed routes, without making a String.
    package func pathIs(_ text: StaticString) -> Bool {
        if pathRange.isEmpty { return text.utf8CodeUnitCount == 1 && text.utf8Start[0] == UInt8(ascii: "/") }
        return bytes.span.equal(pathRange, text)
    }

    /// Writes the path anew where it encodes what needs no encoding, so that equivalent paths (RFC 3986 §6.2.2.2) are the
    /// same to ``pathIs(_:)`` and ``rawPath``. Throws 400 for a path that cannot be decoded.
    package mutating func normalizePath() throws(HTTPError) {
        let percent = UInt8(ascii: "%")
        guard bytes[pathRange].contains(percent) else { return }
        _ = try path()
        let start = bytes.count
        var index = pathRange.lowerBound
        while index < pathRange.upperBound {
            var byte = bytes[index]
            index += 1
            if byte == percent, let high = Byte.hexValue(bytes[index]), let low = Byte.hexValue(bytes[index + 1]),
                Byte.isUnreserved(high << 4 | low)
            {
                byte = high << 4 | low
                index += 2
            }
            bytes.append(byte)
        }
        pathRange = start..<bytes.count
    }

    /// The pairs of the query; none if there is no query. Throws 400.
    package func query() throws(HTTPError) -> QueryParameters { try QueryParameters(rawQuery ?? []) }

    /// The value of the first pair of the query that is called `name`, nil if there is none; and the head without any
    /// such pair, in ``target`` and ``rawQuery`` too: for what nobody who is told of a request may see. Throws 400.
    package mutating func takeParameter(_ name: String) throws(HTTPError) -> String? {
        guard let range = queryRange, let value = try query()[name] else { return nil }
        let start = bytes.count
        bytes += bytes[targetRange.lowerBound..<range.lowerBound - 1]
        var kept: Range<Int>?
        for piece in bytes[range].split(separator: UInt8(ascii: "&")) {
            if try QueryParameters(piece)[name] != nil { continue }
            bytes.append(UInt8(ascii: kept == nil ? "?" : "&"))
            let begin = kept?.lowerBound ?? bytes.count
            bytes += piece
            kept = begin..<bytes.count
        }
        targetRange = start..<bytes.count
        queryRange = kept
        return value
    }

    // MARK: Fields

    /// The number of header fields.
    package var fieldCount: Int { fields.count }

    /// The value of the first field called `name`, which is in lower case; nil if there is none.
    package subscript(_ lowercase: StaticString) -> String? {
        value(of: lowercase).map { String(decoding: $0, as: UTF8.self) }
    }

    /// The bytes of the first field called `lowercase`.
    package func value(of lowercase: StaticString) -> ArraySlice<UInt8>? {
        let span = bytes.span
        for field in fields where span.equalIgnoringCase(Range(field.name), lowercase) {
            return bytes[Range(field.value)]
        }
        return nil
    }

    /// The values of all fields called `lowercase`, in order.
    package func values(of lowercase: StaticString) -> [String] {
        let span = bytes.span
        var values: [String] = []
        for field in fields where span.equalIgnoringCase(Range(field.name), lowercase) {
            values.append(String(decoding: bytes[Range(field.value)], as: UTF8.self))
        }
        return values
    }

    /// Whether a field called `lowercase` has `element` (lower case) among its comma-separated elements, whatever
    /// their case: `Accept-Encoding` and `gzip`, `Connection` and `upgrade`.
    package func lists(_ lowercase: StaticString, _ element: StaticString) -> Bool {
        let span = bytes.span
        var found = false
        for field in fields where span.equalIgnoringCase(Range(field.name), lowercase) {
            span.forEachElement(of: Range(field.value)) { range in
                if span.equalIgnoringCase(range, element) { found = true }
            }
        }
        return found
    }

    /// Name and value of each field, in order, as text.
    package var allFields: [(name: String, value: String)] {
        fields.map { field in
            (
                String(decoding: bytes[Range(field.name)], as: UTF8.self),
                String(decoding: bytes[Range(field.value)], as: UTF8.self)
            )
        }
    }

    /// Forgets the last request and keeps the memory.
    mutating func reset() {
        bytes.removeAll(keepingCapacity: true)
        fields.removeAll(keepingCapacity: true)
        queryRange = nil
        authorityRange = nil
        keepAlive = true
        expectsContinue = false
    }
}

extension Range where Bound == Int {
    init(_ range: Range<UInt32>) { self = Int(range.lowerBound)..<Int(range.upperBound) }
}

extension Range where Bound == UInt32 {
    init(_ range: Range<Int>) { self = UInt32(range.lowerBound)..<UInt32(range.upperBound) }
}
