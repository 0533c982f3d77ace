// SPDX-License-Identifier: Apache-2.0
// One query of a Trino client, from its POST until it is forgotten.

import EventLoop
import Market
import Synchronization
import TrinoSQL

/// A query, its client's session, and the mailbox between the two sides.
///
/// One task, on the loop that took the POST, reads its rows; requests for its pages may come in on any loop. They meet
/// under the one lock here, and wake each other by `Waiter`s, which resume a task on the loop it belongs to.
final class TrinoQuery: Sendable {
    /// `20261125_013102_00042_k3x9q`
    let id: String
    /// What only the client knows: who has it may read the pages.
    let slug: String
    let sql: String
    let session: TrinoSession
    /// Its entry in the list of what runs, by which it is stopped.
    let running: RunningQuery
    /// The longest it may take, the sending of its rows included.
    let timeout: Duration
    let created: MonotonicTime

    /// When everything it does ends.
    var deadline: MonotonicTime { created + timeout }

    private struct State {
        var mailbox = TrinoMailbox()
        /// When a place was found for it.
        var begun: MonotonicTime?
        var ended: MonotonicTime?
        /// The client's last sign of life.
        var lastContact: MonotonicTime
        /// Requests that wait for a page.
        var readers: [Waiter] = []
        /// The task that waits for room.
        var writer: Waiter?

        mutating func takeWaiters() -> [Waiter] {
            defer {
                readers = []
                writer = nil
            }
            return writer.map { readers + [$0] } ?? readers
        }
    }

    private let state: Mutex<State>

    init(
        id: String, slug: String, sql: String, session: TrinoSession, running: RunningQuery, timeout: Duration,
        created: MonotonicTime
    ) {
        self.id = id
        self.slug = slug
        self.sql = sql
        self.session = session
        self.running = running
        self.timeout = timeout
        self.created = created
        state = Mutex(State(lastContact: created))
    }

    /// What there is to know of it now.
    struct Snapshot: Sendable {
        var stage: TrinoMailbox.Stage
        var failure: TrinoFailure?
        var updateType: String?
        var rows: Int
        var bytes: Int
        var heldBytes: Int
        var elapsed: Duration
        var queued: Duration
        var isDelivered: Bool
        /// Time since the client was heard of, or since the end if that is later.
        var silence: Duration
        var isEnded: Bool
    }

    func snapshot(_ now: MonotonicTime = .now()) -> Snapshot {
        state.withLock { state in
            var failure: TrinoFailure?
            if case .failed(let reason)? = state.mailbox.ending { failure = reason }
            let lastSign = max(state.lastContact, state.ended ?? state.lastContact)
            return Snapshot(
                stage: state.mailbox.stage, failure: failure, updateType: state.mailbox.effect.updateType,
                rows: state.mailbox.rows, bytes: state.mailbox.bytes,
                heldBytes: state.mailbox.heldBytes + sql.utf8.count, elapsed: elapsed(state, now),
                queued: queued(state, now), isDelivered: state.mailbox.isDelivered,
                silence: state.readers.isEmpty && lastSign < now ? now - lastSign : .zero,
                isEnded: state.mailbox.ending != nil)
        }
    }

    private func elapsed(_ state: State, _ now: MonotonicTime) -> Duration { (state.ended ?? now) - created }

    private func queued(_ state: State, _ now: MonotonicTime) -> Duration {
        (state.begun ?? state.ended ?? now) - created
    }

    // MARK: For the task that reads its rows

    /// Whether there is nothing to do any more.
    var isEnded: Bool { state.withLock { $0.mailbox.ending != nil } }

    /// It has its place.
    func begin() {
        state.withLock { state in
            state.begun = .now()
            state.mailbox.start()
        }
    }

    func describe(columns json: [UInt8]) { state.withLock { $0.mailbox.describe(columns: json) } }

    /// Hands rows over, and waits while the client has not fetched enough of those before.
    ///
    /// - Parameter limit: bytes that may be ready at a time.
    /// - Throws: `CancellationError` when the query has ended; its failure when the time is up.
    func put(_ chunk: [UInt8], rows: Int, limit: Int, on loop: EventLoop) async throws {
        while !putIfRoom(chunk, rows: rows, limit: limit) { try await roomForMore(chunk.count, limit: limit, on: loop) }
    }

    /// Hands the last rows over, and ends the query: the client sees both at once.
    func finish(_ chunk: [UInt8], rows: Int, limit: Int, on loop: EventLoop) async throws {
        while !putIfRoom(chunk, rows: rows, limit: limit, isLast: true) {
            try await roomForMore(chunk.count, limit: limit, on: loop)
        }
    }

    /// Waits until there is room for a chunk, or has been.
    private func roomForMore(_ count: Int, limit: Int, on loop: EventLoop) async throws {
        if MonotonicTime.now() >= deadline { throw TrinoFailure.tooLong(timeout) }
        let waiter = Waiter()
        let waits = try state.withLock { state in
            if state.mailbox.ending != nil { throw CancellationError() }
            if state.mailbox.hasRoom(for: count, within: limit) { return false }
            state.writer = waiter
            return true
        }
        guard waits else { return }
        loop.schedule(at: deadline) { waiter.resume() }
        await withUnsafeContinuation { waiter.arm($0) }
    }

    /// Hands rows over if there is room for them, and ends the query with them if they are its last.
    ///
    /// - Returns: false if there is no room, or the query has ended.
    func putIfRoom(_ chunk: [UInt8], rows: Int, limit: Int, isLast: Bool = false) -> Bool {
        let waiters: [Waiter]? = state.withLock { state in
            guard state.mailbox.ending == nil, state.mailbox.hasRoom(for: chunk.count, within: limit) else {
                return nil
            }
            if rows > 0 { state.mailbox.put(chunk, rows: rows) }
            if isLast {
                _ = state.mailbox.end(.finished)
                state.ended = .now()
            }
            return state.takeWaiters()
        }
        guard let waiters else { return false }
        for waiter in waiters { waiter.resume() }
        running.rows.add(rows, ordering: .relaxed)
        running.bytes.add(chunk.count, ordering: .relaxed)
        return true
    }

    /// Ends a query that has no rows.
    func finish(_ effect: TrinoMailbox.Effect) { end(.finished, effect) }

    /// Ends the query with an error, unless it has ended; from any thread. What runs in PostgreSQL is cancelled.
    func fail(_ failure: TrinoFailure) {
        if end(.failed(failure)) { running.end(.cancelled(nil)) }
    }

    @discardableResult
    private func end(_ ending: TrinoMailbox.Ending, _ effect: TrinoMailbox.Effect? = nil) -> Bool {
        let waiters: [Waiter]? = state.withLock { state in
            if let effect, state.mailbox.ending == nil { state.mailbox.effect = effect }
            guard state.mailbox.end(ending) else { return nil }
            state.ended = .now()
            return state.takeWaiters()
        }
        guard let waiters else { return false }
        for waiter in waiters { waiter.resume() }
        return true
    }

    // MARK: For the requests of its client

    /// The page of a token, waited for until `deadline` at most; on the caller's loop.
    func page(_ token: Int, target: Int, until deadline: MonotonicTime, on loop: EventLoop) async
        -> TrinoMailbox.Taken
    {
        while true {
            let waiter = Waiter()
            let (taken, writer): (TrinoMailbox.Taken, Waiter?) = state.withLock { state in
                let now = MonotonicTime.now()
                state.lastContact = now
                let taken = state.mailbox.take(
                    token, target: target, mayWait: now < deadline, elapsed: elapsed(state, now),
                    queued: queued(state, now))
                if case .nothing = taken {
                    state.readers.append(waiter)
                    return (taken, nil)
                }
                // Room has come up.
                defer { state.writer = nil }
                return (taken, state.writer)
            }
            guard case .nothing = taken else {
                writer?.resume()
                return taken
            }
            loop.schedule(at: deadline) { waiter.resume() }
            await withUnsafeContinuation { waiter.arm($0) }
            state.withLock { $0.readers.removeAll { $0 === waiter } }
        }
    }

    /// The client lives and wants the query to go on.
    func touch() { state.withLock { $0.lastContact = .now() } }

    /// The client wants no more of it.
    func cancel() { abandon(TrinoFailure(.userCanceled, "Query was canceled")) }

    /// Drops what the client has not fetched, and stops what still runs.
    func abandon(_ failure: TrinoFailure) {
        let waiters: [Waiter]? = state.withLock { state in
            guard state.mailbox.abandon(failure) else { return nil }
            state.ended = state.ended ?? .now()
            return state.takeWaiters()
        }
        guard let waiters else { return }
        for waiter in waiters { waiter.resume() }
        running.end(.cancelled(nil))
    }
}

extension TrinoFailure {
    static func tooLong(_ timeout: Duration) -> TrinoFailure {
        TrinoFailure(
            .exceededTimeLimit,
            "Query exceeded the maximum run time limit of \(Double(timeout.inNanoseconds / 1_000_000) / 1000)s")
    }
}
