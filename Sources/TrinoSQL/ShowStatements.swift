// SPDX-License-Identifier: Apache-2.0
//
// SHOW and DESCRIBE as queries of the metadata views and functions of `sql/`. Each answers the columns that Trino
// names, all text and not NULL where Trino's are not.

extension StatementParser {
    mutating func show() throws(TrinoSyntaxError) -> TrinoStatement {
        try expect("show")
        guard let token = current else { throw unexpected(nil) }
        skip()
        switch token.text {
        case "catalogs": return try showCatalogs()
        case "schemas": return try showSchemas()
        case "tables": return try showTables()
        case "columns": return try showColumns()
        case "functions": return try showFunctions()
        case "session": return .showSession(pattern: try patternAtEnd())
        case "create": return try showCreate()
        case "stats": return try showStats()
        case "roles", "current", "role", "grants", "branches": return try showEmpty(token.text)
        default:
            throw unexpected(
                token,
                expecting: "'CATALOGS', 'COLUMNS', 'CREATE', 'FUNCTIONS', 'SCHEMAS', 'SESSION', 'STATS', 'TABLES'")
        }
    }

    mutating func describe() throws(TrinoSyntaxError) -> TrinoStatement {
        skip()
        if take("input") {
            let name = try nameAsWritten()
            try expectEnd()
            return .describeInput(name: name)
        }
        if take("output") {
            let name = try nameAsWritten()
            try expectEnd()
            return .describeOutput(name: name)
        }
        let table = try tableName()
        try expectEnd()
        return columns(of: table, pattern: nil)
    }

    private mutating func showCatalogs() throws(TrinoSyntaxError) -> TrinoStatement {
        let pattern = try patternAtEnd()
        return query(
            "SELECT catalog_name AS \"Catalog\" FROM trino_metadata.catalogs\(condition([like("catalog_name", pattern)])) ORDER BY 1"
        )
    }

    private mutating func showSchemas() throws(TrinoSyntaxError) -> TrinoStatement {
        let catalog = take("from") || take("in") ? try name() : dialect.sessionCatalog
        let pattern = try patternAtEnd()
        return query(
            "SELECT schema_name AS \"Schema\" FROM \(try informationSchema(catalog)).schemata"
                + condition([like("schema_name", pattern)]) + " ORDER BY 1")
    }

    private mutating func showTables() throws(TrinoSyntaxError) -> TrinoStatement {
        var catalog = dialect.sessionCatalog
        var schema = dialect.sessionSchema
        if take("from") || take("in") {
            let names = try chain(most: 2)
            if names.count == 2 { catalog = names[0] }
            schema = names[names.count - 1]
        }
        let pattern = try patternAtEnd()
        let known = "(SELECT trino_dialect.known_schema(\(Rules.quoted(catalog)), \(Rules.quoted(schema))))"
        return query(
            "SELECT table_name AS \"Table\" FROM \(try informationSchema(catalog)).tables"
                + condition(["table_schema = \(known)", like("table_name", pattern)]) + " ORDER BY 1")
    }

    private mutating func showColumns() throws(TrinoSyntaxError) -> TrinoStatement {
        guard take("from") || take("in") else { throw unexpected(current, expecting: "'FROM', 'IN'") }
        let table = try tableName()
        return columns(of: table, pattern: try patternAtEnd())
    }

    private func columns(of table: TableName, pattern: TrinoPattern?) -> TrinoStatement {
        query(
            "SELECT column_name AS \"Column\", data_type AS \"Type\", extra AS \"Extra\", comment AS \"Comment\""
                + " FROM trino_dialect.columns_of(\(table.arguments))\(condition([like("column_name", pattern)]))"
                + " ORDER BY ordinal_position")
    }

    private mutating func showFunctions() throws(TrinoSyntaxError) -> TrinoStatement {
        if take("from") || take("in") { _ = try chain(most: 2) }
        let pattern = try patternAtEnd()
        return query(
            "SELECT function_name AS \"Function\", return_type AS \"Return Type\", argument_types AS \"Argument Types\","
                + " function_type AS \"Function Type\", deterministic AS \"Deterministic\","
                + " description AS \"Description\" FROM trino_dialect.functions"
                + condition([like("function_name", pattern)]) + " ORDER BY 1, 3")
    }

    private mutating func showCreate() throws(TrinoSyntaxError) -> TrinoStatement {
        var kind = text(at)
        skip()
        if kind == "materialized", take("view") { kind = "materialized view" }
        switch kind {
        case "table", "view", "materialized view":
            let table = try tableName()
            try expectEnd()
            let title = kind.split(separator: " ").map { $0.prefix(1).uppercased() + $0.dropFirst() }.joined(
                separator: " ")
            return query(
                "SELECT trino_dialect.create_text(\(Rules.quoted(kind)), \(table.arguments)) AS \"Create \(title)\"")
        case "schema":
            let names = try chain(most: 2)
            try expectEnd()
            let catalog = names.count == 2 ? names[0] : dialect.sessionCatalog
            let schema = names[names.count - 1]
            return query(
                "SELECT 'CREATE SCHEMA ' || quote_ident(\(Rules.quoted(catalog))) || '.' || quote_ident("
                    + "trino_dialect.known_schema(\(Rules.quoted(catalog)), \(Rules.quoted(schema)))) AS \"Create Schema\""
            )
        default:
            throw unexpected(at - 1 < tokens.count ? tokens[at - 1] : nil, expecting: "'SCHEMA', 'TABLE', 'VIEW'")
        }
    }

    private mutating func showStats() throws(TrinoSyntaxError) -> TrinoStatement {
        try expect("for")
        if text(at) == "(" { return .stats(try query(from: at)) }
        let table = try tableName()
        try expectEnd()
        return query("SELECT * FROM trino_dialect.stats_of(\(table.arguments))")
    }

    /// What exists in Trino and has nothing to show here.
    private mutating func showEmpty(_ word: String) throws(TrinoSyntaxError) -> TrinoStatement {
        let column = word == "grants" ? "Grantee" : word == "branches" ? "Branch" : "Role"
        while current != nil { skip() }
        return query("SELECT NULL::text AS \"\(column)\" WHERE false")
    }
}

// MARK: Parts

extension StatementParser {
    struct TableName {
        var catalog: String
        var schema: String
        var table: String

        var arguments: String { [catalog, schema, table].map { Rules.quoted($0) }.joined(separator: ", ") }
    }

    mutating func tableName() throws(TrinoSyntaxError) -> TableName {
        let names = try chain(most: 3)
        return TableName(
            catalog: names.count == 3 ? names[0] : dialect.sessionCatalog,
            schema: names.count > 1 ? names[names.count - 2] : dialect.sessionSchema,
            table: names[names.count - 1])
    }

    private mutating func patternAtEnd() throws(TrinoSyntaxError) -> TrinoPattern? {
        let pattern = try pattern()
        try expectEnd()
        return pattern
    }

    /// The schema of the views that describe a catalog.
    private func informationSchema(_ catalog: String) throws(TrinoSyntaxError) -> String {
        guard catalog == dialect.catalog || catalog == "system" else {
            throw TrinoSyntaxError(
                .catalogNotFound, "Catalog '\(catalog)' does not exist", at: TrinoLocation(line: 1, column: 1))
        }
        return catalog == "system" ? "trino_system_information_schema" : "trino_information_schema"
    }

    private func like(_ column: String, _ pattern: TrinoPattern?) -> String? {
        pattern.map { pattern in
            "\(column) LIKE \(Rules.quoted(pattern.text)) ESCAPE \(Rules.quoted(pattern.escape.map { String($0) } ?? ""))"
        }
    }

    private func condition(_ parts: [String?]) -> String {
        let parts = parts.compactMap { $0 }
        return parts.isEmpty ? "" : " WHERE " + parts.joined(separator: " AND ")
    }
}
