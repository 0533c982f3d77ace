// SPDX-License-Identifier: Apache-2.0
//
// The words that VADER's rules name. Source: Hutto and Gilbert 2014, "Identifying Generalizable Heuristics Humans Use
// to Assess Sentiment Intensity in Text"; the lists as the package vaderSentiment 3.3.2 publishes them.

/// What a word does to the sentiment of the words near it.
struct WordRole: OptionSet {
    let rawValue: UInt8

    /// The word has a valence of its own in the lexicon.
    static let inLexicon = WordRole(rawValue: 1 << 0)
    /// It turns what follows around: not, never, without, …
    static let negation = WordRole(rawValue: 1 << 1)
    /// It strengthens what follows: very, …
    static let strengthener = WordRole(rawValue: 1 << 2)
    /// It weakens what follows: barely, …
    static let dampener = WordRole(rawValue: 1 << 3)
}

/// What the lists know of a word, and how it is written, in one machine word: all 0 for a word that is in no list.
///
/// | bits | what |
/// |---|---|
/// | 0-7 | the ``Keyword`` |
/// | 8-15 | the ``WordRole`` |
/// | 16 | it has a valence that counts: it is in the lexicon, and no booster |
/// | 17 | it is written in capitals |
/// | 32-63 | where its valence is |
struct LexiconWord {
    private(set) var bits: UInt64 = 0

    init() {}

    init(_ keyword: Keyword, _ roles: WordRole, place: UInt32) {
        bits = UInt64(keyword.rawValue) | UInt64(roles.rawValue) << 8 | UInt64(place) << 32
        if roles.contains(.inLexicon) && roles.isDisjoint(with: [.strengthener, .dampener]) { bits |= 1 << 16 }
    }

    /// `word`, or the empty word unless `difference` is 0.
    @inline(__always)
    init(_ word: LexiconWord, unless difference: UInt64) {
        // All ones for 0, else 0: only of 0 neither the number nor its negative has the top bit.
        bits = word.bits & ((difference | (0 &- difference)) &>> 63 &- 1)
    }

    /// The same word in capitals, or as another negation.
    @inline(__always)
    func with(isUpper: Bool, isNegation: Bool) -> LexiconWord {
        var word = self
        word.bits |= (isUpper ? 1 << 17 : 0) | (isNegation ? UInt64(WordRole.negation.rawValue) << 8 : 0)
        return word
    }

    @inline(__always)
    var keyword: Keyword { Keyword(rawValue: UInt8(truncatingIfNeeded: bits)) ?? .none }
    @inline(__always)
    func `is`(_ keyword: Keyword) -> Bool { UInt8(truncatingIfNeeded: bits) == keyword.rawValue }
    @inline(__always)
    func has(_ role: WordRole) -> Bool { bits & UInt64(role.rawValue) << 8 != 0 }
    @inline(__always)
    var isUpper: Bool { bits & 1 << 17 != 0 }
    /// 1 if the word has a valence that counts, else 0.
    @inline(__always)
    var counts: Int { Int(truncatingIfNeeded: bits &>> 16 & 1) }
    /// Whether it is of interest to the words near it.
    @inline(__always)
    var concernsOthers: Bool { bits & 0xFFFF != 0 }
    @inline(__always)
    var place: Int { Int(truncatingIfNeeded: bits &>> 32) }
}

/// The words that a rule asks for by name; `none` stands for all others.
enum Keyword: UInt8, CaseIterable {
    case none
    case no, or, nor, but, least, at, very, never, so, this, without, doubt, kind, of, just, enough, sort
    case the, shit, bomb, bad, ass, bus, stop, yeah, right, kiss, death, to, die, `for`, beating, heart

    var text: String { self == .none ? "" : "\(self)" }
}

enum VaderWords {
    /// What a booster adds to the valence of the next word: 0.293, the mean increase of intensity that people reported.
    static let boosterIncrement = 0.293
    /// What capitals add among words that are not in capitals.
    static let capitalsIncrement = 0.733
    /// What a negation multiplies with.
    static let negationFactor = -0.74

    static let negations = words(
        """
        aint arent cannot cant couldnt darent didnt doesnt ain't aren't can't couldn't daren't didn't doesn't dont \
        hadnt hasnt havent isnt mightnt mustnt neither don't hadn't hasn't haven't isn't mightn't mustn't neednt \
        needn't never none nope nor not nothing nowhere oughtnt shant shouldnt uhuh wasnt werent oughtn't shan't \
        shouldn't uh-uh wasn't weren't without wont wouldnt won't wouldn't rarely seldom despite
        """)

    static let strengtheners = words(
        """
        absolutely amazingly awfully completely considerable considerably decidedly deeply effing enormous enormously \
        entirely especially exceptional exceptionally extreme extremely fabulously flipping flippin frackin fracking \
        fricking frickin frigging friggin fully fuckin fucking fuggin fugging greatly hella highly hugely incredible \
        incredibly intensely major majorly more most particularly purely quite really remarkably so substantially \
        thoroughly total totally tremendous tremendously uber unbelievably unusually utter utterly very
        """)

    static let dampeners = words(
        """
        almost barely hardly kinda kindof kind-of less little marginal marginally occasional occasionally partly \
        scarce scarcely slight slightly somewhat sorta sortof sort-of
        """)

    /// Dampeners of two words, which reach a valence two words further on.
    static func isDampener(_ first: Keyword, _ second: Keyword) -> Bool {
        switch (first, second) {
        case (.just, .enough), (.kind, .of), (.sort, .of): true
        default: false
        }
    }

    /// The valence of an idiom of two words that means something of its own. (`badass` is in the published list too, but
    /// its rule looks at two words or more and never meets it.)
    static func idiom(_ first: Keyword, _ second: Keyword) -> Double? {
        switch (first, second) {
        case (.the, .shit), (.the, .bomb): 3
        case (.bad, .ass): 1.5
        case (.bus, .stop): 0
        case (.yeah, .right): -2
        case (.beating, .heart): 3.5
        default: nil
        }
    }

    /// The valence of an idiom of three words.
    static func idiom(_ first: Keyword, _ second: Keyword, _ third: Keyword) -> Double? {
        switch (first, second, third) {
        case (.kiss, .of, .death): -1.5
        case (.to, .die, .for): 3
        default: nil
        }
    }

    private static func words(_ text: String) -> [String] { text.split(separator: " ").map(String.init) }
}
