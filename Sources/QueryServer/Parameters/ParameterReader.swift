// SPDX-License-Identifier: Apache-2.0
// The query parameters of one request: known names only, each at most once, and errors that help.

import HTTP

/// Named values of a request, each read by its name and type.
struct ParameterReader {
    /// In their order; they are few.
    private var values: [(name: String, value: String)] = []

    /// Takes the parameters of a request for a resource that knows the names in `known`; `repeatable` ones may occur
    /// more than once, and a page token after an empty one.
    init(
        _ query: some Sequence<QueryParameters.Pair>, known: [String], repeatable: [String] = []
    ) throws(QueryError) {
        for pair in query {
            guard known.contains(pair.name) else { throw Self.unknown(pair.name, known: known) }
            let value = KeyToken.isUnwritten(pair) ? "" : pair.value
            if let place = values.firstIndex(where: { $0.name == pair.name }), !repeatable.contains(pair.name) {
                // A page token follows the empty one that has asked for the first page.
                guard pair.name == "page_token", values[place].value.isEmpty else {
                    throw QueryError(400, "repeated_parameter", "parameter \"\(pair.name)\" is given twice")
                }
                values[place].value = value
                continue
            }
            values.append((pair.name, value))
        }
    }

    /// The value, or nil if the parameter is not there or empty: `&from=&to=` is what forms send for "any".
    func text(_ name: String) -> String? {
        for pair in values where pair.name == name { return pair.value.isEmpty ? nil : pair.value }
        return nil
    }

    /// All values, split at commas; empty pieces are left out.
    func list(_ name: String) -> [String] {
        var pieces: [String] = []
        for pair in values where pair.name == name {
            for piece in pair.value.utf8.split(separator: UInt8(ascii: ",")) {
                let piece = Self.trimmed(piece)
                if !piece.isEmpty { pieces.append(piece) }
            }
        }
        return pieces
    }

    /// Whether the parameter is there at all, if only empty.
    func has(_ name: String) -> Bool { values.contains { $0.name == name } }

    /// An integer in `range`.
    func integer(_ name: String, in range: ClosedRange<Int>) throws(QueryError) -> Int? {
        guard let text = text(name) else { return nil }
        let isDigits = text.utf8.allSatisfy { $0 &- 0x30 < 10 }
        guard isDigits, let value = Int(text), range.contains(value) else {
            throw Self.invalid(name, text, allowed: Self.describe(range))
        }
        return value
    }

    /// One of `choices`.
    func choice(_ name: String, _ choices: [String]) throws(QueryError) -> String? {
        guard let text = text(name) else { return nil }
        guard choices.contains(text) else {
            throw Self.invalid(name, text, allowed: "one of " + choices.joined(separator: ", "))
        }
        return text
    }

    // MARK: Errors

    static func describe(_ range: ClosedRange<Int>) -> String {
        range.upperBound == .max
            ? "an integer from \(range.lowerBound)" : "an integer from \(range.lowerBound) to \(range.upperBound)"
    }

    /// 400 that names parameter, value and what is allowed.
    static func invalid(_ name: String, _ value: String, allowed: String, hint: String? = nil) -> QueryError {
        let shown = value.count > 80 ? value.prefix(80) + "…" : value[...]
        return QueryError(
            400, "invalid_parameter", "invalid value for parameter \"\(name)\": \"\(shown)\"",
            details: "Allowed: \(allowed).", hint: hint)
    }

    static func missing(_ name: String, allowed: String) -> QueryError {
        QueryError(400, "missing_parameter", "parameter \"\(name)\" is missing", details: "Allowed: \(allowed).")
    }

    static func unknown(_ name: String, known: [String]) -> QueryError {
        let shown = name.count > 80 ? name.prefix(80) + "…" : name[...]
        return QueryError(
            400, "unknown_parameter", "unknown parameter \"\(shown)\"",
            details: known.isEmpty ? "None is known here." : "Known here: \(known.joined(separator: ", ")).",
            hint: (meant[name.lowercased()]?.first(where: known.contains) ?? closest(to: name, known)).map {
                "Perhaps you meant \"\($0)\"."
            })
    }

    /// What other services call our parameters, in small letters.
    private static let meant: [String: [String]] = [
        "resolution": ["timeframe", "interval"], "interval": ["timeframe"], "timeframe": ["interval", "timeframes"],
        "granularity": ["timeframe", "interval"], "period": ["timeframe", "interval"],
        "start": ["from"], "starttime": ["from"], "start_time": ["from"], "period1": ["from"], "since": ["from"],
        "end": ["to"], "endtime": ["to"], "end_time": ["to"], "period2": ["to"], "until": ["to"],
        "q": ["search"], "query": ["search"], "name": ["search"],
        "ticker": ["symbol", "symbols"], "tickers": ["symbols", "symbol"], "pair": ["symbol", "symbols"],
        "sort": ["order"], "order_by": ["order"], "page_size": ["limit"], "per_page": ["limit"], "count": ["limit"],
        "cursor": ["page_token"], "page": ["page_token"],
    ]

    /// The name that takes the fewest edits (Levenshtein) to get to, if it takes few.
    static func closest(to name: String, _ candidates: [String]) -> String? {
        let wanted = Array(name.lowercased().utf8.prefix(64))
        let ranked = candidates.map { (name: $0, distance: distance(wanted, Array($0.utf8))) }
        guard let best = ranked.min(by: { $0.distance < $1.distance }) else { return nil }
        return best.distance <= max(2, best.name.utf8.count / 2) ? best.name : nil
    }

    private static func distance(_ a: [UInt8], _ b: [UInt8]) -> Int {
        var row = Array(0...b.count)
        for (i, x) in a.enumerated() {
            var diagonal = row[0]
            row[0] = i + 1
            for (j, y) in b.enumerated() {
                let substituted = diagonal + (x == y ? 0 : 1)
                diagonal = row[j + 1]
                row[j + 1] = min(substituted, row[j] + 1, row[j + 1] + 1)
            }
        }
        return row[b.count]
    }

    private static func trimmed(_ text: Substring.UTF8View) -> String {
        var bytes = text
        while bytes.first == 0x20 { bytes.removeFirst() }
        while bytes.last == 0x20 { bytes.removeLast() }
        return String(Substring(bytes))
    }
}
