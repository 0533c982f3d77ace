// SPDX-License-Identifier: Apache-2.0
// In which format a reply is wanted: by `format=`, else by Accept (RFC 9110 §12.5.1).

import HTTP

/// The formats of replies.
enum ReplyFormat: String, CaseIterable {
    case json, objects, ndjson, csv

    /// What the REST resources offer; the first is what "anything" gets.
    static let rest: [ReplyFormat] = [.json, .ndjson, .csv]

    var contentType: String {
        switch self {
        case .json, .objects: "application/json"
        case .ndjson: "application/x-ndjson"
        case .csv: "text/csv; charset=utf-8; header=present"
        }
    }

    var layout: RowEncoder.Layout {
        switch self {
        case .json: .array
        case .objects, .ndjson: .object
        case .csv: .csv
        }
    }

    /// How much a client wants a reply: by weight, then by how closely its type is named, then by who is named first.
    struct Preference: Comparable {
        var weight: Int
        var closeness: Int
        /// Of the range among those of Accept.
        var place: Int

        static func < (left: Preference, right: Preference) -> Bool {
            if left.weight != right.weight { return left.weight < right.weight }
            return left.closeness != right.closeness ? left.closeness < right.closeness : left.place > right.place
        }
    }

    /// The format that `accept` (the values of all Accept fields) asks for, of those that are offered; JSON if there is no
    /// such field.
    init(accept: [String], of offered: [ReplyFormat] = rest) throws(QueryError) {
        // What most clients send.
        if accept.isEmpty || accept == ["*/*"] || accept == ["application/json"] {
            self = .json
            return
        }
        self = try Self.wanted(MediaRange.all(accept).enumerated(), of: offered).format
    }

    /// The format that media ranges ask for, and how much; a field without any asks for nothing (RFC 9110 §12.5.1).
    ///
    /// What is not offered counts for nothing: Infinity's `application/json;q=0.9,text/plain` is JSON.
    static func wanted(
        _ ranges: some Sequence<(offset: Int, element: MediaRange)>, of offered: [ReplyFormat] = rest
    ) throws(QueryError) -> (format: ReplyFormat, preference: Preference) {
        var isEmpty = true
        // Of several ranges that a format is in, the closest one has the word.
        var preferences = offered.map { _ in Preference(weight: 0, closeness: 0, place: 0) }
        for (place, range) in ranges {
            isEmpty = false
            for (index, format) in offered.enumerated() {
                let preference = Preference(weight: range.weight, closeness: format.closeness(range.name), place: place)
                let known = preferences[index]
                let isCloser = preference.closeness > known.closeness
                if isCloser || preference.closeness == known.closeness && preference > known {
                    preferences[index] = preference
                }
            }
        }
        if isEmpty { return (.json, Preference(weight: 1000, closeness: 0, place: 0)) }
        var best: (format: ReplyFormat, preference: Preference)?
        for (format, preference) in zip(offered, preferences) where preference.weight > 0 && preference.closeness > 0 {
            if let best, best.preference >= preference { continue }
            best = (format, preference)
        }
        guard let best else {
            let isRest = offered == rest
            throw QueryError(
                406, "not_acceptable", "no format that the Accept header names is offered",
                details: "Offered are application/json\(isRest ? ", application/x-ndjson" : "") and text/csv.",
                hint: isRest ? "Leave Accept out, or name the format with format=." : "Leave Accept out for JSON.")
        }
        return best
    }

    /// How closely a media range names the format: 3 by its type, 2 by a part of it, 1 as anything, 0 not at all.
    private func closeness(_ range: String) -> Int {
        switch range {
        case "*/*": return 1
        case "application/*": return self == .csv ? 0 : 2
        // JSON has a name there too, but is not meant.
        case "text/*": return self == .csv ? 2 : 0
        case "text/csv": return self == .csv ? 3 : 0
        case "application/x-ndjson", "application/ndjson", "application/jsonl", "application/x-jsonlines":
            return self == .ndjson ? 3 : 0
        // What browsers ask for is read by people.
        case "application/json", "text/json", "text/html": return self == .json ? 3 : 0
        default: return self == .json && range.hasSuffix("+json") ? 3 : 0
        }
    }
}
