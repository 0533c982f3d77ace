// SPDX-License-Identifier: Apache-2.0
// The statements of the REST resources. Pure: a request in, SQL and parameters out.

import Market
import Postgres

/// How one page of a resource is read.
///
/// Bars, indicators and trades are read symbol by symbol, each with the same prepared statement: an index scan in the order of the
/// key that stops when the page is full. One statement for several symbols would have to sort all of their rows before
/// the first one leaves.
struct MarketPlan {
    /// What to read of one symbol, or of all at once.
    struct Step: Equatable {
        var statement: Statement
        var parameters: [Parameter]
        /// The same for many symbols at once, of which the first parameter is one.
        var many: Statement?
    }

    let request: MarketRequest

    /// The columns of the reply, in the order of the statement's columns.
    var columns: [RowEncoder.Column] {
        Self.columns(of: request.resource, timeInMilliseconds: request.timeInMilliseconds)
    }

    static func columns(of resource: MarketResource, timeInMilliseconds: Bool) -> [RowEncoder.Column] {
        let time = ValueForm.scalar(timeInMilliseconds ? .milliseconds : .time)
        func column(_ name: String, _ form: ScalarForm) -> RowEncoder.Column { .init(name: name, form: .scalar(form)) }
        switch resource {
        case .bars:
            return [column("symbol", .text), .init(name: "ts", form: time)]
                + ["open", "high", "low", "close", "volume", "vwap"].map { column($0, .number) }
                + [column("trade_count", .safeInteger)]
        case .indicators:
            return [column("symbol", .text), .init(name: "ts", form: time)]
                + indicatorNames.map { column($0, .number) }
        case .trades:
            // A trade_id may be beyond 2^53, where JSON numbers lose digits in most readers.
            return [
                column("symbol", .text), .init(name: "ts", form: time), column("source", .text),
                column("trade_id", .text), column("price", .number), column("size", .number),
                .init(name: "conditions", form: .array(.text)),
            ]
        case .alerts:
            return [
                column("symbol", .text), .init(name: "ts", form: time), column("timeframe", .text),
                column("kind", .text), column("value", .number), column("threshold", .number),
                .init(name: "raised_at", form: time), .init(name: "retracted_at", form: time),
            ]
        case .latest:
            return [
                column("symbol", .text), .init(name: "ts", form: time), column("price", .number),
                column("size", .number), column("trade_id", .text), column("source", .text),
                column("change", .number), column("change_pct", .number),
            ]
        case .symbols:
            return ["symbol", "name", "exchange", "type", "currency"].map { column($0, .text) }
                + [.init(name: "last_ts", form: time), column("last_price", .number)]
        }
    }

    /// The statement of a page that is a few rows by their keys, which takes PostgreSQL microseconds; nil for others.
    var lookup: Step? {
        guard let symbols = request.symbols else { return nil }
        switch request.resource {
        case .latest: return symbols.count <= Self.lookupSymbols ? step(limit: request.limit + 1) : nil
        case .bars:
            let isSmall = request.isOfStoredRows && symbols.count == 1 && request.limit <= Self.lookupBars
            // A page of another symbol's has nothing of this one.
            guard isSmall, let symbol = namedSymbols?.first else { return nil }
            return step(symbol: symbol, limit: request.limit + 1)
        default: return nil
        }
    }

    private static let lookupSymbols = 16
    private static let lookupBars = 200

    /// Whether rows are read symbol by symbol.
    var isPerSymbol: Bool {
        switch request.resource {
        case .bars, .indicators, .trades: true
        case .alerts, .latest, .symbols: false
        }
    }

    /// Symbols still to read, if the request names them: those from the page's own on.
    var namedSymbols: [String]? {
        guard let symbols = request.symbols else { return nil }
        guard let page = request.page else { return symbols }
        return symbols.filter { !$0.utf8.lexicographicallyPrecedes(page.symbol.utf8) }
    }

    /// All symbols that have traded, from the page's own on, for a request that names none.
    var allSymbols: Step {
        Step(
            statement: Statement(
                name: "traded_symbols", sql: "select symbol from market.latest where symbol >= $1 order by symbol"),
            parameters: [.text(request.page?.symbol ?? "", as: .text)])
    }

    // MARK: Symbol by symbol

    /// The rows of one symbol, `limit` at most.
    func step(symbol: String, limit: Int) -> Step {
        let page = request.page.flatMap { $0.symbol == symbol ? $0 : nil }
        var from = request.range.from ?? Self.distantPast
        var to = request.range.to ?? Self.distantFuture
        // The bound on ts alone lets PostgreSQL leave out whole days; a comparison of rows would not.
        if let page { if request.isDescending { to = min(to, page.ts.next) } else { from = max(from, page.ts) } }
        var parameters: [Parameter] = [
            .text(symbol, as: .text), .timestamp(from.microseconds), .timestamp(to.microseconds), .int64(Int64(limit)),
        ]
        if request.resource != .trades {
            parameters.append(.text(request.timeframe.name, as: .text))
            if let page { parameters.append(.timestamp(page.ts.microseconds)) }
        } else if let page {
            parameters += [
                .timestamp(page.ts.microseconds), .text(page.source, as: .text), .int64(page.tradeID),
            ]
        }
        let kind = StepKind(
            resource: request.resource, isDescending: request.isDescending, isContinued: page != nil)
        return Step(
            statement: Self.statements[kind] ?? Self.statement(kind), parameters: parameters,
            many: kind.resource == .bars ? Self.barsOfMany[kind] : nil)
    }

    /// What the text of a statement for one symbol depends on.
    private struct StepKind: Hashable {
        var resource: MarketResource
        var isDescending: Bool
        /// Whether a page came before it.
        var isContinued: Bool
    }

    /// All of them: pages of a few rows are asked for so often that putting the text together would count.
    private static let statements: [StepKind: Statement] = {
        var statements: [StepKind: Statement] = [:]
        for resource in [MarketResource.bars, .indicators, .trades] {
            for index in 0..<4 {
                let kind = StepKind(resource: resource, isDescending: index & 1 != 0, isContinued: index & 2 != 0)
                statements[kind] = statement(kind)
            }
        }
        return statements
    }()

    /// The same for the bars of many symbols.
    private static let barsOfMany: [StepKind: Statement] = statements.filter { $0.key.resource == .bars }.reduce(
        into: [:]) {
            $0[$1.key] = ofMany($1.value.name, statement($1.key, symbol: "asked.symbol").sql)
        }

    /// A statement for one symbol, as one for many. PostgreSQL runs it for each of them, in their order: what has a LIMIT or
    /// an OFFSET it does not make a join of.
    private static func ofMany(_ name: String, _ sql: String) -> Statement {
        Statement(
            name: "\(name)_of_many",
            sql: "select found.* from unnest($1) as asked (symbol), lateral (\(sql)) as found")
    }

    private static func statement(_ kind: StepKind, symbol: String = "$1") -> Statement {
        let order = kind.isDescending ? "desc" : "asc"
        let beyond = kind.isDescending ? "<" : ">"
        let name = "\(kind.resource.rawValue)_\(order)\(kind.isContinued ? "_page" : "")"
        if kind.resource == .trades {
            return Statement(
                name: name,
                sql: """
                    select symbol, ts, source, trade_id, price, size, conditions from market.trades \
                    where symbol = \(symbol) and ts >= $2 and ts < $3 \
                    \(kind.isContinued ? "and (ts, source, trade_id) \(beyond) ($5, $6, $7) " : "")\
                    order by ts \(order), source \(order), trade_id \(order) limit $4
                    """)
        }
        let bars = """
            from market.bars where symbol = \(symbol) and timeframe = $5 and ts >= $2 and ts < $3 \
            \(kind.isContinued ? "and ts \(beyond) $6 " : "")order by ts \(order) limit $4
            """
        let sql =
            kind.resource == .bars
            ? "select symbol, ts, open, high, low, close, volume, vwap, trade_count \(bars)"
            : indicators(ofBars: bars, order: order)
        return Statement(name: name, sql: sql)
    }

    /// The indicators of the page's bars: the function goes through each bar once, where the view `market.indicators`
    /// would look back from each.
    private static func indicators(ofBars bars: String, order: String) -> String {
        """
        select $1 as symbol, i.ts, \(indicatorNames.map { "i.\($0)" }.joined(separator: ", ")) \
        from (select min(ts) as first, max(ts) + interval '1 microsecond' as after from (select ts \(bars)) as page) as span, \
        tapedeck_sql.indicators($1, $5, span.first, span.after) as i order by i.ts \(order)
        """
    }

    /// The columns of `market.indicators` after its key.
    static let indicatorNames = [
        "sma_20", "sma_50", "ema_12", "ema_26", "macd", "macd_signal", "rsi_14", "bollinger_upper", "bollinger_lower",
        "volatility_20",
    ]

    // MARK: All at once

    /// The rows of `latest`, `symbols` and `alerts`, `limit` at most.
    func step(limit: Int) -> Step {
        if request.resource == .alerts { return alerts(limit: limit) }
        if request.resource == .latest, let symbols = request.symbols, symbols.count == 1, request.page == nil {
            return Step(
                statement: Self.latestOfOne, parameters: [.text(symbols[0], as: .text)], many: Self.latestOfMany)
        }
        var parameters: [Parameter] = [.int64(Int64(limit))]
        var conditions: [String] = []
        func bind(_ parameter: Parameter) -> String {
            parameters.append(parameter)
            return "$\(parameters.count)"
        }
        if let symbols = request.symbols {
            conditions.append("symbol = any(\(bind(.textArray(symbols))))")
        }
        if let page = request.page {
            conditions.append("symbol \(request.isDescending ? "<" : ">") \(bind(.text(page.symbol, as: .text)))")
        }
        if let search = request.search {
            let pattern = bind(.text("%\(Self.escapedPattern(search))%", as: .text))
            conditions.append("(symbol ilike \(pattern) or name ilike \(pattern))")
        }
        let filter = conditions.isEmpty ? "" : "where \(conditions.joined(separator: " and ")) "
        let sql = """
            \(request.resource == .latest ? Self.selectLatest : Self.selectSymbols) \
            \(filter)order by symbol \(request.isDescending ? "desc" : "asc") limit $1
            """
        return Step(statement: Statement(name: request.resource.rawValue, sql: sql), parameters: parameters)
    }

    /// By time first, and not by symbol: what happened last is what one asks alerts for.
    private func alerts(limit: Int) -> Step {
        var parameters: [Parameter] = [
            .int64(Int64(limit)), .timestamp((request.range.from ?? Self.distantPast).microseconds),
            .timestamp((request.range.to ?? Self.distantFuture).microseconds),
        ]
        let order = request.isDescending ? "desc" : "asc"
        var name = "alerts_\(order)"
        var conditions = "ts >= $2 and ts < $3"
        if let symbols = request.symbols {
            parameters.append(.textArray(symbols))
            conditions += " and symbol = any($\(parameters.count))"
            name += "_of"
        }
        if let page = request.page {
            let parts = page.source.split(separator: " ", maxSplits: 1)
            let first = parameters.count + 1
            parameters += [
                .timestamp(page.ts.microseconds), .text(page.symbol, as: .text),
                .text(String(parts.first ?? ""), as: .text), .text(String(parts.last ?? ""), as: .text),
            ]
            conditions += """
                 and (ts, symbol, timeframe, kind) \(request.isDescending ? "<" : ">") \
                ($\(first), $\(first + 1), $\(first + 2), $\(first + 3))
                """
            name += "_page"
        }
        let sql = """
            select symbol, ts, timeframe, kind, value, threshold, raised_at, retracted_at from ops.alerts \
            where \(conditions) \
            order by ts \(order), symbol \(order), timeframe \(order), kind \(order) limit $1
            """
        return Step(statement: Statement(name: name, sql: sql), parameters: parameters)
    }

    /// The hot path: a lookup by the key, and no text to put together.
    private static let latestOfOne = Statement(name: "latest_of_one", sql: selectLatest + " where symbol = $1")
    private static let latestOfMany = ofMany("latest", selectLatest + " where symbol = asked.symbol offset 0")

    private static let selectLatest = """
        select symbol, ts, price, size, trade_id, source, price - previous_price as change, \
        (price - previous_price) / nullif(previous_price, 0) * 100 as change_pct from market.latest
        """
    private static let selectSymbols =
        "select symbol, name, exchange, type, currency, last_ts, last_price from market.symbols"

    /// `text` with the characters that mean something in LIKE escaped.
    static func escapedPattern(_ text: String) -> String {
        var escaped = ""
        for scalar in text.unicodeScalars {
            if scalar == "%" || scalar == "_" || scalar == "\\" { escaped.append("\\") }
            escaped.unicodeScalars.append(scalar)
        }
        return escaped
    }

    // PostgreSQL's own ends of time.
    private static let distantPast = Timestamp(microseconds: .min)
    private static let distantFuture = Timestamp(microseconds: .max)
}

extension Timestamp {
    /// The next microsecond.
    var next: Timestamp { Timestamp(microseconds: microseconds + 1) }
}
