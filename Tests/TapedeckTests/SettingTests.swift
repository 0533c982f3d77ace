// SPDX-License-Identifier: Apache-2.0

import ArgumentParser
import Processor
import Testing

@testable import Tapedeck

/// The settings, or the message of the error.
private func settings(
    flags: [(Setting, String?)] = [], environment: [String: String] = [:], dotEnv: String? = nil
) -> Result<Settings, SettingsError> {
    Result { () throws(SettingsError) in try Settings(flags: flags, environment: environment, dotEnv: dotEnv) }
}

private func message(_ result: Result<Settings, SettingsError>) -> String? {
    if case .failure(let error) = result { error.message } else { nil }
}

struct SettingTableTests {
    @Test func `every setting has a flag, and no flag is without a setting`() throws {
        let flags = try SettingFlags.parse([])
        #expect(flags.given.map(\.0.name) == Setting.all.map(\.name))
        #expect(flags.given.allSatisfy { $0.1 == nil })
        // Each flag fills its own setting.
        for setting in Setting.all {
            let given = try SettingFlags.parse(["--\(setting.name)", "x"]).given
            #expect(given.filter { $0.1 != nil }.map(\.0.name) == [setting.name])
        }
    }

    @Test func `names and variables are distinct and alike`() {
        #expect(Set(Setting.all.map(\.name)).count == Setting.all.count)
        #expect(Set(Setting.all.map(\.environment)).count == Setting.all.count)
        for setting in Setting.all {
            let upper = String(setting.name.map { $0 == "-" ? "_" : Character($0.uppercased()) })
            #expect(setting.environment == "TAPEDECK_\(upper)")
        }
    }

    @Test func `the variables of the design have its defaults`() {
        let expected: [(Setting, String, String?)] = [
            (.databaseURL, "TAPEDECK_DATABASE_URL", nil), (.readerURL, "TAPEDECK_READER_URL", nil),
            (.eventLog, "TAPEDECK_EVENT_LOG", nil), (.listen, "TAPEDECK_LISTEN", "127.0.0.1:8080"),
            (.dataDir, "TAPEDECK_DATA_DIR", "./var"),
        ]
        for (setting, environment, fallback) in expected {
            #expect(setting.environment == environment && setting.default == fallback, "\(setting.name)")
        }
    }

    @Test func `every default is allowed, and every summary is a sentence`() {
        for setting in Setting.all {
            if let value = setting.default { #expect(setting.complaint(about: value) == nil, "\(setting.name)") }
            #expect(setting.summary.hasSuffix("."), "\(setting.name)")
            #expect(setting.help.abstract.contains("[\(setting.environment)"), "\(setting.name)")
        }
    }

    @Test func `the defaults are what one gets without saying anything`() throws {
        let settings = try settings().get()
        for setting in Setting.all { #expect(settings.text(setting) == setting.default, "\(setting.name)") }
        #expect(settings.integer(.partitions) == 4 && settings.integer(.loops) == nil)
        #expect(settings.duration(.retention) == .seconds(3 * 86_400))
        #expect(settings.duration(.longestLead) == .seconds(60))
        #expect(Runtime.silence(settings) == SilencePolicy(limit: .seconds(60)))
        #expect(try settings.address(.listen).description == "127.0.0.1:8080")
        #expect(settings.string(.databaseURL) == "")
    }
}

struct SilenceTests {
    @Test func `a source is silent after its own time, or after that of all`() throws {
        let given = try settings(environment: ["TAPEDECK_SILENT_AFTER": "yahoo=1d, 5m"]).get()
        let policy = Runtime.silence(given)
        #expect(policy.limit(of: "yahoo") == .seconds(86_400))
        #expect(policy.limit(of: "finnhub") == .seconds(300))
        // Who names exceptions alone leaves the others as they are.
        let exception = try settings(environment: ["TAPEDECK_SILENT_AFTER": "yahoo=1d"]).get()
        #expect(Runtime.silence(exception).limit(of: "finnhub") == .seconds(60))
    }
}

struct SettingValueTests {
    static let good: [(String, String)] = [
        ("data-dir", "."), ("data-dir", "/var/lib/tape deck"), ("listen", "127.0.0.1:0"), ("listen", "localhost:65535"),
        ("listen", "[::1]:8080"), ("database-url", "postgresql://u:p@h/d"), ("database-url", "postgres:///d"),
        ("reader-url", "postgresql://a,b:5433/d?target_session_attrs=any"), ("event-log", "sqlite:x"),
        ("event-log", "kafka://a:9092,[::1]:9093?compression.type=zstd&group.instance.id=a%20b"),
        ("postgres-port", "0"), ("postgres-port", "65535"), ("partitions", "1"),
        ("partitions", "1024"), ("retention", "60s"), ("retention", "3650d"), ("retention", "1m"),
        ("rejected-retention", "60000ms"), ("longest-lead", "0s"), ("longest-lead", "365d"), ("longest-lead", "1ms"),
        ("silent-after", "1s"), ("silent-after", "90s, yahoo=1d,finnhub=5m"), ("silent-after", "yahoo=1d"),
        ("ops-retention", "1d"), ("ops-retention", "3650d"),
        ("loops", "1"), ("loops", "32"), ("pool-size", "1"), ("pool-size", "100"), ("query-timeout", "10ms"),
        ("query-timeout", "1d"), ("log-level", "trace"), ("log-level", "critical"),
        ("max-connections", "1"), ("max-connections", "1000000"), ("max-connections-per-address", "1"),
        ("max-head-bytes", "1024"), ("max-head-bytes", "1048576"), ("max-body-bytes", "67108864"),
        ("max-running-queries", "1000"), ("max-result-rows", "1"), ("max-result-bytes", "1"), ("max-query-cost", "0"),
        ("max-query-cost", "12.5"),
        ("trino-client-timeout", "1s"), ("trino-max-queries", "100000"),
        ("max-subscribers", "1"), ("max-subscribers-per-address", "1000000"), ("live-memory", "65536"),
        ("live-heartbeat", "100ms"),
        ("idle-timeout", "100ms"), ("head-timeout", "600s"), ("transfer-timeout", "1h"), ("min-transfer-rate", "1"),
        ("drain-timeout", "0s"), ("compression", "off"), ("allowed-hosts", "tape.example, [fd00::1],10.0.0.1"),
        ("cors-origins", "*"), ("cors-origins", "https://app.example,http://localhost:3000"),
        ("trusted-proxies", "10.0.0.0/8, ::1"), ("proxy-protocol", "on"),
        ("finnhub-symbols", #"["AAPL", "BINANCE:BTCUSDT", "IC MARKETS:1"]"#), ("spool-bytes", "1048576"),
        ("finnhub-silence", "3m"), ("source-retry-pause", "10m"),
        ("yahoo-symbols", "BTC-USD,EURUSD=X,^GSPC"), ("yahoo-interval", "1s"), ("yahoo-timeframe", "1d"),
        ("yahoo-look-back", "max"), ("finnhub-interval", "1m"), ("source-busy-pause", "1h"),
        ("source-timeout", "5s"), ("finnhub-rate", "300"), ("yahoo-rate", "1"), ("finnhub-validate", "1"),
    ]

    @Test(arguments: good)
    func `a value that is allowed is taken, wherever it comes from`(name: String, value: String) throws {
        let setting = try #require(Setting.all.first { $0.name == name })
        #expect(try settings(flags: [(setting, value)]).get().text(setting) == value)
        #expect(try settings(environment: [setting.environment: value]).get().text(setting) == value)
        #expect(try settings(dotEnv: "\(setting.environment)='\(value)'").get().text(setting) == value)
    }

    /// Name, value, and the whole message that a user sees.
    static let bad: [(String, String, String)] = [
        (
            "source-busy-pause", "1ms",
            "TAPEDECK_SOURCE_BUSY_PAUSE (--source-busy-pause): '1ms' is out of range; allowed: 10ms to 3600s"
        ),
        (
            "source-timeout", "1ms",
            "TAPEDECK_SOURCE_TIMEOUT (--source-timeout): '1ms' is out of range; allowed: 100ms to 600s"
        ),
        (
            "finnhub-validate", "yes",
            "TAPEDECK_FINNHUB_VALIDATE (--finnhub-validate): 'yes' is not known; allowed: on, off, 1, 0"
        ),
        (
            "finnhub-rate", "0",
            "TAPEDECK_FINNHUB_RATE (--finnhub-rate): '0' is out of range; allowed: 1 to 100000"
        ),
        (
            "yahoo-rate", "0",
            "TAPEDECK_YAHOO_RATE (--yahoo-rate): '0' is out of range; allowed: 1 to 100000"
        ),
        (
            "finnhub-url", "",
            "TAPEDECK_FINNHUB_URL (--finnhub-url): '' is empty; allowed: text"
        ),
        (
            "finnhub-interval", "1ms",
            "TAPEDECK_FINNHUB_INTERVAL (--finnhub-interval): '1ms' is out of range; allowed: 100ms to 1d"
        ),
        (
            "yahoo-symbols", "AAPL,",
            "TAPEDECK_YAHOO_SYMBOLS (--yahoo-symbols): 'AAPL,' has an empty element; allowed: SYMBOL[,SYMBOL…]"
        ),
        (
            "yahoo-url", "",
            "TAPEDECK_YAHOO_URL (--yahoo-url): '' is empty; allowed: text"
        ),
        (
            "yahoo-cookie-url", "",
            "TAPEDECK_YAHOO_COOKIE_URL (--yahoo-cookie-url): '' is empty; allowed: text"
        ),
        (
            "yahoo-interval", "1ms",
            "TAPEDECK_YAHOO_INTERVAL (--yahoo-interval): '1ms' is out of range; allowed: 100ms to 1d"
        ),
        (
            "yahoo-timeframe", "7m",
            "TAPEDECK_YAHOO_TIMEFRAME (--yahoo-timeframe): '7m' is not known; allowed: 1m, 2m, 5m, 15m, 30m, 60m, 90m, 1d"
        ),
        (
            "yahoo-look-back", "7m",
            "TAPEDECK_YAHOO_LOOK_BACK (--yahoo-look-back): '7m' is not known; allowed: 1d, 5d, 1mo, 3mo, 6mo, 1y, 2y, 5y, 10y, max"
        ),
        (
            "spool-bytes", "1000",
            "TAPEDECK_SPOOL_BYTES (--spool-bytes): '1000' is out of range; allowed: 1048576 to 1099511627776"
        ),
        (
            "source-retry-pause", "1ms",
            "TAPEDECK_SOURCE_RETRY_PAUSE (--source-retry-pause): '1ms' is out of range; allowed: 10ms to 600s"
        ),
        (
            "source-authorities", "",
            "TAPEDECK_SOURCE_AUTHORITIES (--source-authorities): '' is empty; allowed: file"
        ),
        ("credentials", "", "TAPEDECK_CREDENTIALS (--credentials): '' is empty; allowed: file"),
        (
            "finnhub-symbols", "AAPL,",
            "TAPEDECK_FINNHUB_SYMBOLS (--finnhub-symbols): 'AAPL,' has an empty element; allowed: SYMBOL[,SYMBOL…]"
        ),
        (
            "finnhub-symbols", "AAPL,Ä",
            "TAPEDECK_FINNHUB_SYMBOLS (--finnhub-symbols): 'AAPL,Ä' has the element 'Ä', which is none; "
                + "allowed: SYMBOL[,SYMBOL…]"
        ),
        (
            "finnhub-symbols-file", "",
            "TAPEDECK_FINNHUB_SYMBOLS_FILE (--finnhub-symbols-file): '' is empty; allowed: file"
        ),
        ("finnhub-ws-url", "", "TAPEDECK_FINNHUB_WS_URL (--finnhub-ws-url): '' is empty; allowed: text"),
        (
            "reddit-subreddits", "stocks,not one",
            "TAPEDECK_REDDIT_SUBREDDITS (--reddit-subreddits): 'stocks,not one' has the element 'not one', which is none; "
                + "allowed: SUBREDDIT[,SUBREDDIT…]"
        ),
        (
            "reddit-interval", "10ms",
            "TAPEDECK_REDDIT_INTERVAL (--reddit-interval): '10ms' is out of range; allowed: 100ms to 3600s"
        ),
        (
            "reddit-look-back", "31d",
            "TAPEDECK_REDDIT_LOOK_BACK (--reddit-look-back): '31d' is out of range; allowed: 0s to 30d"
        ),
        (
            "reddit-recheck", "10m,0s",
            "TAPEDECK_REDDIT_RECHECK (--reddit-recheck): '10m,0s' has the element '0s', which is none; "
                + "allowed: AGE[,AGE…]"
        ),
        (
            "reddit-timeout", "11m",
            "TAPEDECK_REDDIT_TIMEOUT (--reddit-timeout): '11m' is out of range; allowed: 100ms to 600s"
        ),
        (
            "reddit-user-agent", "",
            "TAPEDECK_REDDIT_USER_AGENT (--reddit-user-agent): '' is empty; allowed: text"
        ),
        ("reddit-url", "", "TAPEDECK_REDDIT_URL (--reddit-url): '' is empty; allowed: text"),
        ("reddit-token-url", "", "TAPEDECK_REDDIT_TOKEN_URL (--reddit-token-url): '' is empty; allowed: text"),
        (
            "finnhub-silence", "soon",
            "TAPEDECK_FINNHUB_SILENCE (--finnhub-silence): 'soon' is not a time such as 500ms, 60s, 3d; "
                + "allowed: 100ms to 1d"
        ),
        ("kafka-config", "", "TAPEDECK_KAFKA_CONFIG (--kafka-config): '' is empty; allowed: text"),
        ("replication", "0", "TAPEDECK_REPLICATION (--replication): '0' is out of range; allowed: 1 to 100"),
        ("data-dir", "", "TAPEDECK_DATA_DIR (--data-dir): '' is empty; allowed: folder"),
        ("listen", "", "TAPEDECK_LISTEN (--listen): '' is not an address; allowed: HOST:PORT"),
        ("listen", "8080", "TAPEDECK_LISTEN (--listen): '8080' is not an address; allowed: HOST:PORT"),
        ("listen", ":8080", "TAPEDECK_LISTEN (--listen): ':8080' is not an address; allowed: HOST:PORT"),
        ("listen", "a:", "TAPEDECK_LISTEN (--listen): 'a:' is not an address; allowed: HOST:PORT"),
        ("listen", "a:65536", "TAPEDECK_LISTEN (--listen): 'a:65536' is not an address; allowed: HOST:PORT"),
        ("listen", "a:-1", "TAPEDECK_LISTEN (--listen): 'a:-1' is not an address; allowed: HOST:PORT"),
        ("listen", "a:http", "TAPEDECK_LISTEN (--listen): 'a:http' is not an address; allowed: HOST:PORT"),
        ("listen", "[]:1", "TAPEDECK_LISTEN (--listen): '[]:1' is not an address; allowed: HOST:PORT"),
        (
            "database-url", "host=h password=secret",
            "TAPEDECK_DATABASE_URL (--database-url): the value is not a PostgreSQL URI; "
                + "allowed: postgresql://USER:PASSWORD@HOST[:PORT][,HOST…]/DATABASE"
        ),
        (
            "reader-url", "mysql://u:secret@h/d",
            "TAPEDECK_READER_URL (--reader-url): the value is not a PostgreSQL URI; "
                + "allowed: postgresql://USER:PASSWORD@HOST[:PORT][,HOST…]/DATABASE"
        ),
        (
            "event-log", "sqlite:",
            "TAPEDECK_EVENT_LOG (--event-log): 'sqlite:' is not a log; "
                + "allowed: sqlite:FOLDER, or kafka://HOST:PORT[,HOST:PORT…][?PROPERTY=VALUE&…]"
        ),
        (
            "event-log", "kafka://a",
            "TAPEDECK_EVENT_LOG (--event-log): the Kafka log names no broker; allowed: kafka://HOST:PORT[,HOST:PORT…]"
        ),
        (
            "event-log", "kafka://a:9092?sasl.password=geheim",
            "TAPEDECK_EVENT_LOG (--event-log): the Kafka property sasl.password belongs in the file of TAPEDECK_KAFKA_CONFIG"
        ),
        (
            "event-log", "kafka://a:9092?acks=0",
            "TAPEDECK_EVENT_LOG (--event-log): the Kafka property acks is not yours to set: a record is acknowledged by all "
                + "replicas in sync"
        ),
        (
            "event-log", "redis://x",
            "TAPEDECK_EVENT_LOG (--event-log): 'redis://x' is not a log; "
                + "allowed: sqlite:FOLDER, or kafka://HOST:PORT[,HOST:PORT…][?PROPERTY=VALUE&…]"
        ),
        (
            "postgres-port", "65536",
            "TAPEDECK_POSTGRES_PORT (--postgres-port): '65536' is out of range; allowed: 0 to 65535"
        ),
        ("postgres-port", "-1", "TAPEDECK_POSTGRES_PORT (--postgres-port): '-1' is out of range; allowed: 0 to 65535"),
        ("partitions", "0", "TAPEDECK_PARTITIONS (--partitions): '0' is out of range; allowed: 1 to 1024"),
        ("partitions", "1025", "TAPEDECK_PARTITIONS (--partitions): '1025' is out of range; allowed: 1 to 1024"),
        ("partitions", "four", "TAPEDECK_PARTITIONS (--partitions): 'four' is not a whole number; allowed: 1 to 1024"),
        ("partitions", "4.5", "TAPEDECK_PARTITIONS (--partitions): '4.5' is not a whole number; allowed: 1 to 1024"),
        ("partitions", "", "TAPEDECK_PARTITIONS (--partitions): '' is not a whole number; allowed: 1 to 1024"),
        (
            "partitions", "99999999999999999999",
            "TAPEDECK_PARTITIONS (--partitions): '99999999999999999999' is not a whole number; allowed: 1 to 1024"
        ),
        ("retention", "59s", "TAPEDECK_RETENTION (--retention): '59s' is out of range; allowed: 60s to 3650d"),
        ("retention", "3651d", "TAPEDECK_RETENTION (--retention): '3651d' is out of range; allowed: 60s to 3650d"),
        (
            "retention", "3",
            "TAPEDECK_RETENTION (--retention): '3' is not a time such as 500ms, 60s, 3d; allowed: 60s to 3650d"
        ),
        (
            "retention", "3 d",
            "TAPEDECK_RETENTION (--retention): '3 d' is not a time such as 500ms, 60s, 3d; allowed: 60s to 3650d"
        ),
        (
            "longest-lead", "-1s",
            "TAPEDECK_LONGEST_LEAD (--longest-lead): '-1s' is not a time such as 500ms, 60s, 3d; allowed: 0s to 365d"
        ),
        (
            "silent-after", "60s,yahoo=soon",
            "TAPEDECK_SILENT_AFTER (--silent-after): '60s,yahoo=soon' has the element 'yahoo=soon', which is none; allowed: [SOURCE=]TIME[,[SOURCE=]TIME…]"
        ),
        (
            "silent-after", "=1s",
            "TAPEDECK_SILENT_AFTER (--silent-after): '=1s' has the element '=1s', which is none; allowed: [SOURCE=]TIME[,[SOURCE=]TIME…]"
        ),
        (
            "silent-after", "999ms",
            "TAPEDECK_SILENT_AFTER (--silent-after): '999ms' has the element '999ms', which is none; allowed: [SOURCE=]TIME[,[SOURCE=]TIME…]"
        ),
        (
            "ops-retention", "23h",
            "TAPEDECK_OPS_RETENTION (--ops-retention): '23h' is out of range; allowed: 1d to 3650d"
        ),
        ("loops", "0", "TAPEDECK_LOOPS (--loops): '0' is out of range; allowed: 1 to 32"),
        ("loops", "33", "TAPEDECK_LOOPS (--loops): '33' is out of range; allowed: 1 to 32"),
        ("pool-size", "0", "TAPEDECK_POOL_SIZE (--pool-size): '0' is out of range; allowed: 1 to 100"),
        ("pool-size", "101", "TAPEDECK_POOL_SIZE (--pool-size): '101' is out of range; allowed: 1 to 100"),
        (
            "query-timeout", "9ms",
            "TAPEDECK_QUERY_TIMEOUT (--query-timeout): '9ms' is out of range; allowed: 10ms to 1d"
        ),
        ("query-timeout", "2d", "TAPEDECK_QUERY_TIMEOUT (--query-timeout): '2d' is out of range; allowed: 10ms to 1d"),
        (
            "metrics-listen", "9100",
            "TAPEDECK_METRICS_LISTEN (--metrics-listen): '9100' is not an address; allowed: HOST:PORT"
        ),
        ("replication", "0", "TAPEDECK_REPLICATION (--replication): '0' is out of range; allowed: 1 to 100"),
        (
            "trade-retention", "1h",
            "TAPEDECK_TRADE_RETENTION (--trade-retention): '1h' is out of range; allowed: 1d to 36500d"
        ),
        (
            "fine-bar-retention", "week",
            "TAPEDECK_FINE_BAR_RETENTION (--fine-bar-retention): 'week' is not a time such as 500ms, 60s, 3d; allowed: 1d to 36500d"
        ),
        (
            "alert-timeframe", "2m",
            "TAPEDECK_ALERT_TIMEFRAME (--alert-timeframe): '2m' is not known; allowed: 1s, 5s, 15s, 1m, 5m, 15m, 1h, 1d, none"
        ),
        (
            "alert-move", "-1",
            "TAPEDECK_ALERT_MOVE (--alert-move): '-1' is not a number; allowed: a number, 0 for none"
        ),
        (
            "alert-volume", "1M",
            "TAPEDECK_ALERT_VOLUME (--alert-volume): '1M' is not a number; allowed: a number, 0 for none"
        ),
        (
            "alert-range", "inf",
            "TAPEDECK_ALERT_RANGE (--alert-range): 'inf' is not a number; allowed: a number, 0 for none"
        ),
        (
            "alert-cool-down", "5",
            "TAPEDECK_ALERT_COOL_DOWN (--alert-cool-down): '5' is not a time such as 500ms, 60s, 3d; allowed: 0s to 365d"
        ),
        (
            "sentiment", "textblob",
            "TAPEDECK_SENTIMENT (--sentiment): 'textblob' is not known; allowed: vader, finance, off"
        ),
        ("lexicon", "", "TAPEDECK_LEXICON (--lexicon): '' is empty; allowed: folder"),
        ("docs-viewer", "", "TAPEDECK_DOCS_VIEWER (--docs-viewer): '' is empty; allowed: folder"),
        ("console", "", "TAPEDECK_CONSOLE (--console): '' is empty; allowed: folder"),
        (
            "console-libraries", "",
            "TAPEDECK_CONSOLE_LIBRARIES (--console-libraries): '' is empty; allowed: folder"
        ),
        ("audit-log", "", "TAPEDECK_AUDIT_LOG (--audit-log): '' is empty; allowed: file"),
        (
            "require-keys", "yes",
            "TAPEDECK_REQUIRE_KEYS (--require-keys): 'yes' is not known; allowed: on, off"
        ),
        (
            "subreddit-mentions", "yes",
            "TAPEDECK_SUBREDDIT_MENTIONS (--subreddit-mentions): 'yes' is not known; allowed: on, off"
        ),
        ("forecast-symbols", "", "TAPEDECK_FORECAST_SYMBOLS (--forecast-symbols): '' is empty; allowed: text"),
        (
            "forecast-retention", "1s",
            "TAPEDECK_FORECAST_RETENTION (--forecast-retention): '1s' is out of range; allowed: 3600s to 3650d"
        ),
        (
            "forecast-schedule", "60 * * * *",
            "TAPEDECK_FORECAST_SCHEDULE (--forecast-schedule): '60 * * * *' is not a schedule such as '7 * * * *'; "
                + "allowed: five fields as in crontab(5), or off"
        ),
        (
            "score-schedule", "60 * * * *",
            "TAPEDECK_SCORE_SCHEDULE (--score-schedule): '60 * * * *' is not a schedule such as '7 * * * *'; "
                + "allowed: five fields as in crontab(5), or off"
        ),
        (
            "report-schedule", "60 * * * *",
            "TAPEDECK_REPORT_SCHEDULE (--report-schedule): '60 * * * *' is not a schedule such as '7 * * * *'; "
                + "allowed: five fields as in crontab(5), or off"
        ),
        (
            "retention-schedule", "60 * * * *",
            "TAPEDECK_RETENTION_SCHEDULE (--retention-schedule): '60 * * * *' is not a schedule such as '7 * * * *'; "
                + "allowed: five fields as in crontab(5), or off"
        ),
        ("log-format", "xml", "TAPEDECK_LOG_FORMAT (--log-format): 'xml' is not known; allowed: text, json"),
        (
            "max-connections", "0",
            "TAPEDECK_MAX_CONNECTIONS (--max-connections): '0' is out of range; allowed: 1 to 1000000"
        ),
        (
            "max-connections-per-address", "all",
            "TAPEDECK_MAX_CONNECTIONS_PER_ADDRESS (--max-connections-per-address): 'all' is not a whole number; "
                + "allowed: 1 to 1000000"
        ),
        (
            "max-head-bytes", "1023",
            "TAPEDECK_MAX_HEAD_BYTES (--max-head-bytes): '1023' is out of range; allowed: 1024 to 1048576"
        ),
        (
            "max-body-bytes", "67108865",
            "TAPEDECK_MAX_BODY_BYTES (--max-body-bytes): '67108865' is out of range; allowed: 1024 to 67108864"
        ),
        (
            "max-running-queries", "0",
            "TAPEDECK_MAX_RUNNING_QUERIES (--max-running-queries): '0' is out of range; allowed: 1 to 1000"
        ),
        (
            "max-result-rows", "0",
            "TAPEDECK_MAX_RESULT_ROWS (--max-result-rows): '0' is out of range; allowed: 1 to 1000000000000"
        ),
        (
            "max-result-bytes", "some",
            "TAPEDECK_MAX_RESULT_BYTES (--max-result-bytes): 'some' is not a whole number; allowed: 1 to 1000000000000000"
        ),
        (
            "max-query-cost", "-1",
            "TAPEDECK_MAX_QUERY_COST (--max-query-cost): '-1' is not a number; allowed: a number, 0 for none"
        ),
        (
            "max-subscribers", "0",
            "TAPEDECK_MAX_SUBSCRIBERS (--max-subscribers): '0' is out of range; allowed: 1 to 1000000"
        ),
        (
            "max-subscribers-per-address", "many",
            "TAPEDECK_MAX_SUBSCRIBERS_PER_ADDRESS (--max-subscribers-per-address): 'many' is not a whole number; allowed: 1 to 1000000"
        ),
        (
            "live-memory", "65535",
            "TAPEDECK_LIVE_MEMORY (--live-memory): '65535' is out of range; allowed: 65536 to 17179869184"
        ),
        (
            "live-heartbeat", "99ms",
            "TAPEDECK_LIVE_HEARTBEAT (--live-heartbeat): '99ms' is out of range; allowed: 100ms to 600s"
        ),
        (
            "trino-client-timeout", "999ms",
            "TAPEDECK_TRINO_CLIENT_TIMEOUT (--trino-client-timeout): '999ms' is out of range; allowed: 1s to 1d"
        ),
        (
            "trino-max-queries", "0",
            "TAPEDECK_TRINO_MAX_QUERIES (--trino-max-queries): '0' is out of range; allowed: 1 to 100000"
        ),
        (
            "idle-timeout", "99ms",
            "TAPEDECK_IDLE_TIMEOUT (--idle-timeout): '99ms' is out of range; allowed: 100ms to 1d"
        ),
        (
            "head-timeout", "601s",
            "TAPEDECK_HEAD_TIMEOUT (--head-timeout): '601s' is out of range; allowed: 100ms to 600s"
        ),
        (
            "transfer-timeout", "2h",
            "TAPEDECK_TRANSFER_TIMEOUT (--transfer-timeout): '2h' is out of range; allowed: 100ms to 3600s"
        ),
        (
            "min-transfer-rate", "0",
            "TAPEDECK_MIN_TRANSFER_RATE (--min-transfer-rate): '0' is out of range; allowed: 1 to 1048576"
        ),
        ("drain-timeout", "2h", "TAPEDECK_DRAIN_TIMEOUT (--drain-timeout): '2h' is out of range; allowed: 0s to 3600s"),
        ("compression", "gzip", "TAPEDECK_COMPRESSION (--compression): 'gzip' is not known; allowed: on, off"),
        (
            "allowed-hosts", "tape.example:80",
            "TAPEDECK_ALLOWED_HOSTS (--allowed-hosts): 'tape.example:80' has the element 'tape.example:80', which is none; "
                + "allowed: HOST[,HOST…]"
        ),
        (
            "allowed-hosts", "a,,b",
            "TAPEDECK_ALLOWED_HOSTS (--allowed-hosts): 'a,,b' has an empty element; allowed: HOST[,HOST…]"
        ),
        (
            "cors-origins", "https://app.example/",
            "TAPEDECK_CORS_ORIGINS (--cors-origins): 'https://app.example/' has the element 'https://app.example/', which "
                + "is none; allowed: ORIGIN[,ORIGIN…]"
        ),
        (
            "trusted-proxies", "10.0.0.0/33",
            "TAPEDECK_TRUSTED_PROXIES (--trusted-proxies): '10.0.0.0/33' has the element '10.0.0.0/33', which is none; "
                + "allowed: ADDRESS[/BITS][,ADDRESS[/BITS]…]"
        ),
        (
            "proxy-protocol", "v2",
            "TAPEDECK_PROXY_PROTOCOL (--proxy-protocol): 'v2' is not known; allowed: on, off"
        ),
        (
            "tls-cert", "a.pem,,b.pem",
            "TAPEDECK_TLS_CERT (--tls-cert): 'a.pem,,b.pem' has an empty element; allowed: FILE[,FILE…]"
        ),
        ("tls-key", "a,", "TAPEDECK_TLS_KEY (--tls-key): 'a,' has an empty element; allowed: FILE[,FILE…]"),
        (
            "tls-min-version", "1.1",
            "TAPEDECK_TLS_MIN_VERSION (--tls-min-version): '1.1' is not known; allowed: 1.2, 1.3"
        ),
        ("tls-client-ca", "", "TAPEDECK_TLS_CLIENT_CA (--tls-client-ca): '' is empty; allowed: file"),
        (
            "tls-client-auth", "maybe",
            "TAPEDECK_TLS_CLIENT_AUTH (--tls-client-auth): 'maybe' is not known; allowed: none, optional, required"
        ),
        ("tls-ca", "", "TAPEDECK_TLS_CA (--tls-ca): '' is empty; allowed: file"),
        (
            "hsts-max-age", "-1s",
            "TAPEDECK_HSTS_MAX_AGE (--hsts-max-age): '-1s' is not a time such as 500ms, 60s, 3d; allowed: 0s to 3650d"
        ),
        ("kafka-config", "", "TAPEDECK_KAFKA_CONFIG (--kafka-config): '' is empty; allowed: text"),
        ("replication", "0", "TAPEDECK_REPLICATION (--replication): '0' is out of range; allowed: 1 to 100"),
        (
            "log-level", "loud",
            "TAPEDECK_LOG_LEVEL (--log-level): 'loud' is not known; "
                + "allowed: trace, debug, info, notice, warning, error, critical"
        ),
    ]

    @Test(arguments: bad)
    func `a value that is not allowed is told with its setting and what is`(
        name: String, value: String, expected: String
    ) throws {
        let setting = try #require(Setting.all.first { $0.name == name })
        #expect(message(settings(flags: [(setting, value)])) == expected)
        #expect(message(settings(environment: [setting.environment: value])) == expected)
        #expect(message(settings(dotEnv: "\(setting.environment)='\(value)'")) == expected)
    }

    @Test func `every setting but those that take any text has a value that is refused`() {
        let covered = Set(Self.bad.map(\.0))
        #expect(covered == Set(Setting.all.map(\.name)).subtracting(["rejected-retention"]))
    }

    @Test func `what other programs call a setting is taken, and our name comes first`() throws {
        let list = "[AAPL, 'IC MARKETS:1']"
        let alias = ["FINNHUB_STOCKS_TICKERS": list]
        #expect(try settings(environment: alias).get().text(.finnhubSymbols) == list)
        #expect(try settings(dotEnv: "FINNHUB_STOCKS_TICKERS=AAPL\n").get().text(.finnhubSymbols) == "AAPL")
        let both = alias.merging(["TAPEDECK_FINNHUB_SYMBOLS": "MSFT"]) { $1 }
        #expect(try settings(environment: both).get().text(.finnhubSymbols) == "MSFT")
        #expect(
            try settings(environment: alias).get().list(.finnhubSymbols).map { SourceSettings.symbol(Substring($0)) }
                == ["AAPL", "IC MARKETS:1"])
    }

    @Test func `keys of services are in the environment, then in the file of credentials, in any case`() throws {
        let entry = (section: "finnhub", key: "finnhub_token")
        #expect(
            try settings(environment: ["FINNHUB_API_TOKEN": "a"]).get().secret("FINNHUB_API_TOKEN", entry: entry) == "a"
        )
        #expect(try settings(dotEnv: "FINNHUB_API_TOKEN=b").get().secret("FINNHUB_API_TOKEN", entry: entry) == "b")
        #expect(try settings().get().secret("FINNHUB_API_TOKEN", entry: entry) == nil)
        let file = try Credentials("; keys\n[FINNHUB]\r\nFINNHUB_TOKEN = c=1\n[Other]\nfinnhub_token: d\n", name: "f")
        #expect(file["finnhub", "finnhub_token"] == "c=1" && file["OTHER", "FINNHUB_TOKEN"] == "d")
        #expect(file["none", "finnhub_token"] == nil)
        // The line itself may be a secret.
        let error = #expect(throws: SettingsError.self) { try Credentials("[a]\nsecret words", name: "f.ini") }
        #expect(error?.message == "f.ini:2: not of the form NAME = VALUE")
    }

    @Test func `a broker named as other programs name it is the log, unless a log is named`() throws {
        let broker = ["KAFKA_SERVER": "broker", "KAFKA_PORT": "29092"]
        #expect(try settings(environment: broker).get().text(.eventLog) == "kafka://broker:29092")
        #expect(try settings(environment: ["KAFKA_SERVER": "b"]).get().text(.eventLog) == "kafka://b:9092")
        #expect(try settings(dotEnv: "KAFKA_SERVER=b:1\n").get().text(.eventLog) == "kafka://b:1")
        let both = broker.merging(["TAPEDECK_EVENT_LOG": "sqlite:x"]) { $1 }
        #expect(try settings(environment: both).get().text(.eventLog) == "sqlite:x")
        #expect(
            message(settings(environment: ["KAFKA_SERVER": "b", "KAFKA_PORT": "x"]))
                == "KAFKA_SERVER, KAFKA_PORT: TAPEDECK_EVENT_LOG (--event-log): the Kafka log names no broker; "
                + "allowed: kafka://HOST:PORT[,HOST:PORT…]")
    }

    @Test func `a secret is in no message`() {
        let secret = "hunter2"
        for setting in Setting.all where setting.isSecret {
            for value in [secret, "postgresql:/\(secret)", "host=h password=\(secret)", "POSTGRESQL://u:\(secret)@h/d"]
            {
                for result in [
                    settings(flags: [(setting, value)]), settings(environment: [setting.environment: value]),
                    settings(dotEnv: "\(setting.environment)=\(value)"),
                    settings(dotEnv: "\(setting.environment)='\(value)"),
                    settings(dotEnv: "\(setting.environment) \(value)"),
                ] {
                    let message = message(result)
                    #expect(message != nil, "\(setting.name)")
                    #expect(message?.contains(secret) == false, "\(setting.name)")
                }
            }
        }
        #expect(Setting.all.filter(\.isSecret).map(\.name) == ["database-url", "reader-url"])
    }

    static let durations: [(String, Duration?)] = [
        ("0s", .zero), ("0ms", .zero), ("500ms", .milliseconds(500)), ("60s", .seconds(60)), ("5m", .seconds(300)),
        ("2h", .seconds(7200)), ("3d", .seconds(259_200)), ("007s", .seconds(7)),
        ("999999999d", .seconds(999_999_999 * 86_400)),
        ("1000000000s", nil), ("99999999999999999999s", nil), ("", nil), ("s", nil), ("5", nil), ("5 s", nil),
        (" 5s", nil),
        ("5s ", nil), ("5S", nil), ("5sec", nil), ("1.5s", nil), ("-5s", nil), ("+5s", nil), ("1h30m", nil),
        ("٥s", nil),
        ("5w", nil), ("5us", nil),
    ]

    @Test(arguments: durations)
    func `a time is a whole number and a unit`(text: String, duration: Duration?) {
        #expect(Setting.duration(text) == duration)
    }

    static let addresses: [(String, String, Int, String, Bool)] = [
        ("127.0.0.1:8080", "127.0.0.1", 8080, "127.0.0.1:8080", true),
        ("localhost:0", "localhost", 0, "localhost:0", true),
        ("[::1]:80", "::1", 80, "[::1]:80", true), ("0.0.0.0:80", "0.0.0.0", 80, "0.0.0.0:80", false),
        ("[::]:80", "::", 80, "[::]:80", false), ("tape.example:443", "tape.example", 443, "tape.example:443", false),
        ("128.0.0.1:1", "128.0.0.1", 1, "128.0.0.1:1", false),
        ("127.255.0.9:1", "127.255.0.9", 1, "127.255.0.9:1", true),
    ]

    @Test(arguments: addresses)
    func `an address is a host and a port`(
        text: String, host: String, port: Int, description: String, isLoopback: Bool
    ) throws {
        let address = try #require(Address(text))
        #expect(address.host == host && address.port == port)
        #expect(address.description == description && Address(description) == address)
        #expect(address.isLoopback == isLoopback)
    }

    @Test(arguments: ["::1", "fe80::1:2", "[::1", "[::1]", "::1]:80", "a:0x50", "a: 80"])
    func `what reads two ways, or not at all, is no address`(text: String) {
        #expect(Address(text) == nil)
    }

    @Test(arguments: ["127.example.com:80", "127.0.0.1.evil.example:80", "localhost.example:80"])
    func `a name that only begins like a loopback address is not one`(text: String) throws {
        #expect(try #require(Address(text)).isLoopback == false)
    }
}

struct SettingSourceTests {
    @Test func `a flag comes before the environment, that before the file, that before the default`() throws {
        let flag: [(Setting, String?)] = [(.partitions, "1")]
        let environment = ["TAPEDECK_PARTITIONS": "2", "PATH": "/bin"]
        let file = "TAPEDECK_PARTITIONS=3\n"
        func partitions(_ result: Result<Settings, SettingsError>) throws -> Int? {
            try result.get().integer(.partitions)
        }
        #expect(try partitions(settings(flags: flag, environment: environment, dotEnv: file)) == 1)
        #expect(try partitions(settings(flags: [(.partitions, nil)], environment: environment, dotEnv: file)) == 2)
        #expect(try partitions(settings(environment: environment, dotEnv: file)) == 2)
        #expect(try partitions(settings(environment: ["PATH": "/bin"], dotEnv: file)) == 3)
        #expect(try partitions(settings()) == 4)
    }

    @Test func `a value that is not used is not looked at`() throws {
        let settings = try settings(flags: [(.partitions, "1")], environment: ["TAPEDECK_PARTITIONS": "many"]).get()
        #expect(settings.integer(.partitions) == 1)
    }

    static let unknown: [(String, String)] = [
        ("TAPEDECK_DATABSE_URL", "TAPEDECK_DATABASE_URL"), ("TAPEDECK_PARTITION", "TAPEDECK_PARTITIONS"),
        ("TAPEDECK_DATADIR", "TAPEDECK_DATA_DIR"), ("TAPEDECK_LOGLEVEL", "TAPEDECK_LOG_LEVEL"),
        ("TAPEDECK_POSTGRES_BINS", "TAPEDECK_POSTGRES_BIN"),
    ]

    @Test(arguments: unknown)
    func `a name that we do not know is refused with the nearest that we do`(name: String, nearest: String) {
        #expect(
            message(settings(environment: [name: "x"]))
                == "the environment has an unknown setting \(name); perhaps you meant \(nearest)")
        #expect(
            message(settings(dotEnv: "\(name)=x"))
                == ".env has an unknown setting \(name); perhaps you meant \(nearest)")
    }

    @Test func `names of other programs are none of ours`() throws {
        _ = try settings(
            environment: [
                "TAPEDECKS_X": "1", "tapedeck_listen": "x", "FINNHUB_API_TOKEN": "t",
                "TAPEDECK_POSTGRES_BIN": "/usr/bin",
            ],
            dotEnv: "KAFKA_SERVER=broker\nSTOCKS=AAPL,MSFT\nFINNHUB_STOCKS_TICKERS='[\"AAPL\"]'\n"
        ).get()
    }

    static let files: [(String, [String: String])] = [
        ("", [:]), ("\n\n", [:]), ("# a comment\n", [:]), ("  # a comment", [:]), ("A=1", ["A": "1"]),
        ("A=1\nB=2\n", ["A": "1", "B": "2"]),
        (" A = 1 ", ["A": "1"]), ("export A=1", ["A": "1"]), ("export  A = 1", ["A": "1"]), ("A=", ["A": ""]),
        ("A=''", ["A": ""]),
        ("A=\"x y\"", ["A": "x y"]), ("A='x # y'", ["A": "x # y"]), ("A='x' # y", ["A": "x"]), ("A=x # y", ["A": "x"]),
        ("A=x#y", ["A": "x#y"]), ("A=b=c", ["A": "b=c"]), ("A=it's", ["A": "it's"]), ("A=\"it's\"", ["A": "it's"]),
        ("A='say \"hi\"'", ["A": "say \"hi\""]), ("A=1\nA=2", ["A": "2"]), ("A=é", ["A": "é"]),
        ("U=postgresql://u:p#w@h/d?x=y", ["U": "postgresql://u:p#w@h/d?x=y"]),
        ("A=1\r\nB='2'\r\nC=3 # c\r\n", ["A": "1", "B": "2", "C": "3"]), ("\u{FEFF}A=1", ["A": "1"]),
    ]

    @Test(arguments: files)
    func `a file of settings is read as shells and docker read it`(text: String, values: [String: String]) throws {
        #expect(try Settings.parseDotEnv(text) == values)
    }

    @Test(arguments: [
        ("A", ".env:1: not of the form NAME=VALUE"), ("A=1\nB\n", ".env:2: not of the form NAME=VALUE"),
        ("=1", ".env:1: not of the form NAME=VALUE"), ("\n\nA='x", ".env:3: the value of A has an open quote"),
        ("A=\"", ".env:1: the value of A has an open quote"), ("export", ".env:1: not of the form NAME=VALUE"),
    ])
    func `a line that is no setting is told with its number`(text: String, expected: String) {
        let error = #expect(throws: SettingsError.self) { try Settings.parseDotEnv(text) }
        #expect(error?.message == expected)
    }

    @Test func `the distance of names is the number of edits`() {
        let cases: [(String, String, Int)] = [
            ("", "", 0), ("a", "", 1), ("", "ab", 2), ("kitten", "sitting", 3), ("abc", "abc", 0), ("abc", "acb", 2),
        ]
        for (a, b, distance) in cases {
            #expect(Settings.distance(a, b) == distance && Settings.distance(b, a) == distance, "\(a) \(b)")
        }
    }

    @Test func `a command says which setting it needs`() throws {
        let settings = try settings().get()
        let error = #expect(throws: ValidationError.self) { try settings.requiring(.databaseURL) }
        #expect(error?.message == "TAPEDECK_DATABASE_URL (--database-url) is not set")
        let given = try Settings(flags: [(.databaseURL, "postgresql://h/d")], environment: [:])
        #expect(try given.requiring(.databaseURL).string(.databaseURL) == "postgresql://h/d")
    }
}
