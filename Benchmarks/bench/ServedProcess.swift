// SPDX-License-Identifier: Apache-2.0

import CLinux
import EventLoop
import Glibc

/// `tapedeck` as its users have it: the built program, in a process of its own, on a database of the benchmark.
final class ServedProcess {
    let port: UInt16
    private let pid: pid_t

    /// Starts `tapedeck serve`; returns when it answers.
    convenience init(readerURL: String, arguments: [String] = []) throws {
        let port = try Self.freePort()
        try self.init(
            port, ["serve", "--listen", "127.0.0.1:\(port)"] + arguments, ["TAPEDECK_READER_URL": readerURL])
    }

    /// Starts `tapedeck process` on a log; returns when it is ready.
    convenience init(processing log: String, writerURL: String) throws {
        let port = try Self.freePort()
        try self.init(
            port, ["process", "--metrics-listen", "127.0.0.1:\(port)"],
            ["TAPEDECK_DATABASE_URL": writerURL, "TAPEDECK_EVENT_LOG": log])
    }

    /// Starts the `tapedeck` beside this program; returns when it says at `port` that it is ready.
    private init(_ port: UInt16, _ arguments: [String], _ environment: [String: String]) throws {
        self.port = port
        let program =
            CommandLine.arguments[0].split(separator: "/", omittingEmptySubsequences: false).dropLast()
            .joined(separator: "/") + "/tapedeck"
        var words: [UnsafeMutablePointer<CChar>?] =
            ([program] + arguments).map { strdup($0) } + [nil]
        // In the environment, where no process list shows the password.
        for (name, value) in environment { setenv(name, value, 1) }
        defer {
            for name in environment.keys { unsetenv(name) }
            for word in words { free(word) }
        }
        var pid = pid_t()
        var actions = posix_spawn_file_actions_t()
        posix_spawn_file_actions_init(&actions)
        defer { posix_spawn_file_actions_destroy(&actions) }
        posix_spawn_file_actions_addopen(&actions, 1, "/dev/null", O_WRONLY, 0)
        let failed = spawn(&pid, program, &actions, &words)
        if failed != 0 { throw SystemError(code: failed, call: "posix_spawn(\(program)); make build makes it") }
        self.pid = pid
        for _ in 0..<1000 {
            if let load = try? HTTPLoad(port: port, get: "/ready", connections: 1).run(seconds: 0.01),
                !load.latencies.isEmpty
            {
                return
            }
            usleep(10_000)
        }
        stop()
        throw SystemError(code: ETIMEDOUT, call: "tapedeck \(arguments[0])")
    }

    /// The most memory it has had since its start, and what it has now, in MiB.
    var memory: (peak: Int, now: Int) {
        let status = procFile("/proc/\(pid)/status")
        func field(_ name: String) -> Int {
            guard let line = status.split(separator: "\n").first(where: { $0.hasPrefix(name) }) else { return 0 }
            return (Int(line.filter { $0.isNumber }) ?? 0) / 1024
        }
        return (field("VmHWM:"), field("VmRSS:"))
    }

    /// Seconds of processors that it has used since its start.
    var processorTime: Double {
        // After the name in parentheses, utime and stime are the 12th and 13th (proc_pid_stat(5)), in hundredths.
        let fields = procFile("/proc/\(pid)/stat").split(separator: ")").last?.split(separator: " ") ?? []
        return fields.count > 12 ? ((Double(fields[11]) ?? 0) + (Double(fields[12]) ?? 0)) / 100 : 0
    }

    func stop() {
        kill(pid, SIGTERM)
        var status: CInt = 0
        waitpid(pid, &status, 0)
    }

    private static func freePort() throws -> UInt16 {
        let descriptor = socket(AF_INET, CInt(SOCK_STREAM.rawValue), 0)
        defer { close(descriptor) }
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_addr.s_addr = UInt32(0x7F00_0001).bigEndian
        var length = socklen_t(MemoryLayout<sockaddr_in>.size)
        return try withUnsafeMutablePointer(to: &address) { pointer in
            try pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { generic in
                guard bind(descriptor, generic, length) == 0, getsockname(descriptor, generic, &length) == 0 else {
                    throw SystemError(call: "bind")
                }
                return UInt16(bigEndian: pointer.pointee.sin_port)
            }
        }
    }
}

/// A small file of `/proc`, whose size is not known beforehand; empty if it cannot be read.
private func procFile(_ path: String) -> String {
    let descriptor = open(path, O_RDONLY)
    if descriptor < 0 { return "" }
    defer { close(descriptor) }
    var bytes = [UInt8](repeating: 0, count: 16_384)
    let count = read(descriptor, &bytes, bytes.count)
    return String(decoding: bytes[..<max(0, count)], as: UTF8.self)
}

/// Starts a program with no signal blocked, as they are on the threads that run Swift's tasks: pgbench ends by SIGALRM.
private func spawn(
    _ pid: inout pid_t, _ program: String, _ actions: inout posix_spawn_file_actions_t,
    _ words: inout [UnsafeMutablePointer<CChar>?]
) -> CInt {
    var attributes = posix_spawnattr_t()
    posix_spawnattr_init(&attributes)
    defer { posix_spawnattr_destroy(&attributes) }
    var none = sigset_t()
    sigemptyset(&none)
    posix_spawnattr_setsigmask(&attributes, &none)
    posix_spawnattr_setflags(&attributes, Int16(POSIX_SPAWN_SETSIGMASK))
    return posix_spawnp(&pid, program, &actions, &attributes, &words, inheritedEnvironment)
}

/// Runs a program and returns what it prints; its errors go to ours.
func output(of program: String, _ arguments: [String], environment: [String: String] = [:]) throws -> String {
    var ends: [CInt] = [0, 0]
    if pipe(&ends) != 0 { throw SystemError(call: "pipe") }
    for (name, value) in environment { setenv(name, value, 1) }
    defer { for name in environment.keys { unsetenv(name) } }
    var actions = posix_spawn_file_actions_t()
    posix_spawn_file_actions_init(&actions)
    defer { posix_spawn_file_actions_destroy(&actions) }
    posix_spawn_file_actions_adddup2(&actions, ends[1], 1)
    posix_spawn_file_actions_addclose(&actions, ends[0])
    var words: [UnsafeMutablePointer<CChar>?] = ([program] + arguments).map { strdup($0) } + [nil]
    defer { for word in words { free(word) } }
    var pid = pid_t()
    let failed = spawn(&pid, program, &actions, &words)
    close(ends[1])
    defer { close(ends[0]) }
    if failed != 0 { throw SystemError(code: failed, call: "posix_spawn(\(program))") }
    var text: [UInt8] = []
    var chunk = [UInt8](repeating: 0, count: 65_536)
    while case let count = read(ends[0], &chunk, chunk.count), count > 0 { text.append(contentsOf: chunk[..<count]) }
    var status: CInt = 0
    waitpid(pid, &status, 0)
    if status != 0 { throw SystemError(code: EIO, call: "\(program) (status \(status))") }
    return String(decoding: text, as: UTF8.self)
}
