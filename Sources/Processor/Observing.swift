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
        var ends: [TopicPartition: Int64] = [:]
        while !stop.isSet {
            if connection?.isOpen != true { connection = try? await PostgresConnection.connect(store, on: loop) }
            if let connection {
                do {
                    let summary = work.summary
                    let time = MonotonicTime.now()
                    let rate = Double(summary.records - last.records) / max((time - last.time).inSeconds, 0.001)
                    last = (summary.records, time)
                    try await say(summary, rate: rate, since: startedAt, connection)
                    let lags = try await observe(connection, since: &ends)
                    try await connection.query(
                        SinkStatements.sayLag,
                        [
                            .text(configuration.owner, as: .text), .int64(lags.reduce(0) { $0 + $1.records }),
                            .double(Self.age(of: lags)),
                        ])
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

    /// How long the oldest record that is not done has waited, in seconds; 0 where all is done that was there at the look
    /// before.
    private static func age(of lags: [PartitionLag]) -> Double { lags.compactMap(\.age).max()?.inSeconds ?? 0 }

    /// Returns what the store does not have yet of each partition.
    ///
    /// - Parameter ends: of the partitions, at the look before.
    private func observe(
        _ connection: PostgresConnection, since ends: inout [TopicPartition: Int64]
    ) async throws -> [PartitionLag] {
        let topics = [configuration.topics] + configuration.kinds.map(\.topics)
        var lags = try await Self.lags(of: topics, log: log, store: connection)
        try await Self.addAges(
            to: &lags, log: log, since: ends, unread: Self.unread(readsPosts: configuration.posts != nil))
        ends = Dictionary(uniqueKeysWithValues: lags.map { ($0.partition, $0.end) })
        for lag in lags {
            metrics.partitionLag[lag.partition.topic, "\(lag.partition.partition)"].set(lag.records)
        }
        let ofTrades: Set = [configuration.topics.staging, configuration.topics.valid, configuration.topics.rejected]
        let trades = lags.filter { ofTrades.contains($0.partition.topic) }
        metrics.lag.set(trades.reduce(0) { $0 + $1.records })
        metrics.lagSeconds.set(Self.age(of: trades))
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
        return lags
    }
}
