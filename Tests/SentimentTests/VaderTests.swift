// SPDX-License-Identifier: Apache-2.0

@testable import Sentiment
import Testing
import TestSupport

struct VaderTests {
    @Test func `every score is what the original prints`() throws {
        let analyzer = SentimentAnalyzer(try Fixture.lexicon())
        var count = 0
        for line in try Fixture.lines("vader_scores.tsv") {
            let fields = line.split(separator: "\t", maxSplits: 4, omittingEmptySubsequences: false)
            let expected = fields.prefix(4).compactMap { Double($0) }
            let text = Fixture.unescape(fields[4])
            let score = analyzer.score(text)
            #expect([score.compound, score.positive, score.negative, score.neutral] == expected, "\(text.prefix(200))")
            count += 1
        }
        #expect(count == 1500)
    }

    @Test func `an analyzer that has been used scores like a fresh one`() throws {
        let lexicon = try Fixture.lexicon()
        let used = SentimentAnalyzer(lexicon)
        for text in ["GOOD but bad 😀", "", "not the worst!!!", "x"] {
            _ = used.score("terrible 😡 words before")
            let fresh = SentimentAnalyzer(lexicon)
            #expect(used.score(text) == fresh.score(text))
        }
    }

    @Test func `a word scores the same wherever it stands`() throws {
        // Words are cut from blocks of 64 bytes: each place in a block, and over the end of one.
        let analyzer = SentimentAnalyzer(try Fixture.lexicon())
        for (words, plain) in [
            ("(great!)", "great!"), ("isn't great", "isn't great"), ("GREAT", "GREAT"),
            ("great \u{2019}", "great \u{2019}"),
            ("x\u{3000}great", "x great"), ("😀", "😀"), (String(repeating: "great", count: 30), "neutral"),
            (String(repeating: ".", count: 130) + "great", "great"),
            ("great" + String(repeating: "!", count: 70), "great!!!!"),
        ] {
            for count in 1..<140 {
                let front = String(repeating: "n", count: count) + " "
                #expect(analyzer.score(front + words) == analyzer.score("n " + plain), "\(words) after \(count)")
                #expect(analyzer.score(front + words + " ") == analyzer.score("n " + plain), "\(words) after \(count)")
            }
        }
        #expect(analyzer.score("great") != .none)
    }

    @Test func `a byte 0 is part of a word`() throws {
        let analyzer = SentimentAnalyzer(try Fixture.lexicon())
        for word in ["great\0", "grea\0t", "\0great", "great\0é", "🔹\0"] {
            #expect(analyzer.score(word).compound == 0, "\(word.debugDescription)")
        }
    }

    @Test func `memory of a long text is given back`() throws {
        let analyzer = SentimentAnalyzer(try Fixture.lexicon())
        let short = analyzer.score("This is great, but too long!")
        for count in [1 << 16, 1 << 16 + 1, 3 << 20] {
            // The sum of very many words is as near to 1 as four decimals tell.
            #expect(analyzer.score(String(repeating: "great ", count: count / 6)).compound == 1)
            #expect(analyzer.score("This is great, but too long!") == short)
        }
    }

    @Test func `what is said to have no case has none`() {
        for value in UInt32(0)..<0x2_0000 {
            guard let scalar = Unicode.Scalar(value) else { continue }
            let flags = UTF8Scalar.caseFlags(of: value)
            if flags != UTF8Scalar.computedFlags(scalar) { Issue.record("U+\(String(value, radix: 16))") }
        }
    }

    @Test func `bytes that are no text do no harm`() throws {
        var random = SeededRandom()
        let analyzer = SentimentAnalyzer(try Fixture.lexicon())
        let pieces: [[UInt8]] = [
            Array("good ".utf8), [0xC3], [0xE2, 0x80], [0xFF, 0xFE], [0xF0, 0x9F, 0x98], Array("😀".utf8), [0],
            [0xC2, 0x85],
            Array("n't ".utf8), Array("BUT ".utf8),
        ]
        for _ in 0..<2000 {
            let text = (0..<Int.random(in: 0..<12, using: &random)).flatMap { _ in
                pieces[Int.random(in: 0..<pieces.count, using: &random)]
            }
            let score = text.withUnsafeBytes { analyzer.score($0) }
            #expect(score.compound.magnitude <= 1 && score.positive >= 0, "seed \(random.seed)")
            let whole = score.positive + score.negative + score.neutral
            #expect(score == .none || (whole - 1).magnitude <= 0.002, "seed \(random.seed)")
        }
    }

    @Test func `the finance lexicon changes what markets mean, and nothing else`() throws {
        let plain = SentimentAnalyzer(try Fixture.lexicon())
        let finance = SentimentAnalyzer(try Fixture.lexicon(LexiconAddition.finance))
        #expect(plain.score("puts on this bagholder trap").compound == plain.score("puts on this x trap").compound)
        #expect(finance.score("very bullish, mooning").compound > 0.7)
        #expect(finance.score("drilling, I am a bagholder").compound < -0.7)
        #expect(plain.score("we bought shares").compound > 0)
        #expect(finance.score("we bought shares").compound == 0)
        #expect(finance.score("What a wonderful day") == plain.score("What a wonderful day"))
        #expect(LexiconAddition.finance.count > 80)
    }

    @Test func `a lexicon that cannot be used is refused with its line`() throws {
        func refusal(_ text: String) -> String {
            do throws(SentimentError) {
                _ = try VaderLexicon(lexicon: Array(text.utf8), emoji: Array("😀\tface\n".utf8))
                return ""
            } catch {
                return error.message
            }
        }
        #expect(refusal("good\t1.9\nbad") == "the sentiment lexicon, line 2: not of the form WORD, tab, NUMBER")
        #expect(refusal("good\tx") == "the sentiment lexicon, line 1: not a number from -4 to 4 after the tab")
        #expect(refusal("good\t4.1").contains("line 1"))
        #expect(refusal("good\t4") == "the sentiment lexicon has only 1 words")
        #expect(refusal("\(String(repeating: "x", count: 25))\t1").contains("more than 24 bytes"))
        #expect(refusal("\(String(repeating: "x", count: 24))\t1").contains("only 1 words"))
        #expect(refusal("") == "the sentiment lexicon has only 0 words")
        for (text, place) in [
            ("good", "line 1"), ("# x\nGood\t1\tr", "line 2"), ("a b\t1\tr", "line 1"), ("a\t9\tr", "line 1"),
            ("a\t1\t", "line 1"), ("a\t1\tr\na\t1\tr", "line 2"),
        ] {
            do throws(SentimentError) {
                _ = try LexiconAddition.parse(text)
                Issue.record("\(text) is accepted")
            } catch {
                #expect(error.message.contains(place), "\(text)")
            }
        }
    }

    @Test func `rounding is that of the exact decimal expansion`() {
        // 2.675 and 1.005 are a little less than they look; 0.125 is exactly a half.
        #expect(decimal(2.675, 100) == 2.67 && decimal(1.005, 100) == 1.0 && decimal(0.125, 100) == 0.12)
        #expect(decimal(0.375, 100) == 0.38 && decimal(-0.00004, 10_000) == 0 && decimal(0.9999996, 10_000) == 1)
    }
}
