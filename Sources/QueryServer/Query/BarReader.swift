// SPDX-License-Identifier: Apache-2.0
// Bars of any width, made of stored ones.

import EventLoop
import Market
import Postgres

/// One bar in memory.
struct PriceBar: Equatable {
    /// Its start.
    var ts: Timestamp
    /// Nil where there was no trade, and nothing is to stand for one.
    var open: Double?
    var high: Double?
    var low: Double?
    var close: Double?
    var volume = 0.0
    var notional = 0.0
    var tradeCount: Int64 = 0

    /// Volume-weighted average price; nil when the volume is 0.
    var vwap: Double? { volume == 0 ? nil : notional / volume }

    /// A bar of a period without trades.
    static func empty(_ ts: Timestamp, at price: Double?) -> PriceBar {
        PriceBar(ts: ts, open: price, high: price, low: price, close: price)
    }

    subscript(value: BarLayout.Value) -> Double? {
        switch value {
        case .open: open
        case .high: high
        case .low: low
        case .close: close
        case .volume: volume
        case .vwap: vwap
        }
    }
}

/// Merges stored bars, as they come in order of time (either way), into wider ones. Pure.
///
/// Open, high, low, close and the count are exactly those of the trades. Volume and notional are sums of 106 bits of the
/// stored ones, each of which is a correctly rounded sum: at most a unit of the last digit off.
struct BarMerger {
    let interval: BarInterval
    let isDescending: Bool
    /// Bars that are whole.
    private(set) var merged: [PriceBar] = []
    private var current: PriceBar?
    private var volume = ExactSum()
    private var notional = ExactSum()

    init(_ interval: BarInterval, isDescending: Bool) {
        self.interval = interval
        self.isDescending = isDescending
    }

    mutating func add(_ bar: PriceBar) {
        let start = interval.start(of: bar.ts)
        if current?.ts != start {
            close()
            current = bar
            current?.ts = start
            (volume, notional) = (
                ExactSum(value: bar.volume, compensation: 0), .init(value: bar.notional, compensation: 0)
            )
            return
        }
        if isDescending { current?.open = bar.open } else { current?.close = bar.close }
        if let high = bar.high, high > current?.high ?? -.infinity { current?.high = high }
        if let low = bar.low, low < current?.low ?? .infinity { current?.low = low }
        current?.tradeCount += bar.tradeCount
        volume += bar.volume
        notional += bar.notional
    }

    /// No more bars belong to the one under way.
    mutating func close() {
        guard var bar = current else { return }
        bar.volume = volume.value
        bar.notional = notional.value
        merged.append(bar)
        current = nil
    }
}

extension [PriceBar] {
    /// Puts bars into the gaps between these, which follow each other in order of time, either way.
    ///
    /// - Parameters:
    ///   - seed: the bar before the first of these, in their order, which is not given out again.
    ///   - after: the last bar given out, if there is one: what comes up to it is left out.
    ///   - limit: the most bars wanted.
    func filled(
        _ fill: BarLayout.Fill, _ interval: BarInterval, isDescending: Bool, seed: PriceBar?, after: Timestamp?,
        limit: Int
    ) -> [PriceBar] {
        if fill == .none { return self }
        let step: Int64 = isDescending ? -1 : 1
        var bars: [PriceBar] = []
        var previous = seed
        for bar in self {
            if let previous {
                var ts = interval.start(after: previous.ts, by: step)
                // Straight to what has not been given out.
                if let after, isDescending ? ts >= after : ts <= after { ts = interval.start(after: after, by: step) }
                while isDescending ? ts > bar.ts : ts < bar.ts {
                    if bars.count >= limit { return bars }
                    bars.append(Self.between(previous, bar, ts, fill, isDescending: isDescending))
                    ts = interval.start(after: ts, by: step)
                }
            }
            if bars.count >= limit { return bars }
            bars.append(bar)
            previous = bar
        }
        return bars
    }

    private static func between(
        _ a: PriceBar, _ b: PriceBar, _ ts: Timestamp, _ fill: BarLayout.Fill, isDescending: Bool
    ) -> PriceBar {
        let (earlier, later) = isDescending ? (b, a) : (a, b)
        switch fill {
        case .none, .null: return .empty(ts, at: nil)
        case .prev: return .empty(ts, at: earlier.close)
        case .linear:
            guard let first = earlier.close, let last = later.close else { return .empty(ts, at: nil) }
            let part =
                Double(ts.microseconds - earlier.ts.microseconds)
                / Double(later.ts.microseconds - earlier.ts.microseconds)
            return .empty(ts, at: first + (last - first) * part)
        }
    }
}

/// Reads bars of one symbol after the other from one connection.
struct BarReader {
    let connection: PostgresConnection
    let deadline: MonotonicTime

    private static func statement(_ order: String) -> Statement {
        Statement(
            name: "bars_to_merge_\(order)",
            sql: """
                select ts, open, high, low, close, volume, notional, trade_count from market.bars \
                where symbol = $1 and timeframe = $2 and ts >= $3 and ts < $4 order by ts \(order) limit $5
                """)
    }
    private static let ascending = statement("asc")
    private static let descending = statement("desc")

    /// The bars of `symbol` that start in `range`: the first `limit` of them in the order asked for.
    func bars(
        _ symbol: String, _ interval: BarInterval, _ range: TimeRange, limit: Int, isDescending: Bool
    ) async throws(PostgresError) -> [PriceBar] {
        let bounds = Self.bounds(interval, range)
        if bounds.from >= bounds.to || limit <= 0 { return [] }
        let (rows, overflows) = limit.multipliedReportingOverflow(by: interval.barsEach)
        let stream = try await connection.stream(
            isDescending ? Self.descending : Self.ascending,
            [
                .text(symbol, as: .text), .text(interval.base.name, as: .text), .timestamp(bounds.from),
                .timestamp(bounds.to), .int64(overflows ? .max : Int64(rows)),
            ], deadline: deadline)
        var merger = BarMerger(interval, isDescending: isDescending)
        while true {
            var next = stream.nextBuffered()
            if next == nil { next = try await stream.next() }
            guard let row = next else { break }
            merger.add(
                PriceBar(
                    ts: Timestamp(microseconds: try row.timestamp(0)), open: try row.double(1), high: try row.double(2),
                    low: try row.double(3), close: try row.double(4), volume: try row.double(5),
                    notional: try row.double(6), tradeCount: try row.int64(7)))
            if merger.merged.count == limit {
                await stream.cancel()
                return merger.merged
            }
        }
        merger.close()
        return merger.merged
    }

    /// Of the stored bars that make up the bars that start in `range`.
    static func bounds(_ interval: BarInterval, _ range: TimeRange) -> (from: Int64, to: Int64) {
        var (from, to) = (Int64.min, Int64.max)
        if let first = range.from {
            let start = interval.start(of: first)
            from = (start == first ? start : interval.start(after: start)).microseconds
        }
        if let end = range.to {
            let last = interval.start(of: Timestamp(microseconds: end.microseconds - 1))
            to = interval.start(after: last).microseconds
        }
        return (from, to)
    }

    /// The first of `candidates` that has bars or trades, for clients whose names lack the venue.
    func known(_ candidates: [String]) async throws(PostgresError) -> String? {
        let statement = Statement(
            name: "known_symbol",
            sql: """
                select symbol from market.latest where symbol = any($1) order by array_position($1, symbol) limit 1
                """)
        let found = try await connection.query(statement, [.textArray(candidates)], deadline: deadline)
        for row in found { return try row.string(0) }
        return nil
    }
}
