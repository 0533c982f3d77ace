// SPDX-License-Identifier: Apache-2.0

import Synchronization

/// Tells waiting consumers of this process that something was appended, so that they need not poll for it.
final class AppendSignal: Sendable {
    private struct State {
        var appends: UInt64 = 0
        var waiters: [ObjectIdentifier: Waiter] = [:]
    }

    private let state = Mutex(State())

    /// The number of appends so far: read it, look at the log, then wait for more than this.
    var appends: UInt64 { state.withLock { $0.appends } }

    /// Wakes everyone who waits.
    func send() {
        let waiters = state.withLock { state in
            state.appends &+= 1
            defer { state.waiters.removeAll(keepingCapacity: true) }
            return state.waiters
        }
        for waiter in waiters.values { waiter.wake() }
    }

    /// Returns when there have been more than `seen` appends, or after `timeout`, or when the task is cancelled.
    func wait(beyond seen: UInt64, atMost timeout: Duration) async {
        let waiter = Waiter()
        let mustWait = state.withLock { state in
            if state.appends != seen { return false }
            state.waiters[ObjectIdentifier(waiter)] = waiter
            return true
        }
        guard mustWait else { return }
        // The timer is the one unstructured task here: it lives for `timeout` at most and holds only the waiter.
        let timer = Task.detached {
            try? await Task.sleep(for: timeout)
            waiter.wake()
        }
        await withTaskCancellationHandler {
            await waiter.wait()
        } onCancel: {
            waiter.wake()
        }
        timer.cancel()
        state.withLock { $0.waiters[ObjectIdentifier(waiter)] = nil }
    }
}

/// One wait, which several parties may end: the first does, and it may do so before the wait has begun.
private final class Waiter: Sendable {
    private enum State {
        case idle
        case waiting(UnsafeContinuation<Void, Never>)
        case woken
    }

    private let state = Mutex(State.idle)

    func wait() async {
        await withUnsafeContinuation { continuation in
            let isWoken = state.withLock { state in
                if case .woken = state { return true }
                state = .waiting(continuation)
                return false
            }
            if isWoken { continuation.resume() }
        }
    }

    func wake() {
        let continuation: UnsafeContinuation<Void, Never>? = state.withLock { state in
            defer { state = .woken }
            if case .waiting(let continuation) = state { return continuation }
            return nil
        }
        continuation?.resume()
    }
}
