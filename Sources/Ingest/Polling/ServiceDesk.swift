// SPDX-License-Identifier: Apache-2.0

import Logging
import Market
import Metrics
import Records

/// Asks one service over HTTPS, within its limits and with growing pauses after failures, delivers what it says, and notes
/// in the source's journal when it is not heard and when it is heard again. Used by one task of a source.
final class ServiceDesk {
    /// Facts in one append: all of a back-fill would be more than a small spool can take.
    private static let appendLimit = 1000

    /// A time in which the service was not heard; empty where no market traded.
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
    /// Until when answers do not show that the service bears to be asked more often again.
    private var strainedUntil: ContinuousClock.Instant?
    /// From a time at which nothing was missing, the first at which something may be: markets are closed for days.
    private let firstTrading: (Timestamp) -> Timestamp
    private var lastHeard: Timestamp?
    private var isConnected: Bool?
    private var outage: Outage?
    private var noted: Set<String> = []
    private var answers: Int64 = 0

    /// - Parameters:
    ///   - busyPause: the first pause after a 429; it doubles up to an hour.
    ///   - symbols: what the service is asked for.
    init(
        _ client: HTTPClient, _ outlet: Outlet, limit: RateLimit, busyPause: Duration, symbols: [String]
    ) {
        self.client = client
        self.outlet = outlet
        self.limit = limit
        let markets = MarketWatch(symbols)
        firstTrading = { markets.firstTrading(from: $0) }
        refusals = Backoff(first: busyPause, longest: max(busyPause, .seconds(3600)))
        failures = Backoff(first: min(busyPause, .seconds(2)), longest: .seconds(300))
    }

    /// Waits for its turn, and asks once.
    ///
    /// - Returns: the reply, of any status that is not the service's own trouble, to be judged with
    ///   ``read(_:_:symbols:refused:_:)`` or ``unreadable(_:)``; nil if there was none, which is noted: what is asked next
    ///   waits the longer.
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
            let pause = refusals.next()
            strainedUntil = .now + pause * 3
            try await failed("\(request.name): asked too often (429)", pause: pause)
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
        outlet.logger.warning("\(message)")
        try await outlet.journal.note(.error, symbols: symbols, message: message)
    }

    /// The reply was unreadable, as behind a failing proxy: as bad as none.
    func unreadable(_ message: String) async throws { try await failed(message, pause: failures.next()) }

    /// What a reply says, read by `parse`, or nil where that is noted.
    ///
    /// - Parameters:
    ///   - name: what was asked for, and of which symbol.
    ///   - symbols: what it is about, if that is not everything.
    ///   - refused: called where the service says that it will not.
    func read<Value>(
        _ reply: HTTPClient.Response, _ name: String, symbols: [String] = [], refused: () -> Void = {},
        _ parse: ([UInt8]) throws(ReplyProblem) -> Value
    ) async throws -> Value? {
        let outcome: Result<Value, ReplyProblem>
        do throws(ReplyProblem) { outcome = .success(try parse(reply.body)) } catch { outcome = .failure(error) }
        let problem: ReplyProblem
        switch outcome {
        case .success(let value):
            try await heard()
            return value
        case .failure(let error): problem = error
        }
        switch problem {
        case .notJSON: try await unreadable("\(name): \(problem) (status \(reply.status))")
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

    /// Delivers facts, and with them that the source has been read until now: also where there are none.
    func deliver<Facts: RecordFacts>(_ facts: [Facts], topic: String) async throws {
        answers += 1
        let staging = Staging(run: outlet.run, source: outlet.source, position: answers, ingestedAt: outlet.now())
        var rest = facts[...]
        repeat {
            var delivery = outlet.delivery()
            for facts in rest.prefix(Self.appendLimit) { delivery.add(Staged(staging, facts), topic: topic) }
            rest = rest.dropFirst(Self.appendLimit)
            if rest.isEmpty { delivery.position = staging.ingestedAt.microseconds }
            try await outlet.send(delivery)
        } while !rest.isEmpty
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
    private func heard() async throws {
        let now = outlet.now()
        if isConnected != true {
            try await outlet.journal.note(.connected)
            if let lastHeard {
                let from = min(firstTrading(lastHeard), now)
                if from < now {
                    try await outlet.journal.note(.gap, from: from, to: now, message: "the service could not be asked")
                }
                outage = Outage(from: from, to: now)
            }
            outlet.metrics?.connected.set(1)
        }
        isConnected = true
        lastHeard = now
        failures.reset()
        // Of several things that are asked for, one may be refused while others are not.
        if ContinuousClock.now > strainedUntil ?? .now - .seconds(1) { refusals.reset() }
    }

    /// The source was asked until then by an earlier process: what is heard next ends the time since.
    func resume(from time: Timestamp) { lastHeard = lastHeard ?? time }
}

extension Outlet {
    /// Notes which markets have opened and closed: that there is nothing to hear is a fact.
    func note(_ changes: [MarketWatch.Change]) async throws {
        for change in changes {
            // When it changes again is said in words: an event's own times are never in the future.
            let words = change.until.map { " until \($0)" } ?? ""
            try await journal.note(
                change.isOpen ? .marketOpened : .marketClosed, symbols: change.symbols,
                message: (change.isOpen ? "open" : "closed") + words)
        }
    }
}
