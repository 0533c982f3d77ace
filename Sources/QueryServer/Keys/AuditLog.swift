// SPDX-License-Identifier: Apache-2.0
// Who ran what.

package import EventLoop
import Glibc
import HTTP
package import Logging
import Market
package import Metrics
import Synchronization

/// A file with a line for each statement of a client, when it has ended however, for each that somebody cancels, and for
/// each key that is refused: JSON, appended, mode 0600. `event` tells them apart.
///
/// A line is written by one system call into the page cache, on the loop where the statement ended, which over HTTP is
/// before the last piece of its result leaves; `O_APPEND` keeps the lines of several processes whole. A line that cannot be
/// written (a full disk) stops nobody: it is counted (`tapedeck_audit_failures_total`) and complained of once a minute.
package final class AuditLog: Sendable {
    /// Bytes of a statement that are kept.
    static let textLimit = 64 * 1024
    private static let complaintInterval = Duration.seconds(60)

    private struct State {
        var descriptor: CInt
        var complained: MonotonicTime?
    }

    private let path: String
    private let logger: Logger
    private let failures: Counter
    private let state: Mutex<State>

    /// Opens the file, and makes it if it is not there.
    ///
    /// - Throws: `SystemError`, if it cannot be written.
    package init(path: String, metrics: MetricsRegistry, logger: Logger) throws(SystemError) {
        self.path = path
        self.logger = logger
        failures = metrics.counter("tapedeck_audit_failures_total", "Lines of the audit log that could not be written.")
        state = Mutex(State(descriptor: try Self.open(path)))
    }

    deinit { close(state.withLock { $0.descriptor }) }

    private static func open(_ path: String) throws(SystemError) -> CInt {
        let descriptor = Glibc.open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0o600)
        if descriptor < 0 { throw SystemError(call: "open(\(path))") }
        return descriptor
    }

    /// Opens the file by its name again, after it was moved away (logrotate). What cannot be opened leaves the old one.
    package func reopen() {
        do throws(SystemError) {
            let fresh = try Self.open(path)
            close(
                state.withLock { state in
                    defer { state.descriptor = fresh }
                    return state.descriptor
                })
        } catch {
            logger.error("the audit log stays where it was", metadata: ["error": "\(error)"])
        }
    }

    /// Notes the end of a statement.
    ///
    /// - Parameter outcome: `ok`, or the code of the error that its client was told.
    func note(_ query: RunningQuery, outcome: String) {
        var line: [UInt8] = []
        begin("statement", query.client, query.trace, &line)
        line.appendText(",\"query_id\":")
        line.appendJSONString(query.id)
        line.appendText(",\"kind\":\"\(query.kind.rawValue)\",\"query\":")
        line.appendJSONString(query.text, upTo: Self.textLimit)
        if let prepared = query.prepared {
            line.appendText(",\"prepared\":")
            line.appendJSONString(prepared, upTo: Self.textLimit)
        }
        if let parameters = query.parameters {
            // As text: what was cut would be no JSON.
            line.appendText(",\"parameters\":")
            line.appendJSONString(parameters, upTo: Self.textLimit)
        }
        line.appendText(",\"outcome\":")
        line.appendJSONString(outcome)
        line.appendText(",\"rows\":\(query.rows.load(ordering: .relaxed))")
        line.appendText(",\"bytes\":\(query.bytes.load(ordering: .relaxed)),\"elapsed_ms\":")
        line.appendMilliseconds(MonotonicTime.now() - query.started)
        line.appendText("}\n")
        append(line)
    }

    /// Notes that somebody cancels a statement.
    func noteCancel(of query: RunningQuery, by caller: Caller, _ trace: TraceContext?) {
        var line: [UInt8] = []
        begin("cancel", caller, trace, &line)
        line.appendText(",\"query_id\":")
        line.appendJSONString(query.id)
        line.appendText(",\"of_key\":")
        line.appendJSONString(query.client.key?.grant.name)
        line.appendText(",\"of_user\":")
        line.appendJSONString(query.client.user)
        line.appendText("}\n")
        append(line)
    }

    /// Notes that a key was refused: by its id where it has the form of a key, and never what it was.
    func noteRefusal(of secret: String?, by caller: Caller, _ trace: TraceContext?, outcome: String) {
        var line: [UInt8] = []
        begin("key_refused", caller, trace, &line)
        line.appendText(",\"shown_key_id\":")
        line.appendJSONString(secret.flatMap { APIKey($0)?.id })
        line.appendText(",\"outcome\":")
        line.appendJSONString(outcome)
        line.appendText("}\n")
        append(line)
    }

    /// When, what, who.
    private func begin(_ event: StaticString, _ caller: Caller, _ trace: TraceContext?, _ line: inout [UInt8]) {
        line.appendText("{\"ts\":\"\(QueryHandler.now())\",\"event\":\"\(event)\",\"trace_id\":")
        line.appendJSONString(trace?.traceText)
        line.appendText(",\"key_id\":")
        line.appendJSONString(caller.key?.id)
        line.appendText(",\"key\":")
        line.appendJSONString(caller.key?.grant.name)
        line.appendText(",\"user\":")
        line.appendJSONString(caller.user)
        line.appendText(",\"client\":")
        line.appendJSONString(caller.address)
    }

    private func append(_ line: [UInt8]) {
        let complaint: String? = state.withLock { state in
            let written = write(state.descriptor, line, line.count)
            if written == line.count { return nil }
            failures.add()
            let why = written < 0 ? String(cString: strerror(errno)) : "only a part of a line was taken"
            let now = MonotonicTime.now()
            if let last = state.complained, now < last + Self.complaintInterval { return nil }
            state.complained = now
            return why
        }
        if let complaint {
            logger.error("the audit log cannot be written", metadata: ["file": "\(path)", "error": "\(complaint)"])
        }
    }
}
