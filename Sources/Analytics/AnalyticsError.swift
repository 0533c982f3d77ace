// SPDX-License-Identifier: Apache-2.0

/// Something that was asked for cannot be done: what, and what to do about it.
package struct AnalyticsError: Error, Equatable, CustomStringConvertible {
    package enum Code: Sendable, Equatable {
        /// A value that is not allowed.
        case invalid
        /// There is no such symbol, forecast or job.
        case notFound
        /// There are not enough prices for what was asked.
        case insufficientData
        /// Another process is at work.
        case busy
        /// Another process has done it.
        case done
    }

    package var code: Code
    /// What happened, in lower case and without a full stop.
    package var message: String
    package var hint: String?

    package init(_ code: Code, _ message: String, hint: String? = nil) {
        self.code = code
        self.message = message
        self.hint = hint
    }

    package var description: String { hint.map { "\(message). \($0)" } ?? message }
}
