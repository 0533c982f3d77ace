// SPDX-License-Identifier: Apache-2.0

import Analytics
import EventLoop
import Forecast
import Logging
import Market
import Postgres
import Synchronization
import TestSupport
import Testing

/// Forecasts and jobs against a real store.
@Suite(.serialized) struct ForecastStoreTests {
    /// Runs `body` on the loop with a connection to the test's database.
    @discardableResult
    private static func with<T: Sendable>(
        _ pipeline: TestPipeline, _ body: @escaping @Sendable (PostgresConnection) async throws -> T
    ) async throws -> T {
        let (url, loop) = (pipeline.url, pipeline.server.loop)
        return try await Task(executorPreference: loop) {
            let connection = try await PostgresConnection.connect(ConnectionSettings(url), on: loop)
            defer { connection.close() }
            return try await body(connection)
        }.value
    }

    /// 200 hourly bars of X up to 2026-01-09 08:00, and 1 s bars at each hour after that.
    private static let tape = """
        insert into ops.bar_state (symbol, timeframe, ts, open, high, low, close, volume, notional, trade_count, open_ts,
            open_id, open_source, close_ts, close_id, close_source)
        select 'X', f.name, timestamptz '2026-01-01Z' + g * interval '1 hour', p, p, p, p, 2, 2 * p, 1, '2026-01-01Z', 1, 't',
            '2026-01-01Z', 1, 't'
        from generate_series(0, 239) g, lateral (select 100 * exp(0.01 * sin(g * 1.7) + 0.001 * g) as p) as price,
            (values ('1h'), ('1s')) as f (name)
        where f.name = '1s' or g < 200
        """

    private static func request() -> ForecastRequest {
        var request = ForecastRequest(symbol: "X", seed: 11)
        request.until = Timestamp(parsing: "2026-01-09T09:00:00Z")
        request.paths = 2000
        return request
    }

    @Test func `a forecast is kept with everything, and scored when the prices have come`() async throws {
        let pipeline = try await TestPipeline("forecast")
        try await Self.with(pipeline) { try await $0.query(Self.tape) }
        let request = Self.request()
        let (id, forecast) = try await Self.with(pipeline) { connection in
            let store = ForecastStore(connection)
            let history = try await store.history(request)
            #expect(history.bars.count == 200 && history.bars.first?.start.description == "2026-01-01T00:00:00Z")
            let forecast = try MadeForecast(request, history, madeAt: TestPipeline.now(), threads: 2)
            return (try await store.write(forecast, madeBy: "command"), forecast)
        }
        #expect(forecast.spotTime.description == "2026-01-09T08:00:00Z")
        let row = try await pipeline.query(
            """
            select symbol, spot, drift, volatility, step_seconds, steps, paths, seed, lookback, timeframe, price, time_base,
                "returns", antithetic, made_by, spot_ts::text from market.forecasts where forecast_id = \(id)
            """)
        #expect(
            row == [
                [
                    "X", "\(forecast.spot)", "\(forecast.drift)", "\(forecast.volatility)", "3600", "24", "2000", "11",
                    "30d",
                    "1h", "vwap", "calendar", "199", "f", "command", "2026-01-09 08:00:00+00",
                ]
            ])
        let fan = try await pipeline.query(
            "select mean, p05, p50, p95 from market.forecast_steps where forecast_id = \(id) and step = 24")
        let last = forecast.result.fan[23]
        #expect(fan == [["\(last.mean)", "\(last.quantiles[0])", "\(last.quantiles[2])", "\(last.quantiles[4])"]])
        #expect(try await pipeline.count("select sum(count) from market.forecast_outcomes") == 2000)
        #expect(try await pipeline.count("select count(*) from market.forecast_paths") == 480)

        // Nothing is known yet: the tape has not passed a step.
        let scored = { try await Self.with(pipeline) { try await ForecastStore($0).scoreSteps() } }
        #expect(try await scored() == 0)
        try await Self.with(pipeline) {
            try await $0.query("insert into market.latest values ('X', '2026-01-09 18:30Z', 't', 1, 1, 1)")
        }
        #expect(try await scored() == 10)
        #expect(try await scored() == 0)
        // The price of a step is the last one before it: of the bar an hour earlier.
        let wrong = try await pipeline.count(
            """
            select count(*) from market.gbm_predictions g join market.bars b on b.symbol = 'X' and b.timeframe = '1s'
                and b.ts = g."timestamp" - interval '1 hour' where g.actual is distinct from b.close and g.actual is not null
            """)
        #expect(wrong == 0)
        let calibration = try await pipeline.query(
            "select step, forecast_count, coverage_90 from market.forecast_calibration order by step limit 1")
        #expect(calibration.first?[0] == "1" && calibration.first?[1] == "1")
        #expect(
            try await pipeline.count(
                "select count(*) from market.forecast_steps where crps > 0 and naive_crps >= 0 and actual > 0") == 10)
        // A forecast goes with all its parts.
        let deleted = try await Self.with(pipeline) {
            try await ForecastStore($0).deleteForecasts(before: TestPipeline.now().later)
        }
        #expect(deleted == 1)
        for table in ["forecast_steps", "forecast_outcomes", "forecast_paths"] {
            #expect(try await pipeline.count("select count(*) from market.\(table)") == 0)
        }
    }

    @Test func `the look-back ends at the last bar, and too many bars are refused`() async throws {
        let pipeline = try await TestPipeline("forecast_lookback")
        try await Self.with(pipeline) { try await $0.query(Self.tape) }
        try await Self.with(pipeline) { (connection) async throws -> Void in
            let store = ForecastStore(connection)
            var request = Self.request()
            request.lookbackSeconds = 2 * 3600
            #expect(
                try await store.history(request).bars.map(\.start.description) == [
                    "2026-01-09T05:00:00Z", "2026-01-09T06:00:00Z", "2026-01-09T07:00:00Z",
                ])
            request.symbol = "NONE"
            #expect(try await store.history(request).bars == [])
            #expect(try await store.activeSymbols(limit: 5, since: .epoch) == [])
        }
    }

    private static func scheduler(
        _ pipeline: TestPipeline, _ plans: [JobScheduler.Plan] = []
    ) throws -> JobScheduler {
        JobScheduler(
            plans, settings: Job.Settings(), store: try ConnectionSettings(pipeline.url), runner: "test",
            loop: pipeline.server.loop, logger: TestPipeline.logger, now: TestPipeline.now)
    }

    @Test func `a job runs once at a time, and its history is kept`() async throws {
        let pipeline = try await TestPipeline("jobs")
        let scheduler = try Self.scheduler(pipeline, [.init(.score, CronSchedule("7 * * * *"))])
        let loop = pipeline.server.loop
        let run = { @Sendable (job: Job) in
            try await Task(executorPreference: loop) { try await scheduler.runOnce(job) }.value
        }
        #expect(try await run(.score) == "0 steps scored")
        #expect(try await run(.forecast) == "0 forecasts")
        #expect(try await run(.retention) == "0 forecasts and 0 job runs deleted")
        #expect(try await run(.validationReport).hasSuffix("refused: none; every daily bar fits its trades"))
        #expect(
            try await pipeline.query("select job, last_result from ops.jobs order by job")
                == [["forecast", "ok"], ["retention", "ok"], ["score", "ok"], ["validation-report", "ok"]])
        #expect(try await pipeline.query("select schedule from ops.jobs where job = 'score'") == [["7 * * * *"]])

        // While another session holds the lock, nobody runs.
        try await Self.with(pipeline) { connection in
            try await connection.query("select pg_advisory_lock(8386107562020266611)")
            do {
                _ = try await scheduler.runOnce(.score)
                Issue.record("two jobs ran at once")
            } catch let error as AnalyticsError {
                #expect(error.code == .busy)
            }
        }
        #expect(try await run(.score) == "0 steps scored")
        #expect(try await pipeline.count("select count(*) from ops.job_runs where finished_at is null") == 0)
    }

    @Test func `a job that fails says why, and the next run is not held up`() async throws {
        let pipeline = try await TestPipeline("jobs_fail")
        let scheduler = try Self.scheduler(pipeline)
        let loop = pipeline.server.loop
        // A trade of yesterday without its bar: the report must notice.
        try await Self.with(pipeline) { connection in
            try await connection.query("select ops.ensure_trade_partitions(array[(now() - interval '1 day')::date])")
            try await connection.query(
                "insert into market.trades (symbol, ts, source, trade_id, price, size) values ('X', now() - interval '1 day', 't', 1, 1, 1)"
            )
        }
        let run = { @Sendable in
            try await Task(executorPreference: loop) { try await scheduler.runOnce(.validationReport) }.value
        }
        await #expect(throws: AnalyticsError.self) { try await run() }
        let row = try await pipeline.query("select last_result, last_message from ops.jobs")
        #expect(row.first?[0] == "failed" && row.first?[1]?.contains("1 daily bars differ") == true)
        await #expect(throws: AnalyticsError.self) { try await run() }
        #expect(try await pipeline.count("select count(*) from ops.job_runs where result = 'failed'") == 2)
    }

    /// A clock that stands still shortly before `due` until it is let go, and runs from `due` then.
    private final class StoppedClock: Sendable {
        private let due: Timestamp
        private let state = Mutex<(began: MonotonicTime?, looks: Int)>((nil, 0))

        init(due: String) throws { self.due = try #require(Timestamp(parsing: due)) }

        /// How often somebody has looked at it.
        var looks: Int { state.withLock { $0.looks } }

        func now() -> Timestamp {
            state.withLock { state in
                state.looks += 1
                guard let began = state.began else { return Timestamp(microseconds: due.microseconds - 100_000) }
                let (seconds, attoseconds) = (MonotonicTime.now() - began).components
                return Timestamp(
                    microseconds: due.microseconds + seconds * 1_000_000 + attoseconds / 1_000_000_000_000)
            }
        }

        func letGo() { state.withLock { $0.began = .now() } }
    }

    /// Starts schedulers, each as on a machine of its own, and lets the time `due` come when all wait for it.
    private static func running(
        _ pipeline: TestPipeline, due: String, _ plan: JobScheduler.Plan, _ runners: [String],
        retryPauses: [Duration] = JobScheduler.retryPauses
    ) async throws -> [Task<Void, Never>] {
        let clocks = try runners.map { _ in try StoppedClock(due: due) }
        let running = try zip(runners, clocks).map { name, clock in
            let scheduler = JobScheduler(
                [plan], settings: Job.Settings(), store: try ConnectionSettings(pipeline.url), runner: name,
                retryPauses: retryPauses, loop: pipeline.server.loop, logger: TestPipeline.logger,
                now: { clock.now() })
            return Task(executorPreference: pipeline.server.loop) { await scheduler.run() }
        }
        // A scheduler looks when it says what it will do, when it decides on the next time, and then until it is there.
        #expect(try await eventually { clocks.allSatisfy { $0.looks >= 4 } })
        for clock in clocks { clock.letGo() }
        return running
    }

    /// Cancels schedulers and waits for their end.
    private static func end(_ running: [Task<Void, Never>]) async {
        for task in running { task.cancel() }
        for task in running { await task.value }
    }

    @Test func `the scheduler runs what is due, and no job twice for one time`() async throws {
        let pipeline = try await TestPipeline("jobs_due")
        let running = try await Self.running(
            pipeline, due: "2026-01-01T00:07:00Z", .init(.score, CronSchedule("7 * * * *")), ["a", "b"])
        #expect(
            try await eventually {
                try await pipeline.count("select count(*) from ops.job_runs where finished_at is not null") > 0
            })
        // The other one has had its chance by now.
        try await Task.sleep(for: .milliseconds(1500))
        #expect(try await pipeline.query("select job, attempt, result from ops.job_runs") == [["score", "1", "ok"]])
        #expect(
            try await pipeline.query("select next_run_at::text, last_message from ops.jobs")
                == [["2026-01-01 01:07:00+00", "0 steps scored"]])
        await Self.end(running)
    }

    /// A trade of 2025-12-31 that no daily bar counts, which fails the report of 2026-01-01.
    private static let strayTrade =
        "insert into market.trades (symbol, ts, source, trade_id, price, size) values ('X', '2025-12-31 12:00Z', 't', 1, 1, 1)"

    @Test func `a job that fails is tried again after each pause, and then left for the next time`() async throws {
        let pipeline = try await TestPipeline("jobs_retry")
        try await Self.with(pipeline) { connection in
            try await connection.query("select ops.ensure_trade_partitions(array[date '2025-12-31'])")
            try await connection.query(Self.strayTrade)
        }
        let pauses = [Duration.milliseconds(100), .milliseconds(300)]
        let running = try await Self.running(
            pipeline, due: "2026-01-01T00:20:00Z", .init(.validationReport, CronSchedule("20 0 * * *")),
            ["a", "b"], retryPauses: pauses)
        let failed = "select count(*) from ops.job_runs where result = 'failed'"
        #expect(try await eventually { try await pipeline.count(failed) == 3 })
        // It has given up: a longer pause than those brings no other attempt, and the other machine has not begun one.
        try await Task.sleep(for: .milliseconds(1500))
        #expect(
            try await pipeline.query("select attempt, result from ops.job_runs order by run_id")
                == [["1", "failed"], ["2", "failed"], ["3", "failed"]])
        #expect(try await pipeline.count("select count(distinct runner) from ops.job_runs") == 1)
        // Each waited for its pause.
        let waits = try await pipeline.query(
            """
            select extract(epoch from started_at - lag(finished_at) over (order by run_id)) >= p.pause
            from ops.job_runs join (values (1, 0), (2, 0.1), (3, 0.3)) as p (attempt, pause) using (attempt) order by run_id
            """)
        #expect(waits == [[nil], ["t"], ["t"]])
        #expect(
            try await pipeline.query("select last_result, next_run_at::text from ops.jobs")
                == [["failed", "2026-01-02 00:20:00+00"]])
        await Self.end(running)
    }

    @Test func `a job that fails once and works then has both in its history`() async throws {
        let pipeline = try await TestPipeline("jobs_recover")
        try await Self.with(pipeline) { connection in
            try await connection.query("select ops.ensure_trade_partitions(array[date '2025-12-31'])")
            try await connection.query(Self.strayTrade)
        }
        let running = try await Self.running(
            pipeline, due: "2026-01-01T00:20:00Z", .init(.validationReport, CronSchedule("20 0 * * *")), ["a"],
            retryPauses: [Duration](repeating: .milliseconds(500), count: 100))
        let count = { (result: String) in
            try await pipeline.count("select count(*) from ops.job_runs where result = '\(result)'")
        }
        #expect(try await eventually { try await count("failed") > 0 })
        try await Self.with(pipeline) { try await $0.query("delete from market.trades") }
        #expect(try await eventually { try await count("ok") == 1 })
        let runs = try await pipeline.query("select attempt, result from ops.job_runs order by run_id")
        #expect(runs.map { $0[0] } == (1...runs.count).map { "\($0)" })
        #expect(runs.dropLast().allSatisfy { $0[1] == "failed" } && runs.last?[1] == "ok")
        #expect(try await pipeline.query("select last_result from ops.jobs") == [["ok"]])
        await Self.end(running)
    }

    @Test func `a job that is due while another one runs is done after it`() async throws {
        let pipeline = try await TestPipeline("jobs_wait")
        let running = try await Self.with(pipeline) { connection in
            // As a process that runs some other job.
            try await connection.query("select pg_advisory_lock(8386107562020266611)")
            let running = try await Self.running(
                pipeline, due: "2026-01-01T00:07:00Z", .init(.score, CronSchedule("7 * * * *")), ["a", "b"])
            // Time enough to have met the lock.
            try await Task.sleep(for: .milliseconds(500))
            #expect(try await pipeline.count("select count(*) from ops.job_runs") == 0)
            return running
        }
        // The session has ended, and the lock with it.
        #expect(
            try await eventually {
                try await pipeline.count("select count(*) from ops.job_runs where finished_at is not null") == 1
            })
        try await Task.sleep(for: .milliseconds(1500))
        #expect(try await pipeline.query("select job, attempt, result from ops.job_runs") == [["score", "1", "ok"]])
        await Self.end(running)
    }
}

extension Timestamp {
    fileprivate var later: Timestamp { Timestamp(microseconds: microseconds + 60_000_000) }
}
