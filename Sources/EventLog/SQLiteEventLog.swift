// SPDX-License-Identifier: Apache-2.0

import CZlib
import Foundation
import Glibc
import GRDB
import Synchronization

/// The log of one machine: a SQLite database in WAL mode, one row for each appended batch.
///
/// Writers of several processes take turns (`BEGIN IMMEDIATE`, with a busy timeout), readers never wait. Every append is
/// one transaction with `synchronous = FULL`: when it returns, the WAL has been synced. A batch carries the CRC-32 of
/// its bytes, because SQLite has no checksums of its own.
package final class SQLiteEventLog: EventLog {
    /// How long an append waits for a writer of another process before it fails (and may be retried).
    static let busyTimeout = 10.0

    package let identity: String
    private let directory: String
    private let database: DatabasePool
    private let counters = LogCounters()
    let signal = AppendSignal()
    /// From the first consumer on.
    private let watch = Mutex<AppendWatch?>(nil)

    package var statistics: LogStatistics { counters.snapshot }

    /// Opens or creates the log in `directory`.
    package init(directory: String) throws(EventLogError) {
        self.directory = directory
        // The tape is as private as the database, which asks everybody for a password.
        chmod(directory, 0o700)
        var configuration = Configuration()
        configuration.label = "event-log"
        configuration.busyMode = .timeout(Self.busyTimeout)
        do {
            database = try Self.openDatabase(directory + "/log.sqlite", configuration)
            // Now, on the one connection that writes: GRDB sets NORMAL while it opens a pool, which syncs the WAL only at
            // checkpoints.
            try database.writeWithoutTransaction { try $0.execute(sql: "PRAGMA synchronous = FULL") }
            identity = try database.write { database in
                try Self.createTables(database)
                return try Self.identity(database)
            }
        } catch {
            throw EventLogError(.unavailable, "cannot open \(directory)/log.sqlite: \(error)")
        }
    }

    /// Opens the database. To make it a WAL database takes a lock that SQLite does not wait for; several processes that
    /// open a new folder at once take turns.
    private static func openDatabase(_ path: String, _ configuration: Configuration) throws -> DatabasePool {
        let deadline = ContinuousClock.now + .seconds(busyTimeout)
        while true {
            do {
                return try DatabasePool(path: path, configuration: configuration)
            } catch let error as DatabaseError
                where error.resultCode == .SQLITE_BUSY && ContinuousClock.now < deadline
            {
                usleep(10_000)
            }
        }
    }

    private static func createTables(_ database: Database) throws {
        try database.execute(
            sql: """
                CREATE TABLE IF NOT EXISTS topics (
                    id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, partitions INTEGER NOT NULL,
                    retention_seconds INTEGER NOT NULL);
                CREATE TABLE IF NOT EXISTS partitions (
                    topic_id INTEGER NOT NULL, partition INTEGER NOT NULL, next_offset INTEGER NOT NULL,
                    PRIMARY KEY (topic_id, partition)) WITHOUT ROWID;
                CREATE TABLE IF NOT EXISTS batches (
                    topic_id INTEGER NOT NULL, partition INTEGER NOT NULL, base_offset INTEGER NOT NULL,
                    count INTEGER NOT NULL, appended_at INTEGER NOT NULL, crc INTEGER NOT NULL, bytes BLOB NOT NULL);
                CREATE UNIQUE INDEX IF NOT EXISTS batches_by_offset ON batches (topic_id, partition, base_offset);
                CREATE TABLE IF NOT EXISTS group_offsets (
                    group_name TEXT NOT NULL, topic_id INTEGER NOT NULL, partition INTEGER NOT NULL,
                    next_offset INTEGER NOT NULL, PRIMARY KEY (group_name, topic_id, partition)) WITHOUT ROWID;
                CREATE TABLE IF NOT EXISTS identity (name TEXT NOT NULL);
                CREATE TABLE IF NOT EXISTS source_positions (
                    source TEXT PRIMARY KEY, position INTEGER NOT NULL) WITHOUT ROWID;
                """)
    }

    /// The log's name, made with it: 128 random bits.
    private static func identity(_ database: Database) throws -> String {
        try database.execute(
            sql: "INSERT INTO identity SELECT lower(hex(randomblob(16))) WHERE NOT EXISTS (SELECT * FROM identity)")
        return try String.fetchOne(database, sql: "SELECT name FROM identity") ?? ""
    }

    // MARK: Topics

    package func createTopics(_ topics: [TopicSettings]) async throws(EventLogError) {
        try await write { database in
            for topic in topics {
                try database.execute(
                    sql: """
                        INSERT INTO topics (name, partitions, retention_seconds) VALUES (?, ?, ?)
                        ON CONFLICT (name) DO UPDATE SET retention_seconds = excluded.retention_seconds
                        """,
                    arguments: [topic.name, topic.partitions, topic.retention.components.seconds])
            }
        }
    }

    package func partitionCount(of topic: String) async throws(EventLogError) -> Int {
        try await read { database in try Self.topic(topic, database).partitions }
    }

    private struct Topic {
        var id: Int64
        var partitions: Int
    }

    private static func topic(_ name: String, _ database: Database) throws -> Topic {
        let row = try Row.fetchOne(
            database.cachedStatement(sql: "SELECT id, partitions FROM topics WHERE name = ?"), arguments: [name])
        guard let row else { throw EventLogError(.unknownTopic, "there is no topic \(name): create it first") }
        return Topic(id: row[0], partitions: row[1])
    }

    // MARK: Writing

    package func append(_ append: Append) async throws(EventLogError) {
        let start = ContinuousClock.now
        do throws(EventLogError) {
            try await write(append)
        } catch {
            counters.failed()
            throw error
        }
        counters.delivered(
            records: append.batches.values.reduce(0) { $0 + $1.count },
            bytes: append.batches.values.reduce(0) { $0 + $1.bytes.count }, in: ContinuousClock.now - start)
        signal.send()
    }

    private func write(_ append: Append) async throws(EventLogError) {
        try await write { database in
            for (partition, batch) in append.batches where !batch.isEmpty {
                try Self.append(batch, to: partition, database)
            }
            if let (group, offsets) = append.consumed {
                for (partition, offset) in offsets {
                    try Self.commit(group: group, partition, offset, database)
                }
            }
            if let (source, position) = append.sourcePosition {
                try database.cachedStatement(
                    sql: """
                        INSERT INTO source_positions (source, position) VALUES (?, ?)
                        ON CONFLICT (source) DO UPDATE SET position = excluded.position
                        """
                ).execute(arguments: [source, position])
            }
        }
    }

    private static func append(_ batch: RecordBatch, to partition: TopicPartition, _ database: Database) throws {
        let topic = try topic(partition.topic, database)
        guard (0..<topic.partitions).contains(Int(partition.partition)) else {
            throw EventLogError(.unknownTopic, "topic \(partition.topic) has no partition \(partition.partition)")
        }
        // Atomic within the transaction: the counter is what numbers the records.
        let end =
            try Int64.fetchOne(
                database.cachedStatement(
                    sql: """
                        INSERT INTO partitions (topic_id, partition, next_offset) VALUES (?, ?, ?)
                        ON CONFLICT (topic_id, partition) DO UPDATE SET next_offset = next_offset + excluded.next_offset
                        RETURNING next_offset
                        """),
                arguments: [topic.id, partition.partition, batch.count]) ?? Int64(batch.count)
        let statement = try database.cachedStatement(
            sql: """
                INSERT INTO batches (topic_id, partition, base_offset, count, appended_at, crc, bytes)
                VALUES (?, ?, ?, ?, unixepoch(), ?, ?)
                """)
        try batch.bytes.withUnsafeBytes { bytes in
            try statement.execute(arguments: [
                topic.id, partition.partition, end - Int64(batch.count), batch.count, Int64(crc(bytes)),
                Data(batch.bytes),
            ])
        }
    }

    private static func commit(
        group: String, _ partition: TopicPartition, _ offset: Int64, _ database: Database
    ) throws {
        let topic = try topic(partition.topic, database)
        try database.cachedStatement(
            sql: """
                INSERT INTO group_offsets (group_name, topic_id, partition, next_offset) VALUES (?, ?, ?, ?)
                ON CONFLICT (group_name, topic_id, partition) DO UPDATE SET next_offset = excluded.next_offset
                """
        ).execute(arguments: [group, topic.id, partition.partition, offset])
    }

    // MARK: Reading

    package func committedOffset(group: String, partition: TopicPartition) async throws(EventLogError) -> Int64 {
        try await read { database in
            let topic = try Self.topic(partition.topic, database)
            return try Int64.fetchOne(
                database.cachedStatement(
                    sql: """
                        SELECT next_offset FROM group_offsets WHERE group_name = ? AND topic_id = ? AND partition = ?
                        """), arguments: [group, topic.id, partition.partition]) ?? 0
        }
    }

    package func sourcePosition(_ source: String) async throws(EventLogError) -> Int64? {
        try await read { database in
            try Int64.fetchOne(
                database, sql: "SELECT position FROM source_positions WHERE source = ?", arguments: [source])
        }
    }

    package func endOffsets(of topic: String) async throws(EventLogError) -> [Int64] {
        try await read { database in
            let topic = try Self.topic(topic, database)
            var ends = [Int64](repeating: 0, count: topic.partitions)
            let rows = try Row.fetchAll(
                database.cachedStatement(sql: "SELECT partition, next_offset FROM partitions WHERE topic_id = ?"),
                arguments: [topic.id])
            for row in rows {
                let partition: Int = row[0]
                ends[partition] = row[1]
            }
            return ends
        }
    }

    /// To the second, which is how a batch knows its time.
    package func ages(
        of positions: [TopicPartition: Int64]
    ) async throws(EventLogError) -> [TopicPartition: Duration] {
        try await read { database in
            var ages: [TopicPartition: Duration] = [:]
            for (partition, offset) in positions {
                let topic = try Self.topic(partition.topic, database)
                // The batch that holds it, as `fetch` finds it.
                let age = try Int64.fetchOne(
                    database.cachedStatement(
                        sql: """
                            SELECT unixepoch() - appended_at FROM batches
                            WHERE topic_id = ?1 AND partition = ?2 AND base_offset >= coalesce(
                                (SELECT max(base_offset) FROM batches
                                 WHERE topic_id = ?1 AND partition = ?2 AND base_offset <= ?3), 0)
                                AND base_offset + count > ?3
                            ORDER BY base_offset LIMIT 1
                            """), arguments: [topic.id, partition.partition, offset])
                ages[partition] = age.map { .seconds(max(0, $0)) }
            }
            return ages
        }
    }

    package func consumer(group: String, topics: [String]) async throws(EventLogError) -> any EventLogConsumer {
        var partitions: [TopicPartition] = []
        for topic in topics {
            let count = try await partitionCount(of: topic)
            partitions += (0..<count).map { TopicPartition(topic, Int32($0)) }
        }
        do {
            try watch.withLock { watch in watch = try watch ?? AppendWatch(database.path, telling: signal) }
        } catch { throw Self.translate(error) }
        let lock = GroupLock(path: "\(directory)/\(group).lock")
        return SQLiteConsumer(log: self, partitions: partitions, lock: lock)
    }

    /// The batches that hold records from `offsets` on, in the order of the partitions, up to about `byteLimit` bytes.
    func fetch(
        from offsets: [(partition: TopicPartition, offset: Int64)], byteLimit: Int
    ) async throws(EventLogError) -> [FetchedBatch] {
        try await read { database in
            var fetched: [FetchedBatch] = []
            // Each partition gets its share, so that a busy one does not starve the others.
            let share = max(1, byteLimit / max(1, offsets.count))
            for (partition, offset) in offsets {
                let topic = try Self.topic(partition.topic, database)
                // The batch that holds `offset` begins at the last base at or below it, or is the first one left.
                let statement = try database.cachedStatement(
                    sql: """
                        SELECT base_offset, count, crc, bytes FROM batches
                        WHERE topic_id = ?1 AND partition = ?2 AND base_offset >= coalesce(
                            (SELECT max(base_offset) FROM batches
                             WHERE topic_id = ?1 AND partition = ?2 AND base_offset <= ?3), 0)
                            AND base_offset + count > ?3
                        ORDER BY base_offset
                        """)
                let rows = try Row.fetchCursor(statement, arguments: [topic.id, partition.partition, offset])
                var bytes = 0
                while bytes < share, let row = try rows.next() {
                    guard let batch = try Self.batch(row, partition), batch.nextOffset > offset else { continue }
                    let dropped = Int(max(0, offset - batch.baseOffset))
                    bytes += batch.records.bytes.count
                    fetched.append(
                        FetchedBatch(
                            partition: partition, baseOffset: batch.baseOffset + Int64(dropped),
                            records: batch.records.dropFirst(dropped)))
                }
            }
            return fetched
        }
    }

    private static func batch(_ row: Row, _ partition: TopicPartition) throws -> FetchedBatch? {
        let base: Int64 = row[0]
        let count: Int = row[1]
        let crc: Int64 = row[2]
        let bytes: [UInt8] = try row.withUnsafeData(atIndex: 3) { data in data.map { Array($0) } ?? [] }
        guard bytes.withUnsafeBytes({ Int64(Self.crc($0)) }) == crc,
            let records = RecordBatch(bytes: bytes, count: count)
        else {
            throw EventLogError(
                .corrupt,
                """
                the batch at offset \(base) of \(partition) is damaged (its checksum does not match); restore the log \
                from a copy, or move the data folder away and load the tape again
                """)
        }
        return FetchedBatch(partition: partition, baseOffset: base, records: records)
    }

    // MARK: Retention

    @discardableResult
    package func enforceRetention(stored: [TopicPartition: Int64]) async throws(EventLogError) -> Int {
        try await write { database in
            var deleted = 0
            for (partition, offset) in try Self.consumed(stored, database) {
                let topic = try Self.topic(partition.topic, database)
                let old = """
                    topic_id = ? AND partition = ? AND base_offset + count <= ?
                        AND appended_at < unixepoch() - (SELECT retention_seconds FROM topics WHERE id = topic_id)
                    """
                let arguments: StatementArguments = [topic.id, partition.partition, offset]
                deleted +=
                    try Int.fetchOne(
                        database, sql: "SELECT coalesce(sum(count), 0) FROM batches WHERE \(old)", arguments: arguments)
                    ?? 0
                try database.execute(sql: "DELETE FROM batches WHERE \(old)", arguments: arguments)
            }
            return deleted
        }
    }

    /// The offset before which everybody is done, for each partition that anybody reads.
    private static func consumed(
        _ stored: [TopicPartition: Int64], _ database: Database
    ) throws -> [TopicPartition: Int64] {
        var consumed = stored
        let groups = try Row.fetchAll(
            database,
            sql: """
                SELECT t.name, g.partition, min(g.next_offset) FROM group_offsets g JOIN topics t ON t.id = g.topic_id
                GROUP BY t.name, g.partition
                """)
        for row in groups {
            let partition = TopicPartition(row[0], row[1])
            let offset: Int64 = row[2]
            consumed[partition] = min(consumed[partition] ?? offset, offset)
        }
        return consumed
    }

    package func close() async {
        watch.withLock { $0 = nil }
        signal.send()
        try? database.close()
    }

    // MARK: Access

    private func write<T: Sendable>(_ body: @escaping @Sendable (Database) throws -> T) async throws(EventLogError) -> T
    {
        // A task of its own, because GRDB refuses to write for a cancelled one, and a source that is being stopped must
        // still hand over what it holds.
        let database = self.database
        do {
            return try await Task.detached { try await database.write(body) }.value
        } catch { throw Self.translate(error) }
    }

    private func read<T: Sendable>(_ body: @escaping @Sendable (Database) throws -> T) async throws(EventLogError) -> T
    {
        do { return try await database.read(body) } catch { throw Self.translate(error) }
    }

    private static func translate(_ error: any Error) -> EventLogError {
        switch error {
        case let error as EventLogError: error
        case let error as DatabaseError:
            switch error.resultCode {
            case .SQLITE_BUSY, .SQLITE_LOCKED:
                EventLogError(.failed, "another process holds the log for too long", isRetriable: true)
            case .SQLITE_FULL:
                EventLogError(.failed, "the disk is full; free some space, nothing is lost", isRetriable: true)
            case .SQLITE_IOERR:
                EventLogError(
                    .failed,
                    "log.sqlite cannot be read or written (\(error.message ?? "I/O error")); look at the disk's quota, space "
                        + "and health, nothing is lost", isRetriable: true)
            case .SQLITE_CORRUPT, .SQLITE_NOTADB:
                EventLogError(.corrupt, "log.sqlite is damaged: \(error.message ?? "no detail")")
            case .SQLITE_TOOBIG, .SQLITE_READONLY, .SQLITE_CONSTRAINT:
                EventLogError(.failed, error.message ?? "SQLite error \(error.resultCode)")
            case .SQLITE_MISUSE: EventLogError(.closed, "the log is closed")
            default: EventLogError(.failed, error.message ?? "SQLite error \(error.resultCode)", isRetriable: true)
            }
        case is CancellationError: EventLogError(.closed, "cancelled")
        default: EventLogError(.failed, "\(error)")
        }
    }

    private static func crc(_ bytes: UnsafeRawBufferPointer) -> UInt {
        crc32_z(0, bytes.bindMemory(to: UInt8.self).baseAddress, bytes.count)
    }
}

/// A lock of the file system, held for as long as the object lives.
private final class GroupLock {
    private let path: String
    private var descriptor: CInt = -1

    init(path: String) { self.path = path }

    deinit { if descriptor >= 0 { Glibc.close(descriptor) } }

    /// Whether the lock is ours, now or already.
    func acquire() throws(EventLogError) -> Bool {
        if descriptor >= 0 { return true }
        let file = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0o600)
        if file < 0 { throw EventLogError(.unavailable, "cannot open \(path): \(String(cString: strerror(errno)))") }
        if flock(file, LOCK_EX | LOCK_NB) != 0 {
            Glibc.close(file)
            return false
        }
        descriptor = file
        return true
    }

    func release() {
        if descriptor >= 0 { Glibc.close(descriptor) }
        descriptor = -1
    }
}

/// A member of a group. The SQLite log gives all partitions to one member; the others stand by until it goes, which the
/// file system notices however it goes.
final class SQLiteConsumer: EventLogConsumer {
    private let log: SQLiteEventLog
    private let partitions: [TopicPartition]
    private let lock: GroupLock
    private var announced = false
    private var positions: [TopicPartition: Int64] = [:]
    /// How many appends there had been when nothing was left to read.
    private var emptyAt: UInt64?

    fileprivate init(log: SQLiteEventLog, partitions: [TopicPartition], lock: GroupLock) {
        self.log = log
        self.partitions = partitions
        self.lock = lock
    }

    func start(_ partition: TopicPartition, at offset: Int64) {
        positions[partition] = offset
        emptyAt = nil
    }

    func next(byteLimit: Int, wait: Duration) async throws(EventLogError) -> ConsumerEvent {
        if !announced {
            guard try lock.acquire() else {
                try? await Task.sleep(for: wait)
                return .idle
            }
            announced = true
            return .assigned(partitions)
        }
        let clock = ContinuousClock()
        let deadline = clock.now + wait
        while true {
            if let emptyAt {
                await log.signal.wait(beyond: emptyAt, atMost: max(clock.now.duration(to: deadline), .zero))
                if log.signal.appends == emptyAt { return .idle }
            }
            let seen = log.signal.appends
            let offsets = partitions.compactMap { partition in
                positions[partition].map { (partition: partition, offset: $0) }
            }
            let fetched = try await log.fetch(from: offsets, byteLimit: byteLimit)
            for batch in fetched { positions[batch.partition] = batch.nextOffset }
            emptyAt = fetched.isEmpty ? seen : nil
            if !fetched.isEmpty { return .records(fetched) }
            if clock.now >= deadline || Task.isCancelled { return .idle }
        }
    }

    func close() async { lock.release() }
}
