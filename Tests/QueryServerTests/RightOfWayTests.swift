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
            let way = RightOfWay()
            await Self.giveWay(way, on: loop)
            way.enter()
            way.leave()
            await Self.giveWay(way, on: loop)
            #expect(way.waiting == 0)
        }
    }

    @Test func `exports go on when the last lookup is over`() async throws {
        try await onLoop { loop in
            let way = RightOfWay(patience: .seconds(3600))
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
            let way = RightOfWay(patience: .seconds(2))
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

    @Test func `lookups of another loop count, too`() async throws {
        let other = try EventLoop(name: "lookups")
        other.start()
        defer { other.stop() }
        let way = RightOfWay(patience: .seconds(3600))
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
