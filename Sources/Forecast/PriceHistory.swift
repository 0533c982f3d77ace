// SPDX-License-Identifier: Apache-2.0

import Glibc

/// How time counts in the estimates of drift and volatility.
package enum TimeBase: String, Sendable, CaseIterable {
    /// Markets that never close: time between two prices counts as it passed; a year has 365 days.
    case calendar
    /// Exchanges with hours: from one bar to the next is one bar's width, whatever night or weekend lies between; a year
    /// has 252 trading days, and counts as 252 daily bars (or as many shorter ones as fit into 252 × 24 h).
    case trading

    /// Days in a year: what the annual figures are scaled by.
    package var daysPerYear: Double { self == .calendar ? 365 : 252 }

    /// A span of time in years.
    package func years(seconds: Double) -> Double { seconds / (86_400 * daysPerYear) }
}

/// Drift and volatility of geometric Brownian motion, dS = μ S dt + σ S dW, by year.
package struct ModelEstimate: Sendable, Equatable {
    /// μ: expected growth of the price, a year, continuously compounded. Its standard error is σ/√T for T years of
    /// history, so a short look-back says next to nothing about it.
    package var drift: Double
    /// σ: standard deviation of the log return of a year.
    package var volatility: Double
    /// How many returns it rests on.
    package var returns: Int

    /// Estimates both from prices in order of time.
    ///
    /// Log returns rᵢ over Δtᵢ years are normal with mean m Δtᵢ and variance σ² Δtᵢ; maximum likelihood gives
    /// m = Σrᵢ / ΣΔtᵢ, and with Bessel's correction σ² = 1/(n-1) · Σ (rᵢ - m Δtᵢ)² / Δtᵢ; then μ = m + σ²/2. For equal
    /// Δt these are the textbook's (Hull, "Options, Futures, and Other Derivatives", "Estimating volatility from
    /// historical data").
    ///
    /// - Parameters:
    ///   - prices: times in seconds, ascending, and prices above 0.
    ///   - barSeconds: the width of the bars the prices are of.
    package init(prices: [(seconds: Double, price: Double)], barSeconds: Double, base: TimeBase) throws(ForecastError) {
        guard prices.count >= 3 else {
            throw ForecastError("there are \(prices.count) prices in the look-back; at least 3 are needed")
        }
        var total = 0.0
        var time = 0.0
        var steps: [(change: Double, years: Double)] = []
        for (before, after) in zip(prices, prices.dropFirst()) {
            guard before.price > 0, after.price > 0, after.price.isFinite, before.price.isFinite else {
                throw ForecastError("a price in the look-back is not above 0")
            }
            guard after.seconds > before.seconds else { throw ForecastError("the prices are not in order of time") }
            let seconds = base == .calendar ? after.seconds - before.seconds : barSeconds
            let step = (change: log(after.price / before.price), years: base.years(seconds: seconds))
            steps.append(step)
            total += step.change
            time += step.years
        }
        let mean = total / time
        var squares = 0.0
        for step in steps {
            let rest = step.change - mean * step.years
            squares += rest * rest / step.years
        }
        let variance = squares / Double(steps.count - 1)
        drift = mean + variance / 2
        volatility = variance.squareRoot()
        returns = steps.count
    }
}
