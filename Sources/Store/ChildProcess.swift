// SPDX-License-Identifier: Apache-2.0

import CLinux
import Glibc

/// A program of the system, started with `posix_spawn`.
struct ChildProcess {
    let pid: pid_t

    /// How a program ended.
    enum Ending: Equatable, CustomStringConvertible {
        case exited(Int32)
        case signalled(Int32)

        var description: String {
            switch self {
            case .exited(let status): "exit status \(status)"
            case .signalled(let signal): "signal \(signal)"
            }
        }
    }

    /// Starts `arguments[0]` with the given environment only, in a session of its own, so that a Ctrl-C at the terminal
    /// reaches us and not it: we stop it in our own time.
    ///
    /// - Parameter output: the file that standard output and error are appended to.
    init(_ arguments: [String], environment: [String: String], output: String) throws(StoreError) {
        var actions = posix_spawn_file_actions_t()
        posix_spawn_file_actions_init(&actions)
        defer { posix_spawn_file_actions_destroy(&actions) }
        posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0)
        posix_spawn_file_actions_addopen(&actions, 1, output, O_WRONLY | O_CREAT | O_APPEND, 0o600)
        posix_spawn_file_actions_adddup2(&actions, 1, 2)
        // Everything above is ours: sockets and files that a child must not hold open.
        posix_spawn_file_actions_addclosefrom_np(&actions, 3)
        // A server must not be started in a folder that its user may not enter.
        posix_spawn_file_actions_addchdir_np(&actions, "/")

        var attributes = posix_spawnattr_t()
        posix_spawnattr_init(&attributes)
        defer { posix_spawnattr_destroy(&attributes) }
        var none = sigset_t()
        sigemptyset(&none)
        var all = sigset_t()
        sigfillset(&all)
        posix_spawnattr_setsigmask(&attributes, &none)
        posix_spawnattr_setsigdefault(&attributes, &all)
        posix_spawnattr_setflags(
            &attributes, Int16(POSIX_SPAWN_SETSID | POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF))

        var arguments: [UnsafeMutablePointer<CChar>?] = arguments.map { strdup($0) } + [nil]
        var variables: [UnsafeMutablePointer<CChar>?] = environment.map { strdup("\($0)=\($1)") } + [nil]
        defer { for pointer in arguments + variables { free(pointer) } }
        var child = pid_t()
        let failed = posix_spawnp(&child, arguments[0]!, &actions, &attributes, &arguments, &variables)
        if failed != 0 {
            throw StoreError("cannot start \(String(cString: arguments[0]!)): \(String(cString: strerror(failed)))")
        }
        pid = child
    }

    /// Waits for the end; blocks the thread.
    func wait() -> Ending {
        var status: CInt = 0
        while waitpid(pid, &status, 0) < 0 && errno == EINTR {}
        let signal = status & 0x7F
        return signal == 0 ? .exited((status >> 8) & 0xFF) : .signalled(signal)
    }
}
