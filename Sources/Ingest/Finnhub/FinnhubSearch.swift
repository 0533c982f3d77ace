// SPDX-License-Identifier: Apache-2.0

import Logging
package import Market
import Records

/// Finnhub's search for symbols (`/search`, https://finnhub.io/docs/api/symbol-search). Used by one task.
package struct FinnhubSearch {
    package struct Settings: Sendable {
        /// Goes in a header and nowhere else.
        package var token: String
        package var url: String
        /// Most requests a minute; what replies say of it counts, too.
        package var rate = 60
        /// How long a reply may take.
        package var timeout: Duration = .seconds(15)
        /// See ``HTTPClient/Settings/authorities``.
        package var authorities: String?

        package init(token: String, url: String = "https://finnhub.io/api/v1") {
            self.token = token
            self.url = url
        }
    }

    /// Something that can be subscribed to.
    package struct Match: Equatable, Sendable {
        package var symbol: String
        /// As Finnhub has it: `Common Stock`, `Crypto`; empty where it says nothing.
        package var type: String
        /// A name; empty where it says nothing.
        package var description: String
    }

    /// Why there is no answer.
    package enum Problem: Error, Equatable, CustomStringConvertible {
        /// The key is none.
        case keyRefused
        /// Whatever may be otherwise the next time, in words.
        case failed(String)

        package var description: String {
            switch self {
            case .keyRefused: "Finnhub does not take the token (401)"
            case .failed(let words): words
            }
        }
    }

    /// How often a question that fails is asked.
    private static let attempts = 3

    private let settings: Settings
    private let client: HTTPClient
    private let now: @Sendable () -> Timestamp
    private var limit: RateLimit

    /// - Parameter now: the clock, for dates in replies.
    package init(_ settings: Settings, now: @escaping @Sendable () -> Timestamp) {
        self.settings = settings
        self.now = now
        var client = HTTPClient.Settings(userAgent: "Tapedeck")
        client.timeout = settings.timeout
        client.authorities = settings.authorities
        self.client = HTTPClient(client)
        limit = RateLimit(requests: settings.rate, in: .seconds(60), burst: min(30, max(1, settings.rate / 2)))
    }

    /// What is known by names and symbols like a phrase, best first.
    ///
    /// - Throws: ``Problem`` after some attempts; `CancellationError`.
    package mutating func find(_ phrase: String) async throws -> [Match] {
        var pauses = Backoff(first: .seconds(1), longest: .seconds(10))
        for attempt in 1... {
            do {
                return try await ask(phrase)
            } catch Problem.failed(let words) {
                if attempt == Self.attempts { throw Problem.failed(words) }
                try await Task.sleep(for: pauses.next())
            }
        }
        return []
    }

    private mutating func ask(_ phrase: String) async throws -> [Match] {
        let pause = limit.take(at: .now)
        // One that has been told to wait for longer is not for somebody who waits for an answer.
        if pause > .seconds(60) { throw Problem.failed("Finnhub's search: asked too often; it wants a longer pause") }
        if pause > .zero { try await Task.sleep(for: pause) }
        let reply: HTTPClient.Response
        do throws(HTTPClientError) {
            reply = try await client.send(
                HTTPClient.Request(
                    url: "\(settings.url)/search?q=\(percentEncoded(phrase))",
                    headers: [("X-Finnhub-Token", settings.token)], name: "Finnhub's search"))
        } catch {
            if error.kind == .cancelled { throw CancellationError() }
            throw Problem.failed(error.description)
        }
        limit.learn(from: reply, at: .now, clock: now())
        switch reply.status {
        case 401: throw Problem.keyRefused
        case 429: throw Problem.failed("Finnhub's search: asked too often (429)")
        case 500...: throw Problem.failed("Finnhub's search: the service failed (\(reply.status))")
        default: break
        }
        do throws(ReplyProblem) { return try FinnhubReplies.search(reply.body) } catch {
            throw Problem.failed("Finnhub's search: \(error) (status \(reply.status))")
        }
    }
}

extension FinnhubSearch {
    /// The symbols that Finnhub knows by exactly that spelling. The others are told, in the log and in the source's journal,
    /// and left out. Where nothing can be learned, they stay: a search that fails must cost no trades.
    ///
    /// - Throws: ``IngestError`` if none is left, or the key is refused; `CancellationError`.
    mutating func known(of symbols: [String], _ outlet: Outlet, logger: Logger) async throws -> [String] {
        var known: [String] = []
        for (index, symbol) in symbols.enumerated() {
            let matches: [Match]
            do {
                matches = try await find(symbol)
            } catch Problem.keyRefused {
                throw IngestError(
                    source: outlet.source, message: Problem.keyRefused.description,
                    hint: "Check FINNHUB_API_TOKEN, the API key of finnhub.io.")
            } catch let problem as Problem {
                let rest = symbols[index...]
                let message = "not looked up, and subscribed to as they are: \(problem)"
                logger.warning("\(rest.joined(separator: ", ")): \(message)")
                try await outlet.journal.note(.error, symbols: Array(rest), message: message)
                return known + rest
            }
            if matches.contains(where: { $0.symbol == symbol }) {
                known.append(symbol)
                continue
            }
            let similar = matches.prefix(3).map(\.symbol).joined(separator: ", ")
            let message =
                "Finnhub knows no symbol '\(symbol)', which is left out"
                + (similar.isEmpty ? "" : "; it knows \(similar)")
            logger.warning("\(message)")
            try await outlet.journal.note(.error, symbols: [symbol], message: message)
        }
        if known.isEmpty {
            throw IngestError(
                source: outlet.source, message: "Finnhub knows none of the symbols",
                hint: "'tapedeck symbols search PHRASE' finds some.")
        }
        return known
    }
}
