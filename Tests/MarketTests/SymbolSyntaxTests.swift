// SPDX-License-Identifier: Apache-2.0

import Testing

@testable import Market

struct SymbolSyntaxTests {
    private func isValid(_ bytes: [UInt8]) -> Bool { bytes.withUnsafeBytes { SymbolSyntax.isValid($0) } }

    @Test(arguments: [
        "A", "AAPL", "BRK.B", "BINANCE:BTCUSDT", "IC MARKETS:1", "EURUSD=X", "SC/EUR", "^GSPC", "btc_usd", "A-B", "M&M",
        "a+b", "u@v", "#1", "$X", "!x", "*", "~", "|", "0", "A B C", String(repeating: "x", count: 64),
    ])
    func `names as venues write them are symbols`(name: String) {
        #expect(isValid(Array(name.utf8)))
    }

    @Test(arguments: [
        "", " ", " A", "A ", "A\tB", "A\n", "A\0", "A\"B", "A'B", "A,B", "A;B", "A(B)", "A%B", "A?B", "A<B", "A>B",
        "A[0]", "A{0}", "A\\B", "A`B", "Ä", "€", "日本", String(repeating: "x", count: 65),
    ])
    func `everything else is not`(name: String) {
        #expect(!isValid(Array(name.utf8)))
    }

    @Test func `exactly the characters of the rule are allowed`() {
        let allowed = Set("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789.-_:/^=&+@#$!*~|".utf8)
        for byte in UInt8.min...UInt8.max {
            #expect(isValid([byte]) == allowed.contains(byte), "byte \(byte)")
            #expect(isValid([65, byte, 65]) == (allowed.contains(byte) || byte == 0x20), "byte \(byte)")
        }
    }

    @Test func `blanks inside a symbol are single`() {
        #expect(!isValid(Array("A  B".utf8)))
    }

    @Test func `codes of rejection are distinct, and each has a sentence`() {
        let codes = RejectionReason.allCases.map(\.rawValue)
        #expect(Set(codes).count == codes.count)
        for reason in RejectionReason.allCases {
            #expect(reason.sentence.hasSuffix("."), "\(reason)")
            #expect(reason.rawValue.allSatisfy { $0.isLowercase || $0 == "_" || $0.isNumber }, "\(reason)")
        }
    }

    @Test func `the codes are those that were published`() {
        // A code is never renamed or reused: users filter by them.
        #expect(
            Set(RejectionReason.allCases.map(\.rawValue)).isSuperset(of: [
                "undecodable", "malformed_line", "symbol_missing", "symbol_syntax", "ts_missing", "ts_unreadable",
                "ts_before_1970", "ts_in_future", "ts_before_retention", "price_missing", "price_unreadable",
                "price_not_finite",
                "price_not_positive", "size_missing", "size_unreadable", "size_not_finite", "size_negative",
                "trade_id_missing", "source_syntax", "condition_syntax", "unknown_schema",
                "fact_not_finite", "fact_negative", "facts_missing", "text_syntax", "post_id_missing", "post_id_syntax",
                "post_kind_unknown", "event_sequence_missing", "event_kind_unknown", "event_period",
                "timeframe_syntax", "bar_range",
            ]))
    }
}
