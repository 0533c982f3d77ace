// SPDX-License-Identifier: Apache-2.0

/// What the columns of a query are called.
enum SelectList {
    /// The names of the outputs of the query that begins at `start`; none where that cannot be told.
    static func names(_ outline: Outline, from start: Int) -> [OutputName] {
        var index = start
        if outline.text(index) == "with" { index = endOfWith(outline, index) }
        while outline.text(index) == "(", outline.isQuery(index) { index += 1 }
        switch outline.text(index) {
        case "select": return items(outline, index).map { name(outline, $0) }
        case "values":
            let row = outline.split(index + 1..<outline.tokens.count)[0]
            let open = row.isEmpty ? index : outline.text(row.lowerBound) == "row" ? row.lowerBound + 1 : row.lowerBound
            let isRow = outline.text(open) == "("
            return [OutputName](repeating: .anonymous, count: isRow ? outline.items(in: open).count : 1)
        default: return []
        }
    }

    /// `WITH a AS (…), b AS (…)`: where the query itself begins.
    private static func endOfWith(_ outline: Outline, _ start: Int) -> Int {
        var index = outline.text(start + 1) == "recursive" ? start + 2 : start + 1
        while outline.isName(index) {
            index += 1
            if outline.text(index) == "(" { index = outline.partners[index] + 1 }
            guard outline.text(index) == "as", outline.text(index + 1) == "(" else { return outline.tokens.count }
            index = outline.partners[index + 1] + 1
            guard outline.text(index) == "," else { return index }
            index += 1
        }
        return outline.tokens.count
    }

    /// The SELECT of a query that is no more than one, behind its WITH.
    static func select(_ outline: Outline, from start: Int) -> Int? {
        let index = outline.text(start) == "with" ? endOfWith(outline, start) : start
        return outline.text(index) == "select" ? index : nil
    }

    /// The items of a SELECT.
    static func items(_ outline: Outline, _ select: Int) -> [Range<Int>] {
        var start = select + 1
        if outline.text(start) == "distinct"
            || outline.text(start) == "all" && outline.isOperand[start]
                && ![",", "from", ".", "as"].contains(outline.text(start + 1))
        {
            start += 1
        }
        var end = start
        while end < outline.tokens.count, !ends(outline, end) {
            end = outline.partners[end] > end ? outline.partners[end] + 1 : end + 1
        }
        return outline.split(start..<end)
    }

    /// The fields of those outputs that are rows of declared ones.
    static func rows(_ outline: Outline, from start: Int) -> [RowColumn?] {
        guard let select = select(outline, from: start) else { return [] }
        return items(outline, select).map { $0.isEmpty ? nil : RowColumn(outline, $0) }
    }

    /// An item without the name that AS gives it.
    static func value(_ outline: Outline, _ item: Range<Int>) -> Range<Int> {
        guard case .alias = name(outline, item) else { return item }
        let end = item.upperBound - 1
        return item.lowerBound..<(outline.text(end - 1) == "as" ? end - 1 : end)
    }

    /// Behind the tables of a FROM.
    static func endOfFrom(_ outline: Outline, _ from: Int) -> Int {
        var end = from + 1
        while end < outline.tokens.count, !ends(outline, end) {
            end = outline.partners[end] > end ? outline.partners[end] + 1 : end + 1
        }
        return end
    }

    private static func ends(_ outline: Outline, _ index: Int) -> Bool {
        switch outline.text(index) {
        case ")", ";", "union", "except", "intersect", "where", "having": true
        // `WITHIN GROUP (…)` is none.
        case "group": outline.text(index + 1) == "by"
        case "from": outline.clauses[index] == .from
        case "order": outline.clauses[index] == .orderBy
        case "limit", "offset", "fetch": outline.clauses[index] == .limit
        case "window": outline.clauses[index] == .window
        default: false
        }
    }

    private static func name(_ outline: Outline, _ item: Range<Int>) -> OutputName {
        guard let last = item.last, let first = item.first else { return .anonymous }
        if outline.text(last) == "*", item.count == 1 || outline.text(last - 1) == "." { return .star }
        guard outline.isName(last) else { return .anonymous }
        if item.count > 1, outline.text(last - 1) == "as" { return .alias(outline.value(last)) }
        let isReserved = outline.kind(last) == .word && Keywords.reserved.contains(outline.text(last))
        if outline.endOfChain(first) == item.upperBound { return isReserved ? .anonymous : .named(outline.value(last)) }
        // `count(*) n`: a name behind an operand. `INTERVAL '1' DAY` is none.
        guard !outline.isOperand[last], !isReserved, ![".", "over"].contains(outline.text(last - 1)),
            !isInterval(outline, last)
        else {
            return .anonymous
        }
        return .alias(outline.value(last))
    }

    private static func isInterval(_ outline: Outline, _ last: Int) -> Bool {
        guard outline.kind(last - 1) == .string else { return outline.text(last - 1) == "to" }
        return ["interval", "+", "-"].contains(outline.text(last - 2)) && intervalFields.contains(outline.text(last))
            || outline.text(last - 2) == "interval"
    }

    private static let intervalFields: Set<String> = ["year", "month", "week", "day", "hour", "minute", "second"]
}
