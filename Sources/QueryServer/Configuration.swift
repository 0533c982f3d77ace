// SPDX-License-Identifier: Apache-2.0
// Every setting of the query server, in one place.

package import EventLoop
package import HTTP
package import Metrics
package import Postgres

extension QueryServer {
    /// The settings of a ``QueryServer``; limits are inclusive.
    package struct Configuration: Sendable {
        /// Who runs the server.
        package enum Loops: Sendable {
            /// This many loops, made, started and stopped by the server.
            case count(Int)
            /// Loops that the caller has made and started, and stops after the server's shutdown.
            case shared([EventLoop])
        }

        /// The listener: address, limits on heads and bodies, deadlines.
        package var http: HTTP.Configuration
        /// The reader: the role that can only select.
        package var reader: ConnectionSettings
        /// What `/version` says.
        package var version: String
        /// Where requests and pools are counted, and what `/metrics` shows.
        package var metrics = MetricsRegistry()
        package var loops = Loops.count(1)
        /// Whether requests need an API key.
        package var requiresKeys = false
        /// Where it is written down who ran what; nil for nowhere.
        package var audit: AuditLog?
        /// What `/openapi.json` and `/docs` show; nil for nothing.
        package var contract: Contract?
        /// The console at `/`.
        package var console = Console(files: nil, libraries: nil)
        /// Makes the forecasts that are asked for; nil where none are made.
        package var forecasts: ForecastDesk?

        /// Most connections of one loop for SQL of users.
        package var sqlConnectionsPerLoop = 8
        /// Most connections of one loop for our own statements, which are prepared and quick: REST never waits
        /// behind a long query of a user.
        package var restConnectionsPerLoop = 8
        /// The longest wait for a connection that is being made (503).
        package var connectTimeout = Duration.seconds(5)
        /// SQL of users and exports, of all loops together.
        package var queries = Admission.Limits(
            running: 8, runningPerClient: 6, waiting: 512, waitingPerClient: 256, patience: .seconds(30))
        /// Our own quick statements, of all loops together.
        package var lookups = Admission.Limits(
            running: 64, runningPerClient: 64, waiting: 2048, waitingPerClient: 1024, patience: .seconds(5))

        /// How long a query may run whose request names no `timeout_ms`, the sending of its rows included.
        package var queryTimeoutDefault = Duration.seconds(60)
        /// The largest `timeout_ms`.
        package var queryTimeoutLimit = Duration.seconds(60)
        /// How many rows a query returns whose request names no `limit`; nil for all.
        package var rowLimitDefault: Int?
        /// The largest `limit`; nil for any.
        package var rowLimit: Int?
        /// The most bytes of a result, and what a request gets that names no `max_bytes`; nil for any.
        package var byteLimit: Int?
        /// Bytes of one row, as PostgreSQL sends it.
        package var rowBytesLimit = 16 * 1024 * 1024
        /// The most that a query of a user may cost by the planner's estimate (EXPLAIN); nil for any.
        package var costLimit: Double?
        /// Bytes of a request body (413).
        package var bodyLimit = 1024 * 1024

        /// Rows of a REST page when the request names no `limit`.
        package var pageSizeDefault = 1000
        /// The largest `limit` of a REST page.
        package var pageSizeLimit = 50_000
        /// Rows of a REST page above which it is an export, and has its place among the queries.
        package var lookupRows = 5000
        /// Symbols in one request.
        package var symbolLimit = 1000

        /// What the queries of Presto and Trino clients may hold, and for how long.
        package var trino = TrinoLimits()
        /// What live subscribers may hold.
        package var live = LiveLimits()
        /// The name of the database, which is the catalog that Presto and Trino clients see.
        var database: String { reader.database ?? "tapedeck" }

        package init(listen: SocketAddress, reader: ConnectionSettings, version: String) {
            http = HTTP.Configuration(address: listen)
            self.reader = reader
            self.version = version
        }

        /// Traps on settings that cannot work together.
        func validate() {
            precondition(sqlConnectionsPerLoop > 0 && restConnectionsPerLoop > 0, "a loop needs connections")
            precondition(queryTimeoutDefault <= queryTimeoutLimit, "the default timeout is above the limit")
            precondition(pageSizeDefault <= pageSizeLimit, "the default page is larger than the limit")
            if let rowLimit {
                precondition(rowLimitDefault ?? 0 <= rowLimit, "the default row limit is above the limit")
            }
            if case .count(let count) = loops { precondition(count > 0, "a server needs a loop") }
        }
    }
}

/// The limits of the live tape, all inclusive.
package struct LiveLimits: Sendable {
    /// Bytes of the tape that are kept in memory, for who was away or is slow.
    package var memory = 32 * 1024 * 1024
    /// Subscribers at once.
    package var subscribers = 10_000
    /// Of one client address.
    package var subscribersPerClient = 5000
    /// How long a subscriber is told nothing before a heartbeat.
    package var heartbeat = Duration.seconds(15)
    /// How long the first subscriber waits for the store (503).
    package var patience = Duration.seconds(5)
    /// Bytes that wait to be sent to a WebSocket before it is told no more for the time being.
    package var socketBytes = 256 * 1024

    package init() {}
}
