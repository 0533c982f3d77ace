// SPDX-License-Identifier: Apache-2.0

import EventLog
import Ingest
import Market
import Postgres
@testable import Processor
import Records
import Synchronization
import Testing

/// A processor that dies between any two steps leaves nothing lost and nothing counted twice.
@Suite(.serialized) struct CrashTests {
    struct Died: Error {}

    @Test(arguments: ProcessingStep.allCases)
    func `nothing is lost or doubled by dying at a step`(step: ProcessingStep) async throws {
        let pipeline = try await TestPipeline("crash")
        _ = try await pipeline.ingest(samplePath(), run: 1)
        _ = try await pipeline.ingest(try rejects(in: pipeline.folder), run: 2)
        let deaths = Mutex(0)
        // Die at the first pass of the step, then at the second, and again; then go on to the end.
        for round in 0..<4 {
            let passes = Mutex(0)
            do {
                try await pipeline.process(batchBytes: 100_000) { at in
                    guard at == step else { return }
                    let pass = passes.withLock {
                        $0 += 1; return $0
                    }
                    if pass == (round == 0 ? 1 : 2) {
                        deaths.withLock { $0 += 1 }
                        throw Died()
                    }
                }
                break
            } catch is Died {
                continue
            }
        }
        #expect(deaths.withLock { $0 } > 0, "the step was never reached: the test shows nothing")
        try await pipeline.process()
        #expect(try await pipeline.count("SELECT count(*) FROM market.trades") == 15_948)
        #expect(try await pipeline.count("SELECT count(*) FROM ops.rejected_records") == 3)
        #expect(try await pipeline.wrongBars() == [])
        #expect(try await pipeline.wrongLatest() == [])
        let runs = try await pipeline.query(
            "SELECT run_id, accepted, already_there, rejected FROM ops.ingest_runs ORDER BY 1")
        #expect(runs == [["1", "15948", "0", "0"], ["2", "0", "0", "3"]])
    }

    @Test func `a sink that lost its partitions cannot commit`() async throws {
        let pipeline = try await TestPipeline("fence")
        let loop = pipeline.server.loop
        let url = pipeline.url
        let outcome = try await Task(executorPreference: loop) {
            let connections = [
                try await PostgresConnection.connect(ConnectionSettings(url), on: loop),
                try await PostgresConnection.connect(ConnectionSettings(url), on: loop),
            ]
            defer { for connection in connections { connection.close() } }
            let old = TradeSink(
                connection: connections[0], topics: TestPipeline.topics, logID: "log", owner: "old", now: { .epoch })
            let new = TradeSink(
                connection: connections[1], topics: TestPipeline.topics, logID: "log", owner: "new", now: { .epoch })
            let partition = TopicPartition(TradeTopics.valid, 0)
            #expect(try await old.claim([partition]) == [partition: 0])
            #expect(try await old.commit([Self.trade(1, at: 0, partition)]).accepted == 1)
            #expect(try await new.claim([partition]) == [partition: 1])
            #expect(try await new.commit([Self.trade(2, at: 1, partition)]).accepted == 1)
            do {
                _ = try await old.commit([Self.trade(3, at: 1, partition)])
                return "committed"
            } catch is FencedOffsets.Fenced {
                return "fenced"
            }
        }.value
        #expect(outcome == "fenced")
        #expect(try await pipeline.query("SELECT trade_id FROM market.trades ORDER BY 1") == [["1"], ["2"]])
        #expect(try await pipeline.wrongBars() == [])
    }

    @Test func `a sink goes on after a transaction that failed, with changed bars in both`() async throws {
        let pipeline = try await TestPipeline("again")
        let loop = pipeline.server.loop
        let url = pipeline.url
        let accepted = try await Task(executorPreference: loop) {
            let connection = try await PostgresConnection.connect(ConnectionSettings(url), on: loop)
            defer { connection.close() }
            var fails = false
            let sink = TradeSink(
                connection: connection, topics: TestPipeline.topics, logID: "log", owner: "test", now: { .epoch }
            ) { step in
                if fails && step == .counted {
                    fails = false
                    throw Died()
                }
            }
            let partition = TopicPartition(TradeTopics.valid, 0)
            _ = try await sink.claim([partition])
            var accepted = try await sink.commit([Self.trade(1, at: 0, partition)]).accepted
            fails = true
            // The second trade falls into the bars of the first, and its transaction is rolled back.
            do {
                accepted += try await sink.commit([Self.trade(2, at: 1, partition)]).accepted
            } catch is Died {
                accepted += try await sink.commit([Self.trade(2, at: 1, partition)]).accepted * 10
            }
            return accepted
        }.value
        #expect(accepted == 11)
        #expect(try await pipeline.wrongBars() == [])
        #expect(try await pipeline.wrongLatest() == [])
    }

    /// A batch of one trade.
    static func trade(
        _ id: Int64, at offset: Int64, _ partition: TopicPartition,
        ts: Timestamp = Timestamp(microseconds: 1_700_000_000_000_000)
    ) -> FetchedBatch {
        var batch = RecordBatch()
        let symbol = Array("S".utf8)
        // Avro's empty array.
        let empty: [UInt8] = [0]
        empty.withUnsafeBytes { noConditions in
            symbol.withUnsafeBytes { name in
                let trade = TradeView(
                    run: 1, source: name, symbol: name, ts: Timestamp(microseconds: ts.microseconds + id),
                    tradeID: id, price: 10, size: 1, conditions: noConditions, ingestedAt: .epoch)
                batch.append(key: name) { trade.encode(into: &$0) }
            }
        }
        return FetchedBatch(partition: partition, baseOffset: offset, records: batch)
    }

    private func rejects(in folder: String) throws -> String {
        let path = folder + "/rejects.csv"
        try TestFile.write("ts,symbol,price,size\n1,A,0,1\n2,A,1,-1\n3,A,x,1\n", to: path)
        return path
    }
}
