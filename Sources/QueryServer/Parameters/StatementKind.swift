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
        word(afterBlanks(text[...], and: "(;"))
    }

    /// The word that a text begins with, in lower case; empty if it begins otherwise.
    private static func word(_ text: Substring.UTF8View) -> String {
        let word = text.prefix { $0 | 0x20 >= UInt8(ascii: "a") && $0 | 0x20 <= UInt8(ascii: "z") || $0 == 0x5F }
        return Substring(word).lowercased()
    }

    /// What stands behind blanks, comments and these characters.
    private static func afterBlanks(_ text: Substring.UTF8View, and others: String = "") -> Substring.UTF8View {
        var bytes = text
        while let byte = bytes.first {
            if byte <= 0x20 || others.utf8.contains(byte) {
                bytes = bytes.dropFirst()
            } else if bytes.starts(with: "--".utf8) {
                bytes = bytes.drop { $0 != 0x0A && $0 != 0x0D }
            } else if bytes.starts(with: "/*".utf8) {
                bytes = afterComment(bytes)
            } else {
                break
            }
        }
        return bytes
    }

    /// What a statement runs: itself, but of `EXPLAIN ANALYZE x` and `EXPLAIN (ANALYZE, …) x` it is `x`. Nil of an EXPLAIN
    /// that runs nothing.
    static func run(by sql: String) -> Substring? {
        let start = afterBlanks(sql.utf8[...], and: "(;")
        guard word(start) == "explain" else { return sql[...] }
        var rest = afterBlanks(start.dropFirst("explain".utf8.count))
        var runs = false
        if rest.first == UInt8(ascii: "(") {
            (runs, rest) = options(rest.dropFirst())
        } else {
            while case let word = word(rest), ["analyze", "analyse", "verbose"].contains(word) {
                runs = runs || word != "verbose"
                rest = afterBlanks(rest.dropFirst(word.utf8.count))
            }
        }
        return runs ? Substring(rest) : nil
    }

    /// Whether the options of an EXPLAIN, behind their bracket, may have it run the statement, and what follows them. A name
    /// in quotes may be any option.
    private static func options(_ text: Substring.UTF8View) -> (mayRun: Bool, rest: Substring.UTF8View) {
        var mayRun = false
        var rest = afterBlanks(text)
        while let byte = rest.first, byte != UInt8(ascii: ")") {
            let word = word(rest)
            if word.hasPrefix("analy") && !isTurnedOff(rest.dropFirst(word.utf8.count)) || byte == UInt8(ascii: "\"") {
                mayRun = true
            }
            if byte == UInt8(ascii: "\"") || byte == UInt8(ascii: "'") {
                rest = rest.dropFirst().drop { $0 != byte }.dropFirst()
            } else {
                rest = rest.dropFirst(max(1, word.utf8.count))
            }
            rest = afterBlanks(rest)
        }
        return (mayRun, rest.dropFirst())
    }

    /// Whether an option's value, behind its name, is `false`, `off` or `0`. What it is in quotes is not looked at.
    private static func isTurnedOff(_ text: Substring.UTF8View) -> Bool {
        let value = afterBlanks(text)
        let length: Int
        switch word(value) {
        case "false", "off": length = word(value).utf8.count
        case "" where value.first == UInt8(ascii: "0"): length = 1
        default: return false
        }
        let end = afterBlanks(value.dropFirst(length)).first
        return end == UInt8(ascii: ",") || end == UInt8(ascii: ")")
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
