// SPDX-License-Identifier: Apache-2.0

import Glibc
import Synchronization

/// A few threads for the calls of C libraries that block (`PQcancel`, `getaddrinfo`), behind a bounded queue: the
/// event loop never waits for a network it does not poll.
///
/// The threads start with the first call and live as long as the process.
package final class BlockingCalls: @unchecked Sendable {
    // Rule for `@unchecked Sendable`: the queue has its lock; the semaphore is made for sharing and never freed.

    /// Cancel requests: at most two slow servers hold them up.
    package static let cancelRequests = BlockingCalls(threads: 2, queueLimit: 1024)
    /// Name lookups, apart from the above so that a dead DNS server cannot stop a cancel.
    package static let nameLookups = BlockingCalls(threads: 2, queueLimit: 256)

    private struct Queue {
        var calls: [@Sendable () -> Void] = []
        var started = false
    }

    private let threads: Int
    private let queueLimit: Int
    private let queue = Mutex(Queue())
    private let available: UnsafeMutablePointer<sem_t>

    package init(threads: Int, queueLimit: Int) {
        self.threads = threads
        self.queueLimit = queueLimit
        available = .allocate(capacity: 1)
        sem_init(available, 0, 0)
    }

    /// Queues `call`; false if the queue is full.
    package func submit(_ call: @escaping @Sendable () -> Void) -> Bool {
        let (accepted, mustStart) = queue.withLock { queue in
            if queue.calls.count >= queueLimit { return (false, false) }
            queue.calls.append(call)
            defer { queue.started = true }
            return (true, !queue.started)
        }
        if mustStart { for _ in 0..<threads { startThread() } }
        if accepted { sem_post(available) }
        return accepted
    }

    private func startThread() {
        var thread = pthread_t()
        let failed = pthread_create(
            &thread, nil,
            { context in
                let calls = Unmanaged<BlockingCalls>.fromOpaque(context!).takeRetainedValue()
                calls.serve()
            }, Unmanaged.passRetained(self).toOpaque())
        precondition(failed == 0, "pthread_create failed with errno \(failed)")
        pthread_detach(thread)
    }

    private func serve() -> Never {
        while true {
            // EINTR: wait again.
            if sem_wait(available) != 0 { continue }
            let call = queue.withLock { $0.calls.isEmpty ? nil : $0.calls.removeFirst() }
            call?()
        }
    }
}
