// SPDX-License-Identifier: Apache-2.0

/// How many records of each ingest run a transaction accepts, finds already there, and refuses, by reason.
struct RunCounts {
    struct Run {
        var source: String?
        var accepted = 0
        var alreadyThere = 0
        var bars = 0
        var rejected: [String: Int] = [:]
    }

    private(set) var runs: [Int64: Run] = [:]
    private var bars = 0

    /// All runs together.
    var outcome: SinkOutcome {
        var outcome = SinkOutcome(barsTouched: bars)
        for run in runs.values {
            outcome.accepted += run.accepted
            outcome.alreadyThere += run.alreadyThere
            outcome.rejected += run.rejected.values.reduce(0, +)
            outcome.rejects.merge(run.rejected, uniquingKeysWith: +)
        }
        return outcome
    }

    /// Counts a record that was stored, or was there.
    mutating func count(_ run: Int64, _ source: String, isNew: Bool) {
        runs[run, default: Run()].source = source
        if isNew { runs[run]?.accepted += 1 } else { runs[run]?.alreadyThere += 1 }
    }

    mutating func count(accepted trades: [TradeBatch.Trade], _ names: Names) {
        for (run, count) in Self.byRun(trades) { runs[run, default: Run()].accepted += count }
        for trade in trades where runs[trade.run]?.source == nil {
            runs[trade.run]?.source = names.sources.string(of: trade.source)
        }
    }

    mutating func count(repeats all: [TradeBatch.Trade], minus fresh: [TradeBatch.Trade]) {
        for (run, count) in Self.byRun(all) { runs[run, default: Run()].alreadyThere += count }
        for (run, count) in Self.byRun(fresh) { runs[run, default: Run()].alreadyThere -= count }
    }

    mutating func count(rejected run: Int64, _ reason: String) {
        runs[run, default: Run()].rejected[reason, default: 0] += 1
    }

    /// Bars touched count for the one run that a batch mostly holds; a batch of several runs counts them for each.
    mutating func count(bars: Int, of trades: [TradeBatch.Trade]) {
        self.bars += bars
        for run in Self.byRun(trades).keys { runs[run, default: Run()].bars += bars }
    }

    private static func byRun(_ trades: [TradeBatch.Trade]) -> [Int64: Int] {
        var counts: [Int64: Int] = [:]
        var current: (run: Int64, count: Int)?
        for trade in trades {
            if current?.run == trade.run {
                current!.count += 1
            } else {
                if let current { counts[current.run, default: 0] += current.count }
                current = (trade.run, 1)
            }
        }
        if let current { counts[current.run, default: 0] += current.count }
        return counts
    }
}

/// What a transaction of a sink did.
struct SinkOutcome: Sendable {
    var accepted = 0
    var alreadyThere = 0
    var rejected = 0
    var barsTouched = 0
    /// Of those, the ones that are new.
    var barsMade = 0
    /// The rejected ones by reason.
    var rejects: [String: Int] = [:]

    init(barsTouched: Int = 0) { self.barsTouched = barsTouched }
}
