// SPDX-License-Identifier: Apache-2.0

import TestSupport
import Testing
@testable import TrinoSQL

struct RuleTests {
    @Test(arguments: [
        // Literals.
        ("SELECT X'00 fF'", "SELECT '\\x00fF'::bytea"),
        ("SELECT 1.5e-3, 1_0", "SELECT 1.5e-3::double precision, 10"),
        ("SELECT TIMESTAMP '2024-01-02 03:04:05'", "SELECT TIMESTAMP '2024-01-02 03:04:05'"),
        (
            "SELECT timestamp '2024-01-02 3:04 GMT-3'",
            "SELECT TIMESTAMP WITH TIME ZONE '2024-01-02 3:04-3'"
        ),
        ("SELECT DOUBLE PRECISION '1'", "SELECT CAST('1' AS double precision)"),
        // Names.
        ("SELECT \"Foo\", \"bar\" FROM \"T\"", "SELECT \"foo\", \"bar\" FROM \"t\""),
        ("SELECT user, t.user, desc FROM user", "SELECT \"user\", t.user, \"desc\" FROM \"user\""),
        ("SELECT a, limit FROM t ORDER BY a LIMIT ALL", "SELECT a, \"limit\" FROM t ORDER BY a LIMIT ALL"),
        (
            "SELECT array[1], any FROM t WHERE x = ANY (SELECT 1)",
            "SELECT array[1], \"any\" FROM t WHERE x = ANY (SELECT 1)"
        ),
        ("SELECT ALL a FROM t UNION ALL SELECT all FROM t", "SELECT ALL a FROM t UNION ALL SELECT \"all\" FROM t"),
        ("SELECT * FROM information_schema.tables", "SELECT * FROM trino_information_schema.tables"),
        (
            "SELECT Tapedeck.information_schema.tables.table_name FROM tapedeck.\"Information_Schema\".\"TABLES\"",
            "SELECT trino_information_schema.tables.table_name FROM trino_information_schema.\"tables\""
        ),
        ("SELECT t.system, system FROM system.runtime.nodes", "SELECT t.system, system FROM trino_runtime.nodes"),
        // Arrays.
        ("SELECT ARRAY[], coalesce(x, ARRAY[]), x || ARRAY[]", "SELECT ARRAY[], coalesce(x, '{}'), x || '{}'"),
        ("SELECT x = (ARRAY[])", "SELECT x = ('{}')"),
        ("SELECT cardinality(ARRAY[])", "SELECT trino_dialect.cardinality('{}'::text[])"),
        // Subqueries.
        (
            "SELECT * FROM (SELECT a, count(*), b AS B2, max(c) FROM t GROUP BY 1, 3) AS x",
            "SELECT * FROM (SELECT a, count(*), b AS B2, max(c) FROM t GROUP BY 1, 3) AS x"
                + "(\"a\", \"_col1\", \"b2\", \"_col3\")"
        ),
        (
            "SELECT * FROM (SELECT *, 1 FROM t) x, (SELECT 1, *) y",
            "SELECT * FROM (SELECT *, 1 FROM t) x, (SELECT 1, *) y(\"_col0\")"
        ),
        ("SELECT * FROM (SELECT 1) x (a), (SELECT a) y", "SELECT * FROM (SELECT 1) x (a), (SELECT a) y"),
        (
            "WITH a AS (SELECT 1), b (x) AS (SELECT 2) SELECT * FROM a, b",
            "WITH a (\"_col0\") AS (SELECT 1), b (x) AS (SELECT 2) SELECT * FROM a, b"
        ),
        (
            "SELECT c FROM t CROSS JOIN LATERAL (SELECT 1 AS c)",
            "SELECT c FROM t CROSS JOIN LATERAL (SELECT 1 AS c) AS \"_query7\""
        ),
        (
            "SELECT approx_percentile(x, 0.5, 0.01)",
            "SELECT percentile_disc(0.5) WITHIN GROUP (ORDER BY x)"
        ),
        // Types.
        (
            "SELECT CAST(x AS double), CAST(y AS varchar(3))",
            "SELECT trino_dialect.to_double(x), CAST(trino_dialect.to_varchar(y) AS varchar(3))"
        ),
        (
            "SELECT CAST(x AS array(array(double))), CAST(ARRAY[x] AS array(double))",
            "SELECT trino_dialect.to_array(x, NULL::double precision[][]), CAST(ARRAY[x] AS double precision[])"
        ),
        (
            "SELECT CAST(x AS timestamp(9) with time zone), CAST(x AS date), CAST('2024-01-02' AS timestamp)",
            "SELECT CAST(trino_dialect.to_timestamptz(x) AS timestamp(6) with time zone), trino_dialect.to_date(x), "
                + "CAST('2024-01-02' AS timestamp)"
        ),
        ("SELECT CAST('1' AS bigint), CAST(x AS bigint)", "SELECT CAST('1' AS bigint), trino_dialect.to_bigint(x)"),
        (
            "SELECT TRY_CAST(x AS decimal(3,1))",
            "SELECT CAST(trino_dialect.fitting_decimal(trino_dialect.try_cast(x, NULL::numeric(3,1)), 3, 1) "
                + "AS numeric(3,1))"
        ),
        // Clauses.
        (
            "SELECT a FROM t ORDER BY a DESC, b DESC NULLS FIRST",
            "SELECT a FROM t ORDER BY a DESC NULLS LAST, b DESC NULLS FIRST"
        ),
        (
            "SELECT rank() OVER (ORDER BY ts DESC) FROM trades",
            "SELECT rank() OVER (ORDER BY ts DESC NULLS LAST) FROM trades"
        ),
        ("VALUES 1, (2), ROW(3)", "VALUES (1), (2), (3)"),
        ("VALUES (1) + 1, f(2, 3)", "VALUES ((1) + 1), (f(2, 3))"),
        ("SELECT * FROM (SELECT 1), t", "SELECT * FROM (SELECT 1) AS \"_query3\"(\"_col0\"), t"),
        (
            "SELECT * FROM (SELECT 1 AS c) x JOIN (t JOIN u USING (a)) ON true",
            "SELECT * FROM (SELECT 1 AS c) x JOIN (t JOIN u USING (a)) ON true"
        ),
        (
            "SELECT * FROM ((SELECT 1) UNION (SELECT 2)) WHERE 1 IN (SELECT 1)",
            "SELECT * FROM ((SELECT 1) UNION (SELECT 2)) AS \"_query3\"(\"_col0\") WHERE 1 IN (SELECT 1)"
        ),
        (
            "SELECT a LIKE 'x%' AND b NOT LIKE c || '\\%' OR d",
            "SELECT a LIKE 'x%' AND b NOT LIKE c || '\\%' ESCAPE '' OR d"
        ),
        // Expressions.
        (
            "SELECT if(a, if(b, 1), 2)", "SELECT (CASE WHEN a THEN (CASE WHEN b THEN 1 END) ELSE 2 END)"
        ),
        (
            "SELECT TRY(a / b + CAST(c AS date))",
            "SELECT (a / NULLIF(b, 0) + CAST(trino_dialect.try_cast(c, NULL::date) AS date))"
        ),
        ("SELECT a / b", "SELECT a / b"),
        ("SELECT EXTRACT(dow FROM ts)", "SELECT trino.day_of_week(ts)"),
        ("SELECT concat(a, 'b')", "SELECT ((a) || ('b'))"),
        (
            "SELECT f(x)[1], ARRAY[1][1], (a)[i + 1], t.a['k'], a[1:2], ARRAY[a[1]], x::int[]",
            "SELECT trino_dialect.subscript(f(x), 1), trino_dialect.subscript(ARRAY[1], 1), "
                + "trino_dialect.subscript((a), i + 1), trino_dialect.subscript(t.a, 'k'), a[1:2], "
                + "ARRAY[trino_dialect.subscript(a, 1)], x::int[]"
        ),
        (
            "SELECT a[1][2], CASE WHEN a THEN b END[1], DATE '2024-01-02' AT TIME ZONE z",
            "SELECT trino_dialect.subscript(a, 1, 2), trino_dialect.subscript(CASE WHEN a THEN b END, 1), "
                + "trino.at_timezone(DATE '2024-01-02', z)"
        ),
        (
            "SELECT -t.ts AT TIME ZONE 'a' AT TIME ZONE u.z + x, f(a) AT LOCAL",
            "SELECT -trino.at_timezone(trino.at_timezone(t.ts, 'a'), u.z) + x, "
                + "trino.at_timezone(f(a), current_setting('TimeZone'))"
        ),
        (
            "SELECT hour((ts AT TIME ZONE 'a')), date_trunc('day', ts AT TIME ZONE 'a'), day(ts)",
            "SELECT trino.hour(trino_dialect.wall_clock((trino.at_timezone(ts, 'a')), 'a')), "
                + "trino_dialect.date_trunc('day', trino.at_timezone(ts, 'a'), 'a'), trino.day(ts)"
        ),
        ("SELECT a%-1", "SELECT a% -1"),
        // Calls.
        (
            "SELECT APPROX_PERCENTILE(price, 0.5) FILTER(WHERE ok)",
            "SELECT percentile_disc(0.5) WITHIN GROUP (ORDER BY price) FILTER(WHERE ok)"
        ),
        ("SELECT COUNT_IF(a > 1) OVER ()", "SELECT count(CASE WHEN a > 1 THEN 1 END) OVER ()"),
        (
            "SELECT approx_distinct(a), year(ts), SUM(x)",
            "SELECT count(DISTINCT a), trino.year(ts), trino_dialect.sum(x)"
        ),
        (
            "SELECT Parse_Data_Size(size(a)), map_union(x)",
            "SELECT CAST(trino.parse_data_size(size(a)) AS decimal(38, 0)), trino.map_union(x)"
        ),
        ("SELECT year, t.sum, market.year(1) FROM t", "SELECT year, t.sum, market.year(1) FROM t"),
        ("SELECT substring(a FROM 2), substring(a, 2)", "SELECT trino_dialect.substring(a, 2), trino_dialect.substring(a, 2)"),
    ])
    func `rules write what PostgreSQL says`(sql: String, expected: String) throws {
        #expect(try translated(sql) == expected)
    }

    @Test(arguments: [
        "SELECT ts, price FROM trades WHERE symbol = 'A' ORDER BY ts DESC LIMIT 5",
        "SELECT t.ts AS x FROM tapedeck.market.trades AS t WHERE true ORDER BY t.ts DESC, trade_id DESC",
        "SELECT ts AS ts FROM market.bars ORDER BY ts DESC",
    ])
    func `keys that are never NULL keep their order, and their index`(sql: String) throws {
        #expect(try translated(sql) == sql)
    }

    @Test(arguments: [
        "SELECT nullif(ts, ts) AS ts FROM trades ORDER BY ts DESC", "SELECT ts FROM ops.trades ORDER BY ts DESC",
        "SELECT t.ts FROM a LEFT JOIN trades t ON true ORDER BY t.ts DESC", "SELECT ts FROM trades, a ORDER BY ts DESC",
        "WITH trades AS (SELECT 1 AS ts) SELECT ts FROM trades ORDER BY ts DESC",
        "SELECT max(ts) FROM trades GROUP BY a ORDER BY ts DESC", "SELECT ts + x ts FROM trades ORDER BY ts DESC",
        "SELECT ts FROM trades UNION SELECT 1 ORDER BY ts DESC", "SELECT ts FROM latest ORDER BY previous_ts DESC",
        "SELECT ts FROM trades ORDER BY ts + 1 DESC", "SELECT ts FROM trades ORDER BY -ts DESC",
    ])
    func `a key that may be NULL comes last`(sql: String) throws {
        #expect(try translated(sql) == sql + " NULLS LAST")
    }

    @Test(arguments: [
        "SELECT 1", "select a, b as c from t where a = 'it''s' and b /* x */ in (1, 2)",
        "WITH x AS (SELECT kind, COUNT(*) AS n FROM events GROUP BY 1) SELECT * FROM x UNION ALL SELECT 'z', 0 LIMIT 101",
        "SELECT count(*) FILTER (WHERE a) OVER (PARTITION BY b ORDER BY c ROWS BETWEEN 1 PRECEDING AND CURRENT ROW) FROM t",
        "SELECT a FROM t CROSS JOIN LATERAL (SELECT 1 AS b) AS u WHERE EXISTS (SELECT 1) ORDER BY a NULLS FIRST OFFSET 1 LIMIT 2",
        "SELECT CASE WHEN a THEN 1 ELSE 2 END, coalesce(a, b), INTERVAL '1' DAY * 2, x::int FROM a.b.c",
        "(SELECT 1) UNION (VALUES (1), (2))", "SELECT DISTINCT ON (a) a, b ~ '^x', c->>'a' FROM t",
        "SELECT a IS DISTINCT FROM b, a NOT BETWEEN 1 AND 2, row_number() OVER w FROM t WINDOW w AS (ORDER BY a)",
        "SELECT * FROM t TABLESAMPLE BERNOULLI (10) FETCH FIRST ROW ONLY",
        "SELECT a FROM t GROUP BY GROUPING SETS ((a), ()), CUBE (b) HAVING count(*) > 1",
    ])
    func `what both understand is left as it is`(sql: String) throws {
        #expect(try translated(sql) == sql)
        guard case .query(let query) = try testDialect.parse(sql) else { return }
        for (offset, _) in sql.unicodeScalars.enumerated() {
            #expect(query.location(ofPosition: offset + 1) == TrinoLocation(line: 1, column: offset + 1))
        }
    }

    @Test func `every rule has a name of its own, a reason, and something that it is asked about`() {
        #expect(Set(Rules.all.map(\.name)).count == Rules.all.count)
        for rule in Rules.all { #expect(!rule.reason.isEmpty && !rule.triggers.isEmpty, "\(rule.name)") }
    }

    @Test func `patterns match as LIKE does`() {
        #expect(TrinoPattern("query%").matches("query_max_run_time"))
        #expect(TrinoPattern("a_c").matches("abc") && !TrinoPattern("a_c").matches("ac"))
        #expect(TrinoPattern("%").matches("") && !TrinoPattern("").matches("a"))
        #expect(
            TrinoPattern("a\\_c", escape: "\\").matches("a_c") && !TrinoPattern("a\\_c", escape: "\\").matches("abc"))
        #expect(!TrinoPattern(String(repeating: "%a", count: 200)).matches(String(repeating: "b", count: 2000)))
    }
}

struct RandomStatementTests {
    private static let vocabulary = [
        "select", "from", "where", "group", "by", "order", "having", "limit", "offset", "values", "with", "as", "on",
        "join",
        "left", "case", "when", "then", "end", "and", "or", "not", "in", "like", "escape", "between", "is", "null",
        "desc",
        "nulls", "last", "union", "all", "any", "cast", "try_cast", "try", "if", "extract", "row", "array", "map",
        "interval",
        "timestamp", "date", "double", "concat", "greatest", "max_by", "approx_percentile", "count_if", "listagg",
        "within",
        "filter", "over", "system", "information_schema", "tapedeck", "user", "fetch", "first", "only", "substring",
        "distinct",
        "sum", "year", "decimal", "explain", "show", "tables", "execute", "immediate", "using", "prepare", "a", "b",
        "\"C\"",
        "'x'", "'a\\b'", "X'00'", "1", "1.5", "1e3", "0xF", "(", ")", "[", "]", ",", ".", "*", "+", "-", "/", "%", "=",
        "<", ">", "||",
        "->", "=>", "::", ";", "?", "δ", "/* c */", "-- d\n",
    ]

    @Test func `no soup of tokens makes the parser fail but in words`() {
        var random = SeededRandom()
        for _ in 0..<20_000 {
            let count = Int.random(in: 1...40, using: &random)
            var words: [String] = Bool.random(using: &random) ? ["select"] : []
            for _ in 0..<count { words.append(Self.vocabulary.randomElement(using: &random) ?? "") }
            let sql = words.joined(separator: Bool.random(using: &random) ? " " : "")
            guard case .query(let query)? = try? testDialect.parse(sql) else { continue }
            // Each position is one of the statement's.
            let size = sql.utf8.count
            for position in 1...(query.text.unicodeScalars.count + 1) {
                #expect(query.sourceByte(ofPosition: position) <= size, "seed \(random.seed): \(sql)")
            }
            _ = query.columnNames(["a", "b"])
        }
    }

    @Test func `no cut of a statement makes the parser fail but in words`() {
        let sql =
            "EXECUTE IMMEDIATE 'SELECT ?' USING MAP(ARRAY['k'], ARRAY[1]); SELECT TRY(CAST(x AS DECIMAL(1, 2)) / 2), IF(a, b), "
            + "\"C\".d FROM (SELECT X'00', TIMESTAMP '2024-01-02 UTC' FROM system.jdbc.tables) WHERE a LIKE b ORDER BY c DESC /* */"
        let bytes = Array(sql.utf8)
        for start in stride(from: 0, to: bytes.count, by: 3) {
            for end in start...bytes.count {
                _ = try? testDialect.parse(String(decoding: bytes[start..<end], as: UTF8.self))
            }
        }
    }

    /// Statements whose names occur once each: every name of the translation must lead back to its place.
    @Test func `positions of names lead back to where they were typed`() throws {
        var random = SeededRandom()
        let shapes: [(String, Int)] = [
            ("if(%, %, %)", 3), ("CAST(% AS double)", 1), ("TRY(% / %)", 2), ("max_by(%, %)", 2), ("% LIKE %", 2),
            ("concat(%, %)", 2), ("f(%)[%]", 2), ("approx_percentile(%, %)", 2), ("%", 1),
            ("(SELECT % FROM % ORDER BY % DESC)", 3),
            ("extract(year FROM %)", 1), ("count_if(%)", 1), ("year(%)", 1), ("'δ' || %", 1), ("1e3 + %", 1),
        ]
        for _ in 0..<300 {
            var sql = "SELECT"
            var number = 0
            func fill(_ depth: Int) -> String {
                guard let shape = shapes.randomElement(using: &random), depth < 4 else {
                    number += 1
                    return "n\(number)x"
                }
                var text = ""
                for character in shape.0 {
                    if character == "%" { text += fill(depth + 1) } else { text.append(character) }
                }
                return text
            }
            for item in 0..<3 { sql += (item == 0 ? "\n " : ",\n /* é */ ") + fill(0) }
            guard case .query(let query) = try testDialect.parse(sql) else { continue }
            let source = Array(sql.utf8)
            let output = Array(query.text.utf8)
            var position = 0
            for (index, byte) in output.enumerated() {
                if byte & 0xC0 != 0x80 { position += 1 }
                guard byte == UInt8(ascii: "n"), index + 2 < output.count else { continue }
                let name = output[index...].prefix { $0 == 0x6E || $0 == 0x78 || ($0 >= 0x30 && $0 <= 0x39) }
                guard name.last == UInt8(ascii: "x"), name.count > 2 else { continue }
                let start = query.sourceByte(ofPosition: position)
                #expect(
                    Array(source[start..<min(source.count, start + name.count)]) == Array(name),
                    "seed \(random.seed): \(sql)\n\(query.text)")
            }
        }
    }
}

struct ErrorTests {
    /// The error of PostgreSQL at the last occurrence of `mark` in the text that was sent.
    private func error(
        _ sql: String, _ state: String, _ message: String, at mark: String? = nil, schema: String = "market"
    ) throws -> TrinoError {
        let dialect = TrinoDialect(catalog: "tapedeck", schema: schema, user: "ann")
        guard case .query(let query) = try dialect.parse(sql) else {
            throw TrinoError(.genericInternalError, "no query")
        }
        var position: Int?
        if let mark, let range = query.text.ranges(of: mark).last {
            position = query.text.unicodeScalars.distance(from: query.text.startIndex, to: range.lowerBound) + 1
        }
        return dialect.error(PostgresComplaint(sqlState: state, message: message, position: position), in: query)
    }

    @Test func `errors are said as Trino says them`() throws {
        let table = try error("SELECT *\nFROM nope", "42P01", "relation \"nope\" does not exist", at: "nope")
        #expect(table.message == "line 2:6: Table 'tapedeck.market.nope' does not exist")
        #expect(
            table.code == .tableNotFound && table.code.code == 46 && table.location == TrinoLocation(line: 2, column: 6)
        )
        let system = try error(
            "SELECT * FROM system.jdbc.nope", "42P01", "relation \"trino_jdbc.nope\" does not exist", at: "trino_jdbc")
        #expect(system.message == "line 1:15: Table 'system.jdbc.nope' does not exist")
        let column = try error("SELECT IF(a, 'δ'), T.\"B\" FROM t", "42703", "column t.b does not exist", at: "T.")
        #expect(column.message == "line 1:20: Column 't.b' cannot be resolved")
        let operation = try error(
            "SELECT a = b", "42883", "operator does not exist: timestamp with time zone = text", at: "=")
        #expect(operation.message == "line 1:10: Cannot apply operator: timestamp(6) with time zone = varchar")
        #expect(operation.code == .typeMismatch)
        let time = try error("SELECT 1", "57014", "canceling statement due to statement timeout")
        #expect(time.code == .exceededTimeLimit && time.code.type == .insufficientResources)
        #expect(try error("SELECT 1", "57014", "canceling statement due to user request").code == .userCanceled)
        #expect(try error("SELECT 1", "XX000", "oh").code == .genericInternalError)
        #expect(try error("SELECT 1", "53200", "out of memory").code == .genericInsufficientResources)
        #expect(
            try error("SELECT 1", "42501", "permission denied for table api_keys").message
                == "Access Denied: Cannot select from table api_keys")
    }
}
