// SPDX-License-Identifier: Apache-2.0

import Analytics
import ArgumentParser
import EventLoop
import Glibc
import Logging
import Market
import Postgres

/// `tapedeck jobs`: what runs by the clock, seen and started by hand.
struct JobsCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "jobs", abstract: "List the jobs, or run one now.", subcommands: [List.self, Run.self],
        defaultSubcommand: List.self)

    /// `tapedeck jobs list`.
    struct List: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            commandName: "list", abstract: "List the jobs: schedule, last run, next run.")

        @OptionGroup var flags: SettingFlags

        func run() async throws {
            let access = try StoreAccess(flags, application: "tapedeck jobs")
            let rows = try await access.run { connection in
                try await connection.query(
                    """
                    select job, schedule, coalesce(last_result, '-'), coalesce(last_run_at::text, '-'),
                        coalesce(next_run_at::text, '-'), coalesce(last_message, '') from ops.jobs order by job
                    """
                ).map { row in try (0..<6).map { try row.string($0) } }
            }
            for job in Job.allCases {
                let row = rows.first { $0[0] == job.rawValue } ?? [job.rawValue, "-", "-", "-", "-", ""]
                print(
                    "\(job.rawValue)  \(job.summary)\n  schedule \(row[1])  last \(row[2]) \(row[3])  next \(row[4])"
                        + (row[5].isEmpty ? "" : "\n  \(row[5])"))
            }
        }
    }

    /// `tapedeck jobs run NAME`.
    struct Run: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            commandName: "run", abstract: "Run one job now; exit status 1 if it fails, 75 if another job is running.")

        @OptionGroup var flags: SettingFlags
        @Argument(help: ArgumentHelp("\(Job.allCases.map(\.rawValue).joined(separator: ", ")).", valueName: "job"))
        var job: String

        func run() async throws {
            guard let job = Job(rawValue: job) else {
                throw ValidationError(
                    "job '\(job)' is not known; allowed: \(Job.allCases.map(\.rawValue).joined(separator: ", "))")
            }
            let access = try StoreAccess(flags, application: "tapedeck jobs")
            let scheduler = try Jobs.scheduler(
                access.settings, store: access.connection, loop: access.loop, logger: access.logger)
            let running = Task(executorPreference: access.loop) { try await scheduler.runOnce(job) }
            do {
                print(try await running.value)
            } catch let error as AnalyticsError where error.code == .busy {
                _ = "tapedeck: \(error)\n".withCString { write(STDERR_FILENO, $0, strlen($0)) }
                throw ExitCode(75)  // EX_TEMPFAIL of sysexits.h: what timers take for "later".
            }
        }
    }
}

/// The jobs as the settings have them.
enum Jobs {
    static func scheduler(
        _ settings: Settings, store: ConnectionSettings, loop: EventLoop, logger: Logger
    ) throws -> JobScheduler {
        var work = Job.Settings()
        work.symbols = (settings.text(.forecastSymbols) ?? "").split(separator: ",").map(String.init)
        work.keepForecasts = settings.duration(.forecastRetention)
        let plans = [
            JobScheduler.Plan(.forecast, settings.schedule(.forecastSchedule)),
            JobScheduler.Plan(.score, settings.schedule(.scoreSchedule)),
            JobScheduler.Plan(.validationReport, settings.schedule(.reportSchedule)),
            JobScheduler.Plan(.retention, settings.schedule(.retentionSchedule)),
        ]
        return JobScheduler(
            plans, settings: work, store: store, runner: "\(Runtime.hostName):\(getpid())", loop: loop, logger: logger,
            now: wallClock)
    }
}
