// SPDX-License-Identifier: Apache-2.0

import ArgumentParser
import Ingest

/// `tapedeck symbols`: what a service can be asked for.
struct SymbolsCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "symbols", abstract: "Find symbols.", subcommands: [Search.self])

    /// `tapedeck symbols search`.
    struct Search: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            commandName: "search",
            abstract:
                "Print the symbols that Finnhub knows by names and symbols like a phrase; status 1 if there are none.",
            discussion: "It needs FINNHUB_API_TOKEN, as source finnhub does.")

        @OptionGroup var flags: SettingFlags
        @Flag(help: "An array of JSON, for programs.") var json = false
        @Argument(help: "A name, a symbol, an ISIN or a part of one; several words are one phrase.")
        var phrase: [String]

        func run() async throws {
            let settings = try flags.resolve()
            let words = phrase.joined(separator: " ")
            guard (1...200).contains(words.utf8.count) else {
                throw ValidationError("the phrase has \(words.utf8.count) bytes; allowed: 1 to 200")
            }
            let token = try SourceSettings.finnhubToken(settings, for: "the search")
            var search = FinnhubSearch(try SourceSettings.finnhubSearch(settings, token: token), now: wallClock)
            let matches = try await search.find(words)
            if json {
                let rows = matches.map { match in
                    "{\"symbol\":\(jsonText(match.symbol)),\"type\":\(jsonText(match.type)),\"description\":\(jsonText(match.description))}"
                }
                print("[" + rows.joined(separator: ",") + "]")
            } else {
                Self.table(matches).forEach { print($0) }
            }
            if matches.isEmpty { throw ExitCode(1) }
        }

        /// Symbol, type and description in columns.
        static func table(_ matches: [FinnhubSearch.Match]) -> [String] {
            let symbols = matches.map(\.symbol.count).max() ?? 0
            let types = matches.map(\.type.count).max() ?? 0
            return matches.map { match in
                let symbol = match.symbol + String(repeating: " ", count: symbols - match.symbol.count)
                let type = match.type + String(repeating: " ", count: types - match.type.count)
                return "\(symbol)  \(type)  \(match.description)"
            }
        }
    }
}
