// SPDX-License-Identifier: Apache-2.0
// Which statement runs when: bounded, fair between clients, across all event loops.

import EventLoop
import Synchronization

/// The door in front of PostgreSQL, one for all event loops.
///
/// Each lane has its own places, so a lookup by key never waits behind somebody's export. Within a lane a statement
/// waits while all places are taken, while its client has as many as one may have, or while its loop has no connection
/// left; clients with statements waiting take turns, however many each has. A wait ends by a place, by its deadline, or
/// by the end of the query.
package final class Admission: Sendable {
    /// What kind of work a statement is.
    enum Lane: Sendable, CaseIterable {
        /// Statements of ours that read a few rows by an index.
        case lookups
        /// Everything else: SQL of users, and pages so large that they are exports.
        case queries
    }

    /// The limits of a lane, all inclusive.
    package struct Limits: Sendable {
        /// Statements that run at once, of all clients.
        package var running: Int
        /// Of one client.
        package var runningPerClient: Int
        /// Statements that wait, of all clients.
        package var waiting: Int
        /// Of one client.
        package var waitingPerClient: Int
        /// The longest wait.
        package var patience: Duration

        package init(running: Int, runningPerClient: Int, waiting: Int, waitingPerClient: Int, patience: Duration) {
            precondition(running > 0 && runningPerClient > 0, "a lane needs room for a statement")
            self.running = running
            self.runningPerClient = runningPerClient
            self.waiting = waiting
            self.waitingPerClient = waitingPerClient
            self.patience = patience
        }
    }

    /// What a lane is doing now, and has done since the start.
    struct Statistics: Sendable, Equatable {
        var running = 0
        var waiting = 0
        var admitted = 0
        /// Told 429: the client had its share.
        var refusedForClient = 0
        /// Told 503: there was no place for anybody.
        var refusedForAll = 0
    }

    private final class Queue: Sendable {
        let state: Mutex<LaneState>
        init(_ state: LaneState) { self.state = Mutex(state) }
    }

    /// What lets lookups pass the exports that have a place.
    let rightOfWay: RightOfWay
    private let lookups: Queue
    private let queries: Queue

    /// - Parameters:
    ///   - loops: how many event loops there are.
    ///   - connections: how many connections each of them has for a lane.
    init(loops: Int, connections: (Lane) -> Int, limits: (Lane) -> Limits) {
        rightOfWay = RightOfWay(turns: Turns(places: max(loops / 2, 1)))
        func queue(_ lane: Lane) -> Queue {
            Queue(
                LaneState(limits: limits(lane), roomOfLoop: Array(repeating: connections(lane), count: loops)))
        }
        lookups = queue(.lookups)
        queries = queue(.queries)
    }

    private func queue(_ lane: Lane) -> Queue { lane == .lookups ? lookups : queries }

    func statistics(_ lane: Lane) -> Statistics { queue(lane).state.withLock { $0.statistics } }

    /// Waits for a place, until `deadline` or the lane's patience at most. Every return is followed by one
    /// ``leave(_:_:loop:)``.
    ///
    /// - Parameter loop: the number of the event loop that the caller runs on, and whose connection it will use.
    /// - Throws: ``QueryError``: 429 if the client has its share of places already, 503 if all are taken; or what
    ///   ended the query meanwhile.
    func enter(
        _ lane: Lane, _ query: RunningQuery, loop: Int, on executor: EventLoop, until deadline: MonotonicTime
    ) async throws {
        let queue = queue(lane)
        let (entry, patience) = try queue.state.withLock { state throws(QueryError) in
            (try state.enter(query.client, loop), state.limits.patience)
        }
        guard let entry else { return }
        executor.schedule(at: min(deadline, .now() + patience)) { entry.waiter.resume() }
        query.whenEnded { entry.waiter.resume() }
        await withUnsafeContinuation { entry.waiter.arm($0) }
        // A place may have been given between the deadline and now: then it is ours.
        let refusal = queue.state.withLock { $0.isAdmitted(entry) ? nil : $0.giveUp(query.client, entry) }
        if let refusal { throw query.failure(refusal) }
    }

    /// Gives a place back, to whoever is next.
    func leave(_ lane: Lane, _ client: Caller, loop: Int) {
        let next = queue(lane).state.withLock { $0.leave(client, loop) }
        next?.waiter.resume()
    }
}

/// Somebody who waits for a place.
private final class Entry: Sendable {
    let waiter = Waiter()
    let loop: Int
    /// Written and read under the lane's lock.
    let isAdmitted = Atomic(false)

    init(loop: Int) { self.loop = loop }
}

/// The places of one lane and who waits for them. Pure: who is woken is returned.
private struct LaneState {
    struct ClientState {
        var limit: Int
        var running = 0
        var waiting: [Entry] = []
    }

    let limits: Admission.Limits
    /// Places left on each loop: its connections.
    var roomOfLoop: [Int]
    /// Clients with statements that run or wait.
    var clients: [Caller: ClientState] = [:]
    /// Clients with statements that wait; the first has the next turn.
    var turns: [Caller] = []
    var statistics = Admission.Statistics()

    init(limits: Admission.Limits, roomOfLoop: [Int]) {
        self.limits = limits
        self.roomOfLoop = roomOfLoop
    }

    func isAdmitted(_ entry: Entry) -> Bool { entry.isAdmitted.load(ordering: .relaxed) }

    /// Takes a place and returns nil, or a place in the queue.
    ///
    /// Whoever can be let in at once overtakes nobody: as long as there is room for somebody in the queue, he is not in
    /// the queue.
    mutating func enter(_ client: Caller, _ loop: Int) throws(QueryError) -> Entry? {
        let limit = min(limits.runningPerClient, client.limits.concurrency ?? .max)
        var state = clients[client] ?? ClientState(limit: limit)
        state.limit = limit
        if statistics.running < limits.running && state.running < limit && roomOfLoop[loop] > 0 {
            clients[client] = state
            take(client, loop)
            return nil
        }
        if state.waiting.count >= limits.waitingPerClient {
            statistics.refusedForClient += 1
            throw .clientBusy(running: state.running, waiting: state.waiting.count)
        }
        if statistics.waiting >= limits.waiting {
            statistics.refusedForAll += 1
            throw .serverBusy
        }
        let entry = Entry(loop: loop)
        if state.waiting.isEmpty { turns.append(client) }
        state.waiting.append(entry)
        statistics.waiting += 1
        clients[client] = state
        return entry
    }

    private mutating func take(_ client: Caller, _ loop: Int) {
        clients[client]?.running += 1
        statistics.running += 1
        statistics.admitted += 1
        roomOfLoop[loop] -= 1
    }

    /// Frees a place; returns who has it now.
    mutating func leave(_ client: Caller, _ loop: Int) -> Entry? {
        statistics.running -= 1
        roomOfLoop[loop] += 1
        clients[client]?.running -= 1
        forget(client)
        return admitNext()
    }

    /// Lets in the first whose turn it is and who may: one place came free, so one at most can have it.
    private mutating func admitNext() -> Entry? {
        guard statistics.running < limits.running else { return nil }
        for (turn, client) in turns.enumerated() {
            guard let state = clients[client], state.running < state.limit,
                let index = state.waiting.firstIndex(where: { roomOfLoop[$0.loop] > 0 })
            else { continue }
            let entry = state.waiting[index]
            clients[client]?.waiting.remove(at: index)
            statistics.waiting -= 1
            turns.remove(at: turn)
            if state.waiting.count > 1 { turns.append(client) }
            take(client, entry.loop)
            entry.isAdmitted.store(true, ordering: .relaxed)
            return entry
        }
        return nil
    }

    /// Leaves the queue; returns why it was in vain.
    mutating func giveUp(_ client: Caller, _ entry: Entry) -> QueryError {
        clients[client]?.waiting.removeAll { $0 === entry }
        statistics.waiting -= 1
        let state = clients[client]
        if state?.waiting.isEmpty == true { turns.removeAll { $0 == client } }
        forget(client)
        if let state, state.running >= state.limit {
            statistics.refusedForClient += 1
            return .clientBusy(running: state.running, waiting: state.waiting.count)
        }
        statistics.refusedForAll += 1
        return .serverBusy
    }

    private mutating func forget(_ client: Caller) {
        if let state = clients[client], state.running == 0 && state.waiting.isEmpty { clients[client] = nil }
    }
}

extension QueryError {
    /// 429: the client has its share.
    static func clientBusy(running: Int, waiting: Int) -> QueryError {
        QueryError(
            429, "too_many_queries", "too many queries of yours at once",
            details: "\(running) of yours run and \(waiting) wait; others have their turn.",
            hint: "Try again when some have ended, or cancel them: GET /api/v1/queries.", retryAfterSeconds: 1)
    }

    /// 503: all places are taken.
    static let serverBusy = QueryError(
        503, "overloaded", "too many queries at once", hint: "Try again in a moment.", retryAfterSeconds: 1)
}
