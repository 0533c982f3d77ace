// SPDX-License-Identifier: Apache-2.0
//
// The JSON functions of the standard, whose arguments are clauses: PostgreSQL 15 has none of them.

extension Rules {
    static let json: [RewriteRule] = [
        RewriteRule(
            "json functions of the standard", "PostgreSQL 15 has none of JSON_VALUE, JSON_QUERY, JSON_EXISTS",
            words: ["json_value", "json_query", "json_exists"]
        ) { outline, index, _ in
            guard outline.isCall(index), let call = JSONCall(outline, index) else { return nil }
            switch outline.text(index) {
            case "json_value": return call.value()
            case "json_query": return call.query()
            default: return call.exists()
            }
        },
        RewriteRule(
            "json_object", "PostgreSQL 15 builds JSON with functions", words: ["json_object"]
        ) { outline, index, _ in
            guard outline.isCall(index) else { return nil }
            return construction(outline, index, "jsonb_build_object", skipsNulls: false)
        },
        RewriteRule(
            "json_array", "PostgreSQL 15 builds JSON with functions", words: ["json_array"]
        ) { outline, index, _ in
            guard outline.isCall(index) else { return nil }
            return construction(outline, index, "jsonb_build_array", skipsNulls: true)
        },
    ]

    /// `JSON_OBJECT('a' : 1, KEY 'b' VALUE 2 ABSENT ON NULL)`, `JSON_ARRAY(1, 2 NULL ON NULL)`
    private static func construction(
        _ outline: Outline, _ index: Int, _ function: String, skipsNulls: Bool
    ) -> Rewrite? {
        let close = outline.partners[index + 1]
        var end = close
        var skipsNulls = skipsNulls
        // The clauses behind the last member, from the end.
        while end > index + 2 {
            if outline.text(end - 1) == "keys", outline.text(end - 2) == "unique",
                ["with", "without"].contains(outline.text(end - 3))
            {
                end -= 3
            } else if outline.text(end - 1) == "null", outline.text(end - 2) == "on",
                ["null", "absent"].contains(outline.text(end - 3))
            {
                skipsNulls = outline.text(end - 3) == "absent"
                end -= 3
            } else {
                break
            }
        }
        // RETURNING tells how to write the text; there is one way here.
        if let returning = outline.first(of: ["returning"], in: index + 2..<end) { end = returning }
        var pieces: [Rewrite.Piece] = [.text("\(skipsNulls ? "trino_dialect.json_without_nulls(" : "(")\(function)(")]
        for (number, member) in (end > index + 2 ? outline.split(index + 2..<end) : []).enumerated() {
            if number > 0 { pieces.append(.text(", ")) }
            guard function == "jsonb_build_object" else {
                pieces += element(outline, member)
                continue
            }
            let key = outline.text(member.lowerBound) == "key" ? member.lowerBound + 1 : member.lowerBound
            guard let separator = separator(outline, key..<member.upperBound) else { return nil }
            pieces += [.source(key..<separator), .text(", ")]
            pieces += element(outline, separator + 1..<member.upperBound)
        }
        return Rewrite(to: close + 1, pieces + [.text("))::text")])
    }

    private static func separator(_ outline: Outline, _ range: Range<Int>) -> Int? {
        var index = range.lowerBound
        while index < range.upperBound {
            if outline.text(index) == ":" || outline.text(index) == "value" { return index }
            index = outline.partners[index] > index ? outline.partners[index] + 1 : index + 1
        }
        return nil
    }

    /// A value; `x FORMAT JSON` is a text of JSON.
    private static func element(_ outline: Outline, _ range: Range<Int>) -> [Rewrite.Piece] {
        guard range.count > 2, outline.text(range.upperBound - 1) == "json",
            outline.text(range.upperBound - 2) == "format"
        else {
            // PostgreSQL must be told the type of a string.
            let isString = range.count == 1 && outline.kind(range.lowerBound) == .string
            return [.source(range)] + (isString ? [.text("::text")] : [])
        }
        return [.text("("), .source(range.lowerBound..<range.upperBound - 2), .text(")::jsonb")]
    }
}

/// `JSON_VALUE(input, 'path' PASSING … RETURNING … NULL ON EMPTY …)` and its like.
private struct JSONCall {
    private let outline: Outline
    private let end: Int
    private let name: String
    private var input: [Rewrite.Piece] = []
    private var path = 0
    private var variables: [Rewrite.Piece] = []
    private var returning: Range<Int>?
    private var onEmpty = (word: "null", value: [Rewrite.Piece]())
    private var onError = (word: "null", value: [Rewrite.Piece]())
    private var wrapper = "none"
    private var omitsQuotes = false
    private var hasClauses = false

    private static let clauses: Set<String> = [
        "passing", "returning", "error", "null", "default", "empty", "with", "without", "keep", "omit", "true", "false",
        "unknown",
    ]

    /// Nil for what is none of these functions' forms: PostgreSQL tells what is wrong.
    init?(_ outline: Outline, _ index: Int) {
        self.outline = outline
        name = outline.text(index)
        let close = outline.partners[index + 1]
        end = close + 1
        let arguments = outline.items(in: index + 1)
        guard arguments.count > 1, let first = arguments.first, !first.isEmpty else { return nil }
        var inputEnd = first.upperBound
        if first.count > 2, outline.text(inputEnd - 1) == "json", outline.text(inputEnd - 2) == "format" {
            inputEnd -= 2
        }
        input = [.source(first.lowerBound..<inputEnd)]
        path = first.upperBound + 1
        guard outline.kind(path) == .string else { return nil }
        if outline.text(path + 1) == "as", outline.isName(path + 2) {
            guard read(path + 3, close) else { return nil }
        } else {
            guard read(path + 1, close) else { return nil }
        }
    }

    private mutating func read(_ start: Int, _ close: Int) -> Bool {
        var index = start
        while index < close {
            hasClauses = true
            let word = outline.text(index)
            switch word {
            case "passing":
                let next = outline.first(of: Self.clauses, in: index + 1..<close) ?? close
                guard passing(index + 1..<next) else { return false }
                index = next
            case "returning":
                let next = outline.first(of: Self.clauses, in: index + 1..<close) ?? close
                returning = index + 1..<next
                index = next
            case "with", "without", "keep", "omit":
                let next = outline.first(of: Self.clauses, in: index + 1..<close) ?? close
                let words = (index..<next).map { outline.text($0) }
                if words.last == "wrapper" {
                    wrapper =
                        word == "without" ? "none" : words.contains("conditional") ? "conditional" : "unconditional"
                } else if words.contains("quotes") {
                    omitsQuotes = word == "omit"
                } else {
                    return false
                }
                index = next
            default:
                guard Self.clauses.contains(word), let on = outline.first(of: ["on"], in: index + 1..<close) else {
                    return false
                }
                let kind = word == "empty" ? outline.text(index + 1) : word
                let value: [Rewrite.Piece] = word == "default" ? [.source(index + 1..<on)] : []
                switch outline.text(on + 1) {
                case "empty": onEmpty = (kind, value)
                case "error": onError = (kind, value)
                default: return false
                }
                index = on + 2
            }
        }
        return true
    }

    private mutating func passing(_ range: Range<Int>) -> Bool {
        for item in outline.split(range) {
            guard let name = item.last, item.count > 2, outline.text(name - 1) == "as", outline.isName(name) else {
                return false
            }
            variables.append(.text("\(variables.isEmpty ? "" : ", ")\(Rules.quoted(outline.value(name))), "))
            variables.append(.text("to_jsonb("))
            variables.append(.source(item.lowerBound..<name - 1))
            variables.append(.text(item.count == 3 && outline.kind(item.lowerBound) == .string ? "::text)" : ")"))
        }
        return true
    }

    /// What the path leads to in the input.
    private var places: [Rewrite.Piece] {
        [.text("trino_dialect.json_places_of(")] + input + [.text(", "), .token(path), .text(", ")]
            + (variables.isEmpty ? [.text("NULL")] : [.text("jsonb_build_object(")] + variables + [.text(")")])
            + [.text(")")]
    }

    private func alternative(_ choice: (word: String, value: [Rewrite.Piece])) -> [Rewrite.Piece] {
        choice.value.isEmpty ? [.text(", NULL")] : [.text(", (")] + choice.value + [.text(")::text")]
    }

    func value() -> Rewrite {
        guard hasClauses else { return plain() }
        var pieces: [Rewrite.Piece] = [.text("trino_dialect.json_value(")] + places
        pieces += [.text(", '\(onEmpty.word)'")] + alternative(onEmpty)
        pieces += [.text(", '\(onError.word)'")] + alternative(onError) + [.text(")")]
        guard let returning, !returning.isEmpty else { return Rewrite(to: end, pieces) }
        let type = TrinoType.postgres(outline, returning) ?? TrinoType.text(outline, returning)
        // What is not of the type is an error of the function, too.
        if onError.word == "error" {
            return Rewrite(to: end, [.text("CAST(")] + pieces + [.text(" AS \(type))")])
        }
        return Rewrite(
            to: end, [.text("CAST(trino_dialect.try_cast(")] + pieces + [.text(", NULL::\(type)) AS \(type))")])
    }

    func query() -> Rewrite {
        guard hasClauses else { return plain() }
        return Rewrite(
            to: end,
            [.text("trino_dialect.json_query(")] + places + [
                .text(", '\(wrapper)', \(omitsQuotes), '\(onEmpty.word)', '\(onError.word)')")
            ])
    }

    func exists() -> Rewrite {
        guard hasClauses else { return plain() }
        return Rewrite(
            to: end,
            [.text("trino_dialect.json_exists(")] + places
                + [.text(", '\(onError.word == "null" ? "false" : onError.word)')")])
    }

    private func plain() -> Rewrite {
        Rewrite(to: end, [.text("trino.\(name)(")] + input + [.text(", "), .token(path), .text(")")])
    }
}
