// SPDX-License-Identifier: Apache-2.0

package import Market

/// A staged record that validation refused: the value of topic `trades.rejected`
/// (`schemas/trades.rejected.avsc`) and, under a name that fits them all, of the other kinds' (`schemas/rejected.avsc`).
package struct RejectedRecord: Sendable, Equatable {
    /// The ingest run that read it; 0 if the record could not be decoded.
    package var run: Int64
    package var source: String?
    package var symbol: String?
    /// A stable code.
    package var reason: String
    /// What is wrong, in a sentence.
    package var message: String
    /// What the source sent if it was kept, else the staged value.
    package var original: [UInt8]
    /// Where the staged record stands in the log.
    package var topic: String
    package var partition: Int32
    package var offset: Int64
    package var rejectedAt: Timestamp

    package init(
        run: Int64, source: String?, symbol: String?, reason: String, message: String, original: [UInt8],
        topic: String, partition: Int32, offset: Int64, rejectedAt: Timestamp
    ) {
        self.run = run
        self.source = source
        self.symbol = symbol
        self.reason = reason
        self.message = message
        self.original = original
        self.topic = topic
        self.partition = partition
        self.offset = offset
        self.rejectedAt = rejectedAt
    }

    /// The schema of `trades.rejected`, and that of all other rejected topics: the same fields.
    package static let tradeSchema = AvroSchema(canonicalForm: canonicalForm("tapedeck.RejectedTrade"))
    package static let schema = AvroSchema(canonicalForm: canonicalForm("tapedeck.RejectedRecord"))

    private static func canonicalForm(_ name: String) -> String {
        #"{"name":"\#(name)","type":"record","fields":[{"name":"run","type":"long"},{"name":"source","type":["null","string"]},{"name":"symbol","type":["null","string"]},{"name":"reason","type":"string"},{"name":"message","type":"string"},{"name":"original","type":"bytes"},{"name":"topic","type":"string"},{"name":"partition","type":"int"},{"name":"offset","type":"long"},{"name":"rejected_at","type":"long"}]}"#
    }

    /// Appends the single-object encoding to `bytes`.
    package func encode(into bytes: inout [UInt8], schema: AvroSchema) {
        bytes.append(contentsOf: schema.header)
        var writer = AvroWriter(bytes)
        bytes = []
        writer.long(run)
        writer.optional(source) { $0.string($1) }
        writer.optional(symbol) { $0.string($1) }
        writer.string(reason)
        writer.string(message)
        original.withUnsafeBytes { writer.string($0) }
        writer.string(topic)
        writer.long(Int64(partition))
        writer.long(offset)
        writer.long(rejectedAt.microseconds)
        bytes = writer.bytes
    }

    /// Decodes a value of the log; nil if it is of neither schema, or damaged.
    package init?(decoding value: UnsafeRawBufferPointer) {
        guard let datum = Self.tradeSchema.datum(of: value) ?? Self.schema.datum(of: value) else { return nil }
        var reader = AvroReader(datum)
        guard let run = reader.long(), let source = reader.optional({ $0.string() }),
            let symbol = reader.optional({ $0.string() }), let reason = reader.string(),
            let message = reader.string(), let original = reader.string(), let topic = reader.string(),
            let partition = reader.long(), let offset = reader.long(), let rejectedAt = reader.long(),
            reader.isAtEnd, let partition = Int32(exactly: partition)
        else { return nil }
        self.init(
            run: run, source: source.map { String(decoding: $0, as: UTF8.self) },
            symbol: symbol.map { String(decoding: $0, as: UTF8.self) },
            reason: String(decoding: reason, as: UTF8.self), message: String(decoding: message, as: UTF8.self),
            original: Array(original), topic: String(decoding: topic, as: UTF8.self), partition: partition,
            offset: offset, rejectedAt: Timestamp(microseconds: rejectedAt))
    }
}
