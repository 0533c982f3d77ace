// SPDX-License-Identifier: Apache-2.0
// What caches may do with a reply (RFC 9111), and when a client's copy is still right (RFC 9110 §13).

import EventLoop
import HTTP
import Market
import Postgres

/// The caching of one reply.
///
/// The validator is made of two things: what was asked, with all times resolved, and the state of the store: which
/// transactions are visible. Where both are the same, the reply would be the same, so a 304 needs no query. A state
/// changes with every commit, of whatever data; it never comes back.
///
/// A range that ended a while ago is sent as immutable for a minute: it changes by nothing but trades that come late,
/// which a client that keeps a copy may thus see a minute later than others. Everything else is asked for again each
/// time (`no-cache`).
struct Caching {
    let entityTag: String
    let isClosed: Bool
    /// Fields of the request, beside Accept, that change the reply (RFC 9110 §12.5.5).
    let fields: [StaticString]

    /// The moment before which bars and trades count as settled: an hour ago.
    static func settled(_ now: Timestamp) -> Timestamp {
        Timestamp(microseconds: now.microseconds - 3_600_000_000)
    }

    /// For how long a settled range is sent as immutable (RFC 8246), in seconds.
    static let freshness = 60
    private static let settledControl = "private, max-age=\(freshness), immutable"

    /// - Parameter request: what was asked, with all times resolved.
    init(_ version: StoreVersion.State, _ request: [UInt8], isClosed: Bool, fields: [StaticString] = []) {
        entityTag = "\"" + String(hexadecimal: version.digest) + String(hexadecimal: Self.digest(request)) + "\""
        self.isClosed = isClosed
        self.fields = fields
    }

    var headers: [(name: String, value: String)] {
        [
            ("ETag", entityTag),
            ("Cache-Control", isClosed ? Self.settledControl : "private, no-cache"),
            ("Vary", fields.isEmpty ? "Accept" : fields.reduce("Accept") { "\($0), \($1)" }),
        ]
    }

    /// Of a reply without a validator.
    static let none = [(name: "Cache-Control", value: "no-store"), (name: "Vary", value: "Accept")]

    /// FNV-1a (Fowler, Noll, Vo), 64 bits: tells texts apart, not forgeries.
    static func digest(_ bytes: some Sequence<UInt8>) -> UInt64 {
        bytes.reduce(0xcbf2_9ce4_8422_2325) { ($0 ^ UInt64($1)) &* 0x0000_0100_0000_01b3 }
    }
}

/// Which transactions of the store are visible, as one event loop last saw it. On the loop's thread only.
final class StoreVersion {
    /// A state of the store. Two that are equal show the same data.
    struct State: Equatable {
        let digest: UInt64
        fileprivate let seen: MonotonicTime
    }

    /// The transactions that are visible (`xmin:xmax:xip`, PostgreSQL 15 docs, 9.76), and which server says so.
    static let statement = Statement(
        name: "store_version", sql: "select pg_current_snapshot()::text, pg_postmaster_start_time()::text")

    private let gate: Gate
    private var known: State?

    /// How old a state may be that a reply is tagged with. An older one than that of the reply's own query is never
    /// wrong: a copy with it is found stale the sooner.
    private static let patience = Duration.milliseconds(100)

    init(_ gate: Gate) { self.gate = gate }

    /// A state that the store has had until at most 100 ms ago, or later: for the tag of a reply whose query runs from
    /// now on. Nil if the store does not answer.
    func recent() async -> State? {
        if let known, known.seen + Self.patience > .now() { return known }
        return await current()
    }

    /// The state of the store now: for a 304. Those who ask at the same time are answered by one question.
    func current() async -> State? {
        let asked = MonotonicTime.now()
        let found = try? await gate.ask(Self.statement, deadline: asked + .seconds(1)) { row throws(PostgresError) in
            try row.string(0) + row.string(1)
        }
        guard let text = found?.first else { return nil }
        let state = State(digest: Caching.digest(text.utf8), seen: asked)
        known = state
        return state
    }
}
