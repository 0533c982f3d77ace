// SPDX-License-Identifier: Apache-2.0
// The panels of Grafana's Infinity data source: from a request to a bare array.

import HTTP
import Market
import Postgres

/// A kind of question that panels ask.
enum PanelKind: String, CaseIterable {
    case series, candles, last, table, annotations, symbols, logs
}

/// A question of a panel, checked as far as can be without PostgreSQL.
enum Panel {
    case series(SeriesRequest)
    case candles(CandleRequest)
    case table(TablePanel)

    /// - Parameters:
    ///   - query: the parameters, macros of Grafana's among them as they arrive.
    ///   - most: the rows that the client's key may have; nil for any. Where steps are chosen they are so wide that no more
    ///     come of it; a reply that would have more is refused when it is made, as panels have no place to say that rows are
    ///     missing.
    init(
        _ kind: PanelKind, _ query: some Sequence<QueryParameters.Pair>, now: Timestamp,
        _ configuration: QueryServer.Configuration, most: Int? = nil
    ) throws(QueryError) {
        let pairs = try GrafanaParameters.pairs(query)
        func panel(_ table: GrafanaTable, _ more: [String] = []) throws(QueryError) -> Panel {
            let reader = try ParameterReader(pairs, known: table.parameters + more)
            return .table(try TablePanel(table, reader, now: now, configuration))
        }
        switch kind {
        case .series: self = .series(try SeriesRequest(pairs, now: now, configuration.withPages(upTo: most)))
        case .candles: self = .candles(try CandleRequest(pairs, now: now, configuration, most: most))
        case .last: self = try panel(.last)
        case .annotations: self = try panel(.annotations)
        case .symbols: self = try panel(.symbols)
        case .logs: self = try panel(.logs)
        case .table:
            let names = GrafanaTable.tables.map(\.name)
            guard let name = pairs.first(where: { $0.name == "name" })?.value, !name.isEmpty else {
                throw ParameterReader.missing("name", allowed: "one of " + names.joined(separator: ", "))
            }
            guard let table = GrafanaTable.tables.first(where: { $0.name == name }) else {
                throw ParameterReader.invalid(
                    "name", name, allowed: "one of " + names.joined(separator: ", "),
                    hint: ParameterReader.closest(to: name, names).map { "Perhaps you meant \"\($0)\"." })
            }
            self = try panel(table, ["name"])
        }
    }

    /// Whether it reads so little that it may go before exports.
    func isLookup(_ configuration: QueryServer.Configuration) -> Bool {
        switch self {
        case .series(let request): request.rows * (request.symbols?.count ?? 100) <= configuration.lookupRows
        case .candles(let request): request.limit * request.interval.barsEach <= 10 * configuration.pageSizeLimit
        case .table(let panel): panel.limit <= configuration.lookupRows
        }
    }

    /// The answer: of series a frame for each symbol, else one.
    func frames(_ connection: PostgresConnection, _ lease: Lease) async throws -> [Frame] {
        switch self {
        case .series(let request):
            return try await SeriesQuery(request: request, connection: connection, lease: lease).frames()
        case .candles(let request): return [try await Self.candles(request, connection, lease)]
        case .table(let panel): return [try await panel.frame(connection, lease)]
        }
    }

    private static func candles(
        _ request: CandleRequest, _ connection: PostgresConnection, _ lease: Lease
    ) async throws -> Frame {
        let retention = try await Retention.read(connection, deadline: lease.deadline)
        let bars: [PriceBar] = try await BarReader(connection: connection, deadline: lease.deadline).bars(
            request.symbol, request.interval, within: request.range, retention, limit: request.limit,
            isDescending: true
        ).reversed()
        let times = Frame.Field(name: "time", values: .times(bars.map { floorDivide($0.ts.microseconds, 1000) }))
        let values: [(String, BarLayout.Value)] = [
            ("open", .open), ("high", .high), ("low", .low), ("close", .close), ("volume", .volume),
        ]
        let fields = values.map { name, value in Frame.Field(name: name, values: .numbers(bars.map { $0[value] })) }
        return Frame(request.symbol, [times] + fields, count: bars.count)
    }
}

extension Panel {
    /// Whether data frames are wanted instead of rows.
    fileprivate var wantsFrames: Bool {
        switch self {
        case .series(let request): request.shape == .frame
        case .candles(let request): request.isFrame
        case .table: false
        }
    }

    /// The rows of its answer, with names where there are none.
    fileprivate func rows(_ frames: [Frame]) -> Frame {
        guard case .series(let request) = self else { return frames[0] }
        let rows = request.shape == .wide ? frames.wide() : frames.long()
        if !rows.fields.isEmpty { return rows }
        return Frame(
            "",
            [.init(name: "time", values: .times([])), .init(name: "symbol", values: .texts([]))]
                + request.fields.map { .init(name: $0, values: .numbers([])) }, count: 0)
    }
}

extension QueryHandler {
    /// `GET /grafana/…`: a bare array, or CSV with a header, which is never empty bytes: those are an error to Infinity.
    func answerPanel(
        _ kind: PanelKind, _ request: Request, _ response: ResponseWriter, _ id: QueryID
    ) async throws {
        let panel = try Panel(
            kind, try request.head.query(), now: Self.now(), configuration, most: Self.limits(of: request).rows)
        let format = try ReplyFormat(accept: request.head.values(of: "accept"), of: [.json, .csv])
        let lane: Admission.Lane = panel.isLookup(configuration) ? .lookups : .queries
        let lease = lease(request, lane, .rest, request.head.target, id)
        let body = RowBody(response, contentType: format.contentType, query: lease.query)
        body.add(nil)
        try await lease.run(body) { connection in
            let frames = try await panel.frames(connection, lease)
            body.rows = frames.reduce(0) { $0 + $1.count }
            if format == .csv {
                body.bytes.appendCSV(panel.rows(frames))
            } else if panel.wantsFrames {
                body.bytes.appendFrames(frames, refID: "A")
                body.bytes.append(0x0A)
            } else {
                body.bytes.appendRows(panel.rows(frames))
                body.bytes.append(0x0A)
            }
        }
        try await body.finish()
    }
}
