// SPDX-License-Identifier: Apache-2.0
// What a request's body is, by its own word.

import HTTP

/// The value of a `Content-Type` field (RFC 9110 §8.3.1).
struct MediaType: Equatable {
    /// `application/json`, in lower case and without parameters.
    let name: String
    /// Whether the charset is UTF-8, a part of it, or not named.
    let isUTF8: Bool

    init(_ field: String) {
        let parts = field.lowercased().split(separator: ";", omittingEmptySubsequences: false)
            .map { $0.filter { $0 != " " && $0 != "\t" && $0 != "\"" } }
        name = parts[0]
        isUTF8 = parts.dropFirst().filter { $0.hasPrefix("charset=") }.allSatisfy {
            ["charset=utf-8", "charset=utf8", "charset=us-ascii"].contains($0)
        }
    }
}

extension Request {
    /// The body, which must say that it is JSON: a page of another origin can send text and forms without asking first
    /// (CORS), and that it is no JSON is all that tells them apart.
    ///
    /// - Throws: 415 for another type, and where `isRequired` for none; 411 for no body where it is required; and as
    ///   `RequestBody.collect(upTo:)`.
    func collectJSON(upTo limit: Int, isRequired: Bool) async throws -> [UInt8] {
        if isRequired && !head.declaresBody {
            throw QueryError(
                411, "length_required", "a POST without Content-Length or Transfer-Encoding has no body",
                hint: "Send a JSON object as the body, with its length or in chunks.")
        }
        let field = head["content-type"]
        let type = field.map(MediaType.init)
        guard type?.name == "application/json" && type?.isUTF8 == true || type == nil && !isRequired else {
            throw QueryError(
                415, "unsupported_media_type",
                field.map { "unsupported Content-Type \"\($0)\"" } ?? "a body without Content-Type",
                details: "Supported is application/json, in UTF-8.",
                hint: "With curl: -H 'Content-Type: application/json' --data '{…}'.")
        }
        return try await body.collect(upTo: limit)
    }
}
