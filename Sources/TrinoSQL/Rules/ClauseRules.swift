// SPDX-License-Identifier: Apache-2.0

extension Rules {
    static let clauses: [RewriteRule] = [
        RewriteRule(
            "nulls last", "PostgreSQL puts NULL first where the order is descending, Trino last in both",
            words: ["desc"]
        ) { outline, index, context in
            guard !outline.isOperand[index], outline.clauses[index] == .orderBy, outline.text(index + 1) != "nulls",
                !NotNullKey.isKey(outline, endingAt: index, schema: context.dialect.sessionSchema)
            else { return nil }
            return Rewrite(to: index + 1, [.token(index), .text(" NULLS LAST")])
        },
        RewriteRule(
            "single values", "PostgreSQL wants a bracket around each row of VALUES", words: ["values"]
        ) { outline, index, _ in values(outline, index) },
        RewriteRule(
            "derived table without alias",
            "PostgreSQL 15 wants an alias for each subquery in FROM, and names its columns itself", on: [.text("(")]
        ) { outline, index, _ in derivedTable(outline, index) },
        RewriteRule(
            "columns without names in WITH", "PostgreSQL names them by their functions", words: ["as"]
        ) { outline, index, _ in
            guard outline.clauses[index] == .with, outline.text(index + 1) == "(", outline.isName(index - 1),
                ["with", "recursive", ","].contains(outline.text(index - 2)),
                let names = namesOfAll(outline, index + 1)
            else { return nil }
            return Rewrite(to: index + 1, [.text(names + " "), .token(index)])
        },
        RewriteRule(
            "unnest", "PostgreSQL takes several arrays only where one UNNEST has them, and names its columns otherwise",
            words: ["unnest"]
        ) { outline, index, _ in
            guard outline.clauses[index] == .from, outline.isCall(index) else { return nil }
            return unnest(outline, index)
        },
        RewriteRule(
            "a whole number of rows", "PostgreSQL rounds what is none", words: ["limit", "offset", "fetch"]
        ) { outline, index, context throws(TrinoSyntaxError) in
            guard !outline.isOperand[index], outline.clauses[index] == .limit else { return nil }
            let isFetch = outline.text(index) == "fetch"
            let count = isFetch ? index + 2 : index + 1
            guard
                ["-", "+", "null"].contains(outline.text(count))
                    || [.decimal, .double, .string].contains(outline.kind(count))
            else { return nil }
            let other = isFetch ? ", 'ROW', 'ROWS'" : outline.text(index) == "limit" ? ", 'ALL'" : ""
            throw context.error(
                .syntaxError,
                "mismatched input '\(outline.sourceText(count))'. Expecting: '?'\(other), <integer>", at: count,
                outline)
        },
        RewriteRule(
            "nothing selected", "PostgreSQL has rows without columns", words: ["select"]
        ) { outline, index, context throws(TrinoSyntaxError) in
            let next = index + 1
            guard next >= outline.tokens.count || behindSelect.contains(outline.text(next)),
                outline.text(index - 1) != "."
            else { return nil }
            throw context.error(
                .syntaxError,
                "mismatched input '\(next < outline.tokens.count ? outline.sourceText(next) : "<EOF>")'. "
                    + "Expecting: '*', 'ALL', 'DISTINCT', <expression>", at: min(next, outline.tokens.count - 1),
                outline)
        },
        RewriteRule(
            "like without escape", "in PostgreSQL a backslash escapes unless another is named; in Trino nothing does",
            words: ["like"]
        ) { outline, index, _ in like(outline, index) },
    ]

    /// What may stand behind the list of a SELECT, and is not in it.
    private static let behindSelect: Set<String> = [
        "from", "where", "group", "having", "order", "union", "intersect", "except", ")", ";",
    ]

    private static func values(_ outline: Outline, _ index: Int) -> Rewrite? {
        guard outline.clauses[index] == .values, outline.text(index - 1) != "." else { return nil }
        let end = endOfList(outline, index + 1)
        let rows = outline.split(index + 1..<end)
        func isRow(_ row: Range<Int>) -> Bool {
            guard !row.isEmpty else { return true }
            let open = openingOfRow(outline, row)
            return outline.text(open) == "(" && outline.partners[open] == row.upperBound - 1
        }
        let isWritten = rows.allSatisfy { isRow($0) && ($0.isEmpty || outline.text($0.lowerBound) != "row") }
        guard !isWritten else { return nil }
        var pieces: [Rewrite.Piece] = [.token(index)]
        for (number, row) in rows.enumerated() {
            pieces.append(.text(number == 0 ? " " : ", "))
            if !isRow(row) {
                pieces += [.text("("), .source(row), .text(")")]
            } else {
                pieces.append(.source(openingOfRow(outline, row)..<row.upperBound))
            }
        }
        return Rewrite(to: end, pieces)
    }

    /// The end of a list of rows: a clause, a bracket or nothing more.
    private static func endOfList(_ outline: Outline, _ start: Int) -> Int {
        var index = start
        while index < outline.tokens.count {
            let text = outline.text(index)
            if text == ")" || text == ";" { break }
            if ["union", "except", "intersect", "order"].contains(text) { break }
            if !outline.isOperand[index], ["limit", "offset", "fetch"].contains(text) { break }
            index = outline.partners[index] > index ? outline.partners[index] + 1 : index + 1
        }
        return index
    }

    private static func derivedTable(_ outline: Outline, _ index: Int) -> Rewrite? {
        guard outline.clauses[index] == .from,
            outline.isOperand[index] || outline.text(index - 1) == "lateral", outline.isQuery(index),
            outline.text(index - 1) != "using"
        else { return nil }
        let close = outline.partners[index]
        let alias = outline.tableAlias(close + 1)
        let names = namesOfAll(outline, index) ?? ""
        let query: [Rewrite.Piece] = [.token(index), .source(index + 1..<close), .token(close)]
        guard let alias else { return Rewrite(to: close + 1, query + [.text(" AS \"_query\(index)\"" + names)]) }
        guard !names.isEmpty, alias.upperBound <= outline.tokens.count, outline.text(alias.upperBound) != "(" else {
            return nil
        }
        return Rewrite(to: alias.upperBound, query + [.text(" "), .source(alias), .text(names)])
    }

    /// A list of names for the columns of the query in a bracket, where some have none; nil where all have, and where that
    /// cannot be told. PostgreSQL would name them by their functions, VALUES otherwise than Trino.
    private static func namesOfAll(_ outline: Outline, _ open: Int) -> String? {
        let names = SelectList.names(outline, from: open + 1)
        guard let last = names.lastIndex(of: .anonymous), !names[..<last].contains(.star) else { return nil }
        let texts = names[...last].enumerated().map { place, name in
            switch name {
            case .named(let text), .alias(let text): quotedName(text.lowercased())
            case .anonymous, .star: quotedName("_col\(place)")
            }
        }
        return "(" + texts.joined(separator: ", ") + ")"
    }

    private static func like(_ outline: Outline, _ index: Int) -> Rewrite? {
        guard !outline.isOperand[index] || outline.text(index - 1) == "not" else { return nil }
        let pattern = index + 1
        var end = outline.endOfPrimary(pattern)
        while outline.text(end) == "||" { end = outline.endOfPrimary(end + 1) }
        guard pattern < end, end <= outline.tokens.count, outline.text(end) != "escape" else { return nil }
        // A pattern made of strings alone, none with a backslash, means the same in both.
        let isPlain = (pattern..<end).allSatisfy { token in
            switch outline.kind(token) {
            case .string: !outline.source[outline.tokens[token].range].contains(UInt8(ascii: "\\"))
            case .word: outline.text(token + 1) == "("
            case .symbol: true
            default: false
            }
        }
        guard !isPlain else { return nil }
        return Rewrite(to: end, [.token(index), .text(" "), .source(pattern..<end), .text(" ESCAPE ''")])
    }
}

/// Sort keys that cannot be NULL, so that their order needs no NULLS LAST: with it PostgreSQL could not read an index
/// backwards, and `ORDER BY ts DESC LIMIT 10` would sort all rows.
enum NotNullKey {
    /// Columns of our store that are never NULL; a test compares them with the store.
    static let columns: [String: Set<String>] = [
        "trades": ["symbol", "ts", "source", "trade_id", "price", "size", "conditions", "ingested_at"],
        "bars": [
            "symbol", "timeframe", "ts", "open", "high", "low", "close", "volume", "notional", "trade_count",
        ],
        "trade_stats_15s": ["symbol", "ts", "trade_count"],
        "latest": ["symbol", "ts", "source", "trade_id", "price", "size"],
        "quotes": ["symbol", "ts", "source"],
        "instruments": ["symbol", "updated_at"],
    ]

    /// Whether the key of an ORDER BY that ends before `desc` is such a column: of the one table of its query, and not
    /// the name of an expression of its SELECT.
    static func isKey(_ outline: Outline, endingAt desc: Int, schema: String) -> Bool {
        let start = keyStart(outline, desc)
        guard outline.isName(start), outline.endOfChain(start) == desc, [",", "by"].contains(outline.text(start - 1))
        else {
            return false
        }
        let key = outline.chain(start..<desc)
        guard let query = QueryShape(outline, orderedAt: start, schema: schema), let columns = columns[query.table],
            let column = key.last, columns.contains(column), key.count <= 2
        else { return false }
        if key.count == 2 { return key[0] == query.alias || key[0] == query.table }
        return !query.renames(column, outline)
    }

    private static func keyStart(_ outline: Outline, _ desc: Int) -> Int {
        var index = desc - 1
        while index > 0, outline.isName(index - 1) || outline.text(index - 1) == ".", outline.text(index - 1) != "by" {
            index -= 1
        }
        return index
    }

    /// The parts of a query that reads one table.
    private struct QueryShape {
        var table: String
        var alias: String?
        var select: Range<Int>

        init?(_ outline: Outline, orderedAt index: Int, schema: String) {
            // Back to the clauses of the same query, over brackets that are closed.
            var at = index
            var from: Int?
            while at > 0 {
                at -= 1
                if outline.partners[at] >= 0 {
                    guard outline.partners[at] < at else { return nil }
                    at = outline.partners[at]
                    continue
                }
                if ["union", "except", "intersect", "group"].contains(outline.text(at)) { return nil }
                if outline.text(at) == "from", outline.clauses[at] == .from { from = at }
                if outline.text(at) == "select" { break }
            }
            guard outline.text(at) == "select", let from, outline.isName(from + 1) else { return nil }
            let end = outline.endOfChain(from + 1)
            var next = outline.text(end) == "as" ? end + 1 : end
            if outline.isName(next), !Keywords.reserved.contains(outline.text(next)),
                !Keywords.notAlias.contains(outline.text(next))
            {
                alias = outline.value(next).lowercased()
                next += 1
            }
            // Anything but a clause behind it makes it a join, a function or a sample.
            guard ["where", "order"].contains(outline.text(next)) else { return nil }
            let chain = outline.chain(from + 1..<end)
            // A name without a schema may be that of a WITH.
            let isOurs =
                chain.count == 1
                ? schema == "market" && !outline.clauses.contains(.with) : chain[chain.count - 2] == "market"
            guard let last = chain.last, isOurs else { return nil }
            table = last
            select = at + 1..<from
        }

        /// Whether the SELECT gives this name to something other than the column.
        func renames(_ column: String, _ outline: Outline) -> Bool {
            outline.split(select).contains { item in
                guard item.count > 1, outline.isName(item.upperBound - 1) else { return false }
                guard outline.value(item.upperBound - 1).lowercased() == column else { return false }
                // Not `ts`, `t.ts AS ts` or `t.ts ts`.
                guard outline.isName(item.lowerBound) else { return true }
                let end = outline.endOfChain(item.lowerBound)
                let alias = outline.text(end) == "as" ? end + 1 : end
                let isColumn = end == item.upperBound || alias + 1 == item.upperBound
                return !isColumn || outline.value(end - 1).lowercased() != column
            }
        }
    }
}
