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
    /// The most the planner may estimate; nil for any.
    let costLimit: Double?

    /// Answers. The transaction is never committed: the pool rolls it back and discards the session's state.
    func run(_ lease: Lease, _ response: ResponseWriter) async throws {
        let body = RowBody(response, contentType: query.format.contentType, query: lease.query)
        try await lease.run(response) { connection in
            connection.isUntouched = query.kind == .rows && !connection.keepsTraces
            if let limit = costLimit, query.kind == .rows { try await checkCost(limit, connection, lease) }
            let rows = try await connection.streamReadOnly(query.sql, query.parameters, deadline: lease.deadline)
            lease.query.mark("first-row")
            body.addTimings()
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
        var cutByBytes = false
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
            let before = body.bytes.count
            append(row, encoder, isFirst: sent == 0, &body.bytes)
            if let most = query.maxBytes, body.count > most {
                body.bytes.removeSubrange(before...)
                truncated = true
                cutByBytes = true
                break
            }
            sent += 1
            body.rows = sent
            if body.isFull { try await body.flush() }
        }
        if truncated {
            await rows.cancel()
            if query.format != .json {
                if cutByBytes && query.maxBytesIsOurs { throw Self.cutOff(query.maxBytes ?? 0, "bytes") }
                if !cutByBytes && query.limitIsOurs { throw Self.cutOff(query.limit ?? 0, "rows") }
            }
        }
        end(rows: sent, truncated: truncated, &body.bytes)
    }

    /// The other formats have no place to say that rows are missing, and a client that named no limit expects none to.
    private static func cutOff(_ limit: Int, _ unit: String) -> QueryError {
        QueryError(
            400, unit == "rows" ? "row_limit_exceeded" : "byte_limit_exceeded",
            "the result has more than \(limit) \(unit)",
            hint: "Name \(unit == "rows" ? "limit" : "max_bytes"), or ask for format=json, which tells that rows are "
                + "missing.")
    }

    /// Refuses a query that the planner takes for too expensive, before it runs.
    private func checkCost(_ limit: Double, _ connection: PostgresConnection, _ lease: Lease) async throws {
        // EXPLAIN explains everything but itself and SHOW.
        var text = ""
        do throws(PostgresError) {
            let plan = try await connection.streamReadOnly(
                "EXPLAIN (FORMAT JSON) " + query.sql, query.parameters, deadline: lease.deadline)
            while let row = try await plan.next() { text += try row.string(0) }
        } catch {
            // What is wrong with the statement it says itself, with the right position.
            guard error.kind == .server else { throw error }
            return try await connection.rollback(deadline: lease.deadline)
        }
        lease.query.mark("plan")
        guard let cost = Self.totalCost(text), cost > limit else { return }
        throw QueryError(
            403, "query_too_expensive", "the query is too expensive",
            details: "The planner estimates a cost of \(cost.rounded()); the limit is \(limit).",
            hint: "Narrow it down: name a symbol, a range of ts, or fewer columns to sort by. EXPLAIN shows the plan.")
    }

    /// The cost of the topmost node, which stands first.
    private static func totalCost(_ plan: String) -> Double? {
        guard let key = plan.firstRange(of: "\"Total Cost\": ") else { return nil }
        return Double(plan[key.upperBound...].prefix { $0.isNumber || $0 == "." || $0 == "e" || $0 == "+" })
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
