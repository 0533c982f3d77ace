// SPDX-License-Identifier: Apache-2.0

import Postgres
import Testing

@testable import QueryServer

private let trino = TrinoType.Dialect(flavour: .trino, parametricDatetime: true)
private let presto = TrinoType.Dialect(flavour: .presto, parametricDatetime: false)

private func value(_ text: String?, _ type: TrinoType, parametric: Bool = true, isUTC: Bool = true) -> String {
    var json: [UInt8] = []
    let form = TrinoForm(type, parametricDatetime: parametric, isUTC: isUTC)
    guard var text else {
        json.appendTrino(nil, as: form)
        return String(decoding: json, as: UTF8.self)
    }
    text.withUTF8 { json.appendTrino(UnsafeRawBufferPointer($0), as: form) }
    return String(decoding: json, as: UTF8.self)
}

private func signature(_ type: TrinoType, _ dialect: TrinoType.Dialect) -> String {
    var json: [UInt8] = []
    type.appendSignature(dialect, to: &json)
    return String(decoding: json, as: UTF8.self)
}

@Suite struct TrinoValueTests {
    @Test(arguments: [
        ("t", TrinoType.boolean, "true"), ("f", .boolean, "false"), ("-7", .smallint, "-7"),
        ("9223372036854775807", .bigint, "9223372036854775807"),
        ("1", .double, "1.0"), ("-0", .double, "-0.0"), ("1.5", .real, "1.5"), ("1e+20", .double, "1e+20"),
        ("1e-07", .double, "1e-07"), ("123456789012345680000", .double, "123456789012345680000.0"),
        ("NaN", .double, "\"NaN\""), ("Infinity", .real, "\"Infinity\""), ("-Infinity", .double, "\"-Infinity\""),
        ("1.20", .decimal(precision: 12, scale: 2), "\"1.20\""), ("a\"b\n", .varchar(nil), "\"a\\\"b\\n\""),
        ("ab  ", .char(4), "\"ab  \""), ("{\"a\": 1}", .json, "\"{\\\"a\\\": 1}\""),
        ("2024-02-29", .date, "\"2024-02-29\""), ("10.0.0.1", .ipaddress, "\"10.0.0.1\""),
        ("\\x", .varbinary, "\"\""), ("\\x00", .varbinary, "\"AA==\""), ("\\x00ff", .varbinary, "\"AP8=\""),
        ("\\x01ff7E", .varbinary, "\"Af9+\""), ("\\xfbefbeff", .varbinary, "\"++++/w==\""),
    ])
    func `a value has the shape of its type`(_ text: String, _ type: TrinoType, _ expected: String) {
        #expect(value(text, type) == expected)
        #expect(value(nil, type) == "null")
    }

    @Test(arguments: [
        ("23:59:59.123456", TrinoType.time(6), "\"23:59:59.123456\"", "\"23:59:59.123\""),
        ("23:59:59", .time(6), "\"23:59:59.000000\"", "\"23:59:59.000\""),
        ("23:59:59", .time(0), "\"23:59:59\"", "\"23:59:59.000\""),
        ("23:59:59.5+05:30", .timeWithTimeZone(3), "\"23:59:59.500+05:30\"", "\"23:59:59.500+05:30\""),
        ("23:59:59-08", .timeWithTimeZone(0), "\"23:59:59-08:00\"", "\"23:59:59.000-08:00\""),
        ("2024-02-29 23:59:59.999999", .timestamp(6), "\"2024-02-29 23:59:59.999999\"", "\"2024-02-29 23:59:59.999\""),
        ("2024-02-29 23:59:59", .timestamp(6), "\"2024-02-29 23:59:59.000000\"", "\"2024-02-29 23:59:59.000\""),
        ("2024-02-29 23:59:59.5", .timestamp(1), "\"2024-02-29 23:59:59.5\"", "\"2024-02-29 23:59:59.500\""),
        ("infinity", .timestamp(6), "null", "null"), ("-infinity", .timestampWithTimeZone(6), "null", "null"),
        (
            "0044-03-15 00:00:00 BC", .timestamp(6), "\"-0043-03-15 00:00:00.000000\"", "\"-0043-03-15 00:00:00.000\""
        ),
        (
            "0001-12-31 23:00:00.25 BC", .timestamp(6), "\"0000-12-31 23:00:00.250000\"", "\"0000-12-31 23:00:00.250\""
        ),
        (
            "10000-01-01 12:00:00+00", .timestampWithTimeZone(3), "\"+10000-01-01 12:00:00.000 UTC\"",
            "\"+10000-01-01 12:00:00.000 UTC\""
        ),
        (
            "0981-07-01 12:00:00.5+00 BC", .timestampWithTimeZone(6), "\"-0980-07-01 12:00:00.500000 UTC\"",
            "\"-0980-07-01 12:00:00.500 UTC\""
        ),
        (
            "2024-02-29 23:59:59.5+00", .timestampWithTimeZone(6), "\"2024-02-29 23:59:59.500000 UTC\"",
            "\"2024-02-29 23:59:59.500 UTC\""
        ),
    ])
    func `times have the digits that the client knows`(
        _ text: String, _ type: TrinoType, _ parametric: String, _ plain: String
    ) {
        #expect(value(text, type) == parametric)
        #expect(value(text, type, parametric: false) == plain)
    }

    @Test func `outside UTC a time carries its offset`() {
        #expect(
            value("2024-07-01 12:00:00+02", .timestampWithTimeZone(3), isUTC: false)
                == "\"2024-07-01 12:00:00.000 +02:00\"")
        #expect(
            value("2024-07-01 12:00:00.25-03:30", .timestampWithTimeZone(3), isUTC: false)
                == "\"2024-07-01 12:00:00.250 -03:30\"")
    }

    @Test(arguments: [
        ("1.20", 2, "1.20"), ("3.375", 18, "3.375000000000000000"), ("7", 3, "7.000"), ("7", 0, "7"),
        ("-0.5", 0, "-1"), ("0.5", 0, "1"), ("-0.4", 0, "0"), ("0.33333333333333333333", 18, "0.333333333333333333"),
        ("0.66666666666666666667", 18, "0.666666666666666667"), ("9.999", 2, "10.00"), ("-99.995", 2, "-100.00"),
        ("-0.001", 2, "0.00"), ("12.3449", 2, "12.34"), ("-12.345", 2, "-12.35"),
        ("123456789012345678901234567890.12", 2, "123456789012345678901234567890.12"),
    ])
    func `a decimal has the digits of its type`(_ text: String, _ scale: Int, _ expected: String) {
        #expect(value(text, .decimal(precision: 38, scale: scale)) == "\"\(expected)\"")
    }

    @Test func `what a type of Trino's does not have is NULL`() {
        for text in ["NaN", "Infinity", "-Infinity"] {
            #expect(value(text, .decimal(precision: 38, scale: 18)) == "null")
        }
        #expect(value("infinity", .date) == "null" && value("-infinity", .date) == "null")
        #expect(value("{infinity,2024-02-29}", .array(.date)) == "[null,\"2024-02-29\"]")
    }

    @Test(arguments: [
        ("0044-03-15 BC", "-0043-03-15"), ("0001-01-01 BC", "0000-01-01"), ("0001-01-01", "0001-01-01"),
        ("10000-12-31", "+10000-12-31"), ("4713-01-01 BC", "-4712-01-01"), ("294276-12-31", "+294276-12-31"),
    ])
    func `years before 1 and after 9999 have a sign`(_ text: String, _ expected: String) {
        #expect(value(text, .date) == "\"\(expected)\"")
    }

    @Test(arguments: [
        ("00:00:00", "0 00:00:00.000"), ("1 day 02:03:04.005", "1 02:03:04.005"), ("-04:05:06.7", "-0 04:05:06.700"),
        ("-1 days +02:03:04", "-0 21:56:56.000"), ("1 year 2 mons 3 days", "423 00:00:00.000"),
        ("100:00:00.123456", "4 04:00:00.123"), ("-2 days", "-2 00:00:00.000"),
    ])
    func `an interval has one sign`(_ text: String, _ expected: String) {
        #expect(value(text, .intervalDayToSecond) == "\"\(expected)\"")
    }

    @Test(arguments: [
        ("3 years", "3-0"), ("1 mon", "0-1"), ("-1 years -2 mons", "-1-2"), ("00:00:00", "0-0"),
    ])
    func `an interval of months is years and months`(_ text: String, _ expected: String) {
        #expect(value(text, .intervalYearToMonth) == "\"\(expected)\"")
    }

    @Test(arguments: [
        ("{1,NULL,3}", TrinoType.array(.integer), "[1,null,3]"), ("{}", .array(.bigint), "[]"),
        ("{1,0.5,NaN}", .array(.double), "[1.0,0.5,\"NaN\"]"),
        (#"{a,"b c","NULL",NULL,"q\"\\",""}"#, .array(.varchar(nil)), #"["a","b c","NULL",null,"q\"\\",""]"#),
        ("[0:1]={7,8}", .array(.smallint), "[7,8]"), ("{{1,2},{3,4}}", .array(.integer), "[[1,2],[3,4]]"),
        (#"{"\\x00ff"}"#, .array(.varbinary), "[\"AP8=\"]"),
        (#"{"2024-02-29 23:59:59"}"#, .array(.timestamp(3)), "[\"2024-02-29 23:59:59.000\"]"),
        (
            #"(1,"a ""b""",,t)"#,
            .row([
                .init(name: "n", type: .integer), .init(name: "s", type: .varchar(nil)),
                .init(name: "d", type: .double), .init(name: "b", type: .boolean),
            ]), #"[1,"a \"b\"",null,true]"#
        ),
        (
            #"("",x)"#, .row([.init(name: "a", type: .varchar(nil)), .init(name: "b", type: .varchar(nil))]),
            #"["","x"]"#
        ),
        (
            #"("""",)"#, .row([.init(name: "a", type: .varchar(nil)), .init(name: "b", type: .integer)]),
            #"["\"",null]"#
        ),
        (
            #"{"(1,x)","(2,\"y z\")"}"#,
            .array(.row([.init(name: "n", type: .bigint), .init(name: "s", type: .varchar(nil))])),
            #"[[1,"x"],[2,"y z"]]"#
        ),
        (#"("{1,2}")"#, .row([.init(name: "a", type: .array(.integer))]), "[[1,2]]"),
        ("()", .row([.init(name: "a", type: .integer)]), "[null]"),
    ])
    func `arrays and rows are arrays`(_ text: String, _ type: TrinoType, _ expected: String) {
        #expect(value(text, type) == expected)
    }
}

@Suite struct TrinoTypeTests {
    @Test(
        arguments: [
            (TypeOID.bool, -1, "boolean", "boolean"), (.int2, -1, "smallint", "smallint"),
            (.int4, -1, "integer", "integer"), (.int8, -1, "bigint", "bigint"), (.oid, -1, "bigint", "bigint"),
            (.float4, -1, "real", "real"), (.float8, -1, "double", "double"), (.text, -1, "varchar", "varchar"),
            (.varchar, 24, "varchar(20)", "varchar(20)"), (.varchar, -1, "varchar", "varchar"),
            (.bpchar, 9, "char(5)", "char(5)"), (.bpchar, -1, "varchar", "varchar"),
            (.numeric, 12 << 16 | 2 + 4, "decimal(12,2)", "decimal(12,2)"),
            (.numeric, 5 << 16 | 0x7FE + 4, "decimal(5,0)", "decimal(5,0)"),
            (.numeric, -1, "decimal(38,18)", "decimal(38,18)"), (.bytea, -1, "varbinary", "varbinary"),
            (.date, -1, "date", "date"), (.time, -1, "time(6)", "time"), (.timestamp, 3, "timestamp(3)", "timestamp"),
            (.timestamptz, -1, "timestamp(6) with time zone", "timestamp with time zone"),
            (TypeOID(rawValue: 1266), 0, "time(0) with time zone", "time with time zone"),
            (.interval, -1, "interval day to second", "interval day to second"),
            (.interval, 0x0004_FFFF, "interval year to month", "interval year to month"),
            (.interval, 0x0006_FFFF, "interval year to month", "interval year to month"),
            (.interval, 0x0008_FFFF, "interval day to second", "interval day to second"), (.jsonb, -1, "json", "json"),
            (.uuid, -1, "uuid", "uuid"), (TypeOID(rawValue: 869), -1, "ipaddress", "ipaddress"),
            (.textArray, -1, "array(varchar)", "array(varchar)"),
            (TypeOID(rawValue: 1015), 14, "array(varchar(10))", "array(varchar(10))"),
            (TypeOID(rawValue: 790), -1, "varchar", "varchar"),
        ] as [(TypeOID, Int, String, String)])
    func `a PostgreSQL type is one of Trino's`(_ oid: TypeOID, _ modifier: Int, _ text: String, _ plain: String) {
        let type = TrinoType(oid, modifier: Int32(modifier))
        #expect(type?.text(trino) == text)
        #expect(type?.text(presto) == plain)
    }

    @Test func `what only the catalogue knows is not guessed`() {
        #expect(TrinoType(TypeOID(rawValue: 16_400), modifier: -1) == nil)
    }

    @Test func `signatures are whole`() {
        #expect(
            signature(.decimal(precision: 12, scale: 2), trino)
                == #"{"rawType":"decimal","arguments":[{"kind":"LONG","value":12},{"kind":"LONG","value":2}]}"#)
        #expect(
            signature(.varchar(nil), presto)
                == #"{"rawType":"varchar","arguments":[{"kind":"LONG_LITERAL","value":2147483647}]}"#)
        #expect(signature(.bigint, trino) == #"{"rawType":"bigint","arguments":[]}"#)
        #expect(signature(.timestamp(6), presto) == #"{"rawType":"timestamp","arguments":[]}"#)
        #expect(
            signature(.timestampWithTimeZone(6), trino)
                == #"{"rawType":"timestamp with time zone","arguments":[{"kind":"LONG","value":6}]}"#)
        #expect(
            signature(.array(.row([.init(name: "x", type: .integer)])), trino)
                == #"{"rawType":"array","arguments":[{"kind":"TYPE","value":{"rawType":"row","arguments":[{"kind":"NAMED_TYPE","value":{"fieldName":{"name":"x"},"typeSignature":{"rawType":"integer","arguments":[]}}}]}}]}"#
        )
        #expect(
            signature(.row([.init(name: "x", type: .date)]), presto)
                == #"{"rawType":"row","arguments":[{"kind":"NAMED_TYPE_SIGNATURE","value":{"fieldName":{"name":"x","delimited":false},"typeSignature":{"rawType":"date","arguments":[]}}}]}"#
        )
        #expect(
            TrinoType.row([.init(name: "x", type: .integer), .init(name: "Odd \"one", type: .time(3))]).text(trino)
                == #"row(x integer, "Odd ""one" time(3))"#)
    }
}
