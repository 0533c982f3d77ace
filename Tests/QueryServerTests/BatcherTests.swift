// SPDX-License-Identifier: Apache-2.0

import EventLoop
import HTTP
import Postgres
import Testing

@testable import QueryServer

/// A batcher for tasks that all run on its loop.
private struct OnLoop: @unchecked Sendable {
    let batcher: Batcher
}

/// Lookups of many requests, taken to PostgreSQL together.
@Suite struct BatcherTests {
    /// Each run has another number, on whichever connection.
    private static let ticket = Statement(name: "ticket", sql: "select nextval('batcher_ticket'), $1::int8")

    private func withBatcher(
        waiting: Int = 128, _ body: @escaping @Sendable (OnLoop) async throws -> Void
    ) async throws {
        let server = try await TestServer.shared.value
        try server.write("create sequence if not exists batcher_ticket")
        let loop = try EventLoop(name: "batcher")
        loop.start()
        defer { loop.stop() }
        let settings = try ConnectionSettings(
            "postgresql://tapedeck_writer@/tapedeck?host=\(server.directory)&port=5432")
        try await Task(executorPreference: loop) {
            let pool = ConnectionPool(settings, on: loop, settings: .init(maximumConnections: 2))
            let shared = OnLoop(
                batcher: Batcher(
                    pool, .init(waiting: waiting, time: .seconds(30), bytes: nil, rollsBack: false), on: loop))
            let serving = Task(executorPreference: loop) { await shared.batcher.serve() }
            while !shared.batcher.isServing { await Task.yield() }
            defer { shared.batcher.stop() }
            try await body(shared)
            shared.batcher.stop()
            await serving.value
            await pool.close()
        }.value
    }

    /// What several have got who asked at the same time: nil for each who has to go the ordinary way.
    private static func tickets(_ questions: [Int64], _ shared: OnLoop, sharing: Bool) async -> [Int64?] {
        await withTaskGroup(of: (Int, Int64?).self) { group in
            for (index, question) in questions.enumerated() {
                group.addTask {
                    let rows = await shared.batcher.rows(ticket, [.int64(question)], sharing: sharing)
                    var found: Int64?
                    try? rows?.forEach { row throws(PostgresError) in
                        let said = try row.int64(1)
                        if said == question { found = try row.int64(0) }
                    }
                    return (index, found)
                }
            }
            var found = [Int64?](repeating: nil, count: questions.count)
            for await (index, ticket) in group { found[index] = ticket }
            return found
        }
    }

    @Test func `who asks the same at the same moment has the same rows, and who asks later has others`() async throws {
        try await withBatcher { shared in
            let first = await Self.tickets([1, 1, 2, 1, 2], shared, sharing: true)
            #expect(first.allSatisfy { $0 != nil } && Set(first).count == 2)
            #expect(first[0] == first[1] && first[0] == first[3] && first[2] == first[4])
            let second = await Self.tickets([1, 2], shared, sharing: true)
            #expect(second.allSatisfy { $0 != nil } && Set(first + second).count == 4)
            #expect(shared.batcher.answered == 7)
        }
    }

    /// Asks for several keys at the same moment; returns the run in which each was answered, and the rest of its question.
    private static func runs(
        _ questions: [(key: String, rest: Int64)], many: Statement, _ shared: OnLoop
    ) async -> [[Int64]?] {
        let one = Statement(name: "one", sql: "select $1, nextval('batcher_ticket'), $2::int8 where $1 <> 'none'")
        return await withTaskGroup(of: (Int, [Int64]?).self) { group in
            for (index, question) in questions.enumerated() {
                group.addTask {
                    let rows = await shared.batcher.rows(
                        one, [.text(question.key, as: .text), .int64(question.rest)], many: many, sharing: true)
                    var found: [Int64]? = rows == nil ? nil : []
                    try? rows?.forEach { row throws(PostgresError) in
                        if try row.string(0) == question.key { found?.append(try row.int64(2)) }
                    }
                    return (index, found)
                }
            }
            var found = [[Int64]?](repeating: nil, count: questions.count)
            for await (index, runs) in group { found[index] = runs }
            return found
        }
    }

    private static func many(_ name: String, from: String) -> Statement {
        Statement(
            name: name,
            sql: """
                select k, nextval('batcher_ticket'), $2::int8 from \(from) k where k <> 'none' \
                and nextval('batcher_\(name)') > 0
                """)
    }

    @Test func `what is asked of many keys is one statement for all that differ in the key alone`() async throws {
        let server = try await TestServer.shared.value
        try server.write("create sequence if not exists batcher_many")
        let before = try server.count("select last_value from batcher_many")
        try await withBatcher { shared in
            let many = Self.many("many", from: "unnest($1)")
            let questions = [("a", 1), ("b", 1), ("none", 1), ("c", 2), ("d", 1), ("a", 1), ("d", 2)].map {
                (key: $0.0, rest: Int64($0.1))
            }
            for _ in 0..<3 {
                let found = await Self.runs(questions, many: many, shared)
                #expect(found == [[1], [1], [], [2], [1], [1], [2]])
            }
            #expect(shared.batcher.answered == 21)
        }
        // Each key of a statement for many has been looked at once: a, b and d of the first rest, c and d of the other.
        #expect(try server.count("select last_value from batcher_many") > before + 1)
    }

    @Test func `rows that are not in the order of their keys are nobody's`() async throws {
        let server = try await TestServer.shared.value
        try server.write("create sequence if not exists batcher_backwards")
        try await withBatcher { shared in
            let many = Self.many("backwards", from: "(select unnest($1) order by 1 desc)")
            let found = await Self.runs([("a", 1), ("b", 1)], many: many, shared)
            #expect(found == [nil, nil])
            // One alone needs no order.
            #expect(await Self.runs([("a", 1)], many: many, shared) == [[1]])
        }
    }

    @Test func `what must not be shared is not`() async throws {
        try await withBatcher { shared in
            let found = await Self.tickets([1, 1, 1, 1], shared, sharing: false)
            #expect(found.allSatisfy { $0 != nil } && Set(found).count == 4)
        }
    }

    @Test func `beyond its limit it sends the others the ordinary way, those who share, too`() async throws {
        try await withBatcher(waiting: 3) { shared in
            let found = await Self.tickets([1, 1, 1, 1, 1], shared, sharing: true)
            #expect(found.count { $0 != nil } == 3)
            let later = await Self.tickets([1], shared, sharing: true)
            #expect(later[0] != nil)
        }
    }

    @Test(arguments: [
        ("select count(*), max(price) from market.latest where symbol = $1", true),
        ("select now(), current_date, lower(symbol) from market.latest", true),
        ("select random() from market.latest", false), ("select RANDOM ( ) as r", false),
        ("select \"random\"()", false), ("select clock_timestamp()", false), ("select pg_sleep(0.1)", false),
        // Not understood, only looked at: a word in a string is enough.
        ("select 'random'", false), ("select randomly from t", true),
    ])
    func `statements of users are shared unless a word of theirs names a volatile function`(
        sql: String, isShared: Bool
    ) async throws {
        let server = try await TestServer.shared.value
        let loop = try EventLoop(name: "gate")
        loop.start()
        defer { loop.stop() }
        let configuration = QueryServer.Configuration(
            listen: try SocketAddress("127.0.0.1:0"), reader: try ConnectionSettings(server.readerURL), version: "1")
        let found = await Task(executorPreference: loop) {
            let admission = Admission(
                loops: 1, connections: { _ in 2 },
                limits: { _ in
                    .init(running: 2, runningPerClient: 2, waiting: 2, waitingPerClient: 2, patience: .seconds(30))
                })
            let gate = Gate(configuration, admission: admission, running: RunningQueries(), slot: 0, on: loop)
            let quick = QuickStatement(Statement(name: "q", sql: sql), runs: 3)
            await gate.judge(quick)
            await gate.close()
            return quick.isShareable
        }.value
        #expect(found == isShared)
    }
}
