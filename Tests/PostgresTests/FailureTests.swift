// SPDX-License-Identifier: Apache-2.0

import EventLoop
import Glibc
import Postgres
import TestSupport
import Testing

/// Descriptors this process has open.
func openDescriptors() -> Int {
    guard let directory = opendir("/proc/self/fd") else { return 0 }
    defer { closedir(directory) }
    var count = 0
    while readdir(directory) != nil { count += 1 }
    return count
}

/// Runs SQL on a connection of its own, from any loop: to do something to another connection.
func elsewhere(_ sql: String) async throws {
    _ = try await withConnection { connection in try await connection.script(sql) }
}

struct ConnectTests {
    @Test func `a wrong password is told from a lost connection, and not repeated`() async throws {
        let server = try TestServer.shared.get()
        try await elsewhere(
            """
            DO $$ BEGIN CREATE ROLE scram_user LOGIN PASSWORD 'right-secret'; \
            EXCEPTION WHEN duplicate_object THEN NULL; END $$
            """)
        try await onLoop { loop in
            let good = try ConnectionSettings(server.tcpURI(user: "scram_user", password: "right-secret"))
            let connection = try await PostgresConnection.connect(good, on: loop)
            #expect(try await connection.string("SELECT current_user") == "scram_user")
            connection.close()

            let bad = try ConnectionSettings(server.tcpURI(user: "scram_user", password: "wrong-secret"))
            let error = await errorOf { try await PostgresConnection.connect(bad, on: loop) }
            #expect(error.kind == .connection)
            #expect(error.sqlState == "28P01")
            #expect(error.message.contains("scram_user"))
            #expect(!"\(error) \(error.hint ?? "") \(error.detail ?? "")".contains("secret"))
        }
    }

    @Test func `a host by name and several hosts are tried in order`() async throws {
        let server = try TestServer.shared.get()
        try await onLoop { loop in
            // Port 1 on loopback refuses; the directory is the server's.
            let uri = "postgresql://postgres@/postgres?host=localhost,\(server.directory)&port=1,\(server.port)"
            let connection = try await PostgresConnection.connect(try ConnectionSettings(uri), on: loop)
            try await expectUsable(connection)
            connection.close()
        }
    }

    @Test func `nobody there, no such name, no such socket`() async throws {
        try await onLoop { loop in
            for host in ["127.0.0.1", "localhost", "/nonexistent"] {
                let settings = try ConnectionSettings("postgresql://postgres@/postgres?host=\(host)&port=1")
                let error = await errorOf { try await PostgresConnection.connect(settings, on: loop) }
                #expect(error.kind == .connection)
                #expect(error.isRetriable)
            }
            let unknown = try ConnectionSettings("postgresql://postgres@no-such-host.invalid/postgres")
            #expect(await errorOf { try await PostgresConnection.connect(unknown, on: loop) }.kind == .connection)
            // Other tests open and close descriptors meanwhile, but not as many as a leak would leave.
            let before = openDescriptors()
            let settings = try ConnectionSettings("postgresql://postgres@/postgres?host=127.0.0.1&port=1")
            for _ in 0..<400 { _ = try? await PostgresConnection.connect(settings, on: loop) }
            #expect(openDescriptors() <= before + 300)
        }
    }

    @Test func `a server that accepts and says nothing runs into the deadline`() async throws {
        let (descriptor, port) = try listener()
        defer { close(descriptor) }
        try await onLoop { loop in
            var settings = try ConnectionSettings("postgresql://me@127.0.0.1:\(port)/db?sslmode=disable")
            // So that it is the call's deadline that ends the wait.
            settings.connectTimeout = .seconds(300)
            let start = MonotonicTime.now()
            let error = await errorOf {
                try await PostgresConnection.connect(settings, on: loop, deadline: .now() + .milliseconds(100))
            }
            #expect(error.kind == .timeout)
            #expect(MonotonicTime.now() - start < .seconds(20))
        }
    }

    @Test func `a host that says nothing leaves the others their share of the time`() async throws {
        let server = try TestServer.shared.get()
        let (descriptor, silent) = try listener()
        defer { close(descriptor) }
        // It is no standby: taken where there is none.
        for attributes in ["any", "read-write", "prefer-standby"] {
            try await onLoop { loop in
                var settings = try ConnectionSettings(
                    "postgresql://postgres@/postgres?host=127.0.0.1,127.0.0.1,\(server.directory)"
                        + "&port=\(silent),1,\(server.port)&sslmode=disable&target_session_attrs=\(attributes)")
                settings.connectTimeout = .seconds(6)
                let connection = try await PostgresConnection.connect(settings, on: loop)
                try await expectUsable(connection)
                connection.close()
            }
        }
    }

    @Test func `a server that is not what was asked for is not taken, and each host's reason is told`() async throws {
        let server = try TestServer.shared.get()
        try await onLoop { loop in
            let settings = try ConnectionSettings(
                "postgresql://postgres@/postgres?host=127.0.0.1,\(server.directory)&port=1,\(server.port)"
                    + "&target_session_attrs=standby")
            let error = await errorOf { try await PostgresConnection.connect(settings, on: loop) }
            #expect(error.kind == .connection)
            #expect(error.message.contains("refused") && error.message.contains("hot standby"))
        }
    }

    @Test func `a cancelled task stops connecting at once`() async throws {
        let (descriptor, port) = try listener()
        defer { close(descriptor) }
        try await onLoop { loop in
            let settings = try ConnectionSettings("postgresql://me@127.0.0.1:\(port)/db?sslmode=disable")
            let task = Task(executorPreference: loop) {
                await errorOf { try await PostgresConnection.connect(settings, on: loop) }
            }
            try await loop.sleep(for: .milliseconds(50))
            let start = MonotonicTime.now()
            task.cancel()
            #expect(await task.value.kind == .cancelled)
            #expect(MonotonicTime.now() - start < .seconds(20))
        }
    }

    private func listener() throws -> (CInt, UInt16) {
        let descriptor = socket(AF_INET, CInt(SOCK_STREAM.rawValue), 0)
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_addr.s_addr = UInt32(0x7F00_0001).bigEndian
        var length = socklen_t(MemoryLayout<sockaddr_in>.size)
        return try withUnsafeMutableBytes(of: &address) { bytes in
            let pointer = bytes.baseAddress!.assumingMemoryBound(to: sockaddr.self)
            guard bind(descriptor, pointer, length) == 0, listen(descriptor, 5) == 0,
                getsockname(descriptor, pointer, &length) == 0
            else { throw SystemError(call: "listen") }
            return (descriptor, UInt16(bigEndian: bytes.loadUnaligned(fromByteOffset: 2, as: UInt16.self)))
        }
    }
}

struct InterruptionTests {
    @Test func `a deadline cancels on the server and keeps the connection`() async throws {
        try await withConnection { connection in
            let start = MonotonicTime.now()
            let error = await errorOf {
                try await connection.query("SELECT pg_sleep(30)", deadline: .now() + .milliseconds(100))
            }
            #expect(error.kind == .timeout)
            #expect(MonotonicTime.now() - start < .seconds(20))
            #expect(connection.isOpen)
            for _ in 0..<20 { try await expectUsable(connection) }
        }
    }

    @Test func `a deadline in the middle of a stream`() async throws {
        try await withConnection { connection in
            let rows = try await connection.stream(
                "SELECT repeat('x', 10000), pg_sleep(0.01) FROM generate_series(1, 100000) n",
                deadline: .now() + .seconds(2))
            let error = await errorOf { while try await rows.next() != nil {} }
            #expect(error.kind == .timeout)
            #expect(rows.rowCount > 0)
            try await expectUsable(connection)
        }
    }

    @Test func `a server that does not react to a cancel costs the connection, not a hang`() async throws {
        let server = try TestServer.shared.get()
        try await onLoop { loop in
            var settings = try ConnectionSettings(server.uri)
            settings.drainTimeout = .milliseconds(200)
            let connection = try await PostgresConnection.connect(settings, on: loop)
            let pid = connection.backendPID
            // A stopped process hears nothing, as a server behind a broken network.
            kill(pid, SIGSTOP)
            defer { kill(pid, SIGCONT) }
            let start = MonotonicTime.now()
            let error = await errorOf { try await connection.query("SELECT 1", deadline: .now() + .milliseconds(100)) }
            #expect(error.kind == .timeout)
            #expect(!connection.isOpen)
            // The default of drainTimeout is 5 s.
            #expect(MonotonicTime.now() - start < .seconds(4))
            #expect(await errorOf { try await connection.query("SELECT 1") }.kind == .connection)
        }
    }

    @Test func `a cancel request from another thread ends the statement`() async throws {
        try await withConnection { connection in
            let handle = connection.cancelHandle
            #expect(!handle.cancel())
            let asking = Task { @concurrent in
                while !handle.cancel() { try await Task.sleep(for: .milliseconds(5)) }
            }
            let error = await errorOf { try await connection.query("SELECT pg_sleep(30)") }
            try await asking.value
            #expect(error.kind == .cancelled)
            #expect(error.sqlState == "57014")
            try await expectUsable(connection)
        }
    }

    @Test(.timeLimit(.minutes(1)))
    func `a cancel request that comes before the server has read the statement is sent again`() async throws {
        try await withConnection { connection in
            let pid = connection.backendPID
            let handle = connection.cancelHandle
            // A stopped session finds, when it goes on, first the request, which means nothing to it, then the statement.
            kill(pid, SIGSTOP)
            defer { kill(pid, SIGCONT) }
            let asking = Task { @concurrent in
                while !handle.cancel() { try await Task.sleep(for: .milliseconds(5)) }
                try await Task.sleep(for: .milliseconds(200))
                kill(pid, SIGCONT)
            }
            let error = await errorOf { try await connection.query("SELECT pg_sleep(30)") }
            try await asking.value
            #expect(error.kind == .cancelled)
            #expect(error.sqlState == "57014")
            try await expectUsable(connection)
        }
    }

    @Test func `cancel requests never hit the next statement`() async throws {
        try await withConnection { connection in
            for round in 0..<60 {
                let delay = Duration.microseconds(round * 40)
                // After the statement's end the request would be one for the next.
                var isUnderWay = true
                connection.loop.schedule(at: .now() + delay) { if isUnderWay { connection.requestCancel() } }
                _ = try? await connection.query("SELECT count(*) FROM generate_series(1, 5000)")
                isUnderWay = false
                try await expectUsable(connection)
            }
        }
    }

    @Test func `a cancelled task cancels its statement`() async throws {
        let server = try TestServer.shared.get()
        try await onLoop { loop in
            let connected = Flag()
            let task = Task(executorPreference: loop) {
                let connection = try await PostgresConnection.connect(try ConnectionSettings(server.uri), on: loop)
                defer { connection.close() }
                connected.set()
                let error = await errorOf { try await connection.query("SELECT pg_sleep(30)") }
                #expect(error.kind == .cancelled)
                #expect(await errorOf { try await connection.query("SELECT 1") }.kind == .cancelled)
                #expect(connection.isOpen)
            }
            #expect(try await eventually { connected.isSet })
            try await loop.sleep(for: .milliseconds(20))
            let start = MonotonicTime.now()
            task.cancel()
            try await task.value
            #expect(MonotonicTime.now() - start < .seconds(20))
        }
    }

    @Test func `the server's own statement_timeout is a timeout`() async throws {
        try await withConnection { connection in
            try await connection.script("SET statement_timeout = 50")
            let error = await errorOf { try await connection.query("SELECT pg_sleep(30)") }
            #expect(error.kind == .timeout)
            #expect(error.sqlState == "57014")
        }
    }

    @Test func `a terminated session is a lost connection with the server's reason`() async throws {
        try await withConnection { connection in
            let pid = connection.backendPID
            async let killed: Void = {
                try await connectionlessSleep()
                try await elsewhere("SELECT pg_terminate_backend(\(pid))")
            }()
            let error = await errorOf { try await connection.query("SELECT pg_sleep(30)") }
            try await killed
            #expect(error.kind == .connection)
            #expect(error.sqlState == "57P01")
            #expect(error.isRetriable)
            #expect(!connection.isOpen)
            #expect(connection.transactionStatus == .unknown)
            let again = await errorOf { try await connection.query("SELECT 1") }
            #expect(again.kind == .connection)
            connection.close()
        }
    }

    @Test func `a session terminated while idle is found out`() async throws {
        try await withConnection { connection in
            #expect(connection.isAlive())
            try await elsewhere("SELECT pg_terminate_backend(\(connection.backendPID), 5000)")
            #expect(!connection.isAlive())
            #expect(connection.closeReason != nil)
        }
    }

    @Test func `a session killed in the middle of a stream`() async throws {
        try await withConnection { connection in
            let rows = try await connection.stream("SELECT repeat('x', 1000) FROM generate_series(1, 10000000)")
            _ = try await rows.next()
            try await elsewhere("SELECT pg_terminate_backend(\(connection.backendPID))")
            let error = await errorOf { while try await rows.next() != nil {} }
            #expect(error.kind == .connection)
            #expect(!connection.isOpen)
            await rows.cancel()
        }
    }

    @Test func `closing from elsewhere ends the wait`() async throws {
        try await withConnection { connection in
            connection.loop.schedule(at: .now() + .milliseconds(50)) { connection.close() }
            let error = await errorOf { try await connection.query("SELECT pg_sleep(30)") }
            #expect(error.kind == .connection)
        }
    }

    @Test func `results of failures are freed`() async throws {
        try await withConnection { connection in
            func fail(_ times: Int) async throws {
                for _ in 0..<times {
                    _ = try? await connection.query("SELECT 1/0")
                    _ = try? await connection.stream("SELECT 1/0")
                    let rows = try await connection.stream("VALUES (1), (2)")
                    while try await rows.next() != nil {}
                }
            }
            try await fail(500)
            // A PGresult takes 2 KiB and more: 15,000 of them would be 30 MiB in every round. Other tests run meanwhile in
            // the same process and may grow in one round or another, but not in all.
            var growth: [Int] = []
            for _ in 0..<4 {
                let before = residentKiB()
                try await fail(5_000)
                growth.append(residentKiB() - before)
            }
            #expect(try #require(growth.min()) < 20 * 1024)
        }
    }

    @Test func `descriptors are released exactly once`() async throws {
        let server = try TestServer.shared.get()
        try await onLoop { loop in
            let settings = try ConnectionSettings(server.uri)
            let before = openDescriptors()
            for round in 0..<400 {
                let connection = try await PostgresConnection.connect(settings, on: loop)
                try await expectUsable(connection)
                // Closed twice, closed once, and just let go of.
                if round % 3 == 0 { connection.close() }
                if round % 3 != 2 { connection.close() }
            }
            #expect(openDescriptors() <= before + 300)
        }
    }
}

/// A pause outside any event loop.
func connectionlessSleep() async throws { try await Task.sleep(for: .milliseconds(150)) }
