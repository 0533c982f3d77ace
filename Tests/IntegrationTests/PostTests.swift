// SPDX-License-Identifier: Apache-2.0

import EventLog
import EventLoop
import Foundation
import Ingest
import Market
import Postgres
@testable import Processor
import Records
import Sentiment
import Synchronization
import TestSupport
import Testing

/// Posts from the log to sentiment, against a real store.
@Suite(.serialized) struct PostTests {
    /// The pipeline with the topics of all kinds.
    private static func pipeline(_ name: String) async throws -> TestPipeline {
        let pipeline = try await TestPipeline(name)
        try await pipeline.log.createTopics(
            ["posts", "instruments", "quotes"].flatMap { kind in
                [TopicRoles(kind: kind).staging, TopicRoles(kind: kind).valid, TopicRoles(kind: kind).rejected]
            }.map { TopicSettings(name: $0, partitions: 3, retention: .seconds(86_400)) })
        return pipeline
    }

    private static let analysis = Task<PostAnalysis, any Error> {
        let folder = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
            .deletingLastPathComponent().appending(path: "lexicons/vader")
        func bytes(_ name: String) throws -> [UInt8] { Array(try Data(contentsOf: folder.appending(path: name))) }
        let (words, emoji) = (try bytes("vader_lexicon.txt"), try bytes("emoji_utf8_lexicon.txt"))
        return PostAnalysis(
            lexicon: try VaderLexicon(lexicon: words, emoji: emoji),
            finance: try VaderLexicon(lexicon: words, emoji: emoji, additions: LexiconAddition.finance))
    }

    /// Processes until the store has accounted for every run, or a step fails.
    private static func process(
        _ pipeline: TestPipeline, runs: [Int64: Int], batchBytes: Int = 1 << 20,
        atStep: (@Sendable (ProcessingStep) throws -> Void)? = nil
    ) async throws {
        var configuration = Processor.Configuration(topics: TestPipeline.topics, owner: "test")
        configuration.batchBytes = batchBytes
        let lead = Duration.seconds(60)
        configuration.kinds = [
            QuoteKind(longestLead: lead), InstrumentKind(longestLead: lead), PostKind(longestLead: lead),
        ]
        configuration.posts = try await analysis.value
        var processor = Processor(
            configuration, log: pipeline.log,
            store: try ConnectionSettings(pipeline.url, sessionParameters: Processor.sessionParameters),
            loop: pipeline.server.loop, logger: TestPipeline.logger, now: { TestPipeline.now() })
        processor.atStep = atStep
        let ready = processor
        try await withThrowingTaskGroup(of: Bool.self) { group in
            group.addTask(executorPreference: pipeline.server.loop) {
                try await ready.run()
                return false
            }
            group.addTask {
                while true {
                    var isSettled = true
                    for (run, count) in runs {
                        let settled = try await pipeline.count(
                            "SELECT coalesce(sum(accepted + already_there + rejected), 0)::bigint FROM ops.ingest_runs WHERE run_id = \(run)"
                        )
                        isSettled = isSettled && settled >= count
                    }
                    if isSettled { return true }
                    try await Task.sleep(for: .milliseconds(20))
                }
            }
            defer { group.cancelAll() }
            while let done = try await group.next() { if done { return } }
        }
    }

    private static func load(
        _ pipeline: TestPipeline, _ kind: FileKind, _ text: String, run: Int64, at time: Int64 = 0
    ) async throws -> Int {
        let path = pipeline.folder + "/\(run).ndjson"
        try text.write(toFile: path, atomically: true, encoding: .utf8)
        let progress = IngestProgress()
        try await FactLoader(
            log: pipeline.log, logger: TestPipeline.logger, progress: progress,
            now: { Timestamp(microseconds: TestPipeline.now().microseconds + time) }
        ).load(kind, path, run: run, defaultTime: nil)
        return Int(progress.recordCount)
    }

    private static let instruments = """
        symbol,name
        GME,GameStop Corp.
        TSLA,"Tesla, Inc."
        ALL,Allstate
        """

    private static func query(_ pipeline: TestPipeline, _ sql: String) async throws -> [[String?]] {
        try await pipeline.query(sql)
    }

    /// Bars that differ from what SQL makes of the mentions from scratch: must be none.
    private static func wrongBars(_ pipeline: TestPipeline) async throws -> [[String?]] {
        try await pipeline.query(
            """
            WITH frames (timeframe, width) AS (VALUES ('1m', interval '1 minute'), ('5m', '5 minutes'),
                ('15m', '15 minutes'), ('1h', '1 hour'), ('1d', '1 day')),
            scratch AS (
                SELECT symbol, timeframe, date_bin(width, ts, timestamptz '1970-01-01 00:00:00+00') AS ts,
                    round(avg(sentiment)::numeric, 9) AS mean, count(*) AS posts,
                    count(*) FILTER (WHERE sentiment >= 0.05) AS positive,
                    count(*) FILTER (WHERE sentiment <= -0.05) AS negative
                FROM market.mentions, frames GROUP BY 1, 2, 3)
            SELECT * FROM scratch s FULL JOIN market.sentiment_bars b USING (symbol, timeframe, ts)
            WHERE (s.mean, s.posts, s.positive, s.negative) IS DISTINCT FROM
                (round(b.mean_sentiment::numeric, 9), b.post_count, b.positive_count, b.negative_count)
            """)
    }

    @Test func `a post becomes its sentiment, its mentions and its bars`() async throws {
        let pipeline = try await Self.pipeline("posts")
        let posts = """
            {"name":"t3_s1","title":"GME to the moon","selftext":"I love it!","subreddit":"wallstreetbets","score":7,"num_comments":2,"upvote_ratio":0.9,"created_utc":1700000000,"author":"a"}
            {"id":"c1","link_id":"t3_s1","body":"> TSLA is terrible\\n\\nThis is horrible, worst stock ever","subreddit":"wallstreetbets","created_utc":1700000030.0,"edited":false}
            {"kind":"t1","data":{"name":"t1_c2","link_id":"t3_s1","body":"$ALL in, tesla is great","subreddit":"stocks","created_utc":1700003600}}
            {"id":"c3","link_id":"t3_none","body":"nothing to see","subreddit":"stocks","created_utc":1700003601}
            {"id":"c4","link_id":"t3_s1","body":"no time"}
            {"link_id":"t3_s1","body":"no id","created_utc":1700003601}
            not json
            """
        let instruments = try await Self.load(pipeline, .instruments, Self.instruments, run: 1)
        try await Self.process(pipeline, runs: [1: instruments])
        let count = try await Self.load(pipeline, .posts, posts, run: 2)
        #expect(instruments == 3 && count == 7)
        try await Self.process(pipeline, runs: [2: count])
        #expect(
            try await Self.query(pipeline, "SELECT accepted, rejected FROM ops.ingest_runs ORDER BY run_id")
                == [["3", "0"], ["4", "3"]])
        #expect(
            try await Self.query(pipeline, "SELECT reason FROM ops.rejected_records ORDER BY 1")
                == [["malformed_line"], ["post_id_missing"], ["ts_missing"]])
        #expect(
            try await Self.query(
                pipeline,
                "SELECT post_id, symbol, sentiment > 0, title_sentiment, subreddit FROM market.mentions ORDER BY 1, 2")
                == [
                    ["t1_c1", "GME", "f", "0", "wallstreetbets"], ["t1_c2", "ALL", "t", "0", "stocks"],
                    ["t1_c2", "GME", "t", "0", "stocks"], ["t1_c2", "TSLA", "t", "0", "stocks"],
                    ["t3_s1", "GME", "t", "0", "wallstreetbets"],
                ])
        #expect(try await Self.wrongBars(pipeline) == [])
        #expect(
            try await Self.query(
                pipeline,
                "SELECT ts::text, post_count, positive_count, negative_count FROM market.sentiment_bars WHERE symbol = 'GME' AND timeframe = '1h' ORDER BY 1"
            )
                == [["2023-11-14 22:00:00+00", "2", "1", "1"], ["2023-11-14 23:00:00+00", "1", "1", "0"]])
        // The same file adds nothing.
        let again = try await Self.load(pipeline, .posts, posts, run: 3)
        try await Self.process(pipeline, runs: [3: again])
        #expect(
            try await Self.query(
                pipeline, "SELECT accepted, already_there, rejected FROM ops.ingest_runs WHERE run_id = 3")
                == [["0", "4", "3"]])
        // A submission that is edited takes its comments with it; one that is deleted leaves them to themselves.
        let edited = """
            {"name":"t3_s1","title":"GME to the moon","selftext":"Sold, now TSLA","subreddit":"wallstreetbets","created_utc":1700000000,"edited":1700000500}
            """
        _ = try await Self.load(pipeline, .posts, edited, run: 4)
        try await Self.process(pipeline, runs: [4: 1])
        let symbols =
            "SELECT post_id, string_agg(symbol, ' ' ORDER BY symbol) FROM market.mentions GROUP BY 1 ORDER BY 1"
        #expect(
            try await Self.query(pipeline, symbols)
                == [["t1_c1", "GME TSLA"], ["t1_c2", "ALL GME TSLA"], ["t3_s1", "GME TSLA"]])
        let deleted = """
            {"name":"t3_s1","title":"[deleted by user]","selftext":"[removed]","created_utc":1700000000,"author":"[deleted]"}
            {"id":"c2","link_id":"t3_s1","body":"[deleted]","created_utc":1700003600}
            """
        _ = try await Self.load(pipeline, .posts, deleted, run: 5)
        try await Self.process(pipeline, runs: [5: 2])
        #expect(try await Self.query(pipeline, symbols) == [])
        #expect(try await pipeline.count("SELECT count(*) FROM market.sentiment_bars") == 0)
        #expect(
            try await Self.query(
                pipeline, "SELECT id, title, body, author, sentiment FROM market.posts WHERE is_deleted ORDER BY 1")
                == [["t1_c2", nil, nil, nil, nil], ["t3_s1", nil, nil, nil, nil]])
    }

    /// Versions of a few posts, in an order of their own.
    private static func versions(_ random: inout SeededRandom) -> [String] {
        let texts = [
            "GME is great", "TSLA is awful", "gamestop and tesla", "nothing", "$ALL wonderful", "[deleted]",
            "I hate GME",
        ]
        var lines: [String] = []
        for post in 0..<12 {
            let submission = post < 3
            for version in 0..<Int.random(in: 1...3, using: &random) {
                let text = texts[Int.random(in: 0..<texts.count, using: &random)]
                let edited = version == 0 ? "false" : "\(1_700_001_000 + version * 60 + post)"
                let created = 1_700_000_000 + post * 700
                lines.append(
                    submission
                        ? #"{"name":"t3_\#(post)","title":"Title \#(post)","selftext":"\#(text)","created_utc":\#(created),"edited":\#(edited)}"#
                        : #"{"name":"t1_\#(post)","link_id":"t3_\#(post % 3)","body":"\#(text)","created_utc":\#(created),"edited":\#(edited)}"#
                )
            }
        }
        return lines
    }

    private static let state = """
        SELECT p.id, p.body, p.is_deleted, p.edited_at::text, p.sentiment, p.finance_sentiment,
            (SELECT string_agg(symbol || ' ' || m.sentiment, ',' ORDER BY symbol) FROM market.mentions m WHERE m.post_id = p.id)
        FROM market.posts p ORDER BY 1
        """

    @Test func `the order in which versions come changes nothing`() async throws {
        var random = SeededRandom()
        let lines = Self.versions(&random)
        var states: [[[String?]]] = []
        for round in 0..<2 {
            let pipeline = try await Self.pipeline("posts_order_\(round)")
            let instruments = try await Self.load(pipeline, .instruments, Self.instruments, run: 1)
            try await Self.process(pipeline, runs: [1: instruments])
            var runs: [Int64: Int] = [:]
            for (index, part) in lines.shuffled(using: &random).enumerated() {
                // A few appends, so that transactions hold different parts.
                let run = Int64(2 + index % 4)
                runs[run] = (runs[run] ?? 0) + (try await Self.load(pipeline, .posts, part, run: run))
            }
            try await Self.process(pipeline, runs: runs, batchBytes: 2000)
            #expect(try await Self.wrongBars(pipeline) == [], "seed \(random.seed)")
            states.append(try await Self.query(pipeline, Self.state))
        }
        #expect(states[0] == states[1], "seed \(random.seed)")
        #expect(states[0].count == 12)
    }

    struct Died: Error {}

    @Test(arguments: [ProcessingStep.began, .advanced, .barsWritten, .counted, .committed])
    func `nothing is lost or doubled by dying at a step`(step: ProcessingStep) async throws {
        var random = SeededRandom(seed: 3)
        let lines = Self.versions(&random)
        let pipeline = try await Self.pipeline("posts_crash")
        let instruments = try await Self.load(pipeline, .instruments, Self.instruments, run: 1)
        try await Self.process(pipeline, runs: [1: instruments])
        let count = try await Self.load(pipeline, .posts, lines.joined(separator: "\n"), run: 2)
        let deaths = Mutex(0)
        for _ in 0..<3 {
            do {
                try await Self.process(pipeline, runs: [2: count], batchBytes: 1500) { at in
                    if at == step
                        && deaths.withLock({
                            $0 += 1; return $0
                        }) % 2 == 1
                    {
                        throw Died()
                    }
                }
                break
            } catch is Died {
                continue
            }
        }
        #expect(deaths.withLock { $0 } > 0)
        try await Self.process(pipeline, runs: [2: count])
        #expect(try await Self.wrongBars(pipeline) == [])
        #expect(
            try await pipeline.count(
                "SELECT (accepted + already_there + rejected)::bigint FROM ops.ingest_runs WHERE run_id = 2")
                == count)
        #expect(try await pipeline.count("SELECT count(*) FROM market.posts") == 12)
    }
}
