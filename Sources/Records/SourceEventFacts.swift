// SPDX-License-Identifier: Apache-2.0

package import Market

/// Something that happened to a source itself, rather than to the market: its connection came or went, it was refused,
/// it knows that it missed something. Topics `source_events.staging` and `source_events`
/// (`schemas/source_events.staging.avsc`, `schemas/source_events.avsc`), keyed by source.
///
/// Which source it is stands around the facts (``Staging/source``). An event is (source, run, sequence): one that the log
/// holds twice is kept once. `Ingest.SourceJournal` writes them; the processor keeps them in `ops.source_events`, derives
/// `ops.source_gaps`, and brings state and last error of `ops.sources` up to date.
package struct SourceEventFacts: RecordFacts {
    /// What happened. A name is never given another meaning.
    package enum Kind: String, CaseIterable, Sendable {
        /// It can be heard from now on.
        case connected
        /// It asked for these symbols, or for no longer.
        case subscribed, unsubscribed
        /// It is not heard any more. With a message it was an accident.
        case disconnected
        /// A request was refused, an answer was unreadable, a deadline passed.
        case error
        /// What it had to say from `from` until `to` was not, or may not have been, recorded.
        case gap
        /// What was missing of that time has been fetched since.
        case gapFilled = "gap_filled"
        /// The market of these symbols trades from now on, or does not: until then it is not asked, and there is nothing to
        /// miss.
        case marketOpened = "market_opened"
        case marketClosed = "market_closed"

        /// Whether it speaks of a time with a beginning and an end.
        package var isPeriod: Bool { self == .gap || self == .gapFilled }
    }

    /// Number of the event among those of its run, from 1.
    package var sequence: Int64?
    /// When it happened.
    package var ts: Timestamp?
    /// A ``Kind``; as text, since a newer source may know more of them.
    package var kind: String?
    /// The symbols it is about; none, or null, for everything the source is asked for.
    package var symbols: [String]?
    /// First moment of a gap, inclusive, and the moment after it.
    package var from: Timestamp?
    package var to: Timestamp?
    /// What it was, in words, without keys and tokens.
    package var message: String?

    package init() {}

    package init(
        _ kind: Kind, sequence: Int64, ts: Timestamp, symbols: [String] = [], from: Timestamp? = nil,
        to: Timestamp? = nil, message: String? = nil
    ) {
        self.sequence = sequence
        self.ts = ts
        self.kind = kind.rawValue
        self.symbols = symbols
        self.from = from
        self.to = to
        self.message = message
    }

    package var symbolName: String? { symbols?.count == 1 ? symbols?.first : nil }
    /// Unlike other kinds it is keyed by what stands around it: the source.
    package var key: String? { nil }

    package static let schemas = RecordSchemas(
        "SourceEvent",
        [
            .init("sequence", "long", isRequired: true),
            .init("ts", "long", isRequired: true),
            .init("kind", "string", isRequired: true),
            .init("symbols", #"{"type":"array","items":"string"}"#, isRequired: true),
            .init("from", "long"),
            .init("to", "long"),
            .init("message", "string"),
        ])

    package func encode(_ writer: inout AvroWriter, isValid: Bool) {
        writer.required(sequence, isValid: isValid) { $0.long($1) }
        writer.required(ts, isValid: isValid) { $0.long($1.microseconds) }
        writer.required(kind, isValid: isValid) { $0.string($1) }
        writer.required(symbols ?? [], isValid: isValid) { $0.strings($1) }
        writer.optional(from) { $0.long($1.microseconds) }
        writer.optional(to) { $0.long($1.microseconds) }
        writer.optional(message) { $0.string($1) }
    }

    package mutating func decode(_ reader: inout AvroReader, isValid: Bool) -> Bool {
        guard let sequence = reader.required(isValid: isValid, { $0.long() }),
            let ts = reader.required(isValid: isValid, { $0.long() }),
            let kind = reader.required(isValid: isValid, { $0.string() }),
            let symbols = reader.required(isValid: isValid, { $0.encodedStrings() }),
            let from = reader.optional({ $0.long() }),
            let to = reader.optional({ $0.long() }),
            let message = reader.optionalText()
        else { return false }
        self.sequence = sequence
        self.ts = ts.map { Timestamp(microseconds: $0) }
        self.kind = kind.map { String(decoding: $0, as: UTF8.self) }
        self.symbols = symbols.map { decodeStrings($0) }
        self.from = from.map { Timestamp(microseconds: $0) }
        self.to = to.map { Timestamp(microseconds: $0) }
        self.message = message
        return true
    }
}
