// SPDX-License-Identifier: Apache-2.0

import Glibc
import TestSupport
import Testing

@testable import Market

/// RFC 3339 of a moment by the C library's calendar, always with six fraction digits.
private func libraryText(_ microseconds: Int64) -> String {
    var seconds = time_t(floorDivide(microseconds, 1_000_000))
    let fraction = microseconds - Int64(seconds) * 1_000_000
    var parts = tm()
    gmtime_r(&seconds, &parts)
    func pad(_ value: Int, _ width: Int) -> String {
        String(repeating: "0", count: max(0, width - String(value).count)) + String(value)
    }
    return "\(pad(Int(parts.tm_year) + 1900, 4))-\(pad(Int(parts.tm_mon) + 1, 2))-\(pad(Int(parts.tm_mday), 2))T"
        + "\(pad(Int(parts.tm_hour), 2)):\(pad(Int(parts.tm_min), 2)):\(pad(Int(parts.tm_sec), 2))"
        + ".\(pad(Int(fraction), 6))Z"
}

/// Microseconds of a calendar time by the C library.
private func librarySeconds(_ year: Int, _ month: Int, _ day: Int) -> Int64 {
    var parts = tm()
    parts.tm_year = CInt(year - 1900)
    parts.tm_mon = CInt(month - 1)
    parts.tm_mday = CInt(day)
    return Int64(timegm(&parts))
}

struct TimestampTests {
    /// 0001-01-01 and the last microsecond of 9999: what RFC 3339 can spell.
    static let firstRFC: Int64 = -62_135_596_800_000_000
    static let lastRFC: Int64 = 253_402_300_799_999_999

    // MARK: Epoch counts

    static let epochs: [(String, Int64)] = [
        ("0", 0), ("-0", 0), ("1", 1_000_000), ("-1", -1_000_000), ("007", 7_000_000),
        ("1672348887", 1_672_348_887_000_000),
        ("1672348887196", 1_672_348_887_196_000),
        ("1672348887196123", 1_672_348_887_196_123),
        ("1672348887196123456", 1_672_348_887_196_123),
        ("-1672348887", -1_672_348_887_000_000),
        ("-1672348887196", -1_672_348_887_196_000),
        ("-1672348887196123", -1_672_348_887_196_123),
        // Nanoseconds before 1970 are rounded down, too.
        ("-1672348887196123456", -1_672_348_887_196_124),
        // Each side of every limit of magnitude.
        ("99999999999", 99_999_999_999_000_000), ("100000000000", 100_000_000_000_000),
        ("99999999999999", 99_999_999_999_999_000), ("100000000000000", 100_000_000_000_000),
        ("99999999999999999", 99_999_999_999_999_999), ("100000000000000000", 100_000_000_000_000),
        ("-99999999999", -99_999_999_999_000_000), ("-100000000000", -100_000_000_000_000),
        ("-100000000000000", -100_000_000_000_000), ("-100000000000000000", -100_000_000_000_000),
        ("9223372036854775807", 9_223_372_036_854_775), ("-9223372036854775807", -9_223_372_036_854_776),
        // Decimals: no digit of a microsecond is lost, what is smaller is dropped.
        ("1672348887.196123", 1_672_348_887_196_123), ("1672348887.1", 1_672_348_887_100_000),
        ("1672348887.000001", 1_672_348_887_000_001), ("1672348887.0000019", 1_672_348_887_000_001),
        ("1672348887.196123999999999999999999", 1_672_348_887_196_123),
        ("1672348887196.5", 1_672_348_887_196_500), ("1672348887196.1239", 1_672_348_887_196_123),
        ("1672348887196123.9", 1_672_348_887_196_123), ("1672348887196123456.9", 1_672_348_887_196_123),
        ("0.5", 500_000), ("0.000001", 1), ("-0.5", -500_000), ("-1.25", -1_250_000),
        ("-1672348887196.5", -1_672_348_887_196_500),
    ]

    @Test(arguments: epochs)
    func `an epoch count is read by its magnitude`(text: String, microseconds: Int64) {
        #expect(Timestamp(parsing: text)?.microseconds == microseconds)
    }

    @Test(arguments: [
        ("-0.0000001", Int64(-1)), ("-1.0000005", -1_000_001), ("-1672348887196.0001", -1_672_348_887_196_001),
        ("-1672348887196123.5", -1_672_348_887_196_124), ("-1672348887196123456.5", -1_672_348_887_196_124),
    ])
    func `a decimal count before 1970 is rounded down as whole counts are`(text: String, microseconds: Int64) {
        #expect(Timestamp(parsing: text)?.microseconds == microseconds)
    }

    @Test(arguments: [
        ("1672348887196123000", Int64(1_672_348_887_196_123)), ("1672348887196123001", 1_672_348_887_196_124),
        ("1672348887196123.0", 1_672_348_887_196_123), ("1672348887196123.1", 1_672_348_887_196_124),
        ("1672348887196123000.5", 1_672_348_887_196_124), ("-0.0000001", 0), ("-1672348887196123001", -1_672_348_887_196_123),
        ("1970-01-01T00:00:00.000001", 1), ("1970-01-01T00:00:00.000001000Z", 1),
        ("1970-01-01T00:00:00.000001001Z", 2), ("1970-01-01T00:00:00.9999991+00:00", 1_000_000), ("1970-01-02", 86_400_000_000),
    ])
    func `a moment is rounded up where that is asked for`(text: String, microseconds: Int64) {
        #expect(Timestamp(parsingUp: text)?.microseconds == microseconds)
    }

    @Test func `an integer count is exact and one of a double is that of its digits`() {
        #expect(Timestamp(epoch: Int64.max)?.microseconds == 9_223_372_036_854_775)
        #expect(Timestamp(epoch: Int64.min)?.microseconds == -9_223_372_036_854_776)
        for (text, microseconds) in Self.epochs where !text.contains(".") {
            #expect(Timestamp(epoch: Int64(text)!)?.microseconds == microseconds, "\(text)")
        }
        let doubles: [(Double, Int64?)] = [
            (0, 0), (1.5, 1_500_000), (-1.5, -1_500_000), (1_672_348_887.25, 1_672_348_887_250_000),
            (1_672_348_887_196, 1_672_348_887_196_000), (1_672_348_887_196_123, 1_672_348_887_196_123),
            (-0.000_000_1, -1), (1e18, 1_000_000_000_000_000), (.infinity, nil), (-.infinity, nil), (.nan, nil),
            (1e300, nil), (1e22, nil), (-1e22, nil),
        ]
        for (value, microseconds) in doubles {
            #expect(Timestamp(epoch: value)?.microseconds == microseconds, "\(value)")
        }
    }

    @Test func `an integer count reads the same as text and as a number`() {
        var random = SeededRandom()
        for _ in 0..<20_000 {
            let value = Int64.random(in: .min + 1 ... .max, using: &random) >> Int64.random(in: 0...63, using: &random)
            let text = Timestamp(parsing: String(value))
            #expect(text == Timestamp(epoch: value), "\(value), seed \(random.seed)")
            #expect(text != nil, "\(value), seed \(random.seed)")
        }
    }

    // MARK: Calendar

    static let calendar: [(String, Int64)] = [
        ("1970-01-01", 0), ("1970-01-01T00:00:00Z", 0), ("1970-01-01 00:00:00", 0), ("1970-01-01t00:00z", 0),
        ("1970-01-01T00:00", 0), ("1970-01-02", 86_400_000_000), ("1969-12-31", -86_400_000_000),
        ("2013-01-01T00:04:19.486096Z", 1_356_998_659_486_096),
        ("2013-01-01 00:04:19.486096", 1_356_998_659_486_096),
        ("2013-01-01T00:04:19.4860967Z", 1_356_998_659_486_096),
        ("2013-01-01T00:04:19.486096789Z", 1_356_998_659_486_096),
        ("2013-01-01T00:04:19.4Z", 1_356_998_659_400_000), ("2013-01-01T00:04:19.48Z", 1_356_998_659_480_000),
        ("2013-01-01T00:04:19.486Z", 1_356_998_659_486_000), ("2013-01-01T00:04:19.4860Z", 1_356_998_659_486_000),
        ("2013-01-01T00:04:19.48609Z", 1_356_998_659_486_090),
        ("1969-12-31T23:59:59.999999999Z", -1), ("1969-12-31T23:59:59.5Z", -500_000),
        ("2024-02-29T12:00:00Z", 1_709_208_000_000_000), ("2000-02-29", 951_782_400_000_000),
        ("2024-01-01T00:00:00+01:00", 1_704_063_600_000_000), ("2024-01-01T00:00:00-01:00", 1_704_070_800_000_000),
        ("2024-01-01T00:00:00+0530", 1_704_047_400_000_000), ("2024-01-01T00:00:00+05", 1_704_049_200_000_000),
        ("2024-01-01T00:00:00.25-23:59", 1_704_153_540_250_000), ("2024-01-01T00:00:00-00:00", 1_704_067_200_000_000),
        ("2024-01-01T00:00+01:00", 1_704_063_600_000_000),
        // A leap second is the first second of the next minute.
        ("2016-12-31T23:59:60Z", 1_483_228_800_000_000), ("2016-12-31T23:59:60.5Z", 1_483_228_800_500_000),
        ("0001-01-01T00:00:00Z", firstRFC), ("9999-12-31T23:59:59.999999Z", lastRFC),
    ]

    @Test(arguments: calendar)
    func `a calendar time is read`(text: String, microseconds: Int64) {
        #expect(Timestamp(parsing: text)?.microseconds == microseconds)
    }

    static let unreadable = [
        "", " ", "-", "+", "+1", ".", ".5", "-.5", "1e9", "1,000", "0x10", "nan", "inf", "12345678901234567890",
        "99999999999999999999", "9223372036854775808", " 1", "1 ", "1.2.3", "1.-2", "--1", "1.5s", "١٢٣",
        "2024-01", "2024-1-01", "2024-01-1", "24-01-01", "2024-13-01", "2024-00-01", "2024-01-00", "2024-01-32",
        "2024-04-31", "2023-02-29", "1900-02-29", "2100-02-29", "2024-02-30", "2024/01/01", "20240101T000000Z",
        "2024-01-01T", "2024-01-01T0", "2024-01-01T00", "2024-01-01T00:", "2024-01-01T24:00:00", "2024-01-01T00:60:00",
        "2024-01-01T00:00:61", "2024-01-01T00:00:0", "2024-01-01T00:00:00.", "2024-01-01T00:00:00.Z",
        "2024-01-01T00:00:00.1234567890Z", "2024-01-01T00:00:00,5Z", "2024-01-01T00:00:00 Z", "2024-01-01Z",
        "2024-01-01T00:00:00ZZ", "2024-01-01T00:00:00+", "2024-01-01T00:00:00+1", "2024-01-01T00:00:00+24:00",
        "2024-01-01T00:00:00+01:60", "2024-01-01T00:00:00+01:0", "2024-01-01T00:00:00+01:000",
        "2024-01-01  00:00:00", "2024-01-01_00:00:00", "2024-01-01T-1:00:00", "a024-01-01",
        "2024-01-01T00:00:00+01:00Z",
        "-2024-01-01", "2024-01-01T00:00:00UTC", "tomorrow", "\u{FEFF}1",
    ]

    @Test(arguments: unreadable)
    func `what is no time is refused`(text: String) {
        #expect(Timestamp(parsing: text) == nil)
    }

    @Test func `a damaged time never crashes and never reads beyond its bytes`() {
        var random = SeededRandom()
        let samples = (Self.epochs + Self.calendar).map { Array($0.0.utf8) }
        for _ in 0..<50_000 {
            var bytes = samples.randomElement(using: &random)!
            for _ in 0..<Int.random(in: 1...3, using: &random) where !bytes.isEmpty {
                let at = Int.random(in: 0..<bytes.count, using: &random)
                switch Int.random(in: 0..<3, using: &random) {
                case 0: bytes[at] = UInt8.random(in: 0...255, using: &random)
                case 1: bytes.remove(at: at)
                default: bytes.insert(Array("0123456789-:.TZ+ ".utf8).randomElement(using: &random)!, at: at)
                }
            }
            // The bytes end where an array ends, so that a read beyond them would trap.
            let parsed = bytes.withUnsafeBytes { Timestamp(parsing: $0) }
            let again = Timestamp(parsing: String(decoding: bytes, as: UTF8.self))
            if String(validating: bytes, as: UTF8.self) != nil {
                #expect(parsed == again, "\(bytes), seed \(random.seed)")
            }
        }
    }

    // MARK: Formatting

    static let spelled: [(Int64, String)] = [
        (0, "1970-01-01T00:00:00Z"), (-1, "1969-12-31T23:59:59.999999Z"), (1, "1970-01-01T00:00:00.000001Z"),
        (1000, "1970-01-01T00:00:00.001Z"), (500_000, "1970-01-01T00:00:00.5Z"),
        (120_340, "1970-01-01T00:00:00.12034Z"), (1_000_010, "1970-01-01T00:00:01.00001Z"),
        (1_356_998_659_486_096, "2013-01-01T00:04:19.486096Z"), (1_356_998_659_486_000, "2013-01-01T00:04:19.486Z"),
        (-1_000, "1969-12-31T23:59:59.999Z"), (firstRFC, "0001-01-01T00:00:00Z"),
        (lastRFC, "9999-12-31T23:59:59.999999Z"),
    ]

    @Test(arguments: spelled)
    func `a moment is spelled with as many fraction digits as it needs`(microseconds: Int64, text: String) {
        #expect(Timestamp(microseconds: microseconds).description == text)
    }

    @Test func `any moment is spelled as the C library has it, and read back`() {
        var random = SeededRandom()
        for round in 0..<50_000 {
            var microseconds = Int64.random(in: Self.firstRFC...Self.lastRFC, using: &random)
            if round % 3 == 1 { microseconds = floorDivide(microseconds, 1000) * 1000 }
            if round % 3 == 2 { microseconds = floorDivide(microseconds, 1_000_000) * 1_000_000 }
            let moment = Timestamp(microseconds: microseconds)
            let library = libraryText(microseconds)
            var fraction = library.dropLast().suffix(6)
            while fraction.last == "0" { fraction.removeLast() }
            let expected = library.dropLast(8) + (fraction.isEmpty ? "" : "." + fraction) + "Z"
            #expect(moment.description == expected, "\(microseconds), seed \(random.seed)")
            #expect(Timestamp(parsing: moment.description) == moment, "\(microseconds), seed \(random.seed)")
            #expect(Timestamp(parsing: library) == moment, "\(microseconds), seed \(random.seed)")
        }
    }

    @Test func `an offset shifts a time by itself`() {
        var random = SeededRandom()
        for _ in 0..<10_000 {
            let moment = Int64.random(in: Self.firstRFC / 2...Self.lastRFC / 2, using: &random)
            let minutes = Int.random(in: -1439...1439, using: &random)
            let local = libraryText(moment + Int64(minutes) * 60_000_000).dropLast()
            let digits = [abs(minutes) / 60, abs(minutes) % 60].map { ($0 < 10 ? "0" : "") + String($0) }
            for colon in ["", ":"] {
                let text = "\(local)\(minutes < 0 ? "-" : "+")\(digits[0])\(colon)\(digits[1])"
                #expect(Timestamp(parsing: text)?.microseconds == moment, "\(text), seed \(random.seed)")
            }
        }
    }

    @Test(arguments: [Int64.min, .min + 1, -9_223_372_036_854_775_000, .max])
    func `the ends of time have a day and a text`(microseconds: Int64) async {
        await #expect(processExitsWith: .success) { [microseconds] in
            let moment = Timestamp(microseconds: microseconds)
            let year = microseconds < 0 ? "-290308" : "294247"
            exit(moment.description.hasPrefix(year) && moment.day == floorDivide(microseconds, 86_400_000_000) ? 0 : 1)
        }
    }

    @Test func `a day holds its moments`() {
        let days: [(Int64, Int64)] = [
            (0, 0), (-1, -1), (86_399_999_999, 0), (86_400_000_000, 1), (-86_400_000_000, -1), (-86_400_000_001, -2),
        ]
        for (microseconds, day) in days { #expect(Timestamp(microseconds: microseconds).day == day) }
    }

    @Test func `moments are ordered by their count`() {
        let moments = [Int64.min, -1, 0, 1, .max].map { Timestamp(microseconds: $0) }
        #expect(moments.shuffled().sorted() == moments)
        #expect(Timestamp.epoch == Timestamp(microseconds: 0))
    }
}

struct CivilDateTests {
    @Test func `every day of eight thousand years follows the one before it`() {
        var date = CivilDate(year: -4000, month: 1, day: 1)
        let first = date.daysSinceEpoch
        // Days of 8000 Gregorian years: 20 cycles of 400 years, 146 097 days each.
        let last = first + 20 * 146_097
        for day in first..<last {
            if date.daysSinceEpoch != day || CivilDate(daysSinceEpoch: day) != date || !date.isValid {
                Issue.record("day \(day) is \(CivilDate(daysSinceEpoch: day)), expected \(date)")
                return
            }
            let leap = (date.year % 4 == 0 && date.year % 100 != 0) || date.year % 400 == 0
            let lengths = [31, leap ? 29 : 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31]
            if date.day < lengths[date.month - 1] {
                date.day += 1
            } else if date.month < 12 {
                date = CivilDate(year: date.year, month: date.month + 1, day: 1)
            } else {
                date = CivilDate(year: date.year + 1, month: 1, day: 1)
            }
        }
        #expect(date == CivilDate(year: 4000, month: 1, day: 1))
    }

    @Test(arguments: [
        (1970, 1, 1), (1600, 2, 29), (1900, 3, 1), (2000, 2, 29), (2024, 12, 31), (1, 1, 1), (9999, 12, 31),
    ])
    func `a date is where the C library has it`(year: Int, month: Int, day: Int) {
        #expect(
            CivilDate(year: year, month: month, day: day).daysSinceEpoch * 86_400 == librarySeconds(year, month, day))
    }

    @Test(arguments: [
        (2023, 2, 29), (1900, 2, 29), (2100, 2, 29), (2024, 2, 30), (2024, 4, 31), (2024, 6, 31), (2024, 9, 31),
        (2024, 11, 31), (2024, 1, 32), (2024, 0, 1), (2024, 13, 1), (2024, 1, 0), (2024, -1, 1), (2024, 1, -1),
    ])
    func `a day that no month has is invalid`(year: Int, month: Int, day: Int) {
        #expect(!CivilDate(year: year, month: month, day: day).isValid)
    }

    @Test func `division rounds down for every sign`() {
        let cases: [(Int64, Int64, Int64)] = [
            (0, 5, 0), (4, 5, 0), (5, 5, 1), (-1, 5, -1), (-5, 5, -1), (-6, 5, -2), (.max, 1, .max), (.min, 1, .min),
            (.min, 86_400_000_000, -106_751_992),
        ]
        for (value, divisor, quotient) in cases {
            #expect(floorDivide(value, divisor) == quotient, "\(value)/\(divisor)")
        }
    }
}

struct TimeframeTests {
    static let widths: [(Timeframe, String, Int64)] = [
        (.second1, "1s", 1), (.second5, "5s", 5), (.second15, "15s", 15), (.minute1, "1m", 60), (.minute5, "5m", 300),
        (.minute15, "15m", 900), (.hour1, "1h", 3600), (.day1, "1d", 86_400),
    ]

    @Test func `the timeframes are those of the design, finest first`() {
        #expect(Timeframe.allCases.map(\.name) == ["1s", "5s", "15s", "1m", "5m", "15m", "1h", "1d"])
        #expect(Timeframe.allCases.sorted() == Timeframe.allCases)
        for (timeframe, name, seconds) in Self.widths {
            #expect(timeframe.name == name)
            #expect(timeframe.microseconds == seconds * 1_000_000)
            #expect(Timeframe(name: name) == timeframe)
        }
        for name in ["", "1S", "2s", "1s ", "1min", "1w", "60s"] { #expect(Timeframe(name: name) == nil, "\(name)") }
    }

    @Test func `each width divides the next, so that coarser bars are merges of finer ones`() {
        for (finer, coarser) in zip(Timeframe.allCases, Timeframe.allCases.dropFirst()) {
            #expect(coarser.microseconds % finer.microseconds == 0)
        }
    }

    static let starts: [(String, Timeframe, String)] = [
        ("2024-03-05T13:47:58.999999Z", .second1, "2024-03-05T13:47:58Z"),
        ("2024-03-05T13:47:58.999999Z", .second5, "2024-03-05T13:47:55Z"),
        ("2024-03-05T13:47:58.999999Z", .second15, "2024-03-05T13:47:45Z"),
        ("2024-03-05T13:47:58.999999Z", .minute1, "2024-03-05T13:47:00Z"),
        ("2024-03-05T13:47:58.999999Z", .minute5, "2024-03-05T13:45:00Z"),
        ("2024-03-05T13:47:58.999999Z", .minute15, "2024-03-05T13:45:00Z"),
        ("2024-03-05T13:47:58.999999Z", .hour1, "2024-03-05T13:00:00Z"),
        ("2024-03-05T13:47:58.999999Z", .day1, "2024-03-05T00:00:00Z"),
        ("2024-03-05T13:47:00Z", .minute1, "2024-03-05T13:47:00Z"),
        ("1969-12-31T23:59:59.999999Z", .second1, "1969-12-31T23:59:59Z"),
        ("1969-12-31T23:59:59.999999Z", .second15, "1969-12-31T23:59:45Z"),
        ("1969-12-31T23:59:59.999999Z", .day1, "1969-12-31T00:00:00Z"),
        ("1969-12-31T00:00:00Z", .day1, "1969-12-31T00:00:00Z"),
    ]

    @Test(arguments: starts)
    func `a bar starts at a multiple of its width`(time: String, timeframe: Timeframe, start: String) throws {
        let time = try #require(Timestamp(parsing: time))
        #expect(timeframe.start(of: time).description == start)
    }

    @Test func `the bar of a moment holds it, before 1970 as well`() {
        var random = SeededRandom()
        for _ in 0..<20_000 {
            let time = Timestamp(
                microseconds: Int64.random(in: -4_000_000_000_000_000...4_000_000_000_000_000, using: &random))
            for timeframe in Timeframe.allCases {
                let start = timeframe.start(of: time)
                let inside = time.microseconds - start.microseconds
                if start.microseconds % timeframe.microseconds != 0 || !(0..<timeframe.microseconds).contains(inside) {
                    Issue.record("\(timeframe.name) of \(time) starts at \(start), seed \(random.seed)")
                }
                if timeframe.start(of: start) != start { Issue.record("\(start) is no start, seed \(random.seed)") }
            }
        }
    }
}
