// SPDX-License-Identifier: Apache-2.0
// The statement of a table's URL. Pure: a request and the catalogue in, SQL and parameters out.

import Market
import Postgres

/// How rows of a table are read. Every value is a parameter of the statement; every identifier is one of the catalogue's,
/// and quoted.
struct TablePlan {
    let table: TableCatalogue.Table
    private(set) var request: TableRequest
    /// The columns that tell where a page by key ends, with their place in the statement; empty for other pages.
    private(set) var pageKey: [TableOrder] = []
    /// Columns of the reply; those of the page's key follow.
    private(set) var visible = 0
    /// The places of columns that are ids of trades.
    private(set) var ids: Set<Int> = []
    private(set) var sql = ""
    private(set) var parameters: [Parameter] = []
    /// The rows without order and limit, for counting.
    private(set) var countedSQL = ""

    /// Whether the same statement over the same data tells something else at another time.
    private(set) var isMomentary = false

    private let now: Timestamp

    /// Rows of a page by key whose request names no limit.
    let pageLimit: Int

    init(
        _ table: TableCatalogue.Table, _ request: TableRequest, now: Timestamp, pageLimit: Int
    ) throws(QueryError) {
        self.table = table
        self.request = request
        if table.column("count") == nil {
            // As PostgreSQL has it, whose functions of a row may be written like columns.
            for index in request.select.indices where request.select[index].operand.isBareCount {
                self.request.select[index].operand = TableOperand(aggregate: .count)
            }
        }
        self.now = now
        self.pageLimit = min(request.limit ?? pageLimit, .max - 1)
        isMomentary = table.isMomentary
        try build()
    }

    private var isGrouped: Bool {
        request.having != nil || request.select.contains { $0.operand.aggregate != nil }
    }

    /// What a page token must agree in.
    private var scope: String {
        let order = pageKey.map { "\($0.operand.column ?? "") \($0.isDescending) \($0.putsNullsFirst)" }
        return "\(table.name) \(order.joined(separator: ","))"
    }

    private mutating func build() throws(QueryError) {
        for (name, error) in request.unread {
            if table.column(name) == nil { throw unknownColumn(name, name, 1) }
            throw error
        }
        if request.pageToken != nil { pageKey = try keyOrder() }
        let items = try selected()
        visible = items.count
        var conditions: [String] = []
        for condition in request.conditions { conditions.append(try sql(of: condition, inHaving: false)) }
        if let token = try token() { conditions.append(beyond(token)) }
        let hidden = pageKey.map { Self.quoted($0.operand.column ?? "") }
        let whole = conditions.isEmpty ? "" : " where \(conditions.joined(separator: " and "))"
        var text = " from market.\(Self.quoted(table.name))\(whole)"
        if isGrouped {
            let groups = try request.select.filter { $0.operand.aggregate == nil }.map { item throws(QueryError) in
                if item.operand.column == nil {
                    throw QueryError(400, "invalid_parameter", "\"*\" cannot be grouped by", hint: "Name the columns.")
                }
                return try expression(item)
            }
            if !groups.isEmpty { text += " group by \(groups.joined(separator: ", "))" }
            if let having = request.having { text += " having \(try sql(of: having, inHaving: true))" }
        }
        // An aggregate without groups is one row, whatever is below it.
        countedSQL = "select \(isGrouped ? "count(*)" : "1")\(text)"
        let countedParameters = parameters.count
        let order = pageKey.isEmpty ? request.order : pageKey
        if !order.isEmpty {
            let columns = try order.map { column throws(QueryError) in
                "\(try orderExpression(column.operand)) \(column.isDescending ? "desc" : "asc") nulls "
                    + (column.putsNullsFirst ? "first" : "last")
            }
            text += " order by \(columns.joined(separator: ", "))"
        }
        assert(countedParameters == parameters.count)
        if request.pageToken != nil {
            // Whether the one row too many comes tells whether there is a next page.
            text += " limit \(pageLimit + 1)"
        } else {
            if let limit = request.limit { text += " limit \(limit)" }
            if request.offset > 0 { text += " offset \(request.offset)" }
        }
        sql = "select \((items + hidden).joined(separator: ", "))\(text)"
    }

    // MARK: Columns

    /// Ids of trades, most of which are beyond 2^53: strings in every row, as in the other lists, if they are bigint.
    private static let idNames: Set<String> = ["trade_id", "previous_trade_id"]

    private mutating func selected() throws(QueryError) -> [String] {
        let items = request.select.isEmpty ? [TableItem(operand: TableOperand())] : request.select
        var columns: [String] = []
        var names: [String] = []
        for item in items {
            names += name(of: item).map { [$0] } ?? table.columns.map(\.name)
            if item.operand.column == nil && item.operand.aggregate == nil {
                if isGrouped && request.select.isEmpty {
                    throw QueryError(
                        400, "invalid_parameter", "\"having\" needs aggregates in \"select\"",
                        hint: "As in select=symbol,count()&having=(count().gt.10).")
                }
                for column in table.columns {
                    if Self.idNames.contains(column.name) { ids.insert(columns.count) }
                    columns.append(Self.quoted(column.name))
                }
            } else {
                let isOne = item.operand.aggregate != .sum && item.operand.aggregate != .avg
                if isOne, item.operand.path.isEmpty, let name = item.operand.column, Self.idNames.contains(name) {
                    ids.insert(columns.count)
                }
                columns.append("\(try expression(item)) as \(Self.quoted(name(of: item) ?? ""))")
            }
        }
        var seen: Set<String> = []
        // CSV has its columns by place.
        if request.format != .csv, let name = names.first(where: { !seen.insert($0).inserted }) {
            throw Self.duplicateColumn(
                name, "In objects, readers would find one of them.",
                hint: "Give each a name of its own, as in total:size.sum(), or ask for format=csv, where they stand by "
                    + "place.")
        }
        return columns
    }

    private static func duplicateColumn(_ name: String, _ details: String, hint: String) -> QueryError {
        QueryError(
            400, "duplicate_column", "more than one column is named \"\(name)\"", details: details, hint: hint)
    }

    /// The name of a column of the reply: its alias, the aggregate's name, or the column's; nil for all columns.
    private func name(of item: TableItem) -> String? {
        item.alias ?? item.operand.aggregate?.rawValue ?? item.operand.column
    }

    /// The one column of the reply that is chosen under a name; nil for none.
    private func item(_ name: String) throws(QueryError) -> TableItem? {
        let found = request.select.filter { self.name(of: $0) == name }
        if found.count > 1 {
            throw Self.duplicateColumn(
                name, "Which of them is meant is not known.",
                hint: "Give each a name of its own, as in total:size.sum().")
        }
        return found.first
    }

    private func expression(_ item: TableItem) throws(QueryError) -> String {
        let operand = try expression(item.operand, parameter: "select")
        return item.cast.map { "(\(operand))::\($0)" } ?? operand
    }

    private func expression(_ operand: TableOperand, parameter: String) throws(QueryError) -> String {
        guard let name = operand.column else { return "count(*)" }
        guard let found = table.column(name) else { throw unknownColumn(name, parameter, operand.position) }
        let column = try part(found, operand, parameter) + (operand.columnCast.map { "::\($0)" } ?? "")
        return operand.aggregate.map { "\($0.rawValue)(\(column))" } ?? column
    }

    /// A column, or an element of it as PostgREST has it.
    private func part(
        _ column: TableCatalogue.Column, _ operand: TableOperand, _ parameter: String
    ) throws(QueryError) -> String {
        let name = Self.quoted(column.name)
        if operand.path.isEmpty { return name }
        guard TypeOID.elements[column.type] != nil || column.type == .json || column.type == .jsonb else {
            throw QueryError(
                400, "invalid_parameter", "column \"\(column.name)\" of type \(column.typeName) has no elements",
                position: operand.position)
        }
        return "(to_jsonb(\(name))\(operand.path.map { "\($0.isText ? "->>" : "->")\($0.index)" }.joined()))"
    }

    /// An order may also name a column of the reply: of groups before one of the table, of rows after it. A bare name
    /// would be the reply's to PostgreSQL (PostgreSQL 15 docs, "SELECT", "ORDER BY Clause"), which may be cast, or another
    /// column.
    private func orderExpression(_ operand: TableOperand) throws(QueryError) -> String {
        guard operand.aggregate == nil, let name = operand.column else {
            return try expression(operand, parameter: "order")
        }
        if !operand.path.isEmpty { return try expression(operand, parameter: "order") }
        let isOfTable = table.column(name) != nil
        if isGrouped || !isOfTable, try item(name) != nil { return Self.quoted(name) }
        let column = try expression(operand, parameter: "order")
        return "\(Self.quoted(table.name)).\(column)"
    }

    private func unknownColumn(_ name: String, _ parameter: String, _ position: Int) -> QueryError {
        let names = table.columns.map(\.name)
        return QueryError(
            400, "unknown_column", "\(table.name) has no column \"\(name.prefix(80))\"",
            details: "Columns: \(names.joined(separator: ", ")). Parameters: "
                + "\(TableRequest.names.joined(separator: ", ")).",
            hint: ParameterReader.closest(to: name, names + TableRequest.names).map { "Perhaps you meant \"\($0)\"." },
            position: parameter == name ? nil : position)
    }

    private static func quoted(_ name: String) -> String { PostgresConnection.quotedIdentifier(name) }

    // MARK: Conditions

    private mutating func bind(_ text: String) -> String {
        parameters.append(.text(text))
        return "$\(parameters.count)"
    }

    private mutating func bind(
        _ text: String, comparedWith type: TypeOID?, by comparison: TableComparison.Operator
    ) -> String {
        guard let time = moment(text, type, comparison) else {
            noteRelative(text, type)
            return bind(day(text, type) ?? text)
        }
        parameters.append(.timestamp(time.microseconds))
        return "$\(parameters.count)"
    }

    private mutating func bind(
        _ texts: [String], comparedWith type: TypeOID?, by comparison: TableComparison.Operator
    ) -> String {
        let times = texts.compactMap { moment($0, type, comparison) }
        // An empty array has no type of its own, and `infinity` is PostgreSQL's to read.
        guard times.count == texts.count, !times.isEmpty else {
            for text in texts { noteRelative(text, type) }
            return bind(
                Self.arrayLiteral(
                    texts.map { text in
                        guard let time = moment(text, type, comparison) else { return day(text, type) ?? text }
                        return time == Self.never ? "-infinity" : time.description
                    }))
        }
        parameters.append(.timestampArray(times.map(\.microseconds)))
        return "$\(parameters.count)"
    }

    /// PostgreSQL's own words for times that move (PostgreSQL 15 docs, 8.5.1.4), which stay in the statement as they are.
    private mutating func noteRelative(_ text: String, _ type: TypeOID?) {
        if day(text, type) != nil { return }
        guard let type, [.timestamptz, .timestamp, .date, .time].contains(type) else { return }
        let text = text.lowercased()
        if ["now", "today", "tomorrow", "yesterday"].contains(where: { text.contains($0) }) { isMomentary = true }
    }

    private mutating func sql(of condition: TableCondition, inHaving: Bool) throws(QueryError) -> String {
        switch condition {
        case .not(let inner): return "not \(try sql(of: inner, inHaving: inHaving))"
        case .all(let inner): return try join(inner, " and ", inHaving)
        case .any(let inner): return try join(inner, " or ", inHaving)
        case .compare(let comparison): return try sql(of: comparison, inHaving: inHaving)
        }
    }

    private mutating func join(
        _ conditions: [TableCondition], _ word: String, _ inHaving: Bool
    ) throws(QueryError) -> String {
        var parts: [String] = []
        for condition in conditions { parts.append(try sql(of: condition, inHaving: inHaving)) }
        return "(\(parts.joined(separator: word)))"
    }

    private mutating func sql(of comparison: TableComparison, inHaving: Bool) throws(QueryError) -> String {
        let (operand, type) = try conditionOperand(comparison.operand, inHaving: inHaving)
        let negation = comparison.isNegated ? "not " : ""
        switch (comparison.comparison, comparison.value) {
        case (.is, .text(let state)):
            return "\(negation)(\(operand) is \(TableComparison.states[state.lowercased()] ?? "null"))"
        case (.in, .list(let values)):
            return "\(negation)(\(operand) = any(\(bind(values, comparedWith: type, by: .in))))"
        case (let op, .list(let values)):
            let array =
                op.takesPattern
                ? bind(Self.arrayLiteral(values.map(Self.pattern)))
                : bind(values, comparedWith: type, by: op)
            let quantifier = comparison.quantifier ?? .any
            return "\(negation)(\(operand) \(op.sql ?? "=") \(quantifier.rawValue)(\(array)))"
        case (let op, .text(let text)):
            if let function = op.searchFunction {
                let configuration = comparison.configuration.map { "\(bind($0))::regconfig, " } ?? ""
                let vector = "to_tsvector(\(configuration)\(operand))"
                // The same configuration on both sides; a parameter may stand twice.
                return "\(negation)(\(vector) @@ \(function)(\(configuration)\(bind(text))))"
            }
            let value =
                op.takesPattern ? bind(Self.pattern(text)) : bind(text, comparedWith: type, by: op)
            let compared = "\(operand) \(op.sql ?? "=") \(value)"
            return comparison.isNegated ? "not (\(compared))" : compared
        }
    }

    /// What is compared, and its type where values of that have spellings of ours.
    private func conditionOperand(
        _ operand: TableOperand, inHaving: Bool
    ) throws(QueryError) -> (sql: String, type: TypeOID?) {
        if !inHaving && operand.aggregate != nil {
            throw QueryError(
                400, "invalid_parameter", "an aggregate cannot filter rows", hint: "Use having=(count().gt.10).",
                position: operand.position)
        }
        // In having, the name of a column of the reply stands for it.
        let isPlain = operand.aggregate == nil && operand.columnCast == nil && operand.path.isEmpty
        if inHaving, isPlain, let name = operand.column, let item = try item(name) {
            return (try expression(item), type(of: item.operand, cast: item.cast))
        }
        let parameter = inHaving ? "having" : operand.column ?? ""
        return (try expression(operand, parameter: parameter), type(of: operand, cast: nil))
    }

    /// The type of a time, or of another column as it is; nil for what is computed.
    private func type(of operand: TableOperand, cast: String?) -> TypeOID? {
        if let cast { return Self.timeTypes[cast] }
        guard operand.aggregate == nil || operand.aggregate == .min || operand.aggregate == .max else { return nil }
        if let cast = operand.columnCast { return Self.timeTypes[cast] }
        guard operand.path.isEmpty else { return nil }
        return operand.column.flatMap { table.column($0)?.type }
    }

    /// Those of ``TableParser/types`` that are times.
    private static let timeTypes: [String: TypeOID] = [
        "timestamptz": .timestamptz, "timestamp": .timestamp, "date": .date, "time": .time,
    ]

    /// `*` is what `%` is, which a URL would have to escape.
    private static func pattern(_ text: String) -> String { String(text.map { $0 == "*" ? "%" : $0 }) }

    /// Times are understood in every spelling: `now-6h`, epoch counts, dates. Nil for what is none, or is not compared
    /// with one.
    private func moment(_ text: String, _ type: TypeOID?, _ comparison: TableComparison.Operator) -> Timestamp? {
        guard type == .timestamptz,
            let time = Timestamp(text, now: now, roundsUp: comparison == .gte || comparison == .lt),
            TimeRange.isStorable.contains(time.microseconds)
        else { return nil }
        if Self.equalities.contains(comparison), Timestamp(text, now: now, roundsUp: true) != time { return Self.never }
        return time
    }

    /// For which a moment between two microseconds is none that a row can have.
    private static let equalities: Set<TableComparison.Operator> = [.eq, .neq, .in, .isdistinct]

    /// -infinity, which no time of a row is.
    private static let never = Timestamp(microseconds: .min)

    /// The day of a moment, in UTC, where it is compared with one, in the spellings that PostgreSQL does not have.
    private func day(_ text: String, _ type: TypeOID?) -> String? {
        let isCount = text.utf8.count >= 9 && text.utf8.allSatisfy { $0 &- 0x30 < 10 }
        guard type == .date, text.hasPrefix("now") || isCount, let time = Timestamp(text, now: now),
            TimeRange.isStorable.contains(time.microseconds)
        else { return nil }
        return String("\(time)".prefix { $0 != "T" })
    }

    /// The text of an array (PostgreSQL 15 docs, 8.15.2): every element quoted.
    private static func arrayLiteral(_ values: [String]) -> String {
        let quoted = values.map { value in
            "\"" + value.map { $0 == "\"" || $0 == "\\" ? "\\\($0)" : String($0) }.joined() + "\""
        }
        return "{\(quoted.joined(separator: ","))}"
    }

    // MARK: Pages by key

    private func keyOrder() throws(QueryError) -> [TableOrder] {
        if isGrouped {
            throw QueryError(
                400, "invalid_parameter", "groups have no key to page by", hint: "Use limit and offset, or having.")
        }
        if table.key.isEmpty {
            throw QueryError(
                400, "invalid_parameter", "\(table.name) has no key to page by", hint: "Use limit and offset.")
        }
        var order = request.order
        for column in order where column.operand.aggregate != nil || !column.operand.path.isEmpty {
            throw QueryError(
                400, "invalid_parameter",
                "\(column.operand.aggregate == nil ? "an element" : "an aggregate") cannot be paged by")
        }
        // What is left of the key, in the direction of the last column, so that an index may serve.
        let isDescending = order.last?.isDescending ?? false
        for name in table.key where !order.contains(where: { $0.operand.column == name }) {
            order.append(TableOrder(operand: TableOperand(column: name), isDescending: isDescending))
        }
        for column in order {
            let name = column.operand.column ?? ""
            if table.column(name) == nil { throw unknownColumn(name, "order", column.operand.position) }
        }
        return order
    }

    private func token() throws(QueryError) -> KeyToken? {
        guard let text = request.pageToken, !text.isEmpty else { return nil }
        guard let token = KeyToken(text), token.scope == scope, token.values.count == pageKey.count else {
            throw ParameterReader.invalid(
                "page_token", text, allowed: "empty for the first page, or the next_page_token of a reply",
                hint: "Keep table and order as they were.")
        }
        return token
    }

    /// What follows the row of the token in the order of the page, NULLs where the order puts them.
    private mutating func beyond(_ token: KeyToken) -> String {
        let isPlain = pageKey.allSatisfy { column in
            column.isDescending == pageKey[0].isDescending
                && table.column(column.operand.column ?? "")?.isNotNull == true
        }
        let names = pageKey.map { Self.quoted($0.operand.column ?? "") }
        if isPlain {
            // One comparison of rows is what an index on the key can begin at.
            let values = token.values.map { bind($0 ?? "") }
            return "(\(names.joined(separator: ", "))) \(pageKey[0].isDescending ? "<" : ">") "
                + "(\(values.joined(separator: ", ")))"
        }
        var alternatives: [String] = []
        var equal: [String] = []
        for (index, column) in pageKey.enumerated() {
            let value = token.values[index].map { bind($0) }
            let beyond: String
            if let value {
                let comparison = "\(names[index]) \(column.isDescending ? "<" : ">") \(value)"
                beyond = column.putsNullsFirst ? comparison : "(\(comparison) or \(names[index]) is null)"
            } else {
                beyond = column.putsNullsFirst ? "\(names[index]) is not null" : "false"
            }
            alternatives.append("(\((equal + [beyond]).joined(separator: " and ")))")
            equal.append(value.map { "\(names[index]) = \($0)" } ?? "\(names[index]) is null")
        }
        return "(\(alternatives.joined(separator: " or ")))"
    }

    /// The token of the page that follows `row`.
    func token(_ row: RowStream.Row) throws(PostgresError) -> KeyToken {
        var values: [String?] = []
        for place in pageKey.indices { values.append(try row.stringOrNil(visible + place)) }
        return KeyToken(scope: scope, values: values)
    }
}
