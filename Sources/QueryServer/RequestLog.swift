// SPDX-License-Identifier: Apache-2.0
// One log line for each request.

import EventLoop
import HTTP
import Logging

/// Turns what the HTTP server observes into log lines: never a query, a parameter or a path as it came.
struct RequestLog: ServerObserver {
    let logger: Logger

    func exchangeFinished(_ exchange: Exchange) {
        logger.info(
            "request",
            metadata: [
                "id": "\(QueryID(exchange.id))", "method": "\(exchange.method)", "route": "\(exchange.route)",
                "status": "\(exchange.status)", "bytes": "\(exchange.bodyBytes)",
                "ms": "\(Double(exchange.duration.inNanoseconds / 1000) / 1000)", "peer": "\(exchange.peer)",
                "outcome": "\(exchange.outcome)",
            ].merging(exchange.trace.metadata) { own, _ in own })
    }

    func requestRefused(_ refusal: Refusal) {
        logger.info("request refused", metadata: ["peer": "\(refusal.peer)", "error": "\(refusal.error)"])
    }

    func connectionDropped() {}

    func acceptFailed(_ description: String) {
        logger.warning("connections cannot be accepted", metadata: ["error": "\(description)"])
    }
}

extension TraceContext {
    /// Under the names that OpenTelemetry gives them in logs that are not its own.
    var metadata: Logger.Metadata {
        ["trace_id": "\(traceText)", "span_id": "\(spanText)", "trace_flags": "\(flagsText)"]
    }
}
