// SPDX-License-Identifier: Apache-2.0
// The types that a Trino client is told, and which of them a PostgreSQL type is. Pure.

import Postgres
import TrinoSQL

/// A type of Trino's (Trino docs, "Data types"), as far as values of PostgreSQL have one.
enum TrinoType: Equatable, Sendable {
    case boolean, smallint, integer, bigint, real, double
    case decimal(precision: Int, scale: Int)
    /// Nil for any length.
    case varchar(Int?)
    case char(Int)
    case varbinary, date, json, uuid, ipaddress
    case intervalDayToSecond, intervalYearToMonth
    /// With digits of the second's fraction.
    case time(Int), timeWithTimeZone(Int), timestamp(Int), timestampWithTimeZone(Int)
    indirect case array(TrinoType)
    indirect case row([Field])

    /// A field of a row; a row of no declared type has fields without names.
    struct Field: Equatable, Sendable {
        var name: String?
        var type: TrinoType
    }

    /// How the type is spelled for one client.
    struct Dialect: Equatable, Sendable {
        /// Which names the kinds of a signature's arguments have: Presto's, and Trino's before version 321, differ.
        var flavour: TrinoFlavour
        /// Whether the client knows types of time with a precision (`PARAMETRIC_DATETIME`); else they are of three
        /// digits and say nothing of it.
        var parametricDatetime: Bool
    }

    /// Digits after the decimal point that a `numeric` of no declared scale is said to have.
    static let undeclaredScale = 18

    /// The type as SQL spells it.
    func text(_ dialect: Dialect) -> String {
        switch self {
        case .decimal(let precision, let scale): "decimal(\(precision),\(scale))"
        case .varchar(let length?): "varchar(\(length))"
        case .char(let length): "char(\(length))"
        case .time(let digits): dialect.parametricDatetime ? "time(\(digits))" : "time"
        case .timestamp(let digits): dialect.parametricDatetime ? "timestamp(\(digits))" : "timestamp"
        case .timeWithTimeZone(let digits):
            dialect.parametricDatetime ? "time(\(digits)) with time zone" : "time with time zone"
        case .timestampWithTimeZone(let digits):
            dialect.parametricDatetime ? "timestamp(\(digits)) with time zone" : "timestamp with time zone"
        case .array(let element): "array(\(element.text(dialect)))"
        case .row(let fields):
            "row("
                + fields.map { field in
                    (field.name.map { Self.quotedIfNeeded($0) + " " } ?? "") + field.type.text(dialect)
                }.joined(separator: ", ") + ")"
        default: "\(rawType)"
        }
    }

    private static func quotedIfNeeded(_ name: String) -> String {
        let isPlain =
            name.utf8.first.map { !(0x30...0x39).contains($0) } ?? false
            && name.utf8.allSatisfy {
                (0x61...0x7A).contains($0) || (0x30...0x39).contains($0) || $0 == UInt8(ascii: "_")
            }
        return isPlain
            ? name
            : "\"" + name.split(separator: "\"", omittingEmptySubsequences: false).joined(separator: "\"\"") + "\""
    }

    /// The type without its arguments.
    var rawType: StaticString {
        switch self {
        case .boolean: "boolean"
        case .smallint: "smallint"
        case .integer: "integer"
        case .bigint: "bigint"
        case .real: "real"
        case .double: "double"
        case .decimal: "decimal"
        case .varchar: "varchar"
        case .char: "char"
        case .varbinary: "varbinary"
        case .date: "date"
        case .json: "json"
        case .uuid: "uuid"
        case .ipaddress: "ipaddress"
        case .intervalDayToSecond: "interval day to second"
        case .intervalYearToMonth: "interval year to month"
        case .time: "time"
        case .timeWithTimeZone: "time with time zone"
        case .timestamp: "timestamp"
        case .timestampWithTimeZone: "timestamp with time zone"
        case .array: "array"
        case .row: "row"
        }
    }
}

extension TrinoType {
    /// Bytes of a value, as DESCRIBE OUTPUT tells them; 0 for those of any length.
    var size: Int {
        switch self {
        case .boolean: 1
        case .smallint: 2
        case .integer, .real, .date, .intervalYearToMonth: 4
        case .bigint, .double, .time, .timestamp, .intervalDayToSecond: 8
        case .timestampWithTimeZone(let digits): digits <= 3 ? 8 : 12
        case .decimal(let precision, _): precision <= 18 ? 8 : 16
        case .uuid, .ipaddress: 16
        default: 0
        }
    }
}

// MARK: Arrays of arrays

extension TrinoType {
    /// How many arrays stand in one another.
    var depth: Int {
        if case .array(let element) = self { element.depth + 1 } else { 0 }
    }

    /// Dimensions of an array as PostgreSQL writes it; nil for NULL, and for an empty array, which may have any.
    static func depth(ofArray text: UnsafeRawBufferPointer?) -> Int? {
        guard let text else { return nil }
        var start = 0
        // `[0:1]={…}` tells its bounds.
        if text.first == UInt8(ascii: "[") { start = (text.firstIndex(of: UInt8(ascii: "=")) ?? -1) + 1 }
        var end = start
        while end < text.count, text[end] == UInt8(ascii: "{") { end += 1 }
        if end < text.count, text[end] == UInt8(ascii: "}") { return nil }
        return end - start
    }

    /// Makes an array one of arrays, as a value of the column is one: PostgreSQL has the same type for both.
    mutating func nest(as text: UnsafeRawBufferPointer?) {
        guard depth > 0, let wanted = Self.depth(ofArray: text) else { return }
        while depth < wanted { self = .array(self) }
    }
}

// MARK: Signatures

extension TrinoType {
    /// The length that stands for any in a signature of `varchar`.
    private static let unboundedLength = 2_147_483_647

    /// Appends the `typeSignature` of a column: `{"rawType":"decimal","arguments":[{"kind":"LONG","value":12},…]}`.
    func appendSignature(_ dialect: Dialect, to json: inout [UInt8]) {
        json.appendText("{\"rawType\":\"")
        json.appendText(rawType)
        json.appendText("\",\"arguments\":[")
        switch self {
        case .decimal(let precision, let scale):
            Self.appendNumber(precision, dialect, &json)
            json.appendText(",")
            Self.appendNumber(scale, dialect, &json)
        case .varchar(let length): Self.appendNumber(length ?? Self.unboundedLength, dialect, &json)
        case .char(let length): Self.appendNumber(length, dialect, &json)
        case .time(let digits), .timeWithTimeZone(let digits), .timestamp(let digits),
            .timestampWithTimeZone(let digits):
            if dialect.parametricDatetime { Self.appendNumber(digits, dialect, &json) }
        case .array(let element):
            json.appendText(dialect.flavour == .trino ? "{\"kind\":\"TYPE\"" : "{\"kind\":\"TYPE_SIGNATURE\"")
            json.appendText(",\"value\":")
            element.appendSignature(dialect, to: &json)
            json.appendText("}")
        case .row(let fields):
            for (index, field) in fields.enumerated() {
                if index > 0 { json.appendText(",") }
                Self.appendField(field, dialect, &json)
            }
        default: break
        }
        json.appendText("]}")
    }

    private static func appendNumber(_ value: Int, _ dialect: Dialect, _ json: inout [UInt8]) {
        json.appendText(
            dialect.flavour == .trino ? "{\"kind\":\"LONG\",\"value\":" : "{\"kind\":\"LONG_LITERAL\",\"value\":")
        json.appendInteger(Int64(value))
        json.appendText("}")
    }

    private static func appendField(_ field: Field, _ dialect: Dialect, _ json: inout [UInt8]) {
        json.appendText(
            dialect.flavour == .trino
                ? "{\"kind\":\"NAMED_TYPE\",\"value\":{" : "{\"kind\":\"NAMED_TYPE_SIGNATURE\",\"value\":{")
        if let name = field.name {
            json.appendText("\"fieldName\":{\"name\":")
            json.appendJSONString(name)
            json.appendText(dialect.flavour == .trino ? "}," : ",\"delimited\":false},")
        }
        json.appendText("\"typeSignature\":")
        field.type.appendSignature(dialect, to: &json)
        json.appendText("}}")
    }
}

extension NumberType {
    /// The number that a PostgreSQL type is; nil for others, and for a `numeric` of no declared digits.
    init?(_ type: TypeOID, modifier: Int32) {
        switch type {
        case .int2: self = .integer(digits: 5)
        case .int4: self = .integer(digits: 10)
        case .int8: self = .integer(digits: 19)
        case .numeric:
            guard let digits = TrinoType.digits(ofNumeric: modifier) else { return nil }
            self = .decimal(digits)
        default: return nil
        }
    }
}

// MARK: From PostgreSQL

extension TrinoType {
    /// The type of a built-in PostgreSQL type; nil for those that only the catalogue of the database knows.
    ///
    /// - Parameter modifier: the type modifier (length of varchar plus 4, precision and scale of numeric, …), -1 for
    ///   none; of an array, its elements'.
    init?(_ type: TypeOID, modifier: Int32) {
        if let element = TypeOID.elements[type] {
            guard let element = TrinoType(element, modifier: modifier) else { return nil }
            self = .array(element)
            return
        }
        switch type {
        case .bool: self = .boolean
        case .int2: self = .smallint
        case .int4: self = .integer
        case .int8, .oid: self = .bigint
        case .float4: self = .real
        case .float8: self = .double
        case .numeric: self = Self.decimal(modifier)
        case .varchar: self = .varchar(modifier >= 4 ? Int(modifier) - 4 : nil)
        // What has no length is not padded either.
        case .bpchar: self = modifier >= 4 ? .char(Int(modifier) - 4) : .varchar(nil)
        case .bytea: self = .varbinary
        case .date: self = .date
        case .time: self = .time(Self.digits(modifier))
        case .timestamp: self = .timestamp(Self.digits(modifier))
        case .timestamptz: self = .timestampWithTimeZone(Self.digits(modifier))
        case .interval: self = Self.isOfMonths(modifier) ? .intervalYearToMonth : .intervalDayToSecond
        case .json, .jsonb: self = .json
        case .uuid: self = .uuid
        case .text, .name, .char, .xml, .unknown: self = .varchar(nil)
        default:
            switch type.rawValue {
            case 869: self = .ipaddress  // inet
            case 1266: self = .timeWithTimeZone(Self.digits(modifier))  // timetz
            default:
                guard Self.texts.contains(type.rawValue) else { return nil }
                self = .varchar(nil)
            }
        }
    }

    /// Built-in types that Trino has no equivalent of; their PostgreSQL text is what clients get.
    private static let texts: Set<UInt32> = [
        22, 24, 27, 28, 29, 30, 600, 601, 602, 603, 604, 628, 650, 718, 774, 790, 829, 1033, 1560, 1562, 1790, 2202,
        2203, 2204, 2205, 2206, 2275, 2970, 3220, 3614, 3615, 3734, 3769, 3904, 3906, 3908, 3910, 3912, 3926,
        4072, 4089, 4096, 4191, 4451, 4532, 4533, 4534, 4535, 4536, 5069,
    ]

    /// Precision and scale of a `numeric` stand in the halves of its modifier (src/backend/utils/adt/numeric.c).
    private static func decimal(_ modifier: Int32) -> TrinoType {
        guard modifier >= 4 else { return .decimal(precision: 38, scale: undeclaredScale) }
        let precision = Int((modifier - 4) >> 16 & 0xFFFF)
        // Eleven bits with a sign since PostgreSQL 15; a negative scale has no fraction.
        let scale = Int(((modifier - 4) & 0x7FF) ^ 1024) - 1024
        return .decimal(precision: min(38, max(precision, scale)), scale: min(38, max(0, scale)))
    }

    /// Precision and scale of a `numeric` that was declared with some.
    static func digits(ofNumeric modifier: Int32) -> DecimalDigits? {
        guard modifier >= 4, case .decimal(let precision, let scale) = decimal(modifier) else { return nil }
        return DecimalDigits(precision, scale)
    }

    /// Which fields an `interval` was declared with stands in the upper half of its modifier, a bit for each of month (2)
    /// and year (4) (src/include/utils/timestamp.h, INTERVAL_RANGE).
    private static func isOfMonths(_ modifier: Int32) -> Bool {
        let fields = modifier >> 16 & 0x7FFF
        return modifier >= 0 && fields != 0 && fields & ~6 == 0
    }

    /// PostgreSQL keeps microseconds unless a column says less.
    private static func digits(_ modifier: Int32) -> Int { (0...6).contains(modifier) ? Int(modifier) : 6 }
}
