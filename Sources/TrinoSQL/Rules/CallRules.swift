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
                let arguments = index + 2..<outline.partners[index + 1]
                let name = outline.text(index)
                if ["substring", "trim"].contains(name), let from = outline.first(of: ["from"], in: arguments) {
                    return name == "substring" ? substring(outline, index, arguments, from) : nil
                }
                return Rewrite(to: index + 1, [.text("trino_dialect.\(name)")])
            },
            RewriteRule(
                "functions with another name", "PostgreSQL has the same under another name",
                words: FunctionNames.renamed.keys.sorted()
            ) { outline, index, _ in
                guard outline.isCall(index), let name = FunctionNames.renamed[outline.text(index)] else { return nil }
                return Rewrite(to: index + 1, [.text(name)])
            },
        ]

    /// `substring(x FROM 2 FOR 3)`, the standard's own syntax, as the call that means the same.
    private static func substring(
        _ outline: Outline, _ index: Int, _ arguments: Range<Int>, _ from: Int
    ) -> Rewrite {
        let length = outline.first(of: ["for"], in: from..<arguments.upperBound)
        var pieces: [Rewrite.Piece] = [
            .text("trino_dialect.substring("), .source(arguments.lowerBound..<from), .text(", "),
            .source(from + 1..<(length ?? arguments.upperBound)),
        ]
        if let length { pieces += [.text(", "), .source(length + 1..<arguments.upperBound)] }
        return Rewrite(to: arguments.upperBound + 1, pieces + [.text(")")])
    }

    private static let aggregates: [RewriteRule] = [
        RewriteRule("count", "PostgreSQL counts rows with a star", words: ["count"]) { outline, index, _ in
            guard outline.isCall(index), outline.partners[index + 1] == index + 2 else { return nil }
            return Rewrite(to: index + 3, [.text("count(*)")])
        },
        RewriteRule("map_agg", "a key that is NULL has no entry", words: ["map_agg"]) { outline, index, _ in
            guard outline.isCall(index) else { return nil }
            let (close, arguments) = (outline.partners[index + 1], outline.items(in: index + 1))
            guard arguments.count == 2 else { return nil }
            let isQuantified = ["distinct", "all"].contains(outline.text(index + 2))
            let key = (isQuantified ? index + 3 : index + 2)..<arguments[0].upperBound
            let (filter, end) = filter(outline, notNull: key, behind: close)
            return Rewrite(to: end, [.text("jsonb_object_agg("), .source(index + 2..<close), .text(")")] + filter)
        },
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

    /// A FILTER for rows where a value is not NULL, with what the FILTER behind a call whose bracket closes at `close`
    /// says, and where this ends.
    private static func filter(
        _ outline: Outline, notNull value: Range<Int>, behind close: Int
    ) -> ([Rewrite.Piece], Int) {
        let filter: [Rewrite.Piece] = [.text(" FILTER (WHERE ("), .source(value), .text(") IS NOT NULL")]
        guard outline.text(close + 1) == "filter", outline.text(close + 2) == "(", outline.text(close + 3) == "where"
        else { return (filter + [.text(")")], close + 1) }
        let last = outline.partners[close + 2]
        return (filter + [.text(" AND ("), .source(close + 4..<last), .text("))")], last + 1)
    }

    /// `max_by(x, y)` and `max_by(x, y, n)`, with their FILTER: rows whose key is NULL do not count.
    private static func extremeBy(_ outline: Outline, _ index: Int) -> Rewrite? {
        guard outline.isCall(index) else { return nil }
        var arguments = outline.items(in: index + 1)
        // DISTINCT changes nothing about which is the greatest.
        if arguments.count == 2, outline.text(index + 2) == "distinct" {
            arguments[0] = arguments[0].lowerBound + 1..<arguments[0].upperBound
        }
        guard arguments.count == 2 || arguments.count == 3 else { return nil }
        let (filter, end) = filter(outline, notNull: arguments[1], behind: outline.partners[index + 1])
        guard outline.text(end) != "over" else { return nil }
        let order = outline.text(index) == "max_by" ? " DESC" : ""
        let values: [Rewrite.Piece] =
            [
                .text("array_agg("), .source(arguments[0]), .text(" ORDER BY "), .source(arguments[1]),
                .text("\(order))"),
            ] + filter
        return Rewrite(
            to: end,
            arguments.count == 2
                ? [.text("trino_dialect.first_of(")] + values + [.text(")")]
                : [.text("(")] + values + [.text(")[1:"), .source(arguments[2]), .text("]")])
    }
}

/// Which functions are where. A function that is in none of these lists is PostgreSQL's own.
enum FunctionNames {
    /// In the schema `trino`, which is on the search path of everybody: PostgreSQL has none of these names.
    static let missing: Set<String> = [
        "approx_distinct", "approx_percentile", "arbitrary", "any_value", "array_distinct",
        "array_average", "array_first", "array_frequency", "array_histogram",
        "array_last", "array_sum", "checksum", "combinations", "contains_sequence", "crc32", "entropy", "flatten",
        "map_from_entries", "multimap_from_entries",
        "ngrams", "shuffle", "soundex", "split_to_multimap",
        "array_join", "array_max", "array_min", "array_sort",
        "at_timezone", "bitwise_and", "bitwise_left_shift", "bitwise_not", "bitwise_or", "bitwise_right_shift",
        "bitwise_right_shift_arithmetic",
        "bitwise_xor", "codepoint", "contains", "cosine_distance", "cosine_similarity", "count_if", "current_timezone",
        "date_add", "date_diff", "date_format",
        "date_parse", "day", "day_of_month", "day_of_week", "day_of_year", "dot_product", "dow", "doy", "e",
        "element_at", "ends_with", "euclidean_distance",
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
        "to_unixtime", "to_utf8", "truncate", "typeof", "url_extract_fragment", "url_extract_host",
        "url_extract_parameter",
        "url_extract_port",
        "url_decode", "url_encode", "url_extract_path", "url_extract_protocol", "url_extract_query", "uuid", "week",
        "week_of_year", "wilson_interval_lower", "wilson_interval_upper",
        "with_timezone", "xxhash64", "year", "year_of_week", "yow",
    ]

    /// In the schema `trino_dialect`, which only translated statements name: PostgreSQL's own of the same name differ, or
    /// those of the schema `trino` take less.
    static let different: Set<String> = [
        "array_except", "array_intersect", "array_position", "array_union", "arrays_overlap", "avg", "bit_count",
        "cardinality", "cbrt", "ceil", "ceiling", "concat_ws", "date",
        "date_trunc",
        "exp", "floor", "json_array_length",
        "length", "ln", "log", "log10", "ltrim", "md5", "mod", "pow", "power", "random", "regexp_count", "regexp_like",
        "regexp_replace", "repeat", "replace",
        "reverse", "round", "rtrim", "sign", "split_part", "sqrt", "stddev", "stddev_pop", "stddev_samp", "strpos",
        "substr",
        "substring", "sum",
        "to_hex", "trim", "var_pop", "var_samp", "variance", "width_bucket",
    ]

    /// PostgreSQL's own, that are Trino's as well, and may be called with what they do not take.
    static let same: Set<String> = [
        "abs", "acos", "array_agg", "asin", "atan", "atan2", "bool_and", "bool_or", "chr", "concat", "corr", "cos",
        "cosh",
        "count", "covar_pop", "covar_samp", "cume_dist", "degrees", "dense_rank", "every", "first_value", "lag",
        "last_value", "lead", "listagg", "lower", "lpad", "max", "min", "normalize", "now", "nth_value", "ntile",
        "percent_rank", "pi", "radians", "rank", "regr_intercept", "regr_slope", "row_number", "rpad", "sin",
        "starts_with", "tan", "tanh", "translate", "upper",
    ]

    /// PostgreSQL's own, under another name.
    static let renamed: [String: String] = [
        "bitwise_and_agg": "bit_and", "bitwise_or_agg": "bit_or", "bitwise_xor_agg": "bit_xor",
    ]

    /// Functions that have a form that gives NULL for what it cannot read.
    static let tried: Set<String> = [
        "date_parse", "parse_datetime", "from_iso8601_date", "from_iso8601_timestamp", "json_parse",
    ]
}
