// SPDX-License-Identifier: Apache-2.0
// PostgreSQL's ISO times as RFC 3339, or as epoch milliseconds.

import Market

extension [UInt8] {
    /// A `timestamptz` or `timestamp` in PostgreSQL's ISO style as RFC 3339 §5.6, without quotes:
    /// `2013-01-01 00:04:19.486096+00` is `2013-01-01T00:04:19.486096Z`; without a zone there is none after.
    ///
    /// What has no such form (`infinity`, years before 1 or after 9999, another DateStyle) stays as it is.
    mutating func appendTime(_ bytes: UnsafeRawBufferPointer) {
        guard isISO(bytes) else { return append(contentsOf: bytes) }
        append(contentsOf: UnsafeRawBufferPointer(rebasing: bytes[..<10]))
        append(UInt8(ascii: "T"))
        var zone = 19
        while zone < bytes.count && bytes[zone] != UInt8(ascii: "+") && bytes[zone] != UInt8(ascii: "-") { zone += 1 }
        append(contentsOf: UnsafeRawBufferPointer(rebasing: bytes[11..<zone]))
        switch bytes.count - zone {
        case 0: return
        case 3 where bytes[zone + 1] == 0x30 && bytes[zone + 2] == 0x30: append(UInt8(ascii: "Z"))
        case 3:
            append(contentsOf: UnsafeRawBufferPointer(rebasing: bytes[zone...]))
            appendText(":00")
        default: append(contentsOf: UnsafeRawBufferPointer(rebasing: bytes[zone...]))
        }
    }

    /// A time in PostgreSQL's ISO style as whole milliseconds since 1970, rounded down; null if it has no such form.
    mutating func appendMilliseconds(_ bytes: UnsafeRawBufferPointer) {
        guard isISO(bytes), let time = Timestamp(parsing: bytes) else { return appendText("null") }
        appendInteger(floorDivide(time.microseconds, 1000))
    }

    /// Decimal digits.
    mutating func appendInteger(_ value: Int64) { appendText(String(value)) }

    /// `YYYY-MM-DD HH:MM:SS…` with a digit at the end (not ` BC`).
    private func isISO(_ bytes: UnsafeRawBufferPointer) -> Bool {
        guard bytes.count >= 19, bytes[4] == UInt8(ascii: "-"), bytes[10] == UInt8(ascii: " ") else { return false }
        return bytes[0] &- 0x30 < 10 && bytes[bytes.count - 1] &- 0x30 < 10
    }
}
