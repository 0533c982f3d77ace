// SPDX-License-Identifier: Apache-2.0

@testable import Forecast
import Glibc
import Testing
import TestSupport

struct SimulationTests {
    private static func parameters(_ change: (inout SimulationParameters) -> Void = { _ in }) -> SimulationParameters {
        var parameters = SimulationParameters(
            spot: 100, drift: 0.12, volatility: 0.4, stepYears: 1.0 / 252, steps: 20, paths: 20_000, seed: 1)
        change(&parameters)
        return parameters
    }

    /// Of the normal distribution: Φ⁻¹ of the levels of the fan.
    private static let normalQuantiles = [
        -1.6448536269514722, -0.6744897501960817, 0, 0.6744897501960817, 1.6448536269514722,
    ]

    @Test(arguments: [UInt64(0), 42, 1 << 40, .max]) func `mean and quantiles match the closed form`(seed: UInt64)
        throws
    {
        let parameters = Self.parameters { $0.seed = seed }
        let result = try Simulation(parameters).run()
        let n = Double(parameters.paths)
        #expect(result.fan.map(\.step) == Array(1...20))
        for step in result.fan {
            let t = Double(step.step) * parameters.stepYears
            let variance = parameters.volatility * parameters.volatility * t
            // E S = S₀ e^(μt), Var S = S₀² e^(2μt) (e^(σ²t) - 1).
            let mean = parameters.spot * exp(parameters.drift * t)
            let deviation = mean * (exp(variance) - 1).squareRoot()
            // 4 seeds × 20 steps × 6 numbers, seldom independent: 5 standard errors are passed by chance once in 3,600 choices
            // of seeds; these four are fixed.
            #expect((step.mean - mean).magnitude < 5 * deviation / n.squareRoot(), "seed \(seed) step \(step.step)")
            for (index, level) in SimulationResult.quantileLevels.enumerated() {
                let z = Self.normalQuantiles[index]
                let logMean =
                    log(parameters.spot) + (parameters.drift - parameters.volatility * parameters.volatility / 2) * t
                // The standard error of a sample quantile is √(p (1-p) / n) / density there.
                let density = exp(-z * z / 2) / (2 * Double.pi).squareRoot() / variance.squareRoot()
                let error = (level * (1 - level) / n).squareRoot() / density
                let distance = (log(step.quantiles[index]) - logMean - z * variance.squareRoot()).magnitude
                #expect(distance < 5 * error, "seed \(seed) step \(step.step) level \(level)")
            }
        }
    }

    @Test func `the variance of log prices matches, and steps are independent`() throws {
        let parameters = Self.parameters {
            $0.paths = 4000
            $0.keptPaths = 4000
        }
        let result = try Simulation(parameters).run()
        var squares = 0.0
        var products = 0.0
        var count = 0.0
        let deviation = parameters.volatility * parameters.stepYears.squareRoot()
        for path in result.kept {
            let z = zip([parameters.spot] + path, path).map { before, after in
                (log(after / before) - (parameters.drift - 0.08) * parameters.stepYears) / deviation
            }
            for (index, value) in z.enumerated() {
                squares += value * value
                if index > 0 { products += value * z[index - 1] }
                count += 1
            }
        }
        #expect((squares / count - 1).magnitude < 5 * (2 / count).squareRoot())
        #expect((products / count).magnitude < 5 / count.squareRoot())
    }

    @Test func `the same seed gives the same result on any number of threads`() throws {
        for isAntithetic in [false, true] {
            let parameters = Self.parameters {
                $0.paths = 5002
                $0.isAntithetic = isAntithetic
            }
            let one = try Simulation(parameters, threads: 1).run()
            for threads in [2, 3, 7] { #expect(try Simulation(parameters, threads: threads).run() == one) }
            // And with any instructions.
            for instructions in InstructionSet.available {
                #expect(try Simulation(parameters, threads: 2, instructions: instructions).run() == one)
            }
            #expect(
                try Simulation(
                    Self.parameters {
                        $0.paths = 5002; $0.seed = 2
                    }
                ).run() != one)
        }
    }

    @Test func `more steps leave the first ones as they are`() throws {
        let long = try Simulation(Self.parameters { $0.steps = 20 }).run()
        let short = try Simulation(Self.parameters { $0.steps = 9 }).run()
        #expect(Array(long.fan.prefix(9)) == short.fan)
    }

    @Test func `antithetic paths mirror each other, and their median is exact`() throws {
        let parameters = Self.parameters {
            $0.paths = 1000
            $0.keptPaths = 1000
            $0.isAntithetic = true
        }
        let result = try Simulation(parameters).run()
        for step in [0, 7, 8, 19] {
            let centre = log(100) + (0.12 - 0.08) * parameters.stepYears * Double(step + 1)
            for path in 0..<500 {
                let sum = log(result.kept[path][step]) + log(result.kept[path + 500][step])
                #expect((sum - 2 * centre).magnitude < 1e-12)
            }
            #expect(
                (log(result.fan[step].quantiles[2]) - centre).magnitude < 1e-2 * 0.4 * parameters.stepYears.squareRoot()
            )
        }
    }

    @Test func `quantiles are those of sorting`() throws {
        var random = SeededRandom()
        for count in [1, 2, 3, 7, 8, 9, 100, 1001, 20_000] {
            // Also what the guess of the centre does not fit: everything in one bucket, or in the outermost ones.
            for spread in [0.0, 1e-9, 1, 100] {
                let values = (0..<count).map { _ in Double.random(in: -3...3, using: &random) }
                let padded = UnsafeMutableBufferPointer<Double>.allocate(capacity: count + 16)
                defer { padded.deallocate() }
                padded.initialize(repeating: 0)
                for (index, value) in values.enumerated() { padded[index] = value }
                let levels = [0, 0.05, 0.25, 0.5, 0.75, 0.95, 1]
                let found = Quantiles(centre: 0, spread: spread).find(levels, in: .init(rebasing: padded[..<count]))
                let sorted = values.sorted()
                for (level, value) in zip(levels, found) {
                    let position = level * Double(count - 1)
                    let lower = sorted[Int(position)]
                    let upper = sorted[min(Int(position) + 1, count - 1)]
                    let expected = lower + (upper - lower) * (position - position.rounded(.down))
                    #expect((value - expected).magnitude < 1e-15, "seed \(random.seed) count \(count) level \(level)")
                }
            }
        }
    }

    @Test func `the outcomes are all paths at the last step`() throws {
        let result = try Simulation(Self.parameters()).run()
        #expect(result.outcomes.count == 50)
        #expect(result.outcomes.map(\.count).reduce(0, +) == 20_000)
        #expect((result.outcomes.map { $0.density * ($0.high - $0.low) }.reduce(0, +) - 1).magnitude < 1e-12)
        for (bin, next) in zip(result.outcomes, result.outcomes.dropFirst()) { #expect(bin.high == next.low) }
        let below = result.outcomes.filter { $0.high <= result.fan[19].quantiles[2] }.map(\.count).reduce(0, +)
        #expect(below <= 10_000 && below > 8000)
        #expect(result.kept.count == 20 && result.kept.allSatisfy { $0.count == 20 })
    }

    @Test func `without volatility the price is certain`() throws {
        let result = try Simulation(Self.parameters { $0.volatility = 0 }).run()
        let last = 100 * exp(0.12 * 20 / 252)
        #expect((result.fan[19].mean - last).magnitude < 1e-10)
        #expect(result.fan[19].quantiles.allSatisfy { ($0 - last).magnitude < 1e-10 })
        #expect(result.outcomes.map(\.count) == [20_000])
    }

    @Test func `each limit holds at, below and above it`() {
        func isAllowed(_ change: (inout SimulationParameters) -> Void) -> Bool {
            var parameters = Self.parameters(change)
            parameters.keptPaths = min(parameters.keptPaths, parameters.paths)
            return (try? parameters.check()) != nil
        }
        #expect(isAllowed { $0.steps = 1 } && !isAllowed { $0.steps = 0 })
        #expect(isAllowed { $0.steps = 10_000 } && !isAllowed { $0.steps = 10_001 })
        #expect(isAllowed { $0.paths = 2 } && !isAllowed { $0.paths = 1 })
        #expect(isAllowed { $0.paths = 1_000_000 } && !isAllowed { $0.paths = 1_000_001 })
        #expect(isAllowed { ($0.paths, $0.steps) = (100_000, 10_000) })
        #expect(!isAllowed { ($0.paths, $0.steps) = (100_001, 10_000) })
        #expect(
            isAllowed { $0.volatility = 0 } && !isAllowed { $0.volatility = -0.1 }
                && !isAllowed { $0.volatility = .nan })
        #expect(isAllowed { $0.volatility = 1e5 } && !isAllowed { $0.volatility = 100_001 })
        #expect(
            isAllowed { $0.drift = -1e9 } && !isAllowed { $0.drift = -1.1e9 } && !isAllowed { $0.drift = .infinity })
        #expect(!isAllowed { $0.spot = 0 } && !isAllowed { $0.spot = .infinity } && !isAllowed { $0.stepYears = 0 })
        #expect(isAllowed { $0.stepYears = 1 } && !isAllowed { $0.stepYears = 1.1 })
        #expect(!isAllowed { ($0.isAntithetic, $0.paths) = (true, 11) })
        #expect(throws: ForecastError.self) {
            try Simulation(Self.parameters { ($0.drift, $0.stepYears, $0.steps) = (900, 1, 2) })
        }
    }
}
