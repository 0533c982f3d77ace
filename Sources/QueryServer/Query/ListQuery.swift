// SPDX-License-Identifier: Apache-2.0
// A page of a list: read, and its rows sent on as they come.

import HTTP
import Postgres

/// Answers with one page.
struct ListQuery {
    let plan: ListPlan
    let body: RowBody
    /// What to say instead of an empty list; nil where that is an answer.
    var missing: QueryError?

    func run(_ lease: Lease) async throws {
        let request = plan.request
        let encoder = RowEncoder(plan.columns, layout: request.format == .csv ? .csv : .object)
        switch request.format {
        case .csv: encoder.appendCSVHeader(to: &body.bytes)
        case .ndjson: break
        case .json, .objects: body.bytes.appendText("{\"\(request.resource.name)\":[")
        }
        if request.format != .json { body.announce(.nextPage) }
        try await lease.run(body) { connection in
            let step = plan.step
            let rows = try await connection.stream(step.statement, step.parameters, deadline: lease.deadline)
            var sent = 0
            var last: KeyToken?
            var next: KeyToken?
            while let row = try await body.next(of: rows) {
                // The one row too many.
                if sent == request.limit {
                    next = last
                    continue
                }
                if request.format == .json && sent > 0 { body.bytes.append(UInt8(ascii: ",")) }
                encoder.append(row, to: &body.bytes)
                if request.format == .ndjson { body.bytes.append(0x0A) }
                sent += 1
                body.rows = sent
                if sent == request.limit { last = try plan.token(row) }
                if body.isFull { try await body.flush() }
            }
            if sent == 0, let missing { throw missing }
            if request.format == .json {
                body.bytes.appendText("],\"next_page_token\":")
                body.bytes.appendJSONString(next?.text)
                body.bytes.appendText("}\n")
            } else {
                body.close(with: .nextPage, next?.text)
            }
        }
        try await body.finish()
    }
}
