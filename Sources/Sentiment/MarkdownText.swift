// SPDX-License-Identifier: Apache-2.0

/// What somebody wrote, out of Reddit's Markdown: without quotes of others, code, addresses and markup.
///
/// A subset of CommonMark 0.31 that needs no tree: fenced and indented code (§4.4, §4.5), block quotes (§5.1, a line
/// that begins with `>`), code spans (§6.1), links and images (§6.3, §6.4: the text stays, the address goes), autolinks
/// (§6.5) and bare addresses, headings, list bullets, emphasis, strike-through and spoiler marks, backslash escapes
/// (§2.4); and the entities that Reddit's API writes.
package enum MarkdownText {
    /// The plain text of `source`. Nothing is left of a post that was deleted or removed.
    package static func plain(_ source: String) -> String {
        if source == "[deleted]" || source == "[removed]" { return "" }
        var lines: [Substring] = []
        var fence: Substring?
        var followsParagraph = false
        let decoded = decodingEntities(source)
        for line in decoded.split(omittingEmptySubsequences: false, whereSeparator: \.isNewline) {
            let indent = line.prefix { $0 == " " }.count
            let trimmed = line.drop { $0 == " " || $0 == "\t" }
            if let open = fence {
                if trimmed.hasPrefix(open) { fence = nil }
                continue
            }
            if indent < 4, trimmed.hasPrefix("```") || trimmed.hasPrefix("~~~") {
                fence = trimmed.prefix(3)
                continue
            }
            // Indented code cannot interrupt a paragraph (§4.4).
            let isCode = (indent >= 4 || line.hasPrefix("\t")) && !followsParagraph
            let isQuote = trimmed.hasPrefix(">") && !trimmed.hasPrefix(">!")
            followsParagraph = !trimmed.isEmpty && !isCode && !isQuote
            if !isCode && !isQuote { lines.append(withoutBlockMarks(trimmed)) }
        }
        var inline = InlineText()
        return inline.plain(lines.joined(separator: "\n"))
    }

    /// Without the number signs of a heading, the bullet of a list item, or a line that only divides.
    private static func withoutBlockMarks(_ line: Substring) -> Substring {
        let signs = line.prefix { $0 == "#" }
        if (1...6).contains(signs.count) {
            let rest = line.dropFirst(signs.count)
            if rest.isEmpty || rest.hasPrefix(" ") { return rest.drop { $0 == " " } }
        }
        if line.hasPrefix("- ") || line.hasPrefix("* ") || line.hasPrefix("+ ") { return line.dropFirst(2) }
        let marks = line.filter { $0 != " " }
        if marks.count >= 3, let mark = marks.first, "-*_".contains(mark), marks.allSatisfy({ $0 == mark }) {
            return ""
        }
        return line
    }

    /// The entities that Reddit writes for characters of its Markdown.
    private static func decodingEntities(_ text: String) -> String {
        if !text.utf8.contains(UInt8(ascii: "&")) { return text }
        let entities: [(String, String)] = [
            ("&gt;", ">"), ("&lt;", "<"), ("&quot;", "\""), ("&#39;", "'"), ("&nbsp;", " "), ("&#x200B;", ""),
            ("&#x200b;", ""), ("&amp;", "&"),
        ]
        var result = ""
        result.reserveCapacity(text.utf8.count)
        var rest = Substring(text)
        while let ampersand = rest.firstIndex(of: "&") {
            result += rest[..<ampersand]
            rest = rest[ampersand...]
            if let (entity, character) = entities.first(where: { rest.hasPrefix($0.0) }) {
                result += character
                rest = rest.dropFirst(entity.count)
            } else {
                result += "&"
                rest = rest.dropFirst()
            }
        }
        return result + rest
    }
}

/// The inline half: bytes in, bytes out, each byte looked at a bounded number of times.
private struct InlineText {
    /// A link's text or a code span ends within this many bytes, or is none.
    private static let reach = 2000

    private var bytes: [UInt8] = []
    private var out: [UInt8] = []
    private var index = 0

    mutating func plain(_ text: String) -> String {
        bytes = Array(text.utf8)
        out.reserveCapacity(bytes.count)
        while index < bytes.count { step() }
        return String(decoding: out, as: UTF8.self)
    }

    private func byte(_ offset: Int) -> UInt8 { index + offset < bytes.count ? bytes[index + offset] : 0 }

    private mutating func keep(_ count: Int = 1) {
        out.append(contentsOf: bytes[index..<min(index + count, bytes.count)])
        index += count
    }

    private mutating func step() {
        switch bytes[index] {
        case UInt8(ascii: "\\"):
            // A backslash before punctuation stands for that character; "¯\_(ツ)_/¯" keeps its arms.
            if ByteClass.table[Int(byte(1))] & ByteClass.punctuation != 0 {
                index += 1
                keep()
            } else {
                keep()
            }
        case UInt8(ascii: "`"): codeSpan()
        case UInt8(ascii: "!") where byte(1) == UInt8(ascii: "["): image()
        case UInt8(ascii: "["): link()
        case UInt8(ascii: "<") where isAddress(at: index + 1): skip(to: UInt8(ascii: ">"), inclusive: true)
        case UInt8(ascii: "h"), UInt8(ascii: "H"), UInt8(ascii: "w"), UInt8(ascii: "W"):
            if !followsWord && isAddress(at: index) { skipAddress() } else { keep() }
        case UInt8(ascii: "*"), UInt8(ascii: "_"), UInt8(ascii: "~"): emphasis()
        case UInt8(ascii: ">") where byte(1) == UInt8(ascii: "!"): index += 2
        case UInt8(ascii: "!") where byte(1) == UInt8(ascii: "<"): index += 2
        default: keep()
        }
    }

    private var followsWord: Bool { out.last.map { Self.isWord($0) } ?? false }

    private static func isWord(_ byte: UInt8) -> Bool {
        byte >= 0x80 || (byte | 0x20) &- 0x61 < 26 || byte &- 0x30 < 10
    }

    private mutating func codeSpan() {
        var ticks = 0
        while byte(ticks) == UInt8(ascii: "`") { ticks += 1 }
        var end = index + ticks
        let limit = min(bytes.count, end + Self.reach)
        while end < limit {
            var run = 0
            while end + run < bytes.count && bytes[end + run] == UInt8(ascii: "`") { run += 1 }
            if run == ticks {
                out.append(0x20)
                index = end + run
                return
            }
            end += max(run, 1)
        }
        index += ticks
    }

    /// Where the bracket that opens at `open` is closed.
    private func closing(_ open: Int, _ left: UInt8, _ right: UInt8) -> Int? {
        var depth = 0
        for position in open..<min(bytes.count, open + Self.reach) {
            if bytes[position] == left { depth += 1 }
            if bytes[position] == right {
                depth -= 1
                if depth == 0 { return position }
            }
        }
        return nil
    }

    /// Takes an image out, its description too: it is made by programs more often than by people.
    private mutating func image() {
        guard let end = closing(index + 1, UInt8(ascii: "["), UInt8(ascii: "]")), end + 1 < bytes.count,
            bytes[end + 1] == UInt8(ascii: "("),
            let close = closing(end + 1, UInt8(ascii: "("), UInt8(ascii: ")"))
        else { return keep() }
        index = close + 1
    }

    /// Takes the address out of `[text](address)`: the text comes next in the input, the address behind it is skipped.
    private mutating func link() {
        guard let end = closing(index, UInt8(ascii: "["), UInt8(ascii: "]")), end + 1 < bytes.count,
            bytes[end + 1] == UInt8(ascii: "("),
            let close = closing(end + 1, UInt8(ascii: "("), UInt8(ascii: ")"))
        else { return keep() }
        bytes.replaceSubrange(end...close, with: [])
        index += 1
    }

    private func isAddress(at start: Int) -> Bool {
        func begins(_ prefix: StaticString) -> Bool {
            let count = prefix.utf8CodeUnitCount
            guard start + count <= bytes.count else { return false }
            for offset in 0..<count where bytes[start + offset] | 0x20 != prefix.utf8Start[offset] | 0x20 {
                return false
            }
            return true
        }
        return begins("http://") || begins("https://") || begins("www.")
    }

    private mutating func skipAddress() {
        while index < bytes.count && ByteClass.blankLength(at: index, of: bytes) == 0
            && bytes[index] != UInt8(ascii: ")")
            && bytes[index] != UInt8(ascii: "]")
        {
            index += 1
        }
    }

    private mutating func skip(to end: UInt8, inclusive: Bool) {
        while index < bytes.count && bytes[index] != end && bytes[index] != 0x0A { index += 1 }
        if inclusive && index < bytes.count && bytes[index] == end { index += 1 }
    }

    /// Drops asterisks, underscores and tildes that open or close emphasis (§6.2): a run at one side of a word, and not
    /// an underscore inside one. What stands alone or makes an emoticon stays.
    private mutating func emphasis() {
        let mark = bytes[index]
        var run = 0
        while byte(run) == mark { run += 1 }
        let after = Self.isWord(byte(run))
        let inside = after && followsWord
        let isMark = mark == UInt8(ascii: "~") ? run == 2 : run <= 3
        let drops = isMark && (after || followsWord || run >= 2) && !(inside && mark == UInt8(ascii: "_"))
        if drops { index += run } else { keep(run) }
    }
}

extension ByteClass {
    /// ``blankLength(_:at:)`` of an array.
    fileprivate static func blankLength(at index: Int, of bytes: [UInt8]) -> Int {
        bytes.withUnsafeBytes { blankLength($0, at: index) }
    }
}
