// SPDX-License-Identifier: Apache-2.0
//
// PostgreSQL forgets the digits of a decimal as soon as something is computed of it; Trino does not. Of the columns of a
// result that are made of columns, numbers and a few functions, their digits follow from those of the columns.

/// A column of a result, as far as the digits of decimals follow from it.
indirect enum DecimalExpression: Sendable, Equatable {
    /// A column of a table, by its number among those that are asked for.
    case column(Int)
    case number(NumberType)
    /// It has any type.
    case null
    case sum(Self, Self)
    case product(Self, Self)
    case quotient(Self, Self)
    case remainder(Self, Self)
    /// What all of these have in common: coalesce, CASE.
    case union([Self])
    /// `sum(x)`
    case total(Self)
    /// `avg(x)`: the digits of a decimal; of whole numbers it is a double.
    case mean(Self)
    /// `round(x)`, `ceil(x)`, `floor(x)`
    case rounded(Self)
    /// `round(x, n)`
    case roundedInPlace(Self)

    /// - Parameters:
    ///   - columns: Types of the columns; nil for one that is no number, or of which the digits are not known.
    ///   - isInner: Whether it is part of another. Trino rounds each quotient, PostgreSQL none but the last.
    func type(_ columns: [NumberType?], isInner: Bool = false) -> NumberType? {
        func inner(_ expression: Self) -> NumberType? { expression.type(columns, isInner: true) }
        func combined(
            _ x: Self, _ y: Self, _ rule: (DecimalDigits, DecimalDigits) -> DecimalDigits?
        ) -> NumberType? {
            guard let x = inner(x), let y = inner(y) else { return nil }
            if case .integer(let left) = x, case .integer(let right) = y { return .integer(digits: max(left, right)) }
            guard let left = x.digits, let right = y.digits else { return nil }
            return rule(left, right).map { .decimal($0) }
        }
        func changed(_ x: Self, _ rule: (DecimalDigits) -> DecimalDigits?) -> NumberType? {
            switch inner(x) {
            case .decimal(let digits): rule(digits).map { .decimal($0) }
            case let other: other
            }
        }
        switch self {
        case .column(let index): return columns.indices.contains(index) ? columns[index] : nil
        case .number(let type): return type
        case .null: return nil
        case .sum(let x, let y): return combined(x, y, +)
        case .product(let x, let y): return combined(x, y, *)
        case .remainder(let x, let y): return combined(x, y, %)
        case .quotient(let x, let y): return isInner ? nil : combined(x, y, /)
        case .union(let parts):
            var result: NumberType?
            for part in parts where part != .null {
                guard let next = inner(part) else { return nil }
                guard let known = result else {
                    result = next
                    continue
                }
                if case .integer(let left) = known, case .integer(let right) = next {
                    result = .integer(digits: max(left, right))
                } else {
                    guard let left = known.digits, let right = next.digits, let both = left.union(right) else {
                        return nil
                    }
                    result = .decimal(both)
                }
            }
            return result
        case .total(let x):
            guard case .integer? = inner(x) else { return changed(x, \.sum) }
            return .integer(digits: 19)
        case .mean(let x):
            guard case .decimal? = inner(x) else { return nil }
            return isInner ? nil : inner(x)
        case .rounded(let x): return changed(x, \.rounded)
        case .roundedInPlace(let x): return changed(x, \.roundedInPlace)
        }
    }
}

/// Reads expressions of a SELECT; what it does not know makes all of one unknown.
///
/// Bounded: an expression is a tree that is walked by recursion, and its columns become those of a query.
struct DecimalReader {
    /// Names, numbers and calls in all.
    static let partsMax = 1000
    /// How deep one may stand in another.
    static let depthMax = 100

    private let outline: Outline
    private var at = 0
    private var end = 0
    private var parts = 0
    private var depth = 0
    /// The places of the names of columns, in the order of their numbers.
    private(set) var columns: [Range<Int>] = []

    init(_ outline: Outline) { self.outline = outline }

    /// The expression that fills `range`; nil for one that is unknown, and for a column alone, whose digits PostgreSQL
    /// tells. Of these no columns remain.
    mutating func read(_ range: Range<Int>) -> DecimalExpression? {
        let known = columns.count
        if let expression = inner(range) {
            guard case .column = expression else { return expression }
        }
        columns.removeLast(columns.count - known)
        return nil
    }

    /// A part of its own, in brackets or between words.
    private mutating func inner(_ range: Range<Int>) -> DecimalExpression? {
        guard depth < Self.depthMax else { return nil }
        let outer = (at, end)
        defer {
            (at, end) = outer
            depth -= 1
        }
        (at, end) = (range.lowerBound, range.upperBound)
        depth += 1
        guard let expression = sum(), at == end else { return nil }
        return expression
    }

    private var next: String { at < end ? outline.text(at) : "" }

    private mutating func sum() -> DecimalExpression? {
        guard var left = product() else { return nil }
        while next == "+" || next == "-" {
            at += 1
            guard let right = product() else { return nil }
            left = .sum(left, right)
        }
        return left
    }

    private mutating func product() -> DecimalExpression? {
        guard var left = factor() else { return nil }
        while ["*", "/", "%"].contains(next) {
            let sign = next
            at += 1
            guard let right = factor() else { return nil }
            left = sign == "*" ? .product(left, right) : sign == "/" ? .quotient(left, right) : .remainder(left, right)
        }
        return left
    }

    private mutating func factor() -> DecimalExpression? {
        while next == "-" || next == "+" { at += 1 }
        parts += 1
        guard at < end, parts <= Self.partsMax else { return nil }
        switch outline.kind(at) {
        case .integer: return integer()
        case .decimal:
            defer { at += 1 }
            return decimal(outline.sourceText(at))
        case .word where next == "decimal" && outline.kind(at + 1) == .string && at + 1 < end:
            // `DECIMAL '1.20'`
            defer { at += 2 }
            return decimal(outline.value(at + 1).filter { $0 != " " })
        case .symbol where next == "(" && !outline.isQuery(at):
            let open = at
            at = outline.partners[open] + 1
            return inner(open + 1..<outline.partners[open])
        case .word, .quotedName: return named()
        default: return nil
        }
    }

    private mutating func integer() -> DecimalExpression? {
        guard let value = Int64(outline.sourceText(at)) else { return nil }
        at += 1
        return .number(.integer(digits: value > Int64(Int32.max) ? 19 : 10))
    }

    /// A number that is written as a decimal; nil for what is not.
    private func decimal(_ text: String) -> DecimalExpression? {
        let number = text.hasPrefix("-") || text.hasPrefix("+") ? text.dropFirst() : text[...]
        let parts = number.split(separator: ".", maxSplits: 1, omittingEmptySubsequences: false)
        let fraction = parts.count == 2 ? parts[1].count : 0
        guard !number.isEmpty, parts.allSatisfy({ $0.utf8.allSatisfy { (0x30...0x39).contains($0) } }),
            let digits = DecimalDigits(parts[0].drop { $0 == "0" }.count + fraction, fraction)
        else { return nil }
        return .number(.decimal(digits))
    }

    private mutating func named() -> DecimalExpression? {
        let start = at
        if next == "null" {
            at += 1
            return .null
        }
        if next == "case" { return cases() }
        if outline.isCall(start) {
            let close = outline.partners[start + 1]
            guard let expression = call(start, close) else { return nil }
            at = close + 1
            skipWindow()
            return expression
        }
        guard outline.kind(start) == .quotedName || !Keywords.reserved.contains(next) else { return nil }
        let chain = start..<outline.endOfChain(start)
        guard chain.upperBound <= end else { return nil }
        columns.append(chain)
        at = chain.upperBound
        return .column(columns.count - 1)
    }

    private mutating func call(_ start: Int, _ close: Int) -> DecimalExpression? {
        if outline.text(start) == "cast" { return cast(start) }
        if outline.text(start) == "count" { return .number(.integer(digits: 19)) }
        var arguments = outline.items(in: start + 1)
        guard let first = arguments.first, !first.isEmpty else { return nil }
        if outline.text(first.lowerBound) == "distinct" { arguments[0] = first.lowerBound + 1..<first.upperBound }
        let name = outline.text(start)
        if name == "nullif", arguments.count == 2 { return union([arguments[0]]) }
        if name == "round", arguments.count == 2 { return inner(arguments[0]).map { .roundedInPlace($0) } }
        if ["coalesce", "greatest", "least"].contains(name) { return union(arguments) }
        guard arguments.count == 1, let value = inner(arguments[0]) else { return nil }
        switch name {
        case "sum": return .total(value)
        case "avg": return .mean(value)
        case "min", "max", "abs", "any_value", "arbitrary": return .union([value])
        case "round", "ceil", "ceiling", "floor": return .rounded(value)
        default: return nil
        }
    }

    private mutating func union(_ parts: [Range<Int>]) -> DecimalExpression? {
        var expressions: [DecimalExpression] = []
        for part in parts {
            guard let expression = inner(part) else { return nil }
            expressions.append(expression)
        }
        return .union(expressions)
    }

    /// `CAST(… AS DECIMAL(12, 2))`, and to whole numbers.
    private func cast(_ start: Int) -> DecimalExpression? {
        guard let cast = Rules.Cast(outline, start) else { return nil }
        let type = cast.target.lowerBound
        switch outline.text(type) {
        case "bigint" where cast.target.count == 1: return .number(.integer(digits: 19))
        case "integer" where cast.target.count == 1, "int" where cast.target.count == 1:
            return .number(.integer(digits: 10))
        case "smallint" where cast.target.count == 1: return .number(.integer(digits: 5))
        case "decimal", "numeric":
            guard cast.target.count > 1 else { return DecimalDigits(38, 0).map { .number(.decimal($0)) } }
            guard outline.text(type + 1) == "(", outline.partners[type + 1] == cast.target.upperBound - 1 else {
                return nil
            }
            let digits = outline.items(in: type + 1).compactMap {
                $0.count == 1 ? Int(outline.sourceText($0.lowerBound)) : nil
            }
            guard let precision = digits.first, digits.count <= 2 else { return nil }
            return DecimalDigits(precision, digits.count == 2 ? digits[1] : 0).map { .number(.decimal($0)) }
        default: return nil
        }
    }

    /// `CASE … WHEN … THEN x … ELSE y END`: its values alone.
    private mutating func cases() -> DecimalExpression? {
        var parts: [Range<Int>] = []
        var start: Int?
        var depth = 0
        var index = at
        while index < end {
            let word = outline.text(index)
            if word == "case" { depth += 1 }
            if depth == 1, ["when", "else", "end"].contains(word), let begun = start {
                parts.append(begun..<index)
                start = nil
            }
            if depth == 1, word == "then" || word == "else" { start = index + 1 }
            if word == "end" { depth -= 1 }
            index = outline.partners[index] > index ? outline.partners[index] + 1 : index + 1
            if depth == 0 { break }
        }
        guard depth == 0 else { return nil }
        at = index
        return union(parts)
    }

    /// `FILTER (…)` and `OVER (…)`, which change no type.
    private mutating func skipWindow() {
        if next == "filter", outline.text(at + 1) == "(" { at = outline.partners[at + 1] + 1 }
        if next == "over" {
            at = outline.text(at + 1) == "(" ? outline.partners[at + 1] + 1 : at + 2
        }
    }
}

/// What must be asked to know the digits of the decimals that a query computes.
struct DecimalQuestion: Sendable, Equatable {
    /// Of each item of the SELECT; nil where its digits do not follow.
    var items: [DecimalExpression?]
    /// A query without rows, whose columns are those of the expressions; nil where there are none.
    var operands: String?

    /// Nil where nothing is computed that has digits of its own.
    static func of(
        _ outline: Outline, from start: Int, _ context: RewriteContext
    ) throws(TrinoSyntaxError) -> DecimalQuestion? {
        // Of a union the types are those of both sides.
        guard let select = SelectList.select(outline, from: start),
            outline.first(of: ["union", "except", "intersect"], in: start..<outline.tokens.count) == nil
        else { return nil }
        var reader = DecimalReader(outline)
        var items: [DecimalExpression?] = []
        for item in SelectList.items(outline, select) { items.append(reader.read(SelectList.value(outline, item))) }
        guard items.contains(where: { $0 != nil }) else { return nil }
        guard !reader.columns.isEmpty else { return DecimalQuestion(items: items, operands: nil) }
        guard let from = outline.first(of: ["from"], in: select..<outline.tokens.count),
            outline.clauses[from] == .from
        else { return nil }
        func text(_ range: Range<Int>) throws(TrinoSyntaxError) -> String {
            String(decoding: try Rewriter.rewrite(outline, range, context).bytes, as: UTF8.self)
        }
        var names: [String] = []
        for column in reader.columns { names.append(try text(column)) }
        let question =
            try text(start..<select) + " SELECT " + names.joined(separator: ", ") + " "
            + text(from..<SelectList.endOfFrom(outline, from)) + " LIMIT 0"
        return DecimalQuestion(items: items, operands: question)
    }
}
