// SPDX-License-Identifier: Apache-2.0
// The settings of source reddit.

import ArgumentParser
import Ingest

extension Setting {
    static let redditSubreddits = Setting(
        name: "reddit-subreddits", environment: "TAPEDECK_REDDIT_SUBREDDITS",
        kind: .list(of: "SUBREDDIT") { RedditSettings.isSubreddit($0) },
        default:
            "stocks,wallstreetbets,investing,StockMarket,traders,ValueInvesting,finance,Daytrading,dividends,trading,teslamotors,TeslaLounge,teslainvestorsclub,apple,microsoft",
        summary: "What to record of Reddit; those that it does not know are reported and left out.",
        aliases: ["REDDIT_SUBREDDITS"])
    static let redditInterval = Setting(
        name: "reddit-interval", environment: "TAPEDECK_REDDIT_INTERVAL",
        kind: .duration(.milliseconds(100)...(.seconds(3600))), default: "10s",
        summary: "From one look at what is new on Reddit to the next; two requests each, of a hundred a minute.")
    static let redditLookBack = Setting(
        name: "reddit-look-back", environment: "TAPEDECK_REDDIT_LOOK_BACK",
        kind: .duration(.zero...(.seconds(86_400 * 30))), default: "1d",
        summary: "How far back a start fetches what it has missed; Reddit lists about a thousand posts.")
    static let redditRecheck = Setting(
        name: "reddit-recheck", environment: "TAPEDECK_REDDIT_RECHECK",
        kind: .list(of: "AGE") { Setting.duration(String($0)).map { $0 > .zero } ?? false }, default: "10m,1h,6h,24h",
        summary: "Ages at which a post is looked at again for edits, votes and deletion.")
    static let redditTimeout = Setting(
        name: "reddit-timeout", environment: "TAPEDECK_REDDIT_TIMEOUT",
        kind: .duration(.milliseconds(100)...(.seconds(600))), default: "30s",
        summary: "How long a reply of Reddit's may take.")
    static let redditUserAgent = Setting(
        name: "reddit-user-agent", environment: "TAPEDECK_REDDIT_USER_AGENT", kind: .text, default: nil,
        summary: "What Tapedeck calls itself to Reddit; without it user_agent of the credentials, or tapedeck.",
        aliases: ["REDDIT_USER_AGENT"])
    static let redditURL = Setting(
        name: "reddit-url", environment: "TAPEDECK_REDDIT_URL", kind: .text, default: "https://oauth.reddit.com",
        summary: "Reddit's API, or what stands in for it.")
    static let redditTokenURL = Setting(
        name: "reddit-token-url", environment: "TAPEDECK_REDDIT_TOKEN_URL", kind: .text,
        default: "https://www.reddit.com", summary: "Where Reddit gives tokens, or what stands in for it.")

    /// The settings above.
    static let reddit = [
        redditSubreddits, redditInterval, redditLookBack, redditRecheck, redditTimeout, redditUserAgent, redditURL,
        redditTokenURL,
    ]
}

/// The flags of ``Setting/reddit``.
struct RedditSettingFlags: ParsableArguments {
    @Option(name: .customLong(Setting.redditSubreddits.name), help: Setting.redditSubreddits.help)
    var redditSubreddits: String?
    @Option(name: .customLong(Setting.redditInterval.name), help: Setting.redditInterval.help)
    var redditInterval: String?
    @Option(name: .customLong(Setting.redditLookBack.name), help: Setting.redditLookBack.help)
    var redditLookBack: String?
    @Option(name: .customLong(Setting.redditRecheck.name), help: Setting.redditRecheck.help)
    var redditRecheck: String?
    @Option(name: .customLong(Setting.redditTimeout.name), help: Setting.redditTimeout.help)
    var redditTimeout: String?
    @Option(name: .customLong(Setting.redditUserAgent.name), help: Setting.redditUserAgent.help)
    var redditUserAgent: String?
    @Option(name: .customLong(Setting.redditURL.name), help: Setting.redditURL.help) var redditURL: String?
    @Option(name: .customLong(Setting.redditTokenURL.name), help: Setting.redditTokenURL.help)
    var redditTokenURL: String?

    var given: [(Setting, String?)] {
        [
            (.redditSubreddits, redditSubreddits), (.redditInterval, redditInterval),
            (.redditLookBack, redditLookBack), (.redditRecheck, redditRecheck), (.redditTimeout, redditTimeout),
            (.redditUserAgent, redditUserAgent), (.redditURL, redditURL), (.redditTokenURL, redditTokenURL),
        ]
    }
}

/// What the settings say to source reddit.
enum RedditSettings {
    static func source(_ settings: Settings) throws -> RedditSource.Settings {
        let section = "RedditCredentials"
        guard let clientID = try settings.secret("REDDIT_CLIENT_ID", entry: (section, "client_id")) else {
            throw ValidationError(
                "source reddit needs REDDIT_CLIENT_ID in the environment or in .env, or client_id under [\(section)] in credentials.ini"
            )
        }
        let name = try settings.secret("REDDIT_USERNAME", entry: (section, "username"))
        let password = try settings.secret("REDDIT_PASSWORD", entry: (section, "password"))
        var account: (name: String, password: String)?
        if let name, let password { account = (name, password) }
        let agent = try settings.text(.redditUserAgent) ?? settings.secret("", entry: (section, "user_agent"))
        return RedditSource.Settings(
            subreddits: subreddits(settings.list(.redditSubreddits)),
            credentials: RedditCredentials(
                clientID: clientID,
                clientSecret: try settings.secret("REDDIT_CLIENT_SECRET", entry: (section, "client_secret")) ?? "",
                account: account),
            userAgent: agent ?? "linux:tapedeck:\(Tapedeck.version)",
            apiURL: try SourceSettings.serviceURL(settings, .redditURL),
            tokenURL: try SourceSettings.serviceURL(settings, .redditTokenURL),
            authorities: settings.text(.sourceAuthorities), interval: settings.duration(.redditInterval),
            lookBack: settings.duration(.redditLookBack),
            recheckAges: settings.list(.redditRecheck).compactMap { Setting.duration($0) }.sorted(),
            timeout: settings.duration(.redditTimeout), firstPause: settings.duration(.sourceRetryPause))
    }

    /// Each once, whatever its case, as it was written first.
    static func subreddits(_ names: [String]) -> [String] {
        var seen: Set<String> = []
        return names.filter { seen.insert($0.lowercased()).inserted }
    }

    /// Reddit's own rule for names.
    static func isSubreddit(_ name: Substring) -> Bool {
        (2...21).contains(name.utf8.count)
            && name.utf8.allSatisfy { byte in
                let character = Character(Unicode.Scalar(byte))
                return byte < 0x80 && (character.isLetter || character.isNumber || character == "_")
            }
    }
}
