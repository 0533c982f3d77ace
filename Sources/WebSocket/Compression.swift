// SPDX-License-Identifier: Apache-2.0
// What the two sides agree on about compression: permessage-deflate, RFC 7692 §7.1. Pure.

/// Whether and how we compress.
package struct CompressionSettings: Sendable {
    /// Whether a message may refer to those before it, in each direction. It compresses better, and costs about 300 KiB
    /// for each connection; without it the streams are shared by all connections of a loop, and so are frames: what is
    /// sent to many is compressed once.
    package var keepsContext = false
    /// zlib's level, 1…9.
    package var level = 1
    /// Messages of fewer bytes are sent as they are.
    package var threshold = 512

    package init() {}
}

/// The parameters that were agreed on.
struct CompressionAgreement: Sendable, Equatable {
    /// What the side that is a server compresses with.
    var serverWindowBits = 15
    var serverKeepsContext = true
    /// What the side that is a client compresses with.
    var clientWindowBits = 15
    var clientKeepsContext = true

    /// The elements of a `Sec-WebSocket-Extensions` field: a name and parameters each; nil if it is malformed.
    static func parse(_ field: String) -> [(name: String, parameters: [(name: String, value: String?)])]? {
        var elements: [(String, [(String, String?)])] = []
        for element in field.split(separator: ",", omittingEmptySubsequences: false) {
            let parts = element.split(separator: ";", omittingEmptySubsequences: false).map(trimmed)
            guard let name = parts.first, isToken(name) else { return nil }
            var parameters: [(String, String?)] = []
            for part in parts.dropFirst() {
                let pair = part.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false).map(trimmed)
                guard isToken(pair[0]) else { return nil }
                var value = pair.count == 2 ? pair[1] : nil
                if let quoted = value, quoted.hasPrefix("\""), quoted.hasSuffix("\""), quoted.utf8.count >= 2 {
                    value = String(quoted.dropFirst().dropLast())
                }
                // A quoted value has to be a token, too (RFC 6455 §9.1).
                if let value, !isToken(value) { return nil }
                parameters.append((pair[0].lowercased(), value))
            }
            elements.append((name.lowercased(), parameters))
        }
        return elements
    }

    private static func trimmed(_ text: Substring) -> String {
        var text = text
        while let first = text.first, first == " " || first == "\t" { text.removeFirst() }
        while let last = text.last, last == " " || last == "\t" { text.removeLast() }
        return String(text)
    }

    static func isToken(_ text: String) -> Bool {
        !text.isEmpty
            && text.utf8.allSatisfy { byte in
                byte > 0x20 && byte < 0x7f && !"\"(),/:;<=>?@[\\]{}".utf8.contains(byte)
            }
    }

    // MARK: The server's side

    /// The first offer of the client's that we can keep, and the element that says so; nil if there is none.
    static func accept(
        _ fields: [String], _ settings: CompressionSettings
    ) -> (agreement: CompressionAgreement, element: String)? {
        for field in fields {
            for (name, parameters) in parse(field) ?? [] where name == "permessage-deflate" {
                if let found = accept(parameters, settings) { return found }
            }
        }
        return nil
    }

    private static func accept(
        _ parameters: [(name: String, value: String?)], _ settings: CompressionSettings
    ) -> (agreement: CompressionAgreement, element: String)? {
        var agreement = CompressionAgreement()
        var seen: Set<String> = []
        var limitsServer = false
        for (name, value) in parameters {
            guard seen.insert(name).inserted else { return nil }
            switch (name, value) {
            case ("server_no_context_takeover", nil): agreement.serverKeepsContext = false
            case ("client_no_context_takeover", nil): agreement.clientKeepsContext = false
            case ("server_max_window_bits", let value?):
                // zlib makes no raw stream with a window of 8 bits: such an offer is declined.
                guard let bits = windowBits(value), bits > 8 else { return nil }
                agreement.serverWindowBits = bits
                limitsServer = true
            case ("client_max_window_bits", let value):
                // A hint; we can take any window.
                if let value, windowBits(value) == nil { return nil }
            default: return nil
            }
        }
        if !settings.keepsContext {
            agreement.serverKeepsContext = false
            agreement.clientKeepsContext = false
        }
        var element = "permessage-deflate"
        if !agreement.serverKeepsContext { element += "; server_no_context_takeover" }
        if !agreement.clientKeepsContext { element += "; client_no_context_takeover" }
        // Keeping to it means saying so (§7.1.2.1), also where the limit is none.
        if limitsServer { element += "; server_max_window_bits=\(agreement.serverWindowBits)" }
        return (agreement, element)
    }

    // MARK: The client's side

    /// What we offer.
    static func offer(_ settings: CompressionSettings) -> String {
        let context = settings.keepsContext ? "" : "; server_no_context_takeover; client_no_context_takeover"
        return "permessage-deflate\(context); client_max_window_bits"
    }

    /// What the server has made of the offer; nil for no compression. Throws where it answers what was not offered.
    static func accepted(_ fields: [String], offered: Bool) throws(WebSocketError) -> CompressionAgreement? {
        var agreement: CompressionAgreement?
        for field in fields {
            guard let elements = parse(field) else { throw refused("a malformed list of extensions") }
            for (name, parameters) in elements {
                guard offered, agreement == nil, name == "permessage-deflate" else {
                    throw refused("an extension that was not offered: \(name)")
                }
                agreement = try accepted(parameters)
            }
        }
        return agreement
    }

    private static func accepted(
        _ parameters: [(name: String, value: String?)]
    ) throws(WebSocketError) -> CompressionAgreement {
        var agreement = CompressionAgreement()
        var seen: Set<String> = []
        for (name, value) in parameters {
            guard seen.insert(name).inserted else { throw refused("a parameter of compression twice: \(name)") }
            switch (name, value) {
            case ("server_no_context_takeover", nil): agreement.serverKeepsContext = false
            case ("client_no_context_takeover", nil): agreement.clientKeepsContext = false
            case ("server_max_window_bits", let value?):
                guard let bits = windowBits(value) else { throw refused("a window of \(value) bits") }
                agreement.serverWindowBits = bits
            case ("client_max_window_bits", let value?):
                guard let bits = windowBits(value), bits > 8 else { throw refused("a window of \(value) bits for us") }
                agreement.clientWindowBits = bits
            default: throw refused("a parameter of compression that is unknown: \(name)")
            }
        }
        return agreement
    }

    private static func refused(_ what: String) -> WebSocketError {
        WebSocketError(.refused(status: 101), "the server answered with \(what)")
    }

    /// 8…15, without leading zeros (§7.1.2).
    private static func windowBits(_ text: String) -> Int? {
        guard let bits = Int(text), (8...15).contains(bits), text == "\(bits)" else { return nil }
        return bits
    }
}
