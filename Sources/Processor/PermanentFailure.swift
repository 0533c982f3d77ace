// SPDX-License-Identifier: Apache-2.0

import EventLog
import Postgres

/// A failure that no repetition can mend: what failed, and what an operator should do. Nothing is lost by it: what the
/// store does not have yet stays in the log.
struct PermanentFailure: Error, CustomStringConvertible {
    /// `validation`, `store` or `facts`.
    var stage: String
    var failure: PostgresError

    var description: String {
        "\(stage) cannot go on: \(failure); \(advice); what the store lacks stays in the log until then"
    }

    /// What to do about it, by SQLSTATE (PostgreSQL 15 docs, appendix A).
    private var advice: String {
        let state = failure.sqlState ?? ""
        switch state {
        case "42501":
            return
                "the user of TAPEDECK_DATABASE_URL must be tapedeck_writer, or own what tapedeck_writer owns: grant it, "
                + "or connect as the owner, then start again"
        case "3D000": return "make the database that TAPEDECK_DATABASE_URL names, run 'tapedeck migrate', start again"
        case _ where state.hasPrefix("28"):
            return "check user and password of TAPEDECK_DATABASE_URL and the server's pg_hba.conf, then start again"
        case _ where state.hasPrefix("42") || state.hasPrefix("3F"):
            return "the schema is not the one that this program made: undo what was changed by hand, "
                + "run 'tapedeck migrate', start again"
        case _ where state.hasPrefix("22") || state.hasPrefix("23"):
            let constraint = failure.constraint.map { " of constraint \($0)" } ?? ""
            return "the store refuses a value\(constraint): take away a constraint, type or trigger of your own, "
                + "or report it as a defect, then start again"
        default: return "mend it, then start again"
        }
    }

    /// Whether trying again can help: everything but what an operator must change first.
    static func mayPass(_ error: any Error) -> Bool {
        switch error {
        case let error as PostgresError:
            guard error.kind == .server, let state = error.sqlState else { return error.kind != .usage }
            // A schema, a role or a database that is not as it should be, or values that it cannot take. Without a
            // constraint 23514 is a day's partition that was dropped: a new sink makes it again.
            return state == "23514" && error.constraint == nil || state == "23505"
                || !["22", "23", "28", "3D", "3F", "42"].contains(String(state.prefix(2)))
        case let error as EventLogError: return error.isRetriable
        case is FencedOffsets.Fenced: return true
        default: return false
        }
    }
}
