// SPDX-License-Identifier: Apache-2.0

import CLinux
import Glibc

/// A point on `CLOCK_MONOTONIC`, in nanoseconds: what deadlines and timers are made of.
///
/// A 64-bit count rather than `ContinuousClock.Instant`, whose 128-bit arithmetic shows on the hot path.
package struct MonotonicTime: Comparable, Hashable, Sendable {
    /// Nanoseconds since an arbitrary start (boot).
    package var nanoseconds: UInt64

    package init(nanoseconds: UInt64) { self.nanoseconds = nanoseconds }

    /// The current time; one vDSO call.
    package static func now() -> MonotonicTime {
        var time = timespec()
        clock_gettime(CLOCK_MONOTONIC, &time)
        return MonotonicTime(nanoseconds: UInt64(time.tv_sec) &* 1_000_000_000 &+ UInt64(time.tv_nsec))
    }

    /// Later than every time a clock will show: "no deadline".
    package static let distantFuture = MonotonicTime(nanoseconds: .max)

    package static func < (a: MonotonicTime, b: MonotonicTime) -> Bool { a.nanoseconds < b.nanoseconds }

    /// `time` moved by `duration`; saturates at zero and at ``distantFuture``.
    package static func + (time: MonotonicTime, duration: Duration) -> MonotonicTime {
        let delta = duration.inNanoseconds
        if delta >= 0 {
            let (sum, overflow) = time.nanoseconds.addingReportingOverflow(UInt64(delta))
            return overflow ? .distantFuture : MonotonicTime(nanoseconds: sum)
        }
        let back = delta.magnitude
        return MonotonicTime(nanoseconds: time.nanoseconds > back ? time.nanoseconds - back : 0)
    }

    /// The time from `earlier` to `later`; negative if they are the other way round.
    package static func - (later: MonotonicTime, earlier: MonotonicTime) -> Duration {
        .nanoseconds(Int64(bitPattern: later.nanoseconds &- earlier.nanoseconds))
    }
}

extension Duration {
    /// Whole nanoseconds, saturating at the range of `Int64` (292 years).
    package var inNanoseconds: Int64 {
        let (seconds, attoseconds) = components
        let (scaled, overflow) = seconds.multipliedReportingOverflow(by: 1_000_000_000)
        if overflow { return seconds < 0 ? .min : .max }
        let (sum, overflowed) = scaled.addingReportingOverflow(attoseconds / 1_000_000_000)
        return overflowed ? (seconds < 0 ? .min : .max) : sum
    }

    /// Seconds as a floating-point number, for rates and reports.
    package var inSeconds: Double {
        Double(components.seconds) + Double(components.attoseconds) * 1e-18
    }
}
