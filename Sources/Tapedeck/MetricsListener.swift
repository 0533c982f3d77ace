// SPDX-License-Identifier: Apache-2.0

import EventLoop
import HTTP
import Logging
import Metrics
import Postgres
import QueryServer

/// `/metrics`, `/live` and `/ready` for the roles without a query server, on an event loop of their own: a processor
/// that is busy or stuck still tells how it is.
struct MetricsListener: Sendable {
    private let server: Server
    private let loop: EventLoop
    private let serving: Task<Void, Never>

    /// Listens where the setting says; nil if it says nothing.
    ///
    /// - Parameter isReady: whether the role does its work.
    static func start(
        _ settings: Settings, _ registry: MetricsRegistry, logger: Logger, isReady: @escaping @Sendable () -> Bool
    ) throws -> MetricsListener? {
        guard let address = settings.text(.metricsListen) else { return nil }
        registry.addProcessMetrics(version: Tapedeck.version)
        var configuration = HTTP.Configuration(address: try SocketAddress(address))
        configuration.connectionLimit = 64
        let loop = try EventLoop(name: "metrics")
        loop.start()
        let server = try Server(configuration, loops: [loop]) { _ in
            OperatorHandler(registry: registry, isReady: isReady)
        }
        logger.notice("metrics are served", metadata: ["url": "http://\(server.boundAddress)/metrics"])
        return MetricsListener(
            server: server, loop: loop, serving: Task(executorPreference: loop) { await server.run() })
    }

    func stop() async {
        await server.shutdown(deadline: .milliseconds(100))
        await serving.value
        loop.stop()
    }
}

private struct OperatorHandler: Handler {
    let registry: MetricsRegistry
    let isReady: @Sendable () -> Bool

    func handle(_ request: Request, _ response: ResponseWriter) async throws {
        guard request.head.method == .get || request.head.method == .head else {
            throw HTTPError(
                .methodNotAllowed, code: "method_not_allowed", message: "only GET and HEAD are allowed here")
        }
        if request.head.pathIs("/metrics") {
            try await response.respond(
                .ok, ["Content-Type": Exposition.contentType, "Cache-Control": "no-store"], await registry.scrape())
        } else if request.head.pathIs("/live") {
            try await answer(response, .ok, "ok")
        } else if request.head.pathIs("/ready") {
            try await answer(response, isReady() ? .ok : .serviceUnavailable, isReady() ? "ok" : "not ready")
        } else {
            throw HTTPError(
                .notFound, code: "not_found", message: "no such resource", hint: "There are /metrics, /live and /ready."
            )
        }
    }

    private func answer(_ response: ResponseWriter, _ status: Status, _ word: String) async throws {
        try await response.respond(
            status, ["Content-Type": "application/json", "Cache-Control": "no-store"],
            text: "{\"status\":\"\(word)\"}\n")
    }
}
