// SPDX-License-Identifier: Apache-2.0
// Bars in the shapes of other services, so that their clients work by another base URL.

import HTTP
import Market
import Postgres

/// Answers with bars as one of the services has them; all of a reply is in memory before it leaves.
struct DropInQuery {
    let request: DropInRequest
    let now: Timestamp
    let body: RowBody

    func run(_ lease: Lease) async throws {
        try await lease.run(body) { connection in
            let reader = BarReader(connection: connection, deadline: lease.deadline)
            switch request.service {
            case .finnhub: try await sendFinnhub(reader)
            case .binance: try await sendBinance(reader)
            case .yahoo: try await sendYahoo(reader)
            case .alpaca: try await sendAlpaca(reader, lease)
            }
        }
        try await body.finish()
    }

    /// All bars of one symbol, the oldest first: there is no second page for who misses some.
    private func allBars(_ reader: BarReader, _ symbol: String) async throws -> [PriceBar] {
        let bars = try await reader.bars(
            symbol, request.interval, request.range, limit: request.limit + 1, isDescending: false)
        if bars.count > request.limit {
            throw QueryError(
                400, "too_many_bars", "more than \(request.limit) bars",
                hint: "Ask for a shorter range, or for wider bars.")
        }
        return bars
    }

    /// The bars of one symbol, the oldest first.
    private func bars(_ reader: BarReader, _ symbol: String) async throws(PostgresError) -> [PriceBar] {
        let bars = try await reader.bars(
            symbol, request.interval, request.range, limit: request.limit, isDescending: request.takesNewest)
        return request.takesNewest ? bars.reversed() : bars
    }

    // MARK: Finnhub

    private func sendFinnhub(_ reader: BarReader) async throws {
        let bars = try await allBars(reader, request.symbols[0])
        body.rows = bars.count
        if request.isCSV {
            body.bytes.appendText("t,o,h,l,c,v\n")
            for bar in bars {
                body.bytes.appendInteger(floorDivide(bar.ts.microseconds, 1_000_000))
                for value in [bar.open, bar.high, bar.low, bar.close, bar.volume] {
                    body.bytes.append(UInt8(ascii: ","))
                    if let value, value.isFinite { body.bytes.appendDigits(value) }
                }
                body.bytes.append(0x0A)
            }
            return
        }
        // Without bars Finnhub sends no arrays.
        if bars.isEmpty { return body.bytes.appendText("{\"s\":\"no_data\"}\n") }
        body.bytes.append(UInt8(ascii: "{"))
        BarColumns(bars: bars, unit: 1_000_000).append(to: &body.bytes)
        body.bytes.appendText("}\n")
    }

    // MARK: Binance

    private func sendBinance(_ reader: BarReader) async throws {
        let candidates = DropInRequest.candidates(request.symbols[0], .binance)
        guard let symbol = try await reader.known(candidates) else {
            throw QueryError(400, "unknown_symbol", "Invalid symbol.")
        }
        let bars = try await bars(reader, symbol)
        body.rows = bars.count
        let unit: Int64 = request.timeInMicroseconds ? 1 : 1000
        body.bytes.append(UInt8(ascii: "["))
        for (index, bar) in bars.enumerated() {
            body.bytes.appendText(index == 0 ? "[" : ",[")
            body.bytes.appendInteger(floorDivide(bar.ts.microseconds, unit))
            for value in [bar.open, bar.high, bar.low, bar.close, bar.volume] { appendQuoted(value) }
            body.bytes.append(UInt8(ascii: ","))
            // The last millisecond of the bar.
            body.bytes.appendInteger(
                floorDivide(request.interval.start(after: bar.ts).microseconds, unit) - 1)
            appendQuoted(bar.notional)
            // Which side took is not recorded.
            body.bytes.appendText(",\(bar.tradeCount),\"0\",\"0\",\"0\"]")
        }
        body.bytes.appendText("]\n")
    }

    private func appendQuoted(_ value: Double?) {
        body.bytes.appendText(",\"\(Self.decimal(value))\"")
    }

    /// A number as Binance has it: decimal digits, without an exponent. A sum beyond a double is the word that readers of
    /// doubles and decimals take for it.
    static func decimal(_ value: Double?) -> String {
        guard let value else { return "0.0" }
        guard value.isFinite else { return value < 0 ? "-Infinity" : "Infinity" }
        let text = value.description
        return text.utf8.contains(UInt8(ascii: "e")) ? plainDecimal(text) : text
    }

    /// `1.5e-07` without the exponent.
    static func plainDecimal(_ text: String) -> String {
        let parts = text.split(separator: "e")
        guard parts.count == 2, let exponent = Int(parts[1]) else { return text }
        let isNegative = parts[0].hasPrefix("-")
        let mantissa = parts[0].drop { $0 == "-" }.split(separator: ".", omittingEmptySubsequences: false)
        var digits = mantissa.joined()
        let point = (mantissa.first?.count ?? 0) + exponent
        let sign = isNegative ? "-" : ""
        if point <= 0 { return sign + "0." + String(repeating: "0", count: -point) + digits }
        if point >= digits.count {
            digits += String(repeating: "0", count: point - digits.count)
            return sign + digits + ".0"
        }
        return sign + digits.prefix(point) + "." + digits.dropFirst(point)
    }

    // MARK: Yahoo

    private static let facts = Statement(
        name: "chart_facts",
        sql: """
            select s.currency, s.exchange, s.type, s.name, s.last_ts, s.last_price, \
            (select min(ts) from market.bars b where b.symbol = s.symbol and b.timeframe = '1d') \
            from market.symbols s where s.symbol = $1
            """)

    private func sendYahoo(_ reader: BarReader) async throws {
        let symbol = request.symbols[0]
        let facts = try await reader.connection.query(
            Self.facts, [.text(symbol, as: .text)], deadline: reader.deadline)
        guard !facts.isEmpty else {
            throw QueryError(404, "Not Found", "No data found, symbol may be delisted")
        }
        let bars = try await allBars(reader, symbol)
        body.rows = bars.count
        // The close before the range, which changes are measured from: of a bar that ends before it.
        var before: Double?
        let base = BarInterval(request.interval.base)
        if let first = bars.first?.ts ?? request.range.from.map(base.start(of:)) {
            before = try await reader.bars(symbol, base, TimeRange(to: first), limit: 1, isDescending: true).first?
                .close
        }
        body.bytes.appendText("{\"chart\":{\"result\":[{\"meta\":{")
        for row in facts { try appendMeta(row, symbol, before) }
        appendTradingPeriods(of: bars)
        // As Yahoo has it where there is nothing: clients tell an empty chart by it.
        if bars.isEmpty {
            body.bytes.appendText("},\"indicators\":{\"quote\":[{}],\"adjclose\":[{}]}}],\"error\":null}}\n")
            return
        }
        body.bytes.appendText("},\"timestamp\":[")
        for (index, bar) in bars.enumerated() {
            if index > 0 { body.bytes.append(UInt8(ascii: ",")) }
            body.bytes.appendInteger(floorDivide(bar.ts.microseconds, 1_000_000))
        }
        body.bytes.appendText("],\"indicators\":{\"quote\":[{")
        let columns: [(String, BarLayout.Value)] = [
            ("open", .open), ("high", .high), ("low", .low), ("close", .close), ("volume", .volume),
        ]
        for (index, (name, value)) in columns.enumerated() {
            body.bytes.appendText(index == 0 ? "\"\(name)\":[" : ",\"\(name)\":[")
            appendValues(bars, value)
            body.bytes.append(UInt8(ascii: "]"))
        }
        // Nothing here is adjusted, so that both are the same.
        body.bytes.appendText("}],\"adjclose\":[{\"adjclose\":[")
        appendValues(bars, .close)
        body.bytes.appendText("]}]}}],\"error\":null}}\n")
    }

    private func appendValues(_ bars: [PriceBar], _ value: BarLayout.Value) {
        for (index, bar) in bars.enumerated() {
            if index > 0 { body.bytes.append(UInt8(ascii: ",")) }
            body.bytes.appendNumber(bar[value])
        }
    }

    private func appendMeta(_ row: ResultSet.Row, _ symbol: String, _ before: Double?) throws(PostgresError) {
        func text(_ name: String, _ value: String?) {
            body.bytes.appendText("\"\(name)\":")
            body.bytes.appendJSONString(value)
            body.bytes.append(UInt8(ascii: ","))
        }
        func seconds(_ time: Int64?) -> String { time.map { "\(floorDivide($0, 1_000_000))" } ?? "null" }
        let type = try row.stringOrNil(2)
        text("currency", try row.stringOrNil(0))
        text("symbol", symbol)
        text("exchangeName", try row.stringOrNil(1) ?? symbol.split(separator: ":").first.map(String.init))
        text("fullExchangeName", try row.stringOrNil(1))
        // What has a name or an exchange is a share, if nobody says what it is.
        text("instrumentType", type?.uppercased() ?? (row.isNull(1) && row.isNull(3) ? "CURRENCY" : "EQUITY"))
        text("longName", try row.stringOrNil(3))
        body.bytes.appendText(
            "\"firstTradeDate\":\(seconds(try row.timestampOrNil(6))),"
                + "\"regularMarketTime\":\(seconds(try row.timestampOrNil(4))),\"regularMarketPrice\":")
        body.bytes.appendNumber(try row.doubleOrNil(5))
        body.bytes.appendText(",\"chartPreviousClose\":")
        body.bytes.appendNumber(before)
        let today = now.day
        body.bytes.appendText(
            ",\"priceHint\":2,\"hasPrePostMarketData\":false,\"gmtoffset\":0,\"timezone\":\"UTC\","
                + "\"exchangeTimezoneName\":\"UTC\","
                + "\"currentTradingPeriod\":{\"pre\":\(Self.yahooPeriod(today, .before)),"
                + "\"regular\":\(Self.yahooPeriod(today, .regular)),\"post\":\(Self.yahooPeriod(today, .after))},"
                + "\"dataGranularity\":\"\(Self.yahooName(request.interval))\",\"range\":\"\(request.rangeName)\","
                + "\"validRanges\":[\(DropInRequest.yahooRangeNames.map { "\"\($0)\"" }.joined(separator: ","))]")
    }

    private enum TradingPeriod { case before, regular, after }

    /// A trading period of a day since the epoch: around the clock, by UTC, with nothing before and after it.
    private static func yahooPeriod(_ day: Int64, _ period: TradingPeriod) -> String {
        let start = day * 86_400
        let (from, to) =
            switch period {
            case .before: (start, start)
            case .regular: (start, start + 86_400)
            case .after: (start + 86_400, start + 86_400)
            }
        return "{\"timezone\":\"UTC\",\"start\":\(from),\"end\":\(to),\"gmtoffset\":0}"
    }

    /// The trading periods of the days that bars within a day are of, by which clients drop what lies outside.
    private func appendTradingPeriods(of bars: [PriceBar]) {
        guard request.interval.isWithinDay else { return }
        var days: [Int64] = []
        for bar in bars where bar.ts.day != days.last { days.append(bar.ts.day) }
        if days.isEmpty { days.append(now.day) }
        func append(_ period: TradingPeriod) {
            body.bytes.append(UInt8(ascii: "["))
            for (index, day) in days.enumerated() {
                body.bytes.appendText("\(index == 0 ? "[" : ",[")\(Self.yahooPeriod(day, period))]")
            }
            body.bytes.append(UInt8(ascii: "]"))
        }
        body.bytes.appendText(",\"tradingPeriods\":")
        guard request.includesExtendedHours else { return append(.regular) }
        body.bytes.appendText("{\"pre\":")
        append(.before)
        body.bytes.appendText(",\"regular\":")
        append(.regular)
        body.bytes.appendText(",\"post\":")
        append(.after)
        body.bytes.append(UInt8(ascii: "}"))
    }

    /// Yahoo's name of an interval.
    static func yahooName(_ interval: BarInterval) -> String {
        switch interval.name.last {
        case "w": interval.name + "k"
        case "M": interval.name.dropLast() + "mo"
        default: interval.name
        }
    }

    // MARK: Alpaca

    private func sendAlpaca(_ reader: BarReader, _ lease: Lease) async throws {
        body.bytes.appendText("{\"bars\":{")
        var sent = 0
        var last: PageToken?
        var hasMore = false
        var isFirstSymbol = true
        for symbol in request.symbols where !hasMore {
            var range = request.range
            if let page = request.page {
                if symbol.utf8.lexicographicallyPrecedes(page.symbol.utf8) { continue }
                if symbol == page.symbol { range.narrow(beyond: page.ts, isDescending: request.isDescending) }
            }
            try lease.checkGoing()
            let bars = try await reader.bars(
                symbol, request.interval, range, limit: request.limit + 1 - sent, isDescending: request.isDescending)
            let fitting = bars.prefix(request.limit - sent)
            hasMore = fitting.count < bars.count
            // A symbol without bars is left out.
            if fitting.isEmpty { continue }
            body.bytes.appendText(isFirstSymbol ? "" : ",")
            isFirstSymbol = false
            body.bytes.appendJSONString(symbol)
            body.bytes.appendText(":[")
            for (index, bar) in fitting.enumerated() {
                if index > 0 { body.bytes.append(UInt8(ascii: ",")) }
                body.bytes.appendText("{\"t\":\"\(bar.ts)\"")
                let values: [(String, Double?)] = [
                    ("o", bar.open), ("h", bar.high), ("l", bar.low), ("c", bar.close), ("v", bar.volume),
                ]
                for (name, value) in values {
                    body.bytes.appendText(",\"\(name)\":")
                    body.bytes.appendNumber(value)
                }
                body.bytes.appendText(",\"n\":\(bar.tradeCount),\"vw\":")
                // Of no volume the price is the close.
                body.bytes.appendNumber(bar.vwap ?? bar.close)
                body.bytes.append(UInt8(ascii: "}"))
                last = PageToken(scope: request.scope, symbol: symbol, ts: bar.ts)
                if body.isFull { try await body.flush() }
            }
            body.bytes.append(UInt8(ascii: "]"))
            sent += fitting.count
            body.rows = sent
        }
        body.bytes.appendText("},\"next_page_token\":")
        body.bytes.appendJSONString(hasMore ? last?.text : nil)
        body.bytes.appendText("}\n")
    }
}

/// Answers Finnhub's `/quote`: the latest price beside those of its day and the close before.
struct DayQuoteQuery {
    let symbol: String

    private static let statement = Statement(
        name: "day_quote",
        sql: """
            select l.price, l.ts, d.open, d.high, d.low, (select b.close from market.bars b where b.symbol = $1 \
            and b.timeframe = '1d' and b.ts < d.ts order by b.ts desc limit 1) as previous \
            from market.latest l left join lateral (select b.ts, b.open, b.high, b.low from market.bars b \
            where b.symbol = $1 and b.timeframe = '1d' order by b.ts desc limit 1) d on true where l.symbol = $1
            """)

    func run(_ lease: Lease, _ body: RowBody) async throws {
        try await lease.run(body) { connection in
            let rows = try await connection.query(
                Self.statement, [.text(symbol, as: .text)], deadline: lease.deadline)
            // What Finnhub says of symbols it does not know.
            if rows.isEmpty {
                body.bytes.appendText(
                    "{\"c\":0,\"d\":null,\"dp\":null,\"h\":0,\"l\":0,\"o\":0,\"pc\":0,\"t\":0}\n")
            }
            for row in rows {
                let price = try row.double(0)
                let previous = try row.doubleOrNil(5)
                let change = previous.map { price - $0 }
                let percent = previous.flatMap { $0 == 0 ? nil : (price - $0) / $0 * 100 }
                let values: [(String, Double?)] = [
                    ("c", price), ("d", change), ("dp", percent), ("h", try row.doubleOrNil(3) ?? price),
                    ("l", try row.doubleOrNil(4) ?? price), ("o", try row.doubleOrNil(2) ?? price),
                    ("pc", previous ?? 0),
                ]
                for (index, (name, value)) in values.enumerated() {
                    body.bytes.appendText(index == 0 ? "{\"\(name)\":" : ",\"\(name)\":")
                    body.bytes.appendNumber(value)
                }
                body.bytes.appendText(",\"t\":\(floorDivide(try row.timestamp(1), 1_000_000))}\n")
            }
        }
        try await body.finish()
    }
}
