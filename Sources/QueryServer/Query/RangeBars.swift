// SPDX-License-Identifier: Apache-2.0
// Bars of exactly the trades of a range, which may begin and end anywhere within a bar.

import EventLoop
import Market
import Postgres

/// A range cut at the steps of an interval. Pure.
struct RangeCut: Equatable {
    /// The part of a step that the range begins with, or that it is; nil where it begins with a step.
    var head: Range<Int64>?
    /// The steps that are within the range as a whole; nil where there is none.
    var whole: TimeRange?
    /// The part of a step that the range ends with; nil where it ends with a step.
    var tail: Range<Int64>?

    init(_ range: TimeRange, _ interval: BarInterval) {
        if let from = range.from, let to = range.to, from >= to { return }
        var first = range.from.map { interval.start(of: $0) }
        if let from = range.from, let start = first, start < from { first = interval.start(after: start) }
        let last = range.to.map { interval.start(of: $0) }
        if let from = range.from, let to = range.to, let first, let last, first > last {
            head = from.microseconds..<to.microseconds
            return
        }
        if let from = range.from, let first, from < first { head = from.microseconds..<first.microseconds }
        if let to = range.to, let last, last < to { tail = last.microseconds..<to.microseconds }
        if first != last || first == nil { whole = TimeRange(from: first, to: last) }
    }
}

/// Stored bars of one timeframe, or trades, that lie within a part of a step.
struct RangePiece: Equatable {
    /// Nil for trades.
    var timeframe: Timeframe?
    var range: Range<Int64>

    /// What a range consists of, in order of time: the widest bars within it, narrower ones around them, and trades for
    /// less than a second at its ends. So few rows tell what the trades of a month would.
    static func cover(_ range: Range<Int64>, widest: Timeframe?) -> [RangePiece] {
        if range.isEmpty { return [] }
        for timeframe in Timeframe.allCases.reversed() {
            guard let widest, timeframe <= widest else { continue }
            let width = timeframe.microseconds
            let first = -floorDivide(-range.lowerBound, width) * width
            let last = floorDivide(range.upperBound, width) * width
            guard first < last else { continue }
            let narrower = timeframe.narrower
            return cover(range.lowerBound..<first, widest: narrower)
                + [RangePiece(timeframe: timeframe, range: first..<last)]
                + cover(last..<range.upperBound, widest: narrower)
        }
        return [RangePiece(timeframe: nil, range: range)]
    }

    /// The ends of a range; where it is open, the years 1 and 10000, that no trade is beyond.
    static func bounds(_ range: TimeRange) -> Range<Int64> {
        let first = -719_162 * Timestamp.microsecondsPerDay
        let last = 2_932_897 * Timestamp.microsecondsPerDay
        let from = min(max(first, range.from?.microseconds ?? first), last)
        return from..<min(max(from, range.to?.microseconds ?? last), last)
    }
}

/// Pieces as the parameters of a statement: bars as three arrays, trades as two.
struct PieceParameters {
    var timeframes, firsts, lasts, edgeFirsts, edgeLasts: Parameter

    init(_ pieces: [RangePiece]) {
        let bars = pieces.filter { $0.timeframe != nil }
        let edges = pieces.filter { $0.timeframe == nil }
        timeframes = .textArray(bars.map { $0.timeframe?.name ?? "" })
        firsts = .timestampArray(bars.map(\.range.lowerBound))
        lasts = .timestampArray(bars.map(\.range.upperBound))
        edgeFirsts = .timestampArray(edges.map(\.range.lowerBound))
        edgeLasts = .timestampArray(edges.map(\.range.upperBound))
    }
}

extension Timeframe {
    fileprivate var narrower: Timeframe? { rawValue == 0 ? nil : Timeframe(rawValue: rawValue - 1) }
}

/// What the store keeps no more.
struct Retention: Equatable {
    /// Trades before this moment have been dropped; nil where all are kept.
    var trades: Timestamp?
    /// Likewise of bars of less than a minute.
    var fineBars: Timestamp?

    private static let statement = Statement(
        name: "retention", sql: "select dataset, dropped_before from ops.retention")

    static func read(_ connection: PostgresConnection, deadline: MonotonicTime) async throws(PostgresError) -> Self {
        var retention = Retention()
        for row in try await connection.query(statement, [], deadline: deadline) {
            let before = Timestamp(microseconds: try row.timestamp(1))
            switch try row.string(0) {
            case "trades": retention.trades = before
            case "fine_bars": retention.fineBars = before
            default: break
            }
        }
        return retention
    }

    /// The range with its ends moved out to where what is kept can be cut: a bar that cannot is shown as a whole, so that
    /// nothing of the range is missing.
    func cuttable(_ range: TimeRange) -> TimeRange {
        var cuttable = range
        if let from = range.from { cuttable.from = grain(at: from)?.start(of: from) ?? from }
        if let to = range.to, let grain = grain(at: to) {
            let start = grain.start(of: to)
            cuttable.to = start == to ? to : Timestamp(microseconds: start.microseconds + grain.microseconds)
        }
        return cuttable
    }

    /// The narrowest bars at a moment whose trades are kept no more.
    func grain(at time: Timestamp) -> Timeframe? {
        if let fineBars, time < fineBars { return .minute1 }
        if let trades, time < trades { return .second1 }
        return nil
    }
}

extension BarReader {
    private static let pieces = Statement(
        name: "bars_of_pieces",
        sql: """
            select b.ts, b.open, b.high, b.low, b.close, b.volume, b.notional, b.trade_count \
            from unnest($2, $3, $4) as piece (timeframe, first, last) cross join lateral \
            (select * from market.bars where symbol = $1 and timeframe = piece.timeframe \
            and ts >= piece.first and ts < piece.last offset 0) as b order by b.ts
            """)
    private static let trades = Statement(
        name: "trades_of_piece",
        sql: """
            select ts, price, size from market.trades where symbol = $1 and ts >= $2 and ts < $3 \
            order by ts, trade_id, source
            """)

    /// The bars of the trades of `range`, the first `limit` of them in the order asked for. Those at its ends are of that part
    /// of their step that lies within it, as far as the store can tell; their `ts` is the start of the step nevertheless.
    func bars(
        _ symbol: String, _ interval: BarInterval, within range: TimeRange, _ retention: Retention, limit: Int,
        isDescending: Bool
    ) async throws(PostgresError) -> [PriceBar] {
        let cut = RangeCut(retention.cuttable(range), interval)
        var bars: [PriceBar] = []
        let ends = isDescending ? (cut.tail, cut.head) : (cut.head, cut.tail)
        if let part = ends.0, limit > 0 { bars += try await bar(symbol, interval, of: part) }
        if let whole = cut.whole {
            bars += try await self.bars(
                symbol, interval, whole, limit: limit - bars.count, isDescending: isDescending)
        }
        if let part = ends.1, bars.count < limit { bars += try await bar(symbol, interval, of: part) }
        return bars
    }

    /// The bar of a part of a step; empty where there is no trade in it.
    private func bar(
        _ symbol: String, _ interval: BarInterval, of part: Range<Int64>
    ) async throws(PostgresError) -> [PriceBar] {
        let pieces = RangePiece.cover(part, widest: interval.base)
        var merger = BarMerger(interval, isDescending: false)
        var stored: ArraySlice<PriceBar> = []
        let ofBars = pieces.filter { $0.timeframe != nil }
        if !ofBars.isEmpty {
            let rows = try await connection.query(
                Self.pieces,
                [
                    .text(symbol, as: .text), .textArray(ofBars.map { $0.timeframe?.name ?? "" }),
                    .timestampArray(ofBars.map(\.range.lowerBound)), .timestampArray(ofBars.map(\.range.upperBound)),
                ], deadline: deadline)
            for row in rows {
                stored.append(
                    PriceBar(
                        ts: Timestamp(microseconds: try row.timestamp(0)), open: try row.double(1),
                        high: try row.double(2), low: try row.double(3), close: try row.double(4),
                        volume: try row.double(5), notional: try row.double(6), tradeCount: try row.int64(7)))
            }
        }
        for piece in pieces {
            while piece.timeframe != nil, let bar = stored.first, bar.ts.microseconds < piece.range.upperBound {
                merger.add(bar)
                stored.removeFirst()
            }
            if piece.timeframe != nil { continue }
            let rows = try await connection.query(
                Self.trades,
                [
                    .text(symbol, as: .text), .timestamp(piece.range.lowerBound), .timestamp(piece.range.upperBound),
                ], deadline: deadline)
            for row in rows {
                let (price, size) = (try row.double(1), try row.double(2))
                var trade = PriceBar.empty(Timestamp(microseconds: try row.timestamp(0)), at: price)
                (trade.volume, trade.notional, trade.tradeCount) = (size, price * size, 1)
                merger.add(trade)
            }
        }
        merger.close()
        return merger.merged
    }
}
