// SPDX-License-Identifier: Apache-2.0

extension Rules {
    static let names: [RewriteRule] = [
        RewriteRule(
            "metadata tables", "the system catalog and Trino's information_schema are views in schemas of ours",
            words: ["system", "information_schema"]
        ) { outline, index, context in metadataChain(outline, index, context) },
        RewriteRule(
            "quoted metadata tables", "the same, quoted", on: [.kind(.quotedName)]
        ) { outline, index, context in metadataChain(outline, index, context) },
        RewriteRule(
            "case of quoted names", "names know no case in Trino, quoted or not", on: [.kind(.quotedName)]
        ) { outline, index, _ in
            let name = outline.value(index)
            let lower = name.lowercased()
            return lower == name ? nil : Rewrite(to: index + 1, [.text(quotedName(lower))])
        },
        RewriteRule(
            "session user", "the session's user is not the role that PostgreSQL knows", words: ["current_user"]
        ) { outline, index, context in
            guard outline.isOperand[index], outline.text(index - 1) != "." else { return nil }
            return Rewrite(to: index + 1, [.text("CAST(\(quoted(context.dialect.user)) AS text)")])
        },
        RewriteRule(
            "session path", "PostgreSQL has a search path of its own", words: ["current_path"]
        ) { outline, index, context in
            guard outline.isOperand[index], outline.text(index - 1) != "." else { return nil }
            return Rewrite(to: index + 1, [.text("CAST(\(quoted(context.dialect.path)) AS text)")])
        },
        RewriteRule(
            "session catalog", "the session's catalog may be `system`", words: ["current_catalog"]
        ) { outline, index, context in
            guard outline.isOperand[index], outline.text(index - 1) != "." else { return nil }
            return Rewrite(to: index + 1, [.text("CAST(\(quoted(context.dialect.sessionCatalog)) AS text)")])
        },
        RewriteRule(
            "session schema", "PostgreSQL answers the first schema of its search path, whose names differ from Trino's",
            words: ["current_schema"]
        ) { outline, index, context in
            guard outline.isOperand[index], outline.text(index - 1) != "." else { return nil }
            return Rewrite(to: index + 1, [.text("CAST(\(quoted(context.dialect.sessionSchema)) AS text)")])
        },
        RewriteRule(
            "words reserved by PostgreSQL only", "`user` would be another value, `desc` or `limit` a syntax error",
            words: Keywords.reservedByPostgres.sorted()
        ) { outline, index, _ in
            guard isPlainName(outline, index) else { return nil }
            return Rewrite(to: index + 1, [.text(quotedName(outline.text(index)))])
        },
    ]

    /// `[catalog.]information_schema.…`, `system.schema.…`.
    static func metadataChain(_ outline: Outline, _ index: Int, _ context: RewriteContext) -> Rewrite? {
        guard outline.isOperand[index], outline.text(index - 1) != "." else { return nil }
        let end = outline.endOfChain(index)
        let names = outline.chain(index..<end)
        guard names.count > 1 else { return nil }
        let isCatalog = names[0] == "system" || names[0] == context.dialect.catalog
        let hasCatalog = isCatalog && names.count > 2 && MetadataSchema.names.contains(names[1])
        let catalog = hasCatalog ? names[0] : context.dialect.sessionCatalog
        let schema = hasCatalog ? names[1] : names[0]
        guard hasCatalog || schema == "information_schema",
            let target = MetadataSchema.postgres(catalog: catalog, schema: schema)
        else { return nil }
        let rest = index + (hasCatalog ? 3 : 1)
        return Rewrite(to: end, [.text(target), .source(rest..<end)])
    }

    /// For sessions in another catalog than ours: `runtime.queries` where it is `system`; where it is none, tables
    /// without a catalog do not exist.
    static let otherCatalog = RewriteRule(
        "tables of another catalog", "a session may have `system` as its catalog, or one that is not there", words: []
    ) { outline, index, context throws(TrinoSyntaxError) in
        guard outline.isOperand[index], outline.clauses[index] == .from, outline.text(index - 1) != "." else {
            return nil
        }
        let end = outline.endOfChain(index)
        let names = outline.chain(index..<end)
        guard names.count < 3, outline.text(end) != "(", outline.text(index - 1) != "as",
            !(names.count == 1 && outline.clauses.contains(.with))
        else { return nil }
        guard context.dialect.sessionCatalog == "system" else {
            throw context.error(
                .catalogNotFound, "Catalog '\(context.dialect.sessionCatalog)' does not exist", at: index, outline)
        }
        guard names.count == 2, let target = MetadataSchema.postgres(catalog: "system", schema: names[0]) else {
            return nil
        }
        return Rewrite(to: end, [.text(target), .source(index + 1..<end)])
    }

    /// Whether a word that PostgreSQL reserves is a name here.
    private static func isPlainName(_ outline: Outline, _ index: Int) -> Bool {
        let previous = outline.text(index - 1)
        let next = outline.text(index + 1)
        if previous == "." { return false }
        guard outline.isOperand[index] else { return false }
        switch outline.text(index) {
        case "array": return next != "[" && next != "(" && next != "<"
        case "any", "some": return next != "("
        case "all":
            // `x < ALL (SELECT …)`
            if next == "(" { return false }
            return !["union", "except", "intersect", "limit", "select", "(", "by"].contains(previous)
                || [",", ")", ".", "from", "="].contains(next)
        case "both", "leading", "trailing": return previous != "("
        case "lateral": return next != "("
        case "only": return previous != "rows" && previous != "row"
        case "fetch": return !["first", "next"].contains(next)
        default: return true
        }
    }
}

/// The schemas whose tables PostgreSQL has not: Trino's information_schema, and those of the catalog `system`.
enum MetadataSchema {
    static let names: Set<String> = ["information_schema", "jdbc", "metadata", "runtime"]

    /// The schema of PostgreSQL that holds the views.
    static func postgres(catalog: String, schema: String) -> String? {
        switch (catalog == "system", schema) {
        case (true, "information_schema"): "trino_system_information_schema"
        case (false, "information_schema"): "trino_information_schema"
        case (true, "jdbc"): "trino_jdbc"
        case (true, "metadata"): "trino_metadata"
        case (true, "runtime"): "trino_runtime"
        default: nil
        }
    }

    /// What Trino calls a schema of PostgreSQL.
    static func trino(_ postgres: String) -> (catalog: String?, schema: String) {
        switch postgres {
        case "trino_information_schema": (nil, "information_schema")
        case "trino_system_information_schema": ("system", "information_schema")
        case "trino_jdbc": ("system", "jdbc")
        case "trino_metadata": ("system", "metadata")
        case "trino_runtime": ("system", "runtime")
        default: (nil, postgres)
        }
    }
}
