// SPDX-License-Identifier: Apache-2.0

/// The words and emoji of VADER with what each does, in tables that are probed with bytes.
///
/// A text file of the lexicon has `WORD <tab> MEAN …` on each line, one of emoji `EMOJI <tab> DESCRIPTION`, as the
/// package vaderSentiment ships them. Immutable once made, and shared by any number of ``SentimentAnalyzer``.
package final class VaderLexicon: @unchecked Sendable {
    // Rule for `@unchecked Sendable`: what the pointers lead to is written by `init` alone.

    /// A word as a file or a list describes it.
    private struct Word {
        var valence = 0.0
        var roles: WordRole = []
        var keyword = Keyword.none
    }

    /// A place of the hash table. The hash is perfect for the words there are: each has a place of its own, which its
    /// hash and the pilot of its bucket give, so that a look-up is one comparison, and no branch on what a text says.
    /// Source: Belazzougui, Botelho, Dietzfelbinger 2009, "Hash, Displace, and Compress", ESA 2009.
    private struct Slot {
        var key = WordKey()
        var word = LexiconWord()
    }

    private let slots: UnsafeMutablePointer<Slot>
    private let slotCount: Int
    /// 64 less the logarithm of ``slotCount``.
    private let slotShift: UInt64
    /// For each bucket of hashes, the number that sends its words to places of their own.
    private let pilots: UnsafeMutablePointer<UInt32>
    private static let bucketBits: UInt64 = 11
    /// The valences that ``LexiconWord/place`` points to.
    private let valences: UnsafeMutablePointer<Double>

    private let emojiSlots: [EmojiSlot]
    private let emojiMask: Int
    private let descriptions: [UInt8]

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
        mark(VaderWords.strengtheners) { $0.roles.insert(.strengthener) }
        mark(VaderWords.dampeners) { $0.roles.insert(.dampener) }
        for keyword in Keyword.allCases where keyword != .none { mark([keyword.text]) { $0.keyword = keyword } }
        (emojiSlots, descriptions) = try Self.emojiTable(emoji)
        emojiMask = emojiSlots.count - 1

        let keys = table.keys.map { text in text.withUnsafeBytes { WordKey($0) } }
        let hash = try PerfectHash(keys.map(\.hash), bucketBits: Self.bucketBits)
        slotCount = hash.slotCount
        slotShift = hash.slotShift
        pilots = .allocate(capacity: hash.pilots.count)
        pilots.initialize(from: hash.pilots, count: hash.pilots.count)
        // On the lines of the cache, so that no slot lies on two of them.
        let bytes = MemoryLayout<Slot>.stride * slotCount
        slots = UnsafeMutableRawPointer.allocate(byteCount: bytes, alignment: 64).bindMemory(
            to: Slot.self, capacity: slotCount)
        slots.initialize(repeating: Slot(), count: slotCount)
        valences = .allocate(capacity: table.count)
        for (place, (key, word)) in zip(keys, table.values).enumerated() {
            valences.advanced(by: place).initialize(to: word.valence)
            slots[hash.slot(of: key.hash)] = Slot(
                key: key, word: LexiconWord(word.keyword, word.roles, place: UInt32(place)))
        }
    }

    deinit {
        slots.deallocate()
        pilots.deallocate()
        valences.deallocate()
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

    /// What the lists know of a word in lower case.
    @inline(__always)
    func word(_ key: WordKey) -> LexiconWord {
        let hash = key.hash
        let pilot = pilots[Int(truncatingIfNeeded: hash &>> (64 - Self.bucketBits))]
        let slot = slots[PerfectHash.slot(hash, pilot, slotShift)]
        let differs =
            (slot.key.first ^ key.first) | (slot.key.second ^ key.second) | (slot.key.third ^ key.third)
        // A branch here would often be guessed wrong: whether a list has the next word is what cannot be known.
        return LexiconWord(slot.word, unless: differs)
    }

    /// Mean valence, from -4 (most negative) to 4, of a word in the lexicon.
    @inline(__always)
    func valence(of word: LexiconWord) -> Double { valences[word.place] }

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

/// Finds a place of its own for each of some hashes.
private struct PerfectHash {
    private(set) var pilots: [UInt32]
    let slotCount: Int
    let slotShift: UInt64
    private let bucketShift: UInt64

    /// - Parameter hashes: all different, which 64 bits of any few thousand words are.
    init(_ hashes: [UInt64], bucketBits: UInt64) throws(SentimentError) {
        var bits: UInt64 = 4
        while 1 << bits < 2 * hashes.count { bits += 1 }
        slotCount = 1 << Int(bits)
        slotShift = 64 - bits
        bucketShift = 64 - bucketBits
        pilots = [UInt32](repeating: 0, count: 1 << Int(bucketBits))
        var buckets = [[UInt64]](repeating: [], count: pilots.count)
        for hash in hashes { buckets[Int(hash >> bucketShift)].append(hash) }
        var isTaken = [Bool](repeating: false, count: slotCount)
        // The fullest first, while there is most room.
        for bucket in buckets.indices.sorted(by: { buckets[$0].count > buckets[$1].count }) {
            var pilot: UInt32 = 0
            search: while true {
                let places = buckets[bucket].map { Self.slot($0, pilot, slotShift) }
                if Set(places).count == places.count && !places.contains(where: { isTaken[$0] }) {
                    for place in places { isTaken[place] = true }
                    break search
                }
                pilot += 1
                if pilot == 1 << 20 { throw SentimentError("the sentiment lexicon has words that hash alike") }
            }
            pilots[bucket] = pilot
        }
    }

    func slot(of hash: UInt64) -> Int { Self.slot(hash, pilots[Int(hash >> bucketShift)], slotShift) }

    @inline(__always)
    static func slot(_ hash: UInt64, _ pilot: UInt32, _ shift: UInt64) -> Int {
        Int(truncatingIfNeeded: (hash &* (UInt64(pilot) &* 2 &+ 1)) &>> shift)
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
