// SPDX-License-Identifier: Apache-2.0

/// The words and emoji of VADER with what each does, in tables that are probed with bytes.
///
/// A text file of the lexicon has `WORD <tab> MEAN …` on each line, one of emoji `EMOJI <tab> DESCRIPTION`, as the
/// package vaderSentiment ships them. Immutable once made, and shared by any number of ``SentimentAnalyzer``.
package final class VaderLexicon: Sendable {
    /// A word as the rules see it.
    struct Word {
        /// Mean valence, from -4 (most negative) to 4, and 0 for words the lexicon does not have.
        var valence = 0.0
        /// What it adds to the valence of a word that follows; 0 if it is no booster.
        var booster = 0.0
        var roles: WordRole = []
        var keyword = Keyword.none
    }

    /// All words; the first stands for every word that is in no list.
    private let words: [Word]
    private let slots: [Slot]
    /// A bit for the hash of each word: most words of a text are in no list, and this small table says so without a
    /// look at the large one.
    private let filter: [UInt64]
    private let emojiSlots: [EmojiSlot]
    private let emojiMask: Int
    private let descriptions: [UInt8]

    /// A place of the hash table (open addressing, linear probing).
    struct Slot {
        var key = WordKey()
        /// Place in ``words``; 0 marks an empty slot.
        var word: Int32 = 0
    }

    private struct EmojiSlot {
        /// The code point; 0 marks an empty slot.
        var scalar: UInt32 = 0
        var start: UInt32 = 0
        var length: UInt16 = 0
    }

    /// Reads a lexicon.
    ///
    /// - Parameters:
    ///   - lexicon: the bytes of `vader_lexicon.txt`; where a word stands twice the last line counts.
    ///   - emoji: the bytes of `emoji_utf8_lexicon.txt`; only emoji of one code point can be met by the algorithm.
    ///   - additions: weights that replace or add to the lexicon's own; 0 takes a word out of it.
    package init(lexicon: [UInt8], emoji: [UInt8], additions: [LexiconAddition] = []) throws(SentimentError) {
        var table: [[UInt8]: Word] = [:]
        for (number, line) in Self.lines(lexicon) {
            guard let tab = line.firstIndex(of: 9), tab > line.startIndex else {
                throw SentimentError("the sentiment lexicon, line \(number): not of the form WORD, tab, NUMBER")
            }
            let field = line[(tab + 1)...].prefix { $0 != 9 }
            guard let valence = Double(String(decoding: field, as: UTF8.self)), valence.magnitude <= 4 else {
                throw SentimentError("the sentiment lexicon, line \(number): not a number from -4 to 4 after the tab")
            }
            guard tab - line.startIndex <= WordKey.capacity else {
                throw SentimentError(
                    "the sentiment lexicon, line \(number): a word has more than \(WordKey.capacity) bytes")
            }
            table[Array(line[..<tab]), default: Word()].valence = valence
            table[Array(line[..<tab]), default: Word()].roles.insert(.inLexicon)
        }
        if table.count < 1000 { throw SentimentError("the sentiment lexicon has only \(table.count) words") }
        for addition in additions {
            let key = Array(addition.word.utf8)
            table[key, default: Word()].valence = addition.weight
            if addition.weight == 0 {
                table[key, default: Word()].roles.remove(.inLexicon)
            } else {
                table[key, default: Word()].roles.insert(.inLexicon)
            }
        }
        func mark(_ words: [String], _ change: (inout Word) -> Void) {
            for word in words { change(&table[Array(word.utf8), default: Word()]) }
        }
        mark(VaderWords.negations) { $0.roles.insert(.negation) }
        mark(VaderWords.strengtheners) { word in
            word.roles.insert(.booster)
            word.booster = VaderWords.boosterIncrement
        }
        mark(VaderWords.dampeners) { word in
            word.roles.insert(.booster)
            word.booster = -VaderWords.boosterIncrement
        }
        for keyword in Keyword.allCases where keyword != .none { mark([keyword.text]) { $0.keyword = keyword } }
        var words = [Word()]
        var slots = [Slot](repeating: Slot(), count: Self.capacity(table.count))
        var filter = [UInt64](repeating: 0, count: 1024)
        let mask = slots.count - 1
        for (text, word) in table.sorted(by: { $0.key.lexicographicallyPrecedes($1.key) }) {
            let key = text.withUnsafeBytes { WordKey($0) }
            let hash = key.hash
            filter[Int(truncatingIfNeeded: hash >> 54)] |= 1 << ((hash >> 48) & 63)
            var index = Int(truncatingIfNeeded: hash) & mask
            while slots[index].word != 0 { index = (index + 1) & mask }
            slots[index] = Slot(key: key, word: Int32(words.count))
            words.append(word)
        }
        self.words = words
        self.slots = slots
        self.filter = filter
        (emojiSlots, descriptions) = try Self.emojiTable(emoji)
        emojiMask = emojiSlots.count - 1
    }

    private static func emojiTable(_ emoji: [UInt8]) throws(SentimentError) -> ([EmojiSlot], [UInt8]) {
        var entries: [(scalar: UInt32, description: ArraySlice<UInt8>)] = []
        for (number, line) in lines(emoji) {
            guard let tab = line.firstIndex(of: 9) else {
                throw SentimentError("the emoji lexicon, line \(number): not of the form EMOJI, tab, DESCRIPTION")
            }
            let scalars = String(decoding: line[..<tab], as: UTF8.self).unicodeScalars
            guard let scalar = scalars.first, scalars.count == 1 else { continue }
            entries.append((scalar.value, line[(tab + 1)...].prefix { $0 != 9 }))
        }
        if entries.isEmpty { throw SentimentError("the emoji lexicon has no emoji") }
        var slots = [EmojiSlot](repeating: EmojiSlot(), count: capacity(entries.count))
        var descriptions: [UInt8] = []
        for (scalar, description) in entries {
            var index = emojiIndex(scalar, slots.count - 1)
            while slots[index].scalar != 0 && slots[index].scalar != scalar { index = (index + 1) & (slots.count - 1) }
            slots[index] = EmojiSlot(
                scalar: scalar, start: UInt32(descriptions.count), length: UInt16(description.count))
            descriptions += description
        }
        return (slots, descriptions)
    }

    /// The lines that are not blank, without the blanks around them, and their numbers from 1.
    private static func lines(_ bytes: [UInt8]) -> [(number: Int, line: ArraySlice<UInt8>)] {
        func isBlank(_ byte: UInt8) -> Bool { byte == 0x20 || (0x09...0x0D).contains(byte) }
        return bytes.split(separator: 0x0A, omittingEmptySubsequences: false).enumerated().compactMap { index, line in
            var line = line.drop(while: isBlank)
            while let last = line.last, isBlank(last) { line.removeLast() }
            return line.isEmpty ? nil : (index + 1, line)
        }
    }

    /// At least twice as many slots as entries, a power of two.
    private static func capacity(_ count: Int) -> Int {
        var capacity = 16
        while capacity < 2 * count { capacity *= 2 }
        return capacity
    }

    // MARK: Look-up

    /// The tables by their addresses, for the length of a call.
    struct Tables {
        let words: UnsafeBufferPointer<Word>
        let slots: UnsafeBufferPointer<Slot>
        let filter: UnsafeBufferPointer<UInt64>
        let classes: UnsafeBufferPointer<UInt8>

        /// The place in ``words`` of a word in lower case; 0 if no list has it.
        @inline(__always)
        func index(of key: WordKey) -> Int32 {
            let hash = key.hash
            if filter[Int(truncatingIfNeeded: hash >> 54)] & 1 << ((hash >> 48) & 63) == 0 { return 0 }
            var index = Int(truncatingIfNeeded: hash) & (slots.count - 1)
            while true {
                let slot = slots[index]
                if slot.word == 0 || slot.key == key { return slot.word }
                index = (index + 1) & (slots.count - 1)
            }
        }
    }

    /// Calls `body` with the tables, which must not outlive the call.
    func withTables<Result>(_ body: (Tables) -> Result) -> Result {
        words.withUnsafeBufferPointer { words in
            slots.withUnsafeBufferPointer { slots in
                filter.withUnsafeBufferPointer { filter in
                    ByteClass.table.withUnsafeBufferPointer { classes in
                        body(Tables(words: words, slots: slots, filter: filter, classes: classes))
                    }
                }
            }
        }
    }

    /// The description that stands for an emoji, or nil if the code point has none.
    @inline(__always)
    func description(of scalar: UInt32) -> ArraySlice<UInt8>? {
        var index = Self.emojiIndex(scalar, emojiMask)
        while emojiSlots[index].scalar != 0 {
            let slot = emojiSlots[index]
            if slot.scalar == scalar { return descriptions[Int(slot.start)..<(Int(slot.start) + Int(slot.length))] }
            index = (index + 1) & emojiMask
        }
        return nil
    }

    @inline(__always)
    private static func emojiIndex(_ scalar: UInt32, _ mask: Int) -> Int {
        Int(truncatingIfNeeded: (scalar &* 0x9E37_79B1) >> 12) & mask
    }
}

/// A word with a weight of our own.
package struct LexiconAddition: Sendable, Equatable {
    /// In lower case, without blanks.
    package var word: String
    /// Mean valence from -4 to 4; 0 makes the word neutral.
    package var weight: Double
    /// Why the word weighs that much.
    package var reason: String

    /// Reads `WORD <tab> WEIGHT <tab> REASON` lines; `#` begins a comment line.
    package static func parse(_ text: String) throws(SentimentError) -> [LexiconAddition] {
        var additions: [LexiconAddition] = []
        var seen: Set<String> = []
        for (index, line) in text.split(separator: "\n", omittingEmptySubsequences: false).enumerated() {
            if line.isEmpty || line.hasPrefix("#") { continue }
            let fields = line.split(separator: "\t", omittingEmptySubsequences: false).map(String.init)
            guard fields.count == 3, (1...WordKey.capacity).contains(fields[0].utf8.count),
                !fields[0].contains(where: \.isWhitespace),
                fields[0] == fields[0].lowercased(), !fields[2].isEmpty
            else {
                throw SentimentError(
                    "the finance lexicon, line \(index + 1): not of the form word, tab, weight, tab, reason")
            }
            guard let weight = Double(fields[1]), weight.magnitude <= 4 else {
                throw SentimentError("the finance lexicon, line \(index + 1): the weight is not a number from -4 to 4")
            }
            if !seen.insert(fields[0]).inserted {
                throw SentimentError("the finance lexicon, line \(index + 1): '\(fields[0])' stands there twice")
            }
            additions.append(LexiconAddition(word: fields[0], weight: weight, reason: fields[2]))
        }
        return additions
    }
}
