// SPDX-License-Identifier: Apache-2.0

import CLibPQ
package import EventLoop

/// The rows of a running statement, one at a time (libpq's single-row mode, PostgreSQL 15 docs, 34.6).
///
/// Nothing is read from the socket while the caller does not ask for rows, so a slow caller slows the server down and
/// memory stays flat. Read to the end or call ``cancel()``: the connection is busy until then. A stream that is let go
/// of before is cancelled by the connection's next operation.
package final class RowStream {
    /// Known before the first row, and for a result without rows; empty for a statement that returns none.
    package let columns: [ColumnDescription]
    /// What the server says it did (`SELECT 42`); empty until the end.
    package private(set) var commandTag = ""
    /// Rows handed out so far.
    package private(set) var rowCount = 0

    private let connection: PostgresConnection
    private let operation: Operation
    /// The row handed out last, or the first one while `isAhead`.
    private var current: OpaquePointer?
    private var isAhead: Bool
    /// Whether `current` is the operation's last result, still to be judged by ``conclude()``.
    fileprivate private(set) var isAtLast: Bool
    private var isOpen = true
    /// `current` is a row beyond ``ConnectionSettings/rowBytesLimit``: it came so fast that libpq had all of it before its
    /// size showed.
    private var isTooLarge = false

    /// How long a turn of the loop may have lasted when what has meanwhile arrived is read without waiting for it: that
    /// saves the loop's system calls, and leaves its other connections waiting for not much longer than this.
    private static let turn = Duration.microseconds(100)

    /// Pieces of the server's output that were taken in, of some 16 KiB at the most.
    private var pieces = 0
    /// A stream that has had no more is none that others would have to wait for.
    private static let fewPieces = 16

    init(connection: PostgresConnection, operation: Operation, first: OwnedResult) {
        self.connection = connection
        self.operation = operation
        columns = first.columns
        isAhead = first.status == PGRES_SINGLE_TUPLE
        isAtLast = !isAhead
        current = first.release()
    }

    deinit {
        if let current { PQclear(current) }
        if isOpen && connection.activity == .streaming { connection.activity = .abandoned }
    }

    /// The next row, or nil after the last. The row before it becomes invalid.
    package func next() async throws(PostgresError) -> Row? {
        if let row = nextBuffered() { return row }
        while true {
            if case .ended(let row) = try await nextAfterWaiting(until: .distantFuture) { return row }
        }
    }

    /// How a wait for a row ended.
    package enum Wait {
        /// By a row, or by the end: nil.
        case ended(Row?)
        /// By the time that one wanted to wait.
        case timedOut
    }

    /// As ``next()``, but waits no longer than `patience`: for those who have something else to do meanwhile.
    package func next(until patience: MonotonicTime) async throws(PostgresError) -> Wait {
        if let row = nextBuffered() { return .ended(row) }
        return try await nextAfterWaiting(until: patience)
    }

    /// The first row, for a look before it is asked for; nil if there is none, or it has been.
    package var firstRow: Row? { isAhead ? current.map { Row(stream: self, result: $0) } : nil }

    /// The next row if it is in memory already. Nil does not mean the end: then ask ``next()``. For loops that count
    /// nanoseconds, as this is an ordinary call.
    package func nextBuffered() -> Row? {
        if isAhead {
            isAhead = false
            rowCount += 1
            return Row(stream: self, result: current!)
        }
        guard isOpen, !isAtLast, let handle = try? connection.liveHandle(), PQisBusy(handle) == 0 else { return nil }
        if let current { PQclear(current) }
        connection.unfinishedBytes = 0
        current = PQgetResult(handle)
        if let current, PQresultStatus(current) == PGRES_SINGLE_TUPLE { return row(current) }
        // The end, or an error: kept for conclude() to judge.
        isAtLast = true
        return nil
    }

    /// The row of a result; nil if it is larger than a row may be.
    private func row(_ result: OpaquePointer) -> Row? {
        if let limit = connection.settings.rowBytesLimit, PQresultMemorySize(result) > limit {
            isTooLarge = true
            isAtLast = true
            return nil
        }
        rowCount += 1
        return Row(stream: self, result: result)
    }

    private func nextAfterWaiting(until patience: MonotonicTime) async throws(PostgresError) -> Wait {
        while isOpen {
            if isTooLarge {
                isOpen = false
                throw connection.refuseRow(connection.settings.rowBytesLimit ?? 0)
            }
            if isAtLast {
                try await conclude()
                return .ended(nil)
            }
            do {
                if try await !receive(until: patience) { return .timedOut }
            } catch {
                isOpen = false
                throw error
            }
            if let row = nextBuffered() { return .ended(row) }
        }
        return .ended(nil)
    }

    /// Takes in more of the server's output, waiting if there is none; false if none came in time.
    private func receive(until patience: MonotonicTime) async throws(PostgresError) -> Bool {
        let loop = connection.loop
        pieces += 1
        if pieces > Self.fewPieces, let giveWay = connection.giveWay {
            await giveWay()
            // Meanwhile so much may have come that there is nothing more to wait for, and a wait is what looks at the time.
            try await connection.checkGoing(operation)
        }
        if MonotonicTime.now() - loop.now > Self.turn { await loop.nextTurn() }
        try connection.boundRow()
        if PQconsumeInput(try connection.liveHandle()) == 0 {
            try broken()
            return true
        }
        if PQisBusy(try connection.liveHandle()) == 0 { return true }
        if try await !connection.awaitReadable(operation, until: patience) { return false }
        try connection.boundRow()
        if PQconsumeInput(try connection.liveHandle()) == 0 { try broken() }
        return true
    }

    /// The socket broke: what the server said before is better than what libpq makes of the break.
    private func broken() throws(PostgresError) {
        if PQisBusy(try connection.liveHandle()) != 0 { throw connection.lose() }
    }

    /// Judges the last result: the command tag, or an error; and ends the operation.
    fileprivate func conclude() async throws(PostgresError) {
        isOpen = false
        var failure: PostgresError?
        if let pointer = current {
            current = nil
            let last = OwnedResult(pointer)
            switch last.status {
            case PGRES_COPY_IN, PGRES_COPY_OUT, PGRES_COPY_BOTH:
                try await connection.cleanUp(cancelling: last.status != PGRES_COPY_IN)
                throw PostgresError(.usage, "COPY needs copyIn or copyOut")
            default:
                if last.isError { failure = PostgresError(result: last.pointer) } else { commandTag = last.commandTag }
            }
        }
        do {
            if connection.isPipelined {
                let later = try await connection.readToSync(operation)
                try connection.finish(failure ?? later)
            } else {
                try await connection.collectResults(operation) { _ in }
            }
        } catch {
            throw failure ?? error
        }
        if let failure { throw failure }
    }

    /// Stops before the end: asks the server to cancel and reads the rest away, within
    /// ``ConnectionSettings/drainTimeout``; the connection is then free again, or closed.
    package func cancel() async {
        if !isOpen { return }
        isOpen = false
        if let current { PQclear(current) }
        current = nil
        guard connection.isOpen else { return }
        do {
            try await connection.cleanUp()
        } catch {
            // The connection is closed and says why; there is nothing more to stop.
        }
    }

    /// One row; valid until the next call of `next`, `nextBuffered` or `cancel`.
    package struct Row: ColumnAccess {
        private let stream: RowStream
        private let result: OpaquePointer

        init(stream: RowStream, result: OpaquePointer) {
            self.stream = stream
            self.result = result
        }

        package var columns: [ColumnDescription] { stream.columns }

        package func unsafeBytes(_ column: Int) -> UnsafeRawBufferPointer? {
            precondition(stream.current == result, "a row used after the next one was asked for")
            return valueBytes(result, row: 0, column: Int32(column))
        }
    }
}

extension PostgresConnection {
    /// Runs one statement and streams its rows; returns when the first row, the empty result or an error is there.
    ///
    /// `deadline` is for the whole stream, the caller's own pauses included.
    package func stream(
        _ sql: String, _ parameters: [Parameter] = [], resultFormat: WireFormat = .text,
        deadline: MonotonicTime? = nil
    ) async throws(PostgresError) -> RowStream {
        let operation = try await start(.statement, deadline: deadline)
        try await sendQuery(sql, parameters, resultFormat, operation)
        return try await openStream(operation)
    }

    /// As ``stream(_:_:resultFormat:deadline:)-(String,_,_,_)``, for a prepared statement.
    package func stream(
        _ statement: Statement, _ parameters: [Parameter] = [], resultFormat: WireFormat = .text,
        deadline: MonotonicTime? = nil
    ) async throws(PostgresError) -> RowStream {
        try await retryingStalePlan(statement, deadline) { operation throws(PostgresError) in
            try await self.sendPrepared(statement, parameters, resultFormat, operation)
            return try await self.openStream(operation)
        }
    }

    /// Switches to single-row mode, which must happen right after the statement is sent, and waits for the first
    /// result.
    func openStream(_ operation: Operation) async throws(PostgresError) -> RowStream {
        activity = .streaming
        if PQsetSingleRowMode(try liveHandle()) == 0 {
            throw lose(PostgresError(.usage, "libpq refused single-row mode"))
        }
        guard let result = try await nextResult(operation) else {
            try finish(PostgresError(.usage, "the server sent no result"))
            throw lose()
        }
        if let limit = settings.rowBytesLimit, result.status == PGRES_SINGLE_TUPLE,
            PQresultMemorySize(result.pointer) > limit
        {
            throw refuseRow(limit)
        }
        let stream = RowStream(connection: self, operation: operation, first: result)
        if stream.isAtLast { try await stream.conclude() }
        return stream
    }
}
