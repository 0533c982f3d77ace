// SPDX-License-Identifier: Apache-2.0

import EventLoop
import HTTP
import Market
import Synchronization
import TestSupport
import Testing

@testable import QueryServer

/// Two event loops with an admission of their own, and statements that hold their places until told to leave.
private final class Door: Sendable {
    let admission: Admission
    let loops: [EventLoop]
    /// Who was let in, in order.
    let admitted = Mutex<[String]>([])

    init(
        running: Int, perClient: Int = 100, waiting: Int = 100, waitingPerClient: Int = 100, perLoop: Int = 100,
        patience: Duration = .seconds(60)
    ) throws {
        loops = try (0..<2).map { try EventLoop(name: "door-\($0)") }
        for loop in loops { loop.start() }
        admission = Admission(loops: 2) { _ in
            perLoop
        } limits: { _ in
            .init(
                running: running, runningPerClient: perClient, waiting: waiting, waitingPerClient: waitingPerClient,
                patience: patience)
        }
    }

    deinit { for loop in loops { loop.stop() } }

    func query(_ name: String, of user: String, limits: CallerLimits = CallerLimits()) throws -> RunningQuery {
        RunningQuery(
            id: name, kind: .sql, client: Caller(peer: try SocketAddress("127.0.0.1:1"), user: user, limits: limits),
            text: "", started: .now(), startedAt: Timestamp(microseconds: 0))
    }

    /// Asks for a place on a loop; nil when let in, else why not.
    func enter(_ query: RunningQuery, loop: Int = 0, patience: Duration = .seconds(60)) -> Task<QueryError?, any Error>
    {
        let (admission, executor) = (admission, loops[loop])
        return Task(executorPreference: executor) {
            do {
                try await admission.enter(.queries, query, loop: loop, on: executor, until: .now() + patience)
                self.admitted.withLock { $0.append(query.id) }
                return nil
            } catch let error as QueryError {
                return error
            } catch let error as HTTPError where error == .clientGone {
                return QueryError(499, "client_gone", "nobody waits for it")
            }
        }
    }

    func leave(_ query: RunningQuery, loop: Int = 0) { admission.leave(.queries, query.client, loop: loop) }

    var waiting: Int { admission.statistics(.queries).waiting }

    /// Asks for a place and returns when the query waits for it.
    func queue(_ query: RunningQuery, loop: Int = 0, patience: Duration = .seconds(60)) async throws
        -> Task<QueryError?, any Error>
    {
        let before = waiting
        let task = enter(query, loop: loop, patience: patience)
        #expect(try await eventually { waiting == before + 1 })
        return task
    }
}

@Suite struct AdmissionTests {
    @Test func `clients take turns, however many statements each has`() async throws {
        let door = try Door(running: 1)
        let first = try door.query("a0", of: "a")
        #expect(try await door.enter(first).value == nil)
        var queries: [RunningQuery] = []
        var tasks: [Task<QueryError?, any Error>] = []
        for (name, user, loop) in [("a1", "a", 0), ("a2", "a", 1), ("a3", "a", 0), ("b1", "b", 1), ("c1", "c", 0)] {
            queries.append(try door.query(name, of: user))
            tasks.append(try await door.queue(queries.last!, loop: loop))
        }
        var current = (query: first, loop: 0)
        for count in 2...6 {
            door.leave(current.query, loop: current.loop)
            #expect(try await eventually { door.admitted.withLock { $0.count } == count })
            let name = door.admitted.withLock { $0.last! }
            current = (queries.first { $0.id == name }!, ["a2", "b1"].contains(name) ? 1 : 0)
        }
        door.leave(current.query, loop: current.loop)
        for task in tasks { #expect(try await task.value == nil) }
        #expect(door.admitted.withLock { $0 } == ["a0", "a1", "b1", "c1", "a2", "a3"])
        #expect(door.admission.statistics(.queries) == .init(running: 0, waiting: 0, admitted: 6))
    }

    @Test func `a client with its share waits while others are let in`() async throws {
        let door = try Door(running: 3, perClient: 2)
        let a = try (0..<4).map { try door.query("a\($0)", of: "a") }
        #expect(try await door.enter(a[0]).value == nil)
        #expect(try await door.enter(a[1]).value == nil)
        let third = try await door.queue(a[2])
        #expect(try await door.enter(try door.query("b", of: "b")).value == nil)
        door.leave(a[0])
        #expect(try await third.value == nil)
        // A limit of the client's own counts where it is the smaller one.
        let small = try door.query("c", of: "c", limits: CallerLimits(concurrency: 1))
        door.leave(a[1])
        #expect(try await door.enter(small).value == nil)
        let again = try await door.queue(
            try door.query("c2", of: "c", limits: CallerLimits(concurrency: 1)), patience: .milliseconds(20))
        #expect(try await again.value?.status == 429)
    }

    @Test func `the queue has its limits`() async throws {
        let door = try Door(running: 1, waiting: 3, waitingPerClient: 2)
        #expect(try await door.enter(try door.query("0", of: "a")).value == nil)
        _ = try await door.queue(try door.query("1", of: "a"))
        let second = try door.query("2", of: "a")
        let waits = try await door.queue(second)
        let overClient = try await door.enter(try door.query("3", of: "a")).value
        #expect(overClient?.status == 429 && overClient?.retryAfterSeconds == 1)
        _ = try await door.queue(try door.query("4", of: "b"))
        let overAll = try await door.enter(try door.query("5", of: "c")).value
        #expect(overAll?.status == 503 && overAll?.code == "overloaded" && overAll?.retryAfterSeconds == 1)
        // One that leaves makes room for another.
        second.end(.cancelled(nil))
        #expect(try await waits.value?.code == "57014")
        _ = try await door.queue(try door.query("6", of: "c"))
        #expect(door.admission.statistics(.queries).refusedForClient == 1)
    }

    @Test func `a wait ends at its deadline, and says whose fault it was`() async throws {
        let door = try Door(running: 2, perClient: 1, patience: .milliseconds(30))
        #expect(try await door.enter(try door.query("0", of: "a")).value == nil)
        #expect(try await door.enter(try door.query("1", of: "a")).value?.status == 429)
        #expect(try await door.enter(try door.query("2", of: "b")).value == nil)
        #expect(try await door.enter(try door.query("3", of: "c")).value?.status == 503)
        #expect(try await door.enter(try door.query("4", of: "c"), patience: .zero).value?.status == 503)
        #expect(door.waiting == 0)
    }

    @Test func `a loop without connections keeps nobody of another loop waiting`() async throws {
        let door = try Door(running: 4, perLoop: 1)
        let first = try door.query("0", of: "a")
        #expect(try await door.enter(first).value == nil)
        let second = try await door.queue(try door.query("1", of: "a"))
        #expect(try await door.enter(try door.query("2", of: "b"), loop: 1).value == nil)
        #expect(try await door.enter(try door.query("3", of: "b"), loop: 1, patience: .milliseconds(10)).value != nil)
        door.leave(first)
        #expect(try await second.value == nil)
    }

    @Test func `places are neither lost nor doubled by whatever ends a wait`() async throws {
        let door = try Door(running: 3, perClient: 2, waiting: 50, waitingPerClient: 50)
        var random = SeededRandom(seed: 7)
        try await withThrowingTaskGroup(of: Void.self) { group in
            for index in 0..<400 {
                let loop = Int.random(in: 0..<2, using: &random)
                let query = try door.query("\(index)", of: "user \(Int.random(in: 0..<4, using: &random))")
                let patience = Duration.microseconds(Int.random(in: 0..<20_000, using: &random))
                let isCancelled = Int.random(in: 0..<4, using: &random) == 0
                let hold = Duration.microseconds(Int.random(in: 0..<300, using: &random))
                group.addTask {
                    let task = door.enter(query, loop: loop, patience: patience)
                    if isCancelled { query.end(.clientGone) }
                    if try await task.value != nil { return }
                    #expect(door.admission.statistics(.queries).running <= 3)
                    try await Task.sleep(for: hold)
                    door.leave(query, loop: loop)
                }
            }
            try await group.waitForAll()
        }
        let end = door.admission.statistics(.queries)
        #expect(end.running == 0 && end.waiting == 0 && end.admitted > 0)
    }
}

@Suite struct CallerTests {
    @Test func `a user behind an address is a client of its own`() throws {
        let (here, port) = (try SocketAddress("127.0.0.1:1"), try SocketAddress("127.0.0.1:2"))
        #expect(Caller(peer: here, user: nil) == Caller(peer: port, user: nil))
        #expect(Caller(peer: here, user: "a") != Caller(peer: here, user: "b"))
        #expect(Caller(peer: here, user: "a", limits: .init(rows: 1)) == Caller(peer: here, user: "a"))
        #expect(Caller(peer: here, user: nil) != Caller(peer: try SocketAddress("127.0.0.2:1"), user: nil))
    }
}
