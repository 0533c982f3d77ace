// SPDX-License-Identifier: Apache-2.0
// Which hosts a request may name: the defence against DNS rebinding. Pure.

/// The names under which a server is asked for. A web page can have its own name resolve to 127.0.0.1 and so read, with
/// the browser's help, what a server there answers to anybody; but it cannot make the browser send another name than
/// its own in Host.
package struct HostNames: Sendable, Equatable {
    /// In lower case, without ports; IPv6 addresses in brackets. They are few.
    private let names: [[UInt8]]

    /// `localhost`, the loopback addresses, and `names`.
    package static func loopback(and names: [String] = []) -> HostNames {
        HostNames(["localhost", "127.0.0.1", "[::1]"] + names)
    }

    package init(_ names: [String]) { self.names = names.map { Array($0.lowercased().utf8) } }

    /// Whether a request that names this authority (RFC 9110 §7.2) is meant for us. The port does not matter: the client
    /// has reached us, by whatever port was forwarded.
    func accepts(_ authority: ArraySlice<UInt8>) -> Bool {
        var host = authority
        if let colon = host.lastIndex(of: Byte.colon), host.last != UInt8(ascii: "]") { host = host[..<colon] }
        // A name may end with the root's dot.
        if host.last == UInt8(ascii: ".") { host = host.dropLast() }
        return names.contains { $0.elementsEqual(host) { $0 == Byte.lowercased($1) } }
    }

    /// 421: the request was meant for somebody else (RFC 9110 §15.5.20).
    static let misdirected = HTTPError(
        .misdirectedRequest, code: "unknown_host",
        message: "the Host header names a host that this server does not answer for",
        hint: "Ask for localhost, or name the host in TAPEDECK_ALLOWED_HOSTS.")
}
