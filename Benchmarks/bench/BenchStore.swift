// SPDX-License-Identifier: Apache-2.0

import EventLoop
import Glibc
import Logging
import Postgres
import Store

/// A private PostgreSQL in a temporary folder, with fresh copies of the migrated database.
struct BenchStore {
    let folder: String
    let loop: EventLoop
    private let postgres: PrivatePostgres

    init() async throws {
        var template = Array("/tmp/tapedeck-bench-XXXXXX".utf8CString)
        guard template.withUnsafeMutableBufferPointer({ mkdtemp($0.baseAddress!) }) != nil else {
            throw SystemError(call: "mkdtemp")
        }
        folder = template.withUnsafeBufferPointer { String(cString: $0.baseAddress!) }
        let loop = try EventLoop(name: "bench")
        loop.start()
        self.loop = loop
        var logger = Logger(label: "bench", factory: { StreamLogHandler.standardError(label: $0) })
        logger.logLevel = .warning
        let postgres = try await PrivatePostgres.start(directory: folder + "/postgres", port: 0, logger: logger)
        self.postgres = postgres
        let prepare = Task(executorPreference: loop) {
            try await postgres.prepare { settings throws(PostgresError) in
                try await PostgresConnection.connect(settings, on: loop)
            }
        }
        _ = try await prepare.value
    }

    /// Makes database `name` anew; returns its URI.
    func database(_ name: String) async throws -> String {
        let admin = postgres.adminURL
        let loop = self.loop
        let make = Task(executorPreference: loop) {
            let connection = try await PostgresConnection.connect(ConnectionSettings(admin), on: loop)
            defer { connection.close() }
            try await connection.query("DROP DATABASE IF EXISTS \(name) WITH (FORCE)")
            try await connection.query(
                "CREATE DATABASE \(name) TEMPLATE tapedeck OWNER tapedeck_writer", deadline: .now() + .seconds(60))
            // So that nobody pays for what the one before him left to be written.
            try await connection.query("CHECKPOINT", deadline: .now() + .seconds(300))
        }
        try await make.value
        return String(postgres.localWriterURL.dropLast("tapedeck".count)) + name
    }

    /// The URI that the query server has, of the database that has all settings of a real one.
    var readerURL: String { postgres.localServerURL }

    /// The writer's, of the same.
    var writerURL: String { postgres.localWriterURL }

    /// What makes programs of PostgreSQL connect as the reader, over the Unix socket: no password on a command line.
    var readerEnvironment: [String: String] { environment(readerURL) }

    /// The same over TCP, as clients of HTTP come.
    var readerEnvironmentTCP: [String: String] { environment(postgres.readerURL) }

    private func environment(_ readerURL: String) -> [String: String] {
        let settings = try? ConnectionSettings(readerURL)
        let password = readerURL.split(separator: ":").dropFirst(2).first?.split(separator: "@").first ?? ""
        return [
            "PGHOST": settings?.host ?? "", "PGPORT": settings?.port ?? "", "PGUSER": settings?.user ?? "",
            "PGPASSWORD": String(password), "PGDATABASE": "tapedeck",
        ]
    }

    /// The path of a program of PostgreSQL.
    func program(_ name: String) -> String { "\(postgres.binaries)/\(name)" }

    /// Runs SQL as the writer, in the database `tapedeck`.
    func write(_ sql: String) async throws {
        let (url, loop) = (postgres.localWriterURL, loop)
        let work = Task(executorPreference: loop) {
            let connection = try await PostgresConnection.connect(ConnectionSettings(url), on: loop)
            defer { connection.close() }
            try await connection.script(sql, deadline: .now() + .seconds(600))
        }
        try await work.value
    }

    /// The latest trades of 100 symbols, `S1` to `S100`.
    func fillLatest() async throws {
        try await write(
            """
            insert into market.latest (symbol, ts, source, trade_id, price, size, previous_ts, previous_source,
                previous_trade_id, previous_price)
            select 'S' || g, timestamptz '2026-01-01Z', 'bench', g, 100 + g / 10.0, 0.5, '2026-01-01Z', 'bench', 1, 99.5
            from generate_series(1, 100) g;
            """)
        try await write("vacuum analyze market.latest")
    }

    /// A day of 1 m bars of the same symbols.
    func fillBars() async throws {
        try await write(
            """
            insert into ops.bar_state (symbol, timeframe, ts, open, high, low, close, volume, notional, trade_count,
                open_ts, open_id, open_source, close_ts, close_id, close_source)
            select 'S' || s, '1m', t, 100, 101, 99, 100.5, 12.5, 1250, 25, t, 1, 'bench', t, 25, 'bench'
            from generate_series(1, 100) s,
                generate_series(timestamptz '2026-01-01Z', '2026-01-01 23:59Z', '1 min') t
            """)
        try await write("vacuum analyze ops.bar_state")
    }

    /// `rows` trades of 100 symbols on one day.
    func fillTrades(_ rows: Int) async throws {
        try await write(
            """
            select ops.ensure_trade_partitions(array['2026-01-05']::date[]);
            insert into market.trades (symbol, ts, source, trade_id, price, size)
            select 'SYM' || g % 100, timestamptz '2026-01-05Z' + g * interval '50 ms', 'bench', g,
                100 + (g::bigint * 7919 % 100000) / 1000.0, (g % 1000) / 8.0
            from generate_series(1, \(rows)) g;
            """)
        try await write("vacuum analyze market.trades")
    }

    /// Stops the server and removes the folder.
    func close() {
        postgres.stop()
        var pid = pid_t()
        var arguments: [UnsafeMutablePointer<CChar>?] = []
        for argument in ["rm", "-rf", folder] { arguments.append(strdup(argument)) }
        arguments.append(nil)
        if posix_spawnp(&pid, "rm", nil, nil, &arguments, environ) == 0 {
            var status: CInt = 0
            waitpid(pid, &status, 0)
        }
    }
}

/// Peak memory of this process, in MiB.
func peakMemory() -> Int {
    var usage = rusage()
    getrusage(RUSAGE_SELF.rawValue, &usage)
    return usage.ru_maxrss / 1024
}

/// The middle of some figures.
func median(_ values: [Double]) -> Double { values.sorted()[values.count / 2] }

/// `value` as an integer, to the right of `width` characters.
func column(_ value: Double, _ width: Int) -> String {
    let digits = String(Int(value))
    return String(repeating: " ", count: max(0, width - digits.count)) + digits
}

/// `value` with two digits after the point.
func twoDigits(_ value: Double) -> String {
    if !value.isFinite { return "-" }
    let hundredths = Int((value * 100).rounded())
    return "\(hundredths / 100).\(hundredths % 100 < 10 ? "0" : "")\(hundredths % 100)"
}

/// What a process hands to those it starts; here, because another file's imports make the name ambiguous.
var inheritedEnvironment: UnsafeMutablePointer<UnsafeMutablePointer<CChar>?>? { environ }
