// SPDX-License-Identifier: Apache-2.0
// The grammar of a table's URL: PostgREST's (postgrest.org, "Tables and Views", "Aggregate Functions"), with having.
// Pure: texts in, values out; what names mean is for the catalogue to say.
//
//   select     = item *("," item)
//   item       = "*" / [alias ":"] operand ["::" type]
//   operand    = part ["::" type] ["." aggregate "()"] / "count()" / "count", where no column is called so
//   part       = column *("->" index) ["->>" index]
//   order      = operand-or-alias *("." ("asc" / "desc" / "nullsfirst" / "nullslast")) *("," …)
//   filter     = part "=" ["not."] operator "." value
//   operator   = name ["(any)" / "(all)" / "(" configuration ")"]
//   tree       = ("and" / "or") "=" "(" node *("," node) ")"
//   node       = ["not."] ("and" / "or") "(" … ")" / operand "." ["not."] operator "." value
//
// Blanks may stand around the pieces of a list and its parentheses, but are part of a value.

/// What a column or an aggregate of one is called in a URL.
struct TableOperand: Equatable {
    enum Aggregate: String, CaseIterable { case avg, count, max, min, sum }

    /// Nil for `count()`.
    var column: String?
    /// Which element of an array, and of that which.
    var path: [Element] = []
    var columnCast: String?
    var aggregate: Aggregate?
    /// Where it stands in the parameter, in characters from 1.
    var position = 1

    /// An element of an array, by its place from 0, or from the end from -1: as JSON, or as its text.
    struct Element: Equatable {
        var index: Int32
        var isText: Bool
    }

    /// `count`, which is `count()` where no column is called so.
    var isBareCount: Bool { column == "count" && path.isEmpty && aggregate == nil && columnCast == nil }
}

/// One column of the reply.
struct TableItem: Equatable {
    var alias: String?
    var operand: TableOperand
    var cast: String?
}

/// One column of the order.
struct TableOrder: Equatable {
    var operand: TableOperand
    var isDescending = false
    /// Nil for PostgreSQL's own: last going up, first going down.
    var nullsFirst: Bool?

    var putsNullsFirst: Bool { nullsFirst ?? isDescending }
}

/// What rows, or groups, must be.
indirect enum TableCondition: Equatable {
    case compare(TableComparison)
    case all([TableCondition])
    case any([TableCondition])
    case not(TableCondition)
}

struct TableComparison: Equatable {
    /// PostgREST's operators, with PostgreSQL's.
    enum Operator: String, CaseIterable {
        case eq, gt, gte, lt, lte, neq, like, ilike, match, imatch, `in`, `is`, isdistinct, fts, plfts, phfts, wfts, cs,
            cd, ov, sl, sr, nxr, nxl, adj

        /// As PostgreSQL writes it, where it stands between two operands.
        var sql: String? {
            switch self {
            case .eq: "="
            case .gt: ">"
            case .gte: ">="
            case .lt: "<"
            case .lte: "<="
            case .neq: "<>"
            case .like: "like"
            case .ilike: "ilike"
            case .match: "~"
            case .imatch: "~*"
            case .isdistinct: "is distinct from"
            case .cs: "@>"
            case .cd: "<@"
            case .ov: "&&"
            case .sl: "<<"
            case .sr: ">>"
            case .nxr: "&<"
            case .nxl: "&>"
            case .adj: "-|-"
            case .in, .is, .fts, .plfts, .phfts, .wfts: nil
            }
        }

        /// Those of text search, as functions that read the value.
        var searchFunction: String? {
            switch self {
            case .fts: "to_tsquery"
            case .plfts: "plainto_tsquery"
            case .phfts: "phraseto_tsquery"
            case .wfts: "websearch_to_tsquery"
            default: nil
            }
        }

        /// Those that may be asked of any or all of several values.
        var takesQuantifier: Bool {
            [.eq, .like, .ilike, .gt, .gte, .lt, .lte, .match, .imatch].contains(self)
        }

        var takesPattern: Bool { self == .like || self == .ilike }
    }

    enum Quantifier: String { case any, all }

    enum Value: Equatable {
        case text(String)
        case list([String])
    }

    var operand: TableOperand
    var comparison: Operator
    var quantifier: Quantifier?
    /// Of text search.
    var configuration: String?
    var value: Value
    var isNegated = false
    /// Where the value stands in the parameter, in characters from 1.
    var position = 1

    /// What `is` may be followed by.
    static let states = [
        "null": "null", "not_null": "not null", "true": "true", "false": "false", "unknown": "unknown",
    ]
}

/// Reads one parameter of a table's URL.
struct TableParser {
    /// Conditions within conditions.
    static let depthLimit = 20
    /// Conditions, columns and values of one parameter.
    static let countLimit = 1000

    private let parameter: String
    private let text: [Character]
    private var index = 0
    private var count = 0

    init(_ parameter: String, _ text: String) {
        self.parameter = parameter
        self.text = Array(text)
    }

    // MARK: Parameters

    /// `select`; empty for all columns. `*` is an operand without column and aggregate.
    static func select(_ text: String) throws(QueryError) -> [TableItem] {
        var parser = TableParser("select", text)
        var items: [TableItem] = []
        repeat { items.append(try parser.item()) } while parser.takeComma()
        try parser.expectEnd("a comma or the end")
        return items
    }

    /// `order`.
    static func order(_ text: String) throws(QueryError) -> [TableOrder] {
        var parser = TableParser("order", text)
        var columns: [TableOrder] = []
        repeat { columns.append(try parser.orderColumn()) } while parser.takeComma()
        try parser.expectEnd("a comma, asc, desc, nullsfirst, nullslast or the end")
        return columns
    }

    /// The value of a parameter named like a column: `gt.10`, `not.in.(a,b)`.
    static func filter(
        _ parameter: String, of operand: TableOperand, _ text: String
    ) throws(QueryError) -> TableCondition {
        var parser = TableParser(parameter, text)
        return .compare(try parser.comparison(operand, isAlone: true))
    }

    /// The column, or the element of one, that a parameter is called by, which may be quoted as it may be in `select`.
    static func part(_ name: String) -> TableOperand {
        var parser = TableParser(name, name)
        guard let column = try? parser.name(), let path = try? parser.path(), parser.index == parser.text.count else {
            return TableOperand(column: name)
        }
        return TableOperand(column: column, path: path)
    }

    /// The value of `and`, `or`, `not.and`, `not.or` or `having`: `(price.gt.10,or(size.eq.1,size.is.null))`.
    static func tree(_ name: String, _ text: String) throws(QueryError) -> TableCondition {
        var parser = TableParser(name, text)
        let nodes = try parser.nodes(depth: 1)
        try parser.expectEnd("the end")
        let isAny = name.hasSuffix("or")
        let condition: TableCondition = isAny ? .any(nodes) : .all(nodes)
        return name.hasPrefix("not.") ? .not(condition) : condition
    }

    // MARK: Pieces

    private mutating func item() throws(QueryError) -> TableItem {
        try enter(1)
        skipBlanks()
        if take("*") { return TableItem(operand: TableOperand(position: index)) }
        let start = index
        if !at("\""), let colon = endOfAlias() {
            let alias = String(text[index..<colon])
            index = colon + 1
            return try item(alias: alias)
        }
        if at("\"") {
            let alias = try quoted()
            if at(":") && !at("::") {
                index += 1
                return try item(alias: alias)
            }
            index = start
        }
        return try item(alias: nil)
    }

    private mutating func item(alias: String?) throws(QueryError) -> TableItem {
        if alias == "" { throw failure("a name before the colon") }
        var operand = try operand()
        var item = TableItem(alias: alias, operand: operand)
        // A cast behind a plain column is the column's own.
        if operand.aggregate == nil, let cast = operand.columnCast {
            item.cast = cast
            operand.columnCast = nil
            item.operand = operand
        } else if take("::") {
            item.cast = try type()
        }
        return item
    }

    /// Where the single colon behind an alias is, if there is one before what ends a name.
    private func endOfAlias() -> Int? {
        var place = index
        while place < text.count, Self.isNameCharacter(text[place]) { place += 1 }
        guard place < text.count, text[place] == ":" else { return nil }
        return place + 1 < text.count && text[place + 1] == ":" ? nil : place
    }

    private mutating func operand() throws(QueryError) -> TableOperand {
        let position = index + 1
        let name = try name()
        if name == "count" && take("()") { return TableOperand(aggregate: .count, position: position) }
        if at("(") {
            throw failure(
                "no embedded table: these tables have no relations, join them with SQL", hint: "POST /api/v1/sql.")
        }
        var operand = TableOperand(column: name, path: try path(), position: position)
        if take("::") { operand.columnCast = try type() }
        for aggregate in TableOperand.Aggregate.allCases where take(".\(aggregate.rawValue)()") {
            operand.aggregate = aggregate
            break
        }
        return operand
    }

    /// `->0->>-1`.
    private mutating func path() throws(QueryError) -> [TableOperand.Element] {
        var path: [TableOperand.Element] = []
        while path.last?.isText != true, take("->") {
            try enter(1)
            let isText = take(">")
            let sign = take("-") ? "-" : ""
            let digits = text[index...].prefix { $0.isASCII && $0.isNumber }
            guard let place = Int32(sign + digits) else {
                throw failure("the place of an element, from 0", hint: "No column here has keys.")
            }
            index += digits.count
            path.append(.init(index: place, isText: isText))
        }
        return path
    }

    private mutating func orderColumn() throws(QueryError) -> TableOrder {
        try enter(1)
        skipBlanks()
        var column = TableOrder(operand: try operand())
        if column.operand.columnCast != nil { throw failure("no cast in an order") }
        var saidDirection = false
        while take(".") {
            if !saidDirection, take("asc") {
                saidDirection = true
            } else if !saidDirection, take("desc") {
                saidDirection = true
                column.isDescending = true
            } else if column.nullsFirst == nil, take("nullsfirst") {
                column.nullsFirst = true
                saidDirection = true
            } else if column.nullsFirst == nil, take("nullslast") {
                column.nullsFirst = false
                saidDirection = true
            } else {
                throw failure("asc, desc, nullsfirst or nullslast")
            }
        }
        return column
    }

    private mutating func nodes(depth: Int) throws(QueryError) -> [TableCondition] {
        try enter(depth)
        skipBlanks()
        guard take("(") else { throw failure("a parenthesis that opens") }
        var nodes: [TableCondition] = []
        repeat { nodes.append(try node(depth: depth)) } while takeComma()
        guard take(")") else { throw failure("a comma or a parenthesis that closes") }
        skipBlanks()
        return nodes
    }

    private mutating func node(depth: Int) throws(QueryError) -> TableCondition {
        try enter(depth)
        skipBlanks()
        let start = index
        let isNegated = take("not.")
        if takeGroup("and") {
            let inner = TableCondition.all(try nodes(depth: depth + 1))
            return isNegated ? .not(inner) : inner
        }
        if takeGroup("or") {
            let inner = TableCondition.any(try nodes(depth: depth + 1))
            return isNegated ? .not(inner) : inner
        }
        // A column may be called `not`.
        index = start
        let operand = try operand()
        skipBlanks()
        guard take(".") else { throw failure("a dot and an operator") }
        return .compare(try comparison(operand, isAlone: false))
    }

    /// - Parameter isAlone: whether the value goes to the end of the parameter, as it is.
    private mutating func comparison(
        _ operand: TableOperand, isAlone: Bool
    ) throws(QueryError) -> TableComparison {
        try enter(1)
        let isNegated = take("not.")
        let start = index
        let word = String(text[index...].prefix { $0.isASCII && ($0.isLetter || $0 == "_") })
        guard let found = TableComparison.Operator(rawValue: word) else {
            let names = TableComparison.Operator.allCases.map(\.rawValue)
            throw failure(
                "an operator and a dot, as in gt.10",
                hint: ParameterReader.closest(to: word, names).map { "Perhaps you meant \"\($0)\"." }
                    ?? "Operators: \(names.joined(separator: ", ")).")
        }
        index = start + word.count
        var comparison = TableComparison(operand: operand, comparison: found, value: .text(""), isNegated: isNegated)
        if take("(") {
            let inner = String(text[index...].prefix { $0 != ")" && $0 != "." && $0 != "," })
            if found.takesQuantifier, let quantifier = TableComparison.Quantifier(rawValue: inner) {
                comparison.quantifier = quantifier
            } else if found.searchFunction != nil, !inner.isEmpty, inner.allSatisfy(Self.isNameCharacter) {
                comparison.configuration = inner
            } else {
                throw failure(
                    found.searchFunction != nil
                        ? "the name of a text search configuration"
                        : found.takesQuantifier ? "any or all" : "no parenthesis: \(word) takes no any or all")
            }
            index += inner.count
            guard take(")") else { throw failure("a parenthesis that closes") }
        }
        guard take(".") else { throw failure("a dot and a value") }
        comparison.position = index + 1
        if found == .in {
            comparison.value = .list(try inList())
        } else if comparison.quantifier != nil {
            comparison.value = .list(try isAlone ? braces() : nestedBraces())
        } else if isAlone {
            comparison.value = .text(String(text[index...]))
            index = text.count
        } else {
            comparison.value = .text(try nestedValue())
        }
        if found == .is, case .text(let state) = comparison.value {
            comparison.value = .text(String(state.reversed().drop { $0 == " " }.reversed()))
        }
        if found == .is, case .text(let state) = comparison.value,
            TableComparison.states[state.lowercased()] == nil
        {
            index = comparison.position - 1
            throw failure("null, not_null, true, false or unknown")
        }
        if isAlone { try expectEnd("the end") }
        return comparison
    }

    /// `(a,"b,c")`. As in PostgREST blanks may stand around the parentheses, and are part of what is not quoted elsewhere;
    /// nothing but blanks is no value.
    private mutating func inList() throws(QueryError) -> [String] {
        skipBlanks()
        guard take("(") else { throw failure("values within ()") }
        skipBlanks()
        var values: [String] = []
        if !at(")") {
            repeat { values.append(try value { $0 == ")" }) } while take(",")
        }
        guard take(")") else { throw failure("a comma or )") }
        skipBlanks()
        return values
    }

    /// `{a,"b,c"}`, the text of an array.
    private mutating func braces() throws(QueryError) -> [String] {
        guard take("{") else { throw failure("values within {}") }
        var values: [String] = []
        if take("}") { return values }
        repeat { values.append(try value { $0 == "}" }) } while take(",")
        guard take("}") else { throw failure("a comma or }") }
        return values
    }

    /// The same among others, where PostgREST takes it in quotation marks too (`pLogicSingleVal`).
    private mutating func nestedBraces() throws(QueryError) -> [String] {
        let start = index
        guard let quoted = wholeQuoted({ $0 == ")" }) else { return try braces() }
        var inner = TableParser(parameter, quoted)
        guard let values = try? inner.braces(), inner.index == inner.text.count else {
            index = start
            throw failure("values within {}")
        }
        return values
    }

    /// One value of several: quoted if it begins with a quotation mark whose other one ends it, else up to a comma or what
    /// closes, as it is.
    private mutating func value(_ closes: (Character) -> Bool) throws(QueryError) -> String {
        try enter(1)
        if let quoted = wholeQuoted(closes) { return quoted }
        let value = text[index...].prefix { $0 != "," && !closes($0) }
        index += value.count
        return String(value)
    }

    /// What stands in quotation marks, if a comma, what closes or the end is next; else nothing is read.
    private mutating func wholeQuoted(_ closes: (Character) -> Bool) -> String? {
        guard at("\"") else { return nil }
        let start = index
        if let value = try? quoted() {
            skipBlanks()
            if index == text.count || text[index] == "," || closes(text[index]) { return value }
        }
        index = start
        return nil
    }

    /// A value among others: up to a comma or the parenthesis that closes, quoted where it holds such, with what stands
    /// in braces or parentheses of its own.
    private mutating func nestedValue() throws(QueryError) -> String {
        if let quoted = wholeQuoted({ $0 == ")" }) { return quoted }
        var depth = 0
        let start = index
        while index < text.count {
            let character = text[index]
            if depth == 0 && (character == "," || character == ")") { break }
            if depth > 0 && character == "\"" {
                // An element of an array may hold what closes.
                let mark = index
                if (try? quoted()) != nil { continue }
                index = mark
            }
            if "({[".contains(character) { depth += 1 }
            if ")}]".contains(character) { depth = max(0, depth - 1) }
            index += 1
        }
        return String(text[start..<index])
    }

    private mutating func name() throws(QueryError) -> String {
        if at("\"") { return try quoted() }
        let name = text[index...].prefix(while: Self.isNameCharacter)
        if name.isEmpty { throw failure("the name of a column") }
        index += name.count
        return String(name)
    }

    private mutating func type() throws(QueryError) -> String {
        let start = index
        while index < text.count,
            Self.isNameCharacter(text[index]) || text[index] == " " || text[index] == "[" || text[index] == "]"
        {
            index += 1
        }
        while index > start, text[index - 1] == " " { index -= 1 }
        let name = String(text[start..<index]).lowercased()
        guard Self.types.contains(name) else {
            index = start
            throw failure(
                "a type to cast to", hint: "Types: \(Self.types.sorted().joined(separator: ", ")).")
        }
        return name
    }

    /// What may be cast to: types whose reading and writing looks nothing up.
    static let types: Set<String> = [
        "text", "varchar", "smallint", "int2", "integer", "int", "int4", "bigint", "int8", "real", "float4",
        "double precision", "float8", "numeric", "boolean", "bool", "date", "time", "timestamp", "timestamptz",
        "interval",
        "json", "jsonb", "text[]", "int[]", "bigint[]", "float8[]",
    ]

    /// `"…"`, where a backslash takes the next character as it is.
    private mutating func quoted() throws(QueryError) -> String {
        index += 1
        var value = ""
        while index < text.count {
            let character = text[index]
            index += 1
            if character == "\"" { return value }
            if character == "\\" {
                guard index < text.count else { break }
                value.append(text[index])
                index += 1
            } else {
                value.append(character)
            }
        }
        throw failure("a quotation mark that closes")
    }

    // MARK: Characters

    private static func isNameCharacter(_ character: Character) -> Bool {
        character.isLetter || character.isNumber || character == "_" || character == "$"
    }

    private func at(_ word: String) -> Bool { text[index...].starts(with: word) }

    private mutating func take(_ word: String) -> Bool {
        guard at(word) else { return false }
        index += word.count
        return true
    }

    private mutating func skipBlanks() { while index < text.count, text[index] == " " { index += 1 } }

    private mutating func takeComma() -> Bool {
        skipBlanks()
        return take(",")
    }

    /// `and` or `or` where a parenthesis follows, which stays.
    private mutating func takeGroup(_ word: String) -> Bool {
        guard at(word), text[(index + word.count)...].first(where: { $0 != " " }) == "(" else { return false }
        index += word.count
        return true
    }

    private mutating func enter(_ depth: Int) throws(QueryError) {
        count += 1
        if count > Self.countLimit { throw failure("no more than \(Self.countLimit) pieces") }
        if depth > Self.depthLimit { throw failure("no more than \(Self.depthLimit) conditions within each other") }
    }

    private func expectEnd(_ expected: String) throws(QueryError) {
        if index < text.count { throw failure(expected) }
    }

    private func failure(_ expected: String, hint: String? = nil) -> QueryError {
        let rest = String(text[min(index, text.count)...].prefix(20))
        return QueryError(
            400, "invalid_parameter", "parameter \"\(parameter)\" cannot be read at character \(index + 1)",
            details: "Expected \(expected)\(rest.isEmpty ? "" : "; found \"\(rest)\"").", hint: hint,
            position: index + 1)
    }
}
