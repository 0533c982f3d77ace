// SPDX-License-Identifier: Apache-2.0
// Rows of a table: counted if asked for, read, and sent on as they come.

import EventLoop
import HTTP
import Postgres

/// Answers with rows of a table: a bare array, one object, lines or CSV; with a page token in an envelope.
struct TableQuery {
    let plan: TablePlan
    let body: RowBody
    /// The most the planner may estimate; nil for any.
    let costLimit: Double?

    private var request: TableRequest { plan.request }

    func run(_ lease: Lease) async throws {
        try await lease.run(body) { connection in
            // Nothing here can leave a trace in the session.
            connection.isUntouched = !connection.keepsTraces
            if let explain = request.explain { return try await send(explain, connection, lease) }
            if let costLimit {
                let rows = try await connection.query(
                    PlanCost.explain + plan.sql, plan.parameters, deadline: lease.deadline)
                for row in rows { try PlanCost.check(try row.string(0), limit: costLimit) }
            }
            var total: Int?
            let isCounted = request.count != nil
            if isCounted {
                // Both statements are to see the same rows.
                try await connection.begin(
                    TransactionMode(isolation: .repeatableRead, readOnly: true), deadline: lease.deadline)
                total = try await count(connection, lease)
                try announce(total)
                if let page = try await countPage(connection, lease) { announce(page, of: total) }
            }
            let rows =
                isCounted
                ? try await connection.stream(plan.sql, plan.parameters, deadline: lease.deadline)
                : try await connection.streamReadOnly(plan.sql, plan.parameters, deadline: lease.deadline)
            if body.response.wantsBody {
                try await send(rows, total, lease)
            } else if request.isSingular {
                // HEAD is what GET would be, which depends on how many there are.
                try await one(rows) { _ in }
            } else {
                await rows.cancel()
            }
        }
        try await body.finish()
    }

    /// Sends the plan, however expensive it says that the statement is.
    private func send(_ explain: TableExplain, _ connection: PostgresConnection, _ lease: Lease) async throws {
        let lines = try await connection.query(explain.prefix + plan.sql, plan.parameters, deadline: lease.deadline)
        for line in lines {
            body.bytes.appendText(try line.string(0))
            body.bytes.append(0x0A)
        }
    }

    // MARK: Counting

    private func count(_ connection: PostgresConnection, _ lease: Lease) async throws -> Int {
        func exact() async throws -> Int {
            try await connection.query(
                "select count(*) from (\(plan.countedSQL)) as counted", plan.parameters, deadline: lease.deadline)[0]
                .int(0)
        }
        if request.count == .exact { return try await exact() }
        let explained = try await connection.query(
            PlanCost.explain + plan.countedSQL, plan.parameters, deadline: lease.deadline)[0].string(0)
        let planned = PlanCost.rows(explained) ?? 0
        // A small estimate is worth being made exact.
        return request.count == .estimated && planned <= Self.estimatedAbove ? try await exact() : planned
    }

    /// The rows of the page, where nobody will read them and an estimate tells no more than about how many there are in
    /// all; nil if they would be too many to count.
    private func countPage(_ connection: PostgresConnection, _ lease: Lease) async throws -> Int? {
        guard !body.response.wantsBody, !request.isSingular, request.count != .exact,
            let limit = request.limit, limit <= Self.estimatedAbove
        else { return nil }
        return try await connection.query(
            "select count(*) from (\(plan.sql)) as page", plan.parameters, deadline: lease.deadline)[0].int(0)
    }

    /// Estimates up to this are counted instead.
    static let estimatedAbove = 10_000

    /// Says in the head which rows of how many these are.
    private func announce(_ total: Int?) throws(QueryError) {
        guard let total, request.pageToken == nil else { return }
        if request.isBeyond {
            var beyond = TableRequest.beyond
            beyond.contentRange = Self.contentRange(0, 0, total)
            throw beyond
        }
        if request.offset > total && request.count == .exact {
            var beyond = QueryError(
                416, "invalid_range", "the range begins after the last row",
                details: "There are \(total) rows; the first asked for is row \(request.offset).")
            beyond.contentRange = Self.contentRange(0, 0, total)
            throw beyond
        }
        if let count = request.count { body.addHeader("Preference-Applied", "count=\(count.rawValue)") }
        if request.count == .exact {
            add(min(request.limit ?? .max, max(0, total - request.offset)), of: total)
        } else {
            // Which row is the last is not known before it is there; how many there are is told all the same.
            body.provisional = ("Content-Range", { [request] rows in "*/\(max(total, request.offset + rows))" })
        }
    }

    /// Says in the head that `sent` rows of `total` follow.
    private func add(_ sent: Int, of total: Int?) {
        body.addHeader("Content-Range", Self.contentRange(request.offset, sent, total))
        // Without a row there is no part (RFC 9110 §15.3.7).
        if let total, sent < total, sent > 0 || request.count == .exact { body.status = .partialContent }
    }

    /// - Parameter total: at least what is sent, which an estimate may be below.
    static func contentRange(_ offset: Int, _ count: Int, _ total: Int?) -> String {
        let all = total.map { String(count == 0 ? $0 : max($0, offset + count)) } ?? "*"
        return count == 0 ? "*/\(all)" : "\(offset)-\(offset + count - 1)/\(all)"
    }

    // MARK: Sending

    private func send(_ rows: RowStream, _ total: Int?, _ lease: Lease) async throws {
        let types = lease.gate.types
        if !types.areKnown(rows.columns) { try await types.learn(rows.columns, lease.gate, deadline: lease.deadline) }
        let columns = rows.columns.prefix(plan.visible).enumerated().map { place, column in
            let isID = column.type == .int8 && plan.ids.contains(place)
            return RowEncoder.Column(name: column.name, form: isID ? .scalar(.text) : .safe(types[column.type]))
        }
        let layout: RowEncoder.Layout =
            request.format == .csv ? .csv : request.stripsNulls ? .objectWithoutNulls : .object
        let encoder = RowEncoder(columns, layout: layout)
        if request.isSingular {
            try await one(rows) { row in
                encoder.append(row, to: &body.bytes)
                body.bytes.append(0x0A)
            }
            body.rows = 1
            announce(1, of: total)
            return
        }
        let isPaged = request.pageToken != nil
        if isPaged && request.format != .json { body.announce(.nextPage) }
        switch request.format {
        case .csv: encoder.appendCSVHeader(to: &body.bytes)
        case .ndjson: break
        case .json, .objects:
            if isPaged {
                body.bytes.append(UInt8(ascii: "{"))
                body.bytes.appendJSONString(plan.table.name)
                body.bytes.append(UInt8(ascii: ":"))
            }
            body.bytes.append(UInt8(ascii: "["))
        }
        var sent = 0
        var last: KeyToken?
        var next: KeyToken?
        while true {
            var row = rows.nextBuffered()
            if row == nil { row = try await body.next(of: rows) }
            guard let row else { break }
            if isPaged && sent == plan.pageLimit {
                next = last
                continue
            }
            if request.format == .json && sent > 0 { body.bytes.append(UInt8(ascii: ",")) }
            encoder.append(row, to: &body.bytes)
            if request.format == .ndjson { body.bytes.append(0x0A) }
            sent += 1
            body.rows = sent
            if isPaged && sent == plan.pageLimit { last = try plan.token(row) }
            if body.isFull { try await body.flush() }
        }
        if request.format == .json {
            body.bytes.append(UInt8(ascii: "]"))
            if isPaged {
                body.bytes.appendText(",\"next_page_token\":")
                body.bytes.appendJSONString(next?.text)
                body.bytes.append(UInt8(ascii: "}"))
            }
            body.bytes.append(0x0A)
        }
        if isPaged {
            if request.format != .json { body.close(with: .nextPage, next?.text) }
        } else {
            announce(sent, of: total)
        }
    }

    /// Says which rows these are, if that is known just now and may still be said.
    private func announce(_ sent: Int, of total: Int?) {
        if request.count == .exact || body.response.isStarted { return }
        body.provisional = nil
        add(sent, of: total)
    }

    /// `Accept: application/vnd.pgrst.object+json`: exactly one row, or 406.
    private func one(_ rows: RowStream, _ take: (RowStream.Row) -> Void) async throws {
        var count = 0
        while let row = try await rows.next() {
            count += 1
            if count > 1 {
                await rows.cancel()
                break
            }
            take(row)
        }
        if count != 1 {
            throw QueryError(
                406, "not_one_row", count == 0 ? "there is no such row" : "there is more than one such row",
                hint: "Filter by the key: \(plan.table.key.joined(separator: ", ")).")
        }
    }
}
