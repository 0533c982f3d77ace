// SPDX-License-Identifier: Apache-2.0

import ArgumentParser
import EventLoop
import Market
import Postgres
import QueryServer

/// `tapedeck keys`: who may ask the query server, and for what.
struct KeysCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "keys", abstract: "Create, list and revoke API keys.",
        discussion: """
            The query server asks for keys with \(Setting.requireKeys.environment)=on. Clients send them as \
            'Authorization: Bearer KEY', as 'X-API-Key: KEY', or as the password of Basic.
            """,
        subcommands: [Create.self, List.self, Revoke.self], defaultSubcommand: List.self)

    /// `tapedeck keys create`.
    struct Create: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            commandName: "create",
            abstract: "Make a key and print it. This is the only time that it is shown: the store has its hash.")

        @OptionGroup var flags: SettingFlags
        @Option(help: "What to call it; no other key that is good may have the name.") var name: String
        @Option(
            name: .customLong("scope"), parsing: .singleValue,
            help: "What it opens: sql, rest, admin; may be given several times, or with commas. Default: sql,rest.")
        var scopes: [String] = []
        @Option(help: "When it ends: a time from now (90d), a date, or RFC 3339; never unless given.")
        var expires: String?
        @Option(help: "Requests a second in the long run.") var rate: Double?
        @Option(help: "Statements that run at once, SQL and lookups each.") var concurrency: Int?
        @Option(help: "Rows of one result; of a REST page too.") var maxRows: Int?
        @Option(help: "Bytes of one result; of a REST reply too.") var maxBytes: Int?
        @Option(help: "The longest time of one statement, as in 10s.") var maxTime: String?
        @Flag(help: "One JSON object, for programs.") var json = false

        func run() async throws {
            let grant = try makeGrant()
            let key = APIKey()
            let access = try StoreAccess(flags, application: "tapedeck keys")
            do {
                try await access.run { connection in try await KeyStore(connection).create(key, grant) }
            } catch let error as PostgresError where error.isUniqueViolation {
                throw ValidationError("there is a key '\(name)' already; revoke it, or choose another name")
            }
            let scopes = grant.scopes.map(\.rawValue).sorted()
            if json {
                print(
                    "{\"key\":\"\(key.text)\",\"key_id\":\"\(key.id)\",\"name\":\(jsonText(name)),\"scopes\":["
                        + scopes.map { "\"\($0)\"" }.joined(separator: ",") + "],\"expires_at\":"
                        + (grant.expiresAt.map { "\"\(Timestamp(microseconds: $0))\"" } ?? "null") + "}")
            } else {
                print(
                    """
                    \(key.text)
                    Key \(key.id) '\(name)' opens \(scopes.joined(separator: ", ")). It is shown this once: keep it.
                    """)
            }
        }

        private func makeGrant() throws -> KeyGrant {
            if name.isEmpty || name.unicodeScalars.count > 100 {
                throw ValidationError("--name has to have 1 to 100 characters")
            }
            var scopes: Set<KeyScope> = []
            for text in self.scopes.flatMap({ $0.split(separator: ",", omittingEmptySubsequences: false) }) {
                guard let scope = KeyScope(rawValue: String(text)) else {
                    let known = KeyScope.allCases.map(\.rawValue).joined(separator: ", ")
                    throw ValidationError("--scope '\(text)' is not known; allowed: \(known)")
                }
                scopes.insert(scope)
            }
            for (option, value) in [
                ("concurrency", concurrency), ("max-rows", maxRows), ("max-bytes", maxBytes),
            ] {
                if let value, value < 1 { throw ValidationError("--\(option) '\(value)' has to be 1 or more") }
            }
            if let concurrency, concurrency > Int(Int32.max) {
                throw ValidationError("--concurrency '\(concurrency)' is out of range; allowed: 1 to \(Int32.max)")
            }
            if let rate, !(rate > 0 && rate.isFinite) { throw ValidationError("--rate '\(rate)' has to be above 0") }
            let timeout = try maxTime.map { text in
                guard let time = Setting.duration(text), time > .zero else {
                    throw ValidationError("--max-time '\(text)' is not a time such as 500ms, 10s, 5m")
                }
                return time
            }
            return KeyGrant(
                name: name, scopes: scopes.isEmpty ? [.sql, .rest] : scopes, expiresAt: try expiry(),
                requestsPerSecond: rate, concurrency: concurrency, rows: maxRows, bytes: maxBytes, timeout: timeout)
        }

        private func expiry() throws -> Int64? {
            guard let expires else { return nil }
            let now = wallClock()
            let end: Timestamp? =
                if let duration = Setting.duration(expires) {
                    Timestamp(microseconds: now.microseconds + duration.inNanoseconds / 1000)
                } else {
                    Timestamp(parsing: expires)
                }
            guard let end else {
                throw ValidationError("--expires '\(expires)' is neither a time such as 90d nor a date")
            }
            if end <= now { throw ValidationError("--expires '\(expires)' is in the past") }
            return end.microseconds
        }
    }

    /// `tapedeck keys list`.
    struct List: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            commandName: "list", abstract: "List the keys, newest first: never their secrets, which nobody has.")

        @OptionGroup var flags: SettingFlags
        @Flag(help: "One JSON array, for programs.") var json = false

        func run() async throws {
            let access = try StoreAccess(flags, application: "tapedeck keys")
            let keys = try await access.run { connection in try await KeyStore(connection).all() }
            if json { return print("[" + keys.map(Self.json).joined(separator: ",\n ") + "]") }
            if keys.isEmpty { return print("There are no keys; 'tapedeck keys create --name NAME' makes one.") }
            for key in keys { print(Self.line(key)) }
        }

        private static func line(_ key: StoredKey) -> String {
            let state = key.revokedAt.map { "revoked \($0)" } ?? (key.isGood ? "good" : "expired")
            var parts = [key.id, state, key.grant.scopes.map(\.rawValue).sorted().joined(separator: ",")]
            parts.append("made \(key.createdAt)")
            if key.revokedAt == nil, let end = key.expiresAt { parts.append("expires \(end)") }
            parts += key.grant.limitsText
            return parts.joined(separator: "  ") + "  \(key.grant.name)"
        }

        private static func json(_ key: StoredKey) -> String {
            func text(_ value: String?) -> String { value.map { jsonText($0) } ?? "null" }
            let scopes = key.grant.scopes.map { "\"\($0.rawValue)\"" }.sorted().joined(separator: ",")
            return "{\"key_id\":\"\(key.id)\",\"name\":\(text(key.grant.name)),\"scopes\":[\(scopes)],"
                + "\"good\":\(key.isGood),\"created_at\":\(text(key.createdAt)),\"expires_at\":\(text(key.expiresAt)),"
                + "\"revoked_at\":\(text(key.revokedAt)),\"limits\":\(text(key.grant.limitsText.joined(separator: ", ")))}"
        }
    }

    /// `tapedeck keys revoke KEY`.
    struct Revoke: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            commandName: "revoke",
            abstract:
                "Revoke a key: servers refuse it from \(Setting.text(of: KeyStore.revocationDelay)) later at the latest."
        )

        @OptionGroup var flags: SettingFlags
        @Argument(help: "The key's id or its name.") var key: String

        func run() async throws {
            let access = try StoreAccess(flags, application: "tapedeck keys")
            let key = key
            guard let id = try await access.run({ connection in try await KeyStore(connection).revoke(key) }) else {
                throw ValidationError("there is no key '\(key)' that is not revoked; 'tapedeck keys list' lists them")
            }
            print(
                "Key \(id) is revoked; servers refuse it from \(Setting.text(of: KeyStore.revocationDelay)) later at the latest."
            )
        }
    }
}
