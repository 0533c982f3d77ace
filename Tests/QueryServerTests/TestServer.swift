// SPDX-License-Identifier: Apache-2.0

import CLinux
import EventLoop
import Glibc
import HTTP
import Logging
import Postgres
import QueryServer

/// A PostgreSQL of the tests' own with Tapedeck's schema, and a query server in front of it.
///
/// A shell stands between us and PostgreSQL: when our end of the pipe to its standard input closes, be it because the
/// test process crashed, the shell stops the server and removes the directory.
final class TestServer: Sendable {
    /// One for all tests, started on first use.
    static let shared = Task<TestServer, any Error> { try await TestServer() }

    let directory: String
    let address: SocketAddress
    private let server: QueryServer

    struct Failure: Error, CustomStringConvertible {
        let description: String
    }

    private init() async throws {
        let binaries = try Self.findBinaries()
        var template = Array("/tmp/tapedeck-qs-XXXXXX".utf8CString)
        guard mkdtemp(&template) != nil else { throw SystemError(call: "mkdtemp") }
        directory = String(decoding: template.dropLast().map(UInt8.init(bitPattern:)), as: UTF8.self)
        var asServerUser = ""
        if geteuid() == 0 {
            // PostgreSQL refuses to run as root; the directory must belong to who runs it.
            asServerUser = "setpriv --reuid=postgres --regid=postgres --init-groups "
            try Self.shell("chown postgres:postgres \(directory) && chmod 755 \(directory)")
        }
        try Self.shell(
            "cd \(directory) && \(asServerUser)\(binaries)/initdb -D \(directory)/data -U postgres -E UTF8 --locale=C "
                + "--no-sync --auth=trust >\(directory)/initdb.log 2>&1")
        try Self.spawnGuarded(
            """
            cd \(directory)
            \(asServerUser)\(binaries)/postgres -D \(directory)/data -k \(directory) -p 5432 -c listen_addresses='' \
              -c fsync=off -c max_connections=100 >\(directory)/server.log 2>&1 </dev/null &
            server=$!
            cat >/dev/null
            kill -INT $server
            wait $server
            rm -rf \(directory)
            """)
        let psql = "psql -X -q -v ON_ERROR_STOP=1 -h \(directory) -p 5432"
        let sql = #filePath.split(separator: "/").dropLast(3).map { "/\($0)" }.joined() + "/sql"
        try Self.shell(
            """
            set -e; exec >\(directory)/setup.log 2>&1
            for i in $(seq 200); do \(binaries)/pg_isready -q -h \(directory) -p 5432 && break; sleep 0.05; done
            \(psql) -U postgres postgres -c 'create role tapedeck_writer login createrole' \
              -c 'create role tapedeck_reader login' -c 'create database tapedeck owner tapedeck_writer'
            \(psql) -U tapedeck_writer tapedeck -c 'create schema ops' -c 'create table ops.schema_migrations (
              version integer primary key, name text not null, checksum text not null, applied_at timestamptz default now())'
            for file in \(sql)/0*.sql; do \(psql) -1 -U tapedeck_writer tapedeck -f $file; done
            """)
        (server, address) = try await Self.serve("postgresql://tapedeck_reader@/tapedeck?host=\(directory)&port=5432")
        try write(Self.tape)
    }

    /// How the reader connects.
    var readerURL: String { "postgresql://tapedeck_reader@/tapedeck?host=\(directory)&port=5432" }

    /// Starts a query server of the tests' settings.
    static func serve(
        _ reader: String, configure: (inout QueryServer.Configuration) -> Void = { _ in }
    ) async throws -> (QueryServer, SocketAddress) {
        var logger = Logger(label: "test")
        logger.logLevel = .critical
        var configuration = QueryServer.Configuration(
            listen: try SocketAddress("127.0.0.1:0"), reader: try ConnectionSettings(reader), version: "1.2.3")
        configure(&configuration)
        let server = QueryServer(configuration, logger: logger)
        return (server, try await server.start())
    }

    /// Runs SQL as the writer.
    func write(_ sql: String) throws {
        let escaped = sql.split(separator: "'", omittingEmptySubsequences: false).joined(separator: "'\\''")
        try Self.shell(
            "psql -X -q -v ON_ERROR_STOP=1 -h \(directory) -p 5432 -U tapedeck_writer tapedeck -c '\(escaped)' >/dev/null"
        )
    }

    /// The number that a query of the writer returns.
    func count(_ sql: String) throws -> Int {
        let name = "\(directory)/count.\(UInt64.random(in: .min ... .max))"
        defer { unlink(name) }
        let escaped = sql.split(separator: "'", omittingEmptySubsequences: false).joined(separator: "'\\''")
        try Self.shell(
            "psql -X -q -At -v ON_ERROR_STOP=1 -h \(directory) -p 5432 -U postgres tapedeck -c '\(escaped)' >\(name)")
        guard let file = fopen(name, "r") else { throw SystemError(call: "fopen") }
        defer { fclose(file) }
        var digits = [CChar](repeating: 0, count: 64)
        guard fgets(&digits, CInt(digits.count), file) != nil else { throw Failure(description: "no row: \(sql)") }
        return Int(atoi(digits))
    }

    private static let tape = """
        select ops.ensure_trade_partitions(array['2024-01-01', '2024-01-02']::date[]);
        insert into market.trades (symbol, ts, source, trade_id, price, size, conditions)
        select s, timestamptz '2024-01-01 23:59:00Z' + g * interval '1.5 s', 'test', 9007199254740993 + g, 100 + g, 0.5,
            case when g = 1 then '{1,"a b"}'::text[] else '{}' end
        from generate_series(1, 100) g, unnest(array['BTC', 'ETH']) s;
        insert into market.latest values ('BTC', '2024-01-02 00:01:30Z', 'test', 9007199254741093, 200, 0.5,
            '2024-01-02Z', 'test', 1, 160), ('ETH', '2024-01-02 00:01:30Z', 'test', 5, 200, 0.5, null, null, null, null);
        insert into market.instruments (symbol, name, currency) values ('AAPL', 'Apple Inc.', 'USD');
        insert into ops.bar_state (symbol, timeframe, ts, open, high, low, close, volume, notional, trade_count, open_ts,
            open_id, open_source, close_ts, close_id, close_source)
        select 'BTC', '1m', timestamptz '2024-01-01Z' + g * interval '1 min', g, g + 1, g - 1, g, 2, 2 * g, 1,
            '2024-01-01Z', 1, 't', '2024-01-01Z', 1, 't' from generate_series(1, 10) g;
        """

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
        var pid = pid_t()
        let arguments: [UnsafeMutablePointer<CChar>?] = [strdup("/bin/sh"), strdup("-c"), strdup(script), nil]
        let environment: [UnsafeMutablePointer<CChar>?] = [
            strdup("PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"), strdup("LC_ALL=C"), nil,
        ]
        defer { for string in arguments + environment { free(string) } }
        let failed = posix_spawn(&pid, "/bin/sh", &actions, nil, arguments, environment)
        close(ends[0])
        if failed != 0 { throw SystemError(code: failed, call: "posix_spawn") }
    }
}

/// A reply as it came over the wire.
struct Reply {
    var status = 0
    var reason = ""
    /// Names in lower case.
    var fields: [String: String] = [:]
    /// Fields behind the last chunk, names in lower case.
    var trailer: [String: String] = [:]
    var body: [UInt8] = []
    /// Whether the body came to its proper end.
    var isComplete = true

    var text: String { String(decoding: body, as: UTF8.self) }
}

/// A blocking socket, connected to a server of this machine, that waits 30 s for bytes at most.
///
/// - Parameter receiveBuffer: the kernel's, in bytes; a small one makes a slow client.
func connectedSocket(_ address: SocketAddress, receiveBuffer: CInt? = nil) throws -> CInt {
    let descriptor = socket(AF_INET, CInt(SOCK_STREAM.rawValue) | CInt(SOCK_CLOEXEC.rawValue), 0)
    var timeout = timeval(tv_sec: 30, tv_usec: 0)
    setsockopt(descriptor, SOL_SOCKET, SO_RCVTIMEO, &timeout, socklen_t(MemoryLayout<timeval>.size))
    if var receiveBuffer {
        setsockopt(descriptor, SOL_SOCKET, SO_RCVBUF, &receiveBuffer, socklen_t(MemoryLayout<CInt>.size))
    }
    var target = sockaddr_in()
    target.sin_family = sa_family_t(AF_INET)
    target.sin_port = address.port.bigEndian
    target.sin_addr.s_addr = UInt32(0x7F00_0001).bigEndian
    let connected = withUnsafePointer(to: &target) {
        $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
            connect(descriptor, $0, socklen_t(MemoryLayout<sockaddr_in>.size))
        }
    }
    if connected != 0 {
        close(descriptor)
        throw SystemError(call: "connect")
    }
    return descriptor
}

/// A blocking TCP client for one request.
final class Client {
    private let descriptor: CInt

    init(_ address: SocketAddress) throws { descriptor = try connectedSocket(address) }

    deinit { close(descriptor) }

    func send(_ text: String) throws {
        let bytes = Array(text.utf8)
        if Glibc.send(descriptor, bytes, bytes.count, CInt(MSG_NOSIGNAL)) != bytes.count {
            throw SystemError(call: "send")
        }
    }

    /// The reply to a request with `Connection: close`, whose end is the connection's.
    func reply() throws -> Reply {
        var bytes: [UInt8] = []
        var chunk = [UInt8](repeating: 0, count: 65_536)
        while true {
            let count = recv(descriptor, &chunk, chunk.count, 0)
            if count < 0 && errno == EAGAIN { throw SystemError(call: "recv") }
            if count <= 0 { break }
            bytes.append(contentsOf: chunk[..<count])
        }
        return Self.parse(bytes)
    }

    private static func parse(_ bytes: [UInt8]) -> Reply {
        var reply = Reply()
        var index = 0
        func line() -> String {
            let end = bytes[index...].firstIndex(of: 10) ?? bytes.count
            defer { index = min(end + 1, bytes.count) }
            return String(decoding: bytes[index..<max(index, end - 1)], as: UTF8.self)
        }
        let status = line().split(separator: " ", maxSplits: 2).map(String.init)
        reply.status = status.count > 1 ? Int(status[1]) ?? 0 : 0
        reply.reason = status.count > 2 ? status[2] : ""
        while case let field = line(), let colon = field.firstIndex(of: ":") {
            let (name, value) = (field[..<colon].lowercased(), String(field[field.index(colon, offsetBy: 2)...]))
            reply.fields[name] = reply.fields[name].map { "\($0), \(value)" } ?? value
        }
        guard reply.fields["transfer-encoding"] == "chunked" else {
            reply.body = Array(bytes[index...])
            reply.isComplete = reply.fields["content-length"].flatMap { Int($0) } ?? 0 == reply.body.count
            return reply
        }
        while let size = Int(line(), radix: 16) {
            if size == 0 {
                while case let field = line(), let colon = field.firstIndex(of: ":") {
                    reply.trailer[field[..<colon].lowercased()] = String(field[field.index(colon, offsetBy: 2)...])
                }
                return reply
            }
            if index + size > bytes.count { break }
            reply.body += bytes[index..<(index + size)]
            index += size + 2
        }
        reply.isComplete = false
        return reply
    }
}

extension SocketAddress {
    /// One request on a connection of its own.
    func request(
        _ target: String, method: String = "GET", headers: [String] = [], body: String? = nil
    ) throws -> Reply {
        let client = try Client(self)
        var lines = ["\(method) \(target) HTTP/1.1", "Host: test", "Connection: close"] + headers
        if let body { lines.append("Content-Length: \(body.utf8.count)") }
        try client.send(lines.joined(separator: "\r\n") + "\r\n\r\n" + (body ?? ""))
        return try client.reply()
    }

    /// One query by POST, whose parameters are in `options`.
    func sql(_ query: String, _ options: String = "") throws -> Reply {
        try request(
            "/api/v1/sql\(options.isEmpty ? "" : "?" + options)", method: "POST",
            headers: ["Content-Type: application/sql"],
            body: query)
    }
}
