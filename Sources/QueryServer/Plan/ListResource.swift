// SPDX-License-Identifier: Apache-2.0
// The lists that are read by one statement, each said once: its columns, its order, its filters.

import Market

/// A list of rows, as a table for ``ListRequest``, ``ListPlan`` and ``ListQuery``.
struct ListResource: Sendable {
    /// A column of the statement.
    struct Column: Sendable {
        var name: String
        var form: ValueForm
        /// Where it is not a column of that name.
        var sql: String?

        init(_ name: String, _ form: ScalarForm, sql: String? = nil) {
            self.name = name
            self.form = .scalar(form)
            self.sql = sql
        }

        init(_ name: String, arrayOf form: ScalarForm, sql: String) {
            self.name = name
            self.form = .array(form)
            self.sql = sql
        }

        var expression: String { sql.map { "\($0) as \"\(name)\"" } ?? "\"\(name)\"" }
    }

    /// A parameter that rows must agree with.
    struct Filter: Sendable {
        var parameter: String
        /// `?` stands for the value.
        var condition: String
        /// Nil for any text.
        var choices: [String]?
        /// The value where the request gives none; nil for no condition.
        var standard: String?

        init(_ parameter: String, _ condition: String? = nil, choices: [String]? = nil, standard: String? = nil) {
            self.parameter = parameter
            self.condition = condition ?? "\"\(parameter)\" = ?"
            self.choices = choices
            self.standard = standard
        }
    }

    /// The name of the list in its reply.
    var name: String
    var source: String
    var columns: [Column]
    /// The columns that rows are in order of, which tell any two apart: what a page token holds.
    var key: [String]
    /// What `from` and `to` bound; nil where they are unknown.
    var time: String?
    /// What `symbol` and `symbols` ask for: `?` stands for an array; nil where they are unknown.
    var symbol: String?
    var filters: [Filter] = []
    /// Columns in which `search` looks for a part, in any case.
    var searched: [String] = []
    /// The order of a request that names none.
    var isDescending = true
    /// Whether rows of a range that has ended stay as they are, and whoever adds one says so (`ops.note_change`); false
    /// for what is corrected later.
    var isSettled = false
    /// Whether the same rows are the same reply: not where a column depends on the time of the request.
    var isTagged = true

    /// The parameters it knows.
    var parameters: [String] {
        (symbol == nil ? [] : ["symbol", "symbols"]) + filters.map(\.parameter) + (searched.isEmpty ? [] : ["search"])
            + (time == nil ? [] : ["from", "to"]) + ["limit", "order", "page_token", "format", "time"]
    }

    /// What the statement selects: the columns, and after them those of the key that are none of them.
    var selected: [String] {
        let names = Set(columns.map(\.name))
        return columns.map(\.expression) + key.filter { !names.contains($0) }.map { "\"\($0)\"" }
    }

    /// The places of the key's columns in the statement.
    var keyPlaces: [Int] {
        var hidden = columns.count
        return key.map { name in
            if let place = columns.firstIndex(where: { $0.name == name }) { return place }
            defer { hidden += 1 }
            return hidden
        }
    }
}

extension ListResource {
    static let quotes = ListResource(
        name: "quotes", source: "market.quotes",
        columns: [
            Column("symbol", .text), Column("ts", .time), Column("source", .text), Column("open", .number),
            Column("high", .number), Column("low", .number), Column("price", .number),
            Column("previous_close", .number), Column("volume", .number), Column("currency", .text),
        ],
        key: ["ts", "symbol", "source"], time: "ts", symbol: "symbol = any(?)", filters: [Filter("source")],
        isSettled: true)

    static let instruments = ListResource(
        name: "instruments", source: "market.instruments",
        columns: [
            Column("symbol", .text), Column("name", .text), Column("exchange", .text), Column("type", .text),
            Column("currency", .text), Column("country", .text), Column("sector", .text), Column("industry", .text),
            Column("market_cap", .number), Column("forward_pe", .number), Column("trailing_pe", .number),
            Column("fifty_two_week_high", .number), Column("fifty_two_week_low", .number),
            Column("fifty_day_average", .number), Column("short_ratio", .number), Column("updated_at", .time),
        ],
        key: ["symbol"], symbol: "symbol = any(?)",
        filters: ["exchange", "type", "currency", "country", "sector", "industry"].map { Filter($0) },
        searched: ["symbol", "name"], isDescending: false)

    static let posts = ListResource(
        name: "posts", source: "market.posts p",
        columns: [
            Column("id", .text), Column("kind", .text), Column("subreddit", .text), Column("author", .text),
            Column("title", .text), Column("body", .text), Column("url", .text), Column("score", .integer),
            Column("num_comments", .integer), Column("upvote_ratio", .number), Column("submission_id", .text),
            Column("created_at", .time), Column("edited_at", .time), Column("is_deleted", .bool),
            Column("sentiment", .number), Column("positive", .number), Column("negative", .number),
            Column("neutral", .number), Column("finance_sentiment", .number),
            Column(
                "symbols", arrayOf: .text,
                sql: "array(select m.symbol from market.mentions m where m.post_id = p.id order by m.symbol)"),
        ],
        key: ["created_at", "id"], time: "created_at",
        symbol: "exists (select from market.mentions m where m.post_id = p.id and m.symbol = any(?))",
        filters: [Filter("subreddit"), Filter("kind", choices: ["comment", "submission"])])

    static let sentiment = ListResource(
        name: "sentiment", source: "market.sentiment_bars",
        columns: [
            Column("symbol", .text), Column("ts", .time), Column("mean_sentiment", .number),
            Column("post_count", .safeInteger), Column("positive_count", .safeInteger),
            Column("negative_count", .safeInteger), Column("mean_finance_sentiment", .number),
        ],
        key: ["ts", "symbol"], time: "ts", symbol: "symbol = any(?)",
        filters: [
            Filter(
                "timeframe", choices: Timeframe.allCases.filter { $0 >= .minute1 }.map(\.name), standard: "1h")
        ])

    static let forecasts = ListResource(
        name: "forecasts", source: "market.forecasts f",
        columns: [
            Column("forecast_id", .safeInteger), Column("symbol", .text), Column("made_at", .time),
            Column("model", .text), Column("spot", .number), Column("spot_ts", .time), Column("drift", .number),
            Column("volatility", .number), Column("step_seconds", .number), Column("steps", .integer),
            Column("paths", .integer), Column("seed", .text), Column("lookback", .text), Column("timeframe", .text),
            Column("price", .text), Column("time_base", .text), Column("returns", .safeInteger),
            Column("antithetic", .bool), Column("made_by", .text),
        ],
        key: ["made_at", "forecast_id"], time: "made_at", symbol: "symbol = any(?)")

    static let rejected = ListResource(
        name: "rejected", source: "ops.rejected_records",
        columns: [
            Column("rejected_at", .time), Column("topic", .text), Column("reason", .text), Column("message", .text),
            Column("symbol", .text), Column("source", .text), Column("partition", .integer),
            Column("offset", .safeInteger),
            // Beyond 2^53 JSON numbers lose digits in most readers.
            Column("run_id", .text), Column("payload_base64", .base64, sql: "original"),
            Column("payload_text", .utf8OrNull, sql: "original"),
        ],
        key: ["rejected_at", "log_id", "topic", "partition", "offset"], time: "rejected_at", symbol: "symbol = any(?)",
        filters: [Filter("reason", choices: RejectionReason.allCases.map(\.rawValue)), Filter("topic")])

    static let sources = ListResource(
        name: "sources", source: "ops.source_freshness s",
        columns: [
            Column("source", .text), Column("state", .text), Column("state_at", .time), Column("events", .safeInteger),
            Column("rate", .number), Column("last_event_ts", .time), Column("last_ingested_at", .time),
            Column("silent_seconds", .number, sql: "extract(epoch from silent_for)::float8"),
            Column("is_silent", .bool), Column("last_error", .text), Column("last_error_at", .time),
            Column("gaps", .json, sql: openGaps),
        ],
        key: ["source"], isDescending: false, isTagged: false)

    /// The newest gaps of a source that have not been filled, at most 100, as JSON.
    private static let openGaps = """
        coalesce((select json_agg(json_build_object('from', g.from_ts, 'to', g.to_ts, 'symbols', g.symbols,
            'message', g.message) order by g.from_ts desc, g.symbols)
            from (select * from ops.source_gaps where source = s.source and filled_at is null
                order by from_ts desc, symbols limit 100) g), '[]')
        """
}
