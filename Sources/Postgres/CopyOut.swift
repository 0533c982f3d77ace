// SPDX-License-Identifier: Apache-2.0

import CLibPQ
package import EventLoop

/// A running `COPY … TO STDOUT` (PostgreSQL 15 docs, 34.10.2): the server does the formatting, and a row is one copy of
/// bytes here. The cheapest way to get many rows out.
///
/// The same back-pressure and the same rule as for ``RowStream``: read to the end or ``cancel()``.
package final class CopyOut {
    /// Columns of the result.
    package let columnCount: Int
    /// Rows copied, known at the end.
    package private(set) var rowCount = 0

    private let connection: PostgresConnection
    private let operation: Operation
    private var isOpen = true

    init(connection: PostgresConnection, operation: Operation, columnCount: Int) {
        self.connection = connection
        self.operation = operation
        self.columnCount = columnCount
    }

    deinit {
        if isOpen && connection.activity == .streaming { connection.activity = .abandoned }
    }

    /// Calls `body` with the next message's bytes (in text and CSV format one row with its newline), valid inside it
    /// only; returns false at the end instead.
    package func next(_ body: (UnsafeRawBufferPointer) -> Void) async throws(PostgresError) -> Bool {
        if !isOpen { return false }
        do {
            if try await connection.nextCopyChunk(operation, body) { return true }
            isOpen = false
            connection.activity = .statement
            try await connection.collectResults(operation) {
                rowCount = Int(String(cString: PQcmdTuples($0.pointer))) ?? 0
            }
            return false
        } catch {
            isOpen = false
            throw error
        }
    }

    /// Appends messages to `buffer` until it holds at least `limit` bytes or no more have arrived; returns false once the
    /// COPY has ended. One call per chunk to be sent on, instead of one per row.
    package func fill(_ buffer: inout [UInt8], limit: Int) async throws(PostgresError) -> Bool {
        guard try await next({ buffer.append(contentsOf: $0) }) else { return false }
        while buffer.count < limit, connection.nextBufferedCopyChunk({ buffer.append(contentsOf: $0) }) {}
        return true
    }

    /// Stops before the end, as ``RowStream/cancel()`` does.
    package func cancel() async {
        if !isOpen { return }
        isOpen = false
        guard connection.isOpen else { return }
        do {
            try await connection.cleanUp()
        } catch {
            // The connection is closed and says why; there is nothing more to stop.
        }
    }
}

extension PostgresConnection {
    /// Starts `COPY … TO STDOUT`. `deadline` is for the whole COPY, the caller's own pauses included.
    package func copyOut(_ sql: String, deadline: MonotonicTime? = nil) async throws(PostgresError) -> CopyOut {
        let operation = try await start(.statement, deadline: deadline)
        try await sendQuery(sql, [], .text, operation)
        let columns = try await expectCopy(PGRES_COPY_OUT, "COPY … TO STDOUT", operation)
        activity = .streaming
        return CopyOut(connection: self, operation: operation, columnCount: columns)
    }

    /// Hands the next message of COPY data to `body`, waiting for it; false at the end of the data.
    func nextCopyChunk(
        _ operation: Operation, _ body: (UnsafeRawBufferPointer) -> Void
    ) async throws(PostgresError) -> Bool {
        while true {
            var memory: UnsafeMutablePointer<CChar>?
            let count = PQgetCopyData(try liveHandle(), &memory, 1)
            if count > 0 {
                body(UnsafeRawBufferPointer(start: memory, count: Int(count)))
                PQfreemem(memory)
                return true
            }
            // -1: the end. -2: an error, which the next PQgetResult reports.
            if count < 0 { return false }
            try await awaitReadable(operation)
            if PQconsumeInput(try liveHandle()) == 0 { return false }
        }
    }

    /// As ``nextCopyChunk(_:_:)`` for what is in memory already.
    func nextBufferedCopyChunk(_ body: (UnsafeRawBufferPointer) -> Void) -> Bool {
        guard let handle = try? liveHandle() else { return false }
        var memory: UnsafeMutablePointer<CChar>?
        let count = PQgetCopyData(handle, &memory, 1)
        if count <= 0 { return false }
        body(UnsafeRawBufferPointer(start: memory, count: Int(count)))
        PQfreemem(memory)
        return true
    }
}
