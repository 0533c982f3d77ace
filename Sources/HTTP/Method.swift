// SPDX-License-Identifier: Apache-2.0
// The request methods we know by name, and the protocol versions we speak.

/// A request method (RFC 9110 §9.3, RFC 5789, and QUERY of the HTTP working group); ``RequestHead/methodToken`` has the
/// token of any other.
package enum Method: UInt8, Sendable {
    case get, head, post, put, patch, delete, options, trace, connect, query
    /// A valid token that is none of the above.
    case other

    /// Methods are case-sensitive (RFC 9110 §9.1): `get` is `.other`.
    init(_ bytes: borrowing Span<UInt8>, _ range: Range<Int>) {
        self = .other
        switch range.count {
        case 3:
            if bytes.equal(range, "GET") { self = .get } else if bytes.equal(range, "PUT") { self = .put }
        case 4:
            if bytes.equal(range, "POST") { self = .post } else if bytes.equal(range, "HEAD") { self = .head }
        case 5:
            if bytes.equal(range, "PATCH") {
                self = .patch
            } else if bytes.equal(range, "TRACE") {
                self = .trace
            } else if bytes.equal(range, "QUERY") {
                self = .query
            }
        case 6: if bytes.equal(range, "DELETE") { self = .delete }
        case 7:
            if bytes.equal(range, "OPTIONS") {
                self = .options
            } else if bytes.equal(range, "CONNECT") {
                self = .connect
            }
        default: break
        }
    }
}

/// The versions of HTTP that the server answers.
package enum Version: UInt8, Sendable {
    case http10, http11
}
