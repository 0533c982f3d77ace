// SPDX-License-Identifier: Apache-2.0

import CLinux
import Glibc
import Synchronization

/// One thread, one epoll instance, a queue of Swift jobs and a heap of timers.
///
/// The loop is a `TaskExecutor`: a task that prefers it (`Task(executorPreference: loop)`) runs all its plain
/// async functions and its child tasks on the loop's thread, so a connection's accept, parse, query, serialise and
/// write happen on one thread with no hop. It is no `SerialExecutor`: a job that runs as isolated to one is enqueued
/// again by each call of a function that is isolated to nothing, which is all of them.
///
/// One turn of the loop runs at most ``jobBatch`` jobs, then does what waits for the turn's end, then polls the sockets,
/// then fires timers: a task that keeps re-enqueueing itself cannot starve I/O.
///
/// Executor references are unowned: the loop must outlive every task that prefers it. Stop it last.
package final class EventLoop: TaskExecutor, @unchecked Sendable {
    // Rule for `@unchecked Sendable`: `inbox` is the only state touched by other threads and has its own lock;
    // everything else is touched by the loop's thread alone, which `preconditionOnLoop()` checks at the doors.

    /// The time that a thread runs before others that are ready, where the kernel lets one choose (Linux 6.12: EEVDF,
    /// sched(7)). The shorter it is, the sooner the thread runs when it has something to do on a busy machine; it gets no
    /// larger share of the processors. Three milliseconds are usual.
    package static let shortSlice = Duration.microseconds(100)

    /// Most jobs run between two polls of the sockets.
    static let jobBatch = 512
    /// Timers of registrations that are gone are left in the queue up to this many, and beyond it up to a half of all.
    static let deadTimersLimit = 1024

    private struct Inbox {
        var jobs: [UnownedJob] = []
        var wakePending = false
        var stopping = false
    }

    /// The name of the loop and of its thread, as `top -H` shows it (15 bytes at most).
    package let name: String

    private let inbox = Mutex(Inbox())
    private let epoll: CInt
    private let wake: CInt
    private let threadID = Atomic<UInt>(0)

    /// Written before the thread is made.
    private var isPrompt = false

    // Loop thread only from here on.
    private var local: [UnownedJob] = []
    private var running: [UnownedJob] = []
    private var turnEndings: [any TurnEnding] = []
    private var ending: [any TurnEnding] = []
    private var timers = TimerQueue()
    private var due: [TimerQueue.Entry] = []
    private var firing: [TimerQueue.Entry] = []
    /// About as many timers in the queue are those of registrations that are gone.
    private var deadTimers = 0
    private var registrations: [Registration?] = []
    private var freeSlots: [Int] = []
    private var generation: UInt32 = 0

    /// The time at which the current turn of the loop began: near enough for deadlines, and free.
    package private(set) var now = MonotonicTime.now()

    /// Makes a loop; ``run()`` or ``start()`` gives it a thread.
    package init(name: String) throws(SystemError) {
        self.name = name
        epoll = epoll_create1(CInt(EPOLL_CLOEXEC))
        if epoll < 0 { throw SystemError(call: "epoll_create1") }
        wake = eventfd(0, CInt(EFD_CLOEXEC | EFD_NONBLOCK))
        if wake < 0 {
            let error = SystemError(call: "eventfd")
            _ = close(epoll)
            throw error
        }
        var event = epoll_event()
        event.events = EPOLLIN.rawValue
        event.data.u64 = Self.wakeKey
        if epoll_ctl(epoll, EPOLL_CTL_ADD, wake, &event) != 0 {
            let error = SystemError(call: "epoll_ctl(eventfd)")
            _ = close(epoll)
            _ = close(wake)
            throw error
        }
    }

    deinit {
        _ = close(wake)
        _ = close(epoll)
    }

    // MARK: Running

    /// Runs the loop on a new thread of its own and returns at once.
    ///
    /// - Parameter isPrompt: whether the thread has a ``shortSlice``.
    package func start(isPrompt: Bool = false) {
        self.isPrompt = isPrompt
        let retained = Unmanaged.passRetained(self)
        var thread = pthread_t()
        let failed = pthread_create(
            &thread, nil,
            { context in
                let loop = Unmanaged<EventLoop>.fromOpaque(context!).takeRetainedValue()
                pthread_setname_np(pthread_self(), String(loop.name.utf8.prefix(15)) ?? "loop")
                if loop.isPrompt { _ = tapedeck_set_slice(0, UInt64(EventLoop.shortSlice.inNanoseconds)) }
                loop.run()
                return nil
            }, retained.toOpaque())
        precondition(failed == 0, "pthread_create: \(SystemError.message(of: failed))")
        pthread_detach(thread)
    }

    /// Runs the loop on this thread until ``stop()``.
    package func run() {
        threadID.store(UInt(pthread_self()), ordering: .releasing)
        var events = [epoll_event](repeating: epoll_event(), count: 256)
        while true {
            runJobs()
            endTurn()
            if inbox.withLock({ $0.stopping && $0.jobs.isEmpty }) && local.isEmpty { break }
            poll(&events)
            fireTimers()
        }
        threadID.store(0, ordering: .releasing)
    }

    /// Asks the loop to end once its queue of jobs is empty. Callable from any thread.
    package func stop() {
        inbox.withLock { $0.stopping = true }
        signalWake()
    }

    /// Whether the caller runs on the loop's thread.
    package var isCurrent: Bool {
        threadID.load(ordering: .relaxed) == UInt(pthread_self())
    }

    /// Traps unless the caller runs on the loop's thread: the loop's own state has no lock.
    @inline(__always)
    package func preconditionOnLoop() {
        precondition(isCurrent, "called off its event loop")
    }

    // MARK: Executor

    package func enqueue(_ job: consuming ExecutorJob) {
        let job = UnownedJob(job)
        if isCurrent {
            local.append(job)
            return
        }
        let mustWake = inbox.withLock { inbox in
            inbox.jobs.append(job)
            defer { inbox.wakePending = true }
            return !inbox.wakePending
        }
        if mustWake { signalWake() }
    }

    package func asUnownedTaskExecutor() -> UnownedTaskExecutor { UnownedTaskExecutor(ordinary: self) }

    // MARK: Timers

    /// Calls `action` on the loop's thread at `deadline` or soon after. It cannot be cancelled: `action` decides on
    /// firing whether it still means anything.
    package func schedule(at deadline: MonotonicTime, _ action: @escaping () -> Void) {
        preconditionOnLoop()
        timers.push(.init(deadline: deadline, purpose: .call(action)))
    }

    /// Calls ``Registration/timerFired(at:)`` at `deadline` or soon after, unless the registration is gone by then.
    func schedule(at deadline: MonotonicTime, for registration: Registration) {
        timers.push(.init(deadline: deadline, purpose: .registration(registration.key)))
    }

    /// Timers in the queue.
    var timerCount: Int { timers.count }

    /// Suspends the caller, which must run on the loop, for `duration`. Cancellation ends the wait early.
    package func sleep(for duration: Duration) async throws(CancellationError) {
        preconditionOnLoop()
        let waiter = Waiter()
        await withTaskCancellationHandler {
            await withUnsafeContinuation { (continuation: UnsafeContinuation<Void, Never>) in
                waiter.arm(continuation)
                schedule(at: .now() + duration) { waiter.resume() }
            }
        } onCancel: {
            waiter.resume()
        }
        if Task.isCancelled { throw CancellationError() }
    }

    /// Suspends the caller, which must run on the loop, until the loop has looked at its sockets: what has arrived by then
    /// has its turn first.
    package func nextTurn() async {
        await withUnsafeContinuation { (continuation: UnsafeContinuation<Void, Never>) in
            // A timer that is due fires after the next poll; a yield would come back before it.
            schedule(at: now) { continuation.resume() }
        }
    }

    /// Calls `one` when the turn ends, before the loop waits for its sockets.
    package func atEndOfTurn(_ one: any TurnEnding) {
        preconditionOnLoop()
        turnEndings.append(one)
    }

    // MARK: Sockets

    /// Watches `descriptor` from now on. The caller keeps the descriptor and must call
    /// ``Registration/deregister()`` before it closes it.
    package func register(_ descriptor: CInt, mode: Registration.Mode) throws(SystemError) -> Registration {
        preconditionOnLoop()
        let slot = freeSlots.popLast() ?? registrations.count
        if slot == registrations.count { registrations.append(nil) }
        generation &+= 1
        let registration = Registration(
            loop: self, descriptor: descriptor, mode: mode, slot: slot, generation: generation)
        var event = epoll_event()
        event.events =
            switch mode {
            case .edge: EPOLLIN.rawValue | EPOLLOUT.rawValue | EPOLLRDHUP.rawValue | EPOLLET.rawValue
            // Not armed yet; without ONESHOT the kernel would go on reporting a hang-up until the first wait.
            case .oneShot, .level: EPOLLONESHOT.rawValue
            }
        event.data.u64 = registration.key
        if epoll_ctl(epoll, EPOLL_CTL_ADD, descriptor, &event) != 0 {
            let error = SystemError(call: "epoll_ctl(ADD)")
            freeSlots.append(slot)
            throw error
        }
        registrations[slot] = registration
        return registration
    }

    func rearm(_ registration: Registration, events: UInt32, once: Bool) {
        var event = epoll_event()
        event.events = once ? events | EPOLLONESHOT.rawValue : events
        event.data.u64 = registration.key
        let result = epoll_ctl(epoll, EPOLL_CTL_MOD, registration.descriptor, &event)
        precondition(result == 0, "epoll_ctl(MOD): \(SystemError.message(of: errno))")
    }

    func forget(_ registration: Registration) {
        preconditionOnLoop()
        // The descriptor may already have been closed by a library (libpq); then the kernel forgot it by itself.
        _ = epoll_ctl(epoll, EPOLL_CTL_DEL, registration.descriptor, nil)
        registrations[registration.slot] = nil
        freeSlots.append(registration.slot)
        deadTimers += registration.timersQueued
        if deadTimers > Self.deadTimersLimit && deadTimers > timers.count / 2 { removeDeadTimers() }
    }

    private func removeDeadTimers() {
        timers.removeAll { purpose in
            guard case .registration(let key) = purpose else { return false }
            return self.registration(key) == nil
        }
        deadTimers = 0
    }

    /// The registration with this key, if it has not been forgotten: its slot may be another one's by now.
    private func registration(_ key: UInt64) -> Registration? {
        guard let registration = registrations[Int(UInt32(truncatingIfNeeded: key))], registration.key == key else {
            return nil
        }
        return registration
    }

    // MARK: One turn

    private static let wakeKey = UInt64.max

    private func signalWake() {
        var one: UInt64 = 1
        _ = retryingInterrupted { write(wake, &one, 8) }
    }

    private func runJobs() {
        inbox.withLock { inbox in
            inbox.wakePending = false
            if !inbox.jobs.isEmpty {
                local.append(contentsOf: inbox.jobs)
                inbox.jobs.removeAll(keepingCapacity: true)
            }
        }
        var budget = Self.jobBatch
        while !local.isEmpty && budget > 0 {
            swap(&local, &running)
            let count = min(running.count, budget)
            for index in 0..<count {
                running[index].runSynchronously(on: asUnownedTaskExecutor())
            }
            budget -= count
            if count < running.count {
                // Over the cap: what is left stays in front of what the batch enqueued.
                local.insert(contentsOf: running[count...], at: 0)
            }
            running.removeAll(keepingCapacity: true)
        }
    }

    private func endTurn() {
        if turnEndings.isEmpty { return }
        swap(&turnEndings, &ending)
        for one in ending { one.turnEnds() }
        ending.removeAll(keepingCapacity: true)
    }

    private func poll(_ events: inout [epoll_event]) {
        let timeout = pollTimeout()
        let count = events.withUnsafeMutableBufferPointer { buffer in
            epoll_wait(epoll, buffer.baseAddress, CInt(buffer.count), timeout)
        }
        now = .now()
        if count < 0 {
            precondition(errno == EINTR, "epoll_wait: \(SystemError.message(of: errno))")
            return
        }
        for index in 0..<Int(count) {
            let event = events[index]
            if event.data.u64 == Self.wakeKey {
                var value: UInt64 = 0
                _ = read(wake, &value, 8)
                continue
            }
            // An event earlier in this same batch may have ended it.
            registration(event.data.u64)?.deliver(event.events)
        }
        if count == events.count && events.count < 4096 {
            events.append(contentsOf: repeatElement(epoll_event(), count: events.count))
        }
    }

    /// Milliseconds to wait in epoll: none with jobs queued, else until the next timer, rounded up.
    private func pollTimeout() -> CInt {
        if !local.isEmpty { return 0 }
        guard let next = timers.earliest else { return -1 }
        let now = MonotonicTime.now()
        if next <= now { return 0 }
        return CInt(min((next.nanoseconds - now.nanoseconds + 999_999) / 1_000_000, 60_000))
    }

    /// Fires what is due. What these timers add waits for the next turn, even if it is due at once: otherwise a timer
    /// that sets itself again would keep the loop from its sockets.
    private func fireTimers() {
        while let timer = timers.pop(dueAt: now) { due.append(timer) }
        if due.isEmpty { return }
        swap(&due, &firing)
        for timer in firing {
            switch timer.purpose {
            case .call(let action): action()
            case .registration(let key):
                if let registration = registration(key) {
                    registration.timerFired(at: timer.deadline)
                } else {
                    deadTimers = max(0, deadTimers - 1)
                }
            }
        }
        firing.removeAll(keepingCapacity: true)
    }
}

/// What has something to do when a turn of its loop ends: work that is cheaper for many requests at once, and that must
/// not wait for the next event.
package protocol TurnEnding: AnyObject {
    /// Called on the loop's thread, once for each ``EventLoop/atEndOfTurn(_:)``.
    func turnEnds()
}

/// A continuation that several parties may try to resume: the first wins, the others do nothing.
///
/// `resume()` may come before `arm(_:)` (a task cancelled before it suspended).
package final class Waiter: Sendable {
    private enum State {
        case idle
        case armed(UnsafeContinuation<Void, Never>)
        case done
    }
    private let state = Mutex(State.idle)

    package init() {}

    /// Stores the continuation, or resumes it at once if ``resume()`` has been called.
    package func arm(_ continuation: UnsafeContinuation<Void, Never>) {
        let late = state.withLock { state in
            if case .done = state { return true }
            state = .armed(continuation)
            return false
        }
        if late { continuation.resume() }
    }

    /// Resumes the continuation if nobody has.
    package func resume() {
        let continuation: UnsafeContinuation<Void, Never>? = state.withLock { state in
            defer { state = .done }
            if case .armed(let continuation) = state { return continuation }
            return nil
        }
        continuation?.resume()
    }
}
