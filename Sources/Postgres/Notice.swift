// SPDX-License-Identifier: Apache-2.0

import CLibPQ
package import EventLoop

/// A message that is no error: NOTICE, WARNING, INFO.
package struct PostgresNotice: Sendable {
    /// `NOTICE`, `WARNING`, … in the server's language.
    package var severity: String
    package var sqlState: String
    package var message: String
}

/// A message another session sent with `NOTIFY` (PostgreSQL 15 docs, 34.9).
package struct PostgresNotification: Sendable, Equatable {
    package var channel: String
    /// At most 8000 bytes; empty if the sender gave none.
    package var payload: String
    /// The server process that sent it.
    package var senderPID: Int32
}

/// Notifications that arrived and nobody has asked for yet.
struct NotificationQueue {
    /// What a listener that never looks may cost in memory: the oldest are dropped beyond it.
    static let limit = 10_000
    private var waiting: [PostgresNotification] = []
    private var head = 0
    private(set) var dropped = 0

    mutating func append(_ notification: PostgresNotification) {
        if waiting.count - head >= Self.limit {
            head += 1
            dropped += 1
        }
        waiting.append(notification)
        compact()
    }

    mutating func popFirst() -> PostgresNotification? {
        if head == waiting.count { return nil }
        defer {
            head += 1
            compact()
        }
        return waiting[head]
    }

    private mutating func compact() {
        if head == waiting.count {
            waiting.removeAll(keepingCapacity: true)
            head = 0
        } else if head > Self.limit {
            waiting.removeFirst(head)
            head = 0
        }
    }
}

extension PostgresConnection {
    /// Notifications dropped because nobody asked for them: the listener must assume it missed something.
    package var droppedNotifications: Int { notifications.dropped }

    /// The next notification of the channels this session LISTENs to, or nil if none comes before `deadline`.
    ///
    /// Those that arrived during other statements come first, in order. Throws kind `.cancelled` at once if the task is
    /// cancelled, `.connection` if the server goes away.
    package func waitForNotification(until deadline: MonotonicTime) async throws(PostgresError) -> PostgresNotification?
    {
        if let waiting = notifications.popFirst() { return waiting }
        _ = try await start(.statement, deadline: deadline)
        // Nothing runs that a cancel request could stop.
        cancellation.end()
        defer { activity = .idle }
        while true {
            collectNotifications()
            if let arrived = notifications.popFirst() { return arrived }
            let registration = try liveRegistration()
            let outcome = await Self.interruptible(registration, on: loop) {
                await registration.readable(until: deadline)
            }
            switch outcome {
            case .timedOut: return nil
            case .cancelled:
                dropRegistration(registration)
                _ = try liveHandle()
                throw PostgresError(.cancelled, "the task was cancelled while waiting for a notification")
            case .ready:
                if PQconsumeInput(try liveHandle()) == 0 { throw lose() }
            }
        }
    }

    /// Moves what libpq has parsed to our queue.
    func collectNotifications() {
        guard let handle = try? liveHandle() else { return }
        while let notify = PQnotifies(handle) {
            notifications.append(
                PostgresNotification(
                    channel: String(cString: notify.pointee.relname), payload: String(cString: notify.pointee.extra),
                    senderPID: notify.pointee.be_pid))
            PQfreemem(notify)
        }
    }

    /// Routes libpq's notices to ``onNotice``. libpq calls on the loop's thread, inside our own calls to it, and never
    /// after PQfinish, so the unretained `self` is alive.
    func installNoticeReceiver(on handle: OpaquePointer) {
        PQsetNoticeReceiver(
            handle,
            { context, result in
                guard let context, let result else { return }
                let connection = Unmanaged<PostgresConnection>.fromOpaque(context).takeUnretainedValue()
                connection.received(notice: result)
            }, Unmanaged.passUnretained(self).toOpaque())
    }

    private func received(notice result: OpaquePointer) {
        guard let onNotice else { return }
        let error = PostgresError(result: result)
        let severity = PQresultErrorField(result, CInt(Character("S").asciiValue!)).map { String(cString: $0) }
        onNotice(
            PostgresNotice(severity: severity ?? "NOTICE", sqlState: error.sqlState ?? "00000", message: error.message))
    }
}
