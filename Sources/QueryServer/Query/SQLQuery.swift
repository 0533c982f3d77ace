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
        body.add(nil)
        if query.limit != nil && !query.limitIsOurs || query.maxBytes != nil && !query.maxBytesIsOurs {
            body.announce(.truncated)
        }
        if mayBeBatched, let quick = lease.gate.repeated.quick.find(query.sql),
            let rows = try await batched(quick, lease)
        {
            body.addTimings()
            try await answer(rows, quick, body, lease)
            return try await body.finish()
        }
        try await lease.run(body) { connection in
            connection.isUntouched = query.kind == .rows && !connection.keepsTraces
            if let limit = costLimit, query.kind == .rows { try await checkCost(limit, connection, lease) }
            let sent = MonotonicTime.now()
            let rows = try await connection.streamReadOnly(query.sql, query.parameters, deadline: lease.deadline)
            lease.query.mark("first-row")
            body.addTimings()
            if rows.columns.isEmpty {
                // Nothing but blanks and comments: PostgreSQL takes it for a statement that does nothing.
                if rows.firstRow == nil, try await rows.next() == nil, rows.commandTag.isEmpty {
                    throw SQLRequest.emptyQuery
                }
            }
            let form: ResultForm
            do {
                form = try await self.form(of: rows.columns, lease)
            } catch {
                await rows.cancel()
                throw error
            }
            if response.wantsBody {
                try await send(rows, form, to: body)
                if mayBeBatched {
                    lease.gate.repeated.quick.note(
                        query.sql, took: MonotonicTime.now() - sent, rows: body.rows, bytes: body.count)
                }
            } else {
                // HEAD: the head is all that is wanted, and whether the query runs is known by now.
                await rows.cancel()
            }
        }
        try await body.finish()
    }

    /// Whether nothing speaks against running it with others: no plan to be looked at first.
    private var mayBeBatched: Bool { query.kind == .rows && costLimit == nil }

    /// The rows of a statement that is known for quick, if it has been so again. A client that may run so many at a
    /// time has each of them counted.
    private func batched(_ quick: QuickStatement, _ lease: Lease) async throws -> BatchedRows? {
        let (gate, running) = (lease.gate, lease.query)
        if running.client.limits.concurrency != nil { return nil }
        guard let rows = try await gate.batched(running, quick, query.parameters) else { return nil }
        running.mark("batch")
        return rows
    }

    private func answer(
        _ rows: BatchedRows, _ quick: QuickStatement, _ body: RowBody, _ lease: Lease
    ) async throws {
        let form = try await form(of: rows, quick, lease)
        begin(form, &body.bytes)
        var progress = Progress()
        rows.forEach { row in
            if progress.cut == nil { add(row, form.encoder, body, &progress) }
        }
        try end(progress, body)
    }

    /// The form of the last reply, if the columns are still the same.
    private func form(of rows: BatchedRows, _ quick: QuickStatement, _ lease: Lease) async throws -> ResultForm {
        let index = quick.forms.firstIndex { $0.format == query.format && $0.bigintAsString == query.bigintAsString }
        if let index, rows.haveColumns(quick.forms[index].columns) { return quick.forms[index] }
        let form = try await form(of: rows.columns, lease)
        // Somebody else may have added his while we asked for the types.
        if let index = quick.forms.firstIndex(where: {
            $0.format == query.format && $0.bigintAsString == query.bigintAsString
        }) {
            quick.forms[index] = form
        } else {
            quick.forms.append(form)
        }
        return form
    }

    private func form(of columns: [ColumnDescription], _ lease: Lease) async throws -> ResultForm {
        let types = lease.gate.types
        if !types.areKnown(columns) { try await types.learn(columns, lease.gate, deadline: lease.deadline) }
        return try ResultForm(columns, types, query)
    }

    private func send(_ rows: RowStream, _ form: ResultForm, to body: RowBody) async throws {
        begin(form, &body.bytes)
        var progress = Progress()
        while true {
            // Rows in memory are encoded without a suspension between them.
            var next = rows.nextBuffered()
            if next == nil { next = try await body.next(of: rows) }
            guard let row = next else { break }
            add(row, form.encoder, body, &progress)
            if progress.cut != nil {
                await rows.cancel()
                break
            }
            if body.isFull { try await body.flush() }
        }
        try end(progress, body)
    }

    /// How far the rows of a result have come.
    private struct Progress {
        enum Cut { case rows, bytes }

        var sent = 0
        /// What made the rest be left out.
        var cut: Cut?
    }

    /// Appends a row, unless it is beyond a limit.
    @inline(__always)
    private func add(_ row: some Cells, _ encoder: RowEncoder, _ body: RowBody, _ progress: inout Progress) {
        if progress.sent == query.limit {
            progress.cut = .rows
            return
        }
        let before = body.bytes.count
        append(row, encoder, isFirst: progress.sent == 0, &body.bytes)
        if let most = query.maxBytes, body.count > most {
            body.bytes.removeSubrange(before...)
            progress.cut = .bytes
            return
        }
        progress.sent += 1
        body.rows = progress.sent
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
        guard let run = StatementKind.run(by: query.sql) else { return }
        // EXPLAIN explains everything but SHOW.
        var text = ""
        do throws(PostgresError) {
            let plan = try await connection.streamReadOnly(
                PlanCost.explain + run, query.parameters, deadline: lease.deadline)
            while let row = try await plan.next() { text += try row.string(0) }
        } catch {
            // What is wrong with the statement it says itself, with the right position. What an EXPLAIN would run is not run
            // without its plan.
            guard error.kind == .server, run.utf8.count == query.sql.utf8.count else {
                throw PlanCost.placed(error, in: query.sql, running: run)
            }
            return try await connection.rollback(deadline: lease.deadline)
        }
        lease.query.mark("plan")
        try PlanCost.check(text, limit: limit)
    }

    // MARK: Layout

    private func begin(_ form: ResultForm, _ bytes: inout [UInt8]) {
        if query.format == .json {
            bytes.appendText("{\"query_id\":\"")
            bytes.appendText(id.description)
        }
        bytes.append(contentsOf: form.opening)
    }

    @inline(__always)
    private func append(_ row: some Cells, _ encoder: RowEncoder, isFirst: Bool, _ bytes: inout [UInt8]) {
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

    private func end(_ progress: Progress, _ body: RowBody) throws {
        if query.format != .json {
            if progress.cut == .bytes && query.maxBytesIsOurs { throw Self.cutOff(query.maxBytes ?? 0, "bytes") }
            if progress.cut == .rows && query.limitIsOurs { throw Self.cutOff(query.limit ?? 0, "rows") }
        }
        if progress.cut != nil { body.close(with: .truncated, "true") }
        switch query.format {
        case .json:
            body.bytes.appendText("],\"row_count\":")
            body.bytes.appendInteger(Int64(progress.sent))
            body.bytes.appendText(progress.cut != nil ? ",\"truncated\":true" : ",\"truncated\":false")
            body.bytes.appendText(",\"elapsed_ms\":")
            body.bytes.appendMilliseconds(MonotonicTime.now() - started)
            body.bytes.appendText("}\n")
        case .objects: body.bytes.appendText("]\n")
        case .ndjson, .csv: break
        }
    }
}

/// How the rows of a result are written in one format.
struct ResultForm {
    let format: ReplyFormat
    let bigintAsString: Bool
    let columns: [ColumnDescription]
    let encoder: RowEncoder
    /// What stands before the first row; in `json` behind the query's number.
    let opening: [UInt8]

    /// - Throws: ``QueryError`` for columns of one name where names tell values apart: of members of one name readers of JSON
    ///   keep one (RFC 8259 §4).
    init(_ columns: [ColumnDescription], _ types: ResultTypes, _ query: SQLRequest) throws(QueryError) {
        if query.format == .objects || query.format == .ndjson {
            var seen: Set<String> = []
            if let twice = columns.first(where: { !seen.insert($0.name).inserted }) {
                throw Self.duplicateColumn(twice.name)
            }
        }
        format = query.format
        bigintAsString = query.bigintAsString
        self.columns = columns
        encoder = RowEncoder(columns, types, layout: format.layout, bigintAsString: bigintAsString)
        var bytes: [UInt8] = []
        switch format {
        case .json:
            bytes.appendText("\",\"columns\":[")
            for (index, column) in columns.enumerated() {
                bytes.appendText(index == 0 ? "{\"name\":" : ",{\"name\":")
                bytes.appendJSONString(column.name)
                bytes.appendText(",\"type\":")
                bytes.appendJSONString(types[column.type].name)
                bytes.appendText("}")
            }
            bytes.appendText("],\"rows\":[")
        case .objects: bytes.appendText("[")
        case .ndjson: break
        case .csv: encoder.appendCSVHeader(to: &bytes)
        }
        opening = bytes
    }

    private static func duplicateColumn(_ name: String) -> QueryError {
        QueryError(
            400, "duplicate_column", "more than one column is named \"\(name)\"",
            details: "In objects, readers would find one of them.",
            hint: "Give each a name of its own with AS, or ask for format=json or csv, where they stand by place.")
    }
}

extension [UInt8] {
    /// Appends a time in milliseconds, to the microsecond: `0.25`, `12.5`.
    mutating func appendMilliseconds(_ duration: Duration) {
        let microseconds = duration.inNanoseconds / 1000
        appendInteger(microseconds / 1000)
        var rest = microseconds % 1000
        if rest == 0 { return }
        append(UInt8(ascii: "."))
        var place: Int64 = 100
        while rest > 0 {
            append(UInt8(ascii: "0") + UInt8(rest / place))
            rest %= place
            place /= 10
        }
    }
}
