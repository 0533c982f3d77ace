// SPDX-License-Identifier: Apache-2.0
// Every refusal and failure, in the one shape that clients see.

import HTTP
import Postgres

/// The number of a request, as clients and logs know it: 16 hexadecimal digits.
struct QueryID: CustomStringConvertible, Equatable {
    let description: String

    init(_ number: UInt64) {
        description = String(hexadecimal: number)
    }
}

extension String {
    /// All 16 digits.
    init(hexadecimal number: UInt64) {
        self.init(unsafeUninitializedCapacity: 16) { digits in
            for index in 0..<16 {
                let digit = UInt8(truncatingIfNeeded: number >> UInt64(60 - 4 * index)) & 15
                digits[index] = digit < 10 ? 0x30 + digit : 0x57 + digit
            }
            return 16
        }
    }
}

/// Why a request was not answered with what it asked for.
struct QueryError: Error, Equatable {
    var status: UInt16
    /// Stable, for programs: the SQLSTATE where PostgreSQL was the one to complain, else a word of ours.
    var code: String
    /// Short, for people; also the reason phrase of the status line, which is all that a Grafana user sees.
    var message: String
    var details: String?
    var hint: String?
    /// Where in the SQL text, in characters from 1.
    var position: Int?
    /// Set where trying again later makes sense.
    var retryAfterSeconds: Int?
    /// For 405.
    var allow: String?
    /// For 416: how much there is (RFC 9110 §15.5.17).
    var contentRange: String?

    init(
        _ status: UInt16, _ code: String, _ message: String, details: String? = nil, hint: String? = nil,
        position: Int? = nil, retryAfterSeconds: Int? = nil, allow: String? = nil
    ) {
        self.status = status
        self.code = code
        self.message = message
        self.details = details
        self.hint = hint
        self.position = position
        self.retryAfterSeconds = retryAfterSeconds
        self.allow = allow
    }

    /// What the HTTP layer refused (a broken query string, a body too large).
    init(_ error: HTTPError) {
        self.init(
            error.status.code, error.code, error.message, details: error.details, hint: error.hint)
    }

    /// 500 that tells nothing: what is thrown by no rule of ours is a defect, and its text may hold anything.
    static let unexpected = QueryError(500, "internal", "internal error")

    /// What If-Match names is no longer so.
    static let preconditionFailed = QueryError(
        412, "precondition_failed", "it has changed since", hint: "Ask again without If-Match.")

    /// `{"code","message","details","hint","position","query_id"}`; what is not known is null.
    func jsonBody(_ id: QueryID) -> [UInt8] {
        var json: [UInt8] = []
        json.appendText("{\"code\":")
        json.appendJSONString(code)
        json.appendText(",\"message\":")
        json.appendJSONString(message)
        json.appendText(",\"details\":")
        json.appendJSONString(details)
        json.appendText(",\"hint\":")
        json.appendJSONString(hint)
        json.appendText(",\"position\":\(position.map(String.init) ?? "null"),\"query_id\":\"\(id)\"}\n")
        return json
    }

    /// The fields of the answer.
    func headers(_ id: QueryID) -> Headers {
        var headers: Headers = ["Content-Type": "application/json", "X-Query-Id": id.description]
        if let contentRange { headers.add("Content-Range", contentRange) }
        if let retryAfterSeconds { headers.add("Retry-After", "\(retryAfterSeconds)") }
        if let allow { headers.add("Allow", allow) }
        if status == 401 {
            headers.add("WWW-Authenticate", "Bearer realm=\"tapedeck\", Basic realm=\"tapedeck\", charset=\"UTF-8\"")
        }
        return headers
    }
}
