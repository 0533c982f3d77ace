// SPDX-License-Identifier: Apache-2.0

package import Market

/// A trade as a source gave it, before validation: the value of topic `trades.staging`
/// (`schemas/trades.staging.avsc`).
package struct StagedTrade: Sendable, Equatable {
    /// The ingest run that read it.
    package var run: Int64
    package var source: String
    /// Line (from 1) or frame of the source at which it stood.
    package var position: Int64
    package var ingestedAt: Timestamp
    package var symbol: String?
    package var ts: Timestamp?
    package var price: Double?
    package var size: Double?
    /// The venue's id, or the one ingest assigned.
    package var tradeID: Int64?
    package var conditions: [String] = []
    /// Why a field could not be read: a reason code of validation.
    package var problem: String?
    /// The source's bytes, kept where they could not be read in full.
    package var original: [UInt8]?

    package init(run: Int64, source: String, position: Int64, ingestedAt: Timestamp) {
        self.run = run
        self.source = source
        self.position = position
        self.ingestedAt = ingestedAt
    }

    package static let schema = AvroSchema(
        canonicalForm:
            #"{"name":"tapedeck.StagedTrade","type":"record","fields":[{"name":"run","type":"long"},{"name":"source","type":"string"},{"name":"position","type":"long"},{"name":"ingested_at","type":"long"},{"name":"symbol","type":["null","string"]},{"name":"ts","type":["null","long"]},{"name":"price","type":["null","double"]},{"name":"size","type":["null","double"]},{"name":"trade_id","type":["null","long"]},{"name":"conditions","type":{"type":"array","items":"string"}},{"name":"problem","type":["null","string"]},{"name":"original","type":["null","bytes"]}]}"#
    )

    /// Appends the single-object encoding to `bytes`.
    package func encode(into bytes: inout [UInt8]) {
        bytes.append(contentsOf: Self.schema.header)
        var writer = AvroWriter(bytes)
        bytes = []  // The writer holds the only reference, so that it appends in place.
        writer.long(run)
        writer.string(source)
        writer.long(position)
        writer.long(ingestedAt.microseconds)
        writer.optional(symbol) { $0.string($1) }
        writer.optional(ts) { $0.long($1.microseconds) }
        writer.optional(price) { $0.double($1) }
        writer.optional(size) { $0.double($1) }
        writer.optional(tradeID) { $0.long($1) }
        writer.strings(conditions)
        writer.optional(problem) { $0.string($1) }
        writer.optional(original) { writer, value in value.withUnsafeBytes { writer.string($0) } }
        bytes = writer.bytes
    }
}

/// A staged trade inside the bytes it was read from: nothing is copied, and it must not outlive them.
package struct StagedTradeView {
    package var run: Int64
    package var source: UnsafeRawBufferPointer
    package var position: Int64
    package var ingestedAt: Timestamp
    package var symbol: UnsafeRawBufferPointer?
    package var ts: Timestamp?
    package var price: Double?
    package var size: Double?
    package var tradeID: Int64?
    /// The encoded array of conditions, as ``TradeView/conditions`` takes it.
    package var conditions: UnsafeRawBufferPointer
    package var problem: UnsafeRawBufferPointer?
    package var original: UnsafeRawBufferPointer?

    /// Decodes a value of the log; nil if it is not a staged trade of this schema, or damaged.
    package init?(decoding value: UnsafeRawBufferPointer) {
        guard let datum = StagedTrade.schema.datum(of: value) else { return nil }
        var reader = AvroReader(datum)
        guard let run = reader.long(), let source = reader.string(), let position = reader.long(),
            let ingestedAt = reader.long(), let symbol = reader.optional({ $0.string() }),
            let ts = reader.optional({ $0.long() }), let price = reader.optional({ $0.double() }),
            let size = reader.optional({ $0.double() }), let tradeID = reader.optional({ $0.long() }),
            let conditions = reader.encodedStrings(), let problem = reader.optional({ $0.string() }),
            let original = reader.optional({ $0.string() }), reader.isAtEnd
        else { return nil }
        self.run = run
        self.source = source
        self.position = position
        self.ingestedAt = Timestamp(microseconds: ingestedAt)
        self.symbol = symbol
        self.ts = ts.map { Timestamp(microseconds: $0) }
        self.price = price
        self.size = size
        self.tradeID = tradeID
        self.conditions = conditions
        self.problem = problem
        self.original = original
    }
}
