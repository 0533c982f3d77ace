// SPDX-License-Identifier: Apache-2.0

/// When a market trades: by rule, so for years to come as well.
package enum TradingCalendar: Hashable, Sendable, CaseIterable {
    /// NYSE and Nasdaq: 09:30 to 16:00 in New York on weekdays that are no holidays, on half days to 13:00. Exact from
    /// 2007 on; what is closed at short notice (a state funeral, a hurricane) is known of the past only.
    /// Source: NYSE Rule 7.2, https://www.nyse.com/markets/hours-calendars.
    case newYork
    /// Currencies: from Sunday to Friday, 17:00 in New York. Holidays differ by venue and are left out.
    case foreignExchange
    /// Always: crypto-currencies.
    case aroundTheClock

    /// The market that a symbol is of, by how Finnhub and Yahoo write them; nil for an exchange with hours of its own
    /// that are not known here (Yahoo's `VOD.L`, Finnhub's `VOD.L`).
    package static func of(_ symbol: String) -> TradingCalendar? {
        if let colon = symbol.firstIndex(of: ":") {
            let currencies: Set = ["OANDA", "FXCM", "FOREX.COM", "FXPIG", "PEPPERSTONE", "IC MARKETS", "ICM", "FOREX"]
            return currencies.contains(symbol[..<colon].uppercased()) ? .foreignExchange : .aroundTheClock
        }
        if symbol.hasSuffix("=X") { return .foreignExchange }
        // BTC-USD is a pair, BRK-B a share of class B.
        if let dash = symbol.lastIndex(of: "-"), symbol.distance(from: dash, to: symbol.endIndex) > 3 {
            return .aroundTheClock
        }
        // BRK.B is a share of class B; other exchanges than American ones have suffixes of one or more letters.
        if let dot = symbol.lastIndex(of: "."), !["A", "B"].contains(symbol[symbol.index(after: dot)...]) {
            return nil
        }
        return symbol.hasSuffix("=F") ? nil : .newYork
    }

    /// Trading on one day.
    package struct Session: Hashable, Sendable {
        /// First moment, inclusive, and the moment after the last.
        package var open: Timestamp
        package var close: Timestamp
        /// Whether it ends before its usual time.
        package var isHalfDay: Bool

        package func contains(_ time: Timestamp) -> Bool { open <= time && time < close }
    }

    /// The session of a day of the market's own time; nil if there is none. For markets that trade through midnight, the
    /// part of the day on which they do.
    package func session(on date: CivilDate) -> Session? {
        switch self {
        case .newYork:
            guard !NewYorkHolidays.isClosed(on: date) else { return nil }
            let isHalf = NewYorkHolidays.isHalfDay(date)
            return Session(
                open: NewYorkTime.moment(date, minutes: 9 * 60 + 30),
                close: NewYorkTime.moment(date, minutes: isHalf ? 13 * 60 : 16 * 60), isHalfDay: isHalf)
        case .foreignExchange:
            let weekday = date.weekday
            if weekday == .saturday { return nil }
            return Session(
                open: NewYorkTime.moment(date, minutes: weekday == .sunday ? 17 * 60 : 0),
                close: weekday == .friday
                    ? NewYorkTime.moment(date, minutes: 17 * 60) : NewYorkTime.moment(date.adding(days: 1), minutes: 0),
                isHalfDay: false)
        case .aroundTheClock:
            return Session(
                open: Timestamp(microseconds: date.daysSinceEpoch * Timestamp.microsecondsPerDay),
                close: Timestamp(microseconds: (date.daysSinceEpoch + 1) * Timestamp.microsecondsPerDay),
                isHalfDay: false)
        }
    }

    package enum State: Hashable, Sendable {
        /// Trades until that moment, exclusive; nil for ever.
        case open(until: Timestamp?)
        /// Trades again at that moment.
        case closed(until: Timestamp)
    }

    /// Whether the market trades at a moment, and until when that stays so.
    package func state(at time: Timestamp) -> State {
        if self == .aroundTheClock { return .open(until: nil) }
        var date = localDate(of: time)
        if let today = session(on: date), today.contains(time) { return .open(until: end(of: today, on: date)) }
        // No market is closed for as long as this; September 2001 took six days.
        for _ in 0..<30 {
            if let session = session(on: date), session.open > time { return .closed(until: session.open) }
            date = date.adding(days: 1)
        }
        preconditionFailure("a market without sessions")
    }

    package func isOpen(at time: Timestamp) -> Bool {
        if case .open = state(at: time) { true } else { false }
    }

    /// The close of the last session that ended at or before a moment.
    package func lastClose(before time: Timestamp) -> Timestamp {
        var date = localDate(of: time)
        for _ in 0..<30 {
            if let session = session(on: date), session.close <= time { return session.close }
            date = date.adding(days: -1)
        }
        preconditionFailure("a market without sessions")
    }

    /// The day on which a moment lies where the market is.
    package func localDate(of time: Timestamp) -> CivilDate {
        self == .aroundTheClock ? CivilDate(daysSinceEpoch: time.day) : NewYorkTime.date(of: time)
    }

    /// Sessions that touch are one.
    private func end(of session: Session, on date: CivilDate) -> Timestamp {
        var (end, date) = (session.close, date)
        while let next = self.session(on: date.adding(days: 1)), next.open == end {
            (end, date) = (next.close, date.adding(days: 1))
        }
        return end
    }
}

/// The clocks of New York. Source: Energy Policy Act of 2005 §110; before 2007 other days changed the clocks.
enum NewYorkTime {
    /// Minutes that local time is behind UTC on a day, after 02:00.
    static func minutesBehind(on date: CivilDate) -> Int64 {
        let spring = CivilDate.day(2, .sunday, ofMonth: 3, date.year)
        let autumn = CivilDate.day(1, .sunday, ofMonth: 11, date.year)
        return spring <= date && date < autumn ? 4 * 60 : 5 * 60
    }

    /// The moment at which clocks show so many minutes after midnight. Of an hour that is missing or repeated, the one
    /// after the change; no market opens or closes then.
    static func moment(_ date: CivilDate, minutes: Int64) -> Timestamp {
        let behind = minutes < 120 ? minutesBehind(on: date.adding(days: -1)) : minutesBehind(on: date)
        return Timestamp(
            microseconds: date.daysSinceEpoch * Timestamp.microsecondsPerDay + (minutes + behind) * 60_000_000)
    }

    static func date(of time: Timestamp) -> CivilDate {
        let standard = CivilDate(daysSinceEpoch: Timestamp(microseconds: time.microseconds - 5 * 3_600_000_000).day)
        let next = standard.adding(days: 1)
        return moment(next, minutes: 0) <= time ? next : standard
    }
}

/// Days on which NYSE and Nasdaq do not trade, or only until 13:00.
enum NewYorkHolidays {
    static func isClosed(on date: CivilDate) -> Bool {
        if [.saturday, .sunday].contains(date.weekday) { return true }
        if closures.contains(date) { return true }
        let year = date.year
        switch date.month {
        case 1:
            // A Saturday's New Year is not made up for: the Friday before closes the books of the year.
            return date == onMonday(CivilDate(year: year, month: 1, day: 1))
                || date == CivilDate.day(3, .monday, ofMonth: 1, year)
        case 2: return date == CivilDate.day(3, .monday, ofMonth: 2, year)
        case 3, 4: return date == CivilDate.easter(year).adding(days: -2)
        case 5: return date == CivilDate.last(.monday, ofMonth: 5, year)
        case 6: return year >= 2022 && date == observed(CivilDate(year: year, month: 6, day: 19))
        case 7: return date == observed(CivilDate(year: year, month: 7, day: 4))
        case 9: return date == CivilDate.day(1, .monday, ofMonth: 9, year)
        case 11: return date == CivilDate.day(4, .thursday, ofMonth: 11, year)
        case 12: return date == observed(CivilDate(year: year, month: 12, day: 25))
        default: return false
        }
    }

    /// Whether trading on a day on which there is any ends at 13:00.
    static func isHalfDay(_ date: CivilDate) -> Bool {
        switch (date.month, date.day) {
        case (7, 3), (12, 24): !isClosed(on: date) && date.weekday != .friday
        case (11, _): date == CivilDate.day(4, .thursday, ofMonth: 11, date.year).adding(days: 1)
        default: false
        }
    }

    /// What no rule foretells.
    private static let closures: Set<CivilDate> = [
        CivilDate(year: 2007, month: 1, day: 2),  // mourning for Gerald Ford
        CivilDate(year: 2012, month: 10, day: 29), CivilDate(year: 2012, month: 10, day: 30),  // hurricane Sandy
        CivilDate(year: 2018, month: 12, day: 5),  // mourning for George H. W. Bush
        CivilDate(year: 2025, month: 1, day: 9),  // mourning for Jimmy Carter
    ]

    private static func onMonday(_ date: CivilDate) -> CivilDate {
        date.weekday == .sunday ? date.adding(days: 1) : date
    }

    private static func observed(_ date: CivilDate) -> CivilDate {
        date.weekday == .saturday ? date.adding(days: -1) : onMonday(date)
    }
}

package enum Weekday: Int, Sendable {
    case monday, tuesday, wednesday, thursday, friday, saturday, sunday
}

extension CivilDate: Comparable {
    package static func < (a: CivilDate, b: CivilDate) -> Bool { (a.year, a.month, a.day) < (b.year, b.month, b.day) }

    package func adding(days: Int64) -> CivilDate { CivilDate(daysSinceEpoch: daysSinceEpoch + days) }

    package var weekday: Weekday {
        // 1970-01-01 was a Thursday.
        let number = daysSinceEpoch + 3
        return Weekday(rawValue: Int(number - floorDivide(number, 7) * 7)) ?? .monday
    }

    /// The first, second … such weekday of a month.
    static func day(_ ordinal: Int64, _ weekday: Weekday, ofMonth month: Int, _ year: Int) -> CivilDate {
        let first = CivilDate(year: year, month: month, day: 1)
        let offset = Int64((weekday.rawValue - first.weekday.rawValue + 7) % 7)
        return first.adding(days: offset + 7 * (ordinal - 1))
    }

    /// The last such weekday of a month that has 31 days.
    static func last(_ weekday: Weekday, ofMonth month: Int, _ year: Int) -> CivilDate {
        let end = CivilDate(year: year, month: month, day: 31)
        return end.adding(days: -Int64((end.weekday.rawValue - weekday.rawValue + 7) % 7))
    }

    /// Easter Sunday of the Gregorian calendar. Source: Meeus, "Astronomical Algorithms", chapter 8.
    static func easter(_ year: Int) -> CivilDate {
        let (a, b, c) = (year % 19, year / 100, year % 100)
        let g = (8 * b + 13) / 25
        let h = (19 * a + b - b / 4 - g + 15) % 30
        let l = (32 + 2 * (b % 4) + 2 * (c / 4) - h - c % 4) % 7
        let m = (a + 11 * h + 19 * l) / 433
        let month = (h + l - 7 * m + 90) / 25
        return CivilDate(year: year, month: month, day: (h + l - 7 * m + 33 * month + 19) % 32)
    }
}
