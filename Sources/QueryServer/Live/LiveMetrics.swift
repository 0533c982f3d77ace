// SPDX-License-Identifier: Apache-2.0
// What the live tape does, as gauges and counters.

import Market
import Metrics

/// Counts subscribers, trades and what they missed.
struct LiveMetrics: Sendable {
    let subscribers: Family<Gauge>
    let isConnected: Gauge
    private let trades: Counter
    private let delay: Histogram
    private let missed: Family<Counter>

    init(_ registry: MetricsRegistry) {
        subscribers = registry.gauges(
            "tapedeck_live_subscribers", "Clients that watch the tape live, by how: stream (SSE) or ws (WebSocket).",
            labels: ["kind"])
        isConnected = registry.gauge(
            "tapedeck_live_connected", "1 while the live tape is followed; 0 without subscribers or store.")
        trades = registry.counter("tapedeck_live_trades_total", "Trades read for live subscribers.")
        delay = registry.histogram(
            "tapedeck_live_delay_seconds",
            "From a transaction's being about to commit (by the store's clock) to its trades being in memory here.",
            .durations(from: .microseconds(100), to: .seconds(60)))
        missed = registry.counters(
            "tapedeck_live_missed_total", "Times that a subscriber was told that it has missed something, by reason.",
            labels: ["reason"])
    }

    func read(trades count: Int, committedAt: Int64) {
        trades.add(count)
        delay.observe(.microseconds(max(0, QueryHandler.now().microseconds - committedAt)))
    }

    func told(_ reason: LiveGap.Reason) { missed[reason.rawValue].add() }
}
