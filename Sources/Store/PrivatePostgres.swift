// SPDX-License-Identifier: Apache-2.0

import CLinux
import Glibc
package import Logging
import Synchronization

/// A PostgreSQL server of our own: made in the data folder, started and stopped with us, started again if it dies.
///
/// It listens on a Unix socket for us and on a loopback port for everyone's clients; every connection needs a password.
/// Durability is on (`fsync`, `synchronous_commit`, `full_page_writes`, data checksums): after a crash of everything
/// the next start recovers what was committed.
package final class PrivatePostgres: Sendable {
    /// The folder of the server: `data/`, `run/`, its log and the passwords.
    package let directory: String
    /// The folder of the Unix socket.
    package let socketDirectory: String

    /// The folder of PostgreSQL's programs.
    package let binaries: String
    private let user: ServerUser
    private let passwords: Passwords
    private let logger: Logger
    private let wantedPort: Int
    private let state: Mutex<State>

    private struct State {
        var port: Int
        var child: ChildProcess?
        /// Set once it has answered: from then on others know its port.
        var hasAnswered = false
        var stopping = false
        /// Set while the supervising thread lives.
        var supervised = false
    }

    /// The roles the server knows, and their passwords (64 hex digits each).
    struct Passwords {
        var admin: String
        var writer: String
        var reader: String
        var server: String

        /// Their names in the file.
        static let names = ["admin", "writer", "reader", "server"]
    }

    /// Makes the server in `directory` if there is none, and starts it.
    ///
    /// - Parameters:
    ///   - directory: an absolute path; its parent exists.
    ///   - port: the loopback port to listen on; 0 for the one used last time, or a free one.
    package static func start(
        directory: String, port: Int, logger: Logger
    ) async throws(StoreError) -> PrivatePostgres {
        let server = try PrivatePostgres(directory: directory, port: port, logger: logger)
        try server.stopLeftover()
        server.supervise()
        return server
    }

    private init(directory: String, port: Int, logger: Logger) throws(StoreError) {
        self.directory = directory
        self.logger = logger
        binaries = try Self.findBinaries()
        var user = try ServerUser()
        try Self.makeFolder(directory, mode: 0o700)
        try user.own(directory)
        try user.reach(directory)
        self.user = user
        let hasDatabase = access(directory + "/data/PG_VERSION", F_OK) == 0
        passwords = try Self.readPasswords(directory + "/passwords", hasDatabase: hasDatabase)
        socketDirectory = try Self.socketFolder(directory, user)
        wantedPort = port
        state = Mutex(State(port: try Self.choosePort(port, directory + "/port")))
        if !hasDatabase { try initialise() }
    }

    // MARK: Addresses

    /// The loopback port. It is final once ``prepare(_:within:)`` has returned.
    package var port: Int { state.withLock { $0.port } }

    /// The URI of the role that owns the bootstrap database, over the Unix socket.
    package var adminURL: String { adminURL(database: "postgres") }

    func adminURL(database: String) -> String {
        localURL(role: "tapedeck_admin", password: passwords.admin, database: database)
    }
    /// The writer's URI over the Unix socket: the fastest way for this process.
    package var localWriterURL: String {
        localURL(role: "tapedeck_writer", password: passwords.writer, database: "tapedeck")
    }
    /// The query server's URI over the Unix socket: a role with the reader's rights. Whoever connects as the reader may
    /// change the reader's password, but not this one's.
    package var localServerURL: String {
        localURL(role: "tapedeck_server", password: passwords.server, database: "tapedeck")
    }
    /// The writer's URI over loopback, for other programs.
    package var writerURL: String {
        "postgresql://tapedeck_writer:\(passwords.writer)@127.0.0.1:\(port)/tapedeck"
    }
    /// The reader's URI over loopback, for other programs.
    package var readerURL: String {
        "postgresql://tapedeck_reader:\(passwords.reader)@127.0.0.1:\(port)/tapedeck"
    }

    private func localURL(role: String, password: String, database: String) -> String {
        let host = socketDirectory.utf8.map { byte in
            let isPlain =
                (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(byte)
                || (UInt8(ascii: "a")...UInt8(ascii: "z")).contains(byte)
                || (UInt8(ascii: "A")...UInt8(ascii: "Z")).contains(byte) || byte == UInt8(ascii: "-")
            if isPlain { return String(UnicodeScalar(byte)) }
            let hex = String(byte, radix: 16, uppercase: true)
            return "%" + (hex.utf8.count == 1 ? "0" + hex : hex)
        }.joined()
        return "postgresql://\(role):\(password)@\(host):\(port)/\(database)"
    }

    /// SQL that makes the roles and the database, for the migrations to fill; run as the admin, each statement alone.
    package var bootstrapStatements: [String] {
        [
            // A statement that fails is logged, and these hold passwords.
            "SET log_min_error_statement = panic",
            role("tapedeck_writer", passwords.writer), role("tapedeck_reader", passwords.reader),
            role("tapedeck_server", passwords.server), "GRANT tapedeck_reader TO tapedeck_server",
        ]
    }

    private func role(_ name: String, _ password: String) -> String {
        """
        DO $$ BEGIN
            IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = '\(name)') THEN
                CREATE ROLE \(name) LOGIN PASSWORD '\(password)';
            ELSE
                -- Every role may change its own password; ours are in the folder.
                ALTER ROLE \(name) PASSWORD '\(password)';
            END IF;
        END $$
        """
    }

    // MARK: Life

    /// Stops the server: a fast shutdown, and, if that takes too long, an immediate one, from which the next start
    /// recovers. Returns when it is gone.
    package func stop(within limit: Duration = .milliseconds(3500)) {
        let child = state.withLock { state in
            state.stopping = true
            return state.child
        }
        guard let child else { return }
        kill(child.pid, SIGINT)
        if waitUntilGone(limit) { return }
        logger.warning("PostgreSQL is slow to stop; stopping it at once (it will recover at the next start)")
        kill(child.pid, SIGQUIT)
        _ = waitUntilGone(.seconds(1))
    }

    private func waitUntilGone(_ limit: Duration) -> Bool {
        let clock = ContinuousClock()
        let deadline = clock.now + limit
        while clock.now < deadline {
            if !state.withLock({ $0.supervised }) { return true }
            usleep(5000)
        }
        return false
    }

    /// Runs the server on a thread that lives as long as it does: the kernel interrupts the server when the thread that
    /// started it ends.
    private func supervise() {
        state.withLock { $0.supervised = true }
        let retained = Unmanaged.passRetained(self)
        var thread = pthread_t()
        let failed = pthread_create(
            &thread, nil,
            { context in
                let server = Unmanaged<PrivatePostgres>.fromOpaque(context!).takeRetainedValue()
                server.runUntilStopped()
                server.state.withLock { $0.supervised = false }
                return nil
            }, retained.toOpaque())
        precondition(failed == 0, "pthread_create failed")
        pthread_detach(thread)
    }

    private func runUntilStopped() {
        var pause: UInt32 = 100_000
        while true {
            do throws(StoreError) {
                let child = try ChildProcess(
                    user.command(
                        ["prlimit", "--data=\(Self.memoryLimit)", binaries + "/postgres"] + serverArguments),
                    environment: Self.environment, output: directory + "/postgres.log")
                let stopped = state.withLock { state in
                    state.child = child
                    return state.stopping
                }
                if stopped { kill(child.pid, SIGINT) }
                let ending = child.wait()
                if state.withLock({ $0.stopping }) { return }
                logger.error(
                    "PostgreSQL ended by itself; starting it again",
                    metadata: ["ending": "\(ending)", "log": "\(directory)/postgres.log"])
                changePortIfTaken()
            } catch {
                logger.error("\(error)")
            }
            usleep(pause)
            pause = min(pause * 2, 2_000_000)
        }
    }

    /// Between the choice of a port and its use somebody else may have taken it. As long as nobody has been told it,
    /// another will do.
    private func changePortIfTaken() {
        let (port, isKnown) = state.withLock { ($0.port, $0.hasAnswered) }
        guard wantedPort == 0, !isKnown, Self.freePort(port) == nil, let other = Self.freePort(0) else { return }
        state.withLock { $0.port = other }
        try? Self.write("\(other)\n", to: directory + "/port")
    }

    /// Notes that the server has answered on its port.
    func noteAnswer() { state.withLock { $0.hasAnswered = true } }

    /// What one process of the server may have of its own (shared buffers do not count): a query that wants more is
    /// told "out of memory", and the machine stays as it is.
    private static let memoryLimit = 1024 * 1024 * 1024

    private var serverArguments: [String] {
        var arguments = ["-D", directory + "/data", "-p", "\(port)", "-k", socketDirectory, "-h", "127.0.0.1"]
        for (name, value) in [
            ("fsync", "on"), ("synchronous_commit", "on"), ("full_page_writes", "on"),
            ("max_connections", "150"), ("shared_buffers", "256MB"), ("max_wal_size", "4GB"),
            ("checkpoint_timeout", "15min"), ("wal_compression", "on"),
            // A query over every day of the tape locks each day's partition and its indexes.
            ("max_locks_per_transaction", "1024"),
            ("effective_io_concurrency", "16"), ("random_page_cost", "1.1"), ("jit", "off"),
            ("log_line_prefix", "%m [%p] %u "), ("log_checkpoints", "off"), ("timezone", "UTC"),
            ("password_encryption", "scram-sha-256"),
        ] {
            arguments += ["-c", "\(name)=\(value)"]
        }
        let version = (try? Self.read(directory + "/data/PG_VERSION")) ?? ""
        if Self.syncsFileSystems(server: version, kernel: Self.kernelRelease) {
            arguments += ["-c", "recovery_init_sync_method=syncfs"]
        }
        return arguments
    }

    /// Whether a server that recovers may have whole file systems synced, rather than open and sync each of its files, of
    /// which there are several for each day of trades (3000 with the sample tape: 9.5 s, and 0.4 s by `syncfs`, on a disk
    /// that others wrote to).
    ///
    /// PostgreSQL knows `recovery_init_sync_method` since 14. Linux says in `syncfs` that a write has failed since 5.8;
    /// before that, a recovery might take for written what is not.
    ///
    /// - Parameters:
    ///   - server: the major version of PostgreSQL, as in `PG_VERSION`.
    ///   - kernel: the release of Linux, as `uname` tells it.
    static func syncsFileSystems(server: String, kernel: String) -> Bool {
        let numbers = kernel.split(separator: ".").prefix(2).map { Int($0.prefix { $0.isNumber }) ?? 0 }
        guard let major = numbers.first, let minor = numbers.dropFirst().first else { return false }
        return (major, minor) >= (5, 8) && Int(server.prefix { $0.isNumber }) ?? 0 >= 14
    }

    private static var kernelRelease: String {
        var name = utsname()
        guard uname(&name) == 0 else { return "" }
        return withUnsafeBytes(of: &name.release) { bytes in String(decoding: bytes.prefix { $0 != 0 }, as: UTF8.self) }
    }

    private static let environment = ["PATH": "/usr/bin:/bin", "LC_ALL": "C.UTF-8", "TZ": "UTC"]

    /// Stops a server that an earlier process left running on this folder.
    private func stopLeftover() throws(StoreError) {
        guard let pid = leftoverPID() else { return }
        logger.notice("stopping a PostgreSQL that an earlier run left behind", metadata: ["pid": "\(pid)"])
        for signal in [SIGINT, SIGQUIT] {
            kill(pid, signal)
            for _ in 0..<1000 {
                if leftoverPID() == nil { return }
                usleep(10_000)
            }
        }
        throw StoreError(
            "another PostgreSQL (pid \(pid)) runs on \(directory)/data and does not stop",
            hint: "stop it, then start again")
    }

    /// The pid in `postmaster.pid` if such a process runs and is a server of ours.
    private func leftoverPID() -> pid_t? {
        guard let text = try? Self.read(directory + "/data/postmaster.pid"),
            let pid = text.split(separator: "\n").first.flatMap({ pid_t($0) }), pid > 0, kill(pid, 0) == 0,
            let command = try? Self.read("/proc/\(pid)/cmdline"), command.contains(directory + "/data")
        else { return nil }
        return pid
    }

    // MARK: Making the cluster

    private func initialise() throws(StoreError) {
        logger.notice("creating the database", metadata: ["folder": "\(directory)/data"])
        // Made beside its place and renamed, so that an interrupted attempt is not taken for a database.
        let fresh = directory + "/data.new"
        if access(fresh, F_OK) == 0 { try run(["rm", "-rf", fresh]) }
        let passwordFile = directory + "/admin.password"
        try Self.write(passwords.admin + "\n", to: passwordFile)
        try user.own(passwordFile)
        defer { unlink(passwordFile) }
        try run([
            binaries + "/initdb", "-D", fresh, "-U", "tapedeck_admin", "--pwfile", passwordFile,
            "--auth", "scram-sha-256", "--encoding", "UTF8", "--locale", "C.UTF-8", "--data-checksums",
        ])
        if rename(fresh, directory + "/data") != 0 {
            throw StoreError("cannot rename \(fresh): \(String(cString: strerror(errno)))")
        }
    }

    private func run(_ arguments: [String]) throws(StoreError) {
        let log = directory + "/postgres.log"
        let ending = try ChildProcess(user.command(arguments), environment: Self.environment, output: log).wait()
        if ending != .exited(0) {
            let tail = (try? Self.read(log))?.split(separator: "\n").suffix(3).joined(separator: "; ") ?? ""
            throw StoreError("\(arguments[0]) failed (\(ending)): \(tail)", hint: "see \(log)")
        }
    }

    /// The folder of PostgreSQL's programs.
    package static func findBinaries() throws(StoreError) -> String {
        if let chosen = getenv("TAPEDECK_POSTGRES_BIN") { return String(cString: chosen) }
        // Newest first; 15 is what the tests run against.
        for version in (13...20).reversed() {
            let folder = "/usr/lib/postgresql/\(version)/bin"
            if access(folder + "/initdb", X_OK) == 0 && access(folder + "/postgres", X_OK) == 0 { return folder }
        }
        for folder in (getenv("PATH").map { String(cString: $0) } ?? "").split(separator: ":")
        where access("\(folder)/initdb", X_OK) == 0 && access("\(folder)/postgres", X_OK) == 0 {
            return String(folder)
        }
        throw StoreError(
            "PostgreSQL is not installed",
            hint: "apt-get install postgresql-15, or set TAPEDECK_DATABASE_URL to a server elsewhere")
    }

    /// The passwords in a file, which gets those that it lacks: all of them before there is a database, and the query
    /// server's where the database was made before it had a role.
    private static func readPasswords(_ path: String, hasDatabase: Bool) throws(StoreError) -> Passwords {
        var values: [String: String] = [:]
        for line in ((try? read(path)) ?? "").split(separator: "\n") {
            let parts = line.split(separator: "=", maxSplits: 1)
            if parts.count == 2 { values[String(parts[0])] = String(parts[1]) }
        }
        let missing = Passwords.names.filter { values[$0] == nil }
        if missing == ["server"] || !missing.isEmpty && !hasDatabase && access(path, F_OK) != 0 {
            for name in missing { values[name] = randomPassword() }
            try write(Passwords.names.map { "\($0)=\(values[$0]!)\n" }.joined(), to: path)
        }
        guard let admin = values["admin"], let writer = values["writer"], let reader = values["reader"],
            let server = values["server"]
        else {
            throw StoreError(
                "\(path) does not hold the passwords",
                hint: "restore it from a copy; without it the database in that folder cannot be opened")
        }
        return Passwords(admin: admin, writer: writer, reader: reader, server: server)
    }

    /// 256 random bits, as hex digits.
    private static func randomPassword() -> String {
        var generator = SystemRandomNumberGenerator()
        return (0..<4).map { _ in
            let hex = String(generator.next(), radix: 16)
            return String(repeating: "0", count: 16 - hex.utf8.count) + hex
        }.joined()
    }

    /// A folder for the socket whose path fits into a socket address (107 bytes).
    private static func socketFolder(_ directory: String, _ user: ServerUser) throws(StoreError) -> String {
        var folder = directory + "/run"
        if folder.utf8.count > 80 {
            var template = Array("/tmp/tapedeck-XXXXXX".utf8CString)
            guard template.withUnsafeMutableBufferPointer({ mkdtemp($0.baseAddress!) }) != nil else {
                throw StoreError("cannot make a folder for the socket: \(String(cString: strerror(errno)))")
            }
            folder = template.withUnsafeBufferPointer { String(cString: $0.baseAddress!) }
        } else {
            try makeFolder(folder, mode: 0o700)
        }
        try user.own(folder)
        return folder
    }

    /// The wanted port, else the one used last time if it is free, else a free one; remembered for the next time, so that
    /// the addresses given to other programs stay true.
    private static func choosePort(_ wanted: Int, _ file: String) throws(StoreError) -> Int {
        let remembered = (try? read(file)).flatMap { Int($0.prefix { $0.isNumber }) }
        for candidate in [wanted, remembered ?? 15432, 15432, 0] where candidate != 0 || wanted == 0 {
            if let free = freePort(candidate) {
                try write("\(free)\n", to: file)
                return free
            }
            if candidate == wanted && wanted != 0 { break }
        }
        throw StoreError("port \(wanted) on 127.0.0.1 is in use", hint: "choose another, or 0 for a free one")
    }

    private static func freePort(_ port: Int) -> Int? {
        let descriptor = socket(AF_INET, CInt(SOCK_STREAM.rawValue) | CInt(SOCK_CLOEXEC.rawValue), 0)
        guard descriptor >= 0 else { return nil }
        defer { close(descriptor) }
        var reuse: CInt = 1
        setsockopt(descriptor, SOL_SOCKET, SO_REUSEADDR, &reuse, socklen_t(MemoryLayout<CInt>.size))
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_port = in_port_t(UInt16(truncatingIfNeeded: port)).bigEndian
        address.sin_addr.s_addr = UInt32(0x7F00_0001).bigEndian
        var length = socklen_t(MemoryLayout<sockaddr_in>.size)
        return withUnsafeMutablePointer(to: &address) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { generic in
                guard bind(descriptor, generic, length) == 0, getsockname(descriptor, generic, &length) == 0 else {
                    return nil
                }
                return Int(UInt16(bigEndian: pointer.pointee.sin_port))
            }
        }
    }

    // MARK: Files

    static func makeFolder(_ path: String, mode: mode_t) throws(StoreError) {
        if mkdir(path, mode) != 0 && errno != EEXIST {
            throw StoreError("cannot make folder \(path): \(String(cString: strerror(errno)))")
        }
    }

    static func read(_ path: String) throws(StoreError) -> String {
        let descriptor = open(path, O_RDONLY | O_CLOEXEC)
        guard descriptor >= 0 else { throw StoreError("cannot read \(path): \(String(cString: strerror(errno)))") }
        defer { close(descriptor) }
        var bytes: [UInt8] = []
        var chunk = [UInt8](repeating: 0, count: 65536)
        while true {
            let count = Glibc.read(descriptor, &chunk, chunk.count)
            if count <= 0 { break }
            bytes.append(contentsOf: chunk[..<count])
        }
        return String(decoding: bytes, as: UTF8.self)
    }

    /// Writes a file that only its owner may read, whole or not at all.
    package static func write(_ text: String, to path: String) throws(StoreError) {
        let temporary = path + ".new"
        unlink(temporary)
        let descriptor = open(temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0o600)
        guard descriptor >= 0 else { throw StoreError("cannot write \(path): \(String(cString: strerror(errno)))") }
        var text = text
        let written = text.withUTF8 { Glibc.write(descriptor, $0.baseAddress, $0.count) == $0.count }
        let synced = fsync(descriptor) == 0
        close(descriptor)
        guard written, synced, rename(temporary, path) == 0 else {
            throw StoreError("cannot write \(path): \(String(cString: strerror(errno)))")
        }
    }
}
