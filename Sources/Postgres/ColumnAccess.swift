// SPDX-License-Identifier: Apache-2.0

/// Typed reading of one row's values, whether buffered (``ResultSet/Row``) or streamed (``RowStream/Row``), in text or
/// binary format.
///
/// Columns count from 0. The accessors throw kind `.usage` for NULL and for a column of another type, naming the
/// column; those with `OrNil` return nil for NULL.
package protocol ColumnAccess {
    var columns: [ColumnDescription] { get }

    /// Of ``columns``: how many there are, and the type and the format of one. They are asked for with each value, which
    /// a row that would have to make its descriptions first answers without them.
    var columnCount: Int { get }
    func columnType(_ column: Int) -> TypeOID
    func columnFormat(_ column: Int) -> WireFormat

    /// The value's bytes as they arrived, or nil for NULL. Valid as long as the row is; do not let them escape.
    func unsafeBytes(_ column: Int) -> UnsafeRawBufferPointer?
}

extension ColumnAccess {
    package var columnCount: Int { columns.count }
    package func columnType(_ column: Int) -> TypeOID { columns[column].type }
    package func columnFormat(_ column: Int) -> WireFormat { columns[column].format }

    package func isNull(_ column: Int) -> Bool { unsafeBytes(column) == nil }

    /// Calls `body` with the value's bytes as they arrived, nil for NULL; they are valid inside it only.
    @inlinable package func withBytes<T, E: Error>(
        _ column: Int, _ body: (UnsafeRawBufferPointer?) throws(E) -> T
    ) throws(E) -> T {
        try body(unsafeBytes(column))
    }

    /// The SQL text of a value: any type in text format, string types in binary.
    package func string(_ column: Int) throws(PostgresError) -> String {
        String(decoding: try readable(column, as: "a string", .strings, text: .all), as: UTF8.self)
    }

    /// `smallint`, `integer`, `bigint` or `oid`; in text format also a `numeric` without a fraction.
    package func int64(_ column: Int) throws(PostgresError) -> Int64 {
        let bytes = try readable(
            column, as: "an integer", .integers, text: .integers.union(.decimals))
        let value: Int64? =
            columnFormat(column) == .text ? TextForm.integer(bytes) : BinaryForm.integer(bytes)
        guard let value else { throw malformed(column, "an integer") }
        return value
    }

    /// As ``int64(_:)``, for counts and indices.
    package func int(_ column: Int) throws(PostgresError) -> Int { Int(try int64(column)) }

    /// `double precision`, `real` or an integer; in text format also `numeric` (rounded to the nearest double).
    package func double(_ column: Int) throws(PostgresError) -> Double {
        let bytes = try readable(
            column, as: "a number", [.integers, .floats], text: [.integers, .floats, .decimals])
        let value: Double? =
            if columnFormat(column) == .text {
                TextForm.double(bytes)
            } else if columnType(column) == .float8 || columnType(column) == .float4 {
                BinaryForm.double(bytes)
            } else {
                BinaryForm.integer(bytes).map(Double.init)
            }
        guard let value else { throw malformed(column, "a number") }
        return value
    }

    package func bool(_ column: Int) throws(PostgresError) -> Bool {
        let bytes = try readable(column, as: "a boolean", .booleans, text: .booleans)
        switch bytes.first {
        case 1, UInt8(ascii: "t"): return true
        case 0, UInt8(ascii: "f"): return false
        default: throw malformed(column, "a boolean")
        }
    }

    /// The bytes of a `bytea`; of other types, the bytes as they arrived.
    package func bytes(_ column: Int) throws(PostgresError) -> [UInt8] {
        let bytes = try readable(column, as: "bytes", .all, text: .all)
        if columnType(column) != .bytea || columnFormat(column) == .binary { return [UInt8](bytes) }
        guard let decoded = TextForm.bytea(bytes) else { throw malformed(column, "bytea in hex format") }
        return decoded
    }

    /// `timestamptz`, or `timestamp` and `date` taken as UTC, in microseconds since 1970-01-01; ±infinity is
    /// `Int64.max` and `.min`.
    package func timestamp(_ column: Int) throws(PostgresError) -> Int64 {
        let bytes = try readable(column, as: "a time", .times, text: .times)
        let value: Int64? =
            columnFormat(column) == .text
            ? TextForm.timestamp(bytes) : BinaryForm.timestamp(bytes)
        guard let value else { throw malformed(column, "a time in ISO style") }
        return value
    }

    /// The elements of a one-dimensional `text[]` (or another array, as text), NULL elements as nil.
    package func textArray(_ column: Int) throws(PostgresError) -> [String?] {
        let bytes = try readable(column, as: "text[]", .textArrays, text: .all)
        let elements: [String?]? =
            columnFormat(column) == .text ? TextForm.array(bytes) : BinaryForm.textArray(bytes)
        guard let elements else { throw malformed(column, "a one-dimensional array") }
        return elements
    }

    package func stringOrNil(_ column: Int) throws(PostgresError) -> String? {
        isNull(column) ? nil : try string(column)
    }
    package func int64OrNil(_ column: Int) throws(PostgresError) -> Int64? { isNull(column) ? nil : try int64(column) }
    package func doubleOrNil(_ column: Int) throws(PostgresError) -> Double? {
        isNull(column) ? nil : try double(column)
    }
    package func boolOrNil(_ column: Int) throws(PostgresError) -> Bool? { isNull(column) ? nil : try bool(column) }
    package func bytesOrNil(_ column: Int) throws(PostgresError) -> [UInt8]? {
        isNull(column) ? nil : try bytes(column)
    }
    package func timestampOrNil(_ column: Int) throws(PostgresError) -> Int64? {
        isNull(column) ? nil : try timestamp(column)
    }

    /// The value's bytes if it is not NULL and of one of the types allowed for its format.
    private func readable(
        _ column: Int, as wanted: StaticString, _ binary: TypeGroups, text: TypeGroups
    ) throws(PostgresError) -> UnsafeRawBufferPointer {
        guard column >= 0 && column < columnCount else {
            throw PostgresError(.usage, "no column \(column): the result has \(columnCount)")
        }
        let type = columnType(column)
        if !(columnFormat(column) == .text ? text : binary).contains(type) {
            throw PostgresError(.usage, "column \"\(columns[column].name)\" is \(type), not \(wanted)")
        }
        guard let bytes = unsafeBytes(column) else {
            throw PostgresError(.usage, "column \"\(columns[column].name)\" is NULL, not \(wanted)")
        }
        return bytes
    }

    private func malformed(_ column: Int, _ wanted: String) -> PostgresError {
        PostgresError(.usage, "the value of column \"\(columns[column].name)\" cannot be read as \(wanted)")
    }
}

/// Types by how they can be read.
private struct TypeGroups: OptionSet {
    let rawValue: UInt8

    static let strings = TypeGroups(rawValue: 1)
    static let integers = TypeGroups(rawValue: 2)
    static let floats = TypeGroups(rawValue: 4)
    /// Numbers as text, and literals without a type.
    static let decimals = TypeGroups(rawValue: 8)
    static let booleans = TypeGroups(rawValue: 16)
    static let times = TypeGroups(rawValue: 32)
    static let textArrays = TypeGroups(rawValue: 64)
    /// Every type, known or not.
    static let all = TypeGroups(rawValue: 128)

    func contains(_ type: TypeOID) -> Bool { contains(.all) || !isDisjoint(with: Self.groups(of: type)) }

    private static func groups(of type: TypeOID) -> TypeGroups {
        switch type {
        case .text, .varchar, .bpchar, .name, .char, .json, .xml: .strings
        case .unknown: [.strings, .decimals]
        case .int2, .int4, .int8, .oid: .integers
        case .float4, .float8: .floats
        case .numeric: .decimals
        case .bool: .booleans
        case .timestamptz, .timestamp, .date: .times
        case .textArray: .textArrays
        default: []
        }
    }
}
