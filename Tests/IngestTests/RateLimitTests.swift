// SPDX-License-Identifier: Apache-2.0

import Ingest
import Market
import TestSupport
import Testing

struct RateLimitTests {
    private let start = ContinuousClock.now
    private let clock = Timestamp(parsing: "2026-11-29T12:00:00Z")!

    private func reply(_ status: Int, _ headers: [(name: String, value: String)]) -> HTTPClient.Response {
        HTTPClient.Response(status: status, headers: headers)
    }

    @Test func `a burst passes, then one a second`() {
        var limit = RateLimit(requests: 60, in: .seconds(60), burst: 3)
        #expect((0..<3).allSatisfy { _ in limit.take(at: start) == .zero })
        #expect(limit.take(at: start) == .seconds(1))
        #expect(limit.take(at: start) == .seconds(2))
        // Both places are taken until then.
        #expect(limit.take(at: start + .seconds(2)) == .seconds(1))
        #expect(limit.take(at: start + .seconds(100)) == .zero)
    }

    @Test func `a pause fills the bucket no further than its brim`() {
        var limit = RateLimit(requests: 60, in: .seconds(60), burst: 2)
        _ = limit.take(at: start)
        let later = start + .seconds(3600)
        #expect(limit.take(at: later) == .zero)
        #expect(limit.take(at: later) == .zero)
        #expect(limit.take(at: later) == .seconds(1))
    }

    @Test(arguments: [
        // Finnhub says when, Reddit for how long.
        ("X-Ratelimit-Reset", "1795953630", 30), ("x-ratelimit-reset", "30", 30), ("RateLimit-Reset", "30", 30),
    ])
    func `a service with nothing left is left alone until it has`(name: String, value: String, seconds: Int) {
        var limit = RateLimit(requests: 60, in: .seconds(60), burst: 10)
        let prefix = String(name.dropLast(5))
        limit.learn(from: reply(200, [("\(prefix)remaining", "0.0"), (name, value)]), at: start, clock: clock)
        #expect(limit.take(at: start) == .seconds(seconds))
        #expect(limit.take(at: start + .seconds(seconds + 10)) == .zero)
    }

    @Test func `what is left there is all that is left here`() {
        var limit = RateLimit(requests: 60, in: .seconds(60), burst: 10)
        limit.learn(
            from: reply(200, [("X-Ratelimit-Remaining", "1"), ("X-Ratelimit-Reset", "20")]), at: start, clock: clock)
        #expect(limit.take(at: start) == .zero)
        #expect(limit.take(at: start) == .seconds(1))
    }

    @Test(
        arguments: [
            ("120", 120), ("0", 0), ("Sun, 29 Nov 2026 12:01:30 GMT", 90), ("Sun, 29 Nov 2026 11:00:00 GMT", 0),
            ("86400", 3600), ("soon", nil), ("-5", nil), ("nan", nil), ("Sun, 31 Feb 2026 12:01:30 GMT", nil),
        ] as [(String, Int?)])
    func `Retry-After is seconds or a date, and an hour at most`(value: String, seconds: Int?) {
        let reply = reply(429, [("Retry-After", value)])
        #expect(RateLimit.retryAfter(reply, clock: clock) == seconds.map { .seconds($0) })
        var limit = RateLimit(requests: 60, in: .seconds(60), burst: 10)
        limit.learn(from: reply, at: start, clock: clock)
        #expect(limit.take(at: start) == .seconds(seconds ?? 0))
    }

    @Test func `pauses grow to their limit, jittered, the same for the same seed`() {
        func pauses(_ seed: UInt64) -> [Duration] {
            var backoff = Backoff(first: .seconds(1), longest: .seconds(60), random: SeededRandom(seed: seed))
            return (0..<10).map { _ in backoff.next() }
        }
        let some = pauses(1)
        #expect(some == pauses(1) && some != pauses(2))
        for (pause, whole) in zip(some, [1, 2, 4, 8, 16, 32, 60, 60, 60, 60]) {
            #expect(pause >= .seconds(whole) / 2 && pause <= .seconds(whole))
        }
        var backoff = Backoff(first: .seconds(1), longest: .seconds(60))
        for _ in 0..<5 { _ = backoff.next() }
        backoff.reset()
        #expect(backoff.next() <= .seconds(1))
    }
}
