// SPDX-License-Identifier: Apache-2.0

import Market
import Records
import TestSupport
import Testing

@testable import Ingest

/// Whether the whole of `bytes` is one value.
private func isValue(_ bytes: [UInt8]) -> Bool {
    bytes.withUnsafeBytes {
        var scanner = JSONScanner($0)
        return scanner.skipValue() && scanner.isAtEnd()
    }
}

private func string(_ text: String) -> String? {
    Array(text.utf8).withUnsafeBytes {
        var scanner = JSONScanner($0)
        let value = scanner.string()
        return scanner.isAtEnd() ? value : nil
    }
}

struct JSONScannerTests {
    @Test(arguments: [
        "{}", "[]", " { } ", "\t[\n]\r", "null", "true", "false", "0", "-1.5e+10", #""""#, #""a""#, #"{"a":1}"#,
        #"{"a":{"b":[1,2,{"c":null}]},"d":"e"}"#, "[[[[]]]]", #"["\"","\\","\/"]"#, #"{"":""}"#, "[1,[2],{}]",
        String(repeating: "[", count: 32) + String(repeating: "]", count: 32),
    ])
    func `a JSON value is followed to its end`(text: String) {
        #expect(isValue(Array(text.utf8)))
    }

    @Test(arguments: [
        "", " ", "{", "}", "[", "]", "{]", "[}", "[1,]", "[,1]", "[1 2]", "{,}", #"{"a"}"#, #"{"a":}"#, #"{"a":1,}"#,
        #"{"a" 1}"#, #"{a:1}"#, #"{'a':1}"#, #"{"a":1 "b":2}"#, #"{1:2}"#, #"""#, #""a"#, #""\"#, #""\""#, "nul",
        "nulll", "True",
        "undefined", "NaN", "{}{}", "[] []", "1 2", "\"a\nb\"", "\"a\u{0}b\"", "+1", ".5", "/* */ 1", "[1]x",
        String(repeating: "[", count: 33) + String(repeating: "]", count: 33), String(repeating: "[", count: 100_000),
        String(repeating: #"{"a":"#, count: 100_000),
    ])
    func `what is not one JSON value is refused`(text: String) {
        #expect(!isValue(Array(text.utf8)))
    }

    static let strings: [(String, String?)] = [
        (#""""#, ""), (#""abc""#, "abc"), (#""é日😀""#, "é日😀"), (#""\"\\\/\b\f\n\r\t""#, "\"\\/\u{8}\u{C}\n\r\t"),
        (#""\u0041""#, "A"), (#""\u00e9\u00E9""#, "éé"), (#""\ud83d\ude00""#, "😀"), (#""a\u0000b""#, "a\0b"),
        (#""\ud83d""#, nil), (#""\ude00""#, nil), (#""\ud83dx""#, nil), (#""\ud83d\u0041""#, nil),
        (#""\ud83d\n""#, nil),
        (#""\u12""#, nil), (#""\u12G4""#, nil), (#""\u+123""#, nil), (#""\x""#, nil), (#""\ ""#, nil), (#""\"#, nil),
        (#""\u""#, nil), ("\"a\tb\"", nil), ("abc", nil), ("1", nil),
    ]

    @Test(arguments: strings)
    func `a string is decoded, or refused whole`(text: String, value: String?) {
        #expect(string(text) == value)
    }

    @Test(
        arguments: [
            [0x22, 0xFF, 0x22], [0x22, 0xC3, 0x22], [0x22, 0xED, 0xA0, 0x80, 0x22],
            [0x22, 0x5C, 0x6E, 0xC0, 0x80, 0x22],
        ] as [[UInt8]])
    func `a string that is not UTF-8 is refused`(bytes: [UInt8]) {
        let value = bytes.withUnsafeBytes {
            var scanner = JSONScanner($0)
            return scanner.string()
        }
        #expect(value == nil)
    }

    @Test func `damaged JSON is refused or followed, and never crashes`() {
        var random = SeededRandom()
        let samples = [
            #"{"type":"trade","data":[{"s":"TSLA","p":122.1,"t":1672348887196,"v":1,"c":["1","12",null]},{"s":"A","p":1,"t":2,"v":0,"c":null}]}"#,
            #"{"ts":"2024-01-01T00:00:00Z","symbol":"A\u00e9\ud83d\ude00","price":1.5,"size":"2","id":"x-y","other":{"a":[1,{"b":[]}]}}"#,
        ].map { Array($0.utf8) }
        var valid = 0
        for _ in 0..<30_000 {
            var bytes = samples.randomElement(using: &random)!
            for _ in 0..<Int.random(in: 0...3, using: &random) {
                let at = Int.random(in: 0..<bytes.count, using: &random)
                switch Int.random(in: 0..<4, using: &random) {
                case 0: bytes[at] = UInt8.random(in: 0...255, using: &random)
                case 1: bytes.remove(at: at)
                case 2: bytes.insert(Array(#"{}[]",:\u0d8"#.utf8).randomElement(using: &random)!, at: at)
                default: bytes.removeSubrange(at...)
                }
                if bytes.isEmpty { break }
            }
            if isValue(bytes) { valid += 1 }
            bytes.withUnsafeBytes { line in
                for cut in [line.count, line.count / 2] {
                    let part = UnsafeRawBufferPointer(rebasing: line[..<cut])
                    let parsed = JSONTrade.parse(
                        part, .init(run: 1, source: "file", position: 1, ingestedAt: .epoch), symbol: nil)
                    for trade in parsed ?? [] where trade.trade.problem != nil {
                        if trade.trade.original == nil {
                            Issue.record("a problem without its line, seed \(random.seed)")
                        }
                    }
                }
            }
        }
        #expect(valid > 1000, "seed \(random.seed)")
    }
}
