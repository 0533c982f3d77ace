// SPDX-License-Identifier: Apache-2.0
// In which format a reply is wanted: by `format=`, else by Accept (RFC 9110 §12.5.1).

import HTTP

/// The formats of replies.
enum ReplyFormat: String, CaseIterable {
    case json, objects, ndjson, csv

    /// What the REST resources offer.
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

    /// The format that `accept` (the values of all Accept fields) asks for: JSON if a JSON type is anywhere among them
    /// (Infinity sends `application/json;q=0.9,text/plain`), else what has the greatest weight, and of those the first that
    /// is named; JSON if there is no such field, and for "anything".
    init(accept: [String]) throws(QueryError) {
        var offered: ReplyFormat?
        var best = (weight: 0, rank: 0)
        for element in accept.joined(separator: ",").split(separator: ",") {
            let parts = element.split(separator: ";", omittingEmptySubsequences: false)
            let type = parts[0].filter { $0 != " " && $0 != "\t" }.lowercased()
            let (format, rank): (ReplyFormat, Int)
            switch type {
            case "application/json", "text/json", "text/html": (format, rank) = (.json, Self.always)
            case _ where type.hasSuffix("+json"): (format, rank) = (.json, Self.always)
            case "text/csv": (format, rank) = (.csv, 2)
            case "application/x-ndjson", "application/ndjson", "application/jsonl", "application/x-jsonlines":
                (format, rank) = (.ndjson, 2)
            case "application/*", "*/*": (format, rank) = (.json, 1)
            case "text/*": (format, rank) = (.csv, 1)
            default: continue
            }
            let weight = parts.dropFirst().lazy.compactMap(Self.weight).first ?? 1000
            if weight == 0 { continue }
            let place = (weight: rank == Self.always ? .max : weight, rank: rank)
            if place > best { (offered, best) = (format, place) }
        }
        // A field without elements asks for nothing (RFC 9110 §12.5.1).
        let isEmpty = accept.allSatisfy { $0.allSatisfy { $0 == " " || $0 == "\t" || $0 == "," } }
        guard let format = isEmpty ? .json : offered else {
            throw QueryError(
                406, "not_acceptable", "no format that the Accept header names is offered",
                details: "Offered are application/json, application/x-ndjson and text/csv.",
                hint: "Leave Accept out, or name the format with format=.")
        }
        self = format
    }

    /// Of types that are taken whatever their weight.
    private static let always = 3

    /// The weight that a parameter of a media range gives it, in thousandths (RFC 9110 §12.4.2); nil for another parameter.
    static func weight(_ parameter: Substring) -> Int? {
        let text = parameter.filter { $0 != " " && $0 != "\t" }.lowercased()
        guard text.hasPrefix("q="), let value = Double(text.dropFirst(2)), value.isFinite else {
            return nil
        }
        return Int(min(max(value, 0), 1) * 1000)
    }
}
