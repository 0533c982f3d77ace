// SPDX-License-Identifier: Apache-2.0
// What runs now, and how to stop it.

import EventLoop
import HTTP
import Synchronization

extension QueryHandler {
    /// Bytes of a statement that the list shows.
    private static let shownText = 4096

    /// `GET /api/v1/queries`: everything that waits or runs, of all loops, oldest first; with a key that is no
    /// administrator's, what it runs itself.
    func answerQueries(_ request: Request, _ response: ResponseWriter) async throws {
        _ = try ParameterReader(try request.head.query(), known: [])
        let now = MonotonicTime.now()
        var json: [UInt8] = []
        json.appendText("{\"queries\":[")
        let asker = Caller(request)
        let visible = gate.running.all.filter { asker.maySee($0.client) }
        for (index, query) in visible.enumerated() {
            if index > 0 { json.appendText(",") }
            json.append(query, now: now, shownText: Self.shownText)
        }
        json.appendText("],\"next_page_token\":null}\n")
        try await response.respond(.ok, ["Content-Type": "application/json", "Cache-Control": "no-store"], json)
    }

    /// `DELETE /api/v1/queries/{id}`: returns when the query has been told to stop, which it does within moments.
    func cancelQuery(_ request: Request, _ response: ResponseWriter) async throws {
        _ = try ParameterReader(try request.head.query(), known: [])
        let id = try request.head.pathSegments().last ?? ""
        guard let query = gate.running.find(id),
            Caller(request).maySee(query.client)
        else {
            throw QueryError(
                404, "no_such_query", "no such query waits or runs",
                hint: "It may have ended. GET /api/v1/queries lists those that have not.")
        }
        configuration.audit?.noteCancel(of: query, by: Caller(request), request.trace)
        query.end(.cancelled(nil))
        try await respond(response, "{\"query_id\":\"\(query.id)\",\"state\":\"\(query.stage.rawValue)\"}\n")
    }
}

extension [UInt8] {
    fileprivate mutating func append(_ query: RunningQuery, now: MonotonicTime, shownText: Int) {
        appendText("{\"query_id\":")
        appendJSONString(query.id)
        appendText(",\"kind\":\"\(query.kind.rawValue)\",\"state\":\"\(query.stage.rawValue)\",\"client\":")
        appendJSONString(query.client.address)
        appendText(",\"user\":")
        appendJSONString(query.client.user)
        appendText(",\"key\":")
        appendJSONString(query.client.key?.grant.name)
        appendText(",\"query\":")
        appendJSONString(query.text, upTo: shownText)
        appendText(",\"started_at\":\"\(query.startedAt)\"")
        appendText(",\"elapsed_ms\":")
        appendMilliseconds(now - query.started)
        appendText(",\"rows\":\(query.rows.load(ordering: .relaxed))")
        appendText(",\"bytes\":\(query.bytes.load(ordering: .relaxed))}")
    }
}
