// SPDX-License-Identifier: Apache-2.0
// What the planner takes a statement to cost, before it runs.

import EventLoop
import Postgres

/// The ceiling of what statements of users may cost, in the planner's unit (PostgreSQL 15 docs, 20.7.2: about one page
/// read in order).
enum PlanCost {
    /// What asks for a plan, and runs nothing.
    static let explain = "EXPLAIN (FORMAT JSON) "

    /// What is wrong with the plan of `run`, at its place in the statement that ends with it.
    static func placed(_ error: PostgresError, in sql: String, running run: Substring) -> PostgresError {
        var error = error
        let before = sql.unicodeScalars.count - run.unicodeScalars.count
        error.position = error.position.map { $0 - explain.count + before }
        return error
    }

    /// Refuses a plan above the limit.
    ///
    /// - Parameter plan: what ``explain`` gives.
    static func check(_ plan: String, limit: Double) throws(QueryError) {
        guard let cost = total(plan), cost > limit else { return }
        throw QueryError(
            403, "query_too_expensive", "the query is too expensive",
            details: "The planner estimates a cost of \(cost.rounded()); the limit is \(limit).",
            hint: "Narrow it down: name a symbol, a range of ts, or fewer columns to sort by. EXPLAIN shows the plan.")
    }

    /// The cost of the topmost node, which stands first.
    static func total(_ plan: String) -> Double? { number("Total Cost", plan) }

    /// The rows that the planner expects of it.
    static func rows(_ plan: String) -> Int? { number("Plan Rows", plan).flatMap { Int(exactly: $0) } }

    private static func number(_ name: String, _ plan: String) -> Double? {
        guard let key = plan.firstRange(of: "\"\(name)\": ") else { return nil }
        return Double(plan[key.upperBound...].prefix { $0.isNumber || $0 == "." || $0 == "e" || $0 == "+" })
    }
}
