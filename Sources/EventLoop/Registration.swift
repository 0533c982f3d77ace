// SPDX-License-Identifier: Apache-2.0

import CLinux
import Glibc

/// A descriptor that an ``EventLoop`` watches: waits for readiness with a deadline, and hears of hang-ups.
///
/// Used on the loop's thread only, by at most one reader and one writer at a time.
package final class Registration {
    /// How the kernel reports readiness.
    package enum Mode: Sendable {
        /// One report for each change; the user reads or writes until EAGAIN before waiting again. No system call
        /// per wait: for sockets that are ours.
        case edge
        /// One report for each wait, whatever the user left unread. One `epoll_ctl` per wait: for listening sockets,
        /// and for those that are waited for once.
        case oneShot
        /// Reports as long as there is something, whatever the user left unread; what comes while nobody waits is noted
        /// (``hasUnclaimedInput``) and not reported again before the next wait. No system call for a wait that follows
        /// another whose input was read: for sockets inside a library (libpq) that answers one request after the other.
        case level
    }

    /// What ended a wait.
    package enum Outcome: Sendable, Equatable {
        /// The descriptor is ready, or in an error state that the next call on it will report.
        case ready
        /// The deadline passed first.
        case timedOut
        /// ``cancelWaits()`` or ``deregister()`` was called.
        case cancelled
    }

    private struct Side {
        var ready = false
        var continuation: UnsafeContinuation<Outcome, Never>?
        var deadline = MonotonicTime.distantFuture
    }

    package let descriptor: CInt
    let slot: Int
    /// Generation and slot, as stored in `epoll_data`: an event for a descriptor number that has since been used again
    /// does not match and is dropped.
    let key: UInt64

    private enum Direction { case read, write }

    private unowned let loop: EventLoop
    private let mode: Mode
    private var read = Side()
    private var write = Side()
    private var cancelled = false
    /// What the kernel reports (level mode only).
    private var armed = UInt32(0)

    /// Whether something has come, or the other end has gone, since the last wait: known without a system call as soon
    /// as the loop has polled (level mode only).
    package private(set) var hasUnclaimedInput = false

    /// Whether the loop hears of what comes even while nobody waits, and nothing has (level mode only).
    package var isQuiet: Bool { armed & EPOLLIN.rawValue != 0 && !hasUnclaimedInput }
    /// The earliest deadline for which a timer is in the loop's queue.
    private var armedTimer = MonotonicTime.distantFuture
    /// Timers of this registration in the loop's queue.
    private(set) var timersQueued = 0

    /// Whether the peer has closed its sending side or the connection is broken (edge mode only).
    package private(set) var peerClosed = false
    /// Whether the connection is broken: nothing that is sent arrives any more (edge mode only).
    package private(set) var isBroken = false

    /// Called on the loop's thread when ``peerClosed`` becomes true, and again when ``isBroken`` does: lets a server
    /// cancel the work that nobody waits for any more.
    package var onPeerClosed: (() -> Void)?

    /// Called on the loop's thread when the descriptor takes more bytes and nobody waits for that (edge mode only).
    package var onWritable: (() -> Void)?

    init(loop: EventLoop, descriptor: CInt, mode: Mode, slot: Int, generation: UInt32) {
        self.loop = loop
        self.descriptor = descriptor
        self.mode = mode
        self.slot = slot
        key = UInt64(generation) << 32 | UInt64(UInt32(slot))
    }

    /// Waits until the descriptor is readable (data, end of stream, an error, or a connection to accept).
    package func readable(until deadline: MonotonicTime = .distantFuture) async -> Outcome {
        await wait(.read, until: deadline)
    }

    /// Waits until the descriptor is writable (or in error).
    package func writable(until deadline: MonotonicTime = .distantFuture) async -> Outcome {
        await wait(.write, until: deadline)
    }

    /// Ends the waits under way, and all later ones, with ``Outcome/cancelled``.
    package func cancelWaits() {
        loop.preconditionOnLoop()
        cancelled = true
        resume(.read, .cancelled)
        resume(.write, .cancelled)
    }

    /// Stops watching; call it before closing the descriptor. Ends waits with ``Outcome/cancelled``.
    package func deregister() {
        cancelWaits()
        onPeerClosed = nil
        onWritable = nil
        loop.forget(self)
    }

    private subscript(_ direction: Direction) -> Side {
        @inline(__always) get { direction == .read ? read : write }
        @inline(__always) _modify {
            if direction == .read { yield &read } else { yield &write }
        }
    }

    @inline(__always)
    private func wait(_ side: Direction, until deadline: MonotonicTime) async -> Outcome {
        loop.preconditionOnLoop()
        if cancelled { return .cancelled }
        if self[side].ready {
            self[side].ready = false
            return .ready
        }
        precondition(self[side].continuation == nil, "two waits on one side of a socket")
        return await withUnsafeContinuation { continuation in
            // Entering a suspension may take a turn of the loop's queue: what happened in it would be waited for in vain.
            if cancelled { return continuation.resume(returning: .cancelled) }
            if self[side].ready {
                self[side].ready = false
                return continuation.resume(returning: .ready)
            }
            self[side].continuation = continuation
            self[side].deadline = deadline
            switch mode {
            case .edge: break
            case .oneShot: armOneShot()
            case .level: armLevel()
            }
            armTimer(deadline)
        }
    }

    private func armOneShot() {
        var events = UInt32(0)
        if read.continuation != nil { events |= EPOLLIN.rawValue | EPOLLRDHUP.rawValue }
        if write.continuation != nil { events |= EPOLLOUT.rawValue }
        loop.rearm(self, events: events, once: true)
    }

    /// Asks the kernel for what is waited for, unless it reports it already.
    private func armLevel() {
        var wanted = armed
        if read.continuation != nil {
            wanted |= EPOLLIN.rawValue | EPOLLRDHUP.rawValue
            hasUnclaimedInput = false
        }
        if write.continuation != nil { wanted |= EPOLLOUT.rawValue } else { wanted &= ~EPOLLOUT.rawValue }
        if wanted == armed { return }
        armed = wanted
        loop.rearm(self, events: wanted, once: false)
    }

    /// A report in level mode: what nobody waited for is noted, and not reported again before the next wait.
    private func deliverLevel(_ events: UInt32, broken: Bool) {
        let isReadable = broken || events & (EPOLLIN.rawValue | EPOLLRDHUP.rawValue) != 0
        let isClaimed = read.continuation != nil
        if isReadable { becomeReady(.read) }
        if broken || events & EPOLLOUT.rawValue != 0 { becomeReady(.write) }
        if cancelled { return }
        if isReadable && !isClaimed { hasUnclaimedInput = true }
        var wanted = armed
        if write.continuation == nil { wanted &= ~EPOLLOUT.rawValue }
        if broken || hasUnclaimedInput { wanted &= EPOLLOUT.rawValue }
        if wanted == armed && !broken { return }
        armed = wanted
        // Without ONESHOT a hang-up would be reported in every turn, whatever is asked for.
        loop.rearm(self, events: wanted, once: wanted == 0)
    }

    /// The kernel's report, on the loop's thread.
    func deliver(_ events: UInt32) {
        let broken = events & (EPOLLHUP.rawValue | EPOLLERR.rawValue) != 0
        if mode == .level { return deliverLevel(events, broken: broken) }
        if broken || events & (EPOLLIN.rawValue | EPOLLRDHUP.rawValue) != 0 { becomeReady(.read) }
        if broken || events & EPOLLOUT.rawValue != 0 { becomeReady(.write) }
        if mode == .oneShot {
            // One report disarms both sides; arm the one that still waits.
            if !cancelled && (read.continuation != nil || write.continuation != nil) { armOneShot() }
        } else if broken && !isBroken || !peerClosed && events & EPOLLRDHUP.rawValue != 0 {
            peerClosed = true
            isBroken = broken
            onPeerClosed?()
        }
    }

    private func becomeReady(_ side: Direction) {
        if self[side].continuation != nil {
            resume(side, .ready)
        } else if mode == .edge {
            self[side].ready = true
            if side == .write { onWritable?() }
        }
    }

    private func resume(_ side: Direction, _ outcome: Outcome) {
        guard let continuation = self[side].continuation else { return }
        self[side].continuation = nil
        self[side].deadline = .distantFuture
        continuation.resume(returning: outcome)
    }

    // MARK: Deadlines

    /// Makes sure a timer fires no later than `deadline`. Deadlines that move away (each request on a keep-alive
    /// connection sets a new one) leave the old timer in place, which re-arms itself when it fires early.
    private func armTimer(_ deadline: MonotonicTime) {
        if deadline == .distantFuture || deadline >= armedTimer { return }
        armedTimer = deadline
        timersQueued += 1
        loop.schedule(at: deadline, for: self)
    }

    func timerFired(at scheduled: MonotonicTime) {
        timersQueued -= 1
        if scheduled == armedTimer { armedTimer = .distantFuture }
        if cancelled { return }
        let now = loop.now
        if read.deadline <= now { resume(.read, .timedOut) }
        if write.deadline <= now { resume(.write, .timedOut) }
        armTimer(min(read.deadline, write.deadline))
    }
}
