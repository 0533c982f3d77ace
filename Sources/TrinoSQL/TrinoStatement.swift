// SPDX-License-Identifier: Apache-2.0

/// What a statement of a Trino or Presto client asks for.
package enum TrinoStatement: Sendable, Equatable {
    /// Rows of PostgreSQL: a query, and most of SHOW and DESCRIBE.
    case query(PostgresQuery)
    /// What EXPLAIN shows; ``ExplainForm/value(_:catalog:)`` makes its one value of the lines that
    /// PostgreSQL answers.
    case explain(ExplainForm, PostgresQuery)
    /// SHOW STATS of a query, which is not run.
    case stats(PostgresQuery)
    /// Keep `sql` under `name`, in the session of the client.
    case prepare(name: String, sql: String)
    /// Run the statement kept under `name`: ``TrinoDialect/parse(_:arguments:)`` with these texts of expressions.
    case execute(name: String, arguments: [String])
    /// The same with a statement that comes along.
    case executeImmediate(sql: String, arguments: [String])
    case deallocate(name: String)
    /// What the parameters of a kept statement are: columns Position, Type.
    case describeInput(name: String)
    /// What the columns of a kept statement are: Column Name, Catalog, Schema, Table, Type, Type Size, Aliased.
    case describeOutput(name: String)
    /// `value` is the text of a string or a number, without quotes. A time zone is the property `time_zone_id`.
    case setSession(name: String, value: String)
    case resetSession(name: String)
    /// Columns Name, Value, Default, Type, Description of the session's properties whose names are like `pattern`.
    case showSession(pattern: TrinoPattern?)
    case use(catalog: String?, schema: String)
    case startTransaction
    case commit
    case rollback
    /// `CALL system.runtime.kill_query`.
    case killQuery(id: String, message: String?)
    /// What this server does not do, such as writing.
    case refused(TrinoError)
}

/// The pattern of a LIKE: `%` any characters, `_` one, and no escape unless one is given.
package struct TrinoPattern: Sendable, Equatable {
    package var text: String
    package var escape: Character?

    package init(_ text: String, escape: Character? = nil) {
        self.text = text
        self.escape = escape
    }

    /// Whether a whole text is like this.
    package func matches(_ text: String) -> Bool {
        var steps: [Step] = []
        var isEscaped = false
        for character in self.text {
            if isEscaped {
                steps.append(.character(character))
                isEscaped = false
            } else if character == escape {
                isEscaped = true
            } else {
                steps.append(character == "%" ? .any : character == "_" ? .one : .character(character))
            }
        }
        // All steps at once: which beginnings of the pattern may have matched what was read so far.
        var reached = [Bool](repeating: false, count: steps.count + 1)
        reached[0] = true
        Self.passAny(steps, &reached)
        for character in text {
            var next = [Bool](repeating: false, count: steps.count + 1)
            for (index, step) in steps.enumerated() where reached[index] {
                switch step {
                case .any: next[index] = true
                case .one: next[index + 1] = true
                case .character(let wanted): if wanted == character { next[index + 1] = true }
                }
            }
            Self.passAny(steps, &next)
            reached = next
        }
        return reached[steps.count]
    }

    private enum Step { case any, one, character(Character) }

    private static func passAny(_ steps: [Step], _ reached: inout [Bool]) {
        for (index, step) in steps.enumerated() where reached[index] {
            if case .any = step { reached[index + 1] = true }
        }
    }
}

/// The forms of EXPLAIN.
package struct ExplainForm: Sendable, Equatable {
    package enum Kind: Sendable, Equatable {
        case logical, distributed, io, validate
        /// `EXPLAIN ANALYZE`: runs the statement.
        case analyze
    }
    package enum Format: Sendable, Equatable { case text, json, graphviz }

    package var kind: Kind
    package var format: Format
}
