// swift-tools-version: 6.2
// The dependency graph, bottom up. A target imports only what stands above it in this file.
import PackageDescription

let strict: [SwiftSetting] = [
    .swiftLanguageMode(.v6),
    .enableUpcomingFeature("ExistentialAny"),
    .enableUpcomingFeature("MemberImportVisibility"),
    .enableUpcomingFeature("InternalImportsByDefault"),
    .enableUpcomingFeature("NonisolatedNonsendingByDefault"),
    .treatAllWarnings(as: .error),
]

/// What every request goes through. Releases leave out the checks at run time that no two accesses to a class's property
/// overlap (each costs a hundred instructions, and a small GET has fifty); the tests, which are built for debugging, keep
/// them.
let hot: [SwiftSetting] = strict + [.unsafeFlags(["-enforce-exclusivity=unchecked"], .when(configuration: .release))]

let package = Package(
    name: "tapedeck",
    products: [.executable(name: "tapedeck", targets: ["Tapedeck"])],
    dependencies: [
        .package(url: "https://github.com/apple/swift-argument-parser", from: "1.8.2"),
        .package(url: "https://github.com/apple/swift-log", from: "1.16.2"),
        .package(url: "https://github.com/groue/GRDB.swift", from: "7.10.0"),
        .package(url: "https://github.com/jpsim/Yams", from: "6.2.2"),
    ],
    targets: [
        // Doors to C: a module map and a shim header, nothing else.
        .systemLibrary(name: "CLinux"),  // epoll, eventfd, accept4, what Glibc's module leaves out
        .systemLibrary(name: "CLibPQ", pkgConfig: "libpq", providers: [.apt(["libpq-dev"])]),
        .systemLibrary(name: "CZlib", pkgConfig: "zlib", providers: [.apt(["zlib1g-dev"])]),
        .systemLibrary(name: "CZstd", pkgConfig: "libzstd", providers: [.apt(["libzstd-dev"])]),
        .systemLibrary(name: "CKafka", pkgConfig: "rdkafka", providers: [.apt(["librdkafka-dev"])]),
        .systemLibrary(name: "COpenSSL", pkgConfig: "openssl", providers: [.apt(["libssl-dev"])]),
        .systemLibrary(name: "CCurl", pkgConfig: "libcurl", providers: [.apt(["libcurl4-openssl-dev"])]),
        .systemLibrary(name: "CEdit", pkgConfig: "libedit", providers: [.apt(["libedit-dev"])]),

        // The words of the domain: symbols, trades, bars, timeframes, time. No I/O.
        .target(name: "Market", swiftSettings: strict),
        // What the values in the log are: Avro encodings of the schemas in `schemas/`.
        .target(name: "Records", dependencies: ["Market"], swiftSettings: strict),
        // Texts → sentiment (VADER) and the instruments they speak of. No I/O.
        .target(
            name: "Sentiment",
            resources: [
                .embedInCode("Resources/finance.tsv"), .embedInCode("Resources/aliases.tsv"),
                .embedInCode("Resources/stop_words.txt"),
            ], swiftSettings: strict),
        // Prices → a distribution of prices to come, by Monte Carlo. No I/O, no clock; seeds are arguments.
        .target(name: "CForecast"),  // its inner loops, in C for several sets of instructions
        .target(name: "Forecast", dependencies: ["CForecast"], swiftSettings: strict),
        // The SQL of Trino and Presto, translated for PostgreSQL. No I/O.
        .target(name: "TrinoSQL", swiftSettings: strict),
        // One thread, one epoll, timers, sockets; a Swift TaskExecutor.
        .target(name: "EventLoop", dependencies: ["CLinux"], swiftSettings: hot),
        // Counters, gauges, histograms, and their text for Prometheus.
        .target(name: "Metrics", swiftSettings: strict),
        // TLS by OpenSSL: contexts of both sides, and steps on a socket that never block.
        .target(name: "TLS", dependencies: ["COpenSSL"], swiftSettings: hot),
        // HTTP/1.1 as values (parser, writer) and the raw-socket server, plain or over TLS.
        .target(
            name: "HTTP", dependencies: ["TLS", "EventLoop", "CLinux", "CZlib", "CZstd"], exclude: ["README.md"],
            swiftSettings: hot),
        // WebSocket (RFC 6455), both roles, over plain text and TLS.
        .target(
            name: "WebSocket", dependencies: ["HTTP", "TLS", "EventLoop", "CLinux", "CZlib"], swiftSettings: strict),
        // libpq on the event loop: connection, pool, statements, COPY, streaming rows.
        .target(
            name: "Postgres",
            dependencies: ["CLibPQ", "EventLoop", "CLinux"], swiftSettings: hot),
        // Topics, partitions, offsets, groups: one protocol, and SQLite as the engine of one machine.
        .target(
            name: "EventLog",
            dependencies: [.product(name: "GRDB", package: "GRDB.swift"), "CZlib"], swiftSettings: strict),
        // The same log on Kafka, through librdkafka.
        .target(
            name: "Kafka",
            dependencies: ["Metrics", "EventLog", "CKafka", .product(name: "Logging", package: "swift-log")],
            swiftSettings: strict),
        // The SQL of `sql/` as data, embedded in the binary.
        .target(
            name: "Schema", path: "sql", exclude: ["distributed"],
            resources: [
                .embedInCode("0001_roles_and_schemas.sql"), .embedInCode("0002_trades_and_bars.sql"),
                .embedInCode("0003_reference_and_ops.sql"), .embedInCode("0004_functions.sql"),
                .embedInCode("0005_indicators.sql"),
                .embedInCode("0006_trino_functions.sql"), .embedInCode("0007_trino_metadata.sql"),
                .embedInCode("0010_trino_activity.sql"),
                .embedInCode("0011_api_keys.sql"),
                .embedInCode("0008_alerts_and_retention.sql"),
                .embedInCode("0009_posts_and_forecasts.sql"),
                .embedInCode("0012_source_events.sql"),
                .embedInCode("0013_live.sql"),
                .embedInCode("0015_source_bars.sql"),
                .embedInCode("0016_processors.sql"),
                .embedInCode("0020_trino_more.sql"),
                .embedInCode("0023_processor_lag.sql"),
                .embedInCode("0025_sequence_limit.sql"),
                .embedInCode("0026_trino_exact.sql"),
                .embedInCode("0027_settled.sql"),
                .embedInCode("0028_trino_runtime.sql"),
                .embedInCode("0029_trino_functions.sql"),
                .embedInCode("0031_processor_lag_seconds.sql"),
                .embedInCode("0032_trino_corrections.sql"),
                .embedInCode("0033_trino_bytes_and_vectors.sql"),
                .embedInCode("0034_functions_of_market.sql"),
                .embedInCode("0035_trino_intervals.sql"),
                .embedInCode("0036_trino_shifts.sql"),
                .embedInCode("0037_trino_division.sql"),
                .embedInCode("0038_trino_values.sql"),
            ], swiftSettings: strict),
        // The REST contract, embedded in the binary.
        .target(
            name: "OpenAPI", dependencies: [.product(name: "Yams", package: "Yams")], path: "openapi",
            resources: [.embedInCode("openapi.yaml")], swiftSettings: strict),
        // The PostgreSQL we keep: the private server (initdb, start, stop) and the migrations.
        .target(
            name: "Store",
            dependencies: [
                "Postgres", "EventLoop", "Schema", "CLinux", .product(name: "Logging", package: "swift-log"),
            ],
            swiftSettings: strict),
        // Forecasts made from stored prices, and the jobs that run by the clock.
        .target(
            name: "Analytics",
            dependencies: [
                "Market", "Forecast", "EventLoop", "Postgres", .product(name: "Logging", package: "swift-log"),
            ],
            swiftSettings: strict),
        // Sources → records in the log.
        .target(
            name: "Ingest",
            dependencies: [
                "Market", "Metrics", "Records", "EventLoop", "TLS", "WebSocket", "EventLog", "CZlib", "CCurl",
                .product(name: "Logging", package: "swift-log"),
            ], swiftSettings: strict),
        // Records → validated → bars → Postgres, with the offsets in the same transaction.
        .target(
            name: "Processor",
            dependencies: [
                "Sentiment", "Market", "Metrics", "Records", "EventLog", "EventLoop", "Postgres",
                .product(name: "Logging", package: "swift-log"),
            ], swiftSettings: strict),
        // HTTP → SQL → JSON, CSV, …: SQL, REST, Grafana, live.
        .target(
            name: "QueryServer",
            dependencies: [
                "Market", "Forecast", "Analytics", "Metrics", "TrinoSQL", "TLS", "HTTP", "WebSocket", "EventLoop",
                "Postgres",
                .product(name: "Logging", package: "swift-log"),
            ],
            swiftSettings: hot),
        // The `tapedeck` command: settings, wiring, subcommands; no logic.
        .executableTarget(
            name: "Tapedeck",
            dependencies: [
                "Market", "Sentiment", "Forecast", "Analytics", "Metrics", "EventLoop", "TLS", "HTTP", "Postgres",
                "EventLog",
                "Kafka", "Store", "Ingest", "Processor", "QueryServer", "OpenAPI", "CCurl", "CEdit", "CLinux",
                .product(name: "ArgumentParser", package: "swift-argument-parser"),
                .product(name: "Logging", package: "swift-log"),
            ], swiftSettings: strict),
        // What it is measured beside; never part of the tests.
        .executableTarget(
            name: "bench",
            dependencies: [
                "Market", "Metrics", "Records", "Sentiment", "Forecast", "EventLoop", "TLS", "HTTP", "WebSocket",
                "Postgres", "EventLog", "Store", "Ingest", "Processor", "CLinux",
                .product(name: "ArgumentParser", package: "swift-argument-parser"),
                .product(name: "Logging", package: "swift-log"),
            ], path: "Benchmarks/bench", swiftSettings: strict),

        // librdkafka's mock cluster as a program: what tests have for a Kafka.
        .executableTarget(
            name: "mock-kafka", dependencies: ["CKafka"], path: "Tests/mock-kafka", swiftSettings: strict),
        // A disk that loses what was not synced, under SQLite.
        .target(name: "CPowerLoss", path: "Tests/CPowerLoss", linkerSettings: [.linkedLibrary("sqlite3")]),
        // What tests of several targets share.
        .target(name: "TestSupport", path: "Tests/TestSupport", swiftSettings: strict),
        // Pure tests mirror the sources.
        .testTarget(name: "EventLoopTests", dependencies: ["EventLoop", "CLinux"], swiftSettings: strict),
        .testTarget(name: "TLSTests", dependencies: ["TLS", "TestSupport"], swiftSettings: strict),
        .testTarget(name: "MetricsTests", dependencies: ["Metrics"], swiftSettings: strict),
        .testTarget(
            name: "MarketTests", dependencies: ["Market", "TestSupport"], exclude: ["Fixtures"], swiftSettings: strict),
        .testTarget(
            name: "SentimentTests", dependencies: ["Sentiment", "TestSupport"], exclude: ["Fixtures"],
            swiftSettings: strict),
        .testTarget(
            name: "AnalyticsTests", dependencies: ["Analytics", "Forecast", "Market"], swiftSettings: strict),
        .testTarget(
            name: "ForecastTests", dependencies: ["Forecast", "CForecast", "TestSupport"], swiftSettings: strict),
        .testTarget(name: "TrinoSQLTests", dependencies: ["TrinoSQL", "TestSupport"], swiftSettings: strict),
        .testTarget(name: "RecordsTests", dependencies: ["Records", "Market", "TestSupport"], swiftSettings: strict),
        .testTarget(
            name: "EventLogTests",
            dependencies: [
                "EventLog", "Kafka", "Metrics", "TestSupport", "CPowerLoss", "mock-kafka",
                .product(name: "Logging", package: "swift-log"),
            ], swiftSettings: strict),
        .testTarget(
            name: "IngestTests",
            dependencies: [
                "Ingest", "Market", "Records", "WebSocket", "EventLog", "TestSupport",
                .product(name: "Logging", package: "swift-log"),
            ], exclude: ["Peers"], swiftSettings: strict),
        .testTarget(
            name: "ProcessorTests", dependencies: ["Processor", "Market", "Records", "EventLog", "TestSupport"],
            swiftSettings: strict),
        .testTarget(
            name: "HTTPTests", dependencies: ["HTTP", "TLS", "EventLoop", "CLinux", "CZlib", "CZstd", "TestSupport"],
            swiftSettings: strict),
        .testTarget(
            name: "WebSocketTests",
            dependencies: ["WebSocket", "HTTP", "TLS", "EventLoop", "CLinux", "CZlib", "TestSupport"],
            exclude: ["Peers"], swiftSettings: strict),
        .testTarget(
            name: "TapedeckTests",
            dependencies: ["Tapedeck", "Processor", .product(name: "Logging", package: "swift-log")],
            swiftSettings: strict),
        .testTarget(name: "TidyTests", swiftSettings: strict),
        // Tests against a PostgreSQL of their own.
        .testTarget(
            name: "PostgresTests", dependencies: ["Postgres", "EventLoop", "CLinux", "TestSupport"],
            swiftSettings: strict),
        .testTarget(
            name: "QueryServerTests",
            dependencies: [
                "QueryServer", "TrinoSQL", "HTTP", "Postgres", "Market", "EventLoop", "CLinux", "TestSupport",
                .product(name: "Logging", package: "swift-log"),
            ], swiftSettings: strict),
        .testTarget(
            name: "IntegrationTests",
            dependencies: [
                "Sentiment", "Analytics", "Forecast", "TestSupport", "Schema", "Store", "TrinoSQL", "Processor",
                "Ingest", "EventLog", "EventLoop", "Kafka", "Postgres", "mock-kafka",
                "Records", "Market",
                .product(name: "Logging", package: "swift-log"),
            ], exclude: ["dialect.sql", "dialect-statements.txt"], swiftSettings: strict),
    ]
)

// Fuzzing needs a main of its own (libFuzzer's), which would be in the way of every other build: see `make fuzz`. Those
// try the same properties on the seeds alone.
if Context.environment["TAPEDECK_FUZZ"] != nil {
    package.targets.append(
        .executableTarget(
            name: "fuzz", dependencies: ["HTTP", "QueryServer", "WebSocket"], path: "Tests/Fuzz",
            exclude: ["corpus", "CorpusTests.swift"],
            swiftSettings: strict + [.unsafeFlags(["-parse-as-library"])]))
} else {
    package.targets.append(
        .testTarget(
            name: "FuzzTests", dependencies: ["HTTP", "QueryServer", "WebSocket", "TestSupport"], path: "Tests/Fuzz",
            exclude: ["corpus", "Fuzz.swift"], swiftSettings: strict))
}
