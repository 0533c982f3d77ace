// SPDX-License-Identifier: Apache-2.0

import EventLoop

extension PostgresConnection {
    /// Looks up host names on a thread of their own and passes the addresses on as `hostaddr`, because libpq's own
    /// lookup would block the loop (docs 34.1: "PQconnectStart … if hostaddr is not given a name lookup may block").
    ///
    /// A host with several addresses becomes several entries of the same name, which libpq tries in order and still
    /// checks the certificate of. Socket directories and numeric addresses need no lookup.
    static func resolved(
        _ parameters: [(keyword: String, value: String)], on loop: EventLoop, deadline: MonotonicTime
    ) async throws(PostgresError) -> [(keyword: String, value: String)] {
        guard let hostList = parameters.first(where: { $0.keyword == "host" })?.value,
            !parameters.contains(where: { $0.keyword == "hostaddr" })
        else { return parameters }
        let hosts = split(hostList)
        if hosts.allSatisfy({ $0.isEmpty || $0.hasPrefix("/") || $0.hasPrefix("@") }) { return parameters }
        let ports = parameters.first { $0.keyword == "port" }.map { split($0.value) } ?? []
        let addresses = try await lookUp(hosts, on: loop, deadline: deadline)

        var expanded: (hosts: [String], addresses: [String], ports: [String]) = ([], [], [])
        for (index, host) in hosts.enumerated() {
            for address in addresses[index] {
                expanded.hosts.append(host)
                expanded.addresses.append(address)
                expanded.ports.append(ports.isEmpty ? "" : ports[ports.count == 1 ? 0 : min(index, ports.count - 1)])
            }
        }
        if expanded.hosts.isEmpty {
            throw PostgresError(.connection, "could not translate host name \(hostList) to an address")
        }
        var result = parameters.filter { $0.keyword != "host" && $0.keyword != "port" }
        result.append(("host", expanded.hosts.joined(separator: ",")))
        result.append(("hostaddr", expanded.addresses.joined(separator: ",")))
        if !ports.isEmpty { result.append(("port", expanded.ports.joined(separator: ","))) }
        return result
    }

    private static func split(_ list: String) -> [String] {
        list.split(separator: ",", omittingEmptySubsequences: false).map(String.init)
    }

    /// The addresses of each host: one empty entry for what needs no lookup, none for a name nobody knows.
    private static func lookUp(
        _ hosts: [String], on loop: EventLoop, deadline: MonotonicTime
    ) async throws(PostgresError) -> [[String]] {
        let outcome = await HostLookup.addresses(of: hosts, on: loop, until: deadline) {
            $0.isEmpty || $0.hasPrefix("/") || $0.hasPrefix("@")
        }
        switch outcome {
        case .found(let addresses): return addresses
        case .overloaded: throw PostgresError(.overloaded, "too many name lookups are waiting")
        case .cancelled: throw PostgresError(.cancelled, "the task was cancelled while connecting")
        case .timedOut: throw PostgresError(.timeout, "the lookup of the server's name took too long")
        }
    }
}
