// SPDX-License-Identifier: Apache-2.0
// What a request for rejected records asks for.

import HTTP
import Market

/// A page of rejected records, newest first unless asked otherwise.
struct RejectedRequest {
    static let names = ["reason", "topic", "symbol", "from", "to", "limit", "order", "page_token"]

    var reason: String?
    /// The topic that the refused record stands in, as in `trades.staging`.
    var topic: String?
    var symbol: String?
    /// Of the moment of refusal.
    var range: TimeRange
    var limit: Int
    var isDescending: Bool
    var page: PageToken?

    var scope: String { "rejected \(isDescending ? "desc" : "asc")" }

    init(_ query: QueryParameters, now: Timestamp, _ configuration: QueryServer.Configuration) throws(QueryError) {
        let reader = try ParameterReader(query, known: Self.names)
        reason = try reader.choice("reason", RejectionReason.allCases.map(\.rawValue))
        topic = reader.text("topic")
        symbol = reader.text("symbol")
        range = try TimeRange(reader, now: now)
        limit = try reader.integer("limit", in: 1...configuration.pageSizeLimit) ?? configuration.pageSizeDefault
        isDescending = try reader.choice("order", ["asc", "desc"]) != "asc"
        page = nil
        page = try PageToken.read(reader, scope: scope)
    }
}
