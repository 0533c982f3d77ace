// SPDX-License-Identifier: Apache-2.0

/// Pauses between attempts: each twice as long as the one before up to a limit, and of each a random part between half
/// and the whole, so that many clients that failed together do not come back together.
package struct Backoff: Sendable {
    private let first: Duration
    private let longest: Duration
    private var attempt = 0
    private var random: any RandomNumberGenerator & Sendable

    /// - Parameter random: for tests, a generator that gives the same numbers each time.
    package init(
        first: Duration, longest: Duration, random: any RandomNumberGenerator & Sendable = SystemRandomNumberGenerator()
    ) {
        precondition(first > .zero && longest >= first)
        self.first = first
        self.longest = longest
        self.random = random
    }

    /// How long to wait before the next attempt.
    package mutating func next() -> Duration {
        var pause = first
        for _ in 0..<attempt where pause < longest { pause = min(longest, pause * 2) }
        attempt += 1
        return pause * Double.random(in: 0.5...1, using: &random)
    }

    /// An attempt succeeded: the next failure waits the shortest time again.
    package mutating func reset() { attempt = 0 }
}
