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
        var symbols = request.symbols ?? []
        if request.symbols == nil { symbols = try await traded() }
        let retention =
            request.source == .prices || request.source == .bars
            ? try await Retention.read(connection, deadline: lease.deadline) : Retention()
        var frames: [Frame] = []
        var size = 0
        for symbol in symbols {
            try lease.checkGoing()
            let points = try await points(symbol, retention)
            let frame = (request.keepsAll ? points : points.fewer(request.downsampling, request.points)).frame(
                symbol, request.fields)
            size += frame.size
            try GrafanaParameters.check(size: size)
            frames.append(frame)
        }
        return frames
    }

    private func traded() async throws -> [String] {
        let statement = Statement(
            name: "traded_first", sql: "select symbol from market.latest order by symbol limit $1")
        let found = try await connection.query(
            statement, [.int64(Int64(GrafanaParameters.symbolLimit) + 1)], deadline: lease.deadline)
        if found.count > GrafanaParameters.symbolLimit { return try await busiest() }
        return try found.map { try $0.string(0) }
    }

    private static let newestTraded = Statement(
        name: "traded_last", sql: "select symbol from market.latest order by ts desc, symbol limit $1")
    private static let busiest = Statement(
        name: "traded_most",
        sql: """
            select l.symbol from market.latest l cross join lateral (select sum(trade_count) as trades from market.bars \
            where symbol = l.symbol and timeframe = $2 and ts >= $3 and ts < $4 offset 0) as b \
            where b.trades is not null order by b.trades desc, l.symbol limit $1
            """)

    /// Of more symbols than fit a panel, those with the most trades in the range; of one without a beginning, those that
    /// traded last. In alphabetical order.
    private func busiest() async throws -> [String] {
        let limit = Parameter.int64(Int64(GrafanaParameters.symbolLimit))
        let found: ResultSet
        if let from = request.range.from {
            let to = request.range.to?.microseconds ?? .max
            let (width, overflows) = to.subtractingReportingOverflow(from.microseconds)
            // Few bars of each symbol; the first one may begin before the range.
            let timeframe = overflows || width > 3 * Timestamp.microsecondsPerDay ? Timeframe.day1 : .hour1
            found = try await connection.query(
                Self.busiest,
                [
                    limit, .text(timeframe.name, as: .text), .timestamp(timeframe.start(of: from).microseconds),
                    .timestamp(to),
                ], deadline: lease.deadline)
        } else {
            found = try await connection.query(Self.newestTraded, [limit], deadline: lease.deadline)
        }
        return try found.map { try $0.string(0) }.sorted { $0.utf8.lexicographicallyPrecedes($1.utf8) }
    }

    private func points(_ symbol: String, _ retention: Retention) async throws -> SeriesPoints {
        switch request.source {
        case .prices: return try await prices(symbol, retention)
        case .bars:
            var points = SeriesPoints(fields: request.fields.count)
            for bar in try await bars(symbol, retention, newest: request.points) {
                points.add(bar.ts.microseconds, request.fields.map { bar.value($0) })
            }
            return points
        case .means: return try await means(symbol)
        case .indicators: return try await rows(symbol, request.range)
        case .sentiment: return try await sentiment(symbol)
        }
    }

    /// The bars of the range; of one without a beginning as many of the newest as are wanted.
    private func bars(_ symbol: String, _ retention: Retention, newest: Int) async throws -> [PriceBar] {
        if request.range.from == nil {
            return try await reader.bars(
                symbol, request.interval, within: request.range, retention, limit: newest, isDescending: true
            ).reversed()
        }
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

    private static func trades(_ order: String) -> Statement {
        Statement(
            name: "prices_\(order)",
            sql: """
                select ts, price from market.trades where symbol = $1 and ts >= $2 and ts < $3 \
                order by ts \(order), source \(order), trade_id \(order) limit $4
                """)
    }
    private static let oldest = trades("asc")
    private static let newest = trades("desc")

    /// Every trade if there are no more than wanted. Else two points of each step, in the middle of its halves: its lowest
    /// and its highest price, exactly as the trades have them, the lower one first where the price rose; and its close at
    /// the end of the last step. Steps at the ends of the range are of what is within it.
    private func prices(_ symbol: String, _ retention: Retention) async throws -> SeriesPoints {
        if let all = try await trades(symbol, retention) { return all }
        var points = SeriesPoints(fields: 1)
        let bars = try await bars(symbol, retention, newest: request.points)
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

    /// The trades of the range; of one without a beginning as many of the newest as are wanted. Nil if there are more of them
    /// than wanted, or may have been.
    private func trades(_ symbol: String, _ retention: Retention) async throws -> SeriesPoints? {
        let isOpen = request.range.from == nil
        if let from = request.range.from, let dropped = retention.trades, from < dropped,
            request.downsampling != .none
        {
            return nil
        }
        let limit = isOpen ? request.points : min(request.points, SeriesRequest.readLimit) + 1
        let rows = try await connection.query(
            isOpen ? Self.newest : Self.oldest,
            [
                .text(symbol, as: .text), .timestamp(request.range.from?.microseconds ?? .min),
                .timestamp(request.range.to?.microseconds ?? .max), .int64(Int64(limit)),
            ], deadline: lease.deadline)
        if !isOpen && rows.count > request.points && request.downsampling != .none { return nil }
        try check(rows.count)
        var points = SeriesPoints(fields: 1)
        for index in isOpen ? Array((0..<rows.count).reversed()) : Array(0..<rows.count) {
            points.add(try rows[index].timestamp(0), [try rows[index].double(1)])
        }
        return points
    }

    // MARK: Means

    private static func minutes(_ order: String) -> Statement {
        Statement(
            name: "minute_closes_\(order)",
            sql: """
                select ts, close from market.bars where symbol = $1 and timeframe = '1m' and ts >= $2 and ts < $3 \
                order by ts \(order)
                """)
    }
    private static let minutesAscending = minutes("asc")
    private static let minutesDescending = minutes("desc")

    /// The mean of the closes of the minutes with trades of each step that begins in the range, each minute as much as
    /// another; of a range without a beginning of as many of the newest steps as are wanted.
    private func means(_ symbol: String) async throws -> SeriesPoints {
        let bounds = BarReader.bounds(request.interval, request.range)
        if bounds.from >= bounds.to { return SeriesPoints(fields: 1) }
        let isOpen = request.range.from == nil
        let stream = try await connection.stream(
            isOpen ? Self.minutesDescending : Self.minutesAscending,
            [.text(symbol, as: .text), .timestamp(bounds.from), .timestamp(bounds.to)], deadline: lease.deadline)
        var steps: [(start: Int64, sum: Double, count: Double)] = []
        while true {
            var next = stream.nextBuffered()
            if next == nil { next = try await stream.next() }
            guard let row = next else { break }
            let start = request.interval.start(of: Timestamp(microseconds: try row.timestamp(0))).microseconds
            if steps.last?.start != start {
                if isOpen && steps.count == request.points {
                    await stream.cancel()
                    break
                }
                steps.append((start, 0, 0))
            }
            steps[steps.count - 1].sum += try row.double(1)
            steps[steps.count - 1].count += 1
        }
        try check(steps.count)
        var points = SeriesPoints(fields: 1)
        for step in isOpen ? steps.reversed() : steps { points.add(step.start, [step.sum / step.count]) }
        return points
    }

    // MARK: Indicators and sentiment

    private func rows(_ symbol: String, _ range: TimeRange) async throws -> SeriesPoints {
        let isOpen = range.from == nil
        let fields = request.fields.map { "\"\($0)\"" }.joined(separator: ", ")
        let sql =
            request.source == .sentiment
            ? "select ts, \(fields) from market.sentiment_bars where symbol = $1 and timeframe = $2 and ts >= $3 and ts < $4"
            : "select ts, \(fields) from tapedeck_sql.indicators($1, $2, $3, $4)"
        // Of a range without a beginning, the newest bars.
        let table = request.source == .sentiment ? "market.sentiment_bars" : "market.bars"
        let first = """
            (select coalesce(min(ts), $3) from (select ts from \(table) where symbol = $1 and timeframe = $2 \
            and ts >= $3 and ts < $4 order by ts desc limit $5) as newest)
            """
        let statement = Statement(
            name: "series_\(request.source)_\(isOpen)_\(request.fields.joined(separator: "_"))",
            sql: isOpen
                ? sql.split(separator: "$3", omittingEmptySubsequences: false).joined(separator: first)
                    + " order by ts limit $5"
                : sql + " order by ts limit $5")
        let limit = isOpen ? request.points : SeriesRequest.readLimit + 1
        let found = try await connection.query(
            statement,
            [
                .text(symbol, as: .text), .text(request.interval.base.name, as: .text),
                .timestamp(range.from?.microseconds ?? .min),
                .timestamp(range.to?.microseconds ?? .max),
                .int64(Int64(limit)),
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
        if request.range.from == nil { points.keepNewest(request.points) }
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

    /// Leaves out all but the last `count`.
    mutating func keepNewest(_ count: Int) {
        let excess = times.count - count
        if excess <= 0 { return }
        times.removeFirst(excess)
        for index in values.indices { values[index].removeFirst(excess) }
    }

    /// Those that stay of more than `count`, chosen by the first field; points without a value of it do not stay.
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
