// SPDX-License-Identifier: Apache-2.0

package import Market

/// A post of a forum, as a source gave it. Topics `posts.staging` and `posts`
/// (`schemas/posts.staging.avsc`, `schemas/posts.avsc`).
package struct PostFacts: RecordFacts {
    /// The forum's own id, with its prefix.
    package var id: String?
    /// comment or submission.
    package var kind: String?
    package var subreddit: String?
    package var author: String?
    package var title: String?
    package var body: String?
    package var url: String?
    package var score: Int64?
    package var numComments: Int64?
    /// Part of the votes that are for it, 0 to 1.
    package var upvoteRatio: Double?
    /// What a comment answers to.
    package var submissionId: String?
    /// When it was written.
    package var createdAt: Timestamp?
    /// When it was last edited.
    package var editedAt: Timestamp?

    package init() {}

    package var symbolName: String? { nil }
    package var key: String? { id }

    package static let schemas = RecordSchemas(
        "Post",
        [
            .init("id", "string", isRequired: true),
            .init("kind", "string", isRequired: true),
            .init("subreddit", "string"),
            .init("author", "string"),
            .init("title", "string"),
            .init("body", "string"),
            .init("url", "string"),
            .init("score", "long"),
            .init("num_comments", "long"),
            .init("upvote_ratio", "double"),
            .init("submission_id", "string"),
            .init("created_at", "long", isRequired: true),
            .init("edited_at", "long"),
        ])

    package func encode(_ writer: inout AvroWriter, isValid: Bool) {
        writer.required(id, isValid: isValid) { $0.string($1) }
        writer.required(kind, isValid: isValid) { $0.string($1) }
        writer.optional(subreddit) { $0.string($1) }
        writer.optional(author) { $0.string($1) }
        writer.optional(title) { $0.string($1) }
        writer.optional(body) { $0.string($1) }
        writer.optional(url) { $0.string($1) }
        writer.optional(score) { $0.long($1) }
        writer.optional(numComments) { $0.long($1) }
        writer.optional(upvoteRatio) { $0.double($1) }
        writer.optional(submissionId) { $0.string($1) }
        writer.required(createdAt, isValid: isValid) { $0.long($1.microseconds) }
        writer.optional(editedAt) { $0.long($1.microseconds) }
    }

    package mutating func decode(_ reader: inout AvroReader, isValid: Bool) -> Bool {
        guard let id = reader.required(isValid: isValid, { $0.string() }),
            let kind = reader.required(isValid: isValid, { $0.string() }),
            let subreddit = reader.optionalText(),
            let author = reader.optionalText(),
            let title = reader.optionalText(),
            let body = reader.optionalText(),
            let url = reader.optionalText(),
            let score = reader.optional({ $0.long() }),
            let numComments = reader.optional({ $0.long() }),
            let upvoteRatio = reader.optionalDouble(),
            let submissionId = reader.optionalText(),
            let createdAt = reader.required(isValid: isValid, { $0.long() }),
            let editedAt = reader.optional({ $0.long() })
        else { return false }
        self.id = id.map { String(decoding: $0, as: UTF8.self) }
        self.kind = kind.map { String(decoding: $0, as: UTF8.self) }
        self.subreddit = subreddit
        self.author = author
        self.title = title
        self.body = body
        self.url = url
        self.score = score
        self.numComments = numComments
        self.upvoteRatio = upvoteRatio
        self.submissionId = submissionId
        self.createdAt = createdAt.map { Timestamp(microseconds: $0) }
        self.editedAt = editedAt.map { Timestamp(microseconds: $0) }
        return true
    }
}
