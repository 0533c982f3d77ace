// SPDX-License-Identifier: Apache-2.0
// The header fields of a response, as a handler gives them.

/// Names and values in order; a name may repeat.
///
/// What belongs to the server itself is left out of what is sent: Content-Length, Transfer-Encoding, Connection,
/// Date and Server. Values may come from anywhere: control bytes in them are sent as spaces.
package struct Headers: Sendable, ExpressibleByDictionaryLiteral {
    /// The fields, in the order they will be sent.
    package private(set) var fields: [(name: String, value: String)]

    package init(dictionaryLiteral elements: (String, String)...) {
        fields = elements.map { (name: $0.0, value: $0.1) }
    }

    /// No fields yet, with room for so many.
    package init(reserving count: Int) {
        fields = []
        fields.reserveCapacity(count)
    }

    /// Adds a field after the others.
    package mutating func add(_ name: String, _ value: String) { fields.append((name, value)) }

    /// Adds fields after the others.
    package mutating func add(_ others: Headers) { fields.append(contentsOf: others.fields) }

    /// Whether there is a field of that name, in any case.
    func contains(_ name: String) -> Bool {
        fields.contains { field in
            field.name.utf8.count == name.utf8.count
                && zip(field.name.utf8, name.utf8).allSatisfy { Byte.lowercased($0) == Byte.lowercased($1) }
        }
    }

    /// Makes a strong entity tag a weak one.
    mutating func weakenETag() {
        for index in fields.indices
        where fields[index].name.equalsIgnoringCase("etag") && !fields[index].value.hasPrefix("W/") {
            fields[index].value = "W/" + fields[index].value
        }
    }

    /// Takes out the fields of a name, given in lower case.
    mutating func remove(_ name: StaticString) { fields.removeAll { $0.name.equalsIgnoringCase(name) } }

    /// No fields.
    package static let none = Headers(dictionaryLiteral: ())

    private init(dictionaryLiteral: Void) { fields = [] }
}

/// Fields that every response has, unless it has one of the name itself. They are encoded once.
package struct StandardHeaders: Sendable {
    let fields: Headers
    /// Their lines.
    let bytes: [UInt8]

    package init(_ fields: Headers) {
        self.fields = fields
        var bytes: [UInt8] = []
        bytes.appendFields(fields)
        self.bytes = bytes
    }

    /// What may be sent without TLS: no host is pinned to it there (RFC 6797 §7.2).
    var overPlainHTTP: StandardHeaders {
        if !fields.contains("Strict-Transport-Security") { return self }
        var left = Headers.none
        for (name, value) in fields.fields where name != "Strict-Transport-Security" { left.add(name, value) }
        return StandardHeaders(left)
    }
}

extension [UInt8] {
    /// The lines of those standard fields that `headers` lacks.
    mutating func appendFields(_ standard: StandardHeaders, missingIn headers: Headers) {
        if !standard.fields.fields.contains(where: { headers.contains($0.name) }) {
            return append(contentsOf: standard.bytes)
        }
        for (name, value) in standard.fields.fields where !headers.contains(name) { appendFields([name: value]) }
    }
}
