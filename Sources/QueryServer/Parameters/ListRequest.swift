// SPDX-License-Identifier: Apache-2.0
// What a request for a list asks for.

import HTTP
import Market

/// A page of a list, checked as far as can be without PostgreSQL.
struct ListRequest {
    var resource: ListResource
    /// In bytewise order, without repeats; nil for all.
    var symbols: [String]?
    /// The values of the resource's filters, in their order; nil where there is no condition.
    var filters: [String?]
    /// Part of a name.
    var search: String?
    var range: TimeRange
    var limit: Int
    var isDescending: Bool
    var page: KeyToken?
    var format: ReplyFormat
    /// Times as epoch milliseconds instead of RFC 3339.
    var timeInMilliseconds: Bool

    /// What a page token must agree in.
    var scope: String { Self.scope(resource, isDescending, filters) }

    /// - Parameter now: what `now` means.
    init(
        _ resource: ListResource, _ query: QueryParameters, accept: [String], now: Timestamp,
        _ configuration: QueryServer.Configuration
    ) throws(QueryError) {
        let reader = try ParameterReader(query, known: resource.parameters, repeatable: ["symbol", "symbols"])
        self.resource = resource
        symbols = try MarketRequest.symbols(reader, limit: configuration.symbolLimit)
        filters = []
        for filter in resource.filters {
            let value = try filter.choices.map { choices throws(QueryError) in
                // Timeframes have other names, too.
                if filter.parameter == "timeframe", let text = reader.text("timeframe"),
                    let name = BarInterval(text)?.name, choices.contains(name)
                {
                    return name as String?
                }
                return try reader.choice(filter.parameter, choices)
            }
            filters.append((value ?? reader.text(filter.parameter)) ?? filter.standard)
        }
        search = reader.text("search")
        range = try TimeRange(reader, now: now)
        limit = try reader.integer("limit", in: 1...configuration.pageSizeLimit) ?? configuration.pageSizeDefault
        isDescending = try reader.choice("order", ["asc", "desc"]).map { $0 == "desc" } ?? resource.isDescending
        timeInMilliseconds = try reader.choice("time", ["iso", "ms"]) == "ms"
        if let name = try reader.choice("format", ReplyFormat.rest.map(\.rawValue)),
            let format = ReplyFormat(rawValue: name)
        {
            self.format = format
        } else {
            format = try ReplyFormat(accept: accept)
        }
        page = try KeyToken.read(
            reader, scope: Self.scope(resource, isDescending, filters), count: resource.key.count)
    }

    private static func scope(_ resource: ListResource, _ isDescending: Bool, _ filters: [String?]) -> String {
        // What is filtered may change between pages without harm, except for what rows of one key differ in.
        let timeframe = zip(resource.filters, filters).first { $0.0.parameter == "timeframe" }?.1
        return [resource.name, timeframe, isDescending ? "desc" : "asc"].compactMap(\.self).joined(separator: " ")
    }

    /// The moment by which all rows have come, but for late ones; nil where there is none, or another each time.
    var closing: Timestamp? { resource.isSettled && !range.isRelative ? range.to : nil }
}
