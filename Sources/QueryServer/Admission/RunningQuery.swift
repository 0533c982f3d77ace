// SPDX-License-Identifier: Apache-2.0
// What runs at this moment, on whichever loop, and how it is stopped.

import EventLoop
import HTTP
import Market
import Synchronization

/// One statement of a client, from its arrival until the last of its rows is gone. Usable from any thread.
final class RunningQuery: Sendable {
    /// By which door it came.
    enum Kind: String, Sendable {
        case sql, rest, trino
    }

    /// Where it is.
    enum Stage: String, Sendable {
        /// It waits for its turn.
        case queued
        /// PostgreSQL works on it, or its rows are on their way.
        case running
        /// It was told to stop.
        case cancelling
    }

    /// What ended a query before its own end. The first reason counts.
    enum Ending: Sendable, Equatable {
        /// Nobody waits for the answer any more.
        case clientGone
        /// Somebody asked for it, by its number; with the reason they gave.
        case cancelled(String?)
    }

    let id: String
    let kind: Kind
    let client: Caller
    /// The statement, or what was asked for in its place.
    let text: String
    /// Its parameters as a JSON array, where they are to be written down.
    let parameters: String?
    /// The trace of the request that brought it.
    let trace: TraceContext?
    let started: MonotonicTime
    /// The same, on the wall clock.
    let startedAt: Timestamp
    /// Rows and bytes of the reply so far.
    let rows = Atomic(0)
    let bytes = Atomic(0)

    /// A stage on the way to the first byte, and how long it took.
    struct Timing: Sendable {
        var name: StaticString
        var duration: Duration
    }

    private struct State {
        var stage = Stage.queued
        var timings: [Timing] = []
        var lastMark: MonotonicTime?
        var ending: Ending?
        var stop: (@Sendable () -> Void)?
        var prepared: String?
    }

    private let state = Mutex(State())

    init(
        id: String, kind: Kind, client: Caller, text: String, parameters: String? = nil, trace: TraceContext? = nil,
        started: MonotonicTime, startedAt: Timestamp
    ) {
        self.id = id
        self.kind = kind
        self.client = client
        self.text = text
        self.parameters = parameters
        self.trace = trace
        self.started = started
        self.startedAt = startedAt
    }

    var stage: Stage { state.withLock { $0.stage } }

    /// The stages that ``mark(_:)`` has closed.
    var timings: [Timing] { state.withLock { $0.timings } }

    /// Closes a stage that began where the one before ended, the first one with the query.
    func mark(_ name: StaticString) {
        let now = MonotonicTime.now()
        state.withLock { state in
            state.timings.append(Timing(name: name, duration: now - (state.lastMark ?? started)))
            state.lastMark = now
        }
    }

    /// The text of the prepared statement that it executes.
    var prepared: String? { state.withLock { $0.prepared } }

    /// It turned out to execute a prepared statement.
    func executes(_ prepared: String) { state.withLock { $0.prepared = prepared } }

    /// What ended it early, if anything has.
    var ending: Ending? { state.withLock { $0.ending } }

    /// Ends the query: it leaves the queue, or its statement is cancelled in PostgreSQL. False if something else has
    /// ended it before.
    @discardableResult
    func end(_ ending: Ending) -> Bool {
        let (isFirst, stop) = state.withLock { state in
            let isFirst = state.ending == nil
            if isFirst {
                state.ending = ending
                state.stage = .cancelling
            }
            return (isFirst, state.stop)
        }
        // Again if asked again: a request that came between two statements had nothing to cancel.
        stop?()
        return isFirst
    }

    /// Has `stop` called, from any thread, when the query is ended; at once if it has been. Replaces the earlier one.
    func whenEnded(_ stop: @escaping @Sendable () -> Void) {
        let isLate = state.withLock { state in
            state.stop = stop
            return state.ending != nil
        }
        if isLate { stop() }
    }

    /// It has its connection; `stop` cancels what runs on it.
    func begin(stop: @escaping @Sendable () -> Void) {
        state.withLock { if $0.stage == .queued { $0.stage = .running } }
        whenEnded(stop)
    }

    /// Its connection is no longer its own.
    func release() { state.withLock { $0.stop = nil } }

    /// To be called between two statements, since a cancel request reaches a running one only.
    func checkGoing() throws {
        if let ending { throw Self.failure(ending) }
    }

    /// The error that the client should hear of: what ended the query if something has, since everything after it is a
    /// consequence; else `error`.
    func failure(_ error: any Error) -> any Error { ending.map(Self.failure) ?? error }

    private static func failure(_ ending: Ending) -> any Error {
        switch ending {
        case .clientGone: HTTPError.clientGone
        case .cancelled(let reason):
            QueryError(
                409, "57014", "the query was cancelled", details: reason,
                hint: reason == nil ? "Somebody asked for it, by DELETE /api/v1/queries/{id}." : nil)
        }
    }
}

/// The queries that wait or run now, of all event loops.
final class RunningQueries: Sendable {
    private let queries = Mutex<[String: RunningQuery]>([:])

    init() {}

    func add(_ query: RunningQuery) { queries.withLock { $0[query.id] = query } }

    func remove(_ query: RunningQuery) { queries.withLock { $0[query.id] = nil } }

    func find(_ id: String) -> RunningQuery? { queries.withLock { $0[id] } }

    /// All of them, oldest first.
    var all: [RunningQuery] {
        queries.withLock { Array($0.values) }.sorted { ($0.started, $0.id) < ($1.started, $1.id) }
    }
}
