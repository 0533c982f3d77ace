// SPDX-License-Identifier: Apache-2.0

package import Market

/// A valid trade inside the bytes of a record: the value of topic `trades` (`schemas/trades.avsc`). Nothing is copied,
/// and it must not outlive the bytes.
package struct TradeView {
    package var run: Int64
    package var source: UnsafeRawBufferPointer
    package var symbol: UnsafeRawBufferPointer
    package var ts: Timestamp
    package var tradeID: Int64
    package var price: Double
    package var size: Double
    /// The array of conditions as Avro encodes it; ``decodeStrings(_:)`` decodes it.
    package var conditions: UnsafeRawBufferPointer
    package var ingestedAt: Timestamp

    package init(
        run: Int64, source: UnsafeRawBufferPointer, symbol: UnsafeRawBufferPointer, ts: Timestamp, tradeID: Int64,
        price: Double, size: Double, conditions: UnsafeRawBufferPointer, ingestedAt: Timestamp
    ) {
        self.run = run
        self.source = source
        self.symbol = symbol
        self.ts = ts
        self.tradeID = tradeID
        self.price = price
        self.size = size
        self.conditions = conditions
        self.ingestedAt = ingestedAt
    }

    package static let schema = AvroSchema(
        canonicalForm:
            #"{"name":"tapedeck.Trade","type":"record","fields":[{"name":"run","type":"long"},{"name":"source","type":"string"},{"name":"symbol","type":"string"},{"name":"ts","type":"long"},{"name":"trade_id","type":"long"},{"name":"price","type":"double"},{"name":"size","type":"double"},{"name":"conditions","type":{"type":"array","items":"string"}},{"name":"ingested_at","type":"long"}]}"#
    )

    /// Decodes a value of the log; nil if it is not a trade of this schema, or damaged.
    ///
    /// A value of an older version of the schema is none, either: ``AvroSchema/upgraded(_:)`` makes it one.
    package init?(decoding value: UnsafeRawBufferPointer) {
        guard let datum = Self.schema.datum(of: value) else { return nil }
        var reader = AvroReader(datum)
        guard let run = reader.long(), let source = reader.string(), let symbol = reader.string(),
            let ts = reader.long(), let tradeID = reader.long(), let price = reader.double(),
            let size = reader.double(), let conditions = reader.encodedStrings(), let ingestedAt = reader.long(),
            reader.isAtEnd
        else { return nil }
        self.init(
            run: run, source: source, symbol: symbol, ts: Timestamp(microseconds: ts), tradeID: tradeID,
            price: price, size: size, conditions: conditions, ingestedAt: Timestamp(microseconds: ingestedAt))
    }

    /// Appends the single-object encoding to `bytes`.
    package func encode(into bytes: inout [UInt8]) {
        bytes.append(contentsOf: Self.schema.header)
        var writer = AvroWriter(bytes)
        bytes = []  // The writer holds the only reference, so that it appends in place.
        writer.long(run)
        writer.string(source)
        writer.string(symbol)
        writer.long(ts.microseconds)
        writer.long(tradeID)
        writer.double(price)
        writer.double(size)
        writer.bytes.append(contentsOf: conditions)
        writer.long(ingestedAt.microseconds)
        bytes = writer.bytes
    }
}
