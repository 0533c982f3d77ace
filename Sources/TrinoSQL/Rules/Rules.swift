// SPDX-License-Identifier: Apache-2.0

/// All rules. To add one: write it in one of these files, with its reason; add it to the list there; add an example to
/// `docs/dialect.md`, which the tests run.
enum Rules {
    static let all: [RewriteRule] =
        literals + names + types + clauses + expressions + json + clocks + windows + typedMaps + zoned + calls

    /// The rules that are asked about a text, in the order of ``all``.
    static let byText: [String: [RewriteRule]] = {
        var table: [String: [RewriteRule]] = [:]
        for rule in all {
            for case .text(let text) in rule.triggers { table[text, default: []].append(rule) }
        }
        return table
    }()

    /// The rules that are asked about a kind, in the order of ``all``.
    static let byKind: [Token.Kind: [RewriteRule]] = {
        var table: [Token.Kind: [RewriteRule]] = [:]
        for rule in all {
            for case .kind(let kind) in rule.triggers { table[kind, default: []].append(rule) }
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
