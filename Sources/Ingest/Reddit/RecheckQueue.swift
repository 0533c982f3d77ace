// SPDX-License-Identifier: Apache-2.0

import Market
import Records

/// When posts are looked at again for edits, deletions and votes: some ages after they were first seen. A pure value: time
/// is an argument.
///
/// A listing tells only of what is new. `/api/info` tells of posts by their full names, a hundred at a time; one that it
/// leaves out twice, some minutes apart, is gone. What has not changed since it was recorded last is not recorded again.
struct RecheckQueue: Sendable {
    /// What must be known of a post that is gone.
    struct Post: Sendable, Equatable {
        var id: String
        var kind: String?
        var subreddit: String?
        var createdAt: Timestamp?
        /// What was recorded last, as a hash.
        var state: UInt64
        var wasMissing = false

        init?(_ facts: PostFacts) {
            guard let id = facts.id else { return nil }
            self.id = id
            kind = facts.kind
            subreddit = facts.subreddit
            createdAt = facts.createdAt
            state = facts.stateHash
        }

        /// The post as Reddit shows one that is gone.
        var gone: PostFacts {
            var facts = PostFacts()
            facts.id = id
            facts.kind = kind
            facts.subreddit = subreddit
            facts.createdAt = createdAt
            facts.body = "[deleted]"
            return facts
        }
    }

    /// Full names that `/api/info` takes at once.
    static let batchSize = 100
    /// Longest that a post which is due waits for a batch to be full, and that one which is missing waits for the second
    /// question.
    private static let longestPatience = Duration.seconds(60)
    private static let longestMissingPause = Duration.seconds(600)
    /// Posts that wait in all; of more the oldest are not looked at again.
    static let capacity = 200_000

    private struct Entry {
        var post: Post
        /// Microseconds since the epoch.
        var due: Int64
    }

    /// Ages at which a post is looked at again, ascending.
    private let ages: [Duration]
    /// One queue for each age, and one for what is missing: within each, who came first is due first.
    private var queues: [Queue<Entry>]
    private let capacity: Int
    /// Posts that could not wait.
    private(set) var dropped = 0

    init(ages: [Duration], capacity: Int = RecheckQueue.capacity) {
        self.ages = ages
        self.capacity = capacity
        queues = Array(repeating: Queue(), count: ages.count + 1)
    }

    var count: Int { queues.reduce(0) { $0 + $1.count } }

    /// Notes a post that is new.
    mutating func add(_ facts: PostFacts, now: Timestamp) {
        guard !ages.isEmpty, let post = Post(facts) else { return }
        append(post, to: 0, now)
    }

    /// Whether a whole batch is due, or anything for as long as a minute, or as long as its age.
    func isDue(now: Timestamp) -> Bool {
        let patience = min(Self.longestPatience, ages.first ?? .zero).inMicroseconds
        var due = 0
        for queue in queues {
            if let first = queue.first, first.due + patience <= now.microseconds { return true }
            due += queue.prefix(Self.batchSize).count { $0.due <= now.microseconds }
        }
        return due >= Self.batchSize
    }

    /// Takes the posts that are due, a batch at most, each with the age at which it was.
    mutating func takeBatch(now: Timestamp) -> [(post: Post, age: Int)] {
        var batch: [(post: Post, age: Int)] = []
        for age in queues.indices.reversed() {
            while batch.count < Self.batchSize, let first = queues[age].first, first.due <= now.microseconds {
                queues[age].removeFirst()
                batch.append((first.post, age))
            }
        }
        return batch
    }

    /// Puts back a batch whose question failed.
    mutating func putBack(_ batch: [(post: Post, age: Int)]) {
        for (post, age) in batch.reversed() { queues[age].prepend(Entry(post: post, due: 0)) }
    }

    /// Takes the answer about a batch: returns what is to be recorded, and waits for the next age.
    mutating func take(
        _ listing: RedditListing, about batch: [(post: Post, age: Int)], now: Timestamp
    ) -> [RedditListing.Item] {
        var items: [RedditListing.Item] = []
        let found = Dictionary(
            listing.items.compactMap { item in item.facts.id.map { ($0, item) } },
            uniquingKeysWith: { first, _ in first })
        for (post, age) in batch {
            var post = post
            if let item = found[post.id] {
                if item.problem != nil || item.facts.stateHash != post.state { items.append(item) }
                post.state = item.facts.stateHash
                post.wasMissing = false
                if age + 1 < ages.count { append(post, to: age + 1, now) }
            } else if post.wasMissing {
                items.append(RedditListing.Item(facts: post.gone))
            } else {
                post.wasMissing = true
                append(post, to: ages.count, now)
            }
        }
        return items
    }

    private mutating func append(_ post: Post, to age: Int, _ now: Timestamp) {
        if count >= capacity {
            // Who has been looked at most often can be spared most easily.
            if let oldest = queues.indices.reversed().first(where: { queues[$0].first != nil }) {
                queues[oldest].removeFirst()
            }
            dropped += 1
        }
        let pause =
            age == ages.count
            ? min(Self.longestMissingPause, ages[0]) : age == 0 ? ages[0] : ages[age] - ages[age - 1]
        queues[age].append(Entry(post: post, due: now.microseconds + pause.inMicroseconds))
    }
}

/// First in, first out, in an array whose consumed front is given back now and then.
private struct Queue<Element: Sendable>: Sendable {
    private var elements: [Element] = []
    private var head = 0

    var count: Int { elements.count - head }
    var first: Element? { head < elements.count ? elements[head] : nil }

    func prefix(_ length: Int) -> ArraySlice<Element> { elements[head...].prefix(length) }

    mutating func append(_ element: Element) { elements.append(element) }

    mutating func prepend(_ element: Element) {
        if head > 0 {
            head -= 1
            elements[head] = element
        } else {
            elements.insert(element, at: 0)
        }
    }

    mutating func removeFirst() {
        head += 1
        if head > 1024 && head * 2 > elements.count {
            elements.removeFirst(head)
            head = 0
        }
    }
}
