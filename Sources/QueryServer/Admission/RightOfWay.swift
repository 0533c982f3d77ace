// SPDX-License-Identifier: Apache-2.0
// Exports wait while lookups are on their way.

import EventLoop
import Synchronization

/// Lets short statements pass long ones, across all event loops: while one is on its way in a batch, exports read no more
/// rows. A processor that has a piece of an export to do in between would keep a lookup waiting for longer than the lookup
/// takes; and PostgreSQL's processes stop by themselves where nobody reads.
///
/// Lookups without a pause slow exports down and do not stop them: see ``Export``.
final class RightOfWay: Sendable {
    /// How long an export waits at a time. Timers are of whole milliseconds, so it may be one more.
    private let patience: Duration
    private let lookups = Atomic(0)
    private let exports = Mutex<[Waiter]>([])

    init(patience: Duration = .milliseconds(1)) { self.patience = patience }

    /// Exports that wait now.
    var waiting: Int { exports.withLock { $0.count } }

    /// A short statement begins; ``leave()`` ends it.
    func enter() { lookups.add(1, ordering: .relaxed) }

    /// A short statement is over: the last lets the exports go on.
    func leave() {
        if lookups.subtract(1, ordering: .acquiringAndReleasing).newValue > 0 { return }
        let waiting = exports.withLock { exports in
            defer { exports.removeAll(keepingCapacity: true) }
            return exports
        }
        for export in waiting { export.resume() }
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
    /// leave it half of the time.
    final class Export {
        private let rightOfWay: RightOfWay
        private let loop: EventLoop
        private var isFreeUntil = MonotonicTime.now()

        init(_ rightOfWay: RightOfWay, on loop: EventLoop) {
            self.rightOfWay = rightOfWay
            self.loop = loop
        }

        /// To be called before each piece of work.
        func giveWay() async {
            if MonotonicTime.now() < isFreeUntil { return }
            if await rightOfWay.wait(on: loop) { isFreeUntil = .now() + rightOfWay.patience }
        }
    }
}
