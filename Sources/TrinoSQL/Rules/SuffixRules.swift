// SPDX-License-Identifier: Apache-2.0
//
// What stands behind an operand: subscripts, and AT TIME ZONE.

extension Rules {
    /// The operand at `index` with its last suffix.
    static func suffixed(_ outline: Outline, _ index: Int, _ suffix: OperandSuffix) -> Rewrite {
        switch suffix {
        case .element(let open): subscripted(outline, index, open)
        case .zone(let at, let end):
            // A time keeps its moment; whose clocks show it matters to what reads its parts (``wallClock``).
            Rewrite(
                to: end,
                [.text("trino.at_timezone("), .source(index..<at)]
                    + (outline.text(at + 1) == "local"
                        ? [.text(", current_setting('TimeZone'))")]
                        : [.text(", "), .source(at + 3..<end), .text(")")]))
        }
    }

    /// `x[i]`: where PostgreSQL gives NULL for what is not there, Trino has an error. Two subscripts are written as one
    /// call, since an array of arrays has two dimensions in PostgreSQL.
    private static func subscripted(_ outline: Outline, _ index: Int, _ open: Int) -> Rewrite {
        var places = [open + 1..<outline.partners[open]]
        var value = index..<open
        if case .element(let first)? = outline.lastSuffix(of: index, within: open), outline.partners[first] == open - 1
        {
            places.insert(first + 1..<open - 1, at: 0)
            value = index..<first
        }
        if places.count == 1, let entry = entry(outline, value, places[0], map: "map_entry", text: "text_entry") {
            return Rewrite(to: outline.partners[open] + 1, entry)
        }
        var pieces: [Rewrite.Piece] = [.text("trino_dialect.subscript("), .source(value)]
        for place in places { pieces += [.text(", "), .source(place)] }
        return Rewrite(to: outline.partners[open] + 1, pieces + [.text(")")])
    }

    /// Maps are JSON, and so are their values; of a map that is written where it is read, their type is known.
    static let typedMaps: [RewriteRule] = [
        RewriteRule(
            "element of a written map", "values of JSON are no numbers", words: ["element_at"]
        ) { outline, index, _ in
            guard outline.isCall(index) else { return nil }
            let arguments = outline.items(in: index + 1)
            guard arguments.count == 2,
                let entry = entry(outline, arguments[0], arguments[1], map: "map_value", text: nil)
            else { return nil }
            return Rewrite(to: outline.partners[index + 1] + 1, entry)
        },
        RewriteRule(
            "values of a written map", "values of JSON are no numbers", words: ["map_values"]
        ) { outline, index, _ in
            guard outline.isCall(index) else { return nil }
            let close = outline.partners[index + 1]
            guard let map = writtenMap(outline, index + 2..<close) else { return nil }
            return Rewrite(to: close + 1, [.text("("), .source(map.values), .text(")")])
        },
    ]

    /// The value of a key of a map that is written there.
    private static func entry(
        _ outline: Outline, _ value: Range<Int>, _ key: Range<Int>, map function: String, text: String?
    ) -> [Rewrite.Piece]? {
        if let map = writtenMap(outline, value) {
            return [
                .text("trino_dialect.\(function)("), .source(map.keys), .text(", "), .source(map.values), .text(", "),
                .source(key), .text(")"),
            ]
        }
        guard outline.text(value.lowerBound) == "split_to_map", outline.isCall(value.lowerBound),
            outline.partners[value.lowerBound + 1] == value.upperBound - 1
        else { return nil }
        guard let text else { return [.text("("), .source(value), .text(" ->> "), .source(key), .text(")")] }
        return [.text("trino_dialect.\(text)("), .source(value), .text(", "), .source(key), .text(")")]
    }

    /// The two arrays of `MAP(keys, values)`, if that is all of the range.
    static func writtenMap(_ outline: Outline, _ range: Range<Int>) -> (keys: Range<Int>, values: Range<Int>)? {
        let start = range.lowerBound
        guard outline.text(start) == "map", outline.text(start + 1) == "(", outline.text(start - 1) != ".",
            outline.partners[start + 1] == range.upperBound - 1
        else { return nil }
        let arguments = outline.items(in: start + 1)
        return arguments.count == 2 ? (arguments[0], arguments[1]) : nil
    }

    /// The functions that read the parts of a time, and which argument that is.
    static let zoned: [RewriteRule] = [
        RewriteRule(
            "parts of a time in a zone", "a time keeps no zone of its own, so the zone is given to who reads its parts",
            words: zonedFunctions.keys.sorted()
        ) { outline, index, _ in
            guard outline.isCall(index), let place = zonedFunctions[outline.text(index)] else { return nil }
            let arguments = outline.items(in: index + 1)
            guard place < arguments.count, let zone = outline.zone(of: arguments[place]) else { return nil }
            let name = outline.text(index)
            let schema = name == "date" || zoneArgument.contains(name) ? "trino_dialect" : "trino"
            var pieces: [Rewrite.Piece] = [.text("\(schema).\(name)(")]
            for (number, argument) in arguments.enumerated() {
                if number > 0 { pieces.append(.text(", ")) }
                if number == place, !zoneArgument.contains(name) {
                    pieces += wallClock(argument, zone)
                } else {
                    pieces.append(.source(argument))
                }
            }
            if zoneArgument.contains(name) { pieces += [.text(", "), .source(zone)] }
            return Rewrite(to: outline.partners[index + 1] + 1, pieces + [.text(")")])
        }
    ]

    /// A moment as the clocks of a zone show it, a timestamp.
    static func wallClock(_ value: Range<Int>, _ zone: Range<Int>) -> [Rewrite.Piece] {
        [.text("trino_dialect.wall_clock("), .source(value), .text(", "), .source(zone), .text(")")]
    }

    private static let zonedFunctions: [String: Int] = {
        var places = ["date_trunc": 1, "date_add": 2, "date_diff": 1]
        for name in [
            "year", "quarter", "month", "week", "week_of_year", "day", "day_of_month", "day_of_week", "dow",
            "day_of_year", "doy", "year_of_week", "yow", "hour", "minute", "second", "date", "date_format",
            "format_datetime", "last_day_of_month", "to_iso8601", "timezone_hour", "timezone_minute",
        ] {
            places[name] = 0
        }
        return places
    }()

    /// Those whose result depends on the moment, too: they get the zone as a further argument.
    private static let zoneArgument: Set<String> = [
        "date_trunc", "date_add", "date_diff", "to_iso8601", "timezone_hour", "timezone_minute",
    ]
}
