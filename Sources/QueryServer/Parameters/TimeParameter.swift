// SPDX-License-Identifier: Apache-2.0
// Moments as requests spell them.

import Market

extension Timestamp {
    /// Reads `now`, `now-6h`, `now+1d` (units s, m, h, d, w), and what ``init(parsing:)`` reads: RFC 3339, a date, an
    /// epoch count in seconds, milliseconds, microseconds or nanoseconds.
    ///
    /// - Parameter roundsUp: whether nanoseconds make it the microsecond after, not the one before: for `≥` and `<`, so that
    ///   the nanosecond after a trade is beyond it.
    init?(_ text: String, now: Timestamp, roundsUp: Bool = false) {
        guard text.hasPrefix("now") else {
            if roundsUp { self.init(parsingUp: text) } else { self.init(parsing: text) }
            return
        }
        let rest = text.utf8.dropFirst(3)
        if rest.isEmpty {
            self = now
            return
        }
        // A plus sign in a URL is a space.
        let isLater = rest.first == UInt8(ascii: "+") || rest.first == UInt8(ascii: " ")
        let digits = rest.dropFirst().dropLast()
        guard isLater || rest.first == UInt8(ascii: "-"), let unit = rest.last.flatMap(Self.microsecondsOfUnit),
            digits.allSatisfy({ $0 &- 0x30 < 10 }), let count = Int64(String(decoding: digits, as: UTF8.self)),
            count <= 100_000_000
        else { return nil }
        let (distance, isTooFar) = count.multipliedReportingOverflow(by: unit)
        let (time, overflows) =
            isLater
            ? now.microseconds.addingReportingOverflow(distance)
            : now.microseconds.subtractingReportingOverflow(distance)
        if isTooFar || overflows { return nil }
        self.init(microseconds: time)
    }

    private static func microsecondsOfUnit(_ letter: UInt8) -> Int64? {
        switch letter {
        case UInt8(ascii: "s"): 1_000_000
        case UInt8(ascii: "m"): 60_000_000
        case UInt8(ascii: "h"): 3_600_000_000
        case UInt8(ascii: "d"): microsecondsPerDay
        case UInt8(ascii: "w"): 7 * microsecondsPerDay
        default: nil
        }
    }
}

/// The moments `from ≤ t < to`; a missing side is open.
struct TimeRange: Equatable {
    var from: Timestamp?
    var to: Timestamp?
    /// Whether a side was given relative to `now`, so that the same request means something else later.
    var isRelative = false

    static let allowed =
        "RFC 3339 (2013-01-01T00:04:19.5Z), a date, epoch seconds, milliseconds, microseconds or nanoseconds, "
        + "now, now-6h; from also to-90d"

    init(from: Timestamp? = nil, to: Timestamp? = nil) {
        self.from = from
        self.to = to
    }

    /// From the parameters `from` and `to`; `from=to-90d` looks back from `to`, or from now where there is none.
    init(_ reader: ParameterReader, now: Timestamp) throws(QueryError) {
        to = try Self.moment("to", reader, now)
        isRelative = ["from", "to"].contains { reader.text($0)?.hasPrefix("now") == true }
        if let text = reader.text("from"), text.hasPrefix("to") {
            let back = text.dropFirst(2)
            guard back.hasPrefix("-"), let from = Timestamp("now" + back, now: to ?? now),
                Self.isStorable.contains(from.microseconds)
            else { throw ParameterReader.invalid("from", text, allowed: Self.allowed) }
            self.from = from
            if to == nil { isRelative = true }
        } else {
            from = try Self.moment("from", reader, now)
        }
        if let from, let to, from > to {
            throw QueryError(
                400, "invalid_parameter", "\"from\" is after \"to\"", details: "from is \(from), to is \(to).")
        }
    }

    /// Leaves out what comes up to `ts` in the order of a page. The range stays within what it was: a token may be of
    /// another range than the request.
    mutating func narrow(beyond ts: Timestamp, isDescending: Bool) {
        if isDescending { to = min(to ?? ts, ts) } else { from = max(from ?? ts.next, ts.next) }
    }

    private static func moment(
        _ name: String, _ reader: ParameterReader, _ now: Timestamp
    ) throws(QueryError) -> Timestamp? {
        guard let text = reader.text(name) else { return nil }
        guard let time = Timestamp(text, now: now, roundsUp: true), isStorable.contains(time.microseconds) else {
            throw ParameterReader.invalid(
                name, text, allowed: allowed, hint: "In a URL, write + as %2B.")
        }
        return time
    }

    /// PostgreSQL's timestamps (4713 BC to 294276 AD), less a margin.
    static let isStorable: ClosedRange<Int64> = -200_000_000_000_000_000...9_000_000_000_000_000_000
}
