// SPDX-License-Identifier: Apache-2.0

import Market

/// When each trade of a tape is due, by the times of the trades before it. A pure value: the clocks are arguments.
///
/// Steps forward take their time, divided by the speed and cut to the longest pause. A trade that is older than one
/// before it is due at once, and stays as much older; one that is older by the longest pause or more begins a part of the
/// tape that has times of its own.
struct TapePace {
    /// A player that is behind by more does not hurry to catch up, and a clock that is put by more is followed.
    private static let tolerance = Duration.seconds(1)

    private let speed: Double?
    private let longestPause: Duration
    /// When the trade met last is due.
    private(set) var due: ContinuousClock.Instant
    /// A moment on both clocks.
    private var anchor: (instant: ContinuousClock.Instant, time: Timestamp)
    /// The newest time of the tape so far; nil at the start of a round.
    private var front: Timestamp?
    /// How much older than the newest the trade met last is, as far as pace and pauses leave of it.
    private var lateness = Duration.zero
    private var roundStart: ContinuousClock.Instant
    private var steps = 0

    /// - Parameters:
    ///   - speed: how many seconds of the tape pass in one; nil if every trade is due at once.
    ///   - now: the moment at which the first trade is due.
    ///   - time: the same moment.
    init(speed: Double?, longestPause: Duration, now: ContinuousClock.Instant, time: Timestamp) {
        self.speed = speed
        self.longestPause = longestPause
        due = now
        anchor = (now, time)
        roundStart = now
    }

    /// The time of the trade met last, had it happened when it is due.
    var time: Timestamp { time(at: due - lateness) }

    /// Takes the tape's time of the next trade; the clocks say that it is `now` and `time`.
    mutating func advance(to ts: Timestamp, now: ContinuousClock.Instant, time: Timestamp) {
        guard let speed else {
            // As fast as it goes: trades of one moment stay together, and none is before one before it.
            if ts != front { anchor = (now, max(self.time, time)) }
            due = anchor.instant
            front = ts
            return
        }
        lateness = .zero
        if let front, ts < front {
            lateness = scaled(from: ts, to: front, speed)
            if lateness >= longestPause {
                lateness = .zero
                self.front = ts
            }
        } else {
            if let front { due += scaled(from: front, to: ts, speed) }
            front = ts
            steps += 1
        }
        keepUp(now, time)
    }

    /// Begins the tape again: its first trade is due after a pause such as the last round had between two, on average.
    mutating func turn() {
        front = nil
        if speed != nil {
            due += max(.milliseconds(1), min(longestPause, (due - roundStart) / max(1, steps)))
        }
        roundStart = due
        steps = 0
    }

    private mutating func keepUp(_ now: ContinuousClock.Instant, _ time: Timestamp) {
        if now - due > Self.tolerance {
            roundStart += now - due
            due = now
        }
        let error = time.microseconds - self.time(at: now).microseconds
        if error.magnitude > Self.tolerance.inMicroseconds.magnitude { anchor = (now, time) }
    }

    private func time(at instant: ContinuousClock.Instant) -> Timestamp {
        Timestamp(microseconds: anchor.time.microseconds + (instant - anchor.instant).inMicroseconds)
    }

    private func scaled(from: Timestamp, to: Timestamp, _ speed: Double) -> Duration {
        // Limited before it becomes a Duration, which a tiny speed would overflow.
        let gap = Double(to.microseconds - from.microseconds) / speed
        return gap < 1e12 ? min(.microseconds(gap), longestPause) : longestPause
    }
}

extension Duration {
    /// Whole microseconds, the rest cut off.
    var inMicroseconds: Int64 { components.seconds * 1_000_000 + components.attoseconds / 1_000_000_000_000 }
}
