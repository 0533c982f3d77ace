// SPDX-License-Identifier: Apache-2.0

/// Which subreddits Reddit knows: the answer to `/api/info?sr_name=…`, a listing of things of kind t5.
enum RedditSubreddits {
    /// Their names in lower case.
    static func parse(_ body: [UInt8]) throws(RedditError) -> Set<String> {
        var names: Set<String> = []
        let isRead = body.withUnsafeBytes { bytes in
            var scanner = JSONScanner(bytes)
            return scanner.member("data") { scanner in
                scanner.member("children") { scanner in
                    scanner.kind() == .array
                        && scanner.array { scanner in
                            scanner.member("data") { scanner in
                                scanner.member("display_name") { scanner in
                                    if scanner.kind() != .string { return scanner.skipValue() }
                                    guard let name = scanner.string() else { return false }
                                    names.insert(name.lowercased())
                                    return true
                                }
                            }
                        }
                }
            } && scanner.isAtEnd()
        }
        if !isRead { throw RedditError(.unreadable, "the list of subreddits is not whole JSON") }
        return names
    }
}

extension JSONScanner {
    /// Visits one member of an object and skips the others; anything but an object is skipped whole.
    fileprivate mutating func member(_ name: String, _ visit: (inout JSONScanner) -> Bool) -> Bool {
        if kind() != .object { return skipValue() }
        return object { scanner, key in
            key.elementsEqual(name.utf8) ? visit(&scanner) : scanner.skipValue()
        }
    }
}
