// SPDX-License-Identifier: Apache-2.0

/// Typed reading of one row's values, whether buffered (``ResultSet/Row``) or streamed (``RowStream/Row``), in text or
/// binary format.
///
/// Columns count from 0. The accessors throw kind `.usage` for NULL and for a column of another type, naming the
/// column; those with `OrNil` return nil for NULL.
package protocol ColumnAccess {
    var columns: [ColumnDescription] { get }

    /// The value's bytes as they arrived, or nil for NULL. Valid as long as the row is; do not let them escape.
    func unsafeBytes(_ column: Int) -> UnsafeRawBufferPointer?
}

extension ColumnAccess {
    package func isNull(_ column: Int) -> Bool { unsafeBytes(column) == nil }

    /// Calls `body` with the value's bytes as they arrived, nil for NULL; they are valid inside it only.
    @inlinable package func withBytes<T, E: Error>(
        _ column: Int, _ body: (UnsafeRawBufferPointer?) throws(E) -> T
    ) throws(E) -> T {
        try body(unsafeBytes(column))
    }

    /// The SQL text of a value: any type in text format, string types in binary.
    package func string(_ column: Int) throws(PostgresError) -> String {
        String(decoding: try readable(column, as: "a string", Self.stringTypes, text: nil), as: UTF8.self)
    }

    /// `smallint`, `integer`, `bigint` or `oid`; in text format also a `numeric` without a fraction.
    package func int64(_ column: Int) throws(PostgresError) -> Int64 {
        let bytes = try readable(
            column, as: "an integer", Self.integerTypes, text: Self.integerTypes.union([.numeric, .unknown]))
        let value: Int64? =
            columns[column].format == .text ? TextForm.integer(bytes) : BinaryForm.integer(bytes)
        guard let value else { throw malformed(column, "an integer") }
        return value
    }

    /// As ``int64(_:)``, for counts and indices.
    package func int(_ column: Int) throws(PostgresError) -> Int { Int(try int64(column)) }

    /// `double precision`, `real` or an integer; in text format also `numeric` (rounded to the nearest double).
    package func double(_ column: Int) throws(PostgresError) -> Double {
        let types = Self.integerTypes.union([.float4, .float8])
        let bytes = try readable(column, as: "a number", types, text: types.union([.numeric, .unknown]))
        let value: Double? =
            if columns[column].format == .text {
                TextForm.double(bytes)
            } else if columns[column].type == .float8 || columns[column].type == .float4 {
                BinaryForm.double(bytes)
            } else {
                BinaryForm.integer(bytes).map(Double.init)
            }
        guard let value else { throw malformed(column, "a number") }
        return value
    }

    package func bool(_ column: Int) throws(PostgresError) -> Bool {
        let bytes = try readable(column, as: "a boolean", [.bool], text: [.bool])
        switch bytes.first {
        case 1, UInt8(ascii: "t"): return true
        case 0, UInt8(ascii: "f"): return false
        default: throw malformed(column, "a boolean")
        }
    }

    /// The bytes of a `bytea`; of other types, the bytes as they arrived.
    package func bytes(_ column: Int) throws(PostgresError) -> [UInt8] {
        let bytes = try readable(column, as: "bytes", nil, text: nil)
        if columns[column].type != .bytea || columns[column].format == .binary { return [UInt8](bytes) }
        guard let decoded = TextForm.bytea(bytes) else { throw malformed(column, "bytea in hex format") }
        return decoded
    }

    /// `timestamptz`, or `timestamp` and `date` taken as UTC, in microseconds since 1970-01-01; ±infinity is
    /// `Int64.max` and `.min`.
    package func timestamp(_ column: Int) throws(PostgresError) -> Int64 {
        let types: Set<TypeOID> = [.timestamptz, .timestamp, .date]
        let bytes = try readable(column, as: "a time", types, text: types)
        let value: Int64? =
            columns[column].format == .text
            ? TextForm.timestamp(bytes) : BinaryForm.timestamp(bytes)
        guard let value else { throw malformed(column, "a time in ISO style") }
        return value
    }

    /// The elements of a one-dimensional `text[]` (or another array, as text), NULL elements as nil.
    package func textArray(_ column: Int) throws(PostgresError) -> [String?] {
        let bytes = try readable(column, as: "text[]", [.textArray], text: nil)
        let elements: [String?]? =
            columns[column].format == .text ? TextForm.array(bytes) : BinaryForm.textArray(bytes)
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

    /// The value's bytes if it is not NULL and of one of the types (nil: of any) allowed for its format.
    private func readable(
        _ column: Int, as wanted: String, _ binary: Set<TypeOID>?, text: Set<TypeOID>?
    ) throws(PostgresError) -> UnsafeRawBufferPointer {
        guard columns.indices.contains(column) else {
            throw PostgresError(.usage, "no column \(column): the result has \(columns.count)")
        }
        let description = columns[column]
        if let allowed = description.format == .text ? text : binary, !allowed.contains(description.type) {
            throw PostgresError(.usage, "column \"\(description.name)\" is \(description.type), not \(wanted)")
        }
        guard let bytes = unsafeBytes(column) else {
            throw PostgresError(.usage, "column \"\(description.name)\" is NULL, not \(wanted)")
        }
        return bytes
    }

    private func malformed(_ column: Int, _ wanted: String) -> PostgresError {
        PostgresError(.usage, "the value of column \"\(columns[column].name)\" cannot be read as \(wanted)")
    }

    private static var stringTypes: Set<TypeOID>? {
        [.text, .varchar, .bpchar, .name, .char, .json, .xml, .unknown]
    }
    private static var integerTypes: Set<TypeOID> { [.int2, .int4, .int8, .oid] }
}
