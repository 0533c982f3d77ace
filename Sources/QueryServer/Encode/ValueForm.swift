// SPDX-License-Identifier: Apache-2.0
// Which shape a PostgreSQL type takes in JSON and CSV.

import Postgres

/// How the text of a single value is written.
enum ScalarForm: UInt8, Sendable {
    /// A number that every JSON reader takes: int2, int4, oid, and int8 with all its digits.
    case integer
    /// An integer that may be beyond 2^53, where JSON numbers lose digits in most readers: a string there.
    case safeInteger
    /// float4, float8, numeric: a number, or null for NaN and the infinities, which JSON has not.
    case number
    /// numeric: the same, but a string where its whole part is beyond 2^53.
    case safeNumber
    case bool
    /// timestamptz and timestamp: RFC 3339.
    case time
    /// The same as whole milliseconds since 1970.
    case milliseconds
    /// json, jsonb: as it is, on one line.
    case json
    /// bytea: base 64 (RFC 4648 §4).
    case base64
    /// bytea: the text that it is in UTF-8; null if it is none.
    case utf8OrNull
    /// Everything else: a string.
    case text
}

/// How a column's values are written.
enum ValueForm: Equatable, Sendable {
    case scalar(ScalarForm)
    /// An array, of any number of dimensions.
    case array(ScalarForm)

    /// - Parameter bigintAsString: for readers whose numbers are doubles (JavaScript): int8 as strings, numeric where it is
    ///   beyond 2^53, as sums of int8 may be.
    init(_ type: ResultTypes.ResultType, bigintAsString: Bool = false) {
        let form = ValueForm.scalarForm(type.element, bigintAsString)
        self = type.isArray ? .array(form) : .scalar(form)
    }

    /// For readers whose numbers are doubles: what may be beyond 2^53 is a string there, and a number else.
    static func safe(_ type: ResultTypes.ResultType) -> ValueForm {
        let form: ScalarForm =
            switch type.element {
            case .int8: .safeInteger
            case .numeric: .safeNumber
            default: scalarForm(type.element, false)
            }
        return type.isArray ? .array(form) : .scalar(form)
    }

    private static func scalarForm(_ type: TypeOID, _ bigintAsString: Bool) -> ScalarForm {
        switch type {
        case .int2, .int4, .oid: .integer
        case .int8: bigintAsString ? .text : .integer
        case .numeric: bigintAsString ? .safeNumber : .number
        case .float4, .float8: .number
        case .bool: .bool
        case .timestamptz, .timestamp: .time
        case .json, .jsonb: .json
        default: .text
        }
    }
}

extension TypeOID {
    /// The type's name in `columns`: what SQL calls it.
    var columnTypeName: String {
        if let element = Self.elements[self] { return element.columnTypeName + "[]" }
        return Self.otherNames[rawValue] ?? description
    }

    /// Whether ``columnTypeName`` is a name and no number.
    var hasName: Bool { !columnTypeName.hasPrefix("type ") }

    /// Element types of the built-in array types (src/include/catalog/pg_type.dat).
    static let elements: [TypeOID: TypeOID] = {
        let pairs: [(array: UInt32, element: UInt32)] = [
            (1000, 16), (1001, 17), (1002, 18), (1003, 19), (1016, 20), (1005, 21), (1007, 23), (1009, 25), (1028, 26),
            (199, 114), (1021, 700), (1022, 701), (1014, 1042), (1015, 1043), (1182, 1082), (1183, 1083), (1115, 1114),
            (1185, 1184), (1187, 1186), (1231, 1700), (2951, 2950), (3807, 3802), (1041, 869), (651, 650), (1270, 1266),
            (2210, 2205), (2211, 2206), (3905, 3904), (3907, 3906), (3909, 3908), (3911, 3910), (3913, 3912),
            (3927, 3926),
        ]
        var elements: [TypeOID: TypeOID] = [:]
        for pair in pairs { elements[TypeOID(rawValue: pair.array)] = TypeOID(rawValue: pair.element) }
        return elements
    }()

    private static let otherNames: [UInt32: String] = [
        27: "tid", 28: "xid", 600: "point", 650: "cidr", 790: "money", 829: "macaddr", 869: "inet", 1266: "timetz",
        1560: "bit", 1562: "bit varying", 2205: "regclass", 2206: "regtype", 2249: "record", 2278: "void",
        3614: "tsvector", 3615: "tsquery", 3904: "int4range", 3906: "numrange", 3908: "tsrange", 3910: "tstzrange",
        3912: "daterange", 3926: "int8range", 5069: "xid8",
    ]
}
