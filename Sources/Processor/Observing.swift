// SPDX-License-Identifier: Apache-2.0

import EventLog
import EventLoop
import Logging
import Market
import Metrics
import Postgres

extension Processor {
    /// How often it looks at lag and freshness, and says how it does.
    private static let observingInterval = Duration.seconds(5)

    /// Brings the gauges of lag and of the sources up to date, and this processor's row in the store, now and then, on a
    /// connection of its own, until it is asked to stop. What fails is tried again at the next time: watching stops
    /// nothing.
    func observe(_ stop: StopRequest) async {
        var connection: PostgresConnection?
        let startedAt = now()
        var last = (records: Int64(0), time: MonotonicTime.now())
        while !stop.isSet {
            if connection?.isOpen != true { connection = try? await PostgresConnection.connect(store, on: loop) }
            if let connection {
                do {
                    let summary = work.summary
                    let time = MonotonicTime.now()
                    let rate = Double(summary.records - last.records) / max((time - last.time).inSeconds, 0.001)
                    last = (summary.records, time)
                    try await say(summary, rate: rate, since: startedAt, connection)
                    let lag = try await observe(connection)
                    try await connection.query(
                        SinkStatements.sayLag, [.text(configuration.owner, as: .text), .int64(lag)])
                } catch {
                    logger.debug("lag and freshness could not be read", metadata: ["error": "\(error)"])
                }
            }
            await rest(Self.observingInterval, stop)
        }
        if let connection, connection.isOpen {
            _ = try? await connection.query(
                "DELETE FROM ops.processors WHERE owner = $1", [.text(configuration.owner, as: .text)],
                deadline: .now() + .seconds(1))
        }
        connection?.close()
    }

    /// Writes this processor's row, and lets go of those of processes that have been silent for a day.
    private func say(
        _ work: RecentWork.Summary, rate: Double, since startedAt: Timestamp, _ connection: PostgresConnection
    ) async throws {
        func milliseconds(_ time: Duration?) -> [Double?] { [time.map { $0.inSeconds * 1000 }] }
        try await connection.query(
            SinkStatements.sayProcessor,
            [
                .text(configuration.owner, as: .text), .timestampArray([startedAt.microseconds]),
                .int64(work.transactions), .int64(work.records), .doubleArray([rate]),
                .optionalInt64Array([work.batchMedian.map { Int64($0) }]),
                .optionalInt64Array([work.batchLargest.map { Int64($0) }]),
                .optionalDoubleArray(milliseconds(work.timeMedian)),
                .optionalDoubleArray(milliseconds(work.time99)), .optionalDoubleArray(milliseconds(work.timeLongest)),
                .int64(work.retries), .optionalTextArray([SinkLedger.storable(work.lastFailure)]),
                .optionalInt64Array([work.lastFailureAt?.microseconds]),
            ])
    }

    /// Returns how many records of the log the store does not have yet.
    private func observe(_ connection: PostgresConnection) async throws -> Int64 {
        let topics = [configuration.topics] + configuration.kinds.map(\.topics)
        var (lag, lagOfAll): (Int64, Int64) = (0, 0)
        for partition in try await Self.lags(of: topics, log: log, store: connection) {
            let topic = partition.partition.topic
            lagOfAll += partition.records
            metrics.partitionLag[topic, "\(partition.partition.partition)"].set(partition.records)
            if [configuration.topics.staging, configuration.topics.valid, configuration.topics.rejected].contains(topic)
            {
                lag += partition.records
            }
        }
        metrics.lag.set(lag)
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
        return lagOfAll
    }
}
