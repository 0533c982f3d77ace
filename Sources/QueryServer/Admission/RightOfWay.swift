// SPDX-License-Identifier: Apache-2.0
// Exports wait while lookups are on their way, and for each other.

import EventLoop
import Synchronization

/// Lets short statements pass long ones, across all event loops. While one is on its way in a batch, exports read no more
/// rows: a processor that has a piece of an export to do in between would keep a lookup waiting for longer than the lookup
/// takes; and PostgreSQL's processes stop by themselves where nobody reads. And as long as lookups come, exports work in
/// turns and half of the time, so that a lookup mostly finds a processor that is free: what an export keeps busy, its
/// server process and its client too, is the scheduler's to interrupt, and it takes milliseconds for that.
///
/// Lookups without a pause slow exports down and do not stop them: see ``Export``.
final class RightOfWay: Sendable {
    /// How long an export waits at a time for lookups that are on their way. Timers are of whole milliseconds, so it may be
    /// one more.
    private let patience: Duration
    /// How long it works before it rests for as long.
    private let stretch: Duration
    /// Lookups are said to come for so long after the last one.
    private let memory: Duration
    private let lookups = Atomic(0)
    /// When the last lookup ended, in nanoseconds of the monotonic clock.
    private let last = Atomic<UInt64>(0)
    private let exports = Mutex<[Waiter]>([])
    private let turns: Turns

    /// - Parameter turns: which exports work at a time.
    init(
        patience: Duration = .milliseconds(1), stretch: Duration = .milliseconds(1), memory: Duration = .seconds(1),
        turns: Turns
    ) {
        self.patience = patience
        self.stretch = stretch
        self.memory = memory
        self.turns = turns
    }

    /// Exports that wait now.
    var waiting: Int { exports.withLock { $0.count } }

    /// A short statement begins; ``leave()`` ends it.
    func enter() { lookups.add(1, ordering: .relaxed) }

    /// A short statement is over: the last lets the exports go on.
    func leave() {
        last.store(MonotonicTime.now().nanoseconds, ordering: .relaxed)
        if lookups.subtract(1, ordering: .acquiringAndReleasing).newValue > 0 { return }
        let waiting = exports.withLock { exports in
            defer { exports.removeAll(keepingCapacity: true) }
            return exports
        }
        for export in waiting { export.resume() }
    }

    /// Whether one was on its way lately.
    private var lookupsCome: Bool {
        let last = MonotonicTime(nanoseconds: last.load(ordering: .relaxed))
        return MonotonicTime.now() < last + memory || lookups.load(ordering: .relaxed) > 0
    }

    /// Waits while short statements are on their way, for as long as one waits at a time.
    ///
    /// - Returns: whether one still is.
    private func wait(on loop: EventLoop) async -> Bool {
        if lookups.load(ordering: .acquiring) == 0 { return false }
        let waiter = Waiter()
        exports.withLock { $0.append(waiter) }
        // The last one may have left before it could see the waiter.
        if lookups.load(ordering: .acquiring) == 0 { waiter.resume() }
        loop.schedule(at: .now() + patience) { waiter.resume() }
        await withUnsafeContinuation { waiter.arm($0) }
        return exports.withLock { exports in
            guard let index = exports.firstIndex(where: { $0 === waiter }) else { return false }
            exports.remove(at: index)
            return lookups.load(ordering: .acquiring) > 0
        }
    }

    /// What gives way, on one loop. After a wait in vain it takes as long again before the next: lookups without a pause
    /// leave it a third of the time.
    final class Export {
        private let rightOfWay: RightOfWay
        private let loop: EventLoop
        private var isFreeUntil = MonotonicTime.now()
        private var restsAt = MonotonicTime.now()

        init(_ rightOfWay: RightOfWay, on loop: EventLoop) {
            self.rightOfWay = rightOfWay
            self.loop = loop
        }

        /// To be called before each piece of work.
        func giveWay() async {
            guard rightOfWay.lookupsCome else { return }
            await rightOfWay.turns.take(for: ObjectIdentifier(self), on: loop)
            if MonotonicTime.now() >= restsAt {
                // Cancelled, it goes on: what it serves finds that out by itself.
                try? await loop.sleep(for: rightOfWay.stretch)
                restsAt = .now() + rightOfWay.stretch
            }
            if MonotonicTime.now() < isFreeUntil { return }
            if await rightOfWay.wait(on: loop) { isFreeUntil = .now() + rightOfWay.patience }
        }
    }
}
