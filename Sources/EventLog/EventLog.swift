// SPDX-License-Identifier: Apache-2.0

/// A durable log: topics cut into partitions, each an append-only sequence of records numbered from 0.
///
/// One protocol, two engines: SQLite on one machine (``SQLiteEventLog``), Kafka on many (`KafkaEventLog`). What both
/// promise, and the same tests ask of both:
/// an append that returned survives a crash; the records of a partition are read in the order of their offsets;
/// a consumer of a group is told which partitions are its own and decides where to start in each, because the offsets
/// of what reached the store live in the store.
package protocol EventLog: Sendable {
    /// Names this log among all others, for ever: offsets mean nothing in another one.
    var identity: String { get }

    /// Creates the topics that are missing. An existing topic keeps its partitions.
    func createTopics(_ topics: [TopicSettings]) async throws(EventLogError)

    /// The number of partitions of a topic.
    ///
    /// - Throws: ``EventLogError/Code/unknownTopic``.
    func partitionCount(of topic: String) async throws(EventLogError) -> Int

    /// Appends batches and, in the same transaction where the engine has one, moves the group's offsets past what was
    /// consumed to make them and notes how far a source has been read. When it returns, all of it is durable.
    ///
    /// Without transactions the offsets move last, so that a crash, or a failure, may repeat records and loses none: who
    /// reads them must know a record that it has seen.
    func append(_ append: Append) async throws(EventLogError)

    /// The offset from which `group` goes on in a partition: 0 if it never committed one.
    func committedOffset(group: String, partition: TopicPartition) async throws(EventLogError) -> Int64

    /// How far the named source had been read when its records were last appended (``Append/sourcePosition``).
    func sourcePosition(_ source: String) async throws(EventLogError) -> Int64?

    /// The offset after the last record of each partition of a topic.
    func endOffsets(of topic: String) async throws(EventLogError) -> [Int64]

    /// How long ago the record at an offset was appended, or the first after it that is still there, in each of some
    /// partitions; nothing of those that have none.
    func ages(of positions: [TopicPartition: Int64]) async throws(EventLogError) -> [TopicPartition: Duration]

    /// Joins a group. The first event of the consumer is an assignment.
    func consumer(group: String, topics: [String]) async throws(EventLogError) -> any EventLogConsumer

    /// Deletes what is older than its topic's retention and has been consumed: nothing at or after the offsets that
    /// groups have committed, nor at or after `stored`, those that the store holds; nothing of a partition that is named
    /// in neither. Returns how many records went.
    @discardableResult
    func enforceRetention(stored: [TopicPartition: Int64]) async throws(EventLogError) -> Int

    /// What has been appended since the log was opened.
    var statistics: LogStatistics { get }

    /// Closes the log; calls under way finish first.
    func close() async
}

/// One append: several partitions, one transaction.
package struct Append: Sendable {
    /// The records, by partition.
    package var batches: [TopicPartition: RecordBatch] = [:]
    /// The group that consumed records to make these, and the offset after the last one consumed, by partition.
    package var consumed: (group: String, offsets: [TopicPartition: Int64])?
    /// A source's name and how far it has been read, these records included.
    package var sourcePosition: (source: String, position: Int64)?

    package init() {}
}

/// A member of a consumer group. Used by one task at a time.
package protocol EventLogConsumer: AnyObject {
    /// The next event; ``ConsumerEvent/idle`` when nothing came within `wait`.
    ///
    /// - Parameter byteLimit: about how many bytes of records to return at most; at least one batch comes whole.
    func next(byteLimit: Int, wait: Duration) async throws(EventLogError) -> ConsumerEvent

    /// Reads a partition that has been assigned from `offset` on. An offset that retention has passed starts at the
    /// oldest record there is.
    func start(_ partition: TopicPartition, at offset: Int64)

    /// Leaves the group.
    func close() async
}

/// What a consumer learns.
package enum ConsumerEvent: Sendable {
    /// These partitions are the consumer's from now on; it reads nothing of them before
    /// ``EventLogConsumer/start(_:at:)``.
    case assigned([TopicPartition])
    /// These partitions belong to another member; what was read of them and not committed is void.
    case revoked([TopicPartition])
    /// Records, in order within each partition.
    case records([FetchedBatch])
    /// Nothing new.
    case idle
}

/// A partition of a topic.
package struct TopicPartition: Hashable, Sendable, CustomStringConvertible {
    package var topic: String
    package var partition: Int32

    package init(_ topic: String, _ partition: Int32) {
        self.topic = topic
        self.partition = partition
    }

    package var description: String { "\(topic)/\(partition)" }
}

/// A topic as it is created.
package struct TopicSettings: Sendable {
    package var name: String
    package var partitions: Int
    /// How long records are kept.
    package var retention: Duration

    package init(name: String, partitions: Int, retention: Duration) {
        self.name = name
        self.partitions = partitions
        self.retention = retention
    }
}

/// The partition of a key: Kafka's own rule (the Java client's murmur2, positive, modulo the count), so that a key
/// stands in the same partition whichever engine and client wrote it.
package func partitionNumber(of key: UnsafeRawBufferPointer, count: Int) -> Int32 {
    Int32(truncatingIfNeeded: Int(murmur2(key) & 0x7FFF_FFFF) % count)
}

/// MurmurHash2, 32 bits, as `org.apache.kafka.common.utils.Utils.murmur2`.
func murmur2(_ data: UnsafeRawBufferPointer) -> UInt32 {
    let multiplier: UInt32 = 0x5bd1_e995
    var hash: UInt32 = 0x9747_b28c ^ UInt32(truncatingIfNeeded: data.count)
    var index = 0
    while index + 4 <= data.count {
        var word = UInt32(littleEndian: data.loadUnaligned(fromByteOffset: index, as: UInt32.self))
        word = word &* multiplier
        word ^= word >> 24
        word = word &* multiplier
        hash = (hash &* multiplier) ^ word
        index += 4
    }
    let rest = data.count - index
    if rest >= 3 { hash ^= UInt32(data[index + 2]) << 16 }
    if rest >= 2 { hash ^= UInt32(data[index + 1]) << 8 }
    if rest >= 1 {
        hash ^= UInt32(data[index])
        hash = hash &* multiplier
    }
    hash ^= hash >> 13
    hash = hash &* multiplier
    hash ^= hash >> 15
    return hash
}

/// What went wrong with the log, to what, and whether trying again can help.
package struct EventLogError: Error, Sendable, CustomStringConvertible {
    package struct Code: Hashable, Sendable {
        private let name: String
        /// The log could not be opened or reached.
        package static let unavailable = Code(name: "unavailable")
        /// No such topic.
        package static let unknownTopic = Code(name: "unknown topic")
        /// What was read is not what was written.
        package static let corrupt = Code(name: "corrupt")
        /// The log refused a read or a write: disk full, locked for too long, I/O error.
        package static let failed = Code(name: "failed")
        /// The log has been closed.
        package static let closed = Code(name: "closed")
    }

    package var code: Code
    package var message: String
    /// Whether the same call may succeed later.
    package var isRetriable: Bool

    package init(_ code: Code, _ message: String, isRetriable: Bool = false) {
        self.code = code
        self.message = message
        self.isRetriable = isRetriable
    }

    package var description: String { "event log: \(message)" }
}
