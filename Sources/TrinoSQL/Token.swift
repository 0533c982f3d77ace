// SPDX-License-Identifier: Apache-2.0

/// One token of a statement: what kind of thing it is, and where it stands in the source.
package struct Token: Sendable, Equatable {
    package enum Kind: Sendable, Equatable {
        /// A name or a keyword as it is, without quotes.
        case word
        /// A name in double quotes.
        case quotedName
        /// `'…'`, with `''` for a quote.
        case string
        /// `U&'…'`; a UESCAPE clause follows as tokens of its own.
        case unicodeString
        /// `X'…'`: bytes.
        case binary
        /// `12`, `1_000`, `0xFF`.
        case integer
        /// `1.5`: a DECIMAL.
        case decimal
        /// `1.5e0`: a DOUBLE.
        case double
        /// `?`: a place for an argument of EXECUTE.
        case parameter
        /// An operator, a comma, a dot, a bracket.
        case symbol
    }

    package var kind: Kind
    /// Where it stands, in bytes of UTF-8 from the start.
    package var range: Range<Int>
    /// A word in lower case, or a symbol as it is; of the other kinds nothing.
    package var text: String

    /// Whether it is this keyword (lower case) or symbol.
    package func `is`(_ text: String) -> Bool { self.text == text }

    /// Whether it could be a name.
    var isName: Bool { kind == .word || kind == .quotedName }
}

/// A place in what the user typed: both from 1, columns in characters (Unicode scalars), as Trino counts them.
package struct TrinoLocation: Sendable, Equatable {
    package var line: Int
    package var column: Int

    package init(line: Int, column: Int) {
        self.line = line
        self.column = column
    }

    /// The place of a byte offset.
    init(ofByte offset: Int, in source: [UInt8]) {
        var line = 1
        var column = 1
        var index = 0
        let end = min(offset, source.count)
        while index < end {
            let byte = source[index]
            if byte == UInt8(ascii: "\n") {
                line += 1
                column = 1
            } else if byte & 0xC0 != 0x80 {
                column += 1
            }
            index += 1
        }
        self.init(line: line, column: column)
    }
}
