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
    /// The field Range has none of the rows that limit and offset leave, which is told once they are counted.
    var isBeyond = false
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
                throw Self.refused("the preference \"\(word)\" is unknown")
            }
        }
        switch try Self.wanted(head.values(of: "accept")) {
        case .rows(let isSingular, let stripsNulls):
            (self.isSingular, self.stripsNulls) = (isSingular, stripsNulls)
            format = .json
        case .plan(let explain):
            self.explain = explain
            format = .json
        case .format(let format): self.format = format
        }
        var seen: Set<String> = []
        var single: [String: String] = [:]
        for pair in query {
            let isTree = ["and", "or", "not.and", "not.or"].contains(pair.name)
            if isTree {
                conditions.append(try TableParser.tree(pair.name, pair.value))
            } else if Self.names.contains(pair.name) {
                // A page token follows the empty one that has asked for the first page.
                let isFollowed = pair.name == "page_token" && single["page_token"]?.isEmpty == true
                if !seen.insert(pair.name).inserted && !isFollowed {
                    throw QueryError(400, "repeated_parameter", "parameter \"\(pair.name)\" is given twice")
                }
                single[pair.name] = KeyToken.isUnwritten(pair) ? "" : pair.value
            } else {
                // The same column may be asked for several times: all must hold.
                let part = TableParser.part(pair.name)
                do {
                    conditions.append(try TableParser.filter(pair.name, of: part, pair.value))
                } catch {
                    unread.append((part.column ?? pair.name, error))
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
        // A filter that cannot be read is the catalogue's to refuse, and comes first; only GET has ranges (RFC 9110 §14.2).
        if unread.isEmpty, head.method == .get, let range = head["range"] { try narrow(to: range) }
        if pageToken != nil && offset > 0 {
            throw QueryError(
                400, "invalid_parameter", "\"page_token\" and \"offset\" exclude each other",
                hint: "The token says where the page begins.")
        }
        if pageToken != nil && count != nil {
            // Where in all of them a page is, a key does not tell.
            if isStrict { throw Self.refused("no \"count\" with \"page_token\"") }
            count = nil
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

    private enum Wanted {
        case rows(isSingular: Bool, stripsNulls: Bool)
        case plan(TableExplain)
        case format(ReplyFormat)
    }

    /// What the values of all Accept fields ask for: one of PostgREST's own media types, with or without `+json`, or a
    /// format.
    private static func wanted(_ accept: [String]) throws(QueryError) -> Wanted {
        let ranges = MediaRange.all(accept).enumerated()
        var own: (range: MediaRange, preference: ReplyFormat.Preference)?
        for (place, range) in ranges where range.weight > 0 && isOwn(range) {
            let preference = ReplyFormat.Preference(weight: range.weight, closeness: 3, place: place)
            if let own, own.preference >= preference { continue }
            own = (range, preference)
        }
        // Theirs end with +json too, but are no JSON as it is.
        let others = ranges.filter { !isOwn($0.element) }
        guard let own else {
            return .format(others.isEmpty ? try ReplyFormat(accept: accept) : try ReplyFormat.wanted(others).format)
        }
        if !others.isEmpty, let other = try? ReplyFormat.wanted(others), other.preference > own.preference {
            return .format(other.format)
        }
        if let explain = try TableExplain([own.range.name] + own.range.parameters) { return .plan(explain) }
        return .rows(
            isSingular: own.range.name.hasPrefix(objectType),
            stripsNulls: own.range.parameters.contains("nulls=stripped"))
    }

    private static let objectType = "application/vnd.pgrst.object"

    private static func isOwn(_ range: MediaRange) -> Bool {
        [objectType, "application/vnd.pgrst.array"].contains { range.name == $0 || range.name == $0 + "+json" }
            || TableExplain.isNamed(by: range.name)
    }

    /// The media type of the reply.
    var contentType: String {
        if let explain { return explain.contentType }
        if !isSingular && !stripsNulls { return format.contentType }
        return "application/vnd.pgrst.\(isSingular ? "object" : "array")+json\(stripsNulls ? ";nulls=stripped" : "")"
    }

    /// `Range: 0-24` in rows, both ends inclusive: of those that `limit` and `offset` leave, which count from the same
    /// row, the ones that are in it too. A range in bytes is not for us.
    private mutating func narrow(to field: String) throws(QueryError) {
        let text = field.hasPrefix("items=") ? String(field.dropFirst(6)) : field
        if text.contains("=") { return }
        let parts = text.split(separator: "-", omittingEmptySubsequences: false)
        guard parts.count == 2, let first = Self.row(parts[0]), first <= Self.offsetLimit,
            let last = parts[1].isEmpty ? .max : Self.row(parts[1])
        else {
            throw QueryError(
                416, "invalid_range", "the field Range cannot be read", details: "Allowed: rows, as in 0-24 or 25-.")
        }
        if last < first {
            throw QueryError(
                416, "invalid_range", "the range ends before it begins", details: "Allowed: rows, as in 0-24.")
        }
        // No rows at all are asked for.
        if limit == 0 { return }
        let end = min(limit.map { min($0, .max - offset) + offset } ?? .max, last == .max ? .max : last + 1)
        offset = max(offset, first)
        if offset >= end {
            guard count == .exact, pageToken == nil else { throw Self.beyond }
            isBeyond = true
            return
        }
        if end < .max { limit = end - offset }
    }

    static let beyond = QueryError(
        416, "invalid_range", "the range has none of the rows that \"limit\" and \"offset\" leave",
        details: "Both count from the first row.")

    /// The number of a row; one that is too large for any is the largest.
    private static func row(_ digits: Substring) -> Int? {
        guard !digits.isEmpty, digits.utf8.allSatisfy({ $0 &- 0x30 < 10 }) else { return nil }
        return Int(digits) ?? .max
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

    private static func refused(_ message: String) -> QueryError {
        QueryError(
            400, "invalid_preference", message,
            details: "Known: count=exact, count=planned, count=estimated, handling=strict.")
    }
}
