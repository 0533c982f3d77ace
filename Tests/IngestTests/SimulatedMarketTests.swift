// SPDX-License-Identifier: Apache-2.0

import EventLog
import Foundation
import Logging
import Market
import Records
import Synchronization
import TestSupport
import Testing

@testable import Ingest

private func market(_ change: (inout SimulatedMarket.Settings) -> Void) -> SimulatedMarket {
    var settings = SimulatedMarket.Settings()
    change(&settings)
    return SimulatedMarket(settings)
}

private func take(_ count: Int, _ market: SimulatedMarket) -> [SimulatedMarket.Trade] {
    var market = market
    return (0..<count).compactMap { _ in market.next() }
}

private func mean(_ values: [Double]) -> Double { values.reduce(0, +) / Double(values.count) }

private func deviation(_ values: [Double]) -> Double {
    let mean = mean(values)
    return (values.reduce(0) { $0 + ($1 - mean) * ($1 - mean) } / Double(values.count - 1)).squareRoot()
}

private func correlation(_ a: [Double], _ b: [Double]) -> Double {
    let (meanA, meanB) = (mean(a), mean(b))
    let covariance = zip(a, b).reduce(0) { $0 + ($1.0 - meanA) * ($1.1 - meanB) } / Double(a.count - 1)
    return covariance / deviation(a) / deviation(b)
}

/// Log returns of each symbol from the last price before the end of a step to that of the next.
private func returns(_ market: SimulatedMarket, symbols: Int, step: Int64, count: Int) -> [[Double]] {
    var market = market
    var last = [Double](repeating: 0, count: symbols)
    var marks = [[Double]](repeating: [], count: symbols)
    var end = step
    while marks[0].count <= count + 1, let trade = market.next() {
        while trade.offset >= end {
            for symbol in 0..<symbols { marks[symbol].append(last[symbol]) }
            end += step
        }
        last[trade.symbol] = log(trade.price)
    }
    // From the second on, by when each has traded.
    return marks.map { marks in zip(marks.dropFirst(), marks.dropFirst(2)).map { $1 - $0 } }
}

struct SimulatedMarketTests {
    @Test func `the same settings make the same trades, others make others`() {
        let first = take(5000, market { $0.seed = 7 })
        #expect(first == take(5000, market { $0.seed = 7 }))
        #expect(first.count == 5000)
        for other in [market { $0.seed = 8 }, market { $0.rate = 101 }, market { $0.correlation = 0.4 }] {
            #expect(take(5000, other) != first)
        }
        // How long it lasts does not change what is before the end.
        #expect(
            take(
                5000,
                market {
                    $0.seed = 7; $0.duration = .seconds(5)
                }) == first.filter { $0.offset < 5_000_000 })
    }

    @Test func `a market is entered after any of its trades, and goes on as it would have`() {
        // Several blocks of a minute.
        let settings: (inout SimulatedMarket.Settings) -> Void = {
            $0.rate = 20; $0.symbols = 3
        }
        let all = take(6000, market(settings))
        #expect(all.last!.offset > 240_000_000)
        var random = SeededRandom()
        for index in [0, 1, 5998] + (0..<40).map({ _ in Int.random(in: 0..<5999, using: &random) }) {
            var copy = SimulatedMarket.Settings()
            settings(&copy)
            let rest = SimulatedMarket(copy, after: all[index].position)
            #expect(
                take(min(50, 5999 - index), rest) == Array(all[(index + 1)...].prefix(50)),
                "after \(index), seed \(random.seed)")
        }
    }

    @Test func `times do not run back, positions grow, prices and sizes are those of a market`() {
        let trades = take(
            200_000,
            market {
                $0.rate = 1000; $0.symbols = 50
            })
        #expect(zip(trades, trades.dropFirst()).allSatisfy { $0.offset <= $1.offset && $0.position < $1.position })
        #expect(trades.allSatisfy { $0.position < 1 << 51 && $0.price > 0 && $0.size >= 1 })
        // Whole cents, or hundredths of a cent below a dollar; whole units.
        #expect(
            trades.allSatisfy { ($0.price * 10_000).rounded() / 10_000 == $0.price && $0.size == $0.size.rounded() })
        let odd = Double(trades.count { $0.size < 100 }) / Double(trades.count)
        let round = Double(trades.count { $0.size == 100 }) / Double(trades.count)
        #expect(abs(odd - 0.5) < 0.01 && abs(round - 0.35) < 0.01)
        #expect(trades.contains { $0.size >= 5000 })
        // By Zipf's law the first trades twice as often as the second and fifty times as often as the last.
        let counts = trades.reduce(into: [Int](repeating: 0, count: 50)) { $0[$1.symbol] += 1 }
        #expect((1.9...2.1).contains(Double(counts[0]) / Double(counts[1])))
        #expect((40...62).contains(Double(counts[0]) / Double(counts[49])))
        // Prices lie around what they are between bid and ask: trades of one moment and symbol are near each other.
        let alike = zip(trades, trades.dropFirst()).filter { $0.offset == $1.offset && $0.symbol == $1.symbol }
        #expect(alike.count > 50_000 && alike.allSatisfy { abs($0.price / $1.price - 1) < 0.003 })
    }

    @Test(arguments: [1, 100, 20_000])
    func `the rate is kept in the long run, in bursts`(rate: Int) {
        var market = market { $0.rate = rate }
        // Tenths of a second: 40 min, 40 min, 2 min.
        let width: Int64 = 100_000
        var counts = [Double](repeating: 0, count: rate > 1000 ? 1200 : 24_000)
        while let trade = market.next(), trade.offset / width < counts.count { counts[Int(trade.offset / width)] += 1 }
        let expected = Double(rate) / 10
        // Four errors of the mean; what follows each other within a second or so is not independent.
        let error = 4 * deviation(counts) / (Double(counts.count) / 10).squareRoot()
        #expect(abs(mean(counts) - expected) < error, "\(mean(counts)) ± \(error)")
        // A Poisson process would have a variance of the mean. Fills come together, and orders in bursts.
        #expect(deviation(counts) * deviation(counts) > 1.5 * expected)
        if rate > 1000 {
            #expect(deviation(counts) > 0.3 * expected && counts.max()! > 2 * expected)
        }
    }

    @Test(arguments: [0.0, 0.5, 0.9])
    func `returns have the volatility and the correlation that were asked for`(asked: Double) {
        let symbols = 4
        // Ten minutes each; every symbol trades several times a minute.
        let steps = 1000
        let values = returns(
            market {
                $0.rate = 1; $0.symbols = symbols; $0.correlation = asked; $0.volatility = 2; $0.seed = 11
            },
            symbols: symbols, step: 600_000_000, count: steps)
        for symbol in 0..<symbols {
            let yearly = deviation(values[symbol]) * (365.0 * 144).squareRoot()
            // Between half and one and a half of what was asked for, by symbol; and the error of the estimate.
            #expect((0.92...3.24).contains(yearly), "\(yearly)")
            // Independent from step to step, and normal as far as the fourth moment tells.
            let next = correlation(Array(values[symbol].dropLast()), Array(values[symbol].dropFirst()))
            #expect(abs(next) < 0.13, "\(next)")
            let center = mean(values[symbol])
            let scale = deviation(values[symbol])
            let fourth = mean(values[symbol].map { pow(($0 - center) / scale, 4) })
            #expect(abs(fourth - 3) < 0.7, "\(fourth)")
            for other in 0..<symbol {
                let found = correlation(values[symbol], values[other])
                // Trades are not at the very end of a step, which takes a little from the correlation.
                #expect(abs(found - asked) < 4 * (1 - asked * asked) / Double(steps).squareRoot() + 0.05, "\(found)")
            }
        }
    }

    @Test func `prices have no trend`() {
        var settings = SimulatedMarket.Settings()
        settings.symbols = 2000
        settings.rate = 500_000
        settings.correlation = 0
        settings.volatility = 5
        /// The first price of each symbol from a minute of the market on.
        func prices(_ minute: Int64) -> [Double] {
            var market = SimulatedMarket(settings, after: minute << 27)
            var prices = [Double](repeating: 0, count: settings.symbols)
            var left = settings.symbols
            while left > 0, let trade = market.next() {
                if prices[trade.symbol] == 0 { left -= 1 }
                if prices[trade.symbol] == 0 { prices[trade.symbol] = trade.price }
            }
            return prices
        }
        let ratios = zip(prices(0), prices(1440)).map { $1 / $0 }
        // After a day; without the term -σ²t/2 the mean would be 1.035.
        #expect(abs(mean(ratios) - 1) < 4 * deviation(ratios) / Double(ratios.count).squareRoot())
        #expect((0.24...0.32).contains(deviation(ratios)))
    }

    @Test func `names are symbols, one for each`() {
        let names = (0..<SimulatedMarket.Settings.symbolCounts.upperBound).map { SimulatedMarket.symbolName($0) }
        #expect(names[0] == "SIM:AAA" && names[27] == "SIM:ABB" && Set(names).count == names.count)
        #expect(names.allSatisfy { name in Array(name.utf8).withUnsafeBytes { SymbolSyntax.isValid($0) } })
    }

    @Test func `a choice by weight is as often as its weight`() {
        var random = RandomStream(5)
        for weights in [[1.0], [1, 0], [3, 1, 4, 1, 5, 9, 2, 6]] {
            let table = AliasTable(weights)
            let counts = (0..<200_000).reduce(into: [Int](repeating: 0, count: weights.count)) { counts, _ in
                counts[table.pick(&random)] += 1
            }
            for (count, weight) in zip(counts, weights) {
                #expect(abs(Double(count) / 200_000 - weight / weights.reduce(0, +)) < 0.006)
            }
        }
    }
}

struct SimulatedSourceTests {
    private static func settings(_ change: (inout SimulatedMarket.Settings) -> Void) -> SimulatedMarket.Settings {
        var settings = SimulatedMarket.Settings()
        change(&settings)
        return settings
    }

    @discardableResult
    private static func play(
        _ settings: SimulatedMarket.Settings, _ log: any EventLog,
        now: @escaping @Sendable () -> Timestamp = { Self.now() }
    ) async throws -> Int64 {
        try await SimulatedSource(
            settings, run: 1, log: log, logger: Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }, now: now
        ).play()
    }

    private static func now() -> Timestamp { Timestamp(microseconds: Int64(Date().timeIntervalSince1970 * 1e6)) }

    private static func facts(_ trades: [StagedTrade]) -> [String] {
        trades.map { "\($0.symbol ?? "") \($0.price ?? 0) \($0.size ?? 0)" }
    }

    @Test(.timeLimit(.minutes(1)))
    func `a market is played in its time, as of now, and once`() async throws {
        let test = try await TestLog(partitions: 1)
        let settings = Self.settings {
            $0.rate = 5000; $0.duration = .milliseconds(800); $0.seed = 3
        }
        let before = Date().timeIntervalSince1970 * 1e6
        let count = try await Self.play(settings, test.log)
        let after = Date().timeIntervalSince1970 * 1e6
        let expected = take(100_000, SimulatedMarket(settings))
        #expect(count == expected.count && after - before > 700_000)
        let trades = try await test.trades()
        #expect(
            Self.facts(trades) == expected.map { "\(SimulatedMarket.symbolName($0.symbol)) \($0.price) \($0.size)" })
        #expect(trades.allSatisfy { $0.source == "simulate" && $0.problem == nil })
        let times = trades.compactMap { $0.ts?.microseconds }
        #expect(Double(times.first!) >= before && Double(times.last!) <= after && times == times.sorted())
        #expect(Set(trades.map(\.tradeID)).count == trades.count)
        // None is told before its time.
        #expect(trades.allSatisfy { $0.ts! <= $0.ingestedAt })
        // It is over.
        #expect(try await Self.play(settings, test.log) == 0)
    }

    @Test(.timeLimit(.minutes(1)))
    func `no trade is told before its time, whatever comes between the readings of two clocks`() async throws {
        let test = try await TestLog(partitions: 1)
        let readings = Atomic(0)
        try await Self.play(
            Self.settings {
                $0.rate = 1000; $0.duration = .milliseconds(300)
            }, test.log
        ) {
            // The thread may have to wait for a processor anywhere.
            if readings.add(1, ordering: .relaxed).oldValue == 0 { usleep(50_000) }
            return Self.now()
        }
        let trades = try await test.trades()
        #expect(!trades.isEmpty && trades.allSatisfy { $0.ts! <= $0.ingestedAt })
    }

    @Test(.timeLimit(.minutes(2)))
    func `a simulation that is stopped anywhere goes on after the last trade in the log`() async throws {
        var random = SeededRandom()
        let test = try await TestLog(partitions: 1)
        let settings = Self.settings { $0.rate = 2000 }
        for _ in 1...8 {
            let task = Task { try await Self.play(settings, test.log) }
            let before = try await test.trades().count
            while try await test.trades().count == before { try await Task.sleep(for: .milliseconds(2)) }
            try await Task.sleep(for: .milliseconds(Int.random(in: 0...100, using: &random)))
            task.cancel()
            _ = try? await task.value
        }
        let trades = try await test.trades()
        let expected = take(trades.count, SimulatedMarket(settings))
        #expect(
            Self.facts(trades) == expected.map { "\(SimulatedMarket.symbolName($0.symbol)) \($0.price) \($0.size)" },
            "seed \(random.seed)")
        #expect(Set(trades.map(\.tradeID)).count == trades.count)
        // Others are markets of their own, with ids of their own.
        let other = Self.settings {
            $0.rate = 2000; $0.seed = 2; $0.duration = .milliseconds(100)
        }
        let count = try await Self.play(other, test.log)
        let all = try await test.trades()
        #expect(count > 0 && Set(all.map(\.tradeID)).count == all.count && all.count == trades.count + Int(count))
    }
}
