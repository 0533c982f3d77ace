// SPDX-License-Identifier: Apache-2.0

import Logging
import Market
import Metrics
import Records

/// One run of a ``RedditSource``: asks, records, asks again; used by one task.
struct RedditPoller {
    /// One of the two listings.
    private enum Listing: String, CaseIterable {
        case submissions = "new"
        case comments
    }

    /// How often the position is kept while nothing is new.
    private static let positionInterval = Duration.seconds(60)
    /// A failure that repeats itself is told again after so long.
    private static let complaintInterval = Duration.seconds(600)

    private let settings: RedditSource.Settings
    private let outlet: Outlet
    private let logger: Logger
    private let api: RedditAPI
    private let clock = ContinuousClock()
    private var cursors: [Listing: ListingCursor] = [:]
    private var recheck: RecheckQueue
    private var subreddits: [String]
    private var sequence: Int64 = 0
    /// Whether anything has been recorded since the position was kept, and when that was.
    private var isAhead = true
    private var positionKept: ContinuousClock.Instant?
    private var isConnected = false
    private var lastComplaint: (text: String, at: ContinuousClock.Instant)?
    private var dropped = 0

    /// - Parameter position: up to when an earlier run has seen everything.
    init(_ settings: RedditSource.Settings, _ outlet: Outlet, position: Timestamp?, logger: Logger) {
        self.settings = settings
        self.outlet = outlet
        self.logger = logger
        api = RedditAPI(settings, now: outlet.now)
        subreddits = settings.subreddits
        recheck = RecheckQueue(ages: settings.recheckAges)
        for listing in Listing.allCases {
            cursors[listing] = ListingCursor(position: position, lookBack: settings.lookBack)
        }
    }

    /// Polls until the task is cancelled.
    mutating func run() async throws {
        try await choose()
        var next = clock.now
        while true {
            for listing in Listing.allCases { try await poll(listing) }
            try await keepPosition()
            while recheck.isDue(now: outlet.now()) { try await lookAgain() }
            // In time with the interval, without catching up.
            next = max(next + settings.interval, clock.now)
            try await Task.sleep(until: next, clock: clock)
        }
    }

    // MARK: What is new

    /// Asks for pages of a listing until everything that is listed is known.
    private mutating func poll(_ listing: Listing) async throws {
        var isCurrent = false
        while !isCurrent {
            guard let request = cursors[listing]?.request else { return }
            let path = path(listing, request)
            let page = try await patiently { [api] in try await api.listing(path) }
            let now = outlet.now()
            guard var cursor = cursors[listing] else { return }
            let outcome = cursor.take(page, now: now)
            cursors[listing] = cursor
            isCurrent = outcome.isCurrent
            for item in outcome.items where item.problem == nil { recheck.add(item.facts, now: now) }
            try await record(outcome.items)
            if let gap = outcome.gap { try await note(gap, listing) }
        }
        if recheck.dropped > dropped {
            dropped = recheck.dropped
            logger.warning("too many posts wait to be looked at again; \(dropped) will not be")
        }
    }

    private func path(_ listing: Listing, _ request: ListingCursor.Request) -> String {
        var path =
            "/r/\(subreddits.joined(separator: "+"))/\(listing.rawValue)?limit=\(ListingCursor.pageSize)&raw_json=1"
        if let before = request.before { path += "&before=\(before)" }
        if let after = request.after { path += "&after=\(after)" }
        return path
    }

    private func note(_ gap: Range<Timestamp>, _ listing: Listing) async throws {
        let what = listing == .comments ? "comments" : "submissions"
        logger.warning("\(what) from \(gap.lowerBound) to \(gap.upperBound) are no longer listed")
        try await outlet.journal.note(
            .gap, from: gap.lowerBound, to: gap.upperBound, message: "\(what) of this time are no longer listed")
    }

    /// Both listings are known up to now.
    private mutating func keepPosition() async throws {
        if !isAhead, let positionKept, clock.now - positionKept < Self.positionInterval { return }
        var delivery = outlet.delivery()
        delivery.position = cursors.values.compactMap(\.position).min()?.microseconds
        try await outlet.send(delivery)
        isAhead = false
        positionKept = clock.now
    }

    private mutating func record(_ items: [RedditListing.Item]) async throws {
        if items.isEmpty { return }
        var delivery = outlet.delivery()
        for item in items {
            sequence += 1
            delivery.add(
                Staged(
                    Staging(
                        run: outlet.run, source: RedditSource.source, position: sequence, ingestedAt: outlet.now(),
                        problem: item.problem?.rawValue, original: item.original), item.facts),
                topic: RedditSource.topic)
        }
        try await outlet.send(delivery)
        isAhead = true
    }

    // MARK: What has changed

    private mutating func lookAgain() async throws {
        let batch = recheck.takeBatch(now: outlet.now())
        if batch.isEmpty { return }
        let path = "/api/info?raw_json=1&id=" + batch.map(\.post.id).joined(separator: ",")
        let answer = try await patiently { [api] in try await api.listing(path) }
        try await record(recheck.take(answer, about: batch, now: outlet.now()))
    }

    // MARK: Subreddits

    /// Leaves out the subreddits that Reddit does not know.
    private mutating func choose() async throws {
        let asked = settings.subreddits
        let path = "/api/info?raw_json=1&sr_name=" + asked.joined(separator: ",")
        let known = try await patiently { [api] in try RedditSubreddits.parse(try await api.get(path)) }
        let missing = asked.filter { !known.contains($0.lowercased()) }
        if missing.isEmpty { return }
        let message = "Reddit does not know the subreddits \(missing.joined(separator: ", "))"
        logger.warning("\(message)")
        try await outlet.journal.note(.error, message: message)
        // Where it knows none at all, to ask for them tells more.
        if missing.count < asked.count { subreddits = asked.filter { known.contains($0.lowercased()) } }
    }

    // MARK: Failures

    /// Asks until there is an answer, with growing pauses.
    private mutating func patiently<Answer: Sendable>(
        _ ask: () async throws -> Answer
    ) async throws -> Answer {
        var backoff = Backoff(first: settings.firstPause, longest: settings.longestPause)
        while true {
            var pause = backoff.next()
            do {
                let answer = try await ask()
                outlet.metrics?.frames.add()
                if !isConnected {
                    isConnected = true
                    lastComplaint = nil
                    outlet.metrics?.connected.set(1)
                    try await outlet.journal.note(.connected)
                }
                return answer
            } catch let error as RedditError {
                if error.kind == .refused || error.kind == .notFound { pause = settings.longestPause }
                try await complain(error.message)
            } catch let error as HTTPClientError {
                try Task.checkCancellation()
                try await complain("\(error)")
            }
            try await Task.sleep(for: pause)
        }
    }

    private mutating func complain(_ text: String) async throws {
        let wasConnected = isConnected
        isConnected = false
        outlet.metrics?.connected.set(0)
        if let lastComplaint, lastComplaint.text == text, clock.now - lastComplaint.at < Self.complaintInterval {
            return
        }
        lastComplaint = (text, clock.now)
        logger.warning("Reddit cannot be read, trying again: \(text)")
        try await outlet.journal.note(wasConnected ? .disconnected : .error, message: text)
    }
}
