// SPDX-License-Identifier: Apache-2.0
// Who a request comes from: the one place that decides it.

import HTTP

/// Whose work a statement is: what limits and fairness count by, and what the list of running queries shows.
///
/// Today it is the address of the other side together with the user it says it is (Basic's user, `X-Trino-User`,
/// `X-Presto-User`). The name is believed only to tell the users behind one address apart, Superset's among them: it
/// gives no rights.
struct Caller: Sendable, Hashable {
    /// The address, without its port.
    private let peer: SocketAddress
    /// The user that the client says it is.
    let user: String?
    /// What is allowed to it; no part of who it is.
    var limits: CallerLimits

    init(peer: SocketAddress, user: String?, limits: CallerLimits = CallerLimits()) {
        var peer = peer
        peer.port = 0
        self.peer = peer
        self.user = user
        self.limits = limits
    }

    /// The client of a request.
    init(_ request: Request) { self.init(peer: request.peer, user: Self.user(request.head)) }

    static func == (a: Caller, b: Caller) -> Bool { a.peer == b.peer && a.user == b.user }

    func hash(into hasher: inout Hasher) {
        hasher.combine(peer)
        hasher.combine(user)
    }

    /// The address as text.
    var address: String { peer.hostDescription }

    /// Longer names are cut: they are kept for each query that runs or waits.
    private static let longestName = 128

    private static func user(_ head: RequestHead) -> String? {
        let name = head["x-trino-user"] ?? head["x-presto-user"] ?? head["authorization"].flatMap(basicUser)
        return name.flatMap { $0.isEmpty ? nil : String($0.prefix(longestName)) }
    }

    /// The user of `Basic` credentials (RFC 7617 §2). What cannot be read is no user.
    private static func basicUser(_ credentials: String) -> String? {
        let parts = credentials.split(separator: " ", maxSplits: 1)
        guard parts.count == 2, parts[0].lowercased() == "basic" else { return nil }
        let url = parts[1].map { $0 == "+" ? "-" : $0 == "/" ? "_" : $0 }.filter { $0 != "=" && $0 != " " }
        guard let bytes = Base64URL.decode(String(url)) else { return nil }
        return String(decoding: bytes.prefix { $0 != UInt8(ascii: ":") }, as: UTF8.self)
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
