// SPDX-License-Identifier: Apache-2.0
// The way of a request through the server, and what one event loop owns.

import EventLoop
import Glibc
import HTTP
import Logging
import Market
import Postgres

/// Answers the requests of one event loop, with the loop's own connections to PostgreSQL.
final class QueryHandler: Handler, @unchecked Sendable {
    // Rule for `@unchecked Sendable`: the gate, what uses it, and what changes are used on the loop's thread only, which
    // the gate's pools check themselves; everything else is immutable.

    let loop: EventLoop
    let configuration: QueryServer.Configuration
    let gate: Gate
    let trino: TrinoService
    let version: StoreVersion
    let catalogue: TableCatalogueCache
    let live: LiveService
    private let keys: KeyRing
    private var known: KnownRequests
    private let logger: Logger

    init(
        _ configuration: QueryServer.Configuration, _ gate: Gate, _ trino: TrinoService, _ live: LiveService,
        _ keys: KeyRing, logger: Logger
    ) {
        loop = gate.loop
        self.configuration = configuration
        self.gate = gate
        self.trino = trino
        version = StoreVersion(gate, reader: configuration.reader)
        catalogue = TableCatalogueCache(gate)
        self.live = live
        self.keys = keys
        known = KnownRequests(configuration)
        self.logger = logger
    }

    /// Closes the connections; on the loop.
    func close() async { await gate.close() }

    func handle(_ arrived: Request, _ response: ResponseWriter) async throws {
        var request = arrived
        let id = QueryID(request.id)
        do {
            if request.head.method == .options && request.head.rawPath.elementsEqual("*".utf8) {
                return try await response.respond(.noContent, ["Allow": "GET, HEAD, POST, PUT, DELETE, OPTIONS"])
            }
            try request.head.normalizePath()
            if let route = TrinoRoute(request.head) {
                request.identity = try await identify(request, route.access)
                return try await trino.handle(route, request, response)
            }
            let route = try Route(request.head)
            response.route = route.name
            if request.head.method == .options {
                return try await response.respond(.noContent, ["Allow": route.allow])
            }
            try checkMethod(request.head, route)
            let token = try Self.token(&request.head, route)
            request.identity = try await identify(request, route.access, token: token)
            try await answer(route, request, response, id)
        } catch {
            try await refuse(error, request, response, id)
        }
    }

    /// A key in the URL, for what browsers can send no field with, WebSockets and event streams, and for Finnhub's
    /// clients, of whose paths it is taken: they are told in the list of queries, and are part of tags. It is in no log
    /// of ours; proxies may keep it.
    private static func token(_ head: inout RequestHead, _ route: Route) throws(HTTPError) -> String? {
        switch route {
        case .socket, .stream: try head.query()["token"]
        case .finnhubQuote, .finnhubCandles: try head.takeParameter("token")
        default: nil
        }
    }

    /// Who sends the request; see ``KeyRing``.
    ///
    /// - Parameter token: a secret that came elsewhere than in the head's fields, which go before it.
    private func identify(
        _ request: Request, _ access: Access, token: String? = nil
    ) async throws -> KeyIdentity? {
        if access == .open { return nil }
        let credentials = Credentials(request.head) ?? token.flatMap { $0.isEmpty ? nil : Credentials(secret: $0) }
        do {
            return try await admit(credentials, access, request)
        } catch let refusal as QueryError where ["key_invalid", "scope_missing"].contains(refusal.code) {
            // Not every try beyond the limit: whoever floods us would fill the disk.
            configuration.audit?.noteRefusal(
                of: credentials?.secret, by: Caller(request), request.trace, outcome: refusal.code)
            throw refusal
        }
    }

    private func admit(_ credentials: Credentials?, _ access: Access, _ request: Request) async throws -> KeyIdentity? {
        try await keys.admit(credentials, access, from: request.peer) { id, hash in
            let deadline = MonotonicTime.now() + configuration.connectTimeout
            do {
                return try await KeyStore.check(id: id, hash: hash, gate, deadline: deadline)
            } catch {
                logger.warning("a key cannot be checked", metadata: ["error": "\(error)"])
                throw QueryError(
                    503, "not_ready", "API keys cannot be checked now", hint: "Try again in a moment.",
                    retryAfterSeconds: 1)
            }
        }
    }

    /// Whether the client of a request that lasts would still be let in: its key may have been revoked, or have expired.
    /// One whose key cannot be looked up now stays.
    private func isStillWelcome(_ request: Request, _ route: Route) async -> Bool {
        guard request.identity != nil else { return true }
        do {
            var head = request.head
            _ = try await identify(request, route.access, token: try Self.token(&head, route))
            return true
        } catch {
            guard let status = (error as? QueryError)?.status else { return true }
            return status != 401 && status != 403
        }
    }

    private func checkMethod(_ head: RequestHead, _ route: Route) throws(QueryError) {
        if route.methods.contains(head.method) || head.method == .head && route.methods.contains(.get) { return }
        throw QueryError(
            405, "method_not_allowed", "\(head.methodToken) is not allowed here", details: "Allowed: \(route.allow).",
            allow: route.allow)
    }

    private func answer(_ route: Route, _ request: Request, _ response: ResponseWriter, _ id: QueryID) async throws {
        switch route {
        case .index where configuration.console.isWanted(request.head), .consoleFile:
            try await configuration.console.answer(request, response)
        case .index, .live, .ready, .health, .metrics, .version: try await answerOperator(route, request, response)
        case .sql:
            let caller = Caller(request)
            let query = try await sqlRequest(request, caller.limits)
            logger.debug("sql", metadata: metadata(request, id, "query", query.sql))
            let lease = lease(
                request, .queries, .sql, query.sql, id, caller, timeout: query.timeout,
                parameters: configuration.audit == nil ? nil : query.parametersText)
            try await SQLQuery(query: query, id: id, started: request.received, costLimit: configuration.costLimit)
                .run(lease, response)
        case .queries: try await answerQueries(request, response)
        case .query: try await cancelQuery(request, response)
        case .bars: try await answerMarket(.bars, request, response, id)
        case .indicators: try await answerMarket(.indicators, request, response, id)
        case .trades: try await answerMarket(.trades, request, response, id)
        case .latest: try await answerMarket(.latest, request, response, id)
        case .symbols: try await answerMarket(.symbols, request, response, id)
        case .alerts: try await answerMarket(.alerts, request, response, id)
        case .quotes: try await answerList(.quotes, request, response, id)
        case .instruments: try await answerList(.instruments, request, response, id)
        case .instrument: try await answerInstrument(request, response, id)
        case .posts: try await answerList(.posts, request, response, id)
        case .sentiment: try await answerList(.sentiment, request, response, id)
        case .forecasts:
            if request.head.method == .post {
                let lease = lease(request, .lookups, .rest, request.head.target, id)
                try await makeForecast(request, response, lease)
            } else {
                try await answerList(.forecasts, request, response, id)
            }
        case .forecast:
            let lease = lease(request, .lookups, .rest, request.head.target, id)
            try await answerForecast(request, response, lease)
        case .rejected: try await answerList(.rejected, request, response, id)
        case .sources: try await answerList(.sources, request, response, id)
        case .openAPI, .openAPIYAML, .docs, .docsFile: try await answerContract(route, request, response)
        case .tables: try await answerTables(request, response)
        case .table: try await answerTable(request, response, id)
        case .finnhubQuote: try await answerDayQuote(request, response, id)
        case .finnhubCandles:
            try await answerDropIn(request, response, id) { query, now throws(QueryError) in
                try .finnhub(query, now: now, configuration)
            }
        case .binancePing, .binanceTime: try await answerBinance(route, request, response)
        case .binanceExchange: try await answerExchange(request, response, id)
        case .binanceKlines:
            try await answerDropIn(request, response, id, fields: ["x-mbx-time-unit"]) {
                query, now throws(QueryError) in
                try .binance(query, request.head, now: now)
            }
        case .yahooChart:
            let symbol = try request.head.pathSegments().last ?? ""
            try await answerDropIn(request, response, id) { query, now throws(QueryError) in
                try .yahoo(symbol, query, now: now, configuration)
            }
        case .alpacaBars:
            try await answerDropIn(request, response, id) { query, now throws(QueryError) in
                try .alpaca(query, now: now, configuration(for: request))
            }
        case .stream:
            try await live.answerStream(request, response) { await isStillWelcome(request, route) }
        case .socket:
            try await live.answerSocket(request, response) { await isStillWelcome(request, route) }
        case .grafanaSeries: try await answerPanel(.series, request, response, id)
        case .candles: try await answerPanel(.candles, request, response, id)
        case .grafanaLast: try await answerPanel(.last, request, response, id)
        case .grafanaTable: try await answerPanel(.table, request, response, id)
        case .annotations: try await answerPanel(.annotations, request, response, id)
        case .grafanaSymbols: try await answerPanel(.symbols, request, response, id)
        case .grafanaLogs: try await answerPanel(.logs, request, response, id)
        case .simpod: try await answerSimpod(.test, request, response, id)
        case .simpodMetrics: try await answerSimpod(.metrics, request, response, id)
        case .simpodOptions: try await answerSimpod(.metricPayloadOptions, request, response, id)
        case .simpodQuery: try await answerSimpod(.query, request, response, id)
        case .simpodVariable: try await answerSimpod(.variable, request, response, id)
        case .simpodTagKeys: try await answerSimpod(.tagKeys, request, response, id)
        case .simpodTagValues: try await answerSimpod(.tagValues, request, response, id)
        case .simpodSearch: try await answerSimpod(.search, request, response, id)
        case .simpodAnnotations: try await answerSimpod(.annotations, request, response, id)
        }
    }

    private func sqlRequest(_ request: Request, _ limits: CallerLimits) async throws -> SQLRequest {
        if request.head.method != .post { return try known.request(request.head, limits) }
        return try await SQLRequest(request, limits, configuration)
    }

    func lease(
        _ request: Request, _ lane: Admission.Lane, _ kind: RunningQuery.Kind, _ text: String, _ id: QueryID,
        _ caller: Caller? = nil, timeout: Duration? = nil, parameters: String? = nil
    ) -> Lease {
        let caller = caller ?? Caller(request)
        let query = RunningQuery(
            id: id.description, kind: kind, client: caller, text: text, parameters: parameters, trace: request.trace,
            started: request.received, startedAt: Self.now())
        let standard = configuration.queryTimeoutDefault
        return Lease(
            gate, lane, query, request, timeout: timeout ?? min(standard, caller.limits.timeout ?? standard))
    }

    /// What a log line says of a request beside its message.
    private func metadata(_ request: Request, _ id: QueryID, _ name: String, _ value: String) -> Logger.Metadata {
        request.trace.metadata.merging(["id": "\(id)", name: "\(value)"]) { _, own in own }
    }

    /// The wall clock.
    static func now() -> Timestamp {
        var time = timespec()
        clock_gettime(CLOCK_REALTIME, &time)
        return Timestamp(microseconds: Int64(time.tv_sec) * 1_000_000 + Int64(time.tv_nsec) / 1000)
    }

    /// Turns a failure into a reply, or passes it on where it is too late for one or nobody is left to read it: the
    /// HTTP layer then breaks the body off.
    private func refuse(
        _ error: any Error, _ request: Request, _ response: ResponseWriter, _ id: QueryID
    ) async throws {
        let lost = (error as? HTTPError)?.isConnectionLost == true
        if response.isStarted || lost {
            if !lost { logger.notice("response broken off", metadata: metadata(request, id, "error", "\(error)")) }
            throw error
        }
        let known = (error as? QueryError) ?? (error as? HTTPError).map(QueryError.init)
        let refusal = known ?? .unexpected
        // A query that took too long is its sender's affair.
        if refusal.status >= 500 && refusal.status != 504 {
            let reason = known.map { "\($0.code) \($0.message)" } ?? "\(error)"
            logger.warning("request failed", metadata: metadata(request, id, "error", reason))
        }
        try await response.respond(
            Status(refusal.status, reason: refusal.message), refusal.headers(id),
            (try? Route(request.head)).map { refusal.body(of: $0, id) }
                ?? DropInRequest.Service(below: request.head).map { refusal.jsonBody(of: $0) } ?? refusal.jsonBody(id))
    }
}
