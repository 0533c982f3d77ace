// SPDX-License-Identifier: Apache-2.0

import EventLoop
import HTTP
import TestSupport
import Testing

@testable import QueryServer

/// A client that does as Trino's do, page by page.
private struct TrinoClient {
    let address: SocketAddress
    var headers = [
        "X-Trino-User: alice", "X-Trino-Catalog: tapedeck", "X-Trino-Schema: market",
        "X-Trino-Client-Capabilities: PARAMETRIC_DATETIME",
    ]

    struct Result {
        var pages: [Reply] = []
        var columns: JSONValue?
        var rows: [JSONValue] = []
        var last: Reply { pages[pages.count - 1] }
    }

    func post(_ sql: String, _ more: [String] = []) throws -> Reply {
        try address.request("/v1/statement", method: "POST", headers: headers + more, body: sql)
    }

    /// Follows `nextUri` to the end.
    func run(_ sql: String, _ more: [String] = []) throws -> Result {
        var result = Result()
        var reply = try post(sql, more)
        result.pages.append(reply)
        while let next = reply.next {
            reply = try address.request(next, headers: headers)
            result.pages.append(reply)
            #expect(reply.status == 200 && reply.isComplete)
            if let columns = reply.member("columns") { result.columns = columns }
            if case .array(let rows)? = reply.member("data") { result.rows += rows }
        }
        return result
    }
}

extension Reply {
    fileprivate func member(_ names: String...) -> JSONValue? {
        var value = try? JSONReader.read(body)
        for name in names {
            guard case .object(let members)? = value else { return nil }
            value = members.first { $0.name == name }?.value
        }
        return value
    }

    fileprivate func string(_ names: String...) -> String? {
        var value = try? JSONReader.read(body)
        for name in names {
            guard case .object(let members)? = value else { return nil }
            value = members.first { $0.name == name }?.value
        }
        guard case .string(let text)? = value else { return nil }
        return text
    }

    /// The path of `nextUri`.
    fileprivate var next: String? {
        string("nextUri").map { uri in
            let rest = uri.drop { $0 != "/" }.dropFirst(2)
            return String(rest.drop { $0 != "/" })
        }
    }
}

private func client() async throws -> TrinoClient { TrinoClient(address: try await TestServer.shared.value.address) }

@Suite struct TrinoLiveTests {
    @Test func `a statement is queued, then delivered page by page`() async throws {
        // Other tests on the same store add trades of symbols of their own.
        let result = try await client().run(
            "SELECT symbol, count(*) AS n FROM trades WHERE symbol IN ('BTC', 'ETH') GROUP BY symbol ORDER BY symbol")
        #expect(result.pages[0].string("stats", "state") == "QUEUED" && result.pages[0].member("columns") == nil)
        #expect(result.rows == [.array([.string("BTC"), .number("100")]), .array([.string("ETH"), .number("100")])])
        #expect(result.last.string("stats", "state") == "FINISHED" && result.last.member("columns") != nil)
        for name in ["error", "updateType", "nextUri"] { #expect(result.last.member(name) == nil) }
        #expect(
            result.last.text.contains(
                #"{"name":"n","type":"bigint","typeSignature":{"rawType":"bigint","arguments":[]}}"#))
    }

    @Test func `pages are read again, older ones are gone, others unknown`() async throws {
        let client = try await client()
        let accepted = try client.post("SELECT g FROM generate_series(1, 3) AS t(g)")
        let next = try #require(accepted.next)
        let first = try client.address.request(next, headers: client.headers)
        let again = try client.address.request(next, headers: client.headers)
        #expect(first.status == 200 && first.body == again.body)
        var last = first
        var path = next
        while let more = last.next {
            path = more
            last = try client.address.request(more, headers: client.headers)
        }
        if path != next { #expect(try client.address.request(next).status == 410) }
        let pieces = path.split(separator: "/").map(String.init)
        let token = try #require(Int(pieces[5]))
        let base = "/v1/statement/executing/\(pieces[3])"
        #expect(try client.address.request("\(base)/\(pieces[4])/\(token + 1)").status == 404)
        #expect(try client.address.request("\(base)/wrong/\(token)").status == 404)
        #expect(try client.address.request("\(base)/\(pieces[4])/x").status == 404)
        #expect(try client.address.request("/v1/statement/executing/nobody/\(pieces[4])/1").status == 404)
        #expect(try client.address.request(path, method: "HEAD").status == 200)
        #expect(try client.address.request(path, method: "DELETE").status == 204)
        #expect(try client.address.request(path).body == last.body, "a query that is done stays done")
    }

    @Test func `the flavour of the headers is bound to the query`() async throws {
        let address = try await client().address
        let presto = TrinoClient(
            address: address, headers: ["X-Presto-User: bob", "X-Presto-Catalog: tapedeck", "X-Presto-Schema: market"])
        let accepted = try presto.post("SET SESSION execution_policy = 'b r'")
        // PyHive sends no header of its own with a GET.
        let done = try address.request(try #require(accepted.next))
        #expect(
            done.fields["x-presto-set-session"] == "execution_policy=b%20r" && done.fields["x-trino-set-session"] == nil
        )
        #expect(done.string("updateType") == "SET SESSION")
        let both = try address.request(
            "/v1/statement", method: "POST", headers: ["X-Presto-User: a", "X-Trino-User: a"], body: "SELECT 1")
        #expect(both.status == 400 && both.fields["content-type"] == "text/plain; charset=utf-8")
        let times = try presto.run("SELECT TIMESTAMP '2024-02-29 23:59:59.123456' AS t")
        #expect(times.rows == [.array([.string("2024-02-29 23:59:59.123")])])
        #expect(times.last.text.contains(#""type":"timestamp","typeSignature":{"rawType":"timestamp","arguments":[]}"#))
    }

    @Test func `what cannot be meant is refused in plain text`() async throws {
        let address = try await client().address
        func status(_ headers: [String], _ body: String = "SELECT 1") throws -> Int {
            try address.request("/v1/statement", method: "POST", headers: headers, body: body).status
        }
        #expect(try status([]) == 401)
        #expect(try status(["Authorization: Basic YWxpY2U6eA=="]) == 200)
        #expect(try status(["X-Trino-User: a"], "  \n") == 400)
        #expect(try status(["X-Trino-User: a", "X-Trino-Schema: market"]) == 400)
        #expect(try status(["X-Trino-User: a", "X-Trino-Session: broken"]) == 400)
        #expect(try status(["X-Trino-User: a", "X-Trino-Session: "]) == 200)
        #expect(try status(["X-Trino-User: a", "X-Trino-Time-Zone: '; drop"]) == 400)
        #expect(try address.request("/v1/statement").status == 405)
        #expect(
            try address.request("/v1/statement", method: "POST").fields["www-authenticate"] == "Basic realm=\"Trino\"")
    }

    @Test func `an error has name, type and place`() async throws {
        let client = try await client()
        let table = try client.run("SELECT *\n  FROM nope").last
        #expect(table.status == 200 && table.string("stats", "state") == "FAILED" && table.next == nil)
        #expect(table.string("error", "errorName") == "TABLE_NOT_FOUND")
        #expect(table.string("error", "message")?.hasSuffix("Table 'tapedeck.market.nope' does not exist") == true)
        #expect(table.member("error", "errorLocation", "lineNumber") == .number("2"))
        let column = try client.run("SELECT nope FROM trades").last
        #expect(column.string("error", "message") == "line 1:8: Column 'nope' cannot be resolved")
        #expect(column.member("error", "errorCode") == .number("47"))
        #expect(column.string("error", "failureInfo", "type") == "io.trino.spi.TrinoException")
        #expect(try client.run("SELECT 1 /").last.string("error", "errorName") == "SYNTAX_ERROR")
        #expect(try client.run("SELECT 1/0").last.string("error", "errorName") == "DIVISION_BY_ZERO")
        #expect(try client.run("DELETE FROM trades").last.string("error", "errorType") == "USER_ERROR")
        #expect(
            try client.run("SELECT 1", ["X-Trino-Time-Zone: Nowhere/Land"]).last.string("error", "errorName")
                == "INVALID_SESSION_PROPERTY")
    }

    @Test func `nextUri is built from what the client sees`() async throws {
        let client = try await client()
        #expect(try client.post("SELECT 1").string("nextUri")?.hasPrefix("http://test/v1/statement/queued/") == true)
        let proxied = try client.post(
            "SELECT 1", ["X-Forwarded-Proto: https", "X-Forwarded-Host: tape.example", "X-Forwarded-Port: 8443"])
        #expect(proxied.string("nextUri")?.hasPrefix("https://tape.example:8443/v1/statement/queued/") == true)
        #expect(proxied.string("infoUri")?.hasPrefix("https://tape.example:8443/ui/query.html?") == true)
    }

    @Test func `a time zone is the session's`() async throws {
        let client = try await client()
        let sql = "SELECT TIMESTAMP '2024-07-01 12:00:00 UTC' AS t"
        #expect(try client.run(sql).rows == [.array([.string("2024-07-01 12:00:00.000000 UTC")])])
        #expect(
            try client.run(sql, ["X-Trino-Time-Zone: Europe/Paris"]).rows
                == [.array([.string("2024-07-01 14:00:00.000000 +02:00")])])
        #expect(
            try client.run(sql, ["X-Trino-Time-Zone: +05:30"]).rows
                == [.array([.string("2024-07-01 17:30:00.000000 +05:30")])])
    }

    @Test func `prepared statements live in headers`() async throws {
        let client = try await client()
        let prepared = try client.run("PREPARE mine FROM SELECT ? + 1 AS a, ? AS b").last
        let header = try #require(prepared.fields["x-trino-added-prepare"])
        #expect(header == "mine=SELECT%20%3F%20%2B%201%20AS%20a%2C%20%3F%20AS%20b")
        let keeps = "X-Trino-Prepared-Statement: \(header)"
        #expect(
            try client.run("EXECUTE mine USING 41, 'it''s'", [keeps]).rows == [
                .array([.number("42"), .string("it's")])
            ])
        #expect(
            try client.run("DESCRIBE INPUT mine", [keeps]).rows == [
                .array([.number("0"), .string("integer")]), .array([.number("1"), .string("unknown")]),
            ])
        let output = try client.run("DESCRIBE OUTPUT mine", [keeps]).rows
        #expect(output.count == 2 && "\(output)".contains("integer"))
        #expect(try client.run("DEALLOCATE PREPARE mine", [keeps]).last.fields["x-trino-deallocated-prepare"] == "mine")
        #expect(try client.run("EXECUTE mine USING 1").last.string("error", "errorName") == "NOT_FOUND")
        #expect(try client.run("EXECUTE IMMEDIATE 'SELECT ?' USING 7").rows == [.array([.number("7")])])
    }

    @Test func `what parameters and columns of a prepared statement are is known before it runs`() async throws {
        let client = try await client()
        func described(_ what: String, _ sql: String) throws -> TrinoClient.Result {
            let header = try #require(try client.run("PREPARE p FROM \(sql)").last.fields["x-trino-added-prepare"])
            return try client.run("DESCRIBE \(what) p", ["X-Trino-Prepared-Statement: \(header)"])
        }
        func types(_ sql: String) throws -> [String] {
            try described("INPUT", sql).rows.map { row in
                guard case .array(let cells) = row, case .string(let type) = cells[1] else { return "" }
                return type
            }
        }
        #expect(
            try types(
                "SELECT ?, ? FROM trades WHERE symbol = ? AND price BETWEEN ? AND ? AND trade_id IN (?) AND ts < ? LIMIT ?"
            ) == [
                "unknown", "unknown", "varchar", "double", "double", "bigint", "timestamp(6) with time zone", "bigint",
            ])
        #expect(try types("SELECT year(?)") == ["unknown"])
        #expect(try types("SELECT 1") == [])
        #expect(
            try described("INPUT", "SELECT ? FROM nowhere").last.string("error", "errorName") == "TABLE_NOT_FOUND")
        let output = try described(
            "OUTPUT", "SELECT symbol, ts AS \"When\", 1 AS one, count(*) OVER (), current_timestamp FROM trades")
        func row(_ name: String, _ table: String, _ type: String, _ size: String, _ isAliased: Bool) -> JSONValue {
            .array(
                [name, table == "" ? "" : "tapedeck", table == "" ? "" : "market", table, type].map { .string($0) }
                    + [.number(size), .bool(isAliased)])
        }
        #expect(
            output.rows == [
                row("symbol", "trades", "varchar", "0", false),
                row("When", "trades", "timestamp(6) with time zone", "12", true), row("one", "", "integer", "4", true),
                row("_col3", "", "bigint", "8", false), row("_col4", "", "timestamp(3) with time zone", "8", false),
            ])
    }

    @Test func `SHOW STATS of a query tells what its plan expects`() async throws {
        let server = try await TestServer.shared.value
        try server.write(
            "create table market.counted as select n, n % 4 as part from generate_series(1, 100) as n; "
                + "analyze market.counted; grant select on market.counted to public")
        defer { try? server.write("drop table market.counted") }
        let client = try await client()
        let all = try client.run("SHOW STATS FOR (SELECT n, part AS \"Part\", n + 1 FROM counted)")
        let null = JSONValue.null
        #expect(
            all.rows == [
                .array([.string("n"), .number("400.0"), .number("100.0"), .number("0.0"), null, null, null]),
                .array([.string("Part"), .number("400.0"), .number("4.0"), .number("0.0"), null, null, null]),
                .array([.string("_col2"), null, null, null, null, null, null]),
                .array([null, null, null, null, .number("100.0"), null, null]),
            ])
        let one = try client.run("SHOW STATS FOR (SELECT * FROM counted WHERE n = 7)")
        #expect(one.rows.last == .array([null, null, null, null, .number("1.0"), null, null]))
        #expect(
            one.rows.first == .array([.string("n"), .number("4.0"), .number("1.0"), .number("0.0"), null, null, null]))
        let lost = try client.run("SHOW STATS FOR (SELECT nope FROM counted)").last
        #expect(lost.string("error", "message") == "line 1:24: Column 'nope' cannot be resolved")
    }

    @Test func `transactions are ids`() async throws {
        let client = try await client()
        let id = try #require(try client.run("START TRANSACTION").last.fields["x-trino-started-transaction-id"])
        let inside = "X-Trino-Transaction-Id: \(id)"
        #expect(try client.run("SELECT 1", [inside]).rows.count == 1)
        #expect(try client.run("SELECT nope", [inside]).last.string("stats", "state") == "FAILED")
        #expect(
            try client.run("SELECT 1", [inside]).last.string("error", "errorName") == "TRANSACTION_ALREADY_ABORTED")
        #expect(try client.run("ROLLBACK", [inside]).last.fields["x-trino-clear-transaction-id"] != nil)
        #expect(try client.run("SELECT 1", [inside]).last.string("error", "errorName") == "UNKNOWN_TRANSACTION")
        #expect(
            try client.run("COMMIT", ["X-Trino-Transaction-Id: NONE"]).last.string("error", "errorName")
                == "NOT_IN_TRANSACTION")
    }

    @Test func `the session is the client's`() async throws {
        let client = try await client()
        let use = try client.run("USE tapedeck.information_schema").last
        #expect(use.fields["x-trino-set-schema"] == "information_schema" && use.string("updateType") == "USE")
        #expect(try client.run("USE nowhere.x").last.string("error", "errorName") == "CATALOG_NOT_FOUND")
        #expect(try client.run("USE tapedeck.nowhere").last.string("error", "errorName") == "SCHEMA_NOT_FOUND")
        #expect(try client.run("RESET SESSION spill_enabled").last.fields["x-trino-clear-session"] == "spill_enabled")
        for sql in ["SET SESSION foo = 1", "RESET SESSION foo", "SET SESSION tapedeck.foo = 1"] {
            let refused = try client.run(sql).last
            #expect(refused.string("error", "errorName") == "INVALID_SESSION_PROPERTY", "\(sql)")
            #expect(refused.string("error", "message")?.hasSuffix("foo' does not exist") == true, "\(sql)")
        }
        #expect(
            try client.run("SET SESSION hive.foo = 1").last.string("error", "errorName") == "CATALOG_NOT_FOUND")
        let shown = try client.run("SHOW SESSION", ["X-Trino-Session: foo=b%20r,query_max_run_time=2s"]).rows
        #expect("\(shown)".contains("b r") && "\(shown)".contains("query_max_run_time"))
        #expect(
            try client.run("SET SESSION query_max_run_time = 'soon'").last.string("error", "errorName")
                == "INVALID_SESSION_PROPERTY")
        let slow = try client.run("SELECT pg_sleep(10)", ["X-Trino-Session: query_max_run_time=300ms"]).last
        #expect(slow.string("error", "errorName") == "EXCEEDED_TIME_LIMIT")
    }

    @Test func `types that only the database knows are found out`() async throws {
        let server = try await TestServer.shared.value
        try server.write(
            "drop type if exists market.pair cascade; create type market.pair as (n integer, s text); "
                + "drop type if exists market.mood cascade; create type market.mood as enum ('calm', 'wild'); "
                + "create view market.moods as select row(1, 'a,b')::market.pair as p, 'calm'::market.mood as m; "
                + "grant select on market.moods to public")
        defer { try? server.write("drop view market.moods") }
        let result = try await client().run("SELECT p, m FROM moods")
        #expect(result.last.text.contains(#""type":"row(n integer, s varchar)""#), "\(result.last.text)")
        #expect(result.rows == [.array([.array([.number("1"), .string("a,b")]), .string("calm")])])
    }

    @Test func `computed decimals have the digits that Trino gives them`() async throws {
        let server = try await TestServer.shared.value
        try server.write(
            "create table market.paid as select n, (n * 1.25)::numeric(12,2) as amount, n * 0.5::numeric as loose from "
                + "generate_series(1, 4) as n; grant select on market.paid to public")
        defer { try? server.write("drop table market.paid") }
        let client = try await client()
        func types(_ result: TrinoClient.Result) -> [String] {
            guard case .array(let columns)? = result.columns else { return [] }
            return columns.map { column in
                guard case .object(let members) = column,
                    case .string(let type)? = members.first(where: { $0.name == "type" })?.value
                else { return "" }
                return type
            }
        }
        let sums = try client.run(
            """
            SELECT sum(amount), avg(amount), sum(CASE WHEN n > 2 THEN amount ELSE 0 END) AS late, max(amount), sum(loose)
            FROM paid
            """)
        #expect(
            types(sums) == ["decimal(38,2)", "decimal(12,2)", "decimal(38,2)", "decimal(12,2)", "decimal(38,18)"])
        #expect(
            sums.rows == [
                .array(["12.50", "3.13", "8.75", "5.00", "5.000000000000000000"].map { .string($0) })
            ])
        let computed = try client.run(
            "SELECT p.amount * 1.5, amount / 3, round(amount, 1), amount + n FROM paid p WHERE n = 1")
        #expect(types(computed) == ["decimal(14,3)", "decimal(12,2)", "decimal(13,2)", "decimal(13,2)"])
        #expect(computed.rows == [.array(["1.875", "0.42", "1.30", "2.25"].map { .string($0) })])
        let header = try #require(
            try client.run("PREPARE d FROM SELECT sum(amount) AS s FROM paid").last.fields["x-trino-added-prepare"])
        let described = try client.run("DESCRIBE OUTPUT d", ["X-Trino-Prepared-Statement: \(header)"]).rows
        #expect("\(described)".contains("decimal(38,2)"))
    }

    @Test func `a row that is written in its cast has fields of names and types`() async throws {
        let client = try await client()
        let result = try client.run(
            "SELECT CAST(ROW(1, 'a,b', 2, NULL) AS ROW(x BIGINT, \"Y\" VARCHAR(3), DOUBLE, t TIMESTAMP(3))) AS r, 1 AS one"
        )
        #expect(
            result.last.text.contains(#""type":"row(x bigint, y varchar(3), double, t timestamp(3))""#),
            "\(result.last.text)")
        #expect(
            result.last.text.contains(
                #"{"kind":"NAMED_TYPE","value":{"fieldName":{"name":"x"},"typeSignature":{"rawType":"bigint","arguments":[]}}}"#
            ))
        #expect(
            result.rows == [
                .array([.array([.number("1"), .string("a,b"), .number("2.0"), .null]), .number("1")])
            ])
        #expect(
            try client.run("SELECT CAST(ROW(1, 'a') AS ROW(x BIGINT, y VARCHAR)).y").rows == [.array([.string("a")])])
    }

    @Test func `operators see the queries`() async throws {
        let client = try await client()
        let done = try client.run("SELECT 41 + 1", ["X-Trino-Source: tests", "X-Trino-Client-Tags: a,b"]).last
        let id = try #require(done.string("id"))
        let info = try client.address.request("/v1/query/\(id)")
        #expect(info.string("state") == "FINISHED" && info.string("session", "source") == "tests")
        #expect(info.member("session", "clientTags") == .array([.string("a"), .string("b")]))
        #expect(try client.address.request("/v1/query").text.contains(id))
        #expect(try client.address.request("/v1/query/nobody").status == 410)
        #expect(try client.address.request("/v1/query/nobody", method: "DELETE").status == 204)
        let page = try client.address.request("/ui/query.html?\(id)")
        #expect(page.status == 200 && page.text.contains("SELECT 41 + 1"))
        #expect(try client.address.request("/v1/info").member("coordinator") == .bool(true))
        #expect(try client.address.request("/v1/info/state").text == "\"ACTIVE\"\n")
    }
}

@Suite struct TrinoStoppingTests {
    /// How many statements with `marker` PostgreSQL runs.
    private func running(_ marker: String) async throws -> Int {
        let server = try await TestServer.shared.value
        return try server.count(
            "select count(*) from pg_stat_activity where state = 'active' and query like '%\(marker)%' and pid <> pg_backend_pid()"
        )
    }

    private static let endless =
        "SELECT count(*) AS marker FROM generate_series(1, 100000) a(x), generate_series(1, 100000) b(y)"

    private func begin(_ marker: String) async throws -> (TrinoClient, Reply) {
        let client = try await client()
        let accepted = try client.post(Self.endless.replacing("marker", with: marker))
        #expect(try await eventually { try await running(marker) == 1 })
        return (client, accepted)
    }

    @Test func `DELETE of a page stops the statement in PostgreSQL`() async throws {
        let (client, accepted) = try await begin("stop_page")
        let next = try #require(accepted.next)
        #expect(try client.address.request(next, method: "DELETE").status == 204)
        #expect(try await eventually { try await running("stop_page") == 0 })
        #expect(try client.address.request(next).string("error", "errorName") == "USER_CANCELED")
        #expect(try client.address.request(next, method: "DELETE").status == 204)
    }

    @Test func `DELETE of a query and kill_query stop it, and say why`() async throws {
        let (client, accepted) = try await begin("stop_query")
        let id = try #require(accepted.string("id"))
        #expect(try client.address.request("/v1/query/\(id)", method: "DELETE").status == 204)
        #expect(try await eventually { try await running("stop_query") == 0 })
        let (_, other) = try await begin("stop_kill")
        let otherID = try #require(other.string("id"))
        let call = "CALL system.runtime.kill_query(query_id => '\(otherID)', message => 'enough')"
        #expect(try client.run(call).last.member("error") == nil)
        #expect(try await eventually { try await running("stop_kill") == 0 })
        let told = try client.address.request(try #require(other.next))
        #expect(told.string("error", "errorName") == "ADMINISTRATIVELY_KILLED")
        #expect(told.string("error", "message")?.contains("enough") == true)
        #expect(try client.run(call).last.string("error", "errorName") == "NOT_SUPPORTED")
        #expect(
            try client.run(call.replacing(otherID, with: "nobody")).last.string("error", "errorName") == "NOT_FOUND")
    }

    @Test func `PUT killed stops a query with a message, once`() async throws {
        let (client, accepted) = try await begin("put_killed")
        let path = "/v1/query/\(try #require(accepted.string("id")))/killed"
        #expect(try client.address.request(path, method: "PUT", body: "too dear").status == 202)
        #expect(try await eventually { try await running("put_killed") == 0 })
        let told = try client.address.request(try #require(accepted.next))
        #expect(told.string("error", "errorName") == "ADMINISTRATIVELY_KILLED")
        #expect(told.string("error", "message")?.contains("too dear") == true)
        #expect(try client.address.request(path, method: "PUT", body: "again").status == 410)
    }

    @Test func `system_runtime shows queries under the ids that kill_query takes`() async throws {
        let (client, accepted) = try await begin("runtime_kill")
        let id = try #require(accepted.string("id"))
        let found = try client.run(
            """
            SELECT query_id, state, "user", query, "end" IS NULL FROM system.runtime.queries
            WHERE query LIKE '%runtime' || '_kill%' AND state = 'RUNNING'
            """)
        let sql = Self.endless.replacing("marker", with: "runtime_kill")
        #expect(
            found.rows == [
                .array([.string(id), .string("RUNNING"), .string("alice"), .string(sql), .bool(true)])
            ])
        let task = "SELECT running_splits FROM system.runtime.tasks WHERE query_id = '\(id)'"
        #expect(try client.run(task).rows == [.array([.number("1")])])
        #expect(try client.run("CALL system.runtime.kill_query(query_id => '\(id)')").last.member("error") == nil)
        #expect(try await eventually { try await running("runtime_kill") == 0 })
        let ended = """
            SELECT state, error_type, error_code, "end" >= created FROM queries WHERE query_id = '\(id)'
            """
        var inside = client
        inside.headers = ["X-Trino-User: alice", "X-Trino-Catalog: system", "X-Trino-Schema: runtime"]
        #expect(
            try inside.run(ended).rows == [
                .array([
                    .string("FAILED"), .string("USER_ERROR"), .string("ADMINISTRATIVELY_KILLED"), .bool(true),
                ])
            ])
        let begun = try client.run("START TRANSACTION").last
        let transaction = try #require(begun.fields["x-trino-started-transaction-id"])
        #expect(
            try client.run(
                "SELECT auto_commit_context FROM system.runtime.transactions WHERE transaction_id = '\(transaction)'"
            ).rows == [.array([.bool(false)])])
        #expect(try client.run("SELECT '\0'").last.member("error") != nil)
        #expect(try client.run("SELECT count(*) > 2 FROM system.runtime.queries").rows == [.array([.bool(true)])])
    }

    @Test func `the list of all queries knows it and cancels it`() async throws {
        let (client, accepted) = try await begin("stop_list")
        let id = try #require(accepted.string("id"))
        #expect(try client.address.request("/api/v1/queries").text.contains(id))
        #expect(try client.address.request("/api/v1/queries/\(id)", method: "DELETE").status == 200)
        #expect(try await eventually { try await running("stop_list") == 0 })
        #expect(try await eventually { try client.address.request("/v1/query/\(id)").string("state") == "FAILED" })
    }
}

@Suite struct TrinoLimitTests {
    private func serve(
        loops: Int = 2, _ configure: (inout TrinoLimits) -> Void
    ) async throws -> (QueryServer, TrinoClient) {
        let directory = try await TestServer.shared.value.directory
        let (server, address) = try await TestServer.serve(
            "postgresql://tapedeck_reader@/tapedeck?host=\(directory)&port=5432"
        ) {
            $0.loops = .count(loops)
            configure(&$0.trino)
        }
        return (server, TrinoClient(address: address))
    }

    @Test func `a query that nobody fetches is cancelled`() async throws {
        let (server, client) = try await serve { $0.clientTimeout = .milliseconds(300) }
        let accepted = try client.post("SELECT g AS abandoned FROM generate_series(1, 10000000) t(g)")
        let test = try await TestServer.shared.value
        func running() throws -> Int {
            try test.count(
                "select count(*) from pg_stat_activity where state = 'active' and query like '%AS abandoned%' and pid <> pg_backend_pid()"
            )
        }
        #expect(try await eventually { try running() == 0 })
        let isSo = try await eventually {
            try client.address.request("/v1/query/\(accepted.string("id") ?? "")").text.contains("ABANDONED_QUERY")
        }
        #expect(isSo)
        #expect(
            try client.address.request(try #require(accepted.next)).string("error", "errorName") == "ABANDONED_QUERY")
        await server.shutdown(deadline: .seconds(1))
    }

    @Test func `rows wait in PostgreSQL, not in memory, and all of them come, on any loop`() async throws {
        let (server, client) = try await serve(loops: 4) {
            $0.readyBytes = 128 * 1024
            $0.readyBytesAtLeast = 128 * 1024
        }
        let accepted = try client.post(
            "SELECT g, 'row ' || CAST(g AS VARCHAR) AS s FROM generate_series(1, 200000) t(g)")
        let id = try #require(accepted.string("id"))
        // With nobody fetching, PostgreSQL is soon stopped, and what is held stays below the limit.
        #expect(
            try await eventually {
                try client.address.request("/v1/query/\(id)").member("queryStats", "outputPositions") != .number("0")
            })
        var next = accepted.next
        var expected = 1
        while let path = next {
            let reply = try client.address.request(path + "?targetResultSize=64kB", headers: client.headers)
            if case .array(let rows)? = reply.member("data") {
                for row in rows {
                    guard case .array(let cells) = row, cells.first == .number("\(expected)") else {
                        Issue.record("row \(expected) is \(row)")
                        return
                    }
                    expected += 1
                }
                #expect(reply.body.count < 200 * 1024)
            }
            next = reply.next
        }
        #expect(expected == 200_001)
        await server.shutdown(deadline: .seconds(1))
    }

    @Test func `a query too many is told to come back`() async throws {
        let (server, client) = try await serve { $0.live = 2 }
        let first = try client.post("SELECT 1")
        #expect(try client.post("SELECT 1").status == 200)
        let refused = try client.post("SELECT 1")
        #expect(refused.status == 503 && refused.fields["retry-after"] == "1")
        _ = try client.address.request(try #require(first.next))
        #expect(try client.post("SELECT 1").status == 200)
        await server.shutdown(deadline: .seconds(1))
    }

    @Test func `what is remembered has a limit`() async throws {
        let (server, client) = try await serve { $0.remembered = 3 }
        let ids = try (0..<5).map { _ in try client.run("SELECT 1").last.string("id") ?? "" }
        #expect(try await eventually { try client.address.request("/v1/query/\(ids[1])").status == 410 })
        #expect(try client.address.request("/v1/query/\(ids[2])").status == 200)
        await server.shutdown(deadline: .seconds(1))
    }

    @Test func `what is remembered has a limit in bytes`() async throws {
        // Their texts count with their last pages: one of 5000 bytes fits, two do not.
        let (server, client) = try await serve { $0.rememberedBytes = 8000 }
        let padding = String(repeating: "x", count: 5000)
        let ids = try (0..<3).map { _ in try client.run("SELECT 1 /* \(padding) */").last.string("id") ?? "" }
        #expect(try await eventually { try client.address.request("/v1/query/\(ids[1])").status == 410 })
        #expect(try client.address.request("/v1/query/\(ids[2])").status == 200)
        await server.shutdown(deadline: .seconds(1))
    }

    @Test func `transactions have a limit in number and in age`() async throws {
        let (server, client) = try await serve {
            $0.transactions = 2
            $0.transactionTimeout = .seconds(2)
        }
        func begin() throws -> Reply { try client.run("START TRANSACTION").last }
        let ids = try (0..<2).compactMap { _ in try begin().fields["x-trino-started-transaction-id"] }
        #expect(ids.count == 2)
        #expect(try begin().string("error", "errorName") == "GENERIC_INSUFFICIENT_RESOURCES")
        #expect(
            try client.run("COMMIT", ["X-Trino-Transaction-Id: \(ids[0])"]).last.fields["x-trino-clear-transaction-id"]
                != nil)
        #expect(try begin().fields["x-trino-started-transaction-id"] != nil)
        // Each is over when nothing has been done in it for so long, and its place is free again.
        let isOver = try await eventually {
            try client.run("SELECT 1", ["X-Trino-Transaction-Id: \(Self.unused)"]).last.string("error", "errorName")
                == "UNKNOWN_TRANSACTION" && begin().fields["x-trino-started-transaction-id"] != nil
        }
        #expect(isOver)
        #expect(
            try client.run("SELECT 1", ["X-Trino-Transaction-Id: \(ids[1])"]).last.string("error", "errorName")
                == "UNKNOWN_TRANSACTION")
        await server.shutdown(deadline: .seconds(1))
    }

    private static let unused = "00000000000000000000000000000000"

    @Test func `a prepared statement fits into a header`() async throws {
        let (server, client) = try await serve { _ in }
        // `mine=SELECT%20%27…%27`, all of which counts.
        let room = TrinoRun.preparedBytes - "mine=SELECT%20%27%27".utf8.count
        for (length, fits) in [(room - 1, true), (room, true), (room + 1, false)] {
            let last = try client.run("PREPARE mine FROM SELECT '\(String(repeating: "x", count: length))'").last
            #expect((last.fields["x-trino-added-prepare"] != nil) == fits)
            #expect(last.string("error", "errorName") == (fits ? nil : "QUERY_TEXT_TOO_LARGE"))
        }
        await server.shutdown(deadline: .seconds(1))
    }

    @Test func `a server that stops ends its queries`() async throws {
        let (server, client) = try await serve { _ in }
        _ = try client.post("SELECT count(*) FROM generate_series(1, 100000) a(x), generate_series(1, 100000) b(y)")
        await server.shutdown(deadline: .milliseconds(100))
        #expect(throws: (any Error).self) { try client.post("SELECT 1") }
    }
}
