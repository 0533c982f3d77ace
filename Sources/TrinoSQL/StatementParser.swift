// SPDX-License-Identifier: Apache-2.0

/// Tells by its first words what a statement is, and reads those that are not queries.
struct StatementParser {
    let source: StatementSource
    let dialect: TrinoDialect
    private(set) var tokens: [Token]
    private(set) var at = 0

    static func parse(
        _ tokens: [Token], _ source: StatementSource, _ dialect: TrinoDialect
    ) throws(TrinoSyntaxError) -> TrinoStatement {
        var parser = StatementParser(source: source, dialect: dialect, tokens: tokens)
        return try parser.statement()
    }

    private init(source: StatementSource, dialect: TrinoDialect, tokens: [Token]) {
        self.source = source
        self.dialect = dialect
        // Clients may leave the semicolon that a person typed.
        self.tokens = tokens
        while self.tokens.last?.is(";") ?? false { self.tokens.removeLast() }
    }

    private mutating func statement() throws(TrinoSyntaxError) -> TrinoStatement {
        guard let first = tokens.first else {
            throw TrinoSyntaxError(.syntaxError, "mismatched input '<EOF>'", at: TrinoLocation(line: 1, column: 1))
        }
        if let second = tokens.first(where: { $0.is(";") }), !first.is("prepare") { throw unexpected(second) }
        switch first.text {
        case "select", "values", "table", "(": return .query(try query(from: 0))
        case "with":
            let next = text(1)
            if (next == "session" || next == "function"), text(2) != "as", text(2) != "(" {
                throw TrinoSyntaxError(
                    .notSupported, "WITH \(next.uppercased()) is not supported", at: location(of: first))
            }
            return .query(try query(from: 0))
        case "show": return try show()
        case "describe", "desc": return try describe()
        case "explain": return try explain()
        case "prepare": return try prepare()
        case "execute": return try execute()
        case "deallocate": return try deallocate()
        case "set": return try set()
        case "reset": return try reset()
        case "use": return try use()
        case "start", "commit", "rollback": return try transaction()
        case "call": return try call()
        default:
            if let refusal = try WriteRefusal.of(self) { return .refused(refusal) }
            throw unexpected(first)
        }
    }

    /// A query, or what PostgreSQL may make of it.
    func query(from start: Int, prefix: String = "", names: [OutputName]? = nil) throws(TrinoSyntaxError)
        -> PostgresQuery
    {
        let source = self.source
        let place: @Sendable (Int) -> TrinoLocation = { source.location(ofByte: $0) }
        let outline = try Outline(tokens, of: source.bytes, at: place)
        let context = RewriteContext(dialect: dialect, location: place)
        let text = try Rewriter.rewrite(outline, start..<tokens.count, context, prefix: prefix)
        return PostgresQuery(
            text, source: source, names: names ?? SelectList.names(outline, from: start),
            decimals: names == nil ? try DecimalQuestion.of(outline, from: start, context) : nil,
            rows: names == nil ? SelectList.rows(outline, from: start) : [],
            settings: dialect.settings)
    }

    /// A query of our own that stands for the statement.
    func query(_ sql: String) -> TrinoStatement {
        var text = SourceMappedText(capacity: sql.utf8.count)
        text.write(sql, for: tokens.first?.range.lowerBound ?? 0)
        return .query(PostgresQuery(text, source: source, names: [], settings: dialect.settings))
    }
}

// MARK: Reading

extension StatementParser {
    func text(_ index: Int) -> String { tokens.indices.contains(index) ? tokens[index].text : "" }

    func location(of token: Token) -> TrinoLocation { source.location(ofByte: token.range.lowerBound) }

    /// What the token is written as.
    func written(_ token: Token) -> String { String(decoding: source.bytes[token.range], as: UTF8.self) }

    func unexpected(_ token: Token?, expecting: String? = nil) -> TrinoSyntaxError {
        let wanted = expecting.map { ". Expecting: \($0)" } ?? ""
        guard let token else {
            let end = source.location(ofByte: tokens.last?.range.upperBound ?? 0)
            return TrinoSyntaxError(.syntaxError, "mismatched input '<EOF>'\(wanted)", at: end)
        }
        return TrinoSyntaxError(.syntaxError, "mismatched input '\(written(token))'\(wanted)", at: location(of: token))
    }

    var current: Token? { at < tokens.count ? tokens[at] : nil }

    mutating func skip(_ count: Int = 1) { at += count }

    /// Takes the word or symbol if it is next.
    mutating func take(_ word: String) -> Bool {
        guard text(at) == word else { return false }
        at += 1
        return true
    }

    mutating func expect(_ words: String...) throws(TrinoSyntaxError) {
        for word in words {
            guard take(word) else { throw unexpected(current, expecting: "'\(word.uppercased())'") }
        }
    }

    func expectEnd() throws(TrinoSyntaxError) {
        if let current { throw unexpected(current, expecting: "<EOF>") }
    }

    /// A name, in lower case.
    mutating func name() throws(TrinoSyntaxError) -> String { try nameAsWritten().lowercased() }

    mutating func nameAsWritten() throws(TrinoSyntaxError) -> String {
        guard let token = current, token.isName, !(token.kind == .word && Keywords.reserved.contains(token.text)) else {
            throw unexpected(current, expecting: "<identifier>")
        }
        at += 1
        return value(of: token)
    }

    /// `a.b.c`, at most `most` names.
    mutating func chain(most: Int) throws(TrinoSyntaxError) -> [String] {
        let start = current
        var names = [try name()]
        while take(".") { names.append(try name()) }
        guard names.count <= most else {
            throw TrinoSyntaxError(
                .syntaxError, "Too many parts in name: \(names.joined(separator: "."))",
                at: start.map { location(of: $0) })
        }
        return names
    }

    mutating func string() throws(TrinoSyntaxError) -> String {
        guard let token = current, token.kind == .string else { throw unexpected(current, expecting: "<string>") }
        at += 1
        return value(of: token)
    }

    /// What a name or a string stands for.
    func value(of token: Token) -> String {
        let bytes = source.bytes[token.range]
        guard token.kind != .word, let quote = bytes.first else { return String(decoding: bytes, as: UTF8.self) }
        var value: [UInt8] = []
        var index = bytes.startIndex + 1
        while index < bytes.endIndex - 1 {
            value.append(bytes[index])
            index += bytes[index] == quote ? 2 : 1
        }
        return String(decoding: value, as: UTF8.self)
    }

    /// The source of a range of tokens, with the blanks and comments in it.
    func written(_ range: Range<Int>) -> String {
        guard !range.isEmpty else { return "" }
        let bytes = tokens[range.lowerBound].range.lowerBound..<tokens[range.upperBound - 1].range.upperBound
        return String(decoding: source.bytes[bytes], as: UTF8.self)
    }

    /// `LIKE 'pattern' [ESCAPE 'x']`, if it is next.
    mutating func pattern() throws(TrinoSyntaxError) -> TrinoPattern? {
        guard take("like") else { return nil }
        let pattern = try string()
        guard take("escape") else { return TrinoPattern(pattern) }
        let token = current
        let escape = try string()
        guard escape.count == 1, let character = escape.first else {
            throw TrinoSyntaxError(
                .invalidFunctionArgument, "Escape string must be a single character", at: token.map { location(of: $0) }
            )
        }
        return TrinoPattern(pattern, escape: character)
    }
}

// MARK: Statements of the session

extension StatementParser {
    private mutating func prepare() throws(TrinoSyntaxError) -> TrinoStatement {
        try expect("prepare")
        let name = try nameAsWritten()
        try expect("from")
        guard at < tokens.count else { throw unexpected(nil) }
        if ["prepare", "execute", "deallocate"].contains(text(at)) {
            throw TrinoSyntaxError(
                .notSupported, "Invalid statement type for prepared statement: \(text(at).uppercased())",
                at: location(of: tokens[at]))
        }
        // Errors are told now, where they are.
        var inner = StatementParser(source: source, dialect: dialect, tokens: Array(tokens[at...]))
        _ = try inner.statement()
        return .prepare(name: name, sql: written(at..<tokens.count))
    }

    private mutating func execute() throws(TrinoSyntaxError) -> TrinoStatement {
        try expect("execute")
        // A statement may be called `immediate`; only a string makes it the other form.
        if text(at) == "immediate", at + 1 < tokens.count, tokens[at + 1].kind == .string {
            skip()
            let sql = try string()
            return .executeImmediate(sql: sql, arguments: try arguments())
        }
        let name = try nameAsWritten()
        return .execute(name: name, arguments: try arguments())
    }

    private mutating func arguments() throws(TrinoSyntaxError) -> [String] {
        guard take("using") else {
            try expectEnd()
            return []
        }
        let source = self.source
        let outline = try Outline(tokens, of: source.bytes) { source.location(ofByte: $0) }
        var texts: [String] = []
        for item in outline.split(at..<tokens.count) {
            guard !item.isEmpty else {
                throw unexpected(item.lowerBound < tokens.count ? tokens[item.lowerBound] : nil)
            }
            texts.append(written(item))
        }
        return texts
    }

    private mutating func deallocate() throws(TrinoSyntaxError) -> TrinoStatement {
        try expect("deallocate", "prepare")
        let name = try nameAsWritten()
        try expectEnd()
        return .deallocate(name: name)
    }

    private mutating func set() throws(TrinoSyntaxError) -> TrinoStatement {
        try expect("set")
        if take("time") {
            try expect("zone")
            if take("local") {
                try expectEnd()
                return .resetSession(name: "time_zone_id")
            }
            let zone = try take("interval") ? zoneOfInterval() : string()
            try expectEnd()
            return .setSession(name: "time_zone_id", value: zone)
        }
        guard take("session") else {
            if ["role", "path"].contains(text(at)) {
                throw TrinoSyntaxError(
                    .notSupported, "SET \(text(at).uppercased()) is not supported", at: location(of: tokens[0]))
            }
            throw unexpected(current, expecting: "'SESSION', 'TIME'")
        }
        if text(at) == "authorization" {
            return .refused(TrinoError(.permissionDenied, "Access Denied: Cannot set session authorization"))
        }
        let name = try chain(most: 2).joined(separator: ".")
        guard take("=") || take("to") else { throw unexpected(current, expecting: "'='") }
        let value = try sessionValue()
        try expectEnd()
        return .setSession(name: name, value: value)
    }

    /// `INTERVAL '-2' HOUR`, `INTERVAL '330' MINUTE`, `INTERVAL '5:30' HOUR TO MINUTE` as the offset `-02:00`, `+05:30`.
    private mutating func zoneOfInterval() throws(TrinoSyntaxError) -> String {
        var isNegative = take("-")
        if !isNegative { _ = take("+") }
        let token = current
        let text = try string()
        var parts = text.split(separator: ":", omittingEmptySubsequences: false)
        if parts.first?.first == "-" {
            isNegative.toggle()
            parts[0] = parts[0].dropFirst()
        }
        let numbers = parts.compactMap { Int($0) }
        var minutes = numbers.first ?? 0
        if take("hour") {
            minutes *= 60
            if take("to") {
                try expect("minute")
                minutes += numbers.count == 2 ? numbers[1] : 0
            }
        } else {
            try expect("minute")
        }
        guard numbers.count == parts.count, (1...2).contains(parts.count), (0...840).contains(minutes) else {
            throw TrinoSyntaxError(
                .invalidLiteral, "Invalid offset of a time zone: '\(text)'", at: token.map { location(of: $0) })
        }
        func padded(_ number: Int) -> String { (number < 10 ? "0" : "") + "\(number)" }
        return "\(isNegative ? "-" : "+")\(padded(minutes / 60)):\(padded(minutes % 60))"
    }

    /// A constant: what session properties are set to.
    private mutating func sessionValue() throws(TrinoSyntaxError) -> String {
        let sign = take("-") ? "-" : ""
        guard let token = current else { throw unexpected(nil) }
        switch token.kind {
        case .string where sign.isEmpty: return try string()
        case .integer, .decimal, .double, .word:
            skip()
            return sign + written(token)
        default:
            throw TrinoSyntaxError(
                .invalidSessionProperty, "the value of a session property must be a constant", at: location(of: token))
        }
    }

    private mutating func reset() throws(TrinoSyntaxError) -> TrinoStatement {
        try expect("reset", "session")
        if text(at) == "authorization" {
            return .refused(TrinoError(.permissionDenied, "Access Denied: Cannot set session authorization"))
        }
        let name = try chain(most: 2).joined(separator: ".")
        try expectEnd()
        return .resetSession(name: name)
    }

    private mutating func use() throws(TrinoSyntaxError) -> TrinoStatement {
        try expect("use")
        let names = try chain(most: 2)
        try expectEnd()
        return names.count == 2 ? .use(catalog: names[0], schema: names[1]) : .use(catalog: nil, schema: names[0])
    }

    private mutating func transaction() throws(TrinoSyntaxError) -> TrinoStatement {
        if take("start") {
            try expect("transaction")
            return try startTransaction()
        }
        let statement: TrinoStatement = take("commit") ? .commit : .rollback
        if statement == .rollback { try expect("rollback") }
        _ = take("work")
        try expectEnd()
        return statement
    }

    /// The modes of a transaction: an isolation level and an access mode, each at most once.
    ///
    /// Every statement here reads what is committed when it begins, so that is the level that a transaction has, and those
    /// that promise more are refused. READ WRITE is what drivers ask for by default; it is a write that is refused.
    private mutating func startTransaction() throws(TrinoSyntaxError) -> TrinoStatement {
        var levels: [String] = []
        var accesses = 0
        if current != nil {
            repeat {
                if take("isolation") {
                    try expect("level")
                    levels.append(try isolationLevel())
                } else if take("read") {
                    guard take("only") || take("write") else { throw unexpected(current, expecting: "'ONLY', 'WRITE'") }
                    accesses += 1
                } else {
                    throw unexpected(current, expecting: "'ISOLATION', 'READ'")
                }
            } while take(",")
            try expectEnd()
        }
        for (count, what) in [(levels.count, "isolation levels"), (accesses, "read modes")] where count > 1 {
            throw TrinoSyntaxError(
                .syntaxError, "Multiple transaction \(what) specified", at: location(of: tokens[0]))
        }
        if let level = levels.first, level == "REPEATABLE READ" || level == "SERIALIZABLE" {
            return .refused(
                TrinoError(
                    .unsupportedIsolationLevel,
                    "Connector supported isolation level READ COMMITTED does not meet requested isolation level \(level)"
                ))
        }
        return .startTransaction
    }

    private mutating func isolationLevel() throws(TrinoSyntaxError) -> String {
        if take("serializable") { return "SERIALIZABLE" }
        if take("repeatable") {
            try expect("read")
            return "REPEATABLE READ"
        }
        guard take("read") else { throw unexpected(current, expecting: "'READ', 'REPEATABLE', 'SERIALIZABLE'") }
        if take("committed") { return "READ COMMITTED" }
        guard take("uncommitted") else { throw unexpected(current, expecting: "'COMMITTED', 'UNCOMMITTED'") }
        return "READ UNCOMMITTED"
    }

    private mutating func call() throws(TrinoSyntaxError) -> TrinoStatement {
        try expect("call")
        let start = current
        let procedure = try chain(most: 3)
        let full = [dialect.sessionCatalog, dialect.sessionSchema].prefix(3 - procedure.count) + procedure
        guard full == ["system", "runtime", "kill_query"] else {
            throw TrinoSyntaxError(
                .procedureNotFound, "Procedure not registered: \(procedure.joined(separator: "."))",
                at: start.map { location(of: $0) })
        }
        let parameters = ["query_id", "message"]
        var values: [String: String] = [:]
        try expect("(")
        var place = 0
        while text(at) != ")" {
            if place > 0 { try expect(",") }
            var parameter = place < parameters.count ? parameters[place] : ""
            if text(at + 1) == "=>" {
                parameter = try name()
                skip()
            }
            guard parameters.contains(parameter), values[parameter] == nil else {
                throw TrinoSyntaxError(
                    .invalidProcedureArgument, "Too many or unknown arguments for procedure kill_query",
                    at: start.map { location(of: $0) })
            }
            if take("null") { values[parameter] = "" } else { values[parameter] = try string() }
            place += 1
        }
        try expect(")")
        try expectEnd()
        guard let id = values["query_id"], !id.isEmpty else {
            throw TrinoSyntaxError(
                .invalidProcedureArgument, "Required procedure argument 'QUERY_ID' is missing",
                at: start.map { location(of: $0) })
        }
        return .killQuery(id: id, message: values["message"].flatMap { $0.isEmpty ? nil : $0 })
    }

    private mutating func explain() throws(TrinoSyntaxError) -> TrinoStatement {
        try expect("explain")
        var form = ExplainForm(kind: .distributed, format: .text)
        if take("analyze") {
            form.kind = .analyze
            _ = take("verbose")
        } else if text(at) == "(", ["type", "format"].contains(text(at + 1)) {
            skip()
            repeat { try explainOption(&form) } while take(",")
            try expect(")")
        }
        guard let token = current else { throw unexpected(nil) }
        guard Keywords.queryStarts.contains(token.text) || token.is("(") else {
            var inner = StatementParser(source: source, dialect: dialect, tokens: Array(tokens[at...]))
            guard case .query(let query) = try inner.statement() else {
                throw TrinoSyntaxError(
                    .notSupported, "EXPLAIN of this statement is not supported", at: location(of: token))
            }
            return .explain(form, query.explained(by: form))
        }
        return .explain(form, try query(from: at, prefix: form.prefix, names: []))
    }

    private mutating func explainOption(_ form: inout ExplainForm) throws(TrinoSyntaxError) {
        let option = text(at)
        skip()
        guard let token = current else { throw unexpected(nil) }
        switch (option, token.text) {
        case ("type", "logical"): form.kind = .logical
        case ("type", "distributed"): form.kind = .distributed
        case ("type", "io"): form.kind = .io
        case ("type", "validate"): form.kind = .validate
        case ("format", "text"): form.format = .text
        case ("format", "json"): form.format = .json
        case ("format", "graphviz"): form.format = .graphviz
        default: throw unexpected(token)
        }
        skip()
    }
}

/// Statements that would change something: refused with what Trino says of them.
enum WriteRefusal {
    static func of(_ reader: StatementParser) throws(TrinoSyntaxError) -> TrinoError? {
        let first = reader.text(0)
        let second = reader.text(1)
        func denied(_ what: String, nameAt index: Int?) -> TrinoError {
            let name = index.map { qualified(reader, $0) } ?? ""
            return TrinoError(.permissionDenied, "Access Denied: Cannot \(what)\(name.isEmpty ? "" : " \(name)")")
        }
        switch first {
        case "insert" where second == "into": return denied("insert into table", nameAt: 2)
        case "delete" where second == "from": return denied("delete from table", nameAt: 2)
        case "update": return denied("update columns in table", nameAt: 1)
        case "merge" where second == "into": return denied("merge into table", nameAt: 2)
        case "truncate" where second == "table": return denied("truncate table", nameAt: 2)
        case "analyze": return denied("analyze table", nameAt: 1)
        case "create", "drop", "alter":
            var index = 1
            var words: [String] = []
            while index < reader.tokens.count, objectWords.contains(reader.text(index)) {
                if !["or", "replace", "if", "not", "exists"].contains(reader.text(index)) {
                    words.append(reader.text(index))
                }
                index += 1
            }
            guard !words.isEmpty else { return nil }
            return denied("\(first) \(words.joined(separator: " "))", nameAt: index)
        case "grant", "revoke", "deny": return denied("\(first) privileges", nameAt: nil)
        case "comment" where second == "on": return denied("comment on \(reader.text(2))", nameAt: 3)
        case "refresh" where second == "materialized": return denied("refresh materialized view", nameAt: 3)
        default: return nil
        }
    }

    private static let objectWords: Set<String> = [
        "table", "view", "materialized", "schema", "function", "role", "catalog", "branch", "or", "replace", "if",
        "not",
        "exists",
    ]

    private static func qualified(_ parser: StatementParser, _ index: Int) -> String {
        var reader = parser
        reader.skip(index)
        guard let names = try? reader.chain(most: 3) else { return "" }
        let session = [parser.dialect.sessionCatalog, parser.dialect.sessionSchema]
        return (session.prefix(3 - names.count) + names).joined(separator: ".")
    }
}
