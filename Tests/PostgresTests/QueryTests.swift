// SPDX-License-Identifier: Apache-2.0

import EventLoop
import Postgres
import Testing

struct QueryTests {
    @Test(arguments: [WireFormat.text, .binary])
    func `values come back as they went`(format: WireFormat) async throws {
        try await withConnection { connection in
            let result = try await connection.query(
                "SELECT $1::int8, $2::float8, $3::text, $4::bool, $5::bytea, $6::timestamptz, $7::text[], NULL::int4",
                [
                    .int64(-5), .double(0.1), .text("hé\"llo"), .bool(true), .bytes([0, 1, 0xFF]),
                    .timestamp(1_709_210_096_789_001), .optionalTextArray(["a,b", nil, "\"q\"", "", "NULL"]),
                ], resultFormat: format)
            let row = result[0]
            #expect(result.count == 1)
            #expect(result.commandTag == "SELECT 1")
            #expect(try row.int64(0) == -5)
            #expect(try row.double(1) == 0.1)
            #expect(try row.string(2) == "hé\"llo")
            #expect(try row.bool(3))
            #expect(try row.bytes(4) == [0, 1, 0xFF])
            #expect(try row.timestamp(5) == 1_709_210_096_789_001)
            #expect(try row.textArray(6) == ["a,b", nil, "\"q\"", "", "NULL"])
            #expect(row.isNull(7))
            #expect(try row.int64OrNil(7) == nil)
            #expect(result.columns[0].type == .int8)
            #expect(result.columns[0].format == format)
        }
    }

    @Test func `arrays feed unnest`() async throws {
        try await withConnection { connection in
            let result = try await connection.query(
                "SELECT * FROM unnest($1::text[], $2::timestamptz[], $3::float8[], $4::int8[])",
                [
                    .textArray(["a", "b"]), .timestampArray([0, 1]), .optionalDoubleArray([1.5, nil]),
                    .int64Array([7, 8]),
                ])
            #expect(result.count == 2)
            #expect(try result[1].string(0) == "b")
            #expect(try result[1].timestamp(1) == 1)
            #expect(result[1].isNull(2))
            #expect(try result[1].int64(3) == 8)
            let none = try await connection.query("SELECT count(*) FROM unnest($1::text[])", [.textArray([])])
            #expect(try none[0].int64(0) == 0)
        }
    }

    @Test func `null and wrong types are refused by name`() async throws {
        try await withConnection { connection in
            let result = try await connection.query(
                "SELECT NULL::int8 AS missing, 'x'::text AS word, 1.5::numeric AS n")
            let null = await errorOf { try result[0].int64(0) }
            #expect(null.kind == .usage)
            #expect(null.message == "column \"missing\" is NULL, not an integer")
            #expect(await errorOf { try result[0].int64(1) }.message == "column \"word\" is text, not an integer")
            #expect(await errorOf { try result[0].timestamp(1) }.message == "column \"word\" is text, not a time")
            #expect(await errorOf { try result[0].int64(2) }.message.contains("cannot be read as an integer"))
            #expect(await errorOf { try result[0].int64(9) }.message == "no column 9: the result has 3")
            #expect(try result[0].double(2) == 1.5)
        }
    }

    @Test func `an error carries SQLSTATE, position, detail and constraint, and the connection lives`() async throws {
        try await withConnection { connection in
            let syntax = await errorOf { try await connection.query("SELECT 1 FORM x") }
            #expect(syntax.kind == .server)
            #expect(syntax.sqlState == "42601")
            #expect(syntax.position == 15)
            let position = await errorOf { try await connection.query("SELECT 'é', nope") }
            #expect(position.position == 13)

            try await connection.script("CREATE TEMP TABLE t (id int8 CONSTRAINT t_id PRIMARY KEY)")
            try await connection.query("INSERT INTO t VALUES ($1)", [1])
            let duplicate = await errorOf { try await connection.query("INSERT INTO t VALUES ($1)", [1]) }
            #expect(duplicate.isUniqueViolation)
            #expect(!duplicate.isRetriable)
            #expect(duplicate.constraint == "t_id")
            #expect(duplicate.detail == "Key (id)=(1) already exists.")
            #expect(!"\(duplicate)".contains("(1)"))
            try await expectUsable(connection)
        }
    }

    @Test func `misuse is refused and leaves the connection usable`() async throws {
        try await withConnection { connection in
            #expect(await errorOf { try await connection.query("SELECT 1; SELECT 2") }.sqlState == "42601")
            #expect(await errorOf { try await connection.query("SELECT '\0'") }.kind == .usage)
            #expect(await errorOf { try await connection.query("SELECT $1::text", [.text("\0")]) }.kind == .usage)
            #expect(await errorOf { try await connection.query("COPY (SELECT 1) TO STDOUT") }.kind == .usage)
            try await connection.script("CREATE TEMP TABLE t (a int)")
            #expect(await errorOf { try await connection.query("COPY t FROM STDIN") }.kind == .usage)
            #expect(await errorOf { try await connection.copyIn("SELECT 1") }.kind == .usage)
            #expect(await errorOf { try await connection.stream("COPY t FROM STDIN") }.kind == .usage)
            #expect(await errorOf { try await connection.copyOut("COPY t FROM STDIN") }.kind == .usage)
            #expect(try await connection.query("").isEmpty)
            try await expectUsable(connection)
        }
    }

    @Test func `a script runs all its statements as one transaction`() async throws {
        try await withConnection { connection in
            let results = try await connection.script(
                "CREATE TEMP TABLE t (a int); INSERT INTO t VALUES (1), (2); TABLE t")
            #expect(results.map(\.commandTag) == ["CREATE TABLE", "INSERT 0 2", "SELECT 2"])
            #expect(results[1].affectedRows == 2)
            #expect(
                await errorOf { try await connection.script("INSERT INTO t VALUES (3); SELECT 1/0") }.sqlState
                    == "22012")
            #expect(try await connection.int("SELECT count(*) FROM t") == 2)
        }
    }

    @Test func `the session speaks UTC and ISO, and calls itself tapedeck`() async throws {
        try await withConnection { connection in
            #expect(connection.serverParameter("TimeZone") == "UTC")
            #expect(connection.serverParameter("DateStyle")?.hasPrefix("ISO") == true)
            let name = try await connection.string("SHOW application_name")
            #expect(name == "tapedeck")
            #expect(connection.backendPID > 0)
            #expect(connection.serverVersion >= 150000)
        }
    }

    @Test func `notices reach the callback`() async throws {
        try await withConnection { connection in
            var notices: [PostgresNotice] = []
            connection.onNotice = { notices.append($0) }
            try await connection.script("DO $$ BEGIN RAISE WARNING 'careful %', 1; END $$")
            #expect(notices.count == 1)
            #expect(notices.first?.severity == "WARNING")
            #expect(notices.first?.message == "careful 1")
        }
    }
}

struct PreparedStatementTests {
    @Test func `a statement is prepared once for each set of parameter types`() async throws {
        try await withConnection { connection in
            let statement = Statement(name: "add", sql: "SELECT $1 + 1")
            for value in 1...3 {
                let result = try await connection.query(statement, [.int64(Int64(value))])
                #expect(try result[0].int64(0) == Int64(value) + 1)
            }
            #expect(try await connection.query(statement, [.double(1.5)])[0].double(0) == 2.5)
            #expect(try await connection.int("SELECT count(*) FROM pg_prepared_statements") == 2)
        }
    }

    @Test func `a null goes with the statement prepared for a value`() async throws {
        try await withConnection { connection in
            let statement = Statement(name: "nullable", sql: "SELECT $1::int8 + $2::int8")
            #expect(try await connection.query(statement, [1, 2])[0].int64(0) == 3)
            for parameters in [[nil, 2], [1, nil], [nil, nil]] as [[Parameter]] {
                #expect(try await connection.query(statement, parameters)[0].isNull(0))
            }
            let count = try await connection.int("SELECT count(*) FROM pg_prepared_statements")
            #expect(count == 1)
        }
    }

    @Test func `a statement is described without running`() async throws {
        try await withConnection { connection in
            let description = try await connection.describe(
                Statement(name: "d", sql: "SELECT 1/0 AS x, $1::timestamptz AS y"))
            #expect(description.parameterTypes == [.timestamptz])
            #expect(description.columns.map(\.name) == ["x", "y"])
            #expect(description.columns.map(\.type) == [.int4, .timestamptz])
            #expect(try await connection.describe(Statement(name: "n", sql: "CREATE TABLE x()")).columns.isEmpty)
        }
    }

    @Test func `a plan that has become invalid is made again`() async throws {
        try await withConnection { connection in
            let statement = Statement(name: "star", sql: "SELECT * FROM t")
            try await connection.script("CREATE TEMP TABLE t (a int); INSERT INTO t VALUES (1)")
            #expect(try await connection.query(statement).columns.count == 1)
            try await connection.script("ALTER TABLE t ADD b int")
            #expect(try await connection.query(statement).columns.count == 2)
            try await connection.query("DEALLOCATE ALL")
            #expect(try await connection.query(statement).columns.count == 2)
            try await connection.script("DO $$ BEGIN EXECUTE 'DEALLOCATE ALL'; END $$")
            #expect(try await connection.query(statement).columns.count == 2)
        }
    }

    @Test func `the number of prepared statements is bounded`() async throws {
        let server = try TestServer.shared.get()
        try await onLoop { loop in
            var settings = try ConnectionSettings(server.uri)
            settings.preparedStatementLimit = 3
            let connection = try await PostgresConnection.connect(settings, on: loop)
            defer { connection.close() }
            for index in 0..<10 {
                let result = try await connection.query(Statement(name: "s\(index)", sql: "SELECT \(index)"))
                #expect(try result[0].int(0) == index)
            }
            #expect(try await connection.int("SELECT count(*) FROM pg_prepared_statements") == 3)
        }
    }

    @Test func `an error while preparing is the caller's`() async throws {
        try await withConnection { connection in
            let error = await errorOf { try await connection.query(Statement(name: "bad", sql: "SELECT nope")) }
            #expect(error.sqlState == "42703")
            #expect(error.position == 8)
            try await expectUsable(connection)
        }
    }
}
