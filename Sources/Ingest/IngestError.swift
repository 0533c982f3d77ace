// SPDX-License-Identifier: Apache-2.0

/// A source could not be read on: which one, where in it, why, and what to do.
package struct IngestError: Error, Sendable, CustomStringConvertible {
    /// The file (`-` for standard input) or service.
    package var source: String
    /// The line at which reading stopped, from 1; nil where lines mean nothing.
    package var line: Int?
    package var message: String
    package var hint: String?

    package init(source: String, line: Int? = nil, message: String, hint: String? = nil) {
        self.source = source
        self.line = line
        self.message = message
        self.hint = hint
    }

    package var description: String {
        let place = line.map { "\(source):\($0)" } ?? source
        return "\(place): \(message)" + (hint.map { " (\($0))" } ?? "")
    }
}
