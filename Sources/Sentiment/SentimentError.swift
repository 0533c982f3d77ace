// SPDX-License-Identifier: Apache-2.0

/// A lexicon cannot be used. The message says which line of which lexicon, and what it should be.
package struct SentimentError: Error, Equatable, CustomStringConvertible {
    /// What happened, in lower case and without a full stop.
    package var message: String

    package init(_ message: String) { self.message = message }

    package var description: String { message }
}
