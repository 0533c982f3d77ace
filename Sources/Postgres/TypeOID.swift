// SPDX-License-Identifier: Apache-2.0

/// The object id of a data type in `pg_type`; the built-in ones never change (src/include/catalog/pg_type.dat).
package struct TypeOID: RawRepresentable, Hashable, Sendable, CustomStringConvertible {
    package let rawValue: UInt32

    package init(rawValue: UInt32) { self.rawValue = rawValue }

    /// "The server infers the type": only values in text format may go with it.
    package static let unspecified = TypeOID(rawValue: 0)
    package static let bool = TypeOID(rawValue: 16)
    package static let bytea = TypeOID(rawValue: 17)
    package static let char = TypeOID(rawValue: 18)
    package static let name = TypeOID(rawValue: 19)
    package static let int8 = TypeOID(rawValue: 20)
    package static let int2 = TypeOID(rawValue: 21)
    package static let int4 = TypeOID(rawValue: 23)
    package static let text = TypeOID(rawValue: 25)
    package static let oid = TypeOID(rawValue: 26)
    package static let json = TypeOID(rawValue: 114)
    package static let xml = TypeOID(rawValue: 142)
    package static let float4 = TypeOID(rawValue: 700)
    package static let float8 = TypeOID(rawValue: 701)
    package static let unknown = TypeOID(rawValue: 705)
    package static let bpchar = TypeOID(rawValue: 1042)
    package static let varchar = TypeOID(rawValue: 1043)
    package static let date = TypeOID(rawValue: 1082)
    package static let time = TypeOID(rawValue: 1083)
    package static let timestamp = TypeOID(rawValue: 1114)
    package static let timestamptz = TypeOID(rawValue: 1184)
    package static let interval = TypeOID(rawValue: 1186)
    package static let numeric = TypeOID(rawValue: 1700)
    package static let record = TypeOID(rawValue: 2249)
    package static let uuid = TypeOID(rawValue: 2950)
    package static let jsonb = TypeOID(rawValue: 3802)
    package static let boolArray = TypeOID(rawValue: 1000)
    package static let int4Array = TypeOID(rawValue: 1007)
    package static let textArray = TypeOID(rawValue: 1009)
    package static let int8Array = TypeOID(rawValue: 1016)
    package static let float8Array = TypeOID(rawValue: 1022)
    package static let timestamptzArray = TypeOID(rawValue: 1185)

    /// The name SQL knows it by, or its number.
    package var description: String { Self.names[self] ?? "type \(rawValue)" }

    private static let names: [TypeOID: String] = [
        .bool: "boolean", .bytea: "bytea", .char: "\"char\"", .name: "name", .int8: "bigint", .int2: "smallint",
        .int4: "integer", .text: "text", .oid: "oid", .json: "json", .xml: "xml", .float4: "real",
        .float8: "double precision", .unknown: "unknown", .bpchar: "character", .varchar: "character varying",
        .date: "date", .time: "time", .timestamp: "timestamp", .timestamptz: "timestamptz", .interval: "interval",
        .numeric: "numeric", .uuid: "uuid", .jsonb: "jsonb", .boolArray: "boolean[]", .int4Array: "integer[]",
        .textArray: "text[]", .int8Array: "bigint[]", .float8Array: "double precision[]",
        .timestamptzArray: "timestamptz[]",
    ]
}

/// How a value travels: as its SQL text, or in the type's binary form (big-endian).
package enum WireFormat: Int32, Sendable {
    case text = 0
    case binary = 1
}

/// One column of a result, as the server's RowDescription tells it (PostgreSQL 15 docs, 55.7).
package struct ColumnDescription: Sendable, Equatable {
    package var name: String
    package var type: TypeOID
    /// Type-specific: length of varchar plus 4, precision and scale of numeric; -1 for none.
    package var typeModifier: Int32
    package var format: WireFormat
    /// The table the column comes from, or 0 if it is computed.
    package var tableOID: UInt32
    /// Which column of that table, from 1; 0 if it is computed.
    package var tableColumn: Int32

    package init(
        name: String, type: TypeOID, typeModifier: Int32 = -1, format: WireFormat = .text, tableOID: UInt32 = 0,
        tableColumn: Int32 = 0
    ) {
        self.name = name
        self.type = type
        self.typeModifier = typeModifier
        self.format = format
        self.tableOID = tableOID
        self.tableColumn = tableColumn
    }
}
