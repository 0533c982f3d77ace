// SPDX-License-Identifier: Apache-2.0

import CLinux
import EventLoop
import Glibc
import Postgres
import Synchronization
import Testing

/// A PostgreSQL of the tests' own: in a temporary directory, on a Unix socket there and on a free loopback port.
///
/// A shell stands between us and it: when our end of the pipe to its standard input closes, be it because the test
/// process crashed, the shell stops the server and removes the directory.
final class TestServer: Sendable {
    /// One for all tests, started on first use.
    static let shared: Result<TestServer, any Error> = Result { try TestServer() }

    let directory: String
    let port: UInt16

    /// The URI for the superuser, who needs no password on the Unix socket.
    var uri: String { "postgresql://postgres@/postgres?host=\(directory)&port=\(port)" }

    /// The URI over TCP, where the server wants a password.
    func tcpURI(user: String, password: String) -> String {
        "postgresql://\(user):\(password)@127.0.0.1:\(port)/postgres?sslmode=disable"
    }

    struct Failure: Error, CustomStringConvertible {
        let description: String
    }

    private init() throws {
        let binaries = try Self.findBinaries()
        var template = Array("/tmp/tapedeck-pg-XXXXXX".utf8CString)
        guard mkdtemp(&template) != nil else { throw SystemError(call: "mkdtemp") }
        directory = String(decoding: template.dropLast().map(UInt8.init(bitPattern:)), as: UTF8.self)
        port = try Self.freePort()
        var asServerUser = ""
        if geteuid() == 0 {
            // The server refuses to run as root; the directory must belong to who runs it.
            asServerUser = "setpriv --reuid=postgres --regid=postgres --init-groups "
            try Self.shell("chown postgres:postgres \(directory) && chmod 755 \(directory)")
        }
        let data = "\(directory)/data"
        try Self.shell(
            """
            cd \(directory) && \(asServerUser)\(binaries)/initdb -D \(data) -U postgres -E UTF8 --locale=C --no-sync \
            --auth-local=trust --auth-host=scram-sha-256 >\(directory)/initdb.log 2>&1
            """)
        try Self.spawnGuarded(
            """
            cd \(directory)
            \(asServerUser)\(binaries)/postgres -D \(data) -k \(directory) -p \(port) -c listen_addresses=127.0.0.1 \
              -c fsync=off -c synchronous_commit=off -c full_page_writes=off -c max_connections=100 \
              >\(directory)/server.log 2>&1 </dev/null &
            server=$!
            cat >/dev/null
            kill -INT $server
            wait $server
            rm -rf \(directory)
            """)
        try Self.shell(
            "for i in $(seq 200); do \(binaries)/pg_isready -q -h \(directory) -p \(port) && exit 0; sleep 0.05; done; exit 1"
        )
    }

    private static func findBinaries() throws -> String {
        var candidates: [String] = []
        if let pipe = popen(
            "pg_config --bindir 2>/dev/null; ls -d /usr/lib/postgresql/*/bin 2>/dev/null | sort -rV", "r")
        {
            defer { pclose(pipe) }
            var line = [CChar](repeating: 0, count: 4096)
            while fgets(&line, CInt(line.count), pipe) != nil {
                let bytes = line.prefix { $0 != 0 && $0 != 10 }.map(UInt8.init(bitPattern:))
                candidates.append(String(decoding: bytes, as: UTF8.self))
            }
        }
        for candidate in candidates where access("\(candidate)/initdb", X_OK) == 0 { return candidate }
        throw Failure(description: "no PostgreSQL server found: install postgresql-15")
    }

    private static func freePort() throws -> UInt16 {
        let descriptor = socket(AF_INET, CInt(SOCK_STREAM.rawValue) | CInt(SOCK_CLOEXEC.rawValue), 0)
        if descriptor < 0 { throw SystemError(call: "socket") }
        defer { close(descriptor) }
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_addr.s_addr = UInt32(0x7F00_0001).bigEndian
        var length = socklen_t(MemoryLayout<sockaddr_in>.size)
        return try withUnsafeMutableBytes(of: &address) { bytes in
            let pointer = bytes.baseAddress!.assumingMemoryBound(to: sockaddr.self)
            if bind(descriptor, pointer, length) != 0 { throw SystemError(call: "bind") }
            if getsockname(descriptor, pointer, &length) != 0 { throw SystemError(call: "getsockname") }
            return UInt16(bigEndian: bytes.loadUnaligned(fromByteOffset: 2, as: UInt16.self))
        }
    }

    static func shell(_ script: String) throws {
        let status = system("( \(script)\n)")
        if status != 0 { throw Failure(description: "status \(status) of: \(script)") }
    }

    /// Runs a script whose standard input ends when this process does.
    private static func spawnGuarded(_ script: String) throws {
        var ends: [CInt] = [0, 0]
        // The write end is never closed here, and no child inherits it.
        if pipe2(&ends, O_CLOEXEC) != 0 { throw SystemError(call: "pipe2") }
        var actions = posix_spawn_file_actions_t()
        posix_spawn_file_actions_init(&actions)
        defer { posix_spawn_file_actions_destroy(&actions) }
        posix_spawn_file_actions_adddup2(&actions, ends[0], 0)
        // The server must not hold our output open: whoever reads it waits for its end.
        posix_spawn_file_actions_addopen(&actions, 1, "/dev/null", O_WRONLY, 0)
        posix_spawn_file_actions_addopen(&actions, 2, "/dev/null", O_WRONLY, 0)
        var attributes = posix_spawnattr_t()
        posix_spawnattr_init(&attributes)
        defer { posix_spawnattr_destroy(&attributes) }
        // Out of our process group: an interrupt from the terminal is not for the server.
        posix_spawnattr_setflags(&attributes, Int16(POSIX_SPAWN_SETPGROUP))
        var pid = pid_t()
        let words: [String] = ["/bin/sh", "-c", script]
        let arguments: [UnsafeMutablePointer<CChar>?] = words.map { strdup($0) } + [nil]
        let environment = [
            strdup("PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"), strdup("LC_ALL=C"), nil,
        ]
        defer { for string in arguments + environment { free(string) } }
        let failed = posix_spawn(&pid, "/bin/sh", &actions, &attributes, arguments, environment)
        close(ends[0])
        if failed != 0 { throw SystemError(code: failed, call: "posix_spawn") }
    }
}

/// Runs `body` on an event loop of its own, which is stopped afterwards.
func onLoop<T: Sendable>(_ body: @escaping @Sendable (EventLoop) async throws -> T) async throws -> T {
    let loop = try EventLoop(name: "test")
    loop.start()
    defer { loop.stop() }
    return try await Task(executorPreference: loop) { try await body(loop) }.value
}

/// Runs `body` with a connection of its own to the shared server.
func withConnection<T: Sendable>(
    _ body: @escaping @Sendable (PostgresConnection) async throws -> T
) async throws -> T {
    let server = try TestServer.shared.get()
    return try await onLoop { loop in
        let connection = try await PostgresConnection.connect(try ConnectionSettings(server.uri), on: loop)
        defer { connection.close() }
        return try await body(connection)
    }
}

extension PostgresConnection {
    /// The first value of a query's result, as an integer or a string.
    func int(_ sql: String) async throws -> Int { try await query(sql)[0].int(0) }
    func string(_ sql: String) async throws -> String { try await query(sql)[0].string(0) }
}

/// Checks that the connection answers the next query, and the right one.
func expectUsable(_ connection: PostgresConnection, sourceLocation: SourceLocation = #_sourceLocation) async throws {
    let marker = Int(connection.backendPID)
    let answer = try await connection.int("SELECT \(marker)")
    #expect(answer == marker, sourceLocation: sourceLocation)
}

/// The error that `body` throws, which must be a `PostgresError`; records an issue otherwise.
func errorOf<T>(
    sourceLocation: SourceLocation = #_sourceLocation, _ body: () async throws -> T
) async -> PostgresError {
    do {
        _ = try await body()
        Issue.record("no error was thrown", sourceLocation: sourceLocation)
    } catch let error as PostgresError {
        return error
    } catch {
        Issue.record("\(error) was thrown", sourceLocation: sourceLocation)
    }
    return PostgresError(.usage, "(no PostgresError was thrown)")
}

/// Tells another task how far one has come.
final class Flag: Sendable {
    private let value = Atomic(false)
    var isSet: Bool { value.load(ordering: .acquiring) }
    func set() { value.store(true, ordering: .releasing) }
}

/// Kibibytes of memory the process has resident now.
func residentKiB() -> Int {
    guard let file = fopen("/proc/self/statm", "r") else { return 0 }
    defer { fclose(file) }
    var line = [CChar](repeating: 0, count: 256)
    guard fgets(&line, CInt(line.count), file) != nil else { return 0 }
    let text = String(decoding: line.prefix { $0 != 0 }.map(UInt8.init(bitPattern:)), as: UTF8.self)
    return (Int(text.split(separator: " ")[1]) ?? 0) * 4
}
