// SPDX-License-Identifier: Apache-2.0

import Glibc

/// The account PostgreSQL runs under: ours, or, because it refuses to run as root, an unprivileged one.
///
/// Programs are started through `setpriv` (util-linux, part of every Debian), which also makes the kernel stop them if
/// we die without stopping them ourselves.
struct ServerUser {
    /// Set when we are root: the account to change to.
    private let account: (name: String, uid: uid_t, gid: gid_t)?
    /// Whether the account needs help to reach the data folder.
    private var searchesFolders = false

    init() throws(StoreError) {
        if geteuid() != 0 {
            account = nil
            return
        }
        for name in ["postgres", "nobody"] {
            if let entry = getpwnam(name) {
                account = (name, entry.pointee.pw_uid, entry.pointee.pw_gid)
                return
            }
        }
        throw StoreError(
            "PostgreSQL does not run as root, and there is no user postgres to run it as",
            hint: "adduser --system postgres")
    }

    /// Makes the account the owner of `path`, if it is not ours.
    func own(_ path: String) throws(StoreError) {
        guard let account else { return }
        if chown(path, account.uid, account.gid) != 0 {
            throw StoreError("cannot give \(path) to user \(account.name): \(String(cString: strerror(errno)))")
        }
    }

    /// Finds out whether the account can enter `folder`, which it owns but which may lie below a folder that only root
    /// may enter (a home or a temporary folder with mode 0700). If not, its programs get the one capability that lets
    /// them search folders (CAP_DAC_READ_SEARCH); files of others stay closed to writing.
    mutating func reach(_ folder: String) throws(StoreError) {
        guard let account else { return }
        if try enters(folder) { return }
        searchesFolders = true
        if try enters(folder) { return }
        throw StoreError(
            "user \(account.name), as which PostgreSQL must run, cannot enter \(folder)",
            hint: "choose a data folder below one that everybody may enter, as in --data-dir /var/lib/tapedeck")
    }

    private func enters(_ folder: String) throws(StoreError) -> Bool {
        // Not test -x: access(2) looks at the account without its capabilities.
        let test = command(["ls", "-d", folder + "/."])
        return try ChildProcess(test, environment: ["PATH": "/usr/bin:/bin"], output: "/dev/null").wait() == .exited(0)
    }

    /// `arguments` as a command that runs under the account and is interrupted when the thread that starts it dies.
    func command(_ arguments: [String]) -> [String] {
        var prefix = ["setpriv", "--pdeathsig", "INT"]
        if let account {
            prefix += ["--reuid=\(account.uid)", "--regid=\(account.gid)", "--clear-groups"]
            if searchesFolders {
                prefix += ["--inh-caps=+dac_read_search", "--ambient-caps=+dac_read_search"]
            }
        }
        return prefix + arguments
    }
}
