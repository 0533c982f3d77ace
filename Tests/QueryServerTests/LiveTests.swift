// SPDX-License-Identifier: Apache-2.0

import EventLoop
import HTTP
import TestSupport
import Testing

@testable import QueryServer

private func served() async throws -> SocketAddress { try await TestServer.shared.value.address }

/// A member of a JSON object's text.
private func member(_ name: String, of reply: Reply) throws -> JSONValue? {
    guard case .object(let members) = try JSONReader.read(reply.body) else { return nil }
    return members.first { $0.name == name }?.value
}

private func elements(_ name: String, of reply: Reply) throws -> [JSONValue] {
    guard case .array(let elements)? = try member(name, of: reply) else { return [] }
    return elements
}

@Suite struct SQLOverHTTPTests {
    @Test func `rows come in each format`() async throws {
        let server = try await served()
        let query =
            "select g as n, 'a,'||g as t, timestamptz '2013-01-01 00:04:19.486096Z' as ts from generate_series(1,2) g"
        let json = try server.sql(query)
        #expect(json.status == 200 && json.fields["content-type"] == "application/json" && json.isComplete)
        #expect(
            json.text.contains(
                #""columns":[{"name":"n","type":"integer"},{"name":"t","type":"text"},{"name":"ts","type":"timestamptz"}]"#
            ))
        #expect(json.text.contains(#""rows":[[1,"a,1","2013-01-01T00:04:19.486096Z"],[2,"#))
        #expect(try member("row_count", of: json) == .number("2"))
        #expect(try member("truncated", of: json) == .bool(false))
        #expect(try member("query_id", of: json) == json.fields["x-query-id"].map(JSONValue.string))
        #expect(try server.sql(query, "format=objects").text.hasPrefix(#"[{"n":1,"t":"a,1","ts":"#))
        let ndjson = try server.sql(query, "format=ndjson")
        #expect(
            ndjson.text.split(separator: "\n").count == 2 && ndjson.fields["content-type"] == "application/x-ndjson")
        #expect(
            try server.sql(query, "format=csv").text
                == "n,t,ts\n1,\"a,1\",2013-01-01T00:04:19.486096Z\n2,\"a,2\",2013-01-01T00:04:19.486096Z\n")
        #expect(
            try server.request("/api/v1/sql?query=select+1+as+a", headers: ["Accept: text/csv"]).text == "a\n1\n")
    }

    @Test func `a JSON body carries parameters`() async throws {
        let reply = try await served().request(
            "/api/v1/sql", method: "POST", headers: ["Content-Type: application/json; charset=utf-8"],
            body:
                #"{"query":"select $1 + 1 as a, $2::text as b where 'BTC' = any($3)","params":[41,null,["BTC"]],"format":"objects"}"#
        )
        #expect(reply.text == "[{\"a\":42,\"b\":null}]\n")
    }

    @Test func `an error names SQLSTATE and position`() async throws {
        let reply = try await served().sql("select foo from market.trades")
        #expect(reply.status == 400 && reply.reason == "column \"foo\" does not exist")
        #expect(try member("code", of: reply) == .string("42703"))
        #expect(try member("position", of: reply) == .number("8"))
    }

    @Test(arguments: [
        ("create table x (a int)", 403, "25006"), ("delete from market.trades", 403, "25006"),
        ("select * from ops.bar_state", 403, "42501"), ("select 1; select 2", 400, "42601"),
        ("commit; drop table market.trades", 400, "unsupported_statement"), ("", 400, "empty_query"),
        ("-- nothing", 400, "empty_query"),
        ("copy (select 1) to stdout", 400, "unsupported_statement"), ("select 1/0", 400, "22012"),
        ("set transaction read write", 400, "unsupported_statement"), ("vacuum", 400, "unsupported_statement"),
        ("with x as (copy (select 1) to stdout) select 1", 400, "42601"),
    ])
    func `what is not a query is refused`(_ sql: String, _ status: Int, _ code: String) async throws {
        let reply = try await served().sql(sql)
        #expect(reply.status == status)
        #expect(try member("code", of: reply) == .string(code))
        #expect(try await served().sql("select 1", "format=csv").status == 200)
    }

    @Test func `a limit cuts the result and says so`() async throws {
        let server = try await served()
        let query = "select * from generate_series(1, 100000) g"
        let cut = try server.sql(query, "limit=3")
        #expect(try member("row_count", of: cut) == .number("3"))
        #expect(try member("truncated", of: cut) == .bool(true))
        let exact = try server.sql("select * from generate_series(1, 3) g", "limit=3")
        #expect(try member("truncated", of: exact) == .bool(false))
        #expect(try server.sql(query, "format=csv&limit=2").text == "g\n1\n2\n")
        #expect(try member("row_count", of: try server.sql(query, "limit=0")) == .number("0"))
    }

    @Test func `a limit of the server's is never silent`() async throws {
        let shared = try await TestServer.shared.value
        let (server, address) = try await TestServer.serve(
            "postgresql://tapedeck_reader@/tapedeck?host=\(shared.directory)&port=5432"
        ) {
            $0.rowLimitDefault = 2
            $0.rowLimit = 5
        }
        let query = "select * from generate_series(1, 10) g"
        #expect(try member("truncated", of: try address.sql(query)) == .bool(true))
        #expect(try address.sql(query, "format=csv").status == 400)
        #expect(try address.sql(query, "format=csv&limit=5").status == 200)
        #expect(try address.sql(query, "limit=6").status == 400)
        await server.shutdown(deadline: .seconds(1))
    }

    @Test func `a slow query ends at its deadline`() async throws {
        let server = try await served()
        let started = MonotonicTime.now()
        let reply = try server.sql("select pg_sleep(60)", "timeout_ms=200")
        #expect(reply.status == 504 && (MonotonicTime.now() - started) < .seconds(30))
        #expect(try member("code", of: reply) == .string("57014"))
    }

    @Test func `a client that hangs up cancels its query`() async throws {
        let server = try await served()
        let running = "select count(*) from pg_stat_activity where state = 'active' and query like '%hang' || '-up%'"
        func count() throws -> String { try server.sql(running, "format=csv").text }
        do {
            let client = try Client(server)
            try client.send("GET /api/v1/sql?query=select+pg_sleep(30),'hang-up' HTTP/1.1\r\nHost: a\r\n\r\n")
            #expect(try await eventually { try count() == "count\n1\n" })
        }
        #expect(try await eventually { try count() == "count\n0\n" })
    }

    @Test func `a failure after the first rows breaks the body`() async throws {
        let reply = try await served().sql("select 1/(100000 - g) from generate_series(1, 200000) g", "format=csv")
        #expect(reply.status == 200 && !reply.isComplete && reply.body.count > 10_000)
    }

    @Test func `a failure before the first bytes left is an error reply`() async throws {
        let server = try await served()
        // What waits for 10 ms is sent: on a busy machine the failure may come later than that, and then the body must
        // be broken. One of many tries is in time.
        var statuses: Set<Int> = []
        for _ in 0..<50 where !statuses.contains(400) {
            let reply = try server.sql("select 1/(5 - g) from generate_series(1, 10) g", "format=csv")
            #expect(reply.status == 400 || !reply.isComplete)
            statuses.insert(Int(reply.status))
        }
        #expect(statuses.contains(400))
    }

    @Test func `nothing stays in the session for the next user`() async throws {
        let server = try await served()
        for dirt in [
            "select set_config('TimeZone', 'Asia/Tokyo', false), pg_advisory_lock(77)",
            "select set_config('default_transaction_read_only', 'off', false), 1",
        ] {
            #expect(try server.sql(dirt).status == 200)
        }
        for _ in 0..<12 {
            let clean = try server.sql(
                "select current_setting('TimeZone') || (select count(*) from pg_locks where locktype = 'advisory') || "
                    + "(select count(*) from pg_prepared_statements) || current_setting('transaction_read_only')",
                "format=csv")
            #expect(clean.text.hasSuffix("UTC00on\n"))
        }
    }
}

@Suite struct RunningQueryTests {
    /// The number of the query whose text holds `word`, once it is in that state.
    private func number(of word: String, _ state: String, at server: SocketAddress) async throws -> String {
        var number = ""
        #expect(
            try await eventually {
                for query in try elements("queries", of: try server.request("/api/v1/queries")) {
                    guard case .object(let members) = query, query.text.contains(word),
                        query.text.contains("\"state\":\"\(state)\""),
                        case .string(let id)? = members.first(where: { $0.name == "query_id" })?.value
                    else { continue }
                    number = id
                }
                return !number.isEmpty
            })
        return number
    }

    @Test func `a running query is listed, and cancelled by its number on whichever loop it runs`() async throws {
        let shared = try await TestServer.shared.value
        let (server, address) = try await TestServer.serve(shared.readerURL) { $0.loops = .count(2) }
        let running = "select count(*) from pg_stat_activity where state = 'active' and query like '%stop' || '-me%'"
        // Connections are spread over the loops: some of ten are cancelled from the other one.
        for round in 0..<10 {
            let client = try Client(address)
            try client.send(
                "GET /api/v1/sql?query=select+pg_sleep(30),'stop-me-\(round)' HTTP/1.1\r\nHost: a\r\n"
                    + "Authorization: Basic YW5uOnNlY3JldA==\r\nConnection: close\r\n\r\n")
            let id = try await number(of: "stop-me-\(round)", "running", at: address)
            let list = try address.request("/api/v1/queries").text
            #expect(
                list.contains("\"kind\":\"sql\",\"state\":\"running\",\"client\":\"127.0.0.1\",\"user\":\"ann\""))
            #expect(!list.contains("secret"))
            let reply = try address.request("/api/v1/queries/\(id)", method: "DELETE")
            #expect(reply.status == 200)
            let cancelled = try client.reply()
            #expect(cancelled.status == 409 && cancelled.fields["x-query-id"] == id)
            #expect(try member("code", of: cancelled) == .string("57014"))
        }
        #expect(try await eventually { try address.sql(running, "format=csv").text == "count\n0\n" })
        #expect(try elements("queries", of: try address.request("/api/v1/queries")).isEmpty)
        await server.shutdown(deadline: .seconds(1))
    }

    @Test func `a query that waits for its turn is listed and cancelled too`() async throws {
        let shared = try await TestServer.shared.value
        let (server, address) = try await TestServer.serve(shared.readerURL) {
            $0.queries = .init(running: 1, runningPerClient: 1, waiting: 1, waitingPerClient: 1, patience: .seconds(60))
        }
        func send(_ word: String) throws -> Client {
            let client = try Client(address)
            try client.send(
                "GET /api/v1/sql?query=select+pg_sleep(30),'\(word)' HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
            return client
        }
        let first = try send("in-front")
        let inFront = try await number(of: "in-front", "running", at: address)
        let second = try send("be-hind")
        let behind = try await number(of: "be-hind", "queued", at: address)
        let third = try address.sql("select 1")
        #expect(third.status == 429 && third.fields["retry-after"] == "1")
        // Lookups have places of their own.
        #expect(try address.request("/api/v1/latest?symbol=BTC").status == 200)
        for (id, client) in [(behind, second), (inFront, first)] {
            #expect(try address.request("/api/v1/queries/\(id)", method: "DELETE").status == 200)
            #expect(try client.reply().status == 409)
        }
        #expect(try address.sql("select 1").status == 200)
        let gone = try address.request("/api/v1/queries/\(behind)", method: "DELETE")
        #expect(gone.status == 404)
        #expect(try member("code", of: gone) == .string("no_such_query"))
        #expect(try address.request("/api/v1/queries/\(behind)").status == 405)
        await server.shutdown(deadline: .seconds(1))
    }
}

@Suite struct RESTTests {
    @Test func `resources have their shapes`() async throws {
        let server = try await served()
        #expect(
            try server.request("/api/v1/trades?symbol=BTC&limit=1").text.hasPrefix(
                #"{"trades":[{"symbol":"BTC","ts":"2024-01-01T23:59:01.5Z","source":"test","trade_id":"9007199254740994","#
                    + #""price":101,"size":0.5,"conditions":["1","a b"]}],"next_page_token":""#))
        #expect(
            try server.request("/api/v1/bars?symbol=BTC&from=2024-01-01T00:02:00Z&to=2024-01-01T00:03:00Z").text
                == #"{"bars":[{"symbol":"BTC","ts":"2024-01-01T00:02:00Z","open":2,"high":3,"low":1,"close":2,"volume":2,"#
                + "\"vwap\":2,\"trade_count\":1}],\"next_page_token\":null}\n")
        #expect(
            try server.request("/api/v1/latest?symbol=BTC").text
                == #"{"latest":[{"symbol":"BTC","ts":"2024-01-02T00:01:30Z","price":200,"size":0.5,"#
                + "\"trade_id\":\"9007199254741093\",\"source\":\"test\",\"change\":40,\"change_pct\":25}],\"next_page_token\":null}\n"
        )
        #expect(
            try server.request("/api/v1/latest?symbols=ETH,NONE&format=csv&time=ms").text.hasSuffix(
                "ETH,1704153690000,200,0.5,5,test,,\n"))
        #expect(
            try server.request("/api/v1/symbols?search=apple").text
                == #"{"symbols":[{"symbol":"AAPL","name":"Apple Inc.","exchange":null,"type":null,"currency":"USD","#
                + "\"last_ts\":null,\"last_price\":null}],\"next_page_token\":null}\n")
        #expect(try server.request("/api/v1/latest?symbol=NONE").text == "{\"latest\":[],\"next_page_token\":null}\n")
    }

    @Test func `candles are a bare array, oldest first`() async throws {
        let server = try await served()
        let reply = try server.request("/grafana/candles?symbol=BTC&interval=$__interval&maxDataPoints=2")
        #expect(
            reply.text == #"[{"time":1704067740000,"open":9,"high":10,"low":8,"close":9,"volume":2},"#
                + "{\"time\":1704067800000,\"open\":10,\"high\":11,\"low\":9,\"close\":10,\"volume\":2}]\n")
        #expect(try server.request("/grafana/candles?symbol=NONE").text == "[]\n")
    }

    @Test(arguments: ["asc", "desc"])
    func `pages miss and repeat nothing`(_ order: String) async throws {
        let server = try await served()
        var seen: [JSONValue] = []
        var next = ""
        repeat {
            let reply = try server.request("/api/v1/trades?symbols=BTC,ETH&limit=33&order=\(order)\(next)")
            seen += try elements("trades", of: reply)
            guard case .string(let token)? = try member("next_page_token", of: reply) else { break }
            next = "&page_token=\(token)"
        } while seen.count < 1000
        #expect(seen.count == 200)
        #expect(Set(seen.map(\.text)).count == 200)
    }

    @Test func `pages are stable while trades arrive`() async throws {
        let shared = try await TestServer.shared.value
        func insert(_ from: Int, _ to: Int) throws {
            try shared.write(
                """
                insert into market.trades (symbol, ts, source, trade_id, price, size) select 'LIVE',
                timestamptz '2024-01-02Z' + (g / 3) * interval '1 s', 'test', g, 1, 1 from generate_series(\(from), \(to)) g
                """)
        }
        try insert(1, 20)
        var ids: [String] = []
        var next = ""
        var arrived = 20
        while true {
            let reply = try shared.address.request("/api/v1/trades?symbol=LIVE&limit=7\(next)")
            for case .object(let members) in try elements("trades", of: reply) {
                guard case .string(let id)? = members.first(where: { $0.name == "trade_id" })?.value else { continue }
                ids.append(id)
            }
            guard case .string(let token)? = try member("next_page_token", of: reply) else { break }
            next = "&page_token=\(token)"
            if arrived < 40 {
                try insert(arrived + 1, arrived + 5)
                arrived += 5
            }
        }
        #expect(ids == (1...arrived).map(String.init))
    }

    @Test func `a wrong parameter is explained`() async throws {
        let reply = try await served().request("/api/v1/bars?symbl=BTC")
        #expect(reply.status == 400 && reply.reason == "unknown parameter \"symbl\"")
        #expect(try member("hint", of: reply) == .string("Perhaps you meant \"symbol\"."))
    }
}

@Suite struct RoutingTests {
    @Test func `operators get their answers`() async throws {
        let server = try await served()
        for path in ["/live", "/ready", "/health", "/version", "/"] {
            let reply = try server.request(path)
            #expect(reply.status == 200 && reply.fields["content-type"] == "application/json", "\(path)")
            #expect(throws: Never.self) { try JSONReader.read(reply.body) }
        }
        #expect(try server.request("/version").text.contains("1.2.3"))
    }

    @Test func `not ready without a database`() async throws {
        let (server, address) = try await TestServer.serve("postgresql://nobody@/none?host=/nonexistent")
        #expect(try address.request("/live").status == 200)
        for path in ["/ready", "/health", "/api/v1/latest", "/api/v1/sql?query=select+1"] {
            let reply = try address.request(path)
            #expect(reply.status == 503 && reply.fields["retry-after"] == "1", "\(path)")
            #expect(!reply.text.contains("nonexistent"))
        }
        await server.shutdown(deadline: .seconds(1))
    }

    @Test func `paths, methods and types are checked`() async throws {
        let server = try await served()
        let lost = try server.request("/api/v1/trade")
        #expect(lost.status == 404)
        #expect(try member("hint", of: lost) == .string("Perhaps you meant /api/v1/trades."))
        let wrong = try server.request("/api/v1/bars", method: "DELETE")
        #expect(wrong.status == 405 && wrong.fields["allow"] == "GET, HEAD, OPTIONS")
        #expect(try server.request("/api/v1/bars", headers: ["Accept: image/png"]).status == 406)
        let other = try server.request(
            "/api/v1/sql", method: "POST", headers: ["Content-Type: application/xml"], body: "select 1")
        #expect(other.status == 415)
        let options = try server.request("/api/v1/sql", method: "OPTIONS")
        #expect(options.status == 204 && options.fields["allow"] == "GET, HEAD, POST, OPTIONS")
        let large = try server.sql("select '\(String(repeating: "x", count: 1024 * 1024))'")
        #expect(large.status == 413)
    }

    @Test(arguments: ["select 1+1 as two", "query=select+1%2B1+as+two", "format=json&query=select+1%2B1+as+two"])
    func `a form holds the statement in a field, or is the statement`(_ body: String) async throws {
        let reply = try await served().request(
            "/api/v1/sql?format=csv", method: "POST", headers: ["Content-Type: application/x-www-form-urlencoded"],
            body: body)
        // The third is not a form with its query first, so it is SQL, which PostgreSQL refuses.
        #expect(reply.text == "two\n2\n" || (body.hasPrefix("format") && reply.status == 400))
    }

    @Test(arguments: ["/live", "/api/v1/latest", "/api/v1/sql?query=select+1", "/api/v1/trades?symbol=BTC"])
    func `HEAD is answered without a body`(_ path: String) async throws {
        let reply = try await served().request(path, method: "HEAD")
        #expect(reply.status == 200 && reply.body.isEmpty)
    }
}

@Suite struct RESTShapeTests {
    @Test func `wider bars are those that SQL makes of stored ones`() async throws {
        let server = try await served()
        // Ten minutes of the test's tape: open g, high g + 1, low g - 1, close g, volume 2, notional 2 g.
        let reply = try server.request("/api/v1/bars?symbol=BTC&timeframe=3m&from=2024-01-01&to=2024-01-02&format=csv")
        #expect(
            reply.text == """
                symbol,ts,open,high,low,close,volume,vwap,trade_count
                BTC,2024-01-01T00:00:00Z,1,3,0,2,4,1.5,2
                BTC,2024-01-01T00:03:00Z,3,6,2,5,6,4,3
                BTC,2024-01-01T00:06:00Z,6,9,5,8,6,7,3
                BTC,2024-01-01T00:09:00Z,9,11,8,10,4,9.5,2

                """)
        let down = try server.request(
            "/api/v1/bars?symbol=BTC&timeframe=3m&from=2024-01-01&to=2024-01-02&format=csv&order=desc")
        #expect(
            down.text.split(separator: "\n").dropFirst().reversed().elementsEqual(
                reply.text.split(separator: "\n").dropFirst()))
    }

    @Test(arguments: ["asc", "desc"])
    func `pages of filled and merged bars hold each once`(_ order: String) async throws {
        let server = try await served()
        for options in [
            "timeframe=2m", "timeframe=1m&fill=prev", "timeframe=1m&fill=linear", "timeframe=3m&fill=null&shape=wide",
        ] {
            let target = "/api/v1/bars?symbol=BTC&from=2024-01-01&to=2024-01-01T12:00:00Z&order=\(order)&\(options)"
            let whole = try elements("bars", of: server.request(target + "&limit=50000"))
            #expect(whole.count >= 4, "\(options)")
            for limit in [1, 3] {
                var pages: [JSONValue] = []
                var token = ""
                repeat {
                    let reply = try server.request(target + "&limit=\(limit)&page_token=\(token)")
                    #expect(reply.status == 200, "\(reply.text)")
                    pages += try elements("bars", of: reply)
                    if case .string(let next)? = try member("next_page_token", of: reply) {
                        token = next
                    } else {
                        token = ""
                    }
                } while !token.isEmpty && pages.count < 100
                #expect(pages == whole, "\(options) \(limit)")
            }
        }
    }

    @Test(arguments: [
        "timeframe=1m", "timeframe=2m", "timeframe=1m&fill=prev", "timeframe=3m&fill=linear&shape=wide",
        "timeframe=2m&shape=columns",
    ])
    func `a token of another range leads to nothing beyond the range`(_ options: String) async throws {
        let server = try await served()
        let day = "from=2024-01-01&to=2024-01-02"
        for (order, narrow) in [
            ("asc", "from=2024-01-01T00:06:00Z&to=2024-01-02"), ("desc", "from=2024-01-01&to=2024-01-01T00:04:00Z"),
        ] {
            let target = "/api/v1/bars?symbol=BTC&order=\(order)&\(options)"
            let token = try token(of: server.request("\(target)&\(day)&limit=1"))
            let plain = try server.request("\(target)&\(narrow)")
            #expect(try server.request("\(target)&\(narrow)&page_token=\(token)").text == plain.text)
            #expect(plain.text.contains("null") && plain.text.utf8.count > 100, "\(plain.text)")
        }
    }

    @Test(arguments: ["asc&start=2024-01-01T00:06:00Z", "desc&end=2024-01-01T00:04:00Z&start=2024-01-01"])
    func `nor does one of Alpaca's`(_ narrow: String) async throws {
        let server = try await served()
        let target = "/v2/stocks/bars?symbols=BTC&timeframe=2Min"
        let order = narrow.prefix { $0 != "&" }
        let token = try token(of: server.request("\(target)&start=2024-01-01&limit=1&sort=\(order)"))
        let plain = try server.request("\(target)&sort=\(narrow)")
        #expect(try server.request("\(target)&sort=\(narrow)&page_token=\(token)").text == plain.text)
        #expect(plain.text.contains(#""BTC":[{"t""#))
    }

    private func token(of reply: Reply) throws -> String {
        guard case .string(let token)? = try member("next_page_token", of: reply) else {
            throw TestServer.Failure(description: "no token: \(reply.text)")
        }
        return token
    }

    @Test(arguments: [
        "/api/v1/trades?symbol=BTC", "/api/v1/bars?symbol=BTC", "/api/v1/bars?symbol=BTC&timeframe=2m",
        "/api/v1/symbols?search=", "/api/v1/tables/trades?symbol=eq.BTC&page_token=",
    ])
    func `lines and CSV tell the next page in a field`(_ target: String) async throws {
        let server = try await served()
        for format in ["csv", "ndjson"] {
            let whole = try server.request("\(target)&format=\(format)")
            let told = whole.fields["x-next-page-token"] ?? whole.trailer["x-next-page-token"]
            #expect(told == nil && whole.status == 200, "\(whole.text)")
            let first = try server.request("\(target)&format=\(format)&limit=2")
            // A page that had to wait for its rows has left already.
            let token = first.fields["x-next-page-token"] ?? first.trailer["x-next-page-token"] ?? ""
            let rest = target.hasSuffix("page_token=") ? "\(target)\(token)" : "\(target)&page_token=\(token)"
            let second = try server.request("\(rest)&format=\(format)")
            let header = format == "csv" ? 1 : 0
            let lines = { (reply: Reply) in reply.text.split(separator: "\n").dropFirst(header) }
            #expect(Array(lines(first) + lines(second)) == Array(lines(whole)))
            #expect(lines(first).count == 2)
        }
    }

    @Test(arguments: [
        ("/api/v1/trades?symbol=LONG&format=csv&limit=5000&page_token=", 4001),
        ("/api/v1/tables/trades?symbol=eq.LONG&format=ndjson&limit=5000&page_token=", 4000),
    ])
    func `a page that leaves before its end tells the next one behind it`(
        _ target: String, _ linesLeft: Int
    ) async throws {
        let shared = try await TestServer.shared.value
        try shared.write(
            """
            select ops.ensure_trade_partitions(array['2023-01-01']::date[]);
            insert into market.trades (symbol, ts, source, trade_id, price, size, conditions)
            select 'LONG', timestamptz '2023-01-01Z' + g * interval '1 s', 'test', g, g, 1, '{}'
            from generate_series(1, 9000) g on conflict do nothing
            """)
        let first = try shared.address.request(target)
        let token = try #require(first.trailer["x-next-page-token"])
        #expect(first.fields["trailer"] == "X-Next-Page-Token" && first.fields["x-next-page-token"] == nil)
        let second = try shared.address.request(target + token)
        #expect(second.text.split(separator: "\n").count == linesLeft)
        #expect(second.isComplete && second.trailer.isEmpty)
        // Browsers show scripts no trailer.
        for field in ["Origin: https://app.example", "Sec-Fetch-Mode: cors"] {
            let page = try shared.address.request(target, headers: [field])
            #expect(page.fields["x-next-page-token"] == token && page.trailer.isEmpty, "\(field)")
        }
    }

    @Test func `columns are Finnhub's candles`() async throws {
        let reply = try await served().request(
            "/api/v1/bars?symbol=BTC&timeframe=3m&from=2024-01-01&to=2024-01-02&shape=columns")
        #expect(
            reply.text
                == #"{"s":"ok","t":[1704067200,1704067380,1704067560,1704067740],"o":[1,3,6,9],"h":[3,6,9,11],"l":[0,2,5,8],"c":[2,5,8,10],"v":[4,6,6,4],"next_page_token":null}"#
                + "\n")
        let none = try await served().request("/api/v1/bars?symbol=NONE&shape=columns")
        #expect(none.text.hasPrefix(#"{"s":"no_data","t":[],"#))
    }

    @Test func `symbols stand side by side`() async throws {
        let shared = try await TestServer.shared.value
        try shared.write(
            """
            insert into ops.bar_state (symbol, timeframe, ts, open, high, low, close, volume, notional, trade_count, open_ts,
              open_id, open_source, close_ts, close_id, close_source) values ('WIDE', '1m', '2024-01-01 00:02Z', 7, 7, 7, 7, 1,
              7, 1, '2024-01-01Z', 1, 't', '2024-01-01Z', 1, 't') on conflict do nothing
            """)
        let reply = try shared.address.request(
            "/api/v1/bars?symbols=BTC,WIDE&timeframe=1m&from=2024-01-01&to=2024-01-01T00:04:00Z&shape=wide&time=ms")
        #expect(
            reply.text
                == #"{"bars":[{"ts":1704067260000,"BTC":1,"WIDE":null},{"ts":1704067320000,"BTC":2,"WIDE":7},{"ts":1704067380000,"BTC":3,"WIDE":null}],"next_page_token":null}"#
                + "\n")
    }

    @Test func `instruments are listed, found and missed`() async throws {
        let server = try await served()
        let one = try server.request("/api/v1/instruments/AAPL")
        #expect(one.status == 200 && one.text.contains(#""name":"Apple Inc.""#))
        #expect(try server.request("/api/v1/instruments/NONE").status == 404)
        #expect(try elements("instruments", of: server.request("/api/v1/instruments?search=apple")).count == 1)
        #expect(try server.request("/api/v1/instruments?search=apple&format=csv").text.contains("AAPL,Apple Inc.,"))
        #expect(try server.request("/api/v1/quotes?symbol=AAPL").text == "{\"quotes\":[],\"next_page_token\":null}\n")
    }
}

@Suite struct CachingTests {
    @Test func `what has not changed is 304, and what has is sent`() async throws {
        let shared = try await TestServer.shared.value
        let server = shared.address
        for target in [
            "/api/v1/latest?symbol=BTC", "/api/v1/bars?symbol=BTC&to=2024-02-01", "/api/v1/instruments",
            "/api/v1/quote?symbol=BTC", "/api/v1/bars?symbol=BTC&timeframe=1w",
        ] {
            // Other tests write meanwhile, and so does PostgreSQL itself; an answer in between may be a fresh one.
            let isUnchanged = try await eventually {
                let tag = try server.request(target).fields["etag"] ?? ""
                let second = try server.request(target, headers: ["If-None-Match: \(tag)"])
                return second.status == 304 && second.body.isEmpty && second.fields["etag"] == tag
            }
            #expect(isUnchanged, "\(target)")
        }
        let target = "/api/v1/instruments?search=etag-test"
        let tag = try server.request(target).fields["etag"] ?? ""
        try shared.write(
            "insert into market.instruments (symbol, name) values ('ETAG', 'etag-test') on conflict do nothing")
        let changed = try server.request(target, headers: ["If-None-Match: \(tag)"])
        #expect(changed.status == 200 && changed.text.contains("ETAG"))
        #expect(
            try server.request(target + "&format=csv", headers: ["If-None-Match: \(changed.fields["etag"] ?? "")"])
                .status == 200)
    }

    @Test(arguments: [
        "/api/v1/instruments/NONE", "/api/v3/klines?symbol=NONE&interval=1d", "/api/v1/tables/trades?limit=x",
        "/api/v1/stock/candle?symbol=BTC&resolution=1x&from=0&to=1",
    ])
    func `of what is not there nobody has a copy`(_ target: String) async throws {
        let server = try await served()
        let plain = try server.request(target)
        #expect(plain.status >= 400)
        #expect(try server.request(target, headers: ["If-None-Match: *"]).status == plain.status)
    }

    @Test(arguments: [
        "/api/v1/latest?symbol=BTC", "/api/v1/instruments/AAPL", "/api/v1/tables/trades?limit=1",
        "/api/v1/bars?symbol=BTC&to=2024-02-01", "/api/v3/klines?symbol=BTC&interval=1d",
        "/api/v1/sql?query=select+1",
    ])
    func `nothing of what is there is sent to who has any copy`(_ target: String) async throws {
        let reply = try await served().request(target, headers: ["If-None-Match: *"])
        // SQL has no tags, so that no copy is known.
        let isTagged = !target.contains("/sql")
        #expect(reply.status == (isTagged ? 304 : 200) && reply.text.isEmpty == isTagged)
        #expect((reply.fields["etag"] != nil) == isTagged && (reply.fields["content-type"] == nil) == isTagged)
    }

    @Test func `who has a compressed copy is told of its tag and of what it depends on`() async throws {
        let server = try await served()
        let target = "/api/v1/instruments"
        let isTold = try await eventually {
            let tag = "W/" + (try server.request(target).fields["etag"] ?? "")
            let reply = try server.request(target, headers: ["Accept-Encoding: gzip", "If-None-Match: \(tag)"])
            return reply.status == 304 && reply.fields["etag"] == tag
        }
        #expect(isTold)
    }

    @Test func `what is wanted only as it was is refused when it is another`() async throws {
        let server = try await served()
        for target in [
            "/api/v1/latest?symbol=BTC", "/api/v1/instruments", "/api/v1/quote?symbol=BTC",
            "/api/v1/tables/trades?limit=1",
        ] {
            #expect(try server.request(target, headers: ["If-Match: \"x\""]).status == 412, "\(target)")
            #expect(try server.request(target, headers: ["If-Match: *"]).status == 200, "\(target)")
            // Other tests write meanwhile.
            let isSame = try await eventually {
                let tag = try server.request(target).fields["etag"] ?? ""
                return try server.request(target, headers: ["If-Match: \(tag)"]).status == 200
            }
            #expect(isSame, "\(target)")
        }
    }

    @Test func `a settled range is immutable for a minute, others are asked for again`() async throws {
        let server = try await served()
        #expect(
            try server.request("/api/v1/trades?symbol=BTC&to=2024-01-03").fields["cache-control"]
                == "private, max-age=60, immutable")
        for target in ["/api/v1/trades?symbol=BTC", "/api/v1/trades?symbol=BTC&to=now-2h", "/api/v1/latest"] {
            #expect(try server.request(target).fields["cache-control"] == "private, no-cache", "\(target)")
        }
        for target in [
            "/api/v1/sources", "/api/v1/sql?query=select+1", "/grafana/last?symbol=BTC", "/grafana/symbols",
            "/grafana/candles?symbol=BTC",
        ] {
            let fields = try server.request(target).fields
            #expect(fields["etag"] == nil && fields["cache-control"] == "no-store", "\(target)")
        }
    }

    @Test(arguments: [
        "/api/v1/sources", "/api/v1/sql?query=select+1", "/api/v1/latest", "/api/v1/instruments",
        "/api/v1/tables/trades",
    ])
    func `whatever comes in the format that Accept names says so to caches`(target: String) async throws {
        let server = try await served()
        let (json, csv) = (
            try server.request(target, headers: ["Accept: application/json"]),
            try server.request(target, headers: ["Accept: text/csv"])
        )
        #expect(json.fields["content-type"] != csv.fields["content-type"])
        for reply in [json, csv] {
            #expect(reply.fields["vary"]?.split(separator: ", ").contains("Accept") == true, "\(reply.fields)")
        }
    }

    @Test func `a copy in other units, or with longer pages, is another`() async throws {
        let shared = try await TestServer.shared.value
        let server = shared.address
        /// The tags of three replies, of which the first and the last are to be alike while nothing changes.
        func tags(_ first: () throws -> Reply, _ second: () throws -> Reply) async throws -> (String, String) {
            var found = ("", "")
            _ = try await eventually {
                found = (try first().fields["etag"] ?? "", try second().fields["etag"] ?? "")
                return try first().fields["etag"] == found.0
            }
            return found
        }
        let candles = "/api/v3/klines?symbol=BTC&interval=1m&limit=1"
        let unit = "X-MBX-TIME-UNIT: MICROSECOND"
        let (coarse, fine) = try await tags(
            { try server.request(candles) }, { try server.request(candles, headers: [unit]) })
        #expect(coarse != fine)
        #expect(try server.request(candles, headers: [unit, "If-None-Match: \(coarse)"]).status == 200)
        #expect(
            try server.request(candles, headers: [unit]).fields["vary"]?.lowercased().hasPrefix(
                "accept, x-mbx-time-unit") == true)
        let (other, address) = try await TestServer.serve(shared.readerURL) { $0.pageSizeDefault = 2 }
        let trades = "/api/v1/trades?symbol=BTC"
        let (long, short) = try await tags({ try server.request(trades) }, { try address.request(trades) })
        #expect(long != short)
        await other.shutdown(deadline: .seconds(1))
    }

    @Test func `a settled range keeps its tag until something old changes, others do not`() async throws {
        let shared = try await TestServer.shared.value
        let (own, server) = try await TestServer.serve(shared.readerURL)
        let settled = [
            "/api/v1/trades?symbol=SETTLED&to=2024-01-02", "/api/v1/bars?symbol=SETTLED&timeframe=1d&to=2024-01-03",
            "/api/v1/quotes?symbol=SETTLED&to=2024-01-02", "/api/v1/indicators?symbol=SETTLED&to=2024-01-02",
        ]
        let open = ["/api/v1/trades?symbol=SETTLED", "/api/v1/instruments", "/api/v1/posts?to=2024-01-02"]
        func tags(_ targets: [String]) throws -> [String] {
            // Of the state as it is now: whoever has a copy of something open has it asked for.
            _ = try server.request("/api/v1/instruments", headers: ["If-None-Match: \"x\""])
            return try targets.map { try server.request($0).fields["etag"] ?? "" }
        }
        /// Writes as the pipeline does: what has changed, and from when on.
        func commit(_ sql: String, _ first: String) throws {
            try shared.write("begin; \(sql); select ops.note_change('\(first)'); commit")
        }
        // As housekeeping does: what ended an hour ago is settled from now on.
        try commit("select 1", "infinity")
        let (before, others) = (try tags(settled), try tags(open))
        try commit("update market.instruments set name = 'Apple Inc.' where symbol = 'AAPL'", "infinity")
        #expect(zip(try tags(open), others).allSatisfy { $0 != $1 })
        #expect(try tags(settled) == before)
        for (target, tag) in zip(settled, before) {
            let reply = try server.request(target, headers: ["If-None-Match: \(tag)"])
            #expect(reply.status == 304 && reply.fields["etag"] == tag, "\(target)")
        }
        try commit(
            "insert into market.trades (symbol, ts, source, trade_id, price, size) values "
                + "('SETTLED', '2024-01-01 12:00Z', 'test', 1, 7, 1)", "2024-01-01 12:00Z")
        #expect(zip(try tags(settled), before).allSatisfy { $0 != $1 })
        let reply = try server.request(settled[0], headers: ["If-None-Match: \(before[0])"])
        #expect(reply.status == 200 && reply.text.contains("2024-01-01T12:00:00Z"))
        await own.shutdown(deadline: .seconds(1))
    }

    @Test func `a moving range is never taken for the same`() async throws {
        let server = try await served()
        let target = "/api/v1/trades?symbol=BTC&from=now-1h"
        let tag = try server.request(target).fields["etag"] ?? ""
        #expect(try server.request(target, headers: ["If-None-Match: \(tag)"]).status == 200)
    }
}

@Suite struct DropInTests {
    @Test func `Finnhub's clients are answered`() async throws {
        let server = try await served()
        #expect(
            try server.request("/api/v1/stock/candle?symbol=BTC&resolution=3&from=1704067200&to=1704067380").text
                == #"{"s":"ok","t":[1704067200,1704067380],"o":[1,3],"h":[3,6],"l":[0,2],"c":[2,5],"v":[4,6]}"# + "\n")
        #expect(
            try server.request("/api/v1/stock/candle?symbol=BTC&resolution=5&from=1&to=2&token=x").text
                == "{\"s\":\"no_data\"}\n")
        let quote = try server.request("/api/v1/quote?symbol=BTC")
        #expect(quote.text == #"{"c":200,"d":null,"dp":null,"h":200,"l":200,"o":200,"pc":0,"t":1704153690}"# + "\n")
        #expect(try server.request("/api/v1/quote?symbol=NONE").text.hasPrefix(#"{"c":0,"d":null"#))
        let refused = try server.request("/api/v1/stock/candle?symbol=BTC&resolution=7x&from=1&to=2")
        #expect(refused.status == 400)
        #expect(try member("error", of: refused) != nil)
    }

    @Test func `Binance's clients are answered`() async throws {
        let server = try await served()
        #expect(
            try server.request("/api/v3/klines?symbol=BTC&interval=3m&startTime=1704067200000&limit=1").text
                == #"[[1704067200000,"1.0","3.0","0.0","2.0","4.0",1704067379999,"6.0",2,"0","0","0"]]"# + "\n")
        // The newest, oldest first.
        #expect(
            try server.request("/api/v3/klines?symbol=BTC&interval=3m&limit=2").text.hasPrefix("[[1704067560000,"))
        let unknown = try server.request("/api/v3/klines?symbol=NONE&interval=5m")
        #expect(unknown.status == 400 && unknown.text == "{\"code\":-1121,\"msg\":\"Invalid symbol.\"}\n")
        #expect(try member("code", of: server.request("/api/v3/klines?symbol=BTC&interval=5x")) == .number("-1120"))
        #expect(try member("code", of: server.request("/api/v3/klines?interval=5m")) == .number("-1102"))
        let second = try server.request("/api/v3/klines?symbol=BTC&interval=5m", headers: ["X-MBX-TIME-UNIT: SECOND"])
        #expect(try second.status == 400 && member("code", of: second) == .number("-1194"))
        for unit in ["MILLISECOND", "millisecond", "MICROSECOND", "microsecond"] {
            let reply = try server.request(
                "/api/v3/klines?symbol=BTC&interval=3m&limit=2", headers: ["X-MBX-TIME-UNIT: \(unit)"])
            let zeros = unit.lowercased() == "microsecond" ? "000" : ""
            #expect(reply.text.hasPrefix("[[1704067560000\(zeros),"), "\(unit)")
        }
    }

    @Test func `Yahoo's clients are answered`() async throws {
        let server = try await served()
        let reply = try server.request("/v8/finance/chart/BTC?interval=3m&period1=1704067200&period2=1704067560")
        #expect(reply.text.contains(#""timestamp":[1704067200,1704067380],"indicators":{"quote":[{"open":[1,3],"#))
        #expect(reply.text.contains(#""dataGranularity":"3m""#) && reply.text.hasSuffix("\"error\":null}}\n"))
        let day = #"{"timezone":"UTC","start":1704067200,"end":1704153600,"gmtoffset":0}"#
        let before = #"{"timezone":"UTC","start":1704067200,"end":1704067200,"gmtoffset":0}"#
        let after = #"{"timezone":"UTC","start":1704153600,"end":1704153600,"gmtoffset":0}"#
        #expect(reply.text.contains(#","tradingPeriods":[[\#(day)]]},"timestamp":"#))
        let extended = try server.request(
            "/v8/finance/chart/BTC?interval=3m&period1=1704067200&period2=1704067560&includePrePost=true")
        #expect(
            extended.text.contains(
                #","tradingPeriods":{"pre":[[\#(before)]],"regular":[[\#(day)]],"post":[[\#(after)]]}},"#))
        let daily = try server.request("/v8/finance/chart/BTC?interval=1d&range=max")
        #expect(!daily.text.contains("tradingPeriods"))
        let empty = try server.request("/v8/finance/chart/BTC?interval=3m&period1=1&period2=2")
        #expect(
            empty.text.hasSuffix(
                #"]]},"indicators":{"quote":[{}],"adjclose":[{}]}}],"error":null}}"# + "\n"))
        #expect(empty.text.contains(#""instrumentType":"CURRENCY""#))
        #expect(try server.request("/v8/finance/chart/AAPL").text.contains(#""instrumentType":"EQUITY""#))
        let unknown = try server.request("/v8/finance/chart/NONE")
        #expect(
            unknown.status == 404 && unknown.text.contains(#"{"chart":{"result":null,"error":{"code":"Not Found","#))
    }

    @Test func `what does not fit one reply is refused, for there is no next page`() async throws {
        let shared = try await TestServer.shared.value
        let targets = [
            "/api/v1/stock/candle?symbol=BTC&resolution=1&from=1&to=4000000000",
            "/v8/finance/chart/BTC?interval=1m&range=max",
        ]
        for (limit, status) in [(9, 400), (10, 200)] {
            let (server, address) = try await TestServer.serve(shared.readerURL) {
                $0.pageSizeDefault = 5
                $0.pageSizeLimit = limit
            }
            for target in targets {
                let reply = try address.request(target)
                #expect(reply.status == status, "\(reply.text)")
                #expect(reply.text.contains("more than 9 bars") == (limit == 9))
            }
            await server.shutdown(deadline: .seconds(1))
        }
    }

    @Test(arguments: [
        ("1d", 1), ("7d", 7), ("2wk", 14), ("1mo", 31), ("3mo", 92), ("6mo", 183), ("1y", 366), ("2y", 731),
        ("5y", 1827),
        ("10y", 3653), ("1002y", 365_981), ("366000d", 366_000),
    ])
    func `ranges of Yahoo's are as long as they say`(_ range: String, _ days: Int64) {
        #expect(DropInRequest.yahooDays(range) == days)
    }

    @Test(arguments: ["0d", "d", "7", "-1d", "7w", "7D", "1.5d", "366001d", "9999999d", "99999999999999999999y", "٣d"])
    func `other ranges are refused with what is allowed`(_ range: String) async throws {
        #expect(DropInRequest.yahooDays(range) == nil)
        let target = "/v8/finance/chart/BTC?range=" + range.utf8.map { "%" + String($0, radix: 16) }.joined()
        let reply = try await served().request(target)
        #expect(reply.status == 400 && reply.text.contains("ytd, max, or another number of d, wk, mo or y"))
    }

    @Test func `Alpaca's clients are answered, page by page`() async throws {
        let server = try await served()
        let target =
            "/v2/stocks/bars?symbols=BTC,NONE&timeframe=3Min&start=2024-01-01T00:00:00Z&end=2024-01-02T00:00:00Z"
        let first = try server.request(target + "&limit=2")
        #expect(
            first.text.hasPrefix(
                #"{"bars":{"BTC":[{"t":"2024-01-01T00:00:00Z","o":1,"h":3,"l":0,"c":2,"v":4,"n":2,"vw":1.5},"#))
        guard case .string(let token)? = try member("next_page_token", of: first) else {
            Issue.record("no token: \(first.text)")
            return
        }
        let second = try server.request(target + "&limit=2&page_token=\(token)")
        #expect(
            second.text.contains(#""t":"2024-01-01T00:09:00Z""#) && second.text.contains(#""next_page_token":null"#))
        #expect(try member("message", of: server.request("/v2/stocks/bars?symbols=BTC")) != nil)
    }
}
