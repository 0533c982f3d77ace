// SPDX-License-Identifier: Apache-2.0
// The Presto and Trino client protocol on one event loop: its paths, and the tasks of its queries.

import EventLoop
import HTTP
import Logging
import Market
import TrinoSQL

/// Answers the protocol's requests. What it knows of queries it shares with the other loops; the queries whose POST
/// came here are run here.
final class TrinoService: @unchecked Sendable {
    // Rule for `@unchecked Sendable`: what changes is touched on the loop's thread only, by ``serve()``, its child tasks
    // and the handlers of the loop's connections; everything else is immutable.

    let queries: TrinoQueries
    private let configuration: QueryServer.Configuration
    private let gate: Gate
    private let logger: Logger
    private let types = TrinoTypeCatalog()
    private let started = MonotonicTime.now()
    /// Whether this is the loop that looks after what nobody fetches.
    private let isSweeper: Bool

    /// Queries whose task has not begun.
    private var accepted: [TrinoQuery] = []
    private var isStopping = false
    private var wake: Waiter?

    init(
        _ configuration: QueryServer.Configuration, _ queries: TrinoQueries, _ gate: Gate, logger: Logger,
        isSweeper: Bool
    ) {
        self.configuration = configuration
        self.queries = queries
        self.gate = gate
        self.logger = logger
        self.isSweeper = isSweeper
    }

    /// The longest a request for a page waits (Trino's `maxWait`).
    private static let wait = Duration.seconds(1)
    /// Bytes of rows in a page whose request names no size.
    private static let pageBytes = 1024 * 1024
    /// How often the forgotten are looked for.
    private static let sweepInterval = Duration.seconds(1)

    // MARK: Tasks

    /// Runs the queries that are accepted here, each as a child task, until ``stop()``; returns when all have ended.
    func serve() async {
        await withDiscardingTaskGroup { group in
            while true {
                for query in accepted {
                    group.addTask { await self.run(query) }
                }
                accepted = []
                if isStopping { return }
                let waiter = Waiter()
                wake = waiter
                if isSweeper { gate.loop.schedule(at: .now() + Self.sweepInterval) { waiter.resume() } }
                await withUnsafeContinuation { waiter.arm($0) }
                if isSweeper { queries.sweep(.now()) }
            }
        }
    }

    /// Has ``serve()`` end; to be called after ``TrinoQueries/close()``.
    func stop() {
        isStopping = true
        wake?.resume()
    }

    private func run(_ query: TrinoQuery) async {
        await TrinoRun(query: query, queries: queries, gate: gate, types: types, configuration: configuration).run()
    }

    private func start(_ query: TrinoQuery) {
        accepted.append(query)
        wake?.resume()
    }

    // MARK: Requests

    /// Answers a request whose path is the protocol's.
    func handle(_ route: TrinoRoute, _ request: Request, _ response: ResponseWriter) async throws {
        response.route = "\(route.pattern)"
        do throws(any Error) {
            try await answer(route, request, response)
        } catch let refusal as TrinoRefusal {
            var headers: Headers = ["Content-Type": "text/plain; charset=utf-8"]
            if refusal.status == 401 { headers.add("WWW-Authenticate", "Basic realm=\"Trino\"") }
            if refusal.status == 503 { headers.add("Retry-After", "1") }
            try await response.respond(Status(refusal.status), headers, text: refusal.text + "\n")
        }
    }

    private func answer(_ route: TrinoRoute, _ request: Request, _ response: ResponseWriter) async throws {
        let method = request.head.method
        switch (route, method) {
        case (.statement, .post): try await accept(request, response)
        case (.page(let id, let slug, let token), .get):
            try await sendPage(try queries.find(id, slug: slug), token, request, response)
        case (.page(let id, let slug, _), .head):
            // A sign of life while the client is busy with a page.
            try queries.find(id, slug: slug).touch()
            try await response.respond(.ok)
        case (.page(let id, let slug, _), .delete):
            let query = try queries.find(id, slug: slug)
            noteCancel(of: query, request)
            query.cancel()
            try await response.respond(.noContent)
        case (.queries, .get), (.queries, .head): try await sendList(request, response)
        case (.query(let id), .get), (.query(let id), .head):
            guard let query = queries.find(id), maySee(query, request) else {
                throw TrinoRefusal(410, "Query not found: \(id)")
            }
            try await send([query].json(single: true, try TrinoBase(request)), response)
        case (.query(let id), .delete):
            if let query = queries.find(id), maySee(query, request) {
                noteCancel(of: query, request)
                query.cancel()
            }
            try await response.respond(.noContent)
        case (.killed(let id), .put):
            guard let query = queries.find(id), !query.isEnded, maySee(query, request) else {
                throw TrinoRefusal(410, "Query not running: \(id)")
            }
            let message = String(decoding: try await request.body.collect(upTo: 4096), as: UTF8.self)
            noteCancel(of: query, request)
            query.fail(.killed(message))
            try await response.respond(.accepted)
        case (.info, .get), (.info, .head): try await send(info, response)
        case (.infoState, .get), (.infoState, .head): try await send("\"ACTIVE\"", response)
        case (.coordinator, .get), (.coordinator, .head), (.status, .head): try await response.respond(.ok)
        case (.status, .get): try await send(info, response)
        case (.page404, _): throw TrinoRefusal.unknown
        case (.console, .get), (.console, .head): try await sendConsole(request, response)
        case (_, .options): try await response.respond(.noContent, ["Allow": route.allow])
        default:
            try await response.respond(
                .methodNotAllowed, ["Allow": route.allow, "Content-Type": "text/plain; charset=utf-8"],
                text: "Allowed: \(route.allow)\n")
        }
    }

    private func send(_ json: String, _ response: ResponseWriter) async throws {
        try await response.respond(.ok, TrinoReply.headers, text: json + "\n")
    }

    // MARK: Statements

    private func accept(_ request: Request, _ response: ResponseWriter) async throws {
        let session = try TrinoSession(request.head)
        let base = try TrinoBase(request)
        let body = try await request.body.collect(upTo: configuration.bodyLimit)
        guard let sql = String(validating: body, as: UTF8.self) else {
            throw TrinoRefusal(400, "SQL statement is not UTF-8")
        }
        if sql.utf8.allSatisfy({ $0 <= 0x20 }) { throw TrinoRefusal(400, "SQL statement is empty") }
        let now = QueryHandler.now()
        let caller = Caller(request)
        let id = queries.makeID(now)
        let query = TrinoQuery(
            id: id, slug: TrinoQueries.makeSecret(), sql: sql, session: session,
            running: RunningQuery(
                id: id, kind: .trino, client: caller, text: sql, trace: request.trace, started: request.received,
                startedAt: now),
            timeout: min(
                session.timeout ?? configuration.queryTimeoutDefault, configuration.queryTimeoutLimit,
                caller.limits.timeout ?? .seconds(86_400)),
            created: request.received)
        try queries.add(query)
        logger.debug(
            "trino", metadata: request.trace.metadata.merging(["id": "\(id)", "query": "\(sql)"]) { _, own in own })
        start(query)
        try await response.respond(.ok, TrinoReply.headers, TrinoReply(query: query, base: base).accepted())
    }

    private func sendPage(
        _ query: TrinoQuery, _ token: Int, _ request: Request, _ response: ResponseWriter
    ) async throws {
        let base = try TrinoBase(request)
        let options = try request.head.query()
        let wait = options["maxWait"].flatMap(TrinoProperty.duration) ?? Self.wait
        let target = options["targetResultSize"].flatMap(TrinoPageSize.bytes) ?? Self.pageBytes
        let taken = await query.page(
            token, target: target, until: .now() + min(wait, Self.wait), on: gate.loop)
        switch taken {
        case .page(let page):
            let reply = TrinoReply(query: query, base: base)
            let pieces = reply.pieces(page)
            let length = pieces.reduce(0) { $0 + $1.count }
            // Compression is worth its time on a network; a length is for what is sent as it is.
            try response.start(.ok, reply.headers(page), length: request.peer.isLoopback ? length : nil)
            for piece in pieces { try await response.write(piece) }
            try await response.finish()
        case .gone: throw TrinoRefusal.gone
        case .unknown, .nothing: throw TrinoRefusal.unknown
        }
    }

    // MARK: What runs

    private var info: String {
        let minutes = Double((MonotonicTime.now() - started).inNanoseconds / 600_000_000) / 100
        var json: [UInt8] = []
        json.appendText("{\"nodeVersion\":{\"version\":")
        json.appendJSONString(configuration.version)
        json.appendText(
            "},\"environment\":\"tapedeck\",\"coordinator\":true,\"starting\":false,\"uptime\":\"\(minutes)m\"}")
        return String(decoding: json, as: UTF8.self)
    }

    /// For the audit log; of one that has ended there is nothing to cancel.
    private func noteCancel(of query: TrinoQuery, _ request: Request) {
        if query.isEnded { return }
        configuration.audit?.noteCancel(of: query.running, by: Caller(request), request.trace)
    }

    private func maySee(_ query: TrinoQuery, _ request: Request) -> Bool {
        Caller(request).maySee(query.running.client)
    }

    private func sendList(_ request: Request, _ response: ResponseWriter) async throws {
        let state = try request.head.query()["state"]?.uppercased()
        let found = queries.all.filter { query in
            (state == nil || query.snapshot().stage.rawValue == state) && maySee(query, request)
        }
        try await send(found.json(single: false, try TrinoBase(request)), response)
    }

    private func sendConsole(_ request: Request, _ response: ResponseWriter) async throws {
        let id = request.head.rawQuery.map { String(decoding: $0, as: UTF8.self) } ?? ""
        guard let query = queries.find(id), maySee(query, request) else {
            throw TrinoRefusal(404, "No such query is remembered")
        }
        try await response.respond(
            .ok,
            [
                "Content-Type": "text/html; charset=utf-8", "Cache-Control": "no-store",
                "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'",
            ], text: query.page)
    }
}

/// The paths of the protocol.
enum TrinoRoute: Equatable {
    case statement
    case page(id: String, slug: String, token: Int)
    /// A page's address that cannot be one.
    case page404
    case queries
    case query(String)
    case killed(String)
    case info, infoState, coordinator, status
    case console

    /// The paths that clients and operators are told of; the others are given to clients as they need them.
    static let listed: [(path: String, methods: [String], summary: String)] = [
        ("/v1/statement", ["POST"], "Run a statement as Presto and Trino clients do"),
        ("/v1/statement/executing/{id}/{slug}/{token}", ["GET", "DELETE"], "The next page of a statement, or its end"),
        ("/v1/query", ["GET"], "Statements of Presto and Trino clients"),
        ("/v1/query/{id}", ["GET", "DELETE"], "One of them; end it"),
        ("/v1/info", ["GET"], "What Presto and Trino clients ask of a coordinator"),
    ]

    /// Nil for a path that is not the protocol's.
    init?(_ head: RequestHead) {
        guard head.rawPath.starts(with: "/v1/".utf8) || head.rawPath.starts(with: "/ui/".utf8),
            let parts = try? head.pathSegments()
        else { return nil }
        switch (parts.first, parts.dropFirst().first, parts.count) {
        case ("v1", "statement", 2): self = .statement
        case ("v1", "statement", 6) where parts[2] == "queued" || parts[2] == "executing":
            let digits = parts[5].utf8
            if digits.count <= 18, digits.allSatisfy({ $0 &- 0x30 < 10 }), let token = Int(parts[5]) {
                self = .page(id: parts[3], slug: parts[4], token: token)
            } else {
                self = .page404
            }
        case ("v1", "statement", _): self = .page404
        case ("v1", "query", 2): self = .queries
        case ("v1", "query", 3): self = .query(parts[2])
        case ("v1", "query", 4) where parts[3] == "killed": self = .killed(parts[2])
        case ("v1", "info", 2): self = .info
        case ("v1", "info", 3) where parts[2] == "state": self = .infoState
        case ("v1", "info", 3) where parts[2] == "coordinator": self = .coordinator
        case ("v1", "status", 2): self = .status
        case ("ui", "query.html", 2): self = .console
        default: return nil
        }
    }

    /// Who may.
    var access: Access {
        switch self {
        case .info, .infoState, .coordinator, .status: .open
        default: .scope(.sql)
        }
    }

    /// The name under which requests are counted.
    var pattern: StaticString {
        switch self {
        case .statement: "/v1/statement"
        case .page, .page404: "/v1/statement/{state}/{id}/{slug}/{token}"
        case .queries: "/v1/query"
        case .query: "/v1/query/{id}"
        case .killed: "/v1/query/{id}/killed"
        case .info: "/v1/info"
        case .infoState: "/v1/info/state"
        case .coordinator: "/v1/info/coordinator"
        case .status: "/v1/status"
        case .console: "/ui/query.html"
        }
    }

    var allow: String {
        switch self {
        case .statement: "POST, OPTIONS"
        case .page, .page404: "GET, HEAD, DELETE, OPTIONS"
        case .query: "GET, HEAD, DELETE, OPTIONS"
        case .killed: "PUT, OPTIONS"
        case .queries, .console,
            .info, .infoState, .coordinator, .status:
            "GET, HEAD, OPTIONS"
        }
    }
}

/// Sizes as Trino's clients write them (airlift's DataSize).
enum TrinoPageSize {
    /// `16MB`, `1kB`, `4096B`: bytes, up to 128 MB; nil for what is no size.
    static func bytes(_ text: String) -> Int? {
        let unit = text.drop { $0.isNumber || $0 == "." }
        guard let count = Double(text.prefix { $0.isNumber || $0 == "." }), count >= 0 else { return nil }
        let factor: Double
        switch unit.lowercased() {
        case "b": factor = 1
        case "kb": factor = 1024
        case "mb": factor = 1024 * 1024
        case "gb": factor = 1024 * 1024 * 1024
        default: return nil
        }
        return Int(min(count * factor, 128 * 1024 * 1024))
    }
}
