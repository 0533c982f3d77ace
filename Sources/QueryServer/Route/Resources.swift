// SPDX-License-Identifier: Apache-2.0
// The REST resources: from a request to its page, or to 304 without one.

import HTTP
import Market
import Postgres

extension QueryHandler {
    /// What caches are told of a reply; nil if the client's copy is still right and 304 has been answered.
    ///
    /// - Parameters:
    ///   - range: of times that the request names, resolved.
    ///   - closing: the moment by which all has happened that the reply tells of; nil for one that is not, or moves.
    ///   - fields: of the head that change the reply, in lower case; Accept does so by its format.
    ///   - more: what else changes the reply.
    ///   - type: the reply's media type, if it is not the format's.
    func caching(
        _ request: Request, _ response: ResponseWriter, format: ReplyFormat, range: TimeRange,
        closing: Timestamp? = nil, fields: [StaticString] = [], more: [UInt8] = [], type: String? = nil
    ) async throws -> CachingOutcome {
        let isConditional = request.head.value(of: "if-none-match") != nil || request.head.value(of: "if-match") != nil
        let now = Self.now()
        let isClosed = Caching.isClosed(closing, now: now)
        // Who may keep a copy of a closed range for a minute may as well hear of it what was so 100 ms ago.
        guard let state = await isConditional && !isClosed ? version.current() : version.recent() else {
            return .send(nil)
        }
        var asked = Array(request.head.rawQuery ?? [])
        asked.appendText(" \(format.rawValue) \(configuration.version) ")
        for name in fields {
            for value in request.head.values(of: name) { asked.appendText("\(name):\(value) ") }
        }
        asked += more
        // How long pages are and what is refused: other servers may be set otherwise, and other keys may have less.
        let limits = Self.limits(of: request)
        for limit in [
            configuration.pageSizeDefault, configuration.pageSizeLimit, limits.rows ?? .max, limits.bytes ?? .max,
        ] {
            withUnsafeBytes(of: limit) { asked.append(contentsOf: $0) }
        }
        // `now-1h` is another moment each time.
        if range.isRelative {
            asked.appendText(" \(range.from?.microseconds ?? .min) \(range.to?.microseconds ?? .max)")
        }
        var caching = Caching(state, asked, closing: closing, now: now, fields: fields)
        guard isConditional else { return .send(caching) }
        switch request.head.preconditions(Validators(entityTag: caching.entityTag)) {
        case .met: return .send(caching)
        case .failed: throw QueryError.preconditionFailed
        case .notModified:
            // A tag is that of a reply, but `*` is of any: whether there is one the query tells.
            if request.head.wantsNothingOfAny {
                caching.isAllThatIsWanted = true
                return .send(caching)
            }
            var headers: Headers = ["Content-Type": type ?? format.contentType]
            for field in caching.headers { headers.add(field.name, field.value) }
            try await response.respond(.notModified, headers)
            return .answered
        }
    }

    /// What the client's key allows; nothing in particular without one.
    static func limits(of request: Request) -> CallerLimits {
        (request.identity as? KeyIdentity)?.grant.limits ?? CallerLimits()
    }

    /// The configuration with pages no larger than the client's key allows.
    func configuration(for request: Request) -> QueryServer.Configuration {
        configuration.withPages(upTo: Self.limits(of: request).rows)
    }

    enum CachingOutcome {
        case answered
        case send(Caching?)
    }

    func answerMarket(
        _ resource: MarketResource, _ request: Request, _ response: ResponseWriter, _ id: QueryID
    ) async throws {
        let now = Self.now()
        let page = try MarketRequest(
            resource, try request.head.query(), accept: request.head.values(of: "accept"), now: now,
            configuration(for: request))
        guard
            case .send(let caching) = try await caching(
                request, response, format: page.format, range: page.range, closing: page.closing)
        else { return }
        let plan = MarketPlan(request: page)
        if let step = plan.lookup, let rows = await gate.lookup(step.statement, step.parameters, many: step.many) {
            let body = RowBody(response, contentType: page.format.contentType, id: id, limits: Self.limits(of: request))
            body.add(caching)
            return try await MarketQuery(plan, body).answer(rows)
        }
        // A page of thousands of rows is an export, which lookups by key must not wait for.
        let lane: Admission.Lane = page.rowsToRead > configuration.lookupRows ? .queries : .lookups
        let lease = lease(request, lane, .rest, request.head.target, id)
        let body = RowBody(response, contentType: page.format.contentType, query: lease.query)
        body.add(caching)
        if page.isOfStoredRows {
            try await MarketQuery(plan, body).run(lease)
        } else {
            try await BarQuery(page, body).run(lease)
        }
    }

    func answerList(
        _ resource: ListResource, _ request: Request, _ response: ResponseWriter, _ id: QueryID
    ) async throws {
        let now = Self.now()
        let page = try ListRequest(
            resource, try request.head.query(), accept: request.head.values(of: "accept"), now: now,
            configuration(for: request))
        try await send(page, request, response, id, closing: page.closing)
    }

    private func send(
        _ page: ListRequest, _ request: Request, _ response: ResponseWriter, _ id: QueryID, closing: Timestamp?,
        missing: QueryError? = nil
    ) async throws {
        var tags: Caching?
        if page.resource.isTagged {
            guard
                case .send(let caching) = try await caching(
                    request, response, format: page.format, range: page.range, closing: closing)
            else { return }
            tags = caching
        }
        let lane: Admission.Lane = page.limit > configuration.lookupRows ? .queries : .lookups
        let lease = lease(request, lane, .rest, request.head.target, id)
        let body = RowBody(response, contentType: page.format.contentType, query: lease.query)
        body.add(tags)
        try await ListQuery(plan: ListPlan(request: page), body: body, missing: missing).run(lease)
    }

    /// `GET /api/v1/instruments/{symbol}`: a list of one, or 404.
    func answerInstrument(_ request: Request, _ response: ResponseWriter, _ id: QueryID) async throws {
        let query = try request.head.query()
        _ = try ParameterReader(query, known: ["format", "time"])
        let symbol = try request.head.pathSegments().last ?? ""
        try MarketRequest.check(symbol, "symbol")
        var page = try ListRequest(
            .instruments, query, accept: request.head.values(of: "accept"), now: Self.now(), configuration)
        page.symbols = [symbol]
        let missing = QueryError(
            404, "not_found", "there is no instrument \(symbol)",
            hint: "GET /api/v1/symbols?search= finds symbols by name.")
        try await send(page, request, response, id, closing: nil, missing: missing)
    }
}

extension QueryServer.Configuration {
    /// The same with pages of no more than so many rows; nil for any.
    func withPages(upTo rows: Int?) -> QueryServer.Configuration {
        guard let rows, rows < pageSizeLimit else { return self }
        var bounded = self
        bounded.pageSizeLimit = max(1, rows)
        bounded.pageSizeDefault = min(pageSizeDefault, bounded.pageSizeLimit)
        return bounded
    }
}
