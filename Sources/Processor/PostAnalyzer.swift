// SPDX-License-Identifier: Apache-2.0

package import Sentiment

/// How posts are read: with which lexicon, and what counts as a mention.
package struct PostAnalysis: Sendable {
    package var lexicon: VaderLexicon
    /// The lexicon of the finance score; nil if there is none.
    package var finance: VaderLexicon?
    package var tickers: TickerMatcher.Options

    package init(lexicon: VaderLexicon, finance: VaderLexicon? = nil, tickers: TickerMatcher.Options = .init()) {
        self.lexicon = lexicon
        self.finance = finance
        self.tickers = tickers
    }
}

/// A post as the store has it, with the texts of the submission it answers.
struct StoredPost: Equatable {
    var title: String?
    var body: String?
    var subreddit: String?
    var isComment: Bool
    var isDeleted: Bool
    var submissionTitle: String?
    var submissionBody: String?
}

/// What a post says: its scores. Nil where there is no text.
struct PostScore: Equatable {
    var whole: Sentiment
    var finance: Double?
}

/// Scores posts and finds what they speak of. Pure but for its buffers; used by one task.
struct PostAnalyzer {
    private var analyzer: SentimentAnalyzer
    private var finance: SentimentAnalyzer?

    init(_ analysis: PostAnalysis) {
        analyzer = SentimentAnalyzer(analysis.lexicon)
        finance = analysis.finance.map { SentimentAnalyzer($0) }
    }

    /// The score of a submission's title and text, or of a comment's text.
    mutating func score(title: String?, body: String?, isComment: Bool) -> PostScore {
        let parts = (isComment ? [body] : [title, body]).compactMap { $0 }.map { MarkdownText.plain($0) }
        let text = parts.filter { !$0.isEmpty }.joined(separator: "\n\n")
        return PostScore(whole: analyzer.score(text), finance: finance?.score(text).compound)
    }

    /// The compound of one text; nil if there is none.
    mutating func compound(_ text: String?) -> Double? {
        guard let text, !text.isEmpty else { return nil }
        return analyzer.score(MarkdownText.plain(text)).compound
    }

    /// What a post speaks of: by itself, or by the submission it answers.
    static func symbols(_ post: StoredPost, _ matcher: TickerMatcher) -> [String] {
        if post.isDeleted { return [] }
        let texts = [post.title, post.body, post.submissionTitle, post.submissionBody].compactMap { $0 }
        return matcher.symbols(in: texts.map { MarkdownText.plain($0) }, subreddit: post.subreddit)
    }
}
