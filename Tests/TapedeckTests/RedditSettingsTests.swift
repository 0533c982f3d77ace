// SPDX-License-Identifier: Apache-2.0

import Ingest
import Testing

@testable import Tapedeck

struct RedditSettingsTests {
    private static func source(
        _ flags: [(Setting, String?)], _ environment: [String: String] = ["REDDIT_CLIENT_ID": "id"]
    ) throws -> RedditSource.Settings {
        try RedditSettings.source(Settings(flags: flags, environment: environment))
    }

    @Test func `what nobody sets is Reddit itself, and fifteen subreddits`() throws {
        let settings = try Self.source([])
        #expect(settings.subreddits.count == 15)
        #expect(settings.apiURL == "https://oauth.reddit.com")
        #expect(settings.tokenURL == "https://www.reddit.com")
        #expect(settings.recheckAges == [.seconds(600), .seconds(3600), .seconds(21_600), .seconds(86_400)])
    }

    @Test func `a subreddit is asked for once, whatever its case`() throws {
        let settings = try Self.source([(.redditSubreddits, "Stocks, apple,stocks,APPLE")])
        #expect(settings.subreddits == ["Stocks", "apple"])
    }

    @Test func `passwords and tokens go over TLS, but on this machine`() throws {
        let here = "http://127.0.0.1:8000/"
        #expect(try Self.source([(.redditURL, here), (.redditTokenURL, here)]).apiURL == "http://127.0.0.1:8000")
        for url in ["http://oauth.reddit.com", "http://localhost.example.org", "oauth.reddit.com"] {
            #expect(throws: (any Error).self) { try Self.source([(.redditURL, url)]) }
            #expect(throws: (any Error).self) { try Self.source([(.redditTokenURL, url)]) }
        }
    }
}
