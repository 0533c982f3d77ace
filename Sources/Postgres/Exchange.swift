// SPDX-License-Identifier: Apache-2.0

// How an operation waits: sending, receiving, deadlines, and getting back to a clean state after a failure.

import CLibPQ
import EventLoop
import Glibc

/// One operation's limits.
struct Operation {
    var deadline: MonotonicTime
    /// Whether a cancelled task stops it; cleaning up (ROLLBACK, draining) must go on.
    var heedsTaskCancellation = true
    /// Whether this is already the clean-up: its own deadline then closes the connection.
    var isCleanUp = false
}

extension PostgresConnection {
    // MARK: Start and end

    /// Opens an operation: cleans up what an earlier user left, and refuses a second operation at a time.
    func start(
        _ activity: Activity, deadline: MonotonicTime?, heedsTaskCancellation: Bool = true
    ) async throws(PostgresError) -> Operation {
        loop.preconditionOnLoop()
        let operation = Operation(
            deadline: deadline ?? .now() + settings.operationTimeout, heedsTaskCancellation: heedsTaskCancellation)
        _ = try liveHandle()
        switch self.activity {
        case .idle: break
        case .abandoned: try await cleanUp()
        case .sentAhead: try await collectSentAhead(operation)
        case .statement, .streaming, .copyingIn:
            throw PostgresError(
                .usage, "the connection is busy with another operation",
                hint: "Read a stream to its end or cancel it before the next statement.")
        }
        if !cancellation.isSettled {
            let settled = await cancellation.settled(on: loop, until: operation.deadline)
            if !settled { throw lose(PostgresError(.timeout, "a cancel request did not come back")) }
        }
        if heedsTaskCancellation && Task.isCancelled { throw PostgresError(.cancelled, "the task is cancelled") }
        _ = try liveHandle()
        self.activity = activity
        cancellation.begin()
        return operation
    }

    /// Closes an operation whose last message has been read.
    func end() {
        activity = .idle
        cancellation.end()
        collectNotifications()
    }

    /// Sends what `send` puts into libpq's buffer; libpq refusing it is an error of usage or a lost connection.
    func send(_ operation: Operation, _ send: (OpaquePointer) -> CInt) async throws(PostgresError) {
        let handle = try liveHandle()
        if send(handle) == 0 {
            let error = PostgresError(connection: handle)
            // Half a pipeline cannot be taken back.
            if PQstatus(handle) == CONNECTION_BAD || isPipelined { throw lose(error) }
            end()
            throw PostgresError(.usage, error.message)
        }
        try await flush(operation)
    }

    // MARK: Waiting

    /// Pushes libpq's output buffer into the socket.
    func flush(_ operation: Operation) async throws(PostgresError) {
        while true {
            let handle = try liveHandle()
            switch PQflush(handle) {
            case 0: return
            case 1: try await awaitWritable(operation)
            default:
                // The server may have said why before it hung up: that is the better error.
                throw await lostWithServersReason(operation)
            }
        }
    }

    /// Waits for room in the socket. The server may itself wait for us to read (a flood of notices), so input is taken
    /// in now and then while the output does not move.
    private func awaitWritable(_ operation: Operation) async throws(PostgresError) {
        let slice = MonotonicTime.now() + .milliseconds(20)
        let registration = try liveRegistration()
        let outcome = await heedingCancellation(operation) {
            await registration.writable(until: min(slice, operation.deadline))
        }
        switch outcome {
        case .ready: return
        case .cancelled: throw lose()
        case .timedOut:
            if operation.deadline <= .now() { throw await expire(operation) }
            let handle = try liveHandle()
            if activity == .copyingIn && serverHasRefusedCopy() { return }
            if PQconsumeInput(handle) == 0 { throw await lostWithServersReason(operation) }
        }
    }

    /// Waits until the socket is readable, or `patience` has passed: then false. Now and then it sees to a cancel request
    /// that had no effect.
    @discardableResult
    func awaitReadable(
        _ operation: Operation, until patience: MonotonicTime = .distantFuture
    ) async throws(PostgresError) -> Bool {
        while true {
            let slice = min(patience, .now() + .milliseconds(500))
            let registration = try liveRegistration()
            let outcome = await heedingCancellation(operation) {
                await registration.readable(until: min(slice, operation.deadline))
            }
            switch outcome {
            case .ready: return true
            case .cancelled: throw lose()
            case .timedOut:
                if operation.deadline <= .now() { throw await expire(operation) }
                if patience <= .now() { return false }
                cancellation.repeatRequest()
            }
        }
    }

    /// Ends the operation if its time is up or its task is cancelled, as a wait does; for those who need not wait.
    func checkGoing(_ operation: Operation) async throws(PostgresError) {
        if operation.deadline <= .now() { throw await expire(operation) }
        if operation.heedsTaskCancellation && Task.isCancelled { _ = cancellation.request() }
    }

    /// A cancelled task turns into a cancel request; the wait itself goes on until the server answers it.
    private func heedingCancellation(
        _ operation: Operation, _ wait: () async -> Registration.Outcome
    ) async -> Registration.Outcome {
        if !operation.heedsTaskCancellation { return await wait() }
        let cancellation = cancellation
        return await withTaskCancellationHandler(operation: wait) { _ = cancellation.request() }
    }

    // MARK: Results

    /// The next result, or nil after the last one of the operation. Does not end the operation.
    func nextResult(_ operation: Operation) async throws(PostgresError) -> OwnedResult? {
        while true {
            let handle = try liveHandle()
            if PQisBusy(handle) == 0 {
                unfinishedBytes = 0
                return try takeResult()
            }
            try await awaitReadable(operation)
            try boundRow()
            // A failure shows in the result that PQgetResult makes of it, after those that arrived before it.
            if PQconsumeInput(try liveHandle()) == 0 { return try takeResult() }
        }
    }

    /// Counts what is about to be read; throws, with the connection closed, if it makes one row, or a statement of a batch,
    /// too large. libpq would make room for all of it. What the server sends while libpq reads is not counted: see
    /// ``RowStream``; what libpq leaves in the socket is counted again.
    func boundRow() throws(PostgresError) {
        guard activity == .streaming, let limit = batchBytesLimit ?? settings.rowBytesLimit else { return }
        var available: CInt = 0
        if ioctl(PQsocket(try liveHandle()), UInt(FIONREAD), &available) == 0 { unfinishedBytes += Int(available) }
        if unfinishedBytes <= limit { return }
        if batchBytesLimit == nil { throw refuseRow(limit) }
        throw refuseBatch(limit)
    }

    /// Stops the statement and closes the connection, since the rest of the row would have to be read; returns the error.
    func refuseRow(_ limit: Int) -> PostgresError {
        giveUp(
            PostgresError(
                .server, "a row is larger than \(limit) bytes", sqlState: "54000",
                hint: "Ask for parts of the value, as with substr() or by unnesting it."))
    }

    /// The same for the rows of a batch.
    func refuseBatch(_ limit: Int) -> PostgresError {
        giveUp(PostgresError(.cancelled, "a batch of statements has more than \(limit) bytes of rows"))
    }

    private func giveUp(_ error: PostgresError) -> PostgresError {
        _ = cancellation.request()
        _ = lose()
        return error
    }

    /// The result that is complete in libpq's memory, or nil after the last.
    func takeResult() throws(PostgresError) -> OwnedResult? {
        let handle = try liveHandle()
        return PQgetResult(handle).map(OwnedResult.init)
    }

    /// Reads results to the last one and hands each to `body`; throws the first error among them, after reading all.
    func collectResults(
        _ operation: Operation, _ body: (OwnedResult) -> Void
    ) async throws(PostgresError) {
        var failure: PostgresError?
        while let result = try await nextResult(operation) {
            switch result.status {
            case PGRES_COPY_IN, PGRES_COPY_OUT, PGRES_COPY_BOTH:
                failure = failure ?? PostgresError(.usage, "COPY needs copyIn or copyOut")
                try await leaveCopy(result.status, operation)
            default:
                if result.isError {
                    failure = failure ?? PostgresError(result: result.pointer)
                } else {
                    noteEffects(ofTag: result.commandTag)
                    body(result)
                }
            }
        }
        try finish(failure)
    }

    /// Ends the operation, or the connection if it is broken, and throws the operation's failure.
    func finish(_ failure: PostgresError?) throws(PostgresError) {
        // The server's own last words first, what libpq makes of the closed socket second.
        if failure?.kind == .connection { throw lose(failure) }
        if PQstatus(try liveHandle()) == CONNECTION_BAD { throw lose() }
        end()
        if let failure { throw failure }
    }

    /// Gets out of a COPY that the caller did not ask for, if the result began one: refuses to send, or reads the data
    /// away.
    private func leaveCopy(_ status: ExecStatusType, _ operation: Operation) async throws(PostgresError) {
        switch status {
        case PGRES_COPY_IN:
            _ = PQputCopyEnd(try liveHandle(), "COPY was not expected")
            try await flush(operation)
        case PGRES_COPY_OUT, PGRES_COPY_BOTH: while try await nextCopyChunk(operation, { _ in }) {}
        default: return
        }
    }

    /// Reads to the end of a pipeline and leaves pipeline mode (PostgreSQL 15 docs, 34.5); returns the first error
    /// among the results. Does not end the operation.
    func readToSync(_ operation: Operation) async throws(PostgresError) -> PostgresError? {
        var failure: PostgresError?
        while true {
            guard let result = try await nextResult(operation) else {
                // Between two statements; or for ever, if the connection is gone.
                if PQstatus(try liveHandle()) == CONNECTION_BAD { throw lose(failure) }
                continue
            }
            if result.status == PGRES_PIPELINE_SYNC { break }
            // What follows an error in a pipeline is skipped, and says so.
            if result.isError && result.status != PGRES_PIPELINE_ABORTED {
                failure = failure ?? PostgresError(result: result.pointer)
            }
            try await leaveCopy(result.status, operation)
        }
        if PQexitPipelineMode(try liveHandle()) == 0 { throw lose() }
        isPipelined = false
        return failure
    }

    /// The connection broke while sending: reads what the server said before, for at most a moment.
    private func lostWithServersReason(_ operation: Operation) async -> PostgresError {
        guard let handle = try? liveHandle() else { return lose() }
        var said: PostgresError?
        while PQisBusy(handle) == 0, let pointer = PQgetResult(handle) {
            let result = OwnedResult(pointer)
            if result.status == PGRES_COPY_IN { break }
            if result.isError && said?.sqlState == nil { said = PostgresError(result: result.pointer) }
        }
        if var said, said.sqlState != nil {
            said.kind = .connection
            return lose(said)
        }
        return lose()
    }

    // MARK: Clean-up

    /// The deadline has passed: cancels, drains, and returns the error to throw.
    private func expire(_ operation: Operation) async -> PostgresError {
        if operation.isCleanUp { return lose(PostgresError(.timeout, "the server did not react to a cancel request")) }
        let error = PostgresError(.timeout, "the deadline of the operation passed")
        do {
            try await cleanUp()
        } catch {
            // The connection is closed and says so; the caller hears of the deadline.
        }
        return error
    }

    /// Brings a connection in the middle of something back to idle: cancels what runs and reads the rest away, within
    /// ``ConnectionSettings/drainTimeout``. Throws, with the connection closed, if that fails.
    ///
    /// - Parameter cancelling: false where the server waits for our COPY data, which ends without a cancel request: one
    ///   that it meets before it has read the Sync behind the COPY would leave it with a Sync too many.
    func cleanUp(cancelling: Bool = true) async throws(PostgresError) {
        let operation = Operation(
            deadline: .now() + settings.drainTimeout, heedsTaskCancellation: false, isCleanUp: true)
        activity = .statement
        if cancelling { _ = cancellation.request() }
        try await flush(operation)
        if isPipelined {
            _ = try await readToSync(operation)
        } else {
            while let result = try await nextResult(operation) { try await leaveCopy(result.status, operation) }
        }
        let settled = await cancellation.settled(on: loop, until: operation.deadline)
        if !settled { throw lose(PostgresError(.timeout, "a cancel request did not come back")) }
        try finish(nil)
    }
}
