// SPDX-License-Identifier: Apache-2.0

import Testing
@testable import TrinoSQL

let testDialect = TrinoDialect(catalog: "tapedeck", user: "ann")

/// What PostgreSQL gets for a query.
func translated(_ sql: String, dialect: TrinoDialect = testDialect) throws -> String {
    switch try dialect.parse(sql) {
    case .query(let query), .explain(_, let query): return query.text
    case let other:
        Issue.record("\(sql): \(other)")
        return ""
    }
}

func failure(_ sql: String, arguments: [String]? = nil, dialect: TrinoDialect = testDialect) -> TrinoError? {
    do {
        if case .refused(let error) = try dialect.parse(sql, arguments: arguments) { return error }
        return nil
    } catch {
        return error
    }
}

struct StatementTests {
    @Test func `statements of a session are told apart`() throws {
        let expected: [(String, TrinoStatement)] = [
            (
                "PREPARE st_1 FROM SELECT count(*) FROM t WHERE a > ?",
                .prepare(name: "st_1", sql: "SELECT count(*) FROM t WHERE a > ?")
            ),
            ("EXECUTE st_1 USING 50, 'a,b', f(1, 2)", .execute(name: "st_1", arguments: ["50", "'a,b'", "f(1, 2)"])),
            ("EXECUTE st_1", .execute(name: "st_1", arguments: [])),
            ("EXECUTE IMMEDIATE 'SELECT ''a'', ?' USING 1", .executeImmediate(sql: "SELECT 'a', ?", arguments: ["1"])),
            ("DEALLOCATE PREPARE st_1", .deallocate(name: "st_1")),
            ("DESCRIBE INPUT st_1", .describeInput(name: "st_1")),
            ("describe output st_1", .describeOutput(name: "st_1")),
            ("SET SESSION query_max_run_time = '5m'", .setSession(name: "query_max_run_time", value: "5m")),
            ("SET SESSION hive.x = -1", .setSession(name: "hive.x", value: "-1")),
            ("SET TIME ZONE 'Europe/Paris'", .setSession(name: "time_zone_id", value: "Europe/Paris")),
            ("SET TIME ZONE INTERVAL '2' HOUR", .setSession(name: "time_zone_id", value: "+02:00")),
            (
                "SET TIME ZONE INTERVAL -'5:30' HOUR TO MINUTE", .setSession(name: "time_zone_id", value: "-05:30")
            ),
            ("SET TIME ZONE INTERVAL '-90' MINUTE", .setSession(name: "time_zone_id", value: "-01:30")),
            ("RESET SESSION a", .resetSession(name: "a")),
            ("SHOW SESSION LIKE 'query%'", .showSession(pattern: TrinoPattern("query%"))),
            ("USE market", .use(catalog: nil, schema: "market")),
            ("USE tapedeck.\"OPS\"", .use(catalog: "tapedeck", schema: "ops")),
            ("START TRANSACTION", .startTransaction),
            ("START TRANSACTION READ ONLY, ISOLATION LEVEL READ COMMITTED", .startTransaction),
            ("START TRANSACTION ISOLATION LEVEL READ UNCOMMITTED, READ WRITE", .startTransaction),
            ("COMMIT", .commit), ("ROLLBACK WORK;", .rollback),
            (
                "CALL system.runtime.kill_query(query_id => '20240101_1',message => 'Query cancelled by Superset')",
                .killQuery(id: "20240101_1", message: "Query cancelled by Superset")
            ),
        ]
        for (sql, statement) in expected { #expect(try testDialect.parse(sql) == statement, "\(sql)") }
    }

    @Test(arguments: [
        (
            "START TRANSACTION ISOLATION LEVEL SERIALIZABLE", "UNSUPPORTED_ISOLATION_LEVEL",
            "Connector supported isolation level READ COMMITTED does not meet requested isolation level SERIALIZABLE"
        ),
        (
            "start transaction read only, isolation level repeatable read", "UNSUPPORTED_ISOLATION_LEVEL",
            "Connector supported isolation level READ COMMITTED does not meet requested isolation level REPEATABLE READ"
        ),
        (
            "START TRANSACTION READ ONLY, READ WRITE", "SYNTAX_ERROR",
            "line 1:1: Multiple transaction read modes specified"
        ),
        (
            "START TRANSACTION ISOLATION LEVEL SERIALIZABLE, ISOLATION LEVEL READ COMMITTED", "SYNTAX_ERROR",
            "line 1:1: Multiple transaction isolation levels specified"
        ),
        (
            "START TRANSACTION READ", "SYNTAX_ERROR", "line 1:23: mismatched input '<EOF>'. Expecting: 'ONLY', 'WRITE'"
        ),
        (
            "START TRANSACTION ISOLATION LEVEL SNAPSHOT", "SYNTAX_ERROR",
            "line 1:35: mismatched input 'SNAPSHOT'. Expecting: 'READ', 'REPEATABLE', 'SERIALIZABLE'"
        ),
        (
            "START TRANSACTION READ ONLY READ WRITE", "SYNTAX_ERROR",
            "line 1:29: mismatched input 'READ'. Expecting: <EOF>"
        ),
        (
            "START TRANSACTION DEFERRABLE", "SYNTAX_ERROR",
            "line 1:19: mismatched input 'DEFERRABLE'. Expecting: 'ISOLATION', 'READ'"
        ),
    ])
    func `a transaction that we cannot give is refused`(sql: String, name: String, message: String) {
        #expect(failure(sql)?.code.name == name)
        #expect(failure(sql)?.message == message)
    }

    @Test func `parameters that are left open have numbers, and those that stand alone no type`() throws {
        let sql = "SELECT ?, ? AS b, f(?) FROM t WHERE x = ? AND y IN (?, ?) LIMIT ?"
        guard case .query(let query) = try testDialect.parseOpen(sql) else {
            Issue.record("no query")
            return
        }
        #expect(query.text == "SELECT $1, $2 AS b, f($3) FROM t WHERE x = $4 AND y IN ($5, $6) LIMIT $7")
        #expect(query.aliased(3) == [false, true, false])
        #expect(try testDialect.untypedParameters(sql) == [0, 1])
        #expect(try testDialect.untypedParameters("VALUES (?, 1), (2, ? + 1)") == [0])
    }

    @Test func `what cannot be prepared is told where it is wrong`() {
        #expect(failure("PREPARE p FROM SELECT nope(")?.location == TrinoLocation(line: 1, column: 28))
        #expect(failure("PREPARE p FROM SELECT INTERVAL ? DAY, ')")?.location == TrinoLocation(line: 1, column: 39))
        #expect(failure("SET TIME ZONE INTERVAL '20' HOUR")?.code == .invalidLiteral)
    }

    @Test func `writing is refused by name`() {
        let expected = [
            (
                "INSERT INTO ops.small_t\nVALUES\n  (55, 'lab')",
                "Access Denied: Cannot insert into table tapedeck.ops.small_t"
            ),
            ("DELETE FROM small_t WHERE a = 55", "Access Denied: Cannot delete from table tapedeck.market.small_t"),
            ("CREATE TABLE tapedeck.x AS SELECT 1", "Access Denied: Cannot create table tapedeck.tapedeck.x"),
            ("create or replace view v as select 1", "Access Denied: Cannot create view tapedeck.market.v"),
            ("drop table if exists t", "Access Denied: Cannot drop table tapedeck.market.t"),
        ]
        for (sql, message) in expected {
            #expect(failure(sql)?.message == message)
            #expect(failure(sql)?.code == .permissionDenied)
        }
    }

    @Test(arguments: [
        ("", "line 1:1: mismatched input '<EOF>'"),
        ("VACUUM", "line 1:1: mismatched input 'VACUUM'"),
        ("select 1; select 2", "line 1:9: mismatched input ';'"),
        ("select (1", "line 1:10: mismatched input '<EOF>'. Expecting: ')'"),
        ("select 1)", "line 1:9: mismatched input ')'"),
        ("select ?", "line 1:8: Incorrect number of parameters: expected 1 but found 0"),
        ("SHOW SCHEMAS FROM nope", "line 1:1: Catalog 'nope' does not exist"),
        ("CALL system.runtime.nope()", "line 1:6: Procedure not registered: system.runtime.nope"),
    ])
    func `what is no statement is told with its place`(sql: String, message: String) {
        #expect(failure(sql)?.message == message)
    }

    @Test func `arguments take the places of their marks, outside quotes and comments`() throws {
        let statement = try testDialect.parse(
            "select '?', \"?\", ?, a-? /* ? */ from t where b like ? -- ?",
            arguments: ["TIMESTAMP '2024-01-02 00:00:00'", "-1", "'x'"])
        guard case .query(let query) = statement else { throw TrinoError(.genericInternalError, "no query") }
        #expect(
            query.text
                == "select '?', \"?\",  TIMESTAMP '2024-01-02 00:00:00' , a-(-1) /* ? */ from t where b like  'x'")
        #expect(
            failure("select ?", arguments: [])?.message
                == "line 1:1: Incorrect number of parameters: expected 1 but found 0")
    }

    @Test func `a statement is limited in size and depth`() throws {
        let most = "select '" + String(repeating: "x", count: TrinoDialect.statementSizeMax - 9) + "'"
        #expect(failure(most) == nil)
        #expect(failure(most + " ")?.code == .queryTextTooLarge)
        func nested(_ depth: Int) -> String {
            "select " + String(repeating: "if(", count: depth) + "true" + String(repeating: ",1)", count: depth)
        }
        #expect(failure(nested(Outline.depthMax)) == nil)
        #expect(failure(nested(Outline.depthMax - 1)) == nil)
        #expect(failure(nested(Outline.depthMax + 1))?.code == .syntaxError)
    }
}
