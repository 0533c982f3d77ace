// SPDX-License-Identifier: Apache-2.0
// A page of a REST resource: read, and its rows sent on as they come.

import EventLoop
import HTTP
import Market
import Postgres

/// Answers with one page.
struct MarketQuery {
    let plan: MarketPlan
    private let encoder: RowEncoder
    private let body: RowBody
    private var request: MarketRequest { plan.request }

    init(_ plan: MarketPlan, _ body: RowBody) {
        self.plan = plan
        self.body = body
        encoder = Self.encoder(plan)
    }

    /// That of the objects of a resource, with times as text, is made once.
    private static func encoder(_ plan: MarketPlan) -> RowEncoder {
        let request = plan.request
        if !request.timeInMilliseconds && request.format != .csv, let encoder = objects[request.resource] {
            return encoder
        }
        return RowEncoder(plan.columns, layout: request.format == .csv ? .csv : .object)
    }

    private static let objects: [MarketResource: RowEncoder] = {
        var encoders: [MarketResource: RowEncoder] = [:]
        for resource in MarketResource.allCases {
            encoders[resource] = RowEncoder(
                MarketPlan.columns(of: resource, timeInMilliseconds: false), layout: .object)
        }
        return encoders
    }()

    /// Answers a lookup, whose rows are there.
    func answer(_ rows: BatchedRows) async throws {
        begin()
        var page = Page(limit: request.limit)
        try rows.forEach { row throws(PostgresError) in try append(row, &page) }
        end(page)
        try await body.finish()
    }

    func run(_ lease: Lease) async throws {
        begin()
        try await lease.run(body) { connection in
            var page = Page(limit: request.limit)
            if plan.isPerSymbol {
                let symbols = try await symbols(connection, lease)
                for symbol in symbols where page.isOpen {
                    try lease.checkGoing()
                    try await send(plan.step(symbol: symbol, limit: page.wanted), connection, lease, &page)
                }
            } else {
                try await send(plan.step(limit: page.wanted), connection, lease, &page)
            }
            end(page)
        }
        try await body.finish()
    }

    /// A page while it fills. One row more than its size is asked for: whether it comes tells whether there is a next
    /// page.
    private struct Page {
        let limit: Int
        var sent = 0
        var hasMore = false
        /// The token of the last row that fits.
        var token: PageToken?

        init(limit: Int) { self.limit = limit }

        var isOpen: Bool { !hasMore }
        var wanted: Int { limit + 1 - sent }
    }

    private func symbols(_ connection: PostgresConnection, _ lease: Lease) async throws -> [String] {
        if let named = plan.namedSymbols { return named }
        let step = plan.allSymbols
        let result = try await connection.query(step.statement, step.parameters, deadline: lease.deadline)
        return try result.map { try $0.string(0) }
    }

    private func send(
        _ step: MarketPlan.Step, _ connection: PostgresConnection, _ lease: Lease, _ page: inout Page
    ) async throws {
        let rows = try await connection.stream(step.statement, step.parameters, deadline: lease.deadline)
        while true {
            var next = rows.nextBuffered()
            if next == nil { next = try await body.next(of: rows) }
            guard let row = next else { return }
            try append(row, &page)
            if body.isFull { try await body.flush() }
        }
    }

    @inline(__always)
    private func append(_ row: some Cells & ColumnAccess, _ page: inout Page) throws(PostgresError) {
        if page.sent == page.limit {
            page.hasMore = true
            return
        }
        if request.format == .json && page.sent > 0 { body.bytes.append(UInt8(ascii: ",")) }
        encoder.append(row, to: &body.bytes)
        if request.format == .ndjson { body.bytes.append(0x0A) }
        page.sent += 1
        body.rows = page.sent
        if page.sent == page.limit { page.token = try token(row) }
    }

    private func token(_ row: some ColumnAccess) throws(PostgresError) -> PageToken {
        var token = PageToken(scope: request.scope, symbol: try row.string(0))
        if plan.isPerSymbol || request.resource == .alerts { token.ts = Timestamp(microseconds: try row.timestamp(1)) }
        if request.resource == .trades {
            token.source = try row.string(2)
            token.tradeID = try row.int64(3)
        }
        if request.resource == .alerts { token.source = "\(try row.string(2)) \(try row.string(3))" }
        return token
    }

    private func begin() {
        if request.format != .json { body.announce(.nextPage) }
        switch request.format {
        case .csv: encoder.appendCSVHeader(to: &body.bytes)
        case .ndjson: break
        case .json, .objects: body.bytes.appendText("{\"\(request.resource.rawValue)\":[")
        }
    }

    private func end(_ page: Page) {
        let token = page.hasMore ? page.token?.text : nil
        guard request.format == .json else { return body.close(with: .nextPage, token) }
        body.bytes.appendText("],\"next_page_token\":")
        body.bytes.appendJSONString(token)
        body.bytes.appendText("}\n")
    }
}
