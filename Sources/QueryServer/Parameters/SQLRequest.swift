// SPDX-License-Identifier: Apache-2.0
// What a request for SQL asks for, from its URL and its body.

import EventLoop
import HTTP
import Postgres

/// A query of a user, checked as far as can be without PostgreSQL.
struct SQLRequest {
    var sql: String
    let kind: StatementKind
    var parameters: [Parameter] = []
    /// The same as they came.
    private var given: [JSONValue] = []
    var format: ReplyFormat
    /// Rows at most; nil for all.
    var limit: Int?
    /// Whether ``limit`` is the server's and not the client's.
    var limitIsOurs = false
    /// Bytes of the reply's body at most, before compression; nil for any.
    var maxBytes: Int?
    /// Whether ``maxBytes`` is the server's and not the client's.
    var maxBytesIsOurs = false
    var timeout: Duration
    var bigintAsString = false

    static let names = ["query", "params", "format", "limit", "max_bytes", "timeout_ms", "bigint"]

    static let emptyQuery = QueryError(
        400, "empty_query", "the query is empty", hint: "Send it as ?query=, or as the body of a POST.")

    /// Reads the request, its body included. What is in the body cannot be in the URL as well.
    init(_ request: Request, _ limits: CallerLimits, _ configuration: QueryServer.Configuration) async throws {
        var fields = try Self.fields(request.head)
        if request.head.method == .post {
            if !request.head.declaresBody && fields.query == nil {
                throw QueryError(
                    411, "length_required", "a POST without Content-Length or Transfer-Encoding has no body",
                    hint: "Send the query as the body, with its length or in chunks.")
            }
            try fields.read(
                try await request.body.collect(upTo: configuration.bodyLimit), try Self.bodyKind(request.head))
        }
        try self.init(fields, request.head, limits, configuration)
    }

    /// Reads a request that has no body.
    init(_ head: RequestHead, _ limits: CallerLimits, _ configuration: QueryServer.Configuration) throws {
        try self.init(Self.fields(head), head, limits, configuration)
    }

    private init(
        _ said: SQLFields, _ head: RequestHead, _ limits: CallerLimits, _ configuration: QueryServer.Configuration
    ) throws {
        var fields = said
        // Header fields say what parameters of theirs say, which go before them.
        fields.limit = fields.limit ?? head["x-tapedeck-limit"]
        fields.maxBytes = fields.maxBytes ?? head["x-tapedeck-max-bytes"]
        fields.timeout = fields.timeout ?? head["x-tapedeck-timeout-ms"]
        fields.bigint = fields.bigint ?? head["x-tapedeck-bigint"]
        try self.init(fields, accept: head.values(of: "accept"), configuration, limits: limits)
    }

    /// Whether a request has a header field of ours.
    static func hasFields(_ head: RequestHead) -> Bool {
        head.value(of: "x-tapedeck-limit") != nil || head.value(of: "x-tapedeck-max-bytes") != nil
            || head.value(of: "x-tapedeck-timeout-ms") != nil || head.value(of: "x-tapedeck-bigint") != nil
    }

    private static func fields(_ head: RequestHead) throws -> SQLFields {
        try SQLFields(try ParameterReader(try head.query(), known: names))
    }

    /// - Parameter limits: what the caller may, where it differs from what everybody may.
    init(
        _ fields: SQLFields, accept: [String], _ configuration: QueryServer.Configuration,
        limits: CallerLimits = CallerLimits()
    ) throws(QueryError) {
        guard let query = fields.query, !query.utf8.allSatisfy({ $0 <= 0x20 }) else { throw Self.emptyQuery }
        sql = query
        kind = StatementKind(query)
        if case .session(let word) = kind { throw Self.unsupportedStatement(word) }
        given = fields.parameters
        let places = Self.lastPlace(query)
        if given.count > places { throw Self.surplus(given.count, places) }
        parameters = given.map(Parameter.init)
        if let name = fields.format {
            guard let format = ReplyFormat(rawValue: name) else {
                throw ParameterReader.invalid(
                    "format", name, allowed: "one of " + ReplyFormat.allCases.map(\.rawValue).joined(separator: ", "))
            }
            self.format = format
        } else {
            format = try ReplyFormat(accept: accept)
        }
        let rowLimit = [limits.rows, configuration.rowLimit].compactMap(\.self).min()
        limit = try fields.integer("limit", fields.limit, in: 0...(rowLimit ?? .max))
        if limit == nil, let ours = [configuration.rowLimitDefault, rowLimit].compactMap(\.self).min() {
            limit = ours
            limitIsOurs = true
        }
        let byteLimit = [limits.bytes, configuration.byteLimit].compactMap(\.self).min()
        maxBytes = try fields.integer("max_bytes", fields.maxBytes, in: 0...(byteLimit ?? .max))
        if maxBytes == nil, let byteLimit {
            maxBytes = byteLimit
            maxBytesIsOurs = true
        }
        let timeoutLimit = min(limits.timeout ?? .seconds(86_400), configuration.queryTimeoutLimit)
        let timeoutMax = Int(timeoutLimit.inNanoseconds / 1_000_000)
        timeout =
            try fields.integer("timeout_ms", fields.timeout, in: 1...timeoutMax).map { .milliseconds($0) }
            ?? min(configuration.queryTimeoutDefault, timeoutLimit)
        switch fields.bigint {
        case nil, "number"?: bigintAsString = false
        case "string"?: bigintAsString = true
        case let other?: throw ParameterReader.invalid("bigint", other, allowed: "one of number, string")
        }
    }

    /// The highest `$1`, `$2`, … of a statement; those in texts and comments count as well, so that none is refused wrongly.
    private static func lastPlace(_ sql: String) -> Int {
        var last = 0
        var rest = sql.utf8[...]
        while let sign = rest.firstIndex(of: UInt8(ascii: "$")) {
            rest = rest[rest.index(after: sign)...]
            let digits = rest.prefix { $0 &- 0x30 < 10 }
            last = max(last, Int(Substring(digits)) ?? 0)
        }
        return last
    }

    private static func surplus(_ count: Int, _ places: Int) -> QueryError {
        QueryError(
            400, "surplus_params", "\(count) params for a statement that takes \(places == 0 ? "none" : "\(places)")",
            hint: places == 0 ? "Write $1 where the first one belongs." : nil)
    }

    /// The parameters as a JSON array; nil if there are none.
    var parametersText: String? { given.isEmpty ? nil : JSONValue.array(given).text }

    private static func unsupportedStatement(_ word: String) -> QueryError {
        QueryError(
            400, "unsupported_statement", "\(word) is not supported",
            details: "Session and transaction end with the request.",
            hint: "Send one query: SELECT, WITH, VALUES, TABLE, SHOW or EXPLAIN."
                + (word == "COPY" ? " format=csv gives CSV." : ""))
    }

    /// What a body is by its Content-Type; without one it is the query.
    private static func bodyKind(_ head: RequestHead) throws(QueryError) -> SQLFields.BodyKind {
        guard let field = head["content-type"] else { return .sql }
        let type = MediaType(field)
        if !type.isUTF8 { throw unsupported(field, hint: "Send the body in UTF-8.") }
        switch type.name {
        case "text/plain", "application/sql": return .sql
        case "application/json": return .json
        case "application/x-www-form-urlencoded": return .form
        default:
            throw unsupported(field, hint: "With curl: -H 'Content-Type: application/sql' --data-binary 'select 1'.")
        }
    }

    private static func unsupported(_ type: String, hint: String) -> QueryError {
        QueryError(
            415, "unsupported_media_type", "unsupported Content-Type \"\(type)\"",
            details:
                "Supported are text/plain, application/sql, application/json and a form with a field query, in UTF-8.",
            hint: hint)
    }
}

/// The fields of a request for SQL before they are understood.
struct SQLFields {
    /// `form` is also what `curl --data 'select …'` calls a statement.
    enum BodyKind { case sql, json, form }

    var query: String?
    var parameters: [JSONValue] = []
    var format: String?
    var limit: String?
    var maxBytes: String?
    var timeout: String?
    var bigint: String?

    init() {}

    /// From the URL; `params` is a JSON array there too.
    init(_ reader: ParameterReader) throws(QueryError) {
        query = reader.text("query")
        format = reader.text("format")
        limit = reader.text("limit")
        maxBytes = reader.text("max_bytes")
        timeout = reader.text("timeout_ms")
        bigint = reader.text("bigint")
        guard let text = reader.text("params") else { return }
        let value: JSONValue
        do throws(JSONSyntaxError) {
            value = try JSONReader.read(Array(text.utf8))
        } catch {
            throw ParameterReader.invalid("params", text, allowed: "a JSON array; \(error.message)")
        }
        try take("params", value)
    }

    private static func form(_ body: [UInt8]) throws(QueryError) -> QueryParameters {
        do throws(HTTPError) {
            return try QueryParameters(body[...])
        } catch {
            throw QueryError(400, "invalid_form", error.message)
        }
    }

    /// From a body, beside what the URL says.
    ///
    /// - Throws: ``QueryError`` also for what both say: nobody could tell which was meant.
    mutating func read(_ body: [UInt8], _ kind: BodyKind) throws(QueryError) {
        var said = SQLFields()
        try said.readAlone(body, kind)
        func one<Value>(_ name: String, _ url: Value?, _ body: Value?) throws(QueryError) -> Value? {
            if url != nil && body != nil {
                throw QueryError(400, "repeated_parameter", "\"\(name)\" is in the URL and in the body")
            }
            return body ?? url
        }
        query = try one("query", query, said.query)
        parameters =
            try one(
                "params", parameters.isEmpty ? nil : parameters, said.parameters.isEmpty ? nil : said.parameters) ?? []
        format = try one("format", format, said.format)
        limit = try one("limit", limit, said.limit)
        maxBytes = try one("max_bytes", maxBytes, said.maxBytes)
        timeout = try one("timeout_ms", timeout, said.timeout)
        bigint = try one("bigint", bigint, said.bigint)
    }

    private mutating func readAlone(_ body: [UInt8], _ kind: BodyKind) throws(QueryError) {
        switch kind {
        case .form:
            // A form has a field `query`; anything else is the statement itself, under curl's default label.
            if body.starts(with: Array("query=".utf8)) {
                let reader = try ParameterReader(try Self.form(body), known: SQLRequest.names)
                self = try SQLFields(reader)
            } else {
                try readAlone(body, .sql)
            }
        case .sql:
            guard let text = String(validating: body, as: UTF8.self) else {
                throw QueryError(400, "invalid_encoding", "the body is not UTF-8")
            }
            if !text.isEmpty { query = text }
        case .json:
            let value: JSONValue
            do throws(JSONSyntaxError) {
                value = try JSONReader.read(body)
            } catch {
                throw QueryError(
                    400, "invalid_json", "the body is not JSON: \(error.message)",
                    details: "At byte \(error.offset) of the body.")
            }
            guard case .object(let members) = value else {
                throw QueryError(400, "invalid_json", "the body is \(value.kind), not an object")
            }
            for member in members { try take(member.name, member.value) }
        }
    }

    private mutating func take(_ name: String, _ value: JSONValue) throws(QueryError) {
        switch (name, value) {
        case ("params", .array(let elements)): parameters = elements
        case ("query", .string(let text)): query = text
        case ("format", .string(let text)): format = text
        case ("bigint", .string(let text)): bigint = text
        case ("limit", .number(let digits)): limit = digits
        case ("max_bytes", .number(let digits)): maxBytes = digits
        case ("timeout_ms", .number(let digits)): timeout = digits
        case ("params", .null), ("format", .null), ("bigint", .null), ("limit", .null), ("max_bytes", .null),
            ("timeout_ms", .null):
            return
        // GraphQL's neighbours of `query`, which Grafana's Infinity sends whenever a body has that name.
        case ("variables", .null), ("operationName", .null): return
        case ("variables", .object(let members)) where members.isEmpty: return
        case ("variables", _):
            throw ParameterReader.invalid(
                name, value.text, allowed: "null or {}",
                hint: "Bind values with params: {\"query\": \"… $1\", \"params\": [1]}.")
        case (_, _) where SQLRequest.names.contains(name):
            let wanted =
                switch name {
                case "params": "an array"
                case "limit", "max_bytes", "timeout_ms": "an integer"
                default: "a string"
                }
            throw ParameterReader.invalid(name, value.text, allowed: wanted)
        default: throw ParameterReader.unknown(name, known: SQLRequest.names)
        }
    }

    func integer(_ name: String, _ text: String?, in range: ClosedRange<Int>) throws(QueryError) -> Int? {
        guard let text else { return nil }
        guard !text.isEmpty, text.utf8.allSatisfy({ $0 &- 0x30 < 10 }), let value = Int(text), range.contains(value)
        else { throw ParameterReader.invalid(name, text, allowed: ParameterReader.describe(range)) }
        return value
    }
}
