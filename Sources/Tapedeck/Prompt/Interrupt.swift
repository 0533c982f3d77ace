// SPDX-License-Identifier: Apache-2.0
// Ctrl-C while a query runs: noted here, and asked for by whoever waits.

import Glibc
import Synchronization

enum Interrupt {
    private static let flag = Atomic(false)

    /// From now on Ctrl-C is noted and ends nothing by itself; nor does a pager that is left early.
    static func catchSignals() {
        // Made before the first signal can ask for it.
        flag.store(false, ordering: .relaxed)
        signal(SIGINT) { _ in Interrupt.flag.store(true, ordering: .relaxed) }
        signal(SIGPIPE, SIG_IGN)
    }

    /// Whether Ctrl-C was pressed since the last ``reset()``.
    static var wasPressed: Bool { flag.load(ordering: .relaxed) }

    static func reset() { flag.store(false, ordering: .relaxed) }
}
