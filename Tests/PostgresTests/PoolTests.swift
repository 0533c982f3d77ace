// SPDX-License-Identifier: Apache-2.0

import EventLoop
import Postgres
import TestSupport
import Testing

struct PoolTests {
    static func pool(
        _ loop: EventLoop, uri: String? = nil, _ change: (inout ConnectionPool.Settings) -> Void = { _ in }
    ) throws -> ConnectionPool {
        var settings = ConnectionPool.Settings(maximumConnections: 2)
        change(&settings)
        let uri = try uri ?? TestServer.shared.get().uri
        return ConnectionPool(try ConnectionSettings(uri), on: loop, settings: settings)
    }

    @Test func `connections are made when needed and used again`() async throws {
        try await onLoop { loop in
            let pool = try Self.pool(loop)
            #expect(pool.statistics.open == 0)
            let first = try await pool.withConnection { $0.backendPID }
            let second = try await pool.withConnection { $0.backendPID }
            #expect(first == second)
            #expect(pool.statistics.open == 1)
            #expect(pool.statistics.checkouts == 2)
            await pool.close()
            #expect(pool.statistics.open == 0)
            #expect(await errorOf { try await pool.withConnection { _ in } }.kind == .connection)
        }
    }

    @Test func `no more connections than allowed, and waiters are served in order`() async throws {
        try await onLoop { loop in
            let pool = try Self.pool(loop)
            let order = Order()
            let tasks = (0..<8).map { index in
                Task(executorPreference: loop) { @Sendable [pool = Loopbound(pool)] in
                    try await pool.value.withConnection { connection in
                        await order.append(index)
                        try await connection.query("SELECT pg_sleep(0.05)")
                        #expect(pool.value.statistics.open <= 2)
                    }
                }
            }
            for task in tasks { try await task.value }
            let served = await order.values
            #expect(Array(served.dropFirst(2)) == Array(served.dropFirst(2)).sorted())
            #expect(pool.statistics.connects == 2)
            #expect(pool.statistics.checkouts == 8)
            #expect(pool.statistics.waiting == 0)
            await pool.close()
        }
    }

    @Test func `a full queue refuses, and a deadline ends the wait`() async throws {
        try await onLoop { loop in
            let pool = try Self.pool(loop) {
                $0.maximumConnections = 1
                $0.maximumWaiters = 1
            }
            let held = try await pool.checkout()
            let shared = Loopbound(pool)
            let waiting = Task(executorPreference: loop) {
                await errorOf { try await shared.value.withConnection(deadline: .now() + .seconds(2)) { _ in } }
            }
            try await loop.sleep(for: .milliseconds(50))
            #expect(pool.statistics.waiting == 1)
            let refused = await errorOf { try await pool.checkout() }
            #expect(refused.kind == .overloaded)
            #expect(refused.isRetriable)
            let late = await waiting.value
            #expect(late.kind == .timeout)
            #expect(late.message.hasPrefix("no database connection came free within 2"))
            #expect(pool.statistics.waiting == 0)
            #expect(pool.statistics.refused == 1)
            #expect(pool.statistics.timeouts == 1)
            await pool.giveBack(held)
            try await pool.withConnection { _ in }
            await pool.close()
        }
    }

    @Test func `a cancelled waiter leaves the queue`() async throws {
        try await onLoop { loop in
            let pool = try Self.pool(loop) { $0.maximumConnections = 1 }
            let held = try await pool.checkout()
            let shared = Loopbound(pool)
            let waiting = Task(executorPreference: loop) {
                await errorOf { try await shared.value.withConnection { _ in } }
            }
            try await loop.sleep(for: .milliseconds(20))
            waiting.cancel()
            #expect(await waiting.value.kind == .cancelled)
            #expect(pool.statistics.waiting == 0)
            await pool.giveBack(held)
            #expect(pool.statistics.idle == 1)
            await pool.close()
        }
    }

    @Test func `a connection that died after its reset is replaced without the user noticing`() async throws {
        try await onLoop { loop in
            let pool = try Self.pool(loop) { $0.reset = ConnectionPool.Settings.resetAll }
            let first = try await pool.withConnection { connection in
                _ = try await connection.query("SELECT 1")
                return connection.backendPID
            }
            try await elsewhere("SELECT pg_terminate_backend(\(first), 5000)")
            let second = try await pool.withConnection { connection in
                try await connection.int("SELECT pg_backend_pid()")
            }
            #expect(second != Int(first))
            #expect(pool.statistics.foundDead == 1)
            await pool.close()
        }
    }

    @Test func `a dead idle connection is replaced without the user noticing`() async throws {
        try await onLoop { loop in
            let pool = try Self.pool(loop)
            let first = try await pool.withConnection { $0.backendPID }
            try await elsewhere("SELECT pg_terminate_backend(\(first), 5000)")
            let second = try await pool.withConnection { connection in
                try await connection.int("SELECT pg_backend_pid()")
            }
            #expect(second != Int(first))
            #expect(pool.statistics.foundDead == 1)
            await pool.close()
        }
    }

    @Test func `what a user leaves open is rolled back`() async throws {
        try await onLoop { loop in
            let pool = try Self.pool(loop) { $0.maximumConnections = 1 }
            try await pool.withConnection { connection in
                try await connection.script("CREATE TEMP TABLE t (a int)")
                try await connection.begin()
                try await connection.query("INSERT INTO t VALUES (1)")
            }
            try await pool.withConnection { connection in
                #expect(connection.transactionStatus == .idle)
                #expect(try await connection.int("SELECT count(*) FROM t") == 0)
                let rows = try await connection.stream("SELECT generate_series(1, 1000000000)")
                _ = try await rows.next()
            }
            try await pool.withConnection { connection in
                try await expectUsable(connection)
            }
            #expect(pool.statistics.connects == 1)
            await pool.close()
        }
    }

    @Test(arguments: [ConnectionPool.Settings.resetAll, ConnectionPool.Settings.resetKeepingPlans])
    func `a reset makes the session as new`(reset: String) async throws {
        try await onLoop { loop in
            let pool = try Self.pool(loop) {
                $0.maximumConnections = 1
                $0.reset = reset
                $0.setup = "SELECT set_config('tapedeck.made', 'here', false)"
            }
            let statement = Statement(name: "one", sql: "SELECT 1")
            try await pool.withConnection { connection in
                try await connection.query(statement)
                try await connection.script("SET work_mem = '77MB'; CREATE TEMP TABLE t (a int); BEGIN; SELECT 1")
            }
            try await pool.withConnection { connection in
                #expect(try await connection.string("SHOW work_mem") != "77MB")
                #expect(try await connection.query("SELECT to_regclass('pg_temp.t')")[0].isNull(0))
                #expect(try await connection.string("SHOW TimeZone") == "UTC")
                let kept = try await connection.int("SELECT count(*) FROM pg_prepared_statements")
                #expect(kept == (reset == ConnectionPool.Settings.resetAll ? 0 : 1))
                #expect(try await connection.query(statement)[0].int(0) == 1)
            }
            #expect(pool.statistics.connects == 1)
            await pool.close()
        }
    }

    @Test func `an unreachable server fails everybody at once with its error, and backs off`() async throws {
        try await onLoop { loop in
            let pool = try Self.pool(loop, uri: "postgresql://me@127.0.0.1:1/db") {
                $0.initialBackoff = .milliseconds(300)
            }
            let shared = Loopbound(pool)
            let start = MonotonicTime.now()
            let tasks = (0..<10).map { _ in
                Task(executorPreference: loop) { await errorOf { try await shared.value.withConnection { _ in } } }
            }
            for task in tasks {
                let error = await task.value
                #expect(error.kind == .connection)
                #expect(error.message.contains("refused"))
            }
            #expect(await errorOf { try await pool.checkout() }.kind == .connection)
            #expect(MonotonicTime.now() - start < .seconds(20))
            #expect(pool.statistics.connectFailures <= 2)
            #expect(pool.statistics.connecting == 0)
            await pool.close()
        }
    }

    @Test func `an idle connection is closed after a while`() async throws {
        try await onLoop { loop in
            let pool = try Self.pool(loop) { $0.idleTimeout = .milliseconds(100) }
            try await pool.withConnection { _ in }
            #expect(pool.statistics.idle == 1)
            #expect(try await eventually { pool.statistics.idle == 0 })
            await pool.close()
        }
    }

    @Test func `a handle kept after giving the connection back cancels nothing`() async throws {
        try await onLoop { loop in
            let pool = try Self.pool(loop) { $0.maximumConnections = 1 }
            let stale = try await pool.withConnection { $0.cancelHandle }
            try await pool.withConnection { connection in
                loop.schedule(at: .now() + .milliseconds(20)) { #expect(!stale.cancel()) }
                try await connection.query("SELECT pg_sleep(0.1)")
            }
            await pool.close()
        }
    }

    @Test func `closing waits for users, then closes under them`() async throws {
        try await onLoop { loop in
            let pool = try Self.pool(loop)
            let shared = Loopbound(pool)
            let quick = Task(executorPreference: loop) {
                try await shared.value.withConnection { try await $0.query("SELECT pg_sleep(0.1)") }.count
            }
            let slow = Task(executorPreference: loop) {
                await errorOf { try await shared.value.withConnection { try await $0.query("SELECT pg_sleep(30)") } }
            }
            #expect(try await eventually { pool.statistics.checkouts == 2 })
            await pool.close(deadline: .now() + .seconds(3))
            #expect(try await quick.value == 1)
            #expect(await slow.value.kind == .connection)
            #expect(pool.statistics.open == 0)
        }
    }
}

/// Carries a loop-bound value to another task on the same loop.
struct Loopbound<Value>: @unchecked Sendable {
    // Rule for `@unchecked Sendable`: used on the loop's thread only, which the value itself checks.
    let value: Value
    init(_ value: Value) { self.value = value }
}

actor Order {
    private(set) var values: [Int] = []
    func append(_ value: Int) { values.append(value) }
}
