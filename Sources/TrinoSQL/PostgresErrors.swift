// SPDX-License-Identifier: Apache-2.0

/// What PostgreSQL said, of which an error for a Trino client is made.
package struct PostgresComplaint: Sendable, Equatable {
    /// The five characters of PostgreSQL 15 docs, appendix A; nil when the server was not the one to complain.
    package var sqlState: String?
    package var message: String
    /// In the text that was sent, in characters from 1.
    package var position: Int?

    package init(sqlState: String?, message: String, position: Int? = nil) {
        self.sqlState = sqlState
        self.message = message
        self.position = position
    }
}

extension TrinoDialect {
    /// An error of PostgreSQL as Trino would say it, with the place in what the user typed.
    ///
    /// - Parameter query: What was sent; nil when the error has nothing to do with a statement.
    package func error(_ complaint: PostgresComplaint, in query: PostgresQuery?) -> TrinoError {
        ErrorTranslation(self, complaint, query).error()
    }
}

private struct ErrorTranslation {
    private let dialect: TrinoDialect
    private let complaint: PostgresComplaint
    private let query: PostgresQuery?
    private let message: String
    private let state: String
    private let location: TrinoLocation?

    init(_ dialect: TrinoDialect, _ complaint: PostgresComplaint, _ query: PostgresQuery?) {
        self.dialect = dialect
        self.complaint = complaint
        self.query = query
        message = complaint.message
        state = complaint.sqlState ?? ""
        location = complaint.position.flatMap { query?.location(ofPosition: $0) }
    }

    func error() -> TrinoError {
        switch state {
        case "42P01": missingTable()
        case "3F000":
            TrinoError(.schemaNotFound, "Schema '\(quoted.first ?? "")' does not exist", at: place)
        case "0A000": unsupported()
        case "42703": TrinoError(.columnNotFound, "Column '\(name)' cannot be resolved", at: location)
        case "42702": TrinoError(.ambiguousName, "Column '\(name)' is ambiguous", at: location)
        case "42883": missingFunction()
        // What could be a call of several functions has arguments of no type: of none of them.
        case "42725": missingFunction()
        case "42803": grouping()
        case "42P20": window()
        case "42601": syntax()
        case "42704": missingObject()
        case "42P10": reference()
        case "42809": wrongFunction()
        case "42804", "42846", "42P18", "42P21", "42P22": mismatch()
        case "22012": TrinoError(.divisionByZero, "Division by zero")
        case "22008" where message.contains(": \"\(Self.dateParse)"): unreadableDay()
        case "22P02", "22007", "22008", "22P03", "22021": TrinoError(.invalidCastArgument, cast, at: location)
        case "22003" where message.hasPrefix("percentile value"):
            TrinoError(.invalidFunctionArgument, "Percentile must be between 0 and 1", at: location)
        case "22003": TrinoError(.numericValueOutOfRange, TypeNames.inMessage(message))
        case "21000": TrinoError(.subqueryMultipleRows, "Scalar sub-query has returned multiple rows", at: location)
        case "42501": TrinoError(.permissionDenied, "Access Denied: \(denied)")
        case "25006": TrinoError(.readOnlyViolation, "Access Denied: this server is read-only: \(message)")
        case "57014":
            message.contains("timeout")
                ? TrinoError(.exceededTimeLimit, "Query exceeded the maximum execution time limit")
                : TrinoError(.userCanceled, "Query was canceled")
        case "42712" where message.hasPrefix("WITH query name "):
            TrinoError(.duplicateNamedQuery, "WITH query name '\(name)' specified more than once", at: location)
        case "42712", "42701": TrinoError(.duplicateColumnName, message, at: location)
        case "42P02": TrinoError(.invalidParameterUsage, message, at: location)
        case "2201W", "2201X": TrinoError(.invalidLimitClause, message, at: location)
        default: byClass()
        }
    }

    private func byClass() -> TrinoError {
        switch state.prefix(2) {
        case "22", "2B", "2F", "38", "39": TrinoError(.invalidFunctionArgument, message, at: location)
        case "42", "54", "P0": TrinoError(.genericUserError, message, at: location)
        case "53": TrinoError(.genericInsufficientResources, message)
        case "57": TrinoError(.serverShuttingDown, message)
        default: TrinoError(.genericInternalError, message)
        }
    }

    // MARK: Names

    /// The place, or the start of the statement, where Trino puts what concerns it as a whole.
    private var place: TrinoLocation { location ?? TrinoLocation(line: 1, column: 1) }

    /// The names in the source that the position points at, in lower case.
    private var chain: [String] {
        guard let position = complaint.position, let query else { return [] }
        let byte = query.sourceByte(ofPosition: position)
        let source = query.source
        guard let tokens = try? Lexer.tokens(of: source.bytes),
            let outline = try? Outline(tokens, of: source.bytes, at: { source.location(ofByte: $0) }),
            var start = tokens.firstIndex(where: { $0.range.contains(byte) }), tokens[start].isName
        else { return [] }
        while outline.text(start - 1) == ".", outline.isName(start - 2) { start -= 2 }
        return outline.chain(start..<outline.endOfChain(start))
    }

    /// What stands in double quotes in the message.
    private var quoted: [String] {
        message.split(separator: "\"", omittingEmptySubsequences: false).enumerated()
            .compactMap { $0.offset % 2 == 1 ? String($0.element) : nil }
    }

    /// The column the message is about: as it was typed, or as PostgreSQL calls it.
    private var name: String {
        let typed = chain
        if !typed.isEmpty { return typed.joined(separator: ".") }
        return quoted.first ?? String(message.split(separator: " ").dropFirst().first ?? "")
    }

    /// A table's full name as Trino shows it.
    private func qualified(_ names: [String]) -> String {
        var names = names
        if let schema = names.dropLast().last {
            let known = MetadataSchema.trino(schema)
            names[names.count - 2] = known.schema
            if names.count == 2, let catalog = known.catalog { names.insert(catalog, at: 0) }
        }
        let session = [dialect.sessionCatalog, dialect.sessionSchema]
        return (session.prefix(max(0, 3 - names.count)) + names).joined(separator: ".")
    }

    // MARK: Kinds

    private func missingTable() -> TrinoError {
        if message.contains("FROM-clause entry") {
            return TrinoError(.columnNotFound, "Column '\(name)' cannot be resolved", at: location)
        }
        let names = chain
        let table = names.isEmpty ? (quoted.first ?? "").split(separator: ".").map { String($0) } : names
        return TrinoError(.tableNotFound, "Table '\(qualified(table))' does not exist", at: place)
    }

    private func unsupported() -> TrinoError {
        guard message.hasPrefix("cross-database references") else {
            // What SHOW CREATE says of the wrong kind of relation is about the whole statement.
            return TrinoError(.notSupported, message, at: message.hasPrefix("Relation '") ? place : location)
        }
        let catalog = chain.first ?? (quoted.first ?? "").split(separator: ".").first.map { String($0) } ?? ""
        return TrinoError(.catalogNotFound, "Catalog '\(catalog)' does not exist", at: place)
    }

    private func missingFunction() -> TrinoError {
        for prefix in ["operator does not exist: ", "operator is not unique: "] where message.hasPrefix(prefix) {
            var words = TypeNames.inMessage(String(message.dropFirst(prefix.count))).split(separator: " ")
            for index in words.indices {
                if let word = Self.operators[String(words[index])] { words[index] = word }
            }
            return TrinoError(.typeMismatch, "Cannot apply operator: \(words.joined(separator: " "))", at: location)
        }
        if message.hasPrefix("could not identify ") {
            return TrinoError(.typeMismatch, TypeNames.inMessage(message), at: location)
        }
        if message.contains("like_escape(") {
            return TrinoError(.typeMismatch, "LIKE takes a varchar and a pattern of varchar", at: location)
        }
        let call = message.dropFirst("function ".count).prefix { $0 != "(" }
        let function = call.split(separator: ".").last.map { String($0) } ?? String(call)
        // Casts that PostgreSQL has are functions where Trino's differ.
        if call.hasPrefix("trino_dialect.to_"), let type = TypeNames.casts[String(function.dropFirst(3))] {
            let source = TypeNames.inMessage(
                String(message.dropFirst("function ".count + call.count + 1).prefix { $0 != ")" && $0 != "," }))
            return TrinoError(.typeMismatch, "Cannot cast \(source) to \(type)", at: location)
        }
        guard
            call.hasPrefix("trino")
                || message.contains("(")
                    && (FunctionNames.renamed[function] != nil || FunctionNames.same.contains(function))
        else {
            return TrinoError(.functionNotFound, "Function '\(function)' not registered", at: location)
        }
        let types = message.dropFirst("function ".count + call.count + 1).prefix { $0 != ")" }
        return TrinoError(
            .functionNotFound, "Unexpected parameters (\(TypeNames.inMessage(String(types)))) for function \(function)",
            at: location)
    }

    /// Operators of PostgreSQL that stand for words.
    private static let operators: [String: Substring] = ["~~": "LIKE", "!~~": "NOT LIKE", "~~*": "ILIKE"]

    private func grouping() -> TrinoError {
        if message.contains("cannot be nested") {
            return TrinoError(.nestedAggregation, "Cannot nest aggregations inside aggregation", at: location)
        }
        if message.contains("must appear in the GROUP BY clause") {
            return TrinoError(
                .expressionNotAggregate, "'\(name)' must be an aggregate expression or appear in GROUP BY clause",
                at: location)
        }
        return TrinoError(.expressionNotScalar, message, at: location)
    }

    private func syntax() -> TrinoError {
        if message.contains("must have the same number of columns") {
            let operation = message.split(separator: " ").dropFirst().first ?? "UNION"
            return TrinoError(.typeMismatch, "\(operation) query has different number of fields", at: location)
        }
        if message == "syntax error at end of input" {
            return TrinoError(.syntaxError, "mismatched input '<EOF>'", at: location)
        }
        if message.hasPrefix("syntax error at or near"), let input = quoted.first {
            return TrinoError(.syntaxError, "mismatched input '\(input)'", at: location)
        }
        return TrinoError(.syntaxError, message, at: location)
    }

    private func missingObject() -> TrinoError {
        let name = quoted.first ?? ""
        if message.hasPrefix("type ") { return TrinoError(.typeNotFound, "Unknown type: \(name)", at: location) }
        return message.hasPrefix("window ")
            ? TrinoError(.invalidWindowReference, "Cannot resolve WINDOW name \(name)", at: location)
            : TrinoError(.notFound, message, at: location)
    }

    private func window() -> TrinoError {
        let code: TrinoErrorCode =
            message.contains("nested") ? .nestedWindow
            : message.contains("ORDER BY") ? .missingOrderBy
            : message.hasPrefix("frame ") ? .invalidWindowFrame : .expressionNotScalar
        return TrinoError(code, message, at: location)
    }

    /// A function that is no window or aggregate function, or is one and has no OVER.
    private func wrongFunction() -> TrinoError {
        if message.hasSuffix("requires an OVER clause") {
            return TrinoError(.missingOver, message.prefix(1).uppercased() + message.dropFirst(), at: location)
        }
        if message.contains("is not a window function") { return TrinoError(.functionNotWindow, message, at: location) }
        return message.contains("is not an aggregate function")
            ? TrinoError(.functionNotAggregate, message, at: location) : mismatch()
    }

    private func reference() -> TrinoError {
        message.contains("DISTINCT")
            ? TrinoError(
                .expressionNotInDistinct, "For SELECT DISTINCT, ORDER BY expressions must appear in select list",
                at: location)
            : TrinoError(.invalidColumnReference, message, at: location)
    }

    private func mismatch() -> TrinoError {
        let text = TypeNames.inMessage(message)
        guard message.hasPrefix("cannot cast type ") else { return TrinoError(.typeMismatch, text, at: location) }
        return TrinoError(.typeMismatch, "Cannot cast " + text.dropFirst("cannot cast type ".count), at: location)
    }

    /// `invalid input syntax for type bigint: "x"` as `Cannot cast 'x' to bigint`.
    private var cast: String {
        let prefix = "invalid input syntax for type "
        guard message.hasPrefix(prefix), let value = quoted.first else { return TypeNames.inMessage(message) }
        let type = TypeNames.inMessage(String(message.dropFirst(prefix.count).prefix { $0 != ":" }))
        return ["date", "time", "timestamp"].contains { type.hasPrefix($0) }
            ? "Value cannot be cast to \(type): \(value)" : "Cannot cast '\(value)' to \(type)"
    }

    /// What stands before the text of date_parse and parse_datetime, whose error this is then
    /// (`trino_dialect.reader_of`).
    private static let dateParse = "date_parse "

    private func unreadableDay() -> TrinoError {
        // A year may have been put between that and the text.
        let text = (quoted.first ?? "").dropFirst(Self.dateParse.utf8.count)
        return TrinoError(
            .invalidFunctionArgument, "Cannot parse \"\(text)\": the month has no such day", at: location)
    }

    private var denied: String {
        let prefix = "permission denied for "
        guard message.hasPrefix(prefix) else { return message }
        let words = message.dropFirst(prefix.count).split(separator: " ")
        switch words.first {
        case "table", "view", "relation": return "Cannot select from table \(words.last ?? "")"
        case "schema": return "Cannot access schema \(words.last ?? "")"
        case "function": return "Cannot execute function \(words.last ?? "")"
        default: return message
        }
    }
}

/// Names of types in messages of PostgreSQL.
enum TypeNames {
    /// The message with Trino's names of types.
    static func inMessage(_ message: String) -> String {
        var words = message.split(separator: " ", omittingEmptySubsequences: false).map { String($0) }
        var index = 0
        while index < words.count {
            for (postgres, trino) in names where index + postgres.count <= words.count {
                let found = words[index..<(index + postgres.count)]
                let last = found.last ?? ""
                let tail = String(last.reversed().prefix { $0 == "," || $0 == ":" || $0 == ")" }.reversed())
                guard found.dropLast() + [String(last.dropLast(tail.count))] == postgres[...] else { continue }
                words.replaceSubrange(index..<(index + postgres.count), with: [trino + tail])
                break
            }
            index += 1
        }
        return words.joined(separator: " ")
    }

    /// What functions of `trino_dialect` called `to_…` cast to.
    static let casts = [
        "bigint": "bigint", "integer": "integer", "smallint": "smallint", "tinyint": "tinyint", "double": "double",
        "real": "real", "decimal": "decimal", "boolean": "boolean", "date": "date",
        "time": "time(6)", "timetz": "time(6) with time zone", "timestamp": "timestamp(6)",
        "timestamptz": "timestamp(6) with time zone", "json": "json", "varchar": "varchar", "array": "array",
    ]

    /// Longer names first.
    private static let names: [([String], String)] = [
        (["timestamp", "without", "time", "zone"], "timestamp(6)"),
        (["timestamp", "with", "time", "zone"], "timestamp(6) with time zone"),
        (["time", "without", "time", "zone"], "time(6)"), (["time", "with", "time", "zone"], "time(6) with time zone"),
        (["double", "precision"], "double"), (["character", "varying"], "varchar"), (["text"], "varchar"),
        (["unknown"], "varchar"), (["numeric"], "decimal"), (["jsonb"], "json"), (["bytea"], "varbinary"),
        (["interval"], "interval day to second"),
    ]
}
