// SPDX-License-Identifier: Apache-2.0
// The statements of posts, sentiment and forecasts. Pure: a request in, SQL and parameters out.

import Market
import Postgres

/// How one page of a list is read: one statement, in the order of a key that tells rows apart.
struct ListPlan {
    let request: ListRequest

    private static let forecastColumns: [(String, ScalarForm)] = [
        ("forecast_id", .integer), ("symbol", .text), ("made_at", .time), ("model", .text), ("spot", .number),
        ("spot_ts", .time), ("drift", .number), ("volatility", .number), ("step_seconds", .number), ("steps", .integer),
        ("paths", .integer), ("seed", .text), ("lookback", .text), ("timeframe", .text), ("price", .text),
        ("time_base", .text), ("returns", .integer), ("antithetic", .bool), ("made_by", .text),
    ]

    private static let postColumns: [(String, ScalarForm)] = [
        ("id", .text), ("kind", .text), ("subreddit", .text), ("author", .text), ("title", .text), ("body", .text),
        ("url", .text), ("score", .integer), ("num_comments", .integer), ("upvote_ratio", .number),
        ("submission_id", .text), ("created_at", .time), ("edited_at", .time), ("is_deleted", .bool),
        ("sentiment", .number), ("positive", .number), ("negative", .number), ("neutral", .number),
        ("finance_sentiment", .number),
    ]

    private static let sentimentColumns: [(String, ScalarForm)] = [
        ("symbol", .text), ("ts", .time), ("mean_sentiment", .number), ("post_count", .integer),
        ("positive_count", .integer), ("negative_count", .integer), ("mean_finance_sentiment", .number),
    ]

    private var scalars: [(String, ScalarForm)] {
        switch request.resource {
        case .posts: Self.postColumns
        case .sentiment: Self.sentimentColumns
        case .forecasts: Self.forecastColumns
        }
    }

    /// The columns of the reply, in the order of the statement's columns.
    var columns: [RowEncoder.Column] {
        let own = Self.columns(scalars, timeInMilliseconds: request.timeInMilliseconds)
        return request.resource == .posts ? own + [.init(name: "symbols", form: .array(.text))] : own
    }

    /// The columns of a forecast's own row.
    static func forecastColumns(timeInMilliseconds: Bool) -> [RowEncoder.Column] {
        columns(forecastColumns, timeInMilliseconds: timeInMilliseconds)
    }

    private static func columns(
        _ columns: [(String, ScalarForm)], timeInMilliseconds: Bool
    ) -> [RowEncoder.Column] {
        columns.map { name, form in
            .init(name: name, form: .scalar(form == .time && timeInMilliseconds ? .milliseconds : form))
        }
    }

    static let forecastSelect = "select \(list(forecastColumns)) from market.forecasts f"

    private static func list(_ columns: [(String, ScalarForm)]) -> String {
        columns.map { "\"\($0.0)\"" }.joined(separator: ", ")
    }

    /// The rows, one more than the page holds: whether it comes tells whether there is a next page.
    var step: MarketPlan.Step {
        var parameters: [Parameter] = [.int64(Int64(request.limit) + 1)]
        var conditions: [String] = []
        func bind(_ parameter: Parameter) -> String {
            parameters.append(parameter)
            return "$\(parameters.count)"
        }
        let time = request.resource == .posts ? "created_at" : request.resource == .sentiment ? "ts" : "made_at"
        if let from = request.range.from { conditions.append("\(time) >= \(bind(.timestamp(from.microseconds)))") }
        if let to = request.range.to { conditions.append("\(time) < \(bind(.timestamp(to.microseconds)))") }
        if let symbols = request.symbols {
            let list = bind(.textArray(symbols))
            conditions.append(
                request.resource == .posts
                    ? "exists (select from market.mentions m where m.post_id = p.id and m.symbol = any(\(list)))"
                    : "symbol = any(\(list))")
        }
        if let subreddit = request.subreddit { conditions.append("subreddit = \(bind(.text(subreddit, as: .text)))") }
        if let kind = request.kind { conditions.append("kind = \(bind(.text(kind, as: .text)))") }
        if request.resource == .sentiment {
            conditions.append("timeframe = \(bind(.text(request.timeframe, as: .text)))")
        }
        let beyond = request.isDescending ? "<" : ">"
        if let page = request.page {
            let ts = bind(.timestamp(page.ts.microseconds))
            let last =
                switch request.resource {
                case .posts: bind(.text(page.source, as: .text))
                case .sentiment: bind(.text(page.symbol, as: .text))
                case .forecasts: bind(.int64(page.tradeID))
                }
            conditions.append("(\(time), \(key)) \(beyond) (\(ts), \(last))")
        }
        let order = request.isDescending ? "desc" : "asc"
        let filter = conditions.isEmpty ? "" : " where \(conditions.joined(separator: " and "))"
        let sql = "\(select)\(filter) order by \(time) \(order), \(key) \(order) limit $1"
        return MarketPlan.Step(statement: Statement(name: request.resource.rawValue, sql: sql), parameters: parameters)
    }

    /// What tells rows of the same time apart.
    private var key: String {
        switch request.resource {
        case .posts: "id"
        case .sentiment: "symbol"
        case .forecasts: "forecast_id"
        }
    }

    private var select: String {
        switch request.resource {
        case .posts:
            "select \(Self.list(Self.postColumns)), array(select m.symbol from market.mentions m where m.post_id = p.id "
                + "order by m.symbol) as symbols from market.posts p"
        case .sentiment: "select \(Self.list(Self.sentimentColumns)) from market.sentiment_bars"
        case .forecasts: Self.forecastSelect
        }
    }

    /// The token of the page that follows `row`.
    func token(_ row: RowStream.Row) throws(PostgresError) -> PageToken {
        var token = PageToken(scope: request.scope, symbol: "")
        switch request.resource {
        case .posts:
            token.source = try row.string(0)
            token.ts = Timestamp(microseconds: try row.timestamp(11))
        case .sentiment:
            token.symbol = try row.string(0)
            token.ts = Timestamp(microseconds: try row.timestamp(1))
        case .forecasts:
            token.tradeID = try row.int64(0)
            token.ts = Timestamp(microseconds: try row.timestamp(2))
        }
        return token
    }
}
