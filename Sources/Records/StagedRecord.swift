// SPDX-License-Identifier: Apache-2.0

package import Market

/// A staged record of any kind, as validation sees it.
package protocol StagedRecord {
    static var schema: AvroSchema { get }

    /// Decodes a value of the log; nil if it is not of this schema, or damaged.
    init?(decoding value: UnsafeRawBufferPointer)

    /// The ingest run that read it.
    var run: Int64 { get }
    var sourceName: String { get }
    /// What it is about, as far as it is known.
    var symbolName: String? { get }
    /// A copy of the source's own bytes, where they could not be read in full.
    var originalBytes: [UInt8]? { get }
}

extension StagedTradeView: StagedRecord {
    package static var schema: AvroSchema { StagedTrade.schema }
    package var sourceName: String { String(decoding: source, as: UTF8.self) }
    package var symbolName: String? { symbol.map { String(decoding: $0, as: UTF8.self) } }
    package var originalBytes: [UInt8]? { original.map { Array($0) } }
}

/// Where a staged record comes from: the first and the last fields of every staged schema but that of trades.
package struct Staging: Sendable, Equatable {
    /// The ingest run that read it.
    package var run: Int64
    package var source: String
    /// Line (from 1), frame or number of the answer at which it stood.
    package var position: Int64
    package var ingestedAt: Timestamp
    /// Why a field could not be read: a reason code of validation.
    package var problem: String?
    /// The source's bytes, kept where they could not be read in full.
    package var original: [UInt8]?

    package init(
        run: Int64, source: String, position: Int64, ingestedAt: Timestamp, problem: String? = nil,
        original: [UInt8]? = nil
    ) {
        self.run = run
        self.source = source
        self.position = position
        self.ingestedAt = ingestedAt
        self.problem = problem
        self.original = original
    }

    fileprivate static let head =
        #"{"name":"run","type":"long"},{"name":"source","type":"string"},{"name":"position","type":"long"},{"name":"ingested_at","type":"long"},"#
    fileprivate static let tail =
        #",{"name":"problem","type":["null","string"]},{"name":"original","type":["null","bytes"]}"#
}

/// The schemas of a kind of record: what it says, and around it where it comes from.
package struct RecordSchemas: Sendable {
    /// A field and its type in Parsing Canonical Form; the quotes of a primitive type are left out.
    package struct Field: Sendable {
        var name: String
        var type: String
        /// Whether every valid record has it; every other field, and a staged record's, may be null.
        var isRequired: Bool

        init(_ name: String, _ type: String, isRequired: Bool = false) {
            self.name = name
            self.type = type
            self.isRequired = isRequired
        }
    }

    /// The schema of the staging topic, and that of the topic of valid records.
    package let staged: AvroSchema
    package let valid: AvroSchema

    init(_ name: String, _ fields: [Field]) {
        func text(isValid: Bool) -> String {
            fields.map { field in
                let name = field.type.hasPrefix("{") ? field.type : "\"\(field.type)\""
                let type = isValid && field.isRequired ? name : "[\"null\",\(name)]"
                return "{\"name\":\"\(field.name)\",\"type\":\(type)}"
            }.joined(separator: ",")
        }
        staged = AvroSchema(
            canonicalForm: """
                {"name":"tapedeck.Staged\(name)","type":"record","fields":[\(Staging.head)\(text(isValid: false))\
                \(Staging.tail)]}
                """)
        valid = AvroSchema(
            canonicalForm: """
                {"name":"tapedeck.\(name)","type":"record","fields":[{"name":"run","type":"long"},\
                {"name":"source","type":"string"},\(text(isValid: true)),{"name":"ingested_at","type":"long"}]}
                """)
    }
}

/// What a kind of record says: the middle of its staged schema and of its valid one.
package protocol RecordFacts: Sendable, Equatable {
    static var schemas: RecordSchemas { get }
    /// What the record is about, for rejections and operators.
    var symbolName: String? { get }
    /// What keeps its order: the symbol, or what identifies it.
    var key: String? { get }

    init()
    /// Writes the fields; where `isValid`, required ones without a union, of which the caller is sure.
    func encode(_ writer: inout AvroWriter, isValid: Bool)
    /// Reads them; false if they are damaged.
    mutating func decode(_ reader: inout AvroReader, isValid: Bool) -> Bool
}

/// A record as a source gave it: the value of a staging topic.
package struct Staged<Facts: RecordFacts>: StagedRecord, Sendable, Equatable {
    package var staging: Staging
    package var facts: Facts

    package init(_ staging: Staging, _ facts: Facts) {
        self.staging = staging
        self.facts = facts
    }

    package static var schema: AvroSchema { Facts.schemas.staged }

    package var run: Int64 { staging.run }
    package var sourceName: String { staging.source }
    package var symbolName: String? { facts.symbolName }
    package var originalBytes: [UInt8]? { staging.original }

    package init?(decoding value: UnsafeRawBufferPointer) {
        guard let datum = Self.schema.datum(of: value) else { return nil }
        var reader = AvroReader(datum)
        var facts = Facts()
        guard let run = reader.long(), let source = reader.string(), let position = reader.long(),
            let ingestedAt = reader.long(), facts.decode(&reader, isValid: false),
            let problem = reader.optionalText(), let original = reader.optional({ $0.string() }), reader.isAtEnd
        else { return nil }
        staging = Staging(
            run: run, source: String(decoding: source, as: UTF8.self), position: position,
            ingestedAt: Timestamp(microseconds: ingestedAt), problem: problem, original: original.map { Array($0) })
        self.facts = facts
    }

    /// Appends the single-object encoding to `bytes`.
    package func encode(into bytes: inout [UInt8]) {
        bytes.append(contentsOf: Self.schema.header)
        var writer = AvroWriter(bytes)
        bytes = []
        writer.long(staging.run)
        writer.string(staging.source)
        writer.long(staging.position)
        writer.long(staging.ingestedAt.microseconds)
        facts.encode(&writer, isValid: false)
        writer.optional(staging.problem) { $0.string($1) }
        writer.optional(staging.original) { writer, value in value.withUnsafeBytes { writer.string($0) } }
        bytes = writer.bytes
    }
}

/// A valid record: the value of the topic that bears the kind's name.
package struct Valid<Facts: RecordFacts>: Sendable, Equatable {
    package var run: Int64
    package var source: String
    package var facts: Facts
    package var ingestedAt: Timestamp

    package init(run: Int64, source: String, facts: Facts, ingestedAt: Timestamp) {
        self.run = run
        self.source = source
        self.facts = facts
        self.ingestedAt = ingestedAt
    }

    /// Decodes a value of the log, of this schema or an older version of it; nil if it is neither, or damaged.
    package init?(decoding value: UnsafeRawBufferPointer) {
        let schema = Facts.schemas.valid
        guard let datum = schema.datum(of: value) else {
            guard let upgraded = schema.upgraded(value),
                let record = upgraded.withUnsafeBytes({ Valid(decoding: $0) })
            else { return nil }
            self = record
            return
        }
        var reader = AvroReader(datum)
        var facts = Facts()
        guard let run = reader.long(), let source = reader.string(), facts.decode(&reader, isValid: true),
            let ingestedAt = reader.long(), reader.isAtEnd
        else { return nil }
        self.init(
            run: run, source: String(decoding: source, as: UTF8.self), facts: facts,
            ingestedAt: Timestamp(microseconds: ingestedAt))
    }

    /// Appends the single-object encoding to `bytes`.
    package func encode(into bytes: inout [UInt8]) {
        bytes.append(contentsOf: Facts.schemas.valid.header)
        var writer = AvroWriter(bytes)
        bytes = []
        writer.long(run)
        writer.string(source)
        facts.encode(&writer, isValid: true)
        writer.long(ingestedAt.microseconds)
        bytes = writer.bytes
    }
}

extension AvroWriter {
    /// A field that is required of valid records.
    mutating func required<T>(_ value: T?, isValid: Bool, _ write: (inout AvroWriter, T) -> Void) {
        guard isValid else { return optional(value, write) }
        guard let value else { preconditionFailure("a valid record lacks a field that it must have") }
        write(&self, value)
    }
}

extension AvroReader {
    mutating func required<T>(isValid: Bool, _ read: (inout AvroReader) -> T?) -> T?? {
        guard isValid else { return optional(read) }
        return read(&self).map { .some($0) }
    }
}
