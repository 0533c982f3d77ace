// SPDX-License-Identifier: Apache-2.0

/// Metrics as text: the Prometheus exposition format, version 0.0.4
/// (prometheus.io/docs/instrumenting/exposition_formats).
package struct Exposition {
    /// The Content-Type of the text.
    package static let contentType = "text/plain; version=0.0.4; charset=utf-8"

    package private(set) var bytes: [UInt8] = []

    package init() {}

    /// The two lines above the samples of a metric.
    mutating func head(_ name: String, _ help: String, _ type: String) {
        append("# HELP \(name) ")
        append(Self.escaped(help, quote: false))
        append("\n# TYPE \(name) \(type)\n")
    }

    /// One sample; `labels` as ``labels(_:_:)`` makes them.
    mutating func sample(_ name: String, _ labels: [UInt8], _ value: String) {
        append(name)
        if !labels.isEmpty {
            append("{")
            bytes += labels
            append("}")
        }
        append(" \(value)\n")
    }

    /// A bucket of a histogram: how many observations are at or below `bound`.
    mutating func bucket(_ name: String, _ labels: [UInt8], _ bound: String, _ count: Int) {
        let separator = labels.isEmpty ? "" : ","
        sample(name + "_bucket", labels + Array("\(separator)le=\"\(bound)\"".utf8), "\(count)")
    }

    private mutating func append(_ text: String) { bytes += text.utf8 }

    private mutating func append(_ more: [UInt8]) { bytes += more }

    /// What stands between the braces.
    static func labels(_ names: [String], _ values: [String]) -> [UInt8] {
        var bytes: [UInt8] = []
        for (name, value) in zip(names, values) {
            if !bytes.isEmpty { bytes.append(UInt8(ascii: ",")) }
            bytes += "\(name)=\"".utf8
            bytes += escaped(value, quote: true)
            bytes.append(UInt8(ascii: "\""))
        }
        return bytes
    }

    /// Backslash and line feed, and in a label's value the quote, are escaped.
    static func escaped(_ text: String, quote: Bool) -> [UInt8] {
        var bytes: [UInt8] = []
        for byte in text.utf8 {
            switch byte {
            case UInt8(ascii: "\\"): bytes += #"\\"#.utf8
            case UInt8(ascii: "\n"): bytes += #"\n"#.utf8
            case UInt8(ascii: "\"") where quote: bytes += #"\""#.utf8
            default: bytes.append(byte)
            }
        }
        return bytes
    }

    /// A number as Go's ParseFloat reads it.
    static func number(_ value: Double) -> String {
        if value.isNaN { return "NaN" }
        if value.isInfinite { return value < 0 ? "-Inf" : "+Inf" }
        return "\(value)"
    }

    /// Whether `name` may name a metric.
    static func isName(_ name: String) -> Bool {
        func isInitial(_ byte: UInt8) -> Bool {
            switch byte {
            case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"), UInt8(ascii: "_"): true
            default: false
            }
        }
        guard let first = name.utf8.first, isInitial(first) else { return false }
        return name.utf8.allSatisfy { isInitial($0) || (UInt8(ascii: "0")...UInt8(ascii: "9")).contains($0) }
    }
}
