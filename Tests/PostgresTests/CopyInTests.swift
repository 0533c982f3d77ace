// SPDX-License-Identifier: Apache-2.0

import EventLoop
import Postgres
import Testing

struct CopyInTests {
    static let table = """
        CREATE TEMP TABLE t (id int8 PRIMARY KEY, symbol text, price float8, ts timestamptz, tags text[], flag bool, \
        small int2, whole int4, raw bytea, day date, doc jsonb)
        """
    static let copy = "COPY t FROM STDIN (FORMAT binary)"

    static func row(_ writer: inout BinaryCopyWriter, _ id: Int64) {
        writer.beginRow(fields: 11)
        writer.int64(id)
        writer.text("SYMBOL-\(id % 7)")
        writer.double(Double(id) / 4)
        writer.timestamp(id * 1_000_000)
        writer.textArray(["a", "b"])
        writer.bool(id % 2 == 0)
        writer.int16(5)
        writer.int32(-7)
        writer.bytes([1, 2])
        writer.date(daysSince1970: 19_782)
        if id % 3 == 0 { writer.null() } else { writer.jsonb("{\"a\": 1}") }
    }

    @Test func `every column type arrives as it was written`() async throws {
        try await withConnection { connection in
            try await connection.script(Self.table)
            let copy = try await connection.copyIn(Self.copy)
            var writer = BinaryCopyWriter()
            for id in 1...3 { Self.row(&writer, Int64(id)) }
            #expect(try await copy.finish(&writer) == 3)
            let row = try await connection.query("SELECT * FROM t WHERE id = 2")[0]
            #expect(try row.string(1) == "SYMBOL-2")
            #expect(try row.double(2) == 0.5)
            #expect(try row.timestamp(3) == 2_000_000)
            #expect(try row.textArray(4) == ["a", "b"])
            #expect(try row.bool(5))
            #expect(try row.int64(6) == 5)
            #expect(try row.int64(7) == -7)
            #expect(try row.bytes(8) == [1, 2])
            #expect(try row.string(9) == "2024-02-29")
            #expect(try row.string(10) == "{\"a\": 1}")
            #expect(try await connection.int("SELECT count(*) FROM t WHERE doc IS NULL") == 1)
        }
    }

    @Test func `many sends make one copy, in a transaction`() async throws {
        try await withConnection { connection in
            try await connection.script(Self.table)
            try await connection.transaction { connection in
                let copy = try await connection.copyIn(Self.copy)
                var writer = BinaryCopyWriter()
                for id in 0..<50_000 {
                    Self.row(&writer, Int64(id))
                    if writer.byteCount > 100_000 { try await copy.send(&writer) }
                }
                #expect(try await copy.finish(&writer) == 50_000)
                #expect(connection.transactionStatus == .inTransaction)
            }
            #expect(try await connection.int("SELECT count(*) FROM t") == 50_000)
        }
    }

    @Test func `text format goes through send as bytes`() async throws {
        try await withConnection { connection in
            try await connection.script("CREATE TEMP TABLE t (a int, b text)")
            let copy = try await connection.copyIn("COPY t FROM STDIN (FORMAT csv)")
            try await copy.send(Array("1,one\n2,\"tw".utf8))
            try await copy.send(Array("o\"\n".utf8))
            #expect(try await copy.finish() == 2)
        }
    }

    @Test func `a violated constraint stops the sender before it has sent everything`() async throws {
        try await withConnection { connection in
            try await connection.script(Self.table)
            let copy = try await connection.copyIn(Self.copy)
            var sent = 0
            let error = await errorOf {
                var writer = BinaryCopyWriter()
                for _ in 0..<2_000_000 {
                    Self.row(&writer, 1)
                    if writer.byteCount > 100_000 {
                        try await copy.send(&writer)
                        sent += 1
                    }
                }
                _ = try await copy.finish(&writer)
            }
            #expect(error.isUniqueViolation)
            #expect(error.constraint == "t_pkey")
            #expect(sent < 500)
            #expect(await errorOf { try await copy.send([0]) }.kind == .usage)
            #expect(await errorOf { try await copy.finish() }.kind == .usage)
            #expect(try await connection.int("SELECT count(*) FROM t") == 0)
        }
    }

    @Test func `an error of the last row is thrown by finish`() async throws {
        try await withConnection { connection in
            try await connection.script(Self.table)
            let copy = try await connection.copyIn(Self.copy)
            let error = await errorOf {
                var writer = BinaryCopyWriter()
                Self.row(&writer, 1)
                Self.row(&writer, 1)
                return try await copy.finish(&writer)
            }
            #expect(error.isUniqueViolation)
            #expect(connection.transactionStatus == .idle)
        }
    }

    @Test func `an aborted copy leaves nothing behind`() async throws {
        try await withConnection { connection in
            try await connection.script(Self.table)
            let copy = try await connection.copyIn(Self.copy)
            var writer = BinaryCopyWriter()
            Self.row(&writer, 1)
            try await copy.send(&writer)
            await copy.abort("changed our mind")
            #expect(connection.isOpen)
            #expect(try await connection.int("SELECT count(*) FROM t") == 0)
        }
    }

    @Test func `a copy that is let go of is aborted by the next operation`() async throws {
        try await withConnection { connection in
            try await connection.script(Self.table)
            do {
                let copy = try await connection.copyIn(Self.copy)
                var writer = BinaryCopyWriter()
                Self.row(&writer, 1)
                try await copy.send(&writer)
            }
            #expect(try await connection.int("SELECT count(*) FROM t") == 0)
        }
    }

    @Test func `a session killed in the middle of a copy is a lost connection`() async throws {
        try await withConnection { connection in
            try await connection.script(Self.table)
            let copy = try await connection.copyIn(Self.copy)
            var writer = BinaryCopyWriter()
            Self.row(&writer, 0)
            try await copy.send(&writer)
            try await elsewhere("SELECT pg_terminate_backend(\(connection.backendPID))")
            let error = await errorOf {
                for id in 1..<1_000_000 {
                    Self.row(&writer, Int64(id))
                    if writer.byteCount > 100_000 { try await copy.send(&writer) }
                }
                _ = try await copy.finish(&writer)
            }
            #expect(error.kind == .connection)
            #expect(!connection.isOpen)
        }
    }

    @Test func `a server that stops reading runs into the deadline`() async throws {
        let server = try TestServer.shared.get()
        try await onLoop { loop in
            var settings = try ConnectionSettings(server.uri)
            settings.drainTimeout = .milliseconds(500)
            let connection = try await PostgresConnection.connect(settings, on: loop)
            defer { connection.close() }
            try await connection.script("CREATE TEMP TABLE t (a text)")
            try await connection.script(
                """
                CREATE FUNCTION pg_temp.slow() RETURNS trigger LANGUAGE plpgsql AS \
                $$ BEGIN PERFORM pg_sleep(30); RETURN NEW; END $$; \
                CREATE TRIGGER slow BEFORE INSERT ON t FOR EACH ROW EXECUTE FUNCTION pg_temp.slow()
                """)
            let copy = try await connection.copyIn("COPY t FROM STDIN", deadline: .now() + .milliseconds(300))
            let start = MonotonicTime.now()
            let line = [UInt8](repeating: UInt8(ascii: "x"), count: 65_535) + [10]
            let error = await errorOf { for _ in 0..<1000 { try await copy.send(line) } }
            #expect(error.kind == .timeout)
            // The default of drainTimeout is 5 s.
            #expect(MonotonicTime.now() - start < .seconds(4))
        }
    }

    @Test func `a flood of notices does not stop a copy`() async throws {
        try await withConnection { connection in
            try await connection.script("CREATE TEMP TABLE t (a text)")
            try await connection.script(
                """
                CREATE FUNCTION pg_temp.loud() RETURNS trigger LANGUAGE plpgsql AS \
                $$ BEGIN RAISE NOTICE '%', repeat('n', 5000); RETURN NEW; END $$; \
                CREATE TRIGGER loud BEFORE INSERT ON t FOR EACH ROW EXECUTE FUNCTION pg_temp.loud()
                """)
            var notices = 0
            connection.onNotice = { _ in notices += 1 }
            let copy = try await connection.copyIn("COPY t FROM STDIN")
            let line = [UInt8](repeating: UInt8(ascii: "x"), count: 3000) + [10]
            for _ in 0..<2000 { try await copy.send(line) }
            #expect(try await copy.finish() == 2000)
            #expect(notices == 2000)
        }
    }
}
