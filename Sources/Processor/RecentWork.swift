// SPDX-License-Identifier: Apache-2.0

package import Market
import Synchronization

/// What a processor has done since it started, and how its last transactions went: what it says of itself in
/// `ops.processors`. Read and written by any thread.
package final class RecentWork: Sendable {
    /// Transactions that are looked back at.
    static let capacity = 1000

    /// The work so far, summed up.
    package struct Summary: Sendable {
        /// Committed transactions and the records of the log in them, since the start.
        package var transactions: Int64 = 0
        package var records: Int64 = 0
        /// Of the last ``RecentWork/capacity`` transactions; nil before the first.
        package var batchMedian: Int?
        package var batchLargest: Int?
        package var timeMedian: Duration?
        /// What 99 of a hundred did not exceed.
        package var time99: Duration?
        package var timeLongest: Duration?
        /// Attempts repeated since the start.
        package var retries: Int64 = 0
        package var lastFailure: String?
        package var lastFailureAt: Timestamp?
    }

    private struct State {
        var summary = Summary()
        /// A ring: the next transaction goes to `transactions % capacity`.
        var batches: [Int] = []
        var times: [Duration] = []
    }

    private let state = Mutex(State())

    package init() {}

    /// Notes a transaction that has been committed.
    func committed(records: Int, in time: Duration) {
        state.withLock { state in
            if state.batches.count < Self.capacity {
                state.batches.append(records)
                state.times.append(time)
            } else {
                let place = Int(state.summary.transactions) % Self.capacity
                state.batches[place] = records
                state.times[place] = time
            }
            state.summary.transactions += 1
            state.summary.records += Int64(records)
        }
    }

    /// Notes a failure after which a stage tries again.
    func failed(_ stage: String, _ error: any Error, at now: Timestamp) {
        state.withLock { state in
            state.summary.retries += 1
            state.summary.lastFailure = "\(stage): \(error)"
            state.summary.lastFailureAt = now
        }
    }

    package var summary: Summary {
        let state = self.state.withLock { $0 }
        var summary = state.summary
        let batches = state.batches.sorted()
        let times = state.times.sorted()
        summary.batchMedian = Self.quantile(batches, 0.5)
        summary.batchLargest = batches.last
        summary.timeMedian = Self.quantile(times, 0.5)
        summary.time99 = Self.quantile(times, 0.99)
        summary.timeLongest = times.last
        return summary
    }

    /// The smallest value that `share` of all do not exceed (nearest rank); nil of none.
    static func quantile<T>(_ sorted: [T], _ share: Double) -> T? {
        if sorted.isEmpty { return nil }
        return sorted[max(0, Int((share * Double(sorted.count)).rounded(.up)) - 1)]
    }
}
