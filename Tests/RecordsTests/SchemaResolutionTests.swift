// SPDX-License-Identifier: Apache-2.0

import Market
import Testing

@testable import Records

struct SchemaResolutionTests {
    private static func record(_ fields: String) -> String {
        #"{"name":"t.T","type":"record","fields":[\#(fields)]}"#
    }

    /// Two versions: the second drops `b`, adds `c` and `d` with defaults, widens `n`, makes `s` nullable, and has
    /// another order.
    private static let old = record(
        #"{"name":"n","type":"int"},{"name":"b","type":{"type":"array","items":"string"}},{"name":"s","type":"string"},{"name":"u","type":["null","long"]}"#
    )
    private static let new = record(
        #"{"name":"s","type":["null","string"]},{"name":"c","type":["null","string"]},{"name":"n","type":"double"},{"name":"d","type":"long"},{"name":"u","type":["null","long"]}"#
    )
    private static let schema = AvroSchema(canonicalForm: new, previous: [old], defaults: ["c": [0], "d": [84]])

    private static func written(_ body: (inout AvroWriter) -> Void) -> [UInt8] {
        var writer = AvroWriter(AvroSchema(canonicalForm: old).header)
        body(&writer)
        return writer.bytes
    }

    @Test func `a field that was added has its default, and one that was dropped is passed over`() throws {
        let value = Self.written {
            $0.long(-7)
            $0.strings(["x", "yy"])
            $0.string("text")
            $0.optional(5 as Int64?) { $0.long($1) }
        }
        #expect(value.withUnsafeBytes { Self.schema.datum(of: $0) == nil && !Self.schema.isOfAnother($0) })
        let upgraded = try #require(value.withUnsafeBytes { Self.schema.upgraded($0) })
        try upgraded.withUnsafeBytes { bytes in
            var reader = AvroReader(try #require(Self.schema.datum(of: bytes)))
            #expect(reader.optionalText() == .some("text"))
            #expect(reader.optionalText() == .some(nil))
            #expect(reader.double() == -7)
            #expect(reader.long() == 42)
            #expect(reader.optional { $0.long() } == .some(5))
            #expect(reader.isAtEnd)
        }
    }

    @Test func `damage is no value, wherever it is cut`() {
        let value = Self.written {
            $0.long(3)
            $0.strings(["x", "yy"])
            $0.string("text")
            $0.optional(nil as Int64?) { $0.long($1) }
        }
        for length in 0..<value.count {
            #expect(Array(value.prefix(length)).withUnsafeBytes { Self.schema.upgraded($0) } == nil, "\(length)")
        }
        #expect((value + [0]).withUnsafeBytes { Self.schema.upgraded($0) } == nil)
        // A count of items that no buffer could hold ends at the buffer's end.
        let huge = Self.written {
            $0.long(3)
            $0.long(.max)
        }
        #expect(huge.withUnsafeBytes { Self.schema.upgraded($0) } == nil)
    }

    @Test func `a schema that nobody knows is told from damage`() {
        let other = AvroSchema(canonicalForm: Self.record(#"{"name":"z","type":"long"}"#)).header + [2]
        #expect(other.withUnsafeBytes { Self.schema.isOfAnother($0) && Self.schema.upgraded($0) == nil })
        #expect(Self.schema.header.withUnsafeBytes { !Self.schema.isOfAnother($0) })
        #expect([1, 2, 3].withUnsafeBytes { !Self.schema.isOfAnother($0) })
    }

    static let pairs: [(writer: String, reader: String, isReadable: Bool)] = [
        (#""int""#, #""long""#, true), (#""long""#, #""int""#, false), (#""float""#, #""double""#, true),
        (#""string""#, #""bytes""#, true), (#""string""#, #""long""#, false),
        (#"["null","int"]"#, #"["null","double"]"#, true), (#"["null","string"]"#, #""string""#, false),
        (#"{"type":"array","items":"int"}"#, #"{"type":"array","items":"double"}"#, true),
        (record(#"{"name":"a","type":"int"}"#), record(#"{"name":"a","type":"long"}"#), true),
        (record(#"{"name":"a","type":"int"}"#), record(#"{"name":"b","type":"long"}"#), false),
        (record(#"{"name":"a","type":"int"}"#), record(#"{"name":"c","type":"int"}"#), true),
    ]

    @Test(arguments: pairs)
    func `what may be read as what is Avro's rule`(writer: String, reader: String, isReadable: Bool) throws {
        let writer = try #require(AvroType(json: writer))
        let reader = try #require(AvroType(json: reader))
        #expect((SchemaResolution(writer: writer, reader: reader, defaults: ["c": [0]]) != nil) == isReadable)
    }

    @Test func `numbers are widened, and every array block is read`() throws {
        let writer = try #require(AvroType(json: #"{"type":"array","items":["null","int"]}"#))
        let reader = try #require(AvroType(json: #"{"type":"array","items":["double","null"]}"#))
        let resolution = try #require(SchemaResolution(writer: writer, reader: reader))
        // Two blocks, the second with its size: 1, null | 2.
        let datum: [UInt8] = [4, 2, 2, 0, 1, 4, 2, 4, 0]
        let converted = try #require(datum.withUnsafeBytes { resolution.convert($0) })
        var expected = AvroWriter()
        expected.long(3)
        expected.long(0)
        expected.double(1)
        expected.long(1)
        expected.long(0)
        expected.double(2)
        expected.bytes.append(0)
        #expect(converted == expected.bytes)
    }
}

struct FactRecordTests {
    private static func staged<Facts: RecordFacts>(_ facts: Facts) -> Staged<Facts> {
        Staged(
            Staging(
                run: 7, source: "yahoo", position: 3, ingestedAt: Timestamp(microseconds: 9),
                problem: "price_unreadable",
                original: [0, 255]), facts)
    }

    private func roundTrip<Facts: RecordFacts>(_ facts: Facts, empty: Facts) {
        for facts in [facts, empty] {
            let staged = Self.staged(facts)
            var bytes: [UInt8] = []
            staged.encode(into: &bytes)
            #expect(bytes.withUnsafeBytes { Staged<Facts>(decoding: $0) } == staged)
            for length in 0..<bytes.count {
                #expect(bytes.prefix(length).withUnsafeBytes { Staged<Facts>(decoding: $0) } == nil)
            }
        }
        let valid = Valid(run: 7, source: "yahoo", facts: facts, ingestedAt: Timestamp(microseconds: 9))
        var bytes: [UInt8] = []
        valid.encode(into: &bytes)
        #expect(bytes.withUnsafeBytes { Valid<Facts>(decoding: $0) } == valid)
        #expect((bytes + [0]).withUnsafeBytes { Valid<Facts>(decoding: $0) } == nil)
    }

    @Test func `records of every kind come back as they were`() {
        var quote = QuoteFacts()
        quote.symbol = "AAPL"
        quote.ts = Timestamp(microseconds: 5)
        quote.price = 1.5
        quote.volume = 0
        quote.currency = "USD"
        roundTrip(quote, empty: QuoteFacts())
        var instrument = InstrumentFacts()
        instrument.symbol = "AAPL"
        instrument.updatedAt = Timestamp(microseconds: 5)
        instrument.name = "Apple"
        instrument.shortRatio = 2.5
        roundTrip(instrument, empty: InstrumentFacts())
        var bar = SourceBarFacts()
        bar.symbol = "AAPL"
        bar.timeframe = "2m"
        bar.ts = Timestamp(microseconds: 5)
        (bar.open, bar.high, bar.low, bar.close) = (2, 4, 1, 3)
        roundTrip(bar, empty: SourceBarFacts())
        var post = PostFacts()
        post.id = "t1_x"
        post.kind = "comment"
        post.createdAt = Timestamp(microseconds: 5)
        post.body = "Zürich 🚀"
        post.score = -3
        roundTrip(post, empty: PostFacts())
    }
}
