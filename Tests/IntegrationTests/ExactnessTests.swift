// SPDX-License-Identifier: Apache-2.0

import Glibc
import Ingest
import Market
import Records
import TestSupport
import Testing

/// Every trade arrives once, and every bar is what SQL makes of the trades from scratch.
@Suite(.serialized) struct ExactnessTests {
    @Test func `the sample tape arrives whole, its bars are exact, and playing it again adds nothing`() async throws {
        let pipeline = try await TestPipeline("exact_sample")
        let read = try await pipeline.ingest(samplePath(), run: 1)
        #expect(read == 15_948)
        try await pipeline.process()
        #expect(try await pipeline.count("SELECT count(*) FROM market.trades") == 15_948)
        #expect(try await pipeline.wrongBars() == [])
        #expect(try await pipeline.wrongLatest() == [])
        let bars = try await pipeline.query("SELECT * FROM ops.bar_state ORDER BY 1, 2, 3")

        _ = try await pipeline.ingest(samplePath(), run: 2)
        try await pipeline.process()
        #expect(try await pipeline.count("SELECT count(*) FROM market.trades") == 15_948)
        #expect(try await pipeline.query("SELECT * FROM ops.bar_state ORDER BY 1, 2, 3") == bars)
        let runs = try await pipeline.query(
            "SELECT run_id, accepted, already_there, rejected FROM ops.ingest_runs ORDER BY 1")
        #expect(runs == [["1", "15948", "0", "0"], ["2", "0", "15948", "0"]])
    }

    @Test func `trades that are alike in every field are separate trades`() async throws {
        let pipeline = try await TestPipeline("exact_alike")
        let path = pipeline.folder + "/alike.csv"
        try TestFile.write(
            """
            ts,symbol,price,size,id
            2024-01-02T03:04:05Z,A,10,1,
            2024-01-02T03:04:05Z,A,10,1,
            2024-01-02T03:04:05Z,A,11,2,7
            2024-01-02T03:04:05Z,A,12,3,7
            2024-01-02T03:04:05Z,A,12,3,7

            """, to: path)
        for run in 1...2 {
            _ = try await pipeline.ingest(path, run: Int64(run))
            try await pipeline.process()
            #expect(try await pipeline.count("SELECT count(*) FROM market.trades") == 5)
            #expect(try await pipeline.count("SELECT trade_count FROM market.bars WHERE timeframe = '1d'") == 5)
            #expect(try await pipeline.wrongBars() == [])
        }
    }

    @Test(arguments: [11, 12] as [UInt64])
    func `bars are exact however shuffled the trades come, over many days and small transactions`(
        seed: UInt64
    ) async throws {
        print("seed \(seed)")
        let pipeline = try await TestPipeline("exact_shuffled")
        let tape = try Tape(path: samplePath(), run: 1)
        var random = SeededRandom(seed: seed)
        var lines: [String] = []
        while let trade = try tape.next() {
            lines.append(
                "\(trade.ts!.microseconds),\(trade.symbol!),\(trade.price!),\(trade.size!),\(trade.tradeID!)")
        }
        lines.shuffle(using: &random)
        let path = pipeline.folder + "/shuffled.csv"
        try TestFile.write("ts,symbol,price,size,trade_id\n" + lines.joined(separator: "\n") + "\n", to: path)
        _ = try await pipeline.ingest(path, run: 1)
        try await pipeline.process(batchBytes: 100_000)
        #expect(try await pipeline.count("SELECT count(*) FROM market.trades") == 15_948)
        #expect(try await pipeline.wrongBars() == [])
        #expect(try await pipeline.wrongLatest() == [])
    }

    @Test func `sums do not depend on the order in which trades come`() async throws {
        var images: [[[String?]]] = []
        for (name, seed) in [("sum_a", 1), ("sum_b", 2)] as [(String, UInt64)] {
            let pipeline = try await TestPipeline(name)
            var random = SeededRandom(seed: 99)
            var lines = (0..<4000).map { index in
                // Sizes of very different magnitude, none of them a binary fraction.
                let size = Double.random(in: 0.1...1, using: &random) * pow(10, Double(index % 12) - 4)
                return "\(1_700_000_000_000_000 + index * 50_000),S,\(100 + Double(index % 7) / 10),\(size),\(index)"
            }
            random = SeededRandom(seed: seed)
            lines.shuffle(using: &random)
            let path = pipeline.folder + "/tape.csv"
            try TestFile.write("ts,symbol,price,size,id\n" + lines.joined(separator: "\n") + "\n", to: path)
            _ = try await pipeline.ingest(path, run: 1)
            try await pipeline.process(batchBytes: 20_000)
            images.append(try await pipeline.query("SELECT * FROM market.bars ORDER BY 1, 2, 3"))
        }
        #expect(images[0].count > 200)
        #expect(images[0] == images[1])
    }

    @Test func `what cannot be a trade is rejected with its reason and its line, and the rest goes on`() async throws {
        let pipeline = try await TestPipeline("rejects")
        let path = pipeline.folder + "/poison.csv"
        let cases: [(line: String, reason: String?)] = [
            ("2024-01-02T00:00:00Z,A,10,1,1", nil), ("2024-01-02T00:00:00Z,A,0,1,2", "price_not_positive"),
            ("2024-01-02T00:00:00Z,A,-1,1,3", "price_not_positive"),
            ("2024-01-02T00:00:00Z,A,nan,1,4", "price_not_finite"),
            ("2024-01-02T00:00:00Z,A,ten,1,5", "price_unreadable"), ("2024-01-02T00:00:00Z,A,,1,6", "price_missing"),
            ("2024-01-02T00:00:00Z,A,10,-1,7", "size_negative"), ("2024-01-02T00:00:00Z,A,10,inf,8", "size_not_finite"),
            ("2024-01-02T00:00:00Z,A,10,,9", "size_missing"), ("2024-01-02T00:00:00Z,A,10,x,10", "size_unreadable"),
            ("2024-01-02T00:00:00Z,,10,1,11", "symbol_missing"),
            ("2024-01-02T00:00:00Z,\u{1}B,10,1,12", "symbol_syntax"),
            (",A,10,1,13", "ts_missing"), ("yesterday,A,10,1,14", "ts_unreadable"),
            ("1969-12-31T23:59:59Z,A,10,1,15", "ts_before_1970"), ("2999-01-01T00:00:00Z,A,10,1,16", "ts_in_future"),
            ("2024-01-02T00:00:00Z,A,10", "malformed_line"), ("2024-01-02T00:00:00Z,A,10,0,18", nil),
        ]
        try TestFile.write(
            "ts,symbol,price,size,id\n" + cases.map(\.line).joined(separator: "\n") + "\n", to: path)
        #expect(try await pipeline.ingest(path, run: 1) == Int64(cases.count))
        try await pipeline.process()
        let expected = Dictionary(grouping: cases.compactMap(\.reason)) { $0 }.map { [$0.key, "\($0.value.count)"] }
        let kept = try await pipeline.query(
            "SELECT reason, count FROM ops.ingest_run_rejects WHERE run_id = 1 ORDER BY 1")
        #expect(kept == expected.sorted { $0[0] < $1[0] })
        #expect(try await pipeline.count("SELECT count(*) FROM market.trades") == 2)
        let originals = try await pipeline.query(
            "SELECT convert_from(original, 'UTF8') FROM ops.rejected_records WHERE reason = 'price_unreadable'")
        #expect(originals == [["2024-01-02T00:00:00Z,A,ten,1,5"]])
        #expect(try await pipeline.count("SELECT count(*) FROM ops.rejected_records") == cases.count - 2)
    }

    @Test func `everything that readers see has a comment`() async throws {
        let pipeline = try await TestPipeline("comments")
        let bare = try await pipeline.query(
            """
            SELECT c.relname, a.attname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
            LEFT JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
            WHERE n.nspname IN ('market', 'ops') AND c.relkind IN ('r', 'p', 'v', 'm') AND NOT c.relispartition
                AND (obj_description(c.oid, 'pg_class') IS NULL OR col_description(c.oid, a.attnum) IS NULL)
            UNION ALL
            SELECT 'function', p.proname FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace
            WHERE n.nspname IN ('ops', 'tapedeck_sql', 'trino', 'trino_dialect') AND obj_description(p.oid, 'pg_proc') IS NULL
            """)
        #expect(bare == [])
    }
}

/// A file that a test writes.
enum TestFile {
    static func write(_ text: String, to path: String) throws {
        let file = try #require(fopen(path, "we"))
        defer { fclose(file) }
        #expect(fputs(text, file) >= 0)
    }
}
