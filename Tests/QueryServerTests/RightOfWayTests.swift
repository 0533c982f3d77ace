// SPDX-License-Identifier: Apache-2.0

import EventLoop
import Testing

@testable import QueryServer

/// Exports that wait for lookups.
@Suite struct RightOfWayTests {
    /// An export, and how often it has been let on.
    private final class Export: @unchecked Sendable {
        // Rule for `@unchecked Sendable`: used on one loop only.
        var passed = 0
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
            await way.giveWay(on: loop)
            way.enter()
            way.leave()
            await way.giveWay(on: loop)
            #expect(way.waiting == 0)
        }
    }

    @Test func `exports go on when the last lookup is over`() async throws {
        try await onLoop { loop in
            let way = RightOfWay(patience: .seconds(3600))
            way.enter()
            way.enter()
            let export = Export()
            let exports = (0..<3).map { _ in
                Task(executorPreference: loop) {
                    await way.giveWay(on: loop)
                    export.passed += 1
                }
            }
            while way.waiting < 3 { await loop.nextTurn() }
            way.leave()
            for _ in 0..<10 { await loop.nextTurn() }
            #expect(export.passed == 0)
            way.leave()
            for task in exports { await task.value }
            #expect(export.passed == 3)
            #expect(way.waiting == 0)
        }
    }

    @Test func `lookups without a pause do not stop an export, and none is kept in mind twice`() async throws {
        try await onLoop { loop in
            let way = RightOfWay()
            way.enter()
            for _ in 0..<5 { await way.giveWay(on: loop) }
            #expect(way.waiting == 0)
            way.leave()
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
            await way.giveWay(on: loop)
            await lookup.value
        }
    }
}
