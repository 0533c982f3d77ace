// SPDX-License-Identifier: Apache-2.0
// What caches may do with a reply (RFC 9111), and when a client's copy is still right (RFC 9110 §13).

import EventLoop
import HTTP
import Market
import Postgres

/// The caching of one reply.
///
/// The validator is made of two things: what was asked, with all times resolved, and the state of the store. Where both
/// are the same, the reply would be the same, so a 304 needs no query. The state of the store is which transactions are
/// visible: it changes with every commit, of whatever data, and never comes back. Of a range that is settled it is the
/// version of all that is settled, which changes only when something old does (`ops.live_head`): the tag of last month's
/// bars stays as it is while today's trades come in.
///
/// A range that ended a while ago is sent as immutable for a minute: it changes by nothing but what comes late or is let
/// go, which a client that keeps a copy may thus see a minute later than others. Everything else is asked for again each
/// time (`no-cache`).
struct Caching {
    let entityTag: String
    private let isClosed: Bool
    /// Fields of the request, beside Accept, that change the reply (RFC 9110 §12.5.5).
    let fields: [StaticString]
    /// Whether the client wants to know no more than this of a reply with success: 304 goes out in its place.
    var isAllThatIsWanted = false

    /// Whether what closed at a moment did so an hour ago; nil is what has not, or moves.
    static func isClosed(_ closing: Timestamp?, now: Timestamp) -> Bool {
        closing.map { $0.microseconds <= now.microseconds - 3_600_000_000 } ?? false
    }

    /// For how long a settled range is sent as immutable (RFC 8246), in seconds.
    static let freshness = 60
    private static let settledControl = "private, max-age=\(freshness), immutable"

    /// - Parameters:
    ///   - request: what was asked, with all times resolved.
    ///   - closing: the moment by which all has happened that the reply tells of; nil for one that is not, or moves.
    init(
        _ version: StoreVersion.State, _ request: [UInt8], closing: Timestamp?, now: Timestamp,
        fields: [StaticString] = []
    ) {
        isClosed = Self.isClosed(closing, now: now)
        let state = isClosed ? version.digest(closing: closing) : version.digest
        entityTag = "\"" + String(hexadecimal: state) + String(hexadecimal: Self.digest(request)) + "\""
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
    struct State {
        /// Of everything.
        let digest: UInt64
        /// Of what is settled, and what that is; nil where it is not to be had.
        let settled: (digest: UInt64, before: Timestamp)?
        fileprivate let seen: MonotonicTime

        /// - Parameters:
        ///   - transactions: which are visible, and to which server.
        ///   - settled: the version of what is settled, and the moment before which it is.
        init(_ transactions: String, settled: (version: String, before: Timestamp)?, seen: MonotonicTime) {
            digest = Caching.digest(transactions.utf8)
            self.settled = settled.map { (Caching.digest("settled \($0.version)".utf8), $0.before) }
            self.seen = seen
        }

        /// Of what closed at a moment: of what is settled, if that is.
        func digest(closing: Timestamp?) -> UInt64 {
            guard let closing, let settled, closing <= settled.before else { return digest }
            return settled.digest
        }
    }

    /// The transactions that are visible (`xmin:xmax:xip`, PostgreSQL 15 docs, 9.76), which server says so, and, of the
    /// same moment, the version of what is settled and before when that is.
    static let statement = Statement(
        name: "store_version",
        sql: """
            select pg_current_snapshot()::text, pg_postmaster_start_time()::text, settled_version::text,
                case when isfinite(settled_before) then (extract(epoch from settled_before) * 1000000)::bigint end
            from ops.live_head
            """)

    private let gate: Gate
    /// Whether rows and versions may come from servers that do not agree: then a version that speaks for longer than the
    /// next commit could stay with rows that lack something.
    private let mayDiffer: Bool
    private var known: State?

    /// How old a state may be that a reply is tagged with. An older one than that of the reply's own query is never
    /// wrong: a copy with it is found stale the sooner.
    private static let patience = Duration.milliseconds(100)

    /// - Parameter reader: how the rows are reached.
    init(_ gate: Gate, reader: ConnectionSettings) {
        self.gate = gate
        mayDiffer = reader.namesSeveralServers
    }

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
            let before = row.isNull(3) || mayDiffer ? nil : Timestamp(microseconds: try row.int64(3))
            let version = try row.string(2)
            return State(
                try row.string(0) + row.string(1), settled: before.map { (version, $0) }, seen: asked)
        }
        guard let state = found?.first else { return nil }
        known = state
        return state
    }
}
