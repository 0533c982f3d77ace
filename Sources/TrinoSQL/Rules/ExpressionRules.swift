// SPDX-License-Identifier: Apache-2.0

extension Rules {
    static let expressions: [RewriteRule] = [
        RewriteRule("if", "PostgreSQL has CASE alone", words: ["if"]) {
            outline, index, context throws(TrinoSyntaxError) in
            guard outline.isCall(index) else { return nil }
            let arguments = outline.items(in: index + 1)
            guard arguments.count == 2 || arguments.count == 3 else {
                throw context.error(
                    .invalidFunctionArgument, "Invalid number of arguments for 'if' function", at: index, outline)
            }
            var pieces: [Rewrite.Piece] = [
                .text("(CASE WHEN "), .source(arguments[0]), .text(" THEN "), .source(arguments[1]),
            ]
            if arguments.count == 3 { pieces += [.text(" ELSE "), .source(arguments[2])] }
            return Rewrite(to: outline.partners[index + 1] + 1, pieces + [.text(" END)")])
        },
        RewriteRule(
            "concat", "PostgreSQL's concat takes NULL for an empty text; of texts and of arrays || does not",
            words: ["concat"]
        ) { outline, index, _ in
            guard outline.isCall(index) else { return nil }
            let arguments = outline.items(in: index + 1)
            guard arguments.count > 1 else { return nil }
            var pieces: [Rewrite.Piece] = [.text("(")]
            for (number, argument) in arguments.enumerated() {
                pieces += [.text(number == 0 ? "(" : " || ("), .source(argument), .text(")")]
            }
            return Rewrite(to: outline.partners[index + 1] + 1, pieces + [.text(")")])
        },
        RewriteRule(
            "greatest", "PostgreSQL's greatest and least pass over NULLs; in Trino one makes the result NULL",
            words: ["greatest", "least"]
        ) { outline, index, _ in
            guard outline.isCall(index), outline.partners[index + 1] > index + 2 else { return nil }
            let close = outline.partners[index + 1]
            return Rewrite(
                to: close + 1,
                [
                    .text("(CASE WHEN num_nulls("), .source(index + 2..<close), .text(") = 0 THEN "), .token(index),
                    .text("("), .source(index + 2..<close), .text(") END)"),
                ])
        },
        RewriteRule("try", "PostgreSQL cannot catch errors of an expression", words: ["try"]) { outline, index, _ in
            guard outline.isCall(index), outline.partners[index + 1] > index + 2 else { return nil }
            let close = outline.partners[index + 1]
            return Rewrite(to: close + 1, [.text("("), .tried(index + 2..<close), .text(")")])
        },
        RewriteRule(
            "division in try", "inside TRY a division by zero is NULL", on: [.text("/"), .text("%")]
        ) { outline, index, context in
            guard context.isTried, !outline.isOperand[index] else { return nil }
            let end = outline.endOfPrimary(index + 1)
            guard end <= outline.tokens.count else { return nil }
            return Rewrite(
                to: end, [.token(index), .text(" NULLIF("), .source(index + 1..<end), .text(", 0)")])
        },
        RewriteRule(
            "extract", "PostgreSQL's EXTRACT gives a numeric, and counts days of the week from Sunday",
            words: ["extract"]
        ) { outline, index, _ in
            guard outline.isCall(index), let function = extractFunctions[outline.text(index + 2)],
                outline.text(index + 3) == "from"
            else { return nil }
            let close = outline.partners[index + 1]
            let value = index + 4..<close
            guard let zone = outline.zone(of: value) else {
                return Rewrite(to: close + 1, [.text("trino.\(function)("), .source(value), .text(")")])
            }
            if function.hasPrefix("timezone") {
                return Rewrite(
                    to: close + 1,
                    [
                        .text("trino_dialect.\(function)("), .source(value), .text(", "), .source(zone), .text(")"),
                    ])
            }
            return Rewrite(to: close + 1, [.text("trino.\(function)(")] + wallClock(value, zone) + [.text(")")])
        },
        RewriteRule(
            "empty array", "PostgreSQL wants to be told the type of its elements", words: ["array"]
        ) { outline, index, _ in
            guard outline.isOperand[index], outline.text(index + 1) == "[", outline.text(index + 2) == "]",
                outline.text(index - 1) != "[", !outline.isWholeItem(index..<index + 3)
            else { return nil }
            // A text of no known type is what the other side is; a function must be told.
            let isArgument =
                outline.text(index + 3) == ")" && outline.text(index - 1) == "(" && outline.isCall(index - 2)
            return Rewrite(to: index + 3, [.text(isArgument ? "'{}'::text[]" : "'{}'")])
        },
        RewriteRule(
            "array of rows", "without the word ROW, either", words: ["array"]
        ) { outline, index, _ in arrayOfRows(outline, index) },
        RewriteRule(
            "row", "PostgreSQL's ROW has no type that a client could be told", words: ["row"]
        ) { outline, index, _ in
            guard outline.isCall(index), outline.clauses[index] != .values else { return nil }
            return Rewrite(to: index + 1, [.text("jsonb_build_array")])
        },
        RewriteRule(
            "zip", "PostgreSQL has no function of arrays that differ in type", words: ["zip"]
        ) { outline, index, _ in
            guard outline.isCall(index) else { return nil }
            var pieces: [Rewrite.Piece] = [.text("trino_dialect.zip_of(")]
            for (number, argument) in outline.items(in: index + 1).enumerated() {
                pieces += [.text(number == 0 ? "to_jsonb(" : ", to_jsonb("), .source(argument), .text(")")]
            }
            return Rewrite(to: outline.partners[index + 1] + 1, pieces + [.text(")")])
        },
        RewriteRule(
            "lambda", "PostgreSQL would read -> as an operator of JSON", on: [.text("->")]
        ) { outline, index, context throws(TrinoSyntaxError) in
            // `f(x -> …)`, `f((x, y) -> …)`; what has a key to its right is PostgreSQL's own operator.
            let start = outline.text(index - 1) == ")" ? outline.partners[index - 1] : index - 1
            guard ["(", ","].contains(outline.text(start - 1)), ![.string, .integer].contains(outline.kind(index + 1)),
                outline.text(index + 1) != ">"
            else { return nil }
            throw context.error(.notSupported, "lambda expressions are not supported", at: index, outline)
        },
        RewriteRule(
            "listagg", "PostgreSQL calls it string_agg, and orders inside its brackets", words: ["listagg"]
        ) { outline, index, _ in listagg(outline, index) },
        RewriteRule(
            "grouping", "both count alike, PostgreSQL in an integer", words: ["grouping"]
        ) { outline, index, _ in
            guard outline.isCall(index) else { return nil }
            let close = outline.partners[index + 1]
            return Rewrite(to: close + 1, [.token(index), .source(index + 1..<close + 1), .text("::bigint")])
        },
    ]

    private static let extractFunctions = [
        "year": "year", "quarter": "quarter", "month": "month", "week": "week", "day": "day", "day_of_month": "day",
        "day_of_week": "day_of_week", "dow": "day_of_week", "day_of_year": "day_of_year", "doy": "day_of_year",
        "year_of_week": "year_of_week", "yow": "year_of_week", "hour": "hour", "minute": "minute", "second": "second",
        "timezone_hour": "timezone_hour", "timezone_minute": "timezone_minute",
    ]

    /// `LISTAGG(x, ',') WITHIN GROUP (ORDER BY y)`
    private static func listagg(_ outline: Outline, _ index: Int) -> Rewrite? {
        guard outline.isCall(index) else { return nil }
        let close = outline.partners[index + 1]
        guard outline.text(close + 1) == "within", outline.text(close + 2) == "group", outline.text(close + 3) == "("
        else { return nil }
        let order = close + 3
        var arguments = outline.items(in: index + 1)
        // ON OVERFLOW …: nothing overflows here.
        if let last = arguments.last, let overflow = outline.first(of: ["on"], in: last) {
            arguments[arguments.count - 1] = last.lowerBound..<overflow
        }
        guard let value = arguments.first else { return nil }
        var pieces: [Rewrite.Piece] = [.text("string_agg("), .source(value)]
        pieces += arguments.count > 1 ? [.text(", "), .source(arguments[1])] : [.text(", ''")]
        pieces += [.text(" "), .source(order + 1..<outline.partners[order]), .text(")")]
        return Rewrite(to: outline.partners[order] + 1, pieces)
    }
}
