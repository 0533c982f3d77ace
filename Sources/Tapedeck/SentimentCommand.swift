// SPDX-License-Identifier: Apache-2.0

import ArgumentParser
import Glibc
import Sentiment

/// `tapedeck sentiment`: scores lines of text, to be looked at or compared.
struct SentimentCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "sentiment",
        abstract: "Score each line of standard input: compound, positive, negative, neutral, as tab-separated values.",
        discussion: """
            The scores are VADER's, on the line as it is; a line may hold \\n, \\t, \\r and \\\\ for the characters they \
            stand for.
            """)

    @OptionGroup var flags: SettingFlags
    @Flag(help: "Add the finance lexicon.") var finance = false

    func run() throws {
        let lexicon = try Lexicon.load(try flags.resolve(), additions: finance ? LexiconAddition.finance : [])
        let analyzer = SentimentAnalyzer(lexicon)
        while let line = readLine(strippingNewline: true) {
            let score = analyzer.score(Self.unescaped(line))
            print("\(score.compound)\t\(score.positive)\t\(score.negative)\t\(score.neutral)")
        }
    }

    private static func unescaped(_ line: String) -> String {
        if !line.utf8.contains(UInt8(ascii: "\\")) { return line }
        var result = String.UnicodeScalarView()
        var isEscape = false
        for scalar in line.unicodeScalars {
            switch (isEscape, scalar) {
            case (false, "\\"): isEscape = true
            case (false, _): result.append(scalar)
            case (true, _):
                result.append(scalar == "n" ? "\n" : scalar == "t" ? "\t" : scalar == "r" ? "\r" : scalar)
                isEscape = false
            }
        }
        return String(result)
    }
}

/// The lexicon on this machine.
enum Lexicon {
    /// Reads it from the folder of the settings, else from where `make` or a package puts it.
    static func load(_ settings: Settings, additions: [LexiconAddition]) throws -> VaderLexicon {
        let folders = settings.text(.lexicon).map { [$0] } ?? ProgramFolders.all.map { $0 + "/lexicons/vader" }
        for folder in folders where access(folder + "/vader_lexicon.txt", R_OK) == 0 {
            return try VaderLexicon(
                lexicon: Array(try TextFile.read(folder + "/vader_lexicon.txt").utf8),
                emoji: Array(try TextFile.read(folder + "/emoji_utf8_lexicon.txt").utf8), additions: additions)
        }
        throw ValidationError(
            "VADER's lexicon is not in \(folders.joined(separator: ", ")); run 'make deps' in the checkout, or name its "
                + "folder with TAPEDECK_LEXICON (--lexicon), or set TAPEDECK_SENTIMENT=off")
    }
}

/// Where files that belong to the program may be.
enum ProgramFolders {
    /// The working folder; the checkout of a binary in .build/release; where a package puts them.
    static var all: [String] {
        var folders = ["."]
        if let binary = realpath("/proc/self/exe", nil) {
            // .build/release/tapedeck or .build/TRIPLE/release/tapedeck
            let parts = String(cString: binary).split(separator: "/").dropLast()
            for up in 0...4 where up < parts.count {
                folders.append("/" + parts.dropLast(up).joined(separator: "/"))
            }
            free(binary)
        }
        return folders + ["/usr/local/share/tapedeck", "/usr/share/tapedeck"]
    }
}
