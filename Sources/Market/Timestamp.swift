// SPDX-License-Identifier: Apache-2.0

/// A moment: a 64-bit count of microseconds since 1970-01-01T00:00:00Z. Time everywhere inside Tapedeck.
package struct Timestamp: Hashable, Comparable, Sendable {
    /// Microseconds since the epoch, UTC; negative before 1970.
    package var microseconds: Int64

    package init(microseconds: Int64) { self.microseconds = microseconds }

    package static let epoch = Timestamp(microseconds: 0)

    package static func < (a: Timestamp, b: Timestamp) -> Bool { a.microseconds < b.microseconds }

    /// The UTC day that holds this moment, as days since 1970-01-01.
    package var day: Int64 { floorDivide(microseconds, Self.microsecondsPerDay) }

    /// Microseconds in a day; UTC has no leap seconds here, as in POSIX and PostgreSQL.
    package static let microsecondsPerDay: Int64 = 86_400_000_000
}

/// Division that rounds towards minus infinity, so that times before 1970 fall into the right bucket.
@inline(__always)
package func floorDivide(_ value: Int64, _ divisor: Int64) -> Int64 {
    let quotient = value / divisor
    return value % divisor < 0 ? quotient - 1 : quotient
}

// MARK: Civil dates

/// A date of the proleptic Gregorian calendar.
package struct CivilDate: Hashable, Sendable {
    package var year: Int
    package var month: Int
    package var day: Int

    package init(year: Int, month: Int, day: Int) {
        self.year = year
        self.month = month
        self.day = day
    }

    /// From days since 1970-01-01. Source: Hinnant, "chrono-Compatible Low-Level Date Algorithms",
    /// civil_from_days.
    package init(daysSinceEpoch: Int64) {
        let shifted = Int(daysSinceEpoch) + 719_468
        let era = (shifted >= 0 ? shifted : shifted - 146_096) / 146_097
        let dayOfEra = shifted - era * 146_097
        let yearOfEra = (dayOfEra - dayOfEra / 1460 + dayOfEra / 36_524 - dayOfEra / 146_096) / 365
        let dayOfYear = dayOfEra - (365 * yearOfEra + yearOfEra / 4 - yearOfEra / 100)
        let shiftedMonth = (5 * dayOfYear + 2) / 153
        day = dayOfYear - (153 * shiftedMonth + 2) / 5 + 1
        month = shiftedMonth < 10 ? shiftedMonth + 3 : shiftedMonth - 9
        year = yearOfEra + era * 400 + (month <= 2 ? 1 : 0)
    }

    /// Days since 1970-01-01 (Hinnant, days_from_civil).
    package var daysSinceEpoch: Int64 {
        let shiftedYear = month <= 2 ? year - 1 : year
        let era = (shiftedYear >= 0 ? shiftedYear : shiftedYear - 399) / 400
        let yearOfEra = shiftedYear - era * 400
        let dayOfYear = (153 * (month > 2 ? month - 3 : month + 9) + 2) / 5 + day - 1
        let dayOfEra = yearOfEra * 365 + yearOfEra / 4 - yearOfEra / 100 + dayOfYear
        return Int64(era * 146_097 + dayOfEra - 719_468)
    }

    /// Whether the month has such a day.
    package var isValid: Bool {
        guard (1...12).contains(month), day >= 1 else { return false }
        let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0)
        return day <= (month == 2 ? (leap ? 29 : 28) : [4, 6, 9, 11].contains(month) ? 30 : 31)
    }
}

// MARK: Text

extension Timestamp: CustomStringConvertible {
    /// RFC 3339 in UTC with as many fraction digits as are needed, as in `2013-01-01T00:04:19.486096Z` or
    /// `2013-01-01T00:04:19.5Z`: what PostgreSQL writes, so that one moment has one text in every answer.
    package var description: String {
        let date = CivilDate(daysSinceEpoch: day)
        // Wrapping: the first day of Int64 begins before its range does.
        let ofDay = microseconds &- day &* Self.microsecondsPerDay
        let seconds = ofDay / 1_000_000
        let fraction = ofDay % 1_000_000
        var text = "\(padded(date.year, 4))-\(padded(date.month, 2))-\(padded(date.day, 2))T"
        text += "\(padded(Int(seconds / 3600), 2)):\(padded(Int(seconds / 60 % 60), 2)):\(padded(Int(seconds % 60), 2))"
        if fraction != 0 {
            text += "." + padded(Int(fraction), 6)
            while text.utf8.last == UInt8(ascii: "0") { text.removeLast() }
        }
        return text + "Z"
    }

    private func padded(_ value: Int, _ width: Int) -> String {
        let digits = String(value)
        return String(repeating: "0", count: max(0, width - digits.utf8.count)) + digits
    }
}

extension Timestamp {
    /// Reads a time as files and requests spell it: an epoch count (integer or decimal; seconds, milliseconds,
    /// microseconds or nanoseconds by magnitude), a date, or RFC 3339 with 0 to 9 fraction digits, where a space may
    /// stand for the `T` and a missing zone means UTC. Nanoseconds are rounded down. Nil if it is none of these.
    package init?(parsing bytes: UnsafeRawBufferPointer) {
        var isCut = false
        self.init(parsing: bytes, isCut: &isCut)
    }

    /// The same for a string.
    package init?(parsing text: String) {
        var text = text
        let parsed = text.withUTF8 { Timestamp(parsing: UnsafeRawBufferPointer($0)) }
        guard let parsed else { return nil }
        self = parsed
    }

    /// The same with nanoseconds rounded up, as what is compared with by `≥` and `<` must be; rounded down it is what `>` and
    /// `≤` are right for.
    package init?(parsingUp text: String) {
        var (text, isCut) = (text, false)
        let parsed = text.withUTF8 { Timestamp(parsing: UnsafeRawBufferPointer($0), isCut: &isCut) }
        guard let parsed else { return nil }
        self = isCut ? Timestamp(microseconds: parsed.microseconds + 1) : parsed
    }

    /// - Parameter isCut: set where the moment is later than what can be said of it.
    private init?(parsing bytes: UnsafeRawBufferPointer, isCut: inout Bool) {
        if let number = Self.epochNumber(bytes, &isCut) {
            self = number
            return
        }
        guard let calendar = CalendarText(bytes).parse(&isCut) else { return nil }
        self = calendar
    }

    /// An epoch count, by magnitude: below 10¹¹ seconds (until the year 5138), below 10¹⁴ milliseconds, below 10¹⁷
    /// microseconds, else nanoseconds.
    package init?(epoch value: Double) {
        guard value.isFinite else { return nil }
        let scale: Double =
            switch value.magnitude {
            case ..<1e11: 1e6
            case ..<1e14: 1e3
            case ..<1e17: 1
            default: 1e-3
            }
        let scaled = (value * scale).rounded(.down)
        guard scaled.magnitude < 9e18 else { return nil }
        self.init(microseconds: Int64(scaled))
    }

    /// An integer epoch count, by the magnitudes of ``init(epoch:)-(Double)``; exact.
    package init?(epoch value: Int64) {
        switch value.magnitude {
        case ..<100_000_000_000: self.init(microseconds: value * 1_000_000)
        case ..<100_000_000_000_000: self.init(microseconds: value * 1000)
        case ..<100_000_000_000_000_000: self.init(microseconds: value)
        default: self.init(microseconds: floorDivide(value, 1000))
        }
    }

    /// Digits with an optional sign and fraction, done in integers so that no digit is lost.
    private static func epochNumber(_ bytes: UnsafeRawBufferPointer, _ isCut: inout Bool) -> Timestamp? {
        var index = 0
        let negative = bytes.first == UInt8(ascii: "-")
        if negative { index = 1 }
        var whole: Int64 = 0
        let start = index
        while index < bytes.count, let digit = digit(bytes[index]) {
            if index - start >= 19 { return nil }
            let (scaled, overflow) = whole.multipliedReportingOverflow(by: 10)
            let (sum, overflowed) = scaled.addingReportingOverflow(Int64(digit))
            if overflow || overflowed { return nil }
            whole = sum
            index += 1
        }
        if index == start { return nil }
        let isCutWhole = whole >= 100_000_000_000_000_000 && whole % 1000 != 0
        if index == bytes.count {
            isCut = isCutWhole
            return Timestamp(epoch: negative ? -whole : whole)
        }
        guard bytes[index] == UInt8(ascii: ".") else { return nil }
        index += 1
        // What one unit of the whole part is worth, in millionths of a microsecond-scaled count.
        let unit: Int64 =
            switch whole {
            case ..<100_000_000_000: 1_000_000
            case ..<100_000_000_000_000: 1000
            default: 1
            }
        var fraction: Int64 = 0
        var worth = unit
        isCut = isCutWhole
        while index < bytes.count, let digit = digit(bytes[index]) {
            worth /= 10
            fraction += worth * Int64(digit)
            if worth == 0 && digit != 0 { isCut = true }
            index += 1
        }
        guard index == bytes.count, let base = Timestamp(epoch: whole) else { return nil }
        let magnitude = base.microseconds + fraction
        // What was cut off a negative count takes it further down.
        return Timestamp(microseconds: negative ? -magnitude - (isCut ? 1 : 0) : magnitude)
    }

    fileprivate static func digit(_ byte: UInt8) -> Int? {
        let value = byte &- UInt8(ascii: "0")
        return value < 10 ? Int(value) : nil
    }
}

/// A scanner over `YYYY-MM-DD[(T| )HH:MM[:SS[.fraction]][Z|±HH[:MM]]]` (RFC 3339 §5.6, with the laxities named at
/// ``Timestamp/init(parsing:)``).
private struct CalendarText {
    private let bytes: UnsafeRawBufferPointer
    private var index = 0

    init(_ bytes: UnsafeRawBufferPointer) { self.bytes = bytes }

    consuming func parse(_ isCut: inout Bool) -> Timestamp? {
        guard let year = number(4), skip("-"), let month = number(2), skip("-"), let day = number(2) else {
            return nil
        }
        let date = CivilDate(year: year, month: month, day: day)
        guard date.isValid else { return nil }
        var microseconds = date.daysSinceEpoch * Timestamp.microsecondsPerDay
        if index == bytes.count { return Timestamp(microseconds: microseconds) }
        guard skip("T") || skip("t") || skip(" "), let hour = number(2), skip(":"), let minute = number(2),
            hour < 24, minute < 60
        else { return nil }
        microseconds += Int64(hour * 3600 + minute * 60) * 1_000_000
        if skip(":") {
            // A leap second (60) reads as the first second of the next minute, as PostgreSQL has it.
            guard let second = number(2), second <= 60, let fraction = fraction(&isCut) else { return nil }
            microseconds += Int64(second) * 1_000_000 + fraction
        }
        guard let offset = zone(), index == bytes.count else { return nil }
        return Timestamp(microseconds: microseconds - offset)
    }

    private mutating func number(_ digits: Int) -> Int? {
        guard index + digits <= bytes.count else { return nil }
        var value = 0
        for position in index..<(index + digits) {
            guard let digit = Timestamp.digit(bytes[position]) else { return nil }
            value = value * 10 + digit
        }
        index += digits
        return value
    }

    private mutating func skip(_ character: Unicode.Scalar) -> Bool {
        guard index < bytes.count, bytes[index] == UInt8(ascii: character) else { return false }
        index += 1
        return true
    }

    /// Microseconds after the point; digits beyond the sixth are dropped, beyond the ninth refused.
    private mutating func fraction(_ isCut: inout Bool) -> Int64? {
        guard skip(".") else { return 0 }
        var value: Int64 = 0
        var worth: Int64 = 100_000
        let start = index
        while index < bytes.count, let digit = Timestamp.digit(bytes[index]) {
            value += Int64(digit) * worth
            if worth == 0 && digit != 0 { isCut = true }
            worth /= 10
            index += 1
        }
        return (1...9).contains(index - start) ? value : nil
    }

    /// The zone's offset from UTC in microseconds.
    private mutating func zone() -> Int64? {
        if index == bytes.count || skip("Z") || skip("z") { return 0 }
        let negative = skip("-")
        guard negative || skip("+"), let hours = number(2), hours < 24 else { return nil }
        var minutes = 0
        if skip(":") {
            guard let value = number(2) else { return nil }
            minutes = value
        } else if index < bytes.count {
            guard let value = number(2) else { return nil }
            minutes = value
        }
        guard minutes < 60 else { return nil }
        let offset = Int64(hours * 3600 + minutes * 60) * 1_000_000
        return negative ? -offset : offset
    }
}
