// SPDX-License-Identifier: Apache-2.0

import Synchronization

/// What a log has been given since it was opened, for metrics and operators.
package struct LogStatistics: Sendable, Equatable {
    /// Appends that returned.
    package var appends: Int64 = 0
    /// Records and bytes of them.
    package var records: Int64 = 0
    package var bytes: Int64 = 0
    /// Time that appends took until they were durable, in all.
    package var appendTime = Duration.zero
    /// Appends that failed; their callers try again.
    package var failures: Int64 = 0

    package init() {}
}

/// ``LogStatistics`` as it is counted, by any thread.
package final class LogCounters: Sendable {
    private let statistics = Mutex(LogStatistics())

    package init() {}

    package var snapshot: LogStatistics { statistics.withLock { $0 } }

    package func delivered(records: Int, bytes: Int, in time: Duration) {
        statistics.withLock { statistics in
            statistics.appends += 1
            statistics.records += Int64(records)
            statistics.bytes += Int64(bytes)
            statistics.appendTime += time
        }
    }

    package func failed() { statistics.withLock { $0.failures += 1 } }
}
