// SPDX-License-Identifier: Apache-2.0

import CLinux
import Glibc
import Store

/// The home of the embedded default: the private PostgreSQL, the log, and the file that tells others how to connect.
final class DataFolder {
    /// The absolute path.
    let path: String
    private var lock: CInt = -1

    struct Failure: Error, CustomStringConvertible {
        var description: String
    }

    /// Opens the folder, making it and those above it if they are missing.
    init(_ path: String) throws {
        var made = ""
        for part in path.split(separator: "/", omittingEmptySubsequences: false) {
            made += made.isEmpty && !path.hasPrefix("/") ? part : "/\(part)"
            if part.isEmpty || part == "." || part == ".." { continue }
            if mkdir(made, 0o755) != 0 && errno != EEXIST {
                throw Failure(description: "cannot make folder \(made): \(String(cString: strerror(errno)))")
            }
        }
        guard let real = realpath(path, nil) else {
            throw Failure(description: "cannot open folder \(path): \(String(cString: strerror(errno)))")
        }
        self.path = String(cString: real)
        free(real)
    }

    deinit { if lock >= 0 { close(lock) } }

    /// Makes this process the one that runs on the folder; false if another does. The lock ends with the process.
    func acquire() throws -> Bool {
        let descriptor = open(path + "/lock", O_RDWR | O_CREAT | O_CLOEXEC, 0o600)
        if descriptor < 0 {
            throw Failure(description: "cannot write to \(path): \(String(cString: strerror(errno)))")
        }
        if flock(descriptor, LOCK_EX | LOCK_NB) != 0 {
            close(descriptor)
            return false
        }
        lock = descriptor
        ftruncate(descriptor, 0)
        let pid = "\(getpid())\n"
        _ = pid.withCString { write(descriptor, $0, strlen($0)) }
        return true
    }

    /// The process that runs on the folder, for messages.
    var owner: String {
        ((try? TextFile.read(path + "/lock")) ?? "").split(separator: "\n").first.map(String.init) ?? "?"
    }

    // MARK: connection.env

    var connectionFile: String { path + "/connection.env" }

    /// Tells other programs how to reach what runs: `. DIR/connection.env`.
    func writeConnections(databaseURL: String, readerURL: String, eventLog: String, listen: String?) throws {
        var lines = [
            "TAPEDECK_DATABASE_URL='\(databaseURL)'", "TAPEDECK_READER_URL='\(readerURL)'",
            "TAPEDECK_EVENT_LOG='\(eventLog)'",
        ]
        if let listen { lines.append("TAPEDECK_LISTEN='\(listen)'") }
        try PrivatePostgres.write(lines.joined(separator: "\n") + "\n", to: connectionFile)
    }

    /// What ``writeConnections(databaseURL:readerURL:eventLog:listen:)`` wrote; nil if nothing runs.
    func readConnections() -> [String: String]? {
        (try? TextFile.read(connectionFile)).flatMap { try? Settings.parseDotEnv($0) }
    }

    func removeConnections() { unlink(connectionFile) }
}
