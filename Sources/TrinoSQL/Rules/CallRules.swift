// SPDX-License-Identifier: Apache-2.0

extension Rules {
    static let calls: [RewriteRule] =
        aggregates + [
            RewriteRule(
                "parse_data_size", "a function of PostgreSQL cannot say that its decimal has no digits after the point",
                words: ["parse_data_size"]
            ) { outline, index, _ in
                guard outline.isCall(index) else { return nil }
                let close = outline.partners[index + 1]
                return Rewrite(
                    to: close + 1,
                    [
                        .text("CAST(trino.parse_data_size("), .source(index + 2..<close),
                        .text(") AS decimal(38, 0))"),
                    ])
            },
            RewriteRule(
                "functions PostgreSQL lacks", "they are in the schema trino, whatever the search path",
                words: FunctionNames.missing.sorted()
            ) { outline, index, context in
                guard outline.isCall(index) else { return nil }
                let name = outline.text(index)
                if context.isTried, FunctionNames.tried.contains(name) {
                    return Rewrite(to: index + 1, [.text("trino_dialect.try_\(name)")])
                }
                return Rewrite(to: index + 1, [.text("trino.\(name)")])
            },
            RewriteRule(
                "functions that differ",
                "PostgreSQL has one of this name that does something else, or gives another type",
                words: FunctionNames.different.sorted()
            ) { outline, index, _ in
                guard outline.isCall(index) else { return nil }
                // `substring(x FROM 1)` is no call of a function, but the standard's own syntax.
                let arguments = index + 2..<outline.partners[index + 1]
                if outline.text(index) == "substring", outline.first(of: ["from"], in: arguments) != nil { return nil }
                return Rewrite(to: index + 1, [.text("trino_dialect.\(outline.text(index))")])
            },
            RewriteRule(
                "functions with another name", "PostgreSQL has the same under another name",
                words: FunctionNames.renamed.keys.sorted()
            ) { outline, index, _ in
                guard outline.isCall(index), let name = FunctionNames.renamed[outline.text(index)] else { return nil }
                return Rewrite(to: index + 1, [.text(name)])
            },
        ]

    private static let aggregates: [RewriteRule] = [
        RewriteRule("count_if", "PostgreSQL counts what is not NULL", words: ["count_if"]) { outline, index, _ in
            guard outline.isCall(index), outline.items(in: index + 1).count == 1 else { return nil }
            let close = outline.partners[index + 1]
            let isDistinct = outline.text(index + 2) == "distinct"
            return Rewrite(
                to: close + 1,
                [
                    .text("count(\(isDistinct ? "DISTINCT " : "")CASE WHEN "),
                    .source(index + (isDistinct ? 3 : 2)..<close), .text(" THEN 1 END)"),
                ])
        },
        RewriteRule(
            "approx_distinct", "PostgreSQL counts exactly, which is an approximation, too", words: ["approx_distinct"]
        ) { outline, index, _ in
            guard outline.isCall(index), let value = outline.items(in: index + 1).first,
                outline.text(outline.partners[index + 1] + 1) != "over"
            else { return nil }
            return Rewrite(
                to: outline.partners[index + 1] + 1, [.text("count(DISTINCT "), .source(value), .text(")")])
        },
        RewriteRule(
            "approx_percentile", "PostgreSQL's own is exact, and written WITHIN GROUP", words: ["approx_percentile"]
        ) { outline, index, _ in
            guard outline.isCall(index) else { return nil }
            var arguments = outline.items(in: index + 1)
            let close = outline.partners[index + 1]
            guard outline.text(close + 1) != "over" else { return nil }
            // Presto's `approx_percentile(x, 0.5, 0.01)` ends with an accuracy; Trino's has a weight in the middle.
            if arguments.count == 3, arguments[1].count == 1,
                arguments[2].count == 1, [.decimal, .double].contains(outline.kind(arguments[2].lowerBound)),
                let share = Double(outline.sourceText(arguments[1].lowerBound)), share > 0, share < 1
            {
                arguments.removeLast()
            }
            if arguments.count == 3 { return weightedPercentile(outline, arguments, close) }
            guard arguments.count == 2 else { return nil }
            return Rewrite(
                to: close + 1,
                [
                    .text("percentile_disc("), .source(arguments[1]), .text(") WITHIN GROUP (ORDER BY "),
                    .source(arguments[0]), .text(")"),
                ])
        },
        RewriteRule(
            "max_by", "the value of the greatest key, of the smallest, or of several", words: ["max_by", "min_by"]
        ) { outline, index, _ in extremeBy(outline, index) },
        RewriteRule(
            "set_agg", "PostgreSQL writes DISTINCT", words: ["set_agg"]
        ) { outline, index, _ in
            guard outline.isCall(index), outline.items(in: index + 1).count == 1 else { return nil }
            let close = outline.partners[index + 1]
            return Rewrite(to: close + 1, [.text("array_agg(DISTINCT "), .source(index + 2..<close), .text(")")])
        },
        RewriteRule(
            "multimap_agg", "an aggregate of ours would be slower than array_agg", words: ["multimap_agg"]
        ) { outline, index, _ in
            guard outline.isCall(index) else { return nil }
            let arguments = outline.items(in: index + 1)
            guard arguments.count == 2 else { return nil }
            let (filter, end) = filterClause(outline, behind: outline.partners[index + 1])
            return Rewrite(
                to: end,
                [.text("trino_dialect.multimap_of(array_agg("), .source(arguments[0]), .text(")")] + filter
                    + [.text(", array_agg(to_jsonb("), .source(arguments[1]), .text("))")] + filter + [.text(")")])
        },
        RewriteRule(
            "approx_most_frequent", "the same, and PostgreSQL counts exactly", words: ["approx_most_frequent"]
        ) { outline, index, _ in
            guard outline.isCall(index) else { return nil }
            let arguments = outline.items(in: index + 1)
            guard arguments.count == 3 else { return nil }
            let (filter, end) = filterClause(outline, behind: outline.partners[index + 1])
            return Rewrite(
                to: end,
                [.text("trino_dialect.frequent_of(array_agg("), .source(arguments[1]), .text(")")] + filter
                    + [.text(", "), .source(arguments[0]), .text(")")])
        },
        RewriteRule(
            "numeric_histogram", "an aggregate of ours would be slower than array_agg", words: ["numeric_histogram"]
        ) { outline, index, _ in
            guard outline.isCall(index) else { return nil }
            let arguments = outline.items(in: index + 1)
            guard arguments.count == 2 || arguments.count == 3 else { return nil }
            let (filter, end) = filterClause(outline, behind: outline.partners[index + 1])
            let weight: [Rewrite.Piece] =
                arguments.count == 3 ? [.text("("), .source(arguments[2]), .text(")::")] : [.text("1::")]
            return Rewrite(
                to: end,
                [
                    .text("trino_dialect.numeric_histogram_of("), .source(arguments[0]), .text(", array_agg(("),
                    .source(arguments[1]), .text(")::double precision)"),
                ] + filter + [.text(", array_agg(")] + weight
                    + [.text("double precision)")] + filter + [.text(")")])
        },
        RewriteRule(
            "max of several", "PostgreSQL's max and min have one argument", words: ["max", "min"]
        ) { outline, index, _ in
            guard outline.isCall(index) else { return nil }
            let arguments = outline.items(in: index + 1)
            let close = outline.partners[index + 1]
            guard arguments.count == 2, outline.text(close + 1) != "over" else { return nil }
            let order = outline.text(index) == "max" ? " DESC" : ""
            return Rewrite(
                to: close + 1,
                [
                    .text("(array_agg("), .source(arguments[0]), .text(" ORDER BY "), .source(arguments[0]),
                    .text("\(order)) FILTER (WHERE "), .source(arguments[0]), .text(" IS NOT NULL))[1:"),
                    .source(arguments[1]), .text("]"),
                ])
        },
    ]

    /// `approx_percentile(x, w, p)`: of the values and their weights, as arrays in one order.
    private static func weightedPercentile(_ outline: Outline, _ arguments: [Range<Int>], _ close: Int) -> Rewrite {
        let (filter, end) = filterClause(outline, behind: close)
        return Rewrite(
            to: end,
            [.text("trino_dialect.weighted_percentile(array_agg("), .source(arguments[0]), .text(")")] + filter
                + [.text(", array_agg(("), .source(arguments[1]), .text(")::double precision)")] + filter
                + [.text(", "), .source(arguments[2]), .text(")")])
    }

    /// The FILTER behind a call whose bracket closes at `close`, and where it ends.
    private static func filterClause(_ outline: Outline, behind close: Int) -> ([Rewrite.Piece], Int) {
        guard outline.text(close + 1) == "filter", outline.text(close + 2) == "(" else { return ([], close + 1) }
        let end = outline.partners[close + 2] + 1
        return ([.text(" "), .source(close + 1..<end)], end)
    }

    /// `max_by(x, y)` and `max_by(x, y, n)`, with their FILTER: rows whose key is NULL do not count.
    private static func extremeBy(_ outline: Outline, _ index: Int) -> Rewrite? {
        guard outline.isCall(index) else { return nil }
        var arguments = outline.items(in: index + 1)
        var end = outline.partners[index + 1] + 1
        // DISTINCT changes nothing about which is the greatest.
        if arguments.count == 2, outline.text(index + 2) == "distinct" {
            arguments[0] = arguments[0].lowerBound + 1..<arguments[0].upperBound
        }
        guard arguments.count == 2 || arguments.count == 3, outline.text(end) != "over" else { return nil }
        let order = outline.text(index) == "max_by" ? " DESC" : ""
        var pieces: [Rewrite.Piece] = [
            .text(arguments.count == 3 ? "(array_agg(" : "trino_dialect.first_of(array_agg("), .source(arguments[0]),
            .text(" ORDER BY "), .source(arguments[1]), .text("\(order)) FILTER (WHERE ("), .source(arguments[1]),
            .text(") IS NOT NULL"),
        ]
        if outline.text(end) == "filter", outline.text(end + 1) == "(", outline.text(end + 2) == "where" {
            let close = outline.partners[end + 1]
            pieces += [.text(" AND ("), .source(end + 3..<close), .text(")")]
            end = close + 1
        }
        if arguments.count == 2 { return Rewrite(to: end, pieces + [.text("))")]) }
        return Rewrite(to: end, pieces + [.text("))[1:"), .source(arguments[2]), .text("]")])
    }
}

/// Which functions are where. A function that is in none of these lists is PostgreSQL's own.
enum FunctionNames {
    /// In the schema `trino`, which is on the search path of everybody: PostgreSQL has none of these names.
    static let missing: Set<String> = [
        "approx_distinct", "approx_percentile", "arbitrary", "any_value", "array_distinct", "array_except",
        "array_average", "array_first", "array_frequency", "array_histogram",
        "array_last", "array_sum", "checksum", "combinations", "contains_sequence", "crc32", "entropy", "flatten",
        "map_from_entries", "multimap_from_entries",
        "ngrams", "shuffle", "soundex", "split_to_multimap",
        "array_intersect", "array_join", "array_max", "array_min", "array_sort", "array_union", "arrays_overlap",
        "at_timezone", "bitwise_and", "bitwise_left_shift", "bitwise_not", "bitwise_or", "bitwise_right_shift",
        "bitwise_right_shift_arithmetic",
        "bitwise_xor", "codepoint", "contains", "cosine_distance", "cosine_similarity", "count_if", "current_timezone",
        "date_add", "date_diff", "date_format",
        "date_parse", "day", "day_of_month", "day_of_week", "day_of_year", "dot_product", "dow", "doy", "e",
        "element_at", "euclidean_distance",
        "format_datetime", "format_number", "from_base", "from_base32", "from_base64", "from_base64url",
        "from_big_endian_32", "from_big_endian_64", "from_hex", "from_ieee754_32", "from_ieee754_64",
        "from_iso8601_date",
        "from_iso8601_timestamp", "from_iso8601_timestamp_nanos", "from_unixtime", "from_unixtime_nanos", "from_utf8",
        "geometric_mean", "hamming_distance", "histogram", "hmac_md5", "hmac_sha1", "hmac_sha256", "hmac_sha512",
        "hour", "human_readable_seconds", "infinity", "inverse_normal_cdf", "is_finite",
        "is_infinite", "is_json_scalar", "is_nan", "json_array_contains", "json_array_get", "json_exists",
        "json_extract", "json_extract_scalar", "json_format", "json_parse", "json_query", "json_size", "json_value",
        "kurtosis", "last_day_of_month", "levenshtein_distance", "log2", "luhn_check", "map", "map_concat",
        "map_entries",
        "map_keys", "map_union", "map_values", "max_by", "millisecond", "min_by", "minute",
        "month", "nan", "normal_cdf", "parse_datetime", "parse_duration", "quarter", "rand", "regexp_extract",
        "regexp_extract_all", "regexp_position", "regexp_split", "second", "sequence", "sha1", "skewness", "slice",
        "split", "split_to_map", "strrpos", "timezone_hour", "timezone_minute", "to_base", "to_base32", "to_base64",
        "to_base64url",
        "to_big_endian_32", "to_big_endian_64", "to_ieee754_32", "to_ieee754_64", "to_iso8601", "to_milliseconds",
        "to_unixtime", "to_utf8", "truncate", "typeof", "url_extract_host", "url_extract_parameter",
        "url_decode", "url_encode", "url_extract_path", "url_extract_protocol", "url_extract_query", "uuid", "week",
        "week_of_year", "wilson_interval_lower", "wilson_interval_upper",
        "with_timezone", "xxhash64", "year", "year_of_week", "yow",
    ]

    /// In the schema `trino_dialect`, which only translated statements name: PostgreSQL's own of the same name differ.
    static let different: Set<String> = [
        "array_position", "avg", "bit_count", "cardinality", "cbrt", "ceil", "ceiling", "concat_ws", "date",
        "date_trunc",
        "exp", "floor", "json_array_length",
        "length", "ln", "log", "log10", "md5", "mod", "pow", "power", "random", "regexp_count", "regexp_like",
        "regexp_replace", "repeat", "replace",
        "reverse", "round", "split_part", "sqrt", "stddev", "stddev_pop", "stddev_samp", "strpos", "substr",
        "substring", "sum",
        "to_hex", "var_pop", "var_samp", "variance",
    ]

    /// PostgreSQL's own, under another name.
    static let renamed: [String: String] = [
        "bitwise_and_agg": "bit_and", "bitwise_or_agg": "bit_or", "bitwise_xor_agg": "bit_xor",
        "map_agg": "jsonb_object_agg",
    ]

    /// Functions that have a form that gives NULL for what it cannot read.
    static let tried: Set<String> = [
        "date_parse", "parse_datetime", "from_iso8601_date", "from_iso8601_timestamp", "json_parse",
    ]
}
