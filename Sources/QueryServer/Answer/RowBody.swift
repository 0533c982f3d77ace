// SPDX-License-Identifier: Apache-2.0
// A response body that is made row by row.

import EventLoop
import HTTP
import Postgres
import Synchronization

/// Gathers the bytes of a body and begins the response late: as long as nothing has left, a failure is still an error
/// reply with its own status. Afterwards it breaks the body off.
final class RowBody {
    /// Where encoders append.
    var bytes: [UInt8] = []

    let response: ResponseWriter
    /// Of the reply, which must not have left when it is set.
    var status = Status.ok
    /// A field whose value the rows tell, and what it is to be where the head leaves before the last one; given the rows
    /// so far.
    var provisional: (name: String, value: (Int) -> String)?
    /// Rows appended, for the list of running queries; the encoder's owner counts.
    var rows = 0
    /// Nil for lookups, which are not listed.
    private let query: RunningQuery?
    /// What the key of the client may have; nil where the query itself sees to it.
    private let limits: CallerLimits?
    /// What to do about more than that.
    var advice = "Ask for less with limit, from and to."
    private var headers: Headers
    /// Bytes that have left the buffer.
    private var flushed = 0
    /// When the first bytes that are still here may leave at the latest.
    private var lastFlush: MonotonicTime

    /// Bytes worth a system call.
    private static let chunk = 64 * 1024
    /// How long rows that are there may wait for more.
    private static let patience = Duration.milliseconds(10)

    init(_ response: ResponseWriter, contentType: String, query: RunningQuery) {
        self.response = response
        self.query = query
        // SQL ends where its limits do, and says so.
        limits = query.kind == .sql ? nil : query.client.limits
        headers = Self.headers(contentType, query.id)
        lastFlush = .now()
        bytes.reserveCapacity(Self.smallBody)
    }

    /// A body that leaves in one piece.
    init(_ response: ResponseWriter, contentType: String, id: QueryID, limits: CallerLimits) {
        self.response = response
        query = nil
        self.limits = limits
        headers = Self.headers(contentType, id.description)
        lastFlush = .distantFuture
        bytes.reserveCapacity(Self.smallBody)
    }

    /// Bytes that most replies to lookups fit in: their body does not grow step by step.
    private static let smallBody = 1024

    private static func headers(_ contentType: String, _ id: String) -> Headers {
        // Those that follow: of caches, and the timings.
        var headers = Headers(reserving: 6)
        headers.add("Content-Type", contentType)
        headers.add("X-Query-Id", id)
        return headers
    }

    /// A field that only the end of the rows can tell.
    enum ClosingField: String {
        /// Rows were left out because the client wanted no more.
        case truncated = "X-Tapedeck-Truncated"
        /// Where the next page begins, where the body is rows alone and cannot say so.
        case nextPage = "X-Next-Page-Token"
    }

    /// Announced by the head, should the body be a stream.
    private var announced: [ClosingField] = []

    /// Has the head of a stream say that its end may tell this (RFC 9110 §6.6.2); while no bytes have left.
    func announce(_ field: ClosingField) {
        if !announced.contains(field) { announced.append(field) }
    }

    /// Whether 304 stands for the reply, once it is known that there is one.
    private var isNotWanted = false

    /// The most that is kept in memory for a client that is told the next page by the head alone.
    private static let pageBytes = 32 * 1024 * 1024

    /// Whether the head must wait for the end: it has to tell where the next page begins, for nothing else can over HTTP/1.0
    /// or to a script in a browser.
    private var waitsForEnd: Bool {
        !response.isStarted && announced.contains(.nextPage) && !response.tellsTrailer
    }

    /// Tells it: in the head if that has not left, else behind the last chunk. Nothing without a value.
    func close(with field: ClosingField, _ value: String?) {
        guard let value else { return }
        if response.isStarted {
            response.trailer = (response.trailer ?? "") + "\(field.rawValue): \(value)\r\n"
        } else {
            headers.add(field.rawValue, value)
        }
    }

    /// Bytes of the body so far.
    @inline(__always)
    var count: Int { flushed + bytes.count }

    /// Tells the query how much of its result there is.
    func note() {
        query?.rows.store(rows, ordering: .relaxed)
        query?.bytes.store(count, ordering: .relaxed)
    }

    /// Adds to `Server-Timing` how long the stages before the first byte took, in milliseconds (W3C Server Timing).
    func addTimings() {
        var text: [UInt8] = []
        text.reserveCapacity(128)
        for (index, timing) in (query?.timings ?? []).enumerated() {
            if index > 0 { text.appendText(", ") }
            text.appendText(timing.name)
            text.appendText(";dur=")
            text.appendMilliseconds(timing.duration)
        }
        headers.add("Server-Timing", String(decoding: text, as: UTF8.self))
    }

    /// Adds a field to the head, which must not have left.
    func addHeader(_ name: String, _ value: String) { headers.add(name, value) }

    private func addProvisional() {
        if let provisional { headers.add(provisional.name, provisional.value(rows)) }
    }

    /// Adds what tells caches about a reply in a format that Accept may have named; nil for one that nobody may keep.
    func add(_ caching: Caching?) {
        for field in caching?.headers ?? Caching.none { headers.add(field.name, field.value) }
        isNotWanted = caching?.isAllThatIsWanted == true
    }

    /// Whether there is enough to send.
    @inline(__always)
    var isFull: Bool { bytes.count >= Self.chunk }

    /// Refuses what is more than the key may have: an error of its own as long as nothing has left, else the body is
    /// broken off. It never ends as if that were all.
    private func checkLimits() throws(QueryError) {
        guard let limits else { return }
        if let most = limits.rows, rows > most {
            throw QueryError(400, "too_many_rows", "more than the \(most) rows that this key may have", hint: advice)
        }
        if let most = limits.bytes, count > most {
            throw QueryError(
                400, "too_many_bytes", "more than the \(most) bytes that this key may have", hint: advice)
        }
    }

    /// Sends what there is.
    func flush() async throws {
        try checkLimits()
        if isNotWanted {
            flushed += bytes.count
            bytes.removeAll(keepingCapacity: true)
            return note()
        }
        if waitsForEnd {
            if count <= Self.pageBytes { return note() }
            throw QueryError(
                400, "too_many_bytes", "more than \(Self.pageBytes) bytes of a page whose head tells the next one",
                hint: "Ask for less with limit, or for format=json.")
        }
        if !response.isStarted {
            if response.sendsChunks { for field in announced { headers.add("Trailer", field.rawValue) } }
            addProvisional()
            try response.start(status, headers)
        }
        note()
        flushed += bytes.count
        // Two buffers change places, so that nothing is copied and the memory is used again.
        swap(&response.buffer, &bytes)
        try await response.flush()
        swap(&response.buffer, &bytes)
        lastFlush = .now()
    }

    /// The next row of `rows`, for which one may have to wait; what is here has waited long enough then and is sent
    /// meanwhile, so that slow queries show their rows as they come and quick ones leave in one piece.
    func next(of rows: RowStream) async throws -> RowStream.Row? {
        while !bytes.isEmpty && !waitsForEnd {
            if case .ended(let row) = try await rows.next(until: lastFlush + Self.patience) { return row }
            try await flush()
        }
        return try await rows.next()
    }

    /// Sends the rest, and ends the response.
    func finish() async throws {
        try checkLimits()
        if isNotWanted { return try await response.respond(.notModified, headers) }
        if !response.isStarted && response.wantsBody {
            return try await response.respond(status, headers, bytes)
        }
        if !response.isStarted {
            addProvisional()
            try response.start(status, headers)
        }
        swap(&response.buffer, &bytes)
        try await response.finish()
    }
}
