// SPDX-License-Identifier: Apache-2.0
// Requests that depend on what the client has already: RFC 9110 §13 and §14. Pure.

/// What identifies the present state of a resource.
package struct Validators: Sendable, Equatable {
    /// With its quotes, and `W/` in front if it is weak (RFC 9110 §8.8.3).
    package var entityTag: String?
    /// Seconds since 1970.
    package var lastModified: Int?

    package init(entityTag: String? = nil, lastModified: Int? = nil) {
        self.entityTag = entityTag
        self.lastModified = lastModified
    }
}

/// What the preconditions of a request come to.
package enum Preconditions: Sendable, Equatable {
    case met
    /// 304: what the client has is still right.
    case notModified
    /// 412: the resource is not what the client takes it for.
    case failed
}

/// What part of a representation is asked for.
package enum RangeRequest: Sendable, Equatable {
    /// All of it: no Range, one that is not understood, or several (RFC 9110 §14.2 lets a server ignore the field).
    case whole
    /// 206.
    case part(Range<Int>)
    /// 416: nothing of it is there.
    case unsatisfiable
}

extension RequestHead {
    /// The preconditions in the order of RFC 9110 §13.2.2, steps 1 to 4.
    package func preconditions(_ current: Validators) -> Preconditions {
        let reads = method == .get || method == .head
        if let tags = tags("if-match") {
            if !tags.match(current.entityTag, weakly: false) { return .failed }
        } else if let date = self["if-unmodified-since"].flatMap(httpDate(_:)), let modified = current.lastModified {
            if modified > date { return .failed }
        }
        if let tags = tags("if-none-match") {
            if tags.match(current.entityTag, weakly: true) { return reads ? .notModified : .failed }
        } else if reads, let date = self["if-modified-since"].flatMap(httpDate(_:)), let modified = current.lastModified
        {
            if modified <= date { return .notModified }
        }
        return .met
    }

    /// Whether If-None-Match asks for nothing wherever there is anything, whatever it is.
    package var wantsNothingOfAny: Bool { tags("if-none-match")?.any == true }

    /// Whether the tags of what the client has are weak; nil where some are not, and where there is none.
    var holdsWeakly: Bool? {
        guard let held = tags("if-none-match"), let first = held.tags.first else { return nil }
        let isWeak = first.hasPrefix("W/")
        return held.tags.allSatisfy { $0.hasPrefix("W/") == isWeak } ? isWeak : nil
    }

    /// The part of a representation of `size` bytes that Range and If-Range ask for (RFC 9110 §13.1.5, §14.2).
    package func range(of size: Int, _ current: Validators) -> RangeRequest {
        guard method == .get, let field = self["range"] else { return .whole }
        if let condition = self["if-range"] {
            // A strong tag, or exactly the date that was sent.
            let isSame =
                condition.hasPrefix("\"")
                ? condition == current.entityTag
                : current.lastModified != nil && httpDate(condition) == current.lastModified
            if !isSame { return .whole }
        }
        return Self.range(Array(field.utf8), of: size)
    }

    /// `bytes=first-[last]` or `bytes=-suffix`.
    static func range(_ field: [UInt8], of size: Int) -> RangeRequest {
        let span = field.span
        guard field.count > 6, span.equalIgnoringCase(0..<6, "bytes=") else { return .whole }
        let spec = field[span.trimmed(6..<field.count)]
        guard !spec.contains(Byte.comma), let dash = spec.firstIndex(of: UInt8(ascii: "-")) else { return .whole }
        func number(_ digits: ArraySlice<UInt8>) -> Int? {
            guard (1...18).contains(digits.count), digits.allSatisfy(Byte.isDigit) else { return nil }
            return digits.reduce(0) { $0 * 10 + Int($1 - 0x30) }
        }
        let (before, after) = (spec[..<dash], spec[(dash + 1)...])
        if before.isEmpty {
            guard let suffix = number(after) else { return .whole }
            return suffix == 0 || size == 0 ? .unsatisfiable : .part(max(0, size - suffix)..<size)
        }
        guard let first = number(before) else { return .whole }
        if after.isEmpty { return first < size ? .part(first..<size) : .unsatisfiable }
        guard let last = number(after), last >= first else { return .whole }
        return first < size ? .part(first..<min(last + 1, size)) : .unsatisfiable
    }

    /// The tags of If-Match or If-None-Match.
    private struct Tags {
        var any = false
        var tags: [Substring] = []

        /// - Parameter weakly: weak tags count as the strong ones of the same text (RFC 9110 §8.8.3.2).
        func match(_ current: String?, weakly: Bool) -> Bool {
            guard let current else { return false }
            if any { return true }
            let (tag, isWeak) = Self.split(current[...])
            return tags.contains { other in
                let (otherTag, otherIsWeak) = Self.split(other)
                return tag == otherTag && (weakly || !isWeak && !otherIsWeak)
            }
        }

        private static func split(_ tag: Substring) -> (Substring, isWeak: Bool) {
            tag.hasPrefix("W/") ? (tag.dropFirst(2), true) : (tag, false)
        }
    }

    private func tags(_ name: StaticString) -> Tags? {
        let values = values(of: name)
        if values.isEmpty { return nil }
        var tags = Tags()
        for value in values {
            // A tag may hold a comma, so the list is cut at quotes.
            var rest = value[...]
            while let quote = rest.firstIndex(of: "\"") {
                guard let end = rest[rest.index(after: quote)...].firstIndex(of: "\"") else { break }
                let isWeak = rest[..<quote].hasSuffix("W/")
                tags.tags.append(value[(isWeak ? value.index(quote, offsetBy: -2) : quote)...end])
                rest = rest[rest.index(after: end)...]
            }
            if value.filter({ $0 != " " && $0 != "\t" }) == "*" { tags.any = true }
        }
        return tags
    }
}
