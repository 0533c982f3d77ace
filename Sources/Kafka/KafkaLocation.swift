// SPDX-License-Identifier: Apache-2.0

/// Where a Kafka log is and how to talk to it: `kafka://HOST:PORT[,HOST:PORT…][?PROPERTY=VALUE&…]`, and a properties
/// file for what must not stand in a command line.
///
/// The properties are librdkafka's own, by its names (`compression.type`, `group.instance.id`,
/// `partition.assignment.strategy`, `security.protocol`, `sasl.…`, `ssl.…`): whatever it can do, Tapedeck can.
package struct KafkaLocation: Sendable {
    /// `HOST:PORT,HOST:PORT`
    package let brokers: String
    /// librdkafka's properties; may hold secrets, and is shown nowhere.
    let properties: [String: String]

    /// Why a location is refused.
    package struct Refusal: Error, CustomStringConvertible {
        package let description: String
    }

    /// What Tapedeck decides, because its promises rest on it.
    private static let reserved: [String: String] = [
        "bootstrap.servers": "the brokers stand in the address, kafka://HOST:PORT,…",
        "metadata.broker.list": "the brokers stand in the address, kafka://HOST:PORT,…",
        "group.id": "groups are named by what they do",
        "enable.auto.commit": "offsets are committed with what was made of the records",
        "enable.auto.offset.store": "offsets are committed with what was made of the records",
        "enable.idempotence": "a producer that is not idempotent could write a record twice or out of order",
        "acks": "a record is acknowledged by all replicas in sync",
        "request.required.acks": "a record is acknowledged by all replicas in sync",
        "auto.offset.reset": "where the log no longer has an offset, reading goes on at the oldest record",
        "enable.partition.eof": "it is how a reader learns that it has come to the end",
        "transactional.id": "no transactions are used: a record that is repeated counts once by its identity",
        "statistics.interval.ms": "statistics are taken every five seconds and shown as metrics",
    ]

    /// Names of values that must not stand in an address, which everybody sees in a process's title.
    private static func isSecret(_ name: String) -> Bool {
        name.contains("password") || name.contains("secret") || name.hasSuffix(".pem")
            || name == "sasl.oauthbearer.config"
    }

    /// - Parameters:
    ///   - url: the address.
    ///   - file: the text of a properties file: `NAME=VALUE` lines, `#` comments.
    package init(_ url: String, file: String? = nil) throws(Refusal) {
        guard url.hasPrefix("kafka://") else { throw Refusal(description: "a Kafka log begins with kafka://") }
        let rest = url.dropFirst(8)
        let question = rest.firstIndex(of: "?")
        brokers = String(rest[..<(question ?? rest.endIndex)])
        var properties: [String: String] = [:]
        for (number, line) in (file ?? "").split(separator: "\n", omittingEmptySubsequences: false).enumerated() {
            let line = Self.trim(line)
            if line.isEmpty || line.hasPrefix("#") || line.hasPrefix("!") { continue }
            guard let equals = line.firstIndex(of: "="), equals != line.startIndex else {
                throw Refusal(description: "line \(number + 1) of the Kafka properties file is not NAME=VALUE")
            }
            properties[String(Self.trim(line[..<equals]))] = String(Self.trim(line[line.index(after: equals)...]))
        }
        for pair in question.map({ rest[rest.index(after: $0)...] })?.split(separator: "&") ?? [] {
            guard let equals = pair.firstIndex(of: "="), equals != pair.startIndex else {
                throw Refusal(description: "the Kafka log's '\(pair.prefix { $0 != "=" })' is not NAME=VALUE")
            }
            let name = Self.percentDecoded(pair[..<equals])
            if Self.isSecret(name) {
                throw Refusal(description: "the Kafka property \(name) belongs in the file of TAPEDECK_KAFKA_CONFIG")
            }
            properties[name] = Self.percentDecoded(pair[pair.index(after: equals)...])
        }
        for name in properties.keys.sorted() {
            if let reason = Self.reserved[name] {
                throw Refusal(description: "the Kafka property \(name) is not yours to set: \(reason)")
            }
        }
        self.properties = properties
        guard !brokers.isEmpty, brokers.split(separator: ",").allSatisfy({ Self.isAddress($0) }) else {
            throw Refusal(description: "the Kafka log names no broker; allowed: kafka://HOST:PORT[,HOST:PORT…]")
        }
        if let complaint = Self.complaint(about: properties) { throw Refusal(description: complaint) }
    }

    private static func isAddress(_ text: Substring) -> Bool {
        guard let colon = text.lastIndex(of: ":"), colon != text.startIndex else { return false }
        return UInt16(text[text.index(after: colon)...]).map { $0 > 0 } ?? false
    }

    /// What librdkafka does not accept, without its value.
    private static func complaint(about properties: [String: String]) -> String? {
        for (name, value) in properties.sorted(by: { $0.key < $1.key }) {
            if let problem = KafkaHandle.problem(with: name, value) {
                return "the Kafka property \(name) is \(problem)"
            }
        }
        return nil
    }

    private static func trim(_ text: Substring) -> Substring {
        var text = text
        while let first = text.first, first.isWhitespace { text.removeFirst() }
        while let last = text.last, last.isWhitespace { text.removeLast() }
        return text
    }

    /// RFC 3986 §2.1; what is no escape stays as it is.
    private static func percentDecoded(_ text: Substring) -> String {
        var bytes: [UInt8] = []
        var rest = text.utf8[...]
        while let byte = rest.popFirst() {
            if byte == UInt8(ascii: "%"), let hex = String(rest.prefix(2)), hex.utf8.count == 2,
                let value = UInt8(hex, radix: 16)
            {
                rest = rest.dropFirst(2)
                bytes.append(value)
            } else {
                bytes.append(byte)
            }
        }
        return String(decoding: bytes, as: UTF8.self)
    }
}
