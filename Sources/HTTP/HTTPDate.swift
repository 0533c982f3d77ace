// SPDX-License-Identifier: Apache-2.0
// The Date field: IMF-fixdate (RFC 9110 §5.6.7), formatted once a second for each loop.

import CLinux
import Glibc

/// The first lines of the responses of one second. Nearly all have the same status, so these lines are made once a second
/// and not for each of them.
struct HeadBeginning {
    private var second = -1
    /// `Date: Sun, 06 Nov 1994 08:49:37 GMT`, with its end.
    private var dateLine: [UInt8] = []
    /// Of the lines; 0 for none.
    private var code: UInt16 = 0
    private var lines: [UInt8] = []

    /// Seconds since 1970. One vDSO call; the coarse clock is a few milliseconds late at most, and the Date field counts
    /// seconds.
    static var now: Int {
        var time = timespec()
        clock_gettime(CLOCK_REALTIME_COARSE, &time)
        return time.tv_sec
    }

    /// Adds the lines for `status` and `now`, in seconds since 1970, to `head`.
    mutating func append(_ status: Status, at now: Int, serverName: String?, to head: inout [UInt8]) {
        if now != second { begin(now) }
        if status.reason != nil { return head.beginHead(status, serverName: serverName, date: dateLine) }
        if status.code != code {
            code = status.code
            lines.removeAll(keepingCapacity: true)
            lines.beginHead(status, serverName: serverName, date: dateLine)
        }
        head.append(contentsOf: lines)
    }

    private mutating func begin(_ second: Int) {
        self.second = second
        code = 0
        dateLine.removeAll(keepingCapacity: true)
        dateLine.append("Date: ")
        dateLine.append(contentsOf: httpDate(second).utf8)
        dateLine.append("\r\n")
    }
}

/// `seconds` since 1970, not before it, as IMF-fixdate.
package func httpDate(_ seconds: Int) -> String {
    let days = seconds / 86_400
    let time = seconds % 86_400
    let (year, month, day) = civilDate(days)
    let weekdays = ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"]
    func two(_ value: Int) -> String { value < 10 ? "0\(value)" : "\(value)" }
    return "\(weekdays[days % 7]), \(two(day)) \(months[month - 1]) \(year) "
        + "\(two(time / 3600)):\(two(time / 60 % 60)):\(two(time % 60)) GMT"
}

/// Days since 1970-01-01 as year, month and day: Howard Hinnant's `civil_from_days`, for dates from 1970 on.
private func civilDate(_ days: Int) -> (year: Int, month: Int, day: Int) {
    // Years begin in March, so that the leap day is the last of its year; eras of 400 years repeat.
    let shifted = days + 719_468
    let era = shifted / 146_097
    let dayOfEra = shifted % 146_097
    let yearOfEra = (dayOfEra - dayOfEra / 1460 + dayOfEra / 36_524 - dayOfEra / 146_096) / 365
    let dayOfYear = dayOfEra - (365 * yearOfEra + yearOfEra / 4 - yearOfEra / 100)
    let marchMonth = (5 * dayOfYear + 2) / 153
    let month = marchMonth < 10 ? marchMonth + 3 : marchMonth - 9
    return (yearOfEra + era * 400 + (month <= 2 ? 1 : 0), month, dayOfYear - (153 * marchMonth + 2) / 5 + 1)
}

/// A date in one of the three forms of RFC 9110 §5.6.7 as seconds since 1970; nil for anything else. A year of two
/// digits is one from 1970 to 2069.
package func httpDate(_ text: String) -> Int? {
    let words = text.split { $0 == " " || $0 == "-" || $0 == "," }
    let day: Substring, month: Substring, year: Substring, time: Substring
    if words.count == 6, words[5] == "GMT" {
        // Sun, 06 Nov 1994 08:49:37 GMT · Sunday, 06-Nov-94 08:49:37 GMT
        (day, month, year, time) = (words[1], words[2], words[3], words[4])
    } else if words.count == 5 {
        // Sun Nov  6 08:49:37 1994
        (day, month, year, time) = (words[2], words[1], words[4], words[3])
    } else {
        return nil
    }
    func number(_ digits: Substring, _ range: ClosedRange<Int>) -> Int? {
        guard digits.utf8.count <= 4, digits.utf8.allSatisfy(Byte.isDigit), let value = Int(digits) else { return nil }
        return range.contains(value) ? value : nil
    }
    let clock = time.split(separator: ":", omittingEmptySubsequences: false)
    guard let month = months.firstIndex(of: String(month)), let day = number(day, 1...31),
        var year = number(year, 0...9999), clock.count == 3, let hour = number(clock[0], 0...23),
        let minute = number(clock[1], 0...59), let second = number(clock[2], 0...60)
    else { return nil }
    if year < 100 { year += year < 70 ? 2000 : 1900 }
    guard year >= 1970 else { return nil }
    return daysSince1970(year, month + 1, day) * 86_400 + hour * 3600 + minute * 60 + second
}

private let months = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"]

/// The inverse of ``civilDate(_:)``: Howard Hinnant's `days_from_civil`.
private func daysSince1970(_ year: Int, _ month: Int, _ day: Int) -> Int {
    let shifted = month <= 2 ? year - 1 : year
    let era = shifted / 400
    let yearOfEra = shifted % 400
    let dayOfYear = (153 * (month > 2 ? month - 3 : month + 9) + 2) / 5 + day - 1
    let dayOfEra = yearOfEra * 365 + yearOfEra / 4 - yearOfEra / 100 + dayOfYear
    return era * 146_097 + dayOfEra - 719_468
}
