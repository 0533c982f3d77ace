// SPDX-License-Identifier: Apache-2.0

import EventLoop
import Postgres
import Testing

struct BatchTests {
    private static let number = Statement(name: "number", sql: "SELECT $1::int8 + 1 AS n")
    private static let series = Statement(name: "series", sql: "SELECT g, 'x' FROM generate_series(1, $1::int8) g")
    private static let sleep = Statement(name: "sleep", sql: "SELECT pg_sleep($1)")
    private static let division = Statement(name: "division", sql: "SELECT 1 / $1::int8")

    private func integers(_ batched: BatchedStatement) throws -> [Int64]? {
        guard let rows = batched.rows else { return nil }
        var found: [Int64] = []
        try rows.forEach { found.append(try $0.int64(0)) }
        #expect(found.count == rows.count)
        return found
    }

    @Test(arguments: [nil, 100_000])
    func `statements of a batch have their own rows, prepared once`(bytesLimit: Int?) async throws {
        try await withConnection { connection in
            for round in 0..<3 {
                let batch = [
                    BatchedStatement(Self.number, [.int64(Int64(round))]), BatchedStatement(Self.series, [.int64(3)]),
                    BatchedStatement(Self.number, [.int64(41)]), BatchedStatement(Self.series, [.int64(0)]),
                ]
                try await connection.run(batch: batch, bytesLimit: bytesLimit, rollsBack: false, deadline: soon)
                #expect(try batch.map(integers) == [[Int64(round) + 1], [1, 2, 3], [42], []])
                #expect(batch[3].rows?.columns.map(\.name) == ["g", "?column?"])
                #expect(batch[1].rows?.haveColumns(batch[3].rows?.columns ?? []) == true)
                #expect(batch[0].rows?.haveColumns(batch[1].rows?.columns ?? []) == false)
            }
            let prepared = try await connection.query("SELECT count(*) FROM pg_prepared_statements")
            #expect(try prepared[0].int64(0) == 2)
        }
    }

    @Test func `a failure leaves what came before it, and the connection`() async throws {
        try await withConnection { connection in
            let batch = [
                BatchedStatement(Self.number, [.int64(1)]), BatchedStatement(Self.division, [.int64(0)]),
                BatchedStatement(Self.number, [.int64(2)]),
            ]
            try await connection.run(batch: batch, rollsBack: false, deadline: soon)
            #expect(try batch.map(integers) == [[2], nil, nil])
            #expect(connection.transactionStatus == .idle)
            let again = [BatchedStatement(Self.division, [.int64(1)]), BatchedStatement(Self.number, [.int64(2)])]
            try await connection.run(batch: again, rollsBack: false, deadline: soon)
            #expect(try again.map(integers) == [[1], [3]])
        }
    }

    @Test func `what cannot be prepared or sent is left out`() async throws {
        try await withConnection { connection in
            let broken = Statement(name: "broken", sql: "SELECT nothing FROM nowhere")
            let zero = BatchedStatement(Statement(name: "zero", sql: "SELECT \0 1"), [])
            let text = BatchedStatement(Self.number, [.text("\0")])
            let batch = [zero, text, BatchedStatement(Self.number, [.int64(1)]), BatchedStatement(broken, [])]
            try await connection.run(batch: batch, rollsBack: false, deadline: soon)
            #expect(try batch.map(integers) == [nil, nil, [2], nil])
            try await connection.run(batch: [batch[2]], rollsBack: false, deadline: soon)
            #expect(try integers(batch[2]) == [2])
        }
    }

    @Test func `a batch ends at its deadline, and where it is not small with its connection`() async throws {
        try await withConnection { connection async throws -> Void in
            let batch = [BatchedStatement(Self.number, [.int64(1)]), BatchedStatement(Self.sleep, [.double(60)])]
            try await connection.run(batch: batch, rollsBack: false, deadline: .now() + .milliseconds(100))
            #expect(try integers(batch[0]) == [2])
            #expect(batch[1].rows == nil)
            let large = [
                BatchedStatement(Self.number, [.int64(1)]), BatchedStatement(Self.series, [.int64(1_000_000)]),
            ]
            let refused = await errorOf {
                try await connection.run(batch: large, bytesLimit: 1_000_000, rollsBack: false, deadline: soon)
            }
            #expect(refused.kind == .cancelled)
            #expect(try integers(large[0]) == [2])
            #expect(large[1].rows == nil)
            // The rest of the rows is not read.
            #expect(!connection.isOpen)
        }
    }

    @Test(arguments: [1, 32, 400])
    func `the rows of a batch may fill what they may take, however they arrive`(_ rowsOfEach: Int) async throws {
        try await withConnection { connection async throws -> Void in
            let text = Statement(name: "text", sql: "SELECT repeat('x', $1::int) FROM generate_series(1, $2)")
            let values: [Parameter] = [.int64(Int64(16_384 / rowsOfEach)), .int64(Int64(rowsOfEach))]
            func batch(_ count: Int) -> [BatchedStatement] { (0..<count).map { _ in BatchedStatement(text, values) } }
            // Statements of 16 KiB each, which together are far more than libpq takes at a time.
            for _ in 0..<5 {
                let full = batch(32)
                try await connection.run(batch: full, bytesLimit: 4 * 1024 * 1024, rollsBack: true, deadline: soon)
                #expect(full.allSatisfy { $0.rows?.count == rowsOfEach })
            }
            let many = batch(64)
            let refused = await errorOf {
                try await connection.run(batch: many, bytesLimit: 512 * 1024, rollsBack: true, deadline: soon)
            }
            #expect(refused.kind == .cancelled && !connection.isOpen)
            #expect(many[0].rows?.count == rowsOfEach && many[63].rows == nil)
        }
    }

    @Test func `the deadline of a batch that is over means nothing to what follows it`() async throws {
        try await withConnection { connection in
            let batch = [BatchedStatement(Self.number, [.int64(1)])]
            try await connection.run(batch: batch, rollsBack: false, deadline: .now() + .milliseconds(50))
            #expect(try integers(batch[0]) == [2])
            let rows = try await connection.stream("SELECT pg_sleep(0.02) FROM generate_series(1, 10)", deadline: soon)
            while try await rows.next() != nil {}
            #expect(rows.rowCount == 10)
        }
    }

    @Test func `a batch that is rolled back leaves nothing`() async throws {
        try await withConnection { connection in
            try await connection.script("SET client_min_messages = error")
            let setting = Statement(name: "setting", sql: "SELECT length(set_config('work_mem', $1, false))::int8")
            let batch = [BatchedStatement(setting, [.text("7MB", as: .text)])]
            try await connection.run(batch: batch, rollsBack: true, deadline: soon)
            #expect(try integers(batch[0]) == [3])
            #expect(try await connection.query("SHOW work_mem")[0].string(0) != "7MB")
            try await connection.run(batch: batch, rollsBack: false, deadline: soon)
            #expect(try await connection.query("SHOW work_mem")[0].string(0) == "7MB")
        }
    }

    @Test func `the ROLLBACK of batches is parsed once`() async throws {
        try await withConnection { connection in
            try await connection.script("SET client_min_messages = error")
            for round in 0..<3 {
                let batch = [BatchedStatement(Self.number, [.int64(Int64(round))])]
                try await connection.run(batch: batch, rollsBack: true, deadline: soon)
                #expect(try integers(batch[0]) == [Int64(round) + 1])
            }
            let prepared = try await connection.query(
                "SELECT statement FROM pg_prepared_statements WHERE name LIKE 'batch/%' ORDER BY 1")
            #expect(try prepared.map { try $0.string(0) } == ["ROLLBACK", Self.number.sql])
        }
    }

    @Test func `a batch ends at its own deadline, also behind one that had more time`() async throws {
        try await withConnection { connection in
            let quick = [BatchedStatement(Self.number, [.int64(1)])]
            try await connection.run(batch: quick, rollsBack: false, deadline: soon)
            try await connection.run(batch: quick, rollsBack: false, deadline: .now() + .milliseconds(50))
            let slow = [BatchedStatement(Self.sleep, [.double(60)])]
            try await connection.run(batch: slow, rollsBack: false, deadline: .now() + .milliseconds(200))
            #expect(slow[0].rows == nil && connection.isOpen)
        }
    }

    @Test func `the rows of many keys are parted by their keys, or not at all`() async throws {
        try await withConnection { connection async throws -> Void in
            let statement = Statement(
                name: "parts", sql: "SELECT k, g::int8 FROM unnest($1) k, LATERAL generate_series(1, length(k) - 1) g")
            func parts(_ keys: [String], of rows: [String]) async throws -> [[Int64]]? {
                let batch = [BatchedStatement(statement, [.textArray(rows)])]
                try await connection.run(batch: batch, rollsBack: false, deadline: soon)
                return try batch[0].rows?.parts(by: 0, keys: keys)?.map { part in
                    var found: [Int64] = []
                    try part.forEach { found.append(try $0.int64(1)) }
                    #expect(found.count == part.count)
                    return found
                }
            }
            let keys = ["aaa", "b", "cc", "", "dddd"]
            #expect(try await parts(keys, of: keys) == [[1, 2], [], [1], [], [1, 2, 3]])
            #expect(try await parts(["b", "aaa"], of: ["aaa", "b"]) == [[], [1, 2]])
            // Out of order, and of a key that nobody asked for.
            #expect(try await parts(["cc", "aaa"], of: ["aaa", "cc"]) == nil)
            #expect(try await parts(["aaa"], of: ["aaa", "aaaa"]) == nil)
            #expect(try await parts([], of: ["b"]) == [])
        }
    }

    @Test func `texts that only look the same are others`() async throws {
        let (composed, combined) = ("\u{F1}", "n\u{303}")
        #expect(composed == combined, "to Swift they are the same")
        #expect(
            Parameter.text(composed) != .text(combined) && Parameter.textArray([composed]) != .textArray([combined]))
        #expect(Parameter.optionalTextArray([nil, composed]) != .optionalTextArray([nil, combined]))
        let statements = [composed, combined].map { Statement(name: "q", sql: "SELECT octet_length('\($0)')::int8") }
        #expect(statements[0] != statements[1])
        try await withConnection { connection in
            for _ in 0..<2 {
                let batch = statements.map { BatchedStatement($0, []) }
                try await connection.run(batch: batch, rollsBack: false, deadline: soon)
                #expect(try batch.map(integers) == [[2], [3]])
            }
        }
    }

    @Test func `a statement for parameters of ever new types takes no more than its share`() async throws {
        try await withConnection { connection in
            let types: [TypeOID] = [
                .bool, .int2, .int4, .int8, .float4, .float8, .text, .numeric, .json, .varchar, .bpchar, .name,
            ]
            let statement = Statement(name: "any", sql: "SELECT CASE WHEN $1 IS NULL THEN 7::int8 END")
            let batch = types.map { BatchedStatement(statement, [.text("1", as: $0)]) }
            // Often enough for the first ones to be out of use.
            for _ in 0..<40 { try await connection.run(batch: batch, rollsBack: false, deadline: soon) }
            let prepared = try await connection.query("SELECT count(*) FROM pg_prepared_statements")
            #expect(try prepared[0].int64(0) == 8)
        }
    }

    /// Runs statements in one batch for as many rounds; returns the numbers of those that are prepared then.
    private func prepared(
        _ numbers: ClosedRange<Int>, rounds: Int, _ connection: PostgresConnection
    ) async throws -> [Int64] {
        for _ in 0..<rounds {
            let batch = numbers.map { BatchedStatement(Statement(name: "q", sql: "SELECT \($0)::int8"), []) }
            try await connection.run(batch: batch, rollsBack: false, deadline: soon)
            #expect(try batch.map(integers) == numbers.map { [Int64($0)] })
        }
        return try await connection.query(
            "SELECT substring(statement FROM '[0-9]+')::int8 FROM pg_prepared_statements ORDER BY 1"
        ).map { try $0.int64(0) }
    }

    @Test func `statements that are used stay prepared, others make room`() async throws {
        let uri = try TestServer.shared.get().uri
        try await onLoop { loop in
            var settings = try ConnectionSettings(uri)
            settings.batchedStatementLimit = 3
            let connection = try await PostgresConnection.connect(settings, on: loop)
            defer { connection.close() }
            #expect(try await prepared(1...12, rounds: 4, connection) == [1, 2, 3], "all are used in turn")
            #expect(try await prepared(6...8, rounds: 4, connection) == [1, 2, 3], "they may come back")
            #expect(try await prepared(6...8, rounds: 20, connection) == [6, 7, 8])
        }
    }
}

private var soon: MonotonicTime { .now() + .seconds(20) }
