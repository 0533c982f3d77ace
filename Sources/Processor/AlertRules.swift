// SPDX-License-Identifier: Apache-2.0

package import Market

/// When a bar deserves an alert. A pure value; a threshold of 0 is none.
package struct AlertRules: Sendable, Equatable {
    /// What a bar did.
    enum Kind: String, CaseIterable, Sendable {
        /// Its close lies below its open, or above it, by ``move`` percent or more.
        case drop, spike
        /// It traded ``volume`` units or more.
        case volume
        /// Its high lies above its low by ``range`` percent or more.
        case range
    }

    /// A bar that went beyond a threshold.
    struct Alert: Equatable, Sendable {
        var kind: Kind
        /// Percent, or units for volume.
        var value: Double
        var threshold: Double
    }

    /// The timeframe whose bars are looked at; nil for none.
    package var timeframe: Timeframe?
    /// Percent.
    package var move: Double
    /// Units of the instrument.
    package var volume: Double
    /// Percent.
    package var range: Double
    /// A new alert within this time, event time, of another of its symbol and kind is left out.
    package var coolDown: Duration

    package init(
        timeframe: Timeframe? = .minute1, move: Double = 5, volume: Double = 1_000_000, range: Double = 3,
        coolDown: Duration = .seconds(300)
    ) {
        self.timeframe = timeframe
        self.move = move
        self.volume = volume
        self.range = range
        self.coolDown = coolDown
    }

    /// The alerts that a bar deserves.
    func alerts(of bar: BarAggregate) -> [Alert] {
        var alerts: [Alert] = []
        let change = (bar.close - bar.open) / bar.open * 100
        if move > 0 && change <= -move { alerts.append(Alert(kind: .drop, value: change, threshold: -move)) }
        if move > 0 && change >= move { alerts.append(Alert(kind: .spike, value: change, threshold: move)) }
        let traded = bar.volume.value
        if volume > 0 && traded >= volume { alerts.append(Alert(kind: .volume, value: traded, threshold: volume)) }
        let spread = (bar.high - bar.low) / bar.low * 100
        if range > 0 && spread >= range { alerts.append(Alert(kind: .range, value: spread, threshold: range)) }
        return alerts
    }
}
