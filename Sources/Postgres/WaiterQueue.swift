// SPDX-License-Identifier: Apache-2.0

import EventLoop

/// Who waits for a pooled connection, first come first served. Loop-bound.
struct WaiterQueue {
    enum Outcome {
        /// A connection changes hands.
        case connection(PostgresConnection)
        /// There is room for a connection, which has been claimed for the one who waited.
        case mayConnect
        case failure(PostgresError)
        case timedOut
        case cancelled
    }

    final class Entry {
        let waiter = Waiter()
        /// Set by whoever ends the wait; still nil if the deadline or a cancelled task ended it.
        var outcome: Outcome?
    }

    private var entries: [Entry] = []

    var count: Int { entries.count }
    var isEmpty: Bool { entries.isEmpty }

    mutating func append(_ entry: Entry) { entries.append(entry) }

    mutating func remove(_ entry: Entry) { entries.removeAll { $0 === entry } }

    /// Ends the longest wait; false if nobody waits.
    mutating func resumeFirst(_ outcome: Outcome) -> Bool {
        if entries.isEmpty { return false }
        let entry = entries.removeFirst()
        entry.outcome = outcome
        entry.waiter.resume()
        return true
    }

    mutating func resumeAll(_ outcome: Outcome) {
        while resumeFirst(outcome) {}
    }
}
