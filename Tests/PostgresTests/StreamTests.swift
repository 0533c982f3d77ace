// SPDX-License-Identifier: Apache-2.0

import EventLoop
import Postgres
import Testing

struct StreamTests {
    @Test func `columns are known for an empty result, and the tag at the end`() async throws {
        try await withConnection { connection in
            let rows = try await connection.stream("SELECT 1::int8 AS a, 'x'::varchar(5) AS b WHERE false")
            #expect(rows.columns.map(\.name) == ["a", "b"])
            #expect(rows.columns[1].typeModifier == 9)
            #expect(try await rows.next() == nil)
            #expect(rows.commandTag == "SELECT 0")
            let none = try await connection.stream("CREATE TEMP TABLE t ()")
            #expect(none.columns.isEmpty)
            #expect(try await none.next() == nil)
            #expect(none.commandTag == "CREATE TABLE")
        }
    }

    @Test func `rows carry nulls and bytes`() async throws {
        try await withConnection { connection in
            let rows = try await connection.stream("VALUES (1, NULL), (2, 'two')")
            let first = try #require(try await rows.next())
            #expect(try first.int(0) == 1)
            #expect(first.isNull(1))
            let second = try #require(try await rows.next())
            #expect(second.withBytes(1) { $0.map { Array($0) } } == Array("two".utf8))
            #expect(try await rows.next() == nil)
            #expect(try await rows.next() == nil)
            #expect(rows.rowCount == 2)
            #expect(rows.commandTag == "SELECT 2")
        }
    }

    @Test func `a million rows pass through flat memory`() async throws {
        try await withConnection { connection in
            let statement = Statement(name: "series", sql: "SELECT n, repeat('x', 500) FROM generate_series(1, $1) n")
            let rows = try await connection.stream(statement, [1_000_000], deadline: .now() + .seconds(60))
            var sum = Int64(0)
            var peak = 0
            let before = residentKiB()
            while let row = try await rows.next() {
                sum += try row.int64(0)
                if rows.rowCount % 100_000 == 0 { peak = max(peak, residentKiB()) }
            }
            #expect(sum == 500_000_500_000)
            #expect(rows.commandTag == "SELECT 1000000")
            // Buffered, they would be more than 500 MiB. Other tests run meanwhile, in the same process.
            #expect(peak - before < 300 * 1024)
        }
    }

    @Test func `a stream that never has to wait lets the loop's other connections have their turn`() async throws {
        try await withConnection { connection in
            let loop = connection.loop
            let rows = try await connection.stream("SELECT repeat('x', 500) FROM generate_series(1, 100000)")
            let turns = Task(executorPreference: loop) {
                var turns = 0
                while !Task.isCancelled {
                    await loop.nextTurn()
                    turns += 1
                }
                return turns
            }
            while try await rows.next() != nil {}
            turns.cancel()
            // One for each tenth of a millisecond that reading takes: hundreds for 50 MB, however fast the machine.
            #expect(await turns.value > 100)
        }
    }

    @Test(arguments: [(rows: 200, givesWay: false), (rows: 100_000, givesWay: true)])
    func `a long stream gives way before it reads on, a short one does not`(rows: Int, givesWay: Bool) async throws {
        try await withConnection { connection in
            nonisolated(unsafe) var times = 0
            connection.giveWay = { times += 1 }
            let stream = try await connection.stream("SELECT repeat('x', 500) FROM generate_series(1, \(rows))")
            var count = 0
            while try await stream.next() != nil { count += 1 }
            #expect(count == rows)
            #expect((times > 0) == givesWay)
        }
    }

    @Test func `a stream that gives way ends at its deadline, however fast its rows come`() async throws {
        try await withConnection { connection in
            let loop = connection.loop
            connection.giveWay = { try? await loop.sleep(for: .milliseconds(2)) }
            let rows = try await connection.stream(
                "SELECT repeat('x', 500), generate_series(1, 10000000)", deadline: .now() + .milliseconds(300))
            let error = await errorOf { while try await rows.next() != nil {} }
            #expect(error.kind == .timeout)
            #expect(rows.rowCount < 10_000_000)
            try await expectUsable(connection)
        }
    }

    @Test func `a row that is not pulled is not read: the server waits`() async throws {
        try await withConnection { connection in
            let rows = try await connection.stream("SELECT repeat('x', 1000) FROM generate_series(1, 1000000)")
            _ = try await rows.next()
            let before = residentKiB()
            try await connection.loop.sleep(for: .milliseconds(200))
            // Of 1 GB; other tests run meanwhile, in the same process.
            #expect(residentKiB() - before < 300 * 1024)
            await rows.cancel()
            #expect(connection.isOpen)
        }
    }

    @Test func `stopping early cancels on the server and frees the connection`() async throws {
        try await withConnection { connection in
            let rows = try await connection.stream("SELECT generate_series(1, 1000000000)")
            for _ in 0..<10 { _ = try await rows.next() }
            #expect(await errorOf { try await connection.query("SELECT 1") }.kind == .usage)
            let start = MonotonicTime.now()
            await rows.cancel()
            #expect(MonotonicTime.now() - start < .seconds(20))
            try await expectUsable(connection)
            #expect(try await rows.next() == nil)
        }
    }

    @Test func `a stream that is let go of is cleaned up by the next operation`() async throws {
        try await withConnection { connection in
            do {
                let rows = try await connection.stream("SELECT generate_series(1, 1000000000)")
                _ = try await rows.next()
            }
            try await expectUsable(connection)
        }
    }

    @Test func `an error in the middle is thrown after the rows before it`() async throws {
        try await withConnection { connection in
            let rows = try await connection.stream("SELECT 10 / (1000 - n) FROM generate_series(1, 2000) n")
            let error = await errorOf { while try await rows.next() != nil {} }
            #expect(error.sqlState == "22012")
            #expect(rows.rowCount == 999)
            try await expectUsable(connection)
        }
    }

    @Test func `an error at the start is thrown by stream`() async throws {
        try await withConnection { connection in
            #expect(await errorOf { try await connection.stream("SELECT 1/0") }.sqlState == "22012")
            #expect(await errorOf { try await connection.stream("SELECT nope") }.position == 8)
            try await expectUsable(connection)
        }
    }

    @Test func `COPY TO STDOUT streams the server's own text`() async throws {
        try await withConnection { connection in
            let copy = try await connection.copyOut(
                "COPY (SELECT n, 'a,b' FROM generate_series(1, 3) n) TO STDOUT (FORMAT csv)")
            #expect(copy.columnCount == 2)
            var text: [UInt8] = []
            while try await copy.fill(&text, limit: 64) {}
            #expect(String(decoding: text, as: UTF8.self) == "1,\"a,b\"\n2,\"a,b\"\n3,\"a,b\"\n")
            #expect(copy.rowCount == 3)
            let long = try await connection.copyOut("COPY (SELECT generate_series(1, 1000000000)) TO STDOUT")
            #expect(try await long.next { _ in })
            await long.cancel()
            let failing = try await connection.copyOut(
                "COPY (SELECT 1/(100-n) FROM generate_series(1,200) n) TO STDOUT")
            #expect(await errorOf { while try await failing.next({ _ in }) {} }.sqlState == "22012")
            try await expectUsable(connection)
        }
    }
}
