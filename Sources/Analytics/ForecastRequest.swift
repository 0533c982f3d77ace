// SPDX-License-Identifier: Apache-2.0

package import Forecast
package import Market

/// What a forecast is asked for.
package struct ForecastRequest: Sendable, Equatable {
    package enum Price: String, Sendable, CaseIterable {
        case close, vwap
    }

    package var symbol: String
    /// The bars that prices come from; a step of the forecast is as long.
    package var timeframe = Timeframe.hour1
    /// How far before the last bar prices are taken, in seconds.
    package var lookbackSeconds: Int64 = 30 * 86_400
    package var price = Price.vwap
    package var timeBase = TimeBase.calendar
    package var steps = 24
    package var paths = 10_000
    package var seed: UInt64
    /// Given ones are used as they are; each by year.
    package var drift: Double?
    package var volatility: Double?
    package var isAntithetic = false
    /// Bars that begin at or after this are not known; nil for all there are.
    package var until: Timestamp?
    /// How many paths are kept whole.
    package var keptPaths = 20

    package init(symbol: String, seed: UInt64) {
        self.symbol = symbol
        self.seed = seed
    }

    /// Seeds fit into a bigint.
    package static let seedRange = 0...Int64.max
    package static let lookbackRange: ClosedRange<Int64> = 1...(100 * 366 * 86_400)
    package static let keptPathsRange = 0...100
    /// Bars of one look-back.
    package static let barLimit = 100_000

    /// Throws what is not allowed, as far as can be told without prices.
    package func check() throws(AnalyticsError) {
        if timeBase == .trading && timeframe != .day1 {
            throw AnalyticsError(
                .invalid, "trading time needs the timeframe 1d", hint: "Within a day, use calendar time.")
        }
        if !Self.lookbackRange.contains(lookbackSeconds) {
            throw AnalyticsError(.invalid, "the look-back is \(lookbackSeconds) s; allowed: 1 s to 100 years")
        }
        if !Self.keptPathsRange.contains(keptPaths) {
            throw AnalyticsError(.invalid, "kept paths is \(keptPaths); allowed: 0 to 100")
        }
        if seed > UInt64(Int64.max) { throw AnalyticsError(.invalid, "the seed is beyond 2^63 - 1") }
        try checkSimulation(spot: 1, drift: drift ?? 0, volatility: volatility ?? 0)
    }

    /// The parameters of the simulation, checked.
    func simulation(spot: Double, drift: Double, volatility: Double) throws(AnalyticsError) -> SimulationParameters {
        try checkSimulation(spot: spot, drift: drift, volatility: volatility)
    }

    @discardableResult
    private func checkSimulation(
        spot: Double, drift: Double, volatility: Double
    ) throws(AnalyticsError) -> SimulationParameters {
        var parameters = SimulationParameters(
            spot: spot, drift: drift, volatility: volatility, stepYears: timeBase.years(seconds: stepSeconds),
            steps: steps, paths: paths, seed: seed)
        parameters.isAntithetic = isAntithetic
        parameters.keptPaths = min(keptPaths, paths)
        do throws(ForecastError) {
            try parameters.check()
        } catch {
            throw AnalyticsError(.invalid, error.message)
        }
        return parameters
    }

    package var stepSeconds: Double { Double(timeframe.microseconds) / 1e6 }

    /// The look-back as settings spell times: `30d`, `90m`.
    package var lookbackText: String {
        for (seconds, unit) in [(86_400, "d"), (3600, "h"), (60, "m")] as [(Int64, String)]
        where lookbackSeconds % seconds == 0 {
            return "\(lookbackSeconds / seconds)\(unit)"
        }
        return "\(lookbackSeconds)s"
    }
}

/// What is known of a symbol when a forecast is made.
package struct PriceHistory: Sendable, Equatable {
    package struct Bar: Sendable, Equatable {
        package var start: Timestamp
        package var close: Double
        package var vwap: Double?

        package init(start: Timestamp, close: Double, vwap: Double?) {
            self.start = start
            self.close = close
            self.vwap = vwap
        }
    }

    /// In order of time.
    package var bars: [Bar]

    package init(bars: [Bar]) { self.bars = bars }
}

/// A forecast: what it was made from, and what came out.
package struct MadeForecast: Sendable, Equatable {
    package var request: ForecastRequest
    package var madeAt: Timestamp
    package var spot: Double
    package var spotTime: Timestamp
    package var drift: Double
    package var volatility: Double
    /// Nil when drift and volatility were both given.
    package var returns: Int?
    package var result: SimulationResult
    /// The time that each step stands for.
    package var times: [Timestamp]

    /// Estimates what is not given, and simulates. Takes about 10 ns for each path and step on one thread.
    package init(
        _ request: ForecastRequest, _ history: PriceHistory, madeAt: Timestamp, threads: Int
    ) throws(AnalyticsError) {
        guard let last = history.bars.last else {
            throw AnalyticsError(
                .notFound, "\(request.symbol) has no \(request.timeframe.name) bars",
                hint: "The symbols that have traded are in market.symbols.")
        }
        var estimate: ModelEstimate?
        if request.drift == nil || request.volatility == nil {
            let prices = history.bars.map { bar in
                (
                    seconds: Double(bar.start.microseconds) / 1e6,
                    price: request.price == .vwap ? bar.vwap ?? bar.close : bar.close
                )
            }
            do throws(ForecastError) {
                estimate = try ModelEstimate(prices: prices, barSeconds: request.stepSeconds, base: request.timeBase)
            } catch {
                throw AnalyticsError(
                    .insufficientData, error.message,
                    hint: "Look back further, take a finer timeframe, or give drift and volatility.")
            }
        }
        let drift = request.drift ?? estimate?.drift ?? 0
        let volatility = request.volatility ?? estimate?.volatility ?? 0
        let parameters = try request.simulation(spot: last.close, drift: drift, volatility: volatility)
        do throws(ForecastError) {
            result = try Simulation(parameters, threads: threads).run()
        } catch {
            throw AnalyticsError(.invalid, error.message)
        }
        self.request = request
        self.madeAt = madeAt
        self.drift = drift
        self.volatility = volatility
        spot = last.close
        returns = estimate?.returns
        let barEnd = Timestamp(microseconds: last.start.microseconds + request.timeframe.microseconds)
        spotTime = min(barEnd, max(madeAt, last.start))
        times = Self.times(from: spotTime, request)
    }

    /// Steps follow each other; days of trading leave out Saturdays and Sundays (holidays are not known).
    private static func times(from start: Timestamp, _ request: ForecastRequest) -> [Timestamp] {
        var times: [Timestamp] = []
        var time = start
        for _ in 0..<request.steps {
            repeat {
                time.microseconds += request.timeframe.microseconds
                // 1970-01-01 was a Thursday. The day that ends at this time is the one traded.
            } while request.timeBase == .trading && [2, 3].contains(floorMod(time.day - 1, 7))
            times.append(time)
        }
        return times
    }

    private static func floorMod(_ value: Int64, _ divisor: Int64) -> Int64 {
        let rest = value % divisor
        return rest < 0 ? rest + divisor : rest
    }
}
