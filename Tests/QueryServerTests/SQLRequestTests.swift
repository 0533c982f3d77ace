// SPDX-License-Identifier: Apache-2.0

import Postgres
import Testing

@testable import HTTP
@testable import QueryServer

private func parse(_ text: String) -> Result<JSONValue, JSONSyntaxError> {
    Result { () throws(JSONSyntaxError) in try JSONReader.read(Array(text.utf8)) }
}

private func request(json body: String, url: String = "", accept: [String] = []) throws -> SQLRequest {
    var fields = try SQLFields(
        try ParameterReader(try QueryParameters(Array(url.utf8)[...]), known: SQLRequest.names))
    try fields.read(Array(body.utf8), .json)
    return try SQLRequest(fields, accept: accept, testConfiguration)
}

@Suite struct JSONReaderTests {
    @Test func `values are read`() {
        #expect(parse(" null ") == .success(.null))
        #expect(
            parse("[1, -0.5e+3, true,\tfalse]")
                == .success(.array([.number("1"), .number("-0.5e+3"), .bool(true), .bool(false)])))
        #expect(parse("{\"a\":{},\"b\":[]}") == .success(.object([("a", .object([])), ("b", .array([]))])))
        #expect(parse("\"\\u00e9\\ud83d\\ude00\\n\\\"\\/\"") == .success(.string("é😀\n\"/")))
        #expect(parse("12345678901234567890.10") == .success(.number("12345678901234567890.10")))
    }

    @Test(arguments: [
        "", " ", "{", "[", "[1,]", "{\"a\"}", "{\"a\":}", "{\"a\":1,}", "{a:1}", "'a'", "\"a", "\"\\x\"", "\"\\ud800\"",
        "\"\\ud800\\u0041\"", "\"\\udc00\"", "\"\\u12\"", "\"a\nb\"", "01", "1.", ".5", "1e", "+1", "-", "nul", "truex",
        "1 2", "{\"a\":1,\"a\":2}", "NaN", "// x", "\u{FEFF}1", "\"\\",
    ])
    func `what is not JSON is refused`(_ text: String) {
        #expect(throws: JSONSyntaxError.self) { try parse(text).get() }
    }

    @Test func `depth has a limit`() {
        let at = JSONReader.depthLimit
        func nested(_ depth: Int) -> String {
            String(repeating: "[", count: depth) + String(repeating: "]", count: depth)
        }
        #expect(throws: Never.self) { try parse(nested(at)).get() }
        #expect(throws: JSONSyntaxError.self) { try parse(nested(at + 1)).get() }
    }

    @Test func `bytes that are not UTF-8 are refused`() {
        #expect(throws: JSONSyntaxError.self) { try JSONReader.read([0x22, 0xFF, 0x22]) }
    }
}

@Suite struct SQLRequestTests {
    @Test func `a body says everything`() throws {
        let request = try request(
            json:
                #"{"query":"select $1, $2, $3","params":[1,"a",null],"format":"csv","limit":5,"timeout_ms":1000,"bigint":"string"}"#,
            url: "max_bytes=9")
        #expect(request.sql == "select $1, $2, $3")
        #expect(request.parameters == [.text("1", as: .int4), .text("a"), .null])
        #expect(
            request.format == .csv && request.limit == 5 && request.timeout == .milliseconds(1000)
                && request.bigintAsString && request.maxBytes == 9)
    }

    @Test(arguments: ["query=select+2", "params=%5B2%5D", "format=csv", "limit=5", "timeout_ms=10", "bigint=number"])
    func `nothing is said in the URL and in the body`(_ url: String) throws {
        let body =
            #"{"query":"select $1","params":[1],"format":"csv","limit":5,"timeout_ms":1000,"bigint":"string"}"#
        do {
            _ = try request(json: body, url: url)
            Issue.record("accepted: \(url)")
        } catch let error as QueryError {
            #expect(error.code == "repeated_parameter" && error.status == 400, "\(url)")
        }
    }

    @Test(arguments: [
        ("select 1", 1), ("select $1", 2), ("select $2 || $1", 3), ("select 'costs $'", 1), ("select $$a$$", 1),
    ])
    func `more values than a statement has places are refused`(_ sql: String, _ count: Int) throws {
        func ask(_ count: Int) throws -> SQLRequest {
            try request(json: "{\"query\":\"\(sql)\",\"params\":\(Array(repeating: 1, count: count))}")
        }
        #expect(try ask(count - 1).parameters.count == count - 1)
        do {
            _ = try ask(count)
            Issue.record("accepted")
        } catch let error as QueryError {
            #expect(error.code == "surplus_params" && error.status == 400)
        }
    }

    @Test func `a body of Grafana's GraphQL is one of SQL`() throws {
        #expect(try request(json: #"{"query":"select 1","variables":null}"#).sql == "select 1")
        #expect(try request(json: #"{"query":"select 1","variables":{},"operationName":null}"#).sql == "select 1")
    }

    @Test(arguments: [
        #"{"query":"select $1","variables":{"a":1}}"#,
        #"{"query":5}"#, #"{"query":"select 1","limit":-1}"#, #"{"query":"select 1","limit":1.5}"#,
        #"{"query":"select 1","timeout_ms":0}"#, #"{"query":"select 1","timeout_ms":60001}"#,
        #"{"query":"select 1","format":"xml"}"#, #"{"query":"select 1","params":{}}"#,
        #"{"query":"select 1","quary":1}"#,
        #"{"query":"  "}"#, "{}", "[]", "{", #"{"query":"select 1","bigint":"yes"}"#,
    ])
    func `a body that makes no sense is 400`(_ body: String) {
        do {
            _ = try request(json: body)
            Issue.record("accepted: \(body)")
        } catch let error as QueryError {
            #expect(error.status == 400)
        } catch {
            Issue.record("\(error)")
        }
    }

    @Test func `JSON values become parameters`() {
        #expect(Parameter(.number("2147483647")) == .text("2147483647", as: .int4))
        #expect(Parameter(.number("2147483648")) == .text("2147483648", as: .int8))
        #expect(Parameter(.number("1.5")) == .text("1.5", as: .numeric))
        #expect(Parameter(.number("1e3")) == .text("1e3", as: .numeric))
        #expect(Parameter(.bool(true)) == .bool(true))
        #expect(
            Parameter(.array([.number("1"), .null, .number("9999999999")]))
                == .text("{1,NULL,9999999999}", as: .int8Array))
        #expect(Parameter(.array([.number("1"), .number("1.5")])) == .text("{1,1.5}", as: TypeOID(rawValue: 1231)))
        #expect(Parameter(.array([.string("a\"b\\"), .string("NULL")])) == .text(#"{"a\"b\\","NULL"}"#))
        #expect(
            Parameter(.array([.array([.bool(true)]), .array([.bool(false)])])) == .text("{{t},{f}}", as: .boolArray))
        #expect(Parameter(.array([])) == .text("{}"))
        #expect(Parameter(.object([("k", .array([.number("1")]))])) == .text(#"{"k":[1]}"#))
    }
}

@Suite struct KnownRequestsTests {
    private func head(_ query: String, _ fields: String = "") throws -> RequestHead {
        var parser = RequestParser()
        let bytes = Array("GET /api/v1/sql?\(query) HTTP/1.1\r\nHost: a\r\n\(fields)\r\n".utf8)
        _ = try parser.parse(bytes.span)
        return parser.head
    }

    @Test func `a URL that comes again says the same`() throws {
        var known = KnownRequests(testConfiguration)
        for _ in 0..<2 {
            let request = try known.request(try head("query=select+%241&params=%5B1%5D"), CallerLimits())
            #expect(request.sql == "select $1" && request.parameters == [.text("1", as: .int4)])
            #expect(request.format == .json && request.limit == nil)
            #expect(try known.request(try head("query=select+2"), CallerLimits()).sql == "select 2")
        }
        #expect(known.count == 2)
    }

    @Test func `what else a request says counts each time`() throws {
        var known = KnownRequests(testConfiguration)
        func request(_ fields: String, _ limits: CallerLimits = CallerLimits()) throws -> SQLRequest {
            try known.request(try head("query=select+1", fields), limits)
        }
        for _ in 0..<2 {
            #expect(try request("").format == .json)
            #expect(try request("Accept: text/csv\r\n").format == .csv)
            #expect(try request("X-Tapedeck-Limit: 3\r\n").limit == 3)
            #expect(try request("X-Tapedeck-Bigint: string\r\n").bigintAsString)
            #expect(try request("", CallerLimits(rows: 7)).limit == 7)
            #expect(try request("").limit == nil)
            #expect(throws: QueryError.self) { try request("Accept: image/png\r\n") }
        }
    }

    @Test func `a request that is refused is refused again, and long ones are not kept`() throws {
        var known = KnownRequests(testConfiguration)
        for _ in 0..<2 {
            for wrong in ["", "query=", "query=set+x+to+1", "query=select+1&params=1", "query=select+1&querry=2"] {
                #expect(throws: QueryError.self) { try known.request(try head(wrong), CallerLimits()) }
            }
            let long = "select+" + String(repeating: "1", count: 5000)
            #expect(try known.request(try head("query=\(long)"), CallerLimits()).sql.utf8.count == 5007)
        }
        #expect(known.count == 0)
        for number in 0..<2000 { _ = try known.request(try head("query=select+\(number)"), CallerLimits()) }
        #expect(known.count <= 512)
    }
}

@Suite struct SQLStateTests {
    @Test(arguments: [
        ("42P01", 400), ("42601", 400), ("22012", 400), ("42501", 403), ("25006", 403), ("57014", 504), ("53300", 503),
        ("53200", 503), ("08006", 400), ("57P01", 503), ("40001", 503), ("28P01", 503), ("23505", 409), ("0A000", 400),
        ("P0001", 400), ("54001", 400), ("55P03", 503), ("XX000", 500), ("58030", 500), ("ZZ999", 400), ("", 400),
    ])
    func `an SQLSTATE has its status`(_ state: String, _ status: Int) {
        #expect(Int(httpStatus(sqlState: state)) == status)
    }

    @Test func `an error of PostgreSQL keeps what it says`() {
        let error = QueryError(
            PostgresError(.server, "column \"x\" does not exist", sqlState: "42703", hint: "h", position: 8), timeout: 1
        )
        #expect(error.status == 400 && error.code == "42703" && error.position == 8 && error.hint == "h")
        let json = String(decoding: error.jsonBody(QueryID(255)), as: UTF8.self)
        #expect(
            json
                == "{\"code\":\"42703\",\"message\":\"column \\\"x\\\" does not exist\",\"details\":null,\"hint\":\"h\","
                + "\"position\":8,\"query_id\":\"00000000000000ff\"}\n")
    }

    @Test func `a value too large for PostgreSQL is the statement's mistake`() {
        let error = QueryError(
            PostgresError(.server, "invalid memory alloc request size 1600000008", sqlState: "XX000"), timeout: 1)
        #expect(error.status == 400 && error.code == "54000")
        let other = QueryError(PostgresError(.server, "cache lookup failed", sqlState: "XX000"), timeout: 1)
        #expect(other.status == 500 && other.code == "XX000")
    }

    @Test func `a lost connection says nothing of the server behind`() {
        let error = QueryError(PostgresError(.connection, "could not connect to 10.0.0.1 as secret"), timeout: 1)
        #expect(error.status == 503 && error.retryAfterSeconds == 1)
        #expect(!String(decoding: error.jsonBody(QueryID(1)), as: UTF8.self).contains("10.0.0.1"))
    }
}
