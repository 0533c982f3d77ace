// SPDX-License-Identifier: Apache-2.0

import Market
package import Records

/// The trades of one file, in its order: CSV with a header, NDJSON, or NDJSON of captured Finnhub frames; gzip or not.
///
/// Reads block: use it on a thread that may. The same file gives the same trades with the same ids every time.
package final class Tape {
    /// What to take from the tape, beyond what it says itself.
    package struct Options: Sendable {
        /// The symbol of every trade, for files without such a column.
        package var symbol: String?

        package init(symbol: String? = nil) { self.symbol = symbol }
    }

    /// The source of trades read from CSV and NDJSON.
    package static let fileSource = "file"
    /// The source of trades in captured Finnhub frames.
    package static let finnhubSource = "finnhub"

    private enum Format {
        case csv(CSVHeader)
        case json
    }

    private let reader: LineReader
    private let options: Options
    private let run: Int64
    private var format: Format?
    private var identity = TradeIdentity()
    /// Trades of the line read last that have not been returned, last one first.
    private var pending: [StagedTrade] = []
    /// Frames and lines that hold no trade: pings, news.
    package private(set) var otherFrames = 0

    /// Opens the file at `path`, or standard input for `-`.
    package init(path: String, run: Int64, options: Options = .init()) throws(IngestError) {
        reader = try LineReader(path: path)
        self.run = run
        self.options = options
    }

    /// The path, for messages.
    package var name: String { reader.name }
    /// Changes when the file is replaced by another or written to; nil for a pipe.
    package var version: String? { reader.version }
    /// The line read last, from 1.
    package var line: Int { reader.lineNumber }
    /// Bytes of the file read so far, and its size where it has one: what a progress bar needs.
    package var progress: (read: Int64, total: Int64?) { (reader.bytesRead, reader.byteCount) }

    /// Whether the last ``next()`` returned nil because a pipe had nothing yet, and not at the end.
    package var isWaiting: Bool { reader.isWaiting }

    /// The next trade, or nil at the end and, for a pipe, when nothing has come for 50 ms (``isWaiting``). What is wrong with a trade is told in it (``StagedTrade/problem``), so that
    /// validation refuses it with a reason.
    ///
    /// - Throws: ``IngestError`` when nothing more can be read: an I/O error, corrupt gzip, a wrong header.
    package func next() throws(IngestError) -> StagedTrade? {
        while true {
            if let trade = pending.popLast() { return trade }
            let more = try reader.nextLine { (line) throws(IngestError) in
                try self.parse(line)
            }
            if !more { return nil }
        }
    }

    private func parse(_ line: UnsafeRawBufferPointer) throws(IngestError) {
        if line.allSatisfy({ $0 == 0x20 || $0 == 0x09 }) { return }
        switch format {
        case .csv(let header): pending = [assignID(header.parse(line, blank(), symbol: options.symbol))]
        case .json: parseJSON(line)
        case nil:
            let first = line.first { $0 != 0x20 && $0 != 0x09 }
            if first == UInt8(ascii: "{") || first == UInt8(ascii: "[") {
                format = .json
                parseJSON(line)
            } else {
                format = .csv(
                    try CSVHeader(line, source: name, line: reader.lineNumber, symbolGiven: options.symbol != nil))
            }
        }
    }

    private func parseJSON(_ line: UnsafeRawBufferPointer) {
        guard let parsed = JSONTrade.parse(line, blank(), symbol: options.symbol) else {
            otherFrames += 1
            return
        }
        pending = parsed.map { assignID($0) }.reversed()
    }

    private func blank() -> StagedTrade {
        StagedTrade(
            run: run, source: Self.fileSource, position: Int64(reader.lineNumber), ingestedAt: Timestamp.epoch)
    }

    /// Every trade that can be placed gets an id; the others are refused anyway.
    private func assignID(_ parsed: ParsedTrade) -> StagedTrade {
        var trade = parsed.trade
        guard let symbol = trade.symbol, let ts = trade.ts else { return trade }
        trade.tradeID = identity.assign(
            symbol: symbol, ts: ts, id: parsed.venueID, price: trade.price ?? 0, size: trade.size ?? 0)
        return trade
    }
}

/// A trade as a line gave it, before it has an id of its own.
struct ParsedTrade {
    var trade: StagedTrade
    var venueID: TradeIdentity.VenueID = .none

    init(_ trade: StagedTrade) { self.trade = trade }

    /// Notes why the trade cannot be read in full; the first reason stays.
    mutating func fail(_ reason: RejectionReason, _ line: UnsafeRawBufferPointer) {
        if trade.problem != nil { return }
        trade.problem = reason.rawValue
        // A kept line is bounded: it is for a person to look at.
        trade.original = Array(line.prefix(4096))
    }

    /// Takes a field's text; an empty one counts as missing.
    mutating func take(_ field: TradeField, _ text: UnsafeRawBufferPointer, of line: UnsafeRawBufferPointer) {
        if text.isEmpty { return }
        switch field {
        case .symbol: trade.symbol = String(decoding: text, as: UTF8.self)
        case .ts:
            trade.ts = Timestamp(parsing: text)
            if trade.ts == nil { fail(.tsUnreadable, line) }
        case .price:
            trade.price = NumberText.double(text)
            if trade.price == nil { fail(.priceUnreadable, line) }
        case .size:
            trade.size = NumberText.double(text)
            if trade.size == nil { fail(.sizeUnreadable, line) }
        case .tradeID:
            venueID = NumberText.integer(text).map { .number($0) } ?? .text(TradeIdentity.hash(text))
        }
    }
}

/// The facts of a trade that a file may name, and the names it may use.
enum TradeField: CaseIterable {
    case ts, symbol, price, size, tradeID

    /// Accepted names, in lower case; the first is ours.
    var names: [String] {
        switch self {
        case .ts: ["ts", "time", "timestamp", "ts_us", "ts_ms", "ts_ns", "datetime", "date_time"]
        case .symbol: ["symbol"]
        case .price: ["price"]
        case .size: ["size", "volume", "qty", "quantity"]
        case .tradeID: ["trade_id", "id"]
        }
    }

    init?(name: UnsafeRawBufferPointer) {
        let lower = String(decoding: name, as: UTF8.self).lowercased()
        guard let field = Self.allCases.first(where: { $0.names.contains(lower) }) else { return nil }
        self = field
    }
}
