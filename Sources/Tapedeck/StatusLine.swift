// SPDX-License-Identifier: Apache-2.0

import Glibc

/// A line on standard error that is rewritten in place on a terminal, and printed now and then elsewhere.
final class StatusLine {
    private let isTerminal = isatty(2) == 1
    private var isShown = false
    private var lastPrinted: ContinuousClock.Instant?
    private let plainInterval: Duration

    /// - Parameter plainInterval: how often a plain line is printed where there is no terminal.
    init(plainInterval: Duration) { self.plainInterval = plainInterval }

    func show(_ text: String) {
        if isTerminal {
            // Cut to the terminal's width, so that the line can be taken back.
            var size = winsize()
            let width = ioctl(2, UInt(TIOCGWINSZ), &size) == 0 && size.ws_col > 0 ? Int(size.ws_col) - 1 : 79
            write("\r\u{1B}[K" + text.prefix(width))
            isShown = true
        } else if lastPrinted.map({ ContinuousClock.now - $0 >= plainInterval }) ?? true {
            lastPrinted = .now
            write(text + "\n")
        }
    }

    /// Takes the line away, for other output to follow.
    func clear() {
        if isShown { write("\r\u{1B}[K") }
        isShown = false
    }

    private func write(_ text: String) { writeAll(Array(text.utf8), to: 2) }
}

/// Writes all of `bytes` to a descriptor; false if it cannot (a closed pipe).
@discardableResult
func writeAll(_ bytes: some Collection<UInt8>, to descriptor: CInt) -> Bool {
    bytes.withContiguousStorageIfAvailable { buffer in
        var sent = 0
        while sent < buffer.count {
            let count = Glibc.write(descriptor, buffer.baseAddress! + sent, buffer.count - sent)
            if count < 0 && errno == EINTR { continue }
            if count <= 0 { return false }
            sent += count
        }
        return true
    } ?? writeAll(Array(bytes), to: descriptor)
}
