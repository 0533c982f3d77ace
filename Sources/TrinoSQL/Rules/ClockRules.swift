// SPDX-License-Identifier: Apache-2.0
//
// The types of what the clock says: Trino's have three digits of a second unless more are asked for.

extension Rules {
    static let clocks: [RewriteRule] = [
        RewriteRule(
            "type of a clock", "typeof sees a value, whose precision is that of its column only", words: ["typeof"]
        ) { outline, index, _ in
            guard outline.isCall(index) else { return nil }
            let close = outline.partners[index + 1]
            guard let type = clockType(outline, index + 2..<close) else { return nil }
            return Rewrite(to: close + 1, [.text("CAST(\(quoted(type)) AS text)")])
        },
        RewriteRule(
            "clock", "PostgreSQL's have six digits",
            words: ["current_timestamp", "localtimestamp", "current_time", "localtime", "now"]
        ) { outline, index, _ in
            guard outline.isOperand[index], outline.text(index - 1) != ".", let clock = clock(outline, index) else {
                return nil
            }
            let name = outline.text(index) == "now" ? "current_timestamp" : outline.text(index)
            return Rewrite(to: clock.end, [.text("\(name)(\(min(clock.digits, 6)))")])
        },
        RewriteRule(
            "timezone", "PostgreSQL's has two arguments; a time keeps no zone but that of the session",
            words: ["timezone"]
        ) { outline, index, _ in
            guard outline.isCall(index), outline.items(in: index + 1).count == 1 else { return nil }
            let close = outline.partners[index + 1]
            guard let zone = outline.zone(of: index + 2..<close) else {
                return Rewrite(to: close + 1, [.text("current_setting('TimeZone')")])
            }
            return Rewrite(to: close + 1, [.text("CAST("), .source(zone), .text(" AS text)")])
        },
    ]

    /// How many digits a clock at `index` has, and where it ends; nil where none is.
    private static func clock(_ outline: Outline, _ index: Int) -> (digits: Int, end: Int)? {
        guard clockTypes[outline.text(index)] != nil, outline.kind(index) == .word else { return nil }
        let open = index + 1
        if outline.text(index) == "now" {
            return outline.text(open) == "(" && outline.partners[open] == open + 1 ? (3, open + 2) : nil
        }
        guard outline.text(open) == "(" else { return (3, open) }
        guard outline.partners[open] == open + 2, let digits = Int(outline.sourceText(open + 1)) else { return nil }
        return (digits, open + 3)
    }

    private static func clockType(_ outline: Outline, _ range: Range<Int>) -> String? {
        guard let clock = clock(outline, range.lowerBound), clock.end == range.upperBound,
            let type = clockTypes[outline.text(range.lowerBound)]
        else { return nil }
        return "\(type.name)(\(min(clock.digits, 6)))\(type.zone)"
    }

    private static let clockTypes: [String: (name: String, zone: String)] = [
        "now": ("timestamp", " with time zone"), "current_timestamp": ("timestamp", " with time zone"),
        "localtimestamp": ("timestamp", ""), "current_time": ("time", " with time zone"), "localtime": ("time", ""),
    ]
}
