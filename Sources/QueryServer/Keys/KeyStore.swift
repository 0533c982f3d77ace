// SPDX-License-Identifier: Apache-2.0
// Keys in the store: what the server asks, and what `tapedeck keys` does.

import EventLoop
package import Postgres

/// A key as lists show it: never its secret, which nobody has any more.
package struct StoredKey: Sendable {
    package var id: String
    package var grant: KeyGrant
    /// PostgreSQL's text of the times; nil for never.
    package var createdAt: String
    package var expiresAt: String?
    package var revokedAt: String?
    /// Whether it opens anything now.
    package var isGood: Bool
}

/// Keys in `ops.api_keys`.
package struct KeyStore {
    private let connection: PostgresConnection

    /// How long a server may go on taking a key that was revoked.
    package static let revocationDelay = KeyRing.lifetime

    package init(_ connection: PostgresConnection) { self.connection = connection }

    /// What the key of this hash may, asked as a reader, through a server's gate; nil if there is none that is good.
    static func check(id: String, hash: [UInt8], _ gate: Gate, deadline: MonotonicTime) async throws -> KeyGrant? {
        try await gate.ask(question, [.text(id, as: .text), .bytes(hash)], deadline: deadline) {
            row throws(PostgresError) in try grant(row)
        }.first
    }

    private static let question = Statement(
        name: "check_api_key",
        sql: """
            select name, scopes, expires_at, requests_per_second, max_concurrency, max_rows, max_bytes, max_ms
            from ops.check_api_key($1, $2)
            """)

    /// Keeps what is to be kept of a key.
    package func create(_ key: APIKey, _ grant: KeyGrant) async throws(PostgresError) {
        let limits = grant.limits
        func int(_ value: Int?) -> Parameter { value.map { .int64(Int64($0)) } ?? .null }
        try await connection.query(
            """
            insert into ops.api_keys (key_id, name, secret_hash, scopes, expires_at, requests_per_second, max_concurrency,
                max_rows, max_bytes, max_ms)
            values ($1, $2, $3, $4, $5, $6, $7::bigint::integer, $8, $9, $10)
            """,
            [
                .text(key.id, as: .text), .text(grant.name, as: .text), .bytes(key.hash),
                .textArray(grant.scopes.map(\.rawValue).sorted()), grant.expiresAt.map { .timestamp($0) } ?? .null,
                grant.requestsPerSecond.map { .double($0) } ?? .null, int(limits.concurrency), int(limits.rows),
                int(limits.bytes), int(limits.timeout.map { Int($0.inNanoseconds / 1_000_000) }),
            ])
    }

    /// All keys, newest first.
    package func all() async throws(PostgresError) -> [StoredKey] {
        let rows = try await connection.query(
            """
            select name, scopes, expires_at, requests_per_second, max_concurrency, max_rows, max_bytes, max_ms,
                key_id, created_at::timestamptz(0)::text, expires_at::timestamptz(0)::text,
                revoked_at::timestamptz(0)::text, revoked_at is null and coalesce(expires_at > now(), true)
            from ops.api_keys order by api_keys.created_at desc, key_id
            """)
        return try rows.map { row throws(PostgresError) in
            StoredKey(
                id: try row.string(8), grant: try Self.grant(row), createdAt: try row.string(9),
                expiresAt: try row.stringOrNil(10), revokedAt: try row.stringOrNil(11), isGood: try row.bool(12))
        }
    }

    /// Revokes the key of this id or name; returns its id, or nil if there is none that is not revoked.
    package func revoke(_ idOrName: String) async throws(PostgresError) -> String? {
        let rows = try await connection.query(
            """
            update ops.api_keys set revoked_at = now()
            where revoked_at is null and (key_id = $1 or name = $1) returning key_id
            """, [.text(idOrName, as: .text)])
        return try rows.first.map { row throws(PostgresError) in try row.string(0) }
    }

    private static func grant(_ row: some ColumnAccess) throws(PostgresError) -> KeyGrant {
        KeyGrant(
            name: try row.string(0), scopes: Set(try row.textArray(1).compactMap { $0.flatMap(KeyScope.init) }),
            expiresAt: try row.timestampOrNil(2), requestsPerSecond: try row.doubleOrNil(3),
            concurrency: try row.int64OrNil(4).map { Int($0) }, rows: try row.int64OrNil(5).map { Int($0) },
            bytes: try row.int64OrNil(6).map { Int($0) }, timeout: try row.int64OrNil(7).map { .milliseconds($0) })
    }
}
