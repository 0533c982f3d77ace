// SPDX-License-Identifier: Apache-2.0

package import EventLog
package import Market
package import Records

/// A kind of record that passes through validation: which topics it has, what makes one valid, and what it becomes.
///
/// This is all that a new kind needs to be staged, validated and kept where it is refused; what becomes of valid ones is
/// a sink's business.
package protocol RecordKind: Sendable {
    associatedtype Staged: StagedRecord

    var topics: TopicRoles { get }
    /// The schema of its rejected topic.
    var rejectedSchema: AvroSchema { get }

    /// Why a record is refused, or nil if it is valid.
    func reason(toReject record: Staged, now: Timestamp) -> RejectionReason?

    /// Calls `body` with the key of a valid record: what must keep its order. The staged record's own key may be anything.
    func withKey(of record: Staged, _ body: (UnsafeRawBufferPointer) -> Void)

    /// Appends the valid record that a staged one becomes, in single-object encoding.
    func encode(_ record: Staged, into bytes: inout [UInt8])
}

extension RecordKind {
    package var rejectedSchema: AvroSchema { RejectedRecord.schema }
}

/// Sorts staged records of one kind into valid and rejected ones, whatever the kind.
package protocol RecordSorting: Sendable {
    var topics: TopicRoles { get }

    /// The records that those of `batch` become, added to `append`. Every record becomes exactly one: a valid one, or a
    /// rejection that carries the reason and the original bytes.
    func sort(_ batch: FetchedBatch, into append: inout Append, now: Timestamp) -> (valid: Int, rejected: Int)
}

/// ``RecordSorting`` for a kind. A pure value: records in, records out.
package struct RecordValidator<Kind: RecordKind>: RecordSorting {
    /// Most bytes of the original that a rejection carries: brokers take records of a megabyte.
    package static var originalLimit: Int { 768 << 10 }

    package let kind: Kind
    /// How many partitions the topics that it writes have.
    package let validPartitions: Int
    package let rejectedPartitions: Int

    package init(_ kind: Kind, validPartitions: Int, rejectedPartitions: Int) {
        self.kind = kind
        self.validPartitions = validPartitions
        self.rejectedPartitions = rejectedPartitions
    }

    package var topics: TopicRoles { kind.topics }

    package func sort(
        _ batch: FetchedBatch, into append: inout Append, now: Timestamp
    ) -> (valid: Int, rejected: Int) {
        var rejected = 0
        batch.records.forEach { (index, key, value) in
            let place = Place(batch.partition, batch.baseOffset + Int64(index), now)
            if !sort(key, value, place, &append) { rejected += 1 }
        }
        return (batch.records.count - rejected, rejected)
    }

    /// Where a record stands, and when it is judged.
    private struct Place {
        var partition: TopicPartition
        var offset: Int64
        var now: Timestamp

        init(_ partition: TopicPartition, _ offset: Int64, _ now: Timestamp) {
            self.partition = partition
            self.offset = offset
            self.now = now
        }
    }

    /// Whether the record is valid.
    @inline(__always)
    private func sort(
        _ key: UnsafeRawBufferPointer, _ value: UnsafeRawBufferPointer, _ place: Place, _ append: inout Append
    ) -> Bool {
        guard let staged = Kind.Staged(decoding: value) else {
            return sort(undecoded: value, key, place, &append)
        }
        guard let reason = kind.reason(toReject: staged, now: place.now) else {
            kind.withKey(of: staged) { key in
                let partition = TopicPartition(kind.topics.valid, partitionNumber(of: key, count: validPartitions))
                append.batches[partition, default: RecordBatch()].append(key: key) { kind.encode(staged, into: &$0) }
            }
            return true
        }
        reject(staged, reason, key, value, place, &append)
        return false
    }

    /// What is not of the current schema: of an older version of it, or nothing that can be read.
    private func sort(
        undecoded value: UnsafeRawBufferPointer, _ key: UnsafeRawBufferPointer, _ place: Place, _ append: inout Append
    ) -> Bool {
        if let upgraded = Kind.Staged.schema.upgraded(value) {
            return upgraded.withUnsafeBytes { sort(key, $0, place, &append) }
        }
        let reason: RejectionReason = Kind.Staged.schema.isOfAnother(value) ? .unknownSchema : .undecodable
        reject(nil, reason, key, value, place, &append)
        return false
    }

    private func reject(
        _ staged: Kind.Staged?, _ reason: RejectionReason, _ key: UnsafeRawBufferPointer,
        _ value: UnsafeRawBufferPointer, _ place: Place, _ append: inout Append
    ) {
        let original = staged?.originalBytes ?? Array(value)
        let rejected = RejectedRecord(
            run: staged?.run ?? 0, source: staged?.sourceName, symbol: staged?.symbolName, reason: reason.rawValue,
            message: reason.sentence, original: Array(original.prefix(Self.originalLimit)),
            topic: place.partition.topic, partition: place.partition.partition, offset: place.offset,
            rejectedAt: place.now)
        let partition = TopicPartition(kind.topics.rejected, partitionNumber(of: key, count: rejectedPartitions))
        append.batches[partition, default: RecordBatch()].append(key: key) {
            rejected.encode(into: &$0, schema: kind.rejectedSchema)
        }
    }
}

/// Trades.
package struct TradeKind: RecordKind {
    package var topics = TopicRoles(kind: "trades")
    package var rules: TradeRules

    package init(topics: TopicRoles = TopicRoles(kind: "trades"), rules: TradeRules) {
        self.topics = topics
        self.rules = rules
    }

    package var rejectedSchema: AvroSchema { RejectedRecord.tradeSchema }

    @inline(__always)
    package func reason(toReject trade: StagedTradeView, now: Timestamp) -> RejectionReason? {
        rules.reason(toReject: trade, now: now)
    }

    @inline(__always)
    package func withKey(of trade: StagedTradeView, _ body: (UnsafeRawBufferPointer) -> Void) {
        if let symbol = trade.symbol { body(symbol) }
    }

    @inline(__always)
    package func encode(_ staged: StagedTradeView, into bytes: inout [UInt8]) {
        guard let symbol = staged.symbol, let ts = staged.ts, let price = staged.price, let size = staged.size,
            let tradeID = staged.tradeID
        else { preconditionFailure("the rules let a trade pass that lacks a field") }
        TradeView(
            run: staged.run, source: staged.source, symbol: symbol, ts: ts, tradeID: tradeID, price: price,
            size: size, conditions: staged.conditions, ingestedAt: staged.ingestedAt
        ).encode(into: &bytes)
    }
}
