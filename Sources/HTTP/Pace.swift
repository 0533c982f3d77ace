// SPDX-License-Identifier: Apache-2.0
// How slow a transfer may be. A pure value: it is told the time.

/// Patience that waiting uses up and moved bytes earn back: a transfer may pause for ``limit`` at most, and in the long
/// run must make ``bytesPerSecond``. A peer of one byte every few seconds is given up, a long transfer over a slow line
/// is not.
package struct Pace: Sendable, Equatable {
    /// The longest wait without a byte.
    package let limit: Duration
    /// What a second of waiting has to bring.
    package let bytesPerSecond: Int
    /// How long may still be waited.
    package private(set) var left: Duration

    package init(limit: Duration, bytesPerSecond: Int) {
        self.limit = limit
        self.bytesPerSecond = bytesPerSecond
        left = limit
    }

    /// Takes note of a wait and of what it brought.
    package mutating func note(waited: Duration, bytes: Int) {
        // A gigabyte at once earns more than any limit; without the bound the product could overflow.
        let earned = Duration.nanoseconds(min(bytes, 1 << 30) * 1_000_000_000 / bytesPerSecond)
        left = max(.zero, min(left - waited + earned, limit))
    }

    /// Gives the whole patience again: another transfer begins.
    package mutating func restart() { left = limit }
}
