// SPDX-License-Identifier: Apache-2.0
// A line from the terminal, edited.

import CEdit
import Glibc

/// libedit, with a history in a file of its owner's alone.
final class LineEditor {
    enum Line: Equatable {
        case text(String)
        /// Ctrl-C: what was typed is to be forgotten.
        case interrupted
        /// Ctrl-D on an empty line.
        case end
    }

    /// What Tab offers behind the text before the cursor: see ``Completion/candidates(for:)``.
    var complete: ((String) -> (typed: String, words: [String]))?

    private static let historyLimit = 1000

    private let edit: OpaquePointer
    private let history: OpaquePointer
    private let historyFile: String?
    private var prompt: UnsafeMutablePointer<CChar>
    private var isInterrupted = false

    /// - Parameter historyFile: where lines are kept; nil for nowhere.
    init?(historyFile: String?) {
        guard let history = history_init(),
            let edit = el_init("tapedeck", tapedeck_stdin(), tapedeck_stdout(), tapedeck_stderr())
        else { return nil }
        self.edit = edit
        self.history = history
        self.historyFile = historyFile
        prompt = strdup("")
        tapedeck_history_limit(history, CInt(Self.historyLimit))
        tapedeck_edit_setup(edit, history) { edit in LineEditor.of(edit!).prompt }
        tapedeck_edit_set_context(edit, Unmanaged.passUnretained(self).toOpaque())
        tapedeck_edit_bind(edit, "^C", "tapedeck-interrupt", "Forget the line") { edit, _ in
            LineEditor.of(edit!).isInterrupted = true
            return UInt8(CC_NEWLINE)
        }
        tapedeck_edit_bind(edit, "^I", "tapedeck-complete", "Complete the word") { edit, _ in
            LineEditor.of(edit!).completeWord()
        }
        el_source(edit, nil)
        if let historyFile { _ = tapedeck_history_load(history, historyFile) }
    }

    deinit {
        el_end(edit)
        history_end(history)
        free(prompt)
    }

    private static func of(_ edit: OpaquePointer) -> LineEditor {
        Unmanaged<LineEditor>.fromOpaque(tapedeck_edit_context(edit)!).takeUnretainedValue()
    }

    /// Reads a line, without its end.
    func read(prompt text: String) -> Line {
        free(prompt)
        prompt = strdup(text)
        isInterrupted = false
        var count: CInt = 0
        let line = el_gets(edit, &count)
        if isInterrupted {
            putchar(0x0A)
            fflush(tapedeck_stdout())
            return .interrupted
        }
        guard let line, count > 0 else {
            putchar(0x0A)
            fflush(tapedeck_stdout())
            return .end
        }
        var text = String(cString: line)
        if text.hasSuffix("\n") { text.removeLast() }
        return .text(text)
    }

    /// Adds a statement or command to the history, and to its file at once.
    func remember(_ entry: String) {
        if entry.allSatisfy({ $0.isWhitespace }) { return }
        tapedeck_history_add(history, entry)
        guard let historyFile else { return }
        // libedit sets 0600 too, but only when it has written.
        let before = umask(0o077)
        _ = tapedeck_history_save(history, historyFile)
        umask(before)
    }

    // MARK: Completion

    private func completeWord() -> UInt8 {
        let info = el_line(edit)!.pointee
        let before = UnsafeRawBufferPointer(start: info.buffer, count: info.cursor - info.buffer)
        guard let complete else { return UInt8(CC_ERROR) }
        let (typed, words) = complete(String(decoding: before, as: UTF8.self))
        if words.isEmpty { return UInt8(CC_ERROR) }
        if words.count == 1 { return replace(typed, with: words[0] + " ") }
        let common = Completion.commonPrefix(words)
        if common.count > typed.count { return replace(typed, with: common) }
        show(words)
        return UInt8(CC_REDISPLAY)
    }

    private func replace(_ typed: String, with word: String) -> UInt8 {
        el_deletestr(edit, CInt(typed.unicodeScalars.count))
        return el_insertstr(edit, word) == 0 ? UInt8(CC_REFRESH) : UInt8(CC_ERROR)
    }

    private func show(_ words: [String]) {
        let width = (words.map(\.count).max() ?? 0) + 2
        let columns = max(1, Screen.size.columns / width)
        var text = "\n"
        for (index, word) in words.prefix(200).enumerated() {
            text += word + String(repeating: " ", count: width - word.count)
            if index % columns == columns - 1 { text += "\n" }
        }
        if words.count > 200 { text += "\n… \(words.count - 200) more" }
        fputs(text + "\n", tapedeck_stdout())
        fflush(tapedeck_stdout())
    }
}

/// The terminal's size.
enum Screen {
    static var size: (rows: Int, columns: Int) {
        var size = winsize()
        let known = ioctl(1, UInt(TIOCGWINSZ), &size) == 0 && size.ws_row > 0 && size.ws_col > 0
        return known ? (Int(size.ws_row), Int(size.ws_col)) : (24, 80)
    }
}
