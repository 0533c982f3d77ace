// SPDX-License-Identifier: Apache-2.0
// The types of columns that only the database knows: what they are called, and which are arrays of what.

import EventLoop
import Postgres

/// Finds out what a type is, and remembers it. On one loop's thread only.
///
/// A renamed type keeps its old name here until the server starts again; a number that is used again does not happen
/// while four billion others are left.
final class ResultTypes {
    /// A type of a result.
    struct ResultType: Equatable {
        /// What SQL calls it.
        var name: String
        /// What its values look like on the wire: its own number, or that of an array's elements.
        var isArray = false
        var element: TypeOID
    }

    private var known: [TypeOID: ResultType] = [:]
    /// Types remembered before it starts afresh.
    private static let capacity = 4096

    /// Whether all of the types are built in, so that nothing need be asked.
    func areKnown(_ columns: [ColumnDescription]) -> Bool {
        columns.allSatisfy { $0.type.hasName || known[$0.type] != nil }
    }

    /// What is known of a type; of one that is not, its number.
    subscript(type: TypeOID) -> ResultType {
        if let found = known[type] { return found }
        if let element = TypeOID.elements[type] {
            return ResultType(name: type.columnTypeName, isArray: true, element: element)
        }
        return ResultType(name: type.columnTypeName, element: type)
    }

    /// Learns the types of columns that are not built in.
    ///
    /// - Parameter gate: whose connection, beside those of queries, is asked.
    func learn(_ columns: [ColumnDescription], _ gate: Gate, deadline: MonotonicTime) async throws {
        let numbers = Set(columns.map(\.type)).filter { !$0.hasName && known[$0] == nil }
        if numbers.isEmpty { return }
        let rows = try await gate.beside(deadline: deadline) { connection in
            try await connection.query(
                Self.question, [.int64Array(numbers.map { Int64($0.rawValue) })], deadline: deadline)
        }
        if known.count + rows.count > Self.capacity { known.removeAll() }
        for row in rows {
            let element = try row.int64(2)
            let type = TypeOID(rawValue: UInt32(truncatingIfNeeded: try row.int64(0)))
            known[type] = ResultType(
                name: try row.string(1), isArray: element != 0,
                element: element == 0 ? type : TypeOID(rawValue: UInt32(truncatingIfNeeded: element)))
        }
    }

    /// Elements that are domains are of what the domains are made of, through any number of them.
    private static let question = Statement(
        name: "result_types",
        sql: """
            WITH RECURSIVE elements AS (
                SELECT t.oid, e.oid AS element, e.typtype, e.typbasetype FROM pg_catalog.pg_type t
                LEFT JOIN pg_catalog.pg_type e ON e.oid = t.typelem AND t.typcategory = 'A'
                WHERE t.oid = ANY ($1::bigint[]::oid[])
                UNION ALL
                SELECT d.oid, e.oid, e.typtype, e.typbasetype FROM elements d
                JOIN pg_catalog.pg_type e ON e.oid = d.typbasetype WHERE d.typtype = 'd'
            )
            SELECT oid::bigint, pg_catalog.format_type(oid, NULL), coalesce(element, 0)::bigint FROM elements
            WHERE typtype IS DISTINCT FROM 'd'
            """)
}
