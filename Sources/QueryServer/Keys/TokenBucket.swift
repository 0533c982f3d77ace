// SPDX-License-Identifier: Apache-2.0

import EventLoop

/// A rate with room for bursts: a bucket that fills steadily and from which each event takes one. A value; the clock
/// comes with each call.
struct TokenBucket: Sendable {
    /// Events at once.
    let capacity: Double
    /// Events a second in the long run.
    let perSecond: Double
    private var level: Double
    private var time: MonotonicTime

    init(capacity: Double, perSecond: Double, now: MonotonicTime) {
        self.capacity = capacity
        self.perSecond = perSecond
        level = capacity
        time = now
    }

    private func level(at now: MonotonicTime) -> Double {
        min(capacity, level + max(0, (now - time).inSeconds) * perSecond)
    }

    /// Whether nothing was taken that has not come back.
    func isFull(_ now: MonotonicTime) -> Bool { level(at: now) >= capacity }

    /// Puts one back that was taken for nothing.
    mutating func giveBack() { level = min(capacity, level + 1) }

    /// Takes one, or says how many seconds to wait for it.
    mutating func take(_ now: MonotonicTime) -> Double? {
        level = level(at: now)
        time = now
        if level < 1 { return (1 - level) / perSecond }
        level -= 1
        return nil
    }
}
