// SPDX-License-Identifier: Apache-2.0

/// The sentiment of a text.
package struct Sentiment: Sendable, Equatable {
    /// The whole in one number from -1 (most negative) to 1: the sum of valences s as s / √(s² + 15); 4 decimals.
    package var compound: Double
    /// The share of the text that is positive, negative, neutral: together 1, or all 0 for a text without words;
    /// 3 decimals, as the original rounds them.
    package var positive: Double
    package var negative: Double
    package var neutral: Double

    /// A text without words.
    package static let none = Sentiment(compound: 0, positive: 0, negative: 0, neutral: 0)

    /// From here on a text counts as positive, and from its negative on as negative (the authors' thresholds).
    package static let threshold = 0.05
}

/// VADER: the rules that make a sentiment of a text and a lexicon.
///
/// Source: Hutto, Gilbert 2014, "VADER: A Parsimonious Rule-based Model for Sentiment Analysis of Social Media Text",
/// ICWSM-14; and where the paper leaves a choice open, what the authors' package vaderSentiment 3.3.2 does, to the last
/// digit it prints. Works on bytes and keeps its buffers: one analyzer for each task, reused for many texts.
package final class SentimentAnalyzer {
    private let lexicon: VaderLexicon
    private let map = TextMap()
    /// The words of the text, without the punctuation around them. Rules look up to three words back and two ahead: so
    /// many empty ones stand around.
    private var words: UnsafeMutablePointer<LexiconWord>
    /// Which of them have a valence that counts.
    private var places: UnsafeMutablePointer<Int32>
    private var capacity = 0
    /// Room for the words of longer texts is given back after each.
    private static let keptWords = 1 << 15
    /// The words that are not neutral, in order.
    private var valences: UnsafeMutablePointer<Valence>
    private var converted: [UInt8] = []
    private var lower: [UInt8] = []
    private let masks: UnsafeMutableRawPointer

    /// The valence of a word with the number `index`.
    private struct Valence {
        var index = 0
        var value = 0.0
    }

    package init(_ lexicon: VaderLexicon) {
        self.lexicon = lexicon
        words = .allocate(capacity: 0)
        places = .allocate(capacity: 0)
        valences = .allocate(capacity: 0)
        masks = .allocate(byteCount: WordKey.masks.count, alignment: 8)
        masks.copyMemory(from: WordKey.masks, byteCount: WordKey.masks.count)
    }

    deinit {
        words.deallocate()
        places.deallocate()
        valences.deallocate()
        masks.deallocate()
    }

    /// The sentiment of a text in UTF-8.
    package func score(_ text: String) -> Sentiment {
        var text = text
        return text.withUTF8 { score(UnsafeRawBufferPointer($0)) }
    }

    /// The sentiment of a text in UTF-8. Bytes that are not UTF-8 are parts of words that no list has.
    package func score(_ text: UnsafeRawBufferPointer) -> Sentiment {
        map.map(text)
        if map.isASCII { return scoreWords(text) }
        if !findWideBlanks(text) { return scoreWords(text) }
        convertEmoji(text)
        return converted.withUnsafeBytes { converted in
            map.map(converted)
            _ = findWideBlanks(converted)
            return scoreWords(converted)
        }
    }

    // MARK: Beyond ASCII

    /// Marks blanks beyond ASCII; tells whether there are emoji.
    private func findWideBlanks(_ text: UnsafeRawBufferPointer) -> Bool {
        var hasEmoji = false
        var index = 0
        for word in 0...(text.count / 64) {
            var wide = map.blocks[word].wide
            while wide != 0 {
                // Of a character of several bytes the first decides; the others are skipped.
                let place = 64 * word + wide.trailingZeroBitCount
                wide &= wide &- 1
                if place < index { continue }
                let (scalar, length) = UTF8Scalar.decode(text, at: place)
                index = place + length
                let blank = ByteClass.blankLength(text, at: place)
                if blank > 0 { map.markBlank(place, blank) }
                if !hasEmoji { hasEmoji = lexicon.description(of: scalar) != nil }
            }
        }
        return hasEmoji
    }

    /// Writes the text with each emoji's description in its place, a blank before it unless there is one.
    private func convertEmoji(_ text: UnsafeRawBufferPointer) {
        converted.removeAll(keepingCapacity: true)
        var index = 0
        // Where what has not been written yet begins.
        var pending = 0
        while index < text.count {
            if text[index] < 0x80 {
                index += 1
                continue
            }
            let (scalar, length) = UTF8Scalar.decode(text, at: index)
            if let description = lexicon.description(of: scalar) {
                converted.append(contentsOf: UnsafeRawBufferPointer(rebasing: text[pending..<index]))
                // After an emoji there is no blank, even if its description were to end in one.
                let followsBlank = index == 0 || index > pending && text[index - 1] == 0x20
                if !followsBlank { converted.append(0x20) }
                converted.append(contentsOf: description)
                pending = index + length
            }
            index += length
        }
        converted.append(contentsOf: UnsafeRawBufferPointer(rebasing: text[pending...]))
    }

    // MARK: Words

    private func reserve(_ count: Int) {
        if count <= capacity { return }
        words.deallocate()
        places.deallocate()
        valences.deallocate()
        capacity = max(count, 512)
        words = .allocate(capacity: capacity + 6)
        words.initialize(repeating: LexiconWord(), count: capacity + 6)
        places = .allocate(capacity: capacity + 1)
        places.initialize(repeating: 0, count: capacity + 1)
        valences = .allocate(capacity: capacity + 1)
        valences.initialize(repeating: Valence(), count: capacity + 1)
    }

    /// What is counted on the way through the words.
    private struct Marks {
        var words = 0
        var valences = 0
        var upperWords = 0
        var firstBut: Int?
    }

    private func scoreWords(_ text: UnsafeRawBufferPointer) -> Sentiment {
        // A word and the blank behind it are two bytes at least.
        reserve(text.count / 2 + 1)
        defer {
            if capacity > Self.keptWords {
                capacity = 0
                reserve(Self.keptWords)
            }
        }
        var marks = Marks()
        cutWords(text, &marks)
        if marks.words == 0 { return .none }
        let words = self.words + 3
        words[marks.words] = LexiconWord()
        words[marks.words + 1] = LexiconWord()
        let capitalsMatter = marks.upperWords > 0 && marks.upperWords < marks.words
        var count = 0
        for place in 0..<marks.valences {
            let index = Int(places[place])
            let value = valence(words, index, capitalsMatter)
            valences[count] = Valence(index: index, value: value)
            count &+= value == 0 ? 0 : 1
        }
        let found = UnsafeMutableBufferPointer(start: valences, count: count)
        if let but = marks.firstBut { Self.weighAround(but, found) }
        return sum(found, wordCount: marks.words)
    }

    /// Cuts the text at its blanks: where the bit of a byte differs from that of the byte before, a word begins or ends.
    private func cutWords(_ text: UnsafeRawBufferPointer, _ marks: inout Marks) {
        // Where a word begins that goes on in the next block.
        var open = 0
        var carry: UInt64 = 0
        for index in 0...(text.count / 64) {
            let block = map.blocks[index]
            let offset = 64 &* index
            let solid = ~block.blank
            var edges = solid ^ (solid &<< 1 | carry)
            if carry != 0 && edges != 0 {
                noteLong(text, open, offset + edges.trailingZeroBitCount, &marks)
                edges &= edges &- 1
            }
            while edges != 0 {
                let start = edges & (0 &- edges)
                edges ^= start
                if edges == 0 {
                    open = offset + start.trailingZeroBitCount
                    break
                }
                let end = edges & (0 &- edges)
                edges ^= end
                note(text, block, offset, start, end, &marks)
            }
            carry = solid &>> 63
        }
    }

    /// Notes the word that begins at the bit `start` of a block and ends before the bit `end`.
    ///
    /// It counts without punctuation at both ends; as it is if two characters or fewer would be left, for then it may be
    /// an emoticon.
    @inline(__always)
    private func note(
        _ text: UnsafeRawBufferPointer, _ block: TextMap.Block, _ offset: Int, _ start: UInt64, _ end: UInt64,
        _ marks: inout Marks
    ) {
        let mask = end &- start
        let (first, last) = (start.trailingZeroBitCount, end.trailingZeroBitCount)
        if block.wide & mask != 0 {
            return noteWide(UnsafeRawBufferPointer(rebasing: text[(offset + first)..<(offset + last)]), &marks)
        }
        let plain = block.plain & mask
        let front = plain.trailingZeroBitCount
        let rest = 64 &- plain.leadingZeroBitCount &- front
        let isBare = rest > 2
        let key = WordKey(
            at: map.bytes + (offset &+ (isBare ? front : first)), count: isBare ? rest : last &- first, masks: masks)
        append(
            lexicon.word(key).with(
                isUpper: block.upper & mask != 0 && block.lower & mask == 0, isNegation: block.not & mask != 0), &marks)
    }

    /// Notes a word of several blocks.
    private func noteLong(_ text: UnsafeRawBufferPointer, _ start: Int, _ end: Int, _ marks: inout Marks) {
        let token = UnsafeRawBufferPointer(rebasing: text[start..<end])
        // All that is asked of it, gathered block by block.
        var (wide, upper, lower, not): (UInt64, UInt64, UInt64, UInt64) = (0, 0, 0, 0)
        for index in (start / 64)...((end - 1) / 64) {
            let block = map.blocks[index]
            let mask =
                (index == start / 64 ? UInt64.max << UInt64(start % 64) : .max)
                & (index == (end - 1) / 64 ? .max >> UInt64(63 - (end - 1) % 64) : .max)
            wide |= block.wide & mask
            upper |= block.upper & mask
            lower |= block.lower & mask
            not |= block.not & mask
        }
        if wide != 0 { return noteWide(token, &marks) }
        let bare = Self.withoutPunctuation(token)
        guard let base = bare.baseAddress, let whole = text.baseAddress else { return }
        let key = WordKey(at: map.bytes + (base - whole), count: bare.count, masks: masks)
        append(lexicon.word(key).with(isUpper: upper != 0 && lower == 0, isNegation: not != 0), &marks)
    }

    /// Notes a word with characters beyond ASCII.
    private func noteWide(_ whole: UnsafeRawBufferPointer, _ marks: inout Marks) {
        let token = Self.withoutPunctuation(whole)
        lower.removeAll(keepingCapacity: true)
        let (hasUpper, hasOther) = UTF8Scalar.lowercase(token, into: &lower)
        let canBeKnown = lower.count <= WordKey.capacity && lower.last != 0
        let key = canBeKnown ? lower.withUnsafeBytes { WordKey($0) } : WordKey()
        append(
            lexicon.word(key).with(
                isUpper: hasUpper && !hasOther, isNegation: lower.withUnsafeBytes { Self.holdsNot($0) }), &marks)
    }

    @inline(__always)
    private func append(_ word: LexiconWord, _ marks: inout Marks) {
        words[marks.words &+ 3] = word
        places[marks.valences] = Int32(truncatingIfNeeded: marks.words)
        marks.valences &+= word.counts
        marks.upperWords &+= word.isUpper ? 1 : 0
        if word.is(.but) && marks.firstBut == nil { marks.firstBut = marks.words }
        marks.words &+= 1
    }

    private static func withoutPunctuation(_ token: UnsafeRawBufferPointer) -> UnsafeRawBufferPointer {
        var start = 0
        var end = token.count
        while start < end && ByteClass.table[Int(token[start])] & ByteClass.punctuation != 0 { start += 1 }
        while end > start && ByteClass.table[Int(token[end - 1])] & ByteClass.punctuation != 0 { end -= 1 }
        var characters = 0
        for index in start..<end where token[index] & 0xC0 != 0x80 { characters += 1 }
        return characters <= 2 ? token : UnsafeRawBufferPointer(rebasing: token[start..<end])
    }

    /// Whether a word in lower case holds `n't`.
    private static func holdsNot(_ word: UnsafeRawBufferPointer) -> Bool {
        var index = 1
        while index + 1 < word.count {
            if word[index] == UInt8(ascii: "'") && word[index - 1] == UInt8(ascii: "n")
                && word[index + 1] == UInt8(ascii: "t")
            {
                return true
            }
            index += 1
        }
        return false
    }

    // MARK: Rules

    private typealias Words = UnsafeMutablePointer<LexiconWord>

    /// The valence of a word among its neighbours.
    @inline(__always)
    private func valence(_ words: Words, _ index: Int, _ capitalsMatter: Bool) -> Double {
        let word = words[index]
        let own = lexicon.valence(of: word)
        let isAlone =
            !words[index - 1].concernsOthers && !words[index - 2].concernsOthers && !words[index - 3].concernsOthers
        if isAlone && word.is(.none) {
            return own + (capitalsMatter && word.isUpper ? Self.emphasis(own) : 0)
        }
        return valence(words, index, own, capitalsMatter)
    }

    /// What capitals add to a valence.
    @inline(__always)
    private static func emphasis(_ valence: Double) -> Double {
        valence > 0 ? VaderWords.capitalsIncrement : -VaderWords.capitalsIncrement
    }

    private func valence(_ words: Words, _ index: Int, _ own: Double, _ capitalsMatter: Bool) -> Double {
        let word = words[index]
        if word.is(.kind) && words[index + 1].is(.of) { return 0 }

        var valence = own
        // "no" before a word with a valence negates it, and says nothing by itself.
        if word.is(.no) && words[index + 1].has(.inLexicon) { valence = 0 }
        let noStandsBefore =
            words[index - 1].is(.no) || words[index - 2].is(.no)
            || words[index - 3].is(.no)
                && (words[index - 1].is(.or) || words[index - 1].is(.nor))
        if noStandsBefore { valence = own * VaderWords.negationFactor }
        if capitalsMatter && word.isUpper { valence += Self.emphasis(valence) }
        for distance in 1...3
        where index >= distance && !words[index - distance].has(.inLexicon) {
            valence += Self.boost(words[index - distance], valence, capitalsMatter) * Self.fading(distance)
            valence = Self.negate(valence, words, index, distance)
            if distance == 3 { valence = Self.idiom(valence, words, index) }
        }
        return Self.least(valence, words, index)
    }

    /// How much of a booster is left at a distance in words.
    @inline(__always)
    private static func fading(_ distance: Int) -> Double { distance == 1 ? 1 : distance == 2 ? 0.95 : 0.9 }

    /// What a word before a valence adds to it. Weaker with distance, which its caller sees to.
    @inline(__always)
    private static func boost(_ word: LexiconWord, _ valence: Double, _ capitalsMatter: Bool) -> Double {
        let isDampener = word.has(.dampener)
        if !isDampener && !word.has(.strengthener) { return 0 }
        let boost = isDampener == (valence < 0) ? VaderWords.boosterIncrement : -VaderWords.boosterIncrement
        return capitalsMatter && word.isUpper ? boost + emphasis(valence) : boost
    }

    /// Negation by the word `distance` before.
    @inline(__always)
    private static func negate(_ valence: Double, _ words: Words, _ index: Int, _ distance: Int) -> Double {
        func isSoOrThis(_ index: Int) -> Bool { words[index].is(.so) || words[index].is(.this) }
        let farthest = words[index - distance]
        switch distance {
        case 2:
            if farthest.is(.never) && isSoOrThis(index - 1) { return valence * 1.25 }
            if farthest.is(.without) && words[index - 1].is(.doubt) { return valence }
        case 3:
            // "so" or "this" right before is enough here: the original's precedence of `and` over `or`.
            if farthest.is(.never) && isSoOrThis(index - 2) || isSoOrThis(index - 1) { return valence * 1.25 }
            if farthest.is(.without)
                && (words[index - 2].is(.doubt) || words[index - 1].is(.doubt))
            {
                return valence
            }
        default: break
        }
        return farthest.has(.negation) ? valence * VaderWords.negationFactor : valence
    }

    /// Idioms around a word that has three words before it.
    private static func idiom(_ valence: Double, _ words: Words, _ index: Int) -> Double {
        func keyword(_ offset: Int) -> Keyword { words[index + offset].keyword }
        let (three, two, one, zero) = (keyword(-3), keyword(-2), keyword(-1), keyword(0))
        let (next, nextButOne) = (keyword(1), keyword(2))
        var valence = valence
        let before =
            VaderWords.idiom(one, zero) ?? VaderWords.idiom(two, one, zero) ?? VaderWords.idiom(two, one)
            ?? VaderWords.idiom(three, two, one) ?? VaderWords.idiom(three, two)
        if let before { valence = before }
        if let ahead = VaderWords.idiom(zero, next) { valence = ahead }
        if let ahead = VaderWords.idiom(zero, next, nextButOne) { valence = ahead }
        if VaderWords.isDampener(three, two) { valence -= VaderWords.boosterIncrement }
        if VaderWords.isDampener(two, one) { valence -= VaderWords.boosterIncrement }
        return valence
    }

    /// "least" before a valence negates it, but not in "at least" and "very least".
    @inline(__always)
    private static func least(_ valence: Double, _ words: Words, _ index: Int) -> Double {
        guard words[index - 1].is(.least), !words[index - 1].has(.inLexicon) else { return valence }
        if words[index - 2].is(.at) || words[index - 2].is(.very) { return valence }
        return valence * VaderWords.negationFactor
    }

    /// What stands before a "but" counts half, what follows it one and a half times.
    ///
    /// The original finds each valence by its value, so that of equal ones the first is changed, again and again; that
    /// is kept, for its scores are what everybody compares with.
    private static func weighAround(_ but: Int, _ valences: UnsafeMutableBufferPointer<Valence>) {
        for place in valences.indices {
            let value = valences[place].value
            var first = 0
            while valences[first].value != value { first += 1 }
            if valences[first].index < but {
                valences[first].value = value * 0.5
            } else if valences[first].index > but {
                valences[first].value = value * 1.5
            }
        }
    }

    // MARK: The sum

    private func sum(_ valences: UnsafeMutableBufferPointer<Valence>, wordCount: Int) -> Sentiment {
        let questions = map.questions
        let questionEmphasis = questions > 3 ? 0.96 : questions > 1 ? Double(questions) * 0.18 : 0
        let emphasis = Double(min(map.exclamations, 4)) * 0.292 + questionEmphasis

        var total = 0.0
        var positive = 0.0
        var negative = 0.0
        for valence in valences {
            total += valence.value
            // The 1 makes up for neutral words, which count 1 each.
            if valence.value > 0 { positive += valence.value + 1 } else { negative += valence.value - 1 }
        }
        let neutral = Double(wordCount - valences.count)
        if total > 0 { total += emphasis } else if total < 0 { total -= emphasis }
        if positive > -negative { positive += emphasis } else if positive < -negative { negative -= emphasis }
        let whole = positive - negative + neutral
        return Sentiment(
            compound: decimal(max(-1, min(1, total / (total * total + 15).squareRoot())), 10_000),
            positive: decimal(positive / whole, 1000), negative: decimal(-negative / whole, 1000),
            neutral: decimal(neutral / whole, 1000))
    }
}

/// `value`, of a magnitude up to 2³², rounded to a multiple of 1/`scale`, halves to even, as if computed from its exact
/// decimal expansion (what Python's `round` does).
func decimal(_ value: Double, _ scale: Double) -> Double {
    let product = value * scale
    // Adding 1.5 · 2⁵² leaves no digits behind the point.
    var rounded = (product + 0x1.8p52) - 0x1.8p52
    if (product - rounded).magnitude == 0.5 {
        // The product is rounded itself: at a half, what was lost decides.
        let lost = (-product).addingProduct(value, scale)
        if lost != 0 { rounded = lost > 0 ? product.rounded(.up) : product.rounded(.down) }
    }
    return rounded / scale + 0
}
