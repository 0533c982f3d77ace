// SPDX-License-Identifier: Apache-2.0

import EventLoop
import Testing

@testable import QueryServer

/// Exports that wait for lookups.
@Suite struct RightOfWayTests {
    /// Counts exports that have been let on.
    private final class Counter: @unchecked Sendable {
        // Rule for `@unchecked Sendable`: used on one loop only.
        var passed = 0
    }

    private static func way(patience: Duration = .milliseconds(1)) -> RightOfWay {
        RightOfWay(patience: patience, stretch: .zero, turns: Turns(places: 8))
    }

    private static func giveWay(_ way: RightOfWay, on loop: EventLoop) async {
        await RightOfWay.Export(way, on: loop).giveWay()
    }

    private func onLoop(_ body: @escaping @Sendable (EventLoop) async throws -> Void) async throws {
        let loop = try EventLoop(name: "way")
        loop.start()
        defer { loop.stop() }
        try await Task(executorPreference: loop) { try await body(loop) }.value
    }

    @Test func `nobody waits where nobody is in a hurry`() async throws {
        try await onLoop { loop in
            let way = Self.way()
            await Self.giveWay(way, on: loop)
            way.enter()
            way.leave()
            await Self.giveWay(way, on: loop)
            #expect(way.waiting == 0)
        }
    }

    @Test func `exports go on when the last lookup is over`() async throws {
        try await onLoop { loop in
            let way = Self.way(patience: .seconds(3600))
            way.enter()
            way.enter()
            let counter = Counter()
            let exports = (0..<3).map { _ in
                Task(executorPreference: loop) {
                    await Self.giveWay(way, on: loop)
                    counter.passed += 1
                }
            }
            while way.waiting < 3 { await loop.nextTurn() }
            way.leave()
            for _ in 0..<10 { await loop.nextTurn() }
            #expect(counter.passed == 0)
            way.leave()
            for task in exports { await task.value }
            #expect(counter.passed == 3)
            #expect(way.waiting == 0)
        }
    }

    @Test func `after a wait in vain an export is free for as long`() async throws {
        try await onLoop { loop in
            let way = Self.way(patience: .seconds(2))
            nonisolated(unsafe) let export = RightOfWay.Export(way, on: loop)
            way.enter()
            let begin = MonotonicTime.now()
            await export.giveWay()
            #expect(MonotonicTime.now() - begin >= .seconds(2))
            let counter = Counter()
            let again = Task(executorPreference: loop) {
                await export.giveWay()
                counter.passed += 1
            }
            for _ in 0..<10 { await loop.nextTurn() }
            #expect(counter.passed == 1)
            #expect(way.waiting == 0)
            way.leave()
            await again.value
        }
    }

    @Test func `while lookups come an export rests after each stretch of work`() async throws {
        try await onLoop { loop in
            let way = RightOfWay(stretch: .milliseconds(20), turns: Turns(places: 1))
            nonisolated(unsafe) let export = RightOfWay.Export(way, on: loop)
            way.enter()
            way.leave()
            for _ in 0..<3 {
                let begin = MonotonicTime.now()
                await export.giveWay()
                #expect(MonotonicTime.now() - begin >= .milliseconds(20))
                while MonotonicTime.now() - begin < .milliseconds(60) {}
            }
        }
    }

    @Test(arguments: [false, true])
    func `nobody rests or waits for a turn where no lookups come, or none any more`(came: Bool) async throws {
        try await onLoop { loop in
            let turns = Turns(places: 1, length: .seconds(3600), lapse: .seconds(3600), patience: .seconds(3600))
            await turns.take(for: ObjectIdentifier(turns), on: loop)
            let way = RightOfWay(stretch: .seconds(3600), memory: .milliseconds(20), turns: turns)
            if came {
                way.enter()
                way.leave()
                try await loop.sleep(for: .milliseconds(21))
            }
            let counter = Counter()
            let export = Task(executorPreference: loop) {
                await Self.giveWay(way, on: loop)
                counter.passed += 1
            }
            for _ in 0..<10 { await loop.nextTurn() }
            #expect(counter.passed == 1)
            export.cancel()
        }
    }

    @Test func `while lookups come exports work in turns`() async throws {
        try await onLoop { loop in
            let turns = Turns(places: 1, length: .seconds(3600), lapse: .seconds(3600), patience: .milliseconds(50))
            let way = RightOfWay(stretch: .zero, turns: turns)
            way.enter()
            way.leave()
            let exports = (0..<2).map { _ in RightOfWay.Export(way, on: loop) }
            await exports[0].giveWay()
            let begin = MonotonicTime.now()
            await exports[1].giveWay()
            #expect(MonotonicTime.now() - begin >= .milliseconds(50))
        }
    }

    @Test func `lookups of another loop count, too`() async throws {
        let other = try EventLoop(name: "lookups")
        other.start()
        defer { other.stop() }
        let way = Self.way(patience: .seconds(3600))
        way.enter()
        try await onLoop { loop in
            let lookup = Task(executorPreference: other) {
                while way.waiting == 0 { await other.nextTurn() }
                way.leave()
            }
            await Self.giveWay(way, on: loop)
            await lookup.value
        }
    }
}
