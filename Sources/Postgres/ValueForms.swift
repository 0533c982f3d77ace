// SPDX-License-Identifier: Apache-2.0

/// Reads the text form of values, as the server writes it with DateStyle ISO and bytea_output hex. Every function
/// returns nil for bytes that are not in that form.
enum TextForm {
    /// An optional sign and digits that fit 64 bits.
    static func integer(_ bytes: UnsafeRawBufferPointer) -> Int64? {
        var index = 0
        let negative = bytes.first == UInt8(ascii: "-")
        if negative || bytes.first == UInt8(ascii: "+") { index = 1 }
        if index == bytes.count { return nil }
        var value: Int64 = 0
        // Downwards, since the most negative number has no positive counterpart.
        while index < bytes.count {
            let digit = bytes[index] &- UInt8(ascii: "0")
            if digit > 9 { return nil }
            let (scaled, tooLarge) = value.multipliedReportingOverflow(by: 10)
            let (next, overflow) = scaled.subtractingReportingOverflow(Int64(digit))
            if tooLarge || overflow { return nil }
            value = next
            index += 1
        }
        if negative { return value }
        return value == .min ? nil : -value
    }

    static func double(_ bytes: UnsafeRawBufferPointer) -> Double? { Double(String(decoding: bytes, as: UTF8.self)) }

    /// `\x` and two hexadecimal digits for each byte.
    static func bytea(_ bytes: UnsafeRawBufferPointer) -> [UInt8]? {
        guard bytes.count % 2 == 0, bytes.count >= 2, bytes[0] == UInt8(ascii: "\\"), bytes[1] == UInt8(ascii: "x")
        else { return nil }
        var decoded: [UInt8] = []
        decoded.reserveCapacity(bytes.count / 2 - 1)
        for index in stride(from: 2, to: bytes.count, by: 2) {
            guard let high = hexDigit(bytes[index]), let low = hexDigit(bytes[index + 1]) else { return nil }
            decoded.append(high << 4 | low)
        }
        return decoded
    }

    private static func hexDigit(_ byte: UInt8) -> UInt8? {
        switch byte {
        case UInt8(ascii: "0")...UInt8(ascii: "9"): byte - UInt8(ascii: "0")
        case UInt8(ascii: "a")...UInt8(ascii: "f"): byte - UInt8(ascii: "a") + 10
        case UInt8(ascii: "A")...UInt8(ascii: "F"): byte - UInt8(ascii: "A") + 10
        default: nil
        }
    }

    /// `2024-05-06 07:08:09.123456+02:30 BC` and its shorter forms, `infinity` and `-infinity`: microseconds since 1970.
    static func timestamp(_ bytes: UnsafeRawBufferPointer) -> Int64? {
        var scanner = Scanner(bytes: bytes)
        if scanner.skip("infinity") { return scanner.isAtEnd ? .max : nil }
        if scanner.skip("-infinity") { return scanner.isAtEnd ? .min : nil }
        guard var year = scanner.number(), scanner.skip("-"), let month = scanner.number(), scanner.skip("-"),
            let day = scanner.number(), (1...12).contains(month), (1...31).contains(day)
        else { return nil }
        var microseconds: Int64 = 0
        if scanner.skip(" ") && !scanner.isAt("BC") {
            guard let time = scanner.timeOfDay(), let offset = scanner.zoneOffset() else { return nil }
            microseconds = time - offset * 1_000_000
            _ = scanner.skip(" ")
        }
        if scanner.skip("BC") { year = 1 - year }
        if !scanner.isAtEnd || year.magnitude > 400_000 { return nil }
        return daysSince1970(year: year, month: month, day: day) * 86_400_000_000 + microseconds
    }

    /// Days from 1970-01-01 in the proleptic Gregorian calendar. March comes first, so that the leap day is the last
    /// of its year (Howard Hinnant, "chrono-compatible low-level date algorithms", days_from_civil).
    static func daysSince1970(year: Int64, month: Int64, day: Int64) -> Int64 {
        let year = month <= 2 ? year - 1 : year
        let era = (year >= 0 ? year : year - 399) / 400
        let yearOfEra = year - era * 400
        let dayOfYear = (153 * (month + (month > 2 ? -3 : 9)) + 2) / 5 + day - 1
        let dayOfEra = yearOfEra * 365 + yearOfEra / 4 - yearOfEra / 100 + dayOfYear
        return era * 146_097 + dayOfEra - 719_468
    }

    /// `{a,"b \" c",NULL}`: the elements of a one-dimensional array.
    static func array(_ bytes: UnsafeRawBufferPointer) -> [String?]? {
        guard bytes.count >= 2, bytes[0] == UInt8(ascii: "{"), bytes[bytes.count - 1] == UInt8(ascii: "}") else {
            return nil
        }
        var elements: [String?] = []
        var index = 1
        let end = bytes.count - 1
        while index < end {
            var element: [UInt8] = []
            let quoted = bytes[index] == UInt8(ascii: "\"")
            if quoted { index += 1 }
            while index < end && bytes[index] != (quoted ? UInt8(ascii: "\"") : UInt8(ascii: ",")) {
                if bytes[index] == UInt8(ascii: "{") && !quoted { return nil }
                if bytes[index] == UInt8(ascii: "\\") { index += 1 }
                element.append(bytes[index])
                index += 1
            }
            if quoted { index += 1 }
            let text = String(decoding: element, as: UTF8.self)
            elements.append(!quoted && text == "NULL" ? nil : text)
            if index < end && bytes[index] != UInt8(ascii: ",") { return nil }
            index += 1
        }
        return elements
    }

    private struct Scanner {
        let bytes: UnsafeRawBufferPointer
        var index = 0

        var isAtEnd: Bool { index == bytes.count }

        func isAt(_ text: StaticString) -> Bool {
            guard bytes.count - index >= text.utf8CodeUnitCount else { return false }
            return (0..<text.utf8CodeUnitCount).allSatisfy { bytes[index + $0] == text.utf8Start[$0] }
        }

        mutating func skip(_ text: StaticString) -> Bool {
            if !isAt(text) { return false }
            index += text.utf8CodeUnitCount
            return true
        }

        /// One to six digits.
        mutating func number() -> Int64? {
            let start = index
            var value: Int64 = 0
            while index < bytes.count, bytes[index] &- UInt8(ascii: "0") <= 9 {
                value = value * 10 + Int64(bytes[index] - UInt8(ascii: "0"))
                index += 1
                if index - start > 6 { return nil }
            }
            return index == start ? nil : value
        }

        /// `hh:mm:ss[.ffffff]` in microseconds.
        mutating func timeOfDay() -> Int64? {
            guard let hour = number(), skip(":"), let minute = number(), skip(":"), let second = number(),
                hour <= 24, minute < 60, second <= 60
            else { return nil }
            var fraction: Int64 = 0
            if skip(".") {
                let start = index
                guard let digits = number() else { return nil }
                fraction = digits
                for _ in (index - start)..<6 { fraction *= 10 }
            }
            return ((hour * 60 + minute) * 60 + second) * 1_000_000 + fraction
        }

        /// `+hh[:mm[:ss]]` in seconds east of UTC; nothing is UTC.
        mutating func zoneOffset() -> Int64? {
            let sign: Int64
            if skip("+") { sign = 1 } else if skip("-") { sign = -1 } else { return 0 }
            guard let hours = number() else { return nil }
            var seconds = hours * 3600
            if skip(":") {
                guard let minutes = number() else { return nil }
                seconds += minutes * 60
                if skip(":") {
                    guard let rest = number() else { return nil }
                    seconds += rest
                }
            }
            return sign * seconds
        }
    }
}

/// Reads the binary form of values: big-endian, told apart by their length. Every function returns nil for a length
/// its type cannot have.
enum BinaryForm {
    /// `smallint`, `integer`, `bigint`.
    static func integer(_ bytes: UnsafeRawBufferPointer) -> Int64? {
        switch bytes.count {
        case 2: Int64(load(bytes, 0, as: Int16.self))
        case 4: Int64(load(bytes, 0, as: Int32.self))
        case 8: load(bytes, 0, as: Int64.self)
        default: nil
        }
    }

    /// `real`, `double precision`.
    static func double(_ bytes: UnsafeRawBufferPointer) -> Double? {
        switch bytes.count {
        case 4: Double(Float(bitPattern: load(bytes, 0, as: UInt32.self)))
        case 8: Double(bitPattern: load(bytes, 0, as: UInt64.self))
        default: nil
        }
    }

    /// `timestamptz` and `timestamp` (8 bytes) in microseconds since 1970; `date` (4 bytes) at its midnight UTC.
    static func timestamp(_ bytes: UnsafeRawBufferPointer) -> Int64? {
        switch bytes.count {
        case 8: return microsecondsSince1970(load(bytes, 0, as: Int64.self))
        case 4:
            let days = load(bytes, 0, as: Int32.self)
            if days == .max { return .max }
            if days == .min { return .min }
            return (Int64(days) + 10957) * 86_400_000_000
        default: return nil
        }
    }

    /// A one-dimensional array of a text type; the layout is told at `BinaryBuffer.append(array:of:appendElement:)`.
    static func textArray(_ bytes: UnsafeRawBufferPointer) -> [String?]? {
        guard bytes.count >= 12 else { return nil }
        let dimensions = load(bytes, 0, as: Int32.self)
        if dimensions == 0 { return [] }
        guard dimensions == 1, bytes.count >= 20 else { return nil }
        let count = Int(load(bytes, 12, as: Int32.self))
        var elements: [String?] = []
        var offset = 20
        for _ in 0..<count {
            guard bytes.count - offset >= 4 else { return nil }
            let length = Int(load(bytes, offset, as: Int32.self))
            offset += 4
            if length < 0 {
                elements.append(nil)
                continue
            }
            guard bytes.count - offset >= length else { return nil }
            elements.append(String(decoding: bytes[offset..<(offset + length)], as: UTF8.self))
            offset += length
        }
        return elements
    }

    @inline(__always)
    private static func load<T: FixedWidthInteger & BitwiseCopyable>(
        _ bytes: UnsafeRawBufferPointer, _ offset: Int, as type: T.Type
    ) -> T {
        T(bigEndian: bytes.loadUnaligned(fromByteOffset: offset, as: T.self))
    }
}
