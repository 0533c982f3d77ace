// SPDX-License-Identifier: Apache-2.0
// What the simpod JSON data source sends (simpod-json-datasource 0.4 to 0.6), read from its bodies.

import HTTP
import Market

/// A body of the data source's: an object, whose members it names.
struct SimpodBody {
    private let members: [(name: String, value: JSONValue)]

    /// - Parameter bytes: a JSON object; nothing is an empty one.
    init(_ bytes: [UInt8]) throws(QueryError) {
        if bytes.allSatisfy({ $0 <= 0x20 }) {
            members = []
            return
        }
        let value: JSONValue
        do throws(JSONSyntaxError) {
            value = try JSONReader.read(bytes)
        } catch {
            throw QueryError(
                400, "invalid_json", "the body is not JSON: \(error.message)", details: "At byte \(error.offset).")
        }
        guard case .object(let members) = value else {
            throw QueryError(400, "invalid_json", "the body is \(value.kind), not an object")
        }
        self.members = members
    }

    private init(members: [(name: String, value: JSONValue)]) { self.members = members }

    subscript(name: String) -> JSONValue? {
        members.first { $0.name == name }.flatMap { $0.value == .null ? nil : $0.value }
    }

    /// A text or a number as text; nil for nothing.
    func text(_ name: String) -> String? {
        switch self[name] {
        case .string(let text)?, .number(let text)?: text
        default: nil
        }
    }

    /// The texts of a member that is an array; empty if there is none.
    func texts(_ name: String) -> [String] {
        guard case .array(let elements)? = self[name] else { return [] }
        return elements.compactMap { if case .string(let text) = $0 { text } else { nil } }
    }

    /// A member that is an object, or the text of one: editors of old versions send that. Empty if there is none.
    func object(_ name: String) throws(QueryError) -> SimpodBody {
        switch self[name] {
        case nil: return SimpodBody(members: [])
        case .object(let members)?: return SimpodBody(members: members)
        case .string(let text)?: return try SimpodBody(Array(text.utf8))
        case let other?: throw ParameterReader.invalid(name, other.kind, allowed: "an object")
        }
    }

    /// A member that is an array of objects; empty if there is none.
    func objects(_ name: String) throws(QueryError) -> [SimpodBody] {
        guard let value = self[name] else { return [] }
        guard case .array(let elements) = value else {
            throw ParameterReader.invalid(name, value.kind, allowed: "an array")
        }
        var bodies: [SimpodBody] = []
        for element in elements {
            guard case .object(let members) = element else {
                throw ParameterReader.invalid(name, element.kind, allowed: "an array of objects")
            }
            bodies.append(SimpodBody(members: members))
        }
        return bodies
    }

    /// The members as the parameters of a panel: lists with commas between their texts.
    func pairs() throws(QueryError) -> [QueryParameters.Pair] {
        var pairs: [QueryParameters.Pair] = []
        for member in members {
            switch member.value {
            case .null: continue
            case .string(let text), .number(let text): pairs.append(.init(name: member.name, value: text))
            case .bool(let flag): pairs.append(.init(name: member.name, value: flag ? "true" : "false"))
            case .array(let elements):
                var texts: [String] = []
                for element in elements {
                    guard case .string(let text) = element else {
                        throw ParameterReader.invalid(member.name, element.kind, allowed: "texts")
                    }
                    texts.append(text)
                }
                pairs.append(.init(name: member.name, value: texts.joined(separator: ",")))
            case .object: throw ParameterReader.invalid(member.name, "an object", allowed: "a text or a list of texts")
            }
        }
        return pairs
    }
}

/// One thing to draw, of a query with several.
struct SimpodTarget {
    let refID: String
    let panel: Panel

    /// The fields of its lines; none of what is a table.
    var fields: [String] {
        if case .series(let request) = panel { request.fields } else { [] }
    }

    /// The targets of a query's body.
    ///
    /// - Parameter most: the rows that the client's key may have; nil for any.
    static func read(
        _ body: SimpodBody, now: Timestamp, _ configuration: QueryServer.Configuration, most: Int? = nil
    ) throws(QueryError) -> [SimpodTarget] {
        let targets = try body.objects("targets")
        if targets.count > targetLimit {
            throw QueryError(400, "too_many_targets", "more than \(targetLimit) targets in a query")
        }
        let range = try body.object("range")
        // A filter by one symbol chooses it where the target names none.
        let filtered = try SimpodFilter.read(body).first { $0.key == "symbol" && $0.operator == "=" }?.value
        var read: [SimpodTarget] = []
        for target in targets {
            // A row of the editor that nothing has been chosen in yet.
            guard let metric = target.text("target"), !metric.isEmpty, target["hide"] != .bool(true) else { continue }
            var pairs = try target.object("payload").pairs()
            func standard(_ name: String, _ value: String?) {
                if let value, !pairs.contains(where: { $0.name == name && !$0.value.isEmpty }) {
                    // A list that nothing is chosen in any more is sent as an empty one.
                    pairs.removeAll { $0.name == name }
                    pairs.append(.init(name: name, value: value))
                }
            }
            standard("from", range.text("from"))
            standard("to", range.text("to"))
            let kind = try SimpodMetric(metric)
            let namesNone = !pairs.contains { ["symbol", "symbols"].contains($0.name) && !$0.value.isEmpty }
            switch kind {
            case .series(let field):
                standard("field", field)
                standard("maxDataPoints", body.text("maxDataPoints"))
                if namesNone { standard("symbols", filtered ?? "$__all") }
            case .panel(.candles):
                standard("maxDataPoints", body.text("maxDataPoints"))
                if namesNone { standard("symbol", filtered) }
            case .table(let name): standard("name", name)
            case .panel: break
            }
            read.append(
                SimpodTarget(
                    refID: target.text("refId") ?? "A",
                    panel: try Panel(kind.panel, pairs, now: now, configuration, most: most)))
        }
        return read
    }

    /// The most targets of a query.
    static let targetLimit = 26
}

/// What can be asked for: a field over time, a panel, or a table.
enum SimpodMetric: Equatable {
    case series(String)
    case panel(PanelKind)
    case table(String)

    /// Panels that are metrics by themselves.
    static let panels: [PanelKind] = [.candles, .last, .annotations, .logs]

    static var names: [String] {
        SeriesRequest.fieldNames + panels.map(\.rawValue) + GrafanaTable.tables.map(\.name)
    }

    init(_ name: String) throws(QueryError) {
        if SeriesRequest.fieldNames.contains(name) {
            self = .series(name)
        } else if let kind = Self.panels.first(where: { $0.rawValue == name }) {
            self = .panel(kind)
        } else if GrafanaTable.tables.contains(where: { $0.name == name }) {
            self = .table(name)
        } else {
            throw QueryError(
                400, "unknown_metric", "there is no metric \"\(name.prefix(80))\"",
                details: "There are: \(Self.names.joined(separator: ", ")).",
                hint: ParameterReader.closest(to: name, Self.names).map { "Perhaps you meant \"\($0)\"." })
        }
    }

    var panel: PanelKind {
        switch self {
        case .series: .series
        case .panel(let kind): kind
        case .table: .table
        }
    }

    /// The parameters that the editor offers for it, with what they may be; empty for what is typed.
    var payloads: [(name: String, isMany: Bool, options: [String])] {
        let timeframes = Timeframe.allCases.map(\.name)
        switch self {
        case .series:
            return [
                ("symbols", true, []), ("interval", false, ["auto"] + timeframes),
                ("downsample", false, Downsampling.allCases.map(\.rawValue)),
            ]
        case .panel(.candles): return [("symbol", false, []), ("interval", false, ["auto"] + timeframes)]
        case .panel(let kind): return Self.payloads(kind == .last ? .last : kind == .logs ? .logs : .annotations)
        case .table(let name):
            return GrafanaTable.tables.first { $0.name == name }.map(Self.payloads) ?? []
        }
    }

    private static func payloads(_ table: GrafanaTable) -> [(name: String, isMany: Bool, options: [String])] {
        (table.isOfSymbols ? [("symbols", true, [])] : [])
            + (table.choice.map { [($0.parameter, false, $0.values)] } ?? [])
    }
}

/// A filter that a user adds to all panels of a dashboard: a column, and what its values have to be.
struct SimpodFilter: Equatable {
    var key: String
    var `operator`: String
    var value: String
    /// Of `=|` and `!=|`, which are one of several and none of them.
    var values: [String] = []

    static let operators = ["=", "!=", "<", ">", "<=", ">=", "=~", "!~", "=|", "!=|"]
    /// What filters can name.
    static let keys = ["symbol", "subreddit", "source", "reason", "kind", "topic"]

    static func read(_ body: SimpodBody) throws(QueryError) -> [SimpodFilter] {
        var filters: [SimpodFilter] = []
        for name in ["filters", "adhocFilters"] {
            for filter in try body.objects(name) {
                guard let key = filter.text("key"), let sign = filter.text("operator") else {
                    throw QueryError(400, "invalid_filter", "a filter without key and operator")
                }
                guard operators.contains(sign) else {
                    throw ParameterReader.invalid("operator", sign, allowed: operators.joined(separator: " "))
                }
                let value = filter.text("value") ?? ""
                var values = filter.texts("values")
                if values.isEmpty {
                    values = value.split(separator: "|", omittingEmptySubsequences: false).map { String($0) }
                }
                filters.append(SimpodFilter(key: key, operator: sign, value: value, values: values))
            }
        }
        return filters
    }

    /// Whether a value passes.
    func passes(_ text: String) -> Bool {
        switch `operator` {
        case "=": text == value
        case "!=": text != value
        case "<", ">=": isBefore(text) == (`operator` == "<")
        case ">", "<=": isAfter(text) == (`operator` == ">")
        case "=|": values.contains(text)
        case "!=|": !values.contains(text)
        case "=~": matches(text)
        default: !matches(text)
        }
    }

    /// By number where both are one.
    private func isBefore(_ text: String) -> Bool {
        if let a = Double(text), let b = Double(value) { return a < b }
        return text < value
    }

    private func isAfter(_ text: String) -> Bool {
        if let a = Double(text), let b = Double(value) { return a > b }
        return text > value
    }

    /// Of regular expressions what filters are made of: alternatives, and `.*` for anything. Everything else stands for
    /// itself, so that no expression takes longer than its text.
    private func matches(_ text: String) -> Bool {
        var pattern = value[...]
        if pattern.hasPrefix("^") { pattern.removeFirst() }
        if pattern.hasSuffix("$") { pattern.removeLast() }
        if pattern.hasPrefix("(") && pattern.hasSuffix(")") { pattern = pattern.dropFirst().dropLast() }
        return pattern.split(separator: "|", omittingEmptySubsequences: false).contains { alternative in
            let pieces = alternative.split(separator: ".*", omittingEmptySubsequences: false)
                .map { $0.filter { $0 != "\\" } }
            guard let first = pieces.first, let last = pieces.last, text.hasPrefix(first) else { return false }
            if pieces.count == 1 { return text == first }
            var rest = text.dropFirst(first.count)
            for piece in pieces.dropFirst().dropLast() where !piece.isEmpty {
                guard let place = rest.firstRange(of: piece) else { return false }
                rest = rest[place.upperBound...]
            }
            return rest.hasSuffix(last)
        }
    }
}

extension Frame {
    /// The rows that pass the filters of columns that are here; nil for a series of a symbol that does not.
    func filtered(_ filters: [SimpodFilter]) -> Frame? {
        if let symbol = fields.last?.symbol {
            return filters.allSatisfy { $0.key != "symbol" || $0.passes(symbol) } ? self : nil
        }
        var tests: [(Int) -> Bool] = []
        for filter in filters {
            guard let field = fields.first(where: { $0.name == filter.key }) else { continue }
            switch field.values {
            case .texts(let texts): tests.append { filter.passes(texts[$0] ?? "") }
            case .numbers(let numbers): tests.append { filter.passes(numbers[$0].map { "\($0)" } ?? "") }
            case .times, .flags: continue
            }
        }
        return tests.isEmpty ? self : keeping { row in tests.allSatisfy { $0(row) } }
    }

    private func keeping(_ isWanted: (Int) -> Bool) -> Frame {
        let rows = (0..<count).filter(isWanted)
        let fields = fields.map { field in
            var field = field
            field.values =
                switch field.values {
                case .times(let values): .times(rows.map { values[$0] })
                case .numbers(let values): .numbers(rows.map { values[$0] })
                case .texts(let values): .texts(rows.map { values[$0] })
                case .flags(let values): .flags(rows.map { values[$0] })
                }
            return field
        }
        return Frame(name, fields, count: rows.count)
    }
}
