// SPDX-License-Identifier: Apache-2.0

import EventLoop
import Testing

@testable import QueryServer

/// Exports that work one after the other.
@Suite struct TurnsTests {
    /// Something to be known by.
    private final class Export: Sendable {
        var id: ObjectIdentifier { ObjectIdentifier(self) }
    }

    /// Which exports have been let on, in order.
    private final class Order: @unchecked Sendable {
        // Rule for `@unchecked Sendable`: used on one loop only.
        var exports: [Int] = []
    }

    private func onLoop(_ body: @escaping @Sendable (EventLoop) async throws -> Void) async throws {
        let loop = try EventLoop(name: "turns")
        loop.start()
        defer { loop.stop() }
        try await Task(executorPreference: loop) { try await body(loop) }.value
    }

    @Test func `whoever is alone never waits`() async throws {
        try await onLoop { loop in
            let turns = Turns(places: 1, length: .zero, lapse: .seconds(3600), patience: .seconds(3600))
            let export = Export()
            for _ in 0..<100 { await turns.take(for: export.id, on: loop) }
            #expect(turns.waiting == 0)
        }
    }

    @Test func `as many work at a time as there are places, and the next when its patience ends`() async throws {
        try await onLoop { loop in
            let turns = Turns(
                places: 2, length: .seconds(3600), lapse: .seconds(3600), patience: .milliseconds(50))
            let exports = (0..<3).map { _ in Export() }
            for _ in 0..<2 {
                for export in exports.prefix(2) { await turns.take(for: export.id, on: loop) }
            }
            let begin = MonotonicTime.now()
            let third = Task(executorPreference: loop) { await turns.take(for: exports[2].id, on: loop) }
            while turns.waiting == 0 { await loop.nextTurn() }
            for export in exports.prefix(2) { await turns.take(for: export.id, on: loop) }
            #expect(turns.waiting == 1)
            await third.value
            #expect(MonotonicTime.now() - begin >= .milliseconds(50))
            #expect(turns.waiting == 0)
        }
    }

    @Test func `a turn that is over goes to the one that has waited longest`() async throws {
        try await onLoop { loop in
            let turns = Turns(places: 1, length: .zero, lapse: .seconds(3600), patience: .milliseconds(500))
            let exports = (0..<3).map { _ in Export() }
            await turns.take(for: exports[0].id, on: loop)
            let order = Order()
            let others = (1...2).map { index in
                Task(executorPreference: loop) {
                    for _ in 0..<2 {
                        await turns.take(for: exports[index].id, on: loop)
                        order.exports.append(index)
                    }
                }
            }
            for other in others { await other.value }
            #expect(order.exports == [1, 2, 1, 2])
        }
    }

    @Test func `a turn of one that is not heard of goes to another`() async throws {
        try await onLoop { loop in
            let turns = Turns(places: 1, length: .seconds(3600), lapse: .milliseconds(2), patience: .seconds(3600))
            let exports = (0..<2).map { _ in Export() }
            await turns.take(for: exports[0].id, on: loop)
            await turns.take(for: exports[1].id, on: loop)
            #expect(turns.waiting == 0)
        }
    }

    @Test func `one that is cancelled waits no more, and leaves its place`() async throws {
        try await onLoop { loop in
            let turns = Turns(
                places: 1, length: .seconds(3600), lapse: .seconds(3600), patience: .seconds(3600))
            let exports = (0..<2).map { _ in Export() }
            await turns.take(for: exports[0].id, on: loop)
            let second = Task(executorPreference: loop) { await turns.take(for: exports[1].id, on: loop) }
            while turns.waiting == 0 { await loop.nextTurn() }
            second.cancel()
            await second.value
            #expect(turns.waiting == 0)
        }
    }
}
