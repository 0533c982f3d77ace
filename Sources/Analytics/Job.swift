// SPDX-License-Identifier: Apache-2.0

import EventLoop
import Forecast
package import Market
package import Postgres

/// What runs by the clock.
package enum Job: String, CaseIterable, Sendable {
    case forecast, score
    case validationReport = "validation-report"
    case retention

    /// What it does, for people.
    package var summary: String {
        switch self {
        case .forecast: "forecasts the symbols that trade"
        case .score: "fills in the prices that came, and scores the forecasts"
        case .validationReport: "counts what was refused in a day, and holds the day's bars against its trades"
        case .retention: "deletes old forecasts and the history of jobs"
        }
    }

    /// What jobs are run with.
    package struct Settings: Sendable {
        /// Symbols to forecast; empty for those that traded within ``activeWithin``.
        package var symbols: [String] = []
        /// Most symbols in one run.
        package var symbolLimit = 50
        package var activeWithin = Duration.seconds(86_400)
        package var keepForecasts = Duration.seconds(90 * 86_400)
        package var keepRuns = Duration.seconds(30 * 86_400)
        package var threads = 1

        package init() {}
    }

    /// Does it once, on a connection of the writer; returns what was done, in a sentence.
    package func run(
        _ connection: PostgresConnection, _ settings: Settings, now: Timestamp, seed: UInt64
    ) async throws -> String {
        let store = ForecastStore(connection)
        switch self {
        case .forecast: return try await Self.forecast(store, settings, now: now, seed: seed)
        case .score:
            var total = 0
            while true {
                let count = try await store.scoreSteps()
                total += count
                if count == 0 { break }
            }
            return "\(total) steps scored"
        case .validationReport: return try await Self.validationReport(connection, now: now)
        case .retention:
            let forecasts = try await store.deleteForecasts(before: now.earlier(by: settings.keepForecasts))
            let runs = try await connection.query(
                "delete from ops.job_runs where started_at < $1",
                [.timestamp(now.earlier(by: settings.keepRuns).microseconds)]
            ).affectedRows
            return "\(forecasts) forecasts and \(runs) job runs deleted"
        }
    }

    private static func forecast(
        _ store: ForecastStore, _ settings: Settings, now: Timestamp, seed: UInt64
    ) async throws -> String {
        var symbols = settings.symbols
        if symbols.isEmpty {
            symbols = try await store.activeSymbols(
                limit: settings.symbolLimit, since: now.earlier(by: settings.activeWithin))
        }
        var made = 0
        var left: [String] = []
        for (index, symbol) in symbols.enumerated() {
            let request = ForecastRequest(symbol: symbol, seed: (seed &+ UInt64(index)) & UInt64(Int64.max))
            do {
                let forecast = try MadeForecast(
                    request, try await store.history(request), madeAt: now, threads: settings.threads)
                _ = try await store.write(forecast, madeBy: "job")
                made += 1
            } catch let error as AnalyticsError where error.code == .insufficientData || error.code == .notFound {
                // A symbol that has just begun to trade.
                left.append(symbol)
            }
        }
        return "\(made) forecasts" + (left.isEmpty ? "" : "; too few bars: \(left.prefix(10).joined(separator: ", "))")
    }

    /// Yesterday: refused records by reason, and whether each daily bar counts the trades there are.
    private static func validationReport(_ connection: PostgresConnection, now: Timestamp) async throws -> String {
        let day = (now.day - 1) * Timestamp.microsecondsPerDay
        let span: [Parameter] = [.timestamp(day), .timestamp(day + Timestamp.microsecondsPerDay)]
        let reasons = try await connection.query(
            """
            select reason, count(*) from ops.rejected_records where rejected_at >= $1 and rejected_at < $2
            group by reason order by 2 desc, 1
            """, span)
        let refused = try reasons.map { "\(try $0.int64(1)) \(try $0.string(0))" }
        let bars = try await connection.query(
            """
            select count(*), coalesce(sum(t.trades), 0),
                count(*) filter (where b.trade_count is distinct from t.trades or b.high is distinct from t.high
                    or b.low is distinct from t.low)
            from (select symbol, count(*) as trades, max(price) as high, min(price) as low from market.trades
                  where ts >= $1 and ts < $2 group by symbol) as t
                left join market.bars b on b.symbol = t.symbol and b.timeframe = '1d' and b.ts = $1
            """, span, deadline: .now() + .seconds(300))
        guard let row = bars.first else { return "" }
        let differing = try row.int64(2)
        let date = Timestamp(microseconds: day).description.prefix(10)
        let text =
            "\(date): \(try row.int64(1)) trades of \(try row.int64(0)) symbols; "
            + "refused: \(refused.isEmpty ? "none" : refused.joined(separator: ", "))"
        if differing > 0 {
            throw AnalyticsError(.invalid, "\(text); \(differing) daily bars differ from their trades")
        }
        return text + "; every daily bar fits its trades"
    }
}

extension Timestamp {
    /// The moment that lies `duration` before.
    func earlier(by duration: Duration) -> Timestamp {
        let (seconds, attoseconds) = duration.components
        return Timestamp(microseconds: microseconds - seconds * 1_000_000 - attoseconds / 1_000_000_000_000)
    }
}
