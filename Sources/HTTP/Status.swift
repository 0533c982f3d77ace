// SPDX-License-Identifier: Apache-2.0
// Status codes and their reason phrases.

/// A response status, with a reason phrase of one's own if wanted (some clients, Grafana among them, show users
/// nothing else).
package struct Status: Sendable, Hashable {
    /// Three digits, 200 to 599: informational responses are the server's own affair.
    package let code: UInt16
    /// As it will be sent: printable ASCII, at most ``reasonLimit`` bytes; nil for the standard phrase.
    package let reason: String?

    /// The most bytes of a reason phrase that are sent; the rest is cut off.
    package static let reasonLimit = 120

    /// `reason` is made safe to send: what is not printable ASCII becomes a space, so it may come from anywhere.
    package init(_ code: UInt16, reason: String? = nil) {
        // 101 is final for HTTP: what follows is another protocol.
        precondition(code == 101 || (200...599).contains(code), "a final status is 101 or 200 to 599, not \(code)")
        self.code = code
        self.reason = reason.map { reason in
            let bytes = reason.utf8.prefix(Self.reasonLimit).map { (0x20...0x7e).contains($0) ? $0 : Byte.space }
            return String(decoding: bytes, as: UTF8.self)
        }
    }

    /// The same status with another reason phrase.
    package func because(_ reason: String) -> Status { Status(code, reason: reason) }

    /// For ``ResponseWriter/switchProtocols(_:)`` only.
    static let switchingProtocols = Status(101)
    package static let ok = Status(200)
    package static let created = Status(201)
    package static let accepted = Status(202)
    package static let noContent = Status(204)
    package static let partialContent = Status(206)
    package static let notModified = Status(304)
    package static let badRequest = Status(400)
    package static let unauthorized = Status(401)
    package static let forbidden = Status(403)
    package static let notFound = Status(404)
    package static let methodNotAllowed = Status(405)
    package static let notAcceptable = Status(406)
    package static let requestTimeout = Status(408)
    package static let conflict = Status(409)
    package static let lengthRequired = Status(411)
    package static let preconditionFailed = Status(412)
    package static let contentTooLarge = Status(413)
    package static let uriTooLong = Status(414)
    package static let unsupportedMediaType = Status(415)
    package static let rangeNotSatisfiable = Status(416)
    package static let expectationFailed = Status(417)
    package static let misdirectedRequest = Status(421)
    package static let tooManyRequests = Status(429)
    package static let headTooLarge = Status(431)
    /// nginx's number for "the client went away before the answer"; never sent, only observed.
    package static let clientGone = Status(499)
    package static let internalServerError = Status(500)
    package static let notImplemented = Status(501)
    package static let badGateway = Status(502)
    package static let serviceUnavailable = Status(503)
    package static let gatewayTimeout = Status(504)
    package static let versionNotSupported = Status(505)

    /// Whether RFC 9110 §15 gives the status no body.
    var isBodyless: Bool { code == 204 || code == 304 }

    /// The phrase of RFC 9110 §15 (and 6585 for 428, 429, 431).
    static func standardReason(_ code: UInt16) -> StaticString {
        switch code {
        case 101: "Switching Protocols"
        case 200: "OK"
        case 201: "Created"
        case 202: "Accepted"
        case 204: "No Content"
        case 205: "Reset Content"
        case 206: "Partial Content"
        case 301: "Moved Permanently"
        case 302: "Found"
        case 303: "See Other"
        case 304: "Not Modified"
        case 307: "Temporary Redirect"
        case 308: "Permanent Redirect"
        case 400: "Bad Request"
        case 401: "Unauthorized"
        case 402: "Payment Required"
        case 403: "Forbidden"
        case 404: "Not Found"
        case 405: "Method Not Allowed"
        case 406: "Not Acceptable"
        case 408: "Request Timeout"
        case 409: "Conflict"
        case 410: "Gone"
        case 411: "Length Required"
        case 412: "Precondition Failed"
        case 413: "Content Too Large"
        case 414: "URI Too Long"
        case 415: "Unsupported Media Type"
        case 416: "Range Not Satisfiable"
        case 417: "Expectation Failed"
        case 421: "Misdirected Request"
        case 422: "Unprocessable Content"
        case 426: "Upgrade Required"
        case 428: "Precondition Required"
        case 429: "Too Many Requests"
        case 431: "Request Header Fields Too Large"
        case 499: "Client Closed Request"
        case 500: "Internal Server Error"
        case 501: "Not Implemented"
        case 502: "Bad Gateway"
        case 503: "Service Unavailable"
        case 504: "Gateway Timeout"
        case 505: "HTTP Version Not Supported"
        default: "Status"
        }
    }
}
