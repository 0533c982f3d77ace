// SPDX-License-Identifier: Apache-2.0
// Counts and times of requests, as the HTTP server observes them.

import EventLoop
import HTTP
import Metrics
import Synchronization

/// Counts each request under its route, method and status; hears of it on the event loops.
///
/// What a request is counted in is looked up by one lock and one hash of the route; the counting is atomic additions.
final class RequestMetrics: ServerObserver {
    private struct Key: Hashable {
        var route: String
        var method: Method
        var status: UInt16
        var outcome: Exchange.Outcome
    }

    private struct Counted {
        var requests: Counter
        var duration: Histogram
        var bytes: Counter
    }

    private let requests: Family<Counter>
    private let durations: Family<Histogram>
    private let bytes: Family<Counter>
    private let refusals: Family<Counter>
    private let acceptFailures: Counter
    private let known = Mutex<[Key: Counted]>([:])
    /// Keys kept; routes, methods and statuses are few, and beyond it each is looked up in its family.
    private static let knownLimit = 1000

    init(_ registry: MetricsRegistry) {
        requests = registry.counters(
            "tapedeck_http_requests_total",
            "Requests handled, by route, method and status; outcome tells whether the reply left whole.",
            labels: ["route", "method", "status", "outcome"], limit: 1000)
        durations = registry.histograms(
            "tapedeck_http_request_duration_seconds",
            "From the last byte of the request's head to the last byte of the reply.",
            .durations(from: .microseconds(100), to: .seconds(60)), labels: ["route"])
        bytes = registry.counters(
            "tapedeck_http_response_bytes_total", "Bytes of bodies sent, without framing.", labels: ["route"])
        refusals = registry.counters(
            "tapedeck_http_requests_refused_total",
            "Requests and connections refused before any handler saw them, by the error's code; "
                + "connection_dropped: closed without an answer, because too many were being answered so.",
            labels: ["code"])
        acceptFailures = registry.counter(
            "tapedeck_http_accept_failures_total", "Times that connections could not be accepted.")
    }

    func exchangeFinished(_ exchange: Exchange) {
        let key = Key(
            route: exchange.route, method: exchange.method, status: exchange.status,
            outcome: exchange.outcome)
        let counted = known.withLock { known in
            if let counted = known[key] { return counted }
            let counted = look(up: exchange)
            if known.count < Self.knownLimit { known[key] = counted }
            return counted
        }
        counted.requests.add()
        counted.duration.observe(exchange.duration)
        counted.bytes.add(exchange.bodyBytes)
    }

    private func look(up exchange: Exchange) -> Counted {
        // A path that is none of ours is never a label: whoever asks could make as many as he likes.
        let route = exchange.route.isEmpty ? "other" : exchange.route
        return Counted(
            requests: requests[route, "\(exchange.method)", "\(exchange.status)", "\(exchange.outcome)"],
            duration: durations[route], bytes: bytes[route])
    }

    func requestRefused(_ refusal: Refusal) { refusals[refusal.error.code].add() }

    func connectionDropped() { refusals["connection_dropped"].add() }

    func acceptFailed(_ description: String) { acceptFailures.add() }
}

/// Tells several observers, in their order.
struct ServerObservers: ServerObserver {
    let all: [any ServerObserver]

    func exchangeFinished(_ exchange: Exchange) { for observer in all { observer.exchangeFinished(exchange) } }

    func requestRefused(_ refusal: Refusal) { for observer in all { observer.requestRefused(refusal) } }

    func connectionDropped() { for observer in all { observer.connectionDropped() } }

    func acceptFailed(_ description: String) { for observer in all { observer.acceptFailed(description) } }
}
