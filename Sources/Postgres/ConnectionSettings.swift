// SPDX-License-Identifier: Apache-2.0

import CLibPQ

/// Where a server is and how to talk to it. Holds the password and never shows it: no description, dump or
/// interpolation of this value contains it.
package struct ConnectionSettings: Sendable {
    /// What the server lists in `pg_stat_activity.application_name`.
    package var applicationName: String
    /// Longest time for name lookup, connecting, TLS and authentication together.
    package var connectTimeout: Duration
    /// Longest time for an operation whose caller gives no deadline.
    package var operationTimeout: Duration
    /// Longest time to wait, after a deadline has passed, for the server to act on the cancel request; then the
    /// connection is closed.
    package var drainTimeout: Duration
    /// Session defaults, sent at connect so that `RESET ALL` and `DISCARD ALL` come back to them.
    package var sessionParameters: [String: String]
    /// Most statements kept prepared on one connection, those of batches aside; the least recently used is deallocated.
    package var preparedStatementLimit: Int
    /// Most that batches keep prepared beside them. One for which there is no room runs unprepared, unless another has
    /// gone out of use.
    package var batchedStatementLimit: Int
    /// Most bytes of one row of a stream, as they come from the server; nil for any. A row is held whole, several times
    /// over.
    package var rowBytesLimit: Int?

    /// The keywords of the connection string (PostgreSQL 15 docs, 34.1.2).
    private(set) var options: [String: String]

    /// Reads a libpq connection string: a URI (`postgresql://user:password@host:port/database?sslmode=…`, several
    /// hosts allowed) or `keyword=value` pairs. What it leaves open comes from libpq's environment (`PGHOST`, …).
    ///
    /// Throws kind `.usage` if libpq does not understand it; the error does not quote it.
    package init(
        _ connectionString: String,
        applicationName: String = "tapedeck",
        connectTimeout: Duration = .seconds(10),
        operationTimeout: Duration = .seconds(30),
        sessionParameters: [String: String] = ["TimeZone": "UTC", "DateStyle": "ISO"]
    ) throws(PostgresError) {
        self.applicationName = applicationName
        self.connectTimeout = connectTimeout
        self.operationTimeout = operationTimeout
        self.sessionParameters = sessionParameters
        drainTimeout = .seconds(5)
        preparedStatementLimit = 256
        batchedStatementLimit = 256
        options = try Self.parse(connectionString)
    }

    /// The host names or socket directories, as given; nil leaves it to libpq.
    package var host: String? { options["host"] ?? options["hostaddr"] }
    /// The ports, as given.
    package var port: String? { options["port"] }
    /// Whether connections may lead to servers of which one is behind another: several are named, and not only the
    /// primary among them is wanted.
    package var namesSeveralServers: Bool {
        (host ?? "").contains(",") && !["primary", "read-write"].contains(options["target_session_attrs"] ?? "any")
    }
    /// The database's name.
    package var database: String? { options["dbname"] }
    /// The role's name.
    package var user: String? { options["user"] }

    /// The keywords and values for `PQconnectStartParams`.
    func parameters() -> [(keyword: String, value: String)] {
        var merged = Self.defaults
        for (keyword, value) in options { merged[keyword] = value }
        // The fallback name yields to PGAPPNAME and to the connection string.
        merged["fallback_application_name"] = applicationName
        merged["client_encoding"] = "UTF8"
        // libpq does not enforce it in non-blocking mode; ours is the deadline of `connect`.
        merged["connect_timeout"] = nil
        let session = sessionOptions()
        if !session.isEmpty {
            merged["options"] = [options["options"], session].compactMap(\.self).joined(separator: " ")
        }
        return merged.sorted { $0.key < $1.key }.map { ($0.key, $0.value) }
    }

    /// Bounds on a peer that vanished without a FIN (milliseconds, seconds, seconds, probes; docs 34.1.2), and no
    /// Kerberos unless asked for: its libraries block.
    private static let defaults = [
        "tcp_user_timeout": "10000", "keepalives_idle": "30", "keepalives_interval": "10", "keepalives_count": "3",
        "gssencmode": "disable",
    ]

    /// `-c name=value …`, with the escapes of the `options` keyword: backslash before space and backslash.
    private func sessionOptions() -> String {
        sessionParameters.sorted { $0.key < $1.key }.map { name, value in
            var escaped = ""
            for character in value {
                if character == " " || character == "\\" { escaped.append("\\") }
                escaped.append(character)
            }
            return "-c \(name)=\(escaped)"
        }.joined(separator: " ")
    }

    private static func parse(_ text: String) throws(PostgresError) -> [String: String] {
        var message: UnsafeMutablePointer<CChar>?
        guard let list = PQconninfoParse(text, &message) else {
            let said = firstLine(message)
            PQfreemem(message)
            throw PostgresError(
                .usage, "connection string: \(withoutQuotedPart(said))",
                hint: "The form is postgresql://user:password@host:port/database?sslmode=prefer.")
        }
        defer { PQconninfoFree(list) }
        var options: [String: String] = [:]
        var entry = list
        while let keyword = entry.pointee.keyword {
            if let value = entry.pointee.val { options[String(cString: keyword)] = String(cString: value) }
            entry += 1
        }
        return options
    }

    /// libpq quotes the part it stumbled over, which may be the password.
    private static func withoutQuotedPart(_ message: String) -> String {
        guard let first = message.firstIndex(of: "\""), let last = message.lastIndex(of: "\""), first != last
        else { return message }
        return message[..<first] + "\"…\"" + message[message.index(after: last)...]
    }
}

extension ConnectionSettings: CustomStringConvertible, CustomDebugStringConvertible, CustomReflectable {
    package var description: String {
        "\(user ?? "(default user)")@\(host ?? "(default host)"):\(port ?? "5432")/\(database ?? "(default database)")"
    }

    package var debugDescription: String { description }

    /// `dump` and the debugger walk the mirror: it shows what `description` shows.
    package var customMirror: Mirror { Mirror(self, children: ["server": description]) }
}
