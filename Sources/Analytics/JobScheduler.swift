// SPDX-License-Identifier: Apache-2.0

package import EventLoop
package import Logging
package import Market
package import Postgres

/// Runs jobs when they are due, one at a time on all machines that share the store.
///
/// A session-level advisory lock is held while a job runs: who gets it runs the job, the others wait for it, and then see
/// in `ops.job_runs` that the job was done. When a process dies, PostgreSQL notices within ``deathNotice``, even in the
/// middle of a statement, and ends its session and the lock with it.
package struct JobScheduler: Sendable {
    package struct Plan: Sendable {
        package var job: Job
        package var schedule: CronSchedule?

        package init(_ job: Job, _ schedule: CronSchedule?) {
            self.job = job
            self.schedule = schedule
        }
    }

    /// How often a failed run is tried again before the next is waited for, and after which pauses.
    package static let retryPauses: [Duration] = [.seconds(10), .seconds(60)]
    /// How long it waits before it asks again whether another process has ended its job.
    private static let busyPause = Duration.seconds(1)
    /// How soon PostgreSQL notices that the process is gone, on this machine or another.
    private static let deathNotice = [
        "client_connection_check_interval": "2s", "tcp_keepalives_idle": "30", "tcp_keepalives_interval": "10",
        "tcp_keepalives_count": "3",
    ]
    /// How long a clock is slept on at once: a clock that was set is noticed.
    private static let longestSleep = Duration.seconds(30)
    /// The key of the lock, one for all jobs.
    private static let lock: Int64 = 0x7461_7065_6A6F_6273

    private let plans: [Plan]
    private let settings: Job.Settings
    private let store: ConnectionSettings
    private let runner: String
    private let retryPauses: [Duration]
    private let loop: EventLoop
    private let logger: Logger
    private let now: @Sendable () -> Timestamp

    /// - Parameters:
    ///   - runner: who runs them, for `ops.job_runs`.
    ///   - retryPauses: the pauses before a failed run is tried again; as many times as there are pauses.
    ///   - now: the clock that schedules go by.
    package init(
        _ plans: [Plan], settings: Job.Settings, store: ConnectionSettings, runner: String,
        retryPauses: [Duration] = Self.retryPauses, loop: EventLoop, logger: Logger,
        now: @escaping @Sendable () -> Timestamp
    ) {
        self.plans = plans
        self.settings = settings
        var store = store
        store.sessionParameters.merge(Self.deathNotice) { given, _ in given }
        self.store = store
        self.runner = runner
        self.retryPauses = retryPauses
        self.loop = loop
        self.logger = logger
        self.now = now
    }

    /// Runs what is due until the task is cancelled. What fails is in `ops.jobs`; nothing is thrown.
    package func run() async {
        var due: [Job: Timestamp] = [:]
        while !Task.isCancelled {
            do {
                try await announce()
                break
            } catch {
                logger.warning("the jobs cannot be announced, trying again", metadata: ["error": "\(error)"])
                try? await loop.sleep(for: .seconds(5))
            }
        }
        for plan in plans { due[plan.job] = plan.schedule?.next(after: now()) }
        while !Task.isCancelled {
            guard let next = plans.compactMap({ due[$0.job] }).min() else {
                try? await loop.sleep(for: Self.longestSleep)
                continue
            }
            let wait = Duration.microseconds(max(0, next.microseconds - now().microseconds))
            if wait > .zero {
                try? await loop.sleep(for: min(wait, Self.longestSleep))
                continue
            }
            for plan in plans {
                guard let time = due[plan.job], time <= now(), !Task.isCancelled else { continue }
                due[plan.job] = plan.schedule?.next(after: now())
                await runDue(plan, at: time)
            }
        }
    }

    private func runDue(_ plan: Plan, at time: Timestamp) async {
        var attempt = 1
        while !Task.isCancelled {
            do {
                _ = try await runOnce(plan.job, dueAt: time, attempt: attempt)
                return
            } catch let error as AnalyticsError where error.code == .done {
                return
            } catch let error as AnalyticsError where error.code == .busy {
                // Another process runs this job or another one; when it has ended, its history tells which.
                if let next = plan.schedule?.next(after: time), next <= now() {
                    logger.warning("job left out: another one is running", metadata: ["job": "\(plan.job.rawValue)"])
                    return
                }
                try? await loop.sleep(for: Self.busyPause)
            } catch {
                if Task.isCancelled { return }
                logger.warning(
                    "job failed",
                    metadata: ["job": "\(plan.job.rawValue)", "attempt": "\(attempt)", "error": "\(error)"])
                if attempt > retryPauses.count { return }
                try? await loop.sleep(for: retryPauses[attempt - 1])
                attempt += 1
            }
        }
    }

    /// Writes the schedules into `ops.jobs`.
    private func announce() async throws {
        try await withConnection { connection in
            for plan in plans { try await note(plan, connection) }
        }
    }

    private func note(_ plan: Plan, _ connection: PostgresConnection) async throws {
        try await connection.query(
            """
            insert into ops.jobs (job, schedule, next_run_at) values ($1, $2, $3)
            on conflict (job) do update set schedule = excluded.schedule, next_run_at = excluded.next_run_at,
                updated_at = now()
            """,
            [
                .text(plan.job.rawValue, as: .text), .text(plan.schedule?.description ?? "off", as: .text),
                plan.schedule?.next(after: now()).map { .timestamp($0.microseconds) } ?? .null,
            ])
    }

    /// Runs one job now; returns what it did.
    ///
    /// - Parameters:
    ///   - dueAt: skip it if another run has begun since then; nil to run in any case.
    /// - Throws: ``AnalyticsError/Code/busy`` while another process runs a job, ``AnalyticsError/Code/done`` if one has run
    ///   this one since `dueAt`.
    package func runOnce(_ job: Job, dueAt: Timestamp? = nil, attempt: Int = 1) async throws -> String {
        try await withConnection { connection in
            let lock = try await connection.query("select pg_try_advisory_lock($1)", [.int64(Self.lock)])
            guard try lock.first?.bool(0) == true else {
                throw AnalyticsError(.busy, "another process is running a job", hint: "See ops.job_runs.")
            }
            if let dueAt, attempt == 1 {
                let since = try await connection.query(
                    "select count(*) from ops.job_runs where job = $1 and started_at >= $2",
                    [.text(job.rawValue, as: .text), .timestamp(dueAt.microseconds)])
                if try since.first?.int64(0) != 0 { throw AnalyticsError(.done, "the job has been run already") }
            }
            return try await record(job, attempt, connection)
        }
    }

    private func record(_ job: Job, _ attempt: Int, _ connection: PostgresConnection) async throws -> String {
        let started = now()
        let run = try await connection.query(
            "insert into ops.job_runs (job, attempt, runner, started_at) values ($1, $2, $3, $4) returning run_id",
            [
                .text(job.rawValue, as: .text), .int64(Int64(attempt)), .text(runner, as: .text),
                .timestamp(started.microseconds),
            ])
        let id = try run.first?.int64(0) ?? 0
        if let plan = plans.first(where: { $0.job == job }) { try await note(plan, connection) }
        try await connection.query(
            """
            insert into ops.jobs (job, schedule, last_run_at, last_result) values ($1, 'off', $2, 'running')
            on conflict (job) do update set last_run_at = excluded.last_run_at, last_finished_at = null,
                last_result = 'running', last_message = null, updated_at = now()
            """, [.text(job.rawValue, as: .text), .timestamp(started.microseconds)])
        let outcome: Result<String, any Error>
        do {
            outcome = .success(
                try await job.run(connection, settings, now: started, seed: UInt64(started.microseconds)))
        } catch {
            outcome = .failure(error)
        }
        let (result, message) =
            switch outcome {
            case .success(let message): ("ok", message)
            case .failure(let error): ("failed", "\(error)")
            }
        try await connection.query(
            """
            with run as (update ops.job_runs set finished_at = $2, result = $3, message = $4 where run_id = $1 returning job)
            update ops.jobs j set last_finished_at = $2, last_result = $3, last_message = $4, updated_at = now()
            from run where j.job = run.job
            """,
            [
                .int64(id), .timestamp(now().microseconds), .text(result, as: .text), .text(message, as: .text),
            ])
        return try outcome.get()
    }

    private func withConnection<T>(_ body: (PostgresConnection) async throws -> T) async throws -> T {
        let connection = try await PostgresConnection.connect(store, on: loop)
        // Closing ends the session, and with it the lock.
        defer { connection.close() }
        return try await body(connection)
    }
}
