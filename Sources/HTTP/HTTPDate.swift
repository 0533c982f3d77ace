// SPDX-License-Identifier: Apache-2.0
// The Date field: IMF-fixdate (RFC 9110 §5.6.7), formatted once a second for each loop.

import CLinux
import Glibc

/// The line `Date: Sun, 06 Nov 1994 08:49:37 GMT` with its end, for the current second.
struct DateLine {
    private var second = -1
    private var bytes: [UInt8] = []

    /// The line for now. One vDSO call; the coarse clock is a few milliseconds late at most, and the Date field
    /// counts seconds.
    mutating func current() -> [UInt8] {
        var time = timespec()
        clock_gettime(CLOCK_REALTIME_COARSE, &time)
        if time.tv_sec != second {
            second = time.tv_sec
            bytes.removeAll(keepingCapacity: true)
            bytes.append("Date: ")
            bytes.append(contentsOf: httpDate(time.tv_sec).utf8)
            bytes.append("\r\n")
        }
        return bytes
    }
}

/// `seconds` since 1970, not before it, as IMF-fixdate.
package func httpDate(_ seconds: Int) -> String {
    let days = seconds / 86_400
    let time = seconds % 86_400
    let (year, month, day) = civilDate(days)
    let weekdays = ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"]
    let months = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"]
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
