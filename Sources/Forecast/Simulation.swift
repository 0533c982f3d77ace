// SPDX-License-Identifier: Apache-2.0

import CForecast
import Glibc

/// A Monte Carlo simulation of geometric Brownian motion: what goes in.
package struct SimulationParameters: Sendable, Equatable {
    /// The price at step 0.
    package var spot: Double
    /// μ and σ by year, as in ``ModelEstimate``.
    package var drift: Double
    package var volatility: Double
    /// The length of a step in years.
    package var stepYears: Double
    package var steps: Int
    package var paths: Int
    /// The same seed gives the same result, on any machine and any number of threads.
    package var seed: UInt64
    /// Whether the second half of the paths mirrors the first, which takes the sampling error out of the mean's odd
    /// part (Glasserman 2003, "Monte Carlo Methods in Financial Engineering", section 4.2). Needs an even number.
    package var isAntithetic = false
    /// How many paths are kept whole, to be looked at.
    package var keptPaths = 20

    package init(
        spot: Double, drift: Double, volatility: Double, stepYears: Double, steps: Int, paths: Int, seed: UInt64
    ) {
        self.spot = spot
        self.drift = drift
        self.volatility = volatility
        self.stepYears = stepYears
        self.steps = steps
        self.paths = paths
        self.seed = seed
    }

    /// What is allowed.
    package static let stepsRange = 1...10_000
    package static let pathsRange = 2...1_000_000
    /// Prices computed in one run.
    package static let workLimit = 1_000_000_000
    /// What a few seconds of history may well say; whether prices get out of hand is checked over the horizon.
    package static let volatilityRange = 0.0...1e5
    package static let driftRange = -1e9...1e9

    /// Throws what is not allowed.
    package func check() throws(ForecastError) {
        func refuse(_ name: String, _ value: some CustomStringConvertible, _ allowed: String) -> ForecastError {
            ForecastError("\(name) is \(value); allowed: \(allowed)")
        }
        if !(spot > 0 && spot.isFinite) { throw refuse("spot", spot, "a number above 0") }
        if !Self.stepsRange.contains(steps) { throw refuse("steps", steps, "1 to 10000") }
        if !Self.pathsRange.contains(paths) { throw refuse("paths", paths, "2 to 1000000") }
        if paths * steps > Self.workLimit { throw refuse("paths × steps", paths * steps, "at most \(Self.workLimit)") }
        if !Self.volatilityRange.contains(volatility) { throw refuse("volatility", volatility, "0 to 100000 (a year)") }
        if !Self.driftRange.contains(drift) { throw refuse("drift", drift, "-1e9 to 1e9 (a year)") }
        if !(stepYears > 0 && stepYears <= 1) { throw refuse("the step in years", stepYears, "above 0, at most 1") }
        if isAntithetic && paths % 2 != 0 { throw refuse("paths", paths, "an even number, for antithetic paths") }
        if !(0...paths).contains(keptPaths) { throw refuse("kept paths", keptPaths, "0 to \(paths)") }
    }
}

/// The distribution of the price at one step.
package struct FanStep: Sendable, Equatable {
    /// From 1.
    package var step: Int
    package var mean: Double
    /// Quantiles 5 %, 25 %, 50 %, 75 %, 95 %, by linear interpolation between order statistics (type 7 of Hyndman and
    /// Fan 1996, what NumPy does).
    package var quantiles: [Double]
}

/// One bar of the histogram of prices at the end.
package struct OutcomeBin: Sendable, Equatable {
    package var low: Double
    package var high: Double
    package var count: Int
    /// Share of paths by unit of price.
    package var density: Double
}

/// What comes out.
package struct SimulationResult: Sendable, Equatable {
    package static let quantileLevels = [0.05, 0.25, 0.5, 0.75, 0.95]
    package static let outcomeBins = 50

    package var fan: [FanStep]
    package var outcomes: [OutcomeBin]
    /// The first paths whole: prices at each step, from step 1.
    package var kept: [[Double]]
}

/// Simulates log prices: log S gains (μ - σ²/2) Δt + σ √Δt z at each step, which is exact for any Δt
/// (Glasserman 2003, section 3.2.1).
///
/// Path i at step t takes the number that Philox4x32-10 gives for the key `seed` and the counter (i/2, t): random numbers
/// as a function of a key and a counter, without a state that would have to be passed on (Salmon, Moraes, Dror, Shaw 2011,
/// "Parallel random numbers: as easy as 1, 2, 3", SC '11, section 3.3). So any number of threads compute any part, and
/// always the same one. Steps are done a few at a time for all paths, so memory is 64 bytes a path however many steps
/// there are.
package struct Simulation {
    /// Steps that are in memory at once.
    private static let tileSteps = 8
    /// Paths that a thread takes at once; a multiple of 16.
    private static let chunk = 1024

    private let parameters: SimulationParameters
    private let threads: Int
    private let instructions: InstructionSet
    /// Paths that are simulated: half of them with antithetic ones.
    private let basePaths: Int
    /// The mean of the log price grows by this with each step, its standard deviation is √t of the other.
    private let logDrift: Double
    private let logDeviation: Double

    package init(_ parameters: SimulationParameters, threads: Int = 1) throws(ForecastError) {
        try self.init(parameters, threads: threads, instructions: .best)
    }

    init(_ parameters: SimulationParameters, threads: Int, instructions: InstructionSet) throws(ForecastError) {
        try parameters.check()
        self.instructions = instructions
        self.parameters = parameters
        self.threads = max(1, threads)
        basePaths = parameters.isAntithetic ? parameters.paths / 2 : parameters.paths
        let variance = parameters.volatility * parameters.volatility
        logDrift = (parameters.drift - variance / 2) * parameters.stepYears
        logDeviation = parameters.volatility * parameters.stepYears.squareRoot()
        let farthest =
            log(parameters.spot) + logDrift * Double(parameters.steps)
            + (logDrift < 0 ? -9 : 9) * logDeviation * Double(parameters.steps).squareRoot()
        if farthest.magnitude > 690 {
            throw ForecastError("drift and volatility over this horizon lead to prices that float64 cannot hold")
        }
    }

    package func run() -> SimulationResult {
        let paths = parameters.paths
        // Rows are padded to whole groups of 16 paths, which are computed and not looked at.
        let stride = max((basePaths + 15) / 16 * 16, paths) + 16
        let tile = SharedBuffer(count: stride * Self.tileSteps)
        let state = SharedBuffer(count: (basePaths + 15) / 16 * 16)
        state.pointer.update(repeating: log(parameters.spot), count: state.count)
        var fan: [FanStep] = []
        fan.reserveCapacity(parameters.steps)
        var kept = [[Double]](repeating: [], count: parameters.keptPaths)
        var outcomes: [OutcomeBin] = []
        for first in Swift.stride(from: 0, to: parameters.steps, by: Self.tileSteps) {
            let steps = first..<min(first + Self.tileSteps, parameters.steps)
            Parallel.perform((basePaths + Self.chunk - 1) / Self.chunk, threads) { [self] index in
                advance(index, steps: steps, state, tile, stride)
            }
            fan += Parallel.map(steps.count, threads) { [self] row in
                summarize(.init(start: tile.pointer + row * stride, count: paths), step: first + row + 1)
            }
            for path in kept.indices {
                for row in 0..<steps.count { kept[path].append(exp(tile.pointer[row * stride + path])) }
            }
            if steps.upperBound == parameters.steps {
                outcomes = Self.histogram(.init(start: tile.pointer + (steps.count - 1) * stride, count: paths))
            }
        }
        return SimulationResult(fan: fan, outcomes: outcomes, kept: kept)
    }

    /// Takes one chunk of paths through some steps.
    private func advance(
        _ index: Int, steps: Range<Int>, _ state: SharedBuffer, _ tile: SharedBuffer, _ stride: Int
    ) {
        let start = index * Self.chunk
        let end = min(start + Self.chunk, state.count)
        tapedeck_advance(
            instructions.vectors, TapedeckWalk(drift: logDrift, deviation: logDeviation, key: parameters.seed),
            state.pointer + start, UInt64(start), end - start, UInt64(steps.lowerBound), steps.count,
            tile.pointer + start, stride)
    }

    /// Mean and quantiles of one step; fills in the mirrored half first.
    private func summarize(_ row: UnsafeMutableBufferPointer<Double>, step: Int) -> FanStep {
        let centre = log(parameters.spot) + logDrift * Double(step)
        if parameters.isAntithetic {
            for path in 0..<basePaths { row[basePaths + path] = 2 * centre - row[path] }
        }
        let spread = logDeviation * Double(step).squareRoot()
        let mean = tapedeck_sum_of_exp(instructions.vectors, row.baseAddress, row.count) / Double(row.count)
        let quantiles = Quantiles(centre: centre, spread: spread, instructions)
            .find(SimulationResult.quantileLevels, in: row)
        return FanStep(step: step, mean: mean, quantiles: quantiles.map { exp($0) })
    }

    /// Equal bins between the 0.1 % and the 99.9 % quantile; the first and the last reach to the ends.
    private static func histogram(_ row: UnsafeMutableBufferPointer<Double>) -> [OutcomeBin] {
        let prices = row.map { exp($0) }.sorted()
        let count = prices.count
        guard let lowest = prices.first, let highest = prices.last else { return [] }
        if lowest == highest { return [OutcomeBin(low: lowest, high: highest, count: count, density: 0)] }
        let low = prices[count / 1000]
        let high = prices[count - 1 - count / 1000]
        let width = (high - low) / Double(SimulationResult.outcomeBins)
        var bins: [OutcomeBin] = []
        var taken = 0
        for bin in 0..<SimulationResult.outcomeBins {
            let isLast = bin == SimulationResult.outcomeBins - 1
            let from = bin == 0 ? lowest : low + width * Double(bin)
            let to = isLast ? highest : low + width * Double(bin + 1)
            let start = taken
            while taken < count && (isLast || prices[taken] < to) { taken += 1 }
            bins.append(
                OutcomeBin(
                    low: from, high: to, count: taken - start,
                    density: to > from ? Double(taken - start) / Double(count) / (to - from) : 0))
        }
        return bins
    }
}

/// Exact quantiles of many numbers that are about normal: each number is put into one of many narrow buckets, and only
/// the few buckets that hold the order statistics asked for are sorted. Two passes, where sorting would take seventeen.
struct Quantiles {
    private static let buckets = 4096
    /// Half of the range that the buckets cover, in standard deviations; what lies beyond counts to the outermost.
    private static let reach = 6.5

    private let low: Double
    private let scale: Double
    private let instructions: InstructionSet

    /// - Parameters:
    ///   - centre: about where the middle is.
    ///   - spread: about the standard deviation; poor guesses cost time, and change nothing.
    init(centre: Double, spread: Double, _ instructions: InstructionSet = .best) {
        self.instructions = instructions
        low = centre - Self.reach * spread
        scale = spread > 0 ? Double(Self.buckets - 1) / (2 * Self.reach * spread) : 0
    }

    func find(_ levels: [Double], in row: UnsafeMutableBufferPointer<Double>) -> [Double] {
        let count = row.count
        guard count > 0, let base = row.baseAddress else { return levels.map { _ in .nan } }
        return withUnsafeTemporaryAllocation(of: UInt16.self, capacity: count + 8) { places in
            withUnsafeTemporaryAllocation(of: UInt32.self, capacity: Self.buckets) { counts in
                counts.initialize(repeating: 0)
                // The first pass: the bucket of each number, and how many each has. Rows are padded, so that eight can
                // always be read.
                tapedeck_buckets(
                    instructions.vectors, base, count, low, scale, Self.buckets, places.baseAddress,
                    counts.baseAddress)
                return pick(levels, base, count, places, counts)
            }
        }
    }

    /// The second pass: the numbers of the buckets that matter.
    private func pick(
        _ levels: [Double], _ row: UnsafeMutablePointer<Double>, _ count: Int,
        _ places: UnsafeMutableBufferPointer<UInt16>, _ counts: UnsafeMutableBufferPointer<UInt32>
    ) -> [Double] {
        var ranks: Set<Int> = []
        for level in levels {
            let rank = Int(level * Double(count - 1))
            ranks.formUnion([rank, min(rank + 1, count - 1)])
        }
        // Which buckets hold the ranks, and how many numbers lie before each.
        var wanted = [UInt8](repeating: 0, count: Self.buckets)
        var groups: [(bucket: Int, before: Int)] = []
        var before = 0
        var pending = ranks.sorted()[...]
        for bucket in 0..<Self.buckets {
            let inside = Int(counts[bucket])
            if let rank = pending.first, rank < before + inside {
                groups.append((bucket, before))
                wanted[bucket] = UInt8(groups.count)
                pending = pending.drop { $0 < before + inside }
            }
            before += inside
        }
        var members = [[Double]](repeating: [], count: groups.count)
        wanted.withUnsafeBufferPointer { wanted in
            for index in 0..<count {
                let group = wanted[Int(places[index])]
                if group != 0 { members[Int(group) - 1].append(row[index]) }
            }
        }
        for group in members.indices { members[group].sort() }
        func statistic(_ rank: Int) -> Double {
            for (group, place) in groups.enumerated() where rank < place.before + members[group].count {
                return members[group][rank - place.before]
            }
            return .nan
        }
        return levels.map { level in
            let position = level * Double(count - 1)
            let rank = Int(position)
            let lower = statistic(rank)
            let fraction = position - Double(rank)
            return fraction == 0 ? lower : lower + (statistic(min(rank + 1, count - 1)) - lower) * fraction
        }
    }
}
