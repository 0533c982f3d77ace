// SPDX-License-Identifier: Apache-2.0

import Analytics
import ArgumentParser

// Settings of sentiment, forecasts and jobs.
extension Setting {
    static let sentiment = Setting(
        name: "sentiment", environment: "TAPEDECK_SENTIMENT", kind: .choice(["vader", "finance", "off"]),
        default: "vader",
        summary:
            "How posts are scored: by VADER, also with the finance lexicon beside it, or not at all: posts then wait in the log."
    )
    static let lexicon = Setting(
        name: "lexicon", environment: "TAPEDECK_LEXICON", kind: .folder, default: nil,
        summary: "The folder of VADER's lexicon; without it lexicons/vader beside the program.")
    static let subredditMentions = Setting(
        name: "subreddit-mentions", environment: "TAPEDECK_SUBREDDIT_MENTIONS", kind: .choice(["on", "off"]),
        default: "off", summary: "Whether a company's name in a subreddit's counts as a mention (r/teslamotors).")
    static let forecastSymbols = Setting(
        name: "forecast-symbols", environment: "TAPEDECK_FORECAST_SYMBOLS", kind: .text, default: nil,
        summary:
            "Symbols that the job forecasts, between commas; unless given, the 50 that traded most in the last day.")
    static let forecastRetention = Setting(
        name: "forecast-retention", environment: "TAPEDECK_FORECAST_RETENTION",
        kind: .duration(.seconds(3600)...(.seconds(86_400 * 3650))), default: "90d",
        summary: "How long the store keeps forecasts.")
    static let forecastSchedule = schedule("forecast", "7 * * * *", "When forecasts are made")
    static let scoreSchedule = schedule("score", "12 * * * *", "When forecasts are compared with what came")
    static let reportSchedule = schedule("report", "20 0 * * *", "When the day before is checked")
    static let retentionSchedule = schedule("retention", "40 3 * * *", "When old forecasts are deleted")

    private static func schedule(_ name: String, _ value: String, _ summary: String) -> Setting {
        Setting(
            name: "\(name)-schedule", environment: "TAPEDECK_\(name.uppercased())_SCHEDULE", kind: .schedule,
            default: value, summary: "\(summary): minute, hour, day, month, weekday, in UTC.")
    }

    /// All of them.
    static let analytics = [
        sentiment, lexicon, subredditMentions, forecastSymbols, forecastRetention, forecastSchedule, scoreSchedule,
        reportSchedule, retentionSchedule,
    ]
}

/// Their flags.
struct AnalyticsFlags: ParsableArguments {
    @Option(name: .customLong(Setting.sentiment.name), help: Setting.sentiment.help) var sentiment: String?
    @Option(name: .customLong(Setting.lexicon.name), help: Setting.lexicon.help) var lexicon: String?
    @Option(name: .customLong(Setting.subredditMentions.name), help: Setting.subredditMentions.help)
    var subredditMentions: String?
    @Option(name: .customLong(Setting.forecastSymbols.name), help: Setting.forecastSymbols.help)
    var forecastSymbols: String?
    @Option(name: .customLong(Setting.forecastRetention.name), help: Setting.forecastRetention.help)
    var forecastRetention: String?
    @Option(name: .customLong(Setting.forecastSchedule.name), help: Setting.forecastSchedule.help)
    var forecastSchedule: String?
    @Option(name: .customLong(Setting.scoreSchedule.name), help: Setting.scoreSchedule.help) var scoreSchedule: String?
    @Option(name: .customLong(Setting.reportSchedule.name), help: Setting.reportSchedule.help)
    var reportSchedule: String?
    @Option(name: .customLong(Setting.retentionSchedule.name), help: Setting.retentionSchedule.help)
    var retentionSchedule: String?

    var given: [(Setting, String?)] {
        [
            (.sentiment, sentiment), (.lexicon, lexicon), (.subredditMentions, subredditMentions),
            (.forecastSymbols, forecastSymbols), (.forecastRetention, forecastRetention),
            (.forecastSchedule, forecastSchedule), (.scoreSchedule, scoreSchedule), (.reportSchedule, reportSchedule),
            (.retentionSchedule, retentionSchedule),
        ]
    }
}

extension Settings {
    /// A schedule; nil for off.
    func schedule(_ setting: Setting) -> CronSchedule? { CronSchedule(string(setting)) }
}
