// SPDX-License-Identifier: Apache-2.0
// Values as Trino's JSON, made from PostgreSQL's own text. Pure.

/// How the values of a column are written: its type, with what is the same for all of them worked out.
enum TrinoForm: Sendable {
    case number
    /// real, double: with a fraction or an exponent, so that a reader that is strict about types takes it.
    case float
    case boolean
    case text
    /// varbinary: base64.
    case bytes
    case interval, intervalOfMonths
    /// decimal: exactly so many digits after the point.
    case decimal(Int)
    case date
    /// Digits of the fraction.
    case time(Int), timeWithTimeZone(Int), timestamp(Int)
    /// The zone is written as `UTC` if the session's is, else as the offset that PostgreSQL wrote.
    case timestampWithTimeZone(Int, isUTC: Bool)
    indirect case array(TrinoForm)
    indirect case row([TrinoForm])

    /// - Parameters:
    ///   - parametricDatetime: whether the client takes more than three digits of a second.
    ///   - isUTC: whether the session's time zone, in which PostgreSQL writes times, is UTC.
    init(_ type: TrinoType, parametricDatetime: Bool, isUTC: Bool) {
        func form(_ type: TrinoType) -> TrinoForm {
            TrinoForm(type, parametricDatetime: parametricDatetime, isUTC: isUTC)
        }
        func digits(_ count: Int) -> Int { parametricDatetime ? count : 3 }
        switch type {
        case .boolean: self = .boolean
        case .smallint, .integer, .bigint: self = .number
        case .real, .double: self = .float
        case .varchar, .char, .json, .uuid, .ipaddress: self = .text
        case .decimal(_, let scale): self = .decimal(scale)
        case .date: self = .date
        case .varbinary: self = .bytes
        case .intervalDayToSecond: self = .interval
        case .intervalYearToMonth: self = .intervalOfMonths
        case .time(let count): self = .time(digits(count))
        case .timeWithTimeZone(let count): self = .timeWithTimeZone(digits(count))
        case .timestamp(let count): self = .timestamp(digits(count))
        case .timestampWithTimeZone(let count): self = .timestampWithTimeZone(digits(count), isUTC: isUTC)
        case .array(let element): self = .array(form(element))
        case .row(let fields): self = .row(fields.map { form($0.type) })
        }
    }
}

extension [UInt8] {
    /// A value's PostgreSQL text (nil for NULL; ISO dates, intervals in style `postgres`, bytea in hexadecimal) in
    /// Trino's JSON.
    @inline(__always)
    mutating func appendTrino(_ text: UnsafeRawBufferPointer?, as form: TrinoForm) {
        guard let text else { return appendText("null") }
        switch form {
        case .number: append(contentsOf: text)
        case .float: appendTrinoFloat(text)
        case .text: appendJSONString(text)
        case .boolean: if text.first == UInt8(ascii: "t") { appendText("true") } else { appendText("false") }
        case .timestampWithTimeZone(let digits, let isUTC): appendTrinoTimestamp(text, digits, isUTC: isUTC)
        case .timestamp(let digits): appendTrinoTimestamp(text, digits, isUTC: false)
        default: appendRarely(text, as: form)
        }
    }

    private mutating func appendRarely(_ text: UnsafeRawBufferPointer, as form: TrinoForm) {
        switch form {
        case .bytes: appendBase64(ofHex: text)
        case .interval: appendTrinoInterval(text)
        case .intervalOfMonths: appendTrinoMonths(text)
        case .decimal(let scale): appendTrinoDecimal(text, scale)
        case .date: appendTrinoDate(text)
        case .time(let digits): appendTrinoTime(text, digits)
        case .timeWithTimeZone(let digits): appendTrinoTime(text, digits)
        case .array(let element): appendTrinoArray(text, of: element)
        case .row(let fields): appendTrinoRow(text, fields)
        default: appendTrino(text, as: form)
        }
    }

    // MARK: Numbers and bytes

    /// PostgreSQL writes the shortest text that is the same number again: `1`, `0.5`, `1e+20`, `NaN`, `-Infinity`.
    @inline(__always)
    private mutating func appendTrinoFloat(_ text: UnsafeRawBufferPointer) {
        var isWhole = true
        for byte in text where byte > UInt8(ascii: "9") || byte == UInt8(ascii: ".") {
            isWhole = false
            break
        }
        if isWhole {
            append(contentsOf: text)
            appendText(".0")
        } else if let last = text.last, last &- 0x30 < 10 {
            append(contentsOf: text)
        } else {
            appendJSONString(text)
        }
    }

    /// A decimal in quotes with exactly `scale` digits after the point, rounded half away from zero or filled up with zeros.
    /// Trino's have neither NaN nor infinities: these are NULL.
    private mutating func appendTrinoDecimal(_ text: UnsafeRawBufferPointer, _ scale: Int) {
        guard let last = text.last, last &- 0x30 < 10 else { return appendText("null") }
        let point = text.firstIndex(of: UInt8(ascii: "."))
        let digits = point.map { text.count - $0 - 1 } ?? 0
        if digits > scale { return appendRounded(text, point: text.count - digits - 1, scale) }
        append(UInt8(ascii: "\""))
        append(contentsOf: text)
        if scale > 0 && point == nil { append(UInt8(ascii: ".")) }
        for _ in digits..<scale { append(UInt8(ascii: "0")) }
        append(UInt8(ascii: "\""))
    }

    /// A decimal that has more than `scale` digits after its point.
    private mutating func appendRounded(_ text: UnsafeRawBufferPointer, point: Int, _ scale: Int) {
        let isNegative = text[0] == UInt8(ascii: "-")
        // A leading zero takes the last carry.
        var kept: [UInt8] = [UInt8(ascii: "0")]
        kept.append(contentsOf: UnsafeRawBufferPointer(rebasing: text[(isNegative ? 1 : 0)..<point]))
        kept.append(contentsOf: UnsafeRawBufferPointer(rebasing: text[(point + 1)..<(point + 1 + scale)]))
        if text[point + scale + 1] >= UInt8(ascii: "5") {
            var index = kept.count - 1
            while kept[index] == UInt8(ascii: "9") {
                kept[index] = UInt8(ascii: "0")
                index -= 1
            }
            kept[index] += 1
        }
        let whole = kept.count - scale
        append(UInt8(ascii: "\""))
        if isNegative && kept.contains(where: { $0 != UInt8(ascii: "0") }) { append(UInt8(ascii: "-")) }
        let start = kept[0] == UInt8(ascii: "0") && whole > 1 ? 1 : 0
        append(contentsOf: kept[start..<whole])
        if scale > 0 {
            append(UInt8(ascii: "."))
            append(contentsOf: kept[whole...])
        }
        append(UInt8(ascii: "\""))
    }

    /// `\x00ff` as base64 (RFC 4648 §4), in quotes.
    private mutating func appendBase64(ofHex text: UnsafeRawBufferPointer) {
        guard text.count >= 2, text.count % 2 == 0, text[0] == UInt8(ascii: "\\"), text[1] == UInt8(ascii: "x") else {
            return appendJSONString(text)
        }
        append(UInt8(ascii: "\""))
        var index = 2
        while index < text.count {
            let count = Swift.min(3, (text.count - index) / 2)
            var group: UInt32 = 0
            for offset in 0..<3 {
                group <<= 8
                if offset < count {
                    let at = index + 2 * offset
                    group |= UInt32(Self.nibble(text[at])) << 4 | UInt32(Self.nibble(text[at + 1]))
                }
            }
            for digit in 0..<4 {
                append(
                    digit <= count ? Self.base64Digit(UInt8(group >> UInt32(18 - 6 * digit) & 63)) : UInt8(ascii: "="))
            }
            index += 2 * count
        }
        append(UInt8(ascii: "\""))
    }

    private static func nibble(_ digit: UInt8) -> UInt8 {
        digit <= UInt8(ascii: "9") ? digit &- 0x30 : (digit | 0x20) &- 0x57
    }

    private static func base64Digit(_ value: UInt8) -> UInt8 {
        switch value {
        case 0..<26: 0x41 + value
        case 26..<52: 0x61 + value - 26
        case 52..<62: 0x30 + value - 52
        case 62: UInt8(ascii: "+")
        default: UInt8(ascii: "/")
        }
    }

    // MARK: Times

    /// `2024-02-29 23:59:59.5+05:30` as `"2024-02-29 23:59:59.500000 +05:30"`; without a zone there is none after.
    /// Years before 1 or after 9999 have a sign, as Java's: `-0043-03-15`, `+10000-01-01`. Trino has no infinite times: they
    /// are NULL.
    @inline(__always)
    private mutating func appendTrinoTimestamp(_ text: UnsafeRawBufferPointer, _ digits: Int, isUTC: Bool) {
        guard text.count >= 19, text[4] == UInt8(ascii: "-"), text[10] == UInt8(ascii: " "),
            text[text.count - 1] &- 0x30 < 10
        else { return appendFarTimestamp(text, digits, isUTC: isUTC) }
        append(UInt8(ascii: "\""))
        append(contentsOf: UnsafeRawBufferPointer(rebasing: text[..<19]))
        let zone = appendFraction(text, from: 19, digits)
        if zone < text.count {
            if isUTC {
                appendText(" UTC")
            } else {
                append(UInt8(ascii: " "))
                appendOffset(text, from: zone)
            }
        }
        append(UInt8(ascii: "\""))
    }

    /// A timestamp whose year has not four digits, or has BC after the time.
    private mutating func appendFarTimestamp(_ text: UnsafeRawBufferPointer, _ digits: Int, isUTC: Bool) {
        guard let (year, rest) = Self.farYear(text) else { return appendText("null") }
        // With a year of four digits it has the usual shape.
        var near: [UInt8] = Array("2000".utf8)
        near.append(contentsOf: rest)
        let start = count
        near.withUnsafeBytes { appendTrinoTimestamp($0, digits, isUTC: isUTC) }
        replaceSubrange((start + 1)..<(start + 5), with: year)
    }

    /// `2024-02-29`, or a date of another year as for a timestamp.
    private mutating func appendTrinoDate(_ text: UnsafeRawBufferPointer) {
        if text.count == 10 && text[4] == UInt8(ascii: "-") { return appendJSONString(text) }
        guard let (year, rest) = Self.farYear(text) else { return appendText("null") }
        append(UInt8(ascii: "\""))
        append(contentsOf: year)
        append(contentsOf: rest)
        append(UInt8(ascii: "\""))
    }

    /// The year of PostgreSQL's `10000-01-01 …` or `0044-03-15 … BC` with Java's sign, and what follows it without the era:
    /// 44 BC is the year -43. Nil for an infinity.
    private static func farYear(_ text: UnsafeRawBufferPointer) -> (year: [UInt8], rest: UnsafeRawBufferPointer)? {
        guard let dash = text.firstIndex(of: UInt8(ascii: "-")), dash > 0,
            let year = Int(String(decoding: text[..<dash], as: UTF8.self))
        else { return nil }
        let isBC = text.last == UInt8(ascii: "C")
        let rest = UnsafeRawBufferPointer(rebasing: text[dash..<(isBC ? text.count - 3 : text.count)])
        let signed = isBC ? 1 - year : year
        let digits = "\(signed.magnitude)"
        let zeros = String(repeating: "0", count: Swift.max(0, 4 - digits.utf8.count))
        return (Array(((signed < 0 ? "-" : signed > 9999 ? "+" : "") + zeros + digits).utf8), rest)
    }

    /// `23:59:59.5+05:30` as `"23:59:59.500000+05:30"`.
    private mutating func appendTrinoTime(_ text: UnsafeRawBufferPointer, _ digits: Int) {
        guard text.count >= 8 else { return appendJSONString(text) }
        append(UInt8(ascii: "\""))
        append(contentsOf: UnsafeRawBufferPointer(rebasing: text[..<8]))
        let zone = appendFraction(text, from: 8, digits)
        if zone < text.count { appendOffset(text, from: zone) }
        append(UInt8(ascii: "\""))
    }

    /// Appends exactly `digits` digits of a fraction, cut or filled up; returns where the text goes on after it.
    @inline(__always)
    private mutating func appendFraction(_ text: UnsafeRawBufferPointer, from start: Int, _ digits: Int) -> Int {
        var index = start
        var written = 0
        if index < text.count && text[index] == UInt8(ascii: ".") {
            index += 1
            if digits > 0 { append(UInt8(ascii: ".")) }
            while index < text.count, text[index] &- 0x30 < 10 {
                if written < digits {
                    append(text[index])
                    written += 1
                }
                index += 1
            }
        } else if digits > 0 {
            append(UInt8(ascii: "."))
        }
        while written < digits {
            append(UInt8(ascii: "0"))
            written += 1
        }
        return index
    }

    /// `+05`, `+05:30` as `+05:00`, `+05:30`.
    private mutating func appendOffset(_ text: UnsafeRawBufferPointer, from start: Int) {
        append(contentsOf: UnsafeRawBufferPointer(rebasing: text[start...]))
        if text.count - start == 3 { appendText(":00") }
    }

    /// An interval in style `postgres` (`1 year 2 mons -3 days +04:05:06.789`) as days, hours, minutes, seconds and
    /// milliseconds with one sign before all: `1 02:03:04.005`. A month counts 30 days, as where PostgreSQL compares
    /// intervals.
    private mutating func appendTrinoInterval(_ text: UnsafeRawBufferPointer) {
        guard let milliseconds = Self.intervalMilliseconds(text) else { return appendJSONString(text) }
        let magnitude = milliseconds.magnitude
        append(UInt8(ascii: "\""))
        if milliseconds < 0 { append(UInt8(ascii: "-")) }
        appendInteger(Int64(magnitude / 86_400_000))
        append(UInt8(ascii: " "))
        appendPadded(magnitude / 3_600_000 % 24, 2)
        append(UInt8(ascii: ":"))
        appendPadded(magnitude / 60_000 % 60, 2)
        append(UInt8(ascii: ":"))
        appendPadded(magnitude / 1000 % 60, 2)
        append(UInt8(ascii: "."))
        appendPadded(magnitude % 1000, 3)
        append(UInt8(ascii: "\""))
    }

    /// An interval of years and months as Trino writes it: `1-2`, one sign before all.
    private mutating func appendTrinoMonths(_ text: UnsafeRawBufferPointer) {
        guard let milliseconds = Self.intervalMilliseconds(text) else { return appendJSONString(text) }
        let months = milliseconds.magnitude / (30 * 86_400_000)
        append(UInt8(ascii: "\""))
        if milliseconds < 0 { append(UInt8(ascii: "-")) }
        appendInteger(Int64(months / 12))
        append(UInt8(ascii: "-"))
        appendInteger(Int64(months % 12))
        append(UInt8(ascii: "\""))
    }

    private mutating func appendPadded(_ value: UInt64, _ width: Int) {
        var divisor: UInt64 = 1
        for _ in 1..<width { divisor *= 10 }
        while divisor > 0 {
            append(0x30 + UInt8(value / divisor % 10))
            divisor /= 10
        }
    }

    private static func intervalMilliseconds(_ text: UnsafeRawBufferPointer) -> Int64? {
        var total: Int64 = 0
        let words = text.split(separator: UInt8(ascii: " "))
        var index = 0
        while index < words.count {
            let word = UnsafeRawBufferPointer(rebasing: words[index])
            if word.contains(UInt8(ascii: ":")) {
                guard let time = clockMilliseconds(word) else { return nil }
                total += time
                index += 1
                continue
            }
            guard index + 1 < words.count, let count = Int64(String(decoding: word, as: UTF8.self)),
                let unit = unitMilliseconds(words[index + 1].first, words[index + 1].dropFirst().first)
            else { return nil }
            let (part, overflow) = count.multipliedReportingOverflow(by: unit)
            if overflow { return nil }
            total += part
            index += 2
        }
        return total
    }

    private static func unitMilliseconds(_ first: UInt8?, _ second: UInt8?) -> Int64? {
        switch (first, second) {
        case (UInt8(ascii: "y"), _): 12 * 30 * 86_400_000
        case (UInt8(ascii: "m"), UInt8(ascii: "o")): 30 * 86_400_000
        case (UInt8(ascii: "d"), _): 86_400_000
        default: nil
        }
    }

    /// `-04:05:06.789`, of whose fraction halves of a millisecond are rounded up.
    private static func clockMilliseconds(_ word: UnsafeRawBufferPointer) -> Int64? {
        var fields: [Int64] = [0]
        var fraction: Int64 = 0
        var scale: Int64 = 0
        for byte in word {
            switch byte {
            case UInt8(ascii: "-"), UInt8(ascii: "+"): continue
            case UInt8(ascii: ":"): fields.append(0)
            case UInt8(ascii: "."): scale = 100_000
            case 0x30...0x39 where scale > 0:
                fraction += Int64(byte - 0x30) * scale
                scale = scale == 1 ? 0 : scale / 10
            case 0x30...0x39: fields[fields.count - 1] = fields[fields.count - 1] * 10 + Int64(byte - 0x30)
            default: return nil
            }
        }
        guard fields.count == 3 else { return nil }
        let total = (fields[0] * 3600 + fields[1] * 60 + fields[2]) * 1000 + (fraction + 500) / 1000
        return word.first == UInt8(ascii: "-") ? -total : total
    }

    // MARK: Arrays and rows

    /// An array's text (PostgreSQL 15 docs, 8.15.6): `{1,NULL,"a b"}`, `{{1},{2}}`, `[0:1]={1,2}`.
    private mutating func appendTrinoArray(_ text: UnsafeRawBufferPointer, of element: TrinoForm) {
        var index = 0
        if text.first == UInt8(ascii: "["), let equals = text.firstIndex(of: UInt8(ascii: "=")) { index = equals + 1 }
        while index < text.count {
            let byte = text[index]
            switch byte {
            case UInt8(ascii: "{"): append(UInt8(ascii: "["))
            case UInt8(ascii: "}"): append(UInt8(ascii: "]"))
            case UInt8(ascii: ","): append(byte)
            case UInt8(ascii: "\""):
                let (value, next) = Self.quoted(text, from: index)
                value.withUnsafeBytes { appendTrino($0, as: element) }
                index = next
                continue
            default:
                let end =
                    text[index...].firstIndex { $0 == UInt8(ascii: ",") || $0 == UInt8(ascii: "}") } ?? text.count
                let token = UnsafeRawBufferPointer(rebasing: text[index..<end])
                // The string NULL is quoted.
                appendTrino(token.elementsEqual("NULL".utf8) ? nil : token, as: element)
                index = end
                continue
            }
            index += 1
        }
    }

    /// A row's text (PostgreSQL 15 docs, 8.16.6), `(1,"a b",)`, as an array; nothing between two commas is NULL.
    private mutating func appendTrinoRow(_ text: UnsafeRawBufferPointer, _ fields: [TrinoForm]) {
        append(UInt8(ascii: "["))
        var index = 1
        var field = 0
        while index < text.count {
            if field > 0 { append(UInt8(ascii: ",")) }
            let form = field < fields.count ? fields[field] : .text
            if text[index] == UInt8(ascii: "\"") {
                let (value, next) = Self.quoted(text, from: index)
                value.withUnsafeBytes { appendTrino($0, as: form) }
                index = next
            } else {
                let end =
                    text[index...].firstIndex { $0 == UInt8(ascii: ",") || $0 == UInt8(ascii: ")") } ?? text.count
                let token = UnsafeRawBufferPointer(rebasing: text[index..<end])
                appendTrino(token.isEmpty ? nil : token, as: form)
                index = end
            }
            field += 1
            // After `,` another field follows, after `)` the row is at its end.
            if index < text.count && text[index] == UInt8(ascii: ")") { break }
            index += 1
        }
        append(UInt8(ascii: "]"))
    }

    /// The value in quotes at `start`, and where the text goes on after it. In it a quote is doubled (rows) or after
    /// a backslash (arrays).
    private static func quoted(_ text: UnsafeRawBufferPointer, from start: Int) -> (value: [UInt8], next: Int) {
        var value: [UInt8] = []
        var index = start + 1
        while index < text.count {
            if text[index] == UInt8(ascii: "\"") {
                guard index + 1 < text.count, text[index + 1] == UInt8(ascii: "\"") else { break }
                index += 1
            } else if text[index] == UInt8(ascii: "\\") && index + 1 < text.count {
                index += 1
            }
            value.append(text[index])
            index += 1
        }
        return (value, Swift.min(index + 1, text.count))
    }
}
