// SPDX-License-Identifier: Apache-2.0
// Requests for SQL that come again and again by the same URL.

import Glibc
import HTTP

/// What the URLs of the last requests for SQL said: dashboards and bots send the same ones all day, and reading one takes
/// as long as encoding its rows. On one event loop's thread only.
struct KnownRequests {
    private struct Entry {
        /// As it came: what is not the same byte for byte is read.
        let query: [UInt8]
        let accept: [String]
        let request: SQLRequest
    }

    /// Longer queries are not kept: nobody sends them often.
    private static let longestQuery = 4096
    private static let capacity = 512

    private let configuration: QueryServer.Configuration
    /// By a digest of the query.
    private var entries: [UInt64: Entry] = [:]

    init(_ configuration: QueryServer.Configuration) { self.configuration = configuration }

    /// URLs that are known.
    var count: Int { entries.count }

    /// What a request without a body asks for. One that is refused is read, and refused, each time.
    ///
    /// - Parameter limits: what the caller may, where it differs from what everybody may.
    mutating func request(_ head: RequestHead, _ limits: CallerLimits) throws -> SQLRequest {
        // What else it depends on is the same for nearly all.
        guard let query = head.rawQuery, query.count <= Self.longestQuery, limits == CallerLimits(),
            !SQLRequest.hasFields(head)
        else { return try SQLRequest(head, limits, configuration) }
        let digest = Self.digest(query)
        let accept = head.values(of: "accept")
        if let entry = entries[digest], entry.accept == accept, Self.areEqual(entry.query, query) {
            return entry.request
        }
        let request = try SQLRequest(head, limits, configuration)
        if entries.count >= Self.capacity { entries.removeAll(keepingCapacity: true) }
        entries[digest] = Entry(query: Array(query), accept: accept, request: request)
        return request
    }

    /// Eight bytes at a time, since these are hundreds. Queries made to have the same only push one another out.
    private static func digest(_ query: ArraySlice<UInt8>) -> UInt64 {
        query.withUnsafeBytes { bytes in
            var digest = UInt64(bytes.count)
            func mix(_ word: UInt64) {
                let product = (digest ^ word).multipliedFullWidth(by: 0x9e37_79b9_7f4a_7c15)
                digest = product.high ^ product.low
            }
            var place = 0
            while place + 8 <= bytes.count {
                mix(bytes.loadUnaligned(fromByteOffset: place, as: UInt64.self))
                place += 8
            }
            var rest: UInt64 = 0
            for byte in bytes[place...] { rest = rest << 8 | UInt64(byte) }
            mix(rest)
            return digest
        }
    }

    private static func areEqual(_ known: [UInt8], _ query: ArraySlice<UInt8>) -> Bool {
        known.withUnsafeBytes { known in
            query.withUnsafeBytes { query in
                known.count == query.count
                    && (known.isEmpty || memcmp(known.baseAddress!, query.baseAddress!, known.count) == 0)
            }
        }
    }
}
