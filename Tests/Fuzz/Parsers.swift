// SPDX-License-Identifier: Apache-2.0
// The properties of each parser that hold for every input.

@testable import HTTP
@testable import QueryServer
@testable import WebSocket

/// A parser under test: takes any bytes, and traps where a property of it does not hold.
typealias FuzzTarget = @Sendable ([UInt8]) -> Void

/// What `FUZZ=NAME` chooses; seeds are in `Tests/Fuzz/corpus/NAME`. Another parser is one more line here, a function, and
/// a folder of seeds.
let targets: [String: FuzzTarget] = [
    "request": fuzzRequest,
    "chunked": fuzzChunked,
    "query": fuzzQuery,
    "proxy": fuzzProxy,
    "json": fuzzJSON,
    "websocket": fuzzWebSocket,
    "answer": fuzzAnswer,
    "extensions": fuzzExtensions,
]

/// What a request parser makes of a stream, as far as it can be seen.
private enum Outcome: Equatable {
    case needMore, refused(UInt16, String)
    case head(bytes: [UInt8], length: Int, body: BodyFraming)
}

private func parse(_ stream: [UInt8], step: Int) -> (Outcome, RequestHead) {
    var parser = RequestParser()
    var seen = 0
    while seen < stream.count {
        seen = min(stream.count, seen + step)
        let prefix = Array(stream[..<seen])
        do {
            if case .head(let length, let body) = try parser.parse(prefix.span) {
                return (.head(bytes: parser.head.bytes, length: length, body: body), parser.head)
            }
        } catch {
            return (.refused(error.status.code, error.message), parser.head)
        }
    }
    return (.needMore, parser.head)
}

/// How the stream is cut changes nothing; what is refused is 4xx, 501 or 505; what is accepted can be read in one way
/// only, and everything that looks at it comes to an end.
@Sendable func fuzzRequest(_ stream: [UInt8]) {
    let (whole, head) = parse(stream, step: .max - stream.count)
    // Byte by byte is quadratic here; a few uneven steps find the same.
    for step in stream.count < 64 ? [1, 3] : [7, 61] {
        precondition(parse(stream, step: step).0 == whole, "step \(step) changes the outcome")
    }
    switch whole {
    case .needMore: return
    case .refused(let status, _):
        precondition(status < 500 || status == 501 || status == 505, "refused with \(status)")
    case .head(let bytes, let length, let body):
        precondition(length <= RequestParser.Limits().headBytes)
        // From the request line on: one empty line may stand in front.
        for (index, byte) in bytes.enumerated() {
            switch byte {
            case 10: precondition(index > 0 && bytes[index - 1] == 13, "a bare line feed")
            case 13: precondition(index + 1 < bytes.count && bytes[index + 1] == 10, "a bare carriage return")
            case 9: break
            default: precondition(byte >= 0x20 && byte != 0x7f, "a control byte")
            }
        }
        let lengths = head.values(of: "content-length").count
        let codings = head.values(of: "transfer-encoding").count
        precondition(lengths + codings <= 1 && head.values(of: "host").count <= 1, "read in two ways")
        precondition(body != .chunked || codings == 1)
        if case .length = body { precondition(lengths == 1) }
        inspect(head)
    }
}

/// What the server and its handlers ask of a head.
private func inspect(_ head: RequestHead) {
    _ = try? head.path()
    _ = try? head.pathSegments()
    _ = try? head.query()
    _ = head.allFields
    _ = ContentCoding.chosen(for: head)
    let validators = Validators(entityTag: "\"a\"", lastModified: 784_111_777)
    _ = head.preconditions(validators)
    if case .part(let range) = head.range(of: 10, validators) {
        precondition(range.lowerBound >= 0 && range.upperBound <= 10 && !range.isEmpty)
    }
    let local = SocketAddress(bytes: [127, 0, 0, 1], port: 1)!
    _ = TrustedProxies([AddressRange("0.0.0.0/0")!, AddressRange("::/0")!]).client(of: head, from: local)
    _ = CrossOrigin(.any).preflight(head)
    if let authority = head.authority { _ = HostNames.loopback().accepts(authority) }
    _ = try? ReplyFormat(accept: head.values(of: "accept"))
}

/// How the body is cut changes nothing, and what comes out is no more than what went in.
@Sendable func fuzzChunked(_ stream: [UInt8]) {
    func decode(step: Int) -> (UInt16, [UInt8], used: Int, done: Bool) {
        var decoder = ChunkedDecoder()
        var output: [UInt8] = []
        var used = 0
        do {
            while used < stream.count && !decoder.isDone {
                let piece = Array(stream[used...].prefix(step))
                used += try decoder.decode(piece.span, into: &output)
            }
        } catch {
            return (error.status.code, [], 0, false)
        }
        return (200, output, used, decoder.isDone)
    }
    let whole = decode(step: .max)
    precondition(whole.1.count <= stream.count && whole.used <= stream.count)
    for step in [1, 5] { precondition(decode(step: step) == whole, "step \(step) changes the outcome") }
}

/// Nothing but text comes out, and no more of it than came in.
@Sendable func fuzzQuery(_ bytes: [UInt8]) {
    guard let query = try? QueryParameters(bytes[...]) else { return }
    precondition(query.pairs.count <= QueryParameters.pairLimit)
    let count = query.pairs.reduce(0) { $0 + $1.name.utf8.count + $1.value.utf8.count }
    precondition(count <= bytes.count)
}

/// A header is a header when its last byte has come, and not before.
@Sendable func fuzzProxy(_ bytes: [UInt8]) {
    let whole = ProxyHeader.parse(bytes[...])
    guard case .header(let length, _) = whole else { return }
    precondition(length <= bytes.count && length <= max(ProxyHeader.lengthLimit, 107))
    precondition(ProxyHeader.parse(bytes[..<length]) == whole)
    for count in 0..<length { precondition(ProxyHeader.parse(bytes[..<count]) == .needMore) }
}

/// What is read ends, and a value's text is a value again.
@Sendable func fuzzJSON(_ bytes: [UInt8]) {
    _ = try? JSONReader.read(bytes)
}

/// What a WebSocket makes of a stream of frames.
private struct Reading: Equatable {
    enum Event: Equatable {
        case message(MessageKind, [UInt8])
        case control(MessageReader.Event, [UInt8])
    }

    var events: [Event] = []
    var failure: WebSocketError?
    /// Bytes of a frame's head that has not come whole.
    var rest = 0

    init(_ stream: ArraySlice<UInt8>, _ role: Role, _ codecs: ConnectionCodecs?, _ limits: MessageLimits, step: Int) {
        var reader = MessageReader(role: role, limits: limits, codecs: codecs)
        var input: [UInt8] = []
        var stream = stream
        while let piece = Optional(stream.prefix(step)), !piece.isEmpty {
            stream = stream.dropFirst(step)
            input += piece
            var position = 0
            do throws(WebSocketError) {
                reading: while true {
                    switch try reader.next(input.span, &position) {
                    case .needMore: break reading
                    case .message(let kind): events.append(.message(kind, reader.payload))
                    case let event: events.append(.control(event, reader.control))
                    }
                }
            } catch {
                failure = error
                return
            }
            input.removeFirst(position)
            reader.trim()
        }
        rest = input.count
    }
}

/// Of either role, compressed or not, as the first byte says: how the stream is cut changes nothing, no message is over
/// the limits, texts are UTF-8, and what is refused has a code that may be sent.
@Sendable func fuzzWebSocket(_ bytes: [UInt8]) {
    guard let choice = bytes.first else { return }
    let role: Role = choice & 1 == 0 ? .server : .client
    var agreement = CompressionAgreement()
    agreement.serverKeepsContext = choice & 4 != 0
    agreement.clientKeepsContext = choice & 4 != 0
    var limits = MessageLimits()
    limits.frameBytes = 10_000
    limits.messageBytes = 20_000
    limits.fragments = 8
    func read(step: Int) -> Reading {
        // Of its own: what one reading has inflated must not be there for the next.
        let codecs = choice & 2 == 0 ? nil : ConnectionCodecs(agreement, role: role, level: 1, shared: SharedCodecs())
        return Reading(bytes.dropFirst(), role, codecs, limits, step: step)
    }
    let whole = read(step: .max)
    precondition(whole.rest < FrameHead.longest)
    for step in [1, 7] { precondition(read(step: step) == whole, "step \(step) changes the outcome") }
    for event in whole.events {
        switch event {
        case .message(let kind, let payload):
            precondition(payload.count <= limits.messageBytes)
            if kind == .text { precondition(String(validating: payload, as: UTF8.self) != nil) }
        case .control(let event, let payload):
            precondition(payload.count <= FrameHead.longestControl)
            if case .close(let code) = event { precondition(code == .none || code.mayBeSent) }
        }
    }
    if let failure = whole.failure {
        guard case .violation(let code) = failure.reason, code.mayBeSent else { preconditionFailure("\(failure)") }
    }
}

/// The head of a server's answer ends where its last byte is, whatever follows; what is in it can be judged, and told.
@Sendable func fuzzAnswer(_ bytes: [UInt8]) {
    func head(_ bytes: ArraySlice<UInt8>) -> (head: ClientHandshake.Head, length: Int)? {
        // Malformed, or not whole.
        (try? ClientHandshake.head(Array(bytes))) ?? nil
    }
    guard let (found, length) = head(bytes[...]) else { return }
    precondition(length <= bytes.count && length <= ClientHandshake.headLimit)
    precondition(head(bytes[..<length])?.length == length && head(bytes[..<(length - 1)]) == nil)
    precondition((100...599).contains(found.status))
    for (name, value) in found.fields {
        precondition(CompressionAgreement.isToken(name) && name == name.lowercased(), "a name that is none")
        precondition(value.utf8.allSatisfy { $0 >= 0x20 && $0 != 0x7f || $0 == 0x09 }, "a control byte")
    }
    guard let url = try? WebSocketURL("ws://example.com/") else { preconditionFailure("the URL is good") }
    let handshake = ClientHandshake(
        url: url, headers: [], subprotocols: ["v1"], compression: CompressionSettings(), key: "dGhlIHNhbXBsZSBub25jZQ=="
    )
    _ = try? handshake.judge(found)
    let refusal = ClientHandshake.refusal(found, body: Array(bytes[length...].prefix(ClientHandshake.bodyLimit)))
    precondition(!refusal.message.isEmpty)
}

/// A list of extensions that is read means the same when it is written and read again, and what we agree on as a server
/// is what a client of ours makes of the answer.
@Sendable func fuzzExtensions(_ bytes: [UInt8]) {
    let field = String(decoding: bytes, as: UTF8.self)
    func text(_ field: String) -> String? {
        CompressionAgreement.parse(field).map { elements in
            elements.map { name, parameters in
                ([name] + parameters.map { $0.value == nil ? $0.name : "\($0.name)=\($0.value!)" }).joined(
                    separator: "; ")
            }.joined(separator: ", ")
        }
    }
    if let once = text(field) { precondition(text(once) == once, "read again, it is another") }
    for keepsContext in [false, true] {
        var settings = CompressionSettings()
        settings.keepsContext = keepsContext
        guard let (agreement, element) = CompressionAgreement.accept([field], settings) else { continue }
        let heard = (try? CompressionAgreement.accepted([element], offered: true)) ?? nil
        precondition(heard == agreement, "the sides take the answer differently")
    }
    _ = try? CompressionAgreement.accepted([field], offered: true)
}
