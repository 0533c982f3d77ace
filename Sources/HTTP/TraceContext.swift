// SPDX-License-Identifier: Apache-2.0
// Which trace a request belongs to (W3C Trace Context).

/// The trace of a request and its own part in it, as OpenTelemetry and others name them in `traceparent`.
///
/// A request that brings none begins a trace of its own, whose ids follow from its number: no randomness is spent on
/// requests that nobody traces.
package struct TraceContext: Sendable, Equatable {
    /// 128 bits, never 0.
    package let traceID: (high: UInt64, low: UInt64)
    /// The span of the request here; never 0.
    package let spanID: UInt64
    /// `trace-flags`; bit 0 says that the caller records the trace.
    package let flags: UInt8
    /// Whether the client brought it, and wants to hear of it.
    package let isContinued: Bool

    /// What this process adds to the numbers of its requests.
    private static let process: (UInt64, UInt64) = {
        var random = SystemRandomNumberGenerator()
        return (random.next() | 1, random.next() | 1)
    }()

    /// The context of a request: its `traceparent` if that is one, else a new trace.
    ///
    /// - Parameter number: the request's, unique in this process.
    package init(_ head: RequestHead, number: UInt64) {
        let span = Self.mixed(number &+ Self.process.1)
        spanID = span == 0 ? 1 : span
        if let field = head.value(of: "traceparent"), let parent = Self.parse(field) {
            traceID = parent.traceID
            flags = parent.flags
            isContinued = true
        } else {
            traceID = (Self.process.0, Self.mixed(number))
            flags = 0
            isContinued = false
        }
    }

    /// The finaliser of SplitMix64: a permutation, so numbers that differ stay different.
    private static func mixed(_ number: UInt64) -> UInt64 {
        var z = number &+ 0x9E37_79B9_7F4A_7C15
        z = (z ^ (z >> 30)) &* 0xBF58_476D_1CE4_E5B9
        z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
        return z ^ (z >> 31)
    }

    /// `00-<32 hexadecimal digits>-<16>-<2>` in lower case; a later version may go on behind a further `-` (§3.2.2).
    static func parse(_ field: ArraySlice<UInt8>) -> (traceID: (high: UInt64, low: UInt64), flags: UInt8)? {
        let bytes = Array(field)
        guard bytes.count >= 55, bytes[2] == dash, bytes[35] == dash, bytes[52] == dash,
            let version = number(bytes[0..<2]), version != 0xFF,
            bytes.count == 55 || version > 0 && bytes[55] == dash,
            let high = number(bytes[3..<19]), let low = number(bytes[19..<35]), high != 0 || low != 0,
            let parent = number(bytes[36..<52]), parent != 0, let flags = number(bytes[53..<55])
        else { return nil }
        return ((high, low), UInt8(truncatingIfNeeded: flags))
    }

    private static let dash = UInt8(ascii: "-")

    private static func number(_ digits: ArraySlice<UInt8>) -> UInt64? {
        var value: UInt64 = 0
        for digit in digits {
            switch digit {
            case UInt8(ascii: "0")...UInt8(ascii: "9"): value = value << 4 | UInt64(digit - UInt8(ascii: "0"))
            case UInt8(ascii: "a")...UInt8(ascii: "f"): value = value << 4 | UInt64(digit - UInt8(ascii: "a") + 10)
            default: return nil
            }
        }
        return value
    }

    private static func digits(_ value: UInt64, _ count: Int) -> String {
        let text = String(value, radix: 16)
        return String(repeating: "0", count: max(0, count - text.utf8.count)) + text
    }

    /// 32 hexadecimal digits.
    package var traceText: String { Self.digits(traceID.high, 16) + Self.digits(traceID.low, 16) }
    /// 16 hexadecimal digits.
    package var spanText: String { Self.digits(spanID, 16) }
    /// Two hexadecimal digits.
    package var flagsText: String { Self.digits(UInt64(flags), 2) }

    /// The value of `traceresponse`, which tells the caller of the span here (W3C Trace Context Level 2, draft).
    package var responseField: String { "00-\(traceText)-\(spanText)-\(flagsText)" }

    package static func == (a: TraceContext, b: TraceContext) -> Bool {
        a.traceID == b.traceID && a.spanID == b.spanID && a.flags == b.flags && a.isContinued == b.isContinued
    }
}
