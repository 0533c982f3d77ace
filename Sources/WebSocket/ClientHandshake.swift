// SPDX-License-Identifier: Apache-2.0
// The client's side of the opening handshake as values: RFC 6455 §4.1.

/// A request for a WebSocket, and the judgement of the answer.
struct ClientHandshake {
    /// Bytes of an answer's head, and of the body of a refusal that is shown.
    static let headLimit = 16 * 1024
    static let bodyLimit = 1024

    let url: WebSocketURL
    let headers: [(name: String, value: String)]
    let subprotocols: [String]
    let compression: CompressionSettings?
    /// 16 random bytes in base64.
    let key: String

    /// The request's bytes.
    var request: [UInt8] {
        var text =
            "GET \(url.target) HTTP/1.1\r\nHost: \(url.authority)\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        text += "Sec-WebSocket-Key: \(key)\r\nSec-WebSocket-Version: \(Handshake.version)\r\n"
        if !subprotocols.isEmpty { text += "Sec-WebSocket-Protocol: \(subprotocols.joined(separator: ", "))\r\n" }
        if let compression { text += "Sec-WebSocket-Extensions: \(CompressionAgreement.offer(compression))\r\n" }
        for (name, value) in headers {
            precondition(
                CompressionAgreement.isToken(name) && value.utf8.allSatisfy { $0 >= 0x20 && $0 != 0x7f },
                "not a header field: \(name)")
            text += "\(name): \(value)\r\n"
        }
        return Array((text + "\r\n").utf8)
    }

    /// What the server agreed to.
    struct Agreement: Equatable {
        var subprotocol: String?
        var compression: CompressionAgreement?
    }

    /// The head of an answer: status and fields, names in lower case.
    struct Head {
        var status: Int
        var reason: String
        var fields: [(name: String, value: String)]

        func values(_ name: String) -> [String] { fields.filter { $0.name == name }.map(\.value) }
    }

    /// The head at the beginning of `bytes` and its length; nil if its end has not come.
    static func head(_ bytes: [UInt8]) throws(WebSocketError) -> (head: Head, length: Int)? {
        func malformed() -> WebSocketError {
            WebSocketError(
                .refused(status: 0), "the server did not answer with HTTP/1.1", hint: "Check the port and the scheme.")
        }
        // What cannot become a status line is not waited for.
        if !zip(bytes, "HTTP/1.1 ".utf8).allSatisfy({ $0 == $1 }) { throw malformed() }
        guard let end = endOfHead(bytes) else {
            if bytes.count > headLimit { throw malformed() }
            return nil
        }
        if end > headLimit { throw malformed() }
        var lines = bytes[..<(end - 4)].split(separator: UInt8(ascii: "\n"), omittingEmptySubsequences: false)
        for index in lines.indices.dropLast() {
            guard lines[index].last == UInt8(ascii: "\r") else { throw malformed() }
            lines[index].removeLast()
        }
        let statusLine = lines[0].dropFirst(9)
        guard statusLine.count >= 3, let status = Int(String(decoding: statusLine.prefix(3), as: UTF8.self)),
            (100...599).contains(status), statusLine.dropFirst(3).first.map({ $0 == 0x20 }) ?? true
        else { throw malformed() }
        var fields: [(String, String)] = []
        for line in lines.dropFirst() {
            guard let colon = line.firstIndex(of: UInt8(ascii: ":")) else { throw malformed() }
            let name = String(decoding: line[..<colon], as: UTF8.self)
            guard CompressionAgreement.isToken(name) else { throw malformed() }
            var value = line[line.index(after: colon)...]
            while let first = value.first, first == 0x20 || first == 0x09 { value.removeFirst() }
            while let last = value.last, last == 0x20 || last == 0x09 { value.removeLast() }
            guard value.allSatisfy({ $0 >= 0x20 && $0 != 0x7f || $0 == 0x09 }) else { throw malformed() }
            fields.append((name.lowercased(), String(decoding: value, as: UTF8.self)))
        }
        let reason = String(decoding: statusLine.dropFirst(4), as: UTF8.self)
        return (Head(status: status, reason: reason, fields: fields), end)
    }

    private static func endOfHead(_ bytes: [UInt8]) -> Int? {
        var index = 3
        while index < bytes.count {
            if bytes[index] == 0x0a && bytes[index - 1] == 0x0d && bytes[index - 2] == 0x0a && bytes[index - 3] == 0x0d
            {
                return index + 1
            }
            index += 1
        }
        return nil
    }

    /// Judges a 101 (§4.1, the client's list of what to check).
    func judge(_ head: Head) throws(WebSocketError) -> Agreement {
        func refuse(_ message: String) -> WebSocketError { WebSocketError(.refused(status: 101), message) }
        guard head.values("upgrade").map({ $0.lowercased() }) == ["websocket"] else {
            throw refuse("the server upgrades to something else")
        }
        let connection = head.values("connection").flatMap { $0.split(separator: ",") }
        guard connection.contains(where: { $0.lowercased().split(separator: " ") == ["upgrade"] }) else {
            throw refuse("the server's answer lacks Connection: Upgrade")
        }
        guard head.values("sec-websocket-accept") == [Handshake.accept(key)] else {
            throw refuse("the server's Sec-WebSocket-Accept does not fit the key")
        }
        let chosen = head.values("sec-websocket-protocol")
        guard chosen.count < 2, chosen.allSatisfy({ subprotocols.contains($0) }) else {
            throw refuse("the server chose a subprotocol that was not offered")
        }
        let extensions = head.values("sec-websocket-extensions").filter { !$0.isEmpty }
        return Agreement(
            subprotocol: chosen.first,
            compression: try CompressionAgreement.accepted(extensions, offered: compression != nil))
    }

    /// The failure that any other status is. A redirect is not followed: it could lead a token to another host.
    static func refusal(_ head: Head, body: [UInt8]) -> WebSocketError {
        var message = "the server answered \(head.status)"
        if !head.reason.isEmpty { message += " \(head.reason)" }
        let text = String(decoding: body.prefix(bodyLimit), as: UTF8.self)
        if !text.isEmpty { message += ": \(text)" }
        let hint: String? =
            switch head.status {
            case 300...399:
                "Redirects are not followed; use the URL it names: \(head.values("location").first ?? "none")."
            case 401, 403: "Check the key or token, and whether it allows this."
            case 429: "Too many connections or requests: wait before trying again."
            case 500...599: "The server has a problem; try again later."
            default: nil
            }
        return WebSocketError(.refused(status: head.status), message, hint: hint)
    }
}
