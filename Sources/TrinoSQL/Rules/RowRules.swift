// SPDX-License-Identifier: Apache-2.0
//
// `CAST(ROW(1, 'a') AS ROW(x BIGINT, y VARCHAR))`: of a row that is written where it is cast, the names and types of its
// fields are known. As a column of the result it is a row of PostgreSQL; elsewhere, where that would have no type, JSON.

/// A row that is written in its cast.
struct RowCast {
    struct Field {
        /// In lower case; nil for one without.
        var name: String?
        var type: Range<Int>
        var value: Range<Int>
    }

    var fields: [Field]
    var end: Int

    init?(_ outline: Outline, _ cast: Rules.Cast) {
        let row = cast.value.lowerBound
        let target = cast.target.lowerBound
        guard outline.text(row) == "row", outline.isCall(row), outline.partners[row + 1] == cast.value.upperBound - 1,
            outline.text(target) == "row", outline.text(target + 1) == "(",
            outline.partners[target + 1] == cast.target.upperBound - 1
        else { return nil }
        let values = outline.items(in: row + 1)
        let types = outline.items(in: target + 1)
        guard !types.isEmpty, values.count == types.count, (values + types).allSatisfy({ !$0.isEmpty }) else {
            return nil
        }
        end = cast.end
        fields = zip(types, values).map { type, value in
            let isNamed = Self.isNamed(outline, type)
            return Field(
                name: isNamed ? outline.value(type.lowerBound).lowercased() : nil,
                type: isNamed ? type.lowerBound + 1..<type.upperBound : type, value: value)
        }
    }

    /// Whether a field's type stands behind a name: `x bigint`, and not `double precision` or `timestamp with time zone`.
    private static func isNamed(_ outline: Outline, _ field: Range<Int>) -> Bool {
        guard field.count > 1, outline.isName(field.lowerBound) else { return false }
        let second = outline.text(field.lowerBound + 1)
        if second == "array" { return field.count > 2 }
        return outline.isName(field.lowerBound + 1)
            && !["precision", "with", "without", "day", "year", "varying"].contains(second)
    }

    /// A field's type for PostgreSQL.
    func spelling(_ field: Field, _ outline: Outline) -> String {
        TrinoType.postgres(outline, field.type) ?? TrinoType.text(outline, field.type)
    }

    /// Whether the cast at `index` is a column of the result, where a row of PostgreSQL can stand: rows of unlike types are
    /// not compared by GROUP BY, nor united.
    static func isColumn(_ outline: Outline, _ index: Int, end: Int) -> Bool {
        outline.depths[index] == 0 && !outline.isGrouped && outline.clauses[index] == .select
            && outline.isWholeItem(index..<end)
    }
}

/// The fields of a column of the result.
struct RowColumn: Sendable, Equatable {
    /// Nil for a field without a name.
    var names: [String?]
    /// The fields' types for PostgreSQL.
    var types: [String]

    /// Of an item of the SELECT, if it is such a cast.
    init?(_ outline: Outline, _ item: Range<Int>) {
        let value = SelectList.value(outline, item)
        guard outline.text(value.lowerBound) == "cast", let cast = Rules.Cast(outline, value.lowerBound),
            cast.end == value.upperBound, let row = RowCast(outline, cast),
            RowCast.isColumn(outline, value.lowerBound, end: cast.end)
        else { return nil }
        names = row.fields.map(\.name)
        types = row.fields.map { row.spelling($0, outline) }
    }
}

extension Rules {
    /// Whether an item of an array is a row, with the word or without it: `ROW(1, 'a')`, `(1, 'a')`.
    static func isRow(_ outline: Outline, _ item: Range<Int>) -> Bool {
        let open = openingOfRow(outline, item)
        return outline.text(open) == "(" && outline.partners[open] == item.upperBound - 1
            && (open > item.lowerBound
                || outline.items(in: open).count > 1
                    && !["select", "with", "values", "table"].contains(outline.text(open + 1)))
    }

    /// Where the bracket of such a row opens.
    static func openingOfRow(_ outline: Outline, _ item: Range<Int>) -> Int {
        outline.text(item.lowerBound) == "row" ? item.lowerBound + 1 : item.lowerBound
    }

    /// `ARRAY[(1, 'a'), (2, 'b')]`, whose rows have no word before them.
    static func arrayOfRows(_ outline: Outline, _ index: Int) -> Rewrite? {
        guard outline.text(index + 1) == "[", outline.partners[index + 1] > index + 1 else { return nil }
        let items = outline.items(in: index + 1)
        guard items.contains(where: { outline.text($0.lowerBound) == "(" && isRow(outline, $0) }) else { return nil }
        var pieces: [Rewrite.Piece] = [.token(index), .text("[")]
        for (number, item) in items.enumerated() {
            if number > 0 { pieces.append(.text(", ")) }
            let isBare = outline.text(item.lowerBound) == "(" && isRow(outline, item)
            pieces += isBare ? [.text("jsonb_build_array"), .source(item)] : [.source(item)]
        }
        return Rewrite(to: outline.partners[index + 1] + 1, pieces + [.text("]")])
    }

    /// A row that is written in its cast, or one field of it.
    static func row(_ outline: Outline, _ cast: Cast) -> Rewrite? {
        guard let row = RowCast(outline, cast) else { return nil }
        func piece(_ field: RowCast.Field) -> [Rewrite.Piece] {
            let inner = Cast(of: field.value, as: field.type, in: cast, outline)
            return typed(outline, inner)?.pieces
                ?? [.text("CAST("), .source(field.value), .text(" AS \(row.spelling(field, outline)))")]
        }
        if outline.text(cast.end) == ".", outline.isName(cast.end + 1) {
            let name = outline.value(cast.end + 1).lowercased()
            guard let field = row.fields.first(where: { $0.name == name }) else { return nil }
            return Rewrite(to: cast.end + 2, piece(field))
        }
        let isColumn = RowCast.isColumn(outline, cast.start, end: cast.end)
        var pieces: [Rewrite.Piece] = [.text(isColumn ? "ROW(" : "jsonb_build_array(")]
        for (number, field) in row.fields.enumerated() {
            if number > 0 { pieces.append(.text(", ")) }
            pieces += piece(field)
        }
        return Rewrite(to: cast.end, pieces + [.text(")")])
    }
}
