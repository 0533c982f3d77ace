// SPDX-License-Identifier: Apache-2.0

import Market
import Records

/// What has been seen of one of Reddit's listings, and what to ask it next. A pure value: time is an argument.
///
/// Usually it asks for what is newer than the newest post it knows (`before`). That is not enough by itself: a cursor that
/// has been deleted gives empty pages for ever, a page that is full says nothing of what did not fit, and a post that a
/// moderator approves late appears below posts that are known. So it walks from the top instead, page by page until it is
/// on known ground: at the start, after an empty page, after a full one, and once in a while.
///
/// Known ground is a post that it has seen, or a time up to which everything is known to have been recorded: the position
/// that is kept over restarts, but no further back than the look-back. Reddit lists only about a thousand posts; where that
/// is not enough, the time in between is a gap.
struct ListingCursor: Sendable {
    /// What to ask for: at most one of them is given.
    struct Request: Sendable, Equatable {
        var before: String?
        var after: String?
    }

    /// What a page taught.
    struct Outcome: Sendable, Equatable {
        /// Posts that are new, or whose text is, oldest first.
        var items: [RedditListing.Item] = []
        /// Whether everything that is listed now is known; if not, ask again at once.
        var isCurrent = false
        /// A time of which posts may be missing.
        var gap: Range<Timestamp>?
    }

    /// Posts in a page, the most that Reddit gives.
    static let pageSize = 100
    /// Pages of a walk; Reddit lists about a thousand posts.
    static let longestWalk = 10
    /// Posts that are remembered, in two halves of which the older is forgotten.
    static let memory = 8000
    /// A walk from the top at least after so many pages that began at a cursor.
    private static let cursorPages = 10
    /// A listing that ends before is whole; one that ends after it may be cut.
    private static let wholeListing = 900
    /// Microseconds by which posts may appear late, and Reddit's clock be behind ours.
    private static let overlap: Int64 = 120_000_000

    private struct Walk {
        var pages = 0
        var count = 0
        var after: String?
        /// When it began, and the first post that it met.
        var begun = Timestamp.epoch
        var top: String?
        /// How often it has begun again.
        var restarts = 0
    }

    private let lookBack: Duration
    /// Posts by their words, so that none is told twice.
    private var known = RecentNames(capacity: ListingCursor.memory)
    /// Posts below which everything has been seen.
    private var settled = RecentNames(capacity: ListingCursor.memory)
    /// Posts seen since everything was.
    private var unsettled: [String] = []
    /// Full name of the newest post.
    private var cursor: String?
    private var walk: Walk? = Walk()
    private var pagesSinceWalk = 0
    /// Everything up to then has been seen, as far as one can tell.
    private(set) var position: Timestamp?

    /// - Parameters:
    ///   - position: up to when an earlier run has seen everything; nil if there was none.
    ///   - lookBack: how far back a start goes.
    init(position: Timestamp?, lookBack: Duration) {
        self.position = position
        self.lookBack = lookBack
    }

    /// The next page to ask for.
    var request: Request {
        if let walk { return Request(after: walk.after) }
        return Request(before: cursor)
    }

    /// Takes the page that was asked for.
    mutating func take(_ page: RedditListing, now: Timestamp) -> Outcome {
        var outcome = Outcome()
        // Older first, as they came about.
        for item in page.items.reversed() where isNews(item) { outcome.items.append(item) }
        unsettled += page.items.compactMap(\.facts.id)
        if walk == nil {
            takeNewer(page, now, &outcome)
        } else {
            takeWalk(page, now, &outcome)
        }
        return outcome
    }

    private mutating func takeNewer(_ page: RedditListing, _ now: Timestamp, _ outcome: inout Outcome) {
        pagesSinceWalk += 1
        if page.items.count >= Self.pageSize {
            walk = Walk()
            return
        }
        settle(top: page.items.first?.facts.id, at: now, &outcome)
        if page.items.isEmpty || pagesSinceWalk >= Self.cursorPages { walk = Walk() }
    }

    private mutating func takeWalk(_ page: RedditListing, _ now: Timestamp, _ outcome: inout Outcome) {
        guard var walk else { return }
        if walk.pages > 0 && page.items.isEmpty && walk.restarts < 2 {
            // The post to go on after may have been deleted.
            self.walk = Walk(restarts: walk.restarts + 1)
            return
        }
        if walk.pages == 0 {
            walk.begun = now
            walk.top = page.items.first?.facts.id
        }
        walk.pages += 1
        walk.count += page.items.count
        walk.after = page.after
        let floor = floor(now)
        let oldest = page.items.lazy.compactMap(\.facts.createdAt).min()
        let isOnKnownGround =
            page.items.last?.facts.id.map { settled.contains($0) } == true || oldest.map { $0 < floor } ?? true
        if !isOnKnownGround && page.after != nil && walk.pages < Self.longestWalk {
            self.walk = walk
            return
        }
        let isCut = !isOnKnownGround && walk.count >= Self.wholeListing
        let reached = isCut ? max(floor, oldest ?? floor) : floor
        if let position, reached > position { outcome.gap = position..<reached }
        settle(top: walk.top, at: walk.begun, &outcome)
        self.walk = nil
        pagesSinceWalk = 0
    }

    /// Everything that was listed at `time` has been seen; `top` was the newest.
    private mutating func settle(top: String?, at time: Timestamp, _ outcome: inout Outcome) {
        outcome.isCurrent = true
        if let top { cursor = top }
        position = max(position ?? time, time)
        for name in unsettled { _ = settled.note(name, 0) }
        unsettled = []
    }

    /// Where known ground begins: at the position, but no further back than the look-back.
    private func floor(_ now: Timestamp) -> Timestamp {
        let reach = now.microseconds - lookBack.inMicroseconds
        return Timestamp(microseconds: max(reach, position.map { $0.microseconds - Self.overlap } ?? reach))
    }

    /// Whether nothing is known of a post, or other words; votes change all the time and are asked for by and by.
    private mutating func isNews(_ item: RedditListing.Item) -> Bool {
        // What cannot be read is told once, too.
        let id = item.facts.id ?? "?\(TradeIdentity.hash(item.original ?? []))"
        return known.note(id, item.facts.wordsHash)
    }
}
