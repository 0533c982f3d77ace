// SPDX-License-Identifier: Apache-2.0
// What a transaction of the sink has added, as bytes: what the processor leaves in `ops.live_batches` and the query
// server reads there. All integers little-endian; texts are UTF-8.
//
// | part | size |
// |---|---|
// | version: 1 | 1 |
// | texts: their number, then each as length and bytes | 4, then 4 + length each |
// | symbols: their number, then each as the index of its text | 4, then 4 each |
// | sources: the same | 4, then 4 each |
// | sets of conditions: their number, then each as a number of conditions and the indices of their texts | 4, … |
// | trades: their number, then each as symbol, source, conditions (4 each), ts, trade_id (8 each), price, size (doubles) | 4, then 44 each |
// | totals: their number, then each as symbol (4), count, first ts, last ts (8 each) | 4, then 28 each |

/// The trades that one transaction has added, or, where they are too many to be followed, how many of each symbol.
package struct LiveBatch: Equatable, Sendable {
    /// One trade; names are indices into the batch's lists.
    package struct Trade: Equatable, Sendable {
        package var symbol: UInt32
        package var source: UInt32
        package var conditions: UInt32
        package var ts: Timestamp
        package var tradeID: Int64
        package var price: Double
        package var size: Double

        package init(
            symbol: UInt32, source: UInt32, conditions: UInt32, ts: Timestamp, tradeID: Int64, price: Double,
            size: Double
        ) {
            self.symbol = symbol
            self.source = source
            self.conditions = conditions
            self.ts = ts
            self.tradeID = tradeID
            self.price = price
            self.size = size
        }
    }

    /// What a transaction that is not told trade by trade has added of one symbol.
    package struct Total: Equatable, Sendable {
        package var symbol: UInt32
        package var count: Int64
        package var first: Timestamp
        package var last: Timestamp

        package init(symbol: UInt32, count: Int64, first: Timestamp, last: Timestamp) {
            self.symbol = symbol
            self.count = count
            self.first = first
            self.last = last
        }
    }

    /// Most trades that are told one by one. A transaction of more takes in an archive or catches up: nobody follows it
    /// as it runs, and twice the bytes would be written for nobody.
    package static let tradeLimit = 20_000

    package var symbols: [String] = []
    package var sources: [String] = []
    package var conditions: [[String]] = []
    package var trades: [Trade] = []
    package var totals: [Total] = []

    package init() {}

    private static let version: UInt8 = 1

    // MARK: Encoding

    /// The bytes, in the layout above.
    package func encoded() -> [UInt8] {
        var texts = TextTable()
        let symbols = symbols.map { texts.index(of: $0) }
        let sources = sources.map { texts.index(of: $0) }
        let conditions = conditions.map { $0.map { texts.index(of: $0) } }
        var bytes: [UInt8] = [Self.version]
        bytes.reserveCapacity(256 + 44 * trades.count + 28 * totals.count)
        bytes.append(count: texts.texts.count)
        for text in texts.texts {
            bytes.append(count: text.utf8.count)
            bytes.append(contentsOf: text.utf8)
        }
        for list in [symbols, sources] {
            bytes.append(count: list.count)
            for index in list { bytes.append(littleEndian: index) }
        }
        bytes.append(count: conditions.count)
        for set in conditions {
            bytes.append(count: set.count)
            for index in set { bytes.append(littleEndian: index) }
        }
        bytes.append(count: trades.count)
        bytes += [UInt8](unsafeUninitializedCapacity: 44 * trades.count) { buffer, count in
            let out = UnsafeMutableRawBufferPointer(buffer)
            for trade in trades {
                out.storeBytes(of: trade.symbol.littleEndian, toByteOffset: count, as: UInt32.self)
                out.storeBytes(of: trade.source.littleEndian, toByteOffset: count + 4, as: UInt32.self)
                out.storeBytes(of: trade.conditions.littleEndian, toByteOffset: count + 8, as: UInt32.self)
                out.storeBytes(of: trade.ts.microseconds.littleEndian, toByteOffset: count + 12, as: Int64.self)
                out.storeBytes(of: trade.tradeID.littleEndian, toByteOffset: count + 20, as: Int64.self)
                out.storeBytes(of: trade.price.bitPattern.littleEndian, toByteOffset: count + 28, as: UInt64.self)
                out.storeBytes(of: trade.size.bitPattern.littleEndian, toByteOffset: count + 36, as: UInt64.self)
                count += 44
            }
        }
        bytes.append(count: totals.count)
        for total in totals {
            bytes.append(littleEndian: total.symbol)
            bytes.append(littleEndian: total.count)
            bytes.append(littleEndian: total.first.microseconds)
            bytes.append(littleEndian: total.last.microseconds)
        }
        return bytes
    }

    // MARK: Decoding

    /// Nil if `bytes` are not in the layout above, or in that of a later version.
    package init?(decoding bytes: UnsafeRawBufferPointer) {
        var reader = LiveReader(bytes)
        guard reader.integer(UInt8.self) == Self.version, let texts = reader.list(minimumBytes: 4, { $0.text() })
        else { return nil }
        func text(_ index: UInt32) -> String? { index < texts.count ? texts[Int(index)] : nil }
        func name(_ reader: inout LiveReader) -> String? { reader.integer(UInt32.self).flatMap(text) }
        guard let symbols = reader.list(minimumBytes: 4, name), let sources = reader.list(minimumBytes: 4, name),
            let conditions = reader.list(minimumBytes: 4, { $0.list(minimumBytes: 4, name) }),
            let trades = reader.list(minimumBytes: 44, { $0.trade(symbols.count, sources.count, conditions.count) }),
            let totals = reader.list(minimumBytes: 28, { $0.total(symbols.count) }), reader.isAtEnd
        else { return nil }
        self.symbols = symbols
        self.sources = sources
        self.conditions = conditions
        self.trades = trades
        self.totals = totals
    }
}

/// Texts, each once.
private struct TextTable {
    private(set) var texts: [String] = []
    private var indices: [String: UInt32] = [:]

    mutating func index(of text: String) -> UInt32 {
        if let known = indices[text] { return known }
        let index = UInt32(texts.count)
        texts.append(text)
        indices[text] = index
        return index
    }
}

extension [UInt8] {
    fileprivate mutating func append<T: FixedWidthInteger>(littleEndian value: T) {
        Swift.withUnsafeBytes(of: value.littleEndian) { append(contentsOf: $0) }
    }

    fileprivate mutating func append(count: Int) { append(littleEndian: UInt32(count)) }
}

/// Reads the layout; nil wherever the bytes end too early or a name is not there.
private struct LiveReader {
    private let bytes: UnsafeRawBufferPointer
    private var position = 0

    init(_ bytes: UnsafeRawBufferPointer) { self.bytes = bytes }

    var isAtEnd: Bool { position == bytes.count }

    mutating func integer<T: FixedWidthInteger>(_ type: T.Type) -> T? {
        let size = MemoryLayout<T>.size
        guard bytes.count - position >= size else { return nil }
        defer { position += size }
        return T(littleEndian: bytes.loadUnaligned(fromByteOffset: position, as: T.self))
    }

    mutating func text() -> String? {
        guard let count = integer(UInt32.self), bytes.count - position >= count else { return nil }
        defer { position += Int(count) }
        return String(
            decoding: UnsafeRawBufferPointer(rebasing: bytes[position..<position + Int(count)]), as: UTF8.self)
    }

    /// A number and as many elements, each of `minimumBytes` at least: no memory is taken for more than can be there.
    mutating func list<Element>(
        minimumBytes: Int, _ element: (inout LiveReader) -> Element?
    ) -> [Element]? {
        guard let count = integer(UInt32.self), Int(count) <= (bytes.count - position) / minimumBytes else {
            return nil
        }
        var elements: [Element] = []
        elements.reserveCapacity(Int(count))
        for _ in 0..<count {
            guard let next = element(&self) else { return nil }
            elements.append(next)
        }
        return elements
    }

    mutating func trade(_ symbols: Int, _ sources: Int, _ sets: Int) -> LiveBatch.Trade? {
        guard let symbol = integer(UInt32.self), let source = integer(UInt32.self),
            let conditions = integer(UInt32.self), let ts = integer(Int64.self), let tradeID = integer(Int64.self),
            let price = integer(UInt64.self), let size = integer(UInt64.self), symbol < symbols, source < sources,
            conditions < sets
        else { return nil }
        return LiveBatch.Trade(
            symbol: symbol, source: source, conditions: conditions, ts: Timestamp(microseconds: ts), tradeID: tradeID,
            price: Double(bitPattern: price), size: Double(bitPattern: size))
    }

    mutating func total(_ symbols: Int) -> LiveBatch.Total? {
        guard let symbol = integer(UInt32.self), let count = integer(Int64.self), let first = integer(Int64.self),
            let last = integer(Int64.self), symbol < symbols
        else { return nil }
        return LiveBatch.Total(
            symbol: symbol, count: count, first: Timestamp(microseconds: first), last: Timestamp(microseconds: last))
    }
}
