// SPDX-License-Identifier: Apache-2.0

import Foundation
import Testing

@testable import Records

/// A schema file in Parsing Canonical Form (Apache Avro 1.11 specification, "Transforming into Parsing Canonical Form").
private func canonicalForm(_ schema: Any, namespace: String? = nil) throws -> String {
    func quoted(_ text: String) -> String { "\"\(text)\"" }
    if let name = schema as? String { return quoted(name) }
    if let union = schema as? [Any] {
        return "[" + (try union.map { try canonicalForm($0, namespace: namespace) }).joined(separator: ",") + "]"
    }
    let object = try #require(schema as? [String: Any])
    let type = try #require(object["type"] as? String)
    switch type {
    case "record":
        let namespace = object["namespace"] as? String ?? namespace
        let name = try #require(object["name"] as? String)
        let full = name.contains(".") ? name : (namespace.map { $0 + "." } ?? "") + name
        let fields = try #require(object["fields"] as? [[String: Any]]).map { field in
            "{\"name\":\(quoted(try #require(field["name"] as? String))),"
                + "\"type\":\(try canonicalForm(try #require(field["type"]), namespace: namespace))}"
        }
        return "{\"name\":\(quoted(full)),\"type\":\"record\",\"fields\":[\(fields.joined(separator: ","))]}"
    case "array":
        return
            "{\"type\":\"array\",\"items\":\(try canonicalForm(try #require(object["items"]), namespace: namespace))}"
    default:
        return quoted(type)
    }
}

struct SchemaTests {
    static let files: [(String, AvroSchema)] = [
        ("trades.staging.avsc", StagedTrade.schema), ("trades.avsc", TradeView.schema),
        ("trades.rejected.avsc", RejectedRecord.tradeSchema), ("rejected.avsc", RejectedRecord.schema),
        ("quotes.staging.avsc", QuoteFacts.schemas.staged), ("quotes.avsc", QuoteFacts.schemas.valid),
        ("instruments.staging.avsc", InstrumentFacts.schemas.staged),
        ("instruments.avsc", InstrumentFacts.schemas.valid), ("posts.staging.avsc", PostFacts.schemas.staged),
        ("posts.avsc", PostFacts.schemas.valid), ("source_events.staging.avsc", SourceEventFacts.schemas.staged),
        ("source_events.avsc", SourceEventFacts.schemas.valid),
        ("source_bars.staging.avsc", SourceBarFacts.schemas.staged), ("source_bars.avsc", SourceBarFacts.schemas.valid),
    ]

    static func folder(_ name: String) -> URL {
        URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent().deletingLastPathComponent()
            .appending(path: name)
    }

    @Test(arguments: files)
    func `the code writes by the schema that is published`(file: String, schema: AvroSchema) throws {
        let data = try Data(contentsOf: Self.folder("schemas").appending(path: file))
        let canonical = try canonicalForm(JSONSerialization.jsonObject(with: data))
        #expect(schema.canonicalForm == canonical)
    }

    @Test func `every published schema is one that the code writes`() throws {
        let published = try FileManager.default.contentsOfDirectory(atPath: Self.folder("schemas").path)
        #expect(Set(published.filter { $0.hasSuffix(".avsc") }) == Set(Self.files.map(\.0)))
        #expect(Set(Self.files.map { $0.1.fingerprint }).count == Self.files.count)
    }

    /// CRC-64-AVRO of primitive schemas: the vectors of Avro's own test suite (share/test/data/schema-tests.txt).
    static let vectors: [(String, UInt64)] = [
        (#""null""#, 0x63DD_24E7_CC25_8F8A), (#""boolean""#, 0x9F42_FC78_A4D4_F764), (#""int""#, 0x7275_D51A_3F39_5C8F),
        (#""long""#, 0xD054_E144_93F4_1DB7), (#""float""#, 0x4D7C_02CB_3EA8_D790),
        (#""double""#, 0x8E75_35C0_32AB_957E),
        (#""bytes""#, 0x4FC0_16DA_C320_1965), (#""string""#, 0x8F01_4872_6345_03C7), ("", 0xC15D_213A_A4D7_A795),
    ]

    @Test(arguments: vectors)
    func `a fingerprint is CRC-64-AVRO`(text: String, fingerprint: UInt64) {
        #expect(AvroSchema.rabinFingerprint(text.utf8) == fingerprint)
    }

    @Test(arguments: files)
    func `a value begins with the marker and the fingerprint, lowest byte first`(file: String, schema: AvroSchema) {
        #expect(schema.header.count == 10)
        #expect(schema.header.prefix(2) == [0xC3, 0x01])
        let number = schema.header.dropFirst(2).reversed().reduce(UInt64(0)) { $0 << 8 | UInt64($1) }
        #expect(number == schema.fingerprint)
        #expect(number == AvroSchema.rabinFingerprint(schema.canonicalForm.utf8))
    }
}
