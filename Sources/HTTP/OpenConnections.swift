// SPDX-License-Identifier: Apache-2.0
// How many connections there are, in all and of each client, and the rule for one more.

import Synchronization

/// The open connections of all loops.
final class OpenConnections: Sendable {
    enum Admission {
        case admitted
        /// To be told why, and closed.
        case refused
        /// To be closed without a word: too many are being told already.
        case full
    }

    private let count = Atomic<Int>(0)
    private let limit: Int
    /// How many may be told why they are refused at the same time; beyond it they are closed without a word.
    private let refusalRoom: Int
    private let perAddress: Int
    /// Connections of each client, by ``SocketAddress/client``.
    private let clients = Mutex<[SocketAddress: Int]>([:])

    init(limit: Int, perAddress: Int) {
        self.limit = limit
        self.perAddress = perAddress
        refusalRoom = 16 + limit / 16
    }

    var current: Int { count.load(ordering: .relaxed) }

    /// Counts one more, unless it is `full`; each other answer must be followed by ``leave()``.
    func admit() -> Admission {
        let now = count.add(1, ordering: .relaxed).newValue
        if now <= limit { return .admitted }
        if now <= limit + refusalRoom { return .refused }
        leave()
        return .full
    }

    func leave() { count.subtract(1, ordering: .relaxed) }

    /// Counts one more of `client`; false, and not counted, if that is too many.
    func admit(_ client: SocketAddress) -> Bool {
        clients.withLock { clients in
            let count = clients[client.client, default: 0]
            guard count < perAddress else { return false }
            clients[client.client] = count + 1
            return true
        }
    }

    /// One that was admitted is gone.
    func leave(_ client: SocketAddress) {
        clients.withLock { clients in
            let left = clients[client.client, default: 1] - 1
            clients[client.client] = left > 0 ? left : nil
        }
    }

    /// Clients that have a connection.
    var clientCount: Int { clients.withLock { $0.count } }
}
