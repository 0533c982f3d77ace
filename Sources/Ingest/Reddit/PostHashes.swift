// SPDX-License-Identifier: Apache-2.0

import Market
import Records

extension PostFacts {
    /// A hash of what its author, or a moderator, may change.
    var wordsHash: UInt64 {
        var hash: UInt64 = 0
        for text in [title, body, author, url] {
            hash = hash &* 0x9E37_79B9_7F4A_7C15 ^ TradeIdentity.hash((text ?? "\0").utf8)
        }
        return hash ^ UInt64(bitPattern: editedAt?.microseconds ?? 0)
    }

    /// A hash of everything that may change.
    var stateHash: UInt64 {
        let votes = "\(score ?? .min) \(numComments ?? .min) \(upvoteRatio ?? -1)"
        return wordsHash &* 0x9E37_79B9_7F4A_7C15 ^ TradeIdentity.hash(votes.utf8)
    }
}
