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
        try await prepare.value
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
