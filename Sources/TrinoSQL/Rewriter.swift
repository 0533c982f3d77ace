// SPDX-License-Identifier: Apache-2.0

/// A way to say something in PostgreSQL's SQL: where it applies, what it writes instead, and why.
///
/// A rule looks at one token and what is around it. The first rule that answers decides; what it does not write itself
/// (`.source`) goes through all rules in turn, so rules need not know of each other.
struct RewriteRule: Sendable {
    /// The tokens a rule is asked about.
    enum Trigger: Hashable, Sendable {
        /// A word in lower case, or a symbol.
        case text(String)
        case kind(Token.Kind)
    }

    /// A name for people, unique among the rules.
    let name: String
    /// What PostgreSQL would do without it.
    let reason: String
    let triggers: [Trigger]
    let rewrite: @Sendable (Outline, Int, RewriteContext) throws(TrinoSyntaxError) -> Rewrite?

    init(
        _ name: String, _ reason: String, on triggers: [Trigger],
        _ rewrite: @escaping @Sendable (Outline, Int, RewriteContext) throws(TrinoSyntaxError) -> Rewrite?
    ) {
        self.name = name
        self.reason = reason
        self.triggers = triggers
        self.rewrite = rewrite
    }

    init(
        _ name: String, _ reason: String, words: [String],
        _ rewrite: @escaping @Sendable (Outline, Int, RewriteContext) throws(TrinoSyntaxError) -> Rewrite?
    ) {
        self.init(name, reason, on: words.map { .text($0) }, rewrite)
    }
}

/// What is written instead of the tokens from where the rule looked up to `end`.
struct Rewrite: Sendable, Equatable {
    enum Piece: Sendable, Equatable {
        case text(String)
        /// A token as it is.
        case token(Int)
        /// Tokens through the rules.
        case source(Range<Int>)
        /// Tokens through the rules, and through those that hold inside TRY.
        case tried(Range<Int>)
    }

    var end: Int
    var pieces: [Piece]

    init(to end: Int, _ pieces: [Piece]) {
        self.end = end
        self.pieces = pieces
    }
}

/// What a rule may know beside the statement.
struct RewriteContext: Sendable {
    let dialect: TrinoDialect
    let location: @Sendable (Int) -> TrinoLocation
    /// Whether errors are to become NULL here.
    var isTried = false

    /// An error at a token.
    func error(_ code: TrinoErrorCode, _ message: String, at index: Int, _ outline: Outline) -> TrinoSyntaxError {
        TrinoSyntaxError(code, message, at: location(outline.tokens[index].range.lowerBound))
    }
}

/// Applies the rules to a statement.
struct Rewriter {
    private let outline: Outline
    private var context: RewriteContext
    private var output: SourceMappedText

    init(_ outline: Outline, _ context: RewriteContext) {
        self.outline = outline
        self.context = context
        output = SourceMappedText(capacity: outline.source.count + outline.source.count / 4 + 64)
    }

    /// The text of a range of tokens, after the rules.
    static func rewrite(
        _ outline: Outline, _ range: Range<Int>, _ context: RewriteContext, prefix: String = ""
    ) throws(TrinoSyntaxError) -> SourceMappedText {
        var rewriter = Rewriter(outline, context)
        if !prefix.isEmpty {
            rewriter.output.write(prefix, for: range.isEmpty ? 0 : outline.tokens[range.lowerBound].range.lowerBound)
        }
        try rewriter.render(range)
        return rewriter.output
    }

    private mutating func render(_ range: Range<Int>) throws(TrinoSyntaxError) {
        var index = range.lowerBound
        while index < range.upperBound {
            if index > range.lowerBound { renderGap(before: index) }
            if let rewrite = try rewrite(at: index, within: range.upperBound), rewrite.end <= range.upperBound {
                try render(rewrite, at: index)
                index = rewrite.end
            } else {
                output.copy(outline.tokens[index].range, of: outline.source)
                index += 1
            }
        }
    }

    private func rewrite(at index: Int, within limit: Int) throws(TrinoSyntaxError) -> Rewrite? {
        let token = outline.tokens[index]
        if let suffix = outline.lastSuffix(of: index, within: limit) {
            return Rules.suffixed(outline, index, suffix)
        }
        if token.isName, context.dialect.sessionCatalog != context.dialect.catalog,
            let rewrite = try Rules.otherCatalog.rewrite(outline, index, context)
        {
            return rewrite
        }
        if token.text == context.dialect.catalog, let rewrite = Rules.metadataChain(outline, index, context) {
            return rewrite
        }
        let rules = token.text.isEmpty ? Rules.byKind[token.kind] : Rules.byText[token.text]
        guard let rules else { return nil }
        for rule in rules {
            if let rewrite = try rule.rewrite(outline, index, context) { return rewrite }
        }
        return nil
    }

    private mutating func render(_ rewrite: Rewrite, at index: Int) throws(TrinoSyntaxError) {
        let start = outline.tokens[index].range.lowerBound
        for piece in rewrite.pieces {
            switch piece {
            case .text(let text): output.write(text, for: start)
            case .token(let index): output.copy(outline.tokens[index].range, of: outline.source)
            case .source(let range): try render(range)
            case .tried(let range):
                let outer = context.isTried
                context.isTried = true
                try render(range)
                context.isTried = outer
            }
        }
    }

    /// Blanks and comments between a token and the one before it.
    private mutating func renderGap(before index: Int) {
        let previous = outline.tokens[index - 1]
        let token = outline.tokens[index]
        let gap = previous.range.upperBound..<token.range.lowerBound
        if gap.isEmpty {
            if Self.wouldJoin(previous, token, outline.source) { output.write(" ", for: gap.lowerBound) }
        } else if Self.nests(outline.source[gap]) {
            output.write(" ", for: gap.lowerBound)
        } else {
            output.copy(gap, of: outline.source)
        }
    }

    /// Whether PostgreSQL would take two adjacent tokens for one: `%-`, `||-`, `E'…'`, `B'…'`.
    private static func wouldJoin(_ left: Token, _ right: Token, _ source: [UInt8]) -> Bool {
        if left.kind == .symbol, right.kind == .symbol {
            return joining.contains(left.text) && operators.contains(right.text)
        }
        return left.kind == .word && left.text.utf8.count == 1 && right.kind == .string
    }

    private static let joining: Set<String> = ["%", "||", "~", "!", "@", "#", "^", "&", "|", "!="]
    private static let operators: Set<String> = [
        "+", "-", "*", "/", "<", ">", "=", "<>", "<=", ">=", "!=", "||", "->", "%", "~", "!", "@", "#", "^", "&", "|",
    ]

    /// Whether a comment holds the beginning of another: PostgreSQL's comments nest, Trino's do not.
    private static func nests(_ gap: ArraySlice<UInt8>) -> Bool {
        var openings = 0
        var previous: UInt8 = 0
        for byte in gap {
            if previous == UInt8(ascii: "/"), byte == UInt8(ascii: "*") { openings += 1 }
            previous = byte
        }
        return openings > 0 && (openings > 1 || gap.contains(UInt8(ascii: "-")))
    }
}
