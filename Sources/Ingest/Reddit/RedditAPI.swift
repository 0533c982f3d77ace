// SPDX-License-Identifier: Apache-2.0

import Market

/// Who Tapedeck is to Reddit (https://github.com/reddit-archive/reddit/wiki/OAuth2): an application that somebody has
/// registered, and for a script its owner's account. It prints as nothing.
package struct RedditCredentials: Sendable, CustomStringConvertible, CustomReflectable {
    let clientID: String
    /// Empty for an application without one.
    let clientSecret: String
    /// With these it asks as the account (a script), without as nobody in particular (application only).
    let account: (name: String, password: String)?

    package init(clientID: String, clientSecret: String, account: (name: String, password: String)? = nil) {
        self.clientID = clientID
        self.clientSecret = clientSecret
        self.account = account
    }

    package var description: String { "<secret>" }
    package var customMirror: Mirror { Mirror(self, children: []) }

    /// The body by which a token is asked for (RFC 6749 §4.3.2, §4.4.2; Reddit's own grant for applications without a
    /// secret).
    var grant: String {
        if let account {
            let (name, password) = (Self.encoded(account.name), Self.encoded(account.password))
            return "grant_type=password&username=\(name)&password=\(password)"
        }
        if clientSecret.isEmpty {
            return "grant_type=https%3A%2F%2Foauth.reddit.com%2Fgrants%2Finstalled_client"
                + "&device_id=DO_NOT_TRACK_THIS_DEVICE"
        }
        return "grant_type=client_credentials"
    }

    /// The value of the header by which the application says who it is (RFC 7617).
    var authorization: String { "Basic \(Base64.encode(Array("\(clientID):\(clientSecret)".utf8)))" }

    /// `text` as a value of a form: RFC 3986's unreserved characters stay.
    static func encoded(_ text: String) -> String {
        let digits = Array("0123456789ABCDEF".utf8)
        var encoded: [UInt8] = []
        for byte in text.utf8 {
            switch byte {
            case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
                UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "-"), UInt8(ascii: "."), UInt8(ascii: "_"),
                UInt8(ascii: "~"):
                encoded.append(byte)
            default:
                encoded += [UInt8(ascii: "%"), digits[Int(byte >> 4)], digits[Int(byte & 15)]]
            }
        }
        return String(decoding: encoded, as: UTF8.self)
    }
}

/// RFC 4648 §4.
enum Base64 {
    static func encode(_ bytes: [UInt8]) -> String {
        let alphabet = Array("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/".utf8)
        var text: [UInt8] = []
        for start in stride(from: 0, to: bytes.count, by: 3) {
            let group = bytes[start..<min(start + 3, bytes.count)]
            let bits = group.enumerated().reduce(0) { $0 | Int($1.element) << (16 - 8 * $1.offset) }
            for place in 0..<4 {
                text.append(place <= group.count ? alphabet[bits >> (18 - 6 * place) & 63] : UInt8(ascii: "="))
            }
        }
        return String(decoding: text, as: UTF8.self)
    }
}

/// A token as Reddit gives it (RFC 6749 §5).
struct RedditToken: Sendable {
    let value: String
    /// Until when it may be used, with a margin.
    let expires: ContinuousClock.Instant

    /// A token is renewed so long before it ends.
    private static let margin = Duration.seconds(60)

    private static func refusal(_ why: String) -> RedditError {
        RedditError(
            .refused, "Reddit does not accept the credentials (\(why)); check client id, secret and account")
    }

    /// Reads the reply to a request for a token.
    static func parse(_ reply: HTTPClient.Response, now: ContinuousClock.Instant) throws(RedditError) -> RedditToken {
        switch reply.status {
        case 200: break
        case 400, 401, 403:
            throw Self.refusal("status \(reply.status)")
        default: throw RedditAPI.failure(reply.status, "a token")
        }
        var value: String?
        var lifetime: Double?
        var complaint: String?
        let isRead = reply.body.withUnsafeBytes { bytes in
            var scanner = JSONScanner(bytes)
            guard scanner.kind() == .object else { return false }
            return scanner.object { scanner, key in
                switch String(decoding: key, as: UTF8.self) {
                case "access_token" where scanner.kind() == .string: value = scanner.string()
                case "expires_in" where scanner.kind() == .number:
                    lifetime = scanner.number().flatMap { NumberText.double($0) }
                case "error" where scanner.kind() == .string: complaint = scanner.string()
                default: return scanner.skipValue()
                }
                return true
            } && scanner.isAtEnd()
        }
        if let complaint {
            // Codes of RFC 6749 are words of letters and underscores; nothing else is repeated.
            let code = complaint.prefix(40).filter { $0.isASCII && ($0.isLetter || $0 == "_") }
            throw Self.refusal("\(code)")
        }
        guard isRead, let value, !value.isEmpty, let lifetime, lifetime > 0, lifetime < 1e9 else {
            throw RedditError(.unreadable, "the reply to the request for a token holds no access_token with expires_in")
        }
        let usable = max(lifetime / 2, lifetime - Double(Self.margin.components.seconds))
        return RedditToken(value: value, expires: now + .seconds(usable))
    }
}

/// Reddit's API, as far as it is used: listings, with a token that is renewed, within the limits that replies tell.
/// Used by one task.
final class RedditAPI {
    private let settings: RedditSource.Settings
    private let client: HTTPClient
    private let clock = ContinuousClock()
    private let now: @Sendable () -> Timestamp
    /// Reddit allows a hundred a minute, averaged over ten minutes, and its replies say how many are left. This one only
    /// keeps a walk from being a burst of hundreds.
    private var limit = RateLimit(requests: 10, in: .seconds(1), burst: 20)
    private var token: RedditToken?

    init(_ settings: RedditSource.Settings, now: @escaping @Sendable () -> Timestamp) {
        self.settings = settings
        self.now = now
        var client = HTTPClient.Settings(userAgent: settings.userAgent)
        client.authorities = settings.authorities
        client.timeout = settings.timeout
        client.connectTimeout = min(client.connectTimeout, settings.timeout)
        client.longestBody = 16 << 20
        self.client = HTTPClient(client)
    }

    /// Asks for a listing; `path` begins with a slash and holds no secret.
    func listing(_ path: String) async throws -> RedditListing {
        try RedditListing.parse(try await get(path))
    }

    /// Asks for something, with a new token if the old one is not accepted any more.
    func get(_ path: String) async throws -> [UInt8] {
        var isRenewed = false
        while true {
            let token = try await currentToken()
            let reply = try await send(
                .init(
                    url: settings.apiURL + path, headers: [("Authorization", "bearer \(token)")],
                    name: "GET \(path.prefix { $0 != "?" })"))
            switch reply.status {
            case 200: return reply.body
            case 401 where !isRenewed:
                isRenewed = true
                self.token = nil
            case 401: throw RedditError(.refused, "Reddit does not accept a token that it has just given")
            default: throw Self.failure(reply.status, String(path.prefix { $0 != "?" }))
            }
        }
    }

    private func currentToken() async throws -> String {
        if let token, token.expires > clock.now { return token.value }
        let reply = try await send(
            .init(
                "POST", url: settings.tokenURL + "/api/v1/access_token",
                headers: [
                    ("Authorization", settings.credentials.authorization),
                    ("Content-Type", "application/x-www-form-urlencoded"),
                ], body: Array(settings.credentials.grant.utf8), name: "POST /api/v1/access_token"))
        let token = try RedditToken.parse(reply, now: clock.now)
        self.token = token
        return token.value
    }

    private func send(_ request: HTTPClient.Request) async throws -> HTTPClient.Response {
        let pause = limit.take(at: clock.now)
        if pause > .zero { try await Task.sleep(for: pause) }
        let reply = try await client.send(request)
        limit.learn(from: reply, at: clock.now, clock: now())
        return reply
    }

    static func failure(_ status: Int, _ what: String) -> RedditError {
        switch status {
        case 403, 404:
            RedditError(
                .notFound, "\(what) is not there, or not for everybody (status \(status)); check the subreddits")
        case 429: RedditError(.unavailable, "too many requests (status 429)")
        case 500...: RedditError(.unavailable, "Reddit fails (status \(status))")
        default: RedditError(.unreadable, "an answer of status \(status) to \(what) was not expected")
        }
    }
}
