// SPDX-License-Identifier: Apache-2.0

/// Trino's types, as PostgreSQL writes them.
enum TrinoType {
    /// The type of a single word, or nil when it is called the same in both or is no type we know.
    static func named(_ word: String) -> String? { names[word] }

    private static let names: [String: String] = [
        "double": "double precision", "tinyint": "smallint", "varbinary": "bytea", "json": "jsonb", "ipaddress": "inet",
        "char": "bpchar", "varchar": "text", "string": "text", "real": "real", "int": "integer",
    ]

    /// Digits of a second that PostgreSQL keeps.
    private static let precisionMax = 6

    /// The type that the tokens of `range` name, or nil when PostgreSQL understands them as they are.
    static func postgres(_ outline: Outline, _ range: Range<Int>) -> String? {
        guard !range.isEmpty else { return nil }
        let first = outline.text(range.lowerBound)
        let arguments = self.arguments(outline, range)
        // `T ARRAY`, `array(T)`, `array<T>`
        if range.count > 1, outline.text(range.upperBound - 1) == "array" {
            let element = range.lowerBound..<range.upperBound - 1
            return (postgres(outline, element) ?? text(outline, element)) + "[]"
        }
        switch first {
        case "array":
            guard let arguments else { return nil }
            return (postgres(outline, arguments) ?? text(outline, arguments)) + "[]"
        case "map", "row": return "jsonb"
        case "decimal", "numeric":
            guard let arguments else { return "numeric(38,0)" }
            return "numeric(\(text(outline, arguments)))"
        case "double" where range.count == 1, "tinyint", "varbinary", "json", "ipaddress": return named(first)
        case "varchar" where range.count == 1, "string": return "text"
        case "char" where arguments == nil: return "char(1)"
        case "timestamp", "time":
            guard let arguments, let precision = Int(text(outline, arguments)), precision > precisionMax else {
                return nil
            }
            let rest = outline.partners[arguments.lowerBound - 1] + 1..<range.upperBound
            return "\(first)(\(precisionMax)) \(text(outline, rest))"
        default: return nil
        }
    }

    /// The tokens between the brackets behind the first word, round or angled.
    private static func arguments(_ outline: Outline, _ range: Range<Int>) -> Range<Int>? {
        let open = range.lowerBound + 1
        guard open < range.upperBound else { return nil }
        if outline.text(open) == "(" { return open + 1..<outline.partners[open] }
        guard outline.text(open) == "<", outline.text(range.upperBound - 1) == ">" else { return nil }
        return open + 1..<range.upperBound - 1
    }

    /// The type as it was written.
    static func text(_ outline: Outline, _ range: Range<Int>) -> String {
        guard !range.isEmpty else { return "" }
        let bytes =
            outline.tokens[range.lowerBound].range.lowerBound..<outline.tokens[range.upperBound - 1].range.upperBound
        return String(decoding: outline.source[bytes], as: UTF8.self)
    }
}
