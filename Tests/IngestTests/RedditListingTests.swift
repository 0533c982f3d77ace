// SPDX-License-Identifier: Apache-2.0

import Market
import Records
import TestSupport
import Testing

@testable import Ingest

/// Replies as Reddit gives them, with members that are no facts of a post.
enum RedditReply {
    static func comment(_ id: String, created: Double = 1_700_000_000, body: String = "to the moon", more: String = "")
        -> String
    {
        """
        {"kind": "t1", "data": {"subreddit_id": "t5_2th52", "id": "\(id)", "name": "t1_\(id)", "subreddit": "stocks", \
        "author": "u_ser", "body": "\(body)", "score": 3, "created_utc": \(created), "edited": false, "replies": "", \
        "link_id": "t3_z9", "parent_id": "t3_z9", "link_title": "GME", "likes": null, "gildings": {"gid_1": 1}, \
        "permalink": "/r/stocks/comments/z9/gme/\(id)/"\(more)}}
        """
    }

    static func submission(_ id: String, created: Double = 1_700_000_000, more: String = "") -> String {
        """
        {"kind": "t3", "data": {"id": "\(id)", "name": "t3_\(id)", "subreddit": "stocks", "author": "u_ser", \
        "title": "GME \\u0026 AMC", "selftext": "DD inside", "url": "https://example.org/", "score": 30, \
        "num_comments": 7, "upvote_ratio": 0.97, "created_utc": \(created), "edited": 1700000100.0, \
        "media_embed": {}, "preview": {"images": [{"id": "not the post's", "resolutions": [{"width": 1}]}]}\(more)}}
        """
    }

    static func listing(_ children: [String], after: String? = nil) -> [UInt8] {
        let after = after.map { "\"\($0)\"" } ?? "null"
        return Array(
            """
            {"kind": "Listing", "data": {"after": \(after), "dist": \(children.count), "modhash": null, "geo_filter": "", \
            "children": [\(children.joined(separator: ", "))], "before": null}}
            """.utf8)
    }
}

struct RedditListingTests {
    @Test func `a page is read with what is a fact and without the rest`() throws {
        let listing = try RedditListing.parse(
            RedditReply.listing([RedditReply.submission("b1"), RedditReply.comment("a1")], after: "t1_a1"))
        #expect(listing.after == "t1_a1")
        try #require(listing.items.count == 2)
        #expect(listing.items.allSatisfy { $0.problem == nil && $0.original == nil })
        let submission = listing.items[0].facts
        #expect(submission.id == "t3_b1")
        #expect(submission.kind == "submission")
        #expect(submission.subreddit == "stocks")
        #expect(submission.title == "GME & AMC")
        #expect(submission.body == "DD inside")
        #expect(submission.url == "https://example.org/")
        #expect(submission.score == 30)
        #expect(submission.numComments == 7)
        #expect(submission.upvoteRatio == 0.97)
        #expect(submission.createdAt?.microseconds == 1_700_000_000_000_000)
        #expect(submission.editedAt?.microseconds == 1_700_000_100_000_000)
        let comment = listing.items[1].facts
        #expect(comment.id == "t1_a1")
        #expect(comment.kind == "comment")
        #expect(comment.submissionId == "t3_z9")
        #expect(comment.title == "GME")
        #expect(comment.editedAt == nil)
        #expect(comment.url == "https://www.reddit.com/r/stocks/comments/z9/gme/a1/")
    }

    @Test func `what is no post is passed over, and a post that cannot be read is kept with its bytes`() throws {
        let more = #"{"kind": "more", "data": {"id": "x", "children": []}}"#
        let nameless = #"{"kind": "t1", "data": {"body": "no id", "created_utc": 1}}"#
        let untimely = RedditReply.comment("a2").replacing("1700000000.0", with: "\"yesterday\"")
        let listing = try RedditListing.parse(RedditReply.listing([more, nameless, untimely]))
        #expect(listing.items.map(\.problem) == [.malformedLine, .tsUnreadable])
        #expect(listing.items[0].original == Array(nameless.utf8))
        #expect(listing.items[1].facts.id == "t1_a2")
    }

    @Test func `every cut of a reply is found out`() throws {
        let whole = RedditReply.listing([RedditReply.submission("b1"), RedditReply.comment("a1")], after: "t1_a1")
        for length in 0..<whole.count {
            let error = #expect(throws: RedditError.self) { try RedditListing.parse(Array(whole[..<length])) }
            #expect(error?.kind == .unreadable)
        }
        var random = SeededRandom()
        for _ in 0..<2000 {
            var bytes = whole
            bytes[Int.random(in: 0..<bytes.count, using: &random)] = UInt8.random(in: 0...255, using: &random)
            _ = try? RedditListing.parse(bytes)
        }
    }

    static let others: [(String, String)] = [
        ("<html>", "the reply is not whole JSON"), ("[]", "the reply is not whole JSON"),
        (#"{"message": "Forbidden", "error": 403}"#, "the reply has kind none where Listing was expected"),
        (#"{"kind": "t5", "data": {}}"#, "the reply has kind t5 where Listing was expected"),
        (#"{"kind": "Listing", "data": {"kids": []}}"#, "the reply lacks data.children"),
    ]

    @Test(arguments: others)
    func `a reply of another shape is told with what is wrong`(body: String, message: String) {
        let error = #expect(throws: RedditError.self) { try RedditListing.parse(Array(body.utf8)) }
        #expect(error?.message == message)
    }

    @Test func `known subreddits are told from others`() throws {
        let body =
            #"{"kind":"Listing","data":{"children":[{"kind":"t5","data":{"display_name":"StockMarket","#
            + #""x":{"display_name":"no"}}},{"kind":"t5","data":{"display_name":"apple"}}]}}"#
        #expect(try RedditSubreddits.parse(Array(body.utf8)) == ["stockmarket", "apple"])
        #expect(throws: RedditError.self) { try RedditSubreddits.parse(Array(body.utf8.dropLast())) }
    }
}

struct RedditTokenTests {
    private static func parse(_ body: String, status: Int = 200) throws -> RedditToken {
        try RedditToken.parse(.init(status: status, body: Array(body.utf8)), now: start)
    }

    private static let start = ContinuousClock.now

    @Test func `a token is used until a minute before its end`() throws {
        let token = try Self.parse(
            #"{"access_token": "abc", "token_type": "bearer", "expires_in": 3600, "scope": "*"}"#)
        #expect(token.value == "abc" && token.expires == Self.start + .seconds(3540))
        let short = try Self.parse(#"{"access_token": "abc", "expires_in": 10}"#)
        #expect(short.expires == Self.start + .seconds(5))
    }

    static let bad: [(Int, String, RedditError.Kind)] = [
        (401, #"{"message": "Unauthorized", "error": 401}"#, .refused), (200, #"{"error": "invalid_grant"}"#, .refused),
        (200, #"{"access_token": "", "expires_in": 10}"#, .unreadable), (200, #"{"access_token": "a"}"#, .unreadable),
        (200, "<html>", .unreadable), (503, "", .unavailable), (429, "", .unavailable),
    ]

    @Test(arguments: bad)
    func `a reply without a token says what it was`(status: Int, body: String, kind: RedditError.Kind) {
        let error = #expect(throws: RedditError.self) { try Self.parse(body, status: status) }
        #expect(error?.kind == kind)
    }

    @Test func `each way to ask for a token is that of its kind, and prints nothing`() {
        let script = RedditCredentials(clientID: "id", clientSecret: "geheim", account: ("me & you", "pass+word ü"))
        #expect(script.grant == "grant_type=password&username=me%20%26%20you&password=pass%2Bword%20%C3%BC")
        #expect(script.authorization == "Basic aWQ6Z2VoZWlt")
        #expect(RedditCredentials(clientID: "id", clientSecret: "s").grant == "grant_type=client_credentials")
        #expect(RedditCredentials(clientID: "id", clientSecret: "").grant.contains("installed_client"))
        var dumped = ""
        dump(script, to: &dumped)
        for text in ["\(script)", String(reflecting: script), dumped] {
            #expect(!text.contains("geheim") && !text.contains("word") && !text.contains("me &"))
        }
    }

    @Test func `base64 is that of RFC 4648`() {
        let known = [
            "": "", "f": "Zg==", "fo": "Zm8=", "foo": "Zm9v", "foob": "Zm9vYg==", "fooba": "Zm9vYmE=",
            "foobar": "Zm9vYmFy",
        ]
        for (plain, encoded) in known { #expect(Base64.encode(Array(plain.utf8)) == encoded) }
    }
}
