// SPDX-License-Identifier: Apache-2.0
// What operators ask about the data: records that were refused, and how fresh the sources are.

import HTTP
import Market
import Postgres

/// Answers with a page of `ops.rejected_records`.
struct RejectedQuery {
    let request: RejectedRequest

    /// In the order of the table's index, which ends with its key: pages neither repeat nor hide a record.
    var step: MarketPlan.Step {
        var parameters: [Parameter] = [.int64(Int64(request.limit + 1))]
        var conditions: [String] = []
        func bind(_ parameter: Parameter) -> String {
            parameters.append(parameter)
            return "$\(parameters.count)"
        }
        if let from = request.range.from { conditions.append("rejected_at >= \(bind(.timestamp(from.microseconds)))") }
        if let to = request.range.to { conditions.append("rejected_at < \(bind(.timestamp(to.microseconds)))") }
        if let reason = request.reason { conditions.append("reason = \(bind(.text(reason, as: .text)))") }
        if let topic = request.topic { conditions.append("topic = \(bind(.text(topic, as: .text)))") }
        if let symbol = request.symbol { conditions.append("symbol = \(bind(.text(symbol, as: .text)))") }
        if let page = request.page, let place = Place(page) {
            let beyond = request.isDescending ? "<" : ">"
            conditions.append(
                """
                (rejected_at, log_id, topic, partition, "offset") \(beyond) (\(bind(.timestamp(page.ts.microseconds))), \
                \(bind(.text(page.source, as: .text))), \(bind(.text(place.topic, as: .text))), \
                \(bind(.int64(place.partition))), \(bind(.int64(page.tradeID))))
                """)
        }
        let order = request.isDescending ? "desc" : "asc"
        // Which conditions there are decides the text, so the statement is named by them.
        let sql = """
            select rejected_at, log_id, topic, partition, "offset", reason, message, symbol, source, run_id, original \
            from ops.rejected_records \(conditions.isEmpty ? "" : "where \(conditions.joined(separator: " and ")) ")\
            order by rejected_at \(order), log_id \(order), topic \(order), partition \(order), "offset" \(order) limit $1
            """
        return MarketPlan.Step(statement: Statement(name: "rejected", sql: sql), parameters: parameters)
    }

    /// The part of the key that a page token holds in place of a symbol.
    private struct Place {
        var topic: String
        var partition: Int64

        init?(_ token: PageToken) {
            guard let slash = token.symbol.lastIndex(of: "/"),
                let partition = Int64(token.symbol[token.symbol.index(after: slash)...])
            else { return nil }
            topic = String(token.symbol[..<slash])
            self.partition = partition
        }
    }

    func run(_ lease: Lease, _ response: ResponseWriter) async throws {
        let body = RowBody(response, contentType: ReplyFormat.json.contentType, query: lease.query)
        body.bytes.appendText("{\"rejected\":[")
        var token: PageToken?
        try await lease.run(response) { connection in
            let step = self.step
            let rows = try await connection.stream(step.statement, step.parameters, deadline: lease.deadline)
            var count = 0
            var last: PageToken?
            while let row = try await rows.next() {
                if count == request.limit {
                    token = last
                    continue
                }
                if count > 0 { body.bytes.append(UInt8(ascii: ",")) }
                try append(row, to: &body.bytes)
                count += 1
                if count == request.limit { last = try self.token(row) }
                if body.isFull { try await body.flush() }
            }
        }
        body.bytes.appendText("],\"next_page_token\":")
        body.bytes.appendJSONString(token?.text)
        body.bytes.appendText("}\n")
        try await body.finish()
    }

    private func token(_ row: RowStream.Row) throws(PostgresError) -> PageToken {
        PageToken(
            scope: request.scope, symbol: "\(try row.string(2))/\(try row.int64(3))",
            ts: Timestamp(microseconds: try row.timestamp(0)), source: try row.string(1), tradeID: try row.int64(4))
    }

    private func append(_ row: RowStream.Row, to bytes: inout [UInt8]) throws(PostgresError) {
        bytes.appendText("{\"rejected_at\":")
        row.withBytes(0) { bytes.appendJSON($0, as: ValueForm.scalar(.time)) }
        for (column, name) in [(2, "topic"), (5, "reason"), (6, "message"), (7, "symbol"), (8, "source")] {
            bytes.appendText(",\"\(name)\":")
            bytes.appendJSONString(try row.stringOrNil(column))
        }
        // Beyond 2^53 JSON numbers lose digits in most readers.
        bytes.appendText(",\"partition\":\(try row.int64(3)),\"offset\":\(try row.int64(4)),\"run_id\":")
        bytes.appendJSONString(try row.int64OrNil(9).map { String($0) })
        let payload = try row.bytes(10)
        bytes.appendText(",\"payload_base64\":")
        bytes.appendJSONString(Self.base64(payload))
        bytes.appendText(",\"payload_text\":")
        bytes.appendJSONString(String(validating: payload, as: UTF8.self))
        bytes.append(UInt8(ascii: "}"))
    }

    /// RFC 4648 §4, with padding.
    static func base64(_ bytes: [UInt8]) -> String {
        var text = Base64URL.encode(bytes).map { $0 == "-" ? "+" : $0 == "_" ? "/" : $0 }
        while text.count % 4 != 0 { text.append("=") }
        return String(text)
    }
}

/// Answers with `ops.sources`.
struct SourcesQuery {
    private static let statement = Statement(
        name: "sources",
        sql: """
            select source, events, last_event_ts, last_ingested_at, last_error, last_error_at, \
            extract(epoch from now() - last_ingested_at)::float8 as silent_seconds from ops.sources order by source
            """)

    private static let columns: [RowEncoder.Column] = [
        .init(name: "source", form: .scalar(.text)), .init(name: "events", form: .scalar(.integer)),
        .init(name: "last_event_ts", form: .scalar(.time)), .init(name: "last_ingested_at", form: .scalar(.time)),
        .init(name: "last_error", form: .scalar(.text)), .init(name: "last_error_at", form: .scalar(.time)),
        .init(name: "silent_seconds", form: .scalar(.number)),
    ]

    func run(_ lease: Lease, _ response: ResponseWriter) async throws {
        let body = RowBody(response, contentType: ReplyFormat.json.contentType, query: lease.query)
        let encoder = RowEncoder(Self.columns, layout: .object)
        body.bytes.appendText("{\"sources\":[")
        try await lease.run(response) { connection in
            let rows = try await connection.stream(Self.statement, [], deadline: lease.deadline)
            var isFirst = true
            while let row = try await rows.next() {
                if !isFirst { body.bytes.append(UInt8(ascii: ",")) }
                isFirst = false
                encoder.append(row, to: &body.bytes)
                if body.isFull { try await body.flush() }
            }
        }
        body.bytes.appendText("],\"next_page_token\":null}\n")
        try await body.finish()
    }
}
