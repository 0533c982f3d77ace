// SPDX-License-Identifier: Apache-2.0
//
// What rules must know of a statement to be right about a token: which bracket belongs to which, whether a value is
// expected where the token stands or an operator, and in which clause of a query it is. That is less than a parse tree,
// and so it holds for statements that are not quite right, too: those must reach PostgreSQL as they are.

/// The tokens of a statement, and what is around each of them.
struct Outline: Sendable {
    /// The clause of a query.
    enum Clause: Sendable, Equatable {
        case none, with, select, from, on, `where`, groupBy, having, window, orderBy, limit, values
    }

    let source: [UInt8]
    let tokens: [Token]
    /// Of each bracket the place of its partner; of everything else -1.
    let partners: [Int]
    /// Whether an operand stands here, or should; otherwise what may follow an operand.
    let isOperand: [Bool]
    /// The clause of the innermost query or bracket that each token stands in.
    let clauses: [Clause]
    /// In how many brackets each token stands.
    let depths: [Int]
    /// Whether the outermost query groups its rows, or is made of several.
    let isGrouped: Bool
    /// Which parameter each `?` is, from 1.
    let parameters: [Int: Int]
    /// What stands behind operands and must be written before them.
    private(set) var suffixes: [Int: [OperandSuffix]] = [:]

    init(_ tokens: [Token], of source: [UInt8], at location: (Int) -> TrinoLocation) throws(TrinoSyntaxError) {
        self.source = source
        self.tokens = tokens
        partners = try Self.partners(tokens, at: location)
        var scan = OutlineScan(tokens, partners)
        scan.run()
        isOperand = scan.isOperand
        clauses = scan.clauses
        var depth = 0
        var depths: [Int] = []
        var parameters: [Int: Int] = [:]
        var isGrouped = false
        for (index, token) in tokens.enumerated() {
            if partners[index] >= 0, partners[index] < index { depth -= 1 }
            depths.append(depth)
            if partners[index] > index { depth += 1 }
            if token.kind == .parameter { parameters[index] = parameters.count + 1 }
            let isOfBoth = ["union", "except", "intersect"].contains(token.text)
            let isGroupBy = token.is("group") && index + 1 < tokens.count && tokens[index + 1].is("by")
            if depth == 0, isOfBoth || isGroupBy { isGrouped = true }
        }
        self.depths = depths
        self.parameters = parameters
        self.isGrouped = isGrouped
        suffixes = Self.suffixes(self)
    }

    /// How deep brackets may stand in brackets: rules follow them by recursion.
    static let depthMax = 250

    private static func partners(
        _ tokens: [Token], at location: (Int) -> TrinoLocation
    ) throws(TrinoSyntaxError) -> [Int] {
        var partners = [Int](repeating: -1, count: tokens.count)
        var open: [Int] = []
        for (index, token) in tokens.enumerated() where token.kind == .symbol {
            switch token.text {
            case "(", "[":
                guard open.count < depthMax else {
                    throw TrinoSyntaxError(
                        .syntaxError, "brackets are nested more than \(depthMax) deep",
                        at: location(token.range.lowerBound))
                }
                open.append(index)
            case ")", "]":
                guard let start = open.popLast(), tokens[start].is("(") == token.is(")") else {
                    throw TrinoSyntaxError(
                        .syntaxError, "mismatched input '\(token.text)'", at: location(token.range.lowerBound))
                }
                partners[start] = index
                partners[index] = start
            default: break
            }
        }
        if let last = open.last {
            throw TrinoSyntaxError(
                .syntaxError, "mismatched input '<EOF>'. Expecting: '\(tokens[last].is("(") ? ")" : "]")'",
                at: location(tokens.last?.range.upperBound ?? 0))
        }
        return partners
    }

    /// The token there, if there is one and it is a word or a symbol; else "".
    func text(_ index: Int) -> String { tokens.indices.contains(index) ? tokens[index].text : "" }

    func kind(_ index: Int) -> Token.Kind? { tokens.indices.contains(index) ? tokens[index].kind : nil }

    func isName(_ index: Int) -> Bool { tokens.indices.contains(index) && tokens[index].isName }

    /// The source of a token.
    func sourceText(_ index: Int) -> String { String(decoding: source[tokens[index].range], as: UTF8.self) }

    /// What a name or a string stands for: without quotes, the case as it is.
    func value(_ index: Int) -> String {
        let token = tokens[index]
        guard token.kind != .word else { return sourceText(index) }
        var start = token.range.lowerBound
        while source[start] != UInt8(ascii: "'"), source[start] != UInt8(ascii: "\"") { start += 1 }
        let quote = source[start]
        var bytes: [UInt8] = []
        var at = start + 1
        while at < token.range.upperBound - 1 {
            bytes.append(source[at])
            at += source[at] == quote ? 2 : 1
        }
        return String(decoding: bytes, as: UTF8.self)
    }

    /// The arguments of a call, or the items of a list, between the bracket at `open` and its partner. None for `()`.
    func items(in open: Int) -> [Range<Int>] {
        let close = partners[open]
        guard close > open + 1 else { return [] }
        return split(open + 1..<close)
    }

    /// The parts between commas.
    func split(_ range: Range<Int>) -> [Range<Int>] {
        var items: [Range<Int>] = []
        var start = range.lowerBound
        var index = start
        while index < range.upperBound {
            if tokens[index].is(",") {
                items.append(start..<index)
                start = index + 1
            } else if partners[index] > index {
                index = partners[index]
            }
            index += 1
        }
        items.append(start..<range.upperBound)
        return items
    }

    /// The first of `words` in the range that does not stand in brackets.
    func first(of words: Set<String>, in range: Range<Int>) -> Int? {
        var index = range.lowerBound
        while index < range.upperBound {
            if tokens[index].kind == .word, words.contains(tokens[index].text) { return index }
            index = partners[index] > index ? partners[index] + 1 : index + 1
        }
        return nil
    }

    /// Whether these tokens are all there is to an item of a SELECT or a VALUES, but for the name it is given.
    func isWholeItem(_ range: Range<Int>) -> Bool {
        let before = text(range.lowerBound - 1)
        let end = range.upperBound
        switch clauses[range.lowerBound] {
        case .select:
            return ["select", "all", "distinct", ","].contains(before)
                && (end == tokens.count || [",", ")", ";", "as", "from"].contains(text(end)) || isName(end))
        case .values:
            return ["values", "(", ","].contains(before)
                && (end == tokens.count || [",", ")", ";"].contains(text(end)))
        default: return false
        }
    }

    /// Whether a call of a function stands here: its name and a bracket, not a keyword and one.
    func isCall(_ index: Int) -> Bool {
        isName(index) && text(index + 1) == "(" && text(index - 1) != "."
            && (isOperand[index] || clauses[index] == .from)
    }

    /// The alias of a table that ends before `index`, with its AS; nil where it has none.
    func tableAlias(_ index: Int) -> Range<Int>? {
        let next = text(index)
        if next == "as" { return index..<index + 2 }
        let isAlias =
            kind(index) == .quotedName
            || (kind(index) == .word && !Keywords.reserved.contains(next) && !Keywords.notAlias.contains(next))
        return isAlias ? index..<index + 1 : nil
    }

    /// Whether the bracket holds a query, and not a join or a value.
    func isQuery(_ open: Int) -> Bool { Self.isQuery(open, tokens, partners) }

    fileprivate static func isQuery(_ open: Int, _ tokens: [Token], _ partners: [Int]) -> Bool {
        func text(_ index: Int) -> String { index < tokens.count ? tokens[index].text : "" }
        var index = open
        while text(index + 1) == "(" { index += 1 }
        guard Keywords.queryStarts.contains(text(index + 1)) else { return false }
        // `((SELECT …) AS a JOIN …)` is a join; `((SELECT …) UNION (SELECT …))` a query.
        while index > open {
            guard Keywords.afterQuery.contains(text(partners[index] + 1)) else { return false }
            index -= 1
        }
        return true
    }

    /// The end of the chain of names (`a.b.c`) that begins at `index`.
    func endOfChain(_ index: Int) -> Int {
        var end = index + 1
        while text(end) == ".", isName(end + 1) { end += 2 }
        return end
    }

    /// The names of a chain, in lower case: names know no case, quoted or not.
    func chain(_ range: Range<Int>) -> [String] {
        range.filter { tokens[$0].isName }.map { value($0).lowercased() }
    }

    /// The end of the operand that begins at `start`: what a LIKE, a `/` or a NOT takes to its right.
    func endOfPrimary(_ start: Int) -> Int {
        var index = start
        while text(index) == "-" || text(index) == "+" { index += 1 }
        guard index < tokens.count else { return tokens.count }
        if partners[index] > index {
            index = partners[index] + 1
        } else if text(index) == "case" {
            index = endOfCase(index)
        } else if isName(index) {
            index = endOfChain(index)
            if kind(index) == .string { index += 1 }
        } else {
            index += 1
        }
        while text(index) == "(" || text(index) == "[" || (text(index) == "." && isName(index + 1)) {
            index = text(index) == "." ? index + 2 : partners[index] + 1
        }
        return index
    }

    private func endOfCase(_ start: Int) -> Int {
        var depth = 0
        var index = start
        while index < tokens.count {
            if tokens[index].is("case") { depth += 1 }
            if tokens[index].is("end") { depth -= 1 }
            index += 1
            if depth == 0 { break }
        }
        return index
    }
}

/// One pass over the tokens that fills what an ``Outline`` knows of each.
private struct OutlineScan {
    private let tokens: [Token]
    private let partners: [Int]
    private(set) var isOperand: [Bool]
    private(set) var clauses: [Outline.Clause]

    private struct Level {
        var isQuery: Bool
        var clause: Outline.Clause
    }
    private var levels: [Level] = [Level(isQuery: true, clause: .none)]
    private var expectsOperand = true

    init(_ tokens: [Token], _ partners: [Int]) {
        self.tokens = tokens
        self.partners = partners
        isOperand = [Bool](repeating: true, count: tokens.count)
        clauses = [Outline.Clause](repeating: .none, count: tokens.count)
    }

    mutating func run() {
        for index in tokens.indices {
            let token = tokens[index]
            let roles = token.kind == .word ? Keywords.roles[token.text] ?? [] : []
            let opens = partners[index] > index
            if partners[index] >= 0, !opens { levels.removeLast() }
            if roles.contains(.clause), !follows(".", index) { enterClause(index) }
            isOperand[index] = expectsOperand
            clauses[index] = levels[levels.count - 1].clause
            if opens { open(index) }
            expectsOperand = isOperandExpected(after: index, roles)
        }
    }

    private func follows(_ text: String, _ index: Int) -> Bool { index > 0 && tokens[index - 1].is(text) }

    private func next(_ index: Int) -> String { index + 1 < tokens.count ? tokens[index + 1].text : "" }

    private mutating func open(_ index: Int) {
        let isQuery = Outline.isQuery(index, tokens, partners)
        // A bracket around a join is still a FROM; one behind a name is a call, or a list of columns.
        let isCall = index > 0 && tokens[index - 1].isName && !Keywords.reserved.contains(tokens[index - 1].text)
        let clause = levels[levels.count - 1].clause
        let inner: Outline.Clause = isQuery || isCall || tokens[index].is("[") || clause == .with ? .none : clause
        levels.append(Level(isQuery: isQuery, clause: inner))
    }

    private mutating func enterClause(_ index: Int) {
        var level = levels[levels.count - 1]
        switch tokens[index].text {
        case "select": level.clause = .select
        case "with" where level.isQuery && level.clause == .none && expectsOperand: level.clause = .with
        case "values" where expectsOperand || level.clause == .none: level.clause = .values
        case "from" where level.isQuery && !follows("distinct", index) || level.clause == .select && level.isQuery:
            if !isDistinctFrom(index) { level.clause = .from }
        case "on" where level.clause == .from: level.clause = .on
        case "join", "cross", "natural", "inner", "left", "right", "full":
            if level.clause == .on { level.clause = .from }
        case "where": level.clause = .where
        case "group" where next(index) == "by": level.clause = .groupBy
        case "having": level.clause = .having
        case "order" where next(index) == "by": level.clause = .orderBy
        case "window" where !expectsOperand && level.isQuery: level.clause = .window
        case "limit" where !expectsOperand, "offset" where !expectsOperand, "fetch" where !expectsOperand:
            if level.isQuery { level.clause = .limit }
        case "union", "except", "intersect": level.clause = .none
        default: return
        }
        levels[levels.count - 1] = level
    }

    /// `IS [NOT] DISTINCT FROM`, which begins no clause.
    private func isDistinctFrom(_ index: Int) -> Bool {
        index > 1 && tokens[index - 1].is("distinct") && (tokens[index - 2].is("is") || tokens[index - 2].is("not"))
    }

    private mutating func isOperandExpected(after index: Int, _ roles: Keywords.Roles) -> Bool {
        let token = tokens[index]
        switch token.kind {
        case .symbol:
            if partners[index] >= 0 { return partners[index] > index }
            if token.is("*") { return !isOperand[index] }
            if token.is(","), levels[levels.count - 1].clause == .on { levels[levels.count - 1].clause = .from }
            return true
        case .word:
            if roles.isEmpty || follows(".", index) { return false }
            if roles.contains(.beforeOperand) { return true }
            return roles.contains(.infix) && !isOperand[index]
        default: return false
        }
    }
}
