// SPDX-License-Identifier: Apache-2.0

import Testing
@testable import TrinoSQL

struct DecimalTests {
    /// The digits of the columns of a query of `t`, where a is a decimal(12,2), b a decimal(5,4), n an integer, k a bigint,
    /// and x a double.
    private func digits(_ items: String, rest: String = " FROM t") throws -> [String] {
        guard case .query(let query) = try testDialect.parse("SELECT \(items)\(rest)") else { return [] }
        let names = query.decimalOperands.map { text in
            text.split(separator: " ", omittingEmptySubsequences: true).dropFirst().prefix { $0 != "FROM" }.map {
                $0.filter { $0 != "," }
            }
        }
        let types: [String: NumberType] = [
            "a": .decimal(DecimalDigits(12, 2)!), "b": .decimal(DecimalDigits(5, 4)!), "n": .integer(digits: 10),
            "k": .integer(digits: 19),
        ]
        let count = SelectListCount.items(items)
        return query.decimals(count, operands: (names ?? []).map { types[$0] }).map {
            $0.map { "\($0.precision),\($0.scale)" } ?? "-"
        }
    }

    private enum SelectListCount {
        static func items(_ text: String) -> Int {
            var depth = 0
            return text.reduce(into: 1) { count, character in
                if character == "(" { depth += 1 }
                if character == ")" { depth -= 1 }
                if character == ",", depth == 0 { count += 1 }
            }
        }
    }

    @Test(arguments: [
        ("sum(a), avg(a), max(a) AS top, min(b), sum(DISTINCT a)", ["38,2", "12,2", "12,2", "5,4", "38,2"]),
        ("a + b, a - n, b + 1, a + k", ["15,4", "13,2", "15,4", "22,2"]),
        ("a * b, a * n, a * 1.5, -a * .05", ["17,6", "22,2", "14,3", "14,4"]),
        ("a / b, a / n, n / a, a / 3", ["18,4", "12,2", "14,2", "12,2"]),
        ("a % b, a % 7", ["5,4", "12,2"]),
        ("round(a), round(a, 1), ceil(b), floor(a), abs(a)", ["11,0", "13,2", "2,0", "11,0", "12,2"]),
        ("coalesce(sum(a), 0), nullif(a, 0), greatest(a, b)", ["38,2", "12,2", "14,4"]),
        ("sum(CASE WHEN n > 1 THEN a ELSE 0 END), CASE n WHEN 1 THEN a WHEN 2 THEN b END", ["38,2", "14,4"]),
        ("sum(a) FILTER (WHERE n = 1), sum(a) OVER (ORDER BY n) s", ["38,2", "38,2"]),
        ("CAST(n AS DECIMAL(10, 3)) * a, sum(a) * count(*)", ["22,5", "38,2"]),
        // Of a double nothing follows, nor of a quotient that Trino would round before it goes on.
        ("a * x, a / b * 100, avg(a) + 1, f(a), a || 'x', sum(n), n * 2", ["-", "-", "-", "-", "-", "-", "-"]),
        ("a * b * b * b * b * b * b * b * b * b * b", ["-"]),
    ])
    func `digits follow by Trino's rules`(items: String, expected: [String]) throws {
        #expect(try digits(items) == expected, "\(items)")
    }

    @Test func `what is too long or too deep is unknown, and long lists take no longer for it`() throws {
        func terms(_ count: Int) -> String { [String](repeating: "a", count: count).joined(separator: " + ") }
        #expect(try digits(terms(DecimalReader.partsMax)) == ["38,2"])
        #expect(try digits(terms(DecimalReader.partsMax + 1)) == ["-"])
        #expect(try digits(terms(200_000)) == ["-"])
        func nested(_ count: Int) -> String {
            String(repeating: "case when n = 1 then ", count: count) + "-a" + String(repeating: " end", count: count)
        }
        #expect(try digits(nested(DecimalReader.depthMax - 1)) == ["12,2"])
        #expect(try digits(nested(DecimalReader.depthMax)) == ["-"])
        #expect(try digits(nested(30_000)) == ["-"])
        let rows = [String](repeating: "CAST(ROW(1) AS ROW(a INT))", count: 30_000).joined(separator: ",")
        #expect(try translated("SELECT \(rows)").hasPrefix("SELECT ROW("))
        let marks = [String](repeating: "?", count: 400_000).joined(separator: ",")
        #expect(try testDialect.parseOpen("SELECT \(marks)") != .commit)
    }

    @Test func `columns are asked for where the query finds them`() throws {
        func operands(_ sql: String) throws -> String? {
            guard case .query(let query) = try testDialect.parse(sql) else { return nil }
            return query.decimalOperands
        }
        #expect(
            try operands(
                "WITH c AS (SELECT 1 AS a) SELECT kind, sum(c.a) s FROM c JOIN d USING (id) WHERE a > 1 GROUP BY kind")
                == "WITH c AS (SELECT 1 AS a) SELECT c.a FROM c JOIN d USING (id) LIMIT 0")
        #expect(try operands("SELECT a, b FROM t") == nil)
        #expect(try operands("SELECT sum(a) FROM t UNION ALL SELECT b FROM u") == nil)
        #expect(try operands("SELECT 1.5 * 2") == nil)
        #expect(try digits("1.5 * 2", rest: "") == ["12,1"])
    }
}
