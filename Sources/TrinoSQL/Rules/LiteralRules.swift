// SPDX-License-Identifier: Apache-2.0

extension Rules {
    static let literals: [RewriteRule] = [
        RewriteRule(
            "parameter", "PostgreSQL numbers them", on: [.kind(.parameter)]
        ) { outline, index, _ in
            outline.parameters[index].map { Rewrite(to: index + 1, [.text("$\($0)")]) }
        },
        RewriteRule(
            "bytes", "X'…' is a string of bits in PostgreSQL", on: [.kind(.binary)]
        ) { outline, index, _ in
            let digits = outline.source[outline.tokens[index].range].dropFirst(2).dropLast().filter { $0 != 0x20 }
            return Rewrite(to: index + 1, [.text("'\\x\(String(decoding: digits, as: UTF8.self))'::bytea")])
        },
        RewriteRule(
            "double", "a number with an exponent is a numeric in PostgreSQL", on: [.kind(.double)]
        ) { outline, index, _ in
            Rewrite(to: index + 1, [.text(plain(outline.sourceText(index)) + "::double precision")])
        },
        RewriteRule(
            "digits", "PostgreSQL 15 knows no 0x, 0o, 0b and no _ in numbers",
            on: [.kind(.integer), .kind(.decimal)]
        ) { outline, index, context throws(TrinoSyntaxError) in
            let text = outline.sourceText(index)
            guard text.contains("_") || text.utf8.dropFirst().first.map({ $0 > UInt8(ascii: "9") }) ?? false else {
                return nil
            }
            let digits = plain(text).lowercased()
            let radixes: [(prefix: String, radix: Int)] = [("0x", 16), ("0o", 8), ("0b", 2)]
            guard let radix = radixes.first(where: { digits.hasPrefix($0.prefix) }) else {
                return Rewrite(to: index + 1, [.text(digits)])
            }
            guard let value = Int64(digits.dropFirst(2), radix: radix.radix) else {
                throw context.error(.invalidLiteral, "Invalid numeric literal: \(text)", at: index, outline)
            }
            return Rewrite(to: index + 1, [.text(String(value))])
        },
        RewriteRule(
            "timestamp with zone", "PostgreSQL drops the zone of TIMESTAMP '… Zone', and reads UTC+05:30 as POSIX does",
            words: ["timestamp"]
        ) { outline, index, context throws(TrinoSyntaxError) in
            guard outline.isOperand[index], outline.kind(index + 1) == .string else { return nil }
            let text = outline.value(index + 1)
            guard let zoned = ZonedTimestamp(text) else {
                try check(TimeText.isTimestamp(TimeText.trimmed(text)), outline, index, context)
                return nil
            }
            try check(TimeText.isTimestamp(zoned.clock[...]), outline, index, context)
            return Rewrite(to: index + 2, [.text("TIMESTAMP WITH TIME ZONE \(quoted(zoned.text))")])
        },
        RewriteRule(
            "date literal", "PostgreSQL reads `now`, `infinity` and many other texts as a date", words: ["date"]
        ) { outline, index, context throws(TrinoSyntaxError) in
            guard outline.isOperand[index], outline.kind(index + 1) == .string else { return nil }
            try check(TimeText.isDate(TimeText.trimmed(outline.value(index + 1))), outline, index, context)
            return nil
        },
        RewriteRule(
            "time literal", "PostgreSQL reads `now` and `allballs` as a time", words: ["time"]
        ) { outline, index, context throws(TrinoSyntaxError) in
            guard outline.isOperand[index], outline.kind(index + 1) == .string else { return nil }
            let text = TimeText.trimmed(outline.value(index + 1))
            let clock = text.prefix { $0.isNumber || $0 == ":" || $0 == "." }
            let isOffset = clock.endIndex == text.endIndex || ["+", "-", " "].contains(text[clock.endIndex])
            try check(isOffset && TimeText.isTime(clock), outline, index, context)
            return nil
        },
        RewriteRule(
            "typed literal", "types have other names in PostgreSQL",
            words: ["double", "real", "tinyint", "varbinary", "json", "ipaddress", "char", "varchar"]
        ) { outline, index, _ in
            guard outline.isOperand[index], outline.text(index - 1) != "." else { return nil }
            let isDoublePrecision = outline.text(index) == "double" && outline.text(index + 1) == "precision"
            let string = isDoublePrecision ? index + 2 : index + 1
            guard outline.kind(string) == .string, let type = TrinoType.named(outline.text(index)) else { return nil }
            return Rewrite(to: string + 1, [.text("CAST("), .token(string), .text(" AS \(type))")])
        },
        RewriteRule(
            "decimal literal", "keeps its scale without a change, but not the blanks", words: ["decimal"]
        ) { outline, index, _ in
            guard outline.isOperand[index], outline.kind(index + 1) == .string else { return nil }
            return Rewrite(to: index + 2, [.text("CAST("), .token(index + 1), .text(" AS numeric)")])
        },
        RewriteRule(
            "interval without a field", "PostgreSQL takes a number alone for seconds, and the field for a name",
            words: ["interval"]
        ) { outline, index, context throws(TrinoSyntaxError) in
            let sign = ["+", "-"].contains(outline.text(index + 1)) ? 1 : 0
            let number = index + 1 + sign
            guard outline.isOperand[index], outline.kind(number) == .string,
                !intervalFields.contains(outline.text(number + 1)),
                outline.value(number).utf8.allSatisfy({ !(UInt8(ascii: "a")...UInt8(ascii: "z")).contains($0 | 0x20) })
            else { return nil }
            let found = number + 1 < outline.tokens.count ? outline.sourceText(number + 1) : "<EOF>"
            throw context.error(
                .syntaxError,
                "mismatched input '\(found)'. Expecting: 'DAY', 'HOUR', 'MINUTE', 'MONTH', 'SECOND', 'YEAR'",
                at: min(number + 1, outline.tokens.count - 1), outline)
        },
        RewriteRule(
            "fraction in an interval", "PostgreSQL takes half a day for twelve hours, or for none", words: ["interval"]
        ) { outline, index, context throws(TrinoSyntaxError) in
            let number = index + (["+", "-"].contains(outline.text(index + 1)) ? 2 : 1)
            guard outline.isOperand[index], outline.kind(number) == .string,
                intervalFields.contains(outline.text(number + 1)), outline.text(number + 1) != "second",
                outline.text(number + 2) != "to", outline.value(number).contains(".")
            else { return nil }
            throw context.error(
                .invalidLiteral, "'\(outline.value(number))' is not a valid INTERVAL literal", at: index, outline)
        },
        RewriteRule(
            "a number of the first field", "PostgreSQL takes a number alone for the last of two fields",
            words: ["interval"]
        ) { outline, index, _ in
            let sign = ["+", "-"].contains(outline.text(index + 1)) ? outline.text(index + 1) : ""
            let number = index + (sign.isEmpty ? 1 : 2)
            guard outline.isOperand[index], outline.kind(number) == .string, outline.text(number + 2) == "to",
                intervalRanges[outline.text(number + 1)]?.contains(outline.text(number + 3)) == true,
                outline.value(number).utf8.allSatisfy({ (UInt8(ascii: "0")...UInt8(ascii: "9")).contains($0) })
            else { return nil }
            let value = (sign == "-" ? "-" : "") + outline.value(number)
            return Rewrite(to: number + 4, [.text("INTERVAL \(quoted(value)) "), .token(number + 1)])
        },
        RewriteRule(
            "signed interval", "PostgreSQL has no INTERVAL - '1' DAY", words: ["interval"]
        ) { outline, index, _ in
            guard outline.isOperand[index], ["+", "-"].contains(outline.text(index + 1)),
                outline.kind(index + 2) == .string
            else { return nil }
            let sign = outline.text(index + 1) == "-" ? "-" : ""
            return Rewrite(to: index + 3, [.text("INTERVAL \(quoted(sign + outline.value(index + 2)))")])
        },
    ]

    /// What an INTERVAL from one field may go to.
    private static let intervalRanges: [String: Set<String>] = [
        "year": ["month"], "day": ["hour", "minute", "second"], "hour": ["minute", "second"], "minute": ["second"],
    ]

    /// What may stand behind an INTERVAL and its number.
    static let intervalFields: Set<String> = ["year", "month", "day", "hour", "minute", "second"]

    /// Refuses a literal of a type of time at `index` that is none.
    private static func check(
        _ isValid: Bool, _ outline: Outline, _ index: Int, _ context: RewriteContext
    ) throws(TrinoSyntaxError) {
        guard !isValid else { return }
        throw context.error(
            .invalidLiteral, "'\(outline.value(index + 1))' is not a valid \(outline.text(index).uppercased()) literal",
            at: index, outline)
    }

    /// A number without its `_`.
    private static func plain(_ number: String) -> String { number.filter { $0 != "_" } }
}

/// `2024-01-02 03:04:05 Europe/Paris`: a text of a TIMESTAMP that names a zone.
struct ZonedTimestamp: Equatable {
    /// As PostgreSQL reads it: the sign of an offset is that of ISO 8601 (east is plus).
    let text: String
    /// The date and the time of day alone.
    let clock: String

    /// Nil for a text without a zone.
    init?(_ text: String) {
        let trimmed = text.drop { $0 == " " }
        guard let blank = trimmed.firstIndex(where: { $0 == " " || $0 == "T" }) else { return nil }
        let date = trimmed[..<blank]
        let rest = trimmed[trimmed.index(after: blank)...]
        // What follows the time: a zone may stand behind a blank, or an offset right behind the digits.
        let time = rest.prefix { $0.isNumber || $0 == ":" || $0 == "." }
        let behind = rest.dropFirst(time.count)
        let zone = behind.filter { $0 != " " }
        guard !zone.isEmpty else { return nil }
        // A date and a zone, without a time of day.
        // PostgreSQL wants minutes in a time.
        let minutes = time.isEmpty ? "00:00:00" : time.contains(":") ? String(time) : "\(time):00"
        clock = "\(date) \(minutes)"
        self.text = clock + Self.offset(String(zone))
    }

    /// `UTC+05:30`, `GMT-3`, `+05:30` as `+05:30`; names with a blank before them.
    static func offset(_ zone: String) -> String {
        let upper = zone.uppercased()
        for prefix in ["UTC", "GMT", "UT"] where upper.hasPrefix(prefix) {
            let rest = zone.dropFirst(prefix.count)
            if rest.first == "+" || rest.first == "-" { return String(rest) }
        }
        return zone.first == "+" || zone.first == "-" ? zone : " \(zone)"
    }
}
