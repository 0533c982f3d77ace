// SPDX-License-Identifier: Apache-2.0
// The paths of other services, and their errors.

import HTTP
import Market

extension QueryHandler {
    /// The bars of a request that one of the services' clients makes.
    ///
    /// - Parameter fields: of the head that `read` looks at.
    func answerDropIn(
        _ request: Request, _ response: ResponseWriter, _ id: QueryID, fields: [StaticString] = [],
        _ read: (QueryParameters, Timestamp) throws(QueryError) -> DropInRequest
    ) async throws {
        let now = Self.now()
        let asked = try read(try request.head.query(), now)
        guard
            case .send(let tags) = try await caching(
                request, response, format: .json, range: asked.range, fields: fields,
                // Yahoo's replies tell the hours of today.
                more: Array(" \(now.day)".utf8))
        else { return }
        let lane: Admission.Lane =
            asked.limit * asked.interval.barsEach > configuration.lookupRows && asked.range.from == nil
            ? .queries : .lookups
        let lease = lease(request, lane, .rest, request.head.target, id)
        let type = asked.isCSV ? ReplyFormat.csv.contentType : ReplyFormat.json.contentType
        let body = RowBody(response, contentType: type, query: lease.query)
        body.add(tags)
        body.advice = "Ask for a shorter range, or for wider bars."
        try await DropInQuery(request: asked, now: now, body: body).run(lease)
    }

    /// Finnhub's `GET /api/v1/quote?symbol=`.
    func answerDayQuote(_ request: Request, _ response: ResponseWriter, _ id: QueryID) async throws {
        let reader = try ParameterReader(try request.head.query(), known: ["symbol", "token"])
        guard let symbol = reader.text("symbol") else {
            throw ParameterReader.missing("symbol", allowed: "one symbol")
        }
        try MarketRequest.check(symbol, "symbol")
        guard
            case .send(let tags) = try await caching(
                request, response, format: .json, range: TimeRange())
        else { return }
        let lease = lease(request, .lookups, .rest, request.head.target, id)
        let body = RowBody(response, contentType: ReplyFormat.json.contentType, query: lease.query)
        body.add(tags)
        try await DayQuoteQuery(symbol: symbol).run(lease, body)
    }
}

extension Route {
    /// Whose clients read the errors of a path; nil for our own.
    var service: DropInRequest.Service? {
        switch self {
        case .finnhubQuote, .finnhubCandles: .finnhub
        case .binancePing, .binanceTime, .binanceExchange, .binanceKlines: .binance
        case .yahooChart: .yahoo
        case .alpacaBars: .alpaca
        default: nil
        }
    }
}

extension DropInRequest.Service {
    /// Whose paths begin as one does that there is not; nil where ours do. Finnhub's are among our own: its Python client
    /// puts a slash more in front of them, and others tell by what they are of.
    init?(below head: RequestHead) {
        let found = Self.prefixes.first { prefix, _ in
            guard head.rawPath.starts(with: prefix.utf8) else { return false }
            let next = head.rawPath.dropFirst(prefix.utf8.count).first
            return prefix.hasSuffix("/") || next == nil || next == UInt8(ascii: "/")
        }
        guard let found else { return nil }
        self = found.service
    }

    private static let prefixes: [(prefix: String, service: Self)] =
        [
            ("/api/v3/", .binance), ("/v8/finance/chart/", .yahoo), ("/v2/stocks/", .alpaca), ("/api/v1//", .finnhub),
        ] + finnhubSubjects.map { ("/api/v1/\($0)", .finnhub) }

    /// What Finnhub's paths begin with (its API documentation), but for what is nearly a name of ours.
    private static let finnhubSubjects = [
        "bond", "calendar", "company-news", "country", "crypto", "economic", "etf", "forex", "index",
        "institutional", "mutual-fund", "news", "news-sentiment", "press-releases", "scan", "search", "sector", "stock",
    ]

    /// Where clients of the service send their key.
    fileprivate var keyPlace: String {
        switch self {
        case .finnhub: "X-Finnhub-Token, or in the URL as token"
        case .binance: "X-MBX-APIKEY"
        case .yahoo: "X-API-Key"
        case .alpaca: "APCA-API-SECRET-KEY"
        }
    }
}

extension QueryError {
    /// The body of the error as the clients of a path read it.
    func body(of route: Route, _ id: QueryID) -> [UInt8] {
        if let service = route.service { return jsonBody(of: service) }
        return route.isSimpod ? simpodBody(id) : jsonBody(id)
    }

    /// The body of the error as a service has its own.
    func jsonBody(of service: DropInRequest.Service) -> [UInt8] {
        let hint = code == "key_required" ? "Send it as \(service.keyPlace)" : hint
        // Each part may be a sentence with its full stop, or without.
        let text = [message, details, hint].compactMap(\.self)
            .reduce("") { $0.isEmpty ? $1 : $0 + ($0.hasSuffix(".") ? " " : ". ") + $1 }
        var json: [UInt8] = []
        switch service {
        case .finnhub:
            json.appendText("{\"error\":")
            json.appendJSONString(text)
            json.appendText("}\n")
        case .binance:
            json.appendText("{\"code\":\(binanceCode),\"msg\":")
            json.appendJSONString(text)
            json.appendText("}\n")
        case .yahoo:
            let reason =
                switch status {
                case 401: "Unauthorized"
                case 404: "Not Found"
                case 429: "Too Many Requests"
                default: status < 500 ? "Bad Request" : "Internal Server Error"
                }
            json.appendText("{\"chart\":{\"result\":null,\"error\":{\"code\":")
            json.appendJSONString(reason)
            json.appendText(",\"description\":")
            json.appendJSONString(text)
            json.appendText("}}}\n")
        case .alpaca:
            json.appendText("{\"message\":")
            json.appendJSONString(text)
            json.appendText("}\n")
        }
        return json
    }

    /// Binance's numbers (its spot API documentation, "Error codes").
    private var binanceCode: Int {
        switch code {
        case "unknown_symbol": -1121
        case "missing_parameter": -1102
        case "unknown_parameter": -1101
        case "repeated_parameter": -1101
        case "invalid_parameter" where message.contains("\"interval\""): -1120
        case "invalid_parameter" where message.contains("\"\(DropInRequest.timeUnitName)\":"): -1194
        case "invalid_parameter": -1130
        // "API-key format invalid." and "Invalid API-key, IP, or permissions for action."
        case "key_required": -2014
        case "key_invalid", "scope_missing": -2015
        default: status == 429 || status == 503 ? -1003 : status < 500 ? -1100 : -1000
        }
    }
}
