// SPDX-License-Identifier: Apache-2.0
// What Tab offers.

/// The names that may stand in a statement, as the server's catalogue has them.
struct Completion: Equatable {
    /// Relations by name, as they may be written, with the columns of each.
    var relations: [String: [String]] = [:]
    var functions: [String] = []
    var keywords: [String] = []
    static let commands = ["\\?", "\\d", "\\dt", "\\format", "\\i", "\\o", "\\q", "\\timing", "\\x"]
    static let formats = ["table", "csv", "json", "ndjson"]

    /// What asks the server for the names: kind, name, column.
    static let query = """
        select 'relation', case when n.nspname = 'market' then '' else n.nspname || '.' end || c.relname, a.attname::text
        from pg_class c join pg_namespace n on n.oid = c.relnamespace join pg_attribute a on a.attrelid = c.oid
        where n.nspname in ('market', 'ops') and c.relkind in ('r', 'v', 'm', 'p') and not c.relispartition
            and a.attnum > 0 and not a.attisdropped and has_table_privilege(c.oid, 'select')
        union all select distinct 'function', p.proname::text, '' from pg_proc p join pg_namespace n
            on n.oid = p.pronamespace where n.nspname like 'tapedeck\\_%' and n.nspname <> 'tapedeck_guard'
        union all select distinct 'function', p.proname::text, '' from pg_proc p
            where p.pronamespace = 'pg_catalog'::regnamespace and p.prokind in ('a', 'w')
        union all select 'keyword', word, '' from pg_get_keywords()
        """

    /// Takes a row of ``query``.
    mutating func add(kind: String, name: String, column: String) {
        switch kind {
        case "relation": relations[name, default: []].append(column)
        case "function": functions.append(name)
        default: keywords.append(name)
        }
    }

    /// What may stand at the end of `text`, each with the part of it that is typed already; sorted.
    func candidates(for text: String) -> (typed: String, words: [String]) {
        let bytes = Array(text.utf8)
        if let first = bytes.first(where: { $0 > 0x20 }), first == UInt8(ascii: "\\") { return command(text) }
        var start = bytes.count
        while start > 0, StatementSplitter.isWord(bytes[start - 1]) || bytes[start - 1] == UInt8(ascii: ".") {
            start -= 1
        }
        let typed = String(decoding: bytes[start...], as: UTF8.self)
        let before = Self.words(String(decoding: bytes[..<start], as: UTF8.self))
        let lowered = typed.lowercased()
        if let dot = lowered.lastIndex(of: "."), let columns = columns(of: String(lowered[..<dot]), in: before) {
            let prefix = String(typed[...dot])
            return (typed, Self.matching(lowered, columns.map { prefix + $0 }))
        }
        if ["from", "join", "table", "describe", "desc"].contains(before.last ?? "") {
            return (typed, Self.matching(lowered, Array(relations.keys)))
        }
        if typed.isEmpty { return (typed, []) }
        // The columns of what the statement names, or of everything while it names nothing yet.
        let named = before.compactMap { relations[$0] }
        let columns = Set((named.isEmpty ? Array(relations.values) : named).joined())
        let isUpper = typed.contains { $0.isUppercase } && !typed.contains { $0.isLowercase }
        let words =
            Array(columns) + functions + relations.keys + (isUpper ? keywords.map { $0.uppercased() } : keywords)
        return (typed, Self.matching(lowered, words))
    }

    private func command(_ text: String) -> (String, [String]) {
        let words = text.split(separator: " ", omittingEmptySubsequences: false).map(String.init)
        let typed = words.last ?? ""
        if words.count == 1 { return (typed, Self.matching(typed, Self.commands)) }
        switch words[0] {
        case "\\d": return (typed, Self.matching(typed, Array(relations.keys)))
        case "\\format": return (typed, Self.matching(typed, Self.formats))
        default: return (typed, [])
        }
    }

    /// The columns of a relation, or of the one that an alias stands for (`from trades t`, `from trades as t`).
    private func columns(of name: String, in words: [String]) -> [String]? {
        if let columns = relations[name] { return columns }
        for (index, word) in words.enumerated() where word == name && index > 0 {
            if let columns = relations[words[index - 1]] { return columns }
            if index > 1, words[index - 1] == "as", let columns = relations[words[index - 2]] { return columns }
        }
        return nil
    }

    private static func words(_ text: String) -> [String] {
        text.lowercased().utf8.split { !StatementSplitter.isWord($0) && $0 != UInt8(ascii: ".") }.map {
            String(Substring($0))
        }
    }

    private static func matching(_ typed: String, _ words: [String]) -> [String] {
        Set(words.filter { $0.lowercased().hasPrefix(typed.lowercased()) }).sorted()
    }

    /// The longest text that all words begin with.
    static func commonPrefix(_ words: [String]) -> String {
        guard var prefix = words.first else { return "" }
        for word in words.dropFirst() { while !word.hasPrefix(prefix) { prefix.removeLast() } }
        return prefix
    }
}
