// SPDX-License-Identifier: Apache-2.0
// PostgREST's `Accept: application/vnd.pgrst.plan`: how PostgreSQL would read the rows, instead of the rows.

/// A request for the plan of a statement, which is not run.
struct TableExplain: Equatable {
    /// What EXPLAIN may tell beyond the plan, in the order in which PostgREST names it.
    enum Option: String, CaseIterable {
        case analyze, verbose, settings, buffers, wal

        /// Whether the statement would have to be run.
        var runs: Bool { self == .analyze || self == .wal }
    }

    var isJSON: Bool
    var options: [Option] = []
    /// The reply whose plan is asked for; ours are all made of the same rows.
    var media = "application/json"

    private static let suffixes = ["": false, "+text": false, "+json": true]
    private static let medias = [
        "application/json": "application/json", "*/*": "application/json", "text/csv": "text/csv",
        "application/x-ndjson": "application/x-ndjson",
        "application/vnd.pgrst.array": "application/json", "application/vnd.pgrst.array+json": "application/json",
        "application/vnd.pgrst.object": "application/vnd.pgrst.object+json",
        "application/vnd.pgrst.object+json": "application/vnd.pgrst.object+json",
    ]

    /// Whether a media type, in lower case, asks for a plan.
    static func isNamed(by name: String) -> Bool { isJSON(name) != nil }

    /// Nil for another media type.
    private static func isJSON(_ name: String) -> Bool? {
        let ours = "application/vnd.pgrst.plan"
        return name.hasPrefix(ours) ? suffixes[String(name.dropFirst(ours.count))] : nil
    }

    /// Nil for another media type.
    ///
    /// - Parameter parts: of the media type, between semicolons: in lower case, without blanks.
    /// - Throws: 406 for what has no plan here.
    init?(_ parts: [String]) throws(QueryError) {
        guard let name = parts.first, let isJSON = Self.isJSON(name) else { return nil }
        self.isJSON = isJSON
        for part in parts.dropFirst() {
            if part.hasPrefix("options=") {
                let words = part.dropFirst(8).filter { $0 != "\"" }.split(separator: "|")
                options = Option.allCases.filter { words.contains($0.rawValue[...]) }
            } else if part.hasPrefix("for=") {
                guard let media = Self.medias[part.dropFirst(4).filter { $0 != "\"" }] else {
                    throw Self.refused("the plan of no such reply is offered", "Leave out for=.")
                }
                self.media = media
            }
        }
        if let option = options.first(where: \.runs) {
            throw Self.refused(
                "a plan with \"\(option.rawValue)\" is not offered, as the statement would be run for it",
                "Offered are verbose, settings and buffers; /api/v1/sql takes EXPLAIN (ANALYZE).")
        }
    }

    private static func refused(_ message: String, _ hint: String) -> QueryError {
        QueryError(406, "not_acceptable", message, hint: hint)
    }

    /// What makes a statement one that asks for its plan.
    var prefix: String {
        let words = options.map { $0.rawValue.uppercased() + ", " }.joined()
        return "EXPLAIN (\(words)FORMAT \(isJSON ? "JSON" : "TEXT")) "
    }

    /// The media type of the reply, as PostgREST writes it.
    var contentType: String {
        let words = options.isEmpty ? "" : "; options=" + options.map(\.rawValue).joined(separator: "|")
        return "application/vnd.pgrst.plan+\(isJSON ? "json" : "text"); for=\"\(media)\"\(words); charset=utf-8"
    }
}
