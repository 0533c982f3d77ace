// SPDX-License-Identifier: Apache-2.0
// Which paths there are.

import HTTP

/// A resource: where it is, and what may be done with it.
enum Route: CaseIterable, Sendable {
    case index, live, ready, health, version
    case sql, bars, trades, latest, symbols
    case candles

    /// The path, which is also the name under which requests are counted.
    var path: StaticString {
        switch self {
        case .index: "/"
        case .live: "/live"
        case .ready: "/ready"
        case .health: "/health"
        case .version: "/version"
        case .sql: "/api/v1/sql"
        case .bars: "/api/v1/bars"
        case .trades: "/api/v1/trades"
        case .latest: "/api/v1/latest"
        case .symbols: "/api/v1/symbols"
        case .candles: "/grafana/candles"
        }
    }

    /// What it is for, in the index.
    var summary: StaticString {
        switch self {
        case .index: "This list."
        case .live: "200 while the process serves."
        case .ready: "200 while the database answers, else 503."
        case .health: "The state of the server and of the database."
        case .version: "The version of the server."
        case .sql: "Runs one read-only SQL statement: ?query=, or POST it."
        case .bars: "Price bars: symbol, timeframe, from, to."
        case .trades: "Trades: symbol, from, to."
        case .latest: "The latest trade of each symbol."
        case .symbols: "Symbols that have traded or are known: search."
        case .candles: "Bars of one symbol for Grafana's candlestick panel."
        }
    }

    /// Whether POST does what GET does. HEAD and OPTIONS are understood everywhere.
    var allowsPost: Bool { self == .sql }

    var allow: String { allowsPost ? "GET, HEAD, POST, OPTIONS" : "GET, HEAD, OPTIONS" }

    /// The resource of a path.
    init(_ head: RequestHead) throws(QueryError) {
        guard let route = Self.allCases.first(where: { head.pathIs($0.path) }) else { throw Self.notFound(head) }
        self = route
    }

    private static func notFound(_ head: RequestHead) -> QueryError {
        let path = (try? head.path()) ?? "?"
        let candidates = allCases.map { "\($0.path)" }
        return QueryError(
            404, "not_found", "no such resource",
            hint: ParameterReader.closest(to: path, candidates).map { "Perhaps you meant \($0)." }
                ?? "GET / lists the resources.")
    }
}
