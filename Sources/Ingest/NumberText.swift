// SPDX-License-Identifier: Apache-2.0

import Glibc

/// Reads numbers from ASCII bytes without a `String` between.
enum NumberText {
    /// A decimal floating-point number, correctly rounded; also `nan`, `inf` and `infinity` in any case, which
    /// validation refuses by name. Nil if the bytes are anything else.
    @inline(__always)
    static func double(_ bytes: UnsafeRawBufferPointer) -> Double? {
        exactDouble(bytes) ?? roundedDouble(bytes)
    }

    /// Up to 15 digits with a power of ten that a double holds exactly: one multiplication or division of two exact
    /// numbers is correctly rounded. Source: Clinger, "How to read floating point numbers accurately" (PLDI 1990).
    private static func exactDouble(_ bytes: UnsafeRawBufferPointer) -> Double? {
        var index = 0
        // No tape's number is longer, and a limit keeps hostile ones cheap.
        guard bytes.count <= 64, let first = bytes.first else { return nil }
        let negative = first == UInt8(ascii: "-")
        if negative || first == UInt8(ascii: "+") { index = 1 }
        var digits: UInt64 = 0
        var digitCount = 0
        var significant = 0
        var afterPoint = 0
        var seenPoint = false
        while index < bytes.count {
            let digit = bytes[index] &- UInt8(ascii: "0")
            if digit < 10 {
                // Trailing zeros after the point ("5.800000000000") would use up the fifteen digits for nothing.
                if seenPoint && digit == 0 && onlyZeros(bytes, after: index) {
                    digitCount += 1
                    index = bytes.count
                    break
                }
                digits = digits &* 10 &+ UInt64(digit)
                if significant > 0 || digit != 0 { significant += 1 }
                digitCount += 1
                if seenPoint { afterPoint += 1 }
                if significant > 15 { return nil }
            } else if bytes[index] == UInt8(ascii: ".") && !seenPoint {
                seenPoint = true
            } else {
                return nil
            }
            index += 1
        }
        guard digitCount > 0, afterPoint <= 22 else { return nil }
        let value = Double(digits) / powersOfTen[afterPoint]
        return negative ? -value : value
    }

    @inline(__always)
    private static func onlyZeros(_ bytes: UnsafeRawBufferPointer, after index: Int) -> Bool {
        var next = index + 1
        while next < bytes.count {
            if bytes[next] != UInt8(ascii: "0") { return false }
            next += 1
        }
        return true
    }

    private static let powersOfTen: [Double] = (0...22).map { pow(10, Double($0)) }

    private static func roundedDouble(_ bytes: UnsafeRawBufferPointer) -> Double? {
        // strtod also takes hexadecimal and leading blanks, which no tape means.
        guard (1...64).contains(bytes.count), bytes.allSatisfy({ isDecimalCharacter($0) }) else { return nil }
        return withUnsafeTemporaryAllocation(byteCount: bytes.count + 1, alignment: 1) { copy in
            copy.copyMemory(from: bytes)
            copy[bytes.count] = 0
            let start = copy.baseAddress!.assumingMemoryBound(to: CChar.self)
            var end: UnsafeMutablePointer<CChar>?
            let value = strtod(start, &end)
            return end == start + bytes.count ? value : nil
        }
    }

    private static func isDecimalCharacter(_ byte: UInt8) -> Bool {
        switch byte {
        case UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "."), UInt8(ascii: "-"), UInt8(ascii: "+"): true
        // e, E and the letters of nan, inf and infinity; x is not among them.
        default: "eEnNaAiIfFtTyY".utf8.contains(byte)
        }
    }

    /// A whole number in the range of `Int64`; nil if the bytes are anything else.
    static func integer(_ bytes: UnsafeRawBufferPointer) -> Int64? {
        var index = 0
        let negative = bytes.first == UInt8(ascii: "-")
        if negative { index = 1 }
        guard index < bytes.count, bytes.count - index <= 19 else { return nil }
        var value: Int64 = 0
        while index < bytes.count {
            let digit = bytes[index] &- UInt8(ascii: "0")
            guard digit < 10 else { return nil }
            let (scaled, overflow) = value.multipliedReportingOverflow(by: 10)
            let (sum, overflowed) = scaled.subtractingReportingOverflow(Int64(digit))
            if overflow || overflowed { return nil }
            value = sum
            index += 1
        }
        // Built up as a negative number, whose range is the larger one.
        if negative { return value }
        return value == .min ? nil : -value
    }
}
