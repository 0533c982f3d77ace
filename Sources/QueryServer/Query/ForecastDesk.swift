// SPDX-License-Identifier: Apache-2.0
// Where forecasts are computed and kept, beside the loops that answer requests.

import Analytics
package import EventLoop
import Market
package import Postgres
import Synchronization

/// One thread that simulates, one forecast after the other, so that no request for anything else waits for it; and, if it
/// was given a writer, keeps what it made. Shared by all loops.
///
/// The writer's connection serves the fixed inserts of ``ForecastStore`` and nothing else: no text of a user reaches it but
/// as a parameter.
package final class ForecastDesk: Sendable {
    /// Forecasts that may wait; one more is refused (503).
    static let waitingLimit = 16

    private let loop: EventLoop
    private let writer: ConnectionSettings?
    private let waiting = Atomic<Int>(0)

    /// - Parameters:
    ///   - loop: a started loop, for this alone; the caller stops it after the server.
    ///   - writer: the writer's database; nil where forecasts are not kept.
    package init(loop: EventLoop, writer: ConnectionSettings?) {
        self.loop = loop
        self.writer = writer
    }

    /// Whether forecasts can be kept.
    var canStore: Bool { writer != nil }

    /// Simulates, and keeps the result if `stores`; the number is nil for one that was not kept.
    func make(
        _ request: ForecastRequest, _ history: PriceHistory, at time: Timestamp, stores: Bool
    ) async throws -> (forecast: MadeForecast, id: Int64?) {
        defer { waiting.subtract(1, ordering: .relaxed) }
        if waiting.add(1, ordering: .relaxed).newValue > Self.waitingLimit {
            throw QueryError(
                503, "overloaded", "too many forecasts are waiting", hint: "Try again in a moment.",
                retryAfterSeconds: 1)
        }
        let (loop, writer) = (loop, writer)
        let making = Task(executorPreference: loop) {
            let forecast = try MadeForecast(request, history, madeAt: time, threads: 1)
            guard stores, let writer else { return (forecast, Int64?.none) }
            let connection = try await PostgresConnection.connect(writer, on: loop)
            defer { connection.close() }
            return (forecast, try await ForecastStore(connection).write(forecast, madeBy: "api"))
        }
        do {
            return try await making.value
        } catch let error as AnalyticsError {
            throw QueryError(error)
        } catch let error as PostgresError {
            throw QueryError(error, timeout: 60_000)
        }
    }
}
