// SPDX-License-Identifier: Apache-2.0
// What Binance's clients ask of the exchange before they ask for bars.

import HTTP
import Market
import Postgres

extension QueryHandler {
    /// `GET /api/v3/ping` and `/api/v3/time`.
    func answerBinance(_ route: Route, _ request: Request, _ response: ResponseWriter) async throws {
        _ = try ParameterReader(try request.head.query(), known: [])
        guard route == .binanceTime else { return try await respond(response, "{}\n") }
        let isFine = try DropInRequest.timeInMicroseconds(request.head)
        try await respond(
            response, "{\"serverTime\":\(ExchangeQuery.time(Self.now(), inMicroseconds: isFine))}\n",
            vary: DropInRequest.timeUnitName)
    }

    /// `GET /api/v3/exchangeInfo`.
    func answerExchange(_ request: Request, _ response: ResponseWriter, _ id: QueryID) async throws {
        let asked = try ExchangeRequest(try request.head.query(), request.head, configuration)
        let lease = lease(request, .queries, .rest, request.head.target, id)
        let body = RowBody(response, contentType: ReplyFormat.json.contentType, query: lease.query)
        // It tells the time.
        body.add(nil)
        body.advice = "Name some of the symbols."
        try await ExchangeQuery(request: asked, now: Self.now(), body: body).run(lease)
    }
}

/// Binance's `exchangeInfo?symbol|symbols&permissions&symbolStatus`.
struct ExchangeRequest: Equatable {
    /// As the client calls them; nil for all.
    var symbols: [String]?
    /// Nil for any.
    var status: String?
    /// Whether what is on the spot market is asked for, which is all that is here.
    var includesSpot = true
    var timeInMicroseconds = false

    init(
        _ query: QueryParameters, _ head: RequestHead, _ configuration: QueryServer.Configuration
    ) throws(QueryError) {
        let reader = try ParameterReader(
            query, known: ["symbol", "symbols", "permissions", "showPermissionSets", "symbolStatus"])
        timeInMicroseconds = try DropInRequest.timeInMicroseconds(head)
        let one = reader.text("symbol")
        if one != nil && reader.text("symbols") != nil {
            throw QueryError(400, "invalid_parameter", "\"symbol\" and \"symbols\" exclude each other")
        }
        if let one {
            symbols = [one]
        } else {
            symbols = try Self.list(reader, "symbols", allowed: "a JSON array, as in [\"A\",\"B\"]")
        }
        for symbol in symbols ?? [] { try MarketRequest.check(symbol, one == nil ? "symbols" : "symbol") }
        if let symbols, symbols.count > configuration.symbolLimit {
            throw QueryError(400, "too_many_symbols", "more than \(configuration.symbolLimit) symbols")
        }
        if let text = reader.text("permissions") {
            let named = text.hasPrefix("[") ? try Self.list(reader, "permissions", allowed: "a JSON array") : [text]
            includesSpot = named?.contains("SPOT") == true
        }
        _ = try reader.choice("showPermissionSets", ["true", "false"])
        status = try reader.choice("symbolStatus", ["TRADING", "HALT", "BREAK"])
    }

    private static func list(
        _ reader: ParameterReader, _ name: String, allowed: String
    ) throws(QueryError) -> [String]? {
        guard let text = reader.text(name) else { return nil }
        var texts: [String] = []
        if case .array(let values)? = try? JSONReader.read(Array(text.utf8)) {
            for case .string(let value) in values { texts.append(value) }
            if texts.count == values.count && !texts.isEmpty { return texts }
        }
        throw ParameterReader.invalid(name, text, allowed: allowed)
    }
}
