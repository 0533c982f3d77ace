// SPDX-License-Identifier: Apache-2.0
// Any table or view of the market, by PostgREST's grammar.

import EventLoop
import HTTP
import Postgres

extension QueryHandler {
    /// `GET /api/v1/tables/{table}`.
    func answerTable(_ request: Request, _ response: ResponseWriter, _ id: QueryID) async throws {
        let now = Self.now()
        let name = try request.head.pathSegments().last ?? ""
        let asked = try TableRequest(try request.head.query(), request.head)
        // A plan tells of what is behind a view: it is for those who may ask EXPLAIN.
        if asked.explain != nil, let identity = request.identity as? KeyIdentity, !identity.isAdmin,
            !identity.grant.scopes.contains(.sql)
        {
            throw QueryError.scopeNeeded(.sql, of: identity)
        }
        let deadline = MonotonicTime.now() + configuration.connectTimeout
        func plan(_ catalogue: TableCatalogue) throws(QueryError) -> TablePlan {
            try TablePlan(
                try catalogue.table(name), asked, now: now, pageLimit: configuration(for: request).pageSizeDefault)
        }
        let planned: TablePlan
        do {
            planned = try plan(try await catalogue.current(deadline: deadline))
        } catch let error as QueryError where ["unknown_table", "unknown_column"].contains(error.code) {
            // It may have been made since.
            guard let newer = try await catalogue.newer(deadline: deadline) else { throw error }
            planned = try plan(newer)
        }
        // Accept may ask for one object; and times may be relative.
        var more: [UInt8] = []
        for value in request.head.values(of: "accept") { more.appendText("accept:\(value) ") }
        for parameter in planned.parameters {
            switch parameter {
            case .text(let text, _): more.appendText("\(text) ")
            case .timestamp(let time): more.appendText("\(time) ")
            case .timestampArray(let times): more.appendText("\(times) ")
            default: break
            }
        }
        var tags: Caching?
        if !planned.isMomentary && asked.explain == nil {
            guard
                case .send(let found) = try await caching(
                    request, response, format: asked.format, range: TimeRange(),
                    fields: ["prefer", "range"], more: more, type: asked.contentType)
            else { return }
            tags = found
        }
        let lease = lease(request, .queries, .rest, request.head.target, id)
        let body = RowBody(
            response,
            contentType: asked.contentType,
            query: lease.query)
        body.add(tags)
        do {
            try await TableQuery(plan: planned, body: body, costLimit: configuration.costLimit).run(lease)
        } catch var error as QueryError {
            // It counts in a statement that the client has never seen.
            error.position = nil
            let plus = UInt8(ascii: "+")
            if error.code == "22007", error.hint == nil, request.head.rawQuery?.contains(plus) == true {
                error.hint = "In a URL, write + as %2B."
            }
            throw error
        }
    }

    /// `GET /api/v1/tables`: what there is, with the comments of the schema.
    func answerTables(_ request: Request, _ response: ResponseWriter) async throws {
        _ = try ParameterReader(try request.head.query(), known: [])
        let catalogue = try await catalogue.current(deadline: .now() + configuration.connectTimeout)
        var json: [UInt8] = []
        json.appendText("{\"tables\":[")
        for (index, name) in catalogue.names.enumerated() {
            guard let table = catalogue.tables[name] else { continue }
            json.appendText(index == 0 ? "{\"name\":" : ",\n{\"name\":")
            json.appendJSONString(name)
            json.appendText(",\"comment\":")
            json.appendJSONString(table.comment)
            json.appendText(",\"key\":[\(table.key.map { "\"\($0)\"" }.joined(separator: ","))],\"columns\":[")
            for (place, column) in table.columns.enumerated() {
                json.appendText(place == 0 ? "{\"name\":" : ",{\"name\":")
                json.appendJSONString(column.name)
                json.appendText(",\"type\":")
                json.appendJSONString(column.typeName)
                json.appendText(",\"comment\":")
                json.appendJSONString(column.comment)
                json.appendText("}")
            }
            json.appendText("]}")
        }
        json.appendText("],\"next_page_token\":null}\n")
        try await response.respond(.ok, ["Content-Type": "application/json", "Cache-Control": "no-cache"], json)
    }
}
