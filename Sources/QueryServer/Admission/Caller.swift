// SPDX-License-Identifier: Apache-2.0
// Who a request comes from: the one place that decides it.

import HTTP

/// Whose work a statement is: what limits and fairness count by, and what the list of running queries shows.
///
/// It is the key it has shown; without one the address of the other side together with the user it says it is (Basic's
/// user, `X-Trino-User`, `X-Presto-User`). The name is believed only to tell the users behind one address apart,
/// Superset's among them: it gives no rights.
struct Caller: Sendable, Hashable {
    /// The address, without its port.
    private let peer: SocketAddress
    /// The user that the client says it is.
    let user: String?
    /// The key that it has shown.
    let key: KeyIdentity?
    /// What is allowed to it; no part of who it is.
    var limits: CallerLimits

    init(peer: SocketAddress, user: String?, key: KeyIdentity? = nil, limits: CallerLimits = CallerLimits()) {
        var peer = peer
        peer.port = 0
        self.peer = peer
        self.user = user
        self.key = key
        self.limits = limits
    }

    /// The client of a request.
    init(_ request: Request) {
        let key = request.identity as? KeyIdentity
        self.init(
            peer: request.peer, user: Self.user(request.head), key: key, limits: key?.grant.limits ?? CallerLimits())
    }

    static func == (a: Caller, b: Caller) -> Bool {
        if a.key != nil || b.key != nil { return a.key?.id == b.key?.id }
        return a.peer == b.peer && a.user == b.user
    }

    func hash(into hasher: inout Hasher) {
        if let key { return hasher.combine(key.id) }
        hasher.combine(peer)
        hasher.combine(user)
    }

    /// Whether it may see and stop what `other` runs: its own, and everything for administrators. Who has no key comes
    /// this far only where nobody needs one, and may too.
    func maySee(_ other: Caller) -> Bool { key.map { $0.isAdmin || self == other } ?? true }

    /// The address as text.
    var address: String { peer.hostDescription }

    /// Longer names are cut: they are kept for each query that runs or waits.
    private static let longestName = 128

    private static func user(_ head: RequestHead) -> String? {
        let name = head["x-trino-user"] ?? head["x-presto-user"] ?? head["authorization"].flatMap(basicUser)
        return name.flatMap { $0.isEmpty ? nil : String($0.prefix(longestName)) }
    }

    /// The user of `Basic` credentials. What cannot be read is no user.
    private static func basicUser(_ field: String) -> String? {
        if case .basic(let user, _) = Authorization(field) { user } else { nil }
    }
}

/// What one client may do, where it differs from what everybody may; nil for the server's own limit.
struct CallerLimits: Sendable, Equatable {
    /// Statements that run at once.
    var concurrency: Int?
    /// Rows of one result.
    var rows: Int?
    /// Bytes of one result.
    var bytes: Int?
    /// The longest time of one statement.
    var timeout: Duration?

    init(concurrency: Int? = nil, rows: Int? = nil, bytes: Int? = nil, timeout: Duration? = nil) {
        self.concurrency = concurrency
        self.rows = rows
        self.bytes = bytes
        self.timeout = timeout
    }
}
