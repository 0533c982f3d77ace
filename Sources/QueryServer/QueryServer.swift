// SPDX-License-Identifier: Apache-2.0
// The server as a whole: its loops, its beginning and its end. A request passes through the folders in this order:
// Route → Parameters → Plan → Query → Encode → Answer.

import EventLoop
package import HTTP
package import Logging
import Metrics
import Postgres
import Synchronization

/// Answers HTTP requests with what PostgreSQL holds: SQL, REST, Grafana. Read-only.
///
/// Each event loop accepts, parses, queries and writes on its own thread, with connections of its own to PostgreSQL.
package final class QueryServer: Sendable {
    private struct State {
        var server: Server?
        var running: Task<Void, Never>?
        var handlers: [QueryHandler] = []
        var trinoQueries: TrinoQueries?
        var tape: LiveTape?
        var feed: LiveFeed?
    }

    private let configuration: Configuration
    private let logger: Logger
    private let state = Mutex(State())

    /// Makes a server; it does nothing before ``start()``.
    package init(_ configuration: Configuration, logger: Logger) {
        configuration.validate()
        self.configuration = configuration
        self.logger = logger
    }

    /// Binds, listens and serves from now on; returns where, with the real port. PostgreSQL need not be there yet:
    /// connections are made when requests need them. To be called once.
    ///
    /// - Throws: `SystemError`, if the address cannot be had.
    package func start() async throws -> SocketAddress {
        let loops = try makeLoops()
        let configuration = configuration
        let admission = Admission(loops: loops.count) { lane in
            lane == .lookups ? configuration.restConnectionsPerLoop : configuration.sqlConnectionsPerLoop
        } limits: { lane in
            lane == .lookups ? configuration.lookups : configuration.queries
        }
        let queries = RunningQueries()
        let keys = KeyRing(isRequired: configuration.requiresKeys)
        let trinoQueries = TrinoQueries(configuration.trino)
        let tape = LiveTape(memoryLimit: configuration.live.memory)
        let liveMetrics = LiveMetrics(configuration.metrics)
        let feed = LiveFeed(
            tape, reader: configuration.reader, metrics: liveMetrics, on: loops[0], logger: logger)
        var handlers: [QueryHandler] = []
        let observer = ServerObservers(all: [RequestLog(logger: logger), RequestMetrics(configuration.metrics)])
        let server = try Server(configuration.http, loops: loops, observer: observer) { loop in
            let gate = Gate(configuration, admission: admission, running: queries, slot: handlers.count, on: loop)
            let trino = TrinoService(
                configuration, trinoQueries, gate, logger: logger, isSweeper: handlers.isEmpty)
            let live = LiveService(configuration, tape, gate, liveMetrics)
            let handler = QueryHandler(configuration, gate, trino, live, keys, logger: logger)
            handlers.append(handler)
            return handler
        }
        countPools(admission)
        state.withLock { state in
            precondition(state.server == nil, "a server is started once")
            state.server = server
            state.handlers = handlers
            state.trinoQueries = trinoQueries
            state.tape = tape
            state.feed = feed
            state.running = Task(executorPreference: loops[0]) { [handlers] in
                await withDiscardingTaskGroup { group in
                    for handler in handlers {
                        group.addTask(executorPreference: handler.loop) { await handler.trino.serve() }
                        group.addTask(executorPreference: handler.loop) { await handler.gate.lookups.serve() }
                        group.addTask(executorPreference: handler.loop) { await handler.gate.repeated.serve() }
                        group.addTask(executorPreference: handler.loop) { await handler.live.desk.run() }
                    }
                    group.addTask(executorPreference: feed.loop) { await feed.run() }
                    await server.run()
                }
            }
        }
        return server.boundAddress
    }

    /// Stops accepting, lets requests under way finish for `deadline` at most, cuts off the rest, and closes the
    /// connections to PostgreSQL. Returns when all of it is gone.
    package func shutdown(deadline: Duration) async {
        let stopping = state.withLock { state in
            defer { state = State() }
            return state
        }
        guard let server = stopping.server else { return }
        await server.shutdown(deadline: deadline)
        stopping.trinoQueries?.close()
        stopping.tape?.close()
        await withDiscardingTaskGroup { group in
            for handler in stopping.handlers {
                group.addTask(executorPreference: handler.loop) {
                    handler.trino.stop()
                    handler.gate.stop()
                }
            }
            if let feed = stopping.feed { group.addTask(executorPreference: feed.loop) { feed.stop() } }
        }
        await stopping.running?.value
        await withDiscardingTaskGroup { group in
            for handler in stopping.handlers {
                group.addTask(executorPreference: handler.loop) { await handler.close() }
            }
        }
        if case .count = configuration.loops {
            for handler in stopping.handlers { handler.loop.stop() }
        }
    }

    /// Before each scrape, asks the pools of each loop, on the loop, what they have done, and the door and the server
    /// who is there.
    private func countPools(_ admission: Admission) {
        let pools = PoolMetrics(configuration.metrics)
        let connections = configuration.metrics.gauge("tapedeck_http_connections", "Connections of clients open now.")
        configuration.metrics.beforeScrape { [weak self] in
            guard let (handlers, server) = self?.state.withLock({ ($0.handlers, $0.server) }) else { return }
            connections.set(server?.connectionCount ?? 0)
            var batched = Admission.Lane.allCases.map { _ in 0 }
            var sum = (sql: ConnectionPool.Statistics(), rest: ConnectionPool.Statistics())
            for handler in handlers {
                let asking = Task(executorPreference: handler.loop) {
                    (handler.gate.statistics, Admission.Lane.allCases.map { handler.gate.batched($0) })
                }
                let (statistics, answered) = await asking.value
                sum.sql += statistics.sql
                sum.rest += statistics.rest
                batched = zip(batched, answered).map(+)
            }
            pools.show(sum.sql, as: "sql")
            pools.show(sum.rest, as: "rest")
            for (lane, batched) in zip(Admission.Lane.allCases, batched) {
                pools.show(admission.statistics(lane), batched: batched, of: "\(lane)")
            }
        }
    }

    private func makeLoops() throws(SystemError) -> [EventLoop] {
        switch configuration.loops {
        case .shared(let loops): return loops
        case .count(let count):
            var loops: [EventLoop] = []
            for index in 0..<count { loops.append(try EventLoop(name: "query-\(index)")) }
            for loop in loops { loop.start(isPrompt: true) }
            return loops
        }
    }
}
