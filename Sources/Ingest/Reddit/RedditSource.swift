// SPDX-License-Identifier: Apache-2.0

package import Logging
import Market

/// Submissions and comments of a set of subreddits, into the log as they are written.
///
/// One listing each for all subreddits together, polled by ``ListingCursor``; what was recorded is looked at again later
/// by ``RecheckQueue``. A record's identity is Reddit's full name, so one that is told twice counts once. Up to when both
/// listings have been seen is kept in the log: after a restart everything since is fetched, as far as the look-back and
/// Reddit's listings reach, and what they do not reach is noted as a gap.
///
/// A failure is tried again, and told in the journal; nothing is lost that is not said.
package struct RedditSource: LiveSource {
    package struct Settings: Sendable {
        /// Names without `r/`.
        package var subreddits: [String]
        package var credentials: RedditCredentials
        package var userAgent: String
        /// Where the API is, without a slash at the end.
        package var apiURL: String
        /// Where tokens are given.
        package var tokenURL: String
        /// A PEM file of certificate authorities instead of the system's.
        package var authorities: String?
        /// From one look at what is new to the next.
        package var interval: Duration
        /// How far back a start goes at most.
        package var lookBack: Duration
        /// Ages at which posts are looked at again, ascending.
        package var recheckAges: [Duration]
        /// For one request.
        package var timeout: Duration
        /// The pause after a failure; it doubles with each that follows, up to ``longestPause``.
        package var firstPause: Duration
        /// Between attempts where only people can put things right.
        package var longestPause: Duration { firstPause * 120 }

        package init(
            subreddits: [String], credentials: RedditCredentials, userAgent: String, apiURL: String, tokenURL: String,
            authorities: String?, interval: Duration, lookBack: Duration, recheckAges: [Duration],
            timeout: Duration, firstPause: Duration
        ) {
            self.subreddits = subreddits
            self.credentials = credentials
            self.userAgent = userAgent
            self.apiURL = apiURL
            self.tokenURL = tokenURL
            self.authorities = authorities
            self.interval = interval
            self.lookBack = lookBack
            self.recheckAges = recheckAges
            self.timeout = timeout
            self.firstPause = firstPause
        }
    }

    package static let source = "reddit"
    static let topic = "posts.staging"

    package let name = RedditSource.source
    package let topics = [RedditSource.topic]
    private let settings: Settings
    private let logger: Logger

    package init(_ settings: Settings, logger: Logger) {
        self.settings = settings
        var logger = logger
        logger[metadataKey: "source"] = "\(Self.source)"
        self.logger = logger
    }

    package func run(into outlet: Outlet) async throws {
        let position = try await outlet.position().map { Timestamp(microseconds: $0) }
        var poller = RedditPoller(settings, outlet, position: position, logger: logger)
        try await poller.run()
    }
}
