// SPDX-License-Identifier: Apache-2.0
// What the loop promises to those who share it.

import CLinux
import Glibc
import Synchronization
import Testing

@testable import EventLoop

/// What tasks of a test count together.
private final class Tally: Sendable {
    let count = Atomic<Int>(0)
    let order = Mutex<[Int]>([])
}

/// Lets tasks of one loop share what belongs to the loop.
private struct OnLoop<T>: @unchecked Sendable {
    // Rule for `@unchecked Sendable`: all tasks that use it run on the loop's thread.
    let value: T
}

struct FairnessTests {
    @Test func `a connection that is always ready does not starve the others`() async throws {
        try await EventLoopTests.onLoop { loop in
            let (busy, feeder) = try EventLoopTests.socketPair()
            let (quiet, sender) = try EventLoopTests.socketPair()
            defer { for descriptor in [busy, feeder, quiet, sender] { close(descriptor) } }
            let busyOne = OnLoop(value: try loop.register(busy, mode: .edge))
            let quietOne = OnLoop(value: try loop.register(quiet, mode: .edge))
            defer {
                busyOne.value.deregister()
                quietOne.value.deregister()
            }
            let turns = Tally()
            await withTaskGroup(of: Void.self) { group in
                group.addTask {
                    // Feeds itself: there is something to read at each turn, for ever.
                    var byte: UInt8 = 0
                    _ = write(feeder, "x", 1)
                    while !Task.isCancelled, await busyOne.value.readable() == .ready {
                        while read(busy, &byte, 1) == 1 { turns.count.add(1, ordering: .relaxed) }
                        _ = write(feeder, "x", 1)
                    }
                }
                group.addTask {
                    _ = write(sender, "x", 1)
                    #expect(await quietOne.value.readable(until: .now() + .seconds(20)) == .ready)
                }
                await group.next()
                busyOne.value.cancelWaits()
                group.cancelAll()
            }
            #expect(turns.count.load(ordering: .relaxed) > 0)
        }
    }

    @Test func `a batch of jobs is bounded, and what is over it keeps its order`() async throws {
        try await EventLoopTests.onLoop { loop in
            let tally = Tally()
            await withTaskGroup(of: Void.self) { group in
                for index in 0..<(3 * EventLoop.jobBatch) {
                    group.addTask { tally.order.withLock { $0.append(index) } }
                }
            }
            #expect(tally.order.withLock { $0 } == Array(0..<(3 * EventLoop.jobBatch)))
        }
    }

    @Test func `a timer that sets the next one does not starve sockets`() async throws {
        try await EventLoopTests.onLoop { loop in
            let (a, b) = try EventLoopTests.socketPair()
            defer { close(a); close(b) }
            let registration = try loop.register(a, mode: .edge)
            defer { registration.deregister() }
            var stopped = false
            func again() { if !stopped { loop.schedule(at: loop.now) { again() } } }
            again()
            _ = write(b, "x", 1)
            #expect(await registration.readable(until: .now() + .seconds(20)) == .ready)
            stopped = true
        }
    }

    @Test func `jobs from other threads all run, on the loop`() async throws {
        let loop = try EventLoop(name: "target")
        loop.start()
        defer { loop.stop() }
        let tally = Tally()
        await withTaskGroup(of: Void.self) { group in
            for _ in 0..<2000 {
                group.addTask {
                    await Task(executorPreference: loop) {
                        if loop.isCurrent { tally.count.add(1, ordering: .relaxed) }
                    }.value
                }
            }
        }
        #expect(tally.count.load(ordering: .relaxed) == 2000)
    }
}

struct RegistrationTests {
    @Test func `an event of this batch for a descriptor that was closed and opened again reaches nobody`() async throws
    {
        try await EventLoopTests.onLoop { loop in
            // Both are ready in one poll. Whoever is served first closes the other and opens a new one in its place,
            // which must not be told of the old one's bytes.
            let (a, aPeer) = try EventLoopTests.socketPair()
            let (b, bPeer) = try EventLoopTests.socketPair()
            defer { close(aPeer); close(bPeer) }
            let registrations = [try loop.register(a, mode: .edge), try loop.register(b, mode: .edge)]
            var fresh: (Registration, CInt, CInt)?
            // Hang-ups are reported to a closure, in the poll itself.
            for (index, descriptor) in [a, b].enumerated() {
                registrations[index].onPeerClosed = {
                    guard fresh == nil else { return }
                    let other = 1 - index
                    registrations[other].deregister()
                    close([a, b][other])
                    guard let (c, d) = try? EventLoopTests.socketPair() else { return }
                    guard let new = try? loop.register(c, mode: .edge) else { return }
                    new.onPeerClosed = { Issue.record("told of another's end") }
                    // The lowest free number is taken: the one that has just been closed.
                    #expect(c == [a, b][other] && new.slot == registrations[other].slot)
                    fresh = (new, c, d)
                    _ = descriptor
                }
            }
            shutdown(aPeer, CInt(SHUT_RDWR))
            shutdown(bPeer, CInt(SHUT_RDWR))
            try await loop.sleep(for: .milliseconds(20))
            let (new, c, d) = try #require(fresh)
            #expect(!new.peerClosed && !new.isBroken)
            // It hears of its own.
            var later = false
            new.onPeerClosed = { later = true }
            close(d)
            try await loop.sleep(for: .milliseconds(20))
            #expect(later)
            new.deregister()
            close(c)
            for (registration, descriptor) in zip(registrations, [a, b]) where descriptor != c {
                registration.deregister()
                close(descriptor)
            }
        }
    }

    @Test func `slots are used again, however many came and went`() async throws {
        try await EventLoopTests.onLoop { loop in
            var slots: Set<Int> = []
            for _ in 0..<1000 {
                let (a, b) = try EventLoopTests.socketPair()
                let registration = try loop.register(a, mode: .edge)
                slots.insert(registration.slot)
                registration.deregister()
                close(a); close(b)
            }
            #expect(slots.count == 1)
        }
    }

    @Test func `cancelling ends the waits of both sides, and all later ones`() async throws {
        try await EventLoopTests.onLoop { loop in
            let sockets = try EventLoopTests.socketPair()
            let registration = try loop.register(sockets.0, mode: .oneShot)
            let shared = OnLoop(value: registration)
            defer { registration.deregister(); close(sockets.0); close(sockets.1) }
            // Nothing to read, and no room to write.
            let block = [UInt8](repeating: 0, count: 65_536)
            while write(sockets.0, block, block.count) > 0 {}
            await withTaskGroup(of: Registration.Outcome.self) { group in
                group.addTask { await shared.value.readable() }
                group.addTask { await shared.value.writable() }
                loop.schedule(at: .now() + .milliseconds(5)) { registration.cancelWaits() }
                for await outcome in group { #expect(outcome == .cancelled) }
            }
            #expect(await registration.readable() == .cancelled)
            #expect(await registration.writable() == .cancelled)
        }
    }

    @Test func `a wait sees what happens while it is being entered`() async throws {
        for turns in 0..<8 {
            let outcome = try await EventLoopTests.onLoop { loop in
                let (a, b) = try EventLoopTests.socketPair()
                defer { close(a); close(b) }
                let registration = try loop.register(a, mode: .edge)
                defer { registration.deregister() }
                let shared = OnLoop(value: registration)
                return await withTaskGroup(of: Registration.Outcome?.self) { group in
                    group.addTask { await shared.value.readable(until: .now() + .seconds(2)) }
                    // Its turns of the loop's queue alternate with the wait's.
                    group.addTask {
                        for _ in 0..<turns { await Task.yield() }
                        shared.value.cancelWaits()
                        return nil
                    }
                    return await group.reduce(nil) { $0 ?? $1 }
                }
            }
            #expect(outcome == .cancelled, "after \(turns) turns")
        }
    }

    @Test func `a broken connection is told apart from a peer that only stopped sending`() async throws {
        try await EventLoopTests.onLoop { loop in
            let (a, b) = try EventLoopTests.socketPair()
            let registration = try loop.register(a, mode: .edge)
            defer { registration.deregister(); close(a) }
            var states: [Bool] = []
            registration.onPeerClosed = { states.append(registration.isBroken) }
            shutdown(b, CInt(SHUT_WR))
            try await loop.sleep(for: .milliseconds(10))
            #expect(states == [false] && registration.peerClosed)
            close(b)
            try await loop.sleep(for: .milliseconds(10))
            #expect(states == [false, true])
        }
    }

    @Test func `many deadlines fire, each at its own side and time`() async throws {
        try await EventLoopTests.onLoop { loop in
            let (a, b) = try EventLoopTests.socketPair()
            defer { close(a); close(b) }
            let registration = try loop.register(a, mode: .edge)
            defer { registration.deregister() }
            // The write side is ready at once; reads time out again and again while old timers are still queued.
            for milliseconds in [30, 2, 20, 1, 10] {
                let begun = MonotonicTime.now()
                #expect(await registration.readable(until: begun + .milliseconds(milliseconds)) == .timedOut)
                #expect(MonotonicTime.now() - begun >= .milliseconds(milliseconds))
            }
            #expect(await registration.readable(until: .init(nanoseconds: 1)) == .timedOut)
        }
    }
}

struct TimerQueueTests {
    @Test func `timers fire by deadline, whatever the order they came in`() {
        var random = SystemRandomNumberGenerator()
        for _ in 0..<50 {
            var queue = TimerQueue()
            var fired: [UInt64] = []
            let deadlines = (0..<200).map { _ in UInt64.random(in: 0..<100, using: &random) }
            for deadline in deadlines {
                queue.push(.init(deadline: .init(nanoseconds: deadline), purpose: .call { fired.append(deadline) }))
            }
            for now in stride(from: UInt64(0), through: 100, by: 7) {
                while let entry = queue.pop(dueAt: .init(nanoseconds: now)) { entry.fire() }
                #expect(fired.allSatisfy { $0 <= now } && queue.earliest.map { $0.nanoseconds > now } ?? true)
            }
            while let entry = queue.pop(dueAt: .distantFuture) { entry.fire() }
            #expect(fired == deadlines.sorted() && queue.count == 0)
        }
    }

    @Test func `what is removed does not fire, and the rest keeps its order`() {
        var random = SystemRandomNumberGenerator()
        for _ in 0..<50 {
            var queue = TimerQueue()
            var fired: [UInt64] = []
            let deadlines = (0..<200).map { _ in UInt64.random(in: 0..<100, using: &random) }
            for deadline in deadlines {
                queue.push(
                    .init(
                        deadline: .init(nanoseconds: deadline),
                        purpose: deadline % 3 == 0 ? .registration(deadline) : .call { fired.append(deadline) }))
            }
            queue.removeAll { purpose in
                if case .registration(let key) = purpose { return key < 50 }
                return false
            }
            let kept = deadlines.filter { $0 % 3 != 0 || $0 >= 50 }.sorted()
            #expect(queue.count == kept.count)
            for deadline in kept { #expect(queue.pop(dueAt: .distantFuture)?.deadline.nanoseconds == deadline) }
        }
    }
}

extension TimerQueue.Entry {
    func fire() { if case .call(let action) = purpose { action() } }
}
