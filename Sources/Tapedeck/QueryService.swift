// SPDX-License-Identifier: Apache-2.0

import ArgumentParser
import EventLoop
import Glibc
import HTTP
import Logging
import Metrics
import OpenAPI
import Postgres
import QueryServer
import TLS

/// The query server as a command runs it.
struct QueryService: Sendable {
    private let server: QueryServer
    /// The thread of forecasts.
    private let forecasting: EventLoop
    private let tls: TLSServer?
    private let audit: AuditLog?
    private let logger: Logger
    /// Where it listens, with the real port.
    let address: String
    private let drainTimeout: Duration

    /// `https` with TLS.
    var scheme: String { tls == nil ? "http" : "https" }

    /// Most connections to PostgreSQL of one query server: what the server's own limit leaves room for.
    private static let connectionLimit = 64

    /// Refuses an address that other machines can reach while requests need no key. TLS does not change that: it hides
    /// what is said, and lets everybody say it.
    static func checkReach(_ settings: Settings, insecure: Bool) throws {
        let address = try settings.address(.listen)
        if !address.isLoopback && !insecure && settings.string(.requireKeys) != "on" {
            throw ValidationError(
                "\(Setting.listen.environment) is \(address), which other machines can reach, and requests need no key; "
                    + "listen on 127.0.0.1, set \(Setting.requireKeys.environment)=on, or say --insecure")
        }
    }

    /// Tells an operator whose keys anybody on the way can read.
    private static func warnOfPlainKeys(_ settings: Settings, isEncrypted: Bool, _ logger: Logger) throws {
        let isFar = try !settings.address(.listen).isLoopback
        if settings.string(.requireKeys) == "on" && isFar && !isEncrypted && settings.list(.trustedProxies).isEmpty {
            logger.warning(
                "keys are sent in the clear: set \(Setting.tlsCert.environment), or put a proxy with TLS in front and name it in \(Setting.trustedProxies.environment)"
            )
        }
    }

    /// - Parameters:
    ///   - writerURL: where forecasts that are asked for are kept; nil if they are not. Nothing else is written.
    ///   - metrics: what `/metrics` shows, of the other roles in this process too.
    static func start(
        _ settings: Settings, readerURL: String, writerURL: String?, logger: Logger,
        metrics: MetricsRegistry = MetricsRegistry()
    ) async throws -> QueryService {
        metrics.addProcessMetrics(version: Tapedeck.version)
        let reader = try ConnectionSettings(
            readerURL, applicationName: "tapedeck serve",
            sessionParameters: ["TimeZone": "UTC", "DateStyle": "ISO", "default_transaction_read_only": "on"])
        var configuration = QueryServer.Configuration(
            listen: try SocketAddress(settings.string(.listen)), reader: reader, version: Tapedeck.version)
        configuration.http = try HTTP.Configuration(settings, logger: logger)
        configuration.bodyLimit = settings.integer(.maxBodyBytes) ?? configuration.bodyLimit
        configuration.rowLimit = settings.integer(.maxResultRows)
        configuration.byteLimit = settings.integer(.maxResultBytes)
        let cost = settings.number(.maxQueryCost)
        configuration.costLimit = cost > 0 ? cost : nil
        // Whatever a query may take has its own deadline; what takes longer than any of them hangs.
        configuration.http.handlerDeadline = settings.duration(.queryTimeout) + .seconds(30)
        let loops = settings.integer(.loops) ?? min(8, max(1, sysconf(CInt(_SC_NPROCESSORS_ONLN))))
        configuration.loops = .count(loops)
        configuration.metrics = metrics
        // Beside those for SQL and for REST a loop has one for batches of each, and one for short questions of its own.
        let share = max(1, (connectionLimit - 3 * loops) / (2 * loops))
        let connections = min(settings.integer(.poolSize) ?? 8, share)
        configuration.sqlConnectionsPerLoop = connections
        configuration.restConnectionsPerLoop = connections
        // More at once would get nothing done sooner, and lookups would wait for a processor. One client may have three
        // quarters: something is always left for others.
        let processors = max(1, sysconf(CInt(_SC_NPROCESSORS_ONLN)))
        let running = settings.integer(.maxRunningQueries) ?? max(4, 2 * processors)
        configuration.queries.running = min(connections * loops, running)
        configuration.queries.runningPerClient = max(1, configuration.queries.running * 3 / 4)
        configuration.lookups.running = connections * loops
        configuration.lookups.runningPerClient = connections * loops
        configuration.queryTimeoutDefault = settings.duration(.queryTimeout)
        configuration.queryTimeoutLimit = settings.duration(.queryTimeout)
        configuration.trino.clientTimeout = settings.duration(.trinoClientTimeout)
        configuration.trino.live = settings.integer(.trinoMaxQueries) ?? configuration.trino.live
        configuration.live.subscribers = settings.integer(.maxSubscribers) ?? configuration.live.subscribers
        configuration.live.subscribersPerClient =
            settings.integer(.maxSubscribersPerAddress) ?? configuration.live.subscribersPerClient
        configuration.live.memory = settings.integer(.liveMemory) ?? configuration.live.memory
        configuration.live.heartbeat = settings.duration(.liveHeartbeat)
        let tls = try TLSSettings.server(settings)
        configuration.http.tls = tls
        try warnOfPlainKeys(settings, isEncrypted: tls != nil, logger)
        configuration.requiresKeys = settings.string(.requireKeys) == "on"
        let audit = try settings.text(.auditLog).map { path in
            do throws(SystemError) {
                return try AuditLog(path: path, metrics: metrics, logger: logger)
            } catch {
                throw ValidationError("\(Setting.auditLog.environment): \(error)")
            }
        }
        configuration.audit = audit
        configuration.contract = Contract(
            json: try OpenAPI.json(), yaml: OpenAPI.yaml,
            viewer: try files(of: .docsViewer, or: "viewers/swagger-ui", with: "swagger-ui.css", settings))
        configuration.console = Console(
            files: try files(of: .console, or: "console", with: "index.html", settings),
            libraries: try files(of: .consoleLibraries, or: "viewers/console", with: "lightweight-charts.js", settings))
        configuration.http.standardHeaders = StandardHeaders(
            WebPolicy.standardHeaders(
                strictTransport: settings.text(.hstsMaxAge) == nil ? nil : settings.duration(.hstsMaxAge)))
        let forecasting = try EventLoop(name: "forecast")
        forecasting.start()
        configuration.forecasts = ForecastDesk(
            loop: forecasting,
            writer: try writerURL.map { try ConnectionSettings($0, applicationName: "tapedeck serve: forecasts") })
        let server = QueryServer(configuration, logger: logger)
        let address = try await server.start()
        let service = QueryService(
            server: server, forecasting: forecasting, tls: tls, audit: audit, logger: logger, address: "\(address)",
            drainTimeout: settings.duration(.drainTimeout))
        service.reportCertificates()
        return service
    }

    /// The files of the folder that a setting names, or of `standard` beside the program, where it has the file `mark`;
    /// nil where they are not installed, and none are asked for.
    private static func files(
        of setting: Setting, or standard: String, with mark: String, _ settings: Settings
    ) throws -> StaticFiles? {
        if let folder = settings.text(setting) {
            do throws(SystemError) {
                return try StaticFiles(folder: folder)
            } catch {
                throw ValidationError("\(setting.environment): \(error)")
            }
        }
        // A folder of that name may be anything; the file tells that it is ours.
        let found = ProgramFolders.all.first { access("\($0)/\(standard)/\(mark)", R_OK) == 0 }
        return found.flatMap { try? StaticFiles(folder: "\($0)/\(standard)") }
    }

    /// What to do on SIGHUP: certificates are read and the audit log is opened again; nil without either.
    var onHangUp: (@Sendable () -> Void)? {
        if tls == nil && audit == nil { return nil }
        return { [self] in
            audit?.reopen()
            if tls != nil { reloadCertificates() }
        }
    }

    private func reloadCertificates() {
        do throws(TLSError) {
            try tls?.reload()
            logger.notice("certificates were read again")
            reportCertificates()
        } catch {
            logger.error("the certificates stay as they were: \(error)")
        }
    }

    private func reportCertificates() {
        for certificate in tls?.certificates ?? [] {
            let names = certificate.names.joined(separator: ", ")
            if certificate.hasExpired {
                logger.warning("the certificate of \(names) expired on \(certificate.notAfter); clients will refuse it")
            } else {
                logger.info("the certificate of \(names) is good until \(certificate.notAfter)")
            }
        }
    }

    /// Stops accepting, lets requests under way finish for a while, and closes.
    func stop() async {
        await server.shutdown(deadline: drainTimeout)
        forecasting.stop()
    }
}
