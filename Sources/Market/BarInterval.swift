// SPDX-License-Identifier: Apache-2.0

/// The width of a bar as people ask for it: a stored timeframe, or one that is made of stored bars.
///
/// A width in seconds, minutes, hours or days begins at multiples of itself since the epoch, as stored bars do; one that
/// divides a week at multiples of itself since a Monday, so that `7d` is `1w`. Weeks begin on Monday, 00:00 UTC; months on
/// their first day, counted from January 1970, so that `3M` are quarters and `12M` calendar years.
package struct BarInterval: Hashable, Sendable {
    private enum Step: Hashable, Sendable {
        case fixed(Int64)
        /// Microseconds of so many weeks.
        case weeks(Int64)
        case months(Int64)
    }

    private let step: Step
    /// The stored bars it is made of: the widest that divide it.
    package let base: Timeframe
    /// The one spelling that names it in replies and page tokens: `90m`, `4h`, `1w`, `1M`.
    package let name: String

    /// The widest interval, in days.
    package static let longestDays: Int64 = 3660

    private init(_ step: Step, _ base: Timeframe, _ name: String) {
        self.step = step
        self.base = base
        self.name = name
    }

    /// A stored timeframe.
    package init(_ timeframe: Timeframe) {
        self.init(.fixed(timeframe.microseconds), timeframe, timeframe.name)
    }

    /// Reads an interval in the spellings of this field: `1s 5m 90m 4h 1d 1w 1M 1y`; bare minutes and `D`, `W`, `M`
    /// (Finnhub, TradingView: `1`, `60`, `D`); `1Min`, `1T`, `1Hour`, `1Day`, `1Week`, `1Month` (Alpaca); `1wk`, `1mo`
    /// (Yahoo). A single letter is `m` for minutes and `M` for months; words may be in any case.
    package init?(_ text: String) {
        let digits = text.utf8.prefix { $0 &- 0x30 < 10 }
        guard digits.count <= 6, text.utf8.allSatisfy({ $0 < 0x80 }) else { return nil }
        let unit = String(text.dropFirst(digits.count))
        guard let count = digits.isEmpty ? 1 : Int64(String(decoding: digits, as: UTF8.self)), count > 0 else {
            return nil
        }
        // `m` or `Min` alone is a unit without a number; Finnhub's D, W and M are not.
        if digits.isEmpty && !["D", "W", "M"].contains(unit) { return nil }
        guard let seconds = Self.seconds(unit) else {
            guard let months = Self.months(unit), count * months * 30 <= Self.longestDays else { return nil }
            self.init(.months(count * months), .day1, "\(count * months)M")
            return
        }
        let (width, overflows) = count.multipliedReportingOverflow(by: seconds * 1_000_000)
        guard !overflows, width <= Self.longestDays * Timestamp.microsecondsPerDay else { return nil }
        if seconds == 604_800 {
            self.init(.weeks(width), .day1, "\(count)w")
            return
        }
        guard let base = Timeframe.allCases.last(where: { width % $0.microseconds == 0 }) else { return nil }
        self.init(.fixed(width), base, Self.fixedName(width))
    }

    /// The stored timeframe that it is, or nil if it is made of several bars.
    package var timeframe: Timeframe? { step == .fixed(base.microseconds) ? base : nil }

    /// Whether it is shorter than a day.
    package var isWithinDay: Bool {
        if case .fixed(let width) = step { return width < Timestamp.microsecondsPerDay }
        return false
    }

    /// The most stored bars in one bar of it.
    package var barsEach: Int {
        switch step {
        case .fixed(let width), .weeks(let width): Int(width / base.microseconds)
        case .months(let count): Int(count) * 31
        }
    }

    /// The start of the bar that holds `time`.
    package func start(of time: Timestamp) -> Timestamp {
        switch step {
        case .fixed(let width):
            let origin = Self.week % width == 0 ? Self.firstMonday : 0
            return Timestamp(microseconds: floorDivide(time.microseconds - origin, width) * width + origin)
        case .weeks(let width):
            let offset = time.microseconds - Self.firstMonday
            return Timestamp(microseconds: floorDivide(offset, width) * width + Self.firstMonday)
        case .months(let count):
            let date = CivilDate(daysSinceEpoch: time.day)
            let month = Int64(date.year - 1970) * 12 + Int64(date.month - 1)
            return Self.firstDay(ofMonth: floorDivide(month, count) * count)
        }
    }

    /// The start of the bar `count` bars after (before, if negative) the one that starts at `start`.
    package func start(after start: Timestamp, by count: Int64 = 1) -> Timestamp {
        switch step {
        case .fixed(let width), .weeks(let width):
            return Timestamp(microseconds: start.microseconds + count * width)
        case .months(let months):
            let date = CivilDate(daysSinceEpoch: start.day)
            let month = Int64(date.year - 1970) * 12 + Int64(date.month - 1)
            return Self.firstDay(ofMonth: month + count * months)
        }
    }

    private static func firstDay(ofMonth month: Int64) -> Timestamp {
        let year = floorDivide(month, 12)
        let date = CivilDate(year: Int(year) + 1970, month: Int(month - year * 12) + 1, day: 1)
        return Timestamp(microseconds: date.daysSinceEpoch * Timestamp.microsecondsPerDay)
    }

    /// 1970-01-05, the first Monday; the epoch was a Thursday.
    private static let firstMonday = 4 * Timestamp.microsecondsPerDay

    private static let week = 7 * Timestamp.microsecondsPerDay

    private static func seconds(_ unit: String) -> Int64? {
        switch unit {
        case "s", "S": return 1
        case "m", "": return 60
        case "h", "H": return 3600
        case "d", "D": return 86_400
        case "w", "W": return 604_800
        case "M": return nil
        default: break
        }
        switch unit.lowercased() {
        case "sec", "second", "seconds": return 1
        case "t", "min", "minute", "minutes": return 60
        case "hour", "hours": return 3600
        case "day", "days": return 86_400
        case "wk", "week", "weeks": return 604_800
        default: return nil
        }
    }

    private static func months(_ unit: String) -> Int64? {
        switch unit {
        case "M": return 1
        case "y", "Y": return 12
        default: break
        }
        switch unit.lowercased() {
        case "mo", "month", "months": return 1
        case "year", "years": return 12
        default: return nil
        }
    }

    /// In the widest unit that says it in a whole number.
    private static func fixedName(_ width: Int64) -> String {
        let seconds = width / 1_000_000
        for (unit, size) in [("d", 86_400), ("h", 3600), ("m", 60)] as [(String, Int64)] where seconds % size == 0 {
            return "\(seconds / size)\(unit)"
        }
        return "\(seconds)s"
    }
}
