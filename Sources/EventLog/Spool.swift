// SPDX-License-Identifier: Apache-2.0

import CZlib
import Foundation
import Glibc
import GRDB
import Synchronization

/// Where appends wait, in order, while their log cannot take them: a SQLite database, bounded in bytes.
///
/// An append is one transaction with `synchronous = FULL`: when ``put(_:urgent:)`` returns its number, it is on the disk
/// and survives the process and the machine. Batches carry the CRC-32 of their bytes. One process at a time has a spool.
package final class Spool: Sendable {
    /// What urgent appends (what a source says of itself) may take beyond the limit.
    package static let reserve = 1 << 20
    /// A file that has grown beyond it is cut when the spool becomes empty.
    private static let keptBytes: Int64 = 16 << 20

    /// What is in it.
    package struct Content: Sendable, Equatable {
        package var appends = 0
        package var records = 0
        /// Of records, keys and values; SQLite's file is a few percent larger, and the write-ahead log beside it has
        /// about 4 MiB.
        package var bytes = 0
    }

    package let path: String
    package let byteLimit: Int
    private let database: DatabaseQueue
    private let state: Mutex<Content>
    /// Holds the lock for as long as it is open.
    private let lock: CInt

    /// Opens or creates the spool at `path`, whose folder exists.
    ///
    /// - Parameter byteLimit: most bytes of records that wait in it.
    /// - Throws: `unavailable`, also where another process has it.
    package init(path: String, byteLimit: Int) throws(EventLogError) {
        self.path = path
        self.byteLimit = byteLimit
        lock = Glibc.open(path + ".lock", O_RDWR | O_CREAT | O_CLOEXEC, 0o600)
        if lock < 0 {
            throw EventLogError(.unavailable, "cannot write \(path).lock: \(String(cString: strerror(errno)))")
        }
        if flock(lock, LOCK_EX | LOCK_NB) != 0 {
            Glibc.close(lock)
            throw EventLogError(
                .unavailable, "another process uses the spool \(path): one at a time may read a source into a folder")
        }
        var configuration = Configuration()
        configuration.label = "spool"
        configuration.journalMode = .wal
        configuration.prepareDatabase { try $0.execute(sql: "PRAGMA synchronous = FULL") }
        do {
            database = try DatabaseQueue(path: path, configuration: configuration)
            // What waits here is as private as the log.
            chmod(path, 0o600)
            state = Mutex(try database.write { try Self.open($0) })
        } catch {
            Glibc.close(lock)
            throw EventLogError(.unavailable, "cannot open the spool \(path): \(error)")
        }
    }

    deinit { Glibc.close(lock) }

    private static func open(_ database: Database) throws -> Content {
        try database.execute(
            sql: """
                CREATE TABLE IF NOT EXISTS appends (
                    id INTEGER PRIMARY KEY AUTOINCREMENT, source TEXT, position INTEGER, records INTEGER NOT NULL,
                    bytes INTEGER NOT NULL);
                CREATE TABLE IF NOT EXISTS batches (
                    append_id INTEGER NOT NULL, topic TEXT NOT NULL, partition INTEGER NOT NULL,
                    count INTEGER NOT NULL, crc INTEGER NOT NULL, bytes BLOB NOT NULL);
                CREATE INDEX IF NOT EXISTS batches_of_append ON batches (append_id);
                """)
        let row = try Row.fetchOne(
            database, sql: "SELECT count(*), coalesce(sum(records), 0), coalesce(sum(bytes), 0) FROM appends")
        return Content(appends: row?[0] ?? 0, records: row?[1] ?? 0, bytes: row?[2] ?? 0)
    }

    package var content: Content { state.withLock { $0 } }

    /// Keeps an append behind those that are there.
    ///
    /// - Parameter urgent: whether it may use the reserve.
    /// - Returns: its number; nil if there is no room.
    package func put(_ append: Append, urgent: Bool = false) async throws(EventLogError) -> Int64? {
        let records = append.batches.values.reduce(0) { $0 + $1.count }
        let bytes = append.batches.values.reduce(0) { $0 + $1.bytes.count }
        let limit = byteLimit + (urgent ? Self.reserve : 0)
        let hasRoom = state.withLock { content in
            // Taken before it is written: several may write.
            if content.bytes + bytes > limit { return false }
            content.appends += 1
            content.records += records
            content.bytes += bytes
            return true
        }
        if !hasRoom { return nil }
        do throws(EventLogError) {
            return try await write { database in try Self.insert(append, records, bytes, database) }
        } catch {
            state.withLock { content in
                content.appends -= 1
                content.records -= records
                content.bytes -= bytes
            }
            throw error
        }
    }

    private static func insert(_ append: Append, _ records: Int, _ bytes: Int, _ database: Database) throws -> Int64 {
        try database.execute(
            sql: "INSERT INTO appends (source, position, records, bytes) VALUES (?, ?, ?, ?)",
            arguments: [append.sourcePosition?.source, append.sourcePosition?.position, records, bytes])
        let id = database.lastInsertedRowID
        for (partition, batch) in append.batches where !batch.isEmpty {
            let crc = batch.bytes.withUnsafeBytes { checksum($0) }
            try database.execute(
                sql: """
                    INSERT INTO batches (append_id, topic, partition, count, crc, bytes) VALUES (?, ?, ?, ?, ?, ?)
                    """,
                arguments: [id, partition.topic, partition.partition, batch.count, crc, Data(batch.bytes)])
        }
        return id
    }

    /// The oldest append; nil if nothing waits.
    ///
    /// - Throws: `corrupt` where the disk has damaged it; ``remove(_:)`` takes it out of the way.
    package func first() async throws(EventLogError) -> (id: Int64, append: Append)? {
        try await write { [path] database in
            let row = try Row.fetchOne(database, sql: "SELECT id, source, position FROM appends ORDER BY id LIMIT 1")
            guard let row else { return nil }
            let id: Int64 = row[0]
            var append = Append()
            if let source: String = row[1], let position: Int64 = row[2] { append.sourcePosition = (source, position) }
            let batches = try Row.fetchAll(
                database, sql: "SELECT topic, partition, count, crc, bytes FROM batches WHERE append_id = ?",
                arguments: [id])
            for batch in batches {
                let bytes: Data = batch[4]
                guard bytes.withUnsafeBytes({ Self.checksum($0) }) == batch[3] as Int64,
                    let records = RecordBatch(bytes: Array(bytes), count: batch[2])
                else { throw EventLogError(.corrupt, "append \(id) of the spool \(path) is damaged") }
                append.batches[TopicPartition(batch[0], batch[1])] = records
            }
            return (id, append)
        }
    }

    /// The number of the oldest append; nil if nothing waits.
    package func firstNumber() async throws(EventLogError) -> Int64? {
        try await write { try Int64.fetchOne($0, sql: "SELECT min(id) FROM appends") }
    }

    /// Forgets an append, because the log has it. Returns how many records it had.
    @discardableResult
    package func remove(_ id: Int64) async throws(EventLogError) -> Int {
        let gone = try await write { database -> Content in
            var gone = Content()
            if let row = try Row.fetchOne(
                database, sql: "SELECT records, bytes FROM appends WHERE id = ?", arguments: [id])
            {
                gone = Content(appends: 1, records: row[0], bytes: row[1])
            }
            try database.execute(sql: "DELETE FROM batches WHERE append_id = ?", arguments: [id])
            try database.execute(sql: "DELETE FROM appends WHERE id = ?", arguments: [id])
            return gone
        }
        let isEmpty = state.withLock { content in
            content.appends -= gone.appends
            content.records -= gone.records
            content.bytes -= gone.bytes
            return content.appends == 0
        }
        if isEmpty { await shrink() }
        return gone.records
    }

    /// How far the source had been read when the newest append here with a position was put; nil if there is none.
    package func position(of source: String) async throws(EventLogError) -> Int64? {
        try await write { database in
            try Int64.fetchOne(
                database,
                sql: "SELECT position FROM appends WHERE source = ? AND position IS NOT NULL ORDER BY id DESC LIMIT 1",
                arguments: [source])
        }
    }

    package func close() async {
        await withCheckedContinuation { continuation in
            DispatchQueue.global().async { [database, lock] in
                try? database.close()
                flock(lock, LOCK_UN)
                continuation.resume()
            }
        }
    }

    /// Gives the disk back what a long wait has taken; failing that, the room is used again.
    private func shrink() async {
        var status = stat()
        guard stat(path, &status) == 0, Int64(status.st_size) > Self.keptBytes else { return }
        try? await database.writeWithoutTransaction { try $0.execute(sql: "VACUUM") }
    }

    private static func checksum(_ bytes: UnsafeRawBufferPointer) -> Int64 {
        Int64(crc32_z(0, bytes.baseAddress?.assumingMemoryBound(to: UInt8.self), bytes.count))
    }

    private func write<T: Sendable>(
        _ body: @escaping @Sendable (Database) throws -> T
    ) async throws(EventLogError) -> T {
        // Not cancelled with the task: what a source holds at its end is just what must get in.
        let result = await Task { [database] in try await database.write(body) }.result
        switch result {
        case .success(let value): return value
        case .failure(let error as EventLogError): throw error
        case .failure(let error as DatabaseError) where error.resultCode == .SQLITE_CORRUPT:
            throw EventLogError(.corrupt, "the spool \(path): \(error)")
        case .failure(let error): throw EventLogError(.failed, "the spool \(path): \(error)", isRetriable: true)
        }
    }
}
