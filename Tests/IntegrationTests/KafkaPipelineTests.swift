// SPDX-License-Identifier: Apache-2.0

import Ingest
import Kafka
import TestSupport
import Testing

/// The pipeline on Kafka, where no transaction holds records and offsets together.
@Suite struct KafkaPipelineTests {
    @Test func `what is forwarded twice counts once`() async throws {
        let cluster = try MockCluster()
        defer { cluster.stop() }
        let log = try await KafkaEventLog.open(
            .init(KafkaLocation("kafka://\(cluster.bootstraps)?session.timeout.ms=4000&fetch.wait.max.ms=10")),
            logger: TestPipeline.logger)
        let pipeline = try await TestPipeline("twice", log: log)
        let path = pipeline.folder + "/tape.csv"
        let lines = (0..<500).map { "\(1_700_000_000_000_000 + $0),S\($0 % 7),\(10 + $0 % 3),\($0 % 5),\($0)" }
        try TestFile.write(
            (["ts,symbol,price,size,id"] + lines + ["1,A,0,1,1", "2,A,1,-1,2", "x"]).joined(separator: "\n"), to: path)
        _ = try await pipeline.ingest(path, run: 1)
        // The validator's records are acknowledged, and the commit of its offsets (OffsetCommit, 8) is refused: as if it
        // had died in between.
        try cluster.command("errors 8 28")
        try await pipeline.process()
        let forwarded = try await log.endOffsets(of: TradeTopics.valid).reduce(0, +)
        #expect(try await pipeline.count("SELECT count(*) FROM market.trades") == 500)
        let refused = try await log.endOffsets(of: TradeTopics.rejected).reduce(0, +)
        // Whichever of both the refused commit was about.
        #expect(forwarded + refused > 503, "the test shows nothing")
        #expect(try await pipeline.count("SELECT count(*) FROM ops.rejected_records") == 3)
        let runs = try await pipeline.query("SELECT run_id, accepted, rejected FROM ops.ingest_runs")
        #expect(runs == [["1", "500", "3"]])
        #expect(try await pipeline.wrongBars() == [])
        #expect(try await pipeline.wrongLatest() == [])
        await log.close()
    }
}
