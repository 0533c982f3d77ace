// SPDX-License-Identifier: Apache-2.0
// How many connections there are, in all and of each client, and the rule for one more.

import Synchronization

/// The open connections of all loops: those that are served, and those that are only told why they are not.
///
/// The two have room of their own: a client that is refused takes no place away from others, however many of its
/// connections it keeps in the middle of being refused.
final class OpenConnections: Sendable {
    /// What a connection takes up, until ``OpenConnections/leave(_:)``.
    struct Place: Sendable {
        fileprivate enum Kind { case served, refused, none }

        fileprivate var kind: Kind
        /// Whose it is; nil while that is not known, or where it does not count.
        fileprivate var client: SocketAddress?
    }

    enum Admission {
        case admitted(Place)
        /// To be told why, and closed.
        case refused(Place, why: String)
        /// To be closed without a word: too many are being told already.
        case full
    }

    /// Connections of one client that are told why at the same time.
    static let refusalsPerClient = 4

    private struct Counts {
        var served = 0
        var refused = 0
        /// Connections of each client, by ``SocketAddress/client``.
        var servedClients: [SocketAddress: Int] = [:]
        var refusedClients: [SocketAddress: Int] = [:]
    }

    private let limit: Int
    private let perAddress: Int
    /// How many may be told why they are refused at the same time; beyond it they are closed without a word.
    private let refusalRoom: Int
    private let counts = Mutex(Counts())

    init(limit: Int, perAddress: Int) {
        self.limit = limit
        self.perAddress = perAddress
        refusalRoom = 16 + limit / 16
    }

    /// Connections that are served or told why they are not.
    var current: Int { counts.withLock { $0.served + $0.refused } }

    /// Counts one more, unless it is `full`; each other answer must be followed by ``leave(_:)``.
    ///
    /// - Parameter client: nil where it is not known yet, or does not count.
    func admit(_ client: SocketAddress?) -> Admission {
        let client = client?.client
        return counts.withLock { admit(client, &$0) }
    }

    /// The client of a connection that was admitted has become known: judges anew, and keeps `place` what the
    /// connection takes up.
    func admit(_ client: SocketAddress, insteadOf place: inout Place) -> Admission {
        let (client, before) = (client.client, place)
        let admission = counts.withLock { counts in
            leave(before, &counts)
            return admit(client, &counts)
        }
        switch admission {
        case .admitted(let new), .refused(let new, _): place = new
        case .full: place = Place(kind: .none)
        }
        return admission
    }

    /// A connection that was counted is gone.
    func leave(_ place: Place) { counts.withLock { leave(place, &$0) } }

    private func admit(_ client: SocketAddress?, _ counts: inout Counts) -> Admission {
        let ofClient = client.map { counts.servedClients[$0, default: 0] } ?? 0
        if counts.served < limit && ofClient < perAddress {
            counts.served += 1
            if let client { counts.servedClients[client] = ofClient + 1 }
            return .admitted(Place(kind: .served, client: client))
        }
        let told = client.map { counts.refusedClients[$0, default: 0] } ?? 0
        if counts.refused >= refusalRoom || told >= Self.refusalsPerClient { return .full }
        counts.refused += 1
        if let client { counts.refusedClients[client] = told + 1 }
        return .refused(
            Place(kind: .refused, client: client),
            why: ofClient < perAddress ? "too many connections" : "too many connections from this address")
    }

    private func leave(_ place: Place, _ counts: inout Counts) {
        func dropped(_ clients: inout [SocketAddress: Int]) {
            guard let client = place.client else { return }
            let left = clients[client, default: 1] - 1
            clients[client] = left > 0 ? left : nil
        }
        switch place.kind {
        case .served:
            counts.served -= 1
            dropped(&counts.servedClients)
        case .refused:
            counts.refused -= 1
            dropped(&counts.refusedClients)
        case .none: break
        }
    }
}
