// SPDX-License-Identifier: Apache-2.0

import Testing
@testable import TrinoSQL

/// The tokens of a text, as kind and source.
private func tokens(_ text: String) throws(TrinoSyntaxError) -> [String] {
    let bytes = Array(text.utf8)
    return try Lexer.tokens(of: bytes).map { "\($0.kind) \(String(decoding: bytes[$0.range], as: UTF8.self))" }
}

private func message(_ text: String) -> String? {
    do {
        _ = try tokens(text)
        return nil
    } catch {
        return error.message
    }
}

struct LexerTests {
    @Test func `strings, names and bytes are single tokens with their quotes`() throws {
        #expect(
            try tokens("x'00ff' U&'\\0041' 'it''s' \"a\"\"b\" e'x'") == [
                "binary x'00ff'", "unicodeString U&'\\0041'", "string 'it''s'", "quotedName \"a\"\"b\"", "word e",
                "string 'x'",
            ])
    }

    @Test func `a backslash in a string is a character like another`() throws {
        #expect(try tokens("'\\' '--'") == ["string '\\'", "string '--'"])
    }

    @Test func `comments are no tokens and do not nest`() throws {
        #expect(try tokens("a -- 'b\n/* \" /* */ c*/") == ["word a", "word c", "symbol *", "symbol /"])
    }

    @Test func `numbers are integers, decimals and doubles`() throws {
        #expect(
            try tokens("1 1_000 0xFf 0b01 0o7 1. .5 1.5 1e3 1.5E-3 a1") == [
                "integer 1", "integer 1_000", "integer 0xFf", "integer 0b01", "integer 0o7", "decimal 1.", "decimal .5",
                "decimal 1.5", "double 1e3", "double 1.5E-3", "word a1",
            ])
    }

    @Test func `operators of two characters are one token`() throws {
        #expect(
            try tokens("a<>b<=c||d=>e->f::g?") == [
                "word a", "symbol <>", "word b", "symbol <=", "word c", "symbol ||", "word d", "symbol =>", "word e",
                "symbol ->", "word f", "symbol ::", "word g", "parameter ?",
            ])
    }

    @Test(arguments: [
        ("select 'a", "line 1:8: string is not closed"),
        ("select \"a", "line 1:8: quoted identifier is not closed"),
        ("select\n  /* a", "line 2:3: comment is not closed with */"),
        ("select \"\"", "line 1:8: Zero-length delimited identifier not allowed"),
        (
            "select `a`",
            "line 1:8: backquoted identifiers are not supported; use double quotes to quote identifiers"
        ),
        (
            "select 1a",
            "line 1:8: identifiers must not start with a digit; surround the identifier with double quotes"
        ),
        ("select X'0'", "line 1:8: Binary literal must contain an even number of digits"),
        ("select X'0g'", "line 1:8: Binary literal can only contain hexadecimal digits"),
        ("select $$a$$", "line 1:8: mismatched input '$'"),
        ("select 'δδ', \\", "line 1:14: mismatched input '\\'"),
    ])
    func `what cannot be read is told with its place in characters`(text: String, expected: String) {
        #expect(message(text) == expected)
    }
}
