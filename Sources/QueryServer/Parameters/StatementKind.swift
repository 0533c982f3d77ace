// SPDX-License-Identifier: Apache-2.0
// What sort of statement a text is, by its first word: enough to know what it can leave behind.

/// The sort of a statement. PostgreSQL has the last word on what runs; this one comes before it, so that what could only
/// trouble the next user of a session is never sent.
enum StatementKind: Equatable, Sendable {
    /// Gives rows and leaves nothing in the session: SELECT, VALUES, TABLE, WITH, SHOW, EXPLAIN.
    case rows
    /// Is about the session or the transaction, neither of which outlives the request, or is a way around the result:
    /// SET, PREPARE, DECLARE, BEGIN, COPY, DO, …
    case session(String)
    /// Anything else: PostgreSQL says what is wrong with it.
    case other

    init(_ sql: String) {
        let word = Self.firstWord(sql.utf8)
        switch word {
        case "select", "values", "table", "with", "show", "explain": self = .rows
        default: self = Self.sessionWords.contains(word) ? .session(word.uppercased()) : .other
        }
    }

    /// First words of the statements of PostgreSQL 15 that change session, transaction or server state without writing
    /// to a table (docs, Reference I).
    private static let sessionWords: Set<String> = [
        "abort", "analyze", "begin", "call", "checkpoint", "close", "cluster", "commit", "copy", "deallocate",
        "declare",
        "discard", "do", "end", "execute", "fetch", "listen", "load", "lock", "move", "notify", "prepare", "reassign",
        "reindex", "release", "reset", "rollback", "savepoint", "security", "set", "start", "unlisten", "vacuum",
    ]

    /// The first word in lower case, behind blanks, comments (nested ones too), parentheses and empty statements; empty
    /// if there is none.
    private static func firstWord(_ text: String.UTF8View) -> String {
        var bytes = text[...]
        while let byte = bytes.first {
            if byte <= 0x20 || byte == UInt8(ascii: "(") || byte == UInt8(ascii: ";") {
                bytes = bytes.dropFirst()
            } else if bytes.starts(with: "--".utf8) {
                bytes = bytes.drop { $0 != 0x0A && $0 != 0x0D }
            } else if bytes.starts(with: "/*".utf8) {
                bytes = afterComment(bytes)
            } else {
                break
            }
        }
        let word = bytes.prefix { $0 | 0x20 >= UInt8(ascii: "a") && $0 | 0x20 <= UInt8(ascii: "z") || $0 == 0x5F }
        return Substring(word).lowercased()
    }

    private static func afterComment(_ text: Substring.UTF8View) -> Substring.UTF8View {
        var bytes = text
        var depth = 0
        repeat {
            if bytes.starts(with: "/*".utf8) {
                depth += 1
                bytes = bytes.dropFirst(2)
            } else if bytes.starts(with: "*/".utf8) {
                depth -= 1
                bytes = bytes.dropFirst(2)
            } else {
                bytes = bytes.dropFirst()
            }
        } while depth > 0 && !bytes.isEmpty
        return bytes
    }
}
