// SPDX-License-Identifier: Apache-2.0
// `ws://` and `wss://` URLs: RFC 6455 §3. Pure.

/// Where a WebSocket is.
package struct WebSocketURL: Sendable, Equatable {
    /// Whether TLS is spoken (`wss`).
    package var isSecure: Bool
    /// A name or an address, without brackets.
    package var host: String
    package var port: UInt16
    /// Path and query, beginning with `/`.
    package var target: String

    /// Takes `ws://HOST[:PORT][/PATH][?QUERY]` or `wss://…`. The message of a failure does not repeat path and query,
    /// which may hold a token.
    package init(_ text: String) throws(WebSocketError) {
        func invalid(_ why: String) -> WebSocketError {
            WebSocketError(.invalidURL, "not a WebSocket's URL: \(why)", hint: "Write wss://HOST[:PORT]/PATH.")
        }
        var rest = Substring(text)
        if text.lowercased().hasPrefix("ws://") {
            isSecure = false
            rest = rest.dropFirst(5)
        } else if text.lowercased().hasPrefix("wss://") {
            isSecure = true
            rest = rest.dropFirst(6)
        } else {
            throw invalid("it does not begin with ws:// or wss://")
        }
        let authority = rest.prefix { $0 != "/" && $0 != "?" && $0 != "#" }
        rest = rest.dropFirst(authority.count)
        if rest.contains("#") { throw invalid("it has a fragment") }
        if authority.contains("@") { throw invalid("it has a user") }
        target = rest.hasPrefix("/") ? String(rest) : "/" + rest
        // Each byte goes into the request line as it is.
        guard target.utf8.allSatisfy({ $0 > 0x20 && $0 < 0x7f }) else {
            throw invalid("path or query hold something that is not encoded")
        }
        var name = authority
        var digits: Substring?
        if authority.hasPrefix("[") {
            guard let end = authority.firstIndex(of: "]") else { throw invalid("an open bracket") }
            name = authority[authority.index(after: authority.startIndex)..<end]
            let after = authority[authority.index(after: end)...]
            guard after.isEmpty || after.hasPrefix(":") else { throw invalid("something behind the bracket") }
            digits = after.isEmpty ? nil : after.dropFirst()
        } else if let colon = authority.firstIndex(of: ":") {
            name = authority[..<colon]
            digits = authority[authority.index(after: colon)...]
        }
        guard !name.isEmpty,
            name.utf8.allSatisfy({ $0 > 0x20 && $0 < 0x7f && !"\"<>\\^`{|}%".utf8.contains($0) })
        else { throw invalid("no host") }
        host = String(name)
        if let digits {
            guard let port = UInt16(digits), port > 0, digits.utf8.allSatisfy({ 0x30...0x39 ~= $0 }) else {
                throw invalid("the port is no number")
            }
            self.port = port
        } else {
            port = isSecure ? 443 : 80
        }
    }

    /// The value of the Host field: without the port where it is the scheme's.
    package var authority: String {
        let name = host.contains(":") ? "[\(host)]" : host
        return port == (isSecure ? 443 : 80) ? name : "\(name):\(port)"
    }
}
