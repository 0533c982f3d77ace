// SPDX-License-Identifier: Apache-2.0
// What a request for a table asks for, before the catalogue has been looked at.

import HTTP

/// A request for rows of a table or view.
struct TableRequest {
    /// How many rows there are in all: PostgREST's `Prefer: count=`.
    enum Count: String, CaseIterable { case exact, planned, estimated }

    static let names = [
        "select", "order", "limit", "offset", "and", "or", "not.and", "not.or", "having", "page_token", "format",
    ]

    /// Empty for all columns.
    var select: [TableItem] = []
    var conditions: [TableCondition] = []
    var having: TableCondition?
    var order: [TableOrder] = []
    var limit: Int?
    var offset = 0
    /// Pages by key: nil where they are not asked for, empty for the first.
    var pageToken: String?
    var count: Count?
    /// Filters that cannot be read: whether that is because there is no such column, the catalogue says.
    var unread: [(name: String, error: QueryError)] = []
    /// One object, and not an array of one.
    var isSingular = false
    /// Members that are null are left out (`;nulls=stripped`).
    var stripsNulls = false
    /// The plan instead of the rows.
    var explain: TableExplain?
    var format: ReplyFormat

    /// The largest offset; PostgreSQL reads and drops what it passes over.
    static let offsetLimit = 1_000_000_000

    init(_ query: QueryParameters, _ head: RequestHead) throws(QueryError) {
        // Of a preference that is given twice the first counts (RFC 7240 section 2).
        var preferences: [(name: Substring, word: String)] = []
        for word in Self.words(head.values(of: "prefer")) {
            let name = word.prefix { $0 != "=" }
            if !preferences.contains(where: { $0.name == name }) { preferences.append((name, word)) }
        }
        let isStrict = preferences.contains { $0.word == "handling=strict" }
        for (name, word) in preferences {
            if name == "count", let count = Count(rawValue: String(word.dropFirst(6))) {
                self.count = count
            } else if isStrict && name != "handling" {
                throw Self.unknownPreference(word)
            }
        }
        let accept = head.values(of: "accept")
        switch try Self.ownType(accept) {
        case .rows(let isSingular, let stripsNulls):
            (self.isSingular, self.stripsNulls) = (isSingular, stripsNulls)
            format = .json
        case .plan(let explain):
            self.explain = explain
            format = .json
        case nil: format = try ReplyFormat(accept: accept)
        }
        var seen: Set<String> = []
        var single: [String: String] = [:]
        for pair in query {
            let isTree = ["and", "or", "not.and", "not.or"].contains(pair.name)
            if isTree {
                conditions.append(try TableParser.tree(pair.name, pair.value))
            } else if Self.names.contains(pair.name) {
                if !seen.insert(pair.name).inserted {
                    throw QueryError(400, "repeated_parameter", "parameter \"\(pair.name)\" is given twice")
                }
                single[pair.name] = pair.value
            } else {
                // The same column may be asked for several times: all must hold.
                do {
                    conditions.append(try TableParser.filter(pair.name, pair.value))
                } catch {
                    unread.append((pair.name, error))
                }
            }
        }
        if let text = single["select"], !text.isEmpty { select = try TableParser.select(text) }
        if let text = single["order"], !text.isEmpty { order = try TableParser.order(text) }
        if let text = single["having"], !text.isEmpty { having = try TableParser.tree("having", text) }
        limit = try Self.integer("limit", single["limit"], most: .max)
        offset = try Self.integer("offset", single["offset"], most: Self.offsetLimit) ?? 0
        pageToken = single["page_token"]
        if let name = single["format"], !name.isEmpty {
            guard let format = ReplyFormat(rawValue: name), ReplyFormat.rest.contains(format) else {
                throw ParameterReader.invalid(
                    "format", name, allowed: "one of " + ReplyFormat.rest.map(\.rawValue).joined(separator: ", "))
            }
            self.format = format
        }
        // A filter that cannot be read is the catalogue's to refuse, and comes first.
        if unread.isEmpty, let range = head["range"] { try narrow(to: range) }
        if pageToken != nil && offset > 0 {
            throw QueryError(
                400, "invalid_parameter", "\"page_token\" and \"offset\" exclude each other",
                hint: "The token says where the page begins.")
        }
        if pageToken != nil && isSingular {
            throw QueryError(
                400, "invalid_parameter", "\"page_token\" is of lists, and one object is asked for",
                hint: "Filter by the key, or accept application/json.")
        }
        if format != .json { stripsNulls = false }
        if isSingular && format != .json {
            throw ParameterReader.invalid("format", format.rawValue, allowed: "json, for one object")
        }
    }

    private enum OwnType {
        case rows(isSingular: Bool, stripsNulls: Bool)
        case plan(TableExplain)
    }

    /// The first of PostgREST's own media types, with or without `+json`.
    private static func ownType(_ accept: [String]) throws(QueryError) -> OwnType? {
        for element in accept.joined(separator: ",").lowercased().split(separator: ",") {
            let parts = element.filter { $0 != " " && $0 != "\t" }.split(separator: ";")
            guard let type = parts.first?.split(separator: "+").first,
                !parts.contains(where: { ReplyFormat.weight($0) == 0 })
            else { continue }
            if type == "application/vnd.pgrst.object" || type == "application/vnd.pgrst.array" {
                return .rows(isSingular: type.hasSuffix("object"), stripsNulls: parts.contains("nulls=stripped"))
            }
            if let explain = try TableExplain(parts) { return .plan(explain) }
        }
        return nil
    }

    /// The media type of the reply.
    var contentType: String {
        if let explain { return explain.contentType }
        if !isSingular && !stripsNulls { return format.contentType }
        return "application/vnd.pgrst.\(isSingular ? "object" : "array")+json\(stripsNulls ? ";nulls=stripped" : "")"
    }

    /// `Range: 0-24` in rows, both ends inclusive, within `limit` and `offset`. A range in bytes is not for us.
    private mutating func narrow(to field: String) throws(QueryError) {
        let text = field.hasPrefix("items=") ? String(field.dropFirst(6)) : field
        if text.contains("=") { return }
        let parts = text.split(separator: "-", omittingEmptySubsequences: false)
        guard parts.count == 2, let first = Int(parts[0]), (0...Self.offsetLimit).contains(first) else {
            throw QueryError(
                416, "invalid_range", "the field Range cannot be read", details: "Allowed: rows, as in 0-24 or 25-.")
        }
        offset += first
        if !parts[1].isEmpty {
            guard let last = Int(parts[1]), last >= first, last < .max else {
                throw QueryError(
                    416, "invalid_range", "the range ends before it begins", details: "Allowed: rows, as in 0-24.")
            }
            limit = min(limit ?? .max, last - first + 1)
        }
    }

    private static func integer(_ name: String, _ text: String?, most: Int) throws(QueryError) -> Int? {
        guard let text, !text.isEmpty else { return nil }
        guard text.utf8.allSatisfy({ $0 &- 0x30 < 10 }), let value = Int(text), value <= most else {
            throw ParameterReader.invalid(name, text, allowed: ParameterReader.describe(0...most))
        }
        return value
    }

    private static func words(_ fields: [String]) -> [String] {
        fields.flatMap { $0.split(separator: ",") }.map { $0.filter { $0 != " " } }
    }

    private static func unknownPreference(_ word: String) -> QueryError {
        QueryError(
            400, "invalid_preference", "the preference \"\(word)\" is unknown",
            details: "Known: count=exact, count=planned, count=estimated, handling=strict.")
    }
}
