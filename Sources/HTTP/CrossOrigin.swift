// SPDX-License-Identifier: Apache-2.0
// Which web pages may read our answers: CORS (Fetch Standard, section "CORS protocol"). Pure.

/// The origins whose pages browsers may let read responses.
package struct CrossOrigin: Sendable, Equatable {
    /// Who is allowed.
    package enum Origins: Sendable, Equatable {
        /// Nobody but pages of our own.
        case none
        /// Everybody; requests with cookies or client certificates excepted, which browsers then refuse.
        case any
        /// These, as browsers spell them: `https://app.example`, `http://localhost:3000`.
        case listed(Set<String>)
    }

    package var origins = Origins.none
    /// How long browsers may remember a preflight's answer.
    package var maxAgeSeconds = 600

    package init(_ origins: Origins = .none) { self.origins = origins }

    /// Which response fields scripts may read: all, among them those that tell of the next page. Requests with cookies, for
    /// which browsers take the star for a name, are not let in.
    static let exposed = "*"
    static let methods = "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS"

    /// What is added to every response.
    func fields(for head: RequestHead) -> Headers {
        var headers = Headers.none
        let reader: String
        switch origins {
        case .none: return headers
        case .any: reader = "*"
        case .listed(let allowed):
            // Caches must know that the answer depends on who asks, also when nobody did.
            headers.add("Vary", "Origin")
            guard let origin = head["origin"], allowed.contains(origin) else { return headers }
            reader = origin
        }
        headers.add("Access-Control-Allow-Origin", reader)
        headers.add("Access-Control-Expose-Headers", Self.exposed)
        // Server-Timing and its like in the page's own record of how long things took (W3C Resource Timing).
        headers.add("Timing-Allow-Origin", reader)
        return headers
    }

    /// The answer to a preflight, without ``fields(for:)``; nil if the request is none that is allowed, and goes on to
    /// the handler as any OPTIONS does.
    func preflight(_ head: RequestHead) -> Headers? {
        guard head.method == .options, let origin = head["origin"], head["access-control-request-method"] != nil else {
            return nil
        }
        switch origins {
        case .none: return nil
        case .any: break
        case .listed(let allowed): if !allowed.contains(origin) { return nil }
        }
        var headers: Headers = [
            "Access-Control-Allow-Methods": Self.methods, "Access-Control-Max-Age": "\(maxAgeSeconds)",
            "Vary": "Access-Control-Request-Headers",
        ]
        // Which of them mean something is the handler's affair; that they may be sent is ours.
        if let requested = head["access-control-request-headers"] {
            headers.add("Access-Control-Allow-Headers", requested)
        }
        return headers
    }
}
