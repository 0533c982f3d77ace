// SPDX-License-Identifier: Apache-2.0

import CLibPQ
package import EventLoop

extension PostgresConnection {
    /// Connects (PostgreSQL 15 docs, 34.1: PQconnectStartParams and PQconnectPoll) on `loop`, on whose thread the
    /// caller runs, by `deadline` or within ``ConnectionSettings/connectTimeout``.
    ///
    /// Several hosts, or addresses of one, are tried in their order, each with its share of the time: libpq would wait for
    /// the first one, which may have gone without a word, until all of it is over.
    ///
    /// Throws kind `.connection` with the server's SQLSTATE where it gave one, or `.timeout`.
    package static func connect(
        _ settings: ConnectionSettings, on loop: EventLoop, deadline: MonotonicTime? = nil
    ) async throws(PostgresError) -> PostgresConnection {
        loop.preconditionOnLoop()
        let limit = MonotonicTime.now() + settings.connectTimeout
        let deadline = min(deadline ?? limit, limit)
        let parameters = try await resolved(settings.parameters(), on: loop, deadline: deadline)
        var failures: [PostgresError] = []
        var candidates = HostList(parameters)
        while let attempt = candidates.next() {
            let now = MonotonicTime.now()
            let share = now + (deadline - now) / attempt.remaining
            do {
                let handle = try await connect(attempt.parameters, on: loop, deadline: share)
                return PostgresConnection(established: handle, settings: settings, loop: loop)
            } catch {
                // As libpq has it, a server that knows us and refuses us is the answer.
                if error.kind == .cancelled || error.sqlState == "28P01" { throw error }
                failures.append(error)
                candidates.note(error)
            }
        }
        guard var failure = failures.last else { throw PostgresError(.connection, "no host to connect to") }
        if failures.count > 1 {
            failure.message = failures.map(\.message).joined(separator: "; ")
            if failures.contains(where: { $0.kind == .connection }) { failure.kind = .connection }
        }
        throw failure
    }

    private static func connect(
        _ parameters: [(keyword: String, value: String)], on loop: EventLoop, deadline: MonotonicTime
    ) async throws(PostgresError) -> OpaquePointer {
        guard let handle = startConnect(parameters) else { throw PostgresError(.connection, "out of memory") }
        do {
            try await poll(handle, on: loop, deadline: deadline)
        } catch {
            PQfinish(handle)
            throw error
        }
        return handle
    }

    private static func startConnect(_ parameters: [(keyword: String, value: String)]) -> OpaquePointer? {
        withCStrings(parameters.map(\.keyword)) { keywords in
            withCStrings(parameters.map(\.value)) { values in PQconnectStartParams(keywords, values, 0) }
        }
    }

    /// Calls `body` with a null-terminated array of C strings.
    private static func withCStrings<T>(
        _ strings: [String], _ body: (UnsafePointer<UnsafePointer<CChar>?>) -> T
    ) -> T {
        var bytes: [CChar] = []
        var offsets: [Int] = []
        for string in strings {
            offsets.append(bytes.count)
            bytes.append(contentsOf: string.utf8CString)
        }
        return bytes.withUnsafeBufferPointer { buffer in
            var pointers: [UnsafePointer<CChar>?] = offsets.map { buffer.baseAddress! + $0 }
            pointers.append(nil)
            return pointers.withUnsafeBufferPointer { body($0.baseAddress!) }
        }
    }

    private static func poll(
        _ handle: OpaquePointer, on loop: EventLoop, deadline: MonotonicTime
    ) async throws(PostgresError) {
        // Start as if it had said "writing" (docs 34.1): wait before the first poll.
        var status = PGRES_POLLING_WRITING
        while true {
            if PQstatus(handle) == CONNECTION_BAD { throw failure(of: handle) }
            switch status {
            case PGRES_POLLING_OK: return
            case PGRES_POLLING_READING, PGRES_POLLING_WRITING:
                try await waitOnce(handle, toRead: status == PGRES_POLLING_READING, on: loop, deadline: deadline)
            default: throw failure(of: handle)
            }
            status = PQconnectPoll(handle)
        }
    }

    /// One wait with a registration of its own: between two polls libpq may have closed the socket and opened another
    /// under the same number (next address, next host, retry without TLS).
    private static func waitOnce(
        _ handle: OpaquePointer, toRead: Bool, on loop: EventLoop, deadline: MonotonicTime
    ) async throws(PostgresError) {
        let registration: Registration
        do {
            registration = try loop.register(PQsocket(handle), mode: .oneShot)
        } catch {
            throw PostgresError(.connection, "watching the socket: \(error)")
        }
        let outcome = await interruptible(registration, on: loop) {
            toRead ? await registration.readable(until: deadline) : await registration.writable(until: deadline)
        }
        registration.deregister()
        switch outcome {
        case .ready: return
        case .timedOut: throw PostgresError(.timeout, "connecting to the server took too long")
        case .cancelled: throw PostgresError(.cancelled, "the task was cancelled while connecting")
        }
    }

    /// The server's refusal ("FATAL: password authentication failed…") or libpq's reason. libpq gives no SQLSTATE here,
    /// so the states that matter for retrying are told by the text of the untranslated message.
    private static func failure(of handle: OpaquePointer) -> PostgresError {
        var error = PostgresError(connection: handle)
        let text = error.message
        if text.contains("starting up") || text.contains("shutting down") || text.contains("not yet accepting") {
            error.sqlState = "57P03"
        } else if text.contains("too many") || text.contains("remaining connection slots") {
            error.sqlState = "53300"
        } else if text.contains("password authentication failed") || text.contains("no password supplied") {
            error.sqlState = "28P01"
        }
        return error
    }

    /// A wait that a cancelled task ends at once: the registration is deregistered on the loop, which ends its waits.
    static func interruptible(
        _ registration: Registration, on loop: EventLoop, _ wait: () async -> Registration.Outcome
    ) async -> Registration.Outcome {
        let interrupt = Interrupt(registration)
        return await withTaskCancellationHandler(operation: wait) {
            _ = Task(executorPreference: loop) { interrupt.fire(on: loop) }
        }
    }

    /// Carries a registration to a task on the loop, which alone touches it.
    private struct Interrupt: @unchecked Sendable {
        // Rule for `@unchecked Sendable`: opened on the loop's thread only, which `fire` checks.
        private weak let registration: Registration?

        init(_ registration: Registration) { self.registration = registration }

        func fire(on loop: EventLoop) {
            loop.preconditionOnLoop()
            registration?.cancelWaits()
        }
    }
}
