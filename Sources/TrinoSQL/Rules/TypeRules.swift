// SPDX-License-Identifier: Apache-2.0

extension Rules {
    static let types: [RewriteRule] = [
        RewriteRule(
            "cast", "types have other names in PostgreSQL", words: ["cast"]
        ) { outline, index, context in
            guard let cast = Cast(outline, index) else { return nil }
            if !context.isTried, let row = row(outline, cast) { return row }
            if context.isTried { return tryCast(outline, cast) }
            return typed(outline, cast)
                ?? cast.type.map { type in
                    Rewrite(
                        to: cast.end, [.token(index), .token(index + 1), .source(cast.value), .text(" AS \(type))")])
                }
        },
        RewriteRule(
            "try_cast", "PostgreSQL has no cast that gives NULL for what it cannot read", words: ["try_cast"]
        ) { outline, index, _ in Cast(outline, index).map { tryCast(outline, $0) } },
    ]

    /// `CAST(value AS type)`, from its name to its bracket.
    struct Cast {
        var start: Int
        var end: Int
        var value: Range<Int>
        var target: Range<Int>
        /// A part of another, with a type of its own.
        init(of value: Range<Int>, as target: Range<Int>, in outer: Cast, _ outline: Outline) {
            start = outer.start
            end = outer.end
            self.value = value
            self.target = target
            type = TrinoType.postgres(outline, target)
            spelling = type ?? TrinoType.text(outline, target)
        }

        /// The type for PostgreSQL, where it needs another spelling.
        var type: String?
        /// The type as PostgreSQL understands it.
        var spelling: String

        init?(_ outline: Outline, _ index: Int) {
            guard outline.isCall(index) else { return nil }
            let close = outline.partners[index + 1]
            guard let separator = outline.first(of: ["as"], in: index + 2..<close), separator > index + 2,
                separator + 1 < close
            else { return nil }
            start = index
            end = close + 1
            value = index + 2..<separator
            target = separator + 1..<close
            type = TrinoType.postgres(outline, target)
            let tokens = outline.tokens
            spelling =
                type
                ?? String(
                    decoding: outline.source[
                        tokens[target.lowerBound].range.lowerBound..<tokens[close - 1].range.upperBound],
                    as: UTF8.self)
        }
    }

    /// Casts whose result differs, whatever the value.
    static func typed(_ outline: Outline, _ cast: Cast) -> Rewrite? {
        let target = outline.text(cast.target.lowerBound)
        // A text becomes a JSON string, and is not parsed; that is json_parse.
        if cast.spelling == "jsonb", target == "json" {
            return Rewrite(to: cast.end, [.text("trino_dialect.to_json("), .source(cast.value), .text(")")])
        }
        // Only JSON is written otherwise as a text; and PostgreSQL cannot make an array of it.
        if target == "array" || outline.text(cast.target.upperBound - 1) == "array" {
            if outline.text(cast.value.lowerBound) == "array" || outline.kind(cast.value.lowerBound) == .string
                || cast.value.count == 1 && outline.text(cast.value.lowerBound) == "null"
            {
                return nil
            }
            return called("to_array", cast, [.text(", NULL::\(cast.spelling)")])
        }
        let isZoned = outline.first(of: ["with"], in: cast.target) != nil
        if !isZoned, ["date", "time", "timestamp"].contains(target), let zone = outline.zone(of: cast.value) {
            return Rewrite(
                to: cast.end, [.text("CAST(")] + wallClock(cast.value, zone) + [.text(" AS \(cast.spelling))")])
        }
        guard let function = strictCasts[target], !isPlain(outline, cast, target) else { return nil }
        if function == "to_decimal" {
            let digits = digits(of: cast)
            return called(function, cast, [.text(", \(digits.precision), \(digits.scale)")])
        }
        return called(isZoned ? "\(function)tz" : function, cast)
    }

    /// A call of a function that casts. Digits and lengths are not part of what a function returns, so they are cast to
    /// once more.
    private static func called(_ function: String, _ cast: Cast, _ more: [Rewrite.Piece] = []) -> Rewrite {
        let isDeclared = cast.spelling.contains("(")
        var pieces: [Rewrite.Piece] = [
            .text("\(isDeclared ? "CAST(" : "")trino_dialect.\(function)("), .source(cast.value),
        ]
        pieces += more + [.text(")")]
        if isDeclared { pieces.append(.text(" AS \(cast.spelling))")) }
        return Rewrite(to: cast.end, pieces)
    }

    /// The digits of a decimal, and those behind the point.
    private static func digits(of cast: Cast) -> (precision: Substring, scale: Substring) {
        let digits = cast.spelling.split { $0 == "(" || $0 == ")" || $0 == "," || $0 == " " }.dropFirst()
        return (digits.first ?? "38", digits.count > 1 ? digits.last ?? "0" : "0")
    }

    /// Functions that cast as Trino does. It rounds halves away from zero, PostgreSQL rounds those of doubles to even, and
    /// takes 15 digits of one for a decimal; it reads fewer texts as a time or a boolean, and JSON's nulls and texts as
    /// numbers; and PostgreSQL has no type of one byte.
    private static let strictCasts = [
        "bigint": "to_bigint", "integer": "to_integer", "int": "to_integer", "smallint": "to_smallint",
        "tinyint": "to_tinyint", "double": "to_double", "real": "to_real", "decimal": "to_decimal",
        "numeric": "to_decimal",
        "boolean": "to_boolean", "date": "to_date", "time": "to_time", "timestamp": "to_timestamp",
        "varchar": "to_varchar",
    ]

    /// Whether PostgreSQL's own cast of this literal is the same: it is a constant for the planner.
    private static func isPlain(_ outline: Outline, _ cast: Cast, _ target: String) -> Bool {
        guard cast.value.count == 1 else { return false }
        let kind = outline.kind(cast.value.lowerBound)
        switch target {
        case "bigint", "integer", "int", "varchar": return kind == .string || kind == .integer
        case "smallint", "double", "real", "decimal", "numeric":
            return kind == .string || kind == .integer || kind == .decimal
        case "date", "timestamp":
            guard kind == .string else { return false }
            let text = TimeText.trimmed(outline.value(cast.value.lowerBound))
            return target == "date" ? TimeText.isDate(text) : TimeText.isTimestamp(text)
        default: return false
        }
    }

    private static func tryCast(_ outline: Outline, _ cast: Cast) -> Rewrite {
        // The target comes along as a NULL of its type. A length or a scale is not part of the type of a value, so it is
        // cast to once more, where it fits.
        let value: [Rewrite.Piece] = [
            .text("trino_dialect.try_cast("), .tried(cast.value), .text(", NULL::\(cast.spelling))"),
        ]
        let fits: [Rewrite.Piece]
        switch outline.text(cast.target.lowerBound) {
        case "tinyint": fits = [.text("trino_dialect.fitting_tinyint(")] + value + [.text(")")]
        case "decimal", "numeric":
            let digits = digits(of: cast)
            fits =
                [.text("trino_dialect.fitting_decimal(")] + value
                + [.text(", \(digits.precision), \(digits.scale))")]
        default: fits = value
        }
        return Rewrite(to: cast.end, [.text("CAST(")] + fits + [.text(" AS \(cast.spelling))")])
    }
}
