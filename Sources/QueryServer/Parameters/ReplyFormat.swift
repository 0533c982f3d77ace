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

    /// The format that `accept` (the values of all Accept fields) asks for: JSON if a JSON type is anywhere among
    /// them (Infinity sends `application/json;q=0.9,text/plain`), else CSV or NDJSON; JSON if there is no such field
    /// or anything goes.
    init(accept: [String]) throws(QueryError) {
        var offered: ReplyFormat?
        for element in accept.joined(separator: ",").split(separator: ",") {
            let parts = element.split(separator: ";", omittingEmptySubsequences: false)
            let type = parts[0].filter { $0 != " " && $0 != "\t" }.lowercased()
            if parts.dropFirst().contains(where: Self.isRefusal) { continue }
            switch type {
            case "application/json", "text/json", "application/*", "*/*", "text/html": offered = .json
            case _ where type.hasSuffix("+json"): offered = .json
            case "text/csv": offered = offered ?? .csv
            case "application/x-ndjson", "application/ndjson", "application/jsonl", "application/x-jsonlines":
                offered = offered ?? .ndjson
            default: continue
            }
            if offered == .json { break }
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

    /// `q=0`, with whatever zeros follow: not acceptable.
    static func isRefusal(_ parameter: Substring) -> Bool {
        let text = parameter.filter { $0 != " " && $0 != "\t" }.lowercased()
        return text.hasPrefix("q=0") && text.dropFirst(3).allSatisfy { $0 == "0" || $0 == "." }
    }
}
