// SPDX-License-Identifier: Apache-2.0

import CLinux
import Glibc
import Synchronization
import Testing

@testable import EventLoop

struct EventLoopTests {
    /// Runs `body` on a loop of its own.
    static func onLoop<T: Sendable>(_ body: @escaping @Sendable (EventLoop) async throws -> T) async throws -> T {
        let loop = try EventLoop(name: "test")
        loop.start()
        defer { loop.stop() }
        return try await Task(executorPreference: loop) { try await body(loop) }.value
    }

    static func socketPair() throws -> (CInt, CInt) {
        var pair: [CInt] = [0, 0]
        let type = CInt(SOCK_STREAM.rawValue | SOCK_NONBLOCK.rawValue | SOCK_CLOEXEC.rawValue)
        if socketpair(AF_UNIX, type, 0, &pair) != 0 { throw SystemError(call: "socketpair") }
        return (pair[0], pair[1])
    }

    @Test func `a task that prefers the loop runs on it, and so do its children`() async throws {
        try await Self.onLoop { loop in
            #expect(loop.isCurrent)
            async let child = loop.isCurrent
            #expect(await child)
            await withTaskGroup(of: Bool.self) { group in
                for _ in 0..<4 { group.addTask { loop.isCurrent } }
                for await onLoop in group { #expect(onLoop) }
            }
            try await loop.sleep(for: .milliseconds(1))
            #expect(loop.isCurrent)
        }
    }

    /// Isolated to nothing, so that a call of it may switch executors.
    @concurrent private static func elsewhere() async {}

    @Test func `calls of async functions do not go through the queue of jobs`() async throws {
        try await Self.onLoop { loop in
            let other = Mutex(false)
            let task = Task(executorPreference: loop) { other.withLock { $0 = true } }
            for _ in 0..<10 { await Self.elsewhere() }
            #expect(!other.withLock { $0 }, "a job that was enqueued before the calls ran during them")
            await task.value
            #expect(other.withLock { $0 })
        }
    }

    private final class Ending: TurnEnding {
        var count = 0
        func turnEnds() { count += 1 }
    }

    @Test func `what waits for the turn's end is called once, before the loop waits`() async throws {
        try await Self.onLoop { loop in
            let ending = Ending()
            loop.atEndOfTurn(ending)
            #expect(ending.count == 0)
            // A timer that is due fires after the next poll.
            for _ in 0..<3 {
                await withUnsafeContinuation { continuation in loop.schedule(at: loop.now) { continuation.resume() } }
                #expect(ending.count == 1)
            }
        }
    }

    @Test func `room for more bytes is told where nobody waits for it`() async throws {
        try await Self.onLoop { loop in
            let (a, b) = try Self.socketPair()
            defer { close(a); close(b) }
            let registration = try loop.register(a, mode: .edge)
            defer { registration.deregister() }
            let chunk = [UInt8](repeating: 0, count: 65_536)
            while write(a, chunk, chunk.count) > 0 {}
            // The report of the beginning must not be taken for it.
            try await loop.sleep(for: .milliseconds(1))
            let told = await withUnsafeContinuation { (continuation: UnsafeContinuation<Bool, Never>) in
                let waiter = Mutex(Optional(continuation))
                func answer(_ told: Bool) {
                    waiter.withLock { waiter in
                        waiter?.resume(returning: told)
                        waiter = nil
                    }
                }
                registration.onWritable = { answer(true) }
                loop.schedule(at: .now() + .seconds(20)) { answer(false) }
                var received = [UInt8](repeating: 0, count: 65_536)
                while read(b, &received, received.count) > 0 {}
            }
            #expect(told)
        }
    }

    @Test(arguments: [Registration.Mode.edge, .oneShot])
    func `a wait ends when bytes arrive`(mode: Registration.Mode) async throws {
        try await Self.onLoop { loop in
            let (a, b) = try Self.socketPair()
            defer { close(a); close(b) }
            let registration = try loop.register(a, mode: mode)
            defer { registration.deregister() }
            loop.schedule(at: .now() + .milliseconds(2)) { _ = write(b, "x", 1) }
            #expect(await registration.readable(until: .now() + .seconds(5)) == .ready)
        }
    }

    @Test func `a wait ends at its deadline, and a later one is not disturbed by the old timer`() async throws {
        try await Self.onLoop { loop in
            let (a, b) = try Self.socketPair()
            defer { close(a); close(b) }
            let registration = try loop.register(a, mode: .oneShot)
            defer { registration.deregister() }
            #expect(await registration.readable(until: .now() + .milliseconds(5)) == .timedOut)
            loop.schedule(at: .now() + .milliseconds(20)) { _ = write(b, "x", 1) }
            #expect(await registration.readable(until: .now() + .seconds(5)) == .ready)
        }
    }

    @Test func `deregistering ends a wait as cancelled`() async throws {
        try await Self.onLoop { loop in
            let (a, b) = try Self.socketPair()
            defer { close(a); close(b) }
            let registration = try loop.register(a, mode: .edge)
            loop.schedule(at: .now() + .milliseconds(1)) { registration.deregister() }
            #expect(await registration.readable() == .cancelled)
        }
    }

    @Test func `an event for a descriptor number that is in use again is dropped`() async throws {
        try await Self.onLoop { loop in
            let (a, b) = try Self.socketPair()
            let old = try loop.register(a, mode: .edge)
            let staleKey = old.key
            old.deregister()
            close(a); close(b)
            let (c, d) = try Self.socketPair()
            defer { close(c); close(d) }
            let new = try loop.register(c, mode: .edge)
            defer { new.deregister() }
            #expect(new.slot == old.slot)
            #expect(new.key != staleKey)
        }
    }

    @Test func `the hang-up of the peer is reported once`() async throws {
        let reports = try await Self.onLoop { loop in
            let (a, b) = try Self.socketPair()
            let registration = try loop.register(a, mode: .edge)
            var reports = 0
            registration.onPeerClosed = { reports += 1 }
            close(b)
            try await loop.sleep(for: .milliseconds(10))
            registration.deregister()
            close(a)
            return reports
        }
        #expect(reports == 1)
    }

    @Test func `a task that never stops yielding does not starve sockets and timers`() async throws {
        try await Self.onLoop { loop in
            await withTaskGroup(of: Void.self) { group in
                group.addTask { while !Task.isCancelled { await Task.yield() } }
                group.addTask { try? await loop.sleep(for: .milliseconds(5)) }
                await group.next()
                group.cancelAll()
            }
        }
    }

    @Test func `a sleep ends early when its task is cancelled`() async throws {
        try await Self.onLoop { loop in
            let start = MonotonicTime.now()
            await withTaskGroup(of: Bool.self) { group in
                group.addTask {
                    do throws(CancellationError) { try await loop.sleep(for: .seconds(60)) } catch { return true }
                    return false
                }
                group.cancelAll()
                #expect(await group.next() == true)
            }
            #expect(MonotonicTime.now() - start < .seconds(30))
        }
    }

    @Test func `deadlines of connections that are gone do not pile up`() async throws {
        try await Self.onLoop { loop in
            for _ in 0..<(10 * EventLoop.deadTimersLimit) {
                let (a, b) = try Self.socketPair()
                let registration = try loop.register(a, mode: .edge)
                _ = write(b, "x", 1)
                #expect(await registration.readable(until: .now() + .seconds(600)) == .ready)
                registration.deregister()
                close(a)
                close(b)
                #expect(loop.timerCount <= EventLoop.deadTimersLimit + 1)
            }
        }
    }

    @Test func `timers fire in the order of their deadlines`() {
        var queue = TimerQueue()
        var fired: [Int] = []
        for value in [5, 1, 4, 1, 3, 2, 9, 0] {
            queue.push(.init(deadline: .init(nanoseconds: UInt64(value)), purpose: .call { fired.append(value) }))
        }
        while let entry = queue.pop(dueAt: .init(nanoseconds: 5)) { entry.fire() }
        #expect(fired == [0, 1, 1, 2, 3, 4, 5])
        #expect(queue.count == 1)
    }
}
