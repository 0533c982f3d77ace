// SPDX-License-Identifier: Apache-2.0
// Which paths there are.

import HTTP

/// A resource: where it is, and what may be done with it.
enum Route: CaseIterable, Sendable {
    case index, live, ready, health, metrics, version
    case sql, queries, query
    case bars, indicators, trades, latest, symbols, alerts
    case quotes, instruments, instrument
    case posts, sentiment, forecasts, forecast
    case rejected, sources
    case tables, table
    case openAPI, openAPIYAML, docs, docsFile, consoleFile
    case stream, socket
    case grafanaSeries, candles, grafanaLast, grafanaTable, annotations, grafanaSymbols, grafanaLogs
    case simpod, simpodMetrics, simpodOptions, simpodQuery, simpodVariable, simpodTagKeys, simpodTagValues
    case simpodSearch, simpodAnnotations
    case finnhubQuote, finnhubCandles, yahooChart, alpacaBars
    case binancePing, binanceTime, binanceExchange, binanceKlines

    /// ``path``, under which requests are counted. Each is made once.
    var name: String { Self.names[self] ?? "" }

    private static let names = Dictionary(uniqueKeysWithValues: allCases.map { ($0, "\($0.path)") })

    /// The path, with a name in braces for what stands in its place.
    var path: StaticString {
        switch self {
        case .index: "/"
        case .live: "/live"
        case .ready: "/ready"
        case .health: "/health"
        case .metrics: "/metrics"
        case .version: "/version"
        case .sql: "/api/v1/sql"
        case .queries: "/api/v1/queries"
        case .query: "/api/v1/queries/{id}"
        case .bars: "/api/v1/bars"
        case .indicators: "/api/v1/indicators"
        case .trades: "/api/v1/trades"
        case .latest: "/api/v1/latest"
        case .symbols: "/api/v1/symbols"
        case .alerts: "/api/v1/alerts"
        case .quotes: "/api/v1/quotes"
        case .instruments: "/api/v1/instruments"
        case .instrument: "/api/v1/instruments/{symbol}"
        case .posts: "/api/v1/posts"
        case .sentiment: "/api/v1/sentiment"
        case .forecasts: "/api/v1/forecasts"
        case .forecast: "/api/v1/forecasts/{id}"
        case .rejected: "/api/v1/rejected"
        case .sources: "/api/v1/sources"
        case .openAPI: "/openapi.json"
        case .openAPIYAML: "/openapi.yaml"
        case .docs: "/docs"
        case .docsFile: "/docs/{file}"
        case .consoleFile: "/console/{file}"
        case .tables: "/api/v1/tables"
        case .table: "/api/v1/tables/{table}"
        case .stream: "/api/v1/stream"
        case .socket: "/api/v1/ws"
        case .grafanaSeries: "/grafana/series"
        case .candles: "/grafana/candles"
        case .grafanaLast: "/grafana/last"
        case .grafanaTable: "/grafana/table"
        case .annotations: "/grafana/annotations"
        case .grafanaSymbols: "/grafana/symbols"
        case .grafanaLogs: "/grafana/logs"
        case .simpod: "/simpod"
        case .simpodMetrics: "/simpod/metrics"
        case .simpodOptions: "/simpod/metric-payload-options"
        case .simpodQuery: "/simpod/query"
        case .simpodVariable: "/simpod/variable"
        case .simpodTagKeys: "/simpod/tag-keys"
        case .simpodTagValues: "/simpod/tag-values"
        case .simpodSearch: "/simpod/search"
        case .simpodAnnotations: "/simpod/annotations"
        case .finnhubQuote: "/api/v1/quote"
        case .finnhubCandles: "/api/v1/stock/candle"
        case .binancePing: "/api/v3/ping"
        case .binanceTime: "/api/v3/time"
        case .binanceExchange: "/api/v3/exchangeInfo"
        case .binanceKlines: "/api/v3/klines"
        case .yahooChart: "/v8/finance/chart/{symbol}"
        case .alpacaBars: "/v2/stocks/bars"
        }
    }

    /// What it is for, in the index.
    var summary: StaticString {
        switch self {
        case .index: "The console, for browsers; for others this list."
        case .live: "200 while the process serves."
        case .ready: "200 while the database answers, else 503."
        case .health: "The state of the server and of the database."
        case .metrics: "Counts, gauges and latencies, as Prometheus reads them."
        case .version: "The version of the server."
        case .sql: "Runs one read-only SQL statement: ?query=, or POST it."
        case .queries: "The queries that wait or run now."
        case .query: "Cancels a query."
        case .bars: "Price bars: symbol, timeframe, from, to."
        case .indicators: "Technical indicators of bars: symbol, timeframe, from, to."
        case .trades: "Trades: symbol, from, to."
        case .latest: "The latest trade of each symbol."
        case .rejected: "Records that validation refused, with reason and payload: reason, topic, from, to."
        case .sources: "The sources: what came from each, and when."
        case .quotes: "Snapshots of the trading day: symbol, source, from, to."
        case .instruments: "What is known of instruments: symbol, search, sector, exchange."
        case .instrument: "What is known of one instrument."
        case .symbols: "Symbols that have traded or are known: search."
        case .alerts: "Bars that went beyond a threshold: symbol, from, to."
        case .posts: "Posts of Reddit: symbol, subreddit, kind, from, to."
        case .sentiment: "Sentiment over time: symbol, timeframe, from, to."
        case .forecasts: "Forecasts that were made: symbol, from, to. POST makes one."
        case .forecast: "One forecast: its fan, outcomes and a few paths."
        case .openAPI: "The contract of this interface: OpenAPI 3.1."
        case .openAPIYAML: "The same as YAML."
        case .docs: "The contract as a page for people."
        case .docsFile: "What the page is made of."
        case .consoleFile: "What the console is made of."
        case .tables: "The tables and views, with their columns."
        case .table: "Rows of any table or view, by PostgREST's grammar: select, order, limit, column=operator.value."
        case .stream: "Trades and bars as they are committed (server-sent events): symbols, channels, timeframes."
        case .socket: "Trades as they are committed, in Finnhub's frames (WebSocket)."
        case .grafanaSeries: "Lines for Grafana: symbols, field, from, to, maxDataPoints."
        case .candles: "Bars of one symbol for Grafana's candlestick panel."
        case .grafanaLast: "The latest trade, day and 52 weeks of symbols, for Grafana's stats and gauges."
        case .grafanaTable: "Tables for Grafana: name, from, to, limit."
        case .annotations: "Alerts, gaps and forecasts, for Grafana to mark in charts."
        case .grafanaSymbols: "Symbols as the values of a variable of Grafana's: search."
        case .grafanaLogs: "Lines for Grafana's logs panel: kind, from, to."
        case .simpod: "200 for the test of Grafana's JSON data source (simpod), whose address this is."
        case .simpodMetrics: "What the JSON data source can ask for."
        case .simpodOptions: "What a parameter of a metric may be."
        case .simpodQuery: "The data of a panel of the JSON data source."
        case .simpodVariable: "The values of a variable of the JSON data source."
        case .simpodTagKeys: "What the JSON data source can filter by."
        case .simpodTagValues: "The values of a filter of the JSON data source."
        case .simpodSearch: "The names of metrics, for old versions of the JSON data source."
        case .simpodAnnotations: "Annotations, for old versions of the JSON data source."
        case .finnhubQuote: "The latest price as Finnhub's clients read it: symbol."
        case .finnhubCandles: "Bars as Finnhub's clients read them: symbol, resolution, from, to."
        case .binancePing: "{}, for Binance's clients, which ask it before anything else."
        case .binanceTime: "The time of the server, for Binance's clients."
        case .binanceExchange: "The symbols as Binance's clients read them: symbol, symbols."
        case .binanceKlines: "Bars as Binance's clients read them: symbol, interval, startTime, endTime."
        case .yahooChart: "Bars as Yahoo's clients read them: interval, range, period1, period2."
        case .alpacaBars: "Bars as Alpaca's clients read them: symbols, timeframe, start, end."
        }
    }

    /// Who may.
    var access: Access {
        switch self {
        case .index, .live, .ready, .health, .version, .openAPI, .openAPIYAML, .docs, .docsFile, .consoleFile,
            .binancePing, .binanceTime:
            .open
        // Of queries, each sees its own.
        case .metrics, .queries, .query: .anyKey
        case .sql: .scope(.sql)
        default: .scope(.rest)
        }
    }

    /// What may be done with it. HEAD is understood where GET is, OPTIONS everywhere.
    var methods: [Method] {
        switch self {
        case .sql, .forecasts: [.get, .post]
        case .simpodMetrics, .simpodOptions, .simpodQuery, .simpodVariable, .simpodTagKeys, .simpodTagValues,
            .simpodSearch, .simpodAnnotations:
            [.post]
        case .query: [.delete]
        default: [.get]
        }
    }

    var allow: String {
        let names = methods.flatMap { $0 == .get ? ["GET", "HEAD"] : [$0.name] } + ["OPTIONS"]
        return names.joined(separator: ", ")
    }

    /// Other spellings: Finnhub's Python client puts a slash between a base URL and a path that begins with one.
    private static let aliases: [(path: StaticString, route: Route)] = [
        ("/api/v1//quote", .finnhubQuote), ("/api/v1//stock/candle", .finnhubCandles),
        // An address that ends with a slash.
        ("/simpod/", .simpod),
    ]

    /// The resource of a path.
    init(_ head: RequestHead) throws(QueryError) {
        if let route = Self.allCases.first(where: { head.pathIs($0.path) }) {
            self = route
        } else if let route = Self.aliases.first(where: { head.pathIs($0.path) })?.route {
            self = route
        } else if Self.isBelow("/api/v1/queries/", head) {
            self = .query
        } else if Self.isBelow("/api/v1/forecasts/", head) {
            self = .forecast
        } else if Self.isBelow("/api/v1/instruments/", head) {
            self = .instrument
        } else if Self.isBelow("/api/v1/tables/", head) {
            self = .table
        } else if Self.isBelow("/docs/", head) || head.pathIs("/docs/") {
            self = .docsFile
        } else if head.rawPath.starts(with: "/console/".utf8) {
            self = .consoleFile
        } else if Self.isBelow("/v8/finance/chart/", head) {
            self = .yahooChart
        } else {
            throw Self.notFound(head)
        }
    }

    /// Whether the path is one more piece after `prefix`.
    private static func isBelow(_ prefix: String, _ head: RequestHead) -> Bool {
        let path = head.rawPath
        return path.starts(with: prefix.utf8) && path.count > prefix.utf8.count
            && !path.dropFirst(prefix.utf8.count).contains(UInt8(ascii: "/"))
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

extension Method {
    /// The token, of those that routes name.
    var name: String {
        switch self {
        case .get: "GET"
        case .post: "POST"
        case .delete: "DELETE"
        default: "?"
        }
    }
}
