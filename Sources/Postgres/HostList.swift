// SPDX-License-Identifier: Apache-2.0

import Glibc

/// The hosts of a connection string one by one, in the order in which they are to be tried (PostgreSQL 15 docs, 34.1.1.3).
struct HostList {
    /// One host to try.
    struct Attempt {
        /// For `PQconnectStartParams`.
        var parameters: [(keyword: String, value: String)]
        /// How many are left to try, with this one.
        var remaining: Int
    }

    private static let keywords: Set = ["host", "hostaddr", "port"]
    private static let attributes = "target_session_attrs"

    private let shared: [(keyword: String, value: String)]
    private var waiting: [[(keyword: String, value: String)]] = []
    /// With prefer-standby: hosts that are there and no standbys, which will do where there is none.
    private var secondBest: [[(keyword: String, value: String)]] = []
    private var current: [(keyword: String, value: String)]?
    private let prefersStandby: Bool
    private var isSecondRound = false

    /// - Parameter parameters: with hosts, addresses and ports as lists with commas, as libpq takes them.
    init(_ parameters: [(keyword: String, value: String)]) {
        func list(_ keyword: String) -> [String] {
            parameters.first { $0.keyword == keyword }.map {
                $0.value.split(separator: ",", omittingEmptySubsequences: false).map { String($0) }
            } ?? []
        }
        let (hosts, addresses, ports) = (list("host"), list("hostaddr"), list("port"))
        let count = max(hosts.count, addresses.count)
        if count <= 1 {
            // One, or what libpq finds in its environment.
            (shared, waiting, prefersStandby) = (parameters, [[]], false)
            return
        }
        for index in 0..<count {
            var host: [(keyword: String, value: String)] = []
            if index < hosts.count { host.append(("host", hosts[index])) }
            if index < addresses.count { host.append(("hostaddr", addresses[index])) }
            if !ports.isEmpty { host.append(("port", ports[ports.count == 1 ? 0 : min(index, ports.count - 1)])) }
            waiting.append(host)
        }
        let wanted =
            parameters.first { $0.keyword == Self.attributes }?.value
            ?? getenv("PGTARGETSESSIONATTRS").map { String(cString: $0) }
        let prefersStandby = wanted == "prefer-standby"
        self.prefersStandby = prefersStandby
        shared = parameters.filter {
            !Self.keywords.contains($0.keyword) && !(prefersStandby && $0.keyword == Self.attributes)
        }
    }

    /// The next host to try; nil when all have been.
    mutating func next() -> Attempt? {
        if waiting.isEmpty && !isSecondRound {
            (waiting, secondBest) = (secondBest, [])
            isSecondRound = true
        }
        guard !waiting.isEmpty else { return nil }
        let remaining = waiting.count + secondBest.count
        let host = waiting.removeFirst()
        current = host
        let attributes = prefersStandby ? [(keyword: Self.attributes, value: isSecondRound ? "any" : "standby")] : []
        return Attempt(parameters: shared + host + attributes, remaining: remaining)
    }

    /// Takes note of why the host given last was not taken.
    mutating func note(_ failure: PostgresError) {
        guard prefersStandby, !isSecondRound, let current, failure.message.contains("not in hot standby mode") else {
            return
        }
        secondBest.append(current)
    }
}
