// SPDX-License-Identifier: Apache-2.0

import Glibc

/// Something that happens after a while whatever the rest of the process does: on a thread of its own, because the pool
/// of Swift's tasks may be what does not get on.
enum Watchdog {
    private final class Box {
        let delay: Duration
        let action: @Sendable () -> Void

        init(_ delay: Duration, _ action: @escaping @Sendable () -> Void) {
            self.delay = delay
            self.action = action
        }
    }

    /// Calls `action` after `delay`.
    static func start(after delay: Duration, _ action: @escaping @Sendable () -> Void) {
        var thread = pthread_t()
        let failed = pthread_create(
            &thread, nil,
            { context in
                let box = Unmanaged<Box>.fromOpaque(context!).takeRetainedValue()
                let (seconds, attoseconds) = box.delay.components
                var left = timespec(tv_sec: Int(seconds), tv_nsec: Int(attoseconds / 1_000_000_000))
                var rest = timespec()
                while nanosleep(&left, &rest) != 0 && errno == EINTR { left = rest }
                box.action()
                return nil
            }, Unmanaged.passRetained(Box(delay, action)).toOpaque())
        precondition(failed == 0, "pthread_create failed")
        pthread_detach(thread)
    }
}
