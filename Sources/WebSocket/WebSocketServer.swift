// SPDX-License-Identifier: Apache-2.0
// The server's side of the opening handshake: RFC 6455 §4.2.

package import HTTP

/// What a server says to requests for a WebSocket. One for each event loop.
package final class WebSocketServer {
    /// Which pages may open a WebSocket (§10.2). Browsers send no preflight for it, so this is all that keeps a foreign
    /// page from using a visitor's access.
    package enum Origins: Sendable {
        /// Any page.
        case any
        /// Pages of the host that the request names, and programs, which send no Origin.
        case sameHost
        /// Those of the list, as browsers write them (`https://example.com`), and programs.
        case only(Set<String>)
    }

    package var settings: WebSocketSettings
    package var origins: Origins
    /// The subprotocols we speak, the preferred one first.
    package var subprotocols: [String]
    /// What ``SharedMessage``s of this loop are compressed with.
    package let codecs: SharedCodecs

    package init(
        _ settings: WebSocketSettings = WebSocketSettings(), origins: Origins = .sameHost, subprotocols: [String] = []
    ) {
        self.settings = settings
        self.origins = origins
        self.subprotocols = subprotocols
        codecs = SharedCodecs(level: settings.compression?.level ?? 1)
    }

    /// Answers `request` with a WebSocket and runs `body` on it until that returns; then closes it. To be called by a
    /// handler, which returns with it. When the server shuts down, the client is told 1001.
    ///
    /// - Throws: an `HTTPError` where the request cannot be answered so; what `body` throws.
    package func serve(
        _ request: Request, _ response: ResponseWriter, _ body: (WebSocketConnection) async throws -> Void
    ) async throws {
        let answer: Answer
        switch judge(request.head, hasBody: !request.body.isAtEnd) {
        case .accept(let found): answer = found
        case .refuse(let error, let headers):
            var headers = headers
            headers.add("Content-Type", "application/json")
            return try await response.respond(error.status.because(error.message), headers, error.jsonBody)
        }
        let upgraded = try await response.switchProtocols(answer.headers)
        let connection = WebSocketConnection(
            role: .server, socket: upgraded.socket, received: upgraded.received, scratch: upgraded.scratch,
            loop: upgraded.loop, settings: settings, subprotocol: answer.subprotocol,
            codecs: answer.agreement.map {
                ConnectionCodecs($0, role: .server, level: settings.compression?.level ?? 1, shared: codecs)
            })
        request.onDrain { [weak connection] in connection?.close(.goingAway, "the server is shutting down") }
        try await connection.run(body)
    }

    // MARK: Judging (pure)

    struct Answer {
        var headers: Headers
        var subprotocol: String?
        var agreement: CompressionAgreement?
    }

    enum Verdict {
        case accept(Answer)
        case refuse(HTTPError, Headers)
    }

    /// The rules of §4.2.1, in the order in which a client can do something about them.
    func judge(_ head: RequestHead, hasBody: Bool) -> Verdict {
        func refuse(
            _ status: Status, _ code: String, _ message: String, hint: String? = nil, _ headers: Headers = .none
        ) -> Verdict {
            .refuse(HTTPError(status, code: code, message: message, hint: hint), headers)
        }
        let isUpgrade = head.lists("upgrade", "websocket") && head.lists("connection", "upgrade")
        guard head.method == .get, head.version == .http11, isUpgrade else {
            return refuse(
                Status(426), "upgrade_required", "this is a WebSocket", hint: "Open it with ws:// or wss://.",
                ["Upgrade": "websocket", "Sec-WebSocket-Version": Handshake.version])
        }
        guard head.values(of: "sec-websocket-version") == [Handshake.version] else {
            return refuse(
                Status(426), "websocket_version", "only version 13 of WebSocket",
                ["Upgrade": "websocket", "Sec-WebSocket-Version": Handshake.version])
        }
        let keys = head.values(of: "sec-websocket-key")
        guard keys.count == 1, Handshake.isKey(keys[0]) else {
            return refuse(.badRequest, "websocket_key", "Sec-WebSocket-Key is not 16 bytes in base64")
        }
        if hasBody { return refuse(.badRequest, "websocket_body", "a request for a WebSocket has no body") }
        guard allowsOrigin(head) else {
            return refuse(.forbidden, "origin_not_allowed", "pages of this origin may not open the WebSocket")
        }
        var headers: Headers = ["Upgrade": "websocket"]
        headers.add("Sec-WebSocket-Accept", Handshake.accept(keys[0]))
        let offered = Set(
            head.values(of: "sec-websocket-protocol").flatMap { $0.split(separator: ",") }.map(Self.trimmed))
        let subprotocol = subprotocols.first { offered.contains($0) }
        if let subprotocol { headers.add("Sec-WebSocket-Protocol", subprotocol) }
        var agreement: CompressionAgreement?
        if let compression = settings.compression,
            let found = CompressionAgreement.accept(head.values(of: "sec-websocket-extensions"), compression)
        {
            agreement = found.agreement
            headers.add("Sec-WebSocket-Extensions", found.element)
        }
        return .accept(Answer(headers: headers, subprotocol: subprotocol, agreement: agreement))
    }

    private func allowsOrigin(_ head: RequestHead) -> Bool {
        let values = head.values(of: "origin")
        guard let origin = values.first else { return true }
        guard values.count == 1 else { return false }
        switch origins {
        case .any: return true
        case .only(let allowed): return allowed.contains(origin)
        case .sameHost:
            guard let scheme = origin.firstRange(of: "://"), let authority = head.authority else { return false }
            return origin[scheme.upperBound...].lowercased()
                == String(decoding: authority, as: UTF8.self).lowercased()
        }
    }

    private static func trimmed(_ text: Substring) -> String {
        String(text.drop { $0 == " " || $0 == "\t" }.reversed().drop { $0 == " " || $0 == "\t" }.reversed())
    }
}
