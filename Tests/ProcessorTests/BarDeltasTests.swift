// SPDX-License-Identifier: Apache-2.0

import Market
import TestSupport
import Testing

@testable import Processor

private let sourceKeys = ["file", "finnhub", "simulate"].map { SourceKey($0.utf8) }

/// Trades of `symbols` symbols within `seconds` seconds, distinct in their order, some of one moment and id.
private func trades(_ count: Int, symbols: UInt32, seconds: Int64, _ random: inout SeededRandom) -> [TradeBatch.Trade] {
    var seen: Set<TradeBatch.Identity> = []
    var trades: [TradeBatch.Trade] = []
    // Around midnight and around 1970, so that all timeframes have borders inside.
    let from = [Int64(1_700_006_400), 0][Int.random(in: 0..<2, using: &random)] - seconds / 2
    while trades.count < count {
        let trade = TradeBatch.Trade(
            ts: Timestamp(microseconds: from * 1_000_000 + Int64.random(in: 0..<seconds * 4, using: &random) * 250_000),
            tradeID: Int64.random(in: -2..<6, using: &random),
            price: Double(Int.random(in: 1...50_000, using: &random)) / 100,
            size: Double(Int.random(in: 0...1_000_000, using: &random)) / 1000, ingestedAt: .epoch, run: 1,
            symbol: UInt32.random(in: 0..<symbols, using: &random), source: UInt32.random(in: 0..<3, using: &random),
            conditions: 0)
        if seen.insert(trade.identity).inserted { trades.append(trade) }
    }
    return trades
}

/// A bar from its trades alone: nothing of BarDeltas or BarAggregate is used.
private struct NaiveBar: Equatable {
    var open: Double
    var high: Double
    var low: Double
    var close: Double
    var volume: Double
    var notional: Double
    var tradeCount: Int64
    var first: TradeOrder
    var last: TradeOrder

    init(_ trades: [TradeBatch.Trade]) {
        let sorted = trades.sorted {
            ($0.ts.microseconds, $0.tradeID, sourceKeys[Int($0.source)].bigEndian)
                < ($1.ts.microseconds, $1.tradeID, sourceKeys[Int($1.source)].bigEndian)
        }
        func order(_ trade: TradeBatch.Trade) -> TradeOrder {
            TradeOrder(ts: trade.ts, tradeID: trade.tradeID, source: sourceKeys[Int(trade.source)])
        }
        let prices = trades.map(\.price).sorted()
        // Multiples of 2⁻⁸⁰ that fit into 128 bits: exact, and rounded once.
        func sum(_ terms: [Double]) -> Double {
            let unit = Double(sign: .plus, exponent: -80, significand: 1)
            return Double(terms.reduce(into: Int128(0)) { $0 += Int128(exactly: $1 / unit)! }) * unit
        }
        open = sorted[0].price
        close = sorted[sorted.count - 1].price
        high = prices[prices.count - 1]
        low = prices[0]
        volume = sum(trades.map(\.size))
        notional = sum(trades.map { $0.price * $0.size })
        tradeCount = Int64(trades.count)
        first = order(sorted[0])
        last = order(sorted[sorted.count - 1])
    }

    init(_ aggregate: BarAggregate) {
        open = aggregate.open
        high = aggregate.high
        low = aggregate.low
        close = aggregate.close
        volume = aggregate.volume.value
        notional = aggregate.notional.value
        tradeCount = aggregate.tradeCount
        first = aggregate.first
        last = aggregate.last
    }
}

private func naive(_ trades: [TradeBatch.Trade]) -> [BarKey: NaiveBar] {
    var groups: [BarKey: [TradeBatch.Trade]] = [:]
    for trade in trades {
        for timeframe in Timeframe.allCases {
            let width = timeframe.microseconds
            let remainder = ((trade.ts.microseconds % width) + width) % width
            let start = Timestamp(microseconds: trade.ts.microseconds - remainder)
            groups[BarKey(symbol: trade.symbol, timeframe: timeframe, start: start), default: []].append(trade)
        }
    }
    return groups.mapValues { NaiveBar($0) }
}

private func bars(_ deltas: BarDeltas) -> [BarKey: NaiveBar] {
    var bars: [BarKey: NaiveBar] = [:]
    for (timeframe, list) in zip(Timeframe.allCases, deltas.byTimeframe) {
        for delta in list {
            let key = BarKey(symbol: delta.symbol, timeframe: timeframe, start: delta.start)
            if bars.updateValue(NaiveBar(delta.aggregate), forKey: key) != nil { Issue.record("\(key) comes twice") }
        }
    }
    return bars
}

struct BarDeltasTests {
    @Test func `the bars of a batch are those of a computation from scratch, whatever the order of its trades`() {
        var random = SeededRandom()
        for round in 0..<60 {
            let seconds: Int64 = [1, 20, 4000, 200_000][round % 4]
            let batch = trades(
                Int.random(in: 1...400, using: &random) / (round % 4 == 0 ? 8 : 1) + 1, symbols: 5, seconds: seconds,
                &random)
            let expected = naive(batch)
            for order in [
                batch, batch.shuffled(using: &random), batch.sorted { $0.ts < $1.ts }, batch.sorted { $0.ts > $1.ts },
            ] {
                let deltas = BarDeltas(order, sourceKeys: sourceKeys, symbolCount: 5)
                #expect(bars(deltas) == expected, "round \(round), seed \(random.seed)")
                #expect(deltas.count == expected.count, "round \(round), seed \(random.seed)")
            }
        }
    }

    @Test func `each list is in the order of symbol and start`() {
        var random = SeededRandom()
        let deltas = BarDeltas(trades(500, symbols: 7, seconds: 5000, &random), sourceKeys: sourceKeys, symbolCount: 7)
        #expect(deltas.byTimeframe.count == Timeframe.allCases.count)
        for list in deltas.byTimeframe {
            let keys = list.map { [Int64($0.symbol), $0.start.microseconds] }
            #expect(zip(keys, keys.dropFirst()).allSatisfy { $0.lexicographicallyPrecedes($1) }, "seed \(random.seed)")
        }
    }

    @Test func `no trades touch no bars`() {
        let deltas = BarDeltas([], sourceKeys: [], symbolCount: 0)
        #expect(deltas.count == 0 && deltas.byTimeframe.allSatisfy(\.isEmpty))
    }

    @Test func `the days of a batch are those of its trades`() {
        var batch = TradeBatch()
        #expect(batch.days.isEmpty)
        var random = SeededRandom()
        batch.trades = trades(300, symbols: 2, seconds: 500_000, &random)
        #expect(batch.days == Set(batch.trades.map { $0.ts.day }), "seed \(random.seed)")
    }
}

/// A store as the sink keeps it: bars by key, merged from plans.
private struct Store {
    var bars: [BarKey: BarAggregate] = [:]

    /// Carries out a plan; reads what is unread, as the sink does.
    mutating func carryOut(_ plan: BarBook.Plan) -> BarBook.Plan {
        var done = plan
        for write in plan.new {
            if bars.updateValue(write.aggregate, forKey: write.key) != nil { Issue.record("\(write.key) is not new") }
        }
        for write in plan.unread {
            if var known = bars[write.key] {
                known.merge(write.aggregate)
                done.updated.append(.init(key: write.key, aggregate: known))
            } else {
                done.new.append(write)
                bars[write.key] = write.aggregate
            }
        }
        done.unread = []
        for write in done.updated {
            if bars.updateValue(write.aggregate, forKey: write.key) == nil { Issue.record("\(write.key) is not there") }
        }
        return done
    }

    func newest(_ symbol: UInt32, _ timeframe: Timeframe) -> Timestamp? {
        bars.keys.filter { $0.symbol == symbol && $0.timeframe == timeframe }.map(\.start).max()
    }
}

struct BarBookTests {
    private func deltas(_ trades: [TradeBatch.Trade]) -> BarDeltas {
        BarDeltas(trades, sourceKeys: sourceKeys, symbolCount: 8)
    }

    private func trade(_ symbol: UInt32, second: Int64, id: Int64 = 0, price: Double = 1) -> TradeBatch.Trade {
        TradeBatch.Trade(
            ts: Timestamp(microseconds: second * 1_000_000), tradeID: id, price: price, size: 1, ingestedAt: .epoch,
            run: 1,
            symbol: symbol, source: 0, conditions: 0)
    }

    @Test func `a symbol is known once it has been learnt, until all is forgotten`() {
        var book = BarBook()
        #expect(!book.knows(0) && !book.knows(9))
        book.learn(3)
        #expect(book.knows(3) && !book.knows(2) && !book.knows(4))
        book.forget()
        #expect(!book.knows(3))
    }

    @Test func `bars after the newest are new, known ones are updated, others must be read`() {
        var book = BarBook()
        book.learn(0)
        // The store has second bars up to 100 and nothing else of this symbol.
        book.learn(0, .second1, newest: Timestamp(microseconds: 100_000_000))
        let first = book.plan(deltas([trade(0, second: 100), trade(0, second: 101), trade(0, second: 99)]))
        func seconds(_ writes: [BarBook.Write]) -> [Int64] {
            writes.filter { $0.key.timeframe == .second1 }.map { $0.key.start.microseconds / 1_000_000 }
        }
        #expect(seconds(first.new) == [101])
        #expect(seconds(first.unread) == [99, 100])
        #expect(first.updated.isEmpty)
        // Of the other timeframes the store has none.
        #expect(first.unread.allSatisfy { $0.key.timeframe == .second1 })
        #expect(first.new.count == 1 + 2 + 1 + 1 + 1 + 1 + 1 + 1)

        var written = first
        written.updated = written.unread
        written.unread = []
        book.remember(written)
        let second = book.plan(
            deltas([trade(0, second: 99, id: 1, price: 7), trade(0, second: 101, id: 1), trade(0, second: 102)]))
        #expect(seconds(second.new) == [102])
        #expect(seconds(second.updated) == [99, 101])
        #expect(second.unread.isEmpty)
        let merged = second.updated.first { $0.key.timeframe == .second1 }?.aggregate
        #expect(merged?.tradeCount == 2 && merged?.open == 1 && merged?.close == 7)
        // A plan alone changes nothing.
        #expect(seconds(book.plan(deltas([trade(0, second: 102)])).new) == [102])
    }

    @Test func `batch after batch the store holds what a computation from scratch gives`() {
        var random = SeededRandom()
        for round in 0..<10 {
            var store = Store()
            var book = BarBook()
            let all = trades(1500, symbols: 8, seconds: 3000, &random)
            var rest = (round % 2 == 0 ? all : all.sorted { $0.ts < $1.ts })[...]
            while !rest.isEmpty {
                let batch = Array(rest.prefix(Int.random(in: 1...200, using: &random)))
                rest = rest.dropFirst(batch.count)
                // Lost the partition, a transaction failed: the book is emptied and learns again.
                if Int.random(in: 0..<6, using: &random) == 0 { book.forget() }
                for symbol in Set(batch.map(\.symbol)) where !book.knows(symbol) {
                    book.learn(symbol)
                    for timeframe in Timeframe.allCases {
                        if let start = store.newest(symbol, timeframe) { book.learn(symbol, timeframe, newest: start) }
                    }
                }
                book.remember(store.carryOut(book.plan(deltas(batch))))
            }
            #expect(store.bars.mapValues { NaiveBar($0) } == naive(all), "round \(round), seed \(random.seed)")
        }
    }

    @Test func `beyond its capacity the book starts afresh and reads back what it forgot`() {
        var book = BarBook()
        book.learn(0)
        var plan = BarBook.Plan()
        func write(_ second: Int64) -> BarBook.Write {
            let order = TradeOrder(ts: Timestamp(microseconds: second * 1_000_000), tradeID: 0, source: sourceKeys[0])
            return .init(
                key: BarKey(symbol: 0, timeframe: .second1, start: order.ts),
                aggregate: BarAggregate(price: 1, size: 1, order: order))
        }
        plan.new = (0..<Int64(BarBook.capacity)).map(write)
        book.remember(plan)
        func seconds(_ plan: BarBook.Plan) -> (new: Int, updated: Int, unread: Int) {
            let counts = [plan.new, plan.updated, plan.unread].map { $0.count { $0.key.timeframe == .second1 } }
            return (counts[0], counts[1], counts[2])
        }
        #expect(seconds(book.plan(deltas([trade(0, second: 5)]))) == (0, 1, 0))
        plan.new = [write(Int64(BarBook.capacity))]
        book.remember(plan)
        #expect(seconds(book.plan(deltas([trade(0, second: 5)]))) == (0, 0, 1))
        #expect(seconds(book.plan(deltas([trade(0, second: Int64(BarBook.capacity))]))) == (0, 1, 0))
        #expect(seconds(book.plan(deltas([trade(0, second: Int64(BarBook.capacity) + 1)]))) == (1, 0, 0))
    }
}

struct LatestTradesTests {
    private func entry(_ ts: Int64, _ id: Int64, _ source: UInt32) -> LatestTrades.Entry {
        LatestTrades.Entry(
            order: TradeOrder(ts: Timestamp(microseconds: ts), tradeID: id, source: sourceKeys[Int(source)]),
            source: source, price: Double(ts) + Double(id) / 10, size: Double(source))
    }

    @Test func `the last two are those of the sorted trades, in any order and with repeats`() {
        var random = SeededRandom()
        for _ in 0..<3000 {
            var entries: [LatestTrades.Entry] = []
            for _ in 0..<Int.random(in: 1...12, using: &random) {
                entries.append(
                    entry(
                        Int64.random(in: 0..<4, using: &random), Int64.random(in: 0..<3, using: &random),
                        UInt32.random(in: 0..<3, using: &random)))
            }
            var distinct: [LatestTrades.Entry] = []
            for entry in entries where !distinct.contains(entry) { distinct.append(entry) }
            let expected = distinct.sorted { $0.order < $1.order }.suffix(2)
            // Some come a second time, as after a restart.
            let stream = (entries + entries.prefix(3)).shuffled(using: &random)
            var latest = LatestTrades(last: stream[0])
            for entry in stream.dropFirst() {
                let before = latest
                let isNews = latest.take(entry)
                #expect(isNews == (latest != before), "seed \(random.seed)")
            }
            #expect(latest.last == expected.last, "seed \(random.seed)")
            #expect(latest.previous == (expected.count == 2 ? expected.first : nil), "seed \(random.seed)")
        }
    }

    @Test func `what was stored goes on`() {
        var latest = LatestTrades(last: entry(5, 0, 0), previous: entry(3, 0, 0))
        let news = [entry(2, 9, 0), entry(5, 0, 0), entry(3, 0, 0), entry(4, 0, 0)].map { latest.take($0) }
        #expect(news == [false, false, false, true])
        #expect(latest.previous == entry(4, 0, 0) && latest.last == entry(5, 0, 0))
        let isNews = latest.take(entry(5, 0, 1))
        #expect(isNews)
        #expect(latest.previous == entry(5, 0, 0) && latest.last == entry(5, 0, 1))
    }
}
