// SPDX-License-Identifier: Apache-2.0

import Glibc

/// A value for `$1`, `$2`, … of a statement. Text travels as text, everything else in binary with its type's OID.
package enum Parameter: Sendable, Hashable {
    /// NULL.
    case null
    /// A string; by default the server infers the type from where the parameter stands, as it does for a literal.
    case text(String, as: TypeOID = .unspecified)
    case bool(Bool)
    case int64(Int64)
    case double(Double)
    /// `bytea`.
    case bytes([UInt8])
    /// `timestamptz`, in microseconds since 1970-01-01 UTC; `Int64.max` and `.min` are ±infinity.
    case timestamp(Int64)
    case int64Array([Int64])
    case doubleArray([Double])
    case textArray([String])
    /// `timestamptz[]`, in microseconds since 1970-01-01 UTC.
    case timestampArray([Int64])
    /// `text[]` with NULL elements.
    case optionalTextArray([String?])
    /// `float8[]` with NULL elements.
    case optionalDoubleArray([Double?])
    /// `bigint[]` with NULL elements.
    case optionalInt64Array([Int64?])
    /// Bytes already in the binary form of `type`.
    case binary([UInt8], type: TypeOID)

    /// The type the parameter is declared with.
    package var type: TypeOID {
        switch self {
        case .null: .unspecified
        case .text(_, let type): type
        case .bool: .bool
        case .int64: .int8
        case .double: .float8
        case .bytes: .bytea
        case .timestamp: .timestamptz
        case .int64Array, .optionalInt64Array: .int8Array
        case .doubleArray, .optionalDoubleArray: .float8Array
        case .textArray, .optionalTextArray: .textArray
        case .timestampArray: .timestamptzArray
        case .binary(_, let type): type
        }
    }

    var isNull: Bool { if case .null = self { true } else { false } }

    /// Texts are the same byte for byte only, as they are to PostgreSQL; to Swift "é" is the same as "e" with an accent behind
    /// it.
    package static func == (a: Parameter, b: Parameter) -> Bool {
        switch (a, b) {
        case (.null, .null): true
        case (.text(let a, let type), .text(let b, let other)): type == other && a.isSame(as: b)
        case (.bool(let a), .bool(let b)): a == b
        case (.int64(let a), .int64(let b)): a == b
        case (.double(let a), .double(let b)): a == b
        case (.bytes(let a), .bytes(let b)): a == b
        case (.timestamp(let a), .timestamp(let b)): a == b
        case (.int64Array(let a), .int64Array(let b)): a == b
        case (.doubleArray(let a), .doubleArray(let b)): a == b
        case (.textArray(let a), .textArray(let b)): a.elementsEqual(b) { $0.isSame(as: $1) }
        case (.timestampArray(let a), .timestampArray(let b)): a == b
        case (.optionalTextArray(let a), .optionalTextArray(let b)):
            a.elementsEqual(b) { one, other in
                if let one, let other { one.isSame(as: other) } else { one == nil && other == nil }
            }
        case (.optionalDoubleArray(let a), .optionalDoubleArray(let b)): a == b
        case (.optionalInt64Array(let a), .optionalInt64Array(let b)): a == b
        case (.binary(let a, let type), .binary(let b, let other)): type == other && a == b
        default: false
        }
    }
}

extension String {
    /// Whether both are the same bytes of UTF-8.
    package func isSame(as other: String) -> Bool {
        if utf8.count != other.utf8.count { return false }
        var (text, other) = (self, other)
        return text.withUTF8 { text in
            other.withUTF8 { text.isEmpty || memcmp(text.baseAddress!, $0.baseAddress!, text.count) == 0 }
        }
    }
}

extension Parameter: ExpressibleByStringLiteral, ExpressibleByIntegerLiteral, ExpressibleByFloatLiteral,
    ExpressibleByBooleanLiteral, ExpressibleByNilLiteral
{
    package init(stringLiteral value: String) { self = .text(value) }
    package init(integerLiteral value: Int64) { self = .int64(value) }
    package init(floatLiteral value: Double) { self = .double(value) }
    package init(booleanLiteral value: Bool) { self = .bool(value) }
    package init(nilLiteral: ()) { self = .null }
}

/// The parameters of one statement in the five parallel arrays that libpq wants. Kept and refilled, so that a busy
/// connection does not allocate for it.
struct ParameterBuffer: ~Copyable {
    private(set) var types: [UInt32] = []
    private(set) var lengths: [Int32] = []
    private(set) var formats: [Int32] = []
    private var offsets: [Int] = []
    private var bytes = BinaryBuffer()
    private var pointers: [UnsafePointer<CChar>?] = []

    var count: Int { types.count }

    func isNull(_ index: Int) -> Bool { offsets[index] < 0 }

    /// Replaces the content. Throws kind `.usage` for more than 65535 parameters (a 16-bit count on the wire) or a
    /// text with a zero byte, which C strings and PostgreSQL's text both cannot hold.
    mutating func encode(_ parameters: [Parameter]) throws(PostgresError) {
        if parameters.count > 65535 { throw PostgresError(.usage, "more than 65535 parameters") }
        types.removeAll(keepingCapacity: true)
        lengths.removeAll(keepingCapacity: true)
        formats.removeAll(keepingCapacity: true)
        offsets.removeAll(keepingCapacity: true)
        bytes.removeAll()
        for (index, parameter) in parameters.enumerated() {
            let start = bytes.count
            bytes.append(parameter)
            let length = bytes.count - start
            types.append(parameter.type.rawValue)
            offsets.append(parameter.isNull ? -1 : start)
            lengths.append(Int32(clamping: length))
            if case .text(let text, _) = parameter {
                if text.utf8.contains(0) { throw PostgresError(.usage, "parameter \(index + 1) contains a zero byte") }
                formats.append(WireFormat.text.rawValue)
                bytes.append(byte: 0)
            } else {
                formats.append(WireFormat.binary.rawValue)
            }
        }
    }

    /// Calls `body` with the arrays in the order of `PQsendQueryParams`: types, values, lengths, formats.
    mutating func withArrays<T>(
        _ body: (
            UnsafePointer<UInt32>?, UnsafePointer<UnsafePointer<CChar>?>?, UnsafePointer<Int32>?, UnsafePointer<Int32>?
        ) -> T
    ) -> T {
        pointers.removeAll(keepingCapacity: true)
        return bytes.withUnsafeBytes { buffer in
            let base = buffer.baseAddress?.assumingMemoryBound(to: CChar.self)
            // An empty value still needs an address: a null pointer means NULL.
            for offset in offsets { pointers.append(offset < 0 ? nil : base! + offset) }
            return types.withUnsafeBufferPointer { types in
                pointers.withUnsafeBufferPointer { values in
                    lengths.withUnsafeBufferPointer { lengths in
                        formats.withUnsafeBufferPointer { formats in
                            body(types.baseAddress, values.baseAddress, lengths.baseAddress, formats.baseAddress)
                        }
                    }
                }
            }
        }
    }
}

extension BinaryBuffer {
    /// Appends the value's bytes without a length; nothing for NULL.
    fileprivate mutating func append(_ parameter: Parameter) {
        switch parameter {
        case .null: reserve(1)
        case .text(let text, _): append(utf8: text)
        case .bool(let value): append(byte: value ? 1 : 0)
        case .int64(let value): append(bigEndian: value)
        case .double(let value): append(bigEndian: value.bitPattern)
        case .bytes(let value), .binary(let value, _): append(value)
        case .timestamp(let value): append(bigEndian: postgresTimestamp(value))
        case .int64Array(let values): append(array: values, of: .int8) { $0.appendField($1) }
        case .doubleArray(let values): append(array: values, of: .float8) { $0.appendField($1.bitPattern) }
        case .timestampArray(let values):
            append(array: values, of: .timestamptz) { $0.appendField(postgresTimestamp($1)) }
        case .textArray(let values): append(array: values, of: .text) { $0.appendField(utf8: $1) }
        case .optionalTextArray(let values):
            append(array: values, of: .text) { buffer, value in
                if let value { buffer.appendField(utf8: value) } else { buffer.appendNullField() }
            }
        case .optionalDoubleArray(let values):
            append(array: values, of: .float8) { buffer, value in
                if let value { buffer.appendField(value.bitPattern) } else { buffer.appendNullField() }
            }
        case .optionalInt64Array(let values):
            append(array: values, of: .int8) { buffer, value in
                if let value { buffer.appendField(value) } else { buffer.appendNullField() }
            }
        }
    }

    /// A one-dimensional array as `array_recv` reads it: dimensions, has-null flag, element type, then length and
    /// lower bound (1) of the dimension, then the elements as length and bytes. No elements means no dimensions.
    mutating func append<Element>(
        array: [Element], of type: TypeOID, appendElement: (inout BinaryBuffer, Element) -> Void
    ) {
        append(bigEndian: array.isEmpty ? Int32(0) : 1)
        // The flag is a hint that array_recv ignores in favour of the elements' own lengths.
        append(bigEndian: Int32(1))
        append(bigEndian: type.rawValue)
        if array.isEmpty { return }
        append(bigEndian: Int32(array.count))
        append(bigEndian: Int32(1))
        for element in array { appendElement(&self, element) }
    }
}
