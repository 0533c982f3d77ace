// SPDX-License-Identifier: Apache-2.0
// The settings of the HTTP server: who may come, how many, and how slowly.

import ArgumentParser
import Glibc
import HTTP
import Logging

extension Setting {
    static let maxConnections = Setting(
        name: "max-connections", environment: "TAPEDECK_MAX_CONNECTIONS", kind: .integer(1...1_000_000),
        default: "32768", summary: "Most connections at a time; fewer if the process may open fewer files.")
    static let maxConnectionsPerAddress = Setting(
        name: "max-connections-per-address", environment: "TAPEDECK_MAX_CONNECTIONS_PER_ADDRESS",
        kind: .integer(1...1_000_000), default: "16384",
        summary: "Of these, most of one client address (IPv6: one /64).")
    static let maxHeadBytes = Setting(
        name: "max-head-bytes", environment: "TAPEDECK_MAX_HEAD_BYTES", kind: .integer(1024...1_048_576),
        default: "16384", summary: "Most bytes of a request's line and fields; half of it for the URL.")
    static let maxBodyBytes = Setting(
        name: "max-body-bytes", environment: "TAPEDECK_MAX_BODY_BYTES", kind: .integer(1024...67_108_864),
        default: "1048576", summary: "Most bytes of a request's body.")
    static let maxRunningQueries = Setting(
        name: "max-running-queries", environment: "TAPEDECK_MAX_RUNNING_QUERIES", kind: .integer(1...1000),
        default: nil,
        summary:
            "Statements of users that run at once, as far as connections suffice; twice the processors unless given, 4 at least."
    )
    static let maxResultRows = Setting(
        name: "max-result-rows", environment: "TAPEDECK_MAX_RESULT_ROWS", kind: .integer(1...1_000_000_000_000),
        default: nil,
        summary: "Most rows of a result of SQL, and the largest limit a request may name; any unless given.")
    static let maxResultBytes = Setting(
        name: "max-result-bytes", environment: "TAPEDECK_MAX_RESULT_BYTES",
        kind: .integer(1...1_000_000_000_000_000), default: nil,
        summary: "Most bytes of a result of SQL before compression; any unless given.")
    static let maxQueryCost = Setting(
        name: "max-query-cost", environment: "TAPEDECK_MAX_QUERY_COST", kind: .threshold, default: "0",
        summary: "The most that SQL of users may cost by the planner's estimate, as EXPLAIN shows it; 0 for any.")
    static let trinoClientTimeout = Setting(
        name: "trino-client-timeout", environment: "TAPEDECK_TRINO_CLIENT_TIMEOUT",
        kind: .duration(.seconds(1)...(.seconds(86_400))), default: "30s",
        summary: "A query of a Presto or Trino client that is not heard of for so long is cancelled.")
    static let trinoMaxQueries = Setting(
        name: "trino-max-queries", environment: "TAPEDECK_TRINO_MAX_QUERIES", kind: .integer(1...100_000),
        default: "500",
        summary: "Most queries of Presto and Trino clients that run, wait, or have rows to be fetched.")
    static let maxSubscribers = Setting(
        name: "max-subscribers", environment: "TAPEDECK_MAX_SUBSCRIBERS", kind: .integer(1...1_000_000),
        default: "10000", summary: "Most subscribers of the live tape, over server-sent events and WebSockets.")
    static let maxSubscribersPerAddress = Setting(
        name: "max-subscribers-per-address", environment: "TAPEDECK_MAX_SUBSCRIBERS_PER_ADDRESS",
        kind: .integer(1...1_000_000), default: "5000", summary: "Of these, most of one client address.")
    static let liveMemory = Setting(
        name: "live-memory", environment: "TAPEDECK_LIVE_MEMORY", kind: .integer(65_536...17_179_869_184),
        default: "33554432",
        summary: "Bytes of the live tape in memory: what subscribers who were away, or are slow, are still told.")
    static let liveHeartbeat = Setting(
        name: "live-heartbeat", environment: "TAPEDECK_LIVE_HEARTBEAT",
        kind: .duration(.milliseconds(100)...(.seconds(600))), default: "15s",
        summary: "How long a subscriber is told nothing before a heartbeat.")
    static let idleTimeout = Setting(
        name: "idle-timeout", environment: "TAPEDECK_IDLE_TIMEOUT",
        kind: .duration(.milliseconds(100)...(.seconds(86_400))),
        default: "75s", summary: "How long a connection may stay without a request.")
    static let headTimeout = Setting(
        name: "head-timeout", environment: "TAPEDECK_HEAD_TIMEOUT",
        kind: .duration(.milliseconds(100)...(.seconds(600))),
        default: "10s", summary: "Longest time from the first byte of a request's head to its last.")
    static let transferTimeout = Setting(
        name: "transfer-timeout", environment: "TAPEDECK_TRANSFER_TIMEOUT",
        kind: .duration(.milliseconds(100)...(.seconds(3600))), default: "30s",
        summary: "Longest pause within a request's body, and of a client that takes its response.")
    static let minTransferRate = Setting(
        name: "min-transfer-rate", environment: "TAPEDECK_MIN_TRANSFER_RATE", kind: .integer(1...1_048_576),
        default: "4096", summary: "Bytes a second that bodies and responses have to make in the long run.")
    static let drainTimeout = Setting(
        name: "drain-timeout", environment: "TAPEDECK_DRAIN_TIMEOUT", kind: .duration(.zero...(.seconds(3600))),
        default: "1s", summary: "How long requests under way may go on when the server stops.")
    static let compression = Setting(
        name: "compression", environment: "TAPEDECK_COMPRESSION", kind: .choice(["on", "off"]), default: "on",
        summary: "Whether responses are compressed (Zstandard, gzip) for clients that ask for it.")
    static let allowedHosts = Setting(
        name: "allowed-hosts", environment: "TAPEDECK_ALLOWED_HOSTS", kind: .list(of: "HOST", isHost), default: nil,
        summary:
            "Names under which the server may be asked for; localhost and loopback addresses always, any if it listens on another address and none is given."
    )
    static let corsOrigins = Setting(
        name: "cors-origins", environment: "TAPEDECK_CORS_ORIGINS", kind: .list(of: "ORIGIN", isOrigin), default: nil,
        summary: "Web pages of which origins may read answers, as in https://app.example; * for all.")
    static let trustedProxies = Setting(
        name: "trusted-proxies", environment: "TAPEDECK_TRUSTED_PROXIES",
        kind: .list(of: "ADDRESS[/BITS]", { AddressRange(String($0)) != nil }), default: nil,
        summary: "Proxies whose Forwarded and X-Forwarded-For tell who the client is.")
    static let proxyProtocol = Setting(
        name: "proxy-protocol", environment: "TAPEDECK_PROXY_PROTOCOL", kind: .choice(["on", "off"]), default: "off",
        summary: "Whether connections of these proxies begin with a PROXY header, version 1 or 2.")

    static let requireKeys = Setting(
        name: "require-keys", environment: "TAPEDECK_REQUIRE_KEYS", kind: .choice(["on", "off"]), default: "off",
        summary: "Whether requests need an API key, which 'tapedeck keys create' makes.")
    static let auditLog = Setting(
        name: "audit-log", environment: "TAPEDECK_AUDIT_LOG", kind: .file, default: nil,
        summary: "A file to which the end of each statement is written, with who ran it; opened again on SIGHUP.")

    static let docsViewer = Setting(
        name: "docs-viewer", environment: "TAPEDECK_DOCS_VIEWER", kind: .folder, default: nil,
        summary: "The folder of Swagger UI, for /docs; without it viewers/swagger-ui beside the program.")

    static let console = Setting(
        name: "console", environment: "TAPEDECK_CONSOLE", kind: .folder, default: nil,
        summary: "The folder of the console at /; without it the folder console beside the program.")
    static let consoleLibraries = Setting(
        name: "console-libraries", environment: "TAPEDECK_CONSOLE_LIBRARIES", kind: .folder, default: nil,
        summary: "The folder of the console's charts and editor; without it viewers/console beside the program.")

    /// The settings above.
    static let server = [
        requireKeys, auditLog,
        maxConnections, maxConnectionsPerAddress, maxHeadBytes, maxBodyBytes,
        maxRunningQueries, maxResultRows, maxResultBytes, maxQueryCost, trinoClientTimeout, trinoMaxQueries,
        maxSubscribers, maxSubscribersPerAddress, liveMemory, liveHeartbeat, idleTimeout, headTimeout,
        transferTimeout,
        minTransferRate, drainTimeout, compression, allowedHosts, docsViewer, console, consoleLibraries,
        corsOrigins, trustedProxies, proxyProtocol,
    ]

    @Sendable private static func isHost(_ text: Substring) -> Bool {
        let inner = text.hasPrefix("[") && text.hasSuffix("]") ? text.dropFirst().dropLast() : text
        let allowed = Set("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._")
        return !inner.isEmpty && inner.allSatisfy { allowed.contains($0) || $0 == ":" && inner != text }
    }

    @Sendable private static func isOrigin(_ text: Substring) -> Bool {
        if text == "*" { return true }
        for scheme in ["https://", "http://"] where text.hasPrefix(scheme) {
            let host = text.dropFirst(scheme.count)
            return !host.isEmpty && !host.contains { "/?#@ *".contains($0) } && text == text.lowercased()
        }
        return false
    }
}

/// The flags of ``Setting/server``.
struct ServerSettingFlags: ParsableArguments {
    @Option(name: .customLong(Setting.requireKeys.name), help: Setting.requireKeys.help) var requireKeys: String?
    @Option(name: .customLong(Setting.auditLog.name), help: Setting.auditLog.help) var auditLog: String?
    @Option(name: .customLong(Setting.maxConnections.name), help: Setting.maxConnections.help)
    var maxConnections: String?
    @Option(name: .customLong(Setting.maxConnectionsPerAddress.name), help: Setting.maxConnectionsPerAddress.help)
    var maxConnectionsPerAddress: String?
    @Option(name: .customLong(Setting.maxHeadBytes.name), help: Setting.maxHeadBytes.help) var maxHeadBytes: String?
    @Option(name: .customLong(Setting.maxBodyBytes.name), help: Setting.maxBodyBytes.help) var maxBodyBytes: String?
    @Option(name: .customLong(Setting.maxRunningQueries.name), help: Setting.maxRunningQueries.help)
    var maxRunningQueries: String?
    @Option(name: .customLong(Setting.maxResultRows.name), help: Setting.maxResultRows.help) var maxResultRows: String?
    @Option(name: .customLong(Setting.maxResultBytes.name), help: Setting.maxResultBytes.help)
    var maxResultBytes: String?
    @Option(name: .customLong(Setting.maxQueryCost.name), help: Setting.maxQueryCost.help) var maxQueryCost: String?
    @Option(name: .customLong(Setting.trinoClientTimeout.name), help: Setting.trinoClientTimeout.help)
    var trinoClientTimeout: String?
    @Option(name: .customLong(Setting.trinoMaxQueries.name), help: Setting.trinoMaxQueries.help)
    var trinoMaxQueries: String?
    @Option(name: .customLong(Setting.maxSubscribers.name), help: Setting.maxSubscribers.help)
    var maxSubscribers: String?
    @Option(name: .customLong(Setting.maxSubscribersPerAddress.name), help: Setting.maxSubscribersPerAddress.help)
    var maxSubscribersPerAddress: String?
    @Option(name: .customLong(Setting.liveMemory.name), help: Setting.liveMemory.help) var liveMemory: String?
    @Option(name: .customLong(Setting.liveHeartbeat.name), help: Setting.liveHeartbeat.help) var liveHeartbeat: String?
    @Option(name: .customLong(Setting.idleTimeout.name), help: Setting.idleTimeout.help) var idleTimeout: String?
    @Option(name: .customLong(Setting.headTimeout.name), help: Setting.headTimeout.help) var headTimeout: String?
    @Option(name: .customLong(Setting.transferTimeout.name), help: Setting.transferTimeout.help)
    var transferTimeout: String?
    @Option(name: .customLong(Setting.minTransferRate.name), help: Setting.minTransferRate.help)
    var minTransferRate: String?
    @Option(name: .customLong(Setting.drainTimeout.name), help: Setting.drainTimeout.help) var drainTimeout: String?
    @Option(name: .customLong(Setting.compression.name), help: Setting.compression.help) var compression: String?
    @Option(name: .customLong(Setting.docsViewer.name), help: Setting.docsViewer.help) var docsViewer: String?
    @Option(name: .customLong(Setting.console.name), help: Setting.console.help) var console: String?
    @Option(name: .customLong(Setting.consoleLibraries.name), help: Setting.consoleLibraries.help)
    var consoleLibraries: String?
    @Option(name: .customLong(Setting.allowedHosts.name), help: Setting.allowedHosts.help) var allowedHosts: String?
    @Option(name: .customLong(Setting.corsOrigins.name), help: Setting.corsOrigins.help) var corsOrigins: String?
    @Option(name: .customLong(Setting.trustedProxies.name), help: Setting.trustedProxies.help)
    var trustedProxies: String?
    @Option(name: .customLong(Setting.proxyProtocol.name), help: Setting.proxyProtocol.help) var proxyProtocol: String?

    var given: [(Setting, String?)] {
        [
            (.requireKeys, requireKeys), (.auditLog, auditLog), (.maxConnections, maxConnections),
            (.maxConnectionsPerAddress, maxConnectionsPerAddress),
            (.maxHeadBytes, maxHeadBytes), (.maxBodyBytes, maxBodyBytes),
            (.maxRunningQueries, maxRunningQueries), (.maxResultRows, maxResultRows), (.maxResultBytes, maxResultBytes),
            (.maxQueryCost, maxQueryCost),
            (.trinoClientTimeout, trinoClientTimeout), (.trinoMaxQueries, trinoMaxQueries),
            (.maxSubscribers, maxSubscribers), (.maxSubscribersPerAddress, maxSubscribersPerAddress),
            (.liveMemory, liveMemory), (.liveHeartbeat, liveHeartbeat), (.idleTimeout, idleTimeout),
            (.headTimeout, headTimeout), (.transferTimeout, transferTimeout), (.minTransferRate, minTransferRate),
            (.drainTimeout, drainTimeout), (.compression, compression), (.allowedHosts, allowedHosts),
            (.docsViewer, docsViewer), (.console, console), (.consoleLibraries, consoleLibraries),
            (.corsOrigins, corsOrigins), (.trustedProxies, trustedProxies), (.proxyProtocol, proxyProtocol),
        ]
    }
}

extension HTTP.Configuration {
    /// The server's configuration by the settings. Raises the number of files that the process may open as far as it
    /// may, for connections are files.
    init(_ settings: Settings, logger: Logger) throws {
        let address = try SocketAddress(settings.string(.listen))
        self.init(address: address)
        let wanted = settings.integer(.maxConnections) ?? connectionLimit
        connectionLimit = min(wanted, Self.roomForConnections())
        if connectionLimit < wanted {
            logger.info("\(connectionLimit) connections at most: the process may open no more files")
        }
        connectionLimitPerAddress = settings.integer(.maxConnectionsPerAddress) ?? connectionLimitPerAddress
        head.headBytes = settings.integer(.maxHeadBytes) ?? head.headBytes
        head.targetBytes = head.headBytes / 2
        idleDeadline = settings.duration(.idleTimeout)
        headDeadline = settings.duration(.headTimeout)
        bodyDeadline = settings.duration(.transferTimeout)
        writeDeadline = settings.duration(.transferTimeout)
        bodyBytesPerSecond = settings.integer(.minTransferRate) ?? bodyBytesPerSecond
        writeBytesPerSecond = bodyBytesPerSecond
        compresses = settings.string(.compression) == "on"
        let names = settings.list(.allowedHosts)
        if address.isLoopback || !names.isEmpty {
            let own = address.hostDescription
            hosts = .loopback(and: names + [own.contains(":") ? "[\(own)]" : own])
        }
        let origins = settings.list(.corsOrigins)
        if !origins.isEmpty { crossOrigin = CrossOrigin(origins.contains("*") ? .any : .listed(Set(origins))) }
        proxies = TrustedProxies(
            settings.list(.trustedProxies).compactMap { AddressRange($0) },
            sendsProxyHeader: settings.string(.proxyProtocol) == "on")
    }

    /// Files that are not connections: the database's sockets, the log, libraries.
    private static let reservedFiles = 256

    private static func roomForConnections() -> Int {
        var limit = rlimit()
        guard getrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit) == 0 else { return .max }
        limit.rlim_cur = limit.rlim_max
        _ = setrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit)
        _ = getrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit)
        let files = Int(clamping: limit.rlim_cur)
        return max(files / 2, files - reservedFiles)
    }
}
