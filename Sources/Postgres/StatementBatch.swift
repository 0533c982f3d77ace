// SPDX-License-Identifier: Apache-2.0

// Many small statements in one exchange with the server.

import CLibPQ
package import EventLoop
import Glibc

/// A statement of a batch, and its rows once the batch has run.
package final class BatchedStatement {
    package let statement: Statement
    package let parameters: [Parameter]
    /// Nil if the statement failed, was not small, or was not reached.
    package fileprivate(set) var rows: BatchedRows?

    package init(_ statement: Statement, _ parameters: [Parameter]) {
        self.statement = statement
        self.parameters = parameters
    }
}

/// All rows of one statement of a batch, in memory, or some of them that follow one another.
package struct BatchedRows {
    fileprivate let result: OwnedResult
    private let range: Range<Int32>

    fileprivate init(_ result: OwnedResult) { self.init(result, 0..<PQntuples(result.pointer)) }

    private init(_ result: OwnedResult, _ range: Range<Int32>) {
        self.result = result
        self.range = range
    }

    /// Rows returned.
    package var count: Int { range.count }

    /// The rows of each key, none for a key that has none; nil unless they stand in the order of the keys, each key's
    /// rows together.
    ///
    /// - Parameter column: where a row has its key, as text.
    package func parts(by column: Int, keys: [String]) -> [BatchedRows]? {
        var parts: [BatchedRows] = []
        parts.reserveCapacity(keys.count)
        var next = range.lowerBound
        for key in keys {
            let start = next
            var key = key
            key.withUTF8 { key in
                while next < range.upperBound, let found = valueBytes(result.pointer, row: next, column: Int32(column)),
                    found.count == key.count, memcmp(found.baseAddress!, key.baseAddress!, key.count) == 0
                {
                    next += 1
                }
            }
            parts.append(BatchedRows(result, start..<next))
        }
        return next == range.upperBound ? parts : nil
    }

    package var columns: [ColumnDescription] { result.columns }

    /// Whether ``columns`` have these names and types; found out without making them.
    package func haveColumns(_ columns: [ColumnDescription]) -> Bool {
        let result = result.pointer
        guard Int(PQnfields(result)) == columns.count else { return false }
        for index in 0..<columns.count {
            guard PQftype(result, Int32(index)) == columns[index].type.rawValue,
                let name = PQfname(result, Int32(index)),
                Self.isEqual(columns[index].name, name)
            else { return false }
        }
        return true
    }

    private static func isEqual(_ text: String, _ other: UnsafePointer<CChar>) -> Bool {
        var text = text
        return text.withUTF8 {
            strncmp(UnsafeRawPointer($0.baseAddress!).assumingMemoryBound(to: CChar.self), other, $0.count) == 0
                && other[$0.count] == 0
        }
    }

    /// Calls `body` with each row.
    @inline(__always)
    package func forEach<E: Error>(_ body: (Row) throws(E) -> Void) throws(E) {
        for index in range { try body(Row(result: result, index: index)) }
    }

    /// One row.
    package struct Row: ColumnAccess {
        fileprivate let result: OwnedResult
        fileprivate let index: Int32

        package var columns: [ColumnDescription] { result.columns }
        package var columnCount: Int { Int(PQnfields(result.pointer)) }
        package func columnType(_ column: Int) -> TypeOID {
            TypeOID(rawValue: PQftype(result.pointer, Int32(column)))
        }
        package func columnFormat(_ column: Int) -> WireFormat {
            PQfformat(result.pointer, Int32(column)) == 1 ? .binary : .text
        }

        @inline(__always)
        package func unsafeBytes(_ column: Int) -> UnsafeRawBufferPointer? {
            valueBytes(result.pointer, row: index, column: Int32(column))
        }
    }
}

extension PostgresConnection {
    /// Runs small statements that only read, one after the other, in one exchange with the server (libpq's pipeline
    /// mode, PostgreSQL 15 docs, 34.5): one write and one wait for all of them. Each is prepared on its first use, as
    /// long as there is room (``ConnectionSettings/batchedStatementLimit``), and sees what is committed when its turn
    /// comes. All are one transaction.
    ///
    /// Statements whose ``BatchedStatement/rows`` are nil afterwards have had no effect and can be run alone: after a
    /// failure the server skips the rest. The first of them is the one to blame.
    ///
    /// - Parameters:
    ///   - bytesLimit: what the rows of the whole batch may take in memory, and what may have come of a statement before it
    ///     is whole; nil for any. Beyond it the connection is closed, since the rest would have to be read.
    ///   - rollsBack: whether the transaction ends by ROLLBACK, for statements of users. Since it is an implicit one,
    ///     PostgreSQL warns; see to it that nobody has to read that.
    ///   - deadline: when the statement that runs is cancelled, and with it the rest.
    /// - Throws: ``PostgresError`` if the batch ended early, by its deadline or with the connection. What has its rows by
    ///   then is good.
    package func run(
        batch: [BatchedStatement], bytesLimit: Int? = nil, rollsBack: Bool, deadline: MonotonicTime
    ) async throws(PostgresError) {
        // What has run by the deadline is in the server's buffer and comes with the cancelled rest.
        let operation = try await start(.statement, deadline: deadline + settings.drainTimeout)
        var steps: [BatchStep] = []
        steps.reserveCapacity(batch.count + 4)
        try enterPipeline()
        let handle = try liveHandle()
        for entry in batch where !put(entry.statement, entry.parameters, .execute(entry), &steps, handle) {
            throw lose()
        }
        // The transaction is implicit: begun by the first statement, open until the Sync.
        if rollsBack && !put(Self.rollback, [], .housekeeping, &steps, handle) { throw lose() }
        if PQpipelineSync(handle) == 0 { throw lose() }
        try await flush(operation)
        activity = .streaming
        batchBytesLimit = bytesLimit
        batchDeadline = deadline
        defer { batchBytesLimit = nil }
        watchBatch(from: deadline)
        let isUncertain: Bool
        do throws(PostgresError) {
            isUncertain = try await read(steps, operation)
        } catch {
            if isOpen { try await forgetPrepared() }
            throw error
        }
        if isUncertain { try await forgetPrepared() }
    }

    /// Sees to it that a batch does not outlive its deadline: by one timer of the connection, which batches that end in time
    /// leave as it is.
    private func watchBatch(from moment: MonotonicTime) {
        if let nextBatchTimer, nextBatchTimer <= moment { return }
        nextBatchTimer = moment
        loop.schedule(at: moment) { [weak self] in
            guard let self else { return }
            nextBatchTimer = nil
            guard let deadline = batchDeadline, activity == .streaming else { return }
            if deadline <= .now() { requestCancel() } else { watchBatch(from: deadline) }
        }
    }

    /// Prepared, too: to parse it costs as much as a lookup.
    private static let rollback = Statement(name: "rollback", sql: "ROLLBACK")

    /// A statement is prepared for no more different types of its parameters.
    private static let variantLimit = 8

    /// What a batch waits for, in order.
    private enum BatchStep {
        /// A statement without rows: one that prepares or forgets another, or ends the transaction.
        case housekeeping
        case execute(BatchedStatement)
    }

    /// Puts one statement into libpq's buffer; false if libpq refuses it. One that cannot be sent is left out.
    private func put(
        _ statement: Statement, _ values: [Parameter], _ step: BatchStep, _ steps: inout [BatchStep],
        _ handle: OpaquePointer
    ) -> Bool {
        do { try parameters.encode(values) } catch { return true }
        var name = batched.find(statement, parameters)
        if name == nil {
            if statement.sql.utf8.contains(0) { return true }
            let isWelcome = batched.variantCount(statement) < Self.variantLimit
            var hasRoom = isWelcome && batched.count < settings.batchedStatementLimit
            if isWelcome, !hasRoom, let disused = batched.outOfUse() {
                for old in batched.remove(disused) {
                    let command = "DEALLOCATE \(Self.quotedIdentifier(old))"
                    if PQsendQueryParams(handle, command, 0, nil, nil, nil, nil, 0) == 0 { return false }
                    steps.append(.housekeeping)
                }
                hasRoom = true
            }
            if hasRoom {
                let new = batched.newName(for: statement)
                if !sendPrepare(handle, new, statement.sql) { return false }
                // Known from now on, for those behind it in the batch; forgotten if it comes to nothing.
                batched.insert(statement, types: parameters.types, serverName: new)
                steps.append(.housekeeping)
                name = new
            }
        }
        steps.append(step)
        return sendExecute(handle, statement.sql, name)
    }

    /// Reads the results of a batch to its Sync. Returns whether something failed, after which the server may know other
    /// prepared statements than we do.
    private func read(_ steps: [BatchStep], _ operation: Operation) async throws(PostgresError) -> Bool {
        var bytes = 0
        // What follows on this connection is not for the timer of this batch to cancel: DEALLOCATE ALL after a failure, too.
        defer { batchDeadline = nil }
        var failed = false
        for step in steps {
            if case .execute(let batched) = step {
                batched.rows = try await readRows(operation)
                bytes += batched.rows.map { PQresultMemorySize($0.result.pointer) } ?? 0
                if let limit = batchBytesLimit, bytes > limit { throw refuseBatch(limit) }
                if batched.rows == nil { failed = true }
            } else {
                while let result = try await nextResult(operation) { if result.isError { failed = true } }
                if PQstatus(try liveHandle()) == CONNECTION_BAD { throw lose() }
            }
        }
        _ = try await readToSync(operation)
        try finish(nil)
        return failed
    }

    /// The rows of the statement whose turn it is; nil if it failed or was skipped.
    private func readRows(_ operation: Operation) async throws(PostgresError) -> BatchedRows? {
        var rows: OwnedResult?
        var isGood = true
        while let result = try await nextResult(operation) {
            if result.status == PGRES_TUPLES_OK { rows = result } else { isGood = false }
        }
        if PQstatus(try liveHandle()) == CONNECTION_BAD { throw lose() }
        return isGood ? rows.map { BatchedRows($0) } : nil
    }

    /// Forgets what is prepared, here and on the server.
    private func forgetPrepared() async throws(PostgresError) {
        prepared.forgetAll()
        batched.forgetAll()
        _ = try await script("DEALLOCATE ALL", deadline: .now() + settings.drainTimeout)
    }
}
