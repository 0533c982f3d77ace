// SPDX-License-Identifier: Apache-2.0

/// Finds the instruments that a text speaks of.
///
/// Four kinds of evidence, each enough by itself:
/// 1. a cashtag, `$GME` or `$gme`, of a known symbol;
/// 2. a known symbol of two letters or more as a word in capitals, unless it is also an everyday word (the stop list);
/// 3. a company's name, whole words; names that are everyday words count only as they are spelled (`Target`);
/// 4. with ``Options/matchesSubreddits``, a name inside the subreddit's (r/teslamotors).
///
/// Immutable; shared by any number of tasks.
package struct TickerMatcher: Sendable {
    /// What is known of an instrument.
    package struct Instrument: Sendable, Equatable {
        package var symbol: String
        package var name: String?

        package init(symbol: String, name: String?) {
            self.symbol = symbol
            self.name = name
        }
    }

    package struct Options: Sendable {
        /// Whether a subreddit's name counts as a mention.
        package var matchesSubreddits = false

        package init(matchesSubreddits: Bool = false) { self.matchesSubreddits = matchesSubreddits }
    }

    /// A name as a sequence of normal words.
    private struct Name {
        var words: [String]
        var symbols: [String]
        /// Each word must begin with a capital.
        var isCapitalised: Bool
    }

    private let symbols: Set<String>
    private let stopWords: Set<String>
    /// Names by their first word, longest first.
    private let names: [String: [Name]]
    private let options: Options

    /// - Parameters:
    ///   - instruments: the instruments there are.
    ///   - stopWords: words in capitals that are symbols only behind a `$`.
    ///   - aliases: names that people use beside the official one.
    package init(
        _ instruments: [Instrument], stopWords: Set<String> = Self.stopWords, aliases: [Alias] = Self.aliases,
        options: Options = Options()
    ) {
        symbols = Set(instruments.map(\.symbol))
        self.stopWords = stopWords
        self.options = options
        var byWords: [[String]: Name] = [:]
        func add(_ words: [String], _ symbol: String, isCapitalised: Bool) {
            if words.isEmpty { return }
            byWords[words, default: Name(words: words, symbols: [], isCapitalised: isCapitalised)].symbols
                .appendUnlessThere(symbol)
            // The looser rule holds where two instruments share a name.
            if !isCapitalised { byWords[words]?.isCapitalised = false }
        }
        let ambiguous = Set(aliases.filter { $0.kind == .notAName }.map(\.words))
        for instrument in instruments {
            guard let name = instrument.name else { continue }
            let words = Self.nameWords(name)
            if ambiguous.contains(words) { continue }
            // One word may be an everyday word that no list of ours has; as a name it is spelled with a capital.
            let isSafe = words.count > 1 || (words.first?.utf8.count ?? 0) >= 4
            if isSafe { add(words, instrument.symbol, isCapitalised: words.count == 1) }
        }
        for alias in aliases where symbols.contains(alias.symbol) {
            add(alias.words, alias.symbol, isCapitalised: alias.kind == .capitalised)
        }
        names = Dictionary(grouping: byWords.values, by: { $0.words[0] })
            .mapValues { $0.sorted { $0.words.count > $1.words.count } }
    }

    /// The symbols that `texts` and the subreddit's name speak of, in alphabetical order. Texts are plain
    /// (``MarkdownText``).
    package func symbols(in texts: [String], subreddit: String? = nil) -> [String] {
        var found: Set<String> = []
        for text in texts { find(in: Word.words(of: text), &found) }
        if options.matchesSubreddits, let subreddit { found.formUnion(symbols(ofSubreddit: subreddit)) }
        return found.sorted()
    }

    private func find(in words: [Word], _ found: inout Set<String>) {
        var index = 0
        while index < words.count {
            let word = words[index]
            if word.isCashtag {
                for spelling in [word.text.uppercased(), word.owner.uppercased()] where symbols.contains(spelling) {
                    found.insert(spelling)
                    break
                }
                index += 1
                continue
            }
            for spelling in [word.text, word.owner] where isSymbol(spelling) { found.insert(spelling) }
            index += matchName(words[index...], &found)
        }
    }

    /// Whether a word in capitals is a symbol by itself.
    private func isSymbol(_ word: String) -> Bool {
        let bytes = word.utf8
        guard (2...6).contains(bytes.count), bytes.allSatisfy({ $0 &- 0x41 < 26 || $0 == UInt8(ascii: ".") }) else {
            return false
        }
        return symbols.contains(word) && !stopWords.contains(word)
    }

    /// Notes the longest name that `words` begin with; returns how many words to go on by.
    private func matchName(_ words: ArraySlice<Word>, _ found: inout Set<String>) -> Int {
        guard let first = words.first else { return 1 }
        for start in first.normal == first.normalOwner ? [first.normal] : [first.normal, first.normalOwner] {
            for name in names[start] ?? [] where matches(name, words) {
                found.formUnion(name.symbols)
                return name.words.count
            }
        }
        return 1
    }

    private func matches(_ name: Name, _ words: ArraySlice<Word>) -> Bool {
        guard words.count >= name.words.count else { return false }
        for (offset, part) in name.words.enumerated() {
            let word = words[words.startIndex + offset]
            let isLast = offset == name.words.count - 1
            if word.isCashtag || word.normal != part && !(isLast && word.normalOwner == part) { return false }
            if name.isCapitalised && !word.beginsWithCapital { return false }
            // A name does not run over the end of a sentence.
            if !isLast && word.endsSentence { return false }
        }
        return true
    }

    /// The seeds' rule: a company's name inside the name of a subreddit.
    private func symbols(ofSubreddit subreddit: String) -> Set<String> {
        let place = Word.normal(subreddit.lowercased()[...])
        var found: Set<String> = []
        for name in names.values.joined() {
            let joined = name.words.joined()
            // Shorter ones are inside too many words.
            if joined.utf8.count >= 4 && place.contains(joined) { found.formUnion(name.symbols) }
        }
        return found
    }

    // MARK: Names

    /// A company's name without its legal form, as normal words.
    static func nameWords(_ name: String) -> [String] {
        let open = name.firstIndex(of: "(") ?? name.endIndex
        var words = Word.words(of: String(name[..<open])).map(\.normal)
        if words.first == "the" && words.count > 1 { words.removeFirst() }
        while words.count > 1, let last = words.last, legalForms.contains(last) { words.removeLast() }
        return words
    }

    private static let legalForms: Set<String> = [
        "inc", "incorporated", "corp", "corporation", "company", "co", "companies", "ltd", "limited", "plc", "llc",
        "na",
        "group", "holdings", "holding", "technologies", "reit", "trust", "platforms", "markets", "and", "&", "parent",
    ]
}

extension [String] {
    fileprivate mutating func appendUnlessThere(_ value: String) {
        if !contains(value) { append(value) }
    }
}

/// A word of a text: letters and digits, and `.`, `&` and apostrophes between them.
struct Word {
    /// As it is written.
    var text: String
    /// Without a possessive `'s`.
    var owner: String
    var isCashtag: Bool
    var beginsWithCapital: Bool
    var endsSentence: Bool
    /// In lower case without points and apostrophes; and the same of ``owner``.
    var normal: String
    var normalOwner: String

    static func words(of text: String) -> [Word] {
        var words: [Word] = []
        let bytes = Array(text.utf8)
        func isLetter(_ index: Int) -> Bool {
            index < bytes.count
                && (bytes[index] >= 0x80 || (bytes[index] | 0x20) &- 0x61 < 26 || bytes[index] &- 0x30 < 10)
        }
        var index = 0
        while index < bytes.count {
            let apostrophe = Self.apostropheLength(bytes, index)
            if !isLetter(index) || apostrophe > 0 {
                index += max(1, apostrophe)
                continue
            }
            let start = index
            while index < bytes.count {
                let joint = joiningLength(bytes, index)
                if joint > 0 {
                    if !isLetter(index + joint) || apostropheLength(bytes, index + joint) > 0 { break }
                    index += joint
                } else if isLetter(index) {
                    index += 1
                } else {
                    break
                }
            }
            words.append(word(bytes, start, index))
        }
        return words
    }

    private static func word(_ bytes: [UInt8], _ start: Int, _ end: Int) -> Word {
        let text = String(decoding: bytes[start..<end], as: UTF8.self)
        var owner = text[...]
        for suffix in ["'s", "’s", "'S", "’S"] where owner.hasSuffix(suffix) { owner = owner.dropLast(suffix.count) }
        let isTagged = start > 0 && bytes[start - 1] == UInt8(ascii: "$")
        let beforeTag = start > 1 ? bytes[start - 2] : 0x20
        let isFree = !((beforeTag | 0x20) &- 0x61 < 26 || beforeTag &- 0x30 < 10 || beforeTag == UInt8(ascii: "$"))
        let beginsWithLetter = (bytes[start] | 0x20) &- 0x61 < 26
        let next = end < bytes.count ? bytes[end] : UInt8(ascii: ".")
        return Word(
            text: text, owner: String(owner), isCashtag: isTagged && isFree && beginsWithLetter,
            beginsWithCapital: bytes[start] &- 0x41 < 26, endsSentence: next < 0x80 && ".!?;:\n".utf8.contains(next),
            normal: normal(text[...]), normalOwner: normal(owner))
    }

    /// In lower case, without points and apostrophes.
    static func normal(_ text: Substring) -> String {
        let plain = text.utf8.allSatisfy { $0 < 0x80 && $0 != UInt8(ascii: ".") && $0 != UInt8(ascii: "'") }
        return plain ? text.lowercased() : text.lowercased().filter { $0 != "." && $0 != "'" && $0 != "’" }
    }

    /// The length of what joins two halves of a word: `.`, `&`, an apostrophe.
    private static func joiningLength(_ bytes: [UInt8], _ index: Int) -> Int {
        if bytes[index] == UInt8(ascii: ".") || bytes[index] == UInt8(ascii: "&") { return 1 }
        return apostropheLength(bytes, index)
    }

    private static func apostropheLength(_ bytes: [UInt8], _ index: Int) -> Int {
        guard index < bytes.count else { return 0 }
        if bytes[index] == UInt8(ascii: "'") { return 1 }
        let isTypographic =
            index + 2 < bytes.count && bytes[index] == 0xE2 && bytes[index + 1] == 0x80 && bytes[index + 2] == 0x99
        return isTypographic ? 3 : 0
    }
}
