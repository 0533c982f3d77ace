// SPDX-License-Identifier: Apache-2.0

import EventLog
import Market
import Records

/// Sorts staged records into valid and rejected ones. A pure value: records in, records out.
struct TradeValidator {
    /// The topics it writes, and how many partitions each has.
    struct Output {
        var valid: String
        var validPartitions: Int
        var rejected: String
        var rejectedPartitions: Int
    }

    let rules: TradeRules
    let output: Output

    /// The records that those of `batch` become, added to `append`. Every record becomes exactly one: a trade, or a
    /// rejection that carries the reason and the original bytes.
    func sort(_ batch: FetchedBatch, into append: inout Append, now: Timestamp) -> (valid: Int, rejected: Int) {
        var rejectedCount = 0
        batch.records.forEach { (index, key, value) in
            let staged = StagedTradeView(decoding: value)
            let reason = staged.map { rules.reason(toReject: $0, now: now) } ?? .undecodable
            if reason == nil, let staged, let trade = Self.trade(staged) {
                let partition = TopicPartition(
                    output.valid, partitionNumber(of: trade.symbol, count: output.validPartitions))
                append.batches[partition, default: RecordBatch()].append(key: key) { trade.encode(into: &$0) }
            } else {
                rejectedCount += 1
                let rejected = Self.rejected(
                    staged, reason ?? .undecodable, value, batch.partition, batch.baseOffset + Int64(index), now)
                let partition = TopicPartition(
                    output.rejected, partitionNumber(of: key, count: output.rejectedPartitions))
                append.batches[partition, default: RecordBatch()].append(key: key) { rejected.encode(into: &$0) }
            }
        }
        return (batch.records.count - rejectedCount, rejectedCount)
    }

    private static func trade(_ staged: StagedTradeView) -> TradeView? {
        guard let symbol = staged.symbol, let ts = staged.ts, let price = staged.price, let size = staged.size,
            let tradeID = staged.tradeID
        else { return nil }
        return TradeView(
            run: staged.run, source: staged.source, symbol: symbol, ts: ts, tradeID: tradeID, price: price,
            size: size, conditions: staged.conditions, ingestedAt: staged.ingestedAt)
    }

    private static func rejected(
        _ staged: StagedTradeView?, _ reason: RejectionReason, _ value: UnsafeRawBufferPointer,
        _ partition: TopicPartition, _ offset: Int64, _ now: Timestamp
    ) -> RejectedTrade {
        RejectedTrade(
            run: staged?.run ?? 0, source: staged.map { String(decoding: $0.source, as: UTF8.self) },
            symbol: staged?.symbol.map { String(decoding: $0, as: UTF8.self) }, reason: reason.rawValue,
            message: reason.sentence, original: Array(staged?.original ?? value), topic: partition.topic,
            partition: partition.partition, offset: offset, rejectedAt: now)
    }
}
