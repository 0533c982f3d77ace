// SPDX-License-Identifier: Apache-2.0

extension Rules {
    static let types: [RewriteRule] = [
        RewriteRule(
            "cast", "types have other names in PostgreSQL", words: ["cast"]
        ) { outline, index, context in
            guard let cast = Cast(outline, index) else { return nil }
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
    private static func typed(_ outline: Outline, _ cast: Cast) -> Rewrite? {
        // A text becomes a JSON string, and is not parsed; that is json_parse.
        if cast.spelling == "jsonb", outline.text(cast.target.lowerBound) == "json" {
            return Rewrite(to: cast.end, [.text("trino_dialect.to_json("), .source(cast.value), .text(")")])
        }
        // Trino rounds halves away from zero, PostgreSQL rounds those of doubles to even.
        if let function = roundingCasts[outline.text(cast.target.lowerBound)], cast.target.count == 1,
            !isLiteral(outline, cast.value)
        {
            return Rewrite(to: cast.end, [.text("trino_dialect.\(function)("), .source(cast.value), .text(")")])
        }
        return nil
    }

    private static let roundingCasts = [
        "bigint": "to_bigint", "integer": "to_integer", "int": "to_integer",
    ]

    private static func isLiteral(_ outline: Outline, _ value: Range<Int>) -> Bool {
        value.count == 1 && [.string, .integer].contains(outline.kind(value.lowerBound))
    }

    private static func tryCast(_ outline: Outline, _ cast: Cast) -> Rewrite {
        // The target comes along as a NULL of its type. A length or a scale is not part of the type of a value, so it is
        // cast to once more.
        Rewrite(
            to: cast.end,
            [
                .text("CAST(trino_dialect.try_cast("), .tried(cast.value),
                .text(", NULL::\(cast.spelling)) AS \(cast.spelling))"),
            ])
    }
}
