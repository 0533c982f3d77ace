// SPDX-License-Identifier: Apache-2.0

import Forecast
import Glibc
package import Market
package import Postgres
package import EventLoop

/// Reads the prices that forecasts are made from, writes forecasts, and scores them when the prices have come.
package struct ForecastStore {
    private let connection: PostgresConnection

    package init(_ connection: PostgresConnection) { self.connection = connection }

    // MARK: Prices

    /// The last bar of the symbol, and those of the look-back before it.
    package func history(
        _ request: ForecastRequest, deadline: MonotonicTime? = nil
    ) async throws -> PriceHistory {
        let rows = try await connection.query(
            Self.selectHistory,
            [
                .text(request.symbol, as: .text), .text(request.timeframe.name, as: .text),
                .timestamp(request.until?.microseconds ?? .max), .int64(request.lookbackSeconds),
                .int64(Int64(ForecastRequest.barLimit) + 1),
            ], deadline: deadline)
        if rows.count > ForecastRequest.barLimit {
            throw AnalyticsError(
                .invalid, "the look-back of \(request.lookbackText) holds more than \(ForecastRequest.barLimit) bars",
                hint: "Take a coarser timeframe.")
        }
        return PriceHistory(
            bars: try rows.map { row in
                PriceHistory.Bar(
                    start: Timestamp(microseconds: try row.timestamp(0)), close: try row.double(1),
                    vwap: try row.doubleOrNil(2))
            })
    }

    private static let selectHistory = Statement(
        name: "forecast_history",
        sql: """
            select b.ts, b.close, b.vwap
            from (select max(ts) as ts from market.bars where symbol = $1 and timeframe = $2 and ts < $3) as newest,
                lateral (
                    select ts, close, vwap from market.bars
                    where symbol = $1 and timeframe = $2 and ts <= newest.ts
                        and ts >= newest.ts - $4 * interval '1 second'
                    order by ts desc limit $5
                ) as b
            order by b.ts
            """)

    /// The symbols that traded last, busiest by the number of trades of their last day first.
    package func activeSymbols(limit: Int, since: Timestamp) async throws -> [String] {
        let rows = try await connection.query(
            """
            select l.symbol from market.latest l
                join lateral (select trade_count from market.bars b where b.symbol = l.symbol and b.timeframe = '1d'
                    order by b.ts desc limit 1) as d on true
            where l.ts >= $2 order by d.trade_count desc, l.symbol limit $1
            """, [.int64(Int64(limit)), .timestamp(since.microseconds)])
        return try rows.map { try $0.string(0) }
    }

    // MARK: Forecasts

    /// Writes a forecast with its fan, outcomes and paths; returns its number.
    package func write(_ forecast: MadeForecast, madeBy: String) async throws -> Int64 {
        let request = forecast.request
        try await connection.query("BEGIN")
        do {
            let rows = try await connection.query(
                """
                insert into market.forecasts (symbol, made_at, model, spot, spot_ts, drift, volatility, step_seconds, steps,
                    paths, seed, lookback, timeframe, price, time_base, "returns", antithetic, made_by)
                values ($1, $2, 'gbm', $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17)
                returning forecast_id
                """,
                [
                    .text(request.symbol, as: .text), .timestamp(forecast.madeAt.microseconds), .double(forecast.spot),
                    .timestamp(forecast.spotTime.microseconds), .double(forecast.drift), .double(forecast.volatility),
                    .double(request.stepSeconds), .int64(Int64(request.steps)), .int64(Int64(request.paths)),
                    .int64(Int64(request.seed)),
                    forecast.returns == nil ? .null : .text(request.lookbackText, as: .text),
                    .text(request.timeframe.name, as: .text), .text(request.price.rawValue, as: .text),
                    .text(request.timeBase.rawValue, as: .text),
                    forecast.returns.map { .int64(Int64($0)) } ?? .null, .bool(request.isAntithetic),
                    .text(madeBy, as: .text),
                ])
            guard let row = rows.first else { throw AnalyticsError(.notFound, "the forecast has no number") }
            let id = try row.int64(0)
            try await writeParts(forecast, id)
            try await connection.query("COMMIT")
            return id
        } catch {
            if connection.isOpen { _ = try? await connection.query("ROLLBACK") }
            throw error
        }
    }

    private func writeParts(_ forecast: MadeForecast, _ id: Int64) async throws {
        let fan = forecast.result.fan
        try await connection.query(
            """
            insert into market.forecast_steps (forecast_id, step, ts, mean, p05, p25, p50, p75, p95)
            select $1, * from unnest($2::bigint[], $3::timestamptz[], $4::float8[], $5::float8[], $6::float8[], $7::float8[],
                $8::float8[], $9::float8[])
            """,
            [
                .int64(id), .int64Array(fan.map { Int64($0.step) }),
                .timestampArray(forecast.times.map(\.microseconds)), .doubleArray(fan.map(\.mean)),
            ] + (0..<5).map { level in .doubleArray(fan.map { $0.quantiles[level] }) })
        let outcomes = forecast.result.outcomes
        try await connection.query(
            """
            insert into market.forecast_outcomes (forecast_id, bin, price_low, price_high, count, density)
            select $1, * from unnest($2::bigint[], $3::float8[], $4::float8[], $5::bigint[], $6::float8[])
            """,
            [
                .int64(id), .int64Array(outcomes.indices.map { Int64($0) }), .doubleArray(outcomes.map(\.low)),
                .doubleArray(outcomes.map(\.high)), .int64Array(outcomes.map { Int64($0.count) }),
                .doubleArray(outcomes.map(\.density)),
            ])
        let kept = forecast.result.kept
        let points = kept.enumerated().flatMap { path, prices in
            prices.enumerated().map { (path: Int64(path), step: Int64($0.offset + 1), price: $0.element) }
        }
        if points.isEmpty { return }
        try await connection.query(
            """
            insert into market.forecast_paths (forecast_id, path, step, price)
            select $1, * from unnest($2::bigint[], $3::bigint[], $4::float8[])
            """,
            [
                .int64(id), .int64Array(points.map(\.path)), .int64Array(points.map(\.step)),
                .doubleArray(points.map(\.price)),
            ])
    }

    // MARK: What came

    /// Fills in the prices of steps that the tape has passed, with the score of each; returns how many.
    ///
    /// The price of a step is the last one at or before its time, and counts as known when a later trade is there.
    package func scoreSteps(limit: Int = 20_000) async throws -> Int {
        let rows = try await connection.query(
            """
            select s.forecast_id, s.step, price.close, f.spot, f.drift, f.volatility, f.step_seconds, f.time_base
            from market.forecast_steps s
                join market.forecasts f on f.forecast_id = s.forecast_id
                join market.latest l on l.symbol = f.symbol and l.ts > s.ts
                cross join lateral (
                    select b.close from market.bars b
                    where b.symbol = f.symbol and b.timeframe = '1s' and b.ts < s.ts
                    order by b.ts desc limit 1
                ) as price
            where s.actual is null and s.ts <= (select max(ts) from market.latest)
            limit $1
            """, [.int64(Int64(limit))], deadline: .now() + .seconds(120))
        var scores: [(id: Int64, step: Int64, actual: Double, crps: Double, naive: Double)] = []
        for row in rows {
            let step = try row.int64(1)
            let actual = try row.double(2)
            let spot = try row.double(3)
            let (drift, volatility) = (try row.double(4), try row.double(5))
            let base = TimeBase(rawValue: try row.string(7)) ?? .calendar
            let years = base.years(seconds: try row.double(6)) * Double(step)
            let crps = Calibration.crps(
                logMean: log(spot) + (drift - volatility * volatility / 2) * years,
                logDeviation: volatility * years.squareRoot(), actual: actual)
            scores.append((try row.int64(0), step, actual, crps, (actual - spot).magnitude))
        }
        if scores.isEmpty { return 0 }
        let result = try await connection.query(
            """
            update market.forecast_steps s set actual = n.actual, crps = n.crps, naive_crps = n.naive
            from unnest($1::bigint[], $2::bigint[], $3::float8[], $4::float8[], $5::float8[])
                as n (forecast_id, step, actual, crps, naive)
            where s.forecast_id = n.forecast_id and s.step = n.step
            """,
            [
                .int64Array(scores.map(\.id)), .int64Array(scores.map(\.step)), .doubleArray(scores.map(\.actual)),
                .doubleArray(scores.map(\.crps)), .doubleArray(scores.map(\.naive)),
            ], deadline: .now() + .seconds(120))
        return result.affectedRows
    }

    /// Deletes forecasts made before `time`; returns how many.
    package func deleteForecasts(before time: Timestamp) async throws -> Int {
        try await connection.query(
            "delete from market.forecasts where made_at < $1", [.timestamp(time.microseconds)],
            deadline: .now() + .seconds(300)
        ).affectedRows
    }
}
