// SPDX-License-Identifier: Apache-2.0

import Foundation
import Sentiment

/// Files that the tests read.
enum Fixture {
    static let folder = URL(filePath: #filePath).deletingLastPathComponent().appending(path: "Fixtures")
    static let checkout = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
        .deletingLastPathComponent()

    /// The lexicon that `make deps` installs, with additions or as it is.
    static func lexicon(_ additions: [LexiconAddition] = []) throws -> VaderLexicon {
        let folder = checkout.appending(path: "lexicons/vader")
        guard let words = try? Data(contentsOf: folder.appending(path: "vader_lexicon.txt")),
            let emoji = try? Data(contentsOf: folder.appending(path: "emoji_utf8_lexicon.txt"))
        else { throw SentimentError("lexicons/vader is not there: run `make deps`") }
        return try VaderLexicon(lexicon: Array(words), emoji: Array(emoji), additions: additions)
    }

    /// The lines of a fixture, without comments.
    static func lines(_ name: String) throws -> [String] {
        let text = String(decoding: try Data(contentsOf: folder.appending(path: name)), as: UTF8.self)
        return text.split(separator: "\n").map(String.init).filter { !$0.hasPrefix("#") }
    }

    static func unescape(_ text: some StringProtocol) -> String {
        var result = ""
        var isEscape = false
        for character in text.unicodeScalars {
            if isEscape {
                let escapes: [Unicode.Scalar: Unicode.Scalar] = ["n": "\n", "t": "\t", "r": "\r"]
                result.unicodeScalars.append(escapes[character] ?? character)
                isEscape = false
            } else if character == "\\" {
                isEscape = true
            } else {
                result.unicodeScalars.append(character)
            }
        }
        return result
    }

    /// A text that was labelled by hand.
    struct Labelled {
        var symbols: Set<String>
        /// -1, 0 or 1.
        var sentiment: Int
        var text: String
    }

    static func labelled() throws -> [Labelled] {
        try lines("labelled_posts.txt").map { line in
            let fields = line.split(separator: "|", maxSplits: 2)
            return Labelled(
                symbols: fields[0] == "-" ? [] : Set(fields[0].split(separator: " ").map(String.init)),
                sentiment: fields[1] == "+" ? 1 : fields[1] == "-" ? -1 : 0,
                text: fields[2].replacingOccurrences(of: "\\n", with: "\n"))
        }
    }
}
