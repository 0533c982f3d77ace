// SPDX-License-Identifier: Apache-2.0

/// The SQL of Trino and Presto, translated for a PostgreSQL that has our schema (`sql/`).
///
/// Pure: a value that turns text into a ``TrinoStatement``. What it does not understand goes to PostgreSQL as it is.
package struct TrinoDialect: Sendable {
    /// The name of our one catalog beside `system`: that of the database.
    package var catalog: String
    /// The catalog and schema that names without them mean, in lower case.
    package var sessionCatalog: String
    package var sessionSchema: String
    /// Who asks, for `current_user`.
    package var user: String
    /// Where functions without a schema are looked for, as the client sent it; for `current_path` alone.
    package var path: String
    /// The zone that times without one are in; a name that PostgreSQL knows.
    package var timeZone: String

    /// - Parameters:
    ///   - catalog: The name of the database.
    ///   - sessionCatalog: The header's; `catalog` when there was none.
    ///   - schema: The header's; `market` when there was none.
    package init(
        catalog: String, sessionCatalog: String? = nil, schema: String? = nil, user: String, path: String = "",
        timeZone: String = "UTC"
    ) {
        self.catalog = catalog.lowercased()
        self.sessionCatalog = (sessionCatalog ?? catalog).lowercased()
        self.sessionSchema = (schema ?? "market").lowercased()
        self.user = user
        self.path = path
        self.timeZone = timeZone
    }

    /// What PostgreSQL must be told for names and times to mean what they mean in the session.
    package var settings: [PostgresQuery.Setting] {
        let schema = MetadataSchema.postgres(catalog: sessionCatalog, schema: sessionSchema) ?? sessionSchema
        return [
            // What stands before pg_catalog holds operators alone.
            PostgresQuery.Setting(
                name: "search_path",
                value: "trino_operators, pg_catalog, \(Rules.quotedName(schema)), tapedeck_sql, trino"),
            PostgresQuery.Setting(name: "TimeZone", value: timeZone),
        ]
    }

    /// The longest statement, in bytes (Trino's `query.max-length`).
    package static let statementSizeMax = 1_000_000

    /// What `sql` asks for.
    ///
    /// - Parameter arguments: Texts of expressions, for the `?` of the statement in order. They become part of the text, since
    ///   PostgreSQL would take two `?` for two values even where the same expression must stand twice (GROUP BY).
    package func parse(_ sql: String, arguments: [String]? = nil) throws(TrinoSyntaxError) -> TrinoStatement {
        let typed = Array(sql.utf8)
        guard typed.count <= Self.statementSizeMax else {
            throw TrinoSyntaxError(
                .queryTextTooLarge,
                "Query text length (\(typed.count)) exceeds the maximum length (\(Self.statementSizeMax))")
        }
        let tokens = try Lexer.tokens(of: typed)
        let isPreparing = tokens.first?.is("prepare") ?? false
        guard let arguments else {
            if !isPreparing, let parameter = tokens.first(where: { $0.kind == .parameter }) {
                throw TrinoSyntaxError(
                    .invalidParameterUsage,
                    "Incorrect number of parameters: expected "
                        + "\(tokens.count { $0.kind == .parameter }) but found 0",
                    at: TrinoLocation(ofByte: parameter.range.lowerBound, in: typed))
            }
            return try StatementParser.parse(tokens, StatementSource(typed), self)
        }
        let substituted = try Self.substitute(arguments, tokens, typed)
        let source = StatementSource(typed, substituted: substituted)
        guard source.bytes.count <= Self.statementSizeMax else {
            throw TrinoSyntaxError(
                .queryTextTooLarge,
                "Query text length (\(source.bytes.count)) exceeds the maximum length (\(Self.statementSizeMax))")
        }
        return try StatementParser.parse(try Lexer.tokens(of: source.bytes), source, self)
    }

    /// What `sql` asks for, its `?` left open: in order, they are `$1`, `$2`, … of the statement for PostgreSQL, which tells
    /// their types.
    package func parseOpen(_ sql: String) throws(TrinoSyntaxError) -> TrinoStatement {
        let typed = Array(sql.utf8)
        return try StatementParser.parse(try Lexer.tokens(of: typed), StatementSource(typed), self)
    }

    /// Which of the `?` of `sql`, counted from 0, may be of any type: nothing around them asks for one, where PostgreSQL
    /// says text.
    package func untypedParameters(_ sql: String) throws(TrinoSyntaxError) -> Set<Int> {
        let typed = Array(sql.utf8)
        let tokens = try Lexer.tokens(of: typed)
        let outline = try Outline(tokens, of: typed) { TrinoLocation(ofByte: $0, in: typed) }
        let places = tokens.indices.filter { tokens[$0].kind == .parameter }
        return Set(places.indices.filter { outline.isWholeItem(places[$0]..<places[$0] + 1) })
    }

    /// How many places for arguments `sql` has.
    package func parameterCount(_ sql: String) throws(TrinoSyntaxError) -> Int {
        try Lexer.tokens(of: Array(sql.utf8)).count { $0.kind == .parameter }
    }

    private static func substitute(
        _ arguments: [String], _ tokens: [Token], _ source: [UInt8]
    ) throws(TrinoSyntaxError) -> SourceMappedText {
        let places = tokens.filter { $0.kind == .parameter }
        guard places.count == arguments.count else {
            throw TrinoSyntaxError(
                .invalidParameterUsage,
                "Incorrect number of parameters: expected \(places.count) but found \(arguments.count)",
                at: TrinoLocation(line: 1, column: 1))
        }
        var text = SourceMappedText(capacity: source.count + arguments.reduce(0) { $0 + $1.utf8.count + 2 })
        var start = 0
        for (place, argument) in zip(places, arguments) {
            text.copy(start..<place.range.lowerBound, of: source)
            // An argument must stay one operand: `x - ?` with -1, `? * 2` with 1 + 1.
            let parts = try Lexer.tokens(of: Array(argument.utf8))
            let isPlain = parts.count == 1 || (parts.count == 2 && parts[0].kind == .word && parts[1].kind == .string)
            text.write(isPlain ? " \(argument) " : "(\(argument))", for: place.range.lowerBound)
            start = place.range.upperBound
        }
        text.copy(start..<source.count, of: source)
        return text
    }
}
