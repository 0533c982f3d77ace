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
    /// It strengthens or weakens what follows: very, barely, …
    static let booster = WordRole(rawValue: 1 << 2)
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
