// SPDX-License-Identifier: Apache-2.0
// All queries and transactions of Trino clients, of all event loops, and how they are forgotten.

import EventLoop
import Market
import Synchronization
import TrinoSQL

/// What the queries of Presto and Trino clients may hold, and for how long; inclusive.
package struct TrinoLimits: Sendable {
    /// Queries that are not done.
    package var live = 500
    /// Bytes of rows that are ready, of all of them together.
    package var readyBytes = 32 * 1024 * 1024
    /// The same of one, where there is room.
    package var readyBytesOfOne = 2 * 1024 * 1024
    /// What one may always have ready.
    package var readyBytesAtLeast = 64 * 1024
    /// A query whose client is not heard of for so long is cancelled.
    package var clientTimeout = Duration.seconds(30)
    /// Queries that are done.
    package var remembered = 1000
    /// Their statements and last pages.
    package var rememberedBytes = 16 * 1024 * 1024
    /// How long they are remembered.
    package var memory = Duration.seconds(900)
    package var transactions = 1000
    /// A transaction in which nothing is done for so long is over.
    package var transactionTimeout = Duration.seconds(300)

    package init() {}
}

/// The queries that a client may still ask for. Usable from any thread.
///
/// Everything here has a limit: how many queries are live (running, or with rows that nobody has fetched), what they
/// may have ready, how many that are done are remembered, and for how long each.
final class TrinoQueries: Sendable {
    private struct Transaction {
        let owner: Caller
        let began: Timestamp
        var lastUse: MonotonicTime
        /// Whether a statement in it failed.
        var isAborted = false
    }

    private struct State {
        var queries: [String: TrinoQuery] = [:]
        /// The same, oldest first.
        var order: [TrinoQuery] = []
        /// Queries that were not done when they were last looked at, and those added since.
        var live = 0
        var transactions: [String: Transaction] = [:]
        var made = 0
        var isClosed = false
    }

    let limits: TrinoLimits
    private let state = Mutex(State())
    /// What ends every id of this process, so that ids do not repeat after a restart.
    private let suffix: String

    init(_ limits: TrinoLimits) {
        self.limits = limits
        let letters = Array("abcdefghijkmnpqrstuvwxyz23456789".utf8)
        suffix = String(decoding: (0..<5).map { _ in letters.randomElement()! }, as: UTF8.self)
    }

    // MARK: Queries

    /// The id of a query that begins now: `20261125_013102_00042_k3x9q`.
    func makeID(_ now: Timestamp) -> String {
        let number = state.withLock { state in
            state.made = (state.made + 1) % 100_000
            return state.made
        }
        // `2026-11-25T01:31:02…`
        let digits = "\(now)".utf8.filter { (0x30...0x39).contains($0) }.prefix(14)
        let time = String(decoding: digits, as: UTF8.self)
        let padded = String(repeating: "0", count: 5 - "\(number)".utf8.count) + "\(number)"
        return "\(time.prefix(8))_\(time.dropFirst(8))_\(padded)_\(suffix)"
    }

    /// 128 random bits in hexadecimal.
    static func makeSecret() -> String {
        func half() -> String {
            let text = String(UInt64.random(in: .min ... .max), radix: 16)
            return String(repeating: "0", count: 16 - text.utf8.count) + text
        }
        return half() + half()
    }

    /// Takes a query in.
    ///
    /// - Throws: 503 if too many are not done.
    func add(_ query: TrinoQuery) throws(TrinoRefusal) {
        if state.withLock({ $0.live >= limits.live }) { sweep(.now()) }
        let refusal: TrinoRefusal? = state.withLock { state in
            if state.isClosed { return TrinoRefusal(503, "The server is shutting down") }
            if state.live >= limits.live { return TrinoRefusal(503, "Too many queries: \(limits.live) are not done") }
            state.live += 1
            state.queries[query.id] = query
            state.order.append(query)
            return nil
        }
        if let refusal { throw refusal }
    }

    func find(_ id: String) -> TrinoQuery? { state.withLock { $0.queries[id] } }

    /// The query of a page's address.
    func find(_ id: String, slug: String) throws(TrinoRefusal) -> TrinoQuery {
        guard let query = find(id), query.slug == slug else { throw .unknown }
        return query
    }

    /// All that are remembered, newest first.
    var all: [TrinoQuery] { state.withLock { $0.order }.reversed() }

    /// Bytes of rows that each query may have ready now.
    var readyBytes: Int {
        let live = state.withLock { max(1, $0.live) }
        return min(limits.readyBytesOfOne, max(limits.readyBytesAtLeast, limits.readyBytes / live))
    }

    /// Cancels what nobody fetches, and forgets what is old or too much; to be called about once a second.
    func sweep(_ now: MonotonicTime) {
        var done: [(query: TrinoQuery, bytes: Int)] = []
        var live = 0
        var forgotten = Set<String>()
        for query in state.withLock({ $0.order }) {
            let snapshot = query.snapshot(now)
            if snapshot.isEnded && (snapshot.isDelivered || snapshot.silence > limits.clientTimeout) {
                // Its rows, if there are any left, are of no use; that it was abandoned is what is remembered of it.
                if !snapshot.isDelivered { query.abandon(Self.abandoned(limits.clientTimeout)) }
                if snapshot.silence > limits.memory { forgotten.insert(query.id) }
                done.append((query, snapshot.heldBytes))
                continue
            }
            if !snapshot.isEnded && snapshot.silence > limits.clientTimeout {
                query.abandon(Self.abandoned(limits.clientTimeout))
            }
            live += 1
        }
        var bytes = 0
        var count = 0
        for (query, held) in done.reversed() where !forgotten.contains(query.id) {
            bytes += held
            count += 1
            if count > limits.remembered || bytes > limits.rememberedBytes { forgotten.insert(query.id) }
        }
        state.withLock { state in
            state.live = live
            state.transactions = state.transactions.filter { now - $0.value.lastUse < limits.transactionTimeout }
            if forgotten.isEmpty { return }
            state.order.removeAll { forgotten.contains($0.id) }
            for id in forgotten { state.queries[id] = nil }
        }
    }

    private static func abandoned(_ timeout: Duration) -> TrinoFailure {
        TrinoFailure(
            .abandonedQuery, "Query was abandoned by the client: no page was asked for within \(timeout.inSeconds)s")
    }

    /// Ends everything, and takes nothing in any more.
    func close() {
        let queries = state.withLock { state in
            state.isClosed = true
            return state.order
        }
        for query in queries { query.fail(TrinoFailure(.serverShuttingDown, "The server is shutting down")) }
    }

    // MARK: Transactions

    /// The id of a new transaction.
    ///
    /// Each statement reads what is committed when it begins, whether in a transaction or not: there is nothing that a
    /// reader could undo, so a transaction is what the client believes, and no session of PostgreSQL is kept for it.
    ///
    /// - Parameters:
    ///   - owner: who starts it.
    ///   - began: the time of the wall clock.
    func startTransaction(
        _ now: MonotonicTime, by owner: Caller, at began: Timestamp
    ) throws(TrinoFailure) -> String {
        let id = Self.makeSecret()
        let isMade = state.withLock { state in
            if state.transactions.count >= limits.transactions { return false }
            state.transactions[id] = Transaction(owner: owner, began: began, lastUse: now)
            return true
        }
        if isMade { return id }
        throw TrinoFailure(.genericInsufficientResources, "Too many transactions are open: \(limits.transactions)")
    }

    /// Notes that a statement begins in a transaction.
    ///
    /// - Parameter isEnd: whether it is COMMIT or ROLLBACK, which a transaction that has failed still takes.
    func useTransaction(_ id: String, _ now: MonotonicTime, isEnd: Bool) throws(TrinoFailure) {
        let isAborted: Bool? = state.withLock { state in
            guard let transaction = state.transactions[id], now - transaction.lastUse < limits.transactionTimeout
            else { return nil }
            state.transactions[id]?.lastUse = now
            return transaction.isAborted
        }
        guard let isAborted else { throw TrinoFailure(.unknownTransaction, "Unknown transaction ID: \(id)") }
        if isAborted && !isEnd {
            throw TrinoFailure(
                .transactionAlreadyAborted,
                "Current transaction is aborted, commands ignored until end of transaction block")
        }
    }

    /// A statement in the transaction has failed.
    func abortTransaction(_ id: String) { state.withLock { $0.transactions[id]?.isAborted = true } }

    /// The transactions that are open, of those whom a caller may see, and since when nothing is done in each.
    func openTransactions(
        for caller: Caller, _ now: MonotonicTime
    ) -> [(id: String, began: Timestamp, idle: Duration)] {
        state.withLock { $0.transactions }.compactMap { id, transaction in
            let idle = now - transaction.lastUse
            guard idle < limits.transactionTimeout, caller.maySee(transaction.owner) else { return nil }
            return (id, transaction.began, idle)
        }
    }

    func endTransaction(_ id: String) { state.withLock { _ = $0.transactions.removeValue(forKey: id) } }
}
