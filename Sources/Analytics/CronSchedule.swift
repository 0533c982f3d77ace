// SPDX-License-Identifier: Apache-2.0

package import Market

/// When a job runs: five fields as in crontab(5), minute, hour, day of month, month, day of week, each `*`, a number, a
/// range, a list, or any of these with `/step`; UTC. Where both days are restricted, either is enough, as there.
package struct CronSchedule: Sendable, Equatable, CustomStringConvertible {
    package let description: String
    private let minutes: Set<Int>
    private let hours: Set<Int>
    private let days: Set<Int>
    private let months: Set<Int>
    private let weekdays: Set<Int>
    private let eitherDay: Bool

    /// Nil if `text` is no schedule.
    package init?(_ text: String) {
        let fields = text.split(separator: " ")
        guard fields.count == 5, let minutes = Self.parse(fields[0], 0...59), let hours = Self.parse(fields[1], 0...23),
            let days = Self.parse(fields[2], 1...31), let months = Self.parse(fields[3], 1...12),
            let weekdays = Self.parse(fields[4], 0...7)
        else { return nil }
        description = fields.joined(separator: " ")
        self.minutes = minutes
        self.hours = hours
        self.days = days
        self.months = months
        // Sunday is 0 and 7.
        self.weekdays = Set(weekdays.map { $0 % 7 })
        eitherDay = !fields[2].hasPrefix("*") && !fields[4].hasPrefix("*")
        if next(after: .epoch) == nil { return nil }
    }

    private static func parse(_ field: Substring, _ range: ClosedRange<Int>) -> Set<Int>? {
        var values: Set<Int> = []
        for part in field.split(separator: ",", omittingEmptySubsequences: false) {
            let pieces = part.split(separator: "/", omittingEmptySubsequences: false)
            guard (1...2).contains(pieces.count) else { return nil }
            var step = 1
            if pieces.count == 2 {
                guard let given = Int(pieces[1]), given >= 1 else { return nil }
                step = given
            }
            let bounds = pieces[0].split(separator: "-", omittingEmptySubsequences: false)
            let low: Int
            let high: Int
            if pieces[0] == "*" {
                (low, high) = (range.lowerBound, range.upperBound)
            } else if bounds.count == 2, let from = Int(bounds[0]), let to = Int(bounds[1]) {
                (low, high) = (from, to)
            } else if bounds.count == 1, let value = Int(bounds[0]) {
                (low, high) = (value, pieces.count == 2 ? range.upperBound : value)
            } else {
                return nil
            }
            guard low <= high, range.contains(low), range.contains(high) else { return nil }
            values.formUnion(stride(from: low, through: high, by: step))
        }
        return values
    }

    /// The first minute after `time` at which the job is due; nil if there is none within nine years (31 February).
    package func next(after time: Timestamp) -> Timestamp? {
        let minute: Int64 = 60_000_000
        var next = Timestamp(microseconds: (floorDivide(time.microseconds, minute) + 1) * minute)
        let firstDay = next.day
        while next.day - firstDay < 9 * 366 {
            let date = CivilDate(daysSinceEpoch: next.day)
            if !months.contains(date.month) || !matches(date, day: next.day) {
                next = Timestamp(microseconds: (next.day + 1) * Timestamp.microsecondsPerDay)
                continue
            }
            let ofDay = Int((next.microseconds - next.day * Timestamp.microsecondsPerDay) / minute)
            if hours.contains(ofDay / 60) && minutes.contains(ofDay % 60) { return next }
            next.microseconds += hours.contains(ofDay / 60) ? minute : Int64(60 - ofDay % 60) * minute
        }
        return nil
    }

    private func matches(_ date: CivilDate, day: Int64) -> Bool {
        // 1970-01-01 was a Thursday, 4.
        let weekday = Int(((day + 4) % 7 + 7) % 7)
        let matchesDay = days.contains(date.day)
        let matchesWeekday = weekdays.contains(weekday)
        return eitherDay ? matchesDay || matchesWeekday : matchesDay && matchesWeekday
    }
}
