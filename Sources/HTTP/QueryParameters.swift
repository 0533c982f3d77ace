// SPDX-License-Identifier: Apache-2.0
// The name=value pairs of a query or a form body.

/// Percent-decoded pairs in the order they came; repeated names are kept.
package struct QueryParameters: Sendable, Sequence {
    /// One `name=value`; without `=` the value is empty.
    package struct Pair: Sendable, Equatable {
        package let name: String
        package let value: String

        package init(name: String, value: String) {
            self.name = name
            self.value = value
        }
    }

    /// All pairs, in order.
    package private(set) var pairs: [Pair] = []

    /// The most pairs taken by default.
    package static let pairLimit = 1000

    /// Reads `bytes`, a query without its `?` or a form body: pairs between `&`, `+` for a space. Empty pieces
    /// (`a=1&&b=2`) are skipped, and those of an empty name and an empty value (`a=1&=`), which forms send of a row that
    /// nobody has filled in.
    ///
    /// - Throws: 400 for invalid percent-encoding, text that is not UTF-8, or more than `limit` pairs.
    package init(_ bytes: ArraySlice<UInt8>, limit: Int = pairLimit) throws(HTTPError) {
        var start = bytes.startIndex
        while start < bytes.endIndex {
            let end = bytes[start...].firstIndex(of: UInt8(ascii: "&")) ?? bytes.endIndex
            let piece = bytes[start..<end]
            if !piece.isEmpty && piece != [UInt8(ascii: "=")] {
                if pairs.count == limit {
                    throw HTTPError(
                        .badRequest, code: "too_many_parameters", message: "more than \(limit) query parameters")
                }
                pairs.append(try Self.pair(piece))
            }
            start = end + 1
        }
    }

    /// The value of the first pair called `name`.
    package subscript(name: String) -> String? { pairs.first { $0.name == name }?.value }

    /// The values of all pairs called `name`, in order.
    package func all(_ name: String) -> [String] { pairs.filter { $0.name == name }.map(\.value) }

    package func makeIterator() -> IndexingIterator<[Pair]> { pairs.makeIterator() }

    private static func pair(_ piece: ArraySlice<UInt8>) throws(HTTPError) -> Pair {
        let equals = piece.firstIndex(of: UInt8(ascii: "="))
        let name = try percentDecoded(piece[..<(equals ?? piece.endIndex)], plusIsSpace: true)
        guard let equals else { return Pair(name: name, value: "") }
        return Pair(name: name, value: try percentDecoded(piece[(equals + 1)...], plusIsSpace: true))
    }
}
