// SPDX-License-Identifier: Apache-2.0

/// Words that mean something, in lower case.
enum Keywords {
    /// What cannot be a name in Trino unless it is quoted (its grammar's reserved words).
    static let reserved: Set<String> = [
        "alter", "and", "as", "between", "by", "case", "cast", "constraint", "create", "cross", "cube",
        "current_catalog", "current_date", "current_path", "current_role", "current_schema", "current_time",
        "current_timestamp", "current_user", "deallocate", "delete", "describe", "distinct", "drop", "else", "end",
        "escape", "except", "execute", "exists", "extract", "false", "for", "from", "full", "group", "grouping",
        "having", "in", "inner", "insert", "intersect", "into", "is", "join", "left", "like", "localtime",
        "localtimestamp", "natural", "normalize", "not", "null", "on", "or", "order", "outer", "prepare", "recursive",
        "right", "rollup", "select", "skip", "table", "then", "trim", "true", "uescape", "union", "using", "values",
        "when", "where", "with",
    ]

    /// Reserved words behind which an operand, a table or a name must stand.
    static let beforeOperand: Set<String> = [
        "and", "as", "between", "by", "case", "cross", "distinct", "else", "escape", "except", "exists", "from", "full",
        "group", "having", "in", "inner", "intersect", "into", "is", "join", "left", "like", "natural", "not", "on",
        "or", "order", "outer", "recursive", "right", "select", "then", "uescape", "union", "using", "values", "when",
        "where", "with",
    ]

    /// Words that are names where a value is expected, and stand before a value elsewhere.
    static let infix: Set<String> = ["limit", "offset", "ilike", "similar", "zone", "rows", "range", "groups"]

    /// What a query begins with.
    static let queryStarts: Set<String> = ["select", "values", "with", "table"]

    /// What may follow a query in brackets that is part of a larger one.
    static let afterQuery: Set<String> = [")", "union", "except", "intersect", "order", "limit", "offset", "fetch"]

    /// Names in Trino that PostgreSQL 15 wants quoted.
    static let reservedByPostgres: Set<String> = [
        "all", "analyse", "analyze", "any", "array", "asc", "asymmetric", "authorization", "binary", "both", "check",
        "collate", "collation", "column", "concurrently", "default", "deferrable", "desc", "do", "fetch", "foreign",
        "freeze", "grant", "ilike", "initially", "isnull", "lateral", "leading", "limit", "notnull", "offset", "only",
        "overlaps", "placing", "primary", "references", "returning", "session_user", "similar", "some", "symmetric",
        "tablesample", "to", "trailing", "unique", "user", "variadic", "verbose", "window",
    ]

    /// What may follow a table without being its alias, beside the reserved words.
    static let notAlias: Set<String> = ["limit", "offset", "fetch", "window", "tablesample", "match_recognize"]

    /// What a word may be, in one look.
    struct Roles: OptionSet, Sendable {
        let rawValue: UInt8
        static let reserved = Roles(rawValue: 1)
        static let beforeOperand = Roles(rawValue: 2)
        static let infix = Roles(rawValue: 4)
        /// It may begin a clause.
        static let clause = Roles(rawValue: 8)
    }

    /// The roles of words; a word that is not here is a name.
    static let roles: [String: Roles] = {
        var roles: [String: Roles] = [:]
        for (words, role) in [
            (reserved, Roles.reserved), (beforeOperand, .beforeOperand), (infix, .infix), (clauses, .clause),
        ] {
            for word in words { roles[word, default: []].insert(role) }
        }
        return roles
    }()

    private static let clauses: Set<String> = [
        "select", "with", "values", "from", "on", "join", "cross", "natural", "inner", "left", "right", "full", "where",
        "group", "having", "order", "window", "limit", "offset", "fetch", "union", "except", "intersect",
    ]
}
