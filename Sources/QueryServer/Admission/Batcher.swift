// SPDX-License-Identifier: Apache-2.0
// Small statements of many requests, taken to PostgreSQL together.

import EventLoop
import Postgres

/// Gathers the quick statements of one event loop while the batch before them is under way, and runs them as one batch
/// on one connection: one system call, and one turn of a server process, for all of them. An idle loop sends each at
/// once, so nobody waits for a batch to fill. On the loop's thread only.
///
/// It answers what goes well and nothing else. Whatever fails, is not as quick or as small as it was taken for, or
/// finds no room here goes the ordinary way, through the door (``Admission``) and on a connection of its own: with its
/// own deadline, its own cancelling, and its own error.
///
/// Whoever asks for what somebody else is waiting to have asked, in the same words, is answered with the same rows: they
/// are read later than he came. Dashboards and bots that watch one symbol thus cost PostgreSQL one statement a batch. So
/// do those that ask the same of many symbols, where there is a statement for many keys.
final class Batcher {
    struct Limits {
        /// Statements of one batch.
        var batch = 32
        /// Statements that wait; the next goes the ordinary way.
        var waiting = 128
        /// How long a batch may take. It holds up those behind it.
        var time: Duration
        /// Bytes of the rows of a batch; nil where the statements see to it themselves.
        var bytes: Int?
        /// Whether a batch ends by ROLLBACK.
        var rollsBack: Bool
    }

    /// A statement, and those who wait for its rows.
    private final class Entry {
        let question: Question
        /// The same for many keys at once; see ``rows(_:_:many:sharing:)``.
        let many: Statement?
        var askers: [UnsafeContinuation<Void, Never>] = []
        /// Nil before it has run, and if it has to go the ordinary way.
        var rows: BatchedRows?

        init(_ question: Question, _ many: Statement?) {
            self.question = question
            self.many = many
        }
    }

    private let loop: EventLoop
    private let pool: ConnectionPool
    private let limits: Limits
    private var waiting: [Entry] = []
    /// Those of ``waiting`` that can be shared.
    private var shared: [Question: Entry] = [:]
    /// Who waits, of all entries.
    private var askers = 0
    /// What is known of the statements of users.
    var quick = QuickStatements()
    /// ``serve()``, while it has nothing to do.
    private var sleeper: UnsafeContinuation<Void, Never>?
    /// Those who were answered from a batch, since the start.
    private(set) var answered = 0
    private(set) var isServing = false
    private var isStopped = false

    init(_ pool: ConnectionPool, _ limits: Limits, on loop: EventLoop) {
        self.pool = pool
        self.limits = limits
        self.loop = loop
    }

    /// The rows of a statement; nil if it has to go the ordinary way.
    ///
    /// - Parameters:
    ///   - many: the same for many keys at once. It has an array of texts for its first parameter, where the statement for
    ///     one has a text; the key is the first column of its rows, and those of each key stand together, in the keys' order.
    ///   - sharing: whether all who ask it at the same moment may have the same rows.
    func rows(
        _ statement: Statement, _ parameters: [Parameter], many: Statement? = nil, sharing: Bool
    ) async -> BatchedRows? {
        guard isServing, askers < limits.waiting else { return nil }
        var place: Entry?
        await withUnsafeContinuation { continuation in
            if !isServing { return continuation.resume() }
            let entry = entry(Question(statement: statement, parameters: parameters), many, sharing: sharing)
            entry.askers.append(continuation)
            askers += 1
            place = entry
            wake()
        }
        return place?.rows
    }

    /// The statement's place in the next batch, or in one behind it.
    private func entry(_ question: Question, _ many: Statement?, sharing: Bool) -> Entry {
        if sharing, let entry = shared[question] { return entry }
        let entry = Entry(question, many)
        waiting.append(entry)
        if sharing { shared[question] = entry }
        return entry
    }

    private func wake() {
        let sleeper = sleeper
        self.sleeper = nil
        sleeper?.resume()
    }

    /// Runs batches until ``stop()``.
    func serve() async {
        isServing = !isStopped
        while isServing {
            if waiting.isEmpty {
                await withUnsafeContinuation { continuation in
                    if !waiting.isEmpty || !isServing { return continuation.resume() }
                    sleeper = continuation
                }
                // Requests come in swarms, as replies leave in swarms; without this look at the sockets the first one
                // of them would go alone.
                await loop.nextTurn()
                continue
            }
            let count = min(waiting.count, limits.batch)
            let batch = Array(waiting[..<count])
            waiting.removeFirst(count)
            // Who comes from now on may have to see what is committed while the batch runs.
            if waiting.isEmpty {
                shared.removeAll(keepingCapacity: true)
            } else if !shared.isEmpty {
                for entry in batch { shared[entry.question] = nil }
            }
            await run(batch)
            for entry in batch { release(entry) }
        }
        for entry in waiting { release(entry) }
        waiting = []
        shared = [:]
    }

    private func release(_ entry: Entry) {
        askers -= entry.askers.count
        if entry.rows != nil { answered += entry.askers.count }
        for asker in entry.askers { asker.resume() }
    }

    /// Runs one batch; what fails is left without rows.
    private func run(_ entries: [Entry]) async {
        let deadline = MonotonicTime.now() + limits.time
        let groups = groups(entries)
        let batch = groups.map(statement)
        _ = try? await pool.withConnection(deadline: deadline) { connection in
            // Locks and settings that a statement leaves would meet the others.
            if limits.rollsBack && connection.keepsTraces { return }
            connection.isUntouched = true
            try await connection.run(
                batch: batch, bytesLimit: limits.bytes, rollsBack: limits.rollsBack, deadline: deadline)
        }
        for (group, batched) in zip(groups, batch) {
            guard let rows = batched.rows else { continue }
            if group.count > 1 {
                let parts = rows.parts(by: 0, keys: group.map(\.question.key)) ?? []
                for (entry, part) in zip(group, parts) { entry.rows = part }
            } else {
                group[0].rows = rows
            }
        }
        // Those behind it were not reached.
        if let culprit = batch.first(where: { $0.rows == nil }) { quick.blame(culprit.statement) }
    }

    /// Those that can be one statement together: what is asked of many keys and differs in nothing else.
    private func groups(_ entries: [Entry]) -> [[Entry]] {
        var groups: [[Entry]] = []
        for entry in entries {
            if let many = entry.many,
                let index = groups.firstIndex(where: {
                    $0[0].many == many && $0[0].question.hasRest(of: entry.question)
                })
            {
                groups[index].append(entry)
            } else {
                groups.append([entry])
            }
        }
        return groups
    }

    private func statement(_ group: [Entry]) -> BatchedStatement {
        let question = group[0].question
        guard let many = group[0].many, group.count > 1 else {
            return BatchedStatement(question.statement, question.parameters)
        }
        return BatchedStatement(
            many, [.textArray(group.map(\.question.key))] + question.parameters.dropFirst())
    }

    /// Has ``serve()`` end; those who wait go the ordinary way.
    func stop() {
        isStopped = true
        isServing = false
        wake()
    }
}

/// A statement with what is bound to it: those that are equal ask the same.
private struct Question: Hashable {
    let statement: Statement
    let parameters: [Parameter]

    /// What it asks for, where it can be asked for many.
    var key: String { if case .text(let key, _)? = parameters.first { key } else { "" } }

    /// Whether nothing but the key is another.
    func hasRest(of other: Question) -> Bool { parameters.dropFirst() == other.parameters.dropFirst() }
}

/// Which statements of users have shown themselves quick and small, by their texts: those that many clients repeat.
struct QuickStatements {
    /// Longer texts are not looked at: nobody sends them often.
    private static let longestText = 4096
    private static let capacity = 512
    /// Runs in a row after which a statement is quick.
    private static let wanted = 3
    /// What a run of a quick statement takes at most, and gives.
    static let time = Duration.milliseconds(2)
    static let rows = 64
    static let bytes = 16 * 1024
    /// Runs in a row that make good for one in a batch that was not quick.
    private static let penalty = 100

    /// By the statement, which is the same byte for byte only; a text is the same to Swift in two spellings of an accent.
    private var statements: [Statement: QuickStatement] = [:]

    private static func key(_ sql: String) -> Statement { Statement(name: "q", sql: sql) }

    /// The statement, if it is worth a try in a batch.
    func find(_ sql: String) -> QuickStatement? {
        guard let statement = statements[Self.key(sql)], statement.runs >= Self.wanted else { return nil }
        return statement
    }

    /// Notes a run on a connection of its own.
    mutating func note(_ sql: String, took duration: Duration, rows: Int, bytes: Int) {
        if sql.utf8.count > Self.longestText { return }
        let isQuick = duration <= Self.time && rows <= Self.rows && bytes <= Self.bytes
        let key = Self.key(sql)
        if let statement = statements[key] {
            statement.runs = isQuick ? min(statement.runs + 1, Self.wanted) : min(statement.runs, 0)
            return
        }
        if statements.count >= Self.capacity { statements.removeAll(keepingCapacity: true) }
        statements[key] = QuickStatement(key, runs: isQuick ? 1 : 0)
    }

    /// Notes that it was not quick when it ran with others.
    func blame(_ statement: Statement) { statements[statement]?.runs = -Self.penalty }
}

/// A statement of users that many clients repeat, and how its rows are written.
final class QuickStatement {
    let statement: Statement
    fileprivate(set) var runs: Int
    /// Whether those who ask it at the same moment can have the same rows; nil until ``Gate/judge(_:)``.
    var isShareable: Bool?
    /// One for each format that was asked for, good for as long as the result has these columns.
    var forms: [ResultForm] = []

    init(_ statement: Statement, runs: Int) {
        self.statement = statement
        self.runs = runs
    }
}
