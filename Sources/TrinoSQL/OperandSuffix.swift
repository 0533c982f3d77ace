// SPDX-License-Identifier: Apache-2.0

/// What stands behind an operand and belongs to it: a subscript, or AT TIME ZONE.
enum OperandSuffix: Sendable, Equatable {
    /// The bracket of `x[…]`.
    case element(open: Int)
    /// The AT of `x AT TIME ZONE z`; z ends where the suffix does. `x AT LOCAL` has no z.
    case zone(at: Int, end: Int)

    /// The token it begins with.
    var start: Int {
        switch self {
        case .element(let open): open
        case .zone(let at, _): at
        }
    }
}

extension Outline {
    /// The suffixes of each operand that has some, in their order, by the operand's first token.
    ///
    /// Rules look at the first token of what they rewrite, and these must be written before their operand.
    static func suffixes(_ outline: Outline) -> [Int: [OperandSuffix]] {
        var result: [Int: [OperandSuffix]] = [:]
        for index in outline.tokens.indices.dropFirst() where !outline.isOperand[index] {
            guard let suffix = outline.suffix(at: index), let start = outline.startOfOperand(before: index) else {
                continue
            }
            result[start, default: []].append(suffix)
        }
        return result
    }

    private func suffix(at index: Int) -> OperandSuffix? {
        switch text(index) {
        case "[":
            let close = partners[index]
            // ARRAY[…], a type's `[]`, and PostgreSQL's own `x[1:2]` are none.
            guard close > index + 1, text(index - 1) != "array",
                !hasColon(index + 1..<close)
            else { return nil }
            return .element(open: index)
        case "at" where text(index + 1) == "time" && text(index + 2) == "zone":
            var end = endOfPrimary(index + 3)
            if text(index + 3) == "interval", Rules.intervalFields.contains(text(end)) { end += 1 }
            return end > index + 3 && end <= tokens.count ? .zone(at: index, end: end) : nil
        case "at" where text(index + 1) == "local": return .zone(at: index, end: index + 2)
        default: return nil
        }
    }

    private func hasColon(_ range: Range<Int>) -> Bool {
        var index = range.lowerBound
        while index < range.upperBound {
            if text(index) == ":" { return true }
            index = partners[index] > index ? partners[index] + 1 : index + 1
        }
        return false
    }

    /// Where the operand begins that ends before `index`.
    private func startOfOperand(before index: Int) -> Int? {
        var at = index - 1
        while at >= 0 {
            if partners[at] >= 0, partners[at] < at { at = partners[at] }
            if text(at) == "end", let start = startOfCase(at) { at = start }
            if isOperand[at] {
                let isLaterName = text(at - 1) == "." || text(at - 1) == "::"
                let isZone = text(at - 1) == "zone" && text(at - 2) == "time" && text(at - 3) == "at"
                guard isLaterName || isZone else { return at }
                at -= isZone ? 3 : 1
            }
            at -= 1
        }
        return nil
    }

    /// The CASE that `end` belongs to.
    private func startOfCase(_ end: Int) -> Int? {
        var depth = 0
        for at in stride(from: end, through: 0, by: -1) {
            if tokens[at].is("end") { depth += 1 }
            if tokens[at].is("case") { depth -= 1 }
            if depth == 0 { return at }
        }
        return nil
    }

    /// The last suffix of the operand at `index` that ends within `limit`.
    func lastSuffix(of index: Int, within limit: Int) -> OperandSuffix? {
        suffixes[index]?.last { end(of: $0) <= limit }
    }

    /// Behind the suffix.
    func end(of suffix: OperandSuffix) -> Int {
        switch suffix {
        case .element(let open): partners[open] + 1
        case .zone(_, let end): end
        }
    }

    /// The zone whose clocks a value's parts are read from: of `x AT TIME ZONE z` and `at_timezone(x, z)`, if that is all
    /// the range holds, and of what keeps it (`date_trunc('day', x AT TIME ZONE z)`).
    func zone(of range: Range<Int>) -> Range<Int>? {
        var range = range
        while !range.isEmpty, text(range.lowerBound) == "(", partners[range.lowerBound] == range.upperBound - 1 {
            range = range.lowerBound + 1..<range.upperBound - 1
        }
        guard !range.isEmpty else { return nil }
        let start = range.lowerBound
        if case .zone(let at, let end)? = lastSuffix(of: start, within: range.upperBound), end == range.upperBound {
            return text(at + 1) == "local" ? nil : at + 3..<end
        }
        guard isCall(start), partners[start + 1] == range.upperBound - 1 else { return nil }
        let arguments = items(in: start + 1)
        switch text(start) {
        case "at_timezone" where arguments.count == 2, "with_timezone" where arguments.count == 2: return arguments[1]
        case "date_trunc" where arguments.count == 2: return zone(of: arguments[1])
        case "date_add" where arguments.count == 3: return zone(of: arguments[2])
        default: return nil
        }
    }
}
