// SPDX-License-Identifier: Apache-2.0
// Pages of bars that are not simply rows of the store: wider ones, with their gaps filled, in other shapes.

import HTTP
import Market
import Postgres

/// Answers with one page of bars, which is in memory before its first byte leaves.
struct BarQuery {
    let request: MarketRequest
    let body: RowBody
    private let text: BarText

    init(_ request: MarketRequest, _ body: RowBody) {
        self.request = request
        self.body = body
        text = BarText(format: request.format, timeInMilliseconds: request.timeInMilliseconds)
    }

    func run(_ lease: Lease) async throws {
        try await lease.run(body) { connection in
            let reader = BarReader(connection: connection, deadline: lease.deadline)
            switch request.layout.shape {
            case .rows: try await sendRows(reader, lease)
            case .wide: try await sendWide(reader, lease)
            case .columns: try await sendColumns(reader)
            }
        }
        try await body.finish()
    }

    /// The bars of one symbol from the page's place on, `limit` at most.
    private func bars(_ reader: BarReader, _ symbol: String, limit: Int) async throws -> [PriceBar] {
        let page = request.page.flatMap { $0.symbol == symbol || request.layout.shape == .wide ? $0 : nil }
        var range = request.range
        var seed: PriceBar?
        if let ts = page?.ts {
            if request.layout.fill != .none {
                // What the first gap of this page begins with, for it may have begun on the page before.
                var before = range
                if request.isDescending { before.from = ts } else { before.to = ts.next }
                seed = try await reader.bars(
                    symbol, request.interval, before, limit: 1, isDescending: !request.isDescending
                ).first
            }
            range.narrow(beyond: ts, isDescending: request.isDescending)
        }
        let bars = try await reader.bars(
            symbol, request.interval, range, limit: limit, isDescending: request.isDescending)
        return bars.filled(
            request.layout.fill, request.interval, isDescending: request.isDescending, seed: seed, after: page?.ts,
            limit: limit)
    }

    private func sendRows(_ reader: BarReader, _ lease: Lease) async throws {
        begin(BarText.names)
        let plan = MarketPlan(request: request)
        var symbols = plan.namedSymbols
        if symbols == nil {
            let step = plan.allSymbols
            symbols = try await reader.connection.query(step.statement, step.parameters, deadline: lease.deadline)
                .map { try $0.string(0) }
        }
        var sent = 0
        var last: PageToken?
        var hasMore = false
        for symbol in symbols ?? [] where !hasMore {
            try lease.checkGoing()
            for bar in try await bars(reader, symbol, limit: request.limit + 1 - sent) {
                if sent == request.limit {
                    hasMore = true
                    break
                }
                if request.format == .json && sent > 0 { body.bytes.append(UInt8(ascii: ",")) }
                text.append(bar, symbol, to: &body.bytes)
                if request.format == .ndjson { body.bytes.append(0x0A) }
                sent += 1
                last = PageToken(scope: request.scope, symbol: symbol, ts: bar.ts)
                if body.isFull { try await body.flush() }
            }
        }
        body.rows = sent
        end(hasMore ? last : nil)
    }

    private func sendWide(_ reader: BarReader, _ lease: Lease) async throws {
        let symbols = request.symbols ?? []
        begin(["ts"] + symbols)
        var values: [Timestamp: [Double?]] = [:]
        for (index, symbol) in symbols.enumerated() {
            try lease.checkGoing()
            for bar in try await bars(reader, symbol, limit: request.limit + 1) {
                values[bar.ts, default: Array(repeating: nil, count: symbols.count)][index] = bar[request.layout.value]
            }
        }
        let times = values.keys.sorted { request.isDescending ? $0 > $1 : $0 < $1 }
        for (index, ts) in times.prefix(request.limit).enumerated() {
            if request.format == .json && index > 0 { body.bytes.append(UInt8(ascii: ",")) }
            text.append(ts, symbols, values[ts] ?? [], to: &body.bytes)
            if request.format == .ndjson { body.bytes.append(0x0A) }
            body.rows = index + 1
            if body.isFull { try await body.flush() }
        }
        end(
            times.count > request.limit
                ? PageToken(scope: request.scope, symbol: "", ts: times[request.limit - 1]) : nil)
    }

    private func sendColumns(_ reader: BarReader) async throws {
        var bars = try await bars(reader, request.symbols?.first ?? "", limit: request.limit + 1)
        let hasMore = bars.count > request.limit
        if hasMore { bars.removeLast() }
        body.rows = bars.count
        body.bytes.append(UInt8(ascii: "{"))
        BarColumns(bars: bars, unit: request.timeInMilliseconds ? 1000 : 1_000_000).append(to: &body.bytes)
        end(
            hasMore
                ? bars.last.map { PageToken(scope: request.scope, symbol: request.symbols?.first ?? "", ts: $0.ts) }
                : nil)
    }

    private func begin(_ names: [String]) {
        if request.format != .json { body.announce(.nextPage) }
        switch request.format {
        case .csv: text.appendHeader(names, to: &body.bytes)
        case .ndjson: break
        case .json, .objects: body.bytes.appendText("{\"bars\":[")
        }
    }

    private func end(_ token: PageToken?) {
        guard request.format == .json else { return body.close(with: .nextPage, token?.text) }
        if request.layout.shape != .columns { body.bytes.append(UInt8(ascii: "]")) }
        body.bytes.appendText(",\"next_page_token\":")
        body.bytes.appendJSONString(token?.text)
        body.bytes.appendText("}\n")
    }
}
