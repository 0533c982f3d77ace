// SPDX-License-Identifier: Apache-2.0

package import Market

/// How often a service may be asked: a bucket of tokens that fills at a steady rate, and what the service itself says.
///
/// A pure value: time is an argument. Understood of replies are `X-Ratelimit-Limit`, `-Remaining` and `-Reset` (Finnhub:
/// an epoch in seconds; Reddit: seconds from now), the same names without `X-`, and `Retry-After` in seconds or as a date
/// (RFC 9110 §10.2.3).
package struct RateLimit: Sendable {
    package typealias Instant = ContinuousClock.Instant

    /// Longest wait that a service is believed to want.
    package static let longestWait: Duration = .seconds(3600)

    /// Requests that may be sent at once after a long pause.
    package private(set) var burst: Double
    /// Time in which an empty bucket gets one token.
    private let interval: Duration
    private var tokens: Double
    private var filledAt: Instant?
    /// Until when the service wants to hear nothing.
    package private(set) var closedUntil: Instant?

    /// - Parameters:
    ///   - requests: so many requests in each `window`, in the long run.
    ///   - burst: as many of them may follow each other at once.
    package init(requests: Int, in window: Duration, burst: Int) {
        precondition(requests > 0 && burst > 0 && window > .zero)
        interval = window / requests
        self.burst = Double(burst)
        tokens = Double(burst)
    }

    /// Takes the place of one request; returns how long to wait before it is sent, zero if not at all.
    package mutating func take(at now: Instant) -> Duration {
        fill(at: now)
        tokens -= 1
        let forToken = tokens >= 0 ? .zero : interval * -tokens
        let forService = closedUntil.map { max(.zero, $0 - now) } ?? .zero
        return max(forToken, forService)
    }

    /// Learns from a reply. `now` and `clock` are the same moment.
    package mutating func learn(from reply: HTTPClient.Response, at now: Instant, clock: Timestamp) {
        fill(at: now)
        let reset = Self.value(reply, "reset").map { Self.pause(until: $0, clock: clock) }
        if let remaining = Self.value(reply, "remaining"), remaining >= 0 {
            tokens = min(tokens, remaining)
            if remaining < 1, let reset { close(for: reset, at: now) }
        }
        if reply.status == 429 || reply.status == 503 {
            if let pause = Self.retryAfter(reply, clock: clock) ?? (reply.status == 429 ? reset : nil) {
                close(for: pause, at: now)
            }
        }
    }

    /// Sends nothing for so long.
    package mutating func close(for pause: Duration, at now: Instant) {
        let end = now + min(max(pause, .zero), Self.longestWait)
        closedUntil = max(closedUntil ?? end, end)
    }

    private mutating func fill(at now: Instant) {
        if let filledAt, now > filledAt { tokens = min(burst, tokens + (now - filledAt) / interval) }
        filledAt = max(filledAt ?? now, now)
    }

    /// What `Retry-After` asks for, if anything.
    package static func retryAfter(_ reply: HTTPClient.Response, clock: Timestamp) -> Duration? {
        guard let text = reply["Retry-After"] else { return nil }
        if let seconds = Double(text), seconds.isFinite, seconds >= 0 { return bounded(seconds) }
        guard let date = HTTPDate.parse(text) else { return nil }
        return bounded(Double(date.microseconds - clock.microseconds) / 1e6)
    }

    private static func value(_ reply: HTTPClient.Response, _ name: String) -> Double? {
        guard let text = reply["X-Ratelimit-\(name)"] ?? reply["Ratelimit-\(name)"], let number = Double(text) else {
            return nil
        }
        return number.isFinite ? number : nil
    }

    /// A number of seconds, or a moment since the epoch, by magnitude.
    private static func pause(until reset: Double, clock: Timestamp) -> Duration {
        bounded(reset > 1e9 ? reset - Double(clock.microseconds) / 1e6 : reset)
    }

    private static func bounded(_ seconds: Double) -> Duration {
        let longest = Double(longestWait.components.seconds)
        return .milliseconds(Int64((min(max(seconds, 0), longest) * 1000).rounded(.up)))
    }
}

/// Dates of HTTP's headers (RFC 9110 §5.6.7), in the form that is to be sent: `Sun, 06 Nov 1994 08:49:37 GMT`.
enum HTTPDate {
    private static let months = [
        "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
    ]

    static func parse(_ text: String) -> Timestamp? {
        let words = text.split(separator: " ")
        guard words.count == 6, words[5] == "GMT", let day = Int(words[1]), let year = Int(words[3]),
            let month = months.firstIndex(of: String(words[2]))
        else { return nil }
        let date = CivilDate(year: year, month: month + 1, day: day)
        let time = words[4].split(separator: ":").map { Int64($0) ?? -1 }
        guard date.isValid, time.count == 3, (0...23).contains(time[0]), (0...59).contains(time[1]),
            (0...60).contains(time[2])
        else { return nil }
        let seconds = date.daysSinceEpoch * 86_400 + time[0] * 3600 + time[1] * 60 + time[2]
        return Timestamp(microseconds: seconds * 1_000_000)
    }
}
