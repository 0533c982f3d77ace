// SPDX-License-Identifier: Apache-2.0
//
// UNNEST in a FROM: PostgreSQL's has columns that are called `unnest`, takes no maps but ours alone, and no rows.

extension Rules {
    /// `UNNEST(…)`, with its WITH ORDINALITY and its alias where the columns are given no names.
    static func unnest(_ outline: Outline, _ index: Int) -> Rewrite? {
        let close = outline.partners[index + 1]
        let rows = writtenRows(outline, index)
        let arguments = outline.items(in: index + 1).flatMap { parts(outline, $0) }
        var columns = rows?.columns ?? arguments.count
        var end = close + 1
        if rows == nil, outline.text(end) == "with", outline.text(end + 1) == "ordinality" {
            columns += 1
            end += 2
        }
        let alias = outline.tableAlias(end)
        let hasNames = alias.map { outline.text($0.upperBound) == "(" } ?? false
        guard hasNames || columns == 0 else {
            let names = (0..<columns).map { quotedName("_col\($0)") }.joined(separator: ", ")
            let whole = (rows?.pieces ?? functions(arguments)) + [.source(close + 1..<end)]
            guard let alias else {
                return Rewrite(to: end, whole + [.text(" AS \"_unnest\(index)\"(\(names))")])
            }
            return Rewrite(to: alias.upperBound, whole + [.text(" "), .source(alias), .text("(\(names))")])
        }
        if let rows { return Rewrite(to: close + 1, rows.pieces) }
        return arguments.count > 1 ? Rewrite(to: close + 1, functions(arguments)) : nil
    }

    /// The arrays that an argument stands for.
    private static func parts(_ outline: Outline, _ argument: Range<Int>) -> [Range<Int>] {
        // The arrays of a map that is written here have types; its JSON has none.
        if let map = writtenMap(outline, argument) { return [map.keys, map.values] }
        // The rows of a zip are the arrays side by side.
        let start = argument.lowerBound
        if outline.text(start) == "zip", outline.isCall(start),
            outline.partners[start + 1] == argument.upperBound - 1
        {
            return outline.items(in: start + 1)
        }
        return [argument]
    }

    private static func functions(_ arguments: [Range<Int>]) -> [Rewrite.Piece] {
        guard arguments.count > 1 else { return [.text("unnest(")] + arguments.map { .source($0) } + [.text(")")] }
        var pieces: [Rewrite.Piece] = [.text("ROWS FROM (")]
        for (number, argument) in arguments.enumerated() {
            pieces += [.text(number == 0 ? "unnest(" : ", unnest("), .source(argument), .text(")")]
        }
        return pieces + [.text(")")]
    }

    /// `UNNEST(ARRAY[ROW(1, 'a'), ROW(2, 'b')])`: rows of columns, which JSON would not be.
    private static func writtenRows(
        _ outline: Outline, _ index: Int
    ) -> (pieces: [Rewrite.Piece], columns: Int)? {
        let close = outline.partners[index + 1]
        let array = index + 2
        guard outline.text(array) == "array", outline.text(array + 1) == "[", outline.partners[array + 1] == close - 1,
            outline.text(close + 1) != "with"
        else { return nil }
        let rows = outline.items(in: array + 1)
        guard let first = rows.first, rows.allSatisfy({ isRow(outline, $0) }) else { return nil }
        var pieces: [Rewrite.Piece] = [.text("LATERAL (VALUES ")]
        for (number, row) in rows.enumerated() {
            if number > 0 { pieces.append(.text(", ")) }
            pieces.append(.source(openingOfRow(outline, row)..<row.upperBound))
        }
        return (pieces + [.text(")")], outline.items(in: openingOfRow(outline, first)).count)
    }
}
