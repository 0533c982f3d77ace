// SPDX-License-Identifier: Apache-2.0

import Market
import Testing

@testable import Ingest

struct TapePaceTests {
    /// When trades with these times (seconds) are due, in ms after the start, and what times they get, by a player that is
    /// always in time.
    private static func play(
        _ times: [Double], speed: Double? = 1, longestPause: Duration = .seconds(2)
    ) -> (due: [Int64], times: [Int64]) {
        let start = ContinuousClock.now
        var pace = TapePace(
            speed: speed, longestPause: longestPause, now: start, time: Timestamp(microseconds: 7_000_000))
        var due: [Int64] = []
        var stamps: [Int64] = []
        for time in times {
            let now = pace.due
            pace.advance(
                to: Timestamp(microseconds: Int64(time * 1e6)), now: now,
                time: Timestamp(microseconds: 7_000_000 + (now - start).inMicroseconds))
            due.append((pace.due - start).inMicroseconds / 1000)
            stamps.append(pace.time.microseconds / 1000 - 7000)
        }
        return (due, stamps)
    }

    @Test func `steps take their time, trades of one moment stay together`() {
        let (due, times) = Self.play([100, 100, 100.5, 101.25, 101.25])
        #expect(due == [0, 0, 500, 1250, 1250] && times == due)
    }

    @Test func `pauses are scaled, then cut`() {
        #expect(Self.play([0, 60, 61, 1000], speed: 60).due == [0, 1000, 1016, 3016])
        #expect(Self.play([0, 1e9], speed: 1e-300).due == [0, 2000])
        // Steps of less than a microsecond add up.
        #expect(Self.play((0..<9032).map { Double($0) / 1e5 }, speed: 30).due.last == 3)
    }

    @Test func `a trade that is late is due at once, and stays as late`() {
        let (due, times) = Self.play([10, 9.5, 10.25, 8.9, 10.5])
        #expect(due == [0, 0, 250, 250, 500])
        #expect(times == [0, -500, 250, -1100, 500])
    }

    @Test func `a part of the tape with earlier times has a pace of its own`() {
        let (due, times) = Self.play([1000, 1001, 5, 6, 6.5])
        #expect(due == [0, 1000, 1000, 2000, 2500] && times == due)
    }

    @Test func `a round begins a mean pause after the last one`() {
        let start = ContinuousClock.now
        var pace = TapePace(speed: 1, longestPause: .seconds(2), now: start, time: .epoch)
        for time in [0, 100, 400] as [Int64] {
            pace.advance(to: Timestamp(microseconds: time * 1000), now: pace.due, time: pace.time)
        }
        pace.turn()
        pace.advance(to: .epoch, now: pace.due, time: pace.time)
        let first = (pace.due - start).inMicroseconds / 1000
        #expect(first == 400 + 400 / 3)
        pace.advance(to: Timestamp(microseconds: 100_000), now: pace.due, time: pace.time)
        #expect((pace.due - start).inMicroseconds / 1000 == first + 100)
    }

    @Test func `as fast as it goes, every trade is due, and none is before one before it`() {
        let start = ContinuousClock.now
        var pace = TapePace(speed: nil, longestPause: .zero, now: start, time: Timestamp(microseconds: 100))
        var times: [Int64] = []
        for (ts, time) in [(1, 100), (1, 150), (2, 200), (3, 180), (2, 300)] as [(Int64, Int64)] {
            pace.advance(to: Timestamp(microseconds: ts), now: start, time: Timestamp(microseconds: time))
            times.append(pace.time.microseconds)
            #expect(pace.due == start)
        }
        #expect(times == [100, 100, 200, 200, 300])
    }

    @Test func `who is behind does not hurry, and a clock that is put is followed`() {
        let start = ContinuousClock.now
        var pace = TapePace(speed: 1, longestPause: .seconds(2), now: start, time: .epoch)
        pace.advance(to: .epoch, now: start, time: .epoch)
        // Ten seconds late: the log could not be reached.
        pace.advance(
            to: Timestamp(microseconds: 500_000), now: start + .seconds(10), time: Timestamp(microseconds: 10_000_000))
        #expect(pace.due == start + .seconds(10) && pace.time.microseconds == 10_000_000)
        pace.advance(
            to: Timestamp(microseconds: 1_000_000), now: start + .seconds(10), time: Timestamp(microseconds: 10_000_000)
        )
        #expect(pace.due == start + .milliseconds(10_500) && pace.time.microseconds == 10_500_000)
        // The clock is put an hour back.
        pace.advance(
            to: Timestamp(microseconds: 1_000_000), now: start + .milliseconds(10_500),
            time: Timestamp(microseconds: 10_500_000 - 3_600_000_000))
        #expect(pace.time.microseconds == 10_500_000 - 3_600_000_000)
    }
}
