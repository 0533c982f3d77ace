// SPDX-License-Identifier: Apache-2.0

import EventLoop
import Postgres
import TestSupport
import Testing

struct TransactionTests {
    struct Stop: Error {}

    @Test func `what the body did is kept when it returns and undone when it throws`() async throws {
        try await withConnection { connection in
            try await connection.script("CREATE TEMP TABLE t (a int)")
            let value = try await connection.transaction { connection in
                #expect(connection.transactionStatus == .inTransaction)
                try await connection.query("INSERT INTO t VALUES (1)")
                return 7
            }
            #expect(value == 7)
            await #expect(throws: Stop.self) {
                try await connection.transaction { connection in
                    try await connection.query("INSERT INTO t VALUES (2)")
                    throw Stop()
                }
            }
            #expect(connection.transactionStatus == .idle)
            #expect(try await connection.string("SELECT array_agg(a)::text FROM t") == "{1}")
        }
    }

    @Test func `a body that throws in the middle of a stream is rolled back as well`() async throws {
        try await withConnection { connection in
            await #expect(throws: Stop.self) {
                try await connection.transaction { connection in
                    let rows = try await connection.stream("SELECT generate_series(1, 1000000000)")
                    _ = try await rows.next()
                    throw Stop()
                }
            }
            #expect(connection.transactionStatus == .idle)
            try await expectUsable(connection)
        }
    }

    @Test func `a commit after a failed statement is an error`() async throws {
        try await withConnection { connection in
            let error = await errorOf {
                try await connection.transaction { connection in
                    _ = try? await connection.query("SELECT 1/0")
                    #expect(connection.transactionStatus == .failed)
                }
            }
            #expect(error.sqlState == "25P02")
            #expect(connection.transactionStatus == .idle)
        }
    }

    @Test func `a last statement and its commit take effect together or not at all`() async throws {
        try await withConnection { connection in
            try await connection.script("CREATE TEMP TABLE t (a int UNIQUE DEFERRABLE INITIALLY DEFERRED, b bytea)")
            try await connection.begin()
            try await connection.query("INSERT INTO t VALUES (1)")
            // Of more bytes than a socket takes at once.
            let bytes = [UInt8](repeating: 0xAB, count: 5 << 20)
            try await connection.commit(after: "INSERT INTO t VALUES ($1, $2)", [.int64(2), .bytes(bytes)])
            #expect(connection.transactionStatus == .idle)
            try await connection.rollback()
            #expect(
                try await connection.string("SELECT string_agg(a || '-' || coalesce(length(b), 0), ' ') FROM t")
                    == "1-0 2-5242880")

            // The statement fails: there is no commit.
            try await connection.begin()
            try await connection.query("INSERT INTO t VALUES (3)")
            let early = await errorOf { try await connection.commit(after: "SELECT 1/$1", [.int64(0)]) }
            #expect(early.sqlState == "22012")
            #expect(connection.transactionStatus == .failed)
            try await connection.rollback()
            // The commit does.
            try await connection.begin()
            let late = await errorOf { try await connection.commit(after: "INSERT INTO t VALUES ($1)", [.int64(1)]) }
            #expect(late.sqlState == "23505")
            #expect(connection.transactionStatus == .idle)
            // It takes too long.
            try await connection.begin()
            let slow = await errorOf {
                try await connection.commit(
                    after: "SELECT pg_sleep($1)", [.double(600)], deadline: .now() + .milliseconds(100))
            }
            #expect(slow.kind == .timeout)
            try await connection.rollback()
            #expect(try await connection.string("SELECT count(*) FROM t") == "2")
            try await expectUsable(connection)
        }
    }

    @Test func `a savepoint undoes its part only`() async throws {
        try await withConnection { connection in
            try await connection.script("CREATE TEMP TABLE t (a int)")
            try await connection.transaction { connection in
                try await connection.query("INSERT INTO t VALUES (1)")
                let error = await errorOf {
                    try await connection.savepoint { connection in
                        try await connection.query("INSERT INTO t VALUES (2)")
                        try await connection.query("SELECT 1/0")
                    }
                }
                #expect(error.sqlState == "22012")
                try await connection.savepoint { connection in
                    _ = try? await connection.savepoint { connection in
                        try await connection.query("INSERT INTO t VALUES (3)")
                        throw Stop()
                    }
                    try await connection.query("INSERT INTO t VALUES (4)")
                }
            }
            #expect(try await connection.string("SELECT array_agg(a)::text FROM t") == "{1,4}")
        }
    }

    @Test func `a read-only transaction refuses to write`() async throws {
        try await withConnection { connection in
            let error = await errorOf {
                try await connection.transaction(.readOnly) { connection in
                    try await connection.query("CREATE TABLE nope (a int)")
                }
            }
            #expect(error.sqlState == "25006")
            try await connection.transaction(TransactionMode(isolation: .serializable)) { connection in
                let level = try await connection.string("SHOW transaction_isolation")
                #expect(level == "serializable")
            }
        }
    }

    @Test func `a serialization failure is retriable`() async throws {
        try await withConnection { connection in
            let error = await errorOf {
                try await connection.script("DO $$ BEGIN RAISE SQLSTATE '40001'; END $$")
            }
            #expect(error.isRetriable)
        }
    }
}

struct NotificationTests {
    @Test func `a notification of another session arrives`() async throws {
        try await withConnection { connection in
            try await connection.script("LISTEN trades_a")
            try await elsewhere("NOTIFY trades_a, 'hello'")
            let first = try await connection.waitForNotification(until: .now() + .seconds(5))
            #expect(first?.channel == "trades_a")
            #expect(first?.payload == "hello")
            #expect(try await connection.waitForNotification(until: .now() + .milliseconds(20)) == nil)
        }
    }

    @Test func `notifications that arrive during a statement are kept in order`() async throws {
        try await withConnection { connection in
            try await connection.script("LISTEN trades_b")
            try await connection.script("NOTIFY trades_b, '1'; NOTIFY trades_b, '2'")
            try await connection.query("SELECT 1")
            for payload in ["1", "2"] {
                #expect(try await connection.waitForNotification(until: .now() + .seconds(5))?.payload == payload)
            }
        }
    }

    @Test func `a cancelled task stops waiting, and the connection goes on`() async throws {
        let server = try TestServer.shared.get()
        try await onLoop { loop in
            let listening = Flag()
            let task = Task(executorPreference: loop) {
                let connection = try await PostgresConnection.connect(try ConnectionSettings(server.uri), on: loop)
                defer { connection.close() }
                try await connection.script("LISTEN trades_c")
                listening.set()
                let error = await errorOf { try await connection.waitForNotification(until: .now() + .seconds(30)) }
                #expect(error.kind == .cancelled)
                #expect(connection.isOpen)
            }
            #expect(try await eventually { listening.isSet })
            try await loop.sleep(for: .milliseconds(20))
            task.cancel()
            try await task.value
        }
    }

    @Test func `a listener whose session is terminated hears of it`() async throws {
        try await withConnection { connection in
            try await connection.script("LISTEN trades_d")
            let pid = connection.backendPID
            async let killed: Void = {
                try await connectionlessSleep()
                try await elsewhere("SELECT pg_terminate_backend(\(pid))")
            }()
            let error = await errorOf { try await connection.waitForNotification(until: .now() + .seconds(30)) }
            try await killed
            #expect(error.kind == .connection)
            #expect(!connection.isOpen)
        }
    }
}
