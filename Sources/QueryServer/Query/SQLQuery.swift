// SPDX-License-Identifier: Apache-2.0
// A query of a user: run, and its rows sent on as they come.

import EventLoop
import HTTP
import Postgres

/// Runs one statement of a user in a transaction that can only read, and answers with its rows.
struct SQLQuery {
    let query: SQLRequest
    let id: QueryID
    let started: MonotonicTime

    /// Answers. The transaction is never committed: the pool rolls it back and discards the session's state.
    func run(_ lease: Lease, _ response: ResponseWriter) async throws {
        let body = RowBody(response, contentType: query.format.contentType, query: lease.query)
        try await lease.run(response) { connection in
            connection.isUntouched = query.kind == .rows && !connection.keepsTraces
            let rows = try await connection.streamReadOnly(query.sql, query.parameters, deadline: lease.deadline)
            if rows.columns.isEmpty {
                // Nothing but blanks and comments: PostgreSQL takes it for a statement that does nothing.
                if try await rows.next() == nil && rows.commandTag.isEmpty { throw SQLRequest.emptyQuery }
            }
            if response.wantsBody {
                try await send(rows, to: body)
            } else {
                // HEAD: the head is all that is wanted, and whether the query runs is known by now.
                await rows.cancel()
            }
        }
        try await body.finish()
    }

    private func send(_ rows: RowStream, to body: RowBody) async throws {
        let encoder = RowEncoder(rows.columns, layout: query.format.layout, bigintAsString: query.bigintAsString)
        begin(encoder, rows.columns, &body.bytes)
        var sent = 0
        var truncated = false
        while true {
            // Rows in memory are encoded without a suspension between them.
            var next = rows.nextBuffered()
            if next == nil {
                try await body.flushIfStale()
                next = try await rows.next()
            }
            guard let row = next else { break }
            if sent == query.limit {
                truncated = true
                break
            }
            append(row, encoder, isFirst: sent == 0, &body.bytes)
            sent += 1
            body.rows = sent
            if body.isFull { try await body.flush() }
        }
        if truncated {
            await rows.cancel()
            if query.limitIsOurs && query.format != .json { throw Self.cutOff(query.limit ?? 0) }
        }
        end(rows: sent, truncated: truncated, &body.bytes)
    }

    /// The other formats have no place to say that rows are missing, and a client that named no limit expects none to.
    private static func cutOff(_ limit: Int) -> QueryError {
        QueryError(
            400, "row_limit_exceeded", "the result has more than \(limit) rows",
            hint: "Name a limit, or ask for format=json, which tells that rows are missing.")
    }

    // MARK: Layout

    private func begin(_ encoder: RowEncoder, _ columns: [ColumnDescription], _ bytes: inout [UInt8]) {
        switch query.format {
        case .json:
            bytes.appendText("{\"query_id\":\"\(id)\",\"columns\":[")
            for (index, column) in columns.enumerated() {
                bytes.appendText(index == 0 ? "{\"name\":" : ",{\"name\":")
                bytes.appendJSONString(column.name)
                bytes.appendText(",\"type\":")
                bytes.appendJSONString(column.type.columnTypeName)
                bytes.appendText("}")
            }
            bytes.appendText("],\"rows\":[")
        case .objects: bytes.appendText("[")
        case .ndjson: break
        case .csv: encoder.appendCSVHeader(to: &bytes)
        }
    }

    @inline(__always)
    private func append(_ row: RowStream.Row, _ encoder: RowEncoder, isFirst: Bool, _ bytes: inout [UInt8]) {
        switch query.format {
        case .json, .objects:
            if !isFirst { bytes.append(UInt8(ascii: ",")) }
            encoder.append(row, to: &bytes)
        case .ndjson:
            encoder.append(row, to: &bytes)
            bytes.append(0x0A)
        case .csv: encoder.append(row, to: &bytes)
        }
    }

    private func end(rows: Int, truncated: Bool, _ bytes: inout [UInt8]) {
        switch query.format {
        case .json:
            let elapsed = Double((MonotonicTime.now() - started).inNanoseconds / 1000) / 1000
            bytes.appendText("],\"row_count\":\(rows),\"truncated\":\(truncated),\"elapsed_ms\":\(elapsed)}\n")
        case .objects: bytes.appendText("]\n")
        case .ndjson, .csv: break
        }
    }
}
