// SPDX-License-Identifier: Apache-2.0

import Postgres
import Testing

@testable import QueryServer

/// A row of text values.
private struct TextRow: Cells {
    let storage: [UnsafeRawBufferPointer?]

    init(_ values: [String?]) {
        storage = values.map { value in
            guard let value else { return nil }
            let copy = UnsafeMutableRawBufferPointer.allocate(byteCount: value.utf8.count, alignment: 1)
            copy.copyBytes(from: value.utf8)
            return UnsafeRawBufferPointer(copy)
        }
    }

    func free() { for value in storage { value?.deallocate() } }

    func cell(_ column: Int) -> UnsafeRawBufferPointer? { storage[column] }
}

private func safeJSON(_ text: String, _ type: TypeOID) -> String {
    let row = TextRow([text])
    defer { row.free() }
    var bytes: [UInt8] = []
    bytes.appendJSON(row.cell(0), as: .safe(ResultTypes()[type]))
    return String(decoding: bytes, as: UTF8.self)
}

private func json(_ text: String?, _ type: TypeOID, bigintAsString: Bool = false) -> String {
    let row = TextRow([text])
    defer { row.free() }
    var bytes: [UInt8] = []
    bytes.appendJSON(row.cell(0), as: ValueForm(ResultTypes()[type], bigintAsString: bigintAsString))
    return String(decoding: bytes, as: UTF8.self)
}

private func csv(_ text: String?, _ type: TypeOID) -> String {
    let row = TextRow([text])
    defer { row.free() }
    var bytes: [UInt8] = []
    bytes.appendCSV(row.cell(0), as: ValueForm(ResultTypes()[type]))
    return String(decoding: bytes, as: UTF8.self)
}

@Suite struct EncodingTests {
    @Test(arguments: [
        ("9007199254740992", TypeOID.int8, "9007199254740992"), ("-9007199254740993", .int8, "\"-9007199254740993\""),
        ("9007199254740992.5", .numeric, "9007199254740992.5"),
        ("-9007199254740993.0", .numeric, "\"-9007199254740993.0\""),
        ("99999999999999999999999", .numeric, "\"99999999999999999999999\""),
        ("0.12345678901234567890", .numeric, "0.12345678901234567890"), ("NaN", .numeric, "null"),
        ("-Infinity", .numeric, "null"), ("1e+300", .float8, "1e+300"),
        ("{1,NULL,9007199254740993}", TypeOID(rawValue: 1016), "[1,null,\"9007199254740993\"]"),
        ("{1.5,9007199254740993}", TypeOID(rawValue: 1231), "[1.5,\"9007199254740993\"]"),
    ])
    func `what doubles cannot hold is a string where readers have nothing else`(
        _ text: String, _ type: TypeOID, _ expected: String
    ) {
        #expect(safeJSON(text, type) == expected)
    }

    @Test(arguments: [
        ("42", TypeOID.int2, "42"), ("-7", .int4, "-7"), ("9223372036854775807", .int8, "9223372036854775807"),
        ("1.5", .float8, "1.5"), ("1e-07", .float8, "1e-07"), ("-0", .float8, "-0"), ("NaN", .float8, "null"),
        ("Infinity", .float4, "null"), ("-Infinity", .float8, "null"), ("1.50", .numeric, "1.50"),
        ("NaN", .numeric, "null"),
        ("t", .bool, "true"), ("f", .bool, "false"),
        ("2013-01-01 00:04:19.486096+00", .timestamptz, "\"2013-01-01T00:04:19.486096Z\""),
        ("2013-01-01 00:04:19+00", .timestamptz, "\"2013-01-01T00:04:19Z\""),
        ("2013-01-01 00:04:19+05:30", .timestamptz, "\"2013-01-01T00:04:19+05:30\""),
        ("2013-01-01 00:04:19-08", .timestamptz, "\"2013-01-01T00:04:19-08:00\""),
        ("infinity", .timestamptz, "\"infinity\""),
        ("0044-03-15 00:00:00+00 BC", .timestamptz, "\"0044-03-15 00:00:00+00 BC\""),
        ("2013-01-01 00:04:19.5", .timestamp, "\"2013-01-01T00:04:19.5\""), ("2013-01-01", .date, "\"2013-01-01\""),
        ("{\"a\":\n1}", .json, "{\"a\": 1}"), ("\\x00ff", .bytea, "\"\\\\x00ff\""),
        ("1 day 02:00:00", .interval, "\"1 day 02:00:00\""), ("", .text, "\"\""),
        ("a\"b\\c\n\t\u{1}é😀", .text, "\"a\\\"b\\\\c\\n\\t\\u0001é😀\""),
    ])
    func `a value becomes the JSON of its type`(_ text: String, _ type: TypeOID, _ expected: String) {
        #expect(json(text, type) == expected)
    }

    @Test func `null is null in JSON and nothing in CSV`() {
        #expect(json(nil, .int4) == "null")
        #expect(csv(nil, .text) == "")
        #expect(csv("", .text) == "\"\"")
    }

    @Test func `bigints are strings if asked for`() {
        #expect(json("9007199254740993", .int8, bigintAsString: true) == "\"9007199254740993\"")
        #expect(json("{1,NULL}", .int8Array, bigintAsString: true) == "[\"1\",null]")
        #expect(json("7", .int4, bigintAsString: true) == "7")
        // What sums of them are.
        #expect(json("9007199254740993", .numeric, bigintAsString: true) == "\"9007199254740993\"")
        #expect(json("-9007199254740993", .numeric, bigintAsString: true) == "\"-9007199254740993\"")
        #expect(json("9007199254740992", .numeric, bigintAsString: true) == "9007199254740992")
        #expect(json("9007199254740993", .numeric) == "9007199254740993")
    }

    @Test(arguments: [
        ("{}", TypeOID.textArray, "[]"),
        ("{a,\"b c\",NULL,\"NULL\",\"\"}", .textArray, "[\"a\",\"b c\",null,\"NULL\",\"\"]"),
        ("{\"q\\\"\\\\{},\"}", .textArray, "[\"q\\\"\\\\{},\"]"), ("{{1,2},{3,NULL}}", .int4Array, "[[1,2],[3,null]]"),
        ("[0:1]={1.5,NaN}", .float8Array, "[1.5,null]"), ("{t,f}", .boolArray, "[true,false]"),
        ("{\"2013-01-01 00:00:00+00\"}", .timestamptzArray, "[\"2013-01-01T00:00:00Z\"]"),
        ("{\"{\\\"a\\\": 1}\"}", TypeOID(rawValue: 3807), "[{\"a\": 1}]"),
    ])
    func `arrays become JSON arrays`(_ text: String, _ type: TypeOID, _ expected: String) {
        #expect(json(text, type) == expected)
    }

    @Test(arguments: [
        ("plain", TypeOID.text, "plain"), ("a,b", .text, "\"a,b\""), ("say \"x\"", .text, "\"say \"\"x\"\"\""),
        ("a\nb", .text, "\"a\nb\""), ("t", .bool, "true"), ("NaN", .float8, "NaN"),
        ("2013-01-01 00:04:19.5+00", .timestamptz, "2013-01-01T00:04:19.5Z"), ("{1,2}", .int4Array, "\"{1,2}\""),
        ("{\"a\": 1}", .jsonb, "\"{\"\"a\"\": 1}\""),
    ])
    func `a value becomes the CSV field of its type`(_ text: String, _ type: TypeOID, _ expected: String) {
        #expect(csv(text, type) == expected)
    }

    @Test func `times become milliseconds, rounded down`() {
        func milliseconds(_ text: String) -> String {
            let row = TextRow([text])
            defer { row.free() }
            var bytes: [UInt8] = []
            bytes.appendJSON(row.cell(0), as: .scalar(.milliseconds))
            return String(decoding: bytes, as: UTF8.self)
        }
        #expect(milliseconds("2013-01-01 00:04:19.486996+00") == "1356998659486")
        #expect(milliseconds("1969-12-31 23:59:59.9999+00") == "-1")
        #expect(milliseconds("infinity") == "null")
    }

    @Test func `rows take the shape of their layout`() {
        let columns = [
            RowEncoder.Column(name: "n", form: .scalar(.integer)), .init(name: "a \"b\"", form: .scalar(.text)),
        ]
        let row = TextRow(["1", "x,y"])
        defer { row.free() }
        func encoded(_ layout: RowEncoder.Layout, _ columns: [RowEncoder.Column]) -> String {
            var bytes: [UInt8] = []
            let encoder = RowEncoder(columns, layout: layout)
            if layout == .csv { encoder.appendCSVHeader(to: &bytes) }
            encoder.append(row, to: &bytes)
            return String(decoding: bytes, as: UTF8.self)
        }
        #expect(encoded(.array, columns) == "[1,\"x,y\"]")
        #expect(encoded(.object, columns) == "{\"n\":1,\"a \\\"b\\\"\":\"x,y\"}")
        #expect(encoded(.csv, columns) == "n,\"a \"\"b\"\"\"\n1,\"x,y\"\n")
        #expect(encoded(.array, []) == "[]")
        #expect(encoded(.object, []) == "{}")
    }
}
