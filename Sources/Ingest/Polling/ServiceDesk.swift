// SPDX-License-Identifier: Apache-2.0

import Logging
import Market
import Metrics
import Records

/// Asks one service over HTTPS, within its limits and with growing pauses after failures, and notes in the source's
/// journal when it is not heard and when it is heard again. Used by one task of a source.
final class ServiceDesk {
    /// A time in which the service was not heard.
    struct Outage: Equatable {
        var from: Timestamp
        var to: Timestamp
    }

    private let client: HTTPClient
    private let outlet: Outlet
    private var limit: RateLimit
    /// After a failure, and after the service has said that it is asked too often.
    private var failures: Backoff
    private var refusals: Backoff
    private var lastHeard: Timestamp?
    private var isConnected: Bool?
    private var outage: Outage?
    private var noted: Set<String> = []

    /// - Parameter busyPause: the first pause after a 429 that says no time; it doubles up to an hour.
    init(_ client: HTTPClient, _ outlet: Outlet, limit: RateLimit, busyPause: Duration) {
        self.client = client
        self.outlet = outlet
        self.limit = limit
        refusals = Backoff(first: busyPause, longest: max(busyPause, .seconds(3600)))
        failures = Backoff(first: min(busyPause, .seconds(2)), longest: .seconds(300))
    }

    /// Waits for its turn, and asks once.
    ///
    /// - Returns: the reply, of any status that is not the service's own trouble, to be judged with ``heard()`` or
    ///   ``unreadable(_:)``; nil if there was none, which is noted: what is asked next waits the longer.
    /// - Throws: `CancellationError`; ``IngestError`` for what only a person can mend.
    func ask(_ request: HTTPClient.Request) async throws -> HTTPClient.Response? {
        let pause = limit.take(at: .now)
        if pause > .zero { try await Task.sleep(for: pause) }
        let reply: HTTPClient.Response
        do throws(HTTPClientError) { reply = try await client.send(request) } catch {
            if error.kind == .cancelled { throw CancellationError() }
            if error.kind == .invalid {
                throw IngestError(source: outlet.source, message: error.description, hint: "see the service's address")
            }
            try await failed(error.description, pause: failures.next())
            return nil
        }
        limit.learn(from: reply, at: .now, clock: outlet.now())
        if reply.status == 429 {
            try await failed("\(request.name): asked too often (429)", pause: refusals.next())
            return nil
        }
        if reply.status >= 500 {
            try await failed("\(request.name): the service failed (\(reply.status))", pause: failures.next())
            return nil
        }
        return reply
    }

    /// What was read in a reply cannot be understood, or a symbol is none: noted once for the same words, and again
    /// after the service was not heard.
    func complain(_ message: String, symbols: [String] = []) async throws {
        guard noted.insert("\(symbols) \(message)").inserted else { return }
        // Words of a service could be new each time.
        if noted.count > 1000 { noted = [] }
        try await outlet.journal.note(.error, symbols: symbols, message: message)
    }

    /// The reply was unreadable, as behind a failing proxy: as bad as none.
    func unreadable(_ message: String) async throws { try await failed(message, pause: failures.next()) }

    /// What a reply says, read by `parse`, or nil where that is noted.
    ///
    /// - Parameters:
    ///   - name: what was asked for, and of which symbol.
    ///   - refused: called where the service says that it will not.
    func read<Value>(
        _ name: String, symbols: [String] = [], refused: () -> Void = {},
        _ parse: () throws(ReplyProblem) -> Value
    ) async throws -> Value? {
        let outcome: Result<Value, ReplyProblem>
        do throws(ReplyProblem) { outcome = .success(try parse()) } catch { outcome = .failure(error) }
        let problem: ReplyProblem
        switch outcome {
        case .success(let value):
            try await heard()
            return value
        case .failure(let error): problem = error
        }
        switch problem {
        case .notJSON: try await unreadable("\(name): \(problem)")
        case .refused:
            refused()
            try await heard()
            try await complain("\(name): \(problem)", symbols: symbols)
        case .drift:
            try await heard()
            try await complain("\(name): \(problem)", symbols: symbols)
        }
        return nil
    }

    /// The last time that the service was not heard, once.
    func takeOutage() -> Outage? {
        defer { outage = nil }
        return outage
    }

    private func failed(_ message: String, pause: Duration) async throws {
        outlet.logger.warning("\(message)")
        limit.close(for: pause, at: .now)
        if isConnected == true {
            try await outlet.journal.note(.disconnected, message: message)
        } else {
            try await outlet.journal.note(.error, message: message)
        }
        isConnected = false
        outlet.metrics?.connected.set(0)
        noted = []
    }

    /// The service was heard: its reply could be understood.
    func heard() async throws {
        let now = outlet.now()
        if isConnected != true {
            try await outlet.journal.note(.connected)
            if let lastHeard {
                try await outlet.journal.note(
                    .gap, from: lastHeard, to: now, message: "the service could not be asked")
                outage = Outage(from: lastHeard, to: now)
            }
            outlet.metrics?.connected.set(1)
        }
        isConnected = true
        lastHeard = now
        failures.reset()
        refusals.reset()
    }

    /// The source was asked until then by an earlier process: what is heard next ends the time since.
    func resume(from time: Timestamp) { lastHeard = lastHeard ?? time }
}

extension Outlet {
    /// Notes which markets have opened and closed: that there is nothing to hear is a fact.
    func note(_ changes: [MarketWatch.Change]) async throws {
        for change in changes {
            // The next change is in words: a time that far ahead is none that an event may have.
            let words = change.until.map { " until \($0)" } ?? ""
            try await journal.note(
                change.isOpen ? .marketOpened : .marketClosed, symbols: change.symbols,
                message: (change.isOpen ? "open" : "closed") + words)
        }
    }

    func staging(answer: Int64) -> Staging {
        Staging(run: run, source: source, position: answer, ingestedAt: now(), problem: nil, original: nil)
    }
}
