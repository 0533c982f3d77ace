// SPDX-License-Identifier: Apache-2.0

import EventLoop
import HTTP
import Market
import Postgres
import TestSupport
import Testing

@testable import QueryServer

private func refusal<T>(_ body: () throws -> T) -> QueryError? {
    do {
        _ = try body()
        return nil
    } catch {
        return error as? QueryError
    }
}

/// A table with a column of days.
private let days = TableCatalogue.Table(
    name: "days", columns: [.init(name: "day", type: .date, typeName: "date", isNotNull: true, comment: nil)],
    key: ["day"])

private let people = TableCatalogue.Table(
    name: "people",
    columns: ["id", "age", "name", "height", "born", "tags"].map {
        .init(
            name: $0, type: $0 == "born" ? .timestamptz : $0 == "tags" ? .textArray : .text, typeName: "text",
            isNotNull: $0 == "id", comment: nil)
    }, key: ["id"])

/// The statement that PostgREST's documentation would expect, for a query string.
private func plan(_ query: String, _ headers: String = "") throws -> TablePlan {
    let head = try requestHead("GET /api/v1/tables/people HTTP/1.1\r\nHost: a\r\n\(headers)\r\n")
    let request = try TableRequest(try QueryParameters(Array(query.utf8)[...]), head)
    return try TablePlan(people, request, now: Timestamp(microseconds: 1_704_110_400_000_000), pageLimit: 1000)
}

private func requestHead(_ text: String) throws -> RequestHead {
    var parser = RequestParser()
    let bytes = Array(text.utf8)
    _ = try parser.parse(bytes.span)
    return parser.head
}

private func texts(_ plan: TablePlan) -> [String] {
    plan.parameters.map { parameter in
        switch parameter {
        case .text(let text, _): text
        case .timestamp(let time): "\(Timestamp(microseconds: time))"
        case .timestampArray(let times): "\(times.map { Timestamp(microseconds: $0).description })"
        default: "?"
        }
    }
}

@Suite struct TableGrammarTests {
    /// Examples of PostgREST's documentation ("Tables and Views"), with what they come to.
    @Test(arguments: [
        ("age=lt.13", #" where "age" < $1"#, ["13"]),
        ("age=gte.18&name=eq.x", #" where "age" >= $1 and "name" = $2"#, ["18", "x"]),
        ("or=(age.lt.18,age.gt.21)", #" where ("age" < $1 or "age" > $2)"#, ["18", "21"]),
        (
            "age=gte.14&not.and=(age.gte.11,age.lte.17)", #" where "age" >= $1 and not ("age" >= $2 and "age" <= $3)"#,
            ["14", "11", "17"]
        ),
        (
            "and=(age.gte.0,or(age.lt.18,not.and(age.gte.21,name.is.null)))",
            #" where ("age" >= $1 and ("age" < $2 or not ("age" >= $3 and ("name" is null))))"#, ["0", "18", "21"]
        ),
        (
            "name=like(any).{O*,P*}", #" where ("name" like any($1))"#, [#"{"O%","P%"}"#]
        ),
        ("name=like(all).{O*,*n}", #" where ("name" like all($1))"#, [#"{"O%","%n"}"#]),
        ("age=in.(1,2,3)", #" where ("age" = any($1))"#, [#"{"1","2","3"}"#]),
        (#"name=in.("hi,there","yes,you")"#, #" where ("name" = any($1))"#, [#"{"hi,there","yes,you"}"#]),
        (#"name=in.("a\"b","c\\d")"#, #" where ("name" = any($1))"#, [#"{"a\"b","c\\d"}"#]),
        ("name=not.in.(a)", #" where not ("name" = any($1))"#, [#"{"a"}"#]),
        ("name=in.()", #" where ("name" = any($1))"#, ["{}"]),
        ("name=is.null", #" where ("name" is null)"#, []), ("name=is.NOT_NULL", #" where ("name" is not null)"#, []),
        ("name=not.is.true", #" where not ("name" is true)"#, []),
        ("name=like.*OO*", #" where "name" like $1"#, ["%OO%"]),
        ("name=imatch.^a.*z$", #" where "name" ~* $1"#, ["^a.*z$"]),
        ("name=eq.a.b,c(d)", #" where "name" = $1"#, ["a.b,c(d)"]), ("name=eq.", #" where "name" = $1"#, [""]),
        ("name=isdistinct.x", #" where "name" is distinct from $1"#, ["x"]),
        ("tags=cs.{example,new}", #" where "tags" @> $1"#, ["{example,new}"]),
        ("tags=ov.(1,2)", #" where "tags" && $1"#, ["(1,2)"]), ("tags=adj.[1,5)", #" where "tags" -|- $1"#, ["[1,5)"]),
        (
            "name=fts(french).amusant",
            #" where (to_tsvector($1::regconfig, "name") @@ to_tsquery($1::regconfig, $2))"#,
            ["french", "amusant"]
        ),
        (
            "name=not.wfts.the fat", #" where not (to_tsvector("name") @@ websearch_to_tsquery($1))"#, ["the fat"]
        ),
        ("or=(tags.cs.{a,b},name.eq.\"x,y\")", #" where ("tags" @> $1 or "name" = $2)"#, ["{a,b}", "x,y"]),
        (
            #"or=(age.eq(any)."{\"13\",14}",name.eq.x)"#, #" where (("age" = any($1)) or "name" = $2)"#,
            [#"{"13","14"}"#, "x"]
        ),
        ("born=gt.now-6h", #" where "born" > $1"#, ["2024-01-01T06:00:00Z"]),
        ("born=lt.1704067200000", #" where "born" < $1"#, ["2024-01-01T00:00:00Z"]),
        ("born=eq.infinity", #" where "born" = $1"#, ["infinity"]),
        (
            "born=in.(2024-01-01,now)", #" where ("born" = any($1))"#,
            [#"["2024-01-01T00:00:00Z", "2024-01-01T12:00:00Z"]"#]
        ),
        (
            "born=in.(now,infinity)", #" where ("born" = any($1))"#, [#"{"2024-01-01T12:00:00Z","infinity"}"#]
        ),
    ])
    func `rows are filtered as PostgREST does`(_ query: String, _ filter: String, _ values: [String]) throws {
        let plan = try plan(query)
        #expect(plan.sql.hasSuffix(#" from market."people""# + filter))
        #expect(texts(plan) == values)
    }

    @Test(arguments: [
        ("select=name,age", #""name" as "name", "age" as "age""#),
        ("select=fullName:name,birth:born", #""name" as "fullName", "born" as "birth""#),
        ("select=name,age::text", #""name" as "name", ("age")::text as "age""#),
        ("select=a:age::double precision", #"("age")::double precision as "a""#),
        ("select=*", #""id", "age", "name", "height", "born", "tags""#),
        (#"select="my alias":name"#, #""name" as "my alias""#),
        ("select=age.sum()", #"sum("age") as "sum""#), ("select=count()", #"count(*) as "count""#),
        ("select=total:age.sum()::text", #"(sum("age"))::text as "total""#),
        ("select=age::int.avg()", #"avg("age"::int) as "avg""#),
        ("select=count", #"count(*) as "count""#), ("select=n:count::text", #"(count(*))::text as "n""#),
        ("select=age,a:age", #""age" as "age", "age" as "a""#),
        ("select=age,age&format=csv", #""age" as "age", "age" as "age""#),
    ])
    func `columns are chosen, named and cast`(_ query: String, _ columns: String) throws {
        #expect(try plan(query).sql == "select \(columns) from market.\"people\"")
    }

    /// Examples of PostgREST's tests (AndOrParamsSpec, "allows whitespace"), and blanks after commas elsewhere.
    @Test(arguments: [
        (
            "and=( and ( age.in.( 1, 2, 3 ) , age.eq.3 ) , or ( age.eq.2 , age.is.null ) )",
            #" where (("age" = any($1) and "age" = $2) and ("age" = $3 or ("age" is null)))"#.replacing(
                #"("age" = any($1)"#, with: #"(("age" = any($1))"#), [#"{"1"," 2"," 3 "}"#, "3 ", "2 "]
        ),
        (
            "or=(age.eq.1, age.eq.2, not.and (age.gt.3, name.eq.x))",
            #" where ("age" = $1 or "age" = $2 or not ("age" > $3 and "name" = $4))"#, ["1", "2", "3", "x"]
        ),
        ("or= (name.eq.\"a, b\" , name .eq.c)", #" where ("name" = $1 or "name" = $2)"#, ["a, b", "c"]),
        ("age=in.( )", #" where ("age" = any($1))"#, ["{}"]),
        ("age=in. ( \"1\" , 2) ", #" where ("age" = any($1))"#, [#"{"1"," 2"}"#]),
    ])
    func `blanks may stand between conditions`(_ query: String, _ filter: String, _ values: [String]) throws {
        let plan = try plan(query.replacing(" ", with: "%20"))
        #expect(plan.sql.hasSuffix(#" from market."people""# + filter))
        #expect(texts(plan) == values)
    }

    /// As PostgREST reads them (QuerySpec, "accepts single double quotes as values", and `pPgArray`).
    @Test(arguments: [
        (#"name=in.(")"#, #" where ("name" = any($1))"#, [#"{"\""}"#]),
        (#"name=in.("a"b,"c")"#, #" where ("name" = any($1))"#, [#"{"\"a\"b","c"}"#]),
        (#"or=(name.eq."a"b,age.eq.1)"#, #" where ("name" = $1 or "age" = $2)"#, [#""a"b"#, "1"]),
        (
            #"or=(tags.cs.{"a)",b},name.eq.x)"#, #" where ("tags" @> $1 or "name" = $2)"#, [#"{"a)",b}"#, "x"]
        ),
        (#"name=like(any).{"a)*"}"#, #" where ("name" like any($1))"#, [#"{"a)%"}"#]),
        (#""name"=eq.x"#, #" where "name" = $1"#, ["x"]),
    ])
    func `quotation marks quote what they are around`(_ query: String, _ filter: String, _ values: [String]) throws {
        let plan = try plan(query.replacing("\"", with: "%22"))
        #expect(plan.sql.hasSuffix(#" from market."people""# + filter))
        #expect(texts(plan) == values)
    }

    @Test func `blanks may stand between columns`() throws {
        #expect(
            try plan("select=i:id,%20a:age::int%20,%20*&order=age.desc%20,%20id").sql
                == #"select "id" as "i", ("age")::int as "a", "id", "age", "name", "height", "born", "tags" from market."people" order by "people"."age" desc nulls first, "people"."id" asc nulls last"#
        )
    }

    /// PostgREST's documentation, "Composite / Array Columns".
    @Test func `elements of arrays are found by their place`() throws {
        #expect(
            try plan("select=tags->0,t:tags->>-1::int&order=tags->0.desc").sql
                == #"select (to_jsonb("tags")->0) as "tags", ((to_jsonb("tags")->>-1))::int as "t" from market."people" order by (to_jsonb("tags")->0) desc nulls first"#
        )
        let filtered = try plan("tags->>0=eq.now&or=(tags->1->0.is.null,tags->>0.like.a*)")
        #expect(
            filtered.sql.hasSuffix(
                #" where (to_jsonb("tags")->>0) = $1 and (((to_jsonb("tags")->1->0) is null) or (to_jsonb("tags")->>0) like $2)"#
            ))
        #expect(texts(filtered) == ["now", "a%"] && !filtered.isMomentary)
        for query in [
            "select=tags->x", "select=tags->>0->1", "select=age->0", "order=tags->0&page_token=", "tags->=eq.1",
        ] {
            #expect(refusal { try plan(query) }?.status == 400, "\(query)")
        }
    }

    @Test func `an order by a column is by its values, whatever the reply makes of them`() throws {
        for (query, order) in [
            ("select=age::text&order=age", #""people"."age" asc nulls last"#),
            ("select=age:height&order=age", #""people"."age" asc nulls last"#),
            ("select=a:height&order=a", #""a" asc nulls last"#),
            ("select=born::date,count()&order=born", #""born" asc nulls last"#),
            (
                "select=id::text&order=age&page_token=",
                #""people"."age" asc nulls last, "people"."id" asc nulls last limit 1001"#
            ),
        ] {
            let sql = try plan(query).sql
            #expect(sql.hasSuffix(" order by \(order)"), "\(query): \(sql)")
        }
    }

    @Test func `a member of an object has a name of its own`() {
        for query in [
            "select=age,age", "select=*,id", "select=count(),age.count()", "select=n:age,n:name",
            "select=n:age.max(),n:name.max()&format=csv&having=(n.gt.1)",
            "select=age.max(),id.max()&format=csv&order=max",
        ] {
            #expect(refusal { try plan(query) }?.code == "duplicate_column", "\(query)")
        }
    }

    @Test(arguments: [
        ("select=id,m:born.max()&having=(m.gt.now-1h)", #"max("born") > $1"#, "2024-01-01T11:00:00Z"),
        ("select=d:born::date,n:count()&having=(d.gte.now-1d)", #"("born")::date >= $1"#, "2023-12-31"),
        ("select=born::date,n:count()&having=(born.eq.2024-01-01)", #"("born")::date = $1"#, "2024-01-01"),
        ("select=id,m:born.max()::text&having=(m.eq.now)", #"(max("born"))::text = $1"#, "now"),
        ("select=id,n:age.count()&having=(id.eq.x)", #""id" = $1"#, "x"),
    ])
    func `having knows the columns of the reply`(_ query: String, _ condition: String, _ value: String) throws {
        let plan = try plan(query)
        #expect(plan.sql.hasSuffix(" having (\(condition))"), "\(plan.sql)")
        #expect(texts(plan) == [value] && !plan.isMomentary)
    }

    /// RFC 9110 §12.4.2.
    @Test(arguments: [
        ("application/json, application/vnd.pgrst.object+json;q=0.1", "application/json"),
        ("application/vnd.pgrst.object+json, application/json", "application/vnd.pgrst.object+json"),
        ("application/json, application/vnd.pgrst.object+json", "application/json"),
        ("*/*, application/vnd.pgrst.object+json", "application/vnd.pgrst.object+json"),
        ("text/csv, application/vnd.pgrst.object;q=0.1", "text/csv; charset=utf-8; header=present"),
        ("application/vnd.pgrst.plan+json;q=0.1, application/json", "application/json"),
        ("application/vnd.pgrst.object+json;q=0, */*;q=0.1", "application/json"),
        (
            "application/vnd.pgrst.array+json;nulls=stripped;q=0.2, image/png",
            "application/vnd.pgrst.array+json;nulls=stripped"
        ),
    ])
    func `what is wanted most counts`(_ accept: String, _ type: String) throws {
        #expect(try plan("", "Accept: \(accept)\r\n").request.contentType == type)
    }

    @Test func `the first of two preferences counts`() throws {
        func count(_ headers: String) throws -> TableRequest.Count? { try plan("", headers).request.count }
        #expect(try count("Prefer: count=exact, count=planned\r\n") == .exact)
        #expect(try count("Prefer: count=planned\r\nPrefer: count=exact\r\n") == .planned)
        #expect(try count("Prefer: count=some, count=exact\r\n") == nil)
        #expect(try count("Prefer: handling=lenient, handling=strict, count=some\r\n") == nil)
        #expect(refusal { try count("Prefer: count=some, handling=strict\r\n") }?.code == "invalid_preference")
    }

    @Test func `an aggregate without groups counts as the row that it is`() throws {
        #expect(
            try plan("select=count(),age.max()&age=gt.1").countedSQL
                == #"select count(*) from market."people" where "age" > $1"#)
        #expect(try plan("select=age&age=gt.1").countedSQL == #"select 1 from market."people" where "age" > $1"#)
    }

    @Test func `groups have what aggregates leave, and may be filtered and sorted`() throws {
        let plan = try plan("select=name,n:count(),age.avg()&having=(n.gt.2,age.avg().lt.30)&order=n.desc,name&limit=3")
        #expect(
            plan.sql
                == #"select "name" as "name", count(*) as "n", avg("age") as "avg" from market."people" group by "name" having (count(*) > $1 and avg("age") < $2) order by "n" desc nulls first, "name" asc nulls last limit 3"#
        )
        #expect(texts(plan) == ["2", "30"])
    }

    @Test(arguments: [
        ("gte.now-1d", "2023-12-31"), ("eq.1704067200", "2024-01-01"), ("lt.1704067200000", "2024-01-01"),
        ("eq.20240102", "20240102"), ("eq.2024-01-02T10:00:00Z", "2024-01-02T10:00:00Z"), ("eq.infinity", "infinity"),
        ("in.(now,2024-01-02)", #"{"2024-01-01","2024-01-02"}"#), ("eq.today", "today"),
    ])
    func `days are found by moments`(_ filter: String, _ value: String) throws {
        let head = try requestHead("GET /api/v1/tables/days HTTP/1.1\r\nHost: a\r\n\r\n")
        let request = try TableRequest(try QueryParameters(Array("day=\(filter)".utf8)[...]), head)
        let plan = try TablePlan(days, request, now: Timestamp(microseconds: 1_704_110_400_000_000), pageLimit: 1000)
        #expect(texts(plan) == [value] && plan.isMomentary == (value == "today"))
    }

    @Test func `words for times that move are known as such`() throws {
        for query in [
            "born=gte.today", "born=lt.YESTERDAY", "born=in.(tomorrow,2024-01-01)", "or=(born.eq.now noon,age.eq.1)",
        ] {
            #expect(try plan(query.replacing(" ", with: "%20")).isMomentary, "\(query)")
        }
        for query in ["born=gte.now-1h", "born=eq.infinity", "name=eq.today", "age=in.(now,today)"] {
            #expect(try !plan(query).isMomentary, "\(query)")
        }
    }

    @Test func `orders put NULLs where they are told`() throws {
        #expect(
            try plan("order=age.desc.nullslast,height.asc.nullsfirst,name,id.desc").sql.hasSuffix(
                #" order by "people"."age" desc nulls last, "people"."height" asc nulls first, "people"."name" asc nulls last, "people"."id" desc nulls first"#
            ))
        #expect(try plan("order=age.nullsfirst").sql.hasSuffix(#"order by "people"."age" asc nulls first"#))
    }

    @Test func `a range is a limit with an offset`() throws {
        #expect(try plan("", "Range-Unit: items\r\nRange: 5-14\r\n").sql.hasSuffix(" limit 10 offset 5"))
        #expect(try plan("", "Range: 5-\r\n").sql.hasSuffix(" offset 5"))
        // PostgREST's `getRanges`: the rows that are in both.
        #expect(try plan("limit=3&offset=2", "Range: 1-9\r\n").sql.hasSuffix(" limit 3 offset 2"))
        #expect(try plan("limit=5&offset=2", "Range: 1-2\r\n").sql.hasSuffix(" limit 1 offset 2"))
        #expect(try plan("offset=2", "Range: 4-\r\n").sql.hasSuffix(" offset 4"))
        #expect(try plan("limit=0", "Range: 4-\r\n").sql.hasSuffix(" limit 0"))
        #expect(try plan("", "Range: 0-99999999999999999999\r\n").sql.hasSuffix(#""people""#))
        #expect(try plan("limit=2", "Range: 5-\r\nPrefer: count=exact\r\n").request.isBeyond)
        #expect(refusal { try plan("limit=2&page_token=", "Range: 5-\r\nPrefer: count=exact\r\n") }?.status == 416)
        for (query, range) in [("limit=2", "5-"), ("offset=9", "0-8")] {
            let error = refusal { try plan(query, "Range: \(range)\r\n") }
            #expect(error?.status == 416 && error?.message.contains("none of the rows") == true)
        }
        let head = try requestHead("HEAD /api/v1/tables/people HTTP/1.1\r\nHost: a\r\nRange: 9-5\r\n\r\n")
        #expect(try TableRequest(try QueryParameters([]), head).offset == 0)
        #expect(refusal { try plan("", "Range: 9-5\r\n") }?.status == 416)
        #expect(try !plan("", "Range: bytes=0-5\r\n").sql.contains("limit"))
    }

    @Test(arguments: [
        ("age=13", 1), ("age=lt13", 3), ("age=ltt.13", 1), ("age=not.13", 5), ("age=lt(any).3", 9),
        ("age=in.1,2", 4), ("age=in.(1,2", 8), ("age=is.maybe", 4), ("age=in.(1)x", 7), ("age=neq(any).{1}", 5),
        ("or=age.lt.1", 1), ("or=(age.lt.1", 10), ("or=(age)", 5), ("and=()", 2), ("or=(age.lt.1)x", 11),
        ("select=name,", 6), ("select=a:", 3), ("select=name::regclass", 7), ("select=name(id)", 5),
        ("select=name;drop", 5), ("order=age.down", 5), ("order=age.asc.desc", 9), (#"select="name"#, 6),
    ])
    func `an error says where it is`(_ query: String, _ position: Int) {
        let error = refusal { try plan(query) }
        #expect(error?.status == 400 && error?.position == position, "\(error?.position ?? 0) \(error?.details ?? "")")
    }

    @Test func `names are those of the catalogue`() {
        #expect(refusal { try plan("ages=eq.1") }?.hint == "Perhaps you meant \"age\".")
        for (query, meant) in [
            ("selct=age.eq.1", "select"), ("limt=5", "limit"), ("ordr=born.desc", "order"), ("slect=height", "select"),
            ("nme=13", "name"),
        ] {
            let error = refusal { try plan(query) }
            #expect(error?.code == "unknown_column" && error?.hint == "Perhaps you meant \"\(meant)\".", "\(query)")
            #expect(refusal { try plan(query, "Range: 0\r\n") }?.code == "unknown_column", "\(query)")
        }
        #expect(refusal { try plan("select=pasword") }?.code == "unknown_column")
        #expect(refusal { try plan("order=a%22%3Bdrop.desc") }?.code != nil)
        #expect(refusal { try plan("or=(secret.eq.1)") }?.code == "unknown_column")
        #expect(refusal { try plan("age.sum()=gt.1") }?.code == "unknown_column")
        #expect(refusal { try plan("and=(age.sum().gt.1)") }?.code == "invalid_parameter")
        #expect(refusal { try plan("having=(count().gt.1)") }?.code == "invalid_parameter")
        #expect(refusal { try plan("limit=-1") }?.code == "invalid_parameter")
        #expect(refusal { try plan("limit=1&limit=2") }?.code == "repeated_parameter")
        #expect(refusal { try plan("", "Prefer: handling=strict, timezone=UTC\r\n") }?.code == "invalid_preference")
    }

    @Test func `depth and number of conditions have limits`() {
        func nested(_ depth: Int) -> String {
            "and=" + String(repeating: "(and", count: depth - 1) + "(age.eq.1)"
                + String(repeating: ")", count: depth - 1)
        }
        #expect(throws: Never.self) { try plan(nested(TableParser.depthLimit)) }
        #expect(refusal { try plan(nested(TableParser.depthLimit + 1)) }?.code == "invalid_parameter")
        func list(_ count: Int) -> String { "age=in.(\(Array(repeating: "1", count: count).joined(separator: ",")))" }
        #expect(throws: Never.self) { try plan(list(TableParser.countLimit - 1)) }
        #expect(refusal { try plan(list(TableParser.countLimit)) }?.code == "invalid_parameter")
    }

    @Test func `no text of a request reaches the statement`() throws {
        var generator = SplitMix(seed: UInt64.random(in: 0 ... .max))
        print("seed \(generator.seed)")
        let pieces = [
            "age", "name", "id", ".", "eq", "in", "not", "(", ")", "{", "}", "\"", "\\", ",", ":", "::", "text", "is",
            "null", "any", "and", "or", "count()", ".sum()", "';drop table x--", "$1", "é", "\u{1F600}", "*", " ", "'",
            "like",
        ]
        let marker = "MARKER'\";--"
        for _ in 0..<4000 {
            let name =
                ["age", "or", "and", "select", "order", "having", "not.or"].randomElement(using: &generator) ?? "age"
            var text = ""
            for _ in 0..<Int.random(in: 0...9, using: &generator) {
                text += pieces.randomElement(using: &generator) ?? ""
            }
            if Bool.random(using: &generator) { text += marker }
            let query = "\(name)=" + text.utf8.map { "%" + (($0 < 16 ? "0" : "") + String($0, radix: 16)) }.joined()
            // Whatever it is, it is read or refused; what is read has nothing of values in it.
            if let plan = try? plan(query) {
                let bare = plan.sql
                #expect(!bare.contains(";--") || bare.contains("as \""), "\(text) → \(bare)")
                #expect(!bare.contains("'"), "\(text) → \(bare)")
            }
        }
    }
}

private struct SplitMix: RandomNumberGenerator {
    let seed: UInt64
    private var state: UInt64
    init(seed: UInt64) {
        self.seed = seed
        state = seed
    }
    mutating func next() -> UInt64 {
        state &+= 0x9e37_79b9_7f4a_7c15
        var z = state
        z = (z ^ (z >> 30)) &* 0xbf58_476d_1ce4_e5b9
        z = (z ^ (z >> 27)) &* 0x94d0_49bb_1331_11eb
        return z ^ (z >> 31)
    }
}

@Suite struct TableLiveTests {
    private func get(_ target: String, _ headers: [String] = []) async throws -> Reply {
        try await TestServer.shared.value.address.request("/api/v1/tables/" + target, headers: headers)
    }

    @Test func `rows come as an array, lines and CSV`() async throws {
        let query = "bars?symbol=eq.BTC&timeframe=eq.1m&select=ts,open,n:trade_count&order=ts&limit=2"
        let json = try await get(query)
        #expect(
            json.text
                == #"[{"ts":"2024-01-01T00:01:00Z","open":1,"n":1},{"ts":"2024-01-01T00:02:00Z","open":2,"n":1}]"#
                + "\n")
        #expect(json.fields["content-range"] == "0-1/*")
        #expect(
            try await get(query, ["Accept: text/csv"]).text
                == "ts,open,n\n2024-01-01T00:01:00Z,1,1\n2024-01-01T00:02:00Z,2,1\n")
        #expect(try await get(query + "&format=ndjson").text.split(separator: "\n").count == 2)
        #expect(try await get("bars?symbol=eq.NONE").text == "[]\n")
    }

    @Test func `digits beyond doubles are strings`() async throws {
        let reply = try await get("trades?symbol=eq.BTC&select=trade_id&order=ts&limit=1")
        #expect(reply.text == #"[{"trade_id":"9007199254740994"}]"# + "\n")
        let sums = try await get(
            "trades?symbol=eq.BTC&select=trade_id.max(),s:trade_id.sum(),a:trade_id.avg(),tx:trade_id::numeric.max(),"
                + "p:price::numeric.sum(),n:count()")
        #expect(
            sums.text
                == #"[{"max":"9007199254741093","s":"900719925474104350","a":"9007199254741043.5000","#
                + #""tx":"9007199254741093","p":15050,"n":100}]"# + "\n")
    }

    @Test func `ids of trades are strings, small ones too`() async throws {
        let reply = try await get("latest?symbol=eq.ETH&select=trade_id,other:trade_id::bigint,previous_trade_id")
        #expect(reply.text == #"[{"trade_id":"5","other":"5","previous_trade_id":null}]"# + "\n")
        #expect(try await get("latest?symbol=eq.ETH").text.contains(#""trade_id":"5""#))
    }

    @Test(arguments: [
        "gt.0000-06-01", "gt.-99999999999", "not.in.(0000-06-01,1999-01-01)",
        "gt(all).{0000-06-01,-99999999999}",
    ])
    func `times before our era are understood`(_ filter: String) async throws {
        let reply = try await get(
            "trades?symbol=eq.BTC&select=n:count()&ts=" + filter.replacing("{", with: "%7B").replacing("}", with: "%7D")
        )
        #expect(reply.text == #"[{"n":100}]"# + "\n", "\(reply.text)")
    }

    @Test func `a filter by a relative time is another each time`() async throws {
        let target = "trades?ts=gt.now-1h&limit=1"
        let tag = try await get(target).fields["etag"] ?? ""
        #expect(try await get(target, ["If-None-Match: \(tag)"]).status == 200)
    }

    @Test(arguments: ["", "+json"])
    func `PostgREST's own media types are understood`(_ suffix: String) async throws {
        let type = "application/vnd.pgrst.object\(suffix)"
        let target = "latest?symbol=eq.ETH&select=symbol,previous_price,price"
        let one = try await get(target, ["Accept: \(type)"])
        #expect(one.text == #"{"symbol":"ETH","previous_price":null,"price":200}"# + "\n")
        let bare = try await get(target, ["Accept: text/csv;q=0.5, \(type); nulls=stripped"])
        #expect(bare.text == #"{"symbol":"ETH","price":200}"# + "\n")
        #expect(bare.fields["content-type"] == "application/vnd.pgrst.object+json;nulls=stripped")
        let list = try await get(
            "latest?symbol=eq.ETH&select=previous_price,price,previous_ts",
            ["Accept: application/vnd.pgrst.array\(suffix);nulls=stripped"])
        #expect(list.text == "[{\"price\":200}]\n")
        #expect(list.fields["content-type"] == "application/vnd.pgrst.array+json;nulls=stripped")
    }

    @Test func `plans are told instead of rows`() async throws {
        let target = "trades?symbol=eq.BTC&select=symbol,price&limit=3"
        let type = "application/vnd.pgrst.plan"
        let text = try await get(target, ["Accept: \(type)"])
        #expect(text.status == 200 && text.text.hasPrefix("Limit  (cost=") && text.text.hasSuffix("\n"))
        #expect(text.fields["content-type"] == "\(type)+text; for=\"application/json\"; charset=utf-8")
        #expect(text.fields["etag"] == nil && text.fields["cache-control"] == "no-store")
        let json = try await get(target, ["Accept: \(type)+json; for=\"text/csv\"; options=buffers|verbose|none;"])
        #expect(json.text.hasPrefix("[\n  {\n    \"Plan\": {") && json.text.contains("\"Output\": [\"trades."))
        #expect(json.text.contains("\"Planning\": {"))
        #expect(
            json.fields["content-type"] == "\(type)+json; for=\"text/csv\"; options=verbose|buffers; charset=utf-8")
        #expect(try await get(target, ["Accept: \(type)+json;q=0, text/csv"]).text.hasPrefix("symbol,price\n"))
        for other in ["+json; options=analyze", "; options=settings|wal", "; for=\"text/xml\"", "+xml"] {
            let refused = try await get(target, ["Accept: \(type)\(other)"])
            #expect(refused.status == 406 && refused.text.contains("\"not_acceptable\""), "\(other): \(refused.text)")
        }
        #expect(try await get("trades?price=eq.x", ["Accept: \(type)"]).status == 400)
    }

    @Test func `rows are counted on request`() async throws {
        let exact = try await get("trades?symbol=eq.BTC&limit=10", ["Prefer: count=exact"])
        #expect(exact.status == 206 && exact.fields["content-range"] == "0-9/100")
        #expect(exact.fields["preference-applied"] == "count=exact")
        let whole = try await get("trades?symbol=eq.BTC", ["Prefer: count=exact"])
        #expect(whole.status == 200 && whole.fields["content-range"] == "0-99/100")
        let part = try await get("trades?symbol=eq.BTC", ["Prefer: count=exact", "Range-Unit: items", "Range: 90-200"])
        #expect(part.status == 206 && part.fields["content-range"] == "90-99/100")
        let beyond = try await get("trades?symbol=eq.BTC&offset=101", ["Prefer: count=exact"])
        #expect(beyond.status == 416 && beyond.fields["content-range"] == "*/100")
        let outside = try await get(
            "trades?symbol=eq.BTC&limit=5&offset=1", ["Prefer: count=exact", "Range: 9-20"])
        #expect(outside.status == 416 && outside.fields["content-range"] == "*/100")
        #expect(outside.text.contains("none of the rows"))
        #expect(try await get("trades?symbol=eq.BTC&limit=1", ["Prefer: count=planned"]).fields["content-range"] != nil)
        #expect(
            try await get("trades?symbol=eq.BTC&limit=1", ["Prefer: count=estimated"]).fields["content-range"]
                == "0-0/100")
    }

    @Test func `no row is of a moment between two microseconds`() async throws {
        func count(_ condition: String) async throws -> String {
            try await get("trades?symbol=eq.BTC&select=n:count()&\(condition)").text
        }
        #expect(try await count("ts=eq.2024-01-01T23:59:01.5Z") == #"[{"n":1}]"# + "\n")
        let beside = "2024-01-01T23:59:01.500000001Z"
        for condition in ["ts=eq.\(beside)", "ts=in.(\(beside))", "ts=in.(\(beside),infinity)", "ts=not.neq.\(beside)"]
        {
            #expect(try await count(condition) == #"[{"n":0}]"# + "\n", "\(condition)")
        }
        for condition in ["ts=neq.\(beside)", "ts=isdistinct.\(beside)", "ts=not.in.(\(beside))"] {
            #expect(try await count(condition) == #"[{"n":100}]"# + "\n", "\(condition)")
        }
    }

    @Test func `one object is one row`() async throws {
        let accept = ["Accept: application/vnd.pgrst.object+json"]
        let one = try await get("instruments?symbol=eq.AAPL&select=symbol,name", accept)
        #expect(one.text == #"{"symbol":"AAPL","name":"Apple Inc."}"# + "\n")
        #expect(one.fields["content-type"] == "application/vnd.pgrst.object+json")
        #expect(try await get("instruments?symbol=eq.NONE", accept).status == 406)
        #expect(try await get("trades?symbol=eq.BTC", accept).status == 406)
        let page = try await get("trades?symbol=eq.BTC&limit=1&page_token=", accept)
        #expect(page.status == 400 && page.text.contains(#"\"page_token\" is of lists"#))
    }

    @Test func `what PostgreSQL refuses is told without places in our statement`() async throws {
        let time = try await get("trades?ts=gte.2013-01-01T00:00:00+01:00")
        #expect(time.status == 400 && time.text.contains(#""hint":"In a URL, write + as %2B.","position":null"#))
        let other = try await get("trades?ts=gte.soon")
        #expect(other.status == 400 && other.text.contains(#""hint":null,"position":null"#))
        let order = try await get("trades?select=symbol,count()&order=price")
        #expect(
            order.status == 400 && order.text.contains(#""code":"42803""#) && order.text.contains(#""position":null"#))
    }

    @Test func `groups are what SQL makes of them`() async throws {
        let reply = try await get(
            "trades?select=symbol,n:count(),price.max()&symbol=in.(BTC,ETH)&order=symbol&having=(count().gte.100)")
        #expect(reply.text == #"[{"symbol":"BTC","n":100,"max":200},{"symbol":"ETH","n":100,"max":200}]"# + "\n")
        #expect(try await get("trades?select=symbol,count()&symbol=eq.BTC&having=(count.gt.100)").text == "[]\n")
    }

    @Test(arguments: ["", "order=price.desc", "order=symbol,ts.desc", "order=conditions.desc.nullslast"])
    func `pages by key hold each row once`(_ order: String) async throws {
        var seen: [JSONValue] = []
        var token = ""
        repeat {
            let reply = try await get(
                "trades?symbol=in.(BTC,ETH)&select=symbol,trade_id&limit=37&page_token=\(token)&\(order)")
            guard case .object(let members) = try JSONReader.read(reply.body),
                case .array(let rows)? = members.first?.value
            else {
                Issue.record("\(reply.text)")
                return
            }
            seen += rows
            if case .string(let next)? = members.last?.value { token = next } else { token = "" }
        } while !token.isEmpty && seen.count < 1000
        #expect(seen.count == 200 && Set(seen.map(\.text)).count == 200)
    }

    @Test func `tables and columns that are not there are refused with a suggestion`() async throws {
        let table = try await get("trade")
        #expect(table.status == 404 && table.text.contains(#"Perhaps you meant \"trades\""#))
        let column = try await get("trades?prise=gt.1")
        #expect(column.status == 400 && column.text.contains(#"Perhaps you meant \"price\""#))
        #expect(try await get("trades_20240101").status == 404)
        let value = try await get("trades?price=gt.many")
        #expect(value.status == 400 && value.text.contains("22P02"))
    }

    @Test func `a new table is found soon`() async throws {
        let shared = try await TestServer.shared.value
        _ = try await get("trades?limit=1")
        try shared.write("create table if not exists market.fresh (a integer); insert into market.fresh values (1)")
        #expect(try await eventually { try shared.address.request("/api/v1/tables/fresh").text == "[{\"a\":1}]\n" })
        try shared.write("drop table market.fresh")
        let list = try shared.address.request("/api/v1/tables")
        #expect(list.status == 200 && list.text.contains(#""name":"bars","comment":"Price bars"#))
    }
}
