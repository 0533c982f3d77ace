// SPDX-License-Identifier: Apache-2.0

package import EventLog
package import Logging
package import Market
import Metrics
package import Records

/// The topics of trades.
package enum TradeTopics {
    package static let staging = "trades.staging"
    package static let valid = "trades"
    package static let rejected = "trades.rejected"
}

/// Gathers staged trades by partition and appends them to `trades.staging`.
///
/// An append that fails for a reason that may pass (disk full, log locked) is repeated with growing pauses, so that the
/// source waits and nothing is lost; used by one task.
package final class Stager {
    /// Most records gathered before an append is due.
    package static let batchLimit = 8192
    /// Most bytes of records gathered, but for the last record.
    package static let byteLimit = 4 << 20

    private let log: any EventLog
    private let partitions: Int
    private let logger: Logger
    private let metrics: IngestMetrics?
    private var append = Append()
    /// Records gathered and not yet appended.
    package private(set) var count = 0
    private var byteCount = 0

    package init(
        log: any EventLog, logger: Logger, metrics: IngestMetrics? = nil
    ) async throws(EventLogError) {
        self.log = log
        self.logger = logger
        self.metrics = metrics
        partitions = try await log.partitionCount(of: TradeTopics.staging)
    }

    /// Whether enough has been gathered for an append.
    package var isFull: Bool { count >= Self.batchLimit || byteCount >= Self.byteLimit }

    /// Gathers one trade, stamped with the time of its arrival.
    package func stage(_ trade: StagedTrade, at now: Timestamp) {
        var trade = trade
        trade.ingestedAt = now
        var key = trade.symbol ?? ""
        let partition = key.withUTF8 { partitionNumber(of: UnsafeRawBufferPointer($0), count: partitions) }
        append.batches[TopicPartition(TradeTopics.staging, partition), default: RecordBatch()]
            .append(key: key) { trade.encode(into: &$0) }
        count += 1
        byteCount += 64 + key.utf8.count + (trade.original?.count ?? 0)
        for condition in trade.conditions { byteCount += condition.utf8.count }
    }

    /// Appends what has been gathered. When it returns, all of it is durable.
    ///
    /// - Parameter position: the source's name and how far it has been read, kept with the records.
    package func flush(position: (source: String, position: Int64)? = nil) async throws(EventLogError) {
        if count == 0 { return }
        append.sourcePosition = position
        let start = ContinuousClock.now
        try await log.appendPatiently(append, logger) { metrics?.retries.add() }
        metrics?.records.add(count)
        metrics?.batch.observe(count)
        metrics?.appendSeconds.observe(ContinuousClock.now - start)
        append = Append()
        count = 0
        byteCount = 0
    }
}
