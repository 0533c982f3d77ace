// SPDX-License-Identifier: Apache-2.0

import CLinux
import Glibc
import Synchronization

/// SIGINT, SIGTERM and SIGHUP as something to wait for. The first asks to stop in order; the second ends the process at
/// once. SIGHUP asks for something else where ``onHangUp(_:)`` says what, asks to stop where standard input is a terminal,
/// which has gone then, and is ignored elsewhere: who sends it to a service means that it should read something again.
///
/// The handler writes to a pipe, which a thread reads. (Blocking the signals and waiting for them with sigwait does not
/// work: libdispatch keeps a thread of its own in which no signal is blocked.)
final class StopSignal: Sendable {
    private struct State {
        var received: CInt?
        var waiters: [CheckedContinuation<Void, Never>] = []
        var hangUpAction: (@Sendable () -> Void)?
    }

    // Rule: written once, before the handlers that read it are installed.
    nonisolated(unsafe) private static var pipeEnd: CInt = -1

    private let state = Mutex(State())
    private let isOnTerminal = isatty(STDIN_FILENO) == 1

    /// Takes over the signals, on a thread of its own. To be made once in a process.
    init() {
        var ends: [CInt] = [-1, -1]
        precondition(pipe2(&ends, O_CLOEXEC) == 0, "pipe2 failed")
        Self.pipeEnd = ends[1]
        let reader = ends[0]
        let context = Unmanaged.passRetained(Watcher(signal: self, descriptor: reader))
        var thread = pthread_t()
        let failed = pthread_create(
            &thread, nil,
            { context in
                let watcher = Unmanaged<Watcher>.fromOpaque(context!).takeRetainedValue()
                watcher.signal.watch(watcher.descriptor)
                return nil
            }, context.toOpaque())
        precondition(failed == 0, "pthread_create failed")
        pthread_detach(thread)
        // A terminal or a pipe that goes away must not take a server with it.
        signal(SIGPIPE, SIG_IGN)
        for number in [SIGINT, SIGTERM, SIGHUP] {
            signal(number) { number in
                let before = errno
                var byte = UInt8(truncatingIfNeeded: number)
                _ = write(StopSignal.pipeEnd, &byte, 1)
                errno = before
            }
        }
    }

    private final class Watcher {
        let signal: StopSignal
        let descriptor: CInt

        init(signal: StopSignal, descriptor: CInt) {
            self.signal = signal
            self.descriptor = descriptor
        }
    }

    /// Whether a signal has come.
    var hasCome: Bool { state.withLock { $0.received != nil } }

    /// Has `action` called for each SIGHUP from now on, on the signals' own thread, where it may block; nil takes it
    /// back.
    func onHangUp(_ action: (@Sendable () -> Void)?) { state.withLock { $0.hangUpAction = action } }

    /// Returns when a signal has come.
    func wait() async {
        await withCheckedContinuation { continuation in
            let came = state.withLock { state in
                if state.received == nil { state.waiters.append(continuation) }
                return state.received != nil
            }
            if came { continuation.resume() }
        }
    }

    private func watch(_ descriptor: CInt) {
        var byte: UInt8 = 0
        while true {
            let count = read(descriptor, &byte, 1)
            if count < 0 && errno == EINTR { continue }
            if count <= 0 { return }
            let number = CInt(byte)
            if number == SIGHUP, let action = state.withLock({ $0.received == nil ? $0.hangUpAction : nil }) {
                action()
                continue
            }
            if number == SIGHUP && !isOnTerminal { continue }
            let (second, waiters) = state.withLock { state in
                let second = state.received != nil
                let waiters = state.waiters
                state.received = number
                state.waiters = []
                return (second, waiters)
            }
            // The kernel interrupts the private PostgreSQL when we die; it recovers what was committed.
            if second { _exit(128 + number) }
            for waiter in waiters { waiter.resume() }
        }
    }
}
