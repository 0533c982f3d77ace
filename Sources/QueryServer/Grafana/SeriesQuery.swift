// SPDX-License-Identifier: Apache-2.0
// Values over time, read and made fewer.

import EventLoop
import Market
import Postgres

/// Reads the values of one request, symbol by symbol.
struct SeriesQuery {
    let request: SeriesRequest
    let connection: PostgresConnection
    let lease: Lease

    private var reader: BarReader { BarReader(connection: connection, deadline: lease.deadline) }

    /// A frame for each symbol, in their order: `time`, then the fields.
    func frames() async throws -> [Frame] {
        // Prices and bars are cut by it, and so is the choice among all symbols that have traded.
        let needsRetention =
            request.source == .prices || request.source == .bars
            || request.symbols == nil && request.source != .sentiment
        let retention = needsRetention ? try await Retention.read(connection, deadline: lease.deadline) : Retention()
        let symbols: [String]
        if let named = request.symbols { symbols = named } else { symbols = try await all(retention) }
        let query = SeriesQuery(request: try await request(over: symbols), connection: connection, lease: lease)
        var frames: [Frame] = []
        var size = 0
        for symbol in symbols {
            try lease.checkGoing()
            let points = try await query.points(symbol, retention)
            let frame = (request.keepsAll ? points : points.fewer(request.downsampling, request.points)).frame(
                symbol, request.fields)
            size += frame.size
            try GrafanaParameters.check(size: size)
            frames.append(frame)
        }
        return frames
    }

    // MARK: Ranges without a beginning

    private static func ends(_ table: String) -> Statement {
        func minute(_ order: String) -> String {
            "select ts from \(table) where symbol = s.symbol and timeframe = '1m' and ts < $2 order by ts \(order) limit 1"
        }
        return Statement(
            name: "ends_of_\(table)",
            sql: """
                select min(first.ts), max(last.ts) from unnest($1) as s (symbol), lateral (\(minute("asc"))) as first, \
                lateral (\(minute("desc"))) as last
                """)
    }
    private static let endsOfBars = ends("market.bars")
    private static let endsOfSentiment = ends("market.sentiment_bars")

    /// The request from the first to the last minute that there is of any of the symbols, if it has no beginning.
    private func request(over symbols: [String]) async throws -> SeriesRequest {
        if request.range.from != nil { return request }
        let to = request.range.to?.microseconds ?? .max
        let found = try await connection.query(
            request.source == .sentiment ? Self.endsOfSentiment : Self.endsOfBars,
            [.textArray(symbols), .timestamp(to)], deadline: lease.deadline)
        guard let ends = found.first, let first = try ends.timestampOrNil(0), let last = try ends.timestampOrNil(1)
        else {
            return request
        }
        let end = min(to, last + Timeframe.minute1.microseconds)
        return request.beginning(Timestamp(microseconds: first), end: Timestamp(microseconds: end))
    }

    // MARK: All symbols

    private func all(_ retention: Retention) async throws -> [String] {
        if request.source == .sentiment { return try await mentioned() }
        let statement = Statement(
            name: "traded_first", sql: "select symbol from market.latest order by symbol limit $1")
        let found = try await connection.query(
            statement, [.int64(Int64(GrafanaParameters.symbolLimit) + 1)], deadline: lease.deadline)
        if found.count > GrafanaParameters.symbolLimit { return try await busiest(retention) }
        return try found.map { try $0.string(0) }
    }

    private static let mostMentioned = Statement(
        name: "mentioned_most",
        sql: """
            select symbol from market.mentions where ts >= $2 and ts < $3 group by symbol \
            order by count(*) desc, symbol limit $1
            """)

    /// The symbols that posts of the range speak of, whether they have traded or not; of more than fit a panel, those with
    /// the most mentions. In alphabetical order.
    private func mentioned() async throws -> [String] {
        let found = try await connection.query(
            Self.mostMentioned,
            [
                .int64(Int64(GrafanaParameters.symbolLimit)), .timestamp(request.range.from?.microseconds ?? .min),
                .timestamp(request.range.to?.microseconds ?? .max),
            ], deadline: lease.deadline)
        return try found.map { try $0.string(0) }.sorted { $0.utf8.lexicographicallyPrecedes($1.utf8) }
    }

    private static let newestTraded = Statement(
        name: "traded_last", sql: "select symbol from market.latest order by ts desc, symbol limit $1")
    // Few symbols of many trade in a short range: one look at a wide bar tells which do not.
    private static let busiest = Statement(
        name: "traded_most",
        sql: """
            select l.symbol from market.latest l cross join lateral (select sum(trades) as trades from (\
            select b.trade_count as trades from unnest($5, $6, $7) as piece (timeframe, first, last) cross join lateral \
            (select trade_count from market.bars where symbol = l.symbol and timeframe = piece.timeframe \
            and ts >= piece.first and ts < piece.last offset 0) as b \
            union all select 1 from unnest($8, $9) as edge (first, last) cross join lateral \
            (select from market.trades where symbol = l.symbol and ts >= edge.first and ts < edge.last offset 0) as t\
            ) as part where exists (select from market.bars where symbol = l.symbol and timeframe = $2 \
            and ts >= $3 and ts < $4) offset 0) as b \
            where b.trades is not null order by b.trades desc, l.symbol limit $1
            """)

    /// Of more symbols than fit a panel, those with the most trades in the range; of one without a beginning, those that
    /// traded last. In alphabetical order.
    private func busiest(_ retention: Retention) async throws -> [String] {
        let limit = Parameter.int64(Int64(GrafanaParameters.symbolLimit))
        let found: ResultSet
        if request.range.from != nil {
            let range = RangePiece.bounds(retention.cuttable(request.range))
            let wide = range.upperBound - range.lowerBound > 3 * Timestamp.microsecondsPerDay ? Timeframe.day1 : .hour1
            let pieces = PieceParameters(RangePiece.cover(range, widest: .day1))
            found = try await connection.query(
                Self.busiest,
                [
                    limit, .text(wide.name, as: .text),
                    .timestamp(wide.start(of: Timestamp(microseconds: range.lowerBound)).microseconds),
                    .timestamp(range.upperBound), pieces.timeframes, pieces.firsts, pieces.lasts, pieces.edgeFirsts,
                    pieces.edgeLasts,
                ], deadline: lease.deadline)
        } else {
            found = try await connection.query(Self.newestTraded, [limit], deadline: lease.deadline)
        }
        return try found.map { try $0.string(0) }.sorted { $0.utf8.lexicographicallyPrecedes($1.utf8) }
    }

    // MARK: One symbol

    private func points(_ symbol: String, _ retention: Retention) async throws -> SeriesPoints {
        switch request.source {
        case .prices: return try await prices(symbol, retention)
        case .bars:
            var points = SeriesPoints(fields: request.fields.count)
            for bar in try await bars(symbol, retention) {
                points.add(bar.ts.microseconds, request.fields.map { bar.value($0) })
            }
            return points
        case .means: return try await means(symbol)
        case .indicators: return try await rows(symbol, request.range)
        case .sentiment: return try await sentiment(symbol)
        }
    }

    private func bars(_ symbol: String, _ retention: Retention) async throws -> [PriceBar] {
        let bars = try await reader.bars(
            symbol, request.interval, within: request.range, retention, limit: SeriesRequest.readLimit + 1,
            isDescending: false)
        try check(bars.count)
        return bars
    }

    private func check(_ count: Int) throws(QueryError) {
        if count > SeriesRequest.readLimit {
            throw QueryError(
                400, "too_many_points", "more than \(SeriesRequest.readLimit) points of a symbol",
                hint: "Ask for a shorter range or a wider interval.")
        }
    }

    // MARK: Prices

    private static let trades = Statement(
        name: "prices",
        sql: """
            select ts, price from market.trades where symbol = $1 and ts >= $2 and ts < $3 \
            order by ts, source, trade_id limit $4
            """)

    /// Every trade if there are no more than wanted. Else two points of each step, in the middle of its halves: its lowest
    /// and its highest price, exactly as the trades have them, the lower one first where the price rose; and its close at
    /// the end of the last step. Steps at the ends of the range are of what is within it.
    private func prices(_ symbol: String, _ retention: Retention) async throws -> SeriesPoints {
        if let all = try await trades(symbol, retention) { return all }
        var points = SeriesPoints(fields: 1)
        let bars = try await bars(symbol, retention)
        for (index, bar) in bars.enumerated() {
            guard let open = bar.open, let high = bar.high, let low = bar.low, let close = bar.close else { continue }
            let begin = max(bar.ts, request.range.from ?? bar.ts).microseconds
            let next = request.interval.start(after: bar.ts)
            let end = min(next, request.range.to ?? next).microseconds
            let quarter = (end - begin) / 4
            let values = close >= open ? [low, high] : [high, low]
            points.add(begin + quarter, [values[0]])
            points.add(begin + 3 * quarter, [values[1]])
            if index == bars.count - 1 { points.add(end - 1, [close]) }
        }
        return points
    }

    /// The trades of the range; nil if there are more of them than wanted, or may have been.
    private func trades(_ symbol: String, _ retention: Retention) async throws -> SeriesPoints? {
        if let from = request.range.from, let dropped = retention.trades, from < dropped,
            request.downsampling != .none
        {
            return nil
        }
        let limit = min(request.points, SeriesRequest.readLimit) + 1
        let rows = try await connection.query(
            Self.trades,
            [
                .text(symbol, as: .text), .timestamp(request.range.from?.microseconds ?? .min),
                .timestamp(request.range.to?.microseconds ?? .max), .int64(Int64(limit)),
            ], deadline: lease.deadline)
        if rows.count > request.points && request.downsampling != .none { return nil }
        try check(rows.count)
        var points = SeriesPoints(fields: 1)
        for row in rows { points.add(try row.timestamp(0), [try row.double(1)]) }
        return points
    }

    // MARK: Means

    private static let minutes = Statement(
        name: "minute_closes",
        sql: """
            select ts, close from market.bars where symbol = $1 and timeframe = '1m' and ts >= $2 and ts < $3 order by ts
            """)

    /// The mean of the closes of the minutes with trades of each step that begins in the range, each minute as much as
    /// another.
    private func means(_ symbol: String) async throws -> SeriesPoints {
        let bounds = BarReader.bounds(request.interval, request.range)
        if bounds.from >= bounds.to { return SeriesPoints(fields: 1) }
        let stream = try await connection.stream(
            Self.minutes,
            [.text(symbol, as: .text), .timestamp(bounds.from), .timestamp(bounds.to)], deadline: lease.deadline)
        var steps: [(start: Int64, sum: Double, count: Double)] = []
        while true {
            var next = stream.nextBuffered()
            if next == nil { next = try await stream.next() }
            guard let row = next else { break }
            let start = request.interval.start(of: Timestamp(microseconds: try row.timestamp(0))).microseconds
            if steps.last?.start != start { steps.append((start, 0, 0)) }
            steps[steps.count - 1].sum += try row.double(1)
            steps[steps.count - 1].count += 1
        }
        try check(steps.count)
        var points = SeriesPoints(fields: 1)
        for step in steps { points.add(step.start, [step.sum / step.count]) }
        return points
    }

    // MARK: Indicators and sentiment

    private func rows(_ symbol: String, _ range: TimeRange) async throws -> SeriesPoints {
        let fields = request.fields.map { "\"\($0)\"" }.joined(separator: ", ")
        let sql =
            request.source == .sentiment
            ? "select ts, \(fields) from market.sentiment_bars where symbol = $1 and timeframe = $2 and ts >= $3 and ts < $4"
            : "select ts, \(fields) from tapedeck_sql.indicators($1, $2, $3, $4)"
        let statement = Statement(
            name: "series_\(request.source)_\(request.fields.joined(separator: "_"))",
            sql: sql + " order by ts limit $5")
        let found = try await connection.query(
            statement,
            [
                .text(symbol, as: .text), .text(request.interval.base.name, as: .text),
                .timestamp(range.from?.microseconds ?? .min),
                .timestamp(range.to?.microseconds ?? .max),
                .int64(Int64(SeriesRequest.readLimit + 1)),
            ], deadline: lease.deadline)
        try check(found.count)
        return try points(of: found)
    }

    private func points(of rows: ResultSet) throws -> SeriesPoints {
        var points = SeriesPoints(fields: request.fields.count)
        for row in rows {
            var values: [Double?] = []
            for place in request.fields.indices { values.append(try row.doubleOrNil(place + 1)) }
            points.add(try row.timestamp(0), values)
        }
        return points
    }

    /// The bars of sentiment; of the steps that the range cuts, what the mentions within it come to.
    private func sentiment(_ symbol: String) async throws -> SeriesPoints {
        let cut = RangeCut(request.range, request.interval)
        var points = SeriesPoints(fields: request.fields.count)
        if let head = cut.head { points.append(try await sentiment(symbol, of: head)) }
        if let whole = cut.whole { points.append(try await rows(symbol, whole)) }
        if let tail = cut.tail { points.append(try await sentiment(symbol, of: tail)) }
        return points
    }

    /// As `ops.refresh_sentiment_bars` makes them.
    private func sentiment(_ symbol: String, of part: Range<Int64>) async throws -> SeriesPoints {
        let fields = request.fields.map { "\"\($0)\"" }.joined(separator: ", ")
        let statement = Statement(
            name: "sentiment_part_\(request.fields.joined(separator: "_"))",
            sql: """
                select $4::timestamptz, \(fields) from (select count(*) as post_count, \
                sum(round(sentiment * 10000)::bigint)::double precision / 10000 / nullif(count(*), 0) as mean_sentiment, \
                count(*) filter (where sentiment >= 0.05) as positive_count, \
                count(*) filter (where sentiment <= -0.05) as negative_count, \
                sum(round(finance_sentiment * 10000)::bigint)::double precision / 10000 \
                / nullif(count(finance_sentiment), 0) as mean_finance_sentiment \
                from market.mentions where symbol = $1 and ts >= $2 and ts < $3) as part where post_count > 0
                """)
        let start = request.interval.start(of: Timestamp(microseconds: part.lowerBound))
        return try points(
            of: try await connection.query(
                statement,
                [
                    .text(symbol, as: .text), .timestamp(part.lowerBound), .timestamp(part.upperBound),
                    .timestamp(start.microseconds),
                ], deadline: lease.deadline))
    }
}

extension PriceBar {
    /// A value by its name among ``SeriesRequest/barFields``.
    fileprivate func value(_ name: String) -> Double? {
        switch name {
        case "notional": notional
        case "trade_count": Double(tradeCount)
        case "price_volume_multiply": tradeCount == 0 ? nil : notional / Double(tradeCount)
        default: BarLayout.Value(rawValue: name).flatMap { self[$0] }
        }
    }
}

/// The points of one symbol, in order of time.
struct SeriesPoints: Equatable {
    /// Microseconds.
    private(set) var times: [Int64] = []
    /// The values of each field.
    private(set) var values: [[Double?]]

    init(fields: Int) { values = Array(repeating: [], count: fields) }

    mutating func add(_ time: Int64, _ row: [Double?]) {
        times.append(time)
        for (index, value) in row.enumerated() { values[index].append(value.flatMap { $0.isFinite ? $0 : nil }) }
    }

    mutating func append(_ later: SeriesPoints) {
        times += later.times
        for index in values.indices { values[index] += later.values[index] }
    }

    /// Those that stay of more than `count`, chosen by the first field; those without a value of it by the next field that
    /// they have one of, in proportion to their number. Points without any value do not stay.
    func fewer(_ downsampling: Downsampling, _ count: Int) -> SeriesPoints {
        if downsampling == .none || times.count <= count { return self }
        var groups: [[Int]] = Array(repeating: [], count: values.count)
        for place in times.indices {
            if let field = values.indices.first(where: { values[$0][place] != nil }) { groups[field].append(place) }
        }
        let total = groups.reduce(0) { $0 + $1.count }
        // The first field that there is has what the others leave, and they leave it something.
        let first = groups.firstIndex { !$0.isEmpty } ?? 0
        var left = count
        var places: [Int] = []
        for field in groups.indices.reversed() where !groups[field].isEmpty {
            let group = groups[field]
            let share = field == first ? left : min(max(1, group.count * count / total), left - 1)
            left -= max(0, share)
            let chosen = downsampling.places(
                group.map { times[$0] }, group.compactMap { values[field][$0] }, count: max(0, share))
            places += chosen.map { group[$0] }
        }
        places.sort()
        var fewer = SeriesPoints(fields: values.count)
        fewer.times = places.map { times[$0] }
        fewer.values = values.map { column in places.map { column[$0] } }
        return fewer
    }

    func frame(_ symbol: String, _ names: [String]) -> Frame {
        let times = Frame.Field(name: "time", values: .times(times.map { floorDivide($0, 1000) }))
        let columns = zip(names, values).map { Frame.Field(name: $0, symbol: symbol, values: .numbers($1)) }
        return Frame(symbol, [times] + columns, count: self.times.count)
    }
}
