// SPDX-License-Identifier: Apache-2.0
// What a panel asks of one of the tables, and its answer.

import HTTP
import Market
import Postgres

/// A request for one of ``GrafanaTable``.
struct TablePanel {
    let table: GrafanaTable
    var symbols: [String]?
    var range: TimeRange
    var limit: Int
    var choice: String?
    var search: String?
    /// The widest bars that the range is covered by, of tables of pieces.
    var widest: Timeframe

    init(
        _ table: GrafanaTable, _ reader: ParameterReader, now: Timestamp, _ configuration: QueryServer.Configuration
    ) throws(QueryError) {
        self.table = table
        if table.isOfSymbols {
            symbols = try GrafanaParameters.symbols(reader)
            if symbols == nil && table.needsSymbol {
                throw GrafanaParameters.needsSymbol(reader, allowed: "a symbol, or several between commas")
            }
        }
        range = try TimeRange(reader, now: now)
        limit = try reader.integer("limit", in: 1...configuration.pageSizeLimit) ?? configuration.pageSizeDefault
        if let choice = table.choice {
            self.choice = try reader.choice(choice.parameter, choice.values) ?? choice.values[0]
        }
        widest = choice.flatMap(Timeframe.init(name:)) ?? Self.timeframe(range, now: now)
        search = reader.text("search").map { "%\(MarketPlan.escapedPattern($0))%" }
    }

    /// The closes that a mean over a range is of at least, where the range is not shorter.
    private static let closes: Int64 = 30

    /// The widest bars of which there are enough in a range for a mean.
    private static func timeframe(_ range: TimeRange, now: Timestamp) -> Timeframe {
        guard let from = range.from else { return .day1 }
        let (width, overflows) = (range.to ?? now).microseconds.subtractingReportingOverflow(from.microseconds)
        return Timeframe.allCases.last { overflows || $0.microseconds <= width / closes } ?? .second1
    }

    /// The same of what is kept: bars that are dropped cover nothing.
    func kept(_ retention: Retention) -> TablePanel {
        var kept = self
        kept.range = retention.cuttable(range)
        if let grain = retention.grain(at: range.from ?? Timestamp(microseconds: .min)) {
            kept.widest = max(widest, grain)
        }
        return kept
    }

    /// The statement, with its places bound in the order in which they occur.
    var step: MarketPlan.Step {
        var parameters: [Parameter] = []
        var places: [String: String] = [:]
        var sql = ""
        var rest = table.sql[...]
        while let open = rest.firstIndex(of: "{"), let close = rest[open...].firstIndex(of: "}") {
            sql += rest[..<open]
            let name = String(rest[rest.index(after: open)..<close])
            rest = rest[rest.index(after: close)...]
            if name.isEmpty {
                // PostgreSQL's empty array.
                sql += "{}"
            } else if name.hasPrefix("of ") {
                sql += symbols == nil ? "true" : "\(name.dropFirst(3)) = any(\(place("symbols", &places, &parameters)))"
            } else {
                sql += place(name, &places, &parameters)
            }
        }
        sql += rest
        let name = "grafana_\(table.name)\(symbols == nil ? "" : "_of")"
        return MarketPlan.Step(statement: Statement(name: name, sql: sql), parameters: parameters)
    }

    private func place(
        _ name: String, _ places: inout [String: String], _ parameters: inout [Parameter]
    ) -> String {
        if let place = places[name] { return place }
        let pieces: PieceParameters? =
            GrafanaTable.piecePlaces.contains(name)
            ? PieceParameters(RangePiece.cover(RangePiece.bounds(range), widest: widest)) : nil
        switch name {
        case "from": parameters.append(.timestamp(range.from?.microseconds ?? .min))
        case "to": parameters.append(.timestamp(range.to?.microseconds ?? .max))
        case "limit": parameters.append(.int64(Int64(limit)))
        case "timeframes": parameters.append(pieces?.timeframes ?? .null)
        case "firsts": parameters.append(pieces?.firsts ?? .null)
        case "lasts": parameters.append(pieces?.lasts ?? .null)
        case "edge firsts": parameters.append(pieces?.edgeFirsts ?? .null)
        case "edge lasts": parameters.append(pieces?.edgeLasts ?? .null)
        case "width": parameters.append(.int64(widest.microseconds))
        case "symbols": parameters.append(.textArray(symbols ?? []))
        case "choice": parameters.append(.text(choice ?? "", as: .text))
        case "search": parameters.append(search.map { .text($0, as: .text) } ?? .null)
        default: preconditionFailure("no place \(name) in \(table.name)")
        }
        places[name] = "$\(parameters.count)"
        return places[name] ?? ""
    }

    /// The rows as a frame.
    func frame(_ connection: PostgresConnection, _ lease: Lease) async throws -> Frame {
        let step =
            table.isOfPieces ? kept(try await Retention.read(connection, deadline: lease.deadline)).step : step
        let rows = try await connection.query(step.statement, step.parameters, deadline: lease.deadline)
        var fields: [Frame.Field] = []
        for (place, column) in table.columns.enumerated() {
            fields.append(.init(name: column.name, values: try Self.values(rows, place, column.form)))
        }
        return Frame(table.name, fields, count: rows.count)
    }

    private static func values(
        _ rows: ResultSet, _ place: Int, _ form: GrafanaTable.Form
    ) throws(PostgresError) -> Frame.Values {
        switch form {
        case .time:
            var times: [Int64?] = []
            for row in rows {
                let time = try row.timestampOrNil(place)
                // An end of time is none.
                times.append(time.flatMap { $0 == .max || $0 == .min ? nil : floorDivide($0, 1000) })
            }
            return .times(times)
        case .number:
            var numbers: [Double?] = []
            for row in rows { numbers.append(try row.doubleOrNil(place).flatMap { $0.isFinite ? $0 : nil }) }
            return .numbers(numbers)
        case .text:
            var texts: [String?] = []
            for row in rows { texts.append(try row.stringOrNil(place)) }
            return .texts(texts)
        case .flag:
            var flags: [Bool?] = []
            for row in rows { flags.append(try row.boolOrNil(place)) }
            return .flags(flags)
        }
    }
}
