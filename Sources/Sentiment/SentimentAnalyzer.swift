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
package struct SentimentAnalyzer {
    private let lexicon: VaderLexicon
    private var tokens: [Token] = []
    private var valences: [Double] = []
    private var converted: [UInt8] = []
    private var lower: [UInt8] = []

    /// A word of the text, without the punctuation around it.
    private struct Token {
        var word: VaderLexicon.Word
        var isUpper: Bool
        /// It is a negation, or holds `n't`.
        var isNegation: Bool
    }

    package init(_ lexicon: VaderLexicon) {
        self.lexicon = lexicon
        lower.reserveCapacity(256)
    }

    /// The sentiment of a text in UTF-8.
    package mutating func score(_ text: String) -> Sentiment {
        var text = text
        return text.withUTF8 { score(UnsafeRawBufferPointer($0)) }
    }

    /// The sentiment of a text in UTF-8. Bytes that are not UTF-8 are parts of words that no list has.
    package mutating func score(_ text: UnsafeRawBufferPointer) -> Sentiment {
        lexicon.withTables { tables in
            guard hasEmoji(text) else { return scoreWords(text, tables) }
            convertEmoji(text)
            let whole = converted
            return whole.withUnsafeBytes { scoreWords($0, tables) }
        }
    }

    // MARK: Emoji

    private func hasEmoji(_ text: UnsafeRawBufferPointer) -> Bool {
        var index = 0
        while index < text.count {
            if index + 8 <= text.count
                && text.loadUnaligned(fromByteOffset: index, as: UInt64.self) & 0x8080_8080_8080_8080 == 0
            {
                index += 8
                continue
            }
            if text[index] < 0x80 {
                index += 1
                continue
            }
            let (scalar, length) = UTF8Scalar.decode(text, at: index)
            if lexicon.description(of: scalar) != nil { return true }
            index += length
        }
        return false
    }

    /// Writes the text with each emoji's description in its place, a blank before it unless there is one.
    private mutating func convertEmoji(_ text: UnsafeRawBufferPointer) {
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

    private mutating func scoreWords(_ text: UnsafeRawBufferPointer, _ tables: VaderLexicon.Tables) -> Sentiment {
        tokens.removeAll(keepingCapacity: true)
        valences.removeAll(keepingCapacity: true)
        var marks = Marks()
        tokenize(text, tables, &marks)
        if tokens.isEmpty { return .none }
        let capitalsMatter = marks.upperWords > 0 && marks.upperWords < tokens.count
        for index in tokens.indices { valences.append(valence(of: index, capitalsMatter)) }
        if let but = marks.firstBut { weighAround(but) }
        return sum(marks)
    }

    /// What is counted on the way through a text.
    private struct Marks {
        var exclamations = 0
        var questions = 0
        var upperWords = 0
        var firstBut: Int?
    }

    private mutating func tokenize(
        _ text: UnsafeRawBufferPointer, _ tables: VaderLexicon.Tables, _ marks: inout Marks
    ) {
        var index = 0
        while index < text.count {
            let blank = ByteClass.blankLength(text, at: index)
            if blank > 0 {
                index += blank
                continue
            }
            let start = index
            var isASCII = true
            var hasApostrophe = false
            while index < text.count {
                let byte = text[index]
                if byte >= 0x80 {
                    if ByteClass.blankLength(text, at: index) > 0 { break }
                    isASCII = false
                } else if tables.classes[Int(byte)] != 0 {
                    if tables.classes[Int(byte)] & ByteClass.blank != 0 { break }
                    if byte == UInt8(ascii: "!") { marks.exclamations += 1 }
                    if byte == UInt8(ascii: "?") { marks.questions += 1 }
                    if byte == UInt8(ascii: "'") { hasApostrophe = true }
                }
                index += 1
            }
            let whole = UnsafeRawBufferPointer(rebasing: text[start..<index])
            let token = Self.withoutPunctuation(whole, tables, isASCII: isASCII)
            if isASCII {
                append(token, tables, hasApostrophe, &marks)
            } else {
                appendWide(token, tables, hasApostrophe, &marks)
            }
        }
    }

    /// Without punctuation at both ends; as it is if two characters or fewer would be left, for then it may be an
    /// emoticon.
    @inline(__always)
    private static func withoutPunctuation(
        _ token: UnsafeRawBufferPointer, _ tables: VaderLexicon.Tables, isASCII: Bool
    ) -> UnsafeRawBufferPointer {
        var start = 0
        var end = token.count
        while start < end && tables.classes[Int(token[start])] & ByteClass.punctuation != 0 { start += 1 }
        while end > start && tables.classes[Int(token[end - 1])] & ByteClass.punctuation != 0 { end -= 1 }
        var characters = end - start
        if !isASCII {
            characters = 0
            for index in start..<end where token[index] & 0xC0 != 0x80 { characters += 1 }
        }
        return characters <= 2 ? token : UnsafeRawBufferPointer(rebasing: token[start..<end])
    }

    /// Appends a word of ASCII.
    @inline(__always)
    private mutating func append(
        _ token: UnsafeRawBufferPointer, _ tables: VaderLexicon.Tables, _ hasApostrophe: Bool, _ marks: inout Marks
    ) {
        var hasUpper = false
        var hasLower = false
        // The first letter decides nearly always: lower case there, and the word is not in capitals.
        for byte in token {
            if byte &- 0x61 < 26 {
                hasLower = true
                break
            }
            hasUpper = hasUpper || byte &- 0x41 < 26
        }
        var word = VaderLexicon.Word()
        if token.count <= WordKey.capacity {
            word = tables.words[Int(tables.index(of: WordKey(lowercasing: token)))]
        }
        note(word, isUpper: hasUpper && !hasLower, isNegation: hasApostrophe && Self.holdsNot(token), &marks)
    }

    /// Appends a word with characters beyond ASCII.
    private mutating func appendWide(
        _ token: UnsafeRawBufferPointer, _ tables: VaderLexicon.Tables, _ hasApostrophe: Bool, _ marks: inout Marks
    ) {
        lower.removeAll(keepingCapacity: true)
        let (hasUpper, hasOther) = UTF8Scalar.lowercase(token, into: &lower)
        var word = VaderLexicon.Word()
        if lower.count <= WordKey.capacity {
            let key = lower.withUnsafeBytes { WordKey($0) }
            word = tables.words[Int(tables.index(of: key))]
        }
        let holdsNot = hasApostrophe && lower.withUnsafeBytes { Self.holdsNot($0) }
        note(word, isUpper: hasUpper && !hasOther, isNegation: holdsNot, &marks)
    }

    @inline(__always)
    private mutating func note(_ word: VaderLexicon.Word, isUpper: Bool, isNegation: Bool, _ marks: inout Marks) {
        if word.keyword == .but && marks.firstBut == nil { marks.firstBut = tokens.count }
        if isUpper { marks.upperWords += 1 }
        tokens.append(
            Token(word: word, isUpper: isUpper, isNegation: isNegation || word.roles.contains(.negation)))
    }

    /// Whether a word holds `n't`.
    private static func holdsNot(_ word: UnsafeRawBufferPointer) -> Bool {
        var index = 0
        while index + 2 < word.count {
            if word[index] | 0x20 == UInt8(ascii: "n") && word[index + 1] == UInt8(ascii: "'")
                && word[index + 2] | 0x20 == UInt8(ascii: "t")
            {
                return true
            }
            index += 1
        }
        return false
    }

    // MARK: Rules

    @inline(__always)
    private func word(_ index: Int) -> VaderLexicon.Word { tokens[index].word }

    @inline(__always)
    private func keyword(_ index: Int) -> Keyword { word(index).keyword }

    /// The valence of a word among its neighbours.
    private func valence(of index: Int, _ capitalsMatter: Bool) -> Double {
        let word = word(index)
        if !word.roles.contains(.inLexicon) || word.roles.contains(.booster) { return 0 }
        let hasNext = index + 1 < tokens.count
        if word.keyword == .kind && hasNext && keyword(index + 1) == .of { return 0 }

        var valence = word.valence
        // "no" before a word with a valence negates it, and says nothing by itself.
        if word.keyword == .no && hasNext && self.word(index + 1).roles.contains(.inLexicon) { valence = 0 }
        let noStandsBefore =
            index > 0 && keyword(index - 1) == .no || index > 1 && keyword(index - 2) == .no
            || index > 2 && keyword(index - 3) == .no && (keyword(index - 1) == .or || keyword(index - 1) == .nor)
        if noStandsBefore { valence = word.valence * VaderWords.negationFactor }
        if capitalsMatter && tokens[index].isUpper {
            valence += valence > 0 ? VaderWords.capitalsIncrement : -VaderWords.capitalsIncrement
        }
        for distance in 1...3 where index >= distance && !self.word(index - distance).roles.contains(.inLexicon) {
            valence += boost(index - distance, valence, capitalsMatter) * Self.fading(distance)
            valence = negate(valence, index, distance)
            if distance == 3 { valence = idiom(valence, index) }
        }
        return least(valence, index)
    }

    /// How much of a booster is left at a distance in words.
    @inline(__always)
    private static func fading(_ distance: Int) -> Double { distance == 1 ? 1 : distance == 2 ? 0.95 : 0.9 }

    /// What a word before a valence adds to it. Weaker with distance, which its caller sees to.
    @inline(__always)
    private func boost(_ index: Int, _ valence: Double, _ capitalsMatter: Bool) -> Double {
        let word = word(index)
        if !word.roles.contains(.booster) { return 0 }
        var boost = valence < 0 ? -word.booster : word.booster
        if capitalsMatter && tokens[index].isUpper {
            boost += valence > 0 ? VaderWords.capitalsIncrement : -VaderWords.capitalsIncrement
        }
        return boost
    }

    /// Negation by the word `distance` before.
    @inline(__always)
    private func negate(_ valence: Double, _ index: Int, _ distance: Int) -> Double {
        func isSoOrThis(_ index: Int) -> Bool { keyword(index) == .so || keyword(index) == .this }
        let farthest = index - distance
        switch distance {
        case 2:
            if keyword(farthest) == .never && isSoOrThis(index - 1) { return valence * 1.25 }
            if keyword(farthest) == .without && keyword(index - 1) == .doubt { return valence }
        case 3:
            // "so" or "this" right before is enough here: the original's precedence of `and` over `or`.
            if keyword(farthest) == .never && isSoOrThis(index - 2) || isSoOrThis(index - 1) { return valence * 1.25 }
            if keyword(farthest) == .without && (keyword(index - 2) == .doubt || keyword(index - 1) == .doubt) {
                return valence
            }
        default: break
        }
        return tokens[farthest].isNegation ? valence * VaderWords.negationFactor : valence
    }

    /// Idioms around a word that has three words before it.
    private func idiom(_ valence: Double, _ index: Int) -> Double {
        let (three, two, one, zero) = (keyword(index - 3), keyword(index - 2), keyword(index - 1), keyword(index))
        let next = index + 1 < tokens.count ? keyword(index + 1) : .none
        let nextButOne = index + 2 < tokens.count ? keyword(index + 2) : .none
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
    private func least(_ valence: Double, _ index: Int) -> Double {
        guard index > 0, keyword(index - 1) == .least, !word(index - 1).roles.contains(.inLexicon) else {
            return valence
        }
        if index > 1 && (keyword(index - 2) == .at || keyword(index - 2) == .very) { return valence }
        return valence * VaderWords.negationFactor
    }

    /// What stands before a "but" counts half, what follows it one and a half times.
    ///
    /// The original finds each valence by its value, so that of equal ones the first is changed, again and again; that
    /// is kept, for its scores are what everybody compares with.
    private mutating func weighAround(_ but: Int) {
        for index in valences.indices {
            let value = valences[index]
            if value == 0 { continue }
            var place = 0
            while valences[place] != value { place += 1 }
            if place < but { valences[place] = value * 0.5 } else if place > but { valences[place] = value * 1.5 }
        }
    }

    // MARK: The sum

    private func sum(_ marks: Marks) -> Sentiment {
        let questionEmphasis = marks.questions > 3 ? 0.96 : marks.questions > 1 ? Double(marks.questions) * 0.18 : 0
        let emphasis = Double(min(marks.exclamations, 4)) * 0.292 + questionEmphasis

        var total = 0.0
        var positive = 0.0
        var negative = 0.0
        var neutral = 0
        for valence in valences {
            total += valence
            // The 1 makes up for neutral words, which count 1 each.
            if valence > 0 {
                positive += valence + 1
            } else if valence < 0 {
                negative += valence - 1
            } else {
                neutral += 1
            }
        }
        if total > 0 { total += emphasis } else if total < 0 { total -= emphasis }
        if positive > -negative { positive += emphasis } else if positive < -negative { negative -= emphasis }
        let whole = positive - negative + Double(neutral)
        return Sentiment(
            compound: decimal(max(-1, min(1, total / (total * total + 15).squareRoot())), 10_000),
            positive: decimal(positive / whole, 1000), negative: decimal(-negative / whole, 1000),
            neutral: decimal(Double(neutral) / whole, 1000))
    }
}

/// `value` rounded to a multiple of 1/`scale`, halves to even, as if computed from its exact decimal expansion (what
/// Python's `round` does).
func decimal(_ value: Double, _ scale: Double) -> Double {
    let product = value * scale
    var rounded = product.rounded(.toNearestOrEven)
    // The product is rounded itself: near a half, what was lost decides.
    let lost = (-product).addingProduct(value, scale)
    if (product - product.rounded(.down)) == 0.5 && lost != 0 {
        rounded = lost > 0 ? product.rounded(.up) : product.rounded(.down)
    }
    return rounded / scale + 0
}
