// SPDX-License-Identifier: Apache-2.0

import CLibPQ
package import EventLoop

/// One session with a PostgreSQL server, on one event loop: libpq in non-blocking mode (PostgreSQL 15 docs, 34.4),
/// its socket polled by the loop.
///
/// Used on its loop's thread, by one task at a time; a second operation while one runs throws kind `.usage`. Every
/// wait ends by a deadline: the one given, or ``ConnectionSettings/operationTimeout`` from the start of the operation.
/// When it passes, the server is asked to cancel, what it still sends is read away, and kind `.timeout` is thrown;
/// if that too takes too long the connection is closed. A cancelled task ends the same way with kind `.cancelled`.
///
/// When the connection is lost the operation throws kind `.connection`, and so does every later one.
package final class PostgresConnection {
    /// Where the session stands between statements (PostgreSQL 15 docs, PQtransactionStatus).
    package enum TransactionStatus: Sendable {
        case idle
        case inTransaction
        /// A statement of the transaction failed: only ROLLBACK (or ROLLBACK TO) helps.
        case failed
        /// A statement is running.
        case active
        /// The connection is closed or broken.
        case unknown
    }

    /// What the connection is in the middle of.
    enum Activity {
        case idle
        case statement
        /// A ``RowStream`` or ``CopyOut`` is open.
        case streaming
        case copyingIn
        /// The user let go of a stream or copy before its end: the next operation cleans up first.
        case abandoned
        /// ``PostgresConnection/sendAhead(_:)`` was called and nobody has read the outcome.
        case sentAhead
    }

    package let settings: ConnectionSettings
    package let loop: EventLoop
    /// When the connection was made.
    package let createdAt = MonotonicTime.now()

    /// Whether a query can leave something in this session that outlives its transaction; true until a pool's
    /// `inspect` has found otherwise.
    package var keepsTraces = true

    /// Set by whoever uses the connection if what he ran has left nothing in the session once it is rolled back: a pool
    /// then saves its reset. Forgotten when the connection changes hands.
    package var isUntouched = false

    /// Called by long streams before they take in more of the server's output, to wait for what is more urgent.
    package var giveWay: (() async -> Void)?

    /// Called on the loop for each NOTICE and WARNING of the server.
    package var onNotice: ((PostgresNotice) -> Void)?

    /// Why the connection is closed, or nil while it is open.
    package private(set) var closeReason: PostgresError?

    var activity = Activity.idle
    /// Whether libpq is in pipeline mode: several statements are on their way at once.
    var isPipelined = false
    var parameters = ParameterBuffer()
    var prepared = PreparedStatements()
    /// Those of batches, which are small and may be more.
    var batched = PreparedStatements(namePrefix: "batch/")
    var repeated = RepeatedQueries()
    /// When the batch that runs is to be cancelled.
    var batchDeadline: MonotonicTime?
    /// When the next timer looks at ``batchDeadline``.
    var nextBatchTimer: MonotonicTime?
    /// Bytes received since the last whole result (in streams, of a connection with a limit on rows, and in batches).
    var unfinishedBytes = 0
    /// What the rows of the batch that runs may take in memory; nil for any.
    var batchBytesLimit: Int?
    var notifications = NotificationQueue()
    let cancellation = Cancellation()

    private var handle: OpaquePointer?
    private var registration: Registration?

    /// Takes over a connection that libpq has established.
    init(established handle: OpaquePointer, settings: ConnectionSettings, loop: EventLoop) {
        self.handle = handle
        self.settings = settings
        self.loop = loop
        PQsetnonblocking(handle, 1)
        cancellation.setKey(PQgetCancel(handle))
        installNoticeReceiver(on: handle)
    }

    deinit {
        guard let handle else { return }
        // Off the loop's thread (the loop has stopped, or a bug) only the loop's table entry is left behind.
        if loop.isCurrent { registration?.deregister() }
        PQfinish(handle)
    }

    // MARK: State

    /// Whether the connection is usable as far as we know; ``isAlive()`` asks the socket.
    package var isOpen: Bool { handle != nil }

    package var transactionStatus: TransactionStatus {
        guard let handle else { return .unknown }
        return switch PQtransactionStatus(handle) {
        case PQTRANS_IDLE: .idle
        case PQTRANS_INTRANS: .inTransaction
        case PQTRANS_INERROR: .failed
        case PQTRANS_ACTIVE: .active
        default: .unknown
        }
    }

    /// The server process, as in `pg_stat_activity.pid`; 0 when closed.
    package var backendPID: Int32 { handle.map { PQbackendPID($0) } ?? 0 }

    /// The server's version as a number: 15.4 is 150004; 0 when closed.
    package var serverVersion: Int { handle.map { Int(PQserverVersion($0)) } ?? 0 }

    /// Whether the connection is encrypted.
    package var isEncrypted: Bool { handle.map { PQsslInUse($0) != 0 } ?? false }

    /// The value of a parameter that the server reports (`TimeZone`, `server_version`, …; docs 34.2), or nil.
    package func serverParameter(_ name: String) -> String? {
        handle.flatMap { PQparameterStatus($0, name) }.map { String(cString: $0) }
    }

    /// What cancels this user's statements from any thread.
    package var cancelHandle: CancelHandle { CancelHandle(cancellation: cancellation, lease: cancellation.lease) }

    /// Asks the server to cancel the running statement, which then throws kind `.cancelled`. Does not wait. False if
    /// nothing runs or a request is already on its way.
    @discardableResult
    package func requestCancel() -> Bool { cancellation.request() }

    /// Ends the session at once and releases socket and memory. A wait under way throws kind `.connection`.
    package func close() { close(because: PostgresError(.connection, "the connection is closed")) }

    /// The one place where the connection dies.
    func close(because reason: PostgresError) {
        guard let handle else { return }
        self.handle = nil
        // Whatever the reason was for the one who met it, to all who come later the connection is lost.
        closeReason = reason
        closeReason?.kind = .connection
        cancellation.end()
        cancellation.setKey(nil)
        // Before PQfinish: it closes the descriptor, whose number may be in use again right after.
        let registration = registration
        self.registration = nil
        registration?.deregister()
        PQfinish(handle)
    }

    /// Whether the loop would have told us, had anything come on the idle connection.
    var isQuiet: Bool { registration?.isQuiet == true }

    /// The libpq handle, which every use after an `await` must ask for again.
    func liveHandle() throws(PostgresError) -> OpaquePointer {
        if let handle { return handle }
        throw closeReason ?? PostgresError(.connection, "the connection is closed")
    }

    /// The socket's registration, made on the first wait: a socket that is watched but never armed would report a
    /// hang-up in every turn of the loop.
    func liveRegistration() throws(PostgresError) -> Registration {
        let handle = try liveHandle()
        if let registration { return registration }
        do {
            let made = try loop.register(PQsocket(handle), mode: .level)
            registration = made
            return made
        } catch {
            throw lose(PostgresError(.connection, "watching the socket: \(error)"))
        }
    }

    /// Forgets the registration after its waits were cancelled; the next wait makes a new one.
    func dropRegistration(_ dropped: Registration) {
        guard let current = registration, current === dropped else { return }
        registration = nil
        current.deregister()
    }

    /// Closes the connection because of `error`, or of what libpq says, and returns the reason to throw.
    func lose(_ error: PostgresError? = nil) -> PostgresError {
        guard let handle else { return closeReason ?? PostgresError(.connection, "the connection is closed") }
        let reason = error ?? PostgresError(connection: handle)
        close(because: reason)
        return reason
    }
}
