// SPDX-License-Identifier: Apache-2.0

import Market

/// Symbols in a CSV file with a header (RFC 4180), as in `name,ticker`.
package enum TickerFile {
    /// The symbols in the column `ticker` or `symbol`; other columns do not matter.
    ///
    /// - Parameter name: of the file, for messages.
    package static func symbols(_ text: String, name: String) throws(IngestError) -> [String] {
        var column: Int?
        var width = 0
        var symbols: [String] = []
        // By scalars: CR LF is one Character. A byte order mark would hide the first column's name.
        let scalars = text.unicodeScalars.drop { $0 == "\u{FEFF}" }
        for (number, line) in scalars.split(separator: "\n", omittingEmptySubsequences: false).enumerated() {
            var line = Substring(line)
            if line.unicodeScalars.last == "\r" { line.unicodeScalars.removeLast() }
            if line.allSatisfy({ $0 == " " || $0 == "\t" }) { continue }
            func failure(_ message: String, _ hint: String? = nil) -> IngestError {
                IngestError(source: name, line: number + 1, message: message, hint: hint)
            }
            guard let fields = fields(line) else { throw failure("a quote is open") }
            guard let column else {
                let names = fields.map { $0.lowercased() }
                column = names.firstIndex(of: "ticker") ?? names.firstIndex(of: "symbol")
                width = fields.count
                if column == nil {
                    throw failure(
                        "no column is called ticker or symbol", "The first line names the columns: name,ticker.")
                }
                continue
            }
            guard fields.count == width else { throw failure("\(fields.count) columns where the header has \(width)") }
            var symbol = fields[column]
            guard symbol.withUTF8({ SymbolSyntax.isValid(UnsafeRawBufferPointer($0)) }) else {
                throw failure("'\(symbol)' is no symbol")
            }
            symbols.append(symbol)
        }
        return symbols
    }

    /// The fields of a line, without the blanks around them; nil if a quote is open.
    private static func fields(_ line: Substring) -> [String]? {
        var fields: [String] = []
        var field = ""
        var isQuoted = false
        var rest = line
        while let character = rest.popFirst() {
            switch character {
            case "\"" where isQuoted && rest.first == "\"":
                field.append(character)
                rest.removeFirst()
            case "\"": isQuoted.toggle()
            case "," where !isQuoted:
                fields.append(trimmed(field))
                field = ""
            default: field.append(character)
            }
        }
        fields.append(trimmed(field))
        return isQuoted ? nil : fields
    }

    private static func trimmed(_ text: String) -> String {
        var text = text.drop { $0 == " " || $0 == "\t" }
        while text.last == " " || text.last == "\t" { text.removeLast() }
        return String(text)
    }
}
