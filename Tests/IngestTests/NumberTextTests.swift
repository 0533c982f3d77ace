// SPDX-License-Identifier: Apache-2.0

import Glibc
import TestSupport
import Testing

@testable import Ingest

private func double(_ text: String) -> Double? {
    var text = text
    return text.withUTF8 { NumberText.double(UnsafeRawBufferPointer($0)) }
}

private func integer(_ text: String) -> Int64? {
    var text = text
    return text.withUTF8 { NumberText.integer(UnsafeRawBufferPointer($0)) }
}

struct NumberTextTests {
    @Test func `a million decimal texts are read as the C library reads them`() {
        var random = SeededRandom()
        var text: [UInt8] = []
        for _ in 0..<1_000_000 {
            text.removeAll(keepingCapacity: true)
            var bits = random.next()
            func take(_ count: UInt64) -> Int {
                defer { bits /= count }
                return Int(bits % count)
            }
            switch take(4) {
            case 0: text.append(UInt8(ascii: "-"))
            case 1 where take(4) == 0: text.append(UInt8(ascii: "+"))
            default: break
            }
            let whole = [0, 1, 1, 2, 3, 4, 5, 6, 8, 16, 20][take(11)]
            let fraction = [0, 0, 1, 2, 2, 4, 6, 8, 10, 18, 24][take(11)]
            let zeros = [0, 0, 0, 1, 3, 8][take(6)]
            let exponent = take(12)
            for _ in 0..<whole { text.append(48 + UInt8.random(in: 0...9, using: &random)) }
            if fraction + zeros > 0 || take(8) == 0 {
                text.append(UInt8(ascii: "."))
                // Leading or trailing zeros: both are common in price files.
                if bits & 1 == 0 { for _ in 0..<zeros { text.append(48) } }
                for _ in 0..<fraction { text.append(48 + UInt8.random(in: 0...9, using: &random)) }
                if bits & 1 == 1 { for _ in 0..<zeros { text.append(48) } }
            }
            if exponent == 0 { text += Array("e\(Int.random(in: -330...310, using: &random))".utf8) }
            if exponent == 1 { text += Array("E+\(Int.random(in: 0...20, using: &random))".utf8) }
            let ours = text.withUnsafeBytes { NumberText.double($0) }
            text.append(0)
            let theirs = text.withUnsafeBufferPointer { bytes -> Double? in
                bytes.withMemoryRebound(to: CChar.self) {
                    var end: UnsafeMutablePointer<CChar>?
                    let value = strtod($0.baseAddress!, &end)
                    return end.map { UnsafePointer($0) } == $0.baseAddress! + (bytes.count - 1) && bytes.count > 1
                        ? value : nil
                }
            }
            if ours?.bitPattern != theirs?.bitPattern {
                Issue.record(
                    """
                    '\(String(decoding: text.dropLast(), as: UTF8.self))' is \(String(describing: theirs)), \
                    read as \(String(describing: ours)), seed \(random.seed)
                    """)
                return
            }
        }
    }

    @Test func `every double's own text is read back`() {
        var random = SeededRandom()
        for _ in 0..<50_000 {
            let value = Double(bitPattern: random.next())
            if !value.isFinite { continue }
            #expect(double("\(value)") == value, "\(value), seed \(random.seed)")
        }
    }

    static let doubles: [(String, Double)] = [
        ("0", 0), ("-0", -0.0), ("+0.0", 0), ("5", 5), ("5.", 5), (".5", 0.5), ("-.5", -0.5), ("+5.25", 5.25),
        ("5.800000000000", 5.8), ("0.1", 0.1), ("0.30000000000000004", 0.30000000000000004),
        ("123456789012345", 123_456_789_012_345), ("1234567890123456", 1_234_567_890_123_456),
        ("9007199254740993", 9_007_199_254_740_992), ("0.000001", 1e-6), ("1e5", 1e5), ("1E-7", 1e-7), ("1e+2", 100),
        ("0.0000000000000000000001", 1e-22), ("0.00000000000000000000001", 1e-23), ("1e22", 1e22), ("1e23", 1e23),
        ("2.2250738585072011e-308", Double.leastNormalMagnitude.nextDown), ("4.9e-324", .leastNonzeroMagnitude),
        ("1e-400", 0),
        ("1.7976931348623157e308", .greatestFiniteMagnitude), ("1e400", .infinity), ("-1e400", -.infinity),
        ("inf", .infinity), ("-inf", -.infinity), ("Infinity", .infinity), ("INF", .infinity),
        (String(repeating: "0", count: 63) + "7", 7),
        (String(repeating: "1", count: 64), Double(String(repeating: "1", count: 64))!),
        ("1." + String(repeating: "0", count: 62), 1),
    ]

    @Test(arguments: doubles)
    func `a number is read to its last bit`(text: String, value: Double) {
        #expect(double(text)?.bitPattern == value.bitPattern)
    }

    @Test(arguments: ["nan", "NaN", "NAN", "-nan"])
    func `what is not a number by name is read as that, for validation to refuse by name`(text: String) {
        #expect(double(text)?.isNaN == true)
    }

    @Test(arguments: [
        "", " ", "-", "+", ".", "-.", "+-5", "--5", "5-", "1.2.3", "1..2", "5.00.", "1e", "1e+", "e5", "e", "1e5.5",
        " 5", "5 ",
        "0x10", "0x1p3", "1,000", "1_000", "$5", "5%", "abc", "na", "in", "infin", "nan(1)", "t", "ty", "1f", "5\0",
        "\0", "٥",
        "1" + String(repeating: "2", count: 64),
        // No number is longer than 64 bytes, however plain.
        "1." + String(repeating: "0", count: 63), String(repeating: "0", count: 64) + "1",
    ])
    func `what is no number is refused`(text: String) {
        #expect(double(text) == nil)
    }

    static let integers: [(String, Int64?)] = [
        ("0", 0), ("-0", 0), ("1", 1), ("-1", -1), ("0005", 5), ("9223372036854775807", .max),
        ("-9223372036854775808", .min), ("9223372036854775808", nil), ("-9223372036854775809", nil),
        ("99999999999999999999", nil), ("10000000000000000000", nil), ("", nil), ("-", nil), ("+5", nil), (" 5", nil),
        ("5 ", nil), ("5.0", nil), ("1e3", nil), ("a1b2", nil), ("--1", nil), ("0x1", nil), ("1\0", nil),
    ]

    @Test(arguments: integers)
    func `a whole number is one within 64 bits`(text: String, value: Int64?) {
        #expect(integer(text) == value)
    }

    @Test func `any whole number is read back`() {
        var random = SeededRandom()
        for _ in 0..<20_000 {
            let value = Int64.random(in: .min ... .max, using: &random) >> Int64.random(in: 0...63, using: &random)
            #expect(integer(String(value)) == value, "seed \(random.seed)")
        }
    }
}
