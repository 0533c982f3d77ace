// SPDX-License-Identifier: Apache-2.0

/// Texts of dates and times as Trino writes them (its docs, "Data types"): PostgreSQL would read many more, `now` and
/// `1 jan 2020` among them.
enum TimeText {
    /// `2024-02-29`, a day that there is; months and days may have one digit.
    static func isDate(_ text: Substring) -> Bool {
        var rest = text
        if rest.first == "-" || rest.first == "+" { rest = rest.dropFirst() }
        let parts = rest.split(separator: "-", omittingEmptySubsequences: false)
        guard parts.count == 3, let year = number(parts[0], 4...6), let month = number(parts[1], 1...2),
            let day = number(parts[2], 1...2), (1...12).contains(month)
        else { return false }
        let isLeap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0)
        let days = [31, isLeap ? 29 : 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31]
        return (1...days[month - 1]).contains(day)
    }

    /// `03:04`, `03:04:05` or `03:04:05.678`.
    static func isTime(_ text: Substring) -> Bool {
        let parts = text.split(separator: ":", omittingEmptySubsequences: false)
        guard parts.count == 2 || parts.count == 3, let hour = number(parts[0], 1...2),
            let minute = number(parts[1], 1...2), hour < 24, minute < 60
        else { return false }
        guard parts.count == 3 else { return true }
        let seconds = parts[2].split(separator: ".", maxSplits: 1, omittingEmptySubsequences: false)
        guard let second = number(seconds[0], 1...2), second < 60 else { return false }
        return seconds.count == 1 || number(seconds[1].prefix(9), 1...9) != nil && seconds[1].utf8.allSatisfy(isDigit)
    }

    /// A date, or a date and a time of day behind a blank or a T.
    static func isTimestamp(_ text: Substring) -> Bool {
        guard let blank = text.firstIndex(where: { $0 == " " || $0 == "T" }) else { return isDate(text) }
        return isDate(text[..<blank]) && isTime(text[text.index(after: blank)...])
    }

    /// Without the blanks around it.
    static func trimmed(_ text: String) -> Substring {
        var rest = text[...]
        while rest.first == " " { rest = rest.dropFirst() }
        while rest.last == " " { rest = rest.dropLast() }
        return rest
    }

    private static func number(_ text: Substring, _ digits: ClosedRange<Int>) -> Int? {
        digits.contains(text.utf8.count) && text.utf8.allSatisfy(isDigit) ? Int(text) : nil
    }

    private static func isDigit(_ byte: UInt8) -> Bool { byte >= UInt8(ascii: "0") && byte <= UInt8(ascii: "9") }
}
