// SPDX-License-Identifier: Apache-2.0
// `tapedeck query` on a terminal.

import ArgumentParser
import CEdit
import Glibc

/// The SQL prompt: reads statements and commands, runs them through the query server, shows what comes.
final class Prompt {
    private let client: QueryClient
    private let editor: LineEditor?
    private var splitter = StatementSplitter()
    private var completion: Completion?
    private var format: QueryCommand.Format
    private var showsTiming = false
    private var isExpanded = false
    /// Where results go; nil for the screen.
    private var outputFile: UnsafeMutablePointer<FILE>?
    /// How deep files include one another.
    private var depth = 0
    /// Whether a command has failed, or something in a file that was run.
    private var hasFailed = false

    private static let deepestInclude = 16

    /// - Parameter isInteractive: whether somebody types; else lines come from a pipe, and there is no editing.
    init(_ client: QueryClient, format: QueryCommand.Format, isInteractive: Bool) {
        self.client = client
        self.format = format
        let home =
            getenv("TAPEDECK_HISTORY").map { String(cString: $0) }
            ?? getenv("HOME").map { String(cString: $0) + "/.tapedeck_history" }
        editor = isInteractive ? LineEditor(historyFile: home) : nil
        editor?.complete = { [unowned self] in complete($0) }
    }

    deinit { if let outputFile { fclose(outputFile) } }

    // MARK: Reading

    /// Reads to the end of the input; returns whether everything went well, for input that nobody types.
    func run() -> Bool {
        Interrupt.catchSignals()
        guard let editor else { return runLines(nextLine: { readLine(strippingNewline: false) }) && !hasFailed }
        print("tapedeck \(Tapedeck.version) at \(client.base). \\? for help, \\q to leave; statements end with ;")
        while true {
            Interrupt.reset()
            switch editor.read(prompt: promptText) {
            case .end: return true
            case .interrupted: splitter.reset()
            case .text(let line):
                if splitter.isEmpty, let command = Self.command(line) {
                    editor.remember(line)
                    if !run(command) { return true }
                    continue
                }
                let pending = splitter.pending
                let statements = splitter.take(line + "\n")
                // A statement of several lines is one entry, unless a comment would swallow what follows it.
                let entry = pending + line
                if statements.isEmpty {
                    if entry.contains("--") { editor.remember(line) }
                } else {
                    editor.remember(entry.contains("--") ? line : entry.split(separator: "\n").joined(separator: " "))
                }
                for statement in statements where !execute(statement) && Interrupt.wasPressed { break }
            }
        }
    }

    private var promptText: String {
        switch splitter.place {
        case .statement: splitter.isEmpty ? "tapedeck> " : "tapedeck- "
        case .quote: "tapedeck' "
        case .dollarQuote: "tapedeck$ "
        case .comment: "tapedeck* "
        }
    }

    /// Runs the lines of a file or a pipe; the last statement need not end with a semicolon.
    private func runLines(nextLine: () -> String?) -> Bool {
        var went = true
        while let line = nextLine() {
            if splitter.isEmpty, let command = Self.command(line) {
                if !run(command) { return went }
                continue
            }
            for statement in splitter.take(line) { went = execute(statement) && went }
            if Interrupt.wasPressed { return false }
        }
        let rest = splitter.hasContent ? splitter.pending : ""
        splitter.reset()
        return rest.isEmpty ? went : execute(rest) && went
    }

    // MARK: Commands

    /// A line that begins with a backslash, as its words; and what people type who know `presto-cli` or `psql`.
    private static func command(_ line: String) -> [String]? {
        let words = line.split(whereSeparator: \.isWhitespace).map(String.init)
        if words.count == 1 {
            switch words[0].lowercased() {
            case "quit", "quit;", "exit", "exit;": return ["\\q"]
            case "help", "help;": return ["\\?"]
            default: break
            }
        }
        return words.first?.hasPrefix("\\") == true ? words : nil
    }

    /// What is on after `on`, `off` or nothing; nil for another word.
    private static func switched(_ isOn: Bool, _ word: String?) -> Bool? {
        switch word?.lowercased() {
        case nil: !isOn
        case "on": true
        case "off": false
        default: nil
        }
    }

    /// False to leave.
    private func run(_ words: [String]) -> Bool {
        let argument = words.dropFirst().first.map { $0.hasSuffix(";") ? String($0.dropLast()) : $0 }
        switch words[0] {
        case "\\q": return false
        case "\\?", "\\h": print(Self.help)
        case "\\dt": show(Self.relations)
        case "\\d":
            if let argument { show(Self.columns(of: argument)) } else { show(Self.relations) }
        case "\\timing":
            guard let isOn = Self.switched(showsTiming, argument) else { complain("\\timing is on or off"); break }
            showsTiming = isOn
            print("timing is \(showsTiming ? "on" : "off")")
        case "\\x":
            guard let isOn = Self.switched(isExpanded, argument) else { complain("\\x is on or off"); break }
            isExpanded = isOn
            print("expanded display is \(isExpanded ? "on" : "off")")
        case "\\format":
            guard let argument else { print("format is \(format.rawValue)"); break }
            guard let wanted = QueryCommand.Format(rawValue: argument) else {
                complain("format: one of \(QueryCommand.Format.allCases.map(\.rawValue).joined(separator: ", "))")
                break
            }
            format = wanted
        case "\\o": redirect(to: argument)
        case "\\i": if let argument { include(argument) } else { complain("\\i needs a file") }
        default: complain("unknown command \(words[0]); \\? lists them")
        }
        return true
    }

    private static let help = """
        \\d            the tables and views          \\format F     table, csv, json, ndjson
        \\d NAME       the columns of one            \\x [on|off]    a line for each value
        \\dt           as \\d                         \\timing        how long each statement took
        \\i FILE       run a file                    \\o FILE        results into a file; \\o alone: the screen
        \\?            this                          \\q             leave (or Ctrl-D)
        Statements end with ; and may take several lines. Tab completes. Ctrl-C cancels the query that runs, or forgets
        the line. Results longer than the screen go through $PAGER.
        """

    private func redirect(to path: String?) {
        if let outputFile { fclose(outputFile) }
        outputFile = nil
        guard let path else { return }
        outputFile = fopen(path, "w")
        if outputFile == nil { complain("\(path): \(String(cString: strerror(errno)))") }
    }

    private func include(_ path: String) {
        guard depth < Self.deepestInclude else { return complain("\(path): files include one another too deeply") }
        guard let file = fopen(path, "r") else { return complain("\(path): \(String(cString: strerror(errno)))") }
        depth += 1
        defer {
            depth -= 1
            fclose(file)
        }
        var line: UnsafeMutablePointer<CChar>?
        var capacity = 0
        defer { free(line) }
        let went = runLines {
            getline(&line, &capacity, file) < 0 ? nil : line.map { String(cString: $0) }
        }
        if !went { hasFailed = true }
    }

    private func complain(_ text: String) {
        hasFailed = true
        fputs(text + "\n", tapedeck_stderr())
    }

    // MARK: Statements

    private static let relations = """
        select n.nspname as schema, c.relname as name,
            case when c.relkind in ('v', 'm') then 'view' else 'table' end as type,
            obj_description(c.oid) as description
        from pg_class c join pg_namespace n on n.oid = c.relnamespace
        where n.nspname in ('market', 'ops') and c.relkind in ('r', 'v', 'm', 'p') and not c.relispartition
            and has_table_privilege(c.oid, 'select') order by 1, 2
        """

    private static func columns(of name: String) -> String {
        let quoted = "'" + name.split(separator: "'", omittingEmptySubsequences: false).joined(separator: "''") + "'"
        return """
            select a.attname as column, format_type(a.atttypid, a.atttypmod) as type,
                case when a.attnotnull then 'not null' end as nullable,
                col_description(a.attrelid, a.attnum) as description
            from pg_attribute a where a.attrelid = \(quoted)::regclass and a.attnum > 0 and not a.attisdropped
            order by a.attnum
            """
    }

    /// Shows the rows of a statement of ours.
    private func show(_ sql: String) { if !execute(sql, format: .table, isTyped: false) { hasFailed = true } }

    private func execute(_ sql: String) -> Bool { execute(sql, format: format) }

    private func execute(_ sql: String, format: QueryCommand.Format, isTyped: Bool = true) -> Bool {
        Interrupt.reset()
        let started = ContinuousClock.now
        // Who reads in the pager takes his own time.
        var ended: ContinuousClock.Instant?
        do {
            if format == .table {
                let text = try client.collect(sql, format: "csv", progress: progress)
                ended = .now
                write(isExpanded ? TextTable.expanded(csv: text) : TextTable(csv: text).text)
            } else if let outputFile {
                try client.stream(sql, format: format.rawValue, progress: progress) { bytes in
                    fwrite(bytes.baseAddress, 1, bytes.count, outputFile) == bytes.count
                }
                fflush(outputFile)
            } else if editor != nil {
                let text = try client.collect(sql, format: format.rawValue, progress: progress)
                ended = .now
                write(text, ends: false)
            } else {
                fflush(tapedeck_stdout())
                try client.stream(sql, format: format.rawValue, progress: nil) { writeAll($0, to: 1) }
            }
        } catch let failure as QueryFailure {
            complain(isTyped ? failure.shown(in: sql) : "ERROR: \(failure.message)")
            return false
        } catch {
            complain("\(error)")
            return false
        }
        if showsTiming {
            let milliseconds = ((ended ?? .now) - started) / .milliseconds(1)
            print("time: \((milliseconds * 10).rounded() / 10) ms")
        }
        return true
    }

    /// Where a line about a long query goes: the screen of whoever typed it.
    private var progress: ((String) -> Void)? {
        guard editor != nil, isatty(2) != 0 else { return nil }
        return { text in
            fputs("\r\u{1B}[K" + text, tapedeck_stderr())
            fflush(tapedeck_stderr())
        }
    }

    /// Shows a result: in the file, or on the screen, through the pager if it is longer than that.
    private func write(_ text: String, ends: Bool = true) {
        let text = ends || text.hasSuffix("\n") ? text + (ends ? "\n" : "") : text + "\n"
        if let outputFile {
            fputs(text, outputFile)
            fflush(outputFile)
            return
        }
        let lines = text.utf8.count { $0 == 0x0A }
        if editor != nil, lines >= Screen.size.rows, let pager = openPager() {
            fputs(text, pager)
            pclose(pager)
            return
        }
        fputs(text, tapedeck_stdout())
        fflush(tapedeck_stdout())
    }

    private func openPager() -> UnsafeMutablePointer<FILE>? {
        let named = getenv("PAGER").map { String(cString: $0) }
        let command = named ?? "less -S -F -X"
        return command.isEmpty ? nil : popen(command, "w")
    }

    private func complete(_ before: String) -> (typed: String, words: [String]) {
        if completion == nil {
            var names = Completion()
            if let rows = try? client.collect(Completion.query, format: "csv", progress: nil) {
                for row in TextTable.parse(rows).dropFirst() where row.count == 3 {
                    names.add(kind: row[0], name: row[1], column: row[2])
                }
                completion = names
            }
        }
        return (completion ?? Completion()).candidates(for: splitter.pending + before)
    }
}
