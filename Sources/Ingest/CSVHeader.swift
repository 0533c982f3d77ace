// SPDX-License-Identifier: Apache-2.0

import Market
import Records

/// The header of a CSV tape (RFC 4180, one record a line): which column holds what. It parses the lines below it.
struct CSVHeader {
    /// The fact in each column; nil for a column that is ignored.
    private let fields: [TradeField?]

    /// Reads the header line.
    ///
    /// - Throws: ``IngestError`` that names what is missing and what was found.
    init(
        _ header: UnsafeRawBufferPointer, source: String, line: Int, symbolGiven: Bool
    ) throws(IngestError) {
        var names: [String] = []
        var fields: [TradeField?] = []
        let readable = Self.split(header) { name in
            names.append(String(decoding: name, as: UTF8.self))
            let field = TradeField(name: name)
            // Of two columns with the same meaning the first counts.
            fields.append(field.flatMap { fields.contains($0) ? nil : $0 })
        }
        var missing: [TradeField] = [.ts, .symbol, .price, .size].filter { !fields.contains($0) }
        if symbolGiven { missing.removeAll { $0 == .symbol } }
        if !readable || !missing.isEmpty {
            let expected = missing.map { $0.names.prefix(4).joined(separator: "|") }.joined(separator: ", ")
            throw IngestError(
                source: source, line: line,
                message: readable
                    ? "the header lacks \(expected); it has \(names.joined(separator: ", "))"
                    : "the header has an open quote",
                hint: missing == [.symbol]
                    ? "give the symbol of all its trades with --symbol"
                    : "a CSV tape begins with a header line such as ts,symbol,price,size,trade_id")
        }
        self.fields = fields
    }

    func parse(_ line: UnsafeRawBufferPointer, _ blank: StagedTrade, symbol: String?) -> ParsedTrade {
        var parsed = ParsedTrade(blank)
        // A symbol that is given names the trades of a file that does not; it does not mend a line without one.
        parsed.trade.symbol = fields.contains(.symbol) ? nil : symbol
        var column = 0
        let readable = Self.split(line) { text in
            if column < fields.count, let field = fields[column] { parsed.take(field, text, of: line) }
            column += 1
        }
        if !readable || column != fields.count {
            parsed.trade.problem = nil
            parsed.fail(.malformedLine, line)
        }
        return parsed
    }

    /// Visits the fields of a line, quotes removed and blanks around unquoted fields cut; false for an open quote.
    private static func split(_ line: UnsafeRawBufferPointer, _ visit: (UnsafeRawBufferPointer) -> Void) -> Bool {
        let comma = UInt8(ascii: ",")
        let quote = UInt8(ascii: "\"")
        var index = 0
        while true {
            if index < line.count && line[index] == quote {
                guard let end = quoted(line, from: index, visit) else { return false }
                index = end
            } else {
                let start = index
                while index < line.count && line[index] != comma { index += 1 }
                visit(trimmed(line, start, index))
            }
            if index >= line.count { return true }
            if line[index] != comma { return false }
            index += 1
        }
    }

    private static func trimmed(_ line: UnsafeRawBufferPointer, _ start: Int, _ end: Int) -> UnsafeRawBufferPointer {
        var start = start
        var end = end
        while start < end && (line[start] == 0x20 || line[start] == 0x09) { start += 1 }
        while end > start && (line[end - 1] == 0x20 || line[end - 1] == 0x09) { end -= 1 }
        return UnsafeRawBufferPointer(rebasing: line[start..<end])
    }

    /// Visits the quoted field that begins at `start`; returns the index after its closing quote.
    private static func quoted(
        _ line: UnsafeRawBufferPointer, from start: Int, _ visit: (UnsafeRawBufferPointer) -> Void
    ) -> Int? {
        let quote = UInt8(ascii: "\"")
        var index = start + 1
        var unescaped: [UInt8]?
        while index < line.count {
            if line[index] != quote {
                unescaped?.append(line[index])
                index += 1
            } else if index + 1 < line.count && line[index + 1] == quote {
                if unescaped == nil { unescaped = Array(line[(start + 1)..<index]) }
                unescaped!.append(quote)
                index += 2
            } else {
                if let unescaped {
                    unescaped.withUnsafeBytes { visit($0) }
                } else {
                    visit(UnsafeRawBufferPointer(rebasing: line[(start + 1)..<index]))
                }
                return index + 1
            }
        }
        return nil
    }
}
