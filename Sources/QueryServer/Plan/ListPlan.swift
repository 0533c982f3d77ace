// SPDX-License-Identifier: Apache-2.0
// The statements of the lists. Pure: a request in, SQL and parameters out.

import Market
import Postgres

/// How one page of a list is read: one statement, in the order of a key that tells rows apart.
struct ListPlan {
    let request: ListRequest

    private var resource: ListResource { request.resource }

    /// The columns of the reply, in the order of the statement's columns.
    var columns: [RowEncoder.Column] {
        Self.columns(resource, timeInMilliseconds: request.timeInMilliseconds)
    }

    /// The columns of a list.
    static func columns(_ resource: ListResource, timeInMilliseconds: Bool) -> [RowEncoder.Column] {
        resource.columns.map { column in
            let isTime = column.form == .scalar(.time) && timeInMilliseconds
            return .init(name: column.name, form: isTime ? .scalar(.milliseconds) : column.form)
        }
    }

    /// All rows of a list.
    static func select(_ resource: ListResource) -> String {
        "select \(resource.selected.joined(separator: ", ")) from \(resource.source)"
    }

    /// The rows, one more than the page holds: whether it comes tells whether there is a next page.
    var step: MarketPlan.Step {
        var parameters: [Parameter] = [.int64(Int64(request.limit) + 1)]
        var conditions: [String] = []
        func bind(_ parameter: Parameter) -> String {
            parameters.append(parameter)
            return "$\(parameters.count)"
        }
        func add(_ condition: String, _ parameter: Parameter) {
            let place = bind(parameter)
            conditions.append(
                condition.split(separator: "?", omittingEmptySubsequences: false).joined(separator: place))
        }
        if let time = resource.time {
            if let from = request.range.from { add("\(time) >= ?", .timestamp(from.microseconds)) }
            if let to = request.range.to { add("\(time) < ?", .timestamp(to.microseconds)) }
        }
        if let symbols = request.symbols, let condition = resource.symbol { add(condition, .textArray(symbols)) }
        for (filter, value) in zip(resource.filters, request.filters) {
            if let value { add(filter.condition, .text(value, as: .text)) }
        }
        if let search = request.search {
            let alternatives = resource.searched.map { "\($0) ilike ?" }.joined(separator: " or ")
            add("(\(alternatives))", .text("%\(MarketPlan.escapedPattern(search))%", as: .text))
        }
        let key = resource.key.map { "\"\($0)\"" }
        if let page = request.page {
            // The types of the values are those of the columns they are compared with.
            let values = page.values.map { bind(.text($0 ?? "")) }
            let beyond = request.isDescending ? "<" : ">"
            conditions.append("(\(key.joined(separator: ", "))) \(beyond) (\(values.joined(separator: ", ")))")
        }
        let order = request.isDescending ? "desc" : "asc"
        let filter = conditions.isEmpty ? "" : " where \(conditions.joined(separator: " and "))"
        let sql =
            "\(Self.select(resource))\(filter) order by \(key.map { "\($0) \(order)" }.joined(separator: ", ")) limit $1"
        return MarketPlan.Step(statement: Statement(name: resource.name, sql: sql), parameters: parameters)
    }

    /// The token of the page that follows `row`.
    func token(_ row: RowStream.Row) throws(PostgresError) -> KeyToken {
        var values: [String?] = []
        for place in resource.keyPlaces { values.append(try row.string(place)) }
        return KeyToken(scope: request.scope, values: values)
    }
}
