// SPDX-License-Identifier: Apache-2.0

import TestSupport
import Testing

/// The queries that readers send most use the keys: no scan of a whole table or partition where a key leads to the rows.
@Suite(.serialized) struct PlanTests {
    /// What is asked, in SQL, and the index that must lead to it.
    private static let queries: [(String, String)] = [
        // A page of trades of one symbol, one day, oldest and newest first.
        (
            "SELECT * FROM market.trades WHERE symbol = 'S7' AND ts >= '2024-01-02Z' AND ts < '2024-01-03Z' ORDER BY ts LIMIT 100",
            "trades_20240102_pkey"
        ),
        (
            "SELECT * FROM market.trades WHERE symbol = 'S7' ORDER BY ts DESC, source DESC, trade_id DESC LIMIT 100",
            "trades_20240103_pkey"
        ),
        // All symbols, the last minute.
        ("SELECT count(*) FROM market.trades WHERE ts >= '2024-01-03 23:59Z'", "trades_20240103_ts_idx"),
        (
            "SELECT * FROM market.bars WHERE symbol = 'S7' AND timeframe = '1m' ORDER BY ts DESC LIMIT 100",
            "bar_state_pkey"
        ),
        (
            "SELECT * FROM market.bars WHERE symbol = 'S7' AND timeframe = '1s' AND ts >= '2024-01-02Z' AND ts < '2024-01-03Z'",
            "bar_state_pkey"
        ),
        ("SELECT * FROM market.trade_stats_15s WHERE symbol = 'S7' ORDER BY ts DESC LIMIT 100", "bar_state_pkey"),
        (
            "SELECT * FROM market.indicators WHERE symbol = 'S7' AND timeframe = '1m' ORDER BY ts DESC LIMIT 100",
            "bar_state_pkey"
        ),
        ("SELECT * FROM market.latest WHERE symbol = 'S7'", "latest_pkey"),
        ("SELECT * FROM market.symbols WHERE symbol = 'S7'", "latest_pkey"),
        ("SELECT * FROM ops.alerts WHERE ts >= '2024-01-02Z' ORDER BY ts DESC, symbol DESC LIMIT 100", "alerts_ts"),
        ("SELECT * FROM ops.alerts WHERE symbol = 'S7' ORDER BY symbol, timeframe, ts LIMIT 100", "alerts_pkey"),
        (
            "SELECT * FROM ops.rejected_records ORDER BY rejected_at DESC LIMIT 100", "rejected_records_rejected_at"
        ),
    ]

    private static let data = """
        SELECT ops.ensure_trade_partitions('{2024-01-01,2024-01-02,2024-01-03}');
        INSERT INTO market.trades (symbol, ts, source, trade_id, price, size)
        SELECT 'S' || n % 50, timestamptz '2024-01-01Z' + n * interval '864 ms' , 's', n, 10, 1 FROM generate_series(0, 299999) n;
        INSERT INTO ops.bar_state SELECT 'S' || s, f, timestamptz '2024-01-01Z' + n * interval '1 minute', 1, 1, 1, 1, 1, 0, 1, 0,
            1, '2024-01-01Z', 1, 's', '2024-01-01Z', 1, 's'
        FROM generate_series(0, 49) s, unnest('{1s,15s,1m}'::text[]) f, generate_series(0, 1499) n;
        INSERT INTO market.latest SELECT 'S' || s, now(), 's', 1, 1, 1 FROM generate_series(0, 4999) s;
        INSERT INTO ops.alerts SELECT 'S' || n % 500, '1m', timestamptz '2024-01-01Z' + n * interval '1 minute', 'drop', -6, -5
        FROM generate_series(0, 9999) n;
        INSERT INTO ops.rejected_records (log_id, topic, partition, "offset", reason, message, original, rejected_at)
        SELECT 'l', 't', 0, n, 'r', 'm', '', timestamptz '2024-01-01Z' + n * interval '1 s' FROM generate_series(0, 9999) n;
        VACUUM ANALYZE market.trades, ops.bar_state, market.latest, ops.alerts, ops.rejected_records
        """

    @Test func `every query of the API reaches its rows by a key`() async throws {
        let pipeline = try await TestPipeline("plans")
        for statement in Self.data.split(separator: ";") { _ = try await pipeline.query(String(statement)) }
        for (query, index) in Self.queries {
            let plan = try await pipeline.query("EXPLAIN (COSTS OFF) \(query)").compactMap { $0[0] }
            let text = plan.joined(separator: "\n")
            #expect(text.contains(index), "\(query)\n\(text)")
            // A partition that the range does not touch, or that is empty, is no matter.
            #expect(!text.contains("Seq Scan on trades_2024"), "\(query)\n\(text)")
            #expect(!text.contains("Seq Scan on bar_state"), "\(query)\n\(text)")
            #expect(!text.contains("Seq Scan on alerts"), "\(query)\n\(text)")
            #expect(!text.contains("Seq Scan on latest"), "\(query)\n\(text)")
        }
    }

    /// A bar that is updated in place leaves neither index entries nor other pages behind: its room is on its own page.
    @Test func `bars that change again and again do not make their table grow`() async throws {
        let pipeline = try await TestPipeline("plans_hot")
        // Thirty appends of ten seconds each, and a transaction for each of them.
        for part in 0..<30 {
            var lines: [String] = []
            for second in part * 10..<part * 10 + 10 {
                for symbol in 0..<10 {
                    lines.append("\(1_700_000_000 + second),S\(symbol),\(100 + second % 7),1,\(second)")
                }
            }
            let path = pipeline.folder + "/\(part).csv"
            try TestFile.write("ts,symbol,price,size,id\n" + lines.joined(separator: "\n") + "\n", to: path)
            _ = try await pipeline.ingest(path, run: Int64(part))
        }
        try await pipeline.process(batchBytes: 1)
        // Sessions hand in their counts with a delay.
        var counts = [0, 0]
        let isCounted = try await eventually {
            let statistics = try await pipeline.query(
                "SELECT n_tup_upd, n_tup_hot_upd FROM pg_stat_user_tables WHERE relname = 'bar_state'")
            counts = statistics[0].map { Int($0 ?? "") ?? 0 }
            return counts[0] >= 1000
        }
        #expect(isCounted, "bars hardly changed (\(counts)): the test shows nothing")
        #expect(Double(counts[1]) >= 0.9 * Double(counts[0]), "\(counts)")
    }
}
