// SPDX-License-Identifier: Apache-2.0

import EventLog
package import Market
package import Records

/// Records gathered for one append, by topic and partition. Made by ``Outlet/delivery()``.
package struct Delivery: Sendable {
    /// Records gathered.
    package private(set) var count = 0
    /// How far the source has been read, these records included; kept with them.
    package var position: Int64?
    /// When the first of them arrived.
    package private(set) var begun: Timestamp?
    /// The time of the newest trade.
    package private(set) var lastEvent: Timestamp?

    private struct Topic {
        var name: String
        var batches: [RecordBatch]
    }

    private let source: String
    private let partitions: [String: Int]
    private var topics: [Topic] = []

    init(source: String, partitions: [String: Int]) {
        self.source = source
        self.partitions = partitions
    }

    package var isEmpty: Bool { count == 0 && position == nil }
    /// Bytes of the records gathered.
    package var byteCount: Int {
        topics.reduce(0) { $0 + $1.batches.reduce(0) { $0 + $1.bytes.count } }
    }

    /// Gathers a record of a staging topic (`quotes.staging`, …), which must be one of the log's.
    ///
    /// - Parameter write: appends the value's bytes.
    package mutating func add(
        topic: String, key: String, at now: Timestamp, _ write: (inout [UInt8]) -> Void
    ) {
        let index = index(of: topic)
        var key = key
        key.withUTF8 { key in
            let key = UnsafeRawBufferPointer(key)
            let partition = Int(partitionNumber(of: key, count: topics[index].batches.count))
            topics[index].batches[partition].append(key: key, value: write)
        }
        count += 1
        if begun == nil { begun = now }
    }

    /// Gathers a trade, which says itself when it arrived.
    package mutating func add(_ trade: StagedTrade) {
        if let ts = trade.ts { lastEvent = max(lastEvent ?? ts, ts) }
        add(topic: TradeTopics.staging, key: trade.symbol ?? "", at: trade.ingestedAt) { trade.encode(into: &$0) }
    }

    /// Gathers facts of the kind that `topic` is for.
    package mutating func add<Facts: RecordFacts>(_ record: Staged<Facts>, topic: String) {
        let key = record.facts.key ?? record.staging.source
        add(topic: topic, key: key, at: record.staging.ingestedAt) { record.encode(into: &$0) }
    }

    private mutating func index(of topic: String) -> Int {
        if let index = topics.firstIndex(where: { $0.name == topic }) { return index }
        guard let count = partitions[topic] else { preconditionFailure("\(topic) is no staging topic") }
        topics.append(Topic(name: topic, batches: Array(repeating: RecordBatch(), count: count)))
        return topics.count - 1
    }

    /// What the log takes.
    var append: Append {
        var append = Append()
        for topic in topics {
            for (partition, batch) in topic.batches.enumerated() where !batch.isEmpty {
                append.batches[TopicPartition(topic.name, Int32(partition))] = batch
            }
        }
        append.sourcePosition = position.map { (source, $0) }
        return append
    }
}
