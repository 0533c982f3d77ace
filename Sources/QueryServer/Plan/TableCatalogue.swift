// SPDX-License-Identifier: Apache-2.0
// Which tables and columns there are.

import EventLoop
import Postgres

/// What the reader may select from in the schema `market`, as PostgreSQL's catalogue has it. A value of one moment.
struct TableCatalogue {
    struct Column: Equatable {
        var name: String
        var type: TypeOID
        /// What SQL calls it.
        var typeName: String
        var isNotNull: Bool
        var comment: String?
    }

    struct Table: Equatable {
        var name: String
        var columns: [Column] = []
        /// The columns that tell rows apart, in their order; empty where that is not known.
        var key: [String] = []
        var comment: String?
        /// A view that looks at the clock: what it shows changes without a commit.
        var isMomentary = false

        func column(_ name: String) -> Column? { columns.first { $0.name == name } }
    }

    private(set) var tables: [String: Table] = [:]
    /// The names, in alphabetical order.
    var names: [String] { tables.keys.sorted() }

    init(_ tables: [Table]) {
        for table in tables { self.tables[table.name] = table }
    }

    /// Views have no keys of their own in the catalogue.
    private static let viewKeys = [
        "bars": ["symbol", "timeframe", "ts"], "indicators": ["symbol", "timeframe", "ts"],
        "trade_stats_15s": ["symbol", "ts"], "symbols": ["symbol"],
    ]

    static let statement = Statement(
        name: "table_catalogue",
        sql: """
            select c.relname::text, a.attname::text, a.atttypid::bigint, format_type(a.atttypid, a.atttypmod), \
            a.attnotnull, coalesce(array_position(k.conkey, a.attnum), 0)::bigint, \
            obj_description(c.oid, 'pg_class'), col_description(c.oid, a.attnum), \
            c.relkind = 'v' and pg_get_viewdef(c.oid) ~* '\\m((now|(clock|statement|transaction)_timestamp|timeofday)\\(|\
            (current|local)_?(date|time))' \
            from pg_catalog.pg_class c join pg_catalog.pg_attribute a on a.attrelid = c.oid \
            left join pg_catalog.pg_constraint k on k.conrelid = c.oid and k.contype = 'p' \
            where c.relnamespace = 'market'::regnamespace and c.relkind in ('r', 'p', 'v', 'm') \
            and not c.relispartition and a.attnum > 0 and not a.attisdropped and has_table_privilege(c.oid, 'select') \
            order by c.relname, a.attnum
            """)

    /// Reads the rows of ``statement``.
    init(_ rows: ResultSet) throws(PostgresError) {
        var found: [Table] = []
        var keys: [(place: Int64, name: String)] = []
        func close() {
            guard let last = found.indices.last else { return }
            found[last].key =
                keys.isEmpty
                ? Self.viewKeys[found[last].name] ?? [] : keys.sorted { $0.place < $1.place }.map(\.name)
            keys = []
        }
        for row in rows {
            let name = try row.string(0)
            if found.last?.name != name {
                close()
                found.append(Table(name: name, comment: try row.stringOrNil(6), isMomentary: try row.bool(8)))
            }
            let column = Column(
                name: try row.string(1), type: TypeOID(rawValue: UInt32(truncatingIfNeeded: try row.int64(2))),
                typeName: try row.string(3), isNotNull: try row.bool(4), comment: try row.stringOrNil(7))
            found[found.count - 1].columns.append(column)
            let place = try row.int64(5)
            if place > 0 { keys.append((place, column.name)) }
        }
        close()
        self.init(found)
    }

    /// The table, or 404 with a suggestion.
    func table(_ name: String) throws(QueryError) -> Table {
        if let table = tables[name] { return table }
        throw QueryError(
            404, "unknown_table", "there is no table \"\(name.prefix(80))\"",
            details: "Tables: \(names.joined(separator: ", ")).",
            hint: ParameterReader.closest(to: name, names).map { "Perhaps you meant \"\($0)\"." })
    }
}

/// The catalogue as one event loop last saw it, read again when it is old, or lacks what is asked for. On the loop's
/// thread only.
final class TableCatalogueCache {
    private let gate: Gate
    private var catalogue: (value: TableCatalogue, read: MonotonicTime)?

    private static let lifetime = Duration.seconds(60)
    /// How often a name that is not there may make it be read again.
    private static let pause = Duration.seconds(1)

    init(_ gate: Gate) { self.gate = gate }

    func current(deadline: MonotonicTime) async throws -> TableCatalogue {
        if let catalogue, catalogue.read + Self.lifetime > .now() { return catalogue.value }
        return try await read(deadline)
    }

    /// A newer one than that in which something was missing; nil if there can be none yet.
    func newer(deadline: MonotonicTime) async throws -> TableCatalogue? {
        if let catalogue, catalogue.read + Self.pause > .now() { return nil }
        return try await read(deadline)
    }

    private func read(_ deadline: MonotonicTime) async throws -> TableCatalogue {
        let asked = MonotonicTime.now()
        do {
            let rows = try await gate.beside(deadline: deadline) { connection in
                try await connection.query(TableCatalogue.statement, [], deadline: deadline)
            }
            let value = try TableCatalogue(rows)
            catalogue = (value, asked)
            return value
        } catch let error as PostgresError {
            throw QueryError(unavailable: error)
        }
    }
}
