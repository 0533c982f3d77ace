// SPDX-License-Identifier: Apache-2.0

import FoundationEssentials

extension ExplainForm {
    /// What PostgreSQL is asked.
    var prefix: String {
        switch (kind, format) {
        case (.analyze, _): "EXPLAIN (ANALYZE) "
        case (.io, _), (_, .json), (_, .graphviz): "EXPLAIN (FORMAT JSON, VERBOSE) "
        default: "EXPLAIN "
        }
    }

    /// The name of the one column.
    package var columnName: String { kind == .validate ? "Valid" : "Query Plan" }

    /// The type of the one column, as Trino calls it.
    package var columnType: String { kind == .validate ? "boolean" : "varchar" }

    /// The value of the one column of the one row, of the lines that PostgreSQL answered; `true` of VALIDATE.
    package func value(_ lines: [String], catalog: String) -> String {
        let text = lines.joined(separator: "\n")
        if kind == .validate { return "true" }
        if kind == .io { return Self.plan(text).map { IOPlan($0, catalog: catalog).json } ?? text }
        if format == .graphviz { return Self.plan(text).map { Self.graphviz($0) } ?? text }
        return text
    }

    private static func plan(_ text: String) -> PostgresPlan? {
        (try? JSONDecoder().decode([[String: PostgresPlan]].self, from: Data(text.utf8)))?.first?["Plan"]
    }

    private static func graphviz(_ plan: PostgresPlan) -> String {
        var lines = ["digraph logical_plan {"]
        var count = 0
        func add(_ plan: PostgresPlan) -> Int {
            count += 1
            let number = count
            let name = plan.relation.map { "\(plan.kind) \($0)" } ?? plan.kind
            lines.append(
                "plannode_\(number)[label=\"{\(name.filter { $0 != "\"" })|rows \(Int(plan.rows))}\", shape=record];")
            for child in plan.plans ?? [] { lines.append("plannode_\(number) -> plannode_\(add(child));") }
            return number
        }
        _ = add(plan)
        return (lines + ["}"]).joined(separator: "\n") + "\n"
    }
}

/// A node of a plan, of `EXPLAIN (FORMAT JSON)` (PostgreSQL 15 docs, 14.1).
private struct PostgresPlan: Decodable {
    var kind: String
    var relation: String?
    var schema: String?
    var rows: Double
    var width: Double
    var cost: Double
    var plans: [PostgresPlan]?

    enum CodingKeys: String, CodingKey {
        case kind = "Node Type"
        case relation = "Relation Name"
        case schema = "Schema"
        case rows = "Plan Rows"
        case width = "Plan Width"
        case cost = "Total Cost"
        case plans = "Plans"
    }
}

/// What `EXPLAIN (TYPE IO)` shows: the tables that are read, and what it may cost.
private struct IOPlan: Encodable {
    struct Estimate: Encodable {
        var outputRowCount: Double
        var outputSizeInBytes: Double
        var cpuCost: Double
        var maxMemory: Double
        var networkCost: Double

        init(_ plan: PostgresPlan) {
            outputRowCount = plan.rows
            outputSizeInBytes = plan.rows * plan.width
            cpuCost = plan.cost
            maxMemory = 0
            networkCost = 0
        }
    }
    struct Name: Encodable {
        struct SchemaTable: Encodable {
            var schema: String
            var table: String
        }
        var catalog: String
        var schemaTable: SchemaTable
    }
    struct Table: Encodable {
        struct Constraint: Encodable {
            var none = false
            var columnConstraints: [String] = []
        }
        var table: Name
        var constraint = Constraint()
        var estimate: Estimate
    }

    var inputTableColumnInfos: [Table]
    var estimate: Estimate

    init(_ plan: PostgresPlan, catalog: String) {
        var tables: [Table] = []
        func visit(_ plan: PostgresPlan) {
            if let relation = plan.relation {
                let name = Name(catalog: catalog, schemaTable: .init(schema: plan.schema ?? "", table: relation))
                tables.append(Table(table: name, estimate: Estimate(plan)))
            }
            for child in plan.plans ?? [] { visit(child) }
        }
        visit(plan)
        inputTableColumnInfos = tables
        estimate = Estimate(plan)
    }

    var json: String {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.prettyPrinted, .sortedKeys, .withoutEscapingSlashes]
        return (try? encoder.encode(self)).map { String(decoding: $0, as: UTF8.self) } ?? "{}"
    }
}
