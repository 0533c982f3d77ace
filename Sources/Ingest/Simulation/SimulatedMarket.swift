// SPDX-License-Identifier: Apache-2.0

import Glibc

/// A market that is not there: correlated prices, orders of realistic sizes that come in bursts. A pure value: the same
/// settings give the same trades, always and everywhere, and it can be entered at any of them.
///
/// **Prices** are geometric Brownian motions without drift. A factor that all share gives each pair of symbols the same
/// correlation: log Sᵢ(t) = log Sᵢ(0) + σᵢ (√ρ W(t) + √(1−ρ) Wᵢ(t)) − σᵢ² t / 2. The value at a trade is exact, however
/// long ago the last one was. A buyer pays half a spread more than that and a seller gets half a spread less, in whole
/// ticks.
///
/// **Orders** arrive as a Poisson process whose rate changes between calm and busy (a Markov-modulated process), each for
/// a symbol by Zipf's law, and are filled in one or more trades of the same moment.
///
/// **Blocks.** A minute of the market is a block. Where W and Wᵢ stand at its ends follows from the seed and its number;
/// in between they are Brownian bridges, made by the block's own random numbers. So a block can be made without those
/// before it, and a market that is entered again costs the sum of one normal number for each symbol and block.
package struct SimulatedMarket {
    package struct Settings: Sendable, Equatable {
        package static let rates = 1...500_000
        package static let symbolCounts = 1...10_000
        package static let volatilities = 0.0...5.0

        /// Trades a second of all symbols, in the long run.
        package var rate = 100
        package var symbols = 10
        package var seed: UInt64 = 1
        /// Standard deviation of a year's log return, of all symbols on average; a year has 365 days and no nights.
        package var volatility = 0.3
        /// Of the log returns of two symbols, 0 to 1.
        package var correlation = 0.5
        /// How much of the market's time there is; nil for no end. It does not change what is before the end.
        package var duration: Duration?

        package init() {}

        /// What makes the market what it is.
        var name: String {
            "rate=\(rate)&symbols=\(symbols)&seed=\(seed)&volatility=\(volatility)&correlation=\(correlation)"
        }
    }

    package struct Trade: Equatable, Sendable {
        /// Microseconds since the market began.
        package var offset: Int64
        /// Number of the symbol, from 0.
        package var symbol: Int
        package var price: Double
        package var size: Double
        /// Where it stands in the market: more than that of the trade before it. Below 2⁵¹.
        package var position: Int64
    }

    /// What does not change about a symbol.
    private struct Stock {
        let logPrice: Double
        /// For the square root of a second.
        let deviation: Double
        /// Half the spread, in parts of the price.
        let halfSpread: Double
    }

    /// A Brownian motion inside a block.
    private struct Motion {
        var time = 0.0
        var value = 0.0
        /// Its value at the end of the block.
        var end = 0.0

        /// Goes on to `time`, given where it ends: a Brownian bridge.
        @inline(__always)
        mutating func move(to time: Double, _ random: inout RandomStream) -> Double {
            let step = time - self.time
            let rest = SimulatedMarket.blockSeconds - self.time
            if step > 0 && rest > 0 {
                let part = step / rest
                value += part * (end - value) + (step * max(0, 1 - part)).squareRoot() * random.normal()
                self.time = time
            }
            return value
        }
    }

    fileprivate static let blockSeconds = 60.0
    /// Bits of a position for the number of a trade in its block: 2.2 million a second.
    private static let numberBits: Int64 = 27
    private static let blockCount: Int64 = 1 << 24
    /// The end of every market: 31 years.
    package static let longestTime = Duration.seconds(60 * blockCount)
    /// Chance that an order that has been filled in part is filled in one more.
    private static let moreFills = 0.35
    /// Calm and busy: mean seconds, and the rate in parts of the mean rate, which both together keep.
    private static let calm = (seconds: 0.4, rate: 0.625)
    private static let busy = (seconds: 0.05, rate: 4.0)

    private let settings: Settings
    private let stocks: [Stock]
    private let choice: AliasTable
    private let orderRate: Double
    private let common: Double
    private let own: Double
    private let endOffset: Int64

    private var random = RandomStream()
    private var block: Int64 = 0
    private var number: Int64 = 0
    private var factor = Motion()
    private var motions: [Motion]
    /// Seconds since the block began.
    private var time = 0.0
    private var isBusy = false
    private var stateEnds = 0.0
    /// The order that is being filled.
    private var order = (fills: 0, symbol: 0, ticks: 0.0, ticksPerUnit: 100.0, side: 1.0)

    /// - Parameter position: of the trade to go on after; nil to begin.
    package init(_ settings: Settings, after position: Int64? = nil) {
        self.settings = settings
        stocks = (0..<settings.symbols).map { Self.stock($0, settings) }
        choice = AliasTable((0..<settings.symbols).map { 1 / Double($0 + 1) })
        orderRate = Double(settings.rate) * (1 - Self.moreFills)
        common = settings.correlation.squareRoot()
        own = (1 - settings.correlation).squareRoot()
        endOffset = settings.duration.map { $0.inMicroseconds } ?? .max
        motions = Array(repeating: Motion(), count: settings.symbols)
        let first = (position ?? 0) >> Self.numberBits
        while block < first {
            enter(block)
            leave()
        }
        enter(block)
        if let position {
            while let trade = next(), trade.position < position {}
        }
    }

    /// The name of a symbol: `SIM:AAA`, `SIM:AAB`, …
    package static func symbolName(_ number: Int) -> String {
        var letters: [UInt8] = []
        var rest = number
        while letters.count < 3 || rest > 0 {
            letters.insert(UInt8(ascii: "A") + UInt8(rest % 26), at: 0)
            rest /= 26
        }
        return "SIM:" + String(decoding: letters, as: UTF8.self)
    }

    /// The next trade, or nil at the end of the market.
    package mutating func next() -> Trade? {
        while order.fills == 0 {
            if block >= Self.blockCount { return nil }
            nextOrder()
        }
        let offset = block * Int64(Self.blockSeconds * 1e6) + Int64(time * 1e6)
        if offset >= endOffset { return nil }
        order.fills -= 1
        let trade = Trade(
            offset: offset, symbol: order.symbol, price: order.ticks / order.ticksPerUnit, size: Self.size(&random),
            position: block << Self.numberBits | number)
        number += 1
        // What is left of an order may have to go one tick further.
        if order.fills > 0 && random.uniform() < 0.2 { order.ticks = max(1, order.ticks + order.side) }
        return trade
    }

    // MARK: Time

    private mutating func nextOrder() {
        let rate = orderRate * (isBusy ? Self.busy.rate : Self.calm.rate)
        let arrival = time + random.exponential() / rate
        if min(arrival, stateEnds) >= Self.blockSeconds || number >= 1 << Self.numberBits - 64 {
            leave()
            enter(block)
        } else if arrival >= stateEnds {
            time = stateEnds
            begin(busy: !isBusy)
        } else {
            time = arrival
            begin(orderFor: choice.pick(&random))
        }
    }

    private mutating func begin(busy: Bool) {
        isBusy = busy
        stateEnds = time + random.exponential() * (busy ? Self.busy.seconds : Self.calm.seconds)
    }

    /// Begins a block: where its motions will end, and in which state it is.
    private mutating func enter(_ block: Int64) {
        let scale = Self.blockSeconds.squareRoot()
        func step(_ motion: Int) -> Double {
            var random = RandomStream(settings.seed, 1, UInt64(motion), UInt64(block))
            return scale * random.normal()
        }
        factor.end = factor.value + step(0)
        for index in motions.indices { motions[index].end = motions[index].value + step(index + 1) }
        random = RandomStream(settings.seed, 2, UInt64(block))
        time = 0
        number = 0
        begin(busy: random.uniform() < Self.busy.seconds / (Self.busy.seconds + Self.calm.seconds))
    }

    private mutating func leave() {
        block += 1
        factor = Motion(value: factor.end)
        for index in motions.indices { motions[index] = Motion(value: motions[index].end) }
    }

    // MARK: Orders

    private mutating func begin(orderFor symbol: Int) {
        let stock = stocks[symbol]
        let seconds = Double(block) * Self.blockSeconds + time
        let motion = common * factor.move(to: time, &random) + own * motions[symbol].move(to: time, &random)
        let price = exp(stock.logPrice + stock.deviation * motion - stock.deviation * stock.deviation / 2 * seconds)
        let side = random.next() & 1 == 0 ? 1.0 : -1.0
        // Below a dollar a cent would be too coarse.
        let ticksPerUnit = price < 1 ? 10_000.0 : 100.0
        let ticks = max(1, (price * (1 + side * stock.halfSpread) * ticksPerUnit).rounded())
        order = (1 + random.geometric(Self.moreFills), symbol, ticks, ticksPerUnit, side)
    }

    private static func stock(_ number: Int, _ settings: Settings) -> Stock {
        var random = RandomStream(settings.seed, 3, UInt64(number))
        // 10 to 500, as many between 10 and 20 as between 250 and 500.
        let logPrice = log(10) + random.uniform() * log(50)
        let yearly = settings.volatility * (0.5 + random.uniform())
        return Stock(
            logPrice: logPrice, deviation: yearly / (365.0 * 86_400).squareRoot(),
            halfSpread: 0.5e-4 * (0.5 + random.uniform()))
    }

    /// Units of a trade, as those of US stocks are: about half of them odd lots, most of the rest one round lot, and now
    /// and then a block.
    private static func size(_ random: inout RandomStream) -> Double {
        let kind = random.uniform()
        if kind < 0.35 { return 100 }
        if kind < 0.495 { return 100 * Double(2 + random.geometric(0.6)) }
        if kind < 0.5 { return 100 * (10 * exp(random.normal() + 1)).rounded(.up) }
        return min(99, 1 + (25 * random.exponential()).rounded(.down))
    }
}

/// Choice among many by weight, in constant time: Vose 1991, "A linear algorithm for generating random numbers with a
/// given distribution".
struct AliasTable {
    private var thresholds: [Double]
    private var aliases: [Int]

    init(_ weights: [Double]) {
        let total = weights.reduce(0, +)
        thresholds = weights.map { $0 / total * Double(weights.count) }
        aliases = Array(weights.indices)
        var small = weights.indices.filter { thresholds[$0] < 1 }
        var large = weights.indices.filter { thresholds[$0] >= 1 }
        while !small.isEmpty && !large.isEmpty {
            let low = small.removeLast()
            let high = large.removeLast()
            aliases[low] = high
            thresholds[high] -= 1 - thresholds[low]
            if thresholds[high] < 1 { small.append(high) } else { large.append(high) }
        }
        // What is left is 1 but for rounding.
        for index in small + large { thresholds[index] = 1 }
    }

    @inline(__always)
    func pick(_ random: inout RandomStream) -> Int {
        let scaled = random.uniform() * Double(aliases.count)
        let index = Int(scaled)
        return scaled - Double(index) < thresholds[index] ? index : aliases[index]
    }
}
