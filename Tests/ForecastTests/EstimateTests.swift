// SPDX-License-Identifier: Apache-2.0

import Forecast
import Glibc
import Testing
import TestSupport

struct EstimateTests {
    @Test func `equal steps give the textbook's figures`() throws {
        let prices = [100.0, 101, 99, 102, 103, 101.5]
        let estimate = try ModelEstimate(
            prices: prices.enumerated().map { (Double($0.offset) * 86_400 * 3, $0.element) }, barSeconds: 86_400,
            base: .trading)
        let returns = zip(prices, prices.dropFirst()).map { log($1 / $0) }
        let mean = returns.reduce(0, +) / 5
        let variance = returns.map { ($0 - mean) * ($0 - mean) }.reduce(0, +) / 4
        #expect((estimate.volatility - (variance * 252).squareRoot()).magnitude < 1e-12)
        #expect((estimate.drift - (mean * 252 + variance * 126)).magnitude < 1e-12)
        #expect(estimate.returns == 5)
    }

    @Test func `in calendar time a gap counts as long as it was`() throws {
        // One long step is as good as two of half its length, if the way is the same.
        let even = try ModelEstimate(
            prices: [(0, 100), (3600, 102), (7200, 101), (14_400, 103)], barSeconds: 3600, base: .calendar)
        #expect(even.returns == 3)
        let years = 14_400.0 / (86_400 * 365)
        #expect((even.drift - even.volatility * even.volatility / 2 - log(1.03) / years).magnitude < 1e-6)
    }

    @Test func `what was simulated is found again`() throws {
        var parameters = SimulationParameters(
            spot: 50, drift: 0.5, volatility: 0.6, stepYears: 1.0 / 252, steps: 8000, paths: 16, seed: 3)
        parameters.keptPaths = 16
        for path in try Simulation(parameters).run().kept {
            let estimate = try ModelEstimate(
                prices: path.enumerated().map { (Double($0.offset) * 86_400, $0.element) }, barSeconds: 86_400,
                base: .trading)
            // Standard errors: σ/√(2n) of the volatility, σ/√T of the drift.
            #expect((estimate.volatility - 0.6).magnitude < 4.5 * 0.6 / 16_000.0.squareRoot())
            #expect((estimate.drift - 0.5).magnitude < 4.5 * 0.6 / (8000.0 / 252).squareRoot())
        }
    }

    @Test func `what gives no estimate is refused`() {
        func refusal(_ prices: [(seconds: Double, price: Double)]) -> String? {
            do throws(ForecastError) {
                _ = try ModelEstimate(prices: prices, barSeconds: 60, base: .calendar)
                return nil
            } catch {
                return error.message
            }
        }
        #expect(refusal([(0, 1), (60, 2)]) == "there are 2 prices in the look-back; at least 3 are needed")
        #expect(refusal([(0, 1), (60, 2), (120, 1)]) == nil)
        #expect(refusal([(0, 1), (60, 0), (120, 1)]) == "a price in the look-back is not above 0")
        #expect(refusal([(0, 1), (60, 2), (60, 1)]) == "the prices are not in order of time")
    }
}

struct CalibrationTests {
    @Test func `the score of the log-normal is that of its definition`() {
        // ∫ (F - 1)² by the trapezoidal rule.
        let (m, s) = (log(100.0), 0.3)
        for actual in [60.0, 90, 100, 130, 200] {
            let width = 0.01
            var integral = 0.0
            for index in 1..<200_000 {
                let x = Double(index) * width
                let f = Calibration.normalCDF((log(x) - m) / s) - (x >= actual ? 1 : 0)
                integral += f * f * width
            }
            #expect((Calibration.crps(logMean: m, logDeviation: s, actual: actual) - integral).magnitude < 0.02)
        }
        #expect((Calibration.crps(logMean: log(100), logDeviation: 0, actual: 93) - 7).magnitude < 1e-9)
    }

    @Test func `the score of a sample is that of all pairs, and nears the closed form`() throws {
        var random = SeededRandom()
        let sample = (0..<40).map { _ in Double.random(in: 0..<10, using: &random) }
        var pairs = 0.0
        for x in sample { for y in sample { pairs += (x - y).magnitude } }
        let error = sample.map { ($0 - 4).magnitude }.reduce(0, +) / 40
        #expect(
            (Calibration.crps(sample: sample, actual: 4) - (error - pairs / 3200)).magnitude < 1e-12,
            "seed \(random.seed)")

        var parameters = SimulationParameters(
            spot: 100, drift: 0.1, volatility: 0.5, stepYears: 0.25, steps: 1, paths: 40_000, seed: 5)
        parameters.keptPaths = 40_000
        let prices = try Simulation(parameters).run().kept.map { $0[0] }
        let exact = Calibration.crps(logMean: log(100) + (0.1 - 0.125) * 0.25, logDeviation: 0.25, actual: 120)
        #expect((Calibration.crps(sample: prices, actual: 120) - exact).magnitude < 0.5)
    }
}
