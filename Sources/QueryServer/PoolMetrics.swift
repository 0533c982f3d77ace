// SPDX-License-Identifier: Apache-2.0
// What the pools of connections to PostgreSQL and the door in front of them do, as gauges and counters.

import Metrics
import Postgres

/// Shows the statistics of pools and of lanes.
struct PoolMetrics: Sendable {
    private let connections: Family<Gauge>
    private let waiting: Family<Gauge>
    private let events: Family<Counter>
    private let statements: Family<Gauge>
    private let admissions: Family<Counter>

    init(_ registry: MetricsRegistry) {
        connections = registry.gauges(
            "tapedeck_pool_connections", "Connections to PostgreSQL, by what they do now.", labels: ["pool", "state"])
        waiting = registry.gauges(
            "tapedeck_pool_waiting_requests", "Requests that wait for a connection to PostgreSQL.", labels: ["pool"])
        events = registry.counters(
            "tapedeck_pool_events_total",
            """
            What has happened in pools: checkout (a connection was lent), connect, connect_failure, refused (too many \
            waited), timeout (waited in vain), found_dead.
            """, labels: ["pool", "event"])
        statements = registry.gauges(
            "tapedeck_statements", "Statements of clients now, by lane: running, or waiting for their turn.",
            labels: ["lane", "state"])
        admissions = registry.counters(
            "tapedeck_admissions_total",
            "Statements by what came of them at the door: admitted, batched (answered beside it, with others), refused_client (429), refused_all (503).",
            labels: ["lane", "outcome"])
    }

    /// - Parameter lane: which statements; see ``Admission/Lane``.
    func show(_ statistics: Admission.Statistics, batched: Int, of lane: String) {
        admissions[lane, "batched"].set(total: batched)
        statements[lane, "running"].set(statistics.running)
        statements[lane, "waiting"].set(statistics.waiting)
        admissions[lane, "admitted"].set(total: statistics.admitted)
        admissions[lane, "refused_client"].set(total: statistics.refusedForClient)
        admissions[lane, "refused_all"].set(total: statistics.refusedForAll)
    }

    /// - Parameter pool: what its connections are for.
    func show(_ statistics: ConnectionPool.Statistics, as pool: String) {
        connections[pool, "idle"].set(statistics.idle)
        connections[pool, "busy"].set(statistics.open - statistics.idle)
        connections[pool, "connecting"].set(statistics.connecting)
        waiting[pool].set(statistics.waiting)
        for (event, count) in [
            ("checkout", statistics.checkouts), ("connect", statistics.connects),
            ("connect_failure", statistics.connectFailures), ("refused", statistics.refused),
            ("timeout", statistics.timeouts), ("found_dead", statistics.foundDead),
        ] {
            events[pool, event].set(total: count)
        }
    }
}

extension ConnectionPool.Statistics {
    static func += (sum: inout Self, other: Self) {
        sum.open += other.open
        sum.idle += other.idle
        sum.connecting += other.connecting
        sum.waiting += other.waiting
        sum.checkouts += other.checkouts
        sum.connects += other.connects
        sum.connectFailures += other.connectFailures
        sum.refused += other.refused
        sum.timeouts += other.timeouts
        sum.foundDead += other.foundDead
    }
}
