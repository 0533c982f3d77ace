// SPDX-License-Identifier: Apache-2.0
//
// The lexical rules of Trino's SQL (its grammar's lexer part): how they differ from PostgreSQL's decides what the two
// take for a string or a comment, so nothing here is taken over from PostgreSQL.
//
//   '…'              string, '' for a quote; a backslash is a character like another
//   U&'…'            string with \XXXX and \+XXXXXX
//   X'…'             bytes
//   "…"              name, "" for a quote
//   -- …, /* … */    comments; the second kind does not nest
//   $$…$$, E'…', B'…' do not exist

/// Cuts a statement into tokens. Blanks and comments are what lies between them.
struct Lexer {
    private let source: [UInt8]
    private var at = 0
    private var tokens: [Token] = []

    private init(_ source: [UInt8]) {
        self.source = source
        tokens.reserveCapacity(source.count / 4 + 4)
    }

    /// The tokens of `source`.
    static func tokens(of source: [UInt8]) throws(TrinoSyntaxError) -> [Token] {
        var lexer = Lexer(source)
        while try lexer.skipBlanks() { try lexer.takeToken() }
        return lexer.tokens
    }

    private func peek(_ ahead: Int = 0) -> UInt8 { at + ahead < source.count ? source[at + ahead] : 0 }

    private func error(_ message: String, at offset: Int) -> TrinoSyntaxError {
        TrinoSyntaxError(.syntaxError, message, at: TrinoLocation(ofByte: offset, in: source))
    }

    /// Moves to the next token; false at the end.
    private mutating func skipBlanks() throws(TrinoSyntaxError) -> Bool {
        while at < source.count {
            switch source[at] {
            case UInt8(ascii: " "), UInt8(ascii: "\t"), UInt8(ascii: "\n"), UInt8(ascii: "\r"):
                at += 1
            case UInt8(ascii: "-") where peek(1) == UInt8(ascii: "-"):
                while at < source.count, source[at] != UInt8(ascii: "\n"), source[at] != UInt8(ascii: "\r") { at += 1 }
            case UInt8(ascii: "/") where peek(1) == UInt8(ascii: "*"):
                let start = at
                at += 2
                while at + 1 < source.count, !(source[at] == UInt8(ascii: "*") && source[at + 1] == UInt8(ascii: "/")) {
                    at += 1
                }
                guard at + 1 < source.count else { throw error("comment is not closed with */", at: start) }
                at += 2
            default:
                return true
            }
        }
        return false
    }

    private mutating func takeToken() throws(TrinoSyntaxError) {
        let byte = source[at]
        switch byte {
        case UInt8(ascii: "'"):
            try takeQuoted(.string, from: at)
        case UInt8(ascii: "\""):
            try takeQuoted(.quotedName, from: at)
        case UInt8(ascii: "`"):
            throw error(
                "backquoted identifiers are not supported; use double quotes to quote identifiers", at: at)
        case UInt8(ascii: "?"):
            add(.parameter, length: 1)
        case UInt8(ascii: "0")...UInt8(ascii: "9"):
            try takeNumber()
        case UInt8(ascii: ".") where Self.isDigit(peek(1)):
            try takeNumber()
        case _ where Self.isNameStart(byte):
            try takeWord()
        default:
            try takeSymbol()
        }
    }

    private mutating func takeWord() throws(TrinoSyntaxError) {
        let start = at
        switch source[at] | 0x20 {
        case UInt8(ascii: "x") where peek(1) == UInt8(ascii: "'"):
            at += 1
            return try takeQuoted(.binary, from: start)
        case UInt8(ascii: "u") where peek(1) == UInt8(ascii: "&") && peek(2) == UInt8(ascii: "'"):
            at += 2
            return try takeQuoted(.unicodeString, from: start)
        default: break
        }
        var isUpper = false
        while at < source.count, Self.isNamePart(source[at]) {
            if source[at] >= UInt8(ascii: "A"), source[at] <= UInt8(ascii: "Z") { isUpper = true }
            at += 1
        }
        let bytes = source[start..<at]
        let text =
            isUpper
            ? String(decoding: bytes.lazy.map { $0 >= 0x41 && $0 <= 0x5A ? $0 | 0x20 : $0 }, as: UTF8.self)
            : String(decoding: bytes, as: UTF8.self)
        tokens.append(Token(kind: .word, range: start..<at, text: text))
    }

    /// A string or a quoted name whose quote stands at `at`.
    private mutating func takeQuoted(_ kind: Token.Kind, from start: Int) throws(TrinoSyntaxError) {
        let quote = source[at]
        at += 1
        while true {
            guard at < source.count else {
                throw error(
                    kind == .quotedName ? "quoted identifier is not closed" : "string is not closed", at: start)
            }
            if source[at] == quote {
                if peek(1) != quote { break }
                at += 1
            }
            at += 1
        }
        at += 1
        if kind == .quotedName, at - start == 2 {
            throw error("Zero-length delimited identifier not allowed", at: start)
        }
        if kind == .binary { try checkHexadecimal(source[(start + 2)..<(at - 1)], from: start) }
        tokens.append(Token(kind: kind, range: start..<at, text: ""))
    }

    private func checkHexadecimal(_ digits: ArraySlice<UInt8>, from start: Int) throws(TrinoSyntaxError) {
        var count = 0
        for digit in digits where digit != UInt8(ascii: " ") {
            guard Self.isHexadecimal(digit) else {
                throw error("Binary literal can only contain hexadecimal digits", at: start)
            }
            count += 1
        }
        if count % 2 != 0 { throw error("Binary literal must contain an even number of digits", at: start) }
    }

    private mutating func takeNumber() throws(TrinoSyntaxError) {
        let start = at
        var kind = Token.Kind.integer
        if source[at] == UInt8(ascii: "0"), let digits = Self.digits(ofPrefix: peek(1)), digits(peek(2)) {
            at += 2
            takeDigits(where: digits)
        } else {
            takeDigits(where: Self.isDigit)
            if peek() == UInt8(ascii: "."), peek(1) != UInt8(ascii: ".") {
                kind = .decimal
                at += 1
                takeDigits(where: Self.isDigit)
            }
            let signed = peek(1) == UInt8(ascii: "+") || peek(1) == UInt8(ascii: "-")
            if peek() | 0x20 == UInt8(ascii: "e"), Self.isDigit(peek(signed ? 2 : 1)) {
                kind = .double
                at += signed ? 2 : 1
                takeDigits(where: Self.isDigit)
            }
        }
        if Self.isNamePart(peek()) {
            throw error(
                "identifiers must not start with a digit; surround the identifier with double quotes", at: start)
        }
        tokens.append(Token(kind: kind, range: start..<at, text: ""))
    }

    private mutating func takeDigits(where isDigit: (UInt8) -> Bool) {
        while isDigit(peek()) || (peek() == UInt8(ascii: "_") && isDigit(peek(1))) { at += 1 }
    }

    private mutating func takeSymbol() throws(TrinoSyntaxError) {
        let byte = source[at]
        switch (byte, peek(1)) {
        case (UInt8(ascii: "<"), UInt8(ascii: ">")), (UInt8(ascii: "<"), UInt8(ascii: "=")),
            (UInt8(ascii: ">"), UInt8(ascii: "=")), (UInt8(ascii: "!"), UInt8(ascii: "=")),
            (UInt8(ascii: "|"), UInt8(ascii: "|")), (UInt8(ascii: "-"), UInt8(ascii: ">")),
            (UInt8(ascii: "="), UInt8(ascii: ">")), (UInt8(ascii: ":"), UInt8(ascii: ":")):
            add(.symbol, length: 2)
        case (UInt8(ascii: "$"), _), (UInt8(ascii: "\\"), _), (0..<0x20, _):
            // PostgreSQL would read dollar quotes; here they must not hide anything from us.
            throw error("mismatched input '\(Character(UnicodeScalar(byte)))'", at: at)
        default:
            add(.symbol, length: 1)
        }
    }

    private mutating func add(_ kind: Token.Kind, length: Int) {
        let text = kind == .symbol ? String(decoding: source[at..<(at + length)], as: UTF8.self) : ""
        tokens.append(Token(kind: kind, range: at..<(at + length), text: text))
        at += length
    }

    private static func isDigit(_ byte: UInt8) -> Bool { byte >= UInt8(ascii: "0") && byte <= UInt8(ascii: "9") }

    private static func isHexadecimal(_ byte: UInt8) -> Bool {
        isDigit(byte) || (byte | 0x20 >= UInt8(ascii: "a") && byte | 0x20 <= UInt8(ascii: "f"))
    }

    private static func digits(ofPrefix letter: UInt8) -> ((UInt8) -> Bool)? {
        switch letter | 0x20 {
        case UInt8(ascii: "x"): isHexadecimal
        case UInt8(ascii: "o"): { $0 >= UInt8(ascii: "0") && $0 <= UInt8(ascii: "7") }
        case UInt8(ascii: "b"): { $0 == UInt8(ascii: "0") || $0 == UInt8(ascii: "1") }
        default: nil
        }
    }

    private static func isNameStart(_ byte: UInt8) -> Bool {
        (byte | 0x20 >= UInt8(ascii: "a") && byte | 0x20 <= UInt8(ascii: "z")) || byte == UInt8(ascii: "_")
            || byte >= 0x80
    }

    private static func isNamePart(_ byte: UInt8) -> Bool { isNameStart(byte) || isDigit(byte) }
}
