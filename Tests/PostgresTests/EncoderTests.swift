// SPDX-License-Identifier: Apache-2.0

import Testing

@testable import Postgres

struct BinaryCopyWriterTests {
    static let header: [UInt8] = [
        0x50, 0x47, 0x43, 0x4F, 0x50, 0x59, 0x0A, 0xFF, 0x0D, 0x0A, 0x00, 0, 0, 0, 0, 0, 0, 0, 0,
    ]

    /// The bytes of one row, without the stream's header.
    static func row(fields: Int, _ write: (inout BinaryCopyWriter) -> Void) -> [UInt8] {
        var writer = BinaryCopyWriter(capacity: 16)
        writer.beginRow(fields: fields)
        write(&writer)
        return Array(writer.bytes.dropFirst(header.count))
    }

    @Test func `an empty stream is header and trailer`() {
        var writer = BinaryCopyWriter()
        writer.end()
        #expect(writer.bytes == Self.header + [0xFF, 0xFF])
    }

    @Test func `integers are big-endian with their length`() {
        let bytes = Self.row(fields: 3) {
            $0.int16(0x0102)
            $0.int32(-2)
            $0.int64(0x0102_0304_0506_0708)
        }
        #expect(
            bytes == [0, 3, 0, 0, 0, 2, 1, 2, 0, 0, 0, 4, 0xFF, 0xFF, 0xFF, 0xFE, 0, 0, 0, 8, 1, 2, 3, 4, 5, 6, 7, 8])
    }

    @Test func `doubles are IEEE 754 bits`() {
        #expect(Self.row(fields: 1) { $0.double(1.5) } == [0, 1, 0, 0, 0, 8, 0x3F, 0xF8, 0, 0, 0, 0, 0, 0])
    }

    @Test func `booleans, null, text and bytea`() {
        let bytes = Self.row(fields: 5) {
            $0.bool(true)
            $0.null()
            $0.text("hé")
            $0.bytes([0, 0xFF])
            $0.text("")
        }
        #expect(
            bytes == [
                0, 5, 0, 0, 0, 1, 1, 0xFF, 0xFF, 0xFF, 0xFF, 0, 0, 0, 3, 0x68, 0xC3, 0xA9, 0, 0, 0, 2, 0, 0xFF, 0, 0, 0,
                0,
            ])
    }

    @Test func `times count from 2000 in microseconds, dates in days`() {
        let bytes = Self.row(fields: 2) {
            $0.timestamp(946_684_800_000_001)
            $0.date(daysSince1970: 10958)
        }
        #expect(bytes == [0, 2, 0, 0, 0, 8, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 4, 0, 0, 0, 1])
    }

    @Test func `the ends of the range of time are infinity`() {
        #expect(postgresTimestamp(.max) == .max)
        #expect(postgresTimestamp(.min) == .min)
        #expect(microsecondsSince1970(.max) == .max)
        #expect(microsecondsSince1970(.min) == .min)
        #expect(microsecondsSince1970(postgresTimestamp(-5)) == -5)
    }

    @Test func `a text array carries dimensions, element type and lengths`() {
        let bytes = Self.row(fields: 1) { $0.textArray(["a", "bc"]) }
        #expect(
            bytes == [0, 1, 0, 0, 0, 31]
                + [0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 25, 0, 0, 0, 2, 0, 0, 0, 1]
                + [0, 0, 0, 1, 0x61, 0, 0, 0, 2, 0x62, 0x63])
        #expect(
            Self.row(fields: 1) { $0.textArray([]) } == [0, 1, 0, 0, 0, 12, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 25])
    }

    @Test func `the buffer grows and keeps what it holds`() {
        var writer = BinaryCopyWriter(capacity: 16)
        for index in 0..<10_000 {
            writer.beginRow(fields: 1)
            writer.int64(Int64(index))
        }
        #expect(writer.rowCount == 10_000)
        let bytes = writer.bytes
        #expect(bytes.count == 19 + 14 * 10_000)
        #expect(Array(bytes.suffix(2)) == [UInt8(9999 >> 8), UInt8(9999 & 0xFF)])
    }

    @Test func `what was sent is forgotten, and the stream goes on without a second header`() {
        var writer = BinaryCopyWriter()
        writer.removeSent()
        writer.beginRow(fields: 1)
        writer.null()
        #expect(writer.bytes == [0, 1, 0xFF, 0xFF, 0xFF, 0xFF])
    }
}

struct ParameterTests {
    @Test func `types, lengths and formats of each kind`() throws {
        var buffer = ParameterBuffer()
        try buffer.encode([
            "abc", 5, 1.5, true, nil, .bytes([]), .timestamp(0), .textArray(["x"]), .text("1", as: .int4),
        ])
        #expect(buffer.types == [0, 20, 701, 16, 0, 17, 1184, 1009, 23])
        #expect(buffer.lengths == [3, 8, 8, 1, 0, 0, 8, 25, 1])
        #expect(buffer.formats == [0, 1, 1, 1, 1, 1, 1, 1, 0])
    }

    @Test func `a null parameter has no address and an empty one has`() throws {
        var buffer = ParameterBuffer()
        try buffer.encode([.null, .text(""), .bytes([])])
        let present = buffer.withArrays { _, values, _, _ in (0..<3).map { values![$0] != nil } }
        #expect(present == [false, true, true])
    }

    @Test func `a text with a zero byte is refused`() {
        #expect(throws: PostgresError.self) {
            var buffer = ParameterBuffer()
            try buffer.encode([.text("a\0b")])
        }
    }
}

struct TextFormTests {
    static func read<T>(_ text: String, _ body: (UnsafeRawBufferPointer) -> T) -> T {
        Array(text.utf8).withUnsafeBytes(body)
    }

    @Test(arguments: [
        ("0", 0), ("-1", -1), ("9223372036854775807", Int64.max), ("-9223372036854775808", Int64.min),
    ])
    func `integers`(text: String, value: Int64) { #expect(Self.read(text, TextForm.integer) == value) }

    @Test(arguments: ["", "-", "1.5", "9223372036854775808", "-9223372036854775809", "1 ", "x"])
    func `not integers`(text: String) { #expect(Self.read(text, TextForm.integer) == nil) }

    static let knownTimes: [(String, Int64)] = [
        ("1970-01-01 00:00:00+00", 0),
        ("2000-01-01 00:00:00+00", 946_684_800_000_000),
        ("2024-02-29 12:34:56.789+00", 1_709_210_096_789_000),
        ("2024-02-29 12:34:56.000001+05:30", 1_709_190_296_000_001),
        ("1969-12-31 23:59:59.999999+00", -1),
        ("1900-01-01 00:00:00-01:02:03", -2_208_985_077_000_000),
        ("2024-03-01", 1_709_251_200_000_000),
        // Year 1 BC is the year before year 1, and a leap year.
        ("0001-01-01 00:00:00+00 BC", -62_167_219_200_000_000),
        ("0001-01-01 BC", -62_167_219_200_000_000),
        ("infinity", Int64.max),
        ("-infinity", Int64.min),
    ]

    @Test(arguments: knownTimes)
    func `times`(text: String, microseconds: Int64) { #expect(Self.read(text, TextForm.timestamp) == microseconds) }

    @Test(arguments: ["", "2024", "2024-13-01", "29/02/2024 12:00:00", "2024-02-29 12:00", "2024-02-29 12:00:00+00 x"])
    func `not times`(text: String) { #expect(Self.read(text, TextForm.timestamp) == nil) }

    @Test func `bytea in hex`() {
        #expect(Self.read("\\x00ffAB", TextForm.bytea) == [0, 0xFF, 0xAB])
        #expect(Self.read("\\x", TextForm.bytea) == [])
        #expect(Self.read("\\x0", TextForm.bytea) == nil)
        #expect(Self.read("abc\\000", TextForm.bytea) == nil)
    }

    @Test func `arrays`() {
        #expect(Self.read("{}", TextForm.array) == [])
        #expect(Self.read("{a,NULL,\"NULL\",\"b \\\" c\",\"\"}", TextForm.array) == ["a", nil, "NULL", "b \" c", ""])
        #expect(Self.read("{{a},{b}}", TextForm.array) == nil)
        #expect(Self.read("x", TextForm.array) == nil)
    }
}

struct SettingsTests {
    static let secret = "s3cr%25t-Pässword"

    @Test func `the password shows in no description, dump or interpolation`() throws {
        let settings = try ConnectionSettings("postgresql://me:\(Self.secret)@db.example:5433/market")
        var dumped = ""
        dump(settings, to: &dumped)
        for text in ["\(settings)", String(reflecting: settings), String(describing: settings), dumped] {
            #expect(text.contains("me@db.example:5433/market"))
            #expect(!text.contains("s3cr"))
        }
        #expect(settings.parameters().contains { $0.keyword == "password" && $0.value == "s3cr%t-Pässword" })
    }

    @Test(arguments: [
        "postgresql://me:s3cret@[::1/market", "postgresql://me:s3cret@host:5432/db?x=y", "postgres//me:s3cret@host",
        "postgresql://me:s3c%ret@host/db", "host=a password='s3cret",
    ])
    func `an unreadable connection string is not quoted in the error`(text: String) throws {
        let error = try #require(throws: PostgresError.self) { try ConnectionSettings(text) }
        #expect(error.kind == .usage)
        let shown = "\(error) \(error.detail ?? "") \(error.hint ?? "")"
        #expect(!shown.contains("s3c"))
    }

    @Test func `session parameters travel as options, escaped, after those of the string`() throws {
        var settings = try ConnectionSettings("postgresql:///db?options=-c%20geqo%3Doff")
        settings.sessionParameters = ["search_path": "market, public"]
        #expect(
            settings.parameters().first { $0.keyword == "options" }?.value
                == "-c geqo=off -c search_path=market,\\ public")
    }

    @Test func `the string wins over our defaults`() throws {
        let settings = try ConnectionSettings("postgresql:///db?keepalives_idle=7&application_name=x")
        #expect(settings.parameters().first { $0.keyword == "keepalives_idle" }?.value == "7")
        #expect(settings.parameters().first { $0.keyword == "application_name" }?.value == "x")
    }

    @Test func `identifiers and literals are quoted`() {
        #expect(PostgresConnection.quotedIdentifier("a\"b") == "\"a\"\"b\"")
        #expect(PostgresConnection.quotedLiteral("it's") == "'it''s'")
        #expect(PostgresConnection.quotedLiteral("a\\b'c") == "E'a\\\\b''c'")
    }
}
