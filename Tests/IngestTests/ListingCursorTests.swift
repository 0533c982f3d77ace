// SPDX-License-Identifier: Apache-2.0

import Market
import Records
import TestSupport
import Testing

@testable import Ingest

/// A listing as Reddit has it: newest first, a thousand at most, a hundred in a page.
private struct ModelListing {
    var items: [RedditListing.Item] = []

    mutating func post(_ name: String, at seconds: Int64) {
        var facts = PostFacts()
        facts.id = name
        facts.kind = "comment"
        facts.body = "text of \(name)"
        facts.createdAt = Timestamp(microseconds: seconds * 1_000_000)
        let place = items.firstIndex { $0.facts.createdAt! <= facts.createdAt! } ?? items.count
        items.insert(RedditListing.Item(facts: facts), at: place)
    }

    mutating func delete(_ name: String) { items.removeAll { $0.facts.id == name } }

    func page(_ request: ListingCursor.Request, adjacent: Bool = true) -> RedditListing {
        let listed = Array(items.prefix(1000))
        var page = RedditListing()
        if let before = request.before {
            let end = listed.firstIndex { $0.facts.id == before } ?? 0
            page.items = adjacent ? Array(listed[..<end].suffix(100)) : Array(listed[..<end].prefix(100))
        } else {
            var start = 0
            if let after = request.after {
                start = listed.firstIndex { $0.facts.id == after }.map { $0 + 1 } ?? listed.count
            }
            page.items = Array(listed[start...].prefix(100))
        }
        if let last = page.items.last?.facts.id, last != listed.last?.facts.id { page.after = last }
        return page
    }
}

private func time(_ seconds: Int64) -> Timestamp { Timestamp(microseconds: seconds * 1_000_000) }

extension ListingCursor {
    /// Asks until everything is known; the names that are new, and the gap.
    fileprivate mutating func poll(
        _ listing: ModelListing, now: Int64, adjacent: Bool = true
    ) -> (names: [String], gap: Range<Timestamp>?, requests: Int) {
        var names: [String] = []
        var gap: Range<Timestamp>?
        for count in 1...50 {
            let outcome = take(listing.page(request, adjacent: adjacent), now: time(now))
            names += outcome.items.compactMap(\.facts.id)
            gap = outcome.gap ?? gap
            if outcome.isCurrent { return (names, gap, count) }
        }
        Issue.record("it goes on for ever")
        return (names, gap, 50)
    }
}

struct ListingCursorTests {
    @Test func `a start goes back as far as the look-back`() {
        var listing = ModelListing()
        for number in 0..<500 { listing.post("p\(number)", at: Int64(10_000 + number * 10)) }
        var cursor = ListingCursor(position: nil, lookBack: .seconds(3000))
        let first = cursor.poll(listing, now: 15_000)
        // From 12,000 on, and what is in the same page.
        #expect(Set(first.names).isSuperset(of: (200..<500).map { "p\($0)" }))
        #expect(first.names.count <= 400 && first.gap == nil)
        #expect(first.requests == 4)
        #expect(cursor.poll(listing, now: 15_010).names.isEmpty)
        #expect(cursor.position == time(15_010))
    }

    @Test func `an empty listing, and its first post`() {
        var listing = ModelListing()
        var cursor = ListingCursor(position: nil, lookBack: .seconds(3000))
        #expect(cursor.poll(listing, now: 100).names.isEmpty)
        listing.post("a", at: 105)
        #expect(cursor.poll(listing, now: 110).names == ["a"])
        listing.post("b", at: 111)
        let second = cursor.poll(listing, now: 120)
        #expect(second.names == ["b"] && second.requests == 1)
    }

    @Test(arguments: [true, false])
    func `whatever happens between polls, each post is told once`(adjacent: Bool) {
        var random = SeededRandom()
        var listing = ModelListing()
        var cursor = ListingCursor(position: nil, lookBack: .seconds(100_000))
        var told: [String] = []
        var written: Set<String> = []
        var gone: Set<String> = []
        var now: Int64 = 1_000_000
        for round in 0..<120 {
            // Quiet, busy, and more than a page.
            let count = [0, 0, 1, 3, 20, 99, 100, 101, 250, 700].randomElement(using: &random)!
            for number in 0..<count {
                let name = "r\(round)_\(number)"
                listing.post(name, at: now)
                written.insert(name)
            }
            // The newest is deleted, which is the cursor, or any other.
            if Bool.random(using: &random), let name = listing.items.prefix(5).randomElement(using: &random)?.facts.id {
                if told.contains(name) == false { gone.insert(name) }
                listing.delete(name)
            }
            now += 10
            let polled = cursor.poll(listing, now: now, adjacent: adjacent)
            told += polled.names
            #expect(polled.gap == nil)
        }
        // A cursor that was deleted gives an empty page once more; the walk after it finds what came meanwhile.
        told += cursor.poll(listing, now: now + 10, adjacent: adjacent).names
        let missing = written.subtracting(gone).subtracting(told)
        #expect(missing.isEmpty, "seed \(random.seed)")
        #expect(told.count == Set(told).count, "seed \(random.seed)")
    }

    @Test func `a post that is approved late is found while it is among the newest hundred`() {
        var listing = ModelListing()
        var cursor = ListingCursor(position: nil, lookBack: .seconds(100_000))
        for number in 0..<300 { listing.post("p\(number)", at: Int64(10_000 + number)) }
        _ = cursor.poll(listing, now: 10_300)
        listing.post("late", at: 10_250)
        var told: [String] = []
        for number in 0..<12 {
            listing.post("n\(number)", at: Int64(10_300 + number))
            told += cursor.poll(listing, now: Int64(10_301 + number)).names
        }
        #expect(told.count == 13 && told.contains("late"))
    }

    @Test func `other words are told again, the same are not`() {
        var listing = ModelListing()
        listing.post("a", at: 100)
        listing.post("b", at: 101)
        var cursor = ListingCursor(position: nil, lookBack: .seconds(1000))
        _ = cursor.poll(listing, now: 110)
        listing.items[1].facts.body = "edited"
        listing.items[0].facts.score = 1000
        #expect((0..<3).flatMap { cursor.poll(listing, now: 111 + $0).names } == ["a"])
    }

    @Test func `a restart begins where everything had been seen`() {
        var listing = ModelListing()
        for number in 0..<800 { listing.post("p\(number)", at: Int64(10_000 + number * 10)) }
        var cursor = ListingCursor(position: time(16_000), lookBack: .seconds(86_400))
        let restarted = cursor.poll(listing, now: 18_000)
        #expect(Set(restarted.names).isSuperset(of: (600..<800).map { "p\($0)" }))
        #expect(restarted.requests == 3 && restarted.gap == nil)
    }

    @Test func `what is listed no more, or is beyond the look-back, is a gap`() {
        var listing = ModelListing()
        for number in 0..<1500 { listing.post("p\(number)", at: Int64(10_000 + number * 10)) }
        // A thousand are listed, from 15,000 on.
        var cut = ListingCursor(position: time(12_000), lookBack: .seconds(86_400))
        let first = cut.poll(listing, now: 25_000)
        #expect(first.names.count == 1000 && first.gap == time(12_000)..<time(15_000))
        #expect(cut.poll(listing, now: 25_010).gap == nil)
        var short = ListingCursor(position: time(12_000), lookBack: .seconds(3000))
        #expect(short.poll(listing, now: 25_000).gap == time(12_000)..<time(22_000))
        // Nothing was promised to a first start.
        var fresh = ListingCursor(position: nil, lookBack: .seconds(86_400))
        #expect(fresh.poll(listing, now: 25_000).gap == nil)
        // A listing that is short is whole.
        listing.items.removeLast(1450)
        var whole = ListingCursor(position: time(12_000), lookBack: .seconds(86_400))
        #expect(whole.poll(listing, now: 25_000).gap == nil)
    }

    @Test func `a walk whose place is deleted begins again, and trusts nothing that it saw before`() {
        var listing = ModelListing()
        for number in 0..<350 { listing.post("p\(number)", at: Int64(10_000 + number)) }
        var cursor = ListingCursor(position: nil, lookBack: .seconds(86_400))
        var told = cursor.take(listing.page(cursor.request), now: time(11_000)).items.compactMap(\.facts.id)
        listing.delete("p250")
        told += cursor.poll(listing, now: 11_001).names
        #expect(told.count == 350 && Set(told).count == 350)
    }

    @Test func `what cannot be read is told once`() {
        var listing = ModelListing()
        listing.post("a", at: 100)
        listing.items[0] = RedditListing.Item(facts: PostFacts(), problem: .malformedLine, original: [1, 2, 3])
        var cursor = ListingCursor(position: nil, lookBack: .seconds(1000))
        let counts = (0..<4).map { _ in cursor.take(listing.page(cursor.request), now: time(110)).items.count }
        #expect(counts.reduce(0, +) == 1)
    }
}

struct RecheckQueueTests {
    private static func facts(_ name: String, score: Int64 = 1) -> PostFacts {
        var facts = PostFacts()
        facts.id = name
        facts.kind = "comment"
        facts.subreddit = "stocks"
        facts.score = score
        facts.createdAt = time(50)
        return facts
    }

    private static func answer(_ facts: PostFacts...) -> RedditListing {
        var listing = RedditListing()
        listing.items = facts.map { RedditListing.Item(facts: $0) }
        return listing
    }

    @Test func `a post is looked at again at each age, and told where it has changed`() {
        var queue = RecheckQueue(ages: [.seconds(100), .seconds(300)])
        queue.add(Self.facts("t1_a"), now: time(1000))
        #expect(!queue.isDue(now: time(1099)) && queue.takeBatch(now: time(1099)).isEmpty)
        // It waits for others, for a minute.
        #expect(!queue.isDue(now: time(1159)) && queue.isDue(now: time(1160)))
        let first = queue.takeBatch(now: time(1160))
        #expect(first.map(\.post.id) == ["t1_a"])
        #expect(queue.take(Self.answer(Self.facts("t1_a")), about: first, now: time(1160)).isEmpty)
        let second = queue.takeBatch(now: time(1360))
        let told = queue.take(Self.answer(Self.facts("t1_a", score: 9)), about: second, now: time(1360))
        #expect(told.map(\.facts.score) == [9])
        #expect(queue.count == 0)
    }

    @Test func `a full batch is due at once`() {
        var queue = RecheckQueue(ages: [.seconds(100)])
        for number in 0..<150 { queue.add(Self.facts("t1_\(number)"), now: time(1000)) }
        #expect(!queue.isDue(now: time(1099)) && queue.isDue(now: time(1100)))
        #expect(queue.takeBatch(now: time(1100)).count == 100 && !queue.isDue(now: time(1100)))
        #expect(queue.takeBatch(now: time(1100)).count == 50)
    }

    @Test func `who is missing twice is gone`() {
        var queue = RecheckQueue(ages: [.seconds(100)])
        queue.add(Self.facts("t1_a"), now: time(1000))
        queue.add(Self.facts("t1_b"), now: time(1000))
        let first = queue.takeBatch(now: time(1200))
        #expect(queue.take(Self.answer(Self.facts("t1_b")), about: first, now: time(1200)).isEmpty)
        let second = queue.takeBatch(now: time(1300))
        #expect(second.map(\.post.id) == ["t1_a"])
        let told = queue.take(Self.answer(), about: second, now: time(1300))
        #expect(told.map(\.facts.id) == ["t1_a"] && told.map(\.facts.body) == ["[deleted]"])
        #expect(told.first?.facts.createdAt == time(50) && told.first?.facts.kind == "comment")
        #expect(queue.count == 0)
        // One that is there again the second time is not.
        queue.add(Self.facts("t1_c"), now: time(2000))
        let third = queue.takeBatch(now: time(2100))
        _ = queue.take(Self.answer(), about: third, now: time(2100))
        let fourth = queue.takeBatch(now: time(2200))
        let answer = queue.take(Self.answer(Self.facts("t1_c")), about: fourth, now: time(2200))
        #expect(answer.isEmpty && queue.count == 0)
    }

    @Test func `the queue is bounded, and says what it left out`() {
        var queue = RecheckQueue(ages: [.seconds(100)], capacity: 3)
        for number in 0..<5 { queue.add(Self.facts("t1_\(number)"), now: time(1000)) }
        #expect(queue.count == 3 && queue.dropped == 2)
        #expect(queue.takeBatch(now: time(1100)).map(\.post.id) == ["t1_2", "t1_3", "t1_4"])
        // Nobody is looked at again where there is no age.
        var none = RecheckQueue(ages: [])
        none.add(Self.facts("t1_a"), now: time(1))
        #expect(none.count == 0 && !none.isDue(now: time(1_000_000)))
    }

    @Test func `many posts go through in their order, and their memory is given back`() {
        var queue = RecheckQueue(ages: [.seconds(1)])
        var taken = 0
        for number in 0..<20_000 {
            queue.add(Self.facts("t1_\(number)"), now: time(Int64(number)))
            while queue.isDue(now: time(Int64(number))) {
                let batch = queue.takeBatch(now: time(Int64(number)))
                #expect(batch.map(\.post.id) == (taken..<(taken + batch.count)).map { "t1_\($0)" })
                taken += batch.count
            }
        }
        #expect(taken > 19_900 && queue.count == 20_000 - taken)
    }
}
