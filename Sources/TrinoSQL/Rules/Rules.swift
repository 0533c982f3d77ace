// SPDX-License-Identifier: Apache-2.0

/// All rules. To add one: write it in one of these files, with its reason; add it to the list there; add an example to
/// `docs/dialect.md`, which the tests run.
enum Rules {
    static let all: [RewriteRule] = literals + names + types + clauses + expressions + calls

    /// The rules by what they are asked about, in the order of ``all``.
    static let byTrigger: [RewriteRule.Trigger: [RewriteRule]] = {
        var table: [RewriteRule.Trigger: [RewriteRule]] = [:]
        for rule in all {
            for trigger in rule.triggers { table[trigger, default: []].append(rule) }
        }
        return table
    }()

    /// A string literal of PostgreSQL.
    static func quoted(_ text: String) -> String {
        "'" + text.split(separator: "'", omittingEmptySubsequences: false).joined(separator: "''") + "'"
    }

    /// A name of PostgreSQL.
    static func quotedName(_ name: String) -> String {
        "\"" + name.split(separator: "\"", omittingEmptySubsequences: false).joined(separator: "\"\"") + "\""
    }
}
