// SPDX-License-Identifier: Apache-2.0

import Analytics
import Market
import Testing

struct CronScheduleTests {
    private static func next(_ schedule: String, after time: String) -> String? {
        guard let start = Timestamp(parsing: time) else { return nil }
        return CronSchedule(schedule)?.next(after: start)?.description
    }

    @Test(arguments: [
        ("7 * * * *", "2026-03-01T00:06:59Z", "2026-03-01T00:07:00Z"),
        ("7 * * * *", "2026-03-01T00:07:00Z", "2026-03-01T01:07:00Z"),
        ("*/15 * * * *", "2026-03-01T00:46:00Z", "2026-03-01T01:00:00Z"),
        ("20 0 * * *", "2026-12-31T00:20:00Z", "2027-01-01T00:20:00Z"),
        ("0 9-17/4 * * 1-5", "2026-11-20T17:00:00Z", "2026-11-23T09:00:00Z"),
        ("0 0 29 2 *", "2026-01-01T00:00:00Z", "2028-02-29T00:00:00Z"),
        ("0 0 * * 7", "2026-11-24T00:00:00Z", "2026-11-29T00:00:00Z"),
        ("0 0 * * 0", "2026-11-24T00:00:00Z", "2026-11-29T00:00:00Z"),
        // Either day is enough where both are restricted, as in crontab(5).
        ("0 0 13 * 5", "2026-11-24T00:00:00Z", "2026-11-27T00:00:00Z"),
        ("5,50 3 1,15 * *", "2026-11-15T03:05:00Z", "2026-11-15T03:50:00Z"),
        ("30/10 * * * *", "2026-01-01T00:00:00Z", "2026-01-01T00:30:00Z"),
        ("0 0 1 1 *", "1969-06-01T00:00:00Z", "1970-01-01T00:00:00Z"),
    ])
    func `the next time`(schedule: String, after: String, next: String) {
        #expect(Self.next(schedule, after: after) == next)
    }

    @Test func `it is the first minute that every field allows`() throws {
        let schedule = try #require(CronSchedule("3,33 */5 2-10/2 1,6 *"))
        var time = try #require(Timestamp(parsing: "2025-12-30T00:00:00Z"))
        var found: [Timestamp] = []
        for _ in 0..<40 {
            time = try #require(schedule.next(after: time))
            found.append(time)
        }
        // Counted minute by minute.
        var counted: [Timestamp] = []
        var minute = try #require(Timestamp(parsing: "2025-12-30T00:00:00Z"))
        while counted.count < 40 {
            minute.microseconds += 60_000_000
            let date = CivilDate(daysSinceEpoch: minute.day)
            let ofDay = Int((minute.microseconds - minute.day * Timestamp.microsecondsPerDay) / 60_000_000)
            if [1, 6].contains(date.month) && [2, 4, 6, 8, 10].contains(date.day) && ofDay / 60 % 5 == 0
                && [3, 33].contains(ofDay % 60)
            {
                counted.append(minute)
            }
        }
        #expect(found == counted)
    }

    @Test(arguments: [
        "", "* * * *", "* * * * * *", "60 * * * *", "* 24 * * *", "* * 0 * *", "* * * 13 *", "* * * * 8", "5-3 * * * *",
        "*/0 * * * *", "a * * * *", "1- * * * *", "1,,2 * * * *", "-1 * * * *", "0 0 31 2 *", "1/2/3 * * * *", "off",
    ])
    func `what is no schedule is refused`(text: String) {
        #expect(CronSchedule(text) == nil)
    }
}
