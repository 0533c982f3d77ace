// SPDX-License-Identifier: Apache-2.0
// What operators and their load balancers ask.

import EventLoop
import HTTP
import Metrics
import Postgres

extension QueryHandler {
    /// How long `/ready` waits for the database.
    private static let readyTimeout = Duration.seconds(2)

    func answerOperator(_ route: Route, _ request: Request, _ response: ResponseWriter) async throws {
        _ = try ParameterReader(try request.head.query(), known: [])
        switch route {
        case .ready:
            if let failure = await databaseFailure() { throw failure }
            try await respond(response, "{\"status\":\"ok\",\"database\":\"ok\"}\n")
        case .health:
            let failure = await databaseFailure()
            let (word, database) = failure == nil ? ("ok", "ok") : ("degraded", "unavailable")
            try await respond(
                response, "{\"status\":\"\(word)\",\"database\":\"\(database)\",\"version\":\(versionText)}\n",
                failure == nil ? .ok : .serviceUnavailable)
        case .metrics:
            try await response.respond(
                .ok, ["Content-Type": Exposition.contentType, "Cache-Control": "no-store"],
                await configuration.metrics.scrape())
        case .version: try await respond(response, "{\"name\":\"tapedeck\",\"version\":\(versionText)}\n")
        case .index: try await respond(response, index, vary: "Accept")
        default: try await respond(response, "{\"status\":\"ok\"}\n")
        }
    }

    func respond(_ response: ResponseWriter, _ json: String, _ status: Status = .ok, vary: String? = nil) async throws {
        var headers: Headers = ["Content-Type": "application/json", "Cache-Control": "no-store"]
        if let vary { headers.add("Vary", vary) }
        if status.code == 503 { headers.add("Retry-After", "1") }
        try await response.respond(status, headers, text: json)
    }

    /// Why the database does not answer, or nil if it does.
    private func databaseFailure() async -> QueryError? {
        let deadline = MonotonicTime.now() + Self.readyTimeout
        do {
            try await gate.ping(deadline: deadline)
            return nil
        } catch {
            return QueryError(
                503, "not_ready", "the database is not available", hint: "Try again in a moment.", retryAfterSeconds: 1)
        }
    }

    private var versionText: String {
        var bytes: [UInt8] = []
        bytes.appendJSONString(configuration.version)
        return String(decoding: bytes, as: UTF8.self)
    }

    private var index: String {
        let all =
            Route.allCases.map { ("\($0.path)", $0.methods.map(\.name), "\($0.summary)") }
            + TrinoRoute.listed.map { ($0.path, $0.methods, $0.summary) }
        let entries = all.map { path, methods, summary in
            let names = methods.map { "\"\($0)\"" }.joined(separator: ",")
            return "{\"path\":\"\(path)\",\"methods\":[\(names)],\"summary\":\"\(summary)\"}"
        }
        return "{\"name\":\"tapedeck\",\"version\":\(versionText),\"endpoints\":[\n"
            + entries.joined(separator: ",\n") + "\n]}\n"
    }
}
