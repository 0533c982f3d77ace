// SPDX-License-Identifier: Apache-2.0

import Glibc

/// How well forecasts of distributions fit what happened.
package enum Calibration {
    /// The continuous ranked probability score of a log-normal forecast: ∫ (F(x) - 1{x ≥ y})² dx, in units of the price;
    /// smaller is better, and for a forecast without spread it is the absolute error.
    ///
    /// With F the distribution of e^(m + s Z): CRPS = y [2 Φ(ω) - 1] - 2 e^(m + s²/2) [Φ(ω - s) + Φ(s/√2) - 1], where
    /// ω = (ln y - m)/s. Source: Baran, Lerch 2015, "Log-normal distribution based Ensemble Model Output Statistics
    /// models for probabilistic wind-speed forecasting", Quarterly Journal of the Royal Meteorological Society 141,
    /// equation 6.
    ///
    /// - Parameters:
    ///   - logMean: m, the mean of the logarithm.
    ///   - logDeviation: s, its standard deviation, 0 or more.
    ///   - actual: y, the price that came.
    package static func crps(logMean: Double, logDeviation: Double, actual: Double) -> Double {
        if logDeviation <= 0 { return (exp(logMean) - actual).magnitude }
        let omega = (log(actual) - logMean) / logDeviation
        return actual * (2 * normalCDF(omega) - 1)
            - 2 * exp(logMean + logDeviation * logDeviation / 2)
            * (normalCDF(omega - logDeviation) + normalCDF(logDeviation / 2.0.squareRoot()) - 1)
    }

    /// The same score of a sample: mean |xᵢ - y| - ½ mean |xᵢ - xⱼ|. Source: Gneiting, Raftery 2007, "Strictly Proper
    /// Scoring Rules, Prediction, and Estimation", Journal of the American Statistical Association 102, equation 21.
    package static func crps(sample: [Double], actual: Double) -> Double {
        let sorted = sample.sorted()
        let count = Double(sorted.count)
        var error = 0.0
        var spread = 0.0
        for (index, value) in sorted.enumerated() {
            error += (value - actual).magnitude
            // Of all pairs, value is the larger of `index` and the smaller of the rest.
            spread += value * (2 * Double(index) + 1 - count)
        }
        return error / count - spread / (count * count)
    }

    /// Φ, the standard normal distribution function.
    package static func normalCDF(_ x: Double) -> Double { erfc(-x / 2.0.squareRoot()) / 2 }

    /// Whether `actual` lies within a band, its bounds included.
    package static func covers(low: Double, high: Double, actual: Double) -> Bool { low <= actual && actual <= high }
}
