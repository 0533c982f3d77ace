// SPDX-License-Identifier: Apache-2.0
// Forecasts over HTTP: one that is kept, and one that is made on request.

import Analytics
import Forecast
import HTTP
import Market
import Postgres

/// Answers with a list of one forecast: its parameters, its fan, its outcomes, a few paths.
struct ForecastQuery {
    let id: Int64
    let timeInMilliseconds: Bool

    func run(_ lease: Lease, _ response: ResponseWriter) async throws {
        let body = RowBody(response, contentType: "application/json", query: lease.query)
        try await lease.run(body) { connection in
            let own = RowEncoder(
                ListPlan.columns(.forecasts, timeInMilliseconds: timeInMilliseconds), layout: .object)
            body.bytes.appendText("{\"forecasts\":[")
            let found = try await send(
                Statement(name: "forecast", sql: ListPlan.select(.forecasts) + " where forecast_id = $1"), own,
                connection,
                lease, body)
            if found == 0 {
                throw QueryError(
                    404, "not_found", "there is no forecast \(id)", hint: "GET /api/v1/forecasts lists them.")
            }
            for (name, statement, encoder) in parts {
                // Before the closing brace of the forecast's own row.
                if name == "fan" { body.bytes.removeLast() }
                body.bytes.appendText(",\"\(name)\":[")
                _ = try await send(statement, encoder, connection, lease, body)
                body.bytes.append(UInt8(ascii: "]"))
            }
            body.bytes.appendText("}],\"next_page_token\":null}\n")
        }
        try await body.finish()
    }

    private var parts: [(String, Statement, RowEncoder)] {
        func encoder(_ columns: [(String, ValueForm)]) -> RowEncoder {
            RowEncoder(columns.map { .init(name: $0.0, form: $0.1) }, layout: .object)
        }
        let numbers = ["mean", "p05", "p25", "p50", "p75", "p95", "actual", "crps", "naive_crps"]
        return [
            (
                "fan",
                Statement(
                    name: "forecast_fan",
                    sql: "select step, ts, \(numbers.joined(separator: ", ")) from market.forecast_steps "
                        + "where forecast_id = $1 order by step"),
                encoder(
                    [("step", .scalar(.integer)), ("ts", .scalar(timeInMilliseconds ? .milliseconds : .time))]
                        + numbers.map { ($0, .scalar(.number)) })
            ),
            (
                "outcomes",
                Statement(
                    name: "forecast_outcomes",
                    sql: "select bin, price_low, price_high, count, density from market.forecast_outcomes "
                        + "where forecast_id = $1 order by bin"),
                encoder([
                    ("bin", .scalar(.integer)), ("price_low", .scalar(.number)), ("price_high", .scalar(.number)),
                    ("count", .scalar(.integer)), ("density", .scalar(.number)),
                ])
            ),
            (
                "sample_paths",
                Statement(
                    name: "forecast_paths",
                    sql: "select path, array_agg(price order by step) as prices from market.forecast_paths "
                        + "where forecast_id = $1 group by path order by path"),
                encoder([("path", .scalar(.integer)), ("prices", .array(.number))])
            ),
        ]
    }

    private func send(
        _ statement: Statement, _ encoder: RowEncoder, _ connection: PostgresConnection, _ lease: Lease, _ body: RowBody
    ) async throws -> Int {
        try lease.checkGoing()
        let rows = try await connection.stream(statement, [.int64(id)], deadline: lease.deadline)
        var count = 0
        while let row = try await rows.next() {
            if count > 0 { body.bytes.append(UInt8(ascii: ",")) }
            encoder.append(row, to: &body.bytes)
            count += 1
            body.rows += 1
            // The last byte of the forecast's own row is still needed.
            if body.isFull && body.rows > 1 { try await body.flush() }
        }
        return count
    }
}

extension QueryHandler {
    /// Bytes of a request for a forecast.
    private static let forecastBodyLimit = 16 * 1024

    /// `POST /api/v1/forecasts`: makes one, keeps it where that is possible, answers with the whole of it.
    func makeForecast(_ request: Request, _ response: ResponseWriter, _ lease: Lease) async throws {
        _ = try ParameterReader(try request.head.query(), known: [])
        guard let desk = configuration.forecasts else {
            throw QueryError(501, "not_available", "this server makes no forecasts")
        }
        let now = Self.now()
        let parameters = try ForecastParameters(
            try await request.collectJSON(upTo: Self.forecastBodyLimit, isRequired: true),
            seed: .random(in: 0...UInt64(Int64.max)), now: now)
        if parameters.store == true && !desk.canStore {
            throw QueryError(
                422, "not_available", "this server cannot keep forecasts",
                hint: "It needs TAPEDECK_DATABASE_URL, the writer's. Without \"store\" it answers and keeps nothing.")
        }
        var history = PriceHistory(bars: [])
        try await lease.run(response) { connection in
            do {
                history = try await ForecastStore(connection).history(parameters.request, deadline: lease.deadline)
            } catch let error as AnalyticsError {
                throw QueryError(error)
            }
        }
        let (forecast, id) = try await desk.make(
            parameters.request, history, at: now, stores: parameters.store ?? desk.canStore)
        var headers: Headers = ["Content-Type": "application/json", "X-Query-Id": lease.query.id]
        if let id { headers.add("Location", "/api/v1/forecasts/\(id)") }
        try await response.respond(id == nil ? .ok : .created, headers, ForecastText.json(forecast, id: id))
    }

    /// `GET /api/v1/forecasts/{id}`.
    func answerForecast(_ request: Request, _ response: ResponseWriter, _ lease: Lease) async throws {
        let reader = try ParameterReader(try request.head.query(), known: ["time", "format"])
        if let format = reader.text("format"), format != "json" {
            throw ParameterReader.invalid(
                "format", format, allowed: "json, as a forecast is a tree",
                hint: "In the tables forecast_steps, forecast_outcomes and forecast_paths are its rows, in any format.")
        }
        let text = try request.head.pathSegments().last ?? ""
        guard let id = Int64(text), id > 0 else {
            throw QueryError(
                404, "not_found", "there is no forecast \"\(text.prefix(40))\"",
                hint: "A forecast has a number; GET /api/v1/forecasts lists them.")
        }
        try await ForecastQuery(id: id, timeInMilliseconds: try reader.choice("time", ["iso", "ms"]) == "ms")
            .run(lease, response)
    }
}

/// A forecast that was just made, as JSON: the same list of one as of one that was kept.
enum ForecastText {
    static func json(_ forecast: MadeForecast, id: Int64?) -> [UInt8] {
        let request = forecast.request
        var json: [UInt8] = []
        json.appendText("{\"forecasts\":[{\"forecast_id\":\(id.map(String.init) ?? "null"),\"symbol\":")
        json.appendJSONString(request.symbol)
        json.appendText(
            ",\"made_at\":\"\(forecast.madeAt)\",\"model\":\"gbm\",\"spot\":\(number(forecast.spot))"
                + ",\"spot_ts\":\"\(forecast.spotTime)\",\"drift\":\(number(forecast.drift))"
                + ",\"volatility\":\(number(forecast.volatility)),\"step_seconds\":\(number(request.stepSeconds))"
                + ",\"steps\":\(request.steps),\"paths\":\(request.paths),\"seed\":\"\(request.seed)\"")
        json.appendText(
            ",\"lookback\":\(forecast.returns == nil ? "null" : "\"\(request.lookbackText)\"")"
                + ",\"timeframe\":\"\(request.timeframe.name)\",\"price\":\"\(request.price.rawValue)\""
                + ",\"time_base\":\"\(request.timeBase.rawValue)\""
                + ",\"returns\":\(forecast.returns.map(String.init) ?? "null")"
                + ",\"antithetic\":\(request.isAntithetic),\"made_by\":\"api\",\"fan\":[")
        let names = ["p05", "p25", "p50", "p75", "p95"]
        for (index, step) in forecast.result.fan.enumerated() {
            if index > 0 { json.append(UInt8(ascii: ",")) }
            json.appendText(
                "{\"step\":\(step.step),\"ts\":\"\(forecast.times[index])\",\"mean\":\(number(step.mean))")
            for (name, value) in zip(names, step.quantiles) { json.appendText(",\"\(name)\":\(number(value))") }
            json.appendText(",\"actual\":null,\"crps\":null,\"naive_crps\":null}")
        }
        json.appendText("],\"outcomes\":[")
        for (index, bin) in forecast.result.outcomes.enumerated() {
            json.appendText(
                "\(index > 0 ? "," : "")"
                    + "{\"bin\":\(index),\"price_low\":\(number(bin.low)),\"price_high\":\(number(bin.high))"
                    + ",\"count\":\(bin.count),\"density\":\(number(bin.density))}")
        }
        json.appendText("],\"sample_paths\":[")
        for (index, prices) in forecast.result.kept.enumerated() {
            json.appendText(
                "\(index > 0 ? "," : ""){\"path\":\(index),\"prices\":[\(prices.map(number).joined(separator: ","))]}")
        }
        json.appendText("]}],\"next_page_token\":null}\n")
        return json
    }

    /// A number as PostgreSQL writes it in text: the shortest that reads back the same, and whole ones without a point.
    private static func number(_ value: Double) -> String {
        var digits: [UInt8] = []
        digits.appendDigits(value)
        return String(decoding: digits, as: UTF8.self)
    }
}
