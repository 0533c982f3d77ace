// SPDX-License-Identifier: Apache-2.0
// Where one statement ends and the next begins.

/// Cuts what is typed into statements at each `;` outside of quotes, comments, dollar quotes and parentheses
/// (PostgreSQL 15 docs, 4.1).
struct StatementSplitter {
    /// What the text is in the middle of, for the prompt.
    enum Place: Equatable {
        case statement
        case quote(UInt8)
        case dollarQuote([UInt8])
        case comment(depth: Int)
    }

    private(set) var place = Place.statement
    private var text: [UInt8] = []
    private var parentheses = 0
    /// Whether ``text`` holds more than blanks and comments.
    private(set) var hasContent = false

    /// Whether nothing has been begun.
    var isEmpty: Bool { text.isEmpty }

    /// What has been begun and not ended.
    var pending: String { String(decoding: text, as: UTF8.self) }

    /// Forgets what has been begun.
    mutating func reset() { self = StatementSplitter() }

    /// Takes a line with its end; returns the statements that it completes, without their semicolons.
    mutating func take(_ line: String) -> [String] {
        let bytes = Array(line.utf8)
        var statements: [String] = []
        var index = 0
        while index < bytes.count {
            let byte = bytes[index]
            let next = index + 1 < bytes.count ? bytes[index + 1] : 0
            var length = 1
            switch place {
            case .statement:
                switch byte {
                case UInt8(ascii: "'"), UInt8(ascii: "\""): place = .quote(byte)
                case UInt8(ascii: "-") where next == byte:
                    // To the end of the line.
                    while index + length < bytes.count && bytes[index + length] != 0x0A { length += 1 }
                case UInt8(ascii: "/") where next == UInt8(ascii: "*"):
                    place = .comment(depth: 1)
                    length = 2
                case UInt8(ascii: "$"):
                    if let tag = Self.dollarTag(bytes[index...], after: text.last) {
                        place = .dollarQuote(tag)
                        length = tag.count
                    }
                case UInt8(ascii: "("): parentheses += 1
                case UInt8(ascii: ")"): parentheses = max(0, parentheses - 1)
                case UInt8(ascii: ";") where parentheses == 0:
                    if hasContent { statements.append(pending) }
                    reset()
                    index += 1
                    continue
                default: break
                }
                let isComment = byte == UInt8(ascii: "-") && length > 1 || place != .statement && length == 2
                if byte > 0x20 && !isComment { hasContent = true }
            case .quote(let quote): if byte == quote { place = .statement }
            case .dollarQuote(let tag):
                if bytes[index...].starts(with: tag) {
                    place = .statement
                    length = tag.count
                }
            case .comment(let depth):
                if byte == UInt8(ascii: "/") && next == UInt8(ascii: "*") {
                    place = .comment(depth: depth + 1)
                    length = 2
                } else if byte == UInt8(ascii: "*") && next == UInt8(ascii: "/") {
                    place = depth == 1 ? .statement : .comment(depth: depth - 1)
                    length = 2
                }
            }
            text += bytes[index..<(index + length)]
            index += length
        }
        if !hasContent && place == .statement { text.removeAll() }
        return statements
    }

    /// `$$` or `$tag$` at the start of `bytes`; nil for a parameter, and within an identifier.
    private static func dollarTag(_ bytes: ArraySlice<UInt8>, after previous: UInt8?) -> [UInt8]? {
        if let previous, isWord(previous) { return nil }
        guard let end = bytes.dropFirst().firstIndex(of: UInt8(ascii: "$")) else { return nil }
        let name = bytes[(bytes.startIndex + 1)..<end]
        guard name.allSatisfy(isWord), name.first.map({ $0 < 0x30 || $0 > 0x39 }) ?? true else { return nil }
        return Array(bytes[bytes.startIndex...end])
    }

    static func isWord(_ byte: UInt8) -> Bool {
        switch byte {
        case 0x30...0x39, 0x41...0x5A, 0x61...0x7A, 0x5F, 0x80...: true
        default: false
        }
    }
}
