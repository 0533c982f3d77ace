// SPDX-License-Identifier: Apache-2.0
// What lies between the task that reads a query's rows and the requests that fetch them. Pure: no clock, no threads.

import EventLoop

/// The rows that are ready and not fetched, the page that was served last, and how the query ended.
///
/// Tokens count pages: 0 is the answer to the POST. A page that was served is served again for its token, as often as
/// it is asked for, until the next one is.
struct TrinoMailbox {
    /// Where a query is, in the words of the protocol.
    enum Stage: String, Sendable {
        case queued = "QUEUED"
        case running = "RUNNING"
        case finished = "FINISHED"
        case failed = "FAILED"
    }

    /// How a query ended.
    enum Ending: Equatable, Sendable {
        case finished
        case failed(TrinoFailure)
    }

    /// What a statement that returns no rows did, and what the client is to remember of it.
    struct Effect: Equatable, Sendable {
        /// As `updateType` has it: `SET SESSION`.
        var updateType: String?
        /// Headers without the prefix, each on a line of its own.
        var headers: [Header] = []

        struct Header: Equatable, Sendable {
            var name: String
            var value: String
        }
    }

    /// A page as it was served: enough to serve the same again.
    struct Page: Sendable {
        let token: Int
        let stage: Stage
        /// The member `columns`, as JSON; nil while it is not known.
        let columns: [UInt8]?
        /// Rows as JSON, separated by commas in each chunk but not between chunks.
        let chunks: [[UInt8]]
        /// Whether no page follows.
        let isLast: Bool
        let failure: TrinoFailure?
        let effect: Effect
        /// Rows and bytes that the query had made.
        let rows: Int
        let bytes: Int
        let elapsed: Duration
        let queued: Duration

        /// Bytes of rows.
        var size: Int { chunks.reduce(0) { $0 + $1.count } }
    }

    /// The outcome of asking for a page.
    enum Taken {
        case page(Page)
        /// There is nothing to say yet.
        case nothing
        /// The page was read, and a later one too (410).
        case gone
        /// There is no such page, or not yet (404).
        case unknown
    }

    private(set) var ending: Ending?
    private(set) var isRunning = false
    private(set) var columns: [UInt8]?
    var effect = Effect()
    private(set) var rows = 0
    private(set) var bytes = 0
    private(set) var waitingBytes = 0
    private(set) var served: Page?
    private var chunks: [[UInt8]] = []

    /// The token of the page served last.
    private(set) var token = 0

    var stage: Stage {
        switch ending {
        case .finished: .finished
        case .failed: .failed
        case nil: isRunning ? .running : .queued
        }
    }

    /// Whether the client has everything.
    var isDelivered: Bool { served?.isLast == true }

    /// Bytes held: what is ready, and what was served last.
    var heldBytes: Int { waitingBytes + (served?.size ?? 0) }

    // MARK: The side that reads rows

    mutating func start() { isRunning = true }

    mutating func describe(columns json: [UInt8]) { columns = json }

    /// Whether `count` more bytes fit; anything fits where nothing is.
    func hasRoom(for count: Int, within limit: Int) -> Bool { waitingBytes == 0 || waitingBytes + count <= limit }

    /// Puts rows behind those that are there.
    mutating func put(_ chunk: [UInt8], rows count: Int) {
        precondition(ending == nil && columns != nil)
        rows += count
        bytes += chunk.count
        waitingBytes += chunk.count
        chunks.append(chunk)
    }

    /// Ends the query; the first ending counts. Rows that a failure overtakes are dropped: a client that was told of it
    /// reads no further.
    mutating func end(_ ending: Ending) -> Bool {
        if self.ending != nil { return false }
        self.ending = ending
        if case .failed = ending { drop() }
        return true
    }

    /// Nobody will fetch what is left: it becomes a failure if the client does not have all of it.
    mutating func abandon(_ failure: TrinoFailure) -> Bool {
        if ending == nil { return end(.failed(failure)) }
        if isDelivered || chunks.isEmpty { return false }
        ending = .failed(failure)
        drop()
        return true
    }

    private mutating func drop() {
        chunks = []
        waitingBytes = 0
    }

    // MARK: The side that fetches pages

    /// The page of a token.
    ///
    /// - Parameters:
    ///   - target: bytes of rows that a page should have; it has what is ready, in whole chunks, and at least one.
    ///   - mayWait: whether the caller would rather wait for rows than have a page without any.
    mutating func take(
        _ wanted: Int, target: Int, mayWait: Bool, elapsed: Duration, queued: Duration
    ) -> Taken {
        if wanted == token, let served { return .page(served) }
        if wanted <= token { return .gone }
        if wanted > token + 1 || isDelivered { return .unknown }
        if chunks.isEmpty && ending == nil && mayWait { return .nothing }
        var taken = 0
        var size = 0
        while taken < chunks.count && (taken == 0 || size + chunks[taken].count <= target) {
            size += chunks[taken].count
            taken += 1
        }
        let pageChunks = Array(chunks[..<taken])
        chunks.removeFirst(taken)
        waitingBytes -= size
        let isLast = ending != nil && chunks.isEmpty
        var failure: TrinoFailure?
        if isLast, case .failed(let reason)? = ending { failure = reason }
        let page = Page(
            token: wanted, stage: ending != nil && !isLast ? .running : stage, columns: columns, chunks: pageChunks,
            isLast: isLast, failure: failure, effect: effect, rows: rows, bytes: bytes, elapsed: elapsed,
            queued: queued)
        token = wanted
        served = page
        return .page(page)
    }
}
