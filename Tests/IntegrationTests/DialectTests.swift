// SPDX-License-Identifier: Apache-2.0

import EventLoop
import Glibc
import Postgres
import Testing
@testable import TrinoSQL

/// A database with a little of everything, and statements of Trino clients run on it as the query server would: as the
/// reader, in a READ ONLY transaction, with the settings that the translation asks for.
private struct DialectServer {
    let pipeline: TestPipeline
    let catalog: String

    init(_ name: String) async throws {
        pipeline = try await TestPipeline(name)
        catalog = name
        for statement in try Self.setup() { _ = try await pipeline.query(statement) }
    }

    /// The statements of `Tests/IntegrationTests/dialect.sql`, one a paragraph.
    private static func setup() throws -> [String] {
        try Checkout.lines("Tests/IntegrationTests/dialect.sql").split(separator: "").map {
            $0.joined(separator: "\n")
        }
    }

    func dialect(sessionCatalog: String? = nil, schema: String? = nil) -> TrinoDialect {
        TrinoDialect(catalog: catalog, sessionCatalog: sessionCatalog, schema: schema, user: "ann")
    }

    /// What a client would get: names of columns and rows, or an error.
    func run(_ sql: String, _ dialect: TrinoDialect, arguments: [String]? = nil) async -> Outcome {
        do throws(TrinoError) {
            switch try dialect.parse(sql, arguments: arguments) {
            case .query(let query): return await run(query, dialect)
            case .explain(let form, let query):
                let plan = await run(query, dialect)
                guard case .rows(_, let rows) = plan else { return plan }
                let lines = rows.map { $0.first.flatMap { $0 } ?? "" }
                return .rows([form.columnName], [[form.value(lines, catalog: catalog)]])
            case .executeImmediate(let sql, let arguments): return await run(sql, dialect, arguments: arguments)
            case .refused(let error): return .error(error)
            case let other: return .other(other)
            }
        } catch {
            return .error(error)
        }
    }

    private func run(_ query: PostgresQuery, _ dialect: TrinoDialect) async -> Outcome {
        let url = pipeline.server.readerURL(catalog)
        let loop = pipeline.server.loop
        return await Task(executorPreference: loop) {
            do {
                let connection = try await PostgresConnection.connect(ConnectionSettings(url), on: loop)
                defer { connection.close() }
                try await connection.query("BEGIN READ ONLY")
                for setting in query.settings {
                    try await connection.query("SET LOCAL \(setting.name) = \(Self.value(setting))")
                }
                let rows = try await connection.query(query.text, deadline: .now() + .seconds(60))
                var texts: [[String?]] = []
                for row in rows { texts.append(try row.columns.indices.map { try row.stringOrNil($0) }) }
                return .rows(query.columnNames(rows.columns.map(\.name)), texts)
            } catch let error as PostgresError {
                return .error(
                    dialect.error(
                        PostgresComplaint(sqlState: error.sqlState, message: error.message, position: error.position),
                        in: query))
            } catch {
                return .error(TrinoError(.genericInternalError, "\(error)"))
            }
        }.value
    }

    private static func value(_ setting: PostgresQuery.Setting) -> String {
        setting.name == "search_path" ? setting.value : Rules.quoted(setting.value)
    }
}

private enum Outcome {
    case rows([String], [[String?]])
    case error(TrinoError)
    case other(TrinoStatement)

    /// As `docs/dialect.md` writes it: values with a comma, rows with a semicolon between them.
    var text: String {
        switch self {
        case .rows(_, let rows):
            rows.isEmpty
                ? "no rows" : rows.map { $0.map { $0 ?? "NULL" }.joined(separator: ", ") }.joined(separator: "; ")
        case .error(let error): "\(error.code.name): \(error.message)"
        case .other(let statement): "\(statement)"
        }
    }
}

/// Files of this checkout.
private enum Checkout {
    static func lines(_ path: String) throws -> [String] {
        let root = "/" + #filePath.split(separator: "/").dropLast(3).joined(separator: "/")
        let file = try #require(fopen("\(root)/\(path)", "re"))
        defer { fclose(file) }
        var bytes: [UInt8] = []
        var buffer = [UInt8](repeating: 0, count: 1 << 16)
        while case let count = fread(&buffer, 1, buffer.count, file), count > 0 { bytes += buffer[..<count] }
        return String(decoding: bytes, as: UTF8.self).split(separator: "\n", omittingEmptySubsequences: false)
            .map { String($0) }
    }
}

/// A line of a table of `docs/dialect.md`: a statement and what it gives.
private struct Example {
    var line: Int
    var sql: String
    var result: String

    /// `| \`statement\` | \`result\` | … |`, with \| for a bar.
    static func all(in path: String) throws -> [Example] {
        try Checkout.lines(path).enumerated().compactMap { index, line in
            guard line.hasPrefix("| `") else { return nil }
            var cells: [String] = [""]
            var isEscaped = false
            for character in line.dropFirst() {
                if isEscaped, character != "|" { cells[cells.count - 1].append("\\") }
                if character == "\\", !isEscaped {
                    isEscaped = true
                    continue
                }
                if character == "|", !isEscaped { cells.append("") } else { cells[cells.count - 1].append(character) }
                isEscaped = false
            }
            func code(_ cell: String) -> String {
                guard let first = cell.firstIndex(of: "`"), let last = cell.lastIndex(of: "`"), first < last else {
                    return ""
                }
                return String(cell[cell.index(after: first)..<last])
            }
            guard cells.count > 2 else { return nil }
            return Example(line: index + 1, sql: code(cells[0]), result: code(cells[1]))
        }
    }
}

extension String {
    /// Every `old` replaced, without Foundation.
    fileprivate func replacing(_ old: String, by new: String) -> String {
        var result = ""
        var rest = self[...]
        while let range = rest.firstRange(of: old) {
            result += rest[..<range.lowerBound] + new
            rest = rest[range.upperBound...]
        }
        return result + rest
    }
}

struct DialectTests {
    @Test func `every line of the page of the dialect gives what it says`() async throws {
        let server = try await DialectServer("tapedeck_page")
        let examples = try Example.all(in: "docs/dialect.md")
        #expect(examples.count > 150, "the examples are not found")
        for example in examples {
            // The page calls the catalog tapedeck; a test's database has another name.
            let outcome = await server.run(
                example.sql.replacing("tapedeck", by: "tapedeck_page").replacing("TAPEDECK", by: "TAPEDECK_PAGE"),
                server.dialect())
            let expected = example.result.replacing("tapedeck", by: "tapedeck_page")
            // A page has no room for lines.
            let text = outcome.text.split { $0 == "\n" }.map { $0.drop { $0 == " " } }.joined(separator: " ")
            if text != expected {
                Issue.record(
                    "docs/dialect.md:\(example.line): \(example.sql)\n  is   \(text)\n  not  \(expected)")
            }
        }
    }

    @Test func `every function that the rules name is there, and readers may call it`() async throws {
        let pipeline = try await TestPipeline("dialect_functions")
        for (schema, names) in [("trino", FunctionNames.missing), ("trino_dialect", FunctionNames.different)] {
            let rows = try await pipeline.query(
                """
                SELECT DISTINCT p.proname FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace
                WHERE n.nspname = '\(schema)' AND has_function_privilege('tapedeck_reader', p.oid, 'EXECUTE')
                """)
            let there = Set(rows.compactMap { $0[0] })
            #expect(names.subtracting(there) == [], "\(schema)")
        }
        // What is on the search path of everybody must not stand in for something of PostgreSQL, which has no
        // unnest(jsonb), and no max and min of booleans.
        let shadows = try await pipeline.query(
            """
            SELECT DISTINCT p.proname FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace
            WHERE n.nspname = 'trino' AND p.oid NOT IN (
                'trino.unnest(jsonb)'::regprocedure, 'trino.max(boolean)'::regprocedure, 'trino.min(boolean)'::regprocedure)
            AND p.proname IN (
                SELECT q.proname FROM pg_proc q WHERE q.pronamespace = 'pg_catalog'::regnamespace)
            """)
        #expect(shadows == [])
    }

    /// Autovacuum looks at the partitions only.
    @Test func `SHOW STATS of a partitioned table puts those of its partitions together`() async throws {
        let server = try await DialectServer("tapedeck_stats")
        _ = try await server.pipeline.query("SELECT ops.ensure_trade_partitions(array[date '2024-01-03'])")
        _ = try await server.pipeline.query(
            """
            INSERT INTO market.trades (symbol, ts, source, trade_id, price, size)
            SELECT (array['AAPL', 'MSFT', 'XOM', 'KO'])[n % 4 + 1], timestamptz '2024-01-03 15:30:00+00', 'file', n, n, 1
            FROM generate_series(1, 30) AS n
            """)
        for partition in try await server.pipeline.query(
            "SELECT relid::regclass FROM pg_partition_tree('market.trades') WHERE isleaf")
        {
            _ = try await server.pipeline.query("ANALYZE \(partition[0] ?? "")")
        }
        let outcome = await server.run("SHOW STATS FOR market.trades", server.dialect())
        guard case .rows(let names, let rows) = outcome else {
            Issue.record("\(outcome)")
            return
        }
        #expect(names.prefix(2) == ["column_name", "data_size"])
        #expect(rows.first { $0[0] == "symbol" }?[2] == "4")
        #expect(rows.first { $0[0] == "price" }?[1...3] == ["320", "30", "0"])
        #expect(rows.last?[4] == "40")
    }

    @Test func `SHOW STATS does not know how many rows a table has that was never analysed`() async throws {
        let server = try await DialectServer("tapedeck_unknown")
        _ = try await server.pipeline.query("CREATE TABLE public.fresh (a integer) WITH (autovacuum_enabled = off)")
        _ = try await server.pipeline.query("GRANT SELECT ON public.fresh TO tapedeck_reader")
        let outcome = await server.run("SHOW STATS FOR public.fresh", server.dialect())
        guard case .rows(_, let rows) = outcome else {
            Issue.record("\(outcome)")
            return
        }
        #expect(rows.count == 2 && rows.last?[4] == nil as String?, "\(rows)")
    }

    @Test func `the columns that need no NULLS LAST are never NULL`() async throws {
        let pipeline = try await TestPipeline("dialect_not_null")
        let rows = try await pipeline.query(
            """
            SELECT c.relname, a.attname FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid
            WHERE c.relnamespace = 'market'::regnamespace AND c.relkind IN ('r', 'p') AND a.attnotnull AND a.attnum > 0
            """)
        let columns = Set(rows.map { "\($0[0] ?? "").\($0[1] ?? "")" })
        // Views have no NOT NULL of their own: theirs come from ops.bar_state.
        let states = Set(
            try await pipeline.query(
                "SELECT attname FROM pg_attribute WHERE attrelid = 'ops.bar_state'::regclass AND attnotnull"
            ).compactMap { $0[0] })
        for (table, names) in NotNullKey.columns {
            for name in names {
                let isView = table == "bars" || table == "trade_stats_15s"
                #expect(isView ? states.contains(name) : columns.contains("\(table).\(name)"), "\(table).\(name)")
            }
        }
    }
}

/// Statements that real clients and Superset sent, recorded word by word: they must succeed, or fail as Trino would.
struct RecordedStatementTests {
    /// `Tests/IntegrationTests/dialect-statements.txt`: a line each, `\n` for a line end; where it must fail, the name of
    /// the error and a tab come first.
    private static func recorded() throws -> [(error: String?, sql: String)] {
        try Checkout.lines("Tests/IntegrationTests/dialect-statements.txt").filter { !$0.isEmpty }.map { line in
            let parts = line.split(separator: "\t", maxSplits: 1)
            let sql = (parts.last.map { String($0) } ?? "").replacing("\\n", by: "\n")
            return (parts.count == 2 ? String(parts[0]) : nil, sql)
        }
    }

    @Test func `what clients were seen to send is answered as Trino would`() async throws {
        let server = try await DialectServer("warehouse")
        let dialect = server.dialect(schema: "public")
        let statements = try Self.recorded()
        #expect(statements.count > 130)
        for (error, sql) in statements {
            let outcome = await server.run(sql, dialect)
            var found: String?
            if case .error(let error) = outcome { found = error.code.name }
            if found != error { Issue.record("\(sql)\n  is \(outcome.text)\n  not \(error ?? "rows")") }
        }
    }

    @Test func `columns are called as they were written`() async throws {
        let server = try await DialectServer("dialect_names")
        let cases: [(sql: String, names: [String])] = [
            (
                "SELECT 1, 2 AS Foo, 3 \"Bar\", count(*) n, id FROM public.events GROUP BY id LIMIT 1",
                ["_col0", "Foo", "Bar", "n", "id"]
            ),
            ("SELECT COUNT(*) AS \"COUNT(*)\", Max(ID) FROM public.events", ["COUNT(*)", "_col1"]),
            ("SELECT *, 1 FROM public.event_counts", ["kind", "n", "_col2"]),
            (
                "SELECT events.Kind, INTERVAL '1' DAY, ts AT TIME ZONE 'UTC' FROM public.events",
                ["Kind", "_col1", "_col2"]
            ),
            ("WITH x AS (SELECT 1 AS a) (SELECT a AS \"A\" FROM x) UNION ALL SELECT 2", ["A"]),
            ("SELECT sum(id) OVER w, id w FROM public.events WINDOW w AS (ORDER BY id)", ["_col0", "w"]),
            ("SELECT * FROM UNNEST(ARRAY[1, 2])", ["_col0"]),
            ("SELECT * FROM UNNEST(ARRAY[1], ARRAY['a']) WITH ORDINALITY", ["_col0", "_col1", "_col2"]),
            ("SELECT * FROM UNNEST(ARRAY[1]) WITH ORDINALITY AS t", ["_col0", "_col1"]),
            ("SELECT t.* FROM UNNEST(MAP(ARRAY['a'], ARRAY[1])) t", ["_col0", "_col1"]),
            ("SELECT * FROM UNNEST(ARRAY[ROW(1, 'a')])", ["_col0", "_col1"]),
            ("SELECT *, 1 FROM public.event_counts CROSS JOIN UNNEST(ARRAY[1])", ["kind", "n", "_col0", "_col3"]),
            ("SELECT * FROM UNNEST(ARRAY[1]) AS t (X), (SELECT 1, 2)", ["x", "_col0", "_col1"]),
            ("SELECT * FROM (SELECT 1 AS _col7, 2 AS b)", ["_col7", "b"]),
            ("SELECT * FROM (SELECT 1) CROSS JOIN (SELECT 2)", ["_col0", "_col1"]),
            ("SELECT \"_col0\" FROM (SELECT * FROM public.event_counts CROSS JOIN UNNEST(ARRAY[1])) v", ["_col0"]),
            ("SELECT a.*, b.* FROM UNNEST(ARRAY[1]) AS a, UNNEST(ARRAY[1]) AS b", ["_col0", "_col1"]),
            ("VALUES (1, 2)", ["_col0", "_col1"]), ("SHOW TABLES FROM public", ["Table"]),
            ("DESCRIBE public.events", ["Column", "Type", "Extra", "Comment"]),
            ("EXPLAIN SELECT 1", ["Query Plan"]), ("EXPLAIN (TYPE VALIDATE) SELECT 1", ["Valid"]),
        ]
        for (sql, expected) in cases {
            guard case .rows(let names, _) = await server.run(sql, server.dialect()) else {
                Issue.record("\(sql)")
                continue
            }
            #expect(names == expected, "\(sql)")
        }
    }

    @Test func `a session in another catalog finds its own tables only`() async throws {
        let server = try await DialectServer("dialect_sessions")
        let system = server.dialect(sessionCatalog: "system", schema: "runtime")
        #expect(await server.run("SELECT count(*) FROM nodes", system).text == "1")
        #expect(await server.run("SELECT count(*) FROM jdbc.table_types", system).text == "2")
        #expect(
            await server.run("SELECT schema_name FROM information_schema.schemata ORDER BY 1", system).text
                == "information_schema; jdbc; metadata; runtime")
        #expect(await server.run("SHOW TABLES FROM metadata LIKE 'cat%'", system).text == "catalogs")
        #expect(await server.run("SELECT count(*) FROM dialect_sessions.public.events", system).text == "40")
        let lost = server.dialect(sessionCatalog: "public", schema: "public")
        #expect(
            await server.run("SELECT ts FROM public.events LIMIT 1", lost).text
                == "CATALOG_NOT_FOUND: line 1:16: Catalog 'public' does not exist")
        #expect(await server.run("SELECT 1", lost).text == "1")
        #expect(await server.run("WITH x AS (SELECT 1 AS a) SELECT a FROM x", lost).text == "1")
    }

    @Test func `EXPLAIN TYPE IO shows tables and an estimate`() async throws {
        let server = try await DialectServer("dialect_explain")
        let text = await server.run(
            "EXPLAIN (TYPE IO, FORMAT JSON) SELECT * FROM public.events WHERE qty > 5", server.dialect()
        ).text
        for part in [
            "\"estimate\"", "\"outputRowCount\"", "\"outputSizeInBytes\"", "\"cpuCost\"", "\"table\" : \"events\"",
        ] {
            #expect(text.contains(part), "\(text)")
        }
        let graph = await server.run("EXPLAIN (FORMAT GRAPHVIZ) SELECT * FROM public.events", server.dialect()).text
        #expect(graph.hasPrefix("digraph") && graph.contains("events"))
        #expect(await server.run("EXPLAIN ANALYZE SELECT 1", server.dialect()).text.contains("actual time"))
    }
}
