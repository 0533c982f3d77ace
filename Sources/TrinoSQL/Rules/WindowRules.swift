// SPDX-License-Identifier: Apache-2.0

extension Rules {
    static let windows: [RewriteRule] = [
        RewriteRule(
            "ntile", "PostgreSQL's is an integer, Trino's a bigint", words: ["ntile"]
        ) { outline, index, _ in
            guard outline.isCall(index), let end = endOfWindow(outline, outline.partners[index + 1]) else { return nil }
            return Rewrite(
                to: end, [.text("CAST("), .token(index), .source(index + 1..<end), .text(" AS bigint)")])
        },
        RewriteRule(
            "ignore nulls", "PostgreSQL 15 has no IGNORE NULLS, but aggregates over frames pass over NULLs",
            words: ["first_value", "last_value", "lag", "lead", "nth_value"]
        ) { outline, index, context throws(TrinoSyntaxError) in
            guard outline.isCall(index) else { return nil }
            let close = outline.partners[index + 1]
            guard ["ignore", "respect"].contains(outline.text(close + 1)), outline.text(close + 2) == "nulls" else {
                return nil
            }
            let over = close + 3
            if outline.text(close + 1) == "respect" {
                return Rewrite(to: over, [.token(index), .source(index + 1..<close + 1)])
            }
            let value = index + 1..<close + 1
            switch outline.text(index) {
            case "first_value": return Rewrite(to: over, [.text("trino.any_value"), .source(value)])
            case "last_value": return Rewrite(to: over, [.text("trino_dialect.last_known"), .source(value)])
            case "lag", "lead":
                // All rows before this one, or behind it; a frame of the statement's own does not matter to these.
                guard outline.items(in: index + 1).count == 1, outline.text(over) == "over",
                    outline.text(over + 1) == "("
                else { break }
                let isLag = outline.text(index) == "lag"
                let function = isLag ? "trino_dialect.last_known" : "trino.any_value"
                let frame = isLag ? "UNBOUNDED PRECEDING AND 1 PRECEDING" : "1 FOLLOWING AND UNBOUNDED FOLLOWING"
                let end = outline.partners[over + 1]
                return Rewrite(
                    to: end + 1,
                    [
                        .text(function), .source(value), .text(" OVER ("), .source(over + 2..<end),
                        .text(" ROWS BETWEEN \(frame))"),
                    ])
            default: break
            }
            throw context.error(
                .notSupported,
                "IGNORE NULLS is supported for first_value, last_value, and lag and lead of one argument over (…)",
                at: close + 1, outline)
        },
    ]

    /// Behind `OVER (…)` or `OVER name`, where a call closes at `close`, over its FILTER.
    private static func endOfWindow(_ outline: Outline, _ close: Int) -> Int? {
        var over = close + 1
        if outline.text(over) == "filter", outline.text(over + 1) == "(" { over = outline.partners[over + 1] + 1 }
        guard outline.text(over) == "over" else { return nil }
        if outline.text(over + 1) == "(" { return outline.partners[over + 1] + 1 }
        return outline.isName(over + 1) ? over + 2 : nil
    }
}
