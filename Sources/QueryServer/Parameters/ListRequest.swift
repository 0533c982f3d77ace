// SPDX-License-Identifier: Apache-2.0
// What a request for posts, sentiment or forecasts asks for.

import HTTP
import Market

/// The lists of what people write and what may come.
enum ListResource: String, Sendable {
    case posts, sentiment, forecasts

    /// The parameters it knows.
    var names: [String] {
        let own: [String] =
            switch self {
            case .posts: ["subreddit", "kind"]
            case .sentiment: ["timeframe"]
            case .forecasts: []
            }
        return ["symbol", "symbols"] + own + ["from", "to", "limit", "order", "page_token", "format", "time"]
    }
}

/// A page of a list, checked as far as can be without PostgreSQL. Newest first, unless the request says otherwise.
struct ListRequest {
    var resource: ListResource
    /// In bytewise order, without repeats; nil for all.
    var symbols: [String]?
    var subreddit: String?
    var kind: String?
    var timeframe: String
    var range: TimeRange
    var limit: Int
    var isDescending: Bool
    var page: PageToken?
    var format: ReplyFormat
    /// Times as epoch milliseconds instead of RFC 3339.
    var timeInMilliseconds: Bool

    /// The timeframes of sentiment, from a minute up.
    static let timeframes = Timeframe.allCases.filter { $0 >= .minute1 }.map(\.name)

    /// What a page token must agree in.
    var scope: String { "\(resource.rawValue) \(timeframe) \(isDescending ? "desc" : "asc")" }

    /// - Parameter now: what `now` means.
    init(
        _ resource: ListResource, _ query: QueryParameters, accept: [String], now: Timestamp,
        _ configuration: QueryServer.Configuration
    ) throws(QueryError) {
        let reader = try ParameterReader(query, known: resource.names, repeatable: ["symbol", "symbols"])
        self.resource = resource
        symbols = try MarketRequest.symbols(reader, limit: configuration.symbolLimit)
        subreddit = reader.text("subreddit")
        kind = try reader.choice("kind", ["comment", "submission"])
        timeframe = try reader.choice("timeframe", Self.timeframes) ?? "1h"
        range = try TimeRange(reader, now: now)
        limit = try reader.integer("limit", in: 1...configuration.pageSizeLimit) ?? configuration.pageSizeDefault
        isDescending = try reader.choice("order", ["asc", "desc"]) != "asc"
        timeInMilliseconds = try reader.choice("time", ["iso", "ms"]) == "ms"
        if let name = try reader.choice("format", ReplyFormat.rest.map(\.rawValue)),
            let format = ReplyFormat(rawValue: name)
        {
            self.format = format
        } else {
            format = try ReplyFormat(accept: accept)
        }
        page = try PageToken.read(
            reader, scope: "\(resource.rawValue) \(timeframe) \(isDescending ? "desc" : "asc")")
    }
}
