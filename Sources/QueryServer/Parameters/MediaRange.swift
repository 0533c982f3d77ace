// SPDX-License-Identifier: Apache-2.0
// What a client accepts, by its own word.

/// One media range of an Accept field (RFC 9110 §12.5.1).
struct MediaRange {
    /// `application/json`, in lower case.
    let name: String
    /// In lower case and without blanks, the weight among them.
    let parameters: [String]
    /// In thousandths (RFC 9110 §12.4.2): 0 is what is not wanted.
    let weight: Int

    /// All ranges of all Accept fields, in their order.
    static func all(_ accept: [String]) -> [MediaRange] {
        accept.flatMap { $0.split(separator: ",") }.compactMap { element in
            let text = element.filter { $0 != " " && $0 != "\t" }.lowercased()
            return text.isEmpty ? nil : MediaRange(text)
        }
    }

    private init(_ text: String) {
        let parts = text.split(separator: ";").map(String.init)
        name = text.hasPrefix(";") ? "" : parts.first ?? ""
        parameters = Array(parts.dropFirst())
        weight = parameters.lazy.compactMap(Self.weight).first ?? 1000
    }

    /// The weight that a parameter gives; nil for another parameter, and for one that is no number.
    private static func weight(_ parameter: String) -> Int? {
        guard parameter.hasPrefix("q="), let value = Double(parameter.dropFirst(2)), value.isFinite else { return nil }
        return Int(min(max(value, 0), 1) * 1000)
    }
}
