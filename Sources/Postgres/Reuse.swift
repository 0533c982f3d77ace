// SPDX-License-Identifier: Apache-2.0

// What a pool needs of a connection between two users.

import CLibPQ
import EventLoop
import Glibc

extension PostgresConnection {
    /// Whether the socket still has somebody at the other end: reads what an idle server may have sent (notifications,
    /// or the reason why it hung up). Sends nothing, so it cannot see a server that vanished without a word.
    package func isAlive() -> Bool {
        if isQuiet && activity == .idle { return isOpen }
        return stillHasPeer()
    }

    /// The same by looking at the socket, whatever the loop has heard of it.
    private func stillHasPeer() -> Bool {
        guard activity == .idle, let handle = try? liveHandle() else { return isOpen }
        // Each round takes in what is there; the end of the stream shows in the round after the last bytes.
        while isReadable(handle) {
            if PQconsumeInput(handle) == 0 {
                _ = lose()
                return false
            }
        }
        collectNotifications()
        return true
    }

    private func isReadable(_ handle: OpaquePointer) -> Bool {
        var descriptor = pollfd(fd: PQsocket(handle), events: Int16(POLLIN), revents: 0)
        return poll(&descriptor, 1, 0) > 0
    }

    /// The outcome of the reset that was sent ahead, and a look at the socket: whether the next user can have it.
    func isReady(deadline: MonotonicTime) async -> Bool {
        if activity == .sentAhead {
            // The answer is on its way, whatever the patience of the caller: a deadline that is near must not cost a
            // healthy connection.
            let limit = max(deadline, .now() + settings.drainTimeout)
            let operation = Operation(deadline: limit, heedsTaskCancellation: false, isCleanUp: true)
            do {
                try await collectSentAhead(operation)
            } catch {
                return false
            }
            // The loop has not been round since: that the server has gone after its answer, it does not know yet.
            return stillHasPeer()
        }
        return isAlive()
    }

    /// The user is done: what he kept to cancel his statements becomes void.
    func endLease() {
        cancellation.endLease()
        onNotice = nil
    }

    /// Brings the session back to idle, whatever the user left it in, and sends the reset, if there is one, on its way.
    /// False, or a closed connection, if that fails.
    func becomeReusable(reset: String?) async -> Bool {
        guard isOpen else { return false }
        let limit = MonotonicTime.now() + settings.drainTimeout
        do {
            if activity != .idle { try await cleanUp() }
            if !(await cancellation.settled(on: loop, until: limit)) { return false }
            if transactionStatus != .idle { try await rollback(deadline: limit) }
        } catch {
            return false
        }
        defer { isUntouched = false }
        guard let reset, !isUntouched else { return isOpen }
        return sendAhead(reset)
    }
}
