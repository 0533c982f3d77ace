// SPDX-License-Identifier: Apache-2.0

import CLibPQ
import EventLoop
import Synchronization

/// Asks the server to cancel what a connection runs, from any thread: what an HTTP handler keeps of a query that
/// somebody else may want to stop.
///
/// It is tied to one user's hold on the connection: once a pool has the connection back, the handle does nothing, so it
/// cannot hit the next user's statement.
package struct CancelHandle: Sendable {
    let cancellation: Cancellation
    let lease: UInt64

    /// Sends a cancel request in the background. Returns false if nothing runs, if the connection has moved on to
    /// another user, or if the queue of cancel requests is full.
    @discardableResult
    package func cancel() -> Bool { cancellation.request(lease: lease) }
}

/// The cancel requests of one connection.
///
/// A cancel request names a server process, not a statement: one that arrives late cancels the next statement. So
/// requests are sent only while a statement runs, and the next statement starts only when all of them are settled
/// (`PQcancel` returns after the server has handled it). One that comes early does nothing, since the server ignores it
/// while it has not read the statement: requests are sent again until the statement ends.
final class Cancellation: Sendable {
    /// `PGcancel`: a copy of address and secret, which libpq only reads.
    private final class Key: @unchecked Sendable {
        // Rule for `@unchecked Sendable`: immutable; PostgreSQL 15 docs, 34.7: PQcancel may run on any thread.
        let pointer: OpaquePointer
        init(_ pointer: OpaquePointer) { self.pointer = pointer }
        deinit { PQfreeCancel(pointer) }
    }

    private struct State {
        var key: Key?
        var lease: UInt64 = 0
        var running = false
        var requested = false
        var inFlight = 0
        var settled: Waiter?
    }

    private let state = Mutex(State())

    /// Takes the key of a connection that has been established, or nil when it is closed.
    func setKey(_ pointer: OpaquePointer?) {
        let key = pointer.map(Key.init)
        state.withLock { $0.key = key }
    }

    var lease: UInt64 { state.withLock { $0.lease } }

    /// The connection changes hands: handles given out so far become void.
    func endLease() { state.withLock { $0.lease += 1 } }

    /// A statement starts.
    func begin() {
        state.withLock { state in
            state.running = true
            state.requested = false
        }
    }

    /// The statement's last message has arrived.
    func end() { state.withLock { $0.running = false } }

    /// Whether a cancel request was sent for the statement that ran last.
    var wasRequested: Bool { state.withLock { $0.requested } }

    /// Sends a request if a statement runs and none has been sent for it.
    func request(lease: UInt64? = nil) -> Bool {
        let key: Key? = state.withLock { state in
            guard state.running, let key = state.key, lease == nil || lease == state.lease else { return nil }
            if state.requested { return nil }
            state.requested = true
            state.inFlight += 1
            return key
        }
        guard let key else { return false }
        return send(key)
    }

    /// Sends once more what was requested for the statement that runs, unless a request is still under way.
    func repeatRequest() {
        let key: Key? = state.withLock { state in
            guard state.running, state.requested, state.inFlight == 0, let key = state.key else { return nil }
            state.inFlight += 1
            return key
        }
        if let key { _ = send(key) }
    }

    /// Queues the request, which is counted in `inFlight`; false if the queue is full.
    private func send(_ key: Key) -> Bool {
        let accepted = BlockingCalls.cancelRequests.submit { [self] in
            // libpq's text goes nowhere: a cancel that failed shows as a statement that goes on.
            withUnsafeTemporaryAllocation(of: CChar.self, capacity: 256) { buffer in
                _ = PQcancel(key.pointer, buffer.baseAddress, CInt(buffer.count))
            }
            settle()
        }
        if !accepted { settle() }
        return accepted
    }

    private func settle() {
        let waiter: Waiter? = state.withLock { state in
            state.inFlight -= 1
            if state.inFlight > 0 { return nil }
            defer { state.settled = nil }
            return state.settled
        }
        waiter?.resume()
    }

    var isSettled: Bool { state.withLock { $0.inFlight == 0 } }

    /// Waits until no request is under way; false if `deadline` comes first.
    func settled(on loop: EventLoop, until deadline: MonotonicTime) async -> Bool {
        let waiter = Waiter()
        let waits = state.withLock { state in
            if state.inFlight == 0 { return false }
            state.settled = waiter
            return true
        }
        if !waits { return true }
        loop.schedule(at: deadline) { waiter.resume() }
        await withUnsafeContinuation { waiter.arm($0) }
        return isSettled
    }
}
