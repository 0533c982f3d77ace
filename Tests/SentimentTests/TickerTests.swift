// SPDX-License-Identifier: Apache-2.0

import Foundation
@testable import Sentiment
import Testing

struct TickerTests {
    private static let instruments: [TickerMatcher.Instrument] = [
        .init(symbol: "GME", name: "GameStop Corp."), .init(symbol: "TSLA", name: "Tesla, Inc."),
        .init(symbol: "AAPL", name: "Apple Inc."), .init(symbol: "ALL", name: "Allstate"),
        .init(symbol: "BRK.B", name: "Berkshire Hathaway"), .init(symbol: "T", name: "AT&T"),
        .init(symbol: "BBY", name: "Best Buy"), .init(symbol: "BOX", name: "Box"),
        .init(symbol: "GOOG", name: "Alphabet Inc."), .init(symbol: "GOOGL", name: "Alphabet Inc."),
        .init(symbol: "HD", name: "Home Depot"), .init(symbol: "MSFT", name: "Microsoft"),
        .init(symbol: "FIZZ", name: "National Beverage"),
    ]
    private let matcher = TickerMatcher(instruments)

    @Test(arguments: [
        ("$GME and $tsla", ["GME", "TSLA"]), ("GME's chart, TSLA.", ["GME", "TSLA"]), ("gme", []),
        ("$ALL but not ALL", ["ALL"]), ("ALL in", []), ("$T", ["T"]), ("T time", []), ("A$T x$T $$T", []),
        ("$5 $10K", []), ("$ZZZZ", []), ("BRK.B and $BRK.B", ["BRK.B"]), ("buy GME!!", ["GME"]), ("#GME", ["GME"]),
        ("tesla, Tesla's", ["TSLA"]), ("teslas", []), ("home depot", ["HD"]), ("Home. Depot", []),
        ("Home Depot's", ["HD"]), ("AT&T", ["T"]), ("I ate an apple", []), ("Apple fell", ["AAPL"]),
        ("the best buy", []), ("at Best Buy", ["BBY"]), ("Box of Box", []), ("$BOX", ["BOX"]),
        ("google it", ["GOOG", "GOOGL"]), ("Alphabet", ["GOOG", "GOOGL"]), ("National Beverage", ["FIZZ"]),
        ("MSFTX GMEE", []), ("", []), ("$", []), ("…’'", []),
    ])
    func `the symbols of a text`(text: String, symbols: [String]) {
        #expect(matcher.symbols(in: [text]) == symbols)
    }

    @Test(arguments: ["AI", "OP", "DD", "UK", "USA", "OR", "YOU", "IT", "ALL", "CEO", "YOLO"])
    func `a word that is also a symbol counts as a cashtag only`(word: String) {
        let matcher = TickerMatcher([.init(symbol: word, name: nil)])
        #expect(matcher.symbols(in: ["\(word) is what they say, \(word)!"]) == [])
        #expect(matcher.symbols(in: ["\(word) or $\(word)"]) == [word])
        #expect(matcher.symbols(in: ["$\(word.lowercased())"]) == [word])
    }

    @Test func `a subreddit counts where that is asked for`() {
        #expect(matcher.symbols(in: ["hello"], subreddit: "teslamotors") == [])
        let seeds = TickerMatcher(Self.instruments, options: .init(matchesSubreddits: true))
        #expect(seeds.symbols(in: ["hello"], subreddit: "teslamotors") == ["TSLA"])
        #expect(seeds.symbols(in: ["hello"], subreddit: "microsoft") == ["MSFT"])
        #expect(seeds.symbols(in: ["hello"], subreddit: "stocks") == [])
    }

    @Test func `a name loses its legal form only`() {
        #expect(TickerMatcher.nameWords("The Coca-Cola Company") == ["coca", "cola"])
        #expect(TickerMatcher.nameWords("Buckle (clothing retailer)") == ["buckle"])
        #expect(TickerMatcher.nameWords("J.B. Hunt") == ["jb", "hunt"])
        #expect(TickerMatcher.nameWords("Group") == ["group"])
    }

    @Test func `precision, recall and accuracy on the labelled sample`() throws {
        let matcher = TickerMatcher(try Self.market())
        let sample = try Fixture.labelled()
        #expect(sample.count >= 300)
        var right = 0
        var wrong = 0
        var missed = 0
        for post in sample {
            let found = Set(matcher.symbols(in: [MarkdownText.plain(post.text)]))
            right += found.intersection(post.symbols).count
            wrong += found.subtracting(post.symbols).count
            missed += post.symbols.subtracting(found).count
            if found != post.symbols {
                print("  differs: \(found.sorted()) for \(post.symbols.sorted()): \(post.text.prefix(80))")
            }
        }
        let precision = Double(right) / Double(right + wrong)
        let recall = Double(right) / Double(right + missed)
        print("tickers of \(sample.count) texts: precision \(precision), recall \(recall)")
        #expect(precision >= 0.97)
        #expect(recall >= 0.95)

        // VADER on the same sample: three classes by the authors' thresholds.
        for (name, additions, floor) in [("plain", [], 0.5), ("finance", LexiconAddition.finance, 0.6)] {
            let analyzer = SentimentAnalyzer(try Fixture.lexicon(additions))
            var correct = 0
            var opposite = 0
            for post in sample {
                let compound = analyzer.score(MarkdownText.plain(post.text)).compound
                let reading = compound >= Sentiment.threshold ? 1 : compound <= -Sentiment.threshold ? -1 : 0
                if reading == post.sentiment { correct += 1 }
                if reading * post.sentiment == -1 { opposite += 1 }
            }
            let accuracy = Double(correct) / Double(sample.count)
            print("sentiment, \(name): right \(accuracy), opposite \(Double(opposite) / Double(sample.count))")
            #expect(accuracy >= floor)
        }
    }

    /// The instruments that come with Tapedeck.
    private static func market() throws -> [TickerMatcher.Instrument] {
        var instruments: [TickerMatcher.Instrument] = []
        for name in ["instruments_us.csv", "instruments_more.csv"] {
            let text = String(
                decoding: try Data(contentsOf: Fixture.checkout.appending(path: "samples/\(name)")), as: UTF8.self)
            for line in text.split(whereSeparator: \.isNewline).dropFirst() {
                guard let comma = line.firstIndex(of: ",") else { continue }
                var name = line[line.index(after: comma)...]
                if name.hasPrefix("\"") {
                    name = name.dropFirst().prefix { $0 != "\"" }
                } else {
                    name = name.prefix { $0 != "," }
                }
                instruments.append(.init(symbol: String(line[..<comma]), name: String(name)))
            }
        }
        return instruments
    }
}
