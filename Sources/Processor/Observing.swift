// SPDX-License-Identifier: Apache-2.0

import EventLoop
import Logging
import Metrics
import Postgres

extension Processor {
    /// How often lag and freshness are looked at.
    private static let observingInterval = Duration.seconds(5)

    /// Brings the gauges of lag and of the sources up to date, now and then, on a connection of its own, until the task
    /// is cancelled. What fails is tried again at the next time: watching stops nothing.
    func observe() async {
        var connection: PostgresConnection?
        while !Task.isCancelled {
            if connection?.isOpen != true { connection = try? await PostgresConnection.connect(store, on: loop) }
            if let connection {
                do {
                    try await observe(connection)
                } catch {
                    logger.debug("lag and freshness could not be read", metadata: ["error": "\(error)"])
                }
            }
            try? await loop.sleep(for: Self.observingInterval)
        }
        connection?.close()
    }

    private func observe(_ connection: PostgresConnection) async throws {
        metrics.lag.set(try await Self.lag(configuration.topics, log: log, store: connection))
        let sources = try await connection.query(
            """
            SELECT source, events, extract(epoch FROM last_event_ts)::float8,
                extract(epoch FROM last_ingested_at)::float8 FROM ops.sources
            """)
        for row in sources {
            let source = try row.string(0)
            metrics.sourceEvents[source].set(total: try row.int(1))
            if !row.isNull(2) { metrics.sourceLastEvent[source].set(try row.double(2)) }
            if !row.isNull(3) { metrics.sourceLastIngested[source].set(try row.double(3)) }
        }
    }
}
