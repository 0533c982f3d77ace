// SPDX-License-Identifier: Apache-2.0
// What a client says about itself and its session, in the headers of a request.

import HTTP

/// Whose names the headers have: the two protocols differ in little else.
enum TrinoFlavour: Sendable {
    case trino, presto

    /// The prefix of a response's headers.
    var prefix: StaticString {
        switch self {
        case .trino: "X-Trino-"
        case .presto: "X-Presto-"
        }
    }
}

/// A client's session, which the client keeps and sends along with each statement.
struct TrinoSession: Sendable {
    var flavour: TrinoFlavour
    /// Who runs the statement: the user named in the header, else the one that authenticated.
    var user: String
    var source: String?
    var catalog: String?
    var schema: String?
    var path: String?
    /// As PostgreSQL takes it; nil for the server's (UTC).
    var timeZone: String?
    var clientTags: [String] = []
    var clientInfo: String?
    var traceToken: String?
    /// Session properties that were set, by name.
    var properties: [String: String] = [:]
    /// Prepared statements, by name.
    var prepared: [String: String] = [:]
    /// Nil where none is under way.
    var transaction: String?
    /// Whether times come with their precision.
    var parametricDatetime = false

    /// The session that a request for a statement describes.
    ///
    /// - Throws: 400 for what cannot be meant, 401 where no user is named.
    init(_ head: RequestHead) throws(TrinoRefusal) {
        let fields = TrinoHeaderFields(head)
        flavour = try fields.flavour()
        // Read in one pass: which values there are decides what is wrong with them.
        let basic = head["authorization"].flatMap(BasicUser.name)
        guard let user = fields.first("user") ?? basic else { throw TrinoRefusal.noUser }
        self.user = user
        source = fields.first("source")
        catalog = fields.first("catalog")
        schema = fields.first("schema")
        if schema != nil && catalog == nil {
            throw TrinoRefusal(400, "\(flavour.prefix)Catalog must be set when \(flavour.prefix)Schema is set")
        }
        path = fields.first("path")
        timeZone = try fields.first("time-zone").map { (text) throws(TrinoRefusal) in try Self.timeZone(text) }
        clientTags = fields.list("client-tags")
        clientInfo = fields.first("client-info")
        traceToken = fields.first("trace-token")
        properties = try fields.pairs("session", flavour)
        prepared = try fields.pairs("prepared-statement", flavour)
        transaction = fields.first("transaction-id").flatMap { $0.uppercased() == "NONE" ? nil : $0 }
        parametricDatetime = fields.list("client-capabilities").contains { $0.uppercased() == "PARAMETRIC_DATETIME" }
    }

    /// A session for tests and for what we run ourselves.
    init(flavour: TrinoFlavour, user: String) {
        self.flavour = flavour
        self.user = user
    }

    /// How types are spelled for the client.
    var typeDialect: TrinoType.Dialect { .init(flavour: flavour, parametricDatetime: parametricDatetime) }

    /// Whether PostgreSQL writes times in UTC.
    var isUTC: Bool {
        switch effectiveTimeZone?.uppercased() {
        case nil, "UTC", "Z", "ETC/UTC", "GMT", "<+00:00>-00:00": true
        default: false
        }
    }

    /// A zone as PostgreSQL takes it: names are the same, an offset is written as POSIX does, whose sign is the other
    /// one (PostgreSQL 15 docs, B.5).
    static func timeZone(_ text: String) throws(TrinoRefusal) -> String {
        var offset = Substring(text)
        for prefix in ["UTC", "GMT", "UT"] where offset.uppercased().hasPrefix(prefix) && offset.count > prefix.count {
            offset = offset.dropFirst(prefix.count)
            break
        }
        guard let sign = offset.first, sign == "+" || sign == "-" else {
            let isName = text.utf8.allSatisfy {
                (0x30...0x39).contains($0) || (0x41...0x5A).contains($0) || (0x61...0x7A).contains($0)
                    || "/_+-".utf8.contains($0)
            }
            if text.isEmpty || text.utf8.count > 64 || !isName {
                throw TrinoRefusal(400, "Invalid time zone '\(text)'")
            }
            return text
        }
        let digits = offset.dropFirst().split(separator: ":", omittingEmptySubsequences: false)
        guard (1...2).contains(digits.count), digits.allSatisfy({ (1...2).contains($0.utf8.count) }),
            let hours = UInt8(digits[0]), let minutes = digits.count == 2 ? UInt8(digits[1]) : 0, hours <= 14,
            minutes < 60
        else { throw TrinoRefusal(400, "Invalid time zone '\(text)'") }
        let clock = (hours < 10 ? "0" : "") + "\(hours):" + (minutes < 10 ? "0" : "") + "\(minutes)"
        return "<\(sign)\(clock)>\(sign == "+" ? "-" : "+")\(clock)"
    }
}

/// A request that is not answered in the protocol: a status and a line of text.
struct TrinoRefusal: Error, Equatable {
    var status: UInt16
    var text: String

    init(_ status: UInt16, _ text: String) {
        self.status = status
        self.text = text
    }

    static let noUser = TrinoRefusal(
        401, "No user was named: send Basic authentication, X-Trino-User or X-Presto-User")
    static let unknown = TrinoRefusal(404, "Query not found")
    static let gone = TrinoRefusal(410, "This page was read, and so was the next one")
}

/// The headers of either family.
private struct TrinoHeaderFields {
    private var trino: [(name: String, value: String)] = []
    private var presto: [(name: String, value: String)] = []

    /// Keeps what begins with a prefix of ours, by its name in lower case without it.
    init(_ head: RequestHead) {
        for (name, value) in head.allFields {
            let name = name.lowercased()
            if name.hasPrefix("x-trino-") {
                trino.append((String(name.dropFirst(8)), value))
            } else if name.hasPrefix("x-presto-") {
                presto.append((String(name.dropFirst(9)), value))
            }
        }
    }

    private var fields: [(name: String, value: String)] { trino.isEmpty ? presto : trino }

    func flavour() throws(TrinoRefusal) -> TrinoFlavour {
        if !trino.isEmpty && !presto.isEmpty {
            throw TrinoRefusal(400, "Both X-Trino- and X-Presto- headers are set: use those of one protocol")
        }
        return presto.isEmpty ? .trino : .presto
    }

    /// The first value that is not empty.
    func first(_ name: String) -> String? { fields.first { $0.name == name && !$0.value.isEmpty }?.value }

    /// The elements of all headers called `name`: Java's client repeats the header, Python's separates by commas.
    func list(_ name: String) -> [String] {
        fields.filter { $0.name == name }.flatMap { $0.value.split(separator: ",") }
            .map { $0.trimmingBlanks }.filter { !$0.isEmpty }
    }

    /// Elements of the form `name=value`, both percent-encoded.
    func pairs(_ name: String, _ flavour: TrinoFlavour) throws(TrinoRefusal) -> [String: String] {
        var pairs: [String: String] = [:]
        for element in list(name) {
            guard let equals = element.firstIndex(of: "="), equals > element.startIndex,
                let key = PercentText.decode(element[..<equals]),
                let value = PercentText.decode(element[element.index(after: equals)...])
            else { throw TrinoRefusal(400, "Invalid \(flavour.prefix)\(name) header: expected name=value") }
            pairs[key] = value
        }
        return pairs
    }
}

extension StringProtocol {
    fileprivate var trimmingBlanks: String {
        String(drop { $0 == " " || $0 == "\t" }.reversed().drop { $0 == " " || $0 == "\t" }.reversed())
    }
}

/// Values in headers: percent-encoded as in a form (`+` is a space).
enum PercentText {
    /// Nil for what is not percent-encoded UTF-8.
    static func decode(_ text: some StringProtocol) -> String? {
        var bytes: [UInt8] = []
        var rest = text.utf8.makeIterator()
        while let byte = rest.next() {
            switch byte {
            case UInt8(ascii: "+"): bytes.append(0x20)
            case UInt8(ascii: "%"):
                guard let high = rest.next().flatMap(nibble), let low = rest.next().flatMap(nibble) else { return nil }
                bytes.append(high << 4 | low)
            default: bytes.append(byte)
            }
        }
        return String(validating: bytes, as: UTF8.self)
    }

    /// Everything but letters, digits and `-_.*` as `%XX`: what every decoder reads, a space included.
    static func encode(_ text: String) -> String {
        var bytes: [UInt8] = []
        for byte in text.utf8 {
            switch byte {
            case 0x30...0x39, 0x41...0x5A, 0x61...0x7A, UInt8(ascii: "-"), UInt8(ascii: "_"), UInt8(ascii: "."),
                UInt8(ascii: "*"):
                bytes.append(byte)
            default:
                bytes.append(UInt8(ascii: "%"))
                bytes.append(digit(byte >> 4))
                bytes.append(digit(byte & 15))
            }
        }
        return String(decoding: bytes, as: UTF8.self)
    }

    private static func digit(_ value: UInt8) -> UInt8 { value < 10 ? 0x30 + value : 0x37 + value }

    private static func nibble(_ digit: UInt8) -> UInt8? {
        switch digit {
        case 0x30...0x39: digit - 0x30
        case 0x41...0x46: digit - 0x37
        case 0x61...0x66: digit - 0x57
        default: nil
        }
    }
}

/// The user of `Authorization: Basic` (RFC 7617).
enum BasicUser {
    static func name(_ authorization: String) -> String? {
        let parts = authorization.split(separator: " ", maxSplits: 1)
        guard parts.count == 2, parts[0].lowercased() == "basic", let bytes = decodeBase64(parts[1].utf8) else {
            return nil
        }
        let name = String(decoding: bytes.prefix { $0 != UInt8(ascii: ":") }, as: UTF8.self)
        return name.isEmpty ? nil : name
    }

    private static func decodeBase64(_ text: Substring.UTF8View) -> [UInt8]? {
        var bytes: [UInt8] = []
        var group: UInt32 = 0
        var bits = 0
        for digit in text where digit != UInt8(ascii: "=") && digit != 0x20 {
            let value: UInt32
            switch digit {
            case 0x41...0x5A: value = UInt32(digit) - 0x41
            case 0x61...0x7A: value = UInt32(digit) - 0x61 + 26
            case 0x30...0x39: value = UInt32(digit) - 0x30 + 52
            case UInt8(ascii: "+"): value = 62
            case UInt8(ascii: "/"): value = 63
            default: return nil
            }
            group = group << 6 | value
            bits += 6
            if bits >= 8 {
                bits -= 8
                bytes.append(UInt8(truncatingIfNeeded: group >> UInt32(bits)))
            }
        }
        return bytes
    }
}
