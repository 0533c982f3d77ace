// SPDX-License-Identifier: Apache-2.0
// Exports wait while lookups are on their way.

import EventLoop
import Synchronization

/// Lets short statements pass long ones, across all event loops: while one is on its way, exports read no more rows. A
/// processor that has a piece of an export to do in between would keep a lookup waiting for longer than the lookup takes;
/// and PostgreSQL's processes stop by themselves where nobody reads.
///
/// An export waits a millisecond at a time and then reads on, so that lookups without a pause slow it down and never stop it.
final class RightOfWay: Sendable {
    /// How long an export waits before it reads a piece all the same.
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

    /// Waits while short statements are on their way.
    func giveWay(on loop: EventLoop) async {
        if lookups.load(ordering: .acquiring) == 0 { return }
        let waiter = Waiter()
        exports.withLock { $0.append(waiter) }
        // The last one may have left before it could see the waiter.
        if lookups.load(ordering: .acquiring) == 0 { waiter.resume() }
        loop.schedule(at: .now() + patience) { waiter.resume() }
        await withUnsafeContinuation { waiter.arm($0) }
        exports.withLock { $0.removeAll { $0 === waiter } }
    }
}
