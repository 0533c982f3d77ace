// SPDX-License-Identifier: Apache-2.0

import CCurl
import Dispatch
import Synchronization

/// HTTP/1.1 and HTTPS over libcurl; certificate and host name are always verified.
///
/// Requests are sent one after the other, on a queue of the client's own, over connections that stay open: what polls a
/// service within its limits needs no more. Bodies come unpacked (gzip, deflate). Nothing it prints or throws has a URL
/// in it: see ``Request/name``.
package final class HTTPClient: Sendable {
    package struct Settings: Sendable {
        package var userAgent: String
        /// For name, connection and handshake together.
        package var connectTimeout: Duration = .seconds(10)
        /// For a request as a whole.
        package var timeout: Duration = .seconds(60)
        /// Most bytes of a body, unpacked.
        package var longestBody = 32 << 20
        /// A transfer that stays below so many bytes a second for so long is given up; whole seconds.
        package var slowest: (bytesPerSecond: Int, over: Duration) = (64, .seconds(30))
        /// A PEM file of certificate authorities instead of the system's, for private and test servers.
        package var authorities: String?
        /// Hosts besides the request's own to which a reply may send it on. They get none of its headers and no body.
        package var redirectHosts: Set<String> = []
        /// Whether cookies are kept, in memory, and sent back.
        package var keepsCookies = false

        package init(userAgent: String) { self.userAgent = userAgent }
    }

    package struct Request: Sendable {
        package var method: String
        package var url: String
        package var headers: [(name: String, value: String)]
        package var body: [UInt8]?
        /// What errors and logs say instead of the URL; never a secret.
        package var name: String

        package init(
            _ method: String = "GET", url: String, headers: [(name: String, value: String)] = [], body: [UInt8]? = nil,
            name: String
        ) {
            self.method = method
            self.url = url
            self.headers = headers
            self.body = body
            self.name = name
        }
    }

    package struct Response: Sendable {
        package var status: Int
        package var headers: [(name: String, value: String)]
        package var body: [UInt8]
        /// Where it came from, after redirects. May hold what the request's URL held: not for printing.
        package var url: String

        package init(status: Int, headers: [(name: String, value: String)] = [], body: [UInt8] = [], url: String = "") {
            self.status = status
            self.headers = headers
            self.body = body
            self.url = url
        }

        /// The first header of that name, in any case.
        package subscript(name: String) -> String? {
            let wanted = name.lowercased()
            return headers.first { $0.name.lowercased() == wanted }?.value
        }
    }

    /// Most requests that wait for their turn.
    package static let longestQueue = 64
    /// Most redirects of one request.
    static let mostRedirects = 5
    /// Most bytes of a reply's head.
    static let longestHead = 256 << 10

    private let queue = DispatchQueue(label: "tapedeck.http-client")
    private let engine: Engine
    private let waiting = Atomic(0)

    package init(_ settings: Settings) { engine = Engine(settings) }

    /// Sends a request and waits for the whole reply, of whatever status. Cancelling the task ends the transfer within
    /// about a second.
    package func send(_ request: Request) async throws(HTTPClientError) -> Response {
        let ticket = Ticket()
        guard waiting.wrappingAdd(1, ordering: .relaxed).newValue <= Self.longestQueue else {
            waiting.wrappingSubtract(1, ordering: .relaxed)
            throw HTTPClientError(.busy, request.name, "\(Self.longestQueue) requests are waiting already")
        }
        defer { waiting.wrappingSubtract(1, ordering: .relaxed) }
        let result = await withTaskCancellationHandler {
            await withCheckedContinuation { continuation in
                queue.async { [engine] in continuation.resume(returning: engine.send(request, ticket)) }
            }
        } onCancel: {
            ticket.cancel()
        }
        return try result.get()
    }

    /// Forgets all cookies, once the requests sent before have their replies.
    package func forgetCookies() { queue.async { [engine] in engine.forgetCookies() } }

    /// Whether somebody still wants the reply.
    fileprivate final class Ticket: Sendable {
        private let cancelled = Atomic(false)

        var isCancelled: Bool { cancelled.load(ordering: .relaxed) }
        func cancel() { cancelled.store(true, ordering: .relaxed) }
    }
}

/// Why a request has no reply.
package struct HTTPClientError: Error, Sendable, CustomStringConvertible {
    package enum Kind: Sendable, Equatable {
        /// The name has no address, or nobody answers there, or the connection broke.
        case unreachable
        /// The certificate is not of a known authority or not for the host, or the handshake failed.
        case untrusted
        /// A deadline passed, or bytes came too slowly.
        case tooSlow
        /// The head or the body is longer than allowed.
        case tooLarge
        /// The reply is no HTTP, was cut off, or cannot be unpacked.
        case garbled
        /// It was sent to a host that it may not go to, or on and on.
        case redirected
        /// Too many requests are waiting.
        case busy
        /// The request itself cannot be sent.
        case invalid
        case cancelled
    }

    package let kind: Kind
    /// The request's name.
    package let request: String
    package let message: String

    init(_ kind: Kind, _ request: String, _ message: String) {
        self.kind = kind
        self.request = request
        self.message = message
    }

    /// Whether the same request may succeed later without anybody's help.
    package var mayPass: Bool {
        switch kind {
        case .unreachable, .tooSlow, .garbled, .busy, .tooLarge: true
        case .untrusted, .redirected, .invalid, .cancelled: false
        }
    }

    package var description: String { "\(request): \(message)" }
}

/// The handle of libcurl.
///
/// Rule: everything but `init` and `deinit` is used on the client's serial queue alone, one call at a time.
private final class Engine: @unchecked Sendable {
    private static let isReady: Bool = curl_global_init(Int(CURL_GLOBAL_DEFAULT)) == CURLE_OK

    private let settings: HTTPClient.Settings
    private let handle: UnsafeMutableRawPointer?
    private let complaint = UnsafeMutablePointer<CChar>.allocate(capacity: Int(CURL_ERROR_SIZE))

    init(_ settings: HTTPClient.Settings) {
        self.settings = settings
        handle = Self.isReady ? curl_easy_init() : nil
        complaint.initialize(repeating: 0, count: Int(CURL_ERROR_SIZE))
        guard let handle else { return }
        _ = tapedeck_curl_set_complaint(handle, complaint)
        _ = tapedeck_curl_allow_http_only(handle)
        _ = tapedeck_curl_set_text(handle, CURLOPT_USERAGENT, settings.userAgent)
        _ = tapedeck_curl_set_text(handle, CURLOPT_ACCEPT_ENCODING, "gzip, deflate")
        if let authorities = settings.authorities {
            _ = tapedeck_curl_set_text(handle, CURLOPT_CAINFO, authorities)
        }
        if settings.keepsCookies { _ = tapedeck_curl_set_text(handle, CURLOPT_COOKIEFILE, "") }
        let numbers: [(CURLoption, Int)] = [
            (CURLOPT_HTTP_VERSION, Int(CURL_HTTP_VERSION_1_1)), (CURLOPT_NOSIGNAL, 1), (CURLOPT_FOLLOWLOCATION, 0),
            (CURLOPT_SSL_VERIFYPEER, 1), (CURLOPT_SSL_VERIFYHOST, 2),
            (CURLOPT_SSLVERSION, Int(CURL_SSLVERSION_TLSv1_2)),
            (CURLOPT_CONNECTTIMEOUT_MS, settings.connectTimeout.inMilliseconds),
            (CURLOPT_TIMEOUT_MS, settings.timeout.inMilliseconds),
            (CURLOPT_LOW_SPEED_LIMIT, settings.slowest.bytesPerSecond),
            (CURLOPT_LOW_SPEED_TIME, max(1, settings.slowest.over.inMilliseconds / 1000)),
        ]
        for (option, value) in numbers { _ = tapedeck_curl_set_long(handle, option, value) }
    }

    deinit {
        if let handle { curl_easy_cleanup(handle) }
        complaint.deallocate()
    }

    func forgetCookies() {
        if let handle { _ = tapedeck_curl_set_text(handle, CURLOPT_COOKIELIST, "ALL") }
    }

    /// The request and, within the rules, those that replies send it on to.
    func send(
        _ request: HTTPClient.Request, _ ticket: HTTPClient.Ticket
    ) -> Result<HTTPClient.Response, HTTPClientError> {
        var request = request
        guard let first = Origin(request.url) else {
            return .failure(HTTPClientError(.invalid, request.name, "its address is no URL of http or https"))
        }
        for _ in 0...HTTPClient.mostRedirects {
            let (reply, next): (HTTPClient.Response, String?)
            do throws(HTTPClientError) { (reply, next) = try transfer(request, ticket) } catch {
                return .failure(error)
            }
            guard (300..<400).contains(reply.status), let next else { return .success(reply) }
            guard let origin = Origin(next), origin == first || mayFollow(from: first, to: origin) else {
                return .failure(
                    HTTPClientError(
                        .redirected, request.name,
                        "the reply (\(reply.status)) sends it to \(Origin(next)?.host ?? "no address of http"), where it may not go"
                    ))
            }
            if origin != first {
                request.headers = []
                request.body = nil
            }
            // RFC 9110 §15.4: only 307 and 308 keep the method.
            if ![307, 308].contains(reply.status) && request.method != "HEAD" || origin != first {
                request.method = request.method == "HEAD" ? "HEAD" : "GET"
                request.body = nil
            }
            request.url = next
        }
        return .failure(
            HTTPClientError(.redirected, request.name, "more than \(HTTPClient.mostRedirects) redirects"))
    }

    private func mayFollow(from first: Origin, to next: Origin) -> Bool {
        settings.redirectHosts.contains(next.host) && (next.scheme == "https" || first.scheme == "http")
    }

    /// One exchange; also where the reply sends the client.
    private func transfer(
        _ request: HTTPClient.Request, _ ticket: HTTPClient.Ticket
    ) throws(HTTPClientError) -> (HTTPClient.Response, String?) {
        if ticket.isCancelled { throw HTTPClientError(.cancelled, request.name, "cancelled") }
        guard let handle else { throw HTTPClientError(.invalid, request.name, "libcurl cannot be started") }
        let headers = try list(request)
        defer { curl_slist_free_all(headers) }
        complaint[0] = 0
        _ = tapedeck_curl_set_text(handle, CURLOPT_URL, request.url)
        _ = tapedeck_curl_set_list(handle, CURLOPT_HTTPHEADER, headers)
        // In this order: HTTPGET takes back what a body set, NOBODY is taken back by HTTPGET.
        _ = tapedeck_curl_set_long(handle, CURLOPT_HTTPGET, 1)
        if request.method == "HEAD" { _ = tapedeck_curl_set_long(handle, CURLOPT_NOBODY, 1) }
        if let body = request.body { _ = tapedeck_curl_set_body(handle, body, body.count) }
        _ = tapedeck_curl_set_text(
            handle, CURLOPT_CUSTOMREQUEST, ["GET", "HEAD"].contains(request.method) ? nil : request.method)
        let reply = Reply(longestBody: settings.longestBody, ticket)
        let context = Unmanaged.passUnretained(reply).toOpaque()
        _ = tapedeck_curl_set_writer(
            handle,
            { bytes, size, count, context in
                guard let bytes, let context else { return 0 }
                return Unmanaged<Reply>.fromOpaque(context).takeUnretainedValue().takeBody(bytes, size * count)
            }, context)
        _ = tapedeck_curl_set_header_reader(
            handle,
            { bytes, size, count, context in
                guard let bytes, let context else { return 0 }
                return Unmanaged<Reply>.fromOpaque(context).takeUnretainedValue().takeHead(bytes, size * count)
            }, context)
        _ = tapedeck_curl_set_progress(
            handle,
            { context, _, _, _, _ in
                guard let context else { return 1 }
                return Unmanaged<Reply>.fromOpaque(context).takeUnretainedValue().ticket.isCancelled ? 1 : 0
            }, context)
        let code = withExtendedLifetime(reply) { curl_easy_perform(handle) }
        guard code == CURLE_OK else { throw error(code, reply, request) }
        return (
            HTTPClient.Response(
                status: tapedeck_curl_status(handle), headers: reply.headers, body: reply.body, url: request.url),
            tapedeck_curl_redirect(handle).map { String(cString: $0) }
        )
    }

    private func list(_ request: HTTPClient.Request) throws(HTTPClientError) -> UnsafeMutablePointer<curl_slist>? {
        for (name, value) in request.headers where (name + value).utf8.contains(where: { $0 < 0x20 || $0 == 0x7F }) {
            // The value may be a secret.
            throw HTTPClientError(.invalid, request.name, "the value of header \(name.debugDescription) has a line end")
        }
        // curl would wait a second for a 100 that few servers send.
        var list = curl_slist_append(nil, "Expect:")
        for (name, value) in request.headers { list = curl_slist_append(list, "\(name): \(value)") }
        return list
    }

    private func error(_ code: CURLcode, _ reply: Reply, _ request: HTTPClient.Request) -> HTTPClientError {
        if reply.ticket.isCancelled { return HTTPClientError(.cancelled, request.name, "cancelled") }
        if reply.isTooLong {
            return HTTPClientError(.tooLarge, request.name, "a reply of more than \(settings.longestBody) bytes")
        }
        let kind: HTTPClientError.Kind
        switch code {
        case CURLE_OPERATION_TIMEDOUT: kind = .tooSlow
        case CURLE_PEER_FAILED_VERIFICATION, CURLE_SSL_CONNECT_ERROR, CURLE_SSL_CACERT_BADFILE, CURLE_SSL_CERTPROBLEM,
            CURLE_SSL_ISSUER_ERROR, CURLE_SSL_INVALIDCERTSTATUS:
            kind = .untrusted
        case CURLE_URL_MALFORMAT, CURLE_UNSUPPORTED_PROTOCOL: kind = .invalid
        case CURLE_WEIRD_SERVER_REPLY, CURLE_PARTIAL_FILE, CURLE_BAD_CONTENT_ENCODING, CURLE_GOT_NOTHING,
            CURLE_WRITE_ERROR:
            kind = .garbled
        default: kind = .unreachable
        }
        let words = complaint[0] == 0 ? String(cString: curl_easy_strerror(code)) : String(cString: complaint)
        return HTTPClientError(kind, request.name, words)
    }
}

/// Scheme, host and port of a URL.
private struct Origin: Equatable {
    var scheme: String
    var host: String
    var port: String

    init?(_ url: String) {
        guard let parts = curl_url() else { return nil }
        defer { curl_url_cleanup(parts) }
        guard curl_url_set(parts, CURLUPART_URL, url, 0) == CURLUE_OK,
            let scheme = Self.part(parts, CURLUPART_SCHEME), scheme == "http" || scheme == "https",
            let host = Self.part(parts, CURLUPART_HOST), let port = Self.part(parts, CURLUPART_PORT)
        else { return nil }
        self.scheme = scheme
        self.host = host.lowercased()
        self.port = port
    }

    private static func part(_ parts: OpaquePointer, _ part: CURLUPart) -> String? {
        var text: UnsafeMutablePointer<CChar>?
        guard curl_url_get(parts, part, &text, UInt32(CURLU_DEFAULT_PORT)) == CURLUE_OK, let text else { return nil }
        defer { curl_free(text) }
        return String(cString: text)
    }
}

/// What has come of a reply. Used by the callbacks of one transfer, on the thread that performs it.
private final class Reply {
    let ticket: HTTPClient.Ticket
    private let longestBody: Int
    private(set) var headers: [(name: String, value: String)] = []
    private(set) var body: [UInt8] = []
    private(set) var isTooLong = false
    private var headLength = 0

    init(longestBody: Int, _ ticket: HTTPClient.Ticket) {
        self.longestBody = longestBody
        self.ticket = ticket
    }

    /// Takes bytes; fewer than came means: give up.
    func takeBody(_ bytes: UnsafePointer<CChar>, _ count: Int) -> Int {
        if body.count + count > longestBody {
            isTooLong = true
            return 0
        }
        body.append(contentsOf: UnsafeRawBufferPointer(start: bytes, count: count))
        return count
    }

    /// Takes a line of the head.
    func takeHead(_ bytes: UnsafePointer<CChar>, _ count: Int) -> Int {
        headLength += count
        if headLength > HTTPClient.longestHead {
            isTooLong = true
            return 0
        }
        let line = String(decoding: UnsafeRawBufferPointer(start: bytes, count: count), as: UTF8.self)
        // A status line begins a head: an interim one (RFC 9110 §15.2) may have come before.
        if line.hasPrefix("HTTP/") {
            headers = []
        } else if let colon = line.firstIndex(of: ":") {
            headers.append((String(line[..<colon]), line[line.index(after: colon)...].trimmed))
        }
        return count
    }
}

extension Substring {
    fileprivate var trimmed: String {
        let isBlank: (Character) -> Bool = { $0 == " " || $0 == "\t" || $0.isNewline }
        return String(drop(while: isBlank).reversed().drop(while: isBlank).reversed())
    }
}

extension Duration {
    fileprivate var inMilliseconds: Int {
        Int(components.seconds * 1000 + components.attoseconds / 1_000_000_000_000_000)
    }
}
