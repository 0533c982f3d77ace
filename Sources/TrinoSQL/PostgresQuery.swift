// SPDX-License-Identifier: Apache-2.0

/// A statement for PostgreSQL, and how what PostgreSQL answers relates to what the user typed.
package struct PostgresQuery: Sendable, Equatable {
    /// One statement, without parameters.
    package let text: String
    /// What the sent statement must be run with: `SET LOCAL` these, in order, before it.
    package let settings: [Setting]
    /// What the columns are called, where that is not what PostgreSQL calls them.
    let outputNames: [OutputName]
    /// What decimals are computed of.
    private let decimals: DecimalQuestion?
    /// Of each output the fields that it was declared with, if it is a row.
    private let rows: [RowColumn?]
    /// What the user typed, with places for arguments as they are.
    let source: StatementSource
    private let rendered: SourceMappedText

    /// A setting of PostgreSQL for one statement.
    package struct Setting: Sendable, Equatable {
        package var name: String
        package var value: String
    }

    init(
        _ rendered: SourceMappedText, source: StatementSource, names: [OutputName], decimals: DecimalQuestion? = nil,
        rows: [RowColumn?] = [], settings: [Setting]
    ) {
        self.decimals = decimals
        self.rows = rows.contains { $0 != nil } ? rows : []
        self.rendered = rendered
        self.source = source
        self.settings = settings
        outputNames = names
        text = String(decoding: rendered.bytes, as: UTF8.self)
    }

    /// The names of the columns, from those that PostgreSQL gives them.
    ///
    /// Trino keeps the case in which a name was written, and calls what has no name `_col0`, `_col1`, … by its place.
    package func columnNames(_ names: [String]) -> [String] {
        OutputName.names(outputNames, names)
    }

    /// Which of `count` columns AS gave a name, as far as the statement tells.
    package func aliased(_ count: Int) -> [Bool] {
        OutputName.places(outputNames, over: count).map { place in
            if let place, case .alias = outputNames[place] { true } else { false }
        }
    }

    /// A query without rows, whose columns are what decimals are computed of; nil where none are.
    package var decimalOperands: String? { decimals?.operands }

    /// The digits of each of `count` columns that is a decimal, as far as they follow from the statement.
    ///
    /// - Parameter operands: The types of the columns of ``decimalOperands``; nil for one that is no number, or has digits
    ///   that nobody knows.
    package func decimals(_ count: Int, operands: [NumberType?]) -> [DecimalDigits?] {
        guard let decimals, decimals.items.count == outputNames.count else {
            return [DecimalDigits?](repeating: nil, count: count)
        }
        return OutputName.places(outputNames, over: count).map { place in
            guard let place, case .decimal(let digits)? = decimals.items[place]?.type(operands) else { return nil }
            return digits
        }
    }

    /// The fields of each of `count` columns that was declared as a row: their names, and a query without rows that has
    /// columns of their types.
    package func rows(_ count: Int) -> [(names: [String?], types: String)?] {
        guard !rows.isEmpty, rows.count == outputNames.count else { return [] }
        return OutputName.places(outputNames, over: count).map { place in
            guard let place, let row = rows[place] else { return nil }
            return (
                row.names, "SELECT " + row.types.map { "NULL::\($0)" }.joined(separator: ", ") + " LIMIT 0"
            )
        }
    }

    /// The place in what the user typed of a position in ``text`` (in characters, from 1).
    package func location(ofPosition position: Int) -> TrinoLocation {
        source.location(ofByte: sourceByte(ofPosition: position))
    }

    /// The same query, explained.
    func explained(by form: ExplainForm) -> PostgresQuery {
        var rendered = SourceMappedText(capacity: text.utf8.count + form.prefix.utf8.count)
        rendered.write(form.prefix + text, for: 0)
        return PostgresQuery(rendered, source: source, names: [], settings: settings)
    }

    /// The byte of the statement with its arguments from which the character at `position` came.
    func sourceByte(ofPosition position: Int) -> Int {
        rendered.source(ofByte: rendered.byte(ofCharacter: position))
    }
}

/// How a column of the result is called.
enum OutputName: Sendable, Equatable {
    /// A column's own, as it was written.
    case named(String)
    /// As AS calls it.
    case alias(String)
    /// It has no name.
    case anonymous
    /// Any number of columns, which keep their names.
    case star

    static func names(_ outputs: [OutputName], _ names: [String]) -> [String] {
        var uses: [String: Int] = [:]
        for name in names where isPlace(name) { uses[name, default: 0] += 1 }
        return zip(places(outputs, over: names.count), names).enumerated().map { index, column in
            switch column.0.map({ outputs[$0] }) {
            case .named(let name), .alias(let name): name
            case .anonymous: "_col\(index)"
            // The name by which a query around this one finds it. Only where several subqueries have called theirs so, which
            // nobody could tell apart, it is told by its place here, as Trino tells all of them.
            case .star, nil: uses[column.1, default: 0] > 1 ? "_col\(index)" : column.1
            }
        }
    }

    private static func isPlace(_ name: String) -> Bool {
        name.hasPrefix("_col") && name.utf8.count > 4 && name.utf8.dropFirst(4).allSatisfy { (48...57).contains($0) }
    }

    /// Which output each of `count` columns is; nil for those of a star.
    static func places(_ outputs: [OutputName], over count: Int) -> [Int?] {
        var result = [Int?](repeating: nil, count: count)
        let stars = outputs.count { $0 == .star }
        let starred = count - (outputs.count - stars)
        // With several stars nobody knows where one ends; what stands before the first and after the last is certain.
        guard stars <= 1 || starred >= 0, stars > 0 || starred == 0 else { return result }
        for (index, output) in outputs.enumerated() {
            if output == .star { break }
            result[index] = index
        }
        guard stars > 0 else { return result }
        for (index, output) in outputs.reversed().enumerated() {
            if output == .star { break }
            result[count - 1 - index] = outputs.count - 1 - index
        }
        return result
    }
}

/// A statement as the user typed it, and as it is with the arguments of EXECUTE in their places.
struct StatementSource: Sendable, Equatable {
    /// As it was typed.
    let typed: [UInt8]
    /// With arguments; the same when there are none.
    let bytes: [UInt8]
    private let substituted: SourceMappedText?

    init(_ typed: [UInt8]) {
        self.typed = typed
        bytes = typed
        substituted = nil
    }

    init(_ typed: [UInt8], substituted: SourceMappedText) {
        self.typed = typed
        bytes = substituted.bytes
        self.substituted = substituted
    }

    /// The place in what was typed of a byte of ``bytes``.
    func location(ofByte offset: Int) -> TrinoLocation {
        TrinoLocation(ofByte: substituted?.source(ofByte: offset) ?? offset, in: typed)
    }
}
