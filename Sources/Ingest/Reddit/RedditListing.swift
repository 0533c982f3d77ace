// SPDX-License-Identifier: Apache-2.0

import Market
import Records

/// A page of posts as Reddit's API has it (https://www.reddit.com/dev/api#listings): newest first.
struct RedditListing: Sendable {
    /// One post, and what it was made of where not everything could be read.
    struct Item: Sendable, Equatable {
        var facts: PostFacts
        var problem: RejectionReason?
        /// The first bytes of it, where something could not be read.
        var original: [UInt8]?
    }

    var items: [Item] = []
    /// The full name to ask for older ones by; nil at the end.
    var after: String?

    /// Bytes that are kept of what could not be read.
    private static let originalLimit = 4096

    /// Reads a reply's body; what stands in the way is told with where in it.
    static func parse(_ body: [UInt8]) throws(RedditError) -> RedditListing {
        var listing = RedditListing()
        var kind: String?
        var sawChildren = false
        let isWhole = body.withUnsafeBytes { bytes in
            var scanner = JSONScanner(bytes)
            guard scanner.kind() == .object else { return false }
            let isRead = scanner.object { scanner, key in
                switch name(key) {
                case "kind" where scanner.kind() == .string:
                    kind = scanner.string()
                    return kind != nil
                case "data" where scanner.kind() == .object:
                    return listing.takeData(&scanner, &sawChildren)
                default: return scanner.skipValue()
                }
            }
            return isRead && scanner.isAtEnd()
        }
        if !isWhole { throw RedditError(.unreadable, "the reply is not whole JSON") }
        guard kind == "Listing" else {
            throw RedditError(.unreadable, "the reply has kind \(kind ?? "none") where Listing was expected")
        }
        guard sawChildren else { throw RedditError(.unreadable, "the reply lacks data.children") }
        return listing
    }

    private mutating func takeData(_ scanner: inout JSONScanner, _ sawChildren: inout Bool) -> Bool {
        scanner.object { scanner, key in
            switch Self.name(key) {
            case "after" where scanner.kind() == .string:
                after = scanner.string()
                return after != nil
            case "children" where scanner.kind() == .array:
                sawChildren = true
                return scanner.array { takeChild(&$0) }
            default: return scanner.skipValue()
            }
        }
    }

    private mutating func takeChild(_ scanner: inout JSONScanner) -> Bool {
        guard let bytes = scanner.rawValue() else { return false }
        var values = FactValues()
        var kind: String?
        var child = JSONScanner(bytes)
        let isRead =
            child.kind() == .object
            && child.object { scanner, key in
                switch Self.name(key) {
                case "kind" where scanner.kind() == .string:
                    kind = scanner.string()
                    return kind != nil
                case "data" where scanner.kind() == .object: return Self.take(&scanner, &values)
                default: return scanner.skipValue()
                }
            }
        // What is no post: "more" below comments, a subreddit or a user among search results.
        if isRead, let kind, kind != "t1" && kind != "t3" { return true }
        if values["kind"] == nil { values["kind"] = kind }
        var (facts, problem) = PostFormat.facts(values, defaultTime: nil)
        if !isRead || kind == nil || facts.id == nil { problem = problem ?? .malformedLine }
        if let url = facts.url, url.hasPrefix("/") { facts.url = "https://www.reddit.com\(url)" }
        items.append(
            Item(
                facts: facts, problem: problem,
                original: problem == nil ? nil : Array(bytes.prefix(Self.originalLimit))))
        return true
    }

    /// The members that are text or numbers; what is nested is no fact of the post.
    private static func take(_ scanner: inout JSONScanner, _ values: inout FactValues) -> Bool {
        scanner.object { scanner, key in
            switch scanner.kind() {
            case .string:
                guard let text = scanner.string() else { return false }
                values[name(key)] = text
                return true
            case .number:
                guard let text = scanner.number() else { return false }
                values[name(key)] = String(decoding: text, as: UTF8.self)
                return true
            default: return scanner.skipValue()
            }
        }
    }

    private static func name(_ key: UnsafeRawBufferPointer) -> String { String(decoding: key, as: UTF8.self) }
}

/// Why Reddit gave no answer that can be used.
struct RedditError: Error, Sendable, Equatable, CustomStringConvertible {
    enum Kind: Sendable {
        /// The credentials are not accepted: nobody but their owner can help.
        case refused
        /// A subreddit that is not there, or not for everybody.
        case notFound
        /// Too many requests, or a failure of Reddit's: later.
        case unavailable
        /// The reply is not what the API says.
        case unreadable
    }

    var kind: Kind
    /// What it was, in words; no secrets.
    var message: String

    init(_ kind: Kind, _ message: String) {
        self.kind = kind
        self.message = message
    }

    var description: String { message }
}
