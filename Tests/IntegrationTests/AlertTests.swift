// SPDX-License-Identifier: Apache-2.0

import Testing

/// Alerts are written once, with their bars, and taken back when a late trade makes them untrue.
@Suite(.serialized) struct AlertTests {
    private static let minute = "2024-01-02T03:04"

    private func load(_ pipeline: TestPipeline, _ lines: [String], run: Int64) async throws {
        let path = "\(pipeline.folder)/\(run).csv"
        try TestFile.write("ts,symbol,price,size,id\n" + lines.joined(separator: "\n") + "\n", to: path)
        _ = try await pipeline.ingest(path, run: run)
        try await pipeline.process()
    }

    private func alerts(_ pipeline: TestPipeline) async throws -> [[String?]] {
        try await pipeline.query(
            """
            SELECT symbol, to_char(ts, 'HH24:MI'), kind, round(value::numeric, 6), retracted_at IS NOT NULL
            FROM ops.alerts ORDER BY 1, 2, 3
            """)
    }

    @Test func `an alert is written once, follows its bar, and is retracted when a late trade makes it untrue`()
        async throws
    {
        let pipeline = try await TestPipeline("alerts_late")
        try await load(
            pipeline,
            ["2024-01-02T03:04:05Z,A,100,1,1", "2024-01-02T03:04:06Z,A,94,1,2", "2024-01-02T03:04:06Z,B,1,1,1"],
            run: 1)
        let drop: [String?] = ["A", "03:04", "drop", "-6.000000", "f"]
        #expect(try await alerts(pipeline) == [drop, ["A", "03:04", "range", "6.382979", "f"]])
        // The bar goes on.
        try await load(pipeline, ["2024-01-02T03:04:07Z,A,90,1,3"], run: 2)
        #expect(
            try await alerts(pipeline) == [
                ["A", "03:04", "drop", "-10.000000", "f"], ["A", "03:04", "range", "11.111111", "f"],
            ])
        // A late trade opens the bar at a lower price: it did not drop.
        try await load(pipeline, ["2024-01-02T03:04:01Z,A,91,1,0"], run: 3)
        #expect(
            try await alerts(pipeline) == [
                ["A", "03:04", "drop", "-10.000000", "t"], ["A", "03:04", "range", "11.111111", "f"],
            ])
        // An even earlier one: it did.
        try await load(pipeline, ["2024-01-02T03:04:00Z,A,100,1,9"], run: 4)
        #expect(try await alerts(pipeline)[0] == ["A", "03:04", "drop", "-10.000000", "f"])
        #expect(try await pipeline.wrongBars() == [])
    }

    @Test func `within the cool-down another of its symbol and kind is left out`() async throws {
        let pipeline = try await TestPipeline("alerts_cool")
        var lines: [String] = []
        for (index, minute) in ["04", "06", "09", "10", "14"].enumerated() {
            lines.append("2024-01-02T03:\(minute):01Z,A,100,1,\(2 * index)")
            lines.append("2024-01-02T03:\(minute):02Z,A,102,1000000,\(2 * index + 1)")
        }
        try await load(pipeline, lines, run: 1)
        #expect(try await alerts(pipeline).map { $0[1] } == ["03:04", "03:09", "03:14"])
    }

    @Test func `the alerts are the same however the trades are shuffled and cut into transactions`() async throws {
        let pipeline = try await TestPipeline("alerts_sample")
        _ = try await pipeline.ingest(samplePath(), run: 1)
        try await pipeline.process(batchBytes: 20_000)
        let wrong = try await pipeline.query(
            """
            WITH want AS (
                SELECT symbol, ts, kind, value FROM market.bars,
                    LATERAL (VALUES ('drop', (close - open) / open * 100, (close - open) / open * 100 <= -5),
                        ('spike', (close - open) / open * 100, (close - open) / open * 100 >= 5),
                        ('volume', volume, volume >= 1e6), ('range', (high - low) / low * 100, (high - low) / low * 100 >= 3))
                        AS k (kind, value, holds)
                WHERE timeframe = '1m' AND holds)
            SELECT * FROM ops.alerts a FULL JOIN want w USING (symbol, ts, kind)
            -- An alert that holds has its bar's value; a bar without one has another within its cool-down.
            WHERE (w.symbol IS NULL AND a.retracted_at IS NULL)
                OR (a.retracted_at IS NULL AND abs(a.value - w.value) > 1e-9 * abs(w.value))
                OR (a.symbol IS NULL AND NOT EXISTS (
                    SELECT FROM ops.alerts o WHERE o.symbol = w.symbol AND o.kind = w.kind
                        AND abs(extract(epoch FROM o.ts - w.ts)) < 300))
            """)
        #expect(wrong == [])
        #expect(try await pipeline.count("SELECT count(*) FROM ops.alerts WHERE retracted_at IS NULL") > 3)
    }
}
