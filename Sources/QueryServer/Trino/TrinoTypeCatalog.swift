// SPDX-License-Identifier: Apache-2.0
// The types that only the database knows: rows, enumerations, domains, and arrays of them.

import EventLoop
import Postgres

/// Finds out what types are made of, and remembers it. On one loop's thread only.
final class TrinoTypeCatalog {
    private var known: [TypeOID: TrinoType] = [:]

    /// How deep a type may hold others.
    private static let depthLimit = 16
    /// Types remembered before it starts afresh.
    private static let capacity = 4096

    /// The types of columns, in their order. A type that cannot be found out is text.
    ///
    /// - Parameter ask: runs a query of ours with the numbers of types, on a connection that is free.
    func types(
        of columns: [ColumnDescription], ask: ([Int64]) async throws -> ResultSet
    ) async throws -> [TrinoType] {
        var result: [TrinoType] = []
        for column in columns {
            if let type = TrinoType(column.type, modifier: column.typeModifier) ?? known[column.type] {
                result.append(type)
            } else {
                result.append(try await find(column.type, depth: 0, ask))
            }
        }
        return result
    }

    /// The question for ``types(of:ask:)``; `$1` is an array of type numbers.
    static let question = Postgres.Statement(
        name: "trino_types",
        sql: """
            SELECT t.typtype::text, t.typbasetype::bigint, t.typtypmod,
                CASE WHEN t.typcategory = 'A' THEN t.typelem::bigint ELSE 0 END,
                a.attname::text, a.atttypid::bigint, a.atttypmod
            FROM pg_catalog.pg_type t
            LEFT JOIN pg_catalog.pg_attribute a ON a.attrelid = t.typrelid AND a.attnum > 0 AND NOT a.attisdropped
            WHERE t.oid = ANY ($1::bigint[]) ORDER BY a.attnum
            """)

    private func find(_ type: TypeOID, depth: Int, _ ask: ([Int64]) async throws -> ResultSet) async throws
        -> TrinoType
    {
        if let type = known[type] { return type }
        let found = try await lookUp(type, depth: depth, ask)
        if known.count >= Self.capacity { known.removeAll() }
        known[type] = found
        return found
    }

    private func lookUp(_ type: TypeOID, depth: Int, _ ask: ([Int64]) async throws -> ResultSet) async throws
        -> TrinoType
    {
        guard depth < Self.depthLimit else { return .varchar(nil) }
        let rows = try await ask([Int64(type.rawValue)])
        guard let first = rows.first else { return .varchar(nil) }
        func inner(_ oid: Int64, _ modifier: Int64) async throws -> TrinoType {
            let inner = TypeOID(rawValue: UInt32(truncatingIfNeeded: oid))
            if let type = TrinoType(inner, modifier: Int32(truncatingIfNeeded: modifier)) { return type }
            return try await find(inner, depth: depth + 1, ask)
        }
        switch try first.string(0) {
        case "d": return try await inner(try first.int64(1), try first.int64(2))
        case "c":
            var fields: [TrinoType.Field] = []
            for row in rows where !row.isNull(4) {
                fields.append(
                    .init(name: try row.string(4), type: try await inner(try row.int64(5), try row.int64(6))))
            }
            return fields.isEmpty ? .varchar(nil) : .row(fields)
        default:
            let element = try first.int64(3)
            return element == 0 ? .varchar(nil) : .array(try await inner(element, -1))
        }
    }
}
