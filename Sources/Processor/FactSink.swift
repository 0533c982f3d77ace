// SPDX-License-Identifier: Apache-2.0

import EventLog
import EventLoop
import Market
import Postgres
import Records
import Sentiment

/// Writes posts, instruments, quotes, bars of sources and what sources say of themselves to the store, and what was
/// refused of them. As with trades, one transaction holds
/// the data, what is derived from it, the counts and the log's offsets, fenced by an epoch: see ``TradeSink``.
///
/// These kinds come by the minute, not by the thousand a second: what is derived is computed by SQL inside the
/// transaction, which is plainly right. Loop-bound; used by one task.
final class FactSink {
    private let connection: PostgresConnection
    private let analysis: PostAnalysis?
    private let offsets: FencedOffsets
    private let ledger: SinkLedger
    private let metrics: ProcessorMetrics?
    private let now: () -> Timestamp
    private let atStep: ((ProcessingStep) throws -> Void)?

    private var analyzer: PostAnalyzer?
    /// The instruments that mentions are of, and what told them apart from others.
    private var matcher: (version: String, matcher: TickerMatcher)?

    init(
        connection: PostgresConnection, analysis: PostAnalysis?, logID: String, owner: String,
        metrics: ProcessorMetrics? = nil, silence: SilencePolicy = SilencePolicy(), now: @escaping () -> Timestamp,
        atStep: ((ProcessingStep) throws -> Void)? = nil
    ) {
        self.connection = connection
        self.analysis = analysis
        offsets = FencedOffsets(connection: connection, logID: logID, owner: owner)
        ledger = SinkLedger(connection: connection, logID: logID, silence: silence)
        self.metrics = metrics
        self.now = now
        self.atStep = atStep
        analyzer = analysis.map { PostAnalyzer($0) }
    }

    /// The topics it reads of `kinds`: what was refused of all, and what is valid but for posts that nobody reads, which
    /// stay in the log.
    static func topics(of kinds: [any RecordKind], _ analysis: PostAnalysis?) -> [String] {
        kinds.map(\.topics.rejected) + kinds.map(\.topics.valid).filter { $0 != "posts" || analysis != nil }
    }

    // MARK: Partitions

    /// Takes over partitions; returns where to go on in each.
    func claim(_ partitions: [TopicPartition]) async throws -> [TopicPartition: Int64] {
        try await offsets.claim(partitions)
    }

    /// Gives up partitions that belong to another member now.
    func release(_ partitions: [TopicPartition]) { offsets.release(partitions) }

    // MARK: A transaction

    /// What a set of batches holds, and what becomes of it.
    private struct Content {
        var posts: [Valid<PostFacts>] = []
        var instruments: [Valid<InstrumentFacts>] = []
        var quotes: [Valid<QuoteFacts>] = []
        var bars: [Valid<SourceBarFacts>] = []
        var events: [Valid<SourceEventFacts>] = []
        var rejected: [RejectedRecord] = []
        var counts = RunCounts()
        /// What is new and what was there, by topic.
        var outcomes: [String: SinkOutcome] = [:]
        var news: [String: SourceNews] = [:]
        /// The time of the earliest quote that is new.
        var earliestQuote: Timestamp?

        /// Counts a record; `ts` is when what it says was so, nil for what is no event.
        mutating func count<Facts>(_ record: Valid<Facts>, _ topic: String, ts: Timestamp?, isNew: Bool) {
            tally(record, topic, isNew: isNew)
            if isNew {
                news[record.source, default: SourceNews()].note(event: ts, ingested: record.ingestedAt)
            }
        }

        /// Counts a record that tells nothing of how fresh its source is.
        mutating func tally<Facts>(_ record: Valid<Facts>, _ topic: String, isNew: Bool) {
            counts.count(record.run, record.source, isNew: isNew)
            if isNew {
                outcomes[topic, default: SinkOutcome()].accepted += 1
            } else {
                outcomes[topic, default: SinkOutcome()].alreadyThere += 1
            }
        }
    }

    /// Commits what was read of the log. On any error nothing of it is in the store.
    func commit(_ batches: [FetchedBatch]) async throws -> SinkOutcome {
        let start = MonotonicTime.now()
        do {
            var content = decode(batches)
            try await connection.query("BEGIN")
            try atStep?(.began)
            try await offsets.advance(past: batches)
            try atStep?(.advanced)
            try await write(&content)
            try atStep?(.counted)
            if let earliest = content.earliestQuote {
                // Closed ranges of quotes have tags that only this changes.
                try await connection.commit(after: SinkStatements.noteChange, [.timestamp(earliest.microseconds)])
            } else {
                try await connection.query("COMMIT")
            }
            offsets.remember(batches)
            try atStep?(.committed)
            let outcome = content.counts.outcome
            metrics?.committed(
                outcome, facts: content.outcomes, records: batches.reduce(0) { $0 + $1.records.count },
                in: .now() - start)
            return outcome
        } catch {
            matcher = nil
            if connection.isOpen { _ = try? await connection.query("ROLLBACK") }
            throw error
        }
    }

    private func write(_ content: inout Content) async throws {
        try await writeInstruments(&content)
        try await writeQuotes(&content)
        try await writeBars(&content)
        try await writePosts(&content)
        try await writeEvents(&content)
        try atStep?(.barsWritten)
        try await ledger.keep(content.rejected, &content.counts)
        try atStep?(.rejectedWritten)
        try await ledger.write(content.counts)
        try await ledger.note(content.news)
    }

    private func decode(_ batches: [FetchedBatch]) -> Content {
        var content = Content()
        for batch in batches {
            let topic = batch.partition.topic
            batch.records.forEach { index, _, value in
                if topic == "posts", let post = Valid<PostFacts>(decoding: value) {
                    content.posts.append(post)
                } else if topic == "instruments", let instrument = Valid<InstrumentFacts>(decoding: value) {
                    content.instruments.append(instrument)
                } else if topic == "quotes", let quote = Valid<QuoteFacts>(decoding: value) {
                    content.quotes.append(quote)
                } else if topic == "source_bars", let bar = Valid<SourceBarFacts>(decoding: value) {
                    content.bars.append(bar)
                } else if topic == "source_events", let event = Valid<SourceEventFacts>(decoding: value) {
                    content.events.append(event)
                } else if topic.hasSuffix(".rejected"), let rejected = RejectedRecord(decoding: value) {
                    content.rejected.append(rejected)
                } else {
                    // Only something that is not our validator can have written it. It is kept, and stops nothing.
                    content.rejected.append(
                        RejectedRecord(
                            run: 0, source: nil, symbol: nil, reason: RejectionReason.undecodable.rawValue,
                            message: RejectionReason.undecodable.sentence, original: Array(value), topic: topic,
                            partition: batch.partition.partition, offset: batch.baseOffset + Int64(index),
                            rejectedAt: now()))
                }
            }
        }
        return content
    }

    // MARK: Instruments and quotes

    private func writeInstruments(_ content: inout Content) async throws {
        // Of one symbol the newest facts count; what they leave out stays as it was.
        var newest: [String: Valid<InstrumentFacts>] = [:]
        for record in content.instruments.sorted(by: { $0.updated < $1.updated }) {
            newest[record.facts.symbol ?? ""] = record
        }
        if newest.isEmpty { return }
        let rows = newest.sorted { $0.key < $1.key }.map(\.value.facts)
        let written = try await connection.query(
            FactStatements.instruments,
            [
                .textArray(rows.map { $0.symbol ?? "" }), .optionalTextArray(rows.map(\.name)),
                .optionalTextArray(rows.map(\.exchange)), .optionalTextArray(rows.map(\.type)),
                .optionalTextArray(rows.map(\.currency)), .optionalTextArray(rows.map(\.country)),
                .optionalTextArray(rows.map(\.sector)), .optionalTextArray(rows.map(\.industry)),
                .optionalDoubleArray(rows.map(\.marketCap)), .optionalDoubleArray(rows.map(\.forwardPe)),
                .optionalDoubleArray(rows.map(\.trailingPe)), .optionalDoubleArray(rows.map(\.fiftyTwoWeekHigh)),
                .optionalDoubleArray(rows.map(\.fiftyTwoWeekLow)), .optionalDoubleArray(rows.map(\.fiftyDayAverage)),
                .optionalDoubleArray(rows.map(\.shortRatio)),
                .timestampArray(rows.map { $0.updatedAt?.microseconds ?? 0 }),
            ])
        let changed = Set(try written.map { try $0.string(0) })
        try await connection.query(FactStatements.instrumentHistory, [.textArray(changed.sorted())])
        var counted: Set<String> = []
        for record in content.instruments {
            let symbol = record.facts.symbol ?? ""
            // What it says holds for long: a list of names that is loaded today makes no trade of its source a new one.
            content.count(
                record, "instruments", ts: nil,
                isNew: changed.contains(symbol) && counted.insert(symbol).inserted)
        }
    }

    private func writeQuotes(_ content: inout Content) async throws {
        if content.quotes.isEmpty { return }
        let rows = content.quotes
        let written = try await connection.query(
            FactStatements.quotes,
            [
                .textArray(rows.map { $0.facts.symbol ?? "" }),
                .timestampArray(rows.map { $0.facts.ts?.microseconds ?? 0 }), .textArray(rows.map(\.source)),
                .optionalDoubleArray(rows.map(\.facts.open)), .optionalDoubleArray(rows.map(\.facts.high)),
                .optionalDoubleArray(rows.map(\.facts.low)), .optionalDoubleArray(rows.map(\.facts.price)),
                .optionalDoubleArray(rows.map(\.facts.previousClose)), .optionalDoubleArray(rows.map(\.facts.volume)),
                .optionalTextArray(rows.map(\.facts.currency)),
            ])
        let new = Set(try written.map { try $0.int(0) - 1 })
        for (index, record) in rows.enumerated() {
            content.count(record, "quotes", ts: record.facts.ts, isNew: new.contains(index))
            // One of no time has that of the epoch.
            if new.contains(index) {
                let ts = record.facts.ts ?? .epoch
                content.earliestQuote = min(content.earliestQuote ?? ts, ts)
            }
        }
    }

    private func writeBars(_ content: inout Content) async throws {
        if content.bars.isEmpty { return }
        // Of one bar the newest version counts; it is the last, unless a source was asked twice at once.
        var newest: [[String]: Int] = [:]
        let all = content.bars
        for (index, bar) in all.enumerated() {
            let key = [bar.facts.symbol ?? "", bar.facts.timeframe ?? "", "\(bar.facts.ts ?? .epoch)", bar.source]
            if let other = newest[key], all[other].ingestedAt > bar.ingestedAt { continue }
            newest[key] = index
        }
        let places = newest.values.sorted()
        let rows = places.map { all[$0] }
        let written = try await connection.query(
            FactStatements.sourceBars,
            [
                .textArray(rows.map { $0.facts.symbol ?? "" }), .textArray(rows.map { $0.facts.timeframe ?? "" }),
                .timestampArray(rows.map { $0.facts.ts?.microseconds ?? 0 }), .textArray(rows.map(\.source)),
                .optionalDoubleArray(rows.map(\.facts.open)), .optionalDoubleArray(rows.map(\.facts.high)),
                .optionalDoubleArray(rows.map(\.facts.low)), .optionalDoubleArray(rows.map(\.facts.close)),
                .optionalDoubleArray(rows.map(\.facts.volume)), .optionalTextArray(rows.map(\.facts.currency)),
                .timestampArray(rows.map(\.ingestedAt.microseconds)),
            ])
        let new = Set(try written.map { places[Int(try $0.int(0)) - 1] })
        for (index, record) in all.enumerated() {
            content.count(record, "source_bars", ts: record.facts.ts, isNew: new.contains(index))
        }
    }

    // MARK: What sources say of themselves

    private func writeEvents(_ content: inout Content) async throws {
        if content.events.isEmpty { return }
        let rows = content.events
        let written = try await connection.query(
            FactStatements.sourceEvents,
            [
                .textArray(rows.map(\.source)), .int64Array(rows.map(\.run)),
                .int64Array(rows.map { $0.facts.sequence ?? 0 }),
                .timestampArray(rows.map { $0.facts.ts?.microseconds ?? 0 }),
                .textArray(rows.map { $0.facts.kind ?? "" }),
                // No symbol has a comma.
                .textArray(rows.map { ($0.facts.symbols ?? []).joined(separator: ",") }),
                .optionalInt64Array(rows.map { $0.facts.from?.microseconds }),
                .optionalInt64Array(rows.map { $0.facts.to?.microseconds }),
                .optionalTextArray(rows.map(\.facts.message)), .timestampArray(rows.map(\.ingestedAt.microseconds)),
            ])
        let new = Set(try written.map { try $0.int(0) - 1 })
        for (index, record) in rows.enumerated() {
            content.tally(record, "source_events", isNew: new.contains(index))
            // What is there has been noted with it.
            if new.contains(index) { content.news[record.source, default: SourceNews()].note(record.facts) }
        }
    }

    // MARK: Posts

    private func writePosts(_ content: inout Content) async throws {
        if content.posts.isEmpty { return }
        // A comment's mentions follow its submission's text: two sinks must not each miss what the other writes.
        try await connection.query(FactStatements.lockPosts)
        // Versions of one post in their order, so that each is judged against the one before.
        var rounds: [[Valid<PostFacts>]] = []
        var seen: [String: Int] = [:]
        for post in content.posts {
            let round = seen[post.facts.id ?? "", default: 0]
            seen[post.facts.id ?? ""] = round + 1
            if round == rounds.count { rounds.append([]) }
            rounds[round].append(post)
        }
        var changed: Set<String> = []
        for round in rounds {
            let written = try await upsert(round)
            for post in round {
                content.count(
                    post, "posts", ts: post.facts.createdAt, isNew: written.contains(post.facts.id ?? ""))
            }
            changed.formUnion(written)
        }
        try await refreshMentions(of: changed)
    }

    /// Writes the posts that are new or newer than what is there; returns their ids.
    private func upsert(_ posts: [Valid<PostFacts>]) async throws -> Set<String> {
        guard var analyzer else { return [] }
        var rows: [PostRow] = []
        for post in posts {
            var row = PostRow(post)
            if !row.isDeleted {
                row.score = analyzer.score(
                    title: row.facts.title, body: row.facts.body, isComment: row.facts.kind == "comment")
            }
            rows.append(row)
        }
        self.analyzer = analyzer
        let written = try await connection.query(
            FactStatements.posts,
            [
                .textArray(rows.map { $0.facts.id ?? "" }), .textArray(rows.map { $0.facts.kind ?? "" }),
                .textArray(posts.map(\.source)), .optionalTextArray(rows.map(\.facts.subreddit)),
                .optionalTextArray(rows.map(\.facts.author)), .optionalTextArray(rows.map(\.facts.title)),
                .optionalTextArray(rows.map(\.facts.body)), .optionalTextArray(rows.map(\.facts.url)),
                .optionalInt64Array(rows.map(\.facts.score)), .optionalInt64Array(rows.map(\.facts.numComments)),
                .optionalDoubleArray(rows.map(\.facts.upvoteRatio)),
                .optionalTextArray(rows.map(\.facts.submissionId)),
                .timestampArray(rows.map { $0.facts.createdAt?.microseconds ?? 0 }),
                .optionalInt64Array(rows.map { $0.facts.editedAt?.microseconds }),
                .int64Array(rows.map { $0.isDeleted ? 1 : 0 }), .timestampArray(posts.map(\.ingestedAt.microseconds)),
                .optionalDoubleArray(rows.map { $0.score?.whole.compound }),
                .optionalDoubleArray(rows.map { $0.score?.whole.positive }),
                .optionalDoubleArray(rows.map { $0.score?.whole.negative }),
                .optionalDoubleArray(rows.map { $0.score?.whole.neutral }),
                .optionalDoubleArray(rows.map { $0.score?.finance ?? nil }),
            ], deadline: .now() + .seconds(120))
        return Set(try written.map { try $0.string(0) })
    }

    /// A post as it is kept: of a deleted one the texts and the author are gone.
    private struct PostRow {
        var facts: PostFacts
        var isDeleted = false
        var score: PostScore?

        private static let gone: Set<String> = ["[deleted]", "[removed]", "[deleted by user]", "[ Removed by Reddit ]"]

        init(_ post: Valid<PostFacts>) {
            facts = post.facts
            let text =
                facts.kind == "comment" ? facts.body : facts.body.flatMap { $0.isEmpty ? nil : $0 } ?? facts.title
            guard let text, Self.gone.contains(text) else { return }
            isDeleted = true
            facts.body = nil
            facts.author = nil
            if facts.title.map({ Self.gone.contains($0) }) == true { facts.title = nil }
        }
    }

    /// Computes the mentions of posts, and of the comments below those that are submissions, from what the store has now;
    /// then every bar of sentiment that had or has one of them.
    private func refreshMentions(of changed: Set<String>) async throws {
        if changed.isEmpty { return }
        let matcher = try await currentMatcher()
        let rows = try await connection.query(
            FactStatements.affectedPosts, [.textArray(changed.sorted())], deadline: .now() + .seconds(120))
        var mentions = MentionRows()
        var affected: [String] = []
        guard var analyzer else { return }
        for row in rows {
            let id = try row.string(0)
            affected.append(id)
            let post = StoredPost(
                title: try row.stringOrNil(1), body: try row.stringOrNil(2), subreddit: try row.stringOrNil(3),
                isComment: try row.string(4) == "comment", isDeleted: try row.bool(5),
                submissionTitle: try row.stringOrNil(6), submissionBody: try row.stringOrNil(7))
            let symbols = PostAnalyzer.symbols(post, matcher)
            if symbols.isEmpty { continue }
            let title = analyzer.compound(post.submissionTitle ?? post.title)
            let body = analyzer.compound(post.body)
            for symbol in symbols {
                mentions.append(
                    id, symbol, try row.timestamp(8), post.subreddit, title, body, try row.doubleOrNil(9) ?? 0,
                    try row.doubleOrNil(10))
            }
        }
        self.analyzer = analyzer
        let before = try await connection.query(FactStatements.deleteMentions, [.textArray(affected)])
        try await connection.query(FactStatements.insertMentions, mentions.parameters, deadline: .now() + .seconds(120))
        var symbols = mentions.symbols
        var times = mentions.times
        for row in before {
            symbols.append(try row.string(0))
            times.append(try row.timestamp(1))
        }
        if symbols.isEmpty { return }
        try await connection.query(
            FactStatements.refreshBars, [.textArray(symbols), .timestampArray(times)], deadline: .now() + .seconds(120))
    }

    /// The matcher of the instruments that there are; made again when they change.
    private func currentMatcher() async throws -> TickerMatcher {
        let version = try await connection.query(FactStatements.instrumentsVersion).first?.string(0) ?? ""
        if let matcher, matcher.version == version { return matcher.matcher }
        let rows = try await connection.query(FactStatements.instrumentNames)
        let made = TickerMatcher(
            try rows.map { .init(symbol: try $0.string(0), name: try $0.stringOrNil(1)) },
            options: analysis?.tickers ?? .init())
        matcher = (version, made)
        return made
    }
}

extension SourceNews {
    /// Takes note of what a source said of itself: what came last counts.
    fileprivate mutating func note(_ event: SourceEventFacts) {
        guard let ts = event.ts, let kind = event.kind.flatMap({ SourceEventFacts.Kind(rawValue: $0) }) else { return }
        if kind == .connected || kind == .disconnected, state.map({ $0.ts <= ts }) ?? true {
            state = (kind.rawValue, ts)
        }
        if kind == .error || kind == .disconnected, let message = event.message, error.map({ $0.ts <= ts }) ?? true {
            error = (message, ts)
        }
    }
}

/// Rows of market.mentions, column by column.
private struct MentionRows {
    private var posts: [String] = []
    private(set) var symbols: [String] = []
    private(set) var times: [Int64] = []
    private var subreddits: [String?] = []
    private var titles: [Double?] = []
    private var bodies: [Double?] = []
    private var wholes: [Double] = []
    private var finance: [Double?] = []

    mutating func append(
        _ post: String, _ symbol: String, _ ts: Int64, _ subreddit: String?, _ title: Double?, _ body: Double?,
        _ whole: Double, _ finance: Double?
    ) {
        posts.append(post)
        symbols.append(symbol)
        times.append(ts)
        subreddits.append(subreddit)
        titles.append(title)
        bodies.append(body)
        wholes.append(whole)
        self.finance.append(finance)
    }

    var parameters: [Parameter] {
        [
            .textArray(posts), .textArray(symbols), .timestampArray(times), .optionalTextArray(subreddits),
            .optionalDoubleArray(titles), .optionalDoubleArray(bodies), .doubleArray(wholes),
            .optionalDoubleArray(finance),
        ]
    }
}

extension Valid<InstrumentFacts> {
    fileprivate var updated: Timestamp { facts.updatedAt ?? .epoch }
}

/// Every statement of posts, instruments and quotes, in the order in which a transaction uses them.
enum FactStatements {
    private static let instrumentFacts =
        "name, exchange, type, currency, country, sector, industry, market_cap, forward_pe, trailing_pe, "
        + "fifty_two_week_high, fifty_two_week_low, fifty_day_average, short_ratio"

    /// Facts that are not older than those there; what they leave out stays.
    static let instruments = Statement(
        name: "write_instruments",
        sql: """
            INSERT INTO market.instruments AS i (symbol, \(instrumentFacts), updated_at)
            SELECT * FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[], $6::text[], $7::text[],
                $8::text[], $9::float8[], $10::float8[], $11::float8[], $12::float8[], $13::float8[], $14::float8[],
                $15::float8[], $16::timestamptz[])
            ON CONFLICT (symbol) DO UPDATE SET
                \(instrumentFacts.split(separator: ", ").map { "\($0) = coalesce(excluded.\($0), i.\($0))" }
                    .joined(separator: ", ")), updated_at = excluded.updated_at
            WHERE excluded.updated_at > i.updated_at
                AND (\(instrumentFacts.split(separator: ", ").map { "coalesce(excluded.\($0), i.\($0))" }
                    .joined(separator: ", ")))
                    IS DISTINCT FROM (\(instrumentFacts.split(separator: ", ").map { "i.\($0)" }.joined(separator: ", ")))
            RETURNING symbol
            """)

    /// The day's row of what was written; the last fetch of the day counts.
    static let instrumentHistory = Statement(
        name: "write_instrument_history",
        sql: """
            INSERT INTO market.instrument_history (symbol, as_of, \(instrumentFacts), updated_at)
            SELECT symbol, (updated_at AT TIME ZONE 'UTC')::date, \(instrumentFacts), updated_at
            FROM market.instruments WHERE symbol = ANY ($1)
            ON CONFLICT (symbol, as_of) DO UPDATE SET
                \(instrumentFacts.split(separator: ", ").map { "\($0) = excluded.\($0)" }.joined(separator: ", ")),
                updated_at = excluded.updated_at
            """)

    static let quotes = Statement(
        name: "write_quotes",
        sql: """
            WITH given AS (
                SELECT * FROM unnest($1::text[], $2::timestamptz[], $3::text[], $4::float8[], $5::float8[], $6::float8[],
                    $7::float8[], $8::float8[], $9::float8[], $10::text[]) WITH ORDINALITY
                    AS q (symbol, ts, source, open, high, low, price, previous_close, volume, currency, n)
            ), written AS (
                INSERT INTO market.quotes (symbol, ts, source, open, high, low, price, previous_close, volume, currency)
                SELECT symbol, ts, source, open, high, low, price, previous_close, volume, currency FROM given
                ON CONFLICT DO NOTHING RETURNING symbol, ts, source
            )
            SELECT min(n) FROM written JOIN given USING (symbol, ts, source) GROUP BY symbol, ts, source
            """)

    /// Bars that are new, or newer versions that differ. Returns the places of those.
    static let sourceBars = Statement(
        name: "write_source_bars",
        sql: """
            WITH given AS (
                SELECT * FROM unnest($1::text[], $2::text[], $3::timestamptz[], $4::text[], $5::float8[], $6::float8[],
                    $7::float8[], $8::float8[], $9::float8[], $10::text[], $11::timestamptz[]) WITH ORDINALITY
                    AS b (symbol, timeframe, ts, source, open, high, low, close, volume, currency, updated_at, n)
            ), written AS (
                INSERT INTO market.source_bars AS b (symbol, timeframe, ts, source, open, high, low, close, volume,
                    currency, updated_at)
                SELECT symbol, timeframe, ts, source, open, high, low, close, volume, currency, updated_at FROM given
                ON CONFLICT (symbol, timeframe, ts, source) DO UPDATE SET
                    open = excluded.open, high = excluded.high, low = excluded.low, close = excluded.close,
                    volume = excluded.volume, currency = excluded.currency, updated_at = excluded.updated_at
                WHERE excluded.updated_at > b.updated_at
                    AND (excluded.open, excluded.high, excluded.low, excluded.close, excluded.volume, excluded.currency)
                        IS DISTINCT FROM (b.open, b.high, b.low, b.close, b.volume, b.currency)
                RETURNING symbol, timeframe, ts, source
            )
            SELECT n FROM written JOIN given USING (symbol, timeframe, ts, source)
            """)

    /// What sources said; what comes twice is kept once. Returns the places of those that are new.
    static let sourceEvents = Statement(
        name: "write_source_events",
        sql: """
            WITH given AS (
                SELECT * FROM unnest($1::text[], $2::bigint[], $3::bigint[], $4::timestamptz[], $5::text[], $6::text[],
                    $7::bigint[], $8::bigint[], $9::text[], $10::timestamptz[]) WITH ORDINALITY
                    AS e (source, run_id, sequence, ts, kind, symbols, from_us, to_us, message, ingested_at, n)
            ), written AS (
                INSERT INTO ops.source_events (source, run_id, sequence, ts, kind, symbols, from_ts, to_ts, message, ingested_at)
                SELECT source, run_id, sequence, ts, kind, string_to_array(symbols, ','),
                    timestamptz 'epoch' + from_us * interval '1 microsecond',
                    timestamptz 'epoch' + to_us * interval '1 microsecond', message, ingested_at FROM given
                ON CONFLICT DO NOTHING RETURNING source, run_id, sequence
            )
            SELECT min(n) FROM written JOIN given USING (source, run_id, sequence) GROUP BY source, run_id, sequence
            """)

    /// "posts" in ASCII.
    static let lockPosts = Statement(name: "lock_posts", sql: "SELECT pg_advisory_xact_lock(482906174579)")

    private static let postContent =
        "subreddit, author, title, body, url, score, num_comments, upvote_ratio, submission_id, edited_at, is_deleted, "
        + "sentiment, positive, negative, neutral, finance_sentiment"

    /// New posts, and newer versions that differ. Deleted is newer than not, then the last edit counts, then when it was
    /// seen: so what arrives last need not be what stays.
    static let posts = Statement(
        name: "write_posts",
        sql: """
            INSERT INTO market.posts AS p (id, kind, source, subreddit, author, title, body, url, score, num_comments,
                upvote_ratio, submission_id, created_at, edited_at, is_deleted, observed_at, sentiment, positive, negative,
                neutral, finance_sentiment)
            SELECT id, kind, source, subreddit, author, title, body, url, score, num_comments, upvote_ratio, submission_id,
                created_at, timestamptz 'epoch' + edited_us * interval '1 microsecond', deleted <> 0, observed_at, sentiment,
                positive, negative, neutral, finance_sentiment
            FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[], $6::text[], $7::text[], $8::text[],
                $9::bigint[], $10::bigint[], $11::float8[], $12::text[], $13::timestamptz[], $14::bigint[], $15::bigint[],
                $16::timestamptz[], $17::float8[], $18::float8[], $19::float8[], $20::float8[], $21::float8[])
                AS v (id, kind, source, subreddit, author, title, body, url, score, num_comments, upvote_ratio,
                    submission_id, created_at, edited_us, deleted, observed_at, sentiment, positive, negative, neutral,
                    finance_sentiment)
            ON CONFLICT (id) DO UPDATE SET
                kind = excluded.kind, source = excluded.source, created_at = excluded.created_at,
                observed_at = excluded.observed_at,
                \(postContent.split(separator: ", ").map { "\($0) = excluded.\($0)" }.joined(separator: ", "))
            WHERE (excluded.is_deleted, coalesce(excluded.edited_at, excluded.created_at), excluded.observed_at)
                    > (p.is_deleted, coalesce(p.edited_at, p.created_at), p.observed_at)
                AND (\(postContent.split(separator: ", ").map { "excluded.\($0)" }.joined(separator: ", ")))
                    IS DISTINCT FROM (\(postContent.split(separator: ", ").map { "p.\($0)" }.joined(separator: ", ")))
            RETURNING id
            """)

    /// Posts and the comments below them, each with the texts of its submission.
    static let affectedPosts = Statement(
        name: "affected_posts",
        sql: """
            SELECT p.id, p.title, p.body, p.subreddit, p.kind, p.is_deleted, s.title, s.body, p.created_at, p.sentiment,
                p.finance_sentiment
            FROM (SELECT unnest($1::text[]) AS id UNION
                  SELECT id FROM market.posts WHERE submission_id = ANY ($1)) AS a
            JOIN market.posts p ON p.id = a.id
            LEFT JOIN market.posts s ON s.id = p.submission_id
            """)

    static let deleteMentions = Statement(
        name: "delete_mentions", sql: "DELETE FROM market.mentions WHERE post_id = ANY ($1) RETURNING symbol, ts")

    static let insertMentions = Statement(
        name: "insert_mentions",
        sql: """
            INSERT INTO market.mentions (post_id, symbol, ts, subreddit, title_sentiment, body_sentiment, sentiment,
                finance_sentiment)
            SELECT * FROM unnest($1::text[], $2::text[], $3::timestamptz[], $4::text[], $5::float8[], $6::float8[],
                $7::float8[], $8::float8[])
            """)

    static let refreshBars = Statement(name: "refresh_bars", sql: "SELECT ops.refresh_sentiment_bars($1, $2)")

    static let instrumentsVersion = Statement(
        name: "instruments_version",
        sql: "SELECT count(*) || ' ' || coalesce(max(updated_at)::text, '') FROM market.instruments")

    static let instrumentNames = Statement(
        name: "instrument_names", sql: "SELECT symbol, name FROM market.instruments")
}
