// SPDX-License-Identifier: Apache-2.0

/// A name that people use for an instrument, or a word that is no name although a company is called so.
package struct Alias: Sendable, Equatable {
    package enum Kind: Sendable, Equatable {
        /// In any case: `tesla`, `TESLA`.
        case anyCase
        /// Each word with a capital: `Apple`, `Best Buy`.
        case capitalised
        /// The company's own name says nothing: `box`.
        case notAName
    }

    /// Empty for words that are no name.
    package var symbol: String
    package var words: [String]
    package var kind: Kind

    /// Reads `SYMBOL <tab> NAME` lines; a name that begins with `=` must be written with capitals, and the symbol `-`
    /// marks a name that is none. `#` begins a comment line.
    static func parse(_ text: String) -> [Alias] {
        text.split(separator: "\n").filter { !$0.hasPrefix("#") }.map { line in
            let fields = line.split(separator: "\t", maxSplits: 1)
            precondition(fields.count == 2, "aliases.tsv: \(line)")
            let isCapitalised = fields[1].hasPrefix("=")
            let name = String(isCapitalised ? fields[1].dropFirst() : fields[1])
            let words = Word.words(of: name).map(\.normal)
            precondition(!words.isEmpty, "aliases.tsv: \(line)")
            if fields[0] == "-" { return Alias(symbol: "", words: words, kind: .notAName) }
            return Alias(symbol: String(fields[0]), words: words, kind: isCapitalised ? .capitalised : .anyCase)
        }
    }
}

extension TickerMatcher {
    /// Words in capitals that are symbols only behind a `$` (`Sources/Sentiment/Resources/stop_words.txt`).
    package static let stopWords = Set(
        text(PackageResources.stop_words_txt).split(separator: "\n").filter { !$0.hasPrefix("#") }
            .flatMap { $0.split(separator: " ").map(String.init) })

    /// Names beside the official ones (`Sources/Sentiment/Resources/aliases.tsv`).
    package static let aliases = Alias.parse(text(PackageResources.aliases_tsv))

    private static func text(_ bytes: [UInt8]) -> String { String(decoding: bytes, as: UTF8.self) }
}

extension LexiconAddition {
    /// Weights for words of the markets (`Sources/Sentiment/Resources/finance.tsv`).
    package static let finance: [LexiconAddition] = {
        do {
            return try parse(String(decoding: PackageResources.finance_tsv, as: UTF8.self))
        } catch {
            preconditionFailure("\(error)")  // The file is part of the program, and a test reads it.
        }
    }()
}
